"""Calls to a transmitter: JSON over https, with a bearer token (SSF 1.0 8, RFC 8936)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ...exceptions import ConfigurationException
from ..base.flow import Request
from ..base.response import BaseRequest, by_backchannel
from ..base.secret import CurrentSecret, Secret, current, exposed
from ..base.urls import parse_url

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")


@dataclass(repr=False)
class TransmitterRequest(BaseRequest):
    """A call to a transmitter.

    Attributes:
        access_token: The token that the transmitter wants to see, or a function that returns one as of now.
        allow_insecure_http: Accept plain http, for development.
    """

    access_token: CurrentSecret | None = None
    allow_insecure_http: bool = field(default=False, kw_only=True)

    _redacted = frozenset({"access_token"})


def build_call(
    request: TransmitterRequest,
    method: str,
    members: Mapping[str, Any] | None = None,
    query: Mapping[str, str] | None = None,
    **facts: Any,
) -> Request:
    """Build a call, with a body or a query if there is one.

    Raises:
        ConfigurationException: The call cannot be sent as it is.
    """
    https = not request.allow_insecure_http
    parse_url(request.address, "address", require_https=https)
    headers = [("Accept", "application/json")]
    token = current(request.access_token, "access_token")
    if token is not None:
        if not isinstance(token, str | Secret) or not _BEARER.match(exposed(token)):
            raise ConfigurationException(
                "The access token is no bearer token", code="access_token_invalid", claim="access_token"
            )
        headers.append(("Authorization", f"Bearer {exposed(token)}"))
    body = b""
    if members is not None:
        headers.append(("Content-Type", "application/json"))
        body = _encoded(members)
    url = request.address
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query)
    return by_backchannel(Request(method, url, tuple(headers), body, **facts), request, require_https=https)


def _encoded(members: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(members, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationException("What is to be sent is no JSON", code="stream_invalid", claim="stream") from None


__all__ = ["TransmitterRequest", "build_call"]
