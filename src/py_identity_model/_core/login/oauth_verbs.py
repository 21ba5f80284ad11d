"""The verbs of a client, as flows: each is a few lines over an operation that there is anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from ..._refusals import must_be
from ...exceptions import TokenRequestException
from ..base.budget import within_budget
from ..base.flow import Flow, call, now, resolve
from ..base.response import answered
from ..base.secret import Secret, same_text
from ..base.store import AnyStore
from ..client.device import DeviceAuthorizationResponse
from ..client.held_tokens import AccessToken
from ..client.id_jag import exchange_for_id_jag
from ..client.introspection import TokenIntrospectionRequest, TokenIntrospectionResponse, introspect_token
from ..client.revocation import TokenRevocationRequest, TokenRevocationResponse, revoke_token
from ..client.token_exchange import ExchangeTokenType, TokenExchangeRequest, TokenExchangeResponse, exchange_token
from ..client.userinfo import UserInfoRequest, UserInfoResponse, get_userinfo
from .begin import LoginRequest, LoginStart, begin_login
from .begin_logout import LogoutStart, begin_logout
from .client import LoginClient, endpoint_of, own_headers, provider_metadata
from .complete import Returned, complete_login
from .device_login import DeviceLoginRequest, Expected, begin_device_login, complete_device_login
from .oauth_client import OAuthClientBase, Transport
from .oauth_grants import Wants
from .oauth_identity import CrossApp, id_jag_request, is_spent, no_id_token
from .response import LoginResponse

#: Seconds that a user may take to log in, where a program waits for it.
LOGIN_SECONDS = 300.0
#: Seconds of one wait for the browser; a program that is cancelled is heard after so many.
BROWSER_WAIT = 0.5


class BrowserReturn(Protocol):
    """An address on this machine that a browser comes back to (RFC 8252 7.3)."""

    #: The address, to be sent as ``redirect_uri``.
    redirect_uri: str

    def wait(self, seconds: float, belongs: Callable[[str], bool]) -> str | None:
        """Return the query that came, if *belongs* says that it is the one; None after so many seconds."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


class Browser(Protocol):
    """What a loopback login needs of the machine."""

    def listen(self, path: str, port: int = 0) -> BrowserReturn:
        """Listen on a port of this machine; 0 is any."""
        ...

    def open(self, url: str) -> bool:
        """Open a page in the user's browser; False if there is none."""
        ...


