"""Token introspection, by each driver: questions, answers plain and signed, and the memory (RFC 7662, RFC 9701)."""

from __future__ import annotations

import json
import logging
import pickle
import threading
import traceback
from urllib.parse import parse_qsl

import pytest

import py_identity_model._core.client.introspection as flows
import py_identity_model.aio._introspection as aio_api
import py_identity_model.sync._introspection as sync_api
from apis import ISSUER, NOW
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.client.client_auth import ClientAuthMethod, MtlsClientAuth, PrivateKeyJwt
from py_identity_model._core.client.introspection import INTROSPECTION_JWT, TokenIntrospectionRequest
from py_identity_model._core.jose.jwe import Decryption, encrypt_compact
from py_identity_model._core.jose.jws import parse_compact, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._core.validation.signed_response import SignedResponsePolicy
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    NetworkException,
    TokenRequestException,
    TokenValidationException,
    TransportException,
    ValidationException,
)
from py_identity_model.settings import Settings
from py_identity_model.sync._protected_resource import authenticate_token
from py_identity_model.sync._validation import validators

ENDPOINT = "https://id.example.com/introspect"
JSON = ("content-type", "application/json")
SETTINGS = Settings()
KEY = SigningKey.generate("ES256", kid="k1")
LOST = TransportException("connection lost", code="connection_lost")
ACTIVE = {"active": True, "sub": "ada", "aud": "api", "iss": ISSUER, "exp": NOW + 600, "scope": "a b"}


def answer(members, status=200, *headers):
    return Reply(status, (JSON, *headers), json.dumps(members).encode(), ENDPOINT)


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def introspect(**fields):
    fields = {"token": "canary-token", "client_id": "api", **fields}
    return flows.introspect_token(TokenIntrospectionRequest(ENDPOINT, **fields), SETTINGS, validators)


# ---- the question


def test_the_example_of_rfc_7662(perform):
    """The request and the answer of RFC 7662 2.1 and 2.2 come out to the letter."""
    published = {
        "active": True,
        "client_id": "l238j323ds-23ij4",
        "username": "jdoe",
        "scope": "read write dolphin",
        "sub": "Z5O3upPC88QrAjx00dis",
        "aud": "https://protected.example.net/resource",
        "iss": "https://server.example.com/",
        "exp": 1419356238,
        "iat": 1419350238,
        "extension_field": "twenty-seven",
    }
    flow = introspect(
        token="mF_9.B5f-4.1JqM", token_type_hint="access_token", client_id="s6BhdRkqt3", client_secret="gX1fBat3bV"
    )
    response, [sent] = perform(flow, answer({**published, "exp": NOW + 1}))
    assert (sent.method, sent.body) == ("POST", b"token=mF_9.B5f-4.1JqM&token_type_hint=access_token")
    headers = dict(sent.headers)
    assert headers["Authorization"] == "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"
    assert headers["Accept"] == "application/json"
    assert response.claims == {**published, "exp": NOW + 1}
    assert (response.active, response.error) == (True, None)


def test_a_bearer_token_may_authorize(perform):
    """An access token can authorize the question in place of client authentication (RFC 7662 2.1)."""
    response, [sent] = perform(introspect(authorization=Secret("23410913-abewfq.123483")), answer({"active": False}))
    assert dict(sent.headers)["Authorization"] == "Bearer 23410913-abewfq.123483"
    assert response.claims == {"active": False}


