"""What the real suite does and a double easily forgets: each must work with public names alone, as shipped."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import py_identity_model.aio as awaitable
import py_identity_model.sync as blocking
from conformance.double import (
    CLIENT_ID,
    CLIENT_SECRET,
    ISSUER,
    NOW,
    REDIRECT_URI,
    Op,
    Wrong,
    changed,
    claims_of,
    corrupt,
    resigned,
)
from py_identity_model import (
    BackchannelAuthenticationResponse,
    BackChannelLogoutReceiver,
    CibaLoginRequest,
    CibaNotification,
    Decryption,
    DeviceAuthorizationResponse,
    DeviceLoginRequest,
    DPoPKey,
    FAPI2LoginClient,
    FAPI2Profile,
    LoginClient,
    LoginRequest,
    PrivateKeyJwt,
    RequestSigning,
    SigningKey,
    validate_post_logout_state,
)
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.jwe_keys import EncryptionKey
from py_identity_model._core.jose.jws import half_hash, sign_compact
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException


def key_pair(kid):
    """Return a key that opens, and the one that encrypts to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return EncryptionKey.from_pem(private, kid=kid), EncryptionKey.from_pem(public, kid=kid)


ENCRYPTION, TO_US = key_pair("enc-1")
WEEK = 7 * 86_400


@pytest.fixture(autouse=True)
def _now(clock):
    """The provider's time is the client's."""
    assert clock.wall == NOW


@pytest.fixture
def door(api):
    """The names of the API at hand."""
    return blocking if api.name == "sync" else awaitable


def client_of(**facts):
    return LoginClient(issuer=ISSUER, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, **facts)


BROWSER = {"redirect_uri": REDIRECT_URI}
ENCRYPTED = {**BROWSER, "id_token_decryption": Decryption(ENCRYPTION)}


def log_in(api, door, client, op, **request):
    """Log in through the browser; return the response."""
    start = api.call(door.begin_login, client, LoginRequest(**request), http_client=op)
    start.raise_for_error()
    return api.call(door.complete_login, client, op.authorize(start.url), start.transaction, op)


# ---- encrypted ID tokens


def test_an_encrypted_id_token_is_a_hint_once_decrypted(api, door):
    """[O1] The ID token stays as it came; its hint is the signed one inside, at logout and at the next login."""
    op = Op(encrypt_to=TO_US)
    client = client_of(**ENCRYPTED)
    login = log_in(api, door, client, op)
    assert login.is_successful, login.error
    assert (login.id_token.count("."), login.id_token_hint.count(".")) == (4, 2)
    assert claims_of(login.id_token_hint)["sub"] == "user-1"
    assert login.id_token_hint not in repr(login)
    for given in (login, login.id_token, login.id_token_hint):
        back = "https://rp.example.com/bye"
        logout = api.call(door.begin_logout, client, given, op, post_logout_redirect_uri=back)
        returned = dict(parse_qsl(urlsplit(op.end_session(logout.url)).query))["state"]
        validate_post_logout_state(logout.state, returned)
        assert dict(logout.form.fields)["id_token_hint"] == login.id_token_hint
    start = api.call(door.begin_login, client, LoginRequest(id_token_hint=login.id_token), http_client=op)
    assert dict(parse_qsl(urlsplit(start.url).query))["id_token_hint"] == login.id_token_hint


def test_a_plain_id_token_is_its_own_hint(api, door):
    """Where nothing is encrypted, hint and ID token are one; after a refresh too."""
    op = Op()
    client = client_of(**BROWSER)
    login = log_in(api, door, client, op)
    assert login.id_token_hint == login.id_token
    refreshed = api.call(door.refresh_login, client, login.refresh_token, login.claims, op)
    assert refreshed.id_token_hint == refreshed.id_token


def test_a_hint_that_was_encrypted_anew_is_left_alone(api, door):
    """OpenID Connect Core 3.1.2.1: the client may encrypt the hint to the provider; nobody else opens that."""
    op = Op()
    theirs = Op(encrypt_to=key_pair("op-enc")[1])
    foreign = theirs.id_token({}, lambda claims: claims)
    client = client_of(**ENCRYPTED)
    start = api.call(door.begin_login, client, LoginRequest(id_token_hint=foreign), http_client=op)
    assert dict(parse_qsl(urlsplit(start.url).query))["id_token_hint"] == foreign


# ---- the client says everything once


