"""Unusual values: what programs hand over by mistake, and what no codec, parser or printer takes."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import math
import os
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Stands in every unusual value that could be a secret; no message may hold it.
CANARY = "canary"
#: Half a character: JSON can carry it, and no codec takes it. Errors of codecs hold the whole text.
HALF = "\ud800" + CANARY
HUGE = 10**5000


class OwnError(Exception):
    """What a function of the application raises, which is its own."""


class Called:
    """A class where a value is wanted; making one is noticed."""

    def __new__(cls, *args: Any, **named: Any) -> Any:
        """Raise what is the application's own."""
        raise OwnError


class Mute:
    """A value whose ``repr`` fails."""

    def __repr__(self) -> str:
        raise RuntimeError


class Colour(enum.Enum):
    """Names that are none of ours."""

    RED = "red"


def deep(depth: int = 5000) -> Any:
    """Return lists in lists, deeper than the stack."""
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def deep_mapping(depth: int = 5000) -> Any:
    """Return mappings in mappings, deeper than the stack."""
    value: Any = None
    for _ in range(depth):
        value = {"a": value}
    return value


def endless() -> list[Any]:
    """Return a list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


def anything(*args: Any, **named: Any) -> None:
    """Take whatever comes."""


TEXTS = [
    *("", " ", "x", "\0", "\n", f"a\r\nX-More: {CANARY}", HALF, "\u00e9", "\U0001f600", "a" * 100_000, "\u0663", "5"),
    *("https://id.example.com", "https://[::1", "https://h:99999/", "https://h:x/", "https://h:\u0663/", "https:///"),
    *(f"https://{'a' * 64}.example/", f"https://{'a.' * 130}example/", "https://\u00e9.example/", "https://xn--/"),
    *(
        "http://127.0.0.1",
        "//x",
        "javascript:alert(1)",
        "urn:x",
        "https://h/\0",
        f"https://u:{CANARY}@h/",
        "https://%/",
    ),
    *("https://h/?a=b#c", "https://[v1.x]/", "https://h/" + HALF, "{}", "[]", "null", "{", "NaN", "[" * 5000),
    *("a.b.c", "..", "eyJhbGciOiJub25lIn0..", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA", "bearer", "none", "../x"),
]
#: Made anew for every call, as some can be read once.
MAKERS: list[Callable[[], Any]] = [
    *(lambda value=value: value for value in (None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, HUGE, -HUGE, 1.5)),
    *(lambda value=value: value for value in (math.nan, math.inf, -math.inf, 1e308, -0.5, 1j, ..., NotImplemented)),
    *(lambda value=value: value for value in (decimal.Decimal("NaN"), decimal.Decimal(5), fractions.Fraction(1, 3))),
    *(lambda value=value: value for value in TEXTS),
    *(
        lambda value=value: value
        for value in (b"", b"x", b"\xff", CANARY.encode() + b"\xff", b"https://id.example.com")
    ),
    *(lambda: bytearray(b"ab"), lambda: memoryview(b"ab"), lambda: [bytearray(b"ab")], lambda: {"a": bytearray(b"ab")}),
    *(object, list, dict, set, tuple, frozenset, lambda: iter(()), lambda: iter([5]), lambda: range(3), Mute),
    *(lambda: [None], lambda: [5], lambda: ["x"], lambda: [HALF], lambda: [[]], lambda: [{}], lambda: [b"x"]),
    *(lambda: ["x", "x"], lambda: [""], lambda: [("a", "b")], lambda: [("a",)], lambda: [("a", 5)], lambda: [["a", 5]]),
    *(lambda: (None,), lambda: (5, 5), lambda: ("a", "b"), lambda: (HALF, HALF), lambda: ((),), lambda: {HALF: HALF}),
    *(lambda: {"a": None}, lambda: {"a": 5}, lambda: {"a": "b"}, lambda: {5: 5}, lambda: {None: None}),
    *(lambda: {"a": []}, lambda: {"a": [5]}, lambda: {"a": {"b": 1}}, lambda: {"a": HUGE}, lambda: {"a": math.nan}),
    *(lambda: {("a",): 1}, lambda: {"x"}, lambda: {5}, lambda: {None}, lambda: frozenset({HALF}), lambda: {b"a": b"b"}),
    *(deep, deep_mapping, endless, lambda: {"a": deep()}, lambda: (deep(),), lambda: [deep_mapping()]),
    *(lambda: anything, lambda: Called, lambda: os, lambda: ValueError(CANARY), lambda: Colour.RED),
    *(lambda: Path("\0"), lambda: Path("missing"), lambda: Path(), lambda: Path(HALF), lambda: Path("a" * 300)),
    *(
        lambda: datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC),
        lambda: datetime.timedelta(days=9),
        lambda: datetime.date.max,
    ),
    *(
        lambda: types.MappingProxyType({"a": 5}),
        lambda: collections.UserDict(a="b"),
        lambda: collections.UserString("x"),
    ),
    lambda: uuid.UUID(int=5),
]
