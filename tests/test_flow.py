"""A flow with something between it and the driver: results, errors and the end reach it as they would without."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import py_identity_model.aio._loop as loops
import py_identity_model.sync._driver as sync_driver
from py_identity_model._core.base.budget import within_budget
from py_identity_model._core.base.flow import Clock, Effect, Flow, Reply, Sleep, get, now, performed, send, sleep
from py_identity_model.exceptions import TransportException

URL = "https://id.example.com/"


def handed_on(effect: Effect) -> Flow[Any]:
    """Leave an effect to the driver."""
    return (yield effect)


def unslept(effect: Effect) -> Flow[Any]:
    """Refuse to sleep."""
    if isinstance(effect, Sleep):
        raise KeyError("no sleep")
    return (yield effect)


#: What stands between a flow and its driver.
BETWEEN: dict[str, Callable[[Flow[Any]], Flow[Any]]] = {
    "performed": lambda flow: performed(flow, handed_on),
    "budget": lambda flow: within_budget(flow, 0.0, 1e12),
}


def test_what_is_between_may_raise_into_the_flow(perform: Any) -> None:
    """An error of whoever performs an effect is thrown in where it was asked for, and the flow goes on after it."""

    def flow() -> Flow[Any]:
        try:
            yield from sleep(1.0)
        except KeyError as error:
            reply = yield from send(get(URL))
            return error.args, reply.status, (yield from now())

    (words, status, clock), requests = perform(performed(flow(), unslept), Reply(204))
    assert (words, status, type(clock), len(requests)) == (("no sleep",), 204, Clock, 1)


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_errors_of_the_driver_reach_the_flow(perform: Any, between: Any) -> None:
    """What the driver raises is thrown in once; the next effect has its own result again."""

    def flow() -> Flow[Any]:
        with pytest.raises(TransportException):
            yield from send(get(URL))
        return (yield from send(get(URL))).status

    down = TransportException("down", url=URL, code="connect_failed")
    assert perform(between(flow()), down, Reply(200))[0] == 200


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_who_closes_it_closes_the_flow(between: Any) -> None:
    """A flow that is given up, or whose caller is cancelled, does its clearing up at once."""
    ended: list[str] = []

    def flow() -> Flow[None]:
        try:
            yield from now()
        finally:
            ended.append("closed")

    for end in (lambda outer: outer.close(), lambda outer: outer.throw(KeyboardInterrupt())):
        inner = flow()  # kept: nothing but the closing ends it
        outer = between(inner)
        next(outer)
        try:
            end(outer)
        except KeyboardInterrupt:
            ended.append("interrupted")
    assert ended == ["closed", "closed", "interrupted"]


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_an_error_leaves_with_its_flow(between: Any) -> None:
    """No error refers to itself through the frames it went through: it is gone without the garbage collector."""

    class Refused(Exception):
        pass

    def flow() -> Flow[None]:
        yield from now()

    gc.disable()
    try:
        error = Refused()
        gone = weakref.ref(error)
        outer = between(flow())
        next(outer)
        with pytest.raises(Refused):
            outer.throw(error)
        del error, outer
        assert gone() is None
    finally:
        gc.enable()


def test_a_module_that_another_thread_is_importing_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While trio or asyncio is half imported elsewhere: renewals failed with AttributeError."""
    for name in ("trio", "trio.lowlevel", "asyncio.events"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert sync_driver._runs_a_loop() is False
    assert loops.running_trio() is None
