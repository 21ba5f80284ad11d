"""What a program does at an MCP server that wants a token: the specification of 2026-07-28, clause by clause."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import httpx2
import pytest

from mcp_world import CIMD, ISSUER, METADATA, OTHER, SERVER, Issuer, World, reply, scopes, stand_in
from py_identity_model import (
    AuthorizeCallbackException,
    ConfigurationException,
    LoginRequired,
    PrivateKeyJwt,
    SigningKey,
    StepUpRequired,
    TokenRequestException,
)
from py_identity_model._core.base.flow import Reply
from py_identity_model.integrations.mcp_client import MCPAuth
from py_identity_model.observability import add_observer

ROOT = "https://mcp.example.com/.well-known/oauth-protected-resource"


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A server, its authorization servers, and programs of each API in turn."""
    return stand_in(World(request.param, clock), monkeypatch)


# ---- the way to a token


def test_the_first_request_asks_what_is_wanted_and_the_next_ones_have_a_token(world: World) -> None:
    """401, one login, the request once more with the token; from then on no request goes without."""
    program = world.program()
    assert [world.post(program), world.post(program)] == [200, 200]
    assert world.seen == [None, "token-1-of-id.example.net", "token-1-of-id.example.net"]
    assert world.urls() == [METADATA, world.issuer.place, f"{ISSUER}/register", f"{ISSUER}/token"]
    assert len(world.opened) == 1
    assert world.listening == 0


def test_the_authorization_url_is_left_to_the_browser(world: World) -> None:
    """Nothing but the browser fetches it."""
    world.post(world.program())
    assert not [url for url in world.urls() if "/authorize" in url]


@pytest.mark.parametrize(
    ("challenge", "places", "asked"),
    [
        (f'Bearer resource_metadata="{METADATA}"', {METADATA, ROOT}, [METADATA]),
        ('Bearer resource_metadata="https://mcp.example.com/any.json"', {"https://mcp.example.com/any.json"}, None),
        ("Bearer", {METADATA, ROOT}, [METADATA]),
        ("", {METADATA}, [METADATA]),
        ("", {ROOT}, [METADATA, ROOT]),
        (f'Bearer resource_metadata="{METADATA}2"', {ROOT}, [METADATA + "2", METADATA, ROOT]),
        (f'DPoP algs="ES256", resource_metadata="{METADATA}"', {METADATA}, [METADATA]),
        ('Bearer resource_metadata="http://mcp.example.com/x"', {METADATA}, [METADATA]),
    ],
)
def test_the_servers_metadata_is_looked_for_as_challenged_then_at_the_path_then_at_the_root(
    world: World, challenge: str, places: set[str], asked: list[str] | None
) -> None:
    """RFC 9728 3 and 5, and the specification's order; what is found first is used."""
    world.challenge, world.places = challenge, places
    if places == {ROOT}:
        world.resource["resource"] = "https://mcp.example.com"
    assert world.post(world.program()) == 200
    assert [url for url in world.urls() if "id.example.net" not in url] == (asked or sorted(places))
    assert world.issuer.authorizations[0]["resource"] == world.resource["resource"]


@pytest.mark.parametrize(
    ("issuer", "at", "before"),
    [
        ("https://a.example.net/t", "https://a.example.net/.well-known/oauth-authorization-server/t", 0),
        ("https://a.example.net/t", "https://a.example.net/.well-known/openid-configuration/t", 1),
        ("https://a.example.net/t", "https://a.example.net/t/.well-known/openid-configuration", 2),
        ("https://a.example.net", "https://a.example.net/.well-known/oauth-authorization-server", 0),
        ("https://a.example.net", "https://a.example.net/.well-known/openid-configuration", 1),
    ],
)
def test_the_metadata_of_the_authorization_server_is_looked_for_in_the_documented_order(
    world: World, issuer: str, at: str, before: int
) -> None:
    """RFC 8414 3.1 with inserted path, OpenID's inserted, OpenID's appended; keys are not demanded."""
    world.issuers = {issuer: Issuer(issuer, at)}
    world.resource["authorization_servers"] = [issuer]
    assert world.post(world.program()) == 200
    asked = [url for url in world.urls() if "/.well-known/" in url and "a.example.net" in url]
    assert (len(asked), asked[-1]) == (before + 1, at)


