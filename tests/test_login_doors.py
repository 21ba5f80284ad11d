"""Logins are the same in every framework: one table of cases, sent over HTTP to a real program on a real server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from subprocess import run
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest

import proxy_cases
from doors import EXAMPLES, free_port, running
from login_world import parameters
from py_identity_model.testing import Client, EmbeddedProvider

PROGRAMS = {
    "fastapi_login": "uvicorn --log-level warning --port {port} app:app",
    "flask_login": "waitress --listen=127.0.0.1:{port} app:app",
    "django_login": "gunicorn --workers 2 --threads 4 --bind 127.0.0.1:{port} app:wsgi",
    "django_login-asgi": "uvicorn --log-level warning --port {port} app:asgi",
}
PAGE = {"accept": "text/html"}
FORM = "application/x-www-form-urlencoded"
SECRET = "a secret of this test"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        """Return a header, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def json(self) -> Any:
        """Return its JSON."""
        return json.loads(self.text)

    @property
    def cookies(self) -> list[str]:
        """The cookies that it sets."""
        return [value for key, value in self.headers if key.lower() == "set-cookie"]


class Visitor:
    """A browser, nearly: it keeps cookies, and goes where it is told to go."""

    def __init__(self, base: str) -> None:
        self.base, self.cookies = base, dict[str, str]()

    def send(self, method: str, url: str, body: str | None = None, **headers: str) -> Answer:
        """Send one request to the application, or to the provider."""
        parts = urlsplit(url if url.startswith("http") else self.base + url)
        ours = url.startswith((self.base, "/"))
        sent = {**PAGE, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if ours and self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        link = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            link.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, sent)
            response = link.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read().decode())
        finally:
            link.close()
        self._keep(answer.cookies if ours else [])
        return answer

    def _keep(self, cookies: list[str]) -> None:
        for cookie in cookies:
            name, _, rest = cookie.partition("=")
            value, _, attributes = rest.partition(";")
            if "max-age=0" in attributes.lower():
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def post(self, url: str, form: dict[str, str], **headers: str) -> Answer:
        """Send a form."""
        return self.send("POST", url, urlencode(form), **{"content_type": FORM, **headers})

    def follow(self, url: str) -> Answer:
        """Show a page, wherever that leads."""
        for _ in range(8):
            answer = self.send("GET", url)
            if answer.status not in (302, 303):
                return answer
            url = answer.header("location")
        raise AssertionError(url)

    def back(self, login: str = "/login?next=/account") -> str:
        """Begin a login and return the address that the provider sends the browser back to."""
        begun = self.send("GET", login)
        assert begun.status == 303, begun
        return self.send("GET", begun.header("location")).header("location")

    def log_out(self) -> Answer:
        """Log out by the page that asks."""
        return self.post("/logout", hidden(self.send("GET", "/logout")))


def hidden(page: Answer) -> dict[str, str]:
    """Return the hidden fields of a form."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))


class Program(NamedTuple):
    """A program that runs, and its provider."""

    name: str
    base: str
    provider: EmbeddedProvider
    api: proxy_cases.Upstream
    database: Path

    def visitor(self, *, logged_in: bool = False) -> Visitor:
        """Return a new browser."""
        made = Visitor(self.base)
        if logged_in:
            assert "Account of alice" in made.follow("/account").text
        return made


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Each program in turn, on its server, with a provider that answers over HTTP."""
    folder, port = tmp_path_factory.mktemp("login"), free_port()
    base, provider = f"http://127.0.0.1:{port}", EmbeddedProvider()
    provider.add_client(Client("app", SECRET, (f"{base}/callback",), (f"{base}/logged-out",)))
    where = EXAMPLES / request.param.partition("-")[0]
    with provider.serve(), proxy_cases.upstream() as api:
        told = {
            "API_URL": api.url,
            "OIDC_ISSUER": provider.issuer,
            "OIDC_CLIENT_ID": "app",
            "OIDC_CLIENT_SECRET": SECRET,
            "BASE_URL": base,
            "SESSIONS": str(folder / "sessions.db"),
            "DATABASE": str(folder / "shop.db"),
            "SECRET_KEY": SECRET,
        }
        if "django" in request.param:
            migrate(where, told)
        with running(PROGRAMS[request.param].format(port=port).split(), where, port, ready_at="/", **told):
            yield Program(request.param, base, provider, api, folder / "shop.db")


