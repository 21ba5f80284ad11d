"""For clients whose tokens are simply there: each parameter of each verb, another value, and what is sent then."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import re
import threading
import urllib.request
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2

import py_identity_model as p
from effects import Case, Made, When, shown, wait
from effects_of_functions import ISSUER, KEY, URL
from effects_of_logins import CALLBACKS, POSTED, TRANSACTION, LoginSite, identity
from effects_of_objects import INSIDE, OTHER, token
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model.aio import _login as awaiting
from py_identity_model.stores import MemoryStore
from py_identity_model.sync import _driver
from py_identity_model.sync import _login as blocking

API = "https://api.example.com"
DETAILS = [{"type": "x"}]


class Granting(LoginSite):
    """A provider that grants what is asked for, and tells each token from the others."""

    def __init__(self, name: str = "first") -> None:
        super().__init__(name, id_token=identity(), revocation_endpoint=f"{ISSUER}/revoke")
        self.granted = 0

    def __call__(self, request: Request) -> Reply:
        reply = super().__call__(request)
        if not request.url.endswith("/token"):
            return reply
        asked = parse_qs(request.body.decode())
        self.granted += 1
        said = json.loads(reply.body) | {"refresh_token": "r", "access_token": f"t{self.granted}"}
        more = {"scope": asked.get("scope", ["openid"])[0], "issued_token_type": TOKEN_TYPE}
        return replace(reply, body=json.dumps(said | more).encode())


TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
CLIENT: dict[str, Any] = {
    "issuer": ISSUER,
    "client_id": "app",
    "client_secret": "s" * 64,
    "redirect_uri": URL,
    "http_client": Made(Granting),
}
DESCRIBED = p.LoginClient(
    issuer=ISSUER, client_id="other", id_token_signed_response_alg="ES256", client_secret="s" * 64
)


class Counting(MemoryStore):
    """A store that counts how often it is asked, and notes how long renewals may take."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.leased = 0, set[float]()

    def get(self, topic: str, key: str) -> bytes | None:
        """Count."""
        self.asked += 1
        return super().get(topic, key)

    def lease(self, topic: str, key: str, seconds: float) -> Any:
        """Note the seconds."""
        self.leased.add(seconds)
        return super().lease(topic, key, seconds)


def attempted(verb: Any, **arguments: Any) -> Any:
    """Return what a verb comes to, an exception of the library included."""
    try:
        return wait(verb(**arguments))
    except p.PyIdentityModelException as error:
        return error


def served(door: Any, client: Any) -> Any:
    """Use a client: have it get several tokens, one of them again, and begin a login."""
    tokens = [attempted(client.token, scope=scope) for scope in ("orders", "mails", "orders")]
    tokens.append(attempted(client.on_behalf_of, token="t", scope="orders"))
    return tokens, attempted(client.begin_login), [getattr(client._store, name, None) for name in ("asked", "leased")]


def client(door: Any, **more: Any) -> Any:
    """Return a client with a user who is logged in."""
    for module in (blocking, awaiting):
        module._default_memory.cache_clear()  # the login is completed for every case anew
    described = replace(DESCRIBED, client_id="app", redirect_uri=URL)
    made = door.OAuthClient(described, http_client=Granting(), **more)
    wait(made.begin_login())
    assert wait(made.complete_login(CALLBACKS["with iss"], TRANSACTION)).is_successful
    for module in (blocking, awaiting):
        module._default_memory.cache_clear()
    return made


def sent(made: Any) -> Any:
    """Return what a client has sent."""
    return list(made._http_client.requests)


def stocked(door: Any = p) -> MemoryStore:
    """Return a store that has tokens of the client."""
    store = MemoryStore()
    arguments = {name: value for name, value in CLIENT.items() if name != "http_client"}
    for scope in ("orders", "mails"):
        p.OAuthClient(**arguments, store=store, http_client=Granting()).token(scope=scope)
    return store


def given(door: Any, flow: Any) -> Any:
    """Use the flow of an auth object: what it gives a request."""
    if not inspect.isasyncgen(flow):
        return next(flow).headers.get("authorization")

    async def first() -> Any:
        return (await anext(flow)).headers.get("authorization")

    return asyncio.run(first())


def authorized(door: Any, auth: Any) -> Any:
    """Use an auth object."""
    request = httpx2.Request("GET", f"{API}/x")
    return given(door, auth.sync_auth_flow(request) if door is p else auth.async_auth_flow(request))


def auth(door: Any) -> Any:
    """Return an auth object."""
    return client(door).auth(origins=[API])


SHOWN: list[Any] = []


