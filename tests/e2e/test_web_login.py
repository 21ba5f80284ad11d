"""People log in with a real browser at a real provider, in each framework: one script for all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import pytest

from doors import EXAMPLES, free_port, running
from e2e import driver, pages
from py_identity_model import ClientRegistrationRequest, register_client
from test_login_doors import PROGRAMS, Visitor, migrate
from test_web_redirects import ELSEWHERE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

#: The programs. Whatever is decided in the core is tried in one of them, unless LOGIN_SHOPS=all wants it in each.
SHOPS = ["fastapi_login", "flask_login", "django_login"]
EVERYWHERE = os.environ.get("LOGIN_SHOPS") == "all"
#: Tabs that log in at once, the first two by hand; twenty where it is asked for.
TABS = int(os.environ.get("LOGIN_TABS", "20" if EVERYWHERE else "5"))
#: The provider's page has a form, and no button.
CONFIRM = """() => { const form = document.querySelector('form'), yes = document.createElement('input');
yes.name = 'logout'; yes.value = 'yes'; form.append(yes); form.submit(); }"""

FIFTY = """async () => Promise.all([...Array(50)].map(async () => {
    const answer = await fetch('/profile'); return [answer.status, (await answer.json()).subject]; }))"""
POSTED = """async () => {
    const token = document.querySelector('input[type=hidden]').value;  // ours, or that of Django
    const headers = {'X-CSRF': '1', 'X-CSRFToken': token};
    const answer = await fetch('/payments', {method: 'POST', headers}), told = await answer.json();
    return [answer.status, told.error, told.login_url]; }"""
FRAMED = """() => { const frame = document.createElement('iframe');
frame.src = '/login?prompt=none'; frame.name = 'silent'; document.body.append(frame); }"""


def mostly(program: str) -> pytest.MarkDecorator:
    """Try a scenario in one program, or in all."""
    return pytest.mark.parametrize("shop", SHOPS if EVERYWHERE else [program], indirect=True, scope="module")


class Shop(NamedTuple):
    """A program that runs: where it is, where its provider is, and what that can be told."""

    base: str
    provider: str
    client_id: str
    told: driver.Provider


@pytest.fixture(scope="module", params=SHOPS)
def shop(
    request: pytest.FixtureRequest, provider: driver.Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """Each program in turn, its client registered at the provider."""
    port, folder = free_port(), tmp_path_factory.mktemp("shop")
    base = f"http://127.0.0.1:{port}"
    client = register_client(
        ClientRegistrationRequest(
            f"{provider.pages_issuer}/reg",
            [f"{base}/callback"],
            grant_types=["authorization_code", "refresh_token"],
            extra_metadata={
                "post_logout_redirect_uris": [f"{base}/logged-out"],
                "backchannel_logout_uri": f"{base}/backchannel-logout",
                "backchannel_logout_session_required": True,
                "frontchannel_logout_uri": f"{base}/frontchannel-logout",
            },
        )
    )
    client.raise_for_error()
    told = {
        "OIDC_ISSUER": provider.pages_issuer,
        "OIDC_CLIENT_ID": client.client_id or "",
        "OIDC_CLIENT_SECRET": client.client_secret or "",
        "BASE_URL": base,
        "SESSIONS": str(folder / "sessions.db"),
        "DATABASE": str(folder / "shop.db"),
        "SECRET_KEY": "a secret of this test",
    }
    where = EXAMPLES / request.param
    if request.param.startswith("django"):
        migrate(where, told)
    with running(PROGRAMS[request.param].format(port=port).split(), where, port, ready_at="/", **told):
        yield Shop(base, provider.pages_issuer, client.client_id or "", provider)


def logged_in(page: Page, shop: Shop) -> None:
    """Log in from the home page, with consent, and arrive at the account."""
    page.goto(shop.base)
    page.get_by_role("link", name="Log in").click()
    pages.log_in(page)
    page.get_by_role("heading", name="Account of alice").wait_for()


def finish(page: Page) -> None:
    """Log in at the provider's page, and consent where it asks."""
    page.get_by_placeholder("Enter any login").fill("alice")
    page.get_by_placeholder("and password").fill("whatever it takes")
    page.get_by_role("button", name="Sign-in").click()
    asked, account = page.get_by_role("button", name="Continue"), page.get_by_role("heading", name="Account of alice")
    asked.or_(account).wait_for()
    if asked.is_visible():
        asked.click()
    account.wait_for()


