"""A served provider over HTTP: issuers by path, the control API, and who may not use it."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from urllib.parse import urlencode

import pytest

from py_identity_model._core.base.flow import Request
from py_identity_model.exceptions import ConfigurationException, TokenValidationException
from py_identity_model.sync._validation import TokenValidator
from py_identity_model.testing import FAULTS, FORGERIES
from py_identity_model.testing._serve.control import CALLS
from py_identity_model.testing._serve.issuer import SiteOptions
from py_identity_model.testing._serve.rules import SettingsFile, read_settings
from py_identity_model.testing._serve.site import MOST_ISSUERS, ProviderSite

PART = "(?P<part>[^/]+)"
BASE = "http://localhost:8080"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
BACK = "http://localhost:3000/callback"
ASKED = {
    "client_id": "shop",
    "redirect_uri": BACK,
    "response_type": "code",
    "scope": "openid email",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "state": "s-1",
}


def site_of(**options) -> ProviderSite:
    """Return a site whose keys are made quickly."""
    return ProviderSite(BASE, options=SiteOptions(**{"algorithms": ("ES256",), **options}))


def ask(site, method, path, body=None, **headers):
    """Send one request, as a program does, with JSON where there is a body or a change."""
    sent = {"host": "localhost:8080", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if "/_control" in path and method != "GET":
        sent.setdefault("content-type", "application/json")
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return site.handle(Request(method, BASE + path, tuple(sent.items()), content))


def read(reply):
    return json.loads(reply.body)


def authorize(site, issuer="", **parameters):
    """Ask for a code; return the parameters that come back."""
    asked = {
        "client_id": "shop",
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": "openid email",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **parameters,
    }
    return ask(site, "GET", f"{issuer}/authorize?{urlencode(asked)}")


def codes(reply):
    location = reply.header("location")
    assert location is not None, reply.body
    assert location.startswith(BACK)
    return dict(pair.split("=", 1) for pair in location.partition("?")[2].split("&"))


def tokens(site, issuer="", more=(), **parameters):
    """Log in and take the tokens."""
    code = codes(authorize(site, issuer, **parameters))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    return exchange(site, issuer, {**form, "client_id": "shop", **dict(more)})


def exchange(site, issuer, form):
    headers = {"content_type": "application/x-www-form-urlencoded"}
    reply = ask(site, "POST", f"{issuer}/token", urlencode(form).encode(), **headers)
    assert reply.status == 200, reply.body
    return read(reply)


def claims(site, token):
    return site.named().claims_of(token)


# ---- issuers


@pytest.mark.parametrize(
    ("path", "issuer"),
    [
        ("/.well-known/openid-configuration", BASE),
        ("/orders-team/.well-known/openid-configuration", f"{BASE}/orders-team"),
        ("/orders-team/.well-known/oauth-authorization-server", f"{BASE}/orders-team"),
        ("/.well-known/oauth-authorization-server/orders-team", f"{BASE}/orders-team"),
        ("/contoso.onmicrosoft.com/.well-known/openid-configuration", f"{BASE}/contoso.onmicrosoft.com"),
    ],
)
def test_issuers_are_made_when_they_are_asked_for(path, issuer):
    """The first path segment names the issuer, at either well-known place; the root is one as well."""
    assert read(ask(site_of(), "GET", path))["issuer"] == issuer


def test_issuers_have_keys_of_their_own():
    """A token of one issuer is refused by whoever trusts another."""
    site = site_of()
    one, other = site.named("one"), site.named("two")
    validator = TokenValidator(one.issuer, audience="api", http_client=one.transport)
    validator.validate(one.mint())
    with pytest.raises(TokenValidationException) as refusal:
        validator.validate(other.mint(iss=one.issuer))
    assert refusal.value.code == "signature_invalid"


@pytest.mark.parametrize(
    "path",
    [
        "/favicon.ico",
        "/typo",
        "/typo/",
        "/../../etc/passwd",
        "/%2e%2e/.well-known/openid-configuration",
        "/a%2fb/token",
        "/.hidden/.well-known/openid-configuration",
        f"/{'a' * 65}/jwks",
        "/a b/jwks",
        "//evil.example.com/jwks",
        "/<script>/jwks",
    ],
)
def test_other_paths_make_no_issuer(path):
    """Icons, typing errors and names that no issuer may have are not found, and leave nothing behind."""
    site = site_of()
    assert ask(site, "GET", path).status == 404
    assert site.issuers() == [] or [each.name for each in site.issuers()] == [""]


def test_the_number_of_issuers_is_bounded():
    """A program that asks for ever new issuers gets no more of them."""
    site = site_of()
    for number in range(MOST_ISSUERS):
        site.named(f"n{number}")
    reply = ask(site, "GET", "/more/.well-known/openid-configuration")
    assert (reply.status, b"64 issuers" in reply.body) == (404, True)
    assert ask(site, "GET", "/n5/jwks").status == 200
    with pytest.raises(ConfigurationException):
        site.named("more")


def test_a_site_is_alive():
    """/isalive says so, for Compose and for scripts that wait."""
    assert ask(site_of(), "GET", "/isalive").status == 200


# ---- next logins


def test_the_next_login_is_queued():
    """Queued over HTTP: the subject and claims of the next login, and of that one only."""
    site = site_of()
    queued = ask(site, "POST", "/_control/next-logins", {"subject": "ada", "claims": {"state": "CA", "key": [1]}})
    assert (queued.status, read(queued)) == (201, {"waiting": 1})
    assert len(read(ask(site, "GET", "/_control/next-logins"))["next_logins"]) == 1
    first, second = tokens(site), tokens(site)
    for kind in ("access_token", "id_token"):
        said = claims(site, first[kind])
        assert (said["sub"], said["state"], said["key"]) == ("ada", "CA", [1])
        assert claims(site, second[kind])["sub"] == "alice"


def test_a_login_waits_for_its_client():
    """Tests that run at once tell their logins apart by any parameter of the request."""
    site = site_of()
    ask(site, "POST", "/_control/next-logins", {"subject": "bob", "when": {"client_id": "other"}})
    ask(site, "POST", "/_control/next-logins", {"subject": "eve", "when": {"scope": "orders.*"}, "times": 2})
    said = [claims(site, tokens(site, scope=scope)["id_token"])["sub"] for scope in ("openid", "openid orders.read")]
    assert said == ["alice", "eve"]
    assert read(ask(site, "GET", "/_control/next-logins"))["next_logins"][1]["times"] == 1
    assert ask(site, "DELETE", "/_control/next-logins").status == 204
    assert claims(site, tokens(site, scope="openid orders.read")["id_token"])["sub"] == "alice"


def test_a_login_may_end_with_an_error():
    """The application is told what the test wants to see it handle."""
    site = site_of()
    ask(site, "POST", "/_control/next-logins", {"error": "access_denied", "error_description": "no"})
    back = codes(authorize(site, state="s-1"))
    assert (back["error"], back["state"], "code" in back) == ("access_denied", "s-1", False)


@pytest.mark.parametrize("wanted", [{"acr": "gold", "amr": ["otp"]}, {"auth_time": 1000}])
def test_how_the_user_logged_in_is_told(wanted):
    """``acr``, ``amr`` and ``auth_time`` of the next login stand in the ID token."""
    site = site_of()
    ask(site, "POST", "/_control/next-logins", wanted)
    said = claims(site, tokens(site)["id_token"])
    assert {name: said[name] for name in wanted} == wanted


# ---- tokens


def test_tokens_are_minted():
    """A test in any language gets the token it needs; null takes a claim out."""
    site = site_of()
    made = ask(site, "POST", "/a/_control/tokens", {"subject": "ada", "claims": {"scope": "x", "jti": None}})
    said = read(made)["claims"]
    assert (made.status, said["sub"], said["scope"], "jti" in said) == (201, "ada", "x", False)
    assert said["iss"] == f"{BASE}/a"
    issuer = site.named("a")
    TokenValidator(issuer.issuer, audience="api", http_client=issuer.transport).validate(read(made)["token"])


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_made(name):
    """Each token that every API must refuse, with the code by which this library refuses it."""
    site = site_of()
    made = read(ask(site, "POST", "/_control/forgeries", {"name": name}))
    issuer = site.named()
    with pytest.raises(TokenValidationException) as refusal:
        TokenValidator(issuer.issuer, audience="api", http_client=issuer.transport).validate(made["token"])
    assert refusal.value.code == made["code"]
    assert name in read(ask(site, "GET", "/_control/forgeries"))["forgeries"]


# ---- faults, keys, clock


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_played(name):
    """Over HTTP, for one issuer: the next request is struck, the other issuer is not, and it is over."""
    site = site_of()
    on = min(FAULTS[name].on or {"jwks"})
    path = "/.well-known/openid-configuration" if on == "discovery" else "/jwks" if on == "jwks" else f"/{on}"
    good = site.answer(Request("GET", BASE + path))
    assert ask(site, "POST", "/_control/faults", {"fault": name, "on": on}).status == 201
    playing = read(ask(site, "GET", "/_control/faults"))["playing"]
    assert [(each["fault"], each["left"]) for each in playing] == [(name, 1)]
    other = site.answer(Request("GET", f"{BASE}/other{path}"))
    assert other.reply.status == 200
    assert site.answer(Request("GET", BASE + path)) != good
    assert read(ask(site, "GET", "/_control/requests"))["requests"][-1]["faults"] == [name]
    assert site.answer(Request("GET", BASE + path)).reply.status == 200
    assert read(ask(site, "GET", "/_control/faults"))["playing"] == []


def test_a_fault_is_stopped():
    """One by its number, or all."""
    site = site_of()
    first, _ = (read(ask(site, "POST", "/_control/faults", {"fault": "500", "times": None}))["id"] for _ in range(2))
    assert ask(site, "DELETE", f"/_control/faults/{first}").status == 204
    assert ask(site, "DELETE", f"/_control/faults/{first}").status == 400
    assert ask(site, "GET", "/jwks").status == 500
    assert ask(site, "DELETE", "/_control/faults").status == 204
    assert ask(site, "GET", "/jwks").status == 200


def test_keys_rotate_within_bounds():
    """A new key is found, the old ones stay published, but not for ever; one can be revoked."""
    site = site_of()
    before = read(ask(site, "POST", "/_control/tokens", {}))["token"]
    validator = TokenValidator(BASE, audience="api", http_client=site.named().transport)
    validator.validate(before)
    kid = read(ask(site, "POST", "/_control/keys/rotate", {}))["kid"]
    validator.validate(before)
    assert ask(site, "DELETE", f"/_control/keys/{kid}").status == 204
    for _ in range(20):
        ask(site, "POST", "/_control/keys/rotate", {"publish": False})
    keys = read(ask(site, "GET", "/_control/keys"))["keys"]
    assert (len(keys), keys[-1]["published"]) == (8, False)
    assert ask(site, "POST", "/_control/keys/publish").status == 204
    assert len(read(ask(site, "GET", "/jwks"))["keys"]) == 8


def test_the_clock_is_set_for_one_issuer():
    """Frozen, moved, and back to the real time; tokens follow."""
    site = site_of()
    told = read(ask(site, "PUT", "/_control/clock", {"now": 2_000_000_000, "frozen": True}))
    assert (told["now"], told["frozen"]) == (2_000_000_000, True)
    assert read(ask(site, "PUT", "/_control/clock", {"advance": 60}))["now"] == 2_000_000_060
    assert read(ask(site, "POST", "/_control/tokens", {}))["claims"]["iat"] == 2_000_000_060
    assert site.named("other").now() < 2_000_000_000
    assert ask(site, "DELETE", "/_control/clock").status == 204
    assert not read(ask(site, "GET", "/_control/clock"))["frozen"]


# ---- users, clients, devices


def test_users_are_added():
    """Their claims are told by UserInfo and in tokens as scopes allow."""
    site = site_of()
    user = {"name": "Ada", "email": "ada@example.com", "roles": ["admin"]}
    assert ask(site, "PUT", "/_control/users/ada", user).status == 204
    assert read(ask(site, "GET", "/_control/users"))["users"] == {"ada": user}
    got = tokens(site, login_hint="ada")
    said, granted = claims(site, got["id_token"]), claims(site, got["access_token"])
    assert (said["email"], said["roles"], "name" in said) == ("ada@example.com", ["admin"], False)
    assert (granted["roles"], "email" in granted) == (["admin"], False)
    info = read(ask(site, "GET", "/userinfo", authorization=f"Bearer {got['access_token']}"))
    assert (info["sub"], info["email"]) == ("ada", "ada@example.com")
    assert ask(site, "DELETE", "/_control/users/ada").status == 204
    assert ask(site, "DELETE", "/_control/users/ada").status == 400


def test_a_registered_client_is_held_to_what_was_registered():
    """Its secret and its redirect addresses, while clients that nobody registered are taken as they come."""
    site = site_of()
    row = {"client_secret": "s3cret", "redirect_uris": ["http://localhost:3000/other"]}
    assert ask(site, "PUT", "/_control/clients/shop", row).status == 204
    assert authorize(site).status == 400
    assert authorize(site, client_id="any").status == 302
    assert read(ask(site, "GET", "/_control/clients"))["clients"]["shop"]["client_secret"] == "s3cret"
    assert authorize(site_of(open_clients=False), client_id="any").status == 400


@pytest.mark.parametrize(
    ("uri", "taken"),
    [
        ("http://localhost:3000/callback", True),
        ("http://web:8000/callback", True),
        ("https://shop.test/callback", True),
        ("http://192.168.1.7/callback", True),
        ("com.example.shop:/callback", True),
        ("https://shop.example.com/callback", False),
        ("https://evil.test.example.com/callback", False),
        ("http://169.254.169.254/", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("http://[::1/", False),
        ("http://localhost/\r\nset-cookie: a=b", False),
        ("http://localhost/a b", False),
        ("http://localhost/\u6f22", False),
        ("http://evil.example.com\\@localhost/", False),
        ("http://localhost@evil.example.com/", False),
        ("http://evil.example.com#@localhost/", False),
        ("com.example.shop:/\r\nset-cookie: a=b", False),
    ],
)
def test_codes_for_unregistered_clients_stay_near(uri, taken):
    """A page elsewhere cannot use the provider of a developer as an open redirector."""
    assert (authorize(site_of(), redirect_uri=uri).status == 302) is taken


def test_a_device_is_approved():
    """The test plays the user, at the issuer's own control."""
    site = site_of()
    form = {"content_type": "application/x-www-form-urlencoded"}
    begun = read(ask(site, "POST", "/device_authorization", b"client_id=tv", **form))
    approval = {"approve": True, "subject": "ada"}
    assert ask(site, "POST", f"/_control/devices/{begun['user_code']}", approval).status == 204
    assert ask(site, "POST", "/_control/devices/NOPE", approval).status == 400
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": begun["device_code"]}
    assert claims(site, exchange(site, "", {**grant, "client_id": "tv"})["id_token"])["sub"] == "ada"


