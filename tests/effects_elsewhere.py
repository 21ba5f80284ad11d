"""Callables whose parameters have their cases in tests of their own, since they take more than one call."""

from __future__ import annotations

import re

#: The callable, the file of those tests, and the parameters.
TABLE = """
BackChannelLogoutReceiver test_logout.py: token_validation_config disco_doc_address store require_typ
    decryption accept_logout_tokens_without_exp http_client validator revoked_for
BackChannelLogoutReceiver.receive test_logout.py: body content_type
ClaimsPrincipal.add_identity test_identity.py: identity
ClaimsProvider test_userinfo.py: issuer token_validation_config endpoints access_token disco_doc_address
ClientCertificate test_http_client.py: certificate private_key password
ClientUpdateRequest.from_registration test_registration.py: registered changes
Config.build test_config.py: sources overrides env group client_auth_method
Config.from_env test_config.py: prefix group client_auth_method
DPoPKey test_dpop.py: algorithm
DPoPKey.from_pem test_dpop.py: private_key algorithm password
DPoPKey.from_signing_key test_dpop.py: key public_jwk
DPoPKeyring test_dpop.py: algorithm max_keys
DPoPKeyring.add test_dpop.py: provider client_id key
DPoPKeyring.key test_dpop.py: provider client_id
DPoPNonces test_dpop_server.py: secret window
DPoPNonces.accepts test_dpop_server.py: nonce wall
DPoPNonces.current test_dpop_server.py: wall
DPoPNonces.rotate test_dpop_server.py: secret
DPoPValidator test_dpop_server.py: store
DPoPValidator.behind test_dpop_server.py: proxies
DPoPValidator.challenge_nonce test_dpop_server.py: wall
Decryption test_jwe.py: keys algs encs
Encryption test_jwe.py: key alg enc
EncryptionKey test_jwe.py: kty crv kid alg private
EncryptionKey.from_client_secret test_jwe.py: secret length
EncryptionKey.from_jwk test_jose.py: jwk
EncryptionKey.from_pem test_jwe.py: pem kid alg password
EncryptionKey.from_secret test_jwe.py: secret kid alg
EnvSource test_config.py: prefix name
EnvSource.resolve test_config.py: keys
Fapi2LoginClient test_fapi.py: issuer client_id redirect_uri scope response_type response_mode client_secret
    private_key_jwt mtls attestation client_assertion auth_method client_secret_jwt_algorithm dpop_key pushed
    request_signing publish_request id_token_signed_response_alg id_token_decryption
    authorization_signed_response_alg authorization_decryption userinfo_signed_response_alg
    userinfo_decryption trusted_audiences authorized_parties require_iss require_s_hash leeway
    discovery_address discovery_policy backchannel headers allow_insecure_http issuer_template profile
Fapi2LoginClient.check_pushed_response test_fapi.py: response
Fapi2LoginClient.credentials test_fapi.py: metadata
Fapi2Profile test_fapi.py: signed_requests signed_responses signed_introspection
Fapi2Profile.check_access_token test_fapi.py: claims
Fapi2Profile.check_authorization_url test_fapi.py: url authorization_endpoint
Fapi2Profile.check_callback test_fapi.py: response issuer
Fapi2Profile.check_client test_fapi.py: client
Fapi2Profile.check_provider test_fapi.py: metadata client uses
Fapi2Profile.check_pushed_response test_fapi.py: response
Fapi2Profile.check_request test_fapi.py: request wall
Fapi2Profile.check_resource_request test_fapi.py: request
Fapi2Profile.check_token_response test_fapi.py: request response
Fapi2Profile.check_validation test_fapi.py: config
HTTPClient test_http_client.py: client timeout verify
InboundRequest test_inbound.py: method url headers peer certificate
InboundRequest.build test_inbound.py: method url headers peer certificate
IssuerTemplate test_floods.py: allow_private_addresses max_unverified
JsonWebKey test_jwe.py: kty use key_ops alg kid x5u x5c x5t x5t_s256 crv x y d n e p q dp dq qi oth k pub priv
    issuer
JwtBearerAssertion test_assertions.py: private_key issuer subject audience algorithm kid lifetime claims
Kind test_kinds.py: name types required forbidden expires one_of foreign bare about_itself short_subject
Kind.words test_kinds.py: claim
LoginClient test_login.py: id_token_signed_response_alg id_token_decryption authorization_signed_response_alg
    authorization_decryption userinfo_signed_response_alg userinfo_decryption trusted_audiences
    authorized_parties require_iss require_s_hash leeway
LoginClient.check_pushed_response test_fapi.py: response
LoginClient.credentials test_fapi.py: metadata
LoginTransaction.from_dict test_login.py: values
LoginTransaction.from_string test_login.py: text
LogoutTokenPolicy test_logout.py: token_validation_config disco_doc_address store require_typ decryption
    accept_logout_tokens_without_exp
MappingSource test_config.py: values name
MappingSource.resolve test_config.py: keys
MemberFault.of test_batch.py: error
MtlsClientAuth test_client_auth.py: certificate private_key password auth_method
NonceStore test_dpop.py: max_origins
OAuthClient test_oauth_client.py: issuer client_id client_secret private_key_jwt mtls client_assertion attestation
    redirect_uri scope dpop profile backchannel store http_client renewal_timeout max_tokens allow_insecure_http
OAuthClient.auth test_token_auth.py: scope resource audience authorization_details subject on_behalf_of origins
OAuthClient.begin_login test_oauth_client.py: request store
OAuthClient.client_credentials test_oauth_client.py: scope resource audience authorization_details
OAuthClient.complete_login test_oauth_client.py: callback transaction subject store binding response_mode
OAuthClient.device_login test_oauth_client.py: show request subject expected_sub
OAuthClient.exchange test_oauth_client.py: subject_token options
OAuthClient.introspect test_oauth_client.py: token options
OAuthClient.logout_url test_oauth_client.py: subject post_logout_redirect_uri logout_hint ui_locales extra
OAuthClient.loopback_login test_oauth_client.py: request subject browser show seconds path
OAuthClient.on_behalf_of test_oauth_client.py: token scope resource audience
OAuthClient.refresh test_oauth_client.py: scope resource subject
OAuthClient.revoke test_oauth_client.py: token token_type_hint subject
OAuthClient.token test_oauth_client.py: scope resource audience authorization_details subject on_behalf_of
OAuthClient.userinfo test_oauth_client.py: subject
TokenAuth.async_auth_flow test_token_auth.py: request
TokenAuth.auth_flow test_token_auth.py: request
TokenAuth.sync_auth_flow test_token_auth.py: request
PrivateKeyJwt test_client_auth.py: private_key algorithm kid audience lifetime password
ProtectedResourceMetadata test_resource_metadata.py: resource authorization_servers jwks_uri scopes_supported
    bearer_methods_supported resource_signing_alg_values_supported resource_name resource_documentation
    resource_policy_uri resource_tos_uri tls_client_certificate_bound_access_tokens
    authorization_details_types_supported dpop_signing_alg_values_supported dpop_bound_access_tokens_required
    signed_metadata extra faults
RequestSigning test_jar.py: private_key algorithm kid lifetime password encryption
SessionCheck.verdict test_logout.py: sender data
Settings test_settings.py: http_timeout http_retry_max_attempts http_retry_base_delay disco_cache_ttl
    jwks_cache_ttl jwks_cache_max_entries disco_cache_max_entries kid_miss_refresh_cooldown
    kid_miss_max_waiters max_stale max_jwks_size max_jwks_keys engine
Settings.from_environment test_settings.py: environment
SignedResponsePolicy test_introspection.py: token_validation_config disco_doc_address decryption
Revoked test_revocations.py: jti sid sub iss before
Revoked.matches test_revocations.py: claims
PollRequest test_security_events_polled.py: address access_token allow_insecure_http backchannel max_events
    max_rounds return_immediately
SecurityEventReceiver test_security_events.py: transmitter validator store authorization resolve_subject
    on_event check_state revoking revoked_for http_client
SecurityEventReceiver.poll test_security_events_polled.py: request
SecurityEventReceiver.receive test_security_events.py: body content_type authorization
SigningKey test_jose.py: alg kid sign public_jwk
SigningKey.from_callable test_jose.py: sign alg kid
SigningKey.from_cryptography test_jose.py: key alg kid
SigningKey.from_jwk test_jose.py: jwk alg
SigningKey.from_pem test_jose.py: pem alg kid password
SigningKey.from_secret test_jose.py: secret alg kid
SigningKey.generate test_jose.py: alg kid bits
StatusListPolicy test_status_lists.py: allowed_origins keys accepted_statuses fresh_for max_age stale_for
    max_list_size max_lists accept_tokens_while_status_is_unknown
Stores test_stores.py: name settings shared
TokenIntrospector test_introspection.py: address client_id max_age negative_max_age max_entries http_client
    request validator
TokenIntrospector.introspect test_introspection.py: token
TokenIntrospector.invalidate test_introspection.py: token
TokenValidator test_pickled_validator.py: cache_tokens cache_tokens_max_age store revocations_silent_for
    stores status_lists
TokenValidator.invalidate test_token_cache.py: token iss sub sid jti
TokenValidator.export_keys test_key_snapshot.py: key
TokenValidator.import_keys test_key_snapshot.py: data key max_age
TokenValidator.revoke test_revocations.py: token jti sid sub iss before lifetime
TokenValidator.validate_many test_batch.py: tokens type
TokenValidator.validate_stream test_batch.py: tokens type window
Transmitter test_security_events.py: issuer audience token_issuers configuration_url jwks_uri keys algorithms
    discovery_policy backchannel max_age leeway
add_observer test_observability.py: observer
build_event_answer test_security_events.py: error
check_sender test_protected_resource.py: request presented claims dpop proxies require_binding
complete_ciba e2e/test_library_completed.py: started
complete_device_login e2e/test_library_completed.py: client started tokens http_client expected_sub extra
complete_login test_login.py: client callback transaction http_client store binding response_mode used
get_discovery_document test_validation.py: refresh
get_external_claims test_userinfo.py: claims providers http_client
get_jwks test_validation.py: refresh
get_login_userinfo e2e/test_library_completed.py: client login http_client expected_sub
get_protected_resource_metadata test_resource_metadata.py: verify_signed
process_jarm_response test_jarm.py: response client_id disco_doc_address issuer jwks algorithms require_https
    leeway http_client is_jwt decryption backchannel state
refresh_login test_login.py: client refresh_token claims http_client scope
remove_observer test_observability.py: observer
validate_ciba_push test_ciba.py: notification claims crv
validate_logout_token test_logout.py: logout_token token_validation_config disco_doc_address http_client store
    require_typ decryption accept_logout_tokens_without_exp
wait_for_ciba_token test_ciba.py: request authentication http_client
wait_for_device_token test_device.py: request authorization http_client
"""
_row = re.compile(r"(?P<name>[\w.]+) (?P<file>[\w/]+\.py): (?P<listed>[\w ]+)")
ELSEWHERE = {row["name"]: (row["file"], row["listed"].split()) for row in _row.finditer(re.sub("\n +", " ", TABLE))}
