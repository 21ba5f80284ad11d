"""Servers with one fault each, beyond those that people report: every check of the doctor is seen to speak."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from apis import ISSUER, NOW
from doctor_world import API, KEY, NEXT, RSA, Site, guarded, metadata, provider, reply, resource
from misconfigured_servers import (
    HTML,
    MCP,
    MCP_METADATA,
    OPENID,
    answering,
    at,
    by_token,
    keys,
    mcp,
    orders,
)
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.transport import failure

DOCUMENT = ISSUER + OPENID
JWKS = f"{ISSUER}/jwks"
OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server"


class Odd(NamedTuple):
    """A server with one fault, and the name of that."""

    name: str
    url: str
    cause: str
    site: Callable[[], Site]
    options: Mapping[str, Any] = MappingProxyType({})


def raw(body: bytes, content_type: str = "application/json") -> Reply:
    """Return a reply of bytes."""
    return Reply(200, (("content-type", content_type),), body)


def document(**changes: Any) -> Callable[[], Site]:
    """Return what makes a provider with changed metadata."""
    return lambda: provider(**changes)


def unreached(code: str) -> Callable[[], Site]:
    """Return what makes a host that cannot be asked."""
    error = failure(code, "it failed", Request("GET", ISSUER))
    return lambda: Site(dict.fromkeys((DOCUMENT, OAUTH, ISSUER, API), error))


def b64(octets: bytes) -> str:
    """Return octets in base64url."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def registering(request: Request) -> Reply:
    """Register whoever asks, and delete whoever wants to be."""
    if request.method == "DELETE":
        return reply("", 204)
    said = {"client_id": "c", "registration_client_uri": f"{ISSUER}/register/c", "registration_access_token": "at"}
    return reply(said, 201)


def open_provider() -> Site:
    """Return a provider that does whatever a stranger asks of it."""
    site = provider(registration_endpoint=f"{ISSUER}/register", pushed_authorization_request_endpoint=f"{ISSUER}/par")
    redirected = reply("", 302, location="https://py-identity-model-doctor.invalid/callback?error=x")
    done = reply({"active": False, "access_token": "t", "request_uri": "urn:x"})
    pages = {"register": registering, "register/c": registering, "token": done, "par": done, "introspect": done}
    site.pages |= {f"{ISSUER}/{name}": page for name, page in pages.items()} | {f"{ISSUER}/authorize": redirected}
    return site


def broken_provider() -> Site:
    """Return a provider whose endpoints fail for strangers."""
    site = open_provider()
    for name in ("register", "token", "par", "introspect"):
        site.pages[f"{ISSUER}/{name}"] = reply("", 500)
    return site


def believing(status: int) -> Callable[[], Site]:
    """Return what makes an API that answers so to whatever looks like a JWT."""

    def answer(request: Request) -> Reply:
        token = dict(request.headers).get("Authorization", "").removeprefix("Bearer ")
        return reply({"orders": []}, status) if token.count(".") == 2 and token[:2] == "ey" else guarded()(request)

    return orders(answer)


CA = trustme.CA()


def x5c(ends: datetime.datetime | None = None) -> str:
    """Return a certificate of a key of its own, that ends on a day."""
    leaf = CA.issue_cert("id.example.com", key_type=trustme.KeyType.RSA, not_after=ends)
    made = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()


X5C = x5c()
_NOW = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
ENDED, ENDS_SOON = (x5c(_NOW + datetime.timedelta(days=days)) for days in (-5, 5))
BY_RSA = {"id_token_signing_alg_values_supported": ["RS256"]}
SMALL = {"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": b64(b"\x01" + bytes(31))}
SHORT = {"kty": "RSA", "kid": "r", "alg": "RS256", "e": "AQAB", "n": b64(b"\xc5" * 128)}
_PREFLIGHT_STAR = reply("", 204, access_control_allow_origin="*", access_control_allow_headers="*")

