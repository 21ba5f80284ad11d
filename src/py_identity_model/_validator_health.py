"""How it stands with a validator, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ._core.base.store_records import StoreHealth
    from ._core.discovery.trust import IssuerHealth
    from ._core.validation.revocations import MarksHealth


@dataclass(frozen=True, slots=True)
class ValidatorHealth:
    """How it stands with a validator.

    Attributes:
        engine: ``pure`` or ``native``.
        issuers: One report per issuer that is known by name or has been met.
        store: How it stands with the store that it shares with other processes; None without one.
        marks: What it knows of revocations; None where it has neither a store nor made a mark.
        multibuffer: Whether batches verify eight signatures at once: on the native engine, on processors that can.
    """

    engine: Literal["pure", "native"]
    issuers: tuple[IssuerHealth, ...]
    store: StoreHealth | None = None
    marks: MarksHealth | None = None
    multibuffer: bool = False

    @property
    def usable(self) -> bool:
        """Whether tokens of every issuer can be verified right now."""
        return all(issuer.usable for issuer in self.issuers) and (self.store is None or self.store.refuses_in != 0)

    @property
    def refuses_in(self) -> float | None:
        """Seconds until tokens of one of the issuers, at least, are refused if what is away now stays away.

        The least of what the issuers say, and of what the store says while it is away; None where nobody says
        anything: nothing has been fetched yet, or all keys were given.
        """
        bounds = [issuer.refuses_in for issuer in self.issuers]
        if self.store is not None:
            bounds.append(self.store.refuses_in)
        return min((bound for bound in bounds if bound is not None), default=None)


__all__ = ["ValidatorHealth"]
