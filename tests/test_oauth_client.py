"""The verbs of a client, each over a provider that answers; and a browser that comes back to this machine."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from oauth_world import BACK, INVENTORY, World
from py_identity_model import (
    ConfigurationException,
    DeviceLoginRequest,
    DPoPKey,
    ExchangeTokenType,
    FAPI2Profile,
    LoginClient,
    LoginRequest,
    LoginRequired,
    MtlsClientAuth,
    OAuthClient,
    PrivateKeyJwt,
    SecretFile,
    SigningKey,
    TokenRequestException,
    TokenUnavailable,
)
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.client.grants import JWT_BEARER
from py_identity_model._core.client.token_exchange import TOKEN_EXCHANGE
from py_identity_model._loopback import Browser, BrowserReturn, show_device, show_page
from py_identity_model.aio import OAuthClient as AsyncOAuthClient
from py_identity_model.stores import AwaitableStore, MemoryStore, RedisStore
from py_identity_model.testing import EmbeddedProvider
from py_identity_model.testing._grants import Client

ALICE = "alice"
KEY = SigningKey.generate("ES256", kid="k1")


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> World:
    """A provider, and processes of each API in turn."""
    return World(request.param, clock)


def forms(world: World, endpoint: str = "token") -> list[dict[str, str]]:
    """Return the forms that came to an endpoint."""
    received = [each.request for each in world.provider.requests if each.endpoint == endpoint]
    return [{name: values[0] for name, values in parse_qs(one.body.decode()).items()} for one in received]


# ---- tokens


def test_what_is_asked_for_is_what_is_sent(world: World) -> None:
    """Scope, resource, audience and details of a token in the client's own name reach the provider."""
    process = world.process()
    process.client_credentials(
        scope=["b", "a"], resource=INVENTORY, audience="inv", authorization_details=[{"type": "x"}]
    )
    process.token(scope="c", resource=INVENTORY, audience="inv", authorization_details=[{"type": "y"}])
    sent = forms(world)
    assert [form["scope"] for form in sent] == ["b a", "c"]
    assert {(form["resource"], form["audience"], form["grant_type"]) for form in sent} == {
        (INVENTORY, "inv", "client_credentials")
    }
    assert [json.loads(form["authorization_details"])[0]["type"] for form in sent] == ["x", "y"]


def test_a_public_client_has_no_tokens_of_its_own(world: World) -> None:
    """Without a credential the client credentials grant is refused here (RFC 6749 4.4)."""
    with pytest.raises(ConfigurationException) as error:
        world.process(client_secret=None).client_credentials(scope="a")
    assert error.value.claim == "client_secret"
    assert world.asked == 0


def test_refresh_brings_a_new_token_at_once(world: World) -> None:
    """Also where the old one is still good: with the scope and for the resource that are asked for."""
    process = world.process()
    process.log_in(scope="openid a b")
    old = process.token(subject=ALICE)
    assert process.refresh(subject=ALICE) not in (old, None)
    narrow = process.refresh(subject=ALICE, scope="a", resource=INVENTORY)
    assert narrow.scope == "a"
    assert forms(world)[-1]["resource"] == INVENTORY
    assert process.token(subject=ALICE, scope="a", resource=INVENTORY) == narrow


def exchanging(world: World) -> list[dict[str, str]]:
    """Have the provider exchange tokens, and return what it was asked."""
    asked: list[dict[str, str]] = []

    def between(request: Request) -> Reply:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if form.get("grant_type") != TOKEN_EXCHANGE:
            return world.provider.transport(request)
        asked.append(form)
        answer = {
            "access_token": world.provider.mint(subject=form["subject_token"]),
            "token_type": "Bearer",
            "expires_in": 300,
            "issued_token_type": ExchangeTokenType.ACCESS_TOKEN,
        }
        return Reply(200, (("content-type", "application/json"),), json.dumps(answer).encode(), request.url)

    world.between = between
    return asked


