"""Kinds of token, kept apart so that none is ever taken for another (RFC 8725 3.11 and 3.12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import must_be
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
    "binding_message": "a CIBA request",
    "client_notification_token": "a CIBA request",
    "id_token_hint": "a CIBA request",
    "login_hint_token": "a CIBA request",
    "response_type": "a request object",
    "redirect_uri": "a request object",
    "code_challenge": "a request object",
    "jwks": "an entity statement",
    "authority_hints": "an entity statement",
    "metadata_policy": "an entity statement",
    "trust_marks": "an entity statement",
    "sd_hash": "a key binding",
    "status_list": "a status list",
}
#: Names that applications give to claims of their own too: marks only where nothing says whom a token is about.
MARKS_WITHOUT_A_PARTY = {
    "code": "a JARM response",
    "error": "a JARM response",
    "state": "a JARM response",
    "access_token": "a JARM response",
    "id_token": "a JARM response",
    "login_hint": "a CIBA request",
}
_PARTIES = frozenset({"sub", "client_id", "azp"})
#: Claims of OpenID Connect Core 5.1 about a person. With neither ``iat`` nor ``jti``, nor a client, they are all there
#: is: a signed UserInfo response, whose ``exp`` is optional (Core 5.3.2).
_PROFILE = frozenset(
    {"name", "given_name", "family_name", "nickname", "preferred_username", "profile", "picture", "website", "email"}
    | {"email_verified", "gender", "birthdate", "zoneinfo", "locale", "phone_number", "phone_number_verified"}
    | {"address", "updated_at"}
)
_ISSUED = frozenset({"iat", "jti", "client_id", "azp", "scope", "scp"})
#: What a token says of itself in a claim: Keycloak in ``typ``, Cognito in ``token_use``; compared without case.
SAID = {
    "typ": {
        "Bearer": "an access token",
        "DPoP": "an access token",
        "ID": "an ID token",
        "Serialized-ID": "an ID token",
        "Refresh": "a refresh token",
        "Offline": "a refresh token",
        "Logout": "a logout token",
        "InitialAccessToken": "a registration access token",
        "RegistrationAccessToken": "a registration access token",
    },
    "token_use": {"access": "an access token", "id": "an ID token", "refresh": "a refresh token"},
}
_SAID = {name: {word.lower(): what for word, what in words.items()} for name, words in SAID.items()}
_EVERYTHING = frozenset(what for words in SAID.values() for what in words.values())


def texts(values: object, what: str) -> frozenset[str]:
    """Return texts as a set.

    Raises:
        ConfigurationException: They are something else, such as one text: its letters, and parts of it, are none.
    """
    if not isinstance(values, frozenset | set | list | tuple) or not all(isinstance(one, str) for one in values):
        raise must_be(what, "a set of texts", type(values).__name__)
    return frozenset(values)


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes a token of one kind: its ``typ``, the claims it needs, the claims it must not have.

    Attributes:
        name: How errors call it.
        types: Accepted values of the header parameter ``typ``, lower case, without ``application/``; "" means absent.
        required: Claims that must be present beyond those the policy asks for.
        forbidden: Claims that betray another kind.
        expires: Whether ``exp`` must be present; where it is present, it counts in any case.
        one_of: Claims one of which must be present.
        foreign: What a token must not say of itself (:data:`SAID`).
        bare: Whether claims that are marks only where no party is named (:data:`MARKS_WITHOUT_A_PARTY`) are its own.
        about_itself: Whether ``iss`` and ``sub`` may be the same, as in a client assertion (RFC 7523 3).
        short_subject: Whether ``sub`` has 1 to 255 characters. OpenID Connect Core 2 says so of ID tokens, RFC 7519
            and RFC 9068 of no token.
    """

    name: str
    types: frozenset[str]
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    expires: bool = True
    one_of: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    bare: bool = True
    about_itself: bool = False
    short_subject: bool = False

    @checks_arguments
    def __post_init__(self) -> None:
        for name in ("types", "required", "forbidden", "one_of", "foreign"):
            object.__setattr__(self, name, texts(getattr(self, name), name))

    @explains_arguments
    def words(self, claim: str) -> tuple[str, ...]:
        """Return what *claim* may say of a token of this kind, letter by letter as providers write it."""
        return tuple(word for word, what in SAID[claim].items() if what not in self.foreign)


def _kind(
    name: str, types: str, required: str = "", own_marks: str = "", says: str | None = None, **facts: Any
) -> Kind:
    return Kind(
        name,
        frozenset("" if t == "-" else t for t in types.split()),
        frozenset(required.split()),
        frozenset(MARKS) - frozenset(own_marks.split()),
        foreign=frozenset() if says is None else _EVERYTHING - frozenset(says.split(", ")),
        **facts,
    )


_ID_TOKEN_MARKS = "nonce at_hash c_hash s_hash"
#: What says whom an access token is about, or what it grants: none is accepted without. AD FS says ``scp`` and
#: ``appid`` only. These stand in for a subject, never for a kind: what marks something else is refused beside them
#: (RFC 8725 3.11), and the profile of RFC 9068 demands ``sub`` and ``client_id`` whatever else there is.
_SUBJECTS = _PARTIES | {"scope", "scp", "appid"}
_TO_AN_API: dict[str, Any] = {"one_of": _SUBJECTS, "bare": False}

