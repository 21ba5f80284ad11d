"""An MCP server: OIDC_ISSUER, OIDC_AUDIENCE and OIDC_RESOURCE=https://mcp.example.com/mcp; uvicorn mcp_server:app"""

from mcp.server.mcpserver import MCPServer

from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.mcp import MCPGuard

server = MCPServer("Orders")
guard = MCPGuard(ResourceServer.from_env(), scopes=["orders.read"])


@server.tool()
def whoami() -> str:
    """Tell who calls."""
    return guard.principal.subject or "a client"


app = guard.protect(server.streamable_http_app())
