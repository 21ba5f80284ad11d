"""Logging out: the own session first, then the provider's; and when the provider says so."""

from __future__ import annotations

import importlib
import threading
from typing import Any
from urllib.parse import urlencode

import pytest

from login_world import BASE, KEY, PAGE, Browser, LoginWorld, parameters, set_cookies
from py_identity_model import Request, WebAnswer, WebRequest
from py_identity_model._core.base.flow import Reply
from py_identity_model.exceptions import StoreException, TransportException

FORM = ("content-type", "application/x-www-form-urlencoded")


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> LoginWorld:
    """A provider, an application and browsers, in each API in turn."""
    return LoginWorld(request.param, clock)


def logged_in(world: LoginWorld, login: Any = None) -> Browser:
    """Return a browser whose user is logged in."""
    browser = world.browser(login)
    browser.log_in()
    return browser


def reasons(world: LoginWorld) -> list[str]:
    """Return why something was refused, in order."""
    return [facts["reason"] for facts in world.named("web_login_refused")]


def told(world: LoginWorld, login: Any, **claims: Any) -> WebAnswer:
    """Have the provider send a logout token to a process."""
    body = urlencode({"logout_token": world.provider.mint("logout_token", **claims)}).encode()
    answer: WebAnswer = world.run(login.answer, WebRequest("POST", "/backchannel-logout", "", (FORM,), body))
    return answer


# ---- begun here


def test_a_logout_ends_the_session_here_and_at_the_provider(world: LoginWorld) -> None:
    """The session is over, then the browser goes to the provider with the ID token, and comes back with its state."""
    browser = logged_in(world)
    stolen = dict(browser.cookies)
    sent = browser.log_out()
    asked = parameters(sent.location)
    assert (sent.status, asked["post_logout_redirect_uri"]) == (303, f"{BASE}/logged-out")
    assert asked["id_token_hint"].count(".") == 2
    assert "__Host-session" not in browser.cookies
    back = browser.get(world.between(Request("GET", sent.location or "")).header("location") or "")
    assert (back.status, b"You are logged out" in back.body, reasons(world)) == (200, True, [])
    browser.cookies = stolen
    assert browser.visit().status == 303


def test_a_stolen_cookie_is_worth_nothing_after_the_logout(world: LoginWorld) -> None:
    """Neither the session nor its tokens can be had with it, in any process."""
    browser = logged_in(world)
    session, thief = browser.visit(), world.browser(world.process())
    thief.cookies = dict(browser.cookies)
    browser.log_out()
    assert thief.visit().status == 303
    with pytest.raises(Exception, match="logged in"):
        world.run(session.token)


def test_a_logout_revokes_the_refresh_token(clock: Any) -> None:
    """The provider is told in the background, so that nobody waits for it."""
    world = LoginWorld("sync", clock)
    logged_in(world).log_out()
    for thread in threading.enumerate():
        if thread.name == "py-identity-model":
            thread.join(10)
    assert world.provider.count("revoke") == 1


def test_a_link_of_another_site_logs_nobody_out(world: LoginWorld) -> None:
    """A GET only asks; a POST without the token of the session does nothing."""
    browser = logged_in(world)
    assert b"Do you want to log out?" in browser.get("/logout").body
    token = browser.token_of(browser.get("/logout"))
    forged = [
        ({}, PAGE),
        ({"csrf_token": "a" * 86}, PAGE),
        ({"csrf_token": token[:-4]}, PAGE),
        ({"csrf_token": logged_in(world).visit().csrf_token}, PAGE),
        ({"csrf_token": token}, ("origin", "https://evil.example")),
        ({"csrf_token": token}, ("sec-fetch-site", "cross-site")),
        ({"csrf_token": token}, ("sec-fetch-site", "same-site")),
        ({"csrf_token": token}, ("origin", "null")),
    ]
    for form, header in forged:
        assert browser.post("/logout", form, header).status == 403
    assert browser.visit().subject == "alice"
    own = (PAGE, ("origin", "null"), ("sec-fetch-site", "same-origin"))
    assert browser.post("/logout", {"csrf_token": token}, *own).status == 303


def test_a_program_logs_out_and_is_told_where_to_go_on(world: LoginWorld) -> None:
    """A fetch is not redirected to another site: it gets the address."""
    browser = logged_in(world)
    answer = browser.post("/logout", {}, ("x-csrf", "1"), ("sec-fetch-mode", "cors"))
    assert answer.status == 200
    assert world.provider.issuer.encode() in answer.body
    assert browser.visit().status == 303


def test_a_logout_can_be_posted_to_the_provider(world: LoginWorld) -> None:
    """With logout_by_form the ID token shows in no address; the page needs no script."""
    browser = logged_in(world, world.process(logout_by_form=True))
    page = browser.log_out()
    assert page.status == 200
    assert b'<form method="post" action="https://id.example.com/end_session">' in page.body
    assert b"id_token_hint" in page.body
    assert browser.visit().status == 303


