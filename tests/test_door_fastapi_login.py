"""The doors of FastAPI and Starlette to a web login, in process."""

from __future__ import annotations

from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Form, Response
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from login_world import BASE, LoginWorld
from py_identity_model.integrations.fastapi_login import FastAPILogin
from py_identity_model.integrations.starlette_login import StarletteLogin

PAGE = {"accept": "text/html"}


@pytest.fixture(params=["asyncio", "sync"])
def world(request: pytest.FixtureRequest, clock: Any) -> LoginWorld:
    """A provider and an application, with a web login of each API."""
    return LoginWorld(request.param, clock)


def fastapi_app(login: Any) -> FastAPI:
    """Return an application that greets who is logged in."""
    app, door = FastAPI(), FastAPILogin(login)
    known, maybe, fresh = Depends(door.session), Depends(door.optional), Depends(door.require(max_age=300))
    app.include_router(door.routes)

    @app.get("/account")
    async def account(session: Any = known) -> dict[str, str]:
        return {"subject": session.subject, "csrf": session.csrf_token}

    @app.post("/name")
    async def name(name: Annotated[str, Form()], session: Any = known) -> dict[str, str]:
        return {"subject": session.subject, "name": name}

    @app.get("/maybe")
    async def perhaps(session: Any = maybe) -> dict[str, bool]:
        return {"known": session is not None}

    @app.get("/payments")
    async def payments(session: Any = fresh) -> dict[str, str]:
        return {"subject": session.subject}

    return app


def client_of(app: Any, base_url: str = BASE) -> httpx2.AsyncClient:
    """Return a browser, nearly: it keeps cookies, and follows no redirect by itself."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=base_url, headers=PAGE)


async def log_in(browser: httpx2.AsyncClient, world: LoginWorld, path: str) -> httpx2.Response:
    """Follow the redirects from a page to the provider and back to it."""
    response = await browser.get(path)
    while response.status_code == 303:
        to = response.headers["location"]
        if to.startswith(world.provider.issuer):
            from py_identity_model import Request

            to = world.between(Request("GET", to)).header("location") or ""
        response = await browser.get(to)
    return response


@pytest.mark.anyio
async def test_a_login_in_fastapi(world: LoginWorld) -> None:
    """The snippet of the documentation: routes, a session as a dependency, a form with its token, a logout."""
    async with client_of(fastapi_app(world.process())) as browser:
        assert (await browser.get("/maybe")).json() == {"known": False}
        program = await browser.get("/account", headers={"accept": "*/*"})
        assert (program.status_code, program.json()["error"]) == (401, "login_required")
        account = (await log_in(browser, world, "/account")).json()
        assert account["subject"] == "alice"
        assert (await browser.get("/maybe")).json() == {"known": True}
        assert (await browser.post("/name", data={"name": "Ada"})).status_code == 403
        named = await browser.post("/name", data={"name": "Ada", "csrf_token": account["csrf"]})
        assert named.json() == {"subject": "alice", "name": "Ada"}
        out = await browser.post("/logout", data={"csrf_token": account["csrf"]})
        assert out.headers["location"].startswith(world.provider.issuer)
        assert (await browser.get("/account")).status_code == 303


@pytest.mark.anyio
async def test_a_page_that_says_how_it_is_kept_is_kept_so(world: LoginWorld) -> None:
    """A page of a user is kept nowhere, unless it decides otherwise: by its response, in FastAPI by the parameter."""
    login = world.process()
    app, door, bare = fastapi_app(login), FastAPILogin(login), StarletteLogin(login)
    kept = {"cache-control": "private, max-age=60"}

    @app.get("/picture")
    async def picture(response: Response, session: Any = Depends(door.session)) -> str:  # noqa: B008 # as its users write it
        response.headers.update(kept)
        return str(session.subject)

    @bare.require()
    async def drawing(request: Any) -> PlainTextResponse:
        return PlainTextResponse("drawing", headers=kept)

    @bare.require()
    async def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse("page")

    app.router.routes += [Route("/drawing", drawing), Route("/page", page)]
    async with client_of(app) as browser:
        assert (await log_in(browser, world, "/picture")).headers.get_list("cache-control") == ["private, max-age=60"]
        assert (await browser.get("/drawing")).headers.get_list("cache-control") == ["private, max-age=60"]
        assert (await browser.get("/page")).headers.get_list("cache-control") == ["no-store"]
        assert (await browser.get("/account")).headers.get_list("cache-control") == ["no-store"]


@pytest.mark.anyio
async def test_step_up_in_fastapi(world: LoginWorld) -> None:
    """A page that demands a fresh login sends the browser there and back."""
    async with client_of(fastapi_app(world.process())) as browser:
        await log_in(browser, world, "/account")
        world.clock.advance(1000)
        assert (await browser.get("/payments")).status_code == 303
        assert (await log_in(browser, world, "/payments")).json() == {"subject": "alice"}


@pytest.mark.anyio
async def test_a_login_in_a_mounted_starlette_application(clock: Any) -> None:
    """Below a mount point the paths of the login are those of the application, and the addresses public ones."""
    world = LoginWorld("asyncio", clock, f"{BASE}/shop")
    door = StarletteLogin(world.process())

    @door.require()
    async def account(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request.state.session.subject)

    shop = Starlette(routes=[Route("/account", account), *door.routes])
    async with client_of(Starlette(routes=[Mount("/shop", shop)])) as browser:
        sent = await browser.get("/shop/account")
        assert sent.headers["location"] == "/shop/login?next=%2Fshop%2Faccount"
        assert (await log_in(browser, world, "/shop/account")).text == "alice"
