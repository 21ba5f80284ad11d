"""Client registration and its management, by each driver (RFC 7591, RFC 7592)."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import pickle
import traceback

import pytest

import py_identity_model._core.registration.registration as flows
import py_identity_model.aio._registration as aio_api
import py_identity_model.sync._registration as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.registration.registration import (
    ClientDeleteRequest,
    ClientReadRequest,
    ClientRegistrationRequest,
    ClientRegistrationResponse,
    ClientUpdateRequest,
)
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    TokenRequestException,
    TransportException,
)
from py_identity_model.settings import Settings

ENDPOINT = "https://server.example.com/register"
MANAGED = "https://server.example.com/register/s6BhdRkqt3"
CALLBACK = "https://client.example.org/callback"
SETTINGS = Settings(http_retry_max_attempts=2, http_retry_base_delay=1.0)
JSON = ("content-type", "application/json")
KEY = SigningKey.generate("ES256", kid="k1")
LOST = TransportException("connection lost", code="connection_lost")

#: RFC 7591 3.1, 3.2.1: the examples of a request and its answer.
ASKED = {
    "redirect_uris": ["https://client.example.org/callback", "https://client.example.org/callback2"],
    "client_name": "My Example Client",
    "client_name#ja-Jpan-JP": "\u30af\u30e9\u30a4\u30a2\u30f3\u30c8\u540d",
    "token_endpoint_auth_method": "client_secret_basic",
    "logo_uri": "https://client.example.org/logo.png",
    "jwks_uri": "https://client.example.org/my_public_keys.jwks",
    "example_extension_parameter": "example_value",
}
REGISTERED = {
    "client_id": "s6BhdRkqt3",
    "client_secret": "cf136dc3c1fc93f31185e5885805d",
    "client_id_issued_at": 2893256800,
    "client_secret_expires_at": 2893276800,
    **ASKED,
    "grant_types": ["authorization_code", "refresh_token"],
}
#: RFC 7592 3: what makes a registration manageable.
MANAGEABLE = {
    **REGISTERED,
    "registration_access_token": "reg-23410913-abewfq.123483",
    "registration_client_uri": MANAGED,
}


def answer(members, status=200):
    return Reply(status, (JSON,), json.dumps(members).encode(), ENDPOINT)


def refusal(error, status=400, **members):
    return answer({"error": error, **members}, status)


def body(request):
    return json.loads(request.body)


def headers(request):
    return dict(request.headers)


def register(redirect_uris=(CALLBACK,), **fields):
    return flows.register_client(ClientRegistrationRequest(ENDPOINT, list(redirect_uris), **fields))


def update(**fields):
    given = {
        "registration_access_token": "canary-token",
        "client_id": "s6BhdRkqt3",
        "redirect_uris": [CALLBACK],
        **fields,
    }
    return flows.update_client(ClientUpdateRequest(MANAGED, **given))


def read(token="canary-token", **fields):
    return flows.read_client(ClientReadRequest(MANAGED, token, **fields), SETTINGS)


# ---- registering


def test_the_example_of_rfc_7591_3(perform):
    """RFC 7591 3.1, 3.2.1: the example request is sent as it stands, and the example answer is read."""
    flow = register(
        ASKED["redirect_uris"],
        client_name="My Example Client",
        token_endpoint_auth_method="client_secret_basic",
        logo_uri="https://client.example.org/logo.png",
        jwks_uri="https://client.example.org/my_public_keys.jwks",
        extra_metadata={
            "client_name#ja-Jpan-JP": ASKED["client_name#ja-Jpan-JP"],
            "example_extension_parameter": "example_value",
        },
    )
    response, [sent] = perform(flow, answer(REGISTERED, 201))
    assert (sent.method, sent.url) == ("POST", ENDPOINT)
    assert headers(sent) == {"Accept": "application/json", "Content-Type": "application/json"}
    assert body(sent) == ASKED
    assert (response.client_id, response.client_secret) == ("s6BhdRkqt3", "cf136dc3c1fc93f31185e5885805d")
    assert (response.client_id_issued_at, response.client_secret_expires_at) == (2893256800, 2893276800)
    assert (response.registration_access_token, response.registration_client_uri) == (None, None)
    assert (response.changes, response.status_code, response.error) == ({}, 201, None)


def test_the_example_of_rfc_7591_3_1_with_a_token(perform):
    """RFC 7591 3.1: the example with an initial access token sends it as a bearer token."""
    for token in ("ey23f2.adfj230.af32-developer321", Secret("ey23f2.adfj230.af32-developer321")):
        _, [sent] = perform(register(initial_access_token=token), answer(REGISTERED, 201))
        assert headers(sent)["Authorization"] == "Bearer ey23f2.adfj230.af32-developer321"


def test_the_example_of_rfc_7591_3_1_1(perform):
    """RFC 7591 3.1.1: a software statement goes beside the plain metadata, and is not compared with what returns."""
    statement = "eyJhbGciOiJSUzI1NiJ9.eyJzb2Z0d2FyZV9pZCI6IjROUkIxLTBYWkFCWkk5RTYtNVNNM1IifQ.GHfL4QNIrQwL18BSRdE595T9j"
    flow = register(
        ASKED["redirect_uris"],
        scope="read write",
        software_statement=Secret(statement),
        extra_metadata={"example_extension_parameter": "example_value"},
    )
    reply = {**REGISTERED, "scope": "write read", "software_statement": statement, "client_name": "by the statement"}
    response, [sent] = perform(flow, answer(reply, 201))
    assert body(sent) == {
        "redirect_uris": ASKED["redirect_uris"],
        "software_statement": statement,
        "scope": "read write",
        "example_extension_parameter": "example_value",
    }
    assert response.changes == {}
    assert response.metadata["client_name"] == "by the statement"


def test_every_member_has_its_field(perform):
    """RFC 7591 2: each member of client metadata is sent under its registered name."""
    jwks = {"keys": [KEY.public_jwk]}
    given = {
        "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token"],
        "application_type": "web",
        "contacts": ["ve7jtb@example.org"],
        "client_name": "App",
        "logo_uri": "https://a.example/logo.png",
        "client_uri": "https://a.example/#top",
        "policy_uri": "https://a.example/policy",
        "tos_uri": "https://a.example/tos",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": "openid email",
        "jwks": jwks,
        "software_id": "4NRB1-0XZABZI9E6-5SM3R",
        "software_version": "2.1",
    }
    _, [sent] = perform(register(**given), answer(REGISTERED, 201))
    assert body(sent) == {"redirect_uris": [CALLBACK], **given}


def test_published_positions():
    """The published fields of requests and response keep their positions."""
    request = ClientRegistrationRequest(
        ENDPOINT, [CALLBACK], ["code"], ["g"], "web", ["c"], "n", "l", "u", "p", "t", "m", "s", "j", {"x": 1}, "token"
    )
    assert (request.scope, request.jwks_uri, request.initial_access_token) == ("s", "j", "token")
    changed = ClientUpdateRequest(MANAGED, "token", "id", [CALLBACK], ["code"], ["g"], "web")
    assert (changed.registration_access_token, changed.client_id, changed.application_type) == ("token", "id", "web")
    response = ClientRegistrationResponse(True, None, "id", "secret", 1, 2, "token", "uri", {"a": 1})
    assert (response.registration_client_uri, response.metadata) == ("uri", {"a": 1})


@pytest.mark.parametrize("status", [200, 201])
def test_both_statuses_are_success(perform, status):
    """RFC 7591 3.2.1 says 201; some providers say 200."""
    assert perform(register(), answer(MANAGEABLE, status))[0].registration_client_uri == MANAGED


def test_unknown_members_are_kept(perform):
    """All that the provider said stays in metadata and raw."""
    members = {**MANAGEABLE, "x": [1, {"y": None}]}
    response, _ = perform(register(), answer(members, 201))
    assert response.metadata == members
    assert json.loads(response.raw) == members


def test_a_secret_that_never_expires(perform):
    """RFC 7591 3.2.1: 0 means that the secret does not expire."""
    response, _ = perform(register(), answer({**REGISTERED, "client_secret_expires_at": 0}, 201))
    assert response.client_secret_expires_at == 0


@pytest.mark.parametrize(
    ("fields", "registered", "changes"),
    [
        ({"scope": "a b"}, {"scope": "a"}, {"scope": ("a b", "a")}),
        ({"grant_types": ["authorization_code"]}, {"grant_types": ["authorization_code", "refresh_token"]}, True),
        (
            {"token_endpoint_auth_method": "private_key_jwt"},
            {"token_endpoint_auth_method": "client_secret_basic"},
            True,
        ),
        ({"client_name": "App"}, {}, {"client_name": ("App", None)}),
        ({"extra_metadata": {"require_pushed_authorization_requests": True}}, {}, True),
        ({"extra_metadata": {"dpop_bound_access_tokens": True}}, {"dpop_bound_access_tokens": 1}, True),
        ({"scope": "a b"}, {"scope": "b a"}, {}),
        ({"contacts": ["a", "b"]}, {"contacts": ["b", "a"]}, {}),
        ({"extra_metadata": {"dpop_bound_access_tokens": True}}, {"dpop_bound_access_tokens": True}, {}),
    ],
)
def test_what_was_registered_otherwise(perform, fields, registered, changes):
    """RFC 7591 3.2.1: the client learns what the provider replaced or left out; order alone is no change."""
    response, _ = perform(
        register(**fields), answer({"client_id": "a", "redirect_uris": [CALLBACK], **registered}, 201)
    )
    assert response.is_successful
    if changes is True:
        assert len(response.changes) == 1
    else:
        assert response.changes == changes


def test_another_redirect_uri_is_seen(perform):
    """[S28] A redirect URI that nobody asked for does not go unnoticed."""
    reply = answer({**REGISTERED, "redirect_uris": [CALLBACK, "https://evil.example/cb"]}, 201)
    response, _ = perform(register(), reply)
    assert response.changes["redirect_uris"] == ([CALLBACK], [CALLBACK, "https://evil.example/cb"])


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "https://app.example/cb?tenant=a",
        "http://127.0.0.1/cb",
        "http://[::1]:61023/cb",
        "http://localhost:3000/cb",
        "com.example.app:/oauth2redirect/example-provider",
        "com.example.app:/cb",
    ],
)
def test_where_responses_may_go(perform, uri):
    """[S18] RFC 8252 7: https, loopback and schemes of apps may receive authorization responses."""
    assert perform(register([uri]), answer({"client_id": "a", "redirect_uris": [uri]}, 201))[0].changes == {}


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/cb",
        "https://app.example/cb#fragment",
        "https://app.example/cb#",
        "https://user@app.example/cb",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//app.example/cb",
        "/cb",
        "",
        "https://",
        "https://[",
        "https://app.example/ cb",
        "https://app.example\\@evil.example/cb",
        "https://\u0430pp.example/cb",
    ],
)
def test_where_responses_may_not_go(perform, uri):
    """[S1] [S18] Plain http, fragments, scripts and look-alikes are never registered."""
    response, sent = perform(register([uri]))
    assert (response.is_successful, sent) == (False, [])
    assert isinstance(response.exception, ConfigurationException)


@pytest.mark.parametrize(
    ("fields", "code", "claim"),
    [
        ({"redirect_uris": []}, "client_metadata_invalid", "redirect_uris"),
        ({"redirect_uris": [], "grant_types": ["implicit"]}, "client_metadata_invalid", "redirect_uris"),
        (
            {"redirect_uris": [], "grant_types": ["client_credentials"], "response_types": ["code"]},
            "client_metadata_invalid",
            "redirect_uris",
        ),
        ({"grant_types": ["password"]}, "grant_type_refused", "grant_types"),
        ({"grant_types": []}, "parameter_invalid", "grant_types"),
        ({"grant_types": "authorization_code"}, "client_metadata_invalid", "grant_types"),
        ({"contacts": [5]}, "parameter_invalid", "contacts"),
        ({"client_name": ""}, "client_metadata_invalid", "client_name"),
        ({"scope": [""]}, "client_metadata_invalid", "scope"),
        ({"logo_uri": "javascript:alert(1)"}, "client_metadata_invalid", "logo_uri"),
        ({"client_uri": 5}, "client_metadata_invalid", "client_uri"),
        ({"jwks_uri": "http://app.example/jwks"}, "https_required", "jwks_uri"),
        ({"jwks": {"keys": []}}, "client_metadata_invalid", "jwks"),
        ({"jwks": {"keys": ["a"]}}, "client_metadata_invalid", "jwks"),
        ({"jwks": [KEY.public_jwk]}, "client_metadata_invalid", "jwks"),
        ({"jwks": {"keys": [{"kty": "EC", "d": "canary"}]}}, "jwks_private", "jwks"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "canary"}]}}, "jwks_private", "jwks"),
        ({"extra_metadata": {"jwks": {"keys": [{"kty": "EC", "d": "canary"}]}}}, "jwks_private", "jwks"),
        ({"jwks": {"keys": [KEY.public_jwk]}, "jwks_uri": "https://a.example"}, "client_metadata_invalid", "jwks"),
        ({"extra_metadata": {"client_id": "a"}}, "parameter_reserved", "client_id"),
        ({"extra_metadata": {"client_secret": "a"}}, "parameter_reserved", "client_secret"),
        ({"extra_metadata": {"redirect_uris": []}}, "parameter_reserved", "redirect_uris"),
        ({"extra_metadata": {"jwks_uri": "http://a.example"}}, "https_required", "jwks_uri"),
        ({"extra_metadata": {"x": float("nan")}}, "client_metadata_invalid", "extra_metadata"),
        ({"extra_metadata": {"x": {1, 2}}}, "client_metadata_invalid", "extra_metadata"),
        ({"initial_access_token": "a\r\nEvil: 1"}, "registration_token_invalid", None),
        ({"initial_access_token": 5}, "client_metadata_invalid", "registration_access_token"),
    ],
)
def test_requests_that_make_no_sense(perform, fields, code, claim):
    """[S15] [F45] A caller's mistake is a failed response with its own code; no private key is ever sent."""
    response, sent = perform(register(**fields))
    assert (response.error_code, response.exception.claim, sent) == (code, claim, [])
    assert isinstance(response.exception, ConfigurationException)
    assert "canary" not in response.error


