"""Client-initiated backchannel authentication: a person approves elsewhere (OpenID Connect CIBA Core 1.0).

Poll and ping end at the token endpoint; ping and push arrive at the client's notification endpoint.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ..._refusals import bounded
from ...exceptions import (
    ConfigurationException,
    printable,
)
from ..base.flow import Flow, Reply, now, send
from ..base.header_lists import words
from ..base.provider_words import secrets_of
from ..base.response import GUARDED, BaseResponse, answered
from ..base.scopes import Scopes, scope_text
from ..base.secret import CurrentSecret, Secret, exposed
from ..jose.signing_keys import SigningKey
from .assertions import check_lifetime, read_signing_key, sign_assertion
from .client_auth import MtlsClientAuth, PrivateKeyJwt
from .device import interval_of, poll_until_decided, read_interval
from .form_post import build_client_request, ready
from .grants import Grant, GrantRequest, Pairs, TokenRequest, build_grant_parameters, request_token, required
from .token_response import TokenResponse, parse_json_answer, read_seconds, require_text, unusable

CIBA = "urn:openid:params:grant-type:ciba"
_WHAT = "backchannel authentication endpoint"

# CIBA Core 7.1: b64token of RFC 6750 2.1, at most 1024 characters; 22 characters of base64url hold 128 bits.
_NOTIFICATION_TOKEN = re.compile(r"(?=.{22,1024}\Z)[A-Za-z0-9._~+/-]+=*\Z")


@dataclass(repr=False)
class BackchannelAuthenticationRequest(GrantRequest):
    """Ask a provider to have a person approve (CIBA Core 7.1).

    Exactly one of ``login_hint``, ``login_hint_token`` and ``id_token_hint`` says who the person is.

    Attributes:
        login_hint: Whom to ask, in words.
        login_hint_token: Whom to ask, as a token.
        id_token_hint: Whom to ask, by an ID token of theirs.
        binding_message: Shown on both devices, so that the person can compare.
        user_code: A secret the person told, where the provider wants one.
        acr_values: The authentication contexts asked for, separated by spaces.
        requested_expiry: For how many seconds the person may take their time.
        client_notification_token: What the provider shows at the notification endpoint, for ping and push; see
            :func:`generate_client_notification_token`.
        request_key: Signs all parameters as one request object (CIBA Core 7.1.1); needs ``issuer``.
        request_lifetime: Seconds until the request object expires, 1 to 3600.
    """

    client_id: str
    scope: Scopes = "openid"
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None
    login_hint: str | None = field(default=None, kw_only=True)
    login_hint_token: str | Secret | None = field(default=None, kw_only=True)
    id_token_hint: str | Secret | None = field(default=None, kw_only=True)
    binding_message: str | None = field(default=None, kw_only=True)
    user_code: str | Secret | None = field(default=None, kw_only=True)
    acr_values: str | None = field(default=None, kw_only=True)
    requested_expiry: int | None = field(default=None, kw_only=True)
    client_notification_token: str | Secret | None = field(default=None, kw_only=True)
    request_key: SigningKey | PrivateKeyJwt | None = field(default=None, kw_only=True, repr=False)
    request_lifetime: int = field(default=300, kw_only=True)

    _redacted = GrantRequest._redacted | {
        "login_hint_token",
        "id_token_hint",
        "user_code",
        "client_notification_token",
    }


@dataclass(repr=False)
class BackchannelAuthenticationResponse(BaseResponse):
    """What to poll with, or to wait for a notification about (CIBA Core 7.3).

    Attributes:
        auth_req_id: The name of the request.
        expires_in: Seconds until it expires.
        interval: Seconds between polls.
        expires_at: When it expires, in seconds since 1970.
        asked_at: When it was asked for, in seconds since 1970: no ID token that answers is older.
        scope: The scope that was asked for.
    """

    auth_req_id: str = GUARDED
    expires_in: int = GUARDED
    interval: int | None = None
    expires_at: float = field(default=GUARDED, kw_only=True)
    asked_at: float | None = field(default=None, kw_only=True)
    scope: str | None = field(default=None, kw_only=True)

    _guarded: ClassVar[frozenset[str]] = frozenset(
        {"auth_req_id", "expires_in", "interval", "expires_at", "asked_at", "scope"}
    )
    _redacted: ClassVar[frozenset[str]] = frozenset({"auth_req_id"})


@dataclass(repr=False)
class CibaTokenRequest(TokenRequest):
    """Ask whether the person has approved (CIBA Core 10.1)."""

    client_id: str
    auth_req_id: str | Secret
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None

    _redacted = TokenRequest._redacted | {"auth_req_id"}


@dataclass(repr=False)
class CibaTokenResponse(TokenResponse):
    """Tokens, or why there are none yet: ``authorization_pending`` and ``slow_down`` ask for patience.

    Attributes:
        id_token: The ID token, **not yet validated**; CIBA always brings one.
        interval: Seconds between polls from now on, if the provider changed them.
    """

    id_token: str = field(default=GUARDED, kw_only=True)  # pyright: ignore[reportIncompatibleVariableOverride] # read only
    interval: int | None = field(default=None, kw_only=True)


def generate_client_notification_token() -> str:
    """Return a new token for notifications: 256 bits of randomness.

    >>> len(generate_client_notification_token())
    43
    """
    return secrets.token_urlsafe(32)


# ---------------------------------------------------------------------------------------------------------------------
# What goes out


def build_backchannel_parameters(request: BackchannelAuthenticationRequest, wall: float) -> Pairs:
    """Build the parameters of an authentication request, signed if there is a ``request_key``.

    Raises:
        ConfigurationException: The request breaks a rule of CIBA Core 7.1.
    """
    _check_request(request)
    pairs = [
        *build_grant_parameters(request, request.scope),
        ("client_notification_token", request.client_notification_token),
        ("acr_values", request.acr_values),
        ("login_hint_token", request.login_hint_token),
        ("id_token_hint", request.id_token_hint),
        ("login_hint", request.login_hint),
        ("binding_message", request.binding_message),
        ("user_code", request.user_code),
        ("requested_expiry", None if request.requested_expiry is None else str(request.requested_expiry)),
    ]
    return [("request", _request_object(request, pairs, wall))] if request.request_key else pairs


def _check_request(request: BackchannelAuthenticationRequest) -> None:
    hints = [request.login_hint, request.login_hint_token, request.id_token_hint]
    if sum(hint is not None for hint in hints) != 1:
        raise ConfigurationException(
            "Exactly one of login_hint, login_hint_token and id_token_hint is needed (CIBA Core 7.1)",
            code="login_hint_ambiguous",
            claim="login_hint",
        )
    if "openid" not in words(scope_text(request.scope)):
        raise ConfigurationException(
            "scope must contain openid (CIBA Core 7.1)", code="scope_openid_missing", claim="scope"
        )
    token = request.client_notification_token
    if token is not None and not _NOTIFICATION_TOKEN.match(exposed(token)):
        raise ConfigurationException(
            "client_notification_token must be a bearer token of at least 128 bits and at most 1024 characters",
            code="client_notification_token_invalid",
            claim="client_notification_token",
            hint="use generate_client_notification_token()",
        )
    if (expiry := request.requested_expiry) is not None:
        bounded(expiry, "requested_expiry", int, 1, 2**31, unit="seconds", code="requested_expiry_invalid")


def _request_object(request: BackchannelAuthenticationRequest, pairs: Pairs, wall: float) -> str:
    if not request.issuer:
        raise ConfigurationException(
            "A signed request needs the issuer as its audience (CIBA Core 7.1.1)", code="issuer_missing", claim="issuer"
        )
    check_lifetime(request.request_lifetime)
    key = request.request_key
    assert key is not None
    claims = {
        **_claims_of([*pairs, *_extra_of(request, pairs)]),
        "iss": request.client_id,
        "aud": request.issuer,
        "iat": int(wall),
        "nbf": int(wall),
        "exp": int(wall) + request.request_lifetime,
        "jti": secrets.token_urlsafe(24),
    }
    signer = key.signing_key() if isinstance(key, PrivateKeyJwt) else read_signing_key(key, key.alg, key.kid)
    return sign_assertion(claims, signer, typ=None)


#: What a request object says by itself, and what stands beside it.
_NOT_EXTRA = frozenset({"iss", "aud", "iat", "nbf", "exp", "jti", "request", "client_id", "client_secret"})


def _extra_of(request: BackchannelAuthenticationRequest, pairs: Pairs) -> Pairs:
    taken = _NOT_EXTRA | {name for name, value in pairs if value is not None}
    for name in request.extra or {}:
        if name in taken:
            raise ConfigurationException(
                f"extra must not set {printable(name)}", code="parameter_reserved", claim=printable(name)
            )
    return list((request.extra or {}).items())


def _claims_of(pairs: Pairs) -> dict[str, Any]:
    given = [(name, exposed(value)) for name, value in pairs if value is not None]
    claims: dict[str, Any] = dict(given)
    resources = [value for name, value in given if name == "resource"]
    if len(resources) > 1:
        claims["resource"] = resources
    if "authorization_details" in claims:  # RFC 9396 3: in a request object it is JSON, not text
        claims["authorization_details"] = json.loads(claims["authorization_details"])
    return claims


# ---------------------------------------------------------------------------------------------------------------------
# Flows


def request_backchannel_authentication(
    request: BackchannelAuthenticationRequest,
) -> Flow[BackchannelAuthenticationResponse]:
    """Ask the provider to have a person approve. Sent once: each request rings the person's device."""
    return (yield from answered(BackchannelAuthenticationResponse, lambda: _authenticate(request)))


