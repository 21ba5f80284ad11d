"""Client ID metadata documents: clients that an authorization server knows by their URL, blocking."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.registration import client_metadata as flows
from .._core.registration.client_metadata import ClientMetadataDocumentRequest, ClientMetadataDocumentResponse
from ..settings import get_settings
from ._clients import Transport
from ._driver import run


@explains_arguments
def get_client_metadata_document(
    request: ClientMetadataDocumentRequest,
    http_client: Transport | None = None,
) -> ClientMetadataDocumentResponse:
    """Fetch the metadata document of a client and verify whose it is (draft-ietf-oauth-client-id-metadata-document 4).

    Only https is fetched, from hosts that are public by their spelling, at most 5 KiB of it, and no redirect is
    followed. Names are not resolved here: a server that strangers can name clients to wants an egress proxy that
    refuses private addresses.

    Args:
        request: The ``client_id`` as the address.
        http_client: The transport; by default the thread's own client.

    Returns:
        The metadata, and for how many seconds it may be used. Nothing that the client or the network does is raised:
        see ``is_successful``, ``error_code`` and ``raise_for_error()``.

    >>> from py_identity_model._core.base.flow import Reply
    >>> def web(request):
    ...     return Reply(200, (("content-type", "application/json"),), b'''{"client_id":
    ...         "https://app.example.com/client", "redirect_uris": ["https://app.example.com/cb"]}''')
    >>> request = ClientMetadataDocumentRequest("https://app.example.com/client")
    >>> get_client_metadata_document(request, web).metadata["redirect_uris"]
    ['https://app.example.com/cb']
    """
    return run(flows.fetch_client_metadata_document(request, get_settings()), http_client)


__all__ = ["get_client_metadata_document"]
