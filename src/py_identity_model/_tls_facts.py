"""A look at the TLS of a host: the version that both sides take, and the certificate (RFC 9325, RFC 5280)."""

from __future__ import annotations

import socket
import ssl

from ._core.doctor.connection import TlsFacts
from ._deadline import DeadlinePassed, look_up, remaining, within
from ._tls import tls_context
from .exceptions import ConfigurationException, printable


def look_at_tls(host: str, port: int, seconds: float, verify: bool | str | None = None) -> TlsFacts:
    """Shake hands with a host and hang up.

    Args:
        host: Its name.
        port: The port.
        seconds: How long it may take.
        verify: The CA bundle to trust, as an ``HTTPClient`` takes it.

    Returns:
        What the handshake showed; nothing that goes wrong is raised.
    """
    if _behind_proxy(host):
        return TlsFacts(unknown="connections go through a proxy")
    try:
        context = tls_context(verify)
        with within(seconds), _connected(host, port) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
            ends = (tls.getpeercert() or {}).get("notAfter")
            seconds_of = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
            return TlsFacts(tls.version(), seconds_of)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", None) or error.reason or type(error).__name__
        return TlsFacts(refused=printable(reason, 200))
    except (OSError, DeadlinePassed, ValueError) as error:
        return TlsFacts(unknown=f"no connection: {type(error).__name__}")
    except ConfigurationException as error:
        return TlsFacts(unknown=error.message)


def _behind_proxy(host: str) -> bool:
    from urllib.request import getproxies, proxy_bypass  # not at the top: it loads much

    proxies = getproxies()
    return bool(proxies.get("https") or proxies.get("all")) and not proxy_bypass(host)


def _connected(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that lets itself be connected to, within what time is left.

    Raises:
        OSError: None does.
    """
    failed: OSError = OSError("no address")
    for _, _, _, _, address in look_up(host, remaining()):
        try:
            made = socket.create_connection((address[0], port), timeout=remaining())
        except OSError as error:
            failed = error
            continue
        made.settimeout(remaining())
        return made
    raise failed


__all__ = ["look_at_tls"]
