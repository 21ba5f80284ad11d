"""Header fields: which can be sent, which can be sent back, and what dates in them say (RFC 9110 5, 5.6.7, 8.8.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ...exceptions import ConfigurationException, printable
from .flow import Reply, Request

# RFC 9110 5.6.2: token.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 5.5: visible ASCII, with spaces and tabs between. What could end a line early, and obs-text, is never sent.
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
#: What says who asks, how the connection goes, and what is asked for: nobody else's to set.
_OWN_FIELDS = frozenset(
    {"authorization", "dpop", "oauth-client-attestation", "oauth-client-attestation-pop", "cookie", "host", "expect"}
    | {"content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "te", "trailer"}
    | {"upgrade", "accept", "accept-encoding", "proxy-authorization", "if-none-match", "if-modified-since", "range"}
)
# RFC 9110 8.8.3, without obs-text, which client libraries do not send, and no longer than servers take in a request.
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,256}"')


def check_field(name: object, value: object) -> None:
    """Refuse a header field that cannot be sent as it is.

    Raises:
        ConfigurationException: ``header_invalid``; the message never repeats the value, which may be a credential.
    """
    if isinstance(name, str) and isinstance(value, str) and _NAME.fullmatch(name) and _VALUE.fullmatch(value):
        return
    raise ConfigurationException(
        f"The header {printable(name)!r} cannot be sent",
        code="header_invalid",
        claim=printable(name),
        expected="a name of letters, digits and hyphens, and a value of visible ASCII",
    )


def with_fields(request: Request, headers: Mapping[str, str] | None) -> Request:
    """Return *request* with the caller's own header fields, such as ``x-fapi-interaction-id``.

    Raises:
        ConfigurationException: One cannot be sent (``header_invalid``), or is the request's own
            (``header_field_reserved``).
    """
    if not headers:
        return request
    taken = {name.lower() for name, _ in request.headers} | _OWN_FIELDS
    for name, value in headers.items():
        check_field(name, value)
        if name.lower() in taken:
            raise ConfigurationException(
                f"The header {printable(name)!r} is the request's own",
                code="header_field_reserved",
                claim=printable(name),
            )
        taken.add(name.lower())
    return replace(request, headers=(*request.headers, *headers.items()))


def entity_tag(reply: Reply) -> str | None:
    """Return the entity tag of *reply*, if it is one that can be sent back.

    >>> entity_tag(Reply(200, (("etag", 'W/"v1"'),)))
    'W/"v1"'
    >>> entity_tag(Reply(200, (("etag", '"v\xe9rsion"'),))) is None
    True
    """
    values = reply.header_values("etag")
    # RFC 9110 5.3: a field that is no list and stands there twice says nothing.
    return values[0] if len(values) == 1 and _ENTITY_TAG.fullmatch(values[0]) else None


def http_date(text: str | None) -> float | None:
    """Return what a date in a header field means, in seconds since 1970; None for what is no date (RFC 9110 5.6.7).

    >>> http_date("Sun, 06 Nov 1994 08:49:37 GMT")
    784111777.0
    """
    from email.utils import parsedate_to_datetime  # not at the top: it loads sockets and calendars

    if not text or len(text) > 64:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, LookupError, OverflowError, OSError):
        return None


__all__ = ["check_field", "entity_tag", "http_date", "with_fields"]
