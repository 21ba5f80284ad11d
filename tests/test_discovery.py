"""Discovery: where metadata is looked for, what it must say, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import pytest

from apis import Provider
from published_metadata import ENTRA_COMMON, KEYCLOAK, PUBLISHED
from py_identity_model._core.base.flow import Clock, Flow, Now, Reply, Request, Send, Sleep
from py_identity_model._core.base.response import answered
from py_identity_model._core.binding.mtls import resolve_mtls_endpoint
from py_identity_model._core.cache.entry import Entry
from py_identity_model._core.discovery.checks import MAX_METADATA
from py_identity_model._core.discovery.fetch import (
    fetch_metadata,
    metadata_key,
    parse_discovery_url,
    process_discovery_response,
)
from py_identity_model._core.discovery.metadata import (
    ENDPOINTS,
    MEMBERS,
    DiscoveryDocumentRequest,
    DiscoveryDocumentResponse,
    DiscoveryEndpoint,
    DiscoveryErrorKind,
    DiscoveryPolicy,
    error_kind,
)
from py_identity_model.exceptions import (
    ConfigurationException,
    DiscoveryException,
    DiscoveryHTTPSRequiredError,
    DiscoveryMissingFieldsError,
    DiscoveryParseError,
    FailedResponseAccessError,
    NetworkException,
    PyIdentityModelException,
    TransportException,
)
from py_identity_model.observability import Event, add_observer, remove_observer
from py_identity_model.settings import Settings

ISSUER = "https://id.example.com"
OPENID = f"{ISSUER}/.well-known/openid-configuration"
OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server"
JSON = (("content-type", "application/json"),)
NO_REPEATS = Settings(http_retry_max_attempts=0)
KIND = DiscoveryErrorKind

Answer = Reply | Exception | Callable[[Request], Reply]


def run(flow: Flow[Any], *answers: Answer) -> tuple[Any, list[Request]]:
    """Run a flow against scripted answers and a clock that stands still."""
    script, requests, given = iter(answers), [], None
    try:
        effect = flow.send(None)
        while True:
            match effect:
                case Send(request):
                    requests.append(request)
                    given = next(script)
                    given = given(request) if callable(given) else given
                case Now():
                    given = Clock(1_000_000.0, 50.0)
                case Sleep(_):
                    given = None
                case _:
                    raise AssertionError(effect)
            effect = flow.throw(given) if isinstance(given, Exception) else flow.send(given)
    except StopIteration as stop:
        assert next(script, None) is None, "not all answers were asked for"
        return stop.value, requests


def document(**members: Any) -> dict[str, Any]:
    """Return a small good document; None leaves a member out."""
    whole = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks", "token_endpoint": f"{ISSUER}/token", **members}
    return {name: value for name, value in whole.items() if value is not None}


def reply(body: Any = None, status: int = 200, headers: Any = JSON, url: str = "") -> Reply:
    """Return a reply with *body* as JSON, or as it is if it is bytes."""
    body = document() if body is None else body
    return Reply(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode(), url)


def fetch(address: str, *answers: Answer, policy: DiscoveryPolicy | None = None, **more: Any) -> Any:
    """Fetch the metadata of *address*; return what the cache would get."""
    return run(fetch_metadata(address, policy, NO_REPEATS, **more), *answers)[0]


def refusal(address: str, *answers: Answer, policy: DiscoveryPolicy | None = None, **more: Any) -> Any:
    """Return the exception that fetching ends with."""
    with pytest.raises(PyIdentityModelException) as caught:
        fetch(address, *answers, policy=policy, **more)
    return caught.value


def processed(body: Any = None, policy: DiscoveryPolicy | None = None, **facts: Any) -> DiscoveryDocumentResponse:
    """Process a reply that came from the well-known address."""
    return process_discovery_response(reply(body, url=OPENID, **facts), policy)


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """Collect events."""
    seen: list[Event] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


# ---- addresses


@pytest.mark.parametrize(
    ("url", "where", "issuer"),
    [
        ("https://a.example", "https://a.example/.well-known/openid-configuration", "https://a.example"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration", "https://a.example/"),
        ("https://a.example/t/1", "https://a.example/t/1/.well-known/openid-configuration", "https://a.example/t/1"),
        ("https://a.example/t/", "https://a.example/t/.well-known/openid-configuration", "https://a.example/t/"),
        ("https://a.example/.well-known/openid-configuration", None, "https://a.example"),
        ("https://a.example/t/.well-known/openid-configuration", None, "https://a.example/t"),
        ("https://a.example/t/.well-known/openid-configuration?appid=1", None, "https://a.example/t"),
        ("https://a.example/.well-known/openid-configuration/t", None, "https://a.example/t"),
        ("https://a.example/.well-known/oauth-authorization-server", None, "https://a.example"),
        ("https://a.example/.well-known/oauth-authorization-server/t/1", None, "https://a.example/t/1"),
        ("https://a.example/t/.well-known/oauth-authorization-server", None, "https://a.example/t"),
        ("http://localhost:8080", "http://localhost:8080/.well-known/openid-configuration", "http://localhost:8080"),
        ("HTTPS://A.example", "HTTPS://A.example/.well-known/openid-configuration", "HTTPS://A.example"),
        ("https://a.example/t/openid_configuration", None, "https://a.example/t"),
        (
            "https://a.example/t/openid_configuration/",
            "https://a.example/t/openid_configuration",
            "https://a.example/t",
        ),
        (
            "https://a.example/.well-known/openid-configuration/",
            "https://a.example/.well-known/openid-configuration",
            "https://a.example",
        ),
        ("https://a.example/openid-configuration?tenant=1", None, "https://a.example"),
        ("https://a.example/t/oauth-authorization-server", None, "https://a.example/t"),
        ("https://a.example/t/metadata.json", None, "https://a.example/t"),
        ("https://a.example/t.json/1", "https://a.example/t.json/1/.well-known/openid-configuration", None),
    ],
)
def test_parse_discovery_url(url, where, issuer):
    """An issuer and every form of document address lead to the document, its host and the issuer it must name."""
    authority = "/".join(url.split("/")[:3]).replace("HTTPS:", "https:")
    assert parse_discovery_url(url) == DiscoveryEndpoint(where or url, authority, issuer=issuer or url)


@pytest.mark.parametrize("named", [f"{ISSUER}/t/1", f"{ISSUER}/t/1/", f"{ISSUER}/t", ISSUER, f"{ISSUER}/"])
def test_a_document_elsewhere_names_an_issuer_above_it(named):
    """A document whose address is no well-known one is fetched as it stands, and speaks for the issuers above it."""
    address = f"{ISSUER}/t/1/openid_configuration"
    fetched, requests = run(fetch_metadata(address, None, NO_REPEATS), reply(document(issuer=named)))
    assert [r.url for r in requests] == [address]
    assert fetched.value.issuer == named


@pytest.mark.parametrize("named", [f"{ISSUER}/t/2", f"{ISSUER}/t/1/more", "https://evil.example.com", f"{ISSUER}//"])
def test_a_document_elsewhere_speaks_for_no_other_issuer(named):
    """A document below one tenant cannot name another tenant, nor another host."""
    error = refusal(f"{ISSUER}/t/1/openid_configuration", reply(document(issuer=named)))
    assert (error.code, error.expected) == ("discovery_issuer_mismatch", f"{ISSUER}/t/1")


@pytest.mark.parametrize(
    ("authority", "named", "good"),
    [
        (ISSUER, f"{ISSUER}/t", True),
        (f"{ISSUER}/", f"{ISSUER}/t", True),
        (ISSUER, ISSUER, True),
        (ISSUER, f"{ISSUER}/other", False),
        ("https://other.example.com", f"{ISSUER}/t", False),
        (f"{ISSUER}/u", f"{ISSUER}/t", False),
    ],
)
def test_an_authority_is_an_issuer_or_a_host(authority, named, good):
    """An authority without a path may be the host alone, as in earlier versions; it never widens what is accepted."""
    policy, answer = DiscoveryPolicy(authority=authority), reply(document(issuer=named))
    if good:
        assert fetch(f"{ISSUER}/t", answer, policy=policy).value.issuer == named
    else:
        assert refusal(f"{ISSUER}/t", answer, policy=policy).code == "discovery_issuer_mismatch"


@pytest.mark.parametrize(
    "url",
    [
        *("", "id.example.com", "/relative", "file:///etc/passwd", "ftp://a.example", "https://", None, 7),
        *("https://a.example?tenant=1", "https://a.example#x", "https://u:p@a.example"),
        "https://a.example/x/.well-known/openid-configuration/y?z=1",
    ],
)
def test_parse_discovery_url_refuses(url):
    """What is no issuer and no well-known URL is the caller's mistake."""
    with pytest.raises(ConfigurationException) as caught:
        parse_discovery_url(url)
    assert caught.value.code == "url_invalid"


