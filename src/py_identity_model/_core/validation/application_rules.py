"""Rules of the application about claims: small validators and their combination."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Generator, Iterable
from typing import Any, Literal, Protocol

from ..._arguments import explains_arguments
from ...exceptions import ClaimsValidationError, ConfigurationException, printable
from ..base.header_lists import words
from .claim_checks import names


class ClaimsValidator(Protocol):
    """Look at the claims of a valid token and raise to refuse it. It may be async where the API awaits."""

    def __call__(self, claims: dict[str, Any], /) -> Awaitable[None] | None:
        """Return to accept; raise :class:`ClaimsValidationError` to refuse."""


def require_claims(*wanted: str) -> ClaimsValidator:
    """Require that claims are present and not null.

    Args:
        wanted: Names of claims.

    Raises:
        ConfigurationException: No name is given, or one is empty.

    >>> require_claims("email")({"email": "ada@example.com"})
    """
    required = names(wanted, "claims")

    def validate(claims: dict[str, Any], /) -> None:
        for name in required:
            if claims.get(name) is None:
                raise ClaimsValidationError(
                    f"The claim {printable(name)!r} is required", claim=name, expected="present", actual="absent"
                )

    return validate


@explains_arguments
def require_claim_value(name: str, value: object, *others: object) -> ClaimsValidator:
    """Require that a claim has exactly this value, or one of several, or is a list that holds one of them.

    Args:
        name: The claim.
        value: The value, compared with ``==`` and by type.
        others: Further values that will do as well.

    >>> require_claim_value("tenant", "acme")({"tenant": "acme"})
    >>> require_claim_value("tenant", "acme", "globex")({"tenant": "globex"})
    """
    (claim,) = names(name, "claim name")
    values = (value, *others)

    def validate(claims: dict[str, Any], /) -> None:
        actual = claims.get(claim)
        if not holds_claim(actual, values):
            raise ClaimsValidationError(
                f"The claim {printable(claim)!r} does not have the required value",
                claim=claim,
                expected=printable(value) if not others else [printable(wanted) for wanted in values],
                actual=printable(actual) if claim in claims else "absent",
            )

    return validate


def holds_claim(actual: object, values: tuple[object, ...]) -> bool:
    """Tell whether a claim has one of *values*, by type too, or is a list that holds one."""
    return any(_holds(actual, wanted) for wanted in values)


def _holds(actual: object, wanted: object) -> bool:
    held = actual if isinstance(actual, list) and not isinstance(wanted, list) else [actual]
    return any(type(one) is type(wanted) and one == wanted for one in held)


def require_scopes(*scopes: str) -> ClaimsValidator:
    """Require that all these scopes were granted (``scope`` of RFC 9068 2.2.3, or the ``scp`` of some providers).

    Args:
        scopes: The scopes, each without spaces.

    >>> require_scopes("orders.read")({"scope": "orders.read orders.write"})
    """
    required = names(scopes, "scopes")

    def validate(claims: dict[str, Any], /) -> None:
        granted = granted_scopes(claims)
        missing = [scope for scope in required if scope not in granted]
        if missing:
            raise ClaimsValidationError(
                f"The scope {printable(missing[0])!r} was not granted",
                claim="scope",
                code="scope_insufficient",
                expected=" ".join(required),
                actual=printable(" ".join(sorted(granted))) or "none",
            )

    return validate


def granted_scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Return the scopes that a token grants, from ``scope`` or ``scp``, text or list."""
    value = claims.get("scope")
    if value is None or value == "":  # some providers send an empty scope beside a list in scp
        value = claims.get("scp")
    if isinstance(value, str):
        return frozenset(words(value))
    return frozenset(v for v in value if isinstance(v, str)) if isinstance(value, list) else frozenset()


@explains_arguments
def combine_claims_validators(
    validators: Iterable[ClaimsValidator], *, require: Literal["all", "any"] = "all"
) -> ClaimsValidator:
    """Make one validator of several.

    Args:
        validators: At least one; sync and async ones may be mixed where the API awaits.
        require: ``all`` of them must accept, or ``any`` one.

    Raises:
        ConfigurationException: There is no validator, or *require* is another word.

    >>> combine_claims_validators([require_claims("sub"), require_scopes("read")])({"sub": "1", "scope": "read"})
    """
    listed = tuple(validators)
    if not listed or not all(callable(v) for v in listed):
        raise ConfigurationException(
            "validators must hold at least one callable", code="policy_invalid", claim="validators"
        )
    if require not in ("all", "any"):
        raise ConfigurationException(
            f"require must be 'all' or 'any', got {printable(require)!r}", code="policy_invalid", claim="require"
        )

    def validate(claims: dict[str, Any], /) -> Awaitable[None] | None:
        refusals: list[ClaimsValidationError] = []
        for at, validator in enumerate(listed):
            try:
                answer = validator(claims)
            except ClaimsValidationError as refusal:
                if require == "all":
                    raise
                refusals.append(refusal)
                continue
            if inspect.isawaitable(answer):
                return _Awaited(answer, listed[at + 1 :], claims, require, refusals)
            if require == "any":
                return None
        if refusals:
            raise refusals[0]
        return None

    return validate


class _Awaited:
    """A combination that goes on, once awaited, from its first async member; or is closed, and the member with it."""

    def __init__(
        self,
        pending: Awaitable[None],
        rest: tuple[ClaimsValidator, ...],
        claims: dict[str, Any],
        require: str,
        refusals: list[ClaimsValidationError],
    ) -> None:
        self._pending = pending
        self._rest = rest
        self._claims = claims
        self._require = require
        self._refusals = refusals

    def __await__(self) -> Generator[Any, Any, None]:
        return self._go_on().__await__()

    def close(self) -> None:
        """Give up: nobody can await here."""
        close = getattr(self._pending, "close", None)
        if close is not None:
            close()

    async def _go_on(self) -> None:
        if await self._accepts(self._pending):
            return
        for validator in self._rest:
            if await self._accepts(validator):
                return
        if self._refusals:
            raise self._refusals[0]

    async def _accepts(self, asked: ClaimsValidator | Awaitable[None]) -> bool:
        """Ask one member; return whether that settles it."""
        try:
            answer = asked if inspect.isawaitable(asked) else asked(self._claims)
            if inspect.isawaitable(answer):
                await answer
            return self._require == "any"
        except ClaimsValidationError as refusal:
            if self._require == "all":
                raise
            self._refusals.append(refusal)
            return False


__all__ = [
    "ClaimsValidator",
    "combine_claims_validators",
    "granted_scopes",
    "require_claim_value",
    "require_claims",
    "require_scopes",
]
