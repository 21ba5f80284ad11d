"""A backend for a frontend: what goes to the API and what comes back, streamed, and what never does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import pytest
import uvicorn
import websockets.sync.client as sockets
from fastapi import FastAPI
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from login_world import BASE, KEY, PAGE, LoginWorld
from py_identity_model import ConfigurationException, DPoPKey, HTTPClient, LoginClient, StoreException, WebRequest
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.web_login.proxy import returned, sent
from py_identity_model.aio import HTTPClient as AsyncHTTPClient
from py_identity_model.integrations import _web_proxy
from py_identity_model.integrations._web_proxy_blocking import BlockingProxy
from py_identity_model.integrations.fastapi_login import FastAPILogin

API = "https://api.example.com/v1"
ASKS = {"x-csrf": "1", "accept": "*/*"}


def api(seen: list[Any]) -> FastAPI:
    """Return an API that notes what came, and answers in all ways."""
    app = FastAPI()

    @app.api_route("/v1/{rest:path}", methods=["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
    async def everything(request: StarletteRequest, rest: str) -> Response:
        body = await request.body()
        seen.append((request.method, request.url.path, request.url.query, dict(request.headers), body))
        if rest == "unauthorized":
            return Response(status_code=401, headers={"www-authenticate": 'Bearer error="invalid_token"'})
        if rest == "fresh":
            challenge = 'Bearer error="insufficient_user_authentication", max_age="300", acr_values="phr"'
            return Response(status_code=401, headers={"www-authenticate": challenge})
        if rest == "scope":
            challenge = 'Bearer error="insufficient_scope", scope="admin"'
            return Response(status_code=403, headers={"www-authenticate": challenge})
        headers = {"set-cookie": "__Host-session=evil", "x-own": "a", "clear-site-data": '"*"', "keep-alive": "1"}
        return JSONResponse({"rest": rest, "length": len(body)}, headers=headers)

    return app


class Site:
    """An application with a proxy, and a browser whose user is logged in."""

    def __init__(self, world: LoginWorld, **options: Any) -> None:
        self.world, self.seen = world, []  # type: ignore[var-annotated] # whatever came
        self.login = world.process()
        self.browser = world.browser(self.login)
        self.app = FastAPI()
        door = FastAPILogin(self.login)
        transport = httpx2.AsyncClient(transport=httpx2.ASGITransport(api(self.seen)))
        given = {"to": API, "http_client": AsyncHTTPClient(transport), **options}
        self.app.include_router(door.routes)
        self.app.include_router(door.proxy("/api", **given))

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request of the page."""

        async def main() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.app)
            async with httpx2.AsyncClient(transport=transport, base_url=BASE, cookies=self.browser.cookies) as client:
                return await client.request(method, path, **{"headers": ASKS, **options})

        return asyncio.run(main())

    def last(self) -> Any:
        """Return what the API saw last."""
        return self.seen[-1]


@pytest.fixture(params=["asyncio", "sync"])
def site(request: pytest.FixtureRequest, clock: Any) -> Site:
    """An application with a web login of each API, whose user is logged in."""
    made = Site(LoginWorld(request.param, clock))
    made.browser.log_in()
    return made


# ---- what goes there, and what comes back


def test_a_request_goes_to_the_api_with_a_token_and_without_cookies(site: Site) -> None:
    """Method, path, query and body arrive; the session's cookie, and what belongs to a connection, does not."""
    more = {**ASKS, "authorization": "Bearer mine", "te": "trailers", "x-forwarded-for": "1.2.3.4", "x-own": "b"}
    more |= {"connection": "x-hop", "x-hop": "1", "referer": f"{BASE}/orders", "origin": BASE}
    answer = site.send("PUT", "/api/orders/a%20b;c?page=2&q=%C3%A9", headers=more, content=b"body")
    assert answer.json() == {"rest": "orders/a b;c", "length": 4}
    method, path, query, headers, body = site.last()
    assert (method, path, query, body) == ("PUT", "/v1/orders/a b;c", "page=2&q=%C3%A9", b"body")
    token = site.world.run(site.browser.visit().token).access_token
    assert (headers["authorization"], headers["x-own"]) == (f"Bearer {token}", "b")
    gone = {"cookie", "te", "x-hop", "x-forwarded-for", "referer", "origin", "x-csrf"}
    assert gone & headers.keys() == set()
    assert headers["host"] == "api.example.com"


