"""Grants at the token endpoint, by each driver: what is sent, how often, and which answers are believed."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import pickle
import traceback
from urllib.parse import parse_qs, parse_qsl

import pytest

import py_identity_model._core.client.grants as flows
import py_identity_model.aio._grants as aio_api
import py_identity_model.sync._grants as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.provider_words import MAX_REASON
from py_identity_model._core.base.secret import REDACTED, Secret
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.client.assertions import JwtBearerAssertion, build_jwt_bearer_assertion
from py_identity_model._core.client.client_auth import PrivateKeyJwt
from py_identity_model._core.client.grants import (
    AuthorizationCodeTokenRequest,
    ClientCredentialsTokenRequest,
    ExtensionGrantTokenRequest,
    JwtBearerTokenRequest,
    RefreshTokenRequest,
)
from py_identity_model._core.jose.jws import parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    TokenRequestException,
    TransportException,
)
from py_identity_model.settings import Settings

ENDPOINT = "https://id.example.com/token"
JSON = ("content-type", "application/json;charset=UTF-8")
SETTINGS = Settings(http_retry_max_attempts=3, http_retry_base_delay=1.0)
KEY = SigningKey.generate("ES256")
TOKENS = {"access_token": "canary-access", "token_type": "Bearer", "expires_in": 3600}
LOST = TransportException("connection lost", code="connection_lost")


def answer(members, status=200, *headers):
    return Reply(status, (JSON, *headers), json.dumps(members).encode(), ENDPOINT)


def raw(body, content_type="application/json", status=200):
    return Reply(status, (("content-type", content_type),), body, ENDPOINT)


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def client_credentials(**fields):
    request = ClientCredentialsTokenRequest(ENDPOINT, "app", **fields)
    return flows.request_client_credentials_token(request, SETTINGS)


def code(**fields):
    fields = {"code": "canary-code", "redirect_uri": "https://app.example.com/cb", **fields}
    return flows.request_authorization_code_token(AuthorizationCodeTokenRequest(ENDPOINT, "app", **fields))


def refresh(**fields):
    return flows.refresh_token(RefreshTokenRequest(ENDPOINT, "app", **{"refresh_token": "canary-refresh", **fields}))


def bearer(**fields):
    return flows.request_jwt_bearer_token(JwtBearerTokenRequest(ENDPOINT, **{"assertion": "canary.jwt.text", **fields}))


def extension(grant_type="urn:example:grant", parameters=None, **fields):
    request = ExtensionGrantTokenRequest(
        ENDPOINT, "app", grant_type, parameters or {"ticket": "canary-ticket"}, **fields
    )
    return flows.request_extension_grant_token(request)


# ---- what is sent


def test_client_credentials(perform):
    """The client credentials grant sends grant_type and scope, and authenticates (RFC 6749 4.4.2)."""
    response, [sent] = perform(client_credentials(client_secret="canary-secret", scope="a b"), answer(TOKENS))
    assert form(sent) == {"grant_type": "client_credentials", "scope": "a b"}
    assert dict(sent.headers)["Authorization"].startswith("Basic ")
    assert response.is_successful
    assert response.error is None


def test_authorization_code(perform):
    """[S6] [F22] The code goes with its redirect_uri and verifier (RFC 6749 4.1.3, RFC 7636 4.5)."""
    flow = code(code=Secret("canary-code"), code_verifier="canary-verifier")
    response, [sent] = perform(flow, answer({**TOKENS, "id_token": "e.y.J", "refresh_token": "r"}))
    assert form(sent) == {
        "grant_type": "authorization_code",
        "code": "canary-code",
        "redirect_uri": "https://app.example.com/cb",
        "code_verifier": "canary-verifier",
        "client_id": "app",
    }
    assert (response.id_token, response.refresh_token) == ("e.y.J", "r")


def test_refresh(perform):
    """[F13] [S12] [S30] A refresh returns the refresh token to use next: the new one, or the old one if none came."""
    rotated, [sent] = perform(refresh(scope="a"), answer({**TOKENS, "refresh_token": "second"}))
    assert form(sent) == {
        "grant_type": "refresh_token",
        "refresh_token": "canary-refresh",
        "scope": "a",
        "client_id": "app",
    }
    assert rotated.refresh_token == "second"
    kept, _ = perform(refresh(refresh_token=Secret("canary-refresh")), answer(TOKENS))
    assert kept.refresh_token == "canary-refresh"
    assert "refresh_token" not in kept.token


def test_jwt_bearer(perform):
    """The JWT bearer grant sends an assertion, without any client identification if there is none (RFC 7523 2.1)."""
    _, [sent] = perform(bearer(scope="a"), answer(TOKENS))
    assert form(sent) == {"grant_type": flows.JWT_BEARER, "assertion": "canary.jwt.text", "scope": "a"}
    _, [sent] = perform(bearer(client_id="app", client_secret="secret-1"), answer(TOKENS))
    assert "Authorization" in dict(sent.headers)
    response, sent = perform(bearer(client_secret="secret-1"))
    assert (response.error_code, sent) == ("client_id_missing", [])


def test_jwt_bearer_assertion_is_made_on_the_spot(perform):
    """A JwtBearerAssertion is signed with the clock of the flow; its own claims cannot be replaced."""
    vouch = JwtBearerAssertion(KEY, "svc", "ada", "https://id.example.com", claims={"scope": "x", "iss": "evil"})
    _, [sent] = perform(bearer(assertion=vouch), answer(TOKENS))
    jws = parse_compact(form(sent)["assertion"])
    claims = json.loads(jws.payload)
    assert jws.header["typ"] == "JWT"
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("svc", "ada", "https://id.example.com")
    assert (claims["iat"], claims["exp"], claims["scope"]) == (1_800_000_000, 1_800_000_300, "x")
    again = json.loads(parse_compact(build_jwt_bearer_assertion(vouch, 0.0)).payload)
    assert again["jti"] != claims["jti"]
    pem = JwtBearerAssertion(KEY.private_pem, "svc", "ada", "aud", "ES256", "k1")
    assert parse_compact(build_jwt_bearer_assertion(pem, 0.0)).header["kid"] == "k1"


@pytest.mark.parametrize("fields", [{"issuer": ""}, {"subject": ""}, {"audience": ""}, {"lifetime": 0}])
def test_jwt_bearer_assertion_is_complete(fields):
    """An assertion needs issuer, subject, audience and a lifetime."""
    with pytest.raises(ConfigurationException):
        JwtBearerAssertion(**{"private_key": KEY, "issuer": "i", "subject": "s", "audience": "a", **fields})


def test_extension_grant(perform):
    """Any grant of a provider's own goes through, with its parameters and token type (RFC 6749 4.5)."""
    flow = extension(token_types=("urn:x", "Bearer"), scope="s")
    response, [sent] = perform(flow, answer({**TOKENS, "token_type": "URN:X", "issued_token_type": "i"}))
    assert form(sent) == {
        "grant_type": "urn:example:grant",
        "ticket": "canary-ticket",
        "scope": "s",
        "client_id": "app",
    }
    assert (response.token_type, response.issued_token_type) == ("URN:X", "i")


