"""Who sends security events, and how what it sends is verified (SSF 1.0 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._arguments import checks_arguments
from ..._refusals import bounded, must_be
from ...exceptions import DiscoveryException
from ..base.flow import Flow
from ..base.urls import parse_url
from ..discovery.fetch import SSF_CONFIGURATION
from ..discovery.key_sources import Address, RemoteKeys, discover
from ..discovery.metadata import DiscoveryPolicy, with_backchannel
from ..discovery.trust import KeySource, StaticKeys, Stores
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS, AsymmetricAlgorithm
from ..jose.key_material import VerificationKeys
from ..jose.key_set import KeySet, holds_secret
from ..validation.claim_checks import audience_policy, names, seconds
from ..validation.engine import Engine
from ..validation.issuer_trust import IssuerTrust
from ..validation.validator import Validator
from ..validation.validator_options import Options, algorithm_policy
from .events import SECURITY_EVENT

#: Seconds since ``iat`` for which an event is accepted, and its token remembered, unless told otherwise: a week.
MAX_AGE = 7 * 86400.0
#: Characters of a security event token, at most.
MAX_SET = 65536


@dataclass(frozen=True, slots=True)
class Transmitter:
    """Who sends security events: its issuer, who we are to it, and whose tokens it may speak of.

    Attributes:
        issuer: The transmitter's issuer, exactly as ``iss`` of its tokens and ``issuer`` of its metadata have it.
        audience: Who we are to it: ``aud`` must name it, or one of several.
        token_issuers: The issuers of the tokens, sessions and users that it may speak of; by default itself. What it
            says of any other's ends nothing.
        configuration_url: Where its metadata is, if not at ``/.well-known/ssf-configuration`` of the issuer: such as
            ``https://accounts.google.com/.well-known/risc-configuration``.
        jwks_uri: Where its keys are, if it has no metadata.
        keys: Its keys, if they are known: JWK, JWK Set or PEM.
        algorithms: Accepted signature algorithms; by default the asymmetric ones that fit the key.
        discovery_policy: What the metadata may look like.
        backchannel: Where it is reached from here, if not at its public addresses.
        max_age: Seconds since ``iat`` for which an event is accepted; its token is remembered for as long.
        leeway: Seconds of clock difference; by default 10 for times that lie ahead.

    Raises:
        ConfigurationException: A value cannot be used safely.

    >>> Transmitter("https://tr.example.com/tenant", "https://api.example.com").metadata_url
    'https://tr.example.com/.well-known/ssf-configuration/tenant'
    """

    issuer: str
    audience: str | Sequence[str]
    token_issuers: str | Sequence[str] = field(default=(), kw_only=True)
    configuration_url: str | None = field(default=None, kw_only=True)
    jwks_uri: str | None = field(default=None, kw_only=True)
    keys: VerificationKeys | None = field(default=None, kw_only=True, repr=False)
    algorithms: Sequence[AsymmetricAlgorithm] | None = field(default=None, kw_only=True)
    discovery_policy: DiscoveryPolicy | None = field(default=None, kw_only=True)
    backchannel: str | None = field(default=None, kw_only=True)
    max_age: float = field(default=MAX_AGE, kw_only=True)
    leeway: float | None = field(default=None, kw_only=True)

    @checks_arguments
    def __post_init__(self) -> None:
        policy = self.policy
        policy.parse_url(self.issuer, "issuer", allow_query=False)
        audience_policy(self.audience)
        if self.token_issuers != ():
            names(self.token_issuers, "token_issuers")
        algorithm_policy(self.algorithms, symmetric=False)
        bounded(self.max_age, "max_age", float, 60, 31 * 86400, unit="seconds")
        if self.leeway is not None:
            seconds(self.leeway, "leeway")
        given = [name for name in ("configuration_url", "jwks_uri", "keys") if getattr(self, name) is not None]
        if len(given) > 1:
            raise must_be(given[1], f"left out beside {given[0]}")
        for name in ("configuration_url", "jwks_uri"):
            if getattr(self, name) is not None:
                policy.parse_url(getattr(self, name), name)
        if holds_secret(self.keys):
            raise must_be("keys", "public keys")
        if self.keys is not None:
            KeySet.from_keys(self.keys)

    @property
    def policy(self) -> DiscoveryPolicy:
        """What the metadata may look like, and the way to it."""
        return with_backchannel(self.discovery_policy, self.backchannel)

    @property
    def metadata_url(self) -> str:
        """Where the metadata is (SSF 1.0 7.2): inserted between host and path, a terminating slash removed."""
        if self.configuration_url is not None:
            return self.configuration_url
        parts = parse_url(self.issuer, "issuer", require_https=False)
        return f"{parts.scheme}://{parts.netloc}{SSF_CONFIGURATION}{parts.path.rstrip('/')}"

    @property
    def speaks_for(self) -> tuple[str, ...]:
        """Whose tokens it may speak of."""
        return names(self.token_issuers, "token_issuers") if self.token_issuers != () else (self.issuer,)


def source_of(transmitter: Transmitter, stores: Stores) -> KeySource:
    """Return where the keys of a transmitter come from."""
    issuer, policy = transmitter.issuer, transmitter.policy
    if transmitter.keys is not None:
        return StaticKeys(KeySet.from_keys(transmitter.keys), ASYMMETRIC_ALGORITHMS, issuer)
    if transmitter.jwks_uri is not None:
        return RemoteKeys(stores, Address(jwks_uri=transmitter.jwks_uri, policy=policy, issuer=issuer))
    return RemoteKeys(stores, Address(transmitter.metadata_url, policy, issuers=(issuer,), issuer=issuer))


def validator_of(transmitter: Transmitter, stores: Stores, engine: Engine) -> Validator:
    """Return what verifies the tokens of a transmitter."""
    options = Options(
        kind=SECURITY_EVENT,
        audience=audience_policy(transmitter.audience),
        algorithms=algorithm_policy(transmitter.algorithms, symmetric=False),
        leeway=transmitter.leeway,
        max_age=transmitter.max_age,
        max_token=MAX_SET,
    )
    issuers = frozenset({transmitter.issuer})
    source = source_of(transmitter, stores)
    return Validator.of_issuer(
        options, engine, IssuerTrust(source, options.policy(None), options.algorithms, engine, issuers)
    )


def metadata_of(transmitter: Transmitter, stores: Stores) -> Flow[dict[str, Any]]:
    """Return the transmitter's metadata as it came, through the cache; empty where there is none by agreement.

    Raises:
        NetworkException: It cannot be fetched or used.
    """
    if transmitter.keys is not None or transmitter.jwks_uri is not None:
        return {}
    entry = yield from discover(
        stores, transmitter.metadata_url, transmitter.policy, issuers=(transmitter.issuer,), vouched=False
    )
    return entry.value.raw


def critical_members(metadata: dict[str, Any]) -> frozenset[str]:
    """Return the members of complex subjects that must be understood (SSF 1.0 7.1).

    Raises:
        DiscoveryException: The metadata says it in no way that can be understood.
    """
    listed = metadata.get("critical_subject_members") or []
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise DiscoveryException(
            "critical_subject_members must be a list of names",
            code="discovery_member_invalid",
            claim="critical_subject_members",
        )
    return frozenset(listed)


__all__ = ["MAX_AGE", "MAX_SET", "Transmitter", "critical_members", "metadata_of", "validator_of"]
