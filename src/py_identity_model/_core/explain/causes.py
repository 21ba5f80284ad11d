"""What is usually the matter, beside audience and issuer (:mod:`..validation.hints`): one row for each code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ...exceptions import PyIdentityModelException, printable
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS
from ..validation.claim_checks import ClaimPolicy, Claims
from ..validation.hints import GRAPH, Cause, audience_cause, issuer_cause, missing_audience_cause
from ..validation.token_kinds import ID_TOKEN

#: Seconds by which clocks of machines that nobody looks after differ.
_SLIGHTLY: Final = 120.0
#: A date that is this far ahead is in milliseconds.
_MILLISECONDS: Final = 1e11
_HOUR: Final = 3600.0


class Facts(NamedTuple):
    """What is known of a token that is refused."""

    error: PyIdentityModelException
    header: Mapping[str, Any]
    claims: Claims
    policy: ClaimPolicy
    #: The issuers that are trusted by name.
    issuers: tuple[str, ...]
    #: The names of the keys there are.
    kids: tuple[str | None, ...]
    wall: float


def cause_of(facts: Facts) -> Cause:
    """Return what is the matter: the cause that is known, else the hint of the refusal, else its message."""
    look = _CAUSES.get(facts.error.code)
    cause = None if look is None else look(facts)
    if cause is not None:
        return cause
    return Cause(facts.error.code, facts.error.hint or facts.error.message)


def _audience(facts: Facts) -> Cause | None:
    audience = facts.claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        return None
    wanted = facts.policy.kind is ID_TOKEN
    return audience_cause(facts.policy.audiences or (), listed, facts.claims, id_token=wanted)


def _party(facts: Facts) -> Cause:
    party = printable(str(facts.claims.get("azp")))
    text = (
        f"another client asked for this ID token (azp), as an app does for its server: if {party} is yours, name it in "
        "authorized_parties=[...]"
    )
    return Cause(facts.error.code, text)


def _issuer(facts: Facts) -> Cause | None:
    return issuer_cause(facts.issuers, facts.claims.get("iss"))


def _missing(facts: Facts) -> Cause | None:
    claim = facts.error.claim
    if claim == "aud":
        return missing_audience_cause(facts.claims)
    if claim == "exp":
        return Cause("without_expiry", "the token never expires: no access token is accepted that does not")
    return None


def _expired(facts: Facts) -> Cause | None:
    expires, issued = facts.claims.get("exp"), facts.claims.get("iat")
    if not isinstance(expires, int | float):
        return None
    late = facts.wall - expires
    if late <= _SLIGHTLY:
        text = f"the token expired {late:.0f} s ago: a clock may be wrong; leeway accepts a difference"
        return Cause("expired_just_now", text, f"leeway={late + 1:.0f}")
    if isinstance(issued, int | float) and expires <= issued:
        return Cause("lifetime_not_positive", "the token expired when it was issued: its issuer's fault")
    text = f"the token expired {duration(late)} ago: the client gets a new one, and keeps none longer than expires_in"
    return Cause("expired", text)


def _not_yet(facts: Facts) -> Cause | None:
    value = facts.claims.get(facts.error.claim or "iat")
    if not isinstance(value, int | float):
        return None
    if value > _MILLISECONDS:
        return Cause("dates_in_milliseconds", "dates are seconds since 1970 (RFC 7519 2), the token has milliseconds")
    early = value - facts.wall
    text = f"the clock here, or the issuer's, is wrong by {duration(early)}: compare both with the date of any server"
    return Cause("clocks_differ", text, f"leeway={early + 1:.0f}" if early <= _SLIGHTLY else None)


def _date(facts: Facts) -> Cause | None:
    value = facts.claims.get(facts.error.claim or "")
    if facts.error.claim in ("exp", "iat", "nbf") and isinstance(value, int | float) and value > _MILLISECONDS:
        return Cause("dates_in_milliseconds", "dates are seconds since 1970 (RFC 7519 2), the token has milliseconds")
    return None


def _algorithm(facts: Facts) -> Cause | None:
    algorithm = facts.header.get("alg")
    if algorithm in SYMMETRIC_ALGORITHMS:
        text = (
            "the token is signed with a shared secret, as a client's own ID tokens may be; an API gets one that the "
            "provider signs with its key (RS256, ES256): change it at the provider"
        )
        return Cause("signed_with_secret", text)
    if isinstance(algorithm, str) and algorithm.lower() == "none":
        return Cause("unsigned", "the token is not signed; no such token is ever accepted")
    if algorithm in ASYMMETRIC_ALGORITHMS:
        text = (
            f"the algorithm is not among those accepted here: if the provider is to use it, algorithms=[{algorithm!r}]"
        )
        return Cause("algorithm_not_listed", text)
    return Cause("algorithm_unknown", "the algorithm is none that this library knows")


def _typ(facts: Facts) -> Cause | None:
    typ = str(facts.header.get("typ")).lower().removeprefix("application/")
    known = _TYPES.get(typ)
    if known is not None:
        return Cause("other_kind", f"the header says typ={printable(typ)}: this is {known}, not an access token")
    if facts.policy.kind.types == {"at+jwt"}:
        text = (
            "the token does not say at+jwt, which RFC 9068 asks for: have the provider follow it (Keycloak: at the "
            'client), or validate with kind="access_token"'
        )
        return Cause("not_rfc9068", text, 'kind="access_token"')
    return None


_TYPES: Final = {
    "dpop+jwt": "a DPoP proof",
    "logout+jwt": "a logout token",
    "secevent+jwt": "a security event",
    "oauth-authz-req+jwt": "a request object",
    "oauth-authz-resp+jwt": "a response in a JWT",
    "token-introspection+jwt": "an introspection response",
    "client-authentication+jwt": "a client assertion",
    "oauth-id-jag+jwt": "an identity assertion grant, for a token endpoint",
    "entity-statement+jwt": "an entity statement",
    "statuslist+jwt": "a status list",
    "refresh": "a refresh token",
}


def _kind(facts: Facts) -> Cause | None:
    claims, claim = facts.claims, facts.error.claim
    if facts.policy.kind is ID_TOKEN:
        return Cause("access_token_sent", "this is an access token, for an API; a login's own is the ID token")
    said = str(claims.get("typ", "")).lower()
    if said in ("refresh", "offline") or claims.get("token_use") == "refresh":
        return Cause("refresh_token_sent", "this is a refresh token, which goes to the token endpoint only")
    if claim == "nonce" and said in ("bearer", "dpop"):
        text = 'Keycloak\'s nonce mapper: remove it from the client, or take both kinds, kind="access_or_id_token"'
        return Cause("keycloak_nonce", text, 'kind="access_or_id_token"')
    if "uid" in claims and "azp" in claims and "/application/o/" in str(claims.get("iss")):
        text = (
            "authentik's access tokens carry the login's nonce, as ID tokens do: take both kinds, "
            'kind="access_or_id_token", and keep ID tokens out by required_claims=["uid"], which they lack'
        )
        return Cause("authentik_nonce", text, 'kind="access_or_id_token", required_claims=["uid"]')
    if said == "id" or claims.get("token_use") == "id" or claim in ("nonce", "at_hash", "c_hash", "s_hash"):
        text = (
            "this is an ID token, for the client that logged the user in: the client sends the access token; where a "
            'provider has no other for an API (Dex, Google), kind="id_token"'
        )
        return Cause("id_token_sent", text)
    return None


def _key(facts: Facts) -> Cause | None:
    kid = facts.header.get("kid")
    there = ", ".join(printable(one, 60) for one in facts.kids if one is not None) or "none of them has a name"
    if kid is None:
        text = f"the token names no key; the provider has {len(facts.kids)} ({there})"
        return Cause("token_without_kid", text)
    text = (
        f"the provider has no key {printable(kid)!r}; it has: {there}. Another environment, tenant or realm made the "
        "token, or the provider replaced its keys and does not publish the new one yet"
    )
    return Cause("key_not_there", text)


def _signature(facts: Facts) -> Cause | None:
    audience = facts.claims.get("aud")
    if "nonce" in facts.header and (audience in GRAPH or facts.header.get("alg") == "RS256"):
        text = (
            "Microsoft changes the tokens of its own APIs (nonce in the header), so that nobody else can verify them: "
            "the client asks for a scope of this API, such as api://ID/.default"
        )
        return Cause("entra_graph_token", text)
    if facts.header.get("kid") is None:
        return _key(facts)
    text = (
        "a key of that name is there, and did not make this signature: the token was changed on its way, or made by "
        "another provider; two with copied keys or names, such as a realm that was imported twice"
    )
    return Cause("signature_of_another", text)


def _scope(facts: Facts) -> Cause | None:
    for name in ("scp", "scope"):
        value = facts.claims.get(name)
        if isinstance(value, str) and "," in value:
            text = f"{name} is one text with commas, where RFC 6749 3.3 has spaces: the issuer's mapper must be changed"
            return Cause("scopes_with_commas", text)
    if "roles" in facts.claims and "scp" not in facts.claims and "scope" not in facts.claims:
        text = (
            "the token has roles and no scopes, as Entra's for a service itself: demand the role, "
            "Requirement(roles=[...]), or either"
        )
        return Cause("roles_in_place_of_scopes", text)
    if "permissions" in facts.claims:
        text = "Auth0 puts rights into permissions (RBAC): demand them as roles, Requirement(roles=[...])"
        return Cause("permissions_in_place_of_scopes", text)
    text = (
        "the client did not ask for the scope, or nobody granted it: it asks for it, and the user or an admin consents"
    )
    return Cause("scope_not_granted", text)


_Look = Callable[[Facts], Cause | None]
_CAUSES: Final[dict[str, _Look]] = {
    "audience_mismatch": _audience,
    "authorized_party_mismatch": _party,
    "issuer_mismatch": _issuer,
    "claim_missing": _missing,
    "claim_type_invalid": lambda facts: _date(facts) or (_audience(facts) if facts.error.claim == "aud" else None),
    "token_expired": _expired,
    "token_not_yet_valid": _not_yet,
    "alg_not_allowed": _algorithm,
    "alg_invalid": _algorithm,
    "typ_mismatch": _typ,
    "kind_mismatch": _kind,
    "key_unknown": _key,
    "signature_invalid": _signature,
    "scope_insufficient": _scope,
}


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < _SLIGHTLY:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 72 * _HOUR else f"{seconds / (24 * _HOUR):.0f} days"


__all__ = ["Facts", "cause_of", "duration"]
