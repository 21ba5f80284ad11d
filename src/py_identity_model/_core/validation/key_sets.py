"""Several key sets of one issuer: where each of them is.

During a migration the old provider and the new one sign for the same issuer; an emergency key lies in a file beside the
provider's own; Microsoft Entra has further keys for single applications. Each set is fetched, refreshed and rationed as
if it were alone, so that one which hangs or is gone costs the tokens of the others nothing.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from ..._arguments import checks_arguments
from ..._refusals import must_be
from ...exceptions import (
    ConfigurationException,
    printable,
)
from ..base.secret import refuse_to_pickle
from ..base.transport import bare
from ..base.urls import parse_url
from ..jose.jwk import JsonWebKey
from ..jose.key_set import KeysOrFile, holds_secret
from .claim_checks import names

if TYPE_CHECKING:
    from ..discovery.metadata import DiscoveryPolicy

#: Key sets of one issuer: each is asked about a key that none of them has.
MAX_KEY_SETS: Final = 8
#: What says where keys are.
_SOURCES = ("keys", "jwks_uri", "discovery_address")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKeySet:
    """One of the key sets of an issuer that has several, as during a migration.

    Without arguments it is the set that the issuer's own metadata names.

    Args:
        keys: Static keys: a JWK, a JWK Set, a :class:`JsonWebKey`, PEM text, or the path of a file, which is read again
            when it changes.
        jwks_uri: Where the key set is.
        discovery_address: Where the metadata is that names the key set. It must name the issuer.
        metadata_issuer: The issuer that this metadata names, where the tokens carry another.
        discovery_policy: What this metadata may look like; by default what holds for the issuer.
        backchannel: Where the set is reached from here, if not at its public address: ``http://keycloak:8080``.

    Raises:
        ConfigurationException: More than one place is given, or it is no place.

    >>> IssuerKeySet(jwks_uri="https://old.example.com/jwks").jwks_uri
    'https://old.example.com/jwks'
    """

    keys: KeysOrFile | None = field(default=None, repr=False)
    jwks_uri: str | None = None
    discovery_address: str | None = None
    metadata_issuer: str | None = None
    discovery_policy: DiscoveryPolicy | None = None
    backchannel: str | None = None

    @checks_arguments
    def __post_init__(self) -> None:
        check_source(self, "A key set is in one place")
        settle(self)

    def __reduce__(self) -> Any:
        if holds_secret(self.keys):
            refuse_to_pickle(self, "keys")
        return _restored, ({one.name: getattr(self, one.name) for one in fields(self)},)

    def __copy__(self) -> IssuerKeySet:
        return self

    def __deepcopy__(self, memo: object) -> IssuerKeySet:
        return self


def _restored(values: dict[str, Any]) -> IssuerKeySet:
    """Return the key set that was pickled."""
    return IssuerKeySet(**values)


def check_source(source: Any, rule: str) -> None:
    """Refuse more than one place for keys, and what cannot be one.

    Raises:
        ConfigurationException: So it is.
    """
    if source.metadata_issuer is not None:
        names(source.metadata_issuer, "metadata_issuer")
        if source.keys is not None or source.jwks_uri is not None:
            raise ConfigurationException(
                "metadata_issuer is about metadata, and none is read here",
                code="policy_invalid",
                claim="metadata_issuer",
            )
    given = [name for name in _SOURCES if getattr(source, name) is not None]
    if len(given) > 1:
        raise ConfigurationException(
            f"{rule}, got {' and '.join(given)}",
            code="policy_invalid",
            claim=given[1],
            hint="key_sets=[IssuerKeySet(...), IssuerKeySet(...)] takes several",
        )
    if source.jwks_uri is not None:
        parse_url(source.jwks_uri, "jwks_uri", require_https=False)  # whether http is allowed, the policy says


def settle(source: Any) -> None:
    """Make a value of it: what the caller changes later is not changed in it unnoticed."""
    if source.discovery_policy is not None:
        object.__setattr__(source, "discovery_policy", replace(source.discovery_policy))
    keys = getattr(source, "keys", None)
    if isinstance(keys, list | dict | JsonWebKey):
        object.__setattr__(source, "keys", deepcopy(keys))


def checked_key_sets(key_sets: object) -> tuple[IssuerKeySet, ...] | None:
    """Return the key sets of an issuer as a value; None where none are named.

    Raises:
        ConfigurationException: They are none, too many, the same twice, or something else.
    """
    if key_sets is None:
        return None
    if not isinstance(key_sets, list | tuple) or not all(isinstance(one, IssuerKeySet) for one in key_sets):
        raise must_be("key_sets", "a list of IssuerKeySet", type(key_sets).__name__)
    if not 1 <= len(key_sets) <= MAX_KEY_SETS:
        raise must_be("key_sets", f"1 to {MAX_KEY_SETS} key sets", len(key_sets))
    if any(one in key_sets[:at] for at, one in enumerate(key_sets)):
        raise must_be("key_sets", "different key sets", "the same one twice")
    return tuple(key_sets)


def check_alone(source: Any) -> None:
    """Refuse to have a place for keys named beside those of several key sets.

    Raises:
        ConfigurationException: So it is.
    """
    for name in (*_SOURCES, "metadata_issuer", "backchannel"):
        if getattr(source, name) is not None:
            raise must_be(name, "a part of one of the key_sets", "given beside them")


def shown(source: Any, issuer: str) -> str:
    """Return what a key set is called in refusals and reports: where it is, never what is in it."""
    if source.keys is None:
        return printable(bare(source.jwks_uri or source.discovery_address or issuer))
    path = getattr(source.keys, "__fspath__", None)
    return "static keys" if path is None else printable(path())


__all__ = ["MAX_KEY_SETS", "IssuerKeySet", "check_alone", "check_source", "checked_key_sets", "settle", "shown"]
