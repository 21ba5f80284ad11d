"""Security events: what a transmitter says is verified, ends exactly the tokens it names, and is acknowledged last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import Secret, Transmitter, add_observer, aio, build_event_answer, remove_observer, sync
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    StoreException,
    TokenValidationException,
)
from py_identity_model.stores._memory import MemoryStore

KEY = SigningKey.generate("ES256", kid="k1")
SET_KEY = SigningKey.generate("ES256", kid="s1")
TR = "https://tr.example.com/tenant"
CONFIGURATION = "https://tr.example.com/.well-known/ssf-configuration/tenant"
ME = "https://api.example.com"
SET = "application/secevent+jwt"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
ADA = {"format": "iss_sub", "iss": ISSUER, "sub": "ada"}
SESSION = {"format": "opaque", "id": "s1"}


class Flaky:
    """A store that can be switched off, for some operations or all."""

    blocking, authenticated = False, True

    def __init__(self, behind: Any) -> None:
        self._behind = behind
        self.away: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in self.away:
            raise StoreException("the store is away", code="store_unavailable", retry_after=3.0)
        return getattr(self._behind, name)


EVERYTHING = {"get", "put", "add", "swap", "delete", "publish", "changes", "epoch", "lease", "release"}


class World(Provider):
    """An issuer of tokens, and beside it a transmitter of events with keys of its own."""

    def __init__(self) -> None:
        super().__init__(k1=KEY)
        self.set_keys = {"s1": SET_KEY}
        self.configuration: dict[str, Any] = {"issuer": TR, "jwks_uri": TR + "/keys"}

    def __call__(self, request: Request) -> Reply:
        document: Any = None
        if request.url == CONFIGURATION:
            document = self.configuration
        if request.url == TR + "/keys":
            document = {
                "keys": [{**(k.public_jwk or {}), "kid": kid, "use": "sig"} for kid, k in self.set_keys.items()]
            }
        if document is None:
            return super().__call__(request)
        self.requests.append(request.url)
        failed = self.fail(request)
        return failed or Reply(200, (("content-type", "application/json"),), json.dumps(document).encode())

    def event(
        self,
        kind: str | None = None,
        payload: Any = None,
        *,
        typ: str | None = "secevent+jwt",
        key: Any = None,
        **said: Any,
    ) -> str:
        """Make a security event token."""
        events = {kind or CAEP + "session-revoked": {} if payload is None else payload}
        good = {"iss": TR, "aud": ME, "iat": NOW, "jti": "e1", "events": events, "sub_id": ADA, **said}
        claims = {name: value for name, value in good.items() if value is not None}
        return sign_compact(claims, key or SET_KEY, typ=typ)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(clock: Any) -> Flaky:
    return Flaky(MemoryStore(clock=lambda: clock.wall))


@pytest.fixture
def events() -> Iterator[list[Any]]:
    seen: list[Any] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


@pytest.fixture
def pair(api: Api, world: World, store: Flaky) -> list[Any]:
    """Two processes that validate tokens and share a store."""
    return [api.validator(ISSUER, "api", http_client=world, store=store, revocations_silent_for=3600) for _ in range(2)]


@pytest.fixture
def build(api: Api, world: World, store: Flaky, pair: list[Any], clock: Any) -> Callable[..., Any]:
    """A function that makes a receiver; what is pushed to it comes back judged."""
    module: Any = sync if api.name == "sync" else aio

    def receiver(**options: Any) -> Any:
        transmitter = options.pop("transmitter", None) or Transmitter(TR, ME, token_issuers=ISSUER)
        given = {"validator": pair[0], "store": store, "http_client": world, **options}
        made = module.SecurityEventReceiver(transmitter, **given)
        return lambda body, kind=SET, sender=None: api.call(made.receive, body, kind, sender)

    return receiver


def code_of(api: Api, validator: Any, token: str) -> str | None:
    try:
        api.call(validator.validate, token)
    except PyIdentityModelException as error:
        return error.code
    return None


def tokens(world: World) -> dict[str, str]:
    return {
        "before": world.token(iat=NOW - 50, jti="t1"),
        "session": world.token(iat=NOW - 50, sid="s1"),
        "same second": world.token(iat=NOW),
        "new login": world.token(iat=NOW + 1, jti="t2"),
        "bob": world.token(iat=NOW - 50, sub="bob"),
        "bob in a session": world.token(iat=NOW - 50, sub="bob", sid="s2"),
    }


def ended(api: Api, world: World, validator: Any) -> set[str]:
    return {name for name, token in tokens(world).items() if code_of(api, validator, token) == "token_revoked"}


def refusal(received: Any) -> str:
    """Check a refusal and return its err."""
    assert not received.is_successful
    assert received.answer.status == 400
    assert dict(received.answer.headers)["Content-Type"] == "application/json"
    body = json.loads(received.answer.body)
    assert set(body) == {"err", "description"}
    return str(body["err"])


# ---- what events end

ALL_OF_ADA = {"before", "session", "same second"}


@pytest.mark.parametrize(
    ("kind", "payload", "subject", "gone"),
    [
        (CAEP + "session-revoked", {}, ADA, ALL_OF_ADA),
        (CAEP + "session-revoked", {"event_timestamp": NOW - 20}, ADA, {"before", "session"}),
        (CAEP + "session-revoked", {"event_timestamp": (NOW - 20) * 1000}, ADA, ALL_OF_ADA),
        (CAEP + "session-revoked", {"event_timestamp": NOW - 60}, ADA, set()),
        (CAEP + "session-revoked", {}, {"format": "complex", "session": SESSION}, {"session"}),
        (CAEP + "session-revoked", {}, {"format": "complex", "user": ADA, "session": SESSION}, {"session"}),
        (CAEP + "session-revoked", {}, {"format": "complex", "user": ADA}, ALL_OF_ADA),
        (CAEP + "session-revoked", {}, {"format": "jwt_id", "iss": ISSUER, "jti": "t1"}, {"before"}),
        (CAEP + "credential-change", {"change_type": "update", "credential_type": "password"}, ADA, ALL_OF_ADA),
        (
            CAEP + "credential-change",
            {"change_type": "delete"},
            {"format": "complex", "user": ADA, "session": SESSION},
            ALL_OF_ADA,
        ),
        (CAEP + "credential-change", {"change_type": "create"}, ADA, set()),
        (RISC + "account-disabled", {"reason": "hijacking"}, ADA, ALL_OF_ADA),
        (RISC + "account-purged", {}, ADA, ALL_OF_ADA),
        (RISC + "credential-compromise", {"credential_type": "password"}, ADA, ALL_OF_ADA),
        (RISC + "sessions-revoked", {}, ADA, ALL_OF_ADA),
        (
            RISC + "account-disabled",
            {},
            {"format": "aliases", "identifiers": [{"format": "email", "email": "a@x.de"}, ADA]},
            ALL_OF_ADA,
        ),
        (CAEP + "token-claims-change", {"claims": {"role": "x"}}, ADA, set()),
        (CAEP + "assurance-level-change", {"current_level": "nist-aal1"}, ADA, set()),
        (CAEP + "device-compliance-change", {"current_status": "not-compliant"}, ADA, set()),
        (RISC + "account-enabled", {}, ADA, set()),
        ("urn:example:made-up", {}, ADA, set()),
    ],
)
def test_events_end_the_tokens_they_name(
    api: Api,
    world: World,
    pair: list[Any],
    build: Any,
    clock: Any,
    kind: str,
    payload: Any,
    subject: Any,
    gone: set[str],
) -> None:
    """In every process within two seconds those tokens are refused, and no others; 202 with nothing in it."""
    heard: list[Any] = []
    received = build(on_event=heard.append)(world.event(kind, payload, sub_id=subject))
    assert received.is_successful, received.error
    assert (received.answer.status, received.answer.body) == (202, b"")
    assert [(event.type, event.subject, event.payload) for event in heard] == [(kind, subject, payload)]
    assert received.events == tuple(heard)
    assert received.events[0].unresolved is None
    clock.advance(2)
    assert [ended(api, world, validator) for validator in pair] == [gone, gone]


def test_a_subject_inside_the_event(api: Api, world: World, pair: list[Any], build: Any, clock: Any) -> None:
    """Events from before SSF 1.0 name their subject inside, and complex ones without saying so."""
    inner = {"subject": {"user": ADA, "session": SESSION}}
    assert build()(world.event(payload=inner, sub_id=None)).is_successful
    assert ended(api, world, pair[0]) == {"session"}


def test_alternative_names_of_one_event(api: Api, world: World, pair: list[Any], build: Any, clock: Any) -> None:
    """A token may name one event in several ways; each is looked at."""
    both = {RISC + "account-disabled": {}, "urn:example:account-disabled": {}}
    assert len(build()(world.event(events=both)).events) == 2
    assert ended(api, world, pair[0]) == ALL_OF_ADA


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ({"format": "email", "email": "ada@example.com"}, "ambiguous"),
        ({"format": "opaque", "id": "s1"}, "ambiguous"),
        ({"format": "phone_number", "phone_number": "+12065550100"}, "ambiguous"),
        ({"format": "account", "uri": "acct:ada@example.com"}, "ambiguous"),
        ({"format": "did", "url": "did:example:1"}, "ambiguous"),
        ({"format": "uri", "uri": "https://x"}, "ambiguous"),
        ({"format": "saml_assertion_id", "issuer": ISSUER, "assertion_id": "a"}, "ambiguous"),
        ({"format": "made-up", "x": [1]}, "ambiguous"),
        ({"format": "aliases", "identifiers": [{"format": "email", "email": "a@x.de"}]}, "ambiguous"),
        ({"format": "iss_sub", "iss": "https://other.example.com", "sub": "ada"}, "foreign"),
        ({"format": "iss_sub", "iss": ISSUER + "/", "sub": "ada"}, "foreign"),
        ({"format": "iss_sub", "iss": TR, "sub": "ada"}, "foreign"),
        ({"format": "jwt_id", "iss": "https://other.example.com", "jti": "t1"}, "foreign"),
        ({"format": "complex", "user": {**ADA, "iss": "https://other.example.com"}, "session": SESSION}, "foreign"),
        ({"format": "complex", "user": ADA, "device": {"format": "opaque", "id": "d"}}, "ambiguous"),
        ({"format": "complex", "session": {"format": "email", "email": "a@x.de"}}, "ambiguous"),
        ({"format": "complex", "session": SESSION, "application": {"format": "opaque", "id": "a"}}, "ambiguous"),
        ({"format": "complex", "session": SESSION, "made_up": {"format": "opaque", "id": "a"}}, "ambiguous"),
        ({"format": "complex", "session": SESSION, "tenant": {"format": "opaque", "id": "t"}}, "critical"),
        (None, "absent"),
    ],
)
def test_what_cannot_be_told_is_told(
    api: Api, world: World, pair: list[Any], build: Any, clock: Any, subject: Any, reason: str, events: list[Any]
) -> None:
    """A subject that names no tokens of this issuer without doubt ends none, and the outcome says so (C18)."""
    world.configuration["critical_subject_members"] = ["tenant"]
    received = build()(world.event(sub_id=subject))
    assert received.answer.status == 202
    assert (received.events[0].marks, received.events[0].unresolved) == ((), reason)
    assert [e.facts["reason"] for e in events if e.name == "security_event_unresolved"] == [reason]
    assert ended(api, world, pair[0]) == set()


def test_surroundings_that_are_not_critical(api: Api, world: World, pair: list[Any], build: Any, clock: Any) -> None:
    """A session is the same session with its device and tenant named beside it."""
    around = {name: {"format": "opaque", "id": "x"} for name in ("device", "tenant", "org_unit", "group")}
    build()(world.event(sub_id={"format": "complex", "session": SESSION, **around}))
    assert ended(api, world, pair[0]) == {"session"}


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ({"sub": "ada"}, ALL_OF_ADA),
        ({"sub": "ada", "iss": "https://other.example.com"}, set()),
        ([{"sid": "s1"}, {"sub": "bob"}], {"session", "bob", "bob in a session"}),
        ({"sub": "ada", "before": NOW - 49}, {"before", "session"}),
        (None, set()),
        ((), set()),
    ],
)
def test_the_application_resolves(
    api: Api, world: World, pair: list[Any], build: Any, clock: Any, answer: Any, gone: set[str]
) -> None:
    """What the subject does not say the application may know; "no tokens here" is an answer."""
    asked: list[Any] = []

    def resolve(event: Any) -> Any:
        asked.append(event.subject)
        return answer

    email = {"format": "email", "email": "ada@example.com"}
    received = build(resolve_subject=resolve)(world.event(sub_id=email))
    assert asked == [email]
    assert received.events[0].unresolved is None
    assert ended(api, world, pair[0]) == gone
    build(resolve_subject=resolve)(world.event(jti="e2"))
    assert asked == [email]


def test_functions_that_are_awaited(api: Api, world: World, pair: list[Any], build: Any, clock: Any) -> None:
    """In ``aio`` the application's functions may be async; the blocking API refuses them, and acknowledges nothing."""
    heard: list[Any] = []

    async def resolve(event: Any) -> Any:
        return {"sub": "ada"}

    async def listen(event: Any) -> None:
        heard.append(event)

    email = {"format": "email", "email": "ada@example.com"}
    received = build(resolve_subject=resolve, on_event=listen)(world.event(sub_id=email))
    if api.name == "sync":
        assert received.answer.status == 500
        assert received.error_code == "awaitable_refused"
        return
    assert ended(api, world, pair[0]) == ALL_OF_ADA
    assert len(heard) == 1