@pytest.mark.parametrize(
    ("grant_type", "parameters", "refusal"),
    [
        ("password", {"username": "u", "password": "canary-password"}, "grant_type_refused"),
        ("implicit", {}, "grant_type_refused"),
        ("", {}, "parameter_missing"),
        ("urn:x", {"grant_type": "password"}, "parameter_reserved"),
        ("urn:x", {"client_secret": "x"}, "parameter_reserved"),
        ("urn:x", {"n": 3}, "parameter_reserved"),
    ],
)
def test_extension_grants_are_no_way_around(perform, grant_type, parameters, refusal):
    """[S15] [S10] The password grant is refused by name too, and parameters cannot set what has a field."""
    response, sent = perform(extension(grant_type, parameters))
    assert (response.error_code, sent) == (refusal, [])


def test_there_is_no_password_grant():
    """[S15] Nothing public of the grants takes a user's password (RFC 9700 2.4)."""
    for module in (flows, sync_api, aio_api):
        names = [name for name in module.__all__ if "password" in name.lower() or "owner" in name.lower()]
        assert names == []
    requests = [
        value for name, value in vars(flows).items() if name.endswith("Request") and dataclasses.is_dataclass(value)
    ]
    assert not [r for r in requests if {"username", "password"} & {f.name for f in dataclasses.fields(r)}]