def log_out(page: Page, shop: Shop) -> None:
    """Log out, here and at the provider, and come back."""
    page.goto(f"{shop.base}/logout")
    page.get_by_role("button").click()
    page.wait_for_url(f"{shop.provider}/**")
    page.evaluate(CONFIRM)
    page.wait_for_url(f"{shop.base}/logged-out**")


def framed(page: Page) -> str:
    """Return what a silent login in a frame of this page says."""
    page.evaluate(FRAMED)
    said = page.frame_locator("iframe[name=silent]").get_by_role("heading")
    said.wait_for()
    return said.inner_text()


def session_of(context: BrowserContext, shop: Shop) -> str | None:
    """Return the cookie of the session."""
    return next((c.get("value") for c in context.cookies(shop.base) if c.get("name") == "session"), None)


def another(browser: Browser, shop: Shop, cookie: str) -> BrowserContext:
    """Return another browser that brings this session cookie."""
    context = browser.new_context()
    context.add_cookies([{"name": "session", "value": cookie, "url": shop.base}])
    return context


def test_a_person_logs_in_and_out(browser: Browser, shop: Shop) -> None:
    """Login, consent, callback, a page, its form; a logout in one tab ends the other, and a copy of the cookie."""
    with pages.visitor(browser) as page:
        logged_in(page, shop)
        assert page.url == f"{shop.base}/account"
        (cookie,) = [each for each in page.context.cookies(shop.base) if each.get("name") == "session"]
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Lax")
        assert page.evaluate("document.cookie.includes('session=')") is False
        page.get_by_label("Name").fill("Ada")
        page.get_by_role("button", name="Save").click()
        assert "Ada" in page.inner_text("body")
        tab = page.context.new_page()
        tab.goto(f"{shop.base}/account")
        tab.get_by_role("heading", name="Account of alice").wait_for()
        stolen = session_of(page.context, shop) or ""
        page.goto(f"{shop.base}/account")
        page.get_by_role("link", name="Log out").click()
        page.get_by_role("button").click()
        page.wait_for_url(f"{shop.provider}/**")
        page.evaluate(CONFIRM)
        page.wait_for_url(f"{shop.base}/logged-out**")
        tab.reload()
        tab.get_by_placeholder("Enter any login").wait_for()
        thief = another(browser, shop, stolen)
        other = thief.new_page()
        other.goto(shop.base)
        other.get_by_role("link", name="Log in").wait_for()
        thief.close()


@mostly("fastapi_login")
def test_twenty_tabs_log_in_at_once(browser: Browser, shop: Shop) -> None:
    """All of them arrive where they wanted to go, the last one first."""
    with pages.visitor(browser) as page:
        tabs = [page, *(page.context.new_page() for _ in range(TABS - 1))]
        begun = []
        for number, tab in enumerate(tabs):
            with tab.expect_request(lambda sent: sent.url.startswith(f"{shop.provider}/auth")) as asked:
                tab.goto(f"{shop.base}/account?tab={number}")
            begun.append(asked.value.url)
        for number in reversed(range(TABS)):
            if number > TABS - 3:
                finish(tabs[number])
            else:  # the provider knows who it is by now
                tabs[number].goto(begun[number])
            assert tabs[number].url == f"{shop.base}/account?tab={number}"


@mostly("flask_login")
def test_an_attackers_callback_logs_no_victim_in(browser: Browser, shop: Shop) -> None:
    """A login that somebody else began leads to a page that begins anew; its own browser still completes it."""
    attacker = Visitor(shop.base)
    begun = attacker.send("GET", "/login?next=/account").header("location")
    with pages.visitor(browser) as victim:
        victim.goto(begun)
        with victim.expect_response(
            lambda answer: "/callback" in answer.url and answer.url.startswith(shop.base)
        ) as came:
            pages.log_in(victim)
        assert came.value.status == 400
        assert session_of(victim.context, shop) is None
        victim.goto(shop.base)
        victim.get_by_role("link", name="Log in").wait_for()
    assert "Account of alice" in attacker.follow(came.value.url).text


