"""Tokens of sessions: the token manager's, under a name that only the session knows, sealed under that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..base.flow import Flow
from ..base.store import AnyStore, ask
from ..client.held_tokens import LOGIN, TOPIC, Asking, Held
from ..client.token_renewal import Granted, Renewal
from ..login.client import LoginClient
from ..login.complete import Returned, complete_login
from ..login.oauth_grants import Wants, asking_of
from ..login.oauth_verbs import OAuthVerbs
from ..login.response import LoginResponse
from .sealing import Seal, key_of

Transport = TypeVar("Transport")


class SessionTokens(OAuthVerbs[Transport]):
    """The part of a provider's client that serves sessions."""

    #: Returns a store that seals under a key; None where tokens are not kept.
    seal: Seal | None = None
    #: Hears of each renewal, and for which entry of the store it was.
    on_renewal: Callable[[str], None] | None = None

    def _store_of(self, asking: Asking) -> AnyStore:
        store = super()._store_of(asking)
        if self.seal is None or asking.grant != LOGIN:
            return store
        return self.seal(store, key_of("tokens", asking.subject))

    def _probe(self) -> Flow[None]:
        """Ask the store whether it takes what is not sealed only where something is not: a DPoP key."""
        if self.seal is None or self._wants_key:
            yield from super()._probe()

    def _renewal(self, client: LoginClient, asking: Asking, wants: Wants) -> Renewal:
        renewal = super()._renewal(client, asking, wants)
        tell = self.on_renewal
        if tell is None:
            return renewal
        how = renewal.ask

        def telling(held: Held | None) -> Flow[Granted]:
            granted = yield from how(held)
            tell(asking.entry)
            return granted

        return renewal._replace(ask=telling)

    def entry_of(self, name: str) -> Flow[str]:
        """Return where the tokens of a session are, as a digest that opens nothing."""
        return asking_of((yield from self._prepared()), Wants(subject=name)).entry

    def completed(self, returned: Returned, name: str, *, keeping: bool) -> Flow[LoginResponse]:
        """Complete a login; its tokens are kept under *name*, if any are."""
        if keeping:
            return (yield from self._complete_login_flow(returned, name))
        client = yield from self._prepared()
        return (yield from complete_login(client, returned, self._services()))

    def taken(self, name: str) -> Flow[tuple[str, str] | None]:
        """Forget the tokens of a session; return the one to revoke, and its kind.

        Raises:
            StoreException: The store cannot answer.
        """
        held = yield from self._forget(self._subject_asking((yield from self._prepared()), name))
        if held is None:
            return None
        if held.refresh_token is not None:
            return held.refresh_token, "refresh_token"
        token = next((one.access_token for one in held.tokens.values()), None)
        return None if token is None else (token, "access_token")

    def forgotten(self, entry: str) -> Flow[None]:
        """Forget the tokens of a session.

        Raises:
            StoreException: The store cannot answer.
        """
        yield from ask(self._store, lambda store: store.delete(TOPIC, entry))
        self._manager.forget(entry)


__all__ = ["SessionTokens"]
