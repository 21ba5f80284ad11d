"""WebFinger, by each driver: identifiers as people type them, and the issuer behind them (RFC 7033, Discovery 2)."""

from __future__ import annotations

import inspect
import json
import time

import pytest

import py_identity_model.aio._webfinger as aio_api
import py_identity_model.sync._webfinger as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.registration.webfinger import (
    ISSUER_REL,
    MAX_DESCRIPTOR,
    WebFingerRequest,
    build_webfinger_url,
    discover_issuer,
    normalize_identifier,
)
from py_identity_model.exceptions import (
    DiscoveryException,
    FailedResponseAccessError,
    InvalidRequestException,
    TransportException,
)
from py_identity_model.settings import Settings

SETTINGS = Settings(http_retry_max_attempts=1, http_retry_base_delay=1.0)
SERVER = "https://server.example.com"
REL = "&rel=http%3A%2F%2Fopenid.net%2Fspecs%2Fconnect%2F1.0%2Fissuer"
LOST = TransportException("connection lost", code="tls_failed")

#: OpenID Connect Discovery 2.1.2 and 2.2: what a person types, the resource, the host, and the request for it.
EXAMPLES = [
    ("joe@example.com", "acct:joe@example.com", "example.com", "acct%3Ajoe%40example.com"),
    ("https://example.com/joe", "https://example.com/joe", "example.com", "https%3A%2F%2Fexample.com%2Fjoe"),
    (
        "https://example.com:8080/",
        "https://example.com:8080/",
        "example.com:8080",
        "https%3A%2F%2Fexample.com%3A8080%2F",
    ),
    (
        "acct:juliet%40capulet.example@shopping.example.com",
        "acct:juliet%40capulet.example@shopping.example.com",
        "shopping.example.com",
        "acct%3Ajuliet%2540capulet.example%40shopping.example.com",
    ),
]


def descriptor(issuer=SERVER, **members):
    return {"subject": "acct:joe@example.com", "links": [{"rel": ISSUER_REL, "href": issuer}], **members}


def answer(members, status=200, content_type="application/jrd+json"):
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return Reply(status, (("content-type", content_type),), body)


def discover(identifier="joe@example.com", **fields):
    return discover_issuer(WebFingerRequest(identifier, **fields), SETTINGS)


# ---- identifiers


@pytest.mark.parametrize(("identifier", "resource", "host", "encoded"), EXAMPLES)
def test_the_examples_of_discovery_2_2(perform, identifier, resource, host, encoded):
    """OpenID Connect Discovery 2.2: each example becomes the resource, the host and the request it names."""
    assert normalize_identifier(identifier) == (resource, host)
    response, [sent] = perform(discover(identifier), answer(descriptor()))
    assert sent.method == "GET"
    assert sent.url == f"https://{host}/.well-known/webfinger?resource={encoded}{REL}"
    assert dict(sent.headers)["Accept"] == "application/jrd+json"
    assert (response.issuer, response.resource) == (SERVER, resource)


@pytest.mark.parametrize(
    ("identifier", "resource", "host"),
    [
        ("example.com", "https://example.com", "example.com"),
        ("example.com/joe", "https://example.com/joe", "example.com"),
        ("example.com:8080", "https://example.com:8080", "example.com:8080"),
        ("joe@example.com:8080", "https://joe@example.com:8080", "example.com:8080"),
        ("joe@example.com/path", "https://joe@example.com/path", "example.com"),
        ("Jane.Doe@example.com", "acct:Jane.Doe@example.com", "example.com"),
        ("joe@example.org@example.com", "acct:joe%40example.org@example.com", "example.com"),
        ("joe+openid@example.com", "acct:joe+openid@example.com", "example.com"),
        ("ACCT:joe@example.com", "acct:joe@example.com", "example.com"),
        ("  joe@example.com\n", "acct:joe@example.com", "example.com"),
        ("HTTPS://example.com/joe?a=b", "HTTPS://example.com/joe?a=b", "example.com"),
        ("http://example.com/joe", "http://example.com/joe", "example.com"),
        ("example.com?who=joe", "https://example.com?who=joe", "example.com"),
    ],
)
def test_normalization(identifier, resource, host):
    """OpenID Connect Discovery 2.1.2: user and host alone are an account; whatever else has no scheme is https."""
    assert normalize_identifier(identifier) == (resource, host)


