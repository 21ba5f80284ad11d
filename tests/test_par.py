"""Pushed authorization requests, by each driver: what is pushed, how often, and what is made of the answer."""

from __future__ import annotations

import dataclasses
import inspect
import json
from urllib.parse import parse_qsl, urlsplit

import pytest

import py_identity_model.aio._par as aio_api
import py_identity_model.sync._par as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.client.client_auth import MtlsClientAuth, PrivateKeyJwt
from py_identity_model._core.jose.jws import parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.par import (
    PushedAuthorizationRequest,
    build_par_authorization_url,
    push_authorization_request,
)
from py_identity_model.exceptions import ConfigurationException, FailedResponseAccessError, TransportException

ENDPOINT = "https://as.example.com/as/par"
BACK = "https://client.example.org/cb"
JSON = ("content-type", "application/json")
# RFC 9126 2.2, the example response.
PUSHED = {"request_uri": "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c", "expires_in": 60}
KEY = SigningKey.generate("ES256")


def answer(members, status=201, *headers):
    return Reply(status, (JSON, *headers), json.dumps(members).encode(), ENDPOINT)


def push(**fields):
    fields = {"client_id": "s6BhdRkqt3", "redirect_uri": BACK, **fields}
    return push_authorization_request(PushedAuthorizationRequest(ENDPOINT, **fields))


def form(request):
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
    assert len({name for name, _ in pairs if name != "resource"}) == len([n for n, _ in pairs if n != "resource"])
    return dict(pairs)