def test_resources_and_details(perform):
    """[S13] Several resources and authorization details go along with any grant (RFC 8707 2, RFC 9396 2)."""
    details = [{"type": "payment", "amount": {"value": "1.50"}}]
    fields = {"resource": ["https://a.example", "urn:b"], "authorization_details": details, "extra": {"acr": "2"}}
    for flow in (
        client_credentials(**fields),
        code(**fields),
        refresh(**fields),
        bearer(**fields),
        extension(**fields),
    ):
        _, [sent] = perform(flow, answer(TOKENS))
        got = parse_qs(sent.body.decode())
        assert got["resource"] == ["https://a.example", "urn:b"]
        assert json.loads(got["authorization_details"][0]) == details
        assert got["acr"] == ["2"]
    _, [sent] = perform(client_credentials(resource="https://a.example?x"), answer(TOKENS))
    assert form(sent)["resource"] == "https://a.example?x"


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"resource": "api"}, "resource_invalid"),
        ({"resource": "https://a.example/#x"}, "resource_invalid"),
        ({"resource": ["https://a.example", "/x"]}, "resource_invalid"),
        ({"resource": ""}, "parameter_invalid"),
        ({"resource": []}, "parameter_invalid"),
        ({"resource": [3]}, "parameter_invalid"),
        ({"authorization_details": []}, "authorization_details_invalid"),
        ({"authorization_details": [{"actions": []}]}, "authorization_details_invalid"),
        ({"authorization_details": [{"type": ""}]}, "authorization_details_invalid"),
        ({"authorization_details": ["x"]}, "authorization_details_invalid"),
        ({"authorization_details": [{"type": "x", "n": float("nan")}]}, "authorization_details_invalid"),
        ({"extra": {"grant_type": "password"}}, "parameter_reserved"),
        ({"extra": {"scope": "x"}, "scope": "a"}, "parameter_reserved"),
        ({"code": ""}, "parameter_missing"),
        ({"redirect_uri": ""}, "parameter_missing"),
        ({"code": None}, "parameter_missing"),
    ],
)
def test_requests_that_make_no_sense(perform, fields, refusal):
    """A caller's mistake is a failed response with its own code, and nothing is sent."""
    response, sent = perform(code(**fields))
    assert (response.error_code, sent) == (refusal, [])
    assert isinstance(response.exception, ConfigurationException)


# ---- what comes back


def test_a_typed_response(perform, clock):
    """Members become typed fields; token stays the object as it came; expires_at is counted from the request."""
    members = {
        **TOKENS,
        "token_type": "bEARER",
        "refresh_token": "r",
        "id_token": "i",
        "scope": "a",
        "authorization_details": [{"type": "payment"}],
        "x": [1],
    }

    def slow(request):
        clock.advance(5)
        return answer(members)

    response, _ = perform(client_credentials(scope="a b"), slow)
    assert response.token == members
    assert (response.access_token, response.token_type) == ("canary-access", "bEARER")
    assert response.expires_at == 1_800_000_000 + 3600
    assert (response.scope, response.authorization_details) == ("a", [{"type": "payment"}])
    assert json.loads(response.raw) == members
    assert response.status_code == 200


def test_optional_members_may_be_absent(perform):
    """Without scope the requested one counts, without expires_in no expiry is known; null and empty count as absent."""
    response, _ = perform(client_credentials(scope="a b"), answer({"access_token": "t", "token_type": "Bearer"}))
    assert (response.scope, response.expires_at, response.refresh_token) == ("a b", None, None)
    members = {"access_token": "t", "token_type": "Bearer", "refresh_token": None, "scope": "", "expires_in": None}
    response, _ = perform(client_credentials(), answer(members))
    assert (response.scope, response.expires_at, response.refresh_token) == (None, None, None)


