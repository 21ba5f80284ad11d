"""The blocking HTTP client, and one exchange through it or through one that was injected.

Proxies are taken from ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, as other tools do; their
credentials go to the proxy only. ``~/.netrc`` is never read, cookies are neither kept nor sent, and nothing in the
environment turns certificate verification off.
"""

from __future__ import annotations

import atexit
import inspect
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast
from urllib.parse import urlsplit

from .._arguments import explains_arguments
from .._core.base import transport
from .._core.base.flow import ClientCertificate, Reply, Request
from .._deadline import DeadlinePassed, Timeouts, raise_if_passed, tracer, within
from .._fork import register_after_fork
from .._http_client import BlockingHTTPClient, HTTPClientBase, client_key
from .._peers import PeerCheck
from ..exceptions import PyIdentityModelException
from ..settings import get_settings

if TYPE_CHECKING:
    import httpx2

_WANTED = "None, an HTTPClient, a Client of httpx2 or httpx, or a function from Request to Reply"
_HINTS = {
    "AsyncClient": "an AsyncClient works with py_identity_model.aio only",
    "coroutine": "a coroutine function works with py_identity_model.aio only",
    "none": "an HTTPClient of py_identity_model.aio works there only",
}


class _Made:
    """The clients that one :class:`HTTPClient` made: one without and one for each client certificate."""

    #: Clients kept at a time; the oldest goes first.
    LIMIT = 16

    def __init__(self) -> None:
        self.clients: dict[Any, httpx2.Client] = {}
        self.forget()
        _all_made.add(self)

    def forget(self) -> None:
        """Begin anew in a forked child; closing the copies of its parent's sockets does not end any connection."""
        # Not client.close(): a thread that no longer exists may have held its lock.
        for sock in list(getattr(self, "sockets", ())):
            sock.close()
        self.clients.clear()
        self.sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self.lock = threading.Lock()
        self.process = os.getpid()
        #: Exchanges under way.
        self.busy = 0

    def get(self, key: Any, make: Callable[[], httpx2.Client]) -> httpx2.Client:
        """Return the client for *key*, made now if need be."""
        with self.lock:
            client = self.clients.get(key)
            if client is None:
                client = self.clients[key] = make()
            old = self.clients.pop(next(iter(self.clients))) if len(self.clients) > self.LIMIT else None
        if old is not None:
            old.close()
        return client

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Count an exchange."""
        with self.lock:
            self.busy += 1
        try:
            yield
        finally:
            with self.lock:
                self.busy -= 1

    def close(self) -> None:
        """Close all."""
        if os.getpid() != self.process:  # a finalizer of the parent's, run in the child
            return self.forget()
        while (client := self._take()) is not None:
            client.close()
        return None

    def _take(self) -> httpx2.Client | None:
        with self.lock:
            return self.clients.popitem()[1] if self.clients else None


_all_made: weakref.WeakSet[_Made] = weakref.WeakSet()


@atexit.register
def _take_leave() -> None:
    """Close what is open and not in use."""
    for made in list(_all_made):
        if not made.busy:  # a daemon thread that is cut off here must not cry out about it
            made.close()


def _start_afresh() -> None:
    for made in list(_all_made):
        made.forget()


register_after_fork(_start_afresh)


class HTTPClient(HTTPClientBase[BlockingHTTPClient]):
    """An HTTP client whose limits, deadlines and TLS rules are those of the library.

    Args:
        client: A ``Client`` of httpx2 or httpx to send through; it stays yours to close. By default one is made.
        timeout: Total seconds for one exchange; by default ``HTTP_TIMEOUT``.
        verify: Path of a CA bundle, or True for the system's trust store; by default what ``SSL_CERT_FILE``,
            ``CURL_CA_BUNDLE`` or ``REQUESTS_CA_BUNDLE`` says.

    Raises:
        ConfigurationException: An option cannot be used safely; in particular ``verify=False``.

    A request that carries a client certificate (RFC 8705 2) goes through a connection of its own. A ``client`` that was
    passed in must have been given the certificate when it was made.

    >>> with HTTPClient(timeout=5) as http_client:
    ...     type(http_client.client).__name__
    'Client'
    """

    _class = "Client"
    _wanted = "a Client of httpx2 or httpx"
    _hints = _HINTS

    @explains_arguments
    def __init__(
        self, client: BlockingHTTPClient | None = None, timeout: float | None = None, verify: bool | str | None = None
    ) -> None:
        super().__init__(client, timeout, verify)
        self._made = _Made()
        weakref.finalize(self, self._made.close).atexit = False  # at exit, what is in use stays open

    @property
    def client(self) -> httpx2.Client:
        """The client that requests without a client certificate go through."""
        return self._client_for(None)

    def _client_for(self, certificate: ClientCertificate | None, public_only: bool = False) -> httpx2.Client:
        if self._closed:
            raise transport.client_closed()
        if self._given is not None:
            given: Any = self._given  # of either library
            return cast("httpx2.Client", given)
        return self._made.get(client_key(certificate, public_only), lambda: self._make(certificate))

    def _exchange(self, request: Request) -> Reply:
        client = self._client_for(request.certificate, request.public_only)
        if self._given is not None:
            return _through(client, request, self._seconds)
        timeouts = Timeouts({}, urlsplit(request.url).hostname)
        with self._made.in_use():
            check = PeerCheck(request, shared=False)
            return _exchange(client, request, self._seconds, timeouts, tracer(self._made.sockets.add, check))

    def close(self) -> None:
        """Close what was made here; a client that was passed in stays open."""
        self._closed = True
        self._made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_local = threading.local()


def _own() -> HTTPClient:
    mine: HTTPClient | None = getattr(_local, "http_client", None)
    if mine is None:
        mine = _local.http_client = HTTPClient()
    return mine


def get_http_client() -> httpx2.Client:
    """Return the calling thread's client, made at the first call and closed when the thread ends.

    >>> get_http_client() is get_http_client()
    True
    >>> close_http_client()
    """
    return _own().client


def close_http_client() -> None:
    """Close the calling thread's client, if it has one. The next use makes a new one."""
    mine: HTTPClient | None = _local.__dict__.pop("http_client", None)
    if mine is not None:
        mine.close()