def test_rfc9126_example(perform):
    """[F23] The request of RFC 9126 2.1 is pushed as it stands there, and its answer of 2.2 read."""
    flow = push(
        state="af0ifjsldkj",
        code_challenge="K2-ltc83acc4h0c9w6ESC_rEMTJ3bww-uCHaoeK1t8U",
        code_challenge_method="S256",
        scope="account-information",
        private_key_jwt=PrivateKeyJwt(KEY),
        issuer="https://as.example.com",
    )
    response, [sent] = perform(flow, answer(PUSHED))
    given = form(sent)
    assertion = json.loads(parse_compact(given.pop("client_assertion")).payload)
    assert (assertion["iss"], assertion["aud"]) == ("s6BhdRkqt3", "https://as.example.com")
    assert given == {
        "response_type": "code",
        "state": "af0ifjsldkj",
        "client_id": "s6BhdRkqt3",
        "redirect_uri": "https://client.example.org/cb",
        "code_challenge": "K2-ltc83acc4h0c9w6ESC_rEMTJ3bww-uCHaoeK1t8U",
        "code_challenge_method": "S256",
        "scope": "account-information",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert (sent.method, sent.url) == ("POST", ENDPOINT)
    assert (response.request_uri, response.expires_in) == (PUSHED["request_uri"], 60)
    assert response.expires_at == 1_800_000_060.0
    # RFC 9126 4, the example of the authorization request that follows.
    assert build_par_authorization_url("https://as.example.com/authorize", "s6BhdRkqt3", response.request_uri) == (
        "https://as.example.com/authorize?client_id=s6BhdRkqt3"
        "&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3A6esc_11ACC5bwc014ltc14eY22c"
    )


def test_only_client_id_and_request_uri_go_through_the_browser():
    """[F27] The authorization URL of a pushed request has client_id and request_uri and nothing else."""
    url = build_par_authorization_url("https://as.example.com/authorize?p=1", "app", Secret("urn:example:1"))
    assert parse_qsl(urlsplit(url).query) == [("p", "1"), ("client_id", "app"), ("request_uri", "urn:example:1")]
    for bad in (
        ("http://as.example.com/a", "app", "urn:a"),
        ("https://a.example/", "", "urn:a"),
        ("https://a.example/", "app", ""),
        ("https://a.example/?request_uri=x", "app", "urn:a"),
    ):
        with pytest.raises(ConfigurationException):
            build_par_authorization_url(*bad)


@pytest.mark.parametrize(
    ("credentials", "header", "names"),
    [
        ({}, False, {"client_id"}),
        ({"client_secret": "canary-secret"}, True, {"client_id"}),
        (
            {"client_secret": "canary-secret", "auth_method": "client_secret_post"},
            False,
            {"client_id", "client_secret"},
        ),
        ({"mtls": MtlsClientAuth("cert", "key")}, False, {"client_id"}),
        (
            {"client_secret": "canary-secret-of-32-characters-or-more", "auth_method": "client_secret_jwt"},
            False,
            {"client_id", "client_assertion", "client_assertion_type"},
        ),
    ],
)
def test_every_client_authentication(perform, credentials, header, names):
    """[F9] The client authenticates as at the token endpoint; client_id is in the form, once (RFC 9126 2.1)."""
    response, [sent] = perform(push(**credentials), answer(PUSHED, 200))
    assert form(sent).keys() == {"response_type", "redirect_uri", "scope"} | names
    assert ("Authorization" in dict(sent.headers)) == header
    assert (sent.certificate is not None) == ("mtls" in credentials)
    assert response.is_successful


def test_every_option_is_pushed(perform):
    """Options, resources, details and extra parameters are pushed like in a URL."""
    flow = push(
        max_age=0,
        prompt="login",
        claims={"userinfo": {"email": None}},
        resource=["https://a.example", "https://b.example"],
        authorization_details=[{"type": "payment"}],
        extra={"custom": "x"},
        response_mode="form_post",
        nonce="n",
        login_hint="ada",
    )
    _, [sent] = perform(flow, answer(PUSHED))
    given = form(sent)
    assert (given["max_age"], given["prompt"], given["custom"], given["login_hint"]) == ("0", "login", "x", "ada")
    assert json.loads(given["authorization_details"]) == [{"type": "payment"}]
    assert sent.body.count(b"resource=") == 2


def test_a_signed_request_is_pushed_alone(perform):
    """[M1] A signed request object is pushed in place of the parameters (RFC 9126 3)."""
    _, [sent] = perform(push(request_object=Secret("e.y.J"), state="s", client_secret="secret-1"), answer(PUSHED))
    assert form(sent) == {"request": "e.y.J"}
    assert dict(sent.headers)["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("credential", "beside"),
    [
        ({"client_secret": "secret-1", "auth_method": "client_secret_post"}, {"client_id", "client_secret"}),
        ({"private_key_jwt": PrivateKeyJwt(KEY)}, {"client_assertion_type", "client_assertion"}),
        (
            {"client_secret": "secret-1" * 8, "auth_method": "client_secret_jwt"},
            {"client_assertion_type", "client_assertion"},
        ),
        ({"mtls": MtlsClientAuth("cert.pem", "key.pem")}, {"client_id"}),
        ({}, {"client_id"}),
    ],
)
def test_beside_a_request_object_stands_what_authenticates(perform, credential, beside):
    """[M1] RFC 9126 3: the parameters of client authentication are the only ones beside the request object."""
    _, [sent] = perform(push(request_object="e.y.J", **credential), answer(PUSHED))
    assert form(sent).keys() == {"request", *beside}
    response, sent = perform(push(request_object="e.y.J", extra={"custom": "x"}, **credential))
    assert (response.error_code, sent) == ("parameter_reserved", [])


def test_dpop_binds_the_code(perform):
    """[F8] [F15] [D16] A DPoP key is shown by proof and thumbprint; the provider's nonce is taken up once."""
    key = DPoPKey()
    flow = push(dpop_key=key, private_key_jwt=PrivateKeyJwt(KEY))
    wants = answer({"error": "use_dpop_nonce"}, 400, ("dpop-nonce", "nonce-1"))
    response, sent = perform(flow, wants, answer(PUSHED, 201, ("dpop-nonce", "nonce-2")))
    assert response.is_successful
    proofs = [json.loads(parse_compact(dict(r.headers)["DPoP"]).payload) for r in sent]
    assert [p.get("nonce") for p in proofs] == [None, "nonce-1"]
    assert proofs[0]["jti"] != proofs[1]["jti"]
    assert {(p["htm"], p["htu"]) for p in proofs} == {("POST", ENDPOINT)}
    assert {form(r)["dpop_jkt"] for r in sent} == {key.jwk_thumbprint}
    assert form(sent[0])["client_assertion"] != form(sent[1])["client_assertion"]
    assert key.nonces.get(ENDPOINT) == "nonce-2"
    _, [again] = perform(push(dpop_key=key, dpop_jkt=key.jwk_thumbprint), answer(PUSHED))
    assert form(again)["dpop_jkt"] == key.jwk_thumbprint
    response, sent = perform(push(dpop_key=key, dpop_jkt="another"))
    assert (response.error_code, sent) == ("parameter_invalid", [])


def test_a_nonce_loop_ends(perform):
    """A provider that asks for a nonce for ever is asked twice (attack O8)."""
    wants = answer({"error": "use_dpop_nonce"}, 400, ("dpop-nonce", "n"))
    response, sent = perform(push(dpop_key=DPoPKey()), wants, wants)
    assert (response.error_code, len(sent)) == ("use_dpop_nonce", 2)


@pytest.mark.parametrize(
    "failure", [TransportException("lost", code="connection_lost"), answer({}, 503), answer({}, 429), answer({}, 302)]
)
def test_nothing_is_pushed_twice(perform, failure):
    """A push whose answer was lost or unfriendly is not repeated: it may have arrived."""
    response, sent = perform(push(client_secret="canary-secret"), failure)
    assert (response.is_successful, len(sent)) == (False, 1)
    with pytest.raises(FailedResponseAccessError):
        _ = response.request_uri


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"expires_in": 60}, "request_uri_missing"),
        ({"request_uri": 7, "expires_in": 60}, "request_uri_invalid"),
        ({"request_uri": "no uri", "expires_in": 60}, "request_uri_invalid"),
        ({"request_uri": "javascript:alert(1)", "expires_in": 60}, "request_uri_invalid"),
        ({"request_uri": "http://as.example.com/r", "expires_in": 60}, "request_uri_invalid"),
        ({"request_uri": "urn:" + "x" * 509, "expires_in": 60}, "request_uri_invalid"),
        ({"request_uri": "urn:example:1"}, "expires_in_missing"),
        ({"request_uri": "urn:example:1", "expires_in": 0}, "expires_in_missing"),
        ({"request_uri": "urn:example:1", "expires_in": -5}, "expires_in_invalid"),
        ({"request_uri": "urn:example:1", "expires_in": True}, "expires_in_invalid"),
    ],
)
def test_answers_that_cannot_be_used(perform, members, code):
    """request_uri and expires_in must be there and make sense (RFC 9126 2.2)."""
    response, _ = perform(push(), answer(members))
    assert (response.is_successful, response.error_code) == (False, code)


