"""Code blocks of Markdown pages: found with their line, run as written, ``await`` at top level included."""

from __future__ import annotations

import ast
import asyncio
import datetime
import inspect
import json
import linecache
import re
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import prometheus_client
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

import provider_shapes
import py_identity_model
from py_identity_model import FileToken, LoginClient, aio
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.client.ciba import BackchannelAuthenticationResponse
from py_identity_model.aio._clients import close_async_http_client
from py_identity_model.integrations.prometheus import ValidatorCollector
from py_identity_model.sync import _device as device
from py_identity_model.sync._clients import close_http_client
from py_identity_model.testing import Client, EmbeddedProvider
from py_identity_model.testing._faults import Answer
from py_identity_model.testing.httpx_transport import EmbeddedTransport

ROOT = Path(__file__).resolve().parent.parent
#: A performance guide that programs of users were written after; it lies beside the checkout, where it exists.

#: The clients that pages speak of, registered at the provider.
SECRET = "a secret that no page shows"
CLIENTS = (
    Client("orders-service", SECRET),
    Client("web-app", SECRET, ("https://app.example.com/callback",)),
    Client("my-tool"),
)

#: A provider that keeps to FAPI 2.0 in what it says about itself. It knows its client by name only.
BANK = "https://bank.example.com"
BANK_CLIENT = Client("bank-app", redirect_uris=("https://app.example.com/callback",))
BANK_METADATA = {
    "response_modes_supported": ["query", "jwt"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"],
    "token_endpoint_auth_signing_alg_values_supported": ["ES256", "PS256"],
    "dpop_signing_alg_values_supported": ["ES256"],
    "request_object_signing_alg_values_supported": ["ES256", "PS256"],
    "authorization_signing_alg_values_supported": ["PS256"],
    "introspection_signing_alg_values_supported": ["PS256"],
}

#: Where servers of the examples themselves listen.
LOOPBACK = ("127.0.0.1:", "localhost:")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what its info string says, and the code without the page's indentation."""

    path: Path
    line: int
    info: str
    code: str
    #: The block that this one continues: the last one of its page, where the info string says so.
    before: Block | None = None

    @property
    def label(self) -> str:
        """Page and line, for the test report."""
        return f"{self.path.name}:{self.line}"

    @property
    def is_python(self) -> bool:
        """Whether the block is Python that a reader may run."""
        return self.info == "python" or self.is_continued

    @property
    def is_continued(self) -> bool:
        """Whether the block goes on with the names of the one before it."""
        return self.info == "{.python .continued}"

    @property
    def needs(self) -> str | None:
        """The package a Python block needs to run, where that is not installed everywhere."""
        found = re.fullmatch(r"\{\.python \.needs-([a-z]+)\}", self.info)
        return found[1] if found else None

    @property
    def is_before(self) -> bool:
        """Whether the block shows Python for another library, which is not installed here."""
        return self.info.replace(" ", "") == "{.python.before}"


def blocks(path: Path) -> Iterator[Block]:
    """Yield every fenced block of a page."""
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None or (opened and fence["info"].strip()):
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence["indent"], fence["info"].strip()), []
        else:
            start, indent, info = opened
            code = "\n".join(text.removeprefix(indent) for text in lines) + "\n"
            yield Block(path, start, info, code)
            opened = None


def python_blocks(*paths: Path) -> list[Block]:
    """Return every runnable block of the pages."""
    found: list[Block] = []
    for block in (block for path in paths for block in blocks(path) if block.is_python or block.needs):
        found.append(replace(block, before=found[-1]) if block.is_continued else block)
    return found


