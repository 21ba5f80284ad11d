"""One key of the cache: its entry, the fetch under way, the outage, the ration of forced refreshes.

What may be used of a key, and what changes that:

========  ==============================  ========
state     event                           becomes
========  ==============================  ========
absent    a fetch succeeds                fresh
absent    a fetch fails                   failing
fresh     a fetch succeeds                fresh
fresh     a fetch fails                   fresh
fresh     its freshness ends              stale
fresh     it is removed                   absent
stale     a fetch succeeds                fresh
stale     a fetch fails                   stale
stale     its use ends                    absent
stale     its use ends after a failure    failing
stale     it is removed                   absent
failing   a fetch succeeds                fresh
failing   a fetch fails                   failing
failing   it is removed                   absent
========  ==============================  ========

Whether a fetch is under way is told by the lease, which is apart from that:

========  ===================  ========
lease     event                becomes
========  ===================  ========
free      a caller claims      led
led       another one claims   led
led       it is settled        free
led       it fails             free
led       it is abandoned      free
led       its time is over     free
========  ===================  ========

What always holds: an entry is replaced by a later fetch only, whole and in one step, and never by a failure; there is
one lease at most; ``ready`` lets nobody use an entry longer than the entry itself may be used.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ...exceptions import ConfigurationException, NetworkException, PyIdentityModelException

T = TypeVar("T")

#: Forced refreshes of one key that are allowed at once, before the cooldown rations them.
BURST: Final = 2
#: Seconds per forced refresh after the burst, where the caller names none.
COOLDOWN: Final = 5.0
#: Seconds a caller gives a young refresh before it takes an entry past ``stale_while_revalidate``.
GRACE: Final = 1.0
#: The share of its freshness after which an entry is refreshed ahead.
REFRESH_AHEAD: Final = 0.8
#: First pause after a failure; doubled with each further one up to the longest, then up to a quarter longer by jitter.
FIRST_BACK_OFF: Final = 0.5
LONGEST_BACK_OFF: Final = 24.0
#: A provider's ``Retry-After`` is obeyed up to here.
LONGEST_RETRY_AFTER: Final = 120.0


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """What a fetch brings: the value, and for how many seconds it is good.

    ``stale_while_revalidate`` and ``stale_if_error`` count from the end of ``fresh_for`` (RFC 5861).
    """

    value: T
    fresh_for: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    etag: str | None = None
    #: Seconds that had passed since the provider said it, when this fetch began: another process may have asked.
    age: float = 0.0
    #: When the process that asked did so, by its clock, in seconds since 1970; None where that is told to nobody.
    said_at: float | None = None
    #: Whether the provider gave no answer, and this is what it said before.
    revived: bool = False


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One fetched value; all times are on the steady clock. A later fetch has a greater ``version``."""

    value: T
    version: int
    #: When the fetch began, and when it was done.
    started_at: float
    fetched_at: float
    refresh_at: float
    fresh_until: float
    revalidate_until: float
    stale_until: float
    etag: str | None = None
    #: See :class:`Fetched`: what tells one answer of a provider from the next in every process.
    said_at: float | None = None


@dataclass(eq=False, slots=True)
class Lease:
    """The right, and the duty, to fetch *key*: end it with ``settle``, ``fail`` or ``abandon``."""

    key: Hashable
    version: int
    started: float
    expires: float
    previous: Entry[Any] | None
    #: The cooldown it was paid with, None for a fetch that needed no permission.
    cooldown: float | None = None
    #: Whether forced refreshes have been rare of late, so that many callers may wait for this one.
    rare: bool = True
    #: Resolves to the new entry, to the error, or to None if the leader went away: ask the cache again.
    future: Future[Any] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.future.set_running_or_notify_cancel()  # a cancelled follower must not cancel it for the others


