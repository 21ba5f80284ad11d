"""Orders for agents, protected by FastMCP's own verifier: OIDC_ISSUER=... uvicorn fastmcp_jwt:app"""

import os

import httpx2
from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider, require_scopes
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token

ISSUER = os.environ["OIDC_ISSUER"]
metadata = httpx2.get(f"{ISSUER}/.well-known/openid-configuration").json()
verifier = JWTVerifier(
    jwks_uri=metadata["jwks_uri"],
    issuer=ISSUER,
    audience=os.environ["OIDC_AUDIENCE"],
    required_scopes=["orders.read"],
)
auth = RemoteAuthProvider(token_verifier=verifier, authorization_servers=[ISSUER], base_url=os.environ["OIDC_RESOURCE"])
server = FastMCP("Orders", auth=auth)


@server.tool
def whoami() -> str:
    """Tell who calls."""
    return get_access_token().claims["sub"]


@server.tool(auth=require_scopes("orders.write"))
async def cancel(order: int) -> str:
    """Cancel an order."""
    return f"{get_access_token().claims['sub']} cancels {order}"


app = server.http_app(path="/mcp")