METHODS = {
    ClientAuthMethod.NONE: {},
    ClientAuthMethod.CLIENT_SECRET_BASIC: {"client_secret": "canary-secret"},
    ClientAuthMethod.CLIENT_SECRET_POST: {"client_secret": "canary-secret"},
    ClientAuthMethod.CLIENT_SECRET_JWT: {"client_secret": "canary-secret-of-32-octets-or-more"},
    ClientAuthMethod.PRIVATE_KEY_JWT: {"private_key_jwt": PrivateKeyJwt(KEY)},
    ClientAuthMethod.TLS_CLIENT_AUTH: {"mtls": MtlsClientAuth("cert.pem", "key.pem")},
    ClientAuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH: {
        "mtls": MtlsClientAuth("cert.pem", "key.pem", auth_method="self_signed_tls_client_auth")
    },
    ClientAuthMethod.ATTEST_JWT_CLIENT_AUTH: {"attestation": lambda issuer: ("a.b.c", "d.e.f")},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_client_authentication(perform, method):
    """Each way of authenticating a client works here too (RFC 7662 2.1)."""
    response, [sent] = perform(introspect(auth_method=method, **METHODS[method]), answer(ACTIVE))
    assert response.active
    assert ("client_id" in form(sent)) is (method is not ClientAuthMethod.CLIENT_SECRET_BASIC)
    assert (sent.certificate is not None) is ("mtls" in METHODS[method])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"client_id": ""}, "client_id_missing"),
        ({"extra": {"token": "other"}}, "parameter_reserved"),
        ({"authorization": "two words"}, "introspection_authorization_invalid"),
        ({"authorization": "token", "client_secret": "s"}, "introspection_authorization_invalid"),
        ({"expected_audience": ""}, "policy_invalid"),
        ({"expected_audience": []}, "policy_invalid"),
        ({"expected_issuer": ""}, "policy_invalid"),
    ],
)
def test_requests_that_make_no_sense(perform, fields, code):
    """A request that is not valid is not sent, and no check is turned off by an empty value."""
    response, sent = perform(introspect(**fields))
    assert (response.error_code, sent) == (code, [])
    assert isinstance(response.exception, ConfigurationException)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nb", "t" * 65537, "\ud800", "é"])
def test_what_is_no_token_is_not_asked_about(perform, token):
    """A token that no provider can have issued is refused without a question."""
    response, sent = perform(introspect(token=token))
    assert (response.error_code, sent) == ("token_malformed", [])
    assert isinstance(response.exception, ValidationException)


# ---- the answer


@pytest.mark.parametrize("active", ["true", "false", 1, 0, None, [], {}])
def test_active_is_a_boolean(perform, active):
    """Whatever is not exactly true or false tells nothing, above all not that the token is good (RFC 7662 2.2)."""
    response, _ = perform(introspect(), answer({**ACTIVE, "active": active}))
    assert (response.is_successful, response.error_code) == (False, "active_invalid")
    assert isinstance(response.exception, NetworkException)
    absent, _ = perform(introspect(), answer({"sub": "ada"}))
    assert absent.exception.actual == "absent"


def test_an_inactive_token_is_an_answer(perform):
    """That a token is not active is an answer, and nothing else in it is looked at."""
    flow = introspect(expected_audience="api", expected_issuer=ISSUER)
    response, _ = perform(flow, answer({"active": False, "exp": "nonsense", "aud": 3}))
    assert (response.is_successful, response.active) == (True, False)


@pytest.mark.parametrize(
    ("expected", "changes", "code"),
    [
        ({}, {"exp": NOW}, "token_expired"),
        ({}, {"exp": "tomorrow"}, "claim_type_invalid"),
        ({}, {"nbf": NOW + 60}, "token_not_yet_valid"),
        ({}, {"iat": NOW + 60}, "token_not_yet_valid"),
        ({}, {"sub": 7}, "claim_type_invalid"),
        ({"expected_audience": "api"}, {"aud": []}, "claim_type_invalid"),
        ({}, {"aud": {"api": 1}}, "claim_type_invalid"),
        ({"expected_audience": "api"}, {"aud": "other"}, "audience_mismatch"),
        ({"expected_audience": "api"}, {"aud": ["other", "api2"]}, "audience_mismatch"),
        ({"expected_audience": "api"}, {"aud": None}, "claim_missing"),
        ({"expected_issuer": ISSUER}, {"iss": ISSUER + "/"}, "issuer_mismatch"),
        ({"expected_issuer": ISSUER}, {"iss": None}, "claim_missing"),
    ],
)
def test_active_but_not_for_us(perform, expected, changes, code):
    """[S14] [S27] [F31] An active token that is expired, or by or for another party, is refused as its own fault."""
    members = {name: value for name, value in {**ACTIVE, **changes}.items() if value is not None}
    response, _ = perform(introspect(**expected), answer(members))
    assert (response.is_successful, response.error_code) == (False, code)
    assert isinstance(response.exception, TokenValidationException)
    with pytest.raises(FailedResponseAccessError):
        response.claims  # noqa: B018 # reading is what is tested


