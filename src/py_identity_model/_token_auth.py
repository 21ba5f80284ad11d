"""The auth object of a client: one value that ``httpx2``, ``httpx``, ``requests`` and ``aiohttp`` take as it is.

Which token goes where, and what is tried after a refusal, is decided in :mod:`._core.resource.calls`; here it is
dressed for each library.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from importlib.util import find_spec
from typing import Any, Self, TypeVar, overload

import httpx2

from ._core.client.held_tokens import AccessToken
from ._core.login.oauth_client import TokenSource
from ._core.resource.calls import Call, answered, check_origin
from .aio._driver import run as run_awaiting
from .exceptions import ConfigurationException
from .sync import _driver as blocking

#: Statuses after which something may be tried.
_REFUSED = frozenset({401, 403})


#: A request of requests or aiohttp, and the answer to it.
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class TokenAuth(httpx2.Auth):
    """Gives every request the token it needs.

    ``httpx2`` and ``httpx`` take it as ``auth=``, in blocking and in asynchronous clients; ``requests`` as ``auth=``;
    ``aiohttp`` as one of ``middlewares=``. A request goes out with a token or not at all, and no token goes to another
    origin than those named when it was made.

    Every request may raise :class:`LoginRequired`, :class:`TokenUnavailable` or :class:`StepUpRequired`, and
    :class:`ConfigurationException` where it would go elsewhere (``token_origin_refused``).
    """

    def __init__(self) -> None:
        """Refuse: clients make them, of parts of their own.

        Raises:
            ConfigurationException: Always.
        """
        raise ConfigurationException(
            "Auth objects are made by OAuthClient.auth and its like", code="policy_invalid", claim="auth"
        )

    def _made_of(self, source: object, origins: frozenset[str], http_client: object) -> Self:
        self._source = source
        self._origins = origins
        self._http_client = http_client
        #: Places known to be among the origins, as the libraries write them.
        self._places = set()
        return self

    _source: Any  # a TokenSource, or what makes calls of its own
    _origins: frozenset[str]
    _http_client: Any  # the transport of either API
    _places: set[tuple[Any, Any, Any]]

    def __repr__(self) -> str:
        return f"TokenAuth({self._source!r}, origins={sorted(self._origins)})"

    # ---- what all libraries share

    def _at_once(self, url: Any) -> AccessToken | None:
        """Return the token if it is in memory, and no proof has to go with it."""
        place = (url.scheme, url.host, url.port)
        if place not in self._places:
            check_origin(str(url), self._origins)
            self._places.add(place)
        token = self._source.current(blocking.read_clock())
        return token if token is not None and token.token_type == "Bearer" else None

    def _call(self, method: str, url: Any, sent: AccessToken | None = None) -> Call:
        return Call(self._source, self._origins, method, str(url), sent)

    def _run(self, flow: Any) -> Any:
        return blocking.run(flow, self._http_client)

    async def _await(self, flow: Any) -> Any:
        return await run_awaiting(flow, self._http_client)

    def _concerns(self, url: Any) -> bool:
        """Tell whether an answer came from where the token went: redirects may have led elsewhere."""
        try:
            check_origin(str(url), self._origins)
        except ConfigurationException:
            return False
        return True

    # ---- httpx2 and httpx

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Refuse to be driven without a word on whether waiting blocks: nothing is sent without a token.

        Raises:
            ConfigurationException: Always.
        """
        raise ConfigurationException(
            "This auth object is driven by sync_auth_flow or async_auth_flow", code="policy_invalid", claim="auth"
        )

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Authenticate a request of a blocking client of httpx2 or httpx."""
        call, ready = None, self._at_once(request.url)
        if ready is None:
            call = self._call(request.method, request.url)
            request.headers.update(self._run(call.begin()))
        else:
            request.headers["Authorization"] = f"Bearer {ready.access_token}"
        response = yield request
        while call is not None or response.status_code in _REFUSED:
            if not self._concerns(response.url):
                return
            call = call or self._call(request.method, request.url, ready)
            told = answered(response.status_code, response.headers.multi_items())
            headers = self._run(call.after(told, repeatable=_repeatable(request)))
            if headers is None:
                return
            request.headers.update(headers)
            response = yield request

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Authenticate a request of an asynchronous client of httpx2 or httpx."""
        call, ready = None, self._at_once(request.url)
        if ready is None:
            call = self._call(request.method, request.url)
            request.headers.update(await self._await(call.begin()))
        else:
            request.headers["Authorization"] = f"Bearer {ready.access_token}"
        response = yield request
        while call is not None or response.status_code in _REFUSED:
            if not self._concerns(response.url):
                return
            call = call or self._call(request.method, request.url, ready)
            told = answered(response.status_code, response.headers.multi_items())
            headers = await self._await(call.after(told, repeatable=_repeatable(request)))
            if headers is None:
                return
            request.headers.update(headers)
            response = yield request

    # ---- requests and aiohttp

    @overload
    def __call__(self, request: Asked) -> Asked: ...
    @overload
    def __call__(self, request: Asked, handler: Callable[[Asked], Awaitable[Answer]]) -> Awaitable[Answer]: ...
    def __call__(self, request: Any, handler: Callable[[Any], Awaitable[Any]] | None = None) -> Any:
        """Authenticate a request of requests, or with *handler* one of aiohttp."""
        if handler is not None:
            return self._through(request, handler)
        if not hasattr(request, "register_hook"):
            raise ConfigurationException(
                "This is no request of requests", code="policy_invalid", claim="auth", actual=type(request).__name__
            )
        call = self._call(request.method, request.url)
        request.headers.update(self._run(call.begin()))
        request.register_hook("response", functools.partial(self._answered, call))
        return request

    def _answered(self, call: Call, response: Any, **options: Any) -> Any:
        request = response.request
        if response.is_redirect:
            request.headers.pop("DPoP", None)  # a proof serves one request
        if not self._concerns(request.url) or "Authorization" not in request.headers:
            return response
        while True:
            told = answered(response.status_code, _raw_headers(response))
            try:
                headers = self._run(call.after(told, repeatable=_rewound(request.body)))
            except BaseException:  # whatever it is, nobody else has the response
                response.close()
                raise
            if headers is None:
                return response
            response.content  # noqa: B018 # read, so that the connection can be used again
            response.close()
            again = request.copy()
            again.headers.update(headers)
            repeated = response.connection.send(again, **options)
            repeated.history.append(response)
            repeated.request = again
            response = repeated

    async def _through(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        call = self._call(request.method, request.url)
        headers = await self._await(call.begin())
        while True:
            request.headers.update(headers)
            response = await handler(request)
            told = answered(response.status, response.headers.items())
            repeatable = isinstance(request.body, bytes) or not getattr(request.body, "consumed", True)
            try:
                headers = await self._await(call.after(told, repeatable=repeatable))
            except BaseException:  # whatever it is, nobody else has the response
                response.close()
                raise
            if headers is None:
                return response
            response.release()


def _repeatable(request: Any) -> bool:
    try:
        return request.content is not None
    except RuntimeError:  # both libraries: a body that is made while it is sent
        return False


def _rewound(body: Any) -> bool:
    """Tell whether requests can send a body again; one that was read is put back to its beginning."""
    if body is None or isinstance(body, str | bytes):
        return True
    try:
        body.seek(0)
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _raw_headers(response: Any) -> list[tuple[str, str]]:
    raw: Any = getattr(response.raw, "headers", None)
    pairs = list((raw if hasattr(raw, "getlist") else response.headers).items())
    return [(str(name), str(value)) for name, value in pairs]


@functools.cache
def also_of_httpx(kind: type[TokenAuth]) -> type[TokenAuth]:
    """Return the class that is also an ``Auth`` of httpx, where that is installed."""
    try:
        found = find_spec("httpx") is not None
    except ValueError:  # somebody keeps it from being imported
        found = False
    if not found:
        return kind
    members = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind, importlib.import_module("httpx").Auth), members)


def token_auth(source: TokenSource, origins: frozenset[str], http_client: object = None) -> TokenAuth:
    """Return the auth object for the tokens of *source*."""
    kind = also_of_httpx(TokenAuth)
    return kind.__new__(kind)._made_of(source, origins, http_client)


__all__ = ["TokenAuth", "also_of_httpx", "token_auth"]
