"""Metadata and key sets, blocking, out of the caches behind token validation; and how often these answered."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._cache_info import CacheCounters, CacheView, LiveCounters
from .._core.discovery.key_sources import discovery_document, key_set_document
from .._core.discovery.metadata import DiscoveryDocumentRequest, DiscoveryDocumentResponse
from .._core.jose.jwks import JwksRequest, JwksResponse
from ._clients import Transport
from ._driver import run
from ._validation import default_stores, stores_for


@explains_arguments
def get_discovery_document(
    disco_doc_req: DiscoveryDocumentRequest, http_client: Transport | None = None, *, refresh: bool = False
) -> DiscoveryDocumentResponse:
    """Return a provider's metadata, from the cache that ``validate_token`` uses (OpenID Connect Discovery 4, RFC 8414).

    Args:
        disco_doc_req: The issuer URL or the URL of its metadata, and the policy it is held to.
        http_client: The transport, should something have to be fetched.
        refresh: Fetch it anew; forced fetches are rationed.

    Returns:
        The metadata, or a failed response that says why there is none.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> request = DiscoveryDocumentRequest(address=provider.issuer)
    >>> get_discovery_document(request, provider.transport).issuer == provider.issuer
    True
    """
    return run(discovery_document(stores_for(http_client), disco_doc_req, refresh=refresh), http_client)


@explains_arguments
def get_jwks(jwks_request: JwksRequest, http_client: Transport | None = None, *, refresh: bool = False) -> JwksResponse:
    """Return a key set, from the cache that ``validate_token`` uses (RFC 7517 5).

    Args:
        jwks_request: The ``jwks_uri``.
        http_client: The transport, should something have to be fetched.
        refresh: Fetch it anew; forced fetches are rationed.

    Returns:
        The keys, or a failed response that says why there are none.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> get_jwks(JwksRequest(address=provider.url("jwks")), provider.transport).keys[0].kty
    'RSA'
    """
    return run(key_set_document(stores_for(http_client), jwks_request, refresh=refresh), http_client)


class _DiscoResponse(CacheView):
    """Metadata by address, cached."""

    def __call__(self, disco_doc_address: str) -> DiscoveryDocumentResponse:
        return get_discovery_document(DiscoveryDocumentRequest(address=disco_doc_address))


class _JwksResponse(CacheView):
    """Key sets by ``jwks_uri``, cached."""

    def __call__(self, jwks_uri: str) -> JwksResponse:
        return get_jwks(JwksRequest(address=jwks_uri))


_get_disco_response = _DiscoResponse(lambda: default_stores().discovery)
_get_jwks_response = _JwksResponse(lambda: default_stores().keys)


def clear_discovery_cache() -> None:
    """Forget all metadata of the blocking API."""
    _get_disco_response.cache_clear()


def clear_jwks_cache() -> None:
    """Forget all key sets of the blocking API."""
    _get_jwks_response.cache_clear()


_counters = LiveCounters(lambda: default_stores())


def get_cache_counters() -> CacheCounters:
    """Return how often the caches of the blocking API answered, and how often a key set was replaced.

    The value is live: it counts on. ``snapshot()`` returns the counts of one moment, ``reset()`` begins anew.

    >>> get_cache_counters().jwks_hits >= 0
    True
    """
    return _counters


__all__ = [
    "clear_discovery_cache",
    "clear_jwks_cache",
    "get_cache_counters",
    "get_discovery_document",
    "get_jwks",
]
