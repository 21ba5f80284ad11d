"""Keys that a caller gives: a JWK, a key set, PEM text, a secret, or several of those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from ..._refusals import refused
from ...exceptions import ConfigurationException
from ..base.secret import Secret, secret_octets
from ..base.strict_json import StrictJSONError, loads_object
from .algorithms import ALGORITHMS, KeyRefused
from .jwk import JsonWebKey
from .verification_keys import PublicKey, import_key, import_pem, prepare

_One: TypeAlias = Mapping[str, Any] | JsonWebKey | PublicKey | Secret | str | bytes
#: Keys a caller can give: JWK, key set, PEM or JSON text, shared secret, or a list of those.
VerificationKeys: TypeAlias = _One | Sequence[_One]


def import_verifying(jwk: Mapping[str, Any]) -> PublicKey:
    """Read a JWK that signatures are to be checked with.

    Raises:
        KeyRefused: It is no such key.
    """
    return _verifying(import_key(jwk))


def _verifying(key: PublicKey) -> PublicKey:
    """Return *key* if there is an algorithm it can verify with."""
    fitting = (row.name for row in ALGORITHMS.values() if row.kty == key.kty and (not row.crvs or key.crv in row.crvs))
    prepare(key, key.alg or next(fitting))
    return key


_config = partial(refused, ConfigurationException)


def read_key_material(given: VerificationKeys) -> Iterator[PublicKey]:
    """Yield the keys that a caller gave: a JWK, a key set, PEM, a secret, or several of those.

    Raises:
        ConfigurationException: There is no usable key in it.
    """
    try:
        yield from _read_material(given)
    except KeyRefused as error:
        raise _config("key_refused", f"The key cannot be used: {error.reason}", actual=error.reason) from None
    except StrictJSONError as error:
        raise _config("key_refused", f"The key cannot be read: {error.reason}", actual="json_invalid") from None


def _read_material(given: VerificationKeys) -> Iterator[PublicKey]:
    if isinstance(given, PublicKey):
        yield _verifying(given)
    elif isinstance(given, Secret):
        yield _verifying(_secret_key(secret_octets(given)))
    elif isinstance(given, JsonWebKey):
        yield import_verifying(given.as_dict())
    elif isinstance(given, Mapping):
        yield from _read_mapping(given)
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _read_material(each)
    elif isinstance(given, str | bytes):
        # Half a character (a lone surrogate) makes neither JSON nor PEM.
        yield from _read_text(given.encode("utf-8", "replace") if isinstance(given, str) else given)
    else:
        raise _config("key_refused", "A key is a JWK, a key set, PEM or a Secret", actual=type(given).__name__)


def _read_mapping(given: Mapping[str, Any]) -> Iterator[PublicKey]:
    if "kty" in given:
        yield import_verifying(given)
        return
    members = given.get("keys")
    if not isinstance(members, list | tuple) or not members:
        raise _config("key_refused", "A key set has a list of keys that is not empty", claim="keys")
    # Before any is skipped: a name that two secrets were given says of neither that it was meant.
    check_names(each.get("kid") for each in members if isinstance(each, Mapping) and each.get("kty") == "oct")
    reason = ""
    usable = False
    for member in members:
        try:
            yield import_verifying(member)
            usable = True
        except KeyRefused as error:
            reason = error.reason
    if not usable:
        raise KeyRefused(reason)


def check_names(kids: Iterable[Any]) -> None:
    """Refuse shared secrets of one name."""
    named = [kid for kid in kids if isinstance(kid, str)]
    if len(set(named)) != len(named):
        raise _config("kid_ambiguous", "Several shared secrets have the same kid", claim="kid")


def _read_text(text: bytes) -> Iterator[PublicKey]:
    start = text.lstrip()[:11]
    if start[:1] == b"{":
        yield from _read_mapping(loads_object(text))
    elif start == b"-----BEGIN ":
        yield _verifying(import_pem(text))
    else:
        raise _config(
            "key_refused",
            "A key in text is JSON or PEM",
            expected="a JWK, a key set, or PEM",
            hint="wrap a shared secret: Secret('...'); give a file's content, not its path",
        )


def _secret_key(octets: bytes) -> PublicKey:
    # RFC 8725 2.1: what is public by nature is no secret, whatever it is wrapped in.
    if any(mark in octets for mark in (b"-----BEGIN", b'"kty"', b"ssh-", b"ecdsa-sha2-")):
        raise KeyRefused("secret_is_a_public_key")
    return PublicKey("oct", None, None, None, None, None, octets)


__all__ = ["VerificationKeys", "check_names", "import_verifying", "read_key_material"]
