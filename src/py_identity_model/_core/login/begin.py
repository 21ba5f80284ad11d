"""Logging a user in: from the redirect to the provider to the validated ID token (OpenID Connect Core 3.1 to 3.3, 12).

RFC 9700 2.1 and 4.4 (state, nonce, PKCE, issuer), RFC 9207, RFC 9126, JARM. Nothing of a response is believed, and no
token is handed out, before everything about it was checked.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ...exceptions import ConfigurationException, printable
from ..base.base64url import b64url_encode
from ..base.flow import Flow, now
from ..base.response import BaseResponse, answered
from ..base.secret import Redacted, Secret, exposed
from ..binding.dpop_client import DPoPKey
from ..binding.mtls import resolve_mtls_endpoint
from ..binding.replay import ReplayStore
from ..client.client_auth import ClientAttestation, ClientAuthMethod, MtlsClientAuth, PrivateKeyJwt
from ..client.grants import several
from ..discovery.key_sources import Stores, discover
from ..discovery.metadata import DiscoveryDocumentResponse, DiscoveryPolicy
from ..jose.jws import SYMMETRIC_ALGORITHMS
from ..validation.config import TokenValidationConfig, Validators
from ..validation.token_kinds import ID_TOKEN
from ..validation.validator import Validator
from .authorization import (
    S256,
    AuthorizationOptions,
    AuthorizationRequest,
    add_to_endpoint,
    build_authorization_parameters,
    check_pkce_support,
    check_redirect_uri,
    generate_pkce_pair,
    response_type_set,
)
from .callback import FORM_POST, FRAGMENT, QUERY
from .jar import RequestSigning, build_request_object, build_signed_parameters
from .par import (
    PushedAuthorizationRequest,
    PushedAuthorizationResponse,
    build_par_authorization_url,
    push_authorization_request,
)
from .transaction import LoginStore, LoginTransaction, binding_digest, keep

if TYPE_CHECKING:
    from ..jose.jwe import Decryption

#: Seconds that a user may take at the provider, unless told otherwise, and at most.
DEFAULT_LIFETIME = 600.0
LONGEST_LIFETIME = 86400.0
#: Characters of what the application keeps with a login at most.
MAX_DATA = 8192

_JWT = "jwt"
_TRANSPORTS = (QUERY, FRAGMENT, FORM_POST)
RESPONSE_MODES = frozenset({*_TRANSPORTS, _JWT, *(f"{mode}.{_JWT}" for mode in _TRANSPORTS)})


class LoginServices(NamedTuple):
    """What a login needs of the API at hand: its caches, its validators, its memory of completed logins."""

    stores: Callable[[], Stores]
    validators: Validators
    used: ReplayStore


@dataclass(frozen=True, kw_only=True, repr=False)
class LoginClient(Redacted):
    """A client as one provider knows it. Build it once; any number of logins may share it.

    Attributes:
        issuer: The provider's issuer identifier.
        client_id: The client.
        redirect_uri: Where users come back to, exactly as registered.
        scope: Scopes, separated by spaces. With ``openid`` there is an ID token, and it is demanded.
        response_type: ``code``, or a combination of ``code``, ``id_token`` and ``token``.
        response_mode: ``query``, ``fragment``, ``form_post``, ``jwt``, or one of the first three and ``.jwt``; None for
            the default of the response type.
        client_secret: The client's secret; also the key of ID tokens that are signed with HMAC.
        private_key_jwt: The client's private key.
        mtls: The client's certificate.
        attestation: Makes the client's attestation and its proof.
        auth_method: The client authentication method; chosen from the credentials and the metadata if None.
        client_secret_jwt_algorithm: The HMAC algorithm of ``client_secret_jwt``.
        dpop_key: The key that codes and tokens are bound to (RFC 9449). One provider, one key.
        pushed: Whether the request is pushed (RFC 9126); None for where the provider demands it.
        request_signing: The key that signs authorization requests (RFC 9101), pushed or not.
        id_token_signed_response_alg: The one algorithm of ID tokens, as the client is registered.
        id_token_decryption: Keys and algorithms, if ID tokens are registered to be encrypted.
        authorization_signed_response_alg: The one algorithm of responses in a JWT; that of ID tokens if None.
        authorization_decryption: Keys and algorithms, if those responses are registered to be encrypted.
        trusted_audiences: Others that may stand beside the client in an ID token's ``aud``.
        require_iss: Demand ``iss`` in responses also where the metadata does not announce it.
        require_s_hash: Demand ``s_hash`` in front-channel ID tokens (FAPI 1.0 Advanced 5.2.2.1).
        leeway: Seconds of clock difference for tokens.
        discovery_address: Where the metadata is, if not below the issuer.
        discovery_policy: What the metadata may look like.
        allow_insecure_http: Whether secrets may travel over plain http to another machine.

    Raises:
        ConfigurationException: A value makes no safe sense.

    >>> LoginClient(issuer="https://id.example.com", client_id="app", redirect_uri="https://app.example.com/cb").scope
    'openid'
    """

    issuer: str
    client_id: str
    redirect_uri: str
    scope: str = "openid"
    response_type: str = "code"
    response_mode: str | None = None
    client_secret: str | Secret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None
    attestation: ClientAttestation | None = field(default=None, repr=False)
    auth_method: ClientAuthMethod | str | None = None
    client_secret_jwt_algorithm: str = "HS256"
    dpop_key: DPoPKey | None = None
    pushed: bool | None = None
    request_signing: RequestSigning | None = None
    id_token_signed_response_alg: str = "RS256"
    id_token_decryption: Decryption | None = field(default=None, repr=False)
    authorization_signed_response_alg: str | None = None
    authorization_decryption: Decryption | None = field(default=None, repr=False)
    trusted_audiences: Sequence[str] = ()
    require_iss: bool = False
    require_s_hash: bool = False
    leeway: float | None = None
    discovery_address: str | None = None
    discovery_policy: DiscoveryPolicy | None = None
    allow_insecure_http: bool = False
    _configs: dict[str, TokenValidationConfig] = field(default_factory=dict, init=False, repr=False, compare=False)

    _redacted = frozenset({"client_secret"})

    def __post_init__(self) -> None:
        for name in ("issuer", "client_id"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise _unfit(name, "text that is not empty", getattr(self, name))
        check_redirect_uri(self.redirect_uri, allow_insecure_http=self.allow_insecure_http)
        kinds = response_type_set(self.response_type)
        if kinds == {"none"}:
            raise _unfit("response_type", "one that brings a code or an ID token", self.response_type)
        if kinds == {"code", "token"} and "openid" not in self.scope.split():
            raise _unfit("scope", "one with openid: nothing else tells who logged in", self.scope)
        if self.dpop_key is not None and "code" not in kinds:
            raise _unfit("response_type", "one with code: tokens from the front channel are not bound", "no code")
        if isinstance(self.trusted_audiences, str):
            raise _unfit("trusted_audiences", "a list", self.trusted_audiences)
        effective_response_mode(kinds, self.response_mode)

    @property
    def address(self) -> str:
        """Where the metadata is looked for."""
        return self.discovery_address or self.issuer

    def id_token_validator(self, validators: Validators) -> Validator:
        """Return the validator of this client's ID tokens: one issuer, one audience, one algorithm."""
        validator = validators(self.validation_config(self.id_token_signed_response_alg), self.address, ID_TOKEN)
        if not self.trusted_audiences:
            return validator
        options = replace(validator.options, trusted_audiences=frozenset(self.trusted_audiences))
        return Validator.of_realm(options, validator.engine, validator.static_realms()[0])

    def validation_config(self, alg: str) -> TokenValidationConfig:
        """Return what tokens that are signed for this client with *alg* must be; the same one each time.

        Raises:
            ConfigurationException: The algorithm is symmetric and there is no secret.
        """
        found = self._configs.get(alg)
        if found is None:
            symmetric = alg in SYMMETRIC_ALGORITHMS
            made = TokenValidationConfig(
                perform_disco=not symmetric,
                key=self._secret_key() if symmetric else None,  # OpenID Connect Core 3.1.3.7-8
                audience=self.client_id,
                algorithms=[alg],
                issuer=self.issuer,
                leeway=self.leeway,
                discovery_policy=self.discovery_policy,
            )
            found = self._configs.setdefault(alg, made)
        return found

    def _secret_key(self) -> dict[str, Any]:
        if self.client_secret is None:
            raise _unfit("client_secret", "given: it is the key of ID tokens signed with HMAC", None)
        return {"kty": "oct", "k": b64url_encode(exposed(self.client_secret).encode())}

    def check_pushed_response(self, response: PushedAuthorizationResponse) -> None:
        """Refuse an answer to a pushed request that is no answer; a profile may refuse more.

        Raises:
            PyIdentityModelException: Whatever the request failed with.
        """
        response.raise_for_error()

    def credentials(self, metadata: DiscoveryDocumentResponse) -> dict[str, Any]:
        """Return the credential fields of a request to this provider."""
        return {
            **{name: getattr(self, name) for name in _CREDENTIALS},
            "auth_methods_supported": metadata.token_endpoint_auth_methods_supported,
        }


