"""Assertions: short-lived JWTs that vouch for a client or a user (RFC 7523 3)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..._arguments import checks_arguments
from ..._refusals import bounded
from ...exceptions import ConfigurationException, PyIdentityModelException
from ..base.secret import Secret, exposed
from ..jose.algorithms import SignatureAlgorithm
from ..jose.jws import sign_compact
from ..jose.signing_keys import SigningKey

#: Longest life of an assertion that is ever made, in seconds.
MAX_LIFETIME = 3600


@dataclass(frozen=True)
class JwtBearerAssertion:
    """An assertion to be made and signed when it is needed (RFC 7523 3).

    Args:
        private_key: PEM text, or a :class:`SigningKey`, which may be a callable in front of a KMS or HSM.
        issuer: Who vouches: ``iss``.
        subject: For whom: ``sub``.
        audience: The provider: ``aud``, its issuer or token endpoint.
        algorithm: JWS algorithm of a PEM key.
        kid: Key ID of a PEM key.
        lifetime: Seconds until it expires, 1 to 3600.
        claims: Further claims; they cannot replace the others.

    Raises:
        ConfigurationException: A value cannot be used.
    """

    private_key: str | bytes | Secret | SigningKey = field(repr=False)
    issuer: str
    subject: str
    audience: str
    algorithm: SignatureAlgorithm = "PS256"
    kid: str | None = None
    lifetime: int = 300
    claims: Mapping[str, Any] | None = None

    @checks_arguments
    def __post_init__(self) -> None:
        check_lifetime(self.lifetime)
        for name in ("issuer", "subject", "audience"):
            value = getattr(self, name)
            # FAPI 2.0 5.3.3.1, RFC 7523 3: one audience; a list would let each of its members use the assertion.
            if not isinstance(value, str) or not value:
                raise ConfigurationException(f"{name} must be text", code="parameter_missing", claim=name)


def build_client_assertion(
    key: SigningKey,
    client_id: str,
    audience: str,
    wall: float,
    *,
    lifetime: int = 300,
    typ: str = "client-authentication+jwt",
) -> str:
    """Build the JWT that authenticates a client (RFC 7523 3, OpenID Connect Core 9).

    Args:
        key: What signs.
        client_id: The client: ``iss`` and ``sub``.
        audience: The provider: ``aud``.
        wall: The time, in seconds since 1970.
        lifetime: Seconds until it expires.
        typ: The ``typ`` header.

    Raises:
        ConfigurationException: The key does not sign.
    """
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": int(wall),
        "exp": int(wall) + lifetime,
        "jti": secrets.token_urlsafe(24),  # FAPI 2.0 5.4.1: 128 bits of entropy at least
    }
    return sign_assertion(claims, key, typ=typ)


def sign_assertion(claims: Mapping[str, Any], key: SigningKey, *, typ: str | None) -> str:
    """Sign *claims*; whatever a foreign signer raises becomes one error that repeats nothing of it."""
    try:
        return sign_compact(claims, key, typ=typ)
    except PyIdentityModelException:
        raise
    except Exception:  # a KMS or HSM callable is foreign code, and its error may hold what it was given
        raise signing_failed("private_key") from None


def read_signing_key(
    key: str | bytes | Secret | SigningKey,
    algorithm: SignatureAlgorithm,
    kid: str | None,
    password: str | bytes | Secret | None = None,
) -> SigningKey:
    """Return *key* as a :class:`SigningKey`, read from PEM if it is none yet.

    Raises:
        ConfigurationException: It is no private key for *algorithm*.
    """
    if isinstance(key, SigningKey):
        return key
    return SigningKey.from_pem(exposed(key) if isinstance(key, Secret) else key, algorithm, kid, password)


class KeyReadOnce:
    """What holds a private key, as PEM text or ready, that is read when it is first used."""

    private_key: str | bytes | Secret | SigningKey
    algorithm: SignatureAlgorithm
    kid: str | None
    password: str | bytes | Secret | None

    def signing_key(self) -> SigningKey:
        """Return the key, read once.

        Raises:
            ConfigurationException: It is no private key that fits the algorithm.
        """
        return self._key

    @cached_property
    def _key(self) -> SigningKey:
        return read_signing_key(self.private_key, self.algorithm, self.kid, self.password)


def check_lifetime(lifetime: object) -> None:
    """Refuse a lifetime of an assertion that is no number of seconds from 1 to 3600."""
    bounded(lifetime, "lifetime", int, 1, MAX_LIFETIME, unit="seconds", code="lifetime_invalid")


def build_jwt_bearer_assertion(assertion: JwtBearerAssertion, wall: float) -> str:
    """Build and sign an assertion for the JWT bearer grant (RFC 7523 3).

    Args:
        assertion: What it says and who signs it.
        wall: The time, in seconds since 1970.

    Raises:
        ConfigurationException: The key does not fit or does not sign.
    """
    claims = {
        **(assertion.claims or {}),
        "iss": assertion.issuer,
        "sub": assertion.subject,
        "aud": assertion.audience,
        "iat": int(wall),
        "exp": int(wall) + assertion.lifetime,
        "jti": secrets.token_urlsafe(24),
    }
    key = read_signing_key(assertion.private_key, assertion.algorithm, assertion.kid)
    return sign_assertion(claims, key, typ="JWT")


def signing_failed(what: str) -> ConfigurationException:
    """Return the exception for a foreign signer that raised something."""
    return ConfigurationException(
        f"{what} did not sign", code="signing_failed", claim=what, hint="the signing callable raised an error"
    )


__all__ = [
    "MAX_LIFETIME",
    "JwtBearerAssertion",
    "KeyReadOnce",
    "build_client_assertion",
    "build_jwt_bearer_assertion",
    "check_lifetime",
    "read_signing_key",
    "sign_assertion",
    "signing_failed",
]
