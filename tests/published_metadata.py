"""What six providers publish about themselves, members and shapes as they publish them, with made-up tenants."""

from __future__ import annotations

from typing import Any

GOOGLE: dict[str, Any] = {
    "issuer": "https://accounts.google.com",
    "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
    "device_authorization_endpoint": "https://oauth2.googleapis.com/device/code",
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
    "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
    "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
    "response_types_supported": [
        *("code", "token", "id_token", "code token", "code id_token", "token id_token", "code token id_token", "none"),
    ],
    "response_modes_supported": ["query", "fragment", "form_post"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "scopes_supported": ["openid", "email", "profile"],
    "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    "claims_supported": [
        "aud",
        "email",
        "email_verified",
        "exp",
        "family_name",
        "iat",
        "iss",
        "name",
        "picture",
        "sub",
    ],
    "code_challenge_methods_supported": ["plain", "S256"],
    "grant_types_supported": [
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ],
}


def _entra(tenant: str, issuer_tenant: str) -> dict[str, Any]:
    login = f"https://login.microsoftonline.com/{tenant}"
    return {
        "token_endpoint": f"{login}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": f"{login}/discovery/v2.0/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"https://login.microsoftonline.com/{issuer_tenant}/v2.0",
        "request_uri_parameter_supported": False,
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "authorization_endpoint": f"{login}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{login}/oauth2/v2.0/devicecode",
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "end_session_endpoint": f"{login}/oauth2/v2.0/logout",
        "claims_supported": ["sub", "iss", "cloud_instance_name", "aud", "exp", "iat", "nonce", "tid", "ver", "email"],
        "kerberos_endpoint": f"{login}/kerberos",
        "mtls_endpoint_aliases": {"token_endpoint": f"https://mtlsauth.microsoft.com/{tenant}/oauth2/v2.0/token"},
        "tls_client_certificate_bound_access_tokens": True,
        "tenant_region_scope": None if tenant == "common" else "EU",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    }


ENTRA_TENANT = _entra("0f9aa7f3-7a0b-4f4c-9d29-6a3f4a5e1c11", "0f9aa7f3-7a0b-4f4c-9d29-6a3f4a5e1c11")
ENTRA_COMMON = _entra("common", "{tenantid}")

_COGNITO = "https://example.auth.eu-west-1.amazoncognito.com"
COGNITO: dict[str, Any] = {
    "authorization_endpoint": f"{_COGNITO}/oauth2/authorize",
    "end_session_endpoint": f"{_COGNITO}/logout",
    "id_token_signing_alg_values_supported": ["RS256"],
    "issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123",
    "jwks_uri": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123/.well-known/jwks.json",
    "response_types_supported": ["code", "token"],
    "revocation_endpoint": f"{_COGNITO}/oauth2/revoke",
    "scopes_supported": ["openid", "email", "phone", "profile"],
    "subject_types_supported": ["public"],
    "token_endpoint": f"{_COGNITO}/oauth2/token",
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    "userinfo_endpoint": f"{_COGNITO}/oauth2/userInfo",
}

