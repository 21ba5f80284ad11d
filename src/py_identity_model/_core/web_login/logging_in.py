"""Logging in: to the provider, back, and into a session under a new id."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from ..._refusals import must_be
from ...exceptions import (
    AuthorizeCallbackException,
    NetworkException,
    PyIdentityModelException,
    StoreException,
)
from ..base.flow import Flow, call, now, resolve
from ..base.header_lists import words
from ..base.secret import same_text
from ..login.begin import LoginRequest
from ..login.callback import FORM_POST, QUERY
from ..login.complete import Returned, state_of
from ..login.response import LoginResponse
from .csrf import is_own
from .index import Entry
from .logins import Claimed, StaleLogin, destination_of
from .messages import Headers, WebAnswer, WebRequest, redirect
from .pages import (
    Link,
    cancelled,
    chooser,
    embedded,
    forged,
    needs_login,
    page_answer,
    refusal_page,
    restart,
    silent,
    unavailable,
)
from .parts import Parts, Provider
from .records import Held, Record, kept_claims, new_id
from .stored_sessions import SessionEnded, StoredSessions

_CONTEXT = re.compile(r"[\x21-\x7e]{1,255}\Z")
#: Prompts that a page of the application may ask for (OpenID Connect Core 3.1.2.1).
_PROMPTS = frozenset({"login", "select_account", "consent", "create", "none"})
#: What a provider answers where it would have to ask the user something (OpenID Connect Core 3.1.2.6).
_WOULD_ASK = frozenset({"login_required", "interaction_required", "account_selection_required", "consent_required"})
#: The longest age of a login that can be asked for, in seconds.
_LONGEST = 10 * 366 * 86400
_MAX_HINT = 256
#: Further identities of one session at most.
_MOST_IDENTITIES = 8


class Asked(NamedTuple):
    """What a login has to bring, as the address of the login says. Anybody can write such an address."""

    acr: tuple[str, ...] = ()
    max_age: int | None = None
    prompt: str | None = None
    login_hint: str | None = None

    @property
    def again(self) -> bool:
        """Whether who is logged in has to log in again."""
        return bool(self.acr) or self.max_age is not None or self.prompt not in (None, "none")

    @property
    def silent(self) -> bool:
        """Whether the user must not be asked anything."""
        return self.prompt == "none"


def asked_by(parameters: Mapping[str, str]) -> Asked:
    """Return what parameters ask for; what makes no sense is left out."""
    contexts = tuple(words(parameters.get("acr", "")))
    age, prompt, hint = parameters.get("max_age", ""), parameters.get("prompt"), parameters.get("login_hint")
    return Asked(
        contexts if all(_CONTEXT.match(one) for one in contexts) and len(contexts) <= 8 else (),
        int(age) if age.isascii() and age.isdigit() and len(age) <= 10 and int(age) <= _LONGEST else None,
        prompt if prompt in _PROMPTS else None,
        hint if hint and len(hint) <= _MAX_HINT and hint.isprintable() else None,
    )


class LoggingIn:
    """The routes of a login.

    Args:
        parts: What they work with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ---- to the provider

    def begin(self, request: WebRequest) -> Flow[WebAnswer]:
        """Send the browser to the provider; one that is logged in goes on to where it wanted."""
        parts, given = self._parts, request.parameters()
        target, asked = parts.site.destination(given.get("next")), asked_by(given)
        if request.is_framed and "cross-site" in request.values("sec-fetch-site"):
            return page_answer(403, embedded(parts.site.public(request)))
        held = yield from parts.sessions.find(request)
        if held is not None and not asked.again:
            return self._arrived(target, held.headers, framed=asked.silent and request.is_framed)
        if request.method == "HEAD":  # nothing begins for those who only look
            return WebAnswer(200)
        provider = self._chosen(given, held)
        if provider is None and asked.silent:
            return self._unasked(target, framed=request.is_framed)
        if provider is None:
            return self._choose(target, given)
        data = {"next": target, "silent": asked.silent, "framed": asked.silent and request.is_framed}
        data |= self._carried(provider, held)
        return (yield from self._sent(request, provider, self._asking(provider, asked, held), data))

    def _arrived(self, target: str, headers: Headers, *, framed: bool) -> WebAnswer:
        """Send who is logged in to where they wanted; a frame only says that it is done."""
        return page_answer(200, silent(known=True), headers, framed=True) if framed else redirect(target, headers)

    @staticmethod
    def _unasked(target: str, *, framed: bool) -> WebAnswer:
        """Answer a login that must not ask, and would have to: nobody is logged in, and that is no error."""
        return page_answer(200, silent(known=False), framed=True) if framed else redirect(target)

    def _chosen(self, given: Mapping[str, str], held: Held | None) -> Provider | None:
        named = self._parts.provider(given["provider"]) if "provider" in given else None
        if named is None and held is not None:
            named = self._parts.provider(held.record.provider)
        return named or self._parts.provider_of(given.get("iss"))

    def _choose(self, target: str, given: Mapping[str, str]) -> WebAnswer:
        more = {name: given[name] for name in ("acr", "max_age", "prompt", "login_hint") if name in given}
        links = [
            Link(one.title, self._parts.login_path(target, provider=one.name, **more)) for one in self._parts.providers
        ]
        return page_answer(200, chooser(links))

    def _sent(
        self, request: WebRequest, provider: Provider, asking: LoginRequest, data: dict[str, Any]
    ) -> Flow[WebAnswer]:
        binding, headers = self._parts.logins.bind(request)
        asking = replace(asking, binding=binding, data=data, lifetime=self._parts.logins.lifetime)
        start = yield from provider.client._begin_login_flow(asking, None)
        if start.exception is not None and not isinstance(start.exception, NetworkException):
            start.raise_for_error()  # a mistake of the application
        if start.exception is not None:
            self._parts.audit.failed(start.exception, "begin")
            return self._parts.away(request, start.exception)
        if start.transaction is None:
            raise must_be("client", "one whose logins are kept here")
        # RFC 8707 2.2: the login asks for every resource, the code for none, so that its token is for UserInfo still.
        transaction = replace(start.transaction, resource=())
        kept = yield from self._parts.logins.keep(request, transaction)
        return redirect(start.url, (*headers, *kept))

    def _carried(self, provider: Provider, held: Held | None) -> dict[str, str]:
        """Return what says whose session a posted response belongs to: forms of other sites bring no cookie of it."""
        return {"session": held.id} if held is not None and provider.posts and self._parts.sessions.shared else {}

    def _before(self, request: WebRequest, claimed: Claimed) -> Flow[Held | None]:
        """Return the session that the browser has had so far.

        Raises:
            StoreException: The store cannot answer.
        """
        sessions = self._parts.sessions
        carried = claimed.transaction.data.get("session")
        if isinstance(carried, str) and isinstance(sessions, StoredSessions):
            return (yield from sessions.recalled(carried))
        return (yield from sessions.find(request))

    def _asking(self, provider: Provider, asked: Asked, held: Held | None) -> LoginRequest:
        # Who confirms a login must be the one who is logged in; who logs in anew may be anybody.
        confirms = held is not None and held.record.provider == provider.name and asked.prompt in (None, "none")
        return LoginRequest(
            acr_values=list(asked.acr) or None,
            max_age=asked.max_age,
            prompt=asked.prompt,
            login_hint=asked.login_hint,
            resource=self._parts.resources or None,
            expected_sub=held.record.subject if held is not None and confirms else None,
        )

    # ---- a second identity for who is logged in

    def link(self, request: WebRequest) -> Flow[WebAnswer]:
        """Send who is logged in to another provider, to prove an identity there as well.

        A form of ours asks for it: a link of another site could add an identity that is not the user's.
        """
        parts, form = self._parts, request.form()
        held = yield from parts.sessions.find(request)
        if held is None:
            return page_answer(401, needs_login(parts.login_path(None)), parts.sessions.outlived(request))
        if not is_own(request, held.id, parts.site.origin):
            parts.audit.denied("csrf_token_invalid", "link")
            return page_answer(403, forged(parts.site.home))
        provider = parts.provider(form.get("link", ""))
        target = parts.site.destination(form.get("next"))
        if provider is None:
            return redirect(target, held.headers)
        data = {"next": target, "link": parts.sessions.handle(held.id), **self._carried(provider, held)}
        return (yield from self._sent(request, provider, LoginRequest(), data))

    def _linked(self, request: WebRequest, provider: Provider, returned: Returned, claimed: Claimed) -> Flow[WebAnswer]:
        """Add an identity to the session that asked for it; both were proven: by the session, and by the ID token."""
        parts, data, target = self._parts, claimed.transaction.data, destination_of(claimed.transaction)
        before = yield from self._before(request, claimed)
        if before is None or not same_text(parts.sessions.handle(before.id), str(data["link"])):
            return (yield from self._stale(request, StaleLogin("link_session_changed")))
        login = yield from provider.client.completed(returned, "", keeping=False)
        if not login.is_successful:
            return self._failed(login, claimed)
        claims = login.claims or {}
        record = yield from self._joined(before.record, claims)
        if record is None:
            parts.audit.denied("link_refused", "callback")
            return page_answer(403, refusal_page(target, "link_refused"))
        own = parts.provider(record.provider) or provider
        entry = yield from own.client.entry_of(record.tokens)
        made, _ = yield from parts.sessions.create(record.seen(before.at), float(claims.get("iat", before.at)), entry)
        yield from parts.sessions.replace(before)
        parts.audit.linked(record, entry, claims["iss"])
        return redirect(parts.site.destination(target), made.headers)

    def _joined(self, record: Record, claims: Mapping[str, Any]) -> Flow[Record | None]:
        hook, identity = self._parts.on_link, (claims["iss"], claims["sub"])
        known = ((record.issuer, record.subject), *record.linked)
        if hook is None or identity in known or len(known) > _MOST_IDENTITIES:
            return None
        mine = {**record.claims, "iss": record.issuer, "sub": record.subject}
        user = yield from self._user(lambda: hook(mine, claims), "on_link")
        linked = (*record.linked, identity)
        return None if user is None else msgspec.structs.replace(record, linked=linked, user=user)

    # ---- back from the provider

    def callback(self, request: WebRequest, provider: Provider) -> Flow[WebAnswer]:
        """Complete a login; whatever completes none leads to a new one."""
        posted = request.method == "POST"
        came: bytes | str = request.body if posted else f"?{request.query}"
        mode = FORM_POST if posted else QUERY
        try:
            state = state_of(provider.client._client, came, mode)
            if not state:
                raise StaleLogin("state_missing")
            claimed = yield from self._parts.logins.claim(request, state)
        except AuthorizeCallbackException as error:
            return (yield from self._stale(request, StaleLogin(error.code)))
        except StaleLogin as stale:
            return (yield from self._stale(request, stale))
        returned = Returned(came, claimed.transaction, None, claimed.binding, mode)
        answer = yield from self._completed(request, provider, returned, claimed)
        return answer.adding(claimed.headers)

    def _stale(self, request: WebRequest, stale: StaleLogin) -> Flow[WebAnswer]:
        parts = self._parts
        if stale.stolen:
            parts.audit.theft_suspected("login_replayed")
        else:
            parts.audit.denied(stale.code, "callback")
        held = yield from parts.sessions.find(request)
        if held is not None:  # the back button, a second tab: the login is done
            return redirect(parts.site.destination(stale.destination), held.headers)
        return page_answer(400, restart(parts.login_path(stale.destination)))

    def _completed(
        self, request: WebRequest, provider: Provider, returned: Returned, claimed: Claimed
    ) -> Flow[WebAnswer]:
        if "link" in claimed.transaction.data:
            return (yield from self._linked(request, provider, returned, claimed))
        parts, target, name = self._parts, destination_of(claimed.transaction), new_id()
        login = yield from provider.client.completed(returned, name, keeping=parts.sessions.shared)
        if not login.is_successful:
            return self._failed(login, claimed)
        entry = yield from provider.client.entry_of(name)
        try:
            before = yield from self._before(request, claimed)
            held = yield from self._begun(before, provider, login, name, entry, claimed.transaction.max_age)
        except SessionEnded:
            yield from self._undone(provider, entry)
            parts.audit.denied("session_ended", "callback")
            return page_answer(400, restart(parts.login_path(target)))
        except Exception:  # the hook is the application's code: whatever it raises is the application's to answer
            yield from self._undone(provider, entry)
            raise
        if held is None:
            yield from self._undone(provider, entry)
            parts.audit.denied("user_refused", "callback")
            return page_answer(403, refusal_page(parts.login_path(target, prompt="select_account"), "user_refused"))
        parts.audit.logged_in(held.record, entry)
        framed = claimed.transaction.data.get("framed") is True
        return self._arrived(parts.site.destination(target), held.headers, framed=framed)

    def _undone(self, provider: Provider, entry: str) -> Flow[None]:
        try:
            if self._parts.sessions.shared:
                yield from provider.client.forgotten(entry)
        except StoreException:
            pass  # they are sealed under a name that nobody knows any more

    def _begun(
        self,
        before: Held | None,
        provider: Provider,
        login: LoginResponse,
        name: str,
        entry: str,
        asked_age: int | None,
    ) -> Flow[Held | None]:
        """Begin the session; None if the application refuses the user."""
        claims = login.claims or {}
        hook, user = self._parts.on_login, None
        if hook is not None:
            user = yield from self._user(lambda: hook(claims), "on_login")
            if user is None:
                return None
        wall = (yield from now()).wall
        record = msgspec.structs.replace(self._record(provider, claims, user, name, wall), asked_age=asked_age)
        held, surplus = yield from self._parts.sessions.create(record, float(claims.get("iat", wall)), entry)
        yield from self._succeeded(before, record)
        yield from self._ended(provider, surplus)
        return held

    @staticmethod
    def _user(ask: Callable[[], Any], name: str) -> Flow[Any]:
        """Return what the application says, which may block or be to be awaited."""
        user = yield from resolve((yield from call(ask)))
        try:
            return msgspec.json.decode(msgspec.json.encode(user))
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            raise must_be(name, "a function that returns JSON values", type(user).__name__) from None

    def _record(self, provider: Provider, claims: Mapping[str, Any], user: Any, name: str, wall: float) -> Record:
        sid = claims.get("sid")
        return Record(
            provider=provider.name,
            issuer=claims["iss"],
            subject=claims["sub"],
            sid=sid if isinstance(sid, str) and sid else None,
            claims=kept_claims(claims, self._parts.claims),
            tokens=name,
            created_at=wall,
            seen_at=wall,
            ends_at=wall + self._parts.sessions.lifetimes.absolute,
            user=user,
        )

    def _succeeded(self, before: Held | None, record: Record) -> Flow[None]:
        """End the session that the browser had before the login."""
        if before is None:
            return
        if (before.record.issuer, before.record.subject) == (record.issuer, record.subject):
            yield from self._parts.sessions.replace(before)
            return
        yield from self._parts.sessions.end(before)
        provider = self._parts.provider(before.record.provider)
        if provider is None or not self._parts.sessions.shared:
            return
        entry = yield from provider.client.entry_of(before.record.tokens)
        yield from provider.client.forgotten(entry)
        self._parts.audit.logged_out(before.record, entry, "other_user")

    def _ended(self, provider: Provider, surplus: list[Entry]) -> Flow[None]:
        for entry in surplus:
            yield from self._parts.sessions.end_entry(entry)
            yield from provider.client.forgotten(entry.tokens)
        self._parts.audit.ended(provider.issuer, [one.tokens for one in surplus], "too_many")

    # ---- what went wrong

    def _failed(self, login: LoginResponse, claimed: Claimed) -> WebAnswer:
        parts, error, data = self._parts, login.exception, claimed.transaction.data
        target = parts.site.destination(destination_of(claimed.transaction))
        if isinstance(error, StoreException):
            raise error
        code = login.error_code or "login_failed"
        parts.audit.denied(code, "callback")
        if data.get("silent") is True and code in _WOULD_ASK:
            return self._unasked(target, framed=data.get("framed") is True)
        again = parts.login_path(target)
        if code == "access_denied":
            return page_answer(403, cancelled(again, parts.site.home))
        if error is not None and _is_away(error):
            return page_answer(503, unavailable(again), (("retry-after", "5"),))
        return page_answer(400, refusal_page(again, code))


def _is_away(error: PyIdentityModelException) -> bool:
    """Tell whether the provider is away; one that says no is there."""
    if not isinstance(error, NetworkException):
        return False
    status = error.status_code or 0
    return getattr(error, "error", None) is None or not 400 <= status < 500


__all__ = ["Asked", "LoggingIn", "asked_by"]
