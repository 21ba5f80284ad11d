"""A protected resource: whether a request may use the token it brings, and what it must do otherwise.

RFC 6750 and RFC 9449 7 (tokens), RFC 7662 (opaque tokens), RFC 8705 3 and RFC 7800 (bound tokens),
RFC 9470 (step-up). The refusals become HTTP responses in :mod:`.challenges`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..._arguments import explains_arguments
from ..._refusals import bounded
from ...exceptions import (
    CertificateBindingError,
    ConfigurationException,
    DPoPValidationException,
    InsufficientScopeException,
    InsufficientUserAuthenticationException,
    InvalidAudienceException,
    TokenExpiredException,
    TokenNotYetValidException,
    TokenValidationException,
    printable,
)
from ..base.flow import Flow, now, resolve
from ..base.header_lists import words
from ..base.response import BaseResponse
from ..binding.challenges import Challenge
from ..binding.dpop_server import DPoPProof, DPoPValidator, bound_jkt, confirmation, refuse_bearer_downgrade
from ..binding.inbound_request import InboundRequest, ProxyPolicy
from ..binding.mtls import X5T_S256, client_certificate, validate_certificate_binding
from ..validation.application_rules import granted_scopes
from ..validation.claim_checks import audience_policy, names, numeric_date, seconds
from .presented_token import PresentedToken, classify_token


def authenticate_token(
    token: str,
    validate_jwt: Callable[[str], Flow[Mapping[str, Any]]] | None,
    introspect: Callable[[str], Flow[Any]] | None,
    *,
    audience: str | Collection[str],
    leeway: float = 0.0,
    allow_missing_audience: bool = False,
) -> Flow[Mapping[str, Any]]:
    """Validate an access token, whether it is a JWT or opaque.

    A token that looks like a JWT is never asked about by introspection after it was refused.

    Args:
        token: The token.
        validate_jwt: Validates a JWT and returns its claims; None sends every token to *introspect*.
        introspect: Asks the provider and returns its answer (RFC 7662 2.2), as members or as a response value; None
            refuses opaque tokens.
        audience: This resource, one name or several; it is checked in the answers of *introspect*.
        leeway: Seconds by which clocks may differ.
        allow_missing_audience: Whether an answer of *introspect* without ``aud`` is accepted.

    Returns:
        The claims.

    Raises:
        TokenValidationException: The token is refused; ``token_inactive`` and ``token_opaque`` are codes of this place.
        NetworkException: The token cannot be verified right now.
        ConfigurationException: Both callables are None, or *audience* is empty.
    """
    audience_policy(audience)
    if validate_jwt is None and introspect is None:
        raise ConfigurationException("Neither validate_jwt nor introspect is given", code="token_validation_missing")
    if validate_jwt is not None and classify_token(token) == "jwt":
        return (yield from validate_jwt(token))
    if introspect is None:
        raise TokenValidationException(
            "The token is opaque and nobody is configured who could tell what it means",
            "token",
            code="token_opaque",
            hint="pass introspect to accept opaque tokens",
        )
    answer = yield from introspect(token)
    clock = yield from now()
    claims = _introspected(answer)
    check_introspected(claims, audience, wall=clock.wall, leeway=leeway, allow_missing_audience=allow_missing_audience)
    return claims


def asking(function: Callable[[str], Any], *, allow_missing_audience: bool = False) -> Callable[[str], Flow[Any]]:
    """Make a flow of a function that answers for a token, whether it is a plain one or a coroutine function.

    Raises:
        ConfigurationException: Answers without ``aud`` are to be accepted, and the function refuses them.
    """
    if allow_missing_audience and getattr(function, "demands_audience", False):
        raise ConfigurationException(
            "The introspector refuses answers without an audience, so allow_missing_audience would have no effect",
            code="policy_invalid",
            claim="allow_missing_audience",
            hint="TokenIntrospector(..., allow_missing_audience=True), or leave its expected_audience out",
        )

    def ask(token: str) -> Flow[Any]:
        return (yield from resolve(function(token)))

    return ask


def _introspected(answer: Any) -> Mapping[str, Any]:
    if isinstance(answer, BaseResponse):
        answer.raise_for_error()
        return getattr(answer, "claims", None) or {}
    return answer if isinstance(answer, Mapping) else {}


def check_introspected(
    claims: Mapping[str, Any],
    audience: str | Collection[str],
    *,
    wall: float,
    leeway: float = 0.0,
    allow_missing_audience: bool = False,
) -> None:
    """Refuse a token by what its introspection says (RFC 7662 2.2, RFC 9700 4.10.2).

    Args:
        claims: The members of the answer.
        audience: The names of this resource.
        wall: The time in seconds since 1970.
        leeway: Seconds by which clocks may differ.
        allow_missing_audience: Whether an answer without ``aud`` is accepted.

    Raises:
        TokenValidationException: It is inactive (``token_inactive``), expired, not valid yet, or for another audience.
    """
    leeway = seconds(leeway, "leeway")
    if claims.get("active") is not True:
        raise TokenValidationException(
            "The token is not active", "token", code="token_inactive", claim="active", expected=True
        )
    exp, nbf = numeric_date(claims, "exp"), numeric_date(claims, "nbf")
    if exp is not None and exp <= wall - leeway:
        raise TokenExpiredException("The token has expired", claim="exp", expected=f"after {wall:.0f}", actual=exp)
    if nbf is not None and nbf > wall + leeway:
        raise TokenNotYetValidException(
            "The token is not valid yet", claim="nbf", expected=f"at most {wall:.0f}", actual=nbf
        )
    _check_audience(claims.get("aud"), audience_policy(audience), allow_missing_audience)


def _check_audience(aud: object, accepted: frozenset[str], allow_missing: bool) -> None:
    if aud is None and allow_missing:
        return
    given = (
        {aud} if isinstance(aud, str) else {a for a in aud if isinstance(a, str)} if isinstance(aud, list) else set()
    )
    if not given & accepted:
        raise InvalidAudienceException(
            "The token was made for another resource",
            claim="aud",
            expected=sorted(accepted),
            actual=[printable(a) for a in sorted(given)[:8]] or "absent",
            hint=None
            if given
            else "zitadel, django-oauth-toolkit and LemonLDAP answer introspection without aud: "
            "allow_missing_audience=True accepts that",
        )


@explains_arguments
def is_client_token(claims: Mapping[str, Any]) -> bool:
    """Tell whether a token stands for a client itself and for no user (RFC 9700 4.15, RFC 9068 5).

    Args:
        claims: The token's validated claims.

    Returns:
        True if there is no ``sub``, or it is the client's own identifier, or the provider marks the token so.

    >>> is_client_token({"sub": "app", "client_id": "app"}), is_client_token({"sub": "ada", "client_id": "app"})
    (True, False)
    """
    subject = claims.get("sub")
    clients = (claims.get("client_id"), claims.get("azp"))
    return subject is None or subject in clients or claims.get("idtyp") == "app"


@explains_arguments
def check_scopes(claims: Mapping[str, Any], *required: str) -> None:
    """Refuse a token that does not grant every one of these scopes (RFC 6750 3.1).

    Args:
        claims: The token's validated claims.
        required: The scopes, at least one.

    Raises:
        InsufficientScopeException: One was not granted.
        ConfigurationException: No scope is given.

    >>> check_scopes({"scope": "orders.read orders.write"}, "orders.read")
    """
    wanted = names(required, "required")
    granted = granted_scopes(dict(claims))
    missing = [scope for scope in wanted if scope not in granted]
    if missing:
        raise InsufficientScopeException(
            f"The scope {printable(missing[0])!r} was not granted",
            wanted,
            claim="scope",
            expected=" ".join(wanted),
            actual=printable(" ".join(sorted(granted))) or "none",
        )


def check_sender(
    request: InboundRequest,
    presented: PresentedToken,
    claims: Mapping[str, Any],
    *,
    dpop: DPoPValidator | None = None,
    proxies: ProxyPolicy | None = None,
    require_binding: bool = False,
) -> Flow[DPoPProof | None]:
    """Refuse a bound token that does not come from the client it is bound to (RFC 9449 7, RFC 8705 3, RFC 7800 3.1).

    Args:
        request: The request.
        presented: Its token.
        claims: That token's validated claims.
        dpop: How proofs are checked; None if this resource takes no DPoP.
        proxies: How requests reach this server: which proxies may forward a client certificate, and what the ``htu`` of
            a proof must be, unless *dpop* says so itself.
        require_binding: Whether a token that is bound to nothing is refused.

    Returns:
        The DPoP proof, if the token is bound to a DPoP key.

    Raises:
        DPoPValidationException: The token and its proof do not go together.
        CertificateBindingError: The token and the client certificate do not.
        TokenValidationException: The token is bound in another way (``cnf_unsupported``), or must be bound and is not
            (``token_unbound``).
        NetworkException: The replay memory cannot answer.
    """
    cnf = confirmation(claims)
    _check_confirmable(cnf, require_binding)
    if X5T_S256 in cnf:
        certificate = client_certificate(request, proxies)
        if certificate is None:
            raise CertificateBindingError(
                "The token is bound to a certificate and the client has presented none",
                code="certificate_missing",
                claim=f"cnf.{X5T_S256}",
            )
        validate_certificate_binding(claims, certificate)
    if presented.scheme == "Bearer":
        refuse_bearer_downgrade(claims)
        return None
    if bound_jkt(claims) is None:
        raise DPoPValidationException(
            "The access token is not bound to a DPoP key", code="dpop_token_unbound", claim="cnf.jkt"
        )
    if dpop is None:
        raise DPoPValidationException("This resource takes no DPoP tokens", code="dpop_unsupported")
    if proxies is not None and dpop.proxies == ProxyPolicy():
        dpop = dpop.behind(proxies)
    return (yield from dpop.validate(request, access_token=presented.token, claims=claims))


def _check_confirmable(cnf: Mapping[str, Any], require_binding: bool) -> None:
    if not cnf and require_binding:
        raise TokenValidationException(
            "The token is bound to nobody",
            "payload",
            code="token_unbound",
            claim="cnf",
            expected=f"jkt or {X5T_S256}",
        )
    # RFC 7800 3.1 has unknown members ignored; with nothing known left, the token would be taken from any sender.
    if cnf and not {"jkt", X5T_S256} & cnf.keys():
        raise TokenValidationException(
            "The token is bound in a way that cannot be checked here",
            "payload",
            code="cnf_unsupported",
            claim="cnf",
            expected=f"jkt or {X5T_S256}",
            actual=[printable(name, 40) for name in sorted(cnf)[:8]],
        )


@dataclass(frozen=True, slots=True)
class AuthenticationRequirement:
    """How well and how recently a user must have authenticated (RFC 9470 3, 4).

    Attributes:
        acr_values: Authentication context classes, any one of which will do; empty if it does not matter.
        max_age: Seconds since the user authenticated at most; None if it does not matter.

    Raises:
        ConfigurationException: Neither is given, or one is unusable.
    """

    acr_values: tuple[str, ...] = ()
    max_age: int | None = None

    @explains_arguments
    def __post_init__(self) -> None:
        if self.max_age is None or self.acr_values != ():
            object.__setattr__(self, "acr_values", names(self.acr_values, "acr_values"))
        if any(" " in acr for acr in self.acr_values):
            raise ConfigurationException(
                "An acr value has no spaces", code="policy_invalid", claim="acr_values", expected="text without spaces"
            )
        if self.max_age is not None:
            bounded(self.max_age, "max_age", int, 0, unit="seconds")


@explains_arguments
def check_authentication(
    claims: Mapping[str, Any], requirement: AuthenticationRequirement, *, wall: float, leeway: float = 0.0
) -> None:
    """Refuse a token whose user has not authenticated well or recently enough (RFC 9470 3, 6).

    Args:
        claims: The token's validated claims; ``acr`` and ``auth_time`` count.
        requirement: What is needed.
        wall: The time in seconds since 1970.
        leeway: Seconds by which clocks may differ.

    Raises:
        InsufficientUserAuthenticationException: It is not enough: ``acr_insufficient``, ``auth_time_missing``,
            ``auth_time_too_old`` or ``auth_time_in_future``.

    >>> check_authentication({"acr": "phr"}, AuthenticationRequirement(("phr", "phrh")), wall=0.0)
    """
    leeway = seconds(leeway, "leeway")
    if requirement.acr_values and claims.get("acr") not in requirement.acr_values:
        raise _insufficient(requirement, "acr_insufficient", "acr", requirement.acr_values, claims.get("acr", "absent"))
    if requirement.max_age is None:
        return
    auth_time = numeric_date(claims, "auth_time")
    if auth_time is None:
        raise _insufficient(requirement, "auth_time_missing", "auth_time", "present", "absent")
    if auth_time > wall + leeway:
        raise _insufficient(requirement, "auth_time_in_future", "auth_time", f"at most {wall:.0f}", auth_time)
    if auth_time + requirement.max_age < wall - leeway:
        oldest = f"at least {wall - requirement.max_age:.0f}"
        raise _insufficient(requirement, "auth_time_too_old", "auth_time", oldest, auth_time)


def _insufficient(
    requirement: AuthenticationRequirement, code: str, claim: str, expected: object, actual: object
) -> InsufficientUserAuthenticationException:
    return InsufficientUserAuthenticationException(
        f"The user must authenticate again: {claim} does not meet what the resource requires",
        requirement.acr_values,
        requirement.max_age,
        code=code,
        claim=claim,
        expected=expected,
        actual=printable(actual),
    )


@explains_arguments
def parse_step_up(challenges: Iterable[Challenge]) -> AuthenticationRequirement | None:
    """Read out of a resource's challenges how the user must authenticate (RFC 9470 3).

    Args:
        challenges: From :func:`.challenges.parse_challenges`.

    Returns:
        What to send as ``acr_values`` and ``max_age`` of an authorization request (RFC 9470 5); None if no challenge
        asks for that, or it asks for nothing that can be sent.
    """
    for challenge in challenges:
        if challenge.get("error") != "insufficient_user_authentication":
            continue
        acr_values = words(challenge.get("acr_values") or "")
        max_age = challenge.get("max_age") or ""
        known = int(max_age) if max_age.isascii() and max_age.isdigit() and len(max_age) < 12 else None
        if acr_values or known is not None:
            return AuthenticationRequirement(acr_values, known)
    return None


__all__ = [
    "AuthenticationRequirement",
    "asking",
    "authenticate_token",
    "check_authentication",
    "check_introspected",
    "check_scopes",
    "check_sender",
    "is_client_token",
    "parse_step_up",
]
