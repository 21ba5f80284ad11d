"""Whom to trust: issuers by exact name, by template, or by asking the application (RFC 8725 3.8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import must_be
from ...exceptions import ConfigurationException, printable
from ..base.secret import refuse_to_pickle
from ..jose.algorithms import SignatureAlgorithm
from ..jose.key_set import KeysOrFile, holds_secret
from ..jose.verification_keys import placed
from .claim_checks import names
from .key_sets import IssuerKeySet, check_alone, check_source, checked_key_sets, settle
from .trials import MAX_OF_A_TEMPLATE, checked_number

if TYPE_CHECKING:
    from ..discovery.metadata import DiscoveryPolicy


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One issuer, where its keys come from, and what its tokens must be.

    Args:
        issuer: Its identifier, exactly as ``iss`` carries it.
        audience: Names of ourselves at this issuer; None takes the validator's.
        algorithms: Algorithms accepted from this issuer; None takes the validator's.
        keys: Static keys instead of discovery: a JWK, a JWK Set, a :class:`JsonWebKey`, PEM text, or a path.
        jwks_uri: Where its key set is, if it has no metadata.
        discovery_address: Where its metadata is, if not below the issuer itself. The metadata must name the issuer.
        metadata_issuer: The issuer that the metadata names, where the tokens carry another: AD FS, whose access tokens
            carry the metadata's ``access_token_issuer``.
        key_sets: Several sources of keys, as during a migration; see :class:`IssuerKeySet`.
        discovery_policy: What its metadata may look like.
        backchannel: Where it is reached from here, if not at its public addresses: ``http://keycloak:8080``.
        public_addresses_only: Fetch its metadata and keys from hosts on the public internet only.

    >>> TrustedIssuer("https://id.example.com", audience="api").issuer
    'https://id.example.com'
    """

    issuer: str
    audience: str | Sequence[str] | None = field(default=None, kw_only=True)
    algorithms: Sequence[SignatureAlgorithm] | None = field(default=None, kw_only=True)
    keys: KeysOrFile | None = field(default=None, kw_only=True, repr=False)
    jwks_uri: str | None = field(default=None, kw_only=True)
    discovery_address: str | None = field(default=None, kw_only=True)
    discovery_policy: DiscoveryPolicy | None = field(default=None, kw_only=True)
    backchannel: str | None = field(default=None, kw_only=True)
    public_addresses_only: bool = field(default=False, kw_only=True)
    metadata_issuer: str | None = field(default=None, kw_only=True)
    key_sets: Sequence[IssuerKeySet] | None = field(default=None, kw_only=True)

    @checks_arguments
    def __post_init__(self) -> None:
        names(self.issuer, "issuer")
        check_source(self, "An issuer has one source of keys")
        _settle(self)
        if self.key_sets is not None:
            object.__setattr__(self, "key_sets", checked_key_sets(self.key_sets))
            check_alone(self)

    def each(self) -> list[TrustedIssuer]:
        """Return the issuer with each of its key sets alone."""
        if self.key_sets is None:
            return [self]
        return [self._with(one) for one in self.key_sets]

    def _with(self, key_set: IssuerKeySet) -> TrustedIssuer:
        said = {one.name: getattr(key_set, one.name) for one in fields(key_set)}
        policy = said.pop("discovery_policy") or self.discovery_policy
        return replace(self, key_sets=None, discovery_policy=policy, **said)

    def __reduce__(self) -> Any:
        if holds_secret(self.keys):
            refuse_to_pickle(self, "keys")
        return _restored, ({f.name: getattr(self, f.name) for f in fields(self)},)

    def __copy__(self) -> TrustedIssuer:
        return self

    def __deepcopy__(self, memo: object) -> TrustedIssuer:
        return self


def _restored(values: dict[str, Any]) -> TrustedIssuer:
    """Return the issuer that was pickled."""
    return TrustedIssuer(**values)


def _settle(trusted: TrustedIssuer | IssuerTemplate) -> None:
    for name in ("audience", "algorithms"):
        value = getattr(trusted, name)
        if isinstance(value, list):
            object.__setattr__(trusted, name, tuple(value))
    settle(trusted)


