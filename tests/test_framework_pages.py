"""The programs that the pages show for web frameworks: they serve, and they refuse as the page says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from werkzeug.test import Client

import snippets
from py_identity_model.sync._clients import close_http_client

ISSUER = "https://id.example.com"
AUDIENCE = "https://api.example.com"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[snippets.World]:
    """A provider behind the address of the pages."""
    world = snippets.World(monkeypatch, ISSUER)
    yield world
    world.forget()
    close_http_client()


def page(words: str, world: snippets.World) -> Any:
    """Run the block of the page that holds *words*, with those it continues, and return its application."""
    blocks = snippets.python_blocks(*sorted((snippets.ROOT / "docs" / "protect").glob("*.md")))
    return world.run(next(block for block in blocks if words in block.code))["app"]


def bearer(world: snippets.World, **claims: Any) -> dict[str, str]:
    """Return a header with a token for the API."""
    return {"Authorization": f"Bearer {world.provider.mint(audience=AUDIENCE, subject='ada', **claims)}"}


def refusals(get: Any, world: snippets.World) -> None:
    """A route of the page answers 401 without an error, 401, 403 with its scope, and 503 while the provider is down."""
    none, bad = get({}), get({"Authorization": "Bearer not.a.token"})
    assert (none[0], none[1], none[2].split(",")[0]) == (401, "", 'Bearer scope="orders.read"')
    assert (bad[0], bad[1]) == (401, '{"error":"invalid_token","error_description":"The token is not valid"}')
    assert 'error="invalid_token"' in bad[2]
    status, _, challenge = get(bearer(world, scope="other"))
    assert (status, 'scope="orders.read"' in challenge) == (403, True)
    world.forget()
    world.provider.play("outage", times=None)
    status, _, challenge = get(bearer(world, scope="orders.read"))
    assert (status, challenge) == (503, "")
    world.provider.recover()


def starlette_get(client: TestClient, path: str) -> Any:
    """Return how a path answers: status, body, challenges."""

    def get(headers: dict[str, str]) -> tuple[int, str, str]:
        answer = client.get(path, headers=headers)
        return answer.status_code, answer.text, ",".join(answer.headers.get_list("www-authenticate"))

    return get


def test_fastapi(world: snippets.World) -> None:
    """The application serves, refuses, is ready, and shows its scopes."""
    with TestClient(page("FastAPI(lifespan=guard.lifespan)", world)) as client:
        assert client.get("/orders", headers=bearer(world, scope="orders.read")).json() == {"subject": "ada"}
        assert client.get("/readyz").status_code == 200
        operation = client.get("/openapi.json").json()["paths"]["/orders"]["get"]
        assert operation["security"] == [{"access_token": ["orders.read"]}]
        refusals(starlette_get(client, "/orders"), world)


def test_fastapi_docs_page(world: snippets.World) -> None:
    """OpenAPI offers the scopes of the API as soon as the provider is known, also to who asked before."""
    world.provider.play("outage", times=None)
    with TestClient(page("swagger_ui_init_oauth", world)) as client:
        assert client.get("/orders", headers=bearer(world, scope="orders.read")).status_code == 503
        assert security(client)["type"] == "openIdConnect"
        world.provider.recover()
        world.forget()
        assert client.get("/orders", headers=bearer(world, scope="orders.read")).status_code == 200
        known = security(client)
        assert list(known["flows"]["authorizationCode"]["scopes"]) == ["openid", "orders.read", "orders.write"]
        assert '"additionalQueryStringParams": {"resource": "https://api.example.com"}' in client.get("/docs").text
        world.provider.play("outage", times=None)
        assert security(client) == known


def security(client: TestClient) -> Any:
    """Return how OpenAPI describes tokens."""
    return client.get("/openapi.json").json()["components"]["securitySchemes"]["access_token"]


def test_fastapi_further(world: snippets.World) -> None:
    """Roles, nobody, a router and a WebSocket: each passes and refuses."""
    with TestClient(page("APIRouter", world)) as client:
        auditor, other = bearer(world, roles=["auditor"]), bearer(world, roles=["clerk"], scope="admin")
        assert client.get("/reports", headers=auditor).json() == {"roles": ["auditor"]}
        assert client.get("/reports", headers=other).status_code == 403
        assert client.get("/whoami").json() == {"subject": None}
        assert client.get("/admin/users", headers=other).json() == []
        assert client.get("/admin/users", headers=auditor).status_code == 403
        with client.websocket_connect("/live", headers=auditor) as socket:
            assert socket.receive_json() == {"subject": "ada"}
        for headers, status in ((other, 403), ({}, 401)):
            with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/live", headers=headers):
                pass
            assert denied.value.status_code == status


def test_flask(world: snippets.World) -> None:
    """The application serves, refuses and is healthy; a blueprint is protected whole."""
    client = page("Blueprint", world).test_client()

    def get(headers: dict[str, str]) -> tuple[int, str, str]:
        answer = client.get("/orders", headers=headers)
        return answer.status_code, answer.text, ",".join(answer.headers.getlist("www-authenticate"))

    assert client.get("/orders", headers=bearer(world, scope="orders.read")).json == {"subject": "ada"}
    assert client.get("/healthz").status_code == 200
    assert client.get("/admin/users").status_code == 401
    assert client.get("/admin/users", headers=bearer(world, roles=["owner"])).json == []
    assert client.get("/whoami").json == {"subject": None}
    refusals(get, world)


def test_any_asgi_application(world: snippets.World) -> None:
    """The middleware serves, refuses, and lets excluded paths through to the application."""
    with TestClient(page("ResourceServerMiddleware(inner", world)) as client:
        assert client.get("/orders", headers=bearer(world, scope="orders.read")).json() == {"subject": "ada"}
        assert client.get("/docs").status_code == 404
        assert client.get("/public/a").status_code == 404
        assert client.get("/public/../orders").status_code == 401
        assert client.get("/healthz").status_code == 200
        refusals(starlette_get(client, "/orders"), world)


def test_mcp_server(world: snippets.World) -> None:
    """The server lists its tools to a good token, and sends everybody else to its metadata."""
    resource = "https://mcp.example.com/mcp"
    metadata = 'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"'
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "cancel", "arguments": {"order": 1}},
    }
    with TestClient(page("MCPGuard(api", world), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/.well-known/oauth-protected-resource/mcp").json()["resource"] == resource
        none = client.post("/mcp", json=message)
        assert (none.status_code, metadata in none.headers["www-authenticate"]) == (401, True)
        less = world.provider.mint(audience=resource, scope="orders.read")
        refused = client.post("/mcp", json=message, headers={"Authorization": f"Bearer {less}"})
        assert (refused.status_code, 'scope="orders.read orders.write"' in refused.headers["www-authenticate"]) == (
            403,
            True,
        )
        good = world.provider.mint(audience=resource, scope="orders.read orders.write")
        answer = client.post("/mcp", json=message, headers={"Authorization": f"Bearer {good}"})
        assert answer.status_code not in (401, 403, 503)


def test_any_wsgi_application(world: snippets.World) -> None:
    """The middleware serves and refuses, and lets excluded paths through to the application as nobody."""
    client = Client(page("ResourceServerMiddleware(orders", world))
    assert client.get("/orders", headers=bearer(world, scope="orders.read")).text == "ada"
    assert client.get("/docs").text == "nobody"
    assert client.get("/healthz").status_code == 200

    def get(headers: dict[str, str]) -> tuple[int, str, str]:
        answer = client.get("/orders", headers=headers)
        return answer.status_code, answer.text, ",".join(answer.headers.getlist("www-authenticate"))

    refusals(get, world)


def test_starlette(world: snippets.World) -> None:
    """The application serves and refuses, by the guard's own decorator and by Starlette's."""
    with TestClient(page("@requires", world)) as client:
        good = bearer(world, scope="orders.read")
        assert client.get("/orders", headers=good).json() == {"subject": "ada"}
        assert client.get("/reports", headers=good).json() == {"subject": "ada"}
        assert client.get("/healthz").status_code == 200
        for headers, status in (({}, 401), (bearer(world, scope="other"), 403)):
            answer = client.get("/reports", headers=headers)
            assert answer.status_code == status
            assert 'scope="orders.read"' in answer.headers["www-authenticate"]
        refusals(starlette_get(client, "/orders"), world)


def test_litestar(world: snippets.World) -> None:
    """The application serves and refuses, and its OpenAPI names the scheme and the scopes of each route."""
    with TestClient(page("LitestarGuard(", world)) as client:
        assert client.get("/orders", headers=bearer(world, scope="orders.read")).json() == {"subject": "ada"}
        assert client.get("/healthz").status_code == 200
        document = client.get("/schema/openapi.json").json()
        assert document["paths"]["/orders"]["get"]["security"] == [{"access_token": ["orders.read"]}]
        flow = document["components"]["securitySchemes"]["access_token"]["flows"]["authorizationCode"]
        assert flow["tokenUrl"].startswith(ISSUER)
        refusals(starlette_get(client, "/orders"), world)
