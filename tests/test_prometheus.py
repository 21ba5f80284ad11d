"""Metrics for Prometheus: what a scrape shows, in one process and in several, and what it never shows."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics

from apis import ISSUER, Api, Provider
from py_identity_model import IssuerTemplate
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.meter import BOUNDS, Durations
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException, StoreException
from py_identity_model.integrations import _readings
from py_identity_model.integrations._metrics import METRICS, Metric, since, together
from py_identity_model.integrations.prometheus import ValidatorCollector
from py_identity_model.stores import MemoryStore

KEY = SigningKey.generate("ES256", kid="k1")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def collector(registry: CollectorRegistry) -> Iterator[ValidatorCollector]:
    collector = ValidatorCollector(registry=registry)
    yield collector
    collector.close()


def tried(api: Api, validator: Any, *tokens: Any) -> None:
    for token in tokens:
        try:
            api.call(validator.validate, token)
        except PyIdentityModelException:
            pass


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"py_identity_model_{name}", labels)


# ---- one process


def test_a_scrape_tells_the_story(
    api: Api, provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector, clock: Any
) -> None:
    """Validations, key age, caches and the time left are those of the validator, through outage and recovery."""
    name = api.name  # of its caches, in these tests
    validator = api.validator(ISSUER, "api", http_client=provider, cache_tokens=8)
    collector.watch(validator)
    assert value(registry, "validations_total", issuer=ISSUER, code="valid") == 0
    assert value(registry, "issuer_state", issuer=ISSUER, state="absent") == 1
    assert value(registry, "refuses_in_seconds") is None
    token = provider.token(exp=clock.wall + 7200)
    tried(api, validator, token, token, token, provider.token(aud="other"), "no token")
    clock.advance(100)
    assert value(registry, "validations_total", issuer=ISSUER, code="valid") == 3
    assert value(registry, "validations_total", issuer=ISSUER, code="audience_mismatch") == 1
    assert value(registry, "validations_total", issuer="other", code="token_malformed") == 1
    assert value(registry, "keys_age_seconds", issuer=ISSUER) == 100
    assert value(registry, "keys", issuer=ISSUER) == 1
    assert value(registry, "issuer_state", issuer=ISSUER, state="fresh") == 1
    assert value(registry, "refuses_in_seconds") == validator.health().refuses_in
    assert value(registry, "issuer_refuses_in_seconds", issuer=ISSUER) == validator.health().refuses_in
    assert value(registry, "usable") == 1
    assert value(registry, "waiting_callers", issuer=ISSUER) == 0
    assert value(registry, "cache_hits_total", api=name, cache="tokens") == validator.cache_info().hits
    assert value(registry, "cache_misses_total", api=name, cache="keys") == 1
    assert value(registry, "validation_duration_seconds_count", path="careful") in (2, 3)
    provider.fail = lambda request: Reply(503)
    clock.advance(validator.health().refuses_in)
    tried(api, validator, provider.token(exp=clock.wall + 60, iat=clock.wall))
    assert (value(registry, "usable"), value(registry, "refuses_in_seconds")) == (0, 0)
    assert value(registry, "fetch_failures_total", api=name, cache="discovery", code="discovery_status_unexpected") == 1
    assert value(registry, "events_total", event="cache_refresh_failed") >= 1
    provider.fail = lambda request: None
    clock.advance(60)
    tried(api, validator, provider.token(exp=clock.wall + 60, iat=clock.wall))
    assert value(registry, "usable") == 1
    assert value(registry, "cache_refreshes_total", api=name, cache="keys") == 1


def test_the_store_and_the_marks(
    api: Api, provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector, clock: Any
) -> None:
    """Operations and failures of a store are told by topic and engine, and whether it is there."""

    class Mine(MemoryStore):
        engine = f"mine {api.name}"  # told apart from those of other tests
        circuit_open = False
        away = False

        def changes(self, topic: str, cursor: str | None = None) -> Any:
            if self.away:
                raise StoreException("gone", code="store_unavailable")
            return super().changes(topic, cursor)

    store = Mine(clock=lambda: clock.wall)
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    collector.watch(validator)
    tried(api, validator, provider.token())
    api.call(validator.revoke, sub="eve")
    known = {"engine": Mine.engine, "topic": "revocations", "operation": "changes"}
    assert value(registry, "store_operations_total", **known, outcome="ok") == 1
    assert value(registry, "store_up", engine=Mine.engine) == 1
    assert value(registry, "store_circuit_open", engine=Mine.engine) == 0
    assert value(registry, "revocation_marks") == 1
    assert value(registry, "store_operation_duration_seconds_count", engine=Mine.engine, topic="keys") >= 2
    store.away = store.circuit_open = True
    clock.advance(5)
    tried(api, validator, provider.token())
    assert value(registry, "store_operations_total", **known, outcome="store_unavailable") == 1
    assert value(registry, "store_up", engine=Mine.engine) == 0
    assert value(registry, "store_circuit_open", engine=Mine.engine) == 1
    assert value(registry, "revocation_look_age_seconds") == 5
    assert value(registry, "refuses_in_seconds") == 55


def test_no_text_of_a_token_becomes_a_label(
    api: Api, provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector, clock: Any
) -> None:
    """Whatever issuers, key ids and claims strangers invent, the series stay the same."""
    template = IssuerTemplate("https://{tenant}.example.com", allowed=lambda tenant: True)
    validator = api.validator([ISSUER, template], "api", http_client=lambda request: Reply(404))
    collector.watch(validator)

    def forged(number: int) -> list[str]:
        evil = SigningKey.generate("ES256", kid=f"evil{number}")
        name = f"evil{number}"
        changes: list[dict[str, Any]] = [{"iss": f"https://{name}.example.com"}, {"sub": name}, {"aud": name}]
        return [provider.token(key=evil, **change) for change in changes] + [f"{name}.{name}.{name}"]

    tried(api, validator, *forged(0))
    before = open_metrics(registry).decode().count("\n")
    for number in range(1, 20):
        tried(api, validator, *forged(number))
        clock.advance(61)
    shown = open_metrics(registry).decode()
    assert "evil" not in shown
    assert shown.count("\n") <= before + 10


def test_several_validators_become_one(
    provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector, clock: Any
) -> None:
    """Counters of validators add up, the earliest refusal counts, and a cache that they share is read once."""
    from py_identity_model._core.discovery.trust import Stores
    from py_identity_model.settings import Settings

    one, stores = Api("sync"), Stores("sync", Settings())
    pair = [one.validator(ISSUER, "api", http_client=provider, stores=stores) for _ in range(2)]
    collector.watch(*pair)
    collector.watch(*pair)
    for validator in pair:
        tried(one, validator, provider.token(), provider.token())
    assert value(registry, "validations_total", issuer=ISSUER, code="valid") == 4
    assert value(registry, "issuer_state", issuer=ISSUER, state="fresh") == 2
    assert value(registry, "cache_misses_total", api="sync", cache="keys") == stores.keys.info().misses


def test_names_follow_the_conventions(
    provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector
) -> None:
    """Counters end in ``_total``, durations in ``_seconds``, names are unique, and promtool has no complaint."""
    api = Api("sync")
    validator = api.validator(ISSUER, "api", http_client=provider, store=MemoryStore())
    collector.watch(validator)
    tried(api, validator, provider.token(), "no token")
    families = list(collector.collect())
    for family in families:
        assert family.documentation.endswith(".")
        assert re.fullmatch(r"py_identity_model(_[a-z]+)+", family.name)
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total")
    assert len({metric.full_name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        timed = metric.name.endswith(("_age", "_in", "_duration"))
        assert timed == metric.full_name.endswith("_seconds") == (metric.unit == "seconds"), metric
    if shutil.which("promtool"):
        text = prometheus_client.generate_latest(registry)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_histograms_add_up(
    provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector, clock: Any
) -> None:
    """Buckets grow up to the count, and there is one for each bound."""
    api = Api("sync")
    validator = api.validator(ISSUER, "api", http_client=provider)
    collector.watch(validator)
    for _ in range(20):
        tried(api, validator, provider.token())
        clock.advance(1)
    (family,) = [one for one in collector.collect() if one.name.endswith("validation_duration_seconds")]
    warm = [sample for sample in family.samples if sample.labels["path"] == "warm" and "_bucket" in sample.name]
    counts = [sample.value for sample in warm]
    assert [float(sample.labels["le"]) for sample in warm] == [*BOUNDS, math.inf]
    assert counts == sorted(counts)
    assert counts[-1] == 19 == value(registry, "validation_duration_seconds_count", path="warm")
    assert 0 < (value(registry, "validation_duration_seconds_sum", path="warm") or 0) < 19


def test_registries(provider: Provider, clock: Any) -> None:
    """The default registry is taken where none is given, and a closed collector is gone from it and hears nothing."""
    api = Api("sync")
    validator = api.validator(ISSUER, "api", http_client=provider)
    collector = ValidatorCollector(validator)
    with pytest.raises(ConfigurationException) as failed:
        ValidatorCollector(validator)
    assert failed.value.code == "collector_registered"
    try:
        tried(api, validator, provider.token())
        assert value(prometheus_client.REGISTRY, "validations_total", issuer=ISSUER, code="valid") == 1
    finally:
        collector.close()
    collector.close()
    assert value(prometheus_client.REGISTRY, "validations_total", issuer=ISSUER, code="valid") is None


def test_the_same_metric_of_two_collectors(provider: Provider, clock: Any) -> None:
    """Two collectors with registries of their own watch one validator: each shows all of it."""
    api, registries = Api("sync"), [CollectorRegistry(), CollectorRegistry()]
    validator = api.validator(ISSUER, "api", http_client=provider)
    collectors = [ValidatorCollector(validator, registry=registry) for registry in registries]
    tried(api, validator, provider.token(), provider.token())
    for registry, collector in zip(registries, collectors, strict=True):
        assert value(registry, "validations_total", issuer=ISSUER, code="valid") == 2
        collector.close()


def test_wrong_arguments(registry: CollectorRegistry) -> None:
    """What is no validator, or no number of seconds, is refused by name."""
    for given, claim in (({"publish_every": 0}, "publish_every"), ({"publish_every": "1"}, "publish_every")):
        with pytest.raises(ConfigurationException) as failed:
            ValidatorCollector(registry=registry, **given)  # type: ignore[arg-type] # that is the point
        assert failed.value.claim == claim
    with pytest.raises(ConfigurationException, match="TokenValidator"):
        ValidatorCollector("https://id.example.com", registry=registry)  # type: ignore[arg-type] # that is the point


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prometheus-client the line is told that installs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationException) as failed:
        ValidatorCollector()
    assert (failed.value.code, failed.value.hint) == ("extra_missing", "pip install 'py-identity-model[prometheus]'")


def test_importing_the_library_loads_no_metrics() -> None:
    """``import py_identity_model`` loads no integration, and an integration no package before it is used."""
    probe = (
        "import sys, py_identity_model\n"
        "from py_identity_model import TokenValidator\n"
        "assert not [name for name in sys.modules if '.integrations' in name]\n"
        "import py_identity_model.integrations.prometheus\n"
        "assert 'prometheus_client' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)


# ---- values


def test_how_values_become_one() -> None:
    """Sums add, bounds take the extreme; what a child counts begins at its fork, also where a count began anew."""
    total, least, most = (Metric("x", "gauge", "X.", across=across) for across in ("sum", "min", "max"))
    assert [together(metric, 1.0, 2.0) for metric in (total, least, most)] == [3.0, 1.0, 2.0]
    assert together(total, Durations((1, 0), 0.5), Durations((1, 2), 1.0)) == Durations((2, 2), 1.5)
    assert (since(5, None), since(5, 3), since(2, 3)) == (5, 2, 2)
    assert since(Durations((3, 2), 2.0), Durations((1, 2), 0.5)) == Durations((2, 0), 1.5)
    assert since(Durations((0, 2), 2.0), Durations((1, 2), 0.5)) == Durations((0, 2), 2.0)


def test_events_are_bounded(monkeypatch: pytest.MonkeyPatch, collector: ValidatorCollector) -> None:
    """An application that invents names of events fills no more than a bounded number of series."""
    from py_identity_model.observability import emit

    monkeypatch.setattr(_readings, "MAX_EVENTS", 2)
    for number in range(5):
        emit(f"event_{number}")
    read = {
        reading.labels[0]: reading.value for reading in collector._readings.read() if reading.metric.name == "events"
    }
    assert all(read.pop(name) == 0 for name in _readings.ALARMING)
    assert read == {"event_0": 1, "event_1": 1, "other": 3}


# ---- several processes


PREFORK = """
import json, os, signal, sys, time, warnings
warnings.simplefilter("error")
from py_identity_model import TokenValidator
from py_identity_model.integrations.prometheus import ValidatorCollector
from py_identity_model.testing import EmbeddedProvider

