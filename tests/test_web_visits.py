"""Requests to pages that demand a login: step-up, silent login, forged requests, several providers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from login_world import PAGE, Browser, LoginWorld, parameters
from py_identity_model import ConfigurationException, WebRequest

FRAME = (PAGE, ("sec-fetch-dest", "iframe"), ("sec-fetch-site", "same-origin"))


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


# ---- who is sent where


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", [PAGE], 303),
        ("HEAD", [PAGE], 303),
        ("GET", [("sec-fetch-mode", "navigate"), ("accept", "*/*")], 303),
        ("GET", [("accept", "*/*")], 401),
        ("GET", [], 401),
        ("GET", [PAGE, ("sec-fetch-mode", "cors")], 401),
        ("GET", [PAGE, ("x-requested-with", "XMLHttpRequest")], 401),
        ("GET", [("accept", "application/json")], 401),
        ("POST", [PAGE, ("sec-fetch-mode", "navigate")], 401),
        ("DELETE", [("accept", "*/*")], 401),
    ],
)
def test_a_page_becomes_a_login_and_a_program_is_told(
    world: LoginWorld, method: str, headers: list[Any], status: int
) -> None:
    """Only what a browser shows as a page is redirected; a fetch gets 401 with the address of the login."""
    answer = world.browser().visit("/account", *(headers or [("x-nothing", "1")]), method=method)
    assert answer.status == status
    if status == 401:
        assert dict(answer.headers)["www-authenticate"] == "Session"
        assert b"/login" in answer.body


def test_a_program_comes_back_to_the_page_that_it_is_on(world: LoginWorld) -> None:
    """The address in a 401 leads back to the page, by Referer, not to the program's own address."""
    referer = ("referer", f"{world.base_url}/orders?page=2")
    answer = world.browser().visit("/api/orders", ("accept", "*/*"), referer)
    assert json.loads(answer.body) == {"error": "login_required", "login_url": "/login?next=%2Forders%3Fpage%3D2"}
    foreign = world.browser().visit("/api/orders", ("accept", "*/*"), ("referer", "https://evil.example/orders"))
    assert json.loads(foreign.body)["login_url"] == "/login"


# ---- 6. step-up


def test_a_page_that_demands_a_fresh_login_sends_the_browser_there_and_back(world: LoginWorld) -> None:
    """max_age: the user authenticates again, the same user, and comes back to the page under a new id."""
    browser = logged_in(world)
    world.clock.advance(1000)
    assert browser.visit("/pay", max_age=1200).subject == "alice"
    sent = browser.visit("/pay?a=b", max_age=300)
    assert (sent.status, sent.location) == (303, "/login?next=%2Fpay%3Fa%3Db&max_age=300")
    before = browser.cookies["__Host-session"]
    asked = browser.get(sent.location or "")
    assert parameters(asked.location)["max_age"] == "300"
    assert browser.get(browser.at_provider(asked.location or "")).location == "/pay?a=b"
    assert browser.visit("/pay?a=b", max_age=300).subject == "alice"
    assert browser.cookies["__Host-session"] != before


@pytest.mark.parametrize("max_age", [0, 1, 59])
def test_a_page_that_demands_a_login_of_this_very_moment_gets_one(world: LoginWorld, max_age: int) -> None:
    """max_age=0 is prompt=login (OpenID Connect Core 3.1.2.1): a login that nobody asked for is none, however new.

    Coming back takes a while: the one that was asked for counts for a minute, so that nobody goes round in a circle.
    """
    browser = logged_in(world)
    world.clock.advance(max_age + 1)
    asked = browser.visit("/pay", max_age=max_age)
    assert (asked.status, parameters(asked.location)["max_age"]) == (303, str(max_age))
    browser.log_in(asked.location)
    world.clock.advance(50)
    assert browser.visit("/pay", max_age=max_age).subject == "alice"
    assert max_age == 0 or browser.visit("/other", max_age=0).status == 303
    world.clock.advance(11)
    assert browser.visit("/pay", max_age=max_age).status == 303
    assert browser.visit("/pay", max_age=61).subject == "alice"


