"""A client whose tokens are simply there, awaited."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from .._arguments import explains_arguments
from .._core.base.scopes import Scopes
from .._core.base.secret import Secret
from .._core.base.store import AnyStore
from .._core.binding.dpop_client import DPoPKey
from .._core.client.device import DeviceAuthorizationResponse
from .._core.client.held_tokens import AccessToken
from .._core.client.identity_tokens import CurrentToken, IdentityTokenSource
from .._core.client.introspection import IntrospectionOptions, TokenIntrospectionResponse
from .._core.client.revocation import TokenRevocationResponse
from .._core.client.token_exchange import ExchangeTokenType, TokenExchangeOptions, TokenExchangeResponse
from .._core.client.userinfo import UserInfoResponse
from .._core.client.workload_identity import IdentityAssertion, WorkloadIdentity, as_identity
from .._core.login.begin import LoginRequest, LoginStart
from .._core.login.begin_logout import LogoutStart
from .._core.login.callback import AuthorizeCallbackResponse, CallbackInput
from .._core.login.client import LoginServices
from .._core.login.complete import Returned
from .._core.login.device_login import DeviceLoginRequest, Expected
from .._core.login.oauth_grants import Wants
from .._core.login.oauth_identity import CrossApp
from .._core.login.oauth_registration import ClientRegistrationOptions, Registering, registered_client
from .._core.login.oauth_verbs import LOGIN_SECONDS, OAuthVerbs
from .._core.login.response import LoginResponse
from .._core.login.transaction import LoginTransaction
from .._loopback import Browser, show_device, show_page
from ..settings import get_settings
from ..stores._memory import MemoryStore
from ._clients import Transport
from ._driver import run
from ._login import services

if TYPE_CHECKING:
    from .._token_auth import TokenAuth


class OAuthClient(OAuthVerbs[Transport]):
    """A client of one provider: describe it once, and its tokens are there whenever they are needed.

    Tasks, event loops, and with a shared store processes, may share it: of all who need a token that has to be renewed,
    one renews.
    """

    _settings = staticmethod(get_settings)
    _own_store = staticmethod(MemoryStore)

    def _services(self) -> LoginServices:
        return services(self._http_client)

    @classmethod
    @explains_arguments
    async def register(
        cls,
        issuer: str,
        redirect_uris: Sequence[str],
        *,
        store: AnyStore,
        http_client: Transport | None = None,
        dpop: bool | DPoPKey = False,
        **options: Unpack[ClientRegistrationOptions],
    ) -> Self:
        """Return a client that registers itself with the provider (RFC 7591), once: the store remembers it.

        Args:
            issuer: The provider's issuer identifier.
            redirect_uris: Where users come back to; the first one is used.
            store: Where the registration is kept, and tokens are.
            http_client: The transport to the provider; by default the client of this API.
            dpop: Whether tokens are bound to a key.
            options: Further fields of :class:`ClientRegistrationRequest`: ``client_name``, ``scope``,
                ``initial_access_token`` and so on.

        Raises:
            TokenRequestException: The provider refuses.
            ConfigurationException: The provider has no registration, or an argument cannot be used.
            StoreException: The store is away.
        """
        what = Registering(issuer, redirect_uris, options, store)
        client = await run(registered_client(what, services(http_client)), http_client)
        return cls(client, dpop=dpop, store=store, http_client=http_client)

    # ---- tokens

    @explains_arguments
    def auth(
        self,
        *,
        scope: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        authorization_details: Sequence[Mapping[str, Any]] | None = None,
        subject: str | None = None,
        on_behalf_of: str | Secret | None = None,
        identity: WorkloadIdentity | IdentityTokenSource | None = None,
        origins: Sequence[str] | None = None,
    ) -> TokenAuth:
        """Return the auth object of an HTTP client: of ``httpx2``, ``httpx``, ``requests`` or ``aiohttp``.

        Args:
            scope: The scopes asked for.
            resource: Where the tokens will be used (RFC 8707): one absolute URI or several.
            audience: The same by name, for providers that take one.
            authorization_details: What exactly is asked for (RFC 9396).
            subject: Whose login; None for the client itself, or the one user of a client without credentials.
            on_behalf_of: A token that came in, and is exchanged for one of this client's own; see :meth:`on_behalf_of`.
            identity: What the token is asked for with, in place of what the client was made with: a source of a
                platform's tokens, how it is used, or :meth:`cross_app` of an identity provider's client.
            origins: Where tokens may go; by default the origins of *resource*.

        Returns:
            What gives every request its token, renews it, and sends a request once more where that helps.

        Raises:
            ConfigurationException: What is asked for cannot be sent, or it is not said where tokens may go.
        """
        from .._token_auth import token_auth

        said = as_identity(identity)
        wants = self._defaulted(Wants(scope, resource, audience, authorization_details, subject, on_behalf_of, said))
        return token_auth(self._source(wants), self._permitted(wants, origins), self._http_client)

    @explains_arguments
    async def token(
        self,
        *,
        scope: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        authorization_details: Sequence[Mapping[str, Any]] | None = None,
        subject: str | None = None,
        on_behalf_of: str | Secret | None = None,
        identity: WorkloadIdentity | IdentityTokenSource | None = None,
    ) -> AccessToken:
        """Return a token that may be used now, for whatever :meth:`auth` does not serve.

        Args:
            scope: The scopes asked for.
            resource: Where the token will be used (RFC 8707): one absolute URI or several.
            audience: The same by name, for providers that take one.
            authorization_details: What exactly is asked for (RFC 9396).
            subject: Whose login; None for the client itself, or the one user of a client without credentials.
            on_behalf_of: A token that came in, and is exchanged for one of this client's own; see :meth:`on_behalf_of`.
            identity: What the token is asked for with, in place of what the client was made with: a source of a
                platform's tokens, how it is used, or :meth:`cross_app` of an identity provider's client.

        Returns:
            The token, when it expires, and its type.

        Raises:
            LoginRequired: There is no login, or it is over.
            TokenUnavailable: The provider, or the store, is away, and there is no token that is still good.
            TokenRequestException: The provider refuses the request.
            ConfigurationException: What is asked for cannot be sent.
        """
        said = as_identity(identity)
        wants = Wants(scope, resource, audience, authorization_details, subject, on_behalf_of, said)
        return await run(self._token_flow(self._defaulted(wants)), self._http_client)

    @explains_arguments
    async def client_credentials(
        self,
        *,
        scope: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        authorization_details: Sequence[Mapping[str, Any]] | None = None,
    ) -> AccessToken:
        """Return a token in the client's own name (RFC 6749 4.4), as :meth:`token` does.

        Args:
            scope: The scopes asked for.
            resource: Where the token will be used.
            audience: The same by name.
            authorization_details: What exactly is asked for.

        Raises:
            TokenUnavailable: The provider is away, and there is no token that is still good.
            TokenRequestException: The provider refuses the request.
            ConfigurationException: The client has no credentials.
        """
        self._check_credential()
        return await run(self._token_flow(Wants(scope, resource, audience, authorization_details)), self._http_client)

    @explains_arguments
    async def refresh(
        self,
        *,
        scope: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        subject: str | None = None,
    ) -> AccessToken:
        """Return a new token, also where the old one is still good: after a change of rights, for example.

        Args:
            scope: The scopes asked for.
            resource: Where the token will be used.
            subject: Whose login.

        Raises:
            LoginRequired: There is no login, or it is over.
            TokenUnavailable: The provider, or the store, is away.
            TokenRequestException: The provider refuses the request.
        """
        wants = self._defaulted(Wants(scope, resource, subject=subject))
        return await run(self._refresh_flow(wants), self._http_client)

    @explains_arguments
    async def on_behalf_of(
        self,
        token: str | Secret,
        *,
        scope: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
    ) -> AccessToken:
        """Exchange a token that came in for one of this client's own, and keep that while it is good.

        By token exchange (RFC 8693) or by the JWT bearer grant (RFC 7523 2.1), as ``on_behalf_of_grant`` says.

        Args:
            token: The access token that came in, validated.
            scope: The scopes asked for.
            resource: Where the new token will be used.
            audience: The same by name; only in a token exchange.

        Raises:
            TokenUnavailable: The provider is away, or its answer cannot be used.
            TokenRequestException: The provider refuses the exchange. With ``needs_new_login`` the user has to do
                something first, at the application that called; ``details["claims"]`` says what to ask them for.
            ConfigurationException: What is asked for cannot be sent.
        """
        wants = Wants(scope, resource, audience, on_behalf_of=token)
        return await run(self._token_flow(wants), self._http_client)

    @explains_arguments
    async def exchange(
        self, subject_token: str | Secret, **options: Unpack[TokenExchangeOptions]
    ) -> TokenExchangeResponse:
        """Exchange a token for another, once (RFC 8693); nothing is kept.

        Args:
            subject_token: The token.
            options: Further fields of :class:`TokenExchangeRequest`, such as ``requested_token_type`` and ``audience``.

        Returns:
            The new token. Nothing that the provider or the network does is raised.
        """
        return await run(self._exchange_flow(subject_token, options), self._http_client)

    # ---- for other applications

    @explains_arguments
    async def id_jag(
        self,
        audience: str,
        *,
        subject: str | None = None,
        subject_token: CurrentToken | None = None,
        subject_token_type: str = ExchangeTokenType.ID_TOKEN,
        resource: str | Sequence[str] | None = None,
        scope: Scopes | None = None,
    ) -> TokenExchangeResponse:
        """Ask for an identity assertion that another authorization server takes, once (cross-app access, ID-JAG).

        Args:
            audience: The issuer identifier of that server.
            subject: Whose login; its ID token is exchanged.
            subject_token: What is exchanged, in place of that ID token.
            subject_token_type: What that is.
            resource: Where the access token will be used: one absolute URI or several.
            scope: The scopes asked for, as that server knows them.

        Returns:
            The assertion, in ``access_token``, although it is none. Nothing that the provider does is raised.
        """
        wanted = CrossApp(audience, subject, subject_token, subject_token_type, resource, scope)
        return await run(self._id_jag_flow(wanted), self._http_client)

    @explains_arguments
    def cross_app(
        self,
        audience: str,
        *,
        subject: str | None = None,
        subject_token: CurrentToken | None = None,
        subject_token_type: str = ExchangeTokenType.ID_TOKEN,
        resource: str | Sequence[str] | None = None,
        scope: Scopes | None = None,
    ) -> IdentityAssertion:
        """Return where identity assertions come from, for the ``identity`` of another server's client.

        Args:
            audience: The issuer identifier of that server.
            subject: Whose login; its ID token is exchanged.
            subject_token: What is exchanged, in place of that ID token.
            subject_token_type: What that is.
            resource: Where the access token will be used: one absolute URI or several.
            scope: The scopes asked for, as that server knows them.

        Returns:
            The source; :meth:`id_jag` is asked for each token. Both clients are of one API.
        """
        wanted = CrossApp(audience, subject, subject_token, subject_token_type, resource, scope)
        asked = partial(self._assertion_flow, wanted)
        return IdentityAssertion(lambda: run(asked(), self._http_client), wanted.key(self._client))

    # ---- logins

    @explains_arguments
    async def begin_login(self, request: LoginRequest | None = None, *, store: AnyStore | None = None) -> LoginStart:
        """Begin a login in the browser, as :func:`begin_login` does for this client.

        Args:
            request: What is special about this login.
            store: Where the transaction is kept until the user comes back; then ``request.binding`` is required.

        Returns:
            The URL to redirect to, and the transaction to keep.
        """
        return await run(self._begin_login_flow(request or LoginRequest(), store), self._http_client)

    @explains_arguments
    async def complete_login(
        self,
        callback: CallbackInput | AuthorizeCallbackResponse,
        transaction: LoginTransaction | str | None = None,
        *,
        subject: str | None = None,
        store: AnyStore | None = None,
        binding: str | Secret | None = None,
        response_mode: str | None = None,
    ) -> LoginResponse:
        """Complete a login in the browser, as :func:`complete_login` does, and keep its tokens.

        Args:
            callback: What came to the redirect address.
            transaction: What :meth:`begin_login` returned, or its ``to_string()``.
            subject: The name that the tokens are kept under; by default the ``sub`` of the ID token.
            store: The store that has the transaction, in place of it.
            binding: What the browser brought back of ``LoginRequest.binding``.
            response_mode: How parameters came, where *callback* does not tell.

        Returns:
            Claims and tokens; or why there are none.
        """
        returned = Returned(callback, transaction, store, binding, response_mode)
        return await run(self._complete_login_flow(returned, subject), self._http_client)

    @explains_arguments
    async def device_login(
        self,
        show: Callable[[DeviceAuthorizationResponse], object] = show_device,
        *,
        request: DeviceLoginRequest | None = None,
        subject: str | None = None,
        expected_sub: str | None = None,
    ) -> LoginResponse:
        """Have the user approve on another device (RFC 8628), validate the ID token, and keep the tokens.

        Args:
            show: Tells the user where to approve; by default on the standard error.
            request: What is special about this login.
            subject: The name that the tokens are kept under; by default none for a client without credentials, else
                the ``sub`` of the ID token.
            expected_sub: The user that has to come back.

        Returns:
            Claims and tokens; or why there are none: ``access_denied``, ``expired_token``.
        """
        expected = Expected(sub=expected_sub)
        flow = self._device_login_flow(show, request or DeviceLoginRequest(), subject, expected)
        return await run(flow, self._http_client)

    @explains_arguments
    async def loopback_login(
        self,
        *,
        request: LoginRequest | None = None,
        subject: str | None = None,
        browser: bool = True,
        show: Callable[[str], object] = show_page,
        seconds: float = LOGIN_SECONDS,
        path: str = "/callback",
    ) -> LoginResponse:
        """Log the user in with the browser of this machine (RFC 8252), and keep the tokens.

        The browser comes back to a port of this machine that is open for this login only.

        Args:
            request: What is special about this login.
            subject: The name that the tokens are kept under; by default none for a client without credentials, else
                the ``sub`` of the ID token.
            browser: Whether the browser is opened; else, or where there is none, the user is shown the page.
            show: Tells the user which page to open; by default on the standard error.
            seconds: How long the user may take.
            path: The path of the redirect address, as registered.

        Returns:
            Claims and tokens; or why there are none: ``access_denied``, ``login_timeout``.
        """
        asked = self._login_request(request, seconds)
        return await run(self._loopback_login_flow(Browser(browser), show, asked, subject, path), self._http_client)

    @explains_arguments
    async def logout_url(
        self,
        subject: str | None = None,
        *,
        post_logout_redirect_uri: str | None = None,
        logout_hint: str | None = None,
        ui_locales: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> LogoutStart:
        """Say where to send the browser so that the provider ends its session, too (RP-Initiated Logout 2).

        Args:
            subject: Whose login. Call :meth:`revoke` afterwards.
            post_logout_redirect_uri: Where the user comes back to, exactly as registered.
            logout_hint: Who is to be logged out, as the provider understands it.
            ui_locales: Preferred languages, separated by spaces.
            extra: Further parameters.

        Returns:
            A URL, the same as a form, and the ``state`` to compare.
        """
        more = {"logout_hint": logout_hint, "ui_locales": ui_locales, **(extra or {})}
        return await run(self._logout_url_flow(subject, post_logout_redirect_uri, more), self._http_client)

    # ---- about tokens and users

    @explains_arguments
    async def userinfo(self, subject: str | None = None) -> UserInfoResponse:
        """Ask for the claims about the user of a login (OpenID Connect Core 5.3).

        Args:
            subject: Whose login.

        Returns:
            The claims; they are about the user who logged in, or refused.
        """
        return await run(self._userinfo_flow(subject), self._http_client)

    @explains_arguments
    async def introspect(
        self, token: str | Secret, **options: Unpack[IntrospectionOptions]
    ) -> TokenIntrospectionResponse:
        """Ask the provider what a token means (RFC 7662).

        Args:
            token: The token.
            options: Further fields of :class:`TokenIntrospectionRequest`, such as ``expected_audience``.

        Returns:
            What the token means.
        """
        return await run(self._introspect_flow(token, options), self._http_client)

    @explains_arguments
    async def revoke(
        self, token: str | Secret | None = None, *, token_type_hint: str | None = None, subject: str | None = None
    ) -> TokenRevocationResponse:
        """Revoke a token (RFC 7009); or end a login: its tokens are forgotten here, and revoked at the provider.

        Args:
            token: The token; None for the login of *subject*.
            token_type_hint: ``access_token`` or ``refresh_token``.
            subject: Whose login.

        Returns:
            Whether the token can be taken for revoked. A login is forgotten here in any case.
        """
        return await run(self._revoke_flow(token, token_type_hint, subject), self._http_client)


__all__ = ["OAuthClient"]