def test_a_client_without_redirects(perform):
    """A client of client_credentials alone registers without redirect URIs, and the member is not sent."""
    response, [sent] = perform(register([], grant_types=["client_credentials"]), answer({"client_id": "a"}, 201))
    assert "redirect_uris" not in body(sent)
    assert response.changes == {"grant_types": (["client_credentials"], None)}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"client_id": None}, "client_id_missing"),
        ({"client_id": ""}, "client_id_missing"),
        ({"client_id": 5}, "client_id_invalid"),
        ({"client_secret": ["canary"]}, "client_secret_invalid"),
        ({"client_secret_expires_at": "never"}, "client_secret_expires_at_invalid"),
        ({"client_secret_expires_at": -1}, "client_secret_expires_at_invalid"),
        ({"client_id_issued_at": True}, "client_id_issued_at_invalid"),
        ({"registration_access_token": 5}, "registration_access_token_invalid"),
        ({"registration_client_uri": "http://server.example.com/r"}, "registration_client_uri_invalid"),
        ({"registration_client_uri": "https://u@server.example.com/r"}, "registration_client_uri_invalid"),
        ({"registration_client_uri": ["a"]}, "registration_client_uri_invalid"),
    ],
)
def test_members_must_have_their_type(perform, change, code):
    """A member that is missing or of another type is a failure with its own code."""
    response, _ = perform(register(), answer({**MANAGEABLE, **change}, 201))
    assert (response.is_successful, response.error_code) == (False, code)
    assert isinstance(response.exception, TokenRequestException)
    for name in ("client_id", "client_secret", "registration_access_token", "registration_client_uri", "raw"):
        with pytest.raises(FailedResponseAccessError):
            getattr(response, name)
    assert response.metadata is None


