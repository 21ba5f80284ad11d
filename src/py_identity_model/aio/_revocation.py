"""Token revocation, awaited (RFC 7009)."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.client import revocation as flows
from .._core.client.revocation import TokenRevocationRequest, TokenRevocationResponse
from ..settings import get_settings
from ._clients import Transport
from ._driver import run


@explains_arguments
async def revoke_token(
    request: TokenRevocationRequest, http_client: Transport | None = None
) -> TokenRevocationResponse:
    """Tell the provider that a token is no longer needed (RFC 7009 2).

    Repeated where the network or the provider falters, as late as ``Retry-After`` asks; a second time does no harm.

    Args:
        request: Endpoint, token and credentials.
        http_client: The transport; by default the event loop's own client.

    Returns:
        Whether the token can be taken for revoked. Nothing that the provider or the network does is raised: see
        ``is_successful``, ``error_code`` (``unsupported_token_type`` where the provider cannot revoke tokens of this
        kind) and ``raise_for_error()``.
    """
    return await run(flows.revoke_token(request, get_settings()), http_client)


__all__ = ["revoke_token"]