@dataclass(frozen=True, slots=True)
class IssuerTemplate:
    """Issuers that differ in one part, like those of Microsoft Entra's tenants.

    Args:
        template: The identifier with one ``{name}``: ``https://login.microsoftonline.com/{tenantid}/v2.0``.
        allowed: Values of that part that are trusted: a container, or a function that says yes.
        trust_every_value_of_the_template: Take any value. Everyone who can get a tenant there can then get a token.
        claim: A claim that must repeat the value, if the tokens have one (Entra's ``tid``).
        audience: Names of ourselves at these issuers; None takes the validator's.
        algorithms: Algorithms accepted from them; None takes the validator's.
        jwks_uri: Where the one key set of all is, if they have no metadata.
        discovery_address: Where the metadata is; it may hold the ``{name}`` too. By default below each issuer itself.
        discovery_policy: What the metadata may look like.
        backchannel: Where they are reached from here, if not at their public addresses.
        allow_private_addresses: Fetch from private addresses too where the ``{name}`` is a part of the host. Tokens
            then choose what is reached in your own network.
        max_unverified: Issuers looked up within a minute, of those that have not made a good signature yet. A forged
            name costs requests, and this many at most do.

    >>> entra = IssuerTemplate("https://login.microsoftonline.com/{tenantid}/v2.0", allowed={"contoso-id"}, claim="tid")
    >>> entra.trust("https://login.microsoftonline.com/contoso-id/v2.0").issuer
    'https://login.microsoftonline.com/contoso-id/v2.0'
    >>> entra.trust("https://login.microsoftonline.com/other/v2.0") is None
    True
    """

    template: str
    allowed: Container[str] | Callable[[str], bool] | None = field(default=None, kw_only=True)
    trust_every_value_of_the_template: bool = field(default=False, kw_only=True)
    claim: str | None = field(default=None, kw_only=True)
    audience: str | Sequence[str] | None = field(default=None, kw_only=True)
    algorithms: Sequence[SignatureAlgorithm] | None = field(default=None, kw_only=True)
    jwks_uri: str | None = field(default=None, kw_only=True)
    discovery_address: str | None = field(default=None, kw_only=True)
    discovery_policy: DiscoveryPolicy | None = field(default=None, kw_only=True)
    backchannel: str | None = field(default=None, kw_only=True)
    allow_private_addresses: bool = field(default=False, kw_only=True)
    max_unverified: int = field(default=MAX_OF_A_TEMPLATE, kw_only=True)

    @checks_arguments
    def __post_init__(self) -> None:
        if not isinstance(self.template, str):
            raise ConfigurationException(
                "An issuer template is text",
                code="policy_invalid",
                claim="template",
                actual=type(self.template).__name__,
            )
        names(self.template, "issuer")
        _settle(self)
        checked_number(self.max_unverified)
        before, opening, rest = self.template.partition("{")
        name, closing, after = rest.partition("}")
        if not (opening and closing and name.isidentifier()) or "{" in after or "}" in before + after:
            raise ConfigurationException(
                "An issuer template needs exactly one {name}", code="policy_invalid", claim="template",
                expected="https://host/{name}/...", actual=printable(self.template),
            )  # fmt: skip
        if isinstance(self.allowed, str | bytes):
            # Whatever is a part of that text would be "in" it.
            raise ConfigurationException(
                "allowed must be a container of values, or a function; a single value stands in a set of its own",
                code="policy_invalid",
                claim="allowed",
                expected="{'value'}",
            )
        if (self.allowed is None) is not self.trust_every_value_of_the_template:
            raise ConfigurationException(
                "Say which values of the template are trusted with allowed=...",
                code="policy_invalid",
                claim="allowed",
                hint="trust_every_value_of_the_template=True trusts all of them",
            )

    @explains_arguments
    def value(self, issuer: str) -> str | None:
        """Return the part of *issuer* that the template leaves open, or None if it does not fit."""
        before, _, rest = self.template.partition("{")
        after = rest.partition("}")[2]
        return placed(before, after, issuer)

    @explains_arguments
    def trust(self, issuer: str) -> TrustedIssuer | None:
        """Return the issuer if it fits and its value is trusted."""
        value = self.value(issuer)
        if value is None or not self._allows(value):
            return None
        name = self.template.partition("{")[2].partition("}")[0]
        address = self.discovery_address
        return TrustedIssuer(
            issuer,
            audience=self.audience,
            algorithms=self.algorithms,
            jwks_uri=self.jwks_uri,
            discovery_address=address.replace("{" + name + "}", value) if address else None,
            discovery_policy=self.discovery_policy,
            backchannel=self.backchannel,
            public_addresses_only=self._chooses_host and not self.allow_private_addresses,
            # Metadata that all share names the template itself as its issuer, as Entra's does.
            metadata_issuer=self.template if address is not None and "{" not in address else None,
        )

    def check_alone(self) -> None:
        """Refuse what is said here of keys and audiences where one provider's client or configuration says it.

        Raises:
            ConfigurationException: Something else is given than which issuers there are, and which are trusted.
        """
        for one in fields(self):
            if one.name not in _WHICH and getattr(self, one.name) != one.default:
                raise must_be(one.name, "left out of this template: all its issuers share one provider", "given")

    @property
    def _chooses_host(self) -> bool:
        """Whether the part that tokens fill in decides which host is asked."""
        fetched = self.jwks_uri or self.discovery_address or self.template
        return "{" in fetched.partition("://")[2].partition("/")[0]

    def _allows(self, value: str) -> bool:
        if self.allowed is None:
            return True
        return bool(self.allowed(value)) if callable(self.allowed) else value in self.allowed


#: What a template says of the issuers themselves; the rest is about their keys and their tokens.
_WHICH = frozenset({"template", "allowed", "trust_every_value_of_the_template", "claim", "max_unverified"})

#: Asked for issuers that are not known by name; None, or a foreign issuer, means no.
IssuerResolver = Callable[[str], str | TrustedIssuer | Awaitable[str | TrustedIssuer | None] | None]

#: Whom a validator may trust: an issuer, a pattern of issuers, or several of both.
Issuers: TypeAlias = str | TrustedIssuer | IssuerTemplate | Sequence[str | TrustedIssuer | IssuerTemplate]


__all__ = ["IssuerResolver", "IssuerTemplate", "Issuers", "TrustedIssuer"]
