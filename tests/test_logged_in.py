"""Somebody who is logged in, without a provider: the same requests to each framework, through the login's own rules."""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.test import Client, override_settings
from django.urls import include, path
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import test_door_django_login as django_world
from doors import EXAMPLES
from py_identity_model import LoginClient, LoginRequired, WebLogin, WebRequest, aio
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.integrations.django_login import require
from py_identity_model.integrations.starlette_login import StarletteLogin
from py_identity_model.stores import MemoryStore
from py_identity_model.testing import authenticated, logged_in

PAGE = {"accept": "text/html"}
BASE = "http://127.0.0.1:8000"
CLIENT = LoginClient(issuer="https://id.example.com", client_id="app", client_secret="s" * 32)


class Answer(NamedTuple):
    """What comes back."""

    status: int
    location: str | None
    body: str


Ask = Callable[..., Answer]


def asgi_ask(app: Any) -> Ask:
    """Return how an ASGI application is asked by a browser that keeps no cookies."""

    def ask(method: str, to: str, headers: Any = PAGE, data: Any = None) -> Answer:
        with TestClient(app, base_url=BASE, follow_redirects=False) as client:
            answer = client.request(method, to, headers=headers, data=data)
        return Answer(answer.status_code, answer.headers.get("location"), answer.text)

    return ask


def flask_ask(app: Any) -> Ask:
    """Return how an application of Flask is asked."""

    def ask(method: str, to: str, headers: Any = PAGE, data: Any = None) -> Answer:
        client = app.test_client(use_cookies=False)
        answer = client.open(to, method=method, headers=headers, data=data, base_url=BASE)
        return Answer(answer.status_code, answer.headers.get("location"), answer.text)

    return ask


def django_ask(client: Client) -> Ask:
    """Return how an application of Django is asked."""

    def ask(method: str, to: str, headers: Any = PAGE, data: Any = None) -> Answer:
        client.cookies.clear()
        sent = {"headers": {"host": "127.0.0.1:8000", **headers}}
        answer = client.post(to, data, **sent) if method == "POST" else client.generic(method, to, **sent)
        return Answer(answer.status_code, answer.headers.get("location"), answer.content.decode())

    return ask


def starlette() -> tuple[Any, Ask]:
    """An application of Starlette."""
    login = StarletteLogin(aio.WebLogin(CLIENT, store=MemoryStore(), base_url=BASE))

    @login.require()
    async def account(request: Any) -> JSONResponse:
        return JSONResponse({"csrf_token": request.state.session.csrf_token, "subject": request.state.session.subject})

    @login.require()
    async def name(request: Any) -> JSONResponse:
        return JSONResponse({"subject": request.state.session.subject})

    @login.require(acr=["phr"], max_age=300)
    async def payments(request: Any) -> JSONResponse:
        return JSONResponse({"subject": request.state.session.subject})

    mine = [Route("/account", account), Route("/name", name, methods=["POST"]), Route("/payments", payments)]
    app = Starlette(routes=[*mine, *login.routes])
    return app, asgi_ask(app)


