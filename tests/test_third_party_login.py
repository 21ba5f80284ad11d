"""Login that another site starts: which issuer it may choose, and where it may lead (OpenID Connect Core 4)."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from conformance.double import ISSUER as OP_ISSUER
from conformance.double import Op
from conformance.rp import Rp
from py_identity_model._core.login.third_party_login import (
    MAX_INITIATE_LOGIN,
    MAX_LOGIN_HINT,
    ThirdPartyLogin,
    parse_initiate_login,
)
from py_identity_model.exceptions import ConfigurationException, InvalidRequestException

ISSUER = "https://id.example.com"
TRUSTED = {ISSUER, "https://other.example/tenant"}
TARGETS = ["https://app.example.com/shop", "https://app.example.com:8443/"]


def parse(parameters, **facts):
    return parse_initiate_login(parameters, **{"trusted_issuers": TRUSTED, "allowed_targets": TARGETS, **facts})


def refused(parameters, **facts):
    with pytest.raises(InvalidRequestException) as error:
        parse(parameters, **facts)
    assert error.value.client_error.status == 400
    return error.value.code


def test_oidcc_client_test_3rd_party_init_login(api, clock):
    """[S1] A login starts at the issuer that the request names, if it is trusted, and at no other."""
    op = Op()
    relying_party = Rp(api, op)
    started = (
        f"https://rp.example.com/initiate?iss={quote(OP_ISSUER)}&login_hint=ada&target_link_uri={quote(TARGETS[0])}"
    )
    login = parse(started, trusted_issuers=OP_ISSUER)
    assert login == ThirdPartyLogin(OP_ISSUER, "ada", TARGETS[0])
    url = relying_party.begin(login_hint=login.login_hint, data={"return_to": login.target_link_uri})
    assert url.startswith(OP_ISSUER)
    assert parse_qs(urlsplit(url).query)["login_hint"] == ["ada"]
    # what comes back is an answer to this login, with a state of its own, and not to the site that started it
    response = relying_party.end(op.authorize(url))
    assert (response.is_successful, response.data) == (True, {"return_to": TARGETS[0]})
    assert refused("iss=https%3A%2F%2Fevil.example", trusted_issuers=OP_ISSUER) == "issuer_untrusted"


@pytest.mark.parametrize(
    "parameters",
    [
        {"iss": ISSUER, "login_hint": "a b"},
        [("iss", ISSUER), ("login_hint", "a b")],
        urlencode({"iss": ISSUER, "login_hint": "a b"}),
        "?" + urlencode({"iss": ISSUER, "login_hint": "a b"}),
        "https://app.example.com/login?" + urlencode({"iss": ISSUER, "login_hint": "a b"}) + "#top",
        "/login?" + urlencode({"iss": ISSUER, "login_hint": "a b"}),
        f"iss={ISSUER}&login_hint=a+b",
    ],
)
def test_get_and_post(parameters):
    """OpenID Connect Core 4: the parameters come in a query or a form."""
    assert parse(parameters) == ThirdPartyLogin(ISSUER, "a b")


def test_a_query_with_question_marks():
    """RFC 3986 3.4: a question mark inside a value does not begin another query."""
    login = parse(f"iss={ISSUER}&target_link_uri=https://app.example.com/shop?a=b?c")
    assert login.target_link_uri == "https://app.example.com/shop?a=b?c"


def test_other_parameters_are_ignored():
    """OpenID Connect Core 4: other parameters are ignored, also several times, and empty ones are absent."""
    login = parse(f"iss={quote(ISSUER)}&x=1&x=2&login_hint=&target_link_uri=&lti_message_hint=a%0Ab")
    assert login == ThirdPartyLogin(ISSUER)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example.com/",
        "https://ID.example.com",
        "https://id.example.com:443",
        "https://id.example.com.evil.example",
        "https://id.example.co",
        "https://id.example.com ",
        "http://id.example.com",
        "https://id.example.com#",
        "id.example.com",
        "https://id.example.c\u043em",
    ],
)
def test_issuers_are_compared_as_they_are_written(issuer):
    """[F17] [S3] An issuer that is almost a trusted one is not trusted; a part of a name is no name."""
    assert refused({"iss": issuer}) == "issuer_untrusted"
    assert refused({"iss": issuer}, trusted_issuers=ISSUER) == "issuer_untrusted"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        "",
        {"iss": ""},
        {"iss": 5},
        {"iss": ISSUER + "\r\nx"},
        [("iss", ISSUER), ("iss", ISSUER)],
        [("iss", ISSUER), ("iss", "https://evil.example")],
        [("iss", ISSUER), ("login_hint", "a"), ("login_hint", "b")],
        [("iss", ISSUER), ("target_link_uri", TARGETS[0]), ("target_link_uri", "https://evil.example")],
        {"iss": ISSUER, "login_hint": "a\x00b"},
        {"iss": ISSUER, "login_hint": "a" * (MAX_LOGIN_HINT + 1)},
        f"iss={ISSUER}&x=" + "a" * MAX_INITIATE_LOGIN,
        f"iss={ISSUER}&" + "&".join("x=1" for _ in range(100)),
        "iss=%ff",
    ],
)
def test_malformed_requests(parameters):
    """A parameter that is missing, there twice, or no harmless text makes no login."""
    assert refused(parameters) == "initiate_login_invalid"


@pytest.mark.parametrize(
    "target",
    [
        "https://app.example.com/shop",
        "https://app.example.com/shop/",
        "https://app.example.com/shop/a/b?next=https://evil.example#x",
        "https://APP.example.com/shop/a",
        "https://app.example.com:443/shop/%C3%A4",
        "https://app.example.com:8443",
        "https://app.example.com:8443/anything",
    ],
)
def test_targets_that_are_allowed(target):
    """[S28] A target under an allowed URL is taken as it stands."""
    assert parse({"iss": ISSUER, "target_link_uri": target}).target_link_uri == target


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/shop",
        "//evil.example/shop",
        "/shop",
        "https:evil.example",
        "https:///evil.example/shop",
        "http://app.example.com/shop",
        "https://app.example.com/shopping",
        "https://app.example.com/",
        "https://app.example.com.evil.example/shop",
        "https://app.example.com@evil.example/shop",
        "https://evil.example\\@app.example.com/shop",
        "https://app.example.com\\.evil.example/shop",
        "https://app.example.com:444/shop",
        "https://app.example.com/shop/../admin",
        "https://app.example.com/shop/%2e%2e/admin",
        "https://app.example.com/shop/..%2fadmin",
        "https://app.example.com/shop/%252e%252e/admin",
        "https://app.example.com/shop/..;/admin",
        "https://app.example.com/shop/.;x/admin",
        "https://app.example.com/shop/..%5cadmin",
        "https://app.example.com/shop//evil",
        "https://app.example.com/shop/%00",
        "https://app.example.com/shop/%0d%0aSet-Cookie:a",
        "https://app.example.com/shop#\u202e",
        "https://\u0430pp.example.com/shop",
        "javascript:alert(1)//https://app.example.com/shop",
        "data:text/html,https://app.example.com/shop",
        "https://app.example.com/shop/" + "a" * 2048,
        " https://app.example.com/shop",
    ],
)
def test_no_open_redirector(target):
    """[S1] [S28] [F11] A target anywhere else, however it is dressed up, is refused (O5)."""
    assert refused({"iss": ISSUER, "target_link_uri": target}) == "target_link_uri_refused"


@pytest.mark.parametrize("allowed", [(), [], set(), ""])
def test_without_allowed_targets_none_is(allowed):
    """[S28] Where no target is allowed, a request with one is refused, and one without is good."""
    assert refused({"iss": ISSUER, "target_link_uri": TARGETS[0]}, allowed_targets=allowed) == "target_link_uri_refused"
    assert parse({"iss": ISSUER}, allowed_targets=allowed).target_link_uri is None


@pytest.mark.parametrize(
    "facts",
    [
        {"trusted_issuers": []},
        {"trusted_issuers": ""},
        {"trusted_issuers": [""]},
        {"trusted_issuers": None},
        {"allowed_targets": ["app.example.com"]},
        {"allowed_targets": ["http://app.example.com/"]},
        {"allowed_targets": ["https://app.example.com/?a"]},
        {"allowed_targets": ["https://app.example.com/#a"]},
        {"allowed_targets": ["https://app.example.com/a/../b"]},
        {"allowed_targets": ["https://*.example.com/"]},
        {"allowed_targets": [""]},
        {"allowed_targets": [5]},
    ],
)
def test_settings_that_make_no_sense(facts):
    """Nobody trusted, or a target that is no plain https URL, is a configuration error, whatever the request."""
    with pytest.raises(ConfigurationException):
        parse({"iss": ISSUER}, **facts)


def test_reading_is_linear():
    """The longest request is read, or refused, in no time."""
    started = time.perf_counter()
    for text in ("iss=" + "%" * 16_000, "&" * 16_000, "iss=" + ISSUER + "&target_link_uri=" + "/." * 7_000):
        with pytest.raises(InvalidRequestException):
            parse(text)
    assert time.perf_counter() - started < 0.2


def test_what_strangers_wrote_is_printable():
    """What a stranger sent shows in the error as one bounded, harmless line."""
    with pytest.raises(InvalidRequestException) as error:
        parse({"iss": "https://evil.example/\u202e" + "a" * 5000})
    assert error.value.actual.isprintable()
    assert len(error.value.actual) < 300


def test_clients_by_issuer_are_issuers():
    """A mapping of clients by issuer trusts its keys, and nothing else."""
    clients = {"https://id.example.com": object()}
    assert parse_initiate_login({"iss": "https://id.example.com"}, clients).issuer == "https://id.example.com"
    with pytest.raises(InvalidRequestException):
        parse_initiate_login({"iss": "https://other.example.com"}, clients)
    with pytest.raises(ConfigurationException):
        parse_initiate_login({"iss": "https://id.example.com"}, {})
