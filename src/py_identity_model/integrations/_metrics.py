"""The table of metrics: what each is called and tells, and how values of several validators or processes become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from .._core.base import store_records
from .._core.validation import meter as meters
from .._core.validation.meter import Durations

#: What every name begins with.
PREFIX: Final = "py_identity_model"


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


def samples(value: Durations, bounds: tuple[float, ...]) -> list[tuple[float, int]]:
    """Return a histogram's bounds with the number of durations up to each; the last bound is infinite."""
    total, found = 0, []
    for bound, number in zip((*bounds, float("inf")), value.counts, strict=True):
        total += number
        found.append((bound, total))
    return found


__all__ = ["METRICS", "PREFIX", "Labels", "Metric", "Reading", "Value", "samples", "since", "together"]