@dataclass(frozen=True, slots=True)
class Trouble:
    """An outage: failures in a row since the last success."""

    error: PyIdentityModelException
    count: int
    began: float
    at: float
    next_attempt: float

    def failure(self, steady: float) -> Failure:
        return Failure(type(self.error).__name__, self.error.code, self.error.message, steady - self.at, self.count)


def worsen(before: Trouble | None, error: PyIdentityModelException, steady: float, jitter: float) -> Trouble:
    """Return the outage with one more failure, *error*, at *steady*. *jitter* is from 0 to 1."""
    count = before.count + 1 if before else 1
    asked = error.retry_after if isinstance(error, NetworkException) else None
    if asked is not None and asked > 0:
        pause = min(LONGEST_RETRY_AFTER, max(FIRST_BACK_OFF, asked))
    else:
        pause = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** min(count - 1, 10)) * (1 + jitter / 4)
    return Trouble(error, count, before.began if before else steady, steady, steady + pause)


@dataclass(eq=False, slots=True)
class Slot:
    """All that is known about one key. Guarded by the cache's lock, except ``ready``, ``used`` and ``hits``.

    Whoever reads often keeps the slot: one that the cache has dropped is never ready again.
    """

    key: Hashable
    entry: Entry[Any] | None = None
    #: The entry, and until when it may be used without asking the cache. One tuple, so that readers see both or none.
    ready: tuple[Entry[Any] | None, float] = (None, -inf)
    used: bool = False
    #: How often readers took the entry without asking the cache.
    hits: int = 0
    lease: Lease | None = None
    trouble: Trouble | None = None
    announced: bool = False
    #: The bucket of forced refreshes, as the one number of the generic cell rate algorithm.
    full_at: float = -inf
    #: Forced refreshes since the bucket was full.
    in_a_row: int = 0
    refunded: bool = False
    cooldown: float = COOLDOWN
    gate: Future[None] | None = None
    waiting: list[float] = field(default_factory=list)

    def asked(self, steady: float) -> None:
        """Note until when readers need not ask again."""
        entry, lease = self.entry, self.lease
        if entry is None:
            return
        at = max(entry.refresh_at, self.trouble.next_attempt if self.trouble else -inf)
        if lease is not None:
            at = max(at, lease.expires) if self.grace(steady) <= 0 else -inf
        bounds = (entry.fresh_until, entry.revalidate_until, entry.stale_until)
        self.ready = (entry, min(at, next((bound for bound in bounds if steady < bound), -inf)))

    def drop(self) -> int:
        """Let no reader use it any more; return how often they did."""
        hits, self.hits, self.ready = self.hits, 0, (None, -inf)
        return hits

    def grace(self, steady: float) -> float:
        """Return how long a caller should give the refresh under way before it uses the stale entry."""
        # RFC 5861 4: stale-if-error is for errors, so past stale-while-revalidate one attempt comes first.
        entry, lease, trouble = self.entry, self.lease, self.trouble
        if entry is None or lease is None or steady < entry.revalidate_until:
            return 0.0
        # A failure of long ago, since which nobody asked, tells nothing of the provider now.
        if trouble is not None and lease.started < trouble.next_attempt + LONGEST_BACK_OFF:
            return 0.0
        return lease.started + GRACE - steady

    def held_back(self, steady: float) -> bool:
        return self.trouble is not None and steady < self.trouble.next_attempt

    def permit(self, cooldown: float, steady: float) -> float:
        """Take one forced refresh out of the bucket, or return when there will be one."""
        self.cooldown = cooldown
        at = self.full_at - (BURST - 1) * cooldown
        if cooldown > 0 and steady < at:
            return at
        self.in_a_row = 1 if self.full_at <= steady else self.in_a_row + 1
        self.full_at = max(self.full_at, steady) + cooldown
        return steady

    def place(self, end: float, steady: float, most: int) -> float | None:
        """Take one of the places of callers that wait, held until *end* at most; None if there is none."""
        self.waiting = [each for each in self.waiting if each > steady]
        if len(self.waiting) >= most:
            return None
        self.waiting.append(end)
        return end

    def refund(self, lease: Lease) -> None:
        """Give a cancelled leader's permission to its successor; only once, so that cancelling is no way around."""
        if lease.cooldown is not None and not self.refunded:
            self.full_at -= lease.cooldown
            self.refunded = True

    def close(self, lease: Lease) -> Future[None] | None:
        """End *lease*; return the gate that has to be opened, outside the lock."""
        if self.lease is not lease:
            return None
        self.lease, gate, self.gate = None, self.gate, None
        return gate

    def snapshot(self, steady: float) -> SlotState:
        """Return the state for health checks."""
        entry, trouble, lease = self.entry, self.trouble, self.lease
        due = -inf if entry is None else entry.refresh_at
        held = -inf if trouble is None else trouble.next_attempt
        permitted = self.full_at - (BURST - 1) * self.cooldown if self.cooldown > 0 else -inf
        return SlotState(
            self.state(steady),
            entry,
            None if entry is None else steady - entry.fetched_at,
            None if trouble is None else trouble.failure(steady),
            max(0.0, due - steady, held - steady),
            max(0.0, permitted - steady, held - steady),
            sum(end > steady for end in self.waiting),
            lease is not None and steady < lease.expires,
        )

    def state(self, steady: float) -> str:
        entry = self.entry
        if entry is not None and steady < entry.fresh_until:
            return "fresh"
        if entry is not None and steady < entry.stale_until:
            return "stale"
        return "failing" if self.trouble is not None else "absent"


