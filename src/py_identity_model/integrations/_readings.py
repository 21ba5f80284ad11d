"""What each metric reads at this moment.

Nothing here is told by those who work; it is asked of them when somebody looks. Labels come from the library and its
configuration, never from a token, and each has a bounded number of values.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakMethod

from .._core.base.fork_lock import Guard
from .._core.base.store_records import circuit_of, every_store
from .._core.validation import meter as meters
from .._core.validation.config import TokenValidationConfig, metered
from .._core.validation.meter import VALID, Durations, Meter
from .._fork import register_after_fork
from .._refusals import must_be
from .._token_validator import TokenValidatorBase
from .._validator_health import ValidatorHealth
from ..observability import Event, add_observer, remove_observer
from ._metrics import (
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_REFRESHES,
    EVENTS,
    FETCH_FAILURES,
    ISSUER_REFUSES_IN,
    ISSUER_STATE,
    KEYS,
    KEYS_AGE,
    MARKS,
    MARKS_AGE,
    REFUSES_IN,
    STORE_ANSWER_AGE,
    STORE_CIRCUIT,
    STORE_OPERATIONS,
    STORE_SECONDS,
    STORE_UP,
    USABLE,
    VALIDATION_SECONDS,
    VALIDATIONS,
    WAITING,
    Labels,
    Metric,
    Reading,
    Value,
    since,
    together,
)

if TYPE_CHECKING:
    from ..aio._validation import TokenValidator as AsyncTokenValidator
    from ..sync._validation import TokenValidator

    #: A validator of either API, or the configuration of ``validate_token``.
    AnyValidator: TypeAlias = TokenValidator | AsyncTokenValidator | TokenValidationConfig

STATES: Final = ("fresh", "stale", "failing", "absent", "static")
#: Names of events that are told apart.
MAX_EVENTS: Final = 200
#: Events that are shown before there are any, so that the first of them is seen as a rise.
ALARMING: Final = (
    *("cache_refresh_failed", "cache_stale_served", "cache_recovered", "store_away", "store_back", "store_memory_new"),
    *("store_value_unreadable", "revocations_unheard", "tokens_revoked", "key_ambiguous", "background_failed"),
)


class _Found(dict[tuple[Metric, Labels], Value]):
    """Readings so far; a second value for the same labels is put together with the first."""

    def note(self, metric: Metric, value: Value | None, *labels: str) -> None:
        if value is None:
            return
        before = self.get((metric, labels))
        self[metric, labels] = value if before is None else together(metric, before, value)


class Readings:
    """Reads the metrics of some validators, and of the caches and stores that they use.

    A forked child counts from zero: what its parent did is the parent's to tell.

    Args:
        validators: The validators.

    Raises:
        ConfigurationException: One of them is none.
    """

    def __init__(self, validators: Iterable[AnyValidator]) -> None:
        self._validators: list[TokenValidator | AsyncTokenValidator] = []
        self._configs: list[TokenValidationConfig] = []
        self._lock = Guard()
        self._events: Counter[str] = Counter()
        self._failures: Counter[Labels] = Counter()
        self._base: dict[tuple[Metric, Labels], Value] = {}
        self.watch(*validators)
        add_observer(self._hear)
        forked = WeakMethod(self._begin_anew)
        register_after_fork(lambda: None if (begin := forked()) is None else begin())

    def watch(self, *validators: AnyValidator) -> list[Meter]:
        """Read these too; return what counts their validations.

        Raises:
            ConfigurationException: One of them is no validator.
        """
        strangers = [one for one in validators if not isinstance(one, TokenValidatorBase | TokenValidationConfig)]
        if strangers:
            expected = "TokenValidators of either API, or TokenValidationConfigs"
            raise must_be("validators", expected, type(strangers[0]).__name__)
        with self._lock:
            for one in validators:
                if isinstance(one, TokenValidationConfig):
                    self._configs += [] if any(one is known for known in self._configs) else [one]
                else:
                    self._validators += [] if one in self._validators else [one]
        return [_meter_of(one) for one in validators]

    def close(self) -> None:
        """Hear of no event any more."""
        remove_observer(self._hear)

    def read(self) -> list[Reading]:
        """Return what everything reads now."""
        base = self._base
        return [
            Reading(metric, labels, value if metric.kind == "gauge" else since(value, base.get((metric, labels))))
            for (metric, labels), value in self._read().items()
        ]

    def _begin_anew(self) -> None:
        self._base = {key: value for key, value in self._read().items() if key[0].kind != "gauge"}

    def _read(self) -> _Found:
        found = _Found()
        with self._lock:
            validators, configs = list(self._validators), list(self._configs)
            events, failures = dict(self._events), dict(self._failures)
        for config in configs:
            _read_meter(found, _meter_of(config))
        for validator in validators:
            meter = validator._metered()
            _read_health(found, validator.health(), meter)
            _read_meter(found, meter)
            tokens = validator.cache_info()
            if tokens.maxsize:
                _read_cache(found, f"{validator._stores.name} tokens", tokens.hits, tokens.misses)
        # Validators share caches: each is read once.
        stores = [validator._stores for validator in validators]
        for cache in {id(cache): cache for store in stores for cache in (store.discovery, store.keys)}.values():
            info = cache.info()
            _read_cache(found, cache.name, info.hits, info.misses, cache.refreshes)
        _read_stores(found)
        for labels, number in failures.items():
            found.note(FETCH_FAILURES, number, *labels)
        for event, number in {**dict.fromkeys(ALARMING, 0), **events}.items():
            found.note(EVENTS, number, event)
        return found

    def _hear(self, event: Event) -> None:
        with self._lock:
            known = event.name in self._events or len(self._events) < MAX_EVENTS
            self._events[event.name if known else meters.OTHER] += 1
            if event.name == "cache_refresh_failed":
                self._failures[(*_named(event.facts["cache"]), str(event.facts["code"]))] += 1


def _meter_of(one: AnyValidator) -> Meter:
    return metered(one, time.perf_counter) if isinstance(one, TokenValidationConfig) else one._metered()


def _named(cache: str) -> Labels:
    api, _, name = cache.partition(" ")
    return api, name


def _read_meter(found: _Found, meter: Meter) -> None:
    for labels, number in meter.outcomes().items():
        found.note(VALIDATIONS, number, *labels)
    for path, durations in meter.durations().items():
        found.note(VALIDATION_SECONDS, durations, path)


def _read_cache(found: _Found, name: str, hits: int, misses: int, refreshes: int | None = None) -> None:
    for metric, number in ((CACHE_HITS, hits), (CACHE_MISSES, misses), (CACHE_REFRESHES, refreshes)):
        found.note(metric, number, *_named(name))


def _read_health(found: _Found, health: ValidatorHealth, meter: Meter) -> None:
    found.note(USABLE, float(health.usable))
    found.note(REFUSES_IN, health.refuses_in)
    if health.marks is not None:
        found.note(MARKS, health.marks.count)
        found.note(MARKS_AGE, health.marks.look_age)
    for issuer in health.issuers:
        label = meter.label(issuer.issuer)
        # Series that are there from the beginning, so that the first of something is seen as a rise.
        found.note(VALIDATIONS, 0, label, VALID)
        for state in STATES:
            found.note(ISSUER_STATE, float(issuer.state == state), label, state)
        found.note(KEYS, issuer.keys, label)
        found.note(KEYS_AGE, issuer.age, label)
        found.note(ISSUER_REFUSES_IN, issuer.refuses_in, label)
        found.note(WAITING, issuer.waiting, label)


def _read_stores(found: _Found) -> None:
    steady = time.monotonic()
    for store, record in every_store():
        health = record.health(steady, circuit_of(store), None)
        engine = health.engine
        found.note(STORE_UP, None if health.reachable is None else float(health.reachable), engine)
        found.note(STORE_ANSWER_AGE, health.answer_age, engine)
        found.note(STORE_CIRCUIT, None if health.circuit_open is None else float(health.circuit_open), engine)
        for operation, number in record.counts().items():
            found.note(STORE_OPERATIONS, number, engine, *operation)
        for topic, (*counts, seconds) in record.durations().items():
            found.note(STORE_SECONDS, Durations(tuple(map(int, counts)), seconds), engine, topic)


__all__ = ["STATES", "Readings"]
