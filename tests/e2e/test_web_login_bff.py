"""The single-page application of ``examples/bff`` in a real browser: it has no token, and calls an API all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from doors import EXAMPLES, free_port, running
from e2e import driver, pages
from e2e.test_web_login import CONFIRM, EVERYWHERE
from py_identity_model import ClientRegistrationRequest, register_client

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESOURCE = "https://orders.example"
HERE = driver.PROVIDER_DIRECTORY.parent
#: What the page's script would do for more than one request: 30 at once, an upload, events, a socket.
ASKED = """async ([method, path, more]) => {
    const answer = await fetch(path, {method, headers: {'X-CSRF': '1'}, ...more});
    return [answer.status, await answer.json().catch(() => null)]; }"""
TOGETHER = """async () => Promise.all([...Array(30)].map(async () => {
    const answer = await fetch('/api/orders', {headers: {'X-CSRF': '1'}});
    return [answer.status, (await answer.json()).subject]; }))"""
EVENTS = """async () => {
    const leave = new AbortController(), options = {headers: {'X-CSRF': '1'}, signal: leave.signal};
    const answer = await fetch('/api/events', options), reader = answer.body.getReader(), seen = [];
    const text = new TextDecoder();
    while (seen.join('').split('\\n\\n').length < 4) seen.push(text.decode((await reader.read()).value));
    leave.abort();
    return [answer.headers.get('content-type'), seen.join('').split('\\n\\n').slice(0, 3), seen.length]; }"""
SOCKET = """async (path) => new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}${path}`), said = [];
    socket.onopen = () => socket.send('one');
    socket.onmessage = ({data}) => { said.push(data); said.length < 2 ? socket.send('two') : socket.close(1000); };
    socket.onerror = () => said.push('error');
    socket.onclose = ({code}) => resolve([said, code]); })"""


class Bff(NamedTuple):
    """The page that is served, its provider, and the client there."""

    base: str
    provider: driver.Provider
    client_id: str


SERVE = "uvicorn --log-level warning --port {} {}:app"
#: The same page where the proxy is a blocking one.
BLOCKING = "waitress --threads=12 --channel-timeout=60 --listen=127.0.0.1:{} {}:app"


@contextmanager
def served(provider: driver.Provider, command: str, program: str, directory: Path, sessions: Path) -> Iterator[Bff]:
    """Serve the page by a program, and its API, on a server each."""
    port, api, issuer = free_port(), free_port(), provider.pages_issuer
    base = f"http://127.0.0.1:{port}"
    client = register_client(
        ClientRegistrationRequest(
            f"{issuer}/reg",
            [f"{base}/callback"],
            grant_types=["authorization_code", "refresh_token"],
            extra_metadata={"post_logout_redirect_uris": [f"{base}/logged-out"]},
        )
    )
    client.raise_for_error()
    told = {
        "OIDC_ISSUER": issuer,
        "OIDC_AUDIENCE": RESOURCE,
        "OIDC_CLIENT_ID": client.client_id or "",
        "OIDC_CLIENT_SECRET": client.client_secret or "",
        "BASE_URL": base,
        "API_URL": f"http://127.0.0.1:{api}",
        "API_RESOURCE": RESOURCE,
        "SESSIONS": str(sessions / "sessions.db"),
    }
    with (
        running(SERVE.format(api, "orders_api").split(), HERE, api, **told),
        running(command.format(port, program).split(), directory, port, ready_at="/", **told),
    ):
        yield Bff(base, provider, client.client_id or "")


@pytest.fixture(scope="module")
def bff(provider: driver.Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bff]:
    """The example and its API, on a server each."""
    with served(provider, SERVE, "app", EXAMPLES / "bff", tmp_path_factory.mktemp("bff")) as made:
        yield made


def logged_in(page: Page, bff: Bff) -> None:
    """Log in from the page."""
    page.goto(bff.base)
    page.get_by_text("Nobody is logged in").wait_for()
    page.get_by_role("link", name="Log in").click()
    pages.log_in(page)
    page.get_by_text("Hello alice").or_(page.get_by_text("Hello Alice")).wait_for()


def asked(page: Page, method: str, path: str, **more: Any) -> Any:
    """Have the page send a request; return the status and what came."""
    return page.evaluate(ASKED, [method, path, more])


def test_a_person_uses_the_page(browser: Browser, bff: Bff) -> None:
    """Log in, ask the API through the page's own origin, log out: no token ever comes to the browser."""
    with pages.visitor(browser) as page:
        seen: list[str] = []
        page.on("response", lambda answer: seen.append(str(answer.headers)) if bff.base in answer.url else None)
        logged_in(page, bff)
        page.get_by_role("button", name="Ask").click()
        page.locator("#answer", has_text='"subject": "alice"').wait_for()
        assert '"cookie": null' in page.inner_text("#answer")
        status, me = asked(page, "GET", "/me")
        assert (status, me["subject"]) == (200, "alice")
        assert "token" not in str({name for name in me if name != "csrf_token"})
        assert asked(page, "POST", "/api/orders", body="x" * 200_000) == [200, {"subject": "alice", "length": 200_000}]
        assert "authorization" not in "".join(seen).lower()
        assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{bff.provider.pages_issuer}/**")
        page.evaluate(CONFIRM)
        page.wait_for_url(f"{bff.base}/logged-out**")
        page.goto(bff.base)
        page.get_by_text("Nobody is logged in").wait_for()
        assert asked(page, "GET", "/api/orders")[0] == 401


def test_the_page_streams(browser: Browser, bff: Bff) -> None:
    """Events come one by one, and a WebSocket talks both ways; one that another site opens does not."""
    with pages.visitor(browser) as page:
        logged_in(page, bff)
        kind, events, pieces = page.evaluate(EVENTS)
        assert kind.startswith("text/event-stream")
        assert events == [f"data: alice {number}" for number in range(3)]
        assert pieces > 1
        assert page.evaluate(SOCKET, "/api/ws") == [["alice: one", "alice: two"], 1000]
        elsewhere = page.context.new_page()
        elsewhere.goto(f"{bff.provider.pages_issuer}/.well-known/openid-configuration")
        foreign = elsewhere.evaluate(SOCKET.replace("${location.host}", bff.base.removeprefix("http://")), "/api/ws")
        assert foreign == [["error"], 1006]


def test_tokens_expire_while_the_page_is_used(browser: Browser, bff: Bff) -> None:
    """Thirty calls at expiry make one renewal, and the page sees nothing of it."""
    with pages.visitor(browser) as page:
        bff.provider.let_tokens_live(bff.client_id, 1)
        logged_in(page, bff)
        assert asked(page, "GET", "/api/orders")[0] == 200
        bff.provider.let_tokens_live(bff.client_id, 3600)
        time.sleep(1)  # the clocks of the programs are real
        before = len(bff.provider.renewals()["times"])
        assert page.evaluate(TOGETHER) == [[200, "alice"]] * 30
        assert len(bff.provider.renewals()["times"]) - before == 1


def test_the_page_is_told_where_to_log_in(browser: Browser, bff: Bff) -> None:
    """A session that ended, and an API that wants a stronger login, are 401 with the address of the login."""
    with pages.visitor(browser) as page:
        logged_in(page, bff)
        assert asked(page, "GET", "/api/payments")[1]["login_url"].startswith("/login?acr=phr")
        page.get_by_label("What to ask the API for").fill("payments")
        page.get_by_role("button", name="Ask").click()
        page.get_by_placeholder("Enter any login").fill("alice")
        page.get_by_placeholder("and password").fill("whatever it takes")
        page.get_by_role("button", name="Sign-in").click()
        page.get_by_text("Hello").wait_for()
        assert asked(page, "GET", "/api/payments") == [200, {"subject": "alice"}]
        page.context.clear_cookies(name="session")
        status, told = asked(page, "GET", "/api/orders")
        assert (status, told["error"], told["login_url"]) == (401, "login_required", "/login")
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("Hello").wait_for()  # the provider still knows who it is


#: Both go through one blocking proxy: one of them always, the other with LOGIN_SHOPS=all.
PROGRAMS = ["bff_flask", "bff_django"] if EVERYWHERE else ["bff_flask"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_proxies_of_blocking_frameworks(
    browser: Browser, provider: driver.Provider, program: str, tmp_path: Path
) -> None:
    """The same page by Flask and by Django: calls through the proxy, events, one silent renewal, and the logout."""
    with served(provider, BLOCKING, program, HERE, tmp_path) as shop, pages.visitor(browser) as page:
        shop.provider.let_tokens_live(shop.client_id, 1)
        logged_in(page, shop)
        page.get_by_role("button", name="Ask").click()
        page.locator("#answer", has_text='"subject": "alice"').wait_for()
        assert '"cookie": null' in page.inner_text("#answer")
        shop.provider.let_tokens_live(shop.client_id, 3600)
        time.sleep(1)  # the clocks of the programs are real
        before = len(shop.provider.renewals()["times"])
        assert page.evaluate(TOGETHER) == [[200, "alice"]] * 30
        assert len(shop.provider.renewals()["times"]) - before == 1
        assert asked(page, "POST", "/api/orders", body="x" * 200_000) == [200, {"subject": "alice", "length": 200_000}]
        kind, events, _ = page.evaluate(EVENTS)
        assert kind.startswith("text/event-stream")
        assert events == [f"data: alice {number}" for number in range(3)]
        assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{provider.pages_issuer}/**")
        page.evaluate(CONFIRM)
        page.wait_for_url(f"{shop.base}/logged-out**")
        page.goto(shop.base)
        page.get_by_text("Nobody is logged in").wait_for()
        status, told = asked(page, "GET", "/api/orders")
        assert (status, told["error"], told["login_url"]) == (401, "login_required", "/login")
