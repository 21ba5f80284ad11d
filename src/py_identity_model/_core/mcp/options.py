"""What an application says about an MCP server and about itself as a client, checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ..._refusals import bounded, must_be
from ...exceptions import PyIdentityModelException
from ...settings import Settings
from ..base.secret import CurrentSecret
from ..base.store import AnyStore
from ..base.urls import is_loopback, parse_url
from ..client.client_auth import PrivateKeyJwt
from ..client.grants import JWT_BEARER
from ..client.held_tokens import CLIENT_CREDENTIALS
from ..client.identity_tokens import CurrentToken, IdentityTokenSource
from ..login.client import LoginClient, LoginServices
from ..login.oauth_verbs import Browser, OAuthVerbs
from ..registration.client_metadata import validate_client_id_url
from .discovery import check_server
from .strangers import Named, named

#: Where a browser comes back to, unless told otherwise; the port is chosen when it is listened to.
REDIRECT_URI = "http://127.0.0.1/callback"
AUTHORIZATION_CODE = "authorization_code"
GRANTS = (AUTHORIZATION_CODE, CLIENT_CREDENTIALS)


class AuthorizationTarget(NamedTuple):
    """What an assertion is for."""

    #: The authorization server, which the assertion is for.
    issuer: str
    #: The MCP server, which the token is for.
    resource: str
    #: The client at the authorization server.
    client_id: str


#: Where assertions come from: a source, or what returns one for a target.
Assertion: TypeAlias = "IdentityTokenSource | Callable[[AuthorizationTarget], CurrentToken | Awaitable[str]]"
#: Asks the user for the client at an issuer: its identifier, and its secret if it has one.
Ask = Callable[[str], tuple[str, str | None] | Awaitable[tuple[str, str | None]]]


class MCPOptions(NamedTuple):
    """What an application says."""

    server: str
    client_id: str | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    #: The authorization server that ``client_id`` is registered with.
    issuer: str | None = None
    client_metadata_url: str | None = None
    client_name: str = "MCP client"
    ask: Ask | None = None
    grant: str = AUTHORIZATION_CODE
    assertion: Assertion | None = None
    dpop: bool = False
    subject: str = "user"
    redirect_uri: str = REDIRECT_URI
    seconds: float = 300.0
    allow_private_addresses: bool = False

    def __repr__(self) -> str:
        return f"MCPOptions({self.server!r})"

    @property
    def kind(self) -> str:
        """The grant that brings tokens."""
        return JWT_BEARER if self.assertion is not None else self.grant

    @property
    def named(self) -> Named:
        """What the application named: requests to it may go anywhere."""
        urls = [self.server, *([self.issuer] if self.issuer is not None else [])]
        return named(urls, anywhere=self.allow_private_addresses)

    def check(self) -> MCPOptions:
        """Return the options.

        Raises:
            ConfigurationException: They cannot be used safely.
        """
        check_server(self.server)
        if self.issuer is not None:
            parse_url(self.issuer, "issuer", allow_query=False)
        self._check_client_metadata_url()
        self._check_grant()
        self._check_redirect_uri()
        for name in ("client_name", "subject"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise must_be(name, "text that is not empty", getattr(self, name))
        bounded(self.seconds, "seconds", float, 1, 3600, unit="seconds")
        return self

    def _check_client_metadata_url(self) -> None:
        if self.client_metadata_url is None:
            return
        try:
            validate_client_id_url(self.client_metadata_url)
        except PyIdentityModelException as error:
            expected = str(error.expected)
        else:
            return
        raise must_be("client_metadata_url", expected, self.client_metadata_url)

    def _check_grant(self) -> None:
        if self.grant not in GRANTS:
            raise must_be("grant", " or ".join(GRANTS), self.grant)
        if self.client_id is None and (self.client_secret is not None or self.issuer is not None):
            raise must_be("client_id", "given with a secret or an issuer", None)
        if self.kind != AUTHORIZATION_CODE and self.client_id is None and self.client_metadata_url is None:
            raise must_be("client_id", "given: nobody registers a client for this grant", None)
        if self.kind == CLIENT_CREDENTIALS and self.client_secret is None and self.private_key_jwt is None:
            raise must_be("client_secret", "given, or private_key_jwt: the client has to prove who it is", None)
        if self.assertion is not None and self.grant != AUTHORIZATION_CODE:
            raise must_be("grant", "left out: an assertion is a grant of its own", self.grant)

    def _check_redirect_uri(self) -> None:
        parts = parse_url(self.redirect_uri, "redirect_uri", allow_query=False)
        if parts.scheme != "http" or not is_loopback(parts.hostname) or not parts.path:
            raise must_be("redirect_uri", f"an http address of this machine, such as {REDIRECT_URI}", self.redirect_uri)

    @property
    def port(self) -> int:
        """The port that the browser comes back to; 0 for any."""
        return urlsplit(self.redirect_uri).port or 0

    @property
    def path(self) -> str:
        """The path that the browser comes back to."""
        return urlsplit(self.redirect_uri).path

    def redirect_to(self, port: int) -> str:
        """Return the redirect address with the port that is listened to."""
        host = urlsplit(self.redirect_uri).netloc.rpartition("]")
        name = host[0] + host[1] + host[2].partition(":")[0]
        return f"http://{name}:{port}{self.path}"


class Means(NamedTuple):
    """What the API at hand and the machine have for it."""

    services: LoginServices
    settings: Settings
    store: AnyStore
    browser: Browser
    #: Tells the user which page to open.
    show: Callable[[str], Any]
    #: Makes the client of an authorization server; the second argument tells whether tokens are bound by DPoP.
    client_of: Callable[[LoginClient, bool], OAuthVerbs[Any]]

    def __repr__(self) -> str:
        return "Means()"


__all__ = ["AUTHORIZATION_CODE", "REDIRECT_URI", "AuthorizationTarget", "MCPOptions", "Means"]
