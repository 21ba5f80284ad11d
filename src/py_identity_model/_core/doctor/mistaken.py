"""Addresses that people take for an issuer and that are none, and where to look instead."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ..discovery.fetch import OAUTH, OPENID
from .visit import host_of


def mistaken(url: str) -> tuple[str, str | None]:
    """Return the cause and the remedy for an address without metadata.

    >>> mistaken("https://github.com/login/oauth/authorize")[0]
    'github_is_oauth_only'
    """
    place = host_of(url) + _path(url)
    return next(((cause, text) for fits, cause, text in _NO_ISSUERS if fits in place), ("metadata_not_there", None))


def is_mistaken(url: str) -> bool:
    """Tell whether *url* is one that people take for an issuer."""
    return mistaken(url)[1] is not None


def neighbours(url: str) -> tuple[str, ...]:
    """Return where else the metadata of a provider may be, if not at *url*.

    >>> neighbours("https://id.example.com/a/b")[0]
    'https://id.example.com/a/b/.well-known/oauth-authorization-server'
    """
    address = url.partition("/.well-known/")[0].partition("?")[0].rstrip("/")
    path = _path(address)
    root = address.removesuffix(path) if path else address
    steps = [step for step in path.split("/") if step]
    above = ["/".join(["", *steps[:count]]) for count in range(len(steps) - 1, -1, -1)][:4]
    below = [path + name for name in _BELOW]
    if "/realms/" in path:
        other = path.removeprefix("/auth") if path.startswith("/auth/") else "/auth" + path
        above, below = [other, *above], []
    places = dict.fromkeys(root + place + OPENID for place in (*above, *below) if place != path)
    # Many serve the document of RFC 8414 below the issuer, where clients of OAuth do not look.
    appended = (root + path + OAUTH,) if path and OAUTH not in url else ()
    return (*appended, *places)[:_NEIGHBOURS]


#: Where providers have their issuer by default, below the host.
_BELOW: Final = (
    *("/v2.0", "/oauth2/default", "/dex", "/adfs", "/oidc", "/realms/master", "/auth/realms/master"),
    *("/auth/v1", "/oauth2/token", "/am/oauth2", "/oauth2", "/oauth"),
)
#: Addresses that are tried at most.
_NEIGHBOURS: Final = 14


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


#: A part of host and path; the cause; what to ask for instead.
_NO_ISSUERS: Final = (
    (
        "token.actions.githubusercontent.com",
        "github_issuer_path",
        (
            "the issuer of GitHub's workflows is https://token.actions.githubusercontent.com, with an "
            "enterprise's name after it where that was set"
        ),
    ),
    (
        "github.com",
        "github_is_oauth_only",
        (
            "GitHub logs in by plain OAuth: it has no metadata and no ID tokens; ask its API who the user "
            "is. The issuer of its workflows is https://token.actions.githubusercontent.com"
        ),
    ),
    (
        "cognito-idp.",
        "cognito_issuer",
        "a user pool's issuer is https://cognito-idp.REGION.amazonaws.com/POOL_ID, with the pool's ID",
    ),
    (
        ".amazoncognito.com",
        "cognito_issuer",
        ("that is the domain of the login page; the issuer is https://cognito-idp.REGION.amazonaws.com/POOL_ID"),
    ),
    (
        "/realms/",
        "keycloak_auth_path",
        (
            "Keycloak before 17, or with --http-relative-path=/auth, has /auth before /realms; since then it "
            "has not; or there is no realm of that name (case counts)"
        ),
    ),
    (
        ".okta.com",
        "okta_server",
        (
            "the org server is https://NAME.okta.com, a custom one https://NAME.okta.com/oauth2/ID, such as "
            "/oauth2/default; the admin console (-admin) is none"
        ),
    ),
    (
        "public-keys.auth.elb.",
        "alb_keys",
        (
            "a load balancer's keys are PEM texts, one at an address of its own for each kid: "
            "https://public-keys.auth.elb.REGION.amazonaws.com/KID; there is no metadata, give the ARN as "
            "signer"
        ),
    ),
    (
        "/cdn-cgi/access",
        "cloudflare_issuer",
        ("the issuer of Cloudflare Access is https://TEAM.cloudflareaccess.com; its keys are at /cdn-cgi/access/certs"),
    ),
    (
        ".cloudflareaccess.com",
        "cloudflare_issuer",
        ("Cloudflare Access has keys at https://TEAM.cloudflareaccess.com/cdn-cgi/access/certs: give them as jwks_uri"),
    ),
    (
        "/application/o",
        "authentik_issuer",
        ("authentik's issuer is https://HOST/application/o/SLUG/, with the application's slug and a slash at the end"),
    ),
    (
        ".b2clogin.com",
        "b2c_policy",
        "B2C has metadata for each policy: https://NAME.b2clogin.com/NAME.onmicrosoft.com/POLICY/v2.0",
    ),
    ("oauth.accounts.google.com", "google_issuer", "Google's issuer is https://accounts.google.com"),
    ("googleapis.com", "google_issuer", "Google's issuer is https://accounts.google.com"),
    ("/adfs/services/trust", "adfs_issuer", "AD FS has its metadata at https://HOST/adfs"),
    (
        "id.apple.com",
        "apple_issuer",
        "Apple's issuer is https://appleid.apple.com (or https://account.apple.com), without a path",
    ),
    (
        "gitlab",
        "gitlab_issuer",
        ("GitLab's issuer is its address alone, https://gitlab.com, for logins and for jobs, without group or project"),
    ),
    ("/oauth2/token", "endpoint_for_issuer", "that is an endpoint: the issuer is the address above it"),
    ("/oauth/token", "endpoint_for_issuer", "that is an endpoint: the issuer is the address above it"),
    ("/authorize", "endpoint_for_issuer", "that is an endpoint: the issuer is the address above it"),
)

__all__ = ["is_mistaken", "mistaken", "neighbours"]
