"""Polling for security events (RFC 8936): bounded, resumed after a crash; what is not stored is not acknowledged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from apis import ISSUER, NOW, Api
from py_identity_model import PollRequest, Secret, Transmitter, aio, sync
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.store import pack
from py_identity_model._core.signals.poll import TOPIC
from py_identity_model.exceptions import FailedResponseAccessError
from py_identity_model.stores._memory import MemoryStore
from test_security_events import ME, SET_KEY, TR, Flaky, World, ended

POLL = TR + "/poll"


class Queue(World):
    """A transmitter whose events are fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refused: dict[str, Any] = {}
        self.answer: Callable[[dict[str, Any]], Reply | None] = lambda asked: None
        self.deaf = False

    def put(self, *names: str, **said: Any) -> None:
        """Have events waiting."""
        for name in names:
            self.waiting[name] = self.event(jti=name, **said)

    def __call__(self, request: Request) -> Reply:
        if request.url != POLL:
            return super().__call__(request)
        asked = json.loads(request.body)
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        special = self.answer(asked)
        if special is not None:
            return special
        if not self.deaf:
            for jti in (*asked.get("ack", ()), *asked.get("setErrs", {})):
                self.waiting.pop(jti, None)
        self.refused |= asked.get("setErrs", {})
        given = dict(list(self.waiting.items())[: asked["maxEvents"]])
        body = {"sets": given, "moreAvailable": len(self.waiting) > len(given)}
        return Reply(200, (("content-type", "application/json"),), json.dumps(body).encode(), request.url)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def store(clock: Any) -> Flaky:
    return Flaky(MemoryStore(clock=lambda: clock.wall))


@pytest.fixture
def validator(api: Api, queue: Queue, store: Flaky) -> Any:
    return api.validator(ISSUER, "api", http_client=queue, store=store, revocations_silent_for=3600)


@pytest.fixture
def build(api: Api, queue: Queue, store: Flaky, validator: Any, clock: Any) -> Callable[..., Any]:
    """A function that makes a receiver and returns its ``poll``."""
    module: Any = sync if api.name == "sync" else aio

    def receiver(**options: Any) -> Any:
        given = {"validator": validator, "store": store, "http_client": queue, **options}
        made = module.SecurityEventReceiver(Transmitter(TR, ME, token_issuers=ISSUER), **given)

        def poll(**request: Any) -> Any:
            return api.call(made.poll, PollRequest(POLL, "token-1", **request))

        return poll

    return receiver


def test_events_are_taken_and_then_acknowledged(api: Api, queue: Queue, validator: Any, build: Any, clock: Any) -> None:
    """Each answer is acknowledged with the next call, the last one with a call that asks for nothing."""
    queue.put("a", "b", "c")
    polled = build()(max_events=2)
    assert polled.is_successful, polled.error
    assert [one.claims["jti"] for one in polled.received] == ["a", "b", "c"]
    assert not polled.more_available
    assert queue.waiting == {}
    assert queue.asked == [
        {"maxEvents": 2, "returnImmediately": True},
        {"maxEvents": 2, "returnImmediately": True, "ack": ["a", "b"]},
        {"maxEvents": 0, "returnImmediately": True, "ack": ["c"]},
    ]
    assert all(sent["Authorization"] == "Bearer token-1" for sent in queue.headers)
    assert all(sent["Content-Type"] == "application/json" for sent in queue.headers)
    assert ended(api, queue, validator) == {"before", "session", "same second"}


def test_an_empty_queue_costs_one_call(queue: Queue, build: Any) -> None:
    """Nothing there means nothing to say; a transmitter may be asked to wait for something."""
    assert build()(return_immediately=False).received == ()
    assert queue.asked == [{"maxEvents": 25, "returnImmediately": False}]


def test_a_call_is_bounded(queue: Queue, build: Any) -> None:
    """A queue that never ends, or a transmitter that hears no acknowledgement, holds nobody for ever."""
    queue.put(*(f"e{n}" for n in range(50)))
    poll = build()
    polled = poll(max_events=5, max_rounds=3)
    assert (len(polled.received), polled.more_available, len(queue.asked)) == (15, True, 4)
    queue.deaf = True
    again = poll(max_events=5, max_rounds=3)
    assert [one.duplicate for one in again.received] == [False] * 5 + [True] * 10
    assert len(queue.asked) == 8


def test_bad_tokens_are_told_by_their_code(queue: Queue, build: Any) -> None:
    """A refused token is told with its registered code, and holds up no other."""
    queue.put("good")
    queue.waiting |= {
        "forged": queue.event(jti="forged")[:-4] + "AAAA",
        "for others": queue.event(jti="for others", aud="x"),
        "other name": queue.event(jti="good2"),
        "nothing": "",
    }
    polled = build()()
    assert polled.is_successful
    assert [one.is_successful for one in polled.received] == [True, False, False, False, False]
    assert {jti: told["err"] for jti, told in queue.refused.items()} == {
        "forged": "invalid_key",
        "for others": "invalid_audience",
        "other name": "invalid_request",
        "nothing": "invalid_request",
    }
    assert all(set(told) == {"err", "description"} for told in queue.refused.values())
    assert queue.waiting == {}


