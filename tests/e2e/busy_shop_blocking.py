"""The same shop as ``busy_shop``, in threads: ``waitress --threads=12 busy_shop_blocking:app``."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from flask import Flask

from py_identity_model import OAuthClient, WebLogin
from py_identity_model.integrations.flask_login import FlaskLogin, current_session
from py_identity_model.stores import RedisStore, SqliteStore

where = os.environ["SESSIONS"]
store: Any = RedisStore(where) if "://" in where else SqliteStore(where)
client = OAuthClient(
    os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    scope="openid",
)
app = Flask(__name__)
login = FlaskLogin(WebLogin(client, store=store, base_url=os.environ["BASE_URL"]), app)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the process is there."""
    return {}


@app.get("/token")
@login.require()
def token() -> dict[str, str]:
    """Use the session's token: tell whose it is, and which one, as a digest."""
    used = current_session.token().access_token
    return {"subject": current_session.subject, "token": hashlib.sha256(used.encode()).hexdigest()[:16]}
