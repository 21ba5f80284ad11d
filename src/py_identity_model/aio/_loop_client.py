"""The clients of event loops. They may be awaited: earlier versions gave them out plain, while the guide awaited them.

Imported when the first such client is made, not before: it needs httpx2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Self

import httpx2


class LoopClient(httpx2.AsyncClient):
    """The client of one event loop. It may be awaited, which is not needed; it is closed when its loop ends."""

    #: Has the client closed with the loop; set where the client is made.
    bind: Callable[[], Awaitable[None]]

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, and let the running loop's end be this client's."""
        await self.bind()
        return await super().send(request, **options)

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from self.bind().__await__()
        return self


class AnyLoopClient(LoopClient):
    """A client for whatever loop its requests are sent in, for those who ask for one before a loop runs.

    Args:
        find: Returns the running loop's own client.
    """

    def __init__(self, find: Callable[[], httpx2.AsyncClient], timeout: float) -> None:
        super().__init__(transport=_Delegating(find), timeout=timeout, trust_env=False)
        self.bind = _nothing


class _Delegating(httpx2.AsyncBaseTransport):
    """Sends through the running loop's client."""

    def __init__(self, find: Callable[[], httpx2.AsyncClient]) -> None:
        self._find = find

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._find().send(request, stream=True)


async def _nothing() -> None:
    """Bind to no loop."""


__all__ = ["AnyLoopClient", "LoopClient"]
