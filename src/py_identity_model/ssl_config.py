"""Which certificate authorities to trust, from the variables that other tools use too."""

from __future__ import annotations

import os

_VARIABLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


def get_ssl_verify() -> str | bool:
    """Return the path of the CA bundle to trust, or True for the system's trust store.

    ``SSL_CERT_FILE`` goes before ``CURL_CA_BUNDLE``, that before ``REQUESTS_CA_BUNDLE``. Nothing can disable it.

    >>> bool(get_ssl_verify())
    True
    """
    return next((value for name in _VARIABLES if (value := os.environ.get(name, "").strip())), True)


__all__ = ["get_ssl_verify"]