_AUTH0 = "https://example.eu.auth0.com"
AUTH0: dict[str, Any] = {
    "issuer": f"{_AUTH0}/",
    "authorization_endpoint": f"{_AUTH0}/authorize",
    "token_endpoint": f"{_AUTH0}/oauth/token",
    "device_authorization_endpoint": f"{_AUTH0}/oauth/device/code",
    "userinfo_endpoint": f"{_AUTH0}/userinfo",
    "mfa_challenge_endpoint": f"{_AUTH0}/mfa/challenge",
    "jwks_uri": f"{_AUTH0}/.well-known/jwks.json",
    "registration_endpoint": f"{_AUTH0}/oidc/register",
    "revocation_endpoint": f"{_AUTH0}/oauth/revoke",
    "scopes_supported": ["openid", "profile", "offline_access", "name", "email", "address", "phone"],
    "response_types_supported": ["code", "token", "id_token", "code token", "code id_token", "token id_token"],
    "code_challenge_methods_supported": ["S256", "plain"],
    "response_modes_supported": ["query", "fragment", "form_post"],
    "subject_types_supported": ["public"],
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
    "token_endpoint_auth_signing_alg_values_supported": ["RS256", "RS384", "PS256"],
    "claims_supported": ["aud", "auth_time", "created_at", "email", "exp", "iat", "identities", "iss", "name", "sub"],
    "request_uri_parameter_supported": False,
    "request_parameter_supported": True,
    "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
    "end_session_endpoint": f"{_AUTH0}/oidc/logout",
    "backchannel_logout_supported": True,
    "backchannel_logout_session_supported": True,
    "backchannel_authentication_endpoint": f"{_AUTH0}/bc-authorize",
    "backchannel_token_delivery_modes_supported": ["poll"],
    "global_token_revocation_endpoint": f"{_AUTH0}/oauth/global-token-revocation/connection/{{connectionName}}",
    "global_token_revocation_endpoint_auth_methods_supported": ["global-token-revocation+jwt"],
    "dpop_signing_alg_values_supported": ["ES256"],
}

_OKTA = "https://example.okta.com/oauth2/default"
OKTA: dict[str, Any] = {
    "issuer": _OKTA,
    "authorization_endpoint": f"{_OKTA}/v1/authorize",
    "token_endpoint": f"{_OKTA}/v1/token",
    "userinfo_endpoint": f"{_OKTA}/v1/userinfo",
    "registration_endpoint": "https://example.okta.com/oauth2/v1/clients",
    "jwks_uri": f"{_OKTA}/v1/keys",
    "response_types_supported": ["code", "id_token", "code id_token", "code token", "id_token token"],
    "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
    "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "password", "client_credentials"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access", "device_sso"],
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
    "claims_supported": ["iss", "ver", "sub", "aud", "iat", "exp", "jti", "auth_time", "amr", "idp", "nonce"],
    "code_challenge_methods_supported": ["S256"],
    "introspection_endpoint": f"{_OKTA}/v1/introspect",
    "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt", "none"],
    "revocation_endpoint": f"{_OKTA}/v1/revoke",
    "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt", "none"],
    "end_session_endpoint": f"{_OKTA}/v1/logout",
    "request_parameter_supported": True,
    "request_object_signing_alg_values_supported": ["HS256", "RS256", "ES256"],
    "device_authorization_endpoint": f"{_OKTA}/v1/device/authorize",
    "dpop_signing_alg_values_supported": ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"],
}

