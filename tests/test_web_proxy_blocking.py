"""A backend for a frontend where there is no event loop: what waits, what ends it, and doors in process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import httpx2
import pytest
from flask import Flask, Response, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from login_world import BASE, LoginWorld
from proxy_cases import Api, Upstream, upstream
from py_identity_model import ConfigurationException, HTTPClient, TransportException, WebRequest
from py_identity_model._core.web_login.proxy import body_length, is_answer, is_event_stream, returned
from py_identity_model.integrations import _web_proxy, _web_proxy_blocking
from py_identity_model.integrations._web_proxy_blocking import BlockingProxy, Forwarded, reader_of
from py_identity_model.integrations.flask_login import FlaskLogin
from test_door_flask_login import log_in

CALL = {"x-csrf": "1", "accept": "*/*"}


@pytest.fixture(scope="module")
def api() -> Iterator[Upstream]:
    """An API on this machine."""
    with upstream() as made:
        made.odd["/v1/silent"] = _silent(b"data: 1\n\n", "text/event-stream")
        made.odd["/v1/half"] = _silent(b"data: ha", "text/event-stream")
        made.odd["/v1/slow"] = _silent(b"a", "text/plain")
        yield made


def _silent(first: bytes, kind: str) -> Callable[[Api], None]:
    def answer(handler: Api) -> None:
        handler.start(content_type=kind, transfer_encoding="chunked")
        handler.chunk(first)
        handler.server.broken_off.clear()
        if handler.connection.recv(1) == b"":  # the other side has gone
            handler.server.broken_off.set()
        handler.close_connection = True

    return answer


class Site:
    """A proxy, and a browser whose user is logged in."""

    def __init__(self, world: LoginWorld, to: str, client: HTTPClient | None = None) -> None:
        self.world, self.login = world, world.process()
        self.browser = world.browser(self.login)
        self.browser.log_in()
        self.proxy = BlockingProxy(self.login, self.login._proxy("/api", to=to), client)

    def send(self, method: str, path: str, body: bytes = b"", *headers: tuple[str, str]) -> Forwarded:
        """Send a request of the page, whose body ends where *body* does."""
        given = headers or (("content-length", str(len(body))),)
        left = memoryview(body)

        def read(size: int) -> bytes:
            nonlocal left
            piece, left = bytes(left[:size]), left[size:]
            return piece

        return self.proxy.forward(self.browser.request(method, path, ("x-csrf", "1"), *given), read)

    def log_out_everywhere(self) -> None:
        """End the session."""
        self.login.end_sessions(self.world.provider.issuer, "alice")


@pytest.fixture
def site(clock: Any, api: Upstream, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A proxy that looks after its streams all the time."""
    monkeypatch.setattr(_web_proxy, "LOOK_EVERY", 0.05)
    return Site(LoginWorld("sync", clock), api.url)


def test_a_silent_stream_tells_whether_the_page_is_still_there(site: Site, api: Upstream) -> None:
    """A comment goes to the page now and then, between events only; where it has gone the API's stream is ended."""
    body = site.send("GET", "/api/silent").body
    pieces = iter(body)
    assert [next(pieces) for _ in range(3)] == [b"data: 1\n\n", b":\n\n", b":\n\n"]
    pieces.close()  # type: ignore[attr-defined] # it is a generator
    assert api.broken_off.wait(10)
    assert [each for each in threading.enumerate() if each.name == "events of an API" and not _ended(each)] == []