# ---- acknowledged last, and once


def test_a_duplicate_is_acknowledged_again(api: Api, world: World, build: Any, clock: Any) -> None:
    """The same token sent again, to any process, gets 202 and does nothing, as long as it is accepted (C19)."""
    heard: list[Any] = []
    first, other, token = build(on_event=heard.append), build(on_event=heard.append), world.event()
    assert [first(token).duplicate, first(token).duplicate, other(token).duplicate] == [False, True, True]
    clock.advance(7 * 86400 - 1)
    again = other(token)
    assert (again.answer.status, again.duplicate, again.events) == (202, True, ())
    assert len(heard) == 1
    clock.advance(2)
    assert other(token).error_code == "token_too_old"


@pytest.mark.parametrize("away", [EVERYTHING, {"publish"}, {"get"}, {"add"}])
def test_nothing_is_acknowledged_while_the_store_is_away(
    api: Api, world: World, store: Flaky, pair: list[Any], build: Any, clock: Any, away: set[str]
) -> None:
    """503 with a time to come again; sent again when the store is back the event counts, everywhere (C19)."""
    receive, token = build(), world.event()
    store.away = away
    refused = receive(token)
    assert (refused.answer.status, refused.answer.body) == (503, b"")
    assert dict(refused.answer.headers)["Retry-After"] == "3"
    store.away = set()
    again = receive(token)
    assert (again.answer.status, again.duplicate) == (202, False)
    clock.advance(2)
    assert ended(api, world, pair[1]) == ALL_OF_ADA


