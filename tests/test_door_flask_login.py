"""The door of Flask to a web login, in process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, render_template_string, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse

import py_identity_model.aio as awaitable
from login_world import BASE, KEY, PAGE, LoginWorld
from py_identity_model import ConfigurationException, Request
from py_identity_model.integrations._web_login import LoginRefused
from py_identity_model.integrations.flask_login import FlaskLogin, current_session
from py_identity_model.stores import MemoryStore

HEADERS = dict([PAGE])


@pytest.fixture
def world(clock: Any) -> LoginWorld:
    """A provider and an application."""
    return LoginWorld("sync", clock)


def flask_app(login: Any) -> Flask:
    """Return an application that greets who is logged in."""
    app, door = Flask(__name__), FlaskLogin(login)
    door.init_app(app)
    fresh = Blueprint("fresh", __name__, url_prefix="/fresh")
    fresh.before_request(door.require(max_age=300)(lambda: None))

    @app.get("/account")
    @door.require()
    def account() -> dict[str, str]:
        return {"subject": current_session.subject, "csrf": current_session.csrf_token}

    @app.post("/name")
    @door.require()
    def name() -> dict[str, str]:
        return {"subject": current_session.subject, "name": request.form.get("name", "")}

    @app.get("/maybe")
    def perhaps() -> str:
        return render_template_string("{{ current_session.subject if current_session else 'nobody' }}")

    @fresh.get("/payments")
    def payments() -> dict[str, str]:
        return {"subject": current_session.subject}

    app.register_blueprint(fresh)
    return app


def browser_of(app: Any) -> Client:
    """Return a browser, nearly: it keeps cookies, and follows no redirect by itself."""
    return Client(app, Response)


def get(browser: Client, path: str, **headers: str) -> TestResponse:
    """Show a page."""
    return browser.get(path, base_url=BASE, headers={**HEADERS, **headers})


def post(browser: Client, path: str, data: Any, **headers: str) -> TestResponse:
    """Send a form."""
    return browser.post(path, base_url=BASE, data=data, headers={**HEADERS, **headers})


def log_in(browser: Client, world: LoginWorld, path: str) -> TestResponse:
    """Follow the redirects from a page to the provider and back to it."""
    response = get(browser, path)
    while response.status_code == 303:
        to = response.headers["location"]
        if to.startswith(world.provider.issuer):
            to = world.between(Request("GET", to)).header("location") or ""
        response = get(browser, to.removeprefix(BASE))
    return response


def test_a_login_in_flask(world: LoginWorld) -> None:
    """The snippet of the documentation: routes, a session for a view, a form with its token, a logout."""
    browser = browser_of(flask_app(world.process()))
    assert get(browser, "/maybe").text == "nobody"
    program = get(browser, "/account", accept="*/*")
    assert (program.status_code, program.json["error"]) == (401, "login_required")
    account = log_in(browser, world, "/account").json
    assert account["subject"] == "alice"
    assert get(browser, "/maybe").text == "alice"
    out = post(browser, "/logout", {"csrf_token": account["csrf"]})
    assert out.headers["location"].startswith(world.provider.issuer)
    assert (get(browser, "/account").status_code, get(browser, "/maybe").text) == (303, "nobody")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_shows_its_token_and_the_view_still_reads_it(world: LoginWorld, kind: str) -> None:
    """In either encoding, or in a header; without the token, and in another site's name, it is refused."""
    browser = browser_of(flask_app(world.process()))
    token = log_in(browser, world, "/account").json["csrf"]
    kinds = {"content-type": kind}
    assert post(browser, "/name", {"name": "Ada"}, **kinds).status_code == 403
    named = post(browser, "/name", {"name": "Ada", "csrf_token": token}, **kinds)
    assert named.json == {"subject": "alice", "name": "Ada"}
    assert post(browser, "/name", {"name": "Ada"}, **kinds, **{"x-csrf": "1"}).json == named.json
    foreign = post(browser, "/name", {"name": "Ada", "csrf_token": token}, **kinds, origin="https://evil.example")
    assert foreign.status_code == 403


