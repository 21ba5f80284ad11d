"""Compact JWS: what every token, proof, assertion and request object is made of (RFC 7515, RFC 7519, RFC 8725)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._arguments import explains_arguments
from ..._refusals import refused
from ...exceptions import ConfigurationException, TokenValidationException
from ..base.base64url import Base64Error, b64url_decode, b64url_encode
from ..base.strict_json import StrictJSONError, loads_object
from .algorithms import ALGORITHMS, digest
from .verification_keys import MAX_KID

if TYPE_CHECKING:
    from .signing_keys import SigningKey

#: Characters of a token, and octets of its header, at most.
MAX_TOKEN = 65536
MAX_HEADER = 16384


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A JWS taken apart, its signature not yet verified. ``header["jwk"]`` and its like are the sender's word only."""

    header: dict[str, Any]
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    header_segment: str = field(repr=False)


def parse_compact(
    token: str, *, max_token: int = MAX_TOKEN, max_header: int = MAX_HEADER, allow_nested: bool = False
) -> CompactJws:
    """Take a compact JWS apart, refusing what this library does not understand, before any key is looked for.

    Args:
        token: ``header.payload.signature`` (RFC 7515 7.1).
        max_token: Characters of the token at most.
        max_header: Octets of the decoded header at most.
        allow_nested: Whether the payload may be a JWT itself (RFC 7519 5.2).

    Raises:
        TokenValidationException: It is malformed, too large, or wants something that is not supported.
    """
    header_segment, payload_segment, signature_segment = _split(token, max_token)
    if len(header_segment) * 3 // 4 > max_header:
        raise _refused("header_too_large", "header", "The header is too large", expected=f"at most {max_header} bytes")
    header = _parse_header(_decode(header_segment, "header"), allow_nested)
    return CompactJws(
        header,
        _decode(payload_segment, "payload"),
        _decode(signature_segment, "signature"),
        f"{header_segment}.{payload_segment}".encode("ascii"),
        header_segment,
    )


