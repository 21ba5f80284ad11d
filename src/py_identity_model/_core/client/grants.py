"""Grants: what a client gives to get tokens (RFC 6749 4, 6; RFC 7523 2.1; RFC 8707; RFC 9396; RFC 9449 5).

The password grant is not here: RFC 9700 2.4 forbids it. Nothing that is good for one use is ever sent twice: only the
client credentials grant is repeated, each time with another assertion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

from ...exceptions import ConfigurationException, printable
from ...settings import Settings
from ..base.exchanges import persistently
from ..base.flow import Flow, Reply, Request, now, send
from ..base.provider_words import secrets_of
from ..base.response import answered
from ..base.scopes import Scopes, optional_scope
from ..base.secret import CurrentSecret, Secret, exposed
from ..binding.dpop_client import DPoPKey, send_with_dpop
from .assertions import JwtBearerAssertion, build_jwt_bearer_assertion
from .client_auth import ClientRequest, MtlsClientAuth, PrivateKeyJwt
from .form_post import build_client_request, ready
from .identity_tokens import CurrentToken
from .token_response import BEARER, DPOP, TokenResponse, parse_token_response, refresh_token_is_dead

T = TypeVar("T", bound=TokenResponse)

Pairs = list[tuple[str, str | Secret | None]]

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: RFC 9700 2.4 and 2.1.2: grants that show the client the user's password, or the browser the token.
REFUSED_GRANTS = frozenset({"password", "implicit"})

# RFC 3986 4.3: a scheme, then something, and no fragment.
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21\x22\x24-\x7e]+\Z")


class Target:
    """Where the token will be used: a field of every request for access, of one at its own published position."""

    resource: str | Sequence[str] | None


@dataclass(repr=False)
class AccessRequest(ClientRequest, Target):
    """A request that asks for access, now or later.

    Attributes:
        authorization_details: What exactly is asked for (RFC 9396 2).
    """

    authorization_details: Sequence[Mapping[str, Any]] | None = field(default=None, kw_only=True)


@dataclass(repr=False)
class GrantRequest(AccessRequest):
    """A request that asks for access, and takes the place where it will be used by name only.

    Attributes:
        resource: Where the token will be used: one absolute URI or several (RFC 8707 2).
    """

    resource: str | Sequence[str] | None = field(default=None, kw_only=True)


@dataclass(repr=False)
class TokenRequest(GrantRequest):
    """A request to a token endpoint.

    Attributes:
        dpop_key: The key to bind the tokens to; a token that is not bound to it is refused (RFC 9449 5).
        token_types: The values of ``token_type`` that are understood, in place of ``Bearer`` (RFC 6749 7.1): ``N_A``,
            or a provider's own. With a ``dpop_key`` they are understood beside ``DPoP``, and ``Bearer`` is not.
    """

    dpop_key: DPoPKey | None = field(default=None, kw_only=True)
    token_types: Sequence[str] | None = field(default=None, kw_only=True)


@dataclass(repr=False)
class ClientCredentialsTokenRequest(TokenRequest):
    """Ask for a token in the client's own name (RFC 6749 4.4)."""

    client_id: str
    client_secret: CurrentSecret | None = None
    scope: Scopes | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None


@dataclass(repr=False)
class AuthorizationCodeTokenRequest(GrantRequest):
    """Exchange an authorization code for tokens (RFC 6749 4.1.3, RFC 7636 4.5)."""

    client_id: str
    code: str | Secret
    redirect_uri: str
    code_verifier: str | Secret | None = None
    client_secret: CurrentSecret | None = None
    scope: Scopes | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    dpop_key: DPoPKey | None = None
    mtls: MtlsClientAuth | None = None
    token_types: Sequence[str] | None = field(default=None, kw_only=True)

    _redacted = ClientRequest._redacted | {"code", "code_verifier"}


@dataclass(repr=False)
class RefreshTokenRequest(TokenRequest):
    """Exchange a refresh token for new tokens (RFC 6749 6)."""

    client_id: str
    refresh_token: str | Secret
    scope: Scopes | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None

    _redacted = ClientRequest._redacted | {"refresh_token"}


