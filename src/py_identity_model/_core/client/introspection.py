"""Token introspection: ask the provider what a token means (RFC 7662), perhaps with a signed answer (RFC 9701).

Three outcomes are kept apart: the provider says what the token is, or that it is not active; the token is not one that
this caller may accept; nobody can tell right now.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, NamedTuple, TypedDict, TypeVar, Unpack

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import bounded
from ...exceptions import ConfigurationException, TokenValidationException, printable
from ...settings import Settings
from ..base.exchanges import once_more
from ..base.flow import Flow, Reply, Request, now
from ..base.provider_words import secrets_of
from ..base.response import GUARDED, BaseResponse, answered
from ..base.secret import CurrentSecret, Secret, exposed
from ..base.urls import parse_url
from ..cache.cache import Cache, CacheInfo
from ..cache.entry import Entry, Fetched
from ..cache.single_flight import cached
from ..jose.algorithms import SymmetricAlgorithm
from ..validation.claim_checks import (
    ClaimPolicy,
    Claims,
    audience_policy,
    check_claims,
    issuer_mismatch,
    numeric_date,
    seconds,
)
from ..validation.config import Validators
from ..validation.revocations import Revoker
from ..validation.signed_response import SignedResponsePolicy, verify_signed
from ..validation.token_kinds import INTROSPECTION_RESPONSE, Kind
from .client_auth import (
    ClientAttestation,
    ClientAuthMethod,
    ClientRequest,
    MtlsClientAuth,
    PrivateKeyJwt,
    choose_auth_method,
)
from .form_post import build_client_request, sent_ready
from .identity_tokens import CurrentToken
from .token_response import parse_json_answer, unusable

#: The media type of signed answers (RFC 9701 4).
INTROSPECTION_JWT = "application/token-introspection+jwt"
#: Seconds since ``iat`` after which a signed answer is an old one.
MAX_ANSWER_AGE = 300.0

_WHAT = "introspection endpoint"
# RFC 6749 A.12: 1*VSCHAR.
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}\Z")
_INTROSPECTED = Kind("introspected token", frozenset(), expires=False, about_itself=True)


@dataclass(repr=False)
class TokenIntrospectionRequest(ClientRequest):
    """Ask what a token means (RFC 7662 2.1).

    Attributes:
        token: The token.
        token_type_hint: ``access_token`` or ``refresh_token``, to help the provider find it.
        authorization: An access token that authorizes the request, in place of client authentication.
        expected_audience: Who we are, one name or several: an active token must name one of them in ``aud``.
        allow_missing_audience: Whether an active token without ``aud`` is accepted beside ``expected_audience``.
        expected_issuer: The one ``iss`` that an active token must name.
        signed_response: Demand a signed answer, and what it must be (RFC 9701).
    """

    token: str | Secret
    client_id: str
    token_type_hint: str | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None
    authorization: str | Secret | None = field(default=None, kw_only=True)
    expected_audience: str | Sequence[str] | None = field(default=None, kw_only=True)
    allow_missing_audience: bool = field(default=False, kw_only=True)
    expected_issuer: str | None = field(default=None, kw_only=True)
    signed_response: SignedResponsePolicy | None = field(default=None, kw_only=True)

    _redacted = ClientRequest._redacted | {"token", "authorization"}


class IntrospectionOptions(TypedDict, total=False):
    """The fields of a :class:`TokenIntrospectionRequest` that stay the same from token to token, by keyword."""

    token_type_hint: str | None
    client_secret: CurrentSecret | None
    private_key_jwt: PrivateKeyJwt | None
    mtls: MtlsClientAuth | None
    authorization: str | Secret | None
    expected_audience: str | Sequence[str] | None
    allow_missing_audience: bool
    expected_issuer: str | None
    signed_response: SignedResponsePolicy | None
    issuer: str | None
    auth_method: ClientAuthMethod | str | None
    auth_methods_supported: Sequence[str] | None
    client_secret_jwt_algorithm: SymmetricAlgorithm
    attestation: ClientAttestation | None
    client_assertion: CurrentToken | None
    backchannel: str | None
    extra: Mapping[str, str] | None
    headers: Mapping[str, str] | None
    allow_insecure_http: bool


@dataclass(repr=False)
class TokenIntrospectionResponse(BaseResponse):
    """What a token means. That a token is not active is an answer, not a failure.

    Attributes:
        claims: The members of the answer.
        active: Whether the token is active.
        raw: The signed answer as it came, if one was asked for.
    """

    claims: dict[str, Any] = GUARDED
    active: bool = field(default=GUARDED, kw_only=True)
    raw: str | None = field(default=None, kw_only=True)

    _guarded: ClassVar[frozenset[str]] = frozenset({"claims", "active", "raw"})
    _redacted: ClassVar[frozenset[str]] = frozenset({"raw"})


class _Answer(NamedTuple):
    claims: Claims
    raw: str | None
    status: int


# ---------------------------------------------------------------------------------------------------------------------
# What goes out


def build_introspection(request: TokenIntrospectionRequest, wall: float) -> Request:
    """Build the request to the introspection endpoint; *wall* is the time in seconds since 1970.

    Raises:
        ConfigurationException: The request cannot be sent as it is.
        TokenValidationException: The token is no token.
    """
    form = [("token", _token(request.token)), ("token_type_hint", request.token_type_hint or None)]
    accept = INTROSPECTION_JWT if request.signed_response else "application/json"
    return build_client_request(request, form, wall, headers=_authorization(request), accept=accept)


def _token(token: str | Secret) -> str:
    text = exposed(token)
    if not isinstance(text, str) or not _TOKEN.match(text):
        raise TokenValidationException(
            "The token is not 1 to 65536 visible ASCII characters", "token", code="token_malformed", claim="token"
        )
    return text


def _authorization(request: TokenIntrospectionRequest) -> tuple[tuple[str, str], ...]:
    if request.authorization is None:
        return ()
    text = exposed(request.authorization)
    if not _TOKEN.match(text) or request.client_secret:
        raise ConfigurationException(
            "authorization must be an access token, and goes with no client secret",
            code="introspection_authorization_invalid",
            claim="authorization",
        )
    return (("Authorization", f"Bearer {text}"),)


# ---------------------------------------------------------------------------------------------------------------------
# What comes in


def parse_introspection(
    reply: Reply, request: TokenIntrospectionRequest, wall: float, validators: Validators
) -> Flow[_Answer]:
    """Read what an introspection endpoint answered, and verify it if it must be signed.

    Raises:
        TokenRequestException: The provider refused or failed, or its answer cannot be relied upon. It says nothing
            about the token.
    """
    policy, raw = request.signed_response, None
    if policy is None or reply.status != 200:
        claims = parse_json_answer(reply, what=_WHAT, secrets=secrets_of(request), wall=wall)
    else:
        raw = _signed_text(reply)
        claims = yield from _verified(raw, policy, reply, wall, validators)
    active = claims.get("active")
    # RFC 7662 2.2: a boolean. A text "false" would be true to code that does not look closely.
    if not isinstance(active, bool):
        shown = "absent" if "active" not in claims else type(active).__name__
        raise unusable(
            reply,
            "active_invalid",
            "active must be true or false",
            _WHAT,
            claim="active",
            expected="a boolean",
            actual=shown,
        )
    return _Answer(claims, raw, reply.status)


def _signed_text(reply: Reply) -> str:
    media_type = reply.media_type
    if media_type != INTROSPECTION_JWT:
        raise unusable(
            reply,
            "content_type_invalid",
            "it is not signed",
            _WHAT,
            claim="content-type",
            expected=INTROSPECTION_JWT,
            actual=printable(media_type, 60) or "absent",
            hint="the provider does not support RFC 9701, or not for this client",
        )
    return reply.body.decode("ascii", "replace").strip()


def _verified(
    token: str, policy: SignedResponsePolicy, reply: Reply, wall: float, validators: Validators
) -> Flow[Claims]:
    try:
        claims = yield from verify_signed(token, policy, INTROSPECTION_RESPONSE, validators)
    except TokenValidationException as error:
        # The answer is at fault, not the token that was asked about.
        facts = {"claim": error.claim, "expected": error.expected, "actual": error.actual, "hint": error.hint}
        raise unusable(reply, error.code, error.message, _WHAT, **facts) from None
    issued = numeric_date(claims, "iat")
    if issued is None or wall - issued > MAX_ANSWER_AGE:
        raise unusable(reply, "answer_too_old", "it was made for an earlier request", _WHAT, claim="iat", actual=issued)
    members = claims["token_introspection"]
    if not isinstance(members, dict):
        raise unusable(reply, "token_introspection_invalid", "it holds no object", _WHAT, claim="token_introspection")
    return members


_EXPECTED_BY = {"aud": "expected_audience", "iss": "expected_issuer"}


def check_introspection(claims: Claims, request: TokenIntrospectionRequest, wall: float) -> None:
    """Refuse an active token that is none to this caller: expired, not valid yet, or not meant for it.

    Raises:
        TokenValidationException: It is; the class and ``code`` say which.
        ConfigurationException: The request expects nothing that could be.
    """
    audiences, issuer = _expected(request)
    if not claims["active"]:
        return
    present = {name: value for name, value in claims.items() if value is not None}
    audiences = None if request.allow_missing_audience and "aud" not in present else audiences
    try:
        check_claims(ClaimPolicy(_INTROSPECTED, audiences, check_issuer=issuer is not None), present, wall)
    except TokenValidationException as error:
        expected = _EXPECTED_BY.get(error.claim or "") if error.code == "claim_missing" else None
        if expected is not None:
            error.hint = (
                f"zitadel, django-oauth-toolkit and LemonLDAP answer without {error.claim}: leave {expected} out, and "
                "tell by scope, client_id or a client of your own at the provider whom a token is for"
            )
        raise
    if issuer is not None and present["iss"] != issuer:
        raise issuer_mismatch(issuer, present["iss"])


def _expected(request: TokenIntrospectionRequest) -> tuple[frozenset[str] | None, str | None]:
    audience, issuer = request.expected_audience, request.expected_issuer
    if issuer is not None and (not isinstance(issuer, str) or not issuer):
        raise ConfigurationException(
            "expected_issuer must be an issuer", code="policy_invalid", claim="expected_issuer"
        )
    return None if audience is None else audience_policy(audience, what="expected_audience"), issuer


# ---------------------------------------------------------------------------------------------------------------------
# Flows


def introspect_token(
    request: TokenIntrospectionRequest, settings: Settings, validators: Validators
) -> Flow[TokenIntrospectionResponse]:
    """Ask what a token means; once more where the network or the provider falters for a moment."""
    return (yield from answered(TokenIntrospectionResponse, lambda: _introspect(request, settings, validators)))


def _introspect(
    request: TokenIntrospectionRequest, settings: Settings, validators: Validators
) -> Flow[TokenIntrospectionResponse]:
    _expected(request)
    answer = yield from _ask(request, settings, validators)
    return (yield from _judge(answer, request))


def _ask(request: TokenIntrospectionRequest, settings: Settings, validators: Validators) -> Flow[_Answer]:
    wall = (yield from now()).wall
    reply = yield from once_more(lambda: sent_ready(request, lambda known: build_introspection(known, wall)), settings)
    return (yield from parse_introspection(reply, request, (yield from now()).wall, validators))


def _judge(answer: _Answer, request: TokenIntrospectionRequest) -> Flow[TokenIntrospectionResponse]:
    check_introspection(answer.claims, request, (yield from now()).wall)
    return TokenIntrospectionResponse(
        True, status_code=answer.status, claims=answer.claims, active=answer.claims["active"], raw=answer.raw
    )


# ---------------------------------------------------------------------------------------------------------------------
# Many tokens


def _copied(value: Any) -> Any:
    """Copy what was JSON, several times faster than ``deepcopy``."""
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    return [_copied(member) for member in value] if isinstance(value, list) else value


#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


class TokenIntrospectorBase(Generic[Transport]):
    """The part of a ``TokenIntrospector`` that waits for nothing."""

    _api = ""

    @staticmethod
    def _settings() -> Settings:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    def _validators(self, config: Any, address: str | None, kind: Kind) -> Any:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    @checks_arguments
    def __init__(
        self,
        address: str,
        client_id: str,
        *,
        max_age: float = 60.0,
        negative_max_age: float = 5.0,
        max_entries: int = 10_000,
        http_client: Transport | None = None,
        validator: Revoker | None = None,
        **request: Unpack[IntrospectionOptions],
    ) -> None:
        """Ask one introspection endpoint about many tokens, and remember its answers for a while.

        Args:
            address: The introspection endpoint.
            client_id: Who asks.
            max_age: Seconds for which an active token is believed at most; never beyond its ``exp`` (RFC 7662 4). A
                token that is revoked stays good here for as long.
            negative_max_age: Seconds for which a token that is not active is not asked about again.
            max_entries: Answers remembered at most. Answers in use survive a flood of others.
            http_client: The transport; by default the client of this API.
            validator: A ``TokenValidator``: what it, or a process that shares its store, was told is revoked is refused
                here as well, however fresh the answer is.
            request: Further fields of :class:`TokenIntrospectionRequest`: credentials, ``expected_audience``,
                ``expected_issuer``, ``signed_response`` and so on.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        self._request = TokenIntrospectionRequest(address, "none", client_id, **request)
        parse_url(address, "address", require_https=not self._request.allow_insecure_http)
        choose_auth_method(self._request)
        _authorization(self._request)
        _expected(self._request)
        self._max_age = seconds(max_age, "max_age")
        self._negative_max_age = seconds(negative_max_age, "negative_max_age")
        bounded(max_entries, "max_entries", int, 1)
        self._http_client = http_client
        self._validator = validator
        self._digest_key = secrets.token_bytes(32)
        self._cache: Cache[_Answer] = Cache(f"{self._api} introspection", maxsize=max_entries)

    @explains_arguments
    def invalidate(self, token: str | Secret) -> bool:
        """Forget what was answered about *token*, also what is being asked right now.

        Returns:
            Whether there was an answer.
        """
        return self._cache.remove(self._key(exposed(token)))

    def clear(self) -> None:
        """Forget all answers, also those that are being asked for right now."""
        self._cache.clear()

    def cache_info(self) -> CacheInfo:
        """Return how many answers are remembered, and how often they were used."""
        return self._cache.info()

    def _key(self, token: str) -> str:
        # Events name keys: this one tells nothing about the token, not even to a caller who has guessed it.
        return hmac.digest(self._digest_key, token.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()

    @property
    def demands_audience(self) -> bool:
        """Whether an answer without ``aud`` is refused here."""
        return self._request.expected_audience is not None and not self._request.allow_missing_audience

    @property
    def allows_missing_audience(self) -> bool:
        """Whether an answer without ``aud`` is accepted here."""
        return self._request.allow_missing_audience

    def _asking(self, token: str | Secret) -> Flow[TokenIntrospectionResponse]:
        return (yield from answered(TokenIntrospectionResponse, lambda: self._remembered(token)))

    def _remembered(self, token: str | Secret) -> Flow[TokenIntrospectionResponse]:
        text = _token(token)
        entry = yield from cached(self._cache, self._key(text), self._fetching(text))
        answer = entry.value
        # Times and expectations are looked at every time; a copy leaves the caller free to change it.
        judged = yield from _judge(answer._replace(claims=_copied(answer.claims)), self._request)
        if self._validator is not None and judged.claims["active"]:
            # An answer may leave out by whom the token is (RFC 7662 2.2): by whom it must be.
            yield from self._validator.refusing_revoked({"iss": self._request.expected_issuer, **judged.claims})
        return judged

    def _fetching(self, token: str) -> Callable[[Entry[_Answer] | None], Flow[Fetched[_Answer]]]:
        def fetch(previous: Entry[_Answer] | None) -> Flow[Fetched[_Answer]]:
            wall = (yield from now()).wall
            answer = yield from _ask(replace(self._request, token=token), self._settings(), self._validators)
            return Fetched(answer, self._fresh_for(answer.claims, wall))

        return fetch

    def _fresh_for(self, claims: Claims, wall: float) -> float:
        if not claims["active"]:
            return self._negative_max_age
        try:
            expires = numeric_date(claims, "exp")
        except TokenValidationException:  # told to each caller
            return self._negative_max_age
        # RFC 7662 4: if the answer has `exp`, it MUST NOT be cached beyond it.
        return self._max_age if expires is None else max(0.0, min(self._max_age, expires - wall))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({printable(self._request.address)}, client_id={self._request.client_id!r})"


__all__ = [
    "INTROSPECTION_JWT",
    "IntrospectionOptions",
    "TokenIntrospectionRequest",
    "TokenIntrospectionResponse",
    "TokenIntrospectorBase",
    "build_introspection",
    "check_introspection",
    "introspect_token",
    "parse_introspection",
]
