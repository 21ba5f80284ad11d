"""The embedded provider's OAuth endpoints."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Request
from py_identity_model._core.client.device import DEVICE_CODE
from py_identity_model._core.jose.jws import half_hash
from py_identity_model.testing import Client, EmbeddedProvider

VERIFIER = "a-verifier-that-is-long-enough-to-be-one-0123456789"
CHALLENGE = b64url_encode(hashlib.sha256(VERIFIER.encode()).digest())
CALLBACK = "https://client.example.com/callback"


class Watch:
    """A clock the test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def provider(watch):
    provider = EmbeddedProvider(algorithms=["ES256"], clock=watch)
    provider.add_client(Client("public", None, (CALLBACK,), ("https://client.example.com/bye",)))
    provider.add_client(Client("other", "other-secret", (CALLBACK,)))
    return provider


def basic(name, secret):
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def post(provider, endpoint, auth=None, **form):
    """POST a form as the default client, or as *auth* says: a header value, or "" for none."""
    auth = basic(provider.client_id, provider.client_secret) if auth is None else auth
    headers = [("Content-Type", "application/x-www-form-urlencoded"), *([("Authorization", auth)] if auth else [])]
    return provider.handle(Request("POST", provider.url(endpoint), tuple(headers), urlencode(form).encode()))


def read(reply):
    return json.loads(reply.body)


def refusal(reply):
    return reply.status, read(reply)["error"]


def authorize(provider, **changes):
    """Send the browser to the authorization endpoint; return what comes back to the client."""
    given = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": CALLBACK,
        "scope": "openid profile",
        "state": "s-1",
        "nonce": "n-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    query = urlencode({name: value for name, value in given.items() if value is not None})
    reply = provider.handle(Request("GET", f"{provider.url('authorize')}?{query}"))
    if reply.status != 302:
        return reply
    location = urlsplit(reply.header("location"))
    assert location._replace(query="").geturl() == changes.get("redirect_uri", CALLBACK)
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def login(provider, **changes):
    """Go through the code flow; return the token response."""
    code = authorize(provider, **changes)["code"]
    return read(exchange(provider, code))


def exchange(provider, code, **changes):
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return post(provider, "token", **{**form, **changes})


# ---- client authentication


def test_clients_authenticate_by_basic_or_in_the_body(provider):
    """Both ways of RFC 6749 2.3.1 work, and public clients give their name only."""
    grant = {"grant_type": "client_credentials"}
    assert post(provider, "token", **grant).status == 200
    body = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    assert post(provider, "token", "", **grant, **body).status == 200
    assert refusal(post(provider, "token", "", client_id="public", **grant)) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    ("auth", "form", "expected"),
    [
        ("", {}, (401, "invalid_client")),
        ("", {"client_id": "embedded-client"}, (401, "invalid_client")),
        ("", {"client_id": "public", "client_secret": "x"}, (401, "invalid_client")),
        (basic("embedded-client", "wrong"), {}, (401, "invalid_client")),
        ("Basic %%%", {}, (401, "invalid_client")),
        ("Bearer x", {}, (401, "invalid_client")),
        (basic("other", "other-secret"), {"client_secret": "other-secret"}, (400, "invalid_request")),
    ],
)
def test_wrong_credentials_are_refused(provider, auth, form, expected):
    """A wrong secret is invalid_client with a challenge, two methods at once invalid_request."""
    reply = post(provider, "token", auth, grant_type="client_credentials", **form)
    assert refusal(reply) == expected
    assert (reply.header("www-authenticate") is not None) == (reply.status == 401)
    assert reply.header("cache-control") == "no-store"


def test_basic_credentials_are_form_encoded(provider):
    """A colon or percent sign in a client_id survives HTTP Basic (RFC 6749 2.3.1)."""
    provider.add_client(Client("a:b%", "c+d e"))
    auth = basic("a%3Ab%25", "c%2Bd+e")
    assert post(provider, "token", auth, grant_type="client_credentials").status == 200


