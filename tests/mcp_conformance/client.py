"""The client that the MCP conformance runner tests: the official SDK with ``MCPAuth``, and a browser that agrees."""

import asyncio
import json
import os
import sys
from threading import Thread

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from py_identity_model import PrivateKeyJwt, SigningKey
from py_identity_model.integrations.mcp_client import MCPAuth

SERVER, SCENARIO = sys.argv[-1], os.environ["MCP_CONFORMANCE_SCENARIO"]
GIVEN = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
MODE = {"2026-07-28": "2026-07-28"}.get(os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2026-07-28"), "legacy")


def agree(page: str) -> None:
    Thread(target=httpx2.get, args=(page,), kwargs={"follow_redirects": True}).start()


options = {name: GIVEN[name] for name in ("client_id", "client_secret", "issuer") if name in GIVEN}
if "private_key_pem" in GIVEN:
    options["private_key_jwt"] = PrivateKeyJwt(
        SigningKey.from_pem(GIVEN["private_key_pem"], GIVEN["signing_algorithm"])
    )
if "client-credentials" in SCENARIO:
    options["grant"] = "client_credentials"
if "valid_jwt" in GIVEN:
    options["assertion"] = lambda target: GIVEN["valid_jwt"]
if not options:
    options["client_metadata_url"] = "https://conformance-test.local/client-metadata.json"


async def main() -> None:
    auth = MCPAuth(SERVER, dpop="dpop" in SCENARIO, browser=False, show=agree, **options)
    http = httpx2.AsyncClient(auth=auth, timeout=30)
    async with http, Client(streamable_http_client(SERVER, http_client=http), mode=MODE) as client:
        await client.list_tools()
        await client.call_tool("test-tool", {})


asyncio.run(main())
