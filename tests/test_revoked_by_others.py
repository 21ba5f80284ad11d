"""What others say is revoked is refused: back-channel logouts, tokens one gave back, answers of introspection."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import TokenValidationConfig, aio, sync
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.backchannel_logout import LOGOUT_EVENT
from py_identity_model.exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    StoreException,
    TokenValidationException,
)
from py_identity_model.stores._memory import MemoryStore

KEY = SigningKey.generate("ES256", kid="k1")
FORM = "application/x-www-form-urlencoded"


class Flaky:
    """A store that can be switched off."""

    blocking, authenticated, away = False, True, False

    def __init__(self, behind: Any) -> None:
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreException("the store is away", code="store_unavailable", retry_after=3.0)
        return getattr(self._behind, name)


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def store(clock: Any) -> Flaky:
    return Flaky(MemoryStore(clock=lambda: clock.wall))


@pytest.fixture
def pair(api: Api, provider: Provider, store: Flaky) -> Any:
    """Two processes that share a store."""
    return [
        api.validator(ISSUER, "api", http_client=provider, store=store, revocations_silent_for=3600) for _ in range(2)
    ]


def door(api: Api) -> Any:
    return sync if api.name == "sync" else aio


def code_of(api: Api, validator: Any, token: str) -> str | None:
    try:
        api.call(validator.validate, token)
    except PyIdentityModelException as error:
        return error.code
    return None


# ---- back-channel logout


def logout_token(**changes: Any) -> str:
    good = {"iss": ISSUER, "aud": "app", "iat": NOW, "exp": NOW + 120, "jti": "j", "sub": "ada", "sid": "s1"}
    said = {**good, "events": {LOGOUT_EVENT: {}}, **changes}
    return sign_compact({k: v for k, v in said.items() if v is not None}, KEY, typ="logout+jwt")


def receiver(api: Api, validator: Any, **options: Any) -> Any:
    config = TokenValidationConfig(perform_disco=False, key=KEY.public_jwk, issuer=ISSUER, audience="app")
    return door(api).BackChannelLogoutReceiver(config, validator=validator, **options)


def receive(api: Api, judge: Any, token: str) -> Any:
    return api.call(judge.receive, urlencode({"logout_token": token}), FORM)


@pytest.mark.parametrize(
    ("logout", "refused"),
    [
        ({}, {"session"}),
        ({"sub": None}, {"session"}),
        ({"sid": None}, {"session", "same user, before", "same second"}),
        ({"sid": None, "sub": "eve"}, set()),
    ],
)
def test_a_logout_ends_tokens_everywhere(
    api: Api, provider: Provider, pair: Any, clock: Any, logout: dict[str, Any], refused: set[str]
) -> None:
    """The tokens of the session, or all that the user had until then, are refused in every process; later ones not."""
    tokens = {
        "session": provider.token(sid="s1", iat=NOW - 50),
        "same user, before": provider.token(sid="s2", iat=NOW - 50),
        "same second": provider.token(iat=NOW),
        "a new login": provider.token(sid="s3", iat=NOW + 1),
        "another user": provider.token(sub="bob", sid="s4", iat=NOW - 50),
    }
    answered = receive(api, receiver(api, pair[0]), logout_token(**logout))
    assert answered.answer.status == 200
    clock.advance(2)
    for validator in pair:
        found = {name for name, token in tokens.items() if code_of(api, validator, token) == "token_revoked"}
        assert found == refused


def test_a_logout_of_another_issuer_ends_nothing_here(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """A session of the same name at another issuer is another session."""
    other = SigningKey.generate("ES256", kid="o1")
    config = TokenValidationConfig(
        perform_disco=False, key=other.public_jwk, issuer="https://other.example.com", audience="app"
    )
    judge = door(api).BackChannelLogoutReceiver(config, validator=pair[0])
    claims = {"iss": "https://other.example.com", "aud": "app", "iat": NOW, "exp": NOW + 120, "jti": "j", "sid": "s1"}
    token = sign_compact({**claims, "events": {LOGOUT_EVENT: {}}}, other, typ="logout+jwt")
    assert receive(api, judge, token).answer.status == 200
    assert code_of(api, pair[0], provider.token(sid="s1")) is None


def test_a_logout_that_is_refused_ends_nothing(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """A forged, old or foreign logout token sets no mark; nor does one that came before."""
    judge = receiver(api, pair[0])
    for bad in (logout_token(aud="x"), logout_token(exp=NOW), logout_token(nonce="n"), logout_token()[:-4] + "AAAA"):
        assert receive(api, judge, bad).answer.status == 400
    assert code_of(api, pair[0], provider.token(sid="s1")) is None


def test_a_logout_that_cannot_be_told_can_come_again(api: Api, pair: Any, store: Flaky, clock: Any) -> None:
    """While the store is away the provider is told so, and the token is not used up: sent again it counts."""
    judge = receiver(api, pair[0], store=MemoryStore(clock=lambda: clock.wall))
    store.away = True
    answered = receive(api, judge, logout_token())
    assert (answered.answer.status, json.loads(answered.answer.body)) == (400, {"error": "temporarily_unavailable"})
    store.away = False
    assert receive(api, judge, logout_token()).answer.status == 200
    assert receive(api, judge, logout_token()).error_code == "logout_token_replayed"


def test_how_long_a_logout_counts(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """The mark ends when it was said to."""
    receive(api, receiver(api, pair[0], revoked_for=100), logout_token())
    token = provider.token(sid="s1", exp=NOW + 9999)
    assert code_of(api, pair[0], token) == "token_revoked"
    clock.advance(100)
    assert code_of(api, pair[0], token) is None
    with pytest.raises(ConfigurationException):
        receiver(api, pair[0], revoked_for=0)


# ---- a token that was given back


def test_a_token_is_revoked_by_itself(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """One call has a token refused everywhere until it expires, and no other; a second call changes nothing."""
    token, other = provider.token(jti="1"), provider.token(jti="2")
    for _ in range(2):
        api.call(pair[0].revoke, token)
    clock.advance(2)
    for validator in pair:
        assert code_of(api, validator, token) == "token_revoked"
        assert code_of(api, validator, other) is None
    [(what, until)] = pair[0]._validator.revocations.marks()
    assert (what.jti, what.iss) == ("1", ISSUER)
    assert until >= NOW + 600


def test_a_token_that_is_over_is_revoked_already(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """Revoking an expired token is no error."""
    api.call(pair[0].revoke, provider.token(jti="1", exp=NOW - 1))


@pytest.mark.parametrize("wrong", [{"jti": "2"}, {"sub": "ada"}, {"before": NOW}])
def test_a_token_is_given_alone(api: Api, pair: Any, provider: Provider, clock: Any, wrong: Any) -> None:
    """Beside a token no claims are given."""
    with pytest.raises(ConfigurationException):
        api.call(pair[0].revoke, provider.token(jti="1"), **wrong)


def test_a_forged_token_revokes_nothing(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """Who can hand us a token to revoke cannot have anybody else's revoked (C18)."""
    forged = provider.token(jti="1", key=SigningKey.generate("ES256", kid="k1"))
    with pytest.raises(TokenValidationException):
        api.call(pair[0].revoke, forged)
    assert code_of(api, pair[0], provider.token(jti="1")) is None


