"""Tokens that are kept: what tells one from another, and how they lie in a store.

An entry of the store is one login with all the access tokens that came of it, or one access token of the client's own.
A login is one entry, so that a new refresh token and the access token it came with are written in one step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..base.codec import Codec
from ..base.header_lists import words
from ..base.scopes import Scopes, optional_scope
from ..base.secret import Redacted
from ..base.store import digest_of
from .grants import several
from .token_response import TokenResponse

#: The topic of tokens, and of the right to renew them.
TOPIC = "tokens"
VERSION = 1
#: Access tokens of one login at most; those obtained first go first.
MAX_TOKENS = 16
#: Seconds that a login is kept after it was last renewed, and a token whose provider does not say how long it lives.
LOGIN_KEPT, UNKNOWN_KEPT = 400 * 86400.0, 86400.0
#: What is kept of the claims of an ID token: what later ones are compared with (OpenID Connect Core 12.2), and the
#: session for logouts.
_KEPT_CLAIMS = ("iss", "sub", "aud", "azp", "auth_time", "nonce", "acr", "sid")


@dataclass(frozen=True, repr=False)
class AccessToken(Redacted):
    """A token that may be used now.

    Attributes:
        access_token: The token itself.
        token_type: ``Bearer`` or ``DPoP``.
        expires_at: When it expires, in seconds since 1970; None if the provider did not tell.
        scope: What it grants.
    """

    access_token: str
    token_type: str
    expires_at: float | None = None
    scope: str | None = None

    _redacted = frozenset({"access_token"})


@dataclass(frozen=True, slots=True)
class Asking:
    """Every parameter of a token request: requests that differ in any of them never share a token.

    Attributes:
        issuer: The provider.
        client_id: The client.
        credential: What the client proves itself by.
        grant: ``client_credentials``, ``login``, or how *subject* is exchanged: ``on_behalf_of`` where that is left to
            the provider.
        subject: Whose token it is: the name of a login, or the token that was exchanged.
        scope: The scopes asked for, each once, in order.
        resource: Where the token will be used (RFC 8707).
        audience: The same by name (RFC 8693).
        details: ``authorization_details`` as JSON (RFC 9396).
        jkt: The thumbprint of the DPoP key that the token is bound to.
        entry: The key of the entry in the store. It carries no secret.
        token: The key of the token within the entry.
    """

    issuer: str
    client_id: str
    credential: str
    grant: str
    subject: str = ""
    scope: tuple[str, ...] | None = None
    resource: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    details: str = ""
    jkt: str = ""
    entry: str = field(init=False, compare=False)
    token: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        scope = "" if self.scope is None else "scope " + " ".join(self.scope)
        wanted = digest_of("token", scope, _joined(self.resource), _joined(self.audience), self.details)
        owner = (self.issuer, self.client_id, self.credential, self.grant, self.subject, self.jkt)
        own = () if self.grant == LOGIN else (wanted,)  # one refresh token serves all that is asked of a login
        object.__setattr__(self, "token", wanted)
        object.__setattr__(self, "entry", digest_of("tokens", *owner, *own))

    def __repr__(self) -> str:  # the subject may be a token
        return f"Asking({self.grant} {self.entry[:12]})"


LOGIN = "login"
CLIENT_CREDENTIALS = "client_credentials"


def _joined(values: tuple[str, ...]) -> str:
    return digest_of(*values) if values else ""


def wanted(
    scope: Scopes | None,
    resource: str | Sequence[str] | None,
    audience: str | Sequence[str] | None,
    details: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return the fields of :class:`Asking` that say what a token is for.

    Raises:
        ConfigurationException: One of them cannot be sent.
    """
    text = optional_scope(scope)
    return {
        "scope": None if text is None else tuple(sorted(set(words(text)))),
        "resource": tuple(several("resource", resource)),
        "audience": tuple(several("audience", audience)),
        "details": "" if details is None else json.dumps(list(details), sort_keys=True, separators=(",", ":")),
    }


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """An access token as it is kept. Times are seconds since 1970."""

    access_token: str
    token_type: str
    obtained_at: float
    expires_at: float | None = None
    #: When the provider wants it renewed (``refresh_in``).
    renew_at: float | None = None
    scope: str | None = None

    def __repr__(self) -> str:
        return f"Kept({self.token_type})"


class Held(msgspec.Struct, frozen=True, array_like=True):
    """One entry of the store."""

    tokens: dict[str, Kept] = {}
    refresh_token: str | None = None
    claims: dict[str, Any] | None = None
    id_token_hint: str | None = None
    #: What the login grants.
    scope: str | None = None
    #: How the login came.
    verb: str | None = None
    #: Why there is no refresh token any more.
    lost: str | None = None

    def __repr__(self) -> str:
        return f"Held({len(self.tokens)} tokens)"

    def with_token(self, key: str, token: Kept, **changes: Any) -> Held:
        """Return the entry with one more token."""
        tokens = {**{k: v for k, v in self.tokens.items() if k != key}, key: token}
        too_many = max(0, len(tokens) - MAX_TOKENS)
        for oldest in sorted(tokens, key=lambda name: tokens[name].obtained_at)[:too_many]:
            del tokens[oldest]
        return msgspec.structs.replace(self, tokens=tokens, **changes)

    def lifetime(self, wall: float) -> float:
        """Return for how many seconds the entry is kept."""
        if self.refresh_token is not None or self.claims is not None:
            return LOGIN_KEPT
        ends = [UNKNOWN_KEPT + t.obtained_at if t.expires_at is None else t.expires_at for t in self.tokens.values()]
        return max(1.0, max(ends, default=wall) - wall)


#: How entries lie in a store.
ENTRIES = Codec(Held, TOPIC, VERSION)


def kept(response: TokenResponse, wall: float) -> Kept:
    """Return the access token of a response as it is kept."""
    renew = (response.token or {}).get("refresh_in")
    ahead = isinstance(renew, int | float) and not isinstance(renew, bool) and 0 < renew < 1e10
    return Kept(
        response.access_token,
        "DPoP" if response.token_type.lower() == "dpop" else "Bearer",
        wall,
        response.expires_at,
        wall + renew if ahead and renew is not None else None,
        response.scope,
    )


def kept_claims(claims: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what is kept of the claims of an ID token."""
    return None if claims is None else {name: claims[name] for name in _KEPT_CLAIMS if name in claims}


__all__ = [
    "CLIENT_CREDENTIALS",
    "ENTRIES",
    "LOGIN",
    "TOPIC",
    "AccessToken",
    "Asking",
    "Held",
    "Kept",
    "kept",
    "kept_claims",
    "wanted",
]
