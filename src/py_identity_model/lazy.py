"""Doors that load what is used: importing the package costs next to nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy(
    door: dict[str, Any], *tables: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` of a module that exports what stands elsewhere (PEP 562).

    Args:
        door: The module's ``globals()``; what was loaded is kept there.
        tables: Modules of this package, and the names that come from each, separated by spaces.
    """
    package = __name__.rpartition(".")[0]
    homes = {name: room for table in tables for room, names in table.items() for name in names.split()}

    def load(name: str) -> Any:
        room = homes.get(name)
        if room is None:
            raise AttributeError(f"module {door['__name__']!r} has no attribute {name!r}")
        value = door[name] = getattr(importlib.import_module(f"{package}.{room}"), name)
        return value

    return sorted(homes), load, lambda: sorted({*door, *homes})


__all__ = ["lazy"]
