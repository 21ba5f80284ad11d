"""An attack on an API: right ones hold, wrong ones are told by name, and nothing but this machine is ever attacked."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import wrong_apis
from door_world import DoorWorld
from py_identity_model import InboundRequest, Requirement
from py_identity_model.exceptions import ConfigurationException, TransportException
from py_identity_model.testing import FORGERIES, Answered, AttackReport, EmbeddedProvider, Shot, attack_api
from py_identity_model.testing._attack import target as targets
from py_identity_model.testing._attack.report import MISTAKES, AttackResult, mistake_of
from wrong_apis import WrongAPI

URL = "http://127.0.0.1:8000/orders"


@pytest.fixture(scope="module")
def provider() -> EmbeddedProvider:
    """A provider whose keys are made once."""
    return EmbeddedProvider(algorithms=["RS256", "ES256"])


def attack(api: Callable[[Shot], Answered], provider: EmbeddedProvider, **options: Any) -> AttackReport:
    """Attack an API in this process."""
    return attack_api(URL, provider, send=api, **options)


def found(report: AttackReport) -> set[str]:
    """Return the mistakes that let somebody in who must not."""
    return {each.name for each in report.weaknesses if each.severity == "high"}


# ---------------------------------------------------------------------------------------------------------------------
# What is found


def test_an_api_of_this_library_holds() -> None:
    """Nothing gets in, nothing breaks, nothing is unclear: two hundred attempts."""
    world = DoorWorld()
    world.provider.signing_key("ES256")
    api = world.blocking()

    def send(shot: Shot) -> Answered:
        path = shot.path.partition("?")[0]
        if path != "/orders":
            return Answered(404)
        decision = api.decide(
            InboundRequest(shot.method, f"http://127.0.0.1:8000{shot.path}", shot.headers),
            Requirement(scopes=["orders.read"]),
        )
        status = getattr(decision, "status", 200)
        return Answered(status, getattr(decision, "headers", ()), b"" if status != 200 else b"{}")

    report = attack(send, world.provider, scopes=["orders.read"])
    assert [each for each in report.results if each.outcome != "refused"] == []
    assert (report.verdict, report.fails("fault"), report.weaknesses, report.notes) == ("held", False, (), ())
    assert len(report.results) > len(FORGERIES) + 60


MISTAKEN: dict[str, tuple[Callable[[EmbeddedProvider], Any], set[str]]] = {
    "PyJWT without an audience": (
        lambda p: wrong_apis.by_pyjwt(p, audience=None, options={"verify_aud": False}),
        {"audience"},
    ),
    "PyJWT without an issuer": (lambda p: wrong_apis.by_pyjwt(p, issuer=None), {"issuer"}),
    "PyJWT without an end": (
        lambda p: wrong_apis.by_pyjwt(p, options={"require": ["client_id"], "verify_exp": False}),
        {"expiry"},
    ),
    "PyJWT that verifies nothing": (
        wrong_apis.without_verification,
        {"alg_none", "signature", "key_confusion", "audience", "issuer", "expiry", "kind", "key_of_token"},
    ),
    "the header chooses": (wrong_apis.confused, {"key_confusion"}),
    "ID tokens": (wrong_apis.takes_id_tokens, {"kind"}),
    "the token brings its key": (wrong_apis.key_of_the_token, {"key_of_token"}),
    "none is an algorithm": (wrong_apis.takes_none, {"alg_none"}),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_each_mistake_is_told_by_name(name: str, provider: EmbeddedProvider) -> None:
    """An API that verifies in a wrong way fails, and the report names its mistake with what mends it."""
    make, mistakes = MISTAKEN[name]
    report = attack(WrongAPI(make(provider)), provider)
    assert (report.verdict, report.fails()) == ("let_in", True)
    assert found(report) >= mistakes
    text = "\n".join(report.lines())
    assert all(MISTAKES[each].title in text and MISTAKES[each].remedy in text for each in mistakes)
    if name != "PyJWT that verifies nothing":
        assert found(report) - mistakes <= {"reading", "critical", "kind"}, "and no other one"


def test_garbage_that_breaks_an_api_is_told(provider: EmbeddedProvider) -> None:
    """500 is no refusal: what caused it is listed, and fails where that is asked for."""
    report = attack(WrongAPI(wrong_apis.breaks(provider)), provider)
    names = {each.name for each in report.faults}
    assert {"opaque", "two_parts", "header_text", "alg_none", "encrypted"} <= names
    assert (report.fails("fault"), "breaks on what it should refuse" in "\n".join(report.lines())) == (True, True)


def test_an_open_api_and_headers_of_proxies_are_told(provider: EmbeddedProvider) -> None:
    """No token, and a header that anybody may send, are mistakes of their own."""
    exact = wrong_apis.by_pyjwt(provider)
    open_to_all = attack(lambda shot: Answered(200, body=b"{}"), provider)
    assert {"open", "signature"} <= found(open_to_all)
    assert not [each for each in open_to_all.results if each.name.startswith("proxy_")]

    def behind(shot: Shot) -> Answered:
        named = dict(shot.headers).get("X-Forwarded-User")
        return Answered(200, body=b"{}") if named else WrongAPI(exact)(shot)

    report = attack(behind, provider)
    assert [each.name for each in report.let_in if each.severity == "high" and each.place == "nowhere"] == [
        "proxy_x-forwarded-user"
    ]


def test_another_place_has_the_whole_table(provider: EmbeddedProvider) -> None:
    """Where a good token in the query gets in, every forgery is tried there, and told with its place."""
    exact, careless = wrong_apis.by_pyjwt(provider), wrong_apis.without_verification(provider)
    from urllib.parse import parse_qs

    def in_query(shot: Shot) -> str | None:
        return parse_qs(shot.path.partition("?")[2]).get("access_token", [None])[0]

    def api(shot: Shot) -> Answered:
        return WrongAPI(careless, in_query)(shot) if "access_token=" in shot.path else WrongAPI(exact)(shot)

    report = attack(api, provider)
    names = {each.name for each in report.let_in}
    assert {"token_in_query", "alg_none, query", "tampered, query"} <= names
    assert "alg_none" not in names
    assert len([each for each in report.results if each.place == "query"]) == len(FORGERIES) + 1
    assert {"signature", "alg_none"} <= found(report)


def test_another_spelling_of_the_path_is_told(provider: EmbeddedProvider) -> None:
    """A gate that compares paths as text is passed by another text, if the same answer comes back."""
    exact = wrong_apis.by_pyjwt(provider)

    def api(shot: Shot) -> Answered:
        path = shot.path.partition("?")[0]
        if path == "/ORDERS":
            return Answered(200, body=b'{"orders": []}')
        return Answered(200, body=b"the home page") if path == "/" else WrongAPI(exact)(shot)

    report = attack(api, provider)
    assert [each.name for each in report.let_in if each.severity == "high" and each.place == "nowhere"] == [
        "path_capitals"
    ]


def test_an_api_that_refuses_everything_proves_nothing(provider: EmbeddedProvider) -> None:
    """Without a good token that is let in, no refusal means anything; the report says so, and why it may be."""
    stranger = EmbeddedProvider("https://stranger.test", algorithms=["RS256", "ES256"])
    report = attack(WrongAPI(wrong_apis.by_pyjwt(provider)), stranger)
    assert (report.verdict, report.control, report.control_let_in) == ("nothing_proven", 401, False)
    assert "nothing is proven" in next(iter(report.lines()))
    assert any("never asked" in note for note in report.notes)


def test_it_waits_until_the_api_is_there(provider: EmbeddedProvider) -> None:
    """An API that starts, or has yet to fetch the keys, is asked again until a good token is let in."""
    inner, asked = WrongAPI(wrong_apis.by_pyjwt(provider)), []

    def starting(shot: Shot) -> Answered:
        asked.append(shot)
        return Answered(503 if len(asked) < 3 else 0) if len(asked) < 4 else inner(shot)

    report = attack(starting, provider, wait=30)
    assert report.control_let_in


def test_an_api_that_goes_away_is_told(provider: EmbeddedProvider) -> None:
    """After five requests without an answer no more are sent; what came before is a fault."""
    inner = WrongAPI(wrong_apis.by_pyjwt(provider))
    state = {"up": True}

    def api(shot: Shot) -> Answered:
        token = dict(shot.headers).get("Authorization", "")
        state["up"] = state["up"] and token.count(".") != 4
        return inner(shot) if state["up"] else Answered(0, problem="ConnectionRefusedError")

    report = attack(api, provider)
    assert report.faults[0].name == "encrypted"
    assert (len(report.faults), any("no longer answers" in note for note in report.notes)) == (5, True)


def test_findings_that_are_no_hole_do_not_fail_by_default(provider: EmbeddedProvider) -> None:
    """A strict reading of tokens is asked for with low."""
    exact = wrong_apis.by_pyjwt(provider)

    def lenient(token: str) -> Any:
        return exact(token.rstrip("="))

    report = attack(WrongAPI(lenient), provider)
    assert "padded" in {each.name for each in report.let_in if each.severity == "low"}
    assert {each.severity for each in report.let_in if each.name == "padded"} == {"low"}
    assert report.fails("low")


def test_the_report_is_json_and_each_forgery_has_its_mistake(provider: EmbeddedProvider) -> None:
    """The report can be written down; no forgery goes by the mistake of another one's name."""
    report = attack(WrongAPI(wrong_apis.without_verification(provider)), provider)
    written = json.loads(json.dumps(report.as_dict()))
    assert (written["verdict"], written["control"]) == ("let_in", {"status": 200, "let_in": True})
    assert written["sent"] == len(written["results"]) == len(report.results)
    expected = {"header_alg_twice": "reading", "hs256_with_public_key": "key_confusion", "kid_sql": "key_confusion"}
    expected |= {"kid_url": "signature", "exp_text": "expiry", "id_token": "kind", "issuer_nul": "issuer"}
    for name, mistake in expected.items():
        row = FORGERIES[name]
        assert mistake_of(AttackResult(name, "header", row.summary, row.severity, "let_in", 200)) == mistake
    assert not any("eyJ" in line for line in report.lines()), "no token is shown"


