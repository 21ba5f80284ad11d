"""A request is decided once, whatever asks about it: a middleware, a router and a route may.

A DPoP proof is good once; a second look at it would be a replay.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from .._core.base.flow import Flow
from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.gate import is_preflight
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement, meet
from .._resource_server import AnyResourceServer
from ..aio._driver import run as run_in_loop
from ..exceptions import MissingCredentialsException, NetworkException, ValidationException
from ..sync._driver import run
from ._guard import Decision, decide, decide_in_loop

#: What is known of a request: an ASGI scope, a WSGI environment, or what a framework has in their place.
#: What is under each key is of a type of its own; keys are texts, or those that a framework makes.
Facts = MutableMapping[Any, Any]

#: Where the decision is among the facts: which resource server made it, and who the request is from.
DECIDED = "py_identity_model.decided"


def principal_at(facts: Facts) -> AuthenticatedPrincipal | None:
    """Return who a request is from; None for nobody, and before anything was decided."""
    return facts[DECIDED][1] if DECIDED in facts else None


def decide_once(
    api: AnyResourceServer,
    facts: Facts,
    request: InboundRequest,
    requirement: Requirement | None = None,
    *,
    optional: bool = False,
) -> Decision:
    """Decide about a request, blocking, or hold what was decided against a further requirement."""
    if _known(api, facts):
        return run(_again(api, facts, request, requirement, optional), api._http_client)
    return _noted(api, facts, decide(api, request, requirement, optional=optional))


async def decide_once_in_loop(
    api: AnyResourceServer,
    facts: Facts,
    request: InboundRequest,
    requirement: Requirement | None = None,
    *,
    optional: bool = False,
) -> Decision:
    """Do the same in an event loop."""
    if _known(api, facts):
        return await run_in_loop(_again(api, facts, request, requirement, optional), api._http_client)
    return _noted(api, facts, await decide_in_loop(api, request, requirement, optional=optional))


def _known(api: AnyResourceServer, facts: Facts) -> bool:
    return DECIDED in facts and facts[DECIDED][0] is api


def _noted(api: AnyResourceServer, facts: Facts, decision: Decision) -> Decision:
    if not isinstance(decision, Refusal):
        facts[DECIDED] = (api, decision)
    return decision


def _again(
    api: AnyResourceServer, facts: Facts, request: InboundRequest, requirement: Requirement | None, optional: bool
) -> Flow[Decision]:
    principal: AuthenticatedPrincipal | None = facts[DECIDED][1]
    try:
        if principal is None:
            if optional or is_preflight(request):
                return None
            raise MissingCredentialsException("The request has no access token")
        if requirement is not None:
            yield from meet(requirement, principal, leeway=api.gate.leeway)
        return principal
    except (ValidationException, NetworkException) as error:
        refusal = error
    return (yield from api.gate.refuse(refusal, request, requirement))


@contextmanager
def new_headers(facts: Facts) -> Iterator[list[tuple[str, str]]]:
    """Yield a list that holds, after the block, what the decision made in it adds to the response."""
    added: list[tuple[str, str]] = []
    before = facts.get(DECIDED)
    yield added
    after = facts.get(DECIDED)
    if after is not None and after is not before and after[1] is not None:
        added += after[1].headers


__all__ = ["DECIDED", "Facts", "decide_once", "decide_once_in_loop", "new_headers", "principal_at"]
