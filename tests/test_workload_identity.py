"""Tokens that a platform gives its workloads: read as they are now, and used in each of the three ways.

The shapes of tokens and answers follow what Kubernetes, GitHub, GitLab, SPIFFE, Entra, Google and Keycloak document; no
text of theirs is repeated.
"""

from __future__ import annotations

import copy
import datetime
import io
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from oauth_world import INVENTORY, World
from py_identity_model import (
    ClientCredentialsTokenRequest,
    ConfigurationException,
    DPoPKey,
    EnvironmentToken,
    FileToken,
    GitHubActions,
    GitLab,
    JwtBearerTokenRequest,
    KubernetesToken,
    MtlsClientAuth,
    PyIdentityModelException,
    Secret,
    SigningKey,
    SpiffeJwt,
    TokenExchangeRequest,
    TokenUnavailable,
    WorkloadIdentity,
    pickled_with_secrets,
)
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._workload_identity import KUBERNETES_TOKEN

KEY = SigningKey.generate("ES256", kid="platform")
JSON = (("content-type", "application/json"),)
TOKEN_ENDPOINT = "https://sts.example.com/v1/token"
GITHUB = "https://runner.actions.example.com/token?api-version=2.0&job=7"


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> World:
    """A provider, and processes of each API in turn."""
    return World(request.param, clock)


def jwt(world: World, **claims: Any) -> str:
    """Return a platform's token, good for ten minutes."""
    said = {
        "iss": "https://platform.example.com",
        "sub": "system:serviceaccount:shop:orders",
        "aud": ["https://id.example.com"],
        "exp": int(world.clock.wall) + 600,
        **claims,
    }
    return sign_compact({name: value for name, value in said.items() if value is not None}, KEY)


def put(path: Path, text: str | bytes) -> Path:
    """Write a file as a platform does."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o644)
    return path


def with_assertions(reply: Reply) -> Reply:
    """Return metadata of a provider that takes assertions, as Entra and Keycloak do."""
    said = json.loads(reply.body)
    said["token_endpoint_auth_methods_supported"] = ["client_secret_basic", "private_key_jwt"]
    return Reply(reply.status, reply.headers, json.dumps(said).encode(), reply.url)


class Endpoint:
    """A token endpoint that takes what platforms' tokens are sent to, and remembers it."""

    def __init__(self, world: World, **answer: Any) -> None:
        self.world, self.forms = world, []
        self.headers: list[dict[str, str]] = []
        self.answer = {
            "token_type": "Bearer",
            "expires_in": 300,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            **answer,
        }
        world.between = self

    def __call__(self, request: Request) -> Reply:
        if request.method != "POST":
            return with_assertions(self.world.provider.transport(request))
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
        assert len(dict(pairs)) == len(pairs), "a parameter came twice"
        self.forms.append(dict(pairs))
        self.headers.append({name.lower(): value for name, value in request.headers})
        body = {"access_token": f"token-{len(self.forms)}", **self.answer}
        return Reply(200, JSON, json.dumps(body).encode(), request.url)


def fetched(world: World, source: Any, http_client: Any = None) -> str:
    """Return the token of a source, with the API of the world."""
    door = blocking if world.kind == "sync" else awaitable
    found: Secret = world.run(door.fetch_identity_token, source, http_client=http_client)
    return found.expose()


def refused(world: World, source: Any, http_client: Any = None) -> PyIdentityModelException:
    """Return what fetching fails with."""
    with pytest.raises(PyIdentityModelException) as error:
        fetched(world, source, http_client)
    return error.value


# ---- files


def test_a_file_is_read_for_each_request(world: World, tmp_path: Path) -> None:
    """A token that was renewed is used at once; white space around it does not count."""
    path = put(tmp_path / "token", first := jwt(world))
    source = FileToken(path)
    assert fetched(world, source) == first
    put(path, "\n" + (second := jwt(world, jti="2")) + "\r\n")
    assert fetched(world, source) == second


def test_a_file_that_is_swapped_by_a_link_is_read_whole(world: World, tmp_path: Path) -> None:
    """Kubernetes renews a projected volume by putting one directory link in the place of another."""
    tokens = [jwt(world, jti=str(n)) for n in range(3)]
    for n, token in enumerate(tokens):
        (tmp_path / f"..{n}").mkdir()
        put(tmp_path / f"..{n}" / "token", token)
    os.symlink("..0", tmp_path / "..data")
    os.symlink("..data/token", tmp_path / "token")
    source = KubernetesToken(tmp_path / "token")
    found = [fetched(world, source)]
    for n in (1, 2):
        os.symlink(f"..{n}", tmp_path / "..new")
        os.replace(tmp_path / "..new", tmp_path / "..data")
        found.append(fetched(world, source))
    assert found == tokens


