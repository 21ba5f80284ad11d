"""MCP servers and authorization servers that mean harm, and what becomes of several programs at a time."""

from __future__ import annotations

import threading
from typing import Any

import httpx2
import pytest

from mcp_world import ISSUER, METADATA, OTHER, SERVER, Issuer, World, reply, stand_in
from py_identity_model import (
    AuthorizeCallbackException,
    NetworkException,
    PyIdentityModelException,
    StepUpRequired,
    TokenUnavailable,
)
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.mcp.logins import Logins
from py_identity_model._core.mcp.options import MCPOptions
from py_identity_model._core.mcp.turns import EVERY, LASTS, Turn

#: Where nobody may be led: this machine, its link, clouds' secrets, networks of one's own, in many clothes.
INSIDE = [
    "https://169.254.169.254",
    "https://127.0.0.1:8443",
    "http://127.0.0.1:8080",
    "https://localhost",
    "https://[::1]",
    "https://[::ffff:169.254.169.254]",
    "https://10.0.0.8",
    "https://192.168.1.1",
    "https://[fd00:ec2::254]",
    "https://vault.internal",
    "https://printer.local",
    "https://intranet",
]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A server, its authorization servers, and programs of each API in turn."""
    # Tests put a pause of their own into the clock; the blocking driver has to see it too.
    monkeypatch.setattr("py_identity_model.sync._driver.pause", lambda seconds: clock.pause(seconds))
    return stand_in(World(request.param, clock), monkeypatch)


@pytest.fixture
def here(clock: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same for one API."""
    return stand_in(World("sync", clock), monkeypatch)


def refused(world: World, **options: Any) -> PyIdentityModelException:
    """Have a program ask, and return what it was refused for; the user was left alone."""
    with pytest.raises(PyIdentityModelException) as error:
        world.post(world.program(**options))
    assert world.opened == []
    return error.value


# ---- where requests go


@pytest.mark.parametrize("address", INSIDE)
def test_a_challenge_leads_nowhere_inside(here: World, address: str) -> None:
    """The address of the metadata is the server's word."""
    here.challenge = f'Bearer resource_metadata="{address}/metadata"'
    here.places = set()
    refused(here)
    assert not [url for url in here.urls() if url.startswith(address)]


@pytest.mark.parametrize("address", INSIDE)
def test_metadata_leads_to_no_authorization_server_inside(here: World, address: str) -> None:
    """Nor is ``authorization_servers``."""
    here.resource["authorization_servers"] = [address]
    refused(here)
    assert not [url for url in here.urls() if url.startswith(address)]


@pytest.mark.parametrize("member", ["registration_endpoint", "token_endpoint"])
@pytest.mark.parametrize("address", INSIDE)
def test_an_authorization_server_has_nothing_sent_inside(here: World, member: str, address: str) -> None:
    """Neither a registration nor a code."""
    here.issuer.metadata[member] = f"{address}/x"
    with pytest.raises(PyIdentityModelException):
        here.post(here.program())
    assert not [url for url in here.urls() if url.startswith(address)]


def test_every_address_that_a_stranger_named_is_judged_again_where_it_is_connected_to(world: World) -> None:
    """A name that looks public may lead inside: requests to it say so to the transport."""
    world.post(world.program())
    assert {(request.url.split("/")[2], request.public_only) for request in world.sent} == {
        ("mcp.example.com", False),
        ("id.example.net", True),
    }


def test_a_network_of_ones_own_may_be_allowed(world: World) -> None:
    """By its long name; and what the application names itself may be anywhere."""
    inside = "https://id.corp.internal"
    world.issuers[inside] = Issuer(inside)
    world.resource["authorization_servers"] = [inside]
    assert refused(world).code == "address_not_public"
    world.clock.advance(86400)
    assert world.post(world.program(allow_private_addresses=True, subject="a")) == 200
    world.clock.advance(86400)
    assert world.post(world.program(client_id="given", issuer=inside, subject="b")) == 200


