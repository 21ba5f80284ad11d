"""Aggregated and distributed claims: what other providers say about the user (OpenID Connect Core 5.6.2).

Nothing is fetched, and nobody is believed, but whom the caller names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException, PyIdentityModelException, UserInfoException, printable
from ...settings import Settings
from ..base.exchanges import once_more
from ..base.flow import Flow, Reply, Request, get, now
from ..base.response import GUARDED, BaseResponse, answered
from ..base.secret import Secret, exposed
from ..base.urls import parse_url
from ..validation.claim_checks import issuer_mismatch
from ..validation.config import TokenValidationConfig, Validators
from ..validation.payload import peek_issuer
from ..validation.signed_response import SignedResponsePolicy, verify_signed
from ..validation.token_kinds import EXTERNAL_CLAIMS
from .token_response import refusal
from .userinfo import USERINFO_JWT, bearing, unusable

_NO_ISSUER = {"verify_iss": False}
#: Sources of one answer at most.
MAX_SOURCES = 16
#: Claims that say something about a token or a login, and nothing about the user that another provider could know.
_NOT_EXTERNAL = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "nonce", "acr", "amr", "auth_time", "sid", "cnf", "events"}
    | {"_claim_names", "_claim_sources"}
)


@dataclass(frozen=True, slots=True)
class ClaimsProvider:
    """Another provider whose word about the user is believed, in a JWT that its keys signed.

    A JWT that names no issuer is its own as well where it comes from one of its endpoints, or where it is the only
    provider that is believed (OpenID Connect Core 5.6.2).

    Attributes:
        issuer: Its ``iss``, compared exactly.
        token_validation_config: What its signed claims must be.
        endpoints: The addresses that distributed claims may be fetched from, compared exactly.
        access_token: The token for them, where the source brings none.
        disco_doc_address: Where its metadata is, if not below the issuer.
    """

    issuer: str
    token_validation_config: TokenValidationConfig
    endpoints: tuple[str, ...] = ()
    access_token: str | Secret | None = field(default=None, repr=False)
    disco_doc_address: str | None = None

    @explains_arguments
    def __post_init__(self) -> None:
        if not isinstance(self.issuer, str) or not self.issuer or type(self.endpoints) is not tuple:
            raise ConfigurationException(
                "A claims provider has an issuer and a tuple of endpoints", code="policy_invalid", claim="issuer"
            )
        for endpoint in self.endpoints:
            parse_url(endpoint, "endpoints")


@dataclass(repr=False)
class ExternalClaimsResponse(BaseResponse):
    """What other providers say about the user. It is successful even if some of them did not answer.

    Attributes:
        claims: The claims, each from the source that is named for it. They are not the provider's own.
        failures: Why a source brought nothing, by its name.
    """

    claims: dict[str, Any] = GUARDED
    failures: dict[str, PyIdentityModelException] = field(default_factory=dict)

    _guarded: ClassVar[frozenset[str]] = frozenset({"claims", "failures"})


def get_external_claims(
    claims: Mapping[str, Any], providers: Sequence[ClaimsProvider], settings: Settings, validators: Validators
) -> Flow[ExternalClaimsResponse]:
    """Verify aggregated claims, fetch and verify distributed ones; one source that fails spoils no other."""

    def collect() -> Flow[ExternalClaimsResponse]:
        known = _by_issuer(providers)
        response = ExternalClaimsResponse(True, claims={})
        for source, names in parse_claim_names(claims).items():
            try:
                said = yield from _from_source(claims["_claim_sources"].get(source), known, settings, validators)
            except PyIdentityModelException as error:
                response.failures[source] = error
                continue
            assert response.claims is not None
            response.claims.update({name: said[name] for name in names if name in said})
        return response

    return (yield from answered(ExternalClaimsResponse, collect))


def parse_claim_names(claims: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return which claims are to be had from which source; nothing where there are none.

    Raises:
        UserInfoException: ``_claim_names`` or ``_claim_sources`` is not what it must be.
    """
    names, sources = claims.get("_claim_names", {}), claims.get("_claim_sources", {})
    well_formed = isinstance(names, dict) and isinstance(sources, dict) and len(sources) <= MAX_SOURCES
    if not well_formed or not all(isinstance(source, str) and source in sources for source in names.values()):
        raise UserInfoException(
            "_claim_names must map claims to members of _claim_sources",
            code="claim_sources_invalid",
            claim="_claim_names",
            expected=f"at most {MAX_SOURCES} sources, each of them there",
        )
    found: dict[str, list[str]] = {}
    for name, source in names.items():
        if name not in _NOT_EXTERNAL:
            found.setdefault(source, []).append(name)
    return found