ACCESS_TOKEN = _kind("access token", "- jwt at+jwt", says="an access token", **_TO_AN_API)
#: RFC 9068 2.2 and 4: the profile to the letter.
RFC9068_ACCESS_TOKEN = _kind(
    "RFC 9068 access token", "at+jwt", "sub client_id iat jti", says="an access token", **_TO_AN_API
)
ID_TOKEN = _kind("ID token", "- jwt", "sub iat", _ID_TOKEN_MARKS, "an ID token", short_subject=True)
#: Access token or ID token: what ``validate_token`` has always been used for, and for signed answers of APIs beside
#: (those of FAPI 1's consents say whom they are for, and not about whom).
ACCESS_OR_ID_TOKEN = _kind(
    "access token or ID token", "- jwt at+jwt", "", _ID_TOKEN_MARKS, "an access token, an ID token", bare=False
)
#: OpenID Connect Back-Channel Logout 2.4: ``nonce`` is prohibited, ``events`` required.
LOGOUT_TOKEN = _kind(
    "logout token", "- jwt logout+jwt", "iat jti events", "events toe", "a logout token", short_subject=True
)
#: JWT Secured Authorization Response Mode 2.1: the members of an authorization response, one of them at least.
JARM_RESPONSE = _kind(
    "JARM response",
    "- jwt oauth-authz-resp+jwt",
    says="",
    one_of=frozenset({"code", "error", "state", "access_token", "id_token"}),
)
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
KindName: TypeAlias = Literal["access_token", "rfc9068_access_token", "id_token", "access_or_id_token"]
KINDS: dict[KindName, Kind] = {
    "access_token": ACCESS_TOKEN,
    "rfc9068_access_token": RFC9068_ACCESS_TOKEN,
    "id_token": ID_TOKEN,
    "access_or_id_token": ACCESS_OR_ID_TOKEN,
}


def kind_named(kind: KindName | Kind) -> Kind:
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


def betrayed(kind: Kind, claims: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return a claim that no token of *kind* has, and what it marks; None where there is none.

    >>> betrayed(ACCESS_TOKEN, {"sub": "ada", "nonce": "n-0S6"})
    ('nonce', 'an ID token')
    >>> betrayed(ID_TOKEN, {"sub": "ada", "typ": "Bearer"})
    ('typ', 'an access token')
    """
    for name, what in MARKS.items():
        if name in claims and name in kind.forbidden:
            return name, what
    for name, words in _SAID.items():
        said = claims.get(name)
        word = words.get(said.lower()) if isinstance(said, str) else None
        if word is not None and word in kind.foreign:
            return name, word
    if not kind.about_itself and "sub" in claims and claims["sub"] == claims.get("iss"):
        return "sub", "a client assertion"
    return None if kind.bare else _bare(claims)


def check_marks(kind: Kind, claims: Mapping[str, Any]) -> None:
    """Refuse claims that give away another kind (RFC 8725 3.12).

    Raises:
        TokenValidationException: They do.
    """
    found = betrayed(kind, claims)
    if found is None:
        return
    claim, what = found
    raise TokenValidationException(
        f"The claim {claim!r} marks {what}, not an acceptable {kind.name}",
        "payload",
        code="kind_mismatch",
        claim=claim,
        expected=kind.name,
        actual=what,
        hint=_hint(kind, claim, what, claims),
    )


def _hint(kind: Kind, claim: str, what: str, claims: Mapping[str, Any]) -> str | None:
    if what == "an access token":
        return "an access token is for an API; a client takes ID tokens"
    if what != "an ID token":
        return None
    if claim == "nonce" and str(claims.get("typ")).lower() in ("bearer", "dpop"):
        return (
            "an access token of Keycloak with its nonce mapper, or from before version 25: remove the mapper from the "
            'client, or accept ID tokens beside access tokens with kind="access_or_id_token"'
        )
    return "an ID token is for the client that logged the user in; an API takes access tokens" + (
        ' (kind="access_or_id_token" takes both)' if kind is ACCESS_TOKEN else ""
    )


def check_one_of(kind: Kind, claims: Mapping[str, Any]) -> None:
    """Refuse claims that have none of those one of which a token of *kind* has.

    Raises:
        TokenValidationException: So it is.
    """
    if not kind.one_of or not kind.one_of.isdisjoint(claims):
        return
    wanted = sorted(kind.one_of)
    raise TokenValidationException(
        f"The {kind.name} has none of the claims {', '.join(wanted)}",
        "payload",
        {"missing": wanted},
        code="claim_missing",
        claim="sub" if "sub" in wanted else wanted[0],
        expected=" or ".join(wanted),
        actual="absent",
        hint="without any of them it is hardly a token of this kind",
    )


def _bare(claims: Mapping[str, Any]) -> tuple[str, str] | None:
    if _PARTIES.isdisjoint(claims):
        return next(((name, what) for name, what in MARKS_WITHOUT_A_PARTY.items() if name in claims), None)
    if _ISSUED.isdisjoint(claims):
        return next(((name, "a UserInfo response") for name in sorted(_PROFILE & claims.keys())), None)
    return None


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
    "MARKS_WITHOUT_A_PARTY",
    "RFC9068_ACCESS_TOKEN",
    "SAID",
    "USERINFO_RESPONSE",
    "Kind",
    "KindName",
    "betrayed",
    "check_marks",
    "check_one_of",
    "check_typ",
    "kind_named",
    "media_type",
    "texts",
]
