"""What is known of each store by what it was asked: whether it answers, how often, how fast.

Nobody asks a store in order to write here: every operation of a topic leaves its trace as it goes by. A store that
refuses (it is full, or takes no writes) does answer; one that fails in any other way is away.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from .fork_lock import Guard

#: Upper bounds of the durations that are counted, in seconds.
BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
#: Codes of refusals by a store that is there.
ANSWERS: Final = frozenset({"store_full", "store_read_only", "store_forbidden", "store_memory_lost"})


class Operation(NamedTuple):
    """One kind of operation, and how it ended."""

    topic: str
    name: str
    #: ``ok``, or the code of the error.
    outcome: str


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """How it stands with a store, by what it was asked last. Durations are seconds.

    Attributes:
        engine: ``memory``, ``sqlite`` or ``redis``; for a store of another make the name of its class.
        reachable: Whether it answered when it was asked last; None before that.
        answer_age: Since its last answer.
        last_error: Code of the last failure, None after a success.
        circuit_open: Whether it is left in peace for a while because it did not answer; None where the engine has no
            such thing.
        epoch: Which memory it has: another one after it lost what it knew. None where nobody has asked.
        refuses_in: Until no token is accepted any more because nobody knows what was revoked, if it stays away; None
            while it answers.
    """

    engine: str
    reachable: bool | None = None
    answer_age: float | None = None
    last_error: str | None = None
    circuit_open: bool | None = None
    epoch: str | None = None
    refuses_in: float | None = None


class StoreRecord:
    """What one store was asked. Any thread may call any method.

    Args:
        engine: What kind of store it is.
    """

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self._lock = Guard()
        self._counts: Counter[Operation] = Counter()
        self._durations: dict[str, list[float]] = {}
        self._answered_at: float | None = None
        self._reachable: bool | None = None
        self._error: str | None = None
        self._epoch: str | None = None

    def note(self, operation: Operation, seconds: float, steady: float) -> None:
        """Note an operation that took *seconds* and ended at *steady*."""
        outcome = operation.outcome
        with self._lock:
            self._counts[operation] += 1
            durations = self._durations.setdefault(operation.topic, [0.0] * (len(BOUNDS) + 2))
            durations[bisect_left(BOUNDS, seconds)] += 1
            durations[-1] += seconds
            self._error = None if outcome == "ok" else outcome
            self._reachable = outcome == "ok" or outcome in ANSWERS
            if self._reachable:
                self._answered_at = steady
        for listener in _listeners:
            listener(self.engine, operation, seconds)

    def remembers(self, epoch: str) -> str | None:
        """Note which memory the store has; return the one that it had before, if that was another."""
        before, self._epoch = self._epoch, epoch
        return before if before != epoch else None

    def counts(self) -> dict[Operation, int]:
        """Return how often each operation ended in which way."""
        with self._lock:
            return dict(self._counts)

    def durations(self) -> dict[str, list[float]]:
        """Return by topic how many operations took how long: one number per bound, one for longer ones, and the sum."""
        with self._lock:
            return {topic: list(counts) for topic, counts in self._durations.items()}

    def health(self, steady: float, circuit_open: bool | None, refuses_in: float | None) -> StoreHealth:
        """Tell how it stands."""
        answered = self._answered_at
        age = None if answered is None else max(0.0, steady - answered)
        return StoreHealth(self.engine, self._reachable, age, self._error, circuit_open, self._epoch, refuses_in)


#: Hears of an operation: of which engine, which one, and how many seconds it took.
OperationListener: TypeAlias = Callable[[str, Operation, float], None]
_listeners: tuple[OperationListener, ...] = ()


def add_operation_listener(listener: OperationListener) -> None:
    """Tell *listener* of every later operation of a store."""
    global _listeners
    with _lock:
        _listeners = (*_listeners, listener)


def remove_operation_listener(listener: OperationListener) -> None:
    """Stop telling *listener*."""
    global _listeners
    with _lock:
        _listeners = tuple(one for one in _listeners if one != listener)


_records: WeakKeyDictionary[Any, StoreRecord] = WeakKeyDictionary()
_lock = Guard()


def record_of(store: Any) -> StoreRecord:
    """Return the record of a store; one that cannot be remembered has a new one each time.

    A store that is made for one operation says with ``recorded_as`` which store is behind it.
    """
    store = getattr(store, "recorded_as", store)
    try:
        with _lock:
            record = _records.get(store)
            if record is None:
                record = _records[store] = StoreRecord(engine_of(store))
            return record
    except TypeError:  # it has no hash, or takes no weak reference
        return StoreRecord(engine_of(store))


def every_store() -> list[tuple[Any, StoreRecord]]:
    """Return all stores of this process that were asked and are still there, each with its record."""
    with _lock:
        return list(_records.items())


def engine_of(store: Any) -> str:
    """Return what kind of store it is.

    >>> class Dynamo: ...
    >>> engine_of(Dynamo())
    'Dynamo'
    """
    named = getattr(store, "engine", None)
    return named if isinstance(named, str) else type(store).__name__


def circuit_of(store: Any) -> bool | None:
    """Return whether a store is left in peace for a while; None where it has no such thing."""
    found = getattr(store, "circuit_open", None)
    return found if isinstance(found, bool) else None


class Watched:
    """A store whose next operation is looked at: which it is, and on which topic.

    Args:
        store: The store.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.name = self.topic = ""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def operation(*args: Any, **named: Any) -> Any:
            about = args[0] if args else ""
            self.name, self.topic = name, str(getattr(about, "topic", about))
            return method(*args, **named)

        return operation


__all__ = [
    "BOUNDS",
    "Operation",
    "OperationListener",
    "StoreHealth",
    "StoreRecord",
    "Watched",
    "add_operation_listener",
    "circuit_of",
    "engine_of",
    "every_store",
    "record_of",
    "remove_operation_listener",
]
