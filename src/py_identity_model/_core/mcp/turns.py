"""One login at a time, of all processes that share a store: whoever has the turn shows by a sign of life that it lives.

A login waits for a user, for minutes. A lease for so long would keep all others from logging in when its holder is
gone; the sign of life ends after seconds.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, TypeVar

from ...exceptions import StoreException
from ..base.flow import Effect, Flow, now, performed
from ..base.store import AnyStore, ask, pack
from ..client.held_tokens import TOPIC

T = TypeVar("T")

#: Seconds that a turn lasts without a sign of life, and between two of them.
LASTS: Final = 20.0
EVERY: Final = 5.0


class Turn:
    """The right to be the one who logs in.

    Args:
        store: What all processes share.
        key: What the login is for.
    """

    def __init__(self, store: AnyStore, key: str) -> None:
        self._store, self._key = store, key
        self._sign = pack(secrets.token_bytes(16))
        self._due = 0.0

    def taken(self) -> Flow[bool]:
        """Take the turn; False while another has it.

        Raises:
            StoreException: The store is away.
        """
        self._due = (yield from now()).steady + EVERY
        return bool((yield from ask(self._store, lambda store: store.add(TOPIC, self._key, self._sign, LASTS))))

    def keeping(self, flow: Flow[T]) -> Flow[T]:
        """Perform *flow*, with signs of life."""

        def perform(effect: Effect) -> Flow[Any]:
            yield from self._show()
            return (yield effect)

        return (yield from performed(flow, perform))

    def _show(self) -> Flow[None]:
        clock = yield from now()
        if clock.steady < self._due:
            return
        self._due = clock.steady + EVERY
        try:
            yield from ask(self._store, lambda store: store.swap(TOPIC, self._key, self._sign, self._sign, LASTS))
        except StoreException:
            pass  # at worst two ask the user

    def given_back(self) -> Flow[None]:
        """Let the next one log in."""
        try:
            if (yield from ask(self._store, lambda store: store.get(TOPIC, self._key))) == self._sign:
                yield from ask(self._store, lambda store: store.delete(TOPIC, self._key))
        except StoreException:
            pass  # it ends by itself


__all__ = ["EVERY", "LASTS", "Turn"]
