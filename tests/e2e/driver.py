"""Start the real provider and play the people around it: the user, her device, the other side of a back channel."""

import contextlib
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from e2e.clients import (
    ACCOUNTS,
    DEFAULT_ACCOUNT,
    JWT_RESOURCES,
    OPAQUE_RESOURCE,
    REDIRECT_URI,
    Certificate,
    Certificates,
    Client,
    Jwk,
    client_documents,
    create_certificates,
    create_keys,
    register_clients,
)

PROVIDER_DIRECTORY = Path(__file__).parent / "provider"
INSTALL_SECONDS = 300
START_SECONDS = 60
STOP_SECONDS = 10
HOPS = 12


class ProviderUnavailableError(Exception):
    """Node, npm or the packages are not there, so the provider cannot be started."""


# ---- what a user's browser brings back


@dataclass(frozen=True, slots=True)
class Callback:
    """The authorization response as it reached the client: a URL, and a form if it was posted (``form_post``)."""

    url: str
    form: Mapping[str, str] | None = None

    @property
    def params(self) -> dict[str, str]:
        """Return the response parameters, wherever they travelled."""
        if self.form is not None:
            return dict(self.form)
        parts = urlsplit(self.url)
        return dict(parse_qsl(parts.fragment or parts.query, keep_blank_values=True))


@dataclass(slots=True)
class _Form:
    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: _Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self.form = _Form(values.get("action") or "")
        elif tag == "input" and self.form is not None and (name := values.get("name")):
            self.form.fields[name] = values.get("value") or ""


def _parse_form(response: httpx2.Response) -> _Form:
    parser = _FormParser()
    parser.feed(response.text)
    parser.close()
    if parser.form is None:
        raise AssertionError(f"expected a page with a form at {response.url.path}, got status {response.status_code}")
    return parser.form


