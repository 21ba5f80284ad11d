"""Nonces that servers give to clients for their DPoP proofs (RFC 9449 8 and 9)."""

from __future__ import annotations

import re
from collections import OrderedDict

from ..._arguments import explains_arguments
from ..._refusals import bounded
from ..base.flow import Reply
from ..base.fork_lock import Guard
from ..base.response import HTTPResponse
from ..base.strict_json import StrictJSONError, loads_object
from ..base.urls import origin
from .challenges import challenges_of

# RFC 9449 8.1: a nonce is NQCHAR.
_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}+")


@explains_arguments
def extract_dpop_nonce(response: Reply | HTTPResponse) -> str | None:
    """Return the nonce to repeat a request with, if its response demands one (RFC 9449 8 and 9).

    Args:
        response: A response of httpx2 or httpx, or a :class:`Reply`.

    Returns:
        The nonce; None if the response demands none, or gives none, several, or something that is no nonce. A request
        that went well is not to be repeated, also where its response brings a nonce for the next one.

    >>> extract_dpop_nonce(Reply(400, (("dpop-nonce", "eyJ7S_zG"),), b'{"error":"use_dpop_nonce"}'))
    'eyJ7S_zG'
    >>> extract_dpop_nonce(Reply(200, (("dpop-nonce", "eyJ7S_zG"),)))
    """
    reply = response if isinstance(response, Reply) else _as_reply(response)
    return offered_nonce(reply) if wants_dpop_nonce(reply) else None


def offered_nonce(reply: Reply) -> str | None:
    """Return the nonce that *reply* gives for the next proof (RFC 9449 8.2); None unless there is exactly one."""
    values = reply.header_values("dpop-nonce")
    return values[0] if len(values) == 1 and _NONCE.fullmatch(values[0]) else None


def _as_reply(response: HTTPResponse) -> Reply:
    try:
        body = response.content
    except RuntimeError:  # both libraries: a stream that was not read
        body = b""
    headers = tuple((str(name).lower(), str(value)) for name, value in response.headers.multi_items())
    return Reply(response.status_code, headers, body)


class NonceStore:
    """The nonce that each origin gave last (RFC 9449 8.2). Any thread may use it.

    Args:
        max_origins: Origins remembered at most; the one used longest ago is forgotten first.

    Raises:
        ConfigurationException: *max_origins* is no positive integer.
    """

    @explains_arguments
    def __init__(self, max_origins: int = 256) -> None:
        bounded(max_origins, "max_origins", int, 1, code="dpop_size_invalid")
        self._max_origins = max_origins
        self._lock = Guard()
        self._nonces: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._nonces)

    @explains_arguments
    def get(self, url: str) -> str | None:
        """Return the nonce for requests to the origin of *url*, None if it gave none."""
        with self._lock:
            place = origin(url)
            nonce = self._nonces.get(place)
            if nonce is not None:
                self._nonces.move_to_end(place)
            return nonce

    @explains_arguments
    def remember(self, url: str, nonce: str) -> None:
        """Use *nonce* for later requests to the origin of *url*, and for no other."""
        with self._lock:
            place = origin(url)
            self._nonces[place] = nonce
            self._nonces.move_to_end(place)
            if len(self._nonces) > self._max_origins:
                self._nonces.popitem(last=False)


def wants_dpop_nonce(reply: Reply) -> bool:
    """Tell whether *reply* refuses a proof for want of a nonce: a token endpoint's error, or a resource's challenge."""
    asked = (c.has_scheme("DPoP") and c.get("error") == "use_dpop_nonce" for c in challenges_of(reply))
    by_challenge = reply.status == 401 and any(asked)
    return by_challenge or (reply.status in (400, 401) and _oauth_error(reply) == "use_dpop_nonce")


def _oauth_error(reply: Reply) -> object:
    try:
        return loads_object(reply.body, max_size=65536).get("error")
    except StrictJSONError:
        return None


__all__ = ["NonceStore", "extract_dpop_nonce", "offered_nonce", "wants_dpop_nonce"]
