"""A token validator as one would write it on a blackboard: slow, obvious, and sharing no code with the library.

It takes one key, one issuer and one audience, and answers with the claims or with the code of the first refusal. The
engines are held against it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

MAX_TOKEN, MAX_HEADER, MAX_DEPTH, MAX_DATE, AHEAD = 65536, 16384, 32, 10**12, 10
MARKS = {
    *("nonce", "at_hash", "c_hash", "s_hash", "events", "toe", "htm", "htu"),
    *("token_introspection", "redirect_uris", "auth_req_id"),
    *("binding_message", "client_notification_token", "id_token_hint", "login_hint_token"),
    *("response_type", "redirect_uri", "code_challenge"),
    *("jwks", "authority_hints", "metadata_policy", "trust_marks", "sd_hash"),
}
#: Where nobody is named, and where nothing but a person is.
BARE = {"code", "error", "state", "access_token", "id_token", "login_hint"}
PROFILE = {
    *("name", "given_name", "family_name", "nickname", "preferred_username", "profile", "picture", "website", "email"),
    *("email_verified", "gender", "birthdate", "zoneinfo", "locale", "phone_number", "phone_number_verified"),
    *("address", "updated_at"),
}
SAID = {
    "typ": {"id", "serialized-id", "refresh", "offline", "logout", "initialaccesstoken", "registrationaccesstoken"},
    "token_use": {"id", "refresh"},
}
TYPES = {"", "jwt", "at+jwt"}
CURVES = {
    "ES256": (ec.SECP256R1(), 32, hashes.SHA256()),
    "ES384": (ec.SECP384R1(), 48, hashes.SHA384()),
    "ES512": (ec.SECP521R1(), 66, hashes.SHA512()),
    "ES256K": (ec.SECP256K1(), 32, hashes.SHA256()),
}


class Refused(Exception):
    """Carries the code."""


def judge(token: object, key: Any, alg: str, *, issuer: str, audience: str, now: float) -> tuple[str, Any]:
    """Return ``("claims", claims)`` or ``("refused", code)``."""
    try:
        return "claims", _claims(token, key, alg, issuer, audience, now)
    except Refused as refusal:
        return "refused", str(refusal)


def _claims(token: object, key: Any, alg: str, issuer: str, audience: str, now: float) -> dict[str, Any]:
    if not isinstance(token, str):
        raise Refused("token_malformed")
    if len(token) > MAX_TOKEN:
        raise Refused("token_too_large")
    segments = token.split(".")
    if len(segments) == 5:
        raise Refused("token_encrypted")
    if len(segments) != 3 or not segments[0] or not segments[1]:
        raise Refused("token_malformed")
    header = _header(segments[0])
    payload, signature = _decode(segments[1]), _decode(segments[2])
    _check_typ(header)
    claims = _json(payload)
    if not isinstance(claims, dict):
        raise Refused("payload_invalid")
    if header["alg"] != alg:
        raise Refused("alg_not_allowed")
    if "iss" not in claims:
        raise Refused("claim_missing")
    if not isinstance(claims["iss"], str) or claims["iss"] == "":
        raise Refused("claim_type_invalid")
    if claims["iss"] != issuer:
        raise Refused("issuer_mismatch")
    # The one key was given by hand: kid, which is a hint (RFC 7515 4.1.4), has nothing to choose.
    if not _verified(key, alg, f"{segments[0]}.{segments[1]}".encode(), signature):
        raise Refused("signature_invalid")
    _check_claims(claims, audience, now)
    return claims


def _decode(text: str) -> bytes:
    # The encoding of what was decoded is the one spelling that is accepted.
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text, re.ASCII) or len(text) % 4 == 1:
        raise Refused("token_malformed")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise Refused("token_malformed")
    return data


def _header(segment: str) -> dict[str, Any]:
    if len(segment) * 3 // 4 > MAX_HEADER:
        raise Refused("header_too_large")
    data = _decode(segment)
    try:
        header = _json(data)
    except Refused:
        raise Refused("header_invalid") from None
    if not isinstance(header, dict):
        raise Refused("header_invalid")
    if not isinstance(header.get("alg"), str) or header["alg"] == "":
        raise Refused("alg_invalid")
    if "crit" in header:
        raise Refused("crit_unsupported")
    if "b64" in header:
        raise Refused("b64_unsupported")
    for name in ("kid", "typ", "cty"):
        if name in header and (not isinstance(header[name], str) or len(header[name]) > 1024):
            raise Refused("header_invalid")
    if header.get("cty", "").lower() in ("jwt", "application/jwt"):
        raise Refused("token_nested")
    return header


def _check_typ(header: dict[str, Any]) -> None:
    if "typ" not in header:
        return
    named = header["typ"].lower().removeprefix("application/")
    if named == "" or named not in TYPES:
        raise Refused("typ_mismatch")


def _json(data: bytes) -> Any:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    def refuse(_: str) -> Any:
        raise ValueError("no number")

    def integer(digits: str) -> int:
        if len(digits.lstrip("-")) > 400:
            raise ValueError("too long")
        return int(digits)

    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            raise ValueError("byte order mark")
        value = json.loads(text, object_pairs_hook=members, parse_constant=refuse, parse_int=integer)
        _check_value(value, 0)
    except (ValueError, RecursionError):
        raise Refused("payload_invalid") from None
    return value


def _check_value(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode("utf-8")  # a lone surrogate has no encoding
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("too large")
    elif isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise ValueError("too deep")
        for name in value if isinstance(value, dict) else ():
            _check_value(name, depth + 1)
        for inner in value.values() if isinstance(value, dict) else value:
            _check_value(inner, depth + 1)


def _verified(key: Any, alg: str, message: bytes, signature: bytes) -> bool:
    if alg.startswith("HS"):
        return hmac.compare_digest(hmac.new(key, message, hashlib.sha256).digest(), signature)
    try:
        if alg.startswith("RS"):
            if len(signature) != (key.key_size + 7) // 8:
                return False
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        elif alg.startswith("PS"):
            if len(signature) != (key.key_size + 7) // 8:
                return False
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
            key.verify(signature, message, scheme, hashes.SHA256())
        elif alg.startswith("ES"):
            _, size, digest = CURVES[alg]
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            if r == 0 or s == 0:
                return False
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
        else:
            key.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_claims(claims: dict[str, Any], audience: str, now: float) -> None:
    if MARKS & claims.keys() or any(str(claims.get(name)).lower() in words for name, words in SAID.items()):
        raise Refused("kind_mismatch")
    if claims.get("sub") == claims["iss"]:
        raise Refused("kind_mismatch")
    named = claims.keys() & {"sub", "client_id", "azp"}
    if not named and claims.keys() & BARE:
        raise Refused("kind_mismatch")
    if named and claims.keys() & PROFILE and not claims.keys() & {"iat", "jti", "client_id", "azp", "scope", "scp"}:
        raise Refused("kind_mismatch")
    if "aud" not in claims:
        raise Refused("claim_missing")
    named = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    if not isinstance(named, list) or not named or not all(isinstance(one, str) and one for one in named):
        raise Refused("claim_type_invalid")
    if audience not in named:
        raise Refused("audience_mismatch")
    if "exp" not in claims:
        raise Refused("claim_missing")
    if not claims.keys() & {"sub", "client_id", "azp", "scope", "scp", "appid"}:
        raise Refused("claim_missing")
    if now >= _date(claims, "exp"):
        raise Refused("token_expired")
    for name in ("nbf", "iat"):
        if name in claims and _date(claims, name) > now + AHEAD:
            raise Refused("token_not_yet_valid")
    if "sub" in claims and not isinstance(claims["sub"], str):
        raise Refused("claim_type_invalid")
    if "jti" in claims and not isinstance(claims["jti"], str):
        raise Refused("claim_type_invalid")


def _date(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAX_DATE:
        raise Refused("claim_type_invalid")
    return value
