"""The pages of the served provider without a browser: logins, sessions, logouts, and what strangers cannot do there."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from py_identity_model.testing._serve.flow_page import taken_apart
from py_identity_model.testing._serve.login_pages import PROTOCOL, read_claims
from py_identity_model.testing._serve.site import ProviderSite
from test_serve_control import ASKED, BACK, BASE, VERIFIER, ask, authorize, codes, exchange, read, site_of


@pytest.fixture
def site() -> ProviderSite:
    """A site with pages."""
    return site_of(pages=True)


class Browser:
    """A browser as far as these pages need one: one cookie, forms, and the headers that browsers send."""

    def __init__(self, site: ProviderSite) -> None:
        self.site = site
        self.cookie = ""

    def get(self, path, **headers):
        """Open a path."""
        return self._kept(ask(self.site, "GET", path, **{"accept": "text/html", "cookie": self.cookie, **headers}))

    def post(self, path, fields, **headers):
        """Post a form from our own page."""
        sent = {"origin": BASE, "sec_fetch_site": "same-origin", "cookie": self.cookie, **headers}
        sent["content_type"] = "application/x-www-form-urlencoded"
        return self._kept(ask(self.site, "POST", path, urlencode(fields).encode(), **sent))

    def _kept(self, reply):
        for value in reply.header_values("set-cookie"):
            self.cookie = value.partition(";")[0]
        return reply

    def authorize(self, **parameters):
        """Begin a login."""
        return self.get(f"/authorize?{urlencode({**ASKED, **parameters})}")

    def log_in(self, subject="ada", fields=(), **parameters):
        """Log in on the page; return the redirect."""
        page = self.authorize(**parameters)
        return self.post("/login", {"request": carried(page), "subject": subject, **dict(fields)})


def carried(page):
    """Return the request that a page carries on."""
    found = re.search(r'name="request" value="([^"]*)"', page.body.decode())
    assert found is not None, page.body
    return unescape(found[1])


def token(site, reply, kind="id_token"):
    """Exchange the code of a redirect; return the claims of the token."""
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, "code_verifier": VERIFIER, "client_id": "shop"}
    got = exchange(site, "", {**form, "code": codes(reply)["code"]})
    return site.named().claims_of(got[kind])


# ---- logging in


def test_a_login_on_the_page(site):
    """The page carries the request on; who is typed logs in, with these claims, and comes back with the state."""
    browser = Browser(site)
    page = browser.authorize(login_hint="eve")
    assert (page.status, b'value="eve"' in page.body) == (200, True)
    done = browser.post("/login", {"request": carried(page), "subject": "ada", "claims": '{"roles": ["x"]}'})
    assert (done.status, codes(done)["state"], codes(done)["iss"]) == (303, "s-1", urlencode({"": BASE})[1:])
    said = token(site, done)
    assert (said["sub"], said["roles"]) == ("ada", ["x"])


def test_a_session_needs_no_second_login(site):
    """Until it is asked for: prompt, a login that is too old, another authentication context."""
    browser = Browser(site)
    browser.log_in()
    assert token(site, browser.authorize())["sub"] == "ada"
    assert "code" in codes(browser.authorize(prompt="none"))
    for parameters in ({"prompt": "login"}, {"prompt": "select_account"}, {"acr_values": "gold silver"}):
        assert browser.authorize(**parameters).status == 200
    site.named().clock.advance(100)
    assert browser.authorize(max_age="50").status == 200
    assert browser.authorize(max_age="1000").status == 302
    assert codes(browser.authorize(prompt="none", max_age="50"))["error"] == "login_required"


def test_the_session_keeps_when_and_how(site):
    """auth_time is that of the login, acr what was chosen."""
    browser = Browser(site)
    first = token(site, browser.log_in(fields={"acr": "gold"}, acr_values="gold"))
    site.named().clock.advance(100)
    second = token(site, browser.authorize(acr_values="gold"))
    assert (first["acr"], second["acr"]) == ("gold", "gold")
    assert second["auth_time"] == first["auth_time"]
    assert second["iat"] - first["iat"] >= 100


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"prompt": "none"}, "login_required"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "²"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
    ],
)
def test_requests_that_cannot_be_fulfilled(site, parameters, error):
    """The application is told at its redirect address."""
    assert codes(Browser(site).authorize(**parameters))["error"] == error


def test_consent_is_asked_for_if_wanted(site):
    """prompt=consent shows who is logged in what is asked for; somebody else logs in first."""
    browser = Browser(site)
    assert b"Log in" in browser.authorize(prompt="consent").body
    browser.log_in()
    page = browser.authorize(prompt="consent")
    assert b"Allow access" in page.body
    assert "code" in codes(browser.post("/login", {"request": carried(page), "allow": "yes"}))
    refused = codes(browser.post("/login", {"request": carried(page), "deny": "yes"}))
    assert (refused["error"], refused["state"]) == ("access_denied", "s-1")
    stranger = Browser(site).post("/login", {"request": carried(page), "allow": "yes"})
    assert (stranger.status, b"Somebody else" in stranger.body) == (200, True)


def test_a_pushed_request_survives_the_page(site):
    """request_uri is good once; the page goes on with what was pushed."""
    form = {"content_type": "application/x-www-form-urlencoded"}
    pushed = read(ask(site, "POST", "/par", urlencode(ASKED).encode(), **form))
    browser = Browser(site)
    page = browser.get(f"/authorize?{urlencode({'client_id': 'shop', 'request_uri': pushed['request_uri']})}")
    done = browser.post("/login", {"request": carried(page), "user": "ada"})
    assert token(site, done)["sub"] == "ada"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subject": " "}, "subject"),
        ({"subject": "a" * 256}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "ada", "claims": "{"}, "claims"),
        ({"subject": "ada", "claims": "[1]"}, "claims"),
        ({"subject": "ada", "claims": '{"a": 1, "a": 2}'}, "claims"),
        ({"subject": "ada", "claims": '{"a": NaN}'}, "claims"),
        ({"subject": "ada", "claims": "[" * 100_000}, "claims"),
        *(({"subject": "ada", "claims": f'{{"{name}": 1}}'}, "claims") for name in sorted(PROTOCOL)),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(site, fields, field):
    """Nothing is granted, and what was typed is still there."""
    browser = Browser(site)
    reply = browser.post("/login", {"request": carried(browser.authorize()), **fields})
    text = reply.body.decode()
    assert (reply.status, f'id="{field}-error"' in text, "set-cookie" in dict(reply.headers)) == (422, True, False)
    assert f'aria-describedby="{field}-error' in text


def test_typed_text_is_never_markup(site):
    """Whatever is typed, or comes in a request, is shown as the text that it is."""
    evil = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'</textarea>"
    browser = Browser(site)
    pages = [
        browser.authorize(login_hint=evil, client_id=evil, acr_values=evil, state=evil, odd=evil),
        browser.post("/login", {"request": carried(browser.authorize()), "subject": evil, "claims": evil}),
        browser.authorize(redirect_uri=evil),
        browser.get(f"/device?{urlencode({'user_code': evil})}"),
        browser.post("/console", {"do": "queue", "claims": evil, "subject": evil}),
        browser.get(f"/try/callback?{urlencode({'error': evil})}"),
    ]
    ask(site, "PUT", "/_control/users/ada", {"name": evil, evil: evil})
    ask(site, "POST", "/_control/next-logins", {"error": evil, "claims": {evil: evil}, "when": {"none": "x"}})
    ask(site, "POST", "/token", evil.encode(), authorization=f"Basic {evil}", origin=evil)
    ask(site, "GET", f"/authorize?{urlencode({evil: evil})}")
    pages += [browser.authorize(), browser.get("/"), browser.get("/flow")]
    for page in pages:
        text = page.body.decode()
        assert "<script" not in text
        assert "<img" not in text
        assert text.count("</textarea>") == text.count("<textarea")


def test_a_login_that_cannot_begin_is_explained(site):
    """A browser gets a page that says why and what helps; a program gets the JSON."""
    asked = {"redirect_uri": "https://shop.example.com/cb"}
    page = Browser(site).authorize(**asked)
    assert (page.status, page.media_type, b"--claims" in page.body) == (400, "text/html", True)
    assert authorize(site, **asked).media_type == "application/json"
    twice = Browser(site).get("/authorize?client_id=a&client_id=b")
    assert (twice.status, twice.media_type) == (400, "text/html")


# ---- what strangers cannot do


@pytest.mark.parametrize("path", ["/login", "/logout", "/device", "/console", "/try"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_forms_of_other_sites_are_refused(site, path, headers):
    """Nobody is logged in or out, and nothing is changed, by a page that a developer happens to visit."""
    browser = Browser(site)
    browser.log_in()
    before = (len(site.named().held_keys()), browser.cookie)
    reply = browser.post(path, {"do": "rotate", "request": urlencode(ASKED), "subject": "eve"}, **headers)
    assert (reply.status, "location" in dict(reply.headers)) == (403, False)
    assert (len(site.named().held_keys()), browser.cookie) == before
    assert "code" in codes(browser.authorize(prompt="none"))


def test_the_login_form_checks_the_request_again(site):
    """What a form carries is no more trusted than an address."""
    forged = {**ASKED, "redirect_uri": "https://evil.example.com/"}
    reply = Browser(site).post("/login", {"request": urlencode(forged), "subject": "ada"})
    assert (reply.status, reply.media_type, "location" in dict(reply.headers)) == (400, "text/html", False)


def test_pages_run_no_script_and_stand_in_no_frame(site):
    """Every page has a policy that allows its own style and nothing else; nobody keeps or sniffs it."""
    browser = Browser(site)
    pages = [browser.authorize(), *(browser.get(path) for path in ("/", "/flow", "/try", "/device", "/login"))]
    for page in pages:
        policy = page.header("content-security-policy")
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.header("cache-control") == "no-store"
        assert page.header("x-content-type-options") == "nosniff"
        assert re.findall(r'(?:src|href)="(?!/|\?)', page.body.decode()) == []


@pytest.mark.parametrize(
    "uri", ["http://localhost:3000/;script-src", "com.example.app:/;script-src", "http://[::1]:3000/;script-src"]
)
def test_an_address_adds_nothing_to_the_policy(site, uri):
    """What an application names as its address cannot loosen the policy of the page."""
    policy = Browser(site).authorize(redirect_uri=uri).header("content-security-policy")
    assert policy.count(";") == 4
    assert "script-src" not in policy


def test_the_cookie_is_for_its_issuer(site):
    """One issuer's session is none at another; scripts cannot read it."""
    browser = Browser(site)
    page = browser.get(f"/one/authorize?{urlencode(ASKED)}")
    browser.post("/one/login", {"request": carried(page), "subject": "ada"})
    reply = browser.post("/one/login", {"request": carried(page), "subject": "ada"})
    (cookie,) = reply.header_values("set-cookie")
    assert cookie.endswith("; Path=/one/; HttpOnly; SameSite=Lax")
    assert codes(browser.authorize(prompt="none"))["error"] == "login_required"


