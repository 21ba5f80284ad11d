"""Metrics and traces for OpenTelemetry, against the real SDK; and nothing at all without one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from apis import ISSUER, Api, Provider
from py_identity_model._core.base import exchange_observers, store_records
from py_identity_model._core.base.exchange_observers import add_exchange_observer
from py_identity_model._core.base.flow import Reply, Request, get, send
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.meter import BOUNDS
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException, StoreException
from py_identity_model.integrations import opentelemetry as door
from py_identity_model.integrations._metrics import METRICS
from py_identity_model.integrations.opentelemetry import ValidatorTelemetry
from py_identity_model.stores import MemoryStore

KEY = SigningKey.generate("ES256", kid="k1")


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


class Telemetry:
    """The SDK with everything in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """Return what a metric shows now, by its attributes."""
        data = self.reader.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return {frozenset((point.attributes or {}).items()): point for one in found for point in one.data.data_points}

    def value(self, name: str, **attributes: Any) -> float | None:
        """Return one number of our own metrics."""
        point = self.points(f"py_identity_model.{name}").get(frozenset(attributes.items()))
        return None if point is None else point.value

    @property
    def spans(self) -> list[Any]:
        """What was traced so far."""
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    monkeypatch.setattr(door, "REUSED_FOR", 0.0)  # here one collection follows the other at once
    return Telemetry()


@pytest.fixture
def telemetry(sdk: Telemetry) -> Iterator[ValidatorTelemetry]:
    telemetry = ValidatorTelemetry(meter_provider=sdk.meters, tracer_provider=sdk.tracers)
    yield telemetry
    telemetry.close()


def tried(api: Api, validator: Any, *tokens: Any) -> None:
    for token in tokens:
        try:
            api.call(validator.validate, token)
        except PyIdentityModelException:
            pass


# ---- metrics