def fifo(path: Path) -> None:
    """Make a pipe that nobody writes to."""
    os.mkfifo(path)


def endless(path: Path) -> None:
    """Link to a device without an end."""
    os.symlink("/dev/zero", path)


def circle(path: Path) -> None:
    """Link a file to itself."""
    os.symlink(path, path)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "identity_token_missing"),
        (lambda path: os.symlink(path.with_name("nowhere"), path), "identity_token_missing"),
        (lambda path: put(path, ""), "identity_token_unreadable"),
        (lambda path: put(path, " \n"), "identity_token_unreadable"),
        (lambda path: put(path, "e" * 65537), "identity_token_unreadable"),
        (lambda path: put(path, b"\xff\xfe"), "identity_token_unreadable"),
        (lambda path: path.mkdir(), "identity_token_unreadable"),
        (fifo, "identity_token_unreadable"),
        (endless, "identity_token_unreadable"),
        (circle, "identity_token_unreadable"),
        (lambda path: put(path, "x").chmod(0o646), "identity_token_unsafe"),
        (lambda path: put(path, "two words"), "identity_token_invalid"),
        (lambda path: put(path, "one\ntwo"), "identity_token_invalid"),
        (lambda path: put(path, "naïve"), "identity_token_invalid"),
    ],
)
def test_what_is_no_token_file_is_refused(world: World, tmp_path: Path, make: Callable[[Path], Any], code: str) -> None:
    """Missing, empty, too large, no text, no file, in a circle, or open to every user: each says what to do."""
    path = tmp_path / "token"
    make(path)
    error = refused(world, FileToken(path))
    assert (error.code, str(path) in str(error)) == (code, True)
    assert isinstance(error, ConfigurationException)


