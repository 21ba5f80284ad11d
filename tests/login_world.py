"""A provider, an application with a web login in any number of processes, and browsers, for tests of logins."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import trio

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from py_identity_model import Request, WebAnswer, WebRequest
from py_identity_model._core.base.flow import Reply
from py_identity_model.observability import Event, add_observer
from py_identity_model.stores import MemoryStore
from py_identity_model.testing import EmbeddedProvider

BASE = "https://app.example.com"
PAGE = ("accept", "text/html,*/*;q=0.8")
KEY = bytes(range(32))


class Provider(EmbeddedProvider):
    """The embedded provider, whose ID tokens say more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Claims of ID tokens, beside its own.
        self.more: dict[str, Any] = {"sid": "session-at-provider"}

    def mint_claims(self, kind: str, claims: Mapping[str, Any], **facts: Any) -> str:
        """Mint a token; an ID token with more claims."""
        return super().mint_claims(kind, {**self.more, **claims} if kind == "id_token" else claims, **facts)


class LoginWorld:
    """One provider, one store, and any number of processes and browsers.

    Args:
        kind: ``sync``, ``asyncio`` or ``trio``.
        clock: The clock of all.
        base_url: Where the application is.
    """

    def __init__(self, kind: str, clock: Any, base_url: str = BASE) -> None:
        self.kind, self.clock, self.base_url = kind, clock, base_url
        self.provider = self.another("https://id.example.com")
        self.providers = {"https://id.example.com": self.provider}
        self.store: Any = MemoryStore(clock=lambda: float(clock.wall))
        self.events: list[Event] = []
        add_observer(self.events.append)
        #: What stands between client and providers.
        self.between: Callable[[Request], Reply] = self._route

    @property
    def door(self) -> str:
        """The package of this API."""
        return "sync" if self.kind == "sync" else "aio"

    def another(self, issuer: str, **options: Any) -> Provider:
        """Return a provider of the same time."""
        from py_identity_model.testing._grants import Client

        made = Provider(issuer, clock=lambda: float(self.clock.wall), **options)
        back = (f"{self.base_url}/callback", f"{self.base_url}/callback/a", f"{self.base_url}/callback/b")
        made.add_client(Client(made.client_id, made.client_secret, back, (f"{self.base_url}/logged-out",)))
        return made

    def _route(self, request: Request) -> Reply:
        return next(p for issuer, p in self.providers.items() if request.url.startswith(issuer)).transport(request)

    def transport(self, request: Request) -> Reply:
        """Answer a request to one of the providers, by what stands between."""
        return self.between(request)

    def client(self, provider: Provider | None = None, **options: Any) -> Any:
        """Return a client of the provider, in this API."""
        at = provider or self.provider
        door = blocking if self.kind == "sync" else awaitable
        given = {"client_id": at.client_id, "client_secret": at.client_secret, "scope": "openid orders", **options}
        return door.OAuthClient(at.issuer, http_client=self.transport, **given)

    def process(self, client: Any = None, **options: Any) -> Any:
        """Return a web login, as another process has it."""
        door = blocking if self.kind == "sync" else awaitable
        given = {"store": self.store, "base_url": self.base_url, **options}
        return door.WebLogin(client or self.client(), **given)

    def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of this API and wait for its result."""
        if self.kind == "sync":
            return function(*args, **kwargs)

        async def main() -> Any:
            return await function(*args, **kwargs)

        return asyncio.run(main()) if self.kind == "asyncio" else trio.run(main)

    def named(self, name: str) -> list[Mapping[str, Any]]:
        """Return the facts of all events of that name."""
        return [event.facts for event in self.events if event.name == name]

    def browser(self, login: Any = None) -> Browser:
        """Return a browser at a process."""
        return Browser(self, login or self.process())


class Browser:
    """A browser: it keeps cookies, and follows what it is told to follow."""

    def __init__(self, world: LoginWorld, login: Any) -> None:
        self.world, self.login = world, login
        self.cookies: dict[str, str] = {}

    # ---- requests

    def request(self, method: str, url: str, *headers: tuple[str, str], form: Any = None) -> WebRequest:
        """Return a request as the door of a framework makes it."""
        parts = urlsplit(url.removeprefix(self.world.base_url) or "/")
        sent = [*headers]
        if self.cookies:
            sent.append(("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
        body = b"" if form is None else urlencode(form).encode()
        if form is not None:
            sent.append(("content-type", "application/x-www-form-urlencoded"))
        return WebRequest(method, parts.path, parts.query, tuple(sent), body)

    def send(self, request: WebRequest, *, keep: bool = True) -> WebAnswer:
        """Send a request to a route of the login."""
        answer: WebAnswer = self.world.run(self.login.answer, request)
        if keep:
            self.keep(answer)
        return answer

    def get(self, url: str, *headers: tuple[str, str]) -> WebAnswer:
        """Show a page of the login's own."""
        return self.send(self.request("GET", url, *(headers or (PAGE,))))

    def post(self, url: str, form: Any = None, *headers: tuple[str, str]) -> WebAnswer:
        """Send a form."""
        return self.send(self.request("POST", url, *(headers or (PAGE,)), form=form or {}))

    def visit(self, path: str = "/account", *headers: tuple[str, str], method: str = "GET", **demands: Any) -> Any:
        """Show a page of the application that demands a session: return it, or the answer."""
        request = self.request(method, path, *(headers or (PAGE,)))
        found = self.world.run(self.login.require, request, **demands)
        if isinstance(found, WebAnswer):
            self.keep(found)
        return found

    def keep(self, answer: WebAnswer) -> None:
        """Keep the cookies of an answer, as browsers do."""
        for header in set_cookies(answer):
            name, _, rest = header.partition("=")
            value, _, attributes = rest.partition(";")
            check_cookie(header, self.world.base_url)
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    # ---- a login

    def start(self, path: str = "/login?next=/account") -> str:
        """Begin a login in a tab; return where the provider will send the browser back to."""
        answer = self.get(path)
        assert answer.status == 303, answer.body
        return self.at_provider(answer.location or "")

    def at_provider(self, url: str) -> str:
        """Log in at the provider; return the address that it redirects to."""
        return self.world.between(Request("GET", url)).header("location") or ""

    def log_in(self, path: str = "/login?next=/account") -> WebAnswer:
        """Log in, from the login page back to the application."""
        return self.get(self.start(path))

    def token_of(self, page: WebAnswer) -> str:
        """Return the token in the form of a page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.body.decode())
        assert found is not None, page.body
        return found[1]

    def log_out(self) -> WebAnswer:
        """Log out by the page that asks."""
        return self.post("/logout", {"csrf_token": self.token_of(self.get("/logout"))})


def set_cookies(answer: WebAnswer) -> list[str]:
    """Return the cookies that an answer sets."""
    return [value for name, value in answer.headers if name == "set-cookie"]


def check_cookie(header: str, base_url: str) -> None:
    """Hold a cookie against the rules of every cookie."""
    assert "; Path=/;" in header or header.endswith("; Path=/"), header
    wanted = ["; HttpOnly", "; SameSite="] + (["__Host-", "; Secure"] if base_url.startswith("https:") else [])
    assert [part for part in wanted if part not in header] == [], header
    assert "Domain" not in header


def parameters(url: str | None) -> dict[str, str]:
    """Return the parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url or "").query).items()}
