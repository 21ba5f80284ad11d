"""The client that the MCP conformance runner tests: the official SDK with ``MCPAuth``; ``MCP_CONFORMANCE_*`` say what.

The runner gives the address of a server as the argument. A browser that agrees to everything stands in for the user.
"""

import asyncio
import json
import os
import sys
import threading

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from py_identity_model import PrivateKeyJwt, SigningKey
from py_identity_model.integrations.mcp_client import MCPAuth

SERVER = sys.argv[-1]
SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"].removeprefix("auth/")
GIVEN = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))


def agree(url: str) -> None:
    threading.Thread(target=httpx2.get, args=(url,), kwargs={"follow_redirects": True}).start()


OPTIONS = {name: GIVEN[name] for name in ("client_id", "client_secret", "issuer") if name in GIVEN}
if "private_key_pem" in GIVEN:
    key = SigningKey.from_pem(GIVEN["private_key_pem"], GIVEN["signing_algorithm"])
    OPTIONS["private_key_jwt"] = PrivateKeyJwt(key)
if SCENARIO.startswith("client-credentials"):
    OPTIONS["grant"] = "client_credentials"
if "valid_jwt" in GIVEN:
    OPTIONS["assertion"] = lambda target: GIVEN["valid_jwt"]


async def main() -> None:
    url = "https://conformance-test.local/client-metadata.json"
    auth = MCPAuth(SERVER, client_metadata_url=url, dpop="dpop" in SCENARIO, browser=False, show=agree, **OPTIONS)
    mode = "2026-07-28" if os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2026-07-28") == "2026-07-28" else "legacy"
    async with httpx2.AsyncClient(auth=auth, timeout=30) as http:
        async with Client(streamable_http_client(SERVER, http_client=http), mode=mode) as client:
            await client.list_tools()
            await client.call_tool("test-tool", {})


asyncio.run(main())
