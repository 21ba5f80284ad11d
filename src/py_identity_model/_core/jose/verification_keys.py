"""Verification keys: from JWK (RFC 7517, 7518 6, 8037, 9964) or PEM to one that is ready for one algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from ..base.base64url import Base64Error, b64url_decode, b64url_encode
from .algorithms import ALGORITHMS, EC_CURVES, EDDSA_SIGNATURE_LENGTHS, KeyRefused, Verify, ml_dsa
from .edwards_points import signing_point_fault

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_KID = 256
#: What a JWK must never hold where only a public key is wanted (RFC 7518 6.2.2, 6.3.2, RFC 9964 3).
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

_OKP_CLASSES: dict[str, tuple[Any, Any, int]] = {
    "Ed25519": (ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey, 32),
    "Ed448": (ed448.Ed448PublicKey, ed448.Ed448PrivateKey, 57),
}
ML_DSA_NAMES = ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")
_ML_DSA_PUBLIC_LENGTHS = {"ML-DSA-44": 1312, "ML-DSA-65": 1952, "ML-DSA-87": 2592}

#: A public key of ``cryptography``, or the octets of a shared secret.
Material: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures can be checked with: public, or a shared secret where ``kty`` is ``oct``."""

    kty: str
    crv: str | None
    kid: str | None
    alg: str | None
    use: str | None
    key_ops: tuple[str, ...] | None
    material: Material = field(repr=False)
    #: Whose tokens alone the key signs, where a set is shared; it may hold one ``{placeholder}``, as Entra's does.
    issuer: str | None = None

    @property
    def bits(self) -> int:
        """Size of the key: of the modulus, the field, the octets of a public key or of a secret."""
        if isinstance(self.material, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            return self.material.key_size
        octets = self.material if isinstance(self.material, bytes) else self.material.public_bytes_raw()
        return 8 * len(octets)

    def signs_for(self, issuer: object) -> bool:
        """Tell whether the key may have signed a token of *issuer*: any key that names no other."""
        return self.issuer is None or (isinstance(issuer, str) and names_issuer(self.issuer, issuer))


#: Entra's v1 tokens come from the first address, and the keys beside them name the issuer of v2, which has the second.
_V1_AND_V2 = (
    ("https://sts.windows.net/", "https://login.microsoftonline.com/"),
    ("https://sts.windows.net/", "https://login.microsoftonline.us/"),
    ("https://sts.chinacloudapi.cn/", "https://login.partner.microsoftonline.cn/"),
)


def names_issuer(named: str, issuer: str) -> bool:
    """Tell whether a key's ``issuer`` member names *issuer*, exactly or by the one ``{placeholder}`` it holds.

    >>> entra = "https://login.microsoftonline.com/{tenantid}/v2.0"
    >>> names_issuer(entra, "https://login.microsoftonline.com/contoso/v2.0")
    True
    >>> names_issuer("https://login.microsoftonline.com/fabrikam/v2.0", "https://login.microsoftonline.com/contoso/v2.0")
    False
    """
    if _fills(named, issuer):
        return True
    return any(
        issuer.startswith(v1) and _fills(named, v2 + issuer[len(v1) :].removesuffix("/") + "/v2.0")
        for v1, v2 in _V1_AND_V2
    )


def _fills(template: str, issuer: str) -> bool:
    before, opening, rest = template.partition("{")
    if not opening:
        return template == issuer
    after = rest.partition("}")[2]
    return "{" not in after and placed(before, after, issuer) is not None


def placed(before: str, after: str, issuer: object) -> str | None:
    """Return the one path segment of *issuer* between *before* and *after*; None if it does not fit."""
    if not isinstance(issuer, str):
        return None
    part = issuer[len(before) : len(issuer) - len(after)]
    # Unreserved characters: nothing that could be another path, host or query.
    fits = part.isascii() and part and all(c.isalnum() or c in "-._~" for c in part) and part.strip(".")
    return part if fits and before + part + after == issuer else None


@dataclass(frozen=True, slots=True)
class PreparedKey:
    """A key bound to one algorithm; ``verify(signing_input, signature)`` tells, and never raises."""

    alg: str
    verify: Verify = field(repr=False)
    signature_length: int
    key: PublicKey

    @property
    def crv(self) -> str | None:
        """The curve of the key, which ``EdDSA`` alone leaves open."""
        return self.key.crv

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo in DER, or for HS* the secret itself."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # the pure engine asks for none

        if isinstance(self.key.material, bytes):
            return self.key.material
        return bytes(self.key.material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def import_key(jwk: Mapping[str, Any]) -> PublicKey:
    """Read a JWK; what is private in it is left out, except the secret of an ``oct`` key.

    Raises:
        KeyRefused: It is no JWK, or holds a key that must not or cannot be used.
    """
    if not isinstance(jwk, Mapping):
        raise KeyRefused("jwk_not_an_object")
    reader = _READERS.get(kty) if isinstance(kty := jwk.get("kty"), str) else None
    if reader is None:
        raise KeyRefused("kty_unsupported")
    marks = _read_marks(jwk)
    try:
        material = reader(jwk)
    except UnsupportedAlgorithm:
        raise KeyRefused("key_unsupported_by_cryptography") from None
    except Base64Error:
        raise KeyRefused("jwk_member_not_base64url") from None
    return check_material(material, **marks)


def import_pem(data: str | bytes) -> PublicKey:
    """Read a public key or an X.509 certificate in PEM (RFC 7468 5, 13). The certificate's dates are not looked at.

    Raises:
        KeyRefused: It is something else, a private key for instance, or a key that must not or cannot be used.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # a JWK needs nothing of it

    pem = data.encode() if isinstance(data, str) else data
    if b"PRIVATE KEY-----" in pem:
        raise KeyRefused("pem_is_a_private_key")
    try:
        if b"-----BEGIN CERTIFICATE-----" in pem:
            return check_material(_read_certificate(pem))
        return check_material(load_pem_public_key(pem))
    except UnsupportedAlgorithm:
        raise KeyRefused("key_unsupported_by_cryptography") from None
    except KeyRefused:
        raise
    except (ValueError, TypeError):
        raise KeyRefused("pem_unreadable") from None


def _read_certificate(pem: bytes) -> Material:
    from cryptography import x509  # keys seldom come so, and it takes as long to load as all the rest of cryptography

    return x509.load_pem_x509_certificate(pem).public_key()


def prepare(key: PublicKey, alg: str) -> PreparedKey:
    """Bind *key* to *alg*, if all that is known of both allows it.

    Raises:
        KeyRefused: Key type, curve, length, ``alg``, ``use`` or ``key_ops`` do not fit (RFC 8725 3.1, RFC 7517 4).
    """
    row = ALGORITHMS.get(alg)
    if row is None:
        raise KeyRefused("alg_unsupported")
    if key.kty != row.kty:
        raise KeyRefused("kty_mismatch")
    if row.crvs and key.crv not in row.crvs:
        raise KeyRefused("crv_mismatch")
    if key.alg is not None and key.alg != alg:
        raise KeyRefused("alg_mismatch")
    if key.use not in (None, "sig"):
        raise KeyRefused("use_mismatch")
    if key.key_ops is not None and "verify" not in key.key_ops:
        raise KeyRefused("key_ops_mismatch")
    if row.symmetric:
        check_secret(key.material, alg)
    return PreparedKey(alg, row.verifier(key.material), _signature_length(key, alg), key)


def check_secret(secret: bytes, alg: str) -> None:
    """Refuse a secret that is shorter than the hash (RFC 7518 3.2)."""
    shortest = ALGORITHMS[alg].signature_length
    if shortest is not None and len(secret) < shortest:
        raise KeyRefused("secret_too_short")


def check_material(
    material: Material,
    *,
    kid: str | None = None,
    alg: str | None = None,
    use: str | None = None,
    key_ops: tuple[str, ...] | None = None,
    issuer: str | None = None,
) -> PublicKey:
    """Wrap *material*, whose kind and strength are checked here for every way a key comes in.

    Raises:
        KeyRefused: It is of a kind that makes no signatures, or weak.
    """
    kty, crv, own_alg = describe(material)
    if isinstance(material, rsa.RSAPublicKey):
        _check_rsa(material.public_numbers())
    fault = None
    if isinstance(material, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and crv:
        fault = signing_point_fault(crv, material.public_bytes_raw())
    if fault is not None:
        raise KeyRefused(fault)
    if own_alg is not None and alg not in (None, own_alg):
        raise KeyRefused("alg_mismatch")
    return PublicKey(kty, crv, kid, own_alg or alg, use, key_ops, material, issuer)


def describe(material: Material) -> tuple[str, str | None, str | None]:
    """Return ``kty``, ``crv`` and, for AKP, ``alg`` of a public key of ``cryptography`` or a secret."""
    if isinstance(material, bytes):
        return "oct", None, None
    if isinstance(material, rsa.RSAPublicKey):
        return "RSA", None, None
    if isinstance(material, ec.EllipticCurvePublicKey):
        for crv, curve in EC_CURVES.items():
            if material.curve.name == curve.curve.name:
                return "EC", crv, None
        raise KeyRefused("crv_unsupported")
    for crv, (public, _, _) in _OKP_CLASSES.items():
        if isinstance(material, public):
            return "OKP", crv, None
    for name in ML_DSA_NAMES:
        if isinstance(material, _ml_dsa_or_nothing(name)):
            return "AKP", None, name
    raise KeyRefused("kty_unsupported")


def export_jwk(material: Material) -> dict[str, str]:
    """Return the members of a public JWK that carry *material*, in the order of RFC 7638."""
    kty, crv, alg = describe(material)
    if kty == "RSA":
        numbers = material.public_numbers()
        return {"e": _uint(numbers.e), "kty": kty, "n": _uint(numbers.n)}
    if kty == "EC" and crv:
        numbers, size = material.public_numbers(), EC_CURVES[crv].size
        return {"crv": crv, "kty": kty, "x": _uint(numbers.x, size), "y": _uint(numbers.y, size)}
    raw = b64url_encode(material.public_bytes_raw())
    return {"crv": crv, "kty": kty, "x": raw} if crv else {"alg": str(alg), "kty": kty, "pub": raw}


def jwk_octets(jwk: Mapping[str, Any], name: str) -> bytes:
    """Decode the member *name*, which must be there.

    Raises:
        KeyRefused: It is missing or no string.
        Base64Error: It is no base64url.
    """
    text = jwk.get(name)
    if not isinstance(text, str) or not text:
        raise KeyRefused("jwk_member_missing")
    if len(text) > 4 * MAX_RSA_BITS // 8:
        raise KeyRefused("jwk_member_too_long")
    return b64url_decode(text)


def jwk_curve(jwk: Mapping[str, Any]) -> str:
    """Return ``crv``, which must be one that makes signatures."""
    crv = jwk.get("crv")
    if not isinstance(crv, str) or (crv not in EC_CURVES if jwk["kty"] == "EC" else crv not in _OKP_CLASSES):
        raise KeyRefused("crv_unsupported")
    return crv


def jwk_point(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicNumbers:
    """Read the coordinates of an EC key; the point itself is checked where a key is made of them."""
    curve = EC_CURVES[jwk_curve(jwk)]
    x, y = jwk_octets(jwk, "x"), jwk_octets(jwk, "y")
    # RFC 7518 6.2.1.2: the full size of a coordinate, leading zeros included.
    if len(x) != curve.size or len(y) != curve.size:
        raise KeyRefused("ec_coordinate_length")
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve.curve)


def _read_rsa(jwk: Mapping[str, Any]) -> Material:
    # RFC 7518 6.3.1.1 warns of a zero octet that libraries put before n; it changes no number, so it is let pass.
    n, e = (int.from_bytes(jwk_octets(jwk, name), "big") for name in ("n", "e"))
    numbers = rsa.RSAPublicNumbers(e, n)
    _check_rsa(numbers)
    try:
        return numbers.public_key()
    except ValueError:
        raise KeyRefused("rsa_key_invalid") from None


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    bits = numbers.n.bit_length()
    if bits < MIN_RSA_BITS:  # RFC 7518 3.3
        raise KeyRefused("rsa_key_too_small")
    if bits > MAX_RSA_BITS:
        raise KeyRefused("rsa_key_too_large")
    if not 3 <= numbers.e < 1 << 32 or numbers.e % 2 == 0:
        raise KeyRefused("rsa_exponent_invalid")
    if numbers.n % 2 == 0 or all(numbers.n % p in residues for p, residues in _roca_residues()):
        raise KeyRefused("rsa_modulus_weak")


@cache
def _roca_residues() -> tuple[tuple[int, frozenset[int]], ...]:
    """Return what CVE-2017-15361 (ROCA) leaves of each small prime: its moduli are powers of 65537 modulo all of them.

    Of honest keys fewer than 1 in 100 million look like that.
    """
    primes = [p for p in range(3, 168) if all(p % q for q in range(2, p))]
    return tuple((p, frozenset(pow(65537, i, p) for i in range(p))) for p in primes)


def _read_ec(jwk: Mapping[str, Any]) -> Material:
    numbers = jwk_point(jwk)
    try:
        return numbers.public_key()
    except ValueError:
        raise KeyRefused("ec_point_invalid") from None


def _read_okp(jwk: Mapping[str, Any]) -> Material:
    public, _, length = _OKP_CLASSES[jwk_curve(jwk)]
    return _from_raw(public, jwk_octets(jwk, "x"), length)


def _read_akp(jwk: Mapping[str, Any]) -> Material:
    name = akp_algorithm(jwk)
    return _from_raw(ml_dsa(name)[0], jwk_octets(jwk, "pub"), _ML_DSA_PUBLIC_LENGTHS[name])


def akp_algorithm(jwk: Mapping[str, Any]) -> str:
    """Return ``alg`` of an AKP key, where it stands for the missing curve (RFC 9964 3)."""
    alg = jwk.get("alg")
    if alg not in ML_DSA_NAMES:
        raise KeyRefused("alg_unsupported")
    return str(alg)


def _from_raw(public: Any, octets: bytes, length: int) -> Material:
    if len(octets) != length:
        raise KeyRefused("key_length_invalid")
    try:
        return public.from_public_bytes(octets)
    except ValueError:
        raise KeyRefused("key_invalid") from None


def _read_oct(jwk: Mapping[str, Any]) -> Material:
    return jwk_octets(jwk, "k")


_READERS: dict[str, Callable[[Mapping[str, Any]], Material]] = {
    "RSA": _read_rsa,
    "EC": _read_ec,
    "OKP": _read_okp,
    "AKP": _read_akp,
    "oct": _read_oct,
}


def _read_marks(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a JWK says about its key (RFC 7517 4.2 to 4.5), and whose it is in a set that tenants share."""
    marks: dict[str, Any] = {name: jwk[name] for name in ("kid", "alg", "use", "issuer") if jwk.get(name) is not None}
    for name, value in marks.items():
        if not isinstance(value, str):
            raise KeyRefused(f"{name}_invalid")
    if len(marks.get("kid", "")) > MAX_KID:
        raise KeyRefused("kid_invalid")
    key_ops = jwk.get("key_ops")
    if key_ops is not None:
        # RFC 7517 4.3: duplicate values must not be present.
        if not isinstance(key_ops, list | tuple) or not all(isinstance(op, str) for op in key_ops):
            raise KeyRefused("key_ops_invalid")
        if len(set(key_ops)) != len(key_ops):
            raise KeyRefused("key_ops_invalid")
        marks["key_ops"] = tuple(key_ops)
    return marks


def _ml_dsa_or_nothing(name: str) -> Any:
    try:
        return ml_dsa(name)[0]
    except KeyRefused:
        return ()


def _signature_length(key: PublicKey, alg: str) -> int:
    length = ALGORITHMS[alg].signature_length
    if length is None:
        return EDDSA_SIGNATURE_LENGTHS[key.crv] if key.crv else (key.bits + 7) // 8
    return length


def _uint(value: int, size: int | None = None) -> str:
    return b64url_encode(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


__all__ = [
    "MAX_KID",
    "MAX_RSA_BITS",
    "MIN_RSA_BITS",
    "ML_DSA_NAMES",
    "PRIVATE_MEMBERS",
    "Material",
    "PreparedKey",
    "PublicKey",
    "akp_algorithm",
    "check_material",
    "check_secret",
    "describe",
    "export_jwk",
    "import_key",
    "import_pem",
    "jwk_curve",
    "jwk_octets",
    "jwk_point",
    "names_issuer",
    "placed",
    "prepare",
]