@pytest.mark.parametrize(
    "error",
    [
        "invalid_redirect_uri",
        "invalid_client_metadata",
        "invalid_software_statement",
        "unapproved_software_statement",
        "invalid_token",
    ],
)
def test_refusals(perform, error):
    """RFC 7591 3.2.2: the provider's error and its words reach the response."""
    response, sent = perform(register(), refusal(error, error_description="One or more values are invalid"))
    assert (response.error_code, response.error_description) == (error, "One or more values are invalid")
    assert (response.status_code, len(sent)) == (400, 1)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(201, (("content-type", "text/html"),), b"<p>canary</p>"), "content_type_invalid"),
        (Reply(201, (JSON,), b'{"client_id": "a", "client_id": "canary"}'), "response_unparsable"),
        (Reply(401, (("www-authenticate", "Bearer"),)), "token_request_failed"),
        (Reply(302, (("location", "https://evil.example"),)), "redirect_refused"),
        (Reply(503), "token_request_failed"),
        (LOST, "connection_lost"),
    ],
)
def test_a_client_is_registered_once(perform, reply, code):
    """A failed request is not repeated, lest there be a second client; no redirect is followed."""
    response, sent = perform(register(initial_access_token="canary-initial"), reply)
    assert (response.is_successful, response.error_code, len(sent)) == (False, code, 1)
    assert "canary" not in response.error


