"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com uvicorn app:app"""

from typing import Annotated

from fastapi import Depends, FastAPI, Response, Security, WebSocket

from py_identity_model import AuthenticatedPrincipal
from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.fastapi import FastAPIGuard

guard = FastAPIGuard(ResourceServer.from_env())
app = FastAPI(title="Orders", lifespan=guard.lifespan)
app.include_router(guard.routes)

Reader = Annotated[AuthenticatedPrincipal, Security(guard, scopes=["orders.read"])]
Writer = Annotated[AuthenticatedPrincipal, Security(guard, scopes=["orders.read", "orders.write"])]
Anyone = Annotated[AuthenticatedPrincipal | None, Depends(guard.require(optional=True))]
Auditor = Annotated[AuthenticatedPrincipal, Depends(guard.require(any_role=["auditor", "owner"]))]
Payer = Annotated[AuthenticatedPrincipal, Depends(guard.require(scopes=["pay"], acr_values=["phr"], max_age=300))]


@app.options("/orders", dependencies=[Security(guard, scopes=["orders.read"])])
async def methods() -> Response:
    return Response(headers={"allow": "GET, HEAD, OPTIONS, POST"})


@app.get("/orders")
@app.head("/orders")
async def orders(user: Reader) -> dict:
    return {"subject": user.subject}


@app.post("/orders")
async def order(user: Writer) -> dict:
    return {"subject": user.subject}


@app.get("/whoami")
async def whoami(user: Anyone) -> dict:
    return {"subject": user.subject if user else None}


@app.get("/reports")
async def reports(user: Auditor) -> dict:
    return {"subject": user.subject}


@app.post("/payments")
async def payments(user: Payer) -> dict:
    return {"subject": user.subject}


@app.websocket("/ws")
async def live(socket: WebSocket, user: Reader) -> None:
    await socket.accept()
    await socket.send_json({"subject": user.subject})
    await socket.close()
