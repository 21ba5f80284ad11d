"""What the doors of all frameworks share: what a route demands, and how a request is decided in either colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from .._core.base.flow import Flow, call, resolve
from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.gate import Gate
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import AccessCheck, Requirement, either, meet
from .._resource_server import AnyResourceServer
from ..aio._driver import in_background as in_task
from ..aio._driver import run as run_in_loop
from ..exceptions import ConfigurationException, MissingCredentialsException, NetworkException, ValidationException
from ..sync._driver import in_background as in_thread
from ..sync._driver import run

#: Who a request is from, how it is refused, or None for nobody where that is enough.
Decision = AuthenticatedPrincipal | Refusal | None


class Demanded(TypedDict, total=False):
    """What a route may demand, by the names of :class:`~py_identity_model.Requirement`."""

    scopes: Iterable[str]
    any_scope: Iterable[str]
    roles: Iterable[str]
    any_role: Iterable[str]
    claims: Mapping[str, object]
    acr_values: Iterable[str]
    max_age: int
    sender_constrained: bool
    check: AccessCheck


def demanded(requirement: Requirement | None, **demands: Unpack[Demanded]) -> Requirement | None:
    """Return what a route demands: a requirement, demands by name, or both.

    Raises:
        ConfigurationException: A demand could never be met.
    """
    return either(requirement, Requirement(**demands) if demands else None)


def decide(
    api: AnyResourceServer,
    request: InboundRequest,
    requirement: Requirement | None = None,
    *,
    optional: bool = False,
    known: AuthenticatedPrincipal | None = None,
    named: Requirement | None = None,
) -> Decision:
    """Decide about a request, blocking.

    Args:
        api: Who decides.
        request: The request.
        requirement: What it must bring besides a valid token.
        optional: Whether a request without any token may pass, as nobody.
        known: Who it is from, where that was decided before; a proof counts only once.
        named: What is demanded later, told to a client that is refused already.
    """
    principal = api.gate.at_once(request, requirement) if known is None else None
    if principal is not None:
        return principal
    return run(_deciding(api.gate, request, requirement, optional, known, named), api._http_client)


async def decide_in_loop(
    api: AnyResourceServer,
    request: InboundRequest,
    requirement: Requirement | None = None,
    *,
    optional: bool = False,
    known: AuthenticatedPrincipal | None = None,
    named: Requirement | None = None,
) -> Decision:
    """Decide about a request in an event loop; for the arguments see :func:`decide`."""
    principal = api.gate.at_once(request, requirement) if known is None else None
    if principal is not None:
        return principal
    return await run_in_loop(_deciding(api.gate, request, requirement, optional, known, named), api._http_client)


def _deciding(
    gate: Gate,
    request: InboundRequest,
    requirement: Requirement | None,
    optional: bool,
    known: AuthenticatedPrincipal | None,
    named: Requirement | None,
) -> Flow[Decision]:
    try:
        if known is None:
            return (yield from gate.admit(request, requirement, optional=optional))
        if requirement is not None:
            yield from meet(requirement, known, leeway=gate.leeway)
        return known
    except (ValidationException, NetworkException) as error:
        refusal = error
    return (yield from gate.refuse(refusal, request, either(requirement, named)))


class NobodyError(MissingCredentialsException, RuntimeError):
    """A view asked who a request is from, and it is from nobody."""

    code = "principal_missing"


def somebody(principal: AuthenticatedPrincipal | None) -> AuthenticatedPrincipal:
    """Return who the request at hand is from.

    Raises:
        NobodyError: It is from nobody.
    """
    if principal is None:
        raise NobodyError("The request is from nobody: the route is not protected, or optional")
    return principal


def blocking(api: AnyResourceServer, door: str) -> AnyResourceServer:
    """Return *api* for a door that has no event loop.

    Raises:
        ConfigurationException: Its validator wants one.
    """
    if not api.blocking:
        raise ConfigurationException(
            f"{door} has no event loop, and this validator must be awaited",
            code="awaitable_refused",
            claim="validator",
            expected="py_identity_model.TokenValidator",
            hint="import TokenValidator from py_identity_model, not from py_identity_model.aio",
        )
    return api


def warm_up(api: AnyResourceServer) -> None:
    """Fetch the keys without waiting for them; an API that awaits must be in its loop.

    A service starts, and answers, whether or not its provider can be reached; readiness tells.
    """
    warming: Any = getattr(api.validator, "warm_up", None)
    if warming is None:
        return
    if api.blocking:
        in_thread(lambda: call(warming), None)
    else:
        in_task(lambda: resolve(warming()), None)


__all__ = [
    "Decision",
    "Demanded",
    "NobodyError",
    "blocking",
    "decide",
    "decide_in_loop",
    "demanded",
    "somebody",
    "warm_up",
]
