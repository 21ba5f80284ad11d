"""The cache decides: every rule of it, with a clock that moves only when told to."""

from __future__ import annotations

import gc
import linecache
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from py_identity_model._core.base import fork_lock
from py_identity_model._core.base.flow import IMPATIENT, Background, Clock, Flow, Now, Reply, Request, Send, Wait, send
from py_identity_model._core.cache.answers import RefreshCrowded, RefreshDenied
from py_identity_model._core.cache.cache import Cache
from py_identity_model._core.cache.entry import BURST, GRACE, Entry, Fetched
from py_identity_model._core.cache.freshness import freshness
from py_identity_model._core.cache.single_flight import cached
from py_identity_model.exceptions import (
    ConfigurationException,
    JwksException,
    NetworkException,
    PyIdentityModelException,
)
from py_identity_model.observability import Event, add_observer, remove_observer

KEY = "https://id.example.com/jwks"
REQUEST = Request("GET", KEY)
#: The modules that must survive the death of a thread at any line.
TRACED = tuple(f"_core/cache/{name}.py" for name in ("single_flight", "cache", "entry"))
DOWN = JwksException("HTTP 503", url=KEY, status_code=503, code="jwks_unavailable")


class Task:
    """A flow that runs until it wants something only the test can give: a reply, or patience."""

    def __init__(self, world: World, flow: Flow[Any]) -> None:
        self.world, self.flow = world, flow
        self.wants: Send | Wait | None = None
        self.done, self.result, self.error = False, None, None
        self._step(flow.send, None)

    def _step(self, step: Callable[[Any], Any], given: Any) -> None:
        self.wants = None
        try:
            while True:
                effect = step(given)
                match effect:
                    case Now():
                        step, given = self.flow.send, Clock(0.0, self.world.steady)
                    case Background(start):
                        step, given = self.flow.send, None
                        if self.world.no_background is not None:
                            step, given = self.flow.throw, self.world.no_background
                        else:
                            self.world.background.append(start)
                    case Wait(future, _) if future.done():
                        step, given = self.flow.send, future.result()
                    case _:
                        self.wants = effect
                        return
        except StopIteration as stop:
            self.done, self.result = True, stop.value
        except BaseException as error:  # kept for the test to look at
            self.done, self.error = True, error

    def reply(self, value: Any) -> Any:
        """Answer the pending request, with an exception to fail it."""
        assert isinstance(self.wants, Send)
        self._step(self.flow.throw if isinstance(value, BaseException) else self.flow.send, value)
        return self.outcome() if self.done else None

    def wake(self) -> None:
        """Go on if the future is resolved."""
        assert isinstance(self.wants, Wait)
        if self.wants.future.done():
            self._step(self.flow.send, self.wants.future.result())

    def lose_patience(self, advance: bool = True) -> None:
        assert isinstance(self.wants, Wait)
        if advance:
            self.world.steady += self.wants.seconds
        self._step(self.flow.send, IMPATIENT)

    def cancel(self, error: BaseException | None = None) -> None:
        self._step(self.flow.throw, error or KeyboardInterrupt())

    def outcome(self) -> Any:
        assert self.done, self.wants
        if self.error is not None:
            raise self.error
        return self.result


class World:
    """A cache, a clock and whatever was put off into the background."""

    def __init__(self, **options: Any) -> None:
        self.steady = 1000.0
        self.background: list[Callable[[], Flow[Any]]] = []
        self.no_background: BaseException | None = None
        self.cache: Cache[Any] = Cache("jwks", **{"jitter": lambda: 0.0, **options})
        self.times = {"fresh_for": 100.0, "stale_while_revalidate": 50.0, "stale_if_error": 1000.0}
        self.previous: list[Entry[Any] | None] = []

    def fetch(self, previous: Entry[Any] | None) -> Flow[Fetched[Any]]:
        self.previous.append(previous)
        value = yield from send(REQUEST)
        return Fetched(value, **self.times)

    def ask(self, key: Any = KEY, **options: Any) -> Task:
        return Task(self, cached(self.cache, key, self.fetch, **options))

    def force(self, key: Any = KEY, **options: Any) -> Task:
        return self.ask(key, **{"newer_than": self.cache.version(key), **options})

    def fill(self, value: Any = "old", key: Any = KEY) -> Entry[Any]:
        entry: Entry[Any] = self.ask(key).reply(value)
        return entry

    def outage(self, error: Exception = DOWN, key: Any = KEY) -> None:
        with pytest.raises(type(error)):
            self.ask(key).reply(error)

    def in_background(self) -> Task:
        return Task(self, self.background.pop(0)())

    def peek(self, key: Any = KEY) -> Any:
        entry = self.cache.peek(key, self.steady)
        return None if entry is None else entry.value

    def state(self, key: Any = KEY) -> str:
        return self.cache.snapshot(key, self.steady).state


@pytest.fixture
def world() -> World:
    return World()


@contextmanager
def recorded() -> Iterator[list[Event]]:
    events: list[Event] = []
    add_observer(events.append)
    try:
        yield events
    finally:
        remove_observer(events.append)


# --- fresh and stale


def test_the_first_caller_fetches_and_later_ones_take_what_it_brought(world: World) -> None:
    """A cold caller fetches; everybody after it gets the same entry without a fetch."""
    assert world.peek() is None
    entry = world.fill("keys")
    assert entry.value == world.peek() == world.ask().outcome().value == "keys"
    assert (entry.started_at, entry.fresh_until, entry.stale_until) == (1000.0, 1100.0, 2100.0)


def test_followers_share_one_fetch(world: World) -> None:
    """Callers that come during a fetch wait for that fetch."""
    leader, followers = world.ask(), [world.ask() for _ in range(5)]
    assert all(isinstance(f.wants, Wait) for f in followers)
    entry = leader.reply("keys")
    for follower in followers:
        follower.wake()
        assert follower.outcome() is entry


def test_an_entry_is_refreshed_ahead_in_the_background_by_one_caller(world: World) -> None:
    """From 80 % of its freshness on the first who asks starts a refresh, and nobody waits for it."""
    world.fill()
    world.steady += 79.9
    assert world.peek() == "old"
    world.steady += 0.1
    assert world.peek() is None
    assert [world.ask().outcome().value for _ in range(3)] == ["old"] * 3
    assert len(world.background) == 1
    assert world.peek() == "old", "while the refresh is under way there is nothing to decide"
    world.in_background().reply("new")
    assert world.peek() == "new"
    assert world.cache.refreshes == 1