def test_userinfo_of_a_login(api, door):
    """UserInfo is asked for with what the client and the login know: endpoint, token, user, algorithm."""
    op = Op()
    client = client_of(**BROWSER, headers={"x-fapi-interaction-id": "n-1"})
    login = log_in(api, door, client, op)
    about = api.call(door.get_login_userinfo, client, login, op)
    assert about.claims["name"] == "Ada"
    assert dict(op.requests[-1].headers)["x-fapi-interaction-id"] == "n-1"
    op.wrong = Wrong(userinfo=changed(sub="another"))
    assert api.call(door.get_login_userinfo, client, login, op).error_code == "subject_mismatch"


def test_signed_userinfo_of_a_login(api, door):
    """A client registered for signed UserInfo says so once, and takes no other."""
    op = Op()
    signed = client_of(**BROWSER, userinfo_signed_response_alg="RS256")
    login = log_in(api, door, signed, op)
    assert api.call(door.get_login_userinfo, signed, login, op).error_code == "content_type_invalid"
    op.wrong = Wrong(userinfo=lambda c: sign_compact({**c, "iss": ISSUER, "aud": CLIENT_ID}, op.key))
    assert api.call(door.get_login_userinfo, signed, login, op).claims["name"] == "Ada"
    op.wrong = Wrong(userinfo=lambda c: sign_compact({**c, "iss": ISSUER, "aud": "another"}, op.key))
    assert api.call(door.get_login_userinfo, signed, login, op).error_code == "audience_mismatch"


def test_names_that_people_change_are_nobody(api, door):
    """The user is iss and sub: an equal e-mail address makes nobody the same user, a changed one nobody else (C11)."""
    op = Op(wrong=Wrong(id_token=changed(email="ada@example.com", preferred_username="ada")))
    client = client_of(**BROWSER)
    login = log_in(api, door, client, op)
    op.wrong = Wrong(
        id_token=changed(sub="eve", email="ada@example.com", preferred_username="ada"),
        userinfo=changed(sub="eve", email="ada@example.com"),
    )
    assert api.call(door.refresh_login, client, login.refresh_token, login.claims, op).error_code == "refresh_mismatch"
    assert api.call(door.get_login_userinfo, client, login, op).error_code == "subject_mismatch"
    assert log_in(api, door, client, op, expected_sub="user-1").error_code == "subject_mismatch"
    op.wrong = Wrong(id_token=changed(email="other@example.com", preferred_username="a"))
    assert log_in(api, door, client, op, expected_sub="user-1").is_successful


def test_userinfo_needs_to_know_whom(api, door):
    """After a refresh without an ID token, the caller says whose the access token is; nobody is no answer."""
    op = Op()
    client = client_of(**BROWSER)
    login = log_in(api, door, client, op)
    bare = replace(login, claims=None)
    assert not api.call(door.get_login_userinfo, client, bare, op).is_successful
    assert api.call(door.get_login_userinfo, client, bare, op, expected_sub="user-1").is_successful
    assert not api.call(door.get_login_userinfo, client, bare, op, expected_sub="another").is_successful


def test_id_tokens_are_validated_with_what_the_client_knows(api, door):
    """validate_id_token takes the client: issuer, audience, algorithm, decryption and trusted audiences."""
    op = Op(encrypt_to=TO_US)
    client = client_of(**ENCRYPTED, trusted_audiences=["friend"])
    token = op.id_token({"nonce": "n-1"}, changed(aud=[CLIENT_ID, "friend"], azp=CLIENT_ID))
    assert api.call(door.validate_id_token, token, client, http_client=op, nonce="n-1")["sub"] == "user-1"
    for bad in (
        op.id_token({"nonce": "n-2"}, changed()),
        op.id_token({"nonce": "n-1"}, changed(aud=[CLIENT_ID, "stranger"])),
        Op().id_token({"nonce": "n-1"}, changed()),  # not encrypted
    ):
        with pytest.raises(PyIdentityModelException):
            api.call(door.validate_id_token, bad, client, http_client=op, nonce="n-1")
    with pytest.raises(ConfigurationException):
        api.call(door.validate_id_token, token, client, ISSUER, op, nonce="n-1")
    with pytest.raises(ConfigurationException):
        api.call(door.validate_id_token, token, "no client", http_client=op)