@pytest.mark.parametrize("claim", ["aud", "iss"])
def test_an_answer_without_audience_or_issuer_names_the_option(perform, claim):
    """Some providers answer without aud and iss: the refusal says what to leave out."""
    option = {"aud": "expected_audience", "iss": "expected_issuer"}[claim]
    members = {name: value for name, value in ACTIVE.items() if name != claim}
    response, _ = perform(introspect(**{option: {"aud": "api", "iss": ISSUER}[claim]}), answer(members))
    assert (response.error_code, response.exception.claim) == ("claim_missing", claim)
    assert f"leave {option} out" in response.exception.hint
    assert perform(introspect(), answer(members))[0].active


def test_active_and_for_us(perform):
    """What the caller expects is compared exactly, and members that are null count as absent."""
    flow = introspect(expected_audience=["other", "api"], expected_issuer=ISSUER)
    response, _ = perform(flow, answer({**ACTIVE, "aud": ["x", "api"], "username": None, "nbf": None}))
    assert response.active


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer({"error": "invalid_client"}, 401), "invalid_client"),
        (answer({"error": "invalid_request"}), "invalid_request"),
        (Reply(503, (), b"", ENDPOINT), "token_request_failed"),
        (Reply(302, (("location", "https://evil.example.com/"),), b"", ENDPOINT), "redirect_refused"),
        (Reply(200, (("content-type", "text/html"),), b"<html>", ENDPOINT), "content_type_invalid"),
        (Reply(200, (JSON,), b"[true]", ENDPOINT), "response_unparsable"),
        (Reply(200, (JSON,), b'{"active": true, "active": false}', ENDPOINT), "response_unparsable"),
        (LOST, "connection_lost"),
    ],
)
def test_nobody_can_tell(perform, reply, code):
    """A refusal of our credentials, an outage or an answer of no use say nothing about the token."""
    response, _ = perform(introspect(), *[reply] * 2)
    assert (response.is_successful, response.error_code) == (False, code)
    assert isinstance(response.exception, NetworkException)
    assert response.exception.client_error.status == 503


def test_one_quick_repeat(perform, clock):
    """A moment's failure is repeated once, with another assertion; a provider that asks for a pause is left alone."""
    response, sent = perform(introspect(private_key_jwt=PrivateKeyJwt(KEY)), Reply(502), answer(ACTIVE))
    assert response.active
    assert len({json.loads(parse_compact(form(r)["client_assertion"]).payload)["jti"] for r in sent}) == 2
    busy, sent = perform(introspect(), answer({}, 503, ("retry-after", "30")))
    assert (len(sent), busy.exception.retry_after) == (1, 30.0)


# ---- signed answers


def policy(**changes):
    fields = {"perform_disco": False, "key": KEY.public_jwk, "issuer": ISSUER, "audience": "api", **changes}
    return SignedResponsePolicy(TokenValidationConfig(**fields))


