"""Doors that load what is used: importing the package costs next to nothing.

A door lists its names once, under ``TYPE_CHECKING``, each as ``from .module import Name as Name``, or a whole second
list as ``from .module import *``. Type checkers read the list as it stands; :func:`lazy` reads it too, out of the
door's own source, and imports a module when one of its names is first asked for (PEP 562).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec, resolve_name
from types import ModuleType
from typing import Any

_LISTED = re.compile(r"^    from (\.[\w.]*) import (?:(\w+) as \2|\*)(?:  # noqa: F403)?$", re.MULTILINE)


def lazy(door: dict[str, Any]) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` of a module that exports what other modules define.

    Args:
        door: The module's ``globals()``; what was loaded is kept there.
    """
    name = door["__name__"]
    homes = _homes(name)

    def load(wanted: str) -> Any:
        home = homes.get(wanted)
        if home is None:
            return _submodule(name, wanted)
        value = door[wanted] = getattr(_imported(home), wanted)
        return value

    return sorted(homes), load, lambda: sorted({*door, *homes})


def _imported(home: str) -> ModuleType:
    try:
        return importlib.import_module(home)
    except ImportError as error:
        if "subinterpreters" not in error.msg:
            raise
        reason = error.msg
    raise ImportError(
        f"py_identity_model works in the main interpreter only, as packages that it needs refuse others ({reason})\n"
        "hint: use threads or processes; under mod_wsgi, WSGIApplicationGroup %{GLOBAL}",
        name=home,
    )


def _submodule(door: str, wanted: str) -> Any:
    """Return a public module below a door, which programs name after importing no more than the door."""
    public = wanted.isidentifier() and not wanted.startswith("_")
    if not public or find_spec(f"{door}.{wanted}") is None:
        raise AttributeError(f"module {door!r} has no attribute {wanted!r}")
    return importlib.import_module(f"{door}.{wanted}")


def homes_of(module: str) -> Iterator[tuple[str, str]]:
    """Yield (name, module that defines it) for each name that *module* lists."""
    spec: Any = find_spec(module)
    source = _source_of(spec)
    listed = _LISTED.findall(source) if source is not None else _listed_in_code(spec.loader.get_code(module))
    resolved: dict[str, str] = {}
    for relative, name in listed:
        home = resolved.get(relative) or resolved.setdefault(relative, resolve_name(relative, spec.parent))
        if name:
            yield name, home
        else:
            yield from _homes(home).items()


#: What doors list, by door: each is read once.
_read: dict[str, dict[str, str]] = {}


def _homes(door: str) -> dict[str, str]:
    if door not in _read:
        _read[door] = dict(homes_of(door))
    return _read[door]


class TypesOnly(Mapping[str, Any]):
    """What a module imports for type checkers only, by name; each is loaded when it is looked up.

    Args:
        module: The name of the module.
    """

    def __init__(self, module: str) -> None:
        self._homes = dict(_types_only(module))

    def __getitem__(self, name: str) -> Any:
        module, wanted = self._homes[name]
        home = importlib.import_module(module)
        return getattr(home, wanted) if wanted else home

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


def _types_only(module: str) -> Iterator[tuple[str, tuple[str, str]]]:
    import ast  # only where an argument was wrong

    spec = find_spec(module) if module else None
    source = None if spec is None else _source_of(spec)
    parent = "" if spec is None else spec.parent
    blocks = [] if source is None else [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    for block in blocks:
        if ast.unparse(block.test) != "TYPE_CHECKING":
            continue
        for node in block.body:
            if isinstance(node, ast.ImportFrom):
                home = resolve_name("." * node.level + (node.module or ""), parent)
                yield from ((each.asname or each.name, (home, each.name)) for each in node.names)
            elif isinstance(node, ast.Import):
                yield from ((each.name.partition(".")[0], (each.name.partition(".")[0], "")) for each in node.names)


def _source_of(spec: Any) -> str | None:
    """Return the source of a module, None where there is only its code."""
    if hasattr(spec.loader, "get_source"):
        source: str | None = spec.loader.get_source(spec.name)
        return source
    with open(spec.origin, encoding="utf-8") as file:  # pytest loads what a plugin comes with in a way of its own
        return file.read()


def _listed_in_code(code: Any) -> list[tuple[str, str]]:
    """Return the same out of compiled code: bundled programs carry no sources."""
    import dis

    found: list[tuple[str, str]] = []
    level: Any = 0
    names: Any = ()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):  # an import loads its level, then its names
            level, names = names, step.argval
        elif step.opname == "IMPORT_NAME" and level and names != ("lazy",):
            found += [("." * level + step.argval, "" if name == "*" else name) for name in names]
    return found


__all__ = ["TypesOnly", "homes_of", "lazy"]