@pytest.mark.parametrize(
    ("address", "order"),
    [
        (ISSUER, [OPENID, OAUTH]),
        (f"{ISSUER}/", [OPENID, OAUTH]),
        (
            f"{ISSUER}/t/1",
            [
                f"{ISSUER}/t/1/.well-known/openid-configuration",
                f"{ISSUER}/.well-known/oauth-authorization-server/t/1",
                f"{ISSUER}/.well-known/openid-configuration/t/1",
            ],
        ),
        (f"{ISSUER}/t/", [f"{ISSUER}/t/.well-known/openid-configuration", f"{OAUTH}/t", f"{OPENID}/t"]),
        (OPENID, [OPENID]),
        (f"{OAUTH}/t", [f"{OAUTH}/t"]),
    ],
)
def test_candidates_are_tried_in_order(address, order):
    """The OpenID address comes first, then RFC 8414's, then OpenID's with inserted path; a full URL is tried alone."""
    asked: list[str] = []

    def absent(request: Request) -> Reply:
        asked.append(request.url)
        return reply(b"", 404)

    error = refusal(address, *[absent] * len(order))
    assert asked == order
    assert error.code == "discovery_not_found"
    assert error.details["attempts"] == [f"{url}: 404" for url in order]
    assert all(url in str(error) for url in order)
    assert error_kind(error) is KIND.UNEXPECTED_STATUS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 451])
def test_next_candidate_after_absence(status):
    """A 4xx says that nothing is there, so the next candidate is tried, and the document says where it was found."""
    fetched, requests = run(fetch_metadata(ISSUER, None, NO_REPEATS), reply(b"", status), reply())
    assert [r.url for r in requests] == [OPENID, OAUTH]
    assert fetched.value.metadata_url == OAUTH
    assert fetched.value.is_successful


@pytest.mark.parametrize("status", [204, 304, 408, 425, 429, 500, 502, 503, 599])
def test_no_next_candidate_after_trouble(status):
    """A provider in trouble is not asked elsewhere: another document must not stand in for the right one."""
    error = refusal(f"{ISSUER}/t", reply(b"", 404), reply(b"", status))
    assert isinstance(error, DiscoveryException)
    assert (error.code, error.status_code, error.actual) == ("discovery_status_unexpected", status, status)
    assert error.details["attempts"] == [
        f"{ISSUER}/t/.well-known/openid-configuration: 404",
        f"{OAUTH}/t: discovery_status_unexpected",
    ]
    assert f"{ISSUER}/t/.well-known/openid-configuration: 404" in str(error)
    assert error_kind(error) is KIND.UNEXPECTED_STATUS


def test_transport_failure_ends_discovery():
    """A provider that cannot be reached means: cannot tell now, and the cause keeps its code."""
    error = refusal(ISSUER, reply(b"", 404), TransportException("GET x: no route", url="x", code="connect_failed"))
    assert isinstance(error, DiscoveryException)
    assert error.code == "connect_failed"
    assert error.details["attempts"] == [f"{OPENID}: 404", f"{OAUTH}: connect_failed"]
    assert f"{OPENID}: 404" in str(error)
    assert error_kind(error) is KIND.NETWORK_ERROR
    assert error.client_error.status == 503


def test_cold_fetch_is_repeated_once():
    """One quick repeat carries a cold fetch over a hiccup."""
    flow = fetch_metadata(ISSUER, None, Settings())
    fetched, requests = run(flow, TransportException("gone", code="connection_lost"), reply())
    assert fetched.value.issuer == ISSUER
    assert [r.url for r in requests] == [OPENID, OPENID]


