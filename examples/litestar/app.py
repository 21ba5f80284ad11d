"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com litestar run"""

from typing import Any

from litestar import Litestar, Request, WebSocket, get, post, route, websocket

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.litestar import LitestarGuard

guard = LitestarGuard(ResourceServer.from_env())


@route("/orders", http_method=["GET", "HEAD", "OPTIONS"], **guard.protect(scopes=["orders.read"]))
async def orders(request: Request) -> dict[str, Any]:
    return {"subject": request.user.subject if request.user else None}


@post("/orders", status_code=200, **guard.protect(scopes=["orders.read", "orders.write"]))
async def order(request: Request) -> dict[str, Any]:
    return {"subject": request.user.subject}


@get("/whoami", **guard.protect(optional=True))
async def whoami(request: Request) -> dict[str, Any]:
    return {"subject": request.user.subject if request.user else None}


@get("/reports", **guard.protect(any_role=["auditor", "owner"]))
async def reports(request: Request) -> dict[str, Any]:
    return {"subject": request.user.subject}


@post("/payments", status_code=200, **guard.protect(scopes=["pay"], acr_values=["phr"], max_age=300))
async def payments(request: Request) -> dict[str, Any]:
    return {"subject": request.user.subject}


@websocket("/ws", guards=[guard.require(scopes=["orders.read"])])
async def live(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"subject": socket.user.subject})
    await socket.close()


app = Litestar([orders, order, whoami, reports, payments, live], plugins=[guard])
