"""People log in. OIDC_ISSUER=https://id.example.com OIDC_CLIENT_ID=app OIDC_CLIENT_SECRET=... uvicorn app:app

Register http://127.0.0.1:8000/callback at the provider, and /logged-out for logouts.
"""

import os
from html import escape
from typing import Annotated

from fastapi import Depends, FastAPI, Form
from fastapi.responses import HTMLResponse

from py_identity_model.aio import OAuthClient, Session, WebLogin
from py_identity_model.integrations.fastapi_login import FastAPILogin
from py_identity_model.stores import SqliteStore

client = OAuthClient(
    os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    scope="openid profile offline_access",
)
store = SqliteStore(os.environ.get("SESSIONS", "sessions.db"))
login = FastAPILogin(WebLogin(client, store=store, base_url=os.environ.get("BASE_URL", "http://127.0.0.1:8000")))
app = FastAPI()
app.include_router(login.routes)
app.include_router(login.proxy("/api", to=os.environ.get("API_URL", "https://api.example.com")))  # for scripts of pages
LoggedIn = Annotated[Session, Depends(login.session)]

PAGE = '<!doctype html><html lang="en"><title>{0}</title><h1>{0}</h1>{1}</html>'
NOBODY = '<p><a href="/login?next=/account">Log in</a></p>'
SOMEBODY = '<p>Hello {}. <a href="/logout">Log out</a></p>'
FORM = """<form method="post" action="/name"><label>Name <input name="name"></label>
<input type="hidden" name="csrf_token" value="{}"><button>Save</button></form><a href="/logout">Log out</a>"""


@app.get("/", response_class=HTMLResponse)
async def home(session: Annotated[Session | None, Depends(login.optional)]):
    return PAGE.format("Orders", NOBODY if session is None else SOMEBODY.format(escape(session.subject)))


@app.get("/account", response_class=HTMLResponse)
async def account(session: LoggedIn):
    return PAGE.format(f"Account of {escape(session.subject)}", FORM.format(session.csrf_token))


@app.post("/name")
async def name(session: LoggedIn, name: Annotated[str, Form()]):
    return {"subject": session.subject, "name": name}


@app.api_route("/payments", methods=["GET", "POST"])
async def payments(session: Annotated[Session, Depends(login.require(acr=["phr"], max_age=300))]):
    return {"subject": session.subject}


@app.get("/profile")
async def profile(session: LoggedIn):
    return {"subject": (await session.userinfo()).claims["sub"]}
