"""Orders, protected by fastapi-azure-auth: OIDC_ISSUER=... OIDC_AUDIENCE=... uvicorn azure_auth:app"""

import os
import time
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import SecurityScopes
from fastapi_azure_auth.auth import AzureAuthorizationCodeBearerBase
from fastapi_azure_auth.user import User

ISSUER = os.environ["OIDC_ISSUER"]
bearer = AzureAuthorizationCodeBearerBase(
    app_client_id=os.environ["OIDC_AUDIENCE"],
    tenant_id="unused",
    scopes={"orders.read": "", "orders.write": "", "pay": ""},
    openid_config_url=f"{ISSUER}/.well-known/openid-configuration",
    openapi_authorization_url=f"{ISSUER}/authorize",
    openapi_token_url=f"{ISSUER}/token",
)
app = FastAPI(title="Orders")

Reader = Annotated[User, Security(bearer, scopes=["orders.read"])]
Writer = Annotated[User, Security(bearer, scopes=["orders.read", "orders.write"])]


async def anyone(request: Request) -> User | None:
    return await bearer(request, SecurityScopes()) if "authorization" in request.headers else None


async def auditor(user: Annotated[User, Depends(bearer)]) -> User:
    if not {"auditor", "owner"} & set(user.roles):
        raise HTTPException(403, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
    return user


async def payer(user: Annotated[User, Security(bearer, scopes=["pay"])]) -> User:
    if user.claims.get("acr") != "phr" or time.time() - user.claims.get("auth_time", 0) > 300:
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="phr", max_age="300"'
        raise HTTPException(401, headers={"WWW-Authenticate": challenge})
    return user


@app.get("/orders")
@app.head("/orders")
@app.options("/orders")
async def orders(user: Reader) -> dict:
    return {"subject": user.sub}


@app.post("/orders")
async def order(user: Writer) -> dict:
    return {"subject": user.sub}


@app.get("/whoami")
async def whoami(user: Annotated[User | None, Depends(anyone)]) -> dict:
    return {"subject": user.sub if user else None}


@app.get("/reports")
async def reports(user: Annotated[User, Depends(auditor)]) -> dict:
    return {"subject": user.sub}


@app.post("/payments")
async def payments(user: Annotated[User, Depends(payer)]) -> dict:
    return {"subject": user.sub}
