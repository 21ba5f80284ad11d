"""What the fields of public classes are: name, type, default, and the sentence that their own source says about them.

The sentence stands in the docstring of the class or of one it extends (``Attributes:`` or ``Args:``), in a comment at
the field, or, for the parameters that standards define, in ``fields.toml``.
"""

from __future__ import annotations

import enum
import functools
import inspect
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, is_dataclass
from dataclasses import fields as fields_of_dataclass
from pathlib import Path
from typing import Any

import msgspec

SECTION = re.compile(r"^(?:Attributes|Args|Arguments|Parameters):\n((?:(?: +.*)?\n)*)", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\w+)(?: \([^)]*\))?: (.*(?:\n(?: {5,}.*)?)*)", re.MULTILINE)
SHARED = Path(__file__).with_name("fields.toml")


@dataclass(frozen=True)
class Field:
    """One field of a class, as a reader wants to see it."""

    name: str
    type: str
    default: str
    text: str


def has_fields(value: object) -> bool:
    """Whether a value is a class whose fields are its meaning."""
    return inspect.isclass(value) and (is_dataclass(value) or issubclass(value, msgspec.Struct))


def said_in(docstring: str) -> dict[str, str]:
    """Return the entries of the sections on fields of a docstring."""
    clean = inspect.cleandoc(docstring) + "\n"
    entries = [entry for section in SECTION.findall(clean) for entry in ENTRY.findall(section)]
    return {name: " ".join(text.split()) for name, text in entries}


@functools.cache
def commented(cls: type) -> dict[str, str]:
    """Return what comments say at the fields of a class, before them or behind."""
    found: dict[str, str] = {}
    before: list[str] = []
    try:
        lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    except (OSError, TypeError):
        return {}
    for line in lines:
        if note := re.fullmatch(r"    #:? (.*)", line):
            before.append(note[1])
            continue
        if at := re.match(r"    (\w+)(?::| =) ?.*?(?:  # (.*))?$", line):
            text = " ".join(before) or at[2] or ""
            if text and not re.match(r"type: ignore|noqa|pragma", text):
                found[at[1]] = text
        before = []
    return found


@functools.cache
def shared() -> dict[str, dict[str, str]]:
    """Return the sentences on the fields that standards define."""
    return tomllib.loads(SHARED.read_text(encoding="utf-8"))


def described(cls: type, name: str) -> str:
    """Return the sentence on a field, the nearest that there is; empty if there is none."""
    for base in cls.__mro__:
        own = said_in(base.__dict__.get("__doc__") or "") | commented(base)
        if text := own.get(name) or shared().get(base.__name__, {}).get(name):
            return text
    return shared()["every"].get(name, "")


def annotation(cls: type, name: str) -> str:
    """Return the type of a field as its source writes it."""
    for base in cls.__mro__:
        if name in (told := inspect.get_annotations(base)):
            return str(told[name]) if isinstance(told[name], str) else getattr(told[name], "__name__", str(told[name]))
    return ""


def _shown(default: object, factory: object) -> str:
    if factory is not MISSING and factory is not msgspec.NODEFAULT:
        made = getattr(factory, "__name__", "")
        return f"{made}()" if isinstance(factory, type) else "made anew"
    if default is MISSING or default is msgspec.NODEFAULT:
        return ""
    if isinstance(default, enum.Enum):
        return f"{type(default).__name__}.{default.name}"
    return repr(default)


def _members(cls: Any) -> Iterator[tuple[str, object, object]]:
    if is_dataclass(cls):
        for field in fields_of_dataclass(cls):
            yield field.name, field.default, field.default_factory
    else:
        for member in msgspec.structs.fields(cls):
            yield member.name, member.default, member.default_factory


def fields_of(cls: type) -> list[Field]:
    """Return the public fields of a class, in the order of its arguments."""
    return [
        Field(name, annotation(cls, name), _shown(default, factory), described(cls, name))
        for name, default, factory in _members(cls)
        if not name.startswith("_")
    ]


def _cell(text: str) -> str:
    """Return text for the cell of a table: its pipes escaped, but in code, where Markdown takes none for a border."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)


def table_of_fields(cls: type) -> str:
    """Return the fields of a class as a Markdown table."""
    rows = [
        f"| `{field.name}` | `{field.type}` | {f'`{field.default}`' if field.default else '*required*'} "
        f"| {_cell(field.text)} |"
        for field in fields_of(cls)
    ]
    return "\n".join(["| field | type | default | what it is |", "|---|---|---|---|", *rows]) if rows else ""


def table_of_values(cls: type[enum.Enum]) -> str:
    """Return the members of an enumeration as a Markdown table."""
    told = commented(cls) | said_in(cls.__dict__.get("__doc__") or "") | shared().get(cls.__name__, {})
    texts = {member.name: told.get(member.name, "") for member in cls}
    head = ["| name | value |", "|---|---|"]
    if any(texts.values()):
        head = ["| name | value | what it is |", "|---|---|---|"]
    rows = [
        f"| `{member.name}` | `{member.value!r}` |" + (f" {_cell(texts[member.name])} |" * any(texts.values()))
        for member in cls
    ]
    return "\n".join([*head, *rows])


def with_table(docstring: str, value: object) -> str:
    """Return a docstring with a table of all fields, or values, in place of the sections on some of them."""
    clean = inspect.cleandoc(docstring)
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return f"{clean}\n\n{table_of_values(value)}"
    if not has_fields(value) or not (table := table_of_fields(value)):  # type: ignore[arg-type]
        return clean
    rest, replaced = SECTION.subn(lambda found: "\0\n" if found.start() == _first(clean) else "\n", clean + "\n")
    return rest.replace("\0", f"{table}\n").strip() if replaced else f"{clean}\n\n{table}"


def _first(docstring: str) -> int:
    found = SECTION.search(docstring + "\n")
    return found.start() if found else -1


def undescribed(values: Callable[[], Iterator[tuple[str, object]]]) -> list[str]:
    """Return the public fields that nothing is said about, as ``Class.field``."""
    classes = [(name, value) for name, value in values() if has_fields(value)]
    return [f"{name}.{field.name}" for name, value in classes for field in fields_of(value) if not field.text]  # type: ignore[arg-type]
