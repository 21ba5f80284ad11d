"""Logging a user in, by each driver: what is begun, what may come back, and what is made of it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import logging
import os
import pickle
import threading
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import py_identity_model.aio._login as aio_api
import py_identity_model.sync._login as sync_api
from apis import ISSUER, NOW
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.base.store import pack, unpack
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.binding.replay import UsedValues
from py_identity_model._core.client.client_auth import MtlsClientAuth, PrivateKeyJwt
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jwe import Decryption, encrypt_compact
from py_identity_model._core.jose.jwe_keys import EncryptionKey
from py_identity_model._core.jose.jws import half_hash, parse_compact, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.begin import LoginRequest, begin_login
from py_identity_model._core.login.client import LoginClient, LoginServices
from py_identity_model._core.login.complete import Returned, complete_login, refresh_login
from py_identity_model._core.login.jar import RequestSigning
from py_identity_model._core.login.pkce import generate_code_challenge
from py_identity_model._core.login.response import LoginResponse
from py_identity_model._core.login.transaction import LoginTransaction, store_key
from py_identity_model._core.validation.config import validator_for
from py_identity_model._token_validator import default_engine
from py_identity_model.exceptions import (
    AuthorizeCallbackException,
    ConfigurationException,
    FailedResponseAccessError,
    PyIdentityModelException,
    TransportException,
)
from py_identity_model.settings import Settings
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.stores._sqlite import SqliteStore
from py_identity_model.sync import _driver as sync_driver
from py_identity_model.testing import EmbeddedProvider

BACK = "https://app.example.com/cb"
KEY = SigningKey.generate("ES256", kid="k1")
OTHER_KEY = SigningKey.generate("ES256", kid="k1")
RSA_KEY = SigningKey.generate("RS256", kid="r1")
SECRET = "canary-secret-" + "0123456789abcdef" * 3
JSON = ("content-type", "application/json")


class Op:
    """A provider that is only data, with everything of a login in its hands."""

    def __init__(self, **metadata):
        self.metadata = {
            "issuer": ISSUER,
            "jwks_uri": ISSUER + "/jwks",
            "authorization_endpoint": ISSUER + "/authorize",
            "token_endpoint": ISSUER + "/token",
            "pushed_authorization_request_endpoint": ISSUER + "/par",
            "response_types_supported": [
                *("code", "id_token", "token id_token", "code id_token", "code token", "code id_token token")
            ],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256", "HS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **metadata,
        }
        self.metadata = {name: value for name, value in self.metadata.items() if value is not None}
        self.requests = []
        self.tokens = {}

    def __call__(self, request: Request) -> Reply:
        path = urlsplit(request.url).path
        if path not in ("/.well-known/openid-configuration", "/jwks"):
            self.requests.append(request)
        if path == "/jwks":
            keys = [{**key.public_jwk, "kid": key.kid, "use": "sig"} for key in (KEY, RSA_KEY)]
            return self.reply({"keys": keys})
        if path.startswith("/.well-known/"):
            return self.reply(self.metadata)
        if path == "/par":
            return self.reply({"request_uri": "urn:example:pushed", "expires_in": 60}, 201)
        return self.tokens if isinstance(self.tokens, Reply) else self.reply(self.tokens)

    @staticmethod
    def reply(members, status=200):
        return Reply(status, (JSON,), json.dumps(members).encode())

    def posted(self, path="/token"):
        """The forms that were posted there."""
        return [dict(parse_qsl(r.body.decode())) for r in self.requests if urlsplit(r.url).path == path]


class Blocking:
    """What a test without fixtures drives flows with."""

    kind = "sync"
    run = staticmethod(sync_driver.run)


class Bench:
    """A client, a provider, and the driver of the flows between them."""

    def __init__(self, perform, op=None, **client):
        self.perform = perform
        self.op = op or Op()
        stores = Stores("test", Settings())
        self.services = LoginServices(
            lambda: stores,
            lambda config, address, kind: validator_for(config, address, kind, lambda: stores, default_engine, "test"),
            UsedValues(),
        )
        self.client = make_client(**client)

    def begin(self, store=None, **request):
        return self.perform.run(begin_login(self.client, LoginRequest(**request), store, self.services), self.op)

    def started(self, **request):
        """Begin a login that works and return its transaction; the provider has tokens ready."""
        start = self.begin(**request)
        assert start.is_successful, start.error
        self.op.tokens = tokens(start.transaction)
        return start.transaction

    def complete(self, callback, transaction=None, client=None, **returned):
        flow = complete_login(client or self.client, Returned(callback, transaction, **returned), self.services)
        return self.perform.run(flow, self.op)

    def refused(self, callback, transaction, **returned):
        """Complete, expect a refusal before the token endpoint is called, and return its code."""
        response = self.complete(callback, transaction, **returned)
        assert not response.is_successful
        assert self.op.posted() == []
        with pytest.raises(FailedResponseAccessError):
            _ = response.claims
        return response.error_code

    def refresh(self, first, **kwargs):
        flow = refresh_login(self.client, "canary-refresh", first, kwargs.get("scope"), self.services)
        return self.perform.run(flow, self.op)


def make_client(**changes):
    return LoginClient(
        **{
            "issuer": ISSUER,
            "client_id": "app",
            "redirect_uri": BACK,
            "id_token_signed_response_alg": "ES256",
            **changes,
        }
    )


def id_token(transaction, key=KEY, typ="JWT", **changes):
    """A good ID token for the transaction, changed; None takes a claim away."""
    good = {
        "iss": ISSUER,
        "aud": "app",
        "sub": "ada",
        "iat": NOW,
        "exp": NOW + 600,
        "nonce": transaction.nonce,
    }
    return sign_compact({k: v for k, v in {**good, **changes}.items() if v is not None}, key, typ=typ)


def tokens(transaction, **changes):
    good = {
        "access_token": "canary-access",
        "token_type": "Bearer",
        "expires_in": 300,
        "refresh_token": "canary-refresh",
        "id_token": id_token(transaction),
    }
    return {k: v for k, v in {**good, **changes}.items() if v is not None}


def answer(transaction, mark="?", **changes):
    """The URL of a good answer to a code request, changed; None takes a parameter away."""
    good = {"code": "canary-code", "state": transaction.state, "iss": ISSUER}
    return BACK + mark + urlencode({k: v for k, v in {**good, **changes}.items() if v is not None})


@pytest.fixture
def bench(perform):
    """A bench with a plain code client."""
    return Bench(perform)


def asked(url):
    pairs = parse_qsl(urlsplit(url).query)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


# ---- begin


def test_begin(bench):
    """[S2] [S7] [S8] [F22] [F24] [F28] A login begins with a state, a nonce and a challenge that are all its own."""
    first, second = bench.begin(), bench.begin()
    sent = asked(first.url)
    kept = first.transaction
    assert first.url.startswith(ISSUER + "/authorize?")
    assert sent == {
        "client_id": "app",
        "response_type": "code",
        "redirect_uri": BACK,
        "scope": "openid",
        "state": kept.state,
        "nonce": kept.nonce,
        "code_challenge": generate_code_challenge(kept.code_verifier),
        "code_challenge_method": "S256",
    }
    assert len({sent["state"], sent["nonce"], kept.code_verifier, *asked(second.url).values()}) == 11
    assert max(len(sent["state"]), len(sent["nonce"])) <= 64
    assert (kept.issuer, kept.client_id, kept.redirect_uri, kept.response_mode) == (ISSUER, "app", BACK, "query")
    assert (kept.created_at, kept.expires_at, first.expires_at) == (NOW, NOW + 600, NOW + 600)
    assert kept.iss_required


def test_begin_with_options(bench):
    """[S13] Everything a login may ask for goes out, and what the ID token must answer is remembered."""
    start = bench.begin(
        scope="openid profile",
        prompt="login",
        max_age=0,
        acr_values=["urn:mfa", "urn:pwd"],
        claims={"id_token": {"acr": {"essential": True, "value": "urn:phr"}}},
        login_hint="ada",
        ui_locales="de",
        resource="https://api.example.com",
        authorization_details=[{"type": "payment"}],
        extra={"audience": "https://api.example.com"},
        lifetime=60,
        data={"return_to": "/orders"},
        expected_sub="ada",
    )
    sent, kept = asked(start.url), start.transaction
    assert (sent["prompt"], sent["max_age"], sent["acr_values"]) == ("login", "0", "urn:mfa urn:pwd")
    assert (sent["audience"], sent["resource"]) == ("https://api.example.com",) * 2
    assert json.loads(sent["authorization_details"]) == [{"type": "payment"}]
    assert (kept.scope, kept.max_age, kept.expected_sub) == ("openid profile", 0, "ada")
    assert kept.acr_values == ("urn:mfa", "urn:pwd", "urn:phr")
    assert (kept.resource, kept.data, kept.expires_at) == (
        ("https://api.example.com",),
        {"return_to": "/orders"},
        NOW + 60,
    )


def test_a_client_has_parameters_of_its_own(perform):
    """What a provider wants in every request, such as Auth0's audience, is said once; a login may differ."""
    bench = Bench(perform, authorization_parameters={"audience": "https://api.example.com", "access_type": "offline"})
    sent = asked(bench.begin(extra={"audience": "urn:other", "hd": "acme"}).url)
    assert (sent["audience"], sent["access_type"], sent["hd"]) == ("urn:other", "offline", "acme")
    assert asked(bench.begin().url)["audience"] == "https://api.example.com"
    assert bench.begin(extra="a=b").error_code == "parameter_invalid"