provider = EmbeddedProvider("https://id.example.com")
validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
collector = ValidatorCollector(validator, publish_every=0.05)
validator.warm_up()  # as a server does that loads the application before it forks
tokens = [provider.mint(audience="api", sub=str(number)) for number in range(10)]
late = provider.mint(audience="api", exp=1)

def work(number):
    for _ in range(number):
        for token in tokens:
            validator.validate(token)
        try:
            validator.validate(late)
        except Exception as error:
            assert error.code == "token_expired", error
    collector.publish() if number == 3 else time.sleep(0.5)

children = []
for number in (1, 2, 3):
    pid = os.fork()
    if pid == 0:
        try:
            work(number)
            os.write(1, b"%d\\n" % number)
            time.sleep(60)
        finally:
            os._exit(0)
    children.append(pid)
os.write(1, json.dumps(children).encode() + b"\\n")
sys.stdin.readline()
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""

MERGE = """
import json, sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
registry = CollectorRegistry()
MultiProcessCollector(registry)
for pid in json.loads(sys.argv[1]):
    mark_process_dead(pid)
sys.stdout.write(generate_latest(registry).decode())
"""


def merged(folder: Path, *dead: int) -> dict[str, float]:
    """Return what a scrape of all processes shows."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", MERGE, json.dumps(dead)], env=env, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, _, number in (line.rpartition(" ") for line in lines)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_processes_that_fork_are_counted_together(tmp_path: Path) -> None:
    """Workers of a server that loads the application before it forks write what each did, and nothing of another."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-c", PREFORK], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    try:
        lines = [json.loads(server.stdout.readline()) for _ in range(4)]
        (children,) = [line for line in lines if isinstance(line, list)]
        shown = merged(tmp_path)
        issuer = 'issuer="https://id.example.com"'
        assert shown[f'py_identity_model_validations_total{{code="valid",{issuer}}}'] == 60
        assert shown[f'py_identity_model_validations_total{{code="token_expired",{issuer}}}'] == 6
        assert shown[f'py_identity_model_issuer_state{{{issuer},state="fresh"}}'] == 3
        assert 3600 < shown["py_identity_model_refuses_in_seconds"] < 200_000
        assert shown['py_identity_model_validation_duration_seconds_count{path="careful"}'] >= 3
        counted = shown['py_identity_model_validation_duration_seconds_count{path="careful"}']
        assert shown['py_identity_model_validation_duration_seconds_bucket{le="+Inf",path="careful"}'] == counted
    finally:
        server.communicate("\n", timeout=20)
    shown = merged(tmp_path, *children)
    assert shown[f'py_identity_model_validations_total{{code="valid",{issuer}}}'] == 60
    assert "py_identity_model_refuses_in_seconds" not in shown