def test_a_server_on_this_machine_may_lead_to_this_machine(world: World) -> None:
    """As in development: who named the one means the other; a link or a cloud's secrets it does not."""
    server, issuer = "http://127.0.0.1:8000/mcp", "http://localhost:9000"
    place = "http://127.0.0.1:8000/.well-known/oauth-protected-resource/mcp"
    world.issuers[issuer] = Issuer(issuer)
    world.places, world.challenge = {place}, f'Bearer resource_metadata="{place}"'
    world.resource = {"resource": server, "authorization_servers": [issuer]}
    assert world.post(world.program(server), server) == 200
    world.resource["authorization_servers"] = ["https://169.254.169.254"]
    with pytest.raises(NetworkException):
        world.post(world.program(server, subject="another"), server)
    assert len(world.opened) == 1


@pytest.mark.parametrize(
    "resource",
    [
        "https://evil.example.com/mcp",
        "https://mcp.example.com.evil.example/mcp",
        "https://mcp.example.com/other",
        "https://mcp.example.com/mcp/below",
        "https://mcp.example.com/mc",
        "http://mcp.example.com/mcp",
        "https://mcp.example.com:8443/mcp",
        "https://mcp.example.com/mcp?tenant=b",
        "https://mcp.example.com/MCP",
        "https://mcp.example.com",
        "https://mcp.example.com/",
        ["https://mcp.example.com/mcp"],
        None,
        7,
    ],
)
def test_metadata_about_something_else_is_not_used(here: World, resource: Any) -> None:
    """Not of another origin, another path, a part of the path, or all of the host: that only the root may speak for."""
    here.resource["resource"] = resource
    assert refused(here).code == "resource_mismatch"
    assert here.urls() == [METADATA]


def test_metadata_somewhere_else_is_about_the_server_alone(here: World) -> None:
    """Who may put a document anywhere on a host does not speak for all of it."""
    for place in (
        "https://mcp.example.com/mcp/any.json",
        "https://cdn.example.org/.well-known/oauth-protected-resource",
    ):
        here.places, here.challenge = {place}, f'Bearer resource_metadata="{place}"'
        here.resource["resource"] = "https://mcp.example.com"
        assert refused(here).code == "resource_mismatch"


@pytest.mark.parametrize("servers", [None, [], "https://id.example.net/tenant", [7], [""], ["http://id.example.net"]])
def test_a_server_without_a_usable_authorization_server_has_none(here: World, servers: Any) -> None:
    """A list of issuers, or nothing."""
    here.resource["authorization_servers"] = servers
    refused(here)
    assert [url for url in here.urls() if "mcp.example.com" not in url] == []


def test_documents_are_bounded(here: World) -> None:
    """Neither metadata nor an answer may be of any size, or nested without end."""
    for document in (b" " * 300_000 + b"{}", b"[" * 100_000, b'{"a":' * 50_000):
        here.more = {METADATA: lambda request, body=document: Reply(200, (("content-type", "application/json"),), body)}
        refused(here)
    assert {request.limit for request in here.sent} == {262144}
    here.more = {here.issuer.place: lambda request: reply({**here.issuer.metadata, "x": "y" * 600_000})}
    refused(here)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_metadata_that_is_elsewhere_is_not_followed(here: World, status: int) -> None:
    """A redirect to another host says nothing of who serves what is there."""
    here.more = {
        METADATA: lambda request: Reply(status, (("location", "https://evil.example.com/m"),), url=request.url)
    }
    refused(here)
    assert "https://evil.example.com/m" not in here.urls()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_is_ill_is_not_taken_for_an_older_one(here: World, status: int) -> None:
    """No metadata right now is not: no metadata."""
    here.challenge = "Bearer"
    here.more = {METADATA: lambda request: Reply(status, url=request.url)}
    assert isinstance(refused(here), NetworkException)
    assert here.issuer.registrations == []


@pytest.mark.parametrize(
    "challenge",
    ["", "Bearer", 'Bearer scope="\x00"', 'Bearer scope="a", scope="b"', 'Basic realm="x"', "Bearer " + "a=b, " * 5000],
)
def test_no_challenge_is_too_strange(here: World, challenge: str) -> None:
    """What cannot be read counts as absent; the well-known addresses remain."""
    here.challenge = challenge
    assert here.post(here.program()) == 200
    assert "scope" not in here.issuer.authorizations[0]


# ---- mix-ups


