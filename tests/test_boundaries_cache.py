"""Where the limits of the cache lie, to the last: how long a reply is fresh, what a slot says at each moment."""

from __future__ import annotations

import dataclasses
from math import inf
from typing import Any

import pytest

from py_identity_model._core.base.flow import Reply, Send, Wait
from py_identity_model._core.cache import entry as entries
from py_identity_model._core.cache.entry import Entry, Fetched, Lease, Slot, copied, worsen
from py_identity_model._core.cache.freshness import freshness, told_lifetime
from py_identity_model._core.cache.single_flight import cached_soon
from py_identity_model.exceptions import NetworkException
from test_cache import KEY, Task, World

# ---- freshness


@pytest.mark.parametrize(
    ("max_age", "age", "seconds"),
    [
        ("3000", "2000", 1000),
        ("3000000000", "2999999000", 1000),  # ten digits are read to the last
        ("30000000000", "2147483000", 648),  # more are 2**31 (RFC 9111 1.2.2)
        ("2147484000", "99999999999", 352),
        ("30x", "0", None),
    ],
)
def test_seconds_of_any_length(max_age: str, age: str, seconds: int | None) -> None:
    """RFC 9111 1.2.2: a delta-seconds beyond what can be represented is 2**31; what is none counts as past."""
    shortest = freshness(Reply(200, (("cache-control", "no-store"),)), 0.0, 3600.0, 0.0).fresh_for
    reply = Reply(200, (("cache-control", f"max-age={max_age}"), ("age", age)))
    assert freshness(reply, 0.0, 3600.0, 0.0).fresh_for == (shortest if seconds is None else seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"cache-control": "max-age=600"}, 600.0),
        ({"cache-control": "max-age=600", "age": "599"}, 1.0),
        ({"cache-control": "max-age=600", "age": "700"}, 0.0),
        ({"cache-control": "no-store"}, 0.0),
        ({}, 0.0),
    ],
)
def test_how_long_an_answer_says_it_may_be_used(headers: dict[str, str], seconds: float) -> None:
    """RFC 9111 4.2.1, without bounds of ours: not at all where it is over already, or does not say."""
    assert told_lifetime(Reply(200, tuple(headers.items())), 0.0) == seconds


# ---- a slot

ENTRY = Entry("value", 1, 0.0, 1.0, 80.0, 100.0, 150.0, 200.0)


def trouble(next_attempt: float = 10.0) -> Any:
    """Return an outage after which the next attempt is allowed at a moment."""
    return dataclasses.replace(worsen(None, NetworkException("gone"), 0.0, 0.0), next_attempt=next_attempt)


def lease(started: float = 0.0, expires: float = 300.0) -> Lease:
    """Return the right to fetch."""
    return Lease("key", 2, started, expires, ENTRY)


@pytest.mark.parametrize(
    ("steady", "state"),
    [(99.0, "fresh"), (100.0, "stale"), (199.0, "stale"), (200.0, "absent"), (201.0, "absent")],
)
def test_states_begin_at_their_moment(steady: float, state: str) -> None:
    """An entry is stale from the end of its freshness on, and gone from the end of its staleness on."""
    assert Slot("key", ENTRY).state(steady) == state
    assert Slot("key", ENTRY, trouble=trouble()).state(steady) == ("failing" if state == "absent" else state)


@pytest.mark.parametrize(
    ("steady", "until"), [(90.0, 100.0), (99.0, 100.0), (100.0, 150.0), (150.0, 200.0), (199.0, 200.0), (200.0, -inf)]
)
def test_readers_ask_again_at_the_next_moment(steady: float, until: float) -> None:
    """While attempts are held back, readers need not ask before the entry's next moment, and never past its last."""
    slot = Slot("key", ENTRY, trouble=trouble(next_attempt=1000.0))
    slot.asked(steady)
    assert slot.ready == (ENTRY, until)
    slot = Slot("key", ENTRY)
    slot.asked(steady)
    assert slot.ready == (ENTRY, min(80.0, until))


@pytest.mark.parametrize(("steady", "grace"), [(149.0, 0.0), (150.0, 1.0), (150.5, 0.5), (151.0, 0.0)])
def test_a_young_refresh_is_waited_for(steady: float, grace: float) -> None:
    """RFC 5861 4: past stale-while-revalidate a caller waits a second for the refresh under way."""
    slot = Slot("key", ENTRY, lease=lease(started=150.0))
    assert slot.grace(steady) == grace
    slot.asked(steady)
    assert slot.ready[1] == (-inf if grace > 0 else min(300.0, 150.0 if steady < 150 else 200.0))


