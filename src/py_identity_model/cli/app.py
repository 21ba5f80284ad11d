"""The command line: one token, a file of tokens, and a look at a provider.

Results go to standard output, words to standard error; no token is shown unless it is asked for. The exit code is 0 if
all is valid, 1 if something was refused, 2 if the call or a file is not valid, 3 if a provider could not be asked, 130
if interrupted.
"""

from __future__ import annotations

import typer

from ._group import LazyGroup

app: typer.Typer = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # Rich takes longer to import than most commands to run
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and so tokens
)


@app.callback()
def root() -> None:
    """Validate tokens of OpenID Connect and OAuth 2, and look at providers."""


__all__ = ["app"]