@pytest.mark.parametrize("value", [3600, "3600", 3600.0])
def test_expires_in_is_seconds(perform, value):
    """A number, or a number in quotes as some providers write it, is a lifetime."""
    response, _ = perform(client_credentials(), answer({**TOKENS, "expires_in": value}))
    assert response.expires_at == 1_800_003_600


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"token_type": None}, "token_type_missing"),
        ({"token_type": 1}, "token_type_invalid"),
        ({"token_type": "N_A"}, "token_type_unsupported"),
        ({"token_type": "mac"}, "token_type_unsupported"),
        ({"token_type": "DPoP"}, "token_type_unsupported"),
        ({"access_token": None}, "access_token_missing"),
        ({"access_token": ""}, "access_token_missing"),
        ({"access_token": 5}, "access_token_invalid"),
        ({"access_token": "a\r\nEvil: 1"}, "access_token_invalid"),
        ({"access_token": "tök"}, "access_token_invalid"),
        ({"refresh_token": ["r"]}, "refresh_token_invalid"),
        ({"id_token": {}}, "id_token_invalid"),
        ({"scope": ["a"]}, "scope_invalid"),
        ({"expires_in": -1}, "expires_in_invalid"),
        ({"expires_in": True}, "expires_in_invalid"),
        ({"expires_in": "soon"}, "expires_in_invalid"),
        ({"expires_in": 10**12}, "expires_in_invalid"),
        ({"authorization_details": {}}, "authorization_details_invalid"),
        ({"authorization_details": [{}]}, "authorization_details_invalid"),
    ],
)
def test_members_must_have_their_type(perform, change, refusal):
    """A member that is missing or of another type is a failure with its own code, not a half-read token."""
    response, _ = perform(client_credentials(), answer({**TOKENS, **change}))
    assert (response.is_successful, response.error_code) == (False, refusal)
    assert isinstance(response.exception, TokenRequestException)
    with pytest.raises(FailedResponseAccessError):
        _ = response.access_token


@pytest.mark.parametrize(
    ("body", "content_type", "refusal"),
    [
        (b"<html>canary</html>", "text/html", "content_type_invalid"),
        (json.dumps(TOKENS).encode(), "text/plain", "content_type_invalid"),
        (b"access_token=canary&token_type=bearer", "application/x-www-form-urlencoded", "content_type_invalid"),
        (b"<html>canary</html>", "application/json", "response_unparsable"),
        (b"", "application/json", "response_unparsable"),
        (b"[]", "application/json", "response_unparsable"),
        (b"\xef\xbb\xbf{}", "application/json", "response_unparsable"),
        (
            b'{"access_token":"a","access_token":"canary","token_type":"Bearer"}',
            "application/json",
            "response_unparsable",
        ),
        (b'{"access_token":"a","token_type":"Bearer","expires_in":NaN}', "application/json", "response_unparsable"),
        (b"[" * 100_000, "application/json", "response_unparsable"),
    ],
)
def test_answers_that_are_no_json_object(perform, body, content_type, refusal):
    """HTML with status 200, duplicate members and other oddities are failures; no body is repeated."""
    response, _ = perform(client_credentials(), raw(body, content_type))
    assert response.error_code == refusal
    assert "canary" not in response.error


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_json_content_types(perform, content_type):
    """JSON in any spelling of its media type is read."""
    response, _ = perform(client_credentials(), raw(json.dumps(TOKENS).encode(), content_type))
    assert response.is_successful


def test_oauth_errors(perform):
    """error, error_description and error_uri reach the response and its exception (RFC 6749 5.2)."""
    members = {"error": "invalid_grant", "error_description": "used", "error_uri": "https://id.example.com/e"}
    for status in (400, 401, 403, 200):  # some providers refuse with 200
        response, _ = perform(code(), answer(members, status))
        assert not response.is_successful
        assert (response.error_code, response.error_description) == ("invalid_grant", "used")
        assert (response.error_uri, response.status_code) == ("https://id.example.com/e", status)
        assert (response.exception.code, response.exception.error) == ("request_refused", "invalid_grant")
        assert "hint" in response.error
        with pytest.raises(TokenRequestException):
            response.raise_for_error()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(perform, status):
    """A token endpoint that redirects gets neither code nor secret a second time."""
    response, sent = perform(code(), Reply(status, (("location", "https://evil.example/token"),), b"", ENDPOINT))
    assert (response.error_code, len(sent)) == ("redirect_refused", 1)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":5}', b'{"a":1,"a":2}'])
def test_failures_without_words(perform, body):
    """A failure without an OAuth error is told by its status."""
    response, _ = perform(code(), raw(body, "text/html", 502))
    assert (response.error_code, response.status_code) == ("token_request_failed", 502)
    assert "HTTP 502" in response.error


def test_retry_after_is_passed_on(perform):
    """The exception says when to try again."""
    response, _ = perform(code(), Reply(503, (("retry-after", "7"),), b"", ENDPOINT))
    assert response.exception.retry_after == 7


