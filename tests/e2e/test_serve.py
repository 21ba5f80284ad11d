"""The pages of the served provider in a real browser: log in, type a user, play a fault, look at the flow."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from doors import EXAMPLES, free_port, running
from e2e import pages
from py_identity_model.testing._serve.issuer import SiteOptions
from py_identity_model.testing._serve.rules import SettingsFile
from py_identity_model.testing._serve.site import ProviderSite

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (375, 1280)
USERS = """
[[users]]
sub = "ada"
name = "Ada Lovelace"
email = "ada@example.com"
roles = ["admin"]
[[users]]
sub = "grace"
name = "Grace Hopper"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderSite]:
    """A site that listens, with two users."""
    path = tmp_path_factory.mktemp("serve") / "claims.toml"
    path.write_text(USERS)
    made = ProviderSite(options=SiteOptions(algorithms=("ES256",), pages=True, file=SettingsFile(path)))
    with made.serve():
        yield made


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One visitor for the module; each test uses an issuer of its own, and so a session of its own."""
    with pages.visitor(browser, 1280, 900) as opened:
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        yield opened
        assert [text for text in said if "status of 4" not in text] == []  # a broken policy would be told there


def begin(page: Page, site: ProviderSite, issuer: str, **fields: str) -> None:
    """Begin a login with the client of the pages."""
    page.goto(f"{site.issuer}/{issuer}/try")
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " ")).fill(value)
    page.get_by_role("button", name="Log in").click()


def draw(page: Page, name: str, part: str = "main") -> None:
    """Draw a page, or a part of it, at both widths where PICTURES names a folder; none is wider than its window."""
    before = page.viewport_size
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        if folder := os.environ.get("PICTURES"):
            pages.shoot(page.locator(part).first, Path(folder) / f"serve-{name}-{width}.png")
    if before is not None:
        page.set_viewport_size(before)


def test_a_known_user_is_picked(page: Page, site: ProviderSite) -> None:
    """One click logs in; the flow shows every step and the claims of the tokens; the next login needs no click."""
    begin(page, site, "picked")
    draw(page, "login")
    page.get_by_role("button", name="Ada Lovelace").click()
    page.get_by_role("heading", name="The flow, step by step").wait_for()
    shown = page.inner_text("main")
    for step in ("Authorization request", "Login page", "Token request", "UserInfo request"):
        assert step in shown
    assert '"email": "ada@example.com"' in shown
    assert "code_verifier" in shown
    draw(page, "flow")
    draw(page, "token", "section:has-text('Token request')")
    begin(page, site, "picked")
    page.get_by_role("heading", name="The flow, step by step").wait_for()


def test_a_user_is_typed(page: Page, site: ProviderSite) -> None:
    """Claims as JSON; what is wrong with them is said beside the field, and nothing that was typed is lost."""
    begin(page, site, "typed")
    page.get_by_label("Subject").fill("eve")
    claims = page.get_by_label("Claims")
    claims.fill('{"roles": ["auditor"')
    page.get_by_role("button", name="Log in").click()
    assert "line 1" in page.locator("#claims-error").inner_text()
    assert claims.get_attribute("aria-invalid") == "true"
    assert claims.get_attribute("aria-describedby") == "claims-error claims-hint"
    draw(page, "login-error")
    assert page.get_by_label("Subject").input_value() == "eve"
    claims.fill('{"roles": ["auditor"], "name": "Eve <b>"}')
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="The flow, step by step").wait_for()
    assert '"auditor"' in page.inner_text("main")
    assert "Eve <b>" in page.inner_text("main")


def test_the_keyboard_is_enough(page: Page, site: ProviderSite) -> None:
    """Enter in the subject's field logs that subject in, not the first known user."""
    begin(page, site, "keys")
    page.get_by_label("Subject").fill("zoe")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="The flow, step by step").wait_for()
    assert '"sub": "zoe"' in page.inner_text("main")


def test_a_user_refuses(page: Page, site: ProviderSite) -> None:
    """The application is told access_denied."""
    begin(page, site, "refused")
    page.get_by_role("button", name="Refuse").click()
    assert "the user said no" in page.inner_text("main")


def test_consent_is_asked_for_if_wanted(page: Page, site: ProviderSite) -> None:
    """prompt=consent asks somebody who is logged in; prompt=login asks everybody again."""
    begin(page, site, "consent")
    page.get_by_role("button", name="Grace").click()
    page.goto(f"{site.issuer}/consent/try")
    page.get_by_label("Prompt").select_option("consent")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Allow access").wait_for()
    draw(page, "consent")
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("heading", name="The flow, step by step").wait_for()
    page.goto(f"{site.issuer}/consent/try")
    page.get_by_label("Prompt").select_option("login")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Grace").wait_for()


