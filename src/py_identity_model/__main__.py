"""The command ``py-identity-model``, also as ``python -m py_identity_model``."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

INTERRUPTED, BROKEN_PIPE = 130, 141


def main() -> None:
    """Run the command, or say what it needs."""
    try:
        _say_everything()
        try:
            _run()
        finally:
            _flush()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        _let_go()
        raise SystemExit(BROKEN_PIPE) from None


def _run() -> None:
    try:
        from .cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        print("The command needs more packages: pip install 'py-identity-model[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    app(prog_name="py-identity-model")


def _say_everything() -> None:
    """Have what a terminal cannot show written as escapes, not raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def _let_go() -> None:
    """Point standard output elsewhere, so that the interpreter's last flush does not fail as well."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
