"""FAPI 2.0 where it meets the network: what TLS may be like (FAPI 2.0 Security Profile 5.2, BCP 195)."""

from __future__ import annotations

import ssl

from ._arguments import explains_arguments
from ._tls import tls_context

#: RFC 9325 4.2: the cipher suites that are recommended for TLS 1.2. Those of TLS 1.3 are all fine.
BCP195_CIPHERS = ":".join(
    f"ECDHE-{key}-AES{bits}" for bits in ("128-GCM-SHA256", "256-GCM-SHA384") for key in ("ECDSA", "RSA")
)


@explains_arguments
def fapi_tls_context(
    verify: bool | str | None = None,
    certificate: str | None = None,
    private_key: str | None = None,
    password: str | None = None,
) -> ssl.SSLContext:
    """Return a TLS context that offers nothing but what BCP 195 recommends (FAPI 2.0 Security Profile 5.2.2).

    Give it to the client that is passed as ``http_client``: ``httpx2.Client(verify=fapi_tls_context())``.

    Args:
        verify: Path of a CA bundle (file or directory), True for the system's trust store, None for what the
            environment says.
        certificate: A client certificate chain: PEM text or a path.
        private_key: Its key: PEM text or a path.
        password: The password of an encrypted key.

    Returns:
        A context for TLS 1.2 with the recommended cipher suites, or TLS 1.3; certificates and names are verified.

    Raises:
        ConfigurationException: A file or a PEM text cannot be used.

    >>> context = fapi_tls_context(True)
    >>> {c["name"] for c in context.get_ciphers() if c["protocol"] == "TLSv1.2"} == set(BCP195_CIPHERS.split(":"))
    True
    """
    return tls_context(verify, certificate, private_key, password, BCP195_CIPHERS)


__all__ = ["BCP195_CIPHERS", "fapi_tls_context"]
