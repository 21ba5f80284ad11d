"""Arguments of the wrong type are the caller's mistake, and are told as such: by name, and never with what they hold.

Nothing is checked while all goes well. Only when a public function fails in a way that is not one of the library's
exceptions are its arguments held against its annotations.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import update_wrapper
from inspect import Parameter, Signature, get_annotations, signature
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from ._lazy import TypesOnly
from .exceptions import ConfigurationException

F = TypeVar("F", bound=Callable[..., Any])

#: What wrong arguments lead to, deep inside.
_SYMPTOMS: Final = (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, AssertionError, RecursionError)
#: How far values are looked into: a request, its fields, what a list in one holds.
_DEPTH = 4
#: The longest number that Python writes without being told to has 4,300 digits.
_BITS = 14_000
_CO_COROUTINE = 0x80
_TEXTS: Final = (str, bytes, bytearray, memoryview)
_NOTHING: Final = object()


def names_keywords(kind: type) -> Callable[[F], F]:
    """Have ``help()`` and ``inspect.signature`` show the keywords of a function that takes ``**named: Unpack[kind]``.

    Type checkers read them there by themselves. The function is returned as it is: taking them as one dict costs less
    on a call without any than naming each in the function.

    Args:
        kind: The TypedDict, none of whose members is required; one that is left out counts as None.
    """

    def show(function: F) -> F:
        shown = signature(function)
        plain = [one for one in shown.parameters.values() if one.kind is not one.VAR_KEYWORD]
        for name, annotation in kind.__annotations__.items():
            said = getattr(annotation, "__forward_arg__", annotation)
            plain.append(Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=said))
        function.__signature__ = shown.replace(parameters=plain)  # type: ignore[attr-defined] # inspect looks there
        return function

    return show


def explains_arguments(function: F) -> F:
    """Have *function* raise :class:`ConfigurationException` where an argument of the wrong type made it fail."""
    made = _awaitable(function) if function.__code__.co_flags & _CO_COROUTINE else _blocking(function)
    # In the module of the function itself, where doctest and other readers look for it.
    call = types.FunctionType(made.__code__, function.__globals__, function.__name__, None, made.__closure__)
    wrapped: Any = update_wrapper(call, function)
    return wrapped  # type: ignore[no-any-return] # it has the signature of *function*


def checks_arguments(function: F) -> F:
    """Have *function* hold its arguments against its annotations before it begins, and explain what fails all the same.

    For what only keeps its arguments: a wrong one would be noticed when it is used, far from the mistake. The arguments
    of a ``__post_init__`` are the fields of its dataclass.
    """
    explained, shown = explains_arguments(function), signature(function)
    bind, makes = shown.bind, function.__name__ in ("__init__", "__post_init__")
    hints: dict[str, Any] = {}

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = bind(*args, **kwargs).arguments
        except TypeError:  # an argument is missing or unknown, which Python itself says best
            return explained(*args, **kwargs)
        if not hints:
            hints.update(_expected(function, shown))
        wrong = _first_unfit(given, hints)
        if wrong is not None and not makes:
            raise wrong
        result = explained(*args, **kwargs)  # whose own checks say it better
        if wrong is not None:
            wrong = _first_unfit(given, hints)  # unless a list has become the set that it had to be, and the like
        if wrong is not None:
            raise wrong
        return result

    wrapped: Any = update_wrapper(call, function)
    return wrapped  # type: ignore[no-any-return] # it has the signature of *function*


def _first_unfit(given: Mapping[str, Any], hints: Mapping[str, Any]) -> ConfigurationException | None:
    for name, value in given.items():
        for found in _members("self", value, Any) if name == "self" else [(name, value, hints.get(name, Any))]:
            # What a dataclass holds was checked when it was made.
            for unfit in _unfit(*found, 0 if is_dataclass(found[1]) else 1):
                return _refusal(*unfit)
    return None


def _blocking(function: Callable[..., Any]) -> Any:
    symptoms, explain = _SYMPTOMS, explanation

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except symptoms as error:
            told = explain(function, args, kwargs, error)
            if told is None:
                raise
        raise told  # out here: UnicodeEncodeError holds the text, and would be the context

    return call


def _awaitable(function: Callable[..., Any]) -> Any:
    symptoms, explain = _SYMPTOMS, explanation

    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except symptoms as error:
            told = explain(function, args, kwargs, error)
            if told is None:
                raise
        raise told

    return call


def explanation(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
) -> ConfigurationException | None:
    """Return what to raise instead of *error*; None if no argument is to blame."""
    shown = signature(function)
    try:
        given = shown.bind(*args, **kwargs).arguments
    except TypeError:  # an argument is missing or unknown, which Python itself says best
        return None
    hints = _expected(function, shown)
    for name, value in given.items():
        for path, expected, actual in _unfit(name, value, hints.get(name, Any), _DEPTH):
            return _refusal(path, expected, actual)
    for name, value in given.items():
        for path, expected, actual in _blamed(name, value, str(error), _DEPTH):
            return _refusal(path, expected, actual)
    for name, value in given.items():
        for path, held in [(name, value), *((path, held) for path, held, _ in _members(name, value, Any))]:
            if _is_bottomless(held):
                return _refusal(path, "of bounded depth", f"a {type(held).__name__} without")
    if isinstance(error, UnicodeError):
        return _refusal("an argument", "text that can be encoded", "other text")
    return None


def _is_bottomless(value: Any) -> bool:
    """Tell whether a value holds itself, or others in others deeper than the stack."""
    if not isinstance(value, list | tuple | Mapping):
        return False
    try:
        written = repr(value)
    except RecursionError:
        return True
    except Exception:  # a repr that is the caller's own
        return False
    return "[...]" in written or "{...}" in written


def _refusal(path: str, expected: str, actual: str) -> ConfigurationException:
    message = f"{path} must be {expected}, got {actual}"
    return ConfigurationException(message, code="argument_invalid", claim=path, expected=expected, actual=actual)


def _expected(function: Callable[..., Any], shown: Signature) -> dict[str, Any]:
    """Return what each argument of *function* must be; those that are gathered are told of by the type of each."""
    hints = _hints(function.__annotations__, function.__globals__)
    for one in shown.parameters.values():
        hint = hints.get(one.name, Any)
        if isinstance(hint, type | types.UnionType):  # not Unpack, which names the keywords itself
            if one.kind is Parameter.VAR_KEYWORD:
                hints[one.name] = dict[str, hint]  # type: ignore[valid-type] # it is one at run time
            elif one.kind is Parameter.VAR_POSITIONAL:
                hints[one.name] = tuple[hint, ...]  # type: ignore[valid-type]
    return hints


def _hints(annotations: Mapping[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """Evaluate annotations one by one."""
    return {name: _hint(annotation, names) for name, annotation in annotations.items()}


def _hint(annotation: Any, names: dict[str, Any]) -> Any:
    """Evaluate an annotation; what cannot be loaded, or only type checkers understand, is taken for anything."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except NameError:  # of a module that is loaded when it is needed
        try:
            return eval(annotation, names, TypesOnly(names.get("__name__", "")))
        except Exception:  # an optional package that is not installed, for one
            return Any
    except Exception:  # the text may do whatever code does; what cannot be evaluated is not checked here
        return Any


