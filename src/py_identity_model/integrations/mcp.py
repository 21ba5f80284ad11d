"""MCP servers over HTTP, of the official SDK and of FastMCP: challenges, metadata and a requirement for each tool.

    api = ResourceServer(TokenValidator("https://id.example.com", audience=RESOURCE), resource=RESOURCE)
    guard = MCPGuard(api, scopes=["orders.read"])

    @server.tool()
    @guard.requires(scopes=["orders.write"])
    def cancel(order: int) -> str: ...

    app = guard.protect(server.streamable_http_app())

It follows the authorization part of the specification of 2026-07-28, and imports neither SDK before one is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from .._core.base.flow import Flow
from .._core.base.strict_json import StrictJSONError, loads
from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement, either, meet
from .._refusals import must_be
from .._resource_server import AnyResourceServer
from ..aio._driver import run as run_in_loop
from ..exceptions import (
    MissingCredentialsException,
    NetworkException,
    ValidationException,
)
from ..sync._driver import run
from ._guard import Demanded, decide_in_loop, demanded
from ._mcp_sdk import access_token, as_user, given_again, read_message
from ._requests import of_scope
from .asgi import Application, Receive, ResourceServerMiddleware, Scope, Send, answer
from .routes import Published, ServiceRoutes

if TYPE_CHECKING:  # no SDK is imported before one is used
    from mcp.server.auth.provider import AccessToken

F = TypeVar("F", bound=Callable[..., Any])

_MALFORMED = Published(400, (("content-type", "application/json"),), b'{"error":"invalid_request"}')
_TOO_LARGE = Published(413, (("content-type", "application/json"),), b'{"error":"invalid_request"}')

_current: ContextVar[AuthenticatedPrincipal | None] = ContextVar("py_identity_model_mcp", default=None)


class MCPGuard:
    """Lets requests with a token that was made for this very server reach it, and its tools."""

    def __init__(
        self, api: AnyResourceServer, *, requirement: Requirement | None = None, **demands: Unpack[Demanded]
    ) -> None:
        """Guard an MCP server.

        Args:
            api: Who decides; its ``resource`` is the address of the server, and an audience of its validator.
            requirement: What every request demands besides a valid token.
            demands: What every request demands, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: It has no ``resource``, its validator takes tokens made for others, or tokens come
                in another header than ``Authorization``, the one that MCP has.
        """
        if api.gate.token_header is not None:
            raise must_be("token_header", "left out: MCP clients send Authorization", api.gate.token_header)
        if api.metadata is None:
            raise must_be("resource", "the address of the MCP server: ResourceServer(..., resource=...)")
        #: The address of the server, the audience of its tokens (RFC 8707).
        self.resource: str = api.metadata.resource
        if self.resource not in api.audiences:
            raise must_be("audience", f"{self.resource}, the address of the MCP server, alone or among others")
        self._api = api
        self._requirement = demanded(requirement, **demands)
        self._tools: dict[str, Requirement] = {}

    # What FastMCP's RemoteAuthProvider asks of a verifier.

    @property
    def required_scopes(self) -> list[str]:
        """The scopes of every request."""
        return [] if self._requirement is None else list(self._requirement.scopes)

    @property
    def scopes_supported(self) -> list[str]:
        """The scopes of the metadata."""
        supported = None if self._api.metadata is None else self._api.metadata.scopes_supported
        return list(supported or self.required_scopes)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Verify a token for an SDK that reads requests itself; prefer :meth:`protect`, which answers them too.

        Args:
            token: A bearer token. One that is bound to a key is refused, as its proof is not at hand.

        Returns:
            The SDK's ``AccessToken``, or None.
        """
        request = InboundRequest("POST", self.resource, (("authorization", f"Bearer {token}"),))
        decision = await decide_in_loop(self._api, request, self._requirement)
        return access_token(decision, token, self.resource) if isinstance(decision, AuthenticatedPrincipal) else None

    @property
    def principal(self) -> AuthenticatedPrincipal:
        """Who calls the tool at hand.

        Raises:
            MissingCredentialsException: Nobody that is known: the application is not under :meth:`protect`.
        """
        principal = _current.get()
        if principal is None:
            raise MissingCredentialsException("Nobody known calls this tool", hint="serve guard.protect(app)")
        return principal

    def requires(
        self, requirement: Requirement | None = None, *, tool: str | None = None, **demands: Unpack[Demanded]
    ) -> Callable[[F], F]:
        """Demand more for one tool. Who has less gets 403 with all scopes of the call, before the tool is called.

        Args:
            requirement: What it demands.
            tool: Its name, if that is not the name of the function.
            demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.
        """
        wanted = demanded(requirement, **demands) or Requirement()

        def required(function: F) -> F:
            self._tools[tool or function.__name__] = wanted
            if inspect.iscoroutinefunction(function):

                @wraps(function)
                async def awaited(*args: Any, **kwargs: Any) -> Any:
                    await run_in_loop(meet(wanted, self.principal))
                    return await function(*args, **kwargs)

                return awaited  # type: ignore[return-value] # it has the signature of *function*

            @wraps(function)
            def called(*args: Any, **kwargs: Any) -> Any:
                run(meet(wanted, self.principal))
                return function(*args, **kwargs)

            return called  # type: ignore[return-value] # it has the signature of *function*

        return required

    def protect(self, app: Application, *, routes: ServiceRoutes | None = None) -> Application:
        """Put the gate in front of a server's ASGI application; its metadata is served there too.

        Args:
            app: ``streamable_http_app()`` of the SDK, or ``http_app()`` of FastMCP, without an ``auth`` of their own.
            routes: Metadata, health and readiness; by default ``ServiceRoutes(api)``.
        """
        return _Protected(app, self, self._api, requirement=self._requirement, routes=routes)

    def _for_message(self, body: bytes) -> Requirement | None:
        """Return what the tools of a message demand.

        Raises:
            StrictJSONError: Not everybody would read the same message.
        """
        read = loads(body.decode("utf-8"))
        messages = read if isinstance(read, list) else [read]
        wanted: Requirement | None = None
        for message in messages:
            if isinstance(message, dict) and message.get("method") == "tools/call":
                params = message.get("params")
                name = params.get("name") if isinstance(params, dict) else None
                wanted = either(wanted, self._tools.get(name) if isinstance(name, str) else None)
        return wanted


