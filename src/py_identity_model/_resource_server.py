"""What both ``ResourceServer`` classes have in common: how one is built, and what it publishes of itself."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypedDict, TypeVar

from ._arguments import checks_arguments
from ._core.base.flow import Flow, call, resolve
from ._core.base.store import AnyStore
from ._core.binding.challenges import ChallengePolicy
from ._core.binding.dpop_server import DPoPValidator
from ._core.binding.inbound_request import ProxyPolicy
from ._core.discovery.key_sources import RemoteKeys
from ._core.resource.gate import Authenticated, Gate, OnRefusal, SenderConstraint
from ._core.resource.presented_token import classify_token, header_name
from ._core.resource.principal import LoadUser, PrincipalRules, RoleSource
from ._core.resource.protected_resource import authenticate_token
from ._core.resource.resource_metadata import ProtectedResourceMetadata, well_known_url
from ._core.validation.payload import peek_issuer
from ._refusals import must_be
from ._token_validator import TokenValidatorBase
from .exceptions import ConfigurationException, PyIdentityModelException

#: Asks about opaque tokens: one introspector, or one for each issuer (None: for tokens that name none).
Introspectors = Callable[[str], object] | Mapping[str | None, Callable[[str], object]]

#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")

_CONSTRAINTS = ("accepted", "required", "refused")


class ResourceServerOptions(TypedDict, total=False):
    """What is said of a resource server in code, whatever the environment says."""

    roles: Iterable[RoleSource]
    scope_hierarchy: Mapping[str, Iterable[str]]
    load_user: LoadUser
    on_refusal: OnRefusal
    realm: str
    token_header: str


class LoginEndpoints(NamedTuple):
    """Where a client of this API gets its tokens."""

    authorization_endpoint: str
    token_endpoint: str
    scopes: tuple[str, ...]


class ValidatesTokens(Protocol):
    """A ``TokenValidator`` of either API, or what behaves like one."""

    def validate(self, token: str, /) -> Mapping[str, Any] | Awaitable[Mapping[str, Any]]:
        """Return the claims of a valid token, or an awaitable of them; raise for others."""
        ...


class ResourceServerBase(Generic[Transport]):
    """The part of a ``ResourceServer`` that waits for nothing.

    Attributes:
        blocking: Whether a request can be decided without an event loop.
        metadata: What is published of this API (RFC 9728); None without ``resource``.
        gate: What decides, in both APIs.
    """

    validator: ValidatesTokens
    blocking: bool

    @checks_arguments
    def __init__(
        self,
        validator: ValidatesTokens,
        *,
        resource: str | None = None,
        introspector: Introspectors | None = None,
        sender_constraint: SenderConstraint = "accepted",
        dpop: DPoPValidator | None = None,
        scopes_supported: Iterable[str] = (),
        authorization_servers: Iterable[str] | None = None,
        roles: Iterable[RoleSource] | None = None,
        scope_hierarchy: Mapping[str, Iterable[str]] | None = None,
        load_user: LoadUser | None = None,
        on_refusal: OnRefusal | None = None,
        proxies: ProxyPolicy | None = None,
        realm: str | None = None,
        leeway: float = 0.0,
        store: AnyStore | None = None,
        http_client: Transport | None = None,
        token_header: str | None = None,
    ) -> None:
        """Protect an API.

        Args:
            validator: Validates the tokens: a ``TokenValidator`` of either API. Where a request waits in an event loop,
                one of ``aio`` is the better choice.
            resource: The identifier of this API, an https URL (RFC 9728 1.2): clients are led to the metadata it
                publishes.
            introspector: Asks the provider about opaque tokens (RFC 7662): a ``TokenIntrospector``, or one for each
                issuer whose tokens are to be asked about, with None for tokens that name no issuer.
            sender_constraint: Whether tokens bound to a key (DPoP, RFC 9449) or a certificate (RFC 8705) are
                ``accepted`` beside others, ``required``, or ``refused``. A bound token never passes unchecked.
            dpop: How DPoP proofs are checked; by default those of 60 seconds, remembered in *store*.
            scopes_supported: The scopes of this API, for its metadata and its documentation page.
            authorization_servers: Issuers whose tokens it takes, for its metadata; by default those of *validator*.
            roles: Where roles are: claims, or tuples of names that lead to one; by default the places where Keycloak,
                Entra and Auth0 have them.
            scope_hierarchy: For a scope those that it implies: ``{"admin": ["orders.read"]}``.
            load_user: Called with the :class:`AuthenticatedPrincipal` of an accepted token; what it returns is its
                ``user``. None refuses.
            on_refusal: Called with error, request and answer of each refusal; returns another answer, or None.
            proxies: How requests reach this server: needed for DPoP and client certificates behind a proxy.
            realm: The realm of challenges.
            leeway: Seconds by which clocks may differ, for the age of a login and answers of introspection.
            store: Where used DPoP proofs are remembered; workers and pods share one.
            http_client: The transport by which a decision point is asked (:class:`AccessEvaluation`).
            token_header: The header in which a proxy that authenticates users hands the token on, in place of
                ``Authorization``: ``Cf-Access-Jwt-Assertion`` of Cloudflare Access. It is validated like any other.

        Raises:
            ConfigurationException: The arguments cannot be used together.
        """
        self.validator, self.blocking = _usable(validator), not _awaits(validator.validate)
        self._leeway, self._http_client, self._introspectors = leeway, http_client, _by_issuer(introspector)
        proofs = _proofs(sender_constraint, dpop, store)
        # Refreshing a session is between a client and its provider: no resource asks for it.
        self._scopes = tuple(scope for scope in scopes_supported if scope != "offline_access")
        self.metadata: ProtectedResourceMetadata | None = self._described(resource, authorization_servers, proofs)
        self._audience = self._audience_of(resource)
        self.gate: Gate = Gate(
            authenticate=self._authenticate,
            known=self._known(),
            policy=_challenges(sender_constraint, proofs, realm, resource),
            constraint=sender_constraint,
            dpop=proofs,
            proxies=proxies,
            rules=_rules(roles, scope_hierarchy),
            load_user=load_user,
            on_refusal=on_refusal,
            leeway=leeway,
            token_header=None if token_header is None else header_name(token_header),
        )

    def _described(
        self,
        resource: str | None,
        issuers: Iterable[str] | None,
        proofs: DPoPValidator | None,
    ) -> ProtectedResourceMetadata | None:
        if resource is None:
            return None
        known = self.validator
        named = tuple(known._validator.by_issuer) if isinstance(known, TokenValidatorBase) else ()
        return ProtectedResourceMetadata(
            resource=resource,
            authorization_servers=(named if issuers is None else tuple(issuers)) or None,
            scopes_supported=self._scopes or None,
            bearer_methods_supported=("header",),
            dpop_signing_alg_values_supported=None if proofs is None else proofs.algorithms,
        )

    def _audience_of(self, resource: str | None) -> frozenset[str]:
        known = self.validator
        audience = known._options.audience if isinstance(known, TokenValidatorBase) else None
        if audience is None and resource is None and self._introspectors:
            raise ConfigurationException(
                "Answers about opaque tokens must name this API, and it has no name",
                code="policy_invalid",
                claim="resource",
                hint="ResourceServer(..., resource=...), or TokenValidator(..., audience=...)",
            )
        return audience or frozenset((resource or "nobody is asked",))

    # ---- tokens

    def _known(self) -> Callable[[str], Mapping[str, Any] | None]:
        known = self.validator
        asked = self._introspectors.keys() - {None}
        return known._at_once if isinstance(known, TokenValidatorBase) and not asked else _unknown

    def _authenticate(self, token: str) -> Flow[Authenticated]:
        is_jwt = classify_token(token) == "jwt"
        # What a JWT says of itself chooses only whom to ask about it.
        introspector = self._introspectors.get(peek_issuer(token) if is_jwt else None)
        claims = yield from authenticate_token(
            token,
            self._validate if introspector is None else None,
            None if introspector is None else lambda one: _ask(introspector, one),
            audience=self._audience,
            leeway=self._leeway,
            allow_missing_audience=getattr(introspector, "allows_missing_audience", False),
        )
        if introspector is None:
            return Authenticated(claims, "jwt")
        if isinstance(self.validator, TokenValidatorBase):
            yield from self.validator.refusing_revoked(claims)
        return Authenticated(claims, "opaque")

    def _validate(self, token: str) -> Flow[Mapping[str, Any]]:
        claims: Mapping[str, Any] = yield from _ask(self.validator.validate, token)
        return claims

    @property
    def audiences(self) -> frozenset[str]:
        """The names of this API that tokens must be for."""
        return self._audience

    # ---- for documentation pages

    def discovery_url(self) -> str | None:
        """Return where the metadata of the first issuer is; None where tokens are verified without any."""
        source = self._source()
        return None if source is None else source.metadata_url

    def login_endpoints(self) -> LoginEndpoints | None:
        """Return where people log in to get a token for this API; None while that is not known."""
        source = self._source()
        if source is not None and source.metadata is None and self.blocking:
            with suppress(PyIdentityModelException):
                self.validator.warm_up()  # type: ignore[attr-defined] # only a TokenValidator has a source
        metadata = None if source is None else source.metadata
        if metadata is None or not metadata.authorization_endpoint or not metadata.token_endpoint:
            return None
        return LoginEndpoints(metadata.authorization_endpoint, metadata.token_endpoint, ("openid", *self._scopes))

    def _source(self) -> RemoteKeys | None:
        known = self.validator
        trusted = known._validator.by_issuer.values() if isinstance(known, TokenValidatorBase) else ()
        sources = (each.source for each in list(trusted))
        return next((source for source in sources if isinstance(source, RemoteKeys)), None)

    def __repr__(self) -> str:
        resource = None if self.metadata is None else self.metadata.resource
        return f"{type(self).__name__}({self.validator!r}, resource={resource!r})"


def _unknown(_: str) -> None:
    return None


def _by_issuer(introspector: Introspectors | None) -> dict[str | None, Callable[[str], Any]]:
    if introspector is None:
        return {}
    found: dict[str | None, Callable[[str], Any]] = (
        dict(introspector) if isinstance(introspector, Mapping) else {None: introspector}
    )
    for issuer, one in found.items():
        if not callable(one) or not (issuer is None or isinstance(issuer, str)):
            raise must_be("introspector", "a TokenIntrospector, or one for each issuer", type(one).__name__)
    return found


def _rules(
    roles: Iterable[RoleSource] | None, scope_hierarchy: Mapping[str, Iterable[str]] | None
) -> PrincipalRules | None:
    return None if roles is None and scope_hierarchy is None else PrincipalRules(roles, scope_hierarchy)


def _usable(validator: ValidatesTokens) -> ValidatesTokens:
    if not callable(getattr(validator, "validate", None)):
        raise must_be("validator", "a TokenValidator", type(validator).__name__, code="argument_invalid")
    return validator


def _proofs(constraint: SenderConstraint, dpop: DPoPValidator | None, store: AnyStore | None) -> DPoPValidator | None:
    if constraint not in _CONSTRAINTS:
        raise must_be("sender_constraint", f"one of {', '.join(_CONSTRAINTS)}", constraint)
    if constraint == "refused":
        if dpop is not None:
            raise ConfigurationException(
                "Bound tokens are refused, so no DPoP proof is ever checked", code="policy_invalid", claim="dpop"
            )
        return None
    if dpop is not None and store is not None:
        raise ConfigurationException(
            "dpop has a store of its own", code="policy_invalid", claim="store", hint="DPoPValidator(store=...)"
        )
    return dpop if dpop is not None else DPoPValidator(store=store)


def _challenges(
    constraint: SenderConstraint, dpop: DPoPValidator | None, realm: str | None, resource: str | None
) -> ChallengePolicy:
    metadata = None if resource is None else well_known_url(resource)
    if dpop is None:
        return ChallengePolicy(realm=realm, resource_metadata=metadata)
    schemes = ("DPoP", "Bearer") if constraint == "required" else ("Bearer", "DPoP")
    return ChallengePolicy(schemes, realm, metadata, dpop.algorithms)


#: A resource server of either API.
AnyResourceServer: TypeAlias = ResourceServerBase[Any]


def _awaits(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _ask(function: Callable[[str], Any], token: str) -> Flow[Any]:
    """Call a function of either colour: one that blocks goes to a worker thread where a loop runs."""
    if _awaits(function):
        return (yield from resolve(function(token)))
    return (yield from resolve((yield from call(lambda: function(token)))))


__all__ = [
    "AnyResourceServer",
    "Introspectors",
    "LoginEndpoints",
    "ResourceServerBase",
    "ResourceServerOptions",
    "ValidatesTokens",
]
