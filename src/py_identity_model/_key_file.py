"""Static keys in a file: read again when the file changes, and kept as they are while it cannot be read."""

from __future__ import annotations

import logging
import os

from ._core.base.flow import Flow, now
from ._core.discovery.trust import StaticKeys, Trust
from ._core.jose.key_set import KeySet
from ._validator_arguments import key_set_of
from .exceptions import ConfigurationException, printable
from .observability import emit

#: Seconds between two looks whether the file has changed.
LOOK_EVERY = 1.0


class FileKeys(StaticKeys):
    """The keys in a file, as of at most a second ago.

    Args:
        path: The file: a JWK, a JWK Set or PEM text.
        key_set: What it held when it was first read.
        default_algorithms: Algorithms accepted where the policy names none.
        issuer: Whose keys they are.
        kid_selects: Whether a token's ``kid`` selects even where there is one key.
    """

    refreshable = True

    def __init__(
        self,
        path: os.PathLike[str],
        key_set: KeySet,
        default_algorithms: tuple[str, ...],
        issuer: str | None,
        *,
        kid_selects: bool = False,
    ) -> None:
        super().__init__(key_set, default_algorithms, issuer)
        self._path = path
        self._kid_selects = kid_selects
        self._stamp = _stamp(path)
        self._look_at = 0.0

    def peek(self, steady: float) -> object | None:
        """Return the set in use."""
        if steady >= self._look_at:
            self._look(steady)
        return self._trust.entry

    def ready(self, steady: float) -> Trust | None:
        """Return the set in use."""
        self.peek(steady)
        return self._trust

    def current(self) -> Flow[Trust]:
        """Return the set in use."""
        self.peek((yield from now()).steady)
        return self._trust

    def newer(self, trust: Trust, *, patient: bool, login: bool = False) -> Flow[Trust | None]:
        """Return what the file holds if that is something else than *trust*: an unknown key makes us look at once."""
        self._look((yield from now()).steady)
        return self._trust if self._trust.entry is not trust.entry else None

    def _look(self, steady: float) -> None:
        self._look_at = steady + LOOK_EVERY
        stamp = _stamp(self._path)
        if stamp is None or stamp == self._stamp:
            return  # a file that is gone may be about to be replaced
        # Noted before it is read: what changes meanwhile differs again at the next look.
        self._stamp = stamp
        try:
            found = key_set_of(self._path, kid_selects=self._kid_selects)
            if found.symmetric is not self._trust.key_set.symmetric:
                raise ConfigurationException("The keys are of another kind than before", code="keys_unreadable")
        except ConfigurationException as error:
            emit("key_file_unusable", logging.WARNING, path=printable(os.fspath(self._path)), error=error.code)
            return
        self._trust = Trust(found, found, self._trust.issuer)
        emit("key_file_read", logging.INFO, path=printable(os.fspath(self._path)), keys=len(found.keys))


def _stamp(path: os.PathLike[str]) -> tuple[int, int, int] | None:
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


__all__ = ["LOOK_EVERY", "FileKeys"]
