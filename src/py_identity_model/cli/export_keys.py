"""The command ``export-keys``: a snapshot of keys, for validators that start without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..sync._validation import TokenValidator
from ._shared import Json, read_bytes, say


def export_keys(
    issuer: Annotated[list[str], typer.Argument(help="The issuers to ask.")],
    key_file: Annotated[Path, typer.Option(help="A file with the key that authenticates it: 32 random bytes or more.")],
    output: Annotated[Path, typer.Option(help="Where the snapshot goes.")],
    as_json: Json = False,
) -> None:
    """Write what providers say of their keys to a file.

    Validators start from it without a network.
    """
    validator = TokenValidator(issuer, accept_any_audience=True)
    output.write_bytes(validator.export_keys(read_bytes(key_file, "key_file")))
    say(f"{output} holds the keys of {len(issuer)} issuers")
