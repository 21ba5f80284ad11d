"""FAPI 2.0 as a profile that is switched on and then enforced: Security Profile, Message Signing.

A :class:`FAPI2Profile` refuses whatever breaks a rule: a client's settings, what it sends, the provider's metadata,
what comes back. A :class:`FAPI2LoginClient` is a login client under such a profile: the login operations take it as it
is. The ``validate_fapi_*`` functions only tell.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias, TypeVar

from ..._arguments import explains_arguments
from ...exceptions import (
    AuthorizeCallbackException,
    ConfigurationException,
    PyIdentityModelException,
    TokenRequestException,
    TokenValidationException,
    printable,
)
from ...observability import emit
from ..base.flow import Request
from ..base.secret import exposed
from ..client.client_auth import ClientRequest
from ..client.grants import AuthorizationCodeTokenRequest
from ..client.introspection import TokenIntrospectionRequest
from ..client.token_response import DPOP, TokenResponse
from ..discovery.metadata import DiscoveryDocumentResponse
from ..jose.algorithms import SignatureAlgorithm
from ..validation.config import TokenValidationConfig
from . import fapi_checks as checks
from .callback import AuthorizeCallbackResponse
from .client import LoginClient
from .fapi_checks import Violation, Wanted
from .fapi_verdicts import FAPI2_REQUIRED_PKCE_METHOD, FAPI2_REQUIRED_RESPONSE_TYPE
from .jarm import JWT_MODE
from .par import PushedAuthorizationRequest, PushedAuthorizationResponse

R = TypeVar("R", bound=ClientRequest)

#: Security Profile 5.3.2.1: clocks up to 10 s ahead are taken, more than 60 s ahead are refused.
MOST_LEEWAY = 60.0


@dataclass(frozen=True)
class FAPI2Profile:
    """The rules of FAPI 2.0, enforced. Build one for the whole application: it remembers which key is whose.

    Args:
        signed_requests: Authorization requests are signed (Message Signing 5.3).
        signed_responses: Authorization responses come in a JWT (Message Signing 5.4).
        signed_introspection: Introspection answers come in a JWT (Message Signing 5.5).

    Whatever breaks a rule raises an error with the code ``fapi_violation``; ``details["violations"]`` names every rule
    that is broken.

    >>> from py_identity_model import ClientCredentialsTokenRequest
    >>> request = ClientCredentialsTokenRequest("https://id.example.com/token", "app", client_secret="s")
    >>> try:
    ...     FAPI2Profile().check_request(request)
    ... except ConfigurationException as error:
    ...     error.details["violations"][0]["message"]
    'client_secret authenticates by a method that is not allowed'
    """

    signed_requests: bool = False
    signed_responses: bool = False
    signed_introspection: bool = False
    _bound: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def message_signing(cls) -> FAPI2Profile:
        """Return the profile that demands signatures wherever FAPI 2.0 Message Signing knows them."""
        return cls(signed_requests=True, signed_responses=True, signed_introspection=True)

    # ---- the client

    @explains_arguments
    def check_client(self, client: LoginClient) -> None:
        """Refuse a login client whose settings break the profile.

        Raises:
            ConfigurationException: They do.
        """
        _enforce("The client", self._client(client))
        for _, key in _keys_of(client):
            self._bound.setdefault(key, client.issuer)

    def _client(self, client: LoginClient) -> Iterator[Violation]:
        yield from checks.address("issuer", client.issuer)
        yield from checks.client_authentication(client)
        yield from checks.sender_constraint(client)
        if client.redirect_uri is not None:
            yield from checks.redirect_address(client.redirect_uri)
        if client.response_type != FAPI2_REQUIRED_RESPONSE_TYPE:
            yield Violation("F22", "response_type", "response_type must be code")
        if client.pushed is not True:
            yield Violation("F23", "pushed", "authorization requests must be pushed")
        if not client.require_iss:
            yield Violation("F26", "require_iss", "responses must name their issuer")
        yield from checks.algorithm("id_token_signed_response_alg", client.id_token_signed_response_alg)
        yield from _leeway(client.leeway)
        yield from _without_effect(client)
        yield from self._discovery(client)
        yield from self._client_message_signing(client)
        yield from self._client_keys(client)

    def _discovery(self, client: LoginClient) -> Iterator[Violation]:
        if client.discovery_address is not None:
            yield from checks.address("discovery_address", client.discovery_address)
        policy = client.discovery_policy
        if policy is not None and not (policy.require_https and policy.validate_issuer and policy.validate_endpoints):
            yield Violation("F18", "discovery_policy", "the metadata must be held to every rule")

    def _client_message_signing(self, client: LoginClient) -> Iterator[Violation]:
        signing = getattr(client, "request_signing", None)
        if signing is not None:
            yield from checks.signing_key("request_signing", signing.signing_key())
        elif self.signed_requests:
            yield Violation("M1", "request_signing", "authorization requests must be signed")
        if self.signed_responses:
            yield from checks.response_mode(client.response_mode)
        alg = client.authorization_signed_response_alg
        if alg is not None:
            yield from checks.algorithm("authorization_signed_response_alg", alg)

    def _client_keys(self, client: LoginClient) -> Iterator[Violation]:
        dpop, assertion, signing = client.dpop_key, client.private_key_jwt, client.request_signing
        yield from checks.single_purpose(
            [
                ("private_key_jwt", assertion.signing_key().public_jwk if assertion else None),
                ("dpop_key", dpop.public_jwk if dpop else None),
            ]
        )
        named = (("private_key_jwt", assertion), ("request_signing", signing))
        yield from checks.distinct_kids((claim, each.signing_key()) for claim, each in named if each is not None)
        yield from checks.distinct_keys(self._bound, client.issuer, _keys_of(client))

    # ---- the provider

    @explains_arguments
    def check_provider(
        self,
        metadata: DiscoveryDocumentResponse,
        client: LoginClient | None = None,
        *,
        uses: str | Collection[str] | None = None,
    ) -> None:
        """Refuse a provider whose metadata does not let a client keep the profile, in what the client does there.

        Args:
            metadata: The metadata, as discovery validated it.
            client: Who is going to use it.
            uses: What it is used for: ``login``, ``client_credentials``, ``introspection``, one or several. None stands
                for a login, and without *client* also for introspection where the profile wants it signed.

        Raises:
            ConfigurationException: A rule is broken, or *uses* names something else.
            PyIdentityModelException: There is no metadata: whatever discovery failed with.
        """
        metadata.raise_for_error()
        _enforce("The provider", self._provider(metadata, client, self._uses(client, uses)))

    def _uses(self, client: LoginClient | None, uses: str | Collection[str] | None) -> frozenset[str]:
        if uses is None:
            both = client is None and self.signed_introspection
            return frozenset({"login", "introspection"} if both else {"login"})
        given = frozenset((uses,) if isinstance(uses, str) else uses)
        if not given or not given <= checks.USES.keys():
            raise ConfigurationException(
                f"uses must be some of {', '.join(checks.USES)}",
                code="policy_invalid",
                claim="uses",
                expected=tuple(checks.USES),
                actual=printable(sorted(map(str, given)), 80),
            )
        return given

    def _provider(
        self, metadata: DiscoveryDocumentResponse, client: LoginClient | None, uses: frozenset[str]
    ) -> Iterator[Violation]:
        wanted = Wanted(self.signed_requests, self.signed_responses, self.signed_introspection, uses=uses)
        if client is not None:
            if metadata.issuer != client.issuer:  # RFC 8414 3.3: identical
                yield Violation("F18", "issuer", "the metadata is another issuer's")
            wanted = wanted._replace(
                dpop_alg=client.dpop_key.algorithm if client.dpop_key else None,
                certificate_bound=client.dpop_key is None,
                assertion_alg=client.private_key_jwt.signing_key().alg if client.private_key_jwt else None,
            )
        yield from checks.metadata(metadata, wanted)

    # ---- what goes out

    @explains_arguments
    def check_request(self, request: R, *, wall: float | None = None) -> R:
        """Refuse a request to a provider that breaks the profile, and return it otherwise.

        Args:
            request: A token request, a pushed authorization request, a request for introspection or revocation.
            wall: The time in seconds since 1970, to judge the age of a request object by.

        Raises:
            ConfigurationException: A rule is broken.
        """
        _enforce("The request", self._request(request, wall))
        return request

    def _request(self, request: ClientRequest, wall: float | None) -> Iterator[Violation]:
        yield from checks.address("address", request.address)
        if not isinstance(request, TokenIntrospectionRequest) or request.authorization is None:
            yield from checks.client_authentication(request)
        if isinstance(request, PushedAuthorizationRequest):
            yield from self._pushed(request, wall)
        elif hasattr(request, "dpop_key"):
            yield from checks.sender_constraint(request)
        if isinstance(request, AuthorizationCodeTokenRequest):
            yield from _code(request)
        if isinstance(request, TokenIntrospectionRequest):
            yield from self._introspection(request)

    def _pushed(self, request: PushedAuthorizationRequest, wall: float | None) -> Iterator[Violation]:
        if request.dpop_key is not None:
            yield from checks.dpop_key(request.dpop_key)
        for name in ("allow_challenge_that_shows_the_verifier", "allow_redirect_uri_over_insecure_http"):
            if getattr(request, name):
                yield Violation("F1" if "http" in name else "F24", name, f"{name} must stay off")
        asked: Mapping[str, Any] = {**vars(request), "code_challenge_method": _method(request)}
        if request.request_object is not None:
            read = checks.request_object_claims(exposed(request.request_object))
            if read is None:
                return  # encrypted: nobody but the provider can tell
            header, asked = read
            yield from checks.request_object(header, asked, request.client_id, request.issuer, wall)
        elif self.signed_requests:
            yield Violation("M1", "request_object", "authorization requests must be signed")
        yield from checks.authorization(asked)
        if self.signed_responses:
            yield from checks.response_mode(asked.get("response_mode"))

    def _introspection(self, request: TokenIntrospectionRequest) -> Iterator[Violation]:
        if request.signed_response is None:
            if self.signed_introspection:
                yield Violation("M4", "signed_response", "introspection answers must be signed")
            return
        yield from _validation(request.signed_response.token_validation_config)

    @explains_arguments
    def check_authorization_url(self, url: str, authorization_endpoint: str) -> str:
        """Refuse a URL that sends the browser anything but ``client_id`` and ``request_uri``; return it otherwise.

        Raises:
            ConfigurationException: It does.
        """
        _enforce("The authorization URL", checks.authorization_url(url, authorization_endpoint))
        return url

    @explains_arguments
    def check_resource_request(self, request: Request) -> Request:
        """Refuse a request to a resource whose token is not in its header, or that is plain http; return it otherwise.

        Raises:
            ConfigurationException: It is so.
        """
        _enforce("The request", checks.resource_request(request))
        return request

    @explains_arguments
    def check_validation(self, config: TokenValidationConfig) -> TokenValidationConfig:
        """Refuse settings for validation that take more than the profile allows; return them otherwise.

        Raises:
            ConfigurationException: They do.
        """
        _enforce("The validation", _validation(config))
        return config

    # ---- what comes in

    @explains_arguments
    def check_pushed_response(self, response: PushedAuthorizationResponse) -> None:
        """Tell, as an event, of the name of a pushed request that is good for ten minutes or longer.

        To forget it sooner is the provider's duty (Security Profile 5.3.2.2); a client comes to no harm by it, since
        it uses the name once and at once.

        Raises:
            PyIdentityModelException: There is no name: whatever the request failed with.
        """
        response.raise_for_error()
        lifetime = response.expires_in or 0
        if lifetime >= checks.MAX_REQUEST_URI_LIFETIME:
            emit("fapi_pushed_request_long_lived", logging.WARNING, expires_in=lifetime)

    @explains_arguments
    def check_callback(self, response: AuthorizeCallbackResponse, issuer: str) -> None:
        """Refuse an authorization response that does not name *issuer*, or brings more than a code.

        Raises:
            AuthorizeCallbackException: It breaks a rule.
        """
        _enforce("The authorization response", self._callback(response, issuer), AuthorizeCallbackException)

    def _callback(self, response: AuthorizeCallbackResponse, issuer: str) -> Iterator[Violation]:
        values = response.values
        if values.get("iss") != issuer:  # RFC 9207 2.4: errors count only from the right issuer, too
            yield Violation("F26", "iss", "the response must name the issuer that was asked")
        for name in ("id_token", "access_token", "refresh_token"):
            if name in values:
                yield Violation("F22", name, f"{name} must not come through the browser")
        if self.signed_responses and not str(response.response_mode or "").endswith(JWT_MODE):
            yield Violation("M3", "response", "the response must come in a JWT that was verified")

    @explains_arguments
    def check_token_response(self, request: ClientRequest, response: TokenResponse) -> None:
        """Refuse tokens that are not bound as they were asked for.

        Raises:
            TokenRequestException: They are not.
            PyIdentityModelException: There are none: whatever the request failed with.
        """
        response.raise_for_error()
        bound = getattr(request, "dpop_key", None) is not None
        if bound and (response.token_type or "").lower() != DPOP:
            broken = Violation("F8", "token_type", "the tokens are not bound to the DPoP key")
            _refuse("The response", [broken], TokenRequestException)

    @explains_arguments
    def check_access_token(self, claims: Mapping[str, Any]) -> None:
        """Refuse an access token that is bound to nobody, at a resource (Security Profile 5.3.4).

        It fits as a ``claims_validator``. Whether the token comes from whom it is bound to is for ``check_sender``.

        Raises:
            TokenValidationException: It is bound to nobody.
        """
        cnf = claims.get("cnf")
        if not isinstance(cnf, Mapping) or not any(isinstance(cnf.get(n), str) and cnf[n] for n in ("jkt", "x5t#S256")):
            broken = Violation("F33", "cnf", "the access token is bound to nobody")
            _refuse("The access token", [broken], TokenValidationException)


@dataclass(frozen=True, kw_only=True, repr=False)
class FAPI2LoginClient(LoginClient):
    """A login client under FAPI 2.0. The login operations take it like any other and keep the profile.

    Pushed requests, ``iss`` in responses and PS256 for ID tokens are set; the rest is checked when it is built, and the
    provider's metadata before anything is sent to it.

    Attributes:
        profile: The rules. Share one among all clients: no two providers may see one key.

    Raises:
        ConfigurationException: A rule is broken; the code is ``fapi_violation``.

    >>> from py_identity_model._core.binding.dpop_client import DPoPKey
    >>> from py_identity_model._core.client.client_auth import PrivateKeyJwt
    >>> from py_identity_model._core.jose.signing_keys import SigningKey
    >>> client = FAPI2LoginClient(
    ...     profile=FAPI2Profile(), issuer="https://id.example.com", client_id="app",
    ...     redirect_uri="https://app.example.com/cb", dpop_key=DPoPKey(),
    ...     private_key_jwt=PrivateKeyJwt(SigningKey.generate("ES256")),
    ... )
    >>> client.pushed, client.require_iss, client.id_token_signed_response_alg
    (True, True, 'PS256')
    """

    profile: FAPI2Profile
    pushed: bool | None = True
    require_iss: bool = True
    id_token_signed_response_alg: SignatureAlgorithm = "PS256"

    @explains_arguments
    def __post_init__(self) -> None:
        if not isinstance(self.profile, FAPI2Profile):
            raise ConfigurationException(
                "profile must be a FAPI2Profile", code="policy_invalid", claim="profile", expected="FAPI2Profile"
            )
        if self.response_mode is None and self.profile.signed_responses:
            object.__setattr__(self, "response_mode", "jwt")
        super().__post_init__()
        self.profile.check_client(self)

    @explains_arguments
    def check_pushed_response(self, response: PushedAuthorizationResponse) -> None:
        """Refuse an answer to a pushed request that breaks the profile.

        Raises:
            TokenRequestException: It does.
        """
        self.profile.check_pushed_response(response)

    @explains_arguments
    def credentials(self, metadata: DiscoveryDocumentResponse) -> dict[str, Any]:
        """Return the credential fields of a request to this provider, if its metadata keeps to the profile."""
        return self._credentials_for(metadata, "login")

    def _credentials_for(self, metadata: DiscoveryDocumentResponse, use: str) -> dict[str, Any]:
        self.profile.check_provider(metadata, self, uses=use)
        return LoginClient.credentials(self, metadata)


def _keys_of(client: LoginClient) -> Iterator[tuple[str, str]]:
    """Return what tokens of a client are bound to, in a form that tells it from any other."""
    if client.dpop_key is not None:
        yield "dpop_key", client.dpop_key.jwk_thumbprint
    if client.mtls is not None:
        yield "mtls", client.mtls.certificate


def _method(request: PushedAuthorizationRequest) -> str | None:
    # S256 is what is sent if nothing is said.
    method = request.code_challenge_method
    return FAPI2_REQUIRED_PKCE_METHOD if method is None and request.code_challenge else method


def _code(request: AuthorizationCodeTokenRequest) -> Iterator[Violation]:
    if request.code_verifier is None:
        yield Violation("F24", "code_verifier", "PKCE is required: code_verifier is missing")
    yield from checks.redirect_address(request.redirect_uri)


def _validation(config: TokenValidationConfig) -> Iterator[Violation]:
    if not config.require_https:
        yield Violation("F1", "require_https", "require_https must stay on")
    for name in ("verify_aud", "verify_iss"):
        if (config.options or {}).get(name) is False:
            yield Violation("F31", name, f"{name} must stay on")
    if config.algorithms is None:
        yield Violation("F35", "algorithms", f"algorithms must be given: {' '.join(checks.SIGNING_ALGORITHMS)}")
    for alg in config.algorithms or ():
        yield from checks.algorithm("algorithms", alg)
    yield from _leeway((config.options or {}).get("leeway") if config.leeway is None else config.leeway)


def _without_effect(client: LoginClient) -> Iterator[Violation]:
    """Whoever sets these expects something that the profile rules out."""
    if client.client_secret_jwt_algorithm != "HS256":
        name = "client_secret_jwt_algorithm"
        yield Violation("F9", name, f"client_secret_jwt is not allowed: {name} must be left alone")


def _leeway(leeway: float | None) -> Iterator[Violation]:
    if leeway is not None and not 10 <= leeway <= MOST_LEEWAY:
        yield Violation("F42", "leeway", "leeway must be left alone, or from 10 to 60 seconds")


def _enforce(
    what: str, violations: Iterable[Violation], kind: type[PyIdentityModelException] = ConfigurationException
) -> None:
    found = list(violations)
    if found:
        _refuse(what, found, kind)


def _refuse(what: str, found: list[Violation], kind: type[PyIdentityModelException]) -> NoReturn:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise kind(
        f"{what} breaks FAPI 2.0: {found[0].message}{more}",
        details={"violations": [violation._asdict() for violation in found]},
        code="fapi_violation",
        claim=found[0].claim,
    )


# Other names of the same classes.
Fapi2LoginClient: TypeAlias = FAPI2LoginClient
Fapi2Profile: TypeAlias = FAPI2Profile

__all__ = ["FAPI2LoginClient", "FAPI2Profile", "Fapi2LoginClient", "Fapi2Profile"]
