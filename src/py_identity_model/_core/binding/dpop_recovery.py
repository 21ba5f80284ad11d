"""DPoP proofs after a store lost its memory: a nonce of the new memory shows that a proof was made since (RFC 9449 8).

A proof says when it was made by the client's clock, which may run ahead: it may have been used before the memory was
lost, and say that it was made after. Such a proof is answered with a nonce. Whoever repeats the request with it has
made a new proof; one that was used before cannot have it.

The nonce names when the memory began, under a secret that is kept in that very memory: one that was handed out from
another memory is worth nothing, whatever clocks say.
"""

from __future__ import annotations

import hmac
import secrets
import struct

from ...exceptions import DPoPValidationException, StoreException
from ..base.base64url import Base64Error, b64url_decode, b64url_encode
from ..base.flow import Flow
from ..base.store import AnyStore, ask, pack, unpack
from .replay import TOPIC, first_use

#: Where the secret is, beside the digests of what was used, and for how long.
_KEY, _LIFETIME = "dpop-nonces", 86400.0
_MAC = 24


def first_use_since(
    store: AnyStore, key: str, lifetime: float, made_at: float, nonce: object, window_nonce: str | None
) -> Flow[bool]:
    """Remember a proof in a store and tell whether this was its first use.

    Args:
        store: The store.
        key: The digest of the proof.
        lifetime: Seconds for which it is remembered.
        made_at: When at the earliest it was used, in seconds since 1970.
        nonce: What the proof has as nonce.
        window_nonce: The nonce that the server wants in any case; None if it wants none.

    Raises:
        DPoPValidationException: The store's memory does not reach back so far, and the proof does not show that it was
            made since; the ``code`` is ``dpop_nonce_required``, and ``nonce`` what to answer with.
        StoreException: The store cannot answer.
    """
    try:
        return (yield from first_use(store, key, lifetime, made_at))
    except StoreException as error:
        if error.code != "store_memory_lost":
            raise
    secret = yield from _secret(store)
    since = _shown(nonce, secret)
    try:
        if since is not None:
            return (yield from first_use(store, key, lifetime, since))
    except StoreException as error:  # another shard of a cluster began later
        if error.code != "store_memory_lost":
            raise
    began = (yield from ask(store, lambda one: one.epoch())).since
    mark = _mark(began, secret)
    raise _unsure(mark if window_nonce is None else f"{window_nonce}.{mark}")


def _unsure(nonce: str) -> DPoPValidationException:
    refusal = DPoPValidationException(
        "The DPoP proof may be from before the store lost its memory; one with the nonce of this answer is not",
        code="dpop_nonce_required",
        claim="nonce",
    )
    refusal.nonce = nonce
    return refusal


def window_part(nonce: str) -> str:
    """Return a nonce without what shows from which memory it is.

    >>> window_part("a.b"), window_part("a")
    ('a', 'a')
    """
    return nonce.rpartition(".")[0] or nonce


def _mark(began: float, secret: bytes) -> str:
    told = struct.pack(">d", began)
    return b64url_encode(told + hmac.digest(secret, told, "sha256")[:_MAC])


def _shown(nonce: object, secret: bytes) -> float | None:
    """Return when the memory began that a nonce is from; None if it is from none that is there."""
    if not isinstance(nonce, str):
        return None
    try:
        mark = b64url_decode(nonce.rpartition(".")[2])
    except Base64Error:
        return None
    told = mark[:8]
    if len(mark) != 8 + _MAC or not hmac.compare_digest(mark[8:], hmac.digest(secret, told, "sha256")[:_MAC]):
        return None
    began: float = struct.unpack(">d", told)[0]
    return began


def _secret(store: AnyStore) -> Flow[bytes]:
    """Return the secret of this memory of the store, the same for all processes."""
    held = yield from ask(store, lambda one: one.get(TOPIC, _KEY))
    known = unpack(held, topic=TOPIC)
    if known is None:
        made = pack(secrets.token_bytes(32))
        yield from ask(store, lambda one: one.swap(TOPIC, _KEY, held, made, _LIFETIME))
        # Another process may have been quicker.
        known = unpack((yield from ask(store, lambda one: one.get(TOPIC, _KEY))), topic=TOPIC)
    if known is None:
        raise StoreException("The store does not keep what it was given", code="store_failed")
    return known


__all__ = ["first_use_since", "window_part"]
