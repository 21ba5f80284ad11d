"""Results of a bulk job as a Parquet file: rows, verdicts and claims in columns.

While the job runs they are an Arrow stream, which can be cut anywhere between two parts and gone on with; the Parquet
file is made of it when all is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ._arrow import Listed, Sliced, Tables, pyarrow
from ._core.validation.columns import COLUMN_WINDOW, VALID, Column, Judged, TokenWindow, judge_columns, said_of
from .sync._driver import run
from .sync._validation import TokenValidator

#: The number of a row, from 1.
ROW = "row"


class Part(NamedTuple):
    """Results of some rows, as they are written, and what there is to count in them."""

    rows: int
    lines: bytes
    counts: Counter[tuple[str, str]]


class RowTables:
    """Makes parts of an Arrow stream of judged tokens. Any thread may use it."""

    def __init__(self, validator: TokenValidator, columns: Sequence[Column]) -> None:
        self._validator, self._columns = validator, columns
        self._tables = Tables(columns)
        arrow = pyarrow()
        self.schema: Any = self._tables.schema.insert(0, arrow.field(ROW, arrow.int64()))

    def head(self) -> bytes:
        """Return how the stream begins."""
        begin: bytes = self.schema.serialize().to_pybytes()
        return begin

    def part(self, first: int, tokens: TokenWindow) -> Part:
        """Judge some tokens; the row of the first is *first*."""
        core = self._validator._validator
        batch = self._validator._batch(None, None, 1)
        judged = run(judge_columns(core, batch, None, tokens, self._columns), self._validator._http_client)
        arrow = pyarrow()
        rows = arrow.array(range(first, first + judged.rows), arrow.int64())
        table = arrow.RecordBatch.from_arrays([rows, *self._tables.of(judged).columns], schema=self.schema)
        return Part(judged.rows, table.serialize().to_pybytes(), _counts(judged))


def _counts(judged: Judged) -> Counter[tuple[str, str]]:
    counts = Counter((word, code or "") for word, code in map(said_of, judged.others.values()))
    if judged.buffers is not None:
        counts[VALID, ""] += judged.rows - len(judged.others)
    return counts


class Window(NamedTuple):
    """Some rows of a file: the number of the first, what stands there, and how much has been read with them."""

    first: int
    tokens: TokenWindow
    read: int


def windows_of(file: Any, skip: int) -> Iterator[Window]:
    """Yield the rows of a file after the first *skip*; those of a Parquet file as they lie there."""
    if file.form != "parquet":
        for some in file.rows(COLUMN_WINDOW, skip=skip):
            yield Window(some.first, Listed(some.tokens), some.read)
        return
    first = 1
    for array in file.arrays(COLUMN_WINDOW):
        last = first + len(array)
        if last > skip + 1:
            passed = max(0, skip + 1 - first)
            yield Window(first + passed, _window(array[passed:]), last - 1)
        first = last


def _window(array: Any) -> TokenWindow:
    arrow = pyarrow()
    if array.type == arrow.string():
        return Sliced(array)
    large = array.type == arrow.large_string() or arrow.types.is_dictionary(array.type)
    return Sliced(array.cast(arrow.string())) if large else Listed(array.to_pylist())


def write_parquet(stream: Path, path: Path) -> None:
    """Make a Parquet file of an Arrow stream."""
    ipc, parquet = pyarrow("pyarrow.ipc"), pyarrow("pyarrow.parquet")
    arrow = pyarrow()
    with arrow.memory_map(str(stream)) as source, ipc.open_stream(source) as batches:
        writer, parts = parquet.ParquetWriter(str(path), batches.schema, compression="zstd"), iter(batches)
        while some := list(islice(parts, _BATCHES)):
            writer.write_table(arrow.Table.from_batches(some))
        writer.close()


#: Parts in one row group: some hundred thousand rows.
_BATCHES = 64

__all__ = ["Part", "RowTables", "Window", "windows_of", "write_parquet"]
