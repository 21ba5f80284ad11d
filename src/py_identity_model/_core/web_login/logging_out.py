"""Logging out: the own session first, then the provider's; and when the provider says so.

OpenID Connect RP-Initiated Logout 1.0, Back-Channel Logout 1.0, Front-Channel Logout 1.0.
"""

from __future__ import annotations

from ...exceptions import (
    LogoutStateValidationException,
    PyIdentityModelException,
    StoreException,
    ValidationException,
)
from ..base.flow import Flow, background, now
from ..base.urls import origin
from ..login.backchannel_logout import (
    build_logout_answer,
    logout_policy,
    parse_logout_request,
    validate_logout_token,
)
from ..login.begin_logout import LogoutStart
from ..login.logout import (
    LogoutAnswer,
    build_front_channel_answer,
    parse_front_channel_logout,
    validate_post_logout_state,
)
from ..validation.claim_checks import Claims
from ..validation.payload import peek_issuer
from .csrf import FIELD, csrf_token, is_own
from .index import Whose, of_sid, of_user
from .messages import Headers, WebAnswer, WebRequest, json_answer, redirect
from .pages import confirm_logout, forged, logged_out, logout_at_provider, page_answer
from .parts import Parts, Provider
from .records import LOGOUT, Held

#: Seconds that a logout at the provider may take.
LOGOUT_LIFETIME = 600.0
#: Characters of an address at most before a logout is posted instead.
LONGEST_URL = 2000


