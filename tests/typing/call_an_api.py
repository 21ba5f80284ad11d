"""Calling an API, and logging in for it, as a user's program does."""

from __future__ import annotations

import aiohttp
import httpx
import httpx2
import requests

from py_identity_model import AccessToken, LoginRequired, LoginResponse, OAuthClient, StepUpRequired, TokenAuth, aio
from py_identity_model.stores import SqliteStore

API = "https://inventory.example.com"


def call(client: OAuthClient) -> None:
    """Call in every blocking library."""
    auth: TokenAuth = client.auth(scope=["inventory.read"], resource=API)
    with httpx2.Client(auth=auth) as http, httpx.Client(auth=auth) as other, requests.Session() as session:
        session.auth = auth
        print(http.get(API), other.get(API), session.get(API))


async def call_and_wait(client: aio.OAuthClient) -> None:
    """Call in every asynchronous library."""
    auth = client.auth(resource=API, subject="ada")
    async with httpx2.AsyncClient(auth=auth) as http, aiohttp.ClientSession(middlewares=(auth,)) as session:
        print(await http.get(API), session.closed)
    token: AccessToken = await client.token(resource=API, subject="ada")
    print(token.token_type, token.expires_at)


def log_in() -> LoginResponse | None:
    """Log in where that is needed."""
    client = OAuthClient("https://id.example.com", client_id="my-tool", store=SqliteStore("tokens.db"))
    try:
        client.token()
    except LoginRequired as error:
        print(error.verb, error.code)
        return client.loopback_login()
    except StepUpRequired as error:
        print(error.scope, error.acr_values, error.max_age)
    return None