def test_a_stale_entry_is_used_at_once_while_it_is_refreshed(world: World) -> None:
    """After its freshness, within stale-while-revalidate, an entry is used without waiting."""
    world.fill()
    world.steady += 149
    assert world.ask().outcome().value == "old"
    assert world.state() == "stale"
    slow = world.in_background()
    world.steady += 5
    assert world.peek() is None
    assert world.ask().outcome().value == "old", "a slow refresh keeps nobody waiting"
    slow.reply("new")
    assert world.peek() == "new"


def test_past_stale_while_revalidate_a_quick_refresh_comes_first(world: World) -> None:
    """An entry nobody asked for in a long time is not used before one attempt to refresh it."""
    world.fill()
    world.steady += 500
    first = world.ask()
    assert world.peek() is None, "the fast path lets no caller past"
    second = world.ask()
    assert isinstance(first.wants, Wait)
    assert first.wants.seconds == GRACE
    world.in_background().reply("new")
    for task in (first, second):
        task.wake()
        assert task.outcome().value == "new"


def test_past_stale_while_revalidate_nobody_waits_for_a_slow_or_failing_refresh(world: World) -> None:
    """The wait for the first attempt is short, is over once it failed, and does not begin again."""
    world.fill()
    world.steady += 500
    first = world.ask()
    refresh = world.in_background()
    first.lose_patience()
    assert first.outcome().value == "old"
    assert world.ask().outcome().value == "old", "it is slow: not waited for again"
    assert world.peek() == "old"
    refresh.reply(DOWN)
    assert world.ask().outcome().value == "old"
    world.steady += 1
    assert world.ask().outcome().value == "old"
    assert len(world.background) == 1


def test_a_failure_of_long_ago_excuses_no_stale_entry(world: World) -> None:
    """Where nobody asked since an outage, the provider may have changed its keys: one attempt comes first."""
    world.fill()
    world.steady += 80
    world.ask()
    world.in_background().reply(DOWN)
    world.steady += 600
    task = world.ask()
    assert isinstance(task.wants, Wait)
    world.in_background().reply("new")
    task.wake()
    assert task.outcome().value == "new"


def test_past_stale_while_revalidate_a_failing_refresh_ends_the_wait(world: World) -> None:
    """A caller that waits for the first attempt gets the stale entry as soon as it fails."""
    world.fill()
    world.steady += 500
    task = world.ask()
    world.in_background().reply(DOWN)
    task.wake()
    assert task.outcome().value == "old"


def test_staleness_is_bounded(world: World) -> None:
    """After stale_until the entry is not used any more, whatever happens."""
    entry = world.fill()
    world.steady = entry.stale_until - 0.1
    task = world.ask()
    world.in_background().reply(DOWN)
    task.wake()
    assert task.outcome().value == "old"
    world.steady = entry.stale_until
    assert world.peek() is None
    with pytest.raises(JwksException):
        world.ask().outcome()
    world.steady += 1
    with pytest.raises(JwksException):
        world.ask().reply(DOWN)
    assert world.state() == "failing"


def test_without_stale_times_an_expired_entry_is_fetched_in_the_foreground(world: World) -> None:
    """stale_if_error=0 is strict: the caller waits for the fetch and hears of its failure."""
    world.times = {"fresh_for": 100.0}
    world.fill()
    world.steady += 100
    with pytest.raises(JwksException):
        world.ask().reply(DOWN)
    assert world.peek() is None


def test_the_fetch_gets_the_previous_entry_to_renew_it(world: World) -> None:
    """A conditional request needs the last ETag; the renewed value is a new entry."""

    def fetch(previous: Entry[str] | None) -> Flow[Fetched[str]]:
        seen.append(previous)
        yield from send(REQUEST)
        return Fetched("keys" if previous is None else previous.value, 100.0, etag='"1"')

    seen: list[Entry[str] | None] = []
    first = Task(world, cached(world.cache, KEY, fetch)).reply(None)
    second = Task(world, cached(world.cache, KEY, fetch, newer_than=first.version)).reply(None)
    assert seen == [None, first]
    assert first.etag == '"1"'
    assert second.value is first.value
    assert second.version > first.version


def test_the_time_a_fetch_took_counts_as_age(world: World) -> None:
    """RFC 9111 4.2.3: freshness runs from the moment the request was made."""
    task = world.ask()
    world.steady += 10
    entry = task.reply("keys")
    assert (entry.started_at, entry.fetched_at, entry.fresh_until) == (1000.0, 1010.0, 1100.0)


# --- failures


def test_a_failure_is_never_an_answer_and_holds_the_next_attempt_back(world: World) -> None:
    """After a failure callers get a copy of it at once, with the time of the next attempt; then one tries again."""
    world.outage()
    world.steady += 0.2
    with pytest.raises(JwksException) as caught:
        world.ask().outcome()
    assert caught.value is not DOWN
    assert (caught.value.code, caught.value.status_code) == ("jwks_unavailable", 503)
    assert caught.value.retry_after == pytest.approx(0.3)
    world.steady += 0.31
    assert world.ask().reply("keys").value == "keys"
    assert world.state() == "fresh"


def test_the_leader_tells_when_to_ask_again(world: World) -> None:
    """The error of the fetch itself carries the pause that follows, unless the provider named one."""
    with pytest.raises(JwksException) as caught:
        world.ask().reply(JwksException("HTTP 503"))
    assert caught.value.retry_after == 0.5
    with pytest.raises(JwksException) as caught:
        world.ask("other").reply(JwksException("HTTP 429", retry_after=600))
    assert caught.value.retry_after == 600


def test_pauses_double_up_to_half_a_minute(world: World) -> None:
    """0.5 s, 1 s, 2 s and so on; jitter lengthens a pause by up to a quarter."""
    pauses = []
    for _ in range(9):
        world.outage()
        pauses.append(world.cache.snapshot(KEY, world.steady).next_attempt)
        world.steady += pauses[-1]
    assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 24, 24, 24])
    shaky = World(jitter=lambda: 1.0)
    for _ in range(9):
        shaky.outage()
        longest = shaky.cache.snapshot(KEY, shaky.steady).next_attempt
        shaky.steady += longest
    assert longest == pytest.approx(30)