# ---------------------------------------------------------------------------------------------------------------------
# What may be attacked


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/orders", "http://0.0.0.0/orders", "http://[::]/orders", "http://10.0.0.1/orders"),
        *("http://192.168.1.1/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest", "http://[fe80::1]/"),
    ],
)
def test_only_this_machine_is_attacked(url: str, provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine is refused before anything is sent, however its address is written."""
    monkeypatch.setattr(targets.socket, "socket", lambda *_: pytest.fail("a connection"))
    if "example.com" in url:
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]
        monkeypatch.setattr(targets.socket, "getaddrinfo", lambda *_, **__: addresses)
    with pytest.raises(ConfigurationException) as caught:
        attack_api(url, provider)
    assert caught.value.code == "target_not_loopback"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.6.7", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_has_many_addresses(host: str) -> None:
    """All of them may be attacked."""
    assert targets.resolve(targets.read_target(f"http://{host}:8000/"), i_own_this=False)
    assert targets.resolve(targets.read_target("http://10.0.0.1/"), i_own_this=True)


def test_one_foreign_address_of_several_is_enough(provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is of this machine and of another one is of another one."""
    kinds = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    monkeypatch.setattr(
        targets.socket, "getaddrinfo", lambda *_, **__: [(*kinds, ("127.0.0.1", 80)), (*kinds, ("10.1.1.1", 80))]
    )
    with pytest.raises(ConfigurationException) as caught:
        attack_api("http://rebinding.test/", provider)
    assert (caught.value.code, caught.value.actual) == ("target_not_loopback", "rebinding.test is 10.1.1.1")


@pytest.mark.parametrize(
    "url",
    ["ftp://localhost/", "localhost:8000", "http://", "http://a:b@localhost/", "http://localhost:x/", "http://l /"],
)
def test_what_is_no_address_is_refused(url: str, provider: EmbeddedProvider) -> None:
    """Nothing is guessed about an address."""
    with pytest.raises(ConfigurationException) as caught:
        attack_api(url, provider)
    assert caught.value.code == "url_invalid"


def test_bodies_are_sent(provider: EmbeddedProvider) -> None:
    """A route that reads one is asked with one, whatever is tried; its length is told, also that of none."""
    seen: list[Shot] = []

    def api(shot: Shot) -> Answered:
        seen.append(shot)
        return Answered(401 if "Authorization" not in dict(shot.headers) else 200)

    attack(api, provider, method="POST", body=b'{"order": 1}', headers={"Content-Type": "application/json"})
    assert {each.body for each in seen} == {b'{"order": 1}'}
    assert {dict(each.headers)["Content-Length"] for each in seen} == {"12"}
    assert {each.method for each in seen} == {"POST", "HEAD"}
    del seen[:]
    attack(api, provider, method="POST")
    assert {dict(each.headers)["Content-Length"] for each in seen} == {"0"}


def test_wrong_arguments_are_told(provider: EmbeddedProvider) -> None:
    """Rates, times and methods have bounds."""
    for wrong in ({"rate": 0.0}, {"rate": 5000.0}, {"wait": -1.0}, {"seconds": 0.0}, {"method": "get it"}):
        with pytest.raises(ConfigurationException):
            attack_api(URL, provider, **wrong)  # type: ignore[arg-type] # on purpose


# ---------------------------------------------------------------------------------------------------------------------
# Over a socket


@contextmanager
def serving(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve HTTP on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_name_is_resolved_once_and_redirects_are_not_followed(
    provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All requests go to the address that was looked at; what a redirect names is never asked."""
    seen: list[str] = []

    def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["host"])
        good = "at+jwt" in str(handler.headers.get("authorization")) or handler.headers.get("authorization")
        handler.send_response(200 if good else 302)
        handler.send_header("location", "http://evil.example.com/")
        handler.send_header("content-length", "0")
        handler.end_headers()

    asked: list[str] = []
    real = socket.getaddrinfo
    with serving(redirect) as base:
        port = base.rpartition(":")[2]

        def once(host: str, *rest: Any, **options: Any) -> Any:
            asked.append(host)
            return real("127.0.0.1" if len(asked) == 1 else "10.0.0.1", *rest, **options)

        monkeypatch.setattr(targets.socket, "getaddrinfo", once)
        report = attack_api(f"http://shop.test:{port}/orders?page=1", provider, rate=1000)
    assert (asked, set(seen)) == (["shop.test"], {f"shop.test:{port}"})
    (redirected,) = [each for each in report.results if each.name == "no_token"]
    assert (redirected.status, redirected.outcome) == (302, "refused")


def test_what_does_not_answer_is_unreachable(provider: EmbeddedProvider) -> None:
    """Nothing listens, or what listens speaks another language: no report, but an exception."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TransportException) as caught:
        attack_api(f"http://127.0.0.1:{port}/", provider)
    assert (caught.value.code, "ConnectionRefusedError" in str(caught.value)) == ("connect_failed", True)
    with serving(lambda handler: handler.wfile.write(b"SSH-2.0\r\n")) as base, pytest.raises(TransportException):
        attack_api(base, provider, seconds=1)


def test_a_slow_answer_is_a_fault_and_bounded(provider: EmbeddedProvider) -> None:
    """An answer that does not come in time is none; a large one is read in part."""

    def huge(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(401)
        handler.end_headers()
        with pytest.MonkeyPatch.context():
            try:
                handler.wfile.write(b"x" * 2_000_000)
            except OSError:
                pass

    target = targets.read_target("http://127.0.0.1/")
    with serving(huge) as base:
        target = targets.read_target(base)
        send = targets.sender(target, targets.resolve(target, i_own_this=False), seconds=5, ssl_context=None)
        assert len(send(Shot("GET", "/")).body) == 256 * 1024
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = targets.read_target(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        send = targets.sender(target, targets.resolve(target, i_own_this=False), seconds=0.2, ssl_context=None)
        assert send(Shot("GET", "/")) == Answered(0, problem="TimeoutError")


def test_the_rate_is_kept(provider: EmbeddedProvider) -> None:
    """No more requests in a second than were asked for."""
    import time

    from py_identity_model.testing._attack.attack import _paced

    sent: list[float] = []
    paced = _paced(lambda shot: sent.append(time.monotonic()) or Answered(401), 0.02)
    for _ in range(6):
        paced(Shot("GET", "/"))
    assert sent[-1] - sent[0] >= 0.1 - 0.005
