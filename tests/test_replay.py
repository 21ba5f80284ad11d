"""Replay memory: one use each, whatever races, fills up or breaks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from py_identity_model._core.base.store import digest_of
from py_identity_model._core.binding.replay import UsedValues, first_use
from py_identity_model.exceptions import ConfigurationException, NetworkException


class Redis:
    """A store that answers as redis-py does: True, or None for a value that is there."""

    def __init__(self, answer=True):
        self.answer = answer
        self.calls = []

    def add(self, topic, key, value, lifetime, *, made_at):
        self.calls.append((topic, key, value, lifetime, made_at))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_second_use_is_refused(perform):
    """[D17] [L7] A value is accepted once and refused while it is remembered."""
    store = UsedValues()
    assert perform(first_use(store, "k", 60))[0] is True
    assert perform(first_use(store, "k", 60))[0] is False
    assert perform(first_use(store, "other", 60))[0] is True


def test_forgotten_in_time():
    """A value is remembered up to its last second and forgotten then, however the insertions were ordered."""
    store = UsedValues()
    assert store.add("long", 100, now=0)
    assert store.add("short", 10, now=1)
    assert not store.add("short", 10, now=10.9)
    assert store.add("short", 10, now=11)
    assert not store.add("long", 1, now=99)
    assert store.add("third", 1, now=200)
    assert len(store) == 1


def test_one_winner_among_threads():
    """[D17] Of many threads that use a value at once exactly one is told that it was new."""
    store = UsedValues()
    barrier = Barrier(16)

    def use(_):
        barrier.wait()
        return [store.add(f"k{i}", 60, now=0) for i in range(200)]

    with ThreadPoolExecutor(16) as pool:
        wins = list(pool.map(use, range(16)))
    assert [sum(column) for column in zip(*wins, strict=True)] == [1] * 200


def test_full_store_refuses():
    """A full store refuses new values and says when to come back, rather than forget what still counts."""
    store = UsedValues(max_entries=2)
    assert store.add("a", 10, now=0)
    assert store.add("b", 20, now=0)
    with pytest.raises(NetworkException) as refused:
        store.add("c", 10, now=4)
    assert (refused.value.code, refused.value.retry_after) == ("store_full", 6)
    assert refused.value.client_error.status == 503
    assert not store.add("a", 10, now=4)
    assert store.add("c", 10, now=10)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "9"])
def test_size_must_be_positive(size):
    """A store without room is a configuration error."""
    with pytest.raises(ConfigurationException) as refused:
        UsedValues(size)
    assert refused.value.code == "store_size_invalid"


@pytest.mark.parametrize("lifetime", [0, -1, float("inf"), float("nan")])
def test_lifetime_must_be_positive(perform, lifetime):
    """A lifetime that would remember nothing, or for ever, is a configuration error."""
    with pytest.raises(ConfigurationException) as refused:
        perform(first_use(UsedValues(), "k", lifetime))
    assert refused.value.code == "replay_lifetime_invalid"


def test_foreign_store(perform):
    """A store of the application's own is asked with topic, key, lifetime and the proof's time; its None means used."""
    fresh, used = Redis(True), Redis(None)
    assert perform(first_use(fresh, "k", 60))[0] is True
    assert perform(first_use(used, "k", 60))[0] is False
    assert perform(first_use(fresh, "k", 60, 7.0))[0] is True
    assert fresh.calls == [("replay", "k", b"", 60, None), ("replay", "k", b"", 60, 7.0)]


def test_broken_store_refuses(perform):
    """A store that fails refuses, and its error's text goes nowhere."""
    with pytest.raises(NetworkException) as refused:
        perform(first_use(Redis(OSError("password=hunter2")), "k", 60))
    assert refused.value.code == "store_failed"
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_own_refusal_passes(perform):
    """A store's own refusal keeps its code."""
    store = UsedValues(1)
    store.add("a", 1e9, now=0)
    with pytest.raises(NetworkException) as refused:
        perform(first_use(store, "b", 60))
    assert refused.value.code == "store_full"


def test_keys_are_unambiguous():
    """Keys are short, fixed in length and differ when the same text is cut differently."""
    keys = {digest_of(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("", "abc"), ("abc", ""), ("\ud800",))}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {64}
    assert len(digest_of("x" * 100_000)) == 64