def test_provider_words_are_harmless(perform):
    """Line ends, escape sequences and endless text in error_description reach nobody's log or terminal."""
    members = {"error": "x\r\nSet-Cookie: a", "error_description": "\x1b[2J\u202e" + "a" * 5000}
    response, _ = perform(code(), answer(members, 400))
    for text in (response.error, response.error_code, response.error_description):
        assert text.isprintable()
        assert len(text) < 3000


def test_the_cause_at_the_end_is_kept(perform):
    """A provider that names the cause after many words, as Hydra does, is understood: both ends of its reason stay."""
    words = "The authorization grant is invalid. " + "x" * 5000 + " The refresh token was used already."
    response, _ = perform(refresh(), answer({"error": "invalid_grant", "error_description": words}, 400))
    for text in (response.error_description, response.error):
        assert "The authorization grant is invalid." in text
        assert "The refresh token was used already." in text
    assert len(response.error_description) <= MAX_REASON + 5
    short = "y" * MAX_REASON
    response, _ = perform(refresh(), answer({"error": "invalid_grant", "error_description": short}, 400))
    assert response.error_description == short


@pytest.mark.parametrize(
    ("secret", "members", "seen"),
    [
        ("client", {"error": "invalid_client"}, "invalid_client"),
        ("invalid_client", {"error": "invalid_client"}, "invalid_client"),
        ("authorization", {"error": "authorization_pending"}, "authorization_pending"),
        ("unauthorized_client", {"error": "unauthorized_client"}, "unauthorized_client"),
    ],
)
def test_registered_codes_are_never_blacked_out(perform, secret, members, seen):
    """What happened is told, whatever the secret is called: registered error codes are no secrets."""
    response, _ = perform(client_credentials(client_secret=secret), answer(members, 400))
    assert response.error_code == seen


@pytest.mark.parametrize(
    ("secret", "words", "told"),
    [
        ("client", "the client is unknown", "the client is unknown"),
        ("canary-password", "canary-password is wrong", "[redacted] is wrong"),
        ("canary-password", "secret=canary-password&x=1", "secret=[redacted]&x=1"),
        ("canary-password", "canary-passwords", "canary-passwords"),
        ("password", "invalid_password, passwords", "invalid_password, passwords"),
        ("canary p\u00e4ss/w", "got client_secret=canary+p%C3%A4ss%2Fw", "got client_secret=[redacted]"),
        ("canary p\u00e4ss/w", "got canary%20p%C3%A4ss%2Fw", "got [redacted]"),
        ("canary.*+(x)", "not canary.*+(x)!", "not [redacted]!"),
    ],
)
def test_secrets_are_blacked_out_where_they_stand_whole(perform, secret, words, told):
    """A secret that a provider repeats is blacked out, as it is or encoded; a part of a word is no secret."""
    members = {"error": "invalid_client", "error_description": words}
    response, _ = perform(client_credentials(client_secret=secret), answer(members, 401))
    assert response.error_description == told


@pytest.mark.parametrize(
    ("reply", "dead"),
    [
        (answer({"error": "invalid_grant"}, 400), True),
        (answer({"error": "invalid_request"}, 400), True),  # Dex
        (Reply(400, (), b"", ENDPOINT), True),  # Glewlwyd
        (Reply(403, (), b"", ENDPOINT), True),
        (answer({"error": "bad_refresh_token"}), True),
        (answer({"error": "interaction_required"}, 400), True),
        (answer({"error": "invalid_client"}, 401), False),
        (answer({"error": "unauthorized_client"}, 400), False),
        (answer({"error": "invalid_scope"}, 400), False),
        (answer({"error": "invalid_dpop_proof"}, 400), False),
        (answer({"error": "rate_limited"}, 429), False),
        (Reply(401, (), b"", ENDPOINT), False),
        (Reply(404, (), b"", ENDPOINT), False),
        (Reply(503, (), b"", ENDPOINT), False),
        (answer({"access_token": "a"}), False),
        (LOST, False),
    ],
)
def test_whether_a_new_login_is_needed(perform, reply, dead):
    """One property of the response, and of its exception, tells that the refresh token is dead, however it is said."""
    response, _ = perform(refresh(), reply)
    assert (response.needs_new_login, response.exception.needs_new_login) == (dead, dead)
    assert pickle.loads(pickle.dumps(response.exception)).needs_new_login is dead
    other, _ = perform(client_credentials(client_secret="canary-secret"), *[reply] * 4)
    assert not other.needs_new_login


