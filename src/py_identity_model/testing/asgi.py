"""The embedded provider as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .._core.base.flow import Request
from ._faults import Answer, body_pieces

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def respond(answer: Callable[[Request], Answer], scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one ASGI scope, HTTP or lifespan.

    Raises:
        ConnectionResetError: The provider plays a broken connection; an ASGI server then drops the real one.
    """
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "http":
        await _deliver(answer(await _read_request(scope, receive)), send)
    else:
        # What ASGI servers expect of an application for a protocol that it does not speak.
        raise NotImplementedError("the embedded provider speaks HTTP only")


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read_request(scope: Scope, receive: Receive) -> Request:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    host = next((value for name, value in headers if name == "host"), "localhost")
    query = scope.get("query_string", b"").decode("latin-1")
    url = f"{scope.get('scheme', 'http')}://{host}{scope['path']}" + (f"?{query}" if query else "")
    return Request(scope["method"], url, headers, body)


async def _deliver(answer: Answer, send: Send) -> None:
    import anyio  # asyncio and trio alike; httpx2 brings it

    await anyio.sleep(answer.delay)
    if answer.disconnect:
        raise ConnectionResetError("the embedded provider plays an outage")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.reply.headers]
    headers.append((b"content-length", str(len(answer.reply.body)).encode()))
    await send({"type": "http.response.start", "status": answer.reply.status, "headers": headers})
    for piece in body_pieces(answer):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await anyio.sleep(answer.pause)
    if answer.cut is not None:
        raise ConnectionResetError("the embedded provider plays a truncated body")
    await send({"type": "http.response.body", "body": b"", "more_body": False})


__all__ = ["respond"]
