"""The gates of a test: a principal for requests that bring no credentials, and the application's own gate behind it.

Only the token is made up; see :mod:`._blocks` for how such a gate comes to its place, and why it is safe there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
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
from ..exceptions import MissingCredentialsException, PyIdentityModelException
from ._blocks import Block, Undo, block_for
from ._person import Person

G = TypeVar("G", bound=Gate)


class StandIn(Block):
    """Who requests are from, for the length of a ``with`` block; :func:`authenticated` makes one.

    Attributes:
        headers: Name them in a request that another thread or server of this process answers; empty for nobody.
    """

    _person: Person

    @classmethod
    def _of(cls, person: Person, apis: Iterable[AnyResourceServer], *, everywhere: bool) -> Self:
        token = f"{person.scheme} stand-in-{secrets.token_urlsafe(16)}"
        headers = {} if person.subject is None else {"Authorization": token}
        made = cls._made(apis, headers, everywhere=everywhere)
        made._person = person
        return made

    def __repr__(self) -> str:
        return f"StandIn({self._person.subject!r})"

    def _replace(self, target: AnyResourceServer) -> Undo:
        own, made = target.gate, _copied(target.gate, _TestGate)
        object.__setattr__(made, "api", target)  # gates are frozen
        target.gate = made

        def undo() -> None:
            target.gate = own

        return undo

    def _presenting(self, request: InboundRequest) -> InboundRequest:
        """Return a request as if it brought the token that there is not."""
        others = (each for each in request.headers if each[0].lower() != "authorization")
        return replace(request, headers=(*others, *self.headers.items()))


def _found(api: AnyResourceServer, request: InboundRequest) -> StandIn | None:
    block = block_for(StandIn, api, request.header_values("authorization"))
    return None if block is None or block._person.subject is None else block


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
