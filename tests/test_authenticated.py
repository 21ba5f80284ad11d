"""A principal without a provider: the same table of requests in every framework, through the door's own gate."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import functools
import importlib.util
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer as AiohttpServer
from django.test import Client, override_settings
from litestar.testing import TestClient as LitestarClient
from starlette.testclient import TestClient
from werkzeug.test import Client as WsgiClient

import test_door_django as world
from door_world import DoorWorld
from doors import AUDIENCE, EXAMPLES, FORBIDDEN, STEP_UP
from py_identity_model import Requirement, ResourceServer, parse_challenges
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.testing import StandIn, authenticated
from py_identity_model.testing._objects import found_in

SOURCE = EXAMPLES.parent / "src" / "py_identity_model"
#: A request of the test, and status, challenges and body of its answer.
Answer = tuple[int, list[str], Any]
Ask = Callable[..., Answer]
WEBSOCKETS = ("fastapi", "starlette", "litestar")


class Program(NamedTuple):
    """A program of the examples in this process, and how it is asked."""

    name: str
    app: Any
    ask: Ask


def by_http_client(client: Any) -> Ask:
    """Return how the clients of Starlette and Litestar ask."""

    def ask(method: str, path: str, headers: Any = None) -> Answer:
        answer = client.request(method, path, headers=headers)
        return (
            answer.status_code,
            answer.headers.get_list("www-authenticate"),
            answer.json() if answer.content else None,
        )

    return ask


def by_werkzeug(client: Any) -> Ask:
    """Return how the clients of Flask and of WSGI ask."""

    def ask(method: str, path: str, headers: Any = None) -> Answer:
        answer = client.open(path, method=method, headers=headers)
        return answer.status_code, answer.headers.getlist("www-authenticate"), answer.get_json(silent=True)

    return ask


def by_quart(app: Any) -> Ask:
    """Return how the client of Quart asks."""

    def ask(method: str, path: str, headers: Any = None) -> Answer:
        async def asking() -> Answer:
            answer = await app.test_client().open(path, method=method, headers=headers)
            return answer.status_code, answer.headers.getlist("www-authenticate"), await answer.get_json(silent=True)

        return asyncio.run(asking())

    return ask


def by_aiohttp(app: Any) -> Ask:
    """Return how the client of aiohttp asks: over a socket, in a task of the server."""

    def ask(method: str, path: str, headers: Any = None) -> Answer:
        async def asking() -> Answer:
            async with AiohttpClient(AiohttpServer(app())) as client:
                answer = await client.request(method, path, headers=headers)
                body = await answer.json(content_type=None) if await answer.read() else None
                return answer.status, answer.headers.getall("www-authenticate", []), body

        return asyncio.run(asking())

    return ask


def by_django(client: Any) -> Ask:
    """Return how the client of Django asks, which splits no headers."""

    def ask(method: str, path: str, headers: Any = None) -> Answer:
        answer = client.generic(method, path, headers=headers)
        found = [value for name, value in answer.headers.items() if name.lower() == "www-authenticate"]
        return answer.status_code, found, answer.json() if answer.content else None

    return ask


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], Any]]:
    """A function that loads a program of the examples, once; its settings are in the environment."""
    loaded: dict[str, Any] = {}

    def loading(name: str) -> Any:
        if name not in loaded:
            spec: Any = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / name / "app.py")
            loaded[name] = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded[name])
        return loaded[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_ISSUER", "https://id.example.com")
        patch.setenv("OIDC_AUDIENCE", AUDIENCE)
        yield loading
    for made in loaded.values():
        del sys.modules[made.__name__]


@pytest.fixture(scope="module")
def django() -> Iterator[Any]:
    """A client of an application of Django with the same routes; its settings are those of the tests of that door."""
    urls: Any = types.ModuleType("urls_of_test_authenticated")
    sys.modules[urls.__name__] = urls
    payments = world.protect(scopes=["pay"], acr_values=["phr"], max_age=300)(world.said)
    urls.urlpatterns = [
        world.path("orders", world.protect(scopes=["orders.read"])(world.said)),
        world.path("whoami", world.protect(optional=True)(world.said)),
        world.path("reports", world.protect(any_role=["auditor", "owner"])(world.said_in_loop)),
        world.path("payments", payments),
    ]
    said = {"ISSUER": "https://id.example.com", "AUDIENCE": AUDIENCE}
    with override_settings(ROOT_URLCONF=urls.__name__, PY_IDENTITY_MODEL=said):
        yield Client()
    del sys.modules[urls.__name__]


FRAMEWORKS = ["fastapi", "starlette", "litestar", "flask", "quart", "aiohttp", "asgi", "wsgi", "django"]


@pytest.fixture(params=FRAMEWORKS)
def program(request: pytest.FixtureRequest, load: Callable[[str], Any]) -> Program:
    """Each framework's program in turn."""
    name = request.param
    if name == "django":
        client = request.getfixturevalue("django")
        return Program(name, client, by_django(client))
    made = load(name)
    if name == "aiohttp":
        return Program(name, made.make([]), by_aiohttp(lambda: made.make([])))
    ways: dict[str, Callable[[Any], Ask]] = {
        "litestar": lambda app: by_http_client(LitestarClient(app)),
        "flask": lambda app: by_werkzeug(app.test_client()),
        "wsgi": lambda app: by_werkzeug(WsgiClient(app)),
        "quart": by_quart,
    }
    return Program(name, made.app, ways.get(name, lambda app: by_http_client(TestClient(app)))(made.app))


