"""The arguments of a ``TokenValidator``, by what they are for; another process builds the same validator of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ._core.jose.algorithms import SignatureAlgorithm
from ._core.jose.key_set import KeySet, KeysOrFile
from ._core.validation.claim_checks import audience_policy, names, seconds
from ._core.validation.issuers import IssuerResolver, Issuers, IssuerTemplate, TrustedIssuer
from ._core.validation.key_sets import IssuerKeySet
from ._core.validation.token_kinds import Kind, KindName, kind_named
from ._core.validation.validator_options import Options, algorithm_policy
from ._refusals import bounded, must_be
from .exceptions import ConfigurationException, printable
from .settings import EngineName

if TYPE_CHECKING:
    from ._core.discovery.metadata import DiscoveryPolicy
    from ._core.validation.application_rules import ClaimsValidator
    from ._core.validation.status_list import StatusListPolicy

#: Seconds that a token may be old at most, whatever is asked for: ten years.
_OLDEST = 10 * 365 * 86400


class Addresses(NamedTuple):
    """Where the keys or the metadata of the one issuer are, and what that metadata calls itself."""

    jwks_uri: str | None
    discovery_address: str | None
    metadata_issuer: str | None
    backchannel: str | None
    key_sets: Sequence[IssuerKeySet] | None


class Sources(NamedTuple):
    """Who is trusted, and where the keys come from."""

    issuer: Issuers | None
    keys: KeysOrFile | None
    addresses: Addresses
    discovery_policy: DiscoveryPolicy | None
    issuer_resolver: IssuerResolver | None

    def issuers(self) -> list[str | TrustedIssuer | IssuerTemplate]:
        """Return the issuers one by one; what is said of the one issuer's keys goes into it.

        Raises:
            ConfigurationException: It is no issuer, or there are several for one source of keys.
        """
        listed = issuers_of(self.issuer)
        given = {"keys": self.keys, **self.addresses._asdict()}
        sources: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if not sources:
            return listed
        if len(listed) != 1 or not isinstance(listed[0], str):
            raise ConfigurationException(
                f"{next(iter(sources))} needs exactly one issuer, given as a string",
                code="policy_invalid",
                claim=next(iter(sources)),
                hint="give each of several issuers its own TrustedIssuer(issuer, keys=...)",
            )
        return [TrustedIssuer(listed[0], **sources)]

    @property
    def symmetric(self) -> bool:
        """Whether the keys that are given are shared secrets."""
        given = [self.keys, *(one.keys for one in self.addresses.key_sets or ())]
        return any(key_set_of(keys).symmetric for keys in given if keys is not None)


class Demands(NamedTuple):
    """What a token must say."""

    audience: str | Sequence[str] | None
    accept_any_audience: bool
    subject: str | None
    required_claims: tuple[str, ...]
    trusted_audiences: tuple[str, ...]
    authorized_parties: tuple[str, ...]
    claims_validator: ClaimsValidator | None


class Limits(NamedTuple):
    """What a token must be."""

    kind: KindName | Kind
    algorithms: Sequence[SignatureAlgorithm] | None
    leeway: float | None
    max_token_age: float | None
    max_token_size: int


class Means(NamedTuple):
    """What the validator works with."""

    engine: EngineName | None
    cache_tokens: int | None
    cache_tokens_max_age: float
    http_client: Any
    status_lists: StatusListPolicy | None = None


def arguments(sources: Sources, demands: Demands, limits: Limits, means: Means) -> dict[str, Any]:
    """Return the arguments by their names, for another process to build the same validator."""
    said = {**sources._asdict(), **demands._asdict(), **limits._asdict(), **means._asdict()}
    return {**said.pop("addresses")._asdict(), **said}


def build_options(demands: Demands, limits: Limits, *, symmetric: bool) -> Options:
    """Compile what a token must say and be.

    Raises:
        ConfigurationException: An argument cannot be used safely.
    """
    required, leeway, oldest = demands.required_claims, limits.leeway, limits.max_token_age
    return Options(
        kind=kind_named(limits.kind),
        audience=_audience(demands.audience, demands.accept_any_audience),
        algorithms=algorithm_policy(limits.algorithms, symmetric=symmetric),
        leeway=None if leeway is None else seconds(leeway, "leeway"),
        subject=None if demands.subject is None else names(demands.subject, "subject")[0],
        required=frozenset(names(required, "required_claims")) if required else frozenset(),
        max_age=None if oldest is None else seconds(oldest, "max_token_age", most=_OLDEST),
        claims_validator=demands.claims_validator,
        trusted_audiences=frozenset(demands.trusted_audiences),
        authorized_parties=_parties(demands.authorized_parties),
        max_token=bounded(limits.max_token_size, "max_token_size", int, 64, 16 * 1024 * 1024, unit="characters"),
    )


def _parties(parties: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names(parties, "authorized_parties")) if parties else frozenset()


def _audience(audience: object, accept_any: bool) -> frozenset[str] | None:
    if audience is None:
        return None
    if accept_any:
        raise ConfigurationException(
            "accept_any_audience goes with no audience", code="policy_invalid", claim="accept_any_audience"
        )
    return audience_policy(audience)


def issuers_of(issuer: Issuers | None) -> list[str | TrustedIssuer | IssuerTemplate]:
    """Return one issuer, several or none as a list.

    Raises:
        ConfigurationException: It is something else.
    """
    if issuer is None:
        return []
    if isinstance(issuer, str | TrustedIssuer | IssuerTemplate):
        return [issuer]
    if isinstance(issuer, list | tuple | set | frozenset):
        return list(issuer)
    raise must_be("issuer", "an issuer or a list of issuers", type(issuer).__name__)


def key_set_of(keys: KeysOrFile, *, kid_selects: bool = False) -> KeySet:
    """Return static keys as a set: a JWK, a JWK Set, a :class:`JsonWebKey`, PEM text, or the path of a file of those.

    Args:
        keys: The keys.
        kid_selects: Whether a token's ``kid`` selects even where there is one key, as there are others elsewhere.

    Raises:
        ConfigurationException: There is no usable key in it.
    """
    given: Any = _read(keys) if isinstance(keys, os.PathLike) else keys
    found = given if isinstance(given, KeySet) else KeySet.from_keys(given)
    return replace(found, kid_selects=True) if kid_selects else found


def _read(path: os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = error.strerror if isinstance(error, OSError) else "no file can have such a name"
        raise ConfigurationException(
            f"The keys in {printable(os.fspath(path))} cannot be read: {reason}",
            code="keys_unreadable",
            claim="keys",
            actual=printable(os.fspath(path)),
        ) from None


def settled(value: Any) -> Any:
    """Return a copy of what the caller could change later."""
    return tuple(value) if isinstance(value, list | set | frozenset) else value


def several(values: str | Iterable[str]) -> tuple[str, ...]:
    """Return one string or several as a tuple; a single string is one value, not its letters."""
    return (values,) if isinstance(values, str) else tuple(values)


__all__ = [
    "Addresses",
    "Demands",
    "Limits",
    "Means",
    "Sources",
    "arguments",
    "build_options",
    "issuers_of",
    "key_set_of",
    "settled",
    "several",
]