def test_retry_after_is_passed_on():
    """How long the provider wants to be left alone reaches the caller."""
    assert refusal(ISSUER, reply(b"", 503, (("retry-after", "17"),))).retry_after == 17


def test_request():
    """The request is a plain GET for JSON with a cap, without credentials."""
    _, (request,) = run(fetch_metadata(ISSUER, None, NO_REPEATS), reply())
    assert (request.method, request.limit, request.body) == ("GET", MAX_METADATA, b"")
    assert dict(request.headers) == {"Accept": "application/json"}


def test_redirect_on_the_same_host_is_followed():
    """A redirect from https to https on the same host is followed, and the issuer is still the one asked for."""
    moved = Reply(307, (("location", "/metadata.json"),))
    fetched, requests = run(fetch_metadata(ISSUER, None, NO_REPEATS), moved, reply())
    assert [r.url for r in requests] == [OPENID, f"{ISSUER}/metadata.json"]
    assert fetched.value.metadata_url == OPENID


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("https://evil.example.com/", "redirect_cross_host"),
        ("https://id.example.com:8443/", "redirect_cross_host"),
        ("http://id.example.com/", "redirect_insecure"),
        ("file:///etc/passwd", "redirect_location_invalid"),
    ],
)
def test_redirect_elsewhere_is_refused(location, code):
    """A redirect to another host, to plain http or to a file ends discovery."""
    error = refusal(ISSUER, Reply(302, (("location", location),)))
    assert (type(error), error.code) == (DiscoveryException, code)
    assert error_kind(error) is KIND.UNEXPECTED_STATUS


def test_both_drivers(perform):
    """Sync, asyncio and trio find the second candidate behind a redirect, and fail alike."""
    moved = Reply(302, (("location", f"{OAUTH}/moved"),))
    fetched, requests = perform(fetch_metadata(ISSUER, None, NO_REPEATS), reply(b"", 404), moved, reply())
    assert [r.url for r in requests] == [OPENID, OAUTH, f"{OAUTH}/moved"]
    assert (fetched.value.issuer, fetched.value.metadata_url) == (ISSUER, OAUTH)
    with pytest.raises(DiscoveryException) as caught:
        perform(fetch_metadata(ISSUER, None, NO_REPEATS), reply(b"", 404), reply(b"", 503))
    assert caught.value.status_code == 503


def test_redirects_end():
    """More than three redirects are refused."""
    error = refusal(ISSUER, *[Reply(302, (("location", "/again"),))] * 4)
    assert error.code == "redirect_limit"


# ---- the issuer


@pytest.mark.parametrize("provider", PUBLISHED)
def test_published_documents(provider):
    """What Google, Entra, Cognito, Auth0, Okta and Keycloak publish passes the default policy, by both addresses."""
    address, published = PUBLISHED[provider]
    for asked in (address, address.rstrip("/") + "/.well-known/openid-configuration"):
        value = fetch(asked, reply(published)).value
        assert value.is_successful
        assert value.raw == published
        for name in MEMBERS:
            assert getattr(value, name) == published.get(name)


@pytest.mark.parametrize("asked", [ISSUER, f"{ISSUER}/"])
def test_trailing_slash_is_told(asked):
    """An issuer asked for is compared exactly; where only a slash differs the hint says so and what to ask for."""
    other = f"{ISSUER}/" if asked == ISSUER else ISSUER
    error = refusal(asked, reply(document(issuer=other)))
    assert (error.code, error.claim, error.expected, error.actual) == (
        "discovery_issuer_mismatch",
        "issuer",
        asked,
        other,
    )
    assert error.hint == f"the issuers differ only by a trailing slash; ask for {other!r}"
    assert error_kind(error) is KIND.INVALID_DOCUMENT


@pytest.mark.parametrize(
    ("issuer", "hint"),
    [
        ("https://evil.example.com", "if that is the issuer you mean"),
        ("https://ID.example.com", "differ only by case"),
        ("https://id.example.com:443", "if that is the issuer you mean"),
        ("https://id.example.com/t", "if that is the issuer you mean"),
        ("https://id.example.com.evil.example", "if that is the issuer you mean"),
        ("https://id.example.co", "if that is the issuer you mean"),
        ("http://id.example.com", "if that is the issuer you mean"),
        ("https://id.example.com//", "differ only by a trailing slash"),
        ("https://id.example.com\u200b", "if that is the issuer you mean"),
        (" https://id.example.com", "if that is the issuer you mean"),
        ("", "if that is the issuer you mean"),
        ([ISSUER], None),
        ({ISSUER: 1}, None),
        (True, None),
    ],
)
def test_issuer_mismatch(issuer, hint):
    """Any other issuer is refused, as code points, and nothing of the document is usable."""
    response = processed(document(issuer=issuer))
    assert response.error_code == "discovery_issuer_mismatch"
    assert response.error_kind is KIND.INVALID_DOCUMENT
    for name in ("issuer", "jwks_uri", "raw"):
        with pytest.raises(FailedResponseAccessError):
            getattr(response, name)
    assert response.exception is not None
    assert (response.exception.hint or "").startswith(hint or "") or hint in str(response.exception.hint)
    assert "\u200b" not in str(response.exception)


@pytest.mark.parametrize("asked", ["https://login.microsoftonline.com/common/v2.0", None])
def test_many_tenants(asked):
    """Entra's common document names a template: by default that is explained, and a policy accepts it by name."""
    address = asked or "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
    error = refusal(address, reply(ENTRA_COMMON))
    assert error.code == "discovery_issuer_mismatch"
    template = "https://login.microsoftonline.com/{tenantid}/v2.0"
    assert f"DiscoveryPolicy(authority={template!r})" in error.hint
    value = fetch(address, reply(ENTRA_COMMON), policy=DiscoveryPolicy(authority=template)).value
    assert value.issuer == template


def test_authority_overrides_the_address():
    """The policy's authority is the issuer to expect, exactly, wherever the document is."""
    policy = DiscoveryPolicy(authority="https://b.example.com")
    value = fetch("https://a.example.com", reply(document(issuer="https://b.example.com")), policy=policy).value
    assert value.issuer == "https://b.example.com"
    assert refusal(
        "https://a.example.com", reply(document(issuer="https://a.example.com")), policy=policy
    ).expected == ("https://b.example.com")
    assert refusal(ISSUER, reply(document(issuer="https://b.example.com/")), policy=policy).code == (
        "discovery_issuer_mismatch"
    )