def example(folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Load a program of the examples."""
    said = {"OIDC_ISSUER": "https://id.example.com", "OIDC_CLIENT_ID": "app", "OIDC_CLIENT_SECRET": "s" * 32}
    for name, value in {**said, "SESSIONS": str(tmp_path / "sessions.db"), "BASE_URL": BASE}.items():
        monkeypatch.setenv(name, value)
    spec: Any = importlib.util.spec_from_file_location(f"logged_in_{folder}", EXAMPLES / folder / "app.py")
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, made)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(params=["fastapi", "flask", "starlette", "django"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An application of each framework, and how it is asked."""
    if request.param == "starlette":
        yield starlette()
    elif request.param == "django":
        module = django_world.MODULE
        module.login = WebLogin(CLIENT, store=MemoryStore(), base_url=BASE)
        told = {"PY_IDENTITY_MODEL_LOGIN": f"{module.__name__}.login", "ROOT_URLCONF": module.__name__}
        middleware = ["django.middleware.csrf.CsrfViewMiddleware", django_world.DOOR]
        with override_settings(**told, MIDDLEWARE=middleware, ALLOWED_HOSTS=["*"]):
            module.urlpatterns = [
                path("", include("py_identity_model.integrations.django_login")),
                path("account", require()(django_page)),
                path("name", require()(django_page)),
                path("payments", require(acr=["phr"], max_age=300)(django_page)),
            ]
            client = Client(enforce_csrf_checks=False)
            yield client, django_ask(client)
    else:
        app = example(f"{request.param}_login", monkeypatch, tmp_path).app
        yield app, (asgi_ask if request.param == "fastapi" else flask_ask)(app)


def django_page(request: Any) -> Any:
    """Answer with who it is, and a token for forms."""
    from django.http import JsonResponse

    session = request.login_session
    return JsonResponse({"csrf_token": session.csrf_token, "subject": session.subject})


def test_a_page_is_shown_to_who_is_logged_in(program: Any) -> None:
    """Before the block, and for nobody, a page leads to the login; in it the page is shown; programs get 401."""
    app, ask = program
    assert ask("GET", "/account")[:2] == (303, "/login?next=%2Faccount")
    with logged_in(app, subject="ada"):
        answer = ask("GET", "/account")
        assert (answer.status, "ada" in answer.body) == (200, True)
        with logged_in(app, subject=None) as nobody:
            assert (ask("GET", "/account").status, dict(nobody.headers)) == (303, {})
            assert ask("GET", "/account", {"accept": "application/json"}).status == 401
        assert ask("GET", "/account").status == 200
        if ask("GET", "/").status == 200:  # a page for all, of the examples
            assert "Hello ada" in ask("GET", "/").body
    assert ask("GET", "/account").status == 303


def test_a_step_up_is_demanded_as_ever(program: Any) -> None:
    """A weak or an old login is sent to the login for another one; a strong and fresh one is let in."""
    import time

    app, ask = program
    with logged_in(app, subject="ada"):
        answer = ask("GET", "/payments")
        assert (answer.status, "acr=phr" in str(answer.location)) == (303, True)
    with logged_in(app, subject="ada", acr="phr", auth_time=time.time() - 4000):
        assert ask("GET", "/payments").status == 303
    with logged_in(app, subject="ada", acr="phr", auth_time=time.time()):
        assert ask("GET", "/payments").status == 200


def test_forms_need_their_token(program: Any) -> None:
    """What changes something is refused without the token of the page, or the header of programs."""
    app, ask = program
    with logged_in(app, subject="ada"):
        page = ask("GET", "/account").body
        found = re.search(r'csrf_token"(?: value=|: ?)"([^"]+)"', page)
        assert found is not None
        good = ask("POST", "/name", PAGE, {"name": "Ada", "csrf_token": found[1]})
        assert (good.status, '"ada"' in good.body) == (200, True)
        if not isinstance(app, Client):  # Django's own middleware checks before, and was told not to
            assert ask("POST", "/name", PAGE, {"name": "Ada"}).status == 403
        assert ask("POST", "/name", {"x-csrf": "1"}, {"name": "Ada"}).status == 200


def test_another_thread_names_it_by_a_cookie(program: Any) -> None:
    """A server in a thread of its own knows no block; a cookie says which one counts, while it lasts."""
    app, ask = program
    if isinstance(app, Client):
        return  # its client takes cookies by another way; the gate is the same
    with ThreadPoolExecutor(1) as pool, logged_in(app, subject="ada") as ada:
        elsewhere = contextvars.Context()
        asked = [pool.submit(elsewhere.run, ask, "GET", "/account", PAGE | also) for also in ({}, dict(ada.headers))]
        assert [each.result().status for each in asked] == [303, 200]
    assert ask("GET", "/account", PAGE | dict(ada.headers)).status == 303


# ---------------------------------------------------------------------------------------------------------------------
# Rules of the session


def waited(call: Callable[[], Any]) -> Any:
    """Return what a function of either API returns."""
    made = call()
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


def look(login: Any, **headers: str) -> Any:
    """Return the session of a request to a login of either API."""
    return waited(lambda: login.session(WebRequest("GET", "/account", headers=tuple(headers.items()))))


@pytest.fixture(params=["blocking", "awaiting"])
def web_login(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that makes a login of either API."""
    kind: Any = WebLogin if request.param == "blocking" else aio.WebLogin

    def make(**options: Any) -> Any:
        kept = {} if "encryption_key" in options else {"store": MemoryStore()}
        return kind(CLIENT, base_url=BASE, **kept, **options)

    return make


def test_the_user_is_whom_the_application_makes_of_the_claims(web_login: Callable[..., Any]) -> None:
    """on_login is called, once; where it knows nobody, nobody is logged in. Claims are kept as the login says."""
    called: list[Any] = []

    def user(claims: Any) -> Any:
        called.append(dict(claims))
        return {"id": 7} if claims["sub"] == "ada" else None

    login = web_login(on_login=user, claims=["name"])
    with logged_in(login, subject="ada", claims={"name": "Ada", "email": "a@example.com"}, sid="s1", acr="phr"):
        session = look(login)
        assert (session.user, session.issuer, session.sid) == ({"id": 7}, "https://id.example.com", "s1")
        assert dict(session.claims) == {"name": "Ada", "acr": "phr"}
        look(login)
    assert (len(called), called[0]["email"]) == (1, "a@example.com")
    with logged_in(login, subject="bob"):
        assert look(login) is None


def test_it_is_one_session_and_can_be_ended(web_login: Callable[..., Any]) -> None:
    """Requests of a block have one session of the store, which is listed, and is over for all once it is ended."""
    login = web_login()
    with logged_in(login, subject="ada"):
        assert look(login).handle == look(login).handle
        assert waited(lambda: login.end_sessions("https://id.example.com", "ada")) == 1
        assert look(login) is None
    again = logged_in(login, subject="ada")
    for _ in range(2):  # a block that is used again begins a session of its own
        with again:
            assert look(login).subject == "ada"
            waited(lambda: login.end_sessions("https://id.example.com", "ada"))
            assert look(login) is None


def test_sessions_in_cookies_and_tokens(web_login: Callable[..., Any]) -> None:
    """A login without a store has sessions, too; none of a block has tokens."""
    sealed, stored = web_login(encryption_key=b"k" * 32), web_login()
    with logged_in([sealed, stored], subject="ada"):
        assert look(sealed).subject == "ada"
        session = look(stored)
        with pytest.raises(LoginRequired):
            waited(session.token)
    assert look(sealed) is None


def test_a_cookie_of_the_request_itself_is_judged(web_login: Callable[..., Any]) -> None:
    """A stale or forged cookie is no session inside a block, too."""
    login = web_login()
    with logged_in(login, subject="ada"):
        assert look(login, cookie="session=" + "A" * 43) is None
        assert look(login, cookie="other=1").subject == "ada"
    assert login._parts.sessions is not None
    assert type(login._parts.sessions).__name__ == "StoredSessions"


def test_it_shows_no_secret_and_refuses_what_it_cannot_do() -> None:
    """An application without a login is told; so is a guard of an API, and a login where a guard is wanted."""
    login = WebLogin(CLIENT, store=MemoryStore(), base_url=BASE)
    made = logged_in(login, subject="ada")
    assert (repr(made), repr(logged_in(login, subject=None))) == ("LoggedIn('ada')", "LoggedIn(None)")
    with pytest.raises(ConfigurationException) as caught:
        logged_in(object())
    assert caught.value.code == "web_login_missing"
    with pytest.raises(ConfigurationException) as caught:
        authenticated(login)
    assert caught.value.code == "resource_server_missing"
    with pytest.raises(ConfigurationException):
        logged_in(login, subject=7)  # type: ignore[arg-type] # on purpose