@pytest.mark.parametrize("hook", ["on_event", "resolve_subject", "check_state"])
def test_what_the_application_could_not_take_comes_again(
    api: Api, world: World, build: Any, clock: Any, hook: str
) -> None:
    """A function of the application that raises has the event sent again; its error stays here."""
    fail = [True]

    def function(given: Any) -> Any:
        if fail[0]:
            raise KeyError("secret")
        return {"sub": "ada"}

    receive = build(**{hook: function})
    token = world.event(SSF + "verification" if hook == "check_state" else None, sub_id={"format": "opaque", "id": "1"})
    refused = receive(token)
    assert (refused.answer.status, refused.error_code) == (503, "event_undelivered")
    assert "secret" not in str(refused.exception)
    fail[0] = False
    assert (receive(token).answer.status, receive(token).duplicate) == (202, True)


@pytest.mark.parametrize("answer", ["ada", {"user": "ada"}, [1], {"sub": 7}, {"sub": ""}, {}, {"iss": ISSUER}])
def test_a_resolver_that_answers_nonsense(api: Api, world: World, build: Any, clock: Any, answer: Any) -> None:
    """An answer that names no tokens is the application's mistake: nothing is acknowledged."""
    received = build(resolve_subject=lambda event: answer)(world.event(sub_id={"format": "opaque", "id": "1"}))
    assert not received.is_successful
    assert received.answer.status in (500, 503)


