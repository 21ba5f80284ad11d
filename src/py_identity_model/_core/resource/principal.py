"""Who a request is from: the validated claims of its access token, and what an application asks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import must_be
from ...identity import ROLE_CLAIMS, ClaimsIdentity, Identity, Principal, to_principal
from ..validation.application_rules import granted_scopes
from ..validation.claim_types import converter
from .protected_resource import is_client_token

T = TypeVar("T")

#: Actors of a chain of delegation that are listed at most (RFC 8693 4.1).
MAX_ACTORS = 32

#: Where roles are looked for: a claim, or a path of members.
RoleSource = str | tuple[str, ...]
#: The WS-* role type, Entra's ``roles``, ``role``, ``groups``, Keycloak's realm roles, Auth0's ``permissions``.
DEFAULT_ROLES: tuple[RoleSource, ...] = (*ROLE_CLAIMS, ("realm_access", "roles"), "permissions")


class AuthenticatedPrincipal(Principal):
    """The user or service whose access token was accepted.

    Attributes:
        claims: The validated claims.
        token_kind: ``jwt``, or ``opaque`` if the provider was asked about it.
        scheme: How the token came: ``Bearer`` or ``DPoP``.
        user: What ``load_user`` made of it; None without.
        headers: Headers that the response should have, such as the next DPoP nonce.
    """

    __slots__ = ("_roles", "_rules", "_scopes", "claims", "headers", "scheme", "token_kind", "user")

    def __init__(
        self,
        claims: Mapping[str, Any],
        *,
        token_kind: Literal["jwt", "opaque"] = "jwt",
        scheme: Literal["Bearer", "DPoP"] = "Bearer",
        rules: PrincipalRules | None = None,
    ) -> None:
        """Make a principal of claims that were validated.

        Args:
            claims: The claims.
            token_kind: What the token was.
            scheme: How it came.
            rules: Where roles are, and which scopes imply others; by default :data:`DEFAULT_ROLES` and none.

        Raises:
            ConfigurationException: The claims are no mapping, or the rules none.

        >>> AuthenticatedPrincipal({"sub": "ada", "scope": "orders.read", "roles": ["auditor"]}).is_in_role("auditor")
        True
        """
        if type(claims) is not dict and not isinstance(claims, Mapping):
            raise must_be("claims", "a mapping", code="argument_invalid")
        if rules is not None and not isinstance(rules, PrincipalRules):
            raise must_be("rules", "PrincipalRules", code="argument_invalid")
        self.claims: Mapping[str, Any] = claims
        self.token_kind: Literal["jwt", "opaque"] = token_kind
        self.scheme: Literal["Bearer", "DPoP"] = scheme
        self.user: Any = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self._rules: PrincipalRules | None = rules
        self._scopes: frozenset[str] | None = None
        self._roles: frozenset[str] | None = None

    @property
    def subject(self) -> str | None:
        """The claim ``sub``; with :attr:`issuer` it names a user for good, which no other claim does."""
        return _text(self.claims.get("sub"))

    @property
    def issuer(self) -> str | None:
        """The claim ``iss``."""
        return _text(self.claims.get("iss"))

    @property
    def client_id(self) -> str | None:
        """The client that the token was given to: ``client_id`` (RFC 9068 2.2), or ``azp``, ``cid`` or ``appid``."""
        return next((c for c in map(_text, map(self.claims.get, ("client_id", "azp", "cid", "appid"))) if c), None)

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that were granted, and those they imply."""
        if self._scopes is None:
            granted = granted_scopes(self.claims if isinstance(self.claims, dict) else dict(self.claims))
            self._scopes = granted if self._rules is None else self._rules.implied(granted)
        return self._scopes

    @property
    def roles(self) -> frozenset[str]:
        """The roles, from all places where they are looked for."""
        if self._roles is None:
            sources = DEFAULT_ROLES if self._rules is None else self._rules.roles
            objects = sources is not DEFAULT_ROLES
            self._roles = frozenset(role for source in sources for role in _roles_at(self.claims, source, objects))
        return self._roles

    @property
    def is_authenticated(self) -> bool:
        """True: frameworks ask it of whoever a request is from, and have somebody else for nobody."""
        return True

    @property
    def display_name(self) -> str:
        """The subject, or the client where there is none, for frameworks that show whose request it is."""
        return self.subject or self.client_id or ""

    @property
    def is_machine(self) -> bool:
        """Whether the token stands for a client itself and for no user (RFC 9700 4.15)."""
        return is_client_token(self.claims)

    @property
    def actor(self) -> tuple[Mapping[str, Any], ...]:
        """Who acts for the subject, the one at work first (RFC 8693 4.1); empty where nobody does."""
        chain: list[Mapping[str, Any]] = []
        act = self.claims.get("act")
        while isinstance(act, Mapping) and len(chain) < MAX_ACTORS:
            chain.append({name: value for name, value in act.items() if name != "act"})
            act = act.get("act")
        return tuple(chain)

    @property
    def is_bound(self) -> bool:
        """Whether the token is bound to a key or a certificate (RFC 7800), which was checked."""
        return bool(self.claims.get("cnf"))

    @property
    def identity(self) -> Identity | None:
        """The claims as a :class:`~py_identity_model.identity.ClaimsIdentity`."""
        return to_principal(self.claims, self.scheme).identity or ClaimsIdentity([])

    @explains_arguments
    def is_in_role(self, role: str) -> bool:
        """Tell whether the subject has *role*.

        Raises:
            ConfigurationException: It is no text.
        """
        return role in self.roles

    @explains_arguments
    def claims_as(self, type: type[T]) -> T:
        """Return the claims as an instance of *type*.

        Args:
            type: A msgspec Struct, a dataclass, a TypedDict or a pydantic model.

        Raises:
            TokenValidationException: The claims do not fit it.
            ConfigurationException: It is no type claims can have.
        """
        made: T = converter(type)(dict(self.claims))
        return made

    def __repr__(self) -> str:  # claims may be personal
        return f"AuthenticatedPrincipal(subject={self.subject!r}, client_id={self.client_id!r})"


