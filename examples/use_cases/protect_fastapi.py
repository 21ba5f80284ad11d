"""An API: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com uvicorn protect_fastapi:app"""

from typing import Annotated

from fastapi import FastAPI, Security

from py_identity_model import AuthenticatedPrincipal
from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.fastapi import FastAPIGuard

guard = FastAPIGuard(ResourceServer.from_env())
app = FastAPI(lifespan=guard.lifespan)


@app.get("/orders")
async def orders(user: Annotated[AuthenticatedPrincipal, Security(guard, scopes=["orders.read"])]) -> dict:
    return {"subject": user.subject}
