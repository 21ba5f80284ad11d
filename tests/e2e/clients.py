"""The clients, accounts, keys and certificates the end-to-end provider knows."""

import base64
import datetime
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey, OKPKey, RSAKey

Jwk = dict[str, Any]
Metadata = dict[str, Any]

REDIRECT_URI = "https://client.example/callback"
POST_LOGOUT_REDIRECT_URI = "https://client.example/signed-out"
PASSWORD = "urn:example:acr:password"
SECOND_FACTOR = "urn:example:acr:second-factor"
CIBA_USER_CODE = "1234"

JWT_RESOURCES = {alg: f"https://api.example/{alg}" for alg in ("RS256", "PS256", "ES256", "EdDSA")}
OPAQUE_RESOURCE = "https://api.example/opaque"

ID_TOKEN_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519", "HS256", "HS384", "HS512"),
)

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CIBA = "urn:openid:params:grant-type:ciba"

DEFAULT_ACCOUNT = "alice"
ACCOUNTS: dict[str, dict[str, Any]] = {
    "alice": {
        "name": "Alice Liddell",
        "given_name": "Alice",
        "family_name": "Liddell",
        "preferred_username": "alice",
        "locale": "en-GB",
        "updated_at": 1_700_000_000,
        "email": "alice@example.com",
        "email_verified": True,
        "phone_number": "+44 20 7946 0000",
        "phone_number_verified": False,
        "address": {"country": "GB", "locality": "Oxford"},
        "roles": ["reader", "admin"],
    },
    "bob": {
        "name": "Bob Dodgson",
        "preferred_username": "bob",
        "email": "bob@example.com",
        "email_verified": False,
        "roles": ["reader"],
    },
}
"""Claims by ``sub``; ``login_hint`` chooses the account, ``login_hint=deny`` refuses."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate on disk, in PEM."""

    cert_file: Path
    key_file: Path
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class Client:
    """One registered client: what it sent to the provider, and what only it knows."""

    client_id: str
    metadata: Metadata = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)
    keys: Mapping[str, Jwk] = field(default_factory=dict, repr=False)
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Certificates:
    """The authority everybody trusts here, the server's certificate, and those of the clients."""

    ca_file: Path
    server: Certificate
    issued: Certificate
    self_signed: Certificate


def create_certificates(directory: Path) -> Certificates:
    """Write a fresh authority, a server certificate and two client certificates into the directory."""
    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    return Certificates(
        ca_file=ca_file,
        server=_issue(authority, directory, "server", "localhost", "127.0.0.1"),
        issued=_issue(authority, directory, "client", "client.example", common_name="e2e-client"),
        self_signed=_self_sign(directory),
    )


def _issue(
    authority: trustme.CA, directory: Path, name: str, *identities: str, common_name: str | None = None
) -> Certificate:
    leaf = authority.issue_cert(*identities, common_name=common_name)
    cert_file, key_file = directory / f"{name}.pem", directory / f"{name}.key"
    leaf.cert_chain_pems[0].write_to_path(cert_file)
    leaf.private_key_pem.write_to_path(key_file)
    return Certificate(cert_file, key_file, x509.load_pem_x509_certificate(cert_file.read_bytes()))


def _self_sign(directory: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "e2e-self-signed")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "self-signed.pem", directory / "self-signed.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate(cert_file, key_file, certificate)


def create_keys() -> dict[str, Jwk]:
    """Return fresh private JWKs, three to sign with and two to decrypt with, by the algorithm they serve."""
    made: dict[str, RSAKey | ECKey | OKPKey] = {
        "RS256": RSAKey.generate_key(2048, {"use": "sig"}),
        "ES256": ECKey.generate_key("P-256", {"use": "sig"}),
        "EdDSA": OKPKey.generate_key("Ed25519", {"use": "sig"}),
        "RSA-OAEP-256": RSAKey.generate_key(2048, {"use": "enc"}),
        "ECDH-ES": ECKey.generate_key("P-256", {"use": "enc"}),
    }
    return {name: {**key.as_dict(private=True), "kid": key.thumbprint()} for name, key in made.items()}


