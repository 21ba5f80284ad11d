"""Assertions of others, and Global Token Revocation, awaited (RFC 7523 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.signals.client_assertion import CLIENT_ASSERTION, ClientAssertionValidatorBase, Examiner
from .._core.signals.global_revocation import GlobalRevocation, GlobalRevocationReceiverBase
from .._core.validation.claim_checks import Claims
from .._core.validation.issuers import Issuers
from ._clients import Transport
from ._driver import run
from ._validation import TokenValidator


class ClientAssertionValidator(ClientAssertionValidatorBase[Transport]):
    """Validates the signed assertions that others authenticate with here, and accepts each once."""

    def _examiner(self, issuer: Issuers, audience: str, options: Mapping[str, Any]) -> Examiner:
        made: TokenValidator = TokenValidator(
            issuer, audience, kind=CLIENT_ASSERTION, http_client=self._http_client, **options
        )
        return made._validator

    async def validate(self, assertion: str) -> Claims:
        """Validate an assertion and return its claims (RFC 7523 3). It is accepted once.

        Args:
            assertion: The assertion, in compact form.

        Returns:
            A new dict of the claims; ``iss`` tells who authenticated.

        Raises:
            TokenValidationException: It is not valid, or was used before (``assertion_replayed``).
            NetworkException: It cannot be validated right now.
        """
        return await run(self.validating(assertion), self._http_client)


class GlobalRevocationReceiver(GlobalRevocationReceiverBase[Transport]):
    """Serves an endpoint of Global Token Revocation: a caller who may has all tokens of a user refused."""

    async def receive(
        self,
        body: bytes | str,
        content_type: str | None,
        authorization: str | None = None,
        *,
        caller: Mapping[str, Any] | None = None,
    ) -> GlobalRevocation:
        """Judge a request, and do what it says.

        Args:
            body: The body of the POST request.
            content_type: Its header ``Content-Type``.
            authorization: Its header ``Authorization``, with a signed assertion as a bearer token.
            caller: The claims of an access token that your gate has validated, with a scope for nothing but this, in
                place of *authorization*.

        Returns:
            What became of it, and what to answer with. Nothing is raised for what came in.
        """
        return await run(self._received(body, content_type, authorization, caller), self._http_client)


__all__ = ["ClientAssertionValidator", "GlobalRevocationReceiver"]
