"""The file that says whom a provider knows and what its tokens say: JSON or TOML, read again when it changes."""

from __future__ import annotations

import math
import re
import threading
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ..._refusals import because
from ...exceptions import ConfigurationException
from .._grants import Client
from .bodies import Shape, invalid, read_json, shaped
from .logins import fits

#: Bytes that are read at most, and seconds between two looks at the file.
MOST_BYTES, LOOK_EVERY = 1024 * 1024, 0.5

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_TEMPLATE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


class ClientRow(Shape):
    """A client as the file, and the control API, describe it."""

    client_id: _Name = ""
    client_secret: _Name | None = None
    redirect_uris: tuple[_Name, ...] = ()
    post_logout_redirect_uris: tuple[_Name, ...] = ()
    require_pkce: bool = True

    def client(self) -> Client:
        """Return the client."""
        uris = (self.redirect_uris, self.post_logout_redirect_uris)
        return Client(self.client_id, self.client_secret, *uris, require_pkce=self.require_pkce)


class Rule(Shape):
    """What tokens say when the request has certain parameters."""

    when: dict[str, str] = msgspec.field(default_factory=dict)
    claims: dict[str, Any] = msgspec.field(default_factory=dict)
    tokens: tuple[str, ...] = ("access_token", "id_token", "userinfo")
    issuer: str | None = None
    expires_in: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] | None = None

    def applies(self, parameters: Mapping[str, str], issuer: str) -> bool:
        """Tell whether it is for such a request to that issuer."""
        return self.issuer in (None, issuer) and fits(self.when, parameters)


class IssuerRow(Shape):
    """What is special about one issuer."""

    audience: _Name | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


class Settings(Shape):
    """All that the file holds."""

    audience: _Name | None = None
    users: tuple[dict[str, Any], ...] = ()
    clients: tuple[ClientRow, ...] = ()
    rules: tuple[Rule, ...] = ()
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    issuers: dict[str, IssuerRow] = msgspec.field(default_factory=dict)

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Return the claims of the users by their ``sub``."""
        return {user["sub"]: {name: value for name, value in user.items() if name != "sub"} for user in self.users}

    def client(self, client_id: str) -> Client | None:
        """Return the client of that name."""
        return next((row.client() for row in self.clients if row.client_id == client_id), None)

    def metadata_of(self, issuer: str) -> dict[str, Any]:
        """Return the members of the metadata that are to be changed."""
        row = self.issuers.get(issuer)
        return {**self.metadata, **(row.metadata if row else {})}

    def audience_of(self, issuer: str) -> str | None:
        """Return whom access tokens are for, if the file says so."""
        row = self.issuers.get(issuer)
        return (row.audience if row else None) or self.audience

    def claims(self, kind: str, parameters: Mapping[str, str], issuer: str) -> dict[str, Any]:
        """Return the claims of every rule that fits, later ones before earlier ones."""
        found: dict[str, Any] = {}
        for rule in self.rules:
            if kind in rule.tokens and rule.applies(parameters, issuer):
                found |= filled(rule.claims, parameters)
        return found

    def lifetime(self, parameters: Mapping[str, str], issuer: str) -> float | None:
        """Return the seconds of the last rule that fits and names some."""
        told = [rule.expires_in for rule in self.rules if rule.applies(parameters, issuer)]
        return next((seconds for seconds in reversed(told) if seconds is not None), None)


def filled(value: Any, parameters: Mapping[str, str]) -> Any:
    """Put parameters of the request where ``${name}`` stands; one that was not sent leaves nothing.

    >>> filled({"email": "${login_hint}@example.com"}, {"login_hint": "ada"})
    {'email': 'ada@example.com'}
    """
    if isinstance(value, str):
        return _TEMPLATE.sub(lambda found: parameters.get(found.group(1), ""), value)
    if isinstance(value, list):
        return [filled(each, parameters) for each in value]
    if isinstance(value, dict):
        return {name: filled(each, parameters) for name, each in value.items()}
    return value


def read_settings(text: bytes, toml: bool) -> Settings:
    """Read the file's contents.

    Raises:
        ConfigurationException: It is no JSON or TOML, or says something that it cannot say; ``claim`` names the place.
    """
    found = shaped(_plain(_read_toml(text) if toml else read_json(text, "The file")), Settings)
    for number, user in enumerate(found.users):
        if not isinstance(user.get("sub"), str) or not user["sub"]:
            raise invalid("field_invalid", "A user needs a sub, which is a text", f"users[{number}].sub")
    for number, client in enumerate(found.clients):
        if not client.client_id:
            raise invalid("field_invalid", "A client needs a client_id", f"clients[{number}].client_id")
    for number, rule in enumerate(found.rules):
        unknown = set(rule.tokens) - {"access_token", "id_token", "userinfo"}
        if unknown:
            told = f"There is no kind of token {min(unknown)}"
            raise invalid("field_invalid", told, f"rules[{number}].tokens")
    return found


def _read_toml(text: bytes) -> Any:
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error)
    raise invalid("toml_invalid", f"The file is not usable TOML: {reason}")


def _plain(value: Any, where: str = "") -> Any:
    """Return *value* if JSON can say it: TOML has dates and infinities."""
    if isinstance(value, dict):
        return {name: _plain(each, f"{where}.{name}" if where else name) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, f"{where}[{number}]") for number, each in enumerate(value)]
    if not isinstance(value, str | int | float | bool | None) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise invalid("field_invalid", "JSON has no such value: write a date as a text or as seconds", where)
    return value


class SettingsFile:
    """The file, read again when it changed. Any thread may use it.

    Args:
        path: Where it is; None stands for an empty one.

    Raises:
        ConfigurationException: It cannot be read or says something that it cannot say.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        #: What is wrong with the file as it is now; the settings are still those of before.
        self.error: ConfigurationException | None = None
        self._lock = threading.Lock()
        self._settings = Settings()
        self._seen: tuple[int, int] | None = None
        self._next_look = 0.0
        if path is not None:
            self.reload()

    def current(self) -> Settings:
        """Return the settings, read again if the file changed; a broken file changes nothing."""
        if self.path is None:
            return self._settings
        with self._lock:
            if time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + LOOK_EVERY
                if self._stamp() != self._seen:
                    self._try_again()
        return self._settings

    def reload(self) -> Settings:
        """Read the file now.

        Raises:
            ConfigurationException: It cannot be read or says something that it cannot say.
        """
        with self._lock:
            self._try_again()
            if self.error is not None:
                raise self.error
            return self._settings

    def _try_again(self) -> None:
        self._seen = self._stamp()
        try:
            self._settings, self.error = self._read(), None
        except ConfigurationException as error:
            self.error = error

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat() if self.path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if found else None

    def _read(self) -> Settings:
        if self.path is None:
            return Settings()
        try:
            with self.path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
        except OSError as error:
            reason = type(error).__name__
        else:
            if len(text) <= MOST_BYTES:
                return read_settings(text, self.path.suffix.lower() == ".toml")
            reason = f"it has more than {MOST_BYTES} bytes"
        raise because(ConfigurationException, "claims_file_invalid", "The file cannot be read", reason, "claims")


__all__ = ["ClientRow", "IssuerRow", "Rule", "Settings", "SettingsFile", "filled", "read_settings"]
