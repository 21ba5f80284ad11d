"""The HTTP client for asyncio and trio, and one exchange through it or through one that was injected.

What the environment may influence is the same as for the blocking one: proxies, and which CA bundle is trusted.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from socket import SOCK_STREAM
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

from .._arguments import explains_arguments
from .._core.base import transport
from .._core.base.flow import ClientCertificate, Reply, Request
from .._fork import register_after_fork
from .._http_client import AwaitableHTTPClient, HTTPClientBase, client_key
from .._peers import PeerCheck
from ..exceptions import ConfigurationException, PyIdentityModelException, TransportException
from ..settings import get_settings
from ._loop import running_loop

if TYPE_CHECKING:
    import httpx2

    from ._loop_client import LoopClient

_WANTED = "None, an HTTPClient, an AsyncClient of httpx2 or httpx, or a function from Request to Reply"
_HINTS = {
    "Client": "a blocking Client works with the sync API only",
    "none": "an HTTPClient of the sync API works there only",
}


class _Made:
    """The clients that one :class:`HTTPClient` made for one loop, and the generator that ends with that loop."""

    #: Clients kept at a time; the oldest goes first.
    LIMIT = 16

    def __init__(self) -> None:
        self.clients: dict[Any, httpx2.AsyncClient] = {}
        self._lifetime: AsyncGenerator[None, None] | None = None
        self._bound = False

    async def bind(self) -> None:
        """Have the clients closed when the loop ends, as loops close the asynchronous generators begun in them."""
        if not self._bound:
            self._bound = True
            self._lifetime = self._live()
            await anext(self._lifetime)

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._lifetime = None  # it holds on to the loop even when it is over
            await self.close()

    async def close(self) -> None:
        """Close all."""
        while self.clients:
            await self.clients.popitem()[1].aclose()

    async def end(self) -> None:
        """Close all, and do not wait for the loop's end any more."""
        if self._lifetime is not None:
            await self._lifetime.aclose()
        await self.close()


_lock = threading.Lock()
_open: weakref.WeakSet[HTTPClient] = weakref.WeakSet()
#: In a forked child: the parent's clients. Kept, because letting go of them would disturb connections still in use.
_inherited: list[object] = []


def _start_afresh() -> None:
    global _lock
    _lock = threading.Lock()
    for door in list(_open):
        _inherited.append(list(door._made.items()))
        door._made = weakref.WeakKeyDictionary()


register_after_fork(_start_afresh)