def test_issuer_check_given_up_by_name(events):
    """validate_issuer=False takes any issuer, and is told as an event."""
    value = fetch(
        ISSUER, reply(document(issuer="https://x.example")), policy=DiscoveryPolicy(validate_issuer=False)
    ).value
    assert value.issuer == "https://x.example"
    assert [e.name for e in events] == ["issuer_check_disabled"]
    assert (
        processed(document(issuer=7), DiscoveryPolicy(validate_issuer=False)).error_code == "discovery_member_invalid"
    )


# ---- the document


@pytest.mark.parametrize(
    ("body", "code", "kind"),
    [
        (b"", "discovery_json_invalid", KIND.INVALID_JSON),
        (b"{", "discovery_json_invalid", KIND.INVALID_JSON),
        (b"[]", "discovery_json_invalid", KIND.INVALID_JSON),
        (b"null", "discovery_json_invalid", KIND.INVALID_JSON),
        (b"\xef\xbb\xbf{}", "discovery_json_invalid", KIND.INVALID_JSON),
        (b"\xff{}", "discovery_json_invalid", KIND.INVALID_JSON),
        (b'{"issuer":"a","issuer":"b"}', "discovery_json_invalid", KIND.INVALID_JSON),
        (b'{"x":{"y":1,"y":2}}', "discovery_json_invalid", KIND.INVALID_JSON),
        (b'{"x":NaN}', "discovery_json_invalid", KIND.INVALID_JSON),
        (b'{"x":' + b"[" * 100 + b"]" * 100 + b"}", "discovery_json_invalid", KIND.INVALID_JSON),
        (b" " * (MAX_METADATA + 1), "response_too_large", KIND.INVALID_DOCUMENT),
        (b"{}", "discovery_fields_missing", KIND.MISSING_FIELDS),
    ],
)
def test_unusable_documents(body, code, kind):
    """What everybody would not read the same way, or is too large, is no document."""
    response = processed(body)
    assert not response.is_successful
    assert (response.error_code, response.error_kind, response.status_code) == (code, kind, 200)
    assert isinstance(response.exception, DiscoveryException)


@pytest.mark.parametrize("secret", [b'{"s3cr3t', b'{"s3cr3t":"s3cr3t","s3cr3t":1}', b"s3cr3t\xff", b"<p>s3cr3t</p>"])
def test_content_is_never_repeated(secret):
    """An error about a document does not repeat what is in it, and neither does its chain."""
    response = processed(secret)
    assert "s3cr3t" not in f"{response!r} {response.error} {vars(response.exception)}"
    assert response.exception is not None
    assert response.exception.__cause__ is None


@pytest.mark.parametrize(
    "value",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json "],
)
def test_content_type_of_json(value):
    """application/json is taken with any parameters and in any case."""
    assert processed(headers=(("content-type", value),)).is_successful


@pytest.mark.parametrize(
    "value", ["text/html", "text/html; charset=utf-8", "text/plain", "application/jsonp", "", None]
)
def test_other_content_types(value):
    """Anything else is refused; a web page gets a hint (T4)."""
    response = processed(headers=(("content-type", value),) if value is not None else ())
    assert response.error_code == "discovery_content_type_invalid"
    assert response.error_kind is KIND.INVALID_JSON
    assert isinstance(response.exception, DiscoveryParseError)
    assert (response.exception.hint is not None) is ("html" in (value or ""))


@pytest.mark.parametrize(
    ("members", "missing"),
    [
        ({"issuer": None}, ("issuer",)),
        ({"jwks_uri": None}, ("jwks_uri",)),
        ({"issuer": None, "jwks_uri": None}, ("issuer", "jwks_uri")),
    ],
)
def test_missing_members(members, missing):
    """Without issuer or key set there is no metadata; what is missing is named, and null is no value."""
    bodies = document(**members), {**document(), **members}
    for body in bodies:
        response = processed(body)
        assert response.missing_fields == missing
        assert response.error_kind is KIND.MISSING_FIELDS
        assert response.status_code == 200
        assert isinstance(response.exception, DiscoveryMissingFieldsError)
        assert response.exception.fields == missing
        assert all(name in str(response.error) for name in missing)


def test_key_set_not_required():
    """A policy may do without a key set."""
    assert processed(document(jwks_uri=None), DiscoveryPolicy(require_key_set=False)).jwks_uri is None


_WRONG = {
    "str": [7, ["x"], {}, True],
    "bool": ["true", 1, 0, [True]],
    "list[str]": ["code", {"code": 1}, [1], [None], [["code"]], 7],
    "dict[str, str]": ["x", ["x"], 7],
}


def fault_of(response: DiscoveryDocumentResponse, name: str) -> DiscoveryException:
    """Return what a use of a member raises: at once if it is used in any case, else when it is read."""
    if not response.is_successful:
        assert isinstance(response.exception, DiscoveryException)
        return response.exception
    assert name in response.faults
    for other in MEMBERS:
        if other not in response.faults:
            getattr(response, other)  # nobody else is kept from what can be used
    with pytest.raises(DiscoveryException) as caught:
        getattr(response, name)
    return caught.value


@pytest.mark.parametrize("name", [n for n in MEMBERS if n != "issuer"])
def test_types_of_members(name):
    """Every member of the wrong type is refused and named when it is used; null means absent."""
    for wrong in _WRONG[MEMBERS[name]]:
        response = processed({**document(), name: wrong})
        assert response.is_successful is (name != "jwks_uri")
        fault = fault_of(response, name)
        assert (fault.code, fault.claim) == ("discovery_member_invalid", name), wrong
        assert isinstance(fault, DiscoveryParseError)
        if name == "jwks_uri":
            assert response.error_kind is KIND.INVALID_DOCUMENT
    assert processed({**document(), name: None}).is_successful is (name != "jwks_uri")


