"""Which key made a token's signature, where the issuer has several key sets."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing
from typing import Final

from ..base.budget import FACTOR, within_budget
from ..base.first_good import Attempt, first_good
from ..base.flow import ExchangeTimeout, Flow, wait
from ..base.fork_lock import Guard
from ..jose.verification_keys import PreparedKey
from .asked_key_sets import Heard, late, unverified, waiting
from .issuer_trust import IssuerTrust, TrustSnapshot
from .signatures import (
    Presented,
    candidates,
    check_alg,
    check_beforehand,
    check_issuer,
    signer,
    tried,
    verified_by_newer,
)

#: Seconds that sets which were not looked into yet have, before newer keys of the others are asked for.
HEAD_START: Final = 0.25


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
    search = _Search(len(sets) - len(ready))
    token = token._replace(is_settled=search.is_settled)
    with waiting(trusted.places if 0 < len(empty) < len(sets) else None, steady, end) as soon, closing(search):
        attempts = []
        for one in sets:
            until = soon if one in empty else end
            flow = within_budget(_asked(one, ready.get(one), token, search), steady)
            attempts.append(Attempt(flow, until, late(crowded=until < end)))
        first = yield from first_good(attempts)
    if first.value is not None:
        return first.value
    heard = [_heard(one, error, token) for one, error in zip(sets, first.errors, strict=True)]
    raise unverified(heard, token.jws.header.get("kid"))


def _asked(one: IssuerTrust, snapshot: TrustSnapshot | None, token: Presented, search: _Search) -> Flow[PreparedKey]:
    key = None
    if snapshot is None:
        try:
            snapshot, key = yield from tried(one, token)
        finally:
            search.looked(found=key is not None)
    if key is None:
        # Another set may be about to bring the key: newer ones are asked for if it does not, or takes its time.
        yield from wait(search.first_look, HEAD_START)
        key = yield from verified_by_newer(one, snapshot, token)
    one.source.vouch()
    return key


class _Search:
    """What the flows of one token know of each other, of which some may run on in the background.

    Args:
        left: Key sets that were not looked into yet.
    """

    def __init__(self, left: int) -> None:
        #: Resolves when all key sets have been looked into once, or when there is nothing to be looked for any more.
        self.first_look: Future[None] = Future()
        self.first_look.set_running_or_notify_cancel()
        self._left = left
        self._settled = False
        self._lock = Guard()
        self._open()

    def looked(self, *, found: bool) -> None:
        """Note that one more set was looked into."""
        with self._lock:
            self._left -= 1
            self._settled = self._settled or found
        self._open()

    def is_settled(self) -> bool:
        """Tell whether there is nothing to be looked for any more."""
        return self._settled

    def close(self) -> None:
        """Have those that still run look no further."""
        self._settled = True
        self._open()

    def _open(self) -> None:
        with self._lock:
            if (self._settled or self._left <= 0) and not self.first_look.done():
                self.first_look.set_result(None)


def _heard(one: IssuerTrust, error: Exception, token: Presented) -> Heard:
    named = one.snapshot is not None and candidates(one, one.snapshot, token).named
    return Heard(one.name or "", named, error)


__all__ = ["verified_by_any"]