def migrate(folder: Path, told: dict[str, str]) -> None:
    """Make the tables of Django."""
    import os

    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src"), **told}
    run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=folder, env=environment, check=True, timeout=120)


# ---- the table


def a_login_leads_back_to_the_page(program: Program) -> None:
    """A page becomes a login and comes back; the public page knows the user then, and /me tells programs."""
    visitor = program.visitor()
    assert "Log in" in visitor.send("GET", "/").text
    assert visitor.send("GET", "/account").header("location") == "/login?next=%2Faccount"
    assert visitor.send("HEAD", "/account").status in (303, 405)
    assert "Account of alice" in visitor.follow("/account").text
    assert "Hello alice" in visitor.send("GET", "/").text
    assert '"subject":"alice"' in visitor.send("GET", "/me", accept="*/*").text


def a_program_is_told_where_the_login_is(program: Program) -> None:
    """With 401, as a redirect would lead it elsewhere; so is what was posted."""
    visitor = program.visitor()
    for answer in (visitor.send("GET", "/account", accept="*/*"), visitor.send("GET", "/me", accept="*/*")):
        assert (answer.status, '"login_required"' in answer.text) == (401, True)
    assert visitor.post("/name", {"name": "Ada"}, x_csrf="1", accept="*/*").status in (401, 403)


def cookies_keep_to_the_rules(program: Program) -> None:
    """One opaque cookie under 500 bytes, which no script reads and no other site sends along with a form."""
    visitor = program.visitor()
    done = visitor.send("GET", visitor.back())
    (cookie,) = [each for each in done.cookies if each.startswith("session=")]
    assert re.fullmatch(r"[\w-]{43,}", visitor.cookies["session"])
    assert len(cookie) < 500
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert done.header("cache-control") == "no-store"


def twenty_tabs_log_in_at_once(program: Program) -> None:
    """In any order, and the last one's reload goes on too."""
    visitor = program.visitor()
    tabs = [visitor.back(f"/login?next=/account%3Ftab={tab}") for tab in range(20)]
    for tab in reversed(range(20)):
        assert visitor.send("GET", tabs[tab]).header("location") == f"/account?tab={tab}"
    assert visitor.send("GET", tabs[0]).status == 303
    assert "Account of alice" in visitor.send("GET", "/account").text


def pages_of_a_user_are_not_kept(program: Program) -> None:
    """Nothing shows them to whoever uses the browser next; a page for everybody is the application's own affair."""
    visitor = program.visitor()
    assert visitor.send("GET", "/").header("cache-control") == ""
    visitor = program.visitor(logged_in=True)
    for path in ("/account", "/profile"):
        answer = visitor.send("GET", path)
        assert [value for name, value in answer.headers if name.lower() == "cache-control"] == ["no-store"], path


def a_form_needs_a_token(program: Program) -> None:
    """The page's own form passes; one without the token, or from another site, does not."""
    visitor = program.visitor(logged_in=True)
    token = hidden(visitor.send("GET", "/account"))
    named = visitor.post("/name", {"name": "Ada", **token})
    assert (named.status, "Ada" in named.text) == (200, True)
    assert visitor.post("/name", {"name": "Ada"}).status == 403
    assert visitor.post("/name", {"name": "Ada", **token}, origin="https://evil.example").status == 403
    other = program.visitor(logged_in=True)
    assert other.post("/name", {"name": "Ada", **token}).status == 403


def a_logout_ends_the_session_here_and_there(program: Program) -> None:
    """A link only asks; the form ends it, leads to the provider and back; a copy of the cookie is worth nothing."""
    visitor = program.visitor(logged_in=True)
    stolen = Visitor(program.base)
    stolen.cookies = dict(visitor.cookies)
    assert "<form" in visitor.send("GET", "/logout").text
    assert "Account of alice" in stolen.send("GET", "/account").text
    assert visitor.post("/logout", {}).status == 403
    out = visitor.log_out()
    assert (out.status, out.header("location").startswith(program.provider.issuer)) == (303, True)
    assert visitor.follow(out.header("location")).status == 200
    for each in (visitor, stolen):
        assert each.send("GET", "/account").status == 303
        assert "Log in" in each.send("GET", "/").text


