"""Tokens that are simply there: renewed before they expire, once for all who use them, and never lost on the way.

A token is asked for under every parameter of its request (:class:`~.held_tokens.Asking`); each such place is a slot:

========  ==================================  ==========  ============================================================
state     when                                next        what a caller gets
========  ==================================  ==========  ============================================================
empty     nothing was asked for yet           renewing    waits
fresh     up to the first window              first       the token, without a lock
first     from 70 to 80 % of its life, or     renewing    the one who comes first renews and waits a moment; the
          where the provider says                         others get the token
second    the last 10 % of its life, at       renewing    all wait for the renewal, a moment; then the token, which is
          most 30 s                                       still good
expired   its life is over, or a resource     renewing    all wait; what it fails with is told to all
          refused it
renewing  one flight is under way             fresh       as in the state before
failed    the last renewal failed             renewing    the token while it is good, else the failure; nobody asks
                                                          until a pause is over that doubles, with jitter
========  ==================================  ==========  ============================================================

Both windows begin at a moment of each process's own, within bounds, so that many processes do not act at once. A token
whose provider does not say how long it lives is renewed after an hour, and never counts as expired by itself.

The manager decides and never waits, fetches or reads a clock; :func:`token_from` is the flow. Renewing is done in the
background (:mod:`.token_renewal`): a caller that is cancelled must not take along a refresh token that is under way.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from ...exceptions import ConfigurationException, NetworkException, PyIdentityModelException
from ..base.flow import IMPATIENT, Clock, Flow, background, now, sleep, wait
from ..base.fork_lock import Guard
from ..base.secret import same_text
from ..cache.entry import copied
from .held_tokens import AccessToken, Asking, Kept
from .token_errors import LoginRequired, TokenUnavailable
from .token_renewal import Have, Renewal, jittered, look, renewed

#: Seconds that a caller with a good token waits for a newer one.
GRACE: Final = 5.0
#: Where the first window begins, as a share of a token's life, and how much earlier at most.
FIRST, FIRST_SPREAD = 0.8, 0.1
#: How long the second window is: a share of a token's life, and seconds at most.
SECOND, SECOND_LONGEST = 0.1, 30.0
#: Seconds after which a token of unknown life is renewed.
ASSUMED_LIFE: Final = 3600.0
#: Seconds to the next attempt after a failure: doubled each time, up to the longest.
PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Seconds that a token which was renewed because a resource refused its forerunner is not renewed for that again.
TRUSTED_FOR: Final = 10.0
#: Seconds between two looks where the driver cannot wait for a future.
LOOK_EVERY: Final = 0.02

_NEVER = Clock(math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class AtHand:
    """A token in memory, and until when it is in which state, on both clocks: whichever is past counts."""

    kept: Kept
    token: AccessToken
    fresh: Clock
    calm: Clock
    good: Clock

    def is_good(self, clock: Clock) -> bool:
        """Tell whether the token has not expired."""
        return clock.wall < self.good.wall and clock.steady < self.good.steady

    def is_calm(self, clock: Clock) -> bool:
        """Tell whether the second window has not begun."""
        return clock.wall < self.calm.wall and clock.steady < self.calm.steady

    def is_fresh(self, clock: Clock) -> bool:
        """Tell whether the first window has not begun."""
        return clock.wall < self.fresh.wall and clock.steady < self.fresh.steady


def at_hand(kept: Kept, clock: Clock) -> AtHand:
    """Return a token with its windows, which begin at a moment of this process's own."""
    age = max(0.0, clock.wall - kept.obtained_at)

    def after(seconds: float) -> Clock:
        return Clock(kept.obtained_at + seconds, clock.steady + seconds - age)

    token = AccessToken(kept.access_token, kept.token_type, kept.expires_at, kept.scope)
    life = ASSUMED_LIFE if kept.expires_at is None else max(0.0, kept.expires_at - kept.obtained_at)
    asked = life if kept.renew_at is None else min(life, max(0.0, kept.renew_at - kept.obtained_at))
    first = asked * FIRST if kept.renew_at is None else asked
    first -= first * jittered(FIRST_SPREAD / 2, 1.0)
    second = jittered(min(life * SECOND, SECOND_LONGEST) * 0.75, 1 / 3)
    if kept.expires_at is None:
        return AtHand(kept, token, after(first), _NEVER, _NEVER)
    return AtHand(kept, token, after(min(first, life - second)), after(life - second), after(life))