def _authenticate(request: BackchannelAuthenticationRequest) -> Flow[BackchannelAuthenticationResponse]:
    wall = (yield from now()).wall
    # CIBA Core 7.1.1: authentication request parameters MUST NOT be present outside of the JWT.
    known = yield from ready(request)
    bare = replace(known, extra=None) if request.request_key else known
    reply = yield from send(build_client_request(bare, build_backchannel_parameters(request, wall), wall))
    answer = parse_json_answer(reply, what=_WHAT, secrets=secrets_of(request), wall=wall)
    return parse_backchannel_authentication(answer, reply, wall, scope_text(request.scope))


def parse_backchannel_authentication(
    answer: dict[str, Any], reply: Reply, wall: float, scope: str | None = None
) -> BackchannelAuthenticationResponse:
    """Read the answer to an authentication request (CIBA Core 7.3).

    Raises:
        TokenRequestException: ``auth_req_id`` or ``expires_in`` is missing, or a member is malformed.
    """
    auth_req_id = require_text(answer, "auth_req_id", reply)
    expires_in = read_seconds(answer, "expires_in", reply)
    if not expires_in:
        raise unusable(reply, "expires_in_missing", "expires_in is missing", _WHAT, claim="expires_in")
    interval = read_interval(answer, reply)
    return BackchannelAuthenticationResponse(
        True,
        status_code=reply.status,
        auth_req_id=auth_req_id,
        expires_in=int(expires_in),
        interval=interval,
        expires_at=wall + expires_in,
        asked_at=wall,
        scope=scope,
    )


