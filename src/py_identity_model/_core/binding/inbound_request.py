"""Requests that come in: their headers, and their true address behind proxies (RFC 7239, RFC 9700 4.13)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException, InvalidRequestException, printable
from ..base.header_lists import is_closed, members, named_value
from ..base.urls import parse_url

#: Stands in ``trusted_proxies`` for a peer without an address: a proxy behind a Unix socket.
UNIX_SOCKET = "unix"


@dataclass(frozen=True, slots=True)
class InboundRequest:
    """What a server knows of a request.

    Attributes:
        method: The HTTP method.
        url: The absolute URL as this server sees it, its path still percent-encoded.
        headers: Names, in any case, and values; repeated headers apart.
        peer: The network address of the peer, without port; None if there is none.
        certificate: The client certificate of this server's own TLS connection, PEM or DER.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    peer: str | None = None
    certificate: str | bytes | None = None

    def __repr__(self) -> str:  # headers and query carry credentials
        return f"InboundRequest({self.method} {self.url.partition('?')[0]})"

    @classmethod
    @explains_arguments
    def build(
        cls,
        method: str,
        url: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        peer: str | None = None,
        certificate: str | bytes | None = None,
    ) -> InboundRequest:
        """Take the headers as a mapping or as pairs, such as the ``headers.items()`` of a framework.

        Args:
            method: The HTTP method.
            url: The absolute URL as this server sees it.
            headers: Names and values, as text or, as ASGI has them, as bytes. Pairs keep repeated headers apart, which
                a mapping may not.
            peer: The network address of the peer.
            certificate: The client certificate of this server's own TLS connection, PEM or DER.

        Raises:
            ConfigurationException: *headers* are neither (``argument_invalid``).

        >>> InboundRequest.build("GET", "https://api.example.com/", {"DPoP": "eyJ"}.items()).header_values("dpop")
        ['eyJ']
        """
        items: Any = getattr(headers, "items", None)
        pairs = headers if items is None else items()
        return cls(method, url, tuple(_pair(pair) for pair in pairs), peer, certificate)

    @explains_arguments
    def header_values(self, name: str) -> list[str]:
        """Return every value of the header *name* (lower case), in order."""
        size = len(name)
        return [value for key, value in self.headers if len(key) == size and key.lower() == name]


def _pair(pair: Any) -> tuple[str, str]:
    texts = tuple(part.decode("latin-1") if isinstance(part, bytes) else part for part in pair)
    if isinstance(pair, str) or len(texts) != 2 or not all(isinstance(text, str) for text in texts):
        raise ConfigurationException(
            "headers must be a mapping, or pairs of a name and a value",
            code="argument_invalid",
            claim="headers",
            expected="pairs of text",
            actual=type(pair).__name__,
        )
    return texts[0], texts[1]


@dataclass(frozen=True, slots=True)
class ProxyPolicy:
    """How requests reach this server. Forwarded headers count only if they come from a proxy named here.

    Attributes:
        external_url: The URL under which clients know this server, with a path if a proxy strips one. It makes
            forwarded addresses unnecessary.
        trusted_proxies: Addresses or networks of the proxies in front, :data:`UNIX_SOCKET` for one behind a socket.
        forwarded: Which headers those proxies write over: ``x-forwarded`` (``X-Forwarded-Proto``,
            ``X-Forwarded-Host``) or ``forwarded`` (RFC 7239). The other ones are never read.

    Raises:
        ConfigurationException: The URL or an address is unusable.

    >>> ProxyPolicy(trusted_proxies=("10.0.0.0/8",)).trusts("10.1.2.3")
    True
    """

    external_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    forwarded: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    _networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = field(init=False, repr=False, compare=False)

    @explains_arguments
    def __post_init__(self) -> None:
        if self.external_url is not None:
            parse_url(self.external_url, "external_url", allow_query=False)
        if type(self.trusted_proxies) is not tuple or self.forwarded not in _FORWARDED:
            raise ConfigurationException(
                "trusted_proxies must be a tuple of networks, and forwarded x-forwarded or forwarded",
                code="proxy_policy_invalid",
            )
        networks = tuple(_network(text) for text in self.trusted_proxies if text != UNIX_SOCKET)
        object.__setattr__(self, "_networks", networks)

    @explains_arguments
    def trusts(self, peer: str | None) -> bool:
        """Tell whether the headers of a request from *peer* are those of a trusted proxy."""
        if not peer:
            return UNIX_SOCKET in self.trusted_proxies
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    @explains_arguments
    def external(self, request: InboundRequest) -> str:
        """Return the URL that the client used for *request*, without query.

        Raises:
            InvalidRequestException: The request's address, or what the proxy says of it, makes no URL.
        """
        try:
            url = self._external(request)
            parse_url(url, "request url", require_https=False)
        except (ConfigurationException, ValueError):
            raise InvalidRequestException(
                "The address of the request makes no URL", code="request_url_invalid", claim="url"
            ) from None
        return url

    def _external(self, request: InboundRequest) -> str:
        parts = urlsplit(request.url)
        path = parts.path or "/"
        if self.external_url is not None:
            return self.external_url.rstrip("/") + path
        said = _FORWARDED[self.forwarded](request) if self.trusts(request.peer) else {}
        return f"{said.get('proto', parts.scheme)}://{said.get('host', parts.netloc)}{path}"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except (ValueError, TypeError):
        raise ConfigurationException(
            f"{printable(text)!r} is no network address",
            code="proxy_policy_invalid",
            claim="trusted_proxies",
            expected="an IP address or network such as 10.0.0.0/8",
            actual=printable(text),
        ) from None


def _x_forwarded(request: InboundRequest) -> dict[str, str]:
    said = {name: _last(request.header_values(f"x-forwarded-{name}")) for name in ("proto", "host")}
    return {name: value for name, value in said.items() if value}


def _forwarded(request: InboundRequest) -> dict[str, str]:
    pairs = (named_value(pair) for pair in members(_last(request.header_values("forwarded")), ";"))
    return {name: value for name, value in pairs if value}


def _last(values: list[str]) -> str:
    # The nearest proxy, the one that is trusted, writes last; what stands before may be the client's own.
    listed = members(values[-1]) if values else []
    if values and not is_closed(values[-1]):
        raise ValueError("a quoted string is open")  # and what the proxy wrote could be a part of it
    return listed[-1] if listed else ""


_FORWARDED = {"x-forwarded": _x_forwarded, "forwarded": _forwarded}

__all__ = ["UNIX_SOCKET", "InboundRequest", "ProxyPolicy"]