@pytest.mark.parametrize(("asked", "pause"), [(7.0, 7.0), (0.0, 0.5), (0.01, 0.5), (3600.0, 120.0), (-1.0, 0.5)])
def test_the_provider_may_ask_for_the_pause(world: World, asked: float, pause: float) -> None:
    """Retry-After sets the pause, within bounds."""
    world.outage(JwksException("HTTP 429", retry_after=asked))
    assert world.cache.snapshot(KEY, world.steady).next_attempt == pytest.approx(pause)


def test_followers_share_the_failure_without_a_stampede(world: World) -> None:
    """When a cold fetch fails every follower gets its own copy of the error, and nobody fetches again."""
    leader, followers = world.ask(), [world.ask() for _ in range(9)]
    with pytest.raises(JwksException):
        leader.reply(DOWN)
    for follower in followers:
        follower.wake()
    errors = [f.error for f in followers]
    assert {type(e) for e in errors} == {JwksException}
    assert len({id(e) for e in errors}) == 9
    assert len(world.previous) == 1


def test_a_kept_error_holds_neither_traceback_nor_cause(world: World) -> None:
    """What is kept and shared must not keep frames, and the secrets in them, alive."""
    error = JwksException("HTTP 503", details={"attempts": 2})
    try:
        raise error from ValueError("secret")
    except JwksException:
        world.outage(error)
    with pytest.raises(JwksException) as caught:
        world.ask().outcome()
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert caught.value.details == error.details
    assert caught.value.details is not error.details


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationException("closed", code="http_client_closed"),
        ConfigurationException("bad CA", code="ca_bundle_invalid"),
        NetworkException("unbuildable", code="request_invalid"),
        ZeroDivisionError("secret"),
    ],
)
def test_what_a_caller_did_wrong_harms_nobody_else(world: World, error: Exception) -> None:
    """A closed client, a bad CA file or a broken function of one caller: followers lead, nothing is remembered."""
    leader, follower = world.ask(), world.ask()
    with pytest.raises(type(error)):
        leader.reply(error)
    assert world.state() == "absent"
    follower.wake()
    assert follower.reply("keys").value == "keys"
    assert world.peek() == "keys"


def test_what_a_caller_did_wrong_in_a_refresh_is_not_remembered(world: World) -> None:
    """A forced or a background refresh that fails by the caller's own fault leaves neither outage nor pause."""
    world.fill()
    with pytest.raises(ConfigurationException):
        world.force().reply(ConfigurationException("closed"))
    assert world.state() == "fresh"
    assert world.force().reply("new").value == "new"
    world.steady += 80
    world.ask()
    assert world.in_background().reply(ConfigurationException("closed")) is None
    assert world.ask().outcome().value == "new"
    world.in_background().reply("newer")
    assert world.peek() == "newer"


def test_after_a_failure_the_next_fetch_goes_without_its_condition(world: World) -> None:
    """The entity tag may have been why it failed: the attempt after a failure is unconditional (K6)."""

    def fetch(previous: Entry[str] | None) -> Flow[Fetched[str]]:
        tags.append(previous and previous.etag)
        return Fetched((yield from send(REQUEST)), 100.0, 0.0, 1000.0, '"1"')

    tags: list[str | None] = []
    Task(world, cached(world.cache, KEY, fetch)).reply("keys")
    for answer in (DOWN, "new", "newer"):
        task = Task(world, cached(world.cache, KEY, fetch, newer_than=world.cache.version(KEY), cooldown=0))
        task._step(task.flow.throw if isinstance(answer, Exception) else task.flow.send, answer)
        world.steady += 1
    assert tags == [None, '"1"', None, '"1"']


def test_a_failing_refresh_leaves_the_good_entry_in_place(world: World) -> None:
    """A refresh that fails, for whatever reason, replaces nothing."""
    world.fill()
    world.steady += 80
    world.ask()
    assert world.in_background().reply(DOWN) is None
    assert world.peek() == "old"
    world.steady += 0.6
    assert world.ask().outcome().value == "old"
    assert len(world.background) == 1, "the next attempt is due"


def test_a_caller_during_the_pause_starts_no_refresh(world: World) -> None:
    """The pause holds for everybody: also past the fast path, and for forced refreshes with a full ration."""
    world.fill()
    world.steady += 80
    world.ask()
    world.in_background().reply(DOWN)
    assert world.ask().outcome().value == "old"
    assert not world.background
    forced = world.force()
    assert isinstance(forced.error, JwksException)
    assert forced.error.retry_after == pytest.approx(0.5)
    assert world.cache.snapshot(KEY, world.steady + 1).refresh_in == 0, "being refused costs nothing"


def test_the_longer_of_the_two_stale_times_counts(world: World) -> None:
    """RFC 5861 3: stale-while-revalidate holds also where stale-if-error is shorter."""
    world.times = {"fresh_for": 100.0, "stale_while_revalidate": 50.0, "stale_if_error": 10.0}
    assert world.fill().stale_until == 1150.0


def test_a_dead_provider_is_asked_at_the_pace_of_the_back_off(world: World) -> None:
    """Through an outage of a quarter of an hour entries are used from the lock-free path, and attempts stay rare."""
    world.fill()
    world.steady += 80
    attempts = missed = 0
    for _ in range(3600):
        if world.peek() is None:
            missed += 1
            assert world.ask().outcome().value == "old"
        while world.background:
            attempts += 1
            world.in_background().reply(DOWN)
        world.steady += 0.25
    assert attempts < 45
    assert missed < 50


