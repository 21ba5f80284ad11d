"""Back-channel logout: the provider tells, past the browser, that a session has ended (Back-Channel Logout 1.0)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qsl

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import bounded, must_be, refused
from ...exceptions import (
    LogoutTokenValidationException,
    NetworkException,
    PyIdentityModelException,
    TokenValidationException,
    printable,
)
from ...observability import emit
from ..base.flow import Flow, media_type_of, now
from ..base.response import GUARDED, BaseResponse
from ..base.store import MAX_LIFETIME, AnyStore, digest_of
from ..binding.replay import UsedValues, first_use
from ..jose.jwe import Decryption
from ..validation.claim_checks import Claims
from ..validation.config import TokenValidationConfig, Validators
from ..validation.defaults import LIFETIME
from ..validation.revocations import Revoked, Revoker, revoked
from ..validation.signed_response import SignedResponsePolicy, id_token_policy, verify_signed
from ..validation.token_kinds import LOGOUT_TOKEN, Kind
from .client import LoginClient
from .logout import LogoutAnswer

#: The member of ``events`` that makes a JWT a logout token (Back-Channel Logout 2.4).
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
#: Octets of a logout request at most.
MAX_REQUEST = 128 * 1024

#: Seconds since ``iat`` for which a logout token without ``exp`` is accepted, where that is allowed, and remembered.
ACCEPTED_WITHOUT_EXP = 120.0

_TYPED_LOGOUT_TOKEN = replace(LOGOUT_TOKEN, name="logout token by its typ", types=frozenset({"logout+jwt"}))
#: By whether ``typ`` must be right, and whether ``exp`` may be absent.
_KINDS = {
    (False, False): LOGOUT_TOKEN,
    (True, False): _TYPED_LOGOUT_TOKEN,
    (False, True): replace(LOGOUT_TOKEN, name="logout token with or without exp", expires=False),
    (True, True): replace(_TYPED_LOGOUT_TOKEN, name="logout token by its typ, with or without exp", expires=False),
}


@dataclass(frozen=True, slots=True)
class LogoutTokenPolicy:
    """What a logout token must be.

    Attributes:
        token_validation_config: What to check; its ``audience`` is the ``client_id``, its ``algorithms`` the registered
            ``id_token_signed_response_alg``.
        disco_doc_address: The issuer URL, or the URL of its metadata; required with ``perform_disco=True``.
        store: Where used tokens are remembered until they expire; None lets a token be used again.
        require_typ: Whether ``typ`` must be ``logout+jwt``; otherwise it may also be absent or ``JWT``.
        decryption: Keys and algorithms, if ID tokens are encrypted to the client. A token that is not is refused then.
        accept_logout_tokens_without_exp: Whether a token may lack ``exp``, as those of Hydra do: it counts for
            :data:`ACCEPTED_WITHOUT_EXP` seconds from its ``iat`` on, once, and each one is told as an event.
    """

    token_validation_config: TokenValidationConfig
    disco_doc_address: str | None = None
    store: AnyStore | None = None
    require_typ: bool = False
    decryption: Decryption | None = field(default=None, repr=False)
    accept_logout_tokens_without_exp: bool = False


def logout_policy(
    given: TokenValidationConfig | LoginClient,
    address: str | None,
    store: Any,
    require_typ: bool,
    decryption: Decryption | None,
    accept_without_exp: bool,
) -> LogoutTokenPolicy:
    """Return what a logout token must be, as a configuration or a login client says.

    Raises:
        ConfigurationException: *given* is neither, or *address* stands beside a client, which knows it.
    """
    known = id_token_policy(given, address)
    keys = known.decryption if decryption is None else decryption
    return LogoutTokenPolicy(
        known.token_validation_config, known.disco_doc_address, store, require_typ, keys, accept_without_exp
    )


@dataclass(repr=False)
class BackChannelLogout(BaseResponse):
    """A logout request that was judged.

    Attributes:
        claims: The claims of the logout token. End the session of ``sid``, or without one all sessions of ``sub``, at
            that ``iss``.
        answer: What to answer with. Where ending the session fails, answer with :func:`build_logout_answer` instead.
    """

    claims: dict[str, Any] = GUARDED
    answer: LogoutAnswer = field(default_factory=lambda: build_logout_answer())

    _guarded: ClassVar[frozenset[str]] = frozenset({"claims"})


# ---------------------------------------------------------------------------------------------------------------------
# What comes in


def parse_logout_request(body: bytes | str, content_type: str | None) -> str:
    """Return the logout token of a request (Back-Channel Logout 2.5). It is not validated yet.

    Args:
        body: The body of the POST request.
        content_type: Its media type.

    Raises:
        LogoutTokenValidationException: There is none, or several.
    """
    media_type = media_type_of(content_type)
    text = body.decode("latin-1") if isinstance(body, bytes) else body
    if media_type != "application/x-www-form-urlencoded" or len(text) > MAX_REQUEST:
        raise _refused("logout_request_invalid", "The request is no form, or too long", claim="content-type")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError:  # too many fields, or no UTF-8
        pairs = []
    # Back-Channel Logout 2.5: the body MUST include logout_token; others must be ignored.
    tokens = [value for name, value in pairs if name == "logout_token"]
    if len(tokens) != 1 or not tokens[0]:
        raise _refused("logout_request_invalid", "The request holds no single logout token", claim="logout_token")
    return tokens[0]


def check_logout_claims(claims: Mapping[str, Any]) -> None:
    """Apply the rules that only logout tokens have (Back-Channel Logout 2.6).

    Raises:
        LogoutTokenValidationException: One is broken; ``claim`` tells which.
    """
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise _refused(
            "logout_event_missing", "The events of the token name no logout", claim="events", expected=LOGOUT_EVENT
        )
    if "nonce" in claims:  # so that it is never taken for an ID token
        raise _refused("logout_nonce_present", "A logout token has no nonce", claim="nonce", expected="absent")
    if "sub" not in claims and "sid" not in claims:
        raise _refused("claim_missing", "The token names neither a user nor a session", claim="sid")
    for name in ("sid", "jti"):
        value = claims.get(name, "-")
        if not isinstance(value, str) or not value or len(value) > 2048:
            raise _refused("claim_type_invalid", f"{name} must be text", claim=name, actual=type(value).__name__)


def ended_by(claims: Mapping[str, Any]) -> Revoked:
    """Return whose tokens a logout token ends (Back-Channel Logout 2.4): the session's, or all that the user had."""
    if "sid" in claims:  # a session that ended does not come back
        return revoked(sid=claims["sid"], iss=claims["iss"])
    # Whole seconds: a token of the same second may be from before.
    return revoked(sub=claims["sub"], iss=claims["iss"], before=claims["iat"] + 1)