def test_everything_is_a_click_away(page: Page, site: ProviderSite) -> None:
    """A fault, a new key, the clock, the next login: each from the console, each for this issuer only."""
    home = f"{site.issuer}/clicks/"
    page.goto(f"{home}.well-known/openid-configuration")
    page.goto(home)
    page.get_by_label("Fault").select_option("503")
    page.get_by_label("At", exact=True).select_option("jwks")
    page.get_by_label("How often").select_option("")
    page.get_by_role("button", name="Play").click()
    page.get_by_text("503 at jwks, until it is stopped").wait_for()
    draw(page, "console")
    draw(page, "faults", "#faults")
    assert page.request.get(f"{home}jwks").status == 503
    assert page.request.get(f"{site.issuer}/calm/jwks").status == 200
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.get_by_text("None is played.").wait_for()
    assert page.request.get(f"{home}jwks").status == 200
    page.get_by_role("button", name="Rotate", exact=True).click()
    page.get_by_text("es256-2").wait_for()
    page.get_by_role("button", name="A day on").click()
    assert site.named("clicks").clock.offset > 80_000
    page.get_by_role("button", name="Real time").click()
    page.get_by_label("Subject").fill("queued")
    page.get_by_label("Claims").fill("[]")
    page.get_by_role("button", name="Queue").click()
    assert "JSON object" in page.locator("#claims-error").inner_text()
    page.get_by_label("Claims").fill('{"level": 3}')
    page.get_by_role("button", name="Queue").click()
    page.locator("#queue li", has_text="queued").wait_for()
    begin(page, site, "clicks")
    assert '"level": 3' in page.inner_text("main")
    page.goto(home)
    page.get_by_role("button", name="Reset").click()


def test_a_device_is_approved_on_its_page(page: Page, site: ProviderSite) -> None:
    """The page takes the code in any case, and says if there is none."""
    form = {"client_id": "tv", "scope": "openid"}
    begun = page.request.post(f"{site.issuer}/tv/device_authorization", form=form).json()
    page.goto(begun["verification_uri"])
    page.get_by_label("Code").fill("nope")
    page.get_by_role("button", name="Approve").click()
    assert "No device" in page.locator("#user_code-error").inner_text()
    page.goto(begun["verification_uri_complete"])
    draw(page, "device")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("The device is approved.").wait_for()


def test_a_person_logs_out(page: Page, site: ProviderSite) -> None:
    """The page asks first; afterwards the login page asks again who it is."""
    begin(page, site, "bye")
    page.get_by_role("button", name="Ada").click()
    page.get_by_role("heading", name="The flow, step by step").wait_for()
    page.goto(f"{site.issuer}/bye/end_session")
    draw(page, "logout")
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("You are logged out").wait_for()
    begin(page, site, "bye")
    page.get_by_role("button", name="Ada").wait_for()


def test_pages_can_be_read_by_everybody(page: Page, site: ProviderSite) -> None:
    """One main heading, a language, a label for every field, a name for every button; no script, nothing loaded."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin(page, site, "read")
    for path in (page.url, f"{site.issuer}/read/", f"{site.issuer}/read/flow", f"{site.issuer}/read/device"):
        page.goto(path)
        assert page.locator("h1").count() == 1
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.locator("script").count() == 0
        unnamed = "e => e.filter(e => e.type != 'hidden' && !e.labels.length).map(e => e.name)"
        assert page.locator("input, select, textarea").evaluate_all(unnamed) == []
        assert page.locator("button").evaluate_all("e => e.filter(e => !e.innerText.trim()).length") == 0
        sizes = "e => e.map(e => e.getBoundingClientRect().height).filter(height => height < 44)"
        assert page.locator("button").evaluate_all(sizes) == []
    assert [url for url in asked if not re.match(re.escape(site.issuer), url)] == []


def test_another_site_posts_nothing(page: Page, site: ProviderSite) -> None:
    """A form on a page of another origin, aimed at the console, changes nothing."""
    target = f"{site.issuer}/victim/console"
    form = f'<form method="post" action="{target}"><button name="do" value="rotate">Win</button></form>'
    page.route("http://127.0.0.1:9/evil", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://127.0.0.1:9/evil")
    page.get_by_role("button", name="Win").click()
    page.get_by_role("heading", name="Not from here").wait_for()
    assert len(site.named("victim").held_keys()) == 1


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[str]:
    """The program and the provider of examples/compose, run without containers: other ports, and no names."""
    folder, port, app_port = EXAMPLES / "compose", free_port(), free_port()
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    claims = tmp_path / "claims.toml"
    claims.write_text((folder / "claims.toml").read_text().replace("localhost:5000", f"localhost:{app_port}"))
    here = {"0.0.0.0": "127.0.0.1", "8080": str(port), "/app/claims.toml": str(claims), "5000": str(app_port)}
    here["http://localhost:8080"] = f"http://localhost:{port}"
    serve = [here.get(word, word) for word in shlex.split(services["oidc"]["command"])]
    flask = [here.get(word, word) for word in services["app"]["entrypoint"]]
    told = {
        "OIDC_ISSUER": f"http://localhost:{port}",
        "OIDC_BACKCHANNEL": f"http://127.0.0.1:{port}",
        "BASE_URL": f"http://localhost:{app_port}",
    }
    assert told.keys() == services["app"]["environment"].keys()
    with (
        running(["py_identity_model", *serve], folder, port, ready_at="/isalive"),
        running(flask, folder, app_port, ready_at="/", **told),
    ):
        yield told["BASE_URL"]


def test_the_compose_example_logs_people_in(page: Page, compose: str) -> None:
    """A program, our own client, and the provider beside it: login with the claims of the file, and logout."""
    page.goto(compose)
    page.get_by_role("link", name="Log in").click()
    page.get_by_role("button", name="Ada Lovelace").click()
    page.get_by_text("Hello ada, ['admin']").wait_for()
    page.get_by_role("link", name="Log out").click()
    page.get_by_role("button", name="Log out").click()
    page.goto(compose)
    page.get_by_role("link", name="Log in").wait_for()
