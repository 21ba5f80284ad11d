"""One issuer of a served provider: the embedded provider with a name, a clock that can be set, and a memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..._core.base.flow import Reply, Request
from ..._core.jose.algorithms import SignatureAlgorithm
from ..._core.jose.jws import parse_compact
from ..._core.jose.verification_keys import import_key, prepare
from ...exceptions import PyIdentityModelException
from .._documents import NOWHERE, build_routes
from .._endpoints import Endpoints
from .._faults import Answer
from .._grants import Client, Login, Parameters, Refusal
from .._keys import HeldKey
from .._provider import EmbeddedProvider
from .._records import Playing, Received, RequestLog
from .clock import SettableClock
from .decisions import ServedDecisions
from .exchanges import ExchangeLog
from .logins import LoginQueue, Sessions
from .neighbours import origin_of
from .rules import Settings, SettingsFile

#: Codes and tokens of each kind that an issuer remembers, keys of one algorithm, users, faults at play.
REMEMBERED, MOST_KEYS, MOST_USERS, MOST_FAULTS = 2000, 8, 1000, 100


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What all issuers of a site have in common.

    Attributes:
        audience: The ``aud`` of access tokens.
        subject: Who logs in where nobody is named.
        algorithms: The algorithms that sign, the first one by default.
        pages: Whether people log in on a page; otherwise everybody is logged in at once.
        open_clients: Whether clients that nobody registered are taken.
        access_token_lifetime: Seconds that access tokens live.
        browser_url: Where browsers reach the site, if not at the address of its issuers.
        trailing_slash: Whether issuers end with a slash.
        file: Users, clients and rules.
    """

    audience: str = "api"
    subject: str = "alice"
    algorithms: tuple[SignatureAlgorithm, ...] = ("RS256",)
    pages: bool = False
    open_clients: bool = True
    access_token_lifetime: float = 300
    browser_url: str | None = None
    trailing_slash: bool = False
    file: SettingsFile = field(default_factory=SettingsFile)


