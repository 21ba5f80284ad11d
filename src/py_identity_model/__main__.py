"""The command ``py-identity-model``, also as ``python -m py_identity_model``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or say what it needs."""
    try:
        from .cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        print("The command needs more packages: pip install 'py-identity-model[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    app(prog_name="py-identity-model")


if __name__ == "__main__":
    main()