def shown_and_sent(made: Any) -> Any:
    """Return what the user was shown, and what was sent."""
    found = len(SHOWN), sent(made), attempted(made.token, subject="me")
    SHOWN.clear()
    return found


def told(subject: str) -> Any:
    """Return what is looked at after a login: the tokens that are kept under names."""
    return lambda made: [attempted(made.token, subject=each) for each in ("ada", subject)]


def holding() -> MemoryStore:
    """Return a store that has the login."""
    store = MemoryStore()
    p.OAuthClient(**{**CLIENT, "http_client": Granting()}).begin_login(p.LoginRequest(binding="cookie"), store=store)
    return store


class Loopback:
    """A client whose user comes back to this machine, after some minutes."""

    def __init__(self, door: Any) -> None:
        self.made, self.ways = client(door), list[str]()

    def loopback_login(self, show: Any, **arguments: Any) -> Any:
        """Log in; *show* tells who is shown the page."""

        def come_back(url: str) -> None:
            with suppress(OSError):  # who is late finds nobody
                urllib.request.urlopen(url).close()

        def returning(way: str, url: str) -> bool:
            asked = dict(parse_qsl(urlsplit(url).query))
            self.ways += [way, asked["scope"]]
            back = f"{asked['redirect_uri']}?code=c&state={asked['state']}&iss={ISSUER}"
            threading.Thread(target=come_back, args=(back,), daemon=True).start()
            clock: Any = _driver.read_clock
            clock.advance(120.0)
            return True

        with patch("webbrowser.open", functools.partial(returning, "browser")):
            return wait(self.made.loopback_login(show=functools.partial(returning, show), **arguments))


def looped(loop: Loopback) -> Any:
    """Return by which way the user was sent, what was sent, and the tokens that are kept."""
    port = re.compile(r"127\.0\.0\.1(:|%3A)\d+")
    requests = [port.sub("loopback", shown(each)["url"] + shown(each)["body"]) for each in sent(loop.made)]
    return loop.ways, requests, told("me")(loop.made)


WANTS: dict[str, Any] = {
    "scope": "orders",
    "resource": OTHER,
    "audience": "api",
    "authorization_details": DETAILS,
    "subject": "ada",
    "on_behalf_of": "t",
    "identity": p.WorkloadIdentity(token()),
}
OWN = {name: WANTS[name] for name in ("scope", "resource", "audience", "authorization_details")}
IN_STORE = {"transaction": None, "store": Made(holding), "binding": "cookie"}


class Registering(Granting):
    """A provider that registers who asks."""

    def __call__(self, request: Request) -> Reply:
        reply = super().__call__(request)
        if "openid-configuration" in request.url:
            return replace(reply, body=reply.body[:-1] + f', "registration_endpoint": "{ISSUER}/register"}}'.encode())
        if not request.url.endswith("/register"):
            return reply
        own = {"client_id": f"made by {self.name}", "client_secret": "s" * 40, "client_secret_expires_at": 0}
        return replace(reply, status=201, body=json.dumps({**json.loads(request.body), **own}).encode())


def registered_there(door: Any = p) -> MemoryStore:
    """Return a store that has a registration."""
    store = MemoryStore()
    p.OAuthClient.register(ISSUER, [URL], store=store, http_client=Registering("another"))
    return store