def _unfit(path: str, value: Any, hint: Any, depth: int) -> Iterator[tuple[str, str, str]]:
    """Yield what in *value* does not fit *hint*: where, what was expected, the type that came."""
    if not _fits(value, hint):
        yield path, _named(hint), type(value).__name__
    elif isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        yield path, "text without half characters (lone surrogates)", "such a text"
    elif isinstance(value, int) and value.bit_length() > _BITS:
        yield path, "a number of fewer digits", f"one of {value.bit_length()} bits"
    elif depth > 0:
        for inner, member, expected in _members(path, value, hint):
            yield from _unfit(inner, member, expected, depth - 1)


def _blamed(path: str, value: Any, said: str, depth: int) -> Iterator[tuple[str, str, str]]:
    """Yield what in *value*, of a type that no annotation tells, is named by Python's own error."""
    kind = type(value).__name__
    if path != "self" and (_is_beyond(value, said) or any(named in said for named in _names(value))):
        yield path, "of another type", kind
    elif depth > 0:
        for inner, member, _ in _members(path, value, Any):
            yield from _blamed(inner, member, said, depth - 1)


def _is_beyond(value: Any, said: str) -> bool:
    """Tell whether a number is one that Python's own error says is too large, or none at all."""
    if isinstance(value, int):
        return "too large" in said and value.bit_length() > 63
    return isinstance(value, float) and not math.isfinite(value) and ("NaN" in said or "infinity" in said)


def _names(value: Any) -> Iterator[str]:
    """Yield what Python's own errors call the type of a value; a class, or a module, is called by its own name."""
    kind = type(value)
    for named in (kind.__name__, f"{kind.__module__}.{kind.__qualname__}"):
        yield from (f"'{named}' object", f"non-iterable {named} object")
    if isinstance(value, type | types.ModuleType):
        yield f"{'module' if isinstance(value, types.ModuleType) else 'type object'} '{value.__name__}' has"


