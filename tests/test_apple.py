"""Sign in with Apple: the client secret that an application signs itself."""

from __future__ import annotations

from typing import Any

import pytest

from apis import NOW
from py_identity_model import ConfigurationException, Secret, SigningKey, TokenValidator
from py_identity_model.integrations.apple import ISSUER, LONGEST, AppleClientSecret

KEY = SigningKey.generate("ES256", kid="KEY1234567")
GIVEN: dict[str, Any] = {"team_id": "ABCDE12345", "client_id": "com.example.web", "key": KEY, "clock": lambda: NOW}
PEM = KEY.private_pem or ""


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("key", [KEY, PEM, PEM.encode(), Secret(PEM)], ids=["key", "text", "octets", "secret"])
def test_the_secret_is_what_apple_asks_for(key: Any) -> None:
    """It is signed with ES256 by the named key, by the team, about the client, for Apple, and lives shortly."""
    named = {} if key is KEY else {"key_id": "KEY1234567"}
    secret = AppleClientSecret(**{**GIVEN, "key": key, **named})
    keys = {"keys": [{**(KEY.public_jwk or {}), "kid": "KEY1234567"}]}
    validator = TokenValidator("ABCDE12345", audience=ISSUER, keys=keys, algorithms=["ES256"])
    claims = validator.validate(secret().expose())
    assert claims == {"iss": "ABCDE12345", "sub": "com.example.web", "aud": ISSUER, "iat": NOW, "exp": NOW + 300}


def test_it_shows_nothing_of_the_key() -> None:
    """Neither the key nor a secret is in what is printed."""
    secret = AppleClientSecret(**GIVEN)
    assert repr(secret) == "AppleClientSecret(team_id='ABCDE12345', client_id='com.example.web')"
    assert "ey" not in repr(secret())


@pytest.mark.parametrize(
    "changes",
    [
        {"team_id": ""},
        {"client_id": ""},
        {"lifetime": 0},
        {"lifetime": LONGEST + 1},
        {"key": SigningKey.generate("ES384", kid="k")},
        {"key": SigningKey.generate("ES256")},
        {"key": "no key"},
        {"key": PEM},
        {"key_id": "another"},
        {"team_id": 7},
    ],
)
def test_what_cannot_be_used_is_refused(changes: dict[str, Any]) -> None:
    """A key of another algorithm or without an ID, and a life that Apple does not allow, are refused at once."""
    with pytest.raises(ConfigurationException):
        AppleClientSecret(**{**GIVEN, **changes})
