"""Keys that a validator trusts, as one value, and which of them may have made a signature (RFC 7517 5)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from ..._arguments import explains_arguments
from ..._refusals import refused
from ...exceptions import ConfigurationException
from ..base.secret import Secret
from .algorithms import ALGORITHMS, KeyRefused
from .jwk import JsonWebKey, jwks_from_dict
from .key_material import VerificationKeys, check_names, read_key_material
from .verification_keys import PRIVATE_MEMBERS, PreparedKey, PublicKey, export_jwk, import_key, prepare

_config = partial(refused, ConfigurationException)

#: Keys that are tried at most where a token fits several: all of a usual set, at a bounded cost.
MAX_CANDIDATES = 16
#: Where the token names one by ``kid``, and several have that name (RFC 7517 4.5 says they should not).
MAX_NAMED = 4


class Skipped(NamedTuple):
    """A member of a set that is not used: its ``kid``, if it has one, and a stable name of the cause."""

    kid: str | None
    reason: str


class Candidates(NamedTuple):
    """The keys that may have signed a token.

    Attributes:
        keys: Those to be tried, each bound to its algorithm.
        fitting: How many there are, with those that are too many to be tried.
        foreign: Whose the others are that would fit, but sign for another issuer.
        named: Whether the token's ``kid`` chose them.
    """

    keys: tuple[PreparedKey, ...] = ()
    fitting: int = 0
    foreign: tuple[str, ...] = ()
    named: bool = False


def holds_secret(given: object) -> bool:
    """Tell whether key material that a caller gave has a private key or a shared secret in it."""
    if isinstance(given, Secret):
        return True
    if isinstance(given, JsonWebKey):
        return given.has_private_key
    if isinstance(given, PublicKey):
        return given.kty == "oct"
    if isinstance(given, KeySet):
        return given.symmetric
    if isinstance(given, Mapping):
        return not PRIVATE_MEMBERS.isdisjoint(given) or holds_secret(given.get("keys"))
    if isinstance(given, list | tuple):
        return any(map(holds_secret, given))
    if isinstance(given, str | bytes):
        text = given if isinstance(given, bytes) else given.encode("utf-8", "replace")
        return b"PRIVATE KEY" in text or any(b'"%s"' % name.encode() in text for name in PRIVATE_MEMBERS)
    return False


class FilePath(Protocol):
    """The path of a file, such as ``pathlib.Path``."""

    def __fspath__(self) -> str:
        """Return it as text."""
        ...


@dataclass(frozen=True, slots=True)
class KeySet:
    """An immutable set of keys that can verify signatures."""

    keys: tuple[PublicKey, ...]
    skipped: tuple[Skipped, ...] = ()
    #: The set as JSON, without symmetric keys and private members. It is shared: leave it as it is.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    cache_control: str | None = field(default=None, repr=False, compare=False)
    #: Whether a ``kid`` in a token selects: not where the caller gave exactly one key.
    kid_selects: bool = True
    _prepared: dict[str, tuple[PreparedKey, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    @explains_arguments
    def from_keys(cls, *keys: VerificationKeys) -> KeySet:
        """Make a set of keys that the caller trusts.

        Args:
            keys: JWKs or key sets as dict, :class:`JsonWebKey` or JSON text; public keys or certificates in PEM; shared
                secrets as :class:`Secret` or JWK of type ``oct``; or lists of these.

        Raises:
            ConfigurationException: There is none, one cannot be used, or secrets and public keys are mixed.

        >>> KeySet.from_keys({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}).kids
        (None,)
        """
        read = tuple(key for given in keys for key in read_key_material(given))
        if not read:
            raise _config("keys_missing", "At least one key is needed")
        secrets = [key for key in read if key.kty == "oct"]
        if secrets and len(secrets) != len(read):
            # RFC 8725 3.1: a public key must never come near an HMAC, so no policy can hold both.
            raise _config("keys_mixed", "Shared secrets and public keys cannot stand in one set")
        check_names(key.kid for key in secrets)
        return cls(read, kid_selects=len(read) > 1)

    @property
    def symmetric(self) -> bool:
        """Whether the keys are shared secrets."""
        return self.keys[0].kty == "oct"

    @property
    def kids(self) -> tuple[str | None, ...]:
        """The names of the keys, in order."""
        return tuple(key.kid for key in self.keys)

    @property
    def web_keys(self) -> list[JsonWebKey]:
        """The keys of :attr:`document` as values, those for encryption included."""
        return list(_web_keys(self.document.get("keys", ())))

    def candidates(self, header: Mapping[str, Any], algorithms: Collection[str], issuer: object = None) -> Candidates:
        """Return the keys that may have signed a token with *header*, at most :data:`MAX_CANDIDATES` to be tried.

        Args:
            header: ``alg`` and, if the token has one, ``kid``.
            algorithms: The algorithms that the caller allows.
            issuer: The token's ``iss``: a key that names its issuer signs for no other.
        """
        alg = header.get("alg")
        if not isinstance(alg, str) or alg not in algorithms or alg not in ALGORITHMS:
            return Candidates()
        fitting = self._fitting(alg)
        kid, most = header.get("kid"), MAX_CANDIDATES
        if kid is not None and self.kid_selects:
            # RFC 7515 4.1.4: kid is a hint. Keys without a name are those it can say nothing about.
            named = tuple(key for key in fitting if key.key.kid == kid)
            fitting = named or tuple(key for key in fitting if key.key.kid is None)
            most = MAX_NAMED if named else MAX_CANDIDATES
        ours = tuple(key for key in fitting if key.key.signs_for(issuer))
        foreign = tuple(str(key.key.issuer) for key in fitting if not key.key.signs_for(issuer))
        return Candidates(ours[:most], len(ours), foreign, most == MAX_NAMED)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.symmetric:
            raise ConfigurationException(
                "A shared secret is not pickled", code="secret_not_picklable", claim="keys", expected="public keys"
            )
        jwks = tuple(_jwk_of(key) for key in self.keys)
        return _restored, (jwks, self.skipped, self.document, self.cache_control, self.kid_selects)

    def _fitting(self, alg: str) -> tuple[PreparedKey, ...]:
        fitting = self._prepared.get(alg)
        if fitting is None:
            fitting = self._prepared[alg] = tuple(_prepare_all(self.keys, alg))
        return fitting


def _jwk_of(key: PublicKey) -> dict[str, Any]:
    marks = {"kid": key.kid, "alg": key.alg, "use": key.use, "issuer": key.issuer}
    marks["key_ops"] = key.key_ops and list(key.key_ops)  # type: ignore[assignment]
    return {**export_jwk(key.material), **{name: value for name, value in marks.items() if value is not None}}


def _restored(jwks: tuple[dict[str, Any], ...], *facts: Any) -> KeySet:
    """Return the key set that was pickled."""
    return KeySet(tuple(import_key(jwk) for jwk in jwks), *facts)


def _prepare_all(keys: tuple[PublicKey, ...], alg: str) -> Iterator[PreparedKey]:
    for key in keys:
        try:
            yield prepare(key, alg)
        except KeyRefused:  # made for another algorithm
            continue


def _web_keys(members: Collection[Mapping[str, Any]]) -> Iterator[JsonWebKey]:
    for member in members:
        try:
            # RFC 7517 4.3 lets `use` and `key_ops` stand together if they agree; JsonWebKey does not.
            both = "use" in member and "key_ops" in member
            yield jwks_from_dict({name: value for name, value in member.items() if not (both and name == "key_ops")})
        except ConfigurationException:  # skipped in the set as well, with a reason
            continue


#: Static keys as a caller can give them, or the path of a file that has them.
KeysOrFile: TypeAlias = VerificationKeys | KeySet | FilePath

__all__ = [
    "MAX_CANDIDATES",
    "MAX_NAMED",
    "Candidates",
    "FilePath",
    "KeySet",
    "KeysOrFile",
    "Skipped",
    "holds_secret",
]
