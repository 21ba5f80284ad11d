"""Requests of pages to an API, streamed both ways where there is no event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx2

from .._core.resource.calls import answered
from .._core.web_login.messages import Headers, WebAnswer, WebRequest
from .._core.web_login.proxy import (
    Outgoing,
    WebProxy,
    body_incomplete,
    body_length,
    is_answer,
    length_required,
    no_websockets,
    upstream_failed,
)
from ..exceptions import PyIdentityModelException
from ..settings import get_settings
from ..sync._clients import HTTPClient as BlockingClient
from ..sync._driver import run
from ._blocking_bodies import Body, Streamed, Whole
from ._requests import Environment
from ._web_login import AnyLogin
from ._web_proxy import REPEATABLE, UNCOUNTED, as_sent, built_request

#: Seconds that an API may be silent, before and in its answer; nothing else would wake what waits for it. A stream of
#: events may be silent for as long as it likes.
PATIENCE = 60.0


class Forwarded(NamedTuple):
    """An answer whose body is still on its way."""

    status: int
    headers: Headers
    #: To be iterated, and closed.
    body: Body


class _StreamClient(BlockingClient):
    """The library's own client, with connections for one proxy alone."""

    def _built(self, options: dict[str, Any]) -> Any:
        return super()._built({**options, "limits": UNCOUNTED})


class _Incomplete(Exception):
    """The body ended before its length."""


class BlockingProxy:
    """Serves a proxy where there is no event loop.

    Args:
        login: The web login.
        proxy: What ``login.proxy`` returned.
        http_client: A client for the API; by default one of the library's own.
    """

    def __init__(self, login: AnyLogin, proxy: WebProxy, http_client: BlockingClient | None = None) -> None:
        self._login, self.proxy = login, proxy
        self._client = _StreamClient() if http_client is None else http_client

    def forward(self, request: WebRequest, read: Callable[[int], bytes] | None) -> Forwarded:
        """Serve one request.

        Args:
            request: The request of the page, without its body.
            read: Returns so many octets of the body at most; none at its end. None where the end cannot be seen.
        """
        made = self._answered(request, read)
        if request.method == "HEAD" and isinstance(made.body, Whole):  # not every server sees to it
            return made._replace(body=Whole())
        return made

    def _answered(self, request: WebRequest, read: Callable[[int], bytes] | None) -> Forwarded:
        if "websocket" in (request.header("upgrade") or "").lower():
            return _whole(no_websockets())
        began = run(self.proxy.begin(request), self._login._http_client)
        if isinstance(began, WebAnswer):
            return _whole(began)
        if read is None:
            return _whole(length_required())
        try:
            return self._exchange(request, began, read)
        except _Incomplete:
            return _whole(body_incomplete())
        except PyIdentityModelException as error:
            return _whole(self.proxy.refused(request, error))
        except (httpx2.TransportError, httpx2.InvalidURL):
            return _whole(upstream_failed())

    def _exchange(self, request: WebRequest, outgoing: Outgoing, read: Callable[[int], bytes]) -> Forwarded:
        length = body_length(request)
        pieces = _pieces(read, length)
        content = pieces if length is None or length > REPEATABLE else b"".join(pieces)
        if length is not None and length > REPEATABLE:
            outgoing = outgoing.again([("content-length", str(length))])
        response = self._sent(outgoing, content)
        if not is_answer(response.status_code):
            response.close()
            return _whole(upstream_failed())
        headers = self.proxy.returned(outgoing, as_sent(response))
        body = Streamed(response, lambda: run(self.proxy.alive(request), self._login._http_client))
        return Forwarded(response.status_code, headers, body)

    def _sent(self, outgoing: Outgoing, content: bytes | Iterator[bytes]) -> httpx2.Response:
        client, repeatable = self._client.client, isinstance(content, bytes)
        while True:
            response = client.send(
                built_request(client, outgoing, content, _timeout()), stream=True, auth=None, follow_redirects=False
            )
            try:
                told = answered(response.status_code, as_sent(response))
                again = run(self.proxy.after(outgoing, told, repeatable=repeatable), self._login._http_client)
            except BaseException:  # whatever it is, nobody else has the response
                response.close()
                raise
            if again is None:
                return response
            response.close()
            outgoing = again


def reader_of(environ: Environment, read: Callable[[int], bytes]) -> Callable[[int], bytes] | None:
    """Return what reads the body of a WSGI request; None if the server does not tell where it ends.

    Args:
        environ: The environment.
        read: What reads a body whose length is known.
    """
    if not environ.get("HTTP_TRANSFER_ENCODING"):
        return read
    unbounded: Callable[[int], bytes] = environ["wsgi.input"].read
    return unbounded if environ.get("wsgi.input_terminated") else None


def _timeout() -> httpx2.Timeout:
    seconds = get_settings().http_timeout
    return httpx2.Timeout(seconds, read=max(seconds, PATIENCE))


def _pieces(read: Callable[[int], bytes], length: int | None) -> Iterator[bytes]:
    """Yield a body, up to its length if that is known."""
    left = length
    while left != 0 and (piece := read(REPEATABLE if left is None else min(left, REPEATABLE))):
        left = None if left is None else left - len(piece)
        yield piece
    if left:
        raise _Incomplete


def _whole(made: WebAnswer) -> Forwarded:
    headers = (*made.headers, ("content-length", str(len(made.body))))
    return Forwarded(made.status, headers, Whole((made.body,)))


__all__ = ["PATIENCE", "BlockingProxy", "Forwarded", "reader_of"]
