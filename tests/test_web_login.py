"""Logging people in, by the rules: each test carries the words of one, in both APIs, on a frozen clock."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

import py_identity_model as p
import py_identity_model.aio
import py_identity_model.sync._driver as sync_driver
from login_world import BASE, KEY, PAGE, Browser, LoginWorld, parameters, set_cookies
from py_identity_model import ConfigurationException, LoginClient, Request, WebAnswer, WebLoginPaths
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.store import check_network
from py_identity_model._core.web_login.logins import MAX_BINDINGS, MAX_SEALED
from py_identity_model.exceptions import StoreException
from py_identity_model.stores import MemoryStore

ISSUER = "https://id.example.com"


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> LoginWorld:
    """A provider, an application and browsers, in each API in turn."""
    return LoginWorld(request.param, clock)


def reasons(world: LoginWorld) -> list[str]:
    """Return why something was refused, in order."""
    return [facts["reason"] for facts in world.named("web_login_refused")]


def test_a_login_leads_to_a_session(world: LoginWorld) -> None:
    """From the protected page to the provider, back, and into a session of the user."""
    browser = world.browser()
    sent = browser.visit("/account")
    assert (sent.status, sent.location) == (303, "/login?next=%2Faccount")
    done = browser.log_in(sent.location)
    assert (done.status, done.location) == (303, "/account")
    session = browser.visit("/account")
    assert (session.issuer, session.subject) == (world.provider.issuer, "alice")
    assert world.run(session.token).token_type == "Bearer"
    assert world.run(session.userinfo).claims["email"] == "alice@example.com"


class Remote(MemoryStore):
    """A store behind a network, which takes no secret that is not sealed."""

    def put(self, topic: str, key: str, value: bytes, lifetime: float, **more: Any) -> bool:
        check_network(topic, value)
        return super().put(topic, key, value, lifetime, **more)

    def add(self, topic: str, key: str, value: bytes, lifetime: float, **more: Any) -> bool:
        check_network(topic, value)
        return super().add(topic, key, value, lifetime, **more)

    def swap(self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, **more: Any) -> bool:
        check_network(topic, value)
        return super().swap(topic, key, expected, value, lifetime, **more)


def test_a_store_behind_a_network_needs_no_other_seal(world: LoginWorld) -> None:
    """Whatever a login keeps is sealed by the login itself, as the store demands; a DPoP key is not, and says so."""
    world.store = Remote(clock=lambda: float(world.clock.wall))
    browser = world.browser()
    browser.log_in()
    session = browser.visit()
    assert world.run(session.token).token_type == "Bearer"
    world.clock.advance(3600)
    assert world.run(browser.visit().token).token_type == "Bearer"
    browser.keep(WebAnswer(200, world.run(browser.login.rotate, browser.visit()).headers))
    assert browser.visit().subject == "alice"
    assert browser.log_out().status == 303
    with pytest.raises(ConfigurationException, match="EncryptedStore") as refused:
        world.browser(world.process(world.client(dpop=True))).get("/login")
    assert refused.value.code == "store_unencrypted"


# ---- 1. state per login, not per browser


@pytest.mark.parametrize("together", [True, False], ids=["begun together", "one after the other"])
def test_twenty_tabs_log_in_at_once(world: LoginWorld, together: bool) -> None:
    """20 tabs that begin a login all succeed, in any order, also where none had a cookie when it began."""
    browser = world.browser()
    begun = [browser.send(browser.request("GET", f"/login?next=/page/{n}", PAGE), keep=not together) for n in range(20)]
    for answer in begun:
        browser.keep(answer)
    returns = [(n, browser.at_provider(answer.location or "")) for n, answer in enumerate(begun)]
    random.Random(7).shuffle(returns)
    for n, address in returns:
        assert browser.get(address).location == f"/page/{n}"
        assert browser.visit(f"/page/{n}").subject == "alice"
    assert reasons(world) == []


def test_the_cookie_that_ties_logins_to_a_browser_is_one_and_stays(world: LoginWorld) -> None:
    """A browser that begins many logins has one cookie for them, which goes away when none can come back any more."""
    browser = world.browser()
    for _ in range(50):
        assert browser.get("/login").status == 303
    assert [name for name in browser.cookies if name.startswith("__Host-login-")] == list(browser.cookies)
    assert len(browser.cookies) == 1
    (cookie,) = set_cookies(browser.get("/login"))
    assert "Max-Age=600;" in cookie


def test_login_cookies_are_bounded(world: LoginWorld) -> None:
    """However many cookies of logins a browser has, what it sends stays small: the surplus is taken away."""
    browser = world.browser()
    for answer in [browser.send(browser.request("GET", "/login", PAGE), keep=False) for _ in range(60)]:
        browser.keep(answer)
    assert len(browser.cookies) == 60
    browser.get("/login")
    assert len(browser.cookies) == MAX_BINDINGS
    assert sum(len(name) + len(value) + 3 for name, value in browser.cookies.items()) < 2000


def test_the_back_button_and_a_reload_of_the_callback_go_on(world: LoginWorld) -> None:
    """Who comes to a callback again and is logged in goes on to where the login had led to."""
    browser = world.browser()
    address = browser.start("/login?next=/orders")
    assert browser.get(address).location == "/orders"
    assert browser.get(address).location == "/orders"
    assert browser.visit().subject == "alice"
    assert world.named("web_session_theft_suspected") == []


def test_a_reload_after_the_session_is_over_leads_to_a_new_login(world: LoginWorld) -> None:
    """The callback of a login that is long over shows a friendly page whose link begins a new one."""
    browser = world.browser()
    address = browser.start("/login?next=/orders")
    browser.get(address)
    browser.cookies = {name: value for name, value in browser.cookies.items() if "login" in name}
    page = browser.get(address)
    assert page.status == 400
    assert b'href="/login?next=%2Forders"' in page.body


@pytest.mark.parametrize(
    "address",
    [
        "/callback",
        "/callback?",
        "/callback?code=a",
        "/callback?state=",
        "/callback?code=a&state=b",
        "/callback?code=a&code=b&state=c",
        "/callback?error=access_denied",
        "/callback?state=%ff%fe&code=a",
        "/callback?response=not.a.jwt",
        "/callback?state=" + "a" * 9000 + "&code=b",
        "/callback?" + "&".join(f"a{n}=b" for n in range(100)),
        "/callback?next=/x#code=a&state=b",
    ],
)
def test_a_bookmarked_callback_shows_a_friendly_page(world: LoginWorld, address: str) -> None:
    """A callback that belongs to no login leads to a new one, and is never an error of the server."""
    page = world.browser().get(address)
    assert page.status == 400
    assert b"Please log in again" in page.body
    assert b'href="/login"' in page.body


def test_a_stale_login_leads_to_a_new_one(world: LoginWorld) -> None:
    """A user who takes too long at the provider comes back to a page that leads to a new login."""
    browser = world.browser()
    address = browser.start()
    world.clock.advance(601)
    assert browser.get(address).status == 400
    assert reasons(world) == ["transaction_unknown"]
    assert browser.log_in().status == 303


def test_a_login_page_that_is_shown_again_goes_on_where_the_user_is_logged_in(world: LoginWorld) -> None:
    """A second tab whose login page is still open needs no second login."""
    browser = world.browser()
    browser.log_in()
    assert browser.get("/login?next=/orders").location == "/orders"


def test_an_attackers_callback_logs_nobody_in(world: LoginWorld) -> None:
    """[O1] Login CSRF: what another browser began is refused, and that browser can still come back."""
    attacker, victim = world.browser(), world.browser()
    address = attacker.start()
    victim.get("/login")
    assert victim.get(address).status == 400
    assert reasons(world) == ["binding_mismatch"]
    assert victim.visit().status == 303
    assert attacker.get(address).status == 303


def test_a_used_login_that_comes_back_to_another_browser_raises_an_alarm(world: LoginWorld) -> None:
    """A callback that was used and is sent by another browser was stolen: an event says so, and nobody is logged in."""
    browser, thief = world.browser(), world.browser()
    address = browser.start()
    browser.get(address)
    page = thief.get(address)
    assert (page.status, len(thief.cookies)) == (400, 0)
    assert [facts["reason"] for facts in world.named("web_session_theft_suspected")] == ["login_replayed"]


def test_of_two_responses_at_once_one_completes_the_login(clock: Any) -> None:
    """Two processes that get the same callback at the same moment: one has the session, the other a friendly page."""
    world = LoginWorld("sync", clock)
    browser = world.browser()
    request = browser.request("GET", browser.start(), PAGE)
    answers: list[WebAnswer] = []
    threads = [threading.Thread(target=lambda: answers.append(world.process().answer(request))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [303] + [400] * 7


def test_a_login_that_a_provider_cannot_begin_says_so(world: LoginWorld) -> None:
    """While the provider is away, its login page says so, and nobody is kept from trying again."""
    world.between = lambda request: Reply(503)
    page = world.browser().get("/login?next=/orders")
    assert (page.status, dict(page.headers)["retry-after"]) == (503, "1")
    assert b'href="/login?next=/orders"' in page.body


def test_a_user_who_says_no_is_told_that_nothing_happened(world: LoginWorld) -> None:
    """The provider's access_denied is a page, not an error; the login is over."""
    browser = world.browser()
    state = parameters(browser.get("/login").location)["state"]
    denied = f"/callback?error=access_denied&state={state}&iss={world.provider.issuer}"
    page = browser.get(denied)
    assert page.status == 403
    assert b"Login was cancelled" in page.body
    assert reasons(world) == ["access_denied"]


