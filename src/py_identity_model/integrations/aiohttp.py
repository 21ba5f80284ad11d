"""aiohttp's server: a guard with a decorator and a middleware; exact answers, streams untouched.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
guard = AiohttpGuard(api)
guard.setup(app)

@guard.protect(scopes=["orders.read"])
async def orders(request): return web.json_response({"subject": principal_of(request).subject})
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, Unpack

from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import AnyResourceServer
from ..exceptions import MissingCredentialsException
from ._guard import Demanded, demanded, warm_up
from ._once import decide_once_in_loop, new_headers, principal_at
from ._packages import framework_missing
from ._paths import Paths
from .routes import Answer, ServiceRoute, ServiceRoutes, as_published, is_published

try:
    from aiohttp import web
    from multidict import CIMultiDict
except ImportError:
    raise framework_missing("aiohttp", "aiohttp") from None

F = TypeVar("F", bound=Callable[..., Any])
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ADDED = "py_identity_model.headers"
#: Where a request keeps what was decided about it; aiohttp before 3.14 knows only text.
_FACTS: Any = web.RequestKey("py_identity_model", dict) if hasattr(web, "RequestKey") else "py_identity_model"


class AiohttpGuard:
    """Lets requests with a valid access token into a handler."""

    def __init__(self, api: AnyResourceServer, *, routes: ServiceRoutes | None = None) -> None:
        """Guard handlers.

        Args:
            api: Who decides.
            routes: Metadata, health and readiness; by default ``ServiceRoutes(api)``.
        """
        self.api = api
        self._routes = ServiceRoutes(api) if routes is None else routes

    def setup(self, app: web.Application) -> None:
        """Publish metadata, health and readiness, and fetch the keys while the application starts.

        It starts whether or not they can be had.
        """
        for each in self._routes:
            app.router.add_route("*", each.path, _serving(each))
        app.on_startup.append(self._start)
        app.on_response_prepare.append(_tell)

    def protect(
        self, requirement: Requirement | None = None, *, optional: bool = False, **demands: Unpack[Demanded]
    ) -> Callable[[F], F]:
        """Protect a handler: a function of a request, WebSockets too, or a method of a ``web.View``.

        Args:
            requirement: What it demands besides a valid token.
            optional: Whether requests without any token pass, as nobody.
            demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: A demand could never be met.
        """
        wanted = demanded(requirement, **demands)

        def protecting(handler: F) -> F:
            @wraps(handler)
            async def guarded(first: Any, *others: Any) -> Any:
                # The request comes last where a handler is a method; a view has it as an attribute.
                request = (first, *others)[-1]
                refused = await self._check(
                    request.request if isinstance(request, web.View) else request, wanted, optional
                )
                return await handler(first, *others) if refused is None else refused

            return guarded  # type: ignore[return-value] # it has the signature of *handler*

        return protecting

    def middleware(
        self,
        requirement: Requirement | None = None,
        *,
        exclude: Iterable[str] = (),
        optional: bool = False,
        **demands: Unpack[Demanded],
    ) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """Protect a whole application: ``web.Application(middlewares=[guard.middleware()])``.

        Args:
            requirement: What each request must bring besides a valid token.
            exclude: Paths that need no token: ``/docs``, or ``/public/*`` for all below.
            optional: Whether requests without any token pass, as nobody.
            demands: What each must bring, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: A demand could never be met.
        """
        wanted = demanded(requirement, **demands)
        free = Paths(exclude)

        @web.middleware
        async def guarding(request: web.Request, handler: Handler) -> web.StreamResponse:
            open_to_all = is_published(request.match_info.handler) or free.frees(request.path, request.rel_url.raw_path)
            refused = None if open_to_all else await self._check(request, wanted, optional)
            return await handler(request) if refused is None else refused

        return guarding

    async def _check(
        self, request: web.Request, requirement: Requirement | None, optional: bool
    ) -> web.Response | None:
        facts = _facts(request)
        with new_headers(facts) as added:
            decision = await decide_once_in_loop(self.api, facts, of_request(request), requirement, optional=optional)
        if added:
            facts[_ADDED] = added
        return _response(decision) if isinstance(decision, Refusal) else None

    async def _start(self, _: web.Application) -> None:
        warm_up(self.api)


def _serving(published: ServiceRoute) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        return _response(published.answer(request.method))

    return as_published(serve)


async def _tell(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.extend(_facts(request).get(_ADDED, ()))


def principal_of(request: web.Request) -> AuthenticatedPrincipal:
    """Return who a request is from.

    Raises:
        MissingCredentialsException: It is from nobody: the handler is not protected, or optional.
    """
    principal = find_principal(request)
    if principal is None:
        raise MissingCredentialsException("The request is from nobody: the handler is not protected, or optional")
    return principal


def find_principal(request: web.Request) -> AuthenticatedPrincipal | None:
    """Return who a request is from; None for nobody."""
    return principal_at(_facts(request))


def _facts(request: web.BaseRequest) -> dict[Any, Any]:
    facts: dict[Any, Any] = request.setdefault(_FACTS, {})
    return facts


def of_request(request: web.BaseRequest) -> InboundRequest:
    """Return a request of aiohttp as the gate reads it: headers apart, the path as it was sent."""
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers)
    # RFC 9112 3.2: a path, or an absolute URL as proxies are sent it, whose host stands in for the header.
    target = request.raw_path
    url = f"{request.scheme}://{request.host}{target}" if target.startswith("/") else target
    return InboundRequest(
        request.method,
        url,
        headers,
        peer[0] if isinstance(peer, tuple) else None,
        None if tls is None else tls.getpeercert(binary_form=True),
    )


def _response(made: Answer) -> web.Response:
    response = web.Response(status=made.status, body=made.body or None, headers=CIMultiDict(made.headers))
    if not made.body:
        response.headers.popall("content-type", None)
    return response


__all__ = ["AiohttpGuard", "find_principal", "principal_of"]
