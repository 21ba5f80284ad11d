"""Logout: started here, through the browser, past the browser, and as a session that changes elsewhere."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import threading
import traceback
from dataclasses import FrozenInstanceError
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import py_identity_model._core.login.backchannel_logout as flows
import py_identity_model.aio._logout as aio_api
import py_identity_model.sync._logout as sync_api
from apis import ISSUER, NOW, Provider
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Clock, Reply
from py_identity_model._core.binding.replay import UsedValues
from py_identity_model._core.jose.jwe import Decryption, encrypt_compact
from py_identity_model._core.jose.jwe_keys import EncryptionKey
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.backchannel_logout import LOGOUT_EVENT, LogoutTokenPolicy, build_logout_answer
from py_identity_model._core.login.client import LoginClient
from py_identity_model._core.login.logout import (
    FrontChannelLogout,
    SessionVerdict,
    build_end_session_form,
    build_end_session_url,
    build_front_channel_answer,
    build_session_check,
    compute_session_state,
    parse_front_channel_logout,
    validate_front_channel_logout,
    validate_post_logout_state,
)
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._core.validation.revocations import Revoked
from py_identity_model.exceptions import (
    ConfigurationException,
    LogoutStateValidationException,
    LogoutTokenValidationException,
    NetworkException,
    PyIdentityModelException,
    TokenValidationException,
    ValidationException,
)
from py_identity_model.observability import add_observer, remove_observer
from py_identity_model.stores import MemoryStore
from py_identity_model.sync._validation import validators

ENDPOINT = "https://id.example.com/logout"
BACK = "https://app.example.com/bye"
KEY = SigningKey.generate("ES256", kid="k1")
RSA = SigningKey.generate("RS256", kid="r1")
FORM = "application/x-www-form-urlencoded"


# ---- RP-initiated


def parameters(url):
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def test_every_parameter_of_rp_initiated_logout():
    """The URL carries every parameter of RP-Initiated Logout 2, and those that a provider adds."""
    given = {
        "id_token_hint": "e30.e30.c2ln",
        "client_id": "app",
        "post_logout_redirect_uri": BACK + "?a=b&c",
        "state": "s&t=ä",
        "logout_hint": "ada@example.com",
        "ui_locales": "fr-CA fr en",
        "tenant": "blue",
    }
    url = build_end_session_url(ENDPOINT, **given)
    assert url.startswith(ENDPOINT + "?")
    assert parameters(url) == given


def test_the_positions_of_published_parameters():
    """Published code may give the parameters by position."""
    url = build_end_session_url(ENDPOINT, "hint", "app", BACK, "s", "ada", "fr")
    assert list(parameters(url).values()) == ["hint", "app", BACK, "s", "ada", "fr"]


def test_what_is_not_given_is_left_out():
    """Parameters that are None or empty are left out, and an endpoint's own query is kept."""
    assert build_end_session_url(ENDPOINT) == ENDPOINT
    assert build_end_session_url(ENDPOINT, "", state=None) == ENDPOINT
    assert build_end_session_url(ENDPOINT + "?p=b2c", client_id="a") == ENDPOINT + "?p=b2c&client_id=a"
    assert build_end_session_url(ENDPOINT + "?", client_id="a") == ENDPOINT + "?client_id=a"


def test_a_form_keeps_the_id_token_out_of_addresses():
    """A form carries the same parameters, and does not show the ID token."""
    form = build_end_session_form(ENDPOINT, "canary.id.token", state="s")
    assert (form.action, form.fields) == (ENDPOINT, (("id_token_hint", "canary.id.token"), ("state", "s")))
    assert "canary" not in repr(form)


@pytest.mark.parametrize(
    ("endpoint", "given"),
    [
        ("http://id.example.com/logout", {}),
        ("javascript:alert(1)", {}),
        ("https://user@id.example.com/logout", {}),
        (ENDPOINT + "#fragment", {}),
        ("", {}),
        (ENDPOINT + "?client_id=other", {"client_id": "app"}),
        (ENDPOINT, {"post_logout_redirect_uri": "javascript:alert(1)"}),
        (ENDPOINT, {"post_logout_redirect_uri": "/bye"}),
        (ENDPOINT, {"post_logout_redirect_uri": BACK + "#x"}),
        (ENDPOINT, {"state": 7}),
        (ENDPOINT, {"tenant": ["a"]}),
        (ENDPOINT, {"logout_hint": "\ud800"}),
    ],
)
def test_addresses_that_make_no_sense(endpoint, given):
    """[S1] [S28] No address is built that leads elsewhere, or that says something twice."""
    with pytest.raises(ConfigurationException):
        build_end_session_url(endpoint, **given)


def test_the_state_that_was_sent_comes_back():
    """A state that comes back as it was sent is good."""
    assert validate_post_logout_state("s", "s") is None


@pytest.mark.parametrize(
    ("expected", "returned"),
    [
        *(("s", returned) for returned in ("t", "S", "s ", "", None)),
        *((lost, returned) for lost in (None, "") for returned in ("s", "", None)),
        ("ä", "\ud800"),
    ],
)
def test_a_state_that_was_not_sent(expected, returned):
    """Another state, none, and whatever comes to a session that remembers none is refused."""
    with pytest.raises(LogoutStateValidationException) as caught:
        validate_post_logout_state(expected, returned)
    assert (caught.value.code, caught.value.claim) == ("logout_state_mismatch", "state")


