"""One issuer's trust: where its keys come from, what its tokens must be, and what verified under its present keys."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from ..discovery.trust import KeySource, Trust
from ..jose.verification_keys import PreparedKey
from .claim_checks import ClaimPolicy, Claims, Terms, everyday, everyday_terms
from .engine import Engine, Judge, ManyReader, Reader
from .issuers import IssuerTemplate, TrustedIssuer
from .trials import Trials

if TYPE_CHECKING:
    from .asked_key_sets import Places

#: Header segments remembered per issuer and key set; an issuer has a handful.
MAX_HEADERS = 64


class TrustSnapshot:
    """The keys of one issuer at one time, ready to verify; :meth:`IssuerTrust.remember` swaps it for another."""

    __slots__ = ("entry", "holds", "issuers", "judge", "nullable", "read", "read_many", "table", "terms", "trust")

    def __init__(
        self,
        trust: Trust,
        issuers: frozenset[str] | None,
        policy: ClaimPolicy,
        engine: Engine,
        table: dict[str, PreparedKey],
    ) -> None:
        self.trust: Trust = trust
        self.entry: object = trust.entry
        self.issuers: frozenset[str] | None = issuers
        self.holds: Callable[[Claims, float], bool] = everyday(policy, issuers)
        self.table: dict[str, PreparedKey] = table
        self.terms: Terms | None = everyday_terms(policy, issuers)
        self.nullable: tuple[str, ...] = self.terms.required if self.terms is not None else ()
        self.read: Reader
        self.read_many: ManyReader
        self.judge: Judge | None
        self.read, self.read_many, self.judge = engine.readers(table, self.terms)


class IssuerTrust:
    """One issuer's trust: where its keys come from and what its tokens must be."""

    __slots__ = (
        "algorithms",
        "engine",
        "issuers",
        "name",
        "others",
        "peek",
        "places",
        "policy",
        "snapshot",
        "source",
        "template",
        "trials",
        "trusted",
        "until",
    )

    def __init__(
        self,
        source: KeySource,
        policy: ClaimPolicy,
        algorithms: tuple[str, ...] | None,
        engine: Engine,
        issuers: frozenset[str] | None,
        template: IssuerTemplate | None = None,
    ) -> None:
        self.source: KeySource = source
        self.peek: Callable[[float], object | None] = source.peek
        self.policy: ClaimPolicy = policy
        self.algorithms: tuple[str, ...] | None = algorithms
        self.engine: Engine = engine
        #: Issuers accepted; None where the source's metadata names the one.
        self.issuers: frozenset[str] | None = issuers
        self.template: IssuerTemplate | None = template
        #: What the application said of an issuer it brought, and until when that counts on the steady clock.
        self.trusted: TrustedIssuer | None = None
        self.until: float = inf
        #: Where an issuer that was brought stands until its first good signature.
        self.trials: Trials | None = None
        self.snapshot: TrustSnapshot | None = None
        #: Which of the issuer's key sets this is, the trust in its other ones, and who waits for those.
        self.name: str | None = None
        self.others: tuple[IssuerTrust, ...] = ()
        self.places: Places | None = None

    @property
    def sets(self) -> tuple[IssuerTrust, ...]:
        """The trust in each of the issuer's key sets."""
        return (self, *self.others)

    def signing(self, policy: ClaimPolicy) -> IssuerTrust:
        """Return the trust in the same keys, for what the issuer signs beside tokens."""
        first, *others = (one._signing_alone(policy) for one in self.sets)
        first.others, first.places = tuple(others), self.places
        return first

    def _signing_alone(self, policy: ClaimPolicy) -> IssuerTrust:
        copy = IssuerTrust(self.source, policy, self.algorithms, self.engine, None)
        copy.name = self.name
        return copy

    def accepted(self, trust: Trust) -> frozenset[str] | None:
        """Return the values of ``iss`` accepted under *trust*; None where the check was given up by name."""
        if not self.policy.check_issuer:
            return None
        if self.issuers is not None:
            return self.issuers
        return frozenset((trust.issuer,)) if trust.issuer else frozenset()

    def take(self, trust: Trust) -> TrustSnapshot:
        """Return the snapshot for *trust*, a new one if its keys are new."""
        snapshot = self.snapshot
        if snapshot is None or snapshot.trust.entry is not trust.entry or snapshot.trust.issuer != trust.issuer:
            issuers = self.accepted(trust)
            snapshot = self.snapshot = TrustSnapshot(trust, issuers, self.policy, self.engine, {})
        return snapshot

    def remember(self, snapshot: TrustSnapshot, header: str, key: PreparedKey) -> None:
        """Keep a header segment that verified. An issuer that varies its headers endlessly gains nothing by it."""
        if not all(map(key.key.signs_for, snapshot.issuers or (None,))):
            return  # each token's issuer is held against the key's, which the warm path does not do
        if header not in snapshot.table and len(snapshot.table) < MAX_HEADERS and self.snapshot is snapshot:
            table = {**snapshot.table, header: key}
            self.snapshot = TrustSnapshot(snapshot.trust, snapshot.issuers, self.policy, self.engine, table)


__all__ = ["MAX_HEADERS", "IssuerTrust", "TrustSnapshot"]
