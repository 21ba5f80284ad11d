"""Dynamic client registration and its management, awaited."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.registration import registration as flows
from .._core.registration.registration import (
    ClientDeleteRequest,
    ClientDeleteResponse,
    ClientReadRequest,
    ClientRegistrationRequest,
    ClientRegistrationResponse,
    ClientUpdateRequest,
)
from ..settings import get_settings
from ._clients import Transport
from ._driver import run


@explains_arguments
async def register_client(
    request: ClientRegistrationRequest,
    http_client: Transport | None = None,
) -> ClientRegistrationResponse:
    """Register a client with a provider (RFC 7591 3).

    The request is sent once: a repeat could register a second client.

    Args:
        request: Endpoint, metadata and, where registration is not open, the initial access token.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The client's identifier and credentials, and in ``changes`` what the provider registered otherwise than asked.
        Nothing that the provider or the network does is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.
    """
    return await run(flows.register_client(request), http_client)


@explains_arguments
async def read_client(
    request: ClientReadRequest,
    http_client: Transport | None = None,
) -> ClientRegistrationResponse:
    """Read what is registered of a client (RFC 7592 2.1).

    Args:
        request: ``registration_client_uri`` as the address, and the registration access token.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The registration; a token or secret in it replaces the one known so far. Nothing that the provider or the
        network does is raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.read_client(request, get_settings()), http_client)


@explains_arguments
async def update_client(
    request: ClientUpdateRequest,
    http_client: Transport | None = None,
) -> ClientRegistrationResponse:
    """Replace what is registered of a client (RFC 7592 2.2).

    What the request leaves out is deleted; :meth:`ClientUpdateRequest.from_registration` leaves nothing out. The
    request is sent once: it may have changed the token that it was sent with.

    Args:
        request: ``registration_client_uri`` as the address, the registration access token, and all metadata.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The registration; a token or secret in it replaces the one known so far. Nothing that the provider or the
        network does is raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.update_client(request), http_client)


@explains_arguments
async def delete_client(
    request: ClientDeleteRequest,
    http_client: Transport | None = None,
) -> ClientDeleteResponse:
    """Delete a client's registration (RFC 7592 2.3).

    Args:
        request: ``registration_client_uri`` as the address, and the registration access token.
        http_client: The transport; by default the event loop's own client.

    Returns:
        Whether it is gone. Nothing that the provider or the network does is raised: see ``is_successful``,
        ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.delete_client(request), http_client)


__all__ = ["delete_client", "read_client", "register_client", "update_client"]
