"""Exchanges of more than one request: redirects, repeats, and conditions that may be in the way."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import urljoin

from ...exceptions import ConfigurationException, TransportException, printable
from ...settings import Settings
from .flow import Flow, Reply, Request, now, send, sleep
from .header_fields import http_date
from .transport import TRANSIENT, failure
from .urls import origin, parse_url

# ---------------------------------------------------------------------------------------------------------------------
# Redirects

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 3


def follow_redirects(request: Request) -> Flow[Reply]:
    """Send a GET, following at most three redirects from https to https on the same host and port.

    Raises:
        TransportException: A redirect that must not be followed; ``code`` says which.
    """
    for _ in range(MAX_REDIRECTS + 1):
        reply = yield from send(request)
        if reply.status not in _REDIRECTS:
            return reply
        request = replace(request, url=_redirect_target(request, reply))
    raise failure("redirect_limit", f"more than {MAX_REDIRECTS} redirects", request, expected=MAX_REDIRECTS)


def _redirect_target(request: Request, reply: Reply) -> str:
    def refused(code: str, message: str, **facts: Any) -> TransportException:
        return failure(code, message, request, status_code=reply.status, **facts)

    if request.method != "GET":
        raise refused("redirect_refused", "only GET requests may be redirected")
    location = reply.header("location")
    if not location:
        raise refused("redirect_location_missing", "the redirect does not say where to")
    try:
        target = urljoin(request.url, location)
        parts = parse_url(target, "location", require_https=False)
    except (ConfigurationException, ValueError):
        raise refused("redirect_location_invalid", "the redirect leads to no usable address") from None
    if parts.scheme != "https" or not request.url.lower().startswith("https:"):
        raise refused("redirect_insecure", "a redirect must lead from https to https", actual=parts.scheme)
    if origin(target) != origin(request.url):
        raise refused(
            "redirect_cross_host",
            "the redirect leads to another host or port",
            expected=origin(request.url),
            actual=printable(origin(target)),
        )
    return target


# ---------------------------------------------------------------------------------------------------------------------
# Repeats

MAX_RETRY_AFTER = 120.0
QUICK_PAUSE = 0.25


def retry_after(reply: Reply, wall: float) -> float | None:
    """Return for how many seconds the provider asks to be left alone, at most 120; None if it does not ask.

    ``Retry-After`` is a number of seconds or a date (RFC 9110 10.2.3); *wall* is the time that a date is compared with.
    """
    value = (reply.header("retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_AFTER)
    date = http_date(value)
    return None if date is None else min(max(date - wall, 0.0), MAX_RETRY_AFTER)


def _worth_repeating(reply: Reply) -> bool:
    return reply.status == 429 or reply.status >= 500


def _jittered(seconds: float) -> float:
    return seconds * (0.5 + secrets.randbelow(1001) / 2000)


#: Sends one request: ``send``, or a flow like :func:`follow_redirects`.
Exchange: TypeAlias = Callable[[Request], Flow[Reply]]


#: Makes a request; a flow where that takes something from the outside world, such as a token that was renewed.
Build: TypeAlias = Callable[[], Request | Flow[Request]]


def made(built: Request | Flow[Request]) -> Flow[Request]:
    """Return a request that was built, or the one that a flow builds."""
    return built if isinstance(built, Request) else (yield from built)


def persistently(
    build: Build, settings: Settings, exchange: Exchange = send, *, attempts: int | None = None
) -> Flow[Reply]:
    """Send a request that is safe to repeat until a usable reply comes or the attempts are used up.

    Args:
        build: Makes the request; called anew for each attempt, so that a ``jti`` is never sent twice.
        settings: Number of repeats and the first pause between them, which doubles each time.
        exchange: Sends one request.
        attempts: Requests sent at most; by default one more than the repeats of *settings*.

    Returns:
        The first reply that is neither 429 nor 5xx, or the last reply.

    Raises:
        TransportException: The last attempt gave no reply, or the failure would not go away by itself.
    """
    left = settings.http_retry_max_attempts + 1 if attempts is None else attempts
    delay = settings.http_retry_base_delay
    while True:
        left -= 1
        asked = None
        try:
            reply = yield from exchange((yield from made(build())))
            if left <= 0 or not _worth_repeating(reply):
                return reply
            asked = retry_after(reply, (yield from now()).wall)
        except TransportException as error:
            if left <= 0 or error.code not in TRANSIENT:
                raise
        yield from sleep(_jittered(delay) if asked is None else asked)
        delay = min(delay * 2, MAX_RETRY_AFTER)


def once_more(build: Build, settings: Settings, exchange: Exchange = send) -> Flow[Reply]:
    """Send a request whose answer a caller waits for, with one quick repeat if it may help at once.

    A provider that asks for more than a quarter of a second is not asked again, and neither is one that let the whole
    deadline pass.
    """
    repeat = settings.http_retry_max_attempts > 0
    try:
        reply = yield from exchange((yield from made(build())))
        if not repeat or not _worth_repeating(reply):
            return reply
        asked = retry_after(reply, (yield from now()).wall)
        if asked is not None and asked > QUICK_PAUSE:
            return reply
    except TransportException as error:
        if not repeat or error.code not in TRANSIENT - {"timeout"}:
            raise
    yield from sleep(min(QUICK_PAUSE, _jittered(settings.http_retry_base_delay)))
    return (yield from exchange((yield from made(build()))))


#: Statuses that may be about the condition of a request (RFC 9110 15.5.1, 15.5.13, 15.6.2; RFC 6585 5).
_CONDITION_REFUSED = frozenset({400, 412, 431, 501})


def unless_unchanged(request: Request, etag: str | None, exchange: Exchange = send) -> Flow[Reply]:
    """Send *request* on the condition that what *etag* stands for has changed (RFC 9110 13.1.2).

    The condition is never in the way: where it gets no answer, or one that may be about it, the request is sent once
    more without. One that ran out of time is not: the cache has the next fetch go without.

    Returns:
        The reply, with status 304 only if the condition was sent.

    Raises:
        TransportException: There is no answer.
    """
    if etag is not None:
        try:
            reply = yield from exchange(replace(request, headers=(*request.headers, ("If-None-Match", etag))))
            if reply.status not in _CONDITION_REFUSED:
                return reply
        except TransportException as error:
            if error.code == "timeout":
                raise
    reply = yield from exchange(request)
    if reply.status == 304:
        raise failure("protocol_error", "304 answers a request without a condition", request, status_code=304)
    return reply


__all__ = [
    "MAX_REDIRECTS",
    "MAX_RETRY_AFTER",
    "Exchange",
    "follow_redirects",
    "once_more",
    "persistently",
    "retry_after",
    "unless_unchanged",
]
