"""How validations go: how many, with which outcome, how fast. There is none of this until somebody asks for it.

A warm validation is counted by one atomic step of a counter that all threads share, and it is not timed. One that
begins :data:`SAMPLE_EVERY` seconds or more after the last one that was timed is: it stands for all since then. So up to
a hundred validations per second are timed each, and of more than that a sample, evenly spread over time. Whatever takes
the careful path, and every refusal, is slow beside its counting.

No text of a token becomes a label: issuers are those that the validator knows, and codes are those of exceptions; of
both there is a bounded number, and the rest is ``other``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container
from itertools import count
from math import inf
from typing import Any, Final, NamedTuple, TypeAlias

from ...exceptions import PyIdentityModelException
from ..base.flow import Flow
from ..base.fork_lock import Guard
from .claim_checks import Claims
from .payload import peek_issuer

#: Upper bounds of the durations that are counted, in seconds: from a remembered token to a slow provider.
BOUNDS: Final = (*(float(f"{digits}e{power}") for power in range(-6, 0) for digits in ("1", "2.5", "5")), 1.0)
#: Seconds between two warm validations that are timed, at least.
SAMPLE_EVERY: Final = 0.01
#: Issuers, and codes, that are told apart.
MAX_ISSUERS: Final = 100
MAX_CODES: Final = 200
#: The outcome of a token that was accepted.
VALID: Final = "valid"
#: What stands for every issuer, or code, that is not told apart.
OTHER: Final = "other"

#: From a token and both clocks to its claims, if that can be done without waiting.
Warm: TypeAlias = Callable[[str, float, float], Claims | None]
#: Hears of a duration in seconds, on which path, and for how many validations it stands.
Listener: TypeAlias = Callable[[float, str, int], None]


class Tally:
    """A number that any thread may raise without a lock: exact with the GIL, close on some builds without."""

    __slots__ = ("_looks", "raised")

    def __init__(self) -> None:
        # The fastest there is: one call into C, which nothing can come between.
        self.raised: Callable[[], int] = count().__next__
        self._looks = 0

    def value(self) -> int:
        """Return how often it was raised; one caller at a time."""
        self._looks += 1  # each look raises it too
        return self.raised() - (self._looks - 1)


class Durations(NamedTuple):
    """How long validations took: how many up to each bound and beyond the last, and all seconds together."""

    counts: tuple[int, ...]
    seconds: float


class Meter:
    """Counts the validations of one validator. Any thread may call any method.

    Args:
        known: The issuers that may be named; those of accepted tokens may be as well.
        longest: Characters of a token that is looked into for its issuer, at most.
        clock: Returns seconds; only differences count.
    """

    def __init__(self, known: Container[str], longest: int, clock: Callable[[], float]) -> None:
        self._known, self._longest, self._clock = known, longest, clock
        self._lock = Guard()
        #: Tokens accepted on the warm path, by issuer, and what raises each number without the lock.
        self._warm: dict[str, Tally] = {}
        self._raise: dict[str, Callable[[], int]] = {}
        #: Warm validations of any other outcome, or of none yet.
        self._others = Tally()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._durations: dict[str, tuple[list[int], list[float]]] = {}
        #: Warm validations that durations stand for already.
        self._timed = 0
        self.listeners: tuple[Listener, ...] = ()

    # ---- what is counted

    def counted(self, warm: Warm, only: str | None, *, asks: bool) -> Warm:
        """Return *warm*, with its outcomes counted.

        Args:
            warm: The warm path.
            only: The issuer of all tokens, if there is but one.
            asks: Whether the application is asked afterwards, so that being accepted is not an outcome yet.
        """
        always = self._others.raised if asks else None if only is None else self._raised(only)
        known, clock, due = self._raise, self._clock, -inf

        def counted(token: str, wall: float, steady: float) -> Claims | None:
            nonlocal due
            sampled = steady >= due
            began = clock() if sampled else 0.0
            try:
                claims = warm(token, wall, steady)
            except PyIdentityModelException as error:
                self._others.raised()
                self.refused(token, error)
                raise
            if claims is not None:
                if always is not None:
                    always()
                else:
                    issuer = claims.get("iss")
                    ((known.get(issuer) if type(issuer) is str else None) or self._raised(issuer))()
                if sampled:
                    due = steady + SAMPLE_EVERY
                    self._sample(clock() - began)
            return claims

        return counted

    def examined(self, flow: Flow[Claims], token: Any) -> Flow[Claims]:
        """Run the careful path, with its outcome counted and its duration."""
        began = self._clock()
        try:
            claims = yield from flow
        except Exception as error:  # whatever it is, it is the outcome
            self.refused(token, error)
            self._observe("careful", self._clock() - began)
            raise
        self._count(claims.get("iss"))
        self._observe("careful", self._clock() - began)
        return claims

    def approved(self, flow: Flow[None], claims: Claims) -> Flow[None]:
        """Run the application's own validator on claims from the warm path, with the outcome counted."""
        try:
            yield from flow
        except Exception as error:  # whatever it is, it is the outcome
            self._count(claims.get("iss"), error)
            raise
        self._count(claims.get("iss"))

    def judged(self, token: str, outcome: Claims | Exception) -> None:
        """Count one token of a batch."""
        if isinstance(outcome, Exception):
            self.refused(token, outcome)
        else:
            self._count(outcome.get("iss"))

    def refused(self, token: Any, error: Exception) -> None:
        """Count a refusal."""
        readable = isinstance(token, str) and len(token) <= self._longest
        self._count(peek_issuer(token) if readable else None, error)

    def _count(self, issuer: Any, error: Exception | None = None) -> None:
        code = VALID if error is None else str(getattr(error, "code", "error"))
        with self._lock:
            key = self._label(issuer, accepted=error is None), code
            if key not in self._outcomes and len({known for _, known in self._outcomes} | {code}) > MAX_CODES:
                key = key[0], OTHER
            self._outcomes[key] += 1

    def _raised(self, issuer: Any) -> Callable[[], int]:
        """Return what raises the number of an issuer's accepted tokens."""
        with self._lock:
            label = self._label(issuer, accepted=True)
            return self._raise.setdefault(label, self._warm.setdefault(label, Tally()).raised)

    def _label(self, issuer: Any, *, accepted: bool = False) -> str:
        """Return what the issuer of a token is called, of one that was *accepted* or of any; the lock is held."""
        if not isinstance(issuer, str) or not (accepted or issuer in self._warm or issuer in self._known):
            return OTHER
        if issuer not in self._warm:
            if len(self._warm) >= MAX_ISSUERS:
                return OTHER
            self._warm[issuer] = Tally()
        return issuer

    def _sample(self, seconds: float) -> None:
        with self._lock:
            done = self._others.value() + sum(tally.value() for tally in self._warm.values())
            weight, self._timed = max(1, done - self._timed), done
        self._observe("warm", seconds, weight)

    def _observe(self, path: str, seconds: float, weight: int = 1) -> None:
        with self._lock:
            counts, total = self._durations.setdefault(path, ([0] * (len(BOUNDS) + 1), [0.0]))
            counts[bisect_left(BOUNDS, seconds)] += weight
            total[0] += seconds * weight
        for listener in self.listeners:
            listener(seconds, path, weight)

    # ---- what is told

    def label(self, issuer: str) -> str:
        """Return what *issuer* is called: itself, or ``other``."""
        with self._lock:
            return self._label(issuer)

    def outcomes(self) -> dict[tuple[str, str], int]:
        """Return how often tokens of an issuer were accepted (``valid``), or refused with a code."""
        with self._lock:
            warm = Counter({(label, VALID): tally.value() for label, tally in self._warm.items()})
            return {key: number for key, number in (self._outcomes + warm).items() if number}

    def durations(self) -> dict[str, Durations]:
        """Return how long validations took on the ``warm`` and on the ``careful`` path."""
        with self._lock:
            return {path: Durations(tuple(counts), total[0]) for path, (counts, total) in self._durations.items()}


__all__ = [
    "BOUNDS",
    "MAX_CODES",
    "MAX_ISSUERS",
    "OTHER",
    "SAMPLE_EVERY",
    "VALID",
    "Durations",
    "Listener",
    "Meter",
    "Tally",
    "Warm",
]
