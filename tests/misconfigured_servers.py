"""Servers as people have them and report them: what is wrong, and what is to be told (the twin of misconfigurations).

Documents have the shape that providers document or that were shown in reports; names and values are made up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apis import ISSUER
from doctor_world import API, API_METADATA, KEY, NEXT, RSA, Site, guarded, metadata, provider, reply, resource
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.transport import failure

TENANT = "11111111-2222-3333-4444-555555555555"
ENTRA = "https://login.microsoftonline.com"
OPENID = "/.well-known/openid-configuration"
HTML = reply("<!doctype html><title>Sign in</title>", content_type="text/html")
MCP = "https://mcp.example.com/mcp"
MCP_METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"


@dataclass(frozen=True)
class Server:
    """One misconfigured server."""

    name: str
    url: str
    #: What must be named.
    cause: str
    #: Words that must be told, in the remedy or in what was seen.
    words: str
    #: Makes the server.
    site: Callable[[], Site]
    kind: str = "provider"
    options: dict[str, Any] = field(default_factory=dict)


def nothing(url: str, **pages: Reply) -> Callable[[], Site]:
    """Return what makes a host with nothing at the address."""
    return lambda: Site({url.split("/")[0] + "//" + url.split("/")[2] + "/nothing": reply(""), **pages})


def at(url: str, issuer: str, *keys: Any, **changes: Any) -> Callable[[], Site]:
    """Return what makes a provider that is asked at one address and names itself by another."""
    base = url.partition("/.well-known/")[0]
    where = url if "/.well-known/" in url else base.rstrip("/") + OPENID
    return lambda: provider(base, *keys, at=where, document=metadata(issuer, base, **changes))


def with_endpoints(issuer: str, base: str, *names: str) -> Callable[[], Site]:
    """Return what makes a provider some of whose endpoints lead elsewhere."""
    here, there = metadata(issuer), metadata(issuer, base)
    said = {**here, **{name: there[name] for name in names}}
    return lambda: provider(issuer, document=said)


def answering(*pages: tuple[str, Any], **changes: Any) -> Callable[[], Site]:
    """Return what makes a good provider, but for some pages."""

    def make() -> Site:
        site = provider(**changes)
        site.pages |= dict(pages)
        return site

    return make


def keys(*members: Any, **changes: Any) -> Callable[[], Site]:
    """Return what makes a provider with these keys."""
    return lambda: provider(ISSUER, *members, **changes)


def orders(said: Any = None, url: str = API, **document: Any) -> Callable[[], Site]:
    """Return what makes an API that answers so."""
    return lambda: resource(url, said, **document)


def mcp(said: Any = None, authorization: dict[str, Any] | None = None, **document: Any) -> Callable[[], Site]:
    """Return what makes an MCP server that answers so, and its authorization server."""

    def make() -> Site:
        scoped = f'resource_metadata="{MCP_METADATA}", scope="read"'
        site = resource(MCP, guarded(MCP, challenge=scoped) if said is None else said, **document)
        site.pages[ISSUER + OPENID] = metadata(
            **{"client_id_metadata_document_supported": True, **(authorization or {})}
        )
        return site

    return make


def by_token(status: int, body: str = "", without: Reply | None = None) -> Callable[[Request], Reply]:
    """Return what an API answers that refuses well without a token, and so with one."""
    good = guarded()

    def answer(request: Request) -> Reply:
        if any(name == "Authorization" for name, _ in request.headers):
            return reply(body, status)
        return good(request) if without is None else without

    return answer


def _query_taken(request: Request) -> Reply:
    return reply({"orders": []}) if "access_token=" in request.url else guarded()(request)


def _preflight_refused(request: Request) -> Reply:
    return reply("", 401, www_authenticate="Bearer") if request.method == "OPTIONS" else guarded()(request)


_KUBERNETES_STATUS = reply({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}, 403)


def broken() -> Site:
    """Return a host whose certificate nobody trusts."""
    error = failure("tls_failed", "the TLS handshake failed: unable to get local issuer", Request("GET", ISSUER))
    return Site(dict.fromkeys((ISSUER + OPENID, ISSUER + "/.well-known/oauth-authorization-server", ISSUER), error))


SERVERS: tuple[Server, ...] = (
    # ---- Keycloak, and others behind a proxy
    Server(
        "keycloak hands out the container's name",
        "https://sso.example.com/realms/shop",
        "endpoint_internal_host",
        "--hostname",
        with_endpoints(
            "https://sso.example.com/realms/shop", "http://keycloak:8080/realms/shop", "token_endpoint", "jwks_uri"
        ),
    ),
    Server(
        "identityserver behind a proxy that ends tls",
        ISSUER,
        "endpoint_plain_http",
        "X-Forwarded-Proto",
        with_endpoints(ISSUER, ISSUER.replace("https", "http"), "token_endpoint", "jwks_uri", "userinfo_endpoint"),
    ),
    Server(
        "keycloak behind nginx loses the port",
        "https://sso.example.com:8443/realms/shop",
        "endpoint_port",
        "X-Forwarded-Port",
        with_endpoints("https://sso.example.com:8443/realms/shop", "https://sso.example.com/realms/shop", "jwks_uri"),
    ),
    Server(
        "keycloak in compose, asked by its inner name",
        "http://keycloak:8080/realms/product",
        "issuer_internal_host",
        "backchannel='http://keycloak:8080'",
        at("http://keycloak:8080/realms/product", "http://localhost:9000/realms/product"),
    ),
    Server(
        "keycloak of today, asked with /auth",
        "https://sso.example.com/auth/realms/shop",
        "metadata_elsewhere",
        "https://sso.example.com/realms/shop",
        lambda: provider("https://sso.example.com/realms/shop"),
    ),
    Server(
        "keycloak's realm in other letters",
        "https://sso.example.com/realms/Shop",
        "keycloak_auth_path",
        "case counts",
        lambda: provider("https://sso.example.com/realms/shop"),
    ),
    Server(
        "hydra behind tls says http",
        "https://auth.example.com",
        "issuer_scheme",
        "X-Forwarded-Proto",
        at("https://auth.example.com", "http://auth.example.com"),
    ),
    Server(
        "gitea names localhost",
        "https://git.example.com",
        "issuer_internal_host",
        "ROOT_URL",
        at("https://git.example.com", "http://localhost:3000/"),
    ),
    Server(
        "django provider names its document",
        "https://id.example.com/openid",
        "issuer_is_metadata_address",
        "base address",
        at("https://id.example.com/openid", "https://id.example.com/openid" + OPENID),
    ),
    # ---- Auth0, authentik, Zitadel, Dex, Okta
    Server(
        "auth0 without the slash",
        "https://shop.eu.auth0.com",
        "issuer_trailing_slash",
        "issuer='https://shop.eu.auth0.com/'",
        at("https://shop.eu.auth0.com", "https://shop.eu.auth0.com/"),
    ),
    Server(
        "authentik without the slash",
        "https://auth.example.com/application/o/shop",
        "issuer_trailing_slash",
        "with a slash",
        at("https://auth.example.com/application/o/shop", "https://auth.example.com/application/o/shop/"),
    ),
    Server(
        "authentik without the application",
        "https://auth.example.com/application/o/",
        "authentik_issuer",
        "SLUG",
        nothing("https://auth.example.com/"),
    ),
    Server(
        "auth0 by its custom domain",
        "https://login.example.com/",
        "issuer_custom_domain",
        "issuer='https://shop.eu.auth0.com/'",
        at("https://login.example.com", "https://shop.eu.auth0.com/"),
    ),
    Server(
        "zitadel with a slash",
        "https://shop-x1y2z3.zitadel.cloud/",
        "issuer_trailing_slash",
        "without a slash",
        at("https://shop-x1y2z3.zitadel.cloud", "https://shop-x1y2z3.zitadel.cloud"),
    ),
    Server(
        "dex asked at the root",
        "https://dex.example.com",
        "metadata_elsewhere",
        "https://dex.example.com/dex",
        lambda: provider("https://dex.example.com/dex"),
    ),
    Server(
        "okta's org server for an api",
        "https://shop.okta.com",
        "okta_org_server",
        "/oauth2/default",
        lambda: provider("https://shop.okta.com"),
    ),
    Server(
        "okta's admin console",
        "https://shop-admin.okta.com",
        "okta_server",
        "-admin",
        nothing("https://shop-admin.okta.com/"),
    ),
    # ---- Microsoft
    Server(
        "entra common",
        f"{ENTRA}/common/v2.0",
        "entra_many_tenants",
        "IssuerTemplate",
        at(f"{ENTRA}/common/v2.0", ENTRA + "/{tenantid}/v2.0", code_challenge_methods_supported=None),
    ),
    Server(
        "entra consumers",
        f"{ENTRA}/consumers/v2.0",
        "entra_many_tenants",
        "one tenant's issuer",
        at(f"{ENTRA}/consumers/v2.0", f"{ENTRA}/{TENANT}/v2.0"),
    ),
    Server(
        "entra of version 1",
        f"{ENTRA}/{TENANT}",
        "entra_version_1",
        "accessTokenAcceptedVersion",
        at(f"{ENTRA}/{TENANT}", f"https://sts.windows.net/{TENANT}/"),
    ),
    Server(
        "entra by the tenant's name",
        f"{ENTRA}/contoso.onmicrosoft.com/v2.0",
        "entra_tenant_name",
        TENANT,
        at(f"{ENTRA}/contoso.onmicrosoft.com/v2.0", f"{ENTRA}/{TENANT}/v2.0"),
    ),
    Server(
        "b2c by its policy",
        "https://shop.b2clogin.com/shop.onmicrosoft.com/B2C_1_signin/v2.0",
        "entra_customers_issuer",
        "discovery_address",
        at(
            "https://shop.b2clogin.com/shop.onmicrosoft.com/B2C_1_signin/v2.0",
            f"https://shop.b2clogin.com/{TENANT}/v2.0/",
        ),
    ),
    Server(
        "b2c without a policy",
        "https://shop.b2clogin.com/shop.onmicrosoft.com/v2.0",
        "b2c_policy",
        "POLICY",
        nothing("https://shop.b2clogin.com/"),
    ),
    Server(
        "external id by the tenant's name",
        f"https://shop.ciamlogin.com/{TENANT}/v2.0",
        "entra_external_id_name",
        "tenant's ID",
        at(f"https://shop.ciamlogin.com/{TENANT}/v2.0", f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0"),
    ),
    Server(
        "ad fs by the name in its tokens",
        "https://fs.example.com/adfs/services/trust",
        "metadata_elsewhere",
        "https://fs.example.com/adfs",
        lambda: provider("https://fs.example.com/adfs"),
    ),
    Server(
        "ad fs names another issuer in tokens",
        "https://fs.example.com/adfs",
        "adfs",
        "metadata_issuer",
        lambda: provider(
            "https://fs.example.com/adfs", access_token_issuer="http://fs.example.com/adfs/services/trust"
        ),
    ),
    # ---- Amazon, Google, Apple, GitHub, GitLab, Cloudflare
    Server(
        "cognito by its login page",
        "https://shop.auth.eu-west-1.amazoncognito.com",
        "cognito_issuer",
        "cognito-idp.REGION",
        nothing("https://shop.auth.eu-west-1.amazoncognito.com/"),
    ),
    Server(
        "cognito does not say s256",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc",
        "pkce_unsaid",
        "MCP clients",
        lambda: provider(
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc",
            code_challenge_methods_supported=None,
            introspection_endpoint=None,
        ),
    ),
    Server(
        "cognito has no introspection",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc",
        "cognito",
        "no introspection",
        lambda: provider("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc", introspection_endpoint=None),
    ),
    Server(
        "google by the address of its keys",
        "https://www.googleapis.com/oauth2/v3/certs",
        "google_issuer",
        "https://accounts.google.com",
        nothing("https://www.googleapis.com/"),
    ),
    Server(
        "apple by an endpoint",
        "https://appleid.apple.com/auth/authorize",
        "metadata_elsewhere",
        "https://appleid.apple.com",
        lambda: provider("https://appleid.apple.com"),
    ),
    Server(
        "github as an openid provider",
        "https://github.com/login/oauth",
        "github_is_oauth_only",
        "no ID tokens",
        nothing("https://github.com/"),
    ),
    Server(
        "github's workflows with an owner",
        "https://token.actions.githubusercontent.com/octo",
        "metadata_elsewhere",
        "https://token.actions.githubusercontent.com",
        lambda: provider("https://token.actions.githubusercontent.com"),
    ),
    Server(
        "gitlab with the group",
        "https://gitlab.example.com/group",
        "metadata_elsewhere",
        "https://gitlab.example.com",
        lambda: provider("https://gitlab.example.com"),
    ),
    Server(
        "cloudflare access by its keys",
        "https://shop.cloudflareaccess.com/cdn-cgi/access/certs",
        "cloudflare_issuer",
        "TEAM.cloudflareaccess.com",
        nothing("https://shop.cloudflareaccess.com/"),
    ),
    Server(
        "the keys of a load balancer",
        "https://public-keys.auth.elb.eu-west-1.amazonaws.com",
        "alb_keys",
        "ARN",
        lambda: Site({"https://public-keys.auth.elb.eu-west-1.amazonaws.com/": reply("", 403)}),
    ),
    # ---- Kubernetes
    Server(
        "kubernetes keeps its metadata private",
        "https://kubernetes.default.svc",
        "kubernetes_metadata_private",
        "system:service-account-issuer-discovery",
        lambda: Site({"https://kubernetes.default.svc" + OPENID: _KUBERNETES_STATUS}),
    ),
    Server(
        "eks asked inside names its public issuer",
        "https://kubernetes.default.svc",
        "kubernetes_issuer",
        "discovery_address",
        at("https://kubernetes.default.svc", "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"),
    ),
    Server(
        "eks with keys at a node",
        "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC",
        "endpoint_internal_host",
        "--service-account-jwks-uri",
        lambda: provider(
            "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC",
            jwks_uri="https://ip-172-16-45-221.eu-west-1.compute.internal:443/openid/v1/jwks",
        ),
    ),
    # ---- Documents and keys
    Server(
        "a single-page application answers everything",
        "https://app.example.com",
        "metadata_is_web_page",
        "single-page",
        lambda: Site({f"https://app.example.com{OPENID}": HTML, "https://app.example.com": HTML}),
    ),
    Server(
        "metadata behind a login",
        ISSUER + OPENID,
        "metadata_needs_login",
        "take the login",
        answering((ISSUER + OPENID, reply("", 401, www_authenticate="Basic"))),
    ),
    Server(
        "metadata redirects to another host",
        ISSUER + OPENID,
        "redirect_cross_host",
        "another host",
        answering((ISSUER + OPENID, reply("", 302, location="https://login.example.net/"))),
    ),
    Server(
        "a text where a list belongs",
        ISSUER,
        "discovery_member_invalid",
        "scopes_supported",
        lambda: provider(scopes_supported="openid profile"),
    ),
    Server(
        "keys at an address that is gone",
        ISSUER,
        "jwks_not_there",
        "leads nowhere",
        answering((f"{ISSUER}/jwks", reply("", 404))),
    ),
    Server("keys without names", ISSUER, "kid_missing", "kid", keys({**KEY, "kid": None}, {**NEXT, "kid": None})),
    Server("two keys of one name", ISSUER, "kid_twice", "k1", keys(KEY, {**NEXT, "kid": "k1"})),
    Server(
        "rsa keys only, es256 announced",
        ISSUER,
        "algorithm_without_key",
        "ES256",
        keys(RSA, id_token_signing_alg_values_supported=["RS256", "ES256"]),
    ),
    Server("a private key in the set", ISSUER, "key_private_members", "replace the key", keys({**KEY, "d": "A" * 43})),
    Server("keys without wrapping", ISSUER, "jwks_without_keys", "wrap the keys", answering((f"{ISSUER}/jwks", KEY))),
    Server(
        "a name that is not known",
        "https://keycloak.shop.svc",
        "dns_failed",
        "another network",
        lambda: Site({"https://x.example/": reply("")}),
        kind="",
    ),
    Server(
        "a certificate of a private ca",
        ISSUER,
        "tls_failed",
        "SSL_CERT_FILE",
        broken,
        kind="",
    ),
    # ---- APIs
    Server(
        "an api that answers 403 without a token",
        API,
        "forbidden_without_token",
        "401",
        orders(reply("", 403)),
        kind="api",
    ),
    Server(
        "an api that redirects to a login page",
        API,
        "redirect_to_login",
        "login page",
        orders(reply("", 302, location="https://id.example.com/authorize?client_id=x")),
        kind="api",
    ),
    Server("an api open to all", API, "open_without_token", "demand a token", orders({"orders": []}), kind="api"),
    Server(
        "a 401 without a challenge", API, "challenge_missing", "WWW-Authenticate", orders(reply("", 401)), kind="api"
    ),
    Server(
        "a malformed token is an error of the server",
        API,
        "bad_token_breaks_server",
        "JWT library",
        orders(by_token(500, "Traceback (most recent call last):")),
        kind="api",
    ),
    Server(
        "a token in the address is taken", API, "query_token_let_in", "Authorization", orders(_query_taken), kind="api"
    ),
    Server("the preflight wants a token", API, "preflight_refused", "OPTIONS", orders(_preflight_refused), kind="api"),
    # ---- MCP servers
    Server(
        "an mcp server that does not say how to log in",
        MCP,
        "challenge_missing",
        "WWW-Authenticate",
        mcp(reply({"jsonrpc": "2.0", "error": {"code": 10, "message": "Unauthorized"}, "id": None}, 401)),
        kind="mcp",
    ),
    Server(
        "an mcp server mounted below its metadata",
        MCP,
        "resource_metadata_missing",
        "mounted applications",
        lambda: Site({MCP: guarded(MCP)}),
        kind="mcp",
    ),
    Server(
        "an mcp server that names itself with a slash",
        MCP,
        "resource_trailing_slash",
        "slash",
        mcp(resource=MCP + "/"),
        kind="mcp",
    ),
    Server(
        "an mcp server that names an inner address",
        MCP,
        "resource_internal_host",
        "inner address",
        mcp(resource="http://localhost:3000/mcp"),
        kind="mcp",
    ),
    Server(
        "an mcp server whose provider does not say s256",
        MCP,
        "pkce_unsaid",
        "code_challenge_methods_supported",
        mcp(authorization={"code_challenge_methods_supported": None}),
        kind="mcp",
    ),
    Server(
        "an mcp server that says invalid_token to nobody's token",
        MCP,
        "challenge_error",
        "invalid_token",
        mcp(guarded(MCP, challenge=f'error="invalid_token", resource_metadata="{MCP_METADATA}"', error=None)),
        kind="mcp",
    ),
    Server(
        "an mcp server whose clients must be registered by hand",
        MCP,
        "registration_by_hand",
        "metadata documents",
        mcp(authorization={"client_id_metadata_document_supported": None}),
        kind="mcp",
    ),
    Server(
        "metadata of the api is about another host",
        API,
        "resource_other_host",
        "character by character",
        answering(
            (API, guarded()),
            (API_METADATA, {"resource": "https://other.example.net", "authorization_servers": [ISSUER]}),
        ),
        kind="api",
    ),
)
