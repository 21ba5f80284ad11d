"""The command ``doctor``: what is wrong with a provider, an API or an MCP server."""

from __future__ import annotations

import os
import re
from typing import Annotated, Final, cast

import typer

from .._core.doctor.examine import SECONDS
from .._core.doctor.findings import Examination, ServerKind
from .._refusals import must_be
from ..sync._examine import examine
from ._shared import REFUSED, UNREACHABLE, Json, say, show

_COLOURS: Final = {"pass": "green", "warn": "yellow", "fail": "red", "skipped": "bright_black"}
_VERDICT: Final = re.compile(r"  (pass|warn|fail|skipped) ")


def doctor(
    url: Annotated[str, typer.Argument(help="An issuer, its metadata, an address of an API, or an MCP server.")],
    kind: Annotated[str | None, typer.Option("--as", help="provider, api or mcp; found out by default.")] = None,
    active: Annotated[
        bool, typer.Option("--active", help="Also try what leaves a trace: forged tokens, a registration.")
    ] = False,
    fapi: Annotated[bool, typer.Option("--fapi", help="Count gaps for FAPI 2.0 as faults.")] = False,
    fail_on: Annotated[str, typer.Option(help="What makes the exit code 1: fail or warn.")] = "fail",
    brief: Annotated[bool, typer.Option("--brief", help="Leave out what passed or was skipped.")] = False,
    seconds: Annotated[float, typer.Option(help="Seconds that all of it may take.")] = SECONDS,
    allow_private_addresses: Annotated[
        bool, typer.Option("--allow-private-addresses", help="Follow the server into networks of your own.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Examine a provider, an API or an MCP server, and say what mends it.

    Nothing that is sent carries a credential. The exit code is 1 if something failed (or, with --fail-on warn, is to
    be looked at), 3 if nothing answered.
    """
    if fail_on not in ("fail", "warn"):
        raise must_be("--fail-on", "fail or warn", fail_on, code="argument_invalid")
    if active:
        say(
            "active: tokens that nobody issued, a client that registers (and is deleted), requests of an unknown client"
        )
    wanted = cast("ServerKind | None", kind)  # anything else is refused there
    private = allow_private_addresses
    found = examine(url, kind=wanted, active=active, fapi=fapi, seconds=seconds, allow_private_addresses=private)
    if as_json:
        show(found.as_dict())
    else:
        _print(found, brief)
    if not found.answered:
        raise typer.Exit(UNREACHABLE)
    if found.verdict == "fail" or (found.verdict == "warn" and fail_on == "warn"):
        raise typer.Exit(REFUSED)


def _print(found: Examination, brief: bool) -> None:
    for line in found._lines(brief=brief):
        typer.echo(line if os.environ.get("NO_COLOR") else _VERDICT.sub(_coloured, line, count=1))


def _coloured(match: re.Match[str]) -> str:
    return f"  {typer.style(match[1], fg=_COLOURS[match[1]])} " if match.start() == 0 else match[0]


__all__ = ["doctor"]