class ServedIssuer(EmbeddedProvider):
    """One issuer of a site.

    Args:
        name: Its first path segment; empty for the issuer at the root.
        base_url: Where the site is.
        options: What it has in common with the others.
    """

    def __init__(self, name: str, base_url: str, options: SiteOptions) -> None:
        self.name = name
        self.options = options
        self.clock = SettableClock()
        super().__init__(
            f"https://issuer.invalid/{name}",  # the owner of the keys; plain http has no place there
            clock=self.clock.now,
            algorithms=options.algorithms,
            audience=options.audience,
            subject=options.subject,
            access_token_lifetime=options.access_token_lifetime,
        )
        self.move(base_url)
        self.accounts = {}
        self.queue = LoginQueue()
        self.sessions = Sessions()
        self.exchanges = ExchangeLog()
        self.playing: dict[int, Playing] = {}
        self._faults_started = 0
        self._log = RequestLog(memory=0)
        self._endpoints = Endpoints(self, REMEMBERED)
        self.decide()

    def decide(self, **pages: Any) -> None:
        """Decide about logins, with *pages* of :class:`ServedDecisions` or without."""
        decisions = ServedDecisions(self, self._endpoints.clients, open_clients=self.options.open_clients, **pages)
        self._endpoints.decisions = decisions
        # Without pages a device is approved of after it asked twice.
        self._endpoints.device_polls = 10**9 if pages else 1

    def move(self, base_url: str) -> None:
        """Be found at another address from now on."""
        self.issuer = address_of(base_url, self.name, self.options.trailing_slash)

    # ---- requests

    def _answer_anywhere(self, request: Request) -> Answer:
        struck = {number: playing.hits for number, playing in self.playing.items()}
        answer = super()._answer_anywhere(request)
        names = [each.fault.name for number, each in self.playing.items() if each.hits != struck.get(number)]
        broken = answer.disconnect or answer.cut is not None
        self.exchanges.add(self.endpoint_of(request), request, answer.reply, tuple(names), broken)
        return answer

    @property
    def requests(self) -> tuple[Received, ...]:
        """The requests that are remembered, the oldest first."""
        return tuple(Received(each.endpoint, each.request) for each in self.exchanges.all())

    def endpoint_of(self, request: Request) -> str:
        """Return the name of the endpoint that a request is for."""
        return build_routes(self.issuer, self._paths).get(urlsplit(request.url).path, NOWHERE)

    def authorize_as(self, given: Parameters, login: Login | Refusal) -> Reply:
        """Answer an authorization request whose user decided on a page."""

        def decide() -> Login:
            if isinstance(login, Refusal):
                raise login
            return login

        return self._endpoints.authorize_as(given, decide)

    def refuses(self, given: Parameters) -> Refusal | None:
        """Return why an authorization request is not even answered at its redirect address."""
        try:
            self._endpoints.check_authorization(given)
        except Refusal as refusal:
            return refusal
        return None

    def may_return(self, given: Parameters) -> bool:
        """Tell whether a logout may lead where the request wants it to."""
        back = given.get("post_logout_redirect_uri")
        return back is None or self._endpoints.may_return(back, given)

    def is_ours(self, token: str) -> bool:
        """Tell whether a key of this issuer signed a token, whatever it says and however old it is."""
        try:
            jws = parse_compact(token)
        except PyIdentityModelException:
            return False
        for held in self.held_keys():
            if held.kid == jws.header.get("kid") and held.key.alg == jws.header.get("alg"):
                return prepare(import_key(held.jwk), held.key.alg).verify(jws.signing_input, jws.signature)
        return False

    @staticmethod
    def access_token_in(answer: Answer) -> str | None:
        """Return the access token of an answer of the token endpoint, if there is one."""
        try:
            members = json.loads(answer.reply.body)
        except ValueError:
            return None
        token = members.get("access_token") if isinstance(members, dict) else None
        return token if isinstance(token, str) and not answer.disconnect else None

    # ---- documents

    def configuration(self) -> dict[str, Any]:
        """Return the metadata; what browsers open is told with the address at which they reach it."""
        document = super().configuration()
        for member, page in (("authorization_endpoint", "authorize"), ("end_session_endpoint", "end_session")):
            document[member] = self.page_url(page)
        supported = {"prompt_values_supported": ["none", "login", "consent", "select_account"]}
        changed = {**document, **supported, **self.settings().metadata_of(self.name)}
        return {name: value for name, value in changed.items() if value is not None}

    def page_url(self, page: str) -> str:
        """Return the address of something that people open in a browser."""
        return f"{self.browser_issuer.rstrip('/')}/{page}"

    @property
    def browser_issuer(self) -> str:
        """The issuer as browsers reach it."""
        return address_of(self.options.browser_url, self.name, False) if self.options.browser_url else self.issuer

    def settings(self) -> Settings:
        """Return what the file says now."""
        found = self.options.file.current()
        self.audience = found.audience_of(self.name) or self.options.audience
        return found

    def users(self) -> dict[str, dict[str, Any]]:
        """Return the claims of every user that is known, by ``sub``."""
        known = {**self.settings().accounts(), **self.accounts}
        return known or {self.subject: {}}

    def clients(self) -> dict[str, Client]:
        """Return the clients that are registered, by name."""
        return {**{row.client_id: row.client() for row in self.settings().clients}, **self._endpoints.clients}

    # ---- sessions

    @property
    def cookie(self) -> str:
        """The name of the cookie; servers on other ports share the cookies of this one."""
        return f"provider_{urlsplit(self.browser_issuer).port or 0}_{self.name or 'root'}"

    def session_of(self, request: Request) -> str | None:
        """Return the session that a request brings."""
        sent = "; ".join(value for name, value in request.headers if name == "cookie")
        pairs = (part.strip().partition("=") for part in sent.split(";"))
        return next((value for name, _, value in pairs if name == self.cookie), None)

    def with_session(self, reply: Reply, session: str | None) -> Reply:
        """Return the reply with a cookie; None takes it back."""
        secure = "; Secure" if self.browser_issuer.startswith("https:") else ""
        path = f"{urlsplit(self.browser_issuer).path.rstrip('/')}/"
        ends = "" if session else "; Max-Age=0"
        cookie = f"{self.cookie}={session or ''}; Path={path}; HttpOnly; SameSite=Lax{secure}{ends}"
        return Reply(reply.status, (*reply.headers, ("set-cookie", cookie)), reply.body)

    # ---- keys and faults

    def held_keys(self) -> tuple[HeldKey, ...]:
        """Return the keys, the newest last."""
        return self._ring.held()

    def rotate_bounded(self, alg: SignatureAlgorithm | None, keep_previous: bool, publish: bool) -> str | None:
        """Rotate, and forget keys that are many rotations old; return the new key's ID."""
        made = self.rotate(alg, keep_previous=keep_previous, publish=publish)
        of_alg = [held.kid for held in self.held_keys() if held.key.alg == made.alg]
        for kid in of_alg[:-MOST_KEYS]:
            self.remove_key(kid or "")
        return made.kid

    def play_numbered(self, fault: str, times: int | None, on: str | None, options: Mapping[str, Any]) -> int:
        """Play a fault; return its number, by which it can be stopped."""
        self.playing = dict(self.faults_at_play())
        playing = self.play(fault, times=times, on=on, **options)
        self._faults_started += 1
        self.playing[self._faults_started] = playing
        return self._faults_started

    def faults_at_play(self) -> dict[int, Playing]:
        """Return the faults that are not over, by number."""
        return {number: each for number, each in self.playing.items() if each.left is None or each.left > 0}

    def stop_fault(self, number: int) -> bool:
        """Stop a fault; return whether there was one of that number."""
        playing = self.playing.pop(number, None)
        if playing is not None:
            self._faults.stop(playing)
        return playing is not None

    def recover(self) -> None:
        """Stop every fault."""
        super().recover()
        self.playing = {}

    def reset(self) -> None:
        """Go back to the start; keys, clients, users and tokens stay."""
        self.recover()
        self.clock.reset()
        self.queue.clear()
        self.sessions.clear()
        self.exchanges.clear()
        self.forget_requests()

    def origins(self) -> set[str | None]:
        """Return the origins at which the issuer's pages may be."""
        return {origin_of(self.issuer), origin_of(self.browser_issuer)}


def address_of(base_url: str, name: str, trailing_slash: bool) -> str:
    """Return the issuer of that name at a site.

    >>> address_of("http://localhost:8080", "orders", False), address_of("http://localhost:8080", "", True)
    ('http://localhost:8080/orders', 'http://localhost:8080/')
    """
    bare = f"{base_url.rstrip('/')}/{name}".rstrip("/")
    return f"{bare}/" if trailing_slash else bare


__all__ = ["MOST_FAULTS", "MOST_USERS", "ServedIssuer", "SiteOptions", "address_of"]