def test_what_comes_back_cannot_act_for_the_origin(site: Site) -> None:
    """Cookies of the API, and what counts for the whole origin, stay away; an answer shown as a page does nothing."""
    headers = site.send("GET", "/api/orders").headers
    assert {"set-cookie", "clear-site-data", "keep-alive"} & headers.keys() == set()
    assert (headers["x-own"], headers["cache-control"]) == ("a", "no-store")
    assert "sandbox" in headers["content-security-policy"]


@pytest.mark.parametrize("said", [None, "max-age=60", "public, max-age=60, s-maxage=9"])
def test_an_answer_that_is_kept_is_kept_for_one_session(said: str | None) -> None:
    """At the API the token tells callers apart; here a cookie does, which the next user of the browser has not."""
    answer = [("Vary", "Authorization"), *([("Cache-Control", said)] if said else [])]
    assert httpx2.Headers(list(returned(answer)))["vary"] == "Authorization, cookie"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_every_request_needs_the_header_that_other_sites_cannot_send(site: Site, method: str) -> None:
    """Without X-CSRF nothing reaches the API, whatever the method; nor with it, from another origin."""
    assert site.send(method, "/api/orders", headers={"accept": "*/*"}).status_code == 403
    assert site.send(method, "/api/orders", headers={**ASKS, "origin": "https://evil.example"}).status_code == 403
    assert site.send(method, "/api/orders", headers={**ASKS, "sec-fetch-site": "cross-site"}).status_code == 403
    assert site.seen == []
    assert site.send(method, "/api/orders").status_code == 200


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "GET /evil", "", "G\u00c9T"])
def test_a_method_that_no_page_has_goes_nowhere(clock: Any, method: str) -> None:
    """An answer to TRACE would show the token; what is no method could be read as more than one line."""
    world = LoginWorld("sync", clock)
    browser = world.browser()
    browser.log_in()
    proxy = BlockingProxy(browser.login, browser.login._proxy("/api", to=API))
    told = proxy.forward(browser.request(method, "/api/orders", ("x-csrf", "1")), lambda size: b"")
    assert (told.status, b"".join(told.body)) == (405, b'{"error":"method_not_allowed"}')


def test_a_long_body_without_a_length_is_streamed(site: Site) -> None:
    """HTTP/2 has bodies whose length nobody says beforehand: they are neither kept whole nor lost."""

    def pieces(count: int) -> Any:
        sent = [{"type": "http.request", "body": b"a" * 50_000, "more_body": n < count - 1} for n in range(count)]
        return iter(sent)

    for count in (1, 10):
        coming = pieces(count)
        cookie = f"__Host-session={site.browser.cookies['__Host-session']}".encode()
        scope = {"type": "http", "method": "POST", "path": "/api/orders", "query_string": b"", "root_path": ""}
        headers, got = [(b"x-csrf", b"1"), (b"cookie", cookie)], list[Any]()

        async def receive(coming: Any = coming) -> Any:
            message = next(coming, None)
            return message if message is not None else await asyncio.sleep(60)

        async def send(message: Any, got: list[Any] = got) -> None:
            got.append(message)

        asyncio.run(site.app({**scope, "headers": headers}, receive, send))
        assert (got[0]["status"], len(site.last()[4])) == (200, count * 50_000)
        assert ("transfer-encoding" in site.last()[3]) is (count > 1)


def test_octets_of_headers_arrive_as_they_were_sent(clock: Any) -> None:
    """Both ways, whatever they are: a name in Latin-1 is no fault of the server, one in UTF-8 no other text."""
    seen: list[Any] = []

    def answer(request: Any) -> httpx2.Response:
        seen.append(dict(request.headers.raw))

        async def nothing() -> AsyncIterator[bytes]:
            yield b""

        return httpx2.Response(
            200, content=nothing(), headers=[(b"x-name", "\u00e9 \u20ac".encode()), (b"x-latin", b"\xe9")]
        )

    transport = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    site = Site(LoginWorld("asyncio", clock), http_client=AsyncHTTPClient(transport))
    site.browser.log_in()
    back = dict(site.send("GET", "/api/orders", headers=[*ASKS.items(), (b"x-own", b"\xe9")]).headers.raw)
    assert seen[-1][b"x-own"] == b"\xe9"
    assert (back[b"x-name"], back[b"x-latin"]) == ("\u00e9 \u20ac".encode(), b"\xe9")