@pytest.mark.parametrize(
    "make",
    [
        lambda url, **f: flows.register_client(ClientRegistrationRequest(url, [CALLBACK], **f)),
        lambda url, **f: flows.read_client(ClientReadRequest(url, "token", **f), SETTINGS),
        lambda url, **f: flows.update_client(ClientUpdateRequest(url, "token", "s6BhdRkqt3", [CALLBACK], **f)),
        lambda url, **f: flows.delete_client(ClientDeleteRequest(url, "token", **f)),
    ],
)
def test_plain_http_only_by_its_loud_name(perform, make):
    """[F1] [F2] Tokens and secrets do not travel over plain http, unless an option says so."""
    response, sent = perform(make("http://server.test/register"))
    assert (response.error_code, sent) == ("https_required", [])
    reply = Reply(200, (JSON,), json.dumps({**MANAGEABLE, "registration_client_uri": "http://server.test/r"}).encode())
    reply = dataclasses.replace(reply, url="http://server.test/register")
    assert perform(make("http://server.test/register", allow_insecure_http=True), reply)[0].is_successful


# ---- managing


def test_the_example_of_rfc_7592_2_1(perform):
    """RFC 7592 2.1, 3: the example read request is sent as it stands, and the example answer is read."""
    response, [sent] = perform(read("reg-23410913-abewfq.123483"), answer(MANAGEABLE))
    assert (sent.method, sent.url, sent.body) == ("GET", MANAGED, b"")
    assert headers(sent) == {"Accept": "application/json", "Authorization": "Bearer reg-23410913-abewfq.123483"}
    assert (response.client_id, response.registration_client_uri) == ("s6BhdRkqt3", MANAGED)
    assert (response.registration_access_token, response.changes) == ("reg-23410913-abewfq.123483", {})


