"""What goes with a login client besides logins in the browser, blocking: other devices, CIBA, UserInfo, logout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._arguments import explains_arguments
from .._core.base.header_lists import words
from .._core.client.ciba import BackchannelAuthenticationResponse, CibaTokenResponse
from .._core.client.ciba_notification import CibaNotification
from .._core.client.device import DeviceAuthorizationResponse, DeviceTokenResponse
from .._core.client.userinfo import UserInfoResponse
from .._core.login import begin_logout as logouts
from .._core.login import ciba_login, device_login, login_userinfo
from .._core.login.begin_logout import LogoutStart
from .._core.login.ciba_login import CibaLoginRequest
from .._core.login.client import LoginClient
from .._core.login.device_login import DeviceLoginRequest, Expected
from .._core.login.response import LoginResponse
from .._core.validation.claim_checks import names
from ..settings import get_settings
from ._clients import Transport
from ._driver import run
from ._login import services


def _expected(
    sub: str | None, acr_values: str | Sequence[str] | None = None, extra: Mapping[str, str] | None = None
) -> Expected:
    contexts = words(acr_values) if isinstance(acr_values, str) else acr_values
    return Expected(sub=sub, acr_values=None if contexts is None else tuple(names(contexts, "acr_values")), extra=extra)


@explains_arguments
def begin_device_login(
    client: LoginClient, request: DeviceLoginRequest | None = None, http_client: Transport | None = None
) -> DeviceAuthorizationResponse:
    """Begin a login that the user approves on another device (RFC 8628 3.1).

    Args:
        client: The client; it needs no ``redirect_uri``.
        request: What is special about this login.
        http_client: The transport; the thread's own client by default.

    Returns:
        The code and the page to show to the user. Nothing that the provider or the network does is raised: see
        ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    flow = device_login.begin_device_login(client, request or DeviceLoginRequest(), services(http_client))
    return run(flow, http_client)


@explains_arguments
def complete_device_login(
    client: LoginClient,
    started: DeviceAuthorizationResponse,
    tokens: DeviceTokenResponse | None = None,
    http_client: Transport | None = None,
    *,
    expected_sub: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> LoginResponse:
    """Wait until the user has approved, and validate the ID token (RFC 8628 3.4, OpenID Connect Core 3.1.3.7).

    Args:
        client: The client that began it.
        started: What :func:`begin_device_login` returned.
        tokens: What polling of your own brought; None polls here, at the provider's pace.
        http_client: The transport; the thread's own client by default.
        expected_sub: The user that has to come back.
        extra: Further parameters of the token request, such as ``code_verifier``.

    Returns:
        Claims and tokens, with an ID token that is no older than the request and fits the access token; or why there
        are none: ``access_denied``, ``expired_token``. Nothing is raised for what came.
    """
    flow = device_login.complete_device_login(
        client, started, tokens, _expected(expected_sub, None, extra), services(http_client)
    )
    return run(flow, http_client)


@explains_arguments
def begin_ciba(
    client: LoginClient, request: CibaLoginRequest, http_client: Transport | None = None
) -> BackchannelAuthenticationResponse:
    """Have the user approve a login elsewhere (CIBA Core 7.1). It is sent once: each request rings the user's device.

    Args:
        client: The client; it needs no ``redirect_uri``. With ``request_signing`` the request is signed where the
            provider takes signed ones (CIBA Core 7.1.1).
        request: Whom to ask, and for what.
        http_client: The transport; the thread's own client by default.

    Returns:
        What to complete the login with. Nothing that the provider or the network does is raised: see
        ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return run(ciba_login.begin_ciba(client, request, services(http_client)), http_client)


@explains_arguments
def complete_ciba(
    client: LoginClient,
    started: BackchannelAuthenticationResponse,
    came: CibaTokenResponse | CibaNotification | None = None,
    http_client: Transport | None = None,
    *,
    expected_sub: str | None = None,
    acr_values: str | Sequence[str] | None = None,
) -> LoginResponse:
    """End a login by CIBA: get the tokens, in any of the three modes, and validate the ID token (CIBA Core 10).

    Args:
        client: The client that began it.
        started: What :func:`begin_ciba` returned.
        came: None polls until the user has decided. A ping asks once; a push, or what polling of your own brought, is
            validated as it is.
        http_client: The transport; the thread's own client by default.
        expected_sub: The user that has to approve.
        acr_values: The authentication contexts that will do.

    Returns:
        Claims and tokens, with an ID token that is no older than the request, names no other request
        (``auth_req_id``) and fits the tokens it came with; or why there are none. Nothing is raised for what came.
    """
    flow = ciba_login.complete_ciba(client, started, came, _expected(expected_sub, acr_values), services(http_client))
    return run(flow, http_client)


@explains_arguments
def get_login_userinfo(
    client: LoginClient, login: LoginResponse, http_client: Transport | None = None, *, expected_sub: str | None = None
) -> UserInfoResponse:
    """Ask for the claims about the user of a login (OpenID Connect Core 5.3).

    The endpoint is that of the metadata; the answer is held to what the client is registered with
    (``userinfo_signed_response_alg``, ``userinfo_decryption``) and to the user who logged in.

    Args:
        client: The client.
        login: What a login or a refresh returned.
        http_client: The transport; the thread's own client by default.
        expected_sub: Whom it must be about; by default the user of the login's ID token.

    Returns:
        The claims. Nothing that the provider or the network does is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.
    """
    flow = login_userinfo.get_login_userinfo(client, login, expected_sub, services(http_client), get_settings())
    return run(flow, http_client)


@explains_arguments
def begin_logout(
    client: LoginClient,
    login: LoginResponse | str | None = None,
    http_client: Transport | None = None,
    *,
    post_logout_redirect_uri: str | None = None,
    logout_hint: str | None = None,
    ui_locales: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> LogoutStart:
    """Say where to send the browser so that the provider ends its session, too (RP-Initiated Logout 2).

    Args:
        client: The client.
        login: What the login returned, or its ID token: it goes along as a hint, decrypted if it came encrypted
            (OpenID Connect Core 3.1.2.1).
        http_client: The transport; the thread's own client by default.
        post_logout_redirect_uri: Where the user comes back to, exactly as registered.
        logout_hint: Who is to be logged out, as the provider understands it.
        ui_locales: Preferred languages, separated by spaces.
        extra: Further parameters.

    Returns:
        A URL, the same as a form, and the ``state`` to compare. Nothing that the provider or the network does is
        raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> client = LoginClient(issuer=provider.issuer, client_id=provider.client_id)
    >>> logout = begin_logout(client, http_client=provider.transport)
    >>> logout.is_successful, logout.error_code
    (True, None)
    """
    more = {"logout_hint": logout_hint, "ui_locales": ui_locales, **(extra or {})}
    return run(logouts.begin_logout(client, login, post_logout_redirect_uri, more, services(http_client)), http_client)


__all__ = [
    "begin_ciba",
    "begin_device_login",
    "begin_logout",
    "complete_ciba",
    "complete_device_login",
    "get_login_userinfo",
]