@mostly("django_login")
def test_a_planted_session_is_never_used(browser: Browser, shop: Shop) -> None:
    """Whatever cookie a browser has, it has another one after its login, and the planted one opens nothing."""
    planted = "A" * 43
    with pages.visitor(browser) as page:
        page.context.add_cookies([{"name": "session", "value": planted, "url": shop.base}])
        logged_in(page, shop)
        assert session_of(page.context, shop) not in (None, planted)
    attacker = Visitor(shop.base)
    attacker.cookies["session"] = planted
    assert attacker.send("GET", "/account").status == 303


def test_fifty_calls_at_expiry_make_one_renewal(browser: Browser, shop: Shop) -> None:
    """Each is answered by the token of the session, which one of them renews."""
    with pages.visitor(browser) as page:
        shop.told.let_tokens_live(shop.client_id, 1)
        logged_in(page, shop)
        shop.told.let_tokens_live(shop.client_id, 3600)
        time.sleep(1)  # the provider's clock is real, and so is that of the program
        before = shop.told.renewals()
        found = page.evaluate(FIFTY)
        after = shop.told.renewals()
        assert found == [[200, "alice"]] * 50
        assert [len(after["times"]) - len(before["times"]), after["refused"] - before["refused"]] == [1, 0]
        assert page.evaluate(FIFTY) == [[200, "alice"]] * 50
        assert len(shop.told.renewals()["times"]) == len(after["times"])


@mostly("django_login")
def test_a_logout_at_the_provider_ends_the_session_here(browser: Browser, shop: Shop) -> None:
    """The provider sends a logout token: the next page of the application asks for a login."""
    with pages.visitor(browser) as page:
        logged_in(page, shop)
        elsewhere = page.context.new_page()
        elsewhere.route("**/frontchannel-logout**", lambda route: route.abort())
        elsewhere.goto(f"{shop.provider}/session/end")
        page.reload()
        page.get_by_role("heading", name="Account of alice").wait_for()
        elsewhere.evaluate(CONFIRM)
        elsewhere.wait_for_url(f"{shop.provider}/session/end/success")
        assert page.evaluate("fetch('/profile').then(answer => answer.status)") == 401
        page.reload()
        page.get_by_placeholder("Enter any login").wait_for()


@mostly("flask_login")
def test_a_frame_of_the_provider_ends_the_session(browser: Browser, shop: Shop) -> None:
    """It is a page of another site, so that its request brings no cookie: issuer and session ID are enough."""
    with pages.visitor(browser) as page:
        logged_in(page, shop)
        elsewhere = page.context.new_page()
        with elsewhere.expect_response("**/frontchannel-logout**") as framed:
            elsewhere.goto(f"{shop.provider}/session/end")
        assert (framed.value.status, "cookie" in framed.value.request.all_headers()) == (200, False)
        assert page.evaluate("fetch('/profile').then(answer => answer.status)") == 401
        elsewhere.evaluate(CONFIRM)
        elsewhere.wait_for_url(f"{shop.provider}/session/end/success")
        page.reload()
        page.get_by_placeholder("Enter any login").wait_for()


@mostly("django_login")
def test_a_stronger_login_leads_back_to_where_it_was_asked_for(browser: Browser, shop: Shop) -> None:
    """The browser goes to the provider and comes back to the page; what was posted is refused, and told where to go."""
    with pages.visitor(browser) as page:
        logged_in(page, shop)
        before = session_of(page.context, shop)
        posted = page.evaluate(POSTED)
        assert posted == [401, "step_up_required", "/login?next=%2Faccount&acr=phr&max_age=300"]
        page.goto(f"{shop.base}/payments?amount=5")
        page.get_by_placeholder("Enter any login").fill("alice")
        page.get_by_placeholder("and password").fill("whatever it takes")
        page.get_by_role("button", name="Sign-in").click()
        page.wait_for_url(f"{shop.base}/payments?amount=5")
        assert '"alice"' in page.inner_text("body")
        assert session_of(page.context, shop) not in (None, before)
        page.goto(f"{shop.base}/account")
        assert page.evaluate(POSTED)[0] == 200


