"""What commands print of tokens: the token alone, a header line for curl, or JSON."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from ..exceptions import ConfigurationException
from ._shared import say

Header = Annotated[bool, typer.Option("--header", help="Print a header line, for curl -H @<(...).")]


def show_token(token: Any, *, header: bool, as_json: bool) -> None:
    """Write a token to standard output, and what is known about it to standard error.

    Args:
        token: An ``AccessToken``, or a response with the same members.
        header: Whether an ``Authorization`` line is written in place of the token.
        as_json: Whether all of it is written as JSON.

    Raises:
        ConfigurationException: A header is asked for, and the token needs a proof beside it.
    """
    if as_json:
        typer.echo(json.dumps(_members(token)))
        return
    if header and str(token.token_type).lower() != "bearer":
        raise ConfigurationException(
            f"A token of the type {token.token_type} is sent with a proof, which no header line can hold",
            code="argument_invalid",
            claim="--header",
        )
    if getattr(token, "refresh_token", None) and not hasattr(token, "claims"):
        say("a refresh token came as well: --json shows it")
    typer.echo(f"Authorization: Bearer {token.access_token}" if header else token.access_token)
    say(_about(token))


def show_device(started: Any) -> None:
    """Tell the user where to approve."""
    say(f"open {started.verification_uri} and enter {started.user_code}")
    if started.verification_uri_complete:
        say(f"or open {started.verification_uri_complete}")


def _members(token: Any) -> dict[str, Any]:
    names = ("access_token", "token_type", "expires_at", "scope", "refresh_token", "id_token", "issued_token_type")
    found = {name: getattr(token, name, None) for name in names}
    return {name: str(value) if name == "issued_token_type" else value for name, value in found.items() if value}


def _about(token: Any) -> str:
    parts = [f"{token.token_type} token"]
    if token.scope:
        parts.append(f"scope {token.scope}")
    if token.expires_at is not None:
        parts.append(f"expires in {max(0, token.expires_at - time.time()):,.0f} s")
    return ", ".join(parts)
