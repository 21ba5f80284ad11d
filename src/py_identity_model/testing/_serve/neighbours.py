"""Which hosts a provider on a developer's machine deals with: this machine, and names that no stranger can have."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..._core.base.urls import ip_address_of, is_loopback

#: Names that the public DNS does not give out (RFC 6761, RFC 6762, RFC 8375, and ICANN's ``.internal``).
_PRIVATE_ENDINGS = ("localhost", "test", "internal", "local", "example", "invalid", "home.arpa")


def is_near(host: str | None) -> bool:
    """Tell whether *host* is this machine, a private address, or a name as Compose and test networks give them.

    >>> [is_near(host) for host in ("localhost", "app.localhost", "web", "10.0.0.7", "shop.test", "evil.example.com")]
    [True, True, True, True, True, False]
    """
    if not host:
        return False
    name = host.lower().rstrip(".")
    address = ip_address_of(name)
    if address is not None:
        return address.is_private and not address.is_link_local
    if is_loopback(name) or "." not in name:
        return True
    return any(name.endswith(f".{ending}") for ending in _PRIVATE_ENDINGS)


def host_of(url: str) -> str | None:
    """Return the host of a URL in lower case; None if it has none or is no URL."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def origin_of(url: str) -> str | None:
    """Return scheme and authority of a URL as browsers send them in ``Origin``; None for what has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, standard) else "")


def host_in(header: str) -> str | None:
    """Return the host that a ``Host`` header names, without its port."""
    return host_of(f"//{header}") if header and "/" not in header and "@" not in header else None


def needs_no_dns(host: str) -> bool:
    """Tell whether *host* is an address or this machine, so that no name server can be behind it (DNS rebinding)."""
    name = host.lower().rstrip(".")
    return ip_address_of(name) is not None or name == "localhost" or name.endswith(".localhost")


__all__ = ["host_in", "host_of", "is_near", "needs_no_dns", "origin_of"]
