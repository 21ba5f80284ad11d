"""Signing keys: of PEM, JWK, a shared secret, or a key that never leaves its HSM."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ..._arguments import explains_arguments
from ..._refusals import bounded, must_be, refused
from ...exceptions import ConfigurationException, printable
from ..base.base64url import b64url_encode
from ..base.secret import Secret, secret_octets
from .algorithms import ALGORITHMS, EC_CURVES, Algorithm, KeyRefused, SignatureAlgorithm, ecdsa_from_der, ml_dsa
from .verification_keys import (
    PublicKey,
    akp_algorithm,
    check_material,
    check_secret,
    export_jwk,
    jwk_curve,
    jwk_octets,
    jwk_point,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs, bound to one algorithm. It shows nothing secret, and ``sign(signing_input)`` is all it does."""

    alg: SignatureAlgorithm
    kid: str | None
    sign: Callable[[bytes], bytes] = field(repr=False)
    #: What a key set may publish about the key; None for a shared secret and a key that is elsewhere.
    public_jwk: dict[str, str] | None = field(repr=False)
    _private: Any = field(repr=False)

    def __post_init__(self) -> None:
        if not callable(self.sign):
            raise must_be("sign", "a function", type(self.sign).__name__, code="argument_invalid")

    @property
    def private_pem(self) -> str | None:
        """The key in PEM (PKCS #8, RFC 5958), not encrypted; None for a secret and a key that is elsewhere."""
        if self.public_jwk is None:
            return None
        return str(self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "ascii")

    @property
    def public_pem(self) -> str | None:
        """The public key in PEM (SubjectPublicKeyInfo, RFC 5280); None for a secret and a key that is elsewhere."""
        if self.public_jwk is None:
            return None
        form = PublicFormat.SubjectPublicKeyInfo
        return str(self._private.public_key().public_bytes(Encoding.PEM, form), "ascii")

    @property
    def private_jwk(self) -> dict[str, str] | None:
        """The key as a JWK with its private members (RFC 7517), not encrypted; None for a key that is elsewhere.

        >>> sorted(SigningKey.generate("Ed25519").private_jwk)
        ['alg', 'crv', 'd', 'kty', 'use', 'x']
        """
        if isinstance(self._private, bytes):
            marks = {"alg": str(self.alg), "use": "sig"} | ({"kid": self.kid} if self.kid is not None else {})
            return {"k": b64url_encode(self._private), "kty": "oct"} | marks
        return None if self.public_jwk is None else self.public_jwk | export_private(self._private)

    @classmethod
    @explains_arguments
    def from_pem(
        cls,
        pem: str | bytes,
        alg: SignatureAlgorithm,
        kid: str | None = None,
        password: str | bytes | Secret | None = None,
    ) -> SigningKey:
        """Read a private key in PEM.

        Raises:
            ConfigurationException: It is no private key, the password is missing or wrong, or it does not fit *alg*.
        """
        _row(alg)
        if isinstance(password, str | Secret):
            password = secret_octets(password)
        # Encoded out here, and whatever it is: the error of a codec holds the text, and would be the context.
        octets = pem.encode("utf-8", "surrogatepass") if isinstance(pem, str) else pem
        try:
            key = load_pem_private_key(octets, password)
        except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm):
            hint = "give the PEM itself, not its path; an encrypted key needs its password, a bare one none"
            raise _refused("signing_key_unreadable", "The private key cannot be read", hint=hint) from None
        return cls.from_cryptography(key, alg, kid)

    @classmethod
    @explains_arguments
    def from_jwk(cls, jwk: Mapping[str, Any], alg: SignatureAlgorithm | None = None) -> SigningKey:
        """Read a private JWK; *alg* is needed where the key does not name it.

        Raises:
            ConfigurationException: It is no private key, does not fit *alg*, or is not meant for signing.
        """
        try:
            key = _read_private(jwk)
        except (KeyRefused, ValueError, UnsupportedAlgorithm) as error:
            reason = error.reason if isinstance(error, KeyRefused) else "private_key_invalid"
            raise _refused("signing_key_unreadable", "The private JWK cannot be used", actual=reason) from None
        own_alg, kid = jwk.get("alg"), jwk.get("kid")
        key_ops = jwk.get("key_ops")
        if jwk.get("use") not in (None, "sig") or (key_ops is not None and "sign" not in key_ops):
            raise _refused("signing_key_mismatch", "The private JWK is not meant for signing", claim="use")
        alg = alg or own_alg
        if alg is None or own_alg not in (None, alg):
            raise _refused(
                "signing_key_mismatch", "The algorithm of the private JWK is missing or another", claim="alg"
            )
        return cls.from_secret(key, alg, kid) if isinstance(key, bytes) else cls.from_cryptography(key, alg, kid)

    @classmethod
    @explains_arguments
    def from_cryptography(cls, key: PrivateKeyTypes, alg: SignatureAlgorithm, kid: str | None = None) -> SigningKey:
        """Take a private key object of ``cryptography``.

        Raises:
            ConfigurationException: It does not fit *alg*, or is weak.
        """
        row = _row(alg)
        try:
            public = check_material(key.public_key(), kid=kid)
        except AttributeError:
            raise _refused("signing_key_unreadable", "A private key is needed", actual=type(key).__name__) from None
        except KeyRefused as error:
            raise _refused("signing_key_mismatch", "The key cannot be used", actual=error.reason) from None
        if not _fits(public, row):
            actual = public.alg or public.crv or public.kty
            raise _refused("signing_key_mismatch", f"The key does not fit {alg}", actual=actual, claim="alg")
        marks = {"alg": alg, "use": "sig"} | ({"kid": kid} if kid is not None else {})
        return cls(alg, kid, row.signer(key), export_jwk(public.material) | marks, key)

    @classmethod
    @explains_arguments
    def from_secret(cls, secret: bytes | str | Secret, alg: SignatureAlgorithm, kid: str | None = None) -> SigningKey:
        """Take a shared secret; of text the UTF-8 is the key (OpenID Connect Core 10.1).

        Raises:
            ConfigurationException: It is shorter than the hash (RFC 7518 3.2), or *alg* is not HS256, 384 or 512.
        """
        row = _row(alg)
        octets = secret if isinstance(secret, bytes) else secret_octets(secret)
        if not row.symmetric:
            raise _refused("signing_key_mismatch", f"A shared secret does not fit {alg}", claim="alg")
        try:
            check_secret(octets, alg)
        except KeyRefused:
            least = f"{row.signature_length} octets"
            raise _refused(
                "secret_too_short", f"The secret is too short for {alg}", expected=least, actual=f"{len(octets)} octets"
            ) from None
        return cls(alg, kid, row.signer(octets), None, octets)

    @classmethod
    @explains_arguments
    def from_callable(
        cls, sign: Callable[[bytes], bytes], alg: SignatureAlgorithm, kid: str | None = None
    ) -> SigningKey:
        """Let *sign* make the signatures: a KMS, an HSM, an agent. ECDSA may come as JOSE or as DER.

        What *sign* itself raises is passed on.
        """
        row = _row(alg)
        if not callable(sign):
            raise must_be("sign", "a function", type(sign).__name__, code="argument_invalid")

        def checked(signing_input: bytes) -> bytes:
            return _jose_form(sign(signing_input), row)

        return cls(alg, kid, checked, None, None)

    @classmethod
    @explains_arguments
    def generate(cls, alg: SignatureAlgorithm, kid: str | None = None, *, bits: int = 2048) -> SigningKey:
        """Make a new key; *bits* is the size of an RSA modulus.

        >>> key = SigningKey.generate("ES256", kid="2026")
        >>> key, sorted(key.public_jwk)
        (SigningKey(alg='ES256', kid='2026'), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
        """
        row = _row(alg)
        if row.symmetric:
            return cls.from_secret(secrets.token_bytes(row.signature_length), alg, kid)
        return cls.from_cryptography(_generate(row, bits), alg, kid)