class Failure(NamedTuple):
    """The last error of a key, for health checks."""

    kind: str
    code: str
    message: str
    #: Seconds since.
    age: float
    #: Failures in a row.
    failures: int


class SlotState(NamedTuple):
    """The state of one key, for health checks. Durations are seconds from now."""

    #: ``fresh``; ``stale`` (still used); ``failing`` (nothing to use, the last fetch failed); ``absent``.
    state: str
    entry: Entry[Any] | None
    #: Age of the entry.
    age: float | None
    failure: Failure | None
    #: Until the next fetch of its own accord.
    next_attempt: float
    #: Until a forced refresh is permitted.
    refresh_in: float
    #: Callers that wait for that.
    waiters: int
    #: Whether a fetch is under way.
    fetching: bool


def build_entry(lease: Lease, fetched: Fetched[T], steady: float) -> Entry[T]:
    # RFC 9111 4.2.3: the time the response took counts as age.
    fresh_for = max(0.0, fetched.fresh_for)
    fresh_until = lease.started + fresh_for
    revalidate_until = fresh_until + max(0.0, fetched.stale_while_revalidate)
    return Entry(
        fetched.value,
        lease.version,
        lease.started - fetched.age,
        steady - fetched.age,
        lease.started + fresh_for * REFRESH_AHEAD,
        fresh_until,
        revalidate_until,
        max(revalidate_until, fresh_until + max(0.0, fetched.stale_if_error)),
        fetched.etag,
        fetched.said_at,
    )


def is_callers_own(error: Exception) -> bool:
    """Tell whether *error* is of the caller's own making, such as a closed client, and no doing of the provider.

    What is foreign after the drivers have named all failures of transports comes from code of the caller.
    """
    own = isinstance(error, ConfigurationException) or not isinstance(error, PyIdentityModelException)
    return own or getattr(error, "code", None) == "request_invalid"


def copied(error: Exception, retry_after: float | None = None) -> PyIdentityModelException:
    """Return a copy of *error* to raise or keep: without traceback and chain, shared with nobody."""
    if not isinstance(error, PyIdentityModelException):
        return NetworkException(
            f"The fetch failed with {type(error).__name__}", code="fetch_failed", retry_after=retry_after
        )
    fresh = copy.copy(error)
    fresh.details = dict(error.details)
    if retry_after is not None and isinstance(fresh, NetworkException):
        fresh.retry_after = max(0.0, retry_after)
    return fresh
