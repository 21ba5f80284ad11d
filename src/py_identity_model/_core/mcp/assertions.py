"""Tokens for an assertion that others make: of a workload, or of the enterprise of a user (RFC 7523 2.1).

MCP extensions Workload Identity Federation and Enterprise-Managed Authorization.
"""

from __future__ import annotations

from typing import Any

from ..._refusals import must_be
from ...exceptions import PyIdentityModelException
from ..base.flow import Flow, now, resolve
from ..base.secret import Secret, credential_unavailable
from ..client.grants import JWT_BEARER, JwtBearerTokenRequest, request_jwt_bearer_token
from ..client.held_tokens import Asking, Held, kept, wanted
from ..client.identity_tokens import IdentityTokenSource, current_token
from ..client.token_manager import Slot
from ..client.token_renewal import Granted, Renewal
from ..login.client import LoginClient, endpoint_of, provider_metadata
from ..login.oauth_client import TokenSource
from ..login.oauth_grants import Wants
from ..login.oauth_verbs import OAuthVerbs
from .options import Assertion, AuthorizationTarget


class AssertionTokens(TokenSource):
    """Tokens that assertions bring. Each renewal asks for a new assertion, and sends it once."""

    def __init__(self, client: OAuthVerbs[Any], wants: Wants, assertion: Assertion) -> None:
        super().__init__(client, wants)
        self._assertion = assertion

    def _found(self) -> Flow[tuple[Slot, Renewal]]:
        client = yield from self._client._prepared()
        wants = self._wants
        asking = Asking(
            client.issuer,
            client.client_id,
            "",
            JWT_BEARER,
            wants.subject or "",
            jkt=client.dpop_key.jwk_thumbprint if client.dpop_key else "",
            **wanted(wants.scope, wants.resource, None, None),
        )
        self.dpop_key = client.dpop_key
        renewal = self._client._renewal(client, asking, wants)._replace(ask=self._ask(client))
        self._place = self._client._manager.slot(asking), renewal
        return self._place

    def _ask(self, client: LoginClient) -> Any:
        def ask(held: Held | None) -> Flow[Granted]:
            metadata = yield from provider_metadata(client, self._client._services())
            assertion = yield from self._made(client)
            wall = (yield from now()).wall
            request = JwtBearerTokenRequest(
                endpoint_of(client, metadata, "token_endpoint"),
                assertion=assertion,
                scope=self._wants.scope,
                resource=self._wants.resource,
                dpop_key=client.dpop_key,
                **client.credentials(metadata),
            )
            response = yield from request_jwt_bearer_token(request)
            response.raise_for_error()
            return Granted(kept(response, wall))

        return ask

    def _made(self, client: LoginClient) -> Flow[str | Secret]:
        given: Any = self._assertion
        if not isinstance(given, IdentityTokenSource):
            given = yield from self._from_function(client)
        made = yield from current_token(given, "assertion")
        if isinstance(made, str | Secret) and made:
            return made
        raise must_be("assertion", "a source of JWTs, or a function that returns one", type(made).__name__)

    def _from_function(self, client: LoginClient) -> Flow[object]:
        target = AuthorizationTarget(client.issuer, str(self._wants.resource), client.client_id)
        try:
            return (yield from resolve(self._assertion(target)))  # type: ignore[operator] # a source was told before
        except PyIdentityModelException:
            raise
        except Exception as error:  # foreign code, and its error may hold what it was to return
            failure = type(error).__name__
        raise credential_unavailable("assertion", failure)


__all__ = ["AssertionTokens"]
