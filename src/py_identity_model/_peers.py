"""Which addresses a request that a stranger caused is carried to: those on the public internet, and no other.

The ``trace`` extension of httpcore tells where a connection is going to be made, and hands it out once it is there and
before anything is sent. Both are looked at: a name whose addresses are not all public is not connected to, and a name
that led elsewhere a moment later ends before the first byte.

A connection to a proxy is the proxy's business: the name is judged by its spelling only, as it is resolved over there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from ._core.base.addresses import check_public_peer
from ._core.base.flow import Request
from ._core.base.transport import bare


class PeerCheck:
    """Follows the connections of one request.

    Args:
        request: The request; nothing is looked at unless it must stay on the public internet.
        shared: Whether it may travel over a connection that was made for a request of another kind.
    """

    def __init__(self, request: Request, *, shared: bool) -> None:
        self._needed = request.public_only
        self._host = urlsplit(request.url).hostname or ""
        self._url = bare(request.url)
        # What is about to be sent over a connection from the client's pool was not seen when that was made.
        self._unseen = shared

    def name_to_resolve(self, event: str, info: dict[str, Any]) -> str | None:
        """Return the host whose addresses :meth:`check_addresses` has to see before things go on."""
        if not self._needed:
            return None
        if event.endswith("connect_tcp.started"):
            self._unseen = False
            return self._host if self._is_direct(info) else None
        if event.endswith("send_request_headers.started") and self._unseen:
            self._unseen = False
            return self._host
        return None

    def _is_direct(self, info: dict[str, Any]) -> bool:
        self._direct = str(info.get("host", "")).strip("[]").lower() == self._host
        return self._direct

    def check_addresses(self, found: Iterable[Any]) -> None:
        """Refuse a name that leads, also, to an address which is not public.

        Raises:
            TransportException: It does; the ``code`` is ``address_not_public``.
        """
        for peer in found:
            check_public_peer(peer, self._host, self._url)

    def new_connection(self, event: str, info: dict[str, Any]) -> Any:
        """Return the connection that was just made to the host itself, for :meth:`check_connection`; None otherwise."""
        if self._needed and event.endswith("connect_tcp.complete") and self._direct:
            return info.get("return_value")
        return None

    def check_connection(self, stream: Any) -> None:
        """Refuse a connection to an address that is not public.

        Raises:
            TransportException: It is; the ``code`` is ``address_not_public``.
        """
        check_public_peer(stream.get_extra_info("server_addr"), self._host, self._url)


__all__ = ["PeerCheck"]