def the_provider_ends_sessions(program: Program) -> None:
    """By a logout token, in every process."""
    visitor = program.visitor(logged_in=True)
    token = program.provider.mint("logout_token", sub="alice", aud="app")
    told = program.visitor().post("/backchannel-logout", {"logout_token": token}, accept="*/*")
    assert told.status == 200, told
    assert [visitor.send("GET", "/account").status for _ in range(6)] == [303] * 6
    assert program.visitor().post("/backchannel-logout", {"logout_token": "x"}, accept="*/*").status == 400


def an_attackers_callback_logs_nobody_in(program: Program) -> None:
    """A response to another browser's login leads to a page that begins anew; the real one still completes."""
    attacker, victim = program.visitor(), program.visitor()
    back = attacker.back()
    refused = victim.send("GET", back)
    assert (refused.status, "session" in victim.cookies, "/login" in refused.text) == (400, False, True)
    assert "Log in" in victim.send("GET", "/").text
    assert "Account of alice" in attacker.follow(back).text


def a_planted_session_is_not_used(program: Program) -> None:
    """Whatever id a browser brings, it has another one after the login."""
    attacker = program.visitor(logged_in=True)
    planted = attacker.cookies["session"]
    attacker.log_out()
    victim = program.visitor()
    victim.cookies["session"] = planted
    assert "Account of alice" in victim.follow("/account").text
    assert victim.cookies["session"] != planted
    assert attacker.send("GET", "/account").status == 303


def a_stronger_login_is_asked_for(program: Program) -> None:
    """A page that demands more sends the browser to a login that asks the provider for it."""
    visitor = program.visitor(logged_in=True)
    login = visitor.send("GET", "/payments").header("location")
    assert parameters(login) == {"next": "/payments", "acr": "phr", "max_age": "300"}
    asked = parameters(visitor.send("GET", login).header("location"))
    assert (asked["acr_values"], asked["max_age"]) == ("phr", "300")


def nobody_is_sent_to_another_site(program: Program) -> None:
    """Wherever a link says that a login leads."""
    for target in (
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "%2F%2Fevil.example",
        "/.//evil.example",
    ):
        visitor = program.visitor()
        assert visitor.send("GET", visitor.back(f"/login?next={target}")).header("location") == "/"


def tokens_of_the_session_are_there(program: Program) -> None:
    """A page that asks the provider about the user does so with the session's token."""
    visitor = program.visitor(logged_in=True)
    assert "alice" in visitor.send("GET", "/profile", accept="*/*").text


def nothing_is_answered_by_a_fault(program: Program) -> None:
    """Whatever is sent to the routes of the login."""
    visitor = program.visitor()
    tries = [
        visitor.send("GET", "/callback"),
        visitor.send("GET", "/callback?state=x&code=y&state=z"),
        visitor.send("GET", "/callback?error=access_denied&state=%00%ff"),
        visitor.send("POST", "/callback", "state=x&code=y", content_type=FORM),
        visitor.send("GET", "/login?next=" + "a" * 4000),
        visitor.send("GET", "/account", cookie="session=; session=%00; =; ;;; x"),
        visitor.send("POST", "/logout", "\xff" * 100, content_type=FORM),
        visitor.send("POST", "/logout", "x=" + "y" * 200_000, content_type=FORM),
        visitor.send("POST", "/backchannel-logout", "{}", content_type="application/json"),
        visitor.send("PUT", "/logout"),
        visitor.send("OPTIONS", "/login"),
        visitor.send("GET", "/frontchannel-logout?iss=x&sid=y"),
        visitor.send("GET", "/logged-out?state=x"),
    ]
    assert [each for each in tries if each.status >= 500] == []
    assert "session" not in visitor.cookies


CASES: list[Callable[[Program], None]] = [
    a_login_leads_back_to_the_page,
    a_program_is_told_where_the_login_is,
    cookies_keep_to_the_rules,
    pages_of_a_user_are_not_kept,
    twenty_tabs_log_in_at_once,
    a_form_needs_a_token,
    a_logout_ends_the_session_here_and_there,
    an_attackers_callback_logs_nobody_in,
    a_planted_session_is_not_used,
    a_stronger_login_is_asked_for,
    nobody_is_sent_to_another_site,
    tokens_of_the_session_are_there,
    nothing_is_answered_by_a_fault,
    *proxy_cases.CASES,
    the_provider_ends_sessions,  # the last one: who logs in at the same moment is logged out as well
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_logins_are_the_same_in_every_framework(case: Callable[[Program], Any], program: Program) -> None:
    """Each case of the table, in each program."""
    case(program)