def test_unlawful_token_requests_are_refused(provider):
    """An unknown grant, a parameter given twice and a GET each get their own answer."""
    assert refusal(post(provider, "token", grant_type="password")) == (400, "unsupported_grant_type")
    twice = Request(
        "POST",
        provider.url("token"),
        (("content-type", "application/x-www-form-urlencoded"),),
        b"grant_type=a&grant_type=b",
    )
    assert refusal(provider.handle(twice)) == (400, "invalid_request")
    assert provider.handle(Request("GET", provider.url("token"))).status == 405


# ---- client credentials


def test_client_credentials_give_an_access_token_and_nothing_else(provider):
    """The client is its own subject, scope and resource are honoured, and there is no refresh token."""
    answer = read(
        post(provider, "token", grant_type="client_credentials", scope="read", resource="https://other.example.com")
    )
    claims = provider.claims_of(answer["access_token"])
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope"}
    assert (claims["sub"], claims["client_id"], claims["scope"]) == (provider.client_id, provider.client_id, "read")
    assert claims["aud"] == "https://other.example.com"


# ---- code flow


def test_the_code_flow_ends_in_tokens(provider):
    """The callback carries code, state and iss; the ID token carries nonce and at_hash."""
    back = authorize(provider)
    assert (back["state"], back["iss"]) == ("s-1", provider.issuer)
    answer = read(exchange(provider, back["code"]))
    claims = provider.claims_of(answer["id_token"])
    assert (claims["nonce"], claims["aud"], claims["sub"]) == ("n-1", provider.client_id, "alice")
    assert claims["at_hash"] == half_hash("ES256", answer["access_token"])
    assert answer["refresh_token"]


def test_login_hint_says_who_signs_in(provider):
    """The subject follows login_hint."""
    answer = login(provider, login_hint="bob", scope="read")
    assert provider.claims_of(answer["access_token"])["sub"] == "bob"
    assert "id_token" not in answer


@pytest.mark.parametrize("changes", [{"client_id": "nobody"}, {"redirect_uri": CALLBACK + "/x"}])
def test_nobody_is_redirected_to_an_unchecked_address(provider, changes):
    """An unknown client or redirect_uri is an error page (RFC 6749 4.1.2.1)."""
    assert refusal(authorize(provider, **changes)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_other_mistakes_come_back_to_the_client(provider, changes, error):
    """The redirect carries error, state and iss, and no code."""
    back = authorize(provider, **changes)
    assert (back["error"], back["state"], back["iss"]) == (error, "s-1", provider.issuer)
    assert "code" not in back


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "wrong"},
        {"redirect_uri": "https://evil.example.com/"},
        {"auth": basic("other", "other-secret")},
        {"code": "made-up"},
    ],
)
def test_a_code_is_of_no_use_to_anybody_else(provider, changes):
    """Another verifier, redirect_uri, client or code is invalid_grant."""
    changes = {"code": authorize(provider)["code"], **changes}
    assert refusal(exchange(provider, changes.pop("code"), **changes)) == (400, "invalid_grant")


def test_a_code_lasts_a_minute(provider, watch):
    """An old code is invalid_grant."""
    code = authorize(provider)["code"]
    watch.now += 61
    assert refusal(exchange(provider, code)) == (400, "invalid_grant")


def test_a_code_that_is_used_again_takes_its_tokens_along(provider):
    """A replayed code revokes what came from it (RFC 6749 4.1.2)."""
    code = authorize(provider)["code"]
    answer = read(exchange(provider, code))
    assert refusal(exchange(provider, code)) == (400, "invalid_grant")
    assert read(post(provider, "introspect", token=answer["access_token"])) == {"active": False}


