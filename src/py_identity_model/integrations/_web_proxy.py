"""Requests of pages to an API, streamed both ways, by ASGI.

A stream ends when the page goes away, and soon after its session has ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2

from .._core.resource.calls import answered
from .._core.web_login.messages import Headers, WebAnswer, WebRequest
from .._core.web_login.proxy import Outgoing, WebProxy, body_length, is_answer, upstream_failed
from ..aio._clients import HTTPClient
from ..aio._driver import run as run_in_loop
from ..exceptions import PyIdentityModelException
from ..settings import get_settings
from ._requests import pairs
from ._web_login import AnyLogin, request_of_scope
from .asgi import Receive, Scope, Send

#: Octets of a request at most that are kept, so that it can be sent once more.
REPEATABLE = 64 * 1024
#: Seconds between two looks whether the session of a stream is still there.
LOOK_EVERY = 15.0


def stream_timeout() -> httpx2.Timeout:
    """Return how long a stream to an API may take."""
    seconds = get_settings().http_timeout
    return httpx2.Timeout(seconds, read=None, pool=None)  # a stream of events is silent for as long as it likes


def built_request(client: Any, outgoing: Outgoing, content: Any, timeout: httpx2.Timeout) -> Any:
    """Return a request to the API, as a client of either kind sends it."""
    headers, parts = pairs(outgoing.headers), urlsplit(outgoing.url)
    built = client.build_request(outgoing.method, outgoing.url, headers=headers, content=content, timeout=timeout)
    built.headers.pop("cookie", None)  # a client of the application's own may have kept one of another user
    # Octet by octet, whatever the client makes of a percent sign.
    built.extensions["target"] = ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode()
    return built


def as_sent(response: httpx2.Response) -> Headers:
    """Return the header fields of an answer, each octet a character."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)


#: Connections to an API are not counted: a stream has one for as long as it lasts, and others would wait for ever.
UNCOUNTED = httpx2.Limits(max_connections=None, max_keepalive_connections=100)


class _StreamClient(HTTPClient):
    """The library's own client, with connections for one proxy alone."""

    def _built(self, options: dict[str, Any]) -> Any:
        return super()._built({**options, "limits": UNCOUNTED})


class _PageGone(Exception):
    """The page went away while it was sending."""


class ProxyApplication:
    """An ASGI application that serves a proxy: HTTP, server-sent events, and WebSockets.

    Args:
        login: The web login.
        proxy: What ``login.proxy`` returned.
        http_client: A client for the API; by default one of the library's own, with connections for it alone.
    """

    def __init__(self, login: AnyLogin, proxy: WebProxy, http_client: HTTPClient | None = None) -> None:
        self._login, self.proxy = login, proxy
        self._client = _StreamClient() if http_client is None else http_client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        request = request_of_scope(scope)
        if scope["type"] == "websocket":
            from ._web_socket_proxy import serve_websocket

            await serve_websocket(self, request, scope, receive, send)
            return
        began = await self.begin(request)
        if isinstance(began, WebAnswer):
            await _send(send, began)
            return
        await self._forward(request, began, receive, send)

    async def begin(self, request: WebRequest) -> WebAnswer | Outgoing:
        """Return the request to the API, or what to answer instead."""
        return await run_in_loop(self.proxy.begin(request), self._login._http_client)

    async def alive(self, request: WebRequest) -> bool:
        """Tell whether the session of a request is still there."""
        return await run_in_loop(self.proxy.alive(request), self._login._http_client)

    async def until_over(self, request: WebRequest) -> None:
        """Return when the session of a request has ended."""
        await anyio.sleep(LOOK_EVERY)
        while await self.alive(request):
            await anyio.sleep(LOOK_EVERY)

    async def _forward(self, request: WebRequest, outgoing: Outgoing, receive: Receive, send: Send) -> None:
        body, failure = _Body(request, receive), None
        async with anyio.create_task_group() as both:

            async def watch(over: Callable[[], Awaitable[None]]) -> None:
                await over()
                both.cancel_scope.cancel()

            both.start_soon(watch, body.until_gone)
            both.start_soon(watch, lambda: self.until_over(request))
            try:
                await self._exchange(request, outgoing, body, send)
            except _PageGone:
                pass
            except Exception as error:  # whatever it is, the server is to see it, and not a group of it
                failure = error
            both.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _exchange(self, request: WebRequest, outgoing: Outgoing, body: _Body, send: Send) -> None:
        content = await body.start()
        if not isinstance(content, bytes) and body.length is not None:
            outgoing = outgoing.again([("content-length", body.length)])
        try:
            response = await self._sent(outgoing, content)
        except PyIdentityModelException as error:
            await _send(send, self.proxy.refused(request, error))
            return
        except (httpx2.TransportError, httpx2.InvalidURL):
            await _send(send, upstream_failed())
            return
        try:
            if not is_answer(response.status_code):
                await _send(send, upstream_failed())
                return
            await _stream(response, self.proxy.returned(outgoing, as_sent(response)), send)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _sent(self, outgoing: Outgoing, content: bytes | AsyncIterator[bytes]) -> httpx2.Response:
        client, repeatable = await self._client._ready(), isinstance(content, bytes)
        while True:
            built = built_request(client, outgoing, content, stream_timeout())
            response = await client.send(built, stream=True, auth=None, follow_redirects=False)
            try:
                told = answered(response.status_code, as_sent(response))
                again = await run_in_loop(
                    self.proxy.after(outgoing, told, repeatable=repeatable), self._login._http_client
                )
            except BaseException:  # whatever it is, nobody else has the response
                with anyio.CancelScope(shield=True):
                    await response.aclose()
                raise
            if again is None:
                return response
            await response.aclose()
            outgoing = again


class _Body:
    """The body of a page's request: read when it is wanted, and then watched for the page to go away."""

    def __init__(self, request: WebRequest, receive: Receive) -> None:
        length = body_length(request)
        self.length = None if length is None else str(length)
        self._short = length is not None and length <= REPEATABLE
        self._receive = receive
        self._read = anyio.Event()

    async def start(self) -> bytes | AsyncIterator[bytes]:
        """Return the body: whole, if it is short, so that it can be sent again."""
        kept, pieces = b"", self._pieces()
        if not self._short:
            return pieces
        async for piece in pieces:
            kept += piece
            if len(kept) > REPEATABLE:  # HTTP/2 has bodies whose length nobody says
                self.length = None
                return _joined(kept, pieces)
        return kept

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise _PageGone
                yield message.get("body", b"")
                if not message.get("more_body", False):
                    return
        finally:
            self._read.set()

    async def until_gone(self) -> None:
        """Return when the page has gone away."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece


async def _send(send: Send, made: WebAnswer) -> None:
    headers = [*pairs(made.headers), (b"content-length", str(len(made.body)).encode())]
    await send({"type": "http.response.start", "status": made.status, "headers": headers})
    await send({"type": "http.response.body", "body": made.body})


async def _stream(response: httpx2.Response, headers: Headers, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status_code, "headers": pairs(headers)})
    try:
        async for piece in response.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except httpx2.TransportError:
        return  # without an end, so that the page does not take it for whole
    await send({"type": "http.response.body", "body": b"", "more_body": False})


__all__ = ["LOOK_EVERY", "REPEATABLE", "UNCOUNTED", "ProxyApplication", "as_sent", "built_request", "stream_timeout"]