def test_a_page_without_a_session_is_told_where_the_login_is(site: Site) -> None:
    """401 with the address of the login, also for what looks like a page: never a redirect."""
    site.browser.cookies = {}
    answer = site.send("GET", "/api/orders", headers={**ASKS, "referer": f"{BASE}/orders"})
    assert (answer.status_code, answer.json()["login_url"]) == (401, "/login?next=%2Forders")
    assert site.send("GET", "/api/orders", headers={"accept": "text/html"}).status_code == 401
    assert site.seen == []


@pytest.mark.parametrize(
    "path",
    [
        *("/api/../admin", "/api/%2e%2e/admin", "/api/..%2fadmin", "/api/%252e%252e/admin", "/api/..;/admin"),
        *("/api/a%5cb", "/api/a%00", "/api/a%0d%0ab", "/api/./a", "/api/%ff"),
    ],
)
def test_no_path_leads_out_of_the_api(site: Site, path: str) -> None:
    """What could be read as a path outside of the API's address goes nowhere."""

    async def main() -> list[Any]:
        got: list[Any] = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"x-csrf", b"1"),
                (b"cookie", f"__Host-session={site.browser.cookies['__Host-session']}".encode()),
            ],
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            got.append(message)

        await site.app(scope, receive, send)
        return got

    assert asyncio.run(main())[0]["status"] in (400, 404)
    assert site.seen == []


def test_the_address_of_the_api_is_fixed(site: Site) -> None:
    """A page can choose a path below it and nothing else."""
    for path in ("/api//evil.example", "/api/@evil.example/", "/api/https://evil.example"):
        assert site.send("GET", path).status_code == 200
        assert site.last()[3]["host"] == "api.example.com"
        assert site.last()[1].startswith("/v1")
    assert site.send("GET", "/apis/orders").status_code == 404


def test_a_redirect_within_the_api_stays_within_the_prefix(site: Site) -> None:
    """The page follows it here, with its session; one that leads elsewhere is as the API said."""
    slash = site.send("GET", "/api?x=//evil.example")
    assert (slash.status_code, slash.headers["location"]) == (307, "/api/?x=//evil.example")


# ---- tokens


def test_a_token_that_expired_is_renewed_on_the_way(site: Site) -> None:
    """The page never notices: the request waits for the renewal, and the session keeps its id."""
    site.send("GET", "/api/orders")
    before = site.last()[3]["authorization"]
    site.world.clock.advance(400)
    answer = site.send("GET", "/api/orders")
    assert answer.status_code == 200
    assert site.last()[3]["authorization"] != before


def test_a_token_that_the_api_refuses_is_renewed_once(site: Site) -> None:
    """A short body is sent again with a new token; then the refusal is the page's, without its challenge."""
    answer = site.send("POST", "/api/unauthorized", content=b"again")
    assert (answer.status_code, "www-authenticate" in answer.headers) == (401, False)
    assert [body for *_, body in site.seen] == [b"again", b"again"]
    assert len({headers["authorization"] for _, _, _, headers, _ in site.seen}) == 2


def test_a_long_body_is_sent_once(site: Site) -> None:
    """What is streamed through cannot be sent again, and is not kept for that."""
    answer = site.send("POST", "/api/unauthorized", content=b"a" * 200_000)
    assert answer.status_code == 401
    assert [(len(body), headers["content-length"]) for _, _, _, headers, body in site.seen] == [(200_000, "200000")]


def test_an_api_that_demands_a_fresh_login_leads_to_one(site: Site) -> None:
    """RFC 9470: the page is told where to confirm the login; more scope than there is, is 403."""
    fresh = site.send("GET", "/api/fresh")
    assert fresh.json() == {"error": "step_up_required", "login_url": "/login?acr=phr&max_age=300"}
    scope = site.send("GET", "/api/scope")
    assert (scope.status_code, scope.json()["error"]) == (403, "insufficient_scope")


def test_a_login_that_is_over_leads_to_a_new_one(site: Site) -> None:
    """Where the refresh token is dead the page is told to log in, not given an old token."""
    site.world.clock.advance(400)
    refused = json.dumps({"error": "invalid_grant"}).encode()
    site.world.between = lambda request: (
        Reply(400, (("content-type", "application/json"),), refused)
        if request.url.endswith("/token")
        else site.world._route(request)
    )
    answer = site.send("GET", "/api/orders")
    assert (answer.status_code, answer.json()["login_url"]) == (401, "/login?prompt=login")
    assert site.seen == []


