"""Token exchange, by each driver: what is sent for whom, and which answers are believed (RFC 8693)."""

from __future__ import annotations

import inspect
import json
import logging
import pickle
import traceback
from urllib.parse import parse_qs, parse_qsl

import pytest

import py_identity_model._core.client.token_exchange as flows
import py_identity_model.aio._token_exchange as aio_api
import py_identity_model.sync._token_exchange as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.client.client_auth import PrivateKeyJwt
from py_identity_model._core.client.token_exchange import ExchangeTokenType, TokenExchangeRequest
from py_identity_model._core.jose.jws import parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException, FailedResponseAccessError, TransportException

ENDPOINT = "https://as.example.com/as/token.oauth2"
JSON = ("content-type", "application/json")
ACCESS = ExchangeTokenType.ACCESS_TOKEN
LOST = TransportException("connection lost", code="connection_lost")
TOKENS = {"access_token": "canary-access", "token_type": "Bearer", "issued_token_type": str(ACCESS), "expires_in": 60}


def answer(members, status=200, *headers):
    return Reply(status, (JSON, *headers), json.dumps(members).encode(), ENDPOINT)


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def exchange(**fields):
    fields = {"client_id": "rs08", "subject_token": "canary-subject", "subject_token_type": ACCESS, **fields}
    return flows.exchange_token(TokenExchangeRequest(ENDPOINT, **fields))


def test_the_example_of_rfc_8693_2_3(perform):
    """RFC 8693 2.3: the example request leaves as it stands, byte by byte, and the example answer is read."""
    request = TokenExchangeRequest(
        ENDPOINT,
        "rs08",
        "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
        "urn:ietf:params:oauth:token-type:access_token",
        resource="https://backend.example.com/api",
        client_secret="long-secure-random-secret",
    )
    members = {
        "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6IjllciJ9.eyJhdWQiOiJodHRwczovL2JhY2tlbmQuZXhhbXBsZS5jb20ifQ.sig",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 60,
    }
    response, [sent] = perform(flows.exchange_token(request), answer(members))
    assert dict(sent.headers)["Authorization"] == "Basic cnMwODpsb25nLXNlY3VyZS1yYW5kb20tc2VjcmV0"
    assert sorted(sent.body.decode().split("&")) == [
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange",
        "resource=https%3A%2F%2Fbackend.example.com%2Fapi",
        "subject_token=accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
        "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token",
    ]
    assert response.access_token == members["access_token"]
    assert response.issued_token_type == ExchangeTokenType.ACCESS_TOKEN
    assert response.expires_at == 1_800_000_060
    assert response.token == members


def test_delegation(perform):
    """RFC 8693 2.1: an actor token goes with its type, and so does the kind of token that is wanted."""
    flow = exchange(
        actor_token=Secret("canary-actor"),
        actor_token_type=ExchangeTokenType.JWT,
        requested_token_type=ExchangeTokenType.ID_TOKEN,
        scope="a b",
    )
    _, [sent] = perform(flow, answer(TOKENS))
    assert form(sent) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "canary-subject",
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "actor_token": "canary-actor",
        "actor_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "requested_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "scope": "a b",
        "client_id": "rs08",
    }


def test_several_resources_and_audiences(perform):
    """[S13] [S27] RFC 8693 2.1: resource and audience may be several each, and they mix."""
    flow = exchange(
        resource=["https://a.example", "urn:b"],
        audience=["one", "two"],
        authorization_details=[{"type": "payment"}],
        extra={"x": "y"},
    )
    _, [sent] = perform(flow, answer(TOKENS))
    got = parse_qs(sent.body.decode())
    assert (got["resource"], got["audience"]) == (["https://a.example", "urn:b"], ["one", "two"])
    assert (json.loads(got["authorization_details"][0]), got["x"]) == ([{"type": "payment"}], ["y"])


def test_published_positions():
    """TokenExchangeRequest takes its published fields by position."""
    request = TokenExchangeRequest(
        ENDPOINT, "id", "s", "st", "a", "at", "urn:r", "aud", "scope", "rt", "secret", PrivateKeyJwt("pem")
    )
    assert (request.actor_token_type, request.resource, request.audience) == ("at", "urn:r", "aud")
    assert (request.scope, request.requested_token_type, request.client_secret) == ("scope", "rt", "secret")


def test_the_registered_token_types():
    """The identifiers are the registered ones, and that of the draft of cross-app access."""
    prefix = "urn:ietf:params:oauth:token-type:"
    # RFC 8693 3; id-jag: draft-ietf-oauth-identity-assertion-authz-grant 7.1.
    names = {"access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt", "id-jag"}
    assert {t.value for t in ExchangeTokenType} == {prefix + name for name in names}


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"subject_token": ""}, "parameter_missing"),
        ({"subject_token": None}, "parameter_missing"),
        ({"subject_token_type": ""}, "parameter_missing"),
        ({"actor_token": "a"}, "actor_token_incomplete"),
        ({"actor_token_type": "urn:t"}, "actor_token_incomplete"),
        ({"resource": "api"}, "resource_invalid"),
        ({"resource": "https://a.example/#f"}, "resource_invalid"),
        ({"audience": ""}, "parameter_invalid"),
        ({"audience": []}, "parameter_invalid"),
        ({"audience": [5]}, "parameter_invalid"),
        ({"authorization_details": [{}]}, "authorization_details_invalid"),
        ({"extra": {"subject_token": "b"}}, "parameter_reserved"),
        ({"extra": {"grant_type": "password"}}, "parameter_reserved"),
        ({"client_id": ""}, "client_id_missing"),
    ],
)
def test_requests_that_make_no_sense(perform, fields, refusal):
    """A caller's mistake is a failed response with its own code, and nothing is sent."""
    response, sent = perform(exchange(**fields))
    assert (response.error_code, sent) == (refusal, [])
    assert isinstance(response.exception, ConfigurationException)


