"""What the cache tells a caller to do about a key."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, NamedTuple, TypeAlias

from ...exceptions import NetworkException, PyIdentityModelException
from .entry import Entry, Lease


class RefreshDenied(NetworkException):
    """A forced refresh is not permitted yet; ``retry_after`` says in how many seconds it will be."""

    code = "refresh_denied"

    def __init__(self, retry_after: float) -> None:
        wanted = max(0.0, retry_after)
        super().__init__(f"The next forced refresh is permitted in {wanted:.1f} s", retry_after=wanted)


class RefreshCrowded(RefreshDenied):
    """As many callers as may wait for new keys do so already; ``retry_after`` says when to ask again, in seconds."""

    code = "refresh_crowded"

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.message = f"Enough callers wait for new keys already; ask again in {self.retry_after:.1f} s"
        self.args = (self.message,)


class Use(NamedTuple):
    """Take *entry*. The caller that gets a *lease* refreshes in the background; *young* is worth *patience* seconds."""

    entry: Entry[Any]
    lease: Lease | None = None
    young: Lease | None = None
    patience: float = 0.0


class Lead(NamedTuple):
    """You fetch."""

    lease: Lease


class Follow(NamedTuple):
    """Another caller is fetching; wait for it *until* then. *place* is one of the places that are counted."""

    lease: Lease
    until: float
    place: float | None = None


class Later(NamedTuple):
    """A forced refresh is permitted *at* that time; *gate* resolves if one ends earlier. Then ask again."""

    gate: Future[None]
    at: float
    place: float | None = None


class Refuse(NamedTuple):
    """There is nothing to use now, and trying again is not permitted yet."""

    error: PyIdentityModelException


Answer: TypeAlias = Use | Lead | Follow | Later | Refuse

__all__ = ["Answer", "Follow", "Later", "Lead", "RefreshCrowded", "RefreshDenied", "Refuse", "Use"]
