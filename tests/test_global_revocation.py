"""Global Token Revocation, and the assertions that callers authenticate with: who may, for whom, and once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import TrustedIssuer, aio, build_revocation_answer, sync
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.binding.replay import CLOCKS
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import (
    ConfigurationException,
    InsufficientScopeException,
    NetworkException,
    PyIdentityModelException,
    TokenValidationException,
)
from py_identity_model.stores._memory import MemoryStore
from test_security_events import ADA, ALL_OF_ADA, Flaky, World, code_of, ended

ENDPOINT = "https://api.example.com/global-token-revocation"
KEY = SigningKey.generate("ES256", kid="k1")
CLIENT = SigningKey.generate("ES256", kid="c1")


def door(api: Api) -> Any:
    return sync if api.name == "sync" else aio


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(clock: Any) -> Flaky:
    """A store whose memory is a minute old: what is made now was not used before it began."""
    clock.advance(-60)
    store = Flaky(MemoryStore(clock=lambda: clock.wall))
    clock.advance(60)
    return store


@pytest.fixture
def validator(api: Api, world: World, store: Flaky) -> Any:
    return api.validator(ISSUER, "api", http_client=world, store=store, revocations_silent_for=3600)


def assertion(world: Provider | None = None, *, key: Any = None, typ: str | None = None, **changes: Any) -> str:
    """Make an assertion of the identity provider, or with a key of its own of a client."""
    signer = key or next(iter(world.keys.values())) if world is not None or key else CLIENT
    good = {"iss": ISSUER, "sub": "app-7", "aud": ENDPOINT, "jti": "a1", "iat": NOW, "exp": NOW + 300, **changes}
    return sign_compact({k: v for k, v in good.items() if v is not None}, signer, typ=typ)


# ---- assertions


def client(**changes: Any) -> str:
    return assertion(key=changes.pop("key", CLIENT), **{"iss": "app-1", "sub": "app-1", **changes})


def test_an_assertion_serves_once(api: Api, store: Flaky, clock: Any) -> None:
    """A client shows who it is; the same assertion is refused afterwards, by all who share the store (C14)."""
    build = door(api).ClientAssertionValidator
    first, other = (build("app-1", ENDPOINT, keys=CLIENT.public_jwk, store=store) for _ in range(2))
    token = client()
    assert api.call(first.validate, token)["iss"] == "app-1"
    for validator in (first, other):
        with pytest.raises(TokenValidationException) as caught:
            api.call(validator.validate, token)
        assert caught.value.code == "assertion_replayed"
    assert api.call(other.validate, client(jti="a2"))["jti"] == "a2"
    alone = build("app-1", ENDPOINT, keys=CLIENT.public_jwk)
    assert code_of(api, alone, token) is None
    assert code_of(api, alone, token) == "assertion_replayed"
    clock.advance(301)
    assert code_of(api, alone, token) == "token_expired"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": SigningKey.generate("ES256", kid="c1")}, "signature_invalid"),
        ({"key": SigningKey.from_secret(b"k" * 32, "HS256")}, "alg_not_allowed"),
        ({"iss": "app-2", "sub": "app-2"}, "issuer_mismatch"),
        ({"sub": "app-2"}, "assertion_subject_mismatch"),
        ({"sub": None}, "claim_missing"),
        ({"aud": "https://api.example.com/"}, "audience_mismatch"),
        ({"aud": [ENDPOINT, "https://other.example.com"]}, "assertion_audience_ambiguous"),
        ({"aud": None}, "claim_missing"),
        ({"jti": None}, "claim_missing"),
        ({"jti": ""}, "claim_type_invalid"),
        ({"jti": "x" * 3000}, "claim_type_invalid"),
        ({"jti": 7}, "claim_type_invalid"),
        ({"exp": None}, "claim_missing"),
        ({"exp": NOW}, "token_expired"),
        ({"exp": NOW + 601}, "assertion_lifetime_excessive"),
        ({"iat": NOW + 60}, "token_not_yet_valid"),
        ({"events": {}}, "kind_mismatch"),
        ({"nonce": "n"}, "kind_mismatch"),
        ({"scope": "read"}, "kind_mismatch"),
        ({"client_id": "app-1"}, "kind_mismatch"),
        ({"token_use": "access"}, "kind_mismatch"),
        ({"typ": "at+jwt"}, "typ_mismatch"),
        ({"typ": "secevent+jwt"}, "typ_mismatch"),
        ({"typ": "logout+jwt"}, "typ_mismatch"),
        ({"typ": "dpop+jwt"}, "typ_mismatch"),
        ({"iat": None}, None),
        ({"aud": [ENDPOINT]}, None),
        ({"typ": "client-authentication+jwt"}, None),
        ({"typ": "JWT"}, None),
    ],
)
def test_rules_of_assertions(api: Api, clock: Any, changes: dict[str, Any], code: str | None) -> None:
    """An assertion is by the client, about the client, for this endpoint alone, named, and short-lived (C18)."""
    made = door(api).ClientAssertionValidator("app-1", ENDPOINT, keys=CLIENT.public_jwk)
    assert code_of(api, made, client(**changes)) == code


def test_assertions_and_a_store_that_is_away(api: Api, store: Flaky, clock: Any) -> None:
    """What may have been used already is let through by nobody; nor is one from before the store's memory."""
    made = door(api).ClientAssertionValidator("app-1", ENDPOINT, keys=CLIENT.public_jwk, store=store)
    store.away = {"add"}
    with pytest.raises(NetworkException):
        api.call(made.validate, client())
    store.away = set()
    old = client(iat=NOW - 200)
    assert code_of(api, made, old) == "store_memory_lost"


