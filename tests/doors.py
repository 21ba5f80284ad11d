"""One table of requests for the doors of all frameworks: each is sent over HTTP to a real program on a real server.

The programs are those of ``examples/``; they read their settings from the environment. Verdict, body and headers are
the same in every framework.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme

from py_identity_model import DPoPKey, create_dpop_proof, parse_challenges
from py_identity_model._core.binding.mtls import compute_certificate_thumbprint
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
    # ---- no token
    Case("no token", lambda i: [], 401, None, told(**READ)),
    Case("no token, HEAD", lambda i: [], 401, None, told(**READ), method="HEAD"),
    Case("no token, two scopes", lambda i: [], 401, None, told(scope="orders.read orders.write"), method="POST"),
    Case("no token, roles", lambda i: [], 401, None, told(), path="/reports"),
    Case("another scheme", lambda i: [BASIC], 401, None, told(**READ)),
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
def running(command: list[str], folder: Path, port: int, **variables: str) -> Iterator[int]:
    """Run a server until the block ends; it answers when the block begins.

    Args:
        command: What follows ``python -m``.
        folder: Where the program is.
        port: Where it listens.
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
        until(lambda: answers(port), process)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()


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
    if case.status is ANY:  # a preflight is the application's own business
        assert status not in (401, 403, 503)
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


def random_path() -> str:
    """Return a path that no program has."""
    return "/" + quote(secrets.token_hex(4))