def parameters(challenges: list[str]) -> dict[str, str]:
    """Return the parameters of the Bearer challenge."""
    return dict(next(each for each in parse_challenges(challenges) if each.has_scheme("Bearer")).parameters)


def test_requests_are_from_whom_the_test_says(program: Program) -> None:
    """Let in with the scope, 403 with another one, 401 before and after the block: all by the route's own demand."""
    assert program.ask("GET", "/orders")[0] == 401
    with authenticated(program.app, subject="ada", scopes=["orders.read"]):
        status, _, body = program.ask("GET", "/orders")
        assert (status, body["subject"]) == (200, "ada")
    with authenticated(program.app, subject="ada", scopes=["orders.reader"]):
        status, challenges, body = program.ask("GET", "/orders")
        assert (status, body, parameters(challenges)) == (403, FORBIDDEN, {**FORBIDDEN, "scope": "orders.read"})
    assert program.ask("GET", "/orders")[0] == 401


def test_roles_and_logins_are_demanded_as_ever(program: Program) -> None:
    """A role is found where the application looks for roles; an old or weak login still gets the step-up challenge."""
    now = DoorWorld().provider.now()
    with authenticated(program.app, roles=["auditor"]):
        assert program.ask("GET", "/reports")[0] == 200
    with authenticated(program.app, roles=["clerk"]):
        assert program.ask("GET", "/reports")[0] == 403
    with authenticated(program.app, scopes="pay", acr="phr", auth_time=now):
        assert program.ask("POST", "/payments")[0] == 200
    for told in ({}, {"acr": "pwd", "auth_time": now}, {"acr": "phr", "auth_time": now - 400}):
        with authenticated(program.app, scopes="pay", **told):
            status, challenges, body = program.ask("POST", "/payments")
            assert (status, body, parameters(challenges)["acr_values"]) == (401, STEP_UP, "phr")


def test_nobody_gets_the_real_answer(program: Program) -> None:
    """The subject None is a request without a token: 401 without an error, and nobody where nobody is enough."""
    with authenticated(program.app, subject="ada", scopes=["orders.read"]):
        with authenticated(program.app, subject=None) as nobody:
            status, challenges, _ = program.ask("GET", "/orders")
            assert (status, parameters(challenges), dict(nobody.headers)) == (401, {"scope": "orders.read"}, {})
            assert program.ask("GET", "/whoami")[2]["subject"] is None
        assert program.ask("GET", "/whoami")[2]["subject"] == "ada"


