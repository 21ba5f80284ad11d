"""OpenID Connect and OAuth 2 for Python: token validation at the speed of the cryptography, sync and async."""

# Written by tools/exports.py.

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache_views import (
        CacheCounters,
    )
    from .core.cache import (
        CacheInfo,
    )
    from .core.claims_validators import (
        ClaimsValidator,
        combine_claims_validators,
        require_claim_value,
        require_claims,
        require_scopes,
    )
    from .core.discovery_logic import (
        parse_discovery_url,
    )
    from .core.id_token import (
        check_refreshed_id_token,
    )
    from .core.issuers import (
        IssuerTemplate,
        TrustedIssuer,
    )
    from .core.jose import (
        jwk_thumbprint,
    )
    from .core.jwk import (
        JsonWebAlgorithmsKeyTypes,
        JsonWebKey,
        JsonWebKeyParameterNames,
        jwks_from_dict,
    )
    from .core.jwks import (
        JwksRequest,
        JwksResponse,
    )
    from .core.key_sources import (
        IssuerHealth,
    )
    from .core.metadata import (
        DiscoveryDocumentRequest,
        DiscoveryDocumentResponse,
        DiscoveryEndpoint,
        DiscoveryErrorKind,
        DiscoveryPolicy,
    )
    from .core.response import (
        BaseRequest,
        BaseResponse,
    )
    from .core.secret import (
        Secret,
    )
    from .core.signing import (
        SigningKey,
    )
    from .core.validation_config import (
        TokenValidationConfig,
    )
    from .exceptions import (
        AuthorizeCallbackException,
        CertificateBindingError,
        ClaimsValidationError,
        ClientError,
        ConfigurationException,
        DiscoveryException,
        DiscoveryHTTPSRequiredError,
        DiscoveryMissingFieldsError,
        DiscoveryParseError,
        DPoPValidationException,
        FailedResponseAccessError,
        IdTokenValidationException,
        InsufficientScopeException,
        InsufficientUserAuthenticationException,
        InvalidAudienceException,
        InvalidIssuerException,
        InvalidRequestException,
        JarmValidationException,
        JwksException,
        LogoutStateValidationException,
        LogoutTokenValidationException,
        MissingCredentialsException,
        NetworkException,
        PyIdentityModelException,
        SignatureVerificationException,
        SuccessfulResponseAccessError,
        TokenExpiredException,
        TokenNotYetValidException,
        TokenRequestException,
        TokenValidationException,
        TransportException,
        UnknownKeyException,
        UserInfoException,
        ValidationException,
    )
    from .identity import (
        Claim,
        ClaimsIdentity,
        ClaimsPrincipal,
        ClaimType,
        Identity,
        Principal,
        to_principal,
    )
    from .observability import (
        Event,
        Observer,
        add_observer,
        remove_observer,
    )
    from .settings import (
        Settings,
    )
    from .sync.http_client import (
        HTTPClient,
    )
    from .sync.token_validation import (
        TokenValidator,
        clear_discovery_cache,
        clear_jwks_cache,
        get_cache_counters,
        get_discovery_document,
        get_jwks,
        validate_id_token,
        validate_token,
    )
    from .validator_setup import (
        ValidatorHealth,
    )

