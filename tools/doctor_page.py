"""Write the tables of checks into docs/doctor.md, from the catalogue that the checks are made by.

Usage: python tools/doctor_page.py [--check]

With --check nothing is written, and the exit code is 1 where the page is not what it would be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from py_identity_model._core.doctor.catalogue import CATALOGUE
from py_identity_model._core.doctor.findings import Check, link_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "doctor.md"
BEGIN, END = "<!-- checks, written by tools/doctor_page.py -->", "<!-- end of checks -->"


def tables() -> Iterator[str]:
    """Yield the lines of the tables."""
    for heading, checks in CATALOGUE.items():
        yield from ("", f"### {heading}", "", "| code | looks at | why it matters | what mends it | norm |")
        yield "|---|---|---|---|---|"
        yield from (row(check) for check in checks)
    yield ""


def row(check: Check) -> str:
    """Return the line of one check."""
    texts = [f"`{check.name}`", *map(escaped, (check.what, check.why, check.remedy))]
    return "| " + " | ".join([*texts, f"[{check.reference}]({link_of(check.reference)})"]) + " |"


def escaped(text: str) -> str:
    """Return a text as a cell of a table."""
    return text.replace("|", "\\|").replace("*", "\\*")


def written(page: str) -> str:
    """Return the page with the tables as they are now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + "\n" + "\n".join(tables()) + "\n" + END + rest.partition(END)[2]


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is as it would be written."""
    page = PAGE.read_text(encoding="utf-8")
    new = written(page)
    if "--check" in arguments:
        return int(page != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
