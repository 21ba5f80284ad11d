"""Client authentication: who is asking, proved in one of ten ways.

RFC 6749 2.3 (secrets), RFC 7523 2.2 (assertions), RFC 8705 2 (mutual TLS), draft-ietf-oauth-spiffe-client-auth, and
draft-ietf-oauth-attestation-based-client-auth. All ways stand in one table, :data:`METHODS`;
:mod:`.form_post` sends what they make.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar, NamedTuple
from urllib.parse import quote_plus

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException, PyIdentityModelException, printable
from ..base.flow import ClientCertificate
from ..base.response import BaseRequest
from ..base.secret import CurrentSecret, Secret, exposed
from ..jose.algorithms import SYMMETRIC_ALGORITHMS, AsymmetricAlgorithm, SymmetricAlgorithm
from ..jose.signing_keys import SigningKey
from .assertions import KeyReadOnce, build_client_assertion, check_lifetime, signing_failed
from .identity_tokens import CurrentToken

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: draft-ietf-oauth-spiffe-client-auth 3.1: a JWT-SVID.
SPIFFE_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

Pairs = tuple[tuple[str, str], ...]

#: Makes the client attestation and its proof of possession for the issuer it is given.
ClientAttestation = Callable[[str], tuple[str, str]]

_SURROGATE = re.compile("[\ud800-\udfff]")
#: A JWS in compact form (RFC 7515 7.1), bounded.
_COMPACT = re.compile(r"[A-Za-z0-9_-]{1,8192}\.[A-Za-z0-9_-]{1,16384}\.[A-Za-z0-9_-]{1,8192}\Z")
_ATTESTATION = re.compile(r"[A-Za-z0-9_.~-]{1,16384}\Z")


class ClientAuthMethod(StrEnum):
    """How a client authenticates: the values of ``token_endpoint_auth_method`` (RFC 7591 2)."""

    NONE = "none"
    CLIENT_SECRET_BASIC = "client_secret_basic"
    CLIENT_SECRET_POST = "client_secret_post"
    CLIENT_SECRET_JWT = "client_secret_jwt"
    PRIVATE_KEY_JWT = "private_key_jwt"
    TLS_CLIENT_AUTH = "tls_client_auth"
    SELF_SIGNED_TLS_CLIENT_AUTH = "self_signed_tls_client_auth"
    ATTEST_JWT_CLIENT_AUTH = "attest_jwt_client_auth"
    SPIFFE_JWT = "spiffe_jwt"
    SPIFFE_X509 = "spiffe_x509"

    @property
    def requires_secret(self) -> bool:
        """Whether the client proves itself by a secret it shares with the provider."""
        return self.value.startswith("client_secret_")


#: The methods of a client that shows a certificate.
_BY_CERTIFICATE = (
    ClientAuthMethod.TLS_CLIENT_AUTH,
    ClientAuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH,
    ClientAuthMethod.SPIFFE_X509,
)


@dataclass(frozen=True)
class PrivateKeyJwt(KeyReadOnce):
    """Authenticate with a JWT signed by the client's private key (RFC 7523 2.2).

    Args:
        private_key: PEM text, or a :class:`SigningKey`, which may be a callable in front of a KMS or HSM. A
            ``SigningKey`` brings its own algorithm and ``kid``.
        algorithm: JWS algorithm of a PEM key; asymmetric.
        kid: Key ID of a PEM key.
        audience: The ``aud`` of the assertion, one string. Without it: the request's ``issuer`` (RFC 7523bis 4,
            FAPI 2.0 5.3.3.1); if that is unknown too, the address that is posted to, so that the server that gets the
            assertion is the one it is meant for.
        lifetime: Seconds until the assertion expires, 1 to 3600.
        password: Password of an encrypted PEM key.

    Raises:
        ConfigurationException: A value cannot be used. The key itself is read at first use.
    """

    private_key: str | bytes | Secret | SigningKey = field(repr=False)
    algorithm: AsymmetricAlgorithm = "PS256"  # pyright: ignore[reportIncompatibleVariableOverride] # read only
    kid: str | None = None
    audience: str | None = None
    lifetime: int = 300
    password: str | bytes | Secret | None = field(default=None, repr=False, kw_only=True)

    @explains_arguments
    def __post_init__(self) -> None:
        named: str = self.algorithm  # by its type it cannot be one of these, as it is given it can
        if named in SYMMETRIC_ALGORITHMS or named == "none":
            raise ConfigurationException(
                "private_key_jwt is signed with an asymmetric algorithm",
                code="client_assertion_alg_invalid",
                claim="algorithm",
                actual=printable(self.algorithm),
            )
        check_lifetime(self.lifetime)
        if self.audience is not None and (not isinstance(self.audience, str) or not self.audience):
            raise ConfigurationException(
                "The audience of a client assertion is one string that is not empty",
                code="client_assertion_audience_invalid",
                claim="audience",
                actual=type(self.audience).__name__,
                hint="FAPI 2.0 5.3.3.1: the issuer, as a string, never a list",
            )


@dataclass(frozen=True)
class MtlsClientAuth:
    """Authenticate with a client certificate (RFC 8705 2).

    Args:
        certificate: PEM text or file path of the certificate.
        private_key: PEM text or file path of its private key.
        password: Password of an encrypted key.
        auth_method: ``tls_client_auth`` or ``self_signed_tls_client_auth``, as the client is registered; or
            ``spiffe_x509`` for an X.509-SVID, whose SPIFFE ID is then the ``client_id``, or it is not shown
            (draft-ietf-oauth-spiffe-client-auth 3.2).

    Raises:
        ConfigurationException: Something is missing, or ``auth_method`` is another method.
    """

    certificate: str
    private_key: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    auth_method: str = "tls_client_auth"

    @explains_arguments
    def __post_init__(self) -> None:
        if not self.certificate or not self.private_key:
            raise ConfigurationException(
                "Mutual TLS needs a certificate and its private key", code="client_certificate_missing"
            )
        if self.auth_method not in _BY_CERTIFICATE:
            raise ConfigurationException(
                "auth_method must be tls_client_auth, self_signed_tls_client_auth or spiffe_x509",
                code="client_auth_method_invalid",
                claim="auth_method",
                actual=printable(self.auth_method),
            )

    def client_certificate(self) -> ClientCertificate:
        """Return the certificate as requests carry it."""
        return ClientCertificate(self.certificate, self.private_key, self.password)


class Credentials:
    """The published credential fields that every request of a client has, each at its own published position."""

    client_id: str
    client_secret: CurrentSecret | None
    private_key_jwt: PrivateKeyJwt | None
    mtls: MtlsClientAuth | None


@dataclass(repr=False)
class ClientRequest(BaseRequest, Credentials):
    """A request that a client makes in its own name.

    Attributes:
        issuer: The provider's issuer identifier: the audience of client assertions.
        client_assertion: A ready-made JWT that authenticates the client, of a platform such as Kubernetes, GitHub or a
            cloud (RFC 7523 2.2): text, a source such as :class:`KubernetesToken`, or a function; sources and functions
            are asked for each request.
        auth_method: The client authentication method; chosen from the credentials at hand if None.
        auth_methods_supported: The provider's ``token_endpoint_auth_methods_supported`` (RFC 8414 2); the choice
            keeps to it.
        client_secret_jwt_algorithm: The HMAC algorithm of ``client_secret_jwt``.
        attestation: Makes attestation and proof for ``attest_jwt_client_auth``.
        extra: Further form parameters; none may repeat a parameter of the request.
        headers: Further header fields, such as ``x-fapi-interaction-id``.
        allow_insecure_http: Whether secrets may travel over plain http to another machine.
    """

    issuer: str | None = field(default=None, kw_only=True)
    client_assertion: CurrentToken | None = field(default=None, kw_only=True)
    auth_method: ClientAuthMethod | str | None = field(default=None, kw_only=True)
    auth_methods_supported: Sequence[str] | None = field(default=None, kw_only=True)
    client_secret_jwt_algorithm: SymmetricAlgorithm = field(default="HS256", kw_only=True)
    attestation: ClientAttestation | None = field(default=None, kw_only=True, repr=False)
    extra: Mapping[str, str] | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] | None = field(default=None, kw_only=True)
    allow_insecure_http: bool = field(default=False, kw_only=True)

    _redacted = frozenset({"client_secret", "client_assertion", "extra", "headers"})
    #: What functions returned for the last request: to be blacked out as well, should the provider repeat it.
    _sent: ClassVar[tuple[str, ...]] = ()
    #: Whether the request makes sense without any client identification.
    _client_optional: ClassVar[bool] = False


class ClientAuthentication(NamedTuple):
    """What client authentication adds to a request."""

    headers: Pairs = ()
    form: Pairs = ()
    certificate: ClientCertificate | None = None

    def __repr__(self) -> str:  # headers and form carry credentials
        return f"ClientAuthentication({[name for name, _ in (*self.headers, *self.form)]})"


class _Moment(NamedTuple):
    """Where and when an assertion is made."""

    endpoint: str
    issuer: str | None
    wall: float


class _Method(NamedTuple):
    name: ClientAuthMethod
    #: The field that must hold the credential.
    needs: str
    usable: Callable[[ClientRequest], bool]
    apply: Callable[[ClientRequest, _Moment], ClientAuthentication]


def check_text(name: str, value: object) -> None:
    """Refuse a parameter that cannot be sent as UTF-8.

    Raises:
        ConfigurationException: It is no text, or half a surrogate pair is in it.
    """
    # Half a surrogate pair has no UTF-8, and the error of the codec would hold the text.
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise ConfigurationException(f"{printable(name)} must be text", code="parameter_invalid", claim=printable(name))


def authenticate(request: ClientRequest, endpoint: str, issuer: str | None, wall: float) -> ClientAuthentication:
    """Return what proves to *endpoint* who the client is.

    Args:
        request: The credentials and, perhaps, the method.
        endpoint: The URL that is posted to.
        issuer: The provider's issuer identifier, if known.
        wall: The time, in seconds since 1970.

    Raises:
        ConfigurationException: The method lacks its credential, or the provider supports no method that fits.
    """
    certificate = request.mtls.client_certificate() if request.mtls else None
    if not request.client_id:
        client_id: object = request.client_id  # which some requests may leave out
        if request._client_optional and client_id is None and not methods_given(request):
            return ClientAuthentication(certificate=certificate)
        raise ConfigurationException("client_id is missing", code="client_id_missing", claim="client_id")
    for name, value in (("client_id", request.client_id), ("client_secret", request.client_secret)):
        if value is not None:
            check_text(name, exposed(value) if isinstance(value, str | Secret) else value)
    method = choose_auth_method(request)
    made = method.apply(request, _Moment(endpoint, issuer, wall))
    if certificate is not None and method.name is ClientAuthMethod.SPIFFE_X509:
        certificate = replace(certificate, spiffe_id=request.client_id)
    # RFC 8705 3: the certificate also binds the tokens, whatever method authenticates the client.
    return made._replace(certificate=certificate)


def choose_auth_method(request: ClientRequest) -> _Method:
    """Return the method of *request*: the one it names, or the first that fits its credentials and the provider."""
    if request.auth_method is not None:
        return _named_method(request, request.auth_method)
    supported = _supported(request)
    # Credentials that were given are used or refused, never silently left out.
    usable = methods_given(request) or [_ROWS[ClientAuthMethod.NONE]]
    for method in usable:
        if supported is None or method.name.value in supported or method.name in _UNANNOUNCED:
            return method
    raise ConfigurationException(
        "The provider supports no client authentication method for the credentials at hand",
        code="client_auth_unsupported",
        claim="auth_methods_supported",
        expected=[method.name.value for method in usable],
        actual=[printable(name) for name in supported or ()],
        hint="give the credential of a supported method, or name auth_method",
    )


def methods_given(request: ClientRequest) -> list[_Method]:
    """Return the methods for which *request* has the credential, the stronger first."""
    return [m for m in METHODS if m.name is not ClientAuthMethod.NONE and m.usable(request)]


def _named_method(request: ClientRequest, name: str) -> _Method:
    try:
        rows = [method for method in METHODS if method.name is ClientAuthMethod(name)]
    except ValueError:
        raise ConfigurationException(
            f"Unknown client authentication method {printable(name)!r}",
            code="client_auth_method_invalid",
            claim="auth_method",
            expected=[m.value for m in ClientAuthMethod],
            actual=printable(name),
        ) from None
    method = next((row for row in rows if row.usable(request)), rows[-1])
    if not method.usable(request):
        raise ConfigurationException(
            f"{method.name.value} needs {method.needs}",
            code="client_auth_credential_missing",
            claim=method.needs,
            expected=method.needs,
        )
    return method


def _supported(request: ClientRequest) -> Sequence[str] | None:
    supported = request.auth_methods_supported
    if supported is not None and (isinstance(supported, str) or not supported):
        raise ConfigurationException(
            "auth_methods_supported must be a list of names that is not empty",
            code="client_auth_methods_invalid",
            claim="auth_methods_supported",
            actual=type(supported).__name__,
        )
    return supported


def _none(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    # RFC 6749 3.2.1, RFC 8705 2: client_id identifies the client where no credential names it.
    return ClientAuthentication(form=(("client_id", request.client_id),))


def _basic(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    # RFC 6749 2.3.1: both parts are form-encoded before they are joined.
    pair = f"{quote_plus(request.client_id)}:{quote_plus(_secret(request))}"
    return ClientAuthentication((("Authorization", "Basic " + base64.b64encode(pair.encode()).decode()),))


def _post(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    return ClientAuthentication(form=(("client_id", request.client_id), ("client_secret", _secret(request))))


def _secret_jwt(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    algorithm = request.client_secret_jwt_algorithm
    if algorithm not in SYMMETRIC_ALGORITHMS:
        raise ConfigurationException(
            "client_secret_jwt is signed with an HMAC algorithm",
            code="client_assertion_alg_invalid",
            claim="client_secret_jwt_algorithm",
            expected=list(SYMMETRIC_ALGORITHMS),
            actual=printable(algorithm),
        )
    key = SigningKey.from_secret(_secret(request), algorithm)
    return _asserted(request, build_client_assertion(key, request.client_id, _audience(None, moment), moment.wall))


def _private_key_jwt(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    config = request.private_key_jwt
    assert config is not None
    audience = _audience(config.audience, moment)
    assertion = build_client_assertion(
        config.signing_key(), request.client_id, audience, moment.wall, lifetime=config.lifetime
    )
    return _asserted(request, assertion)


def _asserted(request: ClientRequest, assertion: str, kind: str = CLIENT_ASSERTION_TYPE) -> ClientAuthentication:
    return ClientAuthentication(
        form=(
            ("client_id", request.client_id),
            ("client_assertion_type", kind),
            ("client_assertion", assertion),
        )
    )


def _ready_made(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    assertion = exposed(request.client_assertion) if isinstance(request.client_assertion, str | Secret) else ""
    if not _COMPACT.match(assertion):
        raise ConfigurationException(
            "client_assertion must be a signed JWT in compact form",
            code="client_assertion_invalid",
            claim="client_assertion",
            expected="three parts of base64url, parted by dots",
        )
    return _asserted(request, assertion, SPIFFE_ASSERTION_TYPE if _is_svid(request) else CLIENT_ASSERTION_TYPE)


def _svid(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    # draft-ietf-oauth-spiffe-client-auth 3.2: client_id MUST be the SPIFFE ID in the certificate.
    if not request.client_id.startswith("spiffe://"):
        raise ConfigurationException(
            "With an X.509-SVID the client_id is its SPIFFE ID",
            code="client_id_invalid",
            claim="client_id",
            expected="spiffe://...",
            actual=printable(request.client_id),
        )
    return _none(request, moment)


def _attested(request: ClientRequest, moment: _Moment) -> ClientAuthentication:
    assert request.attestation is not None
    try:
        attestation, proof = request.attestation(_audience(None, moment))
    except PyIdentityModelException:
        raise
    except Exception:  # the callable is foreign code, and its error may hold what it signs
        raise signing_failed("attestation") from None
    if not (isinstance(attestation, str) and _ATTESTATION.match(attestation)) or not (
        isinstance(proof, str) and _ATTESTATION.match(proof)
    ):
        raise ConfigurationException(
            "attestation must return two compact JWTs", code="client_attestation_invalid", claim="attestation"
        )
    headers = (("OAuth-Client-Attestation", attestation), ("OAuth-Client-Attestation-PoP", proof))
    return ClientAuthentication(headers, (("client_id", request.client_id),))


def _secret(request: ClientRequest) -> str:
    assert isinstance(request.client_secret, str | Secret)
    return exposed(request.client_secret)


def _audience(override: str | None, moment: _Moment) -> str:
    # FAPI 2.0 5.3.3.1: the issuer, as one string. An audience taken from anywhere but the issuer or the address that
    # is posted to would let one provider collect assertions for another.
    return override or moment.issuer or moment.endpoint


def _has_mtls(name: ClientAuthMethod) -> Callable[[ClientRequest], bool]:
    return lambda request: request.mtls is not None and request.mtls.auth_method == name.value


def _is_svid(request: ClientRequest) -> bool:
    """Tell whether the assertion is shown as a JWT-SVID: because the caller says so, or it comes from an agent."""
    if request.auth_method is not None:
        return request.auth_method == ClientAuthMethod.SPIFFE_JWT
    return getattr(request.client_assertion, "_auth_method", None) == ClientAuthMethod.SPIFFE_JWT


def _has_secret(request: ClientRequest) -> bool:
    return bool(request.client_secret)  # an empty text is no secret: so earlier versions spelled a public client


#: All methods, the stronger before the weaker; ``client_secret_basic`` is what clients are registered for by default.
METHODS: tuple[_Method, ...] = (
    _Method(ClientAuthMethod.ATTEST_JWT_CLIENT_AUTH, "attestation", lambda r: r.attestation is not None, _attested),
    _Method(
        ClientAuthMethod.SPIFFE_JWT,
        "client_assertion",
        lambda r: r.client_assertion is not None and _is_svid(r),
        _ready_made,
    ),
    _Method(
        ClientAuthMethod.PRIVATE_KEY_JWT,
        "client_assertion",
        lambda r: r.client_assertion is not None and not _is_svid(r),
        _ready_made,
    ),
    _Method(
        ClientAuthMethod.PRIVATE_KEY_JWT, "private_key_jwt", lambda r: r.private_key_jwt is not None, _private_key_jwt
    ),
    _Method(ClientAuthMethod.SPIFFE_X509, "mtls", _has_mtls(ClientAuthMethod.SPIFFE_X509), _svid),
    _Method(ClientAuthMethod.TLS_CLIENT_AUTH, "mtls", _has_mtls(ClientAuthMethod.TLS_CLIENT_AUTH), _none),
    _Method(
        ClientAuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH,
        "mtls",
        _has_mtls(ClientAuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH),
        _none,
    ),
    _Method(ClientAuthMethod.CLIENT_SECRET_BASIC, "client_secret", _has_secret, _basic),
    _Method(ClientAuthMethod.CLIENT_SECRET_POST, "client_secret", _has_secret, _post),
    _Method(ClientAuthMethod.CLIENT_SECRET_JWT, "client_secret", _has_secret, _secret_jwt),
    _Method(ClientAuthMethod.NONE, "client_id", lambda r: True, _none),
)
_ROWS = {method.name: method for method in METHODS}
#: What metadata need not announce: no authentication, and what has no registered name yet.
_UNANNOUNCED = frozenset({ClientAuthMethod.NONE, ClientAuthMethod.SPIFFE_JWT, ClientAuthMethod.SPIFFE_X509})


__all__ = [
    "CLIENT_ASSERTION_TYPE",
    "METHODS",
    "SPIFFE_ASSERTION_TYPE",
    "ClientAttestation",
    "ClientAuthMethod",
    "ClientAuthentication",
    "ClientRequest",
    "Credentials",
    "MtlsClientAuth",
    "PrivateKeyJwt",
    "authenticate",
    "check_text",
    "choose_auth_method",
    "methods_given",
]
