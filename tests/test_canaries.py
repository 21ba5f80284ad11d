"""Secrets that must not show: every operation, with a canary in every secret field, along every way it can fail."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import py_identity_model as package
from py_identity_model import observability
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model.exceptions import TransportException

ENDPOINT = "https://id.example.com/endpoint"
JSON = (("content-type", "application/json"),)
CANARY = re.compile(r"canary", re.IGNORECASE)

#: What a request field holds if it is no secret; whatever is not named here keeps its default.
PLAIN: dict[str, Any] = {
    "address": ENDPOINT,
    "client_id": "app",
    "redirect_uri": "https://app.example.com/callback",
    "redirect_uris": ["https://app.example.com/callback"],
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "actor_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "grant_type": "urn:example:grant",
    "login_hint": None,
}
#: Secrets that have a form of their own.
FORMED: dict[str, str] = {"code_verifier": "canary-" + "v" * 43, "login_hint_token": "canary.hint.token"}
#: Names of fields that would be secrets in any other place, and why they are none here.
HARMLESS = {
    "token_type_hint": "the kind of a token, not a token",
    "subject_token_type": "the kind of a token",
    "actor_token_type": "the kind of a token",
    "requested_token_type": "the kind of a token",
    "token_endpoint_auth_method": "a method's name",
    "requires_token": "a switch",
    "private_key_jwt": "a value that hides its own key",
    "user_code_parameter": "a switch",
    "code_challenge": "sent through the browser, and useless without its verifier",
    "code_challenge_method": "a method's name",
    "dpop_key": "a value that hides its own key",
    "client_secret_jwt_algorithm": "an algorithm's name",
    "client_secret_expires_at": "a time",
    "token_type": "the kind of a token",
    "token_types": "kinds of tokens",
    "allow_challenge_that_shows_the_verifier": "a switch",
    "issued_token_type": "the kind of a token",
}
SECRET_NAME = re.compile(r"secret|token|password|verifier|private_key|assertion|(^|_)code$|device_code|auth_req_id")


def requests() -> Iterator[type]:
    """Yield every request class that the package exports."""
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value) and dataclasses.is_dataclass(value) and issubclass(value, package.BaseRequest):
            yield value


def operations() -> Iterator[tuple[Callable[..., Any], type]]:
    """Yield every exported function whose first parameter is a request."""
    kinds = {kind.__name__: kind for kind in requests()}
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isfunction(value):
            first = next(iter(inspect.signature(value).parameters.values()), None)
            if first is not None and first.annotation in kinds:
                yield value, kinds[first.annotation]


OPERATIONS = list(operations())
#: What an operation is given beside its request.
BESIDE: dict[str, tuple[Any, ...]] = {
    "wait_for_device_token": (package.DeviceAuthorizationResponse(True, interval=5, expires_in=20),),
    "wait_for_ciba_token": (package.BackchannelAuthenticationResponse(True, interval=5, expires_in=20),),
}


#: How the type of a field says that it is a secret, or what gives one.
_SECRETS = re.compile("Secret|CurrentToken")


def filled(kind: type, *, wrapped: bool) -> Any:
    """Return a request with a canary in every secret field, bare or wrapped."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        if field.name in kind._redacted:
            text = FORMED.get(field.name, f"canary-{field.name}")
            if "Mapping" in str(field.type) or "dict" in str(field.type):
                values[field.name] = {"more": "canary-extra"}
            elif "str" in str(field.type) or _SECRETS.search(str(field.type)):
                values[field.name] = Secret(text) if wrapped and _SECRETS.search(str(field.type)) else text
        elif field.name in PLAIN:
            values[field.name] = PLAIN[field.name]
    return kind(**values)


def _refused(status: int) -> Reply:
    said = {"error": "invalid_request", "error_description": "do not send canary-refresh_token", "error_uri": ENDPOINT}
    return Reply(status, JSON, json.dumps(said).encode(), ENDPOINT)