def signed(members=ACTIVE, *, key=KEY, typ="token-introspection+jwt", media_type=INTROSPECTION_JWT, **changes):
    claims = {"iss": ISSUER, "aud": "api", "iat": NOW, "token_introspection": members, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    token = sign_compact(claims, key, typ=typ)
    return Reply(200, (("content-type", media_type),), token.encode(), ENDPOINT)


def test_signed_answer(perform):
    """[M4] A signed answer is asked for by its media type and verified; it needs no exp (RFC 9701 4, 5)."""
    response, [sent] = perform(introspect(signed_response=policy()), signed())
    assert dict(sent.headers)["Accept"] == INTROSPECTION_JWT
    assert (response.claims, response.active) == (ACTIVE, True)
    assert response.raw.count(".") == 2
    assert response.raw not in repr(response)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(ACTIVE), "content_type_invalid"),
        (signed(media_type="application/jwt"), "content_type_invalid"),
        (signed(typ="JWT"), "typ_mismatch"),
        (signed(typ="at+jwt"), "typ_mismatch"),
        (signed(typ=None), "typ_mismatch"),
        (signed(key=SigningKey.generate("ES256", kid="k1")), "signature_invalid"),
        (signed(iss="https://evil.example.com"), "issuer_mismatch"),
        (signed(iss=None), "claim_missing"),
        (signed(aud="other"), "audience_mismatch"),
        (signed(aud=None), "claim_missing"),
        (signed(iat=None), "claim_missing"),
        (signed(iat=NOW - 301), "answer_too_old"),
        (signed(iat=NOW + 60), "token_not_yet_valid"),
        (signed(exp=NOW - 1), "token_expired"),
        (signed(nonce="n"), "kind_mismatch"),
        (signed(None), "claim_missing"),
        (signed([True]), "token_introspection_invalid"),
        (signed({"active": "true"}), "active_invalid"),
        (Reply(200, (("content-type", INTROSPECTION_JWT),), b"\xff\xfe", ENDPOINT), "token_malformed"),
        (Reply(200, (("content-type", INTROSPECTION_JWT),), b"e30.e30.", ENDPOINT), "alg_invalid"),
    ],
)
def test_signed_answers_that_cannot_be_relied_upon(perform, reply, code):
    """[M4] An answer that is not signed, or not by whom, for whom and when it must be, says nothing about the token."""
    response, _ = perform(introspect(signed_response=policy()), reply)
    assert (response.is_successful, response.error_code) == (False, code)
    assert isinstance(response.exception, TokenRequestException)


def test_an_unsecured_answer_is_not_signed(perform):
    """[M4] [F36] alg none is refused in answers too."""
    head, payload, _ = signed().body.decode().split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoidG9rZW4taW50cm9zcGVjdGlvbitqd3QifQ"
    for token in (f"{none}.{payload}.", f"{head}.{payload}."):
        reply = Reply(200, (("content-type", INTROSPECTION_JWT),), token.encode(), ENDPOINT)
        assert not perform(introspect(signed_response=policy()), reply)[0].is_successful


def test_a_signed_answer_is_judged_like_a_plain_one(perform):
    """[S14] What the token must be is checked inside of a signed answer, as the token's fault."""
    flow = introspect(signed_response=policy(), expected_audience="other")
    response, _ = perform(flow, signed())
    assert isinstance(response.exception, ValidationException)
    refused, _ = perform(introspect(signed_response=policy()), answer({"error": "invalid_client"}, 401))
    assert refused.error_code == "invalid_client"


def test_an_encrypted_answer(perform):
    """[M4] An answer that must be encrypted is decrypted, then verified; one that is merely signed is refused."""
    recipient = SigningKey.generate("ES256").private_pem
    demand = SignedResponsePolicy(policy().token_validation_config, decryption=Decryption(recipient))
    inner = signed().body.decode()
    sealed = encrypt_compact(inner, recipient, alg="ECDH-ES", enc="A256GCM", cty="JWT")
    reply = Reply(200, (("content-type", INTROSPECTION_JWT),), sealed.encode(), ENDPOINT)
    assert perform(introspect(signed_response=demand), reply)[0].claims == ACTIVE
    assert not perform(introspect(signed_response=demand), signed())[0].is_successful
    assert not perform(introspect(signed_response=policy()), reply)[0].is_successful