def public_jwks(keys: Mapping[str, Jwk]) -> dict[str, list[Jwk]]:
    """Return the public halves as a JWK Set."""
    private = {"d", "p", "q", "dp", "dq", "qi"}
    return {"keys": [{name: value for name, value in key.items() if name not in private} for key in keys.values()]}


def register_clients(keys: Mapping[str, Jwk], certificates: Certificates) -> dict[str, Client]:
    """Return every client the provider starts with, by name; ``{rp}`` in a URL becomes the clients' own origin."""
    jwks = public_jwks(keys)
    certified = {"keys": [_certified_jwk(certificates.self_signed)]}
    distinguished_name = certificates.issued.certificate.subject.rfc4514_string()
    code, refresh, implicit = "authorization_code", "refresh_token", "implicit"
    tls = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": distinguished_name}
    self_signed = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": certified}
    private_key_jwt = {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256"}
    bound = {"tls_client_certificate_bound_access_tokens": True}
    # The provider's own FAPI profile does not insist on PAR.
    fapi2 = {**private_key_jwt, "require_pushed_authorization_requests": True}
    ciba = {"grant_types": [CIBA, refresh], "response_types": [], "redirect_uris": []}
    ping = {
        "backchannel_token_delivery_mode": "ping",
        "backchannel_client_notification_endpoint": "{rp}/ciba/ping",
    }
    rows: dict[str, Metadata] = {
        # One for each way to authenticate.
        "secret-basic": {"token_endpoint_auth_method": "client_secret_basic"},
        "secret-post": {"token_endpoint_auth_method": "client_secret_post"},
        "secret-jwt": {"token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "HS256"},
        "private-key-jwt": {"token_endpoint_auth_method": "private_key_jwt"},
        "jwks-uri": {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "{rp}/jwks", "jwks": None},
        "public": {"token_endpoint_auth_method": "none", "grant_types": [code, refresh]},
        "tls": tls,
        "tls-san": {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "client.example"},
        "tls-self-signed": self_signed,
        # RFC 6749 2.3.1: both parts of the Basic credentials are form-encoded first.
        "spe: c+ial%": {"token_endpoint_auth_method": "client_secret_basic"},
        # Sender-constrained tokens.
        "tls-bound": {**tls, **bound},
        "tls-self-signed-bound": {**self_signed, **bound},
        "dpop": {"dpop_bound_access_tokens": True},
        "dpop-public": {
            "token_endpoint_auth_method": "none",
            "dpop_bound_access_tokens": True,
            "grant_types": [code, refresh],
        },
        "dpop-no-nonce": {"dpop_bound_access_tokens": True},
        # Requests and answers in their signed and encrypted forms.
        "par": {"require_pushed_authorization_requests": True},
        "jar": {"require_signed_request_object": True, "request_object_signing_alg": "ES256"},
        "jarm": {"authorization_signed_response_alg": "ES256"},
        "jarm-encrypted": {
            "authorization_signed_response_alg": "PS256",
            "authorization_encrypted_response_alg": "RSA-OAEP-256",
            "authorization_encrypted_response_enc": "A256GCM",
        },
        **{f"id-token-{alg}": {"id_token_signed_response_alg": alg} for alg in ID_TOKEN_ALGORITHMS},
        "id-token-encrypted": {
            "id_token_signed_response_alg": "RS256",
            "id_token_encrypted_response_alg": "RSA-OAEP-256",
            "id_token_encrypted_response_enc": "A256GCM",
        },
        "id-token-encrypted-ecdh": {
            "id_token_signed_response_alg": "ES256",
            "id_token_encrypted_response_alg": "ECDH-ES+A128KW",
            "id_token_encrypted_response_enc": "A128CBC-HS256",
        },
        "userinfo-signed": {"userinfo_signed_response_alg": "ES256"},
        "userinfo-encrypted": {
            "userinfo_signed_response_alg": "RS256",
            "userinfo_encrypted_response_alg": "ECDH-ES",
            "userinfo_encrypted_response_enc": "A256GCM",
        },
        "introspection-encrypted": {
            "introspection_signed_response_alg": "ES256",
            "introspection_encrypted_response_alg": "RSA-OAEP-256",
            "introspection_encrypted_response_enc": "A256GCM",
        },
        # Other flows.
        "implicit": {"grant_types": [implicit], "response_types": ["id_token", "id_token token"]},
        "hybrid": {
            "grant_types": [code, implicit, refresh],
            "response_types": ["code", "code id_token", "code token", "code id_token token"],
        },
        "device": {"token_endpoint_auth_method": "none", "grant_types": [DEVICE_CODE, refresh], "response_types": []},
        "platform": {"grant_types": [JWT_BEARER, TOKEN_EXCHANGE], "response_types": [], "redirect_uris": []},
        "ciba-poll": {**ciba, "backchannel_token_delivery_mode": "poll"},
        "ciba-user-code": {**ciba, "backchannel_token_delivery_mode": "poll", "backchannel_user_code_parameter": True},
        "ciba-ping": {**ciba, **ping},
        "ciba-signed": {**ciba, **private_key_jwt, **ping, "backchannel_authentication_request_signing_alg": "ES256"},
        "logout": {"backchannel_logout_uri": "{rp}/logout", "backchannel_logout_session_required": True},
        "pairwise": {"subject_type": "pairwise"},
        # The names the provider holds to FAPI 2.0.
        "fapi2-dpop": {**fapi2, "dpop_bound_access_tokens": True, "id_token_signed_response_alg": "PS256"},
        "fapi2-mtls": {**fapi2, **bound, "id_token_signed_response_alg": "ES256"},
        "fapi2-message-signing": {
            **fapi2,
            "dpop_bound_access_tokens": True,
            "id_token_signed_response_alg": "PS256",
            "require_signed_request_object": True,
            "request_object_signing_alg": "ES256",
            "authorization_signed_response_alg": "PS256",
            "introspection_signed_response_alg": "PS256",
        },
    }
    held = {
        "tls": certificates.issued,
        "tls-san": certificates.issued,
        "tls-bound": certificates.issued,
        "tls-self-signed": certificates.self_signed,
        "tls-self-signed-bound": certificates.self_signed,
        "fapi2-mtls": certificates.issued,
    }
    return {name: _register(name, row, jwks, keys, held.get(name)) for name, row in rows.items()}


def client_documents(keys: Mapping[str, Jwk]) -> dict[str, Metadata]:
    """Return what the clients publish under their own origin, by path."""
    return {
        "/jwks": public_jwks(keys),
        "/metadata-document": {
            "client_id": "{rp}/metadata-document",
            "client_name": "A client known by its document",
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "none",
        },
    }


def _register(
    name: str, row: Metadata, jwks: Metadata, keys: Mapping[str, Jwk], certificate: Certificate | None
) -> Client:
    secret = secrets.token_urlsafe(48)
    if name == "spe: c+ial%":
        secret = f":% +/&={secret}"
    metadata = {
        "client_id": name,
        "client_secret": secret,
        "jwks": jwks,
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "redirect_uris": [REDIRECT_URI],
        "post_logout_redirect_uris": [POST_LOGOUT_REDIRECT_URI],
        "authorization_details_types": ["payment"],
        **row,
    }
    if not _needs_secret(row):
        del metadata["client_secret"]
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return Client(name, metadata, metadata.get("client_secret"), keys, certificate)


def _needs_secret(row: Metadata) -> bool:
    method = row.get("token_endpoint_auth_method", "client_secret_basic")
    return method.startswith("client_secret") or any(
        isinstance(value, str) and value.startswith("HS") for value in row.values()
    )


def _certified_jwk(held: Certificate) -> Jwk:
    public_key = ECKey.import_key(
        held.certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    der = held.certificate.public_bytes(serialization.Encoding.DER)
    return {**public_key.as_dict(private=False), "use": "sig", "x5c": [base64.b64encode(der).decode()]}