@pytest.mark.parametrize("given", [{"state": "mine"}, {"redirect_uri": "https://evil.example.com"}, {"a": 1}, "a=b"])
def test_a_client_sets_no_parameter_that_has_a_field(given):
    """Parameters of the client are refused when it is made, where they would stand twice or are no text."""
    with pytest.raises(ConfigurationException):
        make_client(authorization_parameters=given)


@pytest.mark.parametrize(
    ("request_fields", "code", "claim"),
    [
        ({"extra": {"state": "mine"}}, "parameter_reserved", "state"),
        ({"extra": {"nonce": "mine"}}, "parameter_reserved", "nonce"),
        ({"extra": {"code_challenge_method": "plain"}}, "parameter_reserved", "code_challenge_method"),
        ({"extra": {"request_uri": "urn:a"}}, "parameter_reserved", "request_uri"),
        ({"max_age": -1}, "parameter_invalid", "max_age"),
        ({"max_age": "soon"}, "parameter_invalid", "max_age"),
        ({"acr_values": 7}, "parameter_invalid", "acr_values"),
        ({"prompt": "none login"}, "parameter_invalid", "prompt"),
        ({"lifetime": 0}, "policy_invalid", "lifetime"),
        ({"lifetime": float("nan")}, "policy_invalid", "lifetime"),
        ({"lifetime": 86401}, "policy_invalid", "lifetime"),
        ({"data": {"a": object()}}, "policy_invalid", "data"),
        ({"data": {"a": "x" * 8192}}, "policy_invalid", "data"),
        ({"binding": ""}, "policy_invalid", "binding"),
        ({"expected_sub": ""}, "policy_invalid", "expected_sub"),
        ({"scope": "profile", "expected_sub": "ada"}, "policy_invalid", "expected_sub"),
        ({"dpop_jkt": "another"}, "policy_invalid", "dpop_jkt"),
    ],
)
def test_requests_that_are_not_begun(bench, request_fields, code, claim):
    """A login that cannot be used safely is not begun, and nobody is sent anywhere."""
    start = bench.begin(**request_fields)
    assert (start.is_successful, start.error_code, start.exception.claim) == (False, code, claim)
    with pytest.raises(FailedResponseAccessError):
        _ = start.url


@pytest.mark.parametrize(
    ("metadata", "client", "code", "claim"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, {}, "pkce_unsupported", "code_challenge_methods_supported"),
        ({"response_types_supported": ["id_token"]}, {}, "provider_unsupported", "response_types_supported"),
        (
            {"response_modes_supported": ["query"]},
            {"response_mode": "form_post"},
            "provider_unsupported",
            "response_modes_supported",
        ),
        (
            {"id_token_signing_alg_values_supported": ["RS256"]},
            {},
            "provider_unsupported",
            "id_token_signing_alg_values_supported",
        ),
        ({"authorization_endpoint": None}, {}, "provider_unsupported", "authorization_endpoint"),
        ({"token_endpoint": None}, {}, "provider_unsupported", "token_endpoint"),
        (
            {"pushed_authorization_request_endpoint": None, "require_pushed_authorization_requests": True},
            {},
            "provider_unsupported",
            "pushed_authorization_request_endpoint",
        ),
        (
            {"pushed_authorization_request_endpoint": None},
            {"pushed": True},
            "provider_unsupported",
            "pushed_authorization_request_endpoint",
        ),
    ],
)
def test_what_the_provider_lacks(perform, metadata, client, code, claim):
    """[S17] [S23] [F16] A login that the provider says it cannot serve is refused before the user goes there."""
    bench = Bench(perform, Op(**metadata), **client)
    start = bench.begin()
    assert (start.error_code, start.exception.claim) == (code, claim)
    assert bench.op.requests == []


@pytest.mark.parametrize(
    ("metadata", "client", "claim"),
    [
        ({"authorization_endpoint": "urn:none"}, {}, "authorization_endpoint"),
        ({"token_endpoint": 7}, {}, "token_endpoint"),
        ({"code_challenge_methods_supported": "S256"}, {}, "code_challenge_methods_supported"),
        ({"response_types_supported": {}}, {}, "response_types_supported"),
        (
            {"pushed_authorization_request_endpoint": "http://id.example.com/par"},
            {"pushed": True},
            "pushed_authorization_request_endpoint",
        ),
        (
            {"mtls_endpoint_aliases": {"pushed_authorization_request_endpoint": "http://id.example.com/par"}},
            {"pushed": True, "mtls": MtlsClientAuth("cert", "key")},
            "mtls_endpoint_aliases.pushed_authorization_request_endpoint",
        ),
    ],
)
def test_a_bad_member_is_named(perform, metadata, client, claim):
    """A login that needs a member of the metadata that cannot be used is not begun, and names it; others are."""
    bench = Bench(perform, Op(**metadata), **client)
    start = bench.begin()
    assert (start.is_successful, start.exception.claim) == (False, claim)
    assert start.error_code.startswith("discovery_")
    assert bench.op.requests == []
    unused = {"userinfo_endpoint": 7, "mtls_endpoint_aliases": {"token_endpoint": "http://id.example.com/t"}}
    assert Bench(perform, Op(**unused)).begin().is_successful


def test_a_provider_that_says_nothing_of_pkce(perform):
    """[S8] PKCE goes out also where the metadata is silent about it."""
    assert "code_challenge" in asked(Bench(perform, Op(code_challenge_methods_supported=None)).begin().url)


def test_metadata_of_another_issuer(perform):
    """[F18] Metadata that names another issuer than the client's begins no login."""
    start = Bench(perform, Op(issuer="https://evil.example.com")).begin()
    assert start.error_code == "discovery_issuer_mismatch"
    start = Bench(perform, issuer="https://app.example.com", discovery_address=ISSUER).begin()
    assert (start.error_code, start.exception.claim) == ("policy_invalid", "issuer")


def test_a_provider_out_of_reach(perform):
    """A provider that cannot be reached is a failed response, which names the network and not the user."""
    flow = begin_login(make_client(), LoginRequest(), None, Bench(perform).services)

    def gone(request):
        raise TransportException("gone", code="connection_refused")

    start = perform.run(flow, gone)
    assert (start.is_successful, start.error_code) == (False, "connection_refused")


@pytest.mark.parametrize("demanded", [True, False])
def test_begin_with_a_pushed_request(perform, demanded):
    """[F23] [F27] A request is pushed where the provider or the client wants it; the browser carries its name only."""
    op = Op(require_pushed_authorization_requests=demanded)
    bench = Bench(perform, op, pushed=None if demanded else True, client_secret=SECRET, dpop_key=DPoPKey())
    start = bench.begin(login_hint="ada", max_age=5)
    assert asked(start.url) == {"client_id": "app", "request_uri": "urn:example:pushed"}
    [pushed] = op.posted("/par")
    assert (pushed["state"], pushed["nonce"]) == (start.transaction.state, start.transaction.nonce)
    assert pushed["code_challenge"] == generate_code_challenge(start.transaction.code_verifier)
    assert (pushed["login_hint"], pushed["max_age"], pushed["client_id"]) == ("ada", "5", "app")
    assert pushed["dpop_jkt"] == bench.client.dpop_key.jwk_thumbprint
    assert "DPoP" in dict(op.requests[0].headers)