def test_blocks_nest_and_end_with_exceptions(program: Program) -> None:
    """The inner block counts; after any way out of it the outer one does, and after that the application's own gate."""
    gates = [(api, api.gate) for api in found_in(program.app, ResourceServer)]
    with authenticated(program.app, subject="ada", scopes="orders.read"):
        with suppress(ZeroDivisionError), authenticated(program.app, subject="bob", scopes="orders.read"):
            assert program.ask("GET", "/orders")[2]["subject"] == "bob"
            raise ZeroDivisionError
        assert program.ask("GET", "/orders")[2]["subject"] == "ada"
    assert program.ask("GET", "/orders")[0] == 401
    assert all(api.gate is gate for api, gate in gates)


def test_credentials_of_the_request_itself_are_judged(program: Program) -> None:
    """A token that is not valid is refused inside a block, too, and what was sent wrongly is 400."""
    with authenticated(program.app, subject="ada", scopes="orders.read"):
        assert program.ask("GET", "/orders", {"Authorization": "Bearer x.y.z"})[0] == 401
        assert program.ask("GET", "/orders", {"Authorization": "Basic YTpi"})[0] == 401
        assert program.ask("GET", "/orders?access_token=x")[0] == 400


def test_another_thread_names_the_principal_by_a_header(program: Program) -> None:
    """A server in a thread of its own knows no block; its headers say which one counts, while it lasts."""
    block = authenticated(program.app, subject="ada", scopes="orders.read", everywhere=False)
    with ThreadPoolExecutor(1) as pool, block as ada:
        empty = contextvars.Context()
        ask = lambda headers: pool.submit(empty.run, program.ask, "GET", "/orders", headers).result()  # noqa: E731
        assert ask(None)[0] == 401
        assert ask(dict(ada.headers))[2]["subject"] == "ada"
    assert program.ask("GET", "/orders", dict(ada.headers))[0] == 401


@pytest.mark.parametrize("name", WEBSOCKETS)
def test_a_websocket_is_from_whom_the_test_says(name: str, load: Callable[[str], Any]) -> None:
    """Its request goes through the same gate."""
    app = load(name).app
    client: Any = LitestarClient(app) if name == "litestar" else TestClient(app)
    with authenticated(app, subject="ada", scopes="orders.read"), client.websocket_connect("/ws") as socket:
        assert socket.receive_json() == {"subject": "ada"}


# ---------------------------------------------------------------------------------------------------------------------
# At the same time


def test_threads_have_their_own_principals(load: Callable[[str], Any]) -> None:
    """Eight tests in eight threads ask one application, each as another user, none as somebody else."""
    app, together = load("flask").app, threading.Barrier(8)

    def asking(number: int) -> list[str]:
        found = []
        with authenticated(app, subject=f"user-{number}", scopes="orders.read"):
            for _ in range(20):
                together.wait(30)
                found.append(app.test_client().get("/orders").get_json()["subject"])
        return found

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(asking, range(8))):
            assert found == [f"user-{number}"] * 20
    assert app.test_client().get("/orders").status_code == 401


@pytest.mark.parametrize("name", ["quart", "asgi"])
def test_tasks_have_their_own_principals(name: str, load: Callable[[str], Any]) -> None:
    """Tasks of one loop ask at the same time, each as another user."""
    import httpx

    app = load(name).app

    async def asking(number: int) -> str:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        async with authenticated(app, subject=f"user-{number}", scopes="orders.read"), client:
            await asyncio.sleep(0)
            return str((await client.get("/orders")).json()["subject"])

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(asking, range(8)))

    assert asyncio.run(all_of_them()) == [f"user-{number}" for number in range(8)]


def test_a_task_that_outlives_its_block_is_nobody(load: Callable[[str], Any]) -> None:
    """A copied context opens nothing once the block has ended."""
    app = load("flask").app
    with authenticated(app, scopes="orders.read"):
        later = contextvars.copy_context()
        assert later.run(app.test_client().get, "/orders").status_code == 200
        with authenticated(app, subject="bob"):  # a gate of a test is in place, and yet
            pass
    with authenticated(app, subject=None):
        assert later.run(app.test_client().get, "/orders").status_code == 401


def test_two_tests_everywhere_are_told(load: Callable[[str], Any]) -> None:
    """Whom a request to aiohttp is from could not be told: the second block does not begin."""
    app = load("aiohttp").make([])
    with authenticated(app, subject="ada"), authenticated(app, subject="bob"):
        with pytest.raises(ConfigurationException) as caught:
            contextvars.Context().run(authenticated(app, subject="eve").__enter__)
        assert caught.value.code == "stand_in_ambiguous"
        with authenticated(app, subject="eve", everywhere=False) as eve:
            assert eve.headers


def test_a_block_cannot_be_entered_twice(load: Callable[[str], Any]) -> None:
    """One object is one block; ending it twice is harmless, and it can be used again."""
    app = load("flask").app
    made = authenticated(app, scopes="orders.read")
    with made:
        with pytest.raises(ConfigurationException) as caught:
            made.__enter__()
        assert caught.value.code == "stand_in_open"
        made.__exit__(None, None, None)
        assert app.test_client().get("/orders").status_code == 401
    with made:
        assert app.test_client().get("/orders").status_code == 200


# ---------------------------------------------------------------------------------------------------------------------
# What the application does with a principal


def ask_gate(api: Any, requirement: Requirement | None = None) -> Any:
    """Return the decision about a request without credentials."""
    from py_identity_model import InboundRequest

    request = InboundRequest("GET", f"{AUDIENCE}/orders")
    decision = api.decide(request, requirement)
    return asyncio.run(decision) if asyncio.iscoroutine(decision) else decision