@mostly("fastapi_login")
def test_another_user_does_not_confirm_a_login(browser: Browser, shop: Shop) -> None:
    """Who is logged in here stays who it is: a stronger login of somebody else is refused with a page."""
    with pages.visitor(browser) as page:
        logged_in(page, shop)
        page.context.clear_cookies(domain="localhost")  # the provider knows nobody any more
        page.goto(f"{shop.base}/payments")
        pages.log_in(page, "bob")
        page.get_by_role("heading", name="Login did not work").wait_for()
        page.goto(f"{shop.base}/account")
        page.get_by_role("heading", name="Account of alice").wait_for()


@mostly("flask_login")
def test_old_addresses_lead_on(browser: Browser, shop: Shop) -> None:
    """A callback that is reloaded, reached by the back button or bookmarked, and a login page that is too old."""
    with pages.visitor(browser) as page:
        with page.expect_request(lambda sent: sent.url.startswith(f"{shop.base}/callback")) as back:
            logged_in(page, shop)
        callback = back.value.url
        page.goto(callback)
        page.get_by_role("heading", name="Account of alice").wait_for()
        page.go_back()
        page.go_forward()
        page.get_by_role("heading", name="Account of alice").wait_for()
        log_out(page, shop)
        page.goto(callback)
        page.get_by_role("heading", name="Please log in again").wait_for()
        page.get_by_role("link", name="Log in").click()
        stale = page.url
        finish(page)
        page.goto(stale)
        assert not page.url.startswith(f"{shop.base}/callback")
        page.goto(f"{shop.base}/account")
        page.get_by_role("heading", name="Account of alice").wait_for()


@mostly("django_login")
def test_the_back_button_shows_nothing_after_a_logout(browser: Browser, shop: Shop) -> None:
    """What the browser kept of a page is not shown to whoever uses it next."""
    with pages.visitor(browser, caching=True) as page:
        logged_in(page, shop)
        log_out(page, shop)
        seen = []
        while page.url != "about:blank":
            page.go_back()
            seen.append(page.url)
            assert "Account of alice" not in page.inner_text("body")
        assert f"{shop.base}/account" in seen or f"{shop.base}/" in seen


@mostly("fastapi_login")
def test_nobody_is_sent_elsewhere(browser: Browser, shop: Shop) -> None:
    """Each of the spellings that have led elsewhere leads home, once logged in and by a login."""
    with pages.visitor(browser) as page:
        page.goto(f"{shop.base}/login?next=//evil.example")
        pages.log_in(page)
        page.wait_for_url(f"{shop.base}/")
        for target in ELSEWHERE:
            sent = page.context.request.get(f"{shop.base}/login?next={quote(target, safe='')}", max_redirects=0)
            assert (sent.status, sent.headers["location"]) == (303, "/"), target


@mostly("fastapi_login")
def test_two_browsers_have_a_session_each(browser: Browser, shop: Shop) -> None:
    """A logout in one does not end that of the other."""
    with pages.visitor(browser) as page, pages.visitor(browser) as other:
        logged_in(page, shop)
        logged_in(other, shop)
        assert session_of(page.context, shop) != session_of(other.context, shop)
        log_out(page, shop)
        other.reload()
        other.get_by_role("heading", name="Account of alice").wait_for()


@mostly("flask_login")
def test_a_hidden_frame_tells_who_is_logged_in(browser: Browser, shop: Shop) -> None:
    """A silent login asks nobody anything: it succeeds in a window, and in a frame says that it knows nobody."""
    with pages.visitor(browser) as page:
        page.goto(f"{shop.base}/login?prompt=none&next=/")
        page.get_by_role("link", name="Log in").wait_for()
        logged_in(page, shop)
        page.goto(shop.base)
        assert framed(page) == "Logged in"
        page.context.clear_cookies(name="session")
        page.goto(shop.base)
        assert framed(page) == "Not logged in"  # the provider's cookies are those of another site
        page.goto(f"{shop.base}/login?prompt=none&next=/account")
        page.get_by_role("heading", name="Account of alice").wait_for()


@mostly("django_login")
def test_no_script_is_needed(browser: Browser, shop: Shop) -> None:
    """A browser without scripts logs in, saves a form and logs out."""
    with pages.visitor(browser, java_script_enabled=False) as page:
        logged_in(page, shop)
        page.get_by_label("Name").fill("Ada")
        page.get_by_role("button", name="Save").click()
        assert "Ada" in page.inner_text("body")
        page.goto(f"{shop.base}/logout")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{shop.provider}/**")
        assert session_of(page.context, shop) is None
