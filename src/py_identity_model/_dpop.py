"""DPoP proofs for those who send their requests themselves (RFC 9449)."""

from __future__ import annotations

import time

from ._arguments import explains_arguments
from ._core.binding.dpop_client import (
    DPoPKey,
    build_dpop_proof,
)


@explains_arguments
def create_dpop_proof(
    key: DPoPKey, method: str, uri: str, access_token: str | None = None, nonce: str | None = None
) -> str:
    """Sign a DPoP proof for one request, now (RFC 9449 4.2).

    Args:
        key: The key that the token is, or will be, bound to.
        method: The HTTP method of the request.
        uri: The URL of the request, absolute; query and fragment are left out.
        access_token: The token that the request carries.
        nonce: The nonce that the server gave last.

    Returns:
        The proof, for the header ``DPoP``. It serves one request.

    Raises:
        ConfigurationException: Method, URL, token or nonce are none that a request can have. What there is none of is
            None, not an empty text.

    >>> from py_identity_model import generate_dpop_key
    >>> create_dpop_proof(generate_dpop_key(), "POST", "https://id.example.com/token").count(".")
    2
    """
    return build_dpop_proof(key, method, uri, wall=time.time(), access_token=access_token, nonce=nonce)


__all__ = ["create_dpop_proof"]
