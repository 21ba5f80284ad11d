"""What commands share: options, words and results. Nothing here imports Rich, cryptography or an HTTP client."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..exceptions import ConfigurationException, printable
from ._profile import KEYS
from ._waiting import held

#: The exit codes; 0 says that all is valid.
REFUSED, MISTAKEN, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
#: A reader that went away, as a shell counts it: 128 and SIGPIPE.
BROKEN_PIPE = 141
#: What the help shows for the value of an option.
METAVARS = {"text": "TEXT", "texts": "TEXT", "path": "FILE", "address": "URL", "number": "SECONDS"}
#: Characters of standard input that are read at most.
MAX_INPUT = 4_000_000
#: Longest line of words, in characters.
_LONGEST = 4_000
#: Columns of a table that is not read by somebody at a terminal: nothing is wrapped.
_WIDE = 2_000


def option(name: str, help: str) -> Any:
    """Return an option that the environment and a profile can give as well."""
    key = KEYS[name]
    flag = f"--{name.replace('_', '-')}"
    return typer.Option(flag, envvar=key.env, show_envvar=False, metavar=METAVARS[key.kind], help=help)


Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Issuer = Annotated[
    str | None,
    typer.Argument(
        metavar="ISSUER",
        envvar=KEYS["issuer"].env,
        show_envvar=False,
        help="The issuer, or the URL of its metadata.",
    ),
]
Issuers = Annotated[list[str] | None, option("issuer", "The issuer to trust; may be repeated.")]
Audiences = Annotated[list[str] | None, option("audience", "Who the token must be for; may be repeated.")]
AnyAudience = Annotated[bool, typer.Option("--accept-any-audience", help="Give up that check.")]
Kind = Annotated[str, option("kind", "access_token, rfc9068_access_token, id_token or access_or_id_token.")]
KeyFile = Annotated[Path | None, option("keys", "A file with the keys, instead of asking the issuer.")]
JwksUri = Annotated[str | None, option("jwks_uri", "Where the keys are, if the issuer has no metadata.")]
DiscoveryAddress = Annotated[
    str | None, option("discovery_address", "Where the metadata is, if it is not below the issuer.")
]
Leeway = Annotated[float | None, option("leeway", "Seconds that clocks may differ.")]
Token = Annotated[str, typer.Argument(metavar="TOKEN", help="The token; - reads it from standard input.")]
Scopes = Annotated[list[str] | None, option("scope", "A scope to ask for; may be repeated.")]
Resources = Annotated[list[str] | None, option("resource", "Where the token will be used, as a URL; may be repeated.")]
Output = Annotated[
    Path, typer.Option("--output", metavar="FILE", help="The file, for its owner only; - writes to standard output.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]


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
    at_terminal = sys.stdout is not None and sys.stdout.isatty()
    buffer = io.StringIO()  # Rich answers a reader that went away with an exit code of its own
    console = Console(file=buffer, highlight=False, force_terminal=at_terminal, width=None if at_terminal else _WIDE)
    console.print(table)
    typer.echo("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))


def words(values: list[str] | None) -> list[str] | None:
    """Return scopes one by one, however they were given; None for none."""
    return [word for value in values or () for word in value.split()] or None


def given_token(token: str) -> str:
    """Return the token, read from standard input where it is ``-``."""
    return read_stdin("token").strip() if token == "-" else token


def read_stdin(what: str) -> str:
    """Read standard input as text, up to what no token is as long as.

    Raises:
        ConfigurationException: Standard input is closed or not UTF-8.
    """
    fault = "standard input is closed"
    if sys.stdin is not None:
        try:
            with held():
                return sys.stdin.read(MAX_INPUT)
        except UnicodeDecodeError:
            fault = "standard input is not UTF-8"
        except (OSError, ValueError) as error:
            fault = f"standard input fails with {type(error).__name__}"
    raise ConfigurationException(f"The {what} cannot be read: {fault}", code="file_unreadable", claim=what)


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


def needed(value: str | None, name: str) -> str:
    """Return *value*.

    Raises:
        ConfigurationException: It is missing; the message says where it can be said.
    """
    if value:
        return value
    flag = f"--{name.replace('_', '-')}"
    raise ConfigurationException(
        f"{flag} is missing",
        code="parameter_missing",
        claim=name,
        hint=f"give {flag}, set {KEYS[name].env}, or write {name} into a profile",
    )


def validator_of(
    issuers: list[str] | None, audiences: list[str] | None, discovery_address: str | None = None, **options: Any
) -> Any:
    """Return the validator that the options describe."""
    from ..sync._validation import TokenValidator

    trusted: Any = issuers[0] if issuers and len(issuers) == 1 else issuers
    return TokenValidator(trusted, audiences, discovery_address=discovery_address, **options)