@pytest.mark.parametrize(("leeway", "ahead"), [(None, 10.0), (30.0, 30.0), (0.0, 0.0)])
def test_assertions_of_a_clock_that_runs_ahead(api: Api, clock: Any, leeway: float | None, ahead: float) -> None:
    """One that may have been used before the store lost its memory is refused, whenever it says that it was made."""

    def receiver() -> Any:
        store = MemoryStore(clock=lambda: clock.wall)
        build = door(api).ClientAssertionValidator
        return build("app-1", ENDPOINT, keys=CLIENT.public_jwk, store=store, leeway=leeway)

    made = receiver()
    clock.advance(ahead + CLOCKS)
    used = client(iat=clock.wall + ahead, exp=clock.wall + 500)
    assert code_of(api, made, used) is None
    clock.advance(0.1)
    made = receiver()
    for _ in range(4):
        assert code_of(api, made, used) == "store_memory_lost"
        clock.advance((ahead + CLOCKS) / 4)
    assert code_of(api, made, client(jti="new", iat=clock.wall, exp=clock.wall + 500)) is None


def test_assertions_that_do_not_say_when_they_were_made(api: Api, clock: Any) -> None:
    """Without iat an assertion may be as old as one may be: the memory must reach back so far."""
    store = MemoryStore(clock=lambda: clock.wall)
    made = door(api).ClientAssertionValidator("app-1", ENDPOINT, keys=CLIENT.public_jwk, store=store)
    assert code_of(api, made, client(iat=None, exp=clock.wall + 599)) == "store_memory_lost"
    clock.advance(100)
    assert code_of(api, made, client(jti="a", iat=None, exp=clock.wall + 500)) == "store_memory_lost"
    assert code_of(api, made, client(jti="b", iat=None, exp=clock.wall + 500 + CLOCKS)) is None


def test_settings_of_assertions(api: Api, world: World, clock: Any) -> None:
    """Several clients, keys at an address, other clocks, algorithms and lifetimes."""
    build = door(api).ClientAssertionValidator
    many = build(
        [TrustedIssuer("app-1", keys=CLIENT.public_jwk), TrustedIssuer("app-2", keys=KEY.public_jwk)], ENDPOINT
    )
    assert code_of(api, many, client()) is None
    assert code_of(api, many, client(iss="app-2", sub="app-2", key=KEY)) is None
    assert code_of(api, many, client(iss="app-2", sub="app-2", jti="x")) is not None
    remote = build("app-1", ENDPOINT, jwks_uri=ISSUER + "/jwks", http_client=world)
    assert code_of(api, remote, client(key=next(iter(world.keys.values())))) is None
    late = build("app-1", ENDPOINT, keys=CLIENT.public_jwk, leeway=30, max_lifetime=60)
    assert code_of(api, late, client(exp=NOW - 20)) is None
    assert code_of(api, late, client(exp=NOW + 91, jti="b")) == "assertion_lifetime_excessive"
    other = build("app-1", ENDPOINT, keys=CLIENT.public_jwk, algorithms=["ES384"])
    assert code_of(api, other, client()) == "alg_not_allowed"
    with pytest.raises(ConfigurationException):
        build("app-1", ENDPOINT, keys=CLIENT.public_jwk, max_lifetime=0)
    with pytest.raises(ConfigurationException):
        build("app-1", "", keys=CLIENT.public_jwk)