def test_a_file_that_may_not_be_read_says_so(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told, and nothing that the system said beside it."""

    def denied(*_: Any) -> int:
        raise PermissionError(13, "Permission denied: secret words")

    monkeypatch.setattr("py_identity_model._workload_identity.os.open", denied)
    error = refused(world, FileToken(tmp_path / "token"))
    assert (error.code, error.actual) == ("identity_token_unreadable", "PermissionError")
    assert "secret words" not in "".join(traceback.format_exception(error))


def test_an_opaque_token_is_no_fault_where_no_jwt_is_promised(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file or a variable may hold any token; those of Kubernetes, GitLab and SPIFFE are JWTs."""
    path = put(tmp_path / "token", "opaque-token")
    monkeypatch.setenv("ANY", "opaque-token")
    assert {fetched(world, FileToken(path)), fetched(world, EnvironmentToken("ANY"))} == {"opaque-token"}
    for source in (KubernetesToken(path), SpiffeJwt(path), GitLab("ANY")):
        assert refused(world, source).code == "identity_token_invalid"


@pytest.mark.parametrize("kind", [FileToken, KubernetesToken, SpiffeJwt])
def test_an_expired_token_is_never_sent(world: World, tmp_path: Path, kind: Any) -> None:
    """It can be renewed any moment, so the refusal is no mistake of the caller's; it says who should have done it."""
    path = put(tmp_path / "token", jwt(world, sub="spiffe://example.org/orders"))
    world.clock.advance(599)
    assert fetched(world, kind(path))
    world.clock.advance(1)
    error = refused(world, kind(path))
    assert (type(error), error.code) == (TokenUnavailable, "identity_token_expired")
    assert error.hint


def test_a_kubernetes_token_for_the_api_server_stays_in_the_cluster(world: World, tmp_path: Path) -> None:
    """Whoever got it could act there as this pod; naming the audience says that it is meant."""
    cluster = "https://kubernetes.default.svc.cluster.local"
    path = put(tmp_path / "token", token := jwt(world, aud=[cluster]))
    error = refused(world, KubernetesToken(path))
    assert (error.code, error.claim) == ("identity_token_audience", "aud")
    assert fetched(world, KubernetesToken(path, audience=cluster)) == token
    assert refused(world, KubernetesToken(path, audience="https://id.example.com")).code == "identity_token_audience"
    put(path, token := jwt(world, aud=[cluster, "https://id.example.com"]))
    assert fetched(world, KubernetesToken(path)) == token
    assert repr(KubernetesToken()) == f"KubernetesToken({KUBERNETES_TOKEN!r})"


@pytest.mark.parametrize("subject", [None, 7, "ada", "https://example.org/orders"])
def test_a_jwt_svid_has_a_spiffe_id(world: World, tmp_path: Path, subject: Any) -> None:
    """A file with another JWT is not shown as one."""
    path = put(tmp_path / "svid", jwt(world, sub=subject))
    assert refused(world, SpiffeJwt(path)).code == "identity_token_invalid"


# ---- variables


def test_a_variable_is_read_for_each_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitLab puts a job's token into the variable that the job names; without it the hint says where."""
    assert refused(world, GitLab("PROVIDER_TOKEN")).code == "identity_token_missing"
    assert "id_tokens" in str(refused(world, GitLab("PROVIDER_TOKEN")).hint)
    for token in (jwt(world), jwt(world, jti="2")):
        monkeypatch.setenv("PROVIDER_TOKEN", token)
        assert fetched(world, GitLab("PROVIDER_TOKEN")) == token
    world.clock.advance(600)
    assert refused(world, GitLab("PROVIDER_TOKEN")).code == "identity_token_expired"


@pytest.mark.parametrize(
    ("make", "claim"),
    [
        (lambda: FileToken(""), "path"),
        (lambda: FileToken(7), "path"),  # type: ignore[arg-type]
        (lambda: FileToken(b"x"), "path"),  # type: ignore[arg-type]
        (lambda: KubernetesToken("x", audience=""), "audience"),
        (lambda: EnvironmentToken(""), "name"),
        (lambda: EnvironmentToken("A=B"), "name"),
        (lambda: GitLab(None), "env"),  # type: ignore[arg-type]
        (lambda: GitHubActions(""), "audience"),
        (lambda: WorkloadIdentity(FileToken("x"), "password"), "grant"),  # type: ignore[arg-type]
        (lambda: WorkloadIdentity(FileToken("x"), subject_token_type=""), "subject_token_type"),
    ],
)
def test_sources_are_checked_when_they_are_made(make: Callable[[], Any], claim: str) -> None:
    """What can never give a token is refused at once."""
    with pytest.raises(ConfigurationException) as error:
        make()
    assert error.value.claim == claim


# ---- GitHub


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a job with the right to ask."""
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", GITHUB)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token-of-the-job")


class GitHub:
    """GitHub's endpoint for ID tokens."""

    def __init__(self, world: World, *replies: Any) -> None:
        self.world, self.replies, self.requests = world, list(replies), []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        given = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(given, Exception):
            raise given
        status, body = given if isinstance(given, tuple) else (200, given)
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Reply(status, (*JSON, ("location", "https://evil.example.com/")), text, request.url)


@pytest.mark.usefixtures("job")
def test_github_is_asked_for_each_token(world: World) -> None:
    """With the audience, the query of the address kept, and the job's own token in the header alone."""
    token = jwt(world, aud="api://AzureADTokenExchange")
    github = GitHub(world, {"count": 1, "value": token})
    source = GitHubActions("api://AzureADTokenExchange")
    assert [fetched(world, source, github) for _ in range(2)] == [token, token]
    assert len(github.requests) == 2
    parts = urlsplit(github.requests[0].url)
    assert parse_qs(parts.query) == {"api-version": ["2.0"], "job": ["7"], "audience": ["api://AzureADTokenExchange"]}
    assert dict(github.requests[0].headers)["Authorization"] == "Bearer request-token-of-the-job"
    assert github.requests[0].method == "GET"


@pytest.mark.usefixtures("job")
def test_an_audience_in_the_address_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two audiences would leave it to GitHub which one counts."""
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", GITHUB + "&audience=other&empty=")
    github = GitHub(world, {"value": jwt(world, aud="a b&c")})
    assert fetched(world, GitHubActions("a b&c"), github)
    query = parse_qs(urlsplit(github.requests[0].url).query, keep_blank_values=True)
    assert (query["audience"], query["empty"]) == (["a b&c"], [""])


def test_a_job_without_the_right_to_ask_is_told_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both variables are missing then, as in jobs that a fork started; nothing is sent."""
    for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    github = GitHub(world, {})
    error = refused(world, GitHubActions("x"), github)
    assert (error.code, "id-token: write" in str(error.hint)) == ("identity_token_missing", True)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", GITHUB)
    assert refused(world, GitHubActions("x"), github).claim == "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
    assert github.requests == []


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://runner.actions.example.com/token", "https_required"),
        ("file:///etc/passwd", "url_invalid"),
        ("https://user@runner.actions.example.com/token", "url_invalid"),
        ("https://runner.actions.example.com/token#x", "url_invalid"),
        ("not an address", "url_invalid"),
    ],
)
def test_the_jobs_token_goes_to_a_usable_address_only(
    world: World, monkeypatch: pytest.MonkeyPatch, address: str, code: str
) -> None:
    """Whoever can set the variable must not get the token in plain text."""
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", address)
    github = GitHub(world, {})
    assert refused(world, GitHubActions("x"), github).code == code
    assert github.requests == []
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", GITHUB)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "two\nlines")
    assert refused(world, GitHubActions("x"), github).code == "identity_token_invalid"


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((302, b""), "identity_token_refused"),
        ((401, {"message": "no"}), "identity_token_refused"),
        ((403, b"<html>"), "identity_token_refused"),
        ((200, b"<html>"), "identity_token_refused"),
        ((200, b"[]"), "identity_token_refused"),
        ((200, b'{"value": "a", "value": "b"}'), "identity_token_refused"),
        ((200, {}), "identity_token_refused"),
        ((200, {"value": None}), "identity_token_refused"),
        ((200, {"value": 7}), "identity_token_refused"),
        ((200, {"value": ""}), "identity_token_refused"),
        ((200, {"value": "no jwt"}), "identity_token_invalid"),
        ((200, {"value": "e" * 70000}), "identity_token_invalid"),
        ((200, b"x" * 200_000), "identity_token_unavailable"),
    ],
)
def test_github_may_answer_anything(world: World, answer: Any, code: str) -> None:
    """Redirects are not followed, and nothing of an answer is repeated."""
    github = GitHub(world, answer)
    error = refused(world, GitHubActions("x"), github)
    assert error.code == code
    assert len(github.requests) == 1
    assert "e" * 20 not in "".join(traceback.format_exception(error))