def test_a_page_that_demands_another_context(world: LoginWorld) -> None:
    """acr: asked for at the provider, held against the ID token, and enough for the page then."""
    browser = logged_in(world)
    sent = browser.visit("/pay", acr=["phr", "phrh"])
    assert sent.location == "/login?next=%2Fpay&acr=phr+phrh"
    asked = browser.get(sent.location)
    assert parameters(asked.location)["acr_values"] == "phr phrh"
    address = browser.at_provider(asked.location or "")
    assert browser.get(address).status == 400
    assert reasons(world) == ["acr_mismatch"]
    world.provider.more = {"acr": "phr"}
    assert browser.log_in(sent.location).location == "/pay"
    assert browser.visit("/pay", acr="phr").acr == "phr"
    assert browser.visit("/pay", acr="phrh").status == 303


def test_another_user_does_not_confirm_a_login(world: LoginWorld) -> None:
    """Who confirms has to be who is logged in; the session stays what it was."""
    browser = logged_in(world)
    world.clock.advance(1000)
    world.provider.subject = "bob"
    address = browser.start(browser.visit("/pay", max_age=300).location or "")
    assert browser.get(address).status == 400
    assert reasons(world) == ["subject_mismatch"]
    assert browser.visit().subject == "alice"


def test_a_form_that_demands_a_fresh_login_is_refused_with_a_hint(world: LoginWorld) -> None:
    """A POST cannot be sent there and back: 401, and where to confirm the login."""
    browser = logged_in(world)
    world.clock.advance(1000)
    page = browser.visit("/pay", PAGE, ("referer", f"{world.base_url}/pay"), method="POST", max_age=300)
    assert page.status == 401
    assert b"You have to confirm who you are" in page.body
    assert b'href="/login?next=%2Fpay&amp;max_age=300"' in page.body
    program = browser.visit("/pay", ("accept", "*/*"), method="POST", max_age=300)
    assert json.loads(program.body)["error"] == "step_up_required"


@pytest.mark.parametrize("demands", [{"acr": ""}, {"acr": []}, {"acr": ["a b"]}, {"max_age": -1}, {"max_age": 1.5}])
def test_a_demand_that_cannot_be_met_is_refused(world: LoginWorld, demands: dict[str, Any]) -> None:
    """A page that nobody could come to is a mistake of the application."""
    with pytest.raises(ConfigurationException):
        world.browser().visit("/pay", **demands)


@pytest.mark.parametrize(
    "query",
    ["max_age=-1", "max_age=1e9", "max_age=%D9%A1", "max_age=99999999999", "acr=%00", "prompt=evil", "acr=a&acr=b"],
)
def test_what_an_address_asks_for_in_vain_is_left_out(world: LoginWorld, query: str) -> None:
    """Anybody can write an address of the login: what makes no sense in it changes nothing."""
    asked = parameters(world.browser().get(f"/login?{query}").location)
    assert {"max_age", "acr_values", "prompt"} & asked.keys() == set()


# ---- 6. silent login


def refusing(world: LoginWorld, browser: Browser, address: str, error: str, *headers: Any) -> Any:
    """Begin a login that must not ask, and have the provider answer that it would have to."""
    begun = browser.get(address, *headers)
    asked = parameters(begun.location)
    assert asked["prompt"] == "none"
    return browser.get(f"/callback?error={error}&state={asked['state']}&iss={world.provider.issuer}", *headers)


def test_a_silent_login_asks_nobody_anything(world: LoginWorld) -> None:
    """prompt=none: who is logged in at the provider is logged in; a hidden frame only says that it is done."""
    browser = world.browser()
    begun = browser.get("/login?prompt=none", *FRAME)
    page = browser.get(browser.at_provider(begun.location or ""), *FRAME)
    assert (page.status, b"Logged in" in page.body) == (200, True)
    assert "frame-ancestors 'self'" in dict(page.headers)["content-security-policy"]
    assert browser.visit().subject == "alice"
    assert browser.get("/login?prompt=none", *FRAME).status == 200


@pytest.mark.parametrize("error", ["login_required", "interaction_required", "consent_required"])
def test_a_silent_login_that_would_have_to_ask_is_refused_politely(world: LoginWorld, error: str) -> None:
    """Where the provider has no session, or its cookies are blocked: nobody is logged in, and that is no error."""
    browser = world.browser()
    framed = refusing(world, browser, "/login?prompt=none", error, *FRAME)
    assert (framed.status, b"Not logged in" in framed.body) == (200, True)
    shown = refusing(world, browser, "/login?prompt=none&next=/public", error, PAGE)
    assert (shown.status, shown.location) == (303, "/public")
    assert browser.visit().status == 303


