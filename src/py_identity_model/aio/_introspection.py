"""Token introspection, awaited (RFC 7662, RFC 9701)."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.base.secret import Secret
from .._core.client import introspection as flows
from .._core.client.introspection import TokenIntrospectionRequest, TokenIntrospectionResponse, TokenIntrospectorBase
from .._core.validation.config import TokenValidationConfig
from .._core.validation.token_kinds import Kind
from .._core.validation.validator import Validator
from ..settings import get_settings
from ._clients import Transport
from ._driver import run
from ._validation import validators, validators_for


@explains_arguments
async def introspect_token(
    request: TokenIntrospectionRequest, http_client: Transport | None = None
) -> TokenIntrospectionResponse:
    """Ask the provider what a token means (RFC 7662 2).

    Args:
        request: Endpoint, token, credentials, and what an active token must be.
        http_client: The transport; by default the event loop's own client.

    Returns:
        What the token means; ``active`` is False where it means nothing. The response is not successful if the token is
        active but expired, or for another audience (``exception`` is a ``ValidationException``), or if nobody can tell
        (``exception`` is a ``NetworkException``). Nothing of this is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.
    """
    return await run(flows.introspect_token(request, get_settings(), validators_for(http_client)), http_client)


class TokenIntrospector(TokenIntrospectorBase[Transport]):
    """Asks one endpoint about many tokens and remembers the answers for a while. Tasks and event loops may share it.

    Concurrent questions about one token become one request. That nobody can tell is never remembered as an answer.
    """

    _api = "aio"
    _settings = staticmethod(get_settings)

    def _validators(self, config: TokenValidationConfig, address: str | None, kind: Kind) -> Validator:
        return validators(config, address, kind, self._http_client)

    @explains_arguments
    async def introspect(self, token: str | Secret) -> TokenIntrospectionResponse:
        """Return what *token* means, from memory if it was asked about a moment ago.

        Args:
            token: The token.

        Returns:
            As :func:`introspect_token`; nothing is raised for what the provider or the network does.
        """
        return await run(self._asking(token), self._http_client)

    async def __call__(self, token: str | Secret) -> TokenIntrospectionResponse:
        """Do the same: ``await authenticate_token(token, validate_jwt, introspector, audience=...)``."""
        return await self.introspect(token)


__all__ = ["TokenIntrospector", "introspect_token"]