@pytest.mark.parametrize("pushed", [True, False])
def test_begin_with_a_signed_request(perform, pushed):
    """[M1] A client that signs its requests has everything inside, for this provider alone, pushed or in the URL."""
    bench = Bench(perform, pushed=pushed, request_signing=RequestSigning(KEY), dpop_key=DPoPKey())
    start = bench.begin(max_age=5, extra={"custom": "x"})
    sent = bench.op.posted("/par")[0] if pushed else asked(start.url)
    jws = parse_compact(sent.pop("request"))
    claims = json.loads(jws.payload)
    assert (jws.header["typ"], claims["aud"], claims["iss"]) == ("oauth-authz-req+jwt", ISSUER, "app")
    assert claims["exp"] - claims["nbf"] <= 3600
    assert (claims["state"], claims["nonce"]) == (start.transaction.state, start.transaction.nonce)
    assert claims["code_challenge"] == generate_code_challenge(start.transaction.code_verifier)
    assert (claims["max_age"], claims["custom"]) == (5, "x")
    assert claims["dpop_jkt"] == bench.client.dpop_key.jwk_thumbprint
    outside = {"client_id": "app"} if pushed else {"client_id": "app", "response_type": "code", "scope": "openid"}
    assert sent == outside


def test_a_push_that_is_refused(perform):
    """A refused push is a failed login, with the provider's error."""
    bench = Bench(perform, pushed=True)
    reply = bench.op.reply({"error": "invalid_request"}, 400)

    def refuse(request):
        return reply if request.url.endswith("/par") else bench.op(request)

    start = perform.run(begin_login(bench.client, LoginRequest(), None, bench.services), refuse)
    assert (start.is_successful, start.error_code) == (False, "invalid_request")


def test_dpop_binds_the_code(perform):
    """[S11] [F8] [F43] A client with a DPoP key has the code bound to it, and must still have that key at the end."""
    bench = Bench(perform, dpop_key=DPoPKey())
    start = bench.begin()
    assert asked(start.url)["dpop_jkt"] == bench.client.dpop_key.jwk_thumbprint == start.transaction.dpop_jkt
    other = make_client(dpop_key=DPoPKey())
    assert bench.complete(answer(start.transaction), start.transaction, client=other).error_code == "dpop_key_changed"


def test_certificates_use_the_aliases(perform):
    """[F7] [F14] A client with a certificate calls the endpoints that are meant for it (RFC 8705 5)."""
    aliases = {
        "token_endpoint": "https://mtls.example.com/token",
        "pushed_authorization_request_endpoint": "https://mtls.example.com/par",
    }
    bench = Bench(perform, Op(mtls_endpoint_aliases=aliases), mtls=MtlsClientAuth("cert", "key"), pushed=True)
    kept = bench.started()
    assert bench.complete(answer(kept), kept).is_successful
    assert [r.url for r in bench.op.requests] == ["https://mtls.example.com/par", "https://mtls.example.com/token"]
    assert all(r.certificate is not None for r in bench.op.requests)


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"issuer": ""}, "issuer"),
        ({"client_id": None}, "client_id"),
        ({"redirect_uri": "http://app.example.com/cb"}, "redirect_uri"),
        ({"response_type": "token"}, "response_type"),
        ({"response_type": "none"}, "response_type"),
        ({"response_mode": "web_message"}, "response_mode"),
        ({"response_type": "code id_token", "response_mode": "query"}, "response_mode"),
        ({"response_type": "id_token", "response_mode": "query.jwt"}, "response_mode"),
        ({"response_type": "code token", "scope": "profile"}, "scope"),
        ({"response_type": "id_token", "dpop_key": DPoPKey()}, "response_type"),
        ({"require_s_hash": True}, "require_s_hash"),
        ({"trusted_audiences": "other"}, "trusted_audiences"),
    ],
)
def test_clients_that_make_no_sense(changes, claim):
    """[S10] [S18] A client that could not log a user in safely is refused when it is built."""
    with pytest.raises(ConfigurationException) as caught:
        make_client(**changes)
    assert caught.value.claim == claim


# ---- the transaction


def test_a_transaction_survives_its_text(bench):
    """A transaction is the same after a trip through text, bytes and dict."""
    kept = bench.begin(acr_values="a b", resource=["https://a.example"], data={"n": [1]}, binding="cookie").transaction
    assert LoginTransaction.from_string(kept.to_string()) == kept
    assert LoginTransaction.from_string(kept.to_string().encode()) == kept
    assert LoginTransaction.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
    assert "cookie" not in kept.to_string()


def test_a_transaction_keeps_its_secrets(bench):
    """[S25] A transaction shows no secret, and is not pickled by accident."""
    start = bench.begin(data={"a": "canary"}, binding="canary")
    kept = start.transaction
    for secret in (kept.state, kept.nonce, kept.code_verifier, kept.binding, "canary"):
        assert secret not in repr(kept) + repr(start) + str(start)
    with pytest.raises(ConfigurationException):
        pickle.dumps(kept)


GOOD = {
    "version": 1, "issuer": ISSUER, "client_id": "app", "redirect_uri": BACK, "response_type": "code",
    "response_mode": "query", "scope": "openid", "state": "s", "nonce": "n", "code_verifier": "v", "created_at": 1.0,
    "expires_at": 2.0, "max_age": None, "acr_values": None, "expected_sub": None, "iss_required": True, "resource": [],
    "dpop_jkt": None, "binding": None, "data": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": True},
        {"version": None},
        {"state": ""},
        {"state": None},
        {"issuer": 7},
        {"iss_required": None},
        {"iss_required": 0},
        {"expires_at": True},
        {"expires_at": "2"},
        {"expires_at": float("inf")},
        {"created_at": -1},
        {"max_age": 1.5},
        {"max_age": -1},
        {"acr_values": []},
        {"acr_values": "a"},
        {"resource": [7]},
        {"nonce": ""},
        {"data": []},
        {"unknown": 1},
        {"scope": None},
    ],
)
def test_transactions_that_are_none(changes):
    """What is not exactly a transaction is refused, whatever a session store made of it."""
    assert LoginTransaction.from_dict(GOOD).state == "s"
    with pytest.raises(AuthorizeCallbackException) as caught:
        LoginTransaction.from_dict({**GOOD, **changes})
    assert caught.value.code == "transaction_invalid"
    for name in GOOD:
        with pytest.raises(AuthorizeCallbackException):
            LoginTransaction.from_dict({k: v for k, v in GOOD.items() if k != name})


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\ud800", b"\xff", None, 7, '{"version":1,"version":1}', "[" * 99]
)
def test_texts_that_are_no_transaction(text):
    """Text that is no JSON object is refused, and shown to nobody."""
    with pytest.raises(AuthorizeCallbackException) as caught:
        LoginTransaction.from_string(text)
    assert caught.value.code == "transaction_invalid"
    assert caught.value.__context__ is None


# ---- complete: the code flow


def test_complete(bench):
    """[S6] [F22] [F25] [F44] The code is exchanged once, with its verifier; the claims are those of the ID token."""
    kept = bench.started(data={"return_to": "/orders"}, resource="https://api.example.com")
    response = bench.complete(answer(kept, session_state="s.1"), kept.to_string())
    assert response.is_successful, response.error
    assert response.claims["sub"] == "ada"
    assert (response.access_token, response.refresh_token) == ("canary-access", "canary-refresh")
    assert (response.scope, response.expires_at) == ("openid", NOW + 300)
    assert (response.data, response.session_state) == ({"return_to": "/orders"}, "s.1")
    assert response.id_token.count(".") == 2
    assert bench.op.posted() == [
        {
            "grant_type": "authorization_code",
            "code": "canary-code",
            "redirect_uri": BACK,
            "code_verifier": kept.code_verifier,
            "resource": "https://api.example.com",
            "client_id": "app",
        }
    ]


