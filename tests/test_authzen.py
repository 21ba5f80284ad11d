"""A decision point behind a requirement: asked as AuthZEN 1.0 says, believed as long as it says, never guessed."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import py_identity_model
import py_identity_model.aio
from apis import Api, Provider
from py_identity_model import AccessEvaluation, InboundRequest, Requirement, ResourceServer, TokenValidator, aio
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.testing import EmbeddedProvider

URL = "https://pdp.example.com/access/v1/evaluation"
READ = {"action": {"name": "read"}, "resource": {"type": "order", "id": "17"}}


class Point:
    """A decision point that is only data, and what it was asked."""

    def __init__(self, decision: Any = True, status: int = 200, **headers: str) -> None:
        self.body = json.dumps({"decision": decision, "context": {"reason": "x"}}).encode()
        self.status, self.headers = status, headers
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        named = tuple((name.replace("_", "-"), value) for name, value in self.headers.items())
        return Reply(self.status, (("content-type", "application/json"), *named), self.body, request.url)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def api(request: Any) -> Api:
    """Each API in turn."""
    return Api(request.param)


@pytest.fixture
def ask(api: Api, clock: Any) -> Any:
    """Ask a decision point about a token of ada's; the answer of the gate."""
    provider = Provider()
    validator = api.validator(provider.issuer, audience="api", http_client=provider)
    door = py_identity_model if api.name == "sync" else py_identity_model.aio

    def asking(point: Any, check: AccessEvaluation, **claims: Any) -> Any:
        token = provider.token(**claims)
        request = InboundRequest.build("GET", "https://api/orders", {"Authorization": f"Bearer {token}"})
        return api.call(door.ResourceServer(validator, http_client=point).decide, request, Requirement(check=check))

    return asking


def test_the_question_has_the_form_of_the_specification(ask: Any) -> None:
    """Subject, action, resource and context, as JSON, with the token of the decision point."""
    point = Point()
    check = AccessEvaluation(
        URL, **READ, context=lambda principal: {"amr": principal.claims["amr"]}, bearer_token=lambda: "canary"
    )
    assert ask(point, check, client_id="app", amr=["otp"]).subject == "ada"
    (request,) = point.requests
    assert (request.method, request.url) == ("POST", URL)
    assert dict(request.headers)["authorization"] == "Bearer canary"
    assert json.loads(request.body) == READ | {
        "subject": {
            "type": "user",
            "id": "ada",
            "properties": {"iss": "https://id.example.com", "client_id": "app"},
        },
        "context": {"amr": ["otp"]},
    }
    assert "canary" not in repr(check) + repr(request)


def test_a_client_is_a_subject_of_its_own_kind(ask: Any) -> None:
    """A token of a client itself speaks of no user."""
    point = Point()
    ask(point, AccessEvaluation(URL, **READ), sub="app", client_id="app")
    assert json.loads(point.requests[0].body)["subject"]["type"] == "client"


def test_a_decision_against_is_a_403(ask: Any) -> None:
    """The answer says no more than that."""
    refusal = ask(Point(False), AccessEvaluation(URL, **READ))
    assert refusal.status == 403
    assert b"reason" not in refusal.body


@pytest.mark.parametrize(
    "point",
    [
        Point(True, 500),
        Point(True, 404),
        Point(True, 302, location="https://evil.example.com/"),
        Point("true"),
        Point(1),
        Point(None),
        lambda request: Reply(200, (), b"[true]"),
        lambda request: Reply(200, (), b"\xff"),
        lambda request: Reply(200, (), b'{"decision": true, "context": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        lambda request: Reply(200, (), b""),
    ],
)
def test_whatever_is_no_decision_lets_nobody_in(point: Any, ask: Any) -> None:
    """503: it cannot be told right now."""
    assert ask(point, AccessEvaluation(URL, **READ)).status == 503


def test_a_point_that_is_away_lets_nobody_in_and_is_not_asked_by_every_request(ask: Any) -> None:
    """After a failure it is left alone for a while."""
    requests = []

    def down(request: Request) -> Reply:
        requests.append(request)
        raise OSError("down")

    check = AccessEvaluation(URL, **READ)
    for _ in range(5):
        assert ask(down, check).status == 503
    assert len(requests) == 1


def test_an_answer_is_believed_for_as_long_as_it_says(ask: Any, clock: Any) -> None:
    """And each question by itself."""
    point = Point(True, cache_control="max-age=60")
    check = AccessEvaluation(URL, **READ)
    ask(point, check)
    ask(point, check)
    assert len(point.requests) == 1
    ask(point, check, sub="eve")
    assert len(point.requests) == 2
    clock.pause(61)
    point.body = b'{"decision": false}'
    assert ask(point, check).status == 403


@pytest.mark.parametrize("headers", [{}, {"cache_control": "no-store"}, {"cache_control": "max-age=0"}])
def test_an_answer_that_says_nothing_is_asked_for_each_time(headers: dict[str, str], ask: Any) -> None:
    """A permission that was taken back takes effect at once."""
    point = Point(True, **headers)
    check = AccessEvaluation(URL, **READ)
    assert ask(point, check).subject == "ada"
    point.body = b'{"decision": false}'
    assert ask(point, check).status == 403


def test_no_answer_is_believed_for_more_than_five_minutes(ask: Any, clock: Any) -> None:
    """Whatever it says of itself."""
    point = Point(True, cache_control="max-age=86400")
    check = AccessEvaluation(URL, **READ)
    ask(point, check)
    clock.pause(301)
    ask(point, check)
    assert len(point.requests) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "http://pdp.example.com/"},
        {"action": "read"},
        {"timeout": 0},
        {"max_entries": 0},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """When it is built."""
    with pytest.raises(ConfigurationException):
        AccessEvaluation(**{"endpoint": URL, **READ} | options)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps({"decision": asked["subject"]["id"] == "ada"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_decision_point_on_a_server_is_asked_in_both_apis() -> None:
    """Over HTTP, by the clients of the library."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        check = AccessEvaluation(f"http://127.0.0.1:{server.server_port}/", **READ, allow_insecure_http=True)
        provider = EmbeddedProvider()
        with provider.serve():
            for subject, status in (("ada", None), ("eve", 403)):
                token = provider.mint(audience="api", subject=subject)
                request = InboundRequest.build("GET", "https://api/", {"Authorization": f"Bearer {token}"})
                blocking = ResourceServer(TokenValidator(provider.issuer, "api"))
                loop = aio.ResourceServer(aio.TokenValidator(provider.issuer, "api"))
                for decided in (
                    blocking.decide(request, Requirement(check=check)),
                    asyncio.run(loop.decide(request, Requirement(check=check))),
                ):
                    assert getattr(decided, "status", None) == status
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
