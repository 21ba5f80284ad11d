"""The gate's requests and answers as gRPC has them: metadata in, a status with details out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

import msgspec

from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest

#: Statuses of HTTP as codes of gRPC; whatever else refuses is PERMISSION_DENIED.
_CODES = {400: "UNAUTHENTICATED", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
_DETAILS = "grpc-status-details-bin"
#: Says in ``ErrorInfo`` whose reasons these are: the errors that RFC 6750 and its kin register.
_DOMAIN = "oauth"


class CallContext(Protocol):
    """What is asked of the context of a call, of either sort of server; gRPC brings no types."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return what the client sent."""
        ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]] | None:
        """Return what is known of the connection."""
        ...

    def peer(self) -> str:
        """Return who is at its other end."""
        ...


class Abort(NamedTuple):
    """How a call is refused.

    Attributes:
        code: The name of its status code.
        message: What the client is told.
        metadata: Trailing metadata: challenges, and details for clients that read ``google.rpc.Status``.
    """

    code: str
    message: str
    metadata: tuple[tuple[str, str | bytes], ...]


def metadata_request(method: str, context: CallContext) -> InboundRequest:
    """Return a call as the gate reads it: a POST to the path of its method."""
    pairs = tuple((name, value) for name, value in context.invocation_metadata() or () if isinstance(value, str))
    authority = next((value for name, value in pairs if name in (":authority", "host")), "localhost")
    facts = context.auth_context() or {}
    scheme = "https" if b"ssl" in (facts.get("transport_security_type") or ()) else "http"
    certificate = next(iter(facts.get("x509_pem_cert") or ()), None)
    return InboundRequest("POST", f"{scheme}://{authority}{method}", pairs, _peer(context.peer()), certificate)


def _peer(text: str) -> str | None:
    """Return the address in ``ipv4:127.0.0.1:50051`` or ``ipv6:%5B::1%5D:50051``; None behind a Unix socket."""
    kind, _, rest = unquote(text or "").partition(":")
    return rest.rpartition(":")[0].strip("[]") or None if kind in ("ipv4", "ipv6") else None


def refusal_status(refusal: Refusal, asked: InboundRequest) -> Abort:
    """Return the status that refuses a call."""
    told: dict[str, str] = msgspec.json.decode(refusal.body) if refusal.body else {}
    code = _CODES.get(refusal.status, "PERMISSION_DENIED")
    message = told.get("error_description") or _SAID.get(code, "The call is refused")
    kept = tuple((name, value) for name, value in refusal.headers if name not in ("content-type", "cache-control"))
    return Abort(code, message, (*kept, *_details(code, message, told.get("error"), dict(kept))))


_SAID = {"UNAUTHENTICATED": "The call needs an access token", "UNAVAILABLE": "The token cannot be verified right now"}


def _details(code: str, message: str, error: str | None, headers: dict[str, str]) -> Iterator[tuple[str, str | bytes]]:
    try:
        from google.protobuf.any_pb2 import Any as Packed
        from google.rpc import code_pb2, error_details_pb2, status_pb2
    except ImportError:  # grpcio-status brings them
        return
    reason = (error or _REASONS.get(code) or "access_denied").upper()
    parts: list[Any] = [error_details_pb2.ErrorInfo(reason=reason, domain=_DOMAIN)]
    if "x-request-id" in headers:
        parts.append(error_details_pb2.RequestInfo(request_id=headers["x-request-id"]))
    if headers.get("retry-after", "").isdigit():
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = int(headers["retry-after"])
        parts.append(retry)
    status = status_pb2.Status(code=code_pb2.Code.Value(code), message=message)
    for part in parts:
        packed = Packed()
        packed.Pack(part)
        status.details.append(packed)
    yield _DETAILS, status.SerializeToString()


_REASONS = {"UNAUTHENTICATED": "token_required", "UNAVAILABLE": "temporarily_unavailable"}

__all__ = ["Abort", "CallContext", "metadata_request", "refusal_status"]
