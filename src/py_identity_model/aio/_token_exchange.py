"""Token exchange: one token for another, awaited."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.client import token_exchange as flows
from .._core.client.token_exchange import TokenExchangeRequest, TokenExchangeResponse
from ._clients import Transport
from ._driver import run


@explains_arguments
async def exchange_token(
    request: TokenExchangeRequest,
    http_client: Transport | None = None,
) -> TokenExchangeResponse:
    """Exchange a token for another, to act for a user or as that user (RFC 8693 2.1).

    Args:
        request: Endpoint, credentials and tokens.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The new token and its ``issued_token_type``. Nothing that the provider or the network does is raised: see
        ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.exchange_token(request), http_client)


__all__ = [
    "exchange_token",
]