class Flight:
    """One renewal under way, and those who wait for it."""

    __slots__ = ("expires", "future", "slot")

    def __init__(self, slot: Slot, expires: float) -> None:
        self.slot = slot
        self.future: Future[Any] = Future()
        self.expires = expires


class Slot:
    """One place for a token."""

    __slots__ = ("__weakref__", "asking", "at_hand", "failure", "failures", "flight", "not_before", "renewed_for")

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.at_hand: AtHand | None = None
        self.flight: Flight | None = None
        self.failure: PyIdentityModelException | None = None
        self.failures = 0
        #: When a renewal may be tried again, on the steady clock.
        self.not_before = -math.inf
        #: The last token that was fetched because another one had been refused.
        self.renewed_for: str | None = None

    def __repr__(self) -> str:
        return f"Slot({self.asking!r})"


class Use(NamedTuple):
    """Take this token."""

    token: AccessToken


class Lead(NamedTuple):
    """Renew, and wait like all others."""

    flight: Flight
    fallback: AtHand | None


class Follow(NamedTuple):
    """Wait for the renewal of another caller; take *fallback* if it takes too long."""

    flight: Flight
    fallback: AtHand | None


class Refuse(NamedTuple):
    """There is no token, and it is too early to ask again."""

    error: PyIdentityModelException


Answer = Use | Lead | Follow | Refuse


