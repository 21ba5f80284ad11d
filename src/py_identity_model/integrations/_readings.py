"""What is measured: one table of metrics, and what each of them reads at this moment.

Nothing here is told by those who work; it is asked of them when somebody looks. Labels come from the library and its
configuration, never from a token, and each has a bounded number of values.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias
from weakref import WeakMethod

from .._core.base import store_records
from .._core.base.fork_lock import Guard
from .._core.base.store_records import circuit_of, every_store
from .._core.validation import meter as meters
from .._core.validation.config import TokenValidationConfig, metered
from .._core.validation.meter import VALID, Durations, Meter
from .._fork import register_after_fork
from .._refusals import must_be
from .._token_validator import TokenValidatorBase, ValidatorHealth
from ..observability import Event, add_observer, remove_observer

if TYPE_CHECKING:
    from ..aio._validation import TokenValidator as AsyncTokenValidator
    from ..sync._validation import TokenValidator

    #: A validator of either API, or the configuration of ``validate_token``.
    AnyValidator: TypeAlias = TokenValidator | AsyncTokenValidator | TokenValidationConfig

#: What every name begins with.
PREFIX: Final = "py_identity_model"
STATES: Final = ("fresh", "stale", "failing", "absent", "static")
#: Names of events that are told apart.
MAX_EVENTS: Final = 200
#: Events that are shown before there are any, so that the first of them is seen as a rise.
ALARMING: Final = (
    *("cache_refresh_failed", "cache_stale_served", "cache_recovered", "store_away", "store_back", "store_memory_new"),
    *("store_value_unreadable", "revocations_unheard", "tokens_revoked", "key_ambiguous", "background_failed"),
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured.

    Attributes:
        name: Without prefix, unit and suffix.
        kind: ``counter``, ``gauge`` or ``histogram``.
        help: What it tells.
        labels: The names of its labels.
        unit: ``seconds``, or nothing.
        across: How the values of several validators, or processes, become one.
        bounds: The upper bounds of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    across: Literal["sum", "min", "max"] = "sum"
    bounds: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        """The name by the conventions of Prometheus, without the ``_total`` of a counter."""
        return "_".join(part for part in (PREFIX, self.name, self.unit) if part)

    @property
    def full_name(self) -> str:
        """The name by the conventions of Prometheus, as it is asked for."""
        return self.family + ("_total" if self.kind == "counter" else "")


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "counter", text, labels)


def _gauge(name: str, across: Literal["sum", "min", "max"], text: str, *labels: str, unit: str = "") -> Metric:
    return Metric(name, "gauge", text, labels, unit, across)


VALIDATIONS = _counter("validations", "Tokens judged: valid, or the code of the refusal.", "issuer", "code")
VALIDATION_SECONDS = Metric(
    "validation_duration",
    "histogram",
    "How long validations took; on the warm path a sample that stands for all.",
    ("path",),
    "seconds",
    bounds=meters.BOUNDS,
)
CACHE_HITS = _counter("cache_hits", "Look-ups that a cache answered.", "api", "cache")
CACHE_MISSES = _counter("cache_misses", "Look-ups that a cache could not answer.", "api", "cache")
CACHE_REFRESHES = _counter("cache_refreshes", "Entries that a newer fetch replaced.", "api", "cache")
FETCH_FAILURES = _counter("fetch_failures", "Fetches of metadata and keys that failed.", "api", "cache", "code")
EVENTS = _counter("events", "Events by name, as observers hear them.", "event")
USABLE = _gauge("usable", "min", "1 while tokens of every issuer can be verified, 0 while some cannot.")
REFUSES_IN = _gauge("refuses_in", "min", "Until tokens are refused, if what is away stays away.", unit="seconds")
ISSUER_REFUSES_IN = _gauge(
    "issuer_refuses_in", "min", "Until tokens of an issuer are refused, if it stays away.", "issuer", unit="seconds"
)
ISSUER_STATE = _gauge("issuer_state", "sum", "Validators that have the keys in this state.", "issuer", "state")
KEYS = _gauge("keys", "min", "Usable keys of an issuer.", "issuer")
KEYS_AGE = _gauge("keys_age", "max", "Since the keys of an issuer were fetched.", "issuer", unit="seconds")
WAITING = _gauge("waiting_callers", "sum", "Callers that wait until keys may be fetched again.", "issuer")
STORE_OPERATIONS = _counter(
    "store_operations",
    "Operations of stores: ok, or the code of the failure.",
    "engine",
    "topic",
    "operation",
    "outcome",
)
STORE_SECONDS = Metric(
    "store_operation_duration",
    "histogram",
    "How long operations of stores took.",
    ("engine", "topic"),
    "seconds",
    bounds=store_records.BOUNDS,
)
STORE_UP = _gauge("store_up", "min", "1 if the store answered when it was asked last, 0 if not.", "engine")
STORE_ANSWER_AGE = _gauge("store_answer_age", "max", "Since the last answer of the store.", "engine", unit="seconds")
STORE_CIRCUIT = _gauge("store_circuit_open", "max", "1 while the store is left in peace for a while.", "engine")
MARKS = _gauge("revocation_marks", "max", "Revocations that are known.")
MARKS_AGE = _gauge("revocation_look_age", "max", "Since the store last said what was revoked.", unit="seconds")

#: All of them, in the order of the documentation.
METRICS: Final = (
    *(VALIDATIONS, VALIDATION_SECONDS, USABLE, REFUSES_IN, ISSUER_REFUSES_IN, ISSUER_STATE, KEYS, KEYS_AGE, WAITING),
    *(CACHE_HITS, CACHE_MISSES, CACHE_REFRESHES, FETCH_FAILURES, EVENTS),
    *(STORE_OPERATIONS, STORE_SECONDS, STORE_UP, STORE_ANSWER_AGE, STORE_CIRCUIT, MARKS, MARKS_AGE),
)

Value: TypeAlias = float | Durations
Labels: TypeAlias = tuple[str, ...]


class Reading(NamedTuple):
    """What a metric reads for some values of its labels."""

    metric: Metric
    labels: Labels
    value: Value


class _Found(dict[tuple[Metric, Labels], Value]):
    """Readings so far; a second value for the same labels is put together with the first."""

    def note(self, metric: Metric, value: Value | None, *labels: str) -> None:
        if value is None:
            return
        before = self.get((metric, labels))
        self[metric, labels] = value if before is None else together(metric, before, value)


def together(metric: Metric, one: Value, other: Value) -> Value:
    """Return what two values of a metric become."""
    if isinstance(one, Durations) and isinstance(other, Durations):
        counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
        return Durations(counts, one.seconds + other.seconds)
    assert not isinstance(one, Durations)
    assert not isinstance(other, Durations)
    unite: dict[str, Callable[[float, float], float]] = {"sum": lambda a, b: a + b, "min": min, "max": max}
    return unite[metric.across](one, other)


def since(value: Value, base: Value | None) -> Value:
    """Return what was counted after *base*; all of it where the count began anew."""
    if base is None:
        return value
    if isinstance(value, Durations) and isinstance(base, Durations):
        counts = tuple(a - b for a, b in zip(value.counts, base.counts, strict=True))
        return value if min(counts) < 0 else Durations(counts, value.seconds - base.seconds)
    assert not isinstance(value, Durations)
    assert not isinstance(base, Durations)
    return value if value < base else value - base


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


def samples(value: Durations, bounds: tuple[float, ...]) -> list[tuple[float, int]]:
    """Return a histogram's bounds with the number of durations up to each; the last bound is infinite."""
    total, found = 0, []
    for bound, number in zip((*bounds, float("inf")), value.counts, strict=True):
        total += number
        found.append((bound, total))
    return found


__all__ = [
    "METRICS",
    "PREFIX",
    "STATES",
    "Labels",
    "Metric",
    "Reading",
    "Readings",
    "Value",
    "samples",
    "since",
    "together",
]
