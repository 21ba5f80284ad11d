"""What a server may have a client fetch: from hosts on the public internet, and from those that the application named.

A server that is asked for its metadata answers with addresses, and each of them with more. All requests go through
:func:`guarded`, so that no address in that chain leads to this machine, its link or a network of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from ...exceptions import ConfigurationException
from ..base.addresses import check_public_url
from ..base.flow import Background, Effect, Flow, Request, Send, performed
from ..base.urls import is_this_machine, origin

T = TypeVar("T")


class Named(NamedTuple):
    """What the application named itself."""

    #: Origins that may be anywhere.
    origins: frozenset[str]
    #: Whether one of them is this machine, which may then lead to this machine.
    here: bool
    #: Whether all addresses may be anywhere.
    anywhere: bool = False


def named(urls: Collection[str], *, anywhere: bool = False) -> Named:
    """Return what the application named by these addresses."""
    here = any(is_this_machine(urlsplit(url).hostname) for url in urls)
    return Named(frozenset(origin(url) for url in urls), here, anywhere)


def guarded(flow: Flow[T], known: Named) -> Flow[T]:
    """Perform *flow*; what it sends to hosts that nobody named goes to the public internet or not at all.

    Raises:
        TransportException: An address is private, local or reserved, unless *flow* raises something else for it; the
            ``code`` is ``address_not_public``.
    """

    def perform(effect: Effect) -> Flow[Any]:
        if isinstance(effect, Background):
            start = effect.start
            effect = Background(lambda: guarded(start(), known))
        elif isinstance(effect, Send):
            effect = replace(effect, request=_judged(effect.request, known))
        return (yield effect)

    return (yield from performed(flow, perform))


def _judged(request: Request, known: Named) -> Request:
    if known.anywhere or _is_named(request.url, known):
        return request
    check_public_url(request.url, "address")
    return replace(request, public_only=True)


def _is_named(url: str, known: Named) -> bool:
    try:
        found = origin(url)
    except ConfigurationException:
        return False
    return found in known.origins or (known.here and is_this_machine(urlsplit(url).hostname))


__all__ = ["Named", "guarded", "named"]