def test_a_server_that_names_an_honest_authorization_server_gets_no_token_for_another(here: World) -> None:
    """Its own metadata names it, so its tokens are made for it (RFC 8707)."""
    evil = "https://evil.example.com/mcp"
    place = "https://evil.example.com/.well-known/oauth-protected-resource/mcp"
    here.post(here.program())
    here.challenge = f'Bearer resource_metadata="{place}"'
    here.more[place] = lambda request: reply({"resource": SERVER, "authorization_servers": [ISSUER]})
    with pytest.raises(NetworkException) as error:
        here.post(here.program(evil), evil)
    assert error.value.code == "resource_mismatch"
    here.more[place] = lambda request: reply({"resource": evil, "authorization_servers": [ISSUER]})
    assert here.post(here.program(evil), evil) == 200
    assert here.issuer.tokens[-1]["resource"] == evil
    assert here.seen[-1] != "token-1-of-id.example.net"


def test_a_code_of_an_honest_authorization_server_is_not_sent_to_another(world: World) -> None:
    """The mix-up attack (RFC 9207 1): the page is the honest server's, the token endpoint the attacker's."""
    evil = "https://evil.example.org"
    world.issuers[evil] = Issuer(evil)
    world.issuers[evil].metadata["authorization_endpoint"] = f"{ISSUER}/authorize"
    world.issuers[evil].metadata["authorization_response_iss_parameter_supported"] = False
    world.resource["authorization_servers"] = [evil]
    with pytest.raises(AuthorizeCallbackException) as error:
        world.post(world.program())
    assert error.value.code == "authorization_issuer_mismatch"
    assert world.issuers[evil].tokens == []


def test_an_authorization_server_that_changes_while_the_user_logs_in_gets_nothing(world: World) -> None:
    """The one that was recorded is asked, and no other."""

    def user(url: str, back: Any) -> None:
        world.resource["authorization_servers"] = [OTHER]
        world.agree(url, back)

    world.user = user
    assert world.post(world.program()) == 200
    assert (len(world.issuer.tokens), world.issuers[OTHER].tokens) == (1, [])


def test_a_server_that_changes_its_authorization_server_back_and_forth_is_not_followed_for_ever(world: World) -> None:
    """Three authorizations in a row, whoever is to give them."""
    turns: list[str] = [ISSUER, OTHER] * 10
    world.more = {METADATA: lambda request: reply({**world.resource, "authorization_servers": [turns.pop()]})}
    world.judge = lambda token: (401, world.challenge)
    with pytest.raises(PyIdentityModelException) as error:
        world.post(world.program())
    assert (error.value.code, len(world.opened)) == ("authorizations_exhausted", 3)


def test_a_server_that_takes_requests_in_between_cannot_widen_for_ever(here: World) -> None:
    """More scopes each time, with an accepted request before each: eight steps, then no more."""
    program, asked = here.program(), ["s-0"]
    here.judge = lambda token: (
        None
        if asked[-1] in here.issuer.authorizations[-1].get("scope", "").split()
        else (403, f'Bearer error="insufficient_scope", scope="{asked[-1]}"')
    )
    here.challenge += ', scope="s-0"'
    for number in range(1, 10):
        assert here.post(program) == 200
        asked.append(f"s-{number}")
    with pytest.raises(StepUpRequired):
        here.post(program)
    assert len(here.opened) == 9


# ---- several at a time


