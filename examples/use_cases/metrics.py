"""An API with metrics for Prometheus at /metrics: OIDC_ISSUER and OIDC_AUDIENCE; uvicorn metrics:app"""

from fastapi import FastAPI, Security
from prometheus_client import make_asgi_app

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.fastapi import FastAPIGuard
from py_identity_model.integrations.prometheus import ValidatorCollector

api = ResourceServer.from_env()
guard = FastAPIGuard(api)
ValidatorCollector(api.validator)
app = FastAPI(lifespan=guard.lifespan)
app.mount("/metrics", make_asgi_app())


@app.get("/orders", dependencies=[Security(guard, scopes=["orders.read"])])
async def orders() -> list[str]:
    return []