def test_who_is_not_logged_in_is_told_so(world: LoginWorld) -> None:
    """A logout without a session is done already."""
    browser = world.browser()
    browser.cookies["__Host-session"] = "A" * 43
    page = browser.get("/logout")
    assert (page.status, browser.cookies) == (200, {})


@pytest.mark.parametrize("answers", [None, 500], ids=["no route", "an error"])
def test_a_provider_that_is_away_does_not_keep_anybody_logged_in(world: LoginWorld, answers: int | None) -> None:
    """The own session is over all the same; the page says that the provider could not be told."""
    browser = logged_in(world)
    form = {"csrf_token": browser.visit().csrf_token}
    importlib.import_module(f"py_identity_model.{world.door}._validation").default_stores.cache_clear()

    def between(request: Request) -> Reply:
        if answers is None:
            raise TransportException("no route", code="connection_failed")
        return Reply(answers)

    world.between = between
    page = browser.post("/logout", form)
    assert (page.status, b"could not be told" in page.body) == (200, True)
    assert browser.visit().status == 303


def test_a_provider_that_knows_no_logout_is_left_alone(world: LoginWorld) -> None:
    """Without an end_session_endpoint the user is logged out here, and told so."""
    world.provider.metadata["end_session_endpoint"] = None
    page = logged_in(world).log_out()
    assert (page.status, b"could not be told" in page.body, reasons(world)) == (200, True, [])


def test_a_logout_while_the_store_is_away_says_so(world: LoginWorld) -> None:
    """A session that cannot be ended is not said to be over: the user is asked to try again."""
    browser = logged_in(world)
    form = {"csrf_token": browser.visit().csrf_token}

    def away(*_: Any, **__: Any) -> Any:
        raise StoreException("away", code="store_away")

    world.store.delete = away
    assert browser.post("/logout", form).status == 503
    del world.store.delete
    assert browser.post("/logout", form).status == 303


@pytest.mark.parametrize("state", [None, "another", ""])
def test_a_return_that_belongs_to_no_logout_is_noticed(world: LoginWorld, state: str | None) -> None:
    """The state that comes back is compared; the page is harmless in any case."""
    browser = logged_in(world)
    browser.log_out()
    page = browser.get("/logged-out" + ("" if state is None else f"?state={state}"))
    assert (page.status, reasons(world)) == (200, ["logout_state_mismatch"])
    assert "__Host-logout" not in browser.cookies


def test_a_return_ends_no_session(world: LoginWorld) -> None:
    """A link of somebody else to the page after a logout does nothing to who is logged in."""
    browser = logged_in(world)
    assert browser.get("/logged-out?state=a").location == "/"
    assert browser.visit().subject == "alice"


# ---- begun at the provider, past the browser


def test_a_back_channel_logout_ends_the_session_in_every_process(world: LoginWorld) -> None:
    """The token comes to one process, and the session is over in all: the store is what they share."""
    processes = [world.process(), world.process()]
    browser = logged_in(world, processes[0])
    answer = told(world, processes[1], sid="session-at-provider", subject="alice")
    assert (answer.status, dict(answer.headers)["cache-control"]) == (200, "no-cache, no-store")
    assert browser.visit().status == 303
    assert [facts["how"] for facts in world.named("web_logout")] == ["back_channel"]


def test_a_back_channel_logout_by_user_ends_all_sessions(world: LoginWorld) -> None:
    """Without a sid all sessions of the user end, those of others do not."""
    login = world.process()
    browsers = [logged_in(world, login) for _ in range(3)]
    world.provider.subject, world.provider.more = "bob", {"sid": "another"}
    other = logged_in(world, login)
    world.clock.advance(1)
    assert told(world, login, subject="alice").status == 200
    assert [browser.visit().status for browser in browsers] == [303] * 3
    assert other.visit().subject == "bob"
    world.provider.subject, world.provider.more = "alice", {"sid": "new"}
    world.clock.advance(2)
    assert logged_in(world, login).visit().subject == "alice"


def test_a_back_channel_logout_ends_the_session_of_one_browser_only(world: LoginWorld) -> None:
    """With a sid the user's other sessions go on."""
    login = world.process()
    one = logged_in(world, login)
    world.provider.more = {"sid": "second"}
    other = logged_in(world, login)
    assert told(world, login, sid="session-at-provider").status == 200
    assert (one.visit().status, other.visit().subject) == (303, "alice")


def test_a_logout_token_counts_once_in_all_processes(world: LoginWorld) -> None:
    """Sent again, to another process as well, it is refused: a replay ends no later session."""
    processes = [world.process(), world.process()]
    body = urlencode({"logout_token": world.provider.mint("logout_token", subject="alice")}).encode()
    request = WebRequest("POST", "/backchannel-logout", "", (FORM,), body)
    assert [world.run(login.answer, request).status for login in processes] == [200, 400]
    assert reasons(world) == ["logout_token_replayed"]


