"""Orders for agents, with the official SDK: OIDC_ISSUER, OIDC_AUDIENCE, OIDC_RESOURCE; uvicorn app:app"""

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.mcp import MCPGuard

server = MCPServer("Orders")
guard = MCPGuard(ResourceServer.from_env(), scopes=["orders.read"])


@server.tool()
def whoami() -> str:
    """Tell who calls."""
    return guard.principal.subject or "a client"


@server.tool()
@guard.requires(scopes=["orders.write"])
async def cancel(order: int) -> str:
    """Cancel an order."""
    return f"{guard.principal.subject} cancels {order}"


# The proxy in front knows the names of this server; the SDK's own list is for servers on a desktop.
names = TransportSecuritySettings(enable_dns_rebinding_protection=False)
app = guard.protect(server.streamable_http_app(transport_security=names))