@pytest.mark.usefixtures("job")
def test_a_token_of_github_for_another_audience_or_time_is_refused(world: World) -> None:
    """It would be of no use, and might be of use to somebody else."""
    assert refused(world, GitHubActions("x"), GitHub(world, {"value": jwt(world)})).code == "identity_token_audience"
    old = jwt(world, aud="x", exp=int(world.clock.wall) - 1)
    assert refused(world, GitHubActions("x"), GitHub(world, {"value": old})).code == "identity_token_expired"


@pytest.mark.usefixtures("job")
def test_github_is_asked_again_where_that_may_help(world: World) -> None:
    """Twice more at most, after a failure that passes; who then gets none is told that it is no fault of the job's."""
    token = jwt(world, aud="x")
    github = GitHub(world, (503, b""), (502, b""), {"value": token})
    assert fetched(world, GitHubActions("x"), github) == token
    down = GitHub(world, (503, b""))
    error = refused(world, GitHubActions("x"), down)
    assert (type(error), len(down.requests)) == (TokenUnavailable, 3)


# ---- as client assertion, RFC 7523 2.2


def test_a_platforms_token_authenticates_a_client(world: World, tmp_path: Path) -> None:
    """Entra calls it a federated credential, Keycloak a federated client: no secret, and a new token each time."""
    endpoint = Endpoint(world)
    path = put(tmp_path / "token", first := jwt(world, aud="api://AzureADTokenExchange"))
    process = world.process(client_secret=None, client_assertion=KubernetesToken(path), redirect_uri=None)
    token = process.token(scope="https://graph.example.com/.default")
    assert token.access_token == "token-1"
    assert endpoint.forms[0] == {
        "grant_type": "client_credentials",
        "scope": "https://graph.example.com/.default",
        "client_id": world.provider.client_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": first,
    }
    put(path, second := jwt(world, jti="2"))
    assert process.client_credentials(scope="https://graph.example.com/.default") == token
    world.clock.advance(301)
    assert process.token(scope="https://graph.example.com/.default").access_token == "token-2"
    assert endpoint.forms[1]["client_assertion"] == second


@pytest.mark.usefixtures("job")
def test_github_authenticates_a_client_over_the_clients_own_transport(world: World) -> None:
    """One token of GitHub for each request, whatever endpoint it is for."""
    endpoint = Endpoint(world)
    github = GitHub(world, {"value": jwt(world, aud="https://id.example.com")})
    world.between = lambda request: github(request) if "actions" in request.url else endpoint(request)
    process = world.process(client_secret=None, client_assertion=GitHubActions("https://id.example.com"))
    process.token(scope="a")
    process.introspect("opaque")
    process.revoke("opaque")
    assert len(github.requests) == 3
    assert [form["client_assertion"] for form in endpoint.forms] == [github.replies[0]["value"]] * 3


