"""Token exchange: one token for another, blocking."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.client import token_exchange as flows
from .._core.client.token_exchange import TokenExchangeRequest, TokenExchangeResponse
from ._clients import Transport
from ._driver import run


@explains_arguments
def exchange_token(
    request: TokenExchangeRequest,
    http_client: Transport | None = None,
) -> TokenExchangeResponse:
    """Exchange a token for another, to act for a user or as that user (RFC 8693 2.1).

    Args:
        request: Endpoint, credentials and tokens.
        http_client: The transport; by default the thread's own client.

    Returns:
        The new token and its ``issued_token_type``. Nothing that the provider or the network does is raised: see
        ``is_successful``, ``error_code`` and ``raise_for_error()``.

    >>> from py_identity_model._core.base.flow import Reply
    >>> def provider(request):
    ...     return Reply(200, (), b'{"access_token": "e", "token_type": "N_A", "issued_token_type": "urn:x"}')
    >>> from py_identity_model._core.client.token_exchange import ExchangeTokenType
    >>> request = TokenExchangeRequest("https://id.example.com/token", "app", "eyJ", ExchangeTokenType.ACCESS_TOKEN)
    >>> exchange_token(request, provider).issued_token_type
    'urn:x'
    """
    return run(flows.exchange_token(request), http_client)


__all__ = [
    "exchange_token",
]