def test_keys_that_cannot_be_had(api: Api, world: World, build: Any, clock: Any) -> None:
    """While the transmitter's keys cannot be fetched nothing is decided: 503."""
    world.fail = lambda request: Reply(500) if request.url.startswith("https://tr.") else None
    assert build()(world.event()).answer.status == 503


# ---- what is refused


def changed(**said: Any) -> Callable[[World], str]:
    return lambda world: world.event(**said)


def deep(world: World) -> str:
    return sign_compact(b'{"events":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, SET_KEY, typ="secevent+jwt")


FORGER = SigningKey.generate("ES256", kid="s1")
HMAC = SigningKey.from_secret(b"k" * 32, "HS256")


@pytest.mark.parametrize(
    ("token", "err"),
    [
        (changed(key=FORGER), "invalid_key"),
        (changed(key=KEY), "invalid_key"),
        (changed(key=HMAC), "invalid_request"),
        (changed(iss="https://evil.example.com"), "invalid_issuer"),
        (changed(iss=TR + "/"), "invalid_issuer"),
        (changed(iss=None), "invalid_issuer"),
        (changed(aud="https://other.example.com"), "invalid_audience"),
        (changed(aud=[]), "invalid_audience"),
        (changed(aud=None), "invalid_audience"),
        (changed(jti=None), "invalid_request"),
        (changed(jti=""), "invalid_request"),
        (changed(jti=7), "invalid_request"),
        (changed(jti="x" * 3000), "invalid_request"),
        (changed(iat=None), "invalid_request"),
        (changed(iat="now"), "invalid_request"),
        (changed(iat=NOW + 60), "invalid_request"),
        (changed(iat=NOW - 8 * 86400), "invalid_request"),
        (changed(exp=NOW - 1), "invalid_request"),
        (changed(sub="ada"), "invalid_request"),
        (changed(nonce="n"), "invalid_request"),
        (changed(events=None), "invalid_request"),
        (changed(events={}), "invalid_request"),
        (changed(events=[]), "invalid_request"),
        (changed(events="x"), "invalid_request"),
        (changed(events={"": {}}), "invalid_request"),
        (changed(events={"urn:x": None}), "invalid_request"),
        (changed(events={"urn:x": []}), "invalid_request"),
        (changed(events={f"urn:{n}": {} for n in range(9)}), "invalid_request"),
        (changed(payload={"event_timestamp": "now"}), "invalid_request"),
        (changed(payload={"event_timestamp": True}), "invalid_request"),
        (changed(payload={"event_timestamp": 1e300}), "invalid_request"),
        (changed(kind=CAEP + "credential-change"), "invalid_request"),
        (changed(kind=CAEP + "credential-change", payload={"change_type": 1}), "invalid_request"),
        (changed(kind=SSF + "verification", payload={"state": 1}), "invalid_request"),
        (changed(payload={"subject": {**ADA, "sub": "bob"}}), "invalid_request"),
        (changed(sub_id="ada"), "invalid_request"),
        (changed(sub_id={}), "invalid_request"),
        (changed(sub_id={"format": ""}), "invalid_request"),
        (changed(sub_id={"format": 1}), "invalid_request"),
        (changed(sub_id={"format": ["iss_sub"]}), "invalid_request"),
        (changed(sub_id={"format": "iss_sub", "iss": ISSUER}), "invalid_request"),
        (changed(sub_id={"format": "iss_sub", "iss": ISSUER, "sub": ""}), "invalid_request"),
        (changed(sub_id={"format": "iss_sub", "iss": ISSUER, "sub": ["ada"]}), "invalid_request"),
        (changed(sub_id={"format": "email"}), "invalid_request"),
        (changed(sub_id={"format": "opaque", "id": "x" * 3000}), "invalid_request"),
        (changed(sub_id={"format": "complex"}), "invalid_request"),
        (changed(sub_id={"format": "complex", "user": "ada"}), "invalid_request"),
        (changed(sub_id={"format": "complex", "user": {"format": "complex", "user": ADA}}), "invalid_request"),
        (changed(sub_id={"format": "complex", "session": {"id": "s1"}}), "invalid_request"),
        (changed(sub_id={"format": "aliases", "identifiers": []}), "invalid_request"),
        (changed(sub_id={"format": "aliases", "identifiers": ADA}), "invalid_request"),
        (changed(sub_id={"format": "aliases", "identifiers": [ADA] * 17}), "invalid_request"),
        (
            changed(sub_id={"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [ADA]}]}),
            "invalid_request",
        ),
        (deep, "invalid_request"),
        (lambda world: world.event()[:-4] + "AAAA", "invalid_key"),
        (lambda world: "", "invalid_request"),
        (lambda world: "x", "invalid_request"),
        (lambda world: "a.b.c", "invalid_request"),
        (lambda world: b"\xff\xfe", "invalid_request"),
        (lambda world: "x" * 70000, "invalid_request"),
    ],
)
def test_a_token_that_is_no_event(
    api: Api, world: World, pair: list[Any], build: Any, clock: Any, token: Any, err: str
) -> None:
    """Forged, foreign, malformed or confusable, it is refused by its registered code, and ends nothing (C19)."""
    heard: list[Any] = []
    assert refusal(build(on_event=heard.append)(token(world))) == err
    assert heard == []
    assert ended(api, world, pair[0]) == set()


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "logout+jwt", "statuslist+jwt", "secevent+cwt", ""])
def test_another_token_is_no_event(api: Api, world: World, pair: list[Any], build: Any, clock: Any, typ: Any) -> None:
    """An ID token, access token or logout token by the same issuer is no event, whatever it holds (C19, C7)."""
    own = Transmitter(ISSUER, ["api", "app"], jwks_uri=ISSUER + "/jwks")
    receive = build(transmitter=own)
    plain = world.token(typ=typ, jti="1", nonce="n")
    assert refusal(receive(plain)) == "invalid_request"
    assert refusal(receive(world.event(typ=typ, key=KEY, iss=ISSUER, aud="api"))) == "invalid_request"
    assert receive(world.event(key=KEY, iss=ISSUER, aud="api")).is_successful


def test_an_event_is_no_other_token(api: Api, world: World, pair: list[Any], clock: Any) -> None:
    """A security event token by the issuer passes for no access token, ID token or logout token (C19, C7)."""
    from py_identity_model import TokenValidationConfig

    module: Any = sync if api.name == "sync" else aio
    both = {CAEP + "session-revoked": {}, "http://schemas.openid.net/event/backchannel-logout": {}}
    claims = {"iss": ISSUER, "aud": "api", "key": KEY, "exp": NOW + 60, "sub": "ada", "sid": "s1", "events": both}
    config = TokenValidationConfig(perform_disco=False, key=KEY.public_jwk, issuer=ISSUER, audience="api")
    for typ in ("secevent+jwt", "application/secevent+jwt"):
        token = world.event(typ=typ, **claims)
        assert code_of(api, pair[0], token) == "typ_mismatch"
        with pytest.raises(TokenValidationException):
            api.call(module.validate_logout_token, token, config)
    untyped = world.event(typ=None, **claims)
    assert code_of(api, pair[0], untyped) == "kind_mismatch"


@pytest.mark.parametrize("kind", [None, "", "application/jwt", "application/json", "text/plain", SET + "x"])
def test_the_content_type_is_that_of_events(api: Api, world: World, build: Any, clock: Any, kind: Any) -> None:
    """RFC 8935 2.1: the request says what it holds."""
    assert refusal(build()(world.event(), kind)) == "invalid_request"
    assert build()(world.event(), SET.upper() + "; charset=utf-8").is_successful


@pytest.mark.parametrize("given", [None, "", "Bearer b", "bearer a", "Bearer a "])
def test_the_sender_shows_what_was_agreed_on(api: Api, world: World, build: Any, clock: Any, given: Any) -> None:
    """Without the agreed Authorization nothing is looked at; with it, a token still has to be good (C19)."""
    for agreed in ("Bearer a", Secret("Bearer a")):
        receive = build(authorization=agreed)
        assert refusal(receive(world.event(), SET, given)) == "authentication_failed"
        assert receive(world.event(), SET, "Bearer a").is_successful
        assert refusal(receive("x", SET, "Bearer a")) == "invalid_request"


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://tr.example.com"},
        {"issuer": TR + "/"},
        {"issuer": ISSUER},
        {"issuer": None},
        {"jwks_uri": None},
    ],
)
def test_metadata_of_somebody_else(api: Api, world: World, build: Any, clock: Any, configuration: Any) -> None:
    """Keys are taken from metadata only that names the transmitter itself."""
    world.configuration = {k: v for k, v in {**world.configuration, **configuration}.items() if v is not None}
    received = build()(world.event())
    assert received.answer.status == 503
    assert isinstance(received.exception, NetworkException)