def test_a_jwt_svid_is_shown_as_one(world: World, tmp_path: Path) -> None:
    """draft-ietf-oauth-spiffe-client-auth 3.1, also where the metadata does not announce it; or as any JWT."""
    endpoint = Endpoint(world)
    svid = jwt(world, sub="spiffe://example.org/orders")
    path = put(tmp_path / "svid", svid)
    name = "spiffe://example.org/orders"
    world.process(client_id=name, client_secret=None, client_assertion=SpiffeJwt(path)).token(scope="a")
    assert endpoint.forms[0]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
    assert (endpoint.forms[0]["client_id"], endpoint.forms[0]["client_assertion"]) == (name, svid)
    for given, method, kind in (
        (SpiffeJwt(path), "private_key_jwt", "jwt-bearer"),
        (svid, "spiffe_jwt", "jwt-spiffe"),
        (SpiffeJwt(path), "spiffe_jwt", "jwt-spiffe"),
    ):
        request = ClientCredentialsTokenRequest(
            TOKEN_ENDPOINT, name, client_assertion=given, auth_method=method, auth_methods_supported=[method]
        )
        assert ask(world, "request_client_credentials_token", request, endpoint).is_successful
        assert endpoint.forms[-1]["client_assertion_type"].endswith(kind)


def test_an_x509_svid_authenticates_by_its_certificate(world: World) -> None:
    """draft-ietf-oauth-spiffe-client-auth 3.2: mutual TLS, and the client_id is the SPIFFE ID, always sent."""
    endpoint = Endpoint(world)
    svid = MtlsClientAuth("svid.pem", "svid.key", auth_method="spiffe_x509")
    request = ClientCredentialsTokenRequest(TOKEN_ENDPOINT, "spiffe://example.org/orders", mtls=svid)
    assert ask(world, "request_client_credentials_token", request, endpoint).is_successful
    assert endpoint.forms[0] == {"grant_type": "client_credentials", "client_id": "spiffe://example.org/orders"}
    request = ClientCredentialsTokenRequest(TOKEN_ENDPOINT, "orders", mtls=svid)
    assert ask(world, "request_client_credentials_token", request, endpoint).error_code == "client_id_invalid"
    with pytest.raises(ConfigurationException):
        MtlsClientAuth("svid.pem", "svid.key", auth_method="spiffe_jwt")


ORDERS = "spiffe://example.org/orders"


def svid(*names: str) -> str:
    """Return a certificate that names URIs, with a name of another kind beside them, as PEM."""
    key, start = ec.generate_private_key(ec.SECP256R1()), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ORDERS)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + datetime.timedelta(36500))
    if names:
        uris = [x509.UniformResourceIdentifier(name) for name in names]
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("orders.example.org"), *uris]), True)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def credentials(mtls: MtlsClientAuth, **options: Any) -> ClientCredentialsTokenRequest:
    """Return a request of the workload that takes orders."""
    return ClientCredentialsTokenRequest(TOKEN_ENDPOINT, ORDERS, mtls=mtls, **options)


@pytest.mark.parametrize("at", ["file", "text"])
@pytest.mark.parametrize(
    ("names", "good"),
    [
        ((ORDERS,), True),
        (("spiffe://example.org/payments",), False),
        ((ORDERS + "/",), False),
        (("spiffe://EXAMPLE.org/orders",), False),
        ((ORDERS, "spiffe://example.org/payments"), False),
        ((ORDERS, ORDERS), False),
        ((), False),
    ],
)
def test_an_x509_svid_is_shown_by_the_workload_it_names(
    world: World, tmp_path: Path, at: str, names: tuple[str, ...], good: bool
) -> None:
    """The one URI of the certificate is the client_id to the letter, else nothing is sent; X509-SVID 2."""
    endpoint, pem = Endpoint(world), svid(*names) + svid("spiffe://example.org/authority")
    given = pem if at == "text" else str(put(tmp_path / "svid.pem", pem))
    mtls = MtlsClientAuth(given, "svid.key", auth_method="spiffe_x509")
    response = ask(world, "request_client_credentials_token", credentials(mtls), endpoint)
    assert (response.is_successful, len(endpoint.forms)) == (good, int(good))
    if not good:
        error = response.exception
        assert (type(error), error.code, error.claim) == (ConfigurationException, "svid_mismatch", "client_id")
        assert (error.expected, error.actual) == (list(names), ORDERS)


def test_an_svid_that_was_replaced_is_looked_at_anew(world: World, tmp_path: Path) -> None:
    """What an agent puts there counts at the next request; a file that is gone, or no certificate, is left to TLS."""
    endpoint, path = Endpoint(world), put(tmp_path / "svid.pem", svid(ORDERS))
    mtls = MtlsClientAuth(str(path), "svid.key", auth_method="spiffe_x509")
    process = world.process(client_id=ORDERS, client_secret=None, redirect_uri=None, mtls=mtls)
    process.token(scope="a")
    put(path, svid("spiffe://example.org/payments-of-others"))
    with pytest.raises(ConfigurationException) as error:
        process.refresh(scope="a")
    assert (error.value.code, len(endpoint.forms)) == ("svid_mismatch", 1)
    put(path, svid(ORDERS))
    assert ask(world, "request_client_credentials_token", credentials(mtls), endpoint).is_successful
    for change in (lambda: put(path, "no certificate"), lambda: put(path, b"\xff"), path.unlink, path.mkdir):
        change()
        assert ask(world, "request_client_credentials_token", credentials(mtls), endpoint).is_successful


