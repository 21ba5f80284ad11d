"""How a service that was called with a user's token gets one of its own for the next service.

Two grants do that. RFC 8693 exchanges the token; some providers, Microsoft Entra among them, take it as the assertion
of RFC 7523 2.1 in place of that, with ``requested_token_use=on_behalf_of``. Who does not say which is meant gets what
the provider's metadata offers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..._refusals import must_be
from ...exceptions import PyIdentityModelException, TokenRequestException
from ..base.flow import Flow, now
from ..base.secret import exposed, same_text
from ..client.grants import JWT_BEARER, JwtBearerTokenRequest, request_jwt_bearer_token
from ..client.held_tokens import Held
from ..client.token_exchange import TOKEN_EXCHANGE, ExchangeTokenType, TokenExchangeRequest, exchange_token
from ..client.token_renewal import Granted
from ..client.token_response import TokenResponse
from ..discovery.metadata import DiscoveryDocumentResponse
from .client import LoginClient, LoginServices, endpoint_of, provider_metadata
from .oauth_grants import Ask, Wants, granted

#: The names of the grants, and what metadata calls them.
GRANTS: Final[dict[str, str]] = {"token_exchange": TOKEN_EXCHANGE, "jwt_bearer": JWT_BEARER}
#: Errors that only the user can mend, in the words of OpenID Connect Core 3.1.2.6.
_FOR_THE_USER = frozenset({"interaction_required", "login_required", "consent_required"})


@dataclass(repr=False)
class _OnBehalfOfRequest(JwtBearerTokenRequest):
    _redacted = JwtBearerTokenRequest._redacted - {"extra"}  # what is added here is no secret of the caller


def checked_grant(grant: str | None) -> str | None:
    """Return a grant by its name.

    Raises:
        ConfigurationException: There is none of that name.
    """
    if grant is not None and not (isinstance(grant, str) and grant in GRANTS):
        raise must_be("on_behalf_of_grant", "'token_exchange', 'jwt_bearer' or None", grant)
    return grant


def by_exchange(client: LoginClient, wants: Wants, services: LoginServices, grant: str | None) -> Ask:
    """Return what gets a token of the client's own for the token of a user.

    Args:
        client: The client.
        wants: What is asked for, and the user's token.
        services: What the operations of a login need.
        grant: The name of the grant; None for what the provider offers.
    """

    def ask(held: Held | None) -> Flow[Granted]:
        metadata = yield from provider_metadata(client, services)
        wall = (yield from now()).wall
        asked = _ASKED[grant or _offered(metadata)]
        response = yield from asked(client, wants, metadata)
        if response.exception is not None:
            _explain(response.exception)
        else:
            _check_new(response, wants)
        return granted(response, wall)

    return ask


def _check_new(response: TokenResponse, wants: Wants) -> None:
    """Refuse the user's own token: it was made out for this service, and the next one could use it here.

    Raises:
        TokenRequestException: The answer holds it.
    """
    if same_text(response.access_token or "", exposed(wants.on_behalf_of or "")):
        raise TokenRequestException(
            "The provider gave the user's token back in place of a new one",
            status_code=response.status_code,
            code="token_not_exchanged",
            hint="say what the new token is for: scope, resource or audience",
        )


def _explain(error: PyIdentityModelException) -> None:
    """Say what only the user can mend: the service itself cannot ask them."""
    if isinstance(error, TokenRequestException) and error.error in _FOR_THE_USER:
        error.needs_new_login = True
        error.hint = "the user has to log in again at the application that called; details may hold claims to ask for"


def _offered(metadata: DiscoveryDocumentResponse) -> str:
    offered = metadata.grant_types_supported or ()
    return "jwt_bearer" if JWT_BEARER in offered and TOKEN_EXCHANGE not in offered else "token_exchange"


def _exchanged(client: LoginClient, wants: Wants, metadata: DiscoveryDocumentResponse) -> Flow[TokenResponse]:
    request = TokenExchangeRequest(
        endpoint_of(client, metadata, "token_endpoint"),
        subject_token=wants.on_behalf_of or "",
        subject_token_type=ExchangeTokenType.ACCESS_TOKEN,
        resource=wants.resource,
        audience=wants.audience,
        scope=wants.scope,
        authorization_details=wants.authorization_details,
        requested_token_type=ExchangeTokenType.ACCESS_TOKEN,
        dpop_key=client.dpop_key,
        **client.credentials(metadata),
    )
    return (yield from exchange_token(request))


def _asserted(client: LoginClient, wants: Wants, metadata: DiscoveryDocumentResponse) -> Flow[TokenResponse]:
    if wants.audience is not None:
        raise must_be("audience", "left out: the jwt_bearer grant is used with scope or resource")
    request = _OnBehalfOfRequest(
        endpoint_of(client, metadata, "token_endpoint"),
        assertion=wants.on_behalf_of or "",
        resource=wants.resource,
        scope=wants.scope,
        authorization_details=wants.authorization_details,
        dpop_key=client.dpop_key,
        extra={"requested_token_use": "on_behalf_of"},
        **client.credentials(metadata),
    )
    return (yield from request_jwt_bearer_token(request))


_ASKED: Final[dict[str, Callable[[LoginClient, Wants, DiscoveryDocumentResponse], Flow[TokenResponse]]]] = {
    "token_exchange": _exchanged,
    "jwt_bearer": _asserted,
}

__all__ = ["GRANTS", "by_exchange", "checked_grant"]
