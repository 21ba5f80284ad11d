"""Device authorization grant: a person approves on another device, while this one asks again and again (RFC 8628).

:func:`poll_until_decided` also serves CIBA, which polls by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from ...exceptions import PyIdentityModelException, TokenRequestException, TransportException
from ..base.flow import Flow, Reply, now, send, sleep
from ..base.provider_words import secrets_of
from ..base.response import GUARDED, BaseResponse, answered
from ..base.scopes import Scopes, scope_text
from ..base.secret import CurrentSecret, Secret
from ..base.transport import TRANSIENT
from ..base.urls import is_loopback
from .client_auth import MtlsClientAuth, PrivateKeyJwt
from .form_post import build_client_request, ready
from .grants import Grant, GrantRequest, Pairs, TokenRequest, build_grant_parameters, request_token, required
from .token_response import TokenResponse, parse_json_answer, read_seconds, read_text, require_text, unusable

R = TypeVar("R", bound=TokenResponse)

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"

#: RFC 8628 3.2, 3.5: seconds between polls if the provider names none, and what ``slow_down`` adds.
DEFAULT_INTERVAL = 5
SLOW_DOWN = 5
#: The longest pause that failures lead to, in seconds, where the interval itself is not longer.
MAX_BACK_OFF = 60.0
#: RFC 8628 3.5, CIBA Core 11: the answers after which there is nothing left to wait for, whatever their HTTP status.
_DECIDED = frozenset({"access_denied", "expired_token"})

_WHAT = "device authorization endpoint"
_ADDRESS = re.compile(r"[\x21-\x7e]{1,2048}\Z")


@dataclass(repr=False)
class DeviceAuthorizationRequest(GrantRequest):
    """Ask for a code that a person enters on another device (RFC 8628 3.1)."""

    client_id: str
    scope: Scopes = "openid"
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None


@dataclass(repr=False)
class DeviceAuthorizationResponse(BaseResponse):
    """What to show to the person, and what to poll with (RFC 8628 3.2).

    Attributes:
        device_code: What to poll with.
        user_code: What the person enters.
        verification_uri: Where the person enters it.
        verification_uri_complete: The same with the code in it, for a QR code.
        expires_in: Seconds until both codes expire.
        interval: Seconds between polls.
        expires_at: When both codes expire, in seconds since 1970.
        asked_at: When it was asked for, in seconds since 1970: no ID token that answers is older.
        scope: The scope that was asked for.
    """

    device_code: str = GUARDED
    user_code: str = GUARDED
    verification_uri: str = GUARDED
    verification_uri_complete: str | None = None
    expires_in: int = GUARDED
    interval: int = GUARDED
    expires_at: float = field(default=GUARDED, kw_only=True)
    asked_at: float | None = field(default=None, kw_only=True)
    scope: str | None = field(default=None, kw_only=True)

    _guarded: ClassVar[frozenset[str]] = frozenset(
        {"device_code", "user_code", "verification_uri", "verification_uri_complete"}
        | {"expires_in", "interval", "expires_at", "asked_at", "scope"}
    )
    _redacted: ClassVar[frozenset[str]] = frozenset({"device_code"})


@dataclass(repr=False)
class DeviceTokenRequest(TokenRequest):
    """Ask whether the person has decided (RFC 8628 3.4)."""

    client_id: str
    device_code: str | Secret
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None

    _redacted = TokenRequest._redacted | {"device_code"}


@dataclass(repr=False, init=False)
class DeviceTokenResponse(TokenResponse):
    """Tokens, or why there are none yet.

    Attributes:
        error_code: ``authorization_pending`` and ``slow_down`` ask for patience; anything else is final.
        interval: Seconds between polls from now on, if the provider changed them.
    """

    error_code: str | None = None
    error_description: str | None = field(default=None, kw_only=True)
    interval: int | None = None

    # As published, which is not as in the base.
    __match_args__ = ("is_successful", "error", "token", "error_code", "interval")  # pyright: ignore[reportAssignmentType] # see above

    def __init__(
        self,
        is_successful: bool,
        error: str | None = None,
        token: dict[str, Any] = GUARDED,
        error_code: str | None = None,  # elsewhere by name only, published here by position
        interval: int | None = None,
        *,
        error_description: str | None = None,
        error_uri: str | None = None,
        status_code: int | None = None,
        exception: PyIdentityModelException | None = None,
        access_token: str = GUARDED,
        token_type: str = GUARDED,
        expires_at: float | None = None,
        refresh_token: str | None = None,
        id_token: str | None = None,
        scope: str | None = None,
        authorization_details: list[dict[str, Any]] | None = None,
        issued_token_type: str | None = None,
        raw: str | None = None,
    ) -> None:
        super().__init__(
            is_successful,
            error,
            token,
            error_uri=error_uri,
            status_code=status_code,
            exception=exception,
            access_token=access_token,
            token_type=token_type,
            expires_at=expires_at,
            refresh_token=refresh_token,
            id_token=id_token,
            scope=scope,
            authorization_details=authorization_details,
            issued_token_type=issued_token_type,
            raw=raw,
        )
        self.error_code, self.error_description, self.interval = error_code, error_description, interval


def request_device_authorization(request: DeviceAuthorizationRequest) -> Flow[DeviceAuthorizationResponse]:
    """Ask for a device code and a user code. Not repeated: each answer opens another approval."""
    return (yield from answered(DeviceAuthorizationResponse, lambda: _authorize(request)))


def _authorize(request: DeviceAuthorizationRequest) -> Flow[DeviceAuthorizationResponse]:
    wall = (yield from now()).wall
    known = yield from ready(request)
    reply = yield from send(build_client_request(known, build_grant_parameters(request, request.scope), wall))
    answer = parse_json_answer(reply, what=_WHAT, secrets=secrets_of(request), wall=wall)
    insecure = request.allow_insecure_http
    return parse_device_authorization(answer, reply, wall, scope_text(request.scope), allow_insecure_http=insecure)


def parse_device_authorization(
    answer: dict[str, Any],
    reply: Reply,
    wall: float,
    scope: str | None = None,
    *,
    allow_insecure_http: bool = False,
) -> DeviceAuthorizationResponse:
    """Read the answer of a device authorization endpoint (RFC 8628 3.2).

    Raises:
        TokenRequestException: A member is missing or malformed.
    """
    expires_in = read_seconds(answer, "expires_in", reply)
    if not expires_in:
        raise unusable(reply, "expires_in_missing", "expires_in is missing", _WHAT, claim="expires_in")
    # verification_url is its name in early drafts, which Google still uses.
    early = {"verification_uri": answer.get("verification_url"), **answer}
    page, complete = (
        require_text(early, "verification_uri", reply),
        read_text(answer, "verification_uri_complete", reply),
    )
    for address in (page, complete):
        if address is not None and not _may_be_shown(address, allow_insecure_http):
            raise unusable(reply, "verification_uri_invalid", "the page for the user is no https URL", _WHAT)
    return DeviceAuthorizationResponse(
        True,
        status_code=reply.status,
        device_code=require_text(answer, "device_code", reply),
        user_code=require_text(answer, "user_code", reply),
        verification_uri=page,
        verification_uri_complete=complete,
        expires_in=int(expires_in),
        interval=read_interval(answer, reply),
        expires_at=wall + expires_in,
        asked_at=wall,
        scope=scope,
    )


def read_interval(answer: dict[str, Any], reply: Reply) -> int:
    """Return the seconds between polls, at least one; five if the provider does not tell (RFC 8628 3.2)."""
    interval = read_seconds(answer, "interval", reply)
    return DEFAULT_INTERVAL if interval is None else max(1, -int(-interval // 1))


def _may_be_shown(address: str, allow_insecure_http: bool) -> bool:
    """Tell whether a person may be sent there: a link to a script or to plain http would be a trap."""
    if not _ADDRESS.match(address):
        return False
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    plain = parts.scheme == "http" and (allow_insecure_http or is_loopback(host))
    return bool(host) and "@" not in parts.netloc and (parts.scheme == "https" or plain)


def poll_device_token(request: DeviceTokenRequest) -> Flow[DeviceTokenResponse]:
    """Ask once whether the person has decided."""

    def parameters(wall: float) -> Pairs:
        return [("grant_type", DEVICE_CODE), required("device_code", request.device_code)]

    response = yield from request_token(DeviceTokenResponse, request, Grant(parameters, None, request.dpop_key))
    response.interval = interval_of(response)
    return response


def wait_for_device_token(
    request: DeviceTokenRequest, authorization: DeviceAuthorizationResponse
) -> Flow[DeviceTokenResponse]:
    """Poll until the person has decided or the code expires."""

    def poll() -> Flow[DeviceTokenResponse]:
        return poll_device_token(request)

    def wait() -> Flow[DeviceTokenResponse]:
        interval, expires_at = authorization.interval, authorization.expires_at
        return (yield from poll_until_decided(DeviceTokenResponse, poll, interval, expires_at))

    return (yield from answered(DeviceTokenResponse, wait))


def poll_until_decided(
    kind: type[R], poll: Callable[[], Flow[R]], interval: float | None, expires_at: float | None
) -> Flow[R]:
    """Poll at the pace the provider asks for (RFC 8628 3.5, CIBA Core 11).

    Args:
        kind: The response to make.
        poll: Asks once.
        interval: Seconds between polls.
        expires_at: When there is nothing left to ask for, in seconds since 1970.

    Returns:
        The first answer that is final; a failed response with ``expired_token`` where time ran out.
    """
    clock = yield from now()
    left = (expires_at if expires_at is not None else clock.wall) - clock.wall
    end = clock.steady + left
    pause = interval = max(1.0, interval or DEFAULT_INTERVAL)
    last: TokenResponse | None = None
    while (yield from now()).steady + pause < end:
        yield from sleep(pause)
        response = yield from poll()
        if response.is_successful or not _asks_for_patience(response):
            return response
        last = response
        interval = _next_interval(interval, response)
        # RFC 8628 3.5: after a timeout the client MUST reduce its polling frequency.
        failed = _faltered(response)
        pause = max(interval, min(pause * 2, MAX_BACK_OFF), _asked_for(response)) if failed else interval
    return kind.failed(_out_of_time(last))


def _out_of_time(last: TokenResponse | None) -> TokenRequestException:
    """Return the exception for a request that expired; where asking failed at last, it tells why, and is its cause."""
    failure = last.exception if last is not None and _faltered(last) else None
    expired = TokenRequestException(
        "Nobody approved the request in time" + (f"; asking failed at last: {failure.message}" if failure else ""),
        None,
        None if last is None else last.status_code,
        {} if failure is None else {"last_code": failure.code, "last_error": getattr(failure, "error", None)},
        error="expired_token",
        code="authorization_expired",
        claim="expires_in",
        hint="the provider may be away, and the person may have approved" if failure else None,
    )
    expired.__cause__ = failure
    return expired


def _asks_for_patience(response: TokenResponse) -> bool:
    return response.error_code in ("authorization_pending", "slow_down") or _faltered(response)


def _faltered(response: TokenResponse) -> bool:
    error = response.exception
    if isinstance(error, TransportException):
        return error.code in TRANSIENT
    status = response.status_code or 0
    return (status >= 500 or status == 429) and response.error_code not in _DECIDED


def _asked_for(response: TokenResponse) -> float:
    return getattr(response.exception, "retry_after", None) or 0.0


def _next_interval(interval: float, response: TokenResponse) -> float:
    if response.error_code != "slow_down":
        return interval
    # RFC 8628 3.5: the interval MUST be increased by 5 seconds for this and all subsequent requests.
    return max(interval + SLOW_DOWN, interval_of(response) or 0)


def interval_of(response: TokenResponse) -> int | None:
    """Return the interval that a provider sent together with its error."""
    return response.exception.details.get("interval") if response.exception else None


__all__ = [
    "DEFAULT_INTERVAL",
    "DEVICE_CODE",
    "DeviceAuthorizationRequest",
    "DeviceAuthorizationResponse",
    "DeviceTokenRequest",
    "DeviceTokenResponse",
    "interval_of",
    "parse_device_authorization",
    "poll_device_token",
    "poll_until_decided",
    "read_interval",
    "request_device_authorization",
    "wait_for_device_token",
]
