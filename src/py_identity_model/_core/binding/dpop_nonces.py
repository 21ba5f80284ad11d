"""Nonces that a server gives for DPoP proofs: made of a secret and the time, remembered nowhere (RFC 9449 8, 9)."""

from __future__ import annotations

import hmac
import secrets
from typing import Any, Self

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException
from ..base.base64url import b64url_encode
from ..base.secret import refuse_to_pickle
from ..validation.claim_checks import seconds


def _restored_nonces(kind: type[DPoPNonces], window: float, secrets: tuple[bytes, ...]) -> DPoPNonces:
    """Return the nonces that were pickled."""
    nonces = kind(secrets[0], window=window)
    nonces._secrets = secrets
    return nonces


class DPoPNonces:
    """Nonces that need no memory: each is a keyed hash of the time window it was made in (RFC 9449 8, 9).

    A nonce is accepted in its own window and the next. Workers share nonces if they share the secret.

    Args:
        secret: At least 32 random bytes; made for this process if None.
        window: Seconds after which another nonce is handed out.

    Raises:
        ConfigurationException: The secret is too short, or the window is no positive number of seconds.

    >>> nonces = DPoPNonces(b"0123456789abcdef0123456789abcdef", window=300)
    >>> nonces.accepts(nonces.current(wall=1000.0), wall=1100.0)
    True
    >>> nonces.accepts(nonces.current(wall=1000.0), wall=2000.0)
    False
    """

    @explains_arguments
    def __init__(self, secret: bytes | None = None, *, window: float = 300.0) -> None:
        self.window: float = seconds(window, "window", 86400.0)
        if self.window < 1:
            raise ConfigurationException(
                "window must be at least one second", code="policy_invalid", claim="window", expected="1 to 86400"
            )
        self._secrets: tuple[bytes, ...] = (_nonce_secret(secret),)

    def __reduce__(self) -> Any:
        refuse_to_pickle(self, "secret")
        return _restored_nonces, (type(self), self.window, self._secrets)

    def __copy__(self) -> Self:
        return self  # one rotation for all that hand out its nonces

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @explains_arguments
    def rotate(self, secret: bytes | None = None) -> None:
        """Hash with another secret from now on; nonces of the one before stay good until they run out.

        Args:
            secret: At least 32 random bytes; made for this process if None.

        Raises:
            ConfigurationException: The secret is too short.
        """
        self._secrets = (_nonce_secret(secret), self._secrets[0])

    @explains_arguments
    def current(self, wall: float) -> str:
        """Return the nonce to hand out at the time *wall*, in seconds since 1970."""
        return _nonce(self._secrets[0], int(wall // self.window))

    @explains_arguments
    def accepts(self, nonce: str, wall: float) -> bool:
        """Tell whether *nonce* was handed out in the window of *wall* or the one before."""
        window = int(wall // self.window)
        given = nonce.encode("utf-8", "surrogatepass")
        known = [_nonce(secret, w).encode() for secret in self._secrets for w in (window, window - 1)]
        return any(hmac.compare_digest(given, one) for one in known)


def _nonce_secret(secret: bytes | None) -> bytes:
    made = secrets.token_bytes(32) if secret is None else secret
    if not isinstance(made, bytes) or len(made) < 32:
        raise ConfigurationException(
            "A nonce secret must be at least 32 bytes", code="dpop_nonce_secret_short", claim="secret"
        )
    return made


def _nonce(secret: bytes, window: int) -> str:
    return b64url_encode(hmac.digest(secret, b"dpop-nonce:%d" % window, "sha256"))[:32]


__all__ = ["DPoPNonces"]
