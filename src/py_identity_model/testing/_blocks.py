"""Blocks of a test in which requests to an application are from somebody: whose count where, and what they replace.

For the length of a block something of a test is in the place of a part of the application, put there and taken away
again. No door knows of it. Nothing outside :mod:`py_identity_model.testing` imports it, which a test holds, so an
application comes by it only by importing it itself, and what can do that can do anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

from ..exceptions import ConfigurationException

B = TypeVar("B", bound="Block")
Undo = Callable[[], None]


class Block:
    """Who requests are from, for the length of a ``with`` block.

    Attributes:
        headers: Name them in a request that another thread or server of this process answers; empty for nobody.
    """

    headers: Mapping[str, str]
    _targets: tuple[Any, ...]
    _everywhere: bool

    @classmethod
    def _made(cls, targets: Iterable[Any], headers: Mapping[str, str], *, everywhere: bool) -> Self:
        made = cls()
        made._targets, made.headers, made._everywhere = tuple(targets), MappingProxyType(dict(headers)), everywhere
        return made

    def _replace(self, target: Any) -> Undo:
        """Put what this block needs in the place of a part of *target*; return what undoes it."""
        raise NotImplementedError  # each kind has its own

    def __enter__(self) -> Self:
        _begin(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self)

    def _is_for(self, target: Any) -> bool:
        return any(each is target for each in self._targets)


#: Those that the code at hand is in; a thread or task that is started there has a copy.
_here: ContextVar[tuple[Block, ...]] = ContextVar("blocks", default=())
_open: list[Block] = []
#: Parts that are replaced, by identity of their owner: the owner, what undoes it, and for how many blocks.
_replaced: dict[int, tuple[Any, Undo, int]] = {}
_lock = threading.RLock()


def _begin(one: Block) -> None:
    with _lock:
        if one in _open:
            raise ConfigurationException("This block is open already", code="stand_in_open")
        _refuse_two_everywhere(one)
        for target in one._targets:
            _, undo, blocks = _replaced.get(id(target)) or (target, one._replace(target), 0)
            _replaced[id(target)] = (target, undo, blocks + 1)
        _open.append(one)
    _here.set((*_here.get(), one))


def _refuse_two_everywhere(one: Block) -> None:
    others = [each for each in _open if each._everywhere and any(map(each._is_for, one._targets))]
    if one._everywhere and others and others[-1] not in _here.get():
        raise ConfigurationException(
            "Two tests at once say who every request to this application is from",
            code="stand_in_ambiguous",
            expected="one at a time",
            hint="send user.headers with each request: with authenticated(app, everywhere=False) as user",
        )


def _end(one: Block) -> None:
    with _lock:
        if one not in _open:
            return
        _open.remove(one)
        for target in one._targets:
            _, undo, blocks = _replaced.pop(id(target))
            if blocks > 1:
                _replaced[id(target)] = (target, undo, blocks - 1)
            else:
                undo()
    # No token of the variable: a fixture may end in another context than it began in.
    _here.set(tuple(each for each in _here.get() if each is not one))


def block_for(kind: type[B], target: Any, sent: list[str]) -> B | None:
    """Return the block that says who a request is from; None where the request is judged as it comes.

    Args:
        kind: The kind of block.
        target: Whose request it is.
        sent: The credentials of the request itself.
    """
    with _lock:
        standing = [each for each in _open if isinstance(each, kind) and each._is_for(target)]
    if sent:
        return next((each for each in standing if sent == list(each.headers.values())), None)
    here = [each for each in _here.get() if each in standing]  # a copied context outlives its block
    chosen = here or [each for each in standing if each._everywhere]
    return chosen[-1] if chosen and isinstance(chosen[-1], kind) else None


__all__ = ["Block", "Undo", "block_for"]
