"""What an application is made of: the objects that can be reached from it, whatever its framework."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

#: Objects that are looked at, at most: an application of a thousand routes has about two hundred thousand.
MAX_OBJECTS = 2_000_000

#: What leads nowhere, or everywhere: modules and frames hold the whole process, loggers each other.
_CLOSED: tuple[type, ...] = (
    *(types.ModuleType, types.FrameType, types.CodeType, types.CoroutineType, types.GeneratorType),
    *(types.AsyncGeneratorType, types.BuiltinFunctionType, types.TracebackType),
    *(str, bytes, bytearray, int, float, complex, bool, type(None)),
    *(logging.Logger, logging.Handler, threading.Thread, asyncio.AbstractEventLoop, asyncio.Future),
)
#: What of a class is looked at; its other attributes may be registers of every object there is.
_OF_CLASSES = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property, list, tuple)


def objects_of(root: object) -> Iterator[Any]:
    """Yield *root* and every object that it is made of, each once, the nearest first.

    Closures, defaults and attributes are followed, and the globals that functions name; modules are not.
    """
    seen = {id(root)}
    waiting: list[Any] = [root]
    while waiting and len(seen) < MAX_OBJECTS:
        reached: list[Any] = []
        for one in waiting:
            yield one
            for each in _parts_of(one):
                if id(each) not in seen:
                    seen.add(id(each))
                    reached.append(each)
        waiting = reached


def _parts_of(one: Any) -> list[Any]:
    kind = type(one)  # isinstance() would ask proxies for the object of a request that there is not
    if kind is types.FunctionType:
        return [one.__closure__, one.__defaults__, one.__kwdefaults__, one.__dict__, *_globals_of(one)]
    if issubclass(kind, type):
        return [] if _is_of_python(one.__module__) else [*one.__bases__, *_members_of(one)]
    if kind is functools._lru_cache_wrapper:  # what it remembers may be of other applications
        return [one.__dict__]
    return [] if issubclass(kind, _CLOSED) else gc.get_referents(one)


def _members_of(cls: type) -> Iterator[Any]:
    return (each for each in vars(cls).values() if type(each) in _OF_CLASSES)


def _globals_of(function: types.FunctionType) -> Iterator[Any]:
    """Yield the globals that a function of the application itself names, as plain ASGI applications name others."""
    known = function.__globals__
    if "site-packages" in str(known.get("__file__")) or _is_of_python(known.get("__name__")):
        return
    codes: list[types.CodeType] = [function.__code__]
    while codes:
        code = codes.pop()
        yield from (known[name] for name in code.co_names if name in known)
        codes += (each for each in code.co_consts if isinstance(each, types.CodeType))


def _is_of_python(module: object) -> bool:
    top = str(module).partition(".")[0]
    return top in sys.stdlib_module_names or top == "py_identity_model"


def found_in(root: object, kind: type[T]) -> list[T]:
    """Return the objects of a class that *root* is made of."""
    return [one for one in objects_of(root) if issubclass(type(one), kind)]


__all__ = ["MAX_OBJECTS", "found_in", "objects_of"]
