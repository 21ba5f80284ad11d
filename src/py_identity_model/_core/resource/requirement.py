"""What a request must bring to be let in: scopes, roles, claims, a login, a bound token, a decision of one's own.

A requirement is a list of alternatives, any one of which will do; each is a list of demands, all of which are made.
What is missing is told whole: one challenge names all of it (RFC 6750 3.1, RFC 9470 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ...exceptions import (
    InsufficientScopeException,
    InsufficientUserAuthenticationException,
    PyIdentityModelException,
    TokenValidationException,
    printable,
)
from ..base.flow import Flow, now, resolve
from ..base.scopes import is_scope
from ..validation.application_rules import holds_claim
from ..validation.claim_checks import names
from .principal import AuthenticatedPrincipal
from .protected_resource import AuthenticationRequirement, check_authentication

#: Alternatives of a requirement at most: ``|`` adds them up, ``&`` multiplies them.
MAX_ALTERNATIVES = 64

#: A decision of the application: True lets in; whatever is false, None among it, refuses, as does an exception of this
#: library. It may be async where the API awaits.
AccessCheck = Callable[[AuthenticatedPrincipal], object]


@dataclass(frozen=True, slots=True)
class Demands:
    """One alternative: all of this is demanded."""

    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    claims: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    logins: tuple[AuthenticationRequirement, ...] = ()
    bound: bool = False
    checks: tuple[AccessCheck, ...] = ()

    def with_all_of(self, other: Demands) -> Demands:
        """Return both together."""
        return Demands(
            tuple(dict.fromkeys(self.scopes + other.scopes)),
            tuple(dict.fromkeys(self.roles + other.roles)),
            self.claims + other.claims,
            self.logins + other.logins,
            self.bound or other.bound,
            self.checks + other.checks,
        )


@dataclass(frozen=True, slots=True)
class Missing:
    """What of one alternative is not there."""

    demands: Demands
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    claims: tuple[str, ...]
    login: InsufficientUserAuthenticationException | None
    bound: bool
    refusal: PyIdentityModelException | None = field(default=None)

    @property
    def weight(self) -> tuple[int, int]:
        """How far away it is: what the client cannot change first, then how much is missing."""
        fixed = bool(self.roles) + bool(self.claims) + (self.refusal is not None)
        return fixed, len(self.scopes) + (self.login is not None) + self.bound

    def __bool__(self) -> bool:
        return self.weight != (0, 0)


class Requirement:
    """What a request must bring besides a valid token. Requirements are combined with ``&`` and ``|``.

    >>> read = Requirement(scopes=["orders.read"])
    >>> read & Requirement(roles=["auditor"]) | Requirement(scopes=["admin"])
    Requirement(scopes=['orders.read'], roles=['auditor']) | Requirement(scopes=['admin'])
    """

    __slots__ = ("alternatives", "plain")

    @explains_arguments
    def __init__(
        self,
        *,
        scopes: Iterable[str] = (),
        any_scope: Iterable[str] = (),
        roles: Iterable[str] = (),
        any_role: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        acr_values: Iterable[str] = (),
        max_age: int | None = None,
        sender_constrained: bool = False,
        check: AccessCheck | None = None,
    ) -> None:
        """Demand all that is given.

        Args:
            scopes: Scopes, all of which must be granted.
            any_scope: Scopes, one of which must be granted.
            roles: Roles, all of which the subject must have.
            any_role: Roles, one of which it must have.
            claims: Claims and their values; a claim that is a list must hold the value, a list of values names several
                that will do.
            acr_values: Authentication context classes, one of which the login must have (RFC 9470 3).
            max_age: Seconds since the user authenticated at most.
            sender_constrained: Whether the token must be bound to a key or a certificate (RFC 9449, RFC 8705).
            check: Called with the :class:`AuthenticatedPrincipal`: True lets in, anything false refuses (None too), as
                does an exception of this library.

        Raises:
            ConfigurationException: Something of it can never be met, or is not what it must be.
        """
        login = _login(acr_values, max_age)
        if check is not None and not callable(check):
            raise must_be("check", "a callable", type(check).__name__)
        base = Demands(
            _scopes(scopes, "scopes"),
            _listed(roles, "roles"),
            tuple((name, _values(value)) for name, value in (claims or {}).items()),
            () if login is None else (login,),
            bool(sender_constrained),
            () if check is None else (check,),
        )
        found = [base]
        if any_scope := _scopes(any_scope, "any_scope"):
            found = [one.with_all_of(Demands(scopes=(scope,))) for one in found for scope in any_scope]
        if any_role := _listed(any_role, "any_role"):
            found = [one.with_all_of(Demands(roles=(role,))) for one in found for role in any_role]
        self._take(tuple(found))

    def _take(self, alternatives: tuple[Demands, ...]) -> None:
        if len(alternatives) > MAX_ALTERNATIVES:
            raise must_be("requirement", f"of at most {MAX_ALTERNATIVES} alternatives", len(alternatives))
        #: What is demanded, in alternatives.
        self.alternatives: tuple[Demands, ...] = alternatives
        only = alternatives[0]
        #: The scopes, where nothing else is demanded; None otherwise.
        self.plain: frozenset[str] | None = frozenset(only.scopes) if alternatives == (Demands(only.scopes),) else None

    @classmethod
    def _of(cls, alternatives: tuple[Demands, ...]) -> Requirement:
        made = cls.__new__(cls)
        made._take(alternatives)
        return made

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that a challenge names before anything is known of the client: those of the first alternative."""
        return self.alternatives[0].scopes

    def __and__(self, other: Requirement) -> Requirement:
        if not isinstance(other, Requirement):
            return NotImplemented
        return Requirement._of(tuple(a.with_all_of(b) for a in self.alternatives for b in other.alternatives))

    def __or__(self, other: Requirement) -> Requirement:
        if not isinstance(other, Requirement):
            return NotImplemented
        added = tuple(one for one in other.alternatives if one not in self.alternatives)
        return Requirement._of(self.alternatives + added)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Requirement) and self.alternatives == other.alternatives

    def __hash__(self) -> int:
        return hash(len(self.alternatives))

    def __repr__(self) -> str:
        return " | ".join(map(_shown, self.alternatives))