def test_an_outage_is_told_once_and_so_is_its_end(world: World) -> None:
    """Events: each failed refresh, the first use of a stale entry, the recovery."""
    world.fill()
    world.steady += 81
    with recorded() as events:
        for _ in range(3):
            world.ask()
            world.in_background().reply(DOWN)
            world.steady += 5
        assert [e.name for e in events] == ["cache_refresh_failed"] * 3
        world.steady = 1100
        assert world.peek() is None, "the first stale use is not hidden by the fast path"
        for _ in range(3):
            world.ask()
        assert [e.name for e in events][3:] == ["cache_stale_served"]
        world.in_background().reply("new")
    assert [e.name for e in events][4:] == ["cache_recovered"]
    assert events[0].facts == {
        "cache": "jwks",
        "key": KEY,
        "error": "JwksException",
        "code": "jwks_unavailable",
        "failures": 1,
        "next_attempt": 0.5,
    }
    assert events[3].facts["code"] == "jwks_unavailable"
    assert events[4].facts["failures"] == 3


# --- forced refreshes


def test_a_key_published_a_moment_after_the_first_fetch_is_found_at_once(world: World) -> None:
    """The cooldown does not start at the first fill: two forced refreshes are free."""
    world.fill()
    assert world.force().reply("new").value == "new"
    assert world.force().reply("newer").value == "newer"
    with pytest.raises(RefreshDenied) as caught:
        world.force().outcome()
    assert caught.value.retry_after == 5.0
    assert isinstance(caught.value, NetworkException)
    assert world.peek() == "newer"


def test_after_the_burst_there_is_one_forced_refresh_per_cooldown(world: World) -> None:
    """A flood of unknown keys reaches the provider once per cooldown, twice at first."""
    world.fill()
    requests = 0
    for _ in range(600):
        task = world.force(patience=0)
        if isinstance(task.wants, Send):
            requests += 1
            task.reply("same")
        world.steady += 0.1
    assert requests == 2 + 60 / 5 - 1


def test_failed_forced_refreshes_count(world: World) -> None:
    """A flood against a failing provider stays within the same ration, and hears that nothing can be verified now."""
    world.fill()
    requests = 0
    for _ in range(600):
        task = world.force(patience=0)
        if isinstance(task.wants, Send):
            requests += 1
            with pytest.raises(JwksException):
                task.reply(DOWN)
        assert isinstance(task.error, JwksException), "never RefreshDenied: that would say the token is at fault"
        assert task.error.retry_after is not None
        assert world.peek() == "old" or world.steady >= 1080
        world.ask()
        world.background.clear()
        world.steady += 0.1
    assert requests <= 13


def test_a_cooldown_of_zero_rations_nothing(world: World) -> None:
    """Who sets it to 0 gets a fetch whenever asked for, one at a time."""
    world.fill()
    for n in range(5):
        assert world.force(cooldown=0).reply(n).value == n
    assert world.cache.snapshot(KEY, world.steady).refresh_in == 0


def test_forced_refreshes_are_shared(world: World) -> None:
    """A rotation under many tokens is one fetch, and all of them get the new set."""
    entry = world.fill()
    leader, followers = world.force(), [world.force() for _ in range(99)]
    new = leader.reply("new")
    for follower in followers:
        follower.wake()
        assert follower.outcome() is new
    late = world.ask(newer_than=entry.version)
    assert late.outcome() is new, "who still has the old version needs no fetch either"
    assert len(world.previous) == 2


def test_a_forced_refresh_follows_one_in_the_background(world: World) -> None:
    """A refresh under way is followed to its end, no matter who began it and why."""
    world.fill()
    world.steady += 80
    world.ask()
    refresh, forced = world.in_background(), world.force()
    refresh.reply("new")
    forced.wake()
    assert forced.outcome().value == "new"
    assert world.cache.snapshot(KEY, world.steady).refresh_in == 0, "it cost nothing"


def test_a_forced_refresh_of_nothing_is_a_first_fill(world: World) -> None:
    """Without a usable entry there is nothing to ration."""
    for n in range(4):
        assert world.ask(newer_than=n * 2).reply("keys").value == "keys"
        world.cache.remove(KEY)


def _spend(world: World) -> None:
    world.fill()
    for _ in range(BURST):
        world.force().reply("same")


def test_waiting_for_the_next_refresh_is_bounded_in_time(world: World) -> None:
    """Within the patience callers wait and share the next refresh; beyond it they are refused at once."""
    _spend(world)
    assert isinstance(world.force().error, RefreshDenied)
    world.steady += 2.75  # 2.25 s are more than the two that callers wait unless told otherwise
    assert isinstance(world.force().error, RefreshDenied)
    world.steady += 0.75
    first, second = world.force(), world.force()
    assert isinstance(first.wants, Wait)
    assert first.wants.seconds == pytest.approx(1.5, abs=0.01)
    assert world.cache.snapshot(KEY, world.steady).waiters == 2
    first.lose_patience()
    second.lose_patience(advance=False)
    assert first.reply("new").value == "new"
    second.wake()
    assert second.outcome().value == "new"
    assert world.cache.snapshot(KEY, world.steady).waiters == 0


def test_waiting_for_the_next_refresh_is_bounded_in_number(world: World) -> None:
    """A flood cannot park more than so many callers; a place is free again when one gives up."""
    world = World(max_waiters=3)
    _spend(world)
    world.steady += 4
    waiting = [world.force() for _ in range(3)]
    refused = world.force()
    assert isinstance(refused.error, RefreshCrowded)
    assert refused.error.retry_after == pytest.approx(1.0)
    waiting[0].cancel()
    assert isinstance(waiting[0].error, KeyboardInterrupt)
    waiting.append(world.force())
    assert isinstance(waiting[-1].wants, Wait)
    assert isinstance(world.force().error, RefreshDenied)


def test_logins_wait_beside_the_places_of_others(world: World) -> None:
    """Callers whose number the application bounds wait without a place, as long as they are ready to."""
    world = World(max_waiters=1)
    _spend(world)
    placed = world.force(patience=6.0)
    assert isinstance(placed.wants, Wait)
    assert isinstance(world.force(patience=6.0).error, RefreshCrowded)
    login = world.force(patience=6.0, counted=False)
    assert isinstance(login.wants, Wait)
    login.lose_patience()
    assert login.reply("new").value == "new"


