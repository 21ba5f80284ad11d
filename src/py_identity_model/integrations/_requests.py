"""Requests as servers hand them over, ASGI or WSGI, as the gate reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from .._core.binding.inbound_request import InboundRequest

#: Characters of a path that stay as they are (RFC 3986 3.3).
_PATH = "/:@!$&'()*+,;=~-._%"
#: An ASGI connection, a WSGI environment: what is under each key is of a type of its own, which no mapping can say.
Connection: TypeAlias = Mapping[str, Any]
Environment: TypeAlias = Mapping[str, Any]

_SCHEMES = {"ws": "http", "wss": "https"}


def of_scope(scope: Connection, headers: tuple[tuple[str, str], ...] = ()) -> InboundRequest:
    """Return the request of an ASGI connection, HTTP or WebSocket.

    Args:
        scope: The connection.
        headers: More headers, such as a token that came in another way.
    """
    pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    scheme = scope.get("scheme", "http")
    host = next((value for name, value in pairs if name == "host"), None) or _authority(scope.get("server"))
    query = scope.get("query_string", b"").decode("latin-1")
    url = f"{_SCHEMES.get(scheme, scheme)}://{host}{sent_path(scope)}{'?' + query if query else ''}"
    client = scope.get("client")
    chain = ((scope.get("extensions") or {}).get("tls") or {}).get("client_cert_chain") or (None,)
    return InboundRequest(scope.get("method", "GET"), url, pairs + headers, client[0] if client else None, chain[0])


def _authority(server: tuple[str, int | str | None] | None) -> str:
    if not server:
        return "localhost"
    host, port = server
    named = f"[{host}]" if ":" in host else host
    return named if port is None else f"{named}:{port}"


def sent_path(scope: Connection) -> str:
    """Return the path of an ASGI connection as the client sent it."""
    raw = scope.get("raw_path")
    if raw:
        return str(raw.decode("latin-1").partition("?")[0])
    return quote(scope.get("path", "/"), safe=_PATH)


def of_environ(environ: Environment) -> InboundRequest:
    """Return the request of a WSGI environment. Repeated headers have been joined by the server."""
    headers = [
        (name[5:].replace("_", "-").lower(), value) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    host = environ.get("HTTP_HOST") or _authority((environ.get("SERVER_NAME", "localhost"), environ.get("SERVER_PORT")))
    path = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), safe=_PATH, encoding="latin-1") or "/"
    query = environ.get("QUERY_STRING", "")
    url = f"{environ.get('wsgi.url_scheme', 'http')}://{host}{path}{'?' + query if query else ''}"
    return InboundRequest(
        environ.get("REQUEST_METHOD", "GET"),
        url,
        tuple(headers),
        environ.get("REMOTE_ADDR") or None,
        environ.get("SSL_CLIENT_CERT") or None,
    )


def pairs(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


__all__ = ["Connection", "Environment", "of_environ", "of_scope", "pairs", "sent_path"]
