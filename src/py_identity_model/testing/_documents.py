"""What the embedded provider publishes: its metadata, where everything is, and the validators of HTTP caching."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from .._core.base.flow import Reply, Request
from .._core.base.header_lists import members
from .._core.jose.algorithms import SignatureAlgorithm
from ..exceptions import ConfigurationException, printable
from ._endpoints import ENDPOINTS, GRANT_TYPES

#: The endpoints that are documents, as requests are counted by them.
DOCUMENTS = ("discovery", "oauth_metadata", "jwks")

#: Requests that went to another host, or to no endpoint of this one.
ELSEWHERE, NOWHERE = "elsewhere", "nowhere"

#: Every place at this host that a request can be for.
EVERYWHERE = (*DOCUMENTS, *ENDPOINTS, NOWHERE)

_WELL_KNOWN = {"discovery": "openid-configuration", "oauth_metadata": "oauth-authorization-server"}

#: Members of the metadata that are addresses, and the endpoints they point to.
_METADATA_URLS = {
    "authorization_endpoint": "authorize",
    "token_endpoint": "token",
    "jwks_uri": "jwks",
    "userinfo_endpoint": "userinfo",
    "introspection_endpoint": "introspect",
    "revocation_endpoint": "revoke",
    "device_authorization_endpoint": "device_authorization",
    "pushed_authorization_request_endpoint": "par",
    "end_session_endpoint": "end_session",
}
_METADATA: Mapping[str, Any] = {
    "response_types_supported": ["code"],
    "response_modes_supported": ["query"],
    "grant_types_supported": list(GRANT_TYPES),
    "subject_types_supported": ["public"],
    "scopes_supported": ["openid", "profile", "email"],
    "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "name", "preferred_username", "email"],
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
}


def build_routes(issuer: str, paths: Mapping[str, str]) -> dict[str, str]:
    """Return the endpoint behind every path; *paths* are those of the endpoints, relative to the issuer."""
    base = urlsplit(issuer).path.rstrip("/")
    # OpenID Connect Discovery 4 appends, RFC 8414 3.1 inserts; both are served for both.
    routes = {f"{base}/.well-known/{name}": endpoint for endpoint, name in _WELL_KNOWN.items()}
    routes |= {f"/.well-known/{name}{base}": endpoint for endpoint, name in _WELL_KNOWN.items()}
    return routes | {base + path: endpoint for endpoint, path in paths.items()}


def build_configuration(
    issuer: str, url: Callable[[str], str], algorithms: Sequence[SignatureAlgorithm], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the metadata (OpenID Connect Discovery 3, RFC 8414 2); a change to None takes a member out."""
    document = {
        "issuer": issuer,
        **{member: url(endpoint) for member, endpoint in _METADATA_URLS.items()},
        **_METADATA,
        "id_token_signing_alg_values_supported": list(algorithms),
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def check_endpoint(name: str, known: Sequence[str]) -> None:
    """Check that an endpoint is one of those known.

    Raises:
        ConfigurationException: It is not.
    """
    if name not in known:
        told = f"There is no endpoint {printable(name, 40)!r}"
        raise ConfigurationException(told, code="endpoint_unknown", expected=list(known))


def document_reply(request: Request, endpoint: str, document: Mapping[str, Any], cache_control: str | None) -> Reply:
    """Return a document as a reply to whoever asks for it with GET or HEAD."""
    if request.method not in ("GET", "HEAD"):
        return Reply(405, (("allow", "GET, HEAD"),))
    kind = "application/jwk-set+json" if endpoint == "jwks" else "application/json"
    caching = (("cache-control", cache_control),) if cache_control else ()
    return Reply(200, (("content-type", kind), *caching), json.dumps(document).encode())


def conditional(request: Request, reply: Reply) -> Reply:
    """Give a good reply its validator, and say 304 to a client that has the same already (RFC 9110 13.1.2)."""
    if reply.status != 200:
        return reply
    etag = f'"{hashlib.sha256(reply.body).hexdigest()[:32]}"'
    headers = (*reply.headers, ("etag", etag))
    asked = next((value for name, value in request.headers if name.lower() == "if-none-match"), "")
    if etag in (each.removeprefix("W/") for each in members(asked)):
        return replace(reply, status=304, headers=headers, body=b"")
    return replace(reply, headers=headers)


__all__ = [
    "DOCUMENTS",
    "ELSEWHERE",
    "EVERYWHERE",
    "NOWHERE",
    "build_configuration",
    "build_routes",
    "check_endpoint",
    "conditional",
    "document_reply",
]
