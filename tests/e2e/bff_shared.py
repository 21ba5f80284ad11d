"""The login of the page of ``examples/bff`` where its server is a blocking one."""

import os
from pathlib import Path

from py_identity_model import OAuthClient, WebLogin
from py_identity_model.stores import SqliteStore

PAGE = Path(__file__).resolve().parent.parent.parent / "examples" / "bff" / "static"
PROXIED = {
    "to": os.environ["API_URL"],
    "scopes": ["orders.read", "orders.write"],
    "resource": os.environ["API_RESOURCE"],
}
client = OAuthClient(
    os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    scope="openid profile offline_access orders.read orders.write",
)
login = WebLogin(client, store=SqliteStore(os.environ["SESSIONS"]), base_url=os.environ["BASE_URL"])