def _shown(demands: Demands) -> str:
    said: dict[str, Any] = {
        "scopes": list(demands.scopes),
        "roles": list(demands.roles),
        "claims": [name for name, _ in demands.claims],
        "acr_values": [acr for login in demands.logins for acr in login.acr_values],
        "max_age": min((login.max_age for login in demands.logins if login.max_age is not None), default=None),
        "sender_constrained": demands.bound,
        "check": len(demands.checks),
    }
    shown = (f"{name}={value!r}" for name, value in said.items() if value or (name == "max_age" and value == 0))
    return f"Requirement({', '.join(shown)})"


def _scopes(given: Iterable[str], name: str) -> tuple[str, ...]:
    listed = _listed(given, name)
    for scope in listed:
        if not is_scope(scope):
            raise must_be(name, "scopes without spaces and quotes", scope)
    return listed


def _listed(given: Iterable[str], name: str) -> tuple[str, ...]:
    listed = (given,) if isinstance(given, str) else tuple(given)
    return tuple(dict.fromkeys(names(listed, name))) if listed else ()


def _values(value: Any) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
    if not values or None in values:  # a claim that is absent has no value either
        raise must_be("claims", "values that are not None, at least one for each claim")
    return values


def _login(acr_values: Iterable[str], max_age: int | None) -> AuthenticationRequirement | None:
    acr = _listed(acr_values, "acr_values")
    return AuthenticationRequirement(acr, max_age) if acr or max_age is not None else None


# ---------------------------------------------------------------------------------------------------------------------
# Meeting it


