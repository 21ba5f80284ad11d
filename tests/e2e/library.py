"""The library in each of its three ways to be used, talking to the real provider."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import trio

from e2e.clients import REDIRECT_URI, Client
from e2e.driver import Browser, Provider
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.binding.mtls import resolve_mtls_endpoint
from py_identity_model._core.client.client_auth import MtlsClientAuth, PrivateKeyJwt
from py_identity_model._core.client.grants import AuthorizationCodeTokenRequest
from py_identity_model._core.discovery.metadata import DiscoveryDocumentRequest
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jwe import Decryption
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.begin import LoginRequest
from py_identity_model._core.login.client import LoginClient
from py_identity_model._core.login.jar import RequestSigning
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._core.validation.signed_response import SignedResponsePolicy
from py_identity_model.settings import Settings


class Library:
    """One of the APIs, with an HTTP client that trusts the provider's authority.

    Args:
        way: ``sync``, ``asyncio`` or ``trio``.
        provider: The provider to talk to.
    """

    def __init__(self, way: str, provider: Provider) -> None:
        self.way = way
        self.provider = provider
        self.package = "sync" if way == "sync" else "aio"

    def module(self, name: str) -> Any:
        """Return a module of this API."""
        return importlib.import_module(f"py_identity_model.{self.package}._{name}")

    def call(self, where: str, *args: Any, **kwargs: Any) -> Any:
        """Call ``module.function`` with the client and wait for its result."""
        name, _, function = where.partition(".")
        return self.drive(getattr(self.module(name), function), *args, **kwargs)

    def drive(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of this API with ``http_client`` and wait for its result."""
        ca_file = str(self.provider.ca_file)
        if self.way == "sync":
            with self.module("clients").HTTPClient(verify=ca_file) as http_client:
                return function(*args, **kwargs, http_client=http_client)

        async def main() -> Any:
            async with self.module("clients").HTTPClient(verify=ca_file) as http_client:
                return await function(*args, **kwargs, http_client=http_client)

        return self._loop(main)

    def wait(self, function: Any, *args: Any) -> Any:
        """Call a function of this API and wait for its result."""
        if self.way == "sync":
            return function(*args)

        async def main() -> Any:
            return await function(*args)

        return self._loop(main)

    def _loop(self, main: Any) -> Any:
        return asyncio.run(main()) if self.way == "asyncio" else trio.run(main)

    def validate(self, validator: Any, token: str, **expected: Any) -> dict[str, Any]:
        """Have a validator of this API look at a token."""
        if self.way == "sync":
            claims: dict[str, Any] = validator.validate(token, **expected)
            return claims

        async def main() -> Any:
            return await validator.validate(token, **expected)

        return dict(self._loop(main))

    def validator(self, *args: Any, **kwargs: Any) -> Any:
        """Build a ``TokenValidator`` of this API with caches of its own."""
        return self.module("validation").TokenValidator(*args, stores=self.stores(), **kwargs)

    def stores(self) -> Stores:
        """Return empty caches."""
        return Stores(self.way, Settings())

    def metadata(self, *, secure: bool = False) -> Any:
        """Discover the provider, the one behind https if *secure*."""
        issuer = self.provider.mtls_issuer if secure else self.provider.issuer
        found = self.call("discovery.get_discovery_document", DiscoveryDocumentRequest(address=issuer))
        found.raise_for_error()
        return found

    def endpoint(self, name: str, client: Client) -> str:
        """Return an endpoint as the client should use it: the alias where it has a certificate (RFC 8705 5)."""
        metadata = self.metadata(secure=client.certificate is not None)
        url = resolve_mtls_endpoint(metadata, name) if client.certificate else getattr(metadata, name)
        assert isinstance(url, str)
        return url

    def issuer_of(self, client: Client) -> str:
        """Return the issuer that the client talks to."""
        return self.provider.mtls_issuer if client.certificate else self.provider.issuer

    def login_client(self, client: Client, **changes: Any) -> LoginClient:
        """Return the client as the library is told about it, everything as it is registered."""
        said, issuer = client.metadata, self.issuer_of(client)
        options: dict[str, Any] = {
            **credentials(client, issuer),
            "redirect_uri": REDIRECT_URI,
            "id_token_signed_response_alg": said.get("id_token_signed_response_alg", "RS256"),
            "id_token_decryption": decryption(client, "id_token"),
            "authorization_signed_response_alg": said.get("authorization_signed_response_alg"),
            "authorization_decryption": decryption(client, "authorization"),
            "dpop_key": DPoPKey() if said.get("dpop_bound_access_tokens") else None,
        }
        if "authorization_signed_response_alg" in said:
            options["response_mode"] = "jwt"
        if said.get("require_pushed_authorization_requests"):
            options["pushed"] = True
        if "request_object_signing_alg" in said:
            options["request_signing"] = RequestSigning(signing_key(client, said["request_object_signing_alg"]))
        return LoginClient(**{**options, **changes})

    def log_in(self, client: LoginClient, request: LoginRequest | None = None, browser: Browser | None = None) -> Any:
        """Log in by the library's own flow, the user clicking through."""
        start = self.call("login.begin_login", client, request)
        start.raise_for_error()
        follow = browser.authorize if browser else self.provider.follow_login
        returned = follow(start.url, REDIRECT_URI)
        came = urlencode(returned.form).encode() if returned.form is not None else returned.url
        return self.call("login.complete_login", client, came, start.transaction)

    def signed_response(self, client: Client, what: str) -> SignedResponsePolicy:
        """Return what a signed answer must be like, as the client is registered."""
        alg = client.metadata.get(f"{what}_signed_response_alg", "RS256")
        config = TokenValidationConfig(perform_disco=True, audience=client.client_id, algorithms=[alg])
        return SignedResponsePolicy(config, self.issuer_of(client), decryption(client, what))

    def redeem(self, client: Client, code: str, verifier: str | None, **more: Any) -> Any:
        """Redeem a code at the token endpoint."""
        return self.call(
            "grants.request_authorization_code_token",
            AuthorizationCodeTokenRequest(
                self.endpoint("token_endpoint", client),
                code=code,
                redirect_uri=REDIRECT_URI,
                code_verifier=verifier,
                **credentials(client, self.issuer_of(client)),
                **more,
            ),
        )


