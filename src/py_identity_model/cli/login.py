"""The command ``login``: a user's tokens, kept for the next call."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from .._core.client.token_errors import LoginRequired
from .._core.login.begin import LoginRequest
from .._core.login.device_login import DeviceLoginRequest
from ._client import ClientOptions, raised
from ._secrets import is_terminal
from ._shared import Json, Resources, Scopes, say, show, words
from ._tokens import Header, show_device, show_token


@dataclass(frozen=True)
class _How:
    """What is asked for, and how the user is asked."""

    scope: Scopes = None
    resource: Resources = None
    device: Annotated[bool, typer.Option("--device", help="Approve on another device (RFC 8628).")] = False
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Show the address of the page, and open no browser.")
    ] = False
    redirect_path: Annotated[
        str, typer.Option(metavar="PATH", help="The path of the redirect address, as registered.")
    ] = "/callback"
    seconds: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long the user may take in the browser.")
    ] = 300
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="login, consent or select_account.")] = None
    acr_values: Annotated[str | None, typer.Option(metavar="TEXT", help="How well the user has to log in.")] = None
    max_age: Annotated[int | None, typer.Option(metavar="SECONDS", help="How old the login may be.")] = None
    login_hint: Annotated[str | None, typer.Option(metavar="TEXT", help="Who is expected.")] = None


def login(
    client: ClientOptions,
    how: _How,
    print_token: Annotated[
        bool, typer.Option("--print-token", help="Print an access token; log in only where there is no login.")
    ] = False,
    header: Header = False,
    as_json: Json = False,
) -> None:
    """Log a user in, and keep the tokens.

    The browser of this machine comes back to a port of 127.0.0.1 (RFC 8252): register http://127.0.0.1/callback. With
    --device the user approves elsewhere. Later calls of token, userinfo and login --print-token use the login, and
    renew it.

    curl -H @<(py-identity-model login --header) https://api.example.com/orders
    """
    scope: dict[str, Any] = {"scope": words(how.scope)} if how.scope else {}
    built = client.built(**scope)
    if print_token or header:
        show_token(_token(built, client, how), header=header, as_json=as_json)
        return
    _tell(_log_in(built, client, how), client, as_json)


def _token(built: Any, client: ClientOptions, how: _How) -> Any:
    """Return a token of the login; of a new one where there is none, and somebody to ask."""
    asked = {"resource": how.resource, "subject": client.name}
    try:
        return built.token(**asked)
    except LoginRequired:
        if not is_terminal(sys.stderr):
            raise
    _log_in(built, client, how)
    return built.token(**asked)


def _log_in(built: Any, client: ClientOptions, how: _How) -> Any:
    if how.device:
        request = DeviceLoginRequest(resource=how.resource)
        return raised(built.device_login(show_device, request=request, subject=client.name))
    asked = LoginRequest(
        resource=how.resource,
        prompt=how.prompt,
        acr_values=how.acr_values,
        max_age=how.max_age,
        login_hint=how.login_hint,
    )
    if not how.no_browser:
        say("the login goes on in the browser; Ctrl-C gives up")
    return raised(
        built.loopback_login(
            request=asked,
            subject=client.name,
            browser=not how.no_browser,
            show=_show_page,
            seconds=how.seconds,
            path=how.redirect_path,
        )
    )


def _show_page(url: str) -> None:
    say(f"open this page to log in: {url}")


def _tell(done: Any, client: ClientOptions, as_json: bool) -> None:
    claims = done.claims or {}
    if as_json:
        told = {"issuer": client.issuer, "user": client.name, "sub": claims.get("sub"), "scope": done.scope}
        show({name: value for name, value in told.items() if value is not None})
        return
    who = claims.get("preferred_username") or claims.get("email") or claims.get("sub") or "a user without a name"
    say(f"logged in as {who} at {client.issuer}")
    if done.refresh_token is None:
        say("the provider gave no refresh token: the login ends with the access token (--scope offline_access helps)")
