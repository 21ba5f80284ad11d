"""The programs of ``docs/web-login.md``, run as they stand: who comes in, and what exactly others are answered."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx2
import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from flask import Response
from werkzeug.test import Client as WerkzeugClient

import snippets
import test_door_django as doors
from login_world import BASE
from py_identity_model import Request
from py_identity_model.testing import Client

assert doors.URLS.__name__ == settings.ROOT_URLCONF  # it sets Django up, which its views want

PAGE = snippets.ROOT / "docs" / "web-login.md"
BFF = snippets.ROOT / "docs" / "bff.md"
FRAMEWORKS = ("FastAPI", "Flask", "Django", "Starlette")
HTML, PROGRAM = {"accept": "text/html"}, {"accept": "*/*"}
Send = Callable[[str, str, dict[str, str], bytes], tuple[int, list[tuple[str, str]], bytes]]


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class Browser:
    """A browser at a program."""

    def __init__(self, send: Send, provider: Any) -> None:
        self._send, self._provider = send, provider
        self.cookies: dict[str, str] = {}

    def send(self, method: str, path: str, headers: dict[str, str] = HTML, form: Any = None) -> Answer:
        """Send one request."""
        sent = {**headers, "cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if form is not None:
            sent["content-type"] = "application/x-www-form-urlencoded"
        status, pairs, body = self._send(
            method, path, sent, urlencode(form or {}).encode() if form is not None else b""
        )
        for name, value in pairs:
            if name.lower() == "set-cookie":
                key, _, rest = value.strip().partition("=")
                self.cookies[key] = rest.partition(";")[0]
                assert "; Secure" in value
                assert "; HttpOnly" in value
        return Answer(status, {name.lower(): value for name, value in pairs}, body)

    def log_in(self, path: str) -> Answer:
        """Show a page, wherever that leads."""
        answer = self.send("GET", path)
        while answer.status == 303:
            to = answer.headers["location"]
            if to.startswith(self._provider.issuer):
                to = self._provider.transport(Request("GET", to)).header("location") or ""
            answer = self.send("GET", to.removeprefix(BASE))
        return answer


def by_asgi(app: Any) -> Send:
    """Return what sends requests to an ASGI application."""

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        async def main() -> Any:
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE) as client:
                got = await client.request(method, path, headers=headers, content=body)
                return got.status_code, got.headers.multi_items(), got.content

        return asyncio.run(main())

    return send


def by_wsgi(app: Any) -> Send:
    """Return what sends requests to a WSGI application."""

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        client = WerkzeugClient(app, Response, use_cookies=False)
        got = client.open(path, method=method, base_url=BASE, headers=headers, data=body)
        return got.status_code, [*got.headers.items()], got.get_data()

    return send


def block_of(framework: str) -> snippets.Block:
    """Return the block below a heading."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    heading = lines.index(f"### {framework}") + 1
    return next(block for block in snippets.python_blocks(PAGE) if block.line > heading)


