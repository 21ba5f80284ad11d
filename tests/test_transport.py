"""What both doors share: caps, names of failures, redirects, repeats, and whose transport it is."""

from __future__ import annotations

import traceback
from concurrent.futures import Future
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import httpx2
import pytest

from py_identity_model._core.base import exchanges, transport
from py_identity_model._core.base.flow import IMPATIENT, Reply, Request, get, send
from py_identity_model._core.base.header_fields import entity_tag
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException, TransportException
from py_identity_model.settings import Settings

URL = "https://id.example.com/keys"
REQUEST = Request("GET", URL + "?token=canary", (("Authorization", "Bearer canary"),), limit=100)
SETTINGS = Settings(http_retry_max_attempts=3, http_retry_base_delay=1.0)


def down(code: str = "connect_failed") -> TransportException:
    return transport.failure(code, "down", REQUEST)


def redirect(to: str | None, status: int = 302) -> Reply:
    return Reply(status, (("location", to),) if to is not None else ())


# ---- what comes in


def test_a_reply_is_collected_whole() -> None:
    """Pieces are joined, header names are lower-cased, repeated fields stay apart."""
    intake = transport.Intake(REQUEST, 200, [(b"Set-Cookie", b"a"), (b"SET-COOKIE", b"b"), (b"X", b"\xe9")])
    intake.add(b"12")
    intake.add(b"34")
    reply = intake.reply()
    assert (reply.status, reply.body, reply.url) == (200, b"1234", REQUEST.url)
    assert reply.header_values("set-cookie") == ["a", "b"]
    assert reply.header("x") == "é"


def test_the_cap_is_exact() -> None:
    """A body of exactly the limit is read, one byte more is refused, in one piece or in many (T2)."""
    intake = transport.Intake(REQUEST, 200, [(b"Content-Length", b"100")])
    for _ in range(10):
        intake.add(bytes(10))
    assert len(intake.reply().body) == 100
    with pytest.raises(TransportException) as refused:
        intake.add(b"x")
    assert refused.value.code == "response_too_large"
    assert refused.value.expected == 100


@pytest.mark.parametrize("length", [b"101", b"9" * 30, b"0" * 30 + b"101"])
def test_a_declared_length_beyond_the_cap_is_refused_before_the_body(length: bytes) -> None:
    """Nothing of a body is read that says itself that it is too large, however long the number is (T2)."""
    with pytest.raises(TransportException) as refused:
        transport.Intake(REQUEST, 200, [(b"Content-Length", length)])
    assert refused.value.code == "response_too_large"


@pytest.mark.parametrize("length", [b"100", b"-1", b"abc", b"", "²".encode("latin-1"), b"0" * 30 + b"1"])
def test_odd_lengths_are_left_to_the_count(length: bytes) -> None:
    """A length that is no number, or a small one, refuses nothing by itself."""
    transport.Intake(REQUEST, 200, [(b"Content-Length", length)])


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip", b"zstd", b"x-unheard-of"])
def test_compressed_replies_are_refused(encoding: bytes) -> None:
    """A content coding is refused by its name, before a byte of it is inflated (T1)."""
    with pytest.raises(TransportException) as refused:
        transport.Intake(REQUEST, 200, [(b"Content-Encoding", encoding)])
    assert refused.value.code == "encoding_refused"
    assert refused.value.actual == encoding.decode()


@pytest.mark.parametrize("encoding", [b"identity", b"Identity", b""])
def test_identity_is_no_encoding(encoding: bytes) -> None:
    """The one coding that changes nothing is accepted."""
    transport.Intake(REQUEST, 200, [(b"Content-Encoding", encoding)])


def test_a_reply_made_elsewhere_is_capped_too() -> None:
    """What a function returns is held to the same limit, and must be a reply."""
    assert transport.capped(REQUEST, Reply(200, (), bytes(100))).status == 200
    with pytest.raises(TransportException):
        transport.capped(REQUEST, Reply(200, (), bytes(101)))
    with pytest.raises(ConfigurationException) as wrong:
        transport.capped(REQUEST, b"{}")  # type: ignore[arg-type] # the mistake under test
    assert wrong.value.code == "http_client_invalid"


# ---- what goes out


