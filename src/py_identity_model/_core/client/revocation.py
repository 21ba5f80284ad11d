"""Token revocation: tell the provider that a token is no longer needed (RFC 7009)."""

from __future__ import annotations

from dataclasses import dataclass

from ...settings import Settings
from ..base.exchanges import persistently
from ..base.flow import Flow, Reply, Request, now
from ..base.provider_words import secrets_of
from ..base.response import BaseResponse, answered
from ..base.secret import CurrentSecret, Secret
from .client_auth import ClientRequest, MtlsClientAuth, PrivateKeyJwt
from .form_post import build_client_request, sent_ready
from .grants import required
from .token_response import refusal

_WHAT = "revocation endpoint"


@dataclass(repr=False)
class TokenRevocationRequest(ClientRequest):
    """Ask for a token to be revoked (RFC 7009 2.1).

    Attributes:
        token: The access token or refresh token.
        token_type_hint: ``access_token`` or ``refresh_token``, to help the provider find it.
    """

    token: str | Secret
    client_id: str
    token_type_hint: str | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None

    _redacted = ClientRequest._redacted | {"token"}


@dataclass(repr=False)
class TokenRevocationResponse(BaseResponse):
    """Whether the token can be taken for revoked. A token that the provider never knew counts as well."""


def build_revocation(request: TokenRevocationRequest, wall: float) -> Request:
    """Build the request to the revocation endpoint; *wall* is the time in seconds since 1970.

    Raises:
        ConfigurationException: The request cannot be sent as it is.
    """
    form = [required("token", request.token), ("token_type_hint", request.token_type_hint or None)]
    return build_client_request(request, form, wall)


def parse_revocation(reply: Reply, request: TokenRevocationRequest, wall: float) -> TokenRevocationResponse:
    """Read what a revocation endpoint answered.

    Raises:
        TokenRequestException: The provider refused or failed; the token must be taken for alive (RFC 7009 2.2.1).
    """
    # RFC 7009 2.2: the status says it all, the content of the body is ignored.
    if reply.status not in (200, 204):
        raise refusal(reply, _WHAT, secrets_of(request), wall)
    return TokenRevocationResponse(True, status_code=reply.status)


def revoke_token(request: TokenRevocationRequest, settings: Settings) -> Flow[TokenRevocationResponse]:
    """Revoke a token. Repeated where the network or the provider falters: a second time does no harm."""

    def revoke() -> Flow[TokenRevocationResponse]:
        wall = (yield from now()).wall
        reply = yield from persistently(
            lambda: sent_ready(request, lambda known: build_revocation(known, wall)), settings
        )
        return parse_revocation(reply, request, (yield from now()).wall)

    return (yield from answered(TokenRevocationResponse, revoke))


__all__ = [
    "TokenRevocationRequest",
    "TokenRevocationResponse",
    "build_revocation",
    "parse_revocation",
    "revoke_token",
]