def test_a_certificate_that_only_binds_tokens_may_name_anybody(world: World) -> None:
    """RFC 8705 3: with another method it says nothing of who the client is."""
    endpoint, pem = Endpoint(world), svid("spiffe://example.org/node")
    basic = {"client_secret": "s" * 32, "auth_method": "client_secret_basic"}
    for kind, options in (("tls_client_auth", {}), ("spiffe_x509", basic)):
        request = credentials(MtlsClientAuth(pem, "svid.key", auth_method=kind), **options)
        assert ask(world, "request_client_credentials_token", request, endpoint).is_successful


def ask(world: World, function: str, request: Any, http_client: Any) -> Any:
    """Perform a request with the API of the world."""
    door = blocking if world.kind == "sync" else awaitable
    return world.run(getattr(door, function), request, http_client=http_client)


# ---- as grant and as subject, RFC 7523 2.1 and RFC 8693


def test_a_platforms_token_is_exchanged_without_a_client(world: World, tmp_path: Path) -> None:
    """Google's STS: no client, no metadata, an audience by name; kept while it is good, and then read anew."""
    endpoint = Endpoint(world)
    pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
    path = put(tmp_path / "token", first := jwt(world, aud=f"https:{pool}"))
    identity = WorkloadIdentity(KubernetesToken(path), token_endpoint=TOKEN_ENDPOINT)
    process = world.process(client_id=None, client_secret=None, redirect_uri=None, identity=identity)
    asked = {"scope": "https://www.googleapis.com/auth/cloud-platform", "audience": pool}
    assert process.token(**asked) == process.token(**asked)
    assert endpoint.forms == [
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": first,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            **asked,
        }
    ]
    assert "authorization" not in endpoint.headers[0]
    assert not world.provider.requests
    put(path, second := jwt(world, jti="2"))
    world.clock.advance(301)
    process.token(**asked)
    assert endpoint.forms[1]["subject_token"] == second


def test_a_platforms_token_is_exchanged_by_a_client(world: World, tmp_path: Path) -> None:
    """Keycloak: the client proves itself as ever, and the token is the subject."""
    endpoint = Endpoint(world)
    path = put(tmp_path / "token", jwt(world))
    process = world.process(identity=KubernetesToken(path))
    process.token(scope="a", resource=INVENTORY, audience="inventory")
    assert endpoint.forms[0]["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
    assert (endpoint.forms[0]["resource"], endpoint.forms[0]["audience"]) == (INVENTORY, "inventory")
    assert endpoint.headers[0]["authorization"].startswith("Basic ")
    process.client_credentials(scope="a")
    assert endpoint.forms[1]["grant_type"] == "client_credentials"


def test_a_platforms_token_is_a_grant(world: World, tmp_path: Path) -> None:
    """RFC 7523 2.1, with a client or without."""
    endpoint = Endpoint(world)
    path = put(tmp_path / "token", token := jwt(world))
    identity = WorkloadIdentity(FileToken(path), "jwt_bearer")
    process = world.process(client_id=None, client_secret=None, redirect_uri=None, identity=identity)
    process.token(scope="a", resource=INVENTORY)
    assert endpoint.forms[0] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": token,
        "scope": "a",
        "resource": INVENTORY,
    }
    world.process(identity=identity).token(audience="inventory")
    assert endpoint.forms[1]["audience"] == "inventory"
    assert endpoint.headers[1]["authorization"].startswith("Basic ")


def test_a_function_is_a_source_too(world: World) -> None:
    """Asked anew for each request, in all three ways; one that waits where the API awaits."""
    endpoint, given = Endpoint(world), [jwt(world, jti=str(n)) for n in range(3)]
    tokens = iter(given)

    def plain() -> str:
        return next(tokens)

    async def waiting() -> Secret:
        return Secret(next(tokens))

    source: Any = plain if world.kind == "sync" else waiting
    world.process(client_secret=None, client_assertion=source).token(scope="a")
    world.process(identity=WorkloadIdentity(source)).token(scope="a")
    world.process(identity=WorkloadIdentity(source, "jwt_bearer")).token(scope="a")
    names = ("client_assertion", "subject_token", "assertion")
    assert [form[name] for form, name in zip(endpoint.forms, names, strict=True)] == given


def test_a_function_that_waits_is_refused_where_nothing_awaits(clock: Any) -> None:
    """In the blocking API, by name and without a warning."""
    world = World("sync", clock)

    async def waiting() -> str:
        raise AssertionError

    process = world.process(identity=WorkloadIdentity(waiting))
    with pytest.raises(ConfigurationException):
        process.token(scope="a")


