"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com flask run"""

from flask import Flask

from py_identity_model import ResourceServer
from py_identity_model.integrations.flask import FlaskGuard, current_principal

app = Flask(__name__)
guard = FlaskGuard(ResourceServer.from_env(), app)


@app.route("/orders", methods=["GET", "OPTIONS"])
@guard.protect(scopes=["orders.read"])
def orders():
    return {"subject": current_principal.subject if current_principal else None}


@app.post("/orders")
@guard.protect(scopes=["orders.read", "orders.write"])
def order():
    return {"subject": current_principal.subject}


@app.get("/whoami")
@guard.protect(optional=True)
def whoami():
    return {"subject": current_principal.subject if current_principal else None}


@app.get("/reports")
@guard.protect(any_role=["auditor", "owner"])
async def reports():
    return {"subject": current_principal.subject}


@app.post("/payments")
@guard.protect(scopes=["pay"], acr_values=["phr"], max_age=300)
def payments():
    return {"subject": current_principal.subject}