def test_a_callback_keeps_the_query_it_was_registered_with(provider):
    """Parameters are appended to a redirect_uri that has a query."""
    uri = CALLBACK + "?from=login"
    provider.add_client(Client("query", None, (uri,)))
    query = urlencode(
        {
            "response_type": "code",
            "client_id": "query",
            "redirect_uri": uri,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
    )
    reply = provider.handle(Request("GET", f"{provider.url('authorize')}?{query}"))
    assert reply.header("location").startswith(uri + "&code=")


# ---- pushed authorization requests


def test_a_pushed_request_is_used_once(provider):
    """A request_uri stands for what was pushed, for its client, one time (RFC 9126)."""
    pushed = read(
        post(
            provider,
            "par",
            response_type="code",
            redirect_uri=CALLBACK,
            code_challenge=CHALLENGE,
            code_challenge_method="S256",
            state="pushed",
        )
    )
    nothing = dict.fromkeys(("response_type", "scope", "nonce", "code_challenge", "code_challenge_method"))
    assert authorize(provider, request_uri=pushed["request_uri"], **nothing)["state"] == "pushed"
    assert refusal(authorize(provider, request_uri=pushed["request_uri"])) == (400, "invalid_request_uri")
    assert refusal(post(provider, "par", redirect_uri=CALLBACK, request_uri="x")) == (400, "invalid_request")
    assert refusal(post(provider, "par", redirect_uri="https://evil.example.com")) == (400, "invalid_request")


# ---- refresh


def test_refresh_tokens_rotate_and_betray_whoever_reuses_them(provider):
    """Each refresh gives a new refresh token; using the old one again revokes the family (RFC 9700 4.14.2)."""
    first = login(provider)
    second = read(post(provider, "token", grant_type="refresh_token", refresh_token=first["refresh_token"]))
    assert second["refresh_token"] != first["refresh_token"]
    assert "nonce" not in provider.claims_of(second["id_token"])
    again = post(provider, "token", grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert refusal(again) == (400, "invalid_grant")
    late = post(provider, "token", grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert refusal(late) == (400, "invalid_grant")


def test_a_refresh_is_no_login(provider, watch):
    """An ID token from a refresh tells when the user logged in, not when the refresh was (OpenID Connect Core 12.2)."""
    answer = login(provider)
    for _ in range(2):
        watch.now += 60
        answer = read(post(provider, "token", grant_type="refresh_token", refresh_token=answer["refresh_token"]))
        claims = provider.claims_of(answer["id_token"])
        assert (claims["iat"], claims["auth_time"]) == (watch.now, 1_700_000_000)


def test_a_refresh_may_ask_for_less_but_not_for_more(provider):
    """Narrower scope is granted once and does not narrow the grant; wider scope is invalid_scope."""
    token = login(provider)["refresh_token"]
    narrow = read(post(provider, "token", grant_type="refresh_token", refresh_token=token, scope="profile"))
    assert narrow["scope"] == "profile"
    wide = read(post(provider, "token", grant_type="refresh_token", refresh_token=narrow["refresh_token"]))
    assert wide["scope"] == "openid profile"
    more = post(provider, "token", grant_type="refresh_token", refresh_token=wide["refresh_token"], scope="admin")
    assert refusal(more) == (400, "invalid_scope")


# ---- device


def poll(provider, device_code, **changes):
    return post(provider, "token", **{"grant_type": DEVICE_CODE, "device_code": device_code, **changes})


def test_a_device_waits_and_then_gets_tokens(provider, watch):
    """One authorization_pending, slow_down for haste, then tokens, once (RFC 8628 3.5)."""
    started = read(post(provider, "device_authorization", scope="openid"))
    code = started["device_code"]
    assert started["user_code"] in started["verification_uri_complete"]
    assert refusal(poll(provider, code)) == (400, "authorization_pending")
    assert refusal(poll(provider, code)) == (400, "slow_down")
    watch.now += 10
    assert read(poll(provider, code))["id_token"]
    assert refusal(poll(provider, code)) == (400, "invalid_grant")


def test_the_user_of_a_device_decides(provider):
    """Approval answers at once, as the user who approved; denial is access_denied."""
    started = read(post(provider, "device_authorization"))
    provider.approve_device(started["user_code"], subject="bob")
    answer = read(poll(provider, started["device_code"]))
    assert provider.claims_of(answer["access_token"])["sub"] == "bob"
    started = read(post(provider, "device_authorization"))
    provider.deny_device(started["user_code"])
    assert refusal(poll(provider, started["device_code"])) == (400, "access_denied")


def test_a_device_code_expires_and_belongs_to_its_client(provider, watch):
    """Another client gets invalid_grant; after ten minutes it is expired_token."""
    code = read(post(provider, "device_authorization"))["device_code"]
    assert refusal(poll(provider, code, auth=basic("other", "other-secret"))) == (400, "invalid_grant")
    watch.now += 601
    assert refusal(poll(provider, code)) == (400, "expired_token")


# ---- about tokens


def test_introspection_tells_live_tokens_from_dead_ones(provider, watch):
    """Active tokens come with their claims; expired, unknown and foreign ones are only inactive."""
    answer = login(provider)
    state = read(post(provider, "introspect", token=answer["access_token"]))
    assert (state["active"], state["sub"], state["iss"]) == (True, "alice", provider.issuer)
    refresh = read(post(provider, "introspect", token=answer["refresh_token"]))
    assert (refresh["active"], refresh["client_id"]) == (True, provider.client_id)
    watch.now += 301
    for token in (answer["access_token"], "opaque", provider.mint()):
        assert read(post(provider, "introspect", token=token)) == {"active": False}
    assert refusal(post(provider, "introspect", "", token="x")) == (401, "invalid_client")


def test_revocation_ends_a_token_or_the_whole_grant(provider):
    """A revoked access token dies alone, a refresh token takes its access tokens along; always 200 (RFC 7009)."""
    one, two = login(provider), login(provider)
    assert post(provider, "revoke", token=one["access_token"]).status == 200
    assert read(post(provider, "introspect", token=one["access_token"])) == {"active": False}
    assert read(post(provider, "introspect", token=one["refresh_token"]))["active"]
    post(provider, "revoke", token=two["refresh_token"])
    assert read(post(provider, "introspect", token=two["access_token"])) == {"active": False}
    assert read(post(provider, "introspect", token=two["refresh_token"])) == {"active": False}
    assert post(provider, "revoke", token="nobody's").status == 200


def test_nobody_revokes_the_tokens_of_another_client(provider):
    """Another client's revocation is acknowledged and ignored."""
    token = login(provider)["access_token"]
    assert post(provider, "revoke", basic("other", "other-secret"), token=token).status == 200
    assert read(post(provider, "introspect", token=token))["active"]


def test_userinfo_knows_the_bearer(provider):
    """A live access token gives the account's claims; anything else a challenge."""
    token = login(provider)["access_token"]

    def ask(*headers):
        return provider.handle(Request("GET", provider.url("userinfo"), headers))

    assert read(ask(("Authorization", f"Bearer {token}")))["name"] == "Alice Liddell"
    for headers in ((), (("Authorization", "Bearer x"),), (("Authorization", f"Basic {token}"),)):
        reply = ask(*headers)
        assert refusal(reply) == (401, "invalid_token")
        assert reply.header("www-authenticate").startswith("Bearer")
    assert read(post(provider, "userinfo", "", access_token=token))["sub"] == "alice"


def test_logout_leads_back_to_registered_addresses_only(provider):
    """A known post_logout_redirect_uri gets the state, an unknown one is refused, none is a page."""

    def leave(**query):
        return provider.handle(Request("GET", f"{provider.url('end_session')}?{urlencode(query)}"))

    back = "https://client.example.com/bye"
    assert leave(post_logout_redirect_uri=back, state="s").header("location") == f"{back}?state=s"
    assert leave(post_logout_redirect_uri=back).header("location") == back
    assert refusal(leave(post_logout_redirect_uri="https://evil.example.com")) == (400, "invalid_request")
    assert leave().status == 200
