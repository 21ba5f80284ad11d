"""The client at an authorization server, by the order of the specification, and registered anew at every other one.

MCP 2026-07-28, Client Registration: given by the application; its metadata document, where the authorization server
takes one; registered dynamically (RFC 7591), once, for all who share the store; asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ..._refusals import must_be, refused
from ...exceptions import ConfigurationException, printable
from ..base.codec import Codec
from ..base.flow import Flow, now, resolve
from ..base.secret import exposed
from ..base.store import MAX_LIFETIME, AnyStore, ask, digest_of
from ..client.held_tokens import TOPIC
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS
from ..login.client import LoginClient
from ..registration.registration import ClientRegistrationRequest, ClientRegistrationResponse, register_client
from .discovery import POLICY, EndpointsClient, Found
from .options import AUTHORIZATION_CODE, MCPOptions, Means

#: How a registered client proves who it is, the preferred way first: a program on a user's machine keeps no secrets.
PREFERRED: Final = ("none", "client_secret_basic", "client_secret_post")
_SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post", "client_secret_jwt"})


class Registration(msgspec.Struct, frozen=True, array_like=True):
    """A client that was registered, or that the user entered."""

    client_id: str
    client_secret: str | None = None
    auth_method: str | None = None
    #: In seconds since 1970; None if never.
    expires_at: float | None = None
    #: Where it was registered to be redirected to.
    redirect_uri: str | None = None

    def __repr__(self) -> str:
        return f"Registration({self.client_id!r})"


_REGISTRATIONS = Codec(Registration, TOPIC)


class Registrations:
    """The registered clients in a store, one for each authorization server."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store

    def at(self, issuer: str) -> Flow[Registration | None]:
        """Return the client that is registered with *issuer*, None if there is none that is still good.

        Raises:
            StoreException: The store is away: nobody is to register a second client.
        """
        data = yield from ask(self._store, lambda store: store.get(TOPIC, _key(issuer)))
        found = _REGISTRATIONS.decoded(data)
        if found is None:
            return None
        over = found.expires_at is not None and (yield from now()).wall >= found.expires_at
        return None if over else found

    def keep(self, issuer: str, made: Registration) -> Flow[Registration]:
        """Keep a client, unless another process was first; return the one that is kept."""
        value = _REGISTRATIONS.encoded(made)
        if (yield from ask(self._store, lambda store: store.add(TOPIC, _key(issuer), value, MAX_LIFETIME))):
            return made
        found = yield from self.at(issuer)
        if found is not None:
            return found
        yield from ask(self._store, lambda store: store.put(TOPIC, _key(issuer), value, MAX_LIFETIME))
        return made

    def forget(self, issuer: str) -> Flow[None]:
        """Forget the client that *issuer* does not know any more."""
        yield from ask(self._store, lambda store: store.delete(TOPIC, _key(issuer)))


def _key(issuer: str) -> str:
    return digest_of("mcp client", issuer)


# ---------------------------------------------------------------------------------------------------------------------
# The order


def client_at(found: Found, options: MCPOptions, means: Means, redirect_uri: str | None = None) -> Flow[LoginClient]:
    """Return the client for an authorization server.

    Args:
        found: The server and its authorization server.
        options: What the application says.
        means: What the API at hand has.
        redirect_uri: Where the browser comes back to; None for a grant without one.

    Raises:
        ConfigurationException: There is none, and no way to get one; the ``code`` is ``client_unregistered``.
        TokenRequestException: The authorization server refuses to register one.
        StoreException: The store is away.
    """
    if options.client_id is not None:
        return login_client(found, given_credential(options, options.client_id), redirect_uri)
    url = options.client_metadata_url
    if url is not None and found.metadata.client_id_metadata_document_supported is True:
        return login_client(found, given_credential(options, url), redirect_uri)
    known = Registrations(means.store)
    registered = yield from known.at(found.issuer)
    if registered is None:
        registered = yield from known.keep(found.issuer, (yield from _new(found, options, redirect_uri)))
    return login_client(found, registered_credential(registered), redirect_uri)