def test_a_gauge_that_has_nothing_to_tell(tmp_path: Path) -> None:
    """In files, a time that is no longer known stops nobody from telling theirs."""
    program = (
        "from py_identity_model import TokenValidator, clear_discovery_cache, clear_jwks_cache\n"
        "from py_identity_model.integrations.prometheus import ValidatorCollector\n"
        "from py_identity_model.testing import EmbeddedProvider\n"
        "from prometheus_client import CollectorRegistry\n"
        "provider, registry = EmbeddedProvider('https://id.example.com'), CollectorRegistry()\n"
        "validator = TokenValidator(provider.issuer, audience='api', http_client=provider.transport)\n"
        "collector = ValidatorCollector(validator, registry=registry, publish_every=3600)\n"
        "assert not list(registry.collect())\n"
        "validator.validate(provider.mint(audience='api'))\n"
        "collector.publish()\n"
        "clear_discovery_cache()\n"
        "clear_jwks_cache()\n"
        "collector.close()\n"
    )
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=env, check=True, timeout=60)
    shown = merged(tmp_path)
    assert shown["py_identity_model_refuses_in_seconds"] == math.inf
    assert shown['py_identity_model_validations_total{code="valid",issuer="https://id.example.com"}'] == 1


# ---- validate_token


def test_configurations_are_counted(
    api: Api, provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector, clock: Any
) -> None:
    """``validate_token`` counts under a configuration that is watched, from then on, changed or not; copies do not."""
    import copy
    import pickle

    from py_identity_model import TokenValidationConfig

    config = TokenValidationConfig(perform_disco=True, audience="api")
    validate = api.module.validate_token

    def outcome(token: str, under: TokenValidationConfig = config) -> None:
        try:
            api.call(validate, token, under, ISSUER, provider)
        except PyIdentityModelException:
            pass

    outcome(provider.token())
    collector.watch(config, config)
    unwatched = [copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))]
    for token in [provider.token(iss="https://evil.example.com"), *[provider.token()] * 3, provider.token(aud="other")]:
        outcome(token)
    config.leeway = 5
    outcome(provider.token())
    for under in unwatched:
        outcome(provider.token(), under)
    assert value(registry, "validations_total", issuer=ISSUER, code="valid") == 4
    assert value(registry, "validations_total", issuer=ISSUER, code="audience_mismatch") == 1
    assert value(registry, "validations_total", issuer="other", code="issuer_mismatch") == 1
    assert "evil" not in open_metrics(registry).decode()


def test_a_configuration_that_checks_no_issuer(
    api: Api, provider: Provider, registry: CollectorRegistry, collector: ValidatorCollector, clock: Any
) -> None:
    """Tokens without an issuer are counted as others; an issuer that the configuration names is known by name."""
    from py_identity_model import TokenValidationConfig

    key = provider.jwks()["keys"][0]
    loose = TokenValidationConfig(False, key=key, audience="api", options={"verify_iss": False})
    strict = TokenValidationConfig(False, key=key, audience="api", issuer=[ISSUER])
    collector.watch(loose, strict)
    for token in [provider.token(iss=None)] * 3:
        api.call(api.module.validate_token, token, loose)
    with pytest.raises(PyIdentityModelException):
        api.call(api.module.validate_token, provider.token(aud="other"), strict)
    assert value(registry, "validations_total", issuer="other", code="valid") == 3
    assert value(registry, "validations_total", issuer=ISSUER, code="audience_mismatch") == 1
