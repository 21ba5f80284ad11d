"""A provider that posts its responses, over https in a real browser: its form brings no cookie of the session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from doors import free_port
from e2e import driver, pages
from e2e.test_web_login_device import application, cookies, served
from py_identity_model import ClientRegistrationRequest, LoginClient, register_client
from py_identity_model._core.web_login.stored_sessions import GRACE
from py_identity_model.aio import WebLogin
from py_identity_model.stores import MemoryStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LEFT = "async () => { const me = await fetch('/me'); return me.ok ? (await me.json()).expires_in : 0; }"


@pytest.fixture(scope="module")
def site(provider: driver.Provider) -> Iterator[str]:
    """An application over https, at a provider that posts."""
    port = free_port()
    base = f"https://127.0.0.1:{port}"
    registered = register_client(ClientRegistrationRequest(f"{provider.pages_issuer}/reg", [f"{base}/callback"]))
    registered.raise_for_error()
    client = LoginClient(
        issuer=provider.pages_issuer,
        client_id=registered.client_id or "",
        client_secret=registered.client_secret,
        response_mode="form_post",
    )
    login = WebLogin(client, store=MemoryStore(), base_url=base)
    with served(application(login), port, provider.certificates.server):
        yield base


def test_a_posted_response_logs_in_and_ends_the_session_before(browser: Browser, site: str) -> None:
    """The first login arrives; after a second one the cookie of the first session is good for a moment only."""
    with pages.visitor(browser, ignore_https_errors=True, caching=True) as page:
        page.goto(f"{site}/account")
        pages.log_in(page)
        page.get_by_role("heading", name="Account of alice").wait_for()
        before = cookies(page, "__Host-session")
        page.goto(f"{site}/login?prompt=login&next=/account")
        page.get_by_placeholder("Enter any login").fill("alice")
        page.get_by_placeholder("and password").fill("whatever it takes")
        with page.expect_request(f"{site}/callback") as posted:
            page.get_by_role("button", name="Sign-in").click()
        page.get_by_role("heading", name="Account of alice").wait_for()
        brought = posted.value.all_headers()
        assert (posted.value.method, "__Host-login-" in brought["cookie"]) == ("POST", True)
        assert "__Host-session" not in brought["cookie"]
        after = cookies(page, "__Host-session")
        assert before[0]["value"] != after[0]["value"]
        page.context.add_cookies(before)
        assert page.evaluate(LEFT) <= GRACE  # for requests that were under way