def test_keys_that_cannot_be_fetched(perform):
    """[M4] If the keys of a signed answer cannot be had, nobody can tell; nothing is taken for good meanwhile."""
    remote = SignedResponsePolicy(TokenValidationConfig(True, audience="api"), ISSUER)
    response, sent = perform(introspect(signed_response=remote), signed(), *[Reply(503, (), b"", ISSUER)] * 2)
    assert response.exception.client_error.status == 503
    assert len(sent) >= 2


def test_a_signed_answer_that_nobody_asked_for(perform):
    """An answer of another media type than asked for is not looked into."""
    response, _ = perform(introspect(), signed())
    assert response.error_code == "content_type_invalid"


# ---- the memory


class Endpoint:
    """An introspection endpoint that is only data."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def build(api, clock):
    """A function that builds an introspector of each API, and a question to it."""
    api_module = sync_api if api.name == "sync" else aio_api

    def make(endpoint, **options):
        options = {"client_secret": "canary-secret", **options}
        introspector = api_module.TokenIntrospector(ENDPOINT, "api", http_client=endpoint, **options)
        return introspector, lambda token="canary-token": api.call(introspector.introspect, token)

    return make


def test_remembered_until_max_age(build, clock):
    """An answer is believed for max_age seconds and not a second longer."""
    endpoint = Endpoint(answer({**ACTIVE, "exp": NOW + 6000}))
    introspector, ask = build(endpoint, max_age=30)
    for _ in range(3):
        assert ask().claims["sub"] == "ada"
    assert len(endpoint.requests) == 1
    endpoint.replies = [answer({"active": False})]
    clock.advance(30)
    assert ask().active is False
    assert (len(endpoint.requests), introspector.cache_info().currsize) == (2, 1)


def test_never_beyond_exp(build, clock):
    """An answer is not remembered beyond the token's own exp (RFC 7662 4)."""
    endpoint = Endpoint(answer({**ACTIVE, "exp": NOW + 10}))
    _, ask = build(endpoint, max_age=60)
    assert ask().active
    clock.advance(10)
    response = ask()
    assert (response.is_successful, response.error_code) == (False, "token_expired")
    assert len(endpoint.requests) == 2


def test_a_wrong_clock_makes_no_token_live_longer(build, clock):
    """Times are looked at each time, also where the steady clock stood still."""
    endpoint = Endpoint(answer({**ACTIVE, "exp": NOW + 10}))
    _, ask = build(endpoint)
    assert ask().active
    clock.wall += 11
    assert ask().error_code == "token_expired"
    assert len(endpoint.requests) == 1


def test_an_exp_that_is_none_is_refused_each_time(build):
    """An exp that cannot be read is no reason to believe an answer for long."""
    endpoint = Endpoint(answer({**ACTIVE, "exp": "tomorrow"}))
    _, ask = build(endpoint)
    assert [ask().error_code, ask().error_code] == ["claim_type_invalid"] * 2
    assert len(endpoint.requests) == 1


def test_refreshed_before_it_is_due(driver, clock):
    """An answer in use is asked for anew in good time, and nobody waits for it."""
    api_module = sync_api if driver.kind == "sync" else aio_api
    endpoint = Endpoint(answer({**ACTIVE, "exp": NOW + 6000}))
    introspector = api_module.TokenIntrospector(ENDPOINT, "api", max_age=30, http_client=endpoint)
    ask = lambda: driver.run(introspector._asking("t"), endpoint)  # noqa: E731 # short for what follows
    ask()
    clock.advance(25)
    assert ask().active
    assert len(endpoint.requests) == 2
    clock.advance(20)
    assert ask().active
    assert len(endpoint.requests) == 2


def test_inactive_tokens_are_remembered_shortly(build, clock):
    """A token that is not active is not asked about again for a few seconds."""
    endpoint = Endpoint(answer({"active": False}))
    _, ask = build(endpoint, negative_max_age=5)
    assert (ask().active, ask().active) == (False, False)
    assert len(endpoint.requests) == 1
    endpoint.replies = [answer(ACTIVE)]
    clock.advance(5)
    assert ask().active


