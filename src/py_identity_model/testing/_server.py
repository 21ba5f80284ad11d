"""The embedded provider on a loopback port: threads, keep-alive, TLS if wanted, and faults on the real socket."""

from __future__ import annotations

import http.server
import socket
import socketserver
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from .._core.base.flow import Reply, Request
from ..exceptions import ConfigurationException
from ._faults import Answer, body_pieces

#: Bytes of a request's body, connections at once, and seconds without a word on one of them, at most.
MOST_BODY, MOST_CONNECTIONS, SILENCE = 1024 * 1024, 512, 120.0


class Served(Protocol):
    """What a server needs of the provider: an answer to each request, and an issuer that it may move."""

    @property
    def issuer(self) -> str: ...
    @issuer.setter
    def issuer(self, base_url: str) -> None: ...
    def answer(self, request: Request) -> Answer: ...


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = SILENCE

    @property
    def _home(self) -> _Server:
        return cast(_Server, self.server)

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # the client hung up, or the server is closing: ValueError of a closed file
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests want their terminal for themselves."""

    def _respond(self) -> None:
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit() and len(length) < 10):
            return self._refuse(411)
        if int(length) > MOST_BODY:
            return self._refuse(413)
        if not self.path.startswith("/"):
            return self._refuse(400)
        body = self.rfile.read(int(length))
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        with self._home.at_work():
            answer = self._home.answer(Request(self.command, self._home.url + self.path, headers, body))
            self._home.pause(answer.delay)
            return (self._reset if answer.disconnect else self._write)(answer)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = _respond

    def _refuse(self, status: int) -> None:
        self.close_connection = True  # what follows would be taken for the next request
        self._write(Answer(Reply(status, (("connection", "close"),))))

    def _write(self, answer: Answer) -> None:
        if any("\r" in value or "\n" in value for _, value in answer.reply.headers):
            self._refuse(500)  # such a value would go on as a header of somebody else's making
            return
        self.send_response(answer.reply.status)
        for name, value in answer.reply.headers:
            self.send_header(name, value)
        if answer.reply.status not in (204, 304):
            self.send_header("content-length", str(len(answer.reply.body)))
        if self._home.draining:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in body_pieces(answer):
            self.wfile.write(piece)
            self.wfile.flush()
            self._home.pause(answer.pause)
        if answer.cut is not None:
            self.close_connection = True

    def _reset(self, answer: Answer) -> None:
        # A linger of zero seconds makes close() send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True  # a server that nobody closes must not keep its process from ending
    request_queue_size = 1024

    def __init__(
        self, provider: Served, host: str, port: int, context: ssl.SSLContext | None, bind: str = "127.0.0.1"
    ) -> None:
        self.answer = provider.answer
        self._context = context
        self._open: set[socket.socket] = set()
        self._workers: set[threading.Thread] = set()
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        #: Whether answers are the last ones of their connections.
        self.draining = False
        super().__init__((bind, port), _Handler)
        self.url = f"{'https' if context else 'http'}://{host}:{self.server_address[1]}"

    def pause(self, seconds: float) -> None:
        """Wait, unless the server is closed meanwhile."""
        if seconds > 0:
            self._closing.wait(seconds)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a request that is being answered."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._guard:
            return len(self._open) <= MOST_CONNECTIONS

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._context is not None:
            # The handshake belongs to the connection's own thread: a slow client must not keep others from coming in.
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._guard:
            self._open.add(connection)
        return connection, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        worker = threading.current_thread()
        with self._guard:
            self._workers.add(worker)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._workers.discard(worker)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            request.settimeout(SILENCE)
            request.do_handshake()
        super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that hung up is none of our business
            super().handle_error(request, client_address)

    def close(self, grace: float = 0.0) -> None:
        """Stop listening, let requests end for *grace* seconds, end every connection, and wait for their threads."""
        self.draining = grace > 0
        self.shutdown()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, grace)
        self._closing.set()
        with self._guard:
            for connection in self._open:
                try:
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:
                    pass  # it ended by itself
            workers = list(self._workers)
        for worker in workers:
            worker.join(5)
        self.server_close()


class Running:
    """A provider that listens on a port, of 127.0.0.1 unless told otherwise; a context manager, plain or async.

    Args:
        provider: Who answers. Its issuer is moved to the address of the server, and back when the server is closed.
        host: The name in the issuer, as certificates want it: ``127.0.0.1`` or ``localhost``.
        port: The port; 0 lets the system choose.
        ssl_context: Serve https with it.
        bind: The address to listen on.
        issuer: The issuer, where it is reached by another address than the server's own.
    """

    def __init__(
        self,
        provider: Served,
        *,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None,
        bind: str = "127.0.0.1",
        issuer: str | None = None,
    ) -> None:
        self._provider = provider
        self._options = (host, port, ssl_context, bind)
        self._issuer = issuer
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._home = provider.issuer

    @property
    def issuer(self) -> str:
        """The issuer at which the provider can be reached."""
        return self._provider.issuer

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            ConfigurationException: It is not running.
        """
        if self._server is None:
            raise ConfigurationException("The server is not running", code="server_not_running")
        return int(self._server.server_address[1])

    def start(self) -> Running:
        """Open the port.

        Raises:
            ConfigurationException: It is open already.
        """
        if self._server is not None:
            raise ConfigurationException("The server is running already", code="server_running")
        self._home = self._provider.issuer
        self._server = _Server(self._provider, *self._options)
        self._provider.issuer = self._issuer or self._server.url + urlsplit(self._home).path
        name = "embedded-provider"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name=name, daemon=True)
        self._thread.start()
        return self

    def close(self, grace: float = 0.0) -> None:
        """Close the port and every connection; the provider gets its own issuer back. Closing twice is harmless.

        Args:
            grace: Seconds that requests have to end.
        """
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.close(grace)
        self._thread.join()
        self._provider.issuer = self._home

    def __enter__(self) -> Running:
        return self if self._server is not None else self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Running:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


__all__ = ["Running", "Served"]
