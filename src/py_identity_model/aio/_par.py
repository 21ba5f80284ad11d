"""Pushed authorization requests, awaited."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.login import par as flows
from .._core.login.par import PushedAuthorizationRequest, PushedAuthorizationResponse
from ._clients import Transport
from ._driver import run


@explains_arguments
async def push_authorization_request(
    request: PushedAuthorizationRequest,
    http_client: Transport | None = None,
) -> PushedAuthorizationResponse:
    """Hand an authorization request to the provider directly (RFC 9126 2.1).

    It is sent once; only a provider that asks for a DPoP nonce gets it again. Then send the browser to what
    ``build_par_authorization_url`` makes of the answer.

    Args:
        request: Endpoint, credentials, and the parameters of the authorization request.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The ``request_uri``. Nothing that the provider or the network does is raised: see ``is_successful``,
        ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.push_authorization_request(request), http_client)


__all__ = ["push_authorization_request"]
