"""People log in at the test provider beside this program. Run both: docker compose up --build

Open http://localhost:5000, log in as Ada or as anybody, and look at the flow on http://localhost:8080/flow.
"""

import os

from flask import Flask, render_template_string

from py_identity_model import OAuthClient, WebLogin
from py_identity_model.integrations.flask_login import FlaskLogin
from py_identity_model.stores import MemoryStore

client = OAuthClient(
    os.environ["OIDC_ISSUER"],  # as browsers reach it, and as tokens name it
    client_id="shop",
    client_secret="a secret for tests",
    scope="openid profile email",
    backchannel=os.environ.get("OIDC_BACKCHANNEL"),  # as this program reaches it
    allow_insecure_http=True,  # within one Compose project
)
app = Flask(__name__)
login = FlaskLogin(
    WebLogin(client, store=MemoryStore(), base_url=os.environ["BASE_URL"], claims=["email", "roles"]), app
)

HOME = """<!doctype html><html lang="en"><title>Shop</title><h1>Shop</h1>
{% if current_session %}<p>Hello {{ current_session.subject }}, {{ current_session.claims.roles }}.
<a href="/logout">Log out</a></p>{% else %}<p><a href="/login">Log in</a></p>{% endif %}</html>"""


@app.get("/")
def home():
    return render_template_string(HOME)
