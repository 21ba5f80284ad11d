"""One table of requests for the doors of all frameworks: each is sent over HTTP to a real program on a real server.

The programs are those of ``examples/``; they read their settings from the environment. Verdict, body and headers are
the same in every framework.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx2
import trustme
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from py_identity_model import DPoPKey, Reply, Request, create_dpop_proof, parse_challenges
from py_identity_model._core.binding.mtls import compute_certificate_thumbprint
from py_identity_model.sync._clients import exchange_of
from py_identity_model.testing import EmbeddedProvider

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
AUDIENCE = "https://api.example.com"
RESOURCE = f"{AUDIENCE}/v1"
METADATA = f"{AUDIENCE}/.well-known/oauth-protected-resource/v1"
INVALID = {"error": "invalid_token", "error_description": "The token is not valid"}
MALFORMED = {"error": "invalid_request", "error_description": "The request is malformed"}
FORBIDDEN = {
    "error": "insufficient_scope",
    "error_description": "The request requires higher privileges than the token grants",
}
STEP_UP = {
    "error": "insufficient_user_authentication",
    "error_description": "A different authentication level is required",
}
ADA = {"subject": "ada"}
KEY = DPoPKey()
_CA = trustme.CA()
CLIENT = _CA.issue_cert("client.example").cert_chain_pems[0].bytes()
STRANGER = _CA.issue_cert("stranger.example").cert_chain_pems[0].bytes()
#: Anything but a body that is compared.
ANY: Any = object()


class Issuer:
    """The provider behind a program, and the tokens of the table."""

    def __init__(self) -> None:
        self.provider = EmbeddedProvider()
        self.other = EmbeddedProvider(issuer="https://other.example.com")

    def token(self, *, scope: str | None = "orders.read", **changes: Any) -> str:
        """Mint a token that is good for reading, changed."""
        return self.provider.mint(**{"audience": AUDIENCE, "subject": "ada", "scope": scope} | changes)

    def bearer(self, **changes: Any) -> tuple[str, str]:
        """Return a header with such a token."""
        return "Authorization", f"Bearer {self.token(**changes)}"

    def bound(self, method: str = "GET", url: str = f"{AUDIENCE}/orders", **changes: Any) -> list[tuple[str, str]]:
        """Return the headers of a request with a token bound to a key, and its proof."""
        token = self.token(cnf={"jkt": KEY.jwk_thumbprint}, **changes)
        proof = create_dpop_proof(KEY, method, url, access_token=token)
        return [("Authorization", f"DPoP {token}"), ("DPoP", proof)]

    def certified(self, certificate: bytes | None) -> list[tuple[str, str]]:
        """Return the headers of a request with a certificate-bound token, as the proxy forwards it (RFC 9440)."""
        header = self.bearer(cnf={"x5t#S256": compute_certificate_thumbprint(CLIENT)})
        return [header] if certificate is None else [header, ("Client-Cert", client_cert(certificate))]


def client_cert(pem: bytes) -> str:
    """Return a certificate as RFC 9440 has it in a header."""
    lines = pem.decode().strip().splitlines()
    return f":{''.join(lines[1:-1])}:"


Headers = Callable[[Issuer], list[tuple[str, str]]]


@dataclass(frozen=True)
class Case:
    """One request and the answer to it.

    Attributes:
        name: What it is, in words.
        headers: Its headers; those of the proxy are added.
        status: The status of the answer.
        body: Its JSON; None for no body.
        challenge: Parameters of its Bearer challenge; None for no challenge at all.
        method: The method.
        path: The path with the query.
        twice: Whether the answer is that to the second of two equal requests.
    """

    name: str
    headers: Headers
    status: int = 200
    body: Any = field(default_factory=lambda: ADA)
    challenge: dict[str, str] | None = None
    method: str = "GET"
    path: str = "/orders"
    twice: bool = False


def told(error: dict[str, str] | None = None, **more: str) -> dict[str, str]:
    """Return the parameters of a challenge."""
    return {"resource_metadata": METADATA} | (error or {}) | more


def presented(token: str, scheme: str = "Bearer") -> tuple[str, str]:
    """Return a header with a token."""
    return "Authorization", f"{scheme} {token}"


READ = {"scope": "orders.read"}
BASIC = ("Authorization", "Basic YTpi")
REFUSED_TOKEN, NO_SCOPE = told(INVALID, **READ), told(FORBIDDEN, **READ)


def bad(name: str, header: Callable[[Issuer], str], **changes: Any) -> Case:
    """Return a request with a token that is not valid: always the same answer."""
    return Case(name, lambda i: [("Authorization", f"Bearer {header(i)}")], 401, INVALID, REFUSED_TOKEN, **changes)


def broken(name: str, headers: Headers, **changes: Any) -> Case:
    """Return a request that presents its token in a way that is not allowed."""
    return Case(name, headers, 400, MALFORMED, told(MALFORMED), **changes)


CASES = [
    # ---- let in
    Case("a good token", lambda i: [i.bearer()]),
    Case("a lower-case scheme", lambda i: [("authorization", f"bearer {i.token()}")]),
    Case("an upper-case scheme", lambda i: [("AUTHORIZATION", f"BEARER {i.token()}")]),
    Case("several spaces", lambda i: [("Authorization", f"Bearer   {i.token()}")]),
    Case("scopes as a list", lambda i: [i.bearer(scope=None, scp=["orders.read"])]),
    Case("more scopes than needed", lambda i: [i.bearer(scope="a orders.read b")]),
    Case("several audiences", lambda i: [i.bearer(audience=["https://x.example.com", AUDIENCE])]),
    Case("a long token", lambda i: [i.bearer(groups=["g" * 40] * 80)]),
    Case("an unknown header beside it", lambda i: [i.bearer(), ("X-Access-Token", "x")]),
    Case("a query of its own", lambda i: [i.bearer()], path="/orders?page=1&q=%61"),
    Case("HEAD", lambda i: [i.bearer()], method="HEAD", body=None),
    Case("a tab behind the token", lambda i: [("Authorization", f"Bearer {i.token()}\t")]),
    Case("bytes that are no ASCII beside it", lambda i: [i.bearer(), ("X-Name", "\xff\xe9"), ("X-Request-Id", "\xff")]),
    Case("both scopes", lambda i: [i.bearer(scope="orders.write orders.read")], method="POST"),
    Case("one of the roles", lambda i: [i.bearer(roles=["auditor"])], path="/reports"),
    Case("a role of Keycloak", lambda i: [i.bearer(realm_access={"roles": ["owner"]})], path="/reports"),
    Case(
        "a strong and fresh login",
        lambda i: [i.bearer(scope="pay", acr="phr", auth_time=int(time.time()) - 5)],
        method="POST",
        path="/payments",
    ),
    Case("nobody where that is enough", lambda i: [], path="/whoami", body={"subject": None}),
    Case("somebody where nobody is enough", lambda i: [i.bearer()], path="/whoami"),
    Case("another scheme where nobody is enough", lambda i: [BASIC], path="/whoami", body={"subject": None}),
    Case(
        "a preflight",
        lambda i: [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "GET")],
        method="OPTIONS",
        body=ANY,
        status=ANY,
    ),
    Case(
        "a preflight with a token that is not valid",
        lambda i: [
            presented("x.y.z"),
            ("Origin", "https://app.example.com"),
            ("Access-Control-Request-Method", "GET"),
        ],
        method="OPTIONS",
        body=ANY,
        status=ANY,
    ),
    # ---- no token
    Case("no token", lambda i: [], 401, None, told(**READ)),
    Case("no token, HEAD", lambda i: [], 401, None, told(**READ), method="HEAD"),
    Case("no token, two scopes", lambda i: [], 401, None, told(scope="orders.read orders.write"), method="POST"),
    Case("no token, roles", lambda i: [], 401, None, told(), path="/reports"),
    Case("another scheme", lambda i: [BASIC], 401, None, told(**READ)),
    Case("a tab behind the scheme", lambda i: [("Authorization", f"Bearer\t{i.token()}")], 401, None, told(**READ)),
    Case("a scheme that is no ASCII", lambda i: [presented(i.token(), "B\xe9arer")], 401, None, told(**READ)),
    Case("an empty header", lambda i: [("Authorization", "")], 401, None, told(**READ)),
    Case("a token in another header", lambda i: [("X-Authorization", i.bearer()[1])], 401, None, told(**READ)),
    Case("a token in a cookie", lambda i: [("Cookie", f"access_token={i.token()}")], 401, None, told(**READ)),
    Case("OPTIONS that is no preflight", lambda i: [], 401, None, told(**READ), method="OPTIONS"),
    # ---- tokens that are not valid
    bad("an expired token", lambda i: i.token(expires_in=-120)),
    bad("a token of tomorrow", lambda i: i.token(nbf=int(time.time()) + 3600)),
    bad("another audience", lambda i: i.token(audience="https://other.example.com")),
    bad("no audience", lambda i: i.token(aud=None)),
    bad("another issuer", lambda i: i.other.mint(audience=AUDIENCE, subject="ada", scope="orders.read")),
    bad("another's signature", lambda i: i.other.mint(audience=AUDIENCE, iss=i.provider.issuer)),
    bad("no signature", lambda i: i.token().rpartition(".")[0] + "."),
    bad("a changed signature", lambda i: i.token()[:-6] + "AAAAAA"),
    bad("the algorithm none", lambda i: i.provider.forge("alg_none")),
    bad("an ID token", lambda i: i.provider.mint("id_token", audience=AUDIENCE, nonce="n")),
    bad("an opaque token", lambda i: "2YotnFZFEjr1zCsicMWpAA"),
    bad("nothing but dots", lambda i: "..", ),
    bad("a token that is not valid, HEAD", lambda i: i.token(expires_in=-120), method="HEAD"),
    Case(
        "a bad token where nobody is enough",
        lambda i: [i.bearer(expires_in=-120)],
        401,
        INVALID,
        told(INVALID),
        path="/whoami",
    ),
    # ---- tokens in the wrong place or number
    broken("a token in the query", lambda i: [], path="/orders?access_token=x"),
    broken("a token in the query, encoded", lambda i: [], path="/orders?%61ccess_token=x"),
    broken("a token in header and query", lambda i: [i.bearer()], path="/orders?access_token=x"),
    broken("two headers", lambda i: [i.bearer(), i.bearer()]),
    broken("two tokens in one header", lambda i: [("Authorization", f"Bearer {i.token()}, Bearer {i.token()}")]),
    broken("two headers, one of another scheme", lambda i: [BASIC, i.bearer()]),
    broken("another scheme and a token in one header", lambda i: [presented(f"YTpi, Bearer {i.token()}", "Basic")]),
    broken("a comma behind the token", lambda i: [("Authorization", f"Bearer {i.token()},")]),
    broken("a tab before the token", lambda i: [("Authorization", f"Bearer \t{i.token()}")]),
    broken("a token that is no ASCII", lambda i: [presented(f"\xe9{i.token()}")]),
    broken("a token of bytes", lambda i: [presented("\xff\xfe")]),
    broken("a scheme without a token", lambda i: [("Authorization", "Bearer")]),
    broken("two words", lambda i: [("Authorization", "Bearer a b")]),
    broken("a token in quotes", lambda i: [("Authorization", 'Bearer "abc"')]),
    broken("a token in the query where nobody is enough", lambda i: [], path="/whoami?access_token=x"),
    # ---- not enough
    Case("no scope", lambda i: [i.bearer(scope=None)], 403, FORBIDDEN, NO_SCOPE),
    Case("a scope that begins alike", lambda i: [i.bearer(scope="orders.reader")], 403, FORBIDDEN, NO_SCOPE),
    Case("a scope in capitals", lambda i: [i.bearer(scope="ORDERS.READ")], 403, FORBIDDEN, NO_SCOPE),
    Case(
        "one of two scopes",
        lambda i: [i.bearer()],
        403,
        FORBIDDEN,
        told(FORBIDDEN, scope="orders.read orders.write"),
        method="POST",
    ),
    Case("no role", lambda i: [i.bearer(roles=["clerk"])], 403, FORBIDDEN, told(FORBIDDEN), path="/reports"),
    Case(
        "a weak login",
        lambda i: [i.bearer(scope="pay", acr="pwd", auth_time=int(time.time()))],
        401,
        STEP_UP,
        told(STEP_UP, acr_values="phr", max_age="300"),
        method="POST",
        path="/payments",
    ),
    Case(
        "an old login, and no scope",
        lambda i: [i.bearer(acr="phr", auth_time=int(time.time()) - 400)],
        401,
        STEP_UP,
        told(STEP_UP, acr_values="phr", max_age="300", scope="pay"),
        method="POST",
        path="/payments",
    ),
    # ---- bound tokens
    Case("a proof", lambda i: i.bound()),
    Case(
        "a proof, and a lower-case scheme",
        lambda i: [(name, value.replace("DPoP ", "dpop ")) for name, value in i.bound()],
    ),
    Case("a proof, and a query", lambda i: i.bound(), path="/orders?page=1"),
    Case("a proof for POST", lambda i: i.bound("POST", scope="orders.read orders.write"), method="POST"),
    Case("a proof twice", lambda i: i.bound(), 401, ANY, told(**READ), twice=True),
    Case("a proof for another method", lambda i: i.bound("POST"), 401, ANY, told(**READ)),
    Case("a proof for the address inside", lambda i: i.bound(url="http://127.0.0.1/orders"), 401, ANY, told(**READ)),
    Case("a proof for another path", lambda i: i.bound(url=f"{AUDIENCE}/reports"), 401, ANY, told(**READ)),
    Case("a bound token without a proof", lambda i: i.bound()[:1], 401, ANY, told(**READ)),
    Case(
        "a bound token as a bearer token",
        lambda i: [i.bearer(cnf={"jkt": KEY.jwk_thumbprint})],
        401,
        INVALID,
        told(INVALID, **READ),
    ),
    Case("a proof for an unbound token", lambda i: [presented(i.token(), "DPoP"), i.bound()[1]], 401, ANY, ANY),
    Case("a certificate", lambda i: i.certified(CLIENT)),
    Case("two proofs", lambda i: [*i.bound(), ("DPoP", "x")], 401, ANY, told(**READ)),
    Case(
        "a proof for what the nearest proxy says",
        lambda i: [*i.bound(), ("X-Forwarded-Host", "evil.example.com, api.example.com")],
    ),
    Case(
        "a proof for what a farther proxy says",
        lambda i: [*i.bound(), ("X-Forwarded-Host", "api.example.com, evil.example.com")],
        401,
        ANY,
        told(**READ),
    ),
    Case(
        "two certificates",
        lambda i: [*i.certified(CLIENT), ("Client-Cert", client_cert(STRANGER))],
        401,
        INVALID,
        REFUSED_TOKEN,
    ),
    Case(
        "a certificate that is none",
        lambda i: [*i.certified(None), ("Client-Cert", ":AAAA:")],
        401,
        INVALID,
        REFUSED_TOKEN,
    ),
    Case("another certificate", lambda i: i.certified(STRANGER), 401, INVALID, REFUSED_TOKEN),
    Case("no certificate", lambda i: i.certified(None), 401, INVALID, REFUSED_TOKEN),
    Case("a token bound in an unknown way", lambda i: [i.bearer(cnf={"kid": "x"})], 401, INVALID, REFUSED_TOKEN),
]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Programs on servers


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], folder: Path, port: int, *, ready_at: str = "/healthz", **variables: str
) -> Iterator[int]:
    """Run a server until the block ends; it answers when the block begins.

    Args:
        command: What follows ``python -m``.
        folder: Where the program is.
        port: Where it listens.
        ready_at: A path that answers 200.
        variables: Its environment.
    """
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src"), "PYTHONWARNINGS": "", **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until(lambda: answers(port, ready_at), process)
        assert process.stdout is not None
        # A pipe that nobody reads fills up, and the server waits for ever.
        threading.Thread(target=_read_on, args=(process.stdout,), daemon=True).start()
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _read_on(stream: IO[bytes]) -> None:
    with stream:
        while stream.read(65536):
            pass


def until(done: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Wait for a server to be there; what it said is told if it ends instead."""
    end = time.monotonic() + seconds
    while not done():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(process.communicate()[0].decode()[-3000:])
        time.sleep(0.1)


