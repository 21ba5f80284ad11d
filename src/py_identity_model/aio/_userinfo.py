"""UserInfo, awaited: what the provider, and others, tell about the user (OpenID Connect Core 5.3, 5.6.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._arguments import explains_arguments
from .._core.client import external_claims
from .._core.client import userinfo as flows
from .._core.client.external_claims import ClaimsProvider, ExternalClaimsResponse
from .._core.client.userinfo import UserInfoRequest, UserInfoResponse
from ..settings import get_settings
from ._clients import Transport
from ._driver import run
from ._validation import validators_for


@explains_arguments
async def get_userinfo(request: UserInfoRequest, http_client: Transport | None = None) -> UserInfoResponse:
    """Ask for the claims about the user (OpenID Connect Core 5.3).

    The event ``userinfo_subject_unchecked`` tells where ``expected_sub`` was not given.

    Args:
        request: Endpoint, access token, and the ``sub`` of the ID token.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The claims. Nothing that the provider or the network does is raised: see ``is_successful``, ``error_code``
        (``subject_mismatch`` where the answer is about another user) and ``raise_for_error()``.
    """
    return await run(flows.get_userinfo(request, get_settings(), validators_for(http_client)), http_client)


@explains_arguments
async def get_external_claims(
    claims: Mapping[str, Any], providers: Sequence[ClaimsProvider], http_client: Transport | None = None
) -> ExternalClaimsResponse:
    """Verify aggregated claims, fetch and verify distributed ones (OpenID Connect Core 5.6.2).

    Args:
        claims: The claims of a UserInfo response or ID token, with ``_claim_names`` and ``_claim_sources``.
        providers: Whom to believe, and where distributed claims may be fetched from.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The claims that could be verified, and why others could not. Nothing that a provider or the network does is
        raised.
    """
    flow = external_claims.get_external_claims(claims, providers, get_settings(), validators_for(http_client))
    return await run(flow, http_client)


__all__ = ["get_external_claims", "get_userinfo"]