class PrincipalRules:
    """What an application says of roles and scopes.

    Attributes:
        roles: Where roles are.
    """

    @checks_arguments
    def __init__(
        self, roles: Iterable[RoleSource] | None = None, scope_hierarchy: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        """Read the settings once.

        Args:
            roles: Claims, or paths of members, that hold a role, a list of roles, or an object with an object for each
                role (Zitadel); None for :data:`DEFAULT_ROLES`.
            scope_hierarchy: For a scope those that it implies, which may imply others.

        Raises:
            ConfigurationException: A source of roles is neither, or an implied scope no text.
        """
        self.roles: tuple[RoleSource, ...] = DEFAULT_ROLES if roles is None else tuple(map(_role_source, roles))
        self._implied = _closure({} if scope_hierarchy is None else scope_hierarchy)

    @explains_arguments
    def implied(self, granted: frozenset[str]) -> frozenset[str]:
        """Return *granted* and what it implies.

        Raises:
            ConfigurationException: It is no set of scopes.
        """
        if not self._implied:
            return granted
        return granted.union(*(self._implied[scope] for scope in granted if scope in self._implied))


def _role_source(source: object) -> RoleSource:
    if isinstance(source, str) and source:
        return source
    if isinstance(source, tuple) and source and all(isinstance(name, str) and name for name in source):
        return source
    raise must_be("roles", "claims, or tuples of names that lead to one", code="policy_invalid")


def _closure(hierarchy: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    below = {scope: frozenset(_listed(implied)) for scope, implied in hierarchy.items()}
    return {scope: frozenset(_reach(scope, below)) for scope in below}


def _listed(scopes: Iterable[str]) -> list[str]:
    listed = [scopes] if isinstance(scopes, str) else list(scopes)
    if not all(isinstance(scope, str) and scope for scope in listed):
        raise must_be("scope_hierarchy", "lists of scopes by scope")
    return listed


def _reach(scope: str, below: Mapping[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [scope]
    while waiting:
        new = below.get(waiting.pop(), frozenset()) - found
        found |= new
        waiting += new
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _roles_at(claims: Mapping[str, Any], source: RoleSource, objects: bool) -> Iterator[str]:
    """Yield the roles at a place; where the application named it, also members that are objects, as at Zitadel."""
    value: object = claims
    for name in (source,) if isinstance(source, str) else source:
        value = value.get(name) if isinstance(value, Mapping) else None
    if objects and isinstance(value, Mapping):
        value = [name for name, held in value.items() if isinstance(held, Mapping) and held]
    values = value if isinstance(value, list | tuple) else [value]
    yield from (role for role in values if isinstance(role, str) and role)


#: Asked for a principal's user; may be async where the API awaits.
LoadUser = Callable[[AuthenticatedPrincipal], object]

__all__ = ["DEFAULT_ROLES", "MAX_ACTORS", "AuthenticatedPrincipal", "LoadUser", "PrincipalRules", "RoleSource"]
