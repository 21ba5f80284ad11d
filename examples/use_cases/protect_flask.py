"""An API: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com gunicorn protect_flask:app"""

from flask import Flask

from py_identity_model import ResourceServer
from py_identity_model.integrations.flask import FlaskGuard, current_principal

app = Flask(__name__)
guard = FlaskGuard(ResourceServer.from_env(), app)


@app.get("/orders")
@guard.protect(scopes=["orders.read"])
def orders() -> dict:
    return {"subject": current_principal.subject}
