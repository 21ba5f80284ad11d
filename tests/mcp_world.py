"""An MCP server, its authorization servers, a user with a browser, and programs of both APIs that use the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
import trio

from py_identity_model._core.base.flow import Reply, Request
from py_identity_model.integrations import mcp_client
from py_identity_model.integrations.mcp_client import MCPAuth
from py_identity_model.stores import MemoryStore

SERVER = "https://mcp.example.com/mcp"
ISSUER = "https://id.example.net/tenant"
OTHER = "https://other.example.org"
METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
CIMD = "https://app.example.org/client.json"

JSON = (("content-type", "application/json"),)


def reply(document: Any, status: int = 200, **headers: str) -> Reply:
    """Answer with a JSON document."""
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, JSON + more, json.dumps(document).encode())


class Issuer:
    """An authorization server that is only data, and what was asked of it."""

    def __init__(self, issuer: str, form: str | None = None) -> None:
        self.issuer = issuer
        host, path = "/".join(issuer.split("/")[:3]), "/" + "/".join(issuer.split("/")[3:])
        #: Where the metadata is.
        self.place = form or f"{host}/.well-known/oauth-authorization-server{path.rstrip('/')}"
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "registration_endpoint": f"{issuer}/register",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
        }
        #: What is registered besides the identifier.
        self.registered: dict[str, Any] = {}
        #: What the authorization response holds, changed.
        self.answers: dict[str, str | None] = {}
        self.token: dict[str, Any] = {"token_type": "Bearer", "expires_in": 3600}
        self.registrations: list[dict[str, Any]] = []
        self.authorizations: list[dict[str, str]] = []
        self.tokens: list[dict[str, str]] = []
        self.credentials: list[str | None] = []
        self.made = 0
        #: Clients that are not known any more.
        self.unknown: set[str] = set()
        self.refreshes = True

    def answer(self, request: Request) -> Reply | None:
        """Answer a request, if it is for this server."""
        if request.url == self.place:
            return reply(self.metadata)
        if request.url == f"{self.issuer}/register":
            self.registrations.append(json.loads(request.body))
            name = f"client-{len(self.registrations)}-of-{urlsplit(self.issuer).hostname}"
            return reply({"client_id": name, **self.registrations[-1], **self.registered}, 201)
        if request.url == f"{self.issuer}/token":
            return self._token(request)
        return None

    def _token(self, request: Request) -> Reply:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.tokens.append(form)
        self.credentials.append(dict(request.headers).get("Authorization"))
        if form.get("client_id") in self.unknown:
            return reply({"error": "invalid_client"}, 401)
        self.made += 1
        scope = form.get("scope") or (self.authorizations[-1].get("scope") if self.authorizations else None)
        document = {"access_token": f"token-{self.made}-of-{urlsplit(self.issuer).hostname}", **self.token}
        if scope and "scope" not in document:
            document["scope"] = scope
        if self.refreshes and form["grant_type"] in ("authorization_code", "refresh_token"):
            document["refresh_token"] = f"refresh-{self.made}"
        return reply(document)

    def redirect(self, url: str) -> str:
        """Have the user agree, and return the query that the browser comes back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.authorizations.append(asked)
        given = {"code": "code", "state": asked["state"], "iss": self.issuer, **self.answers}
        return "?" + urlencode({name: value for name, value in given.items() if value is not None})


class Back:
    """An address on this machine that the browser of the world comes back to."""

    def __init__(self, world: World, path: str, port: int) -> None:
        self.world = world
        self.redirect_uri = f"http://127.0.0.1:{port}{path}"
        self.query: str | None = None

    def wait(self, seconds: float, belongs: Callable[[str], bool]) -> str | None:
        """Return what the browser brought, if it brought something."""
        if self.query is None:
            self.world.clock.pause(seconds)
        return self.query

    def close(self) -> None:
        """Stop listening."""
        self.world.listening -= 1


