"""UserInfo: what the provider tells about the user, plain, signed or encrypted (OpenID Connect Core 5.3).

The access token travels in the header only (RFC 6750 2.1, RFC 9449 7.1).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...exceptions import ConfigurationException, TokenValidationException, UserInfoException, printable
from ...observability import emit
from ...settings import Settings
from ..base.exchanges import once_more
from ..base.flow import Flow, Reply, Request, get, now, send
from ..base.header_fields import with_fields
from ..base.provider_words import provider_words, secrets_of
from ..base.response import GUARDED, BaseRequest, BaseResponse, answered, by_backchannel
from ..base.secret import Secret, exposed
from ..base.strict_json import StrictJSONError, loads_object
from ..base.transport import bare
from ..base.urls import origin, parse_url
from ..binding.challenges import challenges_of
from ..binding.dpop_client import DPoPKey, send_with_dpop
from ..validation.claim_checks import Claims
from ..validation.config import Validators
from ..validation.signed_response import SignedResponsePolicy, verify_signed
from ..validation.token_kinds import USERINFO_RESPONSE
from .client_auth import MtlsClientAuth
from .token_response import refusal

#: The media type of signed answers (OpenID Connect Core 5.3.2).
USERINFO_JWT = "application/jwt"

_WHAT = "UserInfo endpoint"
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}\Z")


@dataclass(repr=False)
class UserInfoRequest(BaseRequest):
    """Ask for the claims about the user (OpenID Connect Core 5.3.1).

    Attributes:
        token: The access token.
        expected_sub: The ``sub`` of the validated ID token. Without it, an answer about another user goes unnoticed.
        dpop_key: The key that the token is bound to, if it is (RFC 9449).
        mtls: The certificate that the token is bound to, if it is (RFC 8705 3).
        signed_response: Demand a signed, and perhaps encrypted, answer, as the client is registered.
        headers: Further header fields, such as ``x-fapi-interaction-id``.
        allow_insecure_http: Whether the token may travel over plain http to another machine.
    """

    token: str | Secret
    expected_sub: str | None = None
    dpop_key: DPoPKey | None = None
    mtls: MtlsClientAuth | None = None
    signed_response: SignedResponsePolicy | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] | None = field(default=None, kw_only=True)
    allow_insecure_http: bool = field(default=False, kw_only=True)

    _redacted = frozenset({"token", "headers"})


@dataclass(repr=False)
class UserInfoResponse(BaseResponse):
    """The claims about the user.

    Attributes:
        claims: The claims. ``sub`` is always there; compare it with the ID token's if ``expected_sub`` was not given.
        raw: The answer as it came.
    """

    claims: dict[str, Any] = GUARDED
    raw: str = GUARDED

    _guarded: ClassVar[frozenset[str]] = frozenset({"claims", "raw"})
    _redacted: ClassVar[frozenset[str]] = frozenset({"raw"})


# ---------------------------------------------------------------------------------------------------------------------
# What goes out


def build_userinfo(request: UserInfoRequest) -> Request:
    """Build the request to the UserInfo endpoint.

    Raises:
        ConfigurationException: The request cannot be sent as it is.
    """
    parse_url(request.address, "address", require_https=not request.allow_insecure_http)
    token, expected = exposed(request.token), request.expected_sub
    if not isinstance(token, str) or not _TOKEN.match(token):
        raise ConfigurationException("token must be an access token", code="parameter_invalid", claim="token")
    if expected is not None and (not isinstance(expected, str) or not expected):
        raise ConfigurationException(
            "expected_sub must be the sub of the ID token", code="policy_invalid", claim="expected_sub"
        )
    accept = USERINFO_JWT if request.signed_response else "application/json"
    certificate = request.mtls.client_certificate() if request.mtls else None
    made = bearing(request.address, token, accept=accept, certificate=certificate)
    return with_fields(by_backchannel(made, request, require_https=not request.allow_insecure_http), request.headers)


def bearing(address: str, token: str, **facts: Any) -> Request:
    """Build a GET request with a bearer token in its header, and nowhere else."""
    headers = {"Authorization": f"Bearer {token}", "Accept": facts.pop("accept")}
    return get(address, headers, **facts)


# ---------------------------------------------------------------------------------------------------------------------
# What comes in


def parse_userinfo(
    reply: Reply, request: UserInfoRequest, wall: float, validators: Validators, *, login: bool = False
) -> Flow[UserInfoResponse]:
    """Read what a UserInfo endpoint answered, verify it if it must be signed, and compare ``sub``.

    Raises:
        UserInfoException: The provider refused or failed, or its answer must not be used.
    """
    if reply.status != 200:
        raise _refused(reply, request, wall)
    policy = request.signed_response
    _check_content_type(reply, USERINFO_JWT if policy else "application/json")
    if policy is None:
        claims = _plain_claims(reply)
        raw = reply.body.decode()
    else:
        raw = reply.body.decode("ascii", "replace").strip()
        claims = yield from _verified(raw, policy, reply, validators, login)
    _check_subject(claims, request, reply)
    return UserInfoResponse(True, status_code=reply.status, claims=claims, raw=raw)


def _refused(reply: Reply, request: UserInfoRequest, wall: float) -> UserInfoException:
    said = refusal(reply, _WHAT, secrets_of(request), wall)
    message, error, description = said.message, said.error, said.error_description
    if error is None:
        # RFC 6750 3: the reason stands in the challenge.
        error, description = (_challenged(reply, name, request) for name in ("error", "error_description"))
        if error is not None:
            message = f"The {_WHAT} refused the request: {error}" + (f" ({description})" if description else "")
    code = "request_refused" if error else said.code.replace("token_request_failed", "userinfo_failed")
    return UserInfoException(
        message,
        said.url,
        reply.status,
        code=code,
        error=error,
        error_description=description,
        error_uri=said.error_uri,
        retry_after=said.retry_after,
        hint=_HINTS.get(error or ""),
    )


_HINTS = {
    "invalid_token": "the access token has expired or was revoked, or it was made for another resource",
    "insufficient_scope": "the access token needs the scope openid",
}


def _challenged(reply: Reply, name: str, request: UserInfoRequest) -> str | None:
    for challenge in challenges_of(reply):
        text = challenge.get(name) if challenge.has_scheme("Bearer") or challenge.has_scheme("DPoP") else None
        if text:
            return provider_words(text, secrets_of(request))
    return None


def _check_content_type(reply: Reply, expected: str) -> None:
    media_type = reply.media_type
    if media_type == expected:
        return
    hint = None
    if media_type == USERINFO_JWT:
        hint = "the client is registered for signed answers: say with signed_response what they must be"
    elif expected == USERINFO_JWT:
        hint = "the client is not registered for signed answers (userinfo_signed_response_alg)"
    raise unusable(
        reply,
        "content_type_invalid",
        f"it is not {expected}",
        claim="content-type",
        expected=expected,
        actual=printable(media_type, 60) or "absent",
        hint=hint,
    )


def _plain_claims(reply: Reply) -> Claims:
    try:
        return loads_object(reply.body)
    except StrictJSONError as error:
        raise unusable(reply, "response_unparsable", error.reason) from None


def _verified(
    token: str, policy: SignedResponsePolicy, reply: Reply, validators: Validators, login: bool
) -> Flow[Claims]:
    try:
        return (yield from verify_signed(token, policy, USERINFO_RESPONSE, validators, login=login))
    except TokenValidationException as error:
        facts = {"claim": error.claim, "expected": error.expected, "actual": error.actual, "hint": error.hint}
        raise unusable(reply, error.code, error.message, **facts) from None


def _check_subject(claims: Mapping[str, Any], request: UserInfoRequest, reply: Reply) -> None:
    # OpenID Connect Core 5.3.2: sub MUST always be returned, and MUST exactly match the sub of the ID token.
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        absent = "sub" not in claims
        raise unusable(
            reply,
            "claim_missing" if absent else "claim_type_invalid",
            "sub must be a string that is not empty",
            claim="sub",
            actual="absent" if absent else type(subject).__name__,
        )
    if request.expected_sub is None:
        emit("userinfo_subject_unchecked", logging.WARNING, endpoint=printable(origin(request.address)))
    elif subject != request.expected_sub:
        raise unusable(
            reply,
            "subject_mismatch",
            "it is about another user than the ID token",
            claim="sub",
            expected=printable(request.expected_sub),
            actual=printable(subject),
        )


def unusable(reply: Reply, code: str, reason: str, **facts: Any) -> UserInfoException:
    """Return the exception for an answer that must not be used."""
    url = printable(bare(reply.url)) or None
    return UserInfoException(f"The answer cannot be used: {reason}", url, reply.status, code=code, **facts)


# ---------------------------------------------------------------------------------------------------------------------
# The flow


def get_userinfo(
    request: UserInfoRequest, settings: Settings, validators: Validators, *, login: bool = False
) -> Flow[UserInfoResponse]:
    """Ask for the claims about the user; once more where the network or the provider falters for a moment.

    Part of a *login*, a signed answer waits for a key that is not known yet as the ID token does.
    """

    def ask() -> Flow[UserInfoResponse]:
        reply = yield from once_more(lambda: build_userinfo(request), settings, lambda built: _exchange(built, request))
        return (yield from parse_userinfo(reply, request, (yield from now()).wall, validators, login=login))

    return (yield from answered(UserInfoResponse, ask))


def _exchange(built: Request, request: UserInfoRequest) -> Flow[Reply]:
    key = request.dpop_key
    if key is None:
        return (yield from send(built))
    return (yield from send_with_dpop(lambda _: built, key, key.nonces, access_token=exposed(request.token)))


__all__ = [
    "USERINFO_JWT",
    "UserInfoRequest",
    "UserInfoResponse",
    "bearing",
    "build_userinfo",
    "get_userinfo",
    "parse_userinfo",
    "unusable",
]
