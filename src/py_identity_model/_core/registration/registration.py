"""Dynamic client registration and its management (RFC 7591, RFC 7592, OpenID Connect Dynamic Client Registration 1.0).

A provider may register something else than what was asked for (RFC 7591 3.2.1): ``changes`` of the response tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException, printable
from ...settings import Settings
from ..base.exchanges import persistently
from ..base.flow import Flow, Reply, Request, now, send
from ..base.header_lists import words
from ..base.provider_words import secrets_of
from ..base.response import GUARDED, BaseRequest, BaseResponse, answered, by_backchannel
from ..base.scopes import Scopes
from ..base.secret import Secret, exposed
from ..base.urls import parse_url
from ..client.token_response import parse_json_answer, read_seconds, read_text, refusal, require_text, unusable
from .client_metadata import check_client_metadata, text_member

_WHAT = "registration endpoint"

# RFC 6750 2.1: b64token.
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*\Z")
#: RFC 7592 2.2: what only the provider says.
_PROVIDERS_OWN = frozenset(
    {"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}
)


@dataclass(repr=False)
class _MetadataRequest(BaseRequest):
    """What every request has that carries client metadata.

    Attributes:
        jwks: The client's public keys, where there is no ``jwks_uri``.
        software_id: What identifies the software, the same for all its clients.
        software_version: Its version.
        software_statement: A signed statement about the software (RFC 7591 2.3).
        unchecked_metadata: Members as this very provider demands them: they go in place of others, and nothing about
            them is checked. None is sent as ``null``.
        leave_out: Names of members that this provider does not take back.
        allow_insecure_http: Whether secrets may travel over plain http to another machine.
    """

    jwks: Mapping[str, Any] | None = field(default=None, kw_only=True)
    software_id: str | None = field(default=None, kw_only=True)
    software_version: str | None = field(default=None, kw_only=True)
    software_statement: str | Secret | None = field(default=None, kw_only=True)
    unchecked_metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    leave_out: Collection[str] = field(default=(), kw_only=True)
    allow_insecure_http: bool = field(default=False, kw_only=True)

    _redacted: ClassVar[frozenset[str]] = frozenset(
        {"initial_access_token", "registration_access_token", "client_secret", "software_statement", "extra_metadata"}
        | {"unchecked_metadata"}
    )


@dataclass(repr=False)
class ClientRegistrationRequest(_MetadataRequest):
    """Register a client (RFC 7591 3.1).

    Attributes:
        redirect_uris: Where authorization responses go; empty only for a client without redirecting grants.
        extra_metadata: Further members, names with language tags (``client_name#de``) among them.
        initial_access_token: What entitles to register, where registration is not open.
    """

    redirect_uris: list[str]
    response_types: list[str] | None = None
    grant_types: list[str] | None = None
    application_type: str | None = None
    contacts: list[str] | None = None
    client_name: str | None = None
    logo_uri: str | None = None
    client_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    token_endpoint_auth_method: str | None = None
    scope: Scopes | None = None
    jwks_uri: str | None = None
    extra_metadata: dict[str, Any] | None = None
    initial_access_token: str | Secret | None = None


@dataclass(repr=False)
class ClientReadRequest(BaseRequest):
    """Read a registration (RFC 7592 2.1). ``address`` is the ``registration_client_uri``."""

    registration_access_token: str | Secret
    allow_insecure_http: bool = field(default=False, kw_only=True)

    _redacted: ClassVar[frozenset[str]] = frozenset({"registration_access_token"})


@dataclass(repr=False)
class ClientUpdateRequest(_MetadataRequest):
    """Replace a registration (RFC 7592 2.2). What is left out is deleted: begin with :meth:`from_registration`."""

    registration_access_token: str | Secret
    client_id: str
    redirect_uris: list[str]
    response_types: list[str] | None = None
    grant_types: list[str] | None = None
    application_type: str | None = None
    contacts: list[str] | None = None
    client_name: str | None = None
    logo_uri: str | None = None
    client_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    token_endpoint_auth_method: str | None = None
    scope: Scopes | None = None
    jwks_uri: str | None = None
    client_secret: str | Secret | None = None
    extra_metadata: dict[str, Any] | None = None

    @classmethod
    @explains_arguments
    def from_registration(cls, registered: ClientRegistrationResponse, **changes: object) -> ClientUpdateRequest:
        """Build the update that keeps all that is registered but for *changes*; None takes a member away.

        Raises:
            ConfigurationException: The response names no ``registration_client_uri`` or token to update with.
            FailedResponseAccessError: The response is a failed one.
        """
        address, token = registered.registration_client_uri, registered.registration_access_token
        if address is None or token is None:
            raise ConfigurationException(
                "This registration cannot be managed: it came without registration_client_uri or its token",
                code="registration_unmanaged",
                claim="registration_client_uri" if address is None else "registration_access_token",
            )
        known = registered.metadata or {}
        # RFC 7592 2.2: empty and absent mean the same.
        own = {name: known[name] for name in _METADATA if known.get(name)}
        extra = {n: v for n, v in known.items() if n not in _RESERVED and n not in _METADATA}
        wanted: dict[str, Any] = dict(changes)
        extra |= wanted.pop("extra_metadata", None) or {}
        values = {
            "redirect_uris": [],
            **own,
            "client_id": registered.client_id,
            "client_secret": registered.client_secret,
            "extra_metadata": {name: value for name, value in extra.items() if value is not None},
            **wanted,
        }
        return cls(address=address, registration_access_token=token, **values)


@dataclass(repr=False)
class ClientDeleteRequest(BaseRequest):
    """Delete a registration (RFC 7592 2.3). ``address`` is the ``registration_client_uri``."""

    registration_access_token: str | Secret
    allow_insecure_http: bool = field(default=False, kw_only=True)

    _redacted: ClassVar[frozenset[str]] = frozenset({"registration_access_token"})


@dataclass(repr=False)
class ClientRegistrationResponse(BaseResponse):
    """A registered client (RFC 7591 3.2.1, RFC 7592 3).

    Attributes:
        client_id: Its identifier.
        client_secret: Its secret, if it has one. One that came with an update replaces the old one.
        client_id_issued_at: When the identifier was issued, in seconds since 1970.
        client_secret_expires_at: When the secret expires, in seconds since 1970; 0 for never.
        registration_access_token: What to manage the registration with from now on; the one that was sent where
            reading or updating brought no new one.
        registration_client_uri: Where to manage it.
        metadata: All that is registered, the JSON object as it came, unknown members included.
        changes: What was registered otherwise than asked: by name, what was asked and what is registered; None for
            nothing. Empty after reading.
        raw: The answer as text.
    """

    client_id: str = GUARDED
    client_secret: str | None = None
    client_id_issued_at: int | None = None
    client_secret_expires_at: int | None = None
    registration_access_token: str | None = None
    registration_client_uri: str | None = None
    metadata: dict[str, Any] | None = None
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict, kw_only=True, repr=False)
    raw: str = field(default=GUARDED, kw_only=True, repr=False)

    _guarded: ClassVar[frozenset[str]] = frozenset(
        {"client_id", "client_secret", "registration_access_token", "registration_client_uri", "raw"}
    )
    # metadata repeats the secrets.
    _redacted: ClassVar[frozenset[str]] = frozenset({"client_secret", "registration_access_token", "metadata"})


@dataclass(repr=False)
class ClientDeleteResponse(BaseResponse):
    """Whether the registration is gone."""


#: Members of client metadata that have a field of their own.
_METADATA = tuple(
    f.name
    for f in fields(ClientRegistrationRequest)
    if f.name not in ("address", "extra_metadata", "initial_access_token", "allow_insecure_http")
    and f.name not in ("unchecked_metadata", "leave_out")
)


# ---------------------------------------------------------------------------------------------------------------------
# What goes out


def build_client_metadata(request: ClientRegistrationRequest | ClientUpdateRequest) -> dict[str, Any]:
    """Build the JSON object that describes a client (RFC 7591 2).

    Raises:
        ConfigurationException: A member is not valid; ``code`` and ``claim`` tell which.
    """
    given = {name: value for name in _METADATA if (value := getattr(request, name)) is not None}
    if given.get("redirect_uris") == []:
        del given["redirect_uris"]
    extra = request.extra_metadata or {}
    for name in extra:
        if name in given or name in _RESERVED:
            raise ConfigurationException(
                f"extra_metadata must not set {printable(name)}", code="parameter_reserved", claim=printable(name)
            )
    unchecked = _unchecked(request)
    kept = {name: value for name, value in {**extra, **given}.items() if name not in unchecked}
    return check_client_metadata({**kept, **(request.unchecked_metadata or {})}, unchecked)


def _unchecked(request: ClientRegistrationRequest | ClientUpdateRequest) -> set[str]:
    """Return the members that are left out, or that the caller vouches for; who the client is never is one of them."""
    left_out, given = request.leave_out, request.unchecked_metadata or {}
    if isinstance(left_out, str) or not all(isinstance(name, str) and name for name in (*left_out, *given)):
        raise ConfigurationException(
            "leave_out and unchecked_metadata name members", code="parameter_invalid", claim="leave_out"
        )
    names = {*left_out, *given}
    if "client_id" in names:
        raise ConfigurationException(
            "client_id says which client this is about", code="parameter_reserved", claim="client_id"
        )
    return names


_RESERVED = _PROVIDERS_OWN | {"client_id", "client_secret"}


def build_registration_request(request: ClientRegistrationRequest) -> Request:
    """Build the request that registers a client (RFC 7591 3.1).

    Raises:
        ConfigurationException: The request cannot be sent as it is.
    """
    return _request("POST", request, request.initial_access_token, build_client_metadata(request))


def build_update_request(request: ClientUpdateRequest) -> Request:
    """Build the request that replaces a registration (RFC 7592 2.2).

    Raises:
        ConfigurationException: The request cannot be sent as it is.
    """
    members: dict[str, Any] = {"client_id": text_member("client_id", request.client_id)}
    if request.client_secret is not None and "client_secret" not in _unchecked(request):
        members["client_secret"] = text_member("client_secret", request.client_secret)
    return _request("PUT", request, _needed(request), {**members, **build_client_metadata(request)})


def _needed(request: ClientReadRequest | ClientUpdateRequest | ClientDeleteRequest) -> str | Secret:
    if not request.registration_access_token:
        raise ConfigurationException(
            "registration_access_token is missing", code="parameter_missing", claim="registration_access_token"
        )
    return request.registration_access_token


def _request(
    method: str,
    request: ClientRegistrationRequest | ClientReadRequest | ClientUpdateRequest | ClientDeleteRequest,
    token: str | Secret | None,
    members: dict[str, Any] | None = None,
) -> Request:
    parse_url(request.address, "address", require_https=not request.allow_insecure_http)
    headers = [("Accept", "application/json")]
    if token is not None:
        text = text_member("registration_access_token", token)
        if not _BEARER.match(text):
            raise ConfigurationException("A registration token is no bearer token", code="registration_token_invalid")
        headers.append(("Authorization", f"Bearer {text}"))
    if members is not None:
        headers.append(("Content-Type", "application/json"))
    made = Request(method, request.address, tuple(headers), b"" if members is None else _encoded(members))
    return by_backchannel(made, request, require_https=not request.allow_insecure_http)


def _encoded(members: dict[str, Any]) -> bytes:
    try:
        return json.dumps(members, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationException(
            "The client metadata is no JSON", code="client_metadata_invalid", claim="extra_metadata"
        ) from None


# ---------------------------------------------------------------------------------------------------------------------
# What comes in


def parse_registration(
    reply: Reply, *, asked: Mapping[str, Any], secrets: list[str], wall: float = 0.0
) -> ClientRegistrationResponse:
    """Read the answer to a registration, or to reading or replacing one (RFC 7591 3.2, RFC 7592 3).

    Args:
        reply: The HTTP reply.
        asked: What was asked to be registered; empty if nothing was.
        secrets: Texts to black out, should the provider repeat them in an error.
        wall: The time, in seconds since 1970, that a ``Retry-After`` date is compared with.

    Raises:
        TokenRequestException: The provider refused, or its answer is not what it must be.
    """
    # RFC 7591 3.2.1: 201; RFC 7592 2.1, 2.2: 200, which some providers also register with.
    answer = parse_json_answer(reply, what=_WHAT, success=(200, 201), secrets=secrets, wall=wall)
    issued, expires = (
        None if (value := read_seconds(answer, name, reply)) is None else int(value)
        for name in ("client_id_issued_at", "client_secret_expires_at")
    )
    return ClientRegistrationResponse(
        True,
        status_code=reply.status,
        client_id=require_text(answer, "client_id", reply),
        client_secret=read_text(answer, "client_secret", reply),
        client_id_issued_at=issued,
        client_secret_expires_at=expires,
        registration_access_token=read_text(answer, "registration_access_token", reply),
        registration_client_uri=_management_uri(answer, reply),
        metadata=answer,
        changes=registration_changes(asked, answer),
        raw=reply.body.decode(),
    )


def _management_uri(answer: Mapping[str, Any], reply: Reply) -> str | None:
    uri = read_text(answer, "registration_client_uri", reply)
    if uri is None:
        return None
    try:
        # Plain http is as good as the endpoint that said so; the request to it asks again.
        parse_url(uri, "registration_client_uri", require_https=not reply.url.lower().startswith("http:"))
    except ConfigurationException:
        raise unusable(
            reply, "registration_client_uri_invalid", "registration_client_uri is no https URL", _WHAT
        ) from None
    return uri


@explains_arguments
def registration_changes(asked: Mapping[str, Any], registered: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare what was asked with what is registered (RFC 7591 3.2.1).

    Returns:
        By name, what was asked and what is registered instead; None for nothing.

    >>> registration_changes({"scope": "a b", "grant_types": ["x"]}, {"scope": "b a", "grant_types": ["x", "y"]})
    {'grant_types': (['x'], ['x', 'y'])}
    """
    # A software statement comes back as it was sent; its claims stand for themselves (RFC 7591 3.2.1).
    return {
        name: (value, registered.get(name))
        for name, value in asked.items()
        if name not in ("client_secret", "software_statement") and not _alike(name, value, registered.get(name))
    }


def _alike(name: str, asked: Any, registered: Any) -> bool:
    if name == "scope" and isinstance(asked, str) and isinstance(registered, str):
        asked, registered = list(words(asked)), list(words(registered))
    if all(isinstance(v, list) and all(isinstance(t, str) for t in v) for v in (asked, registered)):
        return sorted(asked) == sorted(registered)  # the order of these lists means nothing
    return type(asked) is type(registered) and bool(asked == registered)


# ---------------------------------------------------------------------------------------------------------------------
# Flows


def register_client(request: ClientRegistrationRequest) -> Flow[ClientRegistrationResponse]:
    """Register a client. It is sent once: a repeat could register a second one."""

    def flow() -> Flow[ClientRegistrationResponse]:
        reply = yield from send(build_registration_request(request))
        wall = (yield from now()).wall
        return parse_registration(reply, asked=build_client_metadata(request), secrets=secrets_of(request), wall=wall)

    return (yield from answered(ClientRegistrationResponse, flow))


def read_client(request: ClientReadRequest, settings: Settings) -> Flow[ClientRegistrationResponse]:
    """Read a registration. Repeated where the network or the provider falters."""

    def flow() -> Flow[ClientRegistrationResponse]:
        reply = yield from persistently(lambda: _request("GET", request, _needed(request)), settings)
        wall = (yield from now()).wall
        return _kept(parse_registration(reply, asked={}, secrets=secrets_of(request), wall=wall), request)

    return (yield from answered(ClientRegistrationResponse, flow))


def update_client(request: ClientUpdateRequest) -> Flow[ClientRegistrationResponse]:
    """Replace a registration. It is sent once: it may have changed the token that it was sent with."""

    def flow() -> Flow[ClientRegistrationResponse]:
        reply = yield from send(build_update_request(request))
        wall, asked = (yield from now()).wall, build_client_metadata(request)
        response = parse_registration(reply, asked=asked, secrets=secrets_of(request), wall=wall)
        if response.client_id != request.client_id:
            raise unusable(
                reply,
                "client_id_mismatch",
                "it is about another client",
                _WHAT,
                claim="client_id",
                expected=request.client_id,
                actual=printable(response.client_id),
            )
        return _kept(response, request)

    return (yield from answered(ClientRegistrationResponse, flow))


def _kept(
    response: ClientRegistrationResponse, request: ClientReadRequest | ClientUpdateRequest
) -> ClientRegistrationResponse:
    # RFC 7592 3: a new token or secret replaces the old one at once; without a new one the old one stays good.
    if response.registration_access_token is None:
        response.registration_access_token = exposed(request.registration_access_token)
    if response.registration_client_uri is None:
        response.registration_client_uri = request.address
    return response


def delete_client(request: ClientDeleteRequest) -> Flow[ClientDeleteResponse]:
    """Delete a registration."""

    def flow() -> Flow[ClientDeleteResponse]:
        reply = yield from send(_request("DELETE", request, _needed(request)))
        return parse_deletion(reply, secrets=secrets_of(request), wall=(yield from now()).wall)

    return (yield from answered(ClientDeleteResponse, flow))


def parse_deletion(reply: Reply, *, secrets: list[str], wall: float = 0.0) -> ClientDeleteResponse:
    """Read the answer to a deletion (RFC 7592 2.3).

    Raises:
        TokenRequestException: The provider refused: 403 or 405 where clients cannot be deleted.
    """
    # RFC 7592 2.3: 204; some providers answer 200 with a body that says nothing more.
    if reply.status not in (200, 204):
        raise refusal(reply, _WHAT, secrets, wall)
    return ClientDeleteResponse(True, status_code=reply.status)


__all__ = [
    "ClientDeleteRequest",
    "ClientDeleteResponse",
    "ClientReadRequest",
    "ClientRegistrationRequest",
    "ClientRegistrationResponse",
    "ClientUpdateRequest",
    "build_client_metadata",
    "build_registration_request",
    "build_update_request",
    "delete_client",
    "parse_deletion",
    "parse_registration",
    "read_client",
    "register_client",
    "registration_changes",
    "update_client",
]
