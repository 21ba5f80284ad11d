"""The command ``demo``: the main job, shown on the embedded provider."""

from __future__ import annotations

import typer

from ..testing.demo import main
from ._shared import Json


def demo(as_json: Json = False) -> None:
    """Show the main job on a provider of its own: discovery, keys, tokens, refusals."""
    code = main(["--json"] if as_json else [])
    if code:
        raise typer.Exit(code)
