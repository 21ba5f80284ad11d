"""What a store keeps is read as what it is, or not at all: whoever wrote it, no error of another library comes out."""

from __future__ import annotations

from typing import Any

import pytest

from login_world import LoginWorld
from py_identity_model import ConfigurationException
from py_identity_model._core.base.codec import Codec
from py_identity_model._core.base.store import pack
from py_identity_model._core.client import held_tokens
from py_identity_model._core.discovery import shared_fetch
from py_identity_model._core.login import oauth_client, oauth_registration
from py_identity_model._core.mcp import clients, logins
from py_identity_model._core.signals import poll
from py_identity_model._core.validation import revocations
from py_identity_model._core.web_login import index, records
from py_identity_model._core.web_login import logins as web_logins
from py_identity_model.observability import Event, add_observer

CODECS: dict[str, Codec[Any]] = {
    "tokens": held_tokens.ENTRIES,
    "DPoP keys": oauth_client._KEYS,
    "registrations": oauth_registration._REGISTRATIONS,
    "sessions": records.RECORDS,
    "lists of sessions": index._LISTS,
    "ends of sessions": index._ENDS,
    "logins": web_logins._LOGINS,
    "answers": shared_fetch._ANSWERS,
    "progress": poll._PROGRESS,
    "marks": revocations._MARKS,
    "clients of MCP": clients._REGISTRATIONS,
    "logins of MCP": logins._KNOWN,
}
DEEP = b"[" * 100_000 + b"]" * 100_000
HOSTILE = {
    "nothing": b"",
    "no JSON": b"\xff\xfe",
    "another type": b'"text"',
    "null": b"null",
    "half": b'["a",',
    "no UTF-8": b'["\xff","\xff","\xff"]',
    "half of a pair": b'["\\ud800","\\ud800","\\ud800"]',
    "endless": b"1e999",
    "deep": DEEP,
    "deep within": b'["a","a","a",' + DEEP + b"]",
    "deep under a name": b'{"a":' + DEEP + b',"ack":' + DEEP + b"}",
}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_read_is_a_miss_that_is_told(codec: Codec[Any], value: bytes) -> None:
    """In its envelope or without one: None and an event, or the value of another program that happens to be good."""
    told: list[Event] = []
    add_observer(told.append)
    for data in (pack(value, codec._version), value, pack(value, codec._version + 1), pack(value)[:-1]):
        told.clear()
        found = codec.decoded(data)
        assert (found is None) is (len(told) == 1), (found, told)
    assert codec.decoded(None) is None


def test_a_session_with_claims_without_end_is_none() -> None:
    """A record is an array whose claims are anything: read to a bounded depth."""
    deep = b'["","i","s",null,{"a":' + DEEP + b'},"t",1,2,3]'
    assert records.RECORDS.decoded(pack(deep)) is None


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_a_mark_of_ended_sessions_that_cannot_be_read_ends_them(clock: Any, kind: str) -> None:
    """A logout must not be lost with a torn value: nobody is logged in over it."""
    world = LoginWorld(kind, clock)
    whose = index.of_user(world.provider.issuer, "alice")
    for value in (b"torn", pack(b'"text"'), pack(b"1", 9)):
        world.store.put("session_index", whose.mark, value, 600.0)
        browser = world.browser()
        assert browser.log_in().status == 400
        assert browser.visit().status == 303
    world.store.delete("session_index", whose.mark)
    assert world.browser().log_in().status == 303


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_a_user_that_is_no_json_is_a_mistake_of_the_application(clock: Any, kind: str) -> None:
    """One that holds itself, too."""
    loop: dict[str, Any] = {}
    loop["self"] = loop
    for wrong in (loop, object(), {1: object()}):
        world = LoginWorld(kind, clock)
        browser = world.browser(world.process(on_login=lambda claims, wrong=wrong: wrong))
        with pytest.raises(ConfigurationException):
            browser.log_in()
