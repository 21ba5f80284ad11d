"""A web application with a login: OIDC_ISSUER=https://id.example.com CLIENT_SECRET=... uvicorn web_login:app"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from py_identity_model.aio import OAuthClient, Session, WebLogin
from py_identity_model.integrations.fastapi_login import FastAPILogin
from py_identity_model.stores import SqliteStore

client = OAuthClient(os.environ["OIDC_ISSUER"], client_id="web-app", client_secret=os.environ["CLIENT_SECRET"])
login = FastAPILogin(WebLogin(client, store=SqliteStore("sessions.db"), base_url="https://app.example.com"))
app = FastAPI()
app.include_router(login.routes)


@app.get("/account")
async def account(session: Annotated[Session, Depends(login.session)]) -> dict:
    return {"subject": session.subject}
