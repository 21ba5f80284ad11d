"""Examining is safe: what is sent, where to, how long it takes, and what of hostile answers is shown."""

from __future__ import annotations

import datetime
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from apis import ISSUER, Api
from doctor_world import API, KEY, NEXT, Said, Site, guarded, metadata, provider, reply, resource
from misconfigured_servers import MCP, OPENID, mcp
from odd_servers import open_provider
from py_identity_model import ConfigurationException, Examination, Finding
from py_identity_model._core.base.flow import Clock, Reply, Request, Send
from py_identity_model._core.doctor.connection import CERTIFICATE, SOON, Tick, TlsFacts, clock, tls
from py_identity_model._core.doctor.examine import Wish, examined
from py_identity_model._core.doctor.findings import WIDTH
from py_identity_model._core.doctor.visit import MOST_REQUESTS, PATIENCE
from py_identity_model._tls_facts import look_at_tls
from py_identity_model.settings import Settings
from py_identity_model.sync._clients import close_http_client
from py_identity_model.testing import EmbeddedProvider
from py_identity_model.testing._faults import FAULTS
from test_doctor import examine

#: What documents never have, and hostile ones do.
ODD_VALUES: tuple[Any, ...] = (
    *(1, True, "", [], {}, "{", "https://[", "https://u:p@h.example/", "https://a b/", "http://:80", "//h.example/x"),
    *("https://h.example:99999/", "x" * 9000, "\x1b[2J\x07\r\n", [1, None, "\x1b]0;x\x07"], {"a": {"b": 1}}, "ü"),
    *("file:///etc/passwd", "https://169.254.169.254/latest", "https://2130706433/", "https://{a}.example/{b}"),
)
SENT_BY_ALL = {"user-agent", "accept"}


def headers(request: Request) -> set[str]:
    """Return the names of the headers of a request."""
    return {name.lower() for name, _ in request.headers}


@pytest.mark.usefixtures("clock")
def test_a_provider_is_only_read(api: Api) -> None:
    """At a provider public documents are fetched, and nothing else: no credential, no POST, no endpoint."""
    site = provider(registration_endpoint=f"{ISSUER}/register")
    examine(api, ISSUER, site)
    paths = {urlsplit(request.url).path for request in site.requests}
    assert paths <= {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"}
    assert {request.method for request in site.requests} == {"GET"}
    assert all(headers(request) == SENT_BY_ALL for request in site.requests)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("url", "site", "method"), [(API, resource(), "GET"), (MCP, mcp()(), "POST")])
def test_an_api_is_asked_four_times(api: Api, url: str, site: Site, method: str) -> None:
    """An API gets a request without a token, one with a token that is none, that in the address, and a preflight."""
    site.requests.clear()
    examine(api, url, site, kind="mcp" if method == "POST" else "api")
    asked = [request for request in site.requests if request.url.partition("?")[0] == url]
    assert [request.method for request in asked] == [method, method, method, "OPTIONS"]
    tokens = [value for request in asked for name, value in request.headers if name == "Authorization"]
    assert tokens == ["Bearer py-identity-model.doctor.no-token"]


@pytest.mark.usefixtures("clock")
def test_what_leaves_a_trace_is_done_where_it_is_asked_for(api: Api) -> None:
    """With active a client registers, and is deleted again with the token that came for it, and only there."""
    site = open_provider()
    found = examine(api, ISSUER, site, active=True)
    sent = [f"{request.method} {urlsplit(request.url).path}" for request in site.requests]
    assert sent[-6:] == [
        *("POST /register", "DELETE /register/c", "POST /token", "POST /par", "POST /introspect", "GET /authorize")
    ]
    assert any("deleted again" in one.seen for one in found.findings)
    with_token = [request.url for request in site.requests if "authorization" in headers(request)]
    assert with_token == [f"{ISSUER}/register/c"]


@pytest.mark.usefixtures("clock")
def test_a_client_is_deleted_at_the_provider_only(api: Api) -> None:
    """The token of a registration goes to no other host, whatever the provider says."""
    site = open_provider()
    said = {
        "client_id": "c",
        "registration_client_uri": "https://other.example.net/c",
        "registration_access_token": "at",
    }
    site.pages[f"{ISSUER}/register"] = reply(said, 201)
    found = examine(api, ISSUER, site, active=True)
    assert not [request for request in site.requests if request.method == "DELETE"]
    assert any("remove the client" in one.seen for one in found.findings)