def test_the_example_of_rfc_7592_2_2(perform):
    """RFC 7592 2.2: the example update carries identifier and secret, and nothing that is the provider's."""
    request = ClientUpdateRequest(
        MANAGED,
        "reg-23410913-abewfq.123483",
        "s6BhdRkqt3",
        ["https://client.example.org/callback", "https://client.example.org/alt"],
        grant_types=["authorization_code", "refresh_token"],
        token_endpoint_auth_method="client_secret_basic",
        jwks_uri="https://client.example.org/my_public_keys.jwks",
        client_name="My New Example",
        client_secret=Secret("cf136dc3c1fc93f31185e5885805d"),
        logo_uri="https://client.example.org/newlogo.png",
        extra_metadata={"client_name#fr": "Mon Nouvel Exemple", "logo_uri#fr": "https://client.example.org/fr.png"},
    )
    expected = {
        "client_id": "s6BhdRkqt3",
        "client_secret": "cf136dc3c1fc93f31185e5885805d",
        "redirect_uris": ["https://client.example.org/callback", "https://client.example.org/alt"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "client_secret_basic",
        "jwks_uri": "https://client.example.org/my_public_keys.jwks",
        "client_name": "My New Example",
        "client_name#fr": "Mon Nouvel Exemple",
        "logo_uri": "https://client.example.org/newlogo.png",
        "logo_uri#fr": "https://client.example.org/fr.png",
    }
    response, [sent] = perform(flows.update_client(request), answer({**MANAGEABLE, **expected}))
    assert (sent.method, sent.url, body(sent)) == ("PUT", MANAGED, expected)
    assert headers(sent)["Authorization"] == "Bearer reg-23410913-abewfq.123483"
    assert response.changes == {}


def test_the_example_of_rfc_7592_2_3(perform):
    """RFC 7592 2.3: the example deletion is sent as it stands, and 204 means that it is gone."""
    request = ClientDeleteRequest(MANAGED, Secret("reg-23410913-abewfq.123483"))
    response, [sent] = perform(flows.delete_client(request), Reply(204))
    assert (sent.method, sent.url, sent.body) == ("DELETE", MANAGED, b"")
    assert headers(sent)["Authorization"] == "Bearer reg-23410913-abewfq.123483"
    assert (response.is_successful, response.status_code) == (True, 204)


@pytest.mark.parametrize("make", [read, update])
def test_tokens_rotate(perform, make):
    """RFC 7592 3: a new token or secret replaces the old one at once; without a new token the old one stays good."""
    new = {**MANAGEABLE, "registration_access_token": "second", "client_secret": "new-secret"}
    response, _ = perform(make(), answer(new))
    assert (response.registration_access_token, response.client_secret) == ("second", "new-secret")
    response, _ = perform(make(), answer(REGISTERED))
    assert response.registration_access_token == "canary-token"
    assert response.registration_client_uri == MANAGED


def test_an_update_is_about_the_same_client(perform):
    """RFC 7592 2.2: an answer about another client is a failure."""
    response, _ = perform(update(), answer({**MANAGEABLE, "client_id": "other"}))
    assert (response.error_code, response.exception.claim) == ("client_id_mismatch", "client_id")


def test_an_update_is_compared_too(perform):
    """RFC 7592 2.2: what the provider replaced is told."""
    response, _ = perform(update(client_name="New"), answer({**MANAGEABLE, "redirect_uris": [CALLBACK]}))
    assert response.changes == {"client_name": ("New", "My Example Client")}


@pytest.mark.parametrize("name", sorted(flows._PROVIDERS_OWN))
def test_an_update_never_sends_what_is_the_providers(perform, name):
    """RFC 7592 2.2: four members MUST NOT be in an update."""
    response, sent = perform(update(extra_metadata={name: "x"}))
    assert (response.error_code, response.exception.claim, sent) == ("parameter_reserved", name, [])


def test_an_update_that_leaves_nothing_out(perform):
    """RFC 7592 2.2 has whatever is left out deleted; an update from a registration changes only what it names."""
    registered, _ = perform(read(), answer({**MANAGEABLE, "contacts": [], "tos_uri": None, "scope": "a b"}))
    request = ClientUpdateRequest.from_registration(
        registered, client_name="New", logo_uri=None, extra_metadata={"example_extension_parameter": None, "x": 1}
    )
    _, [sent] = perform(flows.update_client(request), answer(MANAGEABLE))
    kept = {n: v for n, v in REGISTERED.items() if n not in flows._PROVIDERS_OWN}
    for name in ("logo_uri", "example_extension_parameter"):
        del kept[name]
    assert body(sent) == {**kept, "client_name": "New", "scope": "a b", "x": 1}
    assert sent.url == MANAGED
    assert headers(sent)["Authorization"] == "Bearer reg-23410913-abewfq.123483"


def test_an_update_as_the_provider_demands_it(perform):
    """A provider that demands odd members, or takes some not back, can be pleased: they go as given, unchecked."""
    odd = {"client_id_issued_at": "1800000000", "logo_uri": None, "redirect_uris": ["http://127.0.0.1:1/cb#x"]}
    request = ClientUpdateRequest(
        MANAGED,
        "canary-token",
        "app",
        ["https://app.example.com/cb"],
        client_secret="canary-secret",
        client_name="App",
        scope="openid",
        unchecked_metadata=odd,
        leave_out=["client_secret", "scope"],
    )
    _, [sent] = perform(flows.update_client(request), answer({"client_id": "app"}))
    assert json.loads(sent.body) == {"client_id": "app", "client_name": "App", **odd}
    assert "canary" not in repr(request)
    password = {"grant_types": ["password"]}
    for changes in (
        {"unchecked_metadata": password},
        {"leave_out": ["client_id"]},
        {"unchecked_metadata": {"client_id": "b"}},
        {"leave_out": "scope"},
    ):
        response, sent = perform(flows.update_client(dataclasses.replace(request, **changes)))
        assert (response.is_successful, sent) == (False, [])


def test_what_cannot_be_managed(perform):
    """A registration without management, or a failed one, makes no update."""
    registered, _ = perform(register(), answer(REGISTERED, 201))
    with pytest.raises(ConfigurationException) as error:
        ClientUpdateRequest.from_registration(registered)
    assert error.value.code == "registration_unmanaged"
    with pytest.raises(FailedResponseAccessError):
        ClientUpdateRequest.from_registration(ClientRegistrationResponse(False, "no"))


def test_reading_is_repeated(perform, clock):
    """Reading is safe to repeat: a failing provider is asked as often as the settings say."""
    response, sent = perform(read(), Reply(503), LOST, answer(MANAGEABLE))
    assert (response.is_successful, len(sent), len(clock.slept)) == (True, 3, 2)


@pytest.mark.parametrize("trouble", [LOST, Reply(503), Reply(429)])
def test_updates_and_deletions_are_sent_once(perform, trouble):
    """An update may have changed the very token it was sent with, so that nothing is repeated."""
    for flow in (update(), flows.delete_client(ClientDeleteRequest(MANAGED, "canary-token"))):
        response, sent = perform(flow, trouble)
        assert (response.is_successful, len(sent)) == (False, 1)


@pytest.mark.parametrize("status", [401, 403, 405])
def test_management_may_be_refused(perform, status):
    """RFC 7592 2: an unknown client or token is 401, an operation that is not allowed 403 or 405."""
    for flow in (read(), update(), flows.delete_client(ClientDeleteRequest(MANAGED, "canary-token"))):
        response, _ = perform(flow, Reply(status))
        assert (response.is_successful, response.status_code) == (False, status)


@pytest.mark.parametrize("token", ["", None])
def test_management_needs_its_token(perform, token):
    """Without a registration access token nothing is sent."""
    for flow in (
        read(token),
        update(registration_access_token=token),
        flows.delete_client(ClientDeleteRequest(MANAGED, token)),
    ):
        response, sent = perform(flow)
        assert (response.error_code, sent) == ("parameter_missing", [])


def test_an_update_names_the_client(perform):
    """An update without client_id, or with an empty secret, is refused."""
    for fields in ({"client_id": ""}, {"client_secret": ""}):
        response, sent = perform(update(**fields))
        assert (response.error_code, sent) == ("client_metadata_invalid", [])


def test_when_to_come_back(perform):
    """Retry-After, as a date too, reaches the exception."""
    date = "Fri, 15 Jan 2027 08:00:07 GMT"  # seven seconds from the frozen now
    response, _ = perform(register(), Reply(503, (("retry-after", date),)))
    assert response.exception.retry_after == 7


# ---- nothing shows

ENDINGS = [
    answer({**MANAGEABLE, "client_secret": "canary-secret", "registration_access_token": "canary-token"}),
    answer({**MANAGEABLE, "client_id": None, "client_secret": "canary-secret"}),
    refusal("invalid_token", error_description="canary-token canary-secret canary-initial canary.software.statement"),
    Reply(500, (("content-type", "text/html"),), b"<p>canary</p>"),
    LOST,
]


@pytest.mark.parametrize("ending", range(len(ENDINGS)))
def test_no_secret_shows(perform, caplog, ending):
    """[S25] No secret, token or statement shows in repr, error, traceback, log or pickle."""
    caplog.set_level(logging.DEBUG)
    secrets = {
        "software_statement": "canary.software.statement",
        "extra_metadata": {"x": "canary-extra"},
    }
    requests = [
        ClientRegistrationRequest(ENDPOINT, [CALLBACK], initial_access_token="canary-initial", **secrets),
        ClientUpdateRequest(
            MANAGED, "canary-token", "s6BhdRkqt3", [CALLBACK], client_secret="canary-secret", **secrets
        ),
        ClientReadRequest(MANAGED, "canary-token"),
        ClientDeleteRequest(MANAGED, "canary-token"),
    ]
    own = ["canary-initial", "canary-token canary-secret", "canary-token", "canary-token"]
    makers = [
        flows.register_client,
        flows.update_client,
        lambda request: flows.read_client(request, Settings(http_retry_max_attempts=0)),
        flows.delete_client,
    ]
    texts = [caplog.text]
    for request, make, words in zip(requests, makers, own, strict=True):
        reply = ENDINGS[ending]
        if ending == 2:  # a provider can repeat only what it was sent
            reply = refusal("invalid_token", error_description=words)
        response, sent = perform(make(request), reply)
        texts += [repr(request), str(request), repr(response), str(response), repr(sent), str(response.error)]
        texts.append(str(response.error_description))
        if not response.is_successful:
            texts += ["".join(traceback.format_exception(response.exception)), repr(vars(response.exception))]
            texts.append(repr(pickle.dumps(response.exception)))
    assert not [text for text in texts if "canary" in text]


# ---- conformance


def test_oidcc_client_test_dynamic_registration(perform):
    """A client registers at the registration_endpoint of the metadata, and goes on with what it was given."""
    metadata = {"issuer": "https://server.example.com", "registration_endpoint": ENDPOINT}
    request = ClientRegistrationRequest(
        metadata["registration_endpoint"],
        [CALLBACK],
        response_types=["code"],
        grant_types=["authorization_code"],
        token_endpoint_auth_method="client_secret_basic",
        extra_metadata={"id_token_signed_response_alg": "RS256"},
    )
    reply = {"client_id": "c-1", "client_secret": "secret-1", "client_secret_expires_at": 0, "client_name": "x"}
    reply |= flows.build_client_metadata(request)
    response, [sent] = perform(flows.register_client(request), answer(reply, 201))
    assert sent.url == ENDPOINT
    assert (response.client_id, response.client_secret, response.changes) == ("c-1", "secret-1", {})


def test_both_apis_run_the_flows(driver):
    """The blocking and the awaited functions give the same answers, with the same signatures."""
    calls = [
        ("register_client", ClientRegistrationRequest(ENDPOINT, [CALLBACK])),
        ("read_client", ClientReadRequest(MANAGED, "token")),
        ("update_client", ClientUpdateRequest(MANAGED, "token", "s6BhdRkqt3", [CALLBACK])),
        ("delete_client", ClientDeleteRequest(MANAGED, "token")),
    ]
    for name, request in calls:

        async def provider(_):
            return answer(MANAGEABLE)

        if driver.kind == "sync":
            response = getattr(sync_api, name)(request, lambda _: answer(MANAGEABLE))
        else:
            response = driver.loop(getattr(aio_api, name), request, provider)
        assert response.is_successful
        assert inspect.signature(getattr(sync_api, name)) == inspect.signature(getattr(aio_api, name))
