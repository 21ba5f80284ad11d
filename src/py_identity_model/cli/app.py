"""The command line: tokens, providers, logins and keys.

Results go to standard output, words to standard error; no token is shown unless it is asked for. The exit code is 0 if
all is well, 1 if something was refused, 2 if the call, a file or a setting is not valid, 3 if a provider could not be
asked, 130 if interrupted, 141 if the reader of the output went away.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._group import LazyGroup

app: typer.Typer = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich takes longer to import than most commands to run
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and so tokens
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"py-identity-model {version('py-identity-model')}")
        raise typer.Exit


@app.callback(epilog="Options of a command can stand in a profile or in the environment: docs, 'The command line'.")
def root(
    profile: Annotated[str | None, typer.Option("--profile", metavar="NAME", help="The profile to use.")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """OpenID Connect and OAuth 2 at the command line: tokens, providers, logins, keys."""


__all__ = ["app"]
