"""What both ``HTTPClient`` classes have in common, and what a client of another library must be able to do.

The clients of httpx and httpx2 are described by what is used of them, not by name: the one may not be installed, and
a type checker would then take anything for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from weakref import ref

from ._core.base import transport
from ._core.base.flow import ClientCertificate
from .settings import get_settings


class _HTTPClient(Protocol):
    @property
    def is_closed(self) -> bool: ...
    @property
    def timeout(self) -> object: ...
    @property
    def auth(self) -> object: ...
    @property
    def params(self) -> object: ...
    def build_request(self, method: str, url: Any, /) -> object: ...


class BlockingHTTPClient(_HTTPClient, Protocol):
    """A ``Client`` of httpx2 or httpx."""

    def send(self, request: Any, /, *, stream: bool = ..., auth: Any = ..., follow_redirects: Any = ...) -> object:
        """Send a request."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class AwaitableHTTPClient(_HTTPClient, Protocol):
    """An ``AsyncClient`` of httpx2 or httpx."""

    def send(
        self, request: Any, /, *, stream: bool = ..., auth: Any = ..., follow_redirects: Any = ...
    ) -> Awaitable[object]:
        """Send a request."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Close all connections."""
        ...


Given = TypeVar("Given")


class HTTPClientBase(Generic[Given]):
    """The options of an ``HTTPClient``, and how one for the network is made."""

    #: The class of httpx2 and httpx that goes with the API, by name, and how to call one.
    _class: ClassVar[str]
    _wanted: ClassVar[str]
    #: What to say of the others, by flavour.
    _hints: ClassVar[dict[str, str]]

    def __init__(
        self, client: Given | None = None, timeout: float | None = None, verify: bool | str | None = None
    ) -> None:
        transport.checked_options(client, timeout, verify)
        if client is not None and (flavour := transport.flavour(client)) != self._class:
            raise transport.unsuitable(client, self._wanted, self._hints.get(flavour, ""))
        self._given: Given | None = client
        self._timeout = timeout
        self._verify = verify
        self._closed = False

    @property
    def _seconds(self) -> float:
        return get_settings().http_timeout if self._timeout is None else self._timeout

    def _make(self, certificate: ClientCertificate | None) -> Any:
        """Return a new client of httpx2 for the network."""
        import httpx2

        from ._client_options import client_options, proxy_refused

        options = client_options(self._verify, certificate, self._seconds)
        try:
            return self._built(options)
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            refusal = proxy_refused(error)
        raise refusal

    def _built(self, options: dict[str, Any]) -> Any:
        import httpx2

        return getattr(httpx2, self._class)(**options)


class _Identity:
    """Stands for an object in keys, equal to what stands for the same object; it does not keep it alive."""

    __slots__ = ("_hash", "_of")

    def __init__(self, of: object) -> None:
        try:
            self._of: Callable[[], object] = ref(of)
        except TypeError:  # of a class that leaves no room for weak references
            self._of = lambda: of
        self._hash = id(of)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identity):
            return NotImplemented
        mine = self._of()
        return self is other or (mine is not None and mine is other._of())

    def __hash__(self) -> int:
        return self._hash


def carrier_of(http_client: object) -> Hashable:
    """Return what tells apart transports that do not trust the same servers; None for the library's own defaults.

    What one of them fetched is not for those who would have fetched it by another: a client of the caller's own, a
    function, or another CA bundle may have let pass what the strict one refuses.
    """
    if http_client is None:
        return None
    if isinstance(http_client, HTTPClientBase):
        given: object = http_client._given
        return carrier_of(given) if given is not None else http_client._verify
    # A bound method is a new object each time it is looked up.
    owner, function = getattr(http_client, "__self__", None), getattr(http_client, "__func__", None)
    if owner is not None and function is not None:
        return _Identity(owner), function
    return _Identity(http_client)


def seconds_of(http_client: object) -> float:
    """Return how many seconds one exchange through *http_client* may take."""
    return http_client._seconds if isinstance(http_client, HTTPClientBase) else get_settings().http_timeout


def client_key(certificate: ClientCertificate | None, public_only: bool) -> object:
    """Return what tells apart the clients for different certificates, and for files that have changed.

    Requests that must stay on the public internet have connections of their own, each checked when it was made.
    """
    from ._tls import stamps  # not before something is fetched: it needs ssl

    files = certificate and (certificate, stamps(certificate.certificate, certificate.private_key))
    return files, public_only


def check_certificate(certificate: ClientCertificate) -> None:
    """Refuse a certificate that is not of the workload that it is shown for; whatever the transport is.

    Raises:
        ConfigurationException: It names somebody else.
    """
    if certificate.spiffe_id is not None:
        from ._mtls import check_spiffe_id  # not before one is shown: it needs cryptography

        check_spiffe_id(certificate)


__all__ = [
    "AwaitableHTTPClient",
    "BlockingHTTPClient",
    "HTTPClientBase",
    "carrier_of",
    "check_certificate",
    "client_key",
    "seconds_of",
]
