"""The device grant, by each driver: what is shown to the person, and how often the provider is asked (RFC 8628)."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import pickle
import traceback
from urllib.parse import parse_qsl

import pytest

import py_identity_model._core.client.device as flows
import py_identity_model.aio._device as aio_api
import py_identity_model.sync._device as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.client.client_auth import PrivateKeyJwt
from py_identity_model._core.client.device import (
    DeviceAuthorizationRequest,
    DeviceAuthorizationResponse,
    DeviceTokenRequest,
    DeviceTokenResponse,
)
from py_identity_model._core.jose.jws import parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    TokenRequestException,
    TransportException,
)

ENDPOINT = "https://server.example.com/device_authorization"
TOKEN_ENDPOINT = "https://server.example.com/token"
JSON = ("content-type", "application/json;charset=UTF-8")
START = 1_800_000_000.0
TIMEOUT = TransportException("no complete reply within 30 s", code="timeout")
TOKENS = {"access_token": "canary-access", "token_type": "Bearer", "expires_in": 3600}

#: RFC 8628 3.2: the example of a device authorization response.
CODES = {
    "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://example.com/device",
    "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 5,
}


def answer(members, status=200, *headers):
    return Reply(status, (JSON, *headers), json.dumps(members).encode(), TOKEN_ENDPOINT)


def refusal(error, status=400, **members):
    return answer({"error": error, **members}, status)


PENDING = refusal("authorization_pending")
SLOW_DOWN = refusal("slow_down")
GRANTED = answer(TOKENS)


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def authorize(scope="example_scope", **fields):
    return flows.request_device_authorization(DeviceAuthorizationRequest(ENDPOINT, "1406020730", scope=scope, **fields))


def poll(**fields):
    return flows.poll_device_token(DeviceTokenRequest(TOKEN_ENDPOINT, "1406020730", "canary-device-code", **fields))


def waiting(expires_in=1800, interval=5, **fields):
    codes = DeviceAuthorizationResponse(
        True, device_code="canary-device-code", interval=interval, expires_at=START + expires_in
    )
    request = DeviceTokenRequest(TOKEN_ENDPOINT, "1406020730", "canary-device-code", **fields)
    return flows.wait_for_device_token(request, codes)


# ---- the codes


def test_the_example_of_rfc_8628_3(perform):
    """RFC 8628 3.1, 3.2: the example request is sent as it stands, and the example answer is read."""
    response, [sent] = perform(authorize(), answer(CODES))
    assert (sent.method, sent.url) == ("POST", ENDPOINT)
    assert form(sent) == {"client_id": "1406020730", "scope": "example_scope"}
    assert (response.device_code, response.user_code) == (CODES["device_code"], "WDJB-MJHT")
    assert response.verification_uri == "https://example.com/device"
    assert response.verification_uri_complete == "https://example.com/device?user_code=WDJB-MJHT"
    assert (response.expires_in, response.interval, response.expires_at) == (1800, 5, START + 1800)
    assert response.error is None


def test_the_example_of_rfc_8628_3_4(perform):
    """RFC 8628 3.4: the example token request is sent as it stands."""
    request = DeviceTokenRequest(TOKEN_ENDPOINT, "1406020730", Secret(CODES["device_code"]))
    response, [sent] = perform(flows.poll_device_token(request), GRANTED)
    assert form(sent) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": CODES["device_code"],
        "client_id": "1406020730",
    }
    assert response.access_token == "canary-access"
    assert response.interval is None


def test_everything_a_grant_may_ask_for(perform):
    """[S13] Resources, details and extra parameters go with the request for codes (RFC 8707, RFC 9396)."""
    details = [{"type": "payment"}]
    flow = authorize(resource="https://api.example", authorization_details=details, extra={"acr_values": "2"})
    _, [sent] = perform(flow, answer(CODES))
    assert form(sent)["resource"] == "https://api.example"
    assert json.loads(form(sent)["authorization_details"]) == details
    assert form(sent)["acr_values"] == "2"


def test_a_confidential_client_authenticates_both_times(perform):
    """RFC 8628 3.1, 3.4: client authentication applies to both endpoints."""
    _, [sent] = perform(authorize(client_secret="secret-1"), answer(CODES))
    assert dict(sent.headers)["Authorization"].startswith("Basic ")
    _, [sent] = perform(poll(client_secret="secret-1"), GRANTED)
    assert dict(sent.headers)["Authorization"].startswith("Basic ")


def test_what_may_be_absent(perform):
    """RFC 8628 3.2: without interval it is five seconds, and the complete address is optional."""
    members = {k: v for k, v in CODES.items() if k not in ("interval", "verification_uri_complete")}
    response, _ = perform(authorize(), answer(members))
    assert (response.interval, response.verification_uri_complete) == (5, None)


@pytest.mark.parametrize(("given", "read"), [(0, 1), (0.2, 1), (1.5, 2), ("7", 7), (30, 30)])
def test_interval_is_at_least_a_second(perform, given, read):
    """A pace below one second is none: the provider is asked at most once a second."""
    assert perform(authorize(), answer({**CODES, "interval": given}))[0].interval == read


def test_the_name_of_early_drafts(perform):
    """verification_url, as some providers still call it, is read; the standard name goes first."""
    members = {k: v for k, v in CODES.items() if k != "verification_uri"}
    response, _ = perform(authorize(), answer({**members, "verification_url": "https://www.google.com/device"}))
    assert response.verification_uri == "https://www.google.com/device"
    response, _ = perform(authorize(), answer({**CODES, "verification_url": "https://evil.example"}))
    assert response.verification_uri == CODES["verification_uri"]


@pytest.mark.parametrize(
    ("change", "refused_as"),
    [
        ({"device_code": None}, "device_code_missing"),
        ({"user_code": ""}, "user_code_missing"),
        ({"user_code": "W\u202eDJB"}, "user_code_invalid"),
        ({"verification_uri": None}, "verification_uri_missing"),
        ({"verification_uri": 5}, "verification_uri_invalid"),
        ({"expires_in": None}, "expires_in_missing"),
        ({"expires_in": 0}, "expires_in_missing"),
        ({"expires_in": -5}, "expires_in_invalid"),
        ({"expires_in": True}, "expires_in_invalid"),
        ({"interval": "soon"}, "interval_invalid"),
        ({"interval": -1}, "interval_invalid"),
    ],
)
def test_codes_must_be_complete(perform, change, refused_as):
    """An answer without what RFC 8628 3.2 requires is a failure with its own code."""
    response, _ = perform(authorize(), answer({**CODES, **change}))
    assert (response.is_successful, response.error_code) == (False, refused_as)
    assert isinstance(response.exception, TokenRequestException)
    with pytest.raises(FailedResponseAccessError):
        _ = response.device_code


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "http://example.com/device",
        "https://bank.example@evil.example/",
        "https://evil.example/ bank.example",
        "//evil.example",
        "https://",
        "https://[",
        "https://a.example/" + "a" * 2048,
        "data:text/html,x",
    ],
)
@pytest.mark.parametrize("name", ["verification_uri", "verification_uri_complete"])
def test_a_person_is_not_sent_just_anywhere(perform, name, address):
    """[S28] The page for the person is https and says plainly where it is; script, plain http and lures are refused."""
    response, _ = perform(authorize(), answer({**CODES, name: address}))
    assert response.error_code == "verification_uri_invalid"


def test_plain_http_on_this_machine(perform):
    """Plain http serves loopback, and elsewhere only by the loud name."""
    local = answer({**CODES, "verification_uri": "http://127.0.0.1:8080/device"})
    assert perform(authorize(), local)[0].is_successful
    remote = answer({**CODES, "verification_uri": "http://id.test/device"})
    assert perform(authorize(allow_insecure_http=True), remote)[0].is_successful


@pytest.mark.parametrize("trouble", [TIMEOUT, Reply(503), refusal("invalid_client", 401), refusal("invalid_scope")])
def test_codes_are_asked_for_once(perform, trouble):
    """Each answer opens another approval, so a failed request is not repeated."""
    response, sent = perform(authorize(), trouble)
    assert (response.is_successful, len(sent)) == (False, 1)


def test_a_mistake_of_the_caller_is_a_failed_response(perform):
    """Without client_id, or over plain http, nothing is sent."""
    response, sent = perform(flows.request_device_authorization(DeviceAuthorizationRequest(ENDPOINT, "")))
    assert (response.error_code, sent) == ("client_id_missing", [])
    request = DeviceAuthorizationRequest("http://server.example.com/device", "app")
    response, sent = perform(flows.request_device_authorization(request))
    assert (response.error_code, sent) == ("https_required", [])
    response, sent = perform(flows.poll_device_token(DeviceTokenRequest(TOKEN_ENDPOINT, "app", "")))
    assert (response.error_code, sent) == ("parameter_missing", [])
    assert isinstance(response.exception, ConfigurationException)


# ---- one poll


@pytest.mark.parametrize("error", ["authorization_pending", "slow_down", "access_denied", "expired_token"])
def test_one_poll_tells_what_the_provider_said(perform, error):
    """RFC 8628 3.5: the four answers besides tokens are in error_code; one poll is one request."""
    response, sent = perform(poll(), refusal(error))
    assert (response.is_successful, response.error_code, len(sent)) == (False, error, 1)
    with pytest.raises(FailedResponseAccessError):
        _ = response.token


def test_a_new_interval_is_passed_on(perform):
    """An interval that comes with slow_down is in the response."""
    assert perform(poll(), refusal("slow_down", interval=12))[0].interval == 12
    assert perform(poll(), refusal("slow_down", interval="x"))[0].interval is None
    assert perform(poll(), refusal("slow_down", interval=True))[0].interval is None


def test_published_positions():
    """DeviceTokenResponse takes its published fields by position."""
    response = DeviceTokenResponse(False, "words", None, "slow_down", 10)
    assert (response.error, response.error_code, response.interval) == ("words", "slow_down", 10)
    parameters = inspect.signature(DeviceTokenResponse).parameters.values()
    positions = tuple(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)
    assert positions == DeviceTokenResponse.__match_args__
    assert positions == ("is_successful", "error", "token", "error_code", "interval")
    assert {f.name for f in dataclasses.fields(response)} == {each.name for each in parameters}
    every = {f.name: f"{f.name} given" for f in dataclasses.fields(response)}
    assert {name: getattr(DeviceTokenResponse(**every), name) for name in every} == every


# ---- polling


def test_polling_ends_with_tokens(perform, clock):
    """RFC 8628 3.5: the provider is asked once per interval, the first time after one interval, until it answers."""
    response, sent = perform(waiting(), PENDING, PENDING, GRANTED)
    assert response.access_token == "canary-access"
    assert (len(sent), clock.slept) == (3, [5, 5, 5])


def test_the_interval_is_the_providers(perform, clock):
    """RFC 8628 3.5: no poll comes earlier than the interval, whatever it is (O10)."""
    perform(waiting(interval=31), PENDING, GRANTED)
    assert clock.slept == [31, 31]


def test_slow_down_adds_five_seconds_for_good(perform, clock):
    """RFC 8628 3.5: slow_down adds 5 seconds to this and all later intervals (O10)."""
    perform(waiting(), SLOW_DOWN, PENDING, SLOW_DOWN, PENDING, GRANTED)
    assert clock.slept == [5, 10, 10, 15, 15]


def test_slow_down_with_an_interval(perform, clock):
    """A longer interval that comes with slow_down is obeyed; a shorter one does not undo the five seconds."""
    perform(waiting(), refusal("slow_down", interval=30), refusal("slow_down", interval=1), GRANTED)
    assert clock.slept == [5, 30, 35]


@pytest.mark.parametrize(
    "error", ["access_denied", "expired_token", "invalid_grant", "invalid_client", "invalid_request", "server_said_no"]
)
def test_a_final_answer_ends_it(perform, error):
    """RFC 8628 3.5: after any other error the provider is never asked again."""
    response, sent = perform(waiting(), PENDING, refusal(error))
    assert (response.error_code, len(sent)) == (error, 2)


@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_decision_is_final_whatever_its_status(perform, error, status):
    """A refusal by the person, or the end of the code, ends polling even with the status of a failing server."""
    response, sent = perform(waiting(), refusal(error, status))
    assert (response.error_code, len(sent)) == (error, 1)


def test_polling_ends_when_the_code_expires(perform, clock):
    """RFC 8628 3.5: after expires_in seconds nothing is asked any more, and the answer is expired_token (O10)."""
    response, sent = perform(waiting(expires_in=16), PENDING, PENDING, PENDING)
    assert (response.error_code, response.exception.code) == ("expired_token", "authorization_expired")
    assert (len(sent), sum(clock.slept)) == (3, 15)


@pytest.mark.parametrize(
    ("trouble", "code", "status"), [(TIMEOUT, "timeout", None), (answer({}, 503), "token_request_failed", 503)]
)
def test_the_last_failure_is_told(perform, trouble, code, status):
    """Where the provider was away at the end, the response says so: nobody knows whether the person approved."""
    response, _ = perform(waiting(expires_in=16), PENDING, trouble)
    error = response.exception
    assert (response.error_code, error.code, response.status_code) == ("expired_token", "authorization_expired", status)
    assert (error.details["last_code"], error.__cause__.code) == (code, code)
    assert error.__cause__.message in response.error
    response, _ = perform(waiting(expires_in=10 + 16), trouble, PENDING)  # ten seconds are over already
    assert response.exception.__cause__ is None


def test_a_code_that_has_expired_already(perform, clock):
    """Nothing is asked about a code that has run out."""
    response, sent = perform(waiting(expires_in=0))
    assert (response.error_code, sent, clock.slept) == ("expired_token", [], [])


def test_a_wall_clock_that_jumps_does_not_prolong_it(perform, clock):
    """Waiting is measured by the steady clock: setting the clock back gives no further polls."""

    def set_back(request):
        clock.wall -= 3600
        return PENDING

    response, sent = perform(waiting(expires_in=11), set_back, PENDING)
    assert (response.error_code, len(sent)) == ("expired_token", 2)


def test_failures_slow_polling_down(perform, clock):
    """RFC 8628 3.5: after timeouts the pause doubles, up to a minute; an answer brings the interval back."""
    perform(waiting(), *[TIMEOUT] * 5, PENDING, GRANTED)
    assert clock.slept == [5, 10, 20, 40, 60, 60, 5]


def test_a_failing_provider_is_left_alone_as_it_asks(perform, clock):
    """429 and 503 are no decision: polling goes on, after Retry-After seconds at least."""
    perform(waiting(), Reply(503), Reply(429, (("retry-after", "90"),)), GRANTED)
    assert clock.slept == [5, 10, 90]


@pytest.mark.parametrize(
    "trouble", [TransportException("no", code="tls_failed"), answer({"access_token": "t"}), Reply(200, (JSON,), b"[")]
)
def test_what_will_not_get_better_ends_it(perform, trouble):
    """A failed TLS handshake or a broken answer ends polling: the next one would be the same."""
    response, sent = perform(waiting(), trouble)
    assert (response.is_successful, len(sent)) == (False, 1)


def test_polling_needs_codes(perform):
    """A failed authorization cannot be polled for: the answer is a failed response, not an exception."""
    failed = DeviceAuthorizationResponse(False, "no")
    request = DeviceTokenRequest(TOKEN_ENDPOINT, "app", "code")
    response, sent = perform(flows.wait_for_device_token(request, failed))
    assert (response.is_successful, sent) == (False, [])
    assert isinstance(response.exception, FailedResponseAccessError)


def test_each_poll_has_its_own_assertion(perform):
    """[F9] A client assertion, and its jti, is never sent twice."""
    flow = waiting(private_key_jwt=PrivateKeyJwt(SigningKey.generate("ES256")))
    _, sent = perform(flow, PENDING, TIMEOUT, GRANTED)
    assert len({json.loads(parse_compact(form(r)["client_assertion"]).payload)["jti"] for r in sent}) == 3


def test_each_poll_has_its_own_dpop_proof(perform):
    """[F8] [D16] [D17] Polls with a DPoP key carry fresh proofs, the provider's nonce included; Bearer is refused."""
    flow = waiting(dpop_key=DPoPKey())
    wants = refusal("use_dpop_nonce")
    wants = Reply(400, (*wants.headers, ("dpop-nonce", "n-1")), wants.body, TOKEN_ENDPOINT)
    _, sent = perform(flow, wants, PENDING, answer({**TOKENS, "token_type": "DPoP"}))
    proofs = [json.loads(parse_compact(dict(r.headers)["DPoP"]).payload) for r in sent]
    assert [p.get("nonce") for p in proofs] == [None, "n-1", "n-1"]
    assert len({p["jti"] for p in proofs}) == 3
    response, _ = perform(waiting(dpop_key=DPoPKey()), GRANTED)
    assert response.error_code == "dpop_token_expected"


