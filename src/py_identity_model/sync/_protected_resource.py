"""Protected resources, blocking: tokens of requests, and metadata of resources (RFC 6750, RFC 9449, RFC 9728)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from .._arguments import explains_arguments
from .._core.binding.dpop_server import DPoPProof, DPoPValidator
from .._core.binding.inbound_request import InboundRequest, ProxyPolicy
from .._core.resource import protected_resource, resource_metadata
from .._core.resource.presented_token import PresentedToken
from .._core.resource.protected_resource import asking
from .._core.resource.resource_metadata import ProtectedResourceMetadataRequest, ProtectedResourceMetadataResponse
from ..settings import get_settings
from ._clients import Transport
from ._driver import run


@explains_arguments
def authenticate_token(
    token: str,
    validate_jwt: Callable[[str], object] | None,
    introspect: Callable[[str], object] | None,
    *,
    audience: str | Collection[str],
    leeway: float = 0.0,
    allow_missing_audience: bool = False,
) -> Mapping[str, Any]:
    """Validate an access token, whether it is a JWT or opaque (RFC 9068, RFC 7662).

    Args:
        token: The token.
        validate_jwt: Validates a JWT and returns its claims; None sends every token to *introspect*.
        introspect: Asks the provider and returns its answer, as members or as a response value; None refuses opaque
            tokens.
        audience: This resource, one name or several; it is checked in the answers of *introspect*.
        leeway: Seconds by which clocks may differ.
        allow_missing_audience: Whether an answer of *introspect* without ``aud`` is accepted.

    Returns:
        The claims.

    Raises:
        TokenValidationException: The token is refused.
        NetworkException: The token cannot be verified right now.
        ConfigurationException: Both callables are None, or *audience* is empty.

    >>> claims = authenticate_token("opaque", None, lambda token: {"active": True, "aud": "api"}, audience="api")
    >>> claims["active"]
    True
    """
    return run(
        protected_resource.authenticate_token(
            token,
            asking(validate_jwt) if validate_jwt else None,
            asking(introspect, allow_missing_audience=allow_missing_audience) if introspect else None,
            audience=audience,
            leeway=leeway,
            allow_missing_audience=allow_missing_audience,
        )
    )


@explains_arguments
def check_sender(
    request: InboundRequest,
    presented: PresentedToken,
    claims: Mapping[str, Any],
    *,
    dpop: DPoPValidator | None = None,
    proxies: ProxyPolicy | None = None,
    require_binding: bool = False,
) -> DPoPProof | None:
    """Refuse a bound token that does not come from the client it is bound to (RFC 9449 7, RFC 8705 3).

    Args:
        request: The request.
        presented: Its token.
        claims: That token's validated claims.
        dpop: How proofs are checked; None if this resource takes no DPoP.
        proxies: How requests reach this server: which proxies may forward a client certificate, and what the ``htu`` of
            a proof must be, unless *dpop* says so itself.
        require_binding: Whether a token that is bound to nothing is refused.

    Returns:
        The DPoP proof, if the token is bound to a DPoP key.

    Raises:
        TokenValidationException: The token does not come from the client it is bound to.
        NetworkException: The replay memory cannot answer.
    """
    return run(
        protected_resource.check_sender(
            request, presented, claims, dpop=dpop, proxies=proxies, require_binding=require_binding
        )
    )


@explains_arguments
def get_protected_resource_metadata(
    request: ProtectedResourceMetadataRequest,
    http_client: Transport | None = None,
    *,
    verify_signed: Callable[[str], object] | None = None,
) -> ProtectedResourceMetadataResponse:
    """Fetch the metadata of a protected resource and verify whose it is (RFC 9728 3).

    Args:
        request: Which resource.
        http_client: What sends the request; the shared client if None.
        verify_signed: Verifies the JWT in ``signed_metadata`` and returns its claims; None leaves it unused.

    Returns:
        The metadata, or what went wrong.
    """
    verify = asking(verify_signed) if verify_signed else None
    return run(resource_metadata.fetch_resource_metadata(request, get_settings(), verify), http_client)


__all__ = ["authenticate_token", "check_sender", "get_protected_resource_metadata"]