def test_where_waiting_blocks_threads_few_follow_a_refresh_in_a_flood() -> None:
    """All may follow the first refreshes for a moment; those that a flood causes later, only as many as have places."""
    world = World(max_waiters=2, bounds_followers=True)
    world.fill()
    leader, followers = world.force(), [world.force() for _ in range(5)]
    assert [follower.wants.seconds > GRACE for follower in followers] == [True, True, False, False, False]  # type: ignore[union-attr] # they wait
    followers[4].lose_patience()
    assert isinstance(followers[4].error, RefreshCrowded)
    assert followers[4].error.code == "refresh_crowded"
    assert isinstance(world.force().error, RefreshCrowded), "it is slow: nobody else waits"
    leader.reply("same")
    for follower in followers[:4]:
        follower.wake()
        assert follower.outcome().value == "same"
    world.force().reply("same")
    world.steady += 5
    flooded = [world.force() for _ in range(5)]
    assert isinstance(flooded[0].wants, Send)
    assert [isinstance(task.error, RefreshCrowded) for task in flooded[1:]] == [False, False, True, True]


def test_places_of_waiters_that_vanished_are_free_again_in_time(world: World) -> None:
    """A waiter whose thread was killed does not hold its place for ever."""
    world = World(max_waiters=1)
    _spend(world)
    world.steady += 4
    lost = world.force()
    world.steady += 1
    world.force().reply("same")
    world.steady += 4
    assert isinstance(world.force().wants, Wait)
    assert lost.wants


def test_waiters_are_woken_by_any_refresh_that_ends(world: World) -> None:
    """A refresh that comes earlier for another reason serves those who wait for a permitted one."""
    _spend(world)
    world.steady += 4
    waiter = world.force()
    world.steady += 0.1
    lease = world.cache.claim(KEY, world.steady, newer_than=world.cache.version(KEY), cooldown=0).lease  # type: ignore[union-attr] # it leads
    world.cache.settle(lease, Fetched("new", 100.0), world.steady)
    waiter.wake()
    assert waiter.outcome().value == "new"


def test_who_may_not_block_is_refused_instead_of_waiting(world: World) -> None:
    """A sync call on the thread of a loop cannot wait for the next refresh: it is refused with its time."""
    _spend(world)
    world.steady += 4
    task = world.force()
    task.lose_patience(advance=False)
    assert isinstance(task.error, RefreshDenied)
    assert task.error.retry_after == pytest.approx(1.0)
    assert world.cache.snapshot(KEY, world.steady).waiters == 0


def test_a_refused_refresh_survives_pickling() -> None:
    """The refusal crosses process borders like every other exception."""
    again = pickle.loads(pickle.dumps(RefreshDenied(2.5)))
    assert (type(again), again.retry_after, again.code) == (RefreshDenied, 2.5, "refresh_denied")


# --- leaders that do not come back


@pytest.mark.parametrize("how", ["cancelled", "closed", "collected"])
def test_a_cancelled_leader_hands_over(world: World, how: str) -> None:
    """When the leader is cancelled a follower fetches, the others follow it, and nothing is held back."""
    leader, followers = world.ask(), [world.ask() for _ in range(3)]
    if how == "cancelled":
        leader.cancel()
    elif how == "closed":
        leader.flow.close()
    else:
        del leader
        gc.collect()
    for follower in followers:
        follower.wake()
    assert [type(f.wants) for f in followers] == [Send, Wait, Wait]
    followers[0].reply("keys")
    followers[1].wake()
    assert followers[1].outcome().value == "keys"


def test_a_cancelled_follower_harms_nobody(world: World) -> None:
    """A caller that stops waiting leaves leader and other followers alone, even by cancelling the future."""
    leader, gone, other = world.ask(), world.ask(), world.ask()
    assert isinstance(gone.wants, Wait)
    assert not gone.wants.future.cancel()
    gone.cancel()
    leader.reply("keys")
    other.wake()
    assert other.outcome().value == "keys"


def test_a_cancelled_forced_leader_hands_its_permission_over_once(world: World) -> None:
    """The successor of a cancelled leader need not pay again; cancelling over and over is no way around the ration."""
    world.fill()
    requests = 0
    for _ in range(10):
        task = world.force(patience=0)
        if isinstance(task.wants, Send):
            requests += 1
            task.cancel()
    assert requests == BURST + 1


def test_a_cancelled_background_refresh_is_begun_again(world: World) -> None:
    """A refresh that ends with its event loop is taken up by the next caller."""
    world.fill()
    world.steady += 80
    world.ask()
    world.in_background().cancel()
    assert world.peek() is None
    assert world.ask().outcome().value == "old"
    assert len(world.background) == 1


def test_a_dead_leader_loses_its_lease(world: World) -> None:
    """A leader that never comes back holds others up only until its lease expires; late, it changes nothing newer."""
    dead, follower = world.ask(), world.ask()
    assert isinstance(follower.wants, Wait)
    assert follower.wants.seconds == 60.0
    world.steady += 60
    heir = world.ask()
    assert heir.reply("new").value == "new"
    assert dead.reply("old").value == "old"
    assert world.peek() == "new"
    with recorded() as events:
        assert not events
    world.steady += 79
    assert world.peek() == "new"


def test_a_late_failure_of_an_overtaken_leader_counts_for_nothing(world: World) -> None:
    """What an overtaken fetch brings, good or bad, is older than what is there."""
    slow = world.ask()
    world.steady += 60
    world.ask().reply("new")
    with recorded() as events, pytest.raises(JwksException):
        slow.reply(DOWN)
    assert not events
    assert world.state() == "fresh"
    assert world.cache.snapshot(KEY, world.steady).failure is None


def test_an_overtaken_leader_that_comes_first_is_welcome(world: World) -> None:
    """Its value is kept until the later fetch is done."""
    slow = world.ask()
    world.steady += 60
    later = world.ask()
    slow.reply("old")
    world.steady += 0.1
    assert world.ask().outcome().value == "old"
    assert isinstance(world.force().wants, Wait), "the later fetch is still the one to follow"
    later.reply("new")
    assert world.peek() == "new"


def test_who_may_not_block_fetches_alone(world: World) -> None:
    """Where waiting is impossible the caller fetches itself, and what it brings is kept."""
    leader, alone = world.ask(), world.ask()
    alone.lose_patience(advance=False)
    assert alone.reply("alone").value == "alone"
    assert world.peek() == "alone"
    assert leader.reply("leader").value == "leader"
    assert world.peek() == "alone"