_CREDENTIALS = (
    *("client_id", "client_secret", "private_key_jwt", "mtls", "issuer", "auth_method", "attestation"),
    *("client_secret_jwt_algorithm", "allow_insecure_http"),
)


@dataclass(kw_only=True, repr=False)
class LoginRequest(AuthorizationOptions):
    """What is special about one login.

    Attributes:
        scope: Scopes in place of the client's.
        resource: Where the tokens will be used (RFC 8707).
        authorization_details: What exactly is asked for (RFC 9396).
        extra: Further parameters of the authorization request.
        binding: A value that only this user's browser brings back, such as a cookie's; required with a store.
        expected_sub: The user that has to come back: for logging in again, or stepping up.
        accept_other_authentication_contexts: Take an ID token whose ``acr`` is none of ``acr_values``.
        lifetime: Seconds that the user may take.
        data: What the application wants to know afterwards, such as the page to return to: JSON values.
    """

    scope: str | None = None
    resource: str | Sequence[str] | None = None
    authorization_details: Sequence[Mapping[str, Any]] | None = None
    extra: Mapping[str, str] | None = None
    binding: str | Secret | None = None
    expected_sub: str | None = None
    accept_other_authentication_contexts: bool = False
    lifetime: float = DEFAULT_LIFETIME
    data: Mapping[str, Any] | None = None

    _redacted = frozenset({"id_token_hint", "extra", "binding", "data"})


