"""Public callables that get another argument behind their caller's back, for ``tools/parameters.py``."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

#: The functions that were replaced, by the number that stands in their code.
ROUTES: list[Callable[..., Any]] = []


def another(value: Any) -> Any:
    """Return another value of the same type, where the type is a simple one; else something that is of no use."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case bytes():
            return value + b"x"
        case dict() | list() | tuple() | set() | frozenset() if value:
            return type(value)()
    return object()


def replaced(function: Any, parameter: str, note: Callable[[], None] | None = None) -> Callable[..., Any]:
    """Return a function that takes one argument back to its default, or only notes that another is given."""
    signature = inspect.signature(function)
    known = signature.parameters[parameter]

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*args, **named)
        except TypeError:
            return function(*args, **named)  # it says itself what is wrong
        spread = {known.VAR_POSITIONAL: (), known.VAR_KEYWORD: {}}
        default = spread.get(known.kind, known.default)
        given = bound.arguments.get(parameter, default)
        if given is default:
            return function(*args, **named)
        if note:
            note()
            return function(*args, **named)
        bound.arguments[parameter] = another(given) if default is known.empty else default
        return function(*bound.args, **bound.kwargs)

    return call


def trampoline(route: int, variables: tuple[str, ...]) -> types.CodeType:
    """Return code that calls the function of that number, and has as many variables of an outer function."""
    held = "".join(f"{each}, " for each in variables)
    text = f"def g({held}):\n def f(*a, **n):\n  if 0: ({held})\n"
    made: dict[str, Any] = {}
    exec(f"{text}  return __import__({__name__!r}).ROUTES[{route}](*a, **n)\n return f", made)
    inner: types.FunctionType = made["g"](*(None for _ in variables))
    return inner.__code__


def replace(door: Any, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    """Replace a public callable wherever it is known already: a method in its class, a function by its code."""
    owner, _, method = name.partition(".")
    target = getattr(door, owner)
    if not inspect.isclass(target):
        kept = types.FunctionType(target.__code__, target.__globals__, None, target.__defaults__, target.__closure__)
        kept.__kwdefaults__, kept.__signature__ = target.__kwdefaults__, inspect.signature(target)  # type: ignore[attr-defined]
        ROUTES.append(make(kept))
        target.__code__ = trampoline(len(ROUTES) - 1, target.__code__.co_freevars)
        return
    static = inspect.getattr_static(target, method or "__init__")
    if isinstance(static, classmethod | staticmethod):
        setattr(target, method, type(static)(make(static.__func__)))
    else:
        setattr(target, method or "__init__", make(static))