@dataclass(repr=False)
class JwtBearerTokenRequest(TokenRequest):
    """Exchange a JWT for a token (RFC 7523 2.1). Client authentication is optional.

    Attributes:
        assertion: The JWT; what is to be signed; or where it comes from: :class:`KubernetesToken`, or a function.
    """

    assertion: CurrentToken | JwtBearerAssertion
    scope: Scopes | None = None
    client_id: str | None = None  # type: ignore[assignment] # pyright: ignore[reportIncompatibleVariableOverride] # RFC 7523 3.1
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None

    _redacted = ClientRequest._redacted | {"assertion"}
    _client_optional: ClassVar[bool] = True


@dataclass(repr=False)
class ExtensionGrantTokenRequest(TokenRequest):
    """Ask for a token by a grant of the provider's own (RFC 6749 4.5).

    Attributes:
        grant_type: The absolute URI of the grant.
        parameters: Its parameters.
        token_types: The values of ``token_type`` that are understood; ``DPoP`` if there is a ``dpop_key``.
    """

    client_id: str
    grant_type: str
    parameters: Mapping[str, str | Secret]
    scope: Scopes | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None
    token_types: Sequence[str] | None = field(default=("Bearer",), kw_only=True)

    _redacted = ClientRequest._redacted | {"parameters"}


@dataclass(repr=False)
class ClientCredentialsTokenResponse(TokenResponse):
    """The answer to a :class:`ClientCredentialsTokenRequest`."""


@dataclass(repr=False)
class AuthorizationCodeTokenResponse(TokenResponse):
    """The answer to an :class:`AuthorizationCodeTokenRequest`."""


@dataclass(repr=False)
class RefreshTokenResponse(TokenResponse):
    """The answer to a :class:`RefreshTokenRequest`; ``refresh_token`` is the old one where no new one came."""


@dataclass(repr=False)
class JwtBearerTokenResponse(TokenResponse):
    """The answer to a :class:`JwtBearerTokenRequest`."""


@dataclass(repr=False)
class ExtensionGrantTokenResponse(TokenResponse):
    """The answer to an :class:`ExtensionGrantTokenRequest`."""


# ---------------------------------------------------------------------------------------------------------------------
# What goes out


def required(name: str, value: object) -> tuple[str, str | Secret]:
    """Return a form parameter that must not be missing or empty.

    Raises:
        ConfigurationException: It is; the code is ``parameter_missing``.
    """
    if not isinstance(value, str | Secret) or not exposed(value):
        raise ConfigurationException(f"{name} is missing", code="parameter_missing", claim=name)
    return name, value


def several(name: str, value: str | Sequence[str] | None) -> list[str]:
    """Return a parameter that may occur several times as a list.

    Raises:
        ConfigurationException: It is empty, or not all of it is text; the code is ``parameter_invalid``.
    """
    if value is None:
        return []
    values = [value] if isinstance(value, str) else list(value)
    if not values or not all(isinstance(v, str) and v for v in values):
        raise ConfigurationException(
            f"{name} must be text, or a list of texts that are not empty", code="parameter_invalid", claim=name
        )
    return values


def build_grant_parameters(request: AccessRequest, scope: Scopes | None) -> Pairs:
    """Build the parameters that every grant may have: scope, resources, authorization details.

    Raises:
        ConfigurationException: ``resource_invalid`` or ``authorization_details_invalid``.
    """
    pairs: Pairs = [("scope", optional_scope(scope) or None)]
    for resource in several("resource", request.resource):
        if not _ABSOLUTE_URI.match(resource):  # RFC 8707 2
            raise ConfigurationException(
                "resource must be an absolute URI without a fragment",
                code="resource_invalid",
                claim="resource",
                actual=printable(resource),
            )
        pairs.append(("resource", resource))
    if request.authorization_details is not None:
        pairs.append(("authorization_details", _details_json(request.authorization_details)))
    return pairs