@pytest.mark.parametrize(
    ("callback", "returned"),
    [
        (lambda t: answer(t)[len(BACK) :], {}),
        (lambda t: answer(t)[len("https://app.example.com") :], {}),
        (lambda t: answer(t)[len(BACK) + 1 :], {}),
        (lambda t: [("code", "canary-code"), ("state", t.state), ("iss", ISSUER)], {}),
        (lambda t: {"code": "canary-code", "state": t.state, "iss": ISSUER}, {"response_mode": "query"}),
    ],
)
def test_callbacks_of_every_shape(bench, callback, returned):
    """A login is completed with the URL, its query, or its parameters."""
    kept = bench.started()
    assert bench.complete(callback(kept), kept, **returned).is_successful


@pytest.mark.parametrize("client", [{"client_secret": Secret(SECRET)}, {"private_key_jwt": PrivateKeyJwt(KEY)}])
def test_the_client_authenticates(perform, client):
    """[S16] [F9] [F12] The code is exchanged with the client's credential; the assertion is for the issuer alone."""
    bench = Bench(perform, **client)
    kept = bench.started()
    assert bench.complete(answer(kept), kept).is_successful
    [request], [form] = bench.op.requests, bench.op.posted()
    if "client_secret" in client:
        assert dict(request.headers)["Authorization"].startswith("Basic ")
    else:
        assert json.loads(parse_compact(form["client_assertion"]).payload)["aud"] == ISSUER


def test_dpop_at_the_token_endpoint(perform):
    """[F8] [D16] With a DPoP key the token request carries a proof, and a Bearer answer is refused (attack O11)."""
    bench = Bench(perform, dpop_key=DPoPKey())
    kept = bench.started()
    bench.op.tokens = tokens(kept, token_type="dpop")
    assert bench.complete(answer(kept), kept).is_successful
    assert "DPoP" in dict(bench.op.requests[0].headers)
    kept = bench.started()
    assert bench.complete(answer(kept), kept).error_code == "dpop_token_expected"


EVIL = "https://evil.example.com"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": "another"}, "state_mismatch"),
        ({"state": None}, "state_missing"),
        ({"state": ""}, "state_missing"),
        ({"iss": EVIL}, "authorization_issuer_mismatch"),
        ({"iss": ISSUER + "/"}, "authorization_issuer_mismatch"),
        ({"iss": None}, "authorization_issuer_missing"),
        ({"code": None}, "authorization_response_incomplete"),
        ({"code": ""}, "authorization_response_incomplete"),
        ({"access_token": "t", "token_type": "Bearer"}, "authorization_response_unexpected"),
        ({"id_token": "e.y.J"}, "authorization_response_unexpected"),
        ({"refresh_token": "r"}, "authorization_response_unexpected"),
        ({"id_token": "e.y.J", "iss": None}, "authorization_response_unexpected"),
        ({"error": "access_denied"}, "authorization_response_ambiguous"),
        ({"response": "e.y.J"}, "authorization_response_ambiguous"),
        ({"code": "x" * 8193}, "authorization_response_too_long"),
        ({"code": "a\r\nb"}, "authorization_response_malformed"),
        ({"code": None, "error": "access_denied", "iss": EVIL}, "authorization_issuer_mismatch"),
        ({"code": None, "error": "access_denied", "iss": None}, "access_denied"),
        ({"code": None, "error": "access_denied", "state": "another"}, "state_mismatch"),
    ],
)
def test_answers_that_are_refused(bench, changes, code):
    """[S2] [S3] [S4] [I2] [I4] [I7] [F26] A wrong answer is refused before any endpoint is called (O1, O2, O4)."""
    kept = bench.started()
    assert bench.refused(answer(kept, **changes), kept) == code


@pytest.mark.parametrize("name", ["code", "state", "iss"])
def test_duplicates_are_refused(bench, name):
    """[I6] An answer that says something twice is refused, even if it says the same (attack O4)."""
    kept = bench.started()
    value = {"code": "canary-code", "state": kept.state, "iss": ISSUER}[name]
    assert bench.refused(answer(kept) + "&" + urlencode({name: value}), kept) == "authorization_response_duplicate"


def test_login_required_without_the_announced_issuer(perform):
    """[I7] prompt=none is answered by providers that forget to name themselves: the error is told, the code is not.

    A client that demands the issuer in any case is told of the missing issuer instead; an error in the name of another
    provider counts nowhere.
    """
    bench = Bench(perform)
    kept = bench.started(prompt="none")
    response = bench.complete(answer(kept, code=None, error="login_required", iss=None), kept)
    assert (response.error_code, response.exception.code) == ("login_required", "authorization_refused")
    assert response.needs_new_login
    for iss, code in ((None, "authorization_issuer_missing"), (EVIL, "authorization_issuer_mismatch")):
        strict = Bench(perform, require_iss=True)
        kept = strict.started(prompt="none")
        response = strict.complete(answer(kept, code=None, error="login_required", iss=iss), kept)
        assert (response.error_code, response.needs_new_login) == (code, True)


def test_the_providers_error(bench):
    """A refusal by the provider that was asked is told in its own words, made safe; the login is over."""
    kept = bench.started()
    url = answer(
        kept, code=None, error="access_denied", error_description="no\r\n\x1b[0m", error_uri="https://e.example"
    )
    response = bench.complete(url, kept)
    assert (response.error_code, response.error_description) == ("access_denied", "no\\r\\n\\x1b[0m")
    assert response.error_uri == "https://e.example"
    with pytest.raises(AuthorizeCallbackException, match="access_denied"):
        response.raise_for_error()
    assert bench.refused(answer(kept), kept) == "transaction_used"


def test_an_issuer_that_was_not_announced(perform):
    """[I5] An iss from a provider that does not announce it counts only if it is the provider's that was asked."""
    bench = Bench(perform, Op(authorization_response_iss_parameter_supported=None))
    for changes, good in (({"iss": None}, True), ({}, True), ({"iss": EVIL}, False)):
        kept = bench.started()
        assert bench.complete(answer(kept, **changes), kept).is_successful is good
    strict = Bench(perform, Op(authorization_response_iss_parameter_supported=None), require_iss=True)
    kept = strict.started()
    assert strict.refused(answer(kept, iss=None), kept) == "authorization_issuer_missing"


def test_a_login_is_completed_once(bench):
    """[S19] A transaction counts once, also where the first attempt failed (attack O1)."""
    kept = bench.started()
    assert bench.complete(answer(kept), kept).is_successful
    again = bench.complete(answer(kept), kept)
    assert (again.error_code, len(bench.op.posted())) == ("transaction_used", 1)
    kept = bench.started()
    bench.complete(answer(kept, iss=EVIL), kept)
    assert bench.complete(answer(kept), kept).error_code == "transaction_used"


def test_a_login_ends(bench, clock):
    """[S19] A transaction that took too long is refused."""
    kept = bench.started(lifetime=60)
    clock.advance(60)
    assert bench.refused(answer(kept), kept) == "transaction_expired"


def test_crossed_logins(bench):
    """[S7] [F25] Two logins of one browser do not mix: each answer fits its own transaction (attacks C8, T11)."""
    first, second = bench.started(), bench.started()
    assert bench.refused(answer(first), second) == "state_mismatch"
    assert bench.refused(answer(second), first) == "state_mismatch"
    bench.op.tokens = tokens(first)
    assert bench.complete(answer(second), second).error_code == "nonce_mismatch"
    assert bench.complete(answer(first), first).is_successful


@pytest.mark.parametrize(("name", "value"), [("issuer", EVIL), ("client_id", "other")])
def test_another_client_completes(bench, name, value):
    """[S3] [S4] A login begun at one provider is not completed with another one's client (attack O2)."""
    kept = bench.started()
    other = make_client(**{name: value})
    assert bench.complete(answer(kept), kept, client=other).error_code == "transaction_mismatch"
    assert bench.op.posted() == []


@pytest.mark.parametrize(
    "address",
    ["https://evil.example.com/cb", "http://app.example.com/cb", BACK + "/other", "https://app.example.com/CB"],
)
def test_another_address(bench, address):
    """[S5] A response that came to another address than the login's is refused."""
    kept = bench.started()
    assert bench.refused(answer(kept).replace(BACK, address), kept) == "redirect_uri_mismatch"


