"""For the gate in front of an API and each of its parameters: what it decides, and another value."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import py_identity_model as p
from effects import Case, Made, Recorder, When, wait
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


EVALUATION = p.AccessEvaluation(API, action={"name": "read"}, resource={"type": "order", "id": "1"})


def guarded(door: Any, server: Any) -> Any:
    """Use a resource server: what it publishes, and how it decides about some requests, twice."""
    needs = NEEDS if server._http_client is None else (p.Requirement(check=EVALUATION),)
    found = [wait(server.decide(each, need)) for _ in range(2) for need in needs for each in REQUESTS]
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


def evaluated(door: Any, evaluation: Any) -> Any:
    """Use a decision point: what it is asked."""
    point = Recorder(decision=True)
    server = door.ResourceServer(validator(), http_client=point)
    return wait(server.decide(REQUESTS[1], p.Requirement(check=evaluation))), list(point.requests)


class Environment:
    """A process that is told of one resource server, and of half another."""

    def __init__(self, door: Any) -> None:
        self.door = door

    def from_env(self, *, prefix: str = "GATE_", **options: Any) -> Any:
        """Read it."""
        told = {"GATE_ISSUER": ISSUER, "GATE_AUDIENCE": "api", "GATE_RESOURCE": API, "OTHER_ISSUER": ISSUER}
        with patch.dict(os.environ, told):
            return self.door.ResourceServer.from_env(prefix=prefix, **options)


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
            "token_header": "X-Token",
            "leeway": 10.0,
            "http_client": When(Recorder("other", decision=True), {"http_client": Recorder(decision=False)}),
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
    "ResourceServer.from_env": Case(
        {"prefix": "GATE_", "options": {}},
        {"prefix": "OTHER_", "options": {"realm": "orders"}},
        lambda door, server: server.metadata and wait(server.decide(REQUESTS[0])),
        of=Environment,
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
    "AccessEvaluation": Case(
        {"endpoint": API, "action": {"name": "read"}, "resource": {"type": "order", "id": "1"}},
        {
            "endpoint": "https://other.example.com/",
            "action": {"name": "write"},
            "resource": {"type": "order", "id": "2"},
            "subject": {"type": "user", "id": "eve"},
            "context": {"ip": "x"},
            "bearer_token": "t",
            "timeout": 0,
            "max_entries": 0,
            "allow_insecure_http": When(True, {"endpoint": "http://pdp.example.com/"}),
        },
        evaluated,
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
