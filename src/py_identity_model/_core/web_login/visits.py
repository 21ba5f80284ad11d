"""Requests to the application's own pages: whose they are, whether that is enough, and what others get.

A page that a browser wants to show becomes a login, and the browser comes back to it. A program is told where the login
is, with 401: a redirect would lead it to a page of another site. What was sent with another method than GET cannot come
back, so it is refused with the same hint.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..._refusals import bounded, must_be
from ..base.flow import Flow
from .csrf import is_foreign, is_own
from .messages import WEBSOCKET, Headers, WebAnswer, WebRequest, json_answer, redirect
from .pages import forged, needs_login, page_answer
from .parts import Parts
from .records import Held

#: A challenge has to name a scheme (RFC 9110 11.6.1); browsers know this one not, and ask for no password.
CHALLENGE = ("www-authenticate", "Session")
#: Seconds that a login which was asked for counts as one of this moment: coming back from the provider takes a while.
FRESH = 60


class Demand(NamedTuple):
    """What a page demands of a login.

    Attributes:
        acr: Authentication contexts, any one of which will do.
        max_age: Seconds since the user authenticated, at most.
        csrf: Whether requests that change something must show that a page of ours sent them.
    """

    acr: tuple[str, ...] = ()
    max_age: int | None = None
    csrf: bool = True


def demand(acr: str | Iterable[str] | None, max_age: int | None, *, csrf: bool = True) -> Demand:
    """Return what a page demands.

    Raises:
        ConfigurationException: It could never be met.
    """
    contexts = (acr,) if isinstance(acr, str) else tuple(acr or ())
    if not all(isinstance(one, str) and one and one.isprintable() and " " not in one for one in contexts):
        raise must_be("acr", "an authentication context class, or several")
    if acr is not None and not contexts:
        raise must_be("acr", "left out where any will do")
    if max_age is not None:
        bounded(max_age, "max_age", int, 0, unit="seconds")
    return Demand(contexts, max_age, csrf)


class Visits:
    """Decides about requests to pages of the application.

    Args:
        parts: What it works with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def decide(self, request: WebRequest, wanted: Demand) -> Flow[Held | WebAnswer]:
        """Return the session of a request, or how it is answered without one that is enough.

        Raises:
            StoreException: The store cannot answer.
        """
        held = yield from self._parts.sessions.find(request)
        if held is None:
            return self._unknown(request, self._parts.sessions.outlived(request))
        if not self._is_enough(held, wanted):
            return self._step_up(request, held, wanted)
        if wanted.csrf and not self._is_own(request, held):
            self._parts.audit.denied("csrf_token_invalid", "request")
            return self._forged(request)
        return held

    def _is_own(self, request: WebRequest, held: Held) -> bool:
        origin = self._parts.site.origin
        if request.method == WEBSOCKET:  # RFC 6455 10.2: browsers open one for any page, and say for which
            return bool(request.values("origin")) and not is_foreign(request, origin)
        return request.is_safe or is_own(request, held.id, origin)

    def _is_enough(self, held: Held, wanted: Demand) -> bool:
        claims = held.record.claims
        if wanted.acr and claims.get("acr") not in wanted.acr:
            return False
        return wanted.max_age is None or _is_fresh(held, wanted.max_age)

    def _unknown(self, request: WebRequest, headers: Headers) -> WebAnswer:
        return self._to_login(request, "login_required", self._login(request, {}), headers)

    def _step_up(self, request: WebRequest, held: Held, wanted: Demand) -> WebAnswer:
        asked = {
            "acr": " ".join(wanted.acr) or None,
            "max_age": None if wanted.max_age is None else str(wanted.max_age),
        }
        return self._to_login(request, "step_up_required", self._login(request, asked), held.headers)

    def _login(self, request: WebRequest, asked: dict[str, str | None]) -> str:
        """Return the address of the login that comes back to where the browser is."""
        site = self._parts.site
        here = site.public(request) if request.is_navigation else site.path_of(request.header("referer"))
        return self._parts.login_path(site.destination(here), **asked)

    def _to_login(self, request: WebRequest, code: str, login: str, headers: Headers) -> WebAnswer:
        if request.is_navigation:
            return redirect(login, headers)
        if request.shows_page:
            page = needs_login(login, stronger=code == "step_up_required")
            return page_answer(401, page, (CHALLENGE, *headers))
        return json_answer(401, {"error": code, "login_url": login}, (CHALLENGE, *headers))

    def _forged(self, request: WebRequest) -> WebAnswer:
        if request.shows_page:
            return page_answer(403, forged(self._parts.site.home))
        hint = "send the header X-CSRF: 1, or the csrf_token of the session in X-CSRF-Token"
        return json_answer(403, {"error": "csrf_token_invalid", "hint": hint})


def _is_fresh(held: Held, max_age: int) -> bool:
    record, at = held.record, held.record.claims.get("auth_time")
    if not isinstance(at, int | float) or isinstance(at, bool):
        return False
    if held.at - at <= max_age:
        return True
    # OpenID Connect Core 3.1.2.1: max_age=0 is prompt=login. Who was just asked for it is not sent round in a circle.
    asked = record.asked_age is not None and record.asked_age <= max_age
    return max_age < FRESH and asked and held.at - record.created_at <= FRESH


__all__ = ["CHALLENGE", "FRESH", "Demand", "Visits", "demand"]
