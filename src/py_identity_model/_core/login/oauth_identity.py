"""How a client gets tokens with a token of its platform, and assertions for the servers of other applications."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..._refusals import is_number, must_be
from ..base.flow import Flow, now
from ..base.scopes import Scopes
from ..base.secret import Secret, exposed
from ..base.store import digest_of
from ..client.grants import JwtBearerTokenRequest, request_jwt_bearer_token
from ..client.held_tokens import Held
from ..client.identity_tokens import CurrentToken, claims_of
from ..client.token_errors import LoginRequired
from ..client.token_exchange import ExchangeTokenType, TokenExchangeRequest, exchange_token
from ..client.token_renewal import Granted
from ..client.token_response import TokenResponse
from ..client.workload_identity import WorkloadIdentity
from ..discovery.metadata import DiscoveryDocumentResponse
from .client import LoginClient, LoginServices, endpoint_of, provider_metadata
from .fapi import FAPI2LoginClient
from .oauth_grants import Ask, Wants, granted, named_audience


class NamelessClient(LoginClient):
    """No client at all: a provider that takes a platform's token alone knows none (RFC 8693 2.1, RFC 7523 3.1)."""

    def _fields(self, supported: Sequence[str] | None) -> dict[str, Any]:
        return {**super()._fields(supported), "client_id": None}


def by_identity(client: LoginClient, wants: Wants, services: LoginServices) -> Ask:
    """Return what asks for an access token with the token of a platform, which is asked for anew each time."""

    def ask(held: Held | None) -> Flow[Granted]:
        identity = wants.identity
        assert identity is not None
        endpoint, fields = yield from _endpoint(client, identity, services)
        wall = (yield from now()).wall
        given = {
            "scope": wants.scope,
            "resource": wants.resource,
            "authorization_details": wants.authorization_details,
            "dpop_key": client.dpop_key,
            **fields,
        }
        return granted((yield from _asked(identity, endpoint, wants, given)), wall)

    return ask


def _endpoint(
    client: LoginClient, identity: WorkloadIdentity, services: LoginServices
) -> Flow[tuple[str, dict[str, Any]]]:
    """Return where to ask, and the fields of a request that say who asks."""
    if identity.token_endpoint is None:
        metadata = yield from provider_metadata(client, services)
        return endpoint_of(client, metadata, "token_endpoint"), client.credentials(metadata)
    if isinstance(client, FAPI2LoginClient):
        raise must_be("token_endpoint", "left out: a profile is held against the provider's metadata")
    return identity.token_endpoint, client._fields(None)


def _asked(identity: WorkloadIdentity, endpoint: str, wants: Wants, given: Mapping[str, Any]) -> Flow[TokenResponse]:
    if identity.grant == "jwt_bearer":
        bearer = JwtBearerTokenRequest(endpoint, identity.token, extra=named_audience(wants), **given)
        return (yield from request_jwt_bearer_token(bearer))
    exchange = TokenExchangeRequest(
        endpoint,
        subject_token=identity.token,
        subject_token_type=identity.subject_token_type,
        requested_token_type=identity.requested_token_type,
        audience=wants.audience,
        **given,
    )
    return (yield from exchange_token(exchange))


# ---------------------------------------------------------------------------------------------------------------------
# Assertions for others


class CrossApp(NamedTuple):
    """What an identity assertion is asked for."""

    audience: str
    subject: str | None = None
    subject_token: CurrentToken | None = None
    subject_token_type: str = ExchangeTokenType.ID_TOKEN
    resource: str | Sequence[str] | None = None
    scope: Scopes | None = None

    def __repr__(self) -> str:  # the subject token is one
        return f"CrossApp({self.audience!r})"

    def key(self, client: LoginClient) -> str:
        """Return what tells it from all others, without showing a token."""
        token = self.subject_token
        # Two functions may look alike and give tokens of two users.
        shown = secrets.token_hex(16) if callable(token) else repr(token)
        shown = exposed(token) if isinstance(token, str | Secret) else shown
        told = (client.issuer, client.client_id, *map(repr, self._replace(subject_token=None)))
        return digest_of("cross app", shown, *told)


def id_jag_request(
    client: LoginClient, metadata: DiscoveryDocumentResponse, wanted: CrossApp, token: CurrentToken
) -> TokenExchangeRequest:
    """Return the request for an identity assertion (draft-ietf-oauth-identity-assertion-authz-grant 4.3)."""
    return TokenExchangeRequest(
        endpoint_of(client, metadata, "token_endpoint"),
        subject_token=token,
        subject_token_type=wanted.subject_token_type,
        requested_token_type=ExchangeTokenType.ID_JAG,
        audience=wanted.audience,
        resource=wanted.resource,
        scope=wanted.scope,
        dpop_key=client.dpop_key,
        **client.credentials(metadata),
    )


def is_spent(id_token: str | None, wall: float) -> bool:
    """Tell whether an ID token that is kept is gone or over, so that a provider would not exchange it."""
    expires = (claims_of(id_token) or {}).get("exp") if id_token else None
    return id_token is None or (is_number(expires, float) and wall >= expires)


def no_id_token(verb: str) -> LoginRequired:
    """Return the exception for a login that has no ID token to exchange."""
    return LoginRequired("The login has no ID token that is still good", verb, code="id_token_missing")


__all__ = [
    "CrossApp",
    "NamelessClient",
    "by_identity",
    "id_jag_request",
    "is_spent",
    "no_id_token",
]