def _details_json(details: Sequence[Mapping[str, Any]]) -> str:
    try:
        if not details or not all(isinstance(d["type"], str) and d["type"] for d in details):
            raise ValueError
        return json.dumps([dict(d) for d in details], separators=(",", ":"), allow_nan=False)
    except (KeyError, TypeError, ValueError):
        raise ConfigurationException(
            "authorization_details must be a list of JSON objects, each with a type",
            code="authorization_details_invalid",
            claim="authorization_details",
            hint="RFC 9396 2",
        ) from None


# ---------------------------------------------------------------------------------------------------------------------
# Flows


class Grant(NamedTuple):
    """How one grant is sent: what makes its parameters, and what is special about it."""

    #: Called with the time, afresh for each request that is sent.
    parameters: Callable[[float], Iterable[tuple[str, str | Secret | None]]]
    scope: Scopes | None = None
    dpop_key: DPoPKey | None = None
    #: Set where the request may be repeated.
    repeat: Settings | None = None
    #: What ``token_type`` may be without a ``dpop_key``, in lower case.
    token_types: Collection[str] = (BEARER,)
    #: What ``token_type`` may be with a ``dpop_key`` as well.
    unbound_types: Collection[str] = ()
    #: Members that the answer must have besides ``access_token`` and ``token_type``.
    requires: Collection[str] = ()


def request_token(kind: type[T], request: AccessRequest, grant: Grant) -> Flow[T]:
    """Send a token request and read its answer.

    A :class:`PyIdentityModelException` becomes a failed response.
    """
    return (yield from answered(kind, lambda: _request_token(kind, request, grant)))


def _request_token(kind: type[T], request: AccessRequest, grant: Grant) -> Flow[T]:
    wall = (yield from now()).wall

    expected = _token_types(request, grant)  # refused before anything is sent

    def build() -> Flow[Request]:
        own = [*grant.parameters(wall), *build_grant_parameters(request, grant.scope)]
        return build_client_request((yield from ready(request)), own, wall)

    reply = yield from _exchange(build, grant)
    return parse_token_response(
        kind,
        reply,
        wall,
        token_types=(*expected, *grant.unbound_types),
        requires=grant.requires,
        requested_scope=optional_scope(grant.scope),
        secrets=secrets_of(request),
    )


def _token_types(request: AccessRequest, grant: Grant) -> Collection[str]:
    """Return what ``token_type`` may be, in lower case: what the grant brings, and what the caller understands."""
    given = getattr(request, "token_types", None)
    named = [name.lower() for name in several("token_types", given)]
    if grant.dpop_key is not None:
        # RFC 9449 5: a Bearer answer to a DPoP request is a token that every holder can use.
        return (DPOP, *(name for name in named if name != BEARER))
    return named or grant.token_types


def _exchange(build: Callable[[], Flow[Request]], grant: Grant) -> Flow[Reply]:
    if grant.dpop_key is not None:
        return (yield from send_with_dpop(lambda _: build(), grant.dpop_key, grant.dpop_key.nonces))
    if grant.repeat is not None:
        return (yield from persistently(build, grant.repeat))
    return (yield from send((yield from build())))


def request_client_credentials_token(
    request: ClientCredentialsTokenRequest, settings: Settings
) -> Flow[ClientCredentialsTokenResponse]:
    """Ask for a token in the client's own name. Repeated where the network or the provider falters."""
    grant = Grant(
        lambda _: [("grant_type", "client_credentials")],
        request.scope,
        request.dpop_key,
        repeat=settings,
    )
    return (yield from request_token(ClientCredentialsTokenResponse, request, grant))


def request_authorization_code_token(request: AuthorizationCodeTokenRequest) -> Flow[AuthorizationCodeTokenResponse]:
    """Exchange a code for tokens. The code is sent once, or once more where the provider asked for a DPoP nonce."""

    def parameters(wall: float) -> Pairs:
        return [
            ("grant_type", "authorization_code"),
            required("code", request.code),
            required("redirect_uri", request.redirect_uri),
            ("code_verifier", request.code_verifier),
        ]

    grant = Grant(parameters, request.scope, request.dpop_key)
    return (yield from request_token(AuthorizationCodeTokenResponse, request, grant))