def test_who_may_not_block_is_rationed_as_well(world: World) -> None:
    """Forced refreshes without waiting draw from the same bucket."""
    world.fill()
    leader, tasks = world.force(), [world.force(patience=0) for _ in range(5)]
    assert isinstance(leader.wants, Send)
    for task in tasks:
        task.lose_patience(advance=False)
    assert [type(t.wants) for t in tasks] == [Send, Wait, Wait, Wait, Wait]
    for task in tasks[1:]:
        task.lose_patience(advance=False)
        assert isinstance(task.error, RefreshDenied)


def test_no_thread_for_the_background_harms_no_caller(world: World) -> None:
    """Where nothing can run in the background the stale entry is used all the same."""
    world.fill()
    world.steady += 120
    world.no_background = RuntimeError("can't start new thread")
    assert world.ask().outcome().value == "old"
    world.no_background = KeyboardInterrupt()
    assert isinstance(world.ask().error, KeyboardInterrupt)
    world.no_background = None
    assert world.ask().outcome().value == "old"
    world.in_background().reply("new")
    assert world.peek() == "new"


def _thread_can_lock(cache: Cache[Any]) -> bool:
    got: list[bool] = []

    def take() -> None:
        got.append(cache._lock.acquire(timeout=1))
        cache._lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return got == [True]


