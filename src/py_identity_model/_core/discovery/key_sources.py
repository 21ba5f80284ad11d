"""Where the keys of an issuer come from: given once, or fetched through the caches of an API."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ...exceptions import DiscoveryException, JwksException, NetworkException, printable
from ..base.flow import Flow, now
from ..base.response import answered
from ..base.urls import AddressRules, is_below, origin, parse_url
from ..cache.answers import Lead, RefreshCrowded, RefreshDenied
from ..cache.cache import Cache
from ..cache.entry import Entry, Fetched, Slot, SlotState
from ..cache.single_flight import PATIENCE, cached, cached_soon
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS
from ..jose.jwks import JwksRequest, JwksResponse, fetch_key_set, jwks_response
from ..jose.key_set import KeySet
from .fetch import fetch_metadata, metadata_key, parse_discovery_url
from .key_snapshot import Document, Kind
from .metadata import DiscoveryDocumentRequest, DiscoveryDocumentResponse, DiscoveryPolicy, with_backchannel
from .shared_fetch import Fetch, record, shared_fetch
from .trust import CacheKey, IssuerHealth, Stores, Trust, cache_key

T = TypeVar("T")

#: Status codes that say a key set is no longer where the metadata said.
_REDISCOVER_AFTER = (404, 410)
#: Seconds after which metadata is looked at anew because the key set it leads to lacks a key.
METADATA_DOUBTED_AFTER = 300.0
#: Seconds that a login waits at most for the next permitted look at the keys.
LOGIN_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where to begin: at the metadata, or at the key set itself."""

    discovery: str | None = None
    policy: DiscoveryPolicy = field(default_factory=DiscoveryPolicy)
    jwks_uri: str | None = None
    #: The issuers that the metadata may name; none means those that its address stands for.
    issuers: tuple[str, ...] = ()
    #: The issuer, if that is not where the metadata is: what is at its host is reached by the backchannel.
    issuer: str | None = None

    def rules_for(self, uri: str) -> AddressRules:
        """Return what holds for the key set behind *uri*: its way is the backchannel if it is at the issuer's host."""
        rules = AddressRules.of(self.policy)
        if rules.backchannel is None or self._is_home(uri) or is_below(uri, rules.backchannel):
            return rules
        return rules._replace(backchannel=None)

    def _is_home(self, uri: str) -> bool:
        homes = [home for home in (self.discovery, self.issuer) if home is not None]
        return not homes or origin(uri) in {origin(home) for home in homes}


@dataclass(frozen=True, slots=True)
class Carried:
    """What one issuer's keys are carried as to another process: nothing but what the provider publishes."""

    keys_key: CacheKey
    keys: Fetched[KeySet]
    discovery_key: CacheKey | None = None
    document: Fetched[DiscoveryDocumentResponse] | None = None


def receive(stores: Stores, carried: Carried, elapsed: float, steady: float) -> None:
    """Have *carried* in the caches, as if it had been fetched *elapsed* seconds ago; what is there already stays."""
    parts: list[tuple[Cache[Any], Any, Fetched[Any] | None]] = [
        (stores.keys, carried.keys_key, carried.keys),
        (stores.discovery, carried.discovery_key, carried.document),
    ]
    # A clock that was set back must not make anything younger.
    age = max(0.0, elapsed)
    for cache, key, fetched in parts:
        if fetched is None or fetched.fresh_for <= age:
            continue
        answer = cache.claim(key.fetched_by(stores.carrier), steady)
        if isinstance(answer, Lead):
            cache.settle(answer.lease, replace(fetched, fresh_for=fetched.fresh_for - age), steady)


def _left(entry: Entry[Any], steady: float) -> Fetched[Any]:
    return Fetched(
        entry.value,
        entry.fresh_until - steady,
        entry.revalidate_until - entry.fresh_until,
        entry.stale_until - entry.fresh_until,
        entry.etag,
    )


