"""A lock on a file that the system lets go of when its holder dies, however it dies."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        # Not lockf: two jobs in one process are two holders as well.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """The lock that *path* stands for; the file is there while it is held.

    Raises:
        BlockingIOError: Another holds it.
        OSError: The file cannot be made or locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _take(self._descriptor)
            self._check()
        except OSError as error:
            os.close(self._descriptor)
            if isinstance(error, PermissionError):  # so says Windows of a lock that another holds
                raise BlockingIOError from None
            raise

    def _check(self) -> None:
        """Refuse a file that its last holder took away between our opening and our locking it."""
        try:
            same = os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            same = False
        if not same:
            raise BlockingIOError

    def release(self) -> None:
        """Let go of the lock, and take the file away."""
        if sys.platform != "win32":
            self._path.unlink(missing_ok=True)  # while it is still ours
        os.close(self._descriptor)
        if sys.platform == "win32":
            with suppress(OSError):  # the next holder may have it open
                self._path.unlink(missing_ok=True)


__all__ = ["FileLock"]
