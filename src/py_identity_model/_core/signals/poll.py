"""Security events by polling (RFC 8936): fetched, taken one by one, and acknowledged with the next call.

What is to be acknowledged or refused is kept in the store before it is said, so that a process that dies in between
says it later, or gets the same tokens again: both are the same in the end. A call whose answer did not come is repeated
by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..._refusals import bounded, must_be
from ...exceptions import NetworkException, PyIdentityModelException, ValidationException
from ...settings import Settings
from ..base.codec import Codec
from ..base.exchanges import persistently
from ..base.flow import Flow, Reply, Request, now
from ..base.provider_words import secrets_of
from ..base.response import BaseResponse
from ..base.store import AnyStore, ask, digest_of
from ..client.token_response import parse_json_answer, unusable
from .answers import refusal_of
from .calls import TransmitterRequest, build_call
from .receiver import ReceivedEvents
from .transmitter import MAX_SET

#: The topic of what is still to be said to transmitters.
TOPIC = "signals"
#: Octets of one answer, at most, however many events are asked for.
MAX_ANSWER = 16 * 1024 * 1024
_WHAT = "poll endpoint"


@dataclass(repr=False)
class PollRequest(TransmitterRequest):
    """Ask a transmitter for events (RFC 8936 2.2).

    Attributes:
        max_events: Events of one answer, at most.
        max_rounds: Answers of one call, at most: it ends earlier when the transmitter has no more.
        return_immediately: Whether the transmitter answers at once where it has nothing. Else it may wait for events,
            no longer than the transport does.
    """

    max_events: int = field(default=25, kw_only=True)
    max_rounds: int = field(default=10, kw_only=True)
    return_immediately: bool = field(default=True, kw_only=True)


@dataclass(repr=False)
class PolledEvents(BaseResponse):
    """What a transmitter had. Of a call that failed it is what came before the failure.

    Attributes:
        received: The tokens that were judged, in the order in which they came; one that was refused is a response that
            failed.
        more_available: Whether the transmitter has more.
    """

    received: tuple[ReceivedEvents, ...] = ()
    more_available: bool = False


class Progress(msgspec.Struct, frozen=True):
    """What is still to be said to a transmitter."""

    ack: tuple[str, ...] = ()
    refused: dict[str, dict[str, str]] = {}

    def __bool__(self) -> bool:
        return bool(self.ack or self.refused)


_PROGRESS = Codec(Progress, TOPIC)


@dataclass(frozen=True, slots=True)
class Polled:
    """One answer: tokens by their ``jti``, and whether there are more."""

    sets: dict[str, str] = field(repr=False)
    more: bool


def build_poll(request: PollRequest, progress: Progress, max_events: int) -> Request:
    """Build a call that asks for events and tells what became of those before; with 0 events it only tells.

    Raises:
        ConfigurationException: The call cannot be sent as it is.
    """
    members: dict[str, Any] = {
        "maxEvents": max_events,
        "returnImmediately": request.return_immediately or max_events == 0,
    }
    if progress.ack:
        members["ack"] = list(progress.ack)
    if progress.refused:
        members["setErrs"] = progress.refused
    return build_call(request, "POST", members, limit=min(MAX_ANSWER, (max_events + 1) * MAX_SET))


def parse_poll(reply: Reply, request: PollRequest, max_events: int, wall: float) -> Polled:
    """Read what a transmitter answered (RFC 8936 2.4).

    Raises:
        TokenRequestException: It refused or failed, or the answer cannot be used.
    """
    answer = parse_json_answer(reply, what=_WHAT, secrets=secrets_of(request), wall=wall)
    sets, more = answer.get("sets"), answer.get("moreAvailable", False)
    if not isinstance(sets, dict) or not isinstance(more, bool):
        raise unusable(reply, "poll_answer_invalid", "sets must be an object, and moreAvailable a boolean", _WHAT)
    if len(sets) > max_events:
        expected, actual = f"at most {max_events}", f"{len(sets)} events"
        raise unusable(
            reply, "poll_answer_invalid", "it has more events than asked for", _WHAT, expected=expected, actual=actual
        )
    if not all(jti and isinstance(token, str) for jti, token in sets.items()):
        raise unusable(reply, "poll_answer_invalid", "each event must be a string", _WHAT)
    return Polled(sets, more)


def check_poll(request: PollRequest) -> None:
    """Refuse a request that cannot be meant.

    Raises:
        ConfigurationException: It is none, or a bound is out of bounds.
    """
    if not isinstance(request, PollRequest):
        raise must_be("request", "a PollRequest", type(request).__name__)
    bounded(request.max_events, "max_events", int, 1, 1000, unit="events")
    bounded(request.max_rounds, "max_rounds", int, 1, 10_000, unit="answers")
    if not isinstance(request.return_immediately, bool):
        raise must_be("return_immediately", "True or False")


class Poller:
    """One call of ``poll``.

    Args:
        request: Whom to ask, and how much.
        take: Judges one token that came under a ``jti``, and does what it says.
        store: Where the progress is kept.
        kept_for: Seconds for which it is.
        settings: How often a failed request is repeated.
    """

    def __init__(
        self,
        request: PollRequest,
        take: Callable[[str, str], Flow[ReceivedEvents]],
        store: AnyStore,
        kept_for: float,
        settings: Settings,
    ) -> None:
        self._request, self._take, self._store = request, take, store
        self._kept_for, self._settings = kept_for, settings
        self._key = ""
        self._received: list[ReceivedEvents] = []
        self._more = True

    def run(self) -> Flow[PolledEvents]:
        """Ask until there is no more, or enough was asked."""
        try:
            check_poll(self._request)
            self._key = digest_of("poll", self._request.address)
            yield from self._rounds()
        except PyIdentityModelException as error:
            return PolledEvents.failed(error, received=tuple(self._received), more_available=self._more)
        return PolledEvents(True, received=tuple(self._received), more_available=self._more)

    def _rounds(self) -> Flow[None]:
        progress = yield from self._loaded()
        for _ in range(self._request.max_rounds):
            answer = yield from self._exchange(progress, self._request.max_events)
            self._more = answer.more
            progress = yield from self._round(answer, had=bool(progress))
            if not answer.more:
                break
        if progress:
            yield from self._exchange(progress, 0)
            yield from self._save(Progress(), had=True)

    def _exchange(self, progress: Progress, max_events: int) -> Flow[Polled]:
        reply = yield from persistently(lambda: build_poll(self._request, progress, max_events), self._settings)
        return parse_poll(reply, self._request, max_events, (yield from now()).wall)

    def _round(self, answer: Polled, *, had: bool) -> Flow[Progress]:
        """Take the tokens of one answer. What was done is kept even where one cannot be judged now."""
        ack: list[str] = []
        errors: dict[str, dict[str, str]] = {}
        failure: PyIdentityModelException | None = None
        for jti, token in answer.sets.items():
            try:
                self._received.append((yield from self._take(token, jti)))
                ack.append(jti)
            except ValidationException as error:
                self._received.append(ReceivedEvents.failed(error))
                errors[jti] = refusal_of(error)
            except PyIdentityModelException as error:
                failure = error
                break
        progress = Progress(tuple(ack), errors)
        try:
            yield from self._save(progress, had=had)
        except NetworkException as error:
            failure = failure or error
        if failure is not None:
            raise failure
        return progress

    def _loaded(self) -> Flow[Progress]:
        data = yield from ask(self._store, lambda store: store.get(TOPIC, self._key))
        return _PROGRESS.decoded(data) or Progress()

    def _save(self, progress: Progress, *, had: bool) -> Flow[None]:
        if progress:
            value = _PROGRESS.encoded(progress)
            yield from ask(self._store, lambda store: store.put(TOPIC, self._key, value, self._kept_for))
        elif had:
            yield from ask(self._store, lambda store: store.delete(TOPIC, self._key))


__all__ = ["TOPIC", "PollRequest", "PolledEvents", "Poller", "Progress", "build_poll", "parse_poll"]