@pytest.fixture(params=FRAMEWORKS)
def browser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Browser]:
    """A browser at the program of each framework."""
    world = snippets.World(monkeypatch, "https://id.example.com")
    monkeypatch.chdir(tmp_path)
    world.provider.add_client(Client("app", "a secret", (f"{BASE}/callback",), (f"{BASE}/logged-out",)))
    names = world.run(block_of(request.param), {})
    if request.param != "Django":
        send = by_wsgi(names["app"]) if request.param == "Flask" else by_asgi(names["app"])
        yield Browser(send, world.provider)
        return
    shop: Any = types.ModuleType("shop_of_the_howto")
    monkeypatch.setitem(sys.modules, shop.__name__, shop)
    shop.login = names["login"]
    named = {"ROOT_URLCONF": shop.__name__, "PY_IDENTITY_MODEL_LOGIN": f"{shop.__name__}.login"}
    with override_settings(**named, MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"], ALLOWED_HOSTS=["*"]):
        shop.urlpatterns = names["urls"]()
        yield Browser(by_wsgi(get_wsgi_application()), world.provider)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_login_takes_less_than_twenty_lines(framework: str) -> None:
    """All of a program, the empty lines counted."""
    assert len(block_of(framework).code.splitlines()) <= 20


def test_who_logs_in_comes_back_to_the_page(browser: Browser) -> None:
    """The page, and who it is."""
    account = browser.log_in("/account")
    assert (account.status, json.loads(account.body)) == (200, {"subject": "alice"})
    assert account.headers["content-type"].startswith("application/json")
    assert "__Host-session" in browser.cookies
    assert json.loads(browser.send("GET", "/me", PROGRAM).body)["subject"] == "alice"


def test_a_page_without_a_session_becomes_a_login(browser: Browser) -> None:
    """303, kept by nobody, and without a word of where it was."""
    answer = browser.send("GET", "/account")
    assert (answer.status, answer.body) == (303, b"")
    wanted = {"location": "/login?next=%2Faccount", "cache-control": "no-store", "referrer-policy": "no-referrer"}
    assert wanted.items() <= answer.headers.items()
    assert browser.cookies == {}


def test_a_program_without_a_session_is_told_so(browser: Browser) -> None:
    """401 with a challenge that makes no browser ask for a password, and JSON."""
    for method in ("GET", "HEAD"):
        answer = browser.send(method, "/account", PROGRAM)
        if (method, answer.status) == ("HEAD", 405):  # FastAPI has no HEAD unless it is said
            continue
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Session")
        assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/json", "no-store")
        body = b'{"error":"login_required","login_url":"/login"}'
        assert answer.body == (body if method == "GET" else b"")


def test_a_response_that_nobody_asked_for_begins_anew(browser: Browser) -> None:
    """400, a page without a script that leads to a login."""
    answer = browser.send("GET", "/callback?code=stolen&state=unknown")
    assert (answer.status, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert b'href="/login"' in answer.body
    assert b"stolen" not in answer.body


def test_a_logout_that_no_page_of_ours_sent_is_refused(browser: Browser) -> None:
    """403, and the session goes on; the header that a page of this origin can send is enough."""
    browser.log_in("/account")
    for headers, form in ((HTML, {}), (HTML, {"csrf_token": "x"}), ({**PROGRAM, "origin": "https://evil.example"}, {})):
        answer = browser.send("POST", "/logout", headers, form)
        assert (answer.status, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert browser.send("GET", "/account").status == 200
    out = browser.send("POST", "/logout", {**PROGRAM, "x-csrf": "1"})
    assert (out.status, [*json.loads(out.body)]) == (200, ["logout_url"])
    assert browser.send("GET", "/account").status == 303


def test_the_wrapper_for_pages_is_ten_lines_that_do_what_they_say(tmp_path: Path) -> None:
    """It sends the header, follows the login's 401 only, and hands all else back."""
    (block,) = [each for each in snippets.blocks(BFF) if each.info == "js"]
    assert len(block.code.splitlines()) <= 10
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    (tmp_path / "wrapper.mjs").write_text(block.code + _TRIAL, encoding="utf-8")
    done = subprocess.run([node, "wrapper.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "sent": [["1", "*/*", "POST"], ["1", None, "GET"], ["1", None, "GET"]],
        "statuses": [200, 401],
        "went": ["/login?next=%2F"],
    }


_TRIAL = """
const sent = [], went = [], answers = [
  new Response("{}", { status: 200 }),
  new Response('{"login_url": "https://evil.example"}', { status: 401, headers: { "www-authenticate": "Bearer" } }),
  new Response('{"login_url": "/login?next=%2F"}', { status: 401, headers: { "www-authenticate": "Session" } }),
];
globalThis.window = { location: { assign: (url) => went.push(url) } };
globalThis.fetch = async (path, options) => {
  sent.push([options.headers.get("x-csrf"), options.headers.get("accept"), options.method ?? "GET"]);
  return answers.shift();
};
const first = await api("/api/a", { method: "POST", headers: new Headers({ accept: "*/*" }) });
const second = await api("/api/b");
api("/api/c");
await new Promise((done) => setTimeout(done, 20));
console.log(JSON.stringify({ sent, statuses: [first.status, second.status], went }));
"""