_ROOMS = {
    ".cache_views": "CacheCounters",
    ".core.cache": "CacheInfo",
    ".core.claims_validators": (
        "ClaimsValidator combine_claims_validators require_claim_value require_claims require_scopes"
    ),
    ".core.discovery_logic": "parse_discovery_url",
    ".core.id_token": "check_refreshed_id_token",
    ".core.issuers": "IssuerTemplate TrustedIssuer",
    ".core.jose": "jwk_thumbprint",
    ".core.jwk": "JsonWebAlgorithmsKeyTypes JsonWebKey JsonWebKeyParameterNames jwks_from_dict",
    ".core.jwks": "JwksRequest JwksResponse",
    ".core.key_sources": "IssuerHealth",
    ".core.metadata": (
        "DiscoveryDocumentRequest DiscoveryDocumentResponse DiscoveryEndpoint DiscoveryErrorKind DiscoveryPolicy"
    ),
    ".core.response": "BaseRequest BaseResponse",
    ".core.secret": "Secret",
    ".core.signing": "SigningKey",
    ".core.validation_config": "TokenValidationConfig",
    ".exceptions": (
        "AuthorizeCallbackException CertificateBindingError ClaimsValidationError ClientError ConfigurationException "
        "DPoPValidationException DiscoveryException DiscoveryHTTPSRequiredError DiscoveryMissingFieldsError "
        "DiscoveryParseError FailedResponseAccessError IdTokenValidationException InsufficientScopeException "
        "InsufficientUserAuthenticationException InvalidAudienceException InvalidIssuerException "
        "InvalidRequestException JarmValidationException JwksException LogoutStateValidationException "
        "LogoutTokenValidationException MissingCredentialsException NetworkException PyIdentityModelException "
        "SignatureVerificationException SuccessfulResponseAccessError TokenExpiredException "
        "TokenNotYetValidException TokenRequestException TokenValidationException TransportException "
        "UnknownKeyException UserInfoException ValidationException"
    ),
    ".identity": "Claim ClaimType ClaimsIdentity ClaimsPrincipal Identity Principal to_principal",
    ".observability": "Event Observer add_observer remove_observer",
    ".settings": "Settings",
    ".sync.http_client": "HTTPClient",
    ".sync.token_validation": (
        "TokenValidator clear_discovery_cache clear_jwks_cache get_cache_counters get_discovery_document get_jwks "
        "validate_id_token validate_token"
    ),
    ".validator_setup": "ValidatorHealth",
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "AuthorizeCallbackException",
    "BaseRequest",
    "BaseResponse",
    "CacheCounters",
    "CacheInfo",
    "CertificateBindingError",
    "Claim",
    "ClaimType",
    "ClaimsIdentity",
    "ClaimsPrincipal",
    "ClaimsValidationError",
    "ClaimsValidator",
    "ClientError",
    "ConfigurationException",
    "DPoPValidationException",
    "DiscoveryDocumentRequest",
    "DiscoveryDocumentResponse",
    "DiscoveryEndpoint",
    "DiscoveryErrorKind",
    "DiscoveryException",
    "DiscoveryHTTPSRequiredError",
    "DiscoveryMissingFieldsError",
    "DiscoveryParseError",
    "DiscoveryPolicy",
    "Event",
    "FailedResponseAccessError",
    "HTTPClient",
    "IdTokenValidationException",
    "Identity",
    "InsufficientScopeException",
    "InsufficientUserAuthenticationException",
    "InvalidAudienceException",
    "InvalidIssuerException",
    "InvalidRequestException",
    "IssuerHealth",
    "IssuerTemplate",
    "JarmValidationException",
    "JsonWebAlgorithmsKeyTypes",
    "JsonWebKey",
    "JsonWebKeyParameterNames",
    "JwksException",
    "JwksRequest",
    "JwksResponse",
    "LogoutStateValidationException",
    "LogoutTokenValidationException",
    "MissingCredentialsException",
    "NetworkException",
    "Observer",
    "Principal",
    "PyIdentityModelException",
    "Secret",
    "Settings",
    "SignatureVerificationException",
    "SigningKey",
    "SuccessfulResponseAccessError",
    "TokenExpiredException",
    "TokenNotYetValidException",
    "TokenRequestException",
    "TokenValidationConfig",
    "TokenValidationException",
    "TokenValidator",
    "TransportException",
    "TrustedIssuer",
    "UnknownKeyException",
    "UserInfoException",
    "ValidationException",
    "ValidatorHealth",
    "add_observer",
    "check_refreshed_id_token",
    "clear_discovery_cache",
    "clear_jwks_cache",
    "combine_claims_validators",
    "get_cache_counters",
    "get_discovery_document",
    "get_jwks",
    "jwk_thumbprint",
    "jwks_from_dict",
    "parse_discovery_url",
    "remove_observer",
    "require_claim_value",
    "require_claims",
    "require_scopes",
    "to_principal",
    "validate_id_token",
    "validate_token",
]


def __getattr__(name: str) -> Any:
    room = _HOMES.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(room, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
