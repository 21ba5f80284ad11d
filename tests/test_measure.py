"""``make measure``: each figure is right on a tree whose figures are known, and changes when the tree does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("measure", ROOT / "tools" / "measure.py")
assert SPEC is not None
assert SPEC.loader is not None
measure = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = measure  # dataclasses look their module up
SPEC.loader.exec_module(measure)

TREE = {
    "__init__": '"""A package."""\n',
    "one": '''"""One."""

from __future__ import annotations

import json  # a comment


def short() -> int:
    """Say nothing.

    At length.
    """
    # a comment of its own
    return 1


class Thing:
    """A thing."""

    async def longer(self) -> str:
        """Say more."""
        first = json.dumps(
            [1],
        )

        return first
''',
    "two": '"""Two."""\n\nLIMIT = 1\n',
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of three modules."""
    for name, text in TREE.items():
        write(tmp_path / "house", name, text)
    return tmp_path / "house"


def write(folder: Path, name: str, text: str) -> None:
    """Write a module."""
    path = folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def figures(tree: Path) -> dict[str, str]:
    """Measure a tree."""
    found: dict[str, str] = measure.figures(measure.modules(tree))
    return found


def test_sizes(tree: Path) -> None:
    """Blank lines, comments and docstrings are no code; a function ends where its last statement does."""
    found = figures(tree)
    assert (found["modules"], found["lines of code"], found["functions"]) == ("3", "11", "2")
    assert (found["lines of a function, median"], found["longest function"]) == ("4", "5 lines")
    assert list(measure.functions(measure.modules(tree)).values()) == [2, 5]
    assert found["longest module"] == "26 lines"


@pytest.mark.parametrize(("lines", "over"), [(500, "0"), (501, "1")])
def test_long_modules(tree: Path, lines: int, over: str) -> None:
    """A module is as long as its file."""
    write(tree, "two", "\n" * lines)
    assert figures(tree)["modules over 500 lines"] == over


@pytest.mark.parametrize(("statements", "over"), [(39, "0"), (40, "1")])
def test_long_functions(tree: Path, statements: int, over: str) -> None:
    """A function is as long as its lines of code, the one with ``def`` among them."""
    write(tree, "two", "def f():\n" + "    pass\n\n    # why\n" * statements)
    assert figures(tree)["functions over 40 lines"] == over


def test_no_module_and_no_function_of_the_library_is_too_long() -> None:
    """A module can be read in one sitting, at most 500 lines, and a function at a glance, at most 40."""
    assert measure.too_long(measure.modules(measure.SOURCE)) == {}


def test_repeated_lines(tree: Path) -> None:
    """Six lines that stand twice are counted in both places, five are not, and imports never."""
    assert figures(tree)["repeated lines"] == "0.0 %"
    body = [f"name_{number} = {number}" for number in range(6)]
    imports = "".join(f"import module_{number}\n" for number in range(9))
    write(tree, "two", imports + "\n".join(body[:5]))
    write(tree, "three", imports + "\n".join(body[:5]))
    assert figures(tree)["repeated lines"] == "0.0 %"
    write(tree, "two", "\n".join(body))
    write(tree, "three", "\n".join(["# where it came from", "", "if True:", *(f"    {line}" for line in body)]))
    assert figures(tree)["repeated lines"] == "60.0 %"  # 12 of 20


@pytest.mark.parametrize(
    ("back", "strict", "loose"),
    [
        ("from .two import LIMIT", 2, 2),
        ("from . import two", 2, 2),
        ("import house.two", 2, 2),
        ("def f():\n    from .two import LIMIT", 0, 2),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .two import LIMIT", 0, 2),
        ("from .three import two", 0, 0),
        ("import two", 0, 0),
    ],
)
def test_cycles(tree: Path, back: str, strict: int, loose: int) -> None:
    """Modules that reach each other are counted; what is imported later, or for types, counts loosely."""
    write(tree, "one", back)
    write(tree, "two", "from .one import something\n")
    found = figures(tree)
    assert found["modules in import cycles, strict"] == str(strict)
    assert found["modules in import cycles, loose"] == str(loose)


def test_a_cycle_through_a_package(tree: Path) -> None:
    """What a package imports when it is loaded counts for the modules that import from it."""
    write(tree, "rooms/__init__", "from .small import thing\n")
    write(tree, "rooms/small", "from .. import rooms\n")
    assert measure.cyclic(measure.graph(measure.modules(tree), strict=True)) == [
        "house.rooms.__init__",
        "house.rooms.small",
    ]


def test_what_is_too_long_is_named(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a table, and names what is over the limits on standard error."""
    write(tree, "two", "def f():\n" + "    pass\n" * 41)
    assert measure.main([str(tree)]) == 0
    told = capsys.readouterr()
    assert "| functions over 40 lines | 1 |" in told.out
    assert told.err == "measure: house.two:1 f: 42 lines\n"
