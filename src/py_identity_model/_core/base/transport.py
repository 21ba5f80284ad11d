"""What both doors share about HTTP and needs no transport: what goes out, limits, and the names of failures."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..._refusals import is_number, must_be
from ...exceptions import ConfigurationException, PyIdentityModelException, TransportException, printable
from .flow import IMPATIENT, Flow, Reply, Request
from .urls import parse_url

if TYPE_CHECKING:
    from concurrent.futures import Future

# ---------------------------------------------------------------------------------------------------------------------
# What goes out, what comes in


def bare(url: str) -> str:
    """Return *url* without its query and fragment, which may carry credentials."""
    return url.partition("#")[0].partition("?")[0]


def failure(code: str, message: str, request: Request, **facts: Any) -> TransportException:
    """Return the exception for an exchange that gave no usable reply."""
    url = printable(bare(request.url))
    return TransportException(f"{request.method} {url}: {message}", url=url, code=code, **facts)


def deadline_passed(request: Request, seconds: float) -> TransportException:
    """Return the exception for an exchange that was not over in time."""
    return failure("timeout", f"no complete reply within {seconds:g} s", request, expected=f"{seconds:g} s")


def outgoing_headers(request: Request) -> list[tuple[str, str]]:
    """Return the header fields to send, refusing those that cannot be sent as they are (RFC 9110 5.5)."""
    from .header_fields import check_field  # where nothing is sent, no field is looked at

    parse_url(request.url, "url", require_https=False)
    for name, value in request.headers:
        check_field(name, value)
    kept = [(name, value) for name, value in request.headers if name.lower() != "accept-encoding"]
    # RFC 9110 12.5.3: nothing that would have to be inflated here.
    return [*kept, ("Accept-Encoding", "identity")]


def is_document(request: Request) -> bool:
    """Tell whether *request* fetches a document that the application named, and shows no credential of its own.

    Such a request may carry those of the client that it is sent through: Kubernetes gives its keys to nobody else.
    Requests of an OAuth client authenticate by themselves (RFC 6749 2.3: by one method only), and what a stranger named
    must not learn anything.
    """
    own = any(name.lower() in ("authorization", "dpop") for name, _ in request.headers)
    return request.method == "GET" and not own and not request.public_only


def auth_of(client: Any, request: Request) -> Any:
    """Return the ``auth`` of an injected client if *request* may carry it, else None."""
    return client.auth if is_document(request) else None


def built(client: Any, request: Request, headers: list[tuple[str, str]], extensions: Mapping[str, Any]) -> Any:
    """Return *request* as a request of the library that *client* belongs to, without cookies.

    Query parameters of the client are added where documents are fetched that the application named.
    """
    kind = ""
    try:
        result = client.build_request(
            request.method, request.url, headers=headers, content=request.body, extensions=dict(extensions)
        )
        result.url = type(result.url)(request.url)
        if is_document(request) and client.params:
            result.url = result.url.copy_merge_params(client.params)
        result.headers.pop("cookie", None)
        return result
    except Exception as error:  # a library's own: whatever it dislikes about a request, it may say in any way
        kind = type(error).__name__
    # Raised out here: UnicodeEncodeError holds what could not be encoded, and would be the context.
    raise failure("request_invalid", f"the request cannot be built: {kind}", request, actual=kind)


class Intake:
    """Collects one reply piece by piece and refuses it as soon as it is too large or encoded.

    Args:
        request: The request it answers; its ``limit`` is the cap in bytes.
        status: The HTTP status.
        raw_headers: The header fields as they came.
    """

    def __init__(self, request: Request, status: int, raw_headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._request = request
        self._status = status
        self._headers = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in raw_headers)
        self._body = bytearray()
        self._refuse_encoding()
        self._refuse_length()

    def _refuse_encoding(self) -> None:
        for name, value in self._headers:
            if name == "content-encoding" and value.strip().lower() not in ("", "identity"):
                raise failure(
                    "encoding_refused",
                    "the reply is compressed, though identity was asked for",
                    self._request,
                    expected="identity",
                    actual=printable(value, 40),
                    status_code=self._status,
                )

    def _refuse_length(self) -> None:
        for name, value in self._headers:
            if name == "content-length" and value.isascii() and value.isdigit() and len(value.lstrip("0")) > 18:
                raise self._too_large()
            if name == "content-length" and value.isascii() and value.isdigit() and int(value) > self._request.limit:
                raise self._too_large()

    def _too_large(self) -> TransportException:
        limit = self._request.limit
        message = f"the reply is larger than {limit} bytes"
        return failure("response_too_large", message, self._request, expected=limit, status_code=self._status)

    def add(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        if len(self._body) + len(chunk) > self._request.limit:
            raise self._too_large()
        self._body += chunk

    def reply(self) -> Reply:
        """Return what was collected."""
        return Reply(self._status, self._headers, bytes(self._body), self._request.url)


def capped(request: Request, reply: Reply) -> Reply:
    """Return a reply that came in one piece, if it is no larger than asked for."""
    if not isinstance(reply, Reply):
        raise ConfigurationException(
            f"http_client must return a Reply, got {type(reply).__name__}",
            code="http_client_invalid",
            claim="http_client",
            expected="Reply",
            actual=type(reply).__name__,
        )
    Intake(request, reply.status, ()).add(reply.body)
    return reply


# ---------------------------------------------------------------------------------------------------------------------
# Names for failures

#: Class name of a foreign exception -> our code. Both httpx and httpx2 use these names, and so do their lower layers.
FAILURES = {
    "TimeoutException": "timeout",
    "TimeoutError": "timeout",
    "SSLError": "tls_failed",
    "gaierror": "dns_failed",
    "ConnectError": "connect_failed",
    "ConnectionRefusedError": "connect_failed",
    "ProxyError": "proxy_failed",
    "LocalProtocolError": "request_invalid",
    "ProtocolError": "protocol_error",
    "StreamError": "protocol_error",
    "DecodingError": "encoding_refused",
    "UnsupportedProtocol": "url_invalid",
    "InvalidURL": "url_invalid",
    "UnicodeError": "request_invalid",
    "NetworkError": "connection_lost",
    "BrokenResourceError": "connection_lost",
    "ClosedResourceError": "connection_lost",
    # Of other libraries, behind a function that was given as the transport.
    "ClientError": "connection_lost",
    "IncompleteRead": "protocol_error",
    "BadStatusLine": "protocol_error",
    "HTTPError": "transport_failed",
    "OSError": "connection_lost",
}

#: What each code says in words.
_WORDS = {
    "timeout": "an operation timed out",
    "tls_failed": "the TLS handshake failed",
    "dns_failed": "the host name cannot be resolved",
    "connect_failed": "no connection could be made",
    "proxy_failed": "the proxy refused",
    "request_invalid": "the request breaks the HTTP protocol",
    "protocol_error": "the reply breaks the HTTP protocol or ends early",
    "encoding_refused": "the reply cannot be decoded",
    "url_invalid": "the address cannot be used",
    "connection_lost": "the connection broke",
    "transport_failed": "the exchange failed",
}

#: Codes after which the same request may succeed a moment later.
TRANSIENT = frozenset({"timeout", "dns_failed", "connect_failed", "proxy_failed", "protocol_error", "connection_lost"})


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(10):
        if link is None:
            return
        yield link
        # Not __context__: that may be something the caller was busy with. httpcore keeps the reason as its argument.
        reason = link.__cause__ or (link.args[0] if link.args else None)
        link = reason if isinstance(reason, BaseException) else None


def _code_of(error: BaseException) -> str | None:
    return next((FAILURES[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in FAILURES), None)


def translate(error: Exception, request: Request) -> PyIdentityModelException | None:
    """Return our exception for a foreign one, or None for what is no failure of a transport.

    The foreign one is not chained: it holds the request, and with it credentials.
    """
    if isinstance(error, PyIdentityModelException):
        return error
    code = _code_of(error)
    if code is None:
        return None
    # The reason lies deeper: a failed handshake or look-up is reported as a failed connection.
    for link in _chain(error):
        if (deeper := _code_of(link)) in ("tls_failed", "dns_failed"):
            reason = printable(getattr(link, "verify_message", None) or "") or None
            code = str(deeper)
            return failure(code, _WORDS[code] + (f": {reason}" if reason else ""), request, actual=reason)
    return failure(code, _WORDS[code], request, actual=type(error).__name__)


# ---------------------------------------------------------------------------------------------------------------------
# Whose transport


def flavour(http_client: object) -> str:
    """Tell what kind of transport *http_client* is: ``Client``, ``AsyncClient``, ``coroutine``, ``function``, or none.

    httpx and httpx2 clients are recognised by name, so that neither needs to be imported.
    """
    for cls in type(http_client).__mro__:
        if cls.__module__.partition(".")[0] in ("httpx", "httpx2") and cls.__name__ in ("Client", "AsyncClient"):
            return cls.__name__
    if not callable(http_client):
        return "none"
    called = http_client if inspect.isroutine(http_client) else type(http_client).__call__
    return "coroutine" if inspect.iscoroutinefunction(called) else "function"


def unsuitable(http_client: object, wanted: str, hint: str) -> PyIdentityModelException:
    """Return the exception for an ``http_client`` of the wrong kind."""
    actual = f"{type(http_client).__module__.partition('.')[0]}.{type(http_client).__qualname__}"
    return must_be("http_client", wanted, actual, code="http_client_invalid", hint=hint)


def client_closed() -> ConfigurationException:
    """Return the exception for a client that was closed before it was used."""
    return ConfigurationException("The http_client is closed", code="http_client_closed", claim="http_client")


def loopless() -> ConfigurationException:
    """Return the exception for an async client that is asked for where nothing can be awaited."""
    return ConfigurationException(
        "No event loop is running here", code="event_loop_missing", hint="use the sync API, or call from a coroutine"
    )


def checked_options(client: object, timeout: float | None, verify: bool | str | None) -> None:
    """Refuse options of an ``HTTPClient`` that cannot be used safely.

    Raises:
        ConfigurationException: ``verify`` is false or empty, ``timeout`` is no positive number, or a ready client
            comes with a ``verify`` it cannot obey.
    """
    if verify is not None and verify is not True and not (isinstance(verify, str) and verify.strip()):
        raise must_be(
            "verify",
            "True or the path of a CA bundle",
            verify,
            code="tls_verification_required",
            hint="trust a private CA by the path of its certificate; verification cannot be turned off",
        )
    if timeout is not None and (not timeout or not is_number(timeout, float)):
        raise must_be("timeout", "a positive number of seconds", timeout, code="timeout_invalid")
    if client is not None and verify is not None:
        raise ConfigurationException(
            "verify cannot change a client that exists already", code="http_client_invalid", claim="verify"
        )


def unawaited(value: Any) -> ConfigurationException:
    """Return the exception for an awaitable in the sync API; one that can be closed is, so that nothing warns of it."""
    close = getattr(value, "close", None)  # of coroutines, and of what holds one
    if callable(close):
        close()
    return ConfigurationException(
        "The sync API cannot await; a callback returned an awaitable",
        code="awaitable_refused",
        expected="a plain value",
        actual=type(value).__name__,
        hint="make the callback a plain function, or use py_identity_model.aio",
    )


def outcome(future: Future[Any]) -> Any:
    """Return or raise what *future* holds; :data:`IMPATIENT` if it holds nothing or was cancelled."""
    if not future.done() or future.cancelled():
        return IMPATIENT
    error = future.exception()
    if error is not None:
        # Many wait for one future: each raises a copy, so that tracebacks do not pile up on a shared exception.
        raise copy.copy(error)
    return future.result()


def abandon(flow: Flow[Any]) -> None:
    """Start *flow* only to close it: its ``finally`` hands over what it was going to do."""
    try:
        next(flow)
    except (StopIteration, PyIdentityModelException):
        return
    flow.close()


__all__ = [
    "FAILURES",
    "TRANSIENT",
    "Intake",
    "abandon",
    "auth_of",
    "bare",
    "built",
    "capped",
    "checked_options",
    "client_closed",
    "deadline_passed",
    "failure",
    "flavour",
    "is_document",
    "loopless",
    "outcome",
    "outgoing_headers",
    "translate",
    "unawaited",
    "unsuitable",
]