# ---- nothing shows

ENDINGS = [
    GRANTED,
    answer({**TOKENS, "token_type": "mac"}),
    refusal("invalid_grant", error_description="canary-device-code of canary-secret"),
    Reply(400, (("content-type", "text/html"),), b"<p>canary</p>"),
    TransportException("connection lost", code="tls_failed"),
]


@pytest.mark.parametrize("ending", range(len(ENDINGS)))
def test_no_secret_shows(perform, caplog, ending):
    """[S25] Neither device code nor secret nor token shows in repr, error, traceback, log or pickle."""
    caplog.set_level(logging.DEBUG)
    fields = {"client_secret": "canary-secret", "auth_method": "client_secret_post"}
    response, sent = perform(waiting(**fields), ENDINGS[ending])
    texts = [repr(response), str(response), repr(sent), str(response.error), str(response.error_description)]
    if not response.is_successful:
        texts += ["".join(traceback.format_exception(response.exception)), repr(vars(response.exception))]
        texts.append(repr(pickle.dumps(response.exception)))
    codes, _ = perform(authorize(**fields), answer({**CODES, "device_code": "canary-device-code"}))
    request = DeviceTokenRequest(TOKEN_ENDPOINT, "app", "canary-device-code", "canary-secret")
    texts += [repr(codes), repr(request), str(request), caplog.text]
    assert not [text for text in texts if "canary" in text]


def test_both_apis_run_the_flows(driver):
    """The blocking and the awaited functions give the same answers, with the same signatures."""
    codes = DeviceAuthorizationResponse(True, device_code="c", interval=1, expires_at=0.0)
    token_request = DeviceTokenRequest(TOKEN_ENDPOINT, "app", "c")
    calls = [
        ("request_device_authorization", (DeviceAuthorizationRequest(ENDPOINT, "app"),), CODES, None),
        ("poll_device_token", (token_request,), TOKENS, None),
        ("wait_for_device_token", (token_request, codes), TOKENS, "expired_token"),
    ]
    for name, arguments, members, error in calls:

        def blocking(_, members=members):
            return answer(members)

        async def awaited(_, members=members):
            return answer(members)

        if driver.kind == "sync":
            response = getattr(sync_api, name)(*arguments, blocking)
        else:
            response = driver.loop(getattr(aio_api, name), *arguments, awaited)
        assert response.error_code == error
        assert inspect.signature(getattr(sync_api, name)) == inspect.signature(getattr(aio_api, name))
