"""Backchannel authentication, by each driver: poll, ping and push (OpenID Connect CIBA Core 1.0)."""

from __future__ import annotations

import inspect
import json
import logging
import pickle
import traceback
from urllib.parse import parse_qs, parse_qsl

import pytest

import py_identity_model._core.client.ciba as flows
import py_identity_model._core.client.ciba_notification as incoming
import py_identity_model.aio._ciba as aio_api
import py_identity_model.sync._ciba as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.client.ciba import (
    BackchannelAuthenticationRequest,
    BackchannelAuthenticationResponse,
    CibaTokenRequest,
)
from py_identity_model._core.client.ciba_notification import parse_ciba_notification, validate_ciba_push
from py_identity_model._core.client.client_auth import PrivateKeyJwt
from py_identity_model._core.jose.jws import parse_compact, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    IdTokenValidationException,
    TransportException,
    ValidationException,
)

ISSUER = "https://server.example.com"
ENDPOINT = ISSUER + "/bc-authorize"
TOKEN_ENDPOINT = ISSUER + "/token"
JSON = ("content-type", "application/json")
START = 1_800_000_000.0
KEY = SigningKey.generate("ES256")
TIMEOUT = TransportException("no complete reply within 30 s", code="timeout")
TOKENS = {"access_token": "canary-access", "token_type": "Bearer", "expires_in": 120, "id_token": "canary.id.token"}

#: CIBA Core 7.1, 7.3, 10.2 and 10.3.1: the values of the examples.
BEARER = "8d67dc78-7faa-4d41-aabd-67707b374255"
REQ_ID = "1c266114-a1be-4252-8ad1-04986c5b9ac1"
ACCEPTED = {"auth_req_id": REQ_ID, "expires_in": 120, "interval": 2}
PUSHED = {
    "auth_req_id": REQ_ID,
    "access_token": "G5kXH2wHvUra0sHlDy1iTkDJgsgUO1bN",
    "token_type": "Bearer",
    "refresh_token": "4bwc0ESC_IAhflf-ACC_vjD_ltc11ne-8gFPfA2Kx16",
    "expires_in": 120,
}
PUSHED_CLAIMS = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": "s6BhdRkqt3",
    "exp": 1537819803,
    "iat": 1537819503,
    "at_hash": "Wt0kVFXMacqvnHeyU0001w",
    "urn:openid:params:jwt:claim:rt_hash": "sHahCuSpXCRg5mkDDvvr4w",
    "urn:openid:params:jwt:claim:auth_req_id": REQ_ID,
}


def answer(members, status=200, *headers):
    return Reply(status, (JSON, *headers), json.dumps(members).encode(), ENDPOINT)


def refusal(error, status=400, **members):
    return answer({"error": error, **members}, status)


PENDING = refusal("authorization_pending")
SLOW_DOWN = refusal("slow_down")
GRANTED = answer(TOKENS)


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def ask(**fields):
    if not {"login_hint", "login_hint_token", "id_token_hint"} & fields.keys():
        fields["login_hint"] = "ada@example.com"
    return BackchannelAuthenticationRequest(ENDPOINT, "s6BhdRkqt3", **fields)


def authenticate(**fields):
    return flows.request_backchannel_authentication(ask(**fields))


def token_request(**fields):
    return CibaTokenRequest(TOKEN_ENDPOINT, "s6BhdRkqt3", **{"auth_req_id": "canary-request-id", **fields})


def waiting(expires_in=120, interval=5, **fields):
    accepted = BackchannelAuthenticationResponse(
        True, auth_req_id="canary-request-id", interval=interval, expires_at=START + expires_in
    )
    return flows.wait_for_ciba_token(token_request(**fields), accepted)


# ---- the request


