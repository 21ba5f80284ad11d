"""The command ``keys``: a provider's keys."""

from __future__ import annotations

from .._core.discovery.metadata import DiscoveryDocumentRequest
from .._core.jose.jwks import JwksRequest
from ..sync._discovery import get_discovery_document, get_jwks
from ._shared import Issuer, Json, needed, show, show_table


def keys(issuer: Issuer = None, as_json: Json = False) -> None:
    """Show a provider's keys."""
    document = get_discovery_document(DiscoveryDocumentRequest(address=needed(issuer, "issuer")))
    document.raise_for_error()
    response = get_jwks(JwksRequest(address=document.jwks_uri or ""))
    response.raise_for_error()
    found = response.keys or []
    if as_json:
        show({"keys": [key.as_dict() for key in found]})
        return
    rows = [(key.kid, key.kty, key.crv, key.alg, key.use, key.key_size) for key in found]
    show_table(("kid", "kty", "crv", "alg", "use", "bits"), rows)
