"""What a provider sends to the client's notification endpoint, in the ping and push modes (CIBA Core 10.2, 10.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from ..._arguments import explains_arguments
from ..._refusals import because, refused
from ...exceptions import (
    ConfigurationException,
    IdTokenValidationException,
    InvalidRequestException,
    TokenRequestException,
    ValidationException,
)
from ..base.flow import Reply, media_type_of
from ..base.provider_words import provider_words
from ..base.secret import Redacted, Secret, exposed, same_text
from ..base.strict_json import StrictJSONError, loads_object
from ..jose.jws import half_hash, parse_compact
from .token_response import read_tokens, require_text

#: CIBA Core 10.3.1: what binds a pushed ID token to the rest of the push.
AUTH_REQ_ID_CLAIM = "urn:openid:params:jwt:claim:auth_req_id"
RT_HASH_CLAIM = "urn:openid:params:jwt:claim:rt_hash"

MAX_NOTIFICATION = 131072

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)\Z", re.IGNORECASE)


@dataclass(frozen=True, repr=False)
class CibaNotification(Redacted):
    """What a provider sent to the notification endpoint, its bearer token already checked (CIBA Core 10.2, 10.3).

    Attributes:
        kind: ``ping``: ask the token endpoint now. ``push``: here are the tokens. ``error``: it ended without tokens.
        auth_req_id: The request it is about.
        access_token: The access token of a push.
        token_type: How to use it.
        refresh_token: The refresh token of a push.
        expires_in: Seconds until the access token expires.
        id_token: The ID token of a push. Validate it, then give its claims to :func:`validate_ciba_push`.
        scope: The scope granted, if the provider told.
        error: Why there are no tokens.
        error_description: The same in the provider's words.
    """

    kind: str
    auth_req_id: str
    access_token: str | None = None
    token_type: str | None = None
    refresh_token: str | None = None
    expires_in: float | None = None
    id_token: str | None = None
    scope: str | None = None
    error: str | None = None
    error_description: str | None = None

    _redacted: ClassVar[frozenset[str]] = frozenset({"auth_req_id", "access_token", "refresh_token", "id_token"})


#: The token that belongs to an ``auth_req_id``, None if nothing does.
ExpectedToken = str | Secret | Callable[[str], str | Secret | None]


@explains_arguments
def parse_ciba_notification(
    headers: Mapping[str, str] | tuple[tuple[str, str], ...] | list[tuple[str, str]],
    body: bytes,
    expected_token: ExpectedToken,
) -> CibaNotification:
    """Read what arrived at the client's notification endpoint (CIBA Core 10.2, 10.3).

    Answer 204 after a ping or push that was read, and with ``error.client_error.status`` after a refusal.

    Args:
        headers: The HTTP headers of the request.
        body: Its body.
        expected_token: The ``client_notification_token`` that was sent, or a function that finds it by ``auth_req_id``.

    Returns:
        The notification. Tokens of a push still want :func:`validate_ciba_push`.

    Raises:
        ValidationException: The bearer token is not the expected one (``client_notification_token_mismatch``).
        InvalidRequestException: The body is no notification (``ciba_notification_invalid``).

    >>> headers = {"Authorization": "Bearer 8d67dc78-7faa-4d41-aabd-67707b374255", "Content-Type": "application/json"}
    >>> body = b'{"auth_req_id": "1c266114-a1be-4252-8ad1-04986c5b9ac1"}'
    >>> parse_ciba_notification(headers, body, "8d67dc78-7faa-4d41-aabd-67707b374255").kind
    'ping'
    """
    pairs = list(headers) if isinstance(headers, tuple | list) else list(headers.items())
    presented = _bearer(pairs)
    if isinstance(expected_token, str | Secret):
        _check_bearer(presented, expected_token)
    members = _members(pairs, body)
    auth_req_id = members.get("auth_req_id")
    if not isinstance(auth_req_id, str) or not auth_req_id:
        raise _refused("auth_req_id is missing")
    if not isinstance(expected_token, str | Secret):
        _check_bearer(presented, expected_token(auth_req_id))
    return _notification(auth_req_id, members)


def _values(pairs: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in pairs if key.lower() == name]


def _bearer(pairs: list[tuple[str, str]]) -> str | None:
    values = _values(pairs, "authorization")
    match = _BEARER.match(values[0].strip()) if len(values) == 1 else None
    return match[1] if match else None


def _check_bearer(presented: str | None, expected: str | Secret | None) -> None:
    wanted = exposed(expected) if expected is not None else ""
    if not presented or not wanted or not same_text(presented, wanted):
        raise ValidationException(
            "The notification does not carry the token that was agreed on (CIBA Core 10.2)",
            code="client_notification_token_mismatch",
            claim="authorization",
        )


def _members(pairs: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    content_types = {media_type_of(value) for value in _values(pairs, "content-type")}
    if content_types != {"application/json"}:
        raise _refused("its content type is not application/json")
    try:
        return loads_object(body, max_size=MAX_NOTIFICATION)
    except StrictJSONError as error:
        raise _refused(error.reason) from None


def _notification(auth_req_id: str, members: dict[str, Any]) -> CibaNotification:
    if "error" in members:
        error = provider_words(members["error"])
        if error is None or "access_token" in members or "id_token" in members:
            raise _refused("an error must be text and come without tokens")
        return CibaNotification(
            "error", auth_req_id, error=error, error_description=provider_words(members.get("error_description"))
        )
    if set(members) == {"auth_req_id"}:
        return CibaNotification("ping", auth_req_id)
    # CIBA Core 10.3.1: a push is a token response, with an ID token, around the auth_req_id.
    reply = Reply(200)
    try:
        tokens = read_tokens(members, reply, 0.0)
        id_token = require_text(members, "id_token", reply)
    except TokenRequestException as error:
        raise _refused(f"{error.claim} is missing or malformed") from None
    return CibaNotification(
        "push",
        auth_req_id,
        access_token=tokens["access_token"],
        token_type=tokens["token_type"],
        refresh_token=tokens["refresh_token"],
        expires_in=tokens["expires_at"],
        id_token=id_token,
        scope=tokens["scope"],
    )


_refused = partial(because, InvalidRequestException, "ciba_notification_invalid", "This is no CIBA notification")


@explains_arguments
def validate_ciba_push(notification: CibaNotification, claims: Mapping[str, Any], *, crv: str | None = None) -> None:
    """Refuse pushed tokens that do not belong together (CIBA Core 10.3.1).

    Args:
        notification: The push.
        claims: The claims of its ID token, **validated**.
        crv: The curve of the key of the ID token, where its algorithm is ``EdDSA``; Ed25519 if it is not given.

    Raises:
        IdTokenValidationException: The ID token is for another ``auth_req_id`` (``auth_req_id_mismatch``), or a hash is
            missing (``hash_missing``) or belongs to another token (``hash_mismatch``).
    """
    if notification.kind != "push" or notification.id_token is None:
        raise ConfigurationException("Only a push has tokens", code="ciba_push_needed", actual=notification.kind)
    alg = parse_compact(notification.id_token).header["alg"]
    if not _same(claims.get(AUTH_REQ_ID_CLAIM), notification.auth_req_id):
        raise _mismatch("auth_req_id_mismatch", "The ID token belongs to another request", AUTH_REQ_ID_CLAIM)
    for claim, token in (("at_hash", notification.access_token), (RT_HASH_CLAIM, notification.refresh_token)):
        if token is None:
            continue
        if claim not in claims:
            raise _mismatch("hash_missing", f"The ID token lacks {claim}", claim)
        if not _same(claims[claim], half_hash(alg, token, crv)):
            raise _mismatch("hash_mismatch", f"{claim} does not fit the token it came with", claim)


def _same(actual: object, expected: str) -> bool:
    return isinstance(actual, str) and same_text(actual, expected)


_mismatch = partial(refused, IdTokenValidationException, token_part="payload")


__all__ = [
    "AUTH_REQ_ID_CLAIM",
    "RT_HASH_CLAIM",
    "CibaNotification",
    "ExpectedToken",
    "parse_ciba_notification",
    "validate_ciba_push",
]