class TokenManager:
    """Decides who renews what. Any thread and any event loop may use it.

    Args:
        max_tokens: Slots at most; the one asked for longest ago goes first.
    """

    def __init__(self, max_tokens: int = 4096) -> None:
        self._max_tokens = max_tokens
        self._lock = Guard(self._after_fork)
        self._slots: OrderedDict[Asking, Slot] = OrderedDict()
        #: All that somebody still has, those that went from memory included.
        self._every: WeakValueDictionary[Asking, Slot] = WeakValueDictionary()
        #: See :class:`~.token_renewal.Renewal`.
        self.unsaved: dict[str, tuple[bytes | None, bytes]] = {}

    def __repr__(self) -> str:
        return f"TokenManager({len(self._slots)} of at most {self._max_tokens} tokens)"

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, asking: Asking) -> Slot:
        """Return the place of a token."""
        with self._lock:
            slot = self._every.get(asking)
            if slot is None:
                slot = self._every[asking] = Slot(asking)
            self._slots[asking] = slot
            self._slots.move_to_end(asking)
            if len(self._slots) > self._max_tokens:
                self._slots.popitem(last=False)  # who still waits for it has it in hand
            return slot

    def put(self, slot: Slot, kept: Kept, clock: Clock) -> None:
        """Use a token that came by another way than a renewal, such as a login."""
        with self._lock:
            self._settled(slot, at_hand(kept, clock))

    def forget(self, entry: str) -> None:
        """Forget all tokens of one entry of the store."""
        with self._lock:
            for slot in list(self._every.values()):
                if slot.asking.entry == entry:
                    slot.at_hand = slot.failure = slot.renewed_for = None
                    slot.not_before = -math.inf
            self.unsaved.pop(entry, None)

    # ---- decisions

    def since(self, slot: Slot, clock: Clock, refused: str | None) -> AccessToken | None:
        """Return the good token that came while a caller was slow to hear how its renewal ended."""
        have = slot.at_hand
        if have is None or not have.is_good(clock) or _same(have.token.access_token, refused):
            return None
        return have.token

    def claim(self, slot: Slot, clock: Clock, refused: str | None, seconds: float) -> Answer:
        """Say what a caller does.

        Args:
            slot: The place.
            clock: The time.
            refused: The token that a resource refused.
            seconds: How long a renewal may take.
        """
        with self._lock:
            have = slot.at_hand
            if have is not None and not (have.is_good(clock) and not _same(have.token.access_token, refused)):
                if _same(refused, slot.renewed_for) and self._is_trusted(have, clock):
                    return Use(have.token)
                have = None
            if have is not None and have.is_fresh(clock):
                return Use(have.token)
            return self._past_fresh(slot, have, clock, seconds)

    @staticmethod
    def _is_trusted(have: AtHand, clock: Clock) -> bool:
        # A resource that refuses everything costs a renewal now and then, not one for each request.
        return have.is_good(clock) and clock.wall < have.kept.obtained_at + TRUSTED_FOR

    def _past_fresh(self, slot: Slot, have: AtHand | None, clock: Clock, seconds: float) -> Answer:
        flight = slot.flight
        if flight is not None and clock.steady < flight.expires:
            return Use(have.token) if have is not None and have.is_calm(clock) else Follow(flight, have)
        if clock.steady < slot.not_before:
            if have is not None:
                return Use(have.token)
            if slot.failure is not None:
                return Refuse(copied(slot.failure, slot.not_before - clock.steady))
        slot.flight = flight = Flight(slot, clock.steady + seconds)
        return Lead(flight, have)

    def land(self, flight: Flight, kept: Kept | None, clock: Clock, *, refused: str | None = None) -> None:
        """End a flight with a token; None where another process is about to bring it."""
        with self._lock:
            slot = flight.slot
            if kept is not None:
                self._settled(slot, at_hand(kept, clock))
                slot.renewed_for = kept.access_token if refused is not None else None
            else:
                slot.not_before = clock.steady + jittered(PAUSE)
            outcome = slot.at_hand
        self._end(flight, outcome)

    def crash(self, flight: Flight, error: PyIdentityModelException, clock: Clock) -> None:
        """End a flight that failed."""
        with self._lock:
            slot = flight.slot
            slot.failure, slot.failures = copied(error), slot.failures + 1
            pause = jittered(min(PAUSE * 2 ** min(slot.failures - 1, 8), LONGEST_PAUSE))
            asked = error.retry_after if isinstance(error, NetworkException) else None
            slot.not_before = clock.steady + max(pause, asked or 0.0)
            # What the caller can mend, or a login elsewhere, is looked at each time; a good token is used meanwhile.
            if isinstance(error, ConfigurationException | LoginRequired):
                slot.failure = None
        self._end(flight, error)

    def abandon(self, flight: Flight) -> None:
        """End a flight whose leader went away: the next caller leads."""
        self._end(flight, None)

    @staticmethod
    def _settled(slot: Slot, token: AtHand) -> None:
        slot.at_hand, slot.failure, slot.failures, slot.not_before = token, None, 0, -math.inf

    def _end(self, flight: Flight, outcome: object) -> None:
        with self._lock:
            if flight.slot.flight is flight:
                flight.slot.flight = None
            if flight.future.done():
                return
        flight.future.set_result(outcome)

    def _after_fork(self) -> None:
        """Forget renewals of threads that a forked child does not have."""
        for slot in list(self._every.values()):
            slot.flight = None


# ---------------------------------------------------------------------------------------------------------------------
# The flow


def token_from(manager: TokenManager, slot: Slot, renewal: Renewal, refused: str | None = None) -> Flow[AccessToken]:
    """Return a token that may be used now.

    Args:
        manager: Who decides.
        slot: The place of the token.
        renewal: How it is renewed.
        refused: The token that a resource refused: another one is wanted.

    Raises:
        LoginRequired: There is no login, or it is over.
        TokenUnavailable: The provider, or the store, is away.
        PyIdentityModelException: Whatever else the provider refused the request for.
    """
    clock = yield from now()
    until, here = clock.steady + renewal.longest, False
    while clock.steady < until:
        answer = manager.claim(slot, clock, refused, renewal.longest)
        if isinstance(answer, Use):
            return answer.token
        if isinstance(answer, Refuse):
            raise answer.error
        if isinstance(answer, Lead):
            yield from _begin(manager, answer, renewal, refused, here=here)
        outcome = yield from _outcome(answer.flight.future, min(until - clock.steady, _patience(answer.fallback)))
        here = outcome is None  # no thread or task was to be had, as at the end of a program
        clock = yield from now()
        token = _taken(outcome, answer.fallback, clock) or manager.since(slot, clock, refused)
        if token is not None:
            return token
        if isinstance(outcome, PyIdentityModelException):
            raise copied(outcome) from outcome.__cause__
    raise TokenUnavailable("The token was not renewed in time", code="token_renewal_slow", retry_after=PAUSE)