def test_a_token_that_came_in_is_exchanged_once(world: World) -> None:
    """One exchange for each token and purpose, as long as what it brought is good; users are never mixed."""
    asked, process = exchanging(world), world.process()
    for _ in range(3):
        tokens = [process.on_behalf_of(user, scope="a", resource=INVENTORY, audience="inv") for user in ("ada", "bob")]
        assert [world.provider.claims_of(t.access_token)["sub"] for t in tokens] == ["ada", "bob"]
    assert len(asked) == 2
    assert (asked[0]["scope"], asked[0]["resource"], asked[0]["audience"]) == ("a", INVENTORY, "inv")
    assert asked[0]["subject_token_type"] == ExchangeTokenType.ACCESS_TOKEN
    assert process.token(on_behalf_of="ada", scope="a", resource=INVENTORY, audience="inv") == tokens[0]
    world.clock.advance(301)
    process.on_behalf_of("ada", scope="a", resource=INVENTORY, audience="inv")
    assert len(asked) == 3
    with pytest.raises(ConfigurationException):
        process.token(on_behalf_of="ada", subject="bob")


ASSERTED = {"grant_type": JWT_BEARER, "requested_token_use": "on_behalf_of"}
CHALLENGE = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


def on_behalf(world: World, answer: dict[str, Any], status: int = 200, grants: Any = ...) -> list[dict[str, str]]:
    """Have the provider answer what is asked on behalf of a user, and return the forms that came."""
    asked: list[dict[str, str]] = []

    def between(request: Request) -> Reply:
        if request.url.endswith("/token"):
            asked.append({name: values[0] for name, values in parse_qs(request.body.decode()).items()})
            return Reply(status, (("content-type", "application/json"),), json.dumps(answer).encode(), request.url)
        reply = world.provider.transport(request)
        if grants is ... or "openid-configuration" not in request.url:
            return reply
        document = {name: value for name, value in json.loads(reply.body).items() if name != "grant_types_supported"}
        more = {} if grants is None else {"grant_types_supported": grants}
        return replace(reply, body=json.dumps({**document, **more}).encode())

    world.between = between
    return asked


GIVEN = {"access_token": "new", "token_type": "Bearer", "expires_in": 300}
EXCHANGED = {**GIVEN, "issued_token_type": ExchangeTokenType.ACCESS_TOKEN}


def test_a_token_is_asserted_on_behalf_of_its_user(world: World) -> None:
    """Microsoft Entra's form: the token is an assertion (RFC 7523 2.1), for the scopes of the next service."""
    asked, process = on_behalf(world, GIVEN), world.process(on_behalf_of_grant="jwt_bearer")
    for _ in range(2):
        token = process.on_behalf_of("ada", scope="api://inventory/.default")
        assert (token.access_token, token.token_type) == ("new", "Bearer")
    assert [{name: form[name] for name in (*ASSERTED, "assertion", "scope")} for form in asked] == [
        {**ASSERTED, "assertion": "ada", "scope": "api://inventory/.default"}
    ]
    assert not {"subject_token", "requested_token_type"} & asked[0].keys()


@pytest.mark.parametrize(
    ("named", "grants", "sent"),
    [
        (None, [JWT_BEARER, "authorization_code"], JWT_BEARER),
        (None, [JWT_BEARER, TOKEN_EXCHANGE], TOKEN_EXCHANGE),
        (None, ["authorization_code"], TOKEN_EXCHANGE),
        (None, None, TOKEN_EXCHANGE),
        ("token_exchange", [JWT_BEARER], TOKEN_EXCHANGE),
        ("jwt_bearer", [TOKEN_EXCHANGE], JWT_BEARER),
    ],
)
def test_the_grant_is_the_named_or_the_offered_one(world: World, named: Any, grants: Any, sent: str) -> None:
    """Who does not say by which grant gets what the metadata offers, and where it does not tell token exchange."""
    asked = on_behalf(world, EXCHANGED, grants=grants)
    assert world.process(on_behalf_of_grant=named).on_behalf_of("ada", scope="a").access_token == "new"
    assert [form["grant_type"] for form in asked] == [sent]


@pytest.mark.parametrize("grant", ["token_exchange", "jwt_bearer"])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"access_token": "ada"}, "token_not_exchanged"),
        ({"token_type": "N_A"}, "token_type_unsupported"),
        ({"token_type": "mac"}, "token_type_unsupported"),
        ({"token_type": None}, "token_type_missing"),
        ({"access_token": ""}, "access_token_missing"),
        ({"access_token": ["new"]}, "access_token_invalid"),
        ({"expires_in": -1}, "expires_in_invalid"),
        ({"error": "invalid_grant"}, "request_refused"),
    ],
)
def test_a_strange_answer_is_no_token(world: World, grant: Any, answer: Any, code: str) -> None:
    """Neither the user's own token, nor anything that is no bearer token, is used in place of a new one."""
    on_behalf(world, {**EXCHANGED, **answer})
    with pytest.raises(TokenUnavailable) as error:
        world.process(on_behalf_of_grant=grant).on_behalf_of("ada", scope="a")
    assert getattr(error.value.__cause__, "code", None) == code
    assert "ada" not in str(error.value)