class HTTPClient(HTTPClientBase[AwaitableHTTPClient]):
    """An HTTP client whose limits, deadlines and TLS rules are those of the library.

    Args:
        client: An ``AsyncClient`` of httpx2 or httpx to send through; it stays yours to close. By default one is made
            for each event loop.
        timeout: Total seconds for one exchange; by default ``HTTP_TIMEOUT``.
        verify: Path of a CA bundle, or True for the system's trust store; by default what ``SSL_CERT_FILE``,
            ``CURL_CA_BUNDLE`` or ``REQUESTS_CA_BUNDLE`` says.

    Raises:
        ConfigurationException: An option cannot be used safely; in particular ``verify=False``.

    A request that carries a client certificate (RFC 8705 2) goes through a connection of its own. A ``client`` that was
    passed in must have been given the certificate when it was made.

    >>> import asyncio
    >>> async def main():
    ...     async with HTTPClient(timeout=5) as http_client:
    ...         return http_client.client.is_closed
    >>> asyncio.run(main())
    False
    """

    _class = "AsyncClient"
    _wanted = "an AsyncClient of httpx2 or httpx"
    _hints = _HINTS

    @explains_arguments
    def __init__(
        self, client: AwaitableHTTPClient | None = None, timeout: float | None = None, verify: bool | str | None = None
    ) -> None:
        super().__init__(client, timeout, verify)
        self._made: weakref.WeakKeyDictionary[Any, _Made] = weakref.WeakKeyDictionary()
        _open.add(self)

    @property
    def client(self) -> httpx2.AsyncClient:
        """The running loop's client, which requests without a client certificate go through."""
        return self._client_for(None)

    def _made_here(self) -> _Made:
        loop = running_loop()
        with _lock:
            made = self._made.get(loop)
            if made is None:
                self._drop_dead()
                made = self._made[loop] = _Made()
            return made

    def _drop_dead(self) -> None:
        """Let go of clients whose loop was closed without being let finish; nothing can close them any more."""
        for loop in list(self._made):
            if getattr(loop, "is_closed", bool)():
                del self._made[loop]

    def _client_for(self, certificate: ClientCertificate | None, public_only: bool = False) -> httpx2.AsyncClient:
        if self._closed:
            raise transport.client_closed()
        if self._given is not None:
            given: Any = self._given  # of either library
            return cast("httpx2.AsyncClient", given)
        key, clients = client_key(certificate, public_only), self._made_here().clients
        if key not in clients:
            clients[key] = client = self._make(certificate)
            client.bind = self._made_here().bind
        return clients[key]

    def _built(self, options: dict[str, Any]) -> LoopClient:
        from ._loop_client import LoopClient

        return LoopClient(**options)

    async def _ready(
        self, certificate: ClientCertificate | None = None, public_only: bool = False
    ) -> httpx2.AsyncClient:
        client = self._client_for(certificate, public_only)
        if self._given is None:
            made = self._made_here()
            await made.bind()
            if len(made.clients) > made.LIMIT:
                await made.clients.pop(next(iter(made.clients))).aclose()
        return client

    async def _exchange(self, request: Request) -> Reply:
        client = await self._ready(request.certificate, request.public_only)
        return await _through(client, request, self._seconds, PeerCheck(request, shared=self._given is not None))

    async def aclose(self) -> None:
        """Close what was made here for the running loop; a client that was passed in stays open.

        Clients made for other loops are closed when those loops end.
        """
        self._closed = True
        await self._release()

    close = aclose

    async def _release(self) -> None:
        with _lock:
            made = self._made.pop(running_loop(), None)
        if made is not None:
            await made.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


#: What earlier versions called it.
AsyncHTTPClient = HTTPClient

_own = HTTPClient()
#: What is given out where no loop runs.
_any_loop: LoopClient | None = None


def get_async_http_client() -> LoopClient:
    """Return the running loop's client, made at the first call and closed when the loop ends. It may be awaited.

    Outside a loop, return one that sends each request through the client of the loop it is sent in.

    >>> import asyncio
    >>> async def main():
    ...     return await get_async_http_client() is get_async_http_client()
    >>> asyncio.run(main())
    True
    """
    from ._loop_client import LoopClient

    try:
        running_loop()
    except ConfigurationException:
        return _client_of_any_loop()
    client = _own.client
    assert isinstance(client, LoopClient)  # as no client was given to _own
    return client


def _client_of_any_loop() -> LoopClient:
    global _any_loop
    from ._loop_client import AnyLoopClient

    if _any_loop is None or _any_loop.is_closed:
        _any_loop = AnyLoopClient(lambda: _own.client, get_settings().http_timeout)
    return _any_loop


async def close_async_http_client() -> None:
    """Close the running loop's client, if it has one. The next use makes a new one."""
    await _own._release()


# ---------------------------------------------------------------------------------------------------------------------
# One exchange

#: What ``http_client`` may be: an :class:`HTTPClient`, an ``AsyncClient`` of httpx2 or httpx, or a function that
#: answers, at once or when awaited.
Transport: TypeAlias = HTTPClient | AwaitableHTTPClient | Callable[[Request], Reply | Awaitable[Reply]]


def exchange_of(http_client: Transport | None) -> Callable[[Request], Awaitable[Reply]]:
    """Return what sends one request through *http_client*; by default through the running loop's own client.

    Raises:
        ConfigurationException: It is no such client, or one of the other API.
    """
    if http_client is None:
        return _own._exchange
    if isinstance(http_client, HTTPClient):
        return http_client._exchange
    kind, given = transport.flavour(http_client), cast(Any, http_client)
    if kind == "AsyncClient":
        return lambda request: _through(given, request, get_settings().http_timeout, PeerCheck(request, shared=True))
    if kind in ("function", "coroutine"):
        return lambda request: _timed(request, get_settings().http_timeout, lambda: _call(given, request))
    raise transport.unsuitable(http_client, _WANTED, _HINTS[kind])