# ---- recorded requests


def test_requests_are_recorded():
    """What came and what was answered, filtered and paged; secrets are shown, for it is a test server."""
    site = site_of()
    tokens(site, more={"client_secret": "hush"}.items())
    ask(site, "GET", "/jwks")
    found = read(ask(site, "GET", "/_control/requests?endpoint=token"))["requests"]
    assert [(each["form"]["client_secret"], each["status"]) for each in found] == [("hush", 200)]
    assert "access_token" in found[0]["response_body"]
    first = read(ask(site, "GET", "/_control/requests?client_id=shop&limit=1"))
    assert [each["endpoint"] for each in first["requests"]] == ["authorize"]
    rest = read(ask(site, "GET", f"/_control/requests?after={first['requests'][0]['number']}"))["requests"]
    assert [each["endpoint"] for each in rest] == ["token", "jwks"]
    assert ask(site, "DELETE", "/_control/requests").status == 204
    assert read(ask(site, "GET", "/_control/requests"))["requests"] == []


def test_a_request_is_awaited():
    """Who asks before the request came gets it when it comes; who asks in vain gets nothing after that time."""
    site = site_of()
    waiting = threading.Timer(0.05, lambda: ask(site, "GET", "/jwks"))
    waiting.start()
    found = read(ask(site, "GET", "/_control/requests?endpoint=jwks&wait=10"))["requests"]
    waiting.join()
    assert [each["endpoint"] for each in found] == ["jwks"]
    assert read(ask(site, "GET", "/_control/requests?endpoint=par&wait=0.01"))["requests"] == []