def test_a_token_on_behalf_of_a_user_is_bound_like_any_other(world: World) -> None:
    """With a key, an answer that is not bound to it is refused."""
    on_behalf(world, GIVEN)
    with pytest.raises(TokenUnavailable) as error:
        world.process(on_behalf_of_grant="jwt_bearer", dpop=DPoPKey()).on_behalf_of("ada", scope="a")
    assert getattr(error.value.__cause__, "code", None) == "dpop_token_expected"


@pytest.mark.parametrize("word", ["interaction_required", "consent_required", "login_required"])
def test_what_only_the_user_can_mend_is_told_with_the_claims_to_ask_for(world: World, word: str) -> None:
    """The service cannot ask the user: its caller has to, with the claims that the provider named."""
    on_behalf(world, {"error": word, "claims": CHALLENGE}, 400)
    with pytest.raises(TokenRequestException) as error:
        world.process(on_behalf_of_grant="jwt_bearer").on_behalf_of("ada", scope="a")
    assert error.value.needs_new_login
    assert error.value.details["claims"] == CHALLENGE
    assert "log in again" in (error.value.hint or "")


@pytest.mark.parametrize("claims", ["x" * 4097, "a\nb", 7, {"a": 1}, "", "of the token ada-the-users-token"])
def test_claims_that_could_not_be_sent_on_are_left_out(world: World, claims: Any) -> None:
    """What is too long, no text, no line, or repeats the user's token, is not told."""
    on_behalf(world, {"error": "interaction_required", "claims": claims}, 400)
    with pytest.raises(TokenRequestException) as error:
        world.process(on_behalf_of_grant="jwt_bearer").on_behalf_of("ada-the-users-token", scope="a")
    assert "claims" not in error.value.details


def test_an_assertion_has_no_audience(world: World) -> None:
    """RFC 7523 knows scope and resource only; the parameter is refused and not left out."""
    asked = on_behalf(world, GIVEN)
    with pytest.raises(ConfigurationException) as error:
        world.process(on_behalf_of_grant="jwt_bearer").on_behalf_of("ada", audience="inv")
    assert error.value.claim == "audience"
    assert asked == []


@pytest.mark.parametrize("grant", ["password", "", JWT_BEARER, 7])
def test_no_other_grant_acts_on_behalf_of_a_user(world: World, grant: Any) -> None:
    """A name that is none is refused when the client is made."""
    with pytest.raises(ConfigurationException):
        world.process(on_behalf_of_grant=grant)


def test_an_exchange_is_made_as_it_is_asked_for(world: World) -> None:
    """Each call asks anew, with whatever the grant knows."""
    asked, process = exchanging(world), world.process()
    for _ in range(2):
        response = process.exchange("ada", requested_token_type=ExchangeTokenType.JWT, audience="x")
        assert response.is_successful
    assert [form["requested_token_type"] for form in asked] == [ExchangeTokenType.JWT] * 2


# ---- logins


def test_a_login_in_the_browser_ends_with_its_tokens_kept(world: World) -> None:
    """From the redirect to the tokens; a caller keeps the transaction, or a store does."""
    process = world.process()
    login = process.log_in(resource=INVENTORY)
    assert login.claims["sub"] == ALICE
    assert login.resource == (INVENTORY,)
    asked = world.asked
    assert process.token(subject=ALICE, resource=INVENTORY).access_token == login.access_token
    assert world.asked == asked

    logins = MemoryStore(clock=lambda: float(world.clock.wall))
    start = process.begin_login(LoginRequest(binding="cookie"), store=logins)
    came = world.provider.transport(Request("GET", start.url)).header("location")
    query = "?" + came.partition("?")[2]
    done = process.complete_login(query, store=logins, binding="cookie", response_mode="query", subject="mine")
    assert done.is_successful, done.error
    assert process.token(subject="mine").access_token == done.access_token
    assert not process.complete_login(query, store=logins, binding="cookie").is_successful


