"""How people log in: who the provider is, where sessions are, and which users of the database they become."""

import os

from py_identity_model import OAuthClient, WebLogin
from py_identity_model.integrations.django_login_users import LoginUsers
from py_identity_model.stores import SqliteStore

client = OAuthClient(
    os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    scope="openid profile offline_access",
)
login = WebLogin(
    client,
    store=SqliteStore(os.environ.get("SESSIONS", "sessions.db")),
    base_url=os.environ.get("BASE_URL", "http://127.0.0.1:8000"),
    on_login=LoginUsers(groups={"auditor": "Auditors"}, staff="administrator"),
)
