"""Operations as flows: generators that yield what they want from the outside world.

A flow yields effects and is sent the results; two drivers (``sync.http_client``, ``aio.http_client``) perform them.
Nothing here knows a transport, an event loop or a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from ..._arguments import explains_arguments
from .urls import backchannel_url

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

#: Response bytes that are read at most where a flow names no limit of its own.
DEFAULT_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate for TLS: PEM texts or file paths (RFC 8705 2).

    Attributes:
        certificate: The certificate, with its chain.
        private_key: Its key.
        password: The password of an encrypted key.
        spiffe_id: Who an X.509-SVID has to name; None where it is no matter.
    """

    certificate: str
    private_key: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    spiffe_id: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, as a value."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    #: Response bytes that are read at most; a larger body is an error, not a cut.
    limit: int = DEFAULT_LIMIT
    certificate: ClientCertificate | None = None
    #: Whether a stranger named the address, so that only hosts on the public internet may be connected to.
    public_only: bool = False
    #: Where the host of the URL is reached from here, if not under its name. It is heeded before a transport sees it.
    backchannel: str | None = None

    def __repr__(self) -> str:  # headers and body carry credentials
        return f"Request({self.method} {self.url.partition('?')[0]})"


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response, read whole. Header names are lower case; repeated headers are kept apart."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    url: str = ""

    @explains_arguments
    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the last value of the header *name* (lower case), or *default*."""
        return next((value for key, value in reversed(self.headers) if key == name), default)

    @explains_arguments
    def header_values(self, name: str) -> list[str]:
        """Return every value of the header *name* (lower case), in order."""
        return [value for key, value in self.headers if key == name]

    @property
    def media_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty if none is told (RFC 9110 8.3)."""
        return media_type_of(self.header("content-type"))


def media_type_of(content_type: str | None) -> str:
    """Return the media type of a ``Content-Type`` in lower case, without parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


class Clock(NamedTuple):
    """Both clocks, read together: ``wall`` for claims (seconds since 1970), ``steady`` for waiting and ageing."""

    wall: float
    steady: float


@dataclass(frozen=True, slots=True)
class Send:
    """Perform one HTTP request, within *seconds* if they are fewer than the transport gives it: a :class:`Reply`."""

    request: Request
    seconds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sleep:
    """Let *seconds* pass."""

    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Wait:
    """Wait for a future that another caller resolves; the result is its value, or :data:`IMPATIENT` after *seconds*."""

    future: Future[Any]
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Run another flow without waiting for it. *start* makes the flow."""

    start: Callable[[], Flow[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Now:
    """Read the clocks; the result is a :class:`Clock`."""


@dataclass(frozen=True, slots=True, eq=False)
class ExchangeTimeout:
    """Tell how many seconds one exchange may take with the transport at hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Await:
    """Take *value* as it is if it is no awaitable; await it otherwise. The sync driver refuses awaitables."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Call *function*, which may block, away from an event loop; the result is what it returns."""

    function: Callable[[], Any]


Effect: TypeAlias = Send | Sleep | Wait | Background | Now | ExchangeTimeout | Await | Call
Flow: TypeAlias = Generator[Effect, Any, T]

#: What :class:`Wait` answers when patience ran out before the future did.
IMPATIENT: Any = object()


def send(request: Request) -> Flow[Reply]:
    """Perform *request*, by its backchannel if it has one; the reply is that of the address asked for."""
    if request.backchannel is None:
        reply: Reply = yield Send(request)
        return reply
    url = backchannel_url(request.url, request.backchannel)
    reply = yield Send(replace(request, url=url, backchannel=None))
    return replace(reply, url=request.url)


def sleep(seconds: float) -> Flow[None]:
    """Let *seconds* pass."""
    yield Sleep(seconds)


def wait(future: Future[Any], seconds: float) -> Flow[Any]:
    """Wait up to *seconds* for *future*."""
    return (yield Wait(future, seconds))


def background(start: Callable[[], Flow[Any]]) -> Flow[None]:
    """Run the flow that *start* makes, without waiting."""
    yield Background(start)


def now() -> Flow[Clock]:
    """Read the clocks."""
    clock: Clock = yield Now()
    return clock


def resolve(value: Any) -> Flow[Any]:
    """Return *value*, awaited if the API at hand can await and the value wants it."""
    return (yield Await(value))


def call(function: Callable[[], Any]) -> Flow[Any]:
    """Call a function that may block."""
    return (yield Call(function))


def performed(flow: Flow[T], perform: Callable[[Effect], Flow[Any]]) -> Flow[T]:
    """Run *flow* with *perform* between it and the driver.

    Args:
        flow: The operation. It is closed in the end, however that comes.
        perform: Answers an effect, or asks the driver for it. What it raises is thrown into *flow*, which decides what
            becomes of that.
    """
    step: Callable[[Any], Effect] = flow.send
    given: Any = None
    try:
        while True:
            effect = step(given)
            step, given = flow.send, None
            try:
                given = yield from perform(effect)
            except Exception as error:  # whatever it is, the flow decides what becomes of it
                step, given = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
        given = None  # an exception here would refer to itself through this frame


def get(url: str, headers: Mapping[str, str] | None = None, **facts: Any) -> Request:
    """Build a GET request that asks for an unencoded reply."""
    return Request("GET", url, tuple((headers or {}).items()), **facts)
