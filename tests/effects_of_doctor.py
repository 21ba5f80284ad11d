"""For examinations and each of their parameters: a call that works, and another value."""

from __future__ import annotations

from typing import Any

import py_identity_model as p
from apis import ISSUER
from doctor_world import provider
from effects import Case, Recorder
from py_identity_model._core.base.flow import Reply, Request

SITE = provider(jwks_uri="https://10.0.0.1/jwks", registration_endpoint=f"{ISSUER}/register")


class Server(Recorder):
    """A provider that keeps what it was asked."""

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        return SITE(request)


def found(door: Any) -> p.Examination:
    """Return an examination with one finding that passed."""
    finding = p.Finding("pkce", "pass", ISSUER, "S256", "", "", "RFC 7636", "https://www.rfc-editor.org/rfc/rfc7636")
    return p.Examination(ISSUER, "provider", (finding,))


DOCTOR: dict[str, Case] = {
    "examine": Case(
        {"url": ISSUER, "http_client": Server()},
        {
            "url": "https://other.example.com",
            "kind": "api",
            "active": True,
            "fapi": True,
            "seconds": 0.5,
            "allow_private_addresses": True,
            "http_client": Server("second"),
        },
    ),
    "Examination.of": Case({"verdicts": ["pass"]}, {"verdicts": ["fail"]}, of=found),
}