PRIVATE = ("https://10.0.0.1/x", "https://169.254.169.254/latest", "https://localhost/x", "https://keycloak.internal/x")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("address", PRIVATE)
def test_a_server_leads_to_no_inner_address(api: Api, address: str) -> None:
    """What a server names is fetched from the public internet only: keys, metadata, authorization servers."""
    for url, site in (
        (ISSUER, provider(jwks_uri=address)),
        (API, resource(authorization_servers=[address])),
        (API, resource(answer=guarded(challenge=f'resource_metadata="{address}"'))),
    ):
        site.pages[address] = {"keys": [KEY]}
        examine(api, url, site, active=True)
        assert [asked for asked in site.asked if urlsplit(address).netloc in asked] == []


@pytest.mark.usefixtures("clock")
def test_networks_of_ones_own_are_followed_into_by_name(api: Api) -> None:
    """With allow_private_addresses keys inside are fetched; a provider on this machine may name this machine."""
    site = provider(jwks_uri="https://10.0.0.1/jwks")
    assert "address_not_public" in examine(api, ISSUER, site).causes
    assert "address_not_public" not in examine(api, ISSUER, site, allow_private_addresses=True).causes
    here = provider("http://localhost:9000", jwks_uri="http://127.0.0.1:9001/jwks")
    assert "GET http://127.0.0.1:9001/jwks" in (examine(api, "http://localhost:9000", here) and here.asked)


@pytest.mark.usefixtures("clock")
def test_plain_http_is_fetched_from_the_host_that_was_named_only(api: Api) -> None:
    """Nobody is asked for keys by plain http because metadata says so."""
    site = provider(jwks_uri="http://keys.example.net/jwks")
    assert "https_required" in examine(api, ISSUER, site).causes
    assert "GET http://keys.example.net/jwks" not in site.asked


@pytest.mark.usefixtures("clock")
def test_requests_are_counted(api: Api) -> None:
    """A server cannot have more requests sent than sixty."""
    many = [f"https://as{n}.example.net/a/b/c/d" for n in range(50)]
    site = resource(MCP, authorization_servers=many)

    def nowhere(request: Request) -> Reply:
        site.requests.append(request)
        return site.pages[MCP](request) if request.url == MCP else _redirected(site, request)  # type: ignore[operator]

    examine(api, MCP, nowhere, active=True)
    assert len(site.requests) <= MOST_REQUESTS


def _redirected(site: Site, request: Request) -> Reply:
    if "/.well-known/oauth-protected-resource" in request.url:
        said = {"resource": MCP, "authorization_servers": [f"https://as{n}.example.net/a/b/c/d" for n in range(50)]}
        return reply(said)
    return reply("", 302, location=f"{request.url}x")


def test_all_of_it_ends_in_time(api: Api, clock: Any) -> None:
    """A server that takes nine seconds for each answer is left when the time is up; what came till then is told."""
    inner = provider()

    def slow(request: Request) -> Reply:
        clock.advance(9)
        return inner(request)

    found = examine(api, ISSUER, slow, kind="provider", seconds=15)
    assert len(inner.requests) == 2
    assert [one.verdict for one in found.findings if one.code == "metadata_found"] == ["pass"]
    assert "timeout" in found.causes


def test_no_exchange_takes_longer_than_ten_seconds() -> None:
    """Whatever is left for the whole, one answer is waited for ten seconds at most."""
    flow = examined(Wish(ISSUER, "provider", seconds=300), Settings())
    effect: Any = next(flow)
    while not isinstance(effect, Send):
        effect = flow.send(Clock(1.0, 1.0))
    assert effect.seconds == PATIENCE == 10
    flow.close()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("member", sorted([*metadata(), "mtls_endpoint_aliases", "registration_endpoint"]))
def test_no_metadata_breaks_it_or_the_terminal(member: str) -> None:
    """Whatever stands in a member: no exception, no control character, no line wider than the table."""
    for at, value in enumerate(ODD_VALUES):
        said = {**metadata(), member: value}
        shown(examine(Api("sync"), ISSUER, provider(document=said), active=at % 3 == 0, fapi=True))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("member", [*KEY, "x5c", "x5t", "key_ops", "d", "n", "e", "k"])
