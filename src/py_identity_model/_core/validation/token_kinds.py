"""Kinds of token, kept apart so that none is ever taken for another (RFC 8725 3.11 and 3.12)."""

from __future__ import annotations

from dataclasses import dataclass

from ...exceptions import ConfigurationException, TokenValidationException, printable

#: Claims that only one kind of token carries, and what their presence gives away.
MARKS = {
    "nonce": "an ID token",
    "at_hash": "an ID token",
    "c_hash": "an ID token",
    "s_hash": "an ID token",
    "events": "a security event token",
    "toe": "a security event token",
    "htm": "a DPoP proof",
    "htu": "a DPoP proof",
    "token_introspection": "an introspection response",
    "redirect_uris": "a client registration",
    "auth_req_id": "a CIBA request",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes a token of one kind: its ``typ``, the claims it needs, the claims it must not have.

    Attributes:
        name: How errors call it.
        types: Accepted values of the header parameter ``typ``, lower case, without ``application/``; "" means absent.
        required: Claims that must be present beyond those the policy asks for.
        forbidden: Claims that betray another kind.
        expires: Whether ``exp`` must be present; where it is present, it counts in any case.
    """

    name: str
    types: frozenset[str]
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    expires: bool = True


def _kind(name: str, types: str, required: str = "", own_marks: str = "", *, expires: bool = True) -> Kind:
    return Kind(
        name,
        frozenset("" if t == "-" else t for t in types.split()),
        frozenset(required.split()),
        frozenset(MARKS) - frozenset(own_marks.split()),
        expires,
    )


_ID_TOKEN_MARKS = "nonce at_hash c_hash s_hash"

ACCESS_TOKEN = _kind("access token", "- jwt at+jwt")
#: RFC 9068 2.2 and 4: the profile to the letter.
RFC9068_ACCESS_TOKEN = _kind("RFC 9068 access token", "at+jwt", "sub client_id iat jti")
ID_TOKEN = _kind("ID token", "- jwt", "sub iat", _ID_TOKEN_MARKS)
#: Access token or ID token: what ``validate_token`` has always been used for.
ACCESS_OR_ID_TOKEN = _kind("access token or ID token", "- jwt at+jwt", "", _ID_TOKEN_MARKS)
#: OpenID Connect Back-Channel Logout 2.4: ``nonce`` is prohibited, ``events`` required.
LOGOUT_TOKEN = _kind("logout token", "- jwt logout+jwt", "iat jti events", "events toe")
#: JWT Secured Authorization Response Mode 2.1.
JARM_RESPONSE = _kind("JARM response", "- jwt oauth-authz-resp+jwt")
#: RFC 9701 5: without ``exp``, so that none is taken for an access token.
INTROSPECTION_RESPONSE = _kind(
    "introspection response",
    "token-introspection+jwt",
    "iat token_introspection",
    "token_introspection",
    expires=False,
)
#: OpenID Connect Core 5.3.2: a signed UserInfo response.
USERINFO_RESPONSE = _kind("UserInfo response", "- jwt", "sub", _ID_TOKEN_MARKS, expires=False)
#: OpenID Connect Core 5.6.2: claims that another provider signed.
EXTERNAL_CLAIMS = _kind("aggregated or distributed claims", "- jwt", expires=False)

#: The kinds a validator can be asked for by name.
KINDS = {
    "access_token": ACCESS_TOKEN,
    "rfc9068_access_token": RFC9068_ACCESS_TOKEN,
    "id_token": ID_TOKEN,
    "access_or_id_token": ACCESS_OR_ID_TOKEN,
}


def kind_named(kind: str | Kind) -> Kind:
    """Return the kind of that name.

    Raises:
        ConfigurationException: There is none.
    """
    if isinstance(kind, Kind):
        return kind
    found = KINDS.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise ConfigurationException(
            f"kind must be one of {', '.join(KINDS)}, got {printable(kind)!r}",
            code="kind_unknown",
            claim="kind",
            expected=tuple(KINDS),
            actual=printable(kind),
        )
    return found


def media_type(typ: object) -> str:
    """Return a ``typ`` as it is compared: lower case, without ``application/``; "" if absent.

    >>> media_type("application/AT+JWT")
    'at+jwt'
    """
    if not isinstance(typ, str):
        return ""
    # RFC 7515 4.1.9: a value without "/" is short for application/ and itself; names are case-insensitive.
    return typ.lower().removeprefix("application/")


def check_typ(kind: Kind, typ: object) -> None:
    """Refuse a header whose ``typ`` names another kind.

    Raises:
        TokenValidationException: It does.
    """
    # An empty typ is not an absent one.
    named = media_type(typ)
    if (typ is not None and not named) or named not in kind.types:
        expected = tuple(sorted(t or "no typ" for t in kind.types))
        raise TokenValidationException(
            f"Expected the header typ of this kind ({kind.name}: {' or '.join(expected)}), got {printable(typ)!r}",
            "header",
            code="typ_mismatch",
            claim="typ",
            expected=expected,
            actual=printable(typ),
            hint="this is another kind of token, made for another purpose",
        )


__all__ = [
    "ACCESS_OR_ID_TOKEN",
    "ACCESS_TOKEN",
    "EXTERNAL_CLAIMS",
    "ID_TOKEN",
    "INTROSPECTION_RESPONSE",
    "JARM_RESPONSE",
    "KINDS",
    "LOGOUT_TOKEN",
    "MARKS",
    "RFC9068_ACCESS_TOKEN",
    "USERINFO_RESPONSE",
    "Kind",
    "check_typ",
    "kind_named",
    "media_type",
]
