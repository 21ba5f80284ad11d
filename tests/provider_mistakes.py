"""What is done wrong with each provider of ``docs/providers``, by the name that ``explain`` has for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Mistake:
    """One mistake: in the token that came, or in what was written here.

    Attributes:
        cause: What must be named.
        words: Words of the remedy.
        title: The token of the page that comes; by default its first.
        claims: What its claims are in place of what the page shows; None for those that are not there.
        header: The same of its header.
        edit: What stands in the page's settings, and what was written in its place.
        shape: What is sent, where it is not the token alone.
        foreign: Whether it is signed by a stranger.
        block: The settings that it comes to, by their number on the page.
        late: Seconds since it expired.
    """

    cause: str
    words: str
    title: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    edit: tuple[str, str] | None = None
    shape: str = "{}"
    foreign: bool = False
    block: int = 0
    late: int | None = None


API = "0a1b2c3d-1111-2222-3333-444455556666"
STRANGE = "99999999-8888-7777-6666-555555555555"
#: {"alg":"dir","enc":"A256GCM","iss":"https://acme.eu.auth0.com/"}, and nothing that could be read.
AUTH0_ENCRYPTED = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiaXNzIjoiaHR0cHM6Ly9hY21lLmV1LmF1dGgwLmNvbS8ifQ..aXY.Yw.dGFn"
COGNITO = "https://cognito-idp.eu-west-1.amazonaws.com"
ADFS_CLIENT = "60b3d106-0000-1111-2222-84b807882900"
PEER = "ID token by a trusted peer"
#: {"typ":"JWT","kid":"k","alg":"ES256","signer":"arn:aws:elasticloadbalancing:eu-west-1:1:lb"}, padded.
LOAD_BALANCER = (
    "eyJ0eXAiOiJKV1QiLCJraWQiOiJrIiwiYWxnIjoiRVMyNTYiLCJzaWduZXIiOiJhcm46YXdzOmVsYXN0aWNsb2FkYmFsYW5jaW5nOmV1LXdl"
    "c3QtMToxOmxiIn0=.eyJzdWIiOiJhIn0=.c2ln"
)

MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "keycloak": (
        Mistake("keycloak_audience_account", "audience mapper", claims={"aud": "account"}),
        Mistake("keycloak_without_audience", "audience mapper", claims={"aud": None}),
        Mistake("issuer_trailing_slash", "trailing slash", edit=("/realms/shop", "/realms/shop/")),
        Mistake("issuer_internal_host", "backchannel", edit=("//sso.example.com/realms", "//keycloak:8443/realms")),
        Mistake("id_token_sent", "ID token", title="ID token"),
        Mistake("keycloak_nonce", "mapper", claims={"nonce": "n"}),
    ),
    "entra-id": (
        Mistake("entra_version_1", "accessTokenAcceptedVersion", title="Access token, version 1"),
        Mistake("entra_api_name", "api://", claims={"aud": f"api://{API}"}),
        Mistake("entra_api_name", "the ID alone", edit=("audience=API", 'audience=f"api://{API}"')),
        Mistake("entra_graph_token", "/.default", claims={"aud": "00000003-0000-0000-c000-000000000000"}),
        Mistake("entra_graph_token", "nobody else can verify", header={"nonce": "x"}, foreign=True),
        Mistake(
            "entra_other_tenant", "another tenant", claims={"iss": f"https://login.microsoftonline.com/{STRANGE}/v2.0"}
        ),
        Mistake("entra_many_tenants", "IssuerTemplate", edit=("/{TENANT}/", "/organizations/")),
        Mistake("roles_in_place_of_scopes", "Requirement(roles=", claims={"scp": None, "roles": ["other"]}),
        Mistake("key_not_there", "replaced its keys", header={"kid": "of-another"}),
    ),
    "auth0": (
        Mistake("issuer_trailing_slash", "trailing slash", edit=(".auth0.com/", ".auth0.com")),
        Mistake("auth0_without_audience", "audience", shape=AUTH0_ENCRYPTED),
        Mistake("audience_is_userinfo", "audience", claims={"aud": "https://acme.eu.auth0.com/userinfo"}),
        Mistake("auth0_custom_domain", "domain", claims={"iss": "https://login.example.com/"}, edit=None),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("permissions_in_place_of_scopes", "roles", claims={"scope": "openid", "permissions": ["other"]}),
    ),
    "okta": (
        Mistake("okta_other_server", "Okta", claims={"iss": "https://acme.okta.com", "aud": "https://acme.okta.com"}),
        Mistake("audience_is_the_client", "what aud says", edit=("api://default", "0oa1FakeClientId5d7")),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("scope_not_granted", "consents", claims={"scp": ["openid"]}),
        Mistake("key_not_there", "Another environment", header={"kid": "of-another"}),
    ),
    "cognito": (
        Mistake("cognito_without_audience", "client_id", edit=("accept_any_audience=True", 'audience="api"')),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("cognito_other_pool", "another user pool", claims={"iss": f"{COGNITO}/eu-west-1_Other0000"}),
        Mistake("scope_not_granted", "consents", claims={"scope": "openid"}),
    ),
    "google": (
        Mistake("google_access_token", "ID token", shape="ya29.a0AfB_byC-x"),
        Mistake("issuer_without_scheme", "without https://", claims={"iss": "accounts.google.com"}),
        Mistake("id_token_sent", 'kind="id_token"', edit=('kind="id_token"', 'kind="access_token"')),
        Mistake(
            "authorized_party_mismatch",
            "authorized_parties",
            title="ID token of an Android app",
            edit=("[ANDROID]", "[]"),
        ),
        Mistake("key_not_there", "Another environment", header={"kid": "of-another"}),
    ),
    "apple": (
        Mistake("id_token_sent", 'kind="id_token"', edit=('kind="id_token"', 'kind="access_token"')),
        Mistake("id_token_of_another_client", "client ID of its own", claims={"aud": "com.example.another"}),
        Mistake("expired", "expired", late=86400),
    ),
    "adfs": (
        Mistake(
            "adfs_access_token_issuer",
            "access_token_issuer",
            edit=("http://fs.example.com/adfs/services/trust", "https://fs.example.com/adfs"),
        ),
        Mistake("audience_is_the_client", "what aud says", edit=("https://api.example.com", ADFS_CLIENT)),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("scope_not_granted", "consents", claims={"scp": "openid"}),
    ),
    "firebase": (
        Mistake("firebase_other_project", "another Firebase", claims={"iss": "https://securetoken.google.com/other"}),
        Mistake(
            "firebase_session_cookie", "ID token", claims={"iss": "https://session.firebase.google.com/shop-3f2a1"}
        ),
        Mistake("unsigned", "not signed", header={"alg": "none"}),
        Mistake("expired", "expired", late=86400),
        Mistake("key_not_there", "Another environment", header={"kid": "of-another"}),
    ),
    "entra-external-id": (
        Mistake("entra_external_id_name", "ID in place of its name", edit=("{TENANT}.ciamlogin", "contoso.ciamlogin")),
        Mistake(
            "entra_customers_issuer",
            "discovery_address",
            block=1,
            title="Access token, Azure AD B2C",
            edit=("{TENANT}/v2.0/", "contoso.onmicrosoft.com/B2C_1_signin/v2.0"),
        ),
        Mistake("entra_api_name", "api://", claims={"aud": f"api://{API}"}),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("scope_not_granted", "consents", claims={"scp": "openid"}),
    ),
    "github-actions": (
        Mistake("github_default_audience", "getIDToken", claims={"aud": "https://github.com/acme"}),
        Mistake("github_other_issuer", "issuer=", claims={"iss": "https://ghe.example.com/_services/token"}),
        Mistake("github_token", "id-token: write", shape="ghs_16C7e42F292c6912E7710c838347Ae178B4a"),
        Mistake("workload_mismatch", "ref", claims={"ref": "refs/heads/dev"}),
        Mistake("expired", "expired", late=600),
    ),
    "gitlab": (
        Mistake("gitlab_token", "id_tokens", shape="glcbt-64_x"),
        Mistake("issuer_without_scheme", "without https://", claims={"iss": "gitlab.com"}),
        Mistake("audience_trailing_slash", "trailing slash", claims={"aud": "https://deploy.example.com/"}),
        Mistake("workload_mismatch", "ref", claims={"ref": "dev", "ref_path": "refs/heads/dev"}),
    ),
    "spring-authorization-server": (
        Mistake("spring_audience_is_the_client", "Customizer", claims={"aud": "web-app", "client_id": None}),
        Mistake("audience_is_the_client", "what aud says", edit=("orders-api", "web-app")),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("key_not_there", "replaced its keys", header={"kid": "of-another"}),
        Mistake("scope_not_granted", "consents", claims={"scope": ["openid"]}),
    ),
    "ory-hydra": (
        Mistake("audience_not_asked_for", "Hydra", claims={"aud": []}),
        Mistake("hydra_opaque_token", "strategies.access_token", shape="ory_at_x.y"),
        Mistake("issuer_trailing_slash", "trailing slash", edit=(".example.com", ".example.com/")),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("scope_not_granted", "consents", claims={"scp": ["openid"]}),
    ),
    "oidc-provider": (
        Mistake("opaque_token", "introspection", shape="cG1kT3BhcXVlVG9rZW4"),
        Mistake("audience_trailing_slash", "trailing slash", claims={"aud": "https://api.example.com/"}),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("scope_not_granted", "consents", claims={"scope": "openid"}),
    ),
    "dex": (
        Mistake("id_token_sent", 'kind="id_token"', edit=('kind="id_token"', 'kind="access_token"')),
        Mistake("id_token_of_another_client", "client ID of its own", claims={"aud": "another"}),
        Mistake("authorized_party_mismatch", "authorized_parties", title=PEER, edit=('["my-tool"]', "[]")),
        Mistake("same_host_other_issuer", "paths", edit=("https://dex.example.com/dex", "https://dex.example.com")),
        Mistake("expired", "expired", late=7200),
    ),
    "authentik": (
        Mistake("authentik_nonce", "required_claims", edit=('"access_or_id_token"', '"access_token"')),
        Mistake("claim_missing", "uid", title="ID token"),
        Mistake("authentik_issuer_mode", "issuer mode", claims={"iss": "https://authentik.example.com/"}),
        Mistake("issuer_trailing_slash", "trailing slash", edit=("/shop/", "/shop")),
        Mistake("signed_with_secret", "shared secret", header={"alg": "HS256"}),
    ),
    "zitadel": (
        Mistake("opaque_token", "Zitadel", shape="dWJlciBhIHRva2VuIG9mIFppdGFkZWw"),
        Mistake("zitadel_project_not_asked_for", ":aud", claims={"aud": ["234567890123456701"]}),
        Mistake("id_token_sent", "access token", title="ID token"),
        Mistake("key_not_there", "Another environment", header={"kid": "of-another"}),
    ),
    "duende": (
        Mistake("audience_not_asked_for", "ask the provider for an audience", claims={"aud": None}),
        Mistake("audience_is_the_client", "what aud says", edit=("orders-api", "web-app")),
        Mistake("claim_missing", "sub", title="Access token of a service"),
        Mistake("not_rfc9068", "at+jwt", header={"typ": "JWT"}),
        Mistake("scope_not_granted", "consents", claims={"scope": ["openid"]}),
    ),
    "kubernetes": (
        Mistake(
            "kubernetes_default_audience", "serviceAccountToken", claims={"aud": ["https://kubernetes.default.svc"]}
        ),
        Mistake("workload_mismatch", "another workload", claims={"sub": "system:serviceaccount:shop:web"}),
        Mistake("kubernetes_legacy_token", "Secret", claims={"iss": "kubernetes/serviceaccount", "exp": None}),
        Mistake("key_not_there", "replaced its keys", header={"kid": "of-another"}),
    ),
    "cloudflare-access": (
        Mistake(
            "issuer_without_scheme",
            "whole address",
            edit=('"https://acme.cloudflareaccess.com",', '"acme.cloudflareaccess.com",'),
        ),
        Mistake("cloudflare_other_application", "tag of its own", claims={"aud": ["another"]}),
        Mistake("key_not_there", "Another environment", header={"kid": "of-another"}),
        Mistake("expired", "expired", late=7200),
    ),
    "aws-alb": (
        Mistake("aws_load_balancer_token", "x-amzn-oidc-accesstoken", shape=LOAD_BALANCER),
        Mistake("opaque_token", "introspection", shape="cG1kT3BhcXVlVG9rZW4"),
        Mistake("audience_is_userinfo", "audience", claims={"aud": "https://idp.acme.example/userinfo"}),
        Mistake("expired", "expired", late=7200),
    ),
}

__all__ = ["MISTAKES", "Mistake"]