@pytest.mark.parametrize("kind", [ExchangeTokenType.ID_TOKEN, ExchangeTokenType.JWT, ExchangeTokenType.SAML2])
@pytest.mark.parametrize("spelling", ["N_A", "n_a"])
def test_what_is_no_access_token(perform, kind, spelling):
    """RFC 8693 2.2.1: token_type N_A is what other tokens come with, with a DPoP key as well."""
    members = {**TOKENS, "token_type": spelling, "issued_token_type": str(kind)}
    for fields in ({}, {"dpop_key": DPoPKey()}):
        response, _ = perform(exchange(**fields), answer(members))
        assert (response.token_type, response.issued_token_type) == (spelling, kind)


def test_an_access_token_is_never_n_a(perform):
    """N_A for an access token contradicts RFC 8693 2.2.1, and would pass an unbound token off for a bound one."""
    members = {**TOKENS, "token_type": "N_A"}
    for fields in ({}, {"dpop_key": DPoPKey()}):
        response, _ = perform(exchange(**fields), answer(members))
        assert (response.is_successful, response.error_code) == (False, "token_type_unsupported")
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"issued_token_type": None}, "issued_token_type_missing"),
        ({"issued_token_type": 5}, "issued_token_type_invalid"),
        ({"token_type": None}, "token_type_missing"),
        ({"token_type": "mac"}, "token_type_unsupported"),
        ({"token_type": "DPoP"}, "token_type_unsupported"),
        ({"access_token": None}, "access_token_missing"),
    ],
)
def test_the_answer_must_be_complete(perform, change, refusal):
    """RFC 8693 2.2.1: access_token, issued_token_type and token_type are required."""
    response, _ = perform(exchange(), answer({**TOKENS, **change}))
    assert (response.is_successful, response.error_code) == (False, refusal)
    for name in ("token", "issued_token_type"):
        with pytest.raises(FailedResponseAccessError):
            getattr(response, name)


@pytest.mark.parametrize("error", ["invalid_request", "invalid_target", "invalid_grant", "invalid_client"])
def test_refusals(perform, error):
    """RFC 8693 2.2.2: the provider's error reaches the response."""
    response, sent = perform(exchange(), answer({"error": error, "error_description": "no"}, 400))
    assert (response.error_code, response.error_description, len(sent)) == (error, "no", 1)


@pytest.mark.parametrize("trouble", [LOST, Reply(503), Reply(429), Reply(302, (("location", "https://evil.example"),))])
def test_it_is_sent_once(perform, trouble):
    """The subject token may be good for one use: nothing is repeated, and no redirect is followed."""
    response, sent = perform(exchange(), trouble)
    assert (response.is_successful, len(sent)) == (False, 1)


def test_with_dpop_a_bound_token_is_wanted(perform):
    """[S11] [F8] [D16] The proof goes along, a nonce is met once, and a Bearer answer is refused."""
    wants = answer({"error": "use_dpop_nonce"}, 400, ("dpop-nonce", "n-1"))
    flow = exchange(dpop_key=DPoPKey(), private_key_jwt=PrivateKeyJwt(SigningKey.generate("ES256")))
    response, sent = perform(flow, wants, answer({**TOKENS, "token_type": "DPoP"}))
    assert response.is_successful
    proofs = [json.loads(parse_compact(dict(r.headers)["DPoP"]).payload) for r in sent]
    assert [p.get("nonce") for p in proofs] == [None, "n-1"]
    assert form(sent[0])["client_assertion"] != form(sent[1])["client_assertion"]
    response, _ = perform(exchange(dpop_key=DPoPKey()), answer(TOKENS))
    assert response.error_code == "dpop_token_expected"


ENDINGS = [
    answer(TOKENS),
    answer({**TOKENS, "token_type": "N_A"}),
    answer({**TOKENS, "token_type": "mac"}),
    answer({"error": "invalid_request", "error_description": "canary-subject canary-actor canary-secret"}, 400),
    Reply(500, (("content-type", "text/html"),), b"<p>canary</p>"),
    LOST,
]


@pytest.mark.parametrize("ending", range(len(ENDINGS)))
def test_no_secret_shows(perform, caplog, ending):
    """[S25] Neither subject nor actor token, secret or new token shows anywhere, even if the provider repeats them."""
    caplog.set_level(logging.DEBUG)
    request = TokenExchangeRequest(
        ENDPOINT, "rs08", "canary-subject", ACCESS, "canary-actor", ACCESS, client_secret="canary-secret"
    )
    response, sent = perform(flows.exchange_token(request), ENDINGS[ending])
    texts = [repr(request), str(request), repr(response), str(response), repr(sent), str(response.error)]
    texts += [str(response.error_description), caplog.text]
    if not response.is_successful:
        texts += ["".join(traceback.format_exception(response.exception)), repr(vars(response.exception))]
        texts.append(repr(pickle.dumps(response.exception)))
    assert not [text for text in texts if "canary" in text]


def test_both_apis_run_the_flow(driver):
    """The blocking and the awaited function give the same answer, with the same signature."""
    request = TokenExchangeRequest(ENDPOINT, "rs08", "s", ACCESS)
    if driver.kind == "sync":
        response = sync_api.exchange_token(request, lambda _: answer(TOKENS))
    else:

        async def provider(_):
            return answer(TOKENS)

        response = driver.loop(aio_api.exchange_token, request, provider)
    assert response.access_token == "canary-access"
    assert inspect.signature(sync_api.exchange_token) == inspect.signature(aio_api.exchange_token)