def test_a_refusal_is_told(perform):
    """The provider's refusal is told, its words made safe and the secret blacked out (RFC 9126 2.3)."""
    refused = answer({"error": "invalid_request", "error_description": "redirect_uri canary-secret\r\n"}, 400)
    response, _ = perform(push(client_secret="canary-secret"), refused)
    assert (response.error_code, response.status_code) == ("invalid_request", 400)
    assert "canary-secret" not in repr(response) + str(response.exception)
    assert "\n" not in response.error_description


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"extra": {"request_uri": "urn:a"}}, "parameter_reserved"),
        ({"extra": {"request": "e.y.J"}}, "parameter_reserved"),
        ({"extra": {"state": "x"}, "state": "s"}, "parameter_reserved"),
        ({"extra": {"client_id": "x"}}, "parameter_reserved"),
        ({"redirect_uri": "http://client.example.org/cb"}, "redirect_uri_insecure"),
        ({"response_type": "token"}, "response_type_refused"),
        ({"code_challenge": "x" * 43, "code_challenge_method": "plain"}, "code_challenge_method_refused"),
        ({"client_id": ""}, "parameter_missing"),
    ],
)
def test_requests_that_are_not_sent(perform, fields, code):
    """A request that is not valid is a failed response, and nothing is sent; request_uri is never pushed."""
    response, sent = perform(push(**fields))
    assert (response.error_code, sent) == (code, [])


def test_secrets_stay_hidden():
    """[S25] The request shows no secret, and the response no request_uri."""
    request = PushedAuthorizationRequest(
        ENDPOINT, "app", BACK, state="canary", nonce="canary", client_secret="canary", request_object="canary"
    )
    assert "canary" not in repr(request)


def test_published_fields_keep_their_places():
    """The published fields of the request stand in their published order."""
    names = [f.name for f in dataclasses.fields(PushedAuthorizationRequest) if not f.kw_only]
    assert names[:5] == ["address", "client_id", "redirect_uri", "scope", "response_type"]
    assert names[5:9] == ["state", "nonce", "code_challenge", "code_challenge_method"]
    assert names[9:] == ["client_secret", "private_key_jwt", "dpop_key", "mtls", "response_mode"]


def test_both_apis_are_twins(perform):
    """Both APIs offer the same function with the same parameters."""
    assert sync_api.__all__ == aio_api.__all__
    for name in sync_api.__all__:
        assert str(inspect.signature(getattr(sync_api, name))) == str(inspect.signature(getattr(aio_api, name)))
    request = PushedAuthorizationRequest(ENDPOINT, "app", BACK)
    if perform.kind == "sync":
        response = sync_api.push_authorization_request(request, lambda _: answer(PUSHED))
    else:
        response = perform.loop(aio_api.push_authorization_request, request, lambda _: answer(PUSHED))
    assert response.expires_in == 60
    assert PUSHED["request_uri"] not in repr(response)
