"""Grants: tokens for a client, a code, a refresh token, a JWT, or anything else a provider takes, blocking."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.client import grants as flows
from .._core.client.grants import (
    AuthorizationCodeTokenRequest,
    AuthorizationCodeTokenResponse,
    ClientCredentialsTokenRequest,
    ClientCredentialsTokenResponse,
    ExtensionGrantTokenRequest,
    ExtensionGrantTokenResponse,
    JwtBearerTokenRequest,
    JwtBearerTokenResponse,
    RefreshTokenRequest,
    RefreshTokenResponse,
)
from ..settings import get_settings
from ._clients import Transport
from ._driver import run


@explains_arguments
def request_client_credentials_token(
    request: ClientCredentialsTokenRequest,
    http_client: Transport | None = None,
) -> ClientCredentialsTokenResponse:
    """Ask for a token in the client's own name (RFC 6749 4.4).

    Repeated with another assertion where the network or the provider falters; with a DPoP key it is sent once.

    Args:
        request: Endpoint, credentials and scope.
        http_client: The transport; by default the thread's own client.

    Returns:
        The tokens. Nothing that the provider or the network does is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.

    >>> from py_identity_model._core.base.flow import Reply
    >>> def provider(request):
    ...     return Reply(200, (), b'{"access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "Bearer"}')
    >>> request = ClientCredentialsTokenRequest("https://id.example.com/token", "app", "secret", "orders")
    >>> request_client_credentials_token(request, provider).scope
    'orders'
    """
    return run(flows.request_client_credentials_token(request, get_settings()), http_client)


@explains_arguments
def request_authorization_code_token(
    request: AuthorizationCodeTokenRequest,
    http_client: Transport | None = None,
) -> AuthorizationCodeTokenResponse:
    """Exchange an authorization code for tokens (RFC 6749 4.1.3, RFC 7636 4.5).

    The code is sent once, and once more only where the provider asks for a DPoP nonce.

    Args:
        request: Endpoint, credentials, code, redirect URI and code verifier.
        http_client: The transport; by default the thread's own client.

    Returns:
        The tokens; the ID token is not yet validated. Nothing that the provider or the network does is raised: see
        ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return run(flows.request_authorization_code_token(request), http_client)


@explains_arguments
def refresh_token(
    request: RefreshTokenRequest,
    http_client: Transport | None = None,
) -> RefreshTokenResponse:
    """Exchange a refresh token for new tokens (RFC 6749 6).

    The refresh token is sent once: a lost answer may have used it up (RFC 9700 4.14).

    Args:
        request: Endpoint, credentials and refresh token.
        http_client: The transport; by default the thread's own client.

    Returns:
        The tokens; its ``refresh_token`` is the one to use next. Nothing that the provider or the network does is
        raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return run(flows.refresh_token(request), http_client)


@explains_arguments
def request_jwt_bearer_token(
    request: JwtBearerTokenRequest,
    http_client: Transport | None = None,
) -> JwtBearerTokenResponse:
    """Exchange a JWT for a token (RFC 7523 2.1).

    Args:
        request: Endpoint and assertion, as text or as a :class:`JwtBearerAssertion` that is signed now.
        http_client: The transport; by default the thread's own client.

    Returns:
        The tokens. Nothing that the provider or the network does is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.
    """
    return run(flows.request_jwt_bearer_token(request), http_client)


@explains_arguments
def request_extension_grant_token(
    request: ExtensionGrantTokenRequest,
    http_client: Transport | None = None,
) -> ExtensionGrantTokenResponse:
    """Ask for a token by a grant of the provider's own (RFC 6749 4.5).

    Args:
        request: Endpoint, credentials, grant type and its parameters. The password grant is refused (RFC 9700 2.4).
        http_client: The transport; by default the thread's own client.

    Returns:
        The tokens. Nothing that the provider or the network does is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.
    """
    return run(flows.request_extension_grant_token(request), http_client)


__all__ = [
    "refresh_token",
    "request_authorization_code_token",
    "request_client_credentials_token",
    "request_extension_grant_token",
    "request_jwt_bearer_token",
]
