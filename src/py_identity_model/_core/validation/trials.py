"""How many issuers that never made a good signature are looked up: forged names must not cost a provider requests."""

from __future__ import annotations

from collections import OrderedDict

from ..._refusals import bounded
from ...exceptions import NetworkException, printable
from ..base.fork_lock import Guard

#: Issuers on trial at a time, of one template and of a resolver, which has said yes to each by name.
MAX_OF_A_TEMPLATE = 32
MAX_OF_A_RESOLVER = 256
#: Seconds after which the place of an issuer that made no good signature is free again.
TRIAL = 60.0


class Trials:
    """The places for issuers of one origin, a template or a resolver, whose keys are not known yet.

    An issuer takes a place when something has to be fetched for it, and gives it back with its first good signature.

    Args:
        most: Places.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Guard()
        #: Issuer -> until when it holds its place, on the steady clock; the oldest first.
        self._held: OrderedDict[str, float] = OrderedDict()

    def admit(self, issuer: str, steady: float) -> None:
        """Let the keys of *issuer* be fetched.

        Raises:
            NetworkException: Too many others are on trial; ``retry_after`` says when a place is free for certain.
        """
        with self._lock:
            while self._held and next(iter(self._held.values())) <= steady:
                self._held.popitem(last=False)
            if issuer in self._held:
                return
            if len(self._held) < self._most:
                self._held[issuer] = steady + TRIAL
                return
            first = next(iter(self._held.values()))
        raise NetworkException(
            "Too many issuers that never made a good signature were looked up within a minute",
            code="issuer_trials_exhausted",
            claim="iss",
            expected=f"at most {self._most}",
            actual=printable(issuer),
            retry_after=first - steady,
            hint="IssuerTemplate(max_unverified=...) allows more; allowed=... says which values are trusted at all",
        )

    def passed(self, issuer: str) -> None:
        """Free the place of *issuer*, which made a good signature."""
        with self._lock:
            self._held.pop(issuer, None)


def checked_number(most: object) -> int:
    """Return the number of places that a template is given.

    Raises:
        ConfigurationException: It is no positive integer.
    """
    return bounded(most, "max_unverified", int, 1)


__all__ = ["MAX_OF_A_RESOLVER", "MAX_OF_A_TEMPLATE", "TRIAL", "Trials", "checked_number"]
