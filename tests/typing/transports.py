"""Everything that may be an ``http_client``, in both APIs, and functions around it."""

from collections.abc import Awaitable, Callable

import httpx
import httpx2

from py_identity_model import (
    HTTPClient,
    JwksRequest,
    Reply,
    Request,
    TokenIntrospector,
    TokenValidator,
    Transport,
    aio,
    get_jwks,
)
from py_identity_model.testing import EmbeddedProvider

JWKS = JwksRequest(address="https://id.example.com/jwks")


def answer(request: Request) -> Reply:
    return Reply(200, (("content-type", "application/json"),), b'{"keys": []}', request.url)


async def answer_later(request: Request) -> Reply:
    return answer(request)


class Recorder:
    def __init__(self, inner: Callable[[Request], Reply]) -> None:
        self.inner = inner
        self.urls: list[str] = []

    def __call__(self, request: Request) -> Reply:
        self.urls.append(request.url)
        return self.inner(request)


class AsyncRecorder:
    async def __call__(self, request: Request) -> Reply:
        return answer(request)


class OwnClient(httpx2.Client):
    """A client of one's own."""


def blocking() -> None:
    provider = EmbeddedProvider()
    every: list[Transport] = [
        HTTPClient(timeout=5),
        HTTPClient(httpx2.Client()),
        HTTPClient(httpx.Client()),
        httpx2.Client(),
        httpx.Client(transport=provider.httpx_transport()),
        OwnClient(),
        answer,
        lambda request: Reply(204, url=request.url),
        Recorder(answer),
        provider.transport,
    ]
    for http_client in every:
        get_jwks(JWKS, http_client)
        TokenValidator("https://id.example.com", audience="api", http_client=http_client)
        TokenIntrospector("https://id.example.com/introspect", "api", http_client=http_client)
    get_jwks(JWKS)
    get_jwks(JWKS, None)


async def awaiting() -> None:
    provider = EmbeddedProvider()
    every: list[aio.Transport] = [
        aio.HTTPClient(),
        aio.HTTPClient(httpx2.AsyncClient()),
        aio.HTTPClient(httpx.AsyncClient()),
        httpx2.AsyncClient(),
        httpx.AsyncClient(transport=provider.httpx_transport()),
        answer,
        answer_later,
        lambda request: Reply(204, url=request.url),
        AsyncRecorder(),
        Recorder(answer),
        provider.transport,
        provider.async_transport,
    ]
    for http_client in every:
        await aio.get_jwks(JWKS, http_client)
        aio.TokenValidator("https://id.example.com", audience="api", http_client=http_client)
        aio.TokenIntrospector("https://id.example.com/introspect", "api", http_client=http_client)


def wrapped(transport: Callable[[Request], Reply]) -> Transport:
    return Recorder(transport)


def wrapped_async(transport: Callable[[Request], Awaitable[Reply]]) -> aio.Transport:
    async def send(request: Request) -> Reply:
        return await transport(request)

    return send