_refused = partial(refused, LogoutTokenValidationException, token_part="payload")


# ---------------------------------------------------------------------------------------------------------------------
# The flows


def validate_logout_token(
    token: str,
    policy: LogoutTokenPolicy,
    validators: Validators,
    used: UsedValues | None = None,
    told: Callable[[Claims], Flow[None]] | None = None,
) -> Flow[Claims]:
    """Validate a logout token and return its claims; it is remembered in the policy's store, or in *used*.

    *told* hears of the claims before the token counts as used: where it fails, the token can be sent again.

    Raises:
        TokenValidationException: It is refused; :class:`LogoutTokenValidationException` unless a class says more.
        NetworkException: It cannot be validated right now.
        ConfigurationException: The policy cannot be used safely.
    """
    memory = policy.store if policy.store is not None else used
    if policy.accept_logout_tokens_without_exp and memory is None:
        raise must_be("store", "given where tokens without exp are accepted: they must not be used twice", None)
    kind = _KINDS[policy.require_typ, policy.accept_logout_tokens_without_exp]
    try:
        claims = yield from _verified(token, policy, kind, validators)
    except TokenValidationException as error:
        if type(error) is not TokenValidationException:
            raise
        raise LogoutTokenValidationException(
            error.message,
            error.token_part,
            error.details,
            code=error.code,
            claim=error.claim,
            expected=error.expected,
            actual=error.actual,
            hint=_hint(error),
        ) from None
    check_logout_claims(claims)
    if "exp" not in claims:
        yield from _check_age(claims, policy)
    if told is not None:
        yield from told(claims)
    if memory is not None:
        yield from _use_once(claims, policy, memory)
    return claims


def _hint(error: TokenValidationException) -> str | None:
    if (error.code, error.claim) == ("claim_missing", "exp"):
        return (
            "Hydra, and older authentik and LemonLDAP leave exp out; accept_logout_tokens_without_exp=True accepts them"
        )
    return error.hint


def _check_age(claims: Claims, policy: LogoutTokenPolicy) -> Flow[None]:
    """Refuse a token without ``exp`` that is older than such a token may be."""
    age = (yield from now()).wall - claims["iat"]
    emit("logout_token_without_exp", logging.WARNING, issuer=printable(claims.get("iss")))
    if age > ACCEPTED_WITHOUT_EXP + (policy.token_validation_config.leeway or 0.0):
        raise _refused(
            "token_too_old",
            f"The logout token has no exp, and was made {age:.0f} s ago",
            claim="iat",
            expected=f"at most {ACCEPTED_WITHOUT_EXP:.0f} s ago",
            actual=claims["iat"],
        )


def _verified(token: str, policy: LogoutTokenPolicy, kind: Kind, validators: Validators) -> Flow[Claims]:
    signed = SignedResponsePolicy(policy.token_validation_config, policy.disco_doc_address, policy.decryption)
    return (yield from verify_signed(token, signed, kind, validators))


