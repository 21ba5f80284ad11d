"""Every public name that is the same in both APIs, and where each is; the doors load what is used."""

# Written by tools/exports.py.

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cache_views import CacheCounters
    from .core.assertions import JwtBearerAssertion
    from .core.authorization import (
        AuthorizationRequest,
        build_authorization_url,
        generate_code_challenge,
        generate_code_verifier,
        generate_pkce_pair,
    )
    from .core.backchannel_logout import BackChannelLogout, LogoutTokenPolicy, build_logout_answer
    from .core.cache import CacheInfo
    from .core.callback import (
        AuthorizeCallbackResponse,
        AuthorizeCallbackValidationResult,
        StateValidationResult,
        parse_authorize_callback_response,
        validate_authorize_callback_issuer,
        validate_authorize_callback_state,
    )
    from .core.challenges import Challenge, ChallengePolicy, Refusal, build_challenge, build_refusal, parse_challenges
    from .core.ciba import (
        BackchannelAuthenticationRequest,
        BackchannelAuthenticationResponse,
        CibaNotification,
        CibaTokenRequest,
        CibaTokenResponse,
        generate_client_notification_token,
        parse_ciba_notification,
        validate_ciba_push,
    )
    from .core.claim_sources import ClaimsProvider, ExternalClaimsResponse
    from .core.claims_validators import (
        ClaimsValidator,
        combine_claims_validators,
        require_claim_value,
        require_claims,
        require_scopes,
    )
    from .core.client_auth import ClientAttestation, ClientAuthMethod, MtlsClientAuth, PrivateKeyJwt
    from .core.client_metadata import (
        ClientMetadataDocumentRequest,
        ClientMetadataDocumentResponse,
        build_client_metadata_document,
        serve_client_metadata_document,
        validate_client_id_url,
    )
    from .core.device import (
        DeviceAuthorizationRequest,
        DeviceAuthorizationResponse,
        DeviceTokenRequest,
        DeviceTokenResponse,
    )
    from .core.discovery_logic import parse_discovery_url
    from .core.dpop_server import DPoPNonces, DPoPProof, DPoPValidator, normalize_htu
    from .core.fapi import (
        FAPI2_ALLOWED_AUTH_METHODS,
        FAPI2_ALLOWED_SIGNING_ALGORITHMS,
        FAPI2_REQUIRED_PKCE_METHOD,
        FAPI2_REQUIRED_RESPONSE_TYPE,
        Fapi2LoginClient,
        Fapi2Profile,
        FAPIValidationResult,
        validate_fapi_authorization_request,
        validate_fapi_client_config,
        validate_fapi_discovery,
    )
    from .core.grants import (
        AuthorizationCodeTokenRequest,
        AuthorizationCodeTokenResponse,
        ClientCredentialsTokenRequest,
        ClientCredentialsTokenResponse,
        ExtensionGrantTokenRequest,
        ExtensionGrantTokenResponse,
        JwtBearerTokenRequest,
        JwtBearerTokenResponse,
        RefreshTokenRequest,
        RefreshTokenResponse,
    )
    from .core.id_token import check_refreshed_id_token
    from .core.inbound import InboundRequest, ProxyPolicy
    from .core.introspection import TokenIntrospectionRequest, TokenIntrospectionResponse
    from .core.issuers import IssuerTemplate, TrustedIssuer
    from .core.jarm import extract_jarm_response_jwt, is_jarm_response
    from .core.jose import jwk_thumbprint
    from .core.jwe import Decryption, Encryption
    from .core.jwk import JsonWebAlgorithmsKeyTypes, JsonWebKey, JsonWebKeyParameterNames, jwks_from_dict
    from .core.jwks import JwksRequest, JwksResponse
    from .core.key_sources import IssuerHealth
    from .core.login import LoginClient, LoginRequest, LoginStart
    from .core.login_completion import LoginResponse
    from .core.login_transaction import LoginStore, LoginTransaction, MemoryLoginStore
    from .core.logout import (
        EndSessionForm,
        FrontChannelLogout,
        LogoutAnswer,
        SessionCheck,
        SessionVerdict,
        build_end_session_form,
        build_end_session_url,
        build_front_channel_answer,
        build_session_check,
        compute_session_state,
        parse_front_channel_logout,
        validate_front_channel_logout,
        validate_post_logout_state,
    )
    from .core.metadata import (
        DiscoveryDocumentRequest,
        DiscoveryDocumentResponse,
        DiscoveryEndpoint,
        DiscoveryErrorKind,
        DiscoveryPolicy,
    )
    from .core.mtls import client_certificate
    from .core.par import PushedAuthorizationRequest, PushedAuthorizationResponse, build_par_authorization_url
    from .core.protected_resource import (
        AuthenticationRequirement,
        PresentedToken,
        check_authentication,
        check_scopes,
        is_client_token,
        parse_step_up,
        read_token,
    )
    from .core.registration import (
        ClientDeleteRequest,
        ClientDeleteResponse,
        ClientReadRequest,
        ClientRegistrationRequest,
        ClientRegistrationResponse,
        ClientUpdateRequest,
        registration_changes,
    )
    from .core.replay import MemoryReplayStore, ReplayStore
    from .core.resource_metadata import (
        ProtectedResourceMetadata,
        ProtectedResourceMetadataRequest,
        ProtectedResourceMetadataResponse,
        ServedMetadata,
        choose_authorization_server,
        resource_metadata_url,
        serve_resource_metadata,
    )
    from .core.response import BaseRequest, BaseResponse
    from .core.revocation import TokenRevocationRequest, TokenRevocationResponse
    from .core.secret import Secret
    from .core.signed_response import SignedResponsePolicy
    from .core.signing import SigningKey
    from .core.third_party_login import ThirdPartyLogin, parse_initiate_login
    from .core.token_cache import TokenCacheInfo
    from .core.token_exchange import ExchangeTokenType, TokenExchangeRequest, TokenExchangeResponse
    from .core.token_response import TokenResponse
    from .core.userinfo import UserInfoRequest, UserInfoResponse
    from .core.validation_config import TokenValidationConfig
    from .core.webfinger import WebFingerRequest, WebFingerResponse, WebFingerTarget, normalize_identifier
    from .dpop import (
        DPoPKey,
        DPoPKeyring,
        NonceStore,
        build_dpop_headers,
        compute_ath,
        create_dpop_proof,
        extract_dpop_nonce,
        generate_dpop_key,
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
    from .fapi import fapi_tls_context
    from .identity import Claim, ClaimsIdentity, ClaimsPrincipal, ClaimType, Identity, Principal, to_principal
    from .jar import RequestSigning, build_jar_authorization_url, build_request_uri_url, create_request_object
    from .mtls import (
        certificate_thumbprint_from_file,
        compute_certificate_thumbprint,
        resolve_mtls_endpoint,
        validate_certificate_binding,
    )
    from .observability import Event, Observer, add_observer, remove_observer
    from .settings import Settings
    from .validator_setup import ValidatorHealth

#: Modules of this package, and what is public of each.
ROOMS = {
    "cache_views": "CacheCounters",
    "core.assertions": "JwtBearerAssertion",
    "core.authorization": (
        "AuthorizationRequest build_authorization_url generate_code_challenge generate_code_verifier generate_pkce_pair"
    ),
    "core.backchannel_logout": "BackChannelLogout LogoutTokenPolicy build_logout_answer",
    "core.cache": "CacheInfo",
    "core.callback": (
        "AuthorizeCallbackResponse AuthorizeCallbackValidationResult StateValidationResult "
        "parse_authorize_callback_response validate_authorize_callback_issuer validate_authorize_callback_state"
    ),
    "core.challenges": "Challenge ChallengePolicy Refusal build_challenge build_refusal parse_challenges",
    "core.ciba": (
        "BackchannelAuthenticationRequest BackchannelAuthenticationResponse CibaNotification CibaTokenRequest "
        "CibaTokenResponse generate_client_notification_token parse_ciba_notification validate_ciba_push"
    ),
    "core.claim_sources": "ClaimsProvider ExternalClaimsResponse",
    "core.claims_validators": (
        "ClaimsValidator combine_claims_validators require_claim_value require_claims require_scopes"
    ),
    "core.client_auth": "ClientAttestation ClientAuthMethod MtlsClientAuth PrivateKeyJwt",
    "core.client_metadata": (
        "ClientMetadataDocumentRequest ClientMetadataDocumentResponse build_client_metadata_document "
        "serve_client_metadata_document validate_client_id_url"
    ),
    "core.device": "DeviceAuthorizationRequest DeviceAuthorizationResponse DeviceTokenRequest DeviceTokenResponse",
    "core.discovery_logic": "parse_discovery_url",
    "core.dpop_server": "DPoPNonces DPoPProof DPoPValidator normalize_htu",
    "core.fapi": (
        "FAPI2_ALLOWED_AUTH_METHODS FAPI2_ALLOWED_SIGNING_ALGORITHMS FAPI2_REQUIRED_PKCE_METHOD "
        "FAPI2_REQUIRED_RESPONSE_TYPE FAPIValidationResult Fapi2LoginClient Fapi2Profile "
        "validate_fapi_authorization_request validate_fapi_client_config validate_fapi_discovery"
    ),
    "core.grants": (
        "AuthorizationCodeTokenRequest AuthorizationCodeTokenResponse ClientCredentialsTokenRequest "
        "ClientCredentialsTokenResponse ExtensionGrantTokenRequest ExtensionGrantTokenResponse JwtBearerTokenRequest "
        "JwtBearerTokenResponse RefreshTokenRequest RefreshTokenResponse"
    ),
    "core.id_token": "check_refreshed_id_token",
    "core.inbound": "InboundRequest ProxyPolicy",
    "core.introspection": "TokenIntrospectionRequest TokenIntrospectionResponse",
    "core.issuers": "IssuerTemplate TrustedIssuer",
    "core.jarm": "extract_jarm_response_jwt is_jarm_response",
    "core.jose": "jwk_thumbprint",
    "core.jwe": "Decryption Encryption",
    "core.jwk": "JsonWebAlgorithmsKeyTypes JsonWebKey JsonWebKeyParameterNames jwks_from_dict",
    "core.jwks": "JwksRequest JwksResponse",
    "core.key_sources": "IssuerHealth",
    "core.login": "LoginClient LoginRequest LoginStart",
    "core.login_completion": "LoginResponse",
    "core.login_transaction": "LoginStore LoginTransaction MemoryLoginStore",
    "core.logout": (
        "EndSessionForm FrontChannelLogout LogoutAnswer SessionCheck SessionVerdict build_end_session_form "
        "build_end_session_url build_front_channel_answer build_session_check compute_session_state "
        "parse_front_channel_logout validate_front_channel_logout validate_post_logout_state"
    ),
    "core.metadata": (
        "DiscoveryDocumentRequest DiscoveryDocumentResponse DiscoveryEndpoint DiscoveryErrorKind DiscoveryPolicy"
    ),
    "core.mtls": "client_certificate",
    "core.par": "PushedAuthorizationRequest PushedAuthorizationResponse build_par_authorization_url",
    "core.protected_resource": (
        "AuthenticationRequirement PresentedToken check_authentication check_scopes is_client_token parse_step_up "
        "read_token"
    ),
    "core.registration": (
        "ClientDeleteRequest ClientDeleteResponse ClientReadRequest ClientRegistrationRequest "
        "ClientRegistrationResponse ClientUpdateRequest registration_changes"
    ),
    "core.replay": "MemoryReplayStore ReplayStore",
    "core.resource_metadata": (
        "ProtectedResourceMetadata ProtectedResourceMetadataRequest ProtectedResourceMetadataResponse ServedMetadata "
        "choose_authorization_server resource_metadata_url serve_resource_metadata"
    ),
    "core.response": "BaseRequest BaseResponse",
    "core.revocation": "TokenRevocationRequest TokenRevocationResponse",
    "core.secret": "Secret",
    "core.signed_response": "SignedResponsePolicy",
    "core.signing": "SigningKey",
    "core.third_party_login": "ThirdPartyLogin parse_initiate_login",
    "core.token_cache": "TokenCacheInfo",
    "core.token_exchange": "ExchangeTokenType TokenExchangeRequest TokenExchangeResponse",
    "core.token_response": "TokenResponse",
    "core.userinfo": "UserInfoRequest UserInfoResponse",
    "core.validation_config": "TokenValidationConfig",
    "core.webfinger": "WebFingerRequest WebFingerResponse WebFingerTarget normalize_identifier",
    "dpop": (
        "DPoPKey DPoPKeyring NonceStore build_dpop_headers compute_ath create_dpop_proof extract_dpop_nonce "
        "generate_dpop_key"
    ),
    "exceptions": (
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
    "fapi": "fapi_tls_context",
    "identity": "Claim ClaimType ClaimsIdentity ClaimsPrincipal Identity Principal to_principal",
    "jar": "RequestSigning build_jar_authorization_url build_request_uri_url create_request_object",
    "mtls": (
        "certificate_thumbprint_from_file compute_certificate_thumbprint resolve_mtls_endpoint "
        "validate_certificate_binding"
    ),
    "observability": "Event Observer add_observer remove_observer",
    "settings": "Settings",
    "validator_setup": "ValidatorHealth",
}

# fmt: off
__all__ = [
    "FAPI2_ALLOWED_AUTH_METHODS", "FAPI2_ALLOWED_SIGNING_ALGORITHMS", "FAPI2_REQUIRED_PKCE_METHOD",
    "FAPI2_REQUIRED_RESPONSE_TYPE", "AuthenticationRequirement", "AuthorizationCodeTokenRequest",
    "AuthorizationCodeTokenResponse", "AuthorizationRequest", "AuthorizeCallbackException",
    "AuthorizeCallbackResponse", "AuthorizeCallbackValidationResult", "BackChannelLogout",
    "BackchannelAuthenticationRequest", "BackchannelAuthenticationResponse", "BaseRequest", "BaseResponse",
    "CacheCounters", "CacheInfo", "CertificateBindingError", "Challenge", "ChallengePolicy", "CibaNotification",
    "CibaTokenRequest", "CibaTokenResponse", "Claim", "ClaimType", "ClaimsIdentity", "ClaimsPrincipal",
    "ClaimsProvider", "ClaimsValidationError", "ClaimsValidator", "ClientAttestation", "ClientAuthMethod",
    "ClientCredentialsTokenRequest", "ClientCredentialsTokenResponse", "ClientDeleteRequest", "ClientDeleteResponse",
    "ClientError", "ClientMetadataDocumentRequest", "ClientMetadataDocumentResponse", "ClientReadRequest",
    "ClientRegistrationRequest", "ClientRegistrationResponse", "ClientUpdateRequest", "ConfigurationException",
    "DPoPKey", "DPoPKeyring", "DPoPNonces", "DPoPProof", "DPoPValidationException", "DPoPValidator", "Decryption",
    "DeviceAuthorizationRequest", "DeviceAuthorizationResponse", "DeviceTokenRequest", "DeviceTokenResponse",
    "DiscoveryDocumentRequest", "DiscoveryDocumentResponse", "DiscoveryEndpoint", "DiscoveryErrorKind",
    "DiscoveryException", "DiscoveryHTTPSRequiredError", "DiscoveryMissingFieldsError", "DiscoveryParseError",
    "DiscoveryPolicy", "Encryption", "EndSessionForm", "Event", "ExchangeTokenType", "ExtensionGrantTokenRequest",
    "ExtensionGrantTokenResponse", "ExternalClaimsResponse", "FAPIValidationResult", "FailedResponseAccessError",
    "Fapi2LoginClient", "Fapi2Profile", "FrontChannelLogout", "IdTokenValidationException", "Identity",
    "InboundRequest", "InsufficientScopeException", "InsufficientUserAuthenticationException",
    "InvalidAudienceException", "InvalidIssuerException", "InvalidRequestException", "IssuerHealth", "IssuerTemplate",
    "JarmValidationException", "JsonWebAlgorithmsKeyTypes", "JsonWebKey", "JsonWebKeyParameterNames", "JwksException",
    "JwksRequest", "JwksResponse", "JwtBearerAssertion", "JwtBearerTokenRequest", "JwtBearerTokenResponse",
    "LoginClient", "LoginRequest", "LoginResponse", "LoginStart", "LoginStore", "LoginTransaction", "LogoutAnswer",
    "LogoutStateValidationException", "LogoutTokenPolicy", "LogoutTokenValidationException", "MemoryLoginStore",
    "MemoryReplayStore", "MissingCredentialsException", "MtlsClientAuth", "NetworkException", "NonceStore", "Observer",
    "PresentedToken", "Principal", "PrivateKeyJwt", "ProtectedResourceMetadata", "ProtectedResourceMetadataRequest",
    "ProtectedResourceMetadataResponse", "ProxyPolicy", "PushedAuthorizationRequest", "PushedAuthorizationResponse",
    "PyIdentityModelException", "RefreshTokenRequest", "RefreshTokenResponse", "Refusal", "ReplayStore",
    "RequestSigning", "Secret", "ServedMetadata", "SessionCheck", "SessionVerdict", "Settings",
    "SignatureVerificationException", "SignedResponsePolicy", "SigningKey", "StateValidationResult",
    "SuccessfulResponseAccessError", "ThirdPartyLogin", "TokenCacheInfo", "TokenExchangeRequest",
    "TokenExchangeResponse", "TokenExpiredException", "TokenIntrospectionRequest", "TokenIntrospectionResponse",
    "TokenNotYetValidException", "TokenRequestException", "TokenResponse", "TokenRevocationRequest",
    "TokenRevocationResponse", "TokenValidationConfig", "TokenValidationException", "TransportException",
    "TrustedIssuer", "UnknownKeyException", "UserInfoException", "UserInfoRequest", "UserInfoResponse",
    "ValidationException", "ValidatorHealth", "WebFingerRequest", "WebFingerResponse", "WebFingerTarget",
    "add_observer", "build_authorization_url", "build_challenge", "build_client_metadata_document",
    "build_dpop_headers", "build_end_session_form", "build_end_session_url", "build_front_channel_answer",
    "build_jar_authorization_url", "build_logout_answer", "build_par_authorization_url", "build_refusal",
    "build_request_uri_url", "build_session_check", "certificate_thumbprint_from_file", "check_authentication",
    "check_refreshed_id_token", "check_scopes", "choose_authorization_server", "client_certificate",
    "combine_claims_validators", "compute_ath", "compute_certificate_thumbprint", "compute_session_state",
    "create_dpop_proof", "create_request_object", "extract_dpop_nonce", "extract_jarm_response_jwt",
    "fapi_tls_context", "generate_client_notification_token", "generate_code_challenge", "generate_code_verifier",
    "generate_dpop_key", "generate_pkce_pair", "is_client_token", "is_jarm_response", "jwk_thumbprint",
    "jwks_from_dict", "normalize_htu", "normalize_identifier", "parse_authorize_callback_response", "parse_challenges",
    "parse_ciba_notification", "parse_discovery_url", "parse_front_channel_logout", "parse_initiate_login",
    "parse_step_up", "read_token", "registration_changes", "remove_observer", "require_claim_value", "require_claims",
    "require_scopes", "resolve_mtls_endpoint", "resource_metadata_url", "serve_client_metadata_document",
    "serve_resource_metadata", "to_principal", "validate_authorize_callback_issuer",
    "validate_authorize_callback_state", "validate_certificate_binding", "validate_ciba_push",
    "validate_client_id_url", "validate_fapi_authorization_request", "validate_fapi_client_config",
    "validate_fapi_discovery", "validate_front_channel_logout", "validate_post_logout_state"
]
# fmt: on
