"""Requests of pages to an API, streamed both ways where there is no event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import httpx2

from .._core.resource.calls import answered
from .._core.web_login.messages import Headers, WebAnswer, WebRequest
from .._core.web_login.proxy import Outgoing, WebProxy, upstream_failed
from ..exceptions import PyIdentityModelException
from ..sync._clients import HTTPClient as BlockingClient
from ..sync._driver import run
from ._web_login import AnyLogin
from ._web_proxy import REPEATABLE, stream_timeout


class Forwarded(NamedTuple):
    """An answer whose body is still on its way."""

    status: int
    headers: Headers
    #: To be iterated, and closed.
    body: Iterable[bytes]


class BlockingProxy:
    """Serves a proxy where there is no event loop.

    Args:
        login: The web login.
        proxy: What ``login.proxy`` returned.
        http_client: A client for the API; by default one of the library's own.
    """

    def __init__(self, login: AnyLogin, proxy: WebProxy, http_client: BlockingClient | None = None) -> None:
        self._login, self.proxy = login, proxy
        self._client = BlockingClient() if http_client is None else http_client

    def forward(self, request: WebRequest, read: Callable[[int], bytes]) -> Forwarded:
        """Serve one request.

        Args:
            request: The request of the page, without its body.
            read: Returns so many octets of the body, fewer at its end.
        """
        began = run(self.proxy.begin(request), self._login._http_client)
        if isinstance(began, WebAnswer):
            return _whole(began)
        length = request.header("content-length")
        short = length is None or (length.isdigit() and int(length) <= REPEATABLE)
        chunked = length is None and request.header("transfer-encoding") is not None
        content = _read_all(read, int(length or 0)) if short and not chunked else _pieces(read)
        if not short and length is not None:
            began = began.again([("content-length", length)])
        try:
            response = self._sent(began, content)
            return _streamed(response, self.proxy.returned(began, response.headers.multi_items()))
        except PyIdentityModelException as error:
            return _whole(self.proxy.refused(request, error))
        except (httpx2.TransportError, httpx2.InvalidURL):
            return _whole(upstream_failed())

    def _sent(self, outgoing: Outgoing, content: bytes | Iterator[bytes]) -> httpx2.Response:
        client, repeatable = self._client.client, isinstance(content, bytes)
        while True:
            built = client.build_request(
                outgoing.method, outgoing.url, headers=[*outgoing.headers], content=content, timeout=stream_timeout()
            )
            built.headers.pop("cookie", None)  # as above
            response = client.send(built, stream=True, auth=None, follow_redirects=False)
            try:
                told = answered(response.status_code, response.headers.multi_items())
                again = run(self.proxy.after(outgoing, told, repeatable=repeatable), self._login._http_client)
            except BaseException:  # whatever it is, nobody else has the response
                response.close()
                raise
            if again is None:
                return response
            response.close()
            outgoing = again


def _read_all(read: Callable[[int], bytes], length: int) -> bytes:
    body = b""
    while len(body) < length and (piece := read(length - len(body))):
        body += piece
    return body


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(65536):
        yield piece


def _whole(made: WebAnswer) -> Forwarded:
    return Forwarded(made.status, made.headers, [made.body])


def _streamed(response: httpx2.Response, headers: Headers) -> Forwarded:
    def body() -> Iterator[bytes]:
        try:
            yield from response.iter_raw()
        finally:
            with suppress(httpx2.TransportError):
                response.close()

    return Forwarded(response.status_code, headers, body())


__all__ = ["BlockingProxy", "Forwarded"]
