"""The browser of this machine, and an address it comes back to (RFC 8252 7.3, 8.3)."""

from __future__ import annotations

import errno
import selectors
import socket
import sys
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs

from ._core.client.device import DeviceAuthorizationResponse
from .exceptions import ConfigurationException

#: Bytes of a request that are read at most, and seconds that a connection may take to send them.
MOST_BYTES, MOST_SECONDS = 16384, 10.0
#: Connections at a time; browsers open some they do not use.
MOST_CONNECTIONS = 32
#: Attempts to find a port that is free on both addresses.
ATTEMPTS = 8

_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>{title}</title><body style='font-family:system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem'>"
    "<h1>{title}</h1><p>You may close this window.</p>"
)
_HEADERS = (
    "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'\r\nConnection: close\r\n"
)


class _Connection:
    """One connection of a browser, and what it has sent so far."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.until = time.monotonic() + MOST_SECONDS
        self.data = b""

    def request_line(self) -> tuple[str, str] | None:
        """Read on; return method and target once the header is complete.

        Raises:
            OSError: The connection is of no use.
        """
        more = self.sock.recv(4096)
        self.data += more
        if b"\r\n\r\n" in self.data:
            method, _, rest = self.data.partition(b"\r\n")[0].decode("latin-1").partition(" ")
            return method, rest.partition(" ")[0]
        if not more or len(self.data) > MOST_BYTES:
            raise ConnectionError
        return None

    def hosts(self) -> list[str]:
        """Return the values of ``Host``."""
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        pairs = [line.partition(":") for line in lines]
        return [value.strip().lower() for name, _, value in pairs if name.strip().lower() == "host"]

    def answer(self, status: str, title: str) -> None:
        """Show a page, and close the connection."""
        page = _PAGE.format(title=title).encode()
        head = f"HTTP/1.1 {status}\r\n{_HEADERS}Content-Length: {len(page)}\r\n\r\n"
        self.sock.settimeout(1.0)
        with suppress(OSError):
            self.sock.sendall(head.encode() + page)
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()


class BrowserReturn:
    """Listens on one port of 127.0.0.1, and of ::1 where there is one, for a browser that comes back.

    Args:
        path: The path of the address.
        port: The port; 0 is any.

    Raises:
        ConfigurationException: No port of this machine is to be had, or not this one.
    """

    def __init__(self, path: str = "/callback", port: int = 0) -> None:
        if not path.startswith("/") or "?" in path or not path.isascii() or not path.isprintable() or " " in path:
            raise ConfigurationException(
                "path must begin with / and have no query", code="policy_invalid", claim="path"
            )
        self._path = path
        self._selector = selectors.DefaultSelector()
        self._sockets = _listening(port)
        self._port = self._sockets[0].getsockname()[1]
        self.redirect_uri = f"http://127.0.0.1:{self._port}{path}"
        self._connections: dict[socket.socket, _Connection] = {}
        for sock in self._sockets:
            self._selector.register(sock, selectors.EVENT_READ)

    def wait(self, seconds: float, belongs: Callable[[str], bool]) -> str | None:
        """Return the query that a browser brought to the address, if its ``state`` belongs here.

        Args:
            seconds: How long to wait.
            belongs: Tells whether a ``state`` is the one that was sent. Other requests are refused, and waited on.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock in self._sockets:
                    self._accept(sock)
                elif (query := self._read(self._connections[sock], belongs)) is not None:
                    return query
            self._drop_old()
        return None

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:  # the browser went away again
            return
        if len(self._connections) >= MOST_CONNECTIONS:
            sock.close()
            return
        self._connections[sock] = _Connection(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, connection: _Connection, belongs: Callable[[str], bool]) -> str | None:
        try:
            line = connection.request_line()
        except BlockingIOError:
            return None
        except OSError:
            self._drop(connection)
            return None
        if line is None:
            return None
        self._forget(connection)
        return self._answered(connection, *line, belongs)

    def _answered(
        self, connection: _Connection, method: str, target: str, belongs: Callable[[str], bool]
    ) -> str | None:
        path, _, query = target.partition("?")
        # A page elsewhere may have its own name lead here: only our own is answered.
        ours = {f"{host}:{self._port}" for host in ("127.0.0.1", "[::1]", "localhost")}
        if path != self._path or method != "GET" or len(connection.hosts()) != 1 or connection.hosts()[0] not in ours:
            connection.answer("404 Not Found", "There is nothing here")
            return None
        given = parse_qs(query, keep_blank_values=True, max_num_fields=64) if query.count("&") < 64 else {}
        if not belongs((given.get("state") or [""])[0]):
            connection.answer("400 Bad Request", "This login did not begin here")
            return None
        connection.answer("200 OK", "The login failed" if "error" in given else "You are logged in")
        return f"?{query}"

    def _drop_old(self) -> None:
        for connection in list(self._connections.values()):
            if time.monotonic() >= connection.until:
                self._drop(connection)

    def _forget(self, connection: _Connection) -> None:
        self._selector.unregister(connection.sock)
        del self._connections[connection.sock]

    def _drop(self, connection: _Connection) -> None:
        self._forget(connection)
        connection.sock.close()

    def close(self) -> None:
        """Stop listening."""
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._selector.close()
        for sock in self._sockets:
            sock.close()


def _listening(port: int) -> list[socket.socket]:
    failure: OSError | None = None
    for _ in range(ATTEMPTS if port == 0 else 1):
        try:
            first = _bound(socket.AF_INET, "127.0.0.1", port)
        except OSError as error:
            failure = error
            break
        try:
            return [first, _bound(socket.AF_INET6, "::1", first.getsockname()[1])]
        except OSError as error:
            if not _taken(error):
                return [first]  # there is no IPv6 here
            first.close()
            failure = error
    raise ConfigurationException(
        "No port of this machine is to be had for the login",
        code="loopback_unavailable",
        actual=type(failure).__name__,
        hint="device_login() needs none",
    )


def _taken(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.bind((host, port))
        sock.listen(16)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class Browser:
    """The browser of this machine.

    Args:
        wanted: Whether a page is opened at all; else the address is shown to the user.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted

    def listen(self, path: str, port: int = 0) -> BrowserReturn:
        """Listen on a port of this machine; 0 is any."""
        return BrowserReturn(path, port)

    def open(self, url: str) -> bool:
        """Open a page; False if there is no browser."""
        if not self._wanted:
            return False
        try:
            return webbrowser.open(url)
        except Exception:  # the browsers of a desktop fail in ways of their own, and the address can still be shown
            return False


def show_device(started: DeviceAuthorizationResponse) -> None:
    """Tell the user where to approve."""
    print(f"Open {started.verification_uri} and enter {started.user_code}", file=sys.stderr)


def show_page(url: str) -> None:
    """Tell the user which page to open."""
    print(f"Open this page to log in: {url}", file=sys.stderr)


__all__ = ["Browser", "BrowserReturn", "show_device", "show_page"]
