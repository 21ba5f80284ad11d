"""Signed responses of a key that is not known yet: who may wait for the next look at the keys, and who may not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from apis import ISSUER, Provider
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.binding.replay import UsedValues
from py_identity_model._core.cache.answers import RefreshCrowded
from py_identity_model._core.client.introspection import TokenIntrospectionRequest, parse_introspection
from py_identity_model._core.client.userinfo import UserInfoRequest, parse_userinfo
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.backchannel_logout import LOGOUT_EVENT, LogoutTokenPolicy, validate_logout_token
from py_identity_model._core.login.client import LoginClient, LoginServices
from py_identity_model._core.login.complete import Returned, complete_login, refresh_login
from py_identity_model._core.login.jarm import JarmPolicy, process_jarm_response
from py_identity_model._core.login.login_userinfo import get_login_userinfo
from py_identity_model._core.login.response import LoginResponse
from py_identity_model._core.login.transaction import LoginTransaction
from py_identity_model._core.validation.config import validator_for
from py_identity_model._core.validation.signed_response import SignedResponsePolicy
from py_identity_model._token_validator import default_engine
from py_identity_model.exceptions import JarmValidationException
from py_identity_model.settings import Settings
from py_identity_model.sync._driver import run

BACK = "https://app.example.com/cb"
CLIENT = LoginClient(
    issuer=ISSUER,
    client_id="app",
    redirect_uri=BACK,
    response_mode="jwt",
    id_token_signed_response_alg="ES256",
    userinfo_signed_response_alg="ES256",
)
#: Nobody may wait by a place, so that whoever does not fail at once has the patience of a login.
NO_PLACES = Settings(kid_miss_max_waiters=0, kid_miss_refresh_cooldown=0.3)
FIRST = SigningKey.generate("ES256", kid="first")
NEXT = SigningKey.generate("ES256", kid="next")


class Op(Provider):
    """A provider by the clock of the machine, with a token endpoint and UserInfo."""

    def __init__(self) -> None:
        super().__init__(first=FIRST)
        self.metadata["userinfo_endpoint"] = ISSUER + "/userinfo"

    def __call__(self, request: Request) -> Reply:
        """Answer as the transport."""
        if request.url.endswith("/userinfo"):
            return self.reply("application/jwt", self.signed(NEXT))
        if request.url.endswith("/token"):
            tokens = {"access_token": "t", "token_type": "Bearer", "id_token": self.signed(NEXT)}
            return self.reply("application/json", json.dumps(tokens))
        return super().__call__(request)

    @staticmethod
    def reply(media_type: str, body: str) -> Reply:
        """Answer 200."""
        return Reply(200, (("content-type", media_type),), body.encode())

    @staticmethod
    def signed(key: SigningKey, typ: str = "JWT", **claims: Any) -> str:
        """Sign what is good for the client right now."""
        now = int(time.time())
        good = {"iss": ISSUER, "aud": "app", "sub": "ada", "iat": now, "exp": now + 60}
        return sign_compact({**good, **claims}, key, typ=typ)


class Bench:
    """Flows at a provider that has a new key, while no look at its keys is permitted for a moment."""

    def __init__(self) -> None:
        self.op, stores = Op(), Stores("sync", NO_PLACES)
        self.validators = lambda config, address, kind: validator_for(
            config, address, kind, lambda: stores, default_engine, "sync"
        )
        self.services = LoginServices(lambda: stores, self.validators, UsedValues())
        self.policy = SignedResponsePolicy(CLIENT.validation_config("ES256"), ISSUER)
        for n in range(3):
            forged = self.op.signed(SigningKey.generate("ES256", kid=f"forged-{n}"), state="s-1")
            with suppress(JarmValidationException, RefreshCrowded):
                run(self.jarm(forged), self.op)
        self.op.keys = {"next": NEXT}

    def jarm(self, token: str) -> Any:
        """Judge a response of nobody's login."""
        policy = JarmPolicy("app", ISSUER)
        return process_jarm_response(token, policy, True, self.validators, self.services.stores)

    def introspection(self) -> Any:
        """Read a signed answer about a token, which anybody may have sent."""
        members = {"token_introspection": {"active": True}}
        token = self.op.signed(NEXT, "token-introspection+jwt", **members)
        request = TokenIntrospectionRequest(ISSUER + "/introspect", "t", "app", signed_response=self.policy)
        reply = self.op.reply("application/token-introspection+jwt", token)
        return parse_introspection(reply, request, time.time(), self.validators)

    def userinfo(self) -> Any:
        """Read a signed answer about a user, asked for with a token of which nothing is known."""
        request = UserInfoRequest(ISSUER + "/userinfo", "t", expected_sub="ada", signed_response=self.policy)
        return parse_userinfo(self.op(Request("GET", request.address)), request, time.time(), self.validators)

    def logout(self) -> Any:
        """Judge a logout token, which anybody may post."""
        token = self.op.signed(NEXT, jti="j-1", events={LOGOUT_EVENT: {}})
        policy = LogoutTokenPolicy(self.policy.token_validation_config, ISSUER)
        return validate_logout_token(token, policy, self.validators)

    def login(self) -> Any:
        """Complete a login whose answer comes in a JWT; that the provider refused is known only once it is verified."""
        now = time.time()
        kept = LoginTransaction(
            issuer=ISSUER,
            client_id="app",
            redirect_uri=BACK,
            response_type="code",
            response_mode="query.jwt",
            scope="openid",
            state="s-1",
            nonce="n-1",
            code_verifier="v" * 43,
            created_at=now,
            expires_at=now + 60,
        )
        token = self.op.signed(NEXT, state="s-1", error="access_denied")
        return complete_login(CLIENT, Returned(f"{BACK}?response={token}", kept), self.services)

    def refresh(self) -> Any:
        """Use up a refresh token."""
        return refresh_login(CLIENT, "r", {"iss": ISSUER, "sub": "ada", "aud": "app", "iat": 1}, None, self.services)

    def login_userinfo(self) -> Any:
        """Ask about the user of a login."""
        login = LoginResponse(True, access_token="t", token_type="Bearer", claims={"sub": "ada"})
        return get_login_userinfo(CLIENT, login, None, self.services, NO_PLACES)


@pytest.mark.parametrize("what", ["jarm", "introspection", "userinfo", "logout"])
def test_what_anybody_can_cause_waits_by_the_rule_of_tokens(what: str) -> None:
    """[K5] With all places taken, a signed response of an unknown key is told at once to come again: 503."""
    bench = Bench()
    flow = bench.jarm(bench.op.signed(NEXT, state="s-1")) if what == "jarm" else getattr(bench, what)()
    began = time.monotonic()
    with pytest.raises(RefreshCrowded) as caught:
        run(flow, bench.op)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 0.3
    assert time.monotonic() - began < 0.2


@pytest.mark.parametrize(("what", "code"), [("login", "access_denied"), ("refresh", None), ("login_userinfo", None)])
def test_what_belongs_to_a_login_waits_for_the_next_keys(what: str, code: str | None) -> None:
    """A provider that had just changed its keys made logins fail, and refresh tokens be used up for nothing."""
    bench = Bench()
    flow: Callable[[], Any] = getattr(bench, what)
    response = run(flow(), bench.op)
    assert response.error_code == code, response.error
    assert response.is_successful is (code is None)
