"""The page of ``examples/bff``, served by Flask."""

from bff_shared import PAGE, PROXIED, login
from flask import Flask, Response, send_from_directory

from py_identity_model.integrations.flask_login import FlaskLogin

app = Flask(__name__, static_folder=None)
door = FlaskLogin(login, app)
app.register_blueprint(door.proxy("/api", **PROXIED))


@app.get("/")
@app.get("/<any('app.css', 'app.js'):name>")
def page(name: str = "index.html") -> Response:
    """Serve the page."""
    return send_from_directory(PAGE, name)