@pytest.mark.parametrize("trouble", [Reply(503, (), b"", ENDPOINT), LOST, answer({"active": "yes"}), answer({}, 401)])
def test_trouble_is_never_an_answer(build, clock, trouble):
    """That nobody can tell is not remembered as an answer: after the pause the provider is asked again."""
    endpoint = Endpoint(trouble)
    introspector, ask = build(endpoint)
    response = ask()
    assert isinstance(response.exception, NetworkException)
    assert response.exception.client_error.status == 503
    assert introspector.cache_info().currsize == 0
    endpoint.replies = [answer(ACTIVE)]
    clock.advance(response.exception.retry_after)
    assert ask().active


def test_trouble_does_not_revive_an_old_answer(build, clock):
    """After its time an answer is not used on, also not while the provider is down."""
    endpoint = Endpoint(answer({**ACTIVE, "exp": NOW + 6000}), Reply(503, (), b"", ENDPOINT))
    _, ask = build(endpoint, max_age=30)
    assert ask().active
    clock.advance(31)
    assert isinstance(ask().exception, NetworkException)


def test_trouble_with_one_token_is_not_that_of_another(build, clock):
    """While one token cannot be asked about, others are."""
    endpoint = Endpoint(answer({}, 503, ("retry-after", "60")), answer(ACTIVE))
    _, ask = build(endpoint)
    assert not ask("first").is_successful
    assert ask("second").active


def test_tokens_are_told_apart(build):
    """Each token has an answer of its own."""
    endpoint = Endpoint(answer(ACTIVE), answer({"active": False}))
    _, ask = build(endpoint)
    assert (ask("a").active, ask("b").active, ask("a").active) == (True, False, True)


def test_forgetting(build):
    """Answers are forgotten one by one, or all at once."""
    endpoint = Endpoint(answer(ACTIVE))
    introspector, ask = build(endpoint)
    ask("a"), ask("b")
    assert (introspector.invalidate("a"), introspector.invalidate("a")) == (True, False)
    ask("a"), ask("b")
    assert len(endpoint.requests) == 3
    introspector.clear()
    ask("a"), ask("b")
    assert len(endpoint.requests) == 5


def test_the_memory_is_bounded(build):
    """No more than max_entries answers are remembered, and a flood does not push out one that is in use."""
    endpoint = Endpoint(answer(ACTIVE))
    introspector, ask = build(endpoint, max_entries=4)
    ask("used")
    for number in range(20):
        ask(f"flood-{number}")
        ask("used")
    assert introspector.cache_info().currsize == 4
    assert len(endpoint.requests) == 21


def test_callers_may_change_what_they_get(build):
    """What one caller does to the claims, no other caller sees."""
    _, ask = build(Endpoint(answer({**ACTIVE, "roles": ["reader"]})))
    ask().claims["roles"].append("admin")
    assert ask().claims["roles"] == ["reader"]


def test_expectations_hold_in_memory_too(build):
    """[S14] A token for another audience is refused each time, and the provider is asked once."""
    endpoint = Endpoint(answer(ACTIVE))
    _, ask = build(endpoint, expected_audience="other")
    assert [ask().error_code for _ in range(3)] == ["audience_mismatch"] * 3
    assert len(endpoint.requests) == 1


def test_what_is_no_token_leaves_no_trace(build):
    """A malformed token is neither asked about nor remembered."""
    endpoint = Endpoint(answer(ACTIVE))
    introspector, ask = build(endpoint)
    assert ask("no token").error_code == "token_malformed"
    assert (endpoint.requests, introspector.cache_info().misses) == ([], 0)


def test_signed_answers_are_remembered(build):
    """[M4] A signed answer is verified once and remembered like any other."""
    endpoint = Endpoint(signed())
    _, ask = build(endpoint, signed_response=policy())
    assert (ask().active, ask().active) == (True, True)
    assert len(endpoint.requests) == 1


