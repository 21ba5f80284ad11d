"""Keys for encryption: what a token is encrypted to, and what it is opened with (RFC 7517, RFC 7518 4, RFC 8037 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from ..._arguments import explains_arguments
from ..._refusals import because
from ...exceptions import ConfigurationException, printable
from ..base.base64url import Base64Error
from ..base.secret import Secret, Unpicklable, secret_octets
from .algorithms import KeyRefused
from .edwards_points import agreement_point_fault
from .jwk import JsonWebKey
from .verification_keys import PRIVATE_MEMBERS, check_material, import_key, jwk_octets, jwk_point

if TYPE_CHECKING:
    from joserfc.jwk import Key

#: RFC 7518 6.2.1.1 and RFC 8037 3.2: curves that keys are agreed upon on.
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("X25519", "X448")}
_X_CURVES: dict[str, tuple[Any, Any, int]] = {
    "X25519": (x25519.X25519PublicKey, x25519.X25519PrivateKey, 32),
    "X448": (x448.X448PublicKey, x448.X448PrivateKey, 56),
}
_INSTALL = "pip install 'py-identity-model[jwe]'"


#: By the names of the IANA registry "JSON Web Encryption Algorithms"; the second sort never comes out of a key set.
PairKeyManagement: TypeAlias = Literal[
    "RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A256KW", "ECDH-ES+A192KW", "ECDH-ES+A128KW"
]
SecretKeyManagement: TypeAlias = Literal["dir", "A256KW", "A192KW", "A128KW"]
KeyManagementAlgorithm: TypeAlias = PairKeyManagement | SecretKeyManagement


class KeyAlgorithm(NamedTuple):
    """An ``alg`` of RFC 7518 4.1."""

    name: str
    ktys: tuple[str, ...]
    #: Whether the content key is agreed upon (ECDH-ES).
    agreement: bool = False
    #: Whether nothing is wrapped: the key agreed upon, or shared, is the content key.
    direct: bool = False
    #: Octets that a shared secret must have; None where ``enc`` decides.
    secret: int | None = None


_ROWS = (
    *(KeyAlgorithm(name, ("RSA",)) for name in ("RSA-OAEP-256", "RSA-OAEP")),
    KeyAlgorithm("ECDH-ES", ("EC", "OKP"), agreement=True, direct=True),
    *(KeyAlgorithm(f"ECDH-ES+A{bits}KW", ("EC", "OKP"), agreement=True) for bits in (256, 192, 128)),
    KeyAlgorithm("dir", ("oct",), direct=True),
    *(KeyAlgorithm(f"A{bits}KW", ("oct",), secret=bits // 8) for bits in (256, 192, 128)),
)
ALL_KEY_ALGORITHMS: Mapping[str, KeyAlgorithm] = {row.name: row for row in _ROWS}
#: With the private key of a pair.
KEY_ALGORITHMS: tuple[PairKeyManagement, ...] = get_args(PairKeyManagement)
#: With a shared secret, which never comes out of a key set.
SYMMETRIC_KEY_ALGORITHMS: tuple[SecretKeyManagement, ...] = get_args(SecretKeyManagement)


@dataclass(frozen=True, slots=True)
class EncryptionKey(Unpicklable):
    """A key of JWE: a public one encrypts, a private one or a shared secret opens."""

    kty: str
    crv: str | None
    kid: str | None
    alg: str | None
    private: bool
    _material: Any = field(repr=False)

    @classmethod
    @explains_arguments
    def from_jwk(cls, jwk: Mapping[str, Any]) -> EncryptionKey:
        """Read a JWK, public or private.

        Raises:
            ConfigurationException: It is no key for encryption, or weak, or joserfc is not installed.
        """
        try:
            kid, alg = _marks(jwk)
            material, crv = _read_jwk(jwk)
        except (KeyRefused, Base64Error) as error:
            raise _unusable(getattr(error, "reason", "jwk_member_not_base64url")) from None
        return cls(str(jwk["kty"]), crv, kid, alg, jwk["kty"] == "oct" or "d" in jwk, material)

    @classmethod
    @explains_arguments
    def from_pem(
        cls,
        pem: str | bytes,
        *,
        kid: str | None = None,
        alg: str | None = None,
        password: str | bytes | Secret | None = None,
    ) -> EncryptionKey:
        """Read a private key, a public key or a certificate in PEM.

        Raises:
            ConfigurationException: It is something else, the password is wrong, or the key is weak.
        """
        octets = pem.encode() if isinstance(pem, str) else pem
        if isinstance(password, str | Secret):
            password = secret_octets(password)
        private = b"PRIVATE KEY-----" in octets
        try:
            if private:
                material: Any = load_pem_private_key(octets, password)
            elif b"-----BEGIN CERTIFICATE-----" in octets:
                material = x509.load_pem_x509_certificate(octets).public_key()
            else:
                material = load_pem_public_key(octets)
            kty, crv = _describe(material.public_key() if private else material)
        except KeyRefused as error:
            raise _unusable(error.reason) from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise _unusable("pem_unreadable") from None
        return cls(kty, crv, kid, alg, private, material)

    @classmethod
    @explains_arguments
    def from_secret(cls, secret: bytes, *, kid: str | None = None, alg: str | None = None) -> EncryptionKey:
        """Take a shared secret, whose length must be that of the algorithm: 16, 24, 32, 48 or 64 octets.

        Raises:
            ConfigurationException: No algorithm has keys of this length.
        """
        if not isinstance(secret, bytes) or len(secret) not in (16, 24, 32, 48, 64):
            raise _unusable("secret_length_invalid")
        return cls("oct", None, kid, alg, True, secret)

    @classmethod
    @explains_arguments
    def from_client_secret(cls, secret: str | Secret, length: int) -> EncryptionKey:
        """Derive a shared secret of *length* octets from a ``client_secret`` (OpenID Connect Core 10.2).

        Raises:
            ConfigurationException: No algorithm has keys of this length.
        """
        name = "sha256" if length <= 32 else "sha384" if length <= 48 else "sha512"
        return cls.from_secret(hashlib.new(name, secret_octets(secret)).digest()[:length])

    def native(self) -> Key:
        """Return the key as joserfc takes it."""
        made: Key = import_module("joserfc.jwk").JWKRegistry.key_types[self.kty](self._material, self._material)
        return made


def fits(key: EncryptionKey, row: KeyAlgorithm, enc: str, content_octets: int) -> bool:
    """Tell whether *key* may be used with an algorithm (RFC 7517 4.4, RFC 8725 3.1)."""
    # RFC 7520 5.6 names the content algorithm where the key encrypts the content itself.
    named = (None, row.name, enc) if row.name == "dir" else (None, row.name)
    if key.kty not in row.ktys or key.alg not in named:
        return False
    return key.kty != "oct" or len(key._material) == (row.secret or content_octets)


#: Keys as a caller can give them.
_One: TypeAlias = EncryptionKey | JsonWebKey | Mapping[str, Any] | str | bytes
JweKeys: TypeAlias = _One | Sequence[_One | Sequence[_One]]


def joserfc_jwe() -> Any:
    """Return the module of joserfc that does the cryptography.

    Raises:
        ConfigurationException: It is not installed; the code is ``jwe_missing``.
    """
    try:
        return import_module("joserfc.jwe")
    except ImportError:
        raise ConfigurationException(
            "Encrypted tokens need the extra jwe, which is not installed", code="jwe_missing", hint=_INSTALL
        ) from None


def read_keys(given: JweKeys, *, private: bool) -> tuple[EncryptionKey, ...]:
    """Read the keys that a caller gave.

    Args:
        given: JWKs, JWK sets, PEM texts or ready keys, alone or in a list.
        private: Whether they are to open tokens; a public key is refused then, and a private one reduced otherwise.

    Raises:
        ConfigurationException: There is none, one cannot be used, or shared secrets and key pairs are mixed.
    """
    keys = tuple(_each(given))
    if not keys:
        raise ConfigurationException("At least one key is needed", code="keys_missing", claim="keys")
    if len({key.kty == "oct" for key in keys}) > 1:
        raise ConfigurationException("Shared secrets and key pairs cannot stand in one set", code="keys_mixed")
    if private:
        if not all(key.private for key in keys):
            raise _unusable("private_key_needed")
        return keys
    return tuple(_public(key) for key in keys)


def choose_encryption_key(keys: Iterable[JsonWebKey | Mapping[str, Any]], alg: str) -> EncryptionKey:
    """Return the key of a provider's set that *alg* can encrypt to: one made for it before one that merely fits.

    Raises:
        ConfigurationException: There is none; the code is ``encryption_key_missing``.
    """
    row = ALL_KEY_ALGORITHMS.get(alg)
    members = [key.as_dict() if isinstance(key, JsonWebKey) else dict(key) for key in keys]
    # Never a shared secret: everybody can read a provider's set.
    fitting = [
        jwk
        for jwk in members
        if row is not None
        and jwk.get("kty") in row.ktys
        and jwk.get("kty") != "oct"
        and jwk.get("use") in (None, "enc")
        and jwk.get("alg") in (None, alg)
    ]
    for jwk in sorted(fitting, key=lambda jwk: (jwk.get("use") is None, jwk.get("alg") is None)):
        try:
            return EncryptionKey.from_jwk({name: value for name, value in jwk.items() if name not in PRIVATE_MEMBERS})
        except ConfigurationException:  # weak, or on a curve that is not supported: another may do
            continue
    raise ConfigurationException(
        f"The provider's set has no key for {printable(alg, 40)}", code="encryption_key_missing", claim="alg"
    )


def read_ephemeral_key(header: Mapping[str, Any], key: EncryptionKey) -> dict[str, Any]:
    """Return ``epk`` as a header of its own: a public key on the very curve of *key* (RFC 7518 4.6.1.1, RFC 8725 3.4).

    Raises:
        KeyRefused: It is missing, private, on another curve, or not on the curve at all.
        Base64Error: A coordinate is no base64url.
    """
    epk = header.get("epk")
    if not isinstance(epk, Mapping) or epk.get("kty") != key.kty or epk.get("crv") != key.crv:
        raise KeyRefused("epk_invalid")
    if not PRIVATE_MEMBERS.isdisjoint(epk):
        raise KeyRefused("epk_private")
    _read_public(epk)
    members = ("kty", "crv", "x", "y") if key.kty == "EC" else ("kty", "crv", "x")
    return {"epk": {name: epk[name] for name in members}}


def _each(given: Any) -> Iterator[EncryptionKey]:
    if isinstance(given, EncryptionKey):
        yield given
    elif isinstance(given, JsonWebKey):
        yield EncryptionKey.from_jwk(given.as_dict())
    elif isinstance(given, Mapping):
        if "kty" not in given and isinstance(given.get("keys"), list | tuple):
            # A set holds keys for signatures as well; those are not meant.
            yield from (EncryptionKey.from_jwk(jwk) for jwk in given["keys"] if _for_encryption(jwk))
        else:
            yield EncryptionKey.from_jwk(given)
    elif isinstance(given, str | bytes):
        yield EncryptionKey.from_pem(given)
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _each(each)
    else:
        raise _unusable("key_type_unknown")


def _for_encryption(jwk: Any) -> bool:
    return not isinstance(jwk, Mapping) or jwk.get("use") != "sig"


def _public(key: EncryptionKey) -> EncryptionKey:
    if not key.private or key.kty == "oct":
        return key
    return EncryptionKey(key.kty, key.crv, key.kid, key.alg, False, key._material.public_key())


def _marks(jwk: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return ``kid`` and ``alg``, refusing a key that is meant for something else (RFC 7517 4.2 to 4.5)."""
    for name in ("kid", "alg"):
        if not isinstance(jwk.get(name), str | None):
            raise KeyRefused(f"{name}_invalid")
    if jwk.get("use") not in (None, "enc"):
        raise KeyRefused("use_mismatch")
    operations = jwk.get("key_ops")
    if operations is not None and (
        not isinstance(operations, list | tuple)
        or not any(isinstance(op, str) and op in _OPERATIONS for op in operations)
    ):
        raise KeyRefused("key_ops_mismatch")
    return jwk.get("kid"), jwk.get("alg")


