"""People log in. OIDC_ISSUER=https://id.example.com OIDC_CLIENT_ID=app OIDC_CLIENT_SECRET=... flask run

Register http://127.0.0.1:5000/callback at the provider, and /logged-out for logouts.
"""

import os

from flask import Flask, render_template_string, request

from py_identity_model import OAuthClient, WebLogin
from py_identity_model.integrations.flask_login import FlaskLogin, current_session
from py_identity_model.stores import SqliteStore

client = OAuthClient(
    os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    scope="openid profile offline_access",
)
store = SqliteStore(os.environ.get("SESSIONS", "sessions.db"))
app = Flask(__name__)
login = FlaskLogin(WebLogin(client, store=store, base_url=os.environ.get("BASE_URL", "http://127.0.0.1:5000")), app)
app.register_blueprint(login.proxy("/api", to=os.environ.get("API_URL", "https://api.example.com")))  # for scripts

HOME = """<!doctype html><html lang="en"><title>Orders</title><h1>Orders</h1>
{% if current_session %}<p>Hello {{ current_session.subject }}. <a href="/logout">Log out</a></p>
{% else %}<p><a href="/login?next=/account">Log in</a></p>{% endif %}</html>"""
ACCOUNT = """<!doctype html><html lang="en"><title>Account</title><h1>Account of {{ current_session.subject }}</h1>
<form method="post" action="/name"><label>Name <input name="name"></label>
<input type="hidden" name="csrf_token" value="{{ current_session.csrf_token }}"><button>Save</button></form>
<a href="/logout">Log out</a></html>"""


@app.get("/")
def home():
    return render_template_string(HOME)


@app.get("/account")
@login.require()
def account():
    return render_template_string(ACCOUNT)


@app.post("/name")
@login.require()
def name():
    return {"subject": current_session.subject, "name": request.form["name"]}


@app.route("/payments", methods=["GET", "POST"])
@login.require(acr=["phr"], max_age=300)
def payments():
    return {"subject": current_session.subject}


@app.get("/profile")
@login.require()
def profile():
    return {"subject": current_session.userinfo().claims["sub"]}
