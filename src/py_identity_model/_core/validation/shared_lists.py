"""One fetch of a status list for many processes: its token is kept in a store, compressed, and read by all others.

Each process verifies the token itself, and judges under its own policy how long it may be used; it is as old as it is.
A list that cannot be kept, as it is too large, is fetched by each process, with an event.
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from ...exceptions import NetworkException, StoreException, printable
from ...observability import emit
from ..base.flow import Flow, now, sleep
from ..base.store import MAX_VALUE, AnyStore, Lease, ask, digest_of, pack, unpack, unreadable
from ..cache.entry import Fetched
from ..discovery.shared_fetch import AHEAD, LOOKS, TURN
from .status_list import StatusList

#: The topic of lists, and of the right to fetch them.
TOPIC = "status-lists"
#: Bytes that a store that seals adds to a value, at most.
_SEAL = 1024
#: Seconds that a list is kept: as long as one may be used at most, whatever it says.
_LIFETIME = 30 * 86400.0


class Heard(NamedTuple):
    """The token of a list, and when it was asked for, in seconds since 1970."""

    token: str
    began: float


class Sharing(NamedTuple):
    """How one list is shared: the store, the list's name, and the longest token that is taken."""

    store: AnyStore
    issuer: str
    uri: str
    longest: int

    @property
    def key(self) -> str:
        """The name of the list in the store."""
        return digest_of("status list", self.issuer, self.uri)


#: Fetches the token of a list.
Asks = Callable[[], Flow[Heard]]
#: Verifies the token of a list, and says for how long it may be used.
Reads = Callable[[Heard], Flow[Fetched[StatusList]]]


def shared_list(sharing: Sharing, known: float, asks: Asks, reads: Reads) -> Flow[Fetched[StatusList]]:
    """Fetch a list, unless another process has done so.

    Args:
        sharing: The store and the list.
        known: When the list was asked for that this process has; only a newer one will do.
        asks: Fetches its token.
        reads: Verifies it.

    Raises:
        NetworkException: It cannot be had, or is none.
    """
    found = yield from _adopted(sharing, known, reads)
    if found is not None:
        return found
    lease = yield from _leased(sharing)
    for seconds in LOOKS if lease is None else (0.0,):  # who has the lease looks once more
        if seconds:
            yield from sleep(seconds)
        found = yield from _adopted(sharing, known, reads)
        if found is not None:
            yield from _released(sharing, lease)
            return found
    try:
        heard = yield from asks()
        found = yield from reads(heard)
        yield from _keep(sharing, heard)
    except NetworkException:
        yield from _released(sharing, lease)
        raise
    yield from _released(sharing, lease)  # who is cancelled releases nothing: a lease ends by itself
    return found


def _adopted(sharing: Sharing, known: float, reads: Reads) -> Flow[Fetched[StatusList] | None]:
    """Return what another process fetched, if it is newer than what is known and may still be used."""
    try:
        data = unpack((yield from ask(sharing.store, lambda one: one.get(TOPIC, sharing.key))), topic=TOPIC)
    except StoreException:
        return None
    heard = _opened(data, sharing.longest) if data is not None else None
    wall = (yield from now()).wall
    if heard is None or not known < heard.began <= wall + AHEAD:
        return None
    try:
        found = yield from reads(heard)
    except NetworkException:  # under the rules of this process it is none
        return None
    return found if found.fresh_for > 0 else None


def _opened(data: bytes, longest: int) -> Heard | None:
    try:
        stream = zlib.decompressobj()
        token = stream.decompress(data[8:], longest + 1).decode("ascii")
        began: float = struct.unpack(">d", data[:8])[0]
    except (zlib.error, struct.error, UnicodeDecodeError):
        unreadable(TOPIC, "not a list")
        return None
    return Heard(token, began) if stream.eof else None


def _keep(sharing: Sharing, heard: Heard) -> Flow[None]:
    value = pack(struct.pack(">d", heard.began) + zlib.compress(heard.token.encode()))
    if len(value) > MAX_VALUE - _SEAL:
        emit("status_list_not_shared", logging.WARNING, uri=printable(sharing.uri), size=len(value))
        return
    try:
        yield from ask(sharing.store, lambda one: one.put(TOPIC, sharing.key, value, _LIFETIME))
    except StoreException:
        pass  # told as an event by the store; this process has what it needs


def _leased(sharing: Sharing) -> Flow[Lease | object | None]:
    """Return the right to ask; None where another process has it, and something else while the store is away."""
    try:
        lease: Lease | None = yield from ask(sharing.store, lambda one: one.lease(TOPIC, sharing.key, TURN))
        return lease
    except StoreException:
        return sharing


def _released(sharing: Sharing, lease: object) -> Flow[None]:
    if not isinstance(lease, Lease):
        return
    try:
        yield from ask(sharing.store, lambda one: one.release(lease))
    except StoreException:
        pass  # it ends by itself


__all__ = ["Heard", "Sharing", "shared_list"]
