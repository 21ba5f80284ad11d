"""Where an attack goes: to one address of this machine, resolved once, never followed anywhere else."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..._core.base.urls import ip_address_of
from ...exceptions import ConfigurationException, TransportException, printable

#: Bytes of an answer that are read.
_MOST = 256 * 1024


class Shot(NamedTuple):
    """One request: its method, its path with the query as it is sent, its headers in order, and its body."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Answered(NamedTuple):
    """What came back. The status 0 is no answer, and *problem* says why: nothing came in time, for one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    problem: str = ""


#: Sends a request, and returns what comes back; redirects are answers like others.
Send = Callable[[Shot], Answered]


@dataclass(frozen=True, slots=True)
class Target:
    """The address of an API."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def authority(self) -> str:
        """What the header Host says."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"


_PORTS = {"http": 80, "https": 443}


def read_target(url: str) -> Target:
    """Read the address of an API.

    Raises:
        ConfigurationException: It is none.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        parts, port, host = urlsplit(""), None, None
    odd = not url.isascii() or not url.isprintable() or " " in url
    if odd or parts.scheme not in _PORTS or not host or parts.username is not None or parts.fragment:
        raise ConfigurationException(
            "The API has no address that can be attacked",
            code="url_invalid",
            claim="url",
            expected="http or https, a host and a path",
            actual=printable(url, 100),
        )
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/", parts.query)


def resolve(target: Target, *, i_own_this: bool) -> Sequence[Any]:
    """Return where the API is reached, as ``getaddrinfo`` says it, once and for all requests.

    Raises:
        ConfigurationException: It is on another machine, and nobody said that it may be attacked.
        TransportException: The name leads nowhere.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise TransportException(
            f"The host {printable(target.host, 80)} is not known", code="dns_failed", url=target.authority
        ) from None
    # Of several addresses any one could be connected to, so each must be of this machine.
    others = [address for *_, address in found if not _is_loopback(str(address[0]))]
    if others and not i_own_this:
        raise ConfigurationException(
            "This address is not of this machine, and only your own APIs may be attacked",
            code="target_not_loopback",
            claim="url",
            expected="an address of the loopback interface: 127.0.0.1, ::1 or localhost",
            actual=printable(f"{target.host} is {others[0][0]}", 120),
            hint="i_own_this=True where the API is yours",
        )
    return found


def _is_loopback(text: str) -> bool:
    address = ip_address_of(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback if address is not None else False


def sender(target: Target, places: Sequence[Any], *, seconds: float, ssl_context: ssl.SSLContext | None) -> Send:
    """Return what sends requests to the addresses that were resolved, each on a connection of its own.

    Args:
        target: The API.
        places: What :func:`resolve` returned.
        seconds: How long an answer may take.
        ssl_context: Whom to trust; by default whom the system does.
    """
    context = (ssl_context or ssl.create_default_context()) if target.scheme == "https" else None

    def connect() -> socket.socket:
        problem: OSError | None = None
        for family, kind, protocol, _, address in places:
            made = socket.socket(family, kind, protocol)
            made.settimeout(seconds)
            try:
                made.connect(address)
                return context.wrap_socket(made, server_hostname=target.host) if context else made
            except OSError as error:
                problem = error
                made.close()
        raise problem or OSError("no address")

    def send(shot: Shot) -> Answered:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=seconds)
        with contextlib.closing(connection):
            try:
                connection.sock = connect()
                return _exchange(connection, shot)
            except (OSError, http.client.HTTPException, ValueError) as error:
                return Answered(0, problem=type(error).__name__)

    return send


def _exchange(connection: http.client.HTTPConnection, shot: Shot) -> Answered:
    connection.putrequest(shot.method, shot.path, skip_host=True, skip_accept_encoding=True)
    for name, value in shot.headers:
        connection.putheader(name, value)
    with contextlib.suppress(ConnectionError):  # a server may answer before it has read everything
        connection.endheaders(shot.body or None)
    answer = connection.getresponse()
    headers = tuple((name.lower(), value) for name, value in answer.getheaders())
    try:
        body = answer.read(_MOST)
    except (OSError, http.client.HTTPException):
        body = b""
    return Answered(answer.status, headers, body)


__all__ = ["Answered", "Send", "Shot", "Target", "read_target", "resolve", "sender"]