def sign_compact(
    claims: Mapping[str, Any] | bytes,
    key: SigningKey,
    *,
    typ: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> str:
    """Sign *claims*, or a payload that is serialized already, and return the compact JWS.

    Raises:
        ConfigurationException: The claims or headers are no JSON, or *headers* sets what the key decides.

    >>> from py_identity_model import SigningKey
    >>> token = sign_compact({"sub": "ada"}, SigningKey.from_secret(b"k" * 32, "HS256"))
    >>> parse_compact(token).payload
    b'{"sub":"ada"}'
    """
    extra = dict(headers or {})
    # RFC 7515 4.1.1: `alg` says how the signature was made. RFC 7797 7: no `b64` in a JWT.
    for name in ("alg", "b64", "crit"):
        if name in extra:
            raise ConfigurationException(
                f"The header parameter {name} cannot be set", code="header_reserved", claim=name
            )
    marks = {"alg": key.alg, "typ": typ, "kid": key.kid}
    header = {name: value for name, value in marks.items() if value is not None} | extra
    payload = claims if isinstance(claims, bytes) else _serialize(claims, "claims")
    signing_input = f"{b64url_encode(_serialize(header, 'header'))}.{b64url_encode(payload)}"
    return f"{signing_input}.{b64url_encode(key.sign(signing_input.encode('ascii')))}"


def half_hash(alg: str, value: str, crv: str | None = None) -> str:
    """Hash *value* for ``at_hash``, ``c_hash`` or ``s_hash`` (OpenID Connect Core 3.1.3.6, 3.3.2.11).

    Args:
        alg: The ``alg`` of the ID token that carries the hash.
        value: The access token, code or state.
        crv: The curve of the key, where *alg* is ``EdDSA``; Ed25519 if it is not given.

    Raises:
        TokenValidationException: The algorithm, and with it the hash, is unknown.

    >>> half_hash("ES256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")
    '77QmUPtjPfzWtF2AnpK9RQ'
    """
    row = ALGORITHMS.get("Ed448" if alg == "EdDSA" and crv == "Ed448" else alg) if isinstance(alg, str) else None
    if row is None:
        raise _refused("alg_invalid", "header", "No hash belongs to this algorithm", claim="alg", actual=alg)
    if not value.isascii():  # asked, not tried: an error of the codec would hold the access token
        raise _refused("half_hash_invalid", "payload", "Only ASCII can be hashed into an ID token")
    octets = digest(row.hash_name, value.encode("ascii"))
    return b64url_encode(octets[: len(octets) // 2])


#: RFC 7638 3.2, RFC 8037 2, RFC 9964 6: what makes a key, in lexicographic order.
_THUMBPRINT_MEMBERS = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
    "AKP": ("alg", "kty", "pub"),
    "oct": ("k", "kty"),
}


@explains_arguments
def jwk_thumbprint(jwk: Mapping[str, Any], hash_name: str = "sha256") -> str:
    """Return the thumbprint of a JWK (RFC 7638).

    Args:
        jwk: The key; members that do not make the key are ignored.
        hash_name: The hash, as :mod:`hashlib` names it.

    Returns:
        The hash of the required members in base64url.

    Raises:
        ConfigurationException: The key type or the hash is unknown, or a required member is missing.

    >>> len(jwk_thumbprint({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}))
    43
    """
    names = _THUMBPRINT_MEMBERS.get(kty) if isinstance(kty := jwk.get("kty"), str) else None
    if names is None:
        raise ConfigurationException("The key type is unknown", code="kty_unsupported", claim="kty")
    members = {name: jwk.get(name) for name in names}
    for name, value in members.items():
        if not isinstance(value, str) or not value:
            raise ConfigurationException(f"The JWK lacks {name}", code="jwk_member_missing", claim=name)
    if hash_name not in hashlib.algorithms_guaranteed or hash_name.startswith("shake"):
        raise ConfigurationException("The hash is unknown", code="hash_unsupported", claim="hash_name")
    text = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
    return b64url_encode(hashlib.new(hash_name, text.encode("utf-8", "replace")).digest())


def _refused(code: str, part: str, message: str, **facts: Any) -> TokenValidationException:
    return refused(TokenValidationException, code, message, token_part=part, **facts)


def _split(token: str, max_token: int) -> list[str]:
    if not isinstance(token, str):
        raise _refused("token_malformed", "token", "A token is a string", actual=type(token).__name__)
    if len(token) > max_token:
        expected, actual = f"at most {max_token} characters", f"{len(token)} characters"
        raise _refused("token_too_large", "token", "The token is too large", expected=expected, actual=actual)
    segments = token.split(".", 5)
    if len(segments) == 5:
        raise _refused("token_encrypted", "token", "The token is encrypted (JWE), a signed one (JWS) is needed")
    if len(segments) != 3 or not segments[0] or not segments[1]:
        raise _refused(
            "token_malformed",
            "token",
            "The token is no compact JWS",
            expected="three segments of base64url",
            actual=f"{min(len(segments), 6)} segments",
            hint=_shape_hint(token),
        )
    return segments


def _shape_hint(token: str) -> str | None:
    if not token:
        return "the token is empty"
    stripped = token.strip()
    word = stripped.partition(" ")[0]
    if word.lower() in _SCHEMES and len(word) < len(token):
        return f"give the token alone, without the word {word}"
    if stripped[:1] in _QUOTES:
        return "give the token alone, without the quotes around it"
    if len(stripped) < len(token):
        return "there is white space around the token"
    if token.lstrip()[:1] == "{":
        return "this looks like JSON; only the compact serialization is a JWT (RFC 7519 3)"
    return "this looks like an opaque token; ask the issuer about it by introspection" if "." not in token else None


_SCHEMES = ("bearer", "dpop")
_QUOTES = frozenset("\"'\u201c\u201d\u2018\u2019`")


def _decode(segment: str, part: str) -> bytes:
    try:
        return b64url_decode(segment)
    except Base64Error:
        hint = _segment_hint(segment)
        raise _refused("token_malformed", part, f"The {part} is not canonical base64url", hint=hint) from None


def _segment_hint(segment: str) -> str | None:
    bare = segment.strip()
    word = bare.partition(" ")[0]
    if word.lower() in _SCHEMES:
        return f"give the token alone, without the word {word}"
    if segment != bare:
        return "there is white space around the token"
    if segment[:1] in _QUOTES or segment[-1:] in _QUOTES:
        return "give the token alone, without the quotes around it"
    return "there is white space within the token" if any(map(str.isspace, segment)) else None


def _parse_header(data: bytes, allow_nested: bool) -> dict[str, Any]:
    try:
        header = loads_object(data)
    except StrictJSONError as error:
        raise _refused("header_invalid", "header", f"The header cannot be read: {error.reason}") from None
    alg = header.get("alg")
    if not isinstance(alg, str) or not alg:
        expected = "a string that is not empty"
        raise _refused("alg_invalid", "header", "The header names no algorithm", claim="alg", expected=expected)
    # RFC 7515 4.1.11: an extension that is not understood invalidates the JWS, and none is understood here.
    if "crit" in header:
        raise _refused("crit_unsupported", "header", "The header has critical extensions", claim="crit")
    if "b64" in header:  # RFC 7797 7
        raise _refused("b64_unsupported", "header", "A JWT has no b64 header parameter", claim="b64")
    _check_texts(header)
    # RFC 7519 5.2; RFC 7515 4.1.10: `application/` may be left out, and media types have no case.
    if not allow_nested and str(header.get("cty", "")).lower().removeprefix("application/") == "jwt":
        raise _refused("token_nested", "header", "The payload is another JWT", claim="cty")
    return header


def _check_texts(header: dict[str, Any]) -> None:
    for name, limit in (("kid", MAX_KID), ("typ", MAX_KID), ("cty", MAX_KID)):
        value = header.get(name, "")
        if not isinstance(value, str) or len(value) > limit:
            expected = f"a string of at most {limit} characters"
            raise _refused("header_invalid", "header", f"{name} is malformed", claim=name, expected=expected)


def _serialize(members: Mapping[str, Any], what: str) -> bytes:
    try:
        return json.dumps(members, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):  # an error of a codec holds the whole text: it is no context
        pass
    raise ConfigurationException(f"The {what} cannot be written as JSON", code="claims_not_json")


__all__ = ["MAX_HEADER", "MAX_TOKEN", "CompactJws", "half_hash", "jwk_thumbprint", "parse_compact", "sign_compact"]
