"""The Authorize button of FastAPI's docs page, pressed in a browser, and calls made from that page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pytest

from doors import free_port, running
from e2e import driver, pages
from py_identity_model import ClientRegistrationRequest, register_client

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

API = "https://api.example/RS256"


@pytest.fixture(scope="module")
def docs(provider: driver.Provider) -> Iterator[str]:
    """The address of a docs page whose client is registered."""
    port = free_port()
    docs = f"http://127.0.0.1:{port}/docs"
    registration = ClientRegistrationRequest(
        f"{provider.pages_issuer}/reg", [f"{docs}/oauth2-redirect"], token_endpoint_auth_method="none"
    )
    client = register_client(registration)
    client.raise_for_error()
    told = {"OIDC_ISSUER": provider.pages_issuer, "OIDC_AUDIENCE": API, "OIDC_CLIENT_ID": client.client_id}
    command = f"uvicorn --log-level warning --port {port} docs_page:app".split()
    with running(command, driver.PROVIDER_DIRECTORY.parent, port, **told):
        yield docs


def authorize(page: Page, *more: str) -> None:
    """Press Authorize, choose more scopes, log in, and close the dialog."""
    pages.log_in(ask_for_login(page, *more))
    page.locator(".dialog-ux button", has_text="Logout").wait_for()
    page.locator(".dialog-ux .btn-done").click()


def ask_for_login(page: Page, *more: str) -> Page:
    """Press Authorize, choose more scopes, and return the provider's page that opens."""
    page.locator(".auth-wrapper > .authorize").click()
    dialog = page.locator(".dialog-ux")
    for scope in more:
        dialog.locator("label.item", has_text=scope).or_(dialog.locator(f"label[for*='{scope}']")).first.click()
    draw(page, ".modal-ux", "authorize")
    with page.expect_popup() as opened:
        dialog.locator("button", has_text="Authorize").click()
    return opened.value


def call(page: Page, method: str) -> tuple[int, str]:
    """Try the operation of that method out: the status and the answer that the page shows."""
    block = page.locator(f".opblock-{method}")
    execute = block.get_by_role("button", name="Execute")
    if not execute.is_visible():
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
    with page.expect_response("**/orders") as answered:
        execute.click()
    shown = block.locator(".live-responses-table .response")
    shown.locator(".response-col_status", has_text=str(answered.value.status)).wait_for()
    return answered.value.status, shown.inner_text()


def draw(page: Page, element: str, name: str) -> None:
    """Draw a picture of the documentation, where PICTURES names the folder for it."""
    if folder := os.environ.get("PICTURES"):
        pages.shoot(page.locator(element).first, Path(folder) / f"{name}.png")


def test_the_authorize_button_brings_a_token(browser: Browser, docs: str) -> None:
    """Code flow with PKCE from the page: then a call passes, and one that needs another scope is told which."""
    with pages.visitor(browser) as page:
        page.goto(docs)
        assert call(page, "get")[0] == 401
        with page.context.expect_event(
            "request", lambda request: request.method == "POST" and "/token" in request.url
        ) as sent:
            authorize(page)
        form = dict(parse_qsl(sent.value.post_data))
        assert {"code", "code_verifier"} <= form.keys()
        assert "client_secret" not in form
        status, shown = call(page, "get")
        assert (status, '"subject": "alice"' in shown) == (200, True)
        draw(page, ".opblock-get .responses-inner > div", "call")
        status, shown = call(page, "post")
        assert (status, '"error": "insufficient_scope"' in shown, 'scope="api:write"' in shown) == (403, True, True)


def test_a_scope_that_is_chosen_is_granted(browser: Browser, docs: str) -> None:
    """The dialog lists the scopes of the API; with the one that was missing, the other call passes too."""
    with pages.visitor(browser) as page:
        page.goto(docs)
        authorize(page, "api:write")
        assert [call(page, method)[0] for method in ("get", "post")] == [200, 200]


def test_a_person_may_go_back_without_a_token(browser: Browser, docs: str) -> None:
    """Who gives up at the provider's page is told so by the docs page, and calls go on without a token."""
    with pages.visitor(browser) as page:
        page.goto(docs)
        ask_for_login(page).get_by_role("link", name="Cancel").click()
        page.locator(".dialog-ux .errors", has_text="access_denied").wait_for()
        page.locator(".dialog-ux .close-modal").click()
        assert call(page, "get")[0] == 401
