"""Who requests of a test are from, as the claims of the token that there is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .._core.resource.principal import DEFAULT_ROLES, RoleSource
from .._resource_server import AnyResourceServer
from .._token_validator import TokenValidatorBase

#: The thumbprint of no key, for tokens that are said to be bound to one.
_BOUND = {"jkt": "a" * 43}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who a request is from; the subject None is nobody."""

    subject: str | None
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    claims: Mapping[str, object]
    client_id: str | None
    acr: str | None
    auth_time: float | None
    issuer: str | None
    scheme: Literal["Bearer", "DPoP"]
    token_kind: Literal["jwt", "opaque"]

    def claims_for(self, api: AnyResourceServer, wall: float) -> dict[str, Any]:
        """Return the claims as the provider of *api* would make them (RFC 9068 2.2); None leaves one out."""
        audience = sorted(api.audiences)
        made: dict[str, Any] = {
            "iss": self.issuer or _issuer_of(api),
            "aud": audience[0] if len(audience) == 1 else audience,
            "sub": self.subject,
            "client_id": self.client_id,
            "scope": " ".join(self.scopes) or None,
            "acr": self.acr,
            "auth_time": self.auth_time,
            "iat": int(wall),
            "exp": int(wall) + 300,
            "cnf": _BOUND if self.scheme == "DPoP" else None,
            "active": True if self.token_kind == "opaque" else None,
        }
        if self.roles:
            rules = api.gate.rules
            _put(made, _place_of_roles(DEFAULT_ROLES if rules is None else rules.roles), list(self.roles))
        return {name: value for name, value in {**made, **self.claims}.items() if value is not None}


def _issuer_of(api: AnyResourceServer) -> str:
    known = api.validator
    issuers = known._validator.by_issuer if isinstance(known, TokenValidatorBase) else ()
    return next(iter(issuers), "https://id.example.com")


def _place_of_roles(sources: tuple[RoleSource, ...]) -> tuple[str, ...]:
    chosen = "roles" if "roles" in sources else next(iter(sources), "roles")
    return (chosen,) if isinstance(chosen, str) else chosen


def _put(claims: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    *outer, last = path
    for name in outer:
        claims = claims.setdefault(name, {})
    claims[last] = value


__all__ = ["Person"]
