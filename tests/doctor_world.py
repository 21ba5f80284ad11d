"""Servers that are only data: providers, APIs and MCP servers to be examined, each as it should be and changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from apis import ISSUER
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.transport import failure
from py_identity_model._core.jose.signing_keys import SigningKey

KEY = {**(SigningKey.generate("ES256", kid="k1").public_jwk or {}), "kid": "k1", "use": "sig", "alg": "ES256"}
NEXT = {**(SigningKey.generate("ES256", kid="k2").public_jwk or {}), "kid": "k2", "use": "sig", "alg": "ES256"}
RSA = {**(SigningKey.generate("RS256", kid="r1").public_jwk or {}), "kid": "r1", "use": "sig", "alg": "RS256"}
JSON_HEADERS = (("content-type", "application/json"), ("cache-control", "public, max-age=3600"))

Said = Reply | Mapping[str, Any] | str | BaseException | Callable[[Request], Any]


def reply(body: object = "", status: int = 200, **headers: str) -> Reply:
    """Return a reply: JSON, or a text."""
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    if isinstance(body, str | bytes):
        return Reply(status, given, body.encode() if isinstance(body, str) else body)
    kept = tuple(header for header in JSON_HEADERS if header[0] not in dict(given))
    return Reply(status, (*kept, *given), json.dumps(body).encode())


def metadata(issuer: str = ISSUER, base: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return metadata of a good provider, changed; None takes a member out."""
    base = (issuer if base is None else base).rstrip("/")
    good = {
        "issuer": issuer,
        "jwks_uri": f"{base}/jwks",
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "userinfo_endpoint": f"{base}/userinfo",
        "introspection_endpoint": f"{base}/introspect",
        "revocation_endpoint": f"{base}/revoke",
        "end_session_endpoint": f"{base}/logout",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "scopes_supported": ["openid", "profile"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


@dataclass
class Site:
    """A transport that answers by address; what is nowhere is 404, and another host is not known."""

    pages: dict[str, Said] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        """Answer as the transport."""
        self.requests.append(request)
        said = self.pages.get(request.url) or self.pages.get(request.url.partition("?")[0])
        if callable(said) and not isinstance(said, Reply):
            said = said(request)
        if isinstance(said, BaseException):
            raise said
        if said is None:
            known = {urlsplit(url).netloc for url in self.pages}
            if urlsplit(request.url).netloc not in known:
                raise failure("dns_failed", "the host name cannot be resolved", request)
            return reply({"error": "not_found"}, 404)
        return said if isinstance(said, Reply) else reply(said)

    @property
    def asked(self) -> list[str]:
        """The addresses that were asked, with the method."""
        return [f"{request.method} {request.url}" for request in self.requests]


def provider(
    issuer: str = ISSUER,
    *keys: Mapping[str, Any],
    at: str | None = None,
    document: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Site:
    """Return a provider that publishes its metadata where it should, or *at* another address."""
    said = dict(document) if document is not None else metadata(issuer, **changes)
    where = at or issuer.rstrip("/") + "/.well-known/openid-configuration"
    pages: dict[str, Said] = {where: said}
    if isinstance(said.get("jwks_uri"), str) and "[" not in said["jwks_uri"]:
        pages[said["jwks_uri"]] = {"keys": list(keys) or [KEY, NEXT]}
    return Site(pages)


API = "https://api.example.com/orders"
API_METADATA = "https://api.example.com/.well-known/oauth-protected-resource/orders"


def well_known(url: str) -> str:
    """Return where the metadata of a resource is."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"


def guarded(
    url: str = API, *, error: str | None = 'error="invalid_token"', challenge: str = "", **headers: str
) -> Callable[[Request], Reply]:
    """Return what a good API answers: 401 with a challenge, an error only for a token, and a preflight without one."""
    where = well_known(url)
    about = challenge or f'resource_metadata="{where}"'

    def answer(request: Request) -> Reply:
        if request.method == "OPTIONS":
            return reply("", 204, access_control_allow_origin="*", access_control_allow_headers="authorization")
        told = any(name == "Authorization" for name, _ in request.headers) and error
        value = f"Bearer {about}" + (f", {error}" if told else "")
        return reply("", 401, **({"cache_control": "no-store", "www_authenticate": value} | headers))

    return answer


def resource(url: str = API, answer: Said | None = None, **document: Any) -> Site:
    """Return an API with its metadata and its provider; *document* changes the metadata, None takes a member out."""
    site = provider(client_id_metadata_document_supported=True)
    published = {"resource": url, "authorization_servers": [ISSUER], "scopes_supported": ["read"], **document}
    where = well_known(url)
    site.pages[where] = {name: value for name, value in published.items() if value is not None}
    site.pages[url] = guarded(url) if answer is None else answer
    return site
