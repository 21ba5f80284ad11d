"""Files with a token per row, read as a stream: JSON Lines, CSV, Parquet, or plain lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ._arrow import pyarrow
from .exceptions import ConfigurationException, printable

#: Formats by the endings of the names of files.
FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "lines",
}


#: Octets of a Parquet file that are read at once.
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a file, in order.

    Attributes:
        first: The number of the first, counted from 1.
        tokens: What stands where the token should: a string, or something that is no token.
        read: How much of the file has been read with these, in the unit of :attr:`TokenFile.total`.
    """

    first: int
    tokens: list[Any]
    read: int


class TokenFile:
    """A file with a token per row.

    Args:
        path: Where it is.
        form: ``jsonl``, ``csv``, ``parquet`` or ``lines``; by default what the ending of its name says.
        column: The member or column that holds the token. In JSON Lines a row may be the token itself, as a string.

    Raises:
        ConfigurationException: It cannot be read, is of no known format, or has no such column.
    """

    def __init__(self, path: Path, form: str | None = None, column: str = "token") -> None:
        self.path = path
        self.column = column
        self.form = form or FORMATS.get(path.suffix.lower(), "")
        if self.form not in FORMATS.values():
            raise ConfigurationException(
                f"The format of {printable(path.name)} is not known",
                code="format_unknown",
                claim="format",
                expected="jsonl, csv, parquet or lines",
                actual=printable(self.form or path.suffix),
            )
        try:
            stat = path.stat()
        except OSError as error:
            raise _unreadable(path, error.strerror) from None
        #: What tells this file from another, or from itself after a change.
        self.identity = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        #: How much there is to read: rows of a Parquet file, else bytes.
        self.total = self._parquet().metadata.num_rows if self.form == "parquet" else stat.st_size

    def rows(self, count: int, *, skip: int = 0) -> Iterator[Rows]:
        """Yield the rows after the first *skip*, *count* at a time."""
        first = 1
        for tokens, read in self._parts(count):
            last = first + len(tokens)
            if last > skip + 1:
                passed = max(0, skip + 1 - first)
                yield Rows(first + passed, tokens[passed:], read)
            first = last

    def _parts(self, count: int) -> Iterator[tuple[list[Any], int]]:
        try:
            if self.form == "parquet":
                yield from self._columnar(count)
            else:
                with self.path.open("rb") as file:
                    yield from (self._table if self.form == "csv" else self._lines)(file, count)
        except OSError as error:
            raise _unreadable(self.path, error.strerror) from None
        except (csv.Error, UnicodeDecodeError) as error:
            raise _unreadable(self.path, type(error).__name__) from None

    def _lines(self, file: BinaryIO, count: int) -> Iterator[tuple[list[Any], int]]:
        read = 0
        token = self._json_token if self.form == "jsonl" else _line_token
        while lines := list(islice(file, count)):
            read += sum(map(len, lines))
            yield [token(line) for line in lines], read

    def _json_token(self, line: bytes) -> Any:
        try:
            row = msgspec.json.decode(line)
        except (ValueError, RecursionError):
            return None
        return row.get(self.column) if isinstance(row, dict) else row

    def _table(self, file: BinaryIO, count: int) -> Iterator[tuple[list[Any], int]]:
        with io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            names = next(reader, [])
            if self.column not in names:
                raise self._no_column(names)
            at = names.index(self.column)
            while rows := list(islice(reader, count)):
                yield [row[at] if at < len(row) else None for row in rows], file.tell()

    def _columnar(self, count: int) -> Iterator[tuple[list[Any], int]]:
        read = 0
        for array in self.arrays(count):
            read += len(array)
            yield array.to_pylist(), read

    def arrays(self, count: int) -> Iterator[Any]:
        """Yield the column of a Parquet file, *count* rows at a time, as Arrow has them.

        Raises:
            ConfigurationException: There is no such column, or it cannot be read.
        """
        file = self._parquet()
        if self.column not in file.schema_arrow.names:
            raise self._no_column(file.schema_arrow.names)
        try:
            for batch in file.iter_batches(count, columns=[self.column]):
                yield batch.column(0)
        except (pyarrow().ArrowException, OSError) as error:
            raise _unreadable(self.path, type(error).__name__) from None

    def _parquet(self) -> Any:
        arrow, parquet = pyarrow(), pyarrow("pyarrow.parquet")
        try:
            # A row group may hold all rows: it is read in pieces, not at once.
            return parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=_BUFFER)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise _unreadable(self.path, type(error).__name__) from None

    def _no_column(self, names: list[str]) -> ConfigurationException:
        return ConfigurationException(
            f"{printable(self.path.name)} has no column {printable(self.column)!r}",
            code="column_missing",
            claim="column",
            expected=printable(self.column),
            actual=" ".join(printable(name, 40) for name in names[:10]),
        )


def _line_token(line: bytes) -> Any:
    return line.decode("utf-8", "replace").strip()


def _unreadable(path: Path, why: str | None) -> ConfigurationException:
    return ConfigurationException(
        f"{printable(path.name)} cannot be read: {why}", code="file_unreadable", claim="batch", actual=why
    )


__all__ = ["FORMATS", "Rows", "TokenFile"]
