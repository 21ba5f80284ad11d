"""Whether settings, requests and metadata keep to FAPI 2.0, told in words; nothing is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..._arguments import explains_arguments
from ..discovery.metadata import DiscoveryDocumentResponse
from . import fapi_checks as checks
from .fapi_checks import Violation, Wanted

FAPI2_ALLOWED_AUTH_METHODS = frozenset(checks.AUTH_METHODS)
FAPI2_ALLOWED_SIGNING_ALGORITHMS = frozenset({"ES256", "PS256"})
FAPI2_REQUIRED_PKCE_METHOD = "S256"
FAPI2_REQUIRED_RESPONSE_TYPE = "code"


@dataclass
class FAPIValidationResult:
    """What a check for FAPI 2.0 found.

    Attributes:
        violations: What breaks the profile, in words.
        is_compliant: Whether nothing does.
    """

    violations: list[str] = field(default_factory=list)
    is_compliant: bool = field(init=False)

    @explains_arguments
    def __post_init__(self) -> None:
        self.is_compliant = not self.violations


@explains_arguments
def validate_fapi_authorization_request(
    *,
    response_type: str,
    code_challenge: str | None,
    code_challenge_method: str | None,
    redirect_uri: str,
    use_par: bool,
    algorithm: str | None = None,
) -> FAPIValidationResult:
    """Tell whether an authorization request keeps to FAPI 2.0 (Security Profile 5.3.3.2).

    Args:
        response_type: What is asked for: ``code``.
        code_challenge: The PKCE challenge.
        code_challenge_method: ``S256``.
        redirect_uri: Where the user comes back to: https, or http to a loopback IP address.
        use_par: Whether the request is pushed (RFC 9126).
        algorithm: The algorithm that the client signs with, if it signs.

    >>> validate_fapi_authorization_request(
    ...     response_type="code", code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    ...     code_challenge_method="S256", redirect_uri="https://app.example.com/cb", use_par=False,
    ... ).violations
    ['authorization requests must be pushed (RFC 9126)']
    """
    return _told(
        _authorization_request(response_type, code_challenge, code_challenge_method, redirect_uri, use_par, algorithm)
    )


def _authorization_request(
    response_type: str,
    code_challenge: str | None,
    code_challenge_method: str | None,
    redirect_uri: str,
    use_par: bool,
    algorithm: str | None,
) -> Iterator[Violation]:
    if response_type != FAPI2_REQUIRED_RESPONSE_TYPE:
        yield Violation("F22", "response_type", "response_type must be code")
    yield from (v for v in checks.pkce(code_challenge, code_challenge_method) if v.rule == "F24")
    yield from checks.redirect_address(redirect_uri)
    if use_par is not True:
        yield Violation("F23", "use_par", "authorization requests must be pushed (RFC 9126)")
    if algorithm is not None:
        yield from checks.algorithm("algorithm", algorithm)


@explains_arguments
def validate_fapi_client_config(
    *, auth_method: str | None, use_dpop: bool = False, use_mtls: bool = False
) -> FAPIValidationResult:
    """Tell whether a client's settings keep to FAPI 2.0 (Security Profile 5.3.3.1).

    Args:
        auth_method: How the client authenticates.
        use_dpop: Whether tokens are bound to a DPoP key.
        use_mtls: Whether tokens are bound to a certificate.

    >>> validate_fapi_client_config(auth_method="private_key_jwt", use_dpop=True).is_compliant
    True
    """
    return _told(_client_config(auth_method, use_dpop, use_mtls))


def _client_config(auth_method: str | None, use_dpop: bool, use_mtls: bool) -> Iterator[Violation]:
    if auth_method not in checks.AUTH_METHODS:
        yield Violation("F9", "auth_method", f"auth_method must be one of {' '.join(checks.AUTH_METHODS)}")
    if use_dpop is not True and use_mtls is not True:
        yield Violation("F8", "use_dpop", "tokens must be bound, by DPoP or by mutual TLS")


@explains_arguments
def validate_fapi_discovery(discovery: DiscoveryDocumentResponse) -> FAPIValidationResult:
    """Tell whether a provider's metadata keeps to FAPI 2.0 (Security Profile 5.3.2).

    Args:
        discovery: The metadata.

    >>> validate_fapi_discovery(DiscoveryDocumentResponse(True, issuer="https://id.example.com")).is_compliant
    False
    """
    if not discovery.is_successful:
        return FAPIValidationResult([f"there is no metadata: {discovery.error}"])
    return _told(checks.metadata(discovery, Wanted()))


def _told(violations: Iterable[Violation]) -> FAPIValidationResult:
    return FAPIValidationResult([violation.message for violation in violations])


__all__ = [
    "FAPI2_ALLOWED_AUTH_METHODS",
    "FAPI2_ALLOWED_SIGNING_ALGORITHMS",
    "FAPI2_REQUIRED_PKCE_METHOD",
    "FAPI2_REQUIRED_RESPONSE_TYPE",
    "FAPIValidationResult",
    "validate_fapi_authorization_request",
    "validate_fapi_client_config",
    "validate_fapi_discovery",
]
