"""Metrics and traces for OpenTelemetry (extra ``[opentelemetry]``): the API package only, whatever the SDK is.

Metrics have the names and labels that they have in Prometheus, so that the dashboard and the alerts fit either way.
Fetches are told by the semantic conventions for HTTP clients, operations of stores by those for databases. A span is
made for each fetch, and never for a validation. No trace context is sent to providers: it is nobody's business there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from .._core.base.exchange_observers import Ended, add_exchange_observer, remove_exchange_observer
from .._core.base.flow import Reply, Request
from .._core.base.store_records import Operation, add_operation_listener, remove_operation_listener
from .._core.base.transport import bare
from .._core.validation.meter import OTHER, Durations
from ._metrics import METRICS, PREFIX, VALIDATION_SECONDS, Metric, Reading
from ._packages import package
from ._readings import Readings

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

    from ._readings import AnyValidator

#: The version of the semantic conventions that attributes are named after.
SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"
#: The bounds that the conventions advise for exchanges, and for operations of databases, in seconds.
HTTP_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
STORE_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
#: Hosts that are told apart in metrics.
MAX_HOSTS: Final = 100
#: Seconds for which the callbacks of one collection share what was read.
REUSED_FOR = 0.05
_PORTS = {"https": 443, "http": 80}


class ValidatorTelemetry:
    """Show the metrics of validators, their caches and all stores to OpenTelemetry, and trace what is fetched.

    Without an SDK all of it does nothing.

    Args:
        validators: Validators of either API, and configurations of ``validate_token`` and ``validate_id_token``.
        meter_provider: What takes the metrics; by default the global one.
        tracer_provider: What takes the spans; by default the global one.
        fetches: Whether HTTP exchanges of the library, all that there are, get spans and durations; not where the HTTP
            client is instrumented already.

    Raises:
        ConfigurationException: ``opentelemetry-api`` is not installed (``extra_missing``), or a value is no validator.

    >>> from py_identity_model import TokenValidator
    >>> telemetry = ValidatorTelemetry(TokenValidator("https://id.example.com", audience="api"))
    >>> telemetry.close()
    """

    def __init__(
        self,
        *validators: AnyValidator,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        fetches: bool = True,
    ) -> None:
        self._metrics = package("opentelemetry.metrics", "opentelemetry")
        about = PREFIX, _version()
        meter = self._metrics.get_meter(*about, meter_provider, schema_url=SCHEMA)
        self._readings = Readings(())
        self._closed = False
        self._last: list[Reading] = []
        self._reused_until = 0.0
        self._heard: list[Any] = []
        self._durations = self._histogram(meter, VALIDATION_SECONDS)
        self._operations = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of operations of stores.",
            explicit_bucket_boundaries_advisory=STORE_BOUNDS,
        )
        self._instruments = [self._instrument(meter, metric) for metric in METRICS if metric.kind != "histogram"]
        self.watch(*validators)
        add_operation_listener(self._operation)
        self._fetches = None
        if fetches:
            tracer = package("opentelemetry.trace", "opentelemetry").get_tracer(
                *about, tracer_provider, schema_url=SCHEMA
            )
            self._fetches = _Fetches(meter, tracer)
            add_exchange_observer(self._fetches.began)

    def watch(self, *validators: AnyValidator) -> None:
        """Show these validators too.

        Raises:
            ConfigurationException: One of them is no validator.
        """
        for meter in self._readings.watch(*validators):
            if self._validated not in meter.listeners:
                meter.listeners = (*meter.listeners, self._validated)
                self._heard.append(meter)

    def close(self) -> None:
        """Show and trace nothing any more."""
        self._closed = True
        self._readings.close()
        remove_operation_listener(self._operation)
        if self._fetches is not None:
            remove_exchange_observer(self._fetches.began)
        for meter in self._heard:
            meter.listeners = tuple(one for one in meter.listeners if one != self._validated)

    def _histogram(self, meter: Any, metric: Metric) -> Any:
        return meter.create_histogram(
            f"{PREFIX}.{metric.name}", "s", metric.help, explicit_bucket_boundaries_advisory=metric.bounds
        )

    def _instrument(self, meter: Any, metric: Metric) -> Any:
        create = getattr(meter, f"create_observable_{metric.kind}")
        unit = "s" if metric.unit else ""
        return create(f"{PREFIX}.{metric.name}", [partial(self._observe, metric)], unit, metric.help)

    def _observe(self, metric: Metric, _: CallbackOptions) -> Iterator[Observation]:
        if self._closed:
            return
        for read, labels, value in self._read():
            if read is metric and not isinstance(value, Durations):
                yield self._metrics.Observation(value, dict(zip(metric.labels, labels, strict=True)))

    def _read(self) -> list[Reading]:
        """Return what everything reads; the callbacks of one collection, which come in a row, share it."""
        if time.monotonic() >= self._reused_until:
            self._last = self._readings.read()
        self._reused_until = time.monotonic() + REUSED_FOR
        return self._last

    def _validated(self, seconds: float, path: str, _: int) -> None:
        self._durations.record(seconds, {"path": path})

    def _operation(self, engine: str, operation: Operation, seconds: float) -> None:
        about = {"db.system.name": engine, "db.namespace": operation.topic, "db.operation.name": operation.name}
        if operation.outcome != "ok":
            about["error.type"] = operation.outcome
        self._operations.record(seconds, about)


def _version() -> str:
    try:
        return version("py-identity-model")
    except PackageNotFoundError:  # run from its sources
        return ""


class _Fetches:
    """Traces HTTP exchanges by the semantic conventions for clients."""

    def __init__(self, meter: Any, tracer: Any, clock: Callable[[], float] = time.perf_counter) -> None:
        self._trace = package("opentelemetry.trace", "opentelemetry")
        self._context = package("opentelemetry.context", "opentelemetry")
        self._tracer, self._clock = tracer, clock
        self._hosts: set[str] = set()
        self._durations = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=HTTP_BOUNDS,
        )

    def began(self, request: Request) -> Ended:
        """Begin a span; what is returned ends it."""
        about = _attributes(request)
        full = {**about, "url.full": bare(request.url)}
        span = self._tracer.start_span(request.method, kind=self._trace.SpanKind.CLIENT, attributes=full)
        token = self._context.attach(self._trace.set_span_in_context(span))
        began = self._clock()

        def ended(reply: Reply | None, error: BaseException | None) -> None:
            self._context.detach(token)
            told = _outcome(reply, error)
            span.set_attributes(told)
            if "error.type" in told:
                span.set_status(self._trace.StatusCode.ERROR)
            span.end()
            self._durations.record(self._clock() - began, {**about, **told, **self._bounded(about["server.address"])})

        return ended

    def _bounded(self, host: str) -> dict[str, str]:
        """Return what takes the place of a host that is one too many: tokens can name hosts, where a template may."""
        if host in self._hosts or len(self._hosts) < MAX_HOSTS:
            self._hosts.add(host)
            return {}
        return {"server.address": OTHER}


def _attributes(request: Request) -> dict[str, Any]:
    parts = urlsplit(request.url)
    return {
        "http.request.method": request.method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or _PORTS.get(parts.scheme, 0),
        "url.scheme": parts.scheme,
    }


def _outcome(reply: Reply | None, error: BaseException | None) -> dict[str, Any]:
    if reply is None:
        return {"error.type": str(getattr(error, "code", type(error).__name__))}
    told: dict[str, Any] = {"http.response.status_code": reply.status}
    return {**told, "error.type": str(reply.status)} if reply.status >= 400 else told


__all__ = ["ValidatorTelemetry"]
