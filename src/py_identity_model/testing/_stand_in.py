"""The gates of a test: a principal for requests that bring no credentials, everything behind it as the application has.

No door knows of this: for the length of a block a gate of a test is in the place of the application's own, which is an
attribute of its resource server. Nothing outside :mod:`py_identity_model.testing` imports it, which a test holds, so an
application comes by it only by importing it itself, and what can do that can do anything.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import fields, replace
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

from .._core.base.flow import Flow, now
from .._core.binding.challenges import Refusal
from .._core.binding.dpop_server import DPoPProof
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.gate import Authenticated, Gate
from .._core.resource.presented_token import PresentedToken
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import AnyResourceServer
from ..exceptions import ConfigurationException, MissingCredentialsException, PyIdentityModelException
from ._person import Person

G = TypeVar("G", bound=Gate)


class StandIn:
    """Who requests are from, for the length of a ``with`` block; :func:`authenticated` makes one.

    Attributes:
        headers: Name them in a request that another thread or server of this process answers; empty for nobody.
    """

    headers: Mapping[str, str]
    _person: Person
    _apis: tuple[AnyResourceServer, ...]
    _everywhere: bool

    @classmethod
    def _of(cls, person: Person, apis: Iterable[AnyResourceServer], *, everywhere: bool) -> Self:
        made = cls()
        made._person, made._apis, made._everywhere = person, tuple(apis), everywhere
        token = f"{person.scheme} stand-in-{secrets.token_urlsafe(16)}"
        made.headers = MappingProxyType({} if person.subject is None else {"Authorization": token})
        return made

    def __enter__(self) -> Self:
        _begin(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self)

    def __repr__(self) -> str:
        return f"StandIn({self._person.subject!r})"

    def _is_for(self, api: AnyResourceServer) -> bool:
        return any(each is api for each in self._apis)

    def _presenting(self, request: InboundRequest) -> InboundRequest:
        """Return a request as if it brought the token that there is not."""
        others = (each for each in request.headers if each[0].lower() != "authorization")
        return replace(request, headers=(*others, *self.headers.items()))


# ---------------------------------------------------------------------------------------------------------------------
# Who is whom, where

#: Those whose block the code at hand is in; a thread or task that is started there has a copy.
_here: ContextVar[tuple[StandIn, ...]] = ContextVar("stand_ins", default=())
_open: list[StandIn] = []
#: Resource servers with a gate of a test, by identity: the server, its own gate, and for how many blocks.
_swapped: dict[int, tuple[AnyResourceServer, Gate, int]] = {}
_lock = threading.RLock()


def _begin(one: StandIn) -> None:
    with _lock:
        if one in _open:
            raise ConfigurationException("This block is open already", code="stand_in_open")
        _refuse_two_everywhere(one)
        _open.append(one)
        for api in one._apis:
            _swap(api)
    _here.set((*_here.get(), one))


def _refuse_two_everywhere(one: StandIn) -> None:
    others = [each for each in _open if each._everywhere and any(map(each._is_for, one._apis))]
    if one._everywhere and others and others[-1] not in _here.get():
        raise ConfigurationException(
            "Two tests at once say who every request to this application is from",
            code="stand_in_ambiguous",
            expected="one at a time",
            hint="send user.headers with each request: with authenticated(app, everywhere=False) as user",
        )


def _end(one: StandIn) -> None:
    with _lock:
        if one not in _open:
            return
        _open.remove(one)
        for api in one._apis:
            _restore(api)
    # No token of the variable: a fixture may end in another context than it began in.
    _here.set(tuple(each for each in _here.get() if each is not one))


def _swap(api: AnyResourceServer) -> None:
    _, own, blocks = _swapped.get(id(api), (api, api.gate, 0))
    if not blocks:
        made = _copied(own, _TestGate)
        object.__setattr__(made, "api", api)  # gates are frozen
        api.gate = made
    _swapped[id(api)] = (api, own, blocks + 1)


def _restore(api: AnyResourceServer) -> None:
    _, own, blocks = _swapped.pop(id(api))
    if blocks > 1:
        _swapped[id(api)] = (api, own, blocks - 1)
    else:
        api.gate = own


def _found(api: AnyResourceServer, request: InboundRequest) -> StandIn | None:
    """Return who a request is said to be from; None where it is judged as it comes."""
    sent = request.header_values("authorization")
    with _lock:
        standing = [each for each in _open if each._is_for(api)]
    if sent:
        return next((each for each in standing if sent == list(each.headers.values())), None)
    here = [each for each in _here.get() if each in standing]  # a copied context outlives its block
    chosen = (here or [each for each in standing if each._everywhere])[-1:]
    return next((each for each in chosen if each._person.subject is not None), None)


# ---------------------------------------------------------------------------------------------------------------------
# Gates


class _Presented(Gate):
    """The application's gate, before which a token was found to be valid."""

    def _check_sender(
        self, request: InboundRequest, presented: PresentedToken, claims: Mapping[str, Any]
    ) -> Flow[DPoPProof | None]:
        bound = claims.get("cnf")
        if self.constraint != "refused" and isinstance(bound, Mapping) and {"jkt", "x5t#S256"} & bound.keys():
            return None  # there is no proof to check, as there is no token
        return (yield from Gate._check_sender(self, request, presented, claims))


class _TestGate(Gate):
    """The application's gate, with principals of tests for requests that bring no credentials."""

    api: AnyResourceServer

    def at_once(self, request: InboundRequest, requirement: Requirement | None) -> AuthenticatedPrincipal | None:
        return Gate.at_once(self, request, requirement) if _found(self.api, request) is None else None

    def admit(
        self, request: InboundRequest, requirement: Requirement | None = None, *, optional: bool = False
    ) -> Flow[AuthenticatedPrincipal | None]:
        found = _found(self.api, request)
        if found is None:
            return (yield from Gate.admit(self, request, requirement, optional=optional))
        claims = found._person.claims_for(self.api, (yield from now()).wall)
        accepted = Authenticated(claims, found._person.token_kind)
        gate = _copied(self, _Presented, authenticate=lambda _: _at_once(accepted), known=lambda _: None)
        return (yield from gate.admit(found._presenting(request), requirement, optional=optional))

    def refuse(
        self, error: PyIdentityModelException, request: InboundRequest, requirement: Requirement | None = None
    ) -> Flow[Refusal]:
        found = None if isinstance(error, MissingCredentialsException) else _found(self.api, request)
        shown = request if found is None else found._presenting(request)
        return (yield from Gate.refuse(self, error, shown, requirement))


def _at_once(accepted: Authenticated) -> Flow[Authenticated]:
    yield from ()
    return accepted


def _copied(gate: Gate, kind: type[G], **changes: Any) -> G:
    return kind(**{each.name: getattr(gate, each.name) for each in fields(Gate)} | changes)


__all__ = ["StandIn"]
