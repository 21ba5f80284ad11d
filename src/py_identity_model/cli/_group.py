"""A group of commands that imports a command only when it is called: ``--help`` and completion read the table."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from ._commands import COMMANDS
from ._shared import told


class _Completion(NamedTuple):
    """What a shell is offered."""

    value: str
    help: str
    type: str = "plain"


class _Loaded(MutableMapping[str, Any]):
    """Commands by name; a module is imported when its command is asked for."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._kept:
            self._kept[name] = load(name)
        return self._kept[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS or name in self._kept

    def __setitem__(self, name: str, command: Any) -> None:
        self._kept[name] = command

    def __delitem__(self, name: str) -> None:
        del self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS | self._kept)

    def __len__(self) -> int:
        return len(COMMANDS | self._kept)


def load(name: str) -> Any:
    """Import the module of a command and return the command.

    Raises:
        KeyError: There is no such command.
    """
    COMMANDS[name]
    function = getattr(import_module(f"{__package__}.{name.replace('-', '_')}"), name.replace("-", "_"))
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(told(function))
    return typer.main.get_command(alone)


class LazyGroup(TyperGroup):
    """The commands of the table."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of the table."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands below their headings."""
        for section in dict.fromkeys(row.section for row in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, row.help) for name, row in COMMANDS.items() if row.section == section])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands and options that begin with what was typed."""
        found = [_Completion(name, row.help) for name, row in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *super(TyperGroup, self).shell_complete(ctx, incomplete)]
