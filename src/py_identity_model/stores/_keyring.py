"""The store of a desktop: one file, sealed with a key that lies in the keyring of the operating system.

Keyrings hold short texts, 2,560 bytes on Windows, and have no step that compares and sets: neither tokens nor leases
fit there. So only the key of the file does: 32 random bytes, made when they are first needed.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from .._core.base.fork_lock import Guard
from .._core.base.store import MAX_LIFETIME
from ..exceptions import ConfigurationException, PyIdentityModelException, StoreException
from ._encrypted import Sealer
from ._sqlite import DEFAULT_TIMEOUT, SqliteStore, file_id

#: The topic of what is kept beside the sealed values: the name that the keyring has the key under.
_TOPIC: Final = "keyring"
#: Seconds that making a key may take, and between two looks whether another process has made it.
_MAKING, _LOOK_EVERY = 15.0, 0.05
#: A backend below that is one that ``keyring`` itself does not recommend, such as a file without encryption.
_RECOMMENDED: Final = 1


class KeyringBackend(Protocol):
    """What is needed of a keyring: any backend of the package ``keyring`` has it."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return a secret; None if there is none."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a secret."""
        ...


class KeyringStore(SqliteStore):
    """Keep everything in one file, sealed with a key from the keyring of the operating system.

    The keyring is the Keychain of macOS, the Credential Locker of Windows, or the Secret Service of a Linux desktop.
    The key is read, or made, at the first operation; where the keyring is locked its user may be asked for a password
    then. Without the key, as on another machine, what is in the file is not there: the user logs in again.

    Args:
        path: The file, as :class:`~py_identity_model.stores.SqliteStore` takes it.
        service: The name of your program, as the user sees it in the keyring.
        backend: The keyring; by default the one that ``keyring`` finds or is configured for. One that it finds and does
            not recommend, such as a file without encryption, is refused; one that you name is not.
        timeout: Seconds that an operation waits for another process, at most.
        clock: Returns seconds since 1970; the same in all processes.

    Raises:
        ConfigurationException: There is no keyring (``keyring_missing``), it is one that keeps no secrets
            (``keyring_weak``), what it has is no key (``keyring_value_invalid``), or the package is not installed
            (``store_package_missing``).
        StoreException: At an operation: the keyring is locked (``keyring_locked``), or fails (``keyring_failed``).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        service: str,
        *,
        backend: KeyringBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(path, timeout=timeout, clock=clock)
        if not isinstance(service, str) or not service.strip():
            raise ConfigurationException(
                "service must be the name of the program", code="policy_invalid", claim="service", expected="text"
            )
        self.authenticated = True
        self._service = service
        self._backend: Any = _found() if backend is None else backend
        self._plain = SqliteStore(path, timeout=timeout, clock=clock)
        self._keying = Guard()
        #: The file that the key at hand is of: one that takes its place has another.
        self._sealed_for: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"KeyringStore({self._path!r}, {self._service!r})"

    def close(self) -> None:
        """Close the file; it opens again when it is needed."""
        self._plain.close()
        super().close()

    # ---- before each operation

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        self._find_key()
        with super()._reading() as db:
            yield db

    @contextmanager
    def _writing(self, topic: str) -> Iterator[Any]:
        self._find_key()
        with super()._writing(topic) as db:
            yield db

    def _find_key(self) -> None:
        """Have the key of the file at hand.

        Raises:
            ConfigurationException: What the keyring has is no key.
            StoreException: The keyring is locked, or fails; or the file does.
        """
        if self._sealed_for == file_id(self._path):
            return
        with self._keying:
            name = self._name()
            self._sealer = Sealer(_decoded(self._kept(name) or self._made(name)))
            self._sealed_for = file_id(self._path)

    # ---- the key

    def _name(self) -> str:
        """Return what the key lies under in the keyring: each file has a key of its own."""
        made = f"store {secrets.token_hex(8)}".encode()
        self._plain.add(_TOPIC, "name", made, MAX_LIFETIME)
        return (self._plain.get(_TOPIC, "name") or made).decode()

    def _kept(self, name: str) -> str | None:
        with _translated():
            found: str | None = self._backend.get_password(self._service, name)
        return found or None

    def _made(self, name: str) -> str:
        """Make the key, or wait until another process has."""
        until = time.monotonic() + _MAKING + self._timeout
        while time.monotonic() < until:
            lease = self._plain.lease(_TOPIC, "key", _MAKING)
            if lease is not None:
                try:
                    return self._kept(name) or self._put(name)
                finally:
                    self._plain.release(lease)
            time.sleep(_LOOK_EVERY)
            found = self._kept(name)
            if found is not None:
                return found
        raise StoreException("Another process takes too long to make the key of the store", code="store_busy")

    def _put(self, name: str) -> str:
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        with _translated():
            self._backend.set_password(self._service, name, key)
        if self._kept(name) != key:
            raise _failed("it does not give back what it was given")
        return key


