"""A login that the client starts and the user approves elsewhere (CIBA), ended by a validated ID token.

The operations of CIBA itself are in the client package; here they begin and end with a login client, in all three
modes: poll, ping and push (CIBA Core 7, 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..._refusals import must_be, refused
from ...exceptions import IdTokenValidationException, TokenRequestException
from ..base.flow import Flow, now
from ..base.header_lists import words
from ..base.response import answered
from ..base.scopes import Scopes, scope_text
from ..base.secret import Redacted, Secret, same_text
from ..client.ciba import (
    BackchannelAuthenticationRequest,
    BackchannelAuthenticationResponse,
    CibaTokenRequest,
    CibaTokenResponse,
    poll_ciba_token,
    request_backchannel_authentication,
    wait_for_ciba_token,
)
from ..client.ciba_notification import AUTH_REQ_ID_CLAIM, CibaNotification, validate_ciba_push
from ..client.token_response import TokenResponse
from ..discovery.metadata import DiscoveryDocumentResponse
from ..validation.claim_checks import Claims, names
from ..validation.id_token import IdTokenExpectation
from .client import LoginClient, LoginServices, endpoint_of, hint_of, provider_metadata
from .device_login import Expected, asked_at, ended, logged_in
from .response import LoginResponse


@dataclass(frozen=True, kw_only=True, repr=False)
class CibaLoginRequest(Redacted):
    """Whom to ask, and for what (CIBA Core 7.1). Exactly one of the three hints says who the user is.

    Attributes:
        login_hint: Whom to ask, in words.
        login_hint_token: Whom to ask, as a token.
        id_token_hint: Whom to ask, by an ID token of theirs.
        scope: Scopes in place of the client's; ``openid`` is one of them.
        binding_message: Shown on both devices, so that the user can compare.
        user_code: A secret the user told, where the provider wants one.
        acr_values: The authentication contexts asked for.
        requested_expiry: For how many seconds the user may take their time.
        client_notification_token: What the provider shows at the notification endpoint, for ping and push.
        resource: Where the tokens will be used (RFC 8707).
        authorization_details: What exactly is asked for (RFC 9396).
        extra: Further parameters.
    """

    login_hint: str | None = None
    login_hint_token: str | Secret | None = None
    id_token_hint: str | Secret | None = None
    scope: Scopes | None = None
    binding_message: str | None = None
    user_code: str | Secret | None = None
    acr_values: str | Sequence[str] | None = None
    requested_expiry: int | None = None
    client_notification_token: str | Secret | None = None
    resource: str | Sequence[str] | None = None
    authorization_details: Sequence[Mapping[str, Any]] | None = None
    extra: Mapping[str, str] | None = None

    _redacted = frozenset(
        {"login_hint", "login_hint_token", "id_token_hint", "user_code", "client_notification_token", "extra"}
    )


def begin_ciba(
    client: LoginClient, request: CibaLoginRequest, services: LoginServices
) -> Flow[BackchannelAuthenticationResponse]:
    """Ask the provider to have the user approve. Sent once: each request rings the user's device."""

    def begin() -> Flow[BackchannelAuthenticationResponse]:
        metadata = yield from provider_metadata(client, services)
        contexts = request.acr_values
        asked = BackchannelAuthenticationRequest(
            endpoint_of(client, metadata, "backchannel_authentication_endpoint"),
            scope=client.scope if request.scope is None else request.scope,
            login_hint=request.login_hint,
            login_hint_token=request.login_hint_token,
            id_token_hint=None if request.id_token_hint is None else hint_of(client, request.id_token_hint),
            binding_message=request.binding_message,
            user_code=request.user_code,
            acr_values=contexts
            if contexts is None or isinstance(contexts, str)
            else " ".join(names(contexts, "acr_values")),
            requested_expiry=request.requested_expiry,
            client_notification_token=request.client_notification_token,
            resource=request.resource,
            authorization_details=request.authorization_details,
            extra=request.extra,
            **_signing(client, metadata),
            **client.credentials(metadata),
        )
        return (yield from request_backchannel_authentication(asked))

    return (yield from answered(BackchannelAuthenticationResponse, begin))


def _signing(client: LoginClient, metadata: DiscoveryDocumentResponse) -> dict[str, Any]:
    """Return how the request is signed: with the client's key, where the provider takes signed requests (CIBA 4)."""
    offered = metadata.backchannel_authentication_request_signing_alg_values_supported or ()
    if client.request_signing is None or client.request_signing.signing_key().alg not in offered:
        return {}
    signing = client.request_signing
    return {"request_key": signing.signing_key(), "request_lifetime": signing.lifetime}


