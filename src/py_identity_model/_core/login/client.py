"""A client as one provider knows it: what logging in, asking about users and logging out all need (RFC 7591 2).

Issuer, audience, algorithms, decryption and credential are said once, and every operation takes them from here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ...exceptions import ConfigurationException, TokenValidationException, printable
from ..base.base64url import b64url_encode
from ..base.flow import Flow
from ..base.header_lists import words
from ..base.scopes import Scopes, scope_text
from ..base.secret import CurrentSecret, Redacted, Secret, current, exposed, secret_octets
from ..base.store import AnyStore
from ..binding.dpop_client import DPoPKey
from ..binding.mtls import resolve_mtls_endpoint
from ..binding.replay import UsedValues
from ..client.client_auth import ClientAttestation, ClientAuthMethod, MtlsClientAuth, PrivateKeyJwt
from ..client.identity_tokens import CurrentToken
from ..discovery.checks import same_issuer
from ..discovery.fetch import issuers_of
from ..discovery.key_sources import discover
from ..discovery.metadata import DiscoveryDocumentResponse, DiscoveryPolicy, with_backchannel
from ..discovery.trust import Stores
from ..jose.algorithms import SYMMETRIC_ALGORITHMS, SignatureAlgorithm, SymmetricAlgorithm
from ..validation.config import TokenValidationConfig, Validators
from ..validation.issuers import IssuerTemplate
from ..validation.signed_response import IdTokenPolicy, decrypted
from .authorization import check_redirect_uri, further_parameters, response_type_set
from .callback import FORM_POST, FRAGMENT, QUERY
from .jar import RequestSigning
from .par import PushedAuthorizationResponse

if TYPE_CHECKING:
    from ..jose.jwe import Decryption
_JWT = "jwt"
_TRANSPORTS = (QUERY, FRAGMENT, FORM_POST)
RESPONSE_MODES = frozenset({*_TRANSPORTS, _JWT, *(f"{mode}.{_JWT}" for mode in _TRANSPORTS)})


class LoginServices(NamedTuple):
    """What a login needs of the API at hand: its caches, its validators, its memory of completed logins."""

    stores: Callable[[], Stores]
    validators: Validators
    used: AnyStore | UsedValues


@dataclass(frozen=True, kw_only=True, repr=False)
class LoginClient(Redacted):
    """A client as one provider knows it. Build it once; any number of logins may share it.

    Attributes:
        issuer: The provider's issuer identifier.
        issuer_template: Which tenants may sign in, where those of a provider share metadata that names a template. What
            it is fetched by is then the ``issuer``: ``https://login.microsoftonline.com/organizations/v2.0``.
            Only the template itself, what is ``allowed``, and ``claim``.
        client_id: The client.
        redirect_uri: Where users come back to, exactly as registered; None for a client without logins in the browser.
        scope: Scopes, separated by spaces. With ``openid`` there is an ID token, and it is demanded.
        response_type: ``code``, or a combination of ``code``, ``id_token`` and ``token``.
        response_mode: ``query``, ``fragment``, ``form_post``, ``jwt``, or one of the first three and ``.jwt``; None for
            the default of the response type.
        client_secret: The client's secret; also the key of ID tokens that are signed with HMAC.
        private_key_jwt: The client's private key.
        mtls: The client's certificate.
        attestation: Makes the client's attestation and its proof.
        client_assertion: A ready-made JWT that authenticates the client, or what gives it for each request: a source
            such as :class:`KubernetesToken`, or a function.
        auth_method: The client authentication method; chosen from the credentials and the metadata if None.
        client_secret_jwt_algorithm: The HMAC algorithm of ``client_secret_jwt``.
        dpop_key: The key that codes and tokens are bound to (RFC 9449). One provider, one key.
        pushed: Whether the request is pushed (RFC 9126); None for where the provider demands it.
        request_signing: The key that signs authorization requests (RFC 9101), pushed or not.
        publish_request: Makes a signed request readable for the provider and returns its https URL (OpenID Connect
            Core 6.2); with it the browser carries that URL instead of the request. May be async in ``aio``.
        id_token_signed_response_alg: The one algorithm of ID tokens, as the client is registered.
        id_token_decryption: Keys and algorithms, if ID tokens are registered to be encrypted.
        authorization_signed_response_alg: The one algorithm of responses in a JWT; that of ID tokens if None.
        authorization_decryption: Keys and algorithms, if those responses are registered to be encrypted.
        userinfo_signed_response_alg: The one algorithm of UserInfo, if it is registered to be signed.
        userinfo_decryption: Keys and algorithms, if UserInfo is registered to be encrypted.
        trusted_audiences: Others that may stand beside the client in an ID token's ``aud``.
        authorized_parties: Values of ``azp`` that are accepted beside the client itself.
        require_iss: Demand ``iss`` in responses also where the metadata does not announce it.
        require_s_hash: Demand ``s_hash`` in front-channel ID tokens (FAPI 1.0 Advanced 5.2.2.1); only where some come.
        leeway: Seconds of clock difference for tokens.
        discovery_address: Where the metadata is, if not below the issuer.
        discovery_policy: What the metadata may look like.
        backchannel: Where the provider is reached from here, if not at its public addresses: ``http://keycloak:8080``.
            All requests of this client go there; browsers go to the public ones. Plain http needs both
            ``DiscoveryPolicy(require_https=False)`` and ``allow_insecure_http``.
        headers: Further header fields of requests to the provider, or a function that makes them for each, such as
            ``x-fapi-interaction-id``.
        allow_insecure_http: Whether secrets may travel over plain http to another machine.
        authorization_parameters: Further parameters of every authorization request, such as ``audience`` for Auth0 or
            ``access_type`` for Google; those of one login, ``LoginRequest(extra=...)``, come before them.

    Raises:
        ConfigurationException: A value cannot be used safely.

    >>> LoginClient(issuer="https://id.example.com", client_id="app", redirect_uri="https://app.example.com/cb").scope
    'openid'
    """

    issuer: str
    client_id: str
    redirect_uri: str | None = None
    scope: Scopes = "openid"
    response_type: str = "code"
    response_mode: str | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None
    attestation: ClientAttestation | None = field(default=None, repr=False)
    client_assertion: CurrentToken | None = None
    auth_method: ClientAuthMethod | str | None = None
    client_secret_jwt_algorithm: SymmetricAlgorithm = "HS256"
    dpop_key: DPoPKey | None = None
    pushed: bool | None = None
    request_signing: RequestSigning | None = None
    publish_request: Callable[[str], str | Awaitable[str]] | None = field(default=None, repr=False)
    id_token_signed_response_alg: SignatureAlgorithm = "RS256"
    id_token_decryption: Decryption | None = field(default=None, repr=False)
    authorization_signed_response_alg: SignatureAlgorithm | None = None
    authorization_decryption: Decryption | None = field(default=None, repr=False)
    userinfo_signed_response_alg: SignatureAlgorithm | None = None
    userinfo_decryption: Decryption | None = field(default=None, repr=False)
    trusted_audiences: Sequence[str] = ()
    authorized_parties: Sequence[str] = ()
    require_iss: bool = False
    require_s_hash: bool = False
    leeway: float | None = None
    discovery_address: str | None = None
    discovery_policy: DiscoveryPolicy | None = None
    backchannel: str | None = None
    headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None
    allow_insecure_http: bool = False
    issuer_template: IssuerTemplate | None = None
    authorization_parameters: Mapping[str, str] | None = None
    _configs: dict[str, TokenValidationConfig] = field(default_factory=dict, init=False, repr=False, compare=False)

    _redacted = frozenset({"client_secret", "client_assertion", "headers"})

    @explains_arguments
    def __post_init__(self) -> None:
        for name in ("issuer", "client_id"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise must_be(name, "text that is not empty", getattr(self, name))
        if self.redirect_uri is not None:
            check_redirect_uri(self.redirect_uri, allow_insecure_http=self.allow_insecure_http)
        kinds = response_type_set(self.response_type)
        if kinds == {"none"}:
            raise must_be("response_type", "one that brings a code or an ID token", self.response_type)
        if kinds == {"code", "token"} and "openid" not in words(scope_text(self.scope)):
            raise must_be("scope", "one with openid: nothing else tells who logged in", self.scope)
        if self.dpop_key is not None and "code" not in kinds:
            raise must_be("response_type", "one with code: tokens from the front channel are not bound", "no code")
        if self.require_s_hash and "id_token" not in kinds:
            raise must_be("require_s_hash", "with a response_type that brings an ID token", self.response_type)
        for name in ("trusted_audiences", "authorized_parties"):
            if isinstance(getattr(self, name), str):
                raise must_be(name, "a list", getattr(self, name))
        further_parameters(self.authorization_parameters, "authorization_parameters")
        effective_response_mode(kinds, self.response_mode)
        _ = self.policy  # refused now, not at the first login
        self._check_template()
        if self.publish_request is not None and (self.request_signing is None or self.pushed):
            # RFC 9101 10.1: what is fetched from an open address is believed for its signature alone.
            raise must_be("publish_request", "with request_signing, and without pushed", None)
        if self.userinfo_decryption is not None and self.userinfo_signed_response_alg is None:
            raise must_be("userinfo_signed_response_alg", "given: what is encrypted is signed, too", None)

    def _check_template(self) -> None:
        template = self.issuer_template
        if template is None:
            return
        if not isinstance(template, IssuerTemplate):
            raise must_be("issuer_template", "an IssuerTemplate", type(template).__name__)
        template.check_alone()
        self.check_scope(self.scope)

    @explains_arguments
    def check_scope(self, scope: Scopes) -> None:
        """Refuse a login that would not tell which tenant it is of.

        Raises:
            ConfigurationException: There is an ``issuer_template``, and *scope* is without ``openid``.
        """
        if self.issuer_template is not None and "openid" not in words(scope_text(scope)):
            raise must_be("scope", "one with openid: only an ID token tells the tenant", scope_text(scope))

    @property
    def _given_metadata(self) -> DiscoveryDocumentResponse | None:
        """The metadata of a provider that publishes none; None: it is fetched."""
        return None

    @property
    def metadata_issuer(self) -> str:
        """The issuer that the metadata has to name."""
        return self.issuer if self.issuer_template is None else self.issuer_template.template

    @property
    def id_token_policy(self) -> IdTokenPolicy:
        """What an ID token for this client must be: one issuer, one audience, one algorithm."""
        config = self.validation_config(self.id_token_signed_response_alg)
        return IdTokenPolicy(
            config,
            self.address,
            self.id_token_decryption,
            frozenset(self.trusted_audiences),
            frozenset(self.authorized_parties),
        )

    @property
    def address(self) -> str:
        """Where the metadata is looked for."""
        return self.discovery_address or self.issuer

    @property
    def policy(self) -> DiscoveryPolicy:
        """What the metadata may look like, and by what way it is fetched."""
        return with_backchannel(self.discovery_policy, self.backchannel)

    @explains_arguments
    def validation_config(self, alg: SignatureAlgorithm) -> TokenValidationConfig:
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
                issuer=self.issuer if self.issuer_template is None else None,
                issuer_template=self.issuer_template,
                leeway=self.leeway,
                discovery_policy=self.policy,
            )
            if symmetric and callable(self.client_secret):
                return made  # with the secret as of now, which may be another the next time
            found = self._configs.setdefault(alg, made)
        return found

    def _secret_key(self) -> dict[str, Any]:
        secret = current(self.client_secret, "client_secret")
        if not secret:
            raise must_be("client_secret", "given: it is the key of ID tokens signed with HMAC", None)
        return {"kty": "oct", "k": b64url_encode(secret_octets(secret))}

    @explains_arguments
    def check_pushed_response(self, response: PushedAuthorizationResponse) -> None:
        """Refuse an answer to a pushed request that is no answer; a profile may refuse more.

        Raises:
            PyIdentityModelException: Whatever the request failed with.
        """
        response.raise_for_error()

    @explains_arguments
    def credentials(self, metadata: DiscoveryDocumentResponse) -> dict[str, Any]:
        """Return the credential fields of a request to this provider."""
        return self._fields(metadata.token_endpoint_auth_methods_supported)

    def _fields(self, supported: Sequence[str] | None) -> dict[str, Any]:
        """Return the credential fields of a request, to a provider that supports these methods."""
        return {
            **{name: getattr(self, name) for name in _CREDENTIALS},
            "auth_methods_supported": supported,
            "headers": own_headers(self),
        }

    def _credentials_for(self, metadata: DiscoveryDocumentResponse, use: str) -> dict[str, Any]:
        """Return the same for one use of the provider, to which alone a profile holds it."""
        return self.credentials(metadata)


_CREDENTIALS = (
    *(
        "client_id",
        "client_secret",
        "private_key_jwt",
        "mtls",
        "issuer",
        "auth_method",
        "attestation",
        "client_assertion",
    ),
    *("client_secret_jwt_algorithm", "allow_insecure_http", "backchannel"),
)


def hint_of(client: LoginClient, id_token: str | Secret) -> str:
    """Return an ID token as providers take it for a hint: signed, not encrypted to us (OpenID Connect Core 3.1.2.1).

    One that our keys do not open is left alone: it may have been encrypted to the provider anew.
    """
    text = exposed(id_token)
    if client.id_token_decryption is None or not isinstance(text, str) or text.count(".") != 4:
        return text
    try:
        return decrypted(text, client.id_token_decryption)
    except TokenValidationException:
        return text


def own_headers(client: LoginClient) -> Mapping[str, str] | None:
    """Return the client's further header fields, made anew where a function makes them.

    Raises:
        ConfigurationException: The function failed, or made something else.
    """
    given = client.headers
    if not callable(given):
        return given
    try:
        made = given()
        failure = None if isinstance(made, Mapping) else f"it returned {type(made).__name__}"
    except Exception as error:  # foreign code, whose error may hold what it was to return
        made, failure = {}, f"it failed with {type(error).__name__}"
    if failure is not None:
        raise ConfigurationException(
            f"headers must make a mapping of names to text: {failure}", code="header_invalid", claim="headers"
        )
    return made


def effective_response_mode(kinds: Collection[str], response_mode: str | None) -> str:
    """Return how a response comes: the mode asked for, or the default (OAuth 2.0 Multiple Response Types 2.1, 5).

    Raises:
        ConfigurationException: The mode is unknown, or would show a token to the server's log.
    """
    default = QUERY if set(kinds) <= {"code", "none"} else FRAGMENT
    if response_mode is None:
        return default
    if response_mode not in RESPONSE_MODES:
        raise must_be("response_mode", "one of " + ", ".join(sorted(RESPONSE_MODES)), response_mode)
    mode = f"{default}.{_JWT}" if response_mode == _JWT else response_mode
    # OAuth 2.0 Multiple Response Types 3 and 5: tokens must not come in a query; JARM 2.3.1: not in its JWT either.
    if mode.partition(".")[0] == QUERY and default == FRAGMENT:
        raise must_be("response_mode", "fragment or form_post: a token must not come in a query", response_mode)
    return mode


def provider_metadata(client: LoginClient, services: LoginServices) -> Flow[DiscoveryDocumentResponse]:
    """Return the provider's metadata, from the caches.

    Raises:
        NetworkException: It cannot be fetched or used.
        ConfigurationException: It is that of another issuer.
    """
    if client._given_metadata is not None:
        return client._given_metadata
    policy = client.policy
    # The issuer given is the one expected, wherever its metadata is; what else is found there is told below. Named
    # as the validator of its ID tokens names them, so that both share one document.
    issuer = client.metadata_issuer
    expected = (*issuers_of(client.address), issuer)
    metadata = (yield from discover(services.stores(), client.address, policy, issuers=expected)).value
    if not same_issuer(metadata.issuer, issuer):
        raise must_be("issuer", f"the issuer that the metadata names, {printable(metadata.issuer)}", issuer)
    return metadata


def endpoint_of(client: LoginClient, metadata: DiscoveryDocumentResponse, name: str) -> str:
    """Return an endpoint of the provider; for a client with a certificate its alias (RFC 8705 5).

    Raises:
        ConfigurationException: The provider has none; the code is ``provider_unsupported``.
    """
    found = resolve_mtls_endpoint(metadata, name) if client.mtls is not None else getattr(metadata, name)
    if not found:
        raise unsupported(name, name, None)
    return str(found)


def unsupported(claim: str, wanted: str, offered: object, **facts: Any) -> ConfigurationException:
    """Return the exception for what the provider says it cannot do."""
    return ConfigurationException(
        f"The provider does not offer {printable(wanted, 80)}",
        code="provider_unsupported",
        claim=claim,
        expected=wanted,
        actual=None if offered is None else printable(offered),
        **facts,
    )


__all__ = [
    "RESPONSE_MODES",
    "LoginClient",
    "LoginServices",
    "effective_response_mode",
    "endpoint_of",
    "hint_of",
    "own_headers",
    "provider_metadata",
    "unsupported",
]
