"""What a served issuer decides: which clients it takes, who logs in with or without a page, and what tokens say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..._core.base.flow import Reply, Request
from ..._core.base.header_lists import words
from ..._core.base.urls import parse_url
from ...exceptions import ConfigurationException
from .._grants import ApproveAll, Client, Grant, Login, Parameters, Refusal
from .logins import LoginQueue, Sessions
from .neighbours import is_near
from .rules import Settings

#: Claims of a user that are told for a scope (OpenID Connect Core 5.4); others are always told.
SCOPE_CLAIMS: Mapping[str, frozenset[str]] = {
    "profile": frozenset(
        [
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ]
    ),
    "email": frozenset({"email", "email_verified"}),
    "address": frozenset({"address"}),
    "phone": frozenset({"phone_number", "phone_number_verified"}),
}
_OF_SOME_SCOPE = frozenset().union(*SCOPE_CLAIMS.values())


@dataclass(frozen=True, slots=True)
class OpenClient(Client):
    """A client that nobody registered: any secret is right, and codes go to this machine and its neighbours only."""

    @property
    def is_confidential(self) -> bool:
        """Whether it can ask for tokens of its own."""
        return True

    def authenticates(self, secret: str | None) -> bool:
        """Take any secret, or none."""
        return True

    def redirects_to(self, uri: str | None) -> bool:
        """Tell whether *uri* is near, or belongs to a program on this machine (RFC 8252 7.1)."""
        scheme, colon, _ = (uri or "").partition(":")
        if scheme in ("http", "https"):
            return _is_near_url(uri)
        named = bool(colon) and "." in scheme and scheme.replace(".", "").replace("-", "").isalnum()
        return named and (uri or "").isascii() and (uri or "").isprintable() and " " not in (uri or "")

    def returns_to(self, uri: str) -> bool:
        """Tell whether a logout may lead to *uri*: where a code may be sent."""
        return self.redirects_to(uri)


def _is_near_url(uri: str | None) -> bool:
    """Tell whether a URL leads to a neighbour, read so strictly that a browser cannot read another host in it."""
    try:
        return is_near(parse_url(uri, "redirect_uri", require_https=False).hostname)
    except ConfigurationException:
        return False


class Home(Protocol):
    """What the decisions need to know of their issuer."""

    name: str
    issuer: str
    subject: str
    accounts: dict[str, dict[str, Any]]
    access_token_lifetime: float | None
    queue: LoginQueue
    sessions: Sessions

    def now(self) -> float: ...
    def settings(self) -> Settings: ...
    def page_url(self, page: str) -> str: ...
    def session_of(self, request: Request) -> str | None: ...
    def with_session(self, reply: Reply, session: str | None) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What an authorization request demands of the login (OpenID Connect Core 3.1.2.1)."""

    prompts: frozenset[str]
    max_age: float | None
    acr_values: tuple[str, ...]

    @classmethod
    def of(cls, given: Parameters) -> Asked:
        """Read the parameters.

        Raises:
            Refusal: They contradict each other, or one cannot be read.
        """
        prompts, max_age = frozenset(words(given.get("prompt", ""))), given.get("max_age")
        if "none" in prompts and len(prompts) > 1:
            raise Refusal("invalid_request", "prompt=none goes with no other prompt")
        if max_age is not None and not (max_age.isascii() and max_age.isdigit() and len(max_age) < 12):
            raise Refusal("invalid_request", "max_age must be a number of seconds")
        return cls(prompts, None if max_age is None else float(max_age), words(given.get("acr_values", "")))

    def satisfied_by(self, login: Login, now: float) -> bool:
        """Tell whether somebody who logged in before need not do so again."""
        if self.prompts & {"login", "select_account", "create"}:
            return False
        if self.max_age is not None and now - (login.auth_time or 0) > self.max_age:
            return False
        return not self.acr_values or login.acr in self.acr_values