def refresh_token(request: RefreshTokenRequest) -> Flow[RefreshTokenResponse]:
    """Exchange a refresh token for new tokens. It is sent once: a lost answer may have used it up."""

    def parameters(wall: float) -> Pairs:
        return [("grant_type", "refresh_token"), required("refresh_token", request.refresh_token)]

    grant = Grant(parameters, request.scope, request.dpop_key)
    response = yield from request_token(RefreshTokenResponse, request, grant)
    if response.exception is not None:
        response.exception.needs_new_login = refresh_token_is_dead(response.exception)
    if response.is_successful and response.refresh_token is None:
        # RFC 6749 6: the provider MAY issue a new refresh token; if it does not, the old one stays good.
        response.refresh_token = exposed(request.refresh_token)
    return response


def request_jwt_bearer_token(request: JwtBearerTokenRequest) -> Flow[JwtBearerTokenResponse]:
    """Exchange a JWT for a token."""

    def ask() -> Flow[JwtBearerTokenResponse]:
        known = yield from ready(request, ("assertion",))
        given: Any = known.assertion

        def parameters(wall: float) -> Pairs:
            text = build_jwt_bearer_assertion(given, wall) if isinstance(given, JwtBearerAssertion) else given
            return [("grant_type", JWT_BEARER), required("assertion", text)]

        return (
            yield from _request_token(JwtBearerTokenResponse, known, Grant(parameters, known.scope, known.dpop_key))
        )

    return (yield from answered(JwtBearerTokenResponse, ask))


def request_extension_grant_token(request: ExtensionGrantTokenRequest) -> Flow[ExtensionGrantTokenResponse]:
    """Ask for a token by a grant that this library does not know."""

    def parameters(wall: float) -> Pairs:
        grant_type = required("grant_type", request.grant_type)
        if request.grant_type in REFUSED_GRANTS:
            raise ConfigurationException(
                "The password and implicit grants must not be used (RFC 9700 2.4, 2.1.2)",
                code="grant_type_refused",
                claim="grant_type",
                actual=request.grant_type,
                hint="use the authorization code grant",
            )
        return [grant_type, *_own_parameters(request.parameters)]

    grant = Grant(parameters, request.scope, request.dpop_key)
    return (yield from request_token(ExtensionGrantTokenResponse, request, grant))


#: What has a field of its own in the request.
_HAS_A_FIELD = frozenset(
    {"grant_type", "scope", "resource", "authorization_details"}
    | {"client_id", "client_secret", "client_assertion", "client_assertion_type"}
)


def _own_parameters(parameters: Mapping[str, str | Secret]) -> Pairs:
    for name, value in parameters.items():
        if name in _HAS_A_FIELD or not isinstance(value, str | Secret):
            raise ConfigurationException(
                f"parameters must not set {printable(name)}", code="parameter_reserved", claim=printable(name)
            )
    return list(parameters.items())


__all__ = [
    "JWT_BEARER",
    "REFUSED_GRANTS",
    "AccessRequest",
    "AuthorizationCodeTokenRequest",
    "AuthorizationCodeTokenResponse",
    "ClientCredentialsTokenRequest",
    "ClientCredentialsTokenResponse",
    "ExtensionGrantTokenRequest",
    "ExtensionGrantTokenResponse",
    "Grant",
    "GrantRequest",
    "JwtBearerTokenRequest",
    "JwtBearerTokenResponse",
    "RefreshTokenRequest",
    "RefreshTokenResponse",
    "TokenRequest",
    "build_grant_parameters",
    "refresh_token",
    "request_authorization_code_token",
    "request_client_credentials_token",
    "request_extension_grant_token",
    "request_jwt_bearer_token",
    "request_token",
    "required",
    "several",
]
