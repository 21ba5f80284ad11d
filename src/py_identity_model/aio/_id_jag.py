"""Identity assertions of others as grants, awaited (cross-app access)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._arguments import explains_arguments
from .._core.signals.client_assertion import Examiner
from .._core.signals.id_jag import ID_JAG, IdJag, IdJagValidatorBase
from .._core.validation.issuers import Issuers
from ._clients import Transport
from ._driver import run
from ._validation import TokenValidator


class IdJagValidator(IdJagValidatorBase[Transport]):
    """Validates identity assertions (ID-JAG) that clients present as grants here, and accepts each once."""

    def _examiner(self, issuer: Issuers, audience: str, options: Mapping[str, Any]) -> Examiner:
        made: TokenValidator = TokenValidator(issuer, audience, kind=ID_JAG, http_client=self._http_client, **options)
        return made._validator

    @explains_arguments
    async def validate(self, assertion: str, client_id: str, *, jkt: str | None = None) -> IdJag:
        """Validate an assertion (draft-ietf-oauth-identity-assertion-authz-grant 4.4.1). It is accepted once.

        Args:
            assertion: The assertion, in compact form.
            client_id: The client that authenticated with the request.
            jkt: The thumbprint of the key in the request's DPoP proof, if there is a proof that was validated.

        Returns:
            Whose account the client may act for, and within what.

        Raises:
            TokenValidationException: It is not valid, is for another client, or was used before
                (``assertion_replayed``): answer ``invalid_grant``.
            NetworkException: It cannot be validated right now.
            ConfigurationException: *client_id* is empty.
        """
        return await run(self._validating(assertion, client_id, jkt), self._http_client)


__all__ = ["IdJagValidator"]