def _members(path: str, value: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    if is_dataclass(type(value)):
        known = {field.name for field in fields(type(value))}
        for cls in type(value).__mro__:
            for name, annotation in get_annotations(cls).items():
                held = _held(value, name) if name in known else _NOTHING
                if held is not _NOTHING:
                    yield (name if path == "self" else f"{path}.{name}"), held, _field_hint(cls, name, annotation, held)
    elif isinstance(value, Mapping):
        for key, member in list(value.items())[:100]:
            yield f"a key of {path}", key, Any
            yield f"a value of {path}", member, _argument(hint, 1, value)
    elif isinstance(value, list | tuple | set | frozenset):
        for at, member in enumerate(list(value)[:100]):
            yield f"a member of {path}", member, _argument(hint, at if _is_fixed(hint) else 0, value)
    elif hasattr(value, "expose"):
        yield path, value.expose(), Any


def _held(value: Any, name: str) -> Any:
    try:
        return object.__getattribute__(value, name)  # not through the guard of failed responses
    except AttributeError:  # not there yet
        return _NOTHING


#: What the annotations of dataclasses mean, as far as somebody asked.
_field_hints: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()


def _field_hint(cls: type, name: str, annotation: Any, held: Any) -> Any:
    """Return what a field must be; where nothing is what it may hold, nothing is loaded to know more."""
    if held is None and isinstance(annotation, str) and annotation.endswith(" | None"):
        return Any
    known = _field_hints.setdefault(cls, {})
    if name not in known:
        known[name] = _hint(annotation, vars(sys.modules.get(cls.__module__, types)))
    return known[name]


def _argument(hint: Any, at: int, value: Any) -> Any:
    """Return what the members of *value* must be by *hint*, where that is plain to see."""
    if isinstance(hint, types.UnionType):
        parts = [part for part in hint.__args__ if getattr(part, "__args__", ()) and _is_of(value, part.__origin__)]
        return _argument(parts[0], at, value) if len(parts) == 1 else Any
    arguments = [each for each in getattr(hint, "__args__", ()) if each is not Ellipsis]
    if _is_fixed(hint):
        return arguments[at] if at < len(arguments) else Any
    return arguments[at] if len(arguments) > at and len(arguments) <= 2 and (at or len(arguments) == 1) else Any


def _is_fixed(hint: Any) -> bool:
    """Tell whether *hint* is a tuple of so many members."""
    return getattr(hint, "__origin__", None) is tuple and Ellipsis not in hint.__args__


def _is_of(value: Any, origin: Any) -> bool:
    return isinstance(origin, type) and isinstance(value, origin)


def _has(value: Any, name: str) -> bool:
    try:
        return hasattr(value, name)
    except Exception:  # foreign code: it answers for the name, if not well right now
        return True


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether *value* can be of the type *hint*; no only where that is certain."""
    form = str(getattr(hint, "__origin__", ""))
    if form == "typing.Literal":
        return value in hint.__args__
    if isinstance(hint, types.UnionType) or form == "typing.Union":
        return any(_fits(value, each) for each in hint.__args__)
    if hint is None or hint is Any:
        return hint is Any or value is None
    origin = getattr(hint, "__origin__", hint)
    if not isinstance(origin, type):
        return True
    if getattr(origin, "_is_protocol", False):
        return all(_has(value, name) for name in _asked_of(origin))
    if _is_fixed(hint) and isinstance(value, tuple):
        return len(value) == len(hint.__args__)
    if origin is float:
        return isinstance(value, int | float)
    if origin is type or issubclass(origin, type):
        return isinstance(value, type)
    if isinstance(value, _TEXTS) and not issubclass(origin, _TEXTS) and origin is not object:
        # Text is a sequence of texts, and seldom meant as one of anything else; so are bytes of numbers.
        return isinstance(value, origin) and _argument(hint, 0, value) in (Any, str if isinstance(value, str) else int)
    return isinstance(value, origin)


def _asked_of(protocol: type) -> Iterator[str]:
    """Yield the names that a protocol asks for."""
    for cls in protocol.__mro__:
        if getattr(cls, "_is_protocol", False) and cls.__module__ != "typing":
            known = (*vars(cls), *vars(cls).get("__annotations__", ()))
            yield from (name for name in known if name == "__call__" or not name.startswith("_"))


def _named(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(_named(each) for each in hint.__args__)
    origin = getattr(hint, "__origin__", hint)
    return "None" if origin in (None, types.NoneType) else str(getattr(origin, "__name__", origin))


__all__ = ["checks_arguments", "explains_arguments", "explanation"]
