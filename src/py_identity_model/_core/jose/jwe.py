"""Encrypted tokens: compact JWE, opened and made through joserfc (RFC 7516, RFC 7518 4 and 5, RFC 8037 3.2).

Encryption says nothing about who wrote a token: what :func:`decrypt_nested` returns still has to be verified. Refused
always: ``RSA1_5``, ``PBES2``, compression, and the JSON serialization. The keys are in :mod:`.jwe_keys`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from ..._arguments import checks_arguments
from ..._refusals import refused
from ...exceptions import ConfigurationException, TokenValidationException, printable
from ..base.base64url import Base64Error, b64url_decode
from ..base.secret import Unpicklable
from ..base.strict_json import StrictJSONError, loads_object
from .algorithms import KeyRefused
from .jwe_keys import (
    ALL_KEY_ALGORITHMS,
    KEY_ALGORITHMS,
    SYMMETRIC_KEY_ALGORITHMS,
    EncryptionKey,
    JweKeys,
    KeyAlgorithm,
    KeyManagementAlgorithm,
    fits,
    joserfc_jwe,
    read_ephemeral_key,
    read_keys,
)
from .jws import MAX_HEADER, MAX_TOKEN, parse_compact
from .verification_keys import MAX_KID

#: Keys that are tried at most where a token fits several: opening costs more than verifying.
MAX_TRIED = 8
#: Characters of an encrypted token at most: one that is as long as a signed one may be, in base64url once more.
MAX_JWE = MAX_TOKEN * 3 // 2
#: RFC 7518 4.6.1.2: characters of ``apu`` and ``apv``, which the standard leaves open.
_MAX_PARTY_INFO = 512


ContentEncryptionAlgorithm: TypeAlias = Literal[
    "A256GCM", "A192GCM", "A128GCM", "A256CBC-HS512", "A192CBC-HS384", "A128CBC-HS256"
]


class ContentAlgorithm(NamedTuple):
    """An ``enc`` of RFC 7518 5.1: octets of its key, its initialization vector and its tag."""

    name: str
    key: int
    iv: int
    tag: int


_CONTENT = {
    row.name: row
    for row in (
        *(ContentAlgorithm(f"A{bits}GCM", bits // 8, 12, 16) for bits in (256, 192, 128)),
        *(ContentAlgorithm(f"A{bits}CBC-HS{bits * 2}", bits // 4, 16, bits // 8) for bits in (256, 192, 128)),
    )
}
CONTENT_ALGORITHMS: tuple[ContentEncryptionAlgorithm, ...] = get_args(ContentEncryptionAlgorithm)


@dataclass(frozen=True)
class Decryption(Unpicklable):
    """How tokens that are encrypted to us are opened. Build it once: the keys are read here.

    Args:
        keys: Private keys, each as JWK, JWK set, PEM or :class:`EncryptionKey`; or shared secrets as the last.
        algs: Accepted ``alg``; by default RSA-OAEP and ECDH-ES, or with shared secrets ``dir`` and AES key wrap.
        encs: Accepted ``enc``; by default AES-GCM and AES-CBC with HMAC.

    Raises:
        ConfigurationException: A key cannot be used, an algorithm is unknown, or joserfc is not installed.
    """

    keys: JweKeys = field(repr=False)
    algs: Sequence[KeyManagementAlgorithm] | Set[KeyManagementAlgorithm] | None = None
    encs: Sequence[ContentEncryptionAlgorithm] | Set[ContentEncryptionAlgorithm] = CONTENT_ALGORITHMS
    _keys: tuple[EncryptionKey, ...] = field(default=(), init=False, repr=False, compare=False)

    @checks_arguments
    def __post_init__(self) -> None:
        joserfc_jwe()
        keys = read_keys(self.keys, private=True)
        algs = self.algs if self.algs is not None else _default_algs(keys)
        object.__setattr__(self, "_keys", keys)
        object.__setattr__(self, "algs", _checked(algs, ALL_KEY_ALGORITHMS, "algs"))
        object.__setattr__(self, "encs", _checked(self.encs, CONTENT_ALGORITHMS, "encs"))


@dataclass(frozen=True)
class Encryption(Unpicklable):
    """How something is encrypted for a recipient.

    Args:
        key: The recipient's public key, or a shared secret.
        alg: How the content key gets to the recipient.
        enc: How the content is encrypted.

    Raises:
        ConfigurationException: The key does not fit, an algorithm is unknown, or joserfc is not installed.
    """

    key: EncryptionKey | Mapping[str, Any] | str | bytes = field(repr=False)
    alg: KeyManagementAlgorithm = "RSA-OAEP-256"
    enc: ContentEncryptionAlgorithm = "A256GCM"
    _recipient: EncryptionKey = field(init=False, repr=False, compare=False)

    @checks_arguments
    def __post_init__(self) -> None:
        joserfc_jwe()
        _checked((self.enc,), CONTENT_ALGORITHMS, "enc")
        row = ALL_KEY_ALGORITHMS[_checked((self.alg,), ALL_KEY_ALGORITHMS, "alg")[0]]
        (key,) = read_keys(self.key, private=False)
        if not fits(key, row, self.enc, _CONTENT[self.enc].key):
            raise _misfit(f"The key does not fit {self.alg}", "key", key.crv or key.kty)
        object.__setattr__(self, "_recipient", key)


class _Jwe(NamedTuple):
    """A compact JWE taken apart; its header is checked, nothing else is."""

    header: dict[str, Any]
    protected: bytes
    encrypted_key: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes


# ---------------------------------------------------------------------------------------------------------------------
# What goes out


def encrypt_compact(
    payload: bytes | str,
    key: EncryptionKey | Mapping[str, Any] | str | bytes,
    *,
    alg: KeyManagementAlgorithm,
    enc: ContentEncryptionAlgorithm,
    kid: str | None = None,
    cty: str | None = None,
    typ: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> str:
    """Encrypt *payload* and return the compact JWE (RFC 7516 5.1). It is never compressed (RFC 8725 3.6).

    Args:
        payload: What to encrypt; a text as its UTF-8.
        key: The recipient's public key as JWK, PEM or :class:`EncryptionKey`, or a shared secret as the last.
        alg: How the content key gets to the recipient: ``RSA-OAEP``, ``RSA-OAEP-256``, ``ECDH-ES``, ``ECDH-ES+A128KW``
            and its like; with a shared secret ``dir``, ``A128KW`` and its like.
        enc: ``A128GCM``, ``A128CBC-HS256`` or their like.
        kid: The ``kid`` to write; by default the key's.
        cty: The ``cty`` to write: ``JWT`` if the payload is a token (RFC 7519 5.2).
        typ: The ``typ`` to write.
        headers: Further header parameters, ``iss`` and ``aud`` for instance (RFC 7519 5.3).

    Raises:
        ConfigurationException: The key does not fit, an algorithm is not supported, or joserfc is not installed.
    """
    recipient = Encryption(key, alg, enc)._recipient
    extra = dict(headers or {})
    for name in ("alg", "enc", "zip", "crit", "b64", "epk", "apu", "apv"):
        if name in extra:
            raise ConfigurationException(
                f"The header parameter {name} cannot be set", code="header_reserved", claim=name
            )
    marks = {"alg": alg, "enc": enc, "typ": typ, "kid": kid if kid is not None else recipient.kid, "cty": cty}
    header = {name: value for name, value in marks.items() if value is not None} | extra
    jwe = joserfc_jwe()
    try:
        return str(jwe.encrypt_compact(header, payload, recipient.native(), registry=_registry(jwe, alg, enc)))
    except _failures():
        raise ConfigurationException("The payload cannot be encrypted", code="encryption_failed") from None


# ---------------------------------------------------------------------------------------------------------------------
# What came in


def decrypt_compact(
    token: str,
    keys: JweKeys,
    *,
    algs: Sequence[KeyManagementAlgorithm] | Set[KeyManagementAlgorithm],
    encs: Sequence[ContentEncryptionAlgorithm] | Set[ContentEncryptionAlgorithm],
) -> bytes:
    """Open a compact JWE and return what is in it; that says nothing about its author (RFC 7516 5.2).

    Args:
        token: Five segments.
        keys: Private keys, each as JWK, JWK set, PEM or :class:`EncryptionKey`; or shared secrets as the last.
        algs: The values of ``alg`` that are accepted, compared exactly.
        encs: The values of ``enc`` that are accepted, compared exactly.

    Raises:
        TokenValidationException: It is malformed, not allowed, or cannot be opened. Why it cannot be opened is never
            told: ``decryption_failed`` stands for every cause (RFC 7516 11.5).
        ConfigurationException: Keys or algorithms cannot be used, or joserfc is not installed.
    """
    decryption = Decryption(keys, algs, encs)
    return _open(_parse(token, decryption), decryption)


def decrypt_nested(token: str, decryption: Decryption) -> str:
    """Open a JWE that must hold a signed JWT, and return that JWT, which is yet to be verified (RFC 7519 5.2, 7.2).

    Args:
        token: Five segments. A token that is merely signed is refused: encryption was agreed upon.
        decryption: Keys and accepted algorithms.

    Raises:
        TokenValidationException: It cannot be opened, or holds anything but a signed JWT.
    """
    jwe = _parse(token, decryption)
    # RFC 7516 4.1.12: `application/` may be left out, and media types have no case.
    content = str(jwe.header.get("cty", "JWT")).lower().removeprefix("application/")
    if content != "jwt":
        raise _refused("nested_not_signed", "The encrypted content is no JWT", claim="cty", actual=printable(content))
    try:
        inner = _open(jwe, decryption).decode("ascii")
        header = parse_compact(inner).header
    except UnicodeDecodeError:
        raise _refused("nested_not_signed", "The encrypted content is no signed JWT") from None
    except TokenValidationException as error:
        if error.code not in ("token_malformed", "token_encrypted", "token_nested"):
            raise
        raise _refused("nested_not_signed", "The encrypted content is no signed JWT", actual=error.code) from None
    # An unsecured JWT inside would make encryption, which everybody can do, pass for a signature.
    if inner.endswith(".") or str(header["alg"]).strip().lower() == "none":
        raise _refused("nested_not_signed", "The encrypted JWT is not signed", claim="alg")
    _check_replicas(jwe.header, inner)
    return inner


def _check_replicas(header: Mapping[str, Any], inner: str) -> None:
    """Compare claims that the header repeats with those of the token (RFC 7519 5.3)."""
    repeated = {name: header[name] for name in ("iss", "sub", "aud") if name in header}
    if not repeated:
        return
    try:
        claims = loads_object(parse_compact(inner).payload)
    except StrictJSONError as error:
        raise _refused("payload_invalid", f"The payload is not acceptable: {error.reason}") from None
    for name, value in repeated.items():
        if not set(_several(value)) <= set(_several(claims.get(name))):
            raise _refused("header_claim_mismatch", f"The header repeats another {name} than the token has", claim=name)


def _several(value: object) -> list[str]:
    return [printable(item, 2048) for item in (value if isinstance(value, list) else [value])]


def _parse(token: str, decryption: Decryption) -> _Jwe:
    """Take a token apart, refusing what its header alone gives away."""
    if not isinstance(token, str):
        raise _refused("token_malformed", "A token is a string", actual=type(token).__name__)
    if len(token) > MAX_JWE:
        raise _refused("token_too_large", "The token is too large", expected=f"at most {MAX_JWE} characters")
    segments = token.split(".", 5)
    if len(segments) == 3:
        raise _refused("token_not_encrypted", "The token is not encrypted, as was agreed upon", expected="a JWE")
    if len(segments) != 5:
        raise _refused("token_malformed", "The token is no compact JWE", expected="five segments of base64url")
    if len(segments[0]) * 3 // 4 > MAX_HEADER:
        raise _refused("header_too_large", "The header is too large", expected=f"at most {MAX_HEADER} bytes")
    try:
        octets = [b64url_decode(segment) for segment in segments]
    except Base64Error:
        raise _refused("token_malformed", "A segment is not canonical base64url") from None
    return _Jwe(_parse_header(octets[0], decryption), segments[0].encode("ascii"), *octets[1:])


def _parse_header(data: bytes, decryption: Decryption) -> dict[str, Any]:
    try:
        header = loads_object(data)
    except StrictJSONError as error:
        raise _refused("header_invalid", f"The header cannot be read: {error.reason}") from None
    # RFC 7516 4.1.13; and a compressed token of 250 kB may be one of 250 MB (RFC 8725 3.6).
    _check_absent(header, "crit", "crit_unsupported")
    _check_absent(header, "zip", "zip_refused")
    _check_absent(header, "b64", "b64_unsupported")
    _check_allowed(header, "alg", decryption.algs or (), "alg_not_allowed")
    _check_allowed(header, "enc", decryption.encs, "enc_not_allowed")
    for name in ("kid", "typ", "cty"):
        value = header.get(name, "")
        if not isinstance(value, str) or len(value) > MAX_KID:
            raise _refused("header_invalid", f"{name} is malformed", claim=name)
    return header


def _check_absent(header: Mapping[str, Any], name: str, code: str) -> None:
    if name in header:
        raise _refused(code, f"The header parameter {name} is not supported", claim=name)


def _check_allowed(header: Mapping[str, Any], name: str, allowed: Collection[str], code: str) -> None:
    value = header.get(name)
    # RFC 8725 3.1: exactly one of those the caller allows, and a string, before any key is looked at.
    if not isinstance(value, str) or value not in allowed:
        shown = printable(value, 40)
        raise _refused(
            code, f"The {name} {shown!r} is not allowed", claim=name, expected=" ".join(allowed), actual=shown
        )


def _open(jwe: _Jwe, decryption: Decryption) -> bytes:
    row, content = ALL_KEY_ALGORITHMS[jwe.header["alg"]], _CONTENT[jwe.header["enc"]]
    fitting, candidates = _candidates(decryption, jwe.header, row, content)
    if not candidates:
        raise _refused(
            "decryption_key_unknown",
            f"No key at hand fits the encrypted token, which names {printable(jwe.header.get('kid'))!r}",
            claim="kid",
            expected=", ".join(printable(key.kid) for key in decryption._keys),
            actual=printable(jwe.header.get("kid")),
        )
    plausible = len(jwe.iv) == content.iv and len(jwe.tag) == content.tag and bool(jwe.encrypted_key) != row.direct
    for key in candidates if plausible else ():
        plaintext = _attempt(jwe, key, row, content)
        if plaintext is not None:
            return plaintext
    if len(candidates) < fitting:  # which depends on the header and on our own keys alone
        raise _refused(
            "decryption_key_ambiguous",
            f"{fitting} keys at hand fit the encrypted token; the first {MAX_TRIED} do not open it",
            claim="kid",
            expected=f"at most {MAX_TRIED} keys that fit",
            actual=fitting,
        )
    # RFC 7516 11.5: which step failed must not be told.
    raise _refused("decryption_failed", "The token cannot be decrypted")


def _candidates(
    decryption: Decryption, header: Mapping[str, Any], row: KeyAlgorithm, content: ContentAlgorithm
) -> tuple[int, list[EncryptionKey]]:
    fitting = [key for key in decryption._keys if fits(key, row, content.name, content.key)]
    kid = header.get("kid")
    if kid is not None and len(decryption._keys) > 1:
        # kid is a hint: keys without a name are those it can say nothing about.
        fitting = [key for key in fitting if key.kid == kid] or [key for key in fitting if key.kid is None]
    return len(fitting), fitting[:MAX_TRIED]


def _attempt(jwe: _Jwe, key: EncryptionKey, row: KeyAlgorithm, content: ContentAlgorithm) -> bytes | None:
    module = joserfc_jwe()
    registry = _registry(module, row.name, content.name)
    cek = _content_key(jwe, key, row, content, module, registry)
    # RFC 7516 11.5: a content key that cannot be had is replaced by a random one, so that both failures look alike.
    if cek is None or len(cek) != content.key:
        cek = secrets.token_bytes(content.key)
    try:
        return bytes(registry.get_enc(content.name).decrypt(jwe.ciphertext, jwe.tag, cek, jwe.iv, jwe.protected))
    except _failures():
        return None


def _content_key(
    jwe: _Jwe, key: EncryptionKey, row: KeyAlgorithm, content: ContentAlgorithm, module: Any, registry: Any
) -> bytes | None:
    try:
        header = {"alg": row.name, "enc": content.name}
        if row.agreement:
            header |= read_ephemeral_key(jwe.header, key) | _party_info(jwe.header)
        recipient = module.Recipient(module.CompactEncryption(header))
        recipient.encrypted_key, recipient.recipient_key = jwe.encrypted_key, key.native()
        model = registry.get_alg(row.name)
        if not row.agreement:
            return bytes(model.compute_cek(content.key * 8, recipient) if row.direct else model.decrypt_cek(recipient))
        agreed = model.decrypt_agreed_upon_key(registry.get_enc(content.name), recipient)
        return bytes(agreed if row.direct else model.unwrap_cek_with_auk(jwe.encrypted_key, agreed))
    except _failures():
        return None


def _party_info(header: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: header[name] for name in ("apu", "apv") if name in header}
    for value in found.values():
        if not isinstance(value, str) or len(value) > _MAX_PARTY_INFO:
            raise KeyRefused("party_info_invalid")
        b64url_decode(value)
    return found


# ---------------------------------------------------------------------------------------------------------------------


def _registry(module: Any, alg: str, enc: str) -> Any:
    # Not strict: RFC 7519 5.3 lets a header repeat claims, and providers do. What a header may hold is checked above.
    return module.JWERegistry(algorithms=[alg, enc], strict_check_header=False)


def _failures() -> tuple[type[Exception], ...]:
    """Return what a wrong key, a wrong tag, a broken point and the like make joserfc and cryptography raise."""
    jose_error: type[Exception] = import_module("joserfc.errors").JoseError
    # KeyRefused and Base64Error are a ValueError.
    return ValueError, TypeError, AssertionError, InvalidTag, InvalidUnwrap, UnsupportedAlgorithm, jose_error


def _default_algs(keys: tuple[EncryptionKey, ...]) -> tuple[str, ...]:
    return SYMMETRIC_KEY_ALGORITHMS if keys[0].kty == "oct" else KEY_ALGORITHMS


def _checked(values: Collection[str], known: Collection[str], name: str) -> tuple[str, ...]:
    listed = (values,) if isinstance(values, str) else tuple(values)
    if not listed:
        raise _misfit(f"{name} must not be empty", name, "empty")
    for value in listed:
        if not isinstance(value, str) or value not in known:
            raise ConfigurationException(
                f"{printable(value, 40)} is not supported for encryption",
                code="alg_unsupported",
                claim=name,
                expected=" ".join(known),
                actual=printable(value, 40),
            )
    return listed


_misfit = partial(refused, ConfigurationException, "encryption_key_mismatch")


_refused = partial(refused, TokenValidationException, token_part="token")


__all__ = [
    "CONTENT_ALGORITHMS",
    "MAX_JWE",
    "ContentEncryptionAlgorithm",
    "Decryption",
    "Encryption",
    "decrypt_compact",
    "decrypt_nested",
    "encrypt_compact",
]
