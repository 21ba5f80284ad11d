"""Serve a site until the process is told to stop: where it listens, what it is called, TLS, and signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from ..._core.base.urls import is_loopback
from ..._refusals import because, must_be, refused
from ...exceptions import ConfigurationException
from .._server import Running
from .site import ProviderSite, check_base

#: Seconds that requests have to end after a signal.
GRACE = 5.0


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a site listens, and what it is called.

    Attributes:
        host: The address to listen on.
        port: The port; 0 lets the system choose.
        base_url: What it is called, where that is not ``localhost`` and the port.
        beyond_this_machine: Whether others than this machine may reach it.
        tls: Whether it serves https, with a certificate made for it.
        ca_file: Where the certificate of the authority goes.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str | None = None
    beyond_this_machine: bool = False
    tls: bool = False
    ca_file: Path | None = None

    def check(self) -> None:
        """Check that the parts fit each other.

        Raises:
            ConfigurationException: They do not.
        """
        if not is_loopback(self.host) and not self.beyond_this_machine:
            told = f"{self.host} can be reached from other machines, and this provider lets everybody be anybody"
            hint = "if a container needs it, add --listen-beyond-this-machine"
            raise refused(ConfigurationException, "host_not_loopback", told, "host", hint=hint)
        if not 0 <= self.port <= 65535:
            raise must_be("port", "from 0 to 65535", self.port)
        if self.base_url is not None:
            check_base(self.base_url, "base_url")
            if urlsplit(self.base_url).scheme == "https" and not self.tls:
                raise must_be("base_url", "an http address without --tls", self.base_url)
        if self.ca_file is not None and not self.tls:
            raise must_be("ca_file", "given together with --tls")

    def names(self) -> list[str]:
        """Return the names that a certificate has to be for."""
        named = urlsplit(self.base_url).hostname if self.base_url else None
        listening = [] if self.host in ("0.0.0.0", "::") else [self.host]
        return ["localhost", "127.0.0.1", "::1", *listening, *([named] if named else [])]


def opened(site: ProviderSite, listening: Listening) -> Running:
    """Open the port and return the server.

    Raises:
        ConfigurationException: The parts do not fit each other, or the port cannot be opened.
    """
    listening.check()
    context = None
    if listening.tls:
        from .certificates import server_context

        context = server_context(listening.names(), listening.ca_file)
    base = check_base(listening.base_url, "base_url") if listening.base_url else None
    running = site.serve(port=listening.port, bind=listening.host, issuer=base, ssl_context=context)
    try:
        return running.start()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
    what = f"Port {listening.port} of {listening.host} cannot be opened"
    raise because(ConfigurationException, "port_unavailable", what, reason, "port")


def serve_until_stopped(running: Running, stopped: threading.Event | None = None) -> None:
    """Wait for SIGTERM, SIGINT or *stopped*, let requests end, and close the port."""
    stop = stopped or threading.Event()
    try:
        with _heard(stop.set):
            while not stop.wait(3600):
                pass
    finally:
        running.close(GRACE)


@contextmanager
def _heard(act: Callable[[], None]) -> Iterator[None]:
    """Act on the signals that end a program, as long as the block runs."""

    def hear(number: int, frame: FrameType | None) -> None:
        act()

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["GRACE", "Listening", "opened", "serve_until_stopped"]
