"""The rules of the token manager, each under its own name: who renews, who waits, what is kept, what is never lost."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import trio

from oauth_world import INVENTORY, World
from py_identity_model import (
    ConfigurationException,
    DPoPKey,
    LoginRequired,
    NetworkException,
    PrivateKeyJwt,
    PyIdentityModelException,
    SigningKey,
    TokenRequestException,
    TokenUnavailable,
    add_observer,
    remove_observer,
)
from py_identity_model._core.base.flow import Clock, Reply, Request, Wait
from py_identity_model._core.base.transport import failure
from py_identity_model._core.client import token_manager
from py_identity_model._core.client.held_tokens import ENTRIES, Asking, Held, Kept
from py_identity_model._core.client.token_manager import Follow, Lead, Refuse, TokenManager, Use, at_hand, token_from
from py_identity_model._core.client.token_renewal import Renewal
from py_identity_model._core.login.client import LoginClient
from py_identity_model._core.login.oauth_grants import Wants, asking_of
from py_identity_model.exceptions import StoreException
from py_identity_model.stores import MemoryStore

#: Seconds into the life of a token of 300 s: before the first window, in it, in the second, after its end.
FRESH, FIRST, SECOND, EXPIRED = 200, 245, 290, 301
ALICE = "alice"


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> World:
    """A provider, and processes of each API in turn."""
    return World(request.param, clock)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    seen: list[Any] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


def edited(world: World, **members: Any) -> None:
    """Have the provider's tokens come with other members; None takes one out."""

    def between(request: Request) -> Reply:
        reply = world.provider.transport(request)
        if not request.url.endswith("/token") or reply.status != 200:
            return reply
        answer = {k: v for k, v in {**json.loads(reply.body), **members}.items() if v is not None}
        return replace(reply, body=json.dumps(answer).encode())

    world.between = between


# ---- when


def test_a_fresh_token_costs_nothing(world: World) -> None:
    """Until the first window the token at hand is given out, and nobody is asked."""
    process = world.process()
    token = process.token(scope="orders")
    world.clock.advance(FRESH)
    assert process.token(scope="orders") == token
    assert world.asked == 1


@pytest.mark.parametrize("age", [FIRST, SECOND, EXPIRED])
def test_a_token_is_renewed_before_it_expires(world: World, age: int) -> None:
    """In either window, and after its end, the next caller gets a new one for one request."""
    process = world.process()
    token = process.token(scope="orders")
    world.clock.advance(age)
    assert process.token(scope="orders") != token
    assert world.asked == 2


def test_the_windows_are_jittered_within_bounds() -> None:
    """The first window begins from 72 to 80 % of a life, the second up to 10 % and 30 s before its end."""
    clock = Clock(1000.0, 50.0)
    many = [at_hand(Kept("a", "Bearer", 1000.0, 1300.0), clock) for _ in range(300)]
    assert all(1216 <= one.fresh.wall <= 1240 and 1270 <= one.calm.wall <= 1285 for one in many)
    assert len({one.fresh.wall for one in many}) > 30
    assert len({one.calm.wall for one in many}) > 30
    long = [at_hand(Kept("a", "Bearer", 1000.0, 11000.0), clock) for _ in range(300)]
    assert all(10970 <= one.calm.wall <= 10985 for one in long)
    assert all(one.good == Clock(11000.0, 10050.0) for one in long)


def test_the_providers_refresh_in_is_heeded(world: World) -> None:
    """A provider that wants its tokens renewed at a time of its own gets that, up to a tenth earlier."""
    edited(world, refresh_in=100, expires_in=3600)
    process = world.process()
    process.token(scope="orders")
    world.clock.advance(89)
    process.token(scope="orders")
    assert world.asked == 1
    world.clock.advance(12)
    process.token(scope="orders")
    assert world.asked == 2


def test_a_token_of_unknown_life_is_used_and_renewed_now_and_then(world: World) -> None:
    """A token without expires_in never counts as expired; after an hour it is renewed, if that can be done."""
    edited(world, expires_in=None)
    process = world.process()
    first = process.token(scope="orders")
    assert first.expires_at is None
    world.clock.advance(2400)
    assert process.token(scope="orders") == first
    world.clock.advance(1300)
    with world.provider.fault("503", on="token"):
        assert process.token(scope="orders") == first
    world.clock.advance(100)
    assert process.token(scope="orders") != first