def test_a_provider_or_store_that_is_away_is_not_a_logout(site: Site) -> None:
    """503, come back later: nothing goes to the API without a token."""
    site.world.clock.advance(400)
    site.world.between = lambda request: Reply(503)
    assert site.send("GET", "/api/orders").status_code == 503

    def away(*_: Any, **__: Any) -> Any:
        raise StoreException("away", code="store_away")

    site.world.store.get = away
    answer = site.send("GET", "/api/orders")
    assert (answer.status_code, "set-cookie" in answer.headers) == (503, False)
    assert site.seen == []


def test_an_api_that_is_away_is_a_bad_gateway(clock: Any) -> None:
    """502, and no word of addresses."""

    def fail(request: Any) -> Any:
        raise httpx2.ConnectError("no route to 10.0.0.7")

    site = Site(
        LoginWorld("asyncio", clock),
        http_client=AsyncHTTPClient(httpx2.AsyncClient(transport=httpx2.MockTransport(fail))),
    )
    site.browser.log_in()
    answer = site.send("GET", "/api/orders")
    assert (answer.status_code, b"10.0.0.7" in answer.content) == (502, False)


def test_tokens_bound_to_a_key_go_with_a_proof(clock: Any) -> None:
    """With DPoP each request to the API has a proof of its own for its method and address (RFC 9449 7.1)."""
    world = LoginWorld("asyncio", clock)
    seen: list[Any] = []
    login = world.process(world.client(dpop=DPoPKey()))
    original = world.between

    def bound(request: Any) -> Reply:
        reply = original(request)
        if request.url.endswith("/token"):
            return Reply(reply.status, reply.headers, reply.body.replace(b'"Bearer"', b'"DPoP"'), reply.url)
        return reply

    world.between = bound
    site = Site(world)
    site.login, site.browser = login, world.browser(login)
    door, transport = FastAPILogin(login), httpx2.AsyncClient(transport=httpx2.ASGITransport(api(seen)))
    site.app = FastAPI()
    site.app.include_router(door.proxy("/api", to=API, http_client=AsyncHTTPClient(transport)))
    site.browser.log_in()
    assert site.send("POST", "/api/orders?a=b").status_code == 200
    headers = seen[-1][3]
    assert headers["authorization"].startswith("DPoP ")
    from py_identity_model._core.base.base64url import b64url_decode

    proof = json.loads(b64url_decode(headers["dpop"].split(".")[1]))
    assert (proof["htm"], proof["htu"]) == ("POST", f"{API}/orders")


# ---- headers, one by one


def test_headers_of_a_connection_and_of_a_browser_stay() -> None:
    """By name, whatever their case, and those that Connection names."""
    given = (
        *(("Cookie", "a"), ("COOKIE", "b"), ("Authorization", "c"), ("X-CSRF", "1"), ("Sec-Fetch-Site", "same-origin")),
        *(("Connection", "close, X-Secret"), ("X-Secret", "d"), ("Upgrade", "h2c"), ("X-Forwarded-Proto", "http")),
        *(("Accept", "*/*"), ("X-Own", "e"), ("DPoP", "f"), ("Transfer-Encoding", "chunked"), ("Forwarded", "g")),
    )
    assert sent(given) == (("accept-encoding", "identity"), ("Accept", "*/*"), ("X-Own", "e"))
    back = dict(returned([("Set-Cookie", "a"), ("X-Own", "b"), ("Access-Control-Allow-Origin", "*")]))
    assert (back["x-own"], "set-cookie" in back, "access-control-allow-origin" in back) == ("b", False, False)