class Browser:
    """A user's browser: keeps its cookies, so one browser is one session at the provider."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._http = httpx2.Client(verify=verify, follow_redirects=False, timeout=10)

    def authorize(self, authorization_url: str, redirect_uri: str = REDIRECT_URI) -> Callback:
        """Follow the request through login and consent to the client's redirect URI, which is never fetched."""
        response = self._follow(self._http.get(authorization_url), redirect_uri)
        if response.is_redirect:
            return Callback(response.headers["location"])
        if not response.is_success:
            raise AssertionError(f"the provider refused with {response.status_code}: {response.text[:200]}")
        form = _parse_form(response)
        if form.action != redirect_uri:
            raise AssertionError(f"expected a form posting to {redirect_uri}, got one posting to {form.action}")
        return Callback(form.action, form.fields)

    def confirm_device(self, verification_uri: str, user_code: str, *, approve: bool = True) -> None:
        """Enter the code, then confirm or abort (RFC 8628 3.3)."""
        form = _parse_form(self._http.get(verification_uri, params={"user_code": user_code}))
        page = self._submit(form, user_code=user_code)
        if not approve:
            self._submit(_parse_form(page), abort="yes")
            return
        done = self._follow(self._submit(_parse_form(page), confirm="yes"), None)
        if "Device confirmed" not in done.text:
            raise AssertionError(f"the device was not confirmed: status {done.status_code}")

    def logout(self, end_session_url: str) -> str:
        """Confirm the logout page and return where the provider sends the browser (RP-initiated logout)."""
        page = self._http.get(end_session_url)
        if not page.is_success:
            raise AssertionError(f"the provider refused with {page.status_code}: {page.text[:200]}")
        return str(self._submit(_parse_form(page), logout="yes").headers["location"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, form: _Form, **extra: str) -> httpx2.Response:
        return self._http.post(form.action, data={**form.fields, **extra})

    def _follow(self, response: httpx2.Response, redirect_uri: str | None) -> httpx2.Response:
        for _ in range(HOPS):
            if not response.is_redirect:
                return response
            target = urljoin(str(response.url), response.headers["location"])
            if redirect_uri is not None and target.startswith(redirect_uri):
                return response
            response = self._http.get(target)
        raise AssertionError(f"more than {HOPS} redirects, the last one to {response.url.path}")


# ---- the provider


@dataclass(frozen=True, slots=True)
class Call:
    """One request the provider sent to a client: a CIBA ping or a back-channel logout."""

    path: str
    headers: Mapping[str, str]
    body: str


class Provider:
    """A running provider, its registered clients, and the levers a test may pull."""

    def __init__(self, directory: Path, *, access_token_ttl: int | None = None, accounts: Iterable[str] = ()) -> None:
        node = _find_node()
        self._accounts = {**ACCOUNTS, **{name: {"roles": []} for name in accounts}}
        self._access_token_ttl = access_token_ttl
        self.certificates: Certificates = create_certificates(directory)
        self.keys: dict[str, Jwk] = create_keys()
        self.clients: dict[str, Client] = register_clients(self.keys, self.certificates)
        self.jwt_resources: Mapping[str, str] = JWT_RESOURCES
        self.opaque_resource = OPAQUE_RESOURCE
        self.initial_access_token = os.urandom(24).hex()
        self._log_file = directory / "provider.log"
        self._process = self._spawn(node)
        try:
            ready = self._start()
        except BaseException:
            self._stop()
            raise
        self.issuer: str = ready["issuer"]
        #: The one that shows its pages and waits for a person; another host, so that applications are another site.
        self.pages_issuer: str = ready["pages_issuer"]
        self.mtls_issuer: str = ready["secure_issuer"]
        self.mtls_origin: str = ready["mtls"]
        self.rp_origin: str = ready["rp"]
        self._control = httpx2.Client(base_url=ready["control"], timeout=30)

    @property
    def ca_file(self) -> Path:
        """The authority behind every https address here, in PEM."""
        return self.certificates.ca_file

    def ssl_context(self, client: Client | Certificate | None = None) -> ssl.SSLContext:
        """Return a context that trusts the provider and, given a client with a certificate, presents it."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        certificate = client.certificate if isinstance(client, Client) else client
        if certificate is not None:
            context.load_cert_chain(certificate.cert_file, certificate.key_file)
        return context

    def browser(self) -> Browser:
        """Return a browser without cookies; close it."""
        return Browser(self.ssl_context())

    def follow_login(self, authorization_url: str, redirect_uri: str = REDIRECT_URI) -> Callback:
        """Log in and consent in a fresh browser and return what reaches the client."""
        with self.browser() as browser:
            return browser.authorize(authorization_url, redirect_uri)

    def confirm_device(self, verification_uri: str, user_code: str, *, approve: bool = True) -> None:
        """Let the user confirm (or refuse) the device in a fresh browser."""
        with self.browser() as browser:
            browser.confirm_device(verification_uri, user_code, approve=approve)

    def decide_ciba(self, auth_req_id: str, *, approve: bool = True, **authentication: object) -> None:
        """Let the user approve or deny on her own device; ``acr`` and ``amr`` say how she was authenticated."""
        self._command("ciba", auth_req_id=auth_req_id, approve=approve, **authentication)

    def rotate_keys(self, *, keep_previous: bool = True) -> list[str]:
        """Sign with fresh keys and return their ``kid``s; the previous ones stay published unless told otherwise."""
        return list(self._command("rotate", keep_previous=keep_previous)["kids"])

    def take_call(self, path: str, timeout_seconds: float = 10) -> Call:
        """Wait for the next request to that path of the clients' origin (``/ciba/ping``, ``/logout``) and remove it."""
        return Call(**self._command("calls", path=path, timeout=timeout_seconds))

    def renewals(self) -> dict[str, Any]:
        """Return when refresh tokens were used, in all and of each grant; how many were refused, and grants revoked."""
        return self._command("renewals")

    def let_tokens_live(self, client_id: str, seconds: int) -> None:
        """Have the access tokens that a client gets from now on live for so many seconds."""
        self._command("lives", client_id=client_id, seconds=seconds)

    def kill_clients(self, every: int, grave: str) -> None:
        """Kill each so-many-th client that asks the token endpoint and says by ``x-pid`` which process it is.

        The provider does not look at what it sent. Where *grave* is a file, everybody lives.
        """
        self._command("renewals", kill=every, grave=grave)

    def publish(self, path: str, document: object) -> str:
        """Serve a JSON document (JWK Set, client metadata) under the clients' origin and return its URL."""
        self._command("documents", path=path, document=document)
        return self.rp_origin + path

    def log(self) -> str:
        """Return what the provider wrote on stderr: the reasons behind its refusals."""
        return self._log_file.read_text(errors="replace")

    def close(self) -> None:
        """Stop the provider by closing its stdin."""
        self._control.close()
        self._stop()

    def _command(self, name: str, **arguments: object) -> dict[str, Any]:
        response = self._control.post(f"/{name}", json=arguments)
        if not response.is_success:
            raise AssertionError(f"the provider could not {name}: {response.text}")
        answer: dict[str, Any] = response.json()
        return answer

    def _spawn(self, node: str) -> subprocess.Popen[bytes]:
        with self._log_file.open("wb") as log:
            return subprocess.Popen(
                [node, "server.mjs"],
                cwd=PROVIDER_DIRECTORY,
                env={**os.environ, "NODE_EXTRA_CA_CERTS": str(self.ca_file)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def _start(self) -> dict[str, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Secrets go through the pipe: arguments and environment are visible to other processes.
        self._process.stdin.write(json.dumps(self._options()).encode() + b"\n")
        self._process.stdin.flush()
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
            watchdog.join()
        if not line:
            raise RuntimeError(f"the provider did not start:\n{self.log()[-2000:]}")
        ready: dict[str, str] = json.loads(line)
        return ready

    def _options(self) -> dict[str, object]:
        return {
            "accounts": self._accounts,
            "default_account": DEFAULT_ACCOUNT,
            "clients": [client.metadata for client in self.clients.values()],
            "documents": client_documents(self.keys),
            "initial_access_token": self.initial_access_token,
            "access_token_ttl": self._access_token_ttl,
            "tls": {
                "ca": str(self.certificates.ca_file),
                "cert": str(self.certificates.server.cert_file),
                "key": str(self.certificates.server.key_file),
            },
        }

    def _stop(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


# ---- installation


def install(directory: Path = PROVIDER_DIRECTORY) -> None:
    """Install packages of Node from the lock file, once for each state of it, one process at a time."""
    lock = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    stamp = directory / "node_modules" / ".installed-from"
    with _one_at_a_time(directory):
        if not stamp.is_file() or stamp.read_text() != lock:
            _npm_ci(directory)
            stamp.write_text(lock)


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: start the tests without workers the first time
        yield
        return
    with open(directory / "package-lock.json") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _npm_ci(directory: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ProviderUnavailableError("npm is not installed")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ProviderUnavailableError(f"npm ci took longer than {INSTALL_SECONDS} s") from error
    if done.returncode != 0:
        raise ProviderUnavailableError(f"npm ci failed: {done.stderr.strip()[-500:]}")


def _find_node() -> str:
    node = shutil.which("node")
    if node is None:
        raise ProviderUnavailableError("node is not installed")
    return node