class RemoteKeys:
    """Keys behind an issuer's metadata, or behind a bare ``jwks_uri``."""

    refreshable = True
    default_algorithms: tuple[str, ...] = ASYMMETRIC_ALGORITHMS

    def __init__(self, stores: Stores, address: Address) -> None:
        self._stores = stores
        self._address = address
        begin = address.discovery
        self.address_rules = AddressRules.of(address.policy)
        self._key = discovery_key(begin, address.policy, stores, address.issuers) if begin is not None else None
        #: The metadata in use, and where it says that the keys are. One value, so that no thread sees half a change.
        self._place: tuple[Entry[DiscoveryDocumentResponse] | None, CacheKey | None] = (None, None)
        if address.jwks_uri is not None:
            self._place = None, self._keys_key(address.jwks_uri)
        #: That place, and what both caches know of it, which is looked at before the caches are asked.
        self._bound: tuple[object, Slot | None, Slot] = (None, None, Slot(None))

    @property
    def metadata_url(self) -> str | None:
        """Where the provider's metadata is; None for a bare ``jwks_uri``."""
        begin = self._address.discovery
        return None if begin is None else parse_discovery_url(begin).url

    @property
    def metadata(self) -> DiscoveryDocumentResponse | None:
        """The provider's metadata, as far as it was ever fetched."""
        document = self._place[0]
        return None if document is None else document.value

    def peek(self, steady: float) -> object | None:
        """Return the entry in use if it and the metadata that led to it are fresh."""
        place, behind, keys = self._bound
        entry, due = keys.ready
        if steady >= due or place is not self._place:
            return self._peek_anew(steady)
        if behind is not None:
            document, due = behind.ready
            if steady >= due or document is not self._place[0]:
                return self._peek_anew(steady)
            behind.hits += 1
            behind.used = True
        keys.hits += 1
        keys.used = True
        return entry

    def _peek_anew(self, steady: float) -> object | None:
        place = document, where = self._place
        if self._key is not None and self._stores.discovery.peek(self._key, steady) is not document:
            return None
        entry = self._stores.keys.peek(where, steady)
        keys = self._stores.keys.slot(where)
        behind = self._stores.discovery.slot(self._key) if self._key is not None else None
        if entry is not None and keys is not None and (behind is not None or self._key is None):
            self._bound = place, behind, keys
        return entry

    def ready(self, steady: float) -> Trust | None:
        """Return the keys if metadata and key set are both fresh in the caches."""
        document, where = self._place
        if self._key is not None:
            document = self._stores.discovery.look(self._key, steady)
            uri = document.value.jwks_uri if document is not None else None
            where = self._keys_key(uri) if uri is not None else None
        entry = self._stores.keys.look(where, steady) if where is not None else None
        return self._use(document, where, entry) if entry is not None else None

    def current(self) -> Flow[Trust]:
        """Return the keys, through both caches."""
        document, where = yield from self._locate()
        held = self._held(where, (yield from now()).steady)
        if held is not None:
            # Until the keys that new metadata leads to can be had, those from before go on being used.
            soon = yield from cached_soon(self._stores.keys, where, self._fetch(where))
            return self._use(document, where, soon) if soon is not None else held
        self._place = document, where
        try:
            entry = yield from cached(self._stores.keys, where, self._fetch(where), vouched=False)
        except NetworkException as error:
            elsewhere = (yield from self._elsewhere(where)) if _is_gone(error) else None
            if elsewhere is None:
                raise
            return elsewhere
        return self._use(document, where, entry)

    def vouch(self) -> None:
        """Have the entries in use count as such: a signature was good under them."""
        if self._key is not None:
            self._stores.discovery.vouch(self._key)
        if self._place[1] is not None:
            self._stores.keys.vouch(self._place[1])

    def newer(self, trust: Trust, *, patient: bool, login: bool = False) -> Flow[Trust | None]:
        """Return keys of a later fetch; unknown keys may wait for the next permitted one, bad signatures may not.

        A *login* waits longer, and beside the places of others: its number is bounded by the application.
        """
        document, where = self._place
        if where is None:
            return (yield from self.current())
        version = trust.entry.version if isinstance(trust.entry, Entry) else 0
        cooldown = self._stores.settings.kid_miss_refresh_cooldown
        # Waiting makes sense only for a refresh that will be allowed in time.
        patience = min(cooldown + 0.5, LOGIN_PATIENCE) if login else PATIENCE
        try:
            entry = yield from cached(
                self._stores.keys,
                where,
                self._fetch(where),
                newer_than=version,
                cooldown=cooldown,
                patience=patience if patient else 0.0,
                counted=not (login and patient),
                vouched=False,
            )
        except RefreshCrowded:
            if patient:  # whether the key is the issuer's cannot be told now
                raise
            return None
        except RefreshDenied:
            return None
        except NetworkException as error:
            elsewhere = (yield from self._elsewhere(where)) if _is_gone(error) else None
            if elsewhere is not None:
                return elsewhere
            if patient:  # whether an unknown key is the issuer's cannot be told now, which is no verdict on the token
                raise
            # The keys at hand are still good; that the provider cannot be reached is told as an event.
            return None
        return self._use(document, where, entry)

    def moved(self) -> Flow[Trust | None]:
        """Return the keys of another place, if metadata that is no longer young names one by now."""
        (document, where), steady = self._place, (yield from now()).steady
        if document is None or where is None or steady < document.fetched_at + METADATA_DOUBTED_AFTER:
            return None
        return (yield from self._elsewhere(where))

    def holds(self, steady: float) -> bool:
        """Tell whether there are keys to use, be they no longer fresh."""
        where = self._place[1]
        return where is not None and self._stores.keys.snapshot(where, steady).state in ("fresh", "stale")

    def facts(self, steady: float) -> dict[str, Any]:
        """Return the age of the set and when it may be fetched again."""
        where = self._place[1]
        if where is None:
            return {}
        snapshot = self._stores.keys.snapshot(where, steady)
        return {"age": snapshot.age or 0.0, "retry_after": snapshot.refresh_in}

    def carried(self, steady: float) -> Carried | None:
        """Return what another process needs to know to use the same keys; None while they are not fresh."""
        trust = self.ready(steady)
        document, where = self._place
        if trust is None or not isinstance(trust.entry, Entry) or where is None:
            return None
        return Carried(
            where.fetched_by(None),  # the other process has its own
            _left(trust.entry, steady),
            self._key.fetched_by(None) if self._key is not None else None,
            None if document is None else _left(document, steady),
        )

    def ask_anew(self) -> Flow[list[Document]]:
        """Ask the provider, whatever is known, and return what it says.

        Raises:
            NetworkException: It cannot be reached, or its answers are of no use.
        """
        begin, settings, said = self._address, self._stores.settings, []
        uri = begin.jwks_uri
        if begin.discovery is not None:
            address = begin.discovery
            found, kept = yield from record(
                lambda previous: fetch_metadata(address, begin.policy, settings, previous, begin.issuers)
            )
            said.append(Document("metadata", address, kept))
            uri = _uri_of(found.value, address)
        assert uri is not None
        where, rules = uri, begin.rules_for(uri)
        _, kept = yield from record(lambda previous: fetch_key_set(where, settings, previous, rules=rules))
        return [*said, Document("keys", where, kept)]

    def health(self, name: str, steady: float) -> IssuerHealth:
        """Tell of the key set, or of the metadata while there is no key set yet."""
        where = self._place[1]
        found = self._stores.keys.snapshot(where, steady) if where is not None else None
        if (found is None or found.state == "absent") and self._key is not None:
            behind = self._stores.discovery.snapshot(self._key, steady)
            if found is None or behind.failure is not None:
                found = behind._replace(state="absent" if behind.failure is None else "failing", entry=None, age=None)
        if found is None:
            return IssuerHealth(name, "absent", backchannel=self._address.policy.backchannel)
        return IssuerHealth(
            name,
            found.state,
            len(found.entry.value.keys) if found.entry is not None else 0,
            found.age,
            f"{found.failure.code}: {printable(found.failure.message)}" if found.failure is not None else None,
            found.next_attempt,
            found.refresh_in,
            self._address.policy.backchannel,
            self._refuses_in(found, steady),
            found.waiters,
        )

    def _refuses_in(self, found: SlotState, steady: float) -> float | None:
        """Return for how many seconds what is at hand may be used: the key set, and the metadata that leads to it."""
        if found.entry is None:
            return 0.0 if found.failure is not None else None
        until: float = found.entry.stale_until
        if self._key is not None:
            document = self._stores.discovery.snapshot(self._key, steady).entry
            until = min(until, document.stale_until if document is not None else steady)
        return max(0.0, until - steady)

    def _use(
        self, document: Entry[DiscoveryDocumentResponse] | None, where: CacheKey | None, entry: Entry[KeySet]
    ) -> Trust:
        """Note what is in use from now on: keys, and the metadata that led to them."""
        self._place = document, where
        return _trust(document, entry)

    def _held(self, where: CacheKey, steady: float) -> Trust | None:
        """Return the keys in use, if they come from another place than *where* and still count."""
        document, before = self._place
        if before is None or before == where:
            return None
        entry = self._stores.keys.snapshot(before, steady).entry
        return _trust(document, entry) if entry is not None and steady < entry.stale_until else None

    def _elsewhere(self, where: CacheKey) -> Flow[Trust | None]:
        """Return the keys that metadata leads to if they are not at *where*; a look at it anew is rationed."""
        if self._key is None:
            return None
        try:
            document, again = yield from self._locate()
            if again == where:
                document, again = yield from self._locate(refresh=True)
            if again == where:
                return None
            entry = yield from cached(self._stores.keys, again, self._fetch(again), vouched=False)
        except NetworkException:  # told as an event; what led here is what the caller hears of
            return None
        return self._use(document, again, entry)

    def _locate(self, *, refresh: bool = False) -> Flow[tuple[Entry[DiscoveryDocumentResponse] | None, CacheKey]]:
        if self._key is None:
            assert self._address.jwks_uri is not None
            return None, self._keys_key(self._address.jwks_uri)
        begin = self._address
        assert begin.discovery is not None
        # Nobody waits for the next permitted look: there is something else to answer with.
        entry = yield from discover(
            self._stores,
            begin.discovery,
            begin.policy,
            refresh=refresh,
            patience=0.0,
            vouched=False,
            issuers=begin.issuers,
        )
        return entry, self._keys_key(_uri_of(entry.value, begin.discovery))

    def _keys_key(self, uri: str) -> CacheKey:
        return cache_key(uri, self._address.rules_for(uri), self._stores.carrier)

    def _fetch(self, where: CacheKey) -> Callable[[Entry[KeySet] | None], Flow[Fetched[KeySet]]]:
        return _fetching(self._stores, where)