@pytest.mark.parametrize("identifier", ["https://example.com/joe#here", "example.com/joe#here", "example.com/joe#"])
def test_a_fragment_is_stripped(identifier):
    """OpenID Connect Discovery 2.1.2: a fragment MUST be stripped off, with its delimiter."""
    assert normalize_identifier(identifier).resource == "https://example.com/joe"


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "   ",
        None,
        5,
        "=example",
        "@example",
        "+example",
        "$example",
        "(example",
        "!example",
        "xri://=example",
        "ftp://example.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "mailto:joe@example.com",
        "acct:joe",
        "acct:@example.com",
        "acct:joe@",
        "acct:joe@example.com/path",
        "acct:joe@example.com:8080",
        "acct:joe@example.com:8080:1",
        "joe@",
        "joe:canary-password@example.com",
        "https://joe:canary-password@example.com/",
        "https://",
        "https://[",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://evil.example\\@example.com/",
        "https://evil.example@good.example@example.com/",
        "joe@ex\u00e4mple.com",
        "joe@example.com\u202e",
        "joe@2130706433",
        "joe@0x7f.1",
        "joe@example.com?x=a b",
        "a" * 3000 + "@example.com",
    ],
)
def test_identifiers_that_are_none(perform, identifier):
    """What is no account, host or URL is refused before anything is sent, and is not repeated: it may be a password."""
    with pytest.raises(InvalidRequestException) as error:
        normalize_identifier(identifier)
    assert error.value.code == "identifier_invalid"
    assert "canary" not in str(error.value) + repr(vars(error.value))
    response, sent = perform(discover(identifier))
    assert (response.error_code, sent) == ("identifier_invalid", [])


def test_an_identifier_whose_question_is_too_long(perform):
    """An identifier that makes no usable address, once encoded, is refused as such."""
    response, sent = perform(discover("https://example.com/" + "%" * 1500))
    assert (response.error_code, sent) == ("identifier_invalid", [])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "localhost",
        "app.localhost",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "intranet",
        "metadata.google.internal",
        "printer.local",
        "router.home.arpa",
    ],
)
def test_nobody_can_have_us_look_inside(perform, host):
    """[J20] Hosts that are private, local or reserved are not asked, unless the loud option says so."""
    response, sent = perform(discover(f"https://{host}/joe"))
    assert (response.error_code, sent) == ("address_not_public", [])
    response, sent = perform(discover(f"https://{host}/joe", allow_private_addresses=True), answer(descriptor()))
    assert (response.issuer, len(sent)) == (SERVER, 1)


def test_an_issuer_inside_is_refused_too(perform):
    """[J20] An answer cannot lead the next request to an address inside."""
    reply = answer(descriptor("https://169.254.169.254"))
    assert perform(discover(), reply)[0].error_code == "address_not_public"
    assert perform(discover(allow_private_addresses=True), reply)[0].issuer == "https://169.254.169.254"


# ---- answers


def test_the_example_of_discovery_2_2_1(perform):
    """OpenID Connect Discovery 2.2.1: the example answer is read."""
    response, _ = perform(discover(), answer(descriptor(), content_type="application/jrd+json; charset=utf-8"))
    assert (response.issuer, response.subject) == (SERVER, "acct:joe@example.com")
    assert response.descriptor == descriptor()
    assert (response.status_code, response.error) == (200, None)


def test_the_example_of_rfc_7033_3_1(perform):
    """RFC 7033 3.1: the example answer to an OpenID Connect client leads to its issuer."""
    members = {
        "subject": "acct:carol@example.com",
        "links": [{"rel": "http://openid.net/specs/connect/1.0/issuer", "href": "https://openid.example.com"}],
    }
    response, [sent] = perform(discover("carol@example.com"), answer(members))
    assert sent.url == build_webfinger_url(normalize_identifier("carol@example.com"))
    assert response.issuer == "https://openid.example.com"


def test_the_right_link_is_taken(perform):
    """RFC 7033 4.3: a server may ignore rel; the first link with exactly this relation counts."""
    links = [
        5,
        {"href": "https://evil.example"},
        {"rel": "HTTP://openid.net/specs/connect/1.0/issuer", "href": "https://evil.example"},
        {"rel": ISSUER_REL + "/", "href": "https://evil.example"},
        {"rel": ISSUER_REL, "href": SERVER},
        {"rel": ISSUER_REL, "href": "https://second.example"},
    ]
    response, _ = perform(discover(), answer({"links": links}, content_type="application/json"))
    assert (response.issuer, response.subject) == (SERVER, None)


@pytest.mark.parametrize(
    "members",
    [{}, {"links": []}, {"links": None}, {"links": {"rel": ISSUER_REL}}, {"links": [{"rel": "x", "href": SERVER}]}],
)
def test_answers_without_an_issuer(perform, members):
    """An answer that links to no issuer is a failure."""
    response, _ = perform(discover(), answer(members))
    assert (response.is_successful, response.error_code) == (False, "webfinger_issuer_missing")
    for name in ("issuer", "resource", "subject", "descriptor"):
        with pytest.raises(FailedResponseAccessError):
            getattr(response, name)