def test_a_refresh_that_worked_needs_no_login(perform):
    """A good answer needs no new login."""
    assert not perform(refresh(), answer(TOKENS))[0].needs_new_login


def test_a_wordless_transport_failure(perform):
    """A lost connection is a failed response with the code of the transport."""
    response, sent = perform(code(), LOST)
    assert (response.error_code, response.status_code, len(sent)) == ("connection_lost", None, 1)


# ---- how often


def test_client_credentials_are_repeated_with_a_new_assertion(perform, clock):
    """Only this grant is repeated; each attempt has an assertion, and a jti, of its own."""
    flow = client_credentials(private_key_jwt=PrivateKeyJwt(KEY), issuer="https://id.example.com")
    response, sent = perform(flow, LOST, answer({}, 503), answer(TOKENS))
    assert response.is_successful
    assertions = [form(request)["client_assertion"] for request in sent]
    assert len({json.loads(parse_compact(a).payload)["jti"] for a in assertions}) == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize("make", [code, refresh, bearer, extension])
@pytest.mark.parametrize("trouble", [LOST, Reply(503), Reply(429), Reply(500)])
def test_what_is_good_for_one_use_is_sent_once(perform, make, trouble):
    """[F44] A code, refresh token, assertion or ticket is never sent a second time, whatever went wrong (O15)."""
    response, sent = perform(make(), trouble)
    assert (response.is_successful, len(sent)) == (False, 1)


# ---- DPoP

BOUND = {**TOKENS, "token_type": "dpop"}
WANTS_NONCE = answer({"error": "use_dpop_nonce"}, 400, ("dpop-nonce", "nonce-1"))


def proof_in(request):
    return json.loads(parse_compact(dict(request.headers)["DPoP"]).payload)


@pytest.mark.parametrize("make", [client_credentials, code, refresh, bearer, extension])
def test_dpop_binds_tokens_of_any_grant(perform, make):
    """[S11] [F8] [F15] [D16] The proof goes along; a demand for a nonce is met once, with everything made anew."""
    key = DPoPKey()
    fields = {"client_id": "app"} if make is bearer else {}
    flow = make(dpop_key=key, private_key_jwt=PrivateKeyJwt(KEY), **fields)
    response, sent = perform(flow, WANTS_NONCE, answer(BOUND, 200, ("dpop-nonce", "nonce-2")))
    assert response.is_successful
    first, second = (proof_in(request) for request in sent)
    assert (first["htm"], first["htu"], first.get("nonce")) == ("POST", ENDPOINT, None)
    assert second["nonce"] == "nonce-1"
    assert first["jti"] != second["jti"]
    assert form(sent[0])["client_assertion"] != form(sent[1])["client_assertion"]
    # the nonce that came with the answer is used at once next time
    _, [third] = perform(make(dpop_key=key), answer(BOUND))
    assert proof_in(third)["nonce"] == "nonce-2"


def test_the_nonce_is_retried_once(perform):
    """A provider that always wants another nonce is asked twice, not forever."""
    response, sent = perform(code(dpop_key=DPoPKey()), WANTS_NONCE, WANTS_NONCE)
    assert (response.error_code, len(sent)) == ("use_dpop_nonce", 2)


def test_a_bearer_answer_to_a_dpop_request_is_refused(perform):
    """A token that is not bound to the key is not taken (RFC 9449 5)."""
    response, _ = perform(code(dpop_key=DPoPKey()), answer(TOKENS))
    assert response.error_code == "dpop_token_expected"
    assert "DPoP" in response.exception.hint
    response, _ = perform(code(dpop_key=DPoPKey()), answer({**TOKENS, "token_type": "N_A"}))
    assert response.error_code == "token_type_unsupported"


def test_token_type_has_no_case(perform):
    """Bearer and DPoP are recognised in any case (RFC 6749 5.1)."""
    for spelling in ("BEARER", "bearer", "BeArEr"):
        assert perform(code(), answer({**TOKENS, "token_type": spelling}))[0].is_successful
    for spelling in ("DPOP", "dpop", "dPoP"):
        assert perform(code(dpop_key=DPoPKey()), answer({**TOKENS, "token_type": spelling}))[0].is_successful


# ---- nothing shows