def test_states_stay_secret():
    """The error about a state repeats neither."""
    sent, returned = ("canary-" + name for name in ("sent", "returned"))
    with pytest.raises(LogoutStateValidationException) as caught:
        validate_post_logout_state(sent, returned)
    assert "canary" not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))


def returned_from(url, **changes):
    """What a provider sends back: the state, as it came or changed."""
    state = {"state": parameters(url)["state"], **changes}
    query = urlencode({name: value for name, value in state.items() if value is not None})
    return dict(parse_qsl(query)).get("state")


def test_oidcc_client_test_rp_init_logout():
    """The browser is sent with hint, return address and state, and the return is accepted."""
    url = build_end_session_url(ENDPOINT, "e30.e30.c2ln", post_logout_redirect_uri=BACK, state="af0ifjsldkj")
    assert set(parameters(url)) == {"id_token_hint", "post_logout_redirect_uri", "state"}
    validate_post_logout_state("af0ifjsldkj", returned_from(url))


def test_oidcc_client_test_rp_init_logout_other_state():
    """A return with another state is noticed."""
    url = build_end_session_url(ENDPOINT, post_logout_redirect_uri=BACK, state="af0ifjsldkj")
    with pytest.raises(LogoutStateValidationException):
        validate_post_logout_state("af0ifjsldkj", returned_from(url, state="random"))


def test_oidcc_client_test_rp_init_logout_no_state():
    """A return without state is noticed where one was sent."""
    url = build_end_session_url(ENDPOINT, post_logout_redirect_uri=BACK, state="af0ifjsldkj")
    with pytest.raises(LogoutStateValidationException) as caught:
        validate_post_logout_state("af0ifjsldkj", returned_from(url, state=None))
    assert caught.value.actual == "none"


# ---- front-channel

SESSION = {"iss": ISSUER, "sid": "08a5019c-17e1-4977-8f42-65a12843ea02"}


def test_front_channel_requests_in_any_form():
    """A URL, a path, a query and parameters all say the same (Front-Channel Logout 2)."""
    query = urlencode(SESSION)
    for request in (
        f"https://app.example.com/fc?{query}",
        f"/fc?{query}&other=1",
        f"?{query}",
        query,
        SESSION,
        list(SESSION.items()),
    ):
        assert parse_front_channel_logout(request) == FrontChannelLogout(**SESSION)
        assert validate_front_channel_logout(request, ISSUER, SESSION["sid"]).sid == SESSION["sid"]


@pytest.mark.parametrize(
    "request_",
    [
        "iss=https%3A%2F%2Fid.example.com",
        "sid=1",
        "iss=a&sid=1&sid=2",
        "iss=a&iss=a&sid=1",
        "iss=a&sid=",
        "iss=&sid=",
        "iss=a&sid=%0d%0a",
        "iss=a&sid=%ff",
        "iss=a&sid=" + "s" * 2049,
        "iss=a&sid=b&" + "x" * 16384,
        "iss=a%20b&sid=1",
        "iss=a&sid=%7f",
        "&".join(f"p{n}=1" for n in range(33)),
        [("iss", "a"), ("sid", 7)],
    ],
)
def test_front_channel_requests_that_are_malformed(request_):
    """Half a session, one that is named twice, or one that nobody can have issued is refused."""
    with pytest.raises(ValidationException) as caught:
        parse_front_channel_logout(request_)
    assert caught.value.code == "front_channel_logout_invalid"


@pytest.mark.parametrize("sid", ["a b", " ", '!"~', "a+b", "-"])
def test_a_session_id_is_any_visible_text_and_spaces(sid):
    """Front-Channel Logout 3: a session ID may hold what an OAuth value may hold, 0x20 to 0x7E, the space too."""
    for query in (urlencode({"iss": ISSUER, "sid": sid}), {"iss": ISSUER, "sid": sid}):
        assert validate_front_channel_logout(query, ISSUER, sid).sid == sid


@pytest.mark.parametrize(
    ("issuer", "sid"),
    [
        (ISSUER + "/", SESSION["sid"]),
        ("https://evil.example.com", SESSION["sid"]),
        (ISSUER, SESSION["sid"].upper()),
        (ISSUER, SESSION["sid"][:-1]),
        (ISSUER, None),
    ],
)
def test_front_channel_requests_about_others(issuer, sid):
    """Issuer and session are compared exactly (O16)."""
    with pytest.raises(ValidationException) as caught:
        validate_front_channel_logout(SESSION, issuer, sid)
    assert caught.value.code == "front_channel_logout_mismatch"


def test_front_channel_requests_without_a_session():
    """A request that names no session could come from any page: it is refused unless that is accepted by name (O16)."""
    for request in ("/fc", "", {}, "/fc?other=1"):
        with pytest.raises(ValidationException):
            validate_front_channel_logout(request, ISSUER, "1")
        accepted = validate_front_channel_logout(request, ISSUER, "1", accept_logout_without_session=True)
        assert accepted == FrontChannelLogout()
    with pytest.raises(ValidationException):
        validate_front_channel_logout("iss=a&sid=b", ISSUER, "1", accept_logout_without_session=True)


