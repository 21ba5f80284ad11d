"""Cross-app access: an assertion of the identity provider, exchanged at another server, and judged there.

Requests, answers and claims follow draft-ietf-oauth-identity-assertion-authz-grant; the values are made up.
"""

from __future__ import annotations

import json
import secrets
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl

import pytest

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from oauth_world import World
from py_identity_model import (
    ConfigurationException,
    DPoPKey,
    ExchangeTokenType,
    LoginRequired,
    PyIdentityModelException,
    SigningKey,
    TokenUnavailable,
    TokenValidationException,
    TrustedIssuer,
)
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model.stores import MemoryStore

CHAT = "https://auth.chat.example.com"
CHAT_API = "https://api.chat.example.com/"
ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
JSON = (("content-type", "application/json"),)
KEY = SigningKey.generate("ES256", kid="idp")
OTHER_KEY = SigningKey.generate("ES256", kid="other")


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> World:
    """An identity provider, and processes of each API in turn."""
    return World(request.param, clock)


def assertion(world: World, typ: str | None = "oauth-id-jag+jwt", key: SigningKey = KEY, **claims: Any) -> str:
    """Return an identity assertion for the chat's server."""
    said = {
        "iss": world.provider.issuer,
        "sub": "U019488227",
        "aud": CHAT,
        "client_id": "chat-client",
        "jti": secrets.token_hex(8),
        "iat": int(world.clock.wall),
        "exp": int(world.clock.wall) + 300,
        "resource": CHAT_API,
        "scope": "chat.read chat.history",
        **claims,
    }
    return sign_compact({name: value for name, value in said.items() if value is not None}, key, typ=typ)


