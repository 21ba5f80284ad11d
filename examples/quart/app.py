"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com hypercorn app:app"""

from quart import Quart, websocket

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.quart import QuartGuard, current_principal

app = Quart(__name__)
guard = QuartGuard(ResourceServer.from_env(), app)


@app.route("/orders", methods=["GET", "OPTIONS"])
@guard.protect(scopes=["orders.read"])
async def orders():
    return {"subject": current_principal.subject if current_principal else None}


@app.post("/orders")
@guard.protect(scopes=["orders.read", "orders.write"])
def order():
    return {"subject": current_principal.subject}


@app.get("/whoami")
@guard.protect(optional=True)
async def whoami():
    return {"subject": current_principal.subject if current_principal else None}


@app.get("/reports")
@guard.protect(any_role=["auditor", "owner"])
async def reports():
    return {"subject": current_principal.subject}


@app.post("/payments")
@guard.protect(scopes=["pay"], acr_values=["phr"], max_age=300)
async def payments():
    return {"subject": current_principal.subject}


@app.websocket("/ws")
@guard.protect(scopes=["orders.read"])
async def live():
    await websocket.send_json({"subject": current_principal.subject})
