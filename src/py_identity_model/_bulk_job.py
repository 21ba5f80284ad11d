"""The bulk job: every token of a file judged on all cores, with results in a file, and able to go on where it was.

While it runs, results are in ``OUTPUT.part`` and how far they go is in ``OUTPUT.state``, which is replaced in one step
and never ahead of the results. ``OUTPUT`` itself appears when all is done. ``OUTPUT.lock`` is held meanwhile: of two
jobs with one output the second is refused, and the system lets go of the lock if the first one dies.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import msgspec

from ._arrow import Listed
from ._bulk_files import Rows, TokenFile
from ._bulk_tables import Part, RowTables, Window, windows_of, write_parquet
from ._core.validation.columns import REFUSED, VALID, Column, columns_of, columns_suffice
from ._file_lock import FileLock
from ._offload import cores
from ._refusals import bounded, must_be, refused
from .bulk import BatchValidator, pickled, verdict
from .exceptions import ConfigurationException, PyIdentityModelException, printable
from .sync._validation import TokenValidator

#: Rows that one process works on at a time: some 20 ms of work, and about 1 MB to send.
ROWS = 1000
#: Seconds between two records of how far the job is.
RECORD_EVERY = 1.0


@dataclass
class Summary:
    """What became of the rows of a file.

    Attributes:
        rows: All of them.
        valid: Rows with a valid token.
        refused: Rows whose token is not valid, by code.
        unverified: Rows whose token could not be verified, by code.
        seconds: What it took, without what an earlier run did.
        resumed: Rows that an earlier run had done.
    """

    rows: int = 0
    valid: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unverified: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    resumed: int = 0

    @property
    def rate(self) -> float:
        """Rows per second."""
        return (self.rows - self.resumed) / self.seconds if self.seconds > 0 else 0.0

    def add(self, rows: int, counts: Counter[tuple[str, str]]) -> None:
        """Count some rows more."""
        self.rows += rows
        for (kind, code), count in counts.items():
            if kind == VALID:
                self.valid += count
                continue
            table = self.refused if kind == REFUSED else self.unverified
            table[code] = table.get(code, 0) + count

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {**asdict(self), "seconds": round(self.seconds, 3), "rate": round(self.rate, 1)}


class Progress(NamedTuple):
    """How far a job is: *read* of *total*, in bytes or rows of the file, and rows done."""

    read: int
    total: int
    rows: int


class WorkerDied(PyIdentityModelException):
    """A worker process ended before its work was done."""

    code = "worker_died"


def validate_file(
    path: str | os.PathLike[str],
    validator: TokenValidator,
    output: str | os.PathLike[str] | None = None,
    *,
    form: str | None = None,
    column: str = "token",
    claims: bool | Iterable[str] | Mapping[str, type] = False,
    workers: int | None = None,
    restart: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Summary:
    """Judge every token of a file.

    Args:
        path: JSON Lines, CSV, Parquet, or lines; read as a stream.
        validator: The policy. It is warmed up first, and its keys are sent to the workers.
        output: Where results go, as JSON Lines: ``row`` (from 1), ``verdict``, ``code``, ``claim``, ``message``; or, if
            its name ends in ``.parquet``, as columns: ``row``, ``verdict``, ``code`` and claims. It must not exist. A
            job that was interrupted goes on where it was when it is started again.
        form: The format, if the ending of the name does not say it: ``jsonl``, ``csv``, ``parquet`` or ``lines``.
        column: The member or column that holds the tokens.
        claims: Whether results have the claims of valid tokens, or which: names, or names and types as for
            :meth:`TokenValidator.validate_columns`. A Parquet file has the columns that are named.
        workers: Processes; by default one per core. With 1 all is done in this process. Where a Parquet file is written
            and the native engine needs nothing from Python, threads do what processes do elsewhere.
        restart: Begin anew even if a job was interrupted, and replace results that are there.
        progress: Told every now and then how far it is.

    Returns:
        What became of the rows, those of an earlier run included.

    Raises:
        ConfigurationException: The file, the output or the settings cannot be used.
        NetworkException: The provider cannot be reached; no row was judged.
        WorkerDied: A worker process was ended from outside.
    """
    file, count = TokenFile(Path(path), form, column), _count(workers)
    columns = () if isinstance(claims, bool) else columns_of(claims)
    tables = _tables_for(output, validator, columns, claims)
    judge = BatchValidator(validator, column, claims=bool(claims))
    validator.warm_up()
    started = time.monotonic()
    with _results(output, _job_name(file, validator, columns or claims), restart, tables) as results:
        summary = results.summary
        if tables is None:
            parts = _judged(judge, file.rows(ROWS, skip=summary.rows), count, [name for name, _ in columns])
        else:
            parts = _in_tables(tables, validator, columns, windows_of(file, summary.rows), count)
        try:
            for part, read in parts:
                results.add(part)
                summary.seconds = time.monotonic() - started
                progress(Progress(read, file.total, summary.rows))
        finally:
            summary.seconds = time.monotonic() - started
        results.finish()
        summary.seconds = time.monotonic() - started
    return summary


def _tables_for(
    output: str | os.PathLike[str] | None, validator: TokenValidator, columns: Sequence[Column], claims: object
) -> RowTables | None:
    if output is None or Path(output).suffix.lower() != ".parquet":
        return None
    if claims is True:
        raise must_be("claims", "the claims that are to be columns of the Parquet file")
    return RowTables(validator, columns)


def _job_name(file: TokenFile, validator: TokenValidator, claims: object) -> str:
    """Return what tells this job from another one: its file, and the policy as far as it is data."""
    code = ("keys", "claims_validator", "issuer_resolver", "http_client", "engine")
    policy = {name: value for name, value in validator._given.items() if name not in code}
    return sha256(f"{file.identity} {file.form} {file.column} {claims} {policy}".encode()).hexdigest()


def _judge_rows(judge: BatchValidator, first: int, tokens: list[Any], names: Sequence[str]) -> Part:
    lines, counts = [], Counter[tuple[str, str]]()
    for row, outcome in enumerate(judge.outcomes(tokens), first):
        found = verdict(outcome)
        counts[found["verdict"], found.get("code") or ""] += 1
        if not judge._claims:
            found.pop("claims", None)
        elif names and "claims" in found:
            found["claims"] = {name: found["claims"][name] for name in names if name in found["claims"]}
        lines.append(msgspec.json.encode({"row": row, **found}))
    return Part(len(tokens), b"\n".join(lines) + b"\n", counts)


#: A function and its arguments.
Task: TypeAlias = tuple[Any, ...]
_mine: Any = None


def _start(mine: bytes) -> None:
    """Receive what judges, once per process."""
    global _mine
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which ends its workers in order
    _mine = pickle.loads(mine)


def _work(first: int, tokens: list[Any], names: Sequence[str]) -> Part:
    return _judge_rows(_mine, first, tokens, names)


def _work_on_columns(first: int, tokens: list[Any], columns: Sequence[Column]) -> Part:
    return RowTables(_mine, columns).part(first, Listed(tokens))


def _judged(
    judge: BatchValidator, rows: Iterator[Rows], workers: int, names: Sequence[str]
) -> Iterator[tuple[Part, int]]:
    """Yield results in the order of the rows, reading no further ahead than keeps all workers busy."""
    begin = list(islice(rows, 2))
    rows = chain(begin, rows)
    if workers == 1 or len(begin) < 2:  # there is nothing to share
        for some in rows:
            yield _judge_rows(judge, some.first, some.tokens, names), some.read
        return
    tasks = (((_work, some.first, some.tokens, names), some.read) for some in rows)
    yield from _spread(_processes(pickled(judge), workers), tasks, workers)


def _in_tables(
    tables: RowTables, validator: TokenValidator, columns: Sequence[Column], rows: Iterator[Window], workers: int
) -> Iterator[tuple[Part, int]]:
    """Do as :func:`_judged` in columns: over threads if these need not wait for each other in Python."""
    if workers == 1:
        for some in rows:
            yield tables.part(some.first, some.tokens), some.read
        return
    threads = columns_suffice(validator._validator)
    pool = ThreadPoolExecutor(workers) if threads else _processes(pickled(validator), workers)

    def task(some: Window) -> Task:
        if threads:
            return tables.part, some.first, some.tokens
        return _work_on_columns, some.first, some.tokens.at(range(len(some.tokens))), columns

    yield from _spread(pool, ((task(some), some.read) for some in rows), workers)


def _processes(mine: bytes, workers: int) -> Executor:
    # Forked processes would inherit locks of threads that they do not have.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_start, initargs=(mine,))


def _spread(pool: Executor, tasks: Iterator[tuple[Task, int]], workers: int) -> Iterator[tuple[Part, int]]:
    waiting: deque[tuple[Future[Part], int]] = deque()
    try:
        for task, read in tasks:
            waiting.append((pool.submit(*task), read))
            if len(waiting) > 2 * workers:
                done, upto = waiting.popleft()
                yield done.result(), upto
        while waiting:
            done, upto = waiting.popleft()
            yield done.result(), upto
    except BrokenProcessPool:
        raise WorkerDied("A worker process ended before its work was done; start the job again to go on") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _count(workers: int | None) -> int:
    if workers is None:
        return cores()
    return bounded(workers, "workers", int, 1, 1024, unit="processes")


class _Results:
    """Counts results, and keeps none."""

    def __init__(self) -> None:
        self.summary = Summary()

    def add(self, part: Part) -> None:
        self.summary.add(part.rows, part.counts)

    def finish(self) -> None:
        pass


class _ResultFile(_Results):
    """Counts results and writes them; while it does, no other job may have the same output."""

    def __init__(self, path: Path, job: str, restart: bool, tables: RowTables | None) -> None:
        super().__init__()
        self._tables = tables
        self._path = path
        self._lock = _locked(path)
        try:
            self._begin(path, job, restart)
        except BaseException:  # whatever it was, the lock must not outlive it
            self._lock.release()
            raise

    def _begin(self, path: Path, job: str, restart: bool) -> None:
        self._part = path.with_name(path.name + ".part")
        self._state = path.with_name(path.name + ".state")
        self._job = job
        self._written = 0
        self._recorded = time.monotonic()
        if path.exists() and not restart:
            raise _refused("output_exists", f"{printable(path.name)} exists already")
        if restart:
            with _telling_of(path):
                self._state.unlink(missing_ok=True)  # or after a crash it would speak of other results
        else:
            self._take_up()
        self._file = self._open()
        if self._tables is not None and not self._written:
            self._write(self._tables.head())

    def add(self, part: Part) -> None:
        super().add(part)
        self._write(part.lines)
        if time.monotonic() - self._recorded >= RECORD_EVERY:
            self.record()

    def _write(self, octets: bytes) -> None:
        with _telling_of(self._part):
            self._file.write(octets)
        self._written += len(octets)

    def record(self) -> None:
        """Have what is written on disk, and then what says so."""
        state = {"job": self._job, "written": self._written, "summary": asdict(self.summary)}
        fresh = self._state.with_name(self._state.name + ".new")
        with _telling_of(self._part):
            self._file.flush()
            os.fsync(self._file.fileno())
            fresh.write_text(json.dumps(state))
            fresh.replace(self._state)
        self._recorded = time.monotonic()

    def finish(self) -> None:
        self.record()
        with _telling_of(self._part):
            self._file.close()
            if self._tables is None:
                self._part.replace(self._path)
            else:
                self._finish_table()
            self._state.unlink(missing_ok=True)

    def _finish_table(self) -> None:
        fresh = self._part.with_name(self._part.name + ".new")
        with suppress(FileNotFoundError):
            fresh.unlink()
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        write_parquet(self._part, fresh)
        fresh.replace(self._path)
        self._part.unlink()

    def close(self) -> None:
        """Leave everything such that the job can be taken up again."""
        try:
            if not self._file.closed:
                self.record()
        finally:
            with suppress(OSError):  # told of by record(), which flushed
                self._file.close()
            self._lock.release()

    def _take_up(self) -> None:
        try:
            state = json.loads(self._state.read_text())
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            raise _refused("state_unreadable", f"{printable(self._state.name)} cannot be read") from None
        if state.get("job") != self._job:
            raise _refused("job_changed", "The job that was interrupted had another file or another policy")
        self.summary = Summary(**state["summary"])
        self.summary.resumed = self.summary.rows
        self._written = state["written"]

    def _open(self) -> BinaryIO:
        # Results may hold claims, which are nobody else's business.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        try:
            file = os.fdopen(os.open(self._part, flags, 0o600), "r+b")
        except OSError as error:
            raise _refused("output_unwritable", f"{printable(self._part.name)}: {error.strerror}") from None
        if os.fstat(file.fileno()).st_size < self._written:
            file.close()
            raise _refused("state_unreadable", f"{printable(self._part.name)} lacks results that were recorded")
        file.truncate(self._written)
        file.seek(self._written)
        return file


def _locked(path: Path) -> FileLock:
    with _telling_of(path):
        try:
            return FileLock(path.with_name(path.name + ".lock"))
        except BlockingIOError:
            pass
    raise ConfigurationException(
        f"Another job is writing {printable(path.name)}",
        code="output_in_use",
        claim="output",
        hint="wait until it is done, or name another output",
    )


@contextmanager
def _telling_of(path: Path) -> Iterator[None]:
    """Name the file in errors of the system: a full disk, a folder that is gone."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _refused("output_unwritable", f"{printable(path.name)}: {reason}") from None


def _results(
    output: str | os.PathLike[str] | None, job: str, restart: bool, tables: RowTables | None
) -> AbstractContextManager[_Results]:
    return nullcontext(_Results()) if output is None else _closing(_ResultFile(Path(output), job, restart, tables))


@contextmanager
def _closing(results: _ResultFile) -> Iterator[_Results]:
    try:
        yield results
    finally:
        results.close()


_refused = partial(refused, ConfigurationException, claim="output", hint="restart=True (--restart) begins anew")


__all__ = ["Progress", "Summary", "WorkerDied", "validate_file"]
