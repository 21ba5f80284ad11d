"""Which key made a token's signature, where the issuer has several key sets."""

from __future__ import annotations

from collections.abc import Mapping

from ..base.budget import FACTOR, within_budget
from ..base.first_good import Attempt, first_good
from ..base.flow import ExchangeTimeout, Flow
from ..jose.verification_keys import PreparedKey
from .issuer_trust import IssuerTrust, TrustSnapshot
from .key_sets import Heard, late, unverified, waiting
from .signatures import (
    Presented,
    candidates,
    check_alg,
    check_beforehand,
    check_issuer,
    signer,
    verified,
    verified_by_newer,
)


def verified_by_any(trusted: IssuerTrust, token: Presented) -> Flow[PreparedKey]:
    """Return the key that made the signature, out of any of the issuer's key sets.

    Keys at hand come first: a token of a set that is healthy waits for no other. Then all sets are asked at the same
    time, each under its own rules and within its own budget.

    Raises:
        TokenValidationException: None of the issuer's keys did.
        NetworkException: A set that may have the key cannot be asked right now.
    """
    check_alg(trusted, token)
    ready = {
        one: one.take(trust) for one in trusted.sets if (trust := one.source.ready(token.clock.steady)) is not None
    }
    token = token._replace(named=any(candidates(one, ready[one], token).named for one in ready))
    for one, snapshot in ready.items():
        check_issuer(snapshot.issuers, token.claims)
        key = signer(one, snapshot, candidates(one, snapshot, token), token)
        if key is not None:
            one.source.vouch()
            return key
    if trusted.places is not None and len(ready) == len(trusted.sets):
        trusted.places.filled()
    check_beforehand(trusted, token)
    return (yield from _verified_by_asked(trusted, ready, token))


def _verified_by_asked(
    trusted: IssuerTrust, ready: Mapping[IssuerTrust, TrustSnapshot], token: Presented
) -> Flow[PreparedKey]:
    steady, sets = token.clock.steady, trusted.sets
    end = steady + FACTOR * (yield ExchangeTimeout())
    empty = {one for one in sets if one not in ready and not one.source.holds(steady)}
    with waiting(trusted.places if 0 < len(empty) < len(sets) else None, steady, end) as soon:
        attempts = []
        for one in sets:
            until = soon if one in empty else end
            attempts.append(Attempt(_asked(one, ready.get(one), token), until, late(crowded=until < end)))
        first = yield from first_good(attempts)
    if first.value is not None:
        return first.value
    heard = [_heard(one, error, token) for one, error in zip(sets, first.errors, strict=True)]
    raise unverified(heard, token.jws.header.get("kid"))


def _asked(one: IssuerTrust, snapshot: TrustSnapshot | None, token: Presented) -> Flow[PreparedKey]:
    flow = verified(one, token) if snapshot is None else verified_by_newer(one, snapshot, token)
    return within_budget(flow, token.clock.steady)


def _heard(one: IssuerTrust, error: Exception, token: Presented) -> Heard:
    named = one.snapshot is not None and candidates(one, one.snapshot, token).named
    return Heard(one.name or "", named, error)


__all__ = ["verified_by_any"]