def _die_at(line: int, job: Callable[[], Any]) -> bool:
    """Run *job*, raise SystemExit at the line of that number inside the cache; tell whether there was one."""
    seen = 0

    def tracer(frame: Any, event: str, _: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.endswith(TRACED):
            return None
        # Leaving a with statement is traced as its first line, before the lock is released: no place to die for real.
        if event == "line" and not linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith(
            "with "
        ):
            seen += 1
            if seen == line:
                raise SystemExit
        return tracer

    before = sys.gettrace()
    gc.disable()  # another test's generator, closed by the collector in the middle of this, would be traced as well
    sys.settrace(tracer)
    try:
        job()
    except SystemExit:
        pass
    finally:
        sys.settrace(before)
        gc.enable()
    return seen >= line


@pytest.mark.parametrize("what", ["cold", "refresh", "forced", "failing"])
def test_a_thread_that_dies_at_any_line_leaves_a_cache_that_works(what: str) -> None:
    """Wherever a leader dies, no lock stays held and, once its lease has expired, the next caller fetches."""
    line = 1
    while True:
        world = World()
        job = _scene(world, what)
        if not _die_at(line, job):
            break
        assert _thread_can_lock(world.cache)
        world.background.clear()
        world.steady += 60
        task = world.force()
        if isinstance(task.wants, Wait):
            task.lose_patience()
        assert isinstance(task.wants, Send), (what, line)
        assert task.reply("new").value == world.peek() == "new", (what, line)
        line += 1
    assert line > 40


def _scene(world: World, what: str) -> Callable[[], Any]:
    def lead() -> None:
        task = world.force() if what == "forced" else world.ask()
        task = world.in_background() if world.background else task
        if isinstance(task.wants, Send):
            task._step(*((task.flow.throw, DOWN) if what == "failing" else (task.flow.send, "first")))
        if isinstance(task.error, SystemExit):
            raise task.error

    if what in ("refresh", "forced"):
        world.fill()
        world.steady += 85 if what == "refresh" else 0
    return lead


# --- forgetting


def test_clear_beats_a_fetch_in_flight(world: World) -> None:
    """What was asked for before clear() is not kept, good or bad; counters start again."""
    good, bad = world.ask("good"), world.ask("bad")
    world.fill()
    world.cache.clear()
    assert world.cache.info() == (0, 0, 128, 0)
    assert good.reply("old").value == "old"
    with pytest.raises(JwksException):
        bad.reply(DOWN)
    assert world.peek() is world.peek("good") is None
    assert isinstance(world.ask("good").wants, Send)
    assert isinstance(world.ask("bad").wants, Send)


def test_remove_beats_a_fetch_in_flight(world: World) -> None:
    """remove() forgets one key, also what is on its way."""
    world.fill()
    world.fill(key="other")
    refresh = world.force()
    assert world.cache.remove(KEY)
    assert not world.cache.remove(KEY)
    refresh.reply("new")
    assert world.peek() is None
    assert world.peek("other") == "old"


def test_remove_of_another_key_leaves_a_refresh_usable(world: World) -> None:
    """A refresh that is not kept for the sake of remove() is simply begun again."""
    world.fill()
    world.steady += 80
    world.ask()
    refresh = world.in_background()
    world.cache.remove("other")
    refresh.reply("new")
    assert world.peek() is None
    assert world.ask().outcome().value == "old"
    world.in_background().reply("new")
    assert world.peek() == "new"


def test_a_cleared_cache_ignores_a_cancelled_leader(world: World) -> None:
    """A leader cancelled after clear() finds nothing of its own left, and harms nothing."""
    leader = world.ask()
    waiting = Task(world, cached(world.cache, KEY, world.fetch))
    world.cache.clear()
    leader.cancel()
    waiting.wake()
    waiting.reply("new")
    assert world.peek() == "new"


def test_a_waiter_survives_clear(world: World) -> None:
    """Who waits for the next permitted refresh asks again, and fetches, after clear()."""
    _spend(world)
    world.steady += 4
    waiter = world.force()
    world.cache.clear()
    waiter.lose_patience()
    assert waiter.reply("new").value == "new"


# --- bounds


def test_entries_in_use_survive_a_flood_of_others() -> None:
    """Second chance: what was read since the last round is not pushed out by what nobody reads."""
    world = World(maxsize=8)
    world.fill("hot", "hot")
    for n in range(500):
        assert world.peek("hot") == "hot"
        world.fill(n, ("cold", n))
    assert world.cache.info().currsize == 8
    assert world.peek("hot") == "hot"
    assert world.peek(("cold", 499)) == 499
    assert world.peek(("cold", 400)) is None


def test_what_nobody_vouched_for_makes_room_first() -> None:
    """Entries that only strangers asked for never push out one that was in use, however rarely it is asked for."""
    world = World(maxsize=8)
    for n in range(6):
        world.fill(n, n)
        world.cache.vouch(n)
    for n in range(500):
        world.ask(("forged", n), vouched=False).reply(n)
        assert world.ask(("forged", n), vouched=False).outcome().value == n
        assert world.cache.look(("forged", n), world.steady)
    assert [world.peek(n) for n in range(6)] == list(range(6))
    assert world.cache.info().currsize == 8
    world.cache.vouch(("forged", 499))
    world.fill("new", "new")
    assert world.peek(("forged", 499)) == 499


def test_who_uses_an_entry_vouches_for_it_unless_told_otherwise() -> None:
    """A second use is enough for an entry to outlive what strangers ask for."""
    world = World(maxsize=2)
    world.fill("ours", "ours")
    assert world.ask("ours").outcome().value == "ours"
    for n in range(3):
        world.ask(n, vouched=False).reply(n)
    assert world.state("ours") == "fresh"


def test_a_cache_full_of_entries_in_use_still_takes_a_new_one() -> None:
    """A new entry is kept even if all others are in use."""
    world = World(maxsize=4)
    for n in range(8):
        world.fill(n, n)
        for m in range(n + 1):
            world.peek(m)
        assert world.peek(n) == n
    assert world.cache.info().currsize == 4


def test_keys_that_only_fail_push_nothing_out_and_are_bounded() -> None:
    """Leases, failures and rations of absent keys are bounded, and never cost an entry."""
    world = World(maxsize=8)
    for n in range(8):
        world.fill(n, n)
    for n in range(500):
        world.outage(key=("bad", n))
    assert [world.peek(n) for n in range(8)] == list(range(8))
    assert len(world.cache._absent) == 8
    assert world.cache.info().currsize == 8


def test_a_fetch_whose_key_was_pushed_out_meanwhile_still_counts() -> None:
    """Too many keys in flight cost sharing, not results."""
    world = World(maxsize=2)
    first, failing = world.ask("a"), world.ask("x")
    for n in range(4):
        world.ask(("cold", n))
    first.reply("keys")
    assert world.peek("a") == "keys"
    with pytest.raises(JwksException):
        failing.reply(DOWN)
    assert world.state("x") == "failing"
    cancelled = world.ask("b")
    world.ask(("cold", 5)), world.ask(("cold", 6))
    cancelled.cancel()
    assert isinstance(cancelled.error, KeyboardInterrupt)


def test_counters_count_uses_and_fetches(world: World) -> None:
    """Every use is a hit, every fetch or wait for one a miss; forced refreshes are counted when they are done."""
    leader, follower = world.ask(), world.ask()
    leader.reply("keys")
    follower.wake()
    world.peek()
    world.ask()
    assert world.cache.info() == (2, 2, 128, 1)
    world.force().reply("new")
    assert world.cache.info() == (2, 2, 128, 1)
    assert world.cache.refreshes == 1


def test_the_snapshot_tells_how_a_key_is_doing(world: World) -> None:
    """Health checks see state, age, last error, next attempt, and the time of the next forced refresh."""
    assert world.cache.snapshot(KEY, 0.0) == ("absent", None, None, None, 0.0, 0.0, 0, False)
    task = world.ask()
    assert world.cache.snapshot(KEY, world.steady).fetching
    entry = task.reply("keys")
    world.steady += 10
    snapshot = world.cache.snapshot(KEY, world.steady)
    assert snapshot == ("fresh", entry, 10.0, None, 70.0, 0.0, 0, False)
    world.steady += 100
    world.ask()
    world.in_background().reply(DOWN)
    world.steady += 0.2
    snapshot = world.cache.snapshot(KEY, world.steady)
    assert snapshot.state == "stale"
    assert snapshot.failure is not None
    assert snapshot.failure._replace(age=0) == ("JwksException", "jwks_unavailable", "HTTP 503", 0, 1)
    assert snapshot.failure.age == pytest.approx(0.2)
    assert snapshot.next_attempt == snapshot.refresh_in == pytest.approx(0.3)
    world.steady = entry.stale_until
    assert world.state() == "failing"


def test_a_forked_child_starts_without_locks_and_fetches_of_the_parent(world: World) -> None:
    """After a fork entries are there, and what the parent's threads held is not."""
    world.fill()
    in_flight, forced = world.ask("other"), world.force()
    world.cache._lock.acquire()
    fork_lock.after_fork()
    assert world.peek() is None, "the first look asks the cache"
    assert world.ask().outcome().value == "old"
    assert world.peek() == "old"
    assert world.ask("other").reply("new").value == "new"
    assert in_flight.wants
    assert forced.wants


# --- freshness

MONDAY = 1_767_571_200.0  # Mon, 05 Jan 2026 00:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 3600),
        ({"cache-control": "public, max-age=600"}, 600),
        ({"cache-control": "MAX-AGE=600"}, 600),
        ({"cache-control": 'max-age="600"'}, 600),
        ({"cache-control": "max-age=600, max-age=900"}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": "banana"}, 600),
        ({"cache-control": "max-age=600", "age": "9999"}, 60),
        ({"cache-control": "max-age=600", "expires": "0"}, 600),
        ({"cache-control": "max-age=1"}, 60),
        ({"cache-control": "max-age=" + "9" * 5000}, 86400),
        ({"cache-control": "max-age=-5"}, 60),
        ({"cache-control": "max-age=\u0661\u0662"}, 60),
        ({"cache-control": "max-age"}, 60),
        ({"cache-control": "no-store, max-age=600"}, 60),
        ({"cache-control": "no-cache"}, 60),
        ({"cache-control": "public"}, 3600),
        ({"expires": "Mon, 05 Jan 2026 00:10:00 GMT"}, 600),
        ({"expires": "Mon, 05 Jan 2026 00:10:00 GMT", "date": "Mon, 05 Jan 2026 00:05:00 GMT"}, 300),
        ({"expires": "Mon, 05 Jan 2026 00:10:00 GMT", "date": "yesterday", "age": "100"}, 500),
        ({"expires": "0"}, 60),
        ({"expires": "Mon, 05 Jan 0000 00:10:00 GMT"}, 60),
        ({"expires": "Sat, 01 Jan 9999 00:00:00 GMT"}, 86400),
    ],
)
def test_the_provider_says_how_long_its_answer_is_fresh(headers: dict[str, str], expected: float) -> None:
    """RFC 9111 4.2: max-age before Expires, less Age, within 60 s and a day; the default where it says nothing."""
    assert freshness(Reply(200, tuple(headers.items())), MONDAY, 3600.0, 86400.0).fresh_for == expected