def test_metadata_and_keys_are_fetched_once(api: Api, world: World, build: Any, clock: Any) -> None:
    """A hundred events cost one request for each; a new key is found."""
    receive = build()
    for number in range(20):
        assert receive(world.event(jti=f"e{number}")).is_successful
    assert (world.requests.count(CONFIGURATION), world.requests.count(TR + "/keys")) == (1, 1)
    world.set_keys = {"s2": SigningKey.generate("ES256", kid="s2")}
    assert receive(world.event(jti="new", key=world.set_keys["s2"])).is_successful


def test_keys_that_are_given(api: Api, world: World, pair: list[Any], build: Any, clock: Any) -> None:
    """A transmitter whose keys, or their address, are known needs no metadata."""
    for how in ({"keys": SET_KEY.public_jwk}, {"jwks_uri": TR + "/keys"}):
        world.requests.clear()
        made = Transmitter(TR, ME, token_issuers=(ISSUER,), **how)
        received = build(transmitter=made)(world.event(jti=str(how)))
        assert received.events[0].marks
        assert CONFIGURATION not in world.requests


def test_older_transmitters(api: Api, world: World, build: Any, clock: Any) -> None:
    """Metadata may be at the older address, where that is given."""
    old = "https://tr.example.com/.well-known/risc-configuration"
    seen: list[str] = []

    def transport(request: Request) -> Reply:
        seen.append(request.url)
        if request.url == old:
            return Reply(200, (("content-type", "application/json"),), json.dumps(world.configuration).encode())
        return world(request)

    made = Transmitter(TR, ME, configuration_url=old)
    assert build(transmitter=made, http_client=transport)(world.event()).is_successful
    assert seen[0] == old


