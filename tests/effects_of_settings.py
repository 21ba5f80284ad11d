"""For settings, configurations, kinds of token and documents: what becomes of each value, and of another one."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import py_identity_model as p
import py_identity_model.settings as process
from effects import Case, When
from effects_of_functions import ISSUER, KEY, NOW, URL
from effects_of_objects import GOOD, JSON, KEYS, OTHER, Site, judged, stores, token
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._http_client import seconds_of
from py_identity_model._mtls import check_spiffe_id
from py_identity_model.sync import _driver, _validation

# ---- settings of the process


class Provider(Site):
    """A provider that can be away, and answers every request with its documents otherwise."""

    away = False

    def __call__(self, request: Any) -> Reply:
        reply = super().__call__(request)
        if request.url.endswith("/jwks"):
            reply = replace(reply, body=json.dumps(KEYS).encode())
        return Reply(503, JSON, b"{}", request.url) if self.away else reply


def verdict(site: Provider, *tokens: str, issuer: str = ISSUER) -> list[str]:
    """Return how tokens are judged, and how many requests it took."""
    config = p.TokenValidationConfig(True, audience="api")
    found = []
    for each in tokens:
        try:
            found.append(p.validate_token(each, config, issuer, site)["sub"])
        except p.PyIdentityModelException as error:
            found.append(error.code)
    return [*found, str(len(site.requests))]


def scenes(site: Provider) -> Iterator[Any]:
    """Live through what settings are made for."""
    clock: Any = _driver.read_clock
    yield verdict(site, token(), token())
    clock.advance(100.0)
    yield verdict(site, token(exp=NOW + 9000))
    other = Provider(issuer=OTHER, jwks_uri=f"{OTHER}/jwks")
    yield verdict(other, token(iss=OTHER), issuer=OTHER), verdict(site, token())
    strangers = [token(key=p.SigningKey.generate("ES256", kid=f"new{n}")) for n in range(4)]
    yield verdict(site, *strangers)
    site.away = True
    clock.advance(3700.0)
    before = clock.wall
    yield verdict(site, token(exp=NOW + 9000)), clock.wall > before


def lived(door: Any, settings: Any) -> Any:
    """Use settings: make them those of the process, and live."""
    with patch.object(process, "_current", settings):
        _validation.default_stores.cache_clear()
        try:
            return seconds_of(None), repr(p.TokenValidator(ISSUER, "api")), list(scenes(Provider()))
        except p.ConfigurationException as error:  # the engine is not installed
            return error


# ---- configurations

VALUES = {"client.discovery_url": ISSUER, "client.id": "app"}
VARIABLES = {
    "OIDC_DISCOVERY_URL": ISSUER,
    "OIDC_CLIENT_ID": "app",
    "APP_DISCOVERY_URL": OTHER,
    "APP_CLIENT_ID": "other",
}


class Within:
    """An object whose methods are called with those variables in the environment."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.made, name)

        @functools.wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            with patch.dict(os.environ, VARIABLES):
                return function(*args, **named)

        return call


def resolved(door: Any, source: Any) -> Any:
    """Use a source: what it has, and what faults call it."""
    return Within(source).resolve(list(VALUES)), faults(source)


def faults(source: Any) -> Any:
    """Return what is said of a source that fails."""

    def fail(keys: Any) -> Any:
        raise OSError

    source.resolve = fail
    try:
        return p.Config.build(sources=[source], env=False)
    except p.ConfigError as error:
        return error


# ---- kinds of token

SAID = {
    "plain": token("jwt"),
    "typed": token("own+jwt"),
    "without exp": token("jwt", exp=None),
    "with a mark": token("jwt", nonce="n"),
    "of another party": sign_compact(GOOD | {"typ": "Refresh"}, KEY),
    "without a subject": token("jwt", sub=None, scope=None),
    "without a party, with a code": token("jwt", sub=None, code="c"),
    "about itself": token("jwt", sub=ISSUER),
    "with a long subject": token("jwt", sub="a" * 300),
}


def believed(door: Any, kind: Any) -> Any:
    """Use a kind: how tokens are judged that may be of it."""
    validator = p.TokenValidator(ISSUER, "api", kind=kind, http_client=Site(), stores=stores())
    return judged(*SAID.values())(door, validator), kind.words("typ")


ENVIRONMENT = Within(p.EnvSource())
NAMES = frozenset
RESOURCE = {"resource": "https://api.example.com"}
PAGE = "https://api.example.com/page"
MEMBERS: dict[str, Any] = {
    "resource": "https://other.example.com",
    "authorization_servers": (ISSUER,),
    "jwks_uri": f"{ISSUER}/jwks",
    "scopes_supported": ("read",),
    "bearer_methods_supported": ("header",),
    "resource_signing_alg_values_supported": ("ES256",),
    "resource_name": "An API",
    "resource_documentation": PAGE,
    "resource_policy_uri": PAGE,
    "resource_tos_uri": PAGE,
    "tls_client_certificate_bound_access_tokens": True,
    "authorization_details_types_supported": ("payment",),
    "dpop_signing_alg_values_supported": ("ES256",),
    "dpop_bound_access_tokens_required": True,
    "signed_metadata": token(),
    "extra": {"resource_name#de": "Eine API"},
}
FAULT = p.MemberFault.of(p.DiscoveryException("no", code="metadata_invalid", claim="jwks_uri"))


