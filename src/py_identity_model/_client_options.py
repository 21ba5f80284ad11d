"""How the library's own HTTP clients are built: verifying, without redirects, without a memory for cookies.

Doors import this module when something is fetched, not before.
"""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

from ._core.base.flow import ClientCertificate
from ._tls import tls_context
from .exceptions import ConfigurationException


def client_options(verify: bool | str | None, certificate: ClientCertificate | None, timeout: float) -> dict[str, Any]:
    """Return the arguments for a ``Client`` or ``AsyncClient`` of httpx2.

    Args:
        verify: Path of a CA bundle, True for the system's trust store, None for what the environment says.
        certificate: The client certificate to show (RFC 8705 2).
        timeout: Seconds for one operation.

    Raises:
        ConfigurationException: A certificate, key or CA bundle cannot be used.
    """
    parts = (certificate.certificate, certificate.private_key, certificate.password) if certificate else ()
    return {
        "verify": tls_context(verify, *parts),
        "timeout": timeout,
        "follow_redirects": False,
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "headers": {"User-Agent": "py-identity-model"},
        "trust_env": True,  # for proxies; the TLS context is ours
    }


def proxy_refused(error: Exception) -> ConfigurationException:
    """Return the exception for proxy variables of the environment that no client can be built with."""
    return ConfigurationException(
        f"The proxy that the environment names cannot be used: {type(error).__name__}",
        code="proxy_invalid",
        claim="HTTPS_PROXY, HTTP_PROXY or ALL_PROXY",
        hint="a socks proxy needs: pip install socksio" if isinstance(error, ImportError) else None,
    )


__all__ = ["client_options", "proxy_refused"]