def test_front_channel_settings():
    """An empty issuer or session turns no check off."""
    for issuer, sid in (("", "1"), (ISSUER, "")):
        with pytest.raises(ConfigurationException):
            validate_front_channel_logout(SESSION, issuer, sid)


def framed(**session):
    """Answer the request of the provider's frame as an application does: whose session ends, and with what words."""
    logout = validate_front_channel_logout(f"https://app.example.com/fc?{urlencode(session)}", **OWN)
    answer = build_front_channel_answer()
    assert (answer.status, "no-store" in dict(answer.headers)["Cache-Control"]) == (200, True)
    return logout


#: The session that this application keeps.
OWN = {"issuer": ISSUER, "sid": SESSION["sid"]}


def test_oidcc_client_test_rp_frontchannel_rpinitlogout():
    """A logout that began here: the frame comes first and ends the session, then the user comes back with the state."""
    url = build_end_session_url(ENDPOINT, client_id="app", post_logout_redirect_uri=BACK, state="af0ifjsldkj")
    assert framed(**SESSION).sid == OWN["sid"]
    validate_post_logout_state("af0ifjsldkj", returned_from(url))
    assert framed(**SESSION).sid == OWN["sid"]  # the frame may come again, and finds nothing to do


def test_oidcc_client_test_rp_frontchannel_opinitlogout():
    """A logout that began at the provider: the frame comes unasked, and ends this session and no other one."""
    assert framed(**SESSION).iss == ISSUER
    with pytest.raises(ValidationException):
        framed(**{**SESSION, "sid": "the-session-of-another-user"})


# ---- session management


def test_oidcc_client_test_session_management():
    """The frame is asked with client and session_state, and answers unchanged, then changed."""
    state = compute_session_state("app", "https://app.example.com", "browser-1")
    check = build_session_check("https://id.example.com:443/frame?x", "app", state)
    assert (check.origin, check.message) == ("https://id.example.com", f"app {state}")

    def frame(message, browser_state):
        """Answer as the provider's frame does (Session Management 3.2)."""
        client_id, _, told = message.rpartition(" ")
        salt = told.rpartition(".")[2]
        now = compute_session_state(client_id, "https://app.example.com", browser_state, salt)
        return "unchanged" if now == told else "changed"

    assert check.verdict(check.origin, frame(check.message, "browser-1")) is SessionVerdict.UNCHANGED
    assert check.verdict(check.origin, frame(check.message, "browser-2")) is SessionVerdict.CHANGED
    assert check.verdict(check.origin, "error") is SessionVerdict.ERROR


def test_session_state_is_salted():
    """The state is the hash of Session Management 3.2, with a new salt each time."""
    told = hashlib.sha256(b"app https://app.example.com browser salt").hexdigest() + ".salt"
    assert compute_session_state("app", "https://app.example.com", "browser", "salt") == told
    assert len({compute_session_state("app", "https://app.example.com", "browser") for _ in range(9)}) == 9


@pytest.mark.parametrize(
    ("sender", "data"),
    [
        ("https://evil.example.com", "changed"),
        ("https://id.example.com.evil.example.com", "changed"),
        ("http://id.example.com", "changed"),
        ("null", "changed"),
        ("https://id.example.com", "Changed"),
        ("https://id.example.com", ""),
        ("https://id.example.com", None),
        ("https://id.example.com", {"changed": 1}),
    ],
)
def test_messages_of_others(sender, data):
    """[S32] Only the provider's exact origin is believed, and only one of its three answers."""
    check = build_session_check("https://id.example.com/frame", "app", "a.b")
    with pytest.raises(ValidationException) as caught:
        check.verdict(sender, data)
    assert caught.value.code == "session_check_invalid"


@pytest.mark.parametrize(
    "fields",
    [
        ("http://id.example.com/frame", "app", "a.b"),
        ("https://id.example.com/frame", "my app", "a.b"),
        ("https://id.example.com/frame", "app", "a b"),
        ("https://id.example.com/frame", "app", ""),
        ("https://id.example.com/frame", "app", None),
    ],
)
def test_session_checks_that_make_no_sense(fields):
    """A message that the frame would misread is not built."""
    with pytest.raises(ConfigurationException):
        build_session_check(*fields)


# ---- back-channel: the token