def test_a_login_that_fails_changes_nothing(world: World) -> None:
    """What is refused is told as a response, and the login there was stays."""
    process = world.process()
    process.log_in()
    start = process.begin_login()
    refused = process.complete_login(
        f"{BACK}?error=access_denied&state={start.transaction.state}&iss={world.provider.issuer}", start.transaction
    )
    assert (refused.is_successful, refused.error_code) == (False, "access_denied")
    assert process.token(subject=ALICE).access_token


def test_a_device_login_validates_the_id_token_and_keeps_the_tokens(world: World) -> None:
    """The user is shown where to approve; a client without credentials has one user, and needs no name for it."""
    world.provider.add_client(Client("tool"))
    process = world.process(client_id="tool", client_secret=None, redirect_uri=None)
    shown: list[Any] = []
    login = process.device_login(shown.append, request=DeviceLoginRequest(scope="openid a"))
    assert login.claims["sub"] == ALICE
    assert shown[0].user_code
    assert process.token().access_token == login.access_token
    world.clock.advance(301)
    assert process.token().scope == "openid a"
    process.device_login(shown.append, subject="second")
    assert process.token(subject="second").access_token
    refused = process.device_login(shown.append, expected_sub="bob")
    assert refused.error_code == "subject_mismatch"


def test_a_device_login_of_a_client_with_credentials_is_kept_under_its_user(world: World) -> None:
    """Such a client may have many users: each login has the name of its own."""
    process = world.process()
    process.device_login(lambda started: None)
    assert process.token(subject=ALICE).access_token


def test_what_logins_and_tokens_are_about_can_be_asked(world: World) -> None:
    """UserInfo, introspection, logout and revocation take what they need from the login that is kept."""
    process = world.process()
    login = process.log_in()
    assert process.userinfo(ALICE).claims["email"] == "alice@example.com"
    answer = process.introspect(login.access_token, expected_audience="https://api.example.com")
    assert answer.claims["sub"] == ALICE
    assert not process.introspect(login.access_token, expected_audience="other").is_successful
    logout = process.logout_url(
        ALICE, post_logout_redirect_uri=BACK, logout_hint="h", ui_locales="de", extra={"x": "1"}
    )
    query = parse_qs(urlsplit(logout.url).query)
    assert query["id_token_hint"] == [login.id_token_hint]
    assert (query["logout_hint"], query["ui_locales"], query["x"]) == (["h"], ["de"], ["1"])
    assert process.revoke(login.access_token, token_type_hint="access_token").is_successful
    assert forms(world, "revoke")[-1]["token_type_hint"] == "access_token"
    assert process.revoke(subject=ALICE).is_successful
    assert forms(world, "revoke")[-1]["token"] == login.refresh_token
    assert process.revoke(subject=ALICE).is_successful
    assert process.userinfo(ALICE).error_code == "login_missing"


def test_a_name_is_needed_where_there_may_be_many(world: World) -> None:
    """A client with credentials says whose login it means."""
    process = world.process()
    for response in (process.userinfo(), process.revoke(), process.logout_url()):
        assert response.exception.claim == "subject"


# ---- what a client may be


@pytest.mark.parametrize(
    ("options", "claim"),
    [
        ({"client_id": None}, "client_id"),
        ({"client_id": ""}, "client_id"),
        ({"dpop": "yes"}, "dpop"),
        ({"profile": "fapi3"}, "profile"),
        ({"profile": "fapi2"}, None),
        ({"renewal_timeout": 0}, "renewal_timeout"),
        ({"renewal_timeout": 301}, "renewal_timeout"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"redirect_uri": "http://app.example.com/cb"}, "redirect_uri"),
        ({"scope": []}, "scope"),
        ({"backchannel": "keycloak"}, "backchannel"),
    ],
)
def test_a_client_that_cannot_be_used_is_refused_when_it_is_made(options: dict[str, Any], claim: str | None) -> None:
    """Mistakes show at once, not with the first request."""
    with pytest.raises(ConfigurationException) as error:
        OAuthClient("https://id.example.com", **{"client_id": "app", "client_secret": "s", **options})
    assert claim is None or claim in (error.value.claim or "")


