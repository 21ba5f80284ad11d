"""Logins, their signed and encrypted answers, claims of the user and logouts, with anything at all coming in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apis import ISSUER, NOW
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.client.userinfo import UserInfoRequest
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jwe import decrypt_compact, encrypt_compact
from py_identity_model._core.login.client import LoginClient
from py_identity_model._core.login.logout import parse_front_channel_logout, validate_front_channel_logout
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model.exceptions import PyIdentityModelException, TokenValidationException
from py_identity_model.settings import Settings
from py_identity_model.sync import _jarm as jarm
from py_identity_model.sync import _login as login
from py_identity_model.sync import _logout as logout
from py_identity_model.sync import _userinfo as userinfo
from py_identity_model.sync import _validation
from test_fuzz import PROVIDER, TOKENS, changed, fuzz, mutated, query, replies, signed, texts, values, written

BACK = "https://app.example.com/cb"
METADATA = {
    **PROVIDER.metadata,
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
    "response_types_supported": ["code", "code id_token", "id_token"],
}
BACKCHANNEL = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT = {
    "iss": ISSUER,
    "aud": "app",
    "sub": "ada",
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "1",
    "events": {BACKCHANNEL: {}},
}


@pytest.fixture(autouse=True)
def _own_caches(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test the frozen clock and caches that hold nothing of any other test."""
    stores = Stores("fuzz", Settings())
    monkeypatch.setattr(_validation, "default_stores", lambda: stores)


def op(reply: Reply) -> Callable[[Request], Reply]:
    """Return a provider whose metadata and keys are good, and whose other answers are this one."""

    def provider(request: Request) -> Reply:
        if "/.well-known/" in request.url:
            return Reply(200, (("content-type", "application/json"),), json.dumps(METADATA).encode(), request.url)
        return PROVIDER(request) if request.url.endswith("/jwks") else reply

    return provider


def config() -> TokenValidationConfig:
    """Return what tokens for the client must be."""
    return TokenValidationConfig(perform_disco=True, audience="app", algorithms=["ES256"])


def id_token(claims: dict[str, Any]) -> str:
    """Sign claims as the provider, whatever they are."""
    try:
        return signed(b'{"alg":"ES256","kid":"k1"}', json.dumps(claims, allow_nan=False).encode())
    except ValueError:
        return "e30.e30."


@fuzz
@given(st.data(), st.sampled_from(["code", "code id_token", "id_token"]))
def test_logins(data: st.DataObject, response_type: str) -> None:
    """However a login goes on, it ends in a response; a good one is for this client, this login and this user."""
    client = LoginClient(
        issuer=ISSUER,
        client_id="app",
        client_secret="canary-secret-0123456789",
        redirect_uri=BACK,
        response_type=response_type,
        id_token_signed_response_alg="ES256",
    )
    start = login.begin_login(client, http_client=op(Reply(500)))
    kept = start.transaction
    assert kept is not None
    good = {"iss": ISSUER, "aud": "app", "sub": "ada", "iat": NOW, "exp": NOW + 60, "nonce": kept.nonce}
    token = data.draw(st.just(id_token(good)) | changed(good, "azp", "c_hash", "at_hash", "auth_time").map(id_token))
    parameters = {"state": kept.state, "iss": ISSUER, "code": "canary-code", "id_token": token}
    wanted = {name: value for name, value in parameters.items() if name in ("state", "iss", *response_type.split())}
    returned = data.draw(st.just(wanted) | changed(wanted, "error", "access_token", "response"))
    pairs = [(name, value) for name, value in returned.items() if isinstance(value, str)]
    text = BACK + ("?" if response_type == "code" else "#") + query(pairs)
    answer = data.draw(
        replies(written(st.just({**TOKENS, "id_token": token}) | changed({**TOKENS, "id_token": token})))
    )
    response = login.complete_login(client, text, kept, op(answer))
    if not response.is_successful:
        assert response.exception is not None
        assert response.error_code
        assert "canary" not in f"{response!r} {response.exception!r} {response.error}"
        return
    assert response.claims is not None
    assert (response.claims["iss"], response.claims["nonce"]) == (ISSUER, kept.nonce)
    assert response.claims["aud"] in ("app", ["app"])
    assert returned["state"] == kept.state
    assert not login.complete_login(client, text, kept, op(answer)).is_successful


@fuzz
@given(
    written(changed({"alg": "ES256", "kid": "k1"}, "typ", "crit") | st.just({"alg": "ES256", "kid": "k1"})),
    written(
        changed({"iss": ISSUER, "aud": "app", "exp": NOW + 60, "code": "c", "state": "s"}, "error", "nonce", "iat")
    ),
    st.booleans(),
)
def test_authorization_responses_in_a_jwt(header: bytes, payload: bytes, bare: bool) -> None:
    """Only a JWT that is signed for this client and still valid is taken apart; two parameters stay unique."""
    token = signed(header, payload)
    text = token if bare else f"{BACK}?response={token}"
    try:
        response = jarm.process_jarm_response(
            text, client_id="app", disco_doc_address=ISSUER, http_client=op(Reply(500)), is_jwt=bare
        )
    except PyIdentityModelException:
        return
    claims = json.loads(payload)
    assert claims["iss"] == ISSUER
    assert claims["aud"] in ("app", ["app"]) or "app" in claims["aud"]
    assert claims["exp"] > NOW
    assert not response.is_successful or response.code == claims.get("code")