def _decoded(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ConfigurationException(
            "What the keyring has is no key of a store",
            code="keyring_value_invalid",
            claim="service",
            expected="32 bytes in base64",
            hint="something else was written there: delete the entry and the file, a new key is made",
        )
    return key


def _found() -> Any:
    """Return the keyring that ``keyring`` finds or is configured for.

    Raises:
        ConfigurationException: The package is not installed, or there is no keyring that keeps secrets.
    """
    try:
        import keyring
    except ImportError:
        raise ConfigurationException(
            "KeyringStore needs keyring",
            code="store_package_missing",
            claim="keyring",
            expected="keyring",
            hint="pip install 'py-identity-model[keyring]'",
        ) from None
    with _translated():
        backend = keyring.get_keyring()
        kind, priority = type(backend), _priority(backend)
    if kind.__module__ == "keyring.backends.fail":
        raise _missing()
    if priority < _RECOMMENDED:
        raise ConfigurationException(
            "The keyring that was found keeps no secrets",
            code="keyring_weak",
            claim="backend",
            expected="the keyring of the operating system",
            actual=f"{kind.__module__}.{kind.__qualname__}",
            hint="pass it as backend if that is meant, or SqliteStore an encryption_key of yours",
        )
    return backend


def _priority(backend: Any) -> float:
    """Return what ``keyring`` thinks of a backend; of several in a row, the first one is written to."""
    first = next(iter(getattr(backend, "backends", ())), backend)
    found = getattr(type(first), "priority", 0)
    return float(found) if isinstance(found, int | float) else 0.0


def _missing() -> ConfigurationException:
    return ConfigurationException(
        "This machine has no keyring",
        code="keyring_missing",
        claim="backend",
        expected="Keychain, Credential Locker, or a Secret Service",
        hint="on Linux start a desktop session with gnome-keyring or KWallet; on a server take SqliteStore",
    )


def _failed(reason: str) -> StoreException:
    return StoreException(f"The keyring cannot be used: {reason}", code="keyring_failed", retry_after=1.0)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what a keyring raises into exceptions of our own; none of them shows a secret."""
    told: PyIdentityModelException | None = None
    try:
        yield
    except Exception as error:  # foreign code: each backend has errors of its own, of D-Bus, of Windows, of ctypes
        told = _read(error)
    if told is not None:
        raise told


def _read(error: Exception) -> PyIdentityModelException:
    names = {each.__name__ for each in type(error).__mro__}
    if "NoKeyringError" in names:
        return _missing()
    if names & {"KeyringLocked", "InitError"}:
        return StoreException(
            "The keyring is locked", code="keyring_locked", retry_after=1.0, hint="unlock it, and try again"
        )
    return _failed(f"it failed with {type(error).__name__}")


__all__ = ["KeyringBackend", "KeyringStore"]
