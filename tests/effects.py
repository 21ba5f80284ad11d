"""What the tests of parameters share: calls that are observed, what was sent included, and that can be compared."""

from __future__ import annotations

import asyncio
import enum
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from py_identity_model import PyIdentityModelException, Secret
from py_identity_model._core.base.base64url import b64url_decode
from py_identity_model._core.base.flow import Reply, Request

DOORS: dict[str, Any] = {"sync": blocking, "aio": awaitable}
_jwt = re.compile(r"(eyJ[\w-]+)\.([\w-]+)\.([\w-]*)(?![\w.-])")


@dataclass(frozen=True)
class When:
    """A value that matters only beside others: *given* is true of both calls that are compared."""

    value: Any
    given: dict[str, Any]


@dataclass(frozen=True)
class Made:
    """An argument that is made anew for every call, as it remembers things."""

    make: Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """How one callable is observed: arguments that work, and for each parameter another value.

    Attributes:
        base: Arguments of the first call.
        changes: For each parameter the argument of the second; see :class:`When`.
        use: What is done with the result: an object that was built is used, and what came of that is compared.
        of: Makes the object whose method is called.
        left: What is looked at afterwards on that object.
        twice: Whether the call is made twice, so that the second finds what the first has cached.
    """

    base: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    use: Callable[[Any, Any], Any] = lambda door, result: result
    of: Callable[[Any], Any] | None = None
    left: Callable[[Any], Any] | None = None
    twice: bool = False


class Recorder:
    """A transport that answers everything with one JSON object, and keeps what it was asked."""

    def __init__(self, name: str = "first", status: int = 200, **body: Any) -> None:
        self.name, self.status, self.body = name, status, body
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        return Reply(self.status, (("content-type", "application/json"),), json.dumps(self.body).encode(), request.url)


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a callable by name."""
    return {name: each for name, each in inspect.signature(function).parameters.items() if name != "self"}


def call(function: Any, arguments: Mapping[str, Any]) -> Any:
    """Call with arguments by name, those of ``*names`` and ``**names`` included, and wait for the result."""
    args: list[Any] = []
    named = dict(arguments)
    known = parameters(function)
    spread = any(each.kind is each.VAR_POSITIONAL for each in known.values())
    for name, each in known.items():
        if each.kind is each.VAR_POSITIONAL:
            args += named.pop(name, ())
        elif each.kind is each.VAR_KEYWORD:
            named |= named.pop(name, {})
        elif name in named and (each.kind is each.POSITIONAL_ONLY or (spread and each.kind is not each.KEYWORD_ONLY)):
            args.append(named.pop(name))
    return wait(function(*args, **named))


def wait(result: Any) -> Any:
    """Return what a coroutine returns, or the value itself."""
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def jwt(found: re.Match[str]) -> str:
    """Return what a JWT says, its lifetime instead of its times; signatures are random."""
    header, claims = (json.loads(b64url_decode(found[at])) for at in (1, 2))
    if {"exp", "iat"} <= claims.keys():
        claims["exp"] -= claims["iat"]
    for name in ("iat", "nbf", "jti"):
        claims.pop(name, None)
    signature = "" if header.get("alg", "")[:2] in {"ES", "PS"} else found[3]
    return json.dumps([header, claims, signature], sort_keys=True)


def member(value: Any, name: str) -> Any:
    """Return a field, None for what a failed response does not give."""
    try:
        return getattr(value, name, None)
    except PyIdentityModelException:
        return None


def shown(value: Any) -> Any:
    """Return a value as text that can be compared, secrets included."""
    if isinstance(value, Secret):
        return shown(value.expose())
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return _jwt.sub(jwt, value)
    if isinstance(value, bytes):
        return shown(value.decode("latin-1"))
    if isinstance(value, BaseException):
        return f"{type(value).__name__} {getattr(value, 'code', '')}: {value}"
    if isinstance(value, Mapping):
        return {str(name): shown(each) for name, each in value.items()}
    if isinstance(value, list | tuple | Iterator):
        return [shown(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: shown(member(value, each.name)) for each in fields(value)}
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def observe(door: Any, function: Any, case: Case, arguments: Mapping[str, Any]) -> Any:
    """Call, use the result, and return what came of it and what was sent."""
    arguments = {name: each.make() if isinstance(each, Made) else each for name, each in arguments.items()}
    transports = [each for each in arguments.values() if isinstance(each, Recorder)]
    for each in transports:
        each.requests.clear()
    for clear in (door.clear_discovery_cache, door.clear_jwks_cache):
        wait(clear())
    try:
        if case.twice:
            call(function, arguments)
        result = shown(case.use(door, call(function, arguments)))
    except PyIdentityModelException as error:
        result = shown(error)
    if case.left:
        result = result, shown(case.left(function.__self__))
    return result, [(each.name, shown(each.requests)) for each in transports]