def test_no_key_breaks_it(member: str) -> None:
    """Whatever stands in a member of a key: no exception, and nothing that moves the terminal."""
    for value in (*ODD_VALUES, ["AAAA"], ["!"]):
        shown(examine(Api("sync"), ISSUER, provider(ISSUER, {**KEY, member: value}, NEXT)))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("member", ["resource", "authorization_servers", "scopes_supported", "jwks_uri"])
def test_no_metadata_of_a_resource_breaks_it(member: str) -> None:
    """Whatever stands in a member of a resource's metadata: no exception, and nothing that moves the terminal."""
    for value in ODD_VALUES:
        for given in (value, [value]):
            shown(examine(Api("sync"), MCP, resource(MCP, **{member: given}), active=True))


HOSTILE_CHALLENGES = (
    "\x1b[2J",
    'Bearer resource_metadata="https://["',
    "=",
    'Bearer error="\x1b[2J"',
    "Bearer a=b," * 3000,
)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("challenge", HOSTILE_CHALLENGES, ids=lambda text: repr(text[:20]))
def test_no_challenge_breaks_it(challenge: str) -> None:
    """Whatever stands in WWW-Authenticate: no exception, and nothing that moves the terminal."""
    for url in (API, MCP):
        shown(examine(Api("sync"), url, resource(url, reply("", 401, www_authenticate=challenge)), active=True))


def shown(found: Examination) -> None:
    """Check what would be shown."""
    text = str(found)
    assert all(letter.isprintable() for letter in text.replace("\n", "") + json.dumps(found.as_dict()))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\x1b" not in repr(found.findings)


@pytest.mark.usefixtures("clock")
def test_nothing_secret_is_shown(api: Api) -> None:
    """A private key is told of by its name and not by its value; of an address the query is left out."""
    site = provider(ISSUER, {**KEY, "d": "SECRET" * 7}, NEXT)
    found = examine(api, ISSUER, site)
    assert "key_private_members" in found.causes
    other = examine(api, f"{API}?api_key=SECRET", resource())
    for one in (found, other):
        assert "SECRET" not in str(one) + json.dumps(one.as_dict()) + repr(one)


@pytest.mark.usefixtures("clock")
def test_half_of_it_is_examined_where_the_other_half_is_broken(api: Api) -> None:
    """Without keys the metadata is examined all the same; without metadata of its own, an API."""
    site = provider()
    site.pages[f"{ISSUER}/jwks"] = reply("", 500)
    codes = {one.code: one.verdict for one in examine(api, ISSUER, site).findings}
    assert (codes["jwks_found"], codes["issuer"], codes["pkce"]) == ("fail", "pass", "pass")
    alone = examine(api, API, Site({API: guarded(challenge='realm="x"')}))
    assert {one.code: one.verdict for one in alone.findings}["malformed_token"] == "pass"


IN_TIME = frozenset({"slow", "drip"})  # in process an answer comes at once


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - IN_TIME))
def test_each_fault_of_the_embedded_provider_is_found(api: Api, fault: str) -> None:
    """Whatever the embedded provider can be made to do wrong is found, and named."""
    embedded = EmbeddedProvider(algorithms=["ES256"])
    with embedded.fault(fault):
        found = examine(api, embedded.issuer, embedded.transport, kind="provider")
    assert found.verdict == "fail" or fault == "unusable_key", str(found)
    assert found.causes


def test_arguments_that_cannot_be_used_are_refused(api: Api) -> None:
    """What is no address, no kind or no time is the caller's mistake."""
    for options in ({"url": "id.example.com"}, {"url": "ftp://id.example.com"}, {"url": "https://u:p@id.example.com"}):
        with pytest.raises(ConfigurationException):
            examine(api, options["url"], Site())
    for wrong in ({"kind": "server"}, {"seconds": 0}, {"seconds": 1e9}):
        with pytest.raises(ConfigurationException):
            examine(api, ISSUER, Site(), **wrong)