_refused = partial(refused, ConfigurationException)


def _row(alg: SignatureAlgorithm) -> Algorithm:
    row = ALGORITHMS.get(alg) if isinstance(alg, str) else None
    if row is None:
        expected = ", ".join(ALGORITHMS)
        raise _refused(
            "alg_unsupported", f"{printable(alg, 40)} is no signature algorithm", expected=expected, claim="alg"
        )
    return row


def _fits(key: PublicKey, row: Algorithm) -> bool:
    return key.kty == row.kty and (not row.crvs or key.crv in row.crvs) and key.alg in (None, row.name)


def _jose_form(signature: bytes, row: Algorithm) -> bytes:
    length = row.signature_length
    if row.kty == "EC" and len(signature) != length and signature[:1] == b"\x30":
        try:
            signature = ecdsa_from_der(signature, EC_CURVES[row.crvs[0]].size)
        except (ValueError, OverflowError):
            pass
    if not signature or (length is not None and len(signature) != length):
        raise _refused("signature_unusable", f"The signer did not answer with a signature of {row.name}")
    return signature


def _generate(row: Algorithm, bits: int) -> Any:
    if row.kty == "RSA":
        return rsa.generate_private_key(65537, bounded(bits, "bits", int, 2048, 16384, code="signing_key_mismatch"))
    if row.kty == "EC":
        return ec.generate_private_key(EC_CURVES[row.crvs[0]].curve)
    if row.kty == "OKP":
        return (ed25519.Ed25519PrivateKey if row.crvs[0] == "Ed25519" else ed448.Ed448PrivateKey).generate()
    try:
        return ml_dsa(row.name)[1].generate()
    except (KeyRefused, UnsupportedAlgorithm):
        raise _refused("alg_unavailable", f"The installed cryptography has no {row.name}", hint=_ML_DSA_HINT) from None