_REALM = "https://sso.example.com/realms/main"
_CONNECT = f"{_REALM}/protocol/openid-connect"
_ALGS = ["PS384", "RS384", "EdDSA", "ES384", "HS256", "ES256", "RS256", "PS512", "RS512"]
_ENCRYPTION_ALGS = ["ECDH-ES+A256KW", "ECDH-ES", "RSA-OAEP", "RSA-OAEP-256"]
_ENCRYPTION_ENCS = ["A256GCM", "A192GCM", "A128GCM", "A128CBC-HS256", "A256CBC-HS512"]
_AUTH_METHODS = ["private_key_jwt", "client_secret_basic", "client_secret_post", "tls_client_auth", "client_secret_jwt"]
KEYCLOAK: dict[str, Any] = {
    "issuer": _REALM,
    "authorization_endpoint": f"{_CONNECT}/auth",
    "token_endpoint": f"{_CONNECT}/token",
    "introspection_endpoint": f"{_CONNECT}/token/introspect",
    "userinfo_endpoint": f"{_CONNECT}/userinfo",
    "end_session_endpoint": f"{_CONNECT}/logout",
    "frontchannel_logout_session_supported": True,
    "frontchannel_logout_supported": True,
    "jwks_uri": f"{_CONNECT}/certs",
    "check_session_iframe": f"{_CONNECT}/login-status-iframe.html",
    "grant_types_supported": [
        "authorization_code",
        "client_credentials",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:openid:params:grant-type:ciba",
    ],
    "acr_values_supported": ["0", "1"],
    "response_types_supported": ["code", "none", "id_token", "token", "id_token token", "code id_token", "code token"],
    "subject_types_supported": ["public", "pairwise"],
    "prompt_values_supported": ["none", "login", "consent"],
    "id_token_signing_alg_values_supported": _ALGS,
    "id_token_encryption_alg_values_supported": _ENCRYPTION_ALGS,
    "id_token_encryption_enc_values_supported": _ENCRYPTION_ENCS,
    "userinfo_signing_alg_values_supported": [*_ALGS, "none"],
    "userinfo_encryption_alg_values_supported": _ENCRYPTION_ALGS,
    "userinfo_encryption_enc_values_supported": _ENCRYPTION_ENCS,
    "request_object_signing_alg_values_supported": [*_ALGS, "none"],
    "request_object_encryption_alg_values_supported": _ENCRYPTION_ALGS,
    "request_object_encryption_enc_values_supported": _ENCRYPTION_ENCS,
    "response_modes_supported": ["query", "fragment", "form_post", "query.jwt", "fragment.jwt", "form_post.jwt", "jwt"],
    "registration_endpoint": f"{_REALM}/clients-registrations/openid-connect",
    "token_endpoint_auth_methods_supported": _AUTH_METHODS,
    "token_endpoint_auth_signing_alg_values_supported": _ALGS,
    "introspection_endpoint_auth_methods_supported": _AUTH_METHODS,
    "introspection_endpoint_auth_signing_alg_values_supported": _ALGS,
    "authorization_signing_alg_values_supported": _ALGS,
    "authorization_encryption_alg_values_supported": _ENCRYPTION_ALGS,
    "authorization_encryption_enc_values_supported": _ENCRYPTION_ENCS,
    "claims_supported": ["aud", "sub", "iss", "auth_time", "name", "given_name", "preferred_username", "email", "acr"],
    "claim_types_supported": ["normal"],
    "claims_parameter_supported": True,
    "scopes_supported": ["openid", "acr", "roles", "email", "profile", "offline_access"],
    "request_parameter_supported": True,
    "request_uri_parameter_supported": True,
    "require_request_uri_registration": True,
    "code_challenge_methods_supported": ["plain", "S256"],
    "tls_client_certificate_bound_access_tokens": True,
    "dpop_signing_alg_values_supported": ["PS384", "RS384", "EdDSA", "ES384", "ES256", "RS256"],
    "revocation_endpoint": f"{_CONNECT}/revoke",
    "revocation_endpoint_auth_methods_supported": _AUTH_METHODS,
    "revocation_endpoint_auth_signing_alg_values_supported": _ALGS,
    "backchannel_logout_supported": True,
    "backchannel_logout_session_supported": True,
    "device_authorization_endpoint": f"{_CONNECT}/auth/device",
    "backchannel_token_delivery_modes_supported": ["poll", "ping"],
    "backchannel_authentication_endpoint": f"{_CONNECT}/ext/ciba/auth",
    "backchannel_authentication_request_signing_alg_values_supported": ["PS384", "ES256", "RS256"],
    "require_pushed_authorization_requests": False,
    "pushed_authorization_request_endpoint": f"{_CONNECT}/ext/par/request",
    "mtls_endpoint_aliases": {
        "token_endpoint": f"{_CONNECT}/token",
        "revocation_endpoint": f"{_CONNECT}/revoke",
        "introspection_endpoint": f"{_CONNECT}/token/introspect",
    },
    "authorization_response_iss_parameter_supported": True,
}

#: Provider -> the address its users write down, and what is published there.
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "google": ("https://accounts.google.com", GOOGLE),
    "entra": (ENTRA_TENANT["issuer"], ENTRA_TENANT),
    "cognito": (COGNITO["issuer"], COGNITO),
    "auth0": (AUTH0["issuer"], AUTH0),
    "okta": (OKTA["issuer"], OKTA),
    "keycloak": (KEYCLOAK["issuer"], KEYCLOAK),
}
