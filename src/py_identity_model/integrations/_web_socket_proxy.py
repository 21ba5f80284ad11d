"""WebSockets of pages to an API, with the package ``websockets``: messages go both ways until one side closes."""

from __future__ import annotations

from typing import Any, Protocol

import anyio

from .._core.web_login.messages import WebAnswer, WebRequest
from .._core.web_login.proxy import Outgoing
from ._packages import framework_missing
from .asgi import POLICY_VIOLATION, Receive, Scope, Send, answer
from .routes import Published

try:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, WebSocketException
except ImportError:
    raise framework_missing("WebSockets of a proxy", "websockets") from None

#: Close codes (RFC 6455 7.4.1): the API is not to be had; it went away.
_TRY_LATER, _GOING_AWAY = 1013, 1001
#: Codes that only say how it ended, and are never sent.
_NEVER_SENT = frozenset({1004, 1005, 1006, 1015})
#: Octets of a message at most.
MAX_MESSAGE = 16 * 1024 * 1024


class Serves(Protocol):
    """What decides about a WebSocket."""

    async def begin(self, request: WebRequest) -> WebAnswer | Outgoing:
        """Return the request to the API, or what to answer instead."""
        ...

    async def until_over(self, request: WebRequest) -> None:
        """Return when the session of a request has ended."""
        ...


async def serve_websocket(proxy: Serves, request: WebRequest, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket of a page."""
    await receive()  # websocket.connect
    began = await proxy.begin(request)
    if isinstance(began, WebAnswer):
        await answer(scope, send, Published(began.status, began.headers, began.body))
        return
    try:
        api = await connect(_address(began), **_options(began, scope))
    except (OSError, TimeoutError, WebSocketException):
        await send({"type": "websocket.close", "code": _TRY_LATER, "reason": ""})
        return
    async with api:
        await send({"type": "websocket.accept", "subprotocol": api.subprotocol})
        await _both_ways(proxy, request, api, receive, send)


def _address(outgoing: Outgoing) -> str:
    return "ws" + outgoing.url.removeprefix("http")


def _options(outgoing: Outgoing, scope: Scope) -> dict[str, Any]:
    headers = [pair for pair in outgoing.headers if not pair[0].lower().startswith("sec-websocket-")]
    agent = next((value for name, value in headers if name.lower() == "user-agent"), None)
    return {
        "additional_headers": [pair for pair in headers if pair[0].lower() != "user-agent"],
        "user_agent_header": agent,
        "subprotocols": list(scope.get("subprotocols", ())) or None,
        "max_size": MAX_MESSAGE,
        "proxy": None,
    }


async def _both_ways(proxy: Serves, request: WebRequest, api: Any, receive: Receive, send: Send) -> None:
    async with anyio.create_task_group() as both:

        async def to_api() -> None:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    break
                text = message.get("text")
                try:
                    await api.send(message["bytes"] if text is None else text)
                except ConnectionClosed:
                    break
            both.cancel_scope.cancel()

        async def while_logged_in() -> None:
            await proxy.until_over(request)
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "The session has ended"})
            both.cancel_scope.cancel()

        both.start_soon(to_api)
        both.start_soon(while_logged_in)
        await _to_page(api, send)
        both.cancel_scope.cancel()


async def _to_page(api: Any, send: Send) -> None:
    try:
        async for message in api:
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})
    except ConnectionClosed:
        pass
    code = api.close_code or _GOING_AWAY
    told = 1000 <= code < 5000 and code not in _NEVER_SENT
    await send({"type": "websocket.close", "code": code if told else _GOING_AWAY, "reason": ""})


__all__ = ["Serves", "serve_websocket"]
