"""Providers that are known by their names: what their users stumble over, and the option for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from .findings import Check, Finding
from .metadata import Document
from .visit import host_of

PROVIDER: Final = Check(
    "provider",
    "what is known of this provider",
    "its tokens are not what the norms lead one to expect, so that validators refuse them",
    "see what was seen",
    "RFC 9068 2.2",
)


class Habit(NamedTuple):
    """What is known of a provider."""

    cause: str
    #: Tells the provider by issuer and metadata.
    fits: Callable[[str, str, Document], bool]
    text: str
    #: What to do where this is nearly always a mistake; empty where it is a habit to know of.
    remedy: str = ""


def habits(document: Document) -> Iterator[Finding]:
    """Tell what is known of the provider of these metadata."""
    host, path = host_of(document.issuer), _path(document.issuer)
    for habit in _HABITS:
        if habit.fits(host, path, document):
            if habit.remedy:
                yield PROVIDER.warned(habit.text, habit.cause, habit.remedy)
            else:
                yield PROVIDER.passed(habit.text, habit.cause)
            return


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _ends(*names: str) -> Callable[[str, str, Document], bool]:
    return lambda host, path, document: host.endswith(names)


def _okta_org(host: str, path: str, document: Document) -> bool:
    return host.endswith((".okta.com", ".oktapreview.com", ".okta-emea.com")) and "/oauth2" not in path


_HABITS: Final = (
    Habit(
        "okta_org_server",
        _okta_org,
        "Okta's org server: its access tokens are for Okta alone, and no API can verify them",
        "let clients ask a custom authorization server, https://NAME.okta.com/oauth2/default, and trust that",
    ),
    Habit(
        "okta_custom_server",
        _ends(".okta.com", ".oktapreview.com", ".okta-emea.com"),
        "an Okta authorization server: the audience is that of the server, scopes are a list in scp",
    ),
    Habit(
        "entra_version_1",
        _ends("sts.windows.net", "sts.chinacloudapi.cn"),
        "Entra's metadata of version 1: applications of version 2 get tokens of another issuer",
        "ask for https://login.microsoftonline.com/TENANT/v2.0, and set accessTokenAcceptedVersion to 2",
    ),
    Habit(
        "entra_version_2",
        lambda host, path, document: host.startswith("login.microsoftonline.") or host.endswith("ciamlogin.com"),
        "Entra ID: aud is api://ID or the ID alone, scopes are in scp, application rights in roles; tokens for Graph "
        "cannot be verified by others; an API whose manifest says version 1 gets tokens of sts.windows.net",
    ),
    Habit(
        "b2c",
        _ends(".b2clogin.com"),
        "Azure AD B2C: the issuer has the tenant's ID and no policy, metadata is per policy (discovery_address)",
    ),
    Habit(
        "auth0",
        _ends(".auth0.com"),
        "Auth0: the issuer ends with a slash; without an audience access tokens are opaque; rights are in permissions",
    ),
    Habit(
        "cognito",
        lambda host, path, document: host.startswith("cognito-idp."),
        "AWS Cognito: access tokens have no aud, but client_id and token_use (accept_any_audience=True with "
        'require_claim_value("client_id", ...)); there is no introspection',
    ),
    Habit(
        "google",
        lambda host, path, document: host == "accounts.google.com",
        'Google: access tokens are opaque, APIs of others validate ID tokens (kind="id_token"), whose iss may lack '
        "https://",
    ),
    Habit(
        "apple",
        _ends("appleid.apple.com", "account.apple.com"),
        "Apple: the client secret is a JWT that you sign yourself and renew; names come once, by form_post; there is "
        "no UserInfo",
    ),
    Habit(
        "github_actions",
        lambda host, path, document: host == "token.actions.githubusercontent.com",
        "GitHub's workflows: tokens of jobs, for any audience a job asks for; demand repository and ref "
        "(WorkloadRule), since anybody has a repository",
    ),
    Habit(
        "gitlab",
        lambda host, path, document: "gitlab" in host,
        "GitLab: tokens of jobs and of logins have one issuer and are told apart by sub; access tokens are opaque",
    ),
    Habit(
        "kubernetes",
        lambda host, path, document: host.startswith(("kubernetes.default", "oidc.eks.")),
        "Kubernetes: tokens of pods; project one with an audience of your own, and demand the service account in sub",
    ),
    Habit(
        "cloudflare",
        _ends(".cloudflareaccess.com"),
        "Cloudflare Access: the token comes in Cf-Access-Jwt-Assertion, aud is the application's tag, sub may be empty",
    ),
    Habit(
        "firebase",
        lambda host, path, document: host == "securetoken.google.com",
        'Firebase: ID tokens (kind="id_token") whose audience is the project',
    ),
    Habit(
        "keycloak",
        lambda host, path, document: "/realms/" in path,
        "Keycloak: aud of access tokens is account, or nothing: add an audience mapper for the API; roles are in "
        "realm_access.roles",
    ),
    Habit(
        "authentik",
        lambda host, path, document: path.startswith("/application/o/"),
        "authentik: an issuer for each application (with a slash at the end), whose aud is the client",
    ),
    Habit(
        "adfs",
        lambda host, path, document: path.rstrip("/").endswith("/adfs") or "access_token_issuer" in document.raw,
        "AD FS: access tokens name another issuer (access_token_issuer): issuer=THAT, metadata_issuer=THIS",
    ),
    Habit(
        "zitadel",
        lambda host, path, document: host.endswith(".zitadel.cloud") or "zitadel" in host,
        "Zitadel: access tokens are opaque unless the application asks for JWT; introspection with a key",
    ),
    Habit(
        "dex",
        lambda host, path, document: path.rstrip("/").endswith("/dex"),
        'Dex: access tokens are for UserInfo; APIs validate ID tokens (kind="id_token")',
    ),
    Habit(
        "hydra",
        lambda host, path, document: (document.text("authorization_endpoint") or "").endswith("/oauth2/auth"),
        "Ory Hydra: access tokens are opaque unless the strategy is jwt, with an empty aud unless the client asks for "
        "one; introspection is at the admin port",
    ),
)

CHECKS: Final = (PROVIDER,)
#: Every cause that names a provider.
HABITS: Final = tuple(habit.cause for habit in _HABITS)

__all__ = ["CHECKS", "HABITS", "habits"]
