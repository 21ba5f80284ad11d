"""Secrets: read from a file, standard input or a prompt; written to files that only their owner can read."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import typer

from .._core.base.secret import Secret
from .._secret_file import MAX_SECRET_FILE, SecretFile
from ..exceptions import ConfigurationException
from ._waiting import held

#: Where a file is meant, this is standard input, or standard output.
DASH = Path("-")
#: What standard input was read for: it can be read once.
_taken: list[str] = []


def read_secret(path: Path | None, what: str, option: str) -> Secret:
    """Return a secret from a file, from standard input, or asked for where somebody can answer.

    Args:
        path: The file; ``-`` for standard input; None for standard input, or a prompt where that is a terminal.
        what: What it is, as the user is told.
        option: The option that takes the file.

    Raises:
        ConfigurationException: There is none.
    """
    if path is not None and path != DASH:
        return SecretFile(path)()
    if path is None and is_terminal(sys.stdin):
        return ask(what)
    return _from_stdin(what, option)


def ask(what: str) -> Secret:
    """Ask for a secret at the terminal, without showing it.

    Raises:
        ConfigurationException: Nobody can be asked.
    """
    if is_terminal(sys.stdin):
        try:
            with held():
                return Secret(typer.prompt(what, hide_input=True, err=True))
        except typer.Abort:  # Ctrl-C, or Ctrl-D
            raise KeyboardInterrupt from None
    raise ConfigurationException(
        f"Nobody can be asked for the {what}: standard input is no terminal", code="parameter_missing"
    )


def _from_stdin(what: str, option: str) -> Secret:
    if _taken and what not in _taken:
        raise ConfigurationException(
            f"Standard input cannot be both the {_taken[0]} and the {what}", code="argument_invalid", claim=option
        )
    _taken.append(what)
    fault = "it is closed"
    if sys.stdin is not None:
        try:
            with held():
                text = sys.stdin.read(MAX_SECRET_FILE + 1).strip()
            text.encode()  # the C locale has Python read anything as text
            if text and len(text) <= MAX_SECRET_FILE:
                return Secret(text)
            fault = "it is too large" if text else "it is empty"
        except UnicodeError:
            fault = "it is not UTF-8"
        except OSError as error:
            fault = type(error).__name__
    raise ConfigurationException(
        f"The {what} cannot be read from standard input: {fault}",
        code="secret_file_unreadable",
        claim=option,
        hint=f"name a file with {option}",
    )


def is_terminal(stream: IO[str] | None) -> bool:
    """Tell whether somebody sits at a stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def write_private(path: Path, text: str, force: bool = False) -> None:
    """Write a file that only its owner can read; ``-`` is standard output.

    Args:
        path: The file.
        text: What it holds.
        force: Whether a file that is there is replaced, in one step.

    Raises:
        ConfigurationException: There is one already, or it cannot be written.
    """
    if path == DASH:
        typer.echo(text, nl=not text.endswith("\n"))
        return
    try:
        _replaced(path, text) if force else _made(path, text)
        return
    except FileExistsError:
        code, reason, hint = "output_exists", "it exists already", "--force replaces it"
    except OSError as error:
        code, reason, hint = "output_unwritable", error.strerror or type(error).__name__, None
    raise ConfigurationException(f"{path} cannot be written: {reason}", code=code, claim="output", hint=hint)


def _made(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _replaced(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():  # a device, for example, is nothing to put a file in place of
        raise IsADirectoryError if path.is_dir() else OSError(errno.EINVAL, "it is no file")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:  # whatever ends it, nothing half written stays
        with suppress(OSError):
            os.unlink(name)
        raise