def test_the_example_of_ciba_7(perform):
    """CIBA Core 7.1, 7.3: the parameters of the example request are sent, and the example answer is read."""
    flow = authenticate(
        scope="openid email example-scope",
        client_notification_token=BEARER,
        binding_message="W4SCT",
        login_hint_token="eyJraWQiOiJsdGFjZXNidyIsImFsZyI6IkVTMjU2In0.e30.sig",
        private_key_jwt=PrivateKeyJwt(KEY),
    )
    response, [sent] = perform(flow, answer(ACCEPTED))
    given = form(sent)
    assert given.pop("client_assertion")
    assert given == {
        "scope": "openid email example-scope",
        "client_notification_token": BEARER,
        "binding_message": "W4SCT",
        "login_hint_token": "eyJraWQiOiJsdGFjZXNidyIsImFsZyI6IkVTMjU2In0.e30.sig",
        "client_id": "s6BhdRkqt3",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert (response.auth_req_id, response.expires_in, response.interval) == (REQ_ID, 120, 2)
    assert response.expires_at == START + 120


def test_everything_that_may_be_asked(perform):
    """[S13] Contexts, expiry, user code, resources and details go along (CIBA Core 7.1, RFC 8707, RFC 9396)."""
    flow = authenticate(
        id_token_hint=Secret("canary.hint"),
        acr_values="urn:a urn:b",
        requested_expiry=60,
        user_code=Secret("canary-1234"),
        resource=["https://a.example", "https://b.example"],
        authorization_details=[{"type": "payment"}],
        extra={"ui_locales": "de"},
        client_secret="secret-1",
    )
    _, [sent] = perform(flow, answer(ACCEPTED))
    given = parse_qs(sent.body.decode())
    assert given["id_token_hint"] == ["canary.hint"]
    assert (given["acr_values"], given["requested_expiry"]) == (["urn:a urn:b"], ["60"])
    assert (given["user_code"], given["ui_locales"]) == (["canary-1234"], ["de"])
    assert given["resource"] == ["https://a.example", "https://b.example"]
    assert json.loads(given["authorization_details"][0]) == [{"type": "payment"}]


@pytest.mark.parametrize(
    ("fields", "refused_as"),
    [
        ({"login_hint": None}, "login_hint_ambiguous"),
        ({"login_hint": "a", "id_token_hint": "b"}, "login_hint_ambiguous"),
        ({"login_hint": "a", "login_hint_token": "b"}, "login_hint_ambiguous"),
        ({"scope": "email"}, "scope_openid_missing"),
        ({"scope": "openid2"}, "scope_openid_missing"),
        ({"client_notification_token": "short"}, "client_notification_token_invalid"),
        ({"client_notification_token": "a" * 1025}, "client_notification_token_invalid"),
        ({"client_notification_token": "a b" * 20}, "client_notification_token_invalid"),
        ({"client_notification_token": "a" * 40 + "\r\n"}, "client_notification_token_invalid"),
        ({"requested_expiry": 0}, "requested_expiry_invalid"),
        ({"requested_expiry": True}, "requested_expiry_invalid"),
        ({"requested_expiry": 1.5}, "requested_expiry_invalid"),
        ({"request_key": KEY}, "issuer_missing"),
        ({"request_key": KEY, "issuer": ISSUER, "request_lifetime": 0}, "lifetime_invalid"),
        ({"request_key": KEY, "issuer": ISSUER, "extra": {"scope": "x"}}, "parameter_reserved"),
        ({"request_key": KEY, "issuer": ISSUER, "extra": {"aud": "x"}}, "parameter_reserved"),
        ({"extra": {"scope": "openid"}}, "parameter_reserved"),
        ({"resource": "api"}, "resource_invalid"),
    ],
)
def test_requests_that_make_no_sense(perform, fields, refused_as):
    """[F39] A caller's mistake is a failed response with its own code, and nobody's phone rings."""
    response, sent = perform(authenticate(**fields))
    assert (response.error_code, sent) == (refused_as, [])
    assert isinstance(response.exception, ConfigurationException)


def test_a_notification_token_is_random():
    """[F39] A generated token has 256 bits, is accepted as one, and is never the same twice."""
    tokens = {flows.generate_client_notification_token() for _ in range(50)}
    assert len(tokens) == 50
    for token in tokens:
        assert flows.build_backchannel_parameters(ask(client_notification_token=token), START)


@pytest.mark.parametrize("key", [KEY, PrivateKeyJwt(KEY.private_pem, "ES256", "k1")])
def test_a_signed_request(perform, key):
    """CIBA Core 7.1.1: all parameters are in the signed request, none beside it; aud is the issuer as one string."""
    flow = authenticate(
        request_key=key,
        issuer=ISSUER,
        scope="openid email",
        client_notification_token=BEARER,
        requested_expiry=60,
        resource=["https://a.example", "https://b.example"],
        authorization_details=[{"type": "payment"}],
        extra={"ui_locales": "de"},
        client_secret="secret-1",
    )
    _, [sent] = perform(flow, answer(ACCEPTED))
    assert form(sent).keys() == {"request"}
    jws = parse_compact(form(sent)["request"])
    assert prepare(import_key(KEY.public_jwk), "ES256").verify(jws.signing_input, jws.signature)
    claims = json.loads(jws.payload)
    assert len(claims.pop("jti")) >= 22
    assert claims == {
        "iss": "s6BhdRkqt3",
        "aud": ISSUER,
        "iat": int(START),
        "nbf": int(START),
        "exp": int(START) + 300,
        "scope": "openid email",
        "client_notification_token": BEARER,
        "requested_expiry": "60",
        "login_hint": "ada@example.com",
        "resource": ["https://a.example", "https://b.example"],
        "authorization_details": [{"type": "payment"}],
        "ui_locales": "de",
    }


def test_a_signed_request_is_never_the_same_twice():
    """[F39] Each request object has a jti of its own."""
    request = ask(request_key=KEY, issuer=ISSUER)
    objects = [dict(flows.build_backchannel_parameters(request, START))["request"] for _ in range(2)]
    assert len({json.loads(parse_compact(text).payload)["jti"] for text in objects}) == 2


# ---- the answer to it


def test_fapi_ciba_id1_client_invalid_missing_authreqid_test(perform):
    """An answer without auth_req_id is a failure: there is nothing to poll with."""
    for change in (None, "", 5):
        response, _ = perform(authenticate(), answer({**ACCEPTED, "auth_req_id": change}))
        assert not response.is_successful
        assert response.error_code in ("auth_req_id_missing", "auth_req_id_invalid")
        with pytest.raises(FailedResponseAccessError):
            _ = response.auth_req_id


def test_fapi_ciba_id1_client_invalid_missing_expiresin_test(perform):
    """An answer without expires_in is a failure: nobody knows when to stop."""
    for change in (None, 0, -1, "soon", True):
        response, _ = perform(authenticate(), answer({**ACCEPTED, "expires_in": change}))
        assert not response.is_successful
        assert response.error_code in ("expires_in_missing", "expires_in_invalid")


def test_interval_is_five_seconds_by_default(perform):
    """CIBA Core 7.3: without interval it is five seconds."""
    response, _ = perform(authenticate(), answer({"auth_req_id": REQ_ID, "expires_in": 120}))
    assert response.interval == 5


@pytest.mark.parametrize(
    "error",
    [
        "invalid_request",
        "invalid_scope",
        "expired_login_hint_token",
        "unknown_user_id",
        "unauthorized_client",
        "missing_user_code",
        "invalid_user_code",
        "invalid_binding_message",
        "invalid_client",
        "access_denied",
    ],
)
def test_refused_authentication_requests(perform, error):
    """CIBA Core 13: each refusal reaches the response, and the request is not repeated."""
    response, sent = perform(authenticate(), refusal(error, error_description="no"))
    assert (response.error_code, response.error_description, len(sent)) == (error, "no", 1)


def _stops(perform, error, **hint):
    response, [sent] = perform(authenticate(**hint), refusal(error))
    assert (response.is_successful, response.error_code) == (False, error)
    assert hint.items() <= form(sent).items()
    ended, polled = perform(flows.wait_for_ciba_token(token_request(), response))
    assert (ended.is_successful, polled) == (False, [])


def test_fapi_ciba_id1_client_invalid_expired_id_token_hint_test(perform):
    """After invalid_request for an expired id_token_hint, which went out as it was, nothing is polled."""
    _stops(perform, "invalid_request", id_token_hint="eyJhbGciOiJub25lIn0.eyJleHAiOjF9.")


def test_fapi_ciba_id1_client_invalid_unknown_user_id_test(perform):
    """After unknown_user_id nothing is polled."""
    _stops(perform, "unknown_user_id", login_hint="nobody@example.com")


def test_fapi_ciba_id1_client_invalid_id_token_hint_test(perform):
    """After invalid_request for an id_token_hint that is no token, which went out as it was, nothing is polled."""
    _stops(perform, "invalid_request", id_token_hint="of another provider")


def test_fapi_ciba_id1_client_invalid_request_test(perform):
    """After invalid_request nothing is polled."""
    _stops(perform, "invalid_request")


@pytest.mark.parametrize("trouble", [TIMEOUT, Reply(503), Reply(307, (("location", "https://evil.example"),))])
def test_the_person_is_asked_once(perform, trouble):
    """A request rings a user's phone, so that a failed one is not repeated, nor sent elsewhere."""
    response, sent = perform(authenticate(), trouble)
    assert (response.is_successful, len(sent)) == (False, 1)


# ---- poll


def test_the_example_of_ciba_10_1(perform):
    """CIBA Core 10.1: the token request names grant_type and auth_req_id."""
    flow = flows.poll_ciba_token(token_request(auth_req_id=Secret(REQ_ID)))
    response, [sent] = perform(flow, GRANTED)
    assert form(sent) == {
        "grant_type": "urn:openid:params:grant-type:ciba",
        "auth_req_id": REQ_ID,
        "client_id": "s6BhdRkqt3",
    }
    assert (response.access_token, response.id_token) == ("canary-access", "canary.id.token")


def test_fapi_ciba_id1_client_test(perform, clock):
    """Polling goes on until the person has approved."""
    response, sent = perform(waiting(), PENDING, PENDING, GRANTED)
    assert response.is_successful
    assert (len(sent), clock.slept) == (3, [5, 5, 5])


def test_fapi_ciba_id1_client_respects_interval_test(perform, clock):
    """An interval of 31 seconds is kept, before the first poll too."""
    perform(waiting(interval=31), PENDING, GRANTED)
    assert clock.slept == [31, 31]


def test_fapi_ciba_id1_client_slow_down_test(perform, clock):
    """CIBA Core 11: slow_down adds at least five seconds for good."""
    perform(waiting(), PENDING, SLOW_DOWN, PENDING, GRANTED)
    assert clock.slept == [5, 5, 10, 10]


def _never_again(perform, error):
    response, sent = perform(waiting(), PENDING, refusal(error))
    assert (response.error_code, len(sent)) == (error, 2)


def test_fapi_ciba_id1_client_invalid_access_denied_test(perform):
    """After access_denied the provider is never polled again."""
    _never_again(perform, "access_denied")


def test_fapi_ciba_id1_client_invalid_expired_token_test(perform):
    """After expired_token the provider is never polled again."""
    _never_again(perform, "expired_token")


@pytest.mark.parametrize("error", ["transaction_failed", "invalid_grant", "unauthorized_client", "invalid_client"])
def test_other_errors_end_it_too(perform, error):
    """CIBA Core 11, 12: any other error is final."""
    _never_again(perform, error)


def test_polling_ends_with_the_request(perform, clock):
    """CIBA Core 7.3: after expires_in nothing is asked any more."""
    response, sent = perform(waiting(expires_in=12), PENDING, PENDING)
    assert (response.error_code, response.exception.code, len(sent)) == ("expired_token", "authorization_expired", 2)
    assert clock.wall == START + 10


def test_failures_slow_polling_down(perform, clock):
    """Timeouts and failing servers double the pause; an answer brings the interval back."""
    perform(waiting(), TIMEOUT, Reply(503), PENDING, GRANTED)
    assert clock.slept == [5, 10, 20, 5]


@pytest.mark.parametrize(
    ("change", "refused_as"),
    [({"id_token": None}, "id_token_missing"), ({"token_type": None}, "token_type_missing")],
)
def test_an_id_token_is_part_of_the_answer(perform, change, refused_as):
    """CIBA Core 10.1.1: an answer without an ID token, or without token_type, is none."""
    response, _ = perform(flows.poll_ciba_token(token_request()), answer({**TOKENS, **change}))
    assert response.error_code == refused_as


def test_fapi_ciba_id1_client_no_scope_in_token_endpoint_response_test(perform):
    """An answer without scope is good; what was granted is not known then, and nothing is made up."""
    response, _ = perform(flows.poll_ciba_token(token_request()), GRANTED)
    assert (response.is_successful, response.scope) == (True, None)


def test_each_poll_has_its_own_assertion(perform):
    """[F9] A client assertion, and its jti, is never sent twice; it names the issuer alone as audience [F12]."""
    flow = waiting(private_key_jwt=PrivateKeyJwt(KEY), issuer=ISSUER)
    _, sent = perform(flow, PENDING, TIMEOUT, GRANTED)
    claims = [json.loads(parse_compact(form(r)["client_assertion"]).payload) for r in sent]
    assert len({c["jti"] for c in claims}) == 3
    assert {c["aud"] for c in claims} == {ISSUER}


def test_polls_with_a_dpop_key(perform):
    """[F8] [D16] Proofs are fresh each time, and a Bearer answer is refused."""
    flow = waiting(dpop_key=DPoPKey())
    _, sent = perform(flow, PENDING, answer({**TOKENS, "token_type": "DPoP"}))
    proofs = [json.loads(parse_compact(dict(r.headers)["DPoP"]).payload) for r in sent]
    assert len({p["jti"] for p in proofs}) == 2
    response, _ = perform(waiting(dpop_key=DPoPKey()), GRANTED)
    assert response.error_code == "dpop_token_expected"


def test_an_interval_in_an_error_is_passed_on(perform):
    """An interval that comes with slow_down is in the response."""
    response, _ = perform(flows.poll_ciba_token(token_request()), refusal("slow_down", interval=9))
    assert (response.error_code, response.interval) == ("slow_down", 9)


# ---- ping and push

HEADERS = {"Authorization": f"Bearer {BEARER}", "Content-Type": "application/json"}


def notify(members, headers=HEADERS, expected=BEARER):
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return parse_ciba_notification(headers, body, expected)


def refused(members, **facts):
    with pytest.raises(ValidationException) as error:
        notify(members, **facts)
    assert "canary" not in str(error.value)
    return error.value


def push(alg="ES256", claims=PUSHED_CLAIMS, **changes):
    id_token = sign_compact(claims, KEY if alg == "ES256" else SigningKey.generate(alg))
    return notify({**PUSHED, "id_token": id_token, **changes})


@pytest.mark.parametrize(
    "headers",
    [
        HEADERS,
        {"authorization": f"bearer  {BEARER}", "CONTENT-TYPE": "Application/JSON; charset=utf-8"},
        (("Authorization", f"Bearer {BEARER}"), ("Content-Type", "application/json")),
    ],
)
def test_the_example_of_ciba_10_2(headers):
    """CIBA Core 10.2: the example ping is read, whatever the case of header names and scheme."""
    notification = notify({"auth_req_id": REQ_ID}, headers=headers)
    assert (notification.kind, notification.auth_req_id) == ("ping", REQ_ID)
    assert notification.access_token is None


def test_the_expected_token_may_be_looked_up():
    """The token that belongs to a request is found by its auth_req_id; for an unknown request there is none."""
    asked = []

    def find(auth_req_id):
        asked.append(auth_req_id)
        return Secret(BEARER) if auth_req_id == REQ_ID else None

    assert notify({"auth_req_id": REQ_ID}, expected=find).kind == "ping"
    assert refused({"auth_req_id": "other"}, expected=find).code == "client_notification_token_mismatch"
    assert asked == [REQ_ID, "other"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer canary-other-token-of-another"},
        {"Authorization": f"Basic {BEARER}"},
        {"Authorization": BEARER},
        {"Authorization": f"Bearer {BEARER}, Bearer {BEARER}"},
        {"Authorization": f"Bearer {BEARER}x"},
        (("Authorization", f"Bearer {BEARER}"), ("Authorization", f"Bearer {BEARER}")),
    ],
)
def test_fapi_ciba_id1_client_ping_with_invalid_bearer_token_test(headers):
    """A notification without the token that was agreed on is answered with 401, and nothing of it is believed."""
    pairs = [*(headers if isinstance(headers, tuple) else headers.items()), ("Content-Type", "application/json")]
    for expected in (BEARER, Secret(BEARER), lambda _: BEARER):
        error = refused({"auth_req_id": REQ_ID}, headers=pairs, expected=expected)
        assert (error.code, error.client_error.status) == ("client_notification_token_mismatch", 401)