def claims(**changes):
    good = {
        "iss": ISSUER,
        "aud": "app",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "bWJq",
        "sub": "248289761001",
        "sid": "08a5019c",
        "events": {LOGOUT_EVENT: {}},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def logout_token(*, key=KEY, typ="logout+jwt", **changes):
    return sign_compact(claims(**changes), key, typ=typ)


def config(**changes):
    fields = {"perform_disco": False, "key": KEY.public_jwk, "issuer": ISSUER, "audience": "app", **changes}
    return TokenValidationConfig(**fields)


def validate(token, config_=None, **policy):
    return flows.validate_logout_token(token, LogoutTokenPolicy(config_ or config(), **policy), validators)


def refusal(perform, token, config_=None, **policy):
    with pytest.raises(TokenValidationException) as caught:
        perform(validate(token, config_, **policy))
    return caught.value


@pytest.mark.parametrize("require_typ", [True, False])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"iat": NOW - 120}, None),
        ({"iat": NOW - 121}, "token_too_old"),
        ({"iat": NOW + 11}, "token_not_yet_valid"),
        ({"iat": None}, "claim_missing"),
        ({"jti": None}, "claim_missing"),
        ({"exp": NOW}, "token_expired"),
    ],
)
def test_logout_tokens_without_exp_by_name(api, clock, changes, code, require_typ):
    """Hydra's logout tokens lack exp: taken by name only, for two minutes, once, and each is told as an event."""
    events = []
    token = logout_token(**{"exp": None, **changes})
    receive = (sync_api if api.name == "sync" else aio_api).BackChannelLogoutReceiver
    body = urlencode({"logout_token": token})
    strict = receive(config())
    if "exp" not in changes:
        refused = api.call(strict.receive, body, FORM)
        assert refused.error_code == "claim_missing"
        assert refused.exception.claim in ("exp", "iat", "jti")
        if refused.exception.claim == "exp":
            assert "accept_logout_tokens_without_exp=True" in refused.exception.hint
    loose = receive(config(), require_typ=require_typ, accept_logout_tokens_without_exp=True)
    observer = events.append
    add_observer(observer)
    try:
        first = api.call(loose.receive, body, FORM)
    finally:
        remove_observer(observer)
    assert first.error_code == code
    if code is None:
        assert "logout_token_without_exp" in [event.name for event in events]
        clock.advance(100 if not changes else 0)
        assert api.call(loose.receive, body, FORM).error_code == "logout_token_replayed"


def test_logout_tokens_without_exp_need_a_memory(perform):
    """What may come without an end must not be taken twice."""
    with pytest.raises(ConfigurationException, match="store"):
        perform(validate(logout_token(exp=None), accept_logout_tokens_without_exp=True))


@pytest.mark.parametrize("changes", [{}, {"sid": None}, {"sub": None}, {"typ": None}, {"typ": "JWT"}])
def test_a_good_logout_token(perform, changes):
    """[L1] [L3] [L4] [L5] [L9] A logout token with sub, sid or both is accepted, with its typ or without."""
    result, sent = perform(validate(logout_token(**changes)))
    changes.pop("typ", None)
    assert (result, sent) == (claims(**changes), [])


def test_further_events_do_no_harm(perform):
    """[L5] Other members of events are ignored, and so are other claims."""
    events = {LOGOUT_EVENT: {"more": 1}, "https://example.com/other": "x"}
    assert perform(validate(logout_token(events=events, extra=1)))[0]["extra"] == 1


@pytest.mark.parametrize(
    ("changes", "code", "claim"),
    [
        ({"events": None}, "claim_missing", "events"),
        ({"events": {}}, "logout_event_missing", "events"),
        ({"events": []}, "logout_event_missing", "events"),
        ({"events": LOGOUT_EVENT}, "logout_event_missing", "events"),
        ({"events": {LOGOUT_EVENT: None}}, "logout_event_missing", "events"),
        ({"events": {LOGOUT_EVENT: True}}, "logout_event_missing", "events"),
        ({"events": {LOGOUT_EVENT: []}}, "logout_event_missing", "events"),
        ({"events": {LOGOUT_EVENT + "/": {}}}, "logout_event_missing", "events"),
        ({"events": {LOGOUT_EVENT.upper(): {}}}, "logout_event_missing", "events"),
        ({"nonce": "n-1"}, "kind_mismatch", "nonce"),
        ({"nonce": ""}, "kind_mismatch", "nonce"),
        ({"at_hash": "x"}, "kind_mismatch", "at_hash"),
        ({"sub": None, "sid": None}, "claim_missing", "sid"),
        ({"sid": ""}, "claim_type_invalid", "sid"),
        ({"sid": 7}, "claim_type_invalid", "sid"),
        ({"sub": ""}, "claim_type_invalid", "sub"),
        ({"jti": None}, "claim_missing", "jti"),
        ({"jti": ""}, "claim_type_invalid", "jti"),
        ({"jti": 7}, "claim_type_invalid", "jti"),
        ({"iat": None}, "claim_missing", "iat"),
        ({"exp": None}, "claim_missing", "exp"),
        ({"typ": "at+jwt"}, "typ_mismatch", "typ"),
        ({"typ": "secevent+jwt"}, "typ_mismatch", "typ"),
        ({"typ": "dpop+jwt"}, "typ_mismatch", "typ"),
    ],
)
def test_rules_of_logout_tokens(perform, changes, code, claim):
    """[L3] [L4] [L5] [L6] [L9] Each broken rule is a LogoutTokenValidationException that names the claim."""
    error = refusal(perform, logout_token(**changes))
    assert isinstance(error, LogoutTokenValidationException)
    assert (error.code, error.claim) == (code, claim)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://evil.example.com"}, "issuer_mismatch"),
        ({"iss": None}, "claim_missing"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"aud": None}, "claim_missing"),
        ({"exp": NOW}, "token_expired"),
        ({"iat": NOW + 60}, "token_not_yet_valid"),
        ({"key": SigningKey.generate("ES256", kid="k1")}, "signature_invalid"),
    ],
)
def test_rules_of_all_tokens(perform, changes, code):
    """[L2] [L3] Signature, issuer, audience and times are checked as in any token, with the same exceptions."""
    error = refusal(perform, logout_token(**changes))
    assert error.code == code
    assert not isinstance(error, LogoutTokenValidationException)


