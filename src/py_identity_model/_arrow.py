"""Tokens out of Arrow, and tables of verdicts and claims into it. pyarrow is imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from typing import Any

from ._core.validation.batch import check_window
from ._core.validation.columns import (
    CODE,
    COLUMN_WINDOW,
    MISFITS,
    VERDICT,
    ArrowArray,
    ArrowStream,
    Column,
    Judged,
    Row,
    TokenWindow,
    row_of,
    said_of,
)
from ._core.validation.engine import RawTokens
from .exceptions import ConfigurationException

#: The parts of a row that every table has: verdict, code, and what fits no column.
_Said = tuple[list[str], list[str | None], list[str | None]]


def pyarrow(module: str = "pyarrow") -> Any:
    """Import pyarrow.

    Raises:
        ConfigurationException: It is not installed (``extra_missing``).
    """
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationException(
            "Columns and Parquet files need pyarrow",
            code="extra_missing",
            hint="pip install 'py-identity-model[parquet]'",
        ) from None


class Listed:
    """Tokens in a list."""

    def __init__(self, tokens: list[Any]) -> None:
        self._tokens = tokens

    def raw(self) -> RawTokens:
        """Return all of them; what is no string becomes an empty one."""
        return [token if type(token) is str else "" for token in self._tokens]

    def at(self, places: Sequence[int]) -> list[Any]:
        """Return some of them."""
        return [self._tokens[place] for place in places]

    def __len__(self) -> int:
        return len(self._tokens)


class Sliced:
    """Tokens in an Arrow array of strings."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def raw(self) -> RawTokens:
        """Return their octets and places; null becomes an empty string."""
        array = self._array.fill_null("") if self._array.null_count else self._array
        if not len(array):
            return b"", b""
        _, places, octets = array.buffers()
        places = places.slice(4 * array.offset, 4 * (len(array) + 1)).to_pybytes()
        first, last = (int.from_bytes(places[at : at + 4 or None], "little") for at in (0, -4))
        return (octets.slice(first, last - first).to_pybytes() if last > first else b""), places

    def at(self, places: Sequence[int]) -> list[Any]:
        """Return some of them, None for null."""
        if not places:
            return []
        listed: list[Any] = self._array.take(pyarrow().array(places, "int64")).to_pylist()
        return listed

    def __len__(self) -> int:
        return len(self._array)


def slices(tokens: ArrowArray | ArrowStream, size: int = COLUMN_WINDOW) -> Iterator[TokenWindow]:
    """Yield the windows of an Arrow array, or of one in several parts.

    Raises:
        ConfigurationException: It is none of strings.
    """
    arrow = pyarrow()
    parts = [arrow.array(tokens)] if isinstance(tokens, ArrowArray) else arrow.chunked_array(tokens).chunks
    for part in parts:
        strings = _strings(arrow, part)
        for start in range(0, len(strings), size):
            yield Sliced(strings.slice(start, size))


def _strings(arrow: Any, array: Any) -> Any:
    kind = array.type.value_type if arrow.types.is_dictionary(array.type) else array.type
    known = (arrow.string(), arrow.large_string(), arrow.null(), *_views(arrow))
    if kind not in known:
        raise ConfigurationException(
            "Tokens in Arrow must be strings",
            code="policy_invalid",
            claim="tokens",
            expected="an array of strings",
            actual=str(array.type),
        )
    return array if array.type == arrow.string() else array.cast(arrow.string())


def _views(arrow: Any) -> tuple[Any, ...]:
    return (arrow.string_view(),) if hasattr(arrow, "string_view") else ()


def token_windows(tokens: object, size: int = COLUMN_WINDOW) -> Iterator[TokenWindow]:
    """Yield the windows of an iterable of tokens, or of an Arrow array.

    Raises:
        ConfigurationException: It is none of these.
    """
    if isinstance(tokens, ArrowArray | ArrowStream):
        yield from slices(tokens, size)
        return
    check_window(tokens, size, Iterable)
    assert isinstance(tokens, Iterable)
    source = iter(tokens)
    while window := list(islice(source, size)):
        yield Listed(window)


class Tables:
    """Makes tables of judged windows, all with one schema.

    Args:
        columns: Claims and their types.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        arrow = self._arrow = pyarrow()
        self._columns = columns
        named = {"str": arrow.string(), "int": arrow.int64(), "float": arrow.float64(), "bool": arrow.bool_()}
        named["list[str]"] = arrow.list_(arrow.string())
        self._types = [named[kind] for _, kind in columns]
        names = [VERDICT, CODE, *(name for name, _ in columns), *([MISFITS] if columns else [])]
        last = [arrow.string()] if columns else []
        types = [arrow.string(), arrow.string(), *self._types, *last]
        self.schema: Any = arrow.schema(list(zip(names, types, strict=True)))

    def of(self, judged: Judged) -> Any:
        """Return the record batch of a window."""
        if judged.buffers is None:
            return self._of_rows([judged.others[at] for at in range(judged.rows)])
        good = self._of_buffers(judged.rows, judged.buffers)
        if not judged.others:
            return good
        places, outcomes = list(judged.others), list(judged.others.values())
        wanted = list(range(judged.rows))
        for number, place in enumerate(places):
            wanted[place] = judged.rows + number
        both = self._arrow.Table.from_batches([good, self._of_rows(outcomes)])
        return both.take(self._arrow.array(wanted, "int64")).combine_chunks().to_batches()[0]

    def whole(self, batches: list[Any]) -> Any:
        """Return a table of several batches."""
        return self._arrow.Table.from_batches(batches, self.schema)

    def _of_buffers(self, rows: int, buffers: list[list[bytes]]) -> Any:
        arrow = self._arrow
        arrays = [arrow.repeat(arrow.scalar("valid", arrow.string()), rows), arrow.nulls(rows, arrow.string())]
        arrays += [self._array(kind, rows, parts) for kind, parts in zip(self._types, buffers, strict=True)]
        if self._columns:
            arrays.append(arrow.nulls(rows, arrow.string()))
        return arrow.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _array(self, kind: Any, rows: int, parts: list[bytes]) -> Any:
        array, found = self._arrow.Array, [self._arrow.py_buffer(part) for part in parts]
        if kind.num_fields == 0:
            return array.from_buffers(kind, rows, found)
        validity, ends, item_ends, octets = found
        items = array.from_buffers(kind.value_type, len(parts[2]) // 4 - 1, [None, item_ends, octets])
        return array.from_buffers(kind, rows, [validity, ends], children=[items])

    def _of_rows(self, outcomes: list[Any]) -> Any:
        said = [said_of(outcome) for outcome in outcomes]
        nothing = Row([None] * len(self._columns), None)
        rows = [nothing if isinstance(one, Exception) else row_of(one, self._columns) for one in outcomes]
        columns = [[word for word, _ in said], [code for _, code in said]]
        columns += [[row.values[at] for row in rows] for at in range(len(self._columns))]
        if self._columns:
            columns.append([row.misfits for row in rows])
        arrays = [self._arrow.array(values, field.type) for values, field in zip(columns, self.schema, strict=True)]
        return self._arrow.RecordBatch.from_arrays(arrays, schema=self.schema)


__all__ = ["Listed", "Sliced", "Tables", "pyarrow", "slices", "token_windows"]
