"""The pages of the API reference: which name stands on which, and docstrings, written for terminals, as Markdown."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

from py_identity_model._lazy import homes_of

sys.path.insert(0, str(Path(__file__).parent))
import docs_fields

# A doctest: from its first prompt to the next blank line.
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).+)*", re.MULTILINE)
# :class:`~a.b.Name` and its like.
_ROLE = re.compile(r":(?:class|func|meth|mod|data|exc|attr):`~?([^`]+)`")
#: The doors whose names have a place in the reference. ``aio`` has those of the first, to be awaited.
DOORS = ("py_identity_model", "py_identity_model.stores", "py_identity_model.testing")
PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference" / "api"
#: Where a page has its names: the modules that define them, or the packages, by a part of their paths, in order.
NAMES = re.compile(r"<!-- names of:\s+([\w.\s]+?)\s+-->")
#: The arguments of a validator stand in the class that both APIs share.
SHOWN_BY = {"TokenValidator": "\n    options:\n      inherited_members: [__init__]"}


@functools.cache
def public() -> tuple[tuple[str, str, str], ...]:
    """Return (name, door, module that defines it) for each public name."""
    found: dict[str, tuple[str, str, str]] = {}
    for door in DOORS:
        for name, home in homes_of(door):
            found.setdefault(name, (name, door, home))
    return tuple(found.values())


@functools.cache
def _values() -> dict[str, object]:
    return {name: getattr(importlib.import_module(door), name) for name, door, _ in public()}


def values() -> Iterator[tuple[str, object]]:
    """Yield each public name with its value."""
    yield from _values().items()


def canonical(name: str) -> str:
    """Return the name to write for a public name: another one, where this is only its other spelling."""
    value = _values()[name]
    told = getattr(value, "__name__", name) if inspect.isclass(value) else name
    return told if told.casefold() == name.casefold() else name


@functools.cache
def places() -> dict[str, str]:
    """Return, by a part of a module's path, the page that has the module's names."""
    pages = {path.stem: NAMES.search(path.read_text(encoding="utf-8")) for path in sorted(PAGES.glob("*.md"))}
    return {end: page for page, found in pages.items() if found for end in found[1].split()}


@functools.cache
def place_of(home: str) -> str:
    """Return the part of a module's path that a page has, the longest if several do.

    Raises:
        LookupError: No page has the module.
    """
    ends = [end for end in places() if f".{end}." in f".{home}."]
    if not ends:
        raise LookupError(f"no page of the API reference has {home}: add it below docs/reference/api")
    return max(ends, key=len)


def title(module: str) -> str:
    """Return what a module is about: its docstring up to the first colon, bracket or full stop."""
    first = (importlib.import_module(module).__doc__ or module).splitlines()[0]
    return re.split(r"[:(.]", first.replace(", blocking", ""))[0].strip().replace("``", "`")


def entries(page: str) -> str:
    """Return the directives of a page: a section for every module, in the order of the page, with its names."""
    ends = [end for end, place in places().items() if place == page]
    sections: dict[str, list[str]] = {}
    listed = sorted(public(), key=lambda entry: entry[0])
    for end in ends:
        for name, _, home in (entry for entry in listed if place_of(entry[2]) == end):
            told = canonical(name)
            entry = f"::: {home}.{name}{SHOWN_BY.get(name, '')}"
            if told != name:
                entry = f"### {name}\n\nAnother name of [`{told}`](#{told})."
            sections.setdefault(title(home), []).append(f'<a id="{name}"></a>\n\n{entry}')
    return "\n\n".join(f"## {topic}\n\n" + "\n\n".join(names) for topic, names in sections.items())


def plain(page: str) -> str:
    """Return the names of a page with their signatures and docstrings, for readers that take Markdown only."""
    told = dict(values())
    listed = [name for name, _, home in sorted(public()) if places()[place_of(home)] == page]
    return "\n\n".join(f"## {name}\n\n{_signature(name, told[name])}{_told(told[name])}" for name in listed)


def _signature(name: str, value: object) -> str:
    if docs_fields.has_fields(value) or not callable(value):
        return ""
    try:
        return f"```python\n{name}{inspect.signature(value)}\n```\n\n"
    except (TypeError, ValueError):  # some classes tell no signature
        return ""


def _told(value: object) -> str:
    return to_markdown(docs_fields.with_table(inspect.getdoc(value) or "", value)) if callable(value) else ""


def index() -> str:
    """Return a table of every public name, with a link to its entry."""
    told = dict(values())
    rows = [
        f"| [`{name}`](api/{places()[place_of(home)]}.md#{name}) | {summary(told[name])} |"
        for name, _, home in sorted(public(), key=lambda entry: entry[0].casefold())
    ]
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


def summary(value: object) -> str:
    """Return the first sentence of a docstring, for a table."""
    described = callable(value) or inspect.ismodule(value)
    text = to_markdown((inspect.getdoc(value) or "").split("\n\n")[0]) if described else ""
    return " ".join(text.split()).replace("|", "\\|")


def to_markdown(text: str) -> str:
    """Fence the examples of a docstring, and show roles as plain code."""
    fenced = _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
    return _ROLE.sub(r"`\1`", fenced)


class Reference(griffe.Extension):
    """Show every field of public classes, and docstrings as Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is None:
            return
        if obj.is_class:
            obj.docstring.value = docs_fields.with_table(obj.docstring.value, _found(obj.path))
        obj.docstring.value = to_markdown(obj.docstring.value)


def _found(path: str) -> object:
    """Return the class at a path, where its names are public; other modules may need a framework."""
    module, _, name = path.rpartition(".")
    if module in _homes() or (module.startswith("py_identity_model.integrations.") and "django" not in module):
        return getattr(importlib.import_module(module), name, None)
    return None


@functools.cache
def _homes() -> frozenset[str]:
    return frozenset(home for _, _, home in public())
