"""The pages that a login shows of its own: for narrow screens, dark ones, screen readers, and browsers without scripts.

``PICTURES=folder`` draws them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e import driver, pages
from parts import leave_out
from py_identity_model._core.web_login import pages as shown
from py_identity_model._core.web_login.pages import Link, Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

LOGIN, FIELDS = "/login?next=%2Faccount", (("csrf_token", "a" * 86),)
CHOICES = (
    Link("Google", LOGIN),
    Link("Example Company", LOGIN),
    Link("Rechtsschutzversicherungsgesellschaft Nord", LOGIN),
)
#: Every page, by the function that makes it.
PAGES: dict[str, Page] = {
    "restart": shown.restart(LOGIN),
    "cancelled": shown.cancelled(LOGIN, "/"),
    "refusal_page": shown.refusal_page(LOGIN, "authentication_context_mismatch" * 3),
    "unavailable": shown.unavailable(LOGIN),
    "chooser": shown.chooser(CHOICES),
    "confirm_logout": shown.confirm_logout("/logout", FIELDS),
    "logout_at_provider": shown.logout_at_provider("/logout", FIELDS),
    "logged_out": shown.logged_out("/", everywhere=False),
    "needs_login": shown.needs_login(LOGIN),
    "silent": shown.silent(known=True),
    "embedded": shown.embedded(LOGIN),
    "forged": shown.forged("/"),
}
SITE = "http://127.0.0.1:9/"
NARROW, PHONE, DESK = 320, 375, 1280
#: What is measured of a page: its width, how high whatever can be pressed is, and how it looks.
MEASURED = """() => ({
    width: document.documentElement.scrollWidth,
    heights: [...document.querySelectorAll('a, button')].map(each => each.getBoundingClientRect().height),
    pressed: [...document.querySelectorAll('a, button')].map(each => getComputedStyle(each).backgroundColor),
    behind: getComputedStyle(document.body).backgroundColor,
    heading: document.querySelectorAll('h1').length, scripts: document.scripts.length,
})"""
REACHED = """() => { const style = getComputedStyle(document.activeElement);
return [document.activeElement.innerText, style.outlineStyle, style.outlineColor,
        getComputedStyle(document.body).backgroundColor]; }"""
FAULTS = "async () => (await axe.run()).violations.map(each => [each.id, each.nodes.map(node => node.html)])"


@pytest.fixture(scope="module")
def axe() -> str:
    """The program that looks for what keeps people out: axe-core."""
    try:
        driver.install()
    except driver.ProviderUnavailableError as reason:
        leave_out("Node provider", str(reason))
    return (driver.PROVIDER_DIRECTORY / "node_modules/axe-core/axe.min.js").read_text()


@contextmanager
def tab(browser: Browser, width: int, **options: Any) -> Iterator[Tab]:
    """Open a tab that is shown each page as it is sent, under its own policy."""
    with pages.visitor(browser, width, 640, **options) as page:
        page.route(f"{SITE}**", lambda route: _send(route, PAGES[route.request.url.removeprefix(SITE)]))
        yield page


def _send(route: Any, page: Page) -> None:
    answer = shown.page_answer(200, page)
    route.fulfill(status=answer.status, headers=dict(answer.headers), body=answer.body)


def test_every_page_is_looked_at() -> None:
    """A page that is new has to be in the table."""
    made = {name for name in shown.__all__ if name[0].islower()} - {"page_answer", "render"}
    assert made == PAGES.keys()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(browser: Browser, axe: str, scheme: str) -> None:
    """No finding of axe-core: language, title, headings, names, order, and contrast by WCAG AA, light and dark."""
    with tab(browser, PHONE, color_scheme=scheme) as page:
        for name in PAGES:
            page.goto(SITE + name)
            page.evaluate(axe)
            assert page.evaluate(FAULTS) == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_into_a_narrow_screen(browser: Browser, scheme: str) -> None:
    """No scrolling aside at 320 pixels, whatever names are; what is pressed is 44 pixels high and stands out."""
    with tab(browser, NARROW, color_scheme=scheme) as page:
        for name in PAGES:
            page.goto(SITE + name)
            found = page.evaluate(MEASURED)
            assert found["width"] <= NARROW, name
            assert min(found["heights"], default=44) >= 44, name
            assert (found["heading"], found["scripts"]) == (1, 0)
            for colour in found["pressed"]:  # WCAG 1.4.11
                assert contrast(colour, found["behind"]) >= 3, (name, colour, found["behind"])


def contrast(one: str, other: str) -> float:
    """Return how much two colours differ in brightness (WCAG 2.2, contrast ratio)."""
    dark, light = sorted(map(_brightness, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _brightness(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_used_by_keyboard(browser: Browser, scheme: str) -> None:
    """The first key reaches what the page is for, and that is seen."""
    with tab(browser, DESK, color_scheme=scheme) as page:
        for name, text in (("confirm_logout", "Log out"), ("chooser", "Google")):
            page.goto(SITE + name)
            page.keyboard.press("Tab")
            reached, style, colour, behind = page.evaluate(REACHED)
            assert (reached, style, contrast(colour, behind) >= 3) == (text, "solid", True)  # WCAG 2.4.7, 1.4.11


def test_pages_are_read_aloud(browser: Browser) -> None:
    """What a screen reader says is all that there is to see."""
    with tab(browser, DESK) as page:
        page.goto(SITE + "chooser")
        read = page.locator("main").aria_snapshot()
        assert '- heading "How do you want to log in?" [level=1]' in read
        assert ['- link "Google"' in read, '- link "Example Company"' in read, "- list" in read] == [True] * 3


if "PICTURES" in os.environ:  # drawn on demand: PICTURES=folder

    def test_pictures(browser: Browser) -> None:
        """Draw each page as on a phone, a desk, and at night."""
        for width, scheme in ((PHONE, "light"), (DESK, "light"), (PHONE, "dark")):
            with tab(browser, width, color_scheme=scheme) as page:
                page.set_viewport_size({"width": width, "height": 420})
                for name in PAGES:
                    page.goto(SITE + name)
                    pages.shoot(page, Path(os.environ["PICTURES"]) / f"{name}-{width}-{scheme}.png")