def served(door: Any, metadata: Any) -> Any:
    """Use metadata of a resource: serve it, and read a member that may be at fault."""
    try:
        read = metadata.jwks_uri
    except p.DiscoveryException as error:
        read = error
    return p.serve_resource_metadata(metadata), read


REGISTERED = p.ClientRegistrationResponse(
    True,
    client_id="app",
    registration_client_uri=f"{ISSUER}/register/app",
    registration_access_token="t",
    metadata={"redirect_uris": [URL], "client_name": "App"},
)
CERTIFIED = {"certificate": "one.pem", "private_key": "one.key"}


def handed(door: Any, certificate: Any) -> Any:
    """Use a client certificate: judge it as the driver does, load it as the transport does."""
    check_spiffe_id(certificate)
    return p.fapi_tls_context(
        True, certificate=certificate.certificate, private_key=certificate.private_key, password=certificate.password
    ).check_hostname


SETTINGS: dict[str, Case] = {
    "Settings": Case(
        {},
        {
            "http_timeout": 5.0,
            "engine": When("native", {"engine": "pure"}),
            "http_retry_max_attempts": 0,
            "http_retry_base_delay": 0.0,
            "disco_cache_ttl": 60.0,
            "jwks_cache_ttl": 60.0,
            "jwks_cache_max_entries": 1,
            "disco_cache_max_entries": 1,
            "kid_miss_refresh_cooldown": 0.0,
            "max_stale": 0.0,
            "max_jwks_size": 10,
            "max_jwks_keys": 1,
        },
        lived,
    ),
    "Settings.from_environment": Case(
        {"environment": {}}, {"environment": {"HTTP_TIMEOUT": "5"}}, of=lambda door: p.Settings
    ),
    "Config.build": Case(
        {"sources": [p.MappingSource({"client.scope": "openid"})]},
        {
            "sources": [p.MappingSource({"client.scope": "email"})],
            "overrides": {"client.scope": "openid phone"},
            "env": False,
            "group": When("client", {"env": False, "sources": []}),
            "client_auth_method": When(p.ClientAuthMethod.CLIENT_SECRET_BASIC, {"group": "client"}),
        },
        of=lambda door: Within(p.Config),
    ),
    "Config.from_env": Case(
        {},
        {
            "prefix": "APP_",
            "group": When("client", {"prefix": "NO_"}),
            "client_auth_method": When(p.ClientAuthMethod.CLIENT_SECRET_BASIC, {"group": "client"}),
        },
        of=lambda door: Within(p.Config),
    ),
    "EnvSource": Case({}, {"prefix": "APP_", "name": "other"}, resolved),
    "EnvSource.resolve": Case({"keys": ["http.timeout"]}, {"keys": ["client.id"]}, of=lambda door: ENVIRONMENT),
    "MappingSource": Case({"values": VALUES}, {"values": {}, "name": "other"}, resolved),
    "MappingSource.resolve": Case(
        {"keys": ["client.id"]}, {"keys": ["client.scope"]}, of=lambda door: p.MappingSource(VALUES)
    ),
    "Kind": Case(
        {"name": "own", "types": NAMES({"", "jwt"})},
        {
            "name": "other",
            "types": NAMES({"own+jwt"}),
            "required": NAMES({"more"}),
            "forbidden": NAMES({"nonce"}),
            "expires": False,
            "one_of": NAMES({"sub"}),
            "foreign": NAMES({"a refresh token"}),
            "bare": False,
            "about_itself": True,
            "short_subject": True,
        },
        believed,
    ),
    "Kind.words": Case({"claim": "typ"}, {"claim": "token_use"}, of=lambda door: p.Kind("own", NAMES({"jwt"}))),
    "ProtectedResourceMetadata": Case(RESOURCE, MEMBERS | {"faults": {"jwks_uri": FAULT}}, served),
    "MemberFault.of": Case(
        {"error": p.DiscoveryException("no", code="metadata_invalid")},
        {"error": p.DiscoveryException("no", code="other")},
        of=lambda door: p.MemberFault,
    ),
    "ClientUpdateRequest.from_registration": Case(
        {"registered": REGISTERED},
        {
            "registered": p.ClientRegistrationResponse(True, client_id="other", metadata={}),
            "changes": {"client_name": "Other"},
        },
        of=lambda door: p.ClientUpdateRequest,
    ),
    "ClientCertificate": Case(
        CERTIFIED,
        {
            "certificate": "other.pem",
            "private_key": "other.key",
            "password": When("pw", CERTIFIED | {"private_key": "encrypted.key"}),
            "spiffe_id": "spiffe://example.org/orders",
        },
        handed,
    ),
    "ClaimsPrincipal.add_identity": Case(
        {"identity": p.ClaimsIdentity([p.Claim("name", "Ada")])},
        {"identity": p.ClaimsIdentity([p.Claim("name", "Eve")])},
        of=lambda door: p.ClaimsPrincipal(),
        left=lambda principal: principal.find_all("name"),
    ),
}
