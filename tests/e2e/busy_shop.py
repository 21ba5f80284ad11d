"""A shop that is asked for tokens all the time: ``uvicorn busy_shop:app``; several processes of it share one store."""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from py_identity_model.aio import OAuthClient, Session, WebLogin
from py_identity_model.integrations.fastapi_login import FastAPILogin
from py_identity_model.stores import AsyncRedisStore, SqliteStore

where = os.environ["SESSIONS"]
store: Any = AsyncRedisStore(where) if "://" in where else SqliteStore(where)
client = OAuthClient(
    os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    scope="openid",
)
login = FastAPILogin(WebLogin(client, store=store, base_url=os.environ["BASE_URL"]))
app = FastAPI()
app.include_router(login.routes)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process is there."""
    return {}


@app.get("/token")
async def token(session: Annotated[Session, Depends(login.session)]) -> dict[str, str]:
    """Use the session's token: tell whose it is, and which one, as a digest."""
    used = (await session.token()).access_token
    return {"subject": session.subject, "token": hashlib.sha256(used.encode()).hexdigest()[:16]}
