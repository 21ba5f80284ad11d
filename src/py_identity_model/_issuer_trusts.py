"""What a ``TokenValidator`` makes of an issuer that is trusted: where its keys are, and what its tokens must be."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._core.discovery.trust import StaticKeys, Stores
from ._core.jose.algorithms import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS
from ._core.jose.key_set import KeySet
from ._core.validation.claim_checks import audience_policy
from ._core.validation.engine import Engine
from ._core.validation.issuer_trust import IssuerTrust
from ._core.validation.issuers import TrustedIssuer
from ._core.validation.key_sets import shown
from ._core.validation.validator_options import Options, algorithm_policy
from ._refusals import must_be
from ._validator_arguments import key_set_of
from .exceptions import ConfigurationException, printable

if TYPE_CHECKING:
    from ._core.discovery.key_sources import Address
    from ._core.discovery.metadata import DiscoveryPolicy


@dataclass(frozen=True, slots=True)
class Trusting:
    """Makes the trust in an issuer.

    Attributes:
        options: What the validator demands of every token.
        engine: Who verifies.
        stores: The caches.
        accept_any_audience: Whether the check of ``aud`` was given up by name.
        discovery_policy: What metadata may look like, where an issuer has no policy of its own.
        keys: The keys that the validator was given for its one issuer.
        key_file: Where those are, if that is a file.
    """

    options: Options
    engine: Engine
    stores: Stores
    accept_any_audience: bool
    discovery_policy: DiscoveryPolicy | None
    keys: KeySet | None
    key_file: os.PathLike[str] | None

    def __call__(self, issuer: TrustedIssuer) -> IssuerTrust:
        """Return the trust in an issuer; where it has several key sets, in each of them."""
        if issuer.key_sets is None:
            return self._with_keys(issuer)
        from ._core.validation.asked_key_sets import Places  # few issuers have several

        each = issuer.each()
        first, *others = (self._with_keys(one, kid_selects=True) for one in each)
        symmetric = {one.source.default_algorithms is SYMMETRIC_ALGORITHMS for one in (first, *others)}
        if len(symmetric) > 1:
            # RFC 8725 3.1: a public key must never come near an HMAC, so no policy can hold both.
            raise must_be("key_sets", "all of public keys, or all of shared secrets", code="keys_mixed")
        for trusted, one in zip((first, *others), each, strict=True):
            trusted.name = shown(one, issuer.issuer)
        first.others, first.places = tuple(others), Places(self.stores.max_waiters)
        return first

    def _with_keys(self, issuer: TrustedIssuer, *, kid_selects: bool = False) -> IssuerTrust:
        keys = issuer.keys
        key_set = key_set_of(keys, kid_selects=kid_selects) if keys is not None else None
        symmetric = key_set is not None and key_set.symmetric
        algorithms = self.options.algorithms
        if issuer.algorithms is not None:
            algorithms = algorithm_policy(issuer.algorithms, symmetric=symmetric)
        audience = None if issuer.audience is None else audience_policy(issuer.audience)
        if audience is None and self.options.audience is None and not self.accept_any_audience:
            raise ConfigurationException(
                f"An audience is needed for {printable(issuer.issuer)!r}: tokens made for others must be refused",
                code="policy_invalid",
                claim="audience",
                expected="the name of this API or client",
                hint="accept_any_audience=True gives the check up by name",
            )
        policy = self.options.policy(audience)
        issuers = frozenset((issuer.issuer,))
        if key_set is not None:
            default = SYMMETRIC_ALGORITHMS if symmetric else ASYMMETRIC_ALGORITHMS
            file = keys if isinstance(keys, os.PathLike) else self.key_file if keys is self.keys else None
            source = StaticKeys(key_set, default, issuer.issuer)
            if file is not None:
                from ._key_file import FileKeys

                source = FileKeys(file, key_set, default, issuer.issuer, kid_selects=kid_selects)
            return IssuerTrust(source, policy, algorithms, self.engine, issuers)
        from ._core.discovery.key_sources import RemoteKeys  # given keys need nothing of all that fetches

        return IssuerTrust(RemoteKeys(self.stores, self._address(issuer)), policy, algorithms, self.engine, issuers)

    def _address(self, issuer: TrustedIssuer) -> Address:
        from ._core.discovery.key_sources import Address
        from ._core.discovery.metadata import with_backchannel

        policy = with_backchannel(issuer.discovery_policy or self.discovery_policy, issuer.backchannel)
        if issuer.public_addresses_only:
            policy = replace(policy, require_public_addresses=True)
        if issuer.jwks_uri is not None:
            policy.parse_url(issuer.jwks_uri, "jwks_uri")
            return Address(jwks_uri=issuer.jwks_uri, policy=policy, issuer=issuer.issuer)
        if issuer.discovery_address is None and issuer.metadata_issuer is None:
            return Address(discovery=issuer.issuer, policy=policy)
        # RFC 8414 3.3: the metadata must be about the issuer that was asked for, wherever it is.
        expected = issuer.metadata_issuer or issuer.issuer
        return Address(issuer.discovery_address or issuer.issuer, policy, issuers=(expected,), issuer=issuer.issuer)


__all__ = ["Trusting"]
