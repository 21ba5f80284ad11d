"""Which key made a signature: when newer keys are asked for, how often, and when those that moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from py_identity_model._core.base.flow import Clock, Flow
from py_identity_model._core.discovery.trust import StaticKeys, Trust
from py_identity_model._core.jose.jws import CompactJws, parse_compact, sign_compact
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key
from py_identity_model._core.validation.claim_checks import ClaimPolicy
from py_identity_model._core.validation.engine import PureEngine
from py_identity_model._core.validation.issuer_trust import IssuerTrust
from py_identity_model._core.validation.signatures import Presented, check_alg, verified_by_newer
from py_identity_model._core.validation.token_kinds import ACCESS_TOKEN
from py_identity_model.exceptions import (
    SignatureVerificationException,
    TokenValidationException,
    UnknownKeyException,
)

WALL, CAME = 1_800_000_000.0, 100.0
ISSUER = "https://a.example"
CLAIMS = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": int(WALL), "exp": int(WALL) + 60}
OLD, NEW, FORGED = (SigningKey.generate("ES256", kid=kid) for kid in ("old", "new", "old"))


def key_set(*keys: SigningKey) -> KeySet:
    return KeySet(tuple(import_key(key.public_jwk or {}) for key in keys))


def fetched(at: float, *keys: SigningKey) -> Trust:
    """Return keys whose fetch began at a moment; the token came at 100."""
    return Trust(object(), key_set(*keys), ISSUER, at)


class Provider(StaticKeys):
    """Keys that come as they are scripted, and a record of what was asked for."""

    refreshable = True

    def __init__(self, newer: list[Trust | None], moved: Trust | None = None) -> None:
        super().__init__(key_set(OLD), ("ES256",), ISSUER)
        self.script, self.elsewhere = newer, moved
        self.asked: list[Any] = []

    def newer(self, trust: Trust, *, patient: bool, login: bool = False) -> Flow[Trust | None]:
        """Return the next of the script."""
        yield from ()
        self.asked.append((patient, login))
        return self.script.pop(0)

    def moved(self) -> Flow[Trust | None]:
        """Return what is elsewhere."""
        yield from ()
        self.asked.append("moved")
        return self.elsewhere


def presented(signer: SigningKey = NEW, **facts: Any) -> Presented:
    return Presented(parse_compact(sign_compact(CLAIMS, signer)), dict(CLAIMS), Clock(WALL, CAME), **facts)


def found(provider: Provider, token: Presented) -> str | None:
    """Return the name of the key that verified a token which none of the keys at hand did."""
    policy = ClaimPolicy(ACCESS_TOKEN, frozenset({"api"}))
    trusted = IssuerTrust(provider, policy, None, PureEngine(), frozenset({ISSUER}))
    ready = provider.ready(CAME)
    assert ready is not None
    with pytest.raises(StopIteration) as stop:
        next(verified_by_newer(trusted, trusted.take(ready), token))
    return stop.value.value.key.kid  # type: ignore[no-any-return]


@pytest.mark.parametrize("at", [99.0, 100.0])
def test_keys_that_were_asked_for_before_the_token_came_are_no_answer(at: float) -> None:
    """Its key may have been published since: they are asked for a second time."""
    provider = Provider([fetched(at, OLD), fetched(101.0, OLD, NEW)])
    assert found(provider, presented()) == "new"
    assert provider.asked == [(True, False)] * 2


def test_a_key_that_came_with_the_first_keys_ends_the_search() -> None:
    """Neither a second time is asked, nor whether the keys have moved."""
    provider = Provider([fetched(99.0, OLD, NEW)])
    assert found(provider, presented()) == "new"
    assert provider.asked == [(True, False)]


@pytest.mark.parametrize(
    ("newer", "times"),
    [([fetched(101.0, OLD)], 1), ([fetched(98.0, OLD), fetched(99.0, OLD)], 2), ([None], 1)],
    ids=["later", "both-before", "not-permitted"],
)
def test_a_key_that_nobody_has_yet(newer: list[Trust | None], times: int) -> None:
    """It is looked for elsewhere after one look that began since, after two in all, or where none is permitted."""
    provider = Provider([*newer, *[fetched(99.5, OLD)] * 3], moved=fetched(102.0, NEW))
    assert found(provider, presented()) == "new"
    assert provider.asked == [(True, False)] * times + ["moved"]


def test_a_bad_signature_under_a_known_name() -> None:
    """New keys are asked for without patience, for a forger can do that; and a key that is there has not moved."""
    provider = Provider([fetched(101.0, OLD)], moved=fetched(102.0, FORGED))
    with pytest.raises(SignatureVerificationException) as caught:
        found(provider, presented(FORGED))
    assert caught.value.code == "signature_invalid"
    assert provider.asked == [(False, False)]


def test_a_name_that_another_set_of_the_issuer_has() -> None:
    """Newer keys of this one are asked for without patience; a login waits longer, where it waits."""
    provider = Provider([fetched(101.0, NEW)])
    assert found(provider, presented(named=True, login=True)) == "new"
    assert provider.asked == [(False, True)]


@pytest.mark.parametrize(("settled_after", "asked"), [(0, []), (1, [(True, False)])])
def test_a_search_that_another_set_has_ended(settled_after: int, asked: list[Any]) -> None:
    """From then on nothing is asked for any more."""
    provider = Provider([fetched(98.0, OLD)] * 2, moved=fetched(102.0, NEW))
    settled: Callable[[], bool] = lambda: len(provider.asked) >= settled_after  # noqa: E731 # one line, used twice
    with pytest.raises(UnknownKeyException):
        found(provider, presented(is_settled=settled))
    assert provider.asked == asked


@pytest.mark.parametrize(
    ("alg", "id_token", "hint"),
    [
        ("HS256", False, "symmetric algorithms need an explicit secret"),
        ("RS256", False, "if the provider is to sign with it: algorithms=['RS256']"),
        (
            "RS256",
            True,
            "if the provider is to sign with it: algorithms=['RS256'], LoginClient(id_token_signed_response_alg='RS256')",  # noqa: E501 # as it is said
        ),
        ("none", False, None),
        ("XS256", True, None),
    ],
)
def test_what_an_algorithm_that_is_not_allowed_is_told_with(alg: str, id_token: bool, hint: str | None) -> None:
    """The hint names what would allow it, where anything safe would."""
    trusted = IssuerTrust(Provider([]), ClaimPolicy(ACCESS_TOKEN, None), None, PureEngine(), None)
    jws = CompactJws({"alg": alg}, b"", b"", b"", "")
    token = Presented(jws, {}, Clock(WALL, CAME), **({"id_token": True} if id_token else {}))
    with pytest.raises(TokenValidationException) as caught:
        check_alg(trusted, token)
    assert (caught.value.code, caught.value.expected, caught.value.hint) == ("alg_not_allowed", "ES256", hint)