def test_the_metadata_of_kubernetes(api, clock):
    """EKS and kOps name an authorization endpoint that is none: a resource server does not use it."""
    odd = "urn:kubernetes:programmatic_authorization"
    provider = Provider()
    provider.metadata["authorization_endpoint"] = odd
    request = DiscoveryDocumentRequest(address=provider.issuer)
    found = api.call(api.discovery.get_discovery_document, request, provider, refresh=True)
    assert (found.is_successful, found.raw["authorization_endpoint"]) == (True, odd)
    assert list(found.faults) == ["authorization_endpoint"]
    assert found.token_endpoint == provider.issuer + "/token"
    with pytest.raises(DiscoveryException, match="authorization_endpoint must be") as caught:
        found.authorization_endpoint  # noqa: B018 # reading is what is tested
    assert (caught.value.code, caught.value.claim) == ("discovery_endpoint_refused", "authorization_endpoint")
    assert copy.deepcopy(found) == found
    assert pickle.loads(pickle.dumps(found)).faults == found.faults
    assert "programmatic" not in repr(found)
    validator = api.validator(provider.issuer, "api", http_client=provider)
    assert api.call(validator.validate, provider.token())["sub"] == "ada"


def test_unknown_members_are_kept():
    """Members without a field are in raw, and none of them can pose as a field of ours."""
    more = {
        "future": {"a": [1]},
        "is_successful": False,
        "error": "x",
        "exception": "y",
        "cache_control": "z",
        "raw": 1,
    }
    response = processed(document(**more))
    assert response.is_successful
    assert response.error is None
    assert response.exception is None
    assert response.cache_control is None
    assert {name: response.raw[name] for name in more} == more


# ---- endpoints

HOSTILE = [
    ("http://id.example.com/x", "discovery_endpoint_insecure"),
    ("HTTP://id.example.com/x", "discovery_endpoint_insecure"),
    ("http://localhost.evil.example/x", "discovery_endpoint_insecure"),
    ("http://127.0.0.1.evil.example/x", "discovery_endpoint_insecure"),
    ("http://[::ffff:127.0.0.1]/x", "discovery_endpoint_insecure"),
    ("http://0.0.0.0/x", "discovery_endpoint_insecure"),
    ("http://localhost:80@attacker.example/x", "discovery_endpoint_refused"),
    ("https://user@id.example.com/x", "discovery_endpoint_refused"),
    ("https://id.example.com:pw@evil.example/x", "discovery_endpoint_refused"),
    ("https://@evil.example/x", "discovery_endpoint_refused"),
    ("https://id.example.com/x#frag", "discovery_endpoint_refused"),
    ("https://id.example.com/x#", "discovery_endpoint_refused"),
    ("https://id.example.com\\@evil.example/x", "discovery_endpoint_refused"),
    ("https:\\\\evil.example\\x", "discovery_endpoint_refused"),
    ("file:///etc/passwd", "discovery_endpoint_refused"),
    ("data:application/json,{}", "discovery_endpoint_refused"),
    ("javascript:alert(1)", "discovery_endpoint_refused"),
    ("ftp://id.example.com/x", "discovery_endpoint_refused"),
    ("gopher://id.example.com/x", "discovery_endpoint_refused"),
    ("ws://id.example.com/x", "discovery_endpoint_refused"),
    ("//id.example.com/x", "discovery_endpoint_refused"),
    ("/token", "discovery_endpoint_refused"),
    ("", "discovery_endpoint_refused"),
    ("https:///x", "discovery_endpoint_refused"),
    ("https://:443/x", "discovery_endpoint_refused"),
    ("https://id.example.com:0/x", "discovery_endpoint_refused"),
    ("https://id.example.com:99999/x", "discovery_endpoint_refused"),
    ("https://id.example.com:/x", "discovery_endpoint_refused"),
    ("https://id.example.com./x", "discovery_endpoint_refused"),
    ("https://id..example.com/x", "discovery_endpoint_refused"),
    ("https://localhost./x", "discovery_endpoint_refused"),
    ("https://2130706433/x", "discovery_endpoint_refused"),
    ("https://0x7f000001/x", "discovery_endpoint_refused"),
    ("https://0x7f.1/x", "discovery_endpoint_refused"),
    ("https://127.1/x", "discovery_endpoint_refused"),
    ("https://0177.0.0.1/x", "discovery_endpoint_refused"),
    ("https://127.0.0.1.1/x", "discovery_endpoint_refused"),
    ("https://id%2eexample.com/x", "discovery_endpoint_refused"),
    ("https://[::1/x", "discovery_endpoint_refused"),
    ("https://[fe80::1%25eth0]/x", "discovery_endpoint_refused"),
    ("https://[v1.x]/x", "discovery_endpoint_refused"),
    ("https://bücher.example/x", "discovery_endpoint_refused"),
    ("https://\u2488\u2488.example/x", "discovery_endpoint_refused"),
    ("https://id.example.com/x y", "discovery_endpoint_refused"),
    ("https://id.example.com/x\r\nHost: evil.example", "discovery_endpoint_refused"),
    ("https://id.example.com/x\x00", "discovery_endpoint_refused"),
    (" https://id.example.com/x", "discovery_endpoint_refused"),
    ("https://id.example.com/" + "x" * 2048, "discovery_endpoint_refused"),
    ("https://-evil.example/x", "discovery_endpoint_refused"),
    ("https://localhost/x", "discovery_endpoint_loopback"),
    ("https://LOCALHOST:8443/x", "discovery_endpoint_loopback"),
    ("https://app.localhost/x", "discovery_endpoint_loopback"),
    ("https://127.0.0.1/x", "discovery_endpoint_loopback"),
    ("https://127.8.9.10/x", "discovery_endpoint_loopback"),
    ("https://[::1]/x", "discovery_endpoint_loopback"),
    ("https://[0:0:0:0:0:0:0:1]/x", "discovery_endpoint_loopback"),
    ("https://[::ffff:127.0.0.1]/x", "discovery_endpoint_loopback"),
    ("https://[::ffff:7f00:1]/x", "discovery_endpoint_loopback"),
    ("https://0.0.0.0/x", "discovery_endpoint_loopback"),
    ("https://[::]/x", "discovery_endpoint_loopback"),
    ("https://169.254.169.254/latest", "discovery_endpoint_loopback"),
    ("https://[fe80::1]/x", "discovery_endpoint_loopback"),
    ("http://localhost:8080/x", "discovery_endpoint_loopback"),
]