@pytest.mark.parametrize("expected", ["", lambda _: "", lambda _: None])
def test_no_expected_token_is_no_open_door(expected):
    """Where no token was agreed on, no notification is accepted, one with an empty token neither."""
    for headers in (HEADERS, {"Authorization": "Bearer ", "Content-Type": "application/json"}):
        assert refused({"auth_req_id": REQ_ID}, headers=headers, expected=expected).code.startswith("client_notif")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"canary",
        b'{"auth_req_id": "a", "auth_req_id": "canary"}',
        b"{}",
        b'{"auth_req_id": ""}',
        b'{"auth_req_id": 5}',
        b'{"auth_req_id": "a", "access_token": "canary"}',
        b'{"auth_req_id": "a", "access_token": "canary", "token_type": "Bearer"}',
        b'{"auth_req_id": "a", "access_token": "canary", "token_type": "mac", "id_token": "canary"}',
        b'{"auth_req_id": "a", "error": "access_denied", "access_token": "canary"}',
        b'{"auth_req_id": "a", "error": 5}',
        b'{"auth_req_id": "a", "x": "' + b"a" * 140_000 + b'"}',
    ],
)
def test_what_is_no_notification(body):
    """Anything but a ping, a whole push or an error is refused with 400."""
    error = refused(body)
    assert (error.code, error.client_error.status) == ("ciba_notification_invalid", 400)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_notifications_are_json(content_type):
    """CIBA Core 10.2: another media type, as a browser can send it, is refused."""
    error = refused({"auth_req_id": REQ_ID}, headers={**HEADERS, "Content-Type": content_type})
    assert error.code == "ciba_notification_invalid"