# ---------------------------------------------------------------------------------------------------------------------
# One exchange

#: What ``http_client`` may be: an :class:`HTTPClient`, a ``Client`` of httpx2 or httpx, or a function that answers.
Transport: TypeAlias = HTTPClient | BlockingHTTPClient | Callable[[Request], Reply]


def exchange_of(http_client: Transport | None) -> Callable[[Request], Reply]:
    """Return what sends one request through *http_client*; by default through the thread's own client.

    Raises:
        ConfigurationException: It is no such client, or one of the other API.
    """
    if http_client is None:
        return lambda request: _own()._exchange(request)
    if isinstance(http_client, HTTPClient):
        return http_client._exchange
    kind, given = transport.flavour(http_client), cast(Any, http_client)
    if kind == "Client":
        return lambda request: _through(given, request, get_settings().http_timeout)
    if kind == "function":
        return lambda request: _call(given, request)
    raise transport.unsuitable(http_client, _WANTED, _HINTS[kind])


def _call(function: Callable[[Request], Any], request: Request) -> Reply:
    failure: PyIdentityModelException | None
    try:
        reply = function(request)
        if inspect.isawaitable(reply):
            raise transport.unawaited(reply)
        return transport.capped(request, reply)
    except Exception as error:  # clients are injected: what is no failure to send is raised again
        failure = transport.translate(error, request)
        if failure is None:
            raise
    raise failure


def _through(client: Any, request: Request, seconds: float) -> Reply:
    """Send *request* through a client that the application made; its own timeouts apply too."""
    if client.is_closed:
        raise transport.client_closed()
    trace = tracer(lambda _: None, PeerCheck(request, shared=True))
    return _exchange(client, request, seconds, Timeouts(client.timeout.as_dict()), trace)


def _exchange(client: Any, request: Request, seconds: float, timeouts: Timeouts, trace: Callable[..., None]) -> Reply:
    failure: PyIdentityModelException | None
    headers = transport.outgoing_headers(request)
    try:
        with within(seconds) as seconds:
            extensions = {"timeout": timeouts, "trace": trace}
            return _receive(client, request, transport.built(client, request, headers, extensions))
    except DeadlinePassed:
        failure = transport.deadline_passed(request, seconds)
    except Exception as error:  # clients are injected: what is no failure to send is raised again
        failure = transport.translate(error, request)
        if failure is None:
            raise
    # Raised out here, so that the foreign exception, which holds the request, is not its context.
    raise failure


def _receive(client: Any, request: Request, built: Any) -> Reply:
    response = client.send(built, stream=True, auth=transport.auth_of(client, request), follow_redirects=False)
    try:
        intake = transport.Intake(request, response.status_code, response.headers.raw)
        # A mocked transport may answer with a response that was read when it was made.
        for chunk in (response.content,) if response.is_stream_consumed else response.iter_raw():
            intake.add(chunk)
            raise_if_passed()
        return intake.reply()
    finally:
        response.close()


__all__ = ["HTTPClient", "Transport", "close_http_client", "exchange_of", "get_http_client"]