@pytest.mark.parametrize(
    ("arguments", "claim"),
    [
        ({"prefix": "api"}, "prefix"),
        ({"prefix": "/api/"}, "prefix"),
        ({"prefix": "/a%2f"}, "prefix"),
        ({"to": "http://api.example.com"}, "to"),
        ({"to": "https://api.example.com?a"}, "to"),
        ({"to": "api"}, "to"),
        ({"resource": ""}, "resource"),
        ({"resource": "https://api.example.com#part"}, "resource"),
    ],
)
def test_a_proxy_that_cannot_be_used_safely_is_refused(clock: Any, arguments: dict[str, str], claim: str) -> None:
    """Said when it is made, not when the first page asks."""
    given = {"prefix": "/api", "to": API, **arguments}
    with pytest.raises(ConfigurationException) as error:
        LoginWorld("sync", clock).process()._proxy(given.pop("prefix"), **given)
    assert error.value.claim == claim


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_a_proxy_asks_for_the_token_that_the_api_wants(clock: Any, kind: str) -> None:
    """Its scopes and its resource; http elsewhere only where that is said."""
    world = LoginWorld(kind, clock)
    login = world.process()
    browser = world.browser(login)
    browser.log_in()
    request = browser.request("GET", "/api/orders", ("x-csrf", "1"))
    wants = [{}, {"scopes": ["orders"]}, {"resource": API}]
    asked = []
    for each in wants:
        proxy = login._proxy("/api", to=API, **each)
        from py_identity_model.aio._driver import run as run_awaiting
        from py_identity_model.sync._driver import run

        began = (
            run(proxy.begin(request), world.transport)
            if kind == "sync"
            else world.run(run_awaiting, proxy.begin(request), world.transport)
        )
        assert not hasattr(began, "status")
        asked.append(world.provider.requests[-1].request.body.decode())
    assert "scope=orders&" in asked[1] + "&"
    assert "resource=" in asked[2]
    with pytest.raises(ConfigurationException):
        login._proxy("/api", to="http://api.internal")
    assert "api.internal" in repr(login._proxy("/api", to="http://api.internal", allow_insecure_http=True))


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_a_login_asks_for_what_its_proxies_need(clock: Any, kind: str) -> None:
    """Providers grant at the login what it asks for (RFC 8707 2.1); the code still brings a token for UserInfo."""
    world = LoginWorld(kind, clock)
    login = world.process()
    for prefix, resource in (("/api", API), ("/more", [f"{API}/more", API]), ("/same", API), ("/none", None)):
        login._proxy(prefix, to=API, resource=resource)
    browser = world.browser(login)
    begun = browser.get("/login").location or ""
    assert parse_qs(urlsplit(begun).query)["resource"] == [API, f"{API}/more"]
    browser.get(browser.at_provider(begun))
    assert "resource" not in world.provider.requests[-1].request.body.decode()
    assert world.run(browser.visit().userinfo).claims["sub"] == "alice"


def test_a_proxy_needs_a_store(clock: Any) -> None:
    """Sessions in cookies have no tokens to call an API with."""
    login = LoginWorld("sync", clock).process(store=None, encryption_key=KEY)
    with pytest.raises(ConfigurationException):
        login._proxy("/api", to=API)


# ---- without an event loop


def test_a_blocking_proxy_streams_as_well(clock: Any) -> None:
    """The same decisions where there is no event loop, as in Flask and Django."""
    world = LoginWorld("sync", clock)
    login = world.process()
    browser = world.browser(login)
    browser.log_in()
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(httpx2.Request(request.method, request.url, headers=request.headers, content=request.read()))
        return httpx2.Response(200, headers=[("set-cookie", "a=b"), ("x-own", "c")], content=iter([b"one ", b"two"]))

    client = HTTPClient(httpx2.Client(transport=httpx2.MockTransport(answer)))
    proxy = BlockingProxy(login, login._proxy("/api", to=API), client)
    for body, chunks in ((b"short", [b"short"]), (b"a" * 100_000, [b"a" * 60_000, b"a" * 40_000])):
        pieces = iter([*chunks, b""])
        headers = (("x-csrf", "1"), ("content-length", str(len(body))))
        request = browser.request("POST", "/api/orders", *headers)
        got = proxy.forward(request, lambda size, pieces=pieces: next(pieces))  # type: ignore[misc] # of this turn
        assert (got.status, b"".join(got.body)) == (200, b"one two")
        assert ("x-own", "c") in got.headers
        assert "set-cookie" not in dict(got.headers)
        assert seen[-1].content == body
        assert "cookie" not in seen[-1].headers
    refused = proxy.forward(WebRequest("GET", "/api/orders", headers=(PAGE,)), lambda size: b"")
    assert refused.status == 401


# ---- on real servers