def test_a_push_error():
    """CIBA Core 12: an error tells why there are no tokens, as one harmless line."""
    members = {"auth_req_id": REQ_ID, "error": "transaction_failed", "error_description": "no\r\nluck"}
    notification = notify(members)
    assert (notification.kind, notification.error) == ("error", "transaction_failed")
    assert notification.error_description == "no\\r\\nluck"


def test_the_example_of_ciba_10_3_1():
    """CIBA Core 10.3.1: the example push is read, and its hashes hold."""
    notification = push()
    assert notification.kind == "push"
    assert (notification.access_token, notification.token_type) == (PUSHED["access_token"], "Bearer")
    assert (notification.refresh_token, notification.expires_in) == (PUSHED["refresh_token"], 120)
    validate_ciba_push(notification, PUSHED_CLAIMS)


@pytest.mark.parametrize(
    ("change", "claim", "refused_as"),
    [
        ({"urn:openid:params:jwt:claim:auth_req_id": None}, incoming.AUTH_REQ_ID_CLAIM, "auth_req_id_mismatch"),
        ({"urn:openid:params:jwt:claim:auth_req_id": "other"}, incoming.AUTH_REQ_ID_CLAIM, "auth_req_id_mismatch"),
        ({"urn:openid:params:jwt:claim:auth_req_id": [REQ_ID]}, incoming.AUTH_REQ_ID_CLAIM, "auth_req_id_mismatch"),
        ({"at_hash": None}, "at_hash", "hash_missing"),
        ({"at_hash": "sHahCuSpXCRg5mkDDvvr4w"}, "at_hash", "hash_mismatch"),
        ({"at_hash": 5}, "at_hash", "hash_mismatch"),
        ({"urn:openid:params:jwt:claim:rt_hash": None}, incoming.RT_HASH_CLAIM, "hash_missing"),
        ({"urn:openid:params:jwt:claim:rt_hash": "Wt0kVFXMacqvnHeyU0001w"}, incoming.RT_HASH_CLAIM, "hash_mismatch"),
    ],
)
def test_pushed_tokens_belong_together(change, claim, refused_as):
    """[S22] CIBA Core 10.3.1: the ID token names the request, and the hashes of the tokens it came with."""
    claims = {k: v for k, v in {**PUSHED_CLAIMS, **change}.items() if v is not None}
    with pytest.raises(IdTokenValidationException) as error:
        validate_ciba_push(push(), claims)
    assert (error.value.code, error.value.claim) == (refused_as, claim)