def test_every_credential_reaches_the_provider(world: World, tmp_path: Any) -> None:
    """A secret, one in a file, a key, a certificate, a ready assertion, an attestation."""
    sent: list[Request] = []

    def between(request: Request) -> Reply:
        if not request.url.endswith("/token"):
            reply = world.provider.transport(request)
            if "openid-configuration" not in request.url:
                return reply
            metadata = {**json.loads(reply.body), "token_endpoint_auth_methods_supported": None}
            return replace(reply, body=json.dumps({k: v for k, v in metadata.items() if v is not None}).encode())
        sent.append(request)
        return Reply(200, (("content-type", "application/json"),), b'{"access_token":"a","token_type":"Bearer"}')

    world.between = between
    secret = tmp_path / "secret"
    secret.write_text("from a file")
    secret.chmod(0o600)
    kinds = {
        "client_secret": SecretFile(secret),
        "private_key_jwt": PrivateKeyJwt(KEY),
        "mtls": MtlsClientAuth("cert.pem", "key.pem"),
        "client_assertion": lambda: "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
        "attestation": lambda issuer: ("a.b.c", "d.e.f"),
    }
    for name, value in kinds.items():
        world.process(**{"client_secret": None, "store": None, name: value}).token(scope="a")
    headers = [dict(request.headers) for request in sent]
    assert "Authorization" in headers[0]
    assert b"client_assertion=" in sent[1].body
    assert sent[2].certificate is not None
    assert b"client_assertion=eyJhbGciOiJSUzI1NiJ9" in sent[3].body
    assert "OAuth-Client-Attestation" in headers[4]


def test_a_login_client_says_the_rest(world: World) -> None:
    """Where something is special about the client, it is described as a LoginClient, and nothing is said twice."""
    special = LoginClient(
        issuer=world.provider.issuer,
        client_id=world.provider.client_id,
        client_secret=world.provider.client_secret,
        headers={"x-special": "1"},
        redirect_uri=BACK,
    )
    door: Any = type(world.process().client)
    client = door(special, http_client=lambda request: world.between(request))
    assert world.run(client.token, scope="a").scope == "a"
    assert ("x-special", "1") in [r.request for r in world.provider.requests if r.endpoint == "token"][-1].headers
    for twice in ({"client_id": "x"}, {"redirect_uri": BACK}, {"profile": "fapi2"}, {"scope": "a"}):
        with pytest.raises(ConfigurationException, match="already"):
            door(special, **twice)
    with pytest.raises(ConfigurationException):
        door(replace(special, dpop_key=DPoPKey()), dpop=True)
    assert "LoginClient" not in repr(door(special, dpop=DPoPKey()))


def test_the_profile_is_enforced(world: World) -> None:
    """With the profile the client's settings are held to every rule, and the provider's metadata too."""
    options = {"client_secret": None, "private_key_jwt": PrivateKeyJwt(KEY), "dpop": True}
    assert world.process(profile="fapi2", **options).client
    process = world.process(profile=FAPI2Profile(), **options)
    with pytest.raises(ConfigurationException, match=r"The provider breaks FAPI 2\.0"):
        process.token(scope="a")
    with pytest.raises(ConfigurationException, match=r"FAPI 2\.0"):
        world.process(profile="fapi2")


def test_a_store_that_would_not_keep_tokens_says_so_before_there_are_any(world: World) -> None:
    """Tokens are not sent to Redis as they are; that is told before a login is used up."""
    process = world.process(store=RedisStore("redis://127.0.0.1:1"))
    with pytest.raises(ConfigurationException) as error:
        process.token(scope="a")
    assert error.value.code == "store_unencrypted"
    assert process.begin_login().error_code == "store_unencrypted"
    assert len(world.provider.requests) == 0


def test_the_algorithm_of_the_key_is_one_the_provider_takes(world: World) -> None:
    """A key that is made is of a kind that the metadata names; without the store there is none."""
    world.provider.metadata["dpop_signing_alg_values_supported"] = ["PS256", "EdDSA"]
    client = world.process(dpop=True).client

    def prepared() -> Any:
        from py_identity_model.sync._driver import run

        return run(client._prepared(), world.provider.transport)

    if world.kind == "sync":
        assert prepared().dpop_key.algorithm == "PS256"


def test_the_backchannel_is_used(world: World) -> None:
    """Requests go to where the provider is reached from here."""
    urls: list[str] = []

    def between(request: Request) -> Reply:
        urls.append(request.url)
        inside = replace(request, url=request.url.replace("https://inside.example.com", world.provider.issuer))
        return world.provider.transport(inside)

    world.between = between
    assert world.process(backchannel="https://inside.example.com").token(scope="a").scope == "a"
    assert all(url.startswith("https://inside.example.com/") for url in urls)