class ServedDecisions(ApproveAll):
    """The decisions of one served issuer.

    Args:
        home: The issuer.
        clients: Clients that were registered over HTTP.
        open_clients: Whether clients that nobody registered are taken.
        login_page: Answers an authorization request with a page; None approves of everybody at once.
        logout_page: Answers a logout request.
    """

    def __init__(
        self,
        home: Home,
        clients: Mapping[str, Client],
        *,
        open_clients: bool = True,
        login_page: Callable[[Request, Parameters, Login | None], Reply] | None = None,
        logout_page: Callable[[Request, Parameters], Reply] | None = None,
    ) -> None:
        self._home = home
        self._clients = clients
        self._open = open_clients
        self._login_page = login_page
        self._logout_page = logout_page

    def client(self, client_id: str) -> Client | None:
        """Return a registered client, one of the file, or any other that has a usable name."""
        known = self._clients.get(client_id) or self._home.settings().client(client_id)
        usable = 0 < len(client_id) <= 256 and client_id.isprintable()
        return known or (OpenClient(client_id) if self._open and usable else None)

    def login(self, request: Request, client: Client, given: Parameters) -> Login | Reply:
        """Let the next queued login happen, else whoever has a session, else ask on a page.

        Raises:
            Refusal: The request contradicts itself, or no page may be shown and nobody is logged in.
        """
        asked, home = Asked.of(given), self._home
        queued = home.queue.take(given)
        if queued is not None:
            return queued.decided(given.get("login_hint") or home.subject)
        known = home.sessions.of(home.session_of(request))
        satisfied = known is not None and asked.satisfied_by(known, home.now())
        if known is not None and satisfied and "consent" not in asked.prompts:
            return known
        if self._login_page is None:
            acr = asked.acr_values[0] if asked.acr_values else None
            return Login(given.get("login_hint") or home.subject, acr=acr)
        if "none" in asked.prompts:
            raise Refusal("login_required", "nobody is logged in as the request wants it, and no page may be shown")
        return self._login_page(request, given, known if satisfied else None)

    def established(self, login: Login, reply: Reply) -> Reply:
        """Begin a session for who logged in just now, where there are pages."""
        home = self._home
        if self._login_page is None or login.auth_time is not None:
            return reply
        return home.with_session(reply, home.sessions.begin(dated(login, home.now())))

    def logout(self, request: Request, given: Parameters) -> Reply | None:
        """Show the page, where there are pages."""
        return self._logout_page(request, given) if self._logout_page is not None else None

    def device_page(self) -> str:
        """Return where users of devices go."""
        return self._home.page_url("device")

    def claims(self, kind: str, grant: Grant, given: Parameters) -> Mapping[str, Any]:
        """Return what is said of the user: what the provider knows, what was typed, what the rules of the file say."""
        parameters = self._parameters(grant, given)
        login = grant.login or Login(grant.subject)
        account = self._home.settings().accounts().get(grant.subject, {}) | self._home.accounts.get(grant.subject, {})
        said = {**told(account, kind, grant.scope), **login.claims}
        if kind != "userinfo":
            said |= {name: value for name, value in (("acr", login.acr), ("amr", list(login.amr))) if value}
        if kind == "access_token" and parameters.get("audience"):
            said["aud"] = parameters["audience"]
        return {**said, **self._home.settings().claims(kind, parameters, self._home.name)}

    def lifetime(self, grant: Grant, given: Parameters) -> float | None:
        """Return the seconds that the rules name, or the usual ones."""
        told = self._home.settings().lifetime(self._parameters(grant, given), self._home.name)
        return self._home.access_token_lifetime if told is None else told

    def _parameters(self, grant: Grant, given: Parameters) -> dict[str, str]:
        facts = {"subject": grant.subject, "client_id": grant.client_id, "scope": grant.scope}
        return {**grant.asked, **given, **facts}


def dated(login: Login, now: float) -> Login:
    """Return the login with its time, as a session keeps it."""
    return Login(login.subject, login.claims, int(now), login.acr, login.amr)


def told(account: Mapping[str, Any], kind: str, scope: str) -> dict[str, Any]:
    """Return the claims of a user that a token of that kind tells.

    >>> ada = {"name": "Ada", "email": "ada@example.com", "roles": ["admin"]}
    >>> told(ada, "id_token", "openid email"), told(ada, "access_token", "openid email")
    ({'email': 'ada@example.com', 'roles': ['admin']}, {'roles': ['admin']})
    """
    wanted = words(scope) if kind != "access_token" else ()
    granted = frozenset().union(*(SCOPE_CLAIMS.get(word, frozenset()) for word in wanted))
    return {name: value for name, value in account.items() if name in granted or name not in _OF_SOME_SCOPE}


__all__ = ["SCOPE_CLAIMS", "Asked", "OpenClient", "ServedDecisions", "dated", "told"]