def test_logout_tokens_are_validated_with_what_the_client_knows(api, door):
    """[L1] [L3] The back-channel receiver takes the client; encryption is demanded where ID tokens have it."""
    op = Op(encrypt_to=TO_US)
    client = client_of(**ENCRYPTED)
    event = {"http://schemas.openid.net/event/backchannel-logout": {}}
    marks = changed(jti="j-1", sid="a b", events=event, nonce=None)
    receiver = (BackChannelLogoutReceiver if api.name == "sync" else awaitable.BackChannelLogoutReceiver)(
        client, http_client=op
    )
    for token, good in ((op.id_token({}, marks), True), (Op().id_token({}, marks), False)):
        body = urlencode({"logout_token": token})
        judged = api.call(receiver.receive, body, "application/x-www-form-urlencoded")
        assert judged.is_successful is good, judged.error
    other = op.id_token({}, changed(jti="j-2", sid="s", events=event, aud="another"))
    with pytest.raises(PyIdentityModelException):
        api.call(door.validate_logout_token, other, client, http_client=op)


# ---- devices


def device(api, door, op, started=None, **options):
    """Log in on another device; return the response."""
    client = client_of(scope="openid profile")
    if started is None:
        started = api.call(door.begin_device_login, client, DeviceLoginRequest(), op)
        started.raise_for_error()
    return api.call(door.complete_device_login, client, started, http_client=op, **options)


def test_a_login_on_another_device(api, door, clock):
    """A device login polls at the provider's pace and ends with validated claims; no redirect_uri is needed."""
    op = Op()
    op.pending = ["authorization_pending", "slow_down"]
    login = device(api, door, op)
    assert login.is_successful, login.error
    assert (login.claims["sub"], login.scope, clock.slept) == ("user-1", "openid profile", [5, 5, 10])
    assert login.id_token_hint == login.id_token


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"id_token": changed(iat=NOW - WEEK)}, "token_too_old"),
        ({"id_token": changed(at_hash="AAAAAAAAAAAAAAAAAAAAAA")}, "hash_mismatch"),
        ({"id_token": changed(aud="another")}, "audience_mismatch"),
        ({"id_token": changed(iss="https://evil.example.com")}, "issuer_mismatch"),
        ({"id_token": changed(exp=NOW - 60)}, "token_expired"),
        ({"signed_id_token": corrupt}, "signature_invalid"),
        ({"signed_id_token": resigned("none")}, "alg_not_allowed"),
        ({"tokens": changed(id_token=None)}, "id_token_missing"),
    ],
)
def test_the_id_token_of_a_device_is_validated(api, door, wrong, code):
    """A device login is held to the rules of ID tokens: its own request, its access token, this client."""
    login = device(api, door, Op(wrong=Wrong(**wrong)))
    assert (login.is_successful, login.error_code, login.needs_new_login) == (False, code, True)


def test_the_user_of_a_device(api, door):
    """A device login may have to be of one user, refuses what the user refuses, and knows when it was begun."""
    assert device(api, door, Op(), expected_sub="another").error_code == "subject_mismatch"
    op = Op()
    op.pending = ["access_denied"]
    assert device(api, door, op).error_code == "access_denied"
    unknown = DeviceAuthorizationResponse(True, device_code="c", interval=5, expires_at=NOW + 60)
    assert device(api, door, Op(), started=unknown).exception.claim == "asked_at"


def test_a_device_without_openid(api, door):
    """Without openid there is no ID token, and none that came is handed on."""
    op = Op()
    client = client_of(scope="orders")
    started = api.call(door.begin_device_login, client, None, op)
    login = api.call(door.complete_device_login, client, started, http_client=op)
    assert (login.is_successful, login.claims, login.id_token) == (True, None, None)


def test_a_client_without_redirect_uri_has_no_login_in_the_browser(api, door):
    """begin_login says what is missing."""
    start = api.call(door.begin_login, client_of(), http_client=Op())
    assert (start.is_successful, start.exception.claim) == (False, "redirect_uri")


# ---- CIBA


def ciba(api, door, op, came=None, **client):
    """Log in by CIBA; return the response. *came* is made of the request that was begun."""
    given = client_of(**client)
    request = CibaLoginRequest(login_hint="ada@example.com", binding_message="W4SCT")
    started = api.call(door.begin_ciba, given, request, op)
    started.raise_for_error()
    return api.call(door.complete_ciba, given, started, came and came(started), op)