def test_a_token_without_a_name(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """A token without ``jti`` cannot be told from others, and the caller hears of it."""
    with pytest.raises(ConfigurationException) as caught:
        api.call(pair[0].revoke, provider.token())
    assert caught.value.claim == "jti"


# ---- introspection


def introspector(api: Api, validator: Any, asked: list[Any], **answer: Any) -> Any:
    def transport(request: Any) -> Reply:
        asked.append(request)
        body = {"active": True, "sub": "ada", "iat": NOW - 50, **answer}
        return Reply(200, (("content-type", "application/json"),), json.dumps(body).encode())

    return door(api).TokenIntrospector(
        ISSUER + "/introspect",
        "api",
        client_secret="pw",
        http_client=transport,
        validator=validator,
        expected_issuer=None if "iss" not in answer else ISSUER,
    )


def test_answers_in_memory_obey_marks(api: Api, pair: Any, clock: Any) -> None:
    """What was introspected a moment ago, and was revoked since, here or elsewhere, is refused without a request."""
    asked: list[Any] = []
    knows = introspector(api, pair[1], asked, iss=ISSUER)
    assert api.call(knows.introspect, "opaque").claims["sub"] == "ada"
    api.call(pair[0].revoke, sub="ada", iss=ISSUER, before=NOW)
    clock.advance(2)
    answer = api.call(knows.introspect, "opaque")
    assert (answer.is_successful, answer.error_code, len(asked)) == (False, "token_revoked", 1)
    assert isinstance(answer.exception, TokenValidationException)


def test_inactive_answers_are_not_looked_at(api: Api, pair: Any, clock: Any) -> None:
    """A token that is not active stays an answer, not an error; without a validator nothing is looked at."""
    api.call(pair[0].revoke, sub="ada")
    assert api.call(introspector(api, pair[0], [], active=False).introspect, "x").claims["active"] is False
    assert api.call(introspector(api, None, []).introspect, "x").claims["active"] is True
    assert api.call(introspector(api, pair[0], []).introspect, "x").error_code == "token_revoked"


def test_introspection_with_a_store_that_is_away(api: Api, provider: Provider, store: Flaky, clock: Any) -> None:
    """When nobody has known for too long what was revoked, an answer of introspection is no verdict either."""
    validator = api.validator(ISSUER, "api", http_client=provider, store=store, revocations_silent_for=0)
    store.away = True
    answer = api.call(introspector(api, validator, []).introspect, "x")
    assert answer.error_code == "revocations_unknown"
    assert isinstance(answer.exception, NetworkException)
