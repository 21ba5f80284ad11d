"""What a web login is put together from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeAlias

from ..._refusals import must_be
from ...exceptions import PyIdentityModelException
from ..login.callback import FORM_POST
from .audit import Audit
from .cookies import Cookies
from .logins import SealedLogins, StoredLogins
from .messages import WebAnswer, WebRequest
from .pages import page_answer, unavailable
from .sealed_sessions import SealedSessions
from .session_tokens import SessionTokens
from .site import Site, local_path
from .stored_sessions import StoredSessions

#: Called with the claims of a validated ID token; returns what the application calls this user, as JSON, or None to
#: refuse. It may block, or be to be awaited in ``aio``.
OnLogin: TypeAlias = Callable[[Mapping[str, Any]], object]

#: Called with the claims of who is logged in, and those of a second identity that was proven as well; returns what the
#: application calls the user now, as JSON, or None to refuse. It may block, or be to be awaited in ``aio``.
OnLink: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLoginPaths:
    """Where the routes of a login are, below the point where the application is mounted.

    Attributes:
        login: Begins a login.
        callback: Where the provider sends the browser back, with a slash at its end or without; with several providers,
            the name of one follows.
        logout: Asks, and logs out.
        logged_out: Where the provider sends the browser after a logout.
        backchannel_logout: Where the provider tells that sessions have ended; None for nowhere.
        frontchannel_logout: Where it has browsers tell that; None for nowhere.
        me: Tells pages who is logged in; None for nowhere.
        session_key: Where browsers show the key that a session is bound to; see ``bind_to_device``.

    Raises:
        ConfigurationException: One is no path, or two are the same.
    """

    login: str = "/login"
    callback: str = "/callback"
    logout: str = "/logout"
    logged_out: str = "/logged-out"
    backchannel_logout: str | None = "/backchannel-logout"
    frontchannel_logout: str | None = "/frontchannel-logout"
    me: str | None = "/me"
    session_key: str = "/session-key"

    def __post_init__(self) -> None:
        for each in fields(self):
            path = getattr(self, each.name)
            if path is None and each.name in _OPTIONAL:
                continue
            # An address may be registered with a slash at its end, and the provider compares it as it is.
            ends = isinstance(path, str) and path.endswith("/") and (each.name != "callback" or path == "/")
            if not isinstance(path, str) or local_path(path) is None or set("?#") & set(path) or ends:
                raise must_be(each.name, "a path such as /login", path)
        if len(set(self.listed())) < len(self.listed()):
            raise must_be("paths", "different from each other")

    def listed(self) -> list[str]:
        """Return those that there are."""
        return [path for each in fields(self) if (path := getattr(self, each.name)) is not None]


def callback_of(paths: WebLoginPaths, name: str) -> str:
    """Return where one of several providers sends the browser back."""
    return f"{paths.callback.rstrip('/')}/{name}"


_OPTIONAL = frozenset({"backchannel_logout", "frontchannel_logout", "me"})


class Provider(NamedTuple):
    """A provider that users log in with.

    Attributes:
        name: What the application calls it; empty where there is only one.
        title: What users call it.
        client: The client there.
        callback: Where it sends browsers back.
    """

    name: str
    title: str
    client: SessionTokens[Any]
    callback: str

    @property
    def issuer(self) -> str:
        """Its issuer identifier, or the address of those of its tenants."""
        return self.client._client.issuer

    @property
    def posts(self) -> bool:
        """Whether its responses come as a form that its page posts."""
        return (self.client._client.response_mode or "").startswith(FORM_POST)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the flows of a web login work with."""

    site: Site
    paths: WebLoginPaths
    cookies: Cookies
    sessions: StoredSessions | SealedSessions
    logins: StoredLogins | SealedLogins
    audit: Audit
    providers: tuple[Provider, ...]
    on_login: OnLogin | None = None
    on_link: OnLink | None = None
    claims: frozenset[str] | None = None
    logout_by_form: bool = False
    accept_logout_tokens_without_exp: bool = False
    #: What tokens of sessions are for (RFC 8707): a provider grants at the login what it is asked for there.
    resources: list[str] = field(default_factory=list)

    def provider(self, name: str) -> Provider | None:
        """Return the provider of that name."""
        return next((one for one in self.providers if one.name == name), None)

    def provider_of(self, issuer: str | None) -> Provider | None:
        """Return the provider that is, or has a tenant that is, this issuer; the only one for None."""
        if issuer is None:
            return self.providers[0] if len(self.providers) == 1 else None
        return next((one for one in self.providers if _is(one, issuer)), None)

    def login_path(self, target: str | None, **parameters: str | None) -> str:
        """Return the public path that begins a login."""
        wanted = None if target in (None, self.site.home) else target
        return self.site.login(self.paths.login, next=wanted, **parameters)

    def away(self, request: WebRequest, error: PyIdentityModelException) -> WebAnswer:
        """Return the answer where the store or the provider is away: nobody is logged in or out by that."""
        again = self.site.public(request) if request.method in ("GET", "HEAD") else self.site.home
        seconds = getattr(error, "retry_after", None) or 5.0
        return page_answer(503, unavailable(again), (("retry-after", str(max(1, round(seconds)))),))


def _is(provider: Provider, issuer: str) -> bool:
    template = provider.client._client.issuer_template
    return provider.issuer == issuer or (template is not None and template.value(issuer) is not None)


__all__ = ["OnLink", "OnLogin", "Parts", "Provider", "WebLoginPaths", "callback_of"]