def test_apps_of_their_own_scheme(perform):
    """A redirect address of an app's own scheme works (RFC 8252 7.1), and so does one with a query."""
    for address in ("com.example.app:/cb", BACK + "?tenant=1"):
        bench = Bench(perform, redirect_uri=address)
        kept = bench.started()
        url = address + ("&" if "?" in address else "?") + answer(kept)[len(BACK) + 1 :]
        assert bench.complete(url, kept).is_successful


@pytest.mark.parametrize(
    ("asked_for", "callback", "returned"),
    [
        (None, lambda t: answer(t, "#"), {}),
        (None, lambda t: answer(t)[len(BACK) + 1 :].encode(), {}),
        (None, lambda t: {"code": "c", "state": t.state, "iss": ISSUER}, {"response_mode": "form_post"}),
        ("fragment", answer, {}),
        ("form_post", answer, {}),
        ("form_post", lambda t: answer(t)[len(BACK) + 1 :], {}),
        ("jwt", answer, {}),
        ("form_post.jwt", lambda t: {"code": "c", "state": t.state, "iss": ISSUER}, {}),
    ],
)
def test_responses_in_another_mode(perform, asked_for, callback, returned):
    """[M2] A response that came another way than was asked for is refused, and plain parameters for a JWT as well."""
    bench = Bench(perform, response_mode=asked_for)
    kept = bench.started()
    assert bench.refused(callback(kept), kept, **returned) == "response_mode_mismatch"


def test_form_post_and_fragment(perform):
    """A form body and a fragment complete a login that asked for them."""
    bench = Bench(perform, response_mode="form_post")
    kept = bench.started()
    assert asked(bench.begin().url)["response_mode"] == "form_post"
    assert bench.complete(answer(kept)[len(BACK) + 1 :].encode(), kept).is_successful
    bench = Bench(perform, response_mode="fragment")
    kept = bench.started()
    assert bench.complete(answer(kept, "#"), kept).is_successful


# ---- complete: the ID token


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"nonce": "another"}, "nonce_mismatch"),
        ({"nonce": None}, "nonce_mismatch"),
        ({"iss": EVIL}, "issuer_mismatch"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"aud": ["app", "other"]}, "audience_untrusted"),
        ({"azp": "other"}, "authorized_party_mismatch"),
        ({"exp": NOW - 60}, "token_expired"),
        ({"iat": NOW + 600, "exp": NOW + 700}, "token_not_yet_valid"),
        ({"sub": None}, "claim_missing"),
        ({"iat": None}, "claim_missing"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "hash_mismatch"),
        ({"c_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "hash_mismatch"),
        ({"key": OTHER_KEY}, "signature_invalid"),
        ({"key": RSA_KEY}, "alg_not_allowed"),
        ({"typ": "at+jwt"}, "typ_mismatch"),
        ({"events": {}}, None),
    ],
)
def test_id_tokens_that_are_refused(bench, changes, code):
    """[S9] [O2] [O3] [O4] [O6] [O7] [O9] [O10] [O11] [M5] No token of a login is used whose ID token is not good."""
    kept = bench.started()
    bench.op.tokens = tokens(kept, id_token=id_token(kept, **changes))
    response = bench.complete(answer(kept), kept)
    assert not response.is_successful
    assert code in (None, response.error_code)
    for name in ("access_token", "refresh_token", "id_token", "claims", "token"):
        with pytest.raises(FailedResponseAccessError):
            getattr(response, name)
    assert "canary" not in repr(response) + str(response.exception)


def test_hashes_that_hold(bench):
    """[O13] at_hash and c_hash are compared where they are there, and not demanded of the token endpoint."""
    kept = bench.started()
    hashes = {"at_hash": half_hash("ES256", "canary-access"), "c_hash": half_hash("ES256", "canary-code")}
    bench.op.tokens = tokens(kept, id_token=id_token(kept, **hashes))
    assert bench.complete(answer(kept), kept).is_successful


def test_an_id_token_that_does_not_come(bench):
    """With openid a login without an ID token is none: nobody would know who it is."""
    kept = bench.started()
    bench.op.tokens = tokens(kept, id_token=None)
    assert bench.complete(answer(kept), kept).error_code == "id_token_missing"


def test_a_login_without_openid(perform):
    """Plain OAuth has no nonce and no claims; an ID token that nobody asked for is not passed on."""
    bench = Bench(perform, scope="read")
    kept = bench.started()
    assert kept.nonce is None
    bench.op.tokens = tokens(kept, id_token="not.even.one", scope="read")
    response = bench.complete(answer(kept), kept)
    assert (response.is_successful, response.claims, response.id_token) == (True, None, None)
    assert response.access_token == "canary-access"


@pytest.mark.parametrize(
    ("request_fields", "claims", "code"),
    [
        ({"max_age": 60}, {"auth_time": NOW - 30}, None),
        ({"max_age": 60}, {"auth_time": NOW - 600}, "authentication_too_old"),
        ({"max_age": 0}, {"auth_time": NOW - 60}, "authentication_too_old"),
        ({"max_age": 0}, {"auth_time": NOW}, None),
        ({"max_age": 0}, {}, "claim_missing"),
        ({"acr_values": "urn:mfa urn:phr"}, {"acr": "urn:phr"}, None),
        ({"acr_values": "urn:mfa"}, {"acr": "urn:pwd"}, "acr_mismatch"),
        ({"acr_values": "urn:mfa"}, {}, "acr_mismatch"),
        ({"acr_values": "urn:mfa", "accept_other_authentication_contexts": True}, {"acr": "urn:pwd"}, None),
        ({"claims": {"id_token": {"acr": {"essential": True, "values": ["urn:mfa"]}}}}, {}, "acr_mismatch"),
        ({"claims": {"id_token": {"acr": None}}}, {}, None),
        ({"expected_sub": "ada"}, {}, None),
        ({"expected_sub": "eve"}, {}, "subject_mismatch"),
    ],
)
def test_what_was_asked_for_is_demanded(bench, request_fields, claims, code):
    """[O12] [O13] max_age, also 0, acr and the user who was expected are demanded of the ID token (attack C12)."""
    kept = bench.started(**request_fields)
    bench.op.tokens = tokens(kept, id_token=id_token(kept, **claims))
    response = bench.complete(answer(kept), kept)
    assert (response.is_successful, response.error_code) == (code is None, code)


def test_trusted_audiences(perform):
    """[O3] An audience beside the client is taken if it is trusted by name, and no other."""
    bench = Bench(perform, trusted_audiences=["other"])
    for aud, good in ((["app", "other"], True), (["app", "third"], False), (["app"], True), (["other"], False)):
        kept = bench.started()
        bench.op.tokens = tokens(kept, id_token=id_token(kept, aud=aud))
        assert bench.complete(answer(kept), kept).is_successful is good


def test_symmetric_id_tokens(perform):
    """[O8] A client registered for HS256 takes ID tokens under its own secret, and under no other."""
    bench = Bench(perform, id_token_signed_response_alg="HS256", client_secret=SECRET)
    for secret, good in ((SECRET, True), ("x" * 48, False)):
        kept = bench.started()
        bench.op.tokens = tokens(kept, id_token=id_token(kept, SigningKey.from_secret(secret, "HS256")))
        assert bench.complete(answer(kept), kept).is_successful is good
    without = Bench(perform, id_token_signed_response_alg="HS256")
    kept = without.started()
    assert without.complete(answer(kept), kept).error_code == "policy_invalid"


def test_the_registered_algorithm_is_rs256_by_default(perform):
    """[O7] Without another registration ID tokens are signed with RS256, and with nothing else."""
    bench = Bench(perform, id_token_signed_response_alg="RS256")
    assert LoginClient(issuer=ISSUER, client_id="app", redirect_uri=BACK).id_token_signed_response_alg == "RS256"
    for key, good in ((RSA_KEY, True), (KEY, False)):
        kept = bench.started()
        bench.op.tokens = tokens(kept, id_token=id_token(kept, key))
        assert bench.complete(answer(kept), kept).is_successful is good