def test_whichever_clock_is_past_counts() -> None:
    """A token is over when the wall clock says so, and when the steady one does: machines sleep, clocks are set."""
    one = at_hand(Kept("a", "Bearer", 1000.0, 1300.0), Clock(1000.0, 50.0))
    assert one.is_good(Clock(1299.0, 349.0))
    assert not one.is_good(Clock(1301.0, 60.0))
    assert not one.is_good(Clock(900.0, 351.0))


# ---- who


KEPT = Kept("old", "Bearer", 1000.0, 1300.0)


def slot_with(token: Kept | None) -> tuple[TokenManager, Any]:
    manager = TokenManager()
    slot = manager.slot(Asking("https://id.example.com", "app", "", "client_credentials"))
    if token is not None:
        manager.put(slot, token, Clock(1000.0, 0.0))
    return manager, slot


@pytest.mark.parametrize(
    ("age", "leader", "others"),
    [
        (None, Lead, Follow),
        (FRESH, Use, Use),
        (FIRST, Lead, Use),
        (SECOND, Lead, Follow),
        (EXPIRED, Lead, Follow),
    ],
)
def test_one_renews_and_what_the_others_do(age: int | None, leader: type, others: type) -> None:
    """First window: one renews, the others go on with the old token; second window and after: all wait."""
    manager, slot = slot_with(None if age is None else KEPT)
    clock = Clock(1000.0 + (age or 0), float(age or 0))
    first = manager.claim(slot, clock, None, 30)
    assert type(first) is leader
    assert {type(manager.claim(slot, clock, None, 30)) for _ in range(5)} == {others}
    if isinstance(first, Lead):
        manager.land(first.flight, replace_token("new", clock), clock)
        assert manager.claim(slot, clock, None, 30) == Use(slot.at_hand.token)


def replace_token(text: str, clock: Clock) -> Kept:
    return Kept(text, "Bearer", clock.wall, clock.wall + 300)


def test_a_leader_that_went_away_hands_over() -> None:
    """A flight that was abandoned wakes those who wait, and the next one leads; a dead one loses the lead in time."""
    manager, slot = slot_with(None)
    clock = Clock(1000.0, 0.0)
    lead = manager.claim(slot, clock, None, 30)
    assert isinstance(lead, Lead)
    manager.abandon(lead.flight)
    assert lead.flight.future.result(0) is None
    again = manager.claim(slot, clock, None, 30)
    assert isinstance(again, Lead)
    assert isinstance(manager.claim(slot, Clock(1031.0, 31.0), None, 30), Lead)


def test_fifty_threads_make_one_request(clock: Any) -> None:
    """However many threads need a token at once, the provider sees one discovery and one token request."""
    world = World("sync", clock)
    process, gate = world.process(), threading.Barrier(50)
    found: list[Any] = []

    def work() -> None:
        gate.wait()
        found.append(process.client.token(scope="orders"))

    threads = [threading.Thread(target=work) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 50
    assert len({token.access_token for token in found}) == 1
    assert (world.provider.count("discovery"), world.asked) == (1, 1)


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_fifty_tasks_make_one_request(kind: str, clock: Any) -> None:
    """The same with tasks of an event loop."""
    world = World(kind, clock)
    process = world.process(http_client=world.provider.async_transport)
    found: list[Any] = []

    async def one() -> None:
        found.append(await process.client.token(scope="orders"))

    async def all_of_them() -> None:
        if kind == "asyncio":
            await asyncio.gather(*(one() for _ in range(50)))
            return
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(one)

    world.run(all_of_them)
    assert len({token.access_token for token in found}) == 1
    assert (world.provider.count("discovery"), world.asked) == (1, 1)


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_a_cancelled_caller_takes_no_renewal_along(kind: str, clock: Any) -> None:
    """A caller that is cancelled in the middle of a renewal leaves it running: its refresh token must not be lost."""
    world = World(kind, clock)
    held = world.process()
    held.log_in()
    clock.advance(EXPIRED)
    started, go_on = [], []

    async def slow(request: Request) -> Reply:
        import anyio

        if request.url.endswith("/token"):
            started.append(1)
            while not go_on:
                await anyio.sleep(0.001)
        return world.provider.handle(request)

    process = world.process(http_client=slow)

    async def main() -> Any:
        import anyio

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: process.client.token(subject=ALICE))
            while not started:
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        go_on.append(1)
        return await process.client.token(subject=ALICE)

    assert world.run(main).access_token
    assert world.asked == 2  # the code, and one refresh


