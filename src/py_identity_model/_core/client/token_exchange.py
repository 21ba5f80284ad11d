"""Token exchange: one token for another, to act for a user or as that user (RFC 8693)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, TypedDict

from ...exceptions import ConfigurationException, TokenRequestException
from ..base.flow import Flow
from ..base.response import answered
from ..base.scopes import Scopes
from ..base.secret import CurrentSecret
from ..binding.dpop_client import DPoPKey
from .client_auth import MtlsClientAuth, PrivateKeyJwt
from .form_post import ready
from .grants import AccessRequest, Grant, Pairs, request_token, required, several
from .identity_tokens import CurrentToken
from .token_response import NOT_APPLICABLE, TokenResponse

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class ExchangeTokenType(StrEnum):
    """What a token is, for ``subject_token_type`` and its like (RFC 8693 3)."""

    ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
    REFRESH_TOKEN = "urn:ietf:params:oauth:token-type:refresh_token"
    ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
    SAML1 = "urn:ietf:params:oauth:token-type:saml1"
    SAML2 = "urn:ietf:params:oauth:token-type:saml2"
    JWT = "urn:ietf:params:oauth:token-type:jwt"
    #: draft-ietf-oauth-identity-assertion-authz-grant: an identity assertion for another authorization server.
    ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"


@dataclass(repr=False)
class TokenExchangeRequest(AccessRequest):
    """Exchange a token for another (RFC 8693 2.1).

    Attributes:
        client_id: The client; None where the provider takes the subject token alone.
        subject_token: The token of the subject of the new one, or where it comes from: :class:`KubernetesToken`, or a
            function.
        subject_token_type: What it is; see :class:`ExchangeTokenType`.
        actor_token: The token of the party that acts for them, or where it comes from.
        actor_token_type: What that is.
        resource: Where the new token will be used, one URI or several.
        audience: The same by logical name, one or several.
        requested_token_type: What to issue.
        token_types: The values of ``token_type`` that are understood, in place of ``Bearer``; ``N_A`` always is.
    """

    client_id: str
    subject_token: CurrentToken
    subject_token_type: str
    actor_token: CurrentToken | None = None
    actor_token_type: str | None = None
    resource: str | Sequence[str] | None = None
    audience: str | Sequence[str] | None = None
    scope: Scopes | None = None
    requested_token_type: str | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None
    dpop_key: DPoPKey | None = field(default=None, kw_only=True)
    token_types: Sequence[str] | None = field(default=None, kw_only=True)

    _redacted = AccessRequest._redacted | {"subject_token", "actor_token"}
    #: RFC 8693 2.1: client authentication is for the server to ask for.
    _client_optional: ClassVar[bool] = True


class TokenExchangeOptions(TypedDict, total=False):
    """The fields of a :class:`TokenExchangeRequest` that an ``OAuthClient`` leaves to its caller, by keyword."""

    subject_token_type: str
    actor_token: CurrentToken | None
    actor_token_type: str | None
    resource: str | Sequence[str] | None
    audience: str | Sequence[str] | None
    scope: Scopes | None
    requested_token_type: str | None
    authorization_details: Sequence[Mapping[str, Any]] | None
    token_types: Sequence[str] | None
    extra: Mapping[str, str] | None


@dataclass(repr=False)
class TokenExchangeResponse(TokenResponse):
    """The new token. With ``token_type`` ``N_A`` it is no access token, whatever its member is called."""

    issued_token_type: str | None = None


def build_token_exchange_parameters(request: TokenExchangeRequest) -> Pairs:
    """Build the parameters of a token exchange (RFC 8693 2.1).

    Raises:
        ConfigurationException: Something required is missing, or an actor token comes without its type.
    """
    # RFC 8693 2.1: actor_token_type is REQUIRED with an actor_token and MUST NOT be there without one.
    if (request.actor_token is None) != (request.actor_token_type is None):
        raise ConfigurationException(
            "actor_token and actor_token_type belong together",
            code="actor_token_incomplete",
            claim="actor_token_type" if request.actor_token_type is None else "actor_token",
        )
    return [
        ("grant_type", TOKEN_EXCHANGE),
        required("subject_token", request.subject_token),
        required("subject_token_type", request.subject_token_type),
        *([required("actor_token", request.actor_token)] if request.actor_token is not None else []),
        ("actor_token_type", request.actor_token_type),
        *(("audience", audience) for audience in several("audience", request.audience)),
        ("requested_token_type", request.requested_token_type),
    ]


def exchange_token(request: TokenExchangeRequest) -> Flow[TokenExchangeResponse]:
    """Exchange a token for another. It is sent once: the subject token may be good for one use."""

    return (yield from answered(TokenExchangeResponse, lambda: _exchange_token(request)))


def _exchange_token(given: TokenExchangeRequest) -> Flow[TokenExchangeResponse]:
    request = yield from ready(given, ("subject_token", "actor_token"))

    def parameters(wall: float) -> Pairs:
        return build_token_exchange_parameters(request)

    # RFC 8693 2.2.1: issued_token_type is REQUIRED, and token_type is N_A for what is no access token.
    grant = Grant(
        parameters,
        request.scope,
        request.dpop_key,
        unbound_types=(NOT_APPLICABLE,),
        requires=("issued_token_type",),
    )
    response = yield from request_token(TokenExchangeResponse, request, grant)
    return _contradiction(response) or response


def _contradiction(response: TokenExchangeResponse) -> TokenExchangeResponse | None:
    # N_A says that it is no access token; believed of one, it would also hide that the token is not bound to a key.
    if not response.is_successful or (response.token_type or "").lower() != NOT_APPLICABLE:
        return None
    if response.issued_token_type != ExchangeTokenType.ACCESS_TOKEN:
        return None
    return TokenExchangeResponse.failed(
        TokenRequestException(
            "The answer of the token endpoint cannot be used: an access token with the token_type N_A",
            status_code=response.status_code,
            code="token_type_unsupported",
            claim="token_type",
            expected="Bearer or DPoP",
            actual=response.token_type,
        )
    )


__all__ = [
    "TOKEN_EXCHANGE",
    "ExchangeTokenType",
    "TokenExchangeOptions",
    "TokenExchangeRequest",
    "TokenExchangeResponse",
    "build_token_exchange_parameters",
    "exchange_token",
]
