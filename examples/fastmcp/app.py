"""Orders for agents, with FastMCP: OIDC_ISSUER, OIDC_AUDIENCE, OIDC_RESOURCE; uvicorn app:app"""

from fastmcp import FastMCP

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.mcp import MCPGuard

server = FastMCP("Orders")
guard = MCPGuard(ResourceServer.from_env(), scopes=["orders.read"])


@server.tool
def whoami() -> str:
    """Tell who calls."""
    return guard.principal.subject or "a client"


@server.tool
@guard.requires(scopes=["orders.write"])
async def cancel(order: int) -> str:
    """Cancel an order."""
    return f"{guard.principal.subject} cancels {order}"


app = guard.protect(server.http_app(path="/mcp"))