def test_memory_is_bounded():
    """Neither many nor large requests fill the memory."""
    site = site_of()
    for _ in range(700):
        ask(site, "POST", "/token", b"x" * 20_000)
    kept = site.named().exchanges.all()
    assert len(kept) <= 500
    assert sum(len(each.request.body) for each in kept) <= 2 * 1024 * 1024
    assert site.named().exchanges.last == 700


def test_a_reset_goes_back_to_the_start():
    """Faults, clock, queue and records are as at the start, between two tests of a suite."""
    site = site_of()
    ask(site, "POST", "/_control/faults", {"fault": "500", "times": None})
    ask(site, "POST", "/_control/next-logins", {"subject": "ada"})
    ask(site, "PUT", "/_control/clock", {"now": 5, "frozen": True})
    ask(site, "GET", "/jwks")
    assert ask(site, "POST", "/_control/reset").status == 204
    now = read(ask(site, "GET", "/_control"))
    assert (now["faults"], now["next_logins"], now["counts"], now["now"] > 5) == ([], 0, {}, True)


# ---- what is refused


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "next-logins", b"{", None),
        ("POST", "next-logins", b'{"subject": "a", "subject": "b"}', None),
        ("POST", "next-logins", {"subjet": "ada"}, "subjet"),
        ("POST", "next-logins", {"subject": 7}, "subject"),
        ("POST", "next-logins", {"claims": []}, "claims"),
        ("POST", "next-logins", {"times": 0}, "times"),
        ("POST", "next-logins", {"when": {"client_id": 7}}, "when"),
        ("POST", "tokens", {"kind": "cookie"}, "kind"),
        ("POST", "tokens", {"alg": "none"}, "alg"),
        ("POST", "tokens", {"expires_in": 1e300}, "expires_in"),
        ("POST", "tokens", [], None),
        ("POST", "forgeries", {}, "name"),
        ("POST", "forgeries", {"name": "odd"}, None),
        ("POST", "faults", {"fault": "odd"}, None),
        ("POST", "faults", {"fault": "slow", "options": {"seconds": 1e9}}, "options.seconds"),
        ("POST", "faults", {"fault": "slow", "options": {"seconds": "long"}}, "options.seconds"),
        ("POST", "faults", {"fault": "slow", "options": {"minutes": 1}}, "options.minutes"),
        ("POST", "faults", {"fault": "huge", "options": {"size": 10**12}}, "options.size"),
        ("POST", "faults", {"fault": "redirect", "options": {"to": "x\r\ny: z"}}, "options.to"),
        ("POST", "faults", {"fault": "500", "on": "nowhere at all"}, None),
        ("PUT", "clock", {"now": -1}, "now"),
        ("PUT", "clock", {"now": "noon"}, "now"),
        ("PUT", "clock", {"advance": True}, "advance"),
        ("POST", "keys/rotate", {"alg": "HS1"}, "alg"),
        ("DELETE", "keys/nobody", None, "kid"),
        ("PUT", "users/ada", [1], None),
        ("PUT", "clients/shop", {"client_id": "other"}, "client_id"),
        ("POST", "devices/X", {}, "approve"),
        ("GET", "requests?limit=many", None, "limit"),
        ("GET", "requests?limit=0", None, "limit"),
        ("GET", "requests?colour=red", None, "colour"),
        ("GET", "requests?wait=1000", None, "wait"),
    ],
)
def test_what_cannot_be_done_is_said(method, path, body, field):
    """400, a code, words, and the field that is meant; nothing is changed."""
    site = site_of()
    reply = ask(site, method, f"/_control/{path}", body)
    error = read(reply)["error"]
    assert (reply.status, bool(error["code"]), bool(error["message"])) == (400, True, True)
    assert (error.get("field") or "").startswith(field or "")
    assert read(ask(site, "GET", "/_control"))["faults"] == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": ""}, 415),
        ({"origin": "https://evil.example.com"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"host": "evil.example.com"}, 421),
        ({"host": "localhost.evil.example.com:8080"}, 421),
        ({"origin": BASE, "sec_fetch_site": "same-origin"}, 201),
        ({"sec_fetch_site": "none"}, 201),
        ({"host": "127.0.0.1:8080"}, 201),
        ({"host": "oidc.localhost:8080"}, 201),
    ],
)
def test_pages_of_other_sites_control_nothing(headers, status):
    """Neither by a form, nor by a script, nor under a name that a stranger's name server gave this machine."""
    assert ask(site_of(), "POST", "/_control/next-logins", {}, **headers).status == status