def test_a_view_that_says_how_it_is_kept_is_kept_so(world: LoginWorld) -> None:
    """A page of a user is kept nowhere, unless its view decides otherwise."""
    door = FlaskLogin(world.process())
    app = flask_app(door.login)
    app.add_url_rule("/picture", view_func=door.require()(lambda: ("png", {"cache-control": "private, max-age=60"})))
    browser = browser_of(app)
    assert log_in(browser, world, "/picture").headers.getlist("cache-control") == ["private, max-age=60"]
    assert get(browser, "/account").headers.getlist("cache-control") == ["no-store"]


def test_step_up_in_flask(world: LoginWorld) -> None:
    """A page that demands a fresh login sends the browser there and back."""
    browser = browser_of(flask_app(world.process()))
    log_in(browser, world, "/account")
    world.clock.advance(1000)
    assert get(browser, "/fresh/payments").status_code == 303
    assert log_in(browser, world, "/fresh/payments").json == {"subject": "alice"}


def test_a_login_in_a_mounted_flask_application(clock: Any) -> None:
    """Below a mount point the paths of the login are those of the application, and the addresses public ones."""
    world = LoginWorld("sync", clock, f"{BASE}/shop")
    browser = browser_of(DispatcherMiddleware(Flask("root"), {"/shop": flask_app(world.process())}))
    assert get(browser, "/shop/account").headers["location"] == "/shop/login?next=%2Fshop%2Faccount"
    assert log_in(browser, world, "/shop/account").json["subject"] == "alice"


def test_a_session_in_a_cookie_lasts_longer_with_each_view(world: LoginWorld) -> None:
    """The headers of the session leave with whatever the view returns."""
    browser = browser_of(flask_app(world.process(store=None, encryption_key=KEY, idle_lifetime=1000)))
    log_in(browser, world, "/account")
    for path in ("/account", "/maybe"):
        world.clock.advance(600)
        assert get(browser, path).headers["set-cookie"].startswith("__Host-session")


def test_a_form_of_the_login_is_bounded(world: LoginWorld) -> None:
    """A logout of a megabyte is refused before it is read."""
    browser = browser_of(flask_app(world.process()))
    token = log_in(browser, world, "/account").json["csrf"]
    assert post(browser, "/logout", {"csrf_token": token, "more": "x" * 1_000_000}).status_code == 413
    assert get(browser, "/account").status_code == 200


def test_an_async_view_is_guarded_too(world: LoginWorld) -> None:
    """It is not called for nobody."""
    app = flask_app(world.process())
    door = app.extensions["py_identity_model_login"]

    @door.require()
    async def view() -> str:
        return current_session.subject

    with app.test_request_context("/view", base_url=BASE, headers=HEADERS), pytest.raises(LoginRefused) as refused:
        asyncio.run(view())
    assert refused.value.answer.status == 303
    browser = browser_of(app)
    log_in(browser, world, "/account")
    cookie = browser.get_cookie("__Host-session", "app.example.com")
    headers = {**HEADERS, "cookie": f"__Host-session={cookie.value if cookie else ''}"}
    with app.test_request_context("/view", base_url=BASE, headers=headers):
        assert asyncio.run(view()) == "alice"


def test_a_login_is_for_flask(world: LoginWorld) -> None:
    """One that must be awaited, or is none, is refused when it is given; so is a session where there is no login."""
    client = awaitable.OAuthClient("https://id.example.com", client_id="app")
    waiting: Any = awaitable.WebLogin(client, store=MemoryStore(), base_url=BASE)
    for wrong in (waiting, client, "login"):
        with pytest.raises(ConfigurationException):
            FlaskLogin(wrong)
    with Flask(__name__).test_request_context(), pytest.raises(ConfigurationException):
        bool(current_session)
    assert FlaskLogin(world.process(), Flask(__name__)).session.__name__ == "session"