# ---- the stream itself


@pytest.mark.parametrize(("state", "good"), [("s-1", True), ("s-2", False), (None, False)])
def test_verification(api: Api, world: World, build: Any, clock: Any, state: Any, good: bool) -> None:
    """The state of a verification event is held against what was asked with; without a check any is reported."""
    payload = {} if state is None else {"state": state}
    token = world.event(SSF + "verification", payload, sub_id={"format": "opaque", "id": "stream-1"})
    received = build(check_state=lambda given: given == "s-1")(token)
    assert received.is_successful is good
    if not good:
        assert refusal(received) == "invalid_state"
    reported = build()(world.event(SSF + "verification", payload, jti="e2", sub_id={"format": "opaque", "id": "1"}))
    assert reported.events[0].payload == payload
    assert reported.events[0].unresolved is None


@pytest.mark.parametrize("status", ["enabled", "paused", "disabled"])
def test_a_stream_that_stops_is_told(
    api: Api, world: World, build: Any, clock: Any, status: str, events: list[Any]
) -> None:
    """A transmitter that stops sending says so; operators hear of it."""
    token = world.event(SSF + "stream-updated", {"status": status}, sub_id={"format": "opaque", "id": "1"})
    assert build()(token).is_successful
    stopped = [event for event in events if event.name == "event_stream_stopped"]
    assert [event.facts["status"] for event in stopped] == ([] if status == "enabled" else [status])


