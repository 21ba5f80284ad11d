"""JSON Web Keys as values (RFC 7517 4, RFC 7518 6, RFC 8037 2, RFC 9964 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar

from ..._arguments import explains_arguments
from ..._refusals import because
from ...exceptions import ConfigurationException
from ..base.base64url import Base64Error, b64url_decode
from ..base.secret import Redacted
from ..base.strict_json import StrictJSONError, loads_object
from .algorithms import EC_CURVES
from .verification_keys import PRIVATE_MEMBERS

_KEY_OPS = ("sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits")
_REQUIRED = {"EC": ("crv", "x", "y"), "RSA": ("n", "e"), "oct": ("k",), "OKP": ("crv", "x"), "AKP": ("alg", "pub")}
_CURVE_BITS = {"P-256": 256, "P-384": 384, "P-521": 521, "secp256k1": 256} | {
    "Ed25519": 256,
    "X25519": 256,
    "Ed448": 456,
    "X448": 448,
}
_SIZED_BY = {"RSA": "n", "oct": "k", "AKP": "pub"}


class JsonWebKeyParameterNames(StrEnum):
    """The members of a JWK, as they are written in JSON."""

    KTY = "kty"
    USE = "use"
    KEY_OPS = "key_ops"
    ALG = "alg"
    KID = "kid"
    X5U = "x5u"
    X5C = "x5c"
    X5T = "x5t"
    X5T_S256 = "x5t#S256"
    CRV = "crv"
    X = "x"
    Y = "y"
    D = "d"
    N = "n"
    E = "e"
    P = "p"
    Q = "q"
    DP = "dp"
    DQ = "dq"
    QI = "qi"
    OTH = "oth"
    K = "k"


class JsonWebAlgorithmsKeyTypes(StrEnum):
    """The key types of RFC 7518 6.1."""

    EllipticCurve = "EC"
    RSA = "RSA"
    Octet = "oct"


@dataclass(repr=False)
class JsonWebKey(Redacted):
    """One key of a key set, member by member; what is missing in the JSON is None. ``repr`` hides what is secret.

    Raises:
        ConfigurationException: Members are missing, unknown in value, or contradict one another.

    >>> JsonWebKey("OKP", crv="Ed25519", x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").key_size
    256
    """

    kty: str
    use: str | None = None
    key_ops: list[str] | None = None
    alg: str | None = None
    kid: str | None = None
    x5u: str | None = None
    x5c: list[str] | None = None
    x5t: str | None = None
    x5t_s256: str | None = None
    crv: str | None = None
    x: str | None = None
    y: str | None = None
    d: str | None = None
    n: str | None = None
    e: str | None = None
    p: str | None = None
    q: str | None = None
    dp: str | None = None
    dq: str | None = None
    qi: str | None = None
    oth: list[dict[str, str]] | None = None
    k: str | None = None
    pub: str | None = field(default=None, kw_only=True)
    priv: str | None = field(default=None, kw_only=True)
    #: Whose tokens alone the key signs, where tenants share a set (Microsoft Entra).
    issuer: str | None = field(default=None, kw_only=True)

    _redacted: ClassVar[frozenset[str]] = PRIVATE_MEMBERS

    @explains_arguments
    def __post_init__(self) -> None:
        if not isinstance(self.kty, str) or not self.kty:
            raise _refused("the key type is missing", "kty")
        self._check_types()
        for name in _REQUIRED.get(self.kty, ()):
            if not getattr(self, name):
                raise _refused(f"a key of type {self.kty} needs the member {name}", name)
        if self.kty == "EC" and self.crv not in EC_CURVES:
            raise _refused("the curve is unknown", "crv", ", ".join(EC_CURVES), self.crv)
        self._check_purpose()

    def _check_types(self) -> None:
        for member in fields(self):
            value = getattr(self, member.name)
            kind = list if member.name in ("key_ops", "x5c", "oth") else str
            if value is not None and not isinstance(value, kind):
                expected = "a list" if kind is list else "a string"
                raise _refused("a member has another type", member.name, expected, type(value).__name__)

    def _check_purpose(self) -> None:
        if self.use is not None and self.use not in ("sig", "enc") and not self.use.startswith("https://"):
            raise _refused("the use is unknown", "use", "sig, enc or an https URI", self.use)
        if self.key_ops is None:
            return
        for operation in self.key_ops:
            if operation not in _KEY_OPS:
                raise _refused("an operation is unknown", "key_ops", ", ".join(_KEY_OPS), operation)
        if self.use is not None:  # RFC 7517 4.3
            raise _refused("use and key_ops do not go together", "key_ops")

    @classmethod
    @explains_arguments
    def from_json(cls, json_str: str) -> JsonWebKey:
        """Read a key from JSON.

        Raises:
            ConfigurationException: It is no JSON object, or no key.
        """
        try:
            return jwks_from_dict(loads_object(json_str))
        except StrictJSONError as error:
            raise _refused(error.reason) from None

    def to_json(self) -> str:
        """Write the key as JSON, secret members included."""
        return json.dumps(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return the members that are there, under their names in JSON, secret ones included."""
        values = {_json_name(f.name): getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def has_private_key(self) -> bool:
        """Whether more than the public half is there; of a shared secret everything is private."""
        return any(getattr(self, name) for name in ("d", "k", "priv"))

    @property
    def key_size(self) -> int:
        """The size in bits: of the modulus, the curve, the secret; 0 if it cannot be told."""
        name = _SIZED_BY.get(self.kty)
        if name is None:
            return _CURVE_BITS.get(self.crv or "", 0)
        try:
            octets = b64url_decode(getattr(self, name))
        except Base64Error:
            return 0
        return int.from_bytes(octets, "big").bit_length() if self.kty == "RSA" else 8 * len(octets)


@explains_arguments
def jwks_from_dict(keys_dict: Mapping[str, Any]) -> JsonWebKey:
    """Read one key from its JSON members; unknown members are left out.

    Raises:
        ConfigurationException: It is no key.
    """
    if not isinstance(keys_dict, Mapping) or "kty" not in keys_dict:
        raise _refused("the key type is missing", "kty")
    known = {_json_name(f.name): f.name for f in fields(JsonWebKey)}
    return JsonWebKey(**{known[name]: value for name, value in keys_dict.items() if name in known})


def _json_name(field_name: str) -> str:
    return "x5t#S256" if field_name == "x5t_s256" else field_name


_refused = partial(because, ConfigurationException, "jwk_invalid", "The JWK cannot be used")


__all__ = ["JsonWebAlgorithmsKeyTypes", "JsonWebKey", "JsonWebKeyParameterNames", "jwks_from_dict"]