@pytest.mark.parametrize(
    ("cache_control", "max_stale", "expected"),
    [
        ("max-age=600", 86400, (600, 0, 86400)),
        ("max-age=600", 300, (600, 0, 300)),
        ("max-age=600", 0, (600, 0, 0)),
        ("max-age=600, stale-if-error=120", 86400, (600, 0, 120)),
        ("max-age=600, stale-if-error=0", 86400, (600, 0, 0)),
        ("max-age=600, stale-while-revalidate=30", 86400, (600, 30, 86400)),
        ("max-age=600, stale-while-revalidate=999999, stale-if-error=999999", 3600, (600, 3600, 3600)),
        ("no-store", 86400, (60, 0, 86400)),
    ],
)
def test_the_provider_may_shorten_how_long_its_answer_is_used_stale(
    cache_control: str, max_stale: float, expected: tuple[float, ...]
) -> None:
    """RFC 5861: its own limits hold where they are shorter than ours."""
    assert freshness(Reply(200, (("cache-control", cache_control),)), 0.0, 3600.0, max_stale) == expected


def test_cache_control_may_come_in_several_fields() -> None:
    """RFC 9110 5.3: repeated fields are one list."""
    reply = Reply(200, (("cache-control", "public"), ("cache-control", "max-age=600, stale-if-error=10")))
    assert freshness(reply, 0.0, 3600.0, 86400.0) == (600, 0, 10)


# --- everything together

COOLDOWN = 5.0
PAUSES = st.sampled_from([0.0, 0.1, 0.6, 3.0, 5.0, 30.0, 50.0, 61.0, 200.0, 700.0])


class Rotation(RuleBasedStateMachine):
    """A provider that rotates, fails and recovers; tokens good and forged; a clock that goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.times = {"fresh_for": 60.0, "stale_while_revalidate": 60.0, "stale_if_error": 600.0}
        self.published: frozenset[int] = frozenset({0})
        self.kid = 0
        self.up = True
        self.good: tuple[frozenset[int], float] | None = None  # the last set fetched, and when
        self.forced: list[float] = []
        self.failed: list[float] = []

    def request(self) -> Any:
        if not self.up:
            self.failed.append(self.world.steady)
            return JwksException("HTTP 503")
        self.good = (self.published, self.world.steady)
        return self.published

    def serve(self, task: Task, forced: bool = False) -> Task:
        if isinstance(task.wants, Wait):  # a refresh is under way: let it end
            self.background()
            task.wake() if isinstance(task.wants, Wait) else None
        if isinstance(task.wants, Send):
            if forced:
                self.forced.append(self.world.steady)
            value = self.request()
            task._step(task.flow.throw if isinstance(value, Exception) else task.flow.send, value)
        assert task.done
        assert task.error is None or isinstance(task.error, PyIdentityModelException)
        return task

    def verify(self, kid: int) -> str:
        world = self.world
        entry = world.cache.peek(KEY, world.steady)
        if entry is None:
            task = self.serve(world.ask())
            if task.error is not None:
                assert isinstance(task.error, NetworkException)
                return "unavailable"
            entry = task.result
        if kid in entry.value:
            return "valid"
        task = self.serve(world.ask(newer_than=entry.version, cooldown=COOLDOWN, patience=0), forced=True)
        if isinstance(task.error, RefreshDenied):
            return "invalid"
        if task.error is not None:
            return "unavailable"
        return "valid" if kid in task.result.value else "invalid"

    def tick(self, seconds: float) -> None:
        if seconds >= 3:  # a thread or task begins long before its lease expires
            self.background()
        self.world.steady += seconds

    @rule()
    def background(self) -> None:
        while self.world.background:
            self.serve(self.world.in_background())

    @rule(what=st.sampled_from(["rotate", "remove", "fail", "recover"]))
    def provide(self, what: str) -> None:
        if what == "rotate":
            self.kid += 1
            self.published |= {self.kid}
        elif what == "remove" and len(self.published) > 1:
            self.published -= {min(self.published)}
        elif what in ("fail", "recover"):
            self.up = what == "recover"

    # Every rule lets time pass: Hypothesis leaves some rules out of each run, and a clock must not be one of them.
    @rule(seconds=PAUSES, back=st.integers(0, 3))
    def validate(self, seconds: float, back: int) -> None:
        self.tick(seconds)
        kid = max(0, self.kid - back)
        before = self.good
        verdict = self.verify(kid)
        known = self.good[0] if self.good else frozenset()
        if verdict == "valid":
            assert self.good is not None
            assert kid in known or (before is not None and kid in before[0])
            assert self.world.steady < self.good[1] + 660 or self.good is not before
        if before is not None and kid in before[0] and self.world.steady < before[1] + 120 and kid in self.published:
            assert verdict == "valid", "a known key of a usable set always verifies"
        if self.up and kid in self.published and kid in known:
            assert verdict != "invalid"

    @rule(seconds=PAUSES)
    def flood(self, seconds: float) -> None:
        self.tick(seconds)
        verdicts = {self.verify(-1 - n) for n in range(20)}
        assert "valid" not in verdicts

    @invariant()
    def the_provider_is_spared(self) -> None:
        for earlier, later in zip(self.forced, self.forced[2:], strict=False):
            assert later - earlier >= COOLDOWN - 1e-6
        for earlier, later in zip(self.failed, self.failed[1:], strict=False):
            assert later - earlier >= 0.5 - 1e-6

    @invariant()
    def the_lock_free_path_agrees_with_the_last_good_set(self) -> None:
        entry = self.world.cache.peek(KEY, self.world.steady)
        if entry is not None:
            assert self.good is not None
            assert entry.value == self.good[0]
            assert self.world.steady < entry.stale_until


TestRotation = Rotation.TestCase
TestRotation.settings = settings(max_examples=200, stateful_step_count=40, deadline=None, derandomize=True)
