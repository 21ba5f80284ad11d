"""Whatever goes wrong becomes words on standard error, JSON on standard output with ``--json``, and an exit code."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from ..exceptions import (
    NetworkException,
    PyIdentityModelException,
    TokenRequestException,
    UserInfoException,
    ValidationException,
)
from ._hints import in_options
from ._shared import BROKEN_PIPE, INTERRUPTED, MISTAKEN, REFUSED, UNREACHABLE, say, show

#: What the parser of the command line raises for a call that is not one.
UsageError: Any = typer.BadParameter.__mro__[1]


class Told:
    """Tells of errors, for one call of one command.

    Args:
        as_json: Whether JSON goes to standard output as well.
        names: The names of the command's options, once it is known.
    """

    def __init__(self, as_json: bool, names: Collection[str] = ()) -> None:
        self.as_json, self.names = as_json, names

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Turn what is raised into an exit code."""
        try:
            yield
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise typer.Exit(BROKEN_PIPE) from None
        except PyIdentityModelException as error:
            self.fail(error)
        except OSError as error:  # of a file that was named: the library's own files are read with care
            self._fail_for(error)
        except UsageError as error:
            if self.as_json:
                show({"code": "argument_invalid", "message": error.format_message()})
            raise

    def fail(self, error: PyIdentityModelException) -> NoReturn:
        """Tell of an error, and exit with its code."""
        code, hint = exit_code(error), error.hint and in_options(error.hint, self.names)
        message = in_options(error.message, self.names)
        if self.as_json:
            show(as_dict(error, message, hint))
        say(f"{'refused' if code == REFUSED else 'error'}: {message} ({error.code})")
        if hint:
            say(f"hint: {hint}")
        say(f"help: {error.help}")
        raise typer.Exit(code)

    def _fail_for(self, error: OSError) -> NoReturn:
        what = f"{error.filename}: " if isinstance(error.filename, str) else ""
        message = f"{what}{error.strerror or type(error).__name__}"
        if self.as_json:
            show({"code": "file_unreadable", "message": message})
        say(f"error: {message} (file_unreadable)")
        raise typer.Exit(MISTAKEN)


def exit_code(error: PyIdentityModelException) -> int:
    """Return 1 for what was refused, 3 for a provider that cannot be asked, 2 for the caller's own mistakes."""
    if isinstance(error, ValidationException) or error.needs_new_login:
        return REFUSED
    if isinstance(error, TokenRequestException | UserInfoException) and 400 <= (error.status_code or 0) < 429:
        return REFUSED  # the provider has answered
    return UNREACHABLE if isinstance(error, NetworkException) else MISTAKEN


def as_dict(error: PyIdentityModelException, message: str, hint: str | None) -> dict[str, Any]:
    """Return an error as JSON has it."""
    verdict = "refused" if isinstance(error, ValidationException) else "unverified"
    claim = {"claim": error.claim} if verdict == "refused" else {}
    said: dict[str, Any] = {"verdict": verdict, "code": error.code, **claim, "message": message}
    return said | ({"hint": hint} if hint else {}) | {"help": error.help}