def test_a_login_by_ciba(api, door, clock):
    """CIBA polls at the provider's pace and ends with validated claims, its request signed where it is taken."""
    op = Op()
    op.pending = ["authorization_pending"]
    signing = RequestSigning(SigningKey.generate("ES256", kid="rp-9"))
    for client in ({}, {"request_signing": signing}):
        login = ciba(api, door, op, **client)
        assert login.is_successful, login.error
        assert login.claims["sub"] == "user-1"
    bodies = [dict(parse_qsl(r.body.decode())) for r in op.requests if r.url.endswith("/bc-authorize")]
    assert ["request" in body for body in bodies] == [False, True]
    assert clock.slept == [5, 5, 5]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"id_token": changed(iat=NOW - WEEK)}, "token_too_old"),
        ({"id_token": changed(at_hash="AAAAAAAAAAAAAAAAAAAAAA")}, "hash_mismatch"),
        ({"id_token": changed(**{"urn:openid:params:jwt:claim:auth_req_id": "other"})}, "auth_req_id_mismatch"),
        ({"id_token": changed(**{"urn:openid:params:jwt:claim:auth_req_id": 5})}, "auth_req_id_mismatch"),
        ({"id_token": changed(aud=[CLIENT_ID, "another"])}, "audience_untrusted"),
        ({"signed_id_token": corrupt}, "signature_invalid"),
        ({"tokens": changed(id_token=None)}, "id_token_missing"),
    ],
)
def test_the_id_token_of_ciba_is_validated(api, door, wrong, code):
    """[O10] A week-old ID token, one of another request, or one that fits no access token ends no CIBA login."""
    login = ciba(api, door, Op(wrong=Wrong(**wrong)))
    assert (login.is_successful, login.error_code, login.needs_new_login) == (False, code, True)


def push(op, **changes):
    """Return what makes a push for a request that was begun."""

    def made(started):
        bound = {
            "urn:openid:params:jwt:claim:auth_req_id": started.auth_req_id,
            "urn:openid:params:jwt:claim:rt_hash": half_hash("RS256", "rt"),
            **changes.pop("claims", {}),
        }
        token = op.id_token({}, changed(**bound), at_hash="at")
        good = {"access_token": "at", "token_type": "Bearer", "refresh_token": "rt", "expires_in": 60}
        return CibaNotification("push", **{"auth_req_id": started.auth_req_id, "id_token": token, **good, **changes})

    return made


def test_a_push_ends_a_login(api, door):
    """Pushed tokens are taken without asking the provider, encrypted ID tokens too, if everything is bound."""
    op = Op()
    login = ciba(api, door, op, push(op))
    assert login.is_successful, login.error
    assert (login.access_token, login.expires_at, "token" in op.asked) == ("at", NOW + 60, False)
    secret = Op(encrypt_to=TO_US)
    assert ciba(api, door, secret, push(secret), id_token_decryption=Decryption(ENCRYPTION)).is_successful


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"auth_req_id": "other"}, "auth_req_id_mismatch"),
        ({"claims": {"urn:openid:params:jwt:claim:auth_req_id": None}}, "auth_req_id_mismatch"),
        ({"claims": {"urn:openid:params:jwt:claim:rt_hash": None}}, "hash_missing"),
        ({"claims": {"at_hash": None}}, "hash_missing"),
        ({"claims": {"iat": NOW - WEEK}}, "token_too_old"),
        ({"access_token": "other"}, "hash_mismatch"),
        ({"refresh_token": "other"}, "hash_mismatch"),
    ],
)
def test_a_push_that_does_not_belong_together(api, door, changes, code):
    """CIBA Core 10.3.1: request, access token and refresh token are bound into the ID token of a push."""
    op = Op()
    assert ciba(api, door, op, push(op, **changes)).error_code == code


def test_a_ping_asks_once(api, door, clock):
    """After a ping the tokens are fetched at once; an error ends the login; another's ping does nothing."""
    op = Op()
    assert ciba(api, door, op, lambda started: CibaNotification("ping", started.auth_req_id)).is_successful
    refused = ciba(api, door, op, lambda s: CibaNotification("error", s.auth_req_id, error="access_denied"))
    assert refused.error_code == "access_denied"
    assert ciba(api, door, op, lambda s: CibaNotification("ping", "other")).error_code == "auth_req_id_mismatch"
    op.pending = ["authorization_pending"]
    early = ciba(api, door, op, lambda started: CibaNotification("ping", started.auth_req_id))
    assert (early.error_code, clock.slept) == ("authorization_pending", [])


def test_a_request_that_was_kept(api, door):
    """What was begun may be kept elsewhere: name, pace and time are enough to end it, and the time is needed."""
    op = Op()
    client = client_of()
    started = api.call(door.begin_ciba, client, CibaLoginRequest(login_hint="ada"), op)
    kept = {"auth_req_id": started.auth_req_id, "interval": 5, "expires_at": started.expires_at}
    untimed = BackchannelAuthenticationResponse(True, **kept)
    assert api.call(door.complete_ciba, client, untimed, http_client=op).exception.claim == "asked_at"
    timed = BackchannelAuthenticationResponse(True, **kept, asked_at=started.asked_at)
    assert api.call(door.complete_ciba, client, timed, http_client=op).is_successful