def run(block: Block, names: dict[str, Any], finish: Callable[[], Awaitable[None]] | None = None) -> dict[str, Any]:
    """Run a block as written in a namespace that starts with *names*, and return the namespace.

    Args:
        block: The code.
        names: What the page takes for granted.
        finish: What closes a loop's clients, awaited in the block's own event loop if it has one.
    """
    if block.before is not None:
        names = run(block.before, names, finish)
    filename = f"<{block.label}>"
    code = textwrap.dedent(block.code)
    # Tracebacks and inspect.getsource read the source from here.
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    compiled = compile(code, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    space: dict[str, Any] = {"__name__": "__main__", **names}
    if not compiled.co_flags & inspect.CO_COROUTINE:
        exec(compiled, space)
        return space

    async def body() -> None:
        try:
            await eval(compiled, space)
        finally:
            if finish is not None:
                await finish()

    asyncio.run(body())
    return space


# ---- the world that pages take for granted


class _Both(dict[str, Any]):
    """Claims that can be awaited too: pages call ``validate_token`` with and without ``await`` under one name."""

    __hash__ = object.__hash__  # type: ignore[assignment] # gather() sorts its arguments by identity

    def __init__(self, claims: dict[str, Any], again: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        super().__init__(claims)
        self._again = again

    def __await__(self) -> Any:
        return self._again().__await__()


def validate_token(*args: Any, **named: Any) -> _Both:
    """Validate over the blocking API now, and over the async one once more where the answer is awaited."""
    claims = py_identity_model.validate_token(*args, **named)
    return _Both(claims, lambda: aio.validate_token(*args, **named))


def _redirect(monkeypatch: pytest.MonkeyPatch, library: Any, route: Callable[[Any], EmbeddedTransport | None]) -> None:
    """Let every transport of an HTTP library lead where *route* says; None leaves it alone."""
    send, send_async = library.HTTPTransport.handle_request, library.AsyncHTTPTransport.handle_async_request

    def handle_request(transport: Any, request: Any) -> Any:
        embedded = route(request)
        return embedded.handle_request(request) if embedded else send(transport, request)

    async def handle_async_request(transport: Any, request: Any) -> Any:
        embedded = route(request)
        return await (embedded.handle_async_request(request) if embedded else send_async(transport, request))

    monkeypatch.setattr(library.HTTPTransport, "handle_request", handle_request)
    monkeypatch.setattr(library.AsyncHTTPTransport, "handle_async_request", handle_async_request)


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    """Stand for an application behind a gate: an ASGI application that greets the caller."""
    body = f"hello {scope['state']['claims']['sub']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


#: APIs that pages call.
APIS = ("inventory.example.com", "deploy.example.com")
#: Where a pod finds what its platform mounts, and where a job asks for its ID tokens.
MOUNTED = "/var/run/secrets/"
RUNNER = "runner.actions.example.com"
JOB = "request-token-of-the-job"


class Platform:
    """A cluster and a runner of jobs: they say who a workload is, and a provider that trusts them can ask whether."""

    def __init__(self, audience: str) -> None:
        self._audience = audience
        self._signs = EmbeddedProvider("https://platform.example.com")
        #: How often a provider found a token of a workload good.
        self.accepted = 0

    def token(self) -> str:
        """Return the token of the workload that a page is about."""
        return self._signs.mint("id_token", audience=self._audience, subject="workload")

    def answer(self, request: Request) -> Answer:
        """Answer a job that asks for its token as GitHub does."""
        asked = parse_qs(urlsplit(request.url).query).get("audience")
        allowed = asked == [self._audience] and dict(request.headers).get("authorization") == f"Bearer {JOB}"
        body = json.dumps({"value": self.token()} if allowed else {}).encode()
        return Answer(Reply(200 if allowed else 401, (("content-type", "application/json"),), body))

    def accepts(self, assertion: str) -> bool:
        """Tell whether a client assertion is a good token of a workload, for that provider."""
        trusting = py_identity_model.TokenValidator(
            self._signs.issuer, self._audience, kind="id_token", http_client=self._signs.transport
        )
        try:
            trusting.validate(assertion)
        except py_identity_model.PyIdentityModelException:
            return False
        self.accepted += 1
        return True


def _mount(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> None:
    """Let what would be read below the mount point of a cluster be the platform's token."""
    opened = FileToken._opened

    def found(source: FileToken) -> tuple[str, tuple[str, str, str] | None]:
        return (platform.token(), None) if source._path.startswith(MOUNTED) else opened(source)

    monkeypatch.setattr(FileToken, "_opened", found)


def _protected(request: Request) -> Answer:
    """Answer as an API does: nothing without a token."""
    allowed = any(name.lower() == "authorization" for name, _ in request.headers)
    return Answer(Reply(200 if allowed else 401, (("content-type", "application/json"),), b"[]"))


#: Hosts that are no providers, but have a document each.
SITES = ("app.example.com", "example.com")


def scripted(request: Request, provider: EmbeddedProvider, platform: Platform) -> Reply | None:
    """Answer for what the embedded provider does not speak; None where it does."""
    path = urlsplit(request.url).path
    form = parse_qs(request.body.decode("latin-1")) if path in ("/token", "/par") else {}
    grant = form.get("grant_type", [""])[0].rpartition(":")[2]
    if path == "/.well-known/openid-configuration" and request.url.startswith(provider.issuer + "/"):
        metadata = provider.transport(request)
        if metadata.status != 200:
            return metadata
        members = {
            **(told := json.loads(metadata.body)),
            "token_endpoint_auth_methods_supported": [
                *told["token_endpoint_auth_methods_supported"],
                "private_key_jwt",
            ],
            "backchannel_authentication_endpoint": f"{provider.issuer}/bc-authorize",
        }
        return replace(metadata, body=json.dumps(members).encode())
    if (request.method, path) == ("DELETE", "/register/s6BhdRkqt3"):
        return Reply(204)
    if path == "/token" and any(name == "dpop" for name, _ in request.headers):
        grant = "dpop"
    if grant == "client_credentials" and "client_assertion" in form and platform.accepts(form["client_assertion"][0]):
        grant = "by workload"
    if path == "/par" and "request" not in form:  # the embedded provider takes every request but a signed one
        return None
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        "/.well-known/webfinger": lambda: {"links": [{"rel": _ISSUER_REL, "href": provider.issuer}]},
        "/bc-authorize": lambda: {"auth_req_id": "1c266114-a1be-4252-8ad1-04986c5b9ac1", "expires_in": 120},
        "/par": lambda: {
            "request_uri": "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c",
            "expires_in": 60,
        },
        "/oauth-client": lambda: {"client_id": request.url, "redirect_uris": ["https://app.example.com/callback"]},
        "/register": lambda: _registered(request),
        "/register/s6BhdRkqt3": lambda: _registered(request),
        "/accounts": lambda: {"accounts": []},
        "dpop": lambda: _tokens(provider, token_type="DPoP"),
        "ciba": lambda: _tokens(provider, id_token=provider.mint("id_token", client_id="orders-service")),
        "jwt-bearer": lambda: _tokens(provider),
        "by workload": lambda: _tokens(provider),
        "token-exchange": lambda: _tokens(provider, issued_token_type="urn:ietf:params:oauth:token-type:access_token"),
    }
    answer = answers.get(grant if path == "/token" else path)
    if answer is None:
        return None
    status = 201 if path in ("/register", "/par") else 200
    return Reply(status, (("content-type", "application/json"),), json.dumps(answer()).encode())


_ISSUER_REL = "http://openid.net/specs/connect/1.0/issuer"


def _tokens(provider: EmbeddedProvider, **more: str) -> dict[str, Any]:
    return {"access_token": provider.mint(), "token_type": "Bearer", "expires_in": 300, **more}


def _push(provider: EmbeddedProvider) -> dict[str, Any]:
    """Return a push notification, as it comes to a page's notification endpoint, and what is expected of it."""
    auth_req_id, bearer, access = (
        "1c266114-a1be-4252-8ad1-04986c5b9ac1",
        "8d67dc78-7faa-4d41-aabd-67707b374255",
        "G5kXH2w",
    )
    claim: dict[str, Any] = {"urn:openid:params:jwt:claim:auth_req_id": auth_req_id}
    id_token = provider.mint("id_token", client_id="orders-service", access_token=access, **claim)
    tokens = {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": id_token}
    return {
        "pending": {auth_req_id: bearer},
        "begun": {auth_req_id: BackchannelAuthenticationResponse(True, auth_req_id=auth_req_id, asked_at=time.time())},
        "headers": {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"},
        "body": json.dumps({"auth_req_id": auth_req_id, **tokens}).encode(),
    }


def _bound(provider: EmbeddedProvider) -> dict[str, Any]:
    """Return a token that is bound to a certificate, and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "orders-service")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + datetime.timedelta(days=36500))
    certificate = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    cnf = {"x5t#S256": py_identity_model.compute_certificate_thumbprint(certificate)}
    return {"certificate": certificate, "bound_token": provider.mint(audience="api", cnf=cnf)}


def _registered(request: Request) -> dict[str, Any]:
    """Register what was asked for, with what only a provider says."""
    uri = f"https://{urlsplit(request.url).netloc}/register/s6BhdRkqt3"
    own = {"registration_client_uri": uri, "registration_access_token": "this.is.an.access.token.value.ffx83"}
    return {**json.loads(request.body), "client_id": "s6BhdRkqt3", **own}


class World:
    """Providers behind well-known https addresses: every client's transport leads to them, and else to this machine.

    The clients are the real ones; only what would open a socket is replaced.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *issuers: str) -> None:
        self._ahead = 0.0
        self.providers = {urlsplit(issuer).netloc: EmbeddedProvider(issuer, clock=self._now) for issuer in issuers}
        self.provider = next(iter(self.providers.values()))
        bank = EmbeddedProvider(BANK, clock=self._now, algorithms=("PS256",), metadata=BANK_METADATA)
        bank.add_client(BANK_CLIENT)
        self.providers[urlsplit(BANK).netloc] = bank
        for client in CLIENTS:
            self.provider.add_client(client)
        for name in ("CLIENT_SECRET", "SESSION_SECRET"):
            monkeypatch.setenv(name, SECRET)
        monkeypatch.setenv("APPLE_KEY", py_identity_model.SigningKey.generate("ES256").private_pem or "")
        monkeypatch.setattr(time, "sleep", self._sleep)  # polling shall not wait
        self.platform = Platform(self.provider.issuer)
        _mount(monkeypatch, self.platform)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"https://{RUNNER}/token?api-version=2.0")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB)

        def answering(provider: EmbeddedProvider) -> EmbeddedTransport:
            def answer(request: Request) -> Answer:
                reply = scripted(request, provider, self.platform)
                return provider.answer(request) if reply is None else Answer(reply)

            return EmbeddedTransport(answer)

        transports = {host: answering(provider) for host, provider in self.providers.items()}
        transports |= dict.fromkeys(SITES, answering(self.provider))
        transports |= dict.fromkeys(APIS, EmbeddedTransport(_protected))
        transports[RUNNER] = EmbeddedTransport(self.platform.answer)
        #: The providers of ``docs/providers``.
        self.everyone = provider_shapes.Everyone()
        transports |= dict.fromkeys(self.everyone.hosts(), EmbeddedTransport(self.everyone.answer))

        def route(request: Any) -> EmbeddedTransport | None:
            host = urlsplit(str(request.url)).netloc
            return None if host.startswith(LOOPBACK) else transports[host]

        for library in (httpx, httpx2):
            _redirect(monkeypatch, library, route)
        self.forget()

    def _now(self) -> float:
        return time.time() + self._ahead

    def _sleep(self, seconds: float) -> None:
        self._ahead += seconds

    def forget(self) -> None:
        """Empty every cache and close the client of this thread."""
        for module in (py_identity_model, aio):
            module.clear_discovery_cache()
            module.clear_jwks_cache()
        for shown in list(prometheus_client.REGISTRY._collector_to_names):
            if isinstance(shown, ValidatorCollector):
                shown.close()
        close_http_client()

    def names(self) -> dict[str, Any]:
        """Return what the project's own pages take for granted."""
        mint = self.provider.mint
        return {
            "token": mint(audience="api", scope="read write", roles=["admin"]),
            "tokens": [mint(audience="api") for _ in range(5)],
            "id_token": mint("id_token", audience="client", nonce="n-0S6_WzA2Mj"),
            "nonce": "n-0S6_WzA2Mj",
            "public_jwks": self.provider.key_set(),
            "mcp_server": _hello,
            "keystore": SimpleNamespace(
                attestation=lambda: "attested.by.platform", prove=lambda issuer: "proof.of.key"
            ),
        }

    def run(self, block: Block, names: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run a block with the names its page takes for granted."""
        given = {**self.names(), **provider_shapes.names(block.path)} if names is None else names
        if "stored_refresh_token" in block.code:
            given["stored_refresh_token"] = self._refresh_token()
        if "pending.get" in block.code:
            given |= _push(self.provider)
        if "receiver.receive" in block.code:
            logout_token = self.provider.mint("logout_token", client_id="web-app", sid="08a5019c")
            given |= {"body": f"logout_token={logout_token}", "content_type": "application/x-www-form-urlencoded"}
        if "bound_token" in block.code:
            given |= _bound(self.provider)
        if "signed_in" in block.code:
            given["signed_in"] = self._login()
        return run(block, given, close_async_http_client)

    def _login(self) -> Any:
        """Log a user in to the web application, as the page on logins shows."""
        web_app = next(client for client in CLIENTS if client.redirect_uris)
        client = LoginClient(
            issuer=self.provider.issuer,
            client_id=web_app.client_id,
            client_secret=web_app.client_secret,
            redirect_uri=web_app.redirect_uris[0],
        )
        started = py_identity_model.begin_login(client)
        back = self.provider.transport(Request("GET", started.url or "")).header("location") or ""
        return py_identity_model.complete_login(client, back, started.transaction)

    def _refresh_token(self) -> str | None:
        """Sign the command-line tool in, as its page shows."""
        started = device.request_device_authorization(
            device.DeviceAuthorizationRequest(self.provider.url("device_authorization"), "my-tool")
        )
        request = device.DeviceTokenRequest(self.provider.url("token"), "my-tool", started.device_code or "")
        return device.wait_for_device_token(request, started).refresh_token
