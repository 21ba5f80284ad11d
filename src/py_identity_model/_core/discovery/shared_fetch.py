"""One fetch for many processes: what a provider said is kept in a store, and read there by all others.

A fetch is a flow that asks a provider and makes something of the answers. :func:`shared_fetch` runs it in one of three
ways, which differ in who answers:

=========  ============  ==============================================================================================
way        who answers   when
=========  ============  ==============================================================================================
adopted    the store     it holds answers that are fresh, and newer than what this process has
asked      the provider  else; by the process that has the lease, or by all while the store is away
revived    the store     the provider cannot be reached, or takes long, and its last answers may still be used
=========  ============  ==============================================================================================

A snapshot, which an application carries along as a file, stands in for a store that has nothing, or for none.

What is kept are the provider's answers, not what a process made of them: each process reads them under its own policy.
They are kept only after a fetch that succeeded. A writer of answers could make a key trusted: the store must be
one that authenticates what it gives out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from ...exceptions import NetworkException, StoreException
from ...observability import emit
from ..base.codec import Codec
from ..base.flow import Effect, Flow, Reply, Request, Send, now, performed, sleep
from ..base.store import AnyStore, Lease, ask, digest_of
from ..cache.entry import Entry, Fetched

T = TypeVar("T")

#: The topic of what providers said, and of the right to ask them.
TOPIC = "keys"
VERSION = 1
#: Seconds by which the clock of another process may be ahead. What comes from later is not counted as newer for ever.
AHEAD = 1.0
#: Seconds for which a process may ask alone; after that one more may, and so on: a provider that is slow is not asked
#: by all who wait for it, and one that died with the lease in its hand keeps nobody for long.
TURN = 2.0
#: Seconds for which nobody asks a provider that could not be reached, and uses what it said before.
PAUSE = 20.0
#: What ends the key under which a failure is told.
_FAILED = ".failed"
#: Seconds before each look whether another process has brought something, in one turn.
LOOKS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25)
#: Turns of others that a process waits for, at most: a lease may be stuck, as where a clock was set back.
TURNS = 10


class Fetch(Protocol[T]):
    """Make the flow that asks the provider, given what is there already."""

    def __call__(self, previous: Entry[T] | None, /) -> Flow[Fetched[T]]:
        """Make the flow."""
        ...


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a provider said to one request."""

    url: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one fetch: when it began, until when it is fresh and may be used, in seconds since 1970."""

    began: float
    fresh_until: float
    usable_until: float
    answers: list[Answer]


class Shared(NamedTuple):
    """A store, what is fetched, and what is known of it from a snapshot."""

    store: AnyStore | None
    key: str
    snapshot: Kept | None = None


_ANSWERS = Codec(Kept, TOPIC, VERSION)


def shared_fetch(
    store: AnyStore | None,
    what: str,
    fetch: Fetch[T],
    previous: Entry[T] | None,
    snapshot: Kept | None = None,
) -> Flow[Fetched[T]]:
    """Fetch *what*, unless another process has done so.

    Args:
        store: The store that the processes share; None if there is only a snapshot.
        what: What is fetched; processes that mean the same say the same.
        fetch: Makes the flow that asks the provider, and says for how long the result may be used.
        previous: What this process has already: only something newer will do.
        snapshot: What a snapshot has of it.

    Raises:
        NetworkException: The provider cannot be reached, and nothing that it said before may be used.
    """
    shared = Shared(store, digest_of("fetch", what), snapshot)
    known = yield from _known(previous)
    kept = yield from _read(shared)
    adopted = yield from _adopted(kept, known, fetch)
    if adopted is not None:
        return adopted
    lease = yield from _lease(shared, TURN)
    for _ in range(TURNS):
        if lease is not None:
            break
        adopted = yield from _awaited(shared, kept, known, fetch)
        if adopted is not None:
            return adopted
        lease = yield from _lease(shared, TURN)
    if isinstance(lease, Lease):
        # Another process may have put its answer down, and the lease, between the look and the taking.
        kept = yield from _read(shared)
        adopted = yield from _adopted(kept, known, fetch)
        if adopted is not None:
            yield from _released(shared, lease)
            return adopted
    try:
        fetched = yield from _asked(shared, kept, known, fetch, previous)
    except NetworkException:
        yield from _paused(shared, lease)
        raise
    except Exception:  # whatever it was, the lease is given back
        yield from _released(shared, lease)
        raise
    # Who is cancelled releases nothing: a lease ends by itself.
    yield from (_paused if fetched.revived else _released)(shared, lease)
    return fetched


def _known(previous: Entry[Any] | None) -> Flow[float]:
    """Return when this process, or the one it heard it from, asked for what it has; in seconds since 1970."""
    if previous is None:
        return -1.0
    if previous.said_at is not None:  # exactly: clocks that are set meanwhile must not make it older than itself
        return previous.said_at
    clock = yield from now()
    return clock.wall - (clock.steady - previous.started_at)


def _asked(
    shared: Shared, kept: Kept | None, known: float, fetch: Fetch[T], previous: Entry[T] | None
) -> Flow[Fetched[T]]:
    try:
        # Without what it has, so that the provider's answer is a whole one, which others can read.
        fetched, said = yield from record(fetch, None if previous is None else previous_without_tag(previous))
    except NetworkException as error:
        revived = yield from _revived(kept, known, fetch, error.code)
        if revived is None:
            raise
        return revived
    yield from _kept(shared, said)
    return replace(fetched, said_at=said.began)


def _revived(kept: Kept | None, known: float, fetch: Fetch[T], because: str) -> Flow[Fetched[T] | None]:
    """Return what a provider said before that gives no answer now; None where it may not be used, or is no news."""
    wall = (yield from now()).wall
    if kept is None or wall >= kept.usable_until or not known < kept.began <= wall + AHEAD:
        return None
    revived = yield from _replayed(kept, fetch)
    if revived is None:
        return None
    emit("shared_keys_revived", 30, code=because, age=round(wall - kept.began, 1))
    # For a while nobody asks again; what is left of its use is not made longer by that.
    left = max(revived.stale_if_error, revived.stale_while_revalidate)
    fresh_for = max(revived.fresh_for, min(PAUSE, left))
    return replace(
        revived,
        fresh_for=fresh_for,
        stale_while_revalidate=0.0,
        stale_if_error=max(0.0, kept.usable_until - wall - fresh_for),
        revived=True,
    )


def _kept(shared: Shared, said: Kept) -> Flow[None]:
    """Keep what a provider said, unless a process that began later was quicker."""
    if shared.store is None:
        return
    if (yield from now()).wall > said.began + TURN:
        other = yield from _read_store(shared)
        if other is not None and other.began >= said.began:
            return
    value, lifetime = _ANSWERS.encoded(said), max(1.0, said.usable_until - said.began)
    try:
        yield from ask(shared.store, lambda store: store.put(TOPIC, shared.key, value, lifetime))
    except StoreException:
        pass  # told as an event by the store; this process has what it needs


def record(fetch: Fetch[T], previous: Entry[T] | None = None) -> Flow[tuple[Fetched[T], Kept]]:
    """Ask the provider; return what was made of its answers, and the answers.

    Raises:
        NetworkException: It cannot be reached, or its answers are of no use.
    """
    wall = (yield from now()).wall
    heard: list[Answer] = []
    fetched = yield from _recorded(fetch(previous), heard)
    fresh_until = wall + fetched.fresh_for
    usable_until = fresh_until + max(fetched.stale_while_revalidate, fetched.stale_if_error)
    return fetched, Kept(wall, fresh_until, usable_until, heard)


def previous_without_tag(previous: Entry[T]) -> Entry[T]:
    """Return what a fetch takes for something it has, and cannot ask a change of."""
    return replace(previous, etag=None)


def _read(shared: Shared) -> Flow[Kept | None]:
    """Return the newer of what the store and the snapshot have."""
    found = yield from _read_store(shared)
    known = [one for one in (found, shared.snapshot) if one is not None]
    return max(known, key=lambda one: one.began, default=None)


def _read_store(shared: Shared) -> Flow[Kept | None]:
    if shared.store is None:
        return None
    try:
        return _ANSWERS.decoded((yield from ask(shared.store, lambda store: store.get(TOPIC, shared.key))))
    except StoreException:
        return None


#: In place of a lease: the store is away, so that nobody can have it.
_AWAY = object()


def _lease(shared: Shared, seconds: float) -> Flow[Lease | object | None]:
    """Return the right to ask the provider; None where another process has it."""
    store = shared.store
    if store is None:
        return _AWAY
    try:
        lease: Lease | None = yield from ask(store, lambda one: one.lease(TOPIC, shared.key, seconds))
        return lease
    except StoreException:
        return _AWAY


def _released(shared: Shared, lease: Lease | object | None) -> Flow[None]:
    if not isinstance(lease, Lease) or shared.store is None:
        return
    try:
        yield from ask(shared.store, lambda store: store.release(lease))
    except StoreException:
        pass  # it ends by itself


def _paused(shared: Shared, lease: Lease | object | None) -> Flow[None]:
    """Have nobody ask for a while: the provider could not be reached."""
    store = shared.store
    if not isinstance(lease, Lease) or store is None:
        return
    yield from _released(shared, lease)
    yield from _lease(shared, PAUSE)
    try:
        yield from ask(store, lambda one: one.put(TOPIC, shared.key + _FAILED, b"", PAUSE))
    except StoreException:
        pass  # the others find out by themselves


def _failed(shared: Shared) -> Flow[bool]:
    """Tell whether another process could not reach the provider a moment ago."""
    store = shared.store
    if store is None:
        return False
    try:
        return (yield from ask(store, lambda one: one.get(TOPIC, shared.key + _FAILED))) is not None
    except StoreException:
        return False


def _adopted(kept: Kept | None, known: float, fetch: Fetch[T]) -> Flow[Fetched[T] | None]:
    """Return what another process fetched, if it is fresh and newer than what is known."""
    wall = (yield from now()).wall
    if kept is None or not known < kept.began <= wall + AHEAD or wall >= kept.fresh_until:
        return None
    return (yield from _replayed(kept, fetch))


def _awaited(shared: Shared, kept: Kept | None, known: float, fetch: Fetch[T]) -> Flow[Fetched[T] | None]:
    """Wait, for one turn, for what the process that has the lease brings; then take what there was before.

    Raises:
        NetworkException: Another process has just failed, and this one has what there was before.
    """
    if (yield from _failed(shared)):
        revived = yield from _revived(kept, known, fetch, "failed_elsewhere")
        if revived is not None or known < 0:  # who has nothing asks for itself: the other may be cut off alone
            return revived
        raise NetworkException("Another process could not reach the provider a moment ago", code="failed_elsewhere")
    for seconds in LOOKS:
        yield from sleep(seconds)
        adopted = yield from _adopted((yield from _read(shared)), known, fetch)
        if adopted is not None:
            return adopted
    return (yield from _revived(kept, known, fetch, "slow"))


def _replayed(kept: Kept, fetch: Fetch[T]) -> Flow[Fetched[T] | None]:
    """Run a fetch on answers that are kept; None where they do not serve this process."""
    answers = {answer.url: answer for answer in kept.answers}

    def answer(request: Request) -> Flow[Reply]:
        found = answers.get(request.url)
        yield from ()
        # What the other process did not ask for is not there, as far as it is known.
        return Reply(404, url=request.url) if found is None else _reply(found)

    try:
        fetched = yield from _answered(fetch(None), answer)
    except NetworkException:
        return None
    age = max(0.0, (yield from now()).wall - kept.began)
    over = max(0.0, age - fetched.fresh_for)
    return replace(
        fetched,
        fresh_for=max(0.0, fetched.fresh_for - age),
        stale_while_revalidate=max(0.0, fetched.stale_while_revalidate - over),
        stale_if_error=max(0.0, fetched.stale_if_error - over),
        age=age,
        said_at=kept.began,
    )


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, tuple((name, value) for name, value in answer.headers), answer.body, answer.url)


def _recorded(flow: Flow[T], heard: list[Answer]) -> Flow[T]:
    """Run a fetch and note what the provider says."""

    def answer(request: Request) -> Flow[Reply]:
        reply: Reply = yield Send(request)
        heard.append(Answer(request.url, reply.status, list(reply.headers), reply.body))
        return reply

    return (yield from _answered(flow, answer))


def _answered(flow: Flow[T], answer: Callable[[Request], Flow[Reply]]) -> Flow[T]:
    """Run *flow*, with *answer* in the place of its transport."""

    def perform(effect: Effect) -> Flow[Any]:
        return (yield from answer(effect.request)) if isinstance(effect, Send) else (yield effect)

    return (yield from performed(flow, perform))


__all__ = ["LOOKS", "PAUSE", "TOPIC", "TURN", "TURNS", "Fetch", "Kept", "record", "shared_fetch"]
