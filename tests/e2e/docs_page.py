"""An API whose docs page lets people log in; test_docs_page serves it and presses the Authorize button."""

import os
from typing import Annotated

from fastapi import FastAPI, Security

from py_identity_model import AuthenticatedPrincipal
from py_identity_model.aio import ResourceServer, TokenValidator
from py_identity_model.integrations.fastapi import FastAPIGuard

RESOURCE = os.environ["OIDC_AUDIENCE"]
api = ResourceServer(
    TokenValidator(os.environ["OIDC_ISSUER"], audience=RESOURCE), scopes_supported=["api:read", "api:write"]
)
guard = FastAPIGuard(api)
button = guard.swagger_ui(os.environ["OIDC_CLIENT_ID"], scopes="openid api:read", resource=RESOURCE)
app = FastAPI(title="Orders", lifespan=guard.lifespan, swagger_ui_init_oauth=button)
app.include_router(guard.routes)


@app.get("/orders")
async def orders(user: Annotated[AuthenticatedPrincipal, Security(guard, scopes=["api:read"])]) -> dict[str, str]:
    """List the orders."""
    return {"subject": user.subject or ""}


@app.post("/orders")
async def order(user: Annotated[AuthenticatedPrincipal, Security(guard, scopes=["api:write"])]) -> dict[str, str]:
    """Order something."""
    return {"subject": user.subject or ""}