def test_without_a_thread_to_be_had_the_caller_renews_itself(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a program no thread can be started: the renewal is done by whoever needs it."""
    world = World("sync", clock)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert world.process().token(scope="orders").scope == "orders"
    assert world.asked == 1


def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    """A renewal that was under way at a fork is not waited for in the child."""
    manager, slot = slot_with(None)
    assert isinstance(manager.claim(slot, Clock(0.0, 0.0), None, 30), Lead)
    manager._lock.renew()
    assert isinstance(manager.claim(slot, Clock(0.0, 0.0), None, 30), Lead)


# ---- what is told apart

CLIENT = LoginClient(issuer="https://id.example.com", client_id="app", client_secret="s")
KEY = SigningKey.generate("ES256", kid="k1")


def askings() -> list[Asking]:
    plain = Wants(scope="a")
    clients = [
        CLIENT,
        replace(CLIENT, client_id="other"),
        replace(CLIENT, issuer="https://other.example.com"),
        replace(CLIENT, client_secret=None, private_key_jwt=PrivateKeyJwt(KEY, kid="k1")),
        replace(CLIENT, client_secret=None, private_key_jwt=PrivateKeyJwt(KEY, kid="k2")),
        replace(CLIENT, dpop_key=DPoPKey()),
        replace(CLIENT, dpop_key=DPoPKey()),
    ]
    wants = [
        Wants(),
        Wants(scope=""),
        Wants(scope="a b"),
        Wants(scope="a", resource="https://a.example.com"),
        Wants(scope="a", resource=["https://a.example.com", "https://b.example.com"]),
        Wants(scope="a", audience="https://a.example.com"),
        Wants(scope="a", authorization_details=[{"type": "x"}]),
        Wants(scope="a", subject="ada"),
        Wants(scope="a", subject="bob"),
        Wants(scope="a", on_behalf_of="token one"),
        Wants(scope="a", on_behalf_of="token two"),
    ]
    return [*(asking_of(client, plain) for client in clients), *(asking_of(CLIENT, each) for each in wants)]


def test_a_flights_key_is_every_parameter_of_the_request() -> None:
    """Requests that differ in issuer, client, credential, grant, subject, scope, resource, audience, details or key
    never share a flight; the order of scopes makes no difference.
    """
    found = askings()
    assert len({(one.entry, one.token) for one in found}) == len(set(found)) == len(found)
    assert asking_of(CLIENT, Wants(scope="b a")) == asking_of(CLIENT, Wants(scope=["a", "b", "a"]))


def test_tokens_of_different_scope_resource_or_user_are_never_mixed(world: World) -> None:
    """Each combination has a token of its own, also where they come of one login."""
    process = world.process()
    process.log_in(login_hint="ada")
    process.log_in(login_hint="bob")
    found = [
        process.token(scope="a"),
        process.token(scope="a b"),
        process.token(scope="a", resource=INVENTORY),
        *(process.token(subject=user) for user in ("ada", "bob")),
        process.token(subject="ada", resource=INVENTORY),
    ]
    assert len({token.access_token for token in found}) == len(found)
    claims = [world.provider.claims_of(token.access_token) for token in found]
    assert [c["sub"] for c in claims[3:]] == ["ada", "bob", "ada"]
    assert [c["aud"] for c in claims] == [c["aud"] if n not in (2, 5) else INVENTORY for n, c in enumerate(claims)]


def test_secrets_show_nowhere(world: World) -> None:
    """No secret and no token is in a key of the store, a repr, an exception or a pickle."""
    store = MemoryStore(clock=lambda: float(world.clock.wall))
    process = world.process(store=store)
    login = process.log_in()
    token = process.token(subject=ALICE)
    exchanged = process.client._source(Wants(on_behalf_of=token.access_token))
    shown = [
        repr(one)
        for one in (process.client, token, process.client._manager, exchanged, *process.client._manager._slots)
    ]
    shown += [repr(slot) for slot in process.client._manager._slots.values()]
    shown += [str(name) for name in store._kept]
    held = next(
        h for value in store._kept.values() if (h := ENTRIES.decoded(value.value)) is not None and h.refresh_token
    )
    shown += [repr(held), repr(held.tokens), repr(process.client.auth(resource=INVENTORY, subject=ALICE))]
    secrets = (token.access_token, login.refresh_token, world.provider.client_secret, ALICE)
    assert not [text for text in shown for secret in secrets if secret in text]
    for value in (process.client, token):
        with pytest.raises(ConfigurationException) as error:
            pickle.dumps(value)
        assert error.value.code == "secret_not_picklable"


def test_memory_is_bounded_with_many_users(world: World) -> None:
    """With more users than fit into memory, all have their tokens: the others wait in the store."""
    process = world.process(max_tokens=8)
    users = [f"user-{number}" for number in range(20)]
    for user in users:
        process.log_in(login_hint=user)
    asked = world.asked
    for user in users:
        assert world.provider.claims_of(process.token(subject=user).access_token)["sub"] == user
    assert len(process.client._manager) == 8
    assert world.asked == asked


# ---- what fails


def dead(request: Request) -> Reply:
    raise failure("connect_failed", "nobody listens", request)


def refusing(status: int, body: bytes = b"") -> Any:
    return lambda request: Reply(status, (("content-type", "application/json"),), body, request.url)


AWAY = {
    "503": refusing(503),
    "429": refusing(429, b'{"error": "slow_down"}'),
    "400": refusing(400, b'{"error": "invalid_scope"}'),
    "no JSON": refusing(200, b"<html>"),
    "no token": refusing(200, b"{}"),
    "dead": dead,
}


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("wants", [{"scope": "orders"}, {"subject": ALICE}], ids=["own", "login"])
def test_a_failing_renewal_costs_no_token_that_is_still_good(world: World, wants: Any, away: str) -> None:
    """While the provider fails, however it does, every request has its token until the second before that expires, and
    few attempts are made. When the provider is back there is a new one.
    """
    process, asked = world.process(), []
    if "subject" in wants:
        process.log_in()
    token = process.token(**wants)

    def failing(request: Request) -> Reply:
        asked.append(request)
        return AWAY[away](request)

    world.clock.advance(FIRST)
    world.between = failing
    while world.clock.wall < (token.expires_at or 0) - 1:
        assert process.token(**wants) == token
        world.clock.advance(0.5)
    assert 1 <= len(asked) < 40
    world.between = world.provider.transport
    world.clock.advance(50)  # the longest pause, with its jitter
    assert process.token(**wants) != token


def test_who_is_slow_to_hear_of_a_failure_takes_the_token_that_came_since(clock: Any) -> None:
    """A caller that waited for a renewal which failed, and hears so late, fails only if there is no token by now."""
    manager, slot = slot_with(None)
    renewal = Renewal(MemoryStore(), slot.asking, lambda held: iter(()), lambda: iter(()), 10.0, {})
    lead = manager.claim(slot, Clock(1000.0, 0.0), None, 30)
    assert isinstance(lead, Lead)

    def heard(refused: str | None) -> Any:
        waiting = token_from(manager, slot, renewal, refused)
        next(waiting)  # the time
        waiting.send(Clock(1000.0, 0.0))
        return waiting

    late, refused = heard(None), heard("new")
    manager.crash(lead.flight, TokenUnavailable("away"), Clock(1000.0, 0.0))
    manager.put(slot, Kept("new", "Bearer", 1000.0, 1300.0), Clock(1001.0, 1.0))
    assert ended(late) == "new"
    with pytest.raises(TokenUnavailable):
        ended(refused)


def ended(waiting: Any) -> str:
    """Drive a waiting caller to its end, two seconds later."""
    given: Any = Clock(1000.0, 0.0)
    try:
        for _ in range(10):
            effect = waiting.send(given)
            given = TokenUnavailable("away") if isinstance(effect, Wait) else Clock(1002.0, 2.0)
    except StopIteration as done:
        return str(done.value.access_token)
    raise AssertionError("it waits for ever")


def test_after_a_failure_nobody_asks_until_the_pause_is_over(world: World) -> None:
    """Without a good token the failure is told at once, with the time to ask again; the pause is the provider's."""
    process = world.process()
    with world.provider.fault("503", on="token", retry_after=60):
        errors = []
        for _ in range(5):
            with pytest.raises(TokenUnavailable) as error:
                process.token(scope="orders")
            errors.append(error.value)
        assert all(e.retry_after is not None and e.retry_after <= 120 for e in errors)
        asked = world.asked
        with pytest.raises(TokenUnavailable):
            process.token(scope="orders")
        assert world.asked == asked
    assert isinstance(errors[0].__cause__, NetworkException)
    world.clock.advance(121)
    assert process.token(scope="orders").scope == "orders"


def test_the_pause_doubles_with_jitter() -> None:
    """From about a second to about half a minute; a success sets it back."""
    manager, slot = slot_with(None)
    pauses, steady = [], 0.0
    for _ in range(9):
        lead = manager.claim(slot, Clock(0.0, steady), None, 30)
        assert isinstance(lead, Lead)
        manager.crash(lead.flight, NetworkException("no"), Clock(0.0, steady))
        assert isinstance(manager.claim(slot, Clock(0.0, steady), None, 30), Refuse)
        pauses.append(slot.not_before - steady)
        steady = slot.not_before
    assert all(
        0.5 * full <= pause <= 1.5 * full for pause, full in zip(pauses, (1, 2, 4, 8, 16, 30, 30, 30, 30), strict=True)
    )


def test_what_the_provider_refuses_is_told_as_what_it_is(world: World) -> None:
    """A refusal of the client or its scope is no outage: it comes with the provider's word and a hint."""
    with pytest.raises(TokenRequestException) as error:
        world.process(client_secret="wrong").token(scope="orders")
    assert (error.value.error, error.value.code) == ("invalid_client", "request_refused")
    assert error.value.hint


def test_a_refusal_with_a_foreign_exception_names_only_its_class(world: World) -> None:
    """What an application's transport raises is foreign, and may hold secrets."""

    def between(request: Request) -> Reply:
        if request.url.endswith("/token"):
            raise KeyError("the secret in it")
        return world.provider.transport(request)

    world.between = between
    with pytest.raises(TokenUnavailable) as error:
        world.process().token(scope="orders")
    assert error.value.code == "token_renewal_failed"
    assert "KeyError" in str(error.value)
    assert "secret" not in str(error.value)


# ---- several processes


def test_one_process_asks_for_all(world: World) -> None:
    """However many processes need the token, one asks: the others find it in the store."""
    assert len({world.process().token(scope="orders").access_token for _ in range(5)}) == 1
    assert world.asked == 1


def test_a_new_process_takes_no_token_that_has_expired(world: World) -> None:
    """What lies in the store past its time is renewed, not adopted."""
    world.process().log_in()
    world.clock.advance(EXPIRED)
    token = world.process().token(subject=ALICE)
    assert (token.expires_at or 0) > world.clock.wall
    assert world.asked == 2


def test_one_renewal_for_each_expiry(world: World) -> None:
    """Of processes that use one login, one renews each time; the refresh token rotates and the login lives on."""
    processes = [world.process() for _ in range(4)]
    processes[0].log_in()
    for expiry in range(1, 21):
        assert len({process.token(subject=ALICE).access_token for process in processes}) == 1
        assert world.asked == expiry
        world.clock.advance(EXPIRED)


class Racing(MemoryStore):
    """A store whose leases keep nobody out."""

    def lease(self, topic: str, key: str, lifetime: float) -> Any:
        super().release(super().lease(topic, key, lifetime) or _NOBODY)
        return super().lease(topic, key, 0.001)


_NOBODY: Any = type("Nobody", (), {"topic": "tokens", "key": "-", "number": 0})()


def test_on_invalid_grant_what_another_process_stored_is_adopted(world: World) -> None:
    """A process that comes second with a rotated refresh token takes the tokens of the first, and asks nobody to log
    in.
    """
    quick, slow = world.process(), world.process()
    quick.log_in()
    slow.token(subject=ALICE)
    world.clock.advance(EXPIRED)
    real, busy = world.provider.transport, []

    def between(request: Request) -> Reply:
        if request.url.endswith("/token") and not busy:
            busy.append(1)
            # While this request travels, another process renews; its lease had expired.
            entry = next(key for topic, key in world.store._leases if topic == "tokens")
            world.store._leases.pop(("tokens", entry))
            thread = threading.Thread(target=lambda: busy.append(quick.token(subject=ALICE)))
            thread.start()
            thread.join()
        return real(request)

    world.between = between
    token = slow.token(subject=ALICE)
    assert token == busy[1]


def test_a_lease_whose_holder_was_killed_ends_by_itself(world: World) -> None:
    """The next process waits until the lease is over, reads again, and renews."""
    process = world.process()
    process.log_in()
    entry = next(key for topic, key in world.store._kept if ENTRIES.decoded(world.store.get(topic, key)))
    world.clock.advance(EXPIRED)
    assert world.store.lease("tokens", entry, 12.0)
    begun = world.clock.wall
    assert process.token(subject=ALICE).access_token
    assert 11 <= world.clock.wall - begun <= 14
    assert world.asked == 2


@pytest.mark.parametrize(("grant", "answer"), [("login", 20.0), ("client_credentials", 10.0)])
def test_who_waits_hears_the_answer_to_the_next_one_after_a_death(grant: str, answer: float) -> None:
    """The lease of a killed process has to end, and the provider may take its time over the next request: who has no
    good token waits for both.
    """
    asking = Asking("https://id.example.com", "app", "", grant)
    renewal = Renewal(MemoryStore(), asking, lambda held: iter(()), lambda: iter(()), 10.0, {})
    assert (renewal.lease_for, renewal.asked_for) == (32.0, answer)
    assert renewal.longest == 32.0 + answer


def test_who_was_held_up_with_the_lease_sends_nothing(world: World) -> None:
    """A process that comes back from a long pause after it took the lease does not use the refresh token: by the time
    the answer is there another one may have done so.
    """
    process = world.process()
    process.log_in()
    world.clock.advance(EXPIRED)

    class Slow(MemoryStore):
        def lease(self, *args: Any) -> Any:
            taken = super().lease(*args)
            world.clock.advance(21)
            return taken

    world.store.__class__ = Slow
    with pytest.raises(TokenUnavailable):
        process.token(subject=ALICE)
    assert world.asked == 1


def test_a_lease_is_longer_than_a_renewal(world: World) -> None:
    """It lasts for more than three times as long: the answer has to be written down before another process may ask."""
    leased: list[float] = []

    class Noting(MemoryStore):
        def lease(self, topic: str, key: str, lifetime: float) -> Any:
            leased.append(lifetime)
            return super().lease(topic, key, lifetime)

    world.process(store=Noting(), renewal_timeout=7).token(scope="orders")
    assert leased == [23.0]


def test_in_the_first_window_nobody_waits_for_another_process(world: World) -> None:
    """While another process has the lease and the token is good, it is used; after a moment it is looked again."""
    process = world.process()
    token = process.token(scope="orders")
    entry = next(key for topic, key in world.store._kept if ENTRIES.decoded(world.store.get(topic, key)))
    world.clock.advance(FIRST)
    assert world.store.lease("tokens", entry, 12.0)
    slept = len(world.clock.slept)
    assert all(process.token(scope="orders") == token for _ in range(5))
    assert len(world.clock.slept) == slept
    assert world.asked == 1


class Failing(MemoryStore):
    """A store that fails where a test says so."""

    failing: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> Any:
        if name in object.__getattribute__(self, "failing"):
            raise StoreException("away", code="store_unavailable")
        return object.__getattribute__(self, name)


def failing_store(world: World) -> Failing:
    world.store = Failing(clock=lambda: float(world.clock.wall))
    return world.store  # type: ignore[no-any-return]


def test_rotated_tokens_are_kept_before_they_are_used(world: World, events: list[Any]) -> None:
    """Tokens that cannot be kept are not handed out; they are kept as soon as that goes, and not asked for again."""
    store = failing_store(world)
    process = world.process()
    process.log_in()
    world.clock.advance(EXPIRED)
    store.failing = frozenset({"swap"})
    with pytest.raises(TokenUnavailable) as error:
        process.token(subject=ALICE)
    assert error.value.code == "tokens_not_kept"
    assert "tokens_not_kept" in {event.name for event in events}
    assert world.asked == 2
    store.failing = frozenset()
    world.clock.advance(3)
    token = process.token(subject=ALICE)
    assert world.asked == 2
    assert world.process().token(subject=ALICE) == token
    world.clock.advance(EXPIRED)
    assert process.token(subject=ALICE) != token


def test_without_the_store_no_refresh_token_is_used(world: World) -> None:
    """While the store is away a good token is used, and none is renewed: another process might do the same."""
    store = failing_store(world)
    process = world.process()
    process.log_in()
    store.failing = frozenset({"get", "lease", "swap", "put", "add"})
    world.clock.advance(FIRST)
    assert process.token(subject=ALICE).access_token
    world.clock.advance(EXPIRED - FIRST)
    with pytest.raises(TokenUnavailable) as error:
        process.token(subject=ALICE)
    assert (error.value.code, world.asked) == ("store_unavailable", 1)
    store.failing = frozenset()
    world.clock.advance(60)
    assert process.token(subject=ALICE).access_token


def test_without_a_lease_no_refresh_token_is_used(world: World) -> None:
    """A store that can be read and gives no leases, as one that became a replica, is away for logins."""
    store = failing_store(world)
    process = world.process()
    process.log_in()
    world.clock.advance(EXPIRED)
    store.failing = frozenset({"lease"})
    with pytest.raises(TokenUnavailable):
        process.token(subject=ALICE)
    assert world.asked == 1
    assert process.token(scope="orders").scope == "orders"


def test_a_lease_is_given_back(world: World) -> None:
    """After a renewal, and after one that failed, the next process need not wait."""
    process = world.process()
    process.log_in()
    entry = next(key for topic, key in world.store._kept if ENTRIES.decoded(world.store.get(topic, key)))
    world.clock.advance(EXPIRED)
    process.token(subject=ALICE)
    taken = world.store.lease("tokens", entry, 1.0)
    assert taken
    assert world.store.release(taken)
    world.clock.advance(EXPIRED)
    with world.provider.fault("503", on="token"), pytest.raises(TokenUnavailable):
        process.token(subject=ALICE)
    assert world.store.lease("tokens", entry, 1.0)


def test_what_a_slow_process_writes_late_is_adopted(world: World) -> None:
    """A process that lost its lease while it had the answer in hand writes it down all the same; who was told meanwhile
    that the refresh token is used up takes that, as soon as it is there.
    """
    process = world.process()
    process.log_in()
    world.clock.advance(EXPIRED)
    entry = next(key for topic, key in world.store._kept if ENTRIES.decoded(world.store.get(topic, key)))
    held = ENTRIES.decoded(world.store.get("tokens", entry))
    assert held is not None
    (key,) = held.tokens
    late = Kept("late", "Bearer", world.clock.wall, world.clock.wall + 300)

    class Late(MemoryStore):
        looks = 0

        def get(self, topic: str, name: str) -> bytes | None:
            self.looks += name == entry
            if self.looks == 5:
                self.put(topic, name, ENTRIES.encoded(held.with_token(key, late, refresh_token="next")), 600)
            return super().get(topic, name)

    def refused(request: Request) -> Reply:
        if not request.url.endswith("/token"):
            return world.provider.transport(request)
        return Reply(400, (("content-type", "application/json"),), b'{"error":"invalid_grant"}', request.url)

    world.between = refused
    world.store.__class__ = Late
    slept = sum(world.clock.slept)
    assert process.token(subject=ALICE).access_token == "late"
    assert sum(world.clock.slept) - slept < 1


def test_without_the_store_a_client_has_its_own_tokens(world: World) -> None:
    """What can be fetched again at any time is fetched by each process for itself."""
    store = failing_store(world)
    store.failing = frozenset({"get", "lease", "swap", "put", "add"})
    process = world.process()
    token = process.token(scope="orders")
    assert process.token(scope="orders") == token
    assert world.asked == 1


def test_an_entry_that_cannot_be_read_is_none(world: World) -> None:
    """A torn entry is taken for absent: a client fetches anew, a user logs in."""
    process = world.process()
    process.token(scope="orders")
    process.log_in()
    for topic, key in list(world.store._kept):
        world.store.put(topic, key, b"\x01torn", 60)
    other = world.process()
    assert other.token(scope="orders").scope == "orders"
    with pytest.raises(LoginRequired):
        other.token(subject=ALICE)


# ---- the end of a login


def test_a_lost_answer_ends_a_login_only_when_it_surely_did(world: World, events: list[Any]) -> None:
    """An answer that got lost is an outage; only when the provider calls the token dead, and nobody has a newer one,
    the user has to log in, and every process knows.
    """
    process, other = world.process(), world.process()
    process.log_in()
    other.token(subject=ALICE)
    world.clock.advance(EXPIRED)

    def losing(request: Request) -> Reply:
        reply = world.provider.transport(request)
        if request.url.endswith("/token"):
            raise failure("timeout", "lost", request)
        return reply

    world.between = losing
    with pytest.raises(TokenUnavailable):
        process.token(subject=ALICE)
    world.between = world.provider.transport
    world.clock.advance(60)
    with pytest.raises(LoginRequired) as error:
        process.token(subject=ALICE)
    assert (error.value.code, error.value.verb) == ("login_ended", "begin_login")
    assert error.value.needs_new_login
    assert "login_lost" in {event.name for event in events}
    asked = world.asked
    with pytest.raises(LoginRequired):
        other.token(subject=ALICE)
    assert world.asked == asked
    other.log_in()
    assert process.token(subject=ALICE).access_token


def test_a_request_that_never_arrived_costs_nothing(world: World) -> None:
    """A refresh token whose request did not get through is used again."""
    process = world.process()
    process.log_in()
    world.clock.advance(EXPIRED)

    def cut_off(request: Request) -> Reply:
        raise failure("connect_failed", "no way there", request)

    world.between = cut_off
    with pytest.raises(TokenUnavailable):
        process.token(subject=ALICE)
    world.between = world.provider.transport
    world.clock.advance(60)
    assert process.token(subject=ALICE).access_token


def test_without_a_refresh_token_the_login_ends_with_its_token(world: World) -> None:
    """A login that brought no refresh token is good while its access token is, and says what to ask for."""
    edited(world, refresh_token=None)
    process = world.process()
    process.log_in()
    world.clock.advance(SECOND)
    assert process.token(subject=ALICE).access_token
    world.clock.advance(EXPIRED - SECOND)
    with pytest.raises(LoginRequired) as error:
        process.token(subject=ALICE)
    assert error.value.code == "refresh_token_missing"
    assert "offline_access" in str(error.value)


def test_nobody_has_logged_in(world: World) -> None:
    """A subject without a login is told as such, and which verb brings one."""
    with pytest.raises(LoginRequired) as error:
        world.process().token(subject=ALICE)
    assert (error.value.code, error.value.verb) == ("login_missing", "begin_login")
    with pytest.raises(LoginRequired) as error:
        world.process(client_secret=None, redirect_uri=None).token()
    assert error.value.verb == "loopback_login"


def test_a_logout_elsewhere_ends_the_login_here(world: World) -> None:
    """A login that another process ended is renewed by nobody."""
    process, other = world.process(), world.process()
    process.log_in()
    other.token(subject=ALICE)
    assert process.revoke(subject=ALICE).is_successful
    world.clock.advance(EXPIRED)
    for each in (process, other):
        with pytest.raises(LoginRequired):
            each.token(subject=ALICE)


def test_a_new_login_elsewhere_is_adopted(world: World) -> None:
    """A user who logged in anew is served by every process, without another request."""
    process, other = world.process(), world.process()
    process.log_in()
    old = other.token(subject=ALICE)
    world.clock.advance(EXPIRED)
    process.log_in()
    asked = world.asked
    assert other.token(subject=ALICE) not in (old, None)
    assert world.asked == asked


def test_the_id_token_of_a_refresh_must_be_the_same_users(world: World) -> None:
    """Tokens that come with the ID token of another user are not used (OpenID Connect Core 12.2)."""
    process = world.process()
    process.log_in()
    world.clock.advance(EXPIRED)
    edited(world, id_token=world.provider.mint("id_token", subject="mallory", audience=world.provider.client_id))
    with pytest.raises(PyIdentityModelException) as error:
        process.token(subject=ALICE)
    assert error.value.code in ("refresh_mismatch", "hash_mismatch", "subject_mismatch")


def test_an_id_token_that_cannot_be_verified_now_does_not_cost_the_login(world: World) -> None:
    """Keys that cannot be fetched during a refresh are no reason to throw the new refresh token away."""
    process = world.process()
    process.log_in()
    world.clock.advance(3 * 86400)
    with world.provider.fault("503", on="jwks"):
        token = process.token(subject=ALICE)
    world.clock.advance(EXPIRED)
    assert process.token(subject=ALICE) != token


def test_a_login_keeps_a_bounded_number_of_tokens(world: World) -> None:
    """However many resources are asked for, one login keeps sixteen tokens; those obtained first go first."""
    process = world.process()
    process.log_in()
    for number in range(30):
        process.token(subject=ALICE, resource=f"https://r{number}.example.com")
    held = [
        h for topic, key in world.store._kept if (h := ENTRIES.decoded(world.store.get(topic, key))) and h.refresh_token
    ]
    assert [len(one.tokens) for one in held] == [16]


def test_entries_are_read_as_they_were_written() -> None:
    """An entry survives its way through the store; one of another version, or nonsense, is none."""
    held = Held({"k": KEPT}, "refresh", {"sub": "ada"}, "hint", "openid", "begin_login", None)
    assert ENTRIES.decoded(ENTRIES.encoded(held)) == held
    assert ENTRIES.decoded(None) is None
    assert ENTRIES.decoded(b"\x02" + ENTRIES.encoded(held)[1:]) is None
    assert ENTRIES.decoded(ENTRIES.encoded(held)[:-1]) is None


def test_the_manager_says_what_it_holds() -> None:
    """Its size can be seen."""
    manager, _ = slot_with(KEPT)
    assert len(manager) == 1
    assert "1 of at most 4096" in repr(manager)
    assert token_manager.GRACE > 0
