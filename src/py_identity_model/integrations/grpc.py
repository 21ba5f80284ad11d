"""gRPC: interceptors for servers, blocking and aio; calls of all four kinds.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
server = grpc.server(pool, interceptors=[ResourceServerInterceptor(api, exclude=[HEALTH, *REFLECTION])])

The token is in the metadata ``authorization``. A method finds who called it by ``current_principal.get()``.
"""

from __future__ import annotations

import inspect
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar, copy_context
from typing import Any, NamedTuple, NoReturn, Unpack

from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement, either
from .._refusals import must_be
from .._resource_server import AnyResourceServer
from ._grpc_status import Abort, metadata_request, refusal_status
from ._guard import Decision, Demanded, blocking, decide, decide_in_loop, demanded
from ._packages import framework_missing
from ._paths import Paths

try:
    import grpc
    import grpc.aio
except ImportError:
    raise framework_missing("gRPC", "grpcio") from None

#: Services that are often open to everybody, for ``exclude``.
HEALTH = "/grpc.health.v1.Health/*"
REFLECTION = ("/grpc.reflection.v1.ServerReflection/*", "/grpc.reflection.v1alpha.ServerReflection/*")

#: Who the call at hand is from; None for nobody.
current_principal: ContextVar[AuthenticatedPrincipal | None] = ContextVar("current_principal", default=None)


class _Interceptor:
    """What both interceptors have in common: what each method demands."""

    def __init__(
        self,
        api: AnyResourceServer,
        *,
        requirement: Requirement | None = None,
        methods: Mapping[str, Requirement] | None = None,
        exclude: Iterable[str] = (),
        optional: bool = False,
        **demands: Unpack[Demanded],
    ) -> None:
        """Guard a server.

        Args:
            api: Who decides.
            requirement: What each call must bring besides a valid token.
            methods: What calls of a method must bring besides: ``{"/shop.Orders/Create": Requirement(...)}``, or
                ``/shop.Orders/*`` for all of a service.
            exclude: Methods that need no token, such as :data:`HEALTH` and :data:`REFLECTION`.
            optional: Whether calls without any token pass, as nobody.
            demands: What each call must bring, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: A demand could never be met, or a method is not named as gRPC does.
        """
        self._api = self._fit(api)
        self._excluded = Paths(exclude)
        self._optional = optional
        self._requirement = demanded(requirement, **demands)
        self._methods = dict(methods or {})
        for name in self._methods:
            if name.count("/") != 2 or name.endswith("/") or "*" in name.removesuffix("/*") or name[:1] != "/":
                raise must_be("methods", "names such as /shop.Orders/Create or /shop.Orders/*", name)

    def _fit(self, api: AnyResourceServer) -> AnyResourceServer:
        return api

    def _needed(self, method: str) -> Requirement | None:
        service = f"{method.rpartition('/')[0]}/*"
        return either(either(self._requirement, self._methods.get(service)), self._methods.get(method))


class ResourceServerInterceptor(_Interceptor, grpc.ServerInterceptor):  # type: ignore[misc] # gRPC brings no types
    """Lets calls with a valid access token into the methods of a blocking server."""

    def _fit(self, api: AnyResourceServer) -> AnyResourceServer:
        return blocking(api, "A server of grpc.server()")

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # a handler of methods: gRPC brings no types
        """Guard one call; gRPC calls this."""
        handler, method = continuation(handler_call_details), handler_call_details.method
        if handler is None or method in self._excluded:
            return handler
        inner = _behaviour(handler)
        needed = self._needed(method)

        def admitted(context: Any) -> AuthenticatedPrincipal | None:
            asked = metadata_request(method, context)
            return _entered(decide(self._api, asked, needed, optional=self._optional), asked, context)

        def one(request: Any, context: Any) -> Any:
            own = copy_context()  # the thread is another call's afterwards
            own.run(current_principal.set, admitted(context))
            return own.run(inner, request, context)

        def several(request: Any, context: Any) -> Iterator[Any]:
            own = copy_context()
            own.run(current_principal.set, admitted(context))
            answers = iter(own.run(inner, request, context))
            while (answer := own.run(next, answers, _END)) is not _END:
                yield answer

        return _guarded(handler, several if handler.response_streaming else one)


class AsyncResourceServerInterceptor(_Interceptor, grpc.aio.ServerInterceptor):  # type: ignore[misc] # gRPC brings no types
    """Lets calls with a valid access token into the methods of an aio server."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # a handler of methods: gRPC brings no types
        """Guard one call; gRPC calls this."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or method in self._excluded:
            return handler
        inner = _behaviour(handler)
        needed = self._needed(method)

        async def admit(context: Any) -> None:
            asked = metadata_request(method, context)
            decision = await decide_in_loop(self._api, asked, needed, optional=self._optional)
            if isinstance(decision, Refusal):
                await context.abort_with_status(_status(decision, asked))
            current_principal.set(_entered(decision, asked, context))  # each call is a task of its own

        async def one(request: Any, context: Any) -> Any:
            await admit(context)
            if inspect.iscoroutinefunction(inner):
                return await inner(request, context)
            return await to_thread(inner, request, context)

        async def several(request: Any, context: Any) -> Any:
            await admit(context)
            made = inner(request, context)
            if hasattr(made, "__aiter__"):
                async for answer in made:
                    yield answer
                return
            answers = iter(made)
            while (answer := await to_thread(next, answers, _END)) is not _END:
                yield answer

        # A method may also write its answers to the context, and return nothing.
        writes = inspect.iscoroutinefunction(inner)
        return _guarded(handler, several if handler.response_streaming and not writes else one)


_END = object()


class _Status(NamedTuple):
    code: Any
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def _status(refusal: Refusal, asked: InboundRequest) -> _Status:
    made: Abort = refusal_status(refusal, asked)
    return _Status(grpc.StatusCode[made.code], made.message, made.metadata)


def _entered(decision: Decision, asked: InboundRequest, context: Any) -> AuthenticatedPrincipal | None:
    if isinstance(decision, Refusal):
        _abort(context, _status(decision, asked))
    if decision is not None and decision.headers:
        context.set_trailing_metadata(decision.headers)
    return decision


def _abort(context: Any, status: _Status) -> NoReturn:
    context.abort_with_status(status)
    raise AssertionError("abort returned")


def _behaviour(handler: Any) -> Any:
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def _guarded(handler: Any, behaviour: Callable[..., Any]) -> Any:
    kinds = ("unary", "stream")
    kind = f"{kinds[handler.request_streaming]}_{kinds[handler.response_streaming]}"
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(behaviour, handler.request_deserializer, handler.response_serializer)


__all__ = ["HEALTH", "REFLECTION", "AsyncResourceServerInterceptor", "ResourceServerInterceptor", "current_principal"]
