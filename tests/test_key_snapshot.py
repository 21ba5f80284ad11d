"""Snapshots of keys: exported where a provider can be reached, taken where it cannot, trusted by their HMAC only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apis import ISSUER, Api, Provider
from py_identity_model import DiscoveryPolicy, IssuerTemplate, TrustedIssuer, add_observer, remove_observer
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.discovery.key_snapshot import HEAD
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException, NetworkException, UnknownKeyException
from py_identity_model.stores import MemoryStore
from py_identity_model.testing import EmbeddedProvider

KEY, OTHER = bytes(range(32)), bytes(range(1, 65))
K1, K2 = (SigningKey.generate("ES256", kid=f"k{number}") for number in (1, 2))
HOUR = 3600


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=K1)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    seen: list[Any] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


class Platform:
    """A build that reaches the provider, and starts that do or do not."""

    def __init__(self, api: Api, provider: Provider, clock: Any) -> None:
        self.api, self.provider, self.clock = api, provider, clock

    def validator(self, issuer: Any = ISSUER, **options: Any) -> Any:
        return self.api.validator(issuer, "api", http_client=self.provider, **options)

    def built(self, key: Any = KEY, **options: Any) -> bytes:
        return bytes(self.api.call(self.validator(**options).export_keys, key))

    def started(self, data: bytes, key: Any = KEY, max_age: float | None = None, **options: Any) -> Any:
        validator = self.validator(**options)
        given = {} if max_age is None else {"max_age": max_age}
        self.taken = self.api.call(validator.import_keys, data, key, **given)
        return validator

    def go_down(self) -> None:
        self.provider.requests.clear()
        self.provider.fail = lambda request: Reply(503, url=request.url)

    def accepts(self, validator: Any, key: SigningKey = K1, **changes: Any) -> bool:
        now = int(self.clock.wall)
        token = self.provider.token(key=key, iat=now, exp=now + 60, **changes)
        try:
            return bool(self.api.call(validator.validate, token)["sub"] == "ada")
        except UnknownKeyException:
            return False


@pytest.fixture
def platform(api: Api, provider: Provider, clock: Any) -> Platform:
    return Platform(api, provider, clock)


def test_the_first_token_with_the_provider_down(platform: Platform) -> None:
    """A process that begins with a fresh snapshot asks for nothing."""
    data = platform.built()
    platform.go_down()
    started = platform.started(data)
    assert platform.taken == 2
    assert platform.accepts(started)
    assert platform.provider.requests == []


def test_what_is_no_longer_fresh_is_asked_for(platform: Platform) -> None:
    """Past its freshness a snapshot is not believed where the provider can be asked: a withdrawn key is refused."""
    data = platform.built()
    platform.provider.keys = {"k2": K2}
    assert platform.accepts(platform.started(data))
    platform.clock.advance(HOUR + 1)
    started = platform.started(data)
    assert not platform.accepts(started)
    assert platform.accepts(started, K2)


def test_how_long_a_snapshot_is_of_use(platform: Platform, events: list[Any]) -> None:
    """While the provider is down it is used up to MAX_STALE, told as an event; after that nothing is accepted."""
    data = platform.built()
    platform.go_down()
    platform.clock.advance(24 * HOUR)
    assert platform.accepts(platform.started(data))
    assert "shared_keys_revived" in {event.name for event in events}
    platform.clock.advance(HOUR + 1)
    with pytest.raises(NetworkException):
        platform.accepts(platform.started(data))
    assert platform.taken == 0


def test_an_age_bound_of_ones_own(platform: Platform, events: list[Any]) -> None:
    """Nothing of a snapshot that is older than it may be is used, nor of one from the future."""
    data = platform.built()
    platform.clock.advance(120)
    for seconds, taken in ((121, 2), (119, 0), (0, 0)):
        platform.started(data, max_age=seconds)
        assert platform.taken == taken
    platform.clock.advance(-1000)
    platform.started(data)
    assert platform.taken == 0
    assert {event.name for event in events} == {"key_snapshot_refused"}


def test_newer_keys_are_not_given_up_for_a_snapshot(platform: Platform) -> None:
    """A process that has asked since goes on with what it has when the provider is down."""
    data = platform.built()
    started = platform.started(data)
    platform.provider.keys = {"k2": K2}
    platform.clock.advance(HOUR + 1)
    assert platform.accepts(started, K2)
    platform.go_down()
    platform.clock.advance(2 * HOUR)
    for _ in range(3):
        assert platform.accepts(started, K2)
        with pytest.raises(NetworkException):  # whether it is a new key cannot be told now
            platform.accepts(started, K1)
        platform.clock.advance(60)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "snapshot_unauthenticated"),
        (lambda data: data[: len(HEAD)] + bytes(32) + data[len(HEAD) + 32 :], "snapshot_unauthenticated"),
        (lambda data: data + b" ", "snapshot_unauthenticated"),
        (lambda data: data[:-40], "snapshot_unauthenticated"),
        (lambda data: HEAD + data[len(HEAD) + 32 :], "snapshot_unauthenticated"),
        (lambda data: b"", "snapshot_invalid"),
        (lambda data: HEAD, "snapshot_invalid"),
        (lambda data: data[len(HEAD) :], "snapshot_invalid"),
        (lambda data: data.replace(b"pim-keys-1", b"pim-keys-2"), "snapshot_invalid"),
        (lambda data: data.decode("latin-1"), "snapshot_invalid"),
        (lambda data: None, "snapshot_invalid"),
    ],
)
def test_a_snapshot_that_is_none_of_ours(platform: Platform, change: Any, code: str) -> None:
    """Nothing is believed that was not made with the key, nor anything else than what was made with it."""
    data = change(platform.built())
    with pytest.raises(ConfigurationException) as caught:
        platform.started(data)
    assert caught.value.code == code
    assert caught.value.__context__ is None


def test_keys_of_the_application_rotate(platform: Platform) -> None:
    """The first key makes a snapshot, any of them opens it, no other does."""
    data = platform.built([OTHER, KEY])
    assert platform.accepts(platform.started(data, [KEY, OTHER]))
    with pytest.raises(ConfigurationException) as caught:
        platform.started(data, KEY)
    assert caught.value.code == "snapshot_unauthenticated"


@pytest.mark.parametrize("key", [b"", b"short", "k" * 32, None, [], [KEY, b"short"], 7])
def test_no_key_is_no_way_around(platform: Platform, key: Any) -> None:
    """A snapshot is neither made nor taken without a key that is long enough."""
    data = platform.built()
    for call in (lambda: platform.built(key), lambda: platform.started(data, key)):
        with pytest.raises(ConfigurationException) as caught:
            call()
        assert caught.value.code == "snapshot_key_invalid"


@pytest.mark.parametrize("max_age", [-1, float("nan"), float("inf"), "7", None, True])
def test_an_age_that_is_none(platform: Platform, max_age: Any) -> None:
    """The age bound is a number of seconds."""
    with pytest.raises(ConfigurationException):
        platform.api.call(platform.validator().import_keys, platform.built(), KEY, max_age=max_age)


def test_each_validator_reads_under_its_own_policy(platform: Platform) -> None:
    """A snapshot that one policy allowed trusts nothing that another does not."""
    platform.provider.metadata = {**platform.provider.metadata, "issuer": "https://evil.example.com"}
    data = platform.built(discovery_policy=DiscoveryPolicy(validate_issuer=False))
    platform.go_down()
    with pytest.raises(NetworkException):
        platform.accepts(platform.started(data))


@pytest.mark.parametrize(
    "issuer",
    [
        TrustedIssuer(ISSUER, jwks_uri=ISSUER + "/jwks"),
        [ISSUER, "https://other.example.com"],
        IssuerTemplate("https://id.{tenant}.com", allowed={"example"}),
    ],
    ids=["jwks_uri", "several", "template"],
)
def test_whatever_an_issuer_is_trusted_by(platform: Platform, issuer: Any) -> None:
    """Bare key sets, several issuers and issuers of a template are carried along."""
    others = {"https://other.example.com/.well-known/openid-configuration": {"issuer": "https://other.example.com"}}
    provider = platform.provider
    answer = provider.__call__

    class Both(Provider):
        def __call__(self, request: Any) -> Reply:
            changed = others.get(request.url)
            if changed is None:
                return answer(request)
            self.metadata = {**provider.metadata, **changed}
            return super().__call__(request)

    building = platform.api.validator(issuer, "api", http_client=Both(k1=K1))
    if isinstance(issuer, IssuerTemplate):
        assert platform.accepts(building)
    data = platform.api.call(building.export_keys, KEY)
    platform.go_down()
    assert platform.accepts(platform.started(data, issuer=issuer))


def test_a_store_that_has_nothing_yet(platform: Platform) -> None:
    """With a store beside it a snapshot is used while the store has nothing newer."""
    data = platform.built()
    store = MemoryStore(clock=lambda: platform.clock.wall)
    platform.provider.keys = {"k2": K2}
    platform.clock.advance(60)
    assert platform.accepts(platform.validator(store=store), K2)
    assert platform.accepts(platform.started(data, store=store), K2)
    platform.go_down()
    empty = MemoryStore(clock=lambda: platform.clock.wall)
    assert platform.accepts(platform.started(data, store=empty), K1)


def test_other_validators_know_nothing_of_it(platform: Platform) -> None:
    """A snapshot is for the validator that took it."""
    data = platform.built()
    platform.go_down()
    stores = platform.started(data)._stores.__class__(platform.api.name, platform.validator()._stores.settings)
    platform.started(data, stores=stores)
    with pytest.raises(NetworkException):
        platform.accepts(platform.validator(stores=stores))


def test_a_provider_that_is_away_is_no_snapshot(platform: Platform) -> None:
    """What cannot be asked for is not exported."""
    platform.go_down()
    with pytest.raises(NetworkException):
        platform.built()


STARTED = """
import sys
from pathlib import Path
from py_identity_model import TokenValidator
issuer, file, token = sys.argv[1:]
validator = TokenValidator(issuer, audience="api")
print(validator.import_keys(Path(file).read_bytes(), bytes(range(32))))
print(validator.validate(token)["sub"])
"""


def test_a_file_in_an_image(tmp_path: Path) -> None:
    """The command line makes the file; a new process validates its first token when the provider is gone."""
    pytest.importorskip("typer", reason="the extra cli is not installed")
    secret, file = tmp_path / "secret", tmp_path / "keys.snapshot"
    secret.write_bytes(KEY)
    provider = EmbeddedProvider(algorithms=["ES256"])
    with provider.serve() as running:
        token, issuer = provider.mint(audience="api", subject="ada"), running.issuer
        made = cli("export-keys", issuer, "--key-file", str(secret), "--output", str(file))
        assert (made.returncode, made.stdout) == (0, "")
        short = tmp_path / "short"
        short.write_bytes(b"short")
        refused = cli("export-keys", issuer, "--key-file", str(short), "--output", str(file))
        assert (refused.returncode, "snapshot_key_invalid" in refused.stderr) == (2, True)
    gone = cli("export-keys", issuer, "--key-file", str(secret), "--output", str(tmp_path / "none"))
    assert gone.returncode == 3
    assert not (tmp_path / "none").exists()
    command = [sys.executable, "-c", STARTED, issuer, str(file), token]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["2", "ada"]


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "py_identity_model", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