def test_a_client_registers_itself_once(world: World) -> None:
    """The store remembers the registration for every process and every later run; one that expired is made anew."""
    sent: list[dict[str, Any]] = []

    def between(request: Request) -> Reply:
        reply = world.provider.transport(request)
        if "openid-configuration" in request.url:
            members = {**json.loads(reply.body), "registration_endpoint": f"{world.provider.issuer}/register"}
            return replace(reply, body=json.dumps(members).encode())
        if not request.url.endswith("/register"):
            return reply
        sent.append(json.loads(request.body))
        own = {"client_id": f"made-{len(sent)}", "client_secret": "s" * 40}
        answer = {**sent[-1], **own, "client_secret_expires_at": int(world.clock.wall) + 3600}
        return Reply(201, (("content-type", "application/json"),), json.dumps(answer).encode(), request.url)

    world.between = between
    door: Any = type(world.process().client)

    def register(uris: Any = (BACK,), **options: Any) -> Any:
        def transport(request: Request) -> Reply:
            return world.between(request)

        return world.run(
            door.register, world.provider.issuer, uris, store=world.store, http_client=transport, **options
        )

    clients = [register(client_name="tool", scope="openid a", dpop=True) for _ in range(3)]
    assert {client._client.client_id for client in clients} == {"made-1"}
    assert clients[0]._client.scope == "openid a"
    assert (sent[0]["client_name"], sent[0]["redirect_uris"]) == ("tool", [BACK])
    assert register(client_name="other")._client.client_id == "made-2"
    world.clock.advance(3601)
    assert register(client_name="tool", scope="openid a")._client.client_id == "made-3"
    assert "s" * 40 not in repr([*clients, world.store])
    for uris in ([], BACK):
        with pytest.raises(ConfigurationException):
            register(uris)
    world.between = world.provider.transport
    with pytest.raises(ConfigurationException) as error:
        world.run(door.register, "https://id.example.com", [BACK + "/2"], store=world.store, http_client=world.between)
    assert error.value.code == "provider_unsupported"


def test_a_login_without_a_name_is_refused_before_anything_is_used_up(world: World) -> None:
    """Without openid nothing tells whose login it is: a name is demanded before the code is spent, and users of a
    client without credentials are never taken for one.
    """
    world.provider.add_client(Client("tool", redirect_uris=(BACK,)))
    for options in ({}, {"client_id": "tool", "client_secret": None}):
        process = world.process(scope="a", **options)
        start = process.begin_login()
        came = world.provider.transport(Request("GET", start.url)).header("location")
        assert process.complete_login(came, start.transaction).exception.claim == "subject"
        assert world.asked == 0
        assert process.complete_login(came, start.transaction, subject="ada").is_successful
        assert process.token(subject="ada").access_token
        world.provider.forget_requests()
    assert world.process(scope="a").device_login(lambda started: None).exception.claim == "subject"
    assert world.process(scope="a").loopback_login(show=lambda url: None).exception.claim == "subject"


def test_a_store_that_is_awaited_serves_too(world: World) -> None:
    """Both colours of stores are taken where they can be awaited."""
    if world.kind == "sync":
        return
    process = world.process(store=AwaitableStore(world.store))
    process.log_in()
    token = process.token(subject=ALICE)
    world.clock.advance(301)
    assert process.token(subject=ALICE) != token


def test_the_blocking_api_works_under_a_running_loop() -> None:
    """A blocking call in a coroutine blocks, and comes back."""
    provider = EmbeddedProvider()
    credentials = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    client = OAuthClient(provider.issuer, **credentials, http_client=provider.transport)

    async def main() -> Any:
        return client.token(scope="a")

    assert asyncio.run(main()).scope == "a"
    assert provider.count("token") == 1