class World:
    """One MCP server, its authorization servers, and any number of programs.

    Args:
        kind: ``sync``, ``asyncio`` or ``trio``.
        clock: The clock of all.
    """

    def __init__(self, kind: str, clock: Any) -> None:
        self.kind, self.clock = kind, clock
        self.store: Any = MemoryStore(clock=lambda: float(clock.wall))
        self.issuers = {ISSUER: Issuer(ISSUER), OTHER: Issuer(OTHER)}
        self.resource: dict[str, Any] = {"resource": SERVER, "authorization_servers": [ISSUER]}
        #: Addresses of the metadata of the server.
        self.places = {METADATA}
        self.challenge = f'Bearer resource_metadata="{METADATA}"'
        #: Says how the server answers a request with a token: None takes it, else status and challenge.
        self.judge: Callable[[str], tuple[int, str] | None] = lambda token: None
        #: Answers of other addresses.
        self.more: dict[str, Callable[[Request], Reply]] = {}
        self.sent: list[Request] = []
        #: Tokens that the server saw; None for a request without one.
        self.seen: list[str | None] = []
        self.opened: list[str] = []
        self.listened: list[tuple[str, int]] = []
        self.taken: set[int] = set()
        self.listening = 0
        #: What the user does with a page.
        self.user: Callable[[str, Back], None] = lambda url, back: self.agree(url, back)

    @property
    def issuer(self) -> Issuer:
        """The first authorization server."""
        return self.issuers[ISSUER]

    # ---- the machine

    def listen(self, path: str, port: int = 0) -> Back:
        """Listen, as the browser's machine does."""
        if port in self.taken:
            from py_identity_model import ConfigurationException

            raise ConfigurationException("taken", code="loopback_unavailable")
        self.listened.append((path, port))
        self.listening += 1
        self.back = Back(self, path, port or 50000 + len(self.listened))
        return self.back

    def open(self, url: str) -> bool:
        """Open a page in the browser."""
        self.opened.append(url)
        self.user(url, self.back)
        return True

    def agree(self, url: str, back: Back) -> None:
        """Have the user log in and agree."""
        asked = next(one for one in self.issuers.values() if url.startswith(one.metadata["authorization_endpoint"]))
        back.query = asked.redirect(url)

    # ---- the network

    def transport(self, request: Request) -> Reply:
        """Answer whatever a program asks while it gets a token."""
        self.sent.append(request)
        if request.url in self.more:
            return self.more[request.url](request)
        if request.url in self.places:
            return reply(self.resource)
        answers = (one.answer(request) for one in self.issuers.values())
        return next((one for one in answers if one is not None), Reply(404, url=request.url))

    def serve(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the MCP server."""
        token = request.headers.get("authorization")
        self.seen.append(None if token is None else token.partition(" ")[2])
        refusal = (401, self.challenge) if token is None else self.judge(token.partition(" ")[2])
        if refusal is None:
            return httpx2.Response(200, json={})
        return httpx2.Response(refusal[0], headers={"www-authenticate": refusal[1]} if refusal[1] else {})

    def urls(self) -> list[str]:
        """Return what was fetched so far, and forget it."""
        urls = [request.url for request in self.sent]
        self.sent.clear()
        return urls

    # ---- programs

    def program(self, server: str = SERVER, **options: Any) -> MCPAuth:
        """Return the auth object of a program."""
        given = {"store": self.store, "http_client": self.transport, **options}
        return MCPAuth(server, **given)

    def post(self, auth: MCPAuth, url: str = SERVER, content: Any = b"{}") -> int:
        """Send a request of a program, and return the status."""
        if self.kind == "sync":
            with httpx2.Client(transport=Network(self), auth=auth) as client:
                return client.post(url, content=content).status_code

        async def main() -> int:
            async with httpx2.AsyncClient(transport=Network(self), auth=auth) as client:
                return (await client.post(url, content=content)).status_code

        return asyncio.run(main()) if self.kind == "asyncio" else trio.run(main)


class Network(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Leads requests to the server of a world, and reads no body before it is asked for."""

    def __init__(self, world: World) -> None:
        self.world = world

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a blocking client."""
        for _ in request.stream:  # type: ignore[union-attr] # it is the one of this kind of client
            pass
        return self.world.serve(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer an asynchronous client."""
        async for _ in request.stream:  # type: ignore[union-attr] # it is the one of this kind of client
            pass
        return self.world.serve(request)


def stand_in(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Put the browser of *world* in the place of this machine's."""
    monkeypatch.setattr(mcp_client, "Browser", lambda wanted: world)
    return world


def scopes(authorization: Mapping[str, str]) -> set[str]:
    """Return the scopes that were asked for."""
    return set(authorization.get("scope", "").split())
