"""The command ``introspect``: what a token means to the provider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._client import ClientOptions, raised
from ._secrets import read_secret
from ._shared import REFUSED, Json, say, show

TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The token; - is standard input, which is read without it as well."),
]
Hint = Annotated[str | None, typer.Option(metavar="NAME", help="access_token or refresh_token.")]


def introspect(
    client: ClientOptions, token_file: TokenFile = None, token_type_hint: Hint = None, as_json: Json = False
) -> None:
    """Ask the provider what a token means (RFC 7662).

    The exit code is 1 for a token that is not active.
    """
    token = read_secret(token_file, "token", "--token-file")
    answer = raised(client.built(kept=False).introspect(token, token_type_hint=token_type_hint))
    show(answer.claims, as_json)
    if not answer.active:
        say("the token is not active")
        raise typer.Exit(REFUSED)