def test_a_page_in_place_of_a_document_counts_as_absent(world: World) -> None:
    """Sites that answer every address with a page have no metadata there."""
    page = Reply(200, (("content-type", "text/html"),), b"<html>")
    world.places = {ROOT}
    world.resource["resource"] = "https://mcp.example.com"
    world.challenge = "Bearer"
    world.more = {METADATA: lambda request: page, world.issuer.place: lambda request: page}
    world.issuer.place = f"{ISSUER}/.well-known/openid-configuration"
    assert world.post(world.program()) == 200


# ---- 2025-03-26


@pytest.mark.parametrize("metadata", [True, False])
def test_without_metadata_of_the_server_its_origin_is_the_authorization_server(world: World, metadata: bool) -> None:
    """As of 2025-03-26: with the metadata of its origin, else at /authorize, /token and /register."""
    origin = "https://mcp.example.com"
    world.places, world.challenge = set(), "Bearer"
    own = Issuer(origin, None if metadata else "https://nowhere.example.com/")
    own.answers = {} if metadata else {"iss": None}
    world.issuers = {origin: own}
    assert world.post(world.program()) == 200
    assert world.opened[0].startswith(f"{origin}/authorize?")
    assert own.registrations[0]["application_type"] == "native"
    assert own.authorizations[0]["resource"] == own.tokens[0]["resource"] == SERVER
    assert own.authorizations[0]["code_challenge_method"] == "S256"


def test_a_server_that_names_metadata_is_not_taken_for_one_of_2025_03_26(world: World) -> None:
    """What it names has to be there, somewhere: else anyone in between could choose the older way."""
    world.places = set()
    with pytest.raises(Exception, match="names metadata") as error:
        world.post(world.program())
    assert error.value.code == "resource_metadata_missing"  # type: ignore[attr-defined]
    assert world.opened == []


# ---- who the client is


def test_a_client_that_is_given_comes_first(world: World) -> None:
    """Pre-registered, then the metadata document, then registration."""
    world.issuer.metadata["client_id_metadata_document_supported"] = True
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    program = world.program(client_id="given", client_secret="s3cret", issuer=ISSUER, client_metadata_url=CIMD)
    assert world.post(program) == 200
    assert world.issuer.registrations == []
    basic = base64.b64encode(b"given:s3cret").decode()
    assert (world.issuer.authorizations[0]["client_id"], world.issuer.credentials) == ("given", [f"Basic {basic}"])


@pytest.mark.parametrize("supported", [True, False, None])
def test_the_metadata_document_is_the_client_where_it_is_advertised(world: World, supported: bool | None) -> None:
    """``client_id_metadata_document_supported``; else the client is registered."""
    world.issuer.metadata["client_id_metadata_document_supported"] = supported
    assert world.post(world.program(client_metadata_url=CIMD)) == 200
    client_id = world.issuer.authorizations[0]["client_id"]
    assert (client_id == CIMD, len(world.issuer.registrations)) == ((True, 0) if supported else (False, 1))


def test_the_metadata_document_may_have_a_key(world: World) -> None:
    """private_key_jwt by its ``jwks``."""
    world.issuer.metadata["client_id_metadata_document_supported"] = True
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["none", "private_key_jwt"]
    key = PrivateKeyJwt(SigningKey.generate("ES256", kid="k"))
    assert world.post(world.program(client_metadata_url=CIMD, private_key_jwt=key)) == 200
    assert world.issuer.tokens[0]["client_assertion"]


