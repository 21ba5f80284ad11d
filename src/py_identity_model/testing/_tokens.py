"""What the embedded provider signs: a table of kinds of token, and a table of forgeries that must all be refused."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .._core.base.base64url import b64url_decode, b64url_encode
from .._core.jose.jws import half_hash
from .._core.jose.signing_keys import SigningKey
from .._core.jose.verification_keys import import_key
from .._core.login.backchannel_logout import LOGOUT_EVENT
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
from ._keys import pooled_key


@dataclass(frozen=True, slots=True)
class Facts:
    """What the claims of a token are built from. Times are whole seconds."""

    issuer: str
    subject: str
    audience: str | list[str]
    client_id: str
    now: int
    expires_in: float


def _registered(facts: Facts) -> dict[str, Any]:
    expires = facts.now + facts.expires_in
    return {"iss": facts.issuer, "aud": facts.audience, "iat": facts.now, "exp": expires}


def _access_token(facts: Facts) -> dict[str, Any]:
    # RFC 9068 2.2: all of these are required.
    return {
        **_registered(facts),
        "sub": facts.subject,
        "client_id": facts.client_id,
        "jti": secrets.token_urlsafe(16),
        "scope": "openid profile",
    }


def _id_token(facts: Facts) -> dict[str, Any]:
    return {**_registered(facts), "sub": facts.subject, "auth_time": facts.now}


def _logout_token(facts: Facts) -> dict[str, Any]:
    events: dict[str, Any] = {LOGOUT_EVENT: {}}
    # OpenID Connect Back-Channel Logout 2.4: nonce is prohibited; sub or sid, or both.
    return {**_registered(facts), "sub": facts.subject, "jti": secrets.token_urlsafe(16), "events": events}


def _userinfo(facts: Facts) -> dict[str, Any]:
    return {"iss": facts.issuer, "aud": facts.audience, "sub": facts.subject}


def _introspection(facts: Facts) -> dict[str, Any]:
    state = {"active": True, "iss": facts.issuer, "sub": facts.subject, "client_id": facts.client_id}
    return {"iss": facts.issuer, "aud": facts.audience, "iat": facts.now, "token_introspection": state}


def _authorization_response(facts: Facts) -> dict[str, Any]:
    return {"iss": facts.issuer, "aud": facts.audience, "exp": facts.now + facts.expires_in}


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One kind of token: its ``typ``, whether it is addressed to the client or to an API, and its claims."""

    typ: str
    build: Callable[[Facts], dict[str, Any]] = field(repr=False)
    for_client: bool = True


#: Every kind of token the provider makes.
TOKENS: Mapping[str, TokenRow] = {
    "access_token": TokenRow("at+jwt", _access_token, for_client=False),
    "id_token": TokenRow("JWT", _id_token),
    "logout_token": TokenRow("logout+jwt", _logout_token),
    "userinfo": TokenRow("JWT", _userinfo),
    "introspection": TokenRow("token-introspection+jwt", _introspection, for_client=False),
    "authorization_response": TokenRow("oauth-authz-resp+jwt", _authorization_response),
}

#: Arguments of ``mint`` that are hashed into an ID token (OpenID Connect Core 3.3.2.11, FAPI).
_HASHED = {"access_token": "at_hash", "code": "c_hash", "state": "s_hash"}


def token_row(kind: str) -> TokenRow:
    """Look up a kind of token.

    Raises:
        ConfigurationException: There is none of that name.
    """
    row = TOKENS.get(kind)
    if row is None:
        raise ConfigurationException(
            f"There is no kind of token {printable(kind, 40)!r}",
            code="kind_unknown",
            claim="kind",
            expected=list(TOKENS),
        )
    return row


def build_claims(kind: str, facts: Facts, key: SigningKey, more: Mapping[str, Any]) -> dict[str, Any]:
    """Build the claims of a token: the kind's own, changed by *more*, where None leaves a claim out."""
    changes = dict(more)
    if kind == "id_token":
        crv = (key.public_jwk or {}).get("crv")
        for argument in _HASHED.keys() & changes.keys():
            changes.setdefault(_HASHED[argument], half_hash(key.alg, changes.pop(argument), crv))
    claims = {**token_row(kind).build(facts), **changes}
    return {name: value for name, value in claims.items() if value is not None}