def test_encrypted_id_tokens(perform):
    """[O1] An ID token that is registered to be encrypted is decrypted, and one that merely is signed refused."""
    secret = os.urandom(32)
    decryption = Decryption(EncryptionKey.from_secret(secret))
    bench = Bench(perform, id_token_decryption=decryption)
    kept = bench.started()
    assert not bench.complete(answer(kept), kept).is_successful
    kept = bench.started()
    key = EncryptionKey.from_secret(secret)
    sealed = encrypt_compact(id_token(kept), key, alg="A256KW", enc="A256GCM", cty="JWT")
    bench.op.tokens = tokens(kept, id_token=sealed)
    response = bench.complete(answer(kept), kept)
    assert response.is_successful, response.error
    plain = Bench(perform)
    kept = plain.started()
    plain.op.tokens = tokens(kept, id_token=sealed)
    assert not plain.complete(answer(kept), kept).is_successful


@pytest.mark.parametrize("failure", [Reply(503), Op.reply({"error": "invalid_grant"}, 400), Op.reply({}), Reply(302)])
def test_a_code_is_never_sent_twice(bench, failure):
    """[F44] A failing exchange is a failed login: the code is not tried again, and the transaction is used up."""
    kept = bench.started()
    bench.op.tokens = failure
    assert not bench.complete(answer(kept), kept).is_successful
    assert len(bench.op.posted()) == 1
    assert bench.complete(answer(kept), kept).error_code == "transaction_used"


# ---- hybrid and implicit


def front(kept, kinds, **changes):
    """The parameters of a good hybrid or implicit answer; ``claims`` change the ID token, others the parameters."""
    claims = changes.pop("claims", {})
    values = {"state": kept.state, "iss": ISSUER}
    hashes = {"s_hash": half_hash("ES256", kept.state)}
    if "code" in kinds:
        values["code"] = "canary-code"
        hashes["c_hash"] = half_hash("ES256", "canary-code")
    if "token" in kinds:
        values |= {"access_token": "canary-front", "token_type": "bearer", "expires_in": "60"}
        hashes["at_hash"] = half_hash("ES256", "canary-front")
    if "id_token" in kinds:
        values["id_token"] = id_token(kept, **{**hashes, **claims})
    return BACK + "#" + urlencode({k: v for k, v in {**values, **changes}.items() if v is not None})


HYBRID = ["code id_token", "code token", "code id_token token"]
IMPLICIT = ["id_token", "id_token token", "token id_token"]


@pytest.mark.parametrize("response_type", HYBRID + IMPLICIT)
def test_hybrid_and_implicit(perform, response_type):
    """[S22] Every hybrid and implicit flow ends with claims, and with the tokens of the token endpoint if there are."""
    bench = Bench(perform, response_type=response_type)
    kinds = response_type.split()
    kept = bench.started()
    assert (kept.response_mode, kept.code_verifier is not None) == ("fragment", "code" in kinds)
    response = bench.complete(front(kept, kinds), kept)
    assert response.is_successful, response.error
    assert (response.claims["sub"], response.scope) == ("ada", "openid")
    expected = "canary-access" if "code" in kinds else "canary-front" if "token" in kinds else None
    assert response.access_token == expected
    assert len(bench.op.posted()) == ("code" in kinds)
    if response_type == "id_token token":
        assert response.expires_at == NOW + 60