@pytest.mark.parametrize("changes", [{}, {"sid": None}, {"sub": None}])
def test_the_rules_by_themselves(changes):
    """[L6] The rules of logout tokens hold wherever the claims come from."""
    flows.check_logout_claims(claims(**changes))
    with pytest.raises(LogoutTokenValidationException) as caught:
        flows.check_logout_claims(claims(nonce="", **changes))
    assert caught.value.code == "logout_nonce_present"


def test_typ_can_be_required(perform):
    """[L9] On request only logout+jwt is accepted as typ."""
    assert perform(validate(logout_token(typ="Application/Logout+JWT"), require_typ=True))[0]["sid"]
    shared = config()
    for typ in (None, "JWT"):
        perform(validate(logout_token(typ=typ), shared))
        assert refusal(perform, logout_token(typ=typ), shared, require_typ=True).code == "typ_mismatch"


def test_encrypted_logout_tokens(perform):
    """[L1] Where encryption was agreed upon, the token is decrypted; one that is merely signed is refused."""
    recipient = SigningKey.generate("ES256").private_pem
    demand = {"decryption": Decryption(recipient)}
    token = encrypt_compact(logout_token(), recipient, alg="ECDH-ES", enc="A256GCM", cty="JWT")
    assert perform(validate(token, **demand))[0]["sid"] == "08a5019c"
    assert isinstance(refusal(perform, logout_token(), **demand), LogoutTokenValidationException)
    assert isinstance(refusal(perform, token), LogoutTokenValidationException)


def test_a_token_is_used_once(perform, clock):
    """[L7] With a replay memory a token is accepted once, whatever its order of claims, until it expires (C14)."""
    store = UsedValues()
    token = logout_token()
    perform(validate(token, store=store))
    error = refusal(perform, token, store=store)
    assert (error.code, error.claim) == ("logout_token_replayed", "jti")
    assert isinstance(error, LogoutTokenValidationException)
    assert refusal(perform, logout_token(exp=NOW + 60), store=store).code == "logout_token_replayed"
    perform(validate(logout_token(jti="another"), store=store))
    perform(validate(token))
    clock.advance(121)
    assert refusal(perform, token, store=store).code == "token_expired"


def test_the_memory_lasts_as_long_as_the_token(perform, clock):
    """[L7] Leeway makes a token live longer, and the memory with it."""
    store, lenient = UsedValues(), config(leeway=60)
    token = logout_token()
    perform(validate(token, lenient, store=store))
    clock.advance(179)
    assert refusal(perform, token, lenient, store=store).code == "logout_token_replayed"


def test_a_refused_token_is_not_used_up(perform):
    """[L7] Nobody can use up a token's jti with a token that is not good."""
    store = UsedValues()
    refusal(perform, logout_token(key=SigningKey.generate("ES256", kid="k1")), store=store)
    refusal(perform, logout_token(events={}), store=store)
    assert len(store) == 0
    perform(validate(logout_token(), store=store))


def test_a_memory_that_fails_lets_nothing_through(perform):
    """[L7] If nobody can tell whether a token was used, it is not accepted."""

    class Broken:
        def add(self, *args, **options):
            raise OSError("canary")

    with pytest.raises(NetworkException) as caught:
        perform(validate(logout_token(), store=Broken()))
    assert caught.value.code == "store_failed"


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d.e", "e30.e30.", 7, None, "x" * 70_000, "\ud800.e30.c2ln"])
def test_what_is_no_token(perform, token):
    """Whatever is no compact JWS is refused."""
    with pytest.raises(TokenValidationException):
        perform(validate(token))


# ---- back-channel: the request


@pytest.fixture
def receive(api, clock):
    """A function that judges a logout token as it comes in, and the receiver of each API behind it."""
    api_module = sync_api if api.name == "sync" else aio_api

    def build(config_=None, **options):
        receiver = api_module.BackChannelLogoutReceiver(config_ or config(), **options)

        def judge(token=None, *, body=None, content_type=FORM):
            text = urlencode({"logout_token": token}) if body is None else body
            return api.call(receiver.receive, text, content_type)

        return judge

    return build


def accepted(logout):
    assert logout.is_successful, logout.error
    assert (logout.answer.status, logout.answer.body) == (200, b"")
    assert "no-store" in dict(logout.answer.headers)["Cache-Control"]
    return True


def refused(logout, error="invalid_request"):
    assert not logout.is_successful
    assert logout.answer.status == 400
    headers = dict(logout.answer.headers)
    assert "no-store" in headers["Cache-Control"]
    assert headers["Content-Type"] == "application/json"
    assert json.loads(logout.answer.body) == {"error": error}
    with pytest.raises(PyIdentityModelException):
        logout.claims  # noqa: B018 # reading is what is tested
    return True


