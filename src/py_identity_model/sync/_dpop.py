"""Checking DPoP proofs, blocking (RFC 9449 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._arguments import explains_arguments
from .._core.binding.dpop_server import DPoPProof, DPoPValidator
from .._core.binding.inbound_request import InboundRequest
from ._driver import run


@explains_arguments
def validate_dpop_proof(
    validator: DPoPValidator,
    request: InboundRequest,
    *,
    access_token: str | None = None,
    claims: Mapping[str, Any] | None = None,
    expected_jkt: str | None = None,
) -> DPoPProof:
    """Check the DPoP proof of a request, and that it is used for the first time (RFC 9449 4.3, 11.1).

    Args:
        validator: What is demanded of proofs.
        request: The request.
        access_token: The token that came with it, at a resource.
        claims: That token's validated claims.
        expected_jkt: The key it must be made with, at an authorization server.

    Returns:
        What the proof says; answer with its ``next_nonce`` in the header ``DPoP-Nonce`` if there is one.

    Raises:
        DPoPValidationException: A check failed; ``code`` tells which.
        NetworkException: The replay memory cannot answer.
    """
    return run(validator.validate(request, access_token=access_token, claims=claims, expected_jkt=expected_jkt))


__all__ = ["validate_dpop_proof"]