def _use_once(claims: Claims, policy: LogoutTokenPolicy, memory: AnyStore | UsedValues) -> Flow[None]:
    wall = (yield from now()).wall
    # One second more than it can be valid, for the rounding of clocks; `iat` has whole seconds as well.
    ends = claims.get("exp", claims["iat"] + ACCEPTED_WITHOUT_EXP)
    lifetime = max(0.0, ends - wall) + (policy.token_validation_config.leeway or 0.0) + 1.0
    key = digest_of("logout token", str(claims.get("iss")), claims["jti"])
    if not (yield from first_use(memory, key, lifetime, claims["iat"] + 1.0)):
        raise _refused("logout_token_replayed", "The logout token was used before", claim="jti")


#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


class BackChannelLogoutReceiverBase(Generic[Transport]):
    """The part of a ``BackChannelLogoutReceiver`` that waits for nothing."""

    def _validators(self, config: Any, address: str | None, kind: Kind) -> Any:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    @checks_arguments
    def __init__(
        self,
        token_validation_config: TokenValidationConfig | LoginClient,
        disco_doc_address: str | None = None,
        *,
        store: AnyStore | None = None,
        require_typ: bool = False,
        decryption: Decryption | None = None,
        accept_logout_tokens_without_exp: bool = False,
        http_client: Transport | None = None,
        validator: Revoker | None = None,
        revoked_for: float = LIFETIME,
    ) -> None:
        """Judge the requests to a ``backchannel_logout_uri``. Each logout token is accepted once.

        Args:
            token_validation_config: What to check; its ``audience`` is the ``client_id``, its ``algorithms`` the
                registered ``id_token_signed_response_alg``. A ``LoginClient`` knows all of it, decryption included.
            disco_doc_address: The issuer URL, or the URL of its metadata; required with ``perform_disco=True``.
            store: Where used tokens are remembered; by default in this process. Workers need a shared one.
            require_typ: Whether ``typ`` must be ``logout+jwt``; otherwise it may also be absent or ``JWT``.
            decryption: Keys and algorithms, if ID tokens are encrypted to the client.
            accept_logout_tokens_without_exp: Whether a token may lack ``exp``, as those of Hydra do: it counts for 120
                seconds from its ``iat`` on, and each one is told as an event.
            http_client: The transport, should keys have to be fetched.
            validator: A ``TokenValidator`` that refuses the tokens of sessions that ended, in every process that shares
                its store: those with the ``sid``, or all that the user had until then.
            revoked_for: Seconds for which it does: as long as the longest-lived of them, at least.

        Raises:
            ConfigurationException: *token_validation_config* is none, or *revoked_for* no duration.
        """
        self._used = UsedValues()
        self._policy = logout_policy(
            token_validation_config,
            disco_doc_address,
            store,
            require_typ,
            decryption,
            accept_logout_tokens_without_exp,
        )
        self._http_client = http_client
        self._validator = validator
        self._revoked_for = bounded(revoked_for, "revoked_for", float, 1, MAX_LIFETIME, unit="seconds")

    def _ended(self, claims: Claims) -> Flow[None]:
        if self._validator is not None:
            yield from self._validator.revoking(ended_by(claims), self._revoked_for)

    def _judged(self, body: bytes | str, content_type: str | None) -> Flow[BackChannelLogout]:
        try:
            token = parse_logout_request(body, content_type)
            claims = yield from validate_logout_token(token, self._policy, self._validators, self._used, self._ended)
        except PyIdentityModelException as error:
            return BackChannelLogout.failed(error, answer=build_logout_answer(error))
        return BackChannelLogout(True, claims=claims)


# ---------------------------------------------------------------------------------------------------------------------
# What goes back


@explains_arguments
def build_logout_answer(error: BaseException | None = None) -> LogoutAnswer:
    """Build the answer to a back-channel logout request (Back-Channel Logout 2.8).

    Args:
        error: Why the session was not ended, whatever was raised; None if it was, or if there was none to end.

    Returns:
        200, or 400 with a body that tells only what class of failure it is.

    >>> build_logout_answer().status, build_logout_answer(ValueError()).status
    (200, 400)
    """
    if error is None:
        return LogoutAnswer(200)
    body = json.dumps({"error": _class_of(error)}, separators=(",", ":")).encode()
    answer = LogoutAnswer(400, body=body)
    return replace(answer, headers=(*answer.headers, ("Content-Type", "application/json")))


def _class_of(error: BaseException) -> str:
    if isinstance(error, TokenValidationException):
        return "invalid_request"
    return "temporarily_unavailable" if isinstance(error, NetworkException) else "server_error"


__all__ = [
    "LOGOUT_EVENT",
    "BackChannelLogout",
    "BackChannelLogoutReceiverBase",
    "LogoutTokenPolicy",
    "build_logout_answer",
    "check_logout_claims",
    "logout_policy",
    "parse_logout_request",
    "validate_logout_token",
]
