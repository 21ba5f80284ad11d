"""What a validator is built from, beside its issuers, and the policy of claims that is compiled from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...exceptions import ConfigurationException, printable
from ..jose.algorithms import ALGORITHMS, ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS
from ..jose.jws import MAX_TOKEN
from .claim_checks import CLOCK_SKEW, ClaimPolicy, names
from .token_kinds import Kind

if TYPE_CHECKING:
    from .application_rules import ClaimsValidator


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a validator is built from, beside its issuers."""

    kind: Kind
    audience: frozenset[str] | None
    algorithms: tuple[str, ...] | None = None
    leeway: float | None = None
    subject: str | None = None
    required: frozenset[str] = frozenset()
    max_age: float | None = None
    check_issuer: bool = True
    one_audience: bool = False
    claims_validator: ClaimsValidator | None = None
    trusted_audiences: frozenset[str] = frozenset()
    authorized_parties: frozenset[str] = frozenset()
    max_token: int = MAX_TOKEN

    def policy(self, audience: frozenset[str] | None) -> ClaimPolicy:
        """Compile the claim policy for one issuer."""
        return ClaimPolicy(
            self.kind,
            audience if audience is not None else self.audience,
            leeway=self.leeway or 0.0,
            ahead=CLOCK_SKEW if self.leeway is None else self.leeway,
            subject=self.subject,
            required=self.required,
            max_age=self.max_age,
            check_issuer=self.check_issuer,
            one_audience=self.one_audience,
        )


def algorithm_policy(algorithms: object, *, symmetric: bool) -> tuple[str, ...] | None:
    """Return the configured algorithms; None where the default applies.

    Raises:
        ConfigurationException: One is unknown, or symmetric ones come without an explicit secret.
    """
    if algorithms is None:
        return None
    listed = names(algorithms, "algorithms")
    usable = SYMMETRIC_ALGORITHMS if symmetric else ASYMMETRIC_ALGORITHMS
    for alg in listed:
        if alg not in ALGORITHMS or alg not in usable:
            why = (
                "is symmetric and needs an explicit secret" if alg in SYMMETRIC_ALGORITHMS else "is not supported here"
            )
            raise ConfigurationException(
                f"The algorithm {printable(alg)!r} {why}",
                code="algorithm_unsupported",
                claim="algorithms",
                expected=" ".join(usable),
                actual=printable(alg),
            )
    return listed


__all__ = ["Options", "algorithm_policy"]
