"""Token Status Lists: one signed, compressed list that tells the status of many tokens (draft-ietf-oauth-status-list).

A token names a list and its place in it (``status.status_list``). The list is a JWT of the type ``statuslist+jwt``; its
statuses have 1, 2, 4 or 8 bits each and are compressed with zlib. Nothing here fetches; see :mod:`.status_lists`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, NamedTuple

from ..._arguments import checks_arguments
from ..._refusals import bounded, is_number, must_be, refused
from ...exceptions import ConfigurationException, NetworkException, TokenValidationException, printable
from ..base.base64url import Base64Error, b64url_decode
from ..base.urls import origin, parse_url
from ..jose.key_material import VerificationKeys
from ..jose.key_set import KeySet, holds_secret
from .claim_checks import Claims
from .token_kinds import MARKS, Kind

#: How a list is asked for, and what it must come as (section 8.1).
MEDIA_TYPE = "application/statuslist+jwt"
#: Section 7.1: the values that every list may use.
VALID, INVALID, SUSPENDED = 0, 1, 2
_NAMES = {VALID: "VALID", INVALID: "INVALID", SUSPENDED: "SUSPENDED"}
_OTHER = 3
_CODES = {
    VALID: "token_status_unaccepted",
    INVALID: "token_revoked",
    SUSPENDED: "token_suspended",
    _OTHER: "token_status_unaccepted",
}
#: Bytes of a list after it was decompressed, at most, unless told otherwise: sixteen million statuses of one bit.
MAX_LIST = 2 * 1024 * 1024

STATUS_LIST = Kind(
    "status list",
    frozenset({"statuslist+jwt"}),
    frozenset({"sub", "iat", "status_list"}),
    frozenset(MARKS) - {"status_list"},
    expires=False,
    about_itself=True,
)


@dataclass(frozen=True, slots=True)
class StatusListPolicy:
    """Have a validator look at the status of tokens that have one (draft-ietf-oauth-status-list).

    Attributes:
        allowed_origins: Where lists may be, beside the origin of the token's issuer: ``https://status.example.com``.
        keys: The keys that sign the lists, if they are not the issuer's: JWK, JWK Set or PEM.
        accepted_statuses: Statuses of good tokens: 0 (``VALID``), and those that have a meaning of your own.
        fresh_for: Seconds that a list without ``ttl`` is used.
        max_age: Seconds that a list is used at most, whatever its ``ttl`` says.
        stale_for: Seconds beyond that for which a list that cannot be renewed goes on being used, never past its
            ``exp``.
        max_list_size: Bytes of a list after it was decompressed, at most.
        max_lists: Lists that are kept, at most.
        accept_tokens_while_status_is_unknown: Accept tokens whose list cannot be had, with the event
            ``token_status_unknown``, in place of 503.

    Raises:
        ConfigurationException: A value cannot be used safely.

    >>> StatusListPolicy(allowed_origins=("https://status.example.com",)).accepted_statuses
    frozenset({0})
    """

    allowed_origins: str | tuple[str, ...] = ()
    keys: VerificationKeys | None = field(default=None, repr=False)
    accepted_statuses: frozenset[int] = frozenset({VALID})
    fresh_for: float = 300.0
    max_age: float = 86400.0
    stale_for: float = 0.0
    max_list_size: int = MAX_LIST
    max_lists: int = 64
    accept_tokens_while_status_is_unknown: bool = False

    @checks_arguments
    def __post_init__(self) -> None:
        origins = (self.allowed_origins,) if isinstance(self.allowed_origins, str) else tuple(self.allowed_origins)
        for one in origins:
            parse_url(one, "allowed_origins", allow_query=False)
        object.__setattr__(self, "allowed_origins", tuple(map(origin, origins)))  # one string is one origin
        object.__setattr__(self, "accepted_statuses", _accepted(self.accepted_statuses))
        bounded(self.fresh_for, "fresh_for", float, 1, 30 * 86400, unit="seconds")
        bounded(self.max_age, "max_age", float, 1, 30 * 86400, unit="seconds")
        bounded(self.stale_for, "stale_for", float, 0, 30 * 86400, unit="seconds")
        bounded(self.max_list_size, "max_list_size", int, 1, 64 * 1024 * 1024, unit="bytes")
        bounded(self.max_lists, "max_lists", int, 1, 100_000, unit="lists")
        if not isinstance(self.accept_tokens_while_status_is_unknown, bool):
            raise must_be("accept_tokens_while_status_is_unknown", "True or False")
        if self.keys is not None:
            object.__setattr__(self, "keys", key_set(self.keys))


def _accepted(statuses: object) -> frozenset[int]:
    if not isinstance(statuses, set | frozenset | tuple | list) or not statuses:
        raise must_be("accepted_statuses", "numbers from 0 to 255, one at least", statuses)
    return frozenset(bounded(one, "accepted_statuses", int, 0, 255) for one in statuses)


def key_set(keys: VerificationKeys | KeySet) -> KeySet:
    """Return the keys of lists, which are public ones."""
    if holds_secret(keys):
        raise ConfigurationException("Lists are verified with public keys", code="policy_invalid", claim="keys")
    return keys if isinstance(keys, KeySet) else KeySet.from_keys(keys)


# ---------------------------------------------------------------------------------------------------------------------
# What a token says


class Reference(NamedTuple):
    """Where the status of a token is: the list, and the place in it."""

    uri: str
    idx: int


def parse_reference(claims: Claims) -> Reference:
    """Return where the status of a token with these claims is (section 6.1).

    Raises:
        TokenValidationException: The claim ``status`` is malformed, or tells of another mechanism.
    """
    status = claims["status"]
    listed = status.get("status_list") if isinstance(status, dict) else None
    if isinstance(status, dict) and "status_list" not in status:
        raise _refused("status_unsupported", "The status of the token is kept in another way", expected="status_list")
    idx, uri = (listed.get("idx"), listed.get("uri")) if isinstance(listed, dict) else (None, None)
    if type(idx) is not int or idx < 0 or not isinstance(uri, str) or not uri:
        raise _refused("status_invalid", "status.status_list must have idx, a whole number, and uri, a string")
    return Reference(uri, idx)


def check_place(reference: Reference, issuer: str, policy: StatusListPolicy) -> None:
    """Refuse a token whose list is neither at its issuer nor at an origin that is allowed.

    Raises:
        TokenValidationException: So it is.
    """
    home = (origin(issuer),) if issuer.startswith(("https://", "http://")) else ()
    allowed = (*home, *policy.allowed_origins)
    try:
        parse_url(reference.uri, "uri", require_https=False)
        place = origin(reference.uri)
    except (ConfigurationException, ValueError):
        place = ""
    if place not in allowed:
        raise _refused(
            "status_uri_refused",
            "The status list of the token is at a place that is not allowed",
            expected=" or ".join(allowed[:5]),
            actual=place or None,
            hint="StatusListPolicy(allowed_origins=...) allows others",
        )


# ---------------------------------------------------------------------------------------------------------------------
# What a list says


@dataclass(frozen=True, slots=True)
class StatusList:
    """A list that was verified.

    Attributes:
        bits: Bits per status.
        statuses: The statuses, the first in the least significant bits of the first byte.
        issued: ``iat``, in seconds since 1970.
        expires: ``exp``; infinite without one.
        ttl: Seconds that it may be used, if it says so.
    """

    bits: int
    statuses: bytes = field(repr=False)
    issued: float = 0.0
    expires: float = inf
    ttl: float | None = None

    def __len__(self) -> int:
        return len(self.statuses) * 8 // self.bits

    def status(self, idx: int) -> int:
        """Return the status at a place, which is one in the list.

        >>> StatusList(2, bytes([0b11100100])).status(2)
        2
        """
        per_byte = 8 // self.bits
        byte = self.statuses[idx // per_byte]
        return byte >> (idx % per_byte) * self.bits & (1 << self.bits) - 1


def read_list(claims: Mapping[str, Any], uri: str, policy: StatusListPolicy) -> StatusList:
    """Return the list in a token that was verified (sections 4.2, 5.1 and 8.3).

    Raises:
        NetworkException: It is about another list, malformed, or too large.
    """
    # Section 8.3: sub must be equal to the uri of the referenced token.
    if claims["sub"] != uri:
        raise unusable(uri, "it is the list of another address", expected=uri, actual=printable(claims["sub"]))
    listed = claims["status_list"]
    bits, packed = (listed.get("bits"), listed.get("lst")) if isinstance(listed, dict) else (None, None)
    if type(bits) is not int or bits not in (1, 2, 4, 8) or not isinstance(packed, str):
        raise unusable(uri, "status_list must have bits, 1, 2, 4 or 8, and lst, a string")
    ttl = claims.get("ttl")
    if ttl is not None and (not is_number(ttl, float) or ttl == 0):
        raise unusable(uri, "ttl must be a positive number")
    statuses = inflate(packed, uri, policy.max_list_size)
    return StatusList(bits, statuses, claims["iat"], claims.get("exp", inf), ttl)


def inflate(packed: str, uri: str, most: int) -> bytes:
    """Return what *packed* holds, never taking more memory than a list may have.

    Raises:
        NetworkException: It is no base64url, no whole zlib stream, or longer than *most* bytes.
    """
    try:
        data = b64url_decode(packed)
        stream = zlib.decompressobj()
        statuses = stream.decompress(data, most + 1)
    except (Base64Error, zlib.error):
        raise unusable(uri, "lst is no compressed list") from None
    if len(statuses) > most:
        raise unusable(uri, "the list is too large", code="status_list_too_large", expected=f"at most {most} bytes")
    if not stream.eof or stream.unused_data or not statuses:
        raise unusable(uri, "lst is no compressed list")
    return statuses


def judge(found: StatusList, reference: Reference, policy: StatusListPolicy) -> None:
    """Refuse a token whose status is none of those that are accepted.

    Raises:
        TokenValidationException: So it is; ``token_revoked``, ``token_suspended`` or ``token_status_unaccepted``.
    """
    if reference.idx >= len(found):
        raise _refused(
            "status_index_invalid", "The status list of the token does not reach so far", actual=reference.idx
        )
    status = found.status(reference.idx)
    if status in policy.accepted_statuses:
        return
    name = _NAMES.get(status, f"0x{status:02X}")
    raise _refused(
        _CODES[min(status, _OTHER)],
        f"The status of the token is {name}",
        expected=" or ".join(_NAMES.get(one, f"0x{one:02X}") for one in sorted(policy.accepted_statuses)),
        actual=name,
        hint="get a new token, or log in again" if status == INVALID else None,
    )


_refused = partial(refused, TokenValidationException, claim="status", token_part="payload")


def unusable(uri: str, why: str, *, code: str = "status_list_invalid", **facts: Any) -> NetworkException:
    """Return the exception for a list that cannot be used, so that nobody knows the status of its tokens."""
    shown = printable(uri)
    return NetworkException(f"The status list {shown} cannot be used: {why}", shown, code=code, **facts)


__all__ = [
    "INVALID",
    "MAX_LIST",
    "MEDIA_TYPE",
    "STATUS_LIST",
    "SUSPENDED",
    "VALID",
    "Reference",
    "StatusList",
    "StatusListPolicy",
    "check_place",
    "inflate",
    "judge",
    "key_set",
    "parse_reference",
    "read_list",
    "unusable",
]