@pytest.mark.parametrize(
    "issuer",
    [
        None,
        5,
        "",
        "http://server.example.com",
        "http://127.0.0.1",
        "https://server.example.com?a=b",
        "https://server.example.com#a",
        "https://user@server.example.com",
        "javascript:alert(1)",
        "server.example.com",
    ],
)
def test_an_issuer_is_an_https_url(perform, issuer):
    """[F1] OpenID Connect Discovery 2: an issuer that is no https URL without query and fragment is refused."""
    response, _ = perform(discover(), answer(descriptor(issuer)))
    assert response.error_code == "webfinger_issuer_invalid"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(404), "webfinger_missing"),
        (Reply(400), "webfinger_missing"),
        (answer(b"<p>canary</p>", content_type="text/html"), "webfinger_missing"),
        (answer(descriptor(), content_type="text/plain"), "webfinger_missing"),
        (Reply(200, (), json.dumps(descriptor()).encode()), "webfinger_missing"),
        (answer(b"canary"), "webfinger_unparsable"),
        (answer(b"[]"), "webfinger_unparsable"),
        (answer(b'{"links": [], "links": []}'), "webfinger_unparsable"),
        (answer(b'{"a":"' + b"a" * MAX_DESCRIPTOR + b'"}'), "response_too_large"),
        (LOST, "tls_failed"),
    ],
)
def test_what_is_no_descriptor(perform, reply, code):
    """Anything but a small JSON object with status 200 is a failure that repeats nothing of it."""
    response, _ = perform(discover(), reply)
    assert (response.is_successful, response.error_code) == (False, code)
    assert "canary" not in response.error
    if code.startswith("webfinger"):
        assert isinstance(response.exception, DiscoveryException)


def test_a_failing_server_is_asked_again(perform, clock):
    """Asking is safe to repeat."""
    response, sent = perform(discover(), Reply(503), answer(descriptor()))
    assert (response.is_successful, len(sent), len(clock.slept)) == (True, 2, 1)


def redirect(location, status=302):
    return Reply(status, (("location", location),))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_on_the_same_host(perform, status):
    """RFC 7033 4.2: a redirect to another https address of the same host and port is followed."""
    response, sent = perform(discover(), redirect("/webfinger?resource=a", status), answer(descriptor()))
    assert response.issuer == SERVER
    assert sent[1].url == "https://example.com/webfinger?resource=a"


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://example.com/x", "redirect_insecure"),
        ("https://evil.example/x", "redirect_cross_host"),
        ("https://example.com:8443/x", "redirect_cross_host"),
        ("https://169.254.169.254/", "redirect_cross_host"),
        ("file:///etc/passwd", "redirect_location_invalid"),
        ("", "redirect_location_missing"),
    ],
)
def test_redirects_elsewhere(perform, location, code):
    """[S1] A redirect to plain http, another host or another port is not followed."""
    response, sent = perform(discover(), redirect(location))
    assert (response.error_code, len(sent)) == (code, 1)


def test_redirects_end(perform):
    """Redirects in a circle end after three."""
    response, sent = perform(discover(), *[redirect("/x")] * 4)
    assert (response.error_code, len(sent)) == ("redirect_limit", 4)


def test_normalization_is_linear():
    """The longest identifier is read, or refused, in no time."""
    started = time.perf_counter()
    for text in ("@" * 2000, "a@" * 1000, "acct:" + "%" * 2000, "https://" + "@" * 2000, "a:" * 1000, "." * 2000):
        with pytest.raises(InvalidRequestException):
            normalize_identifier(text)
    assert time.perf_counter() - started < 0.2


# ---- conformance


def test_oidcc_client_test_discovery_webfinger_acct(perform):
    """A person's account leads to the issuer."""
    response, [sent] = perform(discover("acct:joe@example.com"), answer(descriptor("https://example.com/test/a/rp")))
    assert "resource=acct%3Ajoe%40example.com&" in sent.url
    assert response.issuer == "https://example.com/test/a/rp"


def test_oidcc_client_test_discovery_webfinger_url(perform):
    """A URL leads to the issuer."""
    reply = answer(descriptor("https://example.com/test/a/rp"))
    response, [sent] = perform(discover("https://example.com/test/a/rp"), reply)
    assert "resource=https%3A%2F%2Fexample.com%2Ftest%2Fa%2Frp&" in sent.url
    assert response.issuer == "https://example.com/test/a/rp"


def test_both_apis_run_the_flow(driver):
    """The blocking and the awaited function give the same answer, with the same signature."""
    request = WebFingerRequest("joe@example.com")

    async def web(_):
        return answer(descriptor())

    if driver.kind == "sync":
        response = sync_api.discover_issuer(request, lambda _: answer(descriptor()))
    else:
        response = driver.loop(aio_api.discover_issuer, request, web)
    assert response.issuer == SERVER
    assert inspect.signature(sync_api.discover_issuer) == inspect.signature(aio_api.discover_issuer)