@pytest.mark.parametrize("given", [None, "", 7, b"x", ValueError("eyJ.secret.words")])
def test_a_function_that_gives_nothing_is_told_of_without_its_words(world: World, given: Any) -> None:
    """An error of foreign code may hold the token."""
    Endpoint(world)

    def source() -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    for process in (
        world.process(identity=WorkloadIdentity(source)),
        world.process(identity=WorkloadIdentity(source, "jwt_bearer")),
        world.process(client_secret=None, client_assertion=source),
    ):
        with pytest.raises(ConfigurationException) as error:
            process.token(scope="a")
        assert error.value.code == "credential_unavailable"
        assert "secret.words" not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("grant", ["token_exchange", "jwt_bearer"])
def test_requests_take_sources_as_well(world: World, tmp_path: Path, grant: str) -> None:
    """Without the client object: the subject, the actor or the assertion of one request."""
    endpoint = Endpoint(world)
    path = put(tmp_path / "token", token := jwt(world))
    source: Any = FileToken(path)
    if grant == "jwt_bearer":
        request: Any = JwtBearerTokenRequest(TOKEN_ENDPOINT, source)
        assert ask(world, "request_jwt_bearer_token", request, endpoint).is_successful
        assert endpoint.forms[0]["assertion"] == token
        return
    kind = "urn:ietf:params:oauth:token-type:jwt"
    request = TokenExchangeRequest(TOKEN_ENDPOINT, None, source, kind, source, kind)  # type: ignore[arg-type]
    assert ask(world, "exchange_token", request, endpoint).is_successful
    assert (endpoint.forms[0]["subject_token"], endpoint.forms[0]["actor_token"]) == (token, token)
    path.unlink()
    assert ask(world, "exchange_token", request, endpoint).error_code == "identity_token_missing"


def test_every_attempt_has_a_new_assertion(world: World) -> None:
    """Where the provider asks for a DPoP nonce, the second request does not repeat what may be good once."""
    endpoint, count = Endpoint(world, token_type="DPoP"), iter(range(9))

    def source() -> str:
        return jwt(world, jti=str(next(count)))

    def asking(request: Request) -> Reply:
        reply = endpoint(request)
        if request.method == "POST" and len(endpoint.forms) == 1:
            return Reply(400, (*JSON, ("dpop-nonce", "n")), b'{"error": "use_dpop_nonce"}', request.url)
        return reply

    world.between = asking
    world.process(client_secret=None, client_assertion=source, dpop=DPoPKey()).token(scope="a")
    assert len({form["client_assertion"] for form in endpoint.forms}) == len(endpoint.forms) == 2


def test_tokens_of_a_workload_are_never_mixed_up_or_shared(world: World, tmp_path: Path) -> None:
    """Two pods may see one path and one store: what came of a platform's token stays in the process."""
    endpoint = Endpoint(world)
    one, other = (FileToken(put(tmp_path / name, jwt(world, sub=name))) for name in ("one", "other"))
    process = world.process(identity=one)
    first = process.token(scope="a")
    assert process.token(scope="a", identity=FileToken(tmp_path / "one")) == first
    assert process.token(scope="a", identity=other) != first
    assert process.token(scope="a", identity=WorkloadIdentity(one, "jwt_bearer")) != first
    assert world.process(identity=one).token(scope="a") != first
    functions = [WorkloadIdentity(lambda: jwt(world)) for _ in range(2)]
    assert len({process.token(scope="a", identity=each).access_token for each in functions}) == 2
    assert len(endpoint.forms) == 6
    assert process.refresh(scope="a") != first
    assert process.token(scope="a", subject=None) != first


@pytest.mark.parametrize(
    ("options", "claim"),
    [
        ({"client_id": None}, "client_id"),
        ({"client_id": None, "client_secret": None}, "client_id"),
        ({"client_id": None, "client_secret": None, "redirect_uri": None, "profile": "fapi2"}, "client_id"),
        ({"identity": "token"}, "identity"),
    ],
)
def test_what_only_a_client_has_needs_a_client(world: World, options: dict[str, Any], claim: str) -> None:
    """A workload without a client has no secret, no place that users come back to, and no profile."""
    with pytest.raises(ConfigurationException) as error:
        world.process(**{"identity": FileToken("x"), **options})
    assert error.value.claim == claim


