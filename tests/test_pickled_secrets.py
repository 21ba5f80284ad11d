"""Values that hold a secret refuse to be pickled, are copied sensibly, and are written by name only [A12]."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import py_identity_model as package
from apis import ISSUER
from py_identity_model import (
    DPoPNonces,
    JsonWebKey,
    LoginClient,
    LoginRequest,
    LogoutTokenPolicy,
    Secret,
    TokenValidationConfig,
    TrustedIssuer,
    pickled_with_secrets,
)
from py_identity_model._core.base.response import BaseRequest
from py_identity_model._core.base.secret import Redacted
from py_identity_model._core.jose.jwe_keys import EncryptionKey
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException
from test_canaries import filled, requests

SYMMETRIC = {"kty": "oct", "k": "Y2FuYXJ5" * 8}
KEY = SigningKey.generate("ES256", kid="k1")
PUBLIC = dict(KEY.public_jwk or {})
PRIVATE = {**PUBLIC, "d": "Y2FuYXJ5LWQ"}


def config(key: Any) -> TokenValidationConfig:
    return TokenValidationConfig(perform_disco=False, key=key, audience="api", issuer=ISSUER)


HOLDERS: dict[str, Callable[[], Any]] = {
    "a shared secret": lambda: JsonWebKey(**SYMMETRIC),
    "a private key": lambda: JsonWebKey(**PRIVATE),
    "a configuration": lambda: config(SYMMETRIC),
    "a configuration of a key": lambda: config(JsonWebKey(**PRIVATE)),
    "a configuration of keys": lambda: config({"keys": [PUBLIC, PRIVATE]}),
    "an issuer": lambda: TrustedIssuer(ISSUER, keys=SYMMETRIC),
    "an issuer with a private key": lambda: TrustedIssuer(ISSUER, keys=PRIVATE),
    "an issuer with PEM": lambda: TrustedIssuer(ISSUER, keys=KEY.private_pem),
    "nonces": lambda: DPoPNonces(b"canary" * 8),
    "a policy": lambda: LogoutTokenPolicy(config(SYMMETRIC)),
    "a client": lambda: LoginClient(
        issuer=ISSUER,
        client_id="app",
        redirect_uri="https://app.example.com/callback",
        client_secret="canary-secret-1234567890",
    ),
    "a login": lambda: LoginRequest(id_token_hint="canary"),
    "a list": lambda: [{"key": Secret("canary")}],
    **{kind.__name__: (lambda kind=kind: filled(kind, wrapped=False)) for kind in requests() if kind._redacted},
    **{kind.__name__ + " wrapped": (lambda kind=kind: filled(kind, wrapped=True)) for kind in requests()},
}
HOLDS_NOTHING = {
    "BaseRequest wrapped",
    "ClientMetadataDocumentRequest wrapped",
    "JwksRequest wrapped",
    "DiscoveryDocumentRequest wrapped",
    "WebFingerRequest wrapped",
} | {"ProtectedResourceMetadataRequest wrapped"}


@pytest.mark.parametrize("name", [name for name in HOLDERS if name not in HOLDS_NOTHING])
def test_a_value_with_a_secret_is_not_pickled(name: str) -> None:
    """pickle refuses, in every protocol, and the refusal says what does it and shows nothing."""
    value = HOLDERS[name]()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(ConfigurationException) as caught:
            pickle.dumps(value, protocol)
        assert caught.value.code == "secret_not_picklable"
        assert "canary" not in str(caught.value)
        assert "Y2FuYXJ5" not in str(caught.value)
    assert "pickled_with_secrets" in str(caught.value.hint)


@pytest.mark.parametrize("name", list(HOLDERS))
def test_a_value_with_a_secret_is_pickled_by_name(name: str) -> None:
    """pickled_with_secrets writes it whole; once it is done, nothing is allowed any more."""
    value = HOLDERS[name]()
    back = pickle.loads(pickled_with_secrets(value))
    assert type(back) is type(value)
    if not isinstance(value, DPoPNonces | LogoutTokenPolicy):
        assert back == value
    if isinstance(value, DPoPNonces):
        assert back.accepts(value.current(wall=1000.0), wall=1000.0)
    if name not in HOLDS_NOTHING:
        with pytest.raises(ConfigurationException):
            pickle.dumps(value)


@pytest.mark.parametrize("name", list(HOLDERS))
def test_a_value_with_a_secret_is_copied(name: str) -> None:
    """copy and deepcopy go on working: a copy is equal, and a deep one shares nothing that can be changed."""
    value = HOLDERS[name]()
    if isinstance(value, LogoutTokenPolicy):
        assert copy.deepcopy(value).token_validation_config.key == SYMMETRIC
        return
    assert copy.copy(value) == value
    deep = copy.deepcopy(value)
    assert deep == value
    if isinstance(value, TokenValidationConfig) and isinstance(value.key, dict):
        assert deep.key is not value.key


def test_what_holds_no_secret_is_pickled() -> None:
    """Public keys, and configurations and issuers of nothing but those, travel as before."""
    for value in (
        JsonWebKey(**PUBLIC),
        config(PUBLIC),
        config({"keys": [PUBLIC]}),
        TrustedIssuer(ISSUER, keys=PUBLIC, audience=["api"]),
        TrustedIssuer(ISSUER),
        package.TokenResponse(True, token={"access_token": "x"}),
        package.JwksRequest(ISSUER),
    ):
        assert pickle.loads(pickle.dumps(value)) == value


def test_every_public_type_that_hides_something_refuses() -> None:
    """A type with hidden fields refuses to be pickled, unless it is an answer or waits in a session for one."""
    hiding = {
        name: value
        for name in package.__all__
        if inspect.isclass(value := getattr(package, name)) and issubclass(value, Redacted) and value._redacted
    }
    assert len(hiding) > 20
    pickles = {name for name, kind in hiding.items() if kind._pickles}
    assert {n for n in pickles if issubclass(hiding[n], BaseRequest)} == set()
    assert {n for n in pickles if not issubclass(hiding[n], package.BaseResponse)} <= {"LoginTransaction"}


def test_no_field_of_a_secret_is_left_out() -> None:
    """A request shows none of what it refuses to pickle, in repr and in the refusal."""
    for kind in requests():
        value = filled(kind, wrapped=False)
        assert "canary" not in repr(value)
        assert dataclasses.is_dataclass(value)


@pytest.mark.parametrize(
    "use",
    [
        lambda secret: SigningKey.from_secret(secret, "HS256"),
        lambda secret: SigningKey.from_pem(KEY.private_pem or "", "ES256", password=secret),
        lambda secret: EncryptionKey.from_pem(KEY.private_pem or "", password=secret),
        lambda secret: EncryptionKey.from_client_secret(secret, 32),
        lambda secret: KeySet.from_keys(Secret(secret)),
        lambda secret: package.TokenValidator(ISSUER, "api", keys=Secret(secret), algorithms=["HS256"]),
    ],
)
def test_half_a_character_in_a_secret_is_no_foreign_error(use: Callable[[str], Any]) -> None:
    """A lone surrogate has no encoding: the refusal is ours, and no error that holds the secret stands behind it."""
    with pytest.raises(ConfigurationException) as caught:
        use("canary-\ud800-" + "x" * 40)
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, UnicodeError)
        assert "canary" not in repr(error) + str(vars(error))
        error = error.__cause__ or error.__context__
