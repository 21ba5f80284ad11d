"""Claims, identities and principals: who a validated token speaks of, in the vocabulary of WS-Federation and .NET.

:func:`to_principal` makes a principal out of the claims of a JWT; its name and roles are found where JWTs have them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ._arguments import explains_arguments
from ._refusals import must_be

_IDENTITY = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_MICROSOFT = "http://schemas.microsoft.com/ws/2008/06/identity/claims"
_XML_SCHEMA = "http://www.w3.org/2001/XMLSchema"

#: Who issued a claim that names nobody else.
LOCAL_AUTHORITY = "LOCAL AUTHORITY"

#: Value types of a claim: XML Schema's, and those .NET gives to JSON values.
STRING, INTEGER, DOUBLE, BOOLEAN = (f"{_XML_SCHEMA}#{kind}" for kind in ("string", "integer", "double", "boolean"))
JSON, JSON_NULL = "JSON", "JSON_NULL"


class ClaimType(StrEnum):
    """The claim types of WS-Federation and ADFS. Each member is its URI, also where a plain string is wanted."""

    Name = f"{_IDENTITY}/name"
    NameIdentifier = f"{_IDENTITY}/nameidentifier"
    GivenName = f"{_IDENTITY}/givenname"
    Surname = f"{_IDENTITY}/surname"
    Email = f"{_IDENTITY}/emailaddress"
    Upn = f"{_IDENTITY}/upn"
    Role = f"{_MICROSOFT}/role"
    DateOfBirth = f"{_IDENTITY}/dateofbirth"
    Gender = f"{_IDENTITY}/gender"
    Country = f"{_IDENTITY}/country"
    StateOrProvince = f"{_IDENTITY}/stateorprovince"
    Locality = f"{_IDENTITY}/locality"
    PostalCode = f"{_IDENTITY}/postalcode"
    StreetAddress = f"{_IDENTITY}/streetaddress"
    MobilePhone = f"{_IDENTITY}/mobilephone"


#: Where the claims of a token are searched for a name, in this order.
NAME_CLAIMS = (ClaimType.Name.value, "name", "preferred_username", "sub")
#: Where they are searched for roles; all of them count.
ROLE_CLAIMS = (ClaimType.Role.value, "roles", "role", "groups")


@dataclass(init=False)
class Claim:
    """One statement about a subject.

    Args:
        claim_type: What is stated: a JWT claim name or a URI of :class:`ClaimType`.
        value: The statement, as text.
        value_type: What the text stands for, an XML Schema type or ``JSON``.
        issuer: Who states it; ``LOCAL AUTHORITY`` if nobody is named.
        original_issuer: Who stated it first; the issuer if nobody is named.

    >>> Claim("email", "ada@example.com").issuer
    'LOCAL AUTHORITY'
    """

    claim_type: str
    value: str
    value_type: str
    issuer: str
    original_issuer: str
    properties: dict[str, str] = field(compare=False)

    @explains_arguments
    def __init__(
        self,
        claim_type: str,
        value: str,
        value_type: str = STRING,
        issuer: str | None = None,
        original_issuer: str | None = None,
    ) -> None:
        self.claim_type = claim_type
        self.value = value
        self.value_type = value_type
        self.issuer = issuer or LOCAL_AUTHORITY
        self.original_issuer = original_issuer or self.issuer
        self.properties = {}

    def __str__(self) -> str:
        return f"{self.claim_type}: {self.value}"

    def __hash__(self) -> int:
        return hash((self.claim_type, self.value, self.value_type, self.issuer, self.original_issuer))


class Identity(ABC):
    """A user or service, as one authority knows it."""

    @property
    @abstractmethod
    def name(self) -> str | None:
        """What they are called."""

    @property
    @abstractmethod
    def authentication_type(self) -> str | None:
        """How they proved who they are; None if they did not."""

    @abstractmethod
    def is_authenticated(self) -> bool:
        """Tell whether they proved who they are."""


class Principal(ABC):
    """The user or service on whose behalf code runs."""

    @property
    @abstractmethod
    def identity(self) -> Identity | None:
        """The identity they act by."""

    @abstractmethod
    @explains_arguments
    def is_in_role(self, role: str) -> bool:
        """Tell whether they have *role*."""


class ClaimsIdentity(Identity):
    """An identity made of claims.

    Args:
        claims: What is stated about it.
        authentication_type: How it was proved, such as ``Bearer``; without one it is not authenticated.
        name_type_claim: The type of the claim that holds its name.
        role_type_claim: The type of the claims that hold its roles.

    >>> ClaimsIdentity([Claim("sub", "ada")], "Bearer", name_type_claim="sub").name
    'ada'
    """

    @explains_arguments
    def __init__(
        self,
        claims: list[Claim],
        authentication_type: str | None = None,
        name_type_claim: str = ClaimType.Name.value,
        role_type_claim: str = ClaimType.Role.value,
    ) -> None:
        self._claims = list(claims)
        if not all(isinstance(claim, Claim) for claim in self._claims):
            raise must_be("claims", "a list of Claim", code="argument_invalid")
        self._authentication_type = authentication_type
        self.name_type_claim = name_type_claim
        self.role_type_claim = role_type_claim

    @property
    def claims(self) -> list[Claim]:
        """All claims, in order."""
        return list(self._claims)

    @property
    def authentication_type(self) -> str | None:
        """How it was proved."""
        return self._authentication_type

    @property
    def name(self) -> str | None:
        """The value of the first claim of the type ``name_type_claim``."""
        claim = self.find_first(self.name_type_claim)
        return claim.value if claim else None

    def is_authenticated(self) -> bool:
        """Tell whether it was proved in any way."""
        return bool(self._authentication_type)

    @explains_arguments
    def find_first(self, claim_type: str) -> Claim | None:
        """Return the first claim of a type, or None."""
        return next((c for c in self._claims if c.claim_type == claim_type), None)

    @explains_arguments
    def find_all(self, claim_type: str) -> list[Claim]:
        """Return every claim of a type, in order."""
        return [c for c in self._claims if c.claim_type == claim_type]

    @explains_arguments
    def has_role(self, role: str) -> bool:
        """Tell whether a role claim has exactly this value."""
        return any(c.value == role for c in self.find_all(self.role_type_claim))

    def __repr__(self) -> str:
        return f"ClaimsIdentity(name={self.name!r}, authentication_type={self.authentication_type!r})"


class ClaimsPrincipal(Principal):
    """A principal with any number of identities.

    Args:
        identity: The first identity.
        claims: Claims that belong to none of the identities.

    >>> principal = ClaimsPrincipal(ClaimsIdentity([Claim(ClaimType.Role, "auditor")], "Bearer"))
    >>> principal.is_in_role("auditor"), principal.has_claim(ClaimType.Role, "admin")
    (True, False)
    """

    @explains_arguments
    def __init__(self, identity: Identity | None = None, claims: list[Claim] | None = None) -> None:
        self._identities: list[Identity] = [] if identity is None else [identity]
        self._loose = ClaimsIdentity(claims or [])

    @property
    def identity(self) -> Identity | None:
        """The identity that was added last, or None."""
        return self._identities[-1] if self._identities else None

    @property
    def identities(self) -> list[Identity]:
        """All identities, in order."""
        return list(self._identities)

    @property
    def claims(self) -> list[Claim]:
        """The claims that belong to no identity, then those of all identities."""
        return list(self._every_claim())

    @explains_arguments
    def add_identity(self, identity: Identity) -> None:
        """Let the principal be this identity too."""
        self._identities.append(identity)

    @explains_arguments
    def has_claim(self, claim_type: str, value: str | None = None) -> bool:
        """Tell whether there is a claim of a type and, unless *value* is None, of exactly this value."""
        return any(c.claim_type == claim_type and value in (None, c.value) for c in self._every_claim())

    @explains_arguments
    def is_in_role(self, role: str) -> bool:
        """Tell whether one of the identities has *role*, compared exactly."""
        return any(source.has_role(role) for source in self._claim_sources())

    @explains_arguments
    def find_first(self, claim_type: str) -> Claim | None:
        """Return the first claim of a type, or None."""
        return next((c for c in self._every_claim() if c.claim_type == claim_type), None)

    @explains_arguments
    def find_all(self, claim_type: str) -> list[Claim]:
        """Return every claim of a type, in order."""
        return [c for c in self._every_claim() if c.claim_type == claim_type]

    def _claim_sources(self) -> Iterator[ClaimsIdentity]:
        yield self._loose
        yield from (i for i in self._identities if isinstance(i, ClaimsIdentity))

    def _every_claim(self) -> Iterator[Claim]:
        for source in self._claim_sources():
            yield from source.claims


@explains_arguments
def to_principal(
    token_claims: Mapping[str, Any], authentication_type: str = "Bearer", *, resource: str | None = None
) -> ClaimsPrincipal:
    """Make a principal out of the claims of a validated token.

    Each claim keeps its name. A list becomes one claim per element. Whatever is no text becomes what Python's ``str``
    makes of it, such as ``True``; ``value_type`` says what it was, ``properties["json"]`` has its JSON. ``iss`` becomes
    the claims' issuer.

    The name, for display and logs, is the first text found under the WS-* name type, ``name``, ``preferred_username``
    and ``sub``. Roles are all texts under the WS-* role type, ``roles`` (Entra), ``role``, ``groups`` and
    ``realm_access.roles`` (Keycloak).

    Args:
        token_claims: What ``validate_token`` returned.
        authentication_type: How the subject proved itself.
        resource: The client whose ``resource_access.<client>.roles`` (Keycloak) count as well. Without it none do: a
            role at another client says nothing about this one.

    >>> principal = to_principal({"sub": "248289", "name": "Ada", "realm_access": {"roles": ["auditor"]}})
    >>> principal.identity.name, principal.is_in_role("auditor"), principal.is_in_role("admin")
    ('Ada', True, False)
    """
    issuer = token_claims.get("iss")
    issuer = issuer if isinstance(issuer, str) else None
    claims = [claim for name, value in token_claims.items() for claim in _claims_of(name, value, issuer)]
    identity = _TokenIdentity(claims, authentication_type, _name_type(token_claims), _role_type(token_claims))
    identity.roles = frozenset(_roles(token_claims, resource))
    return ClaimsPrincipal(identity)


class _TokenIdentity(ClaimsIdentity):
    """The identity of a token, whose roles may stand under several names."""

    roles: frozenset[str] = frozenset()

    def has_role(self, role: str) -> bool:
        return role in self.roles


def _claims_of(name: str, value: object, issuer: str | None) -> list[Claim]:
    values = value if isinstance(value, list | tuple) else [value]
    return [_claim_of(name, item, issuer) for item in values]


def _claim_of(name: str, value: object, issuer: str | None) -> Claim:
    claim = Claim(name, str(value), _value_type(value), issuer)
    if not isinstance(value, str):
        claim.properties["json"] = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return claim


def _value_type(value: object) -> str:
    match value:
        case str():
            return STRING
        case bool():
            return BOOLEAN
        case int():
            return INTEGER
        case float():
            return DOUBLE
        case None:
            return JSON_NULL
    return JSON


def _name_type(claims: Mapping[str, Any]) -> str:
    return next((n for n in NAME_CLAIMS if isinstance(claims.get(n), str) and claims[n]), ClaimType.Name.value)


def _role_type(claims: Mapping[str, Any]) -> str:
    return next((n for n in ROLE_CLAIMS if n in claims), ClaimType.Role.value)


def _roles(claims: Mapping[str, Any], resource: str | None) -> Iterator[str]:
    for name in ROLE_CLAIMS:
        yield from _texts(claims.get(name))
    yield from _texts(_member(claims.get("realm_access"), "roles"))
    if resource is not None:
        yield from _texts(_member(_member(claims.get("resource_access"), resource), "roles"))


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _texts(value: object) -> Iterator[str]:
    values = value if isinstance(value, list | tuple) else [value]
    yield from (item for item in values if isinstance(item, str) and item)


__all__ = [
    "Claim",
    "ClaimType",
    "ClaimsIdentity",
    "ClaimsPrincipal",
    "Identity",
    "Principal",
    "to_principal",
]
