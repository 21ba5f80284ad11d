"""The client that the MCP conformance runner tests: the official SDK with ``MCPAuth``, told by the environment what."""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from py_identity_model import PrivateKeyJwt, SigningKey
from py_identity_model.aio import OAuthClient
from py_identity_model.integrations.mcp_client import MCPAuth

server, scenario = sys.argv[-1], os.environ["MCP_CONFORMANCE_SCENARIO"]
given = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
mode = "legacy" if os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "") < "2026-07-28" else "2026-07-28"
told = {name: given[name] for name in ("client_id", "client_secret", "issuer") if name in given}
told["client_metadata_url"] = "https://conformance-test.local/client-metadata.json"
if "client-credentials" in scenario:
    told["grant"] = "client_credentials"
if pem := given.get("private_key_pem"):
    told["private_key_jwt"] = PrivateKeyJwt(SigningKey.from_pem(pem, given["signing_algorithm"]))
if jwt := given.get("valid_jwt"):
    told["assertion"] = lambda to: jwt
if "idp_issuer" in given:
    idp = OAuthClient(given["idp_issuer"], client_id=given["idp_client_id"])
    told["assertion"] = lambda to: idp.cross_app(to.issuer, resource=to.resource, subject_token=given["idp_id_token"])


async def main() -> None:
    http = httpx2.AsyncClient(auth=MCPAuth(server, dpop="dpop" in scenario, **told), timeout=30)
    async with http, Client(streamable_http_client(server, http_client=http), mode=mode) as client:
        await client.list_tools()
        await client.call_tool("test-tool", {})


asyncio.run(main())
