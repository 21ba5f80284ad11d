"""Somebody who is logged in, without a provider: ``with logged_in(app, subject="ada")``.

The session is a real one, begun in the store of the application with the first request of the block; only its cookie is
not in the browser. Its demands, its end and its lifetimes, and the check of forms, are the application's own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self

from .._arguments import checks_arguments
from .._core.base.flow import Flow, now
from .._core.web_login.logging_in import LoggingIn
from .._core.web_login.messages import Headers, WebRequest
from .._core.web_login.parts import Parts
from .._core.web_login.records import SESSION, Held, Record, kept_claims, new_id
from .._core.web_login.web_login import WebLoginBase
from ..exceptions import ConfigurationException
from ._authenticated import ASKED_BY_SOCKET, DJANGO, has
from ._blocks import Block, Undo, block_for
from ._objects import objects_of


class LoggedIn(Block):
    """Who is logged in, for the length of a ``with`` block; :func:`logged_in` makes one.

    Attributes:
        headers: Name them in a request that another thread or server of this process answers; empty for nobody.
    """

    _claims: Mapping[str, Any] | None
    _provider: str
    #: The cookies of the sessions that were begun, by the login that each belongs to.
    _begun: dict[int, str]

    @classmethod
    def _of(
        cls, claims: Mapping[str, Any] | None, provider: str, logins: list[WebLoginBase[Any, Any]], *, everywhere: bool
    ) -> Self:
        name = _cookie_name(logins[0]._parts)
        headers = {} if claims is None else {"Cookie": f"{name}=stand-in-{secrets.token_urlsafe(16)}"}
        made = cls._made(logins, headers, everywhere=everywhere)
        made._claims, made._provider = claims, provider
        return made

    def __repr__(self) -> str:
        return f"LoggedIn({None if self._claims is None else self._claims['sub']!r})"

    def __enter__(self) -> Self:
        self._begun = {}
        return super().__enter__()

    def _replace(self, target: WebLoginBase[Any, Any]) -> Undo:
        parts, own = target._parts, target._parts.sessions
        object.__setattr__(parts, "sessions", _TestSessions(own, target))  # parts are frozen
        return lambda: object.__setattr__(parts, "sessions", own)

    def _value_for(self, sessions: Any, login: WebLoginBase[Any, Any]) -> Flow[str | None]:
        """Return the cookie of the session, which begins now if it has not; None where the application refuses."""
        if id(login) not in self._begun and self._claims is not None:
            parts, wall = login._parts, (yield from now()).wall
            claims = {
                "iss": _issuer_of(parts, self._provider),
                "iat": int(wall),
                "exp": int(wall) + 300,
                **self._claims,
            }
            user = yield from _user_of(parts, claims)
            if user is None and parts.on_login is not None:
                return None
            held, _ = yield from sessions.create(_record(parts, self._provider, claims, user, wall), wall, new_id())
            self._begun[id(login)] = held.headers[0][1].partition(";")[0].partition("=")[2]
        return self._begun.get(id(login))


def _cookie_name(parts: Parts) -> str:
    return parts.cookies.named(SESSION)


def _issuer_of(parts: Parts, name: str) -> str:
    provider = parts.provider(name) or parts.providers[0]
    return provider.issuer


def _user_of(parts: Parts, claims: Mapping[str, Any]) -> Flow[Any]:
    hook = parts.on_login
    return None if hook is None else (yield from LoggingIn._user(lambda: hook(claims), "on_login"))


def _record(parts: Parts, provider: str, claims: Mapping[str, Any], user: Any, wall: float) -> Record:
    sid, known = claims.get("sid"), parts.provider(provider) or parts.providers[0]
    return Record(
        provider=known.name,
        issuer=claims["iss"],
        subject=claims["sub"],
        sid=sid if isinstance(sid, str) and sid else None,
        claims=kept_claims(claims, parts.claims),
        tokens=new_id(),
        created_at=wall,
        seen_at=wall,
        ends_at=wall + parts.sessions.lifetimes.absolute,
        user=user,
    )


class _TestSessions:
    """The application's sessions, with those of tests for requests that bring no cookie of one."""

    def __init__(self, sessions: Any, login: WebLoginBase[Any, Any]) -> None:
        self._sessions, self._login = sessions, login
        self._name = _cookie_name(login._parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    def find(self, request: WebRequest) -> Flow[Held | None]:
        block = self._block(request)
        if block is not None:
            value = yield from block._value_for(self._sessions, self._login)
            request = self._with(request, value)
        found: Held | None = yield from self._sessions.find(request)
        return found

    def cleared(self, request: WebRequest) -> Headers:
        shown = request if self._block(request) is None else self._with(request, "x")
        headers: Headers = self._sessions.cleared(shown)
        return headers

    def _block(self, request: WebRequest) -> LoggedIn | None:
        sent = [f"{name}={value}" for name, value in request.cookies() if name == self._name]
        block = block_for(LoggedIn, self._login, sent)
        return None if block is None or block._claims is None else block

    def _with(self, request: WebRequest, value: str | None) -> WebRequest:
        cookies = [(name, each) for name, each in request.cookies() if name != self._name]
        cookies += [] if value is None else [(self._name, value)]
        others = tuple(each for each in request.headers if each[0].lower() != "cookie")
        return replace(request, headers=(*others, ("cookie", "; ".join(f"{name}={each}" for name, each in cookies))))


@checks_arguments
def logged_in(
    app: object,
    *,
    subject: str | None = "alice",
    claims: Mapping[str, object] = MappingProxyType({}),
    acr: str | None = None,
    auth_time: float | None = None,
    sid: str | None = None,
    issuer: str | None = None,
    provider: str = "",
    everywhere: bool | None = None,
) -> LoggedIn:
    """Say who is logged in to an application under test, for the length of a ``with`` block.

    No login takes place: the first request of the block begins a session in the application's own store, of the user
    that ``on_login`` makes of the claims. Pages demand what they always do, forms need their ``csrf_token``, programs
    ``X-CSRF: 1``, and a logout ends the session. There are no tokens: ``session.token()`` raises ``LoginRequired``.

    Args:
        app: The application, of any framework, or a test client of it; or its ``WebLogin``, or what it hands that to.
        subject: The ``sub``; None for nobody.
        claims: Further claims of the ID token, such as ``name``.
        acr: The authentication context class of the login.
        auth_time: When the user authenticated, in seconds since 1970.
        sid: The session at the provider.
        issuer: The issuer; by default that of the provider.
        provider: Which of several providers, by its name in the application.
        everywhere: Whether it is for requests of all threads and tasks of this process; by default only for aiohttp.

    Returns:
        A context manager, plain or async, whose ``headers`` name it in requests that other threads answer.

    Raises:
        ConfigurationException: No ``WebLogin`` can be found in *app*, or an argument is of another type.

    >>> from py_identity_model import LoginClient, WebLogin, WebRequest
    >>> from py_identity_model.stores import MemoryStore
    >>> client = LoginClient(issuer="https://id.example.com", client_id="app")
    >>> login = WebLogin(client, store=MemoryStore(), base_url="https://app.example.com")
    >>> with logged_in(login, subject="ada", claims={"name": "Ada"}):
    ...     login.session(WebRequest("GET", "/account")).subject
    'ada'
    >>> login.session(WebRequest("GET", "/account")) is None
    True
    """
    made = list(objects_of(app))
    logins = _logins_in(made)
    if not logins:
        raise ConfigurationException(
            "No WebLogin can be found in this application",
            code="web_login_missing",
            claim="app",
            expected="an application, its test client, or a WebLogin",
            actual=type(app).__name__,
            hint="logged_in(login, ...) always finds it",
        )
    said = {"sub": subject, "acr": acr, "auth_time": auth_time, "sid": sid, "iss": issuer, **claims}
    kept = None if subject is None else {name: value for name, value in said.items() if value is not None}
    return LoggedIn._of(
        kept, provider, logins, everywhere=has(made, ASKED_BY_SOCKET) if everywhere is None else everywhere
    )


def _logins_in(made: list[Any]) -> list[WebLoginBase[Any, Any]]:
    found: list[WebLoginBase[Any, Any]] = [one for one in made if issubclass(type(one), WebLoginBase)]
    if not found and has(made, DJANGO):  # its views are found by the settings
        from ..integrations._django_login import web_login

        return [web_login()]
    return found


__all__ = ["LoggedIn", "logged_in"]
