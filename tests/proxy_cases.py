"""Cases of pages that call an API through their own origin, for the table of ``test_login_doors``, and that API."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from test_login_doors import Program, Visitor

CALL = {"x_csrf": "1", "accept": "*/*"}
EVERY = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY", "PROPFIND")


class Api(BaseHTTPRequestHandler):
    """Answers with what came, and in every odd way that an API can."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def log_message(self, *_: Any) -> None:
        """Be silent."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _serve(self) -> None:
        try:
            body = self._body()
        except ValueError:  # it broke off
            self.close_connection = True
            return
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "length": len(body),
            "sha": hashlib.sha256(body).hexdigest(),
        }
        self.server.seen.append(seen)
        odd: Callable[[Api], None] | None = self.server.odd.get(self.path.partition("?")[0])
        if odd is None:
            self.say(json.dumps(seen).encode(), content_type="application/json")
        else:
            odd(self)

    def say(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer."""
        self.start(status, content_length=str(len(body)), **headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def start(self, status: int = 200, **headers: str) -> None:
        """Begin an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def chunk(self, piece: bytes) -> None:
        """Send a part of an answer."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()


def _broken(self: Api, **how: str) -> None:
    self.start(**how)
    self.wfile.write(b"0000000010" if "content_length" in how else b"a\r\n0000000010\r\n")
    self.wfile.flush()
    self.close_connection = True


def _events(self: Api) -> None:
    self.start(content_type="text/event-stream", transfer_encoding="chunked")
    for number in range(3):
        self.chunk(b"data: %d\n\n" % number)
        assert self.server.go_on.wait(20)
        self.server.go_on.clear()
    self.chunk(b"")


def _endless(self: Api) -> None:
    self.start(content_type="application/octet-stream", transfer_encoding="chunked")
    try:
        while True:
            self.chunk(b"x" * 65536)
    except OSError:
        self.close_connection = True
        self.server.broken_off.set()


def _greedy(self: Api) -> None:
    said = (("Set-Cookie", "session=evil"), ("Set-Cookie", "a=b"), ("Clear-Site-Data", '"*"'), ("Link", "</a>"))
    more = (("X-Accel-Redirect", "/etc"), ("X-Sendfile", "/etc"), ("Cache-Control", "public, max-age=9"), ("Link", "b"))
    self.send_response(200)
    for name, value in (*said, *more, ("Secure-Session-Registration", "x"), ("Content-Length", "2"), ("X-Own", "\xe9")):
        self.send_header(name, value)
    self.end_headers()
    self.wfile.write(b"ok")


def _hinted(self: Api) -> None:
    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    self.say(b"hinted")


def _refused(self: Api) -> None:
    self.say(b"{}", 401, www_authenticate='Bearer error="invalid_token"', content_type="application/json")


ODD: dict[str, Callable[[Api], None]] = {
    "/v1/broken": lambda self: _broken(self, content_length="100"),
    "/v1/broken-chunks": lambda self: _broken(self, transfer_encoding="chunked"),
    "/v1/nothing": lambda self: setattr(self, "close_connection", True),
    "/v1/events": _events,
    "/v1/endless": _endless,
    "/v1/greedy": _greedy,
    "/v1/hinted": _hinted,
    "/v1/large": lambda self: self.say(b"0123456789abcdef" * 65536 * 3),
    "/v1/same": lambda self: self.start(304, etag='"a"'),
    "/v1/empty": lambda self: self.start(204),
    "/v1/switched": lambda self: self.start(101, upgrade="websocket", connection="upgrade"),
    "/v1/strange": lambda self: self.say(b"", 999),
    "/v1/moved": lambda self: self.say(b"", 302, location="/v1/echo?a=b"),
    "/v1/elsewhere": lambda self: self.say(b"", 302, location="https://elsewhere.example/"),
    "/v1/refused": _refused,
}


class Upstream(ThreadingHTTPServer):
    """The API on a port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.seen: list[dict[str, Any]] = []
        #: Paths whose answers are not what came.
        self.odd = dict(ODD)
        self.go_on, self.broken_off = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: Any) -> None:
        """Be silent: clients break off."""


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """Run an API."""
    with Upstream() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join(10)


def _open(visitor: Visitor, method: str, path: str, body: Any = None, **headers: str) -> HTTPConnection:
    """Send a request of a page whose answer is read step by step."""
    host, _, port = visitor.base.rpartition("/")[2].partition(":")
    link = HTTPConnection(host, int(port), timeout=30)
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    sent = {"x-csrf": "1", "accept": "*/*", "cookie": cookie, **headers}
    link.request(method, path, body, sent, encode_chunked=not isinstance(body, bytes | None))
    return link


# ---- the table


def a_page_calls_the_api_without_a_token(program: Program) -> None:
    """Target, method and body arrive as they were sent, with a token, and without anything of the browser."""
    visitor = program.visitor(logged_in=True)
    query = "x=%C3%A9&y=%zz&z=a+b'[]{}|^`&&=;/?%2E%2e"
    sent = visitor.send(
        "PUT", f"/api/a%20b;c/%E2%82%AC?{query}", "body", **CALL, content_type="text/x-own", te="trailers"
    )
    told = sent.json()
    assert (sent.status, told["method"], told["target"]) == (200, "PUT", f"/v1/a%20b;c/%E2%82%AC?{query}")
    headers = dict(told["headers"])
    assert len(told["headers"]) == len(headers)
    assert headers["authorization"].startswith("Bearer ")
    assert (headers["content-type"], headers["content-length"]) == ("text/x-own", "4")
    assert headers["host"] == program.api.url.split("/")[2]
    assert {"cookie", "x-csrf", "te", "x-forwarded-for", "transfer-encoding"} & headers.keys() == set()


def every_method_needs_the_header(program: Program) -> None:
    """Whatever the method; with it each arrives, but those that would show the token or are for proxies."""
    visitor = program.visitor(logged_in=True)
    program.api.seen.clear()
    for method in EVERY:
        assert visitor.send(method, "/api/echo", accept="*/*").status == 403, method
        assert visitor.send(method, "/api/echo", **CALL, origin="https://evil.example").status == 403, method
        assert visitor.send(method, "/api/echo", **CALL, sec_fetch_site="same-site").status == 403, method
    assert program.api.seen == []
    assert [visitor.send(method, "/api/echo", **CALL).status for method in EVERY] == [200] * len(EVERY)
    assert [each["method"] for each in program.api.seen] == [*EVERY]
    assert visitor.send("TRACE", "/api/echo", **CALL).status in (400, 405)
    assert len(program.api.seen) == len(EVERY)


def a_script_without_a_session_is_told_where_the_login_is(program: Program) -> None:
    """401 with an address that leads back to its page, never a redirect; nothing of it reaches the API."""
    visitor = program.visitor()
    program.api.seen.clear()
    for accept in ("*/*", "text/html", "application/json"):
        told = visitor.send("GET", "/api/echo", x_csrf="1", accept=accept, referer=f"{program.base}/orders?page=2")
        assert (told.status, told.header("www-authenticate"), told.header("cache-control")) == (
            401,
            "Session",
            "no-store",
        )
        assert told.json() == {"error": "login_required", "login_url": "/login?next=%2Forders%3Fpage%3D2"}
    head = visitor.send("HEAD", "/api/echo", **CALL)
    assert (head.status, head.text) == (401, "")
    assert program.api.seen == []


def bodies_arrive_whole(program: Program) -> None:
    """None, a short and a long one, a form that the framework would read, and one whose length nobody knows."""
    visitor = program.visitor(logged_in=True)
    form = b"csrf_token=x&a=b"
    multipart = (
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n' + b"b" * 90_000 + b"\r\n--x--\r\n"
    )
    for body, kind in (
        (b"", "text/plain"),
        (b"short", "text/plain"),
        (b"long" * 100_000, "application/octet-stream"),
        (form, "application/x-www-form-urlencoded"),
        (multipart, "multipart/form-data; boundary=x"),
    ):
        link = _open(visitor, "POST", "/api/echo", body, **{"content-type": kind})
        told = json.loads(link.getresponse().read())
        link.close()
        assert (told["length"], told["sha"]) == (len(body), hashlib.sha256(body).hexdigest()), kind
    link = _open(visitor, "POST", "/api/echo", iter([b"piece " * 1000] * 40))
    response = link.getresponse()
    told = json.loads(response.read())
    link.close()
    if response.status != 411:  # of Django's ASGI handler and all servers that tell where such bodies end
        assert told["length"] == 240_000


def an_answer_of_any_length_comes_through(program: Program) -> None:
    """A large one is whole; one that never ends is ended at the API as well when the page goes away."""
    visitor = program.visitor(logged_in=True)
    assert len(visitor.send("GET", "/api/large", **CALL).text) == 3 << 20
    program.api.broken_off.clear()
    link = _open(visitor, "GET", "/api/endless")
    assert len(link.getresponse().read(1 << 20)) == 1 << 20
    link.close()
    assert program.api.broken_off.wait(20)


def events_come_one_by_one(program: Program) -> None:
    """Each event of the API is there before the next one is made."""
    visitor = program.visitor(logged_in=True)
    program.api.go_on.clear()
    link = _open(visitor, "GET", "/api/events", accept="text/event-stream")
    response = link.getresponse()
    assert (response.getheader("content-type"), response.getheader("x-accel-buffering")) == ("text/event-stream", "no")
    for number in range(3):
        assert response.read1() == b"data: %d\n\n" % number
        program.api.go_on.set()
    assert response.read() == b""
    link.close()


def what_the_api_says_stays_within_bounds(program: Program) -> None:
    """No cookies, nothing for servers and caches on the way, nothing for the origin; redirects are not followed."""
    visitor = program.visitor(logged_in=True)
    cookies = dict(visitor.cookies)
    told = visitor.send("GET", "/api/greedy", **CALL)
    names = [name.lower() for name, _ in told.headers]
    gone = {"clear-site-data", "x-accel-redirect", "x-sendfile", "secure-session-registration", "set-cookie"}
    assert (told.text, visitor.cookies, gone & {*names}) == ("ok", cookies, set())
    assert (told.header("cache-control"), told.header("x-own")) == ("private, max-age=9", "\xe9")
    assert "sandbox" in told.header("content-security-policy")
    assert [name for name in {*names} - {"link"} if names.count(name) > 1] == []
    assert ", ".join(value for name, value in told.headers if name.lower() == "link") == "</a>, b"
    program.api.seen.clear()
    assert visitor.send("GET", "/api/moved", **CALL).header("location") == "/api/echo?a=b"
    assert visitor.send("GET", "/api/elsewhere", **CALL).header("location") == "https://elsewhere.example/"
    assert len(program.api.seen) == 2


def answers_without_a_body_have_none(program: Program) -> None:
    """HEAD, 204, 304 and interim answers; statuses that end nothing, or are none, are a bad gateway."""
    visitor = program.visitor(logged_in=True)
    head = visitor.send("HEAD", "/api/large", **CALL)
    assert (head.status, head.text, head.header("content-length")) == (200, "", str(3 << 20))
    same = visitor.send("GET", "/api/same", **CALL, if_none_match='"a"')
    assert (same.status, same.text, same.header("etag")) == (304, "", '"a"')
    assert (visitor.send("GET", "/api/empty", **CALL).status, visitor.send("OPTIONS", "/api/echo", **CALL).status) == (
        *(204, 200),
    )
    hinted = visitor.send("GET", "/api/hinted", **CALL)
    assert (hinted.status, hinted.text) == (200, "hinted")
    for path in ("/api/switched", "/api/strange", "/api/nothing"):
        assert visitor.send("GET", path, **CALL).json() == {"error": "upstream_unavailable"}, path


def an_answer_that_breaks_off_is_not_whole(program: Program) -> None:
    """The page sees that something is missing, with a length and without one."""
    visitor = program.visitor(logged_in=True)
    for path in ("/api/broken", "/api/broken-chunks"):
        link = _open(visitor, "GET", path)
        try:
            told = link.getresponse().read()
        except (IncompleteRead, RemoteDisconnected, ConnectionError):
            continue
        finally:
            link.close()
        raise AssertionError((path, told))


def a_refusal_of_the_api_is_the_pages(program: Program) -> None:
    """After one more try with a new token; its challenge would be taken for the login's."""
    visitor = program.visitor(logged_in=True)
    program.api.seen.clear()
    told = visitor.send("POST", "/api/refused", "again", **CALL)
    assert (told.status, told.header("www-authenticate"), told.text) == (401, "", "{}")
    assert [each["length"] for each in program.api.seen] == [5, 5]
    assert len({dict(each["headers"])["authorization"] for each in program.api.seen}) == 2


def websockets_are_refused_in_words(program: Program) -> None:
    """Where there is no event loop; elsewhere they have a table of their own."""
    opening = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    if program.name in ("flask_login", "django_login"):
        visitor = program.visitor(logged_in=True)
        told = visitor.send("GET", "/api/live", **opening, sec_websocket_key="x" * 22 + "==", origin=program.base)
        assert (told.status, told.json()["error"]) == (501, "websocket_unsupported")
        assert "ASGI" in told.json()["hint"]


#: Lines of requests, headers beside those of a page, and the statuses that are right.
HOSTILE: list[tuple[str, list[str], set[int]]] = [
    ("GET /api/%2e%2e/admin", [], {400}),
    ("GET /api/../admin", [], {400, 404}),
    ("GET /api/..%2fadmin", [], {400}),
    ("GET /api/%252e%252e/admin", [], {400}),
    ("GET /api/..;/admin", [], {400}),
    ("GET /api/a%5c..%5cb", [], {400}),
    ("GET /api/a%00", [], {400}),
    ("GET /api/a%0d%0aX-A:b", [], {400, 404}),
    ("GET /api//evil.example/", [], {200}),
    ("GET //api/echo", [], {200, 404}),
    ("GET /apis", [], {404}),
    ("GET http://evil.example/api/echo", [], {200, 400, 404}),
    ("GET /api/echo?a=b#c", [], {200, 400}),
    ("FOO /api/echo", [], {200, 400, 405}),
    ("CONNECT evil.example:443", [], {400, 404, 405, 501}),
    ("POST /api/echo", ["Content-Length: -1"], {400}),
    ("POST /api/echo", ["Content-Length: +5"], {400}),
    ("POST /api/echo", ["Content-Length: 5, 5"], {200, 400}),
    ("POST /api/echo", ["Content-Length: \xb2"], {400}),
    ("POST /api/echo", ["Content-Length: 5", "Content-Length: 6"], {400}),
    ("POST /api/echo", ["Content-Length: " + "9" * 5000], {400, 413, 431}),
    ("POST /api/echo", ["Transfer-Encoding: xchunked"], {400, 411, 501}),
    ("GET /api/echo", ["X-Big: " + "a" * 300_000], {400, 431}),
    ("GET /api/echo", [f"X-{n}: a" for n in range(300)], {200, 400, 431}),
    ("GET /api/echo", ["Connection: close, authorization, x-csrf, host"], {200}),
    ("GET /api/echo", ["X-Latin: \xe9"], {200}),
    ("GET /api/echo", ["Range: bytes=0-1"], {200}),
    ("GET /api/echo", ["Cookie: session=other"], {200, 401}),
    ("GET /api/echo", ["X-CSRF-Token: wrong"], {403}),
]


def nothing_leads_out_of_the_api(program: Program) -> None:
    """Whatever is sent is answered, never by a fault, and only ever reaches the API below its own path."""
    visitor = program.visitor(logged_in=True)
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    port = int(program.base.rpartition(":")[2])
    program.api.seen.clear()
    wrong = []
    for line, headers, right in HOSTILE:
        page = [f"Host: 127.0.0.1:{port}", "X-CSRF: 1", f"Cookie: {cookie}", "Connection: close", *headers]
        status = _status(port, "\r\n".join([f"{line} HTTP/1.1", *page, "", "hello"]).encode("latin-1"))
        wrong += [] if status in right else [(line, headers, status)]
    shown = [(line, str(headers)[:80], status) for line, headers, status in wrong]
    assert shown == [], shown
    for each in program.api.seen:
        headers = dict(each["headers"])
        assert each["target"].startswith("/v1/"), each
        assert (headers["host"], "cookie" in headers) == (program.api.url.split("/")[2], False)
        assert headers["authorization"].startswith("Bearer ")


def _status(port: int, request: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # some servers answer before they have read everything
            connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while b"\r\n" not in answer and (piece := connection.recv(65536)):
                answer += piece
    return int(answer.split(b" ", 2)[1]) if answer else 400  # closed without a word


CASES: list[Callable[[Program], None]] = [
    a_page_calls_the_api_without_a_token,
    every_method_needs_the_header,
    a_script_without_a_session_is_told_where_the_login_is,
    bodies_arrive_whole,
    an_answer_of_any_length_comes_through,
    events_come_one_by_one,
    what_the_api_says_stays_within_bounds,
    answers_without_a_body_have_none,
    an_answer_that_breaks_off_is_not_whole,
    a_refusal_of_the_api_is_the_pages,
    websockets_are_refused_in_words,
    nothing_leads_out_of_the_api,
]