def test_a_provider_that_is_away_at_the_end_of_a_login_leaves_a_friendly_page(world: LoginWorld) -> None:
    """A token endpoint that does not answer is told as that, with a link to a new login."""
    browser = world.browser()
    address = browser.start()
    world.between = lambda request: Reply(502)
    assert browser.get(address).status == 503


def test_looking_begins_no_login(world: LoginWorld) -> None:
    """A HEAD request for the login page begins nothing and sets no cookie."""
    answer = world.browser().send(world.browser().request("HEAD", "/login"))
    assert (answer.status, answer.headers) == (200, ())


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT"])
def test_who_only_looks_uses_up_no_login(world: LoginWorld, method: str) -> None:
    """A scanner of links that asks for the callback with another method leaves the login good."""
    browser = world.browser()
    address = browser.start()
    assert browser.send(browser.request(method, address)).status == 405
    assert browser.get(address).location == "/account"


def posting(world: LoginWorld, provider: Any = None) -> LoginClient:
    """Return a client whose provider posts its responses."""
    at = provider or world.provider
    at.metadata["response_modes_supported"] = ["query", "form_post"]
    return LoginClient(
        issuer=at.issuer, client_id=at.client_id, client_secret=at.client_secret, response_mode="form_post"
    )


def posted(browser: Browser, begun: WebAnswer, to: str = "/callback") -> WebAnswer:
    """Log in, and post the response as a page of another site does: with cookies that say SameSite=None only."""
    came = parameters(browser.at_provider(begun.location or ""))
    lax = {name: browser.cookies.pop(name) for name in list(browser.cookies) if "login" not in name}
    answer = browser.send(browser.request("POST", to, PAGE, form=came), keep=False)
    browser.cookies |= lax
    browser.keep(answer)
    return answer