def test_a_push_without_refresh_token():
    """rt_hash is needed only where there is a refresh token."""
    claims = {k: v for k, v in PUSHED_CLAIMS.items() if "rt_hash" not in k}
    validate_ciba_push(push(refresh_token=None), claims)


def test_the_hash_follows_the_curve():
    """An EdDSA ID token is hashed as its curve says: Ed25519 unless it is told otherwise."""
    notification = push("Ed25519", refresh_token=None)
    claims = {**PUSHED_CLAIMS, "at_hash": incoming.half_hash("Ed25519", PUSHED["access_token"])}
    validate_ciba_push(notification, claims)
    with pytest.raises(IdTokenValidationException):
        validate_ciba_push(notification, PUSHED_CLAIMS)


def test_only_a_push_has_tokens():
    """Validating a ping as if it were a push is the caller's mistake."""
    with pytest.raises(ConfigurationException) as error:
        validate_ciba_push(notify({"auth_req_id": REQ_ID}), PUSHED_CLAIMS)
    assert error.value.code == "ciba_push_needed"


# ---- nothing shows

ENDINGS = [
    GRANTED,
    answer({**TOKENS, "id_token": None}),
    refusal("invalid_grant", error_description="canary-request-id of canary-secret"),
    Reply(400, (("content-type", "text/html"),), b"<p>canary</p>"),
    TransportException("connection lost", code="tls_failed"),
]