# ---- the endpoint


@pytest.fixture
def build(api: Api, world: World, store: Flaky, validator: Any, clock: Any) -> Callable[..., Any]:
    """A function that makes a receiver; what is posted to it comes back judged."""
    module = door(api)

    def receiver(**options: Any) -> Any:
        assertions = module.ClientAssertionValidator(ISSUER, ENDPOINT, store=store, http_client=world, subjects="app-7")
        given = {"assertions": assertions, "http_client": world, **options}
        made = module.GlobalRevocationReceiver(given.pop("validator", validator), **given)

        def post(subject: Any = ADA, token: str | None = None, body: Any = None, kind: Any = "application/json") -> Any:
            text = json.dumps({"sub_id": subject}) if body is None else body
            header = "Bearer " + (assertion(world) if token is None else token)
            return api.call(made.receive, text, kind, header)

        post.made = made  # type: ignore[attr-defined]
        return post

    return receiver


def test_all_tokens_of_a_user_end(api: Api, world: World, validator: Any, build: Any, clock: Any) -> None:
    """204 and nothing in it; what the user had is refused, a new login accepted; the application hears of it."""
    heard: list[Any] = []
    done = build(on_revocation=heard.append)()
    assert done.is_successful, done.error
    assert (done.answer.status, done.answer.body) == (204, b"")
    assert [one.subject for one in heard] == [ADA]
    assert heard[0].caller["sub"] == "app-7"
    assert ended(api, world, validator) == ALL_OF_ADA


@pytest.mark.parametrize(
    ("subject", "status"),
    [
        ({"format": "email", "email": "ada@example.com"}, 400),
        ({"format": "opaque", "id": "ada"}, 400),
        ({"format": "iss_sub", "iss": "https://other.example.com", "sub": "ada"}, 404),
        ({"format": "complex", "user": ADA, "device": {"format": "opaque", "id": "d"}}, 204),
        ({"format": "aliases", "identifiers": [{"format": "email", "email": "a@x.de"}, ADA]}, 204),
        ("ada", 400),
        ({}, 400),
        (None, 400),
        ({"format": "iss_sub", "iss": ISSUER}, 400),
    ],
)
def test_subjects_without_a_resolver(
    api: Api, world: World, validator: Any, build: Any, clock: Any, subject: Any, status: int
) -> None:
    """Who is named without doubt is; a kind that is not understood is 400, somebody else's user 404 (C18)."""
    assert build()(subject).answer.status == status
    assert ended(api, world, validator) == (ALL_OF_ADA if status == 204 else set())


def test_subjects_with_a_resolver(api: Api, world: World, validator: Any, build: Any, clock: Any) -> None:
    """The application knows its users by other names; one that it does not know is 404."""
    known = {"ada@example.com": {"sub": "ada"}}
    post = build(resolve_user=lambda subject: known.get(subject.get("email")))
    assert post({"format": "email", "email": "nobody@example.com"}).answer.status == 404
    assert ended(api, world, validator) == set()
    again = assertion(world, jti="a2")
    assert post({"format": "email", "email": "ada@example.com"}, again).answer.status == 204
    assert ended(api, world, validator) == ALL_OF_ADA


def test_whose_tokens_may_be_named(api: Api, world: World, validator: Any, build: Any, clock: Any) -> None:
    """By default a caller ends tokens of its own issuer; others where that was said."""
    other = {"format": "iss_sub", "iss": "https://other.example.com", "sub": "ada"}
    done = build(token_issuers=["https://other.example.com"])(other)
    assert [mark.iss for mark in done.marks] == ["https://other.example.com"]
    assert build(token_issuers="https://other.example.com")(ADA, assertion(world, jti="a2")).answer.status == 404


