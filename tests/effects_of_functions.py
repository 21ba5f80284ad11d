"""For every public function and each of its parameters: a call that works, and another value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import serialization

import py_identity_model as p
from effects import Case, When
from py_identity_model._core.base.flow import Reply

ISSUER, URL, NOW = "https://id.example.com", "https://app.example.com/cb", 1_800_000_000
KEY = p.SigningKey.generate("ES256", kid="k1")
OTHER_KEY = p.SigningKey.generate("ES256", kid="k2")
DPOP, OTHER_DPOP = p.generate_dpop_key(), p.generate_dpop_key()
ASSERTION = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
AUTHORITY = trustme.CA()
LEAVES = [AUTHORITY.issue_cert("app.example.com", key_type=trustme.KeyType.RSA) for _ in range(2)]
KEY_PEM, OTHER_PEM = (leaf.private_key_pem.bytes().decode() for leaf in LEAVES)
CERTIFICATE, OTHER_CERTIFICATE = (leaf.cert_chain_pems[0].bytes().decode() for leaf in LEAVES)
_kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
ENCRYPTED_PEM = serialization.load_pem_private_key(KEY_PEM.encode(), None).private_bytes(*_kind).decode()
THUMBPRINT = {"cnf": {"x5t#S256": p.compute_certificate_thumbprint(CERTIFICATE)}}
PLAIN = When(True, {"method": "plain"})
SCOPES = {"scope": "read write"}
NONCE = (("dpop-nonce", "eyJ7S_zG"), ("WWW-Authenticate", 'DPoP error="use_dpop_nonce"'))
CLIENT_FILES = {"certificate": "one.pem", "private_key": "one.key"}


def write_files(folder: Path) -> None:
    """Write the certificates and keys that cases name by file."""
    AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    for name, leaf in zip(("one", "other"), LEAVES, strict=True):
        leaf.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / "encrypted.key").write_text(ENCRYPTED_PEM, encoding="ascii")


def request_object(**claims: Any) -> str:
    """Return a signed authorization request."""
    return p.create_request_object(KEY_PEM, "RS256", "app", ISSUER, URL, **claims)


def error(**facts: Any) -> p.PyIdentityModelException:
    """Return an error of a resource."""
    return p.InsufficientScopeException("no", **facts)


def changed(base: dict[str, Any], changes: dict[str, Any], use: Any = None) -> Case:
    """Return a case of a function."""
    return Case(base, changes, use) if use else Case(base, changes)


MAIN, FLOW = "refs/heads/main", "a/b/.github/workflows/x.yml"
GITHUB_JOB = {
    "iss": "https://token.actions.githubusercontent.com",
    "repository": "a/b",
    "repository_id": "1",
    "ref": MAIN,
    "environment": "live",
    "job_workflow_ref": f"{FLOW}@{MAIN}",
    "event_name": "push",
}
GITLAB_JOB = {
    "iss": "https://gitlab.com",
    "project_path": "a/b",
    "project_id": "1",
    "ref": "main",
    "ref_type": "branch",
    "ref_protected": "true",
    "environment": "live",
    "environment_protected": "true",
    "pipeline_source": "push",
}
POD = {
    "iss": ISSUER,
    "sub": "system:serviceaccount:a:b",
    "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b", "uid": "1"}},
}


def answer(url: str) -> p.AuthorizeCallbackResponse:
    """Return what a login came back with."""
    return p.parse_authorize_callback_response(url)


def metadata(**members: Any) -> p.DiscoveryDocumentResponse:
    """Return a provider's metadata."""
    return p.DiscoveryDocumentResponse(True, issuer=ISSUER, token_endpoint=f"{ISSUER}/token", **members)


def inbound(url: str = "https://api.example.com/x", *headers: tuple[str, str], **facts: Any) -> p.InboundRequest:
    """Return a request to a resource."""
    return p.InboundRequest("GET", url, headers or (("Authorization", "Bearer abc"),), **facts)


def refuses(values: dict[str, Any], others: dict[str, Any]) -> Any:
    """Return a use that tells how a claims validator judges both sets of claims."""

    def use(door: Any, validator: Any) -> list[str]:
        found = []
        for claims in (values, others):
            try:
                validator(claims)
                found.append("taken")
            except p.PyIdentityModelException as refused:
                found.append(str(refused))
        return found

    return use


