"""Addresses: which may be fetched, and what an issuer may look like (RFC 8414 2, OpenID Connect Discovery 3)."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from ..exceptions import ConfigurationException, DiscoveryHTTPSRequiredError, printable

MAX_URL = 2048


def is_loopback(host: str | None) -> bool:
    """Tell whether *host* names this machine: ``localhost``, 127.0.0.0/8 or ::1, and nothing that merely looks so.

    >>> [is_loopback(h) for h in ("localhost", "127.0.0.1", "::1", "localhost.example.com", "127.1", None)]
    [True, True, True, False, False, False]
    """
    if not host:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = f":{parts.port}" if parts.port and parts.port != default else ""
    return f"{parts.scheme}://{host}{port}"


def _refusal(what: str, expected: str, actual: object) -> ConfigurationException:
    shown = printable(actual)
    return ConfigurationException(
        f"{what} must be {expected}, got {shown!r}", code="url_invalid", claim=what, expected=expected, actual=shown
    )


__all__ = ["MAX_URL", "is_loopback", "origin", "parse_url"]