@fuzz
@given(
    replies(written(changed({"sub": "ada", "name": "Ada", "_claim_names": {"x": "s"}, "_claim_sources": {}}) | values))
)
def test_userinfo(reply: Reply) -> None:
    """The claims are about the user who logged in, or there are none."""
    request = UserInfoRequest(ISSUER + "/userinfo", token="canary-token", expected_sub="ada")
    response = userinfo.get_userinfo(request, lambda asked: reply)
    if response.is_successful:
        assert response.claims is not None
        assert response.claims["sub"] == "ada"
        external = userinfo.get_external_claims(response.claims, [], lambda asked: reply)
        assert external.is_successful or external.exception is not None
        return
    assert response.exception is not None
    assert "canary" not in f"{response!r} {response.exception!r} {response.error}"


@fuzz
@given(
    written(st.just({"alg": "ES256", "typ": "logout+jwt"}) | changed({"alg": "ES256", "typ": "logout+jwt"}, "crit")),
    written(st.just(LOGOUT) | changed(LOGOUT, "nonce", "sid")),
    st.sampled_from(["application/x-www-form-urlencoded", "application/json", ""]) | texts,
)
def test_logout_tokens(header: bytes, payload: bytes, content_type: str) -> None:
    """Whatever is posted is answered; a session ends only by a token that says so, for this client, once."""
    receiver = logout.BackChannelLogoutReceiver(config(), ISSUER, http_client=op(Reply(500)))
    body = urlencode({"logout_token": signed(header, payload)})
    logout_call = receiver.receive(body, content_type)
    if not logout_call.is_successful:
        assert logout_call.answer.status in (400, 503)
        return
    claims = json.loads(payload)
    assert logout_call.claims == claims
    assert claims["iss"] == ISSUER
    assert isinstance(claims["events"][BACKCHANNEL], dict)
    assert "nonce" not in claims
    assert claims.get("sub") or claims.get("sid")
    assert receiver.receive(body, content_type).answer.status == 400


@fuzz
@given(st.binary(max_size=60) | texts.map(lambda text: text.encode("utf-8", "ignore")), st.none() | texts)
def test_logout_requests_of_any_shape(body: bytes, content_type: str | None) -> None:
    """A body that is no logout request is answered with 400."""
    receiver = logout.BackChannelLogoutReceiver(config(), ISSUER, http_client=op(Reply(500)))
    for given_type in (content_type, "application/x-www-form-urlencoded"):
        assert receiver.receive(body, given_type).answer.status == 400


@fuzz
@given(
    st.lists(st.tuples(st.sampled_from(["iss", "sid"]) | texts, st.sampled_from([ISSUER, "s1"]) | texts), max_size=4)
)
def test_front_channel_logouts(pairs: list[tuple[str, str]]) -> None:
    """A request is about this session or refused."""
    for came in (pairs, "/logout?" + query(pairs)):
        with contextlib.suppress(PyIdentityModelException):
            parse_front_channel_logout(came)
        with contextlib.suppress(PyIdentityModelException):
            found = validate_front_channel_logout(came, ISSUER, "s1")
            assert (found.iss, found.sid) == (ISSUER, "s1")


SECRET = {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umjw"}
JWE = encrypt_compact(b"payload", SECRET, alg="A128KW", enc="A128CBC-HS256")


@fuzz
@given(mutated(JWE) | texts | st.lists(texts, min_size=5, max_size=5).map(".".join))
def test_encrypted_tokens(token: str) -> None:
    """No changed token is opened, and the refusals do not tell one cause from another."""
    assume(token != JWE)
    with pytest.raises(TokenValidationException):
        decrypt_compact(token, SECRET, algs=["A128KW"], encs=["A128CBC-HS256"])


@fuzz
@given(
    written(changed({"alg": "A128KW", "enc": "A128GCM"}, "zip", "crit", "epk", "p2c", "p2s", "apu", "iv", "tag", "b64"))
)
def test_headers_of_encrypted_tokens(header: bytes) -> None:
    """No header makes anything but a refusal come out."""
    from py_identity_model._core.base.base64url import b64url_encode

    parts = JWE.split(".")
    for alg in ("A128KW", "dir", "ECDH-ES"):
        token = ".".join([b64url_encode(header.replace(b"A128KW", alg.encode())), *parts[1:]])
        with pytest.raises(TokenValidationException):
            decrypt_compact(token, SECRET, algs=["A128KW", "dir"], encs=["A128GCM", "A128CBC-HS256"])
