"""Several key sets of one issuer that are asked: who may wait for them, and what is said if none verifies a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ...exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    TransportException,
    UnknownKeyException,
)
from ..base.fork_lock import Guard
from ..cache.answers import RefreshCrowded
from ..cache.entry import GRACE, copied


class Places:
    """The places for callers that wait for a key set with nothing in it, while others of the issuer have keys.

    Their tokens may be forged. For a moment after the first of them came all may wait, so that a start costs no valid
    token; then only so many at a time.

    Args:
        most: Places.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._lock = Guard()
        #: When the first caller came since the last time that all sets had keys, on the steady clock.
        self._since: float | None = None

    def filled(self) -> None:
        """Note that all sets have keys."""
        self._since = None

    def take(self, steady: float, end: float) -> tuple[bool, float]:
        """Return whether there was a place, which has to be given back, and until when the caller may wait."""
        with self._lock:
            since = self._since = steady if self._since is None else self._since
            if self._free <= 0:
                return False, min(end, since + GRACE)
            self._free -= 1
        return True, end

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._free += 1


@contextmanager
def waiting(places: Places | None, steady: float, end: float) -> Iterator[float]:
    """Tell until when the caller may wait for empty key sets; with *places*, it may have to take one of them."""
    if places is None:
        yield end
        return
    place, until = places.take(steady, end)
    try:
        yield until
    finally:
        if place:
            places.leave()


def late(crowded: bool) -> NetworkException:
    """Return the error of a key set that is not waited for any longer."""
    if crowded:
        return RefreshCrowded(GRACE)
    return TransportException("it has not answered in the time that the whole operation may take", code="timeout")


class Heard(NamedTuple):
    """What came of asking one key set: its name, whether the token's ``kid`` is in it, and why it verified nothing."""

    name: str
    named: bool
    error: Exception


def unverified(heard: Sequence[Heard], kid: object) -> Exception:
    """Return the refusal of a token that none of the issuer's key sets verifies.

    A set that has the token's ``kid`` decides. Else a set that cannot be asked could have it, so that nobody can tell
    whether the token is valid; only after all of them have answered is its key unknown.
    """
    for one in heard:
        if not isinstance(one.error, PyIdentityModelException) or isinstance(one.error, ConfigurationException):
            return one.error
    outages = [one for one in heard if isinstance(one.error, NetworkException)]
    named = next((one for one in heard if one.named and one not in outages), None)
    if named is not None:
        return _told(named, heard, hint=_silent(outages))
    if outages:
        return _told(outages[0], heard, hint="none of the issuer's other key sets has the token's key")
    unknown = [one for one in heard if isinstance(one.error, UnknownKeyException)]
    others = [one for one in heard if one not in unknown]
    return _told(([*unknown, *others] if kid is not None else [*others, *unknown])[0], heard)


def _silent(outages: Sequence[Heard]) -> str | None:
    return f"of the issuer's key sets this one cannot be asked: {outages[0].name}" if outages else None


def _told(one: Heard, heard: Sequence[Heard], hint: str | None = None) -> PyIdentityModelException:
    error = copied(one.error)
    error.details |= {"key_set": one.name, "key_sets": [each.name for each in heard]}
    if isinstance(error, NetworkException):
        error.message = f"The key set {one.name} cannot be asked: {error.message}"
    elif isinstance(error, UnknownKeyException):
        error.message = f"None of the issuer's {len(heard)} key sets has the token's key: {'; '.join(_kept(heard))}"
    error.args = (error.message, *error.args[1:])
    error.hint = hint or error.hint
    return error


def _kept(heard: Sequence[Heard]) -> Iterator[str]:
    for one in heard:
        keys = getattr(one.error, "details", {}).get("keys", 0)
        yield f"{one.name} has {keys}"


__all__ = ["Heard", "Places", "late", "unverified", "waiting"]
