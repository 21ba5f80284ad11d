"""Logins under way: one record for each, so that any number of tabs can log in at once and come back in any order.

What ties a login to its browser is a cookie with a random value. The logins of a browser share it, and it goes away by
itself when none of them can come back any more. Tabs that begin together, before any of them has the cookie, get one
each under names of their own; whichever comes back counts.

========  ====================================================  ========  ============================================
state     event                                                 next      what the browser gets
========  ====================================================  ========  ============================================
none      a login begins                                        begun     the provider's page
begun     a response to another browser                         begun     a page that leads to a new login
begun     its time is over                                      none
begun     a response to its own browser, good or not            used      the session, or why there is none
used      the same response again: reload, back button          used      where it had led to, or a new login
used      the same response from another browser                used      a page; and an alarm: it was stolen
none      a response                                            none      a page that leads to a new login
========  ====================================================  ========  ============================================
"""

from __future__ import annotations

import secrets
import zlib
from typing import NamedTuple

import msgspec

from ...exceptions import AuthorizeCallbackException
from ..base.base64url import b64url_decode, b64url_encode
from ..base.codec import Codec
from ..base.flow import Flow, now
from ..base.secret import same_text
from ..base.store import AnyStore, ask, digest_of
from ..login.transaction import TOPIC, LoginTransaction, binding_digest, store_key
from .cookies import Cookies
from .messages import Headers, WebRequest
from .records import is_id
from .sealing import CookieSealer, Seal, key_of

#: The kind of cookie that ties logins to a browser, and how many of them are kept.
KIND = "login"
MAX_BINDINGS = 24
#: Logins under way in one browser that has them in sealed cookies: all of them fit into the header of any server.
MAX_SEALED = 4
#: Characters of a whole login that is sealed into a cookie.
_MAX_SEALED_COOKIE = 1800


class Claimed(NamedTuple):
    """A login that came back to its browser.

    Attributes:
        transaction: What was remembered.
        binding: What the browser brought.
        headers: For the response.
    """

    transaction: LoginTransaction
    binding: str | None
    headers: Headers = ()

    def __repr__(self) -> str:
        return "Claimed()"


