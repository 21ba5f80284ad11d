"""Real pages in a real browser: Debian's Chromium, driven by Playwright, that reaches this machine and nothing else."""

from __future__ import annotations

import contextlib
import mimetypes
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.driver import PROVIDER_DIRECTORY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

#: Packages that pages take from elsewhere; here they are answered from what npm installed.
PACKAGES = "https://cdn.jsdelivr.net/npm/"
#: No name is looked up, so that nothing but this machine can be reached, whatever a page names.
ARGUMENTS = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1", "--disable-quic")
SECONDS = 30


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser; while it runs, no other event loop runs in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def visitor(
    browser: Browser, width: int = 1000, height: int = 1000, *, caching: bool = False, **options: Any
) -> Iterator[Page]:
    """Open a page of somebody who has no cookies.

    Args:
        browser: The browser.
        width: Pixels.
        height: Pixels.
        caching: Whether the browser keeps answers, as it does by itself; Playwright keeps none where it has to answer
            for servers elsewhere.
        options: More for the browser.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(SECONDS * 1000)
    if not caching:
        context.route(lambda url: not url.startswith(("http://127.0.0.1:", "http://localhost:")), _answer)
    try:
        yield context.new_page()
    finally:
        context.close()


def _answer(route: Route) -> None:
    """Answer for a server elsewhere, from the package if it is one that is installed."""
    name, _, path = route.request.url.removeprefix(PACKAGES).partition("/")
    file = PROVIDER_DIRECTORY / "node_modules" / name.partition("@")[0] / path
    if route.request.url.startswith(PACKAGES) and file.is_file():
        route.fulfill(body=file.read_bytes(), content_type=mimetypes.guess_type(file.name)[0])
    else:
        route.abort()


def shoot(shown: Page | Locator, file: Path) -> None:
    """Draw a page, or a part of one, as it is now."""
    file.write_bytes(shown.screenshot())  # the browser's own way to a file starts a thread that stays


def log_in(page: Page, account: str = "alice") -> None:
    """Log in and consent at the provider's pages; *page* is about to show the first of them."""
    page.get_by_placeholder("Enter any login").fill(account)
    page.get_by_placeholder("and password").fill("whatever it takes")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