def test_a_login_inside_another_site_is_refused_politely(world: LoginWorld) -> None:
    """Browsers keep no cookies there, so that no login could be completed: a page says what to do."""
    headers = (PAGE, ("sec-fetch-dest", "iframe"), ("sec-fetch-site", "cross-site"))
    page = world.browser().get("/login?next=/orders", *headers)
    assert (page.status, b"window of its own" in page.body) == (403, True)


# ---- 7. forged requests


def test_a_request_that_changes_something_shows_that_a_page_of_ours_sent_it(world: LoginWorld) -> None:
    """By the token in a form or a header, or by the header that other sites cannot send; SameSite is not all."""
    browser = logged_in(world)
    token = browser.visit().csrf_token
    own = ("origin", world.base_url)
    cases = [
        ((PAGE,), None, 403),
        ((PAGE,), {"csrf_token": token}, "alice"),
        ((PAGE, own), {"csrf_token": token}, "alice"),
        ((PAGE, ("origin", "https://evil.example")), {"csrf_token": token}, 403),
        ((PAGE, ("sec-fetch-site", "cross-site")), {"csrf_token": token}, 403),
        ((PAGE, ("sec-fetch-site", "same-site")), {"csrf_token": token}, 403),
        ((("accept", "*/*"), ("x-csrf-token", token)), None, "alice"),
        ((("accept", "*/*"), ("x-csrf-token", "wrong")), None, 403),
        ((("accept", "*/*"), ("x-csrf-token", "wrong"), ("x-csrf", "1")), None, 403),
        ((("accept", "*/*"), ("x-csrf", "1")), None, "alice"),
        ((("accept", "*/*"), ("x-csrf", "1"), ("origin", "https://evil.example")), None, 403),
        ((("accept", "*/*"),), None, 403),
    ]
    for method in ("POST", "PUT", "PATCH", "DELETE", "QUERY"):
        for headers, form, expected in cases:
            found = world.run(browser.login.require, browser.request(method, "/name", *headers, form=form))
            assert getattr(found, "status", None) == expected or getattr(found, "subject", None) == expected
    free = world.run(browser.login.require, browser.request("POST", "/hook", PAGE), csrf=False)
    assert getattr(free, "subject", None) == "alice"


def test_a_token_is_that_of_its_session_and_another_spelling_each_time(world: LoginWorld) -> None:
    """Tokens of a page differ each time it is shown, all are good, and none is good in another session."""
    one, other = logged_in(world), logged_in(world)
    tokens = [one.visit().csrf_token for _ in range(5)]
    assert len(set(tokens)) == 5
    for token in tokens:
        for browser, expected in ((one, None), (other, 403)):
            request = browser.request("POST", "/name", PAGE, form={"csrf_token": token})
            assert getattr(world.run(browser.login.require, request), "status", None) == expected


@pytest.mark.parametrize(
    ("origin", "passes"), [("https://app.example.com", True), ("https://evil.example", False), (None, False)]
)
def test_a_websocket_is_opened_by_pages_of_ours_only(world: LoginWorld, origin: str | None, passes: bool) -> None:
    """Browsers open WebSockets for any page, with cookies, and say for which: that is held against our origin."""
    browser = logged_in(world)
    headers = [] if origin is None else [("origin", origin)]
    request = browser.request("WEBSOCKET", "/live", *headers)
    assert isinstance(request, WebRequest)
    assert hasattr(world.run(browser.login.require, request), "subject") is passes


def test_who_is_logged_in_is_told_to_pages(world: LoginWorld) -> None:
    """/me has claims, age and a token for forms; nobody is 401 with the address of the login."""
    browser = world.browser()
    assert browser.get("/me", ("accept", "*/*")).status == 401
    browser.log_in()
    world.clock.advance(30)
    me = json.loads(browser.get("/me", ("accept", "*/*")).body)
    assert (me["subject"], me["age"], me["logout_url"]) == ("alice", 30, "/logout")
    assert me["claims"]["sub"] == "alice"
    assert browser.post("/logout", {"csrf_token": me["csrf_token"]}).status == 303


# ---- 10. several providers


def two(world: LoginWorld, **options: Any) -> Any:
    """Return a web login with two providers."""
    world.providers["https://other.example"] = other = world.another("https://other.example", subject="al")
    other.more = {"sid": "at-other"}
    clients = {"a": world.client(), "b": world.client(other)}
    return world.process(clients, titles={"a": "Example", "b": "<Other>"}, **options)


