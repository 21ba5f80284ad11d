"""Sign in with Apple: its client secret is a JWT that the application signs itself.

    secret = AppleClientSecret(team_id="ABCDE12345", client_id="com.example.web", key=key, key_id="KEY1234567")
    client = LoginClient(issuer="https://appleid.apple.com", client_id="com.example.web", client_secret=secret)

The key is the one that the developer account made for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .._arguments import checks_arguments
from .._core.base.secret import Secret, exposed
from .._core.jose.jws import sign_compact
from .._core.jose.signing_keys import SigningKey
from .._refusals import must_be

#: The issuer of Apple's ID tokens, and the audience of the secret.
ISSUER = "https://appleid.apple.com"
#: Seconds that Apple lets a secret live at most: six months.
LONGEST = 15777000.0


class AppleClientSecret:
    """The ``client_secret`` of Sign in with Apple, signed anew for each request, so that none has to be renewed.

    >>> key = SigningKey.generate("ES256", kid="KEY1234567")
    >>> secret = AppleClientSecret(team_id="ABCDE12345", client_id="com.example.web", key=key)
    >>> secret().expose().count(".")
    2
    """

    __slots__ = ("_client_id", "_clock", "_key", "_lifetime", "_team_id")

    @checks_arguments
    def __init__(
        self,
        *,
        team_id: str,
        client_id: str,
        key: str | bytes | Secret | SigningKey,
        key_id: str | None = None,
        lifetime: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Sign with the key that Apple gave.

        Args:
            team_id: The team of the developer account.
            client_id: The Services ID (or the app's ID): the client.
            key: The private key, the text of the ``.p8`` file, or a :class:`SigningKey` for ES256 with its ``kid``.
            key_id: The ID of the key.
            lifetime: Seconds that each secret lives, at most six months.
            clock: Returns the time in seconds since 1970.

        Raises:
            ConfigurationException: The key is none for ES256 or has no ID, or something else cannot be used.
        """
        for name, value in (("team_id", team_id), ("client_id", client_id)):
            if not value:
                raise must_be(name, "text that is not empty", value)
        if not 0 < lifetime <= LONGEST:
            raise must_be("lifetime", f"more than 0 and at most {LONGEST:.0f} seconds", lifetime)
        self._key: SigningKey = _signing_key(key, key_id)
        self._team_id: str = team_id
        self._client_id: str = client_id
        self._lifetime: float = lifetime
        self._clock: Callable[[], float] = clock

    def __call__(self) -> Secret:
        """Return a secret as of now."""
        now = int(self._clock())
        claims = {
            "iss": self._team_id,
            "iat": now,
            "exp": now + int(self._lifetime),
            "aud": ISSUER,
            "sub": self._client_id,
        }
        return Secret(sign_compact(claims, self._key))

    def __repr__(self) -> str:
        return f"AppleClientSecret(team_id={self._team_id!r}, client_id={self._client_id!r})"


def _signing_key(key: str | bytes | Secret | SigningKey, key_id: str | None) -> SigningKey:
    if not isinstance(key, SigningKey):
        text = key if isinstance(key, bytes) else exposed(key)
        key = SigningKey.from_pem(text, "ES256", key_id)
    elif key_id is not None and key_id != key.kid:
        raise must_be("key_id", f"left out, or {key.kid!r}: a SigningKey has its own", key_id)
    if key.alg != "ES256":
        raise must_be("key", "a key for ES256", key.alg)
    if not key.kid:
        raise must_be("key_id", "given: Apple finds the key by it", key_id)
    return key


__all__ = ["ISSUER", "LONGEST", "AppleClientSecret"]
