"""Signed authorization requests: nobody on the way can change what is asked for (JAR, RFC 9101).

FAPI 2.0 Message Signing 5.3 pushes them (RFC 9126 3); OpenID Connect Core 6 puts them into the URL. Whatever is asked
for stands inside; what stands outside as well, because OAuth wants it there, says the same.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import because
from ...exceptions import ConfigurationException, TokenValidationException, printable
from ..base.scopes import Scopes, optional_scope
from ..base.secret import Secret, Unpicklable, exposed
from ..base.strict_json import StrictJSONError, loads, loads_object
from ..base.urls import parse_url
from ..client.assertions import KeyReadOnce, check_lifetime, sign_assertion
from ..client.grants import required
from ..jose.algorithms import SignatureAlgorithm
from ..jose.jwe import Encryption, encrypt_compact
from ..jose.jws import parse_compact
from ..jose.signing_keys import SigningKey
from .authorization import AuthorizationRequest, add_to_endpoint, build_authorization_parameters
from .par import build_par_authorization_url

#: RFC 9101 10.8.1: the type that keeps a request object from being taken for anything else.
REQUEST_OBJECT_TYPE = "oauth-authz-req+jwt"

#: Claims that are the request object's own, those that would make it something else, and what is nobody's to read.
_RESERVED = frozenset(
    # RFC 9101 4 and 10.8: no request within a request, and nothing that makes it pass for a client assertion.
    {"iss", "aud", "exp", "nbf", "iat", "jti", "sub", "request", "request_uri"}
    | {"client_secret", "client_assertion", "client_assertion_type", "code_verifier"}
)
_FIELDS = frozenset(f.name for f in fields(AuthorizationRequest)) - {"extra"}
_REQUEST_URI = re.compile(r"(https://|urn:)[\x21-\x7e]{1,500}\Z")


@dataclass(frozen=True)
class RequestSigning(KeyReadOnce, Unpicklable):
    """How authorization requests are signed.

    Args:
        private_key: PEM text, or a :class:`SigningKey`, which may be a callable in front of a KMS or HSM. A
            ``SigningKey`` brings its own algorithm and ``kid``.
        algorithm: JWS algorithm of a PEM key.
        kid: Key ID of a PEM key.
        lifetime: Seconds until a request object expires, 1 to 3600 (FAPI 2.0 Message Signing 5.3.1: an hour at most).
        password: Password of an encrypted PEM key.
        encryption: To whom the signed request is encrypted as well.

    Raises:
        ConfigurationException: A value cannot be used. The key itself is read at first use.
    """

    private_key: str | bytes | Secret | SigningKey = field(repr=False)
    algorithm: SignatureAlgorithm = "PS256"
    kid: str | None = None
    lifetime: int = 300
    password: str | bytes | Secret | None = field(default=None, repr=False, kw_only=True)
    encryption: Encryption | None = field(default=None, repr=False, kw_only=True)

    @checks_arguments
    def __post_init__(self) -> None:
        check_lifetime(self.lifetime)


# ---------------------------------------------------------------------------------------------------------------------
# What goes out


def build_request_object(
    parameters: Iterable[tuple[str, str]],
    signing: RequestSigning,
    audience: str,
    wall: float,
    *,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """Build and sign a request object (RFC 9101 4), and encrypt it if that is wanted.

    Args:
        parameters: The authorization request, as :func:`build_authorization_parameters` makes it.
        signing: Key, lifetime and encryption.
        audience: The provider's issuer identifier, one string.
        wall: The time, in seconds since 1970.
        claims: Further parameters, as JSON values.

    Raises:
        ConfigurationException: A parameter is missing, reserved or given twice, or the key does not sign.
    """
    asked = _parameter_claims(parameters)
    for name, value in (claims or {}).items():
        if name in asked:
            raise _reserved(name)
        asked[name] = value
    for name in asked:
        if name in _RESERVED:
            raise _reserved(name)
    for name, value in (("client_id", asked.get("client_id")), ("audience", audience)):
        required(name, value)
    own = {
        "iss": asked["client_id"],
        # FAPI 2.0 Message Signing 5.3.1: the issuer, so that no other provider can use the request.
        "aud": audience,
        "iat": int(wall),
        "nbf": int(wall),
        "exp": int(wall) + signing.lifetime,
        "jti": secrets.token_urlsafe(24),
    }
    token = sign_assertion(own | asked, signing.signing_key(), typ=REQUEST_OBJECT_TYPE)
    if signing.encryption is None:
        return token
    to = signing.encryption
    return encrypt_compact(token, to.key, alg=to.alg, enc=to.enc, cty="JWT")


def build_signed_parameters(
    parameters: Iterable[tuple[str, str]], signing: RequestSigning, audience: str, wall: float, *, pushed: bool = False
) -> list[tuple[str, str]]:
    """Build what travels in place of *parameters*: the request object, and beside it what has to stand there.

    Args:
        parameters: The authorization request, as :func:`build_authorization_parameters` makes it.
        signing: Key, lifetime and encryption.
        audience: The provider's issuer identifier.
        wall: The time, in seconds since 1970.
        pushed: Whether it is posted to the pushed authorization request endpoint, where nothing needs to stand beside
            it (RFC 9126 3), rather than put into the URL, where OpenID Connect wants ``response_type`` and ``scope``.

    Raises:
        ConfigurationException: A parameter is missing or reserved, or the key does not sign.
    """
    pairs = list(parameters)
    token = build_request_object(pairs, signing, audience, wall)
    # RFC 9101 5: client_id MUST be outside as well. OpenID Connect Core 6.1: so must response_type and scope.
    outside = ("client_id",) if pushed else ("client_id", "response_type", "scope")
    return [*((name, value) for name, value in pairs if name in outside), ("request", token)]


def make_request_object(
    private_key: str | bytes | Secret | SigningKey,
    algorithm: SignatureAlgorithm,
    client_id: str,
    audience: str,
    wall: float,
    *,
    lifetime: int,
    kid: str | None,
    claims: Mapping[str, Any],
) -> str:
    """Build a request object of single values, as ``create_request_object`` takes them."""
    given = {name: value for name, value in claims.items() if value is not None}
    request = AuthorizationRequest(
        client_id=client_id, **{name: value for name, value in given.items() if name in _FIELDS and name != "client_id"}
    )
    signing = RequestSigning(private_key, algorithm, kid, lifetime)
    if signing.signing_key().alg != algorithm:
        raise ConfigurationException(
            "The key signs with another algorithm",
            code="signing_key_mismatch",
            claim="algorithm",
            expected=printable(algorithm, 40),
            actual=signing.signing_key().alg,
        )
    extra = {name: value for name, value in given.items() if name not in _FIELDS}
    return build_request_object(build_authorization_parameters(request), signing, audience, wall, claims=extra)


@explains_arguments
def build_jar_authorization_url(
    authorization_endpoint: str,
    client_id: str,
    request_object: str,
    scope: Scopes | None = None,
    response_type: str | None = None,
) -> str:
    """Build the URL that carries a request object (RFC 9101 5.1).

    Args:
        authorization_endpoint: The provider's endpoint; a query of its own is kept.
        client_id: The client.
        request_object: What ``create_request_object`` made.
        scope: The scope once more: OpenID Connect wants ``openid`` outside as well.
        response_type: The response type once more, for providers that ask for it outside.

    Raises:
        ConfigurationException: The request object is none, or what stands outside says something else than it does.

    >>> signed = "eyJhbGciOiJFUzI1NiJ9.eyJjbGllbnRfaWQiOiJhcHAifQ.c2ln"
    >>> build_jar_authorization_url("https://id.example.com/authorize", "app", signed).partition("&")[0]
    'https://id.example.com/authorize?client_id=app'
    """
    outside = {"client_id": client_id, "response_type": response_type, "scope": optional_scope(scope)}
    pairs = [(name, value) for name, value in outside.items() if value is not None]
    required("client_id", client_id)
    inside = _inside(request_object)
    for name, value in pairs:
        # RFC 9101 5: the values of the request object count; one that differs would be a request nobody signed.
        if inside is not None and value != inside.get(name):
            raise ConfigurationException(
                f"{name} is not the one in the request object", code="request_object_mismatch", claim=name
            )
    return add_to_endpoint(authorization_endpoint, [*pairs, ("request", request_object)])


@explains_arguments
def build_request_uri_url(
    authorization_endpoint: str,
    client_id: str,
    request_uri: str | Secret,
    scope: Scopes | None = None,
    response_type: str | None = None,
) -> str:
    """Build the URL that names a request by reference: pushed, or published by the client (RFC 9101 5.2, RFC 9126 4).

    Of a pushed request nothing but ``client_id`` and ``request_uri`` is sent (FAPI 2.0 5.3.3.2). Beside a request that
    the client publishes, OpenID Connect Core 6.2 wants ``scope`` and ``response_type`` as well.

    Args:
        authorization_endpoint: The provider's endpoint; a query of its own is kept.
        client_id: The client.
        request_uri: Where the request is: an https URL, or the URN that the provider gave.
        scope: The scope once more, with ``openid``.
        response_type: The response type once more, as it stands in the request.

    Raises:
        ConfigurationException: ``request_uri`` is neither, or longer than 512 characters; or *scope* or
            *response_type* stands beside a URN, whose request was pushed.

    >>> build_request_uri_url("https://id.example.com/authorize", "app", "urn:ietf:params:oauth:request_uri:6esc")
    'https://id.example.com/authorize?client_id=app&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3A6esc'
    """
    text = exposed(request_uri) if isinstance(request_uri, str | Secret) else ""
    if not _REQUEST_URI.match(text):  # RFC 9101 5.2: not longer than 512 ASCII characters
        raise ConfigurationException(
            "request_uri must be an https URL or a URN of at most 512 characters",
            code="request_uri_invalid",
            claim="request_uri",
        )
    outside = [
        (name, v) for name, v in (("response_type", response_type), ("scope", optional_scope(scope))) if v is not None
    ]
    if not outside:
        return build_par_authorization_url(authorization_endpoint, client_id, text)
    if not text.startswith("https://"):
        raise ConfigurationException(
            f"Nothing stands beside a pushed request, not even {outside[0][0]}",
            code="parameter_reserved",
            claim=outside[0][0],
        )
    pairs = [required("client_id", client_id), *(required(name, value) for name, value in outside)]
    own = [(name, exposed(value)) for name, value in pairs]
    return add_to_endpoint(authorization_endpoint, [*own, ("request_uri", text)])


def check_published_uri(request_uri: object) -> str:
    """Return where a client publishes a request: an https URL of at most 512 characters (OpenID Connect Core 6.2).

    Raises:
        ConfigurationException: It is something else.
    """
    if not isinstance(request_uri, str) or not _REQUEST_URI.match(request_uri) or not request_uri.startswith("https:"):
        raise ConfigurationException(
            "publish_request must return the https URL of the request, of at most 512 characters",
            code="request_uri_invalid",
            claim="publish_request",
        )
    parse_url(request_uri.partition("#")[0], "publish_request")
    return request_uri


# ---------------------------------------------------------------------------------------------------------------------


def _parameter_claims(parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return form parameters as the JSON values they are in a request object (RFC 9101 4, RFC 9396 3)."""
    claims: dict[str, Any] = {}
    for name, text in parameters:
        value: Any = text
        if name in ("claims", "authorization_details"):
            value = loads(text)
        elif name == "max_age":
            value = int(text)
        if name == "resource" and name in claims:
            earlier = claims[name]
            value = [*(earlier if isinstance(earlier, list) else [earlier]), text]
        elif name in claims:
            raise _reserved(name)
        claims[name] = value
    return claims


def _inside(request_object: object) -> dict[str, Any] | None:
    """Return what a signed request object asks for; None if it is encrypted."""
    if isinstance(request_object, str) and request_object.count(".") == 4:
        return None
    try:
        jws = parse_compact(request_object)  # type: ignore[arg-type] # it checks
        if jws.header["alg"] == "none" or not jws.signature:
            raise _refused("it is not signed")
        return loads_object(jws.payload)
    except TokenValidationException as error:
        raise _refused(error.message) from None
    except StrictJSONError as error:
        raise _refused(error.reason) from None


_refused = partial(
    because, ConfigurationException, "request_object_invalid", "The request object cannot be sent", claim="request"
)


def _reserved(name: str) -> ConfigurationException:
    return ConfigurationException(
        f"{printable(name, 60)} cannot be set in a request object, or not twice",
        code="parameter_reserved",
        claim=printable(name, 60),
    )


__all__ = [
    "REQUEST_OBJECT_TYPE",
    "RequestSigning",
    "build_jar_authorization_url",
    "build_request_object",
    "build_request_uri_url",
    "build_signed_parameters",
    "check_published_uri",
    "make_request_object",
]
