"""A login without a browser of its own: the user approves on another device (RFC 8628), and the ID token is validated.

The operations of the grant itself are in :mod:`.._core.client.device`; here they begin and end with a login client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._refusals import must_be
from ...exceptions import ConfigurationException
from ..base.flow import Flow
from ..base.header_lists import words
from ..base.response import answered
from ..base.scopes import Scopes, scope_text
from ..base.secret import Redacted
from ..client.device import (
    DeviceAuthorizationRequest,
    DeviceAuthorizationResponse,
    DeviceTokenRequest,
    DeviceTokenResponse,
    request_device_authorization,
    wait_for_device_token,
)
from ..client.token_response import TokenResponse
from ..validation.id_token import IdTokenExpectation
from .client import LoginClient, LoginServices, endpoint_of, provider_metadata
from .response import LoginResponse, check_user, made_of, validated


@dataclass(frozen=True, kw_only=True, repr=False)
class DeviceLoginRequest(Redacted):
    """What is special about one login on another device.

    Attributes:
        scope: Scopes in place of the client's.
        resource: Where the tokens will be used (RFC 8707).
        authorization_details: What exactly is asked for (RFC 9396).
        extra: Further parameters, such as ``code_challenge`` where the provider demands one.
    """

    scope: Scopes | None = None
    resource: str | Sequence[str] | None = None
    authorization_details: Sequence[Mapping[str, Any]] | None = None
    extra: Mapping[str, str] | None = None

    _redacted = frozenset({"extra"})


@dataclass(frozen=True, kw_only=True, repr=False)
class Expected(Redacted):
    """What the end of a login without a browser is held to, besides what was asked.

    Attributes:
        sub: The user that has to come back; None if anyone may.
        acr_values: The authentication contexts that will do; None if any will.
        extra: Further parameters of the token request.
    """

    sub: str | None = None
    acr_values: tuple[str, ...] | None = None
    extra: Mapping[str, str] | None = None

    _redacted = frozenset({"extra"})


def begin_device_login(
    client: LoginClient, request: DeviceLoginRequest, services: LoginServices
) -> Flow[DeviceAuthorizationResponse]:
    """Ask the provider for the codes that the user approves with."""

    def begin() -> Flow[DeviceAuthorizationResponse]:
        scope = client.scope if request.scope is None else request.scope
        client.check_scope(scope)
        metadata = yield from provider_metadata(client, services)
        asked = DeviceAuthorizationRequest(
            endpoint_of(client, metadata, "device_authorization_endpoint"),
            scope=scope,
            resource=request.resource,
            authorization_details=request.authorization_details,
            extra=request.extra,
            **client.credentials(metadata),
        )
        return (yield from request_device_authorization(asked))

    return (yield from answered(DeviceAuthorizationResponse, begin))


def complete_device_login(
    client: LoginClient,
    started: DeviceAuthorizationResponse,
    tokens: DeviceTokenResponse | None,
    expected: Expected,
    services: LoginServices,
) -> Flow[LoginResponse]:
    """Poll until the user has decided, unless the tokens came already, and validate the ID token."""

    def complete() -> Flow[LoginResponse]:
        started.raise_for_error()
        expectation = IdTokenExpectation(asked_at=asked_at(started), acr_values=expected.acr_values)
        came = tokens
        if came is None:
            metadata = yield from provider_metadata(client, services)
            request = DeviceTokenRequest(
                endpoint_of(client, metadata, "token_endpoint"),
                device_code=started.device_code or "",
                dpop_key=client.dpop_key,
                extra=expected.extra,
                **client.credentials(metadata),
            )
            came = yield from wait_for_device_token(request, started)
        return (yield from logged_in(client, came, started.scope, expectation, expected, services))

    return (yield from ended(complete))


def ended(flow: Any) -> Flow[LoginResponse]:
    """Run the end of a login; one that failed can only be begun anew, unless the settings are what is wrong."""
    response = yield from answered(LoginResponse, flow)
    if response.exception is not None and not isinstance(response.exception, ConfigurationException):
        response.exception.needs_new_login = True
    return response


def asked_at(started: Any) -> float:
    """Return when the user was asked to approve, in seconds since 1970.

    Raises:
        ConfigurationException: It is not known: no ID token could be told from an old one.
    """
    asked = started.asked_at
    if asked is None and started.expires_at is not None and started.expires_in is not None:
        asked = started.expires_at - started.expires_in
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        raise must_be("asked_at", "the time at which the user was asked to approve", asked)
    return float(asked)


def logged_in(
    client: LoginClient,
    tokens: TokenResponse,
    scope: str | None,
    expectation: IdTokenExpectation,
    expected: Expected,
    services: LoginServices,
) -> Flow[LoginResponse]:
    """Validate the ID token that came with *tokens*, and return who logged in.

    Raises:
        PyIdentityModelException: Whatever *tokens* failed with, or why the ID token is refused.
    """
    tokens.raise_for_error()
    scope = scope_text(client.scope) if scope is None else scope
    claims = None
    if "openid" in words(scope) or client.issuer_template is not None:
        claims = yield from validated(client, tokens.id_token, expectation_of(expectation, tokens), services)
    check_user(expected.sub, claims)
    return made_of(client, tokens, claims, scope)


def expectation_of(expectation: IdTokenExpectation, tokens: TokenResponse) -> IdTokenExpectation:
    """Return what is expected of the ID token, bound to the access token that came along."""
    return IdTokenExpectation(
        access_token=tokens.access_token,
        hashes_required=expectation.hashes_required,
        acr_values=expectation.acr_values,
        asked_at=expectation.asked_at,
    )


__all__ = [
    "DeviceLoginRequest",
    "Expected",
    "asked_at",
    "begin_device_login",
    "complete_device_login",
    "ended",
    "logged_in",
]
