"""Refusals that are about keys: none fits, another issuer's does, or more fit than are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...exceptions import (
    InvalidIssuerException,
    SignatureVerificationException,
    UnknownKeyException,
    printable,
)
from ...observability import WARNING, emit
from ..base.flow import Clock
from ..discovery.trust import KeySource, Trust
from ..jose.jws import CompactJws
from ..jose.key_set import Candidates, KeySet
from .claim_checks import Claims


def no_key(
    found: Candidates, source: KeySource, trust: Trust, jws: CompactJws, clock: Clock
) -> SignatureVerificationException:
    """Return the refusal of a token whose signature is good under none of the keys that were *found* to be tried."""
    if not found.keys:
        return _unknown_key(source, trust.key_set, jws, clock)
    tried = len(found.keys)
    if found.fitting > tried and not found.named:
        emit("key_ambiguous", WARNING, issuer=printable(trust.issuer), fitting=found.fitting, tried=tried)
        return SignatureVerificationException(
            f"{found.fitting} keys of the issuer fit the token, which names none; the first {tried} did not sign it",
            details={"fitting": found.fitting, "tried": tried},
            code="key_ambiguous",
            claim="kid",
            expected=f"at most {tried} keys that fit",
            actual=found.fitting,
            hint="the provider should name the key in each token, by a kid that no other key has",
        )
    return SignatureVerificationException(
        f"The signature is not good under {_counted(tried)} that may have made it",
        details={"fitting": found.fitting, "tried": tried},
        claim="alg",
        expected="a signature by the issuer",
        actual="another",
        hint="the token was changed on its way, or another issuer made it",
    )


def foreign_key(foreign: Sequence[str], claims: Claims) -> InvalidIssuerException:
    """Return the refusal of a token whose key signs for *foreign* issuers only."""
    actual = printable(claims.get("iss"))
    return InvalidIssuerException(
        f"The key that the token names signs for {printable(foreign[0])!r}, not for {actual!r}",
        code="key_issuer_mismatch",
        claim="iss",
        expected=printable(foreign[0]),
        actual=actual,
        hint="tenants share the key set, and each key in it names its issuer: this token is not by its own",
    )


def _counted(tried: int) -> str:
    return "the key" if tried == 1 else f"any of the {tried} keys"


def _unknown_key(source: KeySource, key_set: KeySet, jws: CompactJws, clock: Clock) -> UnknownKeyException:
    kid = jws.header.get("kid")
    named = f"the key {printable(kid)!r}" if kid is not None else "a key"
    facts: dict[str, Any] = {"keys": len(key_set.keys), **source.facts(clock.steady)}
    skipped = next((reason for name, reason in key_set.skipped if kid is not None and name == kid), None)
    hint = f"the set holds it, but it cannot be used: {skipped}" if skipped else None
    if hint is None and facts.get("retry_after"):
        hint = f"the next look at the provider's keys is allowed in {facts['retry_after']:.1f} s"
    age = f", {max(0.0, facts['age']):.0f} s old" if "age" in facts else ""
    return UnknownKeyException(
        f"Expected {named} for {jws.header['alg']} in the issuer's set; it has {len(key_set.keys)} keys{age}",
        facts,
        claim="kid",
        expected="a key of the issuer",
        actual=printable(kid) if kid is not None else "absent",
        hint=hint,
    )


__all__ = ["foreign_key", "no_key"]
