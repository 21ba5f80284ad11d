"""Pushed authorization requests, blocking."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.login import par as flows
from .._core.login.par import PushedAuthorizationRequest, PushedAuthorizationResponse
from ._clients import Transport
from ._driver import run


@explains_arguments
def push_authorization_request(
    request: PushedAuthorizationRequest,
    http_client: Transport | None = None,
) -> PushedAuthorizationResponse:
    """Hand an authorization request to the provider directly (RFC 9126 2.1).

    It is sent once; only a provider that asks for a DPoP nonce gets it again. Then send the browser to what
    ``build_par_authorization_url`` makes of the answer.

    Args:
        request: Endpoint, credentials, and the parameters of the authorization request.
        http_client: The transport; by default the thread's own client.

    Returns:
        The ``request_uri``. Nothing that the provider or the network does is raised: see ``is_successful``,
        ``error_code`` and ``raise_for_error()``.

    >>> from py_identity_model._core.base.flow import Reply
    >>> def provider(request):
    ...     return Reply(201, (), b'{"request_uri": "urn:ietf:params:oauth:request_uri:6esc", "expires_in": 60}')
    >>> request = PushedAuthorizationRequest("https://id.example.com/par", "app", "https://app.example.com/cb")
    >>> push_authorization_request(request, provider).expires_in
    60
    """
    return run(flows.push_authorization_request(request), http_client)


__all__ = ["push_authorization_request"]
