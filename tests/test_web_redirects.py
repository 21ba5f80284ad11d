"""Where a login sends browsers: to paths of its own origin, by parsing, and back to an address of configuration."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest

from login_world import BASE, PAGE, LoginWorld, parameters
from py_identity_model import WebRequest
from py_identity_model._core.web_login.site import local_path

#: Spellings by which others have been made to send users elsewhere.
ELSEWHERE = [
    *("//evil.example", "///evil.example", "////evil.example", "//evil.example/", "//evil.example/%2f.."),
    *("/\\evil.example", "\\/evil.example", "\\\\evil.example", "/\\/evil.example", "\\evil.example"),
    *(
        "https://evil.example",
        "http://evil.example",
        "HTTPS://EVIL.EXAMPLE",
        "https:evil.example",
        "https:/evil.example",
    ),
    *("https:///evil.example", "http:\\\\evil.example", "ftp://evil.example", "//evil.example:443/", "//[::1]/"),
    *("javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd"),
    *("java\tscript:alert(1)", "/\tevil", "\t//evil.example", " //evil.example", "//evil.example ", "/ /evil.example"),
    *("/\n/evil.example", "/\r/evil.example", "/a\r\nSet-Cookie: a=b", "/a%0d%0aSet-Cookie:a=b", "\x00//evil.example"),
    *("/%2f/evil.example", "/%2fevil.example", "/%2F%2Fevil.example", "/%5cevil.example", "/%255cevil.example"),
    *("/%252fevil.example", "%2f%2fevil.example", "/..//evil.example", "/.//evil.example", "/a/..//evil.example"),
    *("/%2e%2e//evil.example", "/a/%2e%2e/%2fevil.example", "/..;//evil.example", "/../evil", "/./evil"),
    *("https://app.example.com@evil.example", "https://app.example.com.evil.example", "//app.example.com@evil.example"),
    *(
        "//evil%E3%80%82example",
        "//evil\u3002example",
        "/\uff0fevil.example",
        "\uff0f\uff0fevil.example",
        "/\u2028/evil",
    ),
    *("evil.example", "@evil.example", ".evil.example", "?next=//evil.example", "#//evil.example", "", "a" * 10),
    *("/" + "a" * 3000, "/caf\u00e9", "//", "/\\", "/.", "/..", "///", "//?", "/%00", "/%0a/evil.example"),
]
#: Paths of an application as they are.
HERE = [
    *("/", "/orders", "/orders/", "/orders?page=2", "/orders?next=//evil.example", "/orders?u=https://evil.example/a"),
    *("/a/b/c.html#part", "/caf%C3%A9", "/@me", "/a:b", "/search?q=a%20b", "/a;b=c", "/~ada", "/a?x=/../y", "/..a/b"),
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_login_never_leads_elsewhere(target: str) -> None:
    """[O5] Whatever could be read as another origin, by a browser or whatever decodes it again, is no destination."""
    assert local_path(target) is None


@pytest.mark.parametrize("target", HERE)
def test_a_login_leads_to_paths_of_its_own(target: str) -> None:
    """A path of the application is kept as it is, whatever its query says."""
    assert local_path(target) == target
    assert urlsplit(urljoin("https://app.example.com", target)).netloc == "app.example.com"


def test_the_corpus_has_sixty_spellings() -> None:
    """A corpus that shrinks would pass as well."""
    assert len(set(ELSEWHERE)) >= 60


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> LoginWorld:
    """A provider, an application and browsers, in each API in turn."""
    return LoginWorld(request.param, clock)


def test_a_login_with_a_bad_destination_leads_home(clock: Any) -> None:
    """After the login the user is at home, at every point at which a destination can be given."""
    world = LoginWorld("sync", clock)
    login = world.process()
    for target in ELSEWHERE:
        browser = world.browser(login)
        address = f"/login?next={quote(target, safe='')}"
        assert browser.log_in(address).location == "/"
        assert browser.get(address).location == "/"


@pytest.mark.parametrize("target", ["/login", "/login?next=/login", "/callback?code=a", "/logout", "/callback#x"])
def test_a_login_does_not_lead_to_itself(world: LoginWorld, target: str) -> None:
    """A destination among the login's own routes would go round in circles: the user comes home."""
    assert world.browser().log_in(f"/login?next={quote(target, safe='')}").location == "/"


def test_the_redirect_uri_is_never_that_of_the_host_header(world: LoginWorld) -> None:
    """[O6] What a request says of its host, or a proxy of another, changes neither redirect_uri nor any address."""
    browser = world.browser()
    lies = (("host", "evil.example"), ("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example"))
    begun = browser.get("/login?next=/account", PAGE, *lies)
    assert parameters(begun.location)["redirect_uri"] == f"{BASE}/callback"
    assert "evil" not in repr(begun.headers)
    found = browser.visit("/account", PAGE, *lies)
    assert found.location == "/login?next=%2Faccount"


def test_a_mounted_application_has_public_addresses(clock: Any) -> None:
    """Below a path, and behind a proxy that takes it away, addresses are those that browsers see."""
    world = LoginWorld("sync", clock, f"{BASE}/shop/en")
    browser = world.browser()
    found = (
        browser.visit("/shop/en/account")
        if False
        else browser.login.require(WebRequest("GET", "/account", "a=b", (PAGE,)))
    )
    assert found.location == "/shop/en/login?next=%2Fshop%2Fen%2Faccount%3Fa%3Db"
    begun = browser.login.answer(WebRequest("GET", "/login", "next=/shop/en/account", (PAGE,)))
    assert parameters(begun.location)["redirect_uri"] == f"{BASE}/shop/en/callback"
    browser.keep(begun)
    assert all("-shop-en" in name for name in browser.cookies)
    assert browser.login.answer(WebRequest("GET", "/login", "next=/shop/en/login")).status == 303


def test_a_page_with_unusual_characters_is_come_back_to(world: LoginWorld) -> None:
    """The path that a framework decoded is spelled anew, so that the browser comes back to the same page."""
    found = world.run(world.process().require, WebRequest("GET", "/caf\u00e9/a b%", "q=%C3%A9", (PAGE,)))
    assert parameters(found.location)["next"] == "/caf%C3%A9/a%20b%25?q=%C3%A9"