def test_identity_is_asked_for() -> None:
    """``Accept-Encoding: identity`` is sent, whatever the request asked for (T1)."""
    request = get(URL, {"accept-encoding": "gzip", "Accept": "application/json"})
    assert transport.outgoing_headers(request) == [("Accept", "application/json"), ("Accept-Encoding", "identity")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("X", "a\r\nY: b"), ("X\n", "a"), ("X", "a\0"), ("", "a"), ("X", "canary\n"), ("X", "canary\xe9")),
        *(("X", "canary\ud800"), ("X", "canary\x7f"), ("X", " canary"), ("X", "canary\t"), ("X Y", "a"), ("é", "a")),
    ],
)
def test_header_injection_is_refused(name: str, value: str) -> None:
    """[O13] A header that would end its line early, or has no bytes, is refused, without repeating its value."""
    with pytest.raises(ConfigurationException) as refused:
        transport.outgoing_headers(get(URL, {name: value}))
    assert refused.value.code == "header_invalid"
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "data:,x",
        "ftp://id.example.com/",
        "https://user:pass@id.example.com/",
        "https://localhost:80@evil.example.com/",
        "https://id.example.com/#x",
        "https:///path",
        "//id.example.com/",
        "https://id.example.com\\@evil.example.com/",
        "https://id.example.com/ x",
        "https://ïd.example.com/",
        "https://id.example.com:0/",
        "https://id.example.com:99999/",
        "",
    ],
)
def test_addresses_that_are_no_http_urls_are_never_sent(url: str) -> None:
    """[K11] Only absolute http(s) URLs without user information leave the process."""
    with pytest.raises(ConfigurationException):
        transport.outgoing_headers(Request("GET", url))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        *(('"v1"', True), ('W/"v1"', True), ('""', True), ('"' + "x" * 256 + '"', True)),
        *(('"v\xe9"', False), ('"\x80\xff"', False), ("v1", False), ("*", False), ('w/"v1"', False), ('"a b"', False)),
        *(('"a"b"', False), ('"' + "x" * 257 + '"', False), ('"a", "b"', False), ("", False), ('"a\t"', False)),
    ],
)
def test_entity_tags_that_can_be_sent_back(sent: str, kept: bool) -> None:
    """A tag with bytes above 0x7F (RFC 9110 8.8.3 allows them) once stopped every later fetch (K6)."""
    assert entity_tag(Reply(200, (("etag", sent),))) == (sent if kept else None)
    assert entity_tag(Reply(200, (("etag", sent), ("etag", sent)))) is None


@pytest.mark.parametrize(
    "first",
    [down("connection_lost"), down("protocol_error"), down("request_invalid"), Reply(400), Reply(412), Reply(431)],
)
def test_a_condition_is_never_in_the_way(perform: Any, first: Any) -> None:
    """Where a conditional request gets no answer, or one that may be about the condition, it is sent without (K6)."""
    reply, requests = perform(exchanges.unless_unchanged(get(URL), '"v1"'), first, Reply(200))
    assert reply.status == 200
    assert [dict(request.headers).get("If-None-Match") for request in requests] == ['"v1"', None]


@pytest.mark.parametrize("reply", [Reply(304), Reply(200), Reply(503), Reply(429), Reply(404)])
def test_an_answer_to_a_conditional_request_is_taken(perform: Any, reply: Reply) -> None:
    """Answers that are not about the condition are answers."""
    assert perform(exchanges.unless_unchanged(get(URL), '"v1"'), reply)[0].status == reply.status


def test_a_conditional_request_that_ran_out_of_time_is_not_repeated(perform: Any) -> None:
    """The deadline is over; the next fetch goes without the condition."""
    with pytest.raises(TransportException):
        perform(exchanges.unless_unchanged(get(URL), '"v1"'), down("timeout"))


@pytest.mark.parametrize("etag", [None, '"v1"'])
def test_304_without_a_condition_is_no_answer(perform: Any, etag: str | None) -> None:
    """A provider that says "unchanged" to a request without a condition has said nothing about the keys."""
    with pytest.raises(TransportException) as refused:
        perform(exchanges.unless_unchanged(get(URL), etag), *([Reply(412)] if etag else []), Reply(304))
    assert refused.value.code == "protocol_error"