def _ended(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


@pytest.mark.parametrize("path", ["/api/silent", "/api/half"])
def test_a_stream_ends_with_its_session(site: Site, api: Upstream, path: str) -> None:
    """Also one that is silent, and not as if it were whole; within an event nothing is said."""
    pieces = iter(site.send("GET", path).body)
    first = next(pieces)
    site.log_out_everywhere()
    with pytest.raises(TransportException) as ended:
        list(islice(pieces, 500))
    assert ended.value.code == "connection_lost"
    assert api.broken_off.wait(10)
    assert first.startswith(b"data: ")


def test_a_long_answer_ends_with_its_session(site: Site, api: Upstream) -> None:
    """One that is no stream of events, too."""
    api.broken_off.clear()
    pieces = iter(site.send("GET", "/api/endless").body)
    next(pieces)
    site.log_out_everywhere()
    with pytest.raises(TransportException):
        for _ in pieces:
            pass
    assert api.broken_off.wait(10)


def test_an_api_that_falls_silent_is_not_waited_for(site: Site, api: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute what is no stream of events is over: before its answer 502, within it an error."""
    monkeypatch.setattr(_web_proxy_blocking, "_timeout", lambda: httpx2.Timeout(5, read=0.2))
    api.odd["/v1/never"] = lambda handler: handler.connection.recv(1) and None  # type: ignore[assignment,return-value] # says nothing
    assert site.send("GET", "/api/never").status == 502
    pieces = iter(site.send("GET", "/api/slow").body)
    assert next(pieces) == b"a"
    with pytest.raises(TransportException):
        next(pieces)
    events = iter(site.send("GET", "/api/silent").body)
    assert [next(events) for _ in range(8)][1:] == [b":\n\n"] * 7  # longer than that
    events.close()  # type: ignore[attr-defined] # it is a generator


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_body_that_ends_early_is_refused(site: Site, length: int) -> None:
    """400, whether it would have been kept or streamed: the API gets no half of it as a whole."""
    told = site.send("POST", "/api/echo", b"a" * (length - 1), ("content-length", str(length)))
    assert (told.status, b"".join(told.body)) == (400, b'{"error":"body_incomplete"}')


def test_answers_that_nobody_reads_give_their_connection_back(clock: Any, api: Upstream) -> None:
    """A server that never begins a body, as for HEAD or a client that has gone, does not use the connections up."""
    limits = httpx2.Limits(max_connections=1)
    client = HTTPClient(httpx2.Client(limits=limits, timeout=5))
    site = Site(LoginWorld("sync", clock), api.url, client)
    for _ in range(3):
        assert site.send("GET", "/api/large").status == 200
    closed = site.send("GET", "/api/silent")
    closed.body.close()
    assert site.send("GET", "/api/echo").status == 200


def test_many_streams_leave_room_for_others(clock: Any, api: Upstream) -> None:
    """A stream has a connection for as long as it lasts; how many there are is for the server to bound, by threads."""
    site = Site(LoginWorld("sync", clock), api.url)
    streams = [site.send("GET", "/api/silent") for _ in range(101)]
    assert site.send("GET", "/api/echo").status == 200
    for each in streams:
        each.body.close()


def test_a_body_without_a_length_needs_a_server_that_knows_its_end() -> None:
    """Else 411: what a server does not end would be read for ever, or taken for nothing."""
    known, unknown = object(), object()
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": type("Input", (), {"read": unknown})}
    assert reader_of({"CONTENT_LENGTH": "5"}, known) is known  # type: ignore[arg-type] # any will do
    assert reader_of(chunked, known) is None  # type: ignore[arg-type] # as above
    assert reader_of({**chunked, "wsgi.input_terminated": True}, known) is unknown  # type: ignore[arg-type] # as above


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ((), 0),
        ((("content-length", ""),), 0),
        ((("content-length", "12"),), 12),
        ((("Content-Length", "12"), ("transfer-encoding", "chunked")), None),
        ((("content-length", "12"), ("content-length", "12")), None),
        *(((("content-length", bad),), None) for bad in ("-1", "+1", "\xb2", "1_0", "0x1", "1.0", "9" * 5000)),
    ],
)
def test_a_length_is_read_in_one_way(headers: tuple[tuple[str, str], ...], length: int | None) -> None:
    """Digits and nothing else; what cannot be read is no length."""
    assert body_length(WebRequest("POST", "/api", headers=headers)) == length


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ([], "no-store"),
        (["public, max-age=60"], "private, max-age=60"),
        (["max-age=60, s-maxage=600"], "private, max-age=60"),
        (["Public", "S-MaxAge=9"], "private"),
        (["private, max-age=60"], "private, max-age=60"),
        (["no-store"], "no-store"),
        (['private="x-a", public'], 'private, private="x-a"'),
    ],
)
def test_nothing_between_keeps_an_answer_for_others(said: list[str], kept: str) -> None:
    """An API shares with all who have a token; here an answer is that of one session."""
    headers = dict(returned([*(("cache-control", one) for one in said), ("cdn-cache-control", "public")]))
    assert (headers["cache-control"], "cdn-cache-control" in headers) == (kept, False)


def test_a_stream_of_events_is_told_by_its_type() -> None:
    """An encoded one is none into which a comment could be written."""
    assert is_event_stream([("Content-Type", "Text/Event-Stream; charset=utf-8")])
    assert not is_event_stream([("content-type", "text/event-stream"), ("content-encoding", "gzip")])
    assert not is_event_stream([("content-type", "text/plain")])
    assert [is_answer(status) for status in (100, 199, 200, 599, 600)] == [False, False, True, True, False]


# ---- Flask, in process


def flask_app(world: LoginWorld, to: str, **options: Any) -> Any:
    """Return an application with a proxy."""
    app = Flask(__name__)
    door = FlaskLogin(world.process(), app)

    @app.get("/account")
    @door.require()
    def account() -> str:
        return "account"

    app.register_blueprint(door.proxy("/api", to=to), **options)
    return app


def test_a_proxy_below_a_path_knows_where_it_is(clock: Any, api: Upstream) -> None:
    """The login's address, and a redirect of the API, have the path below which the application is mounted."""
    world = LoginWorld("sync", clock, f"{BASE}/shop")
    app = DispatcherMiddleware(Flask("outer"), {"/shop": flask_app(world, api.url)})
    browser = Client(app, Response)
    told = browser.get("/shop/api/echo", base_url=BASE, headers={**CALL, "referer": f"{BASE}/shop/orders"})
    assert (told.status_code, told.json["login_url"]) == (401, "/shop/login?next=%2Fshop%2Forders")
    assert log_in(browser, world, "/shop/account").text == "account"
    assert browser.get("/shop/api/echo?a=b", base_url=BASE, headers=CALL).json["target"] == "/v1/echo?a=b"
    moved = browser.get("/shop/api/moved", base_url=BASE, headers=CALL)
    assert moved.headers["location"] == "/shop/api/echo?a=b"


def test_a_form_that_was_read_before_is_no_empty_body(clock: Any, api: Upstream) -> None:
    """What an extension of Flask reads of all forms is missing then: the API gets nothing, rather than half."""
    world = LoginWorld("sync", clock)
    app = flask_app(world, api.url)
    app.before_request(lambda: request.form.get("csrf_token") and None)
    browser = Client(app, Response)
    log_in(browser, world, "/account")
    told = browser.post("/api/echo", base_url=BASE, headers=CALL, data={"a": "b"})
    assert (told.status_code, told.json) == (400, {"error": "body_incomplete"})
    assert browser.post("/api/echo", base_url=BASE, headers=CALL, json={"a": "b"}).json["length"] > 5


def test_a_proxy_is_where_its_prefix_says(clock: Any, api: Upstream) -> None:
    """A second prefix would lead it to paths that the API does not have."""
    with pytest.raises(ConfigurationException) as refused:
        flask_app(LoginWorld("sync", clock), api.url, url_prefix="/v2")
    assert refused.value.claim == "url_prefix"


def test_several_apis_are_several_prefixes(clock: Any, api: Upstream) -> None:
    """Also where they are much alike; the application's own routes below a prefix come first."""
    world = LoginWorld("sync", clock)
    app = flask_app(world, api.url)
    door = app.extensions["py_identity_model_login"]
    for prefix in ("/a/b", "/a_b", "/a.b"):
        app.register_blueprint(door.proxy(prefix, to=f"{api.url}{prefix}"))
    app.add_url_rule("/api/own", "own", lambda: "own")
    browser = Client(app, Response)
    log_in(browser, world, "/account")
    for prefix in ("/a/b", "/a_b", "/a.b"):
        assert browser.get(f"{prefix}/c", base_url=BASE, headers=CALL).json["target"] == f"/v1{prefix}/c"
    assert browser.get("/a-b/c", base_url=BASE, headers=CALL).status_code == 404
    assert browser.get("/api/own", base_url=BASE).text == "own"


def test_the_limit_of_an_application_counts(clock: Any, api: Upstream) -> None:
    """MAX_CONTENT_LENGTH of Flask holds for what is handed on, too."""
    world = LoginWorld("sync", clock)
    app = flask_app(world, api.url)
    app.config["MAX_CONTENT_LENGTH"] = 1000
    browser = Client(app, Response)
    log_in(browser, world, "/account")
    assert browser.post("/api/echo", base_url=BASE, headers=CALL, data=b"a" * 1001).status_code == 413
    assert browser.post("/api/echo", base_url=BASE, headers=CALL, data=b"a" * 1000).json["length"] == 1000
