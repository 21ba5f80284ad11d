"""Hooks of the application that fail: nobody is let in, and whoever made the mistake hears of it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from werkzeug.test import Client

from door_world import DoorWorld
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.integrations import asgi, wsgi
from py_identity_model.integrations.routes import Published


def broken(*_: Any) -> Any:
    """Fail, as a database does that is away."""
    raise LookupError("the database is away")


async def broken_later(*_: Any) -> Any:
    """Fail once it is awaited."""
    raise LookupError("the database is away")


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request."""
    await PlainTextResponse("in")(scope, receive, send)


def inner_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Answer every request."""
    start_response("200 OK", [])
    return [b"in"]


HOOKS = ["load_user", "on_refusal", "check"]


def ask(world: DoorWorld, door: str, hook: str, function: Any) -> None:
    """Send a request that the hook is asked about; it must not be answered."""
    options, demands = ({}, {hook: function}) if hook == "check" else ({hook: function}, {})
    headers = {} if hook == "on_refusal" else world.bearer()
    if door == "asgi":
        TestClient(asgi.ResourceServerMiddleware(inner, world.awaiting(**options), **demands)).get("/", headers=headers)
    else:
        app = wsgi.ResourceServerMiddleware(inner_wsgi, world.blocking(**options), **demands)
        Client(app).get("/", headers=headers)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(("door", "function"), [("asgi", broken), ("asgi", broken_later), ("wsgi", broken)])
def test_a_hook_that_fails_lets_nobody_in(door: str, function: Any, hook: str) -> None:
    """Its exception reaches the server as it is, which answers 500."""
    with pytest.raises(LookupError):
        ask(DoorWorld(), door, hook, function)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_must_be_awaited_is_refused_where_nothing_awaits(hook: str) -> None:
    """With an error that says so: a coroutine is neither a user nor a yes."""
    with pytest.raises(ConfigurationException) as refused:
        ask(DoorWorld(), "wsgi", hook, broken_later)
    assert "awaitable" in str(refused.value)


async def answering_later(*_: Any) -> Any:
    """Answer with a response of the framework, once it is awaited."""
    return PlainTextResponse("no", 403)


@pytest.mark.parametrize("made", [PlainTextResponse("no", 403), Published(403, (), b""), DoorWorld, {}, False, (403,)])
@pytest.mark.parametrize("door", ["asgi", "wsgi"])
def test_an_answer_that_is_no_refusal_lets_nobody_in(door: str, made: Any) -> None:
    """Whatever else ``on_refusal`` returns, empty or not, whoever wrote it hears what was expected."""
    with pytest.raises(ConfigurationException) as refused:
        ask(DoorWorld(), door, "on_refusal", lambda *_: made)
    assert (refused.value.claim, "Refusal" in str(refused.value)) == ("on_refusal", True)


def test_an_awaited_answer_that_is_no_refusal_lets_nobody_in() -> None:
    """The same of a hook that awaits."""
    with pytest.raises(ConfigurationException, match="Refusal"):
        ask(DoorWorld(), "asgi", "on_refusal", answering_later)
