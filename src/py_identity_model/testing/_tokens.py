"""What the embedded provider signs: a table of kinds of token, and a table of forgeries that must all be refused."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.base.base64url import b64url_decode, b64url_encode
from .._core.jose.jws import half_hash
from .._core.jose.signing_keys import SigningKey
from .._core.login.backchannel_logout import LOGOUT_EVENT
from ..exceptions import (
    ConfigurationException,
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


def without_hashed(kind: str, claims: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell claims from what is hashed into an ID token; other kinds of token hash nothing."""
    hashed = {name: claims[name] for name in _HASHED if kind == "id_token" and name in claims}
    return {name: value for name, value in claims.items() if name not in hashed}, hashed


def build_claims(
    kind: str, facts: Facts, key: SigningKey, more: Mapping[str, Any], hashed: Mapping[str, str]
) -> dict[str, Any]:
    """Build the claims of a token: the kind's own, changed by *more*, where None leaves a claim out."""
    crv = (key.public_jwk or {}).get("crv")
    hashes = {_HASHED[name]: half_hash(key.alg, value, crv) for name, value in hashed.items()}
    claims = {**token_row(kind).build(facts), **hashes, **more}
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

    def header(self, **changes: object) -> dict[str, Any]:
        """Return the header of a good token, changed."""
        return {"alg": self.key.alg, "typ": "at+jwt", "kid": self.key.kid, **changes}

    def sign(self, header: Mapping[str, Any], key: SigningKey | None = None) -> str:
        """Sign the claims of a good token under *header*."""
        return sign_token(header, b64url_decode(self.mint().split(".")[1]), key or self.key)

    @property
    def stranger(self) -> SigningKey:
        """A key of the same kind that belongs to another owner."""
        return pooled_key("a stranger", self.key.alg, 1)


__all__ = [
    "TOKENS",
    "Facts",
    "TokenRow",
    "Workbench",
    "build_claims",
    "sign_token",
    "token_row",
    "without_hashed",
]