@dataclass(repr=False)
class LoginStart(BaseResponse):
    """Where to send the user, and what to remember meanwhile.

    Attributes:
        url: The URL to redirect the browser to.
        transaction: What to remember; None if a store has it.
        expires_at: When the login ends, in seconds since 1970.
    """

    url: str | None = None
    transaction: LoginTransaction | None = None
    expires_at: float | None = None

    _guarded: ClassVar[frozenset[str]] = frozenset({"url", "transaction", "expires_at"})
    _redacted: ClassVar[frozenset[str]] = frozenset({"url"})


def effective_response_mode(kinds: Collection[str], response_mode: str | None) -> str:
    """Return how a response comes: the mode asked for, or the default (OAuth 2.0 Multiple Response Types 2.1, 5).

    Raises:
        ConfigurationException: The mode is unknown, or would show a token to the server's log.
    """
    default = QUERY if set(kinds) <= {"code", "none"} else FRAGMENT
    if response_mode is None:
        return default
    if response_mode not in RESPONSE_MODES:
        raise _unfit("response_mode", "one of " + ", ".join(sorted(RESPONSE_MODES)), response_mode)
    mode = f"{default}.{_JWT}" if response_mode == _JWT else response_mode
    # OAuth 2.0 Multiple Response Types 3 and 5: tokens must not come in a query; JARM 2.3.1: not in its JWT either.
    if mode.partition(".")[0] == QUERY and default == FRAGMENT:
        raise _unfit("response_mode", "fragment or form_post: a token must not come in a query", response_mode)
    return mode


# ---------------------------------------------------------------------------------------------------------------------
# Begin


def begin_login(
    client: LoginClient, request: LoginRequest, store: LoginStore | None, services: LoginServices
) -> Flow[LoginStart]:
    """Make everything that is new for each login, push the request if need be, and return where to send the user."""
    return (yield from answered(LoginStart, lambda: _begin(client, request, store, services)))


def _begin(
    client: LoginClient, request: LoginRequest, store: LoginStore | None, services: LoginServices
) -> Flow[LoginStart]:
    if store is not None and request.binding is None:
        # A store that everybody's browser leads to would let one user complete the login of another.
        raise _unfit("binding", "given: a value that only this user's browser brings back", None)
    metadata = yield from provider_metadata(client, services)
    wall = (yield from now()).wall
    verifier, challenge = generate_pkce_pair(verifier_length=64)
    asked = _parameters(client, request, challenge)
    parameters = build_authorization_parameters(AuthorizationRequest(**asked))
    transaction = _new_transaction(client, request, asked, verifier, wall)
    # RFC 9207 2.4: remembered, so that a response without its issuer is refused.
    announced = metadata.authorization_response_iss_parameter_supported is True
    transaction = replace(transaction, iss_required=client.require_iss or announced)
    _check_support(client, transaction, metadata)
    if _is_pushed(client, metadata):
        url = yield from _pushed_url(client, metadata, asked, parameters, wall)
    else:
        if client.request_signing is not None:
            parameters = build_signed_parameters(parameters, client.request_signing, client.issuer, wall)
        endpoint = metadata.authorization_endpoint or ""
        url = add_to_endpoint(endpoint, parameters, allow_insecure_http=client.allow_insecure_http)
    if store is not None:
        yield from keep(store, transaction)
    return LoginStart(True, url=url, transaction=None if store else transaction, expires_at=transaction.expires_at)


