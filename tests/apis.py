"""Both APIs behind one face, so that a test is written once; and a small provider that is only data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import trio

import py_identity_model.aio._discovery as awaitable_discovery
import py_identity_model.aio._validation as awaitable
import py_identity_model.sync._discovery as blocking_discovery
import py_identity_model.sync._validation as blocking
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.settings import Settings

ISSUER = "https://id.example.com"
NOW = 1_800_000_000


class Api:
    """One of the APIs: ``sync``, or ``aio`` under asyncio or trio."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: Any = blocking if name == "sync" else awaitable
        #: What gives metadata and key sets out, and clears and counts their caches.
        self.discovery: Any = blocking_discovery if name == "sync" else awaitable_discovery

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call *function* of this API and wait for its result."""
        if self.name == "sync":
            return function(*args, **kwargs)

        async def main() -> Any:
            return await function(*args, **kwargs)

        return asyncio.run(main()) if self.name == "asyncio" else trio.run(main)

    def validator(self, *args: Any, stores: Stores | None = None, **kwargs: Any) -> Any:
        """Build a ``TokenValidator`` with caches of its own."""
        own = Stores(self.name, Settings()) if stores is None else stores
        return self.module.TokenValidator(*args, stores=own, **kwargs)


class Provider:
    """A provider that is only data: its keys, its documents, and what was asked of it."""

    def __init__(self, issuer: str = ISSUER, **keys: SigningKey) -> None:
        self.issuer = issuer
        self.keys = keys or {"k1": SigningKey.generate("ES256", kid="k1")}
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "jwks_uri": issuer + "/jwks",
            "authorization_endpoint": issuer + "/authorize",
            "token_endpoint": issuer + "/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        self.requests: list[str] = []
        self.fail: Callable[[Request], Reply | None] = lambda request: None

    def __call__(self, request: Request) -> Reply:
        """Answer as the transport."""
        self.requests.append(request.url)
        failed = self.fail(request)
        if failed is not None:
            return failed
        document = self.jwks() if request.url.endswith("/jwks") else self.metadata
        return Reply(200, (("content-type", "application/json"),), json.dumps(document).encode(), request.url)

    def jwks(self) -> dict[str, Any]:
        """Return the key set."""
        return {"keys": [{**(key.public_jwk or {}), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims, changed; None takes a claim away."""
        good = {"iss": self.issuer, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 600}
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, *, typ: str | None = "at+jwt", key: SigningKey | None = None, **changes: Any) -> str:
        """Mint a token."""
        signer = key or next(iter(self.keys.values()))
        return sign_compact(self.claims(**changes), signer, typ=typ)

    def count(self, what: str) -> int:
        """Count the requests whose address ends so."""
        return sum(url.endswith(what) for url in self.requests)