def test_metrics_have_the_names_of_prometheus(
    api: Api, provider: Provider, sdk: Telemetry, telemetry: ValidatorTelemetry, clock: Any
) -> None:
    """Counters and gauges read what a scrape would, under names and labels that an exporter turns into the same."""
    validator = api.validator(ISSUER, "api", http_client=provider, store=MemoryStore(clock=lambda: clock.wall))
    telemetry.watch(validator)
    telemetry.watch(validator)
    tried(api, validator, provider.token(), provider.token(), "no token")
    clock.advance(50)
    assert sdk.value("validations", issuer=ISSUER, code="valid") == 2
    assert sdk.value("validations", issuer="other", code="token_malformed") == 1
    assert sdk.value("keys_age", issuer=ISSUER) == 50
    assert sdk.value("refuses_in") == validator.health().refuses_in
    assert sdk.value("issuer_state", issuer=ISSUER, state="fresh") == 1
    assert (sdk.value("store_operations", engine="memory", topic="keys", operation="get", outcome="ok") or 0) >= 1
    data = sdk.reader.get_metrics_data()
    assert data
    shown = {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    for metric in METRICS:
        found = shown.get(f"py_identity_model.{metric.name}")
        if found is not None:
            assert found.unit == ("s" if metric.unit else "")
            assert all(set(point.attributes) == set(metric.labels) for point in found.data.data_points)
    (point,) = [
        one for key, one in sdk.points("py_identity_model.validation_duration").items() if ("path", "careful") in key
    ]
    assert (point.count, tuple(point.explicit_bounds)) == (2, BOUNDS)


def test_fetches_follow_the_conventions(
    api: Api, provider: Provider, sdk: Telemetry, telemetry: ValidatorTelemetry, clock: Any
) -> None:
    """A cold validation has one span per fetch, and no validation has one; durations have the same attributes."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    telemetry.watch(validator)
    tried(api, validator, *[provider.token()] * 5, "no token")
    assert [span.attributes["url.full"] for span in sdk.spans] == [
        ISSUER + "/.well-known/openid-configuration",
        ISSUER + "/jwks",
    ]
    for span in sdk.spans:
        assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.CLIENT, StatusCode.UNSET)
        assert span.instrumentation_scope.name == "py_identity_model"
        assert {name: value for name, value in span.attributes.items() if name != "url.full"} == {
            "http.request.method": "GET",
            "server.address": "id.example.com",
            "server.port": 443,
            "url.scheme": "https",
            "http.response.status_code": 200,
        }
    ((attributes, point),) = sdk.points("http.client.request.duration").items()
    assert point.count == 2
    assert dict(attributes)["http.response.status_code"] == 200
    assert "url.full" not in dict(attributes)


def test_a_fetch_that_fails(
    api: Api, provider: Provider, sdk: Telemetry, telemetry: ValidatorTelemetry, clock: Any
) -> None:
    """A status of failure, and an exception, become ``error.type`` and the status of the span."""
    replies: list[Any] = [Reply(500), Reply(500), ConnectionRefusedError("no"), ConnectionRefusedError("no")]

    def fail(request: Request) -> Reply | None:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        assert isinstance(reply, Reply)
        return reply

    provider.fail = fail
    validator = api.validator(ISSUER, "api", http_client=provider)
    tried(api, validator, provider.token())
    clock.advance(60)
    tried(api, validator, provider.token())
    kinds = [span.attributes["error.type"] for span in sdk.spans]
    assert kinds[:2] == ["500", "500"]
    assert len(kinds) >= 3
    assert "500" not in kinds[2:]
    assert all(span.status.status_code == StatusCode.ERROR for span in sdk.spans)
    assert all(span.status.description is None for span in sdk.spans)


def test_a_span_belongs_to_the_request_at_hand(
    api: Api, provider: Provider, sdk: Telemetry, telemetry: ValidatorTelemetry, clock: Any
) -> None:
    """A fetch is a child of the span that was current, and is current itself while it lasts."""
    tracer = sdk.tracers.get_tracer("application")
    seen: list[Any] = []

    def look(request: Request) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)

    provider.fail = look  # type: ignore[assignment] # it answers nothing
    validator = api.validator(ISSUER, "api", http_client=provider)
    with tracer.start_as_current_span("request") as outer:
        tried(api, validator, provider.token())
        assert trace.get_current_span() is outer
    fetches = sdk.spans[:-1]
    assert [span.context.span_id for span in fetches] == seen
    assert {span.parent.span_id for span in fetches} == {outer.get_span_context().span_id}


def test_no_trace_context_is_sent(
    api: Api, provider: Provider, sdk: Telemetry, telemetry: ValidatorTelemetry, clock: Any
) -> None:
    """A provider does not learn which request of ours made us ask."""
    sent: list[str] = []

    def look(request: Request) -> None:
        sent.extend(name for name, _ in request.headers)

    provider.fail = look  # type: ignore[assignment] # it answers nothing
    with sdk.tracers.get_tracer("application").start_as_current_span("request"):
        tried(api, api.validator(ISSUER, "api", http_client=provider), provider.token())
    assert sent
    assert not {"traceparent", "tracestate", "baggage"} & {name.lower() for name in sent}


def test_queries_are_not_told(perform: Any, sdk: Telemetry, telemetry: ValidatorTelemetry) -> None:
    """What an address carries behind its question mark stays out of spans."""
    perform(send(get("https://id.example.com/x?secret=1#2")), Reply(200))
    (span,) = sdk.spans
    assert span.attributes["url.full"] == "https://id.example.com/x"


def test_operations_of_stores(
    api: Api, provider: Provider, sdk: Telemetry, telemetry: ValidatorTelemetry, clock: Any
) -> None:
    """Operations of stores are told by the conventions for databases, failures with their code."""

    class Broken(MemoryStore):
        engine = f"broken {api.name}"

        def changes(self, topic: str, cursor: str | None = None) -> Any:
            raise StoreException("gone", code="store_unavailable")

    validator = api.validator(ISSUER, "api", http_client=provider, store=Broken(clock=lambda: clock.wall))
    tried(api, validator, provider.token())
    told = [dict(key) for key in sdk.points("db.client.operation.duration")]
    mine = [one for one in told if one["db.system.name"] == Broken.engine]
    assert {
        "db.system.name": Broken.engine,
        "db.namespace": "revocations",
        "db.operation.name": "changes",
        "error.type": "store_unavailable",
    } in mine
    assert {"db.system.name": Broken.engine, "db.namespace": "keys", "db.operation.name": "get"} in mine


def test_hosts_are_bounded(perform: Any, sdk: Telemetry, telemetry: ValidatorTelemetry, monkeypatch: Any) -> None:
    """Hosts that tokens can name, where a template lets them, do not become series without end."""
    monkeypatch.setattr(door, "MAX_HOSTS", 2)
    for number in range(5):
        perform(send(get(f"https://t{number}.example.com/")), Reply(200))
    hosts = {dict(key)["server.address"] for key in sdk.points("http.client.request.duration")}
    assert hosts == {"t0.example.com", "t1.example.com", "other"}


def test_one_collection_reads_once(
    provider: Provider, sdk: Telemetry, telemetry: ValidatorTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callbacks of one collection share a reading; the next collection has one of its own."""
    monkeypatch.setattr(door, "REUSED_FOR", 3600.0)
    telemetry.watch(Api("sync").validator(ISSUER, "api", http_client=provider))
    reads: list[Any] = []
    read = telemetry._readings.read
    monkeypatch.setattr(telemetry._readings, "read", lambda: reads.append(1) or read())
    sdk.reader.get_metrics_data()
    assert len(reads) == 1
    telemetry._reused_until = 0.0
    sdk.reader.get_metrics_data()
    assert len(reads) == 2


# ---- what it leaves alone


def test_closed_means_closed(api: Api, provider: Provider, sdk: Telemetry, clock: Any) -> None:
    """After it was closed nothing is told any more, and nobody is listened to."""
    telemetry = ValidatorTelemetry(meter_provider=sdk.meters, tracer_provider=sdk.tracers)
    validator = api.validator(ISSUER, "api", http_client=provider)
    telemetry.watch(validator)
    telemetry.close()
    tried(api, validator, provider.token())
    assert sdk.spans == []
    assert sdk.value("validations", issuer=ISSUER, code="valid") is None
    assert validator._metered().listeners == ()
    assert (exchange_observers._observers, store_records._listeners) == ((), ())


def test_fetches_can_be_left_to_others(api: Api, provider: Provider, sdk: Telemetry, clock: Any) -> None:
    """Where the HTTP client is instrumented already, there is no second span."""
    telemetry = ValidatorTelemetry(meter_provider=sdk.meters, tracer_provider=sdk.tracers, fetches=False)
    tried(api, api.validator(ISSUER, "api", http_client=provider), provider.token())
    telemetry.close()
    assert sdk.spans == []
    assert sdk.points("http.client.request.duration") == {}


def test_an_observer_that_fails_harms_nobody(driver: Any, caplog: Any) -> None:
    """Whatever an observer raises, at the beginning or at the end, the exchange is what it was."""

    def fails(request: Request) -> Any:
        raise ValueError("s3cr3t")

    def ends_badly(request: Request) -> Any:
        def ended(reply: Any, error: Any) -> None:
            raise KeyError("s3cr3t")

        return ended

    def indifferent(request: Request) -> None:
        return None

    heard: list[Any] = []

    def hears(request: Request) -> Any:
        return lambda reply, error: heard.append((reply, error))

    before = exchange_observers._observers
    try:
        for observer in (fails, ends_badly, indifferent, hears):
            add_exchange_observer(observer)
        reply, _ = driver(send(get("https://id.example.com/")), Reply(204))
        assert reply.status == 204
        with pytest.raises(ZeroDivisionError):
            driver(send(get("https://id.example.com/")), ZeroDivisionError())
    finally:
        exchange_observers._observers = before
    assert heard[0] == (reply, None)
    assert isinstance(heard[1][1], ZeroDivisionError)
    assert caplog.text.count("exchange observer failed") == 4
    assert "s3cr3t" not in caplog.text


def test_without_an_sdk_nothing_happens() -> None:
    """With the API package alone, validations and fetches go on, and nothing is told."""
    program = (
        "import sys\n"
        "sys.modules['opentelemetry.sdk'] = None\n"
        "from py_identity_model import TokenValidator\n"
        "from py_identity_model.integrations.opentelemetry import ValidatorTelemetry\n"
        "assert 'opentelemetry' not in sys.modules\n"
        "from py_identity_model.testing import EmbeddedProvider\n"
        "provider = EmbeddedProvider('https://id.example.com')\n"
        "validator = TokenValidator(provider.issuer, audience='api', http_client=provider.transport)\n"
        "telemetry = ValidatorTelemetry(validator)\n"
        "for _ in range(3):\n"
        "    validator.validate(provider.mint(audience='api'))\n"
        "telemetry.close()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without opentelemetry-api the line is told that installs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationException) as failed:
        ValidatorTelemetry()
    assert (failed.value.code, failed.value.hint) == ("extra_missing", "pip install 'py-identity-model[opentelemetry]'")


def test_only_validators_are_watched() -> None:
    """Anything else is refused by name."""
    with pytest.raises(ConfigurationException, match="TokenValidator"):
        ValidatorTelemetry("https://id.example.com")  # type: ignore[arg-type] # that is the point