_OPERATIONS = ("encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits")


def _read_jwk(jwk: Mapping[str, Any]) -> tuple[Any, str | None]:
    kty = jwk.get("kty")
    if kty == "oct":
        secret = jwk_octets(jwk, "k")
        if len(secret) not in (16, 24, 32, 48, 64):
            raise KeyRefused("secret_length_invalid")
        return secret, None
    public = _read_public(jwk)
    _, crv = _describe(public)
    if "d" not in jwk:
        return public, crv
    material = _read_private(jwk, str(kty))
    if (
        material.public_key().public_bytes_raw() != public.public_bytes_raw()
        if kty == "OKP"
        else (material.public_key().public_numbers() != public.public_numbers())
    ):
        raise KeyRefused("private_key_mismatch")
    return material, crv


def _read_private(jwk: Mapping[str, Any], kty: str) -> Any:
    if kty == "OKP":
        octets = jwk_octets(jwk, "d")
        _, private, length = _X_CURVES[jwk["crv"]]
        if len(octets) != length:
            raise KeyRefused("private_key_length_invalid")
        return private.from_private_bytes(octets)
    joserfc_jwe()
    errors = import_module("joserfc.errors")
    members = {name: value for name, value in jwk.items() if name in _MEMBERS}
    try:
        return import_module("joserfc.jwk").import_key(members).raw_value
    except (errors.JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise KeyRefused("private_key_invalid") from None


_MEMBERS = frozenset({"kty", "crv", "x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi"})


def _read_public(jwk: Mapping[str, Any]) -> Any:
    """Read the public half; the curve is one that keys are agreed upon on, the point is on it, RSA is not weak."""
    kty, crv = jwk.get("kty"), jwk.get("crv")
    if kty == "RSA":
        return import_key({name: jwk.get(name) for name in ("kty", "n", "e")}).material
    if not isinstance(kty, str) or not isinstance(crv, str) or crv not in _CURVES.get(kty, ()):
        raise KeyRefused("crv_unsupported" if kty in _CURVES else "kty_unsupported")
    try:
        if kty == "EC":
            return jwk_point(jwk).public_key()
        public, _, length = _X_CURVES[crv]
        octets = jwk_octets(jwk, "x")
        if len(octets) != length:
            raise KeyRefused("key_length_invalid")
        fault = agreement_point_fault(crv, octets)
        if fault is not None:
            raise KeyRefused(fault)
        return public.from_public_bytes(octets)
    except (KeyRefused, Base64Error):
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused("ec_point_invalid") from None


def _describe(public: Any) -> tuple[str, str | None]:
    for crv, (kind, _, _) in _X_CURVES.items():
        if isinstance(public, kind):
            fault = agreement_point_fault(crv, public.public_bytes_raw())
            if fault is not None:
                raise KeyRefused(fault)
            return "OKP", crv
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise KeyRefused("kty_unsupported")
    key = check_material(public)
    if key.kty == "EC" and key.crv not in _CURVES["EC"]:
        raise KeyRefused("crv_unsupported")
    return key.kty, key.crv


def _unusable(reason: str) -> ConfigurationException:
    what = "The key cannot be used for encryption"
    return because(ConfigurationException, "encryption_key_refused", what, reason, "key", actual=reason)


__all__ = [
    "ALL_KEY_ALGORITHMS",
    "KEY_ALGORITHMS",
    "SYMMETRIC_KEY_ALGORITHMS",
    "EncryptionKey",
    "JweKeys",
    "KeyAlgorithm",
    "KeyManagementAlgorithm",
    "choose_encryption_key",
    "fits",
    "joserfc_jwe",
    "read_ephemeral_key",
    "read_keys",
]
