"""A receiver of security events: verified, turned into marks, handed to the application, and only then acknowledged.

What happens to one token, in this order: it is verified; if it was seen before it is acknowledged again, and nothing
else; each event that ends tokens sets its marks; the application hears of every event; the token is remembered. What
fails on the way is answered as "not now", so that the transmitter sends the token again: nothing is acknowledged before
its marks are set. The application may therefore hear of an event more than once, and marks that are set twice are one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from ..._arguments import checks_arguments
from ..._refusals import bounded, must_be, refused
from ...exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    TokenValidationException,
    ValidationException,
    printable,
)
from ...observability import emit
from ..base.flow import Flow, media_type_of, now, resolve
from ..base.response import GUARDED, BaseResponse
from ..base.secret import Secret, exposed, same_text
from ..base.store import MAX_LIFETIME, AnyStore, ask, digest_of
from ..binding.replay import TOPIC as REPLAY
from ..discovery.trust import Stores
from ..validation.defaults import LIFETIME
from ..validation.revocations import Revocations, Revoked, Revoker, revoked
from ..validation.validator import Validator
from .answers import SignalAnswer, build_event_answer
from .events import REVOKING, STREAM_UPDATED, VERIFICATION, SecurityEvent, read_events, revoking_scope
from .subjects import RevocationScope, is_complex, name_tokens
from .transmitter import MAX_SET, Transmitter, critical_members, metadata_of

#: How a token is pushed (RFC 8935 2.1).
MEDIA_TYPE = "application/secevent+jwt"

#: What names tokens: arguments of ``TokenValidator.revoke``, such as ``{"sub": "ada"}``.
Naming: TypeAlias = Mapping[str, Any]
#: Tells which tokens an event ends where its subject alone does not; None where it ends none that are known here.
Resolved: TypeAlias = Naming | Iterable[Naming] | None
SubjectResolver: TypeAlias = Callable[[SecurityEvent], Awaitable[Resolved] | Resolved]
#: Hears of an event.
EventListener = Callable[[SecurityEvent], object]


@dataclass(repr=False)
class ReceivedEvents(BaseResponse):
    """A security event token that was judged.

    Attributes:
        claims: Its claims.
        events: Its events, and what became of each; none of a token that was received before.
        duplicate: Whether it was received before.
        answer: What to answer with, where it was pushed.
    """

    claims: dict[str, Any] = GUARDED
    events: tuple[SecurityEvent, ...] = GUARDED
    duplicate: bool = False
    answer: SignalAnswer = field(default_factory=lambda: build_event_answer())

    _guarded: ClassVar[frozenset[str]] = frozenset({"claims", "events"})


def parse_push(body: bytes | str, content_type: str | None) -> str:
    """Return the security event token that was pushed (RFC 8935 2.1). It is not validated yet.

    Raises:
        TokenValidationException: The body is no token.
    """
    if media_type_of(content_type) != MEDIA_TYPE:
        actual = printable(media_type_of(content_type), 60) or "none"
        raise _refused("event_request_invalid", "The content type is another one", "content-type", MEDIA_TYPE, actual)
    if len(body) > MAX_SET:
        raise _refused("event_request_invalid", "The request is too large", expected=f"at most {MAX_SET} bytes")
    return body.decode("latin-1") if isinstance(body, bytes) else body


_refused = partial(refused, TokenValidationException)

#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


class SecurityEventReceiverBase(Generic[Transport]):
    """The part of a ``SecurityEventReceiver`` that waits for nothing."""

    @staticmethod
    def _default_stores() -> Stores:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    def _built(self, transmitter: Transmitter, stores: Stores) -> Validator:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    def _memory(self) -> AnyStore:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    @checks_arguments
    def __init__(
        self,
        transmitter: Transmitter,
        *,
        validator: Revoker | None = None,
        store: AnyStore | None = None,
        authorization: str | Secret | None = None,
        resolve_subject: SubjectResolver | None = None,
        on_event: EventListener | None = None,
        check_state: Callable[[str | None], bool | Awaitable[bool]] | None = None,
        revoking: Mapping[str, RevocationScope] = REVOKING,
        revoked_for: float = LIFETIME,
        http_client: Transport | None = None,
    ) -> None:
        """Receive the security events of one transmitter (SSF 1.0, CAEP 1.0, RISC 1.0; RFC 8935, RFC 8936).

        Args:
            transmitter: Who sends them.
            validator: A ``TokenValidator`` that refuses the tokens that events end, in every process that shares its
                store. Without one the marks go to *store*, where the validators of other processes find them.
            store: Where tokens that were received are remembered, and the progress of polling; by default in this
                process. Workers need a shared one.
            authorization: The whole value of ``Authorization`` that the transmitter sends when it pushes, as it was
                agreed when the stream was made: ``"Bearer ..."``; None where nothing was.
            resolve_subject: Asked which tokens an event ends where its subject does not name them without doubt, such
                as an e-mail address: answers with arguments of ``revoke``, ``{"sub": "ada"}``, with several of those or
                None. May be async in ``aio``.
            on_event: Hears of every event, after its marks are set and before it is acknowledged; where it raises, the
                event has to come again. May be async in ``aio``.
            check_state: Tells whether the ``state`` of a verification event is one that was asked with; by default any
                is accepted. May be async in ``aio``.
            revoking: The event types that end tokens, each with what it is about: ``session`` or ``account``.
            revoked_for: Seconds for which tokens are refused: as long as the longest-lived of them, at least.
            http_client: The transport, should metadata or keys have to be fetched.

        Raises:
            ConfigurationException: Neither a validator nor a store is given, or a value cannot be used safely.
        """
        if not isinstance(transmitter, Transmitter):
            raise must_be("transmitter", "a Transmitter", type(transmitter).__name__)
        if validator is None and store is None:
            raise ConfigurationException(
                "A receiver needs somewhere for its marks",
                code="policy_invalid",
                claim="validator",
                expected="validator=TokenValidator(...), or a store that validators share",
            )
        if authorization is not None and not exposed(authorization):
            raise must_be("authorization", "the value of the header, or left out")
        scopes = set(revoking.values()) if isinstance(revoking, Mapping) else {"no mapping"}
        if not scopes <= {"session", "account"}:
            raise must_be("revoking", "event types, each with 'session' or 'account'")
        self._transmitter = transmitter
        self._http_client = http_client
        self._stores = self._default_stores()
        self._validator = self._built(transmitter, self._stores)
        self._store = store if store is not None else self._memory()
        self._revoker: Revoker = validator if validator is not None else _Teller(self._store)
        self._authorization = authorization
        self._resolver, self._listener, self._state = resolve_subject, on_event, check_state
        self._revoking = dict(revoking)
        self._revoked_for = bounded(revoked_for, "revoked_for", float, 1, MAX_LIFETIME, unit="seconds")

    # ---- what is pushed

    def _pushed(self, body: bytes | str, content_type: str | None, authorization: str | None) -> Flow[ReceivedEvents]:
        try:
            self._check_sender(authorization)
            return (yield from self._taken(parse_push(body, content_type)))
        except PyIdentityModelException as error:
            return ReceivedEvents.failed(error, answer=build_event_answer(error))

    def _check_sender(self, given: str | None) -> None:
        if self._authorization is None:
            return
        if not isinstance(given, str) or not same_text(given, exposed(self._authorization)):
            raise ValidationException(
                "The request does not carry the Authorization that was agreed on",
                code="event_sender_unknown",
                claim="authorization",
            )

    # ---- one token

    def _taken(self, token: str, named: str | None = None) -> Flow[ReceivedEvents]:
        """Judge one token, which came under the name of its ``jti`` if it came under one, and do what it says.

        Raises:
            TokenValidationException: It is refused.
            NetworkException: It cannot be judged, or acted upon, right now.
        """
        claims = yield from self._validator.examine(token)
        read = read_events(claims)
        if named is not None and claims["jti"] != named:
            raise _refused("event_token_invalid", "The token has another jti than it came under", "jti")
        key = digest_of("security event", claims["iss"], claims["jti"])
        if (yield from ask(self._store, lambda store: store.get(REPLAY, key))) is not None:
            return ReceivedEvents(True, claims=claims, events=(), duplicate=True)
        events = []
        for event in read:
            obeyed = yield from self._obeyed(event)
            events.append(obeyed)
        for event in events:
            yield from self._told(event)
        lifetime = max(1.0, claims["iat"] + self._transmitter.max_age - (yield from now()).wall + 60.0)
        yield from ask(self._store, lambda store: store.add(REPLAY, key, b"", lifetime))
        return ReceivedEvents(True, claims=claims, events=tuple(events))

    def _obeyed(self, event: SecurityEvent) -> Flow[SecurityEvent]:
        """Set the marks of an event, and return it with what became of it."""
        if event.type == VERIFICATION:
            yield from self._check_state(event)
        scope = revoking_scope(event, self._revoking)
        if scope is None:
            return event
        event = yield from self._named(event, scope)
        if event.unresolved is not None and self._resolver is not None:
            marks = yield from self._resolved(event, self._resolver)
            event = replace(event, marks=marks, unresolved=None)
        if event.unresolved is not None:
            kind = printable(event.type)
            emit("security_event_unresolved", logging.WARNING, type=kind, reason=event.unresolved)
        for mark in event.marks:
            yield from self._revoker.revoking(mark, self._revoked_for)
        return event

    def _named(self, event: SecurityEvent, scope: RevocationScope) -> Flow[SecurityEvent]:
        if event.subject is None:
            return replace(event, unresolved="absent")
        critical: frozenset[str] = frozenset()
        if is_complex(event.subject) and set(event.subject) - {"format", "user", "session"}:
            critical = critical_members((yield from metadata_of(self._transmitter, self._stores)))
        found = name_tokens(event.subject, scope, self._transmitter.speaks_for, event.before, critical)
        return replace(event, marks=found.marks, unresolved=found.unresolved)

    def _resolved(self, event: SecurityEvent, resolver: SubjectResolver) -> Flow[tuple[Revoked, ...]]:
        return marks_named((yield from asked(resolver, event)), self._transmitter.speaks_for, event.before)

    def _check_state(self, event: SecurityEvent) -> Flow[None]:
        state = event.payload.get("state")
        if state is not None and not isinstance(state, str):
            raise _refused("event_token_invalid", "state must be text", "state", token_part="payload")
        if self._state is not None and not (yield from asked(self._state, state)):
            # SSF 1.0 8.1.4.1: the receiver confirms that the value for state is as expected.
            raise _refused("event_state_mismatch", "The state is not one that was asked with", "state")

    def _told(self, event: SecurityEvent) -> Flow[None]:
        status = event.payload.get("status")
        if event.type == STREAM_UPDATED and status != "enabled":
            emit("event_stream_stopped", logging.WARNING, issuer=self._transmitter.issuer, status=printable(status, 40))
        emit("security_event", type=printable(event.type), marks=len(event.marks))
        if self._listener is not None:
            yield from asked(self._listener, event)


class _Teller:
    """Sets marks for the validators of other processes."""

    def __init__(self, store: AnyStore) -> None:
        self._marks = Revocations(store)

    def revoking(self, what: Revoked, lifetime: float) -> Flow[None]:
        return self._marks.revoke(what, lifetime)

    def refusing_revoked(self, claims: Mapping[str, Any]) -> Flow[None]:
        yield from self._marks.refresh()
        self._marks.check(claims, (yield from now()).wall)


def marks_named(answer: Naming | Iterable[Naming] | None, issuers: Sequence[str], before: float) -> tuple[Revoked, ...]:
    """Return the marks for what the application says a subject has; what it leaves out is added.

    Raises:
        ConfigurationException: It names no tokens in a way that is understood.
    """
    if answer is None:
        return ()
    listed: Any = [answer] if isinstance(answer, Mapping) else answer
    if not isinstance(listed, Iterable):
        raise _no_naming(listed)
    return tuple(mark for one in listed for mark in _marks_of(one, issuers, before))


def _marks_of(named: Naming, issuers: Sequence[str], before: float) -> list[Revoked]:
    told = set(named) if isinstance(named, Mapping) else set()
    # An issuer alone would be all that it ever issued.
    if not told <= {"jti", "sid", "sub", "iss", "before"} or not told & {"jti", "sid", "sub"}:
        raise _no_naming(named)
    given = dict(named)
    if told <= {"sub", "iss", "before"}:  # a session that ended does not come back, nor does a token
        given.setdefault("before", before)
    owners = (given.pop("iss"),) if "iss" in given else issuers
    return [revoked(**given, iss=issuer) for issuer in owners]


def _no_naming(answer: object) -> PyIdentityModelException:
    return must_be("the answer", "None, or arguments of revoke that name tokens", type(answer).__name__)


def asked(function: Callable[[Any], Any], argument: Any) -> Flow[Any]:
    """Return what a function of the application answers.

    Raises:
        NetworkException: It failed, so that the event has to come again.
    """
    try:
        return (yield from resolve(function(argument)))
    except NetworkException:
        raise
    except Exception as error:  # foreign code: whatever it raises, the event did not get where it belongs
        name = type(error).__name__
        if isinstance(error, PyIdentityModelException) and error.code == "awaitable_refused":
            raise  # by the driver: a mistake of the caller
    raise NetworkException(
        f"The application could not take the event: it raised {name}", code="event_undelivered", actual=name
    )


__all__ = [
    "MEDIA_TYPE",
    "EventListener",
    "Naming",
    "ReceivedEvents",
    "SecurityEventReceiverBase",
    "SubjectResolver",
    "asked",
    "marks_named",
    "parse_push",
]
