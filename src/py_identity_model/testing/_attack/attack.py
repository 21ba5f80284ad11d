"""An attack on an API: a good token first, then every token that must be refused, and what else lets people in."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import MappingProxyType
from typing import Any, get_args

from ..._arguments import checks_arguments
from ..._refusals import bounded, must_be
from ...exceptions import TransportException
from .._forgeries import FORGERIES
from .._provider import EmbeddedProvider
from .attempts import BESIDE, SAMPLE, Attempt, Mint, Place, Range
from .protocols import AttackProtocol, asked_by, grpc_sender, reading_mcp
from .report import AttackOutcome, AttackReport, AttackResult
from .target import Answered, Send, Shot, Target, read_target, resolve, sender

#: Statuses that refuse a request, or cannot take it in: RFC 9110, RFC 6585, and 494 of nginx.
REFUSING = frozenset({400, 401, 403, 407, 413, 414, 421, 431, 494})
#: Requests in a second, where nobody says another number.
RATE = 50.0
#: Requests in a row without an answer, after which the API counts as gone.
_GONE = 5
_PLACES: tuple[Place, ...] = ("lower-case scheme", "query", "cookie", "behind a good one", "before a good one")

Progress = Callable[[AttackResult], object]


@checks_arguments
def attack_api(
    url: str,
    provider: EmbeddedProvider,
    *,
    scopes: Iterable[str] = (),
    claims: Mapping[str, object] = MappingProxyType({}),
    protocol: AttackProtocol = "http",
    method: str = "GET",
    headers: Mapping[str, str] = MappingProxyType({}),
    body: bytes = b"",
    wait: float = 0.0,
    rate: float | None = None,
    seconds: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
    i_own_this: bool = False,
    send: Callable[[Shot], Answered] | None = None,
    progress: Callable[[AttackResult], object] | None = None,
) -> AttackReport:
    """Send an API every token that it must refuse, and tell which were let in.

    The API must trust *provider*. A good token is sent first: unless that is let in, nothing is proven. Redirects are
    not followed, and the address is resolved once.

    Args:
        url: A protected resource of the API.
        provider: Whose tokens the API takes: one that runs (``with provider.serve()``), or has the key of the issuer.
        scopes: The scopes that the route demands; a text of several is parted by spaces.
        claims: Claims that the route demands: ``{"roles": ["auditor"]}``.
        protocol: What the API speaks: ``mcp`` posts the first message of every client unless there is a *body*;
            ``grpc`` calls the method that is the path of *url*, with *body* as its message (``pip install grpcio``).
        method: The method; of ``http`` alone.
        headers: Further headers of each request.
        body: The body of each request.
        wait: Seconds to wait until the API lets a good token in, as it starts.
        rate: Requests in a second at most; by default 50, or as many as *send* takes.
        seconds: How long an answer may take.
        ssl_context: Whom to trust with https; by default whom the system does.
        i_own_this: Whether an API on another machine may be attacked: only your own.
        send: Sends a request in another way, as to an application in this process.
        progress: Called with each result.

    Raises:
        ConfigurationException: The address is none, or not of this machine (``target_not_loopback``), or an argument
            cannot be used.
        TransportException: The API does not answer.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> def send(shot):  # an API that looks at nothing
    ...     return Answered(200 if any(name == "Authorization" for name, _ in shot.headers) else 401)
    >>> report = attack_api("http://localhost/orders", EmbeddedProvider(algorithms=["ES256"]), send=send)
    >>> report.verdict, report.fails(), report.weaknesses[0].name
    ('let_in', True, 'open')
    """
    target = read_target(url)
    if not method.isalpha() or method != method.upper():
        raise must_be("method", "a method in capitals, such as GET", method)
    if protocol not in get_args(AttackProtocol):
        raise must_be("protocol", "http, mcp or grpc", protocol)
    asked = rate if rate is not None else RATE if send is None else None
    pause = 0.0 if asked is None else 1 / bounded(asked, "rate", float, 0.1, 1000, unit="requests in a second")
    patience = bounded(wait, "wait", float, 0, 3600, unit="seconds")
    limit = bounded(seconds, "seconds", float, 0.1, 300, unit="seconds")
    told = {"scope": scopes if isinstance(scopes, str) else " ".join(scopes), **claims}
    method, headers, body = asked_by(protocol, method, headers, body)
    shots = Range(target, method, headers.items(), body, _minting(provider, told))
    made = partial(_connected, target, protocol, i_own_this, seconds=limit, ssl_context=ssl_context)
    with made() if send is None else nullcontext(send) as sent:
        asking = reading_mcp(sent) if protocol == "mcp" else sent
        return _Attack(url, provider, _paced(asking, pause), shots, progress).run(patience)


def _connected(
    target: Target, protocol: AttackProtocol, i_own_this: bool, *, seconds: float, ssl_context: ssl.SSLContext | None
) -> AbstractContextManager[Send]:
    places = resolve(target, i_own_this=i_own_this)
    if protocol == "grpc":
        return grpc_sender(target, places, seconds=seconds, ssl_context=ssl_context)
    return nullcontext(sender(target, places, seconds=seconds, ssl_context=ssl_context))


def _paced(send: Send, pause: float) -> Send:
    free_at = 0.0

    def paced(shot: Shot) -> Answered:
        nonlocal free_at
        now = time.monotonic()
        if now < free_at:
            time.sleep(free_at - now)
        free_at = max(now, free_at) + pause
        return send(shot)

    return paced


def _minting(provider: EmbeddedProvider, claims: Mapping[str, Any]) -> Mint:
    return lambda name: provider.mint(**claims) if name is None else provider.forge(name, **claims)


class _Attack:
    def __init__(
        self, url: str, provider: EmbeddedProvider, send: Send, shots: Range, progress: Progress | None
    ) -> None:
        self._url, self._provider, self._send, self._range, self._progress = url, provider, send, shots, progress
        self._results: list[AttackResult] = []
        self._notes: list[str] = []
        self._control = self._nobody = Answered(0)
        self._silent = 0

    def run(self, patience: float) -> AttackReport:
        let_in = self._wait(patience)
        self._nobody = self._send(self._range.shot("nowhere", None))
        if not self._control.status and not self._nobody.status:
            problem = self._nobody.problem
            raise TransportException(f"The API does not answer: {problem}", code="connect_failed", url=self._url)
        for attempt in self._attempts():
            if not self._try(attempt):
                break
        self._note()
        return AttackReport(self._url, self._control.status, let_in, tuple(self._results), tuple(self._notes))

    def _wait(self, patience: float) -> bool:
        until = time.monotonic() + patience
        while True:
            self._control = self._send(self._range.shot("header", None))
            let_in = 0 < self._control.status < 500 and self._control.status not in REFUSING
            if let_in or time.monotonic() >= until:
                return let_in
            time.sleep(min(0.5, max(0.0, until - time.monotonic())))

    def _attempts(self) -> Iterator[Attempt]:
        nobody, *others = self._range.without()
        yield nobody
        is_open = self._results[-1].outcome == "let_in"
        yield from () if is_open else others  # they would all get in, and say nothing
        yield from self._range.forgeries("header")
        if not is_open:
            yield from self._elsewhere()
            yield from self._range.paths()

    def _elsewhere(self) -> Iterator[Attempt]:
        read = {}
        for attempt in self._range.good_in_wrong_places():
            yield attempt
            read[attempt.place] = self._results[-1].outcome == "let_in"
        for place in _PLACES:
            # The whole table where tokens are read; a few where not even a good one was.
            names = SAMPLE[:2] if place in BESIDE else FORGERIES if read.get(place) else SAMPLE
            yield from self._range.forgeries(place, names)

    def _try(self, attempt: Attempt) -> bool:
        answer = self._send(attempt.shoot())
        outcome = self._judge(attempt, answer)
        result = AttackResult(attempt.name, attempt.place, attempt.summary, attempt.severity, outcome, answer.status)
        self._results.append(result)
        if self._progress is not None:
            self._progress(result)
        self._silent = 0 if answer.status else self._silent + 1
        if self._silent == _GONE:
            self._notes.append(f"The API no longer answers since {self._results[-_GONE].name}; the rest was not sent.")
        return self._silent < _GONE

    def _judge(self, attempt: Attempt, answer: Answered) -> AttackOutcome:
        status, good = answer.status, self._control
        if status == 0 or status >= 500:
            return "fault"
        if status in REFUSING:
            return "refused"
        if not 200 <= status < 300 and status != good.status:
            # A redirect leads to a login; what else there is may be the route's own answer, or that of a router.
            return "refused" if 300 <= status < 400 or attempt.same_body else "unclear"
        if attempt.same_body and (answer.body != good.body or not good.body):
            return "refused"
        return "let_in"

    def _note(self) -> None:
        if self._nobody.status == 401 and not any(name == "www-authenticate" for name, _ in self._nobody.headers):
            self._notes.append("401 without WWW-Authenticate: clients cannot tell what is wanted (RFC 9110 11.6.1).")
        if self._control.status in REFUSING and not self._provider.count("jwks"):
            self._notes.append(
                f"The API never asked {self._provider.issuer} for its keys: it may trust another issuer."
            )
        lower = self._send(self._range.shot("lower-case scheme", None))
        if self._control.status not in REFUSING and lower.status in REFUSING:
            self._notes.append("A good token is refused with the scheme in lower case (RFC 9110 11.1).")


__all__ = ["RATE", "REFUSING", "attack_api"]
