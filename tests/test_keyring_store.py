"""The store whose key lies in the keyring: who makes it, what happens without it, and keyrings that are none."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from py_identity_model import ConfigurationException, OAuthClient
from py_identity_model._core.base.store import SEALED
from py_identity_model.exceptions import PyIdentityModelException, StoreException
from py_identity_model.stores import KeyringStore, SqliteStore
from py_identity_model.testing import EmbeddedProvider

keyring = pytest.importorskip("keyring", reason="the extra keyring is not installed")

SECRET = b"a refresh token"


class Keyring:
    """A keyring in memory."""

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.made = 0

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.made += 1
        self.kept[service, username] = password


class Failing(Keyring):
    """A keyring that fails with what it is given."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        raise self.error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def code_of(action: Any) -> str:
    with pytest.raises(PyIdentityModelException) as error:
        action()
    return error.value.code


def test_what_is_kept_is_sealed_with_a_key_of_the_keyring(path: Path) -> None:
    """The file has nothing that could be read without the keyring, and the keyring has one short entry."""
    backend = Keyring()
    store = KeyringStore(path, "my-tool", backend=backend)
    store.put("tokens", "a", SECRET, 60)
    assert store.get("tokens", "a") == SECRET
    assert SECRET not in path.read_bytes()
    assert (SqliteStore(path).get("tokens", "a") or b"").startswith(SEALED)
    ((service, name),) = backend.kept
    assert service == "my-tool"
    assert len(name) + len(backend.kept[service, name]) < 100
    assert KeyringStore(path, "my-tool", backend=backend).get("tokens", "a") == SECRET
    assert backend.made == 1


def test_nothing_is_asked_of_the_keyring_before_it_is_needed(path: Path) -> None:
    """To make a store asks nobody for a password, and leaves no file."""
    store = KeyringStore(path, "my-tool", backend=Failing(AssertionError("asked")))
    assert repr(store) == f"KeyringStore({str(path)!r}, 'my-tool')"
    assert not path.exists()


def test_without_its_key_a_file_has_nothing(path: Path) -> None:
    """On another machine, or after the entry was deleted, values are not there, and a new key is made."""
    KeyringStore(path, "my-tool", backend=Keyring()).put("tokens", "a", SECRET, 60)
    elsewhere = Keyring()
    store = KeyringStore(path, "my-tool", backend=elsewhere)
    assert store.get("tokens", "a") is None
    store.put("tokens", "a", b"anew", 60)
    assert KeyringStore(path, "my-tool", backend=elsewhere).get("tokens", "a") == b"anew"


def test_a_file_that_takes_the_place_of_another_has_its_own_key(path: Path) -> None:
    """A store that is open when its file is deleted makes a new one, which other processes can read."""
    backend = Keyring()
    store = KeyringStore(path, "my-tool", backend=backend)
    store.put("tokens", "a", SECRET, 60)
    for each in path.parent.glob("store.db*"):
        each.unlink()
    assert store.get("tokens", "a") is None
    store.put("tokens", "a", b"anew", 60)
    assert KeyringStore(path, "my-tool", backend=backend).get("tokens", "a") == b"anew"
    assert len(backend.kept) == 2


def test_threads_that_come_first_at_once_make_one_key(path: Path) -> None:
    """Each has a store of its own, as processes have."""
    backend, begin, read = Keyring(), threading.Barrier(8), []

    def work(number: int) -> None:
        store = KeyringStore(path, "my-tool", backend=backend, timeout=30)
        begin.wait()
        store.put("tokens", str(number), SECRET, 60)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = KeyringStore(path, "my-tool", backend=backend)
    read = [store.get("tokens", str(number)) for number in range(8)]
    assert read == [SECRET] * 8
    assert backend.made == 1


PROGRAM = """
import sys
from keyrings.alt.file import PlaintextKeyring
from py_identity_model.stores import KeyringStore
backend = PlaintextKeyring()
backend.file_path = sys.argv[2]
store = KeyringStore(sys.argv[1], "my-tool", backend=backend, timeout=30)
store.put("tokens", sys.argv[3], b"a refresh token", 60)
print(store.get("tokens", sys.argv[3]).decode())
"""


def test_processes_that_come_first_at_once_make_one_key(path: Path, tmp_path: Path) -> None:
    """They share what they keep."""
    alt = pytest.importorskip("keyrings.alt.file", reason="no keyring in a file")
    kept = str(tmp_path / "keyring.cfg")
    arguments = [[sys.executable, "-c", PROGRAM, str(path), kept, str(number)] for number in range(4)]
    running = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in arguments]
    assert [each.communicate()[0].strip() for each in running] == [SECRET.decode()] * 4
    backend = alt.PlaintextKeyring()
    backend.file_path = kept
    store = KeyringStore(path, "my-tool", backend=backend)
    assert [store.get("tokens", str(number)) for number in range(4)] == [SECRET] * 4


def test_who_waits_for_a_key_takes_the_one_that_is_made(path: Path) -> None:
    """While another process makes the key, nobody makes a second one."""
    backend, plain = Keyring(), SqliteStore(path)
    assert plain.lease("keyring", "key", 60) is not None  # another process is at it
    asked = []

    class Watched(Keyring):
        def get_password(self, service: str, username: str) -> str | None:
            asked.append(username)
            if len(asked) == 3:  # and is done
                backend.set_password(service, username, "A" * 43 + "=")
            return backend.get_password(service, username)

    store = KeyringStore(path, "my-tool", backend=Watched())
    store.put("tokens", "a", SECRET, 60)
    assert backend.made == 1
    assert KeyringStore(path, "my-tool", backend=backend).get("tokens", "a") == SECRET