MAKERS = [client_credentials, code, refresh, bearer, extension]
ENDINGS = [
    answer({**TOKENS, "refresh_token": "canary-r", "id_token": "canary-i"}),
    answer({**TOKENS, "token_type": "mac"}),
    answer(
        {"error": "invalid_grant", "error_description": "canary-secret canary-code canary-refresh canary.jwt.text"}, 400
    ),
    answer({"error": "x", "error_description": "canary-ticket canary-verifier"}, 400),
    raw(b"<html>canary</html>", "text/html", 500),
    raw(b'{"access_token": "canary', "application/json"),
    LOST,
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("ending", range(len(ENDINGS)))
def test_no_secret_shows(make, ending, perform, caplog):
    """[S25] No secret, code or token in repr, str, error, traceback or log, even if the provider repeats it."""
    caplog.set_level(logging.DEBUG)
    fields = {"client_secret": "canary-secret", "auth_method": "client_secret_post"}
    if make is code:
        fields["code_verifier"] = "canary-verifier"
    if make is bearer:
        fields["client_id"] = "app"
    if make is client_credentials:
        fields["extra"] = {"x": "canary-ticket", "y": "canary-code", "z": "canary-refresh"}
    sent_by = {
        client_credentials: {"canary-ticket", "canary-code", "canary-refresh"},
        code: {"canary-code", "canary-verifier"},
        refresh: {"canary-refresh"},
        bearer: {"canary.jwt.text"},
        extension: {"canary-ticket"},
    }
    reply = ENDINGS[ending]
    if isinstance(reply, Reply):  # a provider can repeat only what it was sent
        for word in set().union(*sent_by.values()) - sent_by[make]:
            reply = dataclasses.replace(reply, body=reply.body.replace(word.encode(), b"-"))
    tries = [reply] * (4 if make is client_credentials else 1)
    response, sent = perform(make(**fields), *tries)
    texts = [
        repr(response),
        str(response),
        repr(sent),
        str(response.error),
        str(response.error_description),
        caplog.text,
    ]
    if not response.is_successful:
        texts += ["".join(traceback.format_exception(response.exception)), repr(vars(response.exception))]
        texts.append(repr(pickle.dumps(response.exception)))
    assert not [text for text in texts if "canary" in text]


def test_repeated_secrets_are_blacked_out(perform):
    """A provider that repeats the code in its words finds it blacked out in ours."""
    reply = answer({"error": "invalid_grant", "error_description": "code canary-code is used up"}, 400)
    response, _ = perform(code(), reply)
    assert response.error_description == f"code {REDACTED} is used up"


def test_requests_do_not_show_secrets():
    """Requests redact what is secret in them."""
    requests = [
        AuthorizationCodeTokenRequest(ENDPOINT, "app", "canary-1", "https://a", "canary-2", "canary-3"),
        RefreshTokenRequest(ENDPOINT, "app", "canary-1", "s", "canary-2"),
        JwtBearerTokenRequest(ENDPOINT, "canary-1"),
        ExtensionGrantTokenRequest(ENDPOINT, "app", "urn:x", {"t": "canary-1"}),
        ClientCredentialsTokenRequest(ENDPOINT, "app", "canary-1", extra={"k": "canary-2"}),
    ]
    assert not [r for r in requests if "canary" in repr(r) + str(r)]


# ---- both APIs


def test_both_apis_run_the_flows(driver):
    """The blocking and the awaited functions give the same answers."""
    calls = [
        ("request_client_credentials_token", ClientCredentialsTokenRequest(ENDPOINT, "app", "secret-1")),
        ("request_authorization_code_token", AuthorizationCodeTokenRequest(ENDPOINT, "app", "c", "https://a/cb")),
        ("refresh_token", RefreshTokenRequest(ENDPOINT, "app", "r")),
        ("request_jwt_bearer_token", JwtBearerTokenRequest(ENDPOINT, "a.b.c")),
        ("request_extension_grant_token", ExtensionGrantTokenRequest(ENDPOINT, "app", "urn:x", {"t": "1"})),
    ]
    for name, request in calls:
        if driver.kind == "sync":
            response = getattr(sync_api, name)(request, lambda _: answer(TOKENS))
        else:

            async def provider(_):
                return answer(TOKENS)

            response = driver.loop(getattr(aio_api, name), request, provider)
        assert response.access_token == "canary-access"
        assert inspect.signature(getattr(sync_api, name)) == inspect.signature(getattr(aio_api, name))
