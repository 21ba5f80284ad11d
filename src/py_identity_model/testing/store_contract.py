"""What every store must do, as checks that any implementation can run.

``CONTRACT`` is a list of functions. Each takes a :class:`Subject`: the store, a second one on the same memory (another
process, as it were), and a way to let time pass::

    import time
    import pytest
    from py_identity_model.testing.store_contract import CONTRACT, Subject

    @pytest.mark.parametrize("check", CONTRACT)
    def test_my_store(check):
        check(Subject(MyStore(URL), MyStore(URL), time.sleep))

A store that is to be awaited is checked through :func:`blocking`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from .._core.base.store import AsyncStore, Store
from ..exceptions import ConfigurationException, StoreException


@dataclass(frozen=True)
class Subject:
    """What a check is given.

    Attributes:
        store: The store; its memory need not be empty.
        other: A store on the same memory, as another process would have it; the same object where there can be none.
        pass_time: Lets so many seconds pass, as the store counts them.
        unit: Seconds that are a short time for this store: the checks wait for a few of them.
        prefix: Something that no earlier check used, for names.
    """

    store: Store
    other: Store
    pass_time: Callable[[float], None]
    unit: float = 0.05
    prefix: str = field(default_factory=lambda: f"k{_next()}")


_numbers = iter(range(10**9))
_lock = threading.Lock()


def _next() -> int:
    with _lock:
        return next(_numbers)


def blocking(store: AsyncStore, run: Callable[[Coroutine[Any, Any, object]], object] = asyncio.run) -> Store:
    """Return *store* with methods that wait for their result.

    Args:
        store: The store to be awaited.
        run: Runs a coroutine to its end.
    """
    found_by_name: Any = _Blocking(store, run)
    return cast(Store, found_by_name)


class _Blocking:
    blocking = True

    def __init__(self, store: AsyncStore, run: Callable[[Coroutine[Any, Any, object]], object]) -> None:
        self._store, self._run = store, run

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._run(method(*args, **kwargs))

        return call


def _refused(code: str, function: Callable[[], Any]) -> None:
    found = None
    try:
        function()
    except (ConfigurationException, StoreException) as error:
        found = error.code
    assert found == code, f"{code} was expected, got {found}"


def values_are_kept(s: Subject) -> None:
    """What was put is there, in every process, byte for byte; a second value takes the place of the first."""
    for value in (b"", b"\x00\xff" * 100, bytes(range(256)), b"x" * 65536):
        assert s.store.put("test", s.prefix, value, 600)
        assert s.store.get("test", s.prefix) == value
        assert s.other.get("test", s.prefix) == value


def topics_are_apart(s: Subject) -> None:
    """The same key in another topic is another entry."""
    assert s.store.put("test", s.prefix, b"a", 600)
    assert s.store.get("test2", s.prefix) is None
    assert s.store.add("test2", s.prefix, b"b", 600)
    assert s.store.get("test", s.prefix) == b"a"


def values_end(s: Subject) -> None:
    """After its lifetime a value is not there, and its place is free."""
    assert s.store.put("test", s.prefix, b"a", s.unit)
    assert s.store.add("test", s.prefix + "b", b"a", s.unit)
    s.pass_time(s.unit * 2)
    assert s.store.get("test", s.prefix) is None
    assert not s.store.delete("test", s.prefix)
    assert s.store.add("test", s.prefix + "b", b"b", 600)
    assert s.store.swap("test", s.prefix, None, b"b", 600)


def a_later_lifetime_counts(s: Subject) -> None:
    """A value that is put again lives as long as it was said last, longer or shorter."""
    s.store.put("test", s.prefix, b"a", s.unit)
    s.store.put("test", s.prefix, b"a", 600)
    s.store.put("test", s.prefix + "b", b"a", 600)
    s.store.put("test", s.prefix + "b", b"a", s.unit)
    s.pass_time(s.unit * 2)
    assert s.store.get("test", s.prefix) == b"a"
    assert s.store.get("test", s.prefix + "b") is None


def add_is_for_the_first(s: Subject) -> None:
    """Of many that add the same key at once, in all processes, one is the first; its value stays."""
    start = threading.Barrier(8)

    def add(number: int) -> bool:
        start.wait(10)
        return (s.store, s.other)[number % 2].add("test", s.prefix, str(number).encode(), 600)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(add, range(8)))
    assert sorted(answers) == [False] * 7 + [True]
    assert s.store.get("test", s.prefix) == str(answers.index(True)).encode()


def add_knows_its_memory(s: Subject) -> None:
    """For what was made before the memory began, nobody can say whether it is new."""
    since = s.store.epoch().since
    assert s.store.add("test", s.prefix, b"", 600, made_at=since + 5)
    assert not s.store.add("test", s.prefix, b"", 600, made_at=since + 5)
    _refused("store_memory_lost", lambda: s.store.add("test", s.prefix + "b", b"", 600, made_at=since - 5))
    assert s.store.get("test", s.prefix + "b") is None
    assert s.other.epoch() == s.store.epoch()


def swap_compares(s: Subject) -> None:
    """A value is replaced only where it is the one expected."""
    assert not s.store.swap("test", s.prefix, b"a", b"b", 600)
    assert s.store.swap("test", s.prefix, None, b"a", 600)
    assert not s.store.swap("test", s.prefix, None, b"b", 600)
    assert not s.store.swap("test", s.prefix, b"", b"b", 600)
    assert s.other.swap("test", s.prefix, b"a", b"b", 600)
    assert not s.store.swap("test", s.prefix, b"a", b"c", 600)
    assert s.store.get("test", s.prefix) == b"b"


def swap_is_for_one(s: Subject) -> None:
    """Of many that replace the same value at once, one succeeds."""
    s.store.put("test", s.prefix, b"old", 600)
    start = threading.Barrier(8)

    def swap(number: int) -> bool:
        start.wait(10)
        return (s.store, s.other)[number % 2].swap("test", s.prefix, b"old", str(number).encode(), 600)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(swap, range(8)))
    assert sorted(answers) == [False] * 7 + [True]


def delete_is_for_one(s: Subject) -> None:
    """Of many that delete the same value at once, one is told that it did."""
    s.store.put("test", s.prefix, b"x", 600)
    start = threading.Barrier(8)

    def delete(number: int) -> bool:
        start.wait(10)
        return (s.store, s.other)[number % 2].delete("test", s.prefix)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(delete, range(8))) == [False] * 7 + [True]


def leases_exclude(s: Subject) -> None:
    """While a lease runs nobody gets another one; given back, or over, it is free, with a larger number."""
    first = s.store.lease("test", s.prefix, 600)
    assert first is not None
    assert s.other.lease("test", s.prefix, 600) is None
    assert s.other.lease("test", s.prefix + "b", 600) is not None
    assert s.store.release(first)
    assert not s.store.release(first)
    second = s.other.lease("test", s.prefix, s.unit)
    assert second is not None
    assert second.number > first.number
    s.pass_time(s.unit * 2)
    third = s.store.lease("test", s.prefix, 600)
    assert third is not None
    assert third.number > second.number
    assert not s.other.release(second)
    assert s.other.lease("test", s.prefix, 600) is None


def leases_are_for_one(s: Subject) -> None:
    """Of many that ask for a lease at once, one gets it."""
    start = threading.Barrier(8)

    def lease(number: int) -> bool:
        start.wait(10)
        return (s.store, s.other)[number % 2].lease("test", s.prefix, 600) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lease, range(8))) == [False] * 7 + [True]


def late_holders_write_nothing(s: Subject) -> None:
    """Who lost a lease to another writes nothing by it; who only overstayed, and was followed by none, does."""
    first = s.store.lease("test", s.prefix, s.unit)
    s.pass_time(s.unit * 2)
    assert s.store.put("test", s.prefix, b"late but alone", 600, lease=first)
    second = s.other.lease("test", s.prefix, 600)
    assert second is not None
    assert not s.store.put("test", s.prefix, b"late", 600, lease=first)
    assert not s.store.swap("test", s.prefix, b"late but alone", b"late", 600, lease=first)
    assert s.other.release(second)
    assert not s.store.put("test", s.prefix, b"late", 600, lease=first)
    assert s.other.swap("test", s.prefix, b"late but alone", b"good", 600, lease=second)
    assert s.store.get("test", s.prefix) == b"good"
    _refused("store_argument_invalid", lambda: s.store.put("test", s.prefix + "b", b"", 600, lease=second))


def marks_reach_everybody(s: Subject) -> None:
    """What is published is seen once by each that looks, in order, also by those who look for the first time."""
    topic = s.prefix
    begun = s.other.changes(topic).cursor
    assert s.other.changes(topic).marks == ()
    for number in range(5):
        s.store.publish(topic, str(number).encode(), 600)
    seen = s.other.changes(topic, begun)
    assert [mark.value for mark in seen.marks] == [b"0", b"1", b"2", b"3", b"4"]
    assert s.other.changes(topic, seen.cursor).marks == ()
    s.other.publish(topic, b"5", 600)
    assert [mark.value for mark in s.store.changes(topic, seen.cursor).marks] == [b"5"]
    assert len(s.store.changes(topic).marks) == 6
    assert s.store.changes(topic + "2").marks == ()


def marks_end(s: Subject) -> None:
    """A mark stops to count when its lifetime is over, others do not."""
    topic = s.prefix
    s.store.publish(topic, b"short", s.unit)
    s.store.publish(topic, b"long", 600)
    s.pass_time(s.unit * 2)
    assert [mark.value for mark in s.other.changes(topic).marks] == [b"long"]
    s.store.publish(topic, b"more", 600)
    assert [mark.value for mark in s.other.changes(topic).marks] == [b"long", b"more"]


def many_marks_come_in_parts(s: Subject) -> None:
    """However many marks there are, following the cursor brings each of them once."""
    topic = s.prefix
    for number in range(1100):
        s.store.publish(topic, str(number).encode(), 600)
    found, cursor, complete = [], None, False
    while not complete:
        changes = s.other.changes(topic, cursor)
        found += [int(mark.value) for mark in changes.marks]
        cursor, complete = changes.cursor, changes.complete
    assert found == list(range(1100))


def nonsense_is_refused(s: Subject) -> None:
    """Topics, keys, values and lifetimes that no store takes are refused with their name."""
    bad_lifetimes: list[Any] = [0, -1, float("nan"), float("inf"), True, "60", None]
    wrong: list[Callable[[], Any]] = [
        lambda: s.store.get("", "a"),
        lambda: s.store.get("Topic", "a"),
        lambda: s.store.get("a:b", "a"),
        lambda: s.store.get("test", ""),
        lambda: s.store.get("test", "with space"),
        lambda: s.store.get("test", "\u00e9"),
        lambda: s.store.get("test", "a\n"),
        lambda: s.store.get("test", "x" * 256),
        lambda: s.store.get("test", None),  # type: ignore[arg-type]
        lambda: s.store.put("test", "a", "text", 60),  # type: ignore[arg-type]
        lambda: s.store.put("test", "a", b"x" * (1024 * 1024 + 1), 60),
        *(lambda t=t: s.store.add("test", "a", b"", t) for t in bad_lifetimes),
        lambda: s.store.lease("test", "a", 0),
        lambda: s.store.publish("te st", b"", 60),
        lambda: s.store.changes("te st"),
    ]
    for call in wrong:
        _refused("store_argument_invalid", call)


def it_opens_again(s: Subject) -> None:
    """A closed store goes on when it is used."""
    s.store.put("test", s.prefix, b"a", 600)
    s.store.close()
    s.store.close()
    assert s.store.get("test", s.prefix) == b"a"


#: Every check, in the order of the operations.
CONTRACT: list[Callable[[Subject], None]] = [
    value
    for value in list(globals().values())
    if inspect.isfunction(value) and value.__module__ == __name__ and list(inspect.signature(value).parameters) == ["s"]
]


__all__ = ["CONTRACT", "Subject", "blocking"]