def given_credential(options: MCPOptions, client_id: str) -> dict[str, Any]:
    """Return the fields of a client that the application has."""
    secret = options.client_secret if client_id == options.client_id else None
    return {"client_id": client_id, "client_secret": secret, "private_key_jwt": options.private_key_jwt}


def registered_credential(registered: Registration) -> dict[str, Any]:
    """Return the fields of a client that was registered."""
    return {
        "client_id": registered.client_id,
        "client_secret": registered.client_secret,
        "auth_method": registered.auth_method,
    }


def login_client(found: Found, credential: Mapping[str, Any], redirect_uri: str | None = None) -> LoginClient:
    """Return the client of an authorization server with a credential."""
    fields: dict[str, Any] = {
        "issuer": found.issuer,
        "redirect_uri": redirect_uri,
        "scope": "",
        "id_token_signed_response_alg": _algorithm(found.metadata.id_token_signing_alg_values_supported),
        **_usable(credential, found.metadata.token_endpoint_auth_methods_supported),
    }
    if found.address is None:
        return EndpointsClient(**fields)
    return LoginClient(discovery_address=found.address, discovery_policy=POLICY, **fields)


def _algorithm(offered: Sequence[str] | None) -> str:
    usable = [alg for alg in ("RS256", *ASYMMETRIC_ALGORITHMS) if offered is None or alg in offered]
    return usable[0] if usable else "RS256"


def _usable(credential: Mapping[str, Any], offered: Sequence[str] | None) -> dict[str, Any]:
    """Return a credential without a secret that the authorization server gives to all, and then takes from nobody."""
    fields = dict(credential)
    public = fields.get("auth_method") is None and offered is not None and "none" in offered
    if fields.get("auth_method") == "none" or (public and not _SECRET_METHODS & {*(offered or ())}):
        fields |= {"client_secret": None, "auth_method": None if fields.get("private_key_jwt") else "none"}
    return fields


def _new(found: Found, options: MCPOptions, redirect_uri: str | None) -> Flow[Registration]:
    if found.metadata.registration_endpoint and redirect_uri is not None and options.kind == AUTHORIZATION_CODE:
        return (yield from _registered(found, options, redirect_uri))
    if options.ask is None:
        raise refused(
            ConfigurationException,
            "client_unregistered",
            f"There is no client for {printable(found.issuer)}, which registers none",
            "client_id",
            "a client that is registered there",
            hint="give client_id and issuer, or ask=, which asks the user for them",
        )
    entered = yield from resolve(options.ask(found.issuer))
    if not isinstance(entered, tuple) or len(entered) != 2 or not isinstance(entered[0], str) or not entered[0]:
        raise must_be("ask", "a function that returns client_id and client_secret", type(entered).__name__)
    client_id, secret = entered
    return Registration(client_id, None if secret is None else exposed(secret))


def _registered(found: Found, options: MCPOptions, redirect_uri: str) -> Flow[Registration]:
    method = _method(found.metadata.token_endpoint_auth_methods_supported)
    request = ClientRegistrationRequest(
        found.metadata.registration_endpoint or "",
        [redirect_uri],
        client_name=options.client_name,
        # OpenID Connect Registration 2: left out, it is "web", whose redirect addresses are no loopback ones.
        application_type="native",
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method=method,
    )
    response = yield from register_client(request)
    response.raise_for_error()
    return _registration(response, redirect_uri)


def _registration(response: ClientRegistrationResponse, redirect_uri: str) -> Registration:
    named = (response.metadata or {}).get("token_endpoint_auth_method")
    expires = response.client_secret_expires_at
    return Registration(
        response.client_id,
        response.client_secret,
        named if isinstance(named, str) else None if response.client_secret else "none",
        float(expires) if expires else None,
        redirect_uri,
    )


def _method(offered: Sequence[str] | None) -> str:
    usable = [method for method in PREFERRED if offered is None or method in offered]
    if usable:
        return usable[0]
    raise refused(
        ConfigurationException,
        "client_auth_unsupported",
        "The authorization server takes no client that registers itself",
        "token_endpoint_auth_methods_supported",
        list(PREFERRED),
        ", ".join(offered or ()),
    )


__all__ = [
    "Registration",
    "Registrations",
    "client_at",
    "given_credential",
    "login_client",
    "registered_credential",
]