END = {"end_session_endpoint": f"{ISSUER}/logout"}
END_CHANGES = {
    "end_session_endpoint": f"{ISSUER}/other",
    "id_token_hint": ASSERTION,
    "client_id": "app",
    "post_logout_redirect_uri": When(URL, {"client_id": "app"}),
    "state": When("s", {"client_id": "app", "post_logout_redirect_uri": URL}),
    "logout_hint": "ada",
    "ui_locales": "de",
    "extra_params": {"more": "1"},
}
FIRST = {"iss": ISSUER, "sub": "ada", "aud": "app", "iat": NOW}
WITH_ISS = answer(f"{URL}?code=c&state=s&iss={ISSUER}")
WITHOUT_ISS = answer(f"{URL}?code=c&state=s")
PING = ({"Authorization": "Bearer " + "n" * 32, "Content-Type": "application/json"}, b'{"auth_req_id": "a"}')
RESOURCE = p.ProtectedResourceMetadata(resource="https://api.example.com", authorization_servers=(ISSUER,))
CHALLENGES = p.parse_challenges(
    ['Bearer error="insufficient_user_authentication", acr_values="gold", resource_metadata="https://a.example/x"']
)
ROLE = {"resource_access": {"app": {"roles": ["auditor"]}}, "sub": "ada"}
LOGOUT = f"/logout?iss={ISSUER}&sid=1"
FAPI = {
    "response_type": "code",
    "code_challenge": "c" * 43,
    "code_challenge_method": "S256",
    "redirect_uri": URL,
    "use_par": True,
    "algorithm": "PS256",
}

