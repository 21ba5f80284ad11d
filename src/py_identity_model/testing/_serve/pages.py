"""The pages of a site: which path shows which, and what is done when a form of theirs is posted.

A form is only taken from a page of our own: browsers say in ``Origin`` where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from ..._core.base.flow import Reply, Request
from ...exceptions import ConfigurationException
from .._endpoints import parameters_of
from .._grants import Client, Login, Parameters, Refusal, redirect
from . import html
from .console_page import console_page
from .flow_page import flow_page
from .issuer import ServedIssuer
from .login_pages import (
    consent_page,
    device_page,
    given_in,
    logged_out_page,
    login_page,
    logout_page,
    read_claims,
    read_typed,
    refused_page,
)
from .logins import NextLogin
from .messages import form_is_ours, form_of, header, own_origins, query_of
from .trial import CALLBACK, CLIENT, Trials, trial_page


class SitePages:
    """The pages of all issuers of a site.

    Args:
        issuers: Returns the issuers that there are.
    """

    def __init__(self, issuers: Callable[[], list[ServedIssuer]]) -> None:
        self._issuers = issuers
        self._trials = Trials()

    def set_up(self, issuer: ServedIssuer) -> None:
        """Let people log in at *issuer* on a page, and try it with a client of its own."""
        issuer.decide(
            login_page=lambda request, given, known: self._ask(issuer, given, known),
            logout_page=lambda request, given: self._ask_before_logout(issuer, request, given),
        )
        issuer.add_client(Client(CLIENT, None, (issuer.page_url(CALLBACK),), (issuer.page_url(""),)))

    def show(self, issuer: ServedIssuer, request: Request, path: str) -> Reply | None:
        """Answer a request for a page; None if the path is none of a page."""
        page = path.strip("/")
        if page not in _PAGES:
            return None
        shown, posted = _PAGES[page]
        if request.method in ("GET", "HEAD"):
            return shown(self, issuer, request)
        if request.method != "POST" or posted is None:
            return Reply(405, (("allow", "GET, HEAD" if posted is None else "GET, HEAD, POST"),))
        if not form_is_ours(request, own_origins(request, issuer.origins())):
            told = "<p>This form did not come from a page of this provider.</p>"
            return html.document("Not from here", told, status=403, narrow=True)
        return posted(self, issuer, request, form_of(request))

    def explained(self, issuer: ServedIssuer, request: Request, reply: Reply) -> Reply:
        """Return a page instead of the JSON that a browser would be shown when a login cannot begin."""
        wants_page = "text/html" in header(request, "accept")
        if reply.status != 400 or reply.media_type != "application/json" or not wants_page:
            return reply
        try:
            given = parameters_of(request)
        except Refusal as refusal:
            return refused_page({}, refusal.description)
        why = issuer.refuses(given)
        return reply if why is None else refused_page(given, why.description)

    def links(self, issuer: ServedIssuer) -> list[tuple[str, str]]:
        """Return what stands at the top of the pages of an issuer."""
        pages = (("Console", ""), ("The flow", "flow"), ("Try a login", "try"))
        more = [("Metadata", _path(issuer, ".well-known/openid-configuration"))]
        return [(text, _path(issuer, page)) for text, page in pages] + more

    # ---- logging in

    def _ask(self, issuer: ServedIssuer, given: Parameters, known: Login | None) -> Reply:
        path = _path(issuer, "login")
        return login_page(issuer, path, given) if known is None else consent_page(path, given, known)

    def _log_in(self, issuer: ServedIssuer, request: Request, form: Mapping[str, str]) -> Reply:
        given, path = given_in(form), _path(issuer, "login")
        refusal = issuer.refuses(given)
        if refusal is not None:
            return refused_page(given, refusal.description)
        if "deny" in form:
            return self._decided(issuer, request, given, Refusal("access_denied", "the user said no"))
        if "allow" in form:
            known = issuer.sessions.of(issuer.session_of(request))
            return login_page(issuer, path, given) if known is None else self._decided(issuer, request, given, known)
        typed, login = read_typed(form)
        if login is None:
            return login_page(issuer, path, given, typed)
        return self._decided(issuer, request, given, login)

    def _decided(self, issuer: ServedIssuer, request: Request, given: Parameters, login: Login | Refusal) -> Reply:
        reply = issuer.authorize_as(given, login)
        reply = Reply(303 if reply.status == 302 else reply.status, reply.headers, reply.body)
        issuer.exchanges.add("login", request, reply, (), False)
        return reply

    # ---- logging out

    def _ask_before_logout(self, issuer: ServedIssuer, request: Request, given: Parameters) -> Reply:
        session = issuer.session_of(request)
        known = issuer.sessions.of(session)
        if known is None or issuer.is_ours(given.get("id_token_hint", "")):
            return self._end(issuer, session, given)
        return logout_page(_path(issuer, "logout"), given, known.subject)

    def _log_out(self, issuer: ServedIssuer, request: Request, form: Mapping[str, str]) -> Reply:
        given = given_in(form)
        if not issuer.may_return(given):
            return refused_page(given, "unknown post_logout_redirect_uri")
        return self._end(issuer, issuer.session_of(request), given)

    def _end(self, issuer: ServedIssuer, session: str | None, given: Parameters) -> Reply:
        issuer.sessions.end(session)
        back = given.get("post_logout_redirect_uri")
        reply = logged_out_page() if back is None else redirect(back, state=given.get("state"))
        return issuer.with_session(reply, None)

    # ---- devices

    def _show_device(self, issuer: ServedIssuer, request: Request) -> Reply:
        return device_page(_path(issuer, "device"), query_of(request).get("user_code", ""), issuer.subject)

    def _decide_device(self, issuer: ServedIssuer, request: Request, form: Mapping[str, str]) -> Reply:
        code, subject = form.get("user_code", "").strip().upper(), form.get("subject", "").strip() or issuer.subject
        approved = form.get("decision") != "deny"
        try:
            issuer.approve_device(code, subject=subject) if approved else issuer.deny_device(code)
        except ConfigurationException:
            return device_page(_path(issuer, "device"), code, subject, "No device waits with this code.")
        return device_page("", code, subject, done=f"The device is {'approved' if approved else 'refused'}.")

    # ---- the flow, the console, a trial

    def _show_flow(self, issuer: ServedIssuer, request: Request) -> Reply:
        asked = query_of(request)
        client, fast = asked.get("client_id"), asked.get("refresh") == "5"
        found = [each for each in issuer.exchanges.all() if client in (None, each.client_id)]
        links = self.links(issuer)
        return flow_page(issuer, found, links=links, clear_path=_path(issuer, "console"), refresh=5 if fast else None)

    def _show_console(
        self,
        issuer: ServedIssuer,
        request: Request,
        typed: Mapping[str, str] | None = None,
        errors: Mapping[str, str] | None = None,
    ) -> Reply:
        others = [(each.name or "at the root", _path(each, "")) for each in self._issuers() if each is not issuer]
        path, links = _path(issuer, "console"), self.links(issuer)
        return console_page(issuer, path, links=links, others=others, typed=typed, errors=errors)

    def _change(self, issuer: ServedIssuer, request: Request, form: Mapping[str, str]) -> Reply:
        done, section = _CHANGES.get(form.get("do", ""), (None, ""))
        if done is None:
            return self._show_console(issuer, request)
        errors = done(issuer, form)
        if errors:
            return self._show_console(issuer, request, form, errors)
        page = "flow" if form.get("do") == "forget" else ""
        return Reply(303, (("location", f"{_path(issuer, page)}{section}"), ("cache-control", "no-store")))

    def _show_trial(self, issuer: ServedIssuer, request: Request) -> Reply:
        return trial_page(_path(issuer, "try"), self.links(issuer), [issuer.issuer, issuer.browser_issuer])

    def _begin_trial(self, issuer: ServedIssuer, request: Request, form: Mapping[str, str]) -> Reply:
        return self._trials.begin(issuer, form)

    def _end_trial(self, issuer: ServedIssuer, request: Request) -> Reply:
        return self._trials.end(issuer, query_of(request), f"{_path(issuer, 'flow')}?client_id={CLIENT}")


def _path(issuer: ServedIssuer, page: str) -> str:
    return f"{urlsplit(issuer.browser_issuer).path.rstrip('/')}/{page}"


# ---------------------------------------------------------------------------------------------------------------------
# What a click changes: each returns what is wrong, by field


def _queue(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    claims, wrong = read_claims(form.get("claims", ""))
    if wrong:
        return {"claims": wrong}
    subject, error = form.get("subject", "").strip() or None, form.get("error", "").strip() or None
    full = issuer.queue.add(NextLogin(subject=subject, claims=claims, error=error)) < 0
    return {"claims": "Too many logins wait already."} if full else {}


def _clear_queue(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    issuer.queue.clear()
    return {}


def _play(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    times = form.get("times", "1")
    try:
        issuer.play_numbered(
            form.get("fault", ""), int(times) if times in ("1", "3") else None, form.get("on") or None, {}
        )
    except ConfigurationException as error:
        return {"fault": error.message}
    return {}


def _stop(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    number = form.get("fault", "")
    issuer.stop_fault(int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0)
    return {}


def _rotate(keep_previous: bool, publish: bool) -> Callable[[ServedIssuer, Mapping[str, str]], dict[str, str]]:
    def change(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
        issuer.rotate_bounded(None, keep_previous, publish)
        return {}

    return change


def _publish(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    issuer.publish()
    return {}


def _clock(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    seconds = form.get("advance", "")
    if form.get("real"):
        issuer.clock.reset()
    elif seconds.isascii() and seconds.isdigit() and len(seconds) < 10:
        issuer.clock.advance(float(seconds))
    elif form.get("frozen"):
        issuer.clock.set(frozen=form["frozen"] == "yes")
    return {}


def _reset(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    issuer.reset()
    return {}


def _forget(issuer: ServedIssuer, form: Mapping[str, str]) -> dict[str, str]:
    issuer.exchanges.clear()
    return {}


_CHANGES: Mapping[str, tuple[Callable[[ServedIssuer, Mapping[str, str]], dict[str, str]], str]] = {
    "queue": (_queue, "#queue"),
    "clear_queue": (_clear_queue, "#queue"),
    "play": (_play, "#faults"),
    "stop": (_stop, "#faults"),
    "rotate": (_rotate(True, True), "#keys"),
    "replace": (_rotate(False, True), "#keys"),
    "hide": (_rotate(True, False), "#keys"),
    "publish": (_publish, "#keys"),
    "clock": (_clock, "#clock"),
    "reset": (_reset, ""),
    "forget": (_forget, ""),
}

_Show = Callable[[SitePages, ServedIssuer, Request], Reply]
_Post = Callable[[SitePages, ServedIssuer, Request, Mapping[str, str]], Reply]


def _nothing_to_show(pages: SitePages, issuer: ServedIssuer, request: Request) -> Reply:
    told = "<p>This address takes a form. Begin again in your application.</p>"
    return html.document("Begin again", told, status=400, narrow=True, links=pages.links(issuer))


#: What each path shows, and what it does with a form. They are private to this module; this table is their public face.
_PAGES: Mapping[str, tuple[_Show, _Post | None]] = {
    "": (SitePages._show_console, None),
    "console": (SitePages._show_console, SitePages._change),
    "flow": (SitePages._show_flow, None),
    "login": (_nothing_to_show, SitePages._log_in),
    "logout": (_nothing_to_show, SitePages._log_out),
    "device": (SitePages._show_device, SitePages._decide_device),
    "try": (SitePages._show_trial, SitePages._begin_trial),
    CALLBACK: (SitePages._end_trial, None),
}

__all__ = ["SitePages"]