@contextlib.contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an application on a port of this machine, any by default."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(500):
        if server.started:
            break
        threading.Event().wait(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def streams(gone: threading.Event) -> FastAPI:
    """Return an API with events that never end, and a WebSocket that answers."""
    app = FastAPI()

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def forever() -> AsyncIterator[bytes]:
            try:
                for number in range(1_000_000):
                    yield f"data: {number}\n\n".encode()
                    await asyncio.sleep(0.05)
            finally:
                gone.set()

        return StreamingResponse(forever(), media_type="text/event-stream")

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept(subprotocol="chat" if "chat" in socket.scope["subprotocols"] else None)
        await socket.send_text(socket.headers.get("authorization", "")[:7] + str("cookie" in socket.headers))
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await socket.receive()
                if message["type"] != "websocket.receive":
                    break
                if message.get("text") == "bye":
                    await socket.close(4000)
                    break
                await socket.send({**message, "type": "websocket.send"})
        gone.set()

    return app


@contextlib.contextmanager
def running(clock: Any) -> Iterator[tuple[LoginWorld, str, dict[str, str], threading.Event]]:
    """Run an API and an application before it; a user is logged in."""
    gone = threading.Event()
    with serving(streams(gone)) as address:
        world = LoginWorld("asyncio", clock)
        login = world.process()
        browser = world.browser(login)
        browser.log_in()
        app = FastAPI()
        app.include_router(FastAPILogin(login).proxy("/api", to=address))
        with serving(app) as site:
            headers = {**ASKS, "cookie": f"__Host-session={browser.cookies['__Host-session']}"}
            yield world, site, headers, gone


def test_events_arrive_one_by_one_and_end_with_the_page(clock: Any) -> None:
    """Server-sent events are not held back; when the page goes away the API's stream is closed."""
    with running(clock) as (_, site, headers, gone), httpx2.Client(base_url=site, timeout=10) as client:
        with client.stream("GET", "/api/events", headers=headers) as response:
            pieces = response.iter_bytes()
            assert [next(pieces) for _ in range(3)] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
            assert not gone.is_set()
        assert gone.wait(10)


def test_many_streams_leave_room_for_others(clock: Any) -> None:
    """A stream has a connection for as long as it lasts; who asks the API beside a hundred of them is answered."""
    with running(clock) as (_, site, headers, _gone):

        async def main() -> list[int]:
            everybody = httpx2.Limits(max_connections=None)
            client = httpx2.AsyncClient(base_url=site, timeout=20, limits=everybody, headers=headers)
            async with client, contextlib.AsyncExitStack() as open_ones:
                streams = [client.stream("GET", "/api/events") for _ in range(101)]
                found = [await open_ones.enter_async_context(each) for each in streams]
                return [*(each.status_code for each in found), (await client.get("/api/nothing")).status_code]

        assert asyncio.run(main()) == [200] * 101 + [404]


def test_a_stream_ends_soon_after_its_session(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is logged out gets no further events: long streams look after their session."""
    monkeypatch.setattr(_web_proxy, "LOOK_EVERY", 0.1)
    with running(clock) as (world, site, headers, gone), httpx2.Client(base_url=site, timeout=10) as client:
        with client.stream("GET", "/api/events", headers=headers) as response:
            pieces = response.iter_bytes()
            next(pieces)
            world.run(world.process().end_sessions, world.provider.issuer, "alice")
            with contextlib.suppress(httpx2.RemoteProtocolError):
                for _ in pieces:
                    pass
        assert gone.wait(10)


def test_websockets_go_through_both_ways(clock: Any) -> None:
    """Text and bytes, the subprotocol, the token, the close code; no cookie reaches the API."""
    with running(clock) as (_, site, headers, gone):
        address = site.replace("http", "ws") + "/api/live"
        more = {"cookie": headers["cookie"]}
        with sockets.connect(address, additional_headers=more, origin=BASE, subprotocols=["chat"]) as socket:  # type: ignore[arg-type] # text will do
            assert (socket.subprotocol, socket.recv()) == ("chat", "Bearer False")
            for message in ("text", b"bytes", "x" * 100_000):
                socket.send(message)
                assert socket.recv() == message
            socket.send("bye")
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4000
        assert gone.wait(10)
        for headers_of, origin in (({}, BASE), (more, "https://evil.example"), (more, None)):
            with pytest.raises(InvalidStatus) as refused:
                sockets.connect(address, additional_headers=headers_of, origin=origin)  # type: ignore[arg-type] # text will do
            assert refused.value.response.status_code in (401, 403)


def test_a_client_of_a_proxy_is_told_by_name() -> None:
    """A proxy says where it leads, and shows no secret."""
    client = LoginClient(issuer="https://id.example.com", client_id="app")
    from py_identity_model import WebLogin
    from py_identity_model.stores import MemoryStore

    login = WebLogin(client, store=MemoryStore(), base_url=BASE)
    assert repr(login._proxy("/api", to=API)) == f"WebProxy('/api', to='{API}')"
