"""What verified under an issuer's present keys is remembered, and forgotten with them."""

from __future__ import annotations

import pytest

from py_identity_model._core.discovery.trust import StaticKeys, Trust
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import PreparedKey, import_key, prepare
from py_identity_model._core.validation.claim_checks import ClaimPolicy
from py_identity_model._core.validation.engine import PureEngine
from py_identity_model._core.validation.issuer_trust import IssuerTrust
from py_identity_model._core.validation.token_kinds import ACCESS_TOKEN

NO_KEYS = KeySet(())
JWK = SigningKey.generate("ES256").public_jwk


def trust(entry: object, issuer: str | None = "https://a.example") -> Trust:
    return Trust(entry, NO_KEYS, issuer)


def key(issuer: str | None = None) -> PreparedKey:
    return prepare(import_key({**JWK, **({"issuer": issuer} if issuer else {})}), "ES256")


def issuer_trust(issuers: frozenset[str] | None = None, check_issuer: bool = True) -> IssuerTrust:
    policy = ClaimPolicy(ACCESS_TOKEN, frozenset({"api"}), check_issuer=check_issuer)
    return IssuerTrust(StaticKeys(NO_KEYS, ("ES256",)), policy, None, PureEngine(), issuers)


def test_a_snapshot_lasts_as_long_as_its_keys() -> None:
    """The same keys of the same issuer have one snapshot; other keys, or another issuer, begin anew."""
    trusted, one, two = issuer_trust(), object(), object()
    first = trusted.take(trust(one))
    assert trusted.take(trust(one)) is first
    second = trusted.take(trust(two))
    assert second is not first
    third = trusted.take(trust(two, "https://b.example"))
    assert third is not second
    assert (first.issuers, third.issuers) == ({"https://a.example"}, {"https://b.example"})


def test_a_header_that_verified_is_remembered() -> None:
    """The snapshot that follows has the header and its key, beside those from before; the same one changes nothing."""
    trusted, one, two = issuer_trust(), key(), key()
    trusted.remember(trusted.take(trust("keys")), "h1", one)
    trusted.remember(trusted.take(trust("keys")), "h2", two)
    known = trusted.take(trust("keys"))
    assert known.table == {"h1": one, "h2": two}
    trusted.remember(known, "h1", two)
    assert trusted.take(trust("keys")) is known


def test_64_headers_are_remembered() -> None:
    """An issuer that varies its headers fills 64 places, and no more."""
    trusted = issuer_trust()
    for number in range(70):
        trusted.remember(trusted.take(trust("keys")), f"h{number}", key())
    assert list(trusted.take(trust("keys")).table) == [f"h{number}" for number in range(64)]


def test_what_verified_under_former_keys_is_not_remembered() -> None:
    """A signature that was checked while the keys changed brings no key of before into the snapshot of today."""
    trusted = issuer_trust()
    before = trusted.take(trust("keys"))
    today = trusted.take(trust("newer keys"))
    trusted.remember(before, "h1", key())
    assert trusted.take(trust("newer keys")) is today
    assert (before.table, today.table) == ({}, {})


A, B = "https://a.example", "https://b.example"


@pytest.mark.parametrize(
    ("issuers", "named", "remembered"),
    [
        ({A}, None, True),
        ({A, B}, None, True),
        (None, None, True),
        ({A}, A, True),
        ({A}, B, False),
        ({A, B}, A, False),
        ({f"{A}/x", f"{B}/x"}, "https://a.example/{name}", False),
        ({f"{A}/x", f"{A}/y"}, "https://a.example/{name}", True),
        (None, A, False),
        (None, "https://{name}.example", False),
    ],
)
def test_a_key_that_names_its_issuer_is_remembered_for_that_one(
    issuers: set[str] | None, named: str | None, remembered: bool
) -> None:
    """A key of a shared set is asked about every token, unless it signs for all whose tokens are accepted."""
    trusted = issuer_trust(frozenset(issuers) if issuers else None, check_issuer=issuers is not None)
    trusted.remember(trusted.take(trust("keys")), "h1", key(named))
    assert ("h1" in trusted.take(trust("keys")).table) is remembered


def test_without_a_name_no_issuer_is_accepted() -> None:
    """Metadata that names no issuer leaves none to accept; only who gives the check up by name goes without."""
    assert issuer_trust().accepted(trust("keys", None)) == frozenset()
    assert issuer_trust(frozenset({A})).accepted(trust("keys", B)) == {A}
    assert issuer_trust(check_issuer=False).accepted(trust("keys")) is None


def test_what_an_issuer_signs_beside_tokens() -> None:
    """Other rules hold for it, under the same keys of the same sets, which keep their names."""
    first, second = issuer_trust(frozenset({A})), issuer_trust(frozenset({A}))
    first.name, second.name, first.others = "old", "new", (second,)
    policy = ClaimPolicy(ACCESS_TOKEN, frozenset({"other"}))
    signing = first.signing(policy)
    assert [(one.name, one.source) for one in signing.sets] == [("old", first.source), ("new", second.source)]
    assert all(one.policy is policy and one.issuers is None and one.snapshot is None for one in signing.sets)