class Parties:
    """The identity provider, which issues assertions, and the chat's server, which takes them."""

    def __init__(self, world: World) -> None:
        self.world, self.exchanges, self.grants = world, list[dict[str, str]](), list[dict[str, str]]()
        self.judge: Any = validator(world)
        self.issued: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.typ: str | None = "oauth-id-jag+jwt"
        world.between = self

    def __call__(self, request: Request) -> Reply:
        if request.url.startswith(CHAT):
            return self.chat(request)
        form = dict(parse_qsl(request.body.decode()))
        if form.get("requested_token_type") != ID_JAG:
            return self.world.provider.transport(request)
        self.exchanges.append(form)
        made = assertion(self.world, self.typ, **{"scope": form.get("scope"), **self.claims})
        answer = {"issued_token_type": ID_JAG, "access_token": made, "token_type": "N_A", "expires_in": 300}
        said = {name: value for name, value in {**answer, **self.issued}.items() if value is not None}
        return Reply(200, JSON, json.dumps(said).encode(), request.url)

    def chat(self, request: Request) -> Reply:
        """Answer as the chat's server: metadata, or a token for an assertion."""
        if request.method == "GET":
            said: dict[str, Any] = {
                "issuer": CHAT,
                "token_endpoint": f"{CHAT}/token",
                "jwks_uri": f"{CHAT}/jwks",
                "authorization_endpoint": f"{CHAT}/authorize",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
            return Reply(200, JSON, json.dumps(said).encode(), request.url)
        form = dict(parse_qsl(request.body.decode()))
        self.grants.append(form)
        granted = blocking.IdJagValidator(self.world.provider.issuer, CHAT, keys=KEY.public_jwk).validate(
            form["assertion"], "chat-client"
        )
        told = {"access_token": f"chat-{len(self.grants)}", "token_type": "Bearer", "expires_in": 300}
        return Reply(200, JSON, json.dumps({**told, "scope": " ".join(granted.scope)}).encode(), request.url)

    def clients(self, **options: Any) -> tuple[Any, Any]:
        """Return the client at the identity provider, with a login, and the one at the chat's server."""
        idp = self.world.process(**options)
        idp.log_in()
        door: Any = blocking if self.world.kind == "sync" else awaitable
        given = {"client_id": "chat-client", "client_secret": "s" * 32, **options}
        return idp, door.OAuthClient(CHAT, http_client=lambda request: self.world.between(request), **given)


def validator(world: World, **options: Any) -> Any:
    """Return the receiving side, with the API of the world."""
    door: Any = blocking if world.kind == "sync" else awaitable
    return door.IdJagValidator(world.provider.issuer, CHAT, **{"keys": KEY.public_jwk, **options})


def judged(world: World, text: str, client_id: Any = "chat-client", judge: Any = None, **options: Any) -> Any:
    """Have the receiving side judge an assertion."""
    return world.run((judge or validator(world)).validate, text, client_id, **options)


# ---- the client's two legs


def test_a_login_here_brings_tokens_there(world: World) -> None:
    """Both legs by themselves: the ID token is exchanged, and the assertion is a grant; a new one for each token."""
    parties = Parties(world)
    idp, app = parties.clients()
    alice = idp.client.cross_app(CHAT, subject="alice", resource=CHAT_API, scope="chat.read")
    token = world.run(app.token, identity=alice, resource=CHAT_API)
    assert (token.access_token, token.scope) == ("chat-1", "chat.read")
    asked = parties.exchanges[0]
    assert (asked["audience"], asked["resource"], asked["scope"]) == (CHAT, CHAT_API, "chat.read")
    assert asked["subject_token_type"] == ExchangeTokenType.ID_TOKEN
    assert world.provider.claims_of(asked["subject_token"])["sub"] == "alice"
    grant = parties.grants[0]
    assert (grant["grant_type"], grant["resource"]) == ("urn:ietf:params:oauth:grant-type:jwt-bearer", CHAT_API)
    assert world.run(app.token, identity=alice, resource=CHAT_API) == token
    again = idp.client.cross_app(CHAT, subject="alice", resource=CHAT_API, scope="chat.read")
    assert world.run(app.token, identity=again, resource=CHAT_API) == token
    world.clock.advance(301)
    assert world.run(app.token, identity=alice, resource=CHAT_API).access_token == "chat-2"
    assert len({each["assertion"] for each in parties.grants}) == 2
    assert "alice" not in repr(alice)


def test_users_are_never_mixed_up(world: World) -> None:
    """Each user's assertion, scope and server has a token of its own."""
    parties = Parties(world)
    idp, app = parties.clients()
    idp.log_in(subject="bob")
    ways: list[dict[str, Any]] = [
        {"subject": "alice"},
        {"subject": "bob"},
        {"subject": "alice", "scope": "chat.read"},
        {"subject": "alice", "resource": CHAT_API},
        {"subject_token": "one"},
        {"subject_token": "two"},
        {"subject_token": lambda: "three"},
        {"subject_token": lambda: "four"},
        {"subject_token": "one", "subject_token_type": ExchangeTokenType.REFRESH_TOKEN},
    ]
    sources = [idp.client.cross_app(CHAT, **way) for way in ways]
    tokens = {world.run(app.token, identity=source).access_token for source in sources}
    assert len(tokens) == len(ways)
    assert [each["subject_token"] for each in parties.exchanges][4:8] == ["one", "two", "three", "four"]


def test_one_assertion_can_be_asked_for(world: World) -> None:
    """Once, and nothing is kept; with the ID token of a login or another identity assertion."""
    parties = Parties(world)
    idp, _ = parties.clients()
    response = idp.id_jag(CHAT, subject="alice", resource=CHAT_API, scope="chat.read")
    assert (response.is_successful, response.issued_token_type) == (True, ID_JAG)
    assert judged(world, response.access_token).resource == (CHAT_API,)
    given = idp.id_jag(CHAT, subject_token="saml", subject_token_type=ExchangeTokenType.SAML2)
    assert given.is_successful
    assert (parties.exchanges[1]["subject_token"], parties.exchanges[1]["subject_token_type"]) == (
        "saml",
        ExchangeTokenType.SAML2,
    )
    assert idp.id_jag(CHAT).exception.claim == "subject"
    assert idp.id_jag(CHAT, subject="eve").error_code == "login_missing"


def test_an_expired_id_token_is_renewed_first(world: World) -> None:
    """With the refresh token of the login; where that brings none, the user has to log in again."""
    parties = Parties(world)
    idp, _ = parties.clients()
    idp.id_jag(CHAT, subject="alice")
    world.clock.advance(3700)
    assert idp.id_jag(CHAT, subject="alice").is_successful
    assert parties.exchanges[0]["subject_token"] != parties.exchanges[1]["subject_token"]
    world.clock.advance(3700)
    parties.world.between = lambda request: without_id_token(parties(request))
    response = idp.id_jag(CHAT, subject="alice")
    assert (response.error_code, isinstance(response.exception, LoginRequired)) == ("id_token_missing", True)
    assert len(parties.exchanges) == 2


def without_id_token(reply: Reply) -> Reply:
    """Return an answer of a token endpoint that brings no ID token."""
    said = json.loads(reply.body) if reply.body else None
    if not isinstance(said, dict) or "id_token" not in said:
        return reply
    kept = {name: value for name, value in said.items() if name != "id_token"}
    return Reply(reply.status, reply.headers, json.dumps(kept).encode(), reply.url)


@pytest.mark.parametrize(
    ("issued", "claims", "typ", "code"),
    [
        ({"issued_token_type": "urn:ietf:params:oauth:token-type:jwt"}, {}, None, "id_jag_missing"),
        ({"issued_token_type": None}, {}, "oauth-id-jag+jwt", "issued_token_type_missing"),
        ({"token_type": "Bearer"}, {}, "oauth-id-jag+jwt", "token_type_unsupported"),
        ({"access_token": "opaque"}, {}, None, "id_jag_invalid"),
        ({"access_token": ""}, {}, None, "access_token_missing"),
        ({}, {}, None, "id_jag_invalid"),
        ({}, {}, "JWT", "id_jag_invalid"),
        ({}, {}, "at+jwt", "id_jag_invalid"),
        ({}, {"aud": "https://evil.example.com"}, "oauth-id-jag+jwt", "id_jag_audience"),
        ({}, {"aud": [CHAT, "https://evil.example.com"]}, "oauth-id-jag+jwt", "id_jag_audience"),
        ({}, {"aud": None}, "oauth-id-jag+jwt", "id_jag_audience"),
        ({}, {"exp": 1}, "oauth-id-jag+jwt", "id_jag_invalid"),
        ({}, {"exp": None}, "oauth-id-jag+jwt", "id_jag_invalid"),
        ({}, {"exp": "never"}, "oauth-id-jag+jwt", "id_jag_invalid"),
    ],
)
def test_an_identity_provider_may_issue_anything(
    world: World, issued: dict[str, Any], claims: dict[str, Any], typ: str | None, code: str
) -> None:
    """What is no assertion for that server goes to no server, and nothing of it is repeated."""
    parties = Parties(world)
    parties.issued, parties.claims, parties.typ = issued, claims, typ
    idp, app = parties.clients()
    response = idp.id_jag(CHAT, subject="alice")
    assert (response.is_successful, response.error_code) == (False, code)
    assert "eyJ" not in str(response.error)
    with pytest.raises(PyIdentityModelException) as error:
        world.run(app.token, identity=idp.client.cross_app(CHAT, subject="alice"))
    assert code in (error.value.code, getattr(error.value.__cause__, "code", None))
    assert "eyJ" not in "".join(traceback.format_exception(error.value))
    assert parties.grants == []


def test_an_encrypted_assertion_is_passed_on(world: World) -> None:
    """Only the server that gets it can read it."""
    parties = Parties(world)
    idp, _ = parties.clients()
    parties.issued = {"access_token": "e.e.e.e.e"}
    assert idp.id_jag(CHAT, subject="alice").access_token == "e.e.e.e.e"


@pytest.mark.parametrize("leg", ["exchange", "grant"])
@pytest.mark.parametrize(
    "answer",
    [
        Reply(302, (("location", "https://evil.example.com/"),), b""),
        Reply(400, JSON, b'{"error": "invalid_grant", "error_description": "no"}'),
        Reply(400, JSON, b'{"error": "insufficient_user_authentication", "max_age": 5}'),
        Reply(200, JSON, b"x" * 2_000_000),
        Reply(200, (("content-type", "text/html"),), b"<html>"),
        Reply(200, JSON, b"[]"),
        Reply(503, (), b""),
    ],
)
def test_either_leg_may_fail(world: World, leg: str, answer: Reply) -> None:
    """Redirects are not followed, and the failure is told as what it is."""
    parties = Parties(world)
    idp, app = parties.clients()
    before = len(world.provider.requests)

    def between(request: Request) -> Reply:
        hit = request.method == "POST" and request.url.startswith(CHAT) is (leg == "grant")
        return Reply(answer.status, answer.headers, answer.body, request.url) if hit else parties(request)

    world.between = between
    with pytest.raises(PyIdentityModelException) as error:
        world.run(app.token, identity=idp.client.cross_app(CHAT, subject="alice"))
    assert error.value.code
    assert all("evil" not in each.request.url for each in world.provider.requests[before:])


@pytest.mark.parametrize("leg", ["exchange", "grant"])
def test_a_leg_that_never_answers_is_given_up_in_time(world: World, leg: str) -> None:
    """Each leg takes as long as its client lets a renewal take, is asked once, and the other one is not asked."""
    parties = Parties(world)
    idp, app = parties.clients(renewal_timeout=3)
    source, hits, began = idp.client.cross_app(CHAT, subject="alice"), list[str](), world.clock.steady

    def between(request: Request) -> Reply:
        if request.method == "POST" and request.url.startswith(CHAT) is (leg == "grant"):
            hits.append(request.url)
            return world.silence(request)
        return parties(request)

    world.between = between
    with pytest.raises(TokenUnavailable) as error:
        world.run(app.token, identity=source)
    assert "timeout" in (error.value.code, getattr(error.value.__cause__, "code", None))
    assert world.clock.steady - began == pytest.approx(3, abs=0.1)
    assert (len(hits), len(parties.exchanges), parties.grants) == (1, 1 if leg == "grant" else 0, [])
    if leg == "exchange":
        began = world.clock.steady
        assert idp.id_jag(CHAT, subject="alice").error_code == "timeout"
        assert world.clock.steady - began == pytest.approx(3, abs=0.1)


# ---- the receiving side


def test_an_assertion_says_whose_account_a_client_may_act_for(world: World) -> None:
    """The issuer and the subject together; scope and resource, each once."""
    text = assertion(world, scope="a b a", resource=[CHAT_API, CHAT_API], auth_time=5, amr=["mfa"])
    found = judged(world, text)
    assert (found.issuer, found.subject) == (world.provider.issuer, "U019488227")
    assert (found.client_id, found.scope, found.resource) == ("chat-client", ("a", "b"), (CHAT_API,))
    assert found.claims["amr"] == ["mfa"]
    assert "U019488227" not in repr(found).partition("subject")[0]
    bare = judged(world, assertion(world, scope=None, resource=None))
    assert (bare.scope, bare.resource) == ((), ())
    assert judged(world, assertion(world, aud=[CHAT])).client_id == "chat-client"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda w: assertion(w, typ=None), "typ_mismatch"),
        (lambda w: assertion(w, typ="JWT"), "typ_mismatch"),
        (lambda w: assertion(w, typ="at+jwt"), "typ_mismatch"),
        (lambda w: assertion(w, typ="client-authentication+jwt"), "typ_mismatch"),
        (lambda w: assertion(w, key=OTHER_KEY), None),
        (lambda w: assertion(w, iss="https://evil.example.com"), None),
        (lambda w: assertion(w, aud="https://other.example.com"), "audience_mismatch"),
        (lambda w: assertion(w, aud=CHAT + "/"), "audience_mismatch"),
        (lambda w: assertion(w, aud=[CHAT, "https://other.example.com"]), "assertion_audience_ambiguous"),
        (lambda w: assertion(w, client_id="other-client"), "client_mismatch"),
        (lambda w: assertion(w, client_id=["chat-client"]), None),
        (lambda w: assertion(w, client_id=None), None),
        (lambda w: assertion(w, sub=None), None),
        (lambda w: assertion(w, sub=""), None),
        (lambda w: assertion(w, jti=None), None),
        (lambda w: assertion(w, jti=""), None),
        (lambda w: assertion(w, jti="j" * 3000), None),
        (lambda w: assertion(w, iat=None), None),
        (lambda w: assertion(w, exp=None), None),
        (lambda w: assertion(w, exp=int(w.clock.wall)), "token_expired"),
        (lambda w: assertion(w, exp=int(w.clock.wall) + 601), "assertion_lifetime_excessive"),
        (lambda w: assertion(w, iat=int(w.clock.wall) + 60), None),
        (lambda w: assertion(w, nonce="n"), "kind_mismatch"),
        (lambda w: assertion(w, events={}), "kind_mismatch"),
        (lambda w: assertion(w, scope=["a"]), "claim_type_invalid"),
        (lambda w: assertion(w, scope='a "b"'), "claim_type_invalid"),
        (lambda w: assertion(w, resource=7), "claim_type_invalid"),
        (lambda w: assertion(w, resource=["https://a.example"] * 17), "claim_type_invalid"),
        (lambda w: assertion(w, resource="api"), "resource_refused"),
        (lambda w: assertion(w, resource=[CHAT_API, "https://evil.example.com"]), "resource_refused"),
        (lambda w: assertion(w, cnf={"jkt": "x"}), "assertion_key_mismatch"),
        (lambda w: assertion(w, cnf={"x5t#S256": "x"}), "assertion_key_mismatch"),
        (lambda w: assertion(w, cnf="x"), None),
        (lambda w: "opaque", "token_malformed"),
    ],
)
def test_what_is_no_assertion_for_this_server_and_client_is_refused(
    world: World, make: Callable[[World], str], code: str | None
) -> None:
    """Type, issuer, audience, client, times, use, key: each of them has to fit."""
    judge = validator(world, resources=[CHAT_API])
    with pytest.raises(TokenValidationException) as error:
        judged(world, make(world), judge=judge)
    assert code is None or error.value.code == code
    assert judged(world, assertion(world), judge=judge).client_id == "chat-client"


