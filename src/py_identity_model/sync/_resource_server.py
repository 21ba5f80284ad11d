"""The gate in front of an API, blocking: who may pass, and how others are answered (RFC 6750, RFC 9470, RFC 9728)."""

from __future__ import annotations

from typing import Literal, Self, Unpack, overload

from .._arguments import explains_arguments
from .._config import PREFIX
from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import ResourceServerBase, ResourceServerOptions
from .._resource_settings import introspector_arguments, read_settings, server_arguments, validator_arguments
from ..exceptions import PyIdentityModelException
from ._clients import Transport
from ._driver import run
from ._introspection import TokenIntrospector
from ._validation import TokenValidator


class ResourceServer(ResourceServerBase[Transport]):
    """Decides for an API who may pass. Build it once; threads may share it.

    >>> from py_identity_model import TokenValidator
    >>> from py_identity_model import InboundRequest, Requirement
    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
    >>> api = ResourceServer(validator)
    >>> token = provider.mint(audience="api", subject="ada", scope="orders.read")
    >>> request = InboundRequest.build("GET", "https://api/orders", {"Authorization": f"Bearer {token}"})
    >>> read, write = Requirement(scopes=["orders.read"]), Requirement(scopes=["orders.write"])
    >>> api.authorize(request, read).subject
    'ada'
    >>> api.decide(request, write).status
    403
    """

    @classmethod
    @explains_arguments
    def from_env(cls, *, prefix: str = PREFIX, **options: Unpack[ResourceServerOptions]) -> Self:
        """Build one of what the environment says, so that a container needs no code.

        Read are ``OIDC_ISSUER`` and ``OIDC_AUDIENCE`` (both required, several are parted by spaces), and
        ``OIDC_ALGORITHMS``, ``OIDC_TOKEN_KIND``, ``OIDC_LEEWAY``, ``OIDC_RESOURCE``, ``OIDC_SCOPES_SUPPORTED``,
        ``OIDC_SENDER_CONSTRAINT``, ``OIDC_EXTERNAL_URL``, ``OIDC_TRUSTED_PROXIES``, ``OIDC_FORWARDED``,
        ``OIDC_STORE`` (``sqlite:///path`` or ``redis://host``), and for opaque tokens ``OIDC_INTROSPECTION_URL``,
        ``OIDC_CLIENT_ID`` and ``OIDC_CLIENT_SECRET``.

        Args:
            prefix: What the names begin with.
            options: What no variable can say: ``roles``, ``scope_hierarchy``, ``load_user``, ``on_refusal``, ``realm``.

        Raises:
            ConfigError: Something is missing or wrong; ``issues`` has all of it.
        """
        settings = read_settings(prefix)
        validator = TokenValidator(**validator_arguments(settings))
        asked = introspector_arguments(settings)
        introspector = None if asked is None else TokenIntrospector(**asked)
        return cls(validator, introspector=introspector, **server_arguments(settings), **options)

    @overload
    def authorize(
        self, request: InboundRequest, requirement: Requirement | None = None, *, optional: Literal[False] = False
    ) -> AuthenticatedPrincipal: ...
    @overload
    def authorize(
        self, request: InboundRequest, requirement: Requirement | None = None, *, optional: bool
    ) -> AuthenticatedPrincipal | None: ...
    @explains_arguments
    def authorize(
        self, request: InboundRequest, requirement: Requirement | None = None, *, optional: bool = False
    ) -> AuthenticatedPrincipal | None:
        """Let a request pass, or raise.

        Args:
            request: The request.
            requirement: What it must bring besides a valid token.
            optional: Whether a request without any token may pass, as nobody. A token that is not valid never does.

        Returns:
            Who it is from; None for nobody: a request without a token where that is enough, or a CORS preflight.

        Raises:
            ValidationException: It may not pass; ``client_error`` says how it is answered, :meth:`refuse` answers.
            NetworkException: Whether it may cannot be told right now.
        """
        return run(self.gate.admit(request, requirement, optional=optional), self._http_client)

    @explains_arguments
    def decide(
        self, request: InboundRequest, requirement: Requirement | None = None, *, optional: bool = False
    ) -> AuthenticatedPrincipal | Refusal | None:
        """Let a request pass, or answer it.

        Args:
            request: The request.
            requirement: What it must bring besides a valid token.
            optional: Whether a request without any token may pass, as nobody. A token that is not valid never does.

        Returns:
            Who it is from, or the HTTP answer that refuses it; None for nobody, see :meth:`authorize`.
        """
        principal = self.gate.at_once(request, requirement)
        if principal is not None:
            return principal
        return run(self.gate.decide(request, requirement, optional=optional), self._http_client)

    @explains_arguments
    def refuse(
        self, error: PyIdentityModelException, request: InboundRequest, requirement: Requirement | None = None
    ) -> Refusal:
        """Answer a request that may not pass because of *error*, and tell the log why.

        Args:
            error: Why.
            request: The request.
            requirement: What it must have brought; its scopes are told.

        Returns:
            Status, headers and body; what was wrong with a token is not in them.
        """
        return run(self.gate.refuse(error, request, requirement), self._http_client)


__all__ = ["ResourceServer"]