@pytest.mark.parametrize(("started", "waits"), [(159.0, False), (159.9, False), (160.0, True), (161.0, True)])
def test_a_failure_of_long_ago_tells_nothing(started: float, waits: bool) -> None:
    """In an outage nobody waits; one whose next attempt was due the longest pause ago is none any more."""
    slot = Slot(
        "key", ENTRY, lease=lease(started=started), trouble=trouble(next_attempt=160.0 - entries.LONGEST_BACK_OFF)
    )
    assert (slot.grace(started) > 0) is waits


@pytest.mark.parametrize(("steady", "held"), [(9.0, True), (10.0, False)])
def test_attempts_are_held_back_until_the_moment(steady: float, held: bool) -> None:
    """The next attempt is allowed at its moment, not after it."""
    slot = Slot("key", trouble=trouble(next_attempt=10.0))
    assert slot.held_back(steady) is held
    assert slot.snapshot(steady).failure.age == steady


def test_two_forced_refreshes_at_once_then_one_per_cooldown() -> None:
    """The bucket holds two; an empty one says when there will be one, and a full one begins the count anew."""
    slot = Slot("key")
    assert (slot.permit(5.0, 100.0), slot.in_a_row) == (100.0, 1)
    assert (slot.permit(5.0, 100.0), slot.in_a_row) == (100.0, 2)
    assert (slot.permit(5.0, 100.0), slot.in_a_row) == (105.0, 2)
    assert (slot.permit(5.0, 104.0), slot.in_a_row) == (105.0, 2)
    assert (slot.permit(5.0, 105.0), slot.in_a_row) == (105.0, 3)
    assert (slot.permit(5.0, 115.0), slot.in_a_row) == (115.0, 1)  # full at this very moment
    assert (slot.permit(0.0, 115.0), slot.permit(0.0, 115.0)) == (
        115.0,
        115.0,
    )  # nothing is rationed
    assert slot.snapshot(115.0)[5] == 0.0


def test_when_the_next_forced_refresh_is_allowed() -> None:
    """The state says in how many seconds a forced refresh is allowed: none while the bucket holds one."""
    slot = Slot("key")
    slot.permit(5.0, 100.0)
    assert slot.snapshot(100.0)[5] == 0.0
    slot.permit(5.0, 100.0)
    assert slot.snapshot(100.0)[5] == 5.0
    assert slot.snapshot(104.0)[5] == 1.0
    slot.trouble = trouble(next_attempt=110.0)
    assert slot.snapshot(104.0)[4:6] == (6.0, 6.0)


def test_places_of_those_who_wait() -> None:
    """A place is free again at the moment until which it was held."""
    slot = Slot("key")
    assert slot.place(10.0, 0.0, 1) == 10.0
    assert slot.place(20.0, 9.0, 1) is None
    assert slot.snapshot(9.0)[6] == 1
    assert slot.snapshot(10.0)[6] == 0
    assert slot.place(20.0, 10.0, 1) == 20.0


@pytest.mark.parametrize(("steady", "under_way"), [(299.0, True), (300.0, False)])
def test_a_lease_is_over_at_its_moment(steady: float, under_way: bool) -> None:
    """A fetch whose time is over is not under way any more."""
    assert Slot("key", lease=lease(expires=300.0)).snapshot(steady)[7] is under_way


@pytest.mark.parametrize(
    ("asked", "pause"),
    [(None, 0.625), (0.0, 0.625), (-1.0, 0.625), (0.1, 0.5), (30.0, 30.0), (120.0, 120.0), (121.0, 120.0)],
)
def test_pauses_after_a_failure(asked: float | None, pause: float) -> None:
    """Retry-After is obeyed to the letter up to two minutes, where it says a time at all; other pauses have jitter."""
    error = NetworkException("busy", retry_after=asked)
    assert worsen(None, error, 100.0, 1.0).next_attempt == 100.0 + pause


def test_pauses_double() -> None:
    """Each further failure doubles the pause, up to the longest, then up to a quarter longer by jitter."""
    outage, pauses = None, []
    for _ in range(13):
        outage = worsen(outage, NetworkException("gone"), 50.0, 0.0)
        pauses.append(outage.next_attempt - 50.0)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, *[24.0] * 7]
    assert outage is not None
    assert (outage.count, outage.began, outage.at) == (13, 50.0, 50.0)
    assert worsen(outage, NetworkException("gone"), 60.0, 1.0).next_attempt == 60.0 + 30.0