# ---- logging out


def test_a_logout_asks_unless_the_application_proves_itself(site):
    """With the ID token it was given the session ends at once; with none, or another's, the user is asked."""
    browser = Browser(site)
    reply = browser.log_in()
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, "code_verifier": VERIFIER, "client_id": "shop"}
    hint = exchange(site, "", {**form, "code": codes(reply)["code"]})["id_token"]
    for asked in ({}, {"id_token_hint": hint[:-3] + "AAA"}, {"id_token_hint": site.named("other").mint("id_token")}):
        assert b"Do you want to log out?" in browser.get(f"/end_session?{urlencode(asked)}").body
    assert "code" in codes(browser.authorize(prompt="none"))
    back = "http://localhost:3000/bye"
    out = {"id_token_hint": hint, "post_logout_redirect_uri": back, "state": "s-9"}
    done = browser.get(f"/end_session?{urlencode(out)}")
    assert (done.status, done.header("location")) == (302, f"{back}?state=s-9")
    assert codes(browser.authorize(prompt="none"))["error"] == "login_required"


def test_a_logout_that_was_confirmed(site):
    """The form ends the session, and leads back only where the application may lead."""
    browser = Browser(site)
    browser.log_in()
    page = browser.get(f"/end_session?{urlencode({'post_logout_redirect_uri': 'http://localhost:3000/bye'})}")
    forged = browser.post("/logout", {"request": "post_logout_redirect_uri=https%3A%2F%2Fevil.example.com"})
    assert forged.status == 400
    done = browser.post("/logout", {"request": carried(page)})
    assert done.header("location") == "http://localhost:3000/bye"
    away = browser.get("/end_session?post_logout_redirect_uri=https%3A%2F%2Fevil.example.com")
    assert away.status == 400