CLIENTS: dict[str, Case] = {
    "OAuthClient.register": Case(
        {"issuer": ISSUER, "redirect_uris": [URL], "store": Made(MemoryStore), "http_client": Made(Registering)},
        {
            "issuer": OTHER,
            "redirect_uris": [URL + "2"],
            "store": Made(registered_there),
            "http_client": Made(lambda: Registering("second")),
            "dpop": p.generate_dpop_key(),
            "options": {"client_name": "tool"},
        },
        lambda door, made: (made._client, attempted(made.begin_login)),
    ),
    "OAuthClient": Case(
        CLIENT,
        {
            "issuer": When(
                p.LoginClient(issuer=OTHER, client_id="app"),
                {"client_id": None, "client_secret": None, "redirect_uri": None, "issuer": DESCRIBED},
            ),
            "client_id": "other",
            "client_secret": "t" * 64,
            "private_key_jwt": When(p.PrivateKeyJwt(KEY), {"client_secret": None}),
            "mtls": When(p.MtlsClientAuth("one.pem", "one.key"), {"client_secret": None}),
            "client_assertion": When(token(), {"client_secret": None}),
            "attestation": When(lambda _: ("a.b.c", "d.e.f"), {"client_secret": None}),
            "redirect_uri": URL + "2",
            "scope": "openid email",
            "dpop": p.generate_dpop_key(),
            "profile": "fapi2",
            "backchannel": INSIDE,
            "store": Made(stocked),
            "http_client": Made(lambda: Granting("second")),
            "renewal_timeout": When(20.0, {"store": Made(Counting)}),
            "max_tokens": When(1, {"store": Made(Counting)}),
            "on_behalf_of_grant": "jwt_bearer",
            "identity": p.WorkloadIdentity(token()),
            "allow_insecure_http": When(True, {"backchannel": "http://inside.example.com"}),
        },
        served,
    ),
    "OAuthClient.token": Case({}, WANTS, of=client, left=sent),
    "OAuthClient.auth": Case({"origins": [API]}, WANTS | {"origins": [OTHER]}, authorized, client, sent),
    "OAuthClient.client_credentials": Case({}, OWN, of=client, left=sent),
    "OAuthClient.refresh": Case(
        {"subject": "ada"}, {"scope": "openid", "resource": OTHER, "subject": None}, of=client, left=sent
    ),
    "OAuthClient.on_behalf_of": Case(
        {"token": "x"}, {"token": "y", "scope": "orders", "resource": OTHER, "audience": "api"}, of=client, left=sent
    ),
    "OAuthClient.exchange": Case(
        {"subject_token": "x"}, {"subject_token": "y", "options": {"audience": "api"}}, of=client, left=sent
    ),
    "OAuthClient.id_jag": Case(
        {"audience": OTHER, "subject_token": "x"},
        {
            "audience": API,
            "subject": When("ada", {"subject_token": None}),
            "subject_token": "y",
            "subject_token_type": "urn:ietf:params:oauth:token-type:saml2",
            "resource": OTHER,
            "scope": "orders",
        },
        of=client,
        left=sent,
    ),
    "OAuthClient.begin_login": Case(
        {"request": p.LoginRequest(binding="cookie")},
        {"request": p.LoginRequest(prompt="login"), "store": MemoryStore()},
        of=client,
    ),
    "OAuthClient.complete_login": Case(
        {"callback": CALLBACKS["with iss"], "transaction": TRANSACTION},
        {
            "callback": CALLBACKS["without iss"].replace("code=c", "code=d"),
            "transaction": replace(TRANSACTION, state="other"),
            "subject": "me",
            "store": When(Made(holding), IN_STORE | {"store": None}),
            "binding": When("other", IN_STORE),
            "response_mode": When("form_post", {"callback": POSTED}),
        },
        of=client,
        left=lambda made: (sent(made), told("me")(made)),
    ),
    "OAuthClient.device_login": Case(
        {"show": lambda device: None},
        {
            "show": SHOWN.append,
            "request": p.DeviceLoginRequest(scope="openid email"),
            "subject": "me",
            "expected_sub": "eve",
        },
        of=client,
        left=shown_and_sent,
    ),
    "OAuthClient.loopback_login": Case(
        {"show": "page", "browser": False, "seconds": 300.0},
        {
            "request": p.LoginRequest(scope="openid email"),
            "subject": "me",
            "browser": True,
            "show": "other page",
            "seconds": 60.0,
            "path": "/other",
        },
        lambda door, login: (login.error_code, login.exception),
        Loopback,
        looped,
    ),
    "OAuthClient.logout_url": Case(
        {"subject": "ada"},
        {
            "subject": "eve",
            "post_logout_redirect_uri": URL,
            "logout_hint": "ada",
            "ui_locales": "de",
            "extra": {"more": "1"},
        },
        of=client,
    ),
    "OAuthClient.userinfo": Case({"subject": "ada"}, {"subject": "eve"}, of=client, left=sent),
    "OAuthClient.introspect": Case(
        {"token": "x"}, {"token": "y", "options": {"token_type_hint": "access_token"}}, of=client, left=sent
    ),
    "OAuthClient.revoke": Case(
        {"token": "x"},
        {"token": "y", "token_type_hint": "access_token", "subject": When("ada", {"token": None})},
        of=client,
        left=sent,
    ),
    **{
        f"TokenAuth.{name}": Case(
            {"request": Made(lambda: httpx2.Request("GET", f"{API}/x"))},
            {"request": Made(lambda: httpx2.Request("GET", f"{OTHER}/x"))},
            given,
            auth,
        )
        for name in ("async_auth_flow", "sync_auth_flow")
    },
    "Revoked": Case(
        {},
        {"jti": "k", "sid": "t", "sub": "eve", "iss": OTHER, "before": 1.0},
        lambda door, mark: mark.matches({"jti": "j", "sid": "s", "sub": "ada", "iss": ISSUER, "iat": 5}),
    ),
    "Revoked.matches": Case(
        {"claims": {"sub": "ada"}}, {"claims": {"sub": "eve"}}, of=lambda door: p.Revoked(sub="ada")
    ),
}