def test_scripts_read_nothing_of_the_control():
    """No preflight is answered there, not even to neighbours, and answers belong to their own origin."""
    site = site_of()
    asked = {"origin": "http://localhost:3000", "access_control_request_method": "DELETE"}
    assert ask(site, "OPTIONS", "/_control/requests", **asked).status == 403
    reply = ask(site, "GET", "/_control/requests")
    assert reply.header("access-control-allow-origin") is None
    assert reply.header("cross-origin-resource-policy") == "same-origin"


def test_unknown_paths_and_methods_of_the_control():
    """404 and 405, as everywhere."""
    site = site_of()
    assert ask(site, "GET", "/_control/coffee").status == 404
    reply = ask(site, "PATCH", "/_control/faults")
    assert (reply.status, reply.header("allow")) == (405, "GET, POST, DELETE")


# ---- browser applications


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("http://localhost:3000", True), ("https://shop.test", True), ("https://evil.example.com", False)],
)
def test_browser_applications_nearby_may_ask(origin, allowed):
    """Preflight and answer name the origin of an application on this machine, and of no other."""
    site = site_of()
    wanted = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,dpop"}
    preflight = ask(site, "OPTIONS", "/token", origin=origin, **wanted)
    reply = ask(site, "GET", "/.well-known/openid-configuration", origin=origin)
    told = [each.header("access-control-allow-origin") for each in (preflight, reply)]
    assert told == ([origin] * 2 if allowed else [None] * 2)
    assert preflight.status == (204 if allowed else 403)
    assert reply.header("vary") == "Origin"
    assert ask(site, "GET", "/authorize", origin=origin).header("access-control-allow-origin") is None