def sign_token(header: Mapping[str, Any], payload: bytes | Mapping[str, Any], key: SigningKey) -> str:
    """Sign whatever is handed in under whatever header, lawful or not; None leaves a header parameter out."""
    kept = {name: value for name, value in header.items() if value is not None}
    claims = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signing_input = f"{b64url_encode(json.dumps(kept).encode())}.{b64url_encode(claims)}"
    return f"{signing_input}.{b64url_encode(key.sign(signing_input.encode()))}"


@dataclass(frozen=True, slots=True)
class Workbench:
    """What a forger works with: a good token to start from, the key behind it, and the means to make others."""

    mint: Callable[..., str]
    key: SigningKey
    issuer: str
    now: float

    def header(self, **changes: Any) -> dict[str, Any]:
        """Return the header of a good token, changed."""
        return {"alg": self.key.alg, "typ": "at+jwt", "kid": self.key.kid, **changes}

    def sign(self, header: Mapping[str, Any], key: SigningKey | None = None) -> str:
        """Sign the claims of a good token under *header*."""
        return sign_token(header, b64url_decode(self.mint().split(".")[1]), key or self.key)

    @property
    def stranger(self) -> SigningKey:
        """A key of the same kind that belongs to another owner."""
        return pooled_key("a stranger", self.key.alg, 1)


def _unsigned(bench: Workbench, alg: str = "none") -> str:
    header, payload, _ = bench.sign(bench.header(alg=alg)).split(".")
    return f"{header}.{payload}."


def _public_pem(key: SigningKey) -> bytes:
    public = import_key(key.public_jwk or {}).material
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _hs256_with_public_key(bench: Workbench) -> str:
    signing_input = bench.sign(bench.header(alg="HS256")).rpartition(".")[0]
    # The classic: the verifier's public key, which everybody has, used as the HMAC secret.
    mac = hmac.digest(_public_pem(bench.key), signing_input.encode(), "sha256")
    return f"{signing_input}.{b64url_encode(mac)}"


def _tampered(bench: Workbench) -> str:
    header, payload, signature = bench.mint().split(".")
    claims = {**json.loads(b64url_decode(payload)), "sub": "administrator", "roles": ["admin"]}
    return f"{header}.{b64url_encode(json.dumps(claims).encode())}.{signature}"


def _duplicate_member(bench: Workbench) -> str:
    payload = b64url_decode(bench.mint().split(".")[1])
    return sign_token(bench.header(), payload[:-1] + b', "sub": "administrator"}', bench.key)


def _blank_signature(bench: Workbench) -> str:
    signing_input, _, signature = bench.mint().rpartition(".")
    return f"{signing_input}.{b64url_encode(bytes(len(b64url_decode(signature))))}"


def _embedded_jwk(bench: Workbench) -> str:
    return bench.sign(bench.header(kid=None, jwk=dict(bench.stranger.public_jwk or {})), bench.stranger)


@dataclass(frozen=True, slots=True)
class Forgery:
    """One row of :data:`FORGERIES`.

    Attributes:
        summary: What was done, in words.
        refused_with: The class of the exception a validator of this library raises.
        code: The ``code`` of that exception.
        build: Makes the token.
    """

    summary: str
    refused_with: type[TokenValidationException]
    code: str
    build: Callable[[Workbench], str] = field(repr=False)


def _forgery(
    summary: str,
    code: str,
    build: Callable[[Workbench], str],
    refused_with: type[TokenValidationException] = TokenValidationException,
) -> Forgery:
    return Forgery(summary, refused_with, code, build)


def _bad_signature(summary: str, build: Callable[[Workbench], str]) -> Forgery:
    return Forgery(summary, SignatureVerificationException, "signature_invalid", build)


def _unknown_key(summary: str, **header: Any) -> Forgery:
    return Forgery(
        summary, UnknownKeyException, "key_unknown", lambda b: b.sign(b.header(kid="nobody", **header), b.stranger)
    )