def test_a_registration_says_what_the_client_is(world: World) -> None:
    """Native, for codes and refresh tokens, with the address that is listened to."""
    assert world.post(world.program(client_name="Desk")) == 200
    assert world.issuer.registrations == [
        {
            "redirect_uris": ["http://127.0.0.1:50001/callback"],
            "client_name": "Desk",
            "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
    ]
    assert world.issuer.authorizations[0]["redirect_uri"] == "http://127.0.0.1:50001/callback"


def test_who_cannot_be_registered_is_asked_for_once(world: World) -> None:
    """The user enters what is registered by hand, and it is remembered for this authorization server."""
    del world.issuer.metadata["registration_endpoint"]
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    asked: list[str] = []

    def ask(issuer: str) -> tuple[str, str | None]:
        asked.append(issuer)
        return "entered", "s3cret"

    assert world.post(world.program(ask=ask)) == 200
    assert world.post(world.program(ask=ask, subject="another")) == 200
    assert asked == [ISSUER]
    assert [(form["client_id"], form["client_secret"]) for form in world.issuer.tokens] == [("entered", "s3cret")] * 2


def test_without_any_way_to_a_client_it_says_so(world: World) -> None:
    """Nobody is sent to a page that could only fail."""
    del world.issuer.metadata["registration_endpoint"]
    with pytest.raises(ConfigurationException) as error:
        world.post(world.program())
    assert error.value.code == "client_unregistered"
    assert world.opened == []
    assert world.listening == 0


def test_what_is_no_client_is_refused(world: World) -> None:
    """``ask`` returns an identifier and a secret."""
    del world.issuer.metadata["registration_endpoint"]
    with pytest.raises(ConfigurationException) as error:
        world.post(world.program(ask=lambda issuer: "entered"))
    assert error.value.claim == "ask"


@pytest.mark.parametrize(
    ("offered", "registered", "basic", "posted"),
    [
        (["client_secret_basic"], {"client_secret": "s", "token_endpoint_auth_method": "client_secret_basic"}, 1, 0),
        (["client_secret_post"], {"client_secret": "s", "token_endpoint_auth_method": "client_secret_post"}, 0, 1),
        (["client_secret_post"], {"client_secret": "s", "token_endpoint_auth_method": None}, 0, 1),
        (["none"], {}, 0, 0),
        (["none"], {"client_secret": "s", "token_endpoint_auth_method": None}, 0, 0),
        (None, {"client_secret": "s", "token_endpoint_auth_method": None}, 1, 0),
    ],
)
def test_the_client_authenticates_as_is_offered(
    world: World, offered: list[str] | None, registered: dict[str, Any], basic: int, posted: int
) -> None:
    """Basic, post or none: what was registered, as the authorization server takes it."""
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = offered
    world.issuer.registered = registered
    assert world.post(world.program()) == 200
    form, header = world.issuer.tokens[0], world.issuer.credentials[0]
    assert (header is not None, "client_secret" in form) == (bool(basic), bool(posted))
    assert world.issuer.registrations[0]["token_endpoint_auth_method"] == (offered or ["none"])[0]


def test_a_server_for_clients_of_another_kind_only_registers_none(world: World) -> None:
    """A program that registers itself has neither key nor certificate there."""
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["tls_client_auth"]
    with pytest.raises(ConfigurationException) as error:
        world.post(world.program())
    assert error.value.code == "client_auth_unsupported"
    assert world.issuer.registrations == []


# ---- what is asked for


@pytest.mark.parametrize(
    ("challenged", "published", "offered", "asked"),
    [
        ("a b", ["c"], None, "a b"),
        (None, ["c", "d"], None, "c d"),
        (None, None, None, None),
        (None, None, ["offline_access"], None),
        ("a", None, ["offline_access", "a"], "a offline_access"),
        ("a offline_access", None, ["a"], "a"),
        (None, ["c", "offline_access"], None, "c"),
    ],
)
def test_scopes_are_those_of_the_challenge_else_those_published_else_left_out(
    world: World, challenged: str | None, published: list[str] | None, offered: list[str] | None, asked: str | None
) -> None:
    """And ``offline_access`` exactly where the authorization server offers it, with the consent that it wants."""
    if challenged is not None:
        world.challenge += f', scope="{challenged}"'
    world.resource["scopes_supported"] = published
    world.issuer.metadata["scopes_supported"] = offered
    assert world.post(world.program()) == 200
    sent = world.issuer.authorizations[0]
    assert sent.get("scope") == asked
    assert sent.get("prompt") == ("consent" if "offline_access" in scopes(sent) else None)


def test_the_resource_is_sent_with_both_requests_as_it_is_published(world: World) -> None:
    """RFC 8707: in the authorization request, with the code, and with a refresh token; no slash more or less."""
    world.resource["resource"] = f"{SERVER}/"
    world.issuer.token["expires_in"] = 60
    program = world.program()
    world.post(program)
    world.clock.advance(70)
    world.post(program)
    assert [form["grant_type"] for form in world.issuer.tokens] == ["authorization_code", "refresh_token"]
    sent = [*world.issuer.authorizations, *world.issuer.tokens]
    assert [one["resource"] for one in sent] == [f"{SERVER}/"] * 3


def test_an_authorization_server_that_does_not_advertise_s256_is_refused(world: World) -> None:
    """Before anything is registered or asked."""
    for methods in (None, [], ["plain"]):
        world.issuer.metadata["code_challenge_methods_supported"] = methods
        with pytest.raises(ConfigurationException) as error:
            world.post(world.program())
        assert error.value.code == "pkce_unsupported"
        world.clock.advance(86400)
    assert (world.opened, world.issuer.registrations) == ([], [])


# ---- whose answer it is (RFC 9207)


@pytest.mark.parametrize(
    ("advertised", "iss", "code"),
    [
        (True, ISSUER, None),
        (True, None, "authorization_issuer_missing"),
        (True, "https://evil.example.com", "authorization_issuer_mismatch"),
        (True, ISSUER + "/", "authorization_issuer_mismatch"),
        (True, ISSUER.upper(), "authorization_issuer_mismatch"),
        (None, ISSUER, None),
        (None, None, None),
        (False, "https://evil.example.com", "authorization_issuer_mismatch"),
    ],
)
def test_the_issuer_of_an_answer_is_compared_with_the_one_recorded(
    world: World, advertised: bool | None, iss: str | None, code: str | None
) -> None:
    """The four rows of the specification, as simple strings; a code of another issuer is sent nowhere."""
    world.issuer.metadata["authorization_response_iss_parameter_supported"] = advertised
    world.issuer.answers = {"iss": iss}
    if code is None:
        assert world.post(world.program()) == 200
        return
    with pytest.raises(AuthorizeCallbackException) as error:
        world.post(world.program())
    assert error.value.code == code
    assert world.issuer.tokens == []


def test_an_error_of_another_issuer_is_not_told(world: World) -> None:
    """The words of whoever mixed it up are neither acted upon nor shown."""
    words = {"code": None, "error": "access_denied", "error_description": "call 555", "iss": "https://evil.example.com"}
    world.issuer.answers = words  # type: ignore[assignment] # None takes one away
    with pytest.raises(AuthorizeCallbackException) as error:
        world.post(world.program())
    assert error.value.code == "authorization_issuer_mismatch"
    assert "555" not in str(error.value)
    assert "access_denied" not in str(error.value)


def test_metadata_of_another_issuer_is_not_used(world: World) -> None:
    """RFC 8414 3.3: identical to what the address was made of, slash included."""
    for named in ("https://attacker.example.com", f"{ISSUER}/"):
        world.issuer.metadata["issuer"] = named
        with pytest.raises(Exception, match="issuer"):
            world.post(world.program())
        world.clock.advance(86400)
    assert world.opened == []


# ---- refusals


def wants(scope: str) -> tuple[int, str]:
    """Return a 403 that names what is missing."""
    return 403, f'Bearer error="insufficient_scope", scope="{scope}", resource_metadata="{METADATA}"'


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_more_gets_a_token_for_all_of_it(world: World, status: int) -> None:
    """The union of what was asked for and what is wanted now; the request goes out once more."""
    world.challenge += ', scope="read"'
    world.judge = lambda token: None if token.startswith("token-2") else (status, wants("write")[1])
    assert world.post(world.program()) == 200
    assert [scopes(one) for one in world.issuer.authorizations] == [{"read"}, {"read", "write"}]
    assert world.seen == [None, "token-1-of-id.example.net", "token-2-of-id.example.net"]


def test_nobody_is_asked_for_the_same_scopes_again(world: World) -> None:
    """A server that refuses what it asked for is told of, with what it wanted."""
    world.challenge += ', scope="admin"'
    world.judge = lambda token: wants("admin")
    program = world.program()
    for _ in range(3):
        with pytest.raises(StepUpRequired) as error:
            world.post(program)
        assert error.value.scope == ("admin",)
    assert len(world.opened) == 1


def test_at_most_three_authorizations_follow_each_other(world: World) -> None:
    """A server that names another scope each time is not followed for ever."""
    world.judge = lambda token: wants(f"scope-{len(world.seen)}")
    program = world.program()
    for _ in range(3):
        with pytest.raises(StepUpRequired):
            world.post(program)
    assert len(world.opened) == 3
    assert scopes(world.issuer.authorizations[2]) > scopes(world.issuer.authorizations[1])


def test_a_server_that_takes_no_token_ends_with_an_error_that_says_so(world: World) -> None:
    """Three logins at most; after ten minutes the user may try again."""
    world.judge = lambda token: (401, world.challenge)
    world.issuer.refreshes = False
    program = world.program()
    with pytest.raises(LoginRequired) as error:
        world.post(program)
    assert (error.value.code, len(world.opened)) == ("authorizations_exhausted", 3)
    world.clock.advance(601)
    with pytest.raises(LoginRequired):
        world.post(program)
    assert len(world.opened) == 6


def test_steps_up_are_counted_over_all_requests(world: World) -> None:
    """Also where the server takes a request in between: eight widenings in all."""
    wanted = ["s0"]

    def judge(token: str) -> tuple[int, str] | None:
        return None if set(wanted) <= scopes(world.issuer.authorizations[-1]) else wants(wanted[-1])

    world.judge = judge
    world.challenge += ', scope="s0"'
    program = world.program()
    world.post(program)
    for n in range(1, 9):
        wanted.append(f"s{n}")
        assert world.post(program) == 200
    wanted.append("one too many")
    wanted[-1] = "s9"
    with pytest.raises(StepUpRequired):
        world.post(program)
    assert len(world.opened) == 9


def test_a_403_for_another_reason_is_the_callers(world: World) -> None:
    """A token that grants no less than is wanted would not be better a second time."""
    world.judge = lambda token: (403, "Bearer")
    assert world.post(world.program()) == 403
    assert len(world.opened) == 1


def test_a_user_who_has_to_authenticate_better_is_sent_to_do_so(world: World) -> None:
    """RFC 9470: what the server names goes into the authorization request."""
    better = 'Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="60"'
    world.judge = lambda token: None if token.startswith("token-2") else (401, better)
    assert world.post(world.program()) == 200
    asked = world.issuer.authorizations[1]
    assert (asked["acr_values"], asked["max_age"]) == ("mfa", "60")


def test_a_token_that_the_server_refuses_is_renewed_before_anyone_is_asked(world: World) -> None:
    """The same authorization server, and a refresh token: the user is left alone."""
    world.judge = lambda token: None if token.startswith("token-2") else (401, world.challenge)
    assert world.post(world.program()) == 200
    assert [form["grant_type"] for form in world.issuer.tokens] == ["authorization_code", "refresh_token"]
    assert len(world.opened) == 1


def test_a_body_that_is_gone_is_not_sent_again(world: World) -> None:
    """The answer is the caller's; the next request has a token."""

    def once() -> Any:
        yield b"{}"

    async def once_awaited() -> Any:
        yield b"{}"

    program = world.program()
    assert world.post(program, content=once() if world.kind == "sync" else once_awaited()) == 401
    assert world.post(program) == 200


def test_a_user_who_says_no_is_heard(world: World) -> None:
    """Nothing is asked a second time for the same request."""
    world.issuer.answers = {"code": None, "error": "access_denied"}
    with pytest.raises(AuthorizeCallbackException) as error:
        world.post(world.program())
    assert error.value.code == "authorization_refused"
    assert (len(world.opened), world.listening) == (1, 0)


def test_a_user_who_does_not_come_back_ends_the_login(world: World) -> None:
    """After the time that was given."""
    world.user = lambda url, back: None
    began = world.clock.steady
    with pytest.raises(TokenRequestException) as error:
        world.post(world.program(seconds=30))
    assert error.value.code == "login_timeout"
    assert 29 <= world.clock.steady - began <= 32


# ---- another authorization server


def test_a_server_that_changes_its_authorization_server_gets_a_client_of_its_own_there(world: World) -> None:
    """Registered anew; nothing of the first one's is shown to the second, and it is told of."""
    events: list[Any] = []
    add_observer(events.append)
    program = world.program()
    world.post(program)
    world.resource["authorization_servers"] = [OTHER]
    world.judge = lambda token: None if token.endswith("other.example.org") else (401, world.challenge)
    assert world.post(program) == 200
    old, new = world.issuers[ISSUER], world.issuers[OTHER]
    assert (len(old.registrations), len(new.registrations)) == (1, 1)
    assert [form["grant_type"] for form in new.tokens] == ["authorization_code"]
    assert {one["client_id"] for one in (*new.authorizations, *new.tokens)} == {"client-1-of-other.example.org"}
    assert "id.example.net" not in str([*new.tokens, *new.credentials, *new.authorizations])
    assert [event.name for event in events].count("mcp_authorization_server_changed") == 1


@pytest.mark.parametrize("issuer", [ISSUER, None])
def test_a_client_that_was_given_is_used_at_its_own_authorization_server_only(world: World, issuer: str | None) -> None:
    """The one that is named; else the first one that the server named, also after a restart."""
    given = {"client_id": "given", "client_secret": "s3cret", "issuer": issuer}
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    world.issuers[OTHER].metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    assert world.post(world.program(**given)) == 200
    world.resource["authorization_servers"] = [OTHER]
    world.judge = lambda token: (401, world.challenge)
    for _ in range(2):
        with pytest.raises(Exception, match="registered with") as error:
            world.post(world.program(**given))
        assert error.value.code == "authorization_server_untrusted"  # type: ignore[attr-defined]
    assert world.issuers[OTHER].authorizations == []


def test_of_several_authorization_servers_the_clients_own_is_taken(world: World) -> None:
    """Else the first one."""
    world.resource["authorization_servers"] = [OTHER, ISSUER]
    world.post(world.program(client_id="given", issuer=ISSUER))
    assert (len(world.issuers[ISSUER].authorizations), len(world.issuers[OTHER].authorizations)) == (1, 0)
    world.post(world.program(subject="another"))
    assert len(world.issuers[OTHER].authorizations) == 1


# ---- what is shared


def test_four_hosts_share_one_login(world: World) -> None:
    """One registration, one login, one token: who comes later finds them in the store, and asks nobody for anything."""
    assert [world.post(world.program()) for _ in range(4)] == [200] * 4
    assert (len(world.opened), len(world.issuer.registrations), len(world.issuer.tokens)) == (1, 1, 1)
    assert world.seen == [None, *["token-1-of-id.example.net"] * 4]


def test_a_login_that_another_host_widened_is_taken_up(world: World) -> None:
    """The host that is refused finds the newer login, and the user is not asked."""
    world.challenge += ', scope="read"'
    first, second = world.program(), world.program()
    world.post(first)
    world.post(second)
    world.judge = lambda token: None if token.startswith("token-2") else wants("write")
    assert [world.post(first), world.post(second)] == [200, 200]
    assert len(world.opened) == 2


def test_one_authorization_server_knows_the_program_once_for_all_its_servers(world: World) -> None:
    """Two MCP servers, one registration, two logins with a refresh token each."""
    second = "https://mcp.example.com/second"
    world.post(world.program())
    world.more[f"{ROOT}/second"] = lambda request: reply({**world.resource, "resource": second})
    world.challenge = f'Bearer resource_metadata="{ROOT}/second"'
    assert world.post(world.program(second), second) == 200
    assert (len(world.issuer.registrations), len(world.opened)) == (1, 2)
    assert [form["resource"] for form in world.issuer.tokens] == [SERVER, second]
    assert world.listened == [("/callback", 0), ("/callback", 50001)]


def test_users_of_one_program_have_logins_of_their_own(world: World) -> None:
    """By ``subject``."""
    world.post(world.program(subject="ada"))
    world.post(world.program(subject="bob"))
    world.post(world.program(subject="ada"))
    assert world.seen[1] == world.seen[-1] != world.seen[3]


def test_a_client_that_the_authorization_server_forgot_is_registered_anew(world: World) -> None:
    """``invalid_client`` at a renewal: not an error for ever, but one more registration and login."""
    world.issuer.token["expires_in"] = 60
    program = world.program()
    world.post(program)
    world.issuer.unknown = {"client-1-of-id.example.net"}
    world.clock.advance(61)
    assert world.post(program) == 200
    assert (len(world.issuer.registrations), len(world.opened)) == (2, 2)
    assert world.post(world.program()) == 200
    assert len(world.opened) == 2


def test_a_secret_that_expired_is_no_client_any_more(world: World) -> None:
    """``client_secret_expires_at``: registered anew when it is needed."""
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    expires = int(world.clock.wall) + 1000
    world.issuer.registered = {"client_secret": "s", "client_secret_expires_at": expires}
    world.issuer.token["expires_in"] = 500
    world.post(world.program())
    world.clock.advance(1001)
    world.issuer.registered = {"client_secret": "t", "client_secret_expires_at": 0}
    assert world.post(world.program()) == 200
    assert len(world.issuer.registrations) == 2


def test_where_the_port_of_a_registration_is_taken_any_other_one_is_listened_to(world: World) -> None:
    """RFC 8252 7.3: authorization servers take any port of a loopback address."""
    world.post(world.program())
    world.taken = {50001}
    assert world.post(world.program(subject="another")) == 200
    assert world.listened == [("/callback", 0), ("/callback", 0)]
    assert len(world.issuer.registrations) == 1


@pytest.mark.parametrize(
    ("given", "path", "port", "sent"),
    [
        ("http://127.0.0.1/done", "/done", 0, "http://127.0.0.1:50001/done"),
        ("http://localhost:3000/cb", "/cb", 3000, "http://localhost:3000/cb"),
        ("http://[::1]/cb", "/cb", 0, "http://[::1]:50001/cb"),
    ],
)
def test_the_redirect_address_is_that_of_the_metadata_document(
    world: World, given: str, path: str, port: int, sent: str
) -> None:
    """Host, port and path as given; a port that is not given is any."""
    assert world.post(world.program(redirect_uri=given)) == 200
    assert world.listened == [(path, port)]
    assert world.issuer.authorizations[0]["redirect_uri"] == sent == world.issuer.tokens[0]["redirect_uri"]


# ---- other grants


def test_a_program_may_act_in_its_own_name(world: World) -> None:
    """``client_credentials``: the same way to the authorization server, and no browser."""
    world.challenge += ', scope="read"'
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    program = world.program(grant="client_credentials", client_id="job", client_secret="s3cret")
    assert [world.post(program), world.post(program)] == [200, 200]
    form = world.issuer.tokens[0]
    assert (form["grant_type"], form["scope"], form["resource"]) == ("client_credentials", "read", SERVER)
    assert (world.opened, len(world.issuer.tokens)) == ([], 1)


def test_a_program_that_acts_in_its_own_name_steps_up_as_well(world: World) -> None:
    """The union of scopes, once."""
    world.challenge += ', scope="read"'
    world.judge = lambda token: None if token.startswith("token-2") else wants("write")
    program = world.program(grant="client_credentials", client_id="job", client_secret="s3cret")
    world.issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    assert world.post(program) == 200
    assert [set(form["scope"].split()) for form in world.issuer.tokens] == [{"read"}, {"read", "write"}]


def test_an_assertion_is_a_grant(world: World) -> None:
    """RFC 7523 2.1: made for the authorization server and the resource at hand, anew for each token."""
    targets: list[Any] = []

    def assertion(target: Any) -> str:
        targets.append(target)
        return f"jwt-{len(targets)}"

    program = world.program(client_id="job", assertion=assertion)
    world.issuer.token["expires_in"] = 60
    assert world.post(program) == 200
    world.clock.advance(61)
    assert world.post(program) == 200
    assert [form["assertion"] for form in world.issuer.tokens] == ["jwt-1", "jwt-2"]
    assert targets[0] == (ISSUER, SERVER, "job")
    assert {form["resource"] for form in world.issuer.tokens} == {SERVER}
    assert world.opened == []


def test_an_assertion_that_cannot_be_made_tells_nothing_of_itself(world: World) -> None:
    """Foreign code fails with foreign words, which may hold what it was to return."""

    def assertion(target: Any) -> str:
        raise OSError("the-secret")

    with pytest.raises(Exception, match="assertion") as error:
        world.post(world.program(client_id="job", assertion=assertion))
    assert "the-secret" not in str(error.value)
    with pytest.raises(ConfigurationException):
        world.post(world.program(client_id="job", subject="other", assertion=lambda target: ""))


# ---- DPoP


@pytest.mark.parametrize("demanded", [True, False])
def test_tokens_are_bound_where_it_is_wanted_here_or_there(world: World, demanded: bool) -> None:
    """``dpop=True``, or ``dpop_bound_access_tokens_required`` of the server: a proof with every request."""
    world.issuer.token["token_type"] = "DPoP"
    world.resource["dpop_bound_access_tokens_required"] = demanded or None
    assert world.post(world.program(dpop=not demanded)) == 200
    assert world.post(world.program(dpop=not demanded)) == 200
    assert (len(world.opened), bool(world.issuer.authorizations[0]["dpop_jkt"])) == (1, True)


def test_a_nonce_that_the_server_asks_for_is_answered(world: World) -> None:
    """RFC 9449 9: once more with it, without anyone being asked."""
    world.issuer.token["token_type"] = "DPoP"
    nonces: list[Any] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        if "authorization" not in request.headers:
            return httpx2.Response(401, headers={"www-authenticate": f'DPoP resource_metadata="{METADATA}"'})
        nonces.append(request.headers["dpop"].split(".")[1])
        if len(nonces) == 1:
            refusal = {"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "n-1"}
            return httpx2.Response(401, headers=refusal)
        return httpx2.Response(200)

    world.serve = serve  # type: ignore[method-assign]
    assert world.post(world.program(dpop=True)) == 200
    assert "nonce" in base64.urlsafe_b64decode(nonces[1] + "==").decode()
    assert len(world.opened) == 1


# ---- the object


def test_both_libraries_take_it() -> None:
    """An ``Auth`` of httpx2, and of httpx where that is installed."""
    auth = MCPAuth(SERVER)
    assert isinstance(auth, httpx2.Auth)
    assert isinstance(auth, httpx.Auth)
    assert isinstance(auth, MCPAuth)
    assert repr(auth) == f"MCPAuth(ServerTokens('{SERVER}'))"
    httpx.Client(auth=auth).close()


def test_a_token_goes_to_its_server_only(world: World) -> None:
    """Neither to another host nor to another port."""
    program = world.program()
    world.post(program)
    for url in ("https://mcp.example.com:8443/mcp", "https://evil.example.com/mcp"):
        with pytest.raises(ConfigurationException) as error:
            world.post(program, url)
        assert error.value.code == "token_origin_refused"


@pytest.mark.parametrize(
    ("options", "claim"),
    [
        ({"server": "http://mcp.example.com/mcp"}, "server"),
        ({"server": "https://mcp.example.com/mcp#a"}, "server"),
        ({"server": 7}, "server"),
        ({"client_secret": "s"}, "client_id"),
        ({"issuer": ISSUER}, "client_id"),
        ({"client_id": "a", "issuer": "http://id.example.com"}, "issuer"),
        ({"client_metadata_url": "http://app.example.org/client.json"}, "client_metadata_url"),
        ({"grant": "password"}, "grant"),
        ({"grant": "client_credentials"}, "client_id"),
        ({"grant": "client_credentials", "client_id": "a"}, "client_secret"),
        ({"assertion": str, "client_id": "a", "client_secret": "s", "grant": "client_credentials"}, "grant"),
        ({"assertion": str}, "client_id"),
        ({"redirect_uri": "https://app.example.org/cb"}, "redirect_uri"),
        ({"redirect_uri": "http://127.0.0.1"}, "redirect_uri"),
        ({"client_name": ""}, "client_name"),
        ({"subject": ""}, "subject"),
        ({"seconds": 0}, "seconds"),
    ],
)
def test_what_cannot_be_used_safely_is_refused_at_once(options: dict[str, Any], claim: str) -> None:
    """Each argument by its name."""
    with pytest.raises(ConfigurationException) as error:
        MCPAuth(**{"server": SERVER, **options})
    assert error.value.claim == claim
