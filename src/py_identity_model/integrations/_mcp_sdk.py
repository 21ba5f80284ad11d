"""What the SDKs of MCP want to know of a request that passed, and messages that are read before they are passed on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .._core.resource.principal import AuthenticatedPrincipal
from ._requests import of_scope
from .asgi import Application, Message, Receive, Scope

if TYPE_CHECKING:  # no SDK is imported before one is used
    from mcp.server.auth.provider import AccessToken

#: Bytes of a message that calls a tool, at most.
MAX_MESSAGE = 4 * 1024 * 1024


async def read_message(receive: Receive) -> bytes | None:
    """Return the body of a request; None if it is too large."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = bool(message.get("more_body"))
        if len(body) > MAX_MESSAGE:
            return None
    return bytes(body)


def given_again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read to the application."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def as_user(app: Application, scope: Scope, principal: AuthenticatedPrincipal, resource: str) -> Application:
    """Tell the SDK, if one is there, who the user is: sessions belong to users, and tools ask for the token."""
    bearer = sys.modules.get("mcp.server.auth.middleware.bearer_auth")
    context = sys.modules.get("mcp.server.auth.middleware.auth_context")
    if bearer is None or context is None:
        return app
    held = access_token(principal, of_scope(scope).header_values("authorization")[0].rpartition(" ")[2], resource)
    scope["user"] = bearer.AuthenticatedUser(held)
    made: Application = context.AuthContextMiddleware(app)
    return made


def access_token(principal: AuthenticatedPrincipal, token: str, resource: str) -> AccessToken:
    """Return the ``AccessToken`` of the SDK that is there, or a dict."""
    kinds = (("fastmcp.server.auth.auth", "AccessToken"), ("mcp.server.auth.provider", "AccessToken"))
    kind: Any = next((getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules), dict)
    expires = principal.claims.get("exp")
    made: AccessToken = kind(
        token=token,
        client_id=principal.client_id or principal.subject or "",
        scopes=sorted(principal.scopes),
        expires_at=int(expires) if isinstance(expires, int | float) else None,
        resource=resource,
        subject=principal.subject,
        claims=dict(principal.claims),
    )
    return made


__all__ = ["MAX_MESSAGE", "access_token", "as_user", "given_again", "read_message"]