@pytest.mark.parametrize("away", ["publish", "add", "get"])
def test_nothing_is_acknowledged_that_is_not_stored(
    api: Api, queue: Queue, store: Flaky, validator: Any, build: Any, clock: Any, away: str
) -> None:
    """While marks cannot be stored none is acknowledged; the rest comes again (C19)."""
    queue.put("a", "b", "c")
    poll, stop = build(), [0]
    real = store.__getattr__

    def flaky(name: str) -> Any:
        if name == away and stop[0] >= (2 if away == "get" else 1):
            store.away = {away}
        if name == away:
            stop[0] += 1
        return real(name)

    store.__class__ = type("Later", (Flaky,), {"__getattr__": lambda self, name: flaky(name)})
    polled = poll()
    assert (polled.is_successful, polled.error_code) == (False, "store_unavailable")
    assert [one.claims["jti"] for one in polled.received] == ["a"]
    assert not any(set(asked.get("ack", ())) & {"b", "c"} for asked in queue.asked)
    store.__class__, store.away = Flaky, set()
    again = poll()
    assert [one.claims["jti"] for one in again.received] == ["b", "c"]
    assert (queue.waiting, queue.asked[-2].get("ack")) == ({}, ["a"])


def test_progress_survives_a_process(queue: Queue, store: Flaky, build: Any, clock: Any) -> None:
    """A process that died before it could acknowledge leaves that to the next one, which takes nothing twice."""
    queue.put("a", "b")
    broken = Reply(400, (("content-type", "application/json"),), b"{}")
    queue.answer = lambda asked: broken if asked["maxEvents"] == 0 else None
    first = build()()
    assert not first.is_successful
    assert len(first.received) == 2
    assert set(queue.waiting) == {"a", "b"}
    queue.answer = lambda asked: None
    assert build()().received == ()
    assert queue.asked[-1]["ack"] == ["a", "b"]
    assert queue.waiting == {}


def test_a_progress_that_cannot_be_saved(queue: Queue, store: Flaky, build: Any, clock: Any) -> None:
    """Where the progress cannot be kept the call fails, and the same events are acknowledged when they come again."""
    queue.put("a")
    store.away = {"put"}
    assert build()().error_code == "store_unavailable"
    store.away = set()
    polled = build()()
    assert [one.duplicate for one in polled.received] == [True]
    assert queue.waiting == {}


@pytest.mark.parametrize("value", [b"", b"x", pack(b"[]"), pack(b'{"ack":7}'), pack(b"{}", 9)])
def test_a_progress_that_is_none(queue: Queue, store: Flaky, build: Any, clock: Any, value: bytes) -> None:
    """What nobody wrote is left aside."""
    from py_identity_model._core.base.store import digest_of

    store.put(TOPIC, digest_of("poll", POLL), value, 600)
    queue.put("a")
    assert build()().is_successful
    assert queue.waiting == {}


def answer(body: Any, status: int = 200, kind: str = "application/json") -> Reply:
    return Reply(status, (("content-type", kind),), body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    "reply",
    [
        answer({}),
        answer({"sets": []}),
        answer({"sets": {"a": 7}}),
        answer({"sets": {"": "x"}}),
        answer({"sets": {}, "moreAvailable": "no"}),
        answer({"sets": {f"e{n}": "x" for n in range(26)}}),
        answer(b"["),
        answer(b'{"sets":{},"sets":{}}'),
        answer(b'{"sets":' * 2000 + b"{}" + b"}" * 2000),
        answer({"sets": {}}, kind="text/html"),
        answer({}, 401),
        answer({"error": "invalid_token"}, 403),
        answer({}, 302),
        Reply(500),
    ],
)
def test_answers_that_are_none(queue: Queue, build: Any, reply: Reply) -> None:
    """A transmitter that refuses, fails or answers nonsense is told of in the response; nothing is taken (C19)."""
    queue.put("a")
    queue.answer = lambda asked: reply
    polled = build()()
    assert not polled.is_successful
    assert polled.received == ()
    assert all("ack" not in asked for asked in queue.asked)


@pytest.mark.parametrize(
    "wrong", [{"max_events": 0}, {"max_events": 1001}, {"max_rounds": 0}, {"return_immediately": 1}]
)
def test_requests_that_cannot_be_meant(queue: Queue, build: Any, wrong: dict[str, Any]) -> None:
    """Bounds are bounds, and nothing is sent."""
    assert build()(**wrong).error_code == "policy_invalid"
    assert queue.asked == []


def test_tokens_and_addresses(api: Api, queue: Queue, build: Any, clock: Any) -> None:
    """The token may be a function; plain http is refused unless asked for by name; no secret is shown."""
    module: Any = sync if api.name == "sync" else aio
    receiver = module.SecurityEventReceiver(
        Transmitter(TR, ME, keys=SET_KEY.public_jwk), store=MemoryStore(), http_client=queue
    )
    asked = PollRequest(POLL, lambda: Secret("fresh"))
    assert api.call(receiver.poll, asked).is_successful
    assert queue.headers[-1]["Authorization"] == "Bearer fresh"
    assert "secret-7" not in repr(PollRequest(POLL, "secret-7"))
    plain = "http://tr.example.com/poll"
    assert api.call(receiver.poll, PollRequest(plain, "t")).error_code == "https_required"
    assert api.call(receiver.poll, PollRequest(POLL, "a b")).error_code == "access_token_invalid"
    assert not api.call(receiver.poll, PollRequest(plain, allow_insecure_http=True)).is_successful
    assert api.call(receiver.poll, PollRequest(POLL)).is_successful
    assert "Authorization" not in queue.headers[-1]
    failed = api.call(receiver.poll, "x")
    assert failed.error_code == "policy_invalid"
    refused = [one for one in failed.received if not one.is_successful]
    assert refused == []


def test_a_refused_token_shows_nothing_as_good(queue: Queue, build: Any) -> None:
    """The claims of a token that was refused cannot be read by mistake."""
    queue.waiting["bad"] = queue.event(jti="bad", iat=NOW + 600)
    [one] = build()().received
    with pytest.raises(FailedResponseAccessError):
        one.claims  # noqa: B018 # reading is what is tested