async def _call(function: Callable[[Request], Any], request: Request) -> Reply:
    reply = function(request)
    return transport.capped(request, await reply if inspect.isawaitable(reply) else reply)


async def _through(client: Any, request: Request, seconds: float, check: PeerCheck) -> Reply:
    if client.is_closed:
        raise transport.client_closed()
    headers, opening = transport.outgoing_headers(request), _Opening(check)
    extensions = {"timeout": client.timeout.as_dict(), "trace": opening.trace}

    async def exchange() -> Reply:
        try:
            return await _receive(client, request, transport.built(client, request, headers, extensions))
        finally:
            await opening.close()

    return await _timed(request, seconds, exchange)


class _Opening:
    """The connection that is being made. In trio, httpcore leaves it open when its TLS handshake is cancelled."""

    def __init__(self, check: PeerCheck) -> None:
        self._stream: Any = None
        self._check = check

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Follow the connection by the ``trace`` extension of httpcore, until it is in the hands of a client's pool."""
        await self._check_peer(event, info)
        if event.endswith("connect_tcp.complete"):
            self._stream = info.get("return_value")
        elif event.endswith(("start_tls.complete", "send_request_headers.started")):
            self._stream = None

    async def _check_peer(self, event: str, info: dict[str, Any]) -> None:
        name = self._check.name_to_resolve(event, info)
        if name is not None:
            import anyio

            # No name at all, or one that leads nowhere: the attempt to connect fails as well, and says so.
            with suppress(OSError, UnicodeError):
                found = await anyio.getaddrinfo(name, None, type=SOCK_STREAM)
                self._check.check_addresses(entry[4] for entry in found)
        stream = self._check.new_connection(event, info)
        if stream is not None:
            self._stream = stream  # to be closed if it is refused
            self._check.check_connection(stream)

    async def close(self) -> None:
        """Close the connection if it got stuck half-way."""
        if self._stream is not None:
            import anyio

            with anyio.CancelScope(shield=True):
                await self._stream.aclose()


async def _timed(request: Request, seconds: float, exchange: Callable[[], Awaitable[Reply]]) -> Reply:
    """Perform *exchange* under one deadline over connect, TLS, headers and body."""
    import anyio

    failure: PyIdentityModelException | None
    try:
        with anyio.move_on_after(seconds):
            return await exchange()
        failure = transport.deadline_passed(request, seconds)
    except Exception as error:  # clients are injected: what is no failure to send is raised again
        failure = transport.translate(error, request)
        if failure is None:
            raise
    # Raised out here, so that the foreign exception, which holds the request, is not its context.
    raise failure


async def _receive(client: Any, request: Request, built: Any) -> Reply:
    response = await client.send(built, stream=True, auth=transport.auth_of(client, request), follow_redirects=False)
    try:
        intake = transport.Intake(request, response.status_code, response.headers.raw)
        if response.is_stream_consumed:  # a mocked transport may answer with one that was read when it was made
            intake.add(response.content)
        else:
            await _read(response, intake)
        return intake.reply()
    finally:
        await response.aclose()


#: Pieces that a closed connection may still have in its buffers.
_REMAINS = 65536


async def _read(response: Any, intake: transport.Intake) -> None:
    refusal: TransportException | None = None
    remains = _REMAINS
    try:
        async for chunk in response.aiter_raw():
            if refusal is None:
                try:
                    intake.add(chunk)
                except TransportException as error:
                    refusal = error
                    # Leaving now would leave the client's generators unfinished, and trio warns about each that is
                    # collected in that state. On a closed connection they run to an end.
                    await response.aclose()
            elif not (remains := remains - 1):
                break
    except Exception:  # any, once the answer is refused: that is told first
        if refusal is None:
            raise
    if refusal is not None:
        raise refusal


__all__ = [
    "AsyncHTTPClient",
    "HTTPClient",
    "Transport",
    "close_async_http_client",
    "exchange_of",
    "get_async_http_client",
]