def test_a_form_posted_by_the_provider_completes_a_login(world: LoginWorld) -> None:
    """With form_post the browser posts from another site: the cookie comes along, as it says SameSite=None."""
    login = world.process(posting(world), http_client=lambda request: world.between(request))
    browser = world.browser(login)
    begun = browser.get("/login?next=/orders")
    assert all("SameSite=None" in cookie for cookie in set_cookies(begun))
    assert browser.get("/callback").status == 405
    assert posted(browser, begun).location == "/orders"


def test_a_posted_login_takes_the_place_of_the_session_before(world: LoginWorld) -> None:
    """The form of another site brings no cookie of a session: the one that it replaces ends all the same."""
    login = world.process(posting(world), http_client=lambda request: world.between(request))
    browser, old = world.browser(login), world.browser(login)
    posted(browser, browser.get("/login"))
    old.cookies = dict(browser.cookies)
    assert old.visit().subject == "alice"
    world.clock.advance(60)  # requests that were under way are through
    posted(browser, browser.get("/login?prompt=login"))
    assert browser.visit().subject == "alice"
    world.clock.advance(60)
    assert (old.visit().status, browser.visit().subject) == (303, "alice")


def test_accounts_are_linked_by_a_posted_response(world: LoginWorld) -> None:
    """The second identity joins the session that asked for it, whose cookie the form does not bring."""
    other = world.another("https://other.example")
    world.providers["https://other.example"] = other
    clients = {"a": world.client(), "b": posting(world, other)}
    login = world.process(clients, on_link=lambda known, claims: "linked", http_client=lambda r: world.between(r))
    browser = world.browser(login)
    browser.log_in("/login?provider=a")
    begun = browser.post("/login", {"link": "b", "next": "/settings", "csrf_token": browser.visit().csrf_token})
    assert posted(browser, begun, "/callback/b").location == "/settings"
    assert [issuer for issuer, _ in browser.visit().identities] == [world.provider.issuer, "https://other.example"]