def _by_issuer(providers: Sequence[ClaimsProvider]) -> dict[str, ClaimsProvider]:
    known = {provider.issuer: provider for provider in providers}
    if len(known) != len(providers):
        raise ConfigurationException("A claims provider is given twice", code="policy_invalid", claim="providers")
    return known


def _from_source(
    source: Any, known: Mapping[str, ClaimsProvider], settings: Settings, validators: Validators
) -> Flow[Mapping[str, Any]]:
    source = source if isinstance(source, dict) else {}
    token, endpoint = source.get("JWT"), source.get("endpoint")
    if isinstance(token, str) and endpoint is None:
        return (yield from _aggregated(token, known, validators))
    if not isinstance(endpoint, str) or token is not None:
        raise UserInfoException(
            "A source must be either aggregated (JWT) or distributed (endpoint)",
            code="claim_source_invalid",
            claim="_claim_sources",
        )
    provider = next((p for p in known.values() if endpoint in p.endpoints), None)
    if provider is None:
        raise UserInfoException(
            "The endpoint of the source is none that may be asked",
            code="claim_endpoint_not_allowed",
            claim="endpoint",
            expected=[e for p in known.values() for e in p.endpoints][:5],
            actual=printable(endpoint),
            hint="name it in ClaimsProvider(endpoints=...) if it is to be trusted",
        )
    token = yield from _fetch(endpoint, source.get("access_token", provider.access_token), settings)
    return (yield from _believed(token, provider, validators))


def _aggregated(token: str, known: Mapping[str, ClaimsProvider], validators: Validators) -> Flow[Mapping[str, Any]]:
    issuer = peek_issuer(token)
    if issuer is not None or len(known) != 1:
        provider = known.get(issuer or "")
        if provider is None:
            raise issuer_mismatch(list(known)[:5], issuer)
    else:
        provider = next(iter(known.values()))  # it names nobody, and there is but one whose key could have signed it
    return (yield from _believed(token, provider, validators))


def _believed(token: str, provider: ClaimsProvider, validators: Validators) -> Flow[Mapping[str, Any]]:
    config = provider.token_validation_config
    named = peek_issuer(token) is not None
    if not named:
        # OpenID Connect Core 5.6.2: iss SHOULD be there. Where it is not, the provider's key alone says whose it is.
        config = replace(config, issuer=None, allowed_issuers=None, options={**(config.options or {}), **_NO_ISSUER})
    policy = SignedResponsePolicy(config, provider.disco_doc_address or provider.issuer)
    claims = yield from verify_signed(token, policy, EXTERNAL_CLAIMS, validators)
    if claims.get("iss", None if named else provider.issuer) != provider.issuer:
        raise issuer_mismatch(provider.issuer, claims.get("iss"))
    return claims


def _fetch(endpoint: str, token: object, settings: Settings) -> Flow[str]:
    reply = yield from once_more(lambda: build_claims_request(endpoint, token), settings)
    secret = [exposed(token)] if isinstance(token, str | Secret) else []
    return parse_claims_answer(reply, secret, (yield from now()).wall)


def build_claims_request(endpoint: str, token: object) -> Request:
    """Build the request for distributed claims, with the token of the source if it has one.

    Raises:
        UserInfoException: The token is none.
    """
    if token is None:
        return get(endpoint, {"Accept": USERINFO_JWT})
    text = exposed(token) if isinstance(token, str | Secret) else ""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UserInfoException(
            "The access token of the source is none", code="claim_source_invalid", claim="access_token"
        )
    return bearing(endpoint, text, accept=USERINFO_JWT)


def parse_claims_answer(reply: Reply, secrets: Sequence[str], wall: float) -> str:
    """Return the signed claims that an endpoint answered with, not verified yet.

    Raises:
        UserInfoException: It refused, failed, or answered with something else.
    """
    if reply.status != 200:
        said = refusal(reply, "claims endpoint", secrets, wall)
        raise UserInfoException(said.message, said.url, reply.status, code=said.code, error=said.error)
    media_type = reply.media_type
    if media_type != USERINFO_JWT:
        raise unusable(
            reply,
            "content_type_invalid",
            f"it is not {USERINFO_JWT}",
            claim="content-type",
            expected=USERINFO_JWT,
            actual=printable(media_type, 60) or "absent",
        )
    return reply.body.decode("ascii", "replace").strip()


__all__ = [
    "MAX_SOURCES",
    "ClaimsProvider",
    "ExternalClaimsResponse",
    "build_claims_request",
    "get_external_claims",
    "parse_claim_names",
    "parse_claims_answer",
]
