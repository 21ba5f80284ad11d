"""Events: who hears of them, and what they may not do."""

from __future__ import annotations

import logging
import threading
from dataclasses import FrozenInstanceError

import pytest

from py_identity_model.observability import Event, Observer, add_observer, emit, remove_observer


def test_observers_hear_of_events():
    """Every observer gets every event, in order, until it is removed."""
    one: list[Event] = []
    two: list[Event] = []
    add_observer(one.append)
    add_observer(two.append)
    emit("keys_refreshed", issuer="https://id.example.com", keys=3)
    remove_observer(one.append)
    emit("cache_recovered", logging.WARNING)
    assert [e.name for e in one] == ["keys_refreshed"]
    assert two == [
        Event("keys_refreshed", {"issuer": "https://id.example.com", "keys": 3}, logging.INFO),
        Event("cache_recovered", {}, logging.WARNING),
    ]


def test_removing_a_stranger():
    """Removing an observer that was never added does nothing."""
    remove_observer(print)


def test_failing_observer(caplog):
    """An observer that fails is logged without its words and keeps nobody else from hearing."""
    seen: list[Event] = []

    def failing(event: Event) -> None:
        raise ValueError("s3cr3t")

    add_observer(failing)
    add_observer(seen.append)
    emit("keys_refreshed")
    assert len(seen) == 1
    assert "observer failed on keys_refreshed: ValueError" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_interruption_is_not_swallowed():
    """An observer cannot swallow a keyboard interrupt."""

    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    add_observer(interrupted)
    with pytest.raises(KeyboardInterrupt):
        emit("keys_refreshed")


def test_observer_may_remove_itself():
    """Adding and removing observers while an event is told neither skips nor repeats one."""
    seen: list[str] = []

    def once(event: Event) -> None:
        seen.append("once")
        remove_observer(once)

    add_observer(once)
    add_observer(lambda event: seen.append("always"))
    emit("a")
    emit("b")
    assert seen == ["once", "always", "always"]


def test_log_lines(caplog):
    """Events are logged under the library's name at their level, and facts cannot forge lines or colours."""
    with caplog.at_level(logging.INFO, "py_identity_model"):
        emit("cache_refresh_failed", logging.WARNING, key="a\nERROR all is lost \x1b[31m\u202e")
        emit("keys_refreshed")
    (first, second) = caplog.records
    assert (first.name, first.levelno, second.levelno) == ("py_identity_model", logging.WARNING, logging.INFO)
    assert first.getMessage().isprintable()
    assert first.getMessage().startswith("cache_refresh_failed key='a\\nERROR")


def test_silence_by_default():
    """Without logging set up by the application nothing is printed."""
    handlers = logging.getLogger("py_identity_model").handlers
    assert any(isinstance(h, logging.NullHandler) for h in handlers)


def test_events_are_values():
    """An event cannot be changed by one observer under the eyes of the next."""
    event = Event("keys_refreshed")
    with pytest.raises(FrozenInstanceError):
        event.name = "other"  # type: ignore[misc] # that is the test
    assert isinstance(print, Observer)


def test_observers_from_many_threads():
    """Observers that several threads add are all kept."""
    observers = [[] for _ in range(50)]  # type: list[list[Event]]
    threads = [threading.Thread(target=add_observer, args=(seen.append,)) for seen in observers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    emit("keys_refreshed")
    assert [len(seen) for seen in observers] == [1] * 50
