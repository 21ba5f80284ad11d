"""Which of the library's own types stand in public signatures, read from the annotations as they are written."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

PACKAGE = "py_identity_model"
#: Public modules beside the doors.
MODULES = ("exceptions", "identity", "settings", "observability", "bulk", "stores", "testing")


class Place(NamedTuple):
    """An annotation, where a reader meets it, and the module it was written in."""

    where: str
    annotation: str
    module: types.ModuleType


def public_names() -> dict[str, list[Any]]:
    """Return every public name, and what it stands for in each public module that has it."""
    found: dict[str, list[Any]] = {}
    for name in (PACKAGE, f"{PACKAGE}.aio", *(f"{PACKAGE}.{module}" for module in MODULES)):
        module = importlib.import_module(name)
        for exported in module.__all__:
            found.setdefault(exported, []).append(getattr(module, exported))
    return found


def places(value: Any) -> Iterator[Place]:
    """Yield each annotation of a public function, or of a public class, what it inherits included."""
    if not inspect.isclass(value):
        yield from _of_function(getattr(value, "__name__", ""), value)
        return
    for base in value.__mro__:
        if not base.__module__.startswith(PACKAGE):
            continue
        for name, annotation in vars(base).get("__annotations__", {}).items():
            if not name.startswith("_"):
                yield Place(f"{value.__name__}.{name}", str(annotation), sys.modules[base.__module__])
        for name, member in vars(base).items():
            if not name.startswith("_") or name in ("__init__", "__call__"):
                yield from _of_function(f"{value.__name__}.{name}", member)


def _of_function(where: str, value: Any) -> Iterator[Place]:
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    if inspect.isfunction(value) and value.__module__.startswith(PACKAGE):
        for name, annotation in value.__annotations__.items():
            yield Place(f"{where}({name})", str(annotation), sys.modules[value.__module__])


def named(annotation: str) -> Iterator[str]:
    """Yield the names in an annotation."""
    yield from (node.id for node in ast.walk(ast.parse(annotation, mode="eval")) if isinstance(node, ast.Name))


def is_own(name: str, value: Any) -> bool:
    """Tell whether *value*, called *name* in one of the library's modules, is a type of the library."""
    if inspect.ismodule(value) or isinstance(value, typing.TypeVar) or hasattr(builtins, name):
        return False
    if inspect.isclass(value):
        return value.__module__.startswith(PACKAGE)
    return all(getattr(module, name, None) is not value for module in (typing, collections.abc, types))


def homeless(public: dict[str, list[Any]]) -> dict[str, str]:
    """Return the library's own types in public signatures that no public module exports, and where each stands."""
    found: dict[str, str] = {}
    for place in (place for values in public.values() for value in values for place in places(value)):
        for name in named(place.annotation):
            value = getattr(place.module, name, None)
            if value is not None and is_own(name, value) and not any(value is one for one in public.get(name, ())):
                found.setdefault(f"{place.module.__name__}.{name}", place.where)
    return found