# ---------------------------------------------------------------------------------------------------------------------
# TLS and clocks


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """A CA, and the file that has its certificate."""
    ca, path = trustme.CA(), tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, path


@pytest.fixture
def https(request: pytest.FixtureRequest, authority: tuple[trustme.CA, Path]) -> Iterator[int]:
    """The port of a server with a certificate for a name, that ends on a day."""
    name, ends = request.param
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert(name, not_after=ends).configure_cert(context)
    with EmbeddedProvider(algorithms=["ES256"]).serve(host="localhost", ssl_context=context) as running:
        yield urlsplit(running.issuer).port or 0


FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize("https", [("localhost", FAR)], indirect=True)
def test_tls_is_looked_at(https: int, authority: tuple[trustme.CA, Path]) -> None:
    """The version and the end of the certificate are seen where the CA is trusted; else why it is not."""
    facts = look_at_tls("localhost", https, 5.0, str(authority[1]))
    assert (facts.version, facts.not_after) == ("TLSv1.3", FAR.timestamp())
    verdicts = [one.verdict for one in tls(facts, FAR.timestamp() - 30 * 86400)]
    assert verdicts == ["pass", "pass"]
    stranger = next(one for one in tls(look_at_tls("localhost", https, 5.0), 0.0) if one.code == "tls_certificate")
    assert stranger.cause in ("certificate_chain", "certificate_self_signed")


@pytest.mark.parametrize("https", [("localhost", FAR)], indirect=True)
def test_both_apis_look_at_tls(
    api: Api, https: int, authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is looked at with the CA that requests trust; without that the certificate is the cause."""
    url = f"https://localhost:{https}"
    assert {"certificate_chain", "certificate_self_signed"} & set(examine(api, url, None).causes)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
    close_http_client()
    verdicts = {one.code: one.verdict for one in examine(api, url, None).findings}
    assert {verdicts[code] for code in ("tls_version", "tls_certificate", "issuer", "jwks_found")} == {"pass"}


@pytest.mark.parametrize(
    "https", [("localhost", LONG_AGO), ("other.example.com", FAR)], indirect=True, ids=["old", "name"]
)
def test_a_certificate_is_refused_with_its_cause(
    https: int, authority: tuple[trustme.CA, Path], request: pytest.FixtureRequest
) -> None:
    """A certificate that has ended, and one of another name, are told by name."""
    facts = look_at_tls("localhost", https, 5.0, str(authority[1]))
    causes = {one.cause for one in tls(facts, 0.0)}
    assert {"old": "certificate_expired", "name": "certificate_name"}[request.node.callspec.id] in causes


def test_certificates_end() -> None:
    """A certificate that ends within three weeks is told of, one that has ended fails."""
    day = 86400.0
    facts = [TlsFacts("TLSv1.3", days * day) for days in (-1, SOON - 1, SOON + 1)]
    judged = [next(one for one in tls(each, 0.0) if one.code == CERTIFICATE.name) for each in facts]
    assert [one.verdict for one in judged] == ["fail", "warn", "pass"]


def test_nothing_listens_and_nothing_is_raised() -> None:
    """Where no connection can be made TLS is not judged."""
    facts = look_at_tls("127.0.0.1", 9, 1.0)
    assert facts.unknown is not None
    assert {one.verdict for one in tls(facts, 0.0)} == {"skipped"}


DATES = [(100.0, "pass"), (99.0, "pass"), (107.0, "warn"), (92.0, "warn"), (170.0, "fail"), (0.0, "fail")]


@pytest.mark.parametrize(("said", "verdict"), DATES)
def test_clocks_are_compared_by_what_dates_can_tell(said: float, verdict: str) -> None:
    """A date has whole seconds, and the answer took a second: only what lies outside both counts."""
    finding: Finding = clock([Tick(said, 100.0, 101.0)])
    assert finding.verdict == verdict


def test_dates_of_caches_are_not_compared(api: Api, clock: Any) -> None:
    """An answer that a cache kept says the time at which it was made."""
    page: Said = reply(metadata(), date="Sun, 06 Nov 1994 08:49:37 GMT", age="9999")
    site = provider()
    site.pages[ISSUER + OPENID] = page
    assert [one.verdict for one in examine(api, ISSUER, site).findings if one.code == "clock"] == ["skipped"]
