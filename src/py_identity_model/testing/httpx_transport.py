"""The embedded provider as a transport of httpx2 or httpx, for sync and async clients alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import anyio
import httpx2

from .._core.base.flow import Request
from ._faults import Answer, total_delay

if TYPE_CHECKING:  # httpx, which need not be there, asks for nothing but the two methods
    import httpx

    class _Transport(httpx2.BaseTransport, httpx2.AsyncBaseTransport, httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: Any) -> Any: ...
        async def handle_async_request(self, request: Any) -> Any: ...
else:

    class _Transport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
        """What httpx2 asks of a transport."""


class EmbeddedTransport(_Transport):
    """Answers requests without a socket.

    A request of httpx gets a response of httpx, one of httpx2 a response of httpx2: the library is the request's own.
    """

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self._answer = answer

    @overload
    def handle_request(self, request: httpx2.Request) -> httpx2.Response: ...
    @overload
    def handle_request(self, request: httpx.Request) -> httpx.Response: ...
    def handle_request(self, request: Any) -> Any:
        """Answer a request of a sync client."""
        answer = self._answer(_as_value(request, request.read()))
        time.sleep(total_delay(answer))
        return _response(request, answer)

    @overload
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response: ...
    @overload
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response: ...
    async def handle_async_request(self, request: Any) -> Any:
        """Answer a request of an async client."""
        answer = self._answer(_as_value(request, await request.aread()))
        await anyio.sleep(total_delay(answer))
        return _response(request, answer)


def _as_value(request: Any, body: bytes) -> Request:
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw)
    return Request(request.method, str(request.url), headers, body)


def _response(request: Any, answer: Answer) -> Any:
    library: Any = sys.modules[type(request).__module__.partition(".")[0]]
    if answer.disconnect:
        raise library.ConnectError("All connection attempts failed", request=request)
    if answer.cut is not None:
        raise library.RemoteProtocolError("peer closed connection without sending complete body", request=request)
    headers = list(answer.reply.headers)
    # As a stream: a client that asks for the raw bytes gets them, and any other has them decoded.
    return library.Response(
        answer.reply.status, headers=headers, stream=library.ByteStream(answer.reply.body), request=request
    )


__all__ = ["EmbeddedTransport"]