def test_single_flight():
    """Any number of threads that ask about one token at once send one question."""
    gate, arrived = threading.Event(), threading.Event()

    def endpoint(request):
        sent.append(request)
        arrived.set()
        assert gate.wait(10)
        return answer({"active": True})

    sent, answers = [], []
    introspector = sync_api.TokenIntrospector(ENDPOINT, "api", http_client=endpoint)
    threads = [threading.Thread(target=lambda: answers.append(introspector.introspect("t").active)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert arrived.wait(10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert (answers, len(sent)) == ([True] * 8, 1)


def test_clearing_beats_a_question_under_way():
    """An answer that was being asked for when all were forgotten is not remembered."""

    def endpoint(request):
        introspector.clear()
        return answer({"active": True})

    introspector = sync_api.TokenIntrospector(ENDPOINT, "api", http_client=endpoint)
    assert introspector.introspect("t").active
    assert introspector.cache_info().currsize == 0


def test_a_resource_can_use_it():
    """An introspector stands where an API asks about opaque tokens."""
    introspector = sync_api.TokenIntrospector(ENDPOINT, "api", http_client=Endpoint(answer({**ACTIVE, "exp": 10**10})))
    assert authenticate_token("opaque", None, introspector, audience="api")["sub"] == "ada"


@pytest.mark.parametrize(
    "options",
    [
        {"max_age": -1},
        {"max_age": float("nan")},
        {"negative_max_age": True},
        {"max_entries": 0},
        {"max_entries": 1.5},
        {"expected_audience": []},
        {"auth_method": "password"},
        {"authorization": "two words"},
    ],
)
def test_settings_that_make_no_sense(options):
    """An introspector whose settings cannot be used is not built."""
    with pytest.raises(ConfigurationException):
        sync_api.TokenIntrospector(ENDPOINT, "api", **options)
    with pytest.raises(ConfigurationException):
        sync_api.TokenIntrospector("http://id.example.com/introspect", "api")


# ---- both


def test_both_apis(api):
    """Both APIs ask."""
    api_module = sync_api if api.name == "sync" else aio_api
    request = TokenIntrospectionRequest(ENDPOINT, Secret("t"), "api")
    assert api.call(api_module.introspect_token, request, Endpoint(answer({"active": True}))).active
    introspector = api_module.TokenIntrospector(ENDPOINT, "api", http_client=Endpoint(answer({"active": True})))
    assert api.call(introspector.__call__, "t").active


REPEATED = "you sent canary-token and canary-secret"
TROUBLES = [
    answer({"error": "invalid_request", "error_description": REPEATED}, 400),
    Reply(500, (), REPEATED.encode(), ENDPOINT),
    LOST,
    answer({"active": REPEATED}),
    answer({"active": True, "exp": 3}),
]


def leaks(*shown):
    return [text for text in shown for canary in ("canary-token", "canary-secret") if canary in text]


def views(response):
    trace = "".join(traceback.format_exception(response.exception))
    return [repr(response), str(response.error), trace, repr(pickle.loads(pickle.dumps(response)))]


@pytest.mark.parametrize("reply", TROUBLES)
@pytest.mark.parametrize("field", ["client_secret", "authorization"])
def test_secrets_stay_secret(perform, caplog, reply, field):
    """[S25] Token and secret show on no error path, not even if the provider repeats them."""
    caplog.set_level(logging.DEBUG)
    request = TokenIntrospectionRequest(ENDPOINT, "canary-token", "api", **{field: "canary-secret"})
    response, _ = perform(flows.introspect_token(request, SETTINGS, validators), *[reply] * 2)
    assert leaks(repr(request), caplog.text, *views(response)) == []


@pytest.mark.parametrize("reply", TROUBLES)
def test_the_memory_keeps_secrets(build, caplog, reply):
    """[S25] Neither the memory's events nor its repr show a token."""
    caplog.set_level(logging.DEBUG)
    introspector, ask = build(Endpoint(reply))
    assert leaks(*views(ask()), repr(introspector), repr(introspector.cache_info()), caplog.text) == []