def test_a_session_that_ended_before_it_began_here_never_begins(world: LoginWorld) -> None:
    """The provider's logout may overtake the browser on its way back: there is no session then."""
    browser = world.browser()
    address = browser.start()
    assert told(world, browser.login, sid="session-at-provider").status == 200
    assert browser.get(address).status == 400
    assert browser.visit().status == 303
    assert reasons(world) == ["session_ended"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "a"},
        {"events": {}},
        {"audience": "another"},
        {"jti": None},
        {"sub": None},
        {"issuer": "https://evil.example"},
        {"iat": 1},
    ],
)
def test_a_logout_token_that_is_not_valid_ends_nothing(world: LoginWorld, wrong: dict[str, Any]) -> None:
    """What is not exactly a logout token for this client is answered with 400."""
    browser = logged_in(world)
    claims = {"iss": wrong["issuer"]} if "issuer" in wrong else wrong
    if wrong == {"iat": 1}:
        claims = {"iat": 1, "exp": 2}
    assert told(world, browser.login, **claims).status == 400
    assert browser.visit().subject == "alice"


@pytest.mark.parametrize(("accepts", "status"), [(False, 400), (True, 200)])
def test_a_logout_token_without_exp_counts_where_it_may(world: LoginWorld, accepts: bool, status: int) -> None:
    """As those of Hydra: refused, unless the application says so."""
    login = world.process(accept_logout_tokens_without_exp=accepts)
    assert told(world, login, exp=None).status == status


@pytest.mark.parametrize("body", [b"", b"logout_token=", b"logout_token=a.b.c", b"a=b", b"\xff\xfe", b"a" * 200_000])
def test_what_is_no_logout_request_is_refused(world: LoginWorld, body: bytes) -> None:
    """Anybody may send something there: it is 400, and nothing is written."""
    login = world.process()
    assert world.run(login.answer, WebRequest("POST", "/backchannel-logout", "", (FORM,), body)).status == 400


def test_a_store_that_is_away_leaves_a_logout_token_good(world: LoginWorld) -> None:
    """The provider is told that it did not work, and the same token ends the session later."""
    browser = logged_in(world)
    body = urlencode({"logout_token": world.provider.mint("logout_token", subject="alice")}).encode()
    request = WebRequest("POST", "/backchannel-logout", "", (FORM,), body)

    def away(*_: Any, **__: Any) -> Any:
        raise StoreException("away", code="store_away")

    world.store.delete = away
    assert world.run(browser.login.answer, request).status == 400
    del world.store.delete
    assert world.run(browser.login.answer, request).status == 200
    assert browser.visit().status == 303


# ---- begun at the provider, through the browser


def test_a_front_channel_logout_ends_the_session_it_names(world: LoginWorld) -> None:
    """The frame's request carries no cookie: issuer and sid name the session, and the provider may frame the answer."""
    browser = logged_in(world)
    asked = urlencode({"iss": world.provider.issuer, "sid": "session-at-provider"})
    answer = world.browser(browser.login).get(f"/frontchannel-logout?{asked}")
    assert answer.status == 200
    assert dict(answer.headers)["content-security-policy"].endswith(f"frame-ancestors {world.provider.issuer}")
    assert "x-frame-options" not in dict(answer.headers)
    assert browser.visit().status == 303


@pytest.mark.parametrize(
    "query",
    [
        *(
            "",
            "sid=session-at-provider",
            "iss=https://id.example.com",
            "iss=https://evil.example&sid=session-at-provider",
        ),
        *("iss=https://id.example.com&sid=a&sid=session-at-provider", "iss=https://id.example.com&sid="),
    ],
)
def test_a_front_channel_logout_must_name_issuer_and_session(world: LoginWorld, query: str) -> None:
    """[O16] Any page can load that address: without both it does nothing, not even to the browser at hand."""
    browser = logged_in(world)
    assert browser.get(f"/frontchannel-logout?{query}").status == 400
    assert browser.visit().subject == "alice"


def test_a_front_channel_logout_of_nobody_writes_nothing(world: LoginWorld) -> None:
    """Anybody can name sessions that are not there: the store does not grow by it."""
    login = world.process()
    before = len(world.store._kept)
    for n in range(20):
        asked = urlencode({"iss": world.provider.issuer, "sid": f"guess-{n}"})
        assert world.browser(login).get(f"/frontchannel-logout?{asked}").status == 200
    assert len(world.store._kept) == before


def test_a_front_channel_logout_without_a_store_is_for_the_browser_at_hand(world: LoginWorld) -> None:
    """A session in a cookie ends if the frame brings the cookie and names that session."""
    browser = logged_in(world, world.process(store=None, encryption_key=KEY))
    other, own = (urlencode({"iss": world.provider.issuer, "sid": sid}) for sid in ("b", "session-at-provider"))
    browser.get(f"/frontchannel-logout?{other}")
    assert browser.visit().subject == "alice"
    assert len(set_cookies(browser.get(f"/frontchannel-logout?{own}"))) == 1
    assert browser.visit().status == 303
