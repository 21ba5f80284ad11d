"""What drf-spectacular writes into OpenAPI documents: the way to get a token, and the scopes of each operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._django_gate import demanded_by
from ._django_settings import door
from ._packages import framework_missing

try:
    from drf_spectacular.extensions import OpenApiAuthenticationExtension
except ImportError:
    raise framework_missing("drf-spectacular", "drf-spectacular") from None

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

#: The scheme in OpenAPI documents.
NAME = "access_token"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # not all of it has types
    """The security scheme of ``TokenAuthentication``."""

    target_class = "py_identity_model.integrations.django_rest.TokenAuthentication"
    name = NAME
    match_subclasses = True

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:  # as drf-spectacular says
        """Return the authorization code flow, where the provider's metadata can be had; else where that is."""
        api = door().api
        endpoints = api.login_endpoints()
        if endpoints is None:
            return {"type": "openIdConnect", "openIdConnectUrl": api.discovery_url() or ""}
        flow = {
            "authorizationUrl": endpoints.authorization_endpoint,
            "tokenUrl": endpoints.token_endpoint,
            "scopes": dict.fromkeys(endpoints.scopes, ""),
        }
        return {"type": "oauth2", "flows": {"authorizationCode": flow}}

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        """Return the scopes that an operation demands."""
        wanted = demanded_by(auto_schema.view)
        return {NAME: [] if wanted is None else list(wanted.scopes)}


__all__ = ["TokenScheme"]
