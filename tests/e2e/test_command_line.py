"""The command line, in processes of its own: a person in a real browser, a real provider, curl and an API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from e2e import driver, pages
from e2e.clients import DEVICE_CODE, JWT_RESOURCES
from py_identity_model import ResourceServer, TokenValidator
from py_identity_model.integrations.wsgi import ResourceServerMiddleware, principal_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

API = JWT_RESOURCES["RS256"]
COMMAND = (sys.executable, "-m", "py_identity_model")
SECONDS = 60


class Terminal:
    """A terminal with a home of its own, whose browser only notes which page to open."""

    def __init__(self, issuer: str, home: Path) -> None:
        self.issuer, self.page = issuer, home / "page"
        config = home / "config" / "py-identity-model" / "config.toml"
        config.parent.mkdir(parents=True)
        self._config, self.home = config, home
        browser = home / "browser.py"
        browser.write_text(f"import pathlib, sys\npathlib.Path({str(self.page)!r}).write_text(sys.argv[1])\n")
        self.environment = os.environ | {
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "BROWSER": f"{sys.executable} {browser} %s",
        }

    def configure(self, **values: Any) -> None:
        """Write the profile."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in {"issuer": self.issuer, **values}.items()]
        self._config.write_text("\n".join(["[default]", *lines, ""]))

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start the command."""
        pipe = subprocess.PIPE
        return subprocess.Popen([*COMMAND, *args], stdout=pipe, stderr=pipe, text=True, env=self.environment)

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        with self.start(*args) as process:
            out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def address(self) -> str:
        """Return the page that the browser was told to open."""
        until = time.monotonic() + SECONDS
        while not self.page.exists() or not self.page.read_text():
            assert time.monotonic() < until, "no page was opened"
            time.sleep(0.05)
        return self.page.read_text()


@pytest.fixture(scope="module")
def terminal(provider: driver.Provider, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A terminal whose profile names a client that the command has registered."""
    made = Terminal(provider.pages_issuer, tmp_path_factory.mktemp("terminal"))
    file = made.home / "client.json"
    grants = [part for name in ("authorization_code", "refresh_token", DEVICE_CODE) for part in ("--grant-type", name)]
    what = ["--redirect-uri", "http://127.0.0.1/callback", "--application-type", "native", "--auth-method", "none"]
    done = made.run("register", made.issuer, *what, *grants, "--output", str(file))
    assert done.returncode == 0, done.stderr
    client_id = json.loads(file.read_text())["client_id"]
    assert done.stdout == f"{client_id}\n"
    made.configure(client_id=client_id, scope="openid profile offline_access")
    return made


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def api(provider: driver.Provider) -> Iterator[str]:
    """An API that says who calls."""

    def who(environ: Any, start_response: Any) -> list[bytes]:
        user = principal_of(environ)
        start_response("200 OK", [("content-type", "text/plain")])
        return [str(user and user.subject).encode()]

    guarded = ResourceServerMiddleware(who, ResourceServer(TokenValidator(provider.pages_issuer, audience=API)))
    with make_server("127.0.0.1", 0, guarded, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def curl(terminal: Terminal, api: str) -> str:
    """Call the API as the help of the command says."""
    command = f"curl --silent --header @<({' '.join(COMMAND)} login --header --resource {API}) {api}"
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "-c", command], capture_output=True, text=True, timeout=SECONDS, env=terminal.environment
    )
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_login_in_a_browser_and_what_comes_of_it(
    terminal: Terminal, browser: Browser, provider: driver.Provider, api: str
) -> None:
    """A person logs in; curl calls the API; processes share one renewal; the logout ends it at the provider too."""
    waiting = terminal.start("login", "--prompt", "consent", "--resource", API)
    with pages.visitor(browser) as page:
        page.goto(terminal.address())
        pages.log_in(page)
        page.get_by_text("You are logged in").wait_for()
    out, err = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 0, err
    assert out == ""
    assert "logged in as alice" in err

    assert curl(terminal, api) == "alice"
    # The provider ends a login whose refresh token is used twice.
    several = [terminal.start("token", "--grant", "refresh", "--resource", API) for _ in range(3)]
    told = [(process.communicate(timeout=SECONDS)[1], process.returncode) for process in several]
    assert [code for _, code in told] == [0, 0, 0], told
    assert provider.renewals()["refused"] == 0
    assert curl(terminal, api) == "alice"

    assert terminal.run("logout").stderr == "logged out\n"
    done = terminal.run("token", "--resource", API)
    assert (done.returncode, done.stdout) == (1, "")
    assert "hint: run py-identity-model login" in done.stderr


def test_a_login_on_another_device(terminal: Terminal, provider: driver.Provider) -> None:
    """The code is shown, the user approves elsewhere, and the login is kept."""
    asked = ["--issuer", provider.issuer, "--client-id", "device"]  # the one whose users are not shown pages
    waiting = terminal.start("login", "--device", "--json", *asked)
    assert waiting.stderr is not None
    told = waiting.stderr.readline().split()
    provider.confirm_device(told[1], told[-1])
    out, err = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 0, err
    assert json.loads(out)["issuer"] == provider.issuer
    assert json.loads(terminal.run("userinfo", *asked).stdout)["name"] == "Alice Liddell"
    assert terminal.run("logout", *asked).returncode == 0
    assert terminal.run("userinfo", *asked).returncode == 1
