"""The store of several processes on one machine: one file, no server to start.

The file is in write-ahead mode. What was acknowledged survives a killed process; tokens, sessions and logins survive a
power failure too. Each operation is one transaction; SQLite lets one process write at a time and the others wait,
bounded.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from .._core.base.fork_lock import Guard
from .._core.base.store import (
    LEASE_MEMORY,
    SECRET_TOPICS,
    Changes,
    Epoch,
    Lease,
    Mark,
    check_lease,
    check_lifetime,
    check_name,
    check_value,
)
from ..exceptions import ConfigurationException, StoreException, printable
from ._encrypted import Sealer
from ._memory import memory_lost, store_full

#: The layout of the file; a file of another one is not touched.
LAYOUT: Final = 1
#: Seconds that an operation waits for another process, at most, unless told otherwise.
DEFAULT_TIMEOUT = 2.0
#: Seconds between two sweeps of what is over, and rows that one of them takes.
_SWEPT_EVERY = 30.0
_SWEPT_ROWS = 1000
#: Seconds between two attempts to open a file that others are opening.
_TRIED_EVERY = 0.01
#: Seconds between two attempts to write: at first, and after a second of waiting.
_ASKED_FIRST, _ASKED_LAST = 0.002, 0.0002
#: Seconds that SQLite can be told to wait itself: its number of milliseconds has 31 bits.
_LONGEST_WAIT = 2_000_000.0
#: Marks that one call of ``changes`` returns.
_MARKS_AT_ONCE = 1000

_TABLES = """
CREATE TABLE entries (topic TEXT, key TEXT, value BLOB, expires REAL, PRIMARY KEY (topic, key)) WITHOUT ROWID;
CREATE INDEX entries_expire ON entries (expires);
CREATE TABLE leases (topic TEXT, key TEXT, number INTEGER, until REAL, PRIMARY KEY (topic, key)) WITHOUT ROWID;
CREATE TABLE marks (number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, value BLOB, expires REAL);
CREATE TABLE numbers (number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE memory (name TEXT, since REAL);
"""


class SqliteStore:
    """Keep everything in one file that several processes share.

    Args:
        path: The file. It is made if it is not there, readable by its owner only; one that others can read is refused.
        encryption_key: 32 bytes, or several such keys, the newest first: values are sealed, see
            :class:`~py_identity_model.stores.EncryptedStore`.
        timeout: Seconds that an operation waits for another process, at most.
        clock: Returns seconds since 1970; the same in all processes.

    Raises:
        ConfigurationException: The file is another user's or readable by others (``store_permissions``), of another
            layout (``store_layout_unknown``), or a key is no 32 bytes.
        StoreException: The file cannot be opened.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = SqliteStore(pathlib.Path(folder) / "store.db")
    ...     store.put("tokens", "a", b"value", 60), store.get("tokens", "a")
    ...     store.close()
    (True, b'value')
    """

    engine = "sqlite"
    blocking = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encryption_key: bytes | Sequence[bytes] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_lifetime(timeout)
        self._sealer = Sealer(encryption_key) if encryption_key is not None else None
        self.authenticated: bool = self._sealer is not None
        self._path = os.path.abspath(path)
        self._timeout = timeout
        self._clock = clock
        self._lock = Guard()
        self._connection: sqlite3.Connection | None = None
        #: The process and the file that the connection belongs to: neither survives a fork, or a file replaced.
        self._opened_for: tuple[int, int, int] | None = None
        self._swept_at = 0.0

    def __repr__(self) -> str:
        return f"SqliteStore({self._path!r})"

    # ---- operations

    def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`~py_identity_model.stores.Store.get`."""
        check_name(topic, key)
        with self._reading() as db:
            return self._opened(topic, key, self._value(db, topic, key))

    def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        check_value(topic, key, value, lifetime)
        check_lease(lease, topic, key)
        with self._writing(topic) as db:
            return self._holds(db, lease) and self._write(db, topic, key, value, lifetime)

    def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.add`."""
        check_value(topic, key, value, lifetime)
        with self._writing(topic) as db:
            if made_at is not None and made_at < self._memory(db).since:
                raise memory_lost()
            return self._value(db, topic, key) is None and self._write(db, topic, key, value, lifetime)

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        check_value(topic, key, value, lifetime)
        check_lease(lease, topic, key)
        with self._writing(topic) as db:
            found = self._opened(topic, key, self._value(db, topic, key))
            fits = found == expected and self._holds(db, lease)
            return fits and self._write(db, topic, key, value, lifetime)

    def delete(self, topic: str, key: str) -> bool:
        """See :meth:`~py_identity_model.stores.Store.delete`."""
        check_name(topic, key)
        with self._writing(topic) as db:
            sql = "DELETE FROM entries WHERE topic = ? AND key = ? RETURNING expires"
            gone = db.execute(sql, (topic, key)).fetchall()
            return any(expires > self._clock() for (expires,) in gone)

    def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`~py_identity_model.stores.Store.lease`."""
        check_name(topic, key)
        check_lifetime(lifetime)
        with self._writing(topic) as db:
            now = self._clock()
            sql = "SELECT 1 FROM leases WHERE topic = ? AND key = ? AND until > ?"
            if db.execute(sql, (topic, key, now)).fetchone():
                return None
            number = db.execute("INSERT INTO numbers DEFAULT VALUES").lastrowid or 0
            db.execute("DELETE FROM numbers WHERE number < ?", (number,))
            db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", (topic, key, number, now + lifetime))
            return Lease(topic, key, number)

    def release(self, lease: Lease) -> bool:
        """See :meth:`~py_identity_model.stores.Store.release`."""
        with self._writing(lease.topic) as db:
            now = self._clock()
            sql = "UPDATE leases SET until = ? WHERE topic = ? AND key = ? AND number = ? AND until > ?"
            return db.execute(sql, (now, lease.topic, lease.key, lease.number, now)).rowcount > 0

    def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`~py_identity_model.stores.Store.publish`."""
        check_value(topic, "-", value, lifetime)
        with self._writing(topic) as db:
            sql = "INSERT INTO marks (topic, value, expires) VALUES (?, ?, ?)"
            db.execute(sql, (topic, self._sealed(topic, "-", value), self._clock() + lifetime))

    def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`~py_identity_model.stores.Store.changes`."""
        check_name(topic)
        memory, _, after = (cursor or "").rpartition(":")
        with self._reading() as db:
            name = self._memory(db).name
            # A cursor of another memory counts for nothing: everything there is now is new.
            first = int(after) if memory == name and after.isdecimal() else 0
            sql = "SELECT number, value, expires FROM marks WHERE topic = ? AND number > ? ORDER BY number LIMIT ?"
            found = db.execute(sql, (topic, first, _MARKS_AT_ONCE)).fetchall()
        now = self._clock()
        marks = tuple(Mark(bytes(value), expires) for _, value, expires in found if expires > now)
        last = found[-1][0] if found else first
        changes = Changes(f"{name}:{last}", marks, complete=len(found) < _MARKS_AT_ONCE, memory=name)
        return changes if self._sealer is None else self._sealer.opened(topic, changes)

    def epoch(self) -> Epoch:
        """See :meth:`~py_identity_model.stores.Store.epoch`."""
        with self._reading() as db:
            return self._memory(db)

    def close(self) -> None:
        """Close the file. It opens again when the store is used."""
        with self._lock:
            self._drop_connection()

    # ---- rows

    def _value(self, db: sqlite3.Connection, topic: str, key: str) -> bytes | None:
        sql = "SELECT value FROM entries WHERE topic = ? AND key = ? AND expires > ?"
        row = db.execute(sql, (topic, key, self._clock())).fetchone()
        return bytes(row[0]) if row else None

    def _write(self, db: sqlite3.Connection, topic: str, key: str, value: bytes, lifetime: float) -> bool:
        now = self._clock()
        row = topic, key, self._sealed(topic, key, value), now + lifetime
        db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", row)
        if abs(now - self._swept_at) >= _SWEPT_EVERY:
            self._swept_at = now
            self._sweep(db, now)
        return True

    def _sealed(self, topic: str, key: str, value: bytes) -> bytes:
        return value if self._sealer is None else self._sealer.seal(topic, key, value)

    def _opened(self, topic: str, key: str, data: bytes | None) -> bytes | None:
        return data if self._sealer is None else self._sealer.open(topic, key, data)

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        old = "(SELECT topic, key FROM entries WHERE expires <= ? LIMIT ?)"
        db.execute(f"DELETE FROM entries WHERE (topic, key) IN {old}", (now, _SWEPT_ROWS))
        db.execute("DELETE FROM marks WHERE expires <= ?", (now,))
        db.execute("DELETE FROM leases WHERE until <= ?", (now - LEASE_MEMORY,))

    def _holds(self, db: sqlite3.Connection, lease: Lease | None) -> bool:
        if lease is None:
            return True
        sql = "SELECT number FROM leases WHERE topic = ? AND key = ?"
        row = db.execute(sql, (lease.topic, lease.key)).fetchone()
        return row is None or row[0] <= lease.number

    def _memory(self, db: sqlite3.Connection) -> Epoch:
        return Epoch(*db.execute("SELECT name, since FROM memory").fetchone())

    # ---- transactions

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            yield self._open()

    @contextmanager
    def _writing(self, topic: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            db = self._open()
            # What a power failure must not take is on the disk before it is acknowledged; that costs milliseconds.
            db.execute(f"PRAGMA synchronous = {'FULL' if topic in SECRET_TOPICS else 'NORMAL'}")
            self._begin(db)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _begin(self, db: sqlite3.Connection) -> None:
        """Take the right to write, within the time that an operation may wait.

        SQLite's own waiting asks more rarely the longer it lasts, down to ten times a second, while whoever has just
        written asks again at once: of eight busy writers some waited for seconds. Here those who wait longest ask most
        often, so that each has its turn.
        """
        began = time.monotonic()
        db.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    db.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    waited = time.monotonic() - began
                    if not _is_busy(error) or waited >= self._timeout:
                        raise
                else:
                    return
                time.sleep(max(_ASKED_LAST, _ASKED_FIRST * (1 - waited)))
        finally:
            db.execute(f"PRAGMA busy_timeout = {min(self._timeout, _LONGEST_WAIT) * 1000:.0f}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what SQLite raises into exceptions of our own; none of them shows a value."""
        failed: StoreException | None = None
        try:
            yield
        except sqlite3.Error as error:
            failed = _failure(error, self._path)
            if failed.code != "store_busy":
                self._drop_connection()
        except OSError as error:
            failed = _away(self._path, type(error).__name__)
        if failed is not None:
            raise failed

    def _open(self) -> sqlite3.Connection:
        """Return the connection of this process to the file that is there now."""
        if self._connection is not None and self._opened_for != (os.getpid(), *file_id(self._path)):
            self._drop_connection()
        if self._connection is None:
            _prepare_file(self._path)
            self._connection = self._connect()
            self._opened_for = os.getpid(), *file_id(self._path)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        """Open the file, as often as several processes that do so at once make it necessary.

        A change to write-ahead mode does not wait for other processes by itself, however long SQLite may wait.
        """
        give_up_at = time.monotonic() + self._timeout
        while True:
            try:
                return self._connect_once()
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= give_up_at:
                    raise
            time.sleep(_TRIED_EVERY)

    def _connect_once(self) -> sqlite3.Connection:
        waits = min(self._timeout, _LONGEST_WAIT)
        db = sqlite3.connect(self._path, timeout=waits, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            self._begin(db)
            layout = db.execute("PRAGMA user_version").fetchone()[0]
            if layout == 0:
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO memory VALUES (?, ?)", (secrets.token_urlsafe(12), self._clock()))
                db.execute(f"PRAGMA user_version = {LAYOUT}")
            db.execute("COMMIT")
            if layout not in (0, LAYOUT):
                raise _other_layout(self._path, layout)
        except BaseException:
            db.close()
            raise
        return db

    def _drop_connection(self) -> None:
        db, opened_for = self._connection, self._opened_for
        self._connection = self._opened_for = None
        # A connection of the parent process is left alone: to close it here would undo the locks it has there.
        if db is not None and opened_for is not None and opened_for[0] == os.getpid():
            db.close()
        elif db is not None:
            _inherited.append(db)


#: Connections of a parent process: kept, so that they are never closed in a child.
_inherited: list[Any] = []


def file_id(path: str) -> tuple[int, int]:
    """Return what tells one file at *path* from the next; zeros where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


def _prepare_file(path: str) -> None:
    """Make the file for its owner only, or make sure that it is."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if os.name != "posix":
        return
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigurationException(
            f"The store {printable(path, 200)} must be a file that only its owner can read and write",
            code="store_permissions",
            claim="path",
            expected="mode 600, owned by the user of this process",
            actual=f"mode {stat.S_IMODE(found.st_mode):o}, owned by {found.st_uid}",
            hint="chmod 600 the file, or let the store make it",
        )


def _other_layout(path: str, layout: int) -> ConfigurationException:
    return ConfigurationException(
        f"The store {printable(path, 200)} has a layout that this version does not know",
        code="store_layout_unknown",
        claim="path",
        expected=LAYOUT,
        actual=layout,
        hint="a newer version of the library made it, or it is no store",
    )


def _failure(error: sqlite3.Error, path: str) -> StoreException:
    """Return the exception for what SQLite raised, told apart by its code (https://sqlite.org/rescode.html)."""
    primary = _primary_code(error)
    if _is_busy(error):
        return StoreException(
            f"The store {printable(path, 200)} is in use by another process",
            code="store_busy",
            retry_after=1.0,
            hint="raise timeout, or take RedisStore for many writers",
        )
    if primary == sqlite3.SQLITE_FULL:
        return store_full("disk")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreException(
            f"The store {printable(path, 200)} is damaged", code="store_damaged", hint="move it away; a new one is made"
        )
    if primary == sqlite3.SQLITE_READONLY:
        return StoreException(f"The store {printable(path, 200)} cannot be written to", code="store_read_only")
    return _away(path, getattr(error, "sqlite_errorname", None) or type(error).__name__)


def _primary_code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _is_busy(error: sqlite3.Error) -> bool:
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _away(path: str, reason: str) -> StoreException:
    return StoreException(f"The store {printable(path, 200)} cannot be used: {reason}", code="store_unavailable")


__all__ = ["DEFAULT_TIMEOUT", "LAYOUT", "SqliteStore", "file_id"]