def answers(port: int, path: str = "/healthz") -> bool:
    """Tell whether a server answers 200 there."""
    try:
        return send(port, "GET", path, [])[0] == 200
    except OSError:
        return False


#: What the proxy in front of every program says: it is trusted, as it comes from this machine.
FORWARDED = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example.com")]


def send(port: int, method: str, path: str, headers: list[tuple[str, str]]) -> tuple[int, list[tuple[str, str]], bytes]:
    """Send one request as the proxy would: status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in [*FORWARDED, *headers]:
            connection.putheader(name, value)
        if method == "POST":
            connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read()
    finally:
        connection.close()


def relay(port: int, prefix: str = "") -> Callable[[Request], Reply]:
    """Return a transport that reaches a program by its public address, as by the proxy that takes *prefix* off."""

    def transport(request: Request) -> Reply:
        parts = urlsplit(request.url)
        if parts.hostname == "127.0.0.1":
            return exchange_of(None)(request)
        path = (parts.path.removeprefix(prefix) or "/") + (f"?{parts.query}" if parts.query else "")
        forwarded = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", parts.netloc)]
        url = f"http://127.0.0.1:{port}{path}"
        headers = [*forwarded, *request.headers]
        answer = httpx2.request(request.method, url, content=request.body, headers=headers, timeout=30)
        told = tuple((name.lower(), value) for name, value in answer.headers.multi_items())
        return Reply(answer.status_code, told, answer.content, request.url)

    return transport


def settings(issuer: str, **more: str) -> dict[str, str]:
    """Return the environment of a program."""
    return {
        "OIDC_ISSUER": issuer,
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_RESOURCE": RESOURCE,
        "OIDC_SCOPES_SUPPORTED": "orders.read orders.write pay",
        "OIDC_TRUSTED_PROXIES": "127.0.0.1",
        **more,
    }


def check(port: int, case: Case, issuer: Issuer) -> None:
    """Send a request of the table and hold the answer against it."""
    headers = case.headers(issuer)
    if case.twice:
        assert send(port, case.method, case.path, headers)[0] == 200
    status, answered, body = send(port, case.method, case.path, headers)
    assert case.status is ANY or status == case.status, (status, answered, body)
    if case.status is ANY:  # what a preflight is told is the application's own business
        assert 200 <= status < 300
        return
    if case.body is not ANY:
        expected = None if case.method == "HEAD" else case.body
        assert (json.loads(body) if body else None) == expected
    challenges = [value for name, value in answered if name == "www-authenticate"]
    if case.challenge is None:
        assert challenges == []
    elif case.challenge is not ANY:
        bearer = next(each for each in parse_challenges(challenges) if each.has_scheme("Bearer"))
        assert dict(bearer.parameters) == case.challenge
        assert any(each.has_scheme("DPoP") for each in parse_challenges(challenges))
    if status >= 400:
        assert dict(answered)["cache-control"] == "no-store"
        assert dict(answered)["x-request-id"]
    for _, value in headers:
        assert value.rpartition(" ")[2] not in body.decode() or len(value) < 20


# ---------------------------------------------------------------------------------------------------------------------
# Requests as no client of good will writes them


def raw(line: str, *headers: str, host: str = "api.example.com") -> bytes:
    """Return a request, byte for byte, as the proxy would send it on."""
    every = [f"Host: {host}", "Connection: close", *(f"{name}: {value}" for name, value in FORWARDED), *headers]
    return "\r\n".join([f"{line} HTTP/1.1", *every, "", ""]).encode("latin-1")


#: What they are, the request, and the statuses that are right: those of the gate, of the router, or of the server.
HOSTILE: list[tuple[str, Callable[[str], bytes], set[int]]] = [
    ("no route", lambda good: raw("GET /nothing"), {401, 404}),
    ("no route, HEAD", lambda good: raw("HEAD /nothing"), {401, 404}),
    ("no route, OPTIONS", lambda good: raw("OPTIONS /nothing"), {401, 404}),
    ("no route, with a token", lambda good: raw("GET /nothing", good), {404}),
    ("everything", lambda good: raw("OPTIONS *"), {400, 401, 404}),
    ("a method in small letters", lambda good: raw("get /orders"), {400, 401, 405}),
    ("a preflight in small letters", lambda good: raw("options /orders", "Origin: https://a.example"), {400, 401, 405}),
    ("an unknown method", lambda good: raw("FOO /orders"), {400, 401, 405}),
    ("an unknown method with a token", lambda good: raw("FOO /orders", good), {400, 404, 405}),
    ("another method", lambda good: raw("DELETE /orders", good), {404, 405}),
    ("another method of health", lambda good: raw("DELETE /healthz"), {405}),
    ("a slash behind", lambda good: raw("GET /orders/"), {307, 401, 404}),
    ("two slashes", lambda good: raw("GET //orders"), {401, 404}),
    ("dots", lambda good: raw("GET /healthz/../orders"), {401, 404}),
    ("encoded dots", lambda good: raw("GET /healthz/%2e%2e/orders"), {401, 404}),
    ("encoded slashes", lambda good: raw("GET /healthz%2f..%2forders"), {401, 404}),
    ("an encoded letter", lambda good: raw("GET /%6frders"), {401}),
    ("an encoded letter, with a token", lambda good: raw("GET /%6frders", good), {200}),
    ("an encoded zero", lambda good: raw("GET /orders%00", good), {400, 404}),
    ("bytes that are no UTF-8", lambda good: raw("GET /orders%ff", good), {400, 404}),
    ("raw bytes in the path", lambda good: raw("GET /orders\xff", good), {400}),
    ("an absolute address", lambda good: raw("GET http://evil.example/orders"), {401, 404}),
    ("a host that is none", lambda good: raw("GET /orders", good, host="x[#?/"), {400}),
    ("a zero in a header", lambda good: raw("GET /orders", "Authorization: Bearer a\x00b"), {400}),
    ("a folded header", lambda good: raw("GET /orders", "Authorization: Bearer\r\n x.y.z"), {400, 401}),
    ("a header with an underscore", lambda good: raw("GET /orders", good.replace("Authorization", "X_")), {400, 401}),
    ("a query of bytes", lambda good: raw("GET /orders?%ff=%fe", good), {200}),
    ("a query that ends in a token", lambda good: raw("GET /orders?a=1&access_token=", good), {400}),
    ("150 headers", lambda good: raw("GET /orders", good, *(f"X-{n}: y" for n in range(150))), {200, 400, 431}),
    ("a token of 17 KB", lambda good: raw("GET /orders", f"Authorization: Bearer {'A' * 17_000}"), {400, 401, 431}),
    ("a token of 70 KB", lambda good: raw("GET /orders", f"Authorization: Bearer {'A' * 70_000}"), {400, 431}),
    ("a token of 300 KB", lambda good: raw("GET /orders", f"Authorization: Bearer {'A' * 300_000}"), {400, 431}),
    ("a large header beside a token", lambda good: raw("GET /orders", good, f"X-Big: {'A' * 70_000}"), {200, 400, 431}),
]


def send_raw(port: int, request: bytes) -> tuple[int, bytes]:
    """Send bytes; the status and the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # some servers answer before they have read everything
            connection.sendall(request)
        answer = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
    return int(answer.split(b" ", 2)[1]), bytes(answer.partition(b"\r\n\r\n")[2])