# ---- 2. sessions


def test_the_session_cookie_is_opaque_and_small(world: LoginWorld) -> None:
    """One cookie with 256 random bits: __Host-, HttpOnly, Secure, SameSite=Lax, less than 500 bytes."""
    browser = world.browser()
    (cookie,) = [one for one in set_cookies(browser.log_in()) if "session" in one]
    name, _, rest = cookie.partition("=")
    value, _, attributes = rest.partition("; ")
    assert (name, len(value)) == ("__Host-session", 43)
    assert attributes == "Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Lax"
    assert len(cookie) < 500


def test_a_session_id_that_somebody_planted_is_never_used(world: LoginWorld) -> None:
    """Session fixation: each login makes a new id, whatever the browser brought, and the old one is worth nothing."""
    browser = world.browser()
    browser.cookies["__Host-session"] = planted = "A" * 43
    browser.log_in()
    assert browser.cookies["__Host-session"] != planted
    browser.cookies = {"__Host-session": planted}
    assert browser.visit().status == 303


def test_a_login_ends_the_session_of_another_user(world: LoginWorld) -> None:
    """Who logs in where somebody else is logged in takes nothing over: that session is over, with its tokens."""
    browser = world.browser()
    browser.log_in()
    stolen = dict(browser.cookies)
    world.provider.subject = "bob"
    browser.log_in("/login?prompt=select_account")
    assert browser.visit().subject == "bob"
    browser.cookies = stolen
    assert browser.visit().status == 303
    assert [facts["how"] for facts in world.named("web_logout")] == ["other_user"]


def test_a_new_login_of_the_same_user_leaves_a_moment_to_requests_under_way(world: LoginWorld) -> None:
    """The old id is good for some seconds, for what other tabs have just sent, and then for nothing."""
    browser = world.browser()
    browser.log_in()
    before = dict(browser.cookies)
    browser.log_in("/login?prompt=login")
    assert browser.cookies["__Host-session"] != before["__Host-session"]
    old = world.browser(browser.login)
    old.cookies = before
    assert old.visit().subject == "alice"
    world.clock.advance(10)
    assert old.visit().status == 303


def test_the_id_does_not_change_when_tokens_are_renewed(world: LoginWorld) -> None:
    """Requests with the id go on, however often tokens are renewed: no response sets another."""
    browser = world.browser()
    browser.log_in()
    before = dict(browser.cookies)
    first = world.run(browser.visit().token).access_token
    for _ in range(5):
        world.clock.advance(400)
        session = browser.visit()
        assert (world.run(session.token).access_token == first, session.headers) == (False, ())
    assert browser.cookies == before
    assert len(world.named("web_session_renewed")) == 5


def test_the_id_changes_with_the_rights(world: LoginWorld) -> None:
    """An application that gives a session more rights gives it another id; tokens and claims stay."""
    browser = world.browser()
    browser.log_in()
    before = dict(browser.cookies)
    rotated = world.run(browser.login.rotate, browser.visit())
    browser.keep(WebAnswer(200, rotated.headers))
    assert browser.cookies["__Host-session"] != before["__Host-session"]
    assert world.run(browser.visit().token).token_type == "Bearer"
    browser.cookies = before
    assert browser.visit().status == 303


def test_sessions_end_when_nobody_uses_them_and_in_any_case(world: LoginWorld) -> None:
    """Idle and absolute lifetime count, each by itself."""
    browser = world.browser(world.process(idle_lifetime=600, absolute_lifetime=2000))
    browser.log_in()
    for _ in range(3):
        world.clock.advance(590)
        assert browser.visit().subject == "alice"
    session = browser.visit()
    assert (session.age, session.expires_in) == (1770, 230)
    world.clock.advance(231)
    assert browser.visit().status == 303
    browser.log_in()
    world.clock.advance(600)
    assert browser.visit().status == 303