@pytest.mark.parametrize(("url", "code"), HOSTILE)
def test_hostile_endpoints(url, code):
    """Addresses that lead to plain http, to this machine or to who knows where are refused by member."""
    for name in ("jwks_uri", "token_endpoint"):
        response = processed(document(**{name: url}))
        fault = fault_of(response, name)
        assert (fault.code, fault.claim) == (code, name)
        assert "pw" not in str(fault)
        assert str(fault).isprintable()
        if name == "jwks_uri":
            insecure = code == "discovery_endpoint_insecure"
            assert response.error_kind is (KIND.HTTPS_REQUIRED if insecure else KIND.INVALID_DOCUMENT)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_endpoint_is_checked(name):
    """No endpoint of the metadata goes unchecked."""
    response = processed(document(**{name: "http://id.example.com/x"}))
    assert fault_of(response, name).code == "discovery_endpoint_insecure"


def test_mtls_aliases_are_checked():
    """The aliases for mutual TLS are endpoints too, also those nobody knows; one does not spoil the others."""
    good = {"token_endpoint": f"{ISSUER}/t", "revocation_endpoint": None}
    for name, address, code in [
        ("novel", "http://x.example", "discovery_endpoint_insecure"),
        ("novel", 7, "discovery_member_invalid"),
        ("introspection_endpoint", "https://127.0.0.1/i", "discovery_endpoint_loopback"),
        ("introspection_endpoint", ["x"], "discovery_member_invalid"),
    ]:
        response = processed(document(mtls_endpoint_aliases={**good, name: address}))
        assert response.mtls_endpoint_aliases == {"token_endpoint": f"{ISSUER}/t"}
        place = f"mtls_endpoint_aliases.{name}"
        assert {place: (code, place)} == {
            found: (fault.code, fault.error().claim) for found, fault in response.faults.items()
        }


def test_a_spoiled_alias_is_not_replaced_by_its_endpoint():
    """Using an alias that must not be used raises; an alias that is good stands in for an endpoint that is not."""
    aliases = {"token_endpoint": f"{ISSUER}/t", "revocation_endpoint": "http://id.example.com/r"}
    response = processed(document(mtls_endpoint_aliases=aliases, token_endpoint="http://id.example.com/token"))
    assert resolve_mtls_endpoint(response, "token_endpoint") == f"{ISSUER}/t"
    assert resolve_mtls_endpoint(response, "jwks_uri") == response.jwks_uri
    with pytest.raises(DiscoveryException) as caught:
        resolve_mtls_endpoint(response, "revocation_endpoint")
    assert caught.value.claim == "mtls_endpoint_aliases.revocation_endpoint"


@pytest.mark.parametrize(
    "url",
    [
        "https://keys.example.net/jwks",
        "https://id.example.com:8443/jwks",
        "https://id.example.com/jwks?tenant=1&p=B2C_1",
        "https://my_idp.internal/jwks",
        "https://xn--bcher-kva.example/jwks",
        "https://10.1.2.3/jwks",
        "https://[2001:db8::1]:8443/jwks",
        "https://idp/jwks",
    ],
)
def test_endpoints_elsewhere(url):
    """Endpoints on other hosts are fine by default."""
    assert processed(document(jwks_uri=url)).jwks_uri == url


def test_loopback_provider():
    """A provider on this machine names endpoints on this machine, in plain http."""
    address = "http://localhost:8080"
    body = {"issuer": address, "jwks_uri": "http://127.0.0.1:8080/jwks"}
    assert fetch(address, reply(body)).value.jwks_uri == "http://127.0.0.1:8080/jwks"
    policy = DiscoveryPolicy(allow_http_on_loopback=False)
    assert refusal(address, policy=policy).code == "https_required"


def test_loopback_is_decided_by_where_the_document_was():
    """A document from elsewhere cannot make itself local by naming a local issuer."""
    body = {"issuer": "https://localhost", "jwks_uri": "https://localhost/jwks"}
    response = processed(body, DiscoveryPolicy(validate_issuer=False))
    assert response.error_code == "discovery_endpoint_loopback"


def test_loopback_endpoints_by_name():
    """A policy may accept endpoints on this machine."""
    body = document(token_endpoint="http://localhost:9/token")
    assert fault_of(processed(body), "token_endpoint").code == "discovery_endpoint_loopback"
    allowed = processed(body, DiscoveryPolicy(allow_loopback_endpoints=True))
    assert allowed.token_endpoint == "http://localhost:9/token"


def test_endpoint_rules_given_up_by_name(events):
    """validate_endpoints=False gives up the rules about hosts, not https, and is told as an event."""
    policy = DiscoveryPolicy(validate_endpoints=False, require_same_host_endpoints=True)
    assert processed(document(token_endpoint="https://localhost/t"), policy).is_successful
    assert [e.name for e in events] == ["endpoint_checks_disabled"]
    assert processed(document(jwks_uri="file:///etc/passwd"), policy).error_code == "discovery_endpoint_refused"
    assert processed(document(jwks_uri="http://id.example.com"), policy).error_code == "discovery_endpoint_insecure"


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://id.example.com/jwks", True),
        ("https://ID.example.com:443/jwks", True),
        ("https://cdn.example.net/tenant/jwks", True),
        ("https://cdn.example.net/tenant", True),
        ("https://cdn.example.net/tenants", False),
        ("https://cdn.example.net/tenant/../other/jwks", False),
        ("https://cdn.example.net/tenant/%2E%2e/other/jwks", False),
        ("https://cdn.example.net:8443/tenant/jwks", False),
        ("https://cdn.example.net.evil.example/tenant/jwks", False),
        ("https://id.example.com:8443/jwks", False),
        ("https://sub.id.example.com/jwks", False),
        ("https://other.example.com/jwks", False),
    ],
)
def test_same_host_endpoints(url, good):
    """A policy may keep endpoints at the issuer's host and port, and below addresses it lists."""
    policy = DiscoveryPolicy(
        require_same_host_endpoints=True, additional_endpoint_base_addresses=["https://cdn.example.net/tenant"]
    )
    response = processed(document(jwks_uri=url), policy)
    assert response.is_successful is good
    if not good:
        assert response.error_code == "discovery_endpoint_foreign"


