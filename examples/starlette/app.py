"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com hypercorn app:app"""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.starlette import StarletteGuard

guard = StarletteGuard(ResourceServer.from_env())


@guard.protect(scopes=["orders.read"])
async def orders(request):
    return JSONResponse({"subject": getattr(request.user, "subject", None)})


@guard.protect(scopes=["orders.read", "orders.write"])
def order(request):
    return JSONResponse({"subject": request.user.subject})


@guard.protect(optional=True)
async def whoami(request):
    return JSONResponse({"subject": getattr(request.user, "subject", None)})


@guard.protect(any_role=["auditor", "owner"])
async def reports(request):
    return JSONResponse({"subject": request.user.subject})


@guard.protect(scopes=["pay"], acr_values=["phr"], max_age=300)
async def payments(request):
    return JSONResponse({"subject": request.user.subject})


@guard.protect(scopes=["orders.read"])
async def live(websocket):
    await websocket.accept()
    await websocket.send_json({"subject": websocket.user.subject})
    await websocket.close()


app = Starlette(
    routes=[
        Route("/orders", orders, methods=["GET", "HEAD", "OPTIONS"]),
        Route("/orders", order, methods=["POST"]),
        Route("/whoami", whoami),
        Route("/reports", reports),
        Route("/payments", payments, methods=["POST"]),
        WebSocketRoute("/ws", live),
        *guard.routes,
    ],
    lifespan=guard.lifespan,
)
