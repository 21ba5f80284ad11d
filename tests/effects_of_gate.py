"""For the gate in front of an API and each of its parameters: what it decides, and another value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import py_identity_model as p
from effects import Case, Made, When, wait
from effects_of_functions import ISSUER, NOW
from effects_of_objects import API, PROVER, SITE, active, presented, stores, token
from py_identity_model._core.jose.jws import jwk_thumbprint
from py_identity_model.stores import MemoryStore

BOUND = {"cnf": {"jkt": jwk_thumbprint(PROVER.public_jwk or {})}}
CLAIMS = {"scope": "read", "roles": ["clerk"], "acr": "pwd", "auth_time": NOW - 100, "teams": {"roles": ["red"]}}
READ, WRITE = p.Requirement(scopes=["read"]), p.Requirement(scopes=["write"])
NEEDS = (None, READ, WRITE, p.Requirement(roles=["red"]), p.Requirement(max_age=95))


def ask(*authorization: str, **facts: Any) -> p.InboundRequest:
    """Return a request with these Authorization headers."""
    headers = [("Authorization", each) for each in authorization] + [("X-Request-Id", "r-1")]
    return p.InboundRequest.build(facts.pop("method", "GET"), API, headers, **facts)


def bound(**claims: Any) -> p.InboundRequest:
    """Return a request with a bound token and its proof; the token is known to nobody but an introspector."""
    request = presented(**claims)
    return p.InboundRequest(request.method, request.url, (*request.headers, ("X-Request-Id", "r-1")))


def validator(**options: Any) -> p.TokenValidator:
    """Return a validator of the tokens of one provider."""
    return p.TokenValidator(ISSUER, "api", http_client=SITE, stores=stores(), **options)


REQUESTS = (ask(), ask(f"Bearer {token(**CLAIMS)}"), ask(f"Bearer {token(aud='other')}"), ask("Bearer opaque"))
REQUESTS += (bound(ath=p.compute_ath("t")),)


def guarded(door: Any, server: Any) -> Any:
    """Use a resource server: what it publishes, and how it decides about some requests, twice."""
    found = [wait(server.decide(each, need)) for _ in range(2) for need in NEEDS for each in REQUESTS]
    users = [getattr(each, "user", None) for each in found]
    return found, users, server.metadata and server.metadata.document()


def told(value: str, **members: Any) -> Any:
    """Return an introspector that knows one user."""
    return lambda text: active(value) | members


def decided(door: Any, requirement: Any) -> Any:
    """Use a requirement: how a token meets it."""
    server = door.ResourceServer(validator())
    return [wait(server.decide(each, requirement)) for each in REQUESTS]


def people(door: Any, principal: Any) -> Any:
    """Use a principal: what it says of itself."""
    return principal.subject, principal.token_kind, principal.scheme, sorted(principal.roles)


@dataclass
class Scope:
    """Claims with a scope."""

    scope: str


@dataclass
class Acr:
    """Claims with a class of authentication."""

    acr: str


class Used(MemoryStore):
    """A store in which every proof was seen."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return False


SERVER: dict[str, Any] = {"validator": Made(validator)}
DECIDING = Case(
    {"request": REQUESTS[1], "requirement": READ, "optional": False},
    {"request": REQUESTS[2], "requirement": WRITE, "optional": When(True, {"request": REQUESTS[0]})},
    of=lambda door: door.ResourceServer(validator()),
)
GATE: dict[str, Case] = {
    "ResourceServer": Case(
        SERVER,
        {
            "validator": Made(lambda: validator(subject="eve")),
            "resource": "https://api.example.com/v1",
            "introspector": told("ada"),
            "sender_constraint": "required",
            "dpop": When(p.DPoPValidator(nonces=p.DPoPNonces()), {"introspector": told("ada", **BOUND)}),
            "scopes_supported": When(["read"], {"resource": API}),
            "authorization_servers": When(["https://other.example.com"], {"resource": API}),
            "roles": [("teams", "roles")],
            "scope_hierarchy": {"read": ["write"]},
            "load_user": lambda principal: f"user {principal.subject}",
            "on_refusal": lambda error, request, refusal: p.Refusal(418, (), b""),
            "proxies": When(
                p.ProxyPolicy(external_url="https://outside.example.com"), {"introspector": told("ada", **BOUND)}
            ),
            "realm": "orders",
            "leeway": 10.0,
            "store": When(Made(Used), {"introspector": told("ada", **BOUND)}),
        },
        guarded,
    ),
    "ResourceServer.authorize": DECIDING,
    "ResourceServer.decide": DECIDING,
    "ResourceServer.refuse": Case(
        {"error": p.TokenExpiredException("late"), "request": REQUESTS[0], "requirement": READ},
        {"error": p.MissingCredentialsException("none"), "request": ask(method="HEAD"), "requirement": WRITE},
        of=lambda door: door.ResourceServer(validator()),
    ),
    "Requirement": Case(
        {},
        {
            "scopes": ["write"],
            "any_scope": ["write", "delete"],
            "roles": ["boss"],
            "any_role": ["boss", "owner"],
            "claims": {"tenant": "acme"},
            "acr_values": ["phr"],
            "max_age": 60,
            "sender_constrained": True,
            "check": lambda principal: False,
        },
        decided,
    ),
    "AuthenticatedPrincipal": Case(
        {"claims": CLAIMS | {"sub": "ada"}},
        {"claims": {"sub": "eve"}, "token_kind": "opaque", "scheme": "DPoP", "rules": p.PrincipalRules(["teams"])},
        people,
    ),
    "AuthenticatedPrincipal.is_in_role": Case(
        {"role": "clerk"}, {"role": "boss"}, of=lambda door: p.AuthenticatedPrincipal(CLAIMS)
    ),
    "AuthenticatedPrincipal.claims_as": Case(
        {"type": Scope},
        {"type": Acr},
        of=lambda door: p.AuthenticatedPrincipal(CLAIMS),
    ),
    "PrincipalRules.implied": Case(
        {"granted": frozenset(("read",))},
        {"granted": frozenset(("write",))},
        of=lambda door: p.PrincipalRules(None, {"read": ["list"]}),
    ),
    "PrincipalRules": Case(
        {},
        {"roles": [("teams", "roles")], "scope_hierarchy": {"read": ["write"]}},
        lambda door, rules: (
            sorted(p.AuthenticatedPrincipal(CLAIMS, rules=rules).roles),
            sorted(p.AuthenticatedPrincipal(CLAIMS, rules=rules).scopes),
        ),
    ),
}
