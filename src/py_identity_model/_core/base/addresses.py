"""Which hosts and addresses are on the public internet, so that a stranger may have something fetched from them.

A name is judged twice: by its spelling before anything is sent, and by the address that a connection was made to.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ...exceptions import InvalidRequestException, TransportException, printable
from .urls import ip_address_of, ipv4_within, is_local

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Endings of names that mean something else in every network: RFC 6761, RFC 6762 3, RFC 7686, RFC 8375, RFC 9476, the
#: name reserved for private use, and those that companies, homes and clusters use without asking.
_PRIVATE_ENDINGS = frozenset(
    {"local", "internal", "alt", "onion", "test", "invalid", "localdomain", "localhost"}
    | {"lan", "corp", "home", "intranet", "private", "svc", "cluster", "domain", "workgroup"}
)
_PRIVATE_NAMES = (".home.arpa", ".ip6.arpa", ".in-addr.arpa")

_IPV4_SPECIAL = tuple(
    ipaddress.IPv4Network(net)
    for net in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
#: RFC 4291 2.4: global unicast. Beside it only addresses made of IPv4 ones can be public.
_IPV6_GLOBAL = ipaddress.IPv6Network("2000::/3")
_IPV6_SPECIAL = tuple(ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "3fff::/20"))
#: RFC 5214 6.1: the interface identifiers of ISATAP, which end in an IPv4 address.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def is_public_address(address: IPAddress) -> bool:
    """Tell whether *address* is on the public internet; one that leads to an IPv4 address is judged by that.

    >>> [is_public_address(ipaddress.ip_address(a)) for a in ("8.8.8.8", "100.64.0.1", "64:ff9b::808:808", "fd00::1")]
    [True, False, True, False]
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in net for net in _IPV4_SPECIAL)
    inside = ipv4_within(address) or _isatap(address)
    if inside is not None:
        return is_public_address(inside)
    return address in _IPV6_GLOBAL and not any(address in net for net in _IPV6_SPECIAL)


def _isatap(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    value = int(address)
    return ipaddress.IPv4Address(value & 0xFFFFFFFF) if (value >> 32) & 0xFFFFFFFF in _ISATAP else None


def is_public_host(host: str | None) -> bool:
    """Tell by its spelling whether *host* is one on the public internet, so that a stranger may have it fetched.

    A name is not resolved here: that is done where the connection is made.

    >>> [is_public_host(h) for h in ("app.example.com", "8.8.8.8", "10.0.0.1", "localhost", "::1", "intranet")]
    [True, True, False, False, False, False]
    """
    if not host or is_local(host):
        return False
    address = ip_address_of(host)
    if isinstance(address, ipaddress.IPv6Address) and address not in _IPV6_GLOBAL:
        return False  # written out like this, an IPv4 address has no honest purpose
    if address is not None:
        return is_public_address(address)
    name = host.lower().rstrip(".")
    ending = name.rpartition(".")[2]
    return "." in name and ending not in _PRIVATE_ENDINGS and not f".{name}".endswith(_PRIVATE_NAMES)


#: Addresses that stay within a link or a site, under which clouds answer with the secrets of a machine.
_INSIDE = tuple(ipaddress.ip_network(net) for net in ("169.254.0.0/16", "100.100.100.200/32", "fe80::/10", "fc00::/7"))


def is_inside(host: str) -> bool:
    """Tell whether *host* is an address that means a link or a site of one's own, or the metadata service of a cloud.

    >>> [is_inside(h) for h in ("169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "10.0.0.1", "a.example")]
    [True, True, True, False, False]
    """
    address = ip_address_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = ipv4_within(address) or address
    return address is not None and any(address in net for net in _INSIDE if net.version == address.version)


def check_public_url(url: str, what: str) -> None:
    """Refuse by its spelling an address that is not on the public internet, where the caller cannot know better.

    Raises:
        TransportException: It is private, local or reserved; the ``code`` is ``address_not_public``.
    """
    try:
        check_public_host(urlsplit(url).hostname, what)
    except InvalidRequestException as error:
        refusal = TransportException(
            error.message, code=error.code, claim=what, expected=error.expected, actual=error.actual
        )
    else:
        return
    raise refusal


def check_public_host(host: str | None, what: str) -> None:
    """Refuse to fetch from a host that is not one on the public internet.

    Raises:
        InvalidRequestException: It is private, local or reserved; the ``code`` is ``address_not_public``.
    """
    if not is_public_host(host):
        raise InvalidRequestException(
            f"{what} leads to an address that is not public",
            code="address_not_public",
            claim=what,
            expected="a host on the public internet",
            actual=printable(host),
        )


def check_public_peer(peer: object, host: str, url: str) -> None:
    """Refuse an address that the name *host* led to, if it is not on the public internet.

    Args:
        peer: The address, as sockets name it: text, perhaps with a zone, or a tuple that begins with it.
        host: The name.
        url: What was to be fetched, without anything secret.

    Raises:
        TransportException: It is private, local or reserved, or cannot be told; the ``code`` is ``address_not_public``.
    """
    text = peer[0] if isinstance(peer, tuple | list) and peer else peer
    address = ip_address_of(str(text).partition("%")[0])
    if address is None or not is_public_address(address):
        raise TransportException(
            f"{printable(host)} leads to an address that is not public",
            url=printable(url),
            code="address_not_public",
            expected="a host on the public internet",
            actual=printable(text, 60),
        )


__all__ = [
    "check_public_host",
    "check_public_peer",
    "check_public_url",
    "is_inside",
    "is_public_address",
    "is_public_host",
]
