"""Client-initiated backchannel authentication: a person approves on a device of their own, awaited."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.client import ciba as flows
from .._core.client.ciba import (
    BackchannelAuthenticationRequest,
    BackchannelAuthenticationResponse,
    CibaTokenRequest,
    CibaTokenResponse,
)
from ._clients import Transport
from ._driver import run


@explains_arguments
async def request_backchannel_authentication(
    request: BackchannelAuthenticationRequest,
    http_client: Transport | None = None,
) -> BackchannelAuthenticationResponse:
    """Ask a provider to have a person approve (CIBA Core 7.1).

    Args:
        request: Endpoint, credentials, and who is to be asked for what.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The ``auth_req_id`` to poll with or to wait for a notification about. Nothing that the provider or the network
        does is raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.request_backchannel_authentication(request), http_client)


@explains_arguments
async def poll_ciba_token(
    request: CibaTokenRequest,
    http_client: Transport | None = None,
) -> CibaTokenResponse:
    """Ask once whether the person has approved (CIBA Core 10.1).

    This is also how tokens are fetched after a ping.

    Args:
        request: Endpoint, credentials and ``auth_req_id``.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The tokens, or ``authorization_pending`` or ``slow_down`` in ``error_code`` as long as there are none. Nothing
        that the provider or the network does is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.
    """
    return await run(flows.poll_ciba_token(request), http_client)


@explains_arguments
async def wait_for_ciba_token(
    request: CibaTokenRequest,
    authentication: BackchannelAuthenticationResponse,
    http_client: Transport | None = None,
) -> CibaTokenResponse:
    """Ask again and again until the person has decided or the request expires (CIBA Core 11).

    The pace is the provider's: ``interval``, five seconds more after each ``slow_down``, longer pauses after failures.

    Args:
        request: Endpoint, credentials and ``auth_req_id``.
        authentication: The answer to :func:`request_backchannel_authentication`: pace and expiry.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The tokens, or the final refusal; ``expired_token`` where time ran out. Nothing that the provider or the
        network does is raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.wait_for_ciba_token(request, authentication), http_client)


__all__ = [
    "poll_ciba_token",
    "request_backchannel_authentication",
    "wait_for_ciba_token",
]
