"""Static keys in a file: a changed file is read again, by every validator and without a restart."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from apis import NOW, Api, Provider
from py_identity_model import add_observer, remove_observer, sync
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException, TokenValidationException

ISSUER = "https://id.example.com"


def write(path: Path, provider: Provider) -> None:
    """Replace the file in one step, as Kubernetes and careful programs do."""
    fresh = path.with_name("fresh")
    fresh.write_text(json.dumps(provider.jwks()))
    fresh.replace(path)


@pytest.fixture
def clock_at(clock: Any) -> Any:
    """The frozen clock, at the time of the tokens."""
    clock.wall = NOW
    return clock


@pytest.mark.parametrize("given", ["keys", "issuer"])
def test_a_changed_file_is_read_again(api: Api, clock_at: Any, tmp_path: Path, given: str) -> None:
    """New keys count at once for a token that needs them; those that are gone stop counting within a second."""
    path = tmp_path / "jwks.json"
    old, new = (
        Provider(ISSUER, k1=SigningKey.generate("ES256", kid="k1")),
        Provider(ISSUER, k2=SigningKey.generate("ES256", kid="k2")),
    )
    write(path, old)
    if given == "keys":
        validator = api.validator(ISSUER, "api", keys=path)
    else:
        validator = api.validator(sync.TrustedIssuer(ISSUER, keys=path), "api")
    assert api.call(validator.validate, old.token())["sub"] == "ada"
    write(path, new)
    assert api.call(validator.validate, new.token())["sub"] == "ada"
    clock_at.advance(1.5)
    with pytest.raises(TokenValidationException):
        api.call(validator.validate, old.token())
    assert validator.health().issuers[0].state == "static"


def test_a_withdrawn_key_stops_counting(api: Api, clock_at: Any, tmp_path: Path) -> None:
    """Also where nothing asks for a new key, and the token was good a moment ago."""
    path = tmp_path / "jwks.json"
    both = Provider(ISSUER, **{kid: SigningKey.generate("ES256", kid=kid) for kid in ("k1", "k2")})
    write(path, both)
    validator, token = api.validator(ISSUER, "api", keys=path), both.token()
    api.call(validator.validate, token)
    del both.keys["k1"]
    write(path, both)
    clock_at.advance(1.5)
    with pytest.raises(TokenValidationException):
        api.call(validator.validate, token)


@pytest.mark.parametrize("damage", ["gone", "no json", "no keys", "a folder", "a secret"])
def test_a_damaged_file_changes_nothing(api: Api, clock_at: Any, tmp_path: Path, damage: str) -> None:
    """While the file cannot be used the keys stay, and an event tells of it."""
    path, provider = tmp_path / "jwks.json", Provider(ISSUER)
    write(path, provider)
    validator = api.validator(ISSUER, "api", keys=path)
    seen: list[Any] = []
    add_observer(seen.append)
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "a secret":
        path.write_text(json.dumps({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}))
    elif damage != "gone":
        path.write_text("{" if damage == "no json" else '{"keys": []}')
    clock_at.advance(1.5)
    try:
        assert api.call(validator.validate, provider.token())["sub"] == "ada"
    finally:
        remove_observer(seen.append)
    assert [event.name for event in seen] == ([] if damage == "gone" else ["key_file_unusable"])


def test_a_file_that_is_missing_at_the_start(tmp_path: Path) -> None:
    """A validator is not built on a file that cannot be read."""
    with pytest.raises(ConfigurationException) as refused:
        sync.TokenValidator(ISSUER, "api", keys=tmp_path / "none")
    assert refused.value.code == "keys_unreadable"


def test_files_are_looked_at_once_a_second(api: Api, clock_at: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Warm tokens cost no look at the disk."""
    path, provider = tmp_path / "jwks.json", Provider(ISSUER)
    write(path, provider)
    validator = api.validator(ISSUER, "api", keys=path)
    looks: list[Any] = []
    real = os.stat
    monkeypatch.setattr("py_identity_model._key_file.os.stat", lambda p: looks.append(p) or real(p))
    for _ in range(20):
        api.call(validator.validate, provider.token())
    assert len(looks) == 1