def test_a_session_ends_also_where_the_store_keeps_it(world: LoginWorld) -> None:
    """The lifetimes are held against the session itself: a store whose clock stands still lets nobody in."""
    world.store = MemoryStore(clock=lambda: 1_800_000_000.0)
    browser = world.browser()
    browser.log_in()
    world.clock.advance(2 * 3600 - 1)
    assert browser.visit().subject == "alice"
    world.clock.advance(2 * 3600)
    assert browser.visit().status == 303


def test_a_session_is_bound_to_issuer_user_and_session_at_the_provider(world: LoginWorld) -> None:
    """The session says of which issuer, user and session there it is, by the validated ID token."""
    browser = world.browser()
    browser.log_in()
    session = browser.visit()
    assert (session.issuer, session.subject, session.sid) == (world.provider.issuer, "alice", "session-at-provider")
    assert session.claims["sub"] == "alice"
    assert "alice" not in repr(session)


def test_what_lies_in_the_store_is_sealed(world: LoginWorld) -> None:
    """Who reads the store finds no session, token, user or state: each is sealed under what only the browser has."""
    browser = world.browser()
    address = browser.start()
    before = _contents(world.store)
    browser.get(address)
    token = world.run(browser.visit().token).access_token
    everything = before + _contents(world.store)
    secrets = [*browser.cookies.values(), token, "alice", parameters(address)["state"], parameters(address)["code"]]
    assert [secret for secret in secrets if secret.encode() in everything] == []


def _contents(store: MemoryStore) -> bytes:
    names = [" ".join(name).encode() for name in store._kept]
    return b"\n".join([*names, *(bytes(kept.value) for kept in store._kept.values())])


def test_sessions_are_listed_and_ended_per_user(world: LoginWorld) -> None:
    """Log out everywhere: that ends all sessions of a user in every process, and nobody else's."""
    processes = [world.process(), world.process()]
    browsers = [world.browser(processes[n % 2]) for n in range(4)]
    for browser in browsers[:3]:
        browser.log_in()
        world.clock.advance(1)
    world.provider.subject = "bob"
    browsers[3].log_in()
    listed = world.run(processes[0].sessions, world.provider.issuer, "alice")
    assert [info.created_at for info in listed] == sorted((info.created_at for info in listed), reverse=True)
    assert browsers[0].visit().handle in [info.handle for info in listed]
    assert world.run(processes[1].end_sessions, world.provider.issuer, "alice") == 3
    assert [getattr(browser.visit(), "status", "bob") for browser in browsers] == [303, 303, 303, "bob"]
    assert world.run(processes[0].sessions, world.provider.issuer, "alice") == []
    world.provider.subject = "alice"
    assert browsers[0].log_in().status == 303
    assert browsers[0].visit().subject == "alice"


def test_a_store_that_is_away_logs_nobody_in_or_out(world: LoginWorld) -> None:
    """While the store cannot answer, a page is 503: the browser keeps its session, and nothing is accepted."""
    browser = world.browser()
    browser.log_in()
    before = dict(browser.cookies)
    world.store.get = _away
    for path in ("/account", "/other"):
        assert browser.visit(path).status == 503
    assert browser.get("/login?next=/account").status == 503
    del world.store.get
    assert browser.cookies == before
    assert browser.visit().subject == "alice"


def _away(*_: Any, **__: Any) -> Any:
    raise StoreException("The store is away", code="store_away")