def _wrong(
    claim: str, summary: str, build: Callable[[Workbench], str], refused_with: type[TokenValidationException]
) -> Forgery:
    return Forgery(summary, refused_with, f"{claim}_mismatch", build)


#: Tokens that every validator must refuse, and how. All of them start from a token that is good.
FORGERIES: Mapping[str, Forgery] = {
    "alg_none": _forgery("no signature, and a header that says so", "alg_not_allowed", _unsigned),
    "alg_none_disguised": _forgery("the same, spelled nOnE", "alg_not_allowed", lambda b: _unsigned(b, "nOnE")),
    "hs256_with_public_key": _forgery("HMAC made with the public key", "alg_not_allowed", _hs256_with_public_key),
    "wrong_key": _bad_signature("signed by another key of the same name", lambda b: b.sign(b.header(), b.stranger)),
    "tampered": _bad_signature("claims changed after signing", _tampered),
    "signature_stripped": _bad_signature("no signature at all", lambda b: b.mint().rpartition(".")[0] + "."),
    "signature_blank": _bad_signature("a signature of zeros", _blank_signature),
    "embedded_jwk": _bad_signature("a header that brings its own key", _embedded_jwk),
    "unknown_key": _unknown_key("signed by a key nobody published"),
    "jku": _unknown_key("a header that says where to fetch the key", jku="https://evil.example.com/jwks"),
    "crit": _forgery(
        "a critical header nobody understands",
        "crit_unsupported",
        lambda b: b.sign(b.header(crit=["urn:x"], **{"urn:x": 1})),
    ),
    "b64_false": _forgery(
        "a payload that is not encoded", "crit_unsupported", lambda b: b.sign(b.header(crit=["b64"], b64=False))
    ),
    "duplicate_member": _forgery("a claim that stands twice", "payload_invalid", _duplicate_member),
    "padded": _forgery("a signature spelled another way", "token_malformed", lambda b: b.mint() + "="),
    "expired": _forgery("ended a minute ago", "token_expired", lambda b: b.mint(expires_in=-60), TokenExpiredException),
    "exp_missing": _forgery("never ends", "claim_missing", lambda b: b.mint(exp=None)),
    "not_yet_valid": _forgery(
        "begins in an hour",
        "token_not_yet_valid",
        lambda b: b.mint(nbf=int(b.now) + 3600, expires_in=7200),
        TokenNotYetValidException,
    ),
    "wrong_issuer": _wrong(
        "issuer", "names another issuer", lambda b: b.mint(iss="https://evil.example.com"), InvalidIssuerException
    ),
    "issuer_prefix": _wrong(
        "issuer",
        "an issuer that begins like the right one",
        lambda b: b.mint(iss=f"{b.issuer}.evil.com"),
        InvalidIssuerException,
    ),
    "wrong_audience": _wrong(
        "audience",
        "made for another audience",
        lambda b: b.mint(aud="https://other.example.com"),
        InvalidAudienceException,
    ),
    "audience_missing": _forgery(
        "made for nobody", "claim_missing", lambda b: b.mint(aud=None), InvalidAudienceException
    ),
    "id_token": _forgery(
        "an ID token in place of an access token", "kind_mismatch", lambda b: b.mint("id_token", nonce="n-0S6")
    ),
    "logout_token": _forgery(
        "a logout token in place of an access token", "typ_mismatch", lambda b: b.mint("logout_token")
    ),
}


def build_forgery(name: str, bench: Workbench) -> str:
    """Build the forgery of that name.

    Raises:
        ConfigurationException: There is none.
    """
    row = FORGERIES.get(name)
    if row is None:
        raise ConfigurationException(
            f"There is no forgery {printable(name, 40)!r}", code="forgery_unknown", expected=list(FORGERIES)
        )
    return row.build(bench)


__all__ = [
    "FORGERIES",
    "TOKENS",
    "Facts",
    "Forgery",
    "TokenRow",
    "Workbench",
    "build_claims",
    "build_forgery",
    "sign_token",
    "token_row",
]
