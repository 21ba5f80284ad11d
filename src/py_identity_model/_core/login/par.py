"""Pushed authorization requests: handed to the provider directly; the browser carries only their name (RFC 9126)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException, printable
from ..base.flow import Flow, Reply, Request, now, send
from ..base.provider_words import secrets_of
from ..base.response import GUARDED, BaseResponse, answered
from ..base.scopes import Scopes
from ..base.secret import CurrentSecret, Secret
from ..binding.dpop_client import DPoPKey, send_with_dpop
from ..client.client_auth import ClientAuthMethod, MtlsClientAuth, PrivateKeyJwt, choose_auth_method
from ..client.form_post import build_client_request, sent_ready
from ..client.grants import GrantRequest, Pairs, required
from ..client.token_response import parse_json_answer, read_seconds, require_text, unusable
from .authorization import OwnAuthorizationOptions, add_to_endpoint, build_authorization_parameters

_WHAT = "pushed authorization request endpoint"

# RFC 9126 2.2: a URI; RFC 9101 5.2: at most 512 characters.
_REQUEST_URI = re.compile(r"(?:urn:[\x21-\x7e]+|https://[\x21\x22\x24-\x7e]+)\Z", re.IGNORECASE)
MAX_REQUEST_URI = 512


@dataclass(repr=False)
class PushedAuthorizationRequest(GrantRequest, OwnAuthorizationOptions):
    """Hand an authorization request to the provider directly (RFC 9126 2.1).

    Attributes:
        request_object: A signed request object to push in place of the parameters (RFC 9126 3); see
            ``create_request_object``.
        dpop_key: The key that the code will be bound to (RFC 9449 10.1).
    """

    client_id: str
    redirect_uri: str
    scope: Scopes = "openid"
    response_type: str = "code"
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    client_secret: CurrentSecret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    dpop_key: DPoPKey | None = None
    mtls: MtlsClientAuth | None = None
    response_mode: str | None = None
    request_object: str | Secret | None = field(default=None, kw_only=True)

    _redacted = GrantRequest._redacted | {"state", "nonce", "id_token_hint", "request_object"}


@dataclass(repr=False)
class PushedAuthorizationResponse(BaseResponse):
    """The name of a pushed request (RFC 9126 2.2).

    Attributes:
        request_uri: The name, good for one authorization request.
        expires_in: Seconds until it is forgotten.
        expires_at: The same in seconds since 1970.
    """

    request_uri: str = GUARDED
    expires_in: int = GUARDED
    expires_at: float = field(default=GUARDED, kw_only=True)

    _guarded: ClassVar[frozenset[str]] = frozenset({"request_uri", "expires_in", "expires_at"})
    _redacted: ClassVar[frozenset[str]] = frozenset({"request_uri"})


def build_pushed_authorization(request: PushedAuthorizationRequest, wall: float) -> Request:
    """Build the form post of a pushed authorization request, without its DPoP proof.

    Args:
        request: The request.
        wall: The time, in seconds since 1970.

    Raises:
        ConfigurationException: A parameter is not valid, or an extra one would replace another.
    """
    for name in ("request", "request_uri"):
        # RFC 9126 2.1: request_uri MUST NOT be pushed; a request object has a field.
        if name in (request.extra or {}):
            raise ConfigurationException(f"extra must not set {name}", code="parameter_reserved", claim=name)
    if request.request_object is not None and request.extra:
        # RFC 9126 3: all parameters MUST appear in the request object.
        name = printable(next(iter(request.extra)))
        raise ConfigurationException(
            f"{name} must be in the request object, not beside it", code="parameter_reserved", claim=name
        )
    parameters = _parameters(request)
    method = choose_auth_method(request).name
    if request.request_object is not None:
        built = build_client_request(request, parameters, wall)
        return built if method in _NAMED_IN_THE_FORM else _without_client_id(built)
    # RFC 9126 2.1: client_id is required; most ways of authenticating send it by themselves.
    if method is ClientAuthMethod.CLIENT_SECRET_BASIC:
        parameters = [required("client_id", request.client_id), *parameters]
    return build_client_request(request, parameters, wall)


#: How a client authenticates where nothing but ``client_id`` says who it is.
_NAMED_IN_THE_FORM = frozenset(
    {ClientAuthMethod.NONE, ClientAuthMethod.TLS_CLIENT_AUTH, ClientAuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH}
    | {ClientAuthMethod.CLIENT_SECRET_POST, ClientAuthMethod.ATTEST_JWT_CLIENT_AUTH}
)


def _without_client_id(built: Request) -> Request:
    # RFC 9126 3: beside the request object stands what client authentication needs, and nothing else. An assertion
    # names the client itself (RFC 7521 4.2).
    form = [(name, value) for name, value in parse_qsl(built.body.decode()) if name != "client_id"]
    return replace(built, body=urlencode(form).encode())


def _parameters(request: PushedAuthorizationRequest) -> Pairs:
    if request.request_object is not None:
        return [required("request", request.request_object)]
    pairs = [pair for pair in build_authorization_parameters(request, extra=False) if pair[0] != "client_id"]
    if request.dpop_key is None:
        return [*pairs]
    # RFC 9449 10.1: given both ways, the thumbprints must agree.
    thumbprint = request.dpop_key.jwk_thumbprint
    if request.dpop_jkt not in (None, thumbprint):
        raise ConfigurationException(
            "dpop_jkt is not the thumbprint of dpop_key", code="parameter_invalid", claim="dpop_jkt"
        )
    return [*(pair for pair in pairs if pair[0] != "dpop_jkt"), ("dpop_jkt", thumbprint)]


def parse_pushed_authorization(answer: dict[str, Any], reply: Reply, wall: float) -> PushedAuthorizationResponse:
    """Read the answer of a pushed authorization request endpoint (RFC 9126 2.2).

    Raises:
        TokenRequestException: ``request_uri`` or ``expires_in`` is missing or malformed.
    """
    request_uri = require_text(answer, "request_uri", reply)
    if len(request_uri) > MAX_REQUEST_URI or not _REQUEST_URI.match(request_uri):
        raise unusable(reply, "request_uri_invalid", "request_uri is no URI", _WHAT, claim="request_uri")
    lifetime = read_seconds(answer, "expires_in", reply)
    if lifetime is None or lifetime < 1:
        raise unusable(reply, "expires_in_missing", "expires_in is no positive number", _WHAT, claim="expires_in")
    return PushedAuthorizationResponse(
        True,
        status_code=reply.status,
        request_uri=request_uri,
        expires_in=int(lifetime),
        expires_at=wall + lifetime,
    )


@explains_arguments
def build_par_authorization_url(
    authorization_endpoint: str, client_id: str, request_uri: str | Secret, *, allow_insecure_http: bool = False
) -> str:
    """Build the URL that sends the browser to the provider with a pushed request (RFC 9126 4).

    Args:
        authorization_endpoint: The provider's authorization endpoint; a query of its own is kept.
        client_id: The client that pushed the request.
        request_uri: What the provider answered; use it once.
        allow_insecure_http: Whether the endpoint may be plain http.

    Returns:
        The URL, with ``client_id`` and ``request_uri`` and nothing else.

    Raises:
        ConfigurationException: Something is missing, or the endpoint is no https URL.

    >>> build_par_authorization_url("https://id.example.com/authorize", "app", "urn:example:1")
    'https://id.example.com/authorize?client_id=app&request_uri=urn%3Aexample%3A1'
    """
    pairs = (required("client_id", client_id), required("request_uri", request_uri))
    return add_to_endpoint(
        authorization_endpoint,
        [(name, value.expose() if isinstance(value, Secret) else value) for name, value in pairs],
        allow_insecure_http=allow_insecure_http,
    )


def push_authorization_request(request: PushedAuthorizationRequest) -> Flow[PushedAuthorizationResponse]:
    """Push a request. It is sent once, or once more where the provider asked for a DPoP nonce."""
    return (yield from answered(PushedAuthorizationResponse, lambda: _push(request)))


def _push(request: PushedAuthorizationRequest) -> Flow[PushedAuthorizationResponse]:
    wall = (yield from now()).wall

    def build(_: str = "") -> Flow[Request]:
        return (yield from sent_ready(request, lambda known: build_pushed_authorization(known, wall)))

    if request.dpop_key is not None:
        reply = yield from send_with_dpop(build, request.dpop_key, request.dpop_key.nonces)
    else:
        reply = yield from send((yield from build()))
    answer = parse_json_answer(
        reply, what=_WHAT, success=(200, 201), secrets=secrets_of(request), wall=wall
    )  # RFC 9126 2.2 says 201; some providers say 200
    return parse_pushed_authorization(answer, reply, wall)


__all__ = [
    "MAX_REQUEST_URI",
    "PushedAuthorizationRequest",
    "PushedAuthorizationResponse",
    "build_par_authorization_url",
    "build_pushed_authorization",
    "parse_pushed_authorization",
    "push_authorization_request",
]
