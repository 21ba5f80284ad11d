"""A provider on loopback: metadata and key set of each case under its own path, and a count of what was asked."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import Any, Self


class Provider:
    """Serves ``/NAME/.well-known/openid-configuration`` and ``/NAME/jwks`` for each name of *keys*."""

    def __init__(self, latency: float = 0.0) -> None:
        #: The published keys by issuer name; may be replaced at any time.
        self.keys: dict[str, list[dict[str, str]]] = {}
        self.latency = latency
        #: Answer everything with this status, if it is set.
        self.failing: int | None = None
        #: What UserInfo says of a token, None for one that is not good; without it there is no such endpoint.
        self.userinfo: Callable[[str], dict[str, Any] | None] | None = None
        self.requests: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(3600.0,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def issuer(self, name: str) -> str:
        """Return the issuer of that name."""
        return f"{self.address}/{name}"

    def answer(self, path: str, token: str = "") -> tuple[int, dict[str, Any]]:
        """Return status and document for a path."""
        name, _, rest = path.strip("/").partition("/")
        self.requests[rest] += 1
        if self.failing:
            return self.failing, {"error": "temporarily_unavailable"}
        if name not in self.keys:
            return 404, {"error": "not_found"}
        if rest == "userinfo" and self.userinfo is not None:
            known = self.userinfo(token)
            return (401, {"error": "invalid_token"}) if known is None else (200, known)
        if rest == "jwks":
            return 200, {"keys": list(self.keys[name])}
        issuer = self.issuer(name)
        return 200, {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/jwks",
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def close(self) -> None:
        """Stop serving."""
        # The accept loop looks up once an hour, so that it takes no time from others: wake it with a connection.
        closer = threading.Thread(target=self._server.shutdown, daemon=True)
        closer.start()
        import socket

        while closer.is_alive():
            try:
                socket.create_connection(self._server.server_address[:2], 1).close()
            except OSError:
                break
            closer.join(0.05)
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _handler(provider: Provider) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if provider.latency:
                sleep(provider.latency)
            token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            status, document = provider.answer(self.path, token)
            body = json.dumps(document).encode()
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Bearer error="invalid_token", error_description="not valid"')
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler
