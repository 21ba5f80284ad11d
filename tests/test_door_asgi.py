"""The door of ASGI: WebSockets, mounts, and a service that becomes ready."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from door_world import DoorWorld, renewed_nonce
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.integrations import routes
from py_identity_model.integrations._guard import warm_up
from py_identity_model.integrations.asgi import POLICY_VIOLATION, ResourceServerMiddleware

PAGE = "https://app.example.com"
COOKIE = {"websocket_cookie": "token", "websocket_origins": [PAGE]}


@pytest.fixture
def world() -> DoorWorld:
    """A provider and its resource servers."""
    return DoorWorld()


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Tell who a request or a WebSocket is from, and which subprotocols are left."""
    user = scope["state"].get("principal")
    told = f"{user.subject if user else None} {scope.get('subprotocols', [])}"
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": told.encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": told})
    await send({"type": "websocket.close", "code": 1000})


def live(app: Any, headers: Any = (), subprotocols: Any = None) -> tuple[Any, str | None]:
    """Open a WebSocket: what it tells and its subprotocol, or the status that refuses it."""
    try:
        with TestClient(app).websocket_connect("/live", headers=dict(headers), subprotocols=subprotocols) as socket:
            return socket.receive_text(), socket.accepted_subprotocol
    except WebSocketDenialResponse as denied:
        return denied.status_code, denied.headers.get("www-authenticate")


def test_a_websocket_takes_the_token_of_its_header(world: DoorWorld) -> None:
    """As a request does; a refusal is an HTTP answer with the challenge, before anything is accepted."""
    app = ResourceServerMiddleware(inner, world.awaiting(), scopes=["orders.read"])
    assert live(app, world.bearer()) == ("ada []", None)
    assert str(live(app)[1]).startswith('Bearer scope="orders.read", DPoP')
    status, challenge = live(app, world.bearer(scope="other"))
    assert (status, 'error="insufficient_scope"' in str(challenge)) == (403, True)
    assert live(app, {"Authorization": "Bearer x.y.z"})[0] == 401


def test_a_websocket_takes_the_token_of_a_subprotocol(world: DoorWorld) -> None:
    """The one after the agreed name; the application sees neither, and the browser is answered the name."""
    app = ResourceServerMiddleware(inner, world.awaiting(), websocket_subprotocol="bearer")
    token = world.token()
    assert live(app, subprotocols=["bearer", token]) == ("ada []", "bearer")
    assert live(app, subprotocols=["chat", "bearer", token]) == ("ada ['chat']", "bearer")
    assert live(app, subprotocols=["bearer"])[0] == 401
    assert live(app, subprotocols=[token, "bearer"])[0] == 401
    assert live(app, world.bearer(), ["bearer", token])[0] == 400  # two tokens at once


def test_a_subprotocol_is_no_token_where_none_was_agreed(world: DoorWorld) -> None:
    """Without the setting only the header counts."""
    app = ResourceServerMiddleware(inner, world.awaiting())
    assert live(app, subprotocols=["bearer", world.token()])[0] == 401


@pytest.mark.parametrize(
    ("origin", "passes"),
    [(PAGE, True), ("https://evil.example.com", False), ("null", False), (None, False), (PAGE + ".evil.com", False)],
)
def test_a_cookie_counts_for_pages_of_ours_only(origin: str | None, passes: bool, world: DoorWorld) -> None:
    """Browsers send cookies along with every page's WebSockets, and say which page it is."""
    app = ResourceServerMiddleware(inner, world.awaiting(), **COOKIE)
    headers = {"Cookie": f"a=b; token={world.token()}"} | ({} if origin is None else {"Origin": origin})
    assert (live(app, headers)[0] == "ada []") is passes


def test_several_cookies_of_one_name_are_several_tokens(world: DoorWorld) -> None:
    """One of them may have been planted by a neighbouring host."""
    app = ResourceServerMiddleware(inner, world.awaiting(), **COOKIE)
    headers = {"Cookie": f"token={world.token()}; token={world.token()}", "Origin": PAGE}
    assert live(app, headers)[0] == 400


def test_a_cookie_of_a_request_is_no_token(world: DoorWorld) -> None:
    """It is for WebSockets only: requests of browsers can set headers."""
    app = ResourceServerMiddleware(inner, world.awaiting(), **COOKIE)
    assert TestClient(app, cookies={"token": world.token()}).get("/", headers={"Origin": PAGE}).status_code == 401


def test_a_cookie_without_origins_is_refused_when_it_is_written(world: DoorWorld) -> None:
    """Else any page could open a WebSocket in a user's name."""
    with pytest.raises(ConfigurationException) as failed:
        ResourceServerMiddleware(inner, world.awaiting(), websocket_cookie="token")
    assert failed.value.claim == "websocket_origins"


def test_a_server_that_cannot_answer_by_http_closes_before_it_accepts(world: DoorWorld) -> None:
    """With the code for a breach of policy; nothing else is sent."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/live", "headers": [], "subprotocols": [], "scheme": "wss", "server": None}
    anyio.run(ResourceServerMiddleware(inner, world.awaiting()), scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""}]


def test_a_service_becomes_ready_by_being_asked(world: DoorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only ready services get requests nothing else has the keys fetched; once in five seconds is enough."""
    asked, at = [], [100.0]
    monkeypatch.setattr(routes, "warm_up", asked.append)
    monkeypatch.setattr(routes.time, "monotonic", lambda: at[0])
    api = world.awaiting()
    service = routes.ServiceRoutes(api)
    for seconds in (0.0, 4.9, 0.2, 1.0):
        at[0] += seconds
        answer = service.answer("GET", "/readyz")
        assert answer is not None
        assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "5")
    assert asked == [api, api]


@pytest.mark.parametrize("colour", ["blocking", "awaiting"])
def test_the_keys_are_fetched_without_anybody_waiting(colour: str, world: DoorWorld) -> None:
    """In a task or in a thread, by the validator of either API."""
    api = getattr(world, colour)()

    async def main() -> None:
        warm_up(api)
        with anyio.fail_after(30):
            while not api.validator.health().usable:
                await anyio.sleep(0.01)

    anyio.run(main)


def test_a_next_nonce_goes_onto_the_response(world: DoorWorld) -> None:
    """A client whose DPoP nonce is about to end is told the next, on a WebSocket too."""
    dpop, old = renewed_nonce()
    app = ResourceServerMiddleware(inner, world.awaiting(dpop=dpop))
    client = TestClient(app)
    assert client.get("/", headers=world.bound("GET", "http://testserver/", old)).headers["dpop-nonce"]
    signed = world.bound("GET", "http://testserver/live", old)
    with client.websocket_connect("/live", headers=signed) as socket:
        assert b"dpop-nonce" in dict(socket.extra_headers)