# ---- how it is built


def test_a_receiver_in_a_process_of_its_own(
    api: Api, world: World, store: Flaky, pair: list[Any], build: Any, clock: Any
) -> None:
    """Without a validator the marks go to the store, where those of other processes find them."""
    assert build(validator=None)(world.event()).is_successful
    clock.advance(2)
    assert [ended(api, world, validator) for validator in pair] == [ALL_OF_ADA, ALL_OF_ADA]


def test_a_receiver_without_a_store(api: Api, world: World, clock: Any) -> None:
    """Without a store one process remembers for itself, and refuses for itself."""
    module: Any = sync if api.name == "sync" else aio
    validator = api.validator(ISSUER, "api", http_client=world)
    receiver = module.SecurityEventReceiver(
        Transmitter(TR, ME, token_issuers=ISSUER), validator=validator, http_client=world
    )
    for duplicate in (False, True):
        assert api.call(receiver.receive, world.event(), SET).duplicate is duplicate
    assert ended(api, world, validator) == ALL_OF_ADA


def test_what_ends_tokens_can_be_chosen(api: Api, world: World, pair: list[Any], build: Any, clock: Any) -> None:
    """The application says which events end tokens, and for how long."""
    receive = build(revoking={"urn:example:fired": "account"}, revoked_for=100)
    receive(world.event())
    assert ended(api, world, pair[0]) == set()
    receive(world.event("urn:example:fired", jti="e2"))
    assert ended(api, world, pair[0]) == ALL_OF_ADA
    clock.advance(100)
    assert ended(api, world, pair[0]) == set()