class _Protected(ResourceServerMiddleware):
    """The gate in front of one server."""

    def __init__(self, app: Application, guard: MCPGuard, api: AnyResourceServer, **options: Any) -> None:
        super().__init__(app, api, **options)
        self._guard = guard

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = (scope.get("state") or {}).get("principal") if scope["type"] == "http" else None
        if principal is None:
            return await self._app(scope, receive, send)
        if scope["method"] == "POST" and self._guard._tools:
            body = await read_message(receive)
            refused = _TOO_LARGE if body is None else await self._refused(scope, principal, body)
            if refused is not None:
                return await answer(scope, send, refused)
            receive = given_again(body or b"", receive)
        token = _current.set(principal)
        try:
            return await as_user(self._app, scope, principal, self._guard.resource)(scope, receive, send)
        finally:
            _current.reset(token)

    async def _refused(
        self, scope: Scope, principal: AuthenticatedPrincipal, body: bytes
    ) -> Refusal | Published | None:
        try:
            wanted = self._guard._for_message(body)
        except (StrictJSONError, UnicodeDecodeError):
            return _MALFORMED
        if wanted is None:
            return None
        return await run_in_loop(self._meeting(either(self._requirement, wanted), principal, of_scope(scope)))

    def _meeting(
        self, wanted: Requirement | None, principal: AuthenticatedPrincipal, request: InboundRequest
    ) -> Flow[Refusal | None]:
        try:
            yield from meet(wanted or Requirement(), principal)
        except (ValidationException, NetworkException) as error:
            refused = error
        else:
            return None
        return (yield from self._api.gate.refuse(refused, request, wanted))


__all__ = ["MCPGuard"]
