"""The gate in front of an API: a request and a requirement in; a principal, or the HTTP answer that refuses it, out.

All frameworks' doors call :meth:`Gate.decide`. The answers are those of RFC 6750 3, RFC 9449 7.1, RFC 9470 3 and
RFC 9728 5.1; what was wrong is told to the log, never to the client.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from ..._refusals import must_be
from ...exceptions import (
    MissingCredentialsException,
    NetworkException,
    PyIdentityModelException,
    TokenValidationException,
    ValidationException,
    printable,
)
from ...observability import emit
from ..base.flow import Flow, now, resolve
from ..binding.challenges import ChallengePolicy, Refusal, build_refusal
from ..binding.dpop_server import DPoPProof, DPoPValidator
from ..binding.inbound_request import InboundRequest, ProxyPolicy
from .presented_token import PresentedToken, present, present_in
from .principal import AuthenticatedPrincipal, LoadUser, PrincipalRules
from .protected_resource import check_sender
from .requirement import Requirement, meet

#: How bound tokens are met: checked where they come, demanded of everybody, or refused.
SenderConstraint = Literal["accepted", "required", "refused"]
#: Called with the error, the request and the answer made of it; returns another answer, or None for that one.
OnRefusal = Callable[[PyIdentityModelException, InboundRequest, Refusal], Refusal | Awaitable[Refusal | None] | None]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A token that was accepted: its claims, and whether it was read or asked about."""

    claims: Mapping[str, Any]
    kind: Literal["jwt", "opaque"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is checked of a request, and how it is answered.

    Attributes:
        authenticate: Validates a token.
        known: Returns the claims of a JWT whose like was seen before, at once; None for every other.
        policy: What challenges say.
        constraint: How bound tokens are met.
        dpop: How DPoP proofs are checked; None where none are taken.
        proxies: How requests reach this server.
        rules: Where roles are, and which scopes imply others.
        load_user: Makes the application's user of a principal.
        on_refusal: Looks at each refusal, and may answer in another way.
        leeway: Seconds by which clocks may differ, for the age of a login.
        token_header: The header that carries the token, where it is not Authorization.
    """

    authenticate: Callable[[str], Flow[Authenticated]]
    known: Callable[[str], Mapping[str, Any] | None]
    policy: ChallengePolicy = field(default_factory=ChallengePolicy)
    constraint: SenderConstraint = "accepted"
    dpop: DPoPValidator | None = None
    proxies: ProxyPolicy | None = None
    rules: PrincipalRules | None = None
    load_user: LoadUser | None = None
    on_refusal: OnRefusal | None = None
    leeway: float = 0.0
    token_header: str | None = None

    # ---- letting in

    def _present(self, request: InboundRequest) -> PresentedToken:
        return present(request) if self.token_header is None else present_in(self.token_header, request)

    def at_once(self, request: InboundRequest, requirement: Requirement | None) -> AuthenticatedPrincipal | None:
        """Admit the everyday request without waiting for anything; None sends every other down :meth:`decide`.

        That is a bearer token in the one Authorization header, bound to nothing where it need not be, of an issuer
        whose keys are at hand, with scopes as the only requirement.
        """
        try:
            return self._plainly(self._present(request), requirement)
        except (ValidationException, NetworkException):  # told by the careful path
            return None

    def _plainly(self, presented: PresentedToken, requirement: Requirement | None) -> AuthenticatedPrincipal | None:
        if presented.scheme != "Bearer" or self.constraint == "required" or self.load_user is not None:
            return None
        claims = self.known(presented.token)
        if claims is None or "cnf" in claims:
            return None
        principal = AuthenticatedPrincipal(claims, rules=self.rules)
        if requirement is None or (requirement.plain is not None and requirement.plain <= principal.scopes):
            return principal
        return None

    def admit(
        self, request: InboundRequest, requirement: Requirement | None = None, *, optional: bool = False
    ) -> Flow[AuthenticatedPrincipal | None]:
        """Authenticate a request and check what it brings.

        Args:
            request: The request.
            requirement: What it must bring besides a valid token.
            optional: Whether a request without any token is let in, as nobody.

        Returns:
            Who it is from; None for a CORS preflight, and for a request without a token that needs none.

        Raises:
            ValidationException: It is refused; ``client_error`` says how it is answered.
            NetworkException: Whether it may be let in cannot be told right now.
        """
        if is_preflight(request):
            return None
        try:
            presented = self._present(request)
        except MissingCredentialsException:
            if optional:
                return None
            raise
        principal = self._plainly(presented, requirement)
        if principal is not None:
            return principal
        accepted = yield from self.authenticate(presented.token)
        proof = yield from self._check_sender(request, presented, accepted.claims)
        principal = AuthenticatedPrincipal(
            accepted.claims, token_kind=accepted.kind, scheme=presented.scheme, rules=self.rules
        )
        if proof is not None and proof.next_nonce is not None:
            principal.headers = (("dpop-nonce", proof.next_nonce),)
        yield from self._load(principal)
        if requirement is not None:
            yield from meet(requirement, principal, leeway=self.leeway)
        return principal

    def _check_sender(
        self, request: InboundRequest, presented: PresentedToken, claims: Mapping[str, Any]
    ) -> Flow[DPoPProof | None]:
        if self.constraint == "refused" and claims.get("cnf"):
            raise TokenValidationException(
                "The token is bound, and this resource takes no bound tokens",
                "payload",
                code="cnf_unsupported",
                claim="cnf",
                expected="a token that is bound to nothing",
                hint='ResourceServer(..., sender_constraint="accepted") checks bound tokens',
            )
        required = self.constraint == "required"
        return (
            yield from check_sender(
                request, presented, claims, dpop=self.dpop, proxies=self.proxies, require_binding=required
            )
        )

    def _load(self, principal: AuthenticatedPrincipal) -> Flow[None]:
        if self.load_user is None:
            return
        principal.user = yield from resolve(self.load_user(principal))
        if principal.user is None:
            raise TokenValidationException(
                "The token is valid, and its subject is no user here",
                "payload",
                code="user_unknown",
                claim="sub",
                expected="a subject for which load_user returns a user",
            )

    # ---- refusing

    def decide(
        self, request: InboundRequest, requirement: Requirement | None = None, *, optional: bool = False
    ) -> Flow[AuthenticatedPrincipal | Refusal | None]:
        """Do what :meth:`admit` does, and answer where it refuses."""
        try:
            return (yield from self.admit(request, requirement, optional=optional))
        except (ValidationException, NetworkException) as error:
            refusal = error
        return (yield from self.refuse(refusal, request, requirement))

    def refuse(
        self, error: PyIdentityModelException, request: InboundRequest, requirement: Requirement | None = None
    ) -> Flow[Refusal]:
        """Return the HTTP answer to a request that is refused because of *error*, and tell the log why.

        Raises:
            ConfigurationException: ``on_refusal`` returned neither a :class:`Refusal` nor None.
        """
        nonce = None
        if self.dpop is not None and self.dpop.nonces is not None and error.client_error.status == 401:
            nonce = self.dpop.challenge_nonce((yield from now()).wall)
        scope = () if requirement is None else requirement.scopes
        made = build_refusal(error, self.policy, scheme=_scheme_of(request), dpop_nonce=nonce, scope=scope)
        identifier = request_id(request)
        made = replace(made, headers=(*made.headers, ("x-request-id", identifier)))
        if request.method == "HEAD":  # RFC 9110 9.3.2
            made = replace(made, body=b"")
        _tell(error, request, made.status, identifier)
        if self.on_refusal is None:
            return made
        other = yield from resolve(self.on_refusal(error, request, made))
        if other is not None and not isinstance(other, Refusal):  # doors would take anything else for a principal
            raise must_be("on_refusal", "a function that returns a Refusal, or None", type(other).__name__)
        return made if other is None else other


def _tell(error: PyIdentityModelException, request: InboundRequest, status: int, identifier: str) -> None:
    level = logging.WARNING if status >= 500 else logging.INFO
    emit(
        "request_refused",
        level,
        request_id=identifier,
        status=status,
        code=error.code,
        claim=error.claim,
        expected=printable(error.expected, 200),
        actual=printable(error.actual, 200),
        method=printable(request.method, 20),
        path=printable(_path(request.url), 200),
    )


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _scheme_of(request: InboundRequest) -> str | None:
    values = request.header_values("authorization")
    return values[0].strip(" \t").partition(" ")[0] if values else None


def is_preflight(request: InboundRequest) -> bool:
    """Tell whether *request* is a CORS preflight, which browsers send without credentials (Fetch 3.3.6)."""
    return (
        request.method == "OPTIONS"
        and bool(request.header_values("origin"))
        and bool(request.header_values("access-control-request-method"))
    )


def request_id(request: InboundRequest) -> str:
    """Return the request's own ``X-Request-Id``, if it is fit for a log; a new one otherwise."""
    given = request.header_values("x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.match(given[0]) else secrets.token_hex(8)


__all__ = ["Authenticated", "Gate", "OnRefusal", "SenderConstraint", "is_preflight", "request_id"]
