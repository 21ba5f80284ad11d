"""Secrets: seen only by those who ask for them."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import pytest

from py_identity_model._core.base.response import BaseRequest
from py_identity_model._core.base.secret import REDACTED, Secret, exposed
from py_identity_model.exceptions import ConfigurationException

TEXT = "correct horse battery staple"


@dataclass(repr=False)
class LoginRequest(BaseRequest):
    """A request with a secret in it."""

    user: str
    password: str | Secret | None = None
    _redacted: ClassVar[frozenset[str]] = frozenset({"password"})


def test_expose():
    """expose() is the way to the text, also through another wrapper."""
    assert Secret(TEXT).expose() == TEXT
    assert Secret(Secret(TEXT)).expose() == TEXT
    assert exposed(TEXT) == exposed(Secret(TEXT)) == TEXT


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>40}".format,
        "{:>40}".format,
        lambda secret: f"{secret}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 # this way of printing is the test
        lambda secret: repr([secret, {"a": secret}]),
        lambda secret: json.dumps({"a": secret}, default=str),
        lambda secret: str(ValueError(secret)),
    ],
)
def test_no_way_of_printing_shows_it(show):
    """No way of turning it into text shows it."""
    assert TEXT not in show(Secret(TEXT))
    assert "redacted" in show(Secret(TEXT))


def test_logs_do_not_show_it(caplog):
    """Neither do logs."""
    logging.getLogger("test").warning("%s %r", Secret(TEXT), {"secret": Secret(TEXT)})
    assert TEXT not in caplog.text


def test_tracebacks_with_locals_do_not_show_it():
    """Neither do tracebacks that print local variables."""
    secret = Secret(TEXT)
    try:
        raise ValueError(secret)
    except ValueError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert TEXT not in "".join(line for line in shown.format() if "TEXT =" not in line)


def test_json_refuses_it():
    """It does not slip into JSON by itself."""
    with pytest.raises(TypeError):
        json.dumps({"secret": Secret(TEXT)})


def test_pickle_refuses_it():
    """It does not slip into a pickle."""
    with pytest.raises(ConfigurationException) as caught:
        pickle.dumps(Secret(TEXT))
    assert caught.value.code == "secret_not_picklable"
    assert TEXT not in str(caught.value)


def test_it_has_no_dictionary():
    """vars() finds nothing."""
    with pytest.raises(TypeError):
        vars(Secret(TEXT))


@pytest.mark.parametrize("value", ["", None, 7, b"bytes", ["x"], True])
def test_what_is_no_secret(value):
    """A secret is a string that is not empty, and the refusal does not repeat what came."""
    with pytest.raises(ConfigurationException) as caught:
        Secret(value)
    assert caught.value.code == "secret_invalid"
    assert "bytes" not in str(caught.value)


def test_comparison():
    """Secrets compare and hash by their text, and with nothing else."""
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT
    assert len({Secret(TEXT), Secret(TEXT), Secret("other")}) == 2
    assert Secret("\ud800") == Secret("\ud800")


def test_requests_with_secrets_can_be_copied():
    """A request that holds a secret can be copied, replaced and taken apart."""
    request = LoginRequest("https://id.example.com", "ada", Secret(TEXT))
    assert copy.copy(request) == copy.deepcopy(request) == replace(request) == request
    assert asdict(request)["password"] == Secret(TEXT)


@pytest.mark.parametrize("password", [TEXT, Secret(TEXT)])
def test_requests_hide_secret_fields(password):
    """The repr of a request hides the field, bare or wrapped, and shows the rest."""
    shown = repr(LoginRequest("https://id.example.com", "ada", password))
    assert (
        shown == f"LoginRequest(address='https://id.example.com', backchannel=None, user='ada', password={REDACTED!r})"
    )


def test_absent_secrets_are_seen_to_be_absent():
    """That no secret was given is no secret."""
    assert repr(LoginRequest("https://id.example.com", "ada")).endswith("password=None)")
