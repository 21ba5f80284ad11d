"""The door of WSGI: any application, by the letter of PEP 3333."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from door_world import DoorWorld, renewed_nonce
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.integrations.wsgi import PRINCIPAL, ResourceServerMiddleware, principal_of


@pytest.fixture(autouse=True)
def bodies_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker wants a content type even where there is no content, which PEP 3333 does not."""
    monkeypatch.setattr("wsgiref.validate.check_content_type", lambda status, headers: None)


@pytest.fixture
def world() -> DoorWorld:
    """A provider and its resource servers."""
    return DoorWorld()


def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Tell who a request is from."""
    user = principal_of(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(user.subject if user else None).encode()]


def ask(app: Any, path: str = "/orders", headers: Any = (), **environ: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Send a request to a WSGI application, both held to PEP 3333."""
    told: list[Any] = []
    asked: dict[str, Any] = {"PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", **environ}
    asked |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in dict(headers).items()}
    setup_testing_defaults(asked)

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        told[:] = [status, headers]
        return lambda _: None

    answered = validator(app)(asked, start_response)
    try:
        body = b"".join(answered)
    finally:
        answered.close()
    return told[0], told[1], body


def test_who_a_request_is_from_is_in_the_environment(world: DoorWorld) -> None:
    """A good token passes; without one the answer is the gate's, and the application is not asked."""
    app = ResourceServerMiddleware(inner, world.blocking(), scopes=["orders.read"])
    assert ask(app, headers=world.bearer())[::2] == ("200 OK", b"ada")
    status, headers, body = ask(app)
    assert (status, body) == ("401 Unauthorized", b"")
    assert [name for name, _ in headers].count("www-authenticate") == 2
    assert ask(app, headers=world.bearer(scope="other"))[0] == "403 Forbidden"


def test_nobody_passes_where_that_is_enough(world: DoorWorld) -> None:
    """With ``optional`` a request without a token is from nobody, whatever stood in its environment."""
    app = ResourceServerMiddleware(inner, world.blocking(), optional=True)
    assert ask(app, **{PRINCIPAL: "mallory"})[2] == b"None"
    assert ask(app, headers={"Authorization": "Bearer x.y.z"})[0] == "401 Unauthorized"


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("/docs", True),
        ("/docs/", False),
        ("/public/a", True),
        ("/public/\xc3\xa9", True),
        ("/public/../orders", False),
        ("/public/./x", False),
        ("/public//x", False),
        ("/publicity", False),
        ("", False),
    ],
)
def test_excluded_paths_need_no_token_and_nothing_else_does(path: str, passes: bool, world: DoorWorld) -> None:
    """What an application may resolve to another path is not excluded; a principal is None there."""
    app = ResourceServerMiddleware(inner, world.blocking(), exclude=["/docs", "/public/*"])
    assert (ask(app, path)[::2] == ("200 OK", b"None")) is passes


def test_a_next_nonce_goes_onto_the_response(world: DoorWorld) -> None:
    """A client whose DPoP nonce is about to end is told the next; the path where an application is mounted counts."""
    dpop, old = renewed_nonce()
    app = ResourceServerMiddleware(inner, world.blocking(dpop=dpop))
    signed = world.bound("GET", "http://127.0.0.1/api/orders", old)
    status, headers, _ = ask(app, headers=signed, SCRIPT_NAME="/api")
    assert (status, [name for name, _ in headers if name == "dpop-nonce"]) == ("200 OK", ["dpop-nonce"])


def test_paths_are_those_below_the_mount(world: DoorWorld) -> None:
    """Health and excluded paths are found where the application is mounted."""
    app = ResourceServerMiddleware(inner, world.blocking(), exclude=["/docs"])
    assert ask(app, "/healthz", SCRIPT_NAME="/api")[0] == "200 OK"
    assert ask(app, "/docs", SCRIPT_NAME="/api")[0] == "200 OK"
    assert ask(app, "/healthz", REQUEST_METHOD="POST")[0] == "405 Method Not Allowed"


def test_an_answer_of_the_applications_own_may_have_any_status(world: DoorWorld) -> None:
    """A status that HTTP has no phrase for is sent all the same."""
    api = world.blocking(on_refusal=lambda error, request, made: replace(made, status=499))
    assert ask(ResourceServerMiddleware(inner, api))[0] == "499 Unknown"


def test_a_validator_that_must_be_awaited_is_refused(world: DoorWorld) -> None:
    """There is no loop; the hint says what to import."""
    with pytest.raises(ConfigurationException) as failed:
        ResourceServerMiddleware(inner, world.awaiting())
    assert failed.value.code == "awaitable_refused"
