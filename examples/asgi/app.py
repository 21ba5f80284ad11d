"""Orders, protected: OIDC_ISSUER=https://id.example.com OIDC_AUDIENCE=https://api.example.com uvicorn app:app"""

import json

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.asgi import ResourceServerMiddleware

api = ResourceServer.from_env()


async def subject(scope, receive, send):
    user = scope["state"]["principal"]
    headers = [(b"content-type", b"application/json")]
    body = json.dumps({"subject": user.subject if user else None}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def live(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps({"subject": scope["state"]["principal"].subject})})
    await send({"type": "websocket.close", "code": 1000})


async def others_or_lifespan(scope, receive, send):
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
    else:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})


reading = ResourceServerMiddleware(subject, api, scopes=["orders.read"])
writing = ResourceServerMiddleware(subject, api, scopes=["orders.read", "orders.write"])
# Browsers cannot set headers of a WebSocket: pages of the application send a subprotocol, or a cookie.
listening = ResourceServerMiddleware(
    live,
    api,
    scopes=["orders.read"],
    websocket_subprotocol="bearer",
    websocket_cookie="access_token",
    websocket_origins=["https://app.example.com"],
)
ROUTES = {
    (None, "/ws"): listening,
    ("GET", "/orders"): reading,
    ("HEAD", "/orders"): reading,
    ("OPTIONS", "/orders"): reading,
    ("POST", "/orders"): writing,
    ("GET", "/whoami"): ResourceServerMiddleware(subject, api, optional=True),
    ("GET", "/reports"): ResourceServerMiddleware(subject, api, any_role=["auditor", "owner"]),
    ("POST", "/payments"): ResourceServerMiddleware(subject, api, scopes=["pay"], acr_values=["phr"], max_age=300),
}
# Every other path needs a token, but for metadata, health and readiness, which any of these answers.
others = ResourceServerMiddleware(others_or_lifespan, api)


async def app(scope, receive, send):
    route = ROUTES.get((scope.get("method"), scope.get("path")), others)
    await route(scope, receive, send)
