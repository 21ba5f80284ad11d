"""Metrics for Prometheus (extra ``[prometheus]``): a collector that asks validators, caches and stores when asked.

Where ``PROMETHEUS_MULTIPROC_DIR`` is set, nobody can ask the other processes: there each of them writes its numbers
into its own files of that directory, in the background, and ``MultiProcessCollector`` puts them together.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from .._core.base.fork_lock import Guard
from .._core.validation.meter import Durations
from .._fork import register_after_fork
from .._refusals import bounded
from ..exceptions import ConfigurationException
from ._metrics import METRICS, Labels, Metric, Reading, samples
from ._packages import package
from ._readings import Readings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client import Metric as Family

    from ._readings import AnyValidator

#: Seconds between two writings of a process in multi-process mode, unless told otherwise.
PUBLISH_EVERY = 1.0
#: What a gauge reads in a file when there is nothing to tell any more.
_NOTHING = {"min": float("inf"), "max": float("-inf"), "sum": 0.0}


class ValidatorCollector:
    """Show the metrics of validators, their caches and all stores to Prometheus.

    A validator is counted from the moment on when it is given to a collector. On the warm path that costs about a tenth
    of a microsecond; validators that nobody watches pay nothing.

    Args:
        validators: Validators of either API, and configurations of ``validate_token`` and ``validate_id_token``.
        registry: Where to register; None takes the default registry. In multi-process mode nothing is registered:
            a ``MultiProcessCollector`` reads the files.
        publish_every: Seconds between two writings in multi-process mode.

    Raises:
        ConfigurationException: ``prometheus-client`` is not installed (``extra_missing``), the registry has such a
            collector already (``collector_registered``), a value is no validator, or *publish_every* is no number.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from py_identity_model import TokenValidator
    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider, registry = EmbeddedProvider(), CollectorRegistry()
    >>> validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
    >>> collector = ValidatorCollector(validator, registry=registry)
    >>> _ = validator.validate(provider.mint(audience="api"))
    >>> labels = {"issuer": provider.issuer, "code": "valid"}
    >>> registry.get_sample_value("py_identity_model_validations_total", labels)
    1.0
    >>> collector.close()
    """

    def __init__(
        self,
        *validators: AnyValidator,
        registry: CollectorRegistry | None = None,
        publish_every: float = PUBLISH_EVERY,
    ) -> None:
        client = package("prometheus_client", "prometheus")
        seconds = bounded(publish_every, "publish_every", float, 0.01, 3600, unit="seconds")
        self._families = package("prometheus_client.core", "prometheus")
        values = package("prometheus_client.values", "prometheus").ValueClass
        self._readings = Readings(())
        self._files = _Files(values, self._readings, seconds) if values._multiprocess else None
        self._registry = None if self._files is not None else registry if registry is not None else client.REGISTRY
        self.watch(*validators)
        self._register()

    def _register(self) -> None:
        if self._registry is None:
            return
        try:
            self._registry.register(self)
        except ValueError:
            self._end()
            raise ConfigurationException(
                "The registry shows the metrics of another collector already",
                code="collector_registered",
                claim="registry",
                hint="one collector takes all validators: collector.watch(validator)",
            ) from None

    def watch(self, *validators: AnyValidator) -> None:
        """Show these validators too.

        Raises:
            ConfigurationException: One of them is no validator.
        """
        meters = self._readings.watch(*validators)
        for meter in meters:
            if self._files is not None and self._files.begin not in meter.listeners:
                meter.listeners = (*meter.listeners, self._files.begin)

    def describe(self) -> Iterable[Family]:
        """Return every metric without its values: a registry lets no two collectors have the same names."""
        return [self._family(metric) for metric in METRICS]

    def collect(self) -> Iterator[Family]:
        """Yield every metric as it reads now; nothing in multi-process mode, where the files tell."""
        if self._files is not None:
            return
        families: dict[Metric, Any] = {}
        for reading in self._readings.read():
            metric = reading.metric
            family = families.get(metric)
            if family is None:
                family = families[metric] = self._family(metric)
            _add(family, reading)
        yield from families.values()

    def _family(self, metric: Metric) -> Any:
        make = getattr(self._families, f"{metric.kind.capitalize()}MetricFamily")
        return make(metric.family, metric.help, labels=metric.labels)

    def publish(self) -> None:
        """Write the numbers of this process now, in multi-process mode; before a worker is stopped by force."""
        if self._files is not None:
            self._files.publish()

    def close(self) -> None:
        """Show nothing any more. What is counted already goes on being counted."""
        registry, self._registry = self._registry, None
        if registry is not None:
            registry.unregister(self)
        self._end()

    def _end(self) -> None:
        self._readings.close()
        if self._files is not None:
            self._files.close()


def _add(family: Any, reading: Reading) -> None:
    if isinstance(reading.value, Durations):
        counted = [(_bound(bound), number) for bound, number in samples(reading.value, reading.metric.bounds)]
        family.add_metric(reading.labels, counted, reading.value.seconds)
    else:
        family.add_metric(reading.labels, float(reading.value))


def _bound(bound: float) -> str:
    text: str = package("prometheus_client.utils", "prometheus").floatToGoString(bound)
    return text


class _Files:
    """Writes what a process reads into its files, again and again, from its first validation on.

    Args:
        values: What writes one number into the file of its kind.
        readings: What is written.
        seconds: Between two writings.
    """

    def __init__(self, values: Any, readings: Readings, seconds: float) -> None:
        self._values, self._readings, self._seconds = values, readings, seconds
        self._lock = Guard()
        self._numbers: dict[tuple[Metric, str, Labels], Any] = {}
        self._rest()
        atexit.register(self._publish_last)
        forked = WeakMethod(self._rest)
        register_after_fork(lambda: None if (rest := forked()) is None else rest())

    def _rest(self) -> None:
        """Have no thread; a forked child has none."""
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def begin(self, *_: object) -> None:
        """Begin to write in this process, if it does not yet.

        Not before: a thread in a process that is going to fork would be in the way.
        """
        if self._thread is None and not self._ended.is_set():
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="py-identity-model-metrics", daemon=True)
                    self._thread.start()

    def _work(self) -> None:
        ended = self._ended
        while not ended.wait(self._seconds):
            self.publish()

    def publish(self) -> None:
        """Write everything once."""
        with self._lock:
            written = set()
            for metric, labels, value in self._readings.read():
                for name, names, values, number in _numbers(metric, labels, value):
                    written.add((metric, name, values))
                    self._number(metric, name, names, values).set(number)
            for key, number in self._numbers.items():
                if key not in written and key[0].kind == "gauge":
                    number.set(_NOTHING[key[0].across])

    def _number(self, metric: Metric, name: str, names: Labels, values: Labels) -> Any:
        number = self._numbers.get((metric, name, values))
        if number is None:
            mode = {"multiprocess_mode": f"live{metric.across}"} if metric.kind == "gauge" else {}
            number = self._values(metric.kind, metric.family, name, names, values, metric.help, **mode)
            self._numbers[metric, name, values] = number
        return number

    def _publish_last(self) -> None:
        if self._thread is not None:
            self.publish()

    def close(self) -> None:
        """Write once more and end."""
        atexit.unregister(self._publish_last)
        self._publish_last()
        self._ended.set()
        if self._thread is not None:
            self._thread.join()


def _numbers(metric: Metric, labels: Labels, value: Any) -> Iterator[tuple[str, Labels, Labels, float]]:
    """Yield the numbers that a reading consists of in a file: name, names and values of labels, number."""
    if not isinstance(value, Durations):
        yield metric.full_name, metric.labels, labels, value
        return
    yield f"{metric.family}_sum", metric.labels, labels, value.seconds
    for bound, number in zip((*metric.bounds, float("inf")), value.counts, strict=True):
        yield f"{metric.family}_bucket", (*metric.labels, "le"), (*labels, _bound(bound)), number


__all__ = ["PUBLISH_EVERY", "ValidatorCollector"]
