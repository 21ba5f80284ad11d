"""Sessions bound to a key of the browser: experimental, as the draft of Device Bound Session Credentials may change."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from login_world import Browser, LoginWorld
from py_identity_model import ConfigurationException, SigningKey, WebAnswer
from py_identity_model._core.jose.jws import sign_compact

KEY = SigningKey.generate("ES256", kid="device")
ANOTHER = SigningKey.generate("ES256", kid="another")


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> LoginWorld:
    """A provider, an application and browsers, in each API in turn."""
    return LoginWorld(request.param, clock)


def offered(answer: WebAnswer) -> str:
    """Return the challenge of an answer."""
    headers = dict(answer.headers)
    told = headers.get("secure-session-registration") or "challenge=" + headers["secure-session-challenge"]
    found = re.search(r'challenge="([^"]+)"', told)
    assert found is not None
    return found[1]


def proof(challenge: str, key: SigningKey = KEY, *, typ: str = "dbsc+jwt") -> tuple[str, str]:
    """Return the header by which a browser shows its key."""
    claims = {"jti": challenge, "aud": "https://app.example.com/session-key"}
    return "secure-session-response", sign_compact(claims, key, typ=typ, headers={"jwk": key.public_jwk})


def bound(world: LoginWorld) -> tuple[Browser, WebAnswer]:
    """Return a browser that has bound its session to a key."""
    browser = world.browser(world.process(bind_to_device=True))
    done = browser.log_in()
    return browser, browser.post("/session-key", {}, proof(offered(done)))


def test_a_browser_that_cannot_keeps_its_session(world: LoginWorld) -> None:
    """A login offers a key; who does not make one is logged in as before."""
    browser = world.browser(world.process(bind_to_device=True))
    done = browser.log_in()
    offer = dict(done.headers)["secure-session-registration"]
    assert offer.startswith('(ES256 RS256);path="/session-key";challenge="')
    world.clock.advance(1000)
    assert browser.visit().subject == "alice"
    assert "secure-session-registration" not in dict(world.browser().log_in().headers)


def test_a_bound_session_wants_its_key_shown(world: LoginWorld) -> None:
    """With the second cookie it goes on; without it, as a thief sends it later, nobody is logged in."""
    browser, answer = bound(world)
    told = json.loads(answer.body)
    assert (answer.status, told["refresh_url"], told["credentials"][0]["name"]) == (200, "/session-key", "__Host-bound")
    assert browser.visit().subject == "alice"
    thief = world.browser(browser.login)
    thief.cookies = {"__Host-session": browser.cookies["__Host-session"]}
    assert thief.visit().status == 303
    assert [facts["reason"] for facts in world.named("web_session_theft_suspected")] == ["device_key_not_shown"]
    stolen = dict(browser.cookies)
    world.clock.advance(601)
    thief.cookies = stolen
    assert thief.visit().status == 303


def test_a_browser_shows_its_key_every_few_minutes(world: LoginWorld) -> None:
    """A refresh without a proof is challenged; with one of the same key the second cookie is set anew."""
    browser, _ = bound(world)
    world.clock.advance(601)
    del browser.cookies["__Host-bound"]
    challenge = browser.post("/session-key", {}, ("sec-secure-session-id", "a"))
    assert challenge.status == 403
    assert browser.post("/session-key", {}, proof(offered(challenge))).status == 200
    assert browser.visit().subject == "alice"


@pytest.mark.parametrize("path", ["/account", "/me", "/logged-out"])
def test_a_request_without_the_key_leaves_the_session(world: LoginWorld, path: str) -> None:
    """A browser whose refresh came too late goes on with its session as soon as it shows the key."""
    browser, _ = bound(world)
    del browser.cookies["__Host-bound"]
    answer = browser.visit() if path == "/account" else browser.get(path)
    assert [value for name, value in answer.headers if name == "set-cookie" and "__Host-session" in value] == []
    assert browser.visit().status == 303
    challenge = browser.post("/session-key", {}, ("sec-secure-session-id", "a"))
    assert browser.post("/session-key", {}, proof(offered(challenge))).status == 200
    assert browser.visit().subject == "alice"


@pytest.mark.parametrize("wrong", ["another key", "challenge", "late", "typ", "garbage", "none", "twice"])
def test_a_proof_that_is_not_right_shows_nothing(world: LoginWorld, wrong: str) -> None:
    """Another key, another session's challenge, an old one, another kind of token: the cookie is not set."""
    browser, _ = bound(world)
    del browser.cookies["__Host-bound"]
    challenge = offered(browser.post("/session-key", {}, ("x-nothing", "1")))
    other, done = bound(world)
    del done
    theirs = offered(other.post("/session-key", {}, ("x-nothing", "1")))
    if wrong == "late":
        world.clock.advance(301)
    headers = {
        "another key": proof(challenge, ANOTHER),
        "challenge": proof(theirs),
        "late": proof(challenge),
        "typ": proof(challenge, typ="JWT"),
        "garbage": ("secure-session-response", "a.b.c"),
        "none": ("secure-session-response", proof(challenge)[1].rpartition(".")[0] + "."),
        "twice": ("secure-session-response", ""),
    }
    assert browser.post("/session-key", {}, headers[wrong]).status == 403
    assert "__Host-bound" not in browser.cookies
    assert browser.visit().status == 303


def test_a_key_is_remembered_once(world: LoginWorld) -> None:
    """A second key does not take the place of the first: who has the cookie alone cannot bind it anew."""
    browser, _ = bound(world)
    challenge = offered(browser.post("/session-key", {}, ("x-nothing", "1")))
    assert browser.post("/session-key", {}, proof(challenge, ANOTHER)).status == 403
    assert browser.post("/session-key", {}, proof(challenge)).status == 200


def test_who_is_not_logged_in_has_no_key_to_show(world: LoginWorld) -> None:
    """Without a session there is nothing to bind."""
    browser = world.browser(world.process(bind_to_device=True))
    assert browser.post("/session-key", {}, proof("1.a")).status == 401
    assert world.browser().post("/session-key").status == 404


def test_a_bound_session_stays_bound_under_a_new_id(world: LoginWorld) -> None:
    """Another id keeps the key: the second cookie goes with it."""
    browser, _ = bound(world)
    rotated = world.run(browser.login.rotate, browser.visit())
    browser.keep(WebAnswer(200, rotated.headers))
    assert browser.visit().subject == "alice"
    del browser.cookies["__Host-bound"]
    assert browser.visit().status == 303


def test_a_logout_takes_both_cookies(world: LoginWorld) -> None:
    """Nothing of the session stays in the browser."""
    browser, _ = bound(world)
    browser.log_out()
    assert {"__Host-session", "__Host-bound"} & browser.cookies.keys() == set()


@pytest.mark.parametrize(
    "options", [{"store": None, "encryption_key": bytes(32)}, {"base_url": "http://localhost:8000"}]
)
def test_binding_needs_a_store_and_https(world: LoginWorld, options: dict[str, Any]) -> None:
    """Said when the login is made."""
    with pytest.raises(ConfigurationException):
        world.process(bind_to_device=True, **options)