@pytest.mark.parametrize(
    "token",
    [
        lambda world: assertion(world)[:-4] + "AAAA",
        lambda world: assertion(world, key=SigningKey.generate("ES256", kid="k1")),
        lambda world: assertion(world, aud="https://api.example.com"),
        lambda world: assertion(world, iss="https://evil.example.com"),
        lambda world: assertion(world, exp=NOW - 1),
        lambda world: assertion(world, jti=None),
        lambda world: assertion(world, sub="ada"),
        lambda world: assertion(world, scope="openid"),
        lambda world: assertion(world, typ="secevent+jwt"),
        lambda world: world.token(aud=ENDPOINT, jti="x"),
        lambda world: "opaque",
        lambda world: "",
    ],
)
def test_a_caller_who_is_nobody(api: Api, world: World, validator: Any, build: Any, clock: Any, token: Any) -> None:
    """A forged, foreign, old or confused assertion is 401, before the request is read, and ends nothing (C18)."""
    refused = build()(token=token(world), body=b"[" * 100_000)
    assert refused.answer.status == 401
    assert dict(refused.answer.headers)["WWW-Authenticate"].startswith("Bearer")
    assert ended(api, world, validator) == set()


def test_a_request_sent_again(api: Api, world: World, build: Any, clock: Any) -> None:
    """The assertion of a request serves once: the request cannot be sent again by somebody else (C14)."""
    post = build()
    assert [post().answer.status for _ in range(2)] == [204, 401]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'{"sub_id":{"format":"iss_sub"},"sub_id":{}}', "application/json"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json"),
        (b'{"sub_id":"' + b"x" * 70000 + b'"}', "application/json"),
        (json.dumps({"sub_id": ADA}), "text/plain"),
        (json.dumps({"sub_id": ADA}), None),
        (json.dumps({"subject": ADA}), "application/json"),
    ],
)
def test_a_request_that_is_none(
    api: Api, world: World, validator: Any, build: Any, clock: Any, body: Any, kind: Any
) -> None:
    """400, and nothing ends."""
    assert build()(body=body, kind=kind).answer.status == 400
    assert ended(api, world, validator) == set()


def test_a_caller_of_the_gate(api: Api, world: World, validator: Any, build: Any, clock: Any) -> None:
    """Who was authenticated by the application's own gate needs no assertion; without either it is 401."""
    made = build(assertions=None)(ADA)
    assert made.answer.status == 401
    body = json.dumps({"sub_id": ADA})
    receiver = build(assertions=None).made
    done = api.call(receiver.receive, body, "application/json", caller={"iss": ISSUER, "scope": "revoke"})
    assert done.answer.status == 204
    assert ended(api, world, validator) == ALL_OF_ADA
    none = api.call(receiver.receive, body, "application/json")
    assert dict(none.answer.headers)["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("away", ["publish", "add"])
def test_the_store_is_away(api: Api, world: World, store: Flaky, build: Any, clock: Any, away: str) -> None:
    """What cannot be stored is not promised: 503, with a time to come again."""
    store.away = {away}
    refused = build()()
    assert (refused.answer.status, dict(refused.answer.headers)["Retry-After"]) == (503, "3")


def test_the_application_fails(api: Api, build: Any, clock: Any) -> None:
    """Where sessions of the application's own could not be ended the caller hears of it."""

    def fail(revocation: Any) -> None:
        raise KeyError("secret")

    assert build(on_revocation=fail)().answer.status == 503


def test_how_long_it_counts(api: Api, world: World, validator: Any, build: Any, clock: Any) -> None:
    """The marks end when they were said to."""
    build(revoked_for=100)()
    assert ended(api, world, validator) == ALL_OF_ADA
    clock.advance(100)
    assert ended(api, world, validator) == set()


@pytest.mark.parametrize("wrong", [{"assertions": "x"}, {"revoked_for": 0}, {"token_issuers": [""]}])
def test_a_receiver_that_cannot_be_meant(build: Any, wrong: dict[str, Any]) -> None:
    """No check is turned off by an empty value."""
    with pytest.raises(ConfigurationException):
        build(**wrong)


def test_answers_by_themselves() -> None:
    """The answer tells the class of a failure, and nothing more."""
    errors: list[tuple[PyIdentityModelException, int]] = [
        (TokenValidationException("x"), 401),
        (InsufficientScopeException("x"), 403),
        (TokenValidationException("x", code="event_subject_invalid"), 400),
        (NetworkException("x"), 503),
        (ConfigurationException("x"), 500),
    ]
    assert [build_revocation_answer(error).status for error, _ in errors] == [status for _, status in errors]
    assert all(build_revocation_answer(error).body == b"" for error, _ in errors)
    assert Reply(204).body == b""
