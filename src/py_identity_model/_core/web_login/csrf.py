"""Requests that another site makes a browser send: a token for forms, a header for programs, and where it came from.

``SameSite`` of the cookie is one line of defence; these are others.
"""

from __future__ import annotations

import secrets

from ..base.base64url import b64url_decode, b64url_encode
from ..base.secret import same_text
from ..base.store import digest_of
from .messages import WebRequest

#: The field of a form, and the header, that carry the token.
FIELD = "csrf_token"
HEADER = "x-csrf-token"
#: A header that only a page of this origin can send without being asked first (Fetch 3.3.2): its value does not count.
PROGRAM_HEADER = "x-csrf"
_SIZE = 32


def csrf_token(session_id: str) -> str:
    """Return a token for one page: another spelling each time, so that compression does not tell it (BREACH)."""
    mask = secrets.token_bytes(_SIZE)
    return b64url_encode(mask + _masked(mask, _expected(session_id)))


def is_csrf_token(token: str | None, session_id: str) -> bool:
    """Tell whether *token* was made for this session."""
    if token is None or len(token) > 4 * _SIZE:
        return False
    try:
        octets = b64url_decode(token)
    except ValueError:
        return False
    mask, rest = octets[:_SIZE], octets[_SIZE:]
    return len(rest) == _SIZE and same_text(_masked(mask, rest).hex(), _expected(session_id).hex())


def _expected(session_id: str) -> bytes:
    return bytes.fromhex(digest_of("csrf", session_id))


def _masked(mask: bytes, value: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(mask, value, strict=True))


def is_foreign(request: WebRequest, origin: str) -> bool:
    """Tell whether the browser says that another site sent the request."""
    sites = request.values("sec-fetch-site")
    if any(site not in ("same-origin", "none") for site in sites):
        return True
    # A page that tells nobody where it is sends null, also to its own origin (Fetch 3.2).
    known = (origin, "null") if "same-origin" in sites else (origin,)
    return any(value not in known for value in request.values("origin"))


def is_own(request: WebRequest, session_id: str, origin: str) -> bool:
    """Tell whether a request that changes something was sent by a page of ours.

    A form shows it by the token of the session, a program by that token too, or by the header that pages of other sites
    cannot send.
    """
    if is_foreign(request, origin):
        return False
    token = request.header(HEADER)
    if token is None and request.header(PROGRAM_HEADER):
        return True
    return is_csrf_token(token or request.form().get(FIELD), session_id)


__all__ = ["FIELD", "HEADER", "PROGRAM_HEADER", "csrf_token", "is_csrf_token", "is_foreign", "is_own"]
