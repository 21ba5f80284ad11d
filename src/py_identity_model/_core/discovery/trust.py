"""What is known of an issuer's keys: where they are kept, how they are named, and what a source of them offers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException
from ...settings import Settings
from ..base.budget import FACTOR
from ..base.flow import Flow
from ..base.fork_lock import Guard
from ..base.urls import STRICT_ADDRESSES, AddressRules
from ..jose.key_set import KeySet

if TYPE_CHECKING:
    from ..base.store import AnyStore
    from ..cache.cache import Cache
    from .metadata import DiscoveryDocumentResponse
    from .shared_fetch import Kept

#: Callers of ``aio`` that may wait for it, per key set; they are tasks, and hold no thread.
WAITING_TASKS = 32


class _Caches:
    """Both caches, made when something is first to be kept: static keys need none. All views of the stores share it."""

    def __init__(self, name: str, settings: Settings, max_waiters: int) -> None:
        self._given = name, settings, max_waiters
        self._made: tuple[Cache[DiscoveryDocumentResponse], Cache[KeySet]] | None = None
        self._making = Guard()

    def made(self) -> tuple[Cache[DiscoveryDocumentResponse], Cache[KeySet]]:
        """Return the one of metadata and the one of keys."""
        found = self._made
        if found is None:
            with self._making:
                found = self._made = self._made or self._make(*self._given)
        return found

    def _make(
        self, name: str, settings: Settings, max_waiters: int
    ) -> tuple[Cache[DiscoveryDocumentResponse], Cache[KeySet]]:
        from ..cache.cache import LEASE_MARGIN, Cache  # what is given is kept nowhere

        blocks, lease_for = name == "sync", FACTOR * settings.http_timeout + LEASE_MARGIN
        discovery: Cache[DiscoveryDocumentResponse] = Cache(
            f"{name} discovery", maxsize=settings.disco_cache_max_entries, lease_for=lease_for
        )
        keys: Cache[KeySet] = Cache(
            f"{name} keys",
            maxsize=settings.jwks_cache_max_entries,
            lease_for=lease_for,
            max_waiters=max_waiters,
            bounds_followers=blocks,
        )
        return discovery, keys


class Stores:
    """The caches of one API, and how often they answered.

    Args:
        name: ``sync`` or ``aio``; caches of both APIs are separate.
        settings: Sizes, times to live, cooldown.
        shared: A store through which several processes fetch once.

    Raises:
        ConfigurationException: The store would let everyone who can write to it make a key trusted.
    """

    @explains_arguments
    def __init__(self, name: str, settings: Settings, shared: AnyStore | None = None) -> None:
        self.name = name
        self.settings = settings
        self.shared = shared
        if shared is not None and not getattr(shared, "authenticated", False):
            raise ConfigurationException(
                "Keys are shared through a store that authenticates what it gives out",
                code="store_unauthenticated",
                claim="store",
                expected="EncryptedStore(store, keys), or SqliteStore(path, encryption_key=...)",
                hint="else everyone who can write to the store could have a key of their own trusted",
            )
        #: Callers that may wait for keys at a time, per key set.
        self.max_waiters: int = settings.kid_miss_max_waiters if name == "sync" else WAITING_TASKS
        self._caches = _Caches(name, settings, self.max_waiters)
        #: Metadata, and key sets, by address.
        self.discovery: Cache[DiscoveryDocumentResponse]
        self.keys: Cache[KeySet]
        #: What providers said when a snapshot was made, by kind and address.
        self.snapshot: Mapping[tuple[str, str], Kept] = {}
        #: What tells the transport at hand from those that trust other servers.
        self.carrier: Hashable = None

    if not TYPE_CHECKING:  # a type checker would take any name for there

        def __getattr__(self, name: str) -> Any:
            if name not in ("discovery", "keys"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            self.discovery, self.keys = self._caches.made()
            return getattr(self, name)

    def own(self) -> Stores:
        """Return the same caches for one who may have a snapshot."""
        return copy(self)

    @explains_arguments
    def carried_by(self, carrier: Hashable) -> Stores:
        """Return the same caches for what *carrier* fetches, which is for nobody who uses another transport."""
        if carrier is None:
            return self
        view = copy(self)
        view.carrier = carrier
        return view


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CacheKey:
    """What a document is cached under: where it is, what it was allowed to look like, and who fetched it.

    :func:`cache_key` makes them, one object for equal parts. So every look-up on the warm path compares two addresses
    in memory, and hashes neither the rules nor the transport.
    """

    address: str
    rules: tuple[Any, ...]
    carrier: Hashable = None

    def __repr__(self) -> str:  # as events name it
        return self.address

    def __reduce__(self) -> tuple[Any, ...]:
        return cache_key, (self.address, self.rules, self.carrier)

    def fetched_by(self, carrier: Hashable) -> CacheKey:
        """Return the key of the same document, fetched by another transport."""
        return cache_key(self.address, self.rules, carrier)

    def in_words(self) -> str:
        """Return the key as text that is the same in every process."""
        # A CA bundle is known by its path in every process; clients of the application's own are not told apart there.
        carrier = self.carrier if isinstance(self.carrier, str | bool | None) else "own"
        return f"{self.address} {as_text(self.rules)} {carrier}"


def as_text(rules: Any) -> str:
    """Return rules in the same words in every process."""
    if isinstance(rules, tuple | list | set | frozenset):
        listed = [as_text(rule) for rule in rules]
        return f"({' '.join(sorted(listed) if isinstance(rules, set | frozenset) else listed)})"
    return repr(rules)


_keys: WeakValueDictionary[tuple[Any, ...], CacheKey] = WeakValueDictionary()
_keys_lock = Guard()


def cache_key(address: str, rules: tuple[Any, ...], carrier: Hashable = None) -> CacheKey:
    """Return the one key of these parts; it is forgotten when nothing uses it any more."""
    parts = address, rules, carrier
    with _keys_lock:
        found = _keys.get(parts)
        if found is None:
            found = _keys[parts] = CacheKey(address, rules, carrier)
    return found


class Trust(NamedTuple):
    """Keys at one time, and the issuer that its metadata names."""

    #: Whatever tells this state of the keys from any other, by identity.
    entry: object
    key_set: KeySet
    issuer: str | None
    #: When the fetch began, on the steady clock.
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class IssuerHealth:
    """How it stands with the keys of one issuer. Durations are seconds.

    Attributes:
        issuer: The issuer, or the address its keys come from.
        state: ``static``, ``fresh``, ``stale`` (still used), ``failing`` (nothing to use) or ``absent`` (not fetched).
        keys: Usable keys.
        age: Since they were fetched.
        last_error: Code and words of the last failure, None after a success.
        next_attempt: Until the next fetch of its own accord; None for static keys.
        refresh_in: Until a fetch can be forced.
        backchannel: Where the provider is reached in place of its public address, if it is.
        refuses_in: Until its tokens can no longer be verified, if the provider cannot be reached from now on: metadata
            and keys are used no longer. 0 where they cannot be now; None for static keys, and before the first fetch.
        waiting: Callers that wait until keys may be fetched again.
        key_set: Which of the issuer's key sets it is, where there are several.
    """

    issuer: str
    state: str
    keys: int = 0
    age: float | None = None
    last_error: str | None = None
    next_attempt: float | None = None
    refresh_in: float | None = None
    backchannel: str | None = None
    refuses_in: float | None = None
    waiting: int = 0
    key_set: str | None = None

    @property
    def usable(self) -> bool:
        """Whether tokens of this issuer can be verified right now."""
        return self.state in ("static", "fresh", "stale") and self.refuses_in != 0


class KeySource(Protocol):
    """What an issuer's trust needs to know about its keys."""

    refreshable: bool
    default_algorithms: tuple[str, ...]

    @property
    def address_rules(self) -> AddressRules:
        """What holds for addresses at the issuer, and how they are reached."""
        ...

    def peek(self, steady: float) -> object | None:
        """Return what identifies the keys in use, or None if there is something to decide first."""
        ...

    def ready(self, steady: float) -> Trust | None:
        """Return the keys that may be used without waiting for anything."""
        ...

    def current(self) -> Flow[Trust]:
        """Return the keys, fetching them if need be."""
        ...

    def newer(self, trust: Trust, *, patient: bool, login: bool = False) -> Flow[Trust | None]:
        """Return keys fetched after *trust*, or None if a fetch is not permitted soon enough."""
        ...

    def vouch(self) -> None:
        """Note that the keys made a good signature: they make room for others last."""
        ...

    def moved(self) -> Flow[Trust | None]:
        """Return keys that are elsewhere by now, or None."""
        ...

    def holds(self, steady: float) -> bool:
        """Tell whether there are keys to use, be they no longer fresh."""
        ...

    def facts(self, steady: float) -> dict[str, Any]:
        """Return what a refusal should say about the keys: ``age``, ``retry_after``."""
        ...

    def health(self, name: str, steady: float) -> IssuerHealth:
        """Tell how it stands."""
        ...