@pytest.mark.parametrize(
    ("response_type", "changes", "code"),
    [
        ("code id_token", {"claims": {"c_hash": None}}, "hash_missing"),
        ("code id_token", {"claims": {"c_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "hash_mismatch"),
        ("code id_token", {"claims": {"s_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "hash_mismatch"),
        ("code id_token", {"code": "injected"}, "hash_mismatch"),
        ("code id_token", {"id_token": None}, "authorization_response_incomplete"),
        ("code id_token", {"code": None}, "authorization_response_incomplete"),
        ("code id_token", {"access_token": "t", "token_type": "Bearer"}, "authorization_response_unexpected"),
        ("code id_token", {"claims": {"nonce": "another"}}, "nonce_mismatch"),
        ("code id_token", {"claims": {"nonce": None}}, "nonce_mismatch"),
        ("code id_token", {"claims": {"key": OTHER_KEY}}, "signature_invalid"),
        ("code id_token token", {"claims": {"at_hash": None}}, "hash_missing"),
        ("code id_token token", {"claims": {"c_hash": None}}, "hash_missing"),
        ("code id_token token", {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "hash_mismatch"),
        ("code id_token token", {"access_token": "injected"}, "hash_mismatch"),
        ("code token", {"id_token": "e.y.J"}, "authorization_response_unexpected"),
        ("code token", {"access_token": None}, "authorization_response_incomplete"),
        ("id_token token", {"claims": {"at_hash": None}}, "hash_missing"),
        ("id_token token", {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "hash_mismatch"),
        ("id_token token", {"access_token": "injected"}, "hash_mismatch"),
        ("id_token token", {"token_type": "mac"}, "token_type_unsupported"),
        ("id_token token", {"token_type": None}, "token_type_unsupported"),
        ("id_token", {"claims": {"nonce": None}}, "nonce_mismatch"),
        ("id_token", {"claims": {"sub": None}}, "claim_missing"),
        ("id_token", {"claims": {"iss": EVIL}}, "issuer_mismatch"),
        ("id_token", {"code": "c"}, "authorization_response_unexpected"),
        ("id_token", {"iss": EVIL}, "authorization_issuer_mismatch"),
    ],
)
def test_front_channel_answers_that_are_refused(perform, response_type, changes, code):
    """[S22] [O11] [O13] What comes through the browser is bound by nonce and hashes, or refused (attack C9)."""
    bench = Bench(perform, response_type=response_type)
    kept = bench.started()
    assert bench.refused(front(kept, response_type.split(), **changes), kept) == code


def test_an_id_token_of_the_front_channel_stands_for_iss(perform):
    """[I4] [O2] Where an ID token comes along, iss may be absent, because the token's is checked; never for a code."""
    bench = Bench(perform, response_type="code id_token")
    kept = bench.started()
    assert bench.complete(front(kept, ["code", "id_token"], iss=None), kept).is_successful
    bench = Bench(perform, response_type="code id_token")
    kept = bench.started()
    assert bench.refused(front(kept, ["code", "id_token"], iss=None, claims={"iss": EVIL}), kept) == "issuer_mismatch"
    for response_type, options in (("code token", {}), ("code id_token", {"require_iss": True})):
        bench = Bench(perform, response_type=response_type, **options)
        kept = bench.started()
        callback = front(kept, response_type.split(), iss=None)
        assert bench.refused(callback, kept) == "authorization_issuer_missing"


def test_s_hash_can_be_demanded(perform):
    """[O13] FAPI 1.0 Advanced demands s_hash; OpenID Connect does not know it."""
    for required, good in ((False, True), (True, False)):
        bench = Bench(perform, response_type="code id_token", require_s_hash=required)
        kept = bench.started()
        callback = front(kept, ["code", "id_token"], claims={"s_hash": None})
        assert bench.complete(callback, kept).is_successful is good


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "another"}, "nonce_mismatch"),
        ({"nonce": None}, "nonce_mismatch"),
        ({"sub": "eve"}, "id_token_mismatch"),
        ({"iss": EVIL}, "issuer_mismatch"),
    ],
)
def test_the_second_id_token_of_a_hybrid_login(perform, claims, code):
    """[S9] The ID token from the token endpoint is validated as well, and is about the same user (Core 3.3.3.6)."""
    bench = Bench(perform, response_type="code id_token")
    kept = bench.started()
    bench.op.tokens = tokens(kept, id_token=id_token(kept, **claims))
    response = bench.complete(front(kept, ["code", "id_token"]), kept)
    assert (response.is_successful, response.error_code) == (False, code)


def test_max_age_in_the_implicit_flow(perform):
    """[O12] Where the front channel has the only ID token, max_age and the user are demanded of that."""
    bench = Bench(perform, response_type="id_token")
    kept = bench.started(max_age=0)
    assert bench.refused(front(kept, ["id_token"]), kept) == "claim_missing"
    kept = bench.started(expected_sub="eve")
    assert bench.refused(front(kept, ["id_token"]), kept) == "subject_mismatch"


# ---- responses in a JWT


def jarm(kept, key=KEY, **changes):
    good = {"iss": ISSUER, "aud": "app", "exp": NOW + 60, "code": "canary-code", "state": kept.state}
    return sign_compact({k: v for k, v in {**good, **changes}.items() if v is not None}, key)


@pytest.mark.parametrize("mode", ["jwt", "query.jwt", "fragment.jwt", "form_post.jwt"])
def test_responses_in_a_jwt(perform, mode):
    """[M2] [M3] A response in a JWT completes a login that asked for one, by each of its ways."""
    bench = Bench(perform, response_mode=mode)
    assert asked(bench.begin().url)["response_mode"] == mode
    kept = bench.started()
    callback = BACK + ("#" if mode == "fragment.jwt" else "?") + "response=" + jarm(kept)
    if mode == "form_post.jwt":
        callback = ("response=" + jarm(kept)).encode()
    assert bench.complete(callback, kept).is_successful


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": EVIL}, "issuer_mismatch"),
        ({"iss": None}, None),
        ({"aud": "other"}, "audience_mismatch"),
        ({"aud": None}, None),
        ({"exp": NOW - 60}, "token_expired"),
        ({"exp": None}, None),
        ({"key": OTHER_KEY}, "signature_invalid"),
        ({"key": RSA_KEY}, "alg_not_allowed"),
        ({"state": "another"}, "state_mismatch"),
        ({"state": None}, "state_missing"),
        ({"code": None}, "authorization_response_incomplete"),
        ({"error": "access_denied"}, "authorization_response_ambiguous"),
        ({"code": None, "error": "access_denied"}, "access_denied"),
    ],
)
def test_responses_in_a_jwt_that_are_refused(perform, changes, code):
    """[M3] [I3] A JWT that is not the provider's, not for this client, expired or of another login is refused."""
    bench = Bench(perform, response_mode="jwt")
    kept = bench.started()
    found = bench.refused(f"{BACK}?response={jarm(kept, **changes)}", kept)
    assert code in (None, found)


def test_a_jwt_that_nobody_asked_for(bench):
    """[M3] A response in a JWT where plain parameters were asked for, or in another way, is refused."""
    kept = bench.started()
    assert bench.refused(f"{BACK}?response={jarm(kept)}", kept) == "response_mode_mismatch"
    other = Bench(bench.perform, response_mode="fragment.jwt")
    kept = other.started()
    assert other.refused(f"{BACK}?response={jarm(kept)}", kept) == "response_mode_mismatch"


class Rotating(Op):
    """A provider whose key set can be replaced, and that counts how often it is asked for it."""

    def __init__(self):
        super().__init__()
        self.published = (KEY,)
        self.asked = 0

    def __call__(self, request):
        if urlsplit(request.url).path != "/jwks":
            return super().__call__(request)
        self.asked += 1
        return self.reply({"keys": [{**key.public_jwk, "kid": key.kid, "use": "sig"} for key in self.published]})


def stranger(name):
    return SigningKey.generate("ES256", kid=name)


def test_a_flood_of_responses_in_a_jwt_waits_for_nothing(perform, clock):
    """[K5] Callbacks of nobody's login are refused before a key is looked for; one with a state gets one attempt."""
    bench = Bench(perform, Rotating(), response_mode="jwt")
    kept = bench.started()
    for n in range(50):
        forged = jarm(kept, stranger("unknown"), state=f"forged-{n}")
        assert bench.refused(f"{BACK}?response={forged}", kept) == "state_mismatch"
        assert bench.refused(f"{BACK}?response={forged}", None, store=MemoryStore()) == "transaction_unknown"
    assert (bench.op.asked, clock.slept) == (0, [])
    known = jarm(kept, stranger("unknown"))
    codes = [bench.refused(f"{BACK}?response={known}", kept) for _ in range(20)]
    assert codes == ["key_unknown"] + ["transaction_used"] * 19
    assert bench.op.asked == 3  # the first set, and the two looks of one response


# ---- stores and bindings


def test_a_store_keeps_the_login(bench):
    """[S19] [S24] A store gives a login out once, to the user agent that began it (attack O1)."""
    store = MemoryStore()
    start = bench.begin(store, binding="cookie-1")
    assert (start.transaction, len(store._kept)) == (None, 1)
    kept = kept_in(store)
    assert kept.state not in str(next(iter(store._kept)))
    bench.op.tokens = tokens(kept)
    response = bench.complete(answer(kept), store=store, binding="cookie-1")
    assert (response.is_successful, len(store._kept)) == (True, 0)
    again = bench.complete(answer(kept), store=store, binding="cookie-1")
    assert again.error_code == "transaction_unknown"


def kept_in(store):
    """Return the oldest transaction in a store of this process."""
    return LoginTransaction.from_string(unpack(next(iter(store._kept.values())).value))


@pytest.mark.parametrize("binding", ["cookie-2", None, Secret("cookie-2")])
def test_another_browser(bench, binding):
    """[S2] [S24] A login is not completed by a browser that did not begin it, with a store or without (attack O1)."""
    store = MemoryStore()
    bench.begin(store, binding="cookie-1")
    kept = kept_in(store)
    assert bench.refused(answer(kept), None, store=store, binding=binding) == "binding_mismatch"
    assert len(store._kept) == 0
    kept = bench.started(binding=Secret("cookie-1"))
    assert bench.refused(answer(kept), kept, binding=binding) == "binding_mismatch"
    assert bench.complete(answer(kept), kept, binding="cookie-1").is_successful
    unbound = bench.started()
    assert bench.complete(answer(unbound), unbound, binding="cookie-1").error_code == "binding_mismatch"


def test_a_store_needs_a_binding(bench):
    """[S2] A store that every browser leads to is not used without a binding."""
    start = bench.begin(MemoryStore())
    assert (start.error_code, start.exception.claim) == ("policy_invalid", "binding")
    kept = bench.started()
    for returned in ({"store": MemoryStore(), "transaction": kept}, {}):
        response = bench.complete(answer(kept), returned.get("transaction"), store=returned.get("store"))
        assert response.error_code == "transaction_missing"
    store = MemoryStore()
    store.put("logins", store_key(kept.state), pack(kept.to_string().encode()), 600)
    assert bench.refused(answer(kept), None, store=store) == "binding_missing"
    assert bench.refused(answer(kept), 7) == "policy_invalid"
    assert bench.refused(answer(kept), "{}") == "transaction_invalid"


def test_a_store_forgets(bench, clock):
    """A store forgets what took too long, and is bounded: more logins at once than it holds are refused."""
    store = MemoryStore(2, clock=lambda: clock.wall)
    for _ in range(2):
        assert bench.begin(store, binding="c", lifetime=60).is_successful
    assert bench.begin(store, binding="c", lifetime=60).error_code == "store_full"
    kept = kept_in(store)
    clock.advance(60)
    assert bench.refused(answer(kept), None, store=store, binding="c") == "transaction_unknown"
    assert bench.begin(store, binding="c").is_successful


class Remote:
    """A store elsewhere: it answers at once, in time, or not at all."""

    def __init__(self, broken=False, awaited=False):
        self.kept = {}
        self.broken = broken
        self.awaited = awaited

    def put(self, topic, key, value, lifetime):
        self.kept[topic, key] = value
        return self.answer(True)

    def get(self, topic, key):
        return self.answer(self.kept.get((topic, key)))

    def delete(self, topic, key):
        return self.answer(self.kept.pop((topic, key), None) is not None)

    def answer(self, value):
        if self.broken:
            raise OSError("canary-host is down")
        return self.later(value) if self.awaited else value

    async def later(self, value):
        return value


def test_stores_elsewhere(bench):
    """A store may answer later where the API can wait; one that fails is told of without its words."""
    store = Remote(awaited=bench.perform.kind != "sync")
    assert bench.begin(store, binding="c").is_successful
    kept = LoginTransaction.from_string(unpack(next(iter(store.kept.values()))))
    bench.op.tokens = tokens(kept)
    assert bench.complete(answer(kept), store=store, binding="c").is_successful
    start = bench.begin(Remote(broken=True), binding="c")
    assert start.error_code == "store_failed"
    assert "canary" not in str(start.exception)
    assert start.exception.__context__ is None
    response = bench.complete(answer(kept), store=Remote(broken=True), binding="c")
    assert response.error_code == "store_failed"


def test_a_value_of_another_version_is_no_login(bench):
    """What a store holds and cannot be read is a login that is not there."""
    store = MemoryStore()
    bench.begin(store, binding="c")
    kept = kept_in(store)
    store.put("logins", store_key(kept.state), pack(kept.to_string().encode(), 2), 600)
    assert bench.refused(answer(kept), None, store=store, binding="c") == "transaction_unknown"


def test_a_login_in_a_file(bench, tmp_path):
    """A store that may block is asked away from the event loop, and gives a login out once."""
    store = SqliteStore(tmp_path / "logins.db", clock=lambda: NOW)
    threads = set()
    get = store.get
    store.get = lambda *names: threads.add(threading.current_thread()) or get(*names)
    assert bench.begin(store, binding="c").is_successful
    row = store._connection.execute("SELECT value FROM entries").fetchone()
    kept = LoginTransaction.from_string(unpack(row[0]))
    bench.op.tokens = tokens(kept)
    assert bench.complete(answer(kept), store=store, binding="c").is_successful
    assert bench.complete(answer(kept), store=store, binding="c").error_code == "transaction_unknown"
    assert (threading.main_thread() in threads) == (bench.perform.kind == "sync")
    store.close()


def test_the_blocking_api_takes_no_awaitable_store(clock):
    """A store that wants to be awaited is refused by the blocking API, never ignored."""
    bench = Bench(Blocking())
    start = bench.begin(Remote(awaited=True), binding="c")
    assert not start.is_successful


def test_header_fields_for_each_request(perform):
    """Further header fields go to every endpoint of a login, made anew for each where a function makes them."""
    count = iter(range(10))
    bench = Bench(perform, pushed=True, headers=lambda: {"x-fapi-interaction-id": f"n-{next(count)}"})
    kept = bench.started()
    assert bench.complete(answer(kept), kept).is_successful
    assert [dict(r.headers)["x-fapi-interaction-id"] for r in bench.op.requests] == ["n-0", "n-1"]
    fixed = Bench(perform, headers={"x-tenant": "canary-tenant"})
    kept = fixed.started()
    assert fixed.complete(answer(kept), kept).is_successful
    assert dict(fixed.op.requests[-1].headers)["x-tenant"] == "canary-tenant"
    assert "canary" not in repr(fixed.client)
    for broken in (lambda: 5, lambda: {}["canary"], lambda: {"Authorization": "x"}, {"x y": "1"}):
        response = Bench(perform, pushed=True, headers=broken).begin()
        assert (response.is_successful, response.error_code[:7]) == (False, "header_")
        assert "canary" not in str(response.error)


# ---- refresh


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"nonce": None}, None),
        ({}, None),
        ({"nonce": None, "sub": "eve"}, "refresh_mismatch"),
        ({"nonce": None, "iss": EVIL}, "issuer_mismatch"),
        ({"nonce": None, "iat": NOW - 60}, "refresh_mismatch"),
        ({"nonce": None, "iat": NOW - 11}, "refresh_mismatch"),
        ({"nonce": None, "iat": NOW - 10}, None),
        ({"nonce": None, "auth_time": NOW - 5}, None),
        ({"nonce": "new"}, "refresh_mismatch"),
        ({"nonce": None, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "hash_mismatch"),
        ({"nonce": None, "key": OTHER_KEY}, "signature_invalid"),
    ],
)
def test_refreshed_id_tokens(bench, changes, code):
    """[S30] [F13] A refreshed ID token continues the first one, or the refresh fails (OpenID Connect Core 12.2)."""
    kept = bench.started()
    first = bench.complete(answer(kept), kept).claims
    bench.op.tokens = tokens(kept, id_token=id_token(kept, **changes), refresh_token="second")
    response = bench.refresh(first)
    assert (response.is_successful, response.error_code) == (code is None, code)
    if code is None:
        assert (response.claims["sub"], response.refresh_token) == ("ada", "second")
    assert bench.op.posted()[-1] == {
        "grant_type": "refresh_token",
        "refresh_token": "canary-refresh",
        "client_id": "app",
    }


