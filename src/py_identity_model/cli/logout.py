"""The command ``logout``: forget a login here, and end it at the provider."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .._loopback import Browser
from ._client import ClientOptions
from ._errors import exit_code
from ._shared import UNREACHABLE, Json, say, show


def logout(
    client: ClientOptions,
    browser: Annotated[
        bool, typer.Option("--browser", help="End the session in the browser as well (RP-Initiated Logout).")
    ] = False,
    as_json: Json = False,
) -> None:
    """End a login: its tokens are forgotten here, and revoked at the provider.

    The exit code is 3 where the provider could not be told. The tokens are gone here all the same.
    """
    built = client.built()
    page = built.logout_url(client.name) if browser else None
    answer = built.revoke(subject=client.name)
    revoked = bool(answer.is_successful)
    if as_json:
        show({"forgotten": True, "revoked": revoked} | ({} if revoked else {"code": answer.exception.code}))
    say("logged out" if revoked else f"forgotten here, but not revoked: {answer.exception.message}")
    if page is not None:
        _open(page)
    if not revoked and exit_code(answer.exception) == UNREACHABLE:
        raise typer.Exit(UNREACHABLE)


def _open(page: Any) -> None:
    if not page.is_successful:
        say(f"no page to log out at: {page.exception.message}")
    elif not Browser().open(page.url):
        say(f"open this page to log out: {page.url}")
