"""Global Token Revocation: somebody who may asks that all tokens of a user end (draft-parecki-oauth-...-revocation-06).

The answer is a status alone: 204 once the marks are stored; 400, 401, 403 or 404 for a request that ends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import bounded, must_be
from ...exceptions import (
    InvalidRequestException,
    MissingCredentialsException,
    PyIdentityModelException,
    TokenValidationException,
    ValidationException,
)
from ..base.flow import Flow, media_type_of, now
from ..base.response import GUARDED, BaseResponse
from ..base.store import MAX_LIFETIME
from ..base.strict_json import StrictJSONError, loads_object
from ..validation.claim_checks import Claims, names
from ..validation.defaults import LIFETIME
from ..validation.revocations import Revoked, Revoker
from .answers import SignalAnswer, unavailable
from .client_assertion import ClientAssertionValidatorBase
from .receiver import Naming, asked, marks_named
from .subjects import Subject, check_subject, name_tokens

#: Octets of a request, at most.
MAX_REQUEST = 65536
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)\Z", re.IGNORECASE)

Known: TypeAlias = Naming | Iterable[Naming] | None
#: Tells which tokens a subject has, with arguments of ``revoke``; None for a subject that is not known here.
UserResolver: TypeAlias = Callable[[Subject], Awaitable[Known] | Known]


@dataclass(repr=False)
class GlobalRevocation(BaseResponse):
    """A request for the revocation of a user's tokens that was judged.

    Attributes:
        caller: The claims of whoever asked.
        subject: The user, as named in ``sub_id``.
        marks: The tokens that are refused because of it.
        answer: What to answer with.
    """

    caller: dict[str, Any] = GUARDED
    subject: Subject = GUARDED
    marks: tuple[Revoked, ...] = GUARDED
    answer: SignalAnswer = field(default_factory=lambda: SignalAnswer(204))

    _guarded: ClassVar[frozenset[str]] = frozenset({"caller", "subject", "marks"})


@explains_arguments
def build_revocation_answer(error: PyIdentityModelException) -> SignalAnswer:
    """Build the answer to a request that was refused (section 3.4.2). It has no body.

    >>> build_revocation_answer(MissingCredentialsException("none")).status
    401
    """
    if error.code in _STATUSES:
        return SignalAnswer(_STATUSES[error.code])
    if isinstance(error, TokenValidationException | MissingCredentialsException):
        said = "Bearer" if isinstance(error, MissingCredentialsException) else 'Bearer error="invalid_token"'
        return SignalAnswer(401, (*SignalAnswer(401).headers, ("WWW-Authenticate", said)))
    if isinstance(error, ValidationException):
        return SignalAnswer(error.client_error.status)
    return unavailable(error)


#: Codes whose status is not that of their class.
_STATUSES = {"event_subject_invalid": 400, "revocation_subject_unsupported": 400, "revocation_subject_unknown": 404}


def parse_revocation_request(body: bytes | str, content_type: str | None) -> Subject:
    """Return whose tokens are to end (section 3.2).

    Raises:
        InvalidRequestException: The body is no JSON object with ``sub_id``.
        TokenValidationException: The subject is malformed.
    """
    if media_type_of(content_type) != "application/json":
        raise InvalidRequestException("The request is not application/json", code="revocation_request_invalid")
    try:
        members = loads_object(body, max_size=MAX_REQUEST)
    except StrictJSONError as error:
        raise InvalidRequestException(
            f"The request is no JSON object: {error.reason}", code="revocation_request_invalid"
        ) from None
    return check_subject(members.get("sub_id"))


#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


class GlobalRevocationReceiverBase(Generic[Transport]):
    """The part of a ``GlobalRevocationReceiver`` that waits for nothing."""

    @checks_arguments
    def __init__(
        self,
        validator: Revoker,
        *,
        assertions: ClientAssertionValidatorBase[Transport] | None = None,
        token_issuers: str | Sequence[str] = (),
        resolve_user: UserResolver | None = None,
        on_revocation: Callable[[GlobalRevocation], object] | None = None,
        revoked_for: float = LIFETIME,
        http_client: Transport | None = None,
    ) -> None:
        """Serve an endpoint of Global Token Revocation.

        Args:
            validator: A ``TokenValidator`` that refuses the user's tokens, in every process that shares its store.
            assertions: What authenticates callers that send a signed assertion (section 3.5), its audience the URL of
                the endpoint. Without it only callers are served whom your gate has authenticated.
            token_issuers: The issuers of the tokens that end; by default the caller's own ``iss``.
            resolve_user: Asked which tokens a subject has that does not name them by itself, such as an e-mail address:
                answers with arguments of ``revoke``, ``{"sub": "ada"}``, with several of those, or None for nobody that
                is known here. May be async in ``aio``.
            on_revocation: Hears of a revocation after its marks are set and before it is answered: the place to end
                sessions and refresh tokens of your own. Where it raises the answer is 503. May be async in ``aio``.
            revoked_for: Seconds for which tokens are refused: as long as the longest-lived of them, at least.
            http_client: The transport, should keys have to be fetched.

        Raises:
            ConfigurationException: A value cannot be used safely.
        """
        if assertions is not None and not isinstance(assertions, ClientAssertionValidatorBase):
            raise must_be("assertions", "a ClientAssertionValidator", type(assertions).__name__)
        self._validator = validator
        self._assertions = assertions
        self._issuers = () if token_issuers == () else names(token_issuers, "token_issuers")
        self._resolver, self._listener = resolve_user, on_revocation
        self._revoked_for = bounded(revoked_for, "revoked_for", float, 1, MAX_LIFETIME, unit="seconds")
        self._http_client = http_client

    def _received(
        self, body: bytes | str, content_type: str | None, authorization: str | None, caller: Mapping[str, Any] | None
    ) -> Flow[GlobalRevocation]:
        try:
            claims = dict(caller) if caller is not None else (yield from self._authenticated(authorization))
            subject = parse_revocation_request(body, content_type)
            marks = yield from self._marks(subject, claims)
            for mark in marks:
                yield from self._validator.revoking(mark, self._revoked_for)
            revocation = GlobalRevocation(True, caller=claims, subject=subject, marks=marks)
            if self._listener is not None:
                yield from asked(self._listener, revocation)
        except PyIdentityModelException as error:
            return GlobalRevocation.failed(error, answer=build_revocation_answer(error))
        return revocation

    def _authenticated(self, authorization: str | None) -> Flow[Claims]:
        match = _BEARER.match(authorization.strip()) if isinstance(authorization, str) else None
        if match is None or self._assertions is None:
            raise MissingCredentialsException("The request carries no assertion that is accepted here")
        return (yield from self._assertions.validating(match[1]))

    def _marks(self, subject: Subject, caller: Mapping[str, Any]) -> Flow[tuple[Revoked, ...]]:
        issuers = self._issuers or names(caller.get("iss"), "caller")
        # Whole seconds: none of this second is left.
        before = float(int((yield from now()).wall) + 1)
        named = name_tokens(subject, "account", issuers, before)
        if named.marks:
            return named.marks
        answer = (yield from asked(self._resolver, subject)) if self._resolver is not None else None
        marks = marks_named(answer, issuers, before)
        if marks:
            return marks
        # Section 3.4.2: 400 for a kind of subject that is not supported, 404 for a user that is not known.
        known = named.unresolved == "foreign" or self._resolver is not None
        raise ValidationException(
            "The subject is nobody whose tokens are known here",
            code="revocation_subject_unknown" if known else "revocation_subject_unsupported",
            claim="sub_id",
        )


__all__ = [
    "GlobalRevocation",
    "GlobalRevocationReceiverBase",
    "UserResolver",
    "build_revocation_answer",
    "parse_revocation_request",
]
