"""One examination under way: what it may ask, how often and for how long, and what it noticed beside the answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from ...exceptions import PyIdentityModelException
from ..base.exchanges import follow_redirects
from ..base.flow import Clock, Effect, Flow, Now, Reply, Request, Send, get, performed, send
from ..base.header_fields import http_date
from ..base.transport import bare, failure
from ..base.urls import is_loopback, origin, parse_url
from ..mcp.strangers import Named

T = TypeVar("T")

#: Requests of one examination at most, redirects included.
MOST_REQUESTS: Final = 60
#: Seconds that one exchange may take, however much is left for the whole.
PATIENCE: Final = 10.0
#: Bytes of one answer that are read at most.
MOST_BYTES: Final = 512 * 1024
#: Who asks. Logs of those who are examined name it.
USER_AGENT: Final = "py-identity-model-doctor"


class Answer(NamedTuple):
    """What came of one request: a reply, or why there is none."""

    url: str
    reply: Reply | None = None
    error: PyIdentityModelException | None = None

    @property
    def status(self) -> int:
        """The status; 0 where nothing answered."""
        return self.reply.status if self.reply is not None else 0

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a secret."""
        return bare(self.url)

    @property
    def words(self) -> str:
        """What came, in a few words."""
        if self.reply is None:
            return "nothing" if self.error is None else self.error.message
        return f"{self.reply.status} {self.reply.media_type}".rstrip()

    def header(self, name: str) -> str | None:
        """Return a header of the reply, if there is one."""
        return None if self.reply is None else self.reply.header(name)


class Tick(NamedTuple):
    """What a server's clock showed, and ours just before and just after."""

    said: float
    before: float
    after: float

    @property
    def offset(self) -> float:
        """Seconds that the server's clock is ahead, at least; whole seconds are all it shows."""
        if self.said > self.after:
            return self.said - self.after
        return min(0.0, self.said + 1.0 - self.before)


@dataclass
class Visit:
    """What is asked of whom, and what was noticed on the way."""

    url: str
    #: The addresses that the caller named.
    known: Named
    requests: int = 0
    ticks: list[Tick] = field(default_factory=list)

    def ask(self, request: Request) -> Flow[Answer]:
        """Send *request* as it is; redirects are answers."""
        return (yield from self._tried(request, send))

    def fetch(self, url: str) -> Flow[Answer]:
        """Fetch a document as the library does: redirects within https and one host are followed."""
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        return (yield from self._tried(get(url, headers, limit=MOST_BYTES), follow_redirects))

    def _tried(self, request: Request, exchange: Any) -> Flow[Answer]:
        try:
            self._check(request.url)
            reply = yield from exchange(request)
        except PyIdentityModelException as error:
            return Answer(request.url, None, error)
        return Answer(request.url, reply)

    def _check(self, url: str) -> None:
        """Refuse plain http to hosts that nobody named: whoever is on the way would answer."""
        parts = parse_url(url, "address", require_https=False)
        if parts.scheme == "http" and not is_loopback(parts.hostname) and origin(url) not in self.known.origins:
            raise failure("https_required", "plain http is not fetched from a host that you did not name", get(url))


def watched(flow: Flow[T], visit: Visit) -> Flow[T]:
    """Perform *flow*; each of its exchanges is counted, bounded in time, and its date noted.

    Raises:
        TransportException: There were too many requests, unless *flow* raises something else for it.
    """

    def perform(effect: Effect) -> Flow[Any]:
        if not isinstance(effect, Send):
            return (yield effect)
        visit.requests += 1
        if visit.requests > MOST_REQUESTS:
            raise failure("request_limit", f"more than {MOST_REQUESTS} requests", effect.request)
        before: Clock = yield Now()
        reply: Reply = yield replace(effect, seconds=PATIENCE)
        after: Clock = yield Now()
        said = http_date(reply.header("date"))
        # What a cache on the way kept is as old as it says.
        own = host_of(effect.request.url) == host_of(visit.url)
        if own and said is not None and not reply.header("age"):
            visit.ticks.append(Tick(said, before.wall, after.wall))
        return reply

    return (yield from performed(flow, perform))


def unanswered(answer: Answer) -> bool:
    """Tell whether the network is why nothing answered."""
    return answer.error is not None and answer.error.code in _OF_THE_NETWORK


_OF_THE_NETWORK: Final = frozenset({"timeout", "tls_failed", "dns_failed", "connect_failed", "proxy_failed"})


def host_of(url: object) -> str:
    """Return the host of an address; empty where it is none."""
    try:
        return (urlsplit(url).hostname or "") if isinstance(url, str) else ""
    except ValueError:
        return ""


def scheme_of(url: object) -> str:
    """Return the scheme of an address; empty where it is none."""
    try:
        return urlsplit(url).scheme if isinstance(url, str) else ""
    except ValueError:
        return ""


__all__ = [
    "MOST_BYTES",
    "MOST_REQUESTS",
    "PATIENCE",
    "USER_AGENT",
    "Answer",
    "Tick",
    "Visit",
    "host_of",
    "scheme_of",
    "unanswered",
    "watched",
]
