"""Settings: defaults, ranges, names, and when the environment is read."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import pytest

from py_identity_model.exceptions import ConfigurationException
from py_identity_model.settings import Settings, get_settings, reset_settings

#: Variable -> attribute, default, least, most.
KNOBS = {
    "HTTP_TIMEOUT": ("http_timeout", 30.0, 0.1, 300),
    "HTTP_RETRY_MAX_ATTEMPTS": ("http_retry_max_attempts", 3, 0, 10),
    "HTTP_RETRY_BASE_DELAY": ("http_retry_base_delay", 1.0, 0, 60),
    "DISCO_CACHE_TTL": ("disco_cache_ttl", 3600.0, 60, 86400),
    "JWKS_CACHE_TTL": ("jwks_cache_ttl", 3600.0, 60, 86400),
    "JWKS_CACHE_MAX_ENTRIES": ("jwks_cache_max_entries", 128, 1, 1_000_000),
    "DISCO_CACHE_MAX_ENTRIES": ("disco_cache_max_entries", 128, 1, 1_000_000),
    "KID_MISS_REFRESH_COOLDOWN": ("kid_miss_refresh_cooldown", 5.0, 0, 3600),
    "KID_MISS_MAX_WAITERS": ("kid_miss_max_waiters", 2, 0, 10_000),
    "MAX_STALE": ("max_stale", 86400.0, 0, 604800),
    "MAX_JWKS_SIZE": ("max_jwks_size", 524288, 1, None),
    "MAX_JWKS_KEYS": ("max_jwks_keys", 100, 1, None),
}


def refused(**environment: str) -> ConfigurationException:
    """Return the refusal of an environment."""
    with pytest.raises(ConfigurationException) as caught:
        Settings.from_environment(environment)
    return caught.value


def test_every_knob_is_tested():
    """The table above is complete."""
    assert {attribute for attribute, *_ in KNOBS.values()} | {"engine", "multibuffer"} == {
        f.name for f in fields(Settings)
    }


@pytest.mark.parametrize("name", KNOBS)
def test_defaults(name):
    """Without a variable, or with an empty one, the published default holds."""
    attribute, default, _, _ = KNOBS[name]
    for environment in ({}, {name: ""}, {name: "  "}):
        value = getattr(Settings.from_environment(environment), attribute)
        assert (value, type(value)) == (default, type(default))


@pytest.mark.parametrize("name", KNOBS)
def test_bounds(name):
    """The ends of the range are in it, what lies beyond is refused with variable, value and range."""
    attribute, default, least, most = KNOBS[name]
    for good in (least, most):
        if good is not None:
            assert getattr(Settings.from_environment({name: f" {good} "}), attribute) == good
    step = 1 if isinstance(default, int) else 0.01
    for bad in [least - step, *([most + step] if most is not None else [])]:
        error = refused(**{name: str(bad)})
        assert (error.code, error.claim, error.actual) == ("setting_invalid", name, str(bad))
        for fact in (name, str(bad), str(least), *([str(most)] if most is not None else [])):
            assert fact in str(error)


@pytest.mark.parametrize("name", KNOBS)
@pytest.mark.parametrize("text", ["abc", "nan", "-inf", "inf", "1e999", "0x10", "1,5", "5s", "True", "--1", "1 2"])
def test_garbage(name, text):
    """What is no number in range is refused, never replaced by the default."""
    error = refused(**{name: text})
    assert name in str(error)
    assert text in str(error)
    assert error.expected in str(error)


def test_fractions_of_whole_knobs():
    """Counts are whole numbers, in the environment and in code."""
    assert refused(MAX_JWKS_KEYS="1.5").claim == "MAX_JWKS_KEYS"
    for name in ("http_retry_max_attempts", "max_jwks_size"):
        with pytest.raises(ConfigurationException):
            Settings(**{name: 2.5})


def test_values_are_shown_safely():
    """A value cannot forge log lines, and a long one is cut."""
    text = str(refused(HTTP_TIMEOUT="5\nERROR: all is lost\x1b[2J" + "9" * 500))
    assert text.isprintable()
    assert len(text) < 200


def test_alias():
    """HTTP_RETRY_COUNT is an alias; the proper name goes before it, and errors name the one in use."""
    assert Settings.from_environment({"HTTP_RETRY_COUNT": "7"}).http_retry_max_attempts == 7
    both = {"HTTP_RETRY_COUNT": "7", "HTTP_RETRY_MAX_ATTEMPTS": "2"}
    assert Settings.from_environment(both).http_retry_max_attempts == 2
    assert Settings.from_environment({**both, "HTTP_RETRY_MAX_ATTEMPTS": ""}).http_retry_max_attempts == 7
    assert refused(HTTP_RETRY_COUNT="11").claim == "HTTP_RETRY_COUNT"


@pytest.mark.parametrize(
    "facts",
    [
        {"http_timeout": 0},
        {"http_timeout": None},
        {"http_timeout": "30"},
        {"http_timeout": True},
        {"http_timeout": math.nan},
        {"http_timeout": math.inf},
        {"max_jwks_keys": 0},
        {"max_jwks_keys": math.inf},
        {"engine": "fast"},
    ],
)
def test_values_given_in_code(facts):
    """Settings made in code obey the same ranges."""
    with pytest.raises(ConfigurationException) as caught:
        Settings(**facts)
    assert caught.value.code == "setting_invalid"


def test_engine():
    """The engine is one of three words, in any case."""
    assert Settings().engine == "auto"
    assert Settings.from_environment({"PY_IDENTITY_MODEL_ENGINE": " Pure "}).engine == "pure"
    error = refused(PY_IDENTITY_MODEL_ENGINE="turbo")
    assert error.claim == "PY_IDENTITY_MODEL_ENGINE"
    assert "auto, pure, native" in str(error)


def test_multibuffer():
    """Whether eight signatures are verified at once is one of two words, in any case."""
    assert Settings().multibuffer == "auto"
    assert Settings.from_environment({"PY_IDENTITY_MODEL_MULTIBUFFER": " OFF "}).multibuffer == "off"
    error = refused(PY_IDENTITY_MODEL_MULTIBUFFER="no")
    assert (error.code, error.claim) == ("setting_invalid", "PY_IDENTITY_MODEL_MULTIBUFFER")
    assert "auto, off" in str(error)


def test_settings_are_values():
    """Settings cannot be changed, compare by value and can be pickled."""
    settings = Settings(http_timeout=5)
    with pytest.raises(FrozenInstanceError):
        settings.http_timeout = 6  # type: ignore[misc] # that is the test
    assert pickle.loads(pickle.dumps(settings)) == settings == Settings(http_timeout=5)


def test_environment_is_read_once(monkeypatch):
    """The environment is read at the first use, once, until another look is asked for."""
    monkeypatch.setenv("HTTP_TIMEOUT", "5")
    first = get_settings()
    monkeypatch.setenv("HTTP_TIMEOUT", "6")
    assert get_settings() is first
    assert first.http_timeout == 5
    reset_settings()
    assert get_settings().http_timeout == 6


def test_unusable_environment_is_refused_each_time(monkeypatch):
    """A refusal is not remembered: once the variable is mended the next use works."""
    monkeypatch.setenv("HTTP_TIMEOUT", "soon")
    for _ in range(2):
        with pytest.raises(ConfigurationException):
            get_settings()
    monkeypatch.setenv("HTTP_TIMEOUT", "5")
    assert get_settings().http_timeout == 5


def test_import_reads_and_changes_nothing():
    """Importing the package with an unusable environment works, changes no variable and loads no HTTP client."""
    script = """
import os, sys
before = dict(os.environ)
import py_identity_model
assert dict(os.environ) == before
assert not {"httpx", "httpx2", "asyncio"} & set(sys.modules), sorted(sys.modules)
from py_identity_model.settings import get_settings
try:
    get_settings()
except py_identity_model.exceptions.ConfigurationException as error:
    assert error.claim == "DISCO_CACHE_TTL"
else:
    raise SystemExit("not refused")
"""
    environment = {**os.environ, "DISCO_CACHE_TTL": "never", "REQUESTS_CA_BUNDLE": "/nowhere.pem"}
    environment = {name: value for name, value in environment.items() if not name.startswith(("COV_", "COVERAGE_"))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