_ML_DSA_HINT = "pip install --upgrade cryptography"


def _read_private(jwk: Mapping[str, Any]) -> Any:
    if not isinstance(jwk, Mapping):
        raise KeyRefused("jwk_not_an_object")
    reader = _READERS.get(kty) if isinstance(kty := jwk.get("kty"), str) else None
    if reader is None:
        raise KeyRefused("kty_unsupported")
    key = reader(jwk)
    if not isinstance(key, bytes):
        _check_pair(jwk, key)
    return key


def _check_pair(jwk: Mapping[str, Any], key: Any) -> None:
    """Refuse a JWK whose public half belongs to another key."""
    for name, value in export_jwk(key.public_key()).items():
        if name in ("x", "y", "n", "pub") and name in jwk and jwk[name] != value:
            raise KeyRefused("private_key_mismatch")


def _uint(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(jwk_octets(jwk, name), "big")


def _read_rsa(jwk: Mapping[str, Any]) -> Any:
    if "oth" in jwk:
        raise KeyRefused("rsa_multi_prime_unsupported")
    n, e, d = (_uint(jwk, name) for name in ("n", "e", "d"))
    if "p" in jwk:
        p, q, dp, dq, qi = (_uint(jwk, name) for name in ("p", "q", "dp", "dq", "qi"))
    else:  # RFC 7518 6.3.2: d alone will do
        p, q = rsa.rsa_recover_prime_factors(n, e, d)
        dp, dq, qi = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()


def _read_ec(jwk: Mapping[str, Any]) -> Any:
    numbers, d = jwk_point(jwk), jwk_octets(jwk, "d")
    if len(d) != EC_CURVES[jwk["crv"]].size:  # RFC 7518 6.2.2.1
        raise KeyRefused("private_key_length_invalid")
    return ec.EllipticCurvePrivateNumbers(int.from_bytes(d, "big"), numbers).private_key()


def _read_okp(jwk: Mapping[str, Any]) -> Any:
    private = ed25519.Ed25519PrivateKey if jwk_curve(jwk) == "Ed25519" else ed448.Ed448PrivateKey
    return private.from_private_bytes(jwk_octets(jwk, "d"))


def _read_akp(jwk: Mapping[str, Any]) -> Any:
    # RFC 9964 3: `priv` is the seed.
    return ml_dsa(akp_algorithm(jwk))[1].from_seed_bytes(jwk_octets(jwk, "priv"))


def _read_oct(jwk: Mapping[str, Any]) -> bytes:
    return jwk_octets(jwk, "k")


def export_private(key: Any) -> dict[str, str]:
    """Return the private members of a JWK (RFC 7518 6.2.2, 6.3.2, RFC 8037 2, RFC 9964 3)."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        names = {"p": "p", "q": "q", "dp": "dmp1", "dq": "dmq1", "qi": "iqmp"}
        return {"d": _written(numbers.d)} | {name: _written(getattr(numbers, own)) for name, own in names.items()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"d": _written(key.private_numbers().private_value, (key.key_size + 7) // 8)}
    octets = b64url_encode(key.private_bytes_raw())
    return {"d": octets} if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else {"priv": octets}


def _written(value: int, size: int | None = None) -> str:
    return b64url_encode(value.to_bytes((value.bit_length() + 7) // 8 if size is None else size, "big"))


_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "RSA": _read_rsa,
    "EC": _read_ec,
    "OKP": _read_okp,
    "AKP": _read_akp,
    "oct": _read_oct,
}

__all__ = ["SigningKey"]