# ---- the trial, the flow, addresses of browsers


def test_a_trial_shows_the_flow(site):
    """The client of the pages logs in, and the flow names each step and decodes the tokens."""
    browser = Browser(site)
    begun = browser.post("/try", {"scope": "openid email", "login_hint": "ada"})
    location = urlsplit(begun.header("location"))
    page = browser.get(f"{location.path}?{location.query}")
    done = browser.post("/login", {"request": carried(page), "subject": "ada"})
    back = urlsplit(done.header("location"))
    end = browser.get(f"{back.path}?{back.query}")
    assert end.header("location").startswith("/flow?client_id=try-it#step-")
    flow = unescape(browser.get("/flow?client_id=try-it").body.decode())
    for shown in ("Authorization request", "Login page", "Token request", "UserInfo request", '"sub": "ada"'):
        assert shown in flow
    again = browser.get(f"{back.path}?{back.query}")
    assert (again.status, b"no login was begun here" in again.body) == (400, True)


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "..", "e30.e30", "W10.W10.", "e30.W10.", f"{'[' * 9}.e30.", None])
def test_what_is_no_token_is_not_decoded(text):
    """Opaque tokens and damaged ones are shown as they are."""
    assert taken_apart(text) is None


def test_browsers_may_have_an_address_of_their_own():
    """In Compose programs reach http://oidc:8080 and browsers http://localhost:8080; the issuer is one."""
    site = site_of(pages=True, browser_url="http://localhost:9000")
    site.issuer = "http://oidc:8080"
    document = read(ask(site, "GET", "/shop/.well-known/openid-configuration", host="oidc:8080"))
    assert document["issuer"] == "http://oidc:8080/shop"
    assert document["token_endpoint"] == "http://oidc:8080/shop/token"
    assert document["authorization_endpoint"] == "http://localhost:9000/shop/authorize"
    assert document["end_session_endpoint"] == "http://localhost:9000/shop/end_session"
    browser = Browser(site)
    page = browser.get(f"/shop/authorize?{urlencode(ASKED)}", host="localhost:9000")
    fields = {"request": carried(page), "subject": "ada"}
    done = browser.post("/shop/login", fields, host="localhost:9000", origin="http://localhost:9000")
    assert dict(parse_qsl(urlsplit(done.header("location")).query))["iss"] == "http://oidc:8080/shop"


def test_issuers_may_end_with_a_slash():
    """As those of some providers do."""
    site = site_of(trailing_slash=True)
    assert read(ask(site, "GET", "/.well-known/openid-configuration"))["issuer"] == f"{BASE}/"
    document = read(ask(site, "GET", "/a/.well-known/openid-configuration"))
    assert (document["issuer"], document["jwks_uri"]) == (f"{BASE}/a/", f"{BASE}/a/jwks")
    assert ask(site, "GET", "/a/jwks").status == 200


def test_claims_may_have_any_other_name():
    """Names that are parameters elsewhere are claims here."""
    assert read_claims('{"state": "CA", "code": 1, "key": 2, "alg": "x"}')[1] is None


def test_unknown_methods_of_pages(site):
    """405, and what is allowed."""
    reply = ask(site, "PUT", "/flow")
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")
    assert ask(site, "POST", "/flow").status == 405
