"""Values of options, read without Pydantic: importing it takes longer than most commands take to run.

Typer reads values with click's types in some versions, and with adapters of Pydantic in others. In the latter the few
types that are used here are read by functions of a line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand


class LightCommand(TyperCommand):
    """A command whose options are read without Pydantic."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, ``--help`` among them."""
        return lightened(super().get_params(ctx))


def lightened(parameters: list[Any]) -> list[Any]:
    """Have options be read without Pydantic, where this version of Typer uses it; return them."""
    for parameter in parameters:
        if hasattr(parameter, "_runtime_param"):
            read = _READERS.get(parameter.type_descriptor.annotation)
            if read is not None:
                parameter._runtime_param = _Plain(read)
    return parameters


class _Plain:
    """Reads values of one type."""

    def __init__(self, read: tuple[Callable[[Any], Any], str]) -> None:
        self._read, self._expected = read

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value; None for an option that was not given."""
        several = param.multiple or param.nargs == -1
        try:
            if several:
                return tuple(self._read(one) for one in value or ())
            return None if value is None else self._read(value)
        except (ValueError, OverflowError):
            reason = f"{value!r} is not {self._expected}."
        raise typer.BadParameter(_said_by(param, ctx) + reason, ctx=ctx, param=param)


def _said_by(param: Any, ctx: Any) -> str:
    """Say where a value is from, unless it is from the command line."""
    source = getattr(ctx.get_parameter_source(param.name), "name", "")
    return {"ENVIRONMENT": f"the variable {param.envvar}: ", "DEFAULT_MAP": "the profile: "}.get(source, "")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("1", "true", "yes", "on"):
        return True
    if str(value).lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError


_TEXT = (str, "text")
_PATH = (Path, "the path of a file")
_READERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    str: _TEXT,
    list[str]: _TEXT,
    Path: _PATH,
    list[Path]: _PATH,
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (_flag, "true or false"),
}
