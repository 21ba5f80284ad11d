"""GitHub's endpoint for ID tokens, for real: over sockets, to a server that answers well, badly, too much or never."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from apis import Api
from fault_server import FaultServer, Seen, whole
from py_identity_model import GitHubActions, PyIdentityModelException, SigningKey, TokenUnavailable
from py_identity_model._core.jose.jws import sign_compact

AUDIENCE = "https://id.example.com"
REQUEST_TOKEN = "request-token-of-the-job"
KEY = SigningKey.generate("ES256", kid="platform")
#: Seconds of one exchange with a server that never answers, and what a loaded machine may add.
TIMEOUT, SLACK = 0.3, 1.0


class Runner(FaultServer):
    """The endpoint that a job is given."""

    def _play_token(self, seen: Seen, *_: Any) -> Iterator[bytes]:
        claims = {"iss": "https://token.actions.example.com", "sub": "repo:acme/shop", "aud": AUDIENCE}
        token = sign_compact({**claims, "exp": int(time.time()) + 300, "jti": str(len(self.requests))}, KEY)
        yield whole(json.dumps({"count": 1, "value": token}).encode())

    def _play_silence(self, *_: Any) -> Iterator[bytes]:
        self._stop.wait(30)
        yield from ()


@pytest.fixture
def runner() -> Iterator[Runner]:
    """The endpoint, on loopback."""
    server = Runner()
    yield server
    server.close()


def fetched(api: Api, runner: Runner, path: str, monkeypatch: pytest.MonkeyPatch, timeout: float = 5.0) -> str:
    """Fetch a token of the job with the API at hand and a client of its own."""
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", runner.url(path))
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
    door: Any = blocking if api.name == "sync" else awaitable
    client = door.HTTPClient(timeout=timeout)
    try:
        token: str = api.call(door.fetch_identity_token, GitHubActions(AUDIENCE), client).expose()
    finally:
        api.call(client.close)
    return token


def refused(api: Api, runner: Runner, path: str, monkeypatch: pytest.MonkeyPatch, timeout: float = 5.0) -> Any:
    """Return what fetching fails with; the job's own token is never in it."""
    with pytest.raises(PyIdentityModelException) as error:
        fetched(api, runner, path, monkeypatch, timeout)
    assert REQUEST_TOKEN not in "".join(traceback.format_exception(error.value))
    return error.value


def test_a_job_gets_its_token(api: Api, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """One GET with the job's own token in the header and the audience in the query; a new token each time."""
    first, second = (fetched(api, runner, "token?api-version=2.0", monkeypatch) for _ in range(2))
    assert first != second
    seen = runner.requests[0]
    assert (seen.method, seen.target) == ("GET", "/token?api-version=2.0&audience=https%3A%2F%2Fid.example.com")
    assert seen.header("authorization") == [f"Bearer {REQUEST_TOKEN}"]
    assert len(runner.requests) == 2


def test_an_outage_is_no_fault_of_the_jobs(api: Api, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 is asked again twice at most, and then told as what it is."""
    error = refused(api, runner, "status/500?after=0", monkeypatch)
    assert (type(error), error.code, error.status_code) == (TokenUnavailable, "identity_token_refused", 500)
    assert len(runner.requests) == 3


def test_a_redirect_takes_the_jobs_token_nowhere(api: Api, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not within the host either: the one address that the job is given is asked."""
    error = refused(api, runner, "redirect/1?to=/token", monkeypatch)
    assert (error.code, error.status_code) == ("identity_token_refused", 302)
    assert len(runner.requests) == 1


@pytest.mark.parametrize("path", ["silence", "drip-head", "drip"])
def test_a_slow_answer_is_waited_for_within_the_budget(
    api: Api, runner: Runner, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Twice the timeout of one exchange in all, whether no byte comes or one now and then."""
    began = time.monotonic()
    error = refused(api, runner, path, monkeypatch, TIMEOUT)
    assert time.monotonic() - began < 2 * TIMEOUT + SLACK
    assert (type(error), error.code) == (TokenUnavailable, "identity_token_unavailable")


def test_a_pause_that_outlasts_the_budget_is_not_made(
    api: Api, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for two minutes is not asked again: a job would hang for four."""
    began = time.monotonic()
    error = refused(api, runner, "status/503?after=120", monkeypatch, TIMEOUT)
    assert time.monotonic() - began < 2 * TIMEOUT + SLACK
    assert (type(error), error.code) == (TokenUnavailable, "identity_token_unavailable")
    assert len(runner.requests) == 1


@pytest.mark.parametrize("path", ["huge", "endless", "unsized", "boastful", "bomb"])
def test_a_body_without_end_is_not_read(api: Api, runner: Runner, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Announced, chunked, until the connection ends, or squeezed: more than a token's worth is no answer."""
    error = refused(api, runner, path, monkeypatch)
    assert (type(error), error.code) == (TokenUnavailable, "identity_token_unavailable")
    assert len(runner.requests) == 1
    assert runner.sent < 8 * 1024 * 1024


@pytest.mark.parametrize("path", ["reset", "truncated", "garbage"])
def test_a_connection_that_breaks_is_told(api: Api, runner: Runner, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Whatever the socket did, the failure is ours."""
    error = refused(api, runner, path, monkeypatch, TIMEOUT)
    assert (type(error), error.code) == (TokenUnavailable, "identity_token_unavailable")