def provider_metadata(client: LoginClient, services: LoginServices) -> Flow[DiscoveryDocumentResponse]:
    """Return the provider's metadata, from the caches.

    Raises:
        NetworkException: It cannot be fetched or used.
        ConfigurationException: It is that of another issuer.
    """
    policy = client.discovery_policy or DiscoveryPolicy()
    metadata = (yield from discover(services.stores(), client.address, policy)).value
    if metadata.issuer != client.issuer:
        raise _unfit("issuer", f"the issuer that the metadata names, {printable(metadata.issuer)}", client.issuer)
    return metadata


def _new_transaction(
    client: LoginClient, request: LoginRequest, asked: Mapping[str, Any], verifier: str, wall: float
) -> LoginTransaction:
    kinds = response_type_set(client.response_type)
    return LoginTransaction(
        issuer=client.issuer,
        client_id=client.client_id,
        redirect_uri=client.redirect_uri,
        response_type=client.response_type,
        response_mode=effective_response_mode(kinds, client.response_mode),
        scope=asked["scope"],
        state=asked["state"],
        nonce=asked["nonce"],
        code_verifier=verifier if "code" in kinds else None,
        created_at=wall,
        expires_at=wall + _lifetime(request.lifetime),
        max_age=None if request.max_age is None else int(request.max_age),
        acr_values=None if request.accept_other_authentication_contexts else _contexts(request),
        expected_sub=_expected_sub(request, asked["nonce"]),
        resource=tuple(several("resource", request.resource)),
        dpop_jkt=asked["dpop_jkt"],
        binding=None if request.binding is None else binding_digest(request.binding),
        data=_data(request.data),
    )


def _expected_sub(request: LoginRequest, nonce: str | None) -> str | None:
    sub = request.expected_sub
    if sub is None or (isinstance(sub, str) and sub and nonce is not None):
        return sub
    raise _unfit("expected_sub", "text, with the scope openid", type(sub).__name__)


def _lifetime(lifetime: float) -> float:
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 1 <= lifetime <= LONGEST_LIFETIME:
        raise _unfit("lifetime", f"seconds from 1 to {LONGEST_LIFETIME:g}", lifetime)
    return float(lifetime)


def _contexts(request: LoginRequest) -> tuple[str, ...] | None:
    """Return the authentication contexts that were asked for, by ``acr_values`` or as an essential claim."""
    values = request.acr_values
    words = tuple(values.split() if isinstance(values, str) else values or ())
    claims = request.claims if isinstance(request.claims, Mapping) else {}
    asked = (claims.get("id_token") or {}).get("acr") if isinstance(claims.get("id_token"), Mapping) else None
    if isinstance(asked, Mapping) and asked.get("essential") is True:  # OpenID Connect Core 5.5.1.1
        listed = asked.get("values") or [asked.get("value")]
        words += tuple(value for value in listed if isinstance(value, str) and value)
    return words or None