def test_oidcc_client_test_rp_backchannel_rpinitlogout(receive):
    """[L8] [L9] A valid logout token is answered with 200, and tells which session to end; its typ may be absent."""
    assert accepted(receive()(logout_token(typ=None)))
    assert refused(receive(require_typ=True)(logout_token(typ=None)))
    logout = receive()(logout_token())
    assert accepted(logout)
    assert logout.claims["sid"] == "08a5019c"


def test_oidcc_client_test_rp_backchannel_rpinitlogout_alg_none(receive):
    """[L2] [L8] [F36] An unsecured logout token is answered with 400."""
    _, payload, signature = logout_token().split(".")
    for head in ('{"alg":"none","typ":"logout+jwt"}', '{"alg":"None"}', '{"alg":""}'):
        for end in ("", signature):
            assert refused(receive()(f"{b64url_encode(head.encode())}.{payload}.{end}"))


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_alg(receive):
    """[L2] A logout token signed with another algorithm than the registered one is answered with 400."""
    both = {"perform_disco": True, "key": None, "algorithms": ["RS256"]}
    provider = Provider(k1=KEY, r1=RSA)
    judge = receive(config(**both), disco_doc_address=ISSUER, http_client=provider)
    assert refused(judge(logout_token()))
    assert accepted(judge(logout_token(key=RSA)))


def test_oidcc_client_test_rp_backchannel_rpinitlogout_no_event(receive):
    """[L5] A logout token without events is answered with 400 (C15)."""
    assert refused(receive()(logout_token(events=None)))


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_event(receive):
    """[L5] A logout token with another event is answered with 400 (C15)."""
    assert refused(receive()(logout_token(events={"http://schemas.openid.net/event/other": {}})))


def test_oidcc_client_test_rp_backchannel_rpinitlogout_with_nonce(receive):
    """[L6] A logout token with a nonce is answered with 400 (C15)."""
    assert refused(receive()(logout_token(nonce="n-1")))


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_aud(receive):
    """[L3] A logout token for another client is answered with 400."""
    assert refused(receive()(logout_token(aud="other")))


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_iss(receive):
    """[L3] A logout token of another issuer is answered with 400."""
    assert refused(receive()(logout_token(iss="https://evil.example.com")))


def test_receivers_remember(receive):
    """[L7] A receiver accepts each token once, without being told to."""
    judge = receive()
    token = logout_token()
    assert accepted(judge(token))
    assert judge(token).error_code == "logout_token_replayed"
    assert accepted(judge(logout_token(jti="another")))


def test_workers_share_a_memory(receive):
    """[L7] Receivers with one store accept a token once among them."""
    store = MemoryStore()
    first, second = receive(store=store), receive(store=store)
    assert accepted(first(logout_token()))
    assert refused(second(logout_token()))


def test_concurrent_copies_are_accepted_once():
    """[L7] Of many copies that come at once, one is accepted (C14)."""
    key = SigningKey.generate("ES256", kid="k1")
    fresh = TokenValidationConfig(False, key.public_jwk, issuer=ISSUER, audience="app")
    receiver = sync_api.BackChannelLogoutReceiver(fresh)
    body = urlencode({"logout_token": logout_token(key=key, iat=0, exp=10**10)})
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(receiver.receive(body, FORM))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(o.answer.status for o in outcomes) == [200] + [400] * 7


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", FORM),
        ("logout_token=", FORM),
        ("token=a", FORM),
        ("logout_token=a&logout_token=b", FORM),
        ('{"logout_token": "a"}', "application/json"),
        ("logout_token=a", None),
        ("logout_token=a", "multipart/form-data"),
        ("logout_token=" + "a" * 140_000, FORM),
        ("&".join(f"p{n}=1" for n in range(40)), FORM),
        (b"logout_token=%ff", FORM),
        (b"\xff", FORM),
    ],
)
def test_requests_that_are_none(receive, body, content_type):
    """[L8] A request without exactly one logout token is answered with 400 (Back-Channel Logout 2.5)."""
    logout = receive()(body=body, content_type=content_type)
    assert refused(logout)
    assert logout.error_code == "logout_request_invalid"


def test_requests_may_say_more(receive):
    """Other parameters and a charset do no harm, in text and in bytes."""
    body = urlencode({"logout_token": logout_token(), "other": "x"})
    assert accepted(receive()(body=body, content_type=FORM + "; charset=UTF-8"))
    assert accepted(receive()(body=body.encode()))


def test_keys_that_cannot_be_fetched(receive):
    """[L8] If a token cannot be judged right now the answer is 400, and no session is touched."""
    provider = Provider(k1=KEY)
    provider.fail = lambda request: Reply(503, (), b"", request.url)
    judge = receive(config(perform_disco=True, key=None), disco_doc_address=ISSUER, http_client=provider)
    logout = judge(logout_token())
    assert refused(logout, "temporarily_unavailable")
    assert isinstance(logout.exception, NetworkException)