@pytest.mark.parametrize(
    "error", [UnicodeEncodeError("ascii", "canary\xe9", 6, 7, "x"), TypeError("canary"), httpx.InvalidURL("canary")]
)
def test_what_a_library_dislikes_about_a_request_becomes_our_exception(error: Exception) -> None:
    """A client that cannot build a request says so in our words, and nothing of the request is in them (T6)."""

    class Choosy:
        def build_request(self, *_: Any, **__: Any) -> Any:
            raise error

    with pytest.raises(TransportException) as refused:
        transport.built(Choosy(), REQUEST, [], {})
    assert refused.value.code == "request_invalid"
    assert "canary" not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


# ---- names of failures


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


SSLError = type("SSLError", (OSError,), {})
gaierror = type("gaierror", (OSError,), {})


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ConnectTimeout", "timeout"),
        ("ReadTimeout", "timeout"),
        ("WriteTimeout", "timeout"),
        ("PoolTimeout", "timeout"),
        ("ConnectError", "connect_failed"),
        ("ReadError", "connection_lost"),
        ("WriteError", "connection_lost"),
        ("CloseError", "connection_lost"),
        ("ProxyError", "proxy_failed"),
        ("LocalProtocolError", "request_invalid"),
        ("RemoteProtocolError", "protocol_error"),
        ("UnsupportedProtocol", "url_invalid"),
        ("InvalidURL", "url_invalid"),
        ("DecodingError", "encoding_refused"),
        ("TooManyRedirects", "transport_failed"),
    ],
)
def test_every_failure_of_both_libraries_has_a_code(library: Any, name: str, code: str) -> None:
    """One table translates what httpx and httpx2 raise, by the names they share."""
    told = transport.translate(getattr(library, name)("canary"), REQUEST)
    assert isinstance(told, TransportException)
    assert told.code == code
    assert told.url == URL


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError("canary"), "timeout"),
        (ConnectionRefusedError("canary"), "connect_failed"),
        (ConnectionResetError("canary"), "connection_lost"),
        (caused(httpx2.ConnectError("canary"), gaierror("canary")), "dns_failed"),
        (caused(httpx2.ConnectError("canary"), caused(OSError("all failed"), SSLError("canary"))), "tls_failed"),
        (caused(httpx2.ReadError("canary"), SSLError("canary")), "tls_failed"),
        (httpx2.StreamClosed(), "protocol_error"),
    ],
)
def test_the_deepest_reason_names_the_failure(error: Exception, code: str) -> None:
    """A handshake or a look-up that failed is told apart from a refused connection, however it is wrapped."""
    told = transport.translate(error, REQUEST)
    assert told is not None
    assert told.code == code


def test_the_reason_survives_where_a_library_cuts_the_chain() -> None:
    """httpcore drops the cause and keeps it as an argument: it is found there too."""
    told = transport.translate(caused(httpx2.ConnectError("x"), OSError(SSLError("x"))), REQUEST)
    assert told is not None
    assert told.code == "tls_failed"


def test_what_the_caller_was_busy_with_is_no_reason() -> None:
    """An unrelated exception that is being handled when a request fails does not rename the failure."""
    try:
        try:
            raise SSLError("theirs")
        except SSLError:
            raise httpx2.ConnectError("ours")  # noqa: B904 # the implicit context is what this is about
    except httpx2.ConnectError as error:
        told = transport.translate(error, REQUEST)
    assert told is not None
    assert told.code == "connect_failed"


def test_a_refused_certificate_says_why() -> None:
    """[K14] The reason OpenSSL gives is part of the message and of ``actual``."""
    error = type("SSLCertVerificationError", (SSLError,), {"verify_message": "certificate has expired"})("x")
    told = transport.translate(caused(httpx2.ConnectError("x"), error), REQUEST)
    assert told is not None
    assert told.actual == "certificate has expired"
    assert "certificate has expired" in str(told)


def test_a_chain_that_bites_its_tail_ends() -> None:
    """A cycle of causes does not hang the translation."""
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    told = transport.translate(first, REQUEST)
    first.__cause__ = None
    assert told is not None
    assert told.code == "connection_lost"


