"""The same attack on servers that speak something else above HTTP: MCP, and gRPC, whose calls go out by ``grpcio``."""

from __future__ import annotations

import importlib
import json
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from ...integrations._packages import framework_missing
from .target import Answered, Send, Shot, Target

#: What the API speaks.
AttackProtocol: TypeAlias = Literal["http", "mcp", "grpc"]

#: What is asked of an MCP server where nobody says what: the first message of every client.
_INITIALIZE: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "py-identity-model attack", "version": "1"},
    },
}
#: What a message of MCP is posted with (streamable HTTP).
_MCP_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

#: The HTTP status for each status of gRPC that is no fault; all others are 500.
_STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "OK": 200,
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "OUT_OF_RANGE": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "UNIMPLEMENTED": 404,
        "ALREADY_EXISTS": 409,
        "RESOURCE_EXHAUSTED": 431,
        "UNAVAILABLE": 0,
        "DEADLINE_EXCEEDED": 0,
    }
)
#: What belongs to HTTP/1.1, or is gRPC's own to say.
_NOT_SENT = frozenset({"host", "user-agent", "connection", "content-length", "content-type", "te"})


def asked_by(
    protocol: AttackProtocol, method: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, dict[str, str], bytes]:
    """Return method, headers and body of each request, as the protocol has them where nobody says otherwise."""
    if protocol != "mcp":
        return method, dict(headers), body
    given = {name.lower() for name in headers}
    common = {name: value for name, value in _MCP_HEADERS.items() if name.lower() not in given}
    return "POST", {**common, **headers}, body or json.dumps(_INITIALIZE).encode()


def reading_mcp(send: Send) -> Send:
    """Return *send* with answers as MCP means them: an error of JSON-RPC is no success, whatever its status."""

    def asked(shot: Shot) -> Answered:
        answer = send(shot)
        if answer.status == 200 and any("error" in message for message in _messages(answer.body)):
            return answer._replace(status=400, problem="an error of JSON-RPC")
        return answer

    return asked


def _messages(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the messages of an answer, which is JSON or a stream of events."""
    texts = [body] if body.lstrip()[:1] in (b"{", b"[") else []
    for text in texts or [line[5:] for line in body.splitlines() if line.startswith(b"data:")]:
        try:
            found = json.loads(text)
        except ValueError:
            continue
        yield from (each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict))


@contextmanager
def grpc_sender(
    target: Target, places: Sequence[Any], *, seconds: float, ssl_context: ssl.SSLContext | None
) -> Iterator[Send]:
    """Give what calls a method, one message in and the first out, at the addresses that were resolved.

    Args:
        target: The server, and the method as its path.
        places: What :func:`~.target.resolve` returned.
        seconds: How long an answer may take.
        ssl_context: Whose certificates to trust; by default those that gRPC comes with.

    Raises:
        FrameworkMissingError: grpcio is not installed.
    """
    grpc = _grpc()
    options = [("grpc.default_authority", target.authority), ("grpc.enable_retries", 0)]
    where = _reachable(places, seconds)
    if target.scheme == "https":
        roots = None if ssl_context is None else _pem(ssl_context)
        channel = grpc.secure_channel(where, grpc.ssl_channel_credentials(roots), options)
    else:
        channel = grpc.insecure_channel(where, options)
    with channel:
        yield lambda shot: _call(grpc, channel, shot, seconds)


def _grpc() -> Any:
    try:
        return importlib.import_module("grpc")
    except ImportError:
        raise framework_missing("gRPC", "grpcio") from None


def _reachable(places: Sequence[Any], seconds: float) -> str:
    """Return the first of the addresses that takes a connection, as gRPC writes it; it has one family at a time."""
    for family, kind, protocol, _, address in places:
        with socket.socket(family, kind, protocol) as made:
            made.settimeout(seconds)
            if made.connect_ex(address) == 0:
                return _written(address)
    return _written(places[0][4])


def _written(address: Any) -> str:
    host, port = str(address[0]), address[1]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _pem(context: ssl.SSLContext) -> bytes:
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in context.get_ca_certs(binary_form=True)).encode()


def _call(grpc: Any, channel: Any, shot: Shot, seconds: float) -> Answered:
    # What a call of gRPC cannot carry is refused before it is sent: another method, or a query.
    if "?" in shot.path or shot.method == "HEAD":
        return Answered(400, problem="no call of gRPC")
    metadata = [(name.lower(), value) for name, value in shot.headers if name.lower() not in _NOT_SENT]
    try:
        answers = channel.stream_stream(shot.path)(iter([shot.body]), metadata=metadata, timeout=seconds)
        first = next(iter(answers), b"")
        answers.cancel()
    except grpc.RpcError as error:
        return _answered(error)
    except (ValueError, TypeError) as error:
        return Answered(400, problem=type(error).__name__)
    return Answered(200, body=first or b"\0")


def _answered(error: Any) -> Answered:
    trailing = tuple((str(name), str(value)) for name, value in error.trailing_metadata() or ())
    code = error.code().name
    return Answered(_STATUSES.get(code, 500), trailing, problem=code)


__all__ = ["AttackProtocol", "asked_by", "grpc_sender", "reading_mcp"]