def meet(requirement: Requirement, principal: AuthenticatedPrincipal, *, leeway: float = 0.0) -> Flow[None]:
    """Refuse *principal* unless it meets *requirement*.

    Raises:
        InsufficientScopeException: Scopes, roles or claims are missing, or a check of the application refused;
            ``scope`` names all scopes that the request needs.
        InsufficientUserAuthenticationException: The user must authenticate better or anew.
        TokenValidationException: The token must be bound and is not; the code is ``token_unbound``.
        NetworkException: A check cannot be made right now.
    """
    if requirement.plain is not None and requirement.plain <= principal.scopes:
        return
    clock = yield from now()
    misses = []
    for demands in requirement.alternatives:
        miss = missing(demands, principal, clock.wall, leeway)
        if not miss and demands.checks:
            miss = replace(miss, refusal=(yield from _ask(demands.checks, principal)))
        if not miss:
            return
        misses.append(miss)
    raise _refusal(min(misses, key=lambda miss: miss.weight))


def missing(demands: Demands, principal: AuthenticatedPrincipal, wall: float, leeway: float = 0.0) -> Missing:
    """Return what of *demands* is not there; checks of the application aside."""
    claims = principal.claims
    return Missing(
        demands,
        tuple(scope for scope in demands.scopes if scope not in principal.scopes),
        tuple(role for role in demands.roles if role not in principal.roles),
        tuple(name for name, values in demands.claims if not holds_claim(claims.get(name), values)),
        _login_missing(demands, claims, wall, leeway),
        demands.bound and not principal.is_bound,
    )


def _login_missing(
    demands: Demands, claims: Mapping[str, Any], wall: float, leeway: float
) -> InsufficientUserAuthenticationException | None:
    try:
        for login in demands.logins:
            check_authentication(claims, login, wall=wall, leeway=leeway)
    except InsufficientUserAuthenticationException as error:
        return error
    return None


def _ask(checks: tuple[AccessCheck, ...], principal: AuthenticatedPrincipal) -> Flow[PyIdentityModelException | None]:
    for check in checks:
        try:
            answer = yield from _answer(check, principal)
        except (InsufficientScopeException, InsufficientUserAuthenticationException, TokenValidationException) as error:
            return error
        if not answer:
            return InsufficientScopeException("The application refused the request", code="access_denied")
    return None


def _answer(check: AccessCheck, principal: AuthenticatedPrincipal) -> Flow[Any]:
    flow = getattr(check, "_flow", None)
    if flow is not None:
        return (yield from flow(principal))
    return (yield from resolve(check(principal)))


def _refusal(miss: Missing) -> PyIdentityModelException:
    if miss.bound:
        return TokenValidationException(
            "The token is bound to nobody", "payload", code="token_unbound", claim="cnf", expected="jkt or x5t#S256"
        )
    if miss.login is not None:
        miss.login.scope = miss.demands.scopes if miss.scopes else ()
        return miss.login
    if miss.refusal is not None:
        return miss.refusal
    lacks = {"scope": miss.scopes, "roles": miss.roles, "claims": miss.claims}
    said = "; ".join(f"{name}: {printable(' '.join(values), 200)}" for name, values in lacks.items() if values)
    return InsufficientScopeException(
        f"The token does not grant enough; missing {said}",
        miss.demands.scopes if miss.scopes else (),
        {f"missing_{name}": list(values) for name, values in lacks.items() if values},
        claim=next(name for name, values in lacks.items() if values),
        expected=" ".join(miss.demands.scopes) or None,
    )


def either(first: Requirement | None, second: Requirement | None) -> Requirement | None:
    """Return both requirements together, where there are two."""
    return first if second is None else second if first is None else first & second


__all__ = [
    "MAX_ALTERNATIVES",
    "AccessCheck",
    "Demands",
    "Missing",
    "Requirement",
    "either",
    "meet",
    "missing",
]
