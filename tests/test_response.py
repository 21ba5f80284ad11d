"""The guard of responses: a failed one cannot be read as a good one."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import ClassVar

import pytest

from py_identity_model._core.base.flow import Flow, Reply, get, send
from py_identity_model._core.base.provider_words import provider_words
from py_identity_model._core.base.response import BaseRequest, BaseResponse, answered
from py_identity_model._core.base.secret import REDACTED
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    NetworkException,
    TokenExpiredException,
    TokenRequestException,
    TransportException,
)


@dataclass(repr=False)
class GrantResponse(BaseResponse):
    """A response with a guarded secret and a field that must be given."""

    token: dict[str, str] | None = None
    interval: int | None = None
    _guarded: ClassVar[frozenset[str]] = frozenset({"token"})
    _redacted: ClassVar[frozenset[str]] = frozenset({"token"})


@dataclass(repr=False)
class CallbackResponse(BaseResponse):
    """A response that fails while still holding what it was made of."""

    raw: str = ""


def test_successful_response():
    """The data of a successful response can be read, and it has no error."""
    response = GrantResponse(True, token={"a": "b"})
    assert response.token == {"a": "b"}
    assert response.error is None
    assert response.exception is None
    response.raise_for_error()


def test_failed_response():
    """Reading a guarded field of a failed response names the field and the failure; other fields can be read."""
    response = GrantResponse(False, "no route to host", interval=5)
    with pytest.raises(FailedResponseAccessError) as caught:
        _ = response.token
    assert caught.value.field_name == "token"
    assert caught.value.error == "no route to host"
    assert "'token'" in str(caught.value)
    assert "no route to host" in str(caught.value)
    assert response.interval == 5


def test_guard_covers_every_way_of_reading():
    """getattr with a default and hasattr do not get around the guard."""
    response = GrantResponse(False, "down")
    with pytest.raises(FailedResponseAccessError):
        getattr(response, "token", None)
    with pytest.raises(FailedResponseAccessError):
        hasattr(response, "token")


def test_guard_follows_the_outcome():
    """A response that turns out to have failed is guarded from then on."""
    response = GrantResponse(True, token={})
    response.is_successful = False
    with pytest.raises(FailedResponseAccessError):
        _ = response.token


def test_repr_does_not_trip_the_guard():
    """A failed response can be printed, and secrets stay hidden either way."""
    assert "down" in repr(GrantResponse(False, "down"))
    shown = repr(GrantResponse(True, token={"access_token": "s3cr3t"}))
    assert "s3cr3t" not in shown
    assert REDACTED in shown


def test_comparison_does_not_trip_the_guard():
    """Responses compare by what they hold, failed ones too, and only with their own kind."""
    assert GrantResponse(False, "down") == GrantResponse(False, "down")
    assert GrantResponse(False, "down") != GrantResponse(False, "up")
    assert GrantResponse(True, token={"a": "b"}) == GrantResponse(True, token={"a": "b"})
    assert GrantResponse(True, token={"a": "b"}) != GrantResponse(True, token={"a": "c"})
    assert GrantResponse(True) != CallbackResponse(True)
    assert GrantResponse(True) != True  # noqa: E712 # a response is no bool


def test_copies_keep_the_guard():
    """A copied or pickled failed response is guarded like the first."""
    response = GrantResponse.failed(NetworkException("down", status_code=503))
    for twin in (copy.copy(response), copy.deepcopy(response), pickle.loads(pickle.dumps(response))):
        assert twin == response
        with pytest.raises(FailedResponseAccessError):
            _ = twin.token
        assert isinstance(twin.exception, NetworkException)


def test_failed_tells_all():
    """A failed response carries the provider's words, the status and the exception, which it can raise."""
    error = TokenRequestException(
        "refused",
        "https://id.example.com/token",
        400,
        error="invalid_grant",
        error_description="code was used",
        error_uri="https://id.example.com/help",
    )
    response = GrantResponse.failed(error, interval=5)
    assert (response.is_successful, response.error) == (False, "refused")
    assert (response.error_code, response.error_description) == ("invalid_grant", "code was used")
    assert (response.error_uri, response.status_code, response.interval) == ("https://id.example.com/help", 400, 5)
    with pytest.raises(TokenRequestException) as caught:
        response.raise_for_error()
    assert caught.value is error


def test_failed_without_provider_error():
    """Where the provider said nothing the error code is our own, and the hint is part of the error."""
    response = GrantResponse.failed(TokenExpiredException("Expired", hint="clocks differ"))
    assert (response.error_code, response.error) == ("token_expired", "Expired (hint: clocks differ)")
    assert (response.status_code, response.error_description) == (None, None)


def test_failed_gives_required_fields_no_value():
    """A response with fields that must be given can fail as well."""

    @dataclass(repr=False)
    class Strict(BaseResponse):
        error: str | None = None
        raw: str = ""

    assert Strict.failed(NetworkException("down")).error == "down"
    assert CallbackResponse.failed(NetworkException("down"), raw="x").raw == "x"
    assert CallbackResponse.failed(NetworkException("down"), unknown="x").raw == ""


def test_raise_for_error_without_exception():
    """A failed response made by hand raises what it can."""
    with pytest.raises(NetworkException, match="down") as caught:
        GrantResponse(False, "down", status_code=503).raise_for_error()
    assert caught.value.status_code == 503
    with pytest.raises(NetworkException, match="the request failed"):
        GrantResponse(False).raise_for_error()


def test_answered(perform):
    """Around a flow, failures of provider, network and caller become failed responses; success passes through."""

    def asking() -> Flow[GrantResponse]:
        reply = yield from send(get("https://id.example.com/token"))
        if reply.status != 200:
            raise TokenRequestException("refused", status_code=reply.status)
        return GrantResponse(True, token={"n": reply.body.decode()})

    def misled() -> Flow[GrantResponse]:
        raise ConfigurationException("no such thing")
        yield

    def answer(flow, *replies):
        return perform(lambda: answered(GrantResponse, flow), *replies)[0]

    assert answer(asking, Reply(200, (), b"1")).token == {"n": "1"}
    assert answer(asking, Reply(400)).status_code == 400
    assert answer(asking, TransportException("gone", code="timeout")).error_code == "timeout"
    assert answer(misled).error_code == "configuration_invalid"


def test_answered_lets_bugs_through(perform):
    """A bug is not dressed up as a failed response."""

    def broken() -> Flow[GrantResponse]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        perform(lambda: answered(GrantResponse, broken))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("invalid_grant", "invalid_grant"),
        ("a\nb\x1b[0m", "a\\nb\\x1b[0m"),
        ("", None),
        (None, None),
        (7, None),
        ({"a": 1}, None),
        ("x" * 1500, "x" * 683 + " ... " + "x" * 341),
    ],
)
def test_provider_words(value, words):
    """A provider's words are one safe, bounded line, and nothing but text counts as words."""
    assert provider_words(value) == words


def test_base_types_as_published():
    """The two bases take the published fields by position."""
    assert BaseRequest("https://id.example.com").address == "https://id.example.com"
    response = BaseResponse(False, "down")
    assert (response.is_successful, response.error) == (False, "down")
    with pytest.raises(TypeError):
        BaseResponse()  # type: ignore[call-arg] # that is the test