def test_bugs_are_no_failures_of_the_network() -> None:
    """An exception that is none of a transport's stays what it is."""
    assert transport.translate(ZeroDivisionError(), REQUEST) is None
    ours = ConfigurationException("x")
    assert transport.translate(ours, REQUEST) is ours


def test_failures_never_tell_a_secret() -> None:
    """Neither the query nor a header nor the foreign message is in what a failure shows (T6)."""
    told = transport.translate(httpx2.ReadError("canary"), REQUEST)
    assert told is not None
    shown = [str(told), repr(told), repr(vars(told)), "".join(traceback.format_exception(told)), repr(REQUEST)]
    assert not [text for text in shown if "canary" in text]
    assert told.__cause__ is None


# ---- whose transport


class Call:
    def __call__(self, request: Request) -> Reply:
        return Reply(200)


class AsyncCall:
    async def __call__(self, request: Request) -> Reply:
        return Reply(200)


class Derived(httpx2.Client):
    """A user's own client."""


async def coroutine(request: Request) -> Reply:
    return Reply(200)


def test_transports_are_told_apart() -> None:
    """Clients of both libraries, their subclasses, functions and coroutine functions are recognised."""
    with httpx.Client() as one, httpx2.Client() as two, Derived() as three:
        assert {transport.flavour(client) for client in (one, two, three)} == {"Client"}
    assert {transport.flavour(cls()) for cls in (httpx.AsyncClient, httpx2.AsyncClient)} == {"AsyncClient"}
    assert {transport.flavour(f) for f in (Call(), Call().__call__, lambda _: None, print)} == {"function"}
    assert {transport.flavour(f) for f in (AsyncCall(), AsyncCall().__call__, coroutine)} == {"coroutine"}
    assert {transport.flavour(x) for x in (1, "https://x", object())} == {"none"}


@pytest.mark.parametrize("verify", [False, 0, "", " ", 1, []])
def test_verification_cannot_be_turned_off(verify: Any) -> None:
    """[K14] No value of ``verify`` means "do not verify"."""
    with pytest.raises(ConfigurationException) as refused:
        transport.checked_options(None, None, verify)
    assert refused.value.code == "tls_verification_required"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5"])
def test_timeouts_are_positive_numbers(timeout: Any) -> None:
    """A timeout that would be none at all is refused."""
    with pytest.raises(ConfigurationException) as refused:
        transport.checked_options(None, timeout, None)
    assert refused.value.code == "timeout_invalid"


def test_a_ready_client_keeps_its_own_trust() -> None:
    """``verify`` beside a client that exists is refused, for it would be ignored."""
    with pytest.raises(ConfigurationException):
        transport.checked_options(object(), None, True)


# ---- futures and flows


def test_outcome_of_a_future() -> None:
    """A value is returned, an error raised as a copy of its own, and no outcome is told as such."""
    done: Future[int] = Future()
    assert transport.outcome(done) is IMPATIENT
    done.set_result(7)
    assert transport.outcome(done) == 7
    gone: Future[int] = Future()
    gone.cancel()
    assert transport.outcome(gone) is IMPATIENT
    failed: Future[int] = Future()
    error = ConfigurationException("no", code="special")
    failed.set_exception(error)
    with pytest.raises(ConfigurationException) as raised:
        transport.outcome(failed)
    assert raised.value is not error
    assert raised.value.code == "special"


@pytest.mark.parametrize("first", ["yields", "returns", "raises"])
def test_an_abandoned_flow_hands_over(first: str) -> None:
    """A flow that cannot be run is entered and closed, so that its ``finally`` runs, however far it gets."""
    closed = []

    def flow() -> Any:
        try:
            if first == "raises":
                raise ConfigurationException("no")
            if first == "yields":
                yield from send(REQUEST)
        finally:
            closed.append(first)

    transport.abandon(flow())
    assert closed == [first]


# ---- redirects


def follow(start: str = URL, method: str = "GET") -> Any:
    return exchanges.follow_redirects(Request(method, start))


