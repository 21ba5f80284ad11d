"""What commands share: options, words, results and errors; it imports neither Rich nor cryptography nor a client."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    ValidationException,
    printable,
)

#: The exit codes; 0 says that all is valid.
REFUSED, MISTAKEN, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
#: A reader that went away, as the shell counts it: 128 and SIGPIPE.
BROKEN_PIPE = 141
#: Longest line of words, in characters.
_LONGEST = 4_000

Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Issuers = Annotated[list[str] | None, typer.Option("--issuer", help="The issuer to trust; may be repeated.")]
Audiences = Annotated[list[str] | None, typer.Option("--audience", help="Who the token must be for; may be repeated.")]
AnyAudience = Annotated[bool, typer.Option("--accept-any-audience", help="Give up that check.")]
Kind = Annotated[str, typer.Option(help="access_token, rfc9068_access_token, id_token or access_or_id_token.")]
KeyFile = Annotated[Path | None, typer.Option("--keys", help="A file with the keys, instead of asking the issuer.")]
JwksUri = Annotated[str | None, typer.Option(help="Where the keys are, if the issuer has no metadata.")]
Leeway = Annotated[float | None, typer.Option(help="Seconds that clocks may differ.")]
Token = Annotated[str, typer.Argument(help="The token; - reads it from standard input.")]


def say(text: str) -> None:
    """Write one line of words to standard error; nothing in it can move the cursor or colour the terminal."""
    typer.echo(printable(text, _LONGEST), err=True)


def show(value: Any, as_json: bool = True) -> None:
    """Write *value* to standard output: one line of JSON with ``--json``, lines for people without."""
    typer.echo(json.dumps(value, indent=None if as_json else 2))


def show_table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table to standard output; None is an empty cell."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*head, box=None)
    for row in rows:
        table.add_row(*("" if cell is None else escape(printable(str(cell), _LONGEST)) for cell in row))
    Console(highlight=False).print(table)


def given_token(token: str) -> str:
    """Return the token, read from standard input where it is ``-``."""
    return read_stdin("token").strip() if token == "-" else token


def read_stdin(what: str) -> str:
    """Read all of standard input as text.

    Raises:
        ConfigurationException: Standard input is closed or not UTF-8.
    """
    try:
        return sys.stdin.read()
    except AttributeError:
        fault = "standard input is closed"
    except UnicodeDecodeError:
        fault = "standard input is not UTF-8"
    raise ConfigurationException(f"The {what} cannot be read: {fault}", code="argument_invalid", claim=what)


def read_bytes(path: Path, what: str) -> bytes:
    """Return what a file holds.

    Raises:
        ConfigurationException: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = type(error).__name__
    raise ConfigurationException(f"The {what} cannot be read: {reason}", code="secret_file_unreadable", claim=what)


def validator_of(issuers: list[str] | None, audiences: list[str] | None, **options: Any) -> Any:
    """Return the validator that the options describe."""
    from ..sync._validation import TokenValidator

    trusted = issuers[0] if issuers and len(issuers) == 1 else issuers
    return TokenValidator(trusted, audiences, **options)


def told(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: whatever it raises becomes words and an exit code."""

    @functools.wraps(command)
    def call(**arguments: Any) -> None:
        try:
            command(**arguments)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise typer.Exit(BROKEN_PIPE) from None
        except PyIdentityModelException as error:
            fail(error, bool(arguments.get("as_json")))

    return call


def fail(error: PyIdentityModelException, as_json: bool = False) -> NoReturn:
    """Write an error: words to standard error, JSON to standard output with ``--json``; exit with its code."""
    if as_json:
        from ..bulk import verdict

        show({**verdict(error), **({"hint": error.hint} if error.hint else {})})
    refused = isinstance(error, ValidationException)
    say(f"{'refused' if refused else 'error'}: {error.message} ({error.code})")
    if error.hint:
        say(f"hint: {error.hint}")
    raise typer.Exit(REFUSED if refused else UNREACHABLE if isinstance(error, NetworkException) else MISTAKEN)
