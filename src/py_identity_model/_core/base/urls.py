"""Addresses: which may be fetched, and what an issuer may look like (RFC 8414 2, OpenID Connect Discovery 3)."""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

from ..._refusals import must_be
from ...exceptions import DiscoveryHTTPSRequiredError, printable

MAX_URL = 2048
# RFC 1035 2.3.4: a label has up to 63 octets; a name, as it is written, up to 253 characters.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
MAX_HOST = 253
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def is_loopback(host: str | None) -> bool:
    """Tell whether *host* names this machine: ``localhost``, 127.0.0.0/8 or ::1, and nothing that merely looks so.

    >>> [is_loopback(h) for h in ("localhost", "127.0.0.1", "::1", "localhost.example.com", "127.1", None)]
    [True, True, True, False, False, False]
    """
    if not host:
        return False
    if host.lower() == "localhost":
        return True
    address = ip_address_of(host)
    # An IPv4 address in IPv6 clothes merely looks so: whether it counts differs between versions of Python.
    return address is not None and address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def is_this_machine(host: str | None) -> bool:
    """Tell whether *host* could mean this very machine, under any of its names; its link is not this machine.

    >>> [is_this_machine(h) for h in ("app.localhost", "0.0.0.0", "::ffff:127.0.0.1", "169.254.169.254")]
    [True, True, True, False]
    """
    address = ip_address_of(host) if host else None
    if isinstance(address, ipaddress.IPv6Address):
        address = ipv4_within(address) or address
    return is_local(host) and not (address is not None and address.is_link_local)


def is_local(host: str | None) -> bool:
    """Tell whether *host* could mean this very machine or its link, so that nobody elsewhere should send us there.

    >>> [is_local(h) for h in ("app.localhost", "0.0.0.0", "::ffff:127.0.0.1", "169.254.169.254", "id.example.com")]
    [True, True, True, True, False]
    """
    if not host:
        return False
    name = host.lower().rstrip(".")
    # RFC 6761 6.3: localhost, and whatever ends in it.
    if name.split(".")[-1] == "localhost" or name in ("localhost.localdomain", "localhost6", "ip6-localhost"):
        return True
    address = ip_address_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = ipv4_within(address) or address
    return address is not None and (address.is_loopback or address.is_unspecified or address.is_link_local)


#: RFC 4291 2.5.5, RFC 6052 2.1: the last 32 bits are an IPv4 address; RFC 3056 2: the 32 bits after the prefix.
_ENDING_IN_IPV4 = tuple(ipaddress.IPv6Network(net) for net in ("::/96", "::ffff:0:0/96", "64:ff9b::/96"))


def ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, if it is made of one."""
    if any(address in net for net in _ENDING_IN_IPV4) and int(address) > 1:  # :: and ::1 are themselves
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def ip_address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that *host* is, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_host(host: str, bracketed: bool) -> bool:
    """Tell whether *host* is a name or an IP address in the one form that every reader takes for the same."""
    if bracketed:
        return ":" in host and "%" not in host and ip_address_of(host) is not None
    labels = host.split(".")
    # WHATWG URL 3.5: if the last label is a number, it is an IPv4 address, be it 2130706433 or 0x7f.1.
    if _NUMBER.fullmatch(labels[-1]):
        return ip_address_of(host) is not None
    return len(host) <= MAX_HOST and all(_LABEL.fullmatch(label) for label in labels)


def parse_url(
    url: object,
    what: str = "url",
    *,
    require_https: bool = True,
    allow_http_on_loopback: bool = True,
    allow_query: bool = True,
) -> SplitResult:
    """Take an absolute http(s) URL apart, refusing whatever could lead a request somewhere unexpected.

    Args:
        url: The address.
        what: What to call it in errors.
        require_https: Whether plain http is refused.
        allow_http_on_loopback: Whether plain http to this very machine is accepted all the same.
        allow_query: Whether a query is accepted; issuers have none (RFC 8414 2).

    Raises:
        ConfigurationException: It is no such URL; the error's ``code`` is ``url_invalid``.
        DiscoveryHTTPSRequiredError: It is plain http.
    """
    if not isinstance(url, str) or not url:
        raise _refusal(what, "an absolute https URL", url)
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise _refusal(what, f"an ASCII URL of at most {MAX_URL} characters without spaces or backslashes", url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refusal(what, "an absolute https URL", url) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise _refusal(what, "an absolute https URL with a host", url)
    if "@" in parts.netloc:
        raise _refusal(what, "a URL without user information", parts.hostname)
    if not _is_host(parts.hostname, "[" in parts.netloc) or parts.netloc.endswith(":"):
        raise _refusal(what, "a URL whose host is a plain name or IP address", url)
    if "#" in url:
        raise _refusal(what, "a URL without a fragment", url)
    if "?" in url and not allow_query:
        raise _refusal(what, "a URL without a query", url)
    if parts.scheme == "http" and require_https and not (allow_http_on_loopback and is_loopback(parts.hostname)):
        raise DiscoveryHTTPSRequiredError(
            f"{what} must be an https URL, got {printable(url)!r}",
            claim=what,
            expected="https",
            actual="http",
            hint="plain http is accepted for loopback addresses only, unless it is allowed by name",
        )
    return parts


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, the default port left out.

    >>> origin("HTTPS://ID.example.com:443/a?b")
    'https://id.example.com'

    Raises:
        ConfigurationException: It is none.
    """
    parts = port = None
    try:
        if isinstance(url, str):
            parts = urlsplit(url)
            port = parts.port
    except ValueError:  # the port is read last: what has a bad one is no URL either
        parts = None
    if parts is None:
        raise _refusal("url", "a URL", url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}{f':{port}' if port and port != default else ''}"


def backchannel_url(url: str, backchannel: str) -> str:
    """Return where *url* is reached by way of *backchannel*: its scheme, host and port give way, its path stays.

    >>> backchannel_url("https://login.example.com/realms/a/token?x=1", "http://keycloak:8080")
    'http://keycloak:8080/realms/a/token?x=1'
    """
    base = backchannel.rstrip("/")
    if is_below(url, base):
        return url
    parts = urlsplit(url)
    return base + parts.path + (f"?{parts.query}" if parts.query else "")


def is_below(url: str, base: str) -> bool:
    """Tell whether *url* has the origin of *base* and a path that is the base's or below it.

    >>> is_below("https://a.example/x/y", "https://a.example/x"), is_below("https://a.example/xy", "https://a.example/x")
    (True, False)

    Raises:
        ConfigurationException: One of them is no URL.
    """
    if origin(url) != origin(base):
        return False
    path, top = (urlsplit(address).path for address in (url, base))
    climbs = any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/"))
    return not climbs and f"{path}/".startswith(top.rstrip("/") + "/")


_refusal = partial(must_be, code="url_invalid")


class AddressPolicy(Protocol):
    """What a discovery policy says about addresses."""

    require_https: bool
    allow_http_on_loopback: bool
    require_public_addresses: bool
    backchannel: str | None


class AddressRules(NamedTuple):
    """Which addresses may be fetched, and by what way; see ``DiscoveryPolicy``."""

    require_https: bool = True
    allow_http_on_loopback: bool = True
    require_public_addresses: bool = False
    backchannel: str | None = None

    @classmethod
    def of(cls, policy: AddressPolicy | None) -> AddressRules:
        """Return what *policy* says about addresses; the strict rules for None."""
        return STRICT_ADDRESSES if policy is None else cls(*(getattr(policy, name) for name in cls._fields))


#: What holds where nothing else is said.
STRICT_ADDRESSES = AddressRules()


__all__ = [
    "MAX_URL",
    "STRICT_ADDRESSES",
    "AddressPolicy",
    "AddressRules",
    "backchannel_url",
    "ip_address_of",
    "ipv4_within",
    "is_below",
    "is_local",
    "is_loopback",
    "is_this_machine",
    "origin",
    "parse_url",
]
