"""What processes share about one user at one MCP server: where its tokens come from, and what was asked for."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from ..base.codec import Codec
from ..base.flow import Flow
from ..base.store import AnyStore, ask, digest_of
from ..client.held_tokens import LOGIN_KEPT, TOPIC
from ..login.client import LoginClient
from .clients import Registrations, given_credential, registered_credential
from .discovery import POLICY, EndpointsClient, Found
from .options import MCPOptions


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What was found out about a server. It holds no secret."""

    resource: str
    issuer: str
    #: Where the metadata of the authorization server is; None if it has none.
    address: str | None
    client_id: str
    auth_method: str | None
    algorithm: str
    #: The scopes that were asked for.
    asked: tuple[str, ...] = ()
    bound: bool = False
    #: Tells one login from the next.
    login: str = ""

    def is_of(self, found: Found) -> bool:
        """Tell whether it is about the same resource and authorization server."""
        return (self.resource, self.issuer) == (found.resource, found.issuer)


_KNOWN = Codec(Known, TOPIC)


class Logins:
    """The entry of one user at one server.

    Args:
        options: What the application says.
        store: What all processes share.
    """

    def __init__(self, options: MCPOptions, store: AnyStore) -> None:
        self._options, self._store = options, store
        client = options.client_id or options.client_metadata_url or ""
        self.key = digest_of("mcp server", options.server, options.kind, options.subject, client)
        self.turn_key = digest_of("mcp login", options.server, options.subject, client)

    def read(self) -> Flow[Known | None]:
        """Return what is known; None for nothing, and for what cannot be read.

        Raises:
            StoreException: The store is away.
        """
        return _KNOWN.decoded((yield from ask(self._store, lambda store: store.get(TOPIC, self.key))))

    def keep(self, client: LoginClient, found: Found, asked: tuple[str, ...], bound: bool) -> Flow[Known]:
        """Keep what a login was made with.

        Raises:
            StoreException: The store is away.
        """
        known = Known(
            found.resource,
            found.issuer,
            found.address,
            client.client_id,
            None if client.auth_method is None else str(client.auth_method),
            client.id_token_signed_response_alg,
            asked,
            bound,
            secrets.token_urlsafe(16),
        )
        value = _KNOWN.encoded(known)
        yield from ask(self._store, lambda store: store.put(TOPIC, self.key, value, LOGIN_KEPT))
        return known

    def forget(self) -> Flow[None]:
        """Forget the server, so that it is asked anew."""
        yield from ask(self._store, lambda store: store.delete(TOPIC, self.key))

    def client(self, known: Known) -> Flow[LoginClient | None]:
        """Return the client that a login was made with; None if its credential is not here.

        Raises:
            StoreException: The store is away.
        """
        credential = yield from self._credential(known)
        if credential is None:
            return None
        if known.auth_method == "none":
            credential |= {"client_secret": None}
        fields: dict[str, Any] = {
            **credential,
            "issuer": known.issuer,
            "auth_method": known.auth_method,
            "scope": "",
            "id_token_signed_response_alg": known.algorithm,
        }
        if known.address is None:
            return EndpointsClient(**fields)
        return LoginClient(discovery_address=known.address, discovery_policy=POLICY, **fields)

    def _credential(self, known: Known) -> Flow[dict[str, Any] | None]:
        options = self._options
        if options.client_id is not None:
            fits = known.client_id == options.client_id and known.issuer == (options.issuer or known.issuer)
            return given_credential(options, known.client_id) if fits else None
        if known.client_id == options.client_metadata_url:
            return given_credential(options, known.client_id)
        registered = yield from Registrations(self._store).at(known.issuer)
        fits = registered is not None and registered.client_id == known.client_id
        return registered_credential(registered) if registered is not None and fits else None


__all__ = ["Known", "Logins"]
