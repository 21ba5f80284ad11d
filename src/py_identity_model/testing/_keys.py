"""The embedded provider's keys: made when first needed, kept for the whole process, shown or hidden at will."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.jose.algorithms import ASYMMETRIC_ALGORITHMS, SignatureAlgorithm
from .._core.jose.signing_keys import SigningKey
from ..exceptions import ConfigurationException, printable

#: Keys of one owner for one algorithm that are kept for other providers of the same name.
POOLED = 50

_pool: dict[tuple[str, str, int], SigningKey] = {}
_pool_lock = threading.Lock()


def pooled_key(owner: str, alg: SignatureAlgorithm, number: int) -> SigningKey:
    """Return *owner*'s key number *number* for *alg*, the same one throughout the process.

    Making RSA keys is slow and a test suite makes many providers. Two owners never share a key.

    Raises:
        ConfigurationException: The algorithm is no asymmetric one.
    """
    if alg not in ASYMMETRIC_ALGORITHMS:
        raise ConfigurationException(
            f"The embedded provider makes no key for {printable(alg, 40)!r}",
            code="alg_unsupported",
            claim="alg",
            expected=list(ASYMMETRIC_ALGORITHMS),
            actual=printable(alg, 40),
            hint="pass key=SigningKey.from_secret(...) to sign with a shared secret",
        )
    with _pool_lock:
        name = (owner, alg, number)
        key = _pool.get(name) or SigningKey.generate(alg, kid=f"{alg.lower()}-{number}")
        if number <= POOLED:
            _pool[name] = key
        return key


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A signing key and how it stands in the key set."""

    key: SigningKey
    jwk: Mapping[str, Any]
    published: bool

    @property
    def kid(self) -> str | None:
        """The key's id, as tokens name it."""
        return self.key.kid


class KeyRing:
    """The keys of one provider. Any thread may use it.

    Args:
        owner: Whose keys these are, for :func:`pooled_key`.
        algorithms: Algorithms that have a key from the start.
    """

    def __init__(self, owner: str, algorithms: Sequence[SignatureAlgorithm]) -> None:
        self._owner = owner
        self._algorithms: tuple[SignatureAlgorithm, ...] = tuple(algorithms)
        self._wanted = self._algorithms
        self._made: Counter[str] = Counter()
        self._held: tuple[HeldKey, ...] = ()
        self._lock = threading.RLock()

    def held(self) -> tuple[HeldKey, ...]:
        """Return every key, the newest last."""
        with self._lock:
            self._make_wanted()
            return self._held

    def current(self, alg: SignatureAlgorithm) -> SigningKey:
        """Return the newest key for *alg*, making and publishing one if there is none."""
        with self._lock:
            self._make_wanted()
            newest = next((held.key for held in reversed(self._held) if held.key.alg == alg), None)
            return newest or self.add(alg)

    def add(
        self,
        key: SigningKey | SignatureAlgorithm,
        kid: str | None = None,
        published: bool = True,
        jwk: Mapping[str, Any] | None = None,
    ) -> SigningKey:
        """Add a key, or make one for an algorithm; *jwk* changes members of its published form, None removing one."""
        with self._lock:
            self._make_wanted()
            return self._add(key, kid, published, jwk)

    def rotate(self, alg: SignatureAlgorithm | None, keep_previous: bool, published: bool) -> SigningKey:
        """Make a new key for *alg*, or for every algorithm in use; return the first one made."""
        with self._lock:
            held = self.held()
            in_use: list[SignatureAlgorithm] = list(dict.fromkeys(entry.key.alg for entry in held))
            algs: list[SignatureAlgorithm] = [alg] if alg else in_use or list(self._algorithms)
            if not keep_previous:
                self._held = tuple(entry for entry in held if entry.key.alg not in algs)
            first, *_ = [self._add(each, None, published, None) for each in algs]
            return first

    def remove(self, kid: str) -> None:
        """Take the keys named *kid* out.

        Raises:
            ConfigurationException: There is no such key.
        """
        with self._lock:
            kept = tuple(entry for entry in self.held() if entry.kid != kid)
            if len(kept) == len(self._held):
                known = [entry.kid for entry in self._held]
                raise ConfigurationException(
                    f"There is no key {printable(kid, 40)!r}", code="key_unknown", claim="kid", expected=known
                )
            self._held = kept

    def publish(self) -> None:
        """Show every key that was held back."""
        with self._lock:
            self._held = tuple(replace(entry, published=True) for entry in self.held())

    def document(self) -> dict[str, Any]:
        """Return the key set (RFC 7517 5)."""
        return {"keys": [dict(entry.jwk) for entry in self.held() if entry.published]}

    def _make_wanted(self) -> None:
        wanted, self._wanted = self._wanted, ()
        for alg in wanted:
            self._add(alg, None, True, None)

    def _add(
        self, key: SigningKey | SignatureAlgorithm, kid: str | None, published: bool, jwk: Mapping[str, Any] | None
    ) -> SigningKey:
        if isinstance(key, str):
            self._made[key] += 1
            key = pooled_key(self._owner, key, self._made[key])
        if kid is not None and kid != key.kid:
            key = replace(key, kid=kid)
        members = {**(key.public_jwk or {}), "use": "sig", "alg": key.alg, "kid": key.kid, **(jwk or {})}
        shown = {name: value for name, value in members.items() if value is not None}
        self._held = (*self._held, HeldKey(key, shown, published))
        return key


__all__ = ["HeldKey", "KeyRing", "pooled_key"]