def test_one_auth_object_serves_both_kinds_of_http_clients() -> None:
    """The auth object of a blocking client authenticates an asynchronous HTTP client, and the other way round."""
    provider = EmbeddedProvider()
    credentials = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, text=request.headers["authorization"][:6]))
    doors: Any = (OAuthClient, AsyncOAuthClient)
    for door in doors:
        auth = door(provider.issuer, **credentials, http_client=provider.transport).auth(resource=INVENTORY)

        async def main(auth: Any = auth) -> str:
            async with httpx2.AsyncClient(auth=auth, transport=answer) as http:
                return str((await http.get(INVENTORY)).text)

        assert asyncio.run(main()) == "Bearer"
        with httpx2.Client(auth=auth, transport=answer) as http:
            assert http.get(INVENTORY).text == "Bearer"


# ---- a browser on this machine


class Person:
    """A person with a browser: opens the page, approves, and comes back."""

    def __init__(self, provider: EmbeddedProvider, *, has_browser: bool = True) -> None:
        self.provider, self.has_browser = provider, has_browser
        self.pages: list[str] = []
        self.threads: list[threading.Thread] = []

    def open(self, url: str) -> bool:
        if self.has_browser:
            self.approve(url)
        return self.has_browser

    def approve(self, url: str) -> None:
        thread = threading.Thread(target=self._approve, args=(url,))
        self.threads.append(thread)
        thread.start()

    def _approve(self, url: str) -> None:
        asked = dict(parse_qs(urlsplit(url).query))
        client = self.provider._endpoints.clients["tool"]
        self.provider.add_client(replace(client, redirect_uris=(asked["redirect_uri"][0],)))
        location = self.provider.transport(Request("GET", url)).header("location") or ""
        with httpx2.Client() as browser:
            self.pages.append(browser.get(location).text)


