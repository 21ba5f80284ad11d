"""The auth object inside the real clients of httpx2, httpx, requests and aiohttp, against a resource on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import aiohttp
import httpx
import httpx2
import pytest
import requests
import trio

from oauth_world import INVENTORY, World
from py_identity_model import (
    ConfigurationException,
    DPoPKey,
    LoginRequired,
    StepUpRequired,
    TokenUnavailable,
)
from py_identity_model._core.base.flow import Reply, Request

#: Seconds until a request that is never answered fails its test.
PATIENCE = 60.0


class Seen(NamedTuple):
    """One request as it reached the resource."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").partition(" ")[2]


class Resource:
    """An API on loopback; *answer* says what it does with a request."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer: Callable[[Seen], tuple[int, dict[str, str]]] = lambda request: (200, {})
        resource = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                chunked = self.headers.get("transfer-encoding") == "chunked"
                body = self.chunks() if chunked else self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(self.command, self.path, headers, body)
                resource.seen.append(seen)
                status, more = resource.answer(seen)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def chunks(self) -> bytes:
                read = b""
                while size := int(self.rfile.readline(), 16):
                    read += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return read

            do_GET = do_POST = serve

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def resource() -> Iterator[Resource]:
    started = Resource()
    yield started
    started.close()


@pytest.fixture
def elsewhere() -> Iterator[Resource]:
    started = Resource()
    yield started
    started.close()


class Way(NamedTuple):
    """One library, as it is used: ``send(auth, method, url, body, follow)`` returns the status."""

    name: str
    kind: str
    send: Callable[..., int]


def blocking_httpx(library: Any) -> Callable[..., int]:
    def send(auth: Any, method: str, url: str, body: Any = None, follow: bool = False) -> int:
        with library.Client(auth=auth, follow_redirects=follow, timeout=PATIENCE) as client:
            return int(client.request(method, url, content=body() if callable(body) else body).status_code)

    return send


def awaiting_httpx(library: Any, run: Callable[..., Any]) -> Callable[..., int]:
    def send(auth: Any, method: str, url: str, body: Any = None, follow: bool = False) -> int:
        async def stream() -> Any:
            for part in body():
                yield part

        async def main() -> int:
            async with library.AsyncClient(auth=auth, follow_redirects=follow, timeout=PATIENCE) as client:
                content = stream() if callable(body) else body
                return int((await client.request(method, url, content=content)).status_code)

        return int(run(main))

    return send


def by_requests(auth: Any, method: str, url: str, body: Any = None, follow: bool = False) -> int:
    with requests.Session() as session:
        session.auth = auth
        data = body() if callable(body) else body
        return session.request(method, url, data=data, allow_redirects=follow).status_code


def by_aiohttp(auth: Any, method: str, url: str, body: Any = None, follow: bool = False) -> int:
    async def stream() -> Any:
        for part in body():
            yield part

    async def main() -> int:
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            data = stream() if callable(body) else body
            async with session.request(method, url, data=data, allow_redirects=follow) as response:
                await response.read()
                return response.status

    return asyncio.run(main())


def run_asyncio(main: Any) -> Any:
    return asyncio.run(main())


WAYS = [
    Way("httpx2", "sync", blocking_httpx(httpx2)),
    Way("httpx", "sync", blocking_httpx(httpx)),
    Way("requests", "sync", by_requests),
    Way("httpx2 asyncio", "asyncio", awaiting_httpx(httpx2, run_asyncio)),
    Way("httpx asyncio", "asyncio", awaiting_httpx(httpx, run_asyncio)),
    Way("httpx2 trio", "trio", awaiting_httpx(httpx2, trio.run)),
    Way("httpx trio", "trio", awaiting_httpx(httpx, trio.run)),
    Way("aiohttp", "asyncio", by_aiohttp),
]


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def world(way: Way, clock: Any) -> World:
    return World(way.kind, clock)


def auth_for(world: World, resource: Resource, **options: Any) -> Any:
    given = {"scope": "orders", "origins": [resource.url], **options}
    return world.process().client.auth(**given)


# ---- every request has a token


def test_every_request_has_the_token(way: Way, world: World, resource: Resource) -> None:
    """Requests of every library carry the token in their header, fetched once and renewed when its time has come."""
    auth = auth_for(world, resource)
    assert [way.send(auth, "GET", resource.url + "/items?page=1") for _ in range(3)] == [200] * 3
    assert world.asked == 1
    assert {seen.headers["authorization"].partition(" ")[0] for seen in resource.seen} == {"Bearer"}
    assert len({seen.token for seen in resource.seen}) == 1
    world.clock.advance(250)
    assert way.send(auth, "POST", resource.url, b"body") == 200
    assert resource.seen[-1].body == b"body"
    assert world.asked == 2
    assert resource.seen[-1].token != resource.seen[0].token


def test_no_request_goes_out_without_a_token(way: Way, world: World, resource: Resource) -> None:
    """Where there is no token the request is not sent, and the exception says what to do."""
    auth = auth_for(world, resource, subject="nobody")
    with pytest.raises(LoginRequired):
        way.send(auth, "GET", resource.url)
    with world.provider.fault("503", on="token"), pytest.raises(TokenUnavailable):
        way.send(auth_for(world, resource), "GET", resource.url)
    assert resource.seen == []


# ---- and no other place sees it


def test_no_token_goes_to_another_origin(way: Way, world: World, resource: Resource, elsewhere: Resource) -> None:
    """A request for another origin is refused before anything is sent, also with the same host on another port."""
    auth = auth_for(world, resource)
    for url in (elsewhere.url, "http://localhost:1/", "https://evil.example.com/"):
        with pytest.raises(ConfigurationException) as error:
            way.send(auth, "GET", url)
        assert (error.value.code, error.value.expected) == ("token_origin_refused", [resource.url])
    assert elsewhere.seen == []
    assert world.asked == 0


def test_no_redirect_takes_a_token_along(way: Way, world: World, resource: Resource, elsewhere: Resource) -> None:
    """A resource that redirects elsewhere sends no token there, and what is refused there renews nothing."""
    resource.answer = lambda request: (302, {"location": elsewhere.url + "/there"})
    elsewhere.answer = lambda request: (401, {"www-authenticate": 'Bearer error="invalid_token"'})
    auth = auth_for(world, resource)
    if way.name == "aiohttp":  # which asks for each hop
        with pytest.raises(ConfigurationException, match="may not go"):
            way.send(auth, "GET", resource.url, None, True)
    else:
        assert way.send(auth, "GET", resource.url, None, True) == 401
    assert not [seen for seen in elsewhere.seen if "authorization" in seen.headers or "dpop" in seen.headers]
    assert world.asked == 1


def test_a_redirect_within_the_origin_keeps_the_token(way: Way, world: World, resource: Resource) -> None:
    """On the same origin a redirect is followed with the token."""
    resource.answer = lambda request: (200, {}) if request.path == "/b" else (302, {"location": "/b"})
    assert way.send(auth_for(world, resource), "GET", resource.url + "/a", None, True) == 200
    assert [bool(seen.token) for seen in resource.seen] == [True, True]


# ---- refused


def invalid(token: str) -> Callable[[Seen], tuple[int, dict[str, str]]]:
    refused = 401, {"www-authenticate": 'Bearer realm="x", error="invalid_token"'}
    return lambda request: refused if request.token == token else (200, {})


def test_after_a_401_a_new_token_is_tried_once(way: Way, world: World, resource: Resource) -> None:
    """A token that was revoked is renewed, and the request sent again with its body."""
    auth = auth_for(world, resource)
    way.send(auth, "GET", resource.url)
    resource.answer = invalid(resource.seen[0].token)
    assert way.send(auth, "POST", resource.url, b"again") == 200
    assert [seen.body for seen in resource.seen[1:]] == [b"again", b"again"]
    assert len({seen.token for seen in resource.seen}) == 2
    assert world.asked == 2


def test_a_401_without_a_challenge_counts_too(way: Way, world: World, resource: Resource) -> None:
    """Some resources refuse a token without a word."""
    auth = auth_for(world, resource)
    way.send(auth, "GET", resource.url)
    old = resource.seen[0].token
    resource.answer = lambda request: (401 if request.token == old else 200, {})
    assert way.send(auth, "GET", resource.url) == 200


def test_a_body_that_cannot_be_sent_again_is_not(way: Way, world: World, resource: Resource) -> None:
    """A stream is sent once; the caller has the 401, and the next request the new token."""
    auth = auth_for(world, resource)
    way.send(auth, "GET", resource.url)
    resource.answer = invalid(resource.seen[0].token)

    def stream() -> Iterator[bytes]:
        yield b"part one "
        yield b"part two"

    assert way.send(auth, "POST", resource.url, stream) == 401
    assert [seen.body for seen in resource.seen] == [b"", b"part one part two"]
    assert way.send(auth, "GET", resource.url) == 200
    assert world.asked == 2


def test_a_resource_that_refuses_everything_costs_one_renewal_now_and_then(
    way: Way, world: World, resource: Resource
) -> None:
    """Each request is tried with a renewed token once at most, and tokens are not fetched for each request."""
    resource.answer = lambda request: (401, {"www-authenticate": 'Bearer error="invalid_token"'})
    auth = auth_for(world, resource)
    assert [way.send(auth, "GET", resource.url) for _ in range(6)] == [401] * 6
    assert world.asked == 2
    world.clock.advance(11)
    assert way.send(auth, "GET", resource.url) == 401
    assert world.asked == 3


def test_other_answers_are_the_callers(way: Way, world: World, resource: Resource) -> None:
    """A 403 without a word, a 500, a 404: nothing is tried."""
    auth = auth_for(world, resource)
    for status in (403, 404, 500):
        resource.answer = lambda request, status=status: (status, {})  # type: ignore[misc]
        assert way.send(auth, "GET", resource.url) == status
    assert len(resource.seen) == 3


# ---- step-up


def wants(scope: str) -> Callable[[Seen], tuple[int, dict[str, str]]]:
    """Answer 403 until the token grants a scope; the tokens of the embedded provider tell."""
    from py_identity_model.testing import EmbeddedProvider

    def answer(request: Seen) -> tuple[int, dict[str, str]]:
        granted = EmbeddedProvider.claims_of(request.token).get("scope", "").split()
        if scope in granted:
            return 200, {}
        return 403, {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}

    return answer


def test_more_scope_is_asked_for_at_once_where_the_grant_allows(way: Way, world: World, resource: Resource) -> None:
    """The client's own token is fetched anew with the union of scopes, once; later requests ask for it right away."""
    resource.answer = wants("orders.write")
    auth = auth_for(world, resource)
    assert way.send(auth, "POST", resource.url, b"x") == 200
    assert world.provider.claims_of(resource.seen[-1].token)["scope"] == "orders orders.write"
    assert way.send(auth, "POST", resource.url, b"x") == 200
    assert (len(resource.seen), world.asked) == (3, 2)