def _patience(fallback: AtHand | None) -> float:
    return math.inf if fallback is None else GRACE


def _taken(outcome: object, fallback: AtHand | None, clock: Clock) -> AccessToken | None:
    """Return the token that a flight brought, or the one there was."""
    if isinstance(outcome, AtHand) and outcome.is_good(clock):
        return outcome.token
    if fallback is not None and fallback.is_good(clock):
        return fallback.token
    return None


def _outcome(future: Future[Any], seconds: float) -> Flow[object]:
    until = (yield from now()).steady + seconds
    outcome = yield from wait(future, seconds)
    while outcome is IMPATIENT and (yield from now()).steady < until:
        # The blocking API under a running event loop: its driver does not wait for what may be a task of that loop.
        yield from sleep(LOOK_EVERY)
        outcome = yield from wait(future, 0.0)
    return outcome


def _begin(
    manager: TokenManager, lead: Lead, renewal: Renewal, refused: str | None, *, here: bool = False
) -> Flow[None]:
    """Look into the store here; go to the provider in the background, unless that goes *here* only."""
    flight, have = lead.flight, _have(lead.flight.slot, refused)
    patient = lead.fallback is None or not lead.fallback.is_calm((yield from now()))
    try:
        found = yield from look(renewal, have)
        if found is not None:
            manager.land(flight, found, (yield from now()), refused=refused)
            return
        if here:
            yield from _fly(manager, flight, renewal, have, patient)
            return
        yield from background(lambda: _fly(manager, flight, renewal, have, patient))
    except PyIdentityModelException as error:
        manager.crash(flight, error, (yield from now()))
    except BaseException:  # cancelled, told to exit, or no thread to be had: no flight may outlive that
        manager.abandon(flight)
        raise


def _have(slot: Slot, refused: str | None) -> Have:
    return Have(None if slot.at_hand is None else slot.at_hand.kept, refused)


def _fly(manager: TokenManager, flight: Flight, renewal: Renewal, have: Have, patient: bool) -> Flow[None]:
    try:
        kept = yield from renewed(renewal, have, patient=patient)
        manager.land(flight, kept, (yield from now()), refused=have.refused)
    except PyIdentityModelException as error:
        manager.crash(flight, _told(error), (yield from now()))
    except Exception as error:  # code of the caller, such as a transport: whatever it is, who waits must hear of it
        told = TokenUnavailable(f"The renewal failed with {type(error).__name__}", code="token_renewal_failed")
        manager.crash(flight, told, (yield from now()))
    finally:
        manager.abandon(flight)  # only a flight that was cancelled is still under way here


def _told(error: PyIdentityModelException) -> PyIdentityModelException:
    """Return what callers are told: that the provider is away is one thing, whatever it failed with."""
    if isinstance(error, TokenUnavailable) or not isinstance(error, NetworkException) or _is_refusal(error):
        return error
    told = TokenUnavailable(f"The provider gave no token: {error.message}", error.url, error.status_code)
    told.retry_after, told.__cause__ = error.retry_after, copied(error)
    return told


def _is_refusal(error: NetworkException) -> bool:
    status = error.status_code or 0
    return getattr(error, "error", None) is not None and 400 <= status < 500 and status != 429


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and same_text(one, other)


__all__ = [
    "AtHand",
    "Follow",
    "Lead",
    "Refuse",
    "Slot",
    "TokenManager",
    "Use",
    "at_hand",
    "token_from",
]
