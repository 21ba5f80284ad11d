"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=api python -m aiohttp.web app:make"""

from aiohttp import web

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.aiohttp import AiohttpGuard, find_principal, principal_of

guard = AiohttpGuard(ResourceServer.from_env())
routes = web.RouteTableDef()


@routes.get("/orders")
@routes.options("/orders")
@guard.protect(scopes=["orders.read"])
async def orders(request):
    user = find_principal(request)
    return web.json_response({"subject": user.subject if user else None})


@routes.post("/orders")
@guard.protect(scopes=["orders.read", "orders.write"])
async def order(request):
    return web.json_response({"subject": principal_of(request).subject})


@routes.get("/whoami")
@guard.protect(optional=True)
async def whoami(request):
    user = find_principal(request)
    return web.json_response({"subject": user.subject if user else None})


@routes.view("/reports")
class Reports(web.View):
    @guard.protect(any_role=["auditor", "owner"])
    async def get(self):
        return web.json_response({"subject": principal_of(self.request).subject})


@routes.post("/payments")
@guard.protect(scopes=["pay"], acr_values=["phr"], max_age=300)
async def payments(request):
    return web.json_response({"subject": principal_of(request).subject})


@routes.get("/ws")
@guard.protect(scopes=["orders.read"])
async def live(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_json({"subject": principal_of(request).subject})
    return socket


def make(argv):
    app = web.Application()
    app.add_routes(routes)
    guard.setup(app)
    return app