def _uri_of(metadata: DiscoveryDocumentResponse, address: str) -> str:
    if metadata.jwks_uri is None:
        raise DiscoveryException(
            "The provider's metadata names no jwks_uri",
            url=address,
            code="discovery_fields_missing",
            claim="jwks_uri",
        )
    return metadata.jwks_uri


def _trust(document: Entry[DiscoveryDocumentResponse] | None, entry: Entry[KeySet]) -> Trust:
    return Trust(entry, entry.value, document.value.issuer if document is not None else None, entry.started_at)


def _is_gone(error: NetworkException) -> bool:
    """Tell whether the provider says that its keys are no longer there: its metadata is worth a look then."""
    return isinstance(error, JwksException) and error.status_code in _REDISCOVER_AFTER


def discovery_key(address: str, policy: DiscoveryPolicy, stores: Stores, issuers: tuple[str, ...] = ()) -> CacheKey:
    """Return what a document is cached under: where it is, what it was allowed to look like, and who fetched it."""
    return cache_key(address, metadata_key(address, policy, issuers), stores.carrier)


def discover(
    stores: Stores,
    address: str,
    policy: DiscoveryPolicy,
    *,
    refresh: bool = False,
    patience: float = PATIENCE,
    vouched: bool = True,
    issuers: tuple[str, ...] = (),
) -> Flow[Entry[DiscoveryDocumentResponse]]:
    """Return a provider's metadata through the cache.

    Raises:
        NetworkException: It cannot be fetched or used.
    """
    key = discovery_key(address, policy, stores, issuers)

    def fetch(previous: Entry[DiscoveryDocumentResponse] | None) -> Flow[Fetched[DiscoveryDocumentResponse]]:
        return fetch_metadata(address, policy, stores.settings, previous, issuers)

    return (
        yield from cached(
            stores.discovery,
            key,
            _through_store(stores, "metadata", key, fetch),
            newer_than=stores.discovery.version(key) if refresh else None,
            cooldown=stores.settings.kid_miss_refresh_cooldown,
            patience=patience,
            vouched=vouched,
        )
    )