ODD: tuple[Odd, ...] = (
    # ---- Metadata
    Odd(
        "supabase at its root",
        "https://x.supabase.co",
        "metadata_elsewhere",
        lambda: provider("https://x.supabase.co/auth/v1"),
    ),
    Odd(
        "keycloak at its root",
        "https://sso.example.com",
        "keycloak_realm",
        lambda: provider("https://sso.example.com/realms/master"),
    ),
    Odd(
        "a redirect to https",
        "http://id.example.com",
        "redirect_insecure",
        lambda: Site(
            {
                f"http://id.example.com{path}": reply("", 301, location=ISSUER)
                for path in (OPENID, "/.well-known/oauth-authorization-server", "")
            }
        ),
    ),
    Odd(
        "byte order mark",
        ISSUER,
        "json_invalid",
        answering((DOCUMENT, raw(b"\xef\xbb\xbf" + json.dumps(metadata()).encode()))),
    ),
    Odd(
        "a member twice",
        ISSUER,
        "json_invalid",
        answering((DOCUMENT, raw(b'{"issuer":"x",' + json.dumps(metadata()).encode()[1:]))),
    ),
    Odd("as text", ISSUER, "media_type", answering((DOCUMENT, raw(json.dumps(metadata()).encode(), "text/plain")))),
    Odd("a list", ISSUER, "metadata_no_object", answering((DOCUMENT, raw(b"[]")))),
    Odd("down", ISSUER, "provider_unavailable", lambda: Site(dict.fromkeys((DOCUMENT, ISSUER), reply("", 503)))),
    Odd(
        "a firewall",
        ISSUER,
        "metadata_blocked",
        lambda: Site(dict.fromkeys((DOCUMENT, OAUTH, ISSUER), reply("<html>", 403, content_type="text/html"))),
    ),
    Odd("compressed", ISSUER, "encoding_refused", unreached("encoding_refused")),
    Odd("two documents", ISSUER, "metadata_differs", answering((OAUTH, metadata(token_endpoint=f"{ISSUER}/other")))),
    Odd(
        "appended only",
        f"{ISSUER}/t",
        "metadata_elsewhere",
        lambda: provider(f"{ISSUER}/t", at=f"{ISSUER}/t/.well-known/oauth-authorization-server"),
    ),
    Odd("no issuer", ISSUER, "issuer_missing", lambda: provider(document={**metadata(), "issuer": None})),
    Odd("another issuer", ISSUER, "issuer_other", at(ISSUER, "https://evil.example.net")),
    Odd("capital letters", ISSUER, "issuer_case", at(ISSUER, "https://ID.example.com")),
    Odd("no scheme", ISSUER, "issuer_without_scheme", at(ISSUER, "id.example.com")),
    Odd("another port", ISSUER, "issuer_port", at(ISSUER, "https://id.example.com:8443")),
    Odd("a query in the issuer", DOCUMENT, "issuer_form", at(DOCUMENT, f"{ISSUER}?tenant=1")),
    Odd("http in the issuer", DOCUMENT, "issuer_plain_http", at(DOCUMENT, "http://id.example.com")),
    Odd("no token endpoint", ISSUER, "metadata_incomplete", document(token_endpoint=None)),
    Odd("no response types", ISSUER, "metadata_incomplete", document(response_types_supported=None)),
    Odd("keys on this machine", ISSUER, "endpoint_internal_host", document(jwks_uri="http://localhost:8080/jwks")),
    Odd("no cache", ISSUER, "metadata_cache", answering((DOCUMENT, reply(metadata(), cache_control="no-store")))),
    Odd("plain http", "http://id.example.com", "https", lambda: provider("http://id.example.com")),
    Odd(
        "an old clock",
        ISSUER,
        "clocks_differ",
        answering((DOCUMENT, reply(metadata(), date="Sun, 06 Nov 1994 08:49:37 GMT"))),
    ),
    # ---- Keys
    Odd("no jwks_uri", ISSUER, "jwks_uri_missing", document(jwks_uri=None)),
    Odd("jwks_uri is a number", ISSUER, "jwks_uri_unusable", document(jwks_uri=1)),
    Odd("keys inside", ISSUER, "address_not_public", document(jwks_uri="https://10.0.0.1/jwks")),
    Odd("keys are a page", ISSUER, "jwks_is_web_page", answering((JWKS, HTML))),
    Odd("keys are nothing", ISSUER, "jwks_is_empty", answering((JWKS, raw(b"")))),
    Odd(
        "keys are text",
        ISSUER,
        "jwks_content_type",
        answering((JWKS, raw(json.dumps({"keys": [KEY]}).encode(), "text/plain"))),
    ),
    Odd("keys redirect", ISSUER, "jwks_redirected", answering((JWKS, reply("", 301, location="/x")))),
    Odd("keys want a login", ISSUER, "jwks_needs_login", answering((JWKS, reply("", 401)))),
    Odd("keys fail", ISSUER, "jwks_failed", answering((JWKS, reply("", 500)))),
    Odd("keys are pem", ISSUER, "keys_are_pem", answering((JWKS, raw(b"-----BEGIN PUBLIC KEY-----\n")))),
    Odd(
        "keys are certificates",
        ISSUER,
        "keys_are_certificates",
        answering((JWKS, {"k": "-----BEGIN CERTIFICATE-----"})),
    ),
    Odd("no keys", ISSUER, "jwks_empty", answering((JWKS, {"keys": []}))),
    Odd("short rsa", ISSUER, "rsa_key_too_small", keys(SHORT, KEY)),
    Odd("small order", ISSUER, "okp_point_small_order", keys(SMALL, KEY)),
    Odd("off the curve", ISSUER, "ec_point_invalid", keys({**KEY, "x": KEY["y"]}, NEXT)),
    Odd("trimmed", ISSUER, "ec_coordinate_length", keys({**KEY, "x": "AAAA"}, NEXT)),
    Odd("another base64", ISSUER, "jwk_member_not_base64url", keys({**RSA, "n": RSA["n"] + "=="}, KEY)),
    Odd("a shared secret", ISSUER, "key_symmetric", keys(KEY, {"kty": "oct", "k": "AAAA"})),
    Odd("one key without a name", ISSUER, "kid_missing", keys({**KEY, "kid": None})),
    Odd(
        "rsa without alg",
        ISSUER,
        "key_alg_missing",
        keys({**RSA, "alg": None}, id_token_signing_alg_values_supported=["RS256"]),
    ),
    Odd("an unknown alg", ISSUER, "key_alg_unknown", keys({**KEY, "alg": "ES999"}, NEXT)),
    Odd("use against key_ops", ISSUER, "key_ops_contradict_use", keys({**KEY, "key_ops": ["encrypt"]}, NEXT)),
    Odd(
        "operations of the private half",
        ISSUER,
        "key_ops_of_private_key",
        keys({**KEY, "use": None, "key_ops": ["sign"]}, NEXT),
    ),
    Odd("encryption only", ISSUER, "only_encryption_keys", keys({**KEY, "use": "enc"})),
    Odd("use is not said", ISSUER, "key_use_missing", keys({**KEY, "use": None}, {**NEXT, "use": "enc"})),
    Odd(
        "a certificate of another key",
        ISSUER,
        "x5c_of_another_key",
        keys({**RSA, "x5c": [X5C]}, id_token_signing_alg_values_supported=["RS256"]),
    ),
    Odd("a certificate that is none", ISSUER, "x5c_unreadable", keys({**KEY, "x5c": ["AAAA"]}, NEXT)),
    Odd(
        "another thumbprint",
        ISSUER,
        "x5t_of_another_certificate",
        keys({**RSA, "x5c": [X5C], "x5t": "AAAA"}, id_token_signing_alg_values_supported=["RS256"]),
    ),
    Odd(
        "kept for a year",
        ISSUER,
        "keys_kept_long",
        answering((JWKS, reply({"keys": [KEY]}, cache_control="max-age=31536000"))),
    ),
    Odd(
        "keys that are not kept",
        ISSUER,
        "cache_none",
        answering((JWKS, reply({"keys": [KEY]}, cache_control="no-store"))),
    ),
    Odd("too many", ISSUER, "many_keys", keys(*({**KEY, "kid": str(n)} for n in range(25)))),
    Odd("a key that nobody uses", ISSUER, "key_without_algorithm", keys(KEY, RSA)),
    # ---- Offers
    Odd("plain", ISSUER, "pkce_plain", document(code_challenge_methods_supported=["S256", "plain"])),
    Odd("plain only", ISSUER, "pkce_without_s256", document(code_challenge_methods_supported=["plain"])),
    Odd("no iss", ISSUER, "response_iss", document(authorization_response_iss_parameter_supported=None)),
    Odd("none", ISSUER, "alg_none", document(id_token_signing_alg_values_supported=["ES256", "none"])),
    Odd("by the secret", ISSUER, "alg_by_secret", document(id_token_signing_alg_values_supported=["ES256", "HS256"])),
    Odd("implicit", ISSUER, "response_types", document(response_types_supported=["code", "id_token token"])),
    Odd("passwords", ISSUER, "grant_types", document(grant_types_supported=["authorization_code", "password"])),
    Odd("without openid", ISSUER, "scopes", document(scopes_supported=["profile"])),
    Odd(
        "introspection for all",
        ISSUER,
        "introspection_open",
        document(introspection_endpoint_auth_methods_supported=["none"]),
    ),
    Odd(
        "par without an endpoint", ISSUER, "par_without_endpoint", document(require_pushed_authorization_requests=True)
    ),
    Odd("proofs without a signature", ISSUER, "dpop", document(dpop_signing_alg_values_supported=["none"])),
    Odd("fapi", ISSUER, "fapi2", document(), {"fapi": True}),
    # ---- APIs
    Odd("a slash at the end", API, "redirect_slash", orders(reply("", 307, location=f"{API}/"))),
    Odd(
        "a redirect to http",
        API,
        "redirect_to_http",
        orders(reply("", 307, location=API.replace("https", "http") + "/")),
    ),
    Odd(
        "a server by its metadata",
        API,
        "authorization_server_is_metadata_address",
        orders(authorization_servers=[DOCUMENT]),
    ),
    Odd("basic", API, "challenge_scheme", orders(reply("", 401, www_authenticate='Basic realm="x"'))),
    Odd("unreadable", API, "challenge_unreadable", orders(reply("", 401, www_authenticate="Bearer realm=a b="))),
    Odd("an api that is down", API, "server_error", orders(reply("", 500))),
    Odd("nothing there", API, "nothing_to_protect", orders(reply("", 405)), {"kind": "api"}),
    Odd("too many requests", API, "refusal_other", orders(reply("", 429))),
    Odd("a bad token is 400", API, "bad_token_other_status", orders(by_token(400))),
    Odd("a bad token is let in", API, "bad_token_let_in", orders(by_token(200))),
    Odd("no error for a bad token", API, "bad_token_without_error", orders(guarded(error=None))),
    Odd("a trace", API, "refusal_detail", orders(by_token(401, "Traceback (most recent call last):"))),
    Odd(
        "the address is read",
        API,
        "query_token_read",
        orders(
            lambda request: (
                reply("", 401, www_authenticate='Bearer error="invalid_token"')
                if "access_token=" in request.url
                else guarded()(request)
            )
        ),
    ),
    Odd(
        "the address breaks it",
        API,
        "query_token_breaks_server",
        orders(lambda request: reply("", 500) if "access_token=" in request.url else guarded()(request)),
    ),
    Odd(
        "the preflight redirects",
        API,
        "preflight_redirected",
        orders(lambda request: reply("", 302, location="/") if request.method == "OPTIONS" else guarded()(request)),
    ),
    Odd(
        "a star for authorization",
        API,
        "preflight_without_authorization",
        orders(lambda request: _PREFLIGHT_STAR if request.method == "OPTIONS" else guarded()(request)),
    ),
    Odd("kept refusals", API, "refusal_cache", orders(guarded(cache_control="public, max-age=60"))),
    Odd("metadata with http", API, "resource_scheme", orders(resource="http://api.example.com/orders")),
    Odd("metadata of another port", API, "resource_port", orders(resource="https://api.example.com:8443/orders")),
    Odd("metadata of another path", API, "resource_other_path", orders(resource="https://api.example.com/invoices")),
    Odd("metadata about nothing", API, "resource_missing", orders(resource=None)),
    Odd("metadata about no address", API, "resource_no_url", orders(resource="orders")),
    Odd(
        "metadata as text",
        API,
        "resource_metadata_media_type",
        answering(
            (API, guarded()),
            (
                "https://api.example.com/.well-known/oauth-protected-resource/orders",
                raw(json.dumps({"resource": API, "authorization_servers": [ISSUER]}).encode(), "text/plain"),
            ),
        ),
    ),
    Odd(
        "metadata that nobody names",
        API,
        "resource_metadata_not_named",
        orders(reply("", 401, www_authenticate="Bearer")),
    ),
    Odd(
        "metadata elsewhere",
        API,
        "resource_metadata_elsewhere",
        orders(guarded(challenge='resource_metadata="https://api.example.com/other"')),
    ),
    Odd("metadata with a number", API, "resource_metadata_member", orders(scopes_supported=1)),
    Odd(
        "tokens in addresses offered", API, "query_token_offered", orders(bearer_methods_supported=["header", "query"])
    ),
    Odd("no authorization server", API, "authorization_servers_missing", orders(authorization_servers=None)),
    Odd("an empty list of servers", API, "authorization_servers_missing", orders(authorization_servers=[])),
    Odd(
        "a server that is no issuer",
        API,
        "authorization_server_no_issuer",
        orders(authorization_servers=["id.example.com"]),
    ),
    # ---- MCP servers
    Odd("no scope", MCP, "mcp_scope", mcp(guarded(MCP))),
    Odd("offline_access", MCP, "mcp_offline_access", mcp(scopes_supported=["read", "offline_access"])),
    Odd(
        "dynamic only",
        MCP,
        "registration_only_dynamic",
        mcp(
            authorization={"client_id_metadata_document_supported": None, "registration_endpoint": f"{ISSUER}/register"}
        ),
    ),
    Odd("a name with a slash", MCP, "mcp_canonical", mcp(resource=MCP + "/")),
    Odd("a server with a slash", MCP, "issuer_trailing_slash", mcp(authorization_servers=[ISSUER + "/"])),
    # ---- Only with active
    Odd("open registration", ISSUER, "registration_open", open_provider, {"active": True}),
    Odd("a token for nobody", ISSUER, "token_for_nobody", open_provider, {"active": True}),
    Odd("pushed by nobody", ISSUER, "par_for_nobody", open_provider, {"active": True}),
    Odd("redirects anywhere", ISSUER, "open_redirect", open_provider, {"active": True}),
    Odd("introspection by nobody", ISSUER, "introspection_open", open_provider, {"active": True}),
    Odd("registration breaks", ISSUER, "registration_breaks_server", broken_provider, {"active": True}),
    Odd("the token endpoint breaks", ISSUER, "token_endpoint_breaks", broken_provider, {"active": True}),
    Odd("pushing breaks", ISSUER, "par_breaks", broken_provider, {"active": True}),
    Odd("introspection breaks", ISSUER, "introspection_breaks", broken_provider, {"active": True}),
    Odd("any token is let in", API, "alg_none", believing(200), {"active": True}),
    Odd("any token is believed", API, "key_of_its_own", believing(403), {"active": True}),
    Odd("any token breaks it", API, "forgery_breaks_server", believing(500), {"active": True}),
)

__all__ = ["MCP_METADATA", "ODD", "Odd", "resource"]