def test_a_user_has_a_bounded_number_of_sessions(world: LoginWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than that ends the oldest: a list of sessions does not grow for ever."""
    monkeypatch.setattr("py_identity_model._core.web_login.index.MAX_SESSIONS", 3)
    world.provider.more = {}
    login = world.process()
    browsers = [world.browser(login) for _ in range(5)]
    for browser in browsers:
        browser.log_in()
        world.clock.advance(1)
    alive = [getattr(browser.visit(), "subject", None) for browser in browsers]
    assert alive == [None, None, "alice", "alice", "alice"]


# ---- 2. without a store


def test_a_session_in_a_sealed_cookie(world: LoginWorld) -> None:
    """Without a store all of a session is in one cookie; it has no tokens, and nobody else ends it."""
    login = world.process(store=None, encryption_key=KEY)
    browser = world.browser(login)
    assert browser.log_in().location == "/account"
    session = browser.visit()
    assert (session.subject, browser.visit().csrf_token != session.csrf_token) == ("alice", True)
    for refused in (session.token, session.userinfo):
        with pytest.raises(ConfigurationException) as error:
            world.run(refused)
        assert error.value.code == "store_missing"
    with pytest.raises(ConfigurationException):
        world.run(login.end_sessions, session.issuer, session.subject)
    assert "/backchannel-logout" not in login.routes
    assert world.browser(world.process(store=None, encryption_key=bytes(32))).visit().status == 303


def test_a_sealed_session_that_is_used_lasts_longer(world: LoginWorld) -> None:
    """The cookie is set anew while it is used, and is over when it was not used for long."""
    browser = world.browser(world.process(store=None, encryption_key=KEY, idle_lifetime=600))
    browser.log_in()
    for _ in range(3):
        world.clock.advance(500)
        browser.keep(WebAnswer(200, browser.visit().headers))
    world.clock.advance(601)
    assert browser.visit().status == 303


def test_a_session_that_does_not_fit_into_a_cookie_is_refused(world: LoginWorld) -> None:
    """A cookie that browsers would drop is never set, and nothing is cut: the application is told."""
    world.provider.more = {"groups": ["a group with a long name"] * 200}
    browser = world.browser(world.process(store=None, encryption_key=KEY))
    address = browser.start()
    with pytest.raises(ConfigurationException) as error:
        browser.get(address)
    assert error.value.code == "session_too_large"
    fewer = world.browser(world.process(store=None, encryption_key=KEY, claims=["name"]))
    assert fewer.log_in().status == 303
    assert "groups" not in fewer.visit().claims


def test_logins_in_sealed_cookies_are_few_and_the_newest(world: LoginWorld) -> None:
    """Without a store a browser has a few logins under way, all of which fit into a request; older ones give way."""
    browser = world.browser(world.process(store=None, encryption_key=KEY))
    addresses = []
    for n in range(MAX_SEALED + 3):
        addresses.append(browser.start(f"/login?next=/page/{n}"))
        world.clock.advance(1)
    assert sum(len(name) + len(value) + 3 for name, value in browser.cookies.items()) < 7000
    assert [browser.get(address).status for address in addresses[:3]] == [400] * 3
    assert [browser.get(address).location for address in addresses[3:]] == [f"/page/{n}" for n in range(3, 7)]


def test_a_sealed_session_gets_another_secret_with_its_rights(world: LoginWorld) -> None:
    """Tokens for forms of before are good for nothing after that."""
    browser = world.browser(world.process(store=None, encryption_key=KEY))
    browser.log_in()
    before = browser.visit()
    browser.keep(WebAnswer(200, world.run(browser.login.rotate, before).headers))
    request = browser.request("POST", "/name", PAGE, form={"csrf_token": before.csrf_token})
    assert world.run(browser.login.require, request).status == 403


@pytest.mark.parametrize("changed", ["", "AAAA", "!", "A" * 5000])
def test_a_sealed_cookie_that_was_changed_is_no_session(world: LoginWorld, changed: str) -> None:
    """What the application did not seal itself is nobody."""
    browser = world.browser(world.process(store=None, encryption_key=KEY))
    browser.log_in()
    browser.cookies["__Host-session"] = changed or browser.cookies["__Host-session"][:-2]
    assert browser.visit().status == 303


# ---- 3. tokens


def test_fifty_requests_at_expiry_make_one_renewal_and_get_fifty_answers(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[O15] Threads of two processes whose token has expired: one asks the provider, all get the new token."""
    world = LoginWorld("sync", clock)
    processes = [world.process(), world.process()]
    browser = world.browser(processes[0])
    browser.log_in()
    clock.advance(301)
    # Fifty who wait would move the clock past every lease: here time passes for nobody.
    monkeypatch.setattr(sync_driver, "pause", lambda seconds: threading.Event().wait(0.001))
    asked, request = world.provider.count("token"), browser.request("GET", "/account", PAGE)
    tokens: list[str] = []

    def ask(login: Any) -> None:
        tokens.append(login.session(request).token().access_token)

    threads = [threading.Thread(target=ask, args=(processes[n % 2],)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(tokens), len(set(tokens)), world.provider.count("token") - asked) == (50, 1, 1)


def test_tokens_of_one_session_are_not_another_ones(world: LoginWorld) -> None:
    """Two sessions of the same user have tokens of their own: one logout leaves the other as it is."""
    login = world.process()
    one, other = world.browser(login), world.browser(login)
    for browser in (one, other):
        browser.log_in()
    tokens = {world.run(browser.visit().token).access_token for browser in (one, other)}
    assert len(tokens) == 2
    one.log_out()
    world.clock.advance(400)
    assert world.run(other.visit().token).token_type == "Bearer"


# ---- 9. users


def test_the_application_says_who_a_user_is_to_it(world: LoginWorld) -> None:
    """on_login gets the claims, and what it returns is the session's user."""
    seen: list[Any] = []

    def on_login(claims: Any) -> Any:
        seen.append((claims["iss"], claims["sub"]))
        return {"id": 7}

    browser = world.browser(world.process(on_login=on_login))
    browser.log_in()
    assert browser.visit().user == {"id": 7}
    assert seen == [(world.provider.issuer, "alice")]


def test_the_application_may_refuse_a_user(world: LoginWorld) -> None:
    """on_login that returns None refuses: there is no session, and no token is kept."""
    browser = world.browser(world.process(on_login=lambda claims: None))
    page = browser.log_in()
    assert page.status == 403
    assert browser.visit().status == 303
    assert reasons(world) == ["user_refused"]


def test_what_the_application_raises_is_its_own(world: LoginWorld) -> None:
    """An on_login that fails is not taken for a refusal: its error comes out, and nobody is logged in."""

    def on_login(claims: Any) -> Any:
        raise LookupError("no database")

    browser = world.browser(world.process(on_login=on_login))
    address = browser.start()
    with pytest.raises(LookupError):
        browser.get(address)
    assert browser.visit().status == 303


def test_a_user_that_is_no_json_is_a_mistake_of_the_application(world: LoginWorld) -> None:
    """What on_login returns lies in the session, so that it has to be JSON."""
    browser = world.browser(world.process(on_login=lambda claims: object()))
    address = browser.start()
    with pytest.raises(ConfigurationException) as error:
        browser.get(address)
    assert error.value.claim == "on_login"


# ---- 12. events


def test_events_name_nobody_unless_they_are_asked_to(world: LoginWorld) -> None:
    """Login, renewal and logout are told under one name of the session, without personal data by default."""
    browser = world.browser()
    browser.log_in()
    world.clock.advance(400)
    world.run(browser.visit().token)
    browser.log_out()
    told = [event for event in world.events if event.name.startswith("web_")]
    assert [event.name for event in told] == ["web_login", "web_session_renewed", "web_logout"]
    assert len({event.facts["session"] for event in told}) == 1
    assert "alice" not in repr(told)
    named = world.browser(world.process(audit_subjects=True))
    named.log_in()
    assert world.named("web_login")[-1]["subject"] == "alice"


# ---- what cannot be used safely


@pytest.mark.parametrize(
    ("options", "claim"),
    [
        ({"store": None}, "store"),
        ({"encryption_key": KEY}, "encryption_key"),
        ({"base_url": "http://app.example.com"}, "base_url"),
        ({"base_url": "https://app.example.com/?a"}, "base_url"),
        ({"base_url": "https://app.example.com/a//b"}, "base_url"),
        ({"base_url": "app.example.com"}, "base_url"),
        ({"home": "//evil.example"}, "home"),
        ({"idle_lifetime": 0}, "idle_lifetime"),
        ({"idle_lifetime": 100, "absolute_lifetime": 50}, "idle_lifetime"),
        ({"login_lifetime": 0}, "login_lifetime"),
        ({"client": {}}, "client"),
        ({"client": {"a b": LoginClient(issuer=ISSUER, client_id="app")}}, "client"),
        (
            {"client": LoginClient(issuer=ISSUER, client_id="app", response_mode="fragment")},
            "response_mode",
        ),
        (
            {
                "client": LoginClient(
                    issuer="https://id.example.com", client_id="app", redirect_uri="https://x.example/"
                )
            },
            "redirect_uri",
        ),
    ],
)
@pytest.mark.parametrize("door", [p, p.aio], ids=["sync", "aio"])
def test_what_cannot_be_used_safely_is_refused(door: Any, options: dict[str, Any], claim: str) -> None:
    """A web login that would be open, or could not work, is not built."""
    given = {
        "client": LoginClient(issuer=ISSUER, client_id="app"),
        "store": MemoryStore(),
        "base_url": BASE,
        **options,
    }
    with pytest.raises(ConfigurationException) as error:
        door.WebLogin(**given)
    assert error.value.claim == claim


@pytest.mark.parametrize(
    "paths", [{"login": "login"}, {"login": "/a?b"}, {"login": "/callback"}, {"logout": "/a/"}, {"callback": "/"}]
)
def test_routes_are_paths_and_differ(paths: dict[str, str]) -> None:
    """A route that no browser could come to is refused."""
    with pytest.raises(ConfigurationException):
        WebLoginPaths(**paths)


def test_routes_are_where_the_application_says(world: LoginWorld) -> None:
    """Other paths are those of routes and of addresses alike; the old ones are nobody's."""
    paths = WebLoginPaths(login="/in", callback="/callback", logout="/out", me=None)
    browser = world.browser(world.process(paths=paths))
    assert {"/in", "/out"} <= browser.login.routes.keys()
    assert {"/login", "/logout", "/me"} & browser.login.routes.keys() == set()
    assert browser.visit("/account").location == "/in?next=%2Faccount"


def test_a_callback_may_end_in_a_slash(world: LoginWorld) -> None:
    """Providers compare the address that is registered as it is; with several the names follow as always."""
    paths = WebLoginPaths(callback="/oidc/callback/")
    login = world.process(paths=paths)
    assert "/oidc/callback/" in login.routes
    asked = parameters(world.browser(login).get("/login").location)
    assert asked["redirect_uri"] == f"{world.base_url}/oidc/callback/"
    several = world.process({"a": world.client()}, paths=paths)
    assert "/oidc/callback/a" in several.routes


def test_plain_http_is_for_this_machine_unless_it_is_allowed(world: LoginWorld) -> None:
    """An application at http elsewhere is built where that is said, and its cookies say that they are not secure."""
    client = world.client(allow_insecure_http=True)
    with pytest.raises(ConfigurationException):
        world.process(client, base_url="http://app.internal")
    login = world.process(client, base_url="http://app.internal", allow_insecure_http=True)
    answer = world.run(login.answer, world.browser(login).request("GET", "/login", PAGE))
    assert [cookie.startswith("login-") for cookie in set_cookies(answer)] == [True]
    assert "Secure" not in set_cookies(answer)[0]


def test_a_token_of_a_session_is_for_what_it_is_asked_for(world: LoginWorld) -> None:
    """Scope, resource and details of a token reach the provider; an auth object goes to the origins that are named."""
    browser = world.browser()
    browser.log_in()
    session = browser.visit()
    world.run(session.token, scope="orders", resource="https://api.example.com", authorization_details=[{"type": "x"}])
    sent = parameters("?" + world.provider.requests[-1].request.body.decode())
    assert (sent["scope"], sent["resource"]) == ("orders", "https://api.example.com")
    assert "x" in sent["authorization_details"]
    made = [
        session.auth(resource="https://api.example.com"),
        session.auth(resource="https://api.example.org"),
        session.auth(resource="https://api.example.com", scope="orders"),
        session.auth(resource="https://api.example.com", origins=["https://other.example.com"]),
    ]
    assert len({repr(auth) for auth in made}) == 4


def test_a_session_is_found_without_a_demand(world: LoginWorld) -> None:
    """session() says who is logged in, and None for nobody."""
    browser = world.browser()
    assert world.run(browser.login.session, browser.request("GET", "/", PAGE)) is None
    browser.log_in()
    assert world.run(browser.login.session, browser.request("GET", "/", PAGE)).subject == "alice"


def test_other_routes_and_methods_are_refused(world: LoginWorld) -> None:
    """A route answers its own methods, and nothing else is answered."""
    browser: Browser = world.browser()
    assert browser.get("/nowhere").status == 404
    assert browser.post("/login").status == 405
    assert browser.get("/backchannel-logout").status == 405


def test_a_client_of_the_other_api_is_refused(world: LoginWorld, clock: Any) -> None:
    """A WebLogin takes clients of its own API: another one's tokens could not be had."""
    other = LoginWorld("asyncio" if world.kind == "sync" else "sync", clock)
    with pytest.raises(ConfigurationException):
        world.process(other.client())


def test_pages_and_requests_show_no_secret_when_printed(world: LoginWorld) -> None:
    """What a log prints of requests and answers holds no cookie and no code."""
    browser = world.browser()
    answer = browser.log_in()
    request = browser.request("GET", "/callback?code=secret", PAGE)
    assert "secret" not in repr(request) + repr(answer) + repr(browser.visit())
    assert isinstance(Request("GET", "https://x.example/"), Request)