@pytest.mark.parametrize(
    "wrong",
    [
        {"transmitter": TR},
        {"validator": None, "store": None},
        {"authorization": ""},
        {"revoking": {"urn:x": "user"}},
        {"revoking": ["urn:x"]},
        {"revoked_for": 0},
    ],
)
def test_a_receiver_that_cannot_be_meant(build: Any, wrong: dict[str, Any]) -> None:
    """No check is turned off by an empty value."""
    with pytest.raises(ConfigurationException):
        build(**wrong)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("http://tr.example.com", ME), {}),
        (("tr", ME), {}),
        ((TR + "?x=1", ME), {}),
        ((TR, ""), {}),
        ((TR, []), {}),
        ((TR, ME), {"token_issuers": ""}),
        ((TR, ME), {"token_issuers": []}),
        ((TR, ME), {"algorithms": ["HS256"]}),
        ((TR, ME), {"algorithms": []}),
        ((TR, ME), {"max_age": 10**9}),
        ((TR, ME), {"leeway": -1}),
        ((TR, ME), {"keys": {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}}),
        ((TR, ME), {"keys": SET_KEY.public_jwk, "jwks_uri": TR + "/keys"}),
        ((TR, ME), {"jwks_uri": "http://tr.example.com/keys"}),
        ((TR, ME), {"configuration_url": "x"}),
        ((TR, ME), {"backchannel": "http://inside:8080"}),
    ],
)
def test_a_transmitter_that_cannot_be_meant(args: Any, options: dict[str, Any]) -> None:
    """A transmitter is who it is, over https, and signs with keys that only it has."""
    with pytest.raises(ConfigurationException):
        Transmitter(*args, **options)


def test_other_audiences_clocks_and_algorithms(api: Api, world: World, build: Any, clock: Any) -> None:
    """What a transmitter is known to do is said once."""
    made = Transmitter(TR, ["a", "b"], leeway=30, algorithms=["ES384"], max_age=60)
    assert refusal(build(transmitter=made)(world.event(aud="b"))) == "invalid_request"
    made = Transmitter(TR, ["a", "b"], leeway=30, max_age=60)
    receive = build(transmitter=made)
    assert receive(world.event(aud=["b", "c"], iat=NOW + 29)).is_successful
    assert receive(world.event(aud="a", jti="e2", iat=NOW - 89)).is_successful
    assert refusal(receive(world.event(aud="a", jti="e3", iat=NOW - 91))) == "invalid_request"


def test_answers_by_themselves() -> None:
    """The answer to a push is a value: 202, 400 with a code, 503 or 500."""
    errors = (None, TokenValidationException("x"), NetworkException("x"), ConfigurationException("x"))
    assert [build_event_answer(error).status for error in errors] == [202, 400, 503, 500]