def test_mistakes_of_our_own(receive):
    """A configuration that cannot be used is answered with 400 and told to nobody outside."""
    assert refused(receive(config(audience=None))(logout_token()), "server_error")
    with pytest.raises(ConfigurationException):
        sync_api.BackChannelLogoutReceiver({"audience": "app"})


def test_a_session_that_could_not_be_ended():
    """[L8] Where the application fails to end the session, whatever it raised, the answer is 400 and says no more."""
    answer = build_logout_answer(OSError("canary"))
    assert (answer.status, answer.body) == (400, b'{"error":"server_error"}')
    assert "no-store" in dict(answer.headers)["Cache-Control"]


# ---- whatever comes in

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from([LOGOUT_EVENT, "sub", "sid", "jti", "nonce", "events"]) | st.text(), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text() | st.lists(st.tuples(st.sampled_from(["iss", "sid", "x"]), st.text())))
def test_any_front_channel_request(request_):
    """Whatever a browser is made to send, a session comes out, none, or our own refusal."""
    try:
        asked = parse_front_channel_logout(request_)
    except ValidationException:
        return
    assert (asked.iss is None) is (asked.sid is None)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary() | st.text(), st.none() | st.just(FORM) | st.text())
def test_any_back_channel_request(body, content_type):
    """Whatever a stranger posts, a token comes out or our own refusal."""
    try:
        token = flows.parse_logout_request(body, content_type)
    except LogoutTokenValidationException:
        return
    assert token


@settings(max_examples=150, deadline=None, derandomize=True)
@given(JSON)
def test_any_claims(value):
    """[L4] [L5] [L6] Whatever the claims of a signed token, those of a logout come through and no others."""
    told = value if isinstance(value, dict) else {"events": value}
    try:
        flows.check_logout_claims(told)
    except LogoutTokenValidationException:
        return
    assert isinstance(told["events"][LOGOUT_EVENT], dict)
    assert "nonce" not in told
    assert {"sub", "sid"} & set(told)


# ---- both


def test_both_apis(api, clock):
    """Both APIs validate logout tokens, with keys from the provider, and with the published positions."""
    api_module = sync_api if api.name == "sync" else aio_api
    provider = Provider(k1=KEY)
    remote = TokenValidationConfig(True, audience="app")
    assert api.call(api_module.validate_logout_token, logout_token(), remote, ISSUER, provider)["sid"] == "08a5019c"
    assert provider.count("/jwks") == 1
    store = UsedValues()
    api.call(api_module.validate_logout_token, logout_token(), remote, ISSUER, provider, store=store)
    with pytest.raises(LogoutTokenValidationException):
        api.call(api_module.validate_logout_token, logout_token(), remote, ISSUER, provider, store=store)
    with pytest.raises(LogoutTokenValidationException):
        api.call(api_module.validate_logout_token, logout_token(typ="JWT"), remote, ISSUER, provider, require_typ=True)


@pytest.mark.parametrize("changes", [{"events": {}}, {"exp": NOW}, {"typ": "at+jwt"}, {"nonce": "n"}, {"aud": "x"}])
def test_tokens_stay_secret(receive, caplog, changes):
    """[S25] A refused logout token shows in no error, log or pickle."""
    caplog.set_level(logging.DEBUG)
    token = logout_token(**changes)
    logout = receive()(token)
    trace = "".join(traceback.format_exception(logout.exception))
    shown = repr(logout) + str(logout.error) + trace + caplog.text + repr(pickle.loads(pickle.dumps(logout)))
    assert not [part for part in token.split(".") if part in shown]


# ---- limits, to the last


def test_the_size_of_a_logout_request():
    """A logout request has at most 128 KiB."""
    body = "logout_token=".ljust(128 * 1024, "x")
    assert flows.parse_logout_request(body, "application/x-www-form-urlencoded") == body.partition("=")[2]
    with pytest.raises(LogoutTokenValidationException):
        flows.parse_logout_request(body + "x", "application/x-www-form-urlencoded")


def test_an_empty_logout_token_beside_a_good_one():
    """Two logout tokens are one too many, even if one of them is empty."""
    with pytest.raises(LogoutTokenValidationException):
        flows.parse_logout_request("logout_token=&logout_token=a.b.c", "application/x-www-form-urlencoded")


@pytest.mark.parametrize("name", ["sid", "jti"])
def test_the_length_of_names(name):
    """A session and a token have names of 1 to 2048 characters."""
    claims = {"events": {LOGOUT_EVENT: {}}, "sid": "s", "jti": "j"}
    for good in ("x", "x" * 2048):
        flows.check_logout_claims({**claims, name: good})
    for bad in ("", "x" * 2049, 7):
        with pytest.raises(LogoutTokenValidationException) as caught:
            flows.check_logout_claims({**claims, name: bad})
        assert caught.value.claim == name


def test_a_policy_does_not_change_and_shows_no_keys():
    """What is demanded of logout tokens stays as it is, and its keys stay out of logs."""
    keys = EncryptionKey.from_secret(bytes(32))
    policy = LogoutTokenPolicy(config(), decryption=Decryption(keys))
    with pytest.raises(FrozenInstanceError):
        policy.require_typ = True
    assert not hasattr(policy, "__dict__")
    assert "ecryption" not in repr(policy)