def test_a_refresh_without_an_id_token(bench):
    """A refresh may bring no ID token; the old refresh token stays good where no new one came."""
    kept = bench.started()
    bench.op.tokens = tokens(kept, id_token=None, refresh_token=None)
    response = bench.refresh({"iss": ISSUER, "sub": "ada", "aud": "app"}, scope="openid")
    assert (response.claims, response.refresh_token, response.scope) == (None, "canary-refresh", "openid")
    forgotten = bench.refresh(None)
    assert (forgotten.error_code, len(bench.op.posted())) == ("policy_invalid", 1)


# ---- both APIs, and whatever comes


def test_both_apis_are_twins():
    """Both APIs offer the same functions with the same parameters."""
    assert sync_api.__all__ == aio_api.__all__
    for name in sync_api.__all__:
        assert str(inspect.signature(getattr(sync_api, name))) == str(inspect.signature(getattr(aio_api, name)))
        assert inspect.iscoroutinefunction(getattr(aio_api, name))


def test_a_whole_login(api):
    """Both APIs log a user in at a provider, push the request, refresh, and complete nothing twice."""
    provider = EmbeddedProvider()
    api_module = sync_api if api.name == "sync" else aio_api
    client = LoginClient(
        issuer=provider.issuer,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        redirect_uri="https://client.example.com/callback",
        scope="openid offline_access",
        pushed=True,
    )
    start = api.call(api_module.begin_login, client, LoginRequest(data={"n": 1}), provider.transport)
    location = provider.handle(Request("GET", start.url)).header("location")
    response = api.call(api_module.complete_login, client, location, start.transaction, provider.transport)
    assert response.is_successful, response.error
    assert (response.claims["sub"], response.data) == ("alice", {"n": 1})
    again = api.call(api_module.complete_login, client, location, start.transaction, provider.transport)
    assert again.error_code == "transaction_used"
    refreshed = api.call(
        api_module.refresh_login, client, response.refresh_token, response.claims, http_client=provider.transport
    )
    assert refreshed.is_successful, refreshed.error
    assert refreshed.claims["sub"] == "alice"


def test_no_secret_shows(bench, caplog):
    """[S25] State, nonce, verifier, code and tokens stand in no repr, message or log of a login, good or bad."""
    caplog.set_level(logging.DEBUG)
    kept = bench.started()
    bench.op.tokens = tokens(kept, id_token=id_token(kept, nonce="canary-nonce"))
    bad = bench.complete(answer(kept), kept)
    kept = bench.started()
    good = bench.complete(answer(kept), kept)
    shown = repr(good) + repr(bad) + str(bad.exception) + repr(bad.exception.__dict__) + caplog.text
    shown += repr(bench.client) + repr(Returned(answer(kept), kept)) + pickle.dumps(bad.exception).decode("latin-1")
    for secret in ("canary", kept.state, kept.nonce, kept.code_verifier, good.id_token):
        assert secret not in shown
    assert isinstance(good, LoginResponse)
    assert copy.copy(good).claims == good.claims
    assert dataclasses.fields(good)


CALLBACKS = st.one_of(
    st.text(st.characters(), max_size=60),
    st.binary(max_size=60),
    st.builds((BACK + "?{}").format, st.text("codestaisrpn=&%.#0", max_size=60)),
    st.builds("?state=s&code={}&iss={}".format, st.text(max_size=9), st.sampled_from([ISSUER, EVIL, ""])),
    st.builds("?response={}".format, st.text("eyJ0.-_", max_size=40)),
    st.dictionaries(st.text(max_size=5), st.text(st.characters(), max_size=9), max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(CALLBACKS)
def test_no_callback_raises_anything(callback):
    """Whatever comes to the redirect address, completing ends in a response, and nothing foreign is behind it."""
    op = Op()
    bench = Bench(Blocking(), op)
    kept = LoginTransaction.from_dict({**GOOD, "expires_at": 1e11})
    response = bench.complete(callback, kept)
    assert isinstance(response.exception, PyIdentityModelException)
