"""A client that registers itself once, and is the same client ever after (RFC 7591)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import msgspec

from ..._refusals import must_be
from ..base.codec import Codec
from ..base.flow import Flow, now
from ..base.scopes import Scopes
from ..base.secret import Secret
from ..base.store import MAX_LIFETIME, AnyStore, ask, digest_of
from ..client.held_tokens import TOPIC
from ..registration.registration import ClientRegistrationRequest, register_client
from .client import LoginClient, LoginServices, provider_metadata, unsupported


class ClientRegistrationOptions(TypedDict, total=False):
    """The fields of a :class:`ClientRegistrationRequest` that ``OAuthClient.register`` takes by keyword."""

    response_types: list[str] | None
    grant_types: list[str] | None
    application_type: str | None
    contacts: list[str] | None
    client_name: str | None
    logo_uri: str | None
    client_uri: str | None
    policy_uri: str | None
    tos_uri: str | None
    token_endpoint_auth_method: str | None
    scope: Scopes | None
    jwks: Mapping[str, Any] | None
    jwks_uri: str | None
    software_id: str | None
    software_version: str | None
    software_statement: str | Secret | None
    unchecked_metadata: Mapping[str, Any] | None
    leave_out: Collection[str]
    extra_metadata: dict[str, Any] | None
    initial_access_token: str | Secret | None
    backchannel: str | None
    allow_insecure_http: bool


class Registering(NamedTuple):
    """What is registered, and where it is remembered."""

    issuer: str
    redirect_uris: Sequence[str]
    options: Mapping[str, Any]
    store: AnyStore

    def __repr__(self) -> str:  # an initial access token may be among the options
        return f"Registering({self.issuer!r})"


class Registered(msgspec.Struct, frozen=True, array_like=True):
    """What the provider gave."""

    client_id: str
    client_secret: str | None = None
    auth_method: str | None = None
    #: In seconds since 1970; None if never.
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"Registered({self.client_id!r})"


_REGISTRATIONS = Codec(Registered, TOPIC)


def registered_client(what: Registering, services: LoginServices) -> Flow[LoginClient]:
    """Return the client that is registered already, or register it.

    Raises:
        PyIdentityModelException: The provider has no registration, or refuses.
        StoreException: The store is away: nobody is to register a second client.
    """
    if isinstance(what.redirect_uris, str) or not what.redirect_uris:
        raise must_be("redirect_uris", "a list that is not empty", None)
    key = digest_of("registration", what.issuer, *what.redirect_uris, _fingerprint(what.options))
    found = yield from _remembered(what, key)
    if found is None:
        made = yield from _register(what, services)
        yield from ask(what.store, lambda store: store.add(TOPIC, key, _REGISTRATIONS.encoded(made), MAX_LIFETIME))
        found = (yield from _remembered(what, key)) or made  # of several processes, one was first
    elif found.expires_at is not None and (yield from now()).wall >= found.expires_at:
        found = made = yield from _register(what, services)
        yield from ask(what.store, lambda store: store.put(TOPIC, key, _REGISTRATIONS.encoded(made), MAX_LIFETIME))
    scope = what.options.get("scope") or "openid"
    return LoginClient(
        issuer=what.issuer,
        client_id=found.client_id,
        client_secret=found.client_secret,
        auth_method=found.auth_method,
        redirect_uri=what.redirect_uris[0],
        scope=scope,
    )


def _remembered(what: Registering, key: str) -> Flow[Registered | None]:
    return _REGISTRATIONS.decoded((yield from ask(what.store, lambda store: store.get(TOPIC, key))))


def _fingerprint(options: Mapping[str, Any]) -> str:
    """Return what tells one registration from another; what entitles to register does not."""
    told = sorted((name, repr(value)) for name, value in options.items() if name != "initial_access_token")
    return digest_of(*(f"{name} {value}" for name, value in told))


def _register(what: Registering, services: LoginServices) -> Flow[Registered]:
    asked = LoginClient(issuer=what.issuer, client_id="unregistered")
    metadata = yield from provider_metadata(asked, services)
    if not metadata.registration_endpoint:
        raise unsupported("registration_endpoint", "registration", None)
    request = ClientRegistrationRequest(metadata.registration_endpoint, list(what.redirect_uris), **what.options)
    response = yield from register_client(request)
    response.raise_for_error()
    expires = response.client_secret_expires_at
    return Registered(
        response.client_id or "",
        response.client_secret,
        _method(response.metadata, response.client_secret),
        float(expires) if expires else None,
    )


def _method(metadata: Mapping[str, Any] | None, secret: str | None) -> str | None:
    named = (metadata or {}).get("token_endpoint_auth_method")
    return named if isinstance(named, str) else None if secret else "none"


__all__ = ["ClientRegistrationOptions", "Registering", "registered_client"]