@pytest.mark.parametrize("provider", PUBLISHED)
def test_same_host_and_the_published_documents(provider):
    """Of the published documents only those that live on one host satisfy a same-host policy."""
    address, published = PUBLISHED[provider]
    flow = fetch_metadata(address, DiscoveryPolicy(require_same_host_endpoints=True), NO_REPEATS)
    if provider in ("auth0", "okta", "keycloak"):
        assert not run(flow, reply(published))[0].value.faults
        return
    try:
        faults = run(flow, reply(published))[0].value.faults
    except DiscoveryException as error:  # its keys are elsewhere, and those are used in any case
        faults = {"jwks_uri": error}
    assert {fault.code for fault in faults.values()} == {"discovery_endpoint_foreign"}


# ---- plain http


def test_plain_http_is_refused():
    """A plain http address is refused before anything is sent."""
    error = refusal("http://id.example.com")
    assert isinstance(error, DiscoveryHTTPSRequiredError)
    assert error_kind(error) is KIND.HTTPS_REQUIRED


def test_plain_http_by_name(events):
    """require_https=False is honoured, and told at each fetch that makes use of it."""
    policy = DiscoveryPolicy(require_https=False)
    body = {"issuer": "http://id.example.com", "jwks_uri": "http://id.example.com/jwks"}
    assert fetch("http://id.example.com", reply(body), policy=policy).value.jwks_uri == "http://id.example.com/jwks"
    assert [e.name for e in events] == ["insecure_http_allowed"]
    assert events[0].facts["members"] == ["address", "jwks_uri"]
    events.clear()
    assert fetch(ISSUER, reply(), policy=policy).value.is_successful
    assert events == []


# ---- the policy


@pytest.mark.parametrize(
    "facts",
    [
        {"require_https": None},
        {"require_https": 0},
        {"validate_issuer": ""},
        {"validate_endpoints": "no"},
        {"require_same_host_endpoints": 1},
        {"authority": ""},
        {"authority": "id.example.com"},
        {"authority": "http://id.example.com"},
        {"authority": "https://id.example.com?x=1"},
        {"authority": 7},
        {"additional_endpoint_base_addresses": None},
        {"additional_endpoint_base_addresses": "https://cdn.example.net"},
        {"additional_endpoint_base_addresses": [""]},
        {"additional_endpoint_base_addresses": ["http://cdn.example.net"]},
    ],
)
def test_policy_values(facts):
    """Values that could turn a check off by accident are refused, when given and when set later."""
    with pytest.raises(ConfigurationException) as caught:
        DiscoveryPolicy(**facts)
    assert caught.value.claim in facts
    policy = DiscoveryPolicy()
    for name, value in facts.items():
        setattr(policy, name, value)
    response = processed(policy=policy)
    assert response.error_kind in (KIND.INVALID_CONFIGURATION, KIND.HTTPS_REQUIRED)


def test_policy_signature():
    """The published fields keep their order and defaults; ours come by keyword."""
    assert DiscoveryPolicy(True, True, True, True, True, [], None, False) == DiscoveryPolicy()
    with pytest.raises(TypeError):
        DiscoveryPolicy(True, True, True, True, True, [], None, False, True)  # type: ignore[misc] # that is the test


def test_cache_key():
    """One document is cached per address and policy, also for two issuers that share an address but for the slash."""
    key = metadata_key(ISSUER, None)
    assert key == metadata_key(ISSUER, DiscoveryPolicy())
    assert hash(key) == hash(metadata_key(ISSUER, DiscoveryPolicy()))
    others = [
        metadata_key(f"{ISSUER}/", None),
        metadata_key(ISSUER, DiscoveryPolicy(require_key_set=False)),
        metadata_key(ISSUER, DiscoveryPolicy(additional_endpoint_base_addresses=["https://a.example"])),
    ]
    assert len({key, *others}) == 4
    with pytest.raises(ConfigurationException):
        metadata_key("http://id.example.com", None)


# ---- freshness and change


def entry(value: DiscoveryDocumentResponse, etag: str | None = '"1"') -> Entry[DiscoveryDocumentResponse]:
    """Return a cache entry as it was a while ago."""
    return Entry(value, 1, 0, 0, 0, 0, 0, 0, etag)


def test_times_of_freshness():
    """The reply says how long the document is fresh; the settings say it otherwise."""
    told = fetch(ISSUER, reply(headers=(*JSON, ("cache-control", "max-age=600"), ("etag", '"7"'))))
    assert (told.fresh_for, told.etag, told.value.cache_control) == (600, '"7"', "max-age=600")
    silent = fetch(ISSUER, reply())
    assert (silent.fresh_for, silent.stale_if_error, silent.etag) == (3600, NO_REPEATS.max_stale, None)


def test_unchanged_document():
    """A held document is asked after by its tag, where it was found, and renewed by 304."""
    held = fetch(ISSUER, reply(b"", 404), reply()).value
    flow = fetch_metadata(ISSUER, None, NO_REPEATS, entry(held))
    fetched, (request,) = run(flow, Reply(304, (("cache-control", "max-age=90"),)))
    assert request.url == OAUTH
    assert dict(request.headers)["If-None-Match"] == '"1"'
    assert fetched.value is held
    assert (fetched.fresh_for, fetched.etag) == (90, '"1"')


def test_document_that_moved():
    """Where the held document has gone the other candidates are tried, without its tag."""
    held = fetch(ISSUER, reply(b"", 404), reply()).value
    fetched, requests = run(fetch_metadata(ISSUER, None, NO_REPEATS, entry(held)), reply(b"", 404), reply())
    assert [r.url for r in requests] == [OAUTH, OPENID]
    assert [("If-None-Match" in dict(r.headers)) for r in requests] == [True, False]
    assert fetched.value.metadata_url == OPENID


def test_unasked_304():
    """A 304 nobody asked for brings nothing."""
    held = entry(fetch(ISSUER, reply()).value, etag=None)
    assert refusal(ISSUER, Reply(304), previous=held).code == "discovery_status_unexpected"


def test_changed_document(events):
    """Endpoints that changed are told as an event, because an attacker may have changed them."""
    held = entry(fetch(ISSUER, reply()).value)
    fetch(ISSUER, reply(), previous=held)
    assert events == []
    fetch(ISSUER, reply(document(jwks_uri=f"{ISSUER}/other")), previous=held)
    assert [(e.name, e.facts["members"]) for e in events] == [("metadata_changed", ["jwks_uri"])]