@pytest.fixture
def person(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    world.provider.add_client(Client("tool"))
    made = Person(world.provider)
    monkeypatch.setattr(webbrowser, "open", made.open)
    yield made
    for thread in made.threads:
        thread.join()


def tool(world: World) -> Any:
    return world.process(client_id="tool", client_secret=None, redirect_uri=None)


def test_a_loopback_login(world: World, person: Person) -> None:
    """The browser opens, comes back to a port of this machine, and shows that the window may be closed."""
    process = tool(world)
    login = process.loopback_login(request=LoginRequest(scope="openid a"))
    assert login.is_successful, login.error
    assert login.claims["sub"] == ALICE
    person.threads[0].join()
    assert "You may close this window" in person.pages[0]
    assert process.token().access_token == login.access_token
    asked = next(each.request.url for each in world.provider.requests if each.endpoint == "authorize")
    query = parse_qs(urlsplit(asked).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"][0].startswith("http://127.0.0.1:")


def test_a_loopback_login_without_a_browser_shows_the_page(world: World, person: Person) -> None:
    """Where there is no browser, or none is wanted, the user is told which page to open."""
    person.has_browser = False
    shown: list[str] = []

    def show(url: str) -> None:
        shown.append(url)
        person.approve(url)

    assert tool(world).loopback_login(show=show).is_successful
    person.has_browser = True
    assert tool(world).loopback_login(browser=False, show=show, subject="me", path="/back").is_successful
    assert len(shown) == 2
    assert "%2Fback" in shown[1]


def test_a_loopback_login_has_a_time_limit(world: World, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who does not come back is waited for as long as was said, and no port stays open."""
    monkeypatch.setattr("py_identity_model._core.login.oauth_verbs.BROWSER_WAIT", 0.01)
    person.has_browser = False
    addresses: list[str] = []

    def show(url: str) -> None:
        addresses.append(parse_qs(urlsplit(url).query)["redirect_uri"][0])
        world.clock.advance(61)

    response = tool(world).loopback_login(show=show, seconds=60)
    assert response.error_code == "login_timeout"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(addresses[0])


def test_other_visitors_do_not_end_the_wait() -> None:
    """Another path, another method, another host or another state is refused, and the browser is waited on; so are
    connections that send nothing, or too much.
    """
    listener = BrowserReturn()
    port = urlsplit(listener.redirect_uri).port or 0
    found: list[str | None] = []
    waiting = threading.Thread(target=lambda: found.append(listener.wait(20, lambda state: state == "right")))
    waiting.start()
    silent = socket.create_connection(("127.0.0.1", port))
    loud = socket.create_connection(("127.0.0.1", port))
    loud.sendall(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 4000)
    with httpx2.Client() as browser:
        there = f"http://127.0.0.1:{port}"
        assert browser.get(there + "/favicon.ico").status_code == 404
        assert browser.post(there + "/callback?state=right").status_code == 404
        assert browser.get(there + "/callback?state=right", headers={"host": "evil.example.com"}).status_code == 404
        assert browser.get(there + "/callback?state=wrong&code=c").status_code == 400
        assert browser.get(there + "/callback").status_code == 400
        assert not found
        page = browser.get(there + "/callback?state=right&error=access_denied")
    assert "failed" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-store"
    waiting.join()
    assert found == ["?state=right&error=access_denied"]
    for sock in (silent, loud):
        sock.close()
    listener.close()


def test_a_wait_for_the_browser_ends() -> None:
    """After the time that was given there is no answer; many connections are no reason to wait longer."""
    listener = BrowserReturn("/x")
    port = urlsplit(listener.redirect_uri).port or 0
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
    begun = time.monotonic()
    assert listener.wait(0.1, lambda state: True) is None
    assert time.monotonic() - begun < 2
    for sock in socks:
        sock.close()
    assert listener.wait(0.05, lambda state: True) is None
    listener.close()


def test_both_addresses_of_this_machine_are_listened_on() -> None:
    """A browser may take ::1 for this machine, where there is one."""
    listener = BrowserReturn()
    port = urlsplit(listener.redirect_uri).port or 0
    families = {sock.family for sock in listener._sockets}
    assert socket.AF_INET in families
    if socket.AF_INET6 in families:
        socket.create_connection(("::1", port)).close()
    listener.close()


@pytest.mark.parametrize("path", ["callback", "/a?b", "/ä", "/a b"])
def test_the_path_is_a_path(path: str) -> None:
    """A path that could not be registered is refused."""
    with pytest.raises(ConfigurationException):
        BrowserReturn(path)


def test_without_a_port_there_is_no_loopback_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that gives no port says so, and what to do instead."""

    def bind(*_: Any) -> None:
        raise OSError("no")

    monkeypatch.setattr("py_identity_model._loopback._bound", bind)
    with pytest.raises(ConfigurationException) as error:
        BrowserReturn()
    assert error.value.code == "loopback_unavailable"
    assert "device_login" in str(error.value)


def test_a_browser_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a desktop raises is no reason to fail: the address is shown instead."""

    def broken(url: str) -> bool:
        raise webbrowser.Error("no display")

    monkeypatch.setattr(webbrowser, "open", broken)
    assert Browser().open("https://id.example.com") is False


def test_the_user_is_told_on_the_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Data of a program stays clean: what is for the user goes to the standard error."""
    show_page("https://id.example.com/x")

    class Started:
        verification_uri, user_code = "https://id.example.com/device", "WDJB-MJHT"

    show_device(Started())  # type: ignore[arg-type] # it has what is shown
    told = capsys.readouterr()
    assert told.out == ""
    assert "https://id.example.com/x" in told.err
    assert "WDJB-MJHT" in told.err


# ---- together


def test_a_login_and_a_client_token_live_side_by_side(world: World) -> None:
    """The client's own tokens and those of its users have nothing to do with each other."""
    process = world.process()
    process.log_in()
    own, users = process.token(), process.token(subject=ALICE)
    assert world.provider.claims_of(own.access_token)["sub"] == world.provider.client_id
    assert world.provider.claims_of(users.access_token)["sub"] == ALICE


def test_a_renewal_is_bounded_in_time(world: World) -> None:
    """A provider that answers too slowly counts as away, and the caller is told."""
    if world.kind != "sync":
        return
    release = threading.Event()

    def between(request: Request) -> Reply:
        if request.url.endswith("/token"):
            world.clock.advance(11)
            raise TimeoutError
        return world.provider.transport(request)

    world.between = between
    with pytest.raises(TokenUnavailable):
        world.process(renewal_timeout=1).token(scope="a")
    release.set()


def test_login_required_names_the_login_that_is_known(world: World, person: Person) -> None:
    """A login that came by the browser of this machine is renewed by the same verb."""
    process = tool(world)
    process.loopback_login()
    edited = world.provider.transport

    def between(request: Request) -> Reply:
        if request.url.endswith("/token"):
            body = b'{"error":"invalid_grant"}'
            return Reply(400, (("content-type", "application/json"),), body, request.url)
        return edited(request)

    world.between = between
    world.clock.advance(301)
    with pytest.raises(LoginRequired) as error:
        process.token()
    assert error.value.verb == "loopback_login"
    assert error.value.client_error.status == 401
