"""How long a response may be used: freshness (RFC 9111 4.2) and the stale times after it (RFC 5861)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ..base.flow import Reply
from ..base.header_fields import http_date
from ..base.header_lists import members, named_value

#: Bounds of the freshness a provider can ask for.
SHORTEST_TTL: Final = 60.0
LONGEST_TTL: Final = 86400.0


class Freshness(NamedTuple):
    """How long a response may be used, in seconds; the stale times count from the end of ``fresh_for``."""

    fresh_for: float
    stale_while_revalidate: float
    stale_if_error: float


def freshness(reply: Reply, wall: float, default_ttl: float, max_stale: float) -> Freshness:
    """Return how long *reply* may be used (RFC 9111 4.2, RFC 5861).

    Args:
        reply: The response.
        wall: The wall clock, in seconds since 1970.
        default_ttl: Seconds it is fresh if it does not say.
        max_stale: Longest time it is used after that, in seconds; the response can only shorten it.

    ``no-store``, ``no-cache`` and times already past mean the shortest freshness, not none: keys have to be kept to be
    of use. Only a reply that says ``stale-while-revalidate`` is used past its freshness without a look first.

    >>> freshness(Reply(200, (("cache-control", "max-age=600"), ("age", "100"))), 0, 3600, 86400)
    Freshness(fresh_for=500.0, stale_while_revalidate=0.0, stale_if_error=86400)
    """
    directives = _directives(reply.header_values("cache-control"))
    fresh_for = min(max(_lifetime(reply, directives, wall, default_ttl), SHORTEST_TTL), LONGEST_TTL)
    if_error = min(_seconds(directives["stale-if-error"]) if "stale-if-error" in directives else max_stale, max_stale)
    unasked = 0.0
    if "stale-while-revalidate" in directives:
        unasked = min(_seconds(directives["stale-while-revalidate"]), max_stale)
    return Freshness(fresh_for, unasked, if_error)


def told_lifetime(reply: Reply, wall: float) -> float:
    """Return the seconds for which *reply* says that it may be used; 0 where it does not say."""
    return max(0.0, _lifetime(reply, _directives(reply.header_values("cache-control")), wall, 0.0))


def _lifetime(reply: Reply, directives: dict[str, str], wall: float, default_ttl: float) -> float:
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    age = _seconds(reply.header("age", ""))
    if "max-age" in directives:  # RFC 9111 5.3: it overrides Expires
        return _seconds(directives["max-age"]) - age
    expires = reply.header("expires")
    if expires is None:
        return default_ttl
    date = http_date(reply.header("date"))
    return (http_date(expires) or 0.0) - (wall if date is None else date) - age


def _directives(values: Iterable[str]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    # Line by line: a quoted string that one leaves open ends there.
    for member in (one for line in values for one in members(line)):
        name, value = named_value(member)
        # RFC 9111 4.2.1: of several the first counts.
        parsed.setdefault(name, value)
    return parsed


def _seconds(text: str | None) -> float:
    """Return a delta-seconds, 0 for anything else (RFC 9111 1.2.2, 4.2.1)."""
    if not text or not (text.isascii() and text.isdigit()):
        return 0.0
    return float(text[:10]) if len(text) <= 10 else 2.0**31


__all__ = ["Freshness", "freshness", "told_lifetime"]