def _fetching(stores: Stores, key: CacheKey) -> Fetch[KeySet]:
    def fetch(previous: Entry[KeySet] | None) -> Flow[Fetched[KeySet]]:
        return fetch_key_set(key.address, stores.settings, previous, rules=AddressRules._make(key.rules))

    return _through_store(stores, "keys", key, fetch)


def _through_store(stores: Stores, what: Kind, key: CacheKey, fetch: Fetch[T]) -> Fetch[T]:
    """Return *fetch*, or what fetches once for all processes that share a store, or begins with a snapshot."""
    store, snapshot = stores.shared, stores.snapshot.get((what, key.address))
    if store is None and snapshot is None:
        return fetch
    named = f"{what} {key.in_words()}"
    return lambda previous: shared_fetch(store, named, fetch, previous, snapshot)


def key_set_at(stores: Stores, uri: str, rules: AddressRules, *, refresh: bool = False) -> Flow[Entry[KeySet]]:
    """Return the key set behind *uri* through the cache.

    Raises:
        NetworkException: It cannot be fetched or used.
    """
    key = cache_key(uri, rules, stores.carrier)
    return (
        yield from cached(
            stores.keys,
            key,
            _fetching(stores, key),
            newer_than=stores.keys.version(key) if refresh else None,
            cooldown=stores.settings.kid_miss_refresh_cooldown,
        )
    )


