"""A single-page application without tokens. OIDC_ISSUER=https://id.example.com OIDC_CLIENT_ID=app
OIDC_CLIENT_SECRET=... API_URL=http://127.0.0.1:8001 uvicorn app:app

Register http://127.0.0.1:8000/callback at the provider, and /logged-out for logouts. An API to begin with is
../fastapi: OIDC_AUDIENCE=https://api.example.com uvicorn --port 8001 app:app
"""

import os
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from py_identity_model.aio import OAuthClient, WebLogin
from py_identity_model.integrations.fastapi_login import FastAPILogin
from py_identity_model.stores import SqliteStore

client = OAuthClient(
    os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    scope="openid profile offline_access orders.read orders.write",
)
store = SqliteStore(os.environ.get("SESSIONS", "sessions.db"))
login = FastAPILogin(WebLogin(client, store=store, base_url=os.environ.get("BASE_URL", "http://127.0.0.1:8000")))

HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",  # a login leads back to the page that asked
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


class Page(StaticFiles):
    def file_response(self, *args, **kwargs):
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


app = FastAPI()
app.include_router(login.routes)
app.include_router(
    login.proxy(
        "/api",
        to=os.environ["API_URL"],
        scopes=["orders.read", "orders.write"],
        resource=os.environ.get("API_RESOURCE"),
    )
)
app.mount("/", Page(directory=Path(__file__).parent / "static", html=True))
