"""People log in with a real browser at a real provider, in each framework: one script for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest

from doors import EXAMPLES, free_port, running
from e2e import driver, pages
from py_identity_model import ClientRegistrationRequest, register_client
from test_login_doors import PROGRAMS, Visitor, migrate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

TABS = 5
#: The provider's page has a form, and no button.
CONFIRM = """() => { const form = document.querySelector('form'), yes = document.createElement('input');
yes.name = 'logout'; yes.value = 'yes'; form.append(yes); form.submit(); }"""


class Shop(NamedTuple):
    """A program that runs: where it is, and where its provider is."""

    base: str
    provider: str


@pytest.fixture(scope="module", params=["fastapi_login", "flask_login", "django_login"])
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
            extra_metadata={"post_logout_redirect_uris": [f"{base}/logged-out"]},
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
        yield Shop(base, provider.pages_issuer)


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


def test_several_tabs_log_in_at_once(browser: Browser, shop: Shop) -> None:
    """All of them arrive where they wanted to go, the last one first."""
    with pages.visitor(browser) as page:
        tabs = [page, *(page.context.new_page() for _ in range(TABS - 1))]
        for number, tab in enumerate(tabs):
            tab.goto(f"{shop.base}/account?tab={number}")
        for number, tab in reversed([*enumerate(tabs)]):
            finish(tab)
            assert tab.url == f"{shop.base}/account?tab={number}"


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


def test_fifty_calls_of_a_page_at_once_are_answered(browser: Browser, shop: Shop) -> None:
    """Each by the token of the session."""
    with pages.visitor(browser) as page:
        logged_in(page, shop)
        found = page.evaluate("""async () => Promise.all([...Array(50)].map(async () => {
            const answer = await fetch('/profile'); return [answer.status, (await answer.json()).subject]; }))""")
        assert found == [[200, "alice"]] * 50
