"""Draw what ``make demo`` shows as a picture: ``python tools/demo_picture.py`` writes ``docs/assets/demo.svg``."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from rich.console import Console

from py_identity_model.testing import demo

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "assets" / "demo.svg"


def main() -> None:
    """Run the demonstration and draw its tables."""
    os.environ.update(demo.IMPATIENT)
    report = demo.Report()
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    demo.watched(report, Console(file=io.StringIO()))
    demo.show(report, console)
    drawn = console.export_svg(title="python -m py_identity_model.testing.demo")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # they would be loaded from others
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(drawn.replace("Fira Code, monospace", "monospace"), encoding="utf-8")


if __name__ == "__main__":
    main()
