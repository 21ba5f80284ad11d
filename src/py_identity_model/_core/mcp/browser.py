"""A user logs in for an MCP server, in the browser of this machine (RFC 8252), as the server's metadata says."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...exceptions import ConfigurationException
from ..base.flow import Flow, call
from ..login.begin import LoginRequest
from ..login.client import LoginClient
from ..login.oauth_verbs import BrowserReturn, OAuthVerbs
from ..login.response import LoginResponse
from ..resource.protected_resource import AuthenticationRequirement
from .clients import Registrations, client_at
from .discovery import Found
from .options import MCPOptions, Means
from .scopes import OFFLINE, Words


class Wanted(NamedTuple):
    """What a login is to bring."""

    scope: Words
    #: How the user has to authenticate, where the server says so.
    step_up: AuthenticationRequirement | None = None
    #: Whether the tokens are bound by DPoP.
    bound: bool = False


def log_in(
    found: Found, wanted: Wanted, options: MCPOptions, means: Means
) -> Flow[tuple[OAuthVerbs[Any], LoginClient, LoginResponse]]:
    """Log the user in; return the client that did it, and the tokens.

    Raises:
        PyIdentityModelException: The user, the authorization server or the network kept it from being done.
    """
    listener = yield from _listener(found, options, means)
    try:
        port = urlsplit(listener.redirect_uri).port or 0
        asked = yield from client_at(found, options, means, options.redirect_to(port))
        made = means.client_of(asked, wanted.bound)
        client = yield from made._prepared()
        request = _request(found, wanted, options)
        done = yield from made._in_browser(client, means.browser, listener, means.show, request)
        yield from _checked(done, found, asked, options, means)
        return made, client, done
    finally:
        listener.close()


def _request(found: Found, wanted: Wanted, options: MCPOptions) -> LoginRequest:
    step_up = wanted.step_up
    return LoginRequest(
        scope=" ".join(wanted.scope),
        resource=found.resource,
        lifetime=options.seconds,
        # OpenID Connect Core 11: without it offline_access is to be ignored.
        prompt="consent" if OFFLINE in wanted.scope else None,
        acr_values=(step_up.acr_values or None) if step_up is not None else None,
        max_age=None if step_up is None else step_up.max_age,
    )


def _checked(
    done: LoginResponse, found: Found, client: LoginClient, options: MCPOptions, means: Means
) -> Flow[LoginResponse]:
    """Forget a registered client that the authorization server does not know any more, so that the next is new."""
    error = done.exception
    if getattr(error, "error", None) == "invalid_client" and client.client_id not in (
        options.client_id,
        options.client_metadata_url,
    ):
        yield from Registrations(means.store).forget(found.issuer)
    done.raise_for_error()
    return done


def _listener(found: Found, options: MCPOptions, means: Means) -> Flow[BrowserReturn]:
    """Listen where the browser comes back to: at the port that is given, or that the client was registered with."""
    listener: BrowserReturn
    if options.port:
        listener = yield from call(lambda: means.browser.listen(options.path, options.port))
        return listener
    registered = yield from Registrations(means.store).at(found.issuer)
    port = 0 if registered is None or not registered.redirect_uri else urlsplit(registered.redirect_uri).port or 0
    if port:
        try:
            listener = yield from call(lambda: means.browser.listen(options.path, port))
        except ConfigurationException:
            pass  # another program has it now; RFC 8252 7.3: any port will do
        else:
            return listener
    listener = yield from call(lambda: means.browser.listen(options.path, 0))
    return listener


__all__ = ["Wanted", "log_in"]
