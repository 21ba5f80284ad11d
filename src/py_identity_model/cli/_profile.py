"""Profiles: what would otherwise be said on every command line, in one file of TOML.

A table of the file is a profile, each key of it an option. The command line goes before, then the environment, then the
profile.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ..exceptions import ConfigurationException, printable

#: Bytes of the file at most.
MAX_CONFIG = 1_000_000
FOLDER, FILE, DEFAULT = "py-identity-model", "config.toml", "default"


class Key(NamedTuple):
    """A key of a profile: what its value must be, and the variable that goes before it."""

    kind: str
    env: str


def _key(kind: str, name: str) -> Key:
    return Key(kind, f"PY_IDENTITY_MODEL_{name.upper()}")


_KINDS = {
    "text": "issuer client_id key_algorithm key_id store user identity kind",
    "texts": "audience scope resource algorithm",
    "path": "client_secret_file private_key_file certificate_file keys",
    "address": "jwks_uri discovery_address",
    "number": "leeway",
}
#: By name, as they stand in a profile and, with dashes, on the command line.
KEYS: dict[str, Key] = {name: _key(kind, name) for kind, names in _KINDS.items() for name in names.split()}
_EXPECTED = {
    "text": "text",
    "texts": "text, or a list of texts",
    "path": "the path of a file",
    "address": "text",
    "number": "a number of seconds",
}


def folder(variable: str, usual: str) -> Path:
    """Return this program's folder below one of the XDG base directories.

    Raises:
        ConfigurationException: There is no home directory.
    """
    named = os.environ.get(variable, "")
    if os.path.isabs(named):  # "All paths set in these environment variables must be absolute"
        return Path(named) / FOLDER
    try:
        return Path.home() / usual / FOLDER
    except RuntimeError:
        pass
    raise ConfigurationException(
        "There is no home directory to look in",
        code="parameter_missing",
        claim="HOME",
        hint=f"set HOME, or {variable}",
    )


def config_path() -> Path:
    """Return where profiles are: ``PY_IDENTITY_MODEL_CONFIG``, else ``config.toml`` below ``XDG_CONFIG_HOME``."""
    named = os.environ.get("PY_IDENTITY_MODEL_CONFIG")
    return Path(named) if named else folder("XDG_CONFIG_HOME", ".config") / FILE


def read_profile(name: str | None) -> dict[str, Any]:
    """Return the values of a profile; none where no profile is asked for, and there is no ``default``.

    Args:
        name: The profile; None for the one that ``PY_IDENTITY_MODEL_PROFILE`` names, else ``default``.

    Raises:
        ConfigurationException: There is no such profile, or something in it is not what it must be.
    """
    asked = name or os.environ.get("PY_IDENTITY_MODEL_PROFILE") or None
    try:
        path = config_path()
    except ConfigurationException:
        if asked is None:
            return {}
        raise
    text = _text_of(path)
    if text is None and asked is None:
        return {}
    if text is None:
        raise _refused(path, f"there is no such file, and so no profile {printable(asked)}")
    profiles = _parsed(path, text)
    if asked is None and DEFAULT not in profiles:
        return {}
    return _Reader(path, text, asked or DEFAULT).values(profiles)


def _text_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG + 1)
        if len(data) <= MAX_CONFIG:
            return data.decode()
        reason = "it is too large"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        reason = f"line {line} is not UTF-8"
    except (OSError, ValueError) as error:
        reason = f"it cannot be read: {type(error).__name__}"
    raise _refused(path, reason)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
    except RecursionError:
        reason = "it is nested too deeply"
    raise _refused(path, f"it is not TOML: {reason}")


def _refused(path: Path, reason: str, **facts: Any) -> ConfigurationException:
    return ConfigurationException(f"{path}: {reason}", code="setting_invalid", **facts)


class _Reader:
    """Reads one profile; each fault names the file, the line and the key."""

    def __init__(self, path: Path, text: str, name: str) -> None:
        self._path, self._text, self._name = path, text, name

    def values(self, profiles: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the profile.

        Raises:
            ConfigurationException: There is no such profile, or something in it is not what it must be.
        """
        found = profiles.get(self._name)
        if not isinstance(found, dict):
            known = ", ".join(name for name, table in profiles.items() if isinstance(table, dict)) or "none"
            raise _refused(
                self._path, f"there is no profile {printable(self._name)}", expected=known, hint=f"there is: {known}"
            )
        return {name: self._value(name, value) for name, value in found.items()}

    def _value(self, name: str, value: Any) -> Any:
        key = KEYS.get(name)
        if key is None:
            self._fail_unknown(name)
        if key.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if key.kind == "texts" and value and isinstance(value, list) and all(_is_text(one) for one in value):
            return value
        if key.kind != "number" and isinstance(value, str) and _is_text(value):
            return str(self._path.parent / Path(value).expanduser()) if key.kind == "path" else value
        expected = _EXPECTED[key.kind]
        return self._fail(name, f"must be {expected}", expected=expected, actual=type(value).__name__)

    def _fail_unknown(self, name: str) -> NoReturn:
        if name in ("client_secret", "password", "refresh_token"):
            self._fail(
                name, "does not belong there", hint="write client_secret_file, the path of a file with the secret"
            )
        near = get_close_matches(name, KEYS, 1)
        hint = f"is {near[0]} meant?" if near else f"known are: {', '.join(KEYS)}"
        self._fail(name, "is unknown", hint=hint)

    def _fail(self, name: str, reason: str, **facts: Any) -> NoReturn:
        raise ConfigurationException(
            f"{self._path}:{self._line(name)}: {printable(name)} in [{printable(self._name)}] {reason}",
            code="setting_invalid",
            claim=printable(name),
            **facts,
        )

    def _line(self, name: str) -> int:
        """Return the line that a key stands on, as well as it can be told; the first one otherwise."""
        here, wanted = False, re.compile(rf"""\s*["']?{re.escape(name)}["']?\s*=""")
        for number, line in enumerate(self._text.splitlines(), 1):
            if line.lstrip().startswith("["):
                here = line.strip().strip("[]").strip("\"' ") == self._name
            elif here and wanted.match(line):
                return number
        return 1


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()
