"""The command ``decode``: what a token says, without believing any of it."""

from __future__ import annotations

import typer

from ._decoded import decoded
from ._shared import REFUSED, Json, Token, given_token, say, show


def decode(token: Token = "-", as_json: Json = False) -> None:
    """Show what is in a token. Nothing is verified.

    Nothing is fetched either: addresses in a token are shown, never followed. What is odd about it stands in "notes".
    The exit code is 1 for what is no token that can be taken apart.
    """
    found = decoded(given_token(token))
    say("UNVERIFIED: anybody can write a token that says this. To verify it: py-identity-model validate")
    show(found, as_json)
    for note in found.get("notes", ()):
        say(f"note: {note}")
    if found["form"] == "unknown":
        raise typer.Exit(REFUSED)