def credentials(client: Client, issuer: str) -> dict[str, Any]:
    """Return the fields of a request with which this client proves who it is."""
    method = client.metadata.get("token_endpoint_auth_method", "client_secret_basic")
    fields: dict[str, Any] = {"client_id": client.client_id, "issuer": issuer, "auth_method": method}
    if method == "private_key_jwt":
        alg = client.metadata.get("token_endpoint_auth_signing_alg", "RS256")
        fields["private_key_jwt"] = PrivateKeyJwt(SigningKey.from_jwk(client.keys[alg], alg))
    elif method.startswith("client_secret"):
        fields["client_secret"] = client.client_secret
    if client.certificate is not None:
        fields["mtls"] = MtlsClientAuth(
            str(client.certificate.cert_file),
            str(client.certificate.key_file),
            auth_method=method if "tls" in method else "tls_client_auth",
        )
    return fields


def signing_key(client: Client, alg: str) -> SigningKey:
    """Return the client's key of the algorithm, or of the key type where several algorithms share it."""
    return SigningKey.from_jwk(client.keys[alg.replace("PS", "RS")], alg)


def decryption(client: Client, what: str) -> Decryption | None:
    """Return how the client opens what is registered to be encrypted."""
    alg = client.metadata.get(f"{what}_encrypted_response_alg")
    if alg is None:
        return None
    key = client.keys["RSA-OAEP-256" if alg.startswith("RSA") else "ECDH-ES"]
    return Decryption([key], [alg], [client.metadata[f"{what}_encrypted_response_enc"]])


def authorization_url(endpoint: str, client: Client, **parameters: str) -> tuple[str, Mapping[str, str]]:
    """Return where to send the browser, and what was sent along, the secret ``code_verifier`` beside it."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "client_id": client.client_id,
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": "openid",
        "state": secrets.token_urlsafe(16),
        "nonce": secrets.token_urlsafe(16),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **parameters,
    }
    return f"{endpoint}?{urlencode(query)}", {**query, "code_verifier": verifier}