def test_an_assertion_is_good_once(world: World) -> None:
    """Also at another worker, where they share a store; refused ones are not used up; issuers do not share a jti."""
    store: Any = MemoryStore(clock=lambda: float(world.clock.wall))
    first, second = (validator(world, store=store) for _ in range(2))
    text = assertion(world)
    with pytest.raises(TokenValidationException):
        judged(world, text, "other-client", first)
    assert judged(world, text, judge=first).subject
    for judge in (first, second):
        with pytest.raises(TokenValidationException) as error:
            judged(world, text, judge=judge)
        assert error.value.code == "assertion_replayed"
    several: Any = [TrustedIssuer(iss, keys=KEY.public_jwk) for iss in ("https://a.example", "https://b.example")]
    door: Any = blocking if world.kind == "sync" else awaitable
    judge = door.IdJagValidator(several, CHAT)
    for issuer in ("https://a.example", "https://b.example"):
        assert judged(world, assertion(world, iss=issuer, jti="same"), judge=judge).issuer == issuer


def test_of_many_at_once_one_is_let_in(clock: Any) -> None:
    """Thirty threads present the same assertion."""
    world = World("sync", clock)
    judge, text = validator(world), assertion(world)

    def attempt(_: int) -> bool:
        try:
            return bool(judge.validate(text, "chat-client"))
        except TokenValidationException:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(30))) == 1