@pytest.fixture(params=["blocking", "awaiting"])
def made(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that makes a resource server of either API."""
    return getattr(DoorWorld(), request.param)  # type: ignore[no-any-return] # it is one of the two


def test_users_are_loaded(made: Callable[..., Any]) -> None:
    """load_user runs on the principal of a test; where it knows nobody, that is refused."""
    api = made(load_user=lambda principal: {"ada": "Ada Lovelace"}.get(principal.subject))
    with authenticated(api, subject="ada"):
        assert ask_gate(api).user == "Ada Lovelace"
    with authenticated(api, subject="bob"):
        assert ask_gate(api).status == 401


def test_decisions_and_refusals_are_the_applications(made: Callable[..., Any]) -> None:
    """check= is asked, and on_refusal sees what it refuses."""
    seen: list[str] = []
    api = made(on_refusal=lambda error, request, refusal: seen.append(error.code))
    with authenticated(api, subject="ada"):
        wanted = Requirement(check=lambda principal: principal.subject == "bob")
        assert (ask_gate(api, wanted).status, seen) == (403, ["access_denied"])


def test_claims_are_as_the_provider_would_make_them(made: Callable[..., Any]) -> None:
    """Issuer and audience are those that the application trusts; named claims go first, None takes one out."""
    api = made(roles=[("realm_access", "roles")], scope_hierarchy={"admin": ["orders.read"]})
    with authenticated(
        api, subject="ada", roles=["owner"], scopes=["admin"], claims={"tenant": "t1", "client_id": None}
    ):
        principal = ask_gate(api, Requirement(scopes=["orders.read"], roles=["owner"], claims={"tenant": "t1"}))
    assert principal.issuer == "https://id.example.com"
    assert (principal.claims["aud"], principal.client_id, principal.is_machine) == (AUDIENCE, None, False)
    assert principal.claims["realm_access"] == {"roles": ["owner"]}
    assert principal.claims["exp"] - principal.claims["iat"] == 300
    with authenticated(api, subject="reporter", client_id="reporter", token_kind="opaque"):
        assert (ask_gate(api).is_machine, ask_gate(api).token_kind) == (True, "opaque")


def test_bound_tokens_are_demanded_as_ever(made: Callable[..., Any]) -> None:
    """A principal that came by DPoP meets sender_constrained; a bearer does not, and an API that wants none refuses."""
    bound, api = Requirement(sender_constrained=True), made()
    with authenticated(api, scheme="DPoP"):
        assert (ask_gate(api, bound).scheme, ask_gate(api, bound).is_bound) == ("DPoP", True)
    with authenticated(api, scheme="DPoP", scopes=["other"]):
        refusal = ask_gate(api, Requirement(scopes=["orders.read"]))
        told = [value for name, value in refusal.headers if name == "www-authenticate"]
        erring = [each.partition(" ")[0] for each in told if "insufficient_scope" in each]
        assert (refusal.status, erring) == (403, ["DPoP"])
    with authenticated(api):
        assert ask_gate(api, bound).status == 401
    strict, lax = made(sender_constraint="required"), made(sender_constraint="refused")
    with authenticated([strict, lax], scheme="DPoP"):
        assert (ask_gate(strict).is_bound, ask_gate(lax).status) == (True, 401)
    with authenticated([strict, lax]):
        assert (ask_gate(strict).status, ask_gate(lax).subject) == (401, "alice")


# ---------------------------------------------------------------------------------------------------------------------
# Where it is found, and where not


def test_another_application_is_left_alone(load: Callable[[str], Any]) -> None:
    """A block is for one application: others in the process, even in the same request, keep their gates."""
    flask, starlette = load("flask").app, load("starlette").app
    with authenticated(flask, scopes="orders.read"):
        assert TestClient(starlette).get("/orders").status_code == 401
        assert flask.test_client().get("/orders").status_code == 200
        with authenticated(starlette, subject="bob", scopes="orders.read"):
            assert flask.test_client().get("/orders").get_json() == {"subject": "alice"}
            assert TestClient(starlette).get("/orders").json() == {"subject": "bob"}


def test_what_a_cache_remembers_is_of_no_application() -> None:
    """Frameworks share caches of functions and types, which hold parts of every application of the process."""
    api = DoorWorld().blocking()

    @functools.lru_cache
    def remembered(one: object) -> object:
        return one

    remembered(api)
    assert found_in([remembered], ResourceServer) == []
    assert found_in([functools.partial(print, api), lambda: api], ResourceServer) == [api]


def test_guards_and_test_clients_stand_for_their_application(load: Callable[[str], Any]) -> None:
    """What is at hand will do: the guard, its resource server, a client, an application mounted in another."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    made = load("fastapi")
    outer = TestClient(Starlette(routes=[Mount("/shop", made.app)]))
    for each in (made.guard, made.guard.api, TestClient(made.app), outer):
        with authenticated(each, scopes="orders.read"):
            assert outer.get("/shop/orders").status_code == 200
    assert outer.get("/shop/orders").status_code == 401


def test_an_application_without_a_gate_is_told() -> None:
    """A test that would protect nothing fails at once, and says what to hand in."""
    for nothing in (object(), lambda: None, "app", None, [1, 2]):
        with pytest.raises(ConfigurationException) as caught:
            authenticated(nothing)
        assert caught.value.code == "resource_server_missing"


def test_arguments_of_another_type_are_told() -> None:
    """A subject that is a number is a mistake of the test."""
    for wrong in ({"subject": 7}, {"auth_time": "now"}, {"claims": ["a"]}, {"scheme": "Basic"}, {"scopes": 3}):
        with pytest.raises(ConfigurationException):
            authenticated(DoorWorld().blocking(), **wrong)  # type: ignore[arg-type] # on purpose


def test_nothing_outside_testing_imports_it() -> None:
    """The library itself leads nowhere to it: only tests, the command line and a module's own name do."""
    allowed = ("testing", "cli")
    for file in sorted(SOURCE.rglob("*.py")):
        if file.relative_to(SOURCE).parts[0] in allowed:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not [name for name in names if "testing" in name.split(".")], file


def test_it_shows_whom_it_stands_for_and_no_secret() -> None:
    """Its representation names the subject."""
    made = authenticated(DoorWorld().blocking(), subject="ada")
    assert isinstance(made, StandIn)
    assert (repr(made), made.headers["Authorization"] not in repr(made)) == ("StandIn('ada')", True)