def test_users_choose_among_several_providers(world: LoginWorld) -> None:
    """The page to choose needs no script; each provider has a redirect address of its own (RFC 9700 4.4.2)."""
    browser = world.browser(two(world))
    page = browser.get("/login?next=/orders&acr=phr")
    assert page.status == 200
    for part in (b'href="/login?next=%2Forders&amp;provider=a&amp;acr=phr"', b"&lt;Other&gt;</a>", b"<li>"):
        assert part in page.body
    begun = browser.get("/login?next=/orders&provider=b")
    assert parameters(begun.location)["redirect_uri"].endswith("/callback/b")
    assert browser.get(browser.at_provider(begun.location or "")).location == "/orders"
    assert (browser.visit().issuer, browser.visit().provider) == ("https://other.example", "b")
    assert parameters(browser.get("/login?iss=https://other.example&prompt=login").location)["prompt"] == "login"


def test_a_response_for_one_provider_does_not_pass_for_another(world: LoginWorld) -> None:
    """Mix-up: what came to the address of another provider is refused."""
    browser = world.browser(two(world))
    address = browser.start("/login?provider=b").replace("/callback/b", "/callback/a")
    assert browser.get(address).status == 400
    assert browser.visit().status == 303


def test_there_is_one_session_for_all_providers(world: LoginWorld) -> None:
    """Who logs in at another provider is another user: the session before it is over."""
    browser = world.browser(two(world))
    browser.log_in("/login?provider=a")
    assert browser.visit().subject == "alice"
    browser.log_in("/login?provider=b&prompt=login")
    assert browser.visit().subject == "al"
    assert [facts["how"] for facts in world.named("web_logout")] == ["other_user"]


def linking(known: Any, claims: Any) -> Any:
    """Link any two identities."""
    return {"is": [known["sub"], claims["sub"]]}


def begin_link(browser: Browser, **form: str) -> Any:
    """Ask for a second identity at provider b."""
    return browser.post("/login", {"link": "b", "next": "/settings", **form})


def test_accounts_are_linked_with_proof_of_both(world: LoginWorld) -> None:
    """The session proves the first identity, an ID token the second; the id changes, the tokens stay."""
    login = two(world, on_link=linking)
    browser = world.browser(login)
    browser.log_in("/login?provider=a")
    before = browser.cookies["__Host-session"]
    begun = begin_link(browser, csrf_token=browser.visit().csrf_token)
    assert browser.get(browser.at_provider(begun.location)).location == "/settings"
    session = browser.visit()
    assert session.identities == ((world.provider.issuer, "alice"), ("https://other.example", "al"))
    assert (session.subject, session.user) == ("alice", {"is": ["alice", "al"]})
    assert browser.cookies["__Host-session"] != before
    assert world.run(session.token).token_type == "Bearer"
    assert len(world.named("web_identity_linked")) == 1
    assert world.run(login.end_sessions, "https://other.example", "al") >= 1
    assert browser.visit().status == 303


def test_a_link_of_another_site_links_nothing(world: LoginWorld) -> None:
    """Only a form with the token of the session begins it, and only the session that began it gets the identity."""
    browser = world.browser(two(world, on_link=linking))
    assert begin_link(browser).status == 401
    browser.log_in("/login?provider=a")
    assert begin_link(browser).status == 403
    assert begin_link(browser, csrf_token=browser.visit().csrf_token, link="nobody").location == "/settings"
    begun = begin_link(browser, csrf_token=browser.visit().csrf_token)
    address = browser.at_provider(begun.location)
    browser.log_in("/login?provider=a&prompt=login")
    browser.get(address)
    assert len(browser.visit().identities) == 1
    assert "link_session_changed" in reasons(world)


def test_the_application_may_refuse_to_link(world: LoginWorld) -> None:
    """on_link that returns None refuses; without it there is no way to link."""
    browser = world.browser(two(world, on_link=lambda known, claims: None))
    browser.log_in("/login?provider=a")
    begun = begin_link(browser, csrf_token=browser.visit().csrf_token)
    assert browser.get(browser.at_provider(begun.location)).status == 403
    assert len(browser.visit().identities) == 1
    assert world.browser(two(world)).post("/login", {"link": "b"}).status == 405
