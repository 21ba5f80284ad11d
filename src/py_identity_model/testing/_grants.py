"""What the embedded provider's endpoints work with: clients, logins, grants, refusals, and who decides about them."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from .._core.base.flow import Reply, Request

Parameters = dict[str, str]
V = TypeVar("V")


class Bounded(dict[str, V]):
    """A dictionary that forgets what is oldest in it when it is full.

    >>> kept = Bounded(2)
    >>> kept.update(a=1)
    >>> kept["b"], kept["c"] = 2, 3
    >>> list(kept)
    ['b', 'c']
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: str, value: V) -> None:
        super().__setitem__(key, value)
        while len(self) > self.most:
            del self[next(iter(self))]


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client; without a secret it is a public one.

    Attributes:
        client_id: Its name.
        client_secret: Its password, for HTTP Basic, the request body, or an HMAC.
        redirect_uris: Where codes may be sent; compared as simple strings.
        post_logout_redirect_uris: Where a logout may lead.
        require_pkce: Whether its authorization requests need a ``code_challenge``.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    require_pkce: bool = True

    @property
    def is_confidential(self) -> bool:
        """Whether it can authenticate, and so ask for tokens of its own."""
        return self.client_secret is not None

    def authenticates(self, secret: str | None) -> bool:
        """Tell whether that is its secret; a public client must send none."""
        if self.client_secret is None:
            return secret is None
        return hmac.compare_digest((secret or "").encode(), self.client_secret.encode())

    def redirects_to(self, uri: str | None) -> bool:
        """Tell whether a code may be sent there."""
        return uri in self.redirect_uris

    def returns_to(self, uri: str) -> bool:
        """Tell whether a logout may lead there."""
        return uri in self.post_logout_redirect_uris


@dataclass(frozen=True, slots=True)
class Login:
    """Who logged in, what is said of him in the tokens, and how he did it."""

    subject: str
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    auth_time: int | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user allowed a client, until when, and what has to be shown to use it."""

    client_id: str
    subject: str
    scope: str
    expires: float
    redirect_uri: str | None = None
    code_challenge: str | None = None
    nonce: str | None = None
    resource: str | None = None
    #: When the user logged in, which a refresh does not change (OpenID Connect Core 12.2).
    auth_time: int | None = None
    #: All tokens that came from one authorization; they die together.
    family: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    login: Login | None = None
    #: The parameters of the authorization request.
    asked: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Device:
    """A device waiting for its user."""

    grant: Grant
    user_code: str
    polls_left: int
    next_poll: float
    state: str = "pending"


class Refusal(Exception):  # an answer, not a failure
    """An OAuth error (RFC 6749 5.2): ``error``, ``error_description`` and the HTTP status."""

    def __init__(self, error: str, description: str, status: int = 400, challenge: str | None = None) -> None:
        super().__init__(description)
        self.reply = json_reply({"error": error, "error_description": description}, status)
        self.error = error
        self.description = description
        if challenge is not None:
            self.reply = replace(self.reply, headers=(*self.reply.headers, ("www-authenticate", challenge)))


class Signer(Protocol):
    """What the endpoints need of the provider: who it is, what time it is, and signatures."""

    issuer: str
    subject: str
    audience: str
    accounts: dict[str, dict[str, Any]]
    access_token_lifetime: float | None
    refresh_token_overlap: float

    def now(self) -> float: ...
    def mint_claims(
        self,
        kind: str,
        claims: Mapping[str, Any],
        *,
        hashed: Mapping[str, str] | None = ...,
        audience: str | list[str] | None = ...,
        subject: str | None = ...,
        client_id: str | None = ...,
        expires_in: float = ...,
    ) -> str: ...
    def claims_of(self, token: str) -> dict[str, Any]: ...


class Decisions(Protocol):
    """What a provider decides: which clients there are, who logs in, and what tokens say beside the usual."""

    def client(self, client_id: str) -> Client | None: ...
    def login(self, request: Request, client: Client, given: Parameters) -> Login | Reply: ...
    def claims(self, kind: str, grant: Grant, given: Parameters) -> Mapping[str, Any]: ...
    def lifetime(self, grant: Grant, given: Parameters) -> float | None: ...
    def established(self, login: Login, reply: Reply) -> Reply: ...
    def logout(self, request: Request, given: Parameters) -> Reply | None: ...
    def device_page(self) -> str: ...


class ApproveAll:
    """Decide as a provider for tests does: registered clients only, everybody is logged in at once.

    Args:
        provider: Whose decisions these are.
        clients: The registered clients by name.
    """

    def __init__(self, provider: Signer, clients: Mapping[str, Client]) -> None:
        self._provider = provider
        self._clients = clients

    def client(self, client_id: str) -> Client | None:
        """Return the client of that name."""
        return self._clients.get(client_id)

    def login(self, request: Request, client: Client, given: Parameters) -> Login | Reply:
        """Let whom the client named, or the provider's own subject, be logged in."""
        return Login(given.get("login_hint", self._provider.subject))

    def claims(self, kind: str, grant: Grant, given: Parameters) -> Mapping[str, Any]:
        """Add no claims."""
        return {}

    def lifetime(self, grant: Grant, given: Parameters) -> float | None:
        """Return the seconds that access tokens live."""
        return self._provider.access_token_lifetime

    def established(self, login: Login, reply: Reply) -> Reply:
        """Keep no session: the answer to a login stays as it is."""
        return reply

    def logout(self, request: Request, given: Parameters) -> Reply | None:
        """Ask nothing before a logout."""
        return None

    def device_page(self) -> str:
        """Return where users of devices would go."""
        return f"{self._provider.issuer.rstrip('/')}/device"


def json_reply(body: Mapping[str, Any], status: int = 200) -> Reply:
    """Return a JSON reply that nobody stores (RFC 6749 5.1)."""
    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return Reply(status, headers, json.dumps(body).encode())


def redirect(to: str, **parameters: str | None) -> Reply:
    """Return a redirect with these parameters added to the query; None leaves one out."""
    kept = {name: value for name, value in parameters.items() if value is not None}
    joint = "&" if urlsplit(to).query else "?"
    location = f"{to}{joint}{urlencode(kept)}" if kept else to
    return Reply(302, (("location", location), ("cache-control", "no-store")))


__all__ = [
    "ApproveAll",
    "Bounded",
    "Client",
    "Decisions",
    "Device",
    "Grant",
    "Login",
    "Parameters",
    "Refusal",
    "Signer",
    "json_reply",
    "redirect",
]
