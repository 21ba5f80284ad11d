"""Logging a user in, blocking: to the provider, back, and on with refreshed tokens."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from .._arguments import explains_arguments
from .._core.base.scopes import Scopes
from .._core.base.secret import Secret
from .._core.base.store import AnyStore
from .._core.binding.replay import UsedValues
from .._core.login import begin, complete
from .._core.login.begin import LoginRequest, LoginStart
from .._core.login.callback import AuthorizeCallbackResponse, CallbackInput
from .._core.login.client import LoginClient, LoginServices
from .._core.login.complete import Returned
from .._core.login.response import LoginResponse
from .._core.login.transaction import LoginTransaction
from ._clients import Transport
from ._driver import run
from ._validation import stores_for, validators_for


@functools.cache
def _default_memory() -> UsedValues:
    """Return this process's memory of completed logins."""
    return UsedValues()


def services(http_client: Transport | None, used: AnyStore | None = None) -> LoginServices:
    """Return what a login needs of this API and this transport."""
    return LoginServices(
        functools.partial(stores_for, http_client),
        validators_for(http_client),
        used if used is not None else _default_memory(),
    )


@explains_arguments
def begin_login(
    client: LoginClient,
    request: LoginRequest | None = None,
    http_client: Transport | None = None,
    *,
    store: AnyStore | None = None,
) -> LoginStart:
    """Begin a login: make state, nonce and PKCE, and say where to send the user (OpenID Connect Core 3.1.2.1).

    What the provider says it cannot do is refused here: PKCE with S256, the response type and mode, the algorithm of
    ID tokens. Where it demands so, or the client wants it, the request is pushed (RFC 9126).

    Args:
        client: The client.
        request: What is special about this login.
        http_client: The transport; the thread's own client by default.
        store: Where the transaction is kept until the user comes back; then ``request.binding`` is required. Without
            one the caller keeps it: in the user's session, or in an encrypted cookie.

    Returns:
        The URL to redirect to, and the transaction to keep. Nothing that the provider or the network does is raised:
        see ``is_successful``, ``error_code`` and ``raise_for_error()``.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> back = "https://client.example.com/callback"
    >>> client = LoginClient(issuer=provider.issuer, client_id=provider.client_id, redirect_uri=back)
    >>> begin_login(client, http_client=provider.transport).url.partition("?")[0]
    'https://id.example.com/authorize'
    """
    return run(begin.begin_login(client, request or LoginRequest(), store, services(http_client)), http_client)


@explains_arguments
def complete_login(
    client: LoginClient,
    callback: CallbackInput | AuthorizeCallbackResponse,
    transaction: LoginTransaction | str | None = None,
    http_client: Transport | None = None,
    *,
    store: AnyStore | None = None,
    binding: str | Secret | None = None,
    response_mode: str | None = None,
    used: AnyStore | None = None,
) -> LoginResponse:
    """Complete a login: check what came back, exchange the code, validate the ID token (OpenID Connect Core 3.1.2.7).

    Refused are a response to another login, from another provider (RFC 9207), in another form than was asked for, and
    every login that is completed a second time. No token is handed out before all checks passed.

    Args:
        client: The client that began it.
        callback: What came to the redirect address: the URL, the part from ``?`` or ``#`` on, the body of a form post
            as bytes, or its parameters as pairs.
        transaction: What :func:`begin_login` returned, or its ``to_string()``. Forget it now.
        http_client: The transport; the thread's own client by default.
        store: The store that has the transaction, in place of it.
        binding: What the browser brought back of ``LoginRequest.binding``.
        response_mode: How parameters came, where *callback* does not tell: ``query``, ``fragment`` or ``form_post``.
        used: The memory of completed logins, for transactions that come without a store; by default this process's.

    Returns:
        Claims and tokens; or, with the provider's ``error_code`` or a code of ours, why there are none. Nothing is
        raised for what came: see ``is_successful`` and ``raise_for_error()``.

    >>> from py_identity_model._core.base.flow import Request
    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> client = LoginClient(
    ...     issuer=provider.issuer,
    ...     client_id=provider.client_id,
    ...     client_secret=provider.client_secret,
    ...     redirect_uri="https://client.example.com/callback",
    ... )
    >>> login = begin_login(client, http_client=provider.transport)
    >>> callback = provider.transport(Request("GET", login.url)).header("location")
    >>> complete_login(client, callback, login.transaction, provider.transport).claims["sub"]
    'alice'
    """
    returned = Returned(callback, transaction, store, binding, response_mode)
    return run(complete.complete_login(client, returned, services(http_client, used)), http_client)


@explains_arguments
def refresh_login(
    client: LoginClient,
    refresh_token: str | Secret,
    claims: Mapping[str, Any] | None = None,
    http_client: Transport | None = None,
    *,
    scope: Scopes | None = None,
) -> LoginResponse:
    """Exchange a refresh token; an ID token that comes along must continue the login's (OpenID Connect Core 12.2).

    The refresh token is sent once: what is returned has the one to use next.

    Args:
        client: The client.
        refresh_token: The refresh token.
        claims: The claims of the login's ID token; required with ``openid``.
        http_client: The transport; the thread's own client by default.
        scope: Fewer scopes than were granted.

    Returns:
        The new tokens; ``claims`` if a new ID token came along. Nothing that the provider or the network does is
        raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return run(complete.refresh_login(client, refresh_token, claims, scope, services(http_client)), http_client)


__all__ = ["begin_login", "complete_login", "refresh_login"]
