"""The API behind the page of ``examples/bff``: orders, events about them, and a WebSocket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Request, Security, WebSocket
from fastapi.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from py_identity_model import AuthenticatedPrincipal
from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.fastapi import FastAPIGuard

guard = FastAPIGuard(ResourceServer.from_env())
app = FastAPI(lifespan=guard.lifespan)
app.include_router(guard.routes)
Reader = Annotated[AuthenticatedPrincipal, Security(guard, scopes=["orders.read"])]
Writer = Annotated[AuthenticatedPrincipal, Security(guard, scopes=["orders.write"])]
Payer = Annotated[AuthenticatedPrincipal, Security(guard.require(acr_values=["phr"]))]


@app.get("/orders")
async def orders(user: Reader, request: Request) -> dict[str, object]:
    """Tell whose orders they are, and what the API saw of the browser."""
    return {"subject": user.subject, "cookie": request.headers.get("cookie")}


@app.post("/orders")
async def order(user: Writer, request: Request) -> dict[str, object]:
    """Take an order."""
    return {"subject": user.subject, "length": len(await request.body())}


@app.get("/payments")
async def payments(user: Payer) -> dict[str, object]:
    """Want a stronger login."""
    return {"subject": user.subject}


@app.get("/events")
async def events(user: Reader) -> StreamingResponse:
    """Send an event again and again."""

    async def each() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"data: {user.subject} {number}\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(each(), media_type="text/event-stream")


@app.websocket("/ws")
async def echo(socket: WebSocket, user: Reader) -> None:
    """Send back what comes."""
    await socket.accept()
    try:
        while True:
            await socket.send_text(f"{user.subject}: {await socket.receive_text()}")
    except WebSocketDisconnect:
        pass
