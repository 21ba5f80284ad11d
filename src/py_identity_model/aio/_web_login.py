"""People who log in with a browser, awaited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._arguments import explains_arguments
from .._core.base.scopes import Scopes
from .._core.base.store import AnyStore
from .._core.client.held_tokens import AccessToken
from .._core.client.userinfo import UserInfoResponse
from .._core.login.client import LoginClient
from .._core.login.oauth_client import OAuthClientBase
from .._core.web_login.messages import WebAnswer, WebRequest
from .._core.web_login.parts import Parts
from .._core.web_login.records import Held, SessionInfo
from .._core.web_login.session import SessionBase
from .._core.web_login.session_tokens import SessionTokens
from .._core.web_login.visits import demand
from .._core.web_login.web_login import WebLoginBase
from .._refusals import must_be
from ..stores._encrypted import Sealer
from ..stores._session_store import sealing
from ._clients import Transport
from ._driver import run
from ._oauth_client import OAuthClient

if TYPE_CHECKING:
    from .._token_auth import TokenAuth


class Session(SessionBase):
    """Who is logged in: the session that a request belongs to."""

    @explains_arguments
    async def token(
        self,
        *,
        scope: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        authorization_details: Sequence[Mapping[str, Any]] | None = None,
    ) -> AccessToken:
        """Return an access token of the user that may be used now; of all who need a new one, one renews.

        Args:
            scope: The scopes asked for.
            resource: Where the token will be used (RFC 8707): one absolute URI or several.
            authorization_details: What exactly is asked for (RFC 9396).

        Raises:
            LoginRequired: The login is over: send the browser to the login.
            TokenUnavailable: The provider, or the store, is away, and there is no token that is still good.
            TokenRequestException: The provider refuses the request.
            ConfigurationException: Sessions are kept in cookies, without tokens.
        """
        client: Any = self._provider().client
        token: AccessToken = await client.token(
            scope=scope, resource=resource, authorization_details=authorization_details, subject=self._tokens()
        )
        return token

    @explains_arguments
    def auth(
        self,
        *,
        scope: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        origins: Sequence[str] | None = None,
    ) -> TokenAuth:
        """Return the auth object of an HTTP client, with the tokens of the user; see :meth:`OAuthClient.auth`.

        Args:
            scope: The scopes asked for.
            resource: Where the tokens will be used (RFC 8707): one absolute URI or several.
            origins: Where tokens may go; by default the origins of *resource*.

        Raises:
            ConfigurationException: Sessions are kept in cookies, or it is not said where tokens may go.
        """
        client: Any = self._provider().client
        auth: TokenAuth = client.auth(scope=scope, resource=resource, origins=origins, subject=self._tokens())
        return auth

    @explains_arguments
    async def userinfo(self) -> UserInfoResponse:
        """Ask the provider for the claims about the user (OpenID Connect Core 5.3).

        Raises:
            ConfigurationException: Sessions are kept in cookies, without tokens.
        """
        client: Any = self._provider().client
        answer: UserInfoResponse = await client.userinfo(self._tokens())
        return answer


class _SessionClient(SessionTokens[Transport], OAuthClient):
    """The client of a provider whose tokens belong to sessions."""


class WebLogin(WebLoginBase[Session, Transport]):
    """Logs people in with their browsers, keeps their sessions, and logs them out. Tasks and event loops may share it.

    The doors of frameworks translate requests and answers: ``integrations.fastapi_login``, ``starlette_login``.
    """

    blocking = False
    _seal = staticmethod(sealing)
    _sealer = staticmethod(Sealer)

    def _client_of(self, client: LoginClient | OAuthClientBase[Any], store: AnyStore | None) -> SessionTokens[Any]:
        if isinstance(client, LoginClient):
            return _SessionClient(client, store=store)
        if not isinstance(client, OAuthClient):
            raise must_be("client", "an OAuthClient of this API, or a LoginClient", type(client).__name__)
        return _SessionClient(
            client._client,
            dpop=client._wants_key,
            store=store,
            http_client=client._http_client,
            renewal_timeout=client._seconds,
        )

    def _session_of(self, parts: Parts, held: Held) -> Session:
        return Session._of(parts, held)

    @explains_arguments
    async def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request to one of :attr:`routes`.

        Args:
            request: The request, with its body.

        Returns:
            Status, headers and body, exactly as they are to be sent.
        """
        return await run(self._answer(request), self._http_client)

    @explains_arguments
    async def session(self, request: WebRequest) -> Session | None:
        """Return who is logged in; None for nobody.

        Args:
            request: The request.

        Raises:
            StoreException: The store is away: whether somebody is, is not known.
        """
        return await run(self._find(request), self._http_client)

    @explains_arguments
    async def require(
        self,
        request: WebRequest,
        *,
        acr: str | Iterable[str] | None = None,
        max_age: int | None = None,
        csrf: bool = True,
    ) -> Session | WebAnswer:
        """Return who is logged in, or the answer for a request without a session that is enough.

        Args:
            request: The request; with its body, or its fields, where it is a form.
            acr: Authentication context classes, any one of which will do (OpenID Connect Core 2).
            max_age: Seconds since the user authenticated, at most; less than 60 count as 60.
            csrf: Whether a request that changes something must show that a page of ours sent it: by a form's
                ``csrf_token``, or the header ``X-CSRF``.

        Returns:
            The session, whose ``headers`` go onto the response; or what to answer instead: a redirect to the login for
            a page, 401 with its address for all else, 403 for what another site sent, 503 while the store is away.

        Raises:
            ConfigurationException: What is demanded could never be met.
        """
        return await run(self._decide(request, demand(acr, max_age, csrf=csrf)), self._http_client)

    @explains_arguments
    async def sessions(self, issuer: str, subject: str) -> list[SessionInfo]:
        """Return the sessions of a user, the newest first.

        Args:
            issuer: The issuer.
            subject: The user there.

        Raises:
            StoreException: The store is away.
            ConfigurationException: Sessions are kept in cookies.
        """
        return await run(self._listed(issuer, subject), self._http_client)

    @explains_arguments
    async def end_sessions(self, issuer: str, subject: str) -> int:
        """End all sessions of a user, in every process: "log out everywhere".

        Args:
            issuer: The issuer.
            subject: The user there.

        Returns:
            How many there were.

        Raises:
            StoreException: The store is away: ask again.
            ConfigurationException: Sessions are kept in cookies.
        """
        return await run(self._end_all(issuer, subject), self._http_client)

    @explains_arguments
    async def rotate(self, session: Session) -> Session:
        """Give a session a new id, as its rights change; the old one is good for nothing any more.

        Args:
            session: The session.

        Returns:
            The same under the new id; its ``headers`` go onto the response.

        Raises:
            StoreException: The store is away.
        """
        return await run(self._rotated(session), self._http_client)


__all__ = ["Session", "WebLogin"]
