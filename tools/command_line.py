"""The pages about the command line: the reference, a picture, and how long it takes to start.

``python tools/command_line.py`` writes the reference into the pages, ``--picture`` draws, ``--time`` measures.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from py_identity_model.cli._commands import COMMANDS
from py_identity_model.cli._group import by_profile, load
from py_identity_model.cli._profile import KEYS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, SETTINGS = DOCS / "command-line.md", DOCS / "reference" / "configuration.md"
PICTURE = DOCS / "assets" / "command-line" / "explain.svg"
BEGIN, END = "<!-- commands, by tools/command_line.py -->", "<!-- end of commands -->"
KEYS_BEGIN, KEYS_END = "<!-- profile, by tools/command_line.py -->", "<!-- end of profile -->"
EXPECTED = {"text": "text", "texts": "text, or a list", "path": "a file", "address": "a URL", "number": "seconds"}
#: Runs of each command, in turns.
RUNS = 15


# ---- the reference


def reference() -> Iterator[str]:
    """Yield the lines about every command."""
    for section in dict.fromkeys(row.section for row in COMMANDS.values()):
        yield f"### {section}"
        yield ""
        for name in (name for name, row in COMMANDS.items() if row.section == section):
            yield from _about(name, load(name))


def _about(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    yield f"#### {name}"
    yield ""
    yield f"`{' '.join(['py-identity-model', name, '[OPTIONS]', *(f'[{_value(each)}]' for each in arguments)])}`"
    yield ""
    for paragraph in re.split(r"\n\s*\n", command.help.strip()):
        text = " ".join(paragraph.split())
        yield f"`{text}`" if text.startswith("curl ") else text
        yield ""
    yield "| option | what it does |"
    yield "|---|---|"
    for each in command.params:
        yield f"| {_written(each)} | {_cell(each.help or '')}{_default(each)} |"
    yield ""


def _written(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_value(parameter)}`"
    flag = "`, `".join(sorted(parameter.opts, key=len))
    return f"`{flag}`" if parameter.is_flag else f"`{flag} {_value(parameter)}`"


def _value(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _default(parameter: Any) -> str:
    value = parameter.default
    shown = not callable(value) and value not in (None, False, "", (), []) and not parameter.required
    return f" Unless given: `{value}`." if shown and f" {value} unless" not in (parameter.help or "") else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def settings() -> Iterator[str]:
    """Yield the lines about every key of a profile."""
    yield "| key of a profile | variable | value | commands |"
    yield "|---|---|---|---|"
    users: dict[str, list[str]] = {name: [] for name in KEYS}
    for name in COMMANDS:
        for parameter in load(name).params:
            if by_profile(parameter):
                users[parameter.name].append(name)
    for name, key in KEYS.items():
        yield f"| `{name}` | `{key.env}` | {EXPECTED[key.kind]} | {', '.join(f'`{one}`' for one in users[name])} |"


def filled(text: str, begin: str, end: str, lines: Iterator[str]) -> str:
    """Return *text* with new lines between two marks."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + "\n\n" + "\n".join(lines).strip() + "\n\n" + end + after


def pages() -> dict[Path, str]:
    """Return the pages as they should be."""
    return {
        PAGE: filled(PAGE.read_text("utf-8"), BEGIN, END, reference()),
        SETTINGS: filled(SETTINGS.read_text("utf-8"), KEYS_BEGIN, KEYS_END, settings()),
    }


# ---- the picture


def draw() -> None:
    """Draw a terminal of 80 columns in which a token is explained."""
    from rich.console import Console
    from rich.text import Text

    from py_identity_model.testing import EmbeddedProvider

    provider = EmbeddedProvider("https://id.example.com")
    keys = PICTURE.with_suffix(".keys")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console = Console(record=True, width=80, file=io.StringIO())
    token = provider.mint(subject="ada", audience="https://api.example.com/")
    asked = ["explain", "--issuer", provider.issuer, "--audience", "https://api.example.com"]
    keys.write_text(json.dumps(provider.key_set()))
    try:
        command = [sys.executable, "-m", "py_identity_model", *asked, "--keys", str(keys)]
        done = subprocess.run(command, input=token, capture_output=True, text=True, check=False)
    finally:
        keys.unlink()
    asked_for = ("explain --issuer https://id.example.com \\", "  --audience https://api.example.com < token")
    for line in (f"$ py-identity-model {asked_for[0]}", asked_for[1]):
        console.print(Text(line, style="bold"), soft_wrap=True)
    console.print(Text(done.stdout.rstrip()))
    drawn = console.export_svg(title="py-identity-model")
    drawn = re.sub(r"@font-face \{.*?\}\n|<!-- Generated.*?-->\n?", "", drawn, flags=re.DOTALL)
    PICTURE.write_text("\n".join(line.rstrip() for line in drawn.splitlines()).strip() + "\n")


# ---- how long it takes


TIMED = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "py-identity-model --help": [sys.executable, "-m", "py_identity_model", "--help"],
    "py-identity-model decode": [sys.executable, "-m", "py_identity_model", "decode", "eyJhbGciOiJub25lIn0.e30."],
}


def measure() -> None:
    """Print the median of each command, run in turns, and how much longer than an empty program it takes."""
    times: dict[str, list[float]] = {name: [] for name in TIMED}
    for _ in range(RUNS):
        for name, command in TIMED.items():
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            times[name].append(time.perf_counter() - start)
    least = statistics.median(times["python -c pass"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:<26} {median * 1000:6.0f} ms  {median / least:4.1f} times an empty program")


def main() -> None:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", action="store_true", help="draw the picture")
    parser.add_argument("--time", action="store_true", help="measure how long commands take to start")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is not what it would be")
    options = parser.parse_args()
    wanted = pages()
    if options.picture:
        draw()
    elif options.time:
        measure()
    elif options.check:
        raise SystemExit(any(path.read_text("utf-8") != text for path, text in wanted.items()))
    else:
        for path, text in wanted.items():
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