class StaticKeys:
    """Keys that were given."""

    refreshable = False
    address_rules = STRICT_ADDRESSES

    def __init__(self, key_set: KeySet, default_algorithms: tuple[str, ...], issuer: str | None = None) -> None:
        self.default_algorithms = default_algorithms
        self._trust = Trust(key_set, key_set, issuer)

    def peek(self, steady: float) -> object | None:
        """Return the one set there is."""
        return self._trust.entry

    def ready(self, steady: float) -> Trust | None:
        """Return the one set there is."""
        return self._trust

    def current(self) -> Flow[Trust]:
        """Return the one set there is."""
        yield from ()
        return self._trust

    def newer(self, trust: Trust, *, patient: bool, login: bool = False) -> Flow[Trust | None]:
        """Return None: there will be none."""
        yield from ()
        return None

    def vouch(self) -> None:
        """Do nothing: given keys stay."""

    def moved(self) -> Flow[Trust | None]:
        """Return None: there will be none."""
        yield from ()
        return None

    def holds(self, steady: float) -> bool:
        """Return True: given keys stay."""
        return True

    def facts(self, steady: float) -> dict[str, Any]:
        """Return nothing: static keys have no age."""
        return {}

    def health(self, name: str, steady: float) -> IssuerHealth:
        """Say static."""
        return IssuerHealth(name, "static", len(self._trust.key_set.keys))


__all__ = [
    "WAITING_TASKS",
    "CacheKey",
    "IssuerHealth",
    "KeySource",
    "StaticKeys",
    "Stores",
    "Trust",
    "as_text",
    "cache_key",
]