def test_a_workload_without_a_client_logs_nobody_in(world: World) -> None:
    """Whoever wants that is told that a client is missing; who mixes whose token it is, too."""
    process = world.process(client_id=None, client_secret=None, redirect_uri=None, identity=FileToken("x"))
    assert process.device_login(lambda device: None).exception.claim == "client_id"
    with pytest.raises(ConfigurationException) as error:
        world.process().token(identity=FileToken("x"), subject="ada")
    assert error.value.claim == "identity"
    with pytest.raises(ConfigurationException) as error:
        world.process().token(identity=FileToken("x"), on_behalf_of="t")
    assert error.value.claim == "identity"


def test_a_good_token_outlives_a_source_that_fails(world: World, tmp_path: Path) -> None:
    """While the access token is good, a file that is gone costs nothing; afterwards the reason is told each time."""
    Endpoint(world)
    path = put(tmp_path / "token", jwt(world))
    process = world.process(identity=FileToken(path))
    token = process.token(scope="a")
    path.unlink()
    world.clock.advance(250)
    assert process.token(scope="a") == token
    world.clock.advance(60)
    with pytest.raises(ConfigurationException) as error:
        process.token(scope="a")
    assert error.value.code == "identity_token_missing"
    put(path, jwt(world))
    assert process.token(scope="a") != token


# ---- slow answers


@pytest.mark.parametrize("way", ["token_exchange", "jwt_bearer", "client_assertion"])
def test_a_provider_that_never_answers_is_given_up_in_time(world: World, tmp_path: Path, way: Any) -> None:
    """In each of the three ways: after what one renewal may take, the caller is told that it is no fault of theirs."""
    source, began = FileToken(put(tmp_path / "token", jwt(world))), world.clock.steady
    world.between = lambda request: (
        world.silence(request) if request.method == "POST" else with_assertions(world.provider.transport(request))
    )
    given: dict[str, Any] = {"identity": WorkloadIdentity(source, way)} if way != "client_assertion" else {}
    given = given or {"client_secret": None, "client_assertion": source}
    with pytest.raises(TokenUnavailable) as error:
        world.process(renewal_timeout=3, **given).token(scope="a")
    assert "timeout" in (error.value.code, getattr(error.value.__cause__, "code", None))
    assert world.clock.steady - began == pytest.approx(3, abs=0.1)


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("way", ["token_exchange", "jwt_bearer", "client_assertion"])
def test_a_source_that_never_answers_is_given_up_in_time(world: World, way: Any) -> None:
    """What GitHub takes counts as part of the renewal: nothing is added up, and the provider is not asked late."""
    endpoint, began = Endpoint(world), world.clock.steady
    world.between = lambda request: world.silence(request) if "actions" in request.url else endpoint(request)
    source = GitHubActions("https://id.example.com")
    given: dict[str, Any] = {"identity": WorkloadIdentity(source, way)} if way != "client_assertion" else {}
    given = given or {"client_secret": None, "client_assertion": source}
    with pytest.raises(TokenUnavailable) as error:
        world.process(renewal_timeout=3, **given).token(scope="a")
    assert error.value.code == "identity_token_unavailable"
    assert world.clock.steady - began == pytest.approx(3, abs=0.1)
    assert endpoint.forms == []


# ---- never seen


def test_the_token_is_never_seen(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a repr, a log, a copy, a pickle or an exception, also where the provider repeats it."""
    secret = jwt(world, jti="telltale")
    path = put(tmp_path / "token", secret)
    caplog.set_level(logging.DEBUG)

    def repeating(request: Request) -> Reply:
        if request.method != "POST":
            return with_assertions(world.provider.transport(request))
        body = {"error": "invalid_grant", "error_description": f"no: {secret}"}
        return Reply(400, JSON, json.dumps(body).encode(), request.url)

    world.between = repeating
    source, seen = FileToken(path), io.StringIO()
    ways = [
        {"identity": source},
        {"identity": WorkloadIdentity(source, "jwt_bearer")},
        {"client_secret": None, "client_assertion": source},
        {"identity": WorkloadIdentity(secret)},
    ]
    for options in ways:
        process = world.process(**options)
        with pytest.raises(PyIdentityModelException) as error:
            process.token(scope="a")
        seen.write("".join(traceback.format_exception(error.value)))
        seen.write(repr(error.value.__dict__) + repr(process.client) + repr(process.client.auth(origins=[INVENTORY])))
    held = [source, WorkloadIdentity(source), WorkloadIdentity(secret), copy.deepcopy(WorkloadIdentity(secret))]
    seen.write(repr(held) + caplog.text)
    seen.write(pickle.dumps(source).decode("latin-1"))
    assert secret not in seen.getvalue()
    assert secret.split(".")[1] not in seen.getvalue()
    assert pickle.loads(pickle.dumps(source)) == source
    with pytest.raises(ConfigurationException):
        pickle.dumps(WorkloadIdentity(secret))
    assert pickle.loads(pickled_with_secrets(WorkloadIdentity(secret))).token == secret