class StaleLogin(Exception):  # an outcome between two modules; nobody else sees it
    """A response that completes no login.

    Attributes:
        code: Why, as a stable code.
        destination: Where its login had led to, if that is known and it is the same browser.
        stolen: Whether a login that was used already came back to another browser.
    """

    def __init__(self, code: str, destination: str | None = None, *, stolen: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.destination = destination
        self.stolen = stolen


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A login as the store has it; without its transaction it was used."""

    binding: str
    destination: str
    transaction: str | None = None


_LOGINS = Codec(_Kept, TOPIC)


def destination_of(transaction: LoginTransaction) -> str:
    """Return where the user wanted to go."""
    return str(transaction.data.get("next", "/"))


class StoredLogins:
    """Logins under way in a store.

    Args:
        store: The store.
        seal: Returns it with values sealed under a key.
        cookies: How cookies are set.
        lifetime: Seconds that a login may take.
        same_site: ``None`` where responses come as a form of another site.
    """

    def __init__(self, store: AnyStore, seal: Seal, cookies: Cookies, lifetime: float, same_site: str = "Lax") -> None:
        self._store, self._seal, self._cookies = store, seal, cookies
        self.lifetime: float = lifetime
        self._same_site = same_site

    def bind(self, request: WebRequest) -> tuple[str | None, Headers]:
        """Return what ties a new login to the browser, and the headers that keep it there."""
        known = self._brought(request)
        name, value = known[0] if known else self._new()
        surplus = tuple(self._cookies.clearing(other) for other, _ in known[MAX_BINDINGS:])
        return value, (self._cookies.setting(name, value, self.lifetime, same_site=self._same_site), *surplus)

    def _new(self) -> tuple[str, str]:
        return f"{self._cookies.named(KIND)}-{secrets.token_hex(4)}", secrets.token_urlsafe(32)

    def _brought(self, request: WebRequest) -> list[tuple[str, str]]:
        return [pair for pair in self._cookies.arrived(request, KIND) if is_id(pair[1])]

    def keep(self, request: WebRequest, transaction: LoginTransaction) -> Flow[Headers]:
        """Keep a login until it comes back.

        Raises:
            StoreException: The store cannot answer.
        """
        kept = _Kept(transaction.binding or "", destination_of(transaction), transaction.to_string())
        store, key = self._at(transaction.state)
        value = _LOGINS.encoded(kept)
        yield from ask(store, lambda one: one.put(TOPIC, key, value, self.lifetime))
        return ()

    def _at(self, state: str) -> tuple[AnyStore, str]:
        return self._seal(self._store, key_of("login", state)), store_key(state)

    def claim(self, request: WebRequest, state: str) -> Flow[Claimed]:
        """Take the login that *state* names, if it belongs to the browser: once.

        Raises:
            StaleLogin: There is none, it was used, or it was begun in another browser, where it goes on.
            StoreException: The store cannot answer.
        """
        store, key = self._at(state)
        raw = yield from ask(store, lambda one: one.get(TOPIC, key))
        kept = _LOGINS.decoded(raw)
        if raw is None or kept is None:
            raise StaleLogin("transaction_unknown")
        binding = self._own(request, kept)
        if kept.transaction is None:
            raise _used(kept, stolen=binding is None)
        if binding is None:
            raise StaleLogin("binding_mismatch")
        used = _LOGINS.encoded(_Kept(kept.binding, kept.destination))
        if not (yield from ask(store, lambda one: one.swap(TOPIC, key, raw, used, self.lifetime))):
            raise _used(kept, stolen=False)
        return Claimed(LoginTransaction.from_string(kept.transaction), binding)

    def _own(self, request: WebRequest, kept: _Kept) -> str | None:
        for _, value in self._brought(request)[: 2 * MAX_BINDINGS]:
            if same_text(binding_digest(value), kept.binding):
                return value
        return None


def _used(kept: _Kept, *, stolen: bool) -> StaleLogin:
    return StaleLogin("transaction_used", None if stolen else kept.destination, stolen=stolen)


class SealedLogins:
    """Logins under way in the cookies of their browser, sealed, a few of them.

    Args:
        sealer: Seals them.
        cookies: How cookies are set.
        lifetime: Seconds that a login may take.
        same_site: ``None`` where responses come as a form of another site.
    """

    def __init__(self, sealer: CookieSealer, cookies: Cookies, lifetime: float, same_site: str = "Lax") -> None:
        self._sealer, self._cookies = sealer, cookies
        self.lifetime: float = lifetime
        self._same_site = same_site

    def bind(self, request: WebRequest) -> tuple[str | None, Headers]:
        """Return nothing: the cookie with the login is what ties it to the browser."""
        return None, ()

    def _name(self, state: str) -> str:
        return f"{self._cookies.named(KIND)}-{digest_of('login cookie', state)[:8]}"

    def keep(self, request: WebRequest, transaction: LoginTransaction) -> Flow[Headers]:
        """Return the headers that keep a login; the oldest others give way, and those that are over."""
        wall = (yield from now()).wall
        name = self._name(transaction.state)
        value = self._sealed(name, transaction)
        if len(value) > _MAX_SEALED_COOKIE:  # a long way to go: the home page will do
            value = self._sealed(name, LoginTransaction.from_dict({**transaction.to_dict(), "data": {}}))
        others = [(other, self._opened(other, sealed)) for other, sealed in self._cookies.arrived(request, KIND)]
        kept = [(each.created_at, other) for other, each in others if each is not None and each.expires_at > wall]
        staying = {other for _, other in sorted(kept, reverse=True)[: MAX_SEALED - 1]}
        gone = tuple(self._cookies.clearing(other) for other, _ in others if other not in staying)
        return (self._cookies.setting(name, value, self.lifetime, same_site=self._same_site), *gone)

    def _sealed(self, name: str, transaction: LoginTransaction) -> str:
        packed = zlib.compress(transaction.to_string().encode(), 9)
        return b64url_encode(self._sealer.seal(TOPIC, name, packed))

    def _opened(self, name: str, value: str) -> LoginTransaction | None:
        try:
            packed = self._sealer.open(TOPIC, name, b64url_decode(value))
            return None if packed is None else LoginTransaction.from_string(zlib.decompress(packed))
        except (ValueError, zlib.error, AuthorizeCallbackException):  # no base64url, or of another version
            return None

    def claim(self, request: WebRequest, state: str) -> Flow[Claimed]:
        """Take the login that *state* names out of the browser's cookies.

        Raises:
            StaleLogin: There is none.
        """
        name = self._name(state)
        value = request.cookie(name)
        transaction = None if value is None else self._opened(name, value)
        if transaction is None or not same_text(transaction.state, state):
            raise StaleLogin("transaction_unknown")
        yield from ()
        return Claimed(transaction, None, (self._cookies.clearing(name),))


__all__ = [
    "KIND",
    "MAX_BINDINGS",
    "MAX_SEALED",
    "Claimed",
    "SealedLogins",
    "StaleLogin",
    "StoredLogins",
    "destination_of",
]
