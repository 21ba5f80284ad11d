"""A provider in this process and resource servers that trust it, for the tests of single doors."""

from __future__ import annotations

import time
from typing import Any

import py_identity_model
import py_identity_model.aio
from py_identity_model import DPoPKey, DPoPNonces, DPoPValidator, create_dpop_proof
from py_identity_model.testing import EmbeddedProvider

AUDIENCE = "https://api.example.com"
KEY = DPoPKey()


class DoorWorld:
    """A provider, its tokens, and the resource servers of both APIs."""

    def __init__(self) -> None:
        self.provider = EmbeddedProvider()

    def blocking(self, **options: Any) -> py_identity_model.ResourceServer:
        """Return a resource server of the blocking API."""
        return py_identity_model.ResourceServer(self._validator(py_identity_model), **options)

    def awaiting(self, **options: Any) -> py_identity_model.aio.ResourceServer:
        """Return a resource server of the awaiting API."""
        return py_identity_model.aio.ResourceServer(self._validator(py_identity_model.aio), **options)

    def _validator(self, api: Any) -> Any:
        return api.TokenValidator(self.provider.issuer, audience=AUDIENCE, http_client=self.provider.transport)

    def token(self, **claims: Any) -> str:
        """Return a token for the API."""
        return self.provider.mint(**{"audience": AUDIENCE, "subject": "ada", "scope": "orders.read"} | claims)

    def bearer(self, **claims: Any) -> dict[str, str]:
        """Return a header with such a token."""
        return {"Authorization": f"Bearer {self.token(**claims)}"}

    def bound(self, method: str, url: str, nonce: str | None = None) -> dict[str, str]:
        """Return the headers of a request with a token bound to a key, and its proof."""
        token = self.token(cnf={"jkt": KEY.jwk_thumbprint})
        proof = create_dpop_proof(KEY, method, url, access_token=token, nonce=nonce)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}


def renewed_nonce() -> tuple[DPoPValidator, str]:
    """Return a checker of proofs, and a nonce that is still good and has been followed by another."""
    nonces = DPoPNonces()
    old = nonces.current(time.time())
    nonces.rotate()
    return DPoPValidator(nonces=nonces), old
