"""Requests that an ``OAuthClient`` has no verb for: about a token that the user brings along."""

from __future__ import annotations

from typing import Any

from .._core.discovery.metadata import DiscoveryDocumentRequest, DiscoveryDocumentResponse
from ..exceptions import ConfigurationException
from ..sync._discovery import get_discovery_document
from ._client import ClientOptions
from ._shared import needed


def metadata(client: ClientOptions) -> DiscoveryDocumentResponse:
    """Return the provider's metadata.

    Raises:
        PyIdentityModelException: It cannot be had.
    """
    response = get_discovery_document(DiscoveryDocumentRequest(address=needed(client.issuer, "issuer")))
    response.raise_for_error()
    return response


def endpoint(client: ClientOptions, name: str) -> str:
    """Return the address of an endpoint.

    Raises:
        ConfigurationException: The provider has none.
        PyIdentityModelException: Its metadata cannot be had.
    """
    found = getattr(metadata(client), name, None)
    if not found:
        raise ConfigurationException(
            f"The provider has no {name}", code="provider_unsupported", claim=name, expected=name
        )
    return str(found)


def client_fields(client: ClientOptions) -> dict[str, Any]:
    """Return the fields of a request that say which client asks."""
    return {
        "client_id": needed(client.client_id, "client_id"),
        "issuer": client.issuer,
        "auth_methods_supported": metadata(client).token_endpoint_auth_methods_supported,
        "allow_insecure_http": client.allow_insecure_http,
        **client.credentials(),
    }