def test_three_redirects_are_followed(perform: Any) -> None:
    """[K12] GET, https to https, same host: absolute, relative and query targets lead on, three times."""
    hops = [redirect("/b"), redirect("https://id.example.com:443/c/d", 308), redirect("e?f", 307), Reply(200)]
    reply, requests = perform(follow, *hops)
    assert reply.status == 200
    assert [r.url.removeprefix("https://id.example.com") for r in requests] == ["/keys", "/b", ":443/c/d", ":443/c/e?f"]


def test_what_is_sent_along_stays_the_same(perform: Any) -> None:
    """Headers and limits go to the next hop too: it is the same host."""
    request = get(URL, {"Accept": "application/json"}, limit=7)
    _, requests = perform(exchanges.follow_redirects(request), redirect("/b"), Reply(200))
    assert (requests[1].headers, requests[1].limit) == (request.headers, 7)


@pytest.mark.parametrize(
    ("start", "to", "code"),
    [
        (URL, "http://id.example.com/b", "redirect_insecure"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/b", "redirect_insecure"),
        ("http://127.0.0.1:8080/a", "https://127.0.0.1:8080/b", "redirect_insecure"),
        (URL, "https://evil.example.com/b", "redirect_cross_host"),
        (URL, "https://id.example.com.evil.example/b", "redirect_cross_host"),
        (URL, "https://id.example.com:8443/b", "redirect_cross_host"),
        (URL, "//evil.example.com/b", "redirect_cross_host"),
        (URL, "https://id.example.com@evil.example.com/", "redirect_location_invalid"),
        (URL, "file:///etc/passwd", "redirect_location_invalid"),
        (URL, "data:application/json,{}", "redirect_location_invalid"),
        (URL, "https://[", "redirect_location_invalid"),
        (URL, "/b#fragment", "redirect_location_invalid"),
        (URL, "/\\evil.example.com", "redirect_location_invalid"),
        (URL, "", "redirect_location_missing"),
        (URL, None, "redirect_location_missing"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_other_redirect_is_refused(start: str, to: str | None, code: str, status: int) -> None:
    """[K12] To http, to another host or port, to another scheme, nowhere: refused with a code, after one request."""
    flow = follow(start)
    next(flow)
    with pytest.raises(TransportException) as refused:
        flow.send(redirect(to, status))
    assert refused.value.code == code
    assert refused.value.status_code == status


def test_only_get_is_redirected(perform: Any) -> None:
    """[K12] A POST, which may carry credentials, is never sent on."""
    with pytest.raises(TransportException) as refused:
        perform(follow(method="POST"), redirect("/b", 307))
    assert refused.value.code == "redirect_refused"


def test_loops_end(perform: Any) -> None:
    """[K12] The fourth redirect is refused."""
    with pytest.raises(TransportException) as refused:
        perform(follow, *[redirect("/keys")] * 4)
    assert refused.value.code == "redirect_limit"


def test_not_modified_is_no_redirect(perform: Any) -> None:
    """304 and 300 are answers."""
    assert perform(follow, Reply(304))[0].status == 304
    assert perform(follow, Reply(300))[0].status == 300


# ---- repeats


def counting() -> Any:
    made = iter(range(1000))
    return lambda: get(f"{URL}?jti={next(made)}")


def test_a_repeat_is_a_new_request(perform: Any, clock: Any) -> None:
    """Each attempt is built anew, pauses double with jitter, and the first good reply is returned."""
    reply, requests = perform(
        exchanges.persistently(counting(), SETTINGS), Reply(500), down(), Reply(429), Reply(200, (), b"x")
    )
    assert reply.body == b"x"
    assert [r.url[-1] for r in requests] == ["0", "1", "2", "3"]
    for slept, base in zip(clock.slept, (1.0, 2.0, 4.0), strict=True):
        assert base / 2 <= slept <= base


def test_repeats_end(perform: Any) -> None:
    """The last reply is returned and the last failure raised once the attempts are used up."""
    reply, requests = perform(exchanges.persistently(counting(), SETTINGS), *[Reply(503)] * 4)
    assert (reply.status, len(requests)) == (503, 4)
    with pytest.raises(TransportException):
        perform(exchanges.persistently(counting(), SETTINGS), *[down()] * 4)
    reply, requests = perform(exchanges.persistently(counting(), SETTINGS, attempts=1), Reply(503))
    assert (reply.status, len(requests)) == (503, 1)
    reply, requests = perform(exchanges.persistently(counting(), Settings(http_retry_max_attempts=0)), Reply(503))
    assert (reply.status, len(requests)) == (503, 1)


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 408])
def test_answers_are_not_repeated(perform: Any, status: int) -> None:
    """Only 429 and 5xx are worth another try."""
    assert perform(exchanges.persistently(counting(), SETTINGS), Reply(status))[0].status == status


@pytest.mark.parametrize("code", ["tls_failed", "response_too_large", "encoding_refused", "url_invalid"])
def test_lasting_failures_are_not_repeated(perform: Any, code: str) -> None:
    """A failure that will not go away by itself is raised at once."""
    with pytest.raises(TransportException):
        perform(exchanges.persistently(counting(), SETTINGS), down(code))
    with pytest.raises(TransportException):
        perform(exchanges.once_more(counting(), SETTINGS), down(code))


def test_other_exceptions_pass_through_a_repeat(perform: Any) -> None:
    """What is no failure of the transport is nobody's business here."""
    with pytest.raises(PyIdentityModelException):
        perform(exchanges.persistently(counting(), SETTINGS), ConfigurationException("no"))


def test_the_provider_says_when_to_come_back(perform: Any, clock: Any) -> None:
    """``Retry-After`` replaces the pause, in seconds or as a date, up to 120 s."""
    wait = [Reply(429, (("retry-after", "7"),)), Reply(503, (("retry-after", "100000"),)), Reply(200)]
    assert perform(exchanges.persistently(counting(), SETTINGS), *wait)[0].status == 200
    assert clock.slept == [7.0, 120.0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("121", 120.0),
        ("9" * 400, 120.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        (format_datetime(datetime.fromtimestamp(1_800_000_060, UTC), usegmt=True), 60.0),
        (format_datetime(datetime.fromtimestamp(1_799_999_000, UTC), usegmt=True), 0.0),
        (format_datetime(datetime.fromtimestamp(1_900_000_000, UTC), usegmt=True), 120.0),
        ("Mon, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """The field is read as RFC 9110 10.2.3 has it, and ignored if it is neither a number nor a date."""
    assert exchanges.retry_after(Reply(429, (("retry-after", value),)), 1_800_000_000.0) == seconds
    assert exchanges.retry_after(Reply(429), 0.0) is None


def test_one_quick_repeat(perform: Any, clock: Any) -> None:
    """A caller that waits gets one more try a quarter of a second later, not more."""
    reply, requests = perform(exchanges.once_more(counting(), SETTINGS), Reply(503), Reply(200))
    assert (reply.status, len(requests)) == (200, 2)
    reply, requests = perform(exchanges.once_more(counting(), SETTINGS), Reply(503), Reply(503))
    assert (reply.status, len(requests)) == (503, 2)
    assert all(0 < pause <= 0.25 for pause in clock.slept)
    assert perform(exchanges.once_more(counting(), SETTINGS), down(), Reply(200))[0].status == 200
    with pytest.raises(TransportException):
        perform(exchanges.once_more(counting(), SETTINGS), down(), down())


def test_no_quick_repeat_where_it_cannot_help(perform: Any) -> None:
    """A provider that asks for patience, a deadline that passed and repeats turned off cost one request."""
    patient = Reply(429, (("retry-after", "5"),))
    assert len(perform(exchanges.once_more(counting(), SETTINGS), patient)[1]) == 1
    assert len(perform(exchanges.once_more(counting(), Settings(http_retry_max_attempts=0)), Reply(503))[1]) == 1
    with pytest.raises(TransportException):
        perform(exchanges.once_more(counting(), SETTINGS), down("timeout"))
    with pytest.raises(TransportException):
        perform(exchanges.once_more(counting(), Settings(http_retry_max_attempts=0)), down())


def test_repeats_go_through_redirects(perform: Any) -> None:
    """Another way to send, such as following redirects, can be repeated as well."""
    for repeat in (exchanges.once_more, exchanges.persistently):
        flow = repeat(counting(), SETTINGS, exchanges.follow_redirects)
        reply, requests = perform(flow, redirect("/b"), Reply(503), redirect("/b"), Reply(200))
        assert (reply.status, len(requests)) == (200, 4)
