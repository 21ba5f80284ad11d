"""Every knob of the library: default, range, environment name. Read once, at first use, into one frozen value."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, TypeAlias, cast, get_args

from ._arguments import explains_arguments
from ._refusals import bounded, is_number, must_be

#: Who verifies signatures: one of the two engines, or the native one where it is installed.
EngineName: TypeAlias = Literal["auto", "pure", "native"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
#: Whether batches on the native engine verify eight signatures at once where the processor can, or never.
MultibufferName: TypeAlias = Literal["auto", "off"]
MULTIBUFFER: tuple[MultibufferName, ...] = get_args(MultibufferName)


def _knob(default: float, low: float, high: float, *names: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "names": names})


def _choice(default: str, choices: tuple[str, ...], *names: str) -> Any:
    return field(default=default, metadata={"choices": choices, "names": names})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment may change. Durations are seconds, sizes bytes."""

    #: Total deadline of one HTTP exchange: connect, TLS, headers and body.
    http_timeout: float = _knob(30.0, 0.1, 300.0, "HTTP_TIMEOUT")
    #: Repeats of a failed request, where repeating is safe.
    http_retry_max_attempts: int = _knob(3, 0, 10, "HTTP_RETRY_MAX_ATTEMPTS", "HTTP_RETRY_COUNT")
    #: First pause between repeats; doubled each time, with jitter.
    http_retry_base_delay: float = _knob(1.0, 0.0, 60.0, "HTTP_RETRY_BASE_DELAY")
    #: How long a discovery document is fresh when its response does not say.
    disco_cache_ttl: float = _knob(3600.0, 60.0, 86400.0, "DISCO_CACHE_TTL")
    #: How long a key set is fresh when its response does not say.
    jwks_cache_ttl: float = _knob(3600.0, 60.0, 86400.0, "JWKS_CACHE_TTL")
    #: Entries of the key-set cache.
    jwks_cache_max_entries: int = _knob(128, 1, 1_000_000, "JWKS_CACHE_MAX_ENTRIES")
    #: Entries of the discovery cache.
    disco_cache_max_entries: int = _knob(128, 1, 1_000_000, "DISCO_CACHE_MAX_ENTRIES", "JWKS_CACHE_MAX_ENTRIES")
    #: One forced key-set refresh in this time, after a burst of two.
    kid_miss_refresh_cooldown: float = _knob(5.0, 0.0, 3600.0, "KID_MISS_REFRESH_COOLDOWN")
    #: Callers of the blocking API that may wait for the next one, per key set; each holds a thread.
    kid_miss_max_waiters: int = _knob(2, 0, 10_000, "KID_MISS_MAX_WAITERS")
    #: Longest time a stale key set or document is used while the provider cannot be reached.
    max_stale: float = _knob(86400.0, 0.0, 604800.0, "MAX_STALE")
    #: Size of a key-set response.
    max_jwks_size: int = _knob(524288, 1, math.inf, "MAX_JWKS_SIZE")
    #: Keys of one key set.
    max_jwks_keys: int = _knob(100, 1, math.inf, "MAX_JWKS_KEYS")
    #: Who verifies signatures: the native engine where it is installed (auto), or always one of the two.
    engine: EngineName = _choice("auto", ENGINES, "PY_IDENTITY_MODEL_ENGINE")  # noqa: RUF009 # it makes a field, as _knob does
    #: Whether batches on the native engine verify eight signatures at once where the processor can (auto), or never.
    multibuffer: MultibufferName = _choice("auto", MULTIBUFFER, "PY_IDENTITY_MODEL_MULTIBUFFER")  # noqa: RUF009 # as above

    @explains_arguments
    def __post_init__(self) -> None:
        for knob in fields(self):
            name, value = knob.metadata["names"][0], getattr(self, knob.name)
            if "choices" in knob.metadata:
                if value not in knob.metadata["choices"]:
                    raise must_be(name, "one of " + ", ".join(knob.metadata["choices"]), value, code="setting_invalid")
                continue
            low, high, kind = knob.metadata["low"], knob.metadata["high"], cast("type[float]", type(knob.default))
            bounded(value, name, kind, low, high, code="setting_invalid")

    @classmethod
    @explains_arguments
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the knobs out of *environment*.

        Raises:
            ConfigurationException: A variable is not a number or out of its range; the message names all three.

        >>> Settings.from_environment({"HTTP_TIMEOUT": "5"}).http_timeout
        5.0
        """
        given: dict[str, Any] = {}
        for knob in fields(cls):
            for name in knob.metadata["names"]:
                text = environment.get(name)
                if text is not None and text.strip():
                    given[knob.name] = _read(name, text, knob)
                    break
        return cls(**given)


def _read(name: str, text: str, knob: Field[Any]) -> Any:
    if "choices" in knob.metadata:
        return text.strip().lower()
    kind: Any = type(knob.default)
    low, high = knob.metadata["low"], knob.metadata["high"]
    value: Any = None
    with suppress(ValueError):
        value = kind(text)
    # What is refused is shown as it was written.
    return bounded(value if is_number(value, kind, low, high) else text, name, kind, low, high, code="setting_invalid")


_lock = threading.Lock()
_current: Settings | None = None


def get_settings() -> Settings:
    """Return the process's settings, reading the environment at the first call.

    Raises:
        ConfigurationException: A variable is unusable.
    """
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                _current = Settings.from_environment(os.environ)
    return _current


def reset_settings() -> None:
    """Forget what was read, so that the next use reads the environment again. For tests and long-lived shells."""
    global _current
    _current = None


__all__ = ["ENGINES", "MULTIBUFFER", "EngineName", "MultibufferName", "Settings", "get_settings", "reset_settings"]
