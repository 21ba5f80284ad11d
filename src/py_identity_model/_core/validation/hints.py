"""What is usually the matter with an audience or an issuer: the habits of providers, and the option for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...exceptions import printable

_ANY = "accept_any_audience=True gives the check up by name"
_ENTRA_V1 = "https://sts.windows.net/"
_ENTRA_V2 = "https://login.microsoftonline.com/"


def missing_audience_hint(claims: Mapping[str, Any]) -> str:
    """Return what to do about a token without ``aud``."""
    if "token_use" in claims or "cognito:groups" in claims:
        return (
            "AWS Cognito's access tokens have client_id in place of aud: accept_any_audience=True, and "
            'claims_validator=require_claim_value("client_id", ...)'
        )
    if claims.get("typ") in ("Bearer", "DPoP"):
        return f"Keycloak names the API by an audience mapper at the client; {_ANY}"
    return f"ask the provider for an audience (a resource, an API, a mapper); {_ANY}"


def audience_hint(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> str | None:
    """Return why the audiences differ, where it can be told."""
    if not actual:
        return f"Hydra names an audience if the client asks for one (audience=...); {_ANY}"
    if {one.rstrip("/") for one in expected} & {one.rstrip("/") for one in actual}:
        return "they differ only by a trailing slash"
    bare, named = ({one.removeprefix("api://").rstrip("/") for one in some} for some in (expected, actual))
    if bare & named:
        first = printable(next(iter(sorted(actual))))
        return f"Entra ID writes an API as api://ID or as the ID alone: name this one too, audience=[..., {first!r}]"
    if "account" in actual:
        return (
            "aud=account is what Keycloak writes by itself: add an audience mapper for this API to the client; "
            "audience='account' would take the tokens of every client"
        )
    if claims.get("azp") in expected or claims.get("client_id") in expected:
        return "the audience given is the client's name (azp, client_id): an API is named by what aud says"
    return None


def issuer_hint(expected: Collection[str], actual: object) -> str | None:
    """Return why the issuers differ, where it can be told."""
    document = next((one for one in expected if "/.well-known/" in one), None)
    if document is not None:
        issuer = document.partition("/.well-known/")[0]
        return (
            f"the issuer given is the address of its metadata: give {printable(issuer)!r}, or what the metadata names"
        )
    if not isinstance(actual, str):
        return None
    if actual.rstrip("/") in {one.rstrip("/") for one in expected}:
        return "the issuers differ only by a trailing slash"
    if actual.partition("://")[2] in {one.partition("://")[2] for one in expected}:
        return "the issuers differ only by http and https"
    if actual.startswith(_ENTRA_V1) and any(one.startswith(_ENTRA_V2) for one in expected):
        return (
            "a token of Entra's version 1: set accessTokenAcceptedVersion to 2 in the API's manifest, or trust "
            f"{printable(actual)!r} as well, TokenValidator([...])"
        )
    if actual.startswith(_ENTRA_V2) and any(one.startswith(_ENTRA_V1) for one in expected):
        return f"a token of Entra's version 2: trust {printable(actual)!r} as well, TokenValidator([...])"
    return None


__all__ = ["audience_hint", "issuer_hint", "missing_audience_hint"]