# ---- the file


SETTINGS = """
audience = "orders"
[metadata]
claims_parameter_supported = true
[[users]]
sub = "ada"
email = "ada@example.com"
roles = ["admin"]
[[clients]]
client_id = "legacy"
redirect_uris = ["https://legacy.example.com/cb"]
require_pkce = false
[[rules]]
when = { grant_type = "client_credentials", client_id = "report*" }
claims = { roles = ["reader"], tenant = "${resource}", client = { name = "${client_id}" } }
expires_in = 7
[[rules]]
when = { login_hint = "*@example.com" }
tokens = ["id_token"]
claims = { email = "${login_hint}" }
[[rules]]
issuer = "other"
claims = { elsewhere = true }
[issuers.other]
audience = "stock"
metadata = { end_session_endpoint = "http://localhost/bye" }
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A file of settings."""
    path = tmp_path / "claims.toml"
    path.write_text(SETTINGS)
    return path


def test_claims_follow_the_request(settings):
    """By matching parameters, of the token request and of the login before it, with templates."""
    site = site_of(file=SettingsFile(settings))
    form = {"grant_type": "client_credentials", "client_id": "reporting", "client_secret": "x", "resource": "acme"}
    got = exchange(site, "", form)
    said = claims(site, got["access_token"])
    assert (got["expires_in"], said["exp"] - said["iat"]) == (7, 7)
    assert (said["roles"], said["tenant"], said["client"]) == (["reader"], "acme", {"name": "reporting"})
    hinted = tokens(site, login_hint="eve@example.com")
    assert claims(site, hinted["id_token"])["email"] == "eve@example.com"
    assert "email" not in claims(site, hinted["access_token"])
    assert claims(site, tokens(site, login_hint="ada")["id_token"])["roles"] == ["admin"]


