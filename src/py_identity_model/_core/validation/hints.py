"""What is usually the matter with an audience or an issuer: the habits of providers, and the option for each.

A refusal carries the hint; an explanation (:mod:`..explain`) asks for the cause, which has a name and the setting too.
Nothing here is fetched or verified: a cause is told by what was expected and what came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ...exceptions import printable

_ANY = "accept_any_audience=True gives the check up by name"
_ENTRA_V1 = "https://sts.windows.net/"
_ENTRA_V2 = "https://login.microsoftonline.com/"
#: Microsoft Graph: its access tokens are for it alone, and nobody else can verify them.
GRAPH: Final = frozenset({"00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com"})
_TENANT = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: Names of many tenants at once, in place of one, in addresses of Entra ID.
_MANY_TENANTS = ("common", "organizations", "consumers")


class Cause(NamedTuple):
    """What is the matter.

    Attributes:
        name: A stable name.
        text: What it is, and what to do about it.
        setting: What to write here instead, where changing the setting is safe if the signature is the issuer's; None
            where it is not, or where the provider or the client is what must be changed.
    """

    name: str
    text: str
    setting: str | None = None


# ---------------------------------------------------------------------------------------------------------------------
# Audience


def missing_audience_cause(claims: Mapping[str, Any]) -> Cause:
    """Return what to do about a token without ``aud``."""
    if "token_use" in claims or "cognito:groups" in claims:
        text = (
            "AWS Cognito's access tokens have client_id in place of aud: accept_any_audience=True, and "
            'claims_validator=require_claim_value("client_id", ...)'
        )
        setting = 'accept_any_audience=True, claims_validator=require_claim_value("client_id", ...)'
        return Cause("cognito_without_audience", text, setting)
    if claims.get("typ") in ("Bearer", "DPoP"):
        text = f"Keycloak names the API by an audience mapper at the client; {_ANY}"
        return Cause("keycloak_without_audience", text)
    return Cause("audience_not_asked_for", f"ask the provider for an audience (a resource, an API, a mapper); {_ANY}")


def audience_cause(
    expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any], *, id_token: bool = False
) -> Cause | None:
    """Return why the audiences differ, where it can be told; *id_token* says that an ID token is what was wanted."""
    looks = (*_AUDIENCES[:-1], _of_another_client) if id_token else _AUDIENCES
    for look in looks:
        cause = look(expected, actual, claims)
        if cause is not None:
            return cause
    return None


_LookAtAudience = Callable[[Collection[str], Collection[str], Mapping[str, Any]], Cause | None]


def _empty(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    if actual:
        return None
    return Cause("audience_not_asked_for", f"Hydra names an audience if the client asks for one (audience=...); {_ANY}")


def _without_http(text: str) -> str:
    return text.removeprefix("https://").removeprefix("http://")


def _nearly(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    for name, alike, text in (
        ("audience_trailing_slash", lambda one: one.rstrip("/"), "they differ only by a trailing slash"),
        ("audience_scheme", _without_http, "they differ only by http and https"),
        ("audience_case", str.lower, "they differ only by upper and lower case, which counts"),
        ("audience_white_space", str.strip, "they differ only by white space, as of a setting read from a file"),
    ):
        theirs = next((one for one in sorted(actual) if alike(one) in {alike(other) for other in expected}), None)
        if theirs is not None:
            return Cause(name, text, f"audience={printable(theirs)!r}")
    return None


def _entra_name(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    bare, named = ({one.removeprefix("api://").rstrip("/") for one in some} for some in (expected, actual))
    if not bare & named:
        return None
    first = printable(next(iter(sorted(actual))))
    text = f"Entra ID writes an API as api://ID or as the ID alone: name this one too, audience=[..., {first!r}]"
    return Cause("entra_api_name", text, f"audience=[..., {first!r}]")


def _graph(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    if GRAPH.isdisjoint(one.rstrip("/") for one in actual):
        return None
    text = (
        "the token is for Microsoft Graph, which alone can verify it: the client asks for a scope of this API, such as "
        "api://ID/.default"
    )
    return Cause("entra_graph_token", text)


def _keycloak_account(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    if "account" not in actual:
        return None
    text = (
        "aud=account is what Keycloak writes by itself: add an audience mapper for this API to the client; "
        "audience='account' would take the tokens of every client"
    )
    return Cause("keycloak_audience_account", text)


def _by_client(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    if not any(claims.get(name) in expected for name in ("azp", "client_id", "cid", "appid")):
        return None
    theirs = printable(next(iter(sorted(actual))))
    text = (
        "the audience given is the client's name (azp, client_id): an API is named by what aud says; if this API is "
        f"{theirs!r}, that is the audience"
    )
    return Cause("audience_is_the_client", text)


def _by_provider(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    """A token for the provider itself, or for another service of the same platform."""
    if any(one.rstrip("/").endswith("/userinfo") for one in actual) and len(actual) == 1:
        text = "the token is for UserInfo only: the client must ask for this API (Auth0: the parameter audience)"
        return Cause("audience_is_userinfo", text)
    if "https://kubernetes.default.svc" in actual or "https://kubernetes.default.svc.cluster.local" in actual:
        text = (
            "the token is for the cluster's own API: project one for this service, serviceAccountToken with "
            "audience: NAME"
        )
        return Cause("kubernetes_default_audience", text)
    if any(one.startswith("https://github.com/") for one in actual) and "repository" in claims:
        text = (
            "GitHub writes the owner's address unless the job asks for an audience: core.getIDToken(AUDIENCE), or "
            "&audience=AUDIENCE"
        )
        return Cause("github_default_audience", text)
    if claims.get("iss") in actual and len(actual) == 1:
        text = (
            "the token is for its own issuer (Okta's org server, Dex): the client must ask for this API; with Okta at "
            "a custom authorization server, .../oauth2/default"
        )
        return Cause("audience_is_the_issuer", text)
    return None


def _of_another_application(
    expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]
) -> Cause | None:
    """A token for another application of providers that know each by a number of its own."""
    issuer = str(claims.get("iss"))
    if ".zitadel.cloud" in issuer or any(name.startswith("urn:zitadel:") for name in claims):
        text = (
            "ZITADEL puts a project into aud if the client asks for it, by the scope "
            "urn:zitadel:iam:org:project:id:PROJECT:aud"
        )
        return Cause("zitadel_project_not_asked_for", text)
    if issuer.rstrip("/").endswith(".cloudflareaccess.com"):
        text = "the token is for another application of the team: each has an audience (AUD) tag of its own"
        return Cause("cloudflare_other_application", text)
    return None


def _of_another_api(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    if not {"at_hash", "c_hash", "nonce"}.isdisjoint(claims) or claims.get("token_use") == "id":
        text = "this is an ID token, for the client that logged the user in: send the access token to an API"
        return Cause("id_token_sent", text)
    return None


def _of_another_client(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    theirs = printable(next(iter(sorted(actual))))
    text = (
        f"this ID token was made for another client, {theirs}: each application has a client ID of its own; name those "
        "that are yours, audience=[...]"
    )
    return Cause("id_token_of_another_client", text)


def _spring(expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any]) -> Cause | None:
    if not isinstance(claims.get("scope"), list) or not {"client_id", "azp", "typ"}.isdisjoint(claims):
        return None
    text = (
        "Spring Authorization Server writes the client into aud: an OAuth2TokenCustomizer there names this API, "
        "claims.audience(...)"
    )
    return Cause("spring_audience_is_the_client", text)


_AUDIENCES: tuple[_LookAtAudience, ...] = (
    _empty,
    _nearly,
    _entra_name,
    _graph,
    _keycloak_account,
    _by_client,
    _by_provider,
    _spring,
    _of_another_application,
    _of_another_api,
)


# ---------------------------------------------------------------------------------------------------------------------
# Issuer


def issuer_cause(expected: Collection[str], actual: object) -> Cause | None:
    """Return why the issuers differ, where it can be told."""
    document = next((one for one in expected if "/.well-known/" in one), None)
    if document is not None:
        issuer = printable(document.partition("/.well-known/")[0])
        text = f"the issuer given is the address of its metadata: give {issuer!r}, or what the metadata names"
        return Cause("issuer_is_metadata_address", text, f"issuer={issuer!r}")
    if not isinstance(actual, str):
        return None
    for mine in sorted(expected):
        for look in _ISSUERS:
            cause = look(mine, actual)
            if cause is not None:
                return cause
    return None


_LookAtIssuer = Callable[[str, str], Cause | None]


def _issuer_nearly(mine: str, theirs: str) -> Cause | None:
    setting = f"issuer={printable(theirs)!r}"
    if mine.rstrip("/") == theirs.rstrip("/"):
        return Cause("issuer_trailing_slash", "the issuers differ only by a trailing slash", setting)
    if mine.partition("://")[2] == theirs.partition("://")[2]:
        text = "the issuers differ only by http and https"
        if theirs.startswith("http://"):  # nothing to be trusted here: the provider does not know its own name
            return Cause("issuer_scheme", f"{text}: tell the provider, or the proxy before it, its public address")
        return Cause("issuer_scheme", text, setting)
    if mine.strip().lower() == theirs.strip().lower():
        return Cause("issuer_case", "the issuers differ only by upper and lower case or white space", setting)
    return None


def _issuer_without_scheme(mine: str, theirs: str) -> Cause | None:
    bare = theirs.rstrip("/")
    if "://" not in theirs and mine.partition("://")[2].rstrip("/") == bare:
        text = f"the provider writes its name without https:// into tokens: trust it so, {printable(theirs)!r}"
        where = printable(mine)
        setting = f"issuer={printable(theirs)!r}, discovery_address={where!r}, metadata_issuer={where!r}"
        return Cause("issuer_without_scheme", text, setting)
    if "://" not in mine and theirs.partition("://")[2].rstrip("/") == mine.rstrip("/"):
        text = "an issuer is a whole address, with https://"
        return Cause("issuer_without_scheme", text, f"issuer={printable(theirs)!r}")
    return None


def _entra(mine: str, theirs: str) -> Cause | None:
    trust = f"trust {printable(theirs)!r} as well, TokenValidator([...])"
    setting = f"issuer=[{printable(mine)!r}, {printable(theirs)!r}]" if _tenant(mine) == _tenant(theirs) else None
    if theirs.startswith(_ENTRA_V1) and mine.startswith(_ENTRA_V2):
        text = (
            "a token of Entra's version 1: set requestedAccessTokenVersion (accessTokenAcceptedVersion in older "
            f"manifests) to 2 in the API's manifest, or {trust}"
        )
        return Cause("entra_version_1", text, setting)
    if theirs.startswith(_ENTRA_V2) and mine.startswith(_ENTRA_V1):
        return Cause("entra_version_2", f"a token of Entra's version 2: {trust}", setting)
    if mine.startswith(_ENTRA_V2) and theirs.startswith(_ENTRA_V2):
        if any(part in _MANY_TENANTS for part in mine.split("/")):
            text = (
                "the issuer given stands for many tenants, no token is by it: trust one tenant, or those you allow: "
                'IssuerTemplate("https://login.microsoftonline.com/{tenantid}/v2.0", ...)'
            )
            return Cause("entra_many_tenants", text)
        return Cause("entra_other_tenant", "the token is of another tenant, which is another issuer")
    return _entra_for_customers(mine, theirs)


def _entra_for_customers(mine: str, theirs: str) -> Cause | None:
    host, other = _host(mine), _host(theirs)
    if host != other or not host.endswith((".b2clogin.com", ".ciamlogin.com")):
        if other.endswith(".ciamlogin.com") and host.endswith(".ciamlogin.com"):
            text = "External ID names its issuer by the tenant's ID in place of its name"
            return Cause("entra_external_id_name", text, f"issuer={printable(theirs)!r}, discovery_address=...")
        return None
    text = (
        "Azure AD B2C and External ID put the tenant's ID into the issuer, not its name or the policy: give the issuer "
        "as the token has it, and the policy's metadata as discovery_address"
    )
    document = f"{mine.rstrip('/')}/.well-known/openid-configuration"
    return Cause(
        "entra_customers_issuer", text, f"issuer={printable(theirs)!r}, discovery_address={printable(document)!r}"
    )


def _tenant(issuer: str) -> str | None:
    found = re.search(_TENANT, issuer, re.IGNORECASE)
    return found.group().lower() if found else None


def _host(issuer: str) -> str:
    try:
        return urlsplit(issuer).hostname or ""
    except ValueError:
        return ""


def _place(issuer: str) -> str:
    try:
        return urlsplit(issuer).netloc.lower()
    except ValueError:
        return ""


def _path(issuer: str) -> str:
    try:
        return urlsplit(issuer).path.rstrip("/")
    except ValueError:
        return ""


def _same_host(mine: str, theirs: str) -> Cause | None:
    """One provider, another name in its path."""
    if not _place(mine) or _place(mine) != _place(theirs):
        return None
    ours, other = _path(mine), _path(theirs)
    if "/realms/" in ours + other:
        if ours.removeprefix("/auth") == other.removeprefix("/auth"):
            text = "Keycloak before 17, or with a relative path, has /auth in its issuer: give it as the token has it"
            return Cause("keycloak_auth_path", text, f"issuer={printable(theirs)!r}")
        return Cause("other_realm", "the token is of another realm, which is another issuer")
    if "/oauth2" in ours + other and _host(mine).endswith((".okta.com", ".oktapreview.com", ".okta-emea.com")):
        text = (
            "Okta's org server and each custom authorization server (/oauth2/default) are issuers of their own: the "
            "client asks the one that this API trusts"
        )
        return Cause("okta_other_server", text)
    if _host(mine) == "securetoken.google.com":
        return Cause("firebase_other_project", "the token is of another Firebase project")
    if "/application/o" in ours + other:
        text = (
            "authentik has an issuer for each application, unless the provider's issuer mode says otherwise: give that "
            "of the application which the token is of"
        )
        return Cause("authentik_issuer_mode", text)
    if _host(mine).startswith("cognito-idp."):
        return Cause("cognito_other_pool", "the token is of another user pool, which is another issuer")
    if other.endswith("/adfs/services/trust"):
        return _adfs(mine, theirs)
    return Cause(
        "same_host_other_issuer",
        "the issuers are of one host, and differ by their paths: another tenant, or realm",
    )


def _adfs(mine: str, theirs: str) -> Cause | None:
    if not theirs.endswith("/adfs/services/trust"):
        return None
    text = "AD FS names another issuer in access tokens than in its metadata (access_token_issuer)"
    setting = f"issuer={printable(theirs)!r}, metadata_issuer={printable(mine)!r}"
    return Cause("adfs_access_token_issuer", text, setting)


def _other_host(mine: str, theirs: str) -> Cause | None:
    """One provider, reached by two names: the public one, and one inside a network of containers."""
    path = _path(theirs)
    if not path or path != _path(mine):
        return None
    inside, outside = _is_inside(theirs), _is_inside(mine)
    if inside == outside:
        return None
    if outside:
        text = (
            "the issuer given is an address of the provider inside your network; tokens carry its public one: trust "
            "that, and reach the provider by backchannel="
        )
        back = printable(f"{urlsplit(mine).scheme}://{urlsplit(mine).netloc}")
        return Cause("issuer_internal_host", text, f"issuer={printable(theirs)!r}, backchannel={back!r}")
    text = (
        "the token names an address of the provider inside your network: it was asked by that one; tell the provider "
        "its public address (Keycloak: hostname), or have the client ask there"
    )
    return Cause("issuer_internal_host", text)


def _is_inside(issuer: str) -> bool:
    host = _host(issuer)
    private = host.startswith(("10.", "192.168.", "127.")) or host.endswith((".local", ".internal", ".svc", ".lan"))
    return private or "." not in host or host == "localhost"


def _auth0(mine: str, theirs: str) -> Cause | None:
    ours, other = (_host(one).endswith(".auth0.com") for one in (mine, theirs))
    if not (ours or other) or not theirs.endswith("/") or _path(mine) or _path(theirs):
        return None
    if ours and other:
        return Cause("auth0_other_tenant", "the token is of another tenant of Auth0, which is another issuer")
    text = "with a custom domain Auth0's tokens name the domain that the client asked: let all ask the same"
    return Cause("auth0_custom_domain", text)


#: Issuers of tokens that are another kind of thing, or for something else, by how they begin or end; the patterns are
#: compiled by the first refusal.
_OTHER_THINGS: Final = (
    (
        r"kubernetes/serviceaccount\Z",
        "kubernetes_legacy_token",
        "a token out of a Secret, which never expires: mount a projected one (serviceAccountToken, with an audience)",
    ),
    (
        r"https://session\.firebase\.google\.com/",
        "firebase_session_cookie",
        "a session cookie of Firebase, which has keys of its own: the app sends its ID token",
    ),
    (
        r"firebase-adminsdk[^@]*@[a-z0-9-]+\.iam\.gserviceaccount\.com\Z",
        "firebase_custom_token",
        "a custom token, which the app exchanges for an ID token by its SDK (signInWithCustomToken)",
    ),
    (
        r"https://token\.actions\.githubusercontent\.com/.|https://[^/]+/_services/token\Z",
        "github_other_issuer",
        "GitHub Enterprise has issuers of its own: trust that one, here and in require_github_job(issuer=...)",
    ),
)


def _other_thing(mine: str, theirs: str) -> Cause | None:
    return next((Cause(name, text) for form, name, text in _OTHER_THINGS if re.match(form, theirs)), None)


_ISSUERS: tuple[_LookAtIssuer, ...] = (
    _issuer_nearly,
    _issuer_without_scheme,
    _other_thing,
    _entra,
    _adfs,
    _same_host,
    _other_host,
    _auth0,
)


# ---------------------------------------------------------------------------------------------------------------------
# As refusals carry them


def missing_audience_hint(claims: Mapping[str, Any]) -> str:
    """Return what to do about a token without ``aud``."""
    return missing_audience_cause(claims).text


def audience_hint(
    expected: Collection[str], actual: Collection[str], claims: Mapping[str, Any], *, id_token: bool = False
) -> str | None:
    """Return why the audiences differ, where it can be told."""
    cause = audience_cause(expected, actual, claims, id_token=id_token)
    return None if cause is None else cause.text


def issuer_hint(expected: Collection[str], actual: object) -> str | None:
    """Return why the issuers differ, where it can be told."""
    cause = issuer_cause(expected, actual)
    return None if cause is None else cause.text


__all__ = [
    "GRAPH",
    "Cause",
    "audience_cause",
    "audience_hint",
    "issuer_cause",
    "issuer_hint",
    "missing_audience_cause",
    "missing_audience_hint",
]