class LoggingOut:
    """The routes of a logout.

    Args:
        parts: What they work with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ---- begun here

    def logout(self, request: WebRequest) -> Flow[WebAnswer]:
        """Log the user out, here and at the provider; a link only asks, since any site can have it."""
        parts = self._parts
        held = yield from parts.sessions.find(request)
        if held is None:
            return page_answer(200, logged_out(parts.site.home), parts.sessions.cleared(request))
        if request.method != "POST":
            action = parts.site.login(parts.paths.logout)
            page = confirm_logout(action, ((FIELD, csrf_token(held.id)),))
            return page_answer(200, page, held.headers, posts_to=self._sources(held))
        if not is_own(request, held.id, parts.site.origin):
            parts.audit.denied("csrf_token_invalid", "logout")
            return page_answer(403, forged(parts.site.home))
        yield from parts.sessions.end(held)
        return (yield from self._at_provider(request, held))

    def _sources(self, held: Held) -> tuple[str, ...]:
        """Return where the form may lead to: the provider, and whatever it redirects to."""
        return ("'self'", "https:", *([origin(held.record.issuer)] if "http:" in held.record.issuer else ()))

    def _at_provider(self, request: WebRequest, held: Held) -> Flow[WebAnswer]:
        parts, cleared = self._parts, self._parts.sessions.cleared(request)
        provider = parts.provider(held.record.provider)
        if provider is None:
            return page_answer(200, logged_out(parts.site.home, everywhere=False), cleared)
        back = parts.site.url(parts.paths.logged_out)
        start = yield from provider.client._logout_url_flow(held.record.tokens, back, {})
        entry = yield from provider.client.entry_of(held.record.tokens)
        yield from self._tokens_gone(provider, held)
        parts.audit.logged_out(held.record, entry, "user")
        if not start.is_successful:
            return self._alone(request, start, cleared)
        remembered = parts.cookies.setting(parts.cookies.named(LOGOUT), start.state or "", LOGOUT_LIFETIME)
        headers = (*cleared, remembered)
        if not request.shows_page:
            return json_answer(200, {"logout_url": start.url}, headers)
        if not parts.logout_by_form and len(start.url) <= LONGEST_URL:
            return redirect(start.url, headers)
        page = logout_at_provider(start.form.action, start.form.fields)
        return page_answer(200, page, headers, posts_to=("'self'", "https:", origin(start.form.action)))

    def _alone(self, request: WebRequest, start: LogoutStart, headers: Headers) -> WebAnswer:
        """Answer where the provider cannot be told: it is away, or knows no logout."""
        error = start.exception
        if error is not None and error.code != "provider_unsupported":
            self._parts.audit.failed(error, "logout")
        if not request.shows_page:
            return json_answer(200, {"logout_url": None}, headers)
        return page_answer(200, logged_out(self._parts.site.home, everywhere=False), headers)

    def _tokens_gone(self, provider: Provider, held: Held) -> Flow[None]:
        """Forget the tokens, and have the provider forget them, without waiting for it."""
        if not self._parts.sessions.shared:
            return
        try:
            dead = yield from provider.client.taken(held.record.tokens)
        except StoreException:
            return  # nobody can open them any more
        if dead is not None:
            yield from background(lambda: provider.client._revoke_flow(*dead, None))

    def returned(self, request: WebRequest) -> Flow[WebAnswer]:
        """Tell the user of the logout; what came back has to belong to it."""
        parts, name = self._parts, self._parts.cookies.named(LOGOUT)
        expected, came = request.cookie(name), request.parameters().get("state")
        try:
            validate_post_logout_state(expected, came)
        except LogoutStateValidationException as error:
            if expected or came:  # else somebody only looks at the page
                parts.audit.failed(error, "logout_return")
        held = yield from parts.sessions.find(request)
        if held is not None:  # somebody else's link led here: nothing is done on its word
            return redirect(parts.site.home, (*held.headers, parts.cookies.clearing(name)))
        cleared = (*parts.sessions.outlived(request), parts.cookies.clearing(name))
        return page_answer(200, logged_out(parts.site.home), cleared)

    # ---- begun at the provider

    def backchannel(self, request: WebRequest) -> Flow[WebAnswer]:
        """End the sessions that a logout token names, for all processes (Back-Channel Logout 2.5)."""
        try:
            token = parse_logout_request(request.body, request.header("content-type"))
            provider = self._parts.provider_of(peek_issuer(token)) or self._parts.providers[0]
            client = provider.client._client
            policy = logout_policy(
                client, None, provider.client._store, False, None, self._parts.accept_logout_tokens_without_exp
            )
            validators = provider.client._services().validators
            yield from validate_logout_token(
                token, policy, validators, told=lambda claims: self._told(provider, claims)
            )
        except PyIdentityModelException as error:
            self._parts.audit.failed(error, "backchannel_logout")
            return _plain(build_logout_answer(error))
        return _plain(build_logout_answer())

    def _told(self, provider: Provider, claims: Claims) -> Flow[None]:
        issuer = claims["iss"]
        # Back-Channel Logout 2.6: the session of sid; without one, all that the user has.
        if "sid" in claims:
            yield from self.end_all(provider, of_sid(issuer, claims["sid"]), "back_channel")
        else:
            before = float(claims["iat"]) + 1.0
            yield from self.end_all(provider, of_user(issuer, claims["sub"]), "back_channel", before)

    def end_all(self, provider: Provider | None, whose: Whose, how: str, before: float | None = None) -> Flow[int]:
        """End all sessions of a list; return how many were listed.

        Raises:
            StoreException: The store cannot answer: ask again.
            ConfigurationException: Sessions are in cookies.
        """
        # A session at the provider that ended does not come back; a user does.
        until = (yield from now()).wall + (1e9 if whose.kind == "sid" else 1.0) if before is None else before
        entries = yield from self._parts.sessions.end_all(whose, until)
        client = (provider or self._parts.providers[0]).client
        for entry in entries:
            yield from client.forgotten(entry.tokens)
        self._parts.audit.ended(whose.issuer, [one.tokens for one in entries], how)
        return len(entries)

    def frontchannel(self, request: WebRequest) -> Flow[WebAnswer]:
        """End the session that a frame of the provider names (Front-Channel Logout 2).

        The frame is on a page of another site, so that its requests carry no cookie of ours: the session is found by
        issuer and session ID, and a request that does not name both is refused.
        """
        parts = self._parts
        try:
            asked = parse_front_channel_logout(f"?{request.query}")
            provider = parts.provider_of(asked.iss) if asked.iss is not None else None
            if provider is None or asked.sid is None or asked.iss is None:
                raise ValidationException(
                    "The request names no session of a provider of ours",
                    code="front_channel_logout_mismatch",
                    claim="sid" if asked.sid is None else "iss",
                )
        except ValidationException as error:
            parts.audit.failed(error, "frontchannel_logout")
            return _plain(LogoutAnswer(400))
        headers = yield from self._in_frame(request, provider, asked.iss, asked.sid)
        frame = ("content-security-policy", f"default-src 'none'; frame-ancestors {origin(asked.iss)}")
        return _plain(build_front_channel_answer()).adding((*headers, frame))

    def _in_frame(self, request: WebRequest, provider: Provider, issuer: str, sid: str) -> Flow[Headers]:
        if self._parts.sessions.shared:
            whose = of_sid(issuer, sid)
            # Anybody may ask: nothing is written for a session that is not there.
            if (yield from self._parts.sessions.listed(whose)):
                yield from self.end_all(provider, whose, "front_channel")
            return ()
        held = yield from self._parts.sessions.find(request)
        if held is None or (held.record.issuer, held.record.sid) != (issuer, sid):
            return ()
        entry = yield from provider.client.entry_of(held.record.tokens)
        self._parts.audit.logged_out(held.record, entry, "front_channel")
        return self._parts.sessions.cleared(request)


def _plain(answer: LogoutAnswer) -> WebAnswer:
    return WebAnswer(answer.status, tuple((name.lower(), value) for name, value in answer.headers), answer.body)


__all__ = ["LOGOUT_LIFETIME", "LoggingOut"]