def poll_ciba_token(request: CibaTokenRequest) -> Flow[CibaTokenResponse]:
    """Ask once whether the person has approved; also what a ping asks for."""

    def parameters(wall: float) -> Pairs:
        return [("grant_type", CIBA), required("auth_req_id", request.auth_req_id)]

    # OpenID Connect Core 3.1.3.3, by CIBA Core 10.1.1: an ID token is always part of the answer.
    grant = Grant(parameters, None, request.dpop_key, requires=("id_token",))
    response = yield from request_token(CibaTokenResponse, request, grant)
    response.interval = interval_of(response)
    return response


def wait_for_ciba_token(
    request: CibaTokenRequest, authentication: BackchannelAuthenticationResponse
) -> Flow[CibaTokenResponse]:
    """Poll until the person has decided or the request expires."""

    def poll() -> Flow[CibaTokenResponse]:
        return poll_ciba_token(request)

    def wait() -> Flow[CibaTokenResponse]:
        interval, expires_at = authentication.interval, authentication.expires_at
        return (yield from poll_until_decided(CibaTokenResponse, poll, interval, expires_at))

    return (yield from answered(CibaTokenResponse, wait))


__all__ = [
    "CIBA",
    "BackchannelAuthenticationRequest",
    "BackchannelAuthenticationResponse",
    "CibaTokenRequest",
    "CibaTokenResponse",
    "build_backchannel_parameters",
    "generate_client_notification_token",
    "parse_backchannel_authentication",
    "poll_ciba_token",
    "request_backchannel_authentication",
    "wait_for_ciba_token",
]