class OAuthVerbs(OAuthClientBase[Transport]):
    """The flows behind the verbs of an ``OAuthClient``."""

    # ---- tokens

    def _token_flow(self, wants: Wants) -> Flow[AccessToken]:
        """Return a token that may be used now."""
        return (yield from self._source(wants).token())

    def _refresh_flow(self, wants: Wants) -> Flow[AccessToken]:
        """Return a new token, also where the old one is still good."""
        source = self._source(wants)
        client = yield from self._prepared()
        asking = self._asking(client, wants)
        held = yield from self._held(asking)
        old = None if held is None else held.tokens.get(asking.token)
        return (yield from source.token(None if old is None else old.access_token))

    def _exchange_flow(self, subject_token: str | Secret, options: Mapping[str, Any]) -> Flow[TokenExchangeResponse]:
        """Exchange a token for another, once."""

        def exchange() -> Flow[TokenExchangeResponse]:
            client = yield from self._prepared()
            metadata = yield from provider_metadata(client, self._services())
            given = {"subject_token_type": ExchangeTokenType.ACCESS_TOKEN, **options}
            request = TokenExchangeRequest(
                endpoint_of(client, metadata, "token_endpoint"),
                subject_token=subject_token,
                dpop_key=client.dpop_key,
                **given,
                **client.credentials(metadata),
            )
            return (yield from exchange_token(request))

        return (yield from answered(TokenExchangeResponse, exchange))

    # ---- for other applications

    def _id_jag_flow(self, wanted: CrossApp) -> Flow[TokenExchangeResponse]:
        """Ask for an identity assertion for the authorization server of another application."""

        def ask() -> Flow[TokenExchangeResponse]:
            client = yield from self._prepared()
            token = wanted.subject_token
            if token is None:
                token = yield from self._id_token(client, wanted.subject)
            metadata = yield from provider_metadata(client, self._services())
            exchange = exchange_for_id_jag(id_jag_request(client, metadata, wanted, token))
            # Not around the renewal above: its answer may hold the only refresh token that is still good.
            return (yield from within_budget(exchange, (yield from now()).steady, self._seconds))

        return (yield from answered(TokenExchangeResponse, ask))

    def _assertion_flow(self, wanted: CrossApp) -> Flow[str]:
        """Return an identity assertion.

        Raises:
            PyIdentityModelException: There is none.
        """
        response = yield from self._id_jag_flow(wanted)
        response.raise_for_error()
        return response.access_token

    def _id_token(self, client: LoginClient, subject: str | None) -> Flow[str]:
        """Return the ID token of a login, renewed if it has expired.

        Raises:
            LoginRequired: There is no login, or it brought none.
        """
        held = yield from self._session(client, subject)
        wall = (yield from now()).wall
        if is_spent(held.id_token_hint, wall) and held.refresh_token is not None:
            yield from self._refresh_flow(Wants(subject=subject))
            held = yield from self._session(client, subject)
        if held.id_token_hint is None or is_spent(held.id_token_hint, wall):
            raise no_id_token(self.login_verb)
        return held.id_token_hint

    # ---- logins

    @staticmethod
    def _login_request(request: LoginRequest | None, seconds: float) -> LoginRequest:
        """Return what is asked for, to be answered within so many seconds."""
        return replace(request or LoginRequest(), lifetime=seconds)

    def _begin_login_flow(self, request: LoginRequest, store: AnyStore | None) -> Flow[LoginStart]:
        """Say where to send the user."""

        def begin() -> Flow[LoginStart]:
            client = yield from self._prepared()
            return (yield from begin_login(client, request, store, self._services()))

        return (yield from answered(LoginStart, begin))

    def _complete_login_flow(self, returned: Returned, subject: str | None) -> Flow[LoginResponse]:
        """Complete a login in the browser, and keep its tokens."""

        def complete() -> Flow[LoginResponse]:
            self._check_named(subject, None)
            client = yield from self._prepared()
            login = yield from complete_login(client, returned, self._services())
            name = self._named(login, subject)
            if login.is_successful and name is None:  # never the one user of a client: many come by this way
                raise must_be("subject", "given: no ID token told whose login it was", None)
            return (yield from self._kept(client, login, name, login.resource, "begin_login"))

        return (yield from answered(LoginResponse, complete))

    def _kept(
        self, client: LoginClient, login: LoginResponse, subject: str | None, resource: Any, verb: str
    ) -> Flow[LoginResponse]:
        if not login.is_successful:
            return login
        return (yield from self._keep_login(client, login, subject, resource, verb))

    def _device_login_flow(
        self,
        show: Callable[[DeviceAuthorizationResponse], object],
        request: DeviceLoginRequest,
        subject: str | None,
        expected: Expected,
    ) -> Flow[LoginResponse]:
        """Have the user approve on another device, and keep the tokens."""

        def login() -> Flow[LoginResponse]:
            self._check_named(subject, request.scope, alone=True)
            client, services = (yield from self._prepared()), self._services()
            started = yield from begin_device_login(client, request, services)
            started.raise_for_error()
            yield from resolve(show(started))
            done = yield from complete_device_login(client, started, None, expected, services)
            name = self._named(done, subject, alone=True)
            return (yield from self._kept(client, done, name, request.resource, "device_login"))

        return (yield from answered(LoginResponse, login))

    def _loopback_login_flow(
        self, browser: Browser, show: Callable[[str], object], request: LoginRequest, subject: str | None, path: str
    ) -> Flow[LoginResponse]:
        """Log the user in with the browser of this machine (RFC 8252), and keep the tokens."""

        def login() -> Flow[LoginResponse]:
            self._check_named(subject, request.scope, alone=True)
            listener = yield from call(lambda: browser.listen(path))
            try:
                client = replace((yield from self._prepared()), redirect_uri=listener.redirect_uri)
                done = yield from self._in_browser(client, browser, listener, show, request)
                name = self._named(done, subject, alone=True)
                return (yield from self._kept(client, done, name, request.resource, "loopback_login"))
            finally:
                listener.close()

        return (yield from answered(LoginResponse, login))

    def _in_browser(
        self,
        client: LoginClient,
        browser: Browser,
        listener: BrowserReturn,
        show: Callable[[str], object],
        request: LoginRequest,
    ) -> Flow[LoginResponse]:
        start = yield from begin_login(client, request, None, self._services())
        start.raise_for_error()
        transaction = start.transaction
        if not (yield from call(lambda: browser.open(start.url))):
            yield from resolve(show(start.url))
        state = "" if transaction is None else transaction.state
        while (yield from now()).wall < start.expires_at:
            query = yield from call(lambda: listener.wait(BROWSER_WAIT, lambda came: same_text(came, state)))
            if query is not None:
                return (yield from complete_login(client, Returned(query, transaction), self._services()))
        raise TokenRequestException("The user did not come back in time", code="login_timeout")

    # ---- about tokens and users

    def _userinfo_flow(self, subject: str | None) -> Flow[UserInfoResponse]:
        """Ask for the claims about the user of a login."""

        def ask() -> Flow[UserInfoResponse]:
            client = yield from self._prepared()
            held = yield from self._session(client, subject)
            expected = (held.claims or {}).get("sub")
            metadata = yield from provider_metadata(client, self._services())
            token = yield from self._token_flow(Wants(subject=subject))
            request = UserInfoRequest(
                endpoint_of(client, metadata, "userinfo_endpoint"),
                token.access_token,
                expected_sub=expected,
                dpop_key=client.dpop_key,
                mtls=client.mtls,
                headers=own_headers(client),
                allow_insecure_http=client.allow_insecure_http,
                backchannel=client.backchannel,
            )
            services = self._services()
            return (yield from get_userinfo(request, self._settings(), services.validators))

        return (yield from answered(UserInfoResponse, ask))

    def _introspect_flow(self, token: str | Secret, options: Mapping[str, Any]) -> Flow[TokenIntrospectionResponse]:
        """Ask the provider what a token means."""

        def ask() -> Flow[TokenIntrospectionResponse]:
            client, services = (yield from self._prepared()), self._services()
            metadata = yield from provider_metadata(client, services)
            endpoint = endpoint_of(client, metadata, "introspection_endpoint")
            request = TokenIntrospectionRequest(endpoint, token, **options, **client.credentials(metadata))
            return (yield from introspect_token(request, self._settings(), services.validators))

        return (yield from answered(TokenIntrospectionResponse, ask))

    def _revoke_flow(
        self, token: str | Secret | None, hint: str | None, subject: str | None
    ) -> Flow[TokenRevocationResponse]:
        """Revoke a token, or end a login: its tokens are forgotten here, and revoked at the provider."""

        def revoke() -> Flow[TokenRevocationResponse]:
            client = yield from self._prepared()
            if token is not None:
                return (yield from self._revoked(client, token, hint))
            held = yield from self._forget(self._subject_asking(client, subject))
            dead = (
                None
                if held is None
                else held.refresh_token or next((t.access_token for t in held.tokens.values()), None)
            )
            if held is None or dead is None:
                return TokenRevocationResponse(True)
            kind = "refresh_token" if held.refresh_token else "access_token"
            return (yield from self._revoked(client, dead, kind))

        return (yield from answered(TokenRevocationResponse, revoke))

    def _revoked(self, client: LoginClient, token: str | Secret, hint: str | None) -> Flow[TokenRevocationResponse]:
        metadata = yield from provider_metadata(client, self._services())
        endpoint = endpoint_of(client, metadata, "revocation_endpoint")
        request = TokenRevocationRequest(endpoint, token, token_type_hint=hint, **client.credentials(metadata))
        return (yield from revoke_token(request, self._settings()))

    def _logout_url_flow(
        self, subject: str | None, post_logout_redirect_uri: str | None, parameters: Mapping[str, Any]
    ) -> Flow[LogoutStart]:
        """Say where to send the browser so that the provider ends its session, too."""

        def begin() -> Flow[LogoutStart]:
            client = yield from self._prepared()
            held = yield from self._held(self._subject_asking(client, subject))
            hint = None if held is None else held.id_token_hint
            return (yield from begin_logout(client, hint, post_logout_redirect_uri, parameters, self._services()))

        return (yield from answered(LogoutStart, begin))


__all__ = ["LOGIN_SECONDS", "Browser", "BrowserReturn", "OAuthVerbs"]