@pytest.mark.parametrize("ending", range(len(ENDINGS)))
def test_no_secret_shows(perform, caplog, ending):
    """[S25] No secret, hint, request id or token shows in repr, error, traceback, log or pickle."""
    caplog.set_level(logging.DEBUG)
    fields = {"client_secret": "canary-secret", "auth_method": "client_secret_post"}
    response, sent = perform(waiting(**fields), ENDINGS[ending])
    texts = [repr(response), str(response), repr(sent), str(response.error), str(response.error_description)]
    if not response.is_successful:
        texts += ["".join(traceback.format_exception(response.exception)), repr(vars(response.exception))]
        texts.append(repr(pickle.dumps(response.exception)))
    hints = {"user_code": "canary-user-code", "client_notification_token": "canary-notification-token-1"}
    for hint in ("login_hint_token", "id_token_hint"):
        flow = authenticate(**{hint: "canary-hint"}, **hints, **fields)
        words = "canary-hint canary-user-code canary-notification-token-1 canary-secret"
        failed, _ = perform(flow, refusal("invalid_request", error_description=words))
        texts += [repr(failed), failed.error, repr(ask(**{hint: "canary-hint"}, **hints, **fields))]
    accepted, _ = perform(authenticate(), answer({**ACCEPTED, "auth_req_id": "canary-request-id"}))
    pushed = push(access_token="canary-a", refresh_token="canary-r", auth_req_id="canary-request-id")
    texts += [repr(accepted), repr(token_request(**fields)), repr(pushed), str(pushed), caplog.text]
    assert not [text for text in texts if "canary" in text]


def test_both_apis_run_the_flows(driver):
    """The blocking and the awaited functions give the same answers, with the same signatures."""
    accepted = BackchannelAuthenticationResponse(True, auth_req_id="r", interval=1, expires_at=0.0)
    calls = [
        ("request_backchannel_authentication", (ask(),), ACCEPTED, None),
        ("poll_ciba_token", (token_request(),), TOKENS, None),
        ("wait_for_ciba_token", (token_request(), accepted), TOKENS, "expired_token"),
    ]
    for name, arguments, members, error in calls:

        def blocking(_, members=members):
            return answer(members)

        async def awaited(_, members=members):
            return answer(members)

        if driver.kind == "sync":
            response = getattr(sync_api, name)(*arguments, blocking)
        else:
            response = driver.loop(getattr(aio_api, name), *arguments, awaited)
        assert response.error_code == error
        assert inspect.signature(getattr(sync_api, name)) == inspect.signature(getattr(aio_api, name))