def discovery_document(
    stores: Stores, request: DiscoveryDocumentRequest, *, refresh: bool = False
) -> Flow[DiscoveryDocumentResponse]:
    """Answer ``get_discovery_document``: the caller's own copy of the metadata, or a failed response."""

    def flow() -> Flow[DiscoveryDocumentResponse]:
        policy = with_backchannel(request.policy, request.backchannel)
        entry = yield from discover(stores, request.address, policy, refresh=refresh)
        return deepcopy(entry.value)

    return (yield from answered(DiscoveryDocumentResponse, flow))


def key_set_document(stores: Stores, request: JwksRequest, *, refresh: bool = False) -> Flow[JwksResponse]:
    """Answer ``get_jwks``: the caller's own copy of the keys, or a failed response."""

    def flow() -> Flow[JwksResponse]:
        rules = AddressRules.of(request.policy)
        if request.backchannel is not None:
            https = {"require_https": rules.require_https, "allow_http_on_loopback": rules.allow_http_on_loopback}
            parse_url(request.backchannel, "backchannel", allow_query=False, **https)
            rules = rules._replace(backchannel=request.backchannel)
        entry = yield from key_set_at(stores, request.address, rules, refresh=refresh)
        return jwks_response(entry.value)

    return (yield from answered(JwksResponse, flow))


__all__ = [
    "Address",
    "Carried",
    "RemoteKeys",
    "discover",
    "discovery_document",
    "discovery_key",
    "key_set_at",
    "key_set_document",
    "receive",
]
