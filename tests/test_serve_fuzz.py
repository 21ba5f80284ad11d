"""Whatever is sent to the served provider, it answers: no request raises, and no header carries a line break."""

from __future__ import annotations

import json
import os
import random
from urllib.parse import urlencode

import pytest

from py_identity_model._core.base.flow import Request
from py_identity_model.testing import FAULTS, FORGERIES
from py_identity_model.testing._serve.control import CALLS
from py_identity_model.testing._serve.site import _RESERVED, ProviderSite
from test_serve_control import ASKED, PART, read, site_of

REQUESTS = int(os.environ.get("FUZZ_SERVE", "800"))
ODD = [
    "",
    "a",
    "[",
    "//",
    "..",
    "%00",
    "%zz",
    "\x00",
    "\r\n",
    "é",
    "漢",
    "{",
    "null",
    "-1",
    "1e999",
    "NaN",
    '"',
    "a" * 3000,
]
ODD += ["http://[", "http://localhost:99999/", "http://localhost/", "openid", "none", "login", "S256", "code", "shop"]
ODD += ["eyJhbGciOiJub25lIn0.eyJhIjoiXHVkODAwIn0.", "a.b.c", "ES256", "HS256", "client_credentials", "refresh_token"]
VALUES = [*ODD, None, 0, -1, 1.5, 10**30, 1e308, True, [], {}, [[]], {"a": {}}, ["a"], "\ud800", *FAULTS]
PARAMETERS = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "code_challenge",
    "state",
    "nonce",
    "prompt",
    "max_age",
    "acr_values",
    "login_hint",
    "request_uri",
    "resource",
    "audience",
    "grant_type",
    "code",
    "client_secret",
    "refresh_token",
    "device_code",
    "token",
    "id_token_hint",
    "user_code",
    "request",
    "user",
    "post_logout_redirect_uri",
    "subject",
    "claims",
    "acr",
    "deny",
    "allow",
    "do",
    "fault",
    "on",
    "times",
    "advance",
    "frozen",
    "real",
    "decision",
    "error",
    "refresh",
]
MEMBERS = [
    "subject",
    "claims",
    "acr",
    "amr",
    "auth_time",
    "error",
    "times",
    "when",
    "kind",
    "audience",
    "client_id",
    "expires_in",
    "alg",
    "headers",
    "name",
    "fault",
    "on",
    "options",
    "now",
    "advance",
    "frozen",
    "keep_previous",
    "publish",
    "client_secret",
    "redirect_uris",
    "require_pkce",
    "approve",
]


class Dice(random.Random):
    """Requests at random."""

    def some(self, names, values):
        return {self.choice(names): self.choice(values) for _ in range(self.randrange(5))}

    def control(self):
        """Return a call of the control API."""
        method, pattern = self.choice(list(CALLS))
        path = pattern.replace("/?", "").replace(PART, self.choice(["1", "ada", "es256-1", "%2f", "%ff"]))
        bodies = [
            self.some(MEMBERS, VALUES),
            {
                "fault": self.choice(list(FAULTS)),
                "options": {self.choice(["seconds", "size", "to"]): self.choice(VALUES)},
            },
            {"name": self.choice(list(FORGERIES)), "alg": self.choice(["ES256", "HS256", "x"])},
            {
                "kind": self.choice(["access_token", "id_token", "userinfo"]),
                "claims": self.some(["exp", "state"], VALUES),
            },
        ]
        headers = {"content-type": "application/json"}
        return method, f"/_control{path}?{urlencode(self.some(['after', 'limit'], ODD))}", headers, self.choice(bodies)

    def protocol(self):
        """Return a request to an endpoint or a page."""
        asked = {**ASKED, **self.some(PARAMETERS, ODD)}
        form = self.choice(
            [asked, self.some(PARAMETERS, ODD), {"request": urlencode(asked), "subject": self.choice(ODD)}]
        )
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
        headers |= {"origin": self.choice(["http://localhost", *ODD]), "cookie": self.choice(ODD)}
        headers["authorization"] = self.choice(["Basic ", "Bearer ", "DPoP ", ""]) + self.choice(ODD)
        path = self.choice([*sorted(_RESERVED), "", ".well-known/openid-configuration", "try/callback"])
        query = urlencode(self.choice([asked, self.some(PARAMETERS, ODD)]))
        return self.choice(["GET", "POST", "OPTIONS", "PUT", "HEAD"]), f"/{path}?{query}", headers, form

    def request(self):
        """Return a request of either kind."""
        method, path, headers, body = self.choice([self.control, self.protocol])()
        content = json.dumps(body) if "json" in headers["content-type"] else urlencode(body)
        if self.random() < 0.05:
            content = self.choice(ODD)
        issuer = self.choice(["", "/a", "/b", f"/{self.choice(ODD)}"])
        told = (("host", "localhost"), *headers.items())
        return Request(method, f"http://localhost:8080{issuer}{path}", told, content.encode())


@pytest.mark.parametrize("seed", range(2))
def test_every_request_is_answered(seed: int) -> None:
    """Requests at random, to the protocol, the pages and the control; FUZZ_SERVE says how many."""
    dice, site = Dice(seed), site_of(pages=True)
    for _ in range(REQUESTS // 2):
        request = dice.request()
        reply = site.answer(request).reply
        for _, value in reply.headers:
            assert not {"\r", "\n"} & set(value), request.url
            value.encode("latin-1")
        if "/_control" in request.url:
            assert reply.status < 500


@pytest.fixture
def site() -> ProviderSite:
    """A site with pages."""
    return site_of(pages=True)


def send(site, method, path, body=b"", **headers):
    told = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return site.answer(Request(method, f"http://localhost:8080{path}", tuple(told.items()), body)).reply


def test_credentials_that_are_no_text_are_wrong_credentials(site: ProviderSite) -> None:
    """HTTP Basic with octets that are no ASCII, and a page that shows such a request."""
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert send(site, "POST", "/token", b"grant_type=x", authorization="Basic é", **form).status == 401
    assert send(site, "GET", "/flow").status == 200
    assert read(send(site, "GET", "/_control/requests"))["requests"][0]["client_id"] == ""


def test_half_a_character_is_shown_somehow(site: ProviderSite) -> None:
    """JSON may name half of a pair of surrogates, which no page can hold."""
    body = json.dumps({"name": "\ud800"}).encode()
    send(site, "PUT", "/_control/users/ada", body, content_type="application/json")
    token = site.named().mint(subject="ada", note="\ud800")
    assert send(site, "GET", "/userinfo", authorization=f"Bearer {token}").status == 401
    assert [send(site, "GET", path).status for path in ("/", "/flow")] == [200, 200]


def test_a_key_is_made_where_all_were_revoked(site: ProviderSite) -> None:
    """Rotating without a key makes the first one of the issuer's algorithms again."""
    headers = {"content_type": "application/json"}
    send(site, "DELETE", "/_control/keys/es256-1", **headers)
    assert read(send(site, "POST", "/_control/keys/rotate", b"{}", **headers))["kid"] == "es256-2"
