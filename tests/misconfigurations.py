"""Misconfigurations that people report again and again: what was configured, what came, and what is to be told.

Shapes of tokens are those that providers document, or that were seen of them (the table of providers in the guide); the
values are made up. Each case is signed by the key that the validator has, unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apis import ISSUER, NOW

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "99999999-8888-7777-6666-555555555555"
ENTRA_1 = f"https://sts.windows.net/{TENANT}/"
ENTRA_2 = f"https://login.microsoftonline.com/{TENANT}/v2.0"
API_ID = "0a1b2c3d-1111-2222-3333-444455556666"
REALM = "https://sso.example.com/realms/shop"


@dataclass(frozen=True)
class Case:
    """One misconfiguration."""

    name: str
    #: What must be named.
    cause: str
    #: Words that must be told.
    words: str
    issuer: str = ISSUER
    audience: str = "api"
    options: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    #: What is sent, where it is not the token alone.
    shape: str = "{}"
    #: Whether the token is signed by another key.
    foreign: bool = False
    #: What is to be written here, if that is safe.
    setting: str | None = None
    scopes: tuple[str, ...] = ()


def _entra(**claims: Any) -> dict[str, Any]:
    return {"iss": ENTRA_2, "aud": API_ID, "tid": TENANT, "oid": "o", "scp": "orders.read", "ver": "2.0", **claims}


def _keycloak(**claims: Any) -> dict[str, Any]:
    return {"iss": REALM, "typ": "Bearer", "azp": "web", "scope": "openid profile", "sid": "s", **claims}


CASES: tuple[Case, ...] = (
    # ---- Microsoft Entra ID
    Case(
        "entra v1 token at a v2 validator",
        "entra_version_1",
        "accessTokenAcceptedVersion",
        ENTRA_2,
        API_ID,
        claims=_entra(iss=ENTRA_1, ver="1.0"),
        setting=f"issuer=['{ENTRA_2}', '{ENTRA_1}']",
    ),
    Case(
        "entra v2 token at a v1 validator",
        "entra_version_2",
        "version 2",
        ENTRA_1,
        API_ID,
        claims=_entra(),
        setting=f"issuer=['{ENTRA_1}', '{ENTRA_2}']",
    ),
    Case(
        "entra api:// against the GUID",
        "entra_api_name",
        "api://",
        ENTRA_2,
        API_ID,
        claims=_entra(aud=f"api://{API_ID}"),
        setting=f"audience=[..., 'api://{API_ID}']",
    ),
    Case(
        "entra GUID against api://",
        "entra_api_name",
        "the ID alone",
        ENTRA_2,
        f"api://{API_ID}",
        claims=_entra(),
        setting=f"audience=[..., '{API_ID}']",
    ),
    Case(
        "entra common as the issuer",
        "entra_many_tenants",
        "IssuerTemplate",
        "https://login.microsoftonline.com/common/v2.0",
        API_ID,
        claims=_entra(),
    ),
    Case(
        "entra token of another tenant",
        "entra_other_tenant",
        "another tenant",
        ENTRA_2,
        API_ID,
        claims=_entra(iss=ENTRA_2.replace(TENANT, OTHER_TENANT), tid=OTHER_TENANT),
    ),
    Case(
        "entra token of version 1 of another tenant",
        "entra_version_1",
        "version 1",
        ENTRA_2,
        API_ID,
        claims=_entra(iss=ENTRA_1.replace(TENANT, OTHER_TENANT), tid=OTHER_TENANT),
    ),
    Case(
        "graph token, by its audience",
        "entra_graph_token",
        "api://ID/.default",
        ENTRA_1,
        API_ID,
        claims=_entra(iss=ENTRA_1, aud="00000003-0000-0000-c000-000000000000"),
    ),
    Case(
        "graph token, whose signature nobody can verify",
        "entra_graph_token",
        "nobody else can verify",
        ENTRA_1,
        "https://graph.microsoft.com",
        claims=_entra(iss=ENTRA_1, aud="https://graph.microsoft.com"),
        header={"nonce": "x"},
        foreign=True,
    ),
    Case(
        "azure ad b2c by tenant name and policy",
        "entra_customers_issuer",
        "discovery_address",
        "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin/v2.0",
        API_ID,
        claims=_entra(iss=f"https://contoso.b2clogin.com/{TENANT}/v2.0/", tfp="B2C_1_signin"),
        setting=f"issuer='https://contoso.b2clogin.com/{TENANT}/v2.0/', discovery_address='https://contoso.b2clogin.com/"
        "contoso.onmicrosoft.com/B2C_1_signin/v2.0/.well-known/openid-configuration'",
    ),
    Case(
        "external id by tenant name",
        "entra_external_id_name",
        "the tenant's ID",
        "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/v2.0",
        API_ID,
        claims=_entra(iss=f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0"),
        setting=f"issuer='https://{TENANT}.ciamlogin.com/{TENANT}/v2.0', discovery_address=...",
    ),
    Case(
        "entra app-only token where a scope is wanted",
        "roles_in_place_of_scopes",
        "Requirement(roles=",
        ENTRA_2,
        API_ID,
        claims=_entra(scp=None, roles=["orders.read"], azp="c"),
        scopes=("orders.read",),
    ),
    # ---- Keycloak
    Case(
        "keycloak aud=account", "keycloak_audience_account", "audience mapper", REALM, claims=_keycloak(aud="account")
    ),
    Case("keycloak without aud", "keycloak_without_audience", "audience mapper", REALM, claims=_keycloak(aud=None)),
    Case(
        "keycloak behind a proxy that ends TLS",
        "issuer_scheme",
        "its public address",
        REALM,
        claims=_keycloak(iss=REALM.replace("https", "http")),
    ),
    Case(
        "keycloak reached by its name inside the network",
        "issuer_internal_host",
        "backchannel",
        "http://keycloak:8080/realms/shop",
        claims=_keycloak(),
        setting=f"issuer='{REALM}', backchannel='http://keycloak:8080'",
    ),
    Case(
        "keycloak asked by its name inside the network",
        "issuer_internal_host",
        "hostname",
        REALM,
        claims=_keycloak(iss="http://keycloak:8080/realms/shop"),
    ),
    Case(
        "keycloak with /auth in its path",
        "keycloak_auth_path",
        "/auth",
        REALM,
        claims=_keycloak(iss=REALM.replace("/realms", "/auth/realms")),
        setting="issuer='https://sso.example.com/auth/realms/shop'",
    ),
    Case("keycloak, another realm", "other_realm", "another realm", REALM, claims=_keycloak(iss=REALM + "-test")),
    Case(
        "keycloak refresh token",
        "refresh_token_sent",
        "token endpoint",
        REALM,
        claims=_keycloak(typ="Refresh", aud="api"),
    ),
    Case(
        "keycloak nonce in an access token",
        "keycloak_nonce",
        "mapper",
        REALM,
        claims=_keycloak(nonce="n"),
        setting='kind="access_or_id_token"',
    ),
    Case(
        "keycloak, key of an imported realm",
        "signature_of_another",
        "imported twice",
        REALM,
        claims=_keycloak(),
        foreign=True,
    ),
    # ---- others
    Case(
        "auth0 without the slash",
        "issuer_trailing_slash",
        "trailing slash",
        "https://tenant.eu.auth0.com",
        claims={"iss": "https://tenant.eu.auth0.com/"},
        setting="issuer='https://tenant.eu.auth0.com/'",
    ),
    Case(
        "auth0 userinfo audience only",
        "audience_is_userinfo",
        "parameter audience",
        "https://tenant.eu.auth0.com/",
        claims={"iss": "https://tenant.eu.auth0.com/", "aud": "https://tenant.eu.auth0.com/userinfo"},
    ),
    Case(
        "auth0 token encrypted for itself",
        "auth0_without_audience",
        "parameter audience",
        "https://tenant.eu.auth0.com/",
        # {"alg":"dir","enc":"A256GCM","iss":"https://tenant.eu.auth0.com/"}
        shape="eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiaXNzIjoiaHR0cHM6Ly90ZW5hbnQuZXUuYXV0aDAuY29tLyJ9..aXY.Y2lwaGVy.dGFn",
    ),
    Case(
        "auth0 permissions in place of scopes",
        "permissions_in_place_of_scopes",
        "Requirement(roles=",
        claims={"permissions": ["orders.read"], "scope": "openid"},
        scopes=("orders.read",),
    ),
    Case(
        "auth0 custom domain where the tenant's own is trusted",
        "auth0_custom_domain",
        "custom domain",
        "https://tenant.eu.auth0.com/",
        claims={"iss": "https://login.example.com/"},
    ),
    Case(
        "auth0, another tenant",
        "auth0_other_tenant",
        "another tenant",
        "https://tenant.eu.auth0.com/",
        claims={"iss": "https://tenant-test.eu.auth0.com/"},
    ),
    Case(
        "okta org server in place of the custom one",
        "okta_other_server",
        "custom authorization server",
        "https://dev-1.okta.com/oauth2/default",
        claims={"iss": "https://dev-1.okta.com", "aud": "https://dev-1.okta.com"},
    ),
    Case(
        "cognito access token",
        "cognito_without_audience",
        "client_id",
        claims={"aud": None, "client_id": "c", "token_use": "access"},
        setting='accept_any_audience=True, claims_validator=require_claim_value("client_id", ...)',
    ),
    Case(
        "cognito id token",
        "id_token_sent",
        "access token",
        claims={"token_use": "id", "cognito:username": "ada"},
    ),
    Case("google access token", "google_access_token", "UserInfo", shape="ya29.a0AfB_byC-x"),
    Case(
        "google id token at an api",
        "id_token_sent",
        "access token",
        "https://accounts.google.com",
        claims={"iss": "https://accounts.google.com", "at_hash": "x", "azp": "c"},
    ),
    Case(
        "google issuer without scheme",
        "issuer_without_scheme",
        "without https://",
        "https://accounts.google.com",
        claims={"iss": "accounts.google.com"},
        setting="issuer='accounts.google.com', discovery_address='https://accounts.google.com', "
        "metadata_issuer='https://accounts.google.com'",
    ),
    Case(
        "adfs access token",
        "adfs_access_token_issuer",
        "access_token_issuer",
        "https://fs.example.com/adfs",
        claims={"iss": "http://fs.example.com/adfs/services/trust"},
        setting="issuer='http://fs.example.com/adfs/services/trust', metadata_issuer='https://fs.example.com/adfs'",
    ),
    Case(
        "github actions default audience",
        "github_default_audience",
        "getIDToken",
        "https://token.actions.githubusercontent.com",
        claims={
            "iss": "https://token.actions.githubusercontent.com",
            "aud": "https://github.com/octo-org",
            "repository": "octo-org/octo-repo",
        },
    ),
    Case("github token", "github_token", "id-token: write", shape="ghs_16C7e42F292c6912E7710c838347Ae178B4a"),
    Case("gitlab job token", "gitlab_token", "id_tokens", shape="glcbt-64_x"),
    Case(
        "gitlab's first job tokens",
        "issuer_without_scheme",
        "without https://",
        "https://gitlab.com",
        claims={"iss": "gitlab.com"},
        setting="issuer='gitlab.com', discovery_address='https://gitlab.com', metadata_issuer='https://gitlab.com'",
    ),
    Case(
        "kubernetes default audience",
        "kubernetes_default_audience",
        "serviceAccountToken",
        claims={"aud": ["https://kubernetes.default.svc"]},
    ),
    Case(
        "cloudflare access by team name",
        "issuer_without_scheme",
        "whole address",
        "team.cloudflareaccess.com",
        claims={"iss": "https://team.cloudflareaccess.com"},
        setting="issuer='https://team.cloudflareaccess.com'",
    ),
    Case(
        "aws load balancer's own token",
        "aws_load_balancer_token",
        "x-amzn-oidc-accesstoken",
        # {"typ":"JWT","kid":"k","alg":"ES256","signer":"arn:aws:elasticloadbalancing:eu-west-1:1:lb"}
        shape="eyJ0eXAiOiJKV1QiLCJraWQiOiJrIiwiYWxnIjoiRVMyNTYiLCJzaWduZXIiOiJhcm46YXdzOmVsYXN0aWNsb2FkYmFsYW5jaW5nOmV1LXdlc3QtMToxOmxiIn0=.eyJzdWIiOiJhIn0=.c2ln",
    ),
    Case(
        "firebase, another project",
        "firebase_other_project",
        "Firebase project",
        "https://securetoken.google.com/shop",
        claims={"iss": "https://securetoken.google.com/shop-test"},
    ),
    Case(
        "authentik issuer of another application",
        "authentik_issuer_mode",
        "issuer mode",
        "https://auth.example.com/application/o/shop/",
        claims={"iss": "https://auth.example.com/"},
    ),
    Case("zitadel opaque token", "opaque_token", "Zitadel", shape="dWJlciBhIHRva2VuIG9mIFppdGFkZWw"),
    Case("hydra opaque token", "hydra_opaque_token", "strategies.access_token", shape="ory_at_x.y"),
    Case(
        "kubernetes token out of a secret",
        "kubernetes_legacy_token",
        "serviceAccountToken",
        claims={"iss": "kubernetes/serviceaccount"},
    ),
    Case(
        "firebase session cookie",
        "firebase_session_cookie",
        "ID token",
        "https://securetoken.google.com/shop",
        claims={"iss": "https://session.firebase.google.com/shop"},
    ),
    Case(
        "firebase custom token",
        "firebase_custom_token",
        "signInWithCustomToken",
        "https://securetoken.google.com/shop",
        claims={"iss": "firebase-adminsdk-x1@shop.iam.gserviceaccount.com"},
    ),
    Case(
        "github enterprise",
        "github_other_issuer",
        "issuer=",
        "https://token.actions.githubusercontent.com",
        claims={"iss": "https://token.actions.githubusercontent.com/octo"},
    ),
    Case(
        "zitadel without the project's audience",
        "zitadel_project_not_asked_for",
        "urn:zitadel:iam:org:project:id",
        claims={"aud": ["1"], "urn:zitadel:iam:org:project:roles": {"a": {"1": "x"}}},
    ),
    Case(
        "cloudflare, another application",
        "cloudflare_other_application",
        "AUD",
        "https://team.cloudflareaccess.com",
        claims={"iss": "https://team.cloudflareaccess.com", "aud": ["other"]},
    ),
    Case(
        "spring without a customizer",
        "spring_audience_is_the_client",
        "OAuth2TokenCustomizer",
        claims={"aud": "web-app", "scope": ["orders.read"]},
    ),
    Case(
        "authentik's nonce",
        "authentik_nonce",
        "required_claims",
        "https://auth.example.com/application/o/shop/",
        claims={"iss": "https://auth.example.com/application/o/shop/", "nonce": "n", "uid": "u", "azp": "c"},
        setting='kind="access_or_id_token", required_claims=["uid"]',
    ),
    Case(
        "an app's ID token at its server",
        "authorized_party_mismatch",
        "authorized_parties",
        options={"kind": "id_token"},
        claims={"azp": "android"},
    ),
    Case(
        "ID token of another client",
        "id_token_of_another_client",
        "client ID of its own",
        options={"kind": "id_token"},
        claims={"aud": "other"},
    ),
    Case("hydra without audience", "audience_not_asked_for", "Hydra", claims={"aud": []}),
    Case(
        "dex: audience of the client",
        "audience_is_the_client",
        "what aud says",
        audience="web",
        claims={"aud": "api", "azp": "web"},
    ),
    # ---- any provider
    Case(
        "the metadata address as the issuer",
        "issuer_is_metadata_address",
        "address of its metadata",
        f"{ISSUER}/.well-known/openid-configuration",
        setting=f"issuer='{ISSUER}'",
    ),
    Case(
        "audience with a slash",
        "audience_trailing_slash",
        "trailing slash",
        audience="https://api.example.com",
        claims={"aud": "https://api.example.com/"},
        setting="audience='https://api.example.com/'",
    ),
    Case(
        "audience by http",
        "audience_scheme",
        "http and https",
        audience="http://api.example.com",
        claims={"aud": "https://api.example.com"},
        setting="audience='https://api.example.com'",
    ),
    Case(
        "audience read with a line break",
        "audience_white_space",
        "white space",
        audience="api\n",
        setting="audience='api'",
    ),
    Case(
        "clock a little behind",
        "expired_just_now",
        "leeway",
        claims={"exp": NOW - 30},
        setting="leeway=31",
    ),
    Case("expired for days", "expired", "5 days", claims={"iat": NOW - 86400 * 6, "exp": NOW - 86400 * 5}),
    Case("server clock an hour behind", "clocks_differ", "60 min", claims={"iat": NOW + 3600, "exp": NOW + 7200}),
    Case("milliseconds", "dates_in_milliseconds", "seconds since 1970", claims={"exp": NOW * 1000}),
    Case(
        "key of another environment",
        "key_not_there",
        "k1",
        header={"kid": "staging-1"},
        foreign=True,
    ),
    Case("no key named", "token_without_kid", "names no key", header={"kid": None}, foreign=True),
    Case("signed with the client's secret", "signed_with_secret", "RS256", header={"alg": "HS256"}, foreign=True),
    Case(
        "algorithm not listed",
        "algorithm_not_listed",
        "ES256",
        options={"algorithms": ["RS256"]},
    ),
    Case("a logout token", "other_kind", "logout token", header={"typ": "logout+jwt"}),
    Case(
        "rfc 9068 where the provider does not follow it",
        "not_rfc9068",
        "at+jwt",
        options={"kind": "rfc9068_access_token"},
        header={"typ": "JWT"},
        claims={"client_id": "c", "jti": "j"},
        setting='kind="access_token"',
    ),
    Case(
        "an access token at a login",
        "access_token_sent",
        "ID token",
        options={"kind": "id_token"},
        claims={"scope": "a"},
    ),
    Case("scope not granted", "scope_not_granted", "ask", claims={"scope": "orders.write"}, scopes=("orders.read",)),
    Case(
        "scopes with commas", "scopes_with_commas", "spaces", claims={"scope": "orders.read,b"}, scopes=("orders.read",)
    ),
    Case("Bearer twice", "scheme_word_twice", "twice", shape="Bearer Bearer {}"),
    Case("with Bearer", "scheme_word", "without the word", shape="Bearer {}"),
    Case("in quotes", "quotes_around", "quotes", shape='"{}"'),
    Case("with a line break", "white_space_around", "white space", shape="{}\n"),
    Case("undefined", "token_is_a_word", "word", shape="undefined"),
    Case("empty", "token_empty", "empty", shape=""),
    Case("the whole response", "token_is_json", "access_token", shape='{{"access_token": "{}"}}'),
    Case("saml", "saml_assertion", "SAML", shape="PHNhbWxwOlJlc3BvbnNlPg"),
    Case("paseto", "paseto", "PASETO", shape="v4.public.eyJ9"),
)
