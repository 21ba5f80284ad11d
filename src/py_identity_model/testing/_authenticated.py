"""A principal without a provider: ``with authenticated(app, subject="ada", scopes=["orders.read"])``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from .._arguments import checks_arguments
from .._resource_server import AnyResourceServer, ResourceServerBase
from ..exceptions import ConfigurationException
from ._objects import objects_of
from ._person import Person
from ._stand_in import StandIn

#: Applications that are asked over a socket even in tests, so that the test's context is not that of the request.
ASKED_BY_SOCKET = (("aiohttp.web_app", "Application"), ("grpc._server", "_Server"))
#: A request handler of Django, whose views are found by the settings.
DJANGO = (("django.core.handlers.base", "BaseHandler"),)


@checks_arguments
def authenticated(
    app: object,
    *,
    subject: str | None = "alice",
    scopes: Iterable[str] = (),
    roles: Iterable[str] = (),
    claims: Mapping[str, object] = MappingProxyType({}),
    client_id: str | None = "test-client",
    acr: str | None = None,
    auth_time: float | None = None,
    issuer: str | None = None,
    scheme: Literal["Bearer", "DPoP"] = "Bearer",
    token_kind: Literal["jwt", "opaque"] = "jwt",
    everywhere: bool | None = None,
) -> StandIn:
    """Say who requests to an application under test are from, for the length of a ``with`` block.

    Only the token is made up. What a route demands, ``load_user``, ``check`` and the answers to who may not pass are
    the application's own. A request with credentials of its own is judged by them. Blocks may be nested, the inner one
    counts; tests and tasks at the same time have their own.

    Args:
        app: The application, of any framework, or a test client of it; or its ``ResourceServer`` or guard.
        subject: The ``sub``; None for nobody, as if the request had no token.
        scopes: The scopes that were granted; a text of several is parted by spaces.
        roles: The roles, put where the application looks for them.
        claims: Further claims; they go before all others, and None takes one out.
        client_id: The client; one that is the subject too makes a machine of it.
        acr: The authentication context class of the login (RFC 9470).
        auth_time: When the user authenticated, in seconds since 1970.
        issuer: The issuer; by default the first one that the application trusts.
        scheme: How the token came; one that came by ``DPoP`` is bound to a key.
        token_kind: What the token was.
        everywhere: Whether it is for requests of all threads and tasks of this process: no two tests at a time may say
            so of one application. By default only for aiohttp and gRPC, which are asked over a socket; elsewhere for
            requests that are made in the block.

    Returns:
        A context manager, plain or async, whose ``headers`` name it in requests that other threads answer.

    Raises:
        ConfigurationException: No ``ResourceServer`` can be found in *app*, or an argument is of another type; in the
            block, that two tests say ``everywhere`` at once.

    >>> from py_identity_model import InboundRequest, Requirement, ResourceServer, TokenValidator
    >>> api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
    >>> request = InboundRequest("GET", "https://api.example.com/orders")
    >>> with authenticated(api, subject="ada", scopes=["orders.read"]):
    ...     api.decide(request, Requirement(scopes=["orders.read"])).subject
    ...     api.decide(request, Requirement(scopes=["orders.write"])).status
    'ada'
    403
    >>> api.decide(request).status
    401
    """
    made = list(objects_of(app))
    apis = _apis_in(made)
    if not apis:
        raise ConfigurationException(
            "No ResourceServer can be found in this application",
            code="resource_server_missing",
            claim="app",
            expected="an application, its test client, its guard, or a ResourceServer",
            actual=type(app).__name__,
            hint="authenticated(guard, ...) or authenticated(api, ...) always finds it",
        )
    person = Person(
        subject=subject,
        scopes=tuple(scopes.split() if isinstance(scopes, str) else scopes),
        roles=(roles,) if isinstance(roles, str) else tuple(roles),
        claims=dict(claims),
        client_id=client_id,
        acr=acr,
        auth_time=auth_time,
        issuer=issuer,
        scheme=scheme,
        token_kind=token_kind,
    )
    return StandIn._of(person, apis, everywhere=has(made, ASKED_BY_SOCKET) if everywhere is None else everywhere)


def _apis_in(made: list[Any]) -> list[AnyResourceServer]:
    found: list[AnyResourceServer] = [one for one in made if issubclass(type(one), ResourceServerBase)]
    if has(made, DJANGO):  # its views are found by the settings
        from ..integrations._django_settings import door

        return [door().api]
    return found


def has(made: list[Any], classes: tuple[tuple[str, str], ...]) -> bool:
    """Tell whether an application has objects of classes that are loaded."""
    known = tuple(getattr(sys.modules[module], name) for module, name in classes if module in sys.modules)
    return any(issubclass(type(one), known) for one in made)


__all__ = ["ASKED_BY_SOCKET", "DJANGO", "authenticated", "has"]