def test_settings_of_one_issuer(settings):
    """Audience, metadata and rules of one issuer are not those of the others."""
    site = site_of(file=SettingsFile(settings))
    root, other = (read(ask(site, "GET", f"{path}/.well-known/openid-configuration")) for path in ("", "/other"))
    assert root["claims_parameter_supported"]
    assert other["claims_parameter_supported"]
    assert (root["end_session_endpoint"], other["end_session_endpoint"]) == (
        f"{BASE}/end_session",
        "http://localhost/bye",
    )
    said = [claims(site, tokens(site, path)["access_token"]) for path in ("", "/other")]
    assert [(each["aud"], each.get("elsewhere")) for each in said] == [("orders", None), ("stock", True)]


def test_a_client_may_do_without_pkce(settings):
    """Old programs are registered as such; nobody else goes without."""
    site = site_of(file=SettingsFile(settings))
    asked = {"client_id": "legacy", "redirect_uri": "https://legacy.example.com/cb", "response_type": "code"}
    reply = ask(site, "GET", f"/authorize?{urlencode(asked)}")
    code = reply.header("location").partition("code=")[2].partition("&")[0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": asked["redirect_uri"]}
    assert "access_token" in exchange(site, "", {**form, "client_id": "legacy"})
    assert "error" in codes(authorize(site, code_challenge=""))


def test_the_file_is_read_again(settings, monkeypatch):
    """When it changes, or when asked to; a broken one changes nothing and is told."""
    monkeypatch.setattr("py_identity_model.testing._serve.rules.LOOK_EVERY", 0)
    site = site_of(file=SettingsFile(settings))
    settings.write_text('audience = "changed"')
    assert claims(site, tokens(site)["access_token"])["aud"] == "changed"
    settings.write_text("audience = ")
    assert claims(site, tokens(site)["access_token"])["aud"] == "changed"
    assert read(ask(site, "GET", "/_control"))["claims_file"]["code"] == "toml_invalid"
    assert ask(site, "POST", "/_control/claims/reload").status == 400
    settings.write_text("users = [{sub = 'a'}, {sub = 'b'}]")
    assert read(ask(site, "POST", "/_control/claims/reload"))["users"] == 2
    settings.unlink()
    assert read(ask(site, "POST", "/_control/claims/reload"))["error"]["code"] == "claims_file_invalid"
    assert set(read(ask(site, "GET", "/_control/users"))["users"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "toml", "code", "field"),
    [
        (b"{", False, "json_invalid", None),
        (b'{"rules": 1}', False, "field_invalid", "rules"),
        (b'{"rules": [{"when": {"a": 1}}]}', False, "field_invalid", "rules"),
        (b'{"rules": [{"tokens": ["cookie"]}]}', False, "field_invalid", "rules[0].tokens"),
        (b'{"ruels": []}', False, "field_invalid", "ruels"),
        (b'{"users": [{"name": "Ada"}]}', False, "field_invalid", "users[0].sub"),
        (b'{"clients": [{"redirect_uris": []}]}', False, "field_invalid", "clients[0].client_id"),
        (b"x = 1\nx = 2", True, "toml_invalid", None),
        (b"\xff", True, "toml_invalid", None),
        (b"users = [{sub = 'a', born = 1815-12-10}]", True, "field_invalid", "users[0].born"),
        (b"users = [{sub = 'a', height = inf}]", True, "field_invalid", "users[0].height"),
        (b"users = [{sub = 'a', height = nan}]", True, "field_invalid", "users[0].height"),
    ],
)
def test_a_file_that_says_nonsense_is_refused(text, toml, code, field):
    """With the place and the reason."""
    with pytest.raises(ConfigurationException) as refusal:
        read_settings(text, toml)
    assert refusal.value.code == code
    assert (refusal.value.claim or "").startswith(field or "")


def test_the_page_names_every_call():
    """The documentation's table has each path of the control API with each of its methods, and no other."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "test-provider.md").read_text("utf-8")
    named = {re.sub(r"{\w+}", "{}", call) for call in re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", page)}
    assert named == {f"{method} {path.replace('/?', '/').replace(PART, '{}')}" for method, path in CALLS}