def test_of_many_requests_at_once_one_has_the_user_log_in(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of four programs: one page is opened, and all have the token of that login."""
    world = stand_in(World("sync", clock), monkeypatch)
    monkeypatch.setattr("py_identity_model.sync._driver.pause", lambda seconds: threading.Event().wait(0.01))
    opened = threading.Event()

    def user(url: str, back: Any) -> None:
        opened.wait(0.3)
        world.agree(url, back)

    world.user = user
    programs = [world.program() for _ in range(4)]
    results: list[int] = []

    def one(program: Any) -> None:
        results.append(world.post(program))

    threads = [threading.Thread(target=one, args=(programs[n % 4],)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [200] * 12
    assert (len(world.opened), len(world.issuer.registrations)) == (1, 1)
    assert {token for token in world.seen if token} == {"token-1-of-id.example.net"}


def test_who_waits_for_another_program_takes_its_login(world: World) -> None:
    """It is asked for in the store, and the user is left alone."""
    first, second = world.program(), world.program()
    inside: list[int] = []
    turn = Turn(world.store, Logins(MCPOptions(SERVER), world.store).turn_key)
    assert taken(turn, world)
    pauses: list[float] = []
    plain = world.clock.pause

    def pause(seconds: float) -> None:
        plain(seconds)
        pauses.append(seconds)
        if len(pauses) == 3:  # meanwhile the other program is done
            world.store.delete("tokens", turn._key)
            world.clock.pause = plain
            inside.append(World.post(sync_twin(world), first))

    world.clock.pause = pause
    assert world.post(second) == 200
    assert (inside, len(world.opened)) == ([200], 1)


def sync_twin(world: World) -> World:
    """Return a world of the blocking API that shares all with *world*."""
    twin = object.__new__(World)
    twin.__dict__.update(world.__dict__, kind="sync")
    return twin


def taken(turn: Turn, world: World) -> bool:
    """Take a turn with the store of the world."""
    from py_identity_model.sync._driver import run

    return run(turn.taken())


def test_a_program_that_died_while_its_user_logged_in_holds_up_nobody(world: World) -> None:
    """Its sign of life ends after seconds, and the next one logs in."""
    turn = Turn(world.store, Logins(MCPOptions(SERVER), world.store).turn_key)
    assert taken(turn, world)
    began = world.clock.steady
    assert world.post(world.program()) == 200
    assert LASTS <= world.clock.steady - began < LASTS + 2


def test_a_program_whose_user_takes_long_shows_that_it_lives(world: World) -> None:
    """So that no second page is opened meanwhile; who waits for longer than a login may take is told."""
    key = Logins(MCPOptions(SERVER), world.store).turn_key
    alive: list[bool] = []
    world.user = lambda url, back: None
    plain = world.clock.pause

    def pause(seconds: float) -> None:
        plain(seconds)
        alive.append(world.store.get("tokens", key) is not None)

    world.clock.pause = pause
    with pytest.raises(PyIdentityModelException) as error:
        world.post(world.program(seconds=90))
    assert error.value.code == "login_timeout"
    assert (all(alive), len(alive) * 0.5 > 2 * LASTS, EVERY < LASTS / 2) == (True, True, True)
    assert world.store.get("tokens", key) is None


def test_who_waits_for_another_program_for_too_long_is_told(world: World) -> None:
    """After the time that a login may take."""
    turn = Turn(world.store, Logins(MCPOptions(SERVER), world.store).turn_key)
    plain = world.clock.pause

    def pause(seconds: float) -> None:
        plain(seconds)
        taken(turn, world)  # the other one lives on

    assert taken(turn, world)
    world.clock.pause = pause
    with pytest.raises(TokenUnavailable) as error:
        world.post(world.program(seconds=30))
    assert (error.value.code, world.opened) == ("login_elsewhere", [])


def test_a_provider_that_is_away_costs_no_login(world: World) -> None:
    """A renewal that fails leaves the login alone; the user is not asked because a network is down."""
    world.issuer.token["expires_in"] = 60
    program = world.program()
    world.post(program)
    world.clock.advance(61)
    world.more = {f"{ISSUER}/token": lambda request: Reply(503, url=request.url)}
    with pytest.raises(TokenUnavailable):
        world.post(program)
    world.clock.advance(120)
    world.more = {}
    assert world.post(program) == 200
    assert len(world.opened) == 1


def test_nothing_that_is_secret_shows(here: World) -> None:
    """Neither in the object, nor in what is known of a server, nor in an error."""
    here.issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    here.issuer.registered = {"client_secret": "s3cret-s3cret"}
    program = here.program()
    here.post(program)
    shown = [repr(program), repr(program._source), repr(program._source._session), repr(program._source._means)]
    assert not [text for text in shown if "s3cret" in text or "token-1" in text or "refresh-1" in text]


def test_an_answer_may_not_carry_the_request_elsewhere(here: World) -> None:
    """A redirect of the server to another origin is the caller's; no token goes with it."""
    here.post(program := here.program())
    here.serve = lambda request: httpx2.Response(307, headers={"location": "https://evil.example.com/mcp"})  # type: ignore[method-assign]
    assert here.post(program) == 307