def test_the_moments_of_what_was_fetched() -> None:
    """RFC 9111 4.2.3: freshness runs from the request; what another process asked for was said so long before."""
    fetched = Fetched("value", 100.0, stale_while_revalidate=50.0, stale_if_error=20.0, etag="e", age=7.0)
    made = entries.build_entry(lease(started=1000.0), fetched, 1002.0)
    assert made == Entry("value", 2, 993.0, 995.0, 1080.0, 1100.0, 1150.0, 1150.0, "e")
    longer = entries.build_entry(lease(started=1000.0), dataclasses.replace(fetched, stale_if_error=90.0), 1002.0)
    assert longer.stale_until == 1190.0
    past = entries.build_entry(lease(started=1000.0), Fetched("value", -5.0, -5.0, -5.0), 1002.0)
    assert (past.refresh_at, past.fresh_until, past.revalidate_until, past.stale_until) == (1000.0,) * 4
    assert lease().rare
    assert not Slot("key").announced


def test_a_permission_is_given_back_once() -> None:
    """A cancelled leader's permission goes to its successor; cancelling again gives nothing."""
    slot = Slot("key")
    slot.permit(5.0, 100.0)
    slot.refund(lease())
    assert slot.full_at == 105.0  # it was paid with nothing
    paid = lease()
    paid.cooldown = 5.0
    slot.refund(paid)
    slot.refund(paid)
    assert slot.full_at == 100.0


def test_what_was_fetched_is_the_providers_answer_unless_told_otherwise() -> None:
    """Asked for just now by this process, and said now, not before; it is used no longer than it is fresh."""
    fetched = Fetched("v", 1.0)
    assert (fetched.stale_while_revalidate, fetched.stale_if_error, fetched.age) == (0.0, 0.0, 0.0)
    assert (fetched.etag, fetched.said_at, fetched.revived) == (None, None, False)


def test_values_do_not_change() -> None:
    """What was fetched and what is known of an outage are the same for all who read them."""
    for value, name in ((ENTRY, "value"), (Fetched("v", 1.0), "value"), (trouble(), "count")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
        assert not hasattr(value, "__dict__")
    first, second = lease(), lease()
    assert len({first, second}) == 2  # a lease is a right, not a value, and is told by identity
    assert Slot("key") != Slot("key")
    assert not hasattr(first, "__dict__")
    assert not hasattr(Slot("key"), "__dict__")


# ---- callers that wait


def test_the_moment_at_which_a_look_is_permitted() -> None:
    """A caller that was woken exactly then looks, and is not told to come again in no time."""
    world = World()
    world.fill()
    for _ in range(2):
        world.force(cooldown=1.0).reply("new")
    late = world.force(cooldown=1.0, patience=2.0)
    assert isinstance(late.wants, Wait)
    world.steady += late.wants.seconds - 0.005
    late.lose_patience(advance=False)
    assert isinstance(late.wants, Send)


def test_who_may_not_block_does_not_follow_for_ever() -> None:
    """Where the driver cannot wait, a caller that followed for a moment leads a fetch of its own."""
    world = World(bounds_followers=True, max_waiters=1)
    world.fill()
    leader, _, third = (world.force() for _ in range(3))
    assert isinstance(leader.wants, Send)
    assert isinstance(third.wants, Wait)
    third.lose_patience(advance=False)
    assert isinstance(third.wants, Send)


def test_an_entry_that_can_be_had_soon() -> None:
    """What is there is used, at once; what is not is fetched in the background, once, and nobody waits."""
    world = World()

    def soon() -> Task:
        return Task(world, cached_soon(world.cache, KEY, world.fetch))

    for _ in range(2):  # the first begins it
        assert soon().outcome() is None
        assert len(world.background) == 1
    world.in_background().reply("new")
    assert soon().outcome().value == "new"
    assert world.background == []


# ---- rations


@pytest.mark.parametrize("cooldown", [0.5, 1.0, 1.5])
def test_short_cooldowns_ration_too(cooldown: float) -> None:
    """Whatever the cooldown, two looks are permitted at once and the next one after it; none rations nothing."""
    slot = Slot("key")
    assert [slot.permit(cooldown, 10.0) for _ in range(3)] == [10.0, 10.0, 10.0 + cooldown]
    assert slot.snapshot(10.0).refresh_in == cooldown
    free = Slot("key")
    assert [free.permit(0.0, 10.0) for _ in range(9)] == [10.0] * 9
    assert free.snapshot(10.0).refresh_in == 0.0


@pytest.mark.parametrize(("given", "told"), [(None, 7.0), (3.0, 3.0), (0.0, 0.0), (-5.0, 0.0)])
def test_a_copied_error_says_when_to_ask_again(given: float | None, told: float) -> None:
    """As the error itself says, unless another time is known, which is never in the past."""
    error = copied(NetworkException("x", retry_after=7.0), given)
    assert isinstance(error, NetworkException)
    assert error.retry_after == told
