"""A WebSocket: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com; uvicorn as protect_fastapi"""

from typing import Annotated

from fastapi import FastAPI, Security, WebSocket

from py_identity_model import AuthenticatedPrincipal
from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.fastapi import FastAPIGuard

guard = FastAPIGuard(ResourceServer.from_env())
app = FastAPI(lifespan=guard.lifespan)


@app.websocket("/live")
async def live(
    socket: WebSocket, user: Annotated[AuthenticatedPrincipal, Security(guard, scopes=["orders.read"])]
) -> None:
    await socket.accept()
    await socket.send_json({"subject": user.subject})
    await socket.close()
