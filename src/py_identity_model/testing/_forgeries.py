"""Tokens that every API must refuse: a table of names, of what was done, and of how this library refuses each.

Those of the severity ``low`` are good tokens spelled in another way, or such as only a careless provider would sign:
whoever takes one lets nobody in that was not invited, and yet does not read tokens as the specification says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cryptography.hazmat.primitives.serialization import Encoding

from .._core.jose.algorithms import SignatureAlgorithm
from ..exceptions import (
    ConfigurationException,
    InvalidAudienceException,
    InvalidIssuerException,
    SignatureVerificationException,
    TokenExpiredException,
    TokenNotYetValidException,
    TokenValidationException,
    UnknownKeyException,
    printable,
)
from ._forging import (
    P256_ORDER,
    SECOND,
    Build,
    as_der,
    audience,
    by_stranger,
    claiming,
    ecdsa,
    embedded_certificate,
    embedded_jwk,
    embedded_jwk_named,
    encrypted,
    from_header,
    from_payload,
    headed,
    issuer,
    json_form,
    mac,
    member,
    nested,
    none_with_signature,
    of_kind,
    other_last_bits,
    public,
    respelled,
    tampered,
    unsigned,
    with_signature,
)
from ._tokens import Workbench

#: ``high``: whoever accepts it can be robbed. ``low``: whoever accepts it does not read tokens as specified.
Severity: TypeAlias = Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class Forgery:
    """One row of :data:`FORGERIES`.

    Attributes:
        summary: What was done, in words.
        refused_with: The class of the exception a validator of this library raises.
        code: The ``code`` of that exception.
        build: Makes the token.
        severity: ``high`` where somebody gets in who must not, ``low`` where a good token is spelled in another way.
        alg: The algorithm of the key that it needs; None for any.
    """

    summary: str
    refused_with: type[TokenValidationException]
    code: str
    build: Callable[[Workbench], str] = field(repr=False)
    severity: Severity = "high"
    alg: SignatureAlgorithm | None = None


Rows = Mapping[str, Forgery]


def _row(
    summary: str,
    code: str,
    build: Build,
    refused_with: type[TokenValidationException] = TokenValidationException,
    *,
    severity: Severity = "high",
    alg: SignatureAlgorithm | None = None,
) -> Forgery:
    return Forgery(summary, refused_with, code, build, severity, alg)


def _unsound(summary: str, build: Build, alg: SignatureAlgorithm | None = None, severity: Severity = "high") -> Forgery:
    return Forgery(summary, SignatureVerificationException, "signature_invalid", build, severity, alg)


def _unknown(summary: str, **header: object) -> Forgery:
    return Forgery(summary, UnknownKeyException, "key_unknown", by_stranger(**{"kid": "nobody", **header}))


def _issuer_row(summary: str, code: str, build: Build, *, severity: Severity = "high") -> Forgery:
    return Forgery(summary, InvalidIssuerException, code, build, severity)


def _audience_row(summary: str, code: str, build: Build, *, severity: Severity = "high") -> Forgery:
    return Forgery(summary, InvalidAudienceException, code, build, severity)


def _low(summary: str, code: str, build: Build) -> Forgery:
    return Forgery(summary, TokenValidationException, code, build, "low")


#: The algorithm is the attacker's choice, or the key is.
_SIGNATURES: Rows = {
    "alg_none": _row("no signature, and a header that says so", "alg_not_allowed", unsigned()),
    "alg_none_disguised": _row("the same, spelled nOnE", "alg_not_allowed", unsigned("nOnE")),
    "alg_none_capital": _row("the same, spelled None", "alg_not_allowed", unsigned("None")),
    "alg_none_capitals": _row("the same, spelled NONE", "alg_not_allowed", unsigned("NONE")),
    "alg_none_space": _row("the same, with a space behind it", "alg_not_allowed", unsigned("none ")),
    "alg_none_signed": _row("the same, with the signature of a good token", "alg_not_allowed", none_with_signature),
    "alg_missing": _row("no signature, and no algorithm", "alg_invalid", unsigned(None)),
    "alg_empty": _row("no signature, and an empty algorithm", "alg_invalid", unsigned("")),
    "alg_list": _row("no signature, and a list of algorithms", "alg_invalid", unsigned(["none"])),
    "alg_number": _row("no signature, and a number as the algorithm", "alg_invalid", unsigned(0)),
    "hs256_with_public_key": _row(
        "HMAC made with the public key", "alg_not_allowed", mac("HS256", public(Encoding.PEM))
    ),
    "hs384_with_public_key": _row("the same with SHA-384", "alg_not_allowed", mac("HS384", public(Encoding.PEM))),
    "hs512_with_public_key": _row("the same with SHA-512", "alg_not_allowed", mac("HS512", public(Encoding.PEM))),
    "hs256_with_public_key_stripped": _row(
        "HMAC made with the public key, without its last line break",
        "alg_not_allowed",
        mac("HS256", lambda key: public(Encoding.PEM)(key).strip()),
    ),
    "hs256_with_public_der": _row(
        "HMAC made with the public key in DER", "alg_not_allowed", mac("HS256", public(Encoding.DER))
    ),
    "hs256_with_public_jwk": _row(
        "HMAC made with the public key as a JWK",
        "alg_not_allowed",
        mac("HS256", lambda key: json.dumps(key.public_jwk).encode()),
    ),
    "hs256_with_nothing": _row("HMAC made with an empty secret", "alg_not_allowed", mac("HS256", lambda _: b"")),
    "hs256_with_secret": _row("HMAC made with the word secret", "alg_not_allowed", mac("HS256", lambda _: b"secret")),
    "wrong_key": _unsound("signed by another key of the same name", by_stranger()),
    "tampered": _unsound("claims changed after signing", tampered),
    "signature_stripped": _unsound("no signature at all", respelled(lambda token: token.rpartition(".")[0] + ".")),
    "signature_blank": _unsound("a signature of zeros", with_signature(lambda one: bytes(len(one)))),
    "signature_ones": _unsound("a signature of ones", with_signature(lambda one: b"\xff" * len(one))),
    "signature_short": _unsound("half of a signature", with_signature(lambda one: one[: len(one) // 2])),
    "signature_of_one_byte": _unsound("a signature of one byte", with_signature(lambda _: b"\x01")),
    "signature_longer": _unsound("a good signature, and a byte behind it", with_signature(lambda one: one + b"\0")),
    "signature_twice": _unsound("a good signature, twice", with_signature(lambda one: one + one)),
    "es256_zero": _unsound("an ECDSA signature of two zeros", ecdsa(0, 0), "ES256"),
    "es256_r_zero": _unsound("an ECDSA signature whose r is zero", ecdsa(0, 1), "ES256"),
    "es256_s_zero": _unsound("an ECDSA signature whose s is zero", ecdsa(1, 0), "ES256"),
    "es256_order": _unsound("an ECDSA signature of the order of the group", ecdsa(P256_ORDER, P256_ORDER), "ES256"),
    "es256_ones": _unsound("an ECDSA signature of two ones", ecdsa(1, 1), "ES256"),
    "es256_der": _unsound("an ECDSA signature in DER", with_signature(as_der), "ES256", "low"),
    "embedded_jwk": _unsound("a header that brings its own key", embedded_jwk),
    "embedded_jwk_named": _unsound("the same, under the name of the good key", embedded_jwk_named),
    "embedded_certificate": _unsound("a header that brings its own certificate", embedded_certificate),
    "unknown_key": _unknown("signed by a key nobody published"),
    "jku": _unknown("a header that says where to fetch the key", jku=f"{SECOND}/jwks"),
    "x5u": _unknown("a header that says where to fetch the certificate", x5u=f"{SECOND}/cert.pem"),
    "jku_named": _unsound("the same as jku, under the name of the good key", by_stranger(jku=f"{SECOND}/jwks")),
    "x5u_named": _unsound("the same as x5u, under the name of the good key", by_stranger(x5u=f"{SECOND}/cert.pem")),
    "kid_missing": _unsound("signed by another key, and no key is named", by_stranger(kid=None)),
    "kid_empty": _unknown("signed by a key whose name is empty", kid=""),
    "kid_path": _row(
        "HMAC of nothing, and a key that is a file without content",
        "alg_not_allowed",
        mac("HS256", lambda _: b"", kid="../../../../../../dev/null"),
    ),
    "kid_sql": _row(
        "HMAC of a secret that the name of the key selects",
        "alg_not_allowed",
        mac("HS256", lambda _: b"x", kid="none' UNION SELECT 'x"),
    ),
    "kid_command": _unknown("a key whose name is a command", kid="|id"),
    "kid_url": _unknown("a key whose name is an address", kid=f"{SECOND}/jwks"),
    "kid_number": _row("a key whose name is a number", "header_invalid", by_stranger(kid=0)),
    "kid_list": _row("a key whose name is a list", "header_invalid", by_stranger(kid=["rs256-1"])),
    "kid_object": _row("a key whose name is an object", "header_invalid", by_stranger(kid={"$ne": ""})),
    "kid_long": _row("a key whose name has four thousand letters", "header_invalid", by_stranger(kid="k" * 4000)),
}
#: What stands in the header besides.
_HEADERS: Rows = {
    "crit": _row("a critical header nobody understands", "crit_unsupported", headed(crit=["urn:x"], **{"urn:x": 1})),
    "crit_missing": _row("a critical header that is not there", "crit_unsupported", headed(crit=["urn:x"])),
    "crit_empty": _row("an empty list of critical headers", "crit_unsupported", headed(crit=[]), severity="low"),
    "crit_text": _row("critical headers that are no list", "crit_unsupported", headed(crit="urn:x", **{"urn:x": 1})),
    "b64_false": _row("a payload that is not encoded", "crit_unsupported", headed(crit=["b64"], b64=False)),
    "b64_false_not_critical": _row(
        "the same, not said to be critical", "b64_unsupported", headed(b64=False), severity="low"
    ),
    "typ_number": _row("a type that is a number", "header_invalid", headed(typ=1), severity="low"),
    "typ_dpop": _row("the type of a proof of possession", "typ_mismatch", headed(typ="dpop+jwt")),
    "typ_refresh": _row("the type of a refresh token", "typ_mismatch", headed(typ="rt+jwt")),
    "typ_event": _row("the type of a security event", "typ_mismatch", headed(typ="secevent+jwt")),
    "header_alg_twice": _row(
        "a header with two algorithms, the second one none", "header_invalid", from_header(member("alg", '"none"'))
    ),
    "header_array": _row("a header that is a list", "header_invalid", from_header(lambda one: b"[" + one + b"]")),
    "header_text": _row("a header that is no JSON", "header_invalid", from_header(lambda _: b"RS256")),
    "header_deep": _row(
        "a header of two thousand levels",
        "header_invalid",
        from_header(member("x", "[" * 2000 + "]" * 2000)),
        severity="low",
    ),
}
#: For another time, another API, from another issuer, or of another kind.
_CLAIMS: Rows = {
    "expired": _row("ended a minute ago", "token_expired", claiming(expires_in=-60), TokenExpiredException),
    "expired_long_ago": _row("ended in 2001", "token_expired", claiming(exp=1_000_000_000), TokenExpiredException),
    "expired_at_zero": _row("ended in 1970", "token_expired", claiming(exp=0), TokenExpiredException),
    "expired_before_time": _row("ended before 1970", "token_expired", claiming(exp=-1), TokenExpiredException),
    "exp_missing": _row("never ends", "claim_missing", claiming(exp=None)),
    "exp_null": _row(
        "ends at null",
        "claim_type_invalid",
        from_payload(lambda one: json.dumps({**json.loads(one), "exp": None}).encode()),
    ),
    "exp_text": _row("ends at a text", "claim_type_invalid", claiming(exp="9999999999"), severity="low"),
    "exp_unicode": _row(
        "ends at a text of Arabic digits", "claim_type_invalid", claiming(exp="\u0669" * 10), severity="low"
    ),
    "exp_true": _row("ends at true", "claim_type_invalid", claiming(exp=True)),
    "exp_list": _row("ends at a list", "claim_type_invalid", claiming(exp=[9999999999])),
    "exp_infinite": _row("ends at Infinity", "payload_invalid", claiming(exp=float("inf"))),
    "exp_nan": _row("ends at NaN", "payload_invalid", claiming(exp=float("nan"))),
    "not_yet_valid": _row(
        "begins in an hour",
        "token_not_yet_valid",
        lambda b: b.mint(nbf=int(b.now) + 3600, expires_in=7200),
        TokenNotYetValidException,
    ),
    "nbf_text": _row("begins at a text", "claim_type_invalid", claiming(nbf="0"), severity="low"),
    "wrong_issuer": _issuer_row("names another issuer", "issuer_mismatch", claiming(iss=SECOND)),
    "issuer_missing": _issuer_row("names no issuer", "claim_missing", claiming(iss=None)),
    "issuer_empty": _issuer_row("names an empty issuer", "claim_type_invalid", claiming(iss="")),
    "issuer_prefix": _issuer_row(
        "an issuer that begins like the right one", "issuer_mismatch", issuer(lambda one: f"{one}.evil.com")
    ),
    "issuer_suffix": _issuer_row(
        "an issuer that ends like the right one", "issuer_mismatch", issuer(lambda one: f"{SECOND}/{one}")
    ),
    "issuer_nul": _issuer_row(
        "the right issuer, and more behind a NUL", "issuer_mismatch", issuer(lambda one: f"{one}\0.evil.com")
    ),
    "issuer_space": _issuer_row(
        "the right issuer, and a space", "issuer_mismatch", issuer(lambda one: f"{one} "), severity="low"
    ),
    "issuer_list": _issuer_row(
        "a list of issuers, the right one among them", "claim_type_invalid", issuer(lambda one: [SECOND, one])
    ),
    "issuer_userinfo": _issuer_row(
        "the right issuer as a user name", "issuer_mismatch", issuer(lambda one: f"{one}@evil.example.com")
    ),
    "issuer_lookalike": _issuer_row(
        "the right issuer with a letter of another script",
        "issuer_mismatch",
        issuer(lambda one: one.replace("p", "\u0440")),  # every address has one
    ),
    "issuer_capitals": _issuer_row(
        "the right issuer in capitals", "issuer_mismatch", issuer(str.upper), severity="low"
    ),
    "issuer_slash": _issuer_row(
        "the right issuer and a slash", "issuer_mismatch", issuer(lambda one: f"{one}/"), severity="low"
    ),
    "wrong_audience": _audience_row(
        "made for another audience", "audience_mismatch", claiming(aud="https://other.example.com")
    ),
    "wrong_audiences": _audience_row(
        "made for two others", "audience_mismatch", claiming(aud=["https://a.example.com", "b"])
    ),
    "audience_missing": _audience_row("made for nobody", "claim_missing", claiming(aud=None)),
    "audience_empty": _audience_row("made for an empty audience", "claim_type_invalid", claiming(aud="")),
    "audience_no_one": _audience_row("made for an empty list of audiences", "claim_type_invalid", claiming(aud=[])),
    "audience_prefix": _audience_row(
        "made for an audience that begins like this one", "audience_mismatch", audience(lambda one: f"{one}.evil.com")
    ),
    "audience_shorter": _audience_row(
        "made for the beginning of this audience", "audience_mismatch", audience(lambda one: one[:-1])
    ),
    "audience_within": _audience_row(
        "made for an audience that has this one in it", "audience_mismatch", audience(lambda one: f"a {one} b")
    ),
    "audience_object": _audience_row(
        "made for an object named as this audience", "claim_type_invalid", audience(lambda one: {one: True})
    ),
    "audience_any": _audience_row("made for an asterisk", "audience_mismatch", claiming(aud="*")),
    "audience_nested": _audience_row("made for a list in a list", "claim_type_invalid", audience(lambda one: [[one]])),
    "audience_capitals": _audience_row(
        "made for this audience in capitals", "audience_mismatch", audience(str.upper), severity="low"
    ),
    "id_token": _row("an ID token in place of an access token", "kind_mismatch", of_kind("id_token", nonce="n-0S6")),
    "logout_token": _row("a logout token in place of an access token", "typ_mismatch", of_kind("logout_token")),
    "userinfo_token": _row("signed UserInfo in place of an access token", "claim_missing", of_kind("userinfo")),
    "introspection_token": _row(
        "a signed answer of introspection in place of an access token", "typ_mismatch", of_kind("introspection")
    ),
    "authorization_response": _row(
        "a signed authorization response in place of an access token",
        "typ_mismatch",
        of_kind("authorization_response"),
    ),
}
#: Bytes that two readers read in two ways, or none at all.
_FORMS: Rows = {
    "duplicate_member": _row(
        "a claim that stands twice", "payload_invalid", from_payload(member("sub", '"administrator"')), severity="low"
    ),
    "duplicate_issuer": _row(
        "a second issuer",
        "payload_invalid",
        from_payload(lambda one: b'{"iss": "https://evil.example.com", ' + one[1:]),
        severity="low",
    ),
    "duplicate_escaped": _row(
        "a claim that stands twice, once escaped",
        "payload_invalid",
        from_payload(member("\\u0073ub", '"administrator"')),
        severity="low",
    ),
    "payload_list": _row("a payload that is a list", "payload_invalid", from_payload(lambda one: b"[" + one + b"]")),
    "payload_text": _row("a payload that is a text", "payload_invalid", from_payload(lambda _: b'"admin"')),
    "payload_null": _row("a payload that is null", "payload_invalid", from_payload(lambda _: b"null")),
    "payload_empty": _row("a payload without a byte", "token_malformed", from_payload(lambda _: b"")),
    "payload_no_json": _row("a payload that is no JSON", "payload_invalid", from_payload(lambda _: b"sub=admin")),
    "payload_two": _row("two payloads, one behind the other", "payload_invalid", from_payload(lambda one: one + one)),
    "payload_no_utf8": _row(
        "a payload that is no UTF-8",
        "payload_invalid",
        from_payload(lambda one: one[:-1] + b', "x": "\xff"}'),
        severity="low",
    ),
    "payload_utf16": _row(
        "a payload in UTF-16",
        "payload_invalid",
        from_payload(lambda one: one.decode().encode("utf-16")),
        severity="low",
    ),
    "payload_bom": _row(
        "a payload behind a byte order mark",
        "payload_invalid",
        from_payload(lambda one: b"\xef\xbb\xbf" + one),
        severity="low",
    ),
    "payload_nan": _row(
        "a payload with a number that is none", "payload_invalid", from_payload(member("x", "NaN")), severity="low"
    ),
    "payload_deep": _row(
        "a payload of two thousand levels",
        "payload_invalid",
        from_payload(member("x", "[" * 2000 + "]" * 2000)),
        severity="low",
    ),
    "nested": _row("a good token as the payload of another one", "token_nested", nested),
    "encrypted": _row("the form of an encrypted token", "token_encrypted", encrypted()),
    "encrypted_none": _row("the same, with the algorithm none", "token_encrypted", encrypted(alg="none")),
    "encrypted_costly": _row(
        "the same, and two thousand million rounds for its key",
        "token_encrypted",
        encrypted(alg="PBES2-HS256+A128KW", p2s="c2FsdHNhbHQ", p2c=2_147_483_647),
    ),
    "json_form": _row("a good token in the JSON form", "token_malformed", json_form, severity="low"),
    "two_parts": _row("two parts", "token_malformed", respelled(lambda one: one.rpartition(".")[0])),
    "four_parts": _row(
        "a good token, and a fourth part", "token_malformed", respelled(lambda one: f"{one}.e30"), severity="low"
    ),
    "no_parts": _row("nothing but dots", "token_malformed", respelled(lambda _: "..")),
    "opaque": _row("a word that is no JWT", "token_malformed", respelled(lambda _: "2YotnFZFEjr1zCsicMWpAA")),
    "padded": _low("a signature spelled another way", "token_malformed", respelled(lambda one: f"{one}=")),
    "other_last_bits": _low("the same, in bits that stand for nothing", "token_malformed", respelled(other_last_bits)),
    "foreign_letter": _low(
        "a letter that base64url has not", "token_malformed", respelled(lambda one: f"{one[:-4]}*{one[-4:]}")
    ),
    "plain_base64": _low(
        "a plus and a slash behind the signature", "token_malformed", respelled(lambda one: f"{one}+/")
    ),
    "huge": _row("a hundred thousand letters", "token_too_large", claiming(x="a" * 75_000), severity="low"),
}

#: Tokens that every validator must refuse, and how. All of them start from a token that is good.
FORGERIES: Mapping[str, Forgery] = {**_SIGNATURES, **_HEADERS, **_CLAIMS, **_FORMS}


def forgery(name: str) -> Forgery:
    """Look up a row.

    Raises:
        ConfigurationException: There is no forgery of that name.
    """
    row = FORGERIES.get(name)
    if row is None:
        raise ConfigurationException(
            f"There is no forgery {printable(name, 40)!r}", code="forgery_unknown", expected=list(FORGERIES)
        )
    return row


__all__ = ["FORGERIES", "Forgery", "Severity", "forgery"]