def complete_ciba(
    client: LoginClient,
    started: BackchannelAuthenticationResponse,
    came: CibaTokenResponse | CibaNotification | None,
    expected: Expected,
    services: LoginServices,
) -> Flow[LoginResponse]:
    """Get the tokens, unless they came already, and validate the ID token: it answers this very request."""

    def complete() -> Flow[LoginResponse]:
        started.raise_for_error()
        pushed = isinstance(came, CibaNotification) and came.kind == "push"
        expectation = IdTokenExpectation(
            asked_at=asked_at(started),
            acr_values=expected.acr_values,
            # CIBA Core 10.3.1: in a push the ID token binds whatever came along.
            hashes_required=frozenset({"at_hash"}) if pushed else frozenset(),
        )
        tokens = yield from _tokens(client, started, came, expected, services)
        response = yield from logged_in(client, tokens, _scope(client, started), expectation, expected, services)
        _check_request(response.claims or {}, started, response, came if isinstance(came, CibaNotification) else None)
        return response

    return (yield from ended(complete))


def _scope(client: LoginClient, started: BackchannelAuthenticationResponse) -> str:
    scope = scope_text(client.scope) if started.scope is None else started.scope
    # CIBA Core 7.1: openid is always asked for, so an ID token always comes.
    return scope if "openid" in words(scope) else f"openid {scope}"


def _tokens(
    client: LoginClient,
    started: BackchannelAuthenticationResponse,
    came: CibaTokenResponse | CibaNotification | None,
    expected: Expected,
    services: LoginServices,
) -> Flow[TokenResponse]:
    if isinstance(came, CibaTokenResponse):
        return came
    if came is not None and not isinstance(came, CibaNotification):
        raise must_be("came", "a CibaTokenResponse or a CibaNotification", type(came).__name__)
    if came is not None:
        _check_notification(came, started)
        if came.kind == "push":
            return _pushed(came, (yield from now()).wall)
    metadata = yield from provider_metadata(client, services)
    request = CibaTokenRequest(
        endpoint_of(client, metadata, "token_endpoint"),
        auth_req_id=started.auth_req_id or "",
        dpop_key=client.dpop_key,
        extra=expected.extra,
        **client.credentials(metadata),
    )
    # CIBA Core 10.2: after a ping the tokens are there, or the refusal is.
    return (yield from (poll_ciba_token(request) if came is not None else wait_for_ciba_token(request, started)))


def _check_notification(came: CibaNotification, started: BackchannelAuthenticationResponse) -> None:
    if not _same(came.auth_req_id, started.auth_req_id):
        raise _another_request("The notification is about another request")
    if came.kind == "error":
        raise TokenRequestException(
            f"The provider refused: {came.error}" + (f" ({came.error_description})" if came.error_description else ""),
            error=came.error,
            error_description=came.error_description,
            code="request_refused",
        )


def _pushed(came: CibaNotification, wall: float) -> TokenResponse:
    return TokenResponse(
        True,
        access_token=came.access_token or "",
        token_type=came.token_type or "",
        expires_at=None if came.expires_in is None else wall + came.expires_in,
        refresh_token=came.refresh_token,
        id_token=came.id_token,
        scope=came.scope,
    )


def _check_request(
    claims: Claims,
    started: BackchannelAuthenticationResponse,
    response: LoginResponse,
    notification: CibaNotification | None,
) -> None:
    """Refuse an ID token that answers another request (CIBA Core 10.3.1)."""
    if notification is not None and notification.kind == "push":
        validate_ciba_push(replace(notification, id_token=response.id_token_hint), claims)
    elif AUTH_REQ_ID_CLAIM in claims and not _same(claims[AUTH_REQ_ID_CLAIM], started.auth_req_id):
        raise _another_request("The ID token belongs to another request")


def _same(actual: object, expected: str | None) -> bool:
    return isinstance(actual, str) and expected is not None and same_text(actual, expected)


_another_request = partial(
    refused, IdTokenValidationException, "auth_req_id_mismatch", claim=AUTH_REQ_ID_CLAIM, token_part="payload"
)


__all__ = ["CibaLoginRequest", "begin_ciba", "complete_ciba"]