def test_more_scope_that_does_not_help_is_told(way: Way, world: World, resource: Resource) -> None:
    """After one attempt the caller learns which scopes are wanted, all of them."""
    resource.answer = lambda request: (403, {"www-authenticate": 'Bearer error="insufficient_scope", scope="a b"'})
    auth = auth_for(world, resource)
    with pytest.raises(StepUpRequired) as error:
        way.send(auth, "GET", resource.url)
    assert error.value.scope == ("orders", "a", "b")
    assert len(resource.seen) == 2


def test_more_scope_than_a_login_grants_is_told(way: Way, world: World, resource: Resource) -> None:
    """A refresh cannot grant more than the login did (RFC 6749 6): the user has to be asked."""
    process = world.process()
    process.log_in(scope="openid orders")
    resource.answer = wants("orders.write")
    auth = process.client.auth(subject="alice", origins=[resource.url])
    with pytest.raises(StepUpRequired) as error:
        way.send(auth, "GET", resource.url)
    assert (error.value.scope, error.value.verb) == (("openid", "orders", "orders.write"), "begin_login")
    narrow = process.client.auth(subject="alice", scope="openid", origins=[resource.url])
    resource.answer = wants("orders")
    assert way.send(narrow, "GET", resource.url) == 200


def test_a_better_authentication_is_told(way: Way, world: World, resource: Resource) -> None:
    """A 401 that wants the user to authenticate better or anew becomes what to ask for (RFC 9470)."""
    challenge = 'Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age=60'
    resource.answer = lambda request: (401, {"www-authenticate": challenge})
    with pytest.raises(StepUpRequired) as error:
        way.send(auth_for(world, resource), "GET", resource.url)
    assert (error.value.acr_values, error.value.max_age) == (("gold", "silver"), 60)
    assert len(resource.seen) == 1