def _data(data: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        text = json.dumps(dict(data or {}), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None or len(text) > MAX_DATA:
        raise _unfit("data", f"JSON values of at most {MAX_DATA} characters", type(data).__name__)
    kept: dict[str, Any] = json.loads(text)
    return kept


def _parameters(client: LoginClient, request: LoginRequest, challenge: str) -> dict[str, Any]:
    """Return the fields of the authorization request, pushed or not."""
    scope = client.scope if request.scope is None else request.scope
    kinds = response_type_set(client.response_type)
    openid = "openid" in scope.split()
    if "id_token" in kinds and not openid:
        raise _unfit("scope", "one with openid: an ID token is asked for", scope)
    jkt = client.dpop_key.jwk_thumbprint if client.dpop_key else None
    if request.dpop_jkt not in (None, jkt):
        raise _unfit("dpop_jkt", "that of the client's dpop_key", request.dpop_jkt)
    pkce = {"code_challenge": challenge, "code_challenge_method": S256} if "code" in kinds else {}
    return {
        **{f.name: getattr(request, f.name) for f in fields(AuthorizationOptions)},
        **pkce,
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": scope,
        "response_type": client.response_type,
        "response_mode": client.response_mode,
        # FAPI 2.0 5.3.3.2: at most 64 characters; 43 hold 256 bits.
        "state": secrets.token_urlsafe(32),
        "nonce": secrets.token_urlsafe(32) if openid else None,
        "resource": request.resource,
        "authorization_details": request.authorization_details,
        "extra": request.extra,
        "dpop_jkt": jkt,
        "allow_redirect_uri_over_insecure_http": client.allow_insecure_http,
        "allow_challenge_that_shows_the_verifier": False,
    }


def _check_support(client: LoginClient, transaction: LoginTransaction, metadata: DiscoveryDocumentResponse) -> None:
    """Refuse what the provider says it cannot do, before the user is sent there in vain."""
    kinds = response_type_set(client.response_type)
    if not metadata.authorization_endpoint:
        raise _unsupported("authorization_endpoint", "an authorization endpoint", None)
    if "code" in kinds:
        check_pkce_support(metadata.code_challenge_methods_supported)
        if not metadata.token_endpoint:
            raise _unsupported("token_endpoint", "a token endpoint", None)
    types = metadata.response_types_supported
    if types and not any(frozenset(text.split()) == kinds for text in types):
        raise _unsupported("response_types_supported", client.response_type, types)
    modes = metadata.response_modes_supported
    if client.response_mode is not None and modes and not {client.response_mode, transaction.response_mode} & {*modes}:
        raise _unsupported("response_modes_supported", client.response_mode, modes)
    algs, alg = metadata.id_token_signing_alg_values_supported, client.id_token_signed_response_alg
    if transaction.nonce is not None and algs and alg not in algs:
        raise _unsupported(
            "id_token_signing_alg_values_supported",
            alg,
            algs,
            hint="set id_token_signed_response_alg to what the client is registered with",
        )


def _is_pushed(client: LoginClient, metadata: DiscoveryDocumentResponse) -> bool:
    if client.pushed is None:
        return metadata.require_pushed_authorization_requests is True
    return client.pushed


def _pushed_url(
    client: LoginClient,
    metadata: DiscoveryDocumentResponse,
    asked: dict[str, Any],
    parameters: list[tuple[str, str]],
    wall: float,
) -> Flow[str]:
    address = endpoint_of(client, metadata, "pushed_authorization_request_endpoint")
    fields_of = {**client.credentials(metadata), **asked, "dpop_key": client.dpop_key}
    if client.request_signing is not None:
        # RFC 9126 3: every parameter is in the request object, none beside it.
        signed = build_request_object(parameters, client.request_signing, client.issuer, wall)
        fields_of |= {"request_object": signed, "extra": None}
    response = yield from push_authorization_request(PushedAuthorizationRequest(address, **fields_of))
    client.check_pushed_response(response)
    return build_par_authorization_url(
        metadata.authorization_endpoint or "",
        client.client_id,
        response.request_uri or "",
        allow_insecure_http=client.allow_insecure_http,
    )


def endpoint_of(client: LoginClient, metadata: DiscoveryDocumentResponse, name: str) -> str:
    """Return an endpoint of the provider; for a client with a certificate its alias (RFC 8705 5).

    Raises:
        ConfigurationException: The provider has none; the code is ``provider_unsupported``.
    """
    found = resolve_mtls_endpoint(metadata, name) if client.mtls is not None else getattr(metadata, name)
    if not found:
        raise _unsupported(name, name, None)
    return str(found)


def _unsupported(claim: str, wanted: str, offered: object, **facts: Any) -> ConfigurationException:
    return ConfigurationException(
        f"The provider does not offer {printable(wanted, 80)}",
        code="provider_unsupported",
        claim=claim,
        expected=wanted,
        actual=None if offered is None else printable(offered),
        **facts,
    )


def _unfit(name: str, expected: str, actual: object) -> ConfigurationException:
    return ConfigurationException(
        f"{name} must be {expected}",
        code="policy_invalid",
        claim=name,
        expected=expected,
        actual=None if actual is None else printable(actual, 80),
    )


__all__ = [
    "DEFAULT_LIFETIME",
    "RESPONSE_MODES",
    "LoginClient",
    "LoginRequest",
    "LoginServices",
    "LoginStart",
    "begin_login",
    "effective_response_mode",
    "endpoint_of",
    "provider_metadata",
]