@pytest.mark.parametrize("value", ["what is this", "AAAA", "A" * 400, "\u00e9"])
def test_what_is_no_key_is_told_and_left_alone(path: Path, value: str) -> None:
    """Somebody wrote another value there: it is not replaced in silence, and shows nowhere."""

    class Foreign(Keyring):
        def get_password(self, service: str, username: str) -> str | None:
            return value

    backend = Foreign()
    with pytest.raises(ConfigurationException) as error:
        KeyringStore(path, "my-tool", backend=backend).get("tokens", "a")
    assert error.value.code == "keyring_value_invalid"
    assert value not in str(error.value)
    assert backend.made == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (keyring.errors.KeyringLocked("canary"), "keyring_locked"),
        (keyring.errors.InitError("canary"), "keyring_locked"),
        (keyring.errors.KeyringError("canary"), "keyring_failed"),
        (keyring.errors.NoKeyringError("canary"), "keyring_missing"),
        (OSError("canary"), "keyring_failed"),
        (RuntimeError("canary"), "keyring_failed"),
    ],
)
def test_a_keyring_that_fails_is_told_as_what_it_is(path: Path, error: BaseException, code: str) -> None:
    """No foreign exception comes out, and none of its words."""
    store = KeyringStore(path, "my-tool", backend=Failing(error))
    with pytest.raises(PyIdentityModelException) as told:
        store.get("tokens", "a")
    assert told.value.code == code
    assert "canary" not in str(told.value)
    assert isinstance(told.value, ConfigurationException if code == "keyring_missing" else StoreException)
    assert told.value.__cause__ is None


def test_a_keyring_that_forgets_is_none(path: Path) -> None:
    """What is not given back was not kept: tokens sealed with it would be lost at once."""

    class Forgetful(Keyring):
        def get_password(self, service: str, username: str) -> str | None:
            return None

    assert code_of(lambda: KeyringStore(path, "my-tool", backend=Forgetful()).get("tokens", "a")) == "keyring_failed"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have ``keyring`` find what the test says."""
    return lambda backend: monkeypatch.setattr(keyring, "get_keyring", lambda: backend)


def test_the_keyring_that_is_found_is_taken(path: Path, found: Any) -> None:
    """Without a backend by name it is that of the operating system, by itself or as the first of several."""
    backend = Keyring()
    for each in (backend, SimpleNamespace(backends=[backend], get_password=backend.get_password)):
        found(each)
        store = KeyringStore(path, "my-tool")
        if each is backend:
            store.put("tokens", "a", SECRET, 60)
        assert store.get("tokens", "a") == SECRET


def test_a_machine_without_a_keyring_is_told_what_to_do(path: Path, found: Any) -> None:
    """When the store is made, and not when the first token is to be kept."""
    from keyring.backends import fail

    found(fail.Keyring())
    with pytest.raises(ConfigurationException) as error:
        KeyringStore(path, "my-tool")
    assert error.value.code == "keyring_missing"
    assert "gnome-keyring" in (error.value.hint or "")


def test_a_keyring_that_keeps_no_secrets_is_not_taken_by_itself(path: Path, found: Any) -> None:
    """One that does nothing, or that is a plain file, is taken only by name."""
    from keyring.backends import null

    plain = pytest.importorskip("keyrings.alt.file", reason="no keyring in a file").PlaintextKeyring()
    for backend in (null.Keyring(), plain, SimpleNamespace(backends=[plain, Keyring()])):
        found(backend)
        assert code_of(lambda: KeyringStore(path, "my-tool")) == "keyring_weak"


def test_the_package_is_asked_for_where_it_is_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the line to type."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationException) as error:
        KeyringStore(path, "my-tool")
    assert error.value.code == "store_package_missing"
    assert error.value.hint == "pip install 'py-identity-model[keyring]'"


@pytest.mark.parametrize("service", ["", "  ", None, 7])
def test_a_program_has_a_name(path: Path, service: Any) -> None:
    """The user sees it in the keyring."""
    assert code_of(lambda: KeyringStore(path, service, backend=Keyring())) in ("policy_invalid", "argument_invalid")


def test_a_client_keeps_its_tokens_there(path: Path) -> None:
    """A second program of the same name goes on with the token of the first."""
    provider, backend = EmbeddedProvider(), Keyring()
    described: dict[str, Any] = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    for _ in range(2):
        store = KeyringStore(path, "my-tool", backend=backend)
        client = OAuthClient(provider.issuer, **described, store=store, http_client=provider.transport)
        assert client.token(scope="orders").access_token
        store.close()
    assert provider.count("token") == 1


def test_a_locked_keyring_is_no_reason_to_log_in_again(path: Path) -> None:
    """Whoever has no key now is told to wait, and not that the login is gone."""
    provider = EmbeddedProvider()
    store = KeyringStore(path, "my-tool", backend=Failing(keyring.errors.KeyringLocked()))
    client = OAuthClient(provider.issuer, client_id="tool", store=store, http_client=provider.transport)
    assert code_of(client.token) == "keyring_locked"