@pytest.mark.parametrize(("leeway", "lifetime"), [(None, 121.0), (30.0, 151.0)])
def test_how_long_a_used_token_is_remembered(monkeypatch, leeway, lifetime):
    """A used token is remembered for as long as it is accepted and a second more, from its iat on."""
    asked = []

    def first_use(memory, key, seconds, begins):
        asked.append((seconds, begins))
        return True
        yield

    monkeypatch.setattr(flows, "first_use", first_use)
    claims = {"iss": ISSUER, "jti": "1", "exp": NOW + 120, "iat": NOW - 5}
    flow = flows._use_once(claims, LogoutTokenPolicy(config(leeway=leeway)), None)
    next(flow)
    with pytest.raises(StopIteration):
        flow.send(Clock(float(NOW), 0.0))
    assert asked == [(lifetime, NOW - 4.0)]


@pytest.mark.parametrize(("fields", "good"), [(32, True), (33, False)])
def test_the_fields_of_a_logout_request(fields, good):
    """A logout request has at most 32 fields, blank ones included."""
    body = "&".join(["logout_token=a.b.c", *(f"f{at}=" for at in range(fields - 1))])
    if good:
        assert flows.parse_logout_request(body, "application/x-www-form-urlencoded") == "a.b.c"
        return
    with pytest.raises(LogoutTokenValidationException):
        flows.parse_logout_request(body, "application/x-www-form-urlencoded")


# ---- back-channel: limits


@pytest.mark.parametrize(("age", "good"), [(120, True), (125, True), (126, False)])
def test_a_token_without_exp_counts_for_two_minutes_and_the_leeway(perform, clock, age, good):
    """The refusal says how old it is, and what would have been accepted."""
    demand = {"accept_logout_tokens_without_exp": True, "store": UsedValues()}
    token = logout_token(exp=None, iat=NOW - age)
    if good:
        assert perform(validate(token, config(leeway=5), **demand))[0]["sub"] == "248289761001"
        return
    error = refusal(perform, token, config(leeway=5), **demand)
    assert (error.code, error.expected, error.actual) == ("token_too_old", "at most 120 s ago", NOW - age)
    assert "126 s ago" in str(error)


@pytest.mark.parametrize(
    ("exp", "leeway", "lifetime"),
    [(NOW + 60, 0, 61.0), (NOW + 60, 7, 68.0), (NOW - 3, 7, 8.0), (NOW, 7, 8.0), (None, 7, 128.0)],
)
def test_a_token_that_is_over_by_leeway_is_remembered_no_less(perform, clock, exp, leeway, lifetime):
    """As long as it could be used again: until exp, the leeway, and a second; what is over by leeway no less."""
    told = []

    class Store:
        def add(self, topic, key, value, seconds, *, made_at=None):
            told.append((seconds, made_at))
            return True

    demand = {"store": Store(), "accept_logout_tokens_without_exp": exp is None}
    perform(validate(logout_token(exp=exp), config(leeway=leeway), **demand))
    assert told == [(lifetime, NOW + 1.0)]


def test_whose_tokens_a_logout_ends():
    """Those of the session, for good; without one those that the user had until then, of the same second too."""
    assert flows.ended_by(claims()) == Revoked(sid="08a5019c", iss=ISSUER)
    everywhere = flows.ended_by(claims(sid=None))
    assert everywhere == Revoked(sub="248289761001", iss=ISSUER, before=NOW + 1)
    assert [everywhere.matches(claims(iat=when)) for when in (NOW, NOW + 1)] == [True, False]


def test_how_long_tokens_of_an_ended_session_are_refused(api):
    """For a second at least, and for ten years at most."""
    receiver = (sync_api if api.name == "sync" else aio_api).BackChannelLogoutReceiver
    for good in (1, 316_224_000):
        assert receiver(config(), revoked_for=good)
    for bad in (0.5, 0, 316_224_001):
        with pytest.raises(ConfigurationException) as caught:
            receiver(config(), revoked_for=bad)
        assert caught.value.claim == "revoked_for"


def test_whose_keys_open_a_token():
    """Those given for logout tokens, or those that the client has for its ID tokens."""
    mine, the_clients = (Decryption(EncryptionKey.from_secret(bytes(32))) for _ in range(2))
    client = LoginClient(
        issuer=ISSUER, client_id="app", redirect_uri="https://app.example.com/cb", id_token_decryption=the_clients
    )
    for own, used in ((None, the_clients), (mine, mine)):
        assert flows.logout_policy(client, None, None, False, own, False).decryption is used
    assert flows.logout_policy(config(), None, None, False, mine, False).decryption is mine
    assert flows.logout_policy(config(), None, None, False, None, False).decryption is None


def test_an_answer_is_a_whole_one():
    """A refusal is 400 with a JSON body that nobody may keep."""
    answer = build_logout_answer(ValueError())
    assert (answer.status, json.loads(answer.body).keys()) == (400, {"error"})
    assert dict(answer.headers) == {
        "Cache-Control": "no-cache, no-store",
        "Pragma": "no-cache",
        "Content-Type": "application/json",
    }