# ---- DPoP


@pytest.fixture
def bound(world: World) -> World:
    """A world whose provider binds tokens to the key of the proof."""
    import json
    from dataclasses import replace

    def between(request: Request) -> Reply:
        reply = world.provider.transport(request)
        if not request.url.endswith("/token") or reply.status != 200:
            return reply
        assert [name for name, _ in request.headers if name.lower() == "dpop"]
        return replace(reply, body=json.dumps({**json.loads(reply.body), "token_type": "DPoP"}).encode())

    world.between = between
    return world


def test_dpop_nonces_are_kept_per_origin_and_asked_for_once(way: Way, bound: World, resource: Resource) -> None:
    """A resource that wants a nonce gets the request again with it, and later ones at once; each proof is new."""

    def answer(request: Seen) -> tuple[int, dict[str, str]]:
        if bound.provider.claims_of(request.headers["dpop"]).get("nonce") != "n-1":
            return 401, {"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "n-1"}
        return 200, {}

    resource.answer = answer
    auth = bound.process(dpop=True).client.auth(scope="orders", origins=[resource.url])
    assert way.send(auth, "POST", resource.url + "/x", b"body") == 200
    assert way.send(auth, "GET", resource.url + "/y") == 200
    proofs = [bound.provider.claims_of(seen.headers["dpop"]) for seen in resource.seen]
    assert len(proofs) == len({proof["jti"] for proof in proofs}) == 3
    assert [(proof["htm"], proof["htu"]) for proof in proofs] == [
        ("POST", resource.url + "/x"),
        ("POST", resource.url + "/x"),
        ("GET", resource.url + "/y"),
    ]
    assert {seen.headers["authorization"].partition(" ")[0] for seen in resource.seen} == {"DPoP"}


def test_dpop_never_becomes_bearer(way: Way, bound: World, resource: Resource) -> None:
    """Neither a provider that binds nothing nor a resource that asks for a bearer token changes that."""
    resource.answer = lambda request: (401, {"www-authenticate": "Bearer"})
    auth = bound.process(dpop=DPoPKey()).client.auth(scope="orders", origins=[resource.url])
    assert way.send(auth, "GET", resource.url) == 401
    assert {seen.headers["authorization"].partition(" ")[0] for seen in resource.seen} == {"DPoP"}
    bound.between = bound.provider.transport
    unbound = bound.process(dpop=DPoPKey()).client.auth(scope="orders", origins=[resource.url])
    seen = len(resource.seen)
    with pytest.raises(TokenUnavailable) as error:
        way.send(unbound, "GET", resource.url)
    assert getattr(error.value.__cause__, "code", None) == "dpop_token_expected"
    assert len(resource.seen) == seen


def test_processes_share_the_key_that_tokens_are_bound_to(way: Way, bound: World, resource: Resource) -> None:
    """A key that the library made lies in the store: another process, and the next run, use tokens bound to it."""
    for _ in range(2):
        auth = bound.process(dpop=True).client.auth(scope="orders", origins=[resource.url])
        assert way.send(auth, "GET", resource.url) == 200
    assert bound.asked == 1
    assert len({seen.token for seen in resource.seen}) == 1


# ---- where tokens may go


def test_it_must_be_said_where_tokens_may_go(clock: Any) -> None:
    """Without a resource that is a URL, and without origins, no auth object is made."""
    client = World("sync", clock).process().client
    for options in ({}, {"resource": "urn:inventory"}, {"origins": []}):
        with pytest.raises(ConfigurationException) as error:
            client.auth(scope="orders", **options)
        assert error.value.code == "token_origins_missing"
    assert "https://inventory.example.com" in repr(client.auth(resource=INVENTORY + "/v1"))


@pytest.mark.parametrize("origins", [["http://inventory.example.com"], ["inventory.example.com"], "https://a.example"])
def test_origins_are_urls_that_tokens_may_travel_to(origins: Any, clock: Any) -> None:
    """Plain http to another machine is refused, and so is what is no URL."""
    with pytest.raises(ConfigurationException):
        World("sync", clock).process().client.auth(origins=origins)


def test_plain_http_is_taken_where_it_is_allowed_by_name(clock: Any) -> None:
    """``allow_insecure_http`` of the client says so."""
    client = World("sync", clock).process(allow_insecure_http=True).client
    assert "http://inventory" in repr(client.auth(origins=["http://inventory"]))


# ---- as a whole


def by_threads(get: Callable[[], Any]) -> list[int]:
    """Send five requests of one blocking client in threads."""
    with ThreadPoolExecutor(5) as pool:
        return [future.result().status_code for future in [pool.submit(get) for _ in range(5)]]


def five_blocking(library: Any) -> Callable[[Any, str], list[int]]:
    def send(auth: Any, url: str) -> list[int]:
        with library.Client(auth=auth, timeout=PATIENCE) as client:
            return by_threads(lambda: client.get(url))

    return send


def five_by_requests(auth: Any, url: str) -> list[int]:
    with requests.Session() as session:
        session.auth = auth
        return by_threads(lambda: session.get(url, timeout=PATIENCE))


def five_by_asyncio(library: Any) -> Callable[[Any, str], list[int]]:
    def send(auth: Any, url: str) -> list[int]:
        async def main() -> list[int]:
            async with library.AsyncClient(auth=auth, timeout=PATIENCE) as client:
                return [r.status_code for r in await asyncio.gather(*(client.get(url) for _ in range(5)))]

        return asyncio.run(main())

    return send


def five_by_trio(library: Any) -> Callable[[Any, str], list[int]]:
    def send(auth: Any, url: str) -> list[int]:
        found: list[int] = []

        async def main() -> None:
            async with library.AsyncClient(auth=auth, timeout=PATIENCE) as client, trio.open_nursery() as nursery:

                async def get() -> None:
                    found.append((await client.get(url)).status_code)

                for _ in range(5):
                    nursery.start_soon(get)

        trio.run(main)
        return found

    return send


def five_by_aiohttp(auth: Any, url: str) -> list[int]:
    async def main() -> list[int]:
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:

            async def get() -> int:
                async with session.get(url) as response:
                    return response.status

            return await asyncio.gather(*(get() for _ in range(5)))

    return asyncio.run(main())


FIVE: dict[str, Callable[[Any, str], list[int]]] = {
    "httpx2": five_blocking(httpx2),
    "httpx": five_blocking(httpx),
    "requests": five_by_requests,
    "httpx2 asyncio": five_by_asyncio(httpx2),
    "httpx asyncio": five_by_asyncio(httpx),
    "httpx2 trio": five_by_trio(httpx2),
    "httpx trio": five_by_trio(httpx),
    "aiohttp": five_by_aiohttp,
}


def test_five_slow_requests_at_once_take_as_long_as_one(way: Way, world: World, resource: Resource) -> None:
    """No lock is held while a request runs: a resource that answers nobody until all five are there answers all. All
    five need their token first, and one fetches it.
    """
    all_there = threading.Barrier(5, timeout=PATIENCE)

    def together(request: Seen) -> tuple[int, dict[str, str]]:
        all_there.wait()
        return 200, {}

    resource.answer = together
    assert FIVE[way.name](auth_for(world, resource), resource.url) == [200] * 5
    assert len(resource.seen) == 5
    assert world.asked == 1


def test_a_renewal_waits_for_no_request(way: Way, world: World, resource: Resource) -> None:
    """While a resource takes its time over one request, the token expires; another request renews it and is answered,
    and only then the first one is.
    """
    auth, arrived, renewed = auth_for(world, resource), threading.Event(), threading.Event()

    def slow(request: Seen) -> tuple[int, dict[str, str]]:
        if request.path == "/slow":
            arrived.set()
            assert renewed.wait(PATIENCE)
        return 200, {}

    resource.answer = slow
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(way.send, auth, "GET", resource.url + "/slow")
        assert arrived.wait(PATIENCE)
        world.clock.advance(301)
        assert way.send(auth, "GET", resource.url + "/quick") == 200
        renewed.set()
        assert first.result() == 200
    assert world.asked == 2
    assert len({seen.token for seen in resource.seen}) == 2


def test_httpx_is_not_needed() -> None:
    """Where only httpx2 is installed the auth object is one of httpx2, and httpx is not imported."""
    program = (
        "import sys; sys.modules['httpx'] = None\n"
        "from py_identity_model import OAuthClient\n"
        "client = OAuthClient('https://id.example.com', client_id='app', client_secret='s')\n"
        "auth = client.auth(resource='https://api.example.com')\n"
        "import httpx2; assert isinstance(auth, httpx2.Auth); assert sys.modules['httpx'] is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_no_request_is_refused(clock: Any) -> None:
    """An object that no known library made is told apart."""
    auth = World("sync", clock).process().client.auth(resource=INVENTORY)
    with pytest.raises(ConfigurationException, match="no request of requests"):
        auth(object())


def test_whoever_drives_the_flow_alone_is_told(clock: Any) -> None:
    """A library that knows neither ``sync_auth_flow`` nor ``async_auth_flow`` is told, and sends nothing."""
    auth = World("sync", clock).process().client.auth(resource=INVENTORY)
    with pytest.raises(ConfigurationException, match="sync_auth_flow"):
        next(auth.auth_flow(httpx2.Request("GET", INVENTORY)))
