"""A group of commands that imports a command only when it is called: ``--help`` and completion read the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer
from typer.core import TyperGroup

from ._commands import COMMANDS
from ._errors import Told
from ._hints import option_names
from ._profile import KEYS, read_profile
from ._shared import BROKEN_PIPE
from ._values import LightCommand, lightened
from ._waiting import waiting


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
    row = COMMANDS[name]
    function = getattr(import_module(f"{__package__}.{name.replace('-', '_')}"), name.replace("-", "_"))
    command = _command(name, _expanded(function, row.waits))
    if any(map(by_profile, command.params)):
        command.params[-1:-1] = _command(name, _with_profile).params[:1]
    return command


def _command(name: str, function: Callable[..., None]) -> Any:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=LightCommand)(function)
    return typer.main.get_command(alone)


def _expanded(function: Callable[..., None], waits: bool = False) -> Callable[..., None]:
    """Return a function that takes the fields of each dataclass among the parameters one by one."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for given in inspect.signature(function).parameters.values():
        if given.name in groups:
            parameters += _fields(groups[given.name])
        else:
            parameters.append(given.replace(annotation=hints[given.name], kind=inspect.Parameter.KEYWORD_ONLY))

    def call(**arguments: Any) -> None:
        for name, kind in groups.items():
            arguments[name] = kind(**{field.name: arguments.pop(field.name) for field in fields(kind)})
        with waiting(waits):
            function(**arguments)

    call.__doc__ = function.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what inspect reads first
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def _fields(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(f.name, keyword, default=f.default, annotation=hints[f.name]) for f in fields(kind)]


def _use_profile(ctx: typer.Context, value: str | None) -> None:
    """Have what a profile says stand in for options that neither the command line nor the environment gives."""
    if ctx.resilient_parsing:
        return
    said = read_profile(value or ctx.find_root().params.get("profile"))
    ctx.default_map = {
        parameter.name: _fitting(parameter, said[parameter.name])
        for parameter in ctx.command.params
        if by_profile(parameter) and parameter.name in said
    }


def by_profile(parameter: Any) -> bool:
    """Tell whether a profile can say what an option is: it has the name of a key, and reads the key's variable."""
    key = KEYS.get(parameter.name)
    return key is not None and parameter.envvar == key.env


def _fitting(parameter: Any, value: Any) -> Any:
    several = getattr(parameter, "multiple", False) or parameter.nargs == -1
    return [value] if several and not isinstance(value, list) else value


def _with_profile(
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            callback=_use_profile,
            is_eager=True,
            expose_value=False,
            help="The profile to use.",
        ),
    ] = None,
) -> None:
    """Hold the option that each command gets which can have options of a profile."""


class LazyGroup(TyperGroup):
    """The commands of the table."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded()

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the command line; for ``--help``, the reader of which may go away, that is all there is to do."""
        try:
            return super().make_context(*args, **options)
        except BrokenPipeError:
            raise typer.Exit(BROKEN_PIPE) from None

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, ``--help`` among them."""
        return lightened(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember how errors are to be told, as they may come before the options have been read."""
        ctx.meta[__name__] = Told("--json" in args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Call the command; what it raises is told."""
        told: Told = ctx.meta[__name__]
        with told():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command; hints will speak of its options."""
        found = super().resolve_command(ctx, args)
        ctx.meta[__name__].names = option_names(found[1])
        return found

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of the table."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands below their headings."""
        widest = max(map(len, COMMANDS))
        for section in dict.fromkeys(row.section for row in COMMANDS.values()):
            with formatter.section(section):
                rows = [(f"{name:<{widest}}", row.help) for name, row in COMMANDS.items() if row.section == section]
                formatter.write_dl(rows)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands and options that begin with what was typed."""
        found = [_Completion(name, row.help) for name, row in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *super(TyperGroup, self).shell_complete(ctx, incomplete)]