def test_an_assertion_may_be_bound_to_a_key(world: World) -> None:
    """Then the DPoP proof of the request must be of that key."""
    jkt = DPoPKey().jwk_thumbprint
    text = assertion(world, cnf={"jkt": jkt})
    for wrong in (None, DPoPKey().jwk_thumbprint):
        with pytest.raises(TokenValidationException) as error:
            judged(world, text, jkt=wrong)
        assert error.value.code == "assertion_key_mismatch"
    assert judged(world, text, jkt=jkt).subject


def test_a_server_takes_no_assertion_of_its_own(world: World) -> None:
    """It would widen what it was asked to grant (draft, "Cross-Domain Use")."""
    door: Any = blocking if world.kind == "sync" else awaitable
    judge = door.IdJagValidator(CHAT, CHAT, keys=KEY.public_jwk)
    with pytest.raises(TokenValidationException) as error:
        judged(world, assertion(world, iss=CHAT), judge=judge)
    assert error.value.code == "assertion_self_issued"


@pytest.mark.parametrize("client_id", ["", None, 7])
def test_the_client_is_authenticated_first(world: World, client_id: Any) -> None:
    """Without one there is nobody that the assertion could be compared with."""
    with pytest.raises(ConfigurationException):
        judged(world, assertion(world), client_id)


def test_settings_of_the_receiving_side(world: World) -> None:
    """Lifetime, leeway, algorithms and keys are the server's to say."""
    assert judged(world, assertion(world, exp=int(world.clock.wall) + 900), judge=validator(world, max_lifetime=1000))
    assert judged(world, assertion(world, exp=int(world.clock.wall) - 5), judge=validator(world, leeway=10))
    with pytest.raises(TokenValidationException):
        judged(world, assertion(world), judge=validator(world, algorithms=["PS256"]))
    fetched = validator(
        world,
        keys=None,
        jwks_uri="https://idp.example.com/jwks",
        http_client=lambda request: Reply(200, JSON, json.dumps({"keys": [KEY.public_jwk]}).encode(), request.url),
    )
    assert judged(world, assertion(world), judge=fetched).subject
    for wrong in ({"max_lifetime": 0}, {"resources": []}, {"resources": [""]}):
        with pytest.raises(ConfigurationException):
            validator(world, **wrong)
    door: Any = blocking if world.kind == "sync" else awaitable
    for audience in ("", None, [CHAT]):
        with pytest.raises(ConfigurationException):
            door.IdJagValidator(world.provider.issuer, audience, keys=KEY.public_jwk)