# ---------------------------------------------------------------------------------------------------------------------
# WebSockets


@dataclass(frozen=True)
class Opening:
    """How a WebSocket is opened, and what comes of it.

    Attributes:
        name: What it is, in words.
        headers: The headers of its request.
        subprotocols: What it offers.
        status: 101, or the status that refuses it.
        challenge: Parameters of the Bearer challenge of a refusal; None for no challenge at all.
        chosen: The subprotocol that is chosen.
        anywhere: Whether every door takes its token from there; the others are of the ASGI middleware.
    """

    name: str
    headers: Headers
    subprotocols: Callable[[Issuer], list[str]] = lambda i: []
    status: int = 101
    challenge: dict[str, str] | None = None
    chosen: str | None = None
    anywhere: bool = True


PAGE = ("Origin", "https://app.example.com")
OPENINGS = [
    Opening("a good token", lambda i: [i.bearer()]),
    Opening("no token", lambda i: [], status=401, challenge=told(**READ)),
    Opening("an expired token", lambda i: [i.bearer(expires_in=-120)], status=401, challenge=REFUSED_TOKEN),
    Opening("no scope", lambda i: [i.bearer(scope="other")], status=403, challenge=NO_SCOPE),
    Opening("two headers", lambda i: [i.bearer(), i.bearer()], status=400, challenge=told(MALFORMED)),
    Opening("a proof", lambda i: i.bound(url=f"{AUDIENCE}/ws")),
    Opening("a proof for another path", lambda i: i.bound(), status=401, challenge=told(**READ)),
    Opening("a subprotocol", lambda i: [], lambda i: ["bearer", i.token()], chosen="bearer", anywhere=False),
    Opening(
        "a subprotocol with a token that is not valid",
        lambda i: [],
        lambda i: ["bearer", i.token(expires_in=-120)],
        status=401,
        challenge=REFUSED_TOKEN,
        anywhere=False,
    ),
    Opening(
        "a subprotocol and a header",
        lambda i: [i.bearer()],
        lambda i: ["bearer", i.token()],
        status=400,
        challenge=told(MALFORMED),
        anywhere=False,
    ),
    Opening("a cookie of a page", lambda i: [PAGE, ("Cookie", f"a=b; access_token={i.token()}")], anywhere=False),
    Opening(
        "a cookie of another page",
        lambda i: [("Origin", "https://evil.example.com"), ("Cookie", f"access_token={i.token()}")],
        status=401,
        challenge=told(**READ),
    ),
    Opening(
        "two cookies",
        lambda i: [PAGE, ("Cookie", f"access_token={i.token()}; access_token={i.token()}")],
        status=400,
        challenge=told(MALFORMED),
        anywhere=False,
    ),
]


def check_opening(port: int, opening: Opening, issuer: Issuer, by_http: bool = True) -> None:
    """Open a WebSocket and hold what comes of it against the table.

    Args:
        port: Where the program listens.
        opening: How it is opened.
        issuer: Who makes its token.
        by_http: Whether the server lets an application answer by HTTP; the others say 403.
    """
    offered: Any = opening.subprotocols(issuer) or None
    headers = [*FORWARDED, *opening.headers(issuer)]
    address = f"ws://127.0.0.1:{port}/ws"
    try:
        with connect(address, additional_headers=headers, subprotocols=offered, proxy=None, open_timeout=30) as live:
            assert (json.loads(live.recv(timeout=30)), opening.status) == (ADA, 101)
            assert live.subprotocol == opening.chosen
            return
    except InvalidStatus as refused:
        answer = refused.response
    if not by_http:
        assert (answer.status_code, opening.status == 101) == (403, False)
        return
    challenges = answer.headers.get_all("www-authenticate")
    assert (answer.status_code, answer.headers["cache-control"]) == (opening.status, "no-store")
    bearer = next(each for each in parse_challenges(challenges) if each.has_scheme("Bearer"))
    assert dict(bearer.parameters) == opening.challenge
