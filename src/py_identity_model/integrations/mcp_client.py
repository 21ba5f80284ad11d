"""An MCP client that logs in: the auth object of a transport, by the specification of 2026-07-28.

    http = httpx2.AsyncClient(auth=MCPAuth("https://mcp.example.com/mcp", store=SqliteStore("tokens.db")))
    async with Client(streamable_http_client("https://mcp.example.com/mcp", http_client=http)) as client:
        await client.call_tool("search", {"text": "invoices"})

The transports of the official SDK and of FastMCP take it, as any client of ``httpx2`` and ``httpx`` does; no SDK is
imported. From the first 401 on it finds the authorization server, is a client there, has the user log in with the
browser of this machine, and keeps the tokens in the store, where other programs of the user find them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

from .._arguments import explains_arguments
from .._core.base.flow import Flow
from .._core.base.secret import CurrentSecret
from .._core.base.store import AnyStore
from .._core.base.urls import origin
from .._core.client.client_auth import PrivateKeyJwt
from .._core.client.held_tokens import AccessToken
from .._core.client.identity_tokens import CurrentToken, IdentityTokenSource
from .._core.login.client import LoginClient
from .._core.login.oauth_verbs import LOGIN_SECONDS, OAuthVerbs
from .._core.mcp.calls import ServerCall
from .._core.mcp.options import AUTHORIZATION_CODE, REDIRECT_URI, AuthorizationTarget, MCPOptions, Means
from .._core.mcp.server_tokens import ServerTokens
from .._core.mcp.strangers import guarded
from .._loopback import Browser, show_page
from .._token_auth import TokenAuth, also_of_httpx
from ..aio._clients import Transport as AsyncTransport
from ..aio._driver import run as run_awaiting
from ..settings import get_settings
from ..stores._memory import MemoryStore
from ..sync._clients import Transport
from ..sync._driver import run
from ..sync._login import services
from ..sync._oauth_client import OAuthClient


def _means(store: AnyStore, transport: Any, browser: bool, show: Callable[[str], Any]) -> Means:
    def client_of(client: LoginClient, bound: bool) -> OAuthVerbs[Any]:
        return OAuthClient(client, dpop=bound, store=store, http_client=transport)

    return Means(services(transport), get_settings(), store, Browser(browser), show, client_of)


class MCPAuth(TokenAuth):
    """Gives every request to one MCP server the token it needs, and has the user log in where none is there.

    ``httpx2`` and ``httpx`` take it as ``auth=``, in blocking and in asynchronous clients. Threads and tasks may share
    it; processes share logins and registrations by the store.

    A request may raise :class:`StepUpRequired`, where the server wants more than is granted, :class:`LoginRequired`,
    where it takes no token at all, :class:`TokenUnavailable`, and what a login or the metadata of a server is refused
    for. Nothing goes to another origin than the server's (``token_origin_refused``).
    """

    def __new__(cls, *args: object, **options: object) -> Self:
        """Return an object that is also an ``Auth`` of httpx, where that is installed."""
        return object.__new__(also_of_httpx(cls))  # type: ignore[arg-type,return-value] # it is made of cls

    @explains_arguments
    def __init__(
        self,
        server: str,
        *,
        client_id: str | None = None,
        client_secret: CurrentSecret | None = None,
        private_key_jwt: PrivateKeyJwt | None = None,
        issuer: str | None = None,
        client_metadata_url: str | None = None,
        client_name: str = "MCP client",
        ask: Callable[[str], tuple[str, str | None] | Awaitable[tuple[str, str | None]]] | None = None,
        grant: str = AUTHORIZATION_CODE,
        assertion: IdentityTokenSource | Callable[[AuthorizationTarget], CurrentToken | Awaitable[str]] | None = None,
        dpop: bool = False,
        store: AnyStore | None = None,
        http_client: Transport | AsyncTransport | None = None,
        subject: str = "user",
        redirect_uri: str = REDIRECT_URI,
        browser: bool = True,
        show: Callable[[str], object] = show_page,
        seconds: float = LOGIN_SECONDS,
        allow_private_addresses: bool = False,
    ) -> None:
        """Name the server, and what there is of a client.

        Without ``client_id`` the client is, in this order: ``client_metadata_url``, where the authorization server
        takes one; registered dynamically, once; asked for.

        Args:
            server: The address of the MCP server.
            client_id: The client that is registered with *issuer*.
            client_secret: Its secret, or a function that returns it.
            private_key_jwt: Its private key; also that of *client_metadata_url*.
            issuer: The authorization server that the client is registered with; no other one is used. By default the
                first one that the server names, from then on.
            client_metadata_url: Where the client's metadata document is (Client ID Metadata Document).
            client_name: What a client is called that is registered dynamically.
            ask: Asks the user for ``client_id`` and secret, given the issuer, where nothing else brought a client.
            grant: ``authorization_code``, or ``client_credentials`` for a client that acts in its own name.
            assertion: Where a JWT comes from that is the grant (RFC 7523 2.1): a source such as
                :class:`KubernetesToken` for a workload, or a function that is told the authorization server and the
                resource, and returns one: ``enterprise.cross_app(...)`` for a user of one's own enterprise.
            dpop: Whether tokens are bound to a key (RFC 9449). They are in any case where the server takes no others.
            store: Where logins and registrations are kept, and shared by programs; by default the memory of this
                object.
            http_client: The transport to server and authorization server while a token is got; by default the client
                of the API at hand.
            subject: Whose login it is, where one program has several users.
            redirect_uri: Where the browser comes back to, on this machine; without a port any free one is used.
            browser: Whether the browser is opened; else, or where there is none, the user is shown the page.
            show: Tells the user which page to open; by default on the standard error.
            seconds: How long the user may take.
            allow_private_addresses: Whether the server may lead to addresses that are not public, in a network of
                one's own. The host of *server*, and of *issuer*, may be private in any case.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        known = client_id, client_secret, private_key_jwt, issuer, client_metadata_url, client_name, ask
        ways = grant, assertion, dpop, subject, redirect_uri, seconds, allow_private_addresses
        options = MCPOptions(server, *known, *ways).check()
        means = _means(MemoryStore() if store is None else store, http_client, browser, show)
        self._made_of(ServerTokens(options, means), frozenset({origin(server)}), http_client)
        self._named = options.named

    def __repr__(self) -> str:
        return f"MCPAuth({self._source!r})"

    def _call(self, method: str, url: Any, sent: AccessToken | None = None) -> ServerCall:
        return ServerCall(self._source, self._origins, method, str(url), sent)

    def _run(self, flow: Flow[Any]) -> Any:
        return run(guarded(flow, self._named), self._http_client)

    async def _await(self, flow: Flow[Any]) -> Any:
        return await run_awaiting(guarded(flow, self._named), self._http_client)


__all__ = ["MCPAuth"]