FAILURES: dict[str, Any] = {
    "connection lost": TransportException("connection lost", code="connection_lost"),
    "a page of HTML": Reply(200, (("content-type", "text/html"),), b"<p>canary-client_secret</p>", ENDPOINT),
    "an error page": Reply(500, (("content-type", "text/html"),), b"<p>canary-token</p>", ENDPOINT),
    "no JSON": Reply(200, JSON, b'{"access_token": "canary-access_token"', ENDPOINT),
    "an array": Reply(200, JSON, b'["canary-access_token"]', ENDPOINT),
    "wrong types": Reply(200, JSON, b'{"access_token": ["canary-1"], "token_type": {"canary-2": 1}}', ENDPOINT),
    "a foreign token type": Reply(200, JSON, b'{"access_token": "canary-a", "token_type": "odd"}', ENDPOINT),
    "duplicate members": Reply(200, JSON, b'{"access_token": "canary-a", "access_token": "canary-b"}', ENDPOINT),
    "an empty object": Reply(200, JSON, b"{}", ENDPOINT),
    "a redirect": Reply(302, (("location", "https://evil.example.com/?token=canary-token"),), b"", ENDPOINT),
    "unauthorized": Reply(401, (("www-authenticate", 'Bearer error="invalid_token"'),), b"canary-token", ENDPOINT),
}


def shown(value: Any) -> list[str]:
    """Return every text that a value, and an exception in it, can become without being asked for its secrets."""
    texts = [repr(value), str(value), f"{value}"]
    error = getattr(value, "exception", value if isinstance(value, BaseException) else None)
    if error is not None:
        texts += ["".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())]
        texts += [str(pickle.dumps(error)), repr(error), str(getattr(error, "details", "")), str(error.args)]
    return texts


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
@pytest.mark.parametrize("failure", list(FAILURES))
@pytest.mark.parametrize(("operation", "kind"), OPERATIONS, ids=[operation.__name__ for operation, _ in OPERATIONS])
def test_no_failure_shows_a_secret(operation, kind, failure, wrapped, clock, caplog):
    """[S25] Whatever fails, the response, its exception, its pickle, the log and the events are free of secrets."""
    caplog.set_level(logging.DEBUG)
    events: list[str] = []
    observability.add_observer(lambda event: events.append(repr(event)))
    request = filled(kind, wrapped=wrapped)
    sent: list[Any] = []

    def transport(asked):
        sent.append(repr(asked))
        if isinstance(FAILURES[failure], BaseException):
            raise FAILURES[failure].with_traceback(None)
        return FAILURES[failure]

    response = operation(request, *BESIDE.get(operation.__name__, ()), http_client=transport)
    texts = [*shown(request), *shown(response), caplog.text, *events, *sent]
    assert not [text for text in texts if CANARY.search(text)]


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
@pytest.mark.parametrize(("operation", "kind"), OPERATIONS, ids=[operation.__name__ for operation, _ in OPERATIONS])
def test_a_provider_that_echoes_a_secret(operation, kind, status, clock, caplog):
    """[S25] What a provider says in error_description is shown without the secrets that were sent to it."""
    caplog.set_level(logging.DEBUG)
    request = filled(kind, wrapped=False)
    canaries = [
        value for name in kind._redacted if isinstance(value := getattr(request, name, None), str) and "canary" in value
    ]
    said = {"error": "invalid_request", "error_description": f"unexpected {' '.join(canaries)}"[:900]}
    reply = Reply(status, JSON, json.dumps(said).encode(), ENDPOINT)
    response = operation(request, *BESIDE.get(operation.__name__, ()), http_client=lambda asked: reply)
    assert not [
        text for text in [*shown(response), caplog.text, str(response.error_description)] if CANARY.search(text)
    ]


@pytest.mark.parametrize("kind", list(requests()), ids=lambda kind: kind.__name__)
def test_secret_fields_are_known_as_such(kind):
    """A field with a secret's name is hidden in the repr of its request, or says in this file why it need not be."""
    open_fields = {
        field.name
        for field in dataclasses.fields(kind)
        if SECRET_NAME.search(field.name) and field.repr and field.name not in {*kind._redacted, *HARMLESS}
    }
    assert open_fields == set()


def test_the_operations_are_found():
    """The enumeration finds what the package offers, so that a new operation is tested the day it is exported."""
    names = {operation.__name__ for operation, _ in OPERATIONS}
    assert {"request_client_credentials_token", "refresh_token", "introspect_token", "revoke_token"} <= names
    assert len(names) >= 15