# ---- requests by reference


def published(op, **options):
    """Return a client that publishes its requests where the provider finds them."""

    def publish(signed):
        op.published["https://rp.example.com/requests/1"] = signed
        return "https://rp.example.com/requests/1"

    signing = RequestSigning(SigningKey.generate("RS256", kid="rp-3"), "RS256")
    return client_of(**{**BROWSER, "request_signing": signing, "publish_request": publish, **options})


def test_a_login_by_reference(api, door):
    """[M1] The client publishes its signed request; the browser carries its address, and the login is one as any."""
    op = Op()
    assert log_in(api, door, published(op), op).is_successful
    assert "par" not in op.asked


def test_publishing_may_fail(api, door):
    """Whatever goes wrong while publishing is a failed response of ours, and no secret shows."""

    def broken(signed):
        raise OSError(signed)

    op = Op()
    for publish, code in (
        (broken, "request_publication_failed"),
        (lambda signed: "http://rp.example.com/1", "request_uri_invalid"),
        (lambda signed: "urn:example:1", "request_uri_invalid"),
        (lambda signed: 5, "request_uri_invalid"),
        (lambda signed: "https://rp.example.com/" + "a" * 600, "request_uri_invalid"),
    ):
        start = api.call(door.begin_login, published(op, publish_request=publish), http_client=op)
        assert (start.is_successful, start.error_code) == (False, code)
        assert start.exception.__context__ is None
    op.more = {"request_uri_parameter_supported": False}
    other = Op(more={"request_uri_parameter_supported": False})
    assert api.call(door.begin_login, published(other), http_client=other).error_code in ("provider_unsupported", None)
    for bad in ({"request_signing": None}, {"pushed": True}):
        with pytest.raises(ConfigurationException):
            published(op, **bad)


# ---- FAPI 2.0 as the suite plays it


def test_message_signing_without_introspection(api, door):
    """[M1] [M2] [M3] The whole profile of message signing needs no signed introspection for a login."""
    more = {
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": True,
        "request_object_signing_alg_values_supported": ["ES256", "PS256"],
        "response_modes_supported": ["jwt", "query.jwt"],
    }
    op = Op("PS256", auth_method="private_key_jwt", dpop=True, nonces=True, more=more)
    client = FAPI2LoginClient(
        profile=FAPI2Profile.message_signing(),
        issuer=ISSUER,
        client_id=CLIENT_ID,
        redirect_uri=REDIRECT_URI,
        private_key_jwt=PrivateKeyJwt(SigningKey.generate("ES256", kid="rp-1")),
        request_signing=RequestSigning(SigningKey.generate("PS256", kid="rp-2")),
        dpop_key=DPoPKey(),
    )
    login = log_in(api, door, client, op)
    assert login.is_successful, login.error
    assert api.call(door.get_login_userinfo, client, login, op).is_successful


def test_a_resource_says_where_its_metadata_is(api, door):
    """A challenge may name any address; it is fetched as it stands."""
    document = {"resource": "https://api.example.com/a", "authorization_servers": [ISSUER]}
    where = "https://api.example.com/custom/metadata/location.json"
    asked = []

    def resource(request):
        asked.append(request.url)
        return Reply(200, (("content-type", "application/json"),), json.dumps(document).encode(), request.url)

    request = door.ProtectedResourceMetadataRequest(where, resource="https://api.example.com/a")
    response = api.call(door.get_protected_resource_metadata, request, resource)
    assert (response.metadata.authorization_servers, asked) == ((ISSUER,), [where])


def test_distributed_claims_without_an_issuer(api, door):
    """Another provider's claims need no iss where its endpoint is named: its key tells whose they are."""
    op = Op()
    where = f"{ISSUER}/credit"
    op.answers["/credit"] = lambda request: Reply(
        200, (("content-type", "application/jwt"),), sign_compact({"credit_score": 650}, op.key).encode(), request.url
    )
    config = door.TokenValidationConfig(
        perform_disco=True, algorithms=["RS256"], options={"verify_aud": False}, issuer=ISSUER
    )
    provider = door.ClaimsProvider(ISSUER, config, endpoints=(where,))
    claims = {"sub": "user-1", "_claim_names": {"credit_score": "s"}, "_claim_sources": {"s": {"endpoint": where}}}
    response = api.call(door.get_external_claims, claims, [provider], op)
    assert response.claims == {"credit_score": 650}, response.failures