FUNCTIONS: dict[str, Case] = {
    "build_authorization_url": changed(
        {"authorization_endpoint": f"{ISSUER}/authorize", "client_id": "app", "redirect_uri": URL},
        {
            "authorization_endpoint": f"{ISSUER}/other",
            "client_id": "other",
            "redirect_uri": URL + "2",
            "scope": "email",
            "response_type": "code id_token",
            "state": "s",
            "nonce": "n",
            "code_challenge": "c" * 43,
            "code_challenge_method": When("S512", {"code_challenge": "c" * 43}),
            "extra_params": {"more": "1"},
        },
    ),
    "build_jar_authorization_url": changed(
        {"authorization_endpoint": f"{ISSUER}/authorize", "client_id": "app", "request_object": request_object()},
        {
            "authorization_endpoint": f"{ISSUER}/other",
            "client_id": "other",
            "request_object": request_object(state="other"),
            "scope": "email",
            "response_type": "code",
        },
    ),
    "build_request_uri_url": changed(
        {"authorization_endpoint": f"{ISSUER}/authorize", "client_id": "app", "request_uri": "https://a.example/x"},
        {
            "authorization_endpoint": f"{ISSUER}/other",
            "client_id": "other",
            "request_uri": "https://a.example/y",
            "scope": "email",
            "response_type": "code",
        },
    ),
    "build_par_authorization_url": changed(
        {"authorization_endpoint": f"{ISSUER}/authorize", "client_id": "app", "request_uri": "urn:x"},
        {
            "authorization_endpoint": f"{ISSUER}/other",
            "client_id": "other",
            "request_uri": "urn:y",
            "allow_insecure_http": When(True, {"authorization_endpoint": "http://id.example.com/authorize"}),
        },
    ),
    "build_end_session_url": changed(END, END_CHANGES),
    "build_end_session_form": changed(END, END_CHANGES),
    "build_session_check": changed(
        {"check_session_iframe": f"{ISSUER}/frame", "client_id": "app", "session_state": "a.b"},
        {"check_session_iframe": f"{ISSUER}/other", "client_id": "other", "session_state": "a.c"},
    ),
    "build_certificate_jwk": changed({"cert": CERTIFICATE}, {"cert": OTHER_CERTIFICATE, "kid": "k"}),
    "build_challenge": changed(
        {"scheme": "Bearer", "parameters": {"realm": "a"}}, {"scheme": "DPoP", "parameters": {"realm": "b"}}
    ),
    "build_client_metadata_document": changed(
        {"client_id": "https://app.example.com/client", "members": {"redirect_uris": [URL]}},
        {"client_id": "https://app.example.com/other", "members": {"redirect_uris": [URL], "client_name": "x"}},
    ),
    "build_dpop_headers": changed({"proof": "a.b.c"}, {"proof": "a.b.d", "access_token": "t"}),
    "build_revocation_answer": changed({"error": p.NetworkException("no")}, {"error": p.ConfigurationException("no")}),
    "build_logout_answer": changed({}, {"error": ValueError("no")}),
    "build_refusal": changed(
        {"error": error()},
        {
            "error": p.MissingCredentialsException("no"),
            "policy": p.ChallengePolicy(realm="x"),
            "scope": When(["read"], {"error": p.MissingCredentialsException("no")}),
            "scheme": When("DPoP", {"policy": p.ChallengePolicy(("Bearer", "DPoP"), dpop_algorithms=("ES256",))}),
            "dpop_nonce": "n",
        },
    ),
    "certificate_thumbprint_from_file": changed({"path": "one.pem"}, {"path": "other.pem"}),
    "check_authentication": changed(
        {
            "claims": {"auth_time": NOW - 100},
            "requirement": p.AuthenticationRequirement(max_age=60),
            "wall": float(NOW),
        },
        {
            "claims": {"auth_time": NOW},
            "requirement": p.AuthenticationRequirement(max_age=200),
            "wall": float(NOW - 50),
            "leeway": 50.0,
        },
    ),
    "check_refreshed_id_token": changed(
        {"first": FIRST, "refreshed": FIRST | {"iat": NOW - 50}},
        {"first": FIRST | {"iat": NOW - 50}, "refreshed": FIRST, "leeway": 60.0},
    ),
    "check_scopes": changed({"claims": SCOPES, "required": ("read",)}, {"claims": {}, "required": ("admin",)}),
    "choose_authorization_server": changed(
        {"metadata": RESOURCE, "trusted": {ISSUER}},
        {
            "metadata": p.ProtectedResourceMetadata(resource="https://api.example.com"),
            "trusted": {"https://other.example.com"},
        },
    ),
    "client_certificate": changed(
        {"request": inbound(certificate=CERTIFICATE)},
        {
            "request": inbound(),
            "proxies": When(
                p.ProxyPolicy(trusted_proxies=("10.0.0.1",), forwarded="x-forwarded"),
                {"request": inbound("https://api.example.com/x", ("Client-Cert", ":AAAA:"), peer="10.0.0.1")},
            ),
        },
    ),
    "combine_claims_validators": changed(
        {"validators": [p.require_scopes("read"), p.require_claims("sub")]},
        {"validators": [p.require_claims("other")], "require": "any"},
        refuses(SCOPES, {"sub": "ada"}),
    ),
    "require_claim_value": changed(
        {"name": "a", "value": "1"}, {"name": "b", "value": "2", "others": ("2",)}, refuses({"a": "1"}, {"a": "2"})
    ),
    "require_github_job": changed(
        {"repository": "a/b", "repository_id": "1", "ref": MAIN, "environment": "live", "workflow": f"{FLOW}@{MAIN}"},
        {
            "repository_id": "2",
            "repository": "a/c",
            "ref": "refs/tags/v1",
            "environment": "test",
            "workflow": f"{FLOW}@refs/tags/v1",
            "events": ["issues"],
            "runner_environment": "self-hosted",
            "issuer": ISSUER,
            "allow_any_ref": When(True, {"ref": None, "environment": None}),
            "allow_repository_by_name_alone": When(True, {"repository_id": None}),
        },
        refuses(GITHUB_JOB, {**GITHUB_JOB, "event_name": "issues"}),
    ),
    "require_gitlab_job": changed(
        {"project_path": "a/b", "project_id": "1", "ref": MAIN, "environment": "live"},
        {
            "project_id": "2",
            "project_path": "a/c",
            "ref": "refs/tags/v1",
            "environment": "test",
            "sources": ["web"],
            "issuer": ISSUER,
            "allow_any_ref": When(True, {"ref": None, "environment": None}),
            "allow_unprotected_ref": True,
            "allow_project_by_name_alone": When(True, {"project_id": None}),
        },
        refuses(GITLAB_JOB, {**GITLAB_JOB, "ref_protected": "false"}),
    ),
    "require_kubernetes_workload": changed(
        {"issuer": ISSUER, "namespace": "a", "serviceaccount": "b"},
        {"issuer": f"{ISSUER}/2", "namespace": "c", "serviceaccount": "d", "serviceaccount_uid": "2"},
        refuses(POD, {}),
    ),
    "require_claims": changed({"wanted": ("a",)}, {"wanted": ("b",)}, refuses({"a": 1}, {"b": 1})),
    "require_scopes": changed({"scopes": ("read",)}, {"scopes": ("admin",)}, refuses(SCOPES, {"scope": "admin"})),
    "compute_ath": changed({"access_token": "t"}, {"access_token": "u"}),
    "compute_certificate_thumbprint": changed({"cert": CERTIFICATE}, {"cert": OTHER_CERTIFICATE}),
    "compute_session_state": changed(
        {"client_id": "app", "client_origin": "https://app.example.com", "browser_state": "b"},
        {
            "client_id": "other",
            "client_origin": "https://other.example.com",
            "browser_state": "c",
            "salt": "x",
        },
    ),
    "create_dpop_proof": changed(
        {"key": DPOP, "method": "GET", "uri": "https://api.example.com/x"},
        {
            "key": OTHER_DPOP,
            "method": "POST",
            "uri": "https://api.example.com/y",
            "access_token": "t",
            "nonce": "n",
        },
    ),
    "create_request_object": changed(
        {
            "private_key": KEY_PEM,
            "algorithm": "RS256",
            "client_id": "app",
            "audience": ISSUER,
            "redirect_uri": URL,
        },
        {
            "private_key": OTHER_PEM,
            "algorithm": "RS512",
            "client_id": "other",
            "audience": "https://other.example.com",
            "redirect_uri": URL + "2",
            "scope": "email",
            "response_type": "code id_token",
            "state": "s",
            "nonce": "n",
            "code_challenge": "c" * 43,
            "code_challenge_method": When("S512", {"code_challenge": "c" * 43}),
            "lifetime": 60,
            "kid": "k",
            "extra_claims": {"more": "1"},
        },
    ),
    "extract_dpop_nonce": changed(
        {"response": Reply(400, NONCE, b'{"error":"use_dpop_nonce"}')}, {"response": Reply(401)}
    ),
    "extract_jarm_response_jwt": changed(
        {"redirect_uri": f"{URL}?response={ASSERTION}"}, {"redirect_uri": f"{URL}?response={ASSERTION}a"}
    ),
    "is_jarm_response": changed({"redirect_uri": f"{URL}?response={ASSERTION}"}, {"redirect_uri": f"{URL}?code=c"}),
    "fapi_tls_context": changed(
        {"verify": True},
        {
            "verify": "ca.pem",
            "certificate": When("other.pem", CLIENT_FILES),
            "private_key": When("other.key", CLIENT_FILES),
            "password": When("pw", CLIENT_FILES | {"private_key": "encrypted.key"}),
        },
        lambda door, context: len(context.get_ca_certs()),
    ),
    "generate_code_challenge": changed(
        {"verifier": "v" * 43},
        {"verifier": "w" * 43, "method": "plain", "allow_challenge_that_shows_the_verifier": PLAIN},
    ),
    "generate_code_verifier": changed({}, {"length": 43}),
    "generate_dpop_key": changed({}, {"algorithm": "PS256"}, lambda door, key: key.algorithm),
    "generate_pkce_pair": changed(
        {}, {"method": "plain", "verifier_length": 43, "allow_challenge_that_shows_the_verifier": PLAIN}
    ),
    "is_client_token": changed({"claims": {"sub": "app", "client_id": "app"}}, {"claims": {"sub": "ada"}}),
    "jwk_thumbprint": changed({"jwk": KEY.public_jwk}, {"jwk": OTHER_KEY.public_jwk, "hash_name": "sha512"}),
    "jwks_from_dict": changed({"keys_dict": KEY.public_jwk}, {"keys_dict": OTHER_KEY.public_jwk}),
    "normalize_htu": changed({"url": "https://A.example/x?q"}, {"url": "https://b.example"}),
    "normalize_identifier": changed({"identifier": "ada@example.com"}, {"identifier": "eve@example.com"}),
    "parse_authorize_callback_response": changed({"redirect_uri": f"{URL}?code=c"}, {"redirect_uri": f"{URL}?code=d"}),
    "parse_challenges": changed({"values": ["Bearer"]}, {"values": ["DPoP"]}),
    "parse_ciba_notification": changed(
        {"headers": PING[0], "body": PING[1], "expected_token": "n" * 32},
        {
            "headers": PING[0] | {"Authorization": "Bearer x"},
            "body": b'{"auth_req_id": "b"}',
            "expected_token": "m" * 32,
        },
    ),
    "parse_discovery_url": changed({"url": ISSUER}, {"url": "https://other.example.com"}),
    "parse_front_channel_logout": changed({"request": LOGOUT}, {"request": LOGOUT + "2"}),
    "parse_initiate_login": changed(
        {"parameters": f"iss={ISSUER}", "trusted_issuers": {ISSUER}},
        {
            "parameters": f"iss={ISSUER}&login_hint=ada",
            "trusted_issuers": {"https://other.example.com"},
            "allowed_targets": When([URL], {"parameters": f"iss={ISSUER}&target_link_uri={URL}"}),
        },
    ),
    "parse_step_up": changed({"challenges": CHALLENGES}, {"challenges": ()}),
    "resource_metadata_url": changed({"challenges": CHALLENGES}, {"challenges": ()}),
    "pickled_with_secrets": changed({"value": p.Secret("a")}, {"value": p.Secret("b")}),
    "read_token": changed(
        {"request": inbound()},
        {
            "request": inbound("https://api.example.com/x", ("Authorization", "DPoP abc")),
            "form": ("access_token",),
        },
    ),
    "registration_changes": changed(
        {"asked": {"scope": "a"}, "registered": {"scope": "a"}},
        {"asked": {"scope": "b"}, "registered": {"scope": "b"}},
    ),
    "resolve_mtls_endpoint": changed(
        {"disco": metadata(), "endpoint": "token_endpoint"},
        {
            "disco": metadata(mtls_endpoint_aliases={"token_endpoint": "https://mtls.example.com/token"}),
            "endpoint": "userinfo_endpoint",
        },
    ),
    "serve_client_metadata_document": changed(
        {"document": p.build_client_metadata_document("https://app.example.com/client", redirect_uris=[URL])},
        {
            "document": p.build_client_metadata_document("https://app.example.com/other", redirect_uris=[URL]),
            "max_age": 60,
        },
    ),
    "serve_resource_metadata": changed(
        {"metadata": RESOURCE},
        {"metadata": p.ProtectedResourceMetadata(resource="https://other.example.com"), "max_age": 60},
    ),
    "to_principal": changed(
        {"token_claims": ROLE},
        {"token_claims": {"sub": "eve"}, "authentication_type": "DPoP", "resource": "app"},
        lambda door, who: (who.identity.name, who.identity.authentication_type, who.is_in_role("auditor")),
    ),
    "validate_authorize_callback_issuer": changed(
        {"response": WITHOUT_ISS, "expected_issuer": ISSUER},
        {
            "response": answer(f"{URL}?code=c&iss=https://other.example.com"),
            "expected_issuer": When("https://other.example.com", {"response": WITH_ISS}),
            "iss_parameter_supported": True,
            "require": True,
            "metadata": metadata(authorization_response_iss_parameter_supported=True),
        },
    ),
    "validate_authorize_callback_state": changed(
        {"response": WITH_ISS, "expected_state": "s"},
        {"response": answer(f"{URL}?code=c&state=t"), "expected_state": "t"},
    ),
    "validate_certificate_binding": changed(
        {"claims": THUMBPRINT, "cert": CERTIFICATE}, {"claims": {}, "cert": OTHER_CERTIFICATE}
    ),
    "validate_client_id_url": changed(
        {"client_id": "https://app.example.com/client"}, {"client_id": "http://app.example.com/client"}
    ),
    "validate_fapi_authorization_request": changed(
        FAPI,
        {
            "response_type": "token",
            "code_challenge": None,
            "code_challenge_method": "plain",
            "redirect_uri": "http://app.example.com/cb",
            "use_par": False,
            "algorithm": "RS256",
        },
    ),
    "validate_fapi_client_config": changed(
        {"auth_method": "private_key_jwt"}, {"auth_method": "client_secret_basic", "use_dpop": True, "use_mtls": True}
    ),
    "validate_fapi_discovery": changed(
        {"discovery": metadata()}, {"discovery": metadata(authorization_response_iss_parameter_supported=True)}
    ),
    "validate_front_channel_logout": changed(
        {"request": LOGOUT, "issuer": ISSUER, "sid": "1"},
        {
            "request": LOGOUT + "2",
            "issuer": "https://other.example.com",
            "sid": "2",
            "accept_logout_without_session": When(True, {"request": "/logout"}),
        },
    ),
    "validate_post_logout_state": changed(
        {"expected_state": "a", "returned_state": "a"}, {"expected_state": "b", "returned_state": "b"}
    ),
}
