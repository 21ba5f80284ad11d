"""A provider, a clock and clients of both APIs behind one face, for tests of tokens that are simply there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import trio

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._deadline import remaining
from py_identity_model.settings import get_settings
from py_identity_model.stores import MemoryStore
from py_identity_model.testing import EmbeddedProvider

BACK = "https://client.example.com/callback"
INVENTORY = "https://inventory.example.com"


class World:
    """One provider, one store, and any number of processes with clients of their own.

    Args:
        kind: ``sync``, ``asyncio`` or ``trio``.
        clock: The clock of all.
    """

    def __init__(self, kind: str, clock: Any) -> None:
        self.kind, self.clock = kind, clock
        self.provider = EmbeddedProvider(clock=lambda: float(clock.wall))
        self.store: Any = MemoryStore(clock=lambda: float(clock.wall))
        #: What stands between client and provider.
        self.between: Callable[[Request], Reply] = self.provider.transport

    def process(self, **options: Any) -> Process:
        """Return a client of its own, as another process has it."""
        given = {
            "client_id": self.provider.client_id,
            "client_secret": self.provider.client_secret,
            "redirect_uri": BACK,
            "store": self.store,
            "http_client": lambda request: self.between(request),
            **options,
        }
        door = blocking if self.kind == "sync" else awaitable
        return Process(self, door.OAuthClient(self.provider.issuer, **given))

    def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of this API and wait for its result."""
        if self.kind == "sync":
            return function(*args, **kwargs)

        async def main() -> Any:
            return await function(*args, **kwargs)

        return asyncio.run(main()) if self.kind == "asyncio" else trio.run(main)

    def silence(self, request: Request) -> Reply:
        """Stand for a server that never answers: as much time passes as the exchange at hand may take, and no more."""
        exchange = get_settings().http_timeout
        if self.kind == "sync":
            self.clock.advance(remaining(exchange))
        else:
            self.clock.advance(min(exchange, anyio.current_effective_deadline() - anyio.current_time()))
        raise TimeoutError

    @property
    def asked(self) -> int:
        """How often the token endpoint was asked."""
        return self.provider.count("token")


class Process:
    """A client of one process."""

    def __init__(self, world: World, client: Any) -> None:
        self.world, self.client = world, client

    def __getattr__(self, verb: str) -> Any:
        return lambda *args, **kwargs: self.world.run(getattr(self.client, verb), *args, **kwargs)

    def log_in(self, subject: str | None = None, **asked: Any) -> Any:
        """Log a user in, from the redirect to the tokens."""
        start = self.begin_login(blocking.LoginRequest(**asked))
        start.raise_for_error()
        came = self.world.provider.transport(Request("GET", start.url)).header("location")
        login = self.complete_login(came, start.transaction, subject=subject)
        login.raise_for_error()
        return login