# ---- the response


def test_published_fields():
    """The response has the published fields in the published order, 48 of them guarded."""
    names = [f.name for f in fields(DiscoveryDocumentResponse) if not f.kw_only]
    assert names[:2] == ["is_successful", "error"]
    assert names[2:9] == [
        "issuer",
        "jwks_uri",
        "authorization_endpoint",
        "token_endpoint",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    ]
    assert names[-4:] == ["service_documentation", "op_policy_uri", "op_tos_uri", "cache_control"]
    published = set(names[2:-1])
    assert len(published) == 48
    assert published <= DiscoveryDocumentResponse._guarded
    assert "cache_control" not in DiscoveryDocumentResponse._guarded


def test_every_data_field_is_guarded():
    """No data field of a failed response can be read; what tells of the failure can."""
    response = processed(b"{}")
    for name in DiscoveryDocumentResponse._guarded:
        with pytest.raises(FailedResponseAccessError) as caught:
            getattr(response, name)
        assert caught.value.field_name == name
    assert response.cache_control is None
    assert response.missing_fields == ("issuer", "jwks_uri")
    with pytest.raises(DiscoveryMissingFieldsError):
        response.raise_for_error()


def test_members_that_matter_have_fields():
    """The members of DPoP, logout, JARM, mutual TLS, CIBA and the device grant are fields."""
    response = DiscoveryDocumentResponse(True, **{n: v for n, v in KEYCLOAK.items() if n in MEMBERS})
    assert set(KEYCLOAK) <= set(MEMBERS)
    assert response.check_session_iframe == KEYCLOAK["check_session_iframe"]
    assert response.mtls_endpoint_aliases == KEYCLOAK["mtls_endpoint_aliases"]


def test_repr():
    """The repr shows what is there and leaves out what is not."""
    response = DiscoveryDocumentResponse(True, issuer=ISSUER)
    assert repr(response) == f"DiscoveryDocumentResponse(is_successful=True, issuer={ISSUER!r})"
    assert "issuer=" not in repr(processed(b"{}")).replace("missing", "")


def test_responses_can_be_copied():
    """A response can be copied and pickled, failed ones too."""
    for response in (processed(), processed(b"{}")):
        assert copy.deepcopy(response) == response
        assert pickle.loads(pickle.dumps(response)) == response


def test_answered_flow():
    """Around the flow a failure becomes a response that tells its kind."""
    request = DiscoveryDocumentRequest(ISSUER)

    def flow() -> Flow[DiscoveryDocumentResponse]:
        return (yield from fetch_metadata(request.address, request.policy, NO_REPEATS)).value

    response, _ = run(answered(DiscoveryDocumentResponse, flow), reply(b"", 500))
    assert (response.is_successful, response.status_code, response.error_kind) == (False, 500, KIND.UNEXPECTED_STATUS)


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        (ConfigurationException("x"), KIND.INVALID_CONFIGURATION),
        (DiscoveryHTTPSRequiredError("x"), KIND.HTTPS_REQUIRED),
        (NetworkException("x"), KIND.NETWORK_ERROR),
        (TransportException("x", code="timeout"), KIND.NETWORK_ERROR),
        (DiscoveryException("x", code="discovery_unexpected"), KIND.UNEXPECTED_ERROR),
    ],
)
def test_kinds(exception, kind):
    """Every failure has a kind."""
    assert error_kind(exception) is kind
    assert kind.value == kind.name.lower()


# ---- responses of other clients


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_foreign_responses(library):
    """A response of httpx or httpx2 is processed as it is."""
    transport = library.MockTransport(
        lambda request: library.Response(200, json=document(), headers={"Cache-Control": "max-age=60"})
    )
    with library.Client(transport=transport) as client:
        response = process_discovery_response(client.get(OPENID))
    assert (response.issuer, response.cache_control, response.metadata_url) == (ISSUER, "max-age=60", OPENID)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_foreign_response_of_another_issuer(library):
    """The issuer is compared with the address the response came from."""
    request = library.Request("GET", "https://evil.example.com/.well-known/openid-configuration")
    response = process_discovery_response(library.Response(200, json=document(), request=request))
    assert response.error_code == "discovery_issuer_mismatch"


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_foreign_response_without_address(library):
    """A response that knows no address needs the policy to name the issuer."""
    response = process_discovery_response(library.Response(200, json=document()))
    assert (response.error_code, response.error_kind) == ("discovery_address_unknown", KIND.INVALID_CONFIGURATION)
    policy = DiscoveryPolicy(authority=ISSUER)
    assert process_discovery_response(library.Response(200, json=document()), policy).issuer == ISSUER


@pytest.mark.parametrize("target", ["https://id.example.com/metadata.json", "https://evil.example.com/metadata.json"])
def test_foreign_response_after_redirects(target):
    """A client that followed redirects by itself must have stayed on the host."""

    def answer(request: httpx.Request) -> httpx.Response:
        if str(request.url) == OPENID:
            return httpx.Response(302, headers={"Location": target})
        return httpx.Response(200, json=document())

    with httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True) as client:
        response = process_discovery_response(client.get(OPENID))
    assert response.is_successful is target.startswith(ISSUER)
    if not response.is_successful:
        assert response.error_code == "redirect_cross_host"


def test_foreign_response_that_was_not_read():
    """A streamed response that nobody read is a failure, not an exception."""
    request = httpx.Request("GET", OPENID)
    response = httpx.Response(200, headers=JSON, stream=httpx.ByteStream(b"{}"), request=request)
    processed = process_discovery_response(response)
    assert (processed.error_code, processed.error_kind) == ("discovery_unexpected", KIND.UNEXPECTED_ERROR)
    assert "ResponseNotRead" in str(processed.error)


@pytest.mark.parametrize("thing", [None, "text", {}, SimpleNamespace(status_code=200)])
def test_anything_else_is_a_failure(thing):
    """Whatever is passed in, process_discovery_response does not raise."""
    assert process_discovery_response(thing).error_kind is KIND.UNEXPECTED_ERROR


def test_foreign_failure_status():
    """A status other than 200 is told with the status."""
    response = processed(b"gone", status=404)
    assert (response.status_code, response.error_kind) == (404, KIND.UNEXPECTED_STATUS)
