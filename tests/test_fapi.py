"""FAPI 2.0 as a profile: a login under it, seen by a provider that checks every line, and each rule broken once."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from apis import ISSUER, NOW
from conftest import Performer
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.binding.dpop_client import DPoPKey, DPoPKeyring
from py_identity_model._core.binding.replay import UsedValues
from py_identity_model._core.client import client_auth
from py_identity_model._core.client.client_auth import ClientRequest, MtlsClientAuth, PrivateKeyJwt
from py_identity_model._core.client.grants import (
    AuthorizationCodeTokenRequest,
    ClientCredentialsTokenRequest,
    ClientCredentialsTokenResponse,
    RefreshTokenRequest,
)
from py_identity_model._core.client.introspection import TokenIntrospectionRequest
from py_identity_model._core.discovery.metadata import DiscoveryDocumentResponse, DiscoveryPolicy
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jws import jwk_thumbprint, parse_compact, sign_compact
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model._core.login.begin import LoginRequest, begin_login
from py_identity_model._core.login.callback import AuthorizeCallbackResponse, parse_authorize_callback_response
from py_identity_model._core.login.client import LoginClient, LoginServices
from py_identity_model._core.login.complete import Returned, complete_login, refresh_login
from py_identity_model._core.login.fapi import FAPI2LoginClient, FAPI2Profile
from py_identity_model._core.login.fapi_checks import key_size, request_object, signing_key
from py_identity_model._core.login.fapi_verdicts import (
    FAPI2_ALLOWED_AUTH_METHODS,
    FAPI2_ALLOWED_SIGNING_ALGORITHMS,
    FAPI2_REQUIRED_PKCE_METHOD,
    FAPI2_REQUIRED_RESPONSE_TYPE,
    FAPIValidationResult,
    validate_fapi_authorization_request,
    validate_fapi_client_config,
    validate_fapi_discovery,
)
from py_identity_model._core.login.jar import RequestSigning, build_request_object
from py_identity_model._core.login.par import PushedAuthorizationRequest, PushedAuthorizationResponse
from py_identity_model._core.login.pkce import generate_code_challenge
from py_identity_model._core.validation.config import TokenValidationConfig, validator_for
from py_identity_model._core.validation.signed_response import SignedResponsePolicy
from py_identity_model._fapi import BCP195_CIPHERS, fapi_tls_context
from py_identity_model._token_validator import default_engine
from py_identity_model.exceptions import (
    AuthorizeCallbackException,
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    TokenRequestException,
    TokenValidationException,
)
from py_identity_model.observability import add_observer, remove_observer
from py_identity_model.settings import Settings

BACK = "https://app.example.com/cb"
OP_KEY = SigningKey.generate("PS256", kid="op")
CLIENT_KEY = SigningKey.generate("ES256", kid="client")
REQUEST_KEY = SigningKey.generate("PS256", kid="requests")
CHALLENGE = generate_code_challenge("v" * 43)
STATE = "s" * 43
JSON = ("content-type", "application/json")
CERTIFICATE = MtlsClientAuth("client.pem", "client.key")

METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "jwks_uri": ISSUER + "/jwks",
    "authorization_endpoint": ISSUER + "/authorize?tenant=1",
    "token_endpoint": ISSUER + "/token",
    "pushed_authorization_request_endpoint": ISSUER + "/par",
    "response_types_supported": ["code"],
    "response_modes_supported": ["query", "jwt"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["PS256"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"],
    "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
    "dpop_signing_alg_values_supported": ["ES256"],
    "tls_client_certificate_bound_access_tokens": True,
    "request_object_signing_alg_values_supported": ["PS256"],
    "authorization_signing_alg_values_supported": ["PS256"],
    "introspection_signing_alg_values_supported": ["PS256"],
}


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(parse_compact(token).payload)
    return claims


def verified(token: str, jwk: Any) -> dict[str, Any]:
    """Return header and claims together, if the signature is good."""
    jws = parse_compact(token)
    assert prepare(import_key(jwk), jws.header["alg"]).verify(jws.signing_input, jws.signature)
    return {**jws.header, **json.loads(jws.payload)}


class Op:
    """A provider that checks what a client sends, line by line, and answers as it is told to."""

    def __init__(self, **metadata: Any) -> None:
        self.metadata = {name: value for name, value in {**METADATA, **metadata}.items() if value is not None}
        self.requests: list[Request] = []
        self.jtis: list[str] = []
        self.jkt: str | None = None
        self.pushed: list[dict[str, Any]] = []
        self.nonce = "nonce-1"
        self.id_token: dict[str, Any] = {}
        self.id_token_key = OP_KEY
        self.jwks_kid = "op"
        self.tokens: dict[str, Any] = {}

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        path = urlsplit(request.url).path
        if path == "/.well-known/openid-configuration":
            return self.reply(self.metadata)
        if path == "/jwks":
            return self.reply({"keys": [{**(OP_KEY.public_jwk or {}), "kid": self.jwks_kid, "use": "sig"}]})
        form = dict(parse_qsl(request.body.decode(), strict_parsing=True))
        assert len(form) == request.body.count(b"=")  # no parameter twice
        self.check_client(form)
        challenge = self.check_dpop(request) if request.certificate is None else None
        if challenge is not None:
            return challenge
        if path in ("/par", "/pushed_authorization_request_endpoint"):
            self.pushed.append(self.check_request(form))
            return self.reply({"request_uri": "urn:example:pushed", "expires_in": 60}, 201)
        assert path == "/token"
        return self.reply(self.check_token(form))

    @staticmethod
    def reply(members: Any, status: int = 200, *headers: tuple[str, str]) -> Reply:
        return Reply(status, (JSON, *headers), json.dumps(members).encode())

    def once(self, jti: str) -> None:
        assert len(jti) >= 22
        assert jti not in self.jtis
        self.jtis.append(jti)

    def check_client(self, form: dict[str, str]) -> None:
        """private_key_jwt: type, algorithm, signature, claims, and a jti that was never seen."""
        assert form["client_id"] == "app" if "request" not in form else "client_id" not in form  # RFC 9126 3
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        claims = verified(form["client_assertion"], CLIENT_KEY.public_jwk)
        assert (claims["alg"], claims["iss"], claims["sub"], claims["aud"]) == ("ES256", "app", "app", ISSUER)
        assert NOW - 10 <= claims["iat"] <= NOW < claims["exp"] <= NOW + 3600
        self.once(claims["jti"])
        assert not {"client_secret", "access_token"} & form.keys()

    def check_dpop(self, request: Request) -> Reply | None:
        """A proof for this very request, with a nonce of ours; asked for once."""
        proofs = [value for name, value in request.headers if name.lower() == "dpop"]
        assert len(proofs) == 1
        jwk = parse_compact(proofs[0]).header["jwk"]
        claims = verified(proofs[0], jwk)
        assert (claims["typ"], claims["htm"], claims["htu"]) == ("dpop+jwt", "POST", request.url)
        assert abs(claims["iat"] - NOW) <= 10
        self.once(claims["jti"])
        self.jkt = jwk_thumbprint(jwk)
        if claims.get("nonce") != self.nonce:
            return self.reply({"error": "use_dpop_nonce"}, 400, ("dpop-nonce", self.nonce))
        return None

    def check_request(self, form: dict[str, str]) -> dict[str, Any]:
        """The authorization request: plain, or in a request object with nothing beside it."""
        assert "request_uri" not in form
        asked: dict[str, Any] = form
        if "request" in form:
            beside = {"client_assertion", "client_assertion_type", "request"}
            assert form.keys() == beside
            asked = verified(form["request"], REQUEST_KEY.public_jwk)
            assert (asked["typ"], asked["alg"]) == ("oauth-authz-req+jwt", "PS256")
            assert (asked["iss"], asked["aud"]) == ("app", ISSUER)
            assert NOW - 3600 <= asked["nbf"] <= NOW < asked["exp"] <= asked["nbf"] + 3600
            assert not {"sub", "request", "request_uri", "client_assertion"} & asked.keys()
            self.once(asked["jti"])
        assert (asked["response_type"], asked["client_id"], asked["redirect_uri"]) == ("code", "app", BACK)
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["code_challenge"]) == 43
        assert "openid" in asked["scope"].split()
        assert "claims" not in asked
        assert asked.get("dpop_jkt") == self.jkt
        assert 22 <= len(asked["nonce"]) <= 64
        assert len(asked["state"]) >= 22
        return asked

    def check_token(self, form: dict[str, str]) -> dict[str, Any]:
        asked = self.pushed[-1]
        if form["grant_type"] == "authorization_code":
            assert generate_code_challenge(form["code_verifier"]) == asked["code_challenge"]
            assert form["redirect_uri"] == BACK
        claims = {"iss": ISSUER, "aud": "app", "sub": "ada", "iat": NOW, "exp": NOW + 300, "nonce": asked["nonce"]}
        if form["grant_type"] == "refresh_token":
            claims.pop("nonce")
        kept = {name: value for name, value in {**claims, **self.id_token}.items() if value is not None}
        return {
            "access_token": "canary-access",
            "token_type": "DPoP",
            "expires_in": 300,
            "refresh_token": "canary-refresh-" + str(len(self.jtis)),
            "id_token": sign_compact(kept, self.id_token_key),
            **self.tokens,
        }

    def authorize(self, url: str, **changes: Any) -> str:
        """Answer the browser: in a JWT if that was asked for."""
        sent = dict(parse_qsl(urlsplit(url).query))
        assert sent == {"tenant": "1", "client_id": "app", "request_uri": "urn:example:pushed"}
        asked = self.pushed[-1]
        good = {"code": "canary-code", "state": asked["state"], "iss": ISSUER}
        if asked.get("response_mode") == "jwt":
            good |= {"aud": "app", "exp": NOW + 60}
            kept = {name: value for name, value in {**good, **changes}.items() if value is not None}
            return BACK + "?" + urlencode({"response": sign_compact(kept, OP_KEY)})
        return BACK + "?" + urlencode({name: v for name, v in {**good, **changes}.items() if v is not None})


def client(profile: FAPI2Profile | None = None, **changes: Any) -> FAPI2LoginClient:
    fields: dict[str, Any] = {
        "profile": profile or FAPI2Profile(),
        "issuer": ISSUER,
        "client_id": "app",
        "redirect_uri": BACK,
        "private_key_jwt": PrivateKeyJwt(CLIENT_KEY),
        "dpop_key": DPoPKey(),
        **changes,
    }
    return FAPI2LoginClient(**fields)


def signing_client(**changes: Any) -> FAPI2LoginClient:
    return client(FAPI2Profile.message_signing(), **{"request_signing": RequestSigning(REQUEST_KEY), **changes})


class Bench:
    """A client under the profile, the provider, and a driver between them."""

    def __init__(self, perform: Performer, op: Op | None = None, fapi: FAPI2LoginClient | None = None) -> None:
        self.perform, self.op, self.client = perform, op or Op(), fapi or client()
        stores = Stores("test", Settings())
        self.services = LoginServices(
            lambda: stores,
            lambda config, address, kind: validator_for(config, address, kind, lambda: stores, default_engine, "test"),
            UsedValues(),
        )

    def begin(self, **request: Any) -> Any:
        return self.perform.run(begin_login(self.client, LoginRequest(**request), None, self.services), self.op)

    def complete(self, callback: str, transaction: Any) -> Any:
        return self.perform.run(complete_login(self.client, Returned(callback, transaction), self.services), self.op)

    def login(self, **changes: Any) -> Any:
        start = self.begin()
        assert start.is_successful, start.error
        return self.complete(self.op.authorize(start.url, **changes), start.transaction)

    def refused(self, **changes: Any) -> str:
        """Log in with an answer that is changed; return the code of the refusal, before any token request."""
        response = self.login(**changes)
        assert not response.is_successful
        assert not [r for r in self.op.requests if r.url.endswith("/token")]
        return str(response.error_code)


@pytest.fixture
def bench(perform: Performer) -> Bench:
    return Bench(perform)


def violations(error: PyIdentityModelException) -> dict[str, set[str]]:
    assert error.code == "fapi_violation"
    found: dict[str, set[str]] = {}
    for violation in error.details["violations"]:
        found.setdefault(violation["rule"], set()).add(violation["claim"])
    return found


def broken(function: Any, *args: Any, **kwargs: Any) -> dict[str, set[str]]:
    """Return the rules that a call is refused for, and what breaks them."""
    with pytest.raises(PyIdentityModelException) as caught:
        function(*args, **kwargs)
    return violations(caught.value)


# ---- a login under the profile


def test_a_login_keeps_every_line(bench: Bench) -> None:
    """[F8] [F9] [F12] [F15] [F22] [F23] [F24] [F27] [F28] [F39] The provider finds nothing to complain of."""
    response = bench.login()
    assert response.is_successful, response.error
    assert (response.claims["sub"], response.token_type) == ("ada", "DPoP")
    # [F15] asked for a nonce once; after that it is known
    assert [urlsplit(r.url).path for r in bench.op.requests] == [
        "/.well-known/openid-configuration",
        "/par",
        "/par",
        "/token",
        "/jwks",
    ]


def test_only_endpoints_of_the_metadata_are_used(bench: Bench) -> None:
    """[F16] [F17] Whatever is sent goes to an https address that the metadata names, or to the metadata itself."""
    bench.login()
    known = {METADATA[name] for name in METADATA if name.endswith(("_endpoint", "_uri"))}
    sent = {request.url for request in bench.op.requests}
    assert sent - known == {ISSUER + "/.well-known/openid-configuration"}
    assert all(url.startswith("https://") for url in sent)


def test_each_login_has_values_of_its_own(bench: Bench) -> None:
    """[F25] [F39] State, nonce and challenge are new each time, random, and kept for this one login."""
    first, second = bench.begin(), bench.begin()
    one, two = bench.op.pushed
    for name in ("state", "nonce", "code_challenge"):
        assert one[name] != two[name]
    assert first.transaction.code_verifier != second.transaction.code_verifier
    crossed = bench.complete(bench.op.authorize(second.url), first.transaction)
    assert crossed.error_code == "state_mismatch"


def test_an_answer_is_used_once(bench: Bench) -> None:
    """[F44] One code exchange per authorization: the same answer a second time is refused before it is sent."""
    start = bench.begin()
    answer = bench.op.authorize(start.url)
    assert bench.complete(answer, start.transaction).is_successful
    exchanges = sum(r.url.endswith("/token") for r in bench.op.requests)
    assert not bench.complete(answer, start.transaction).is_successful
    assert sum(r.url.endswith("/token") for r in bench.op.requests) == exchanges == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": None}, "authorization_issuer_missing"),
        ({"iss": ISSUER + "/"}, "authorization_issuer_mismatch"),
        ({"iss": "https://evil.example"}, "authorization_issuer_mismatch"),
        ({"state": None}, "state_missing"),
        ({"state": "other"}, "state_mismatch"),
        ({"id_token": "a.b.c"}, "authorization_response_unexpected"),
        ({"access_token": "x"}, "authorization_response_unexpected"),
        ({"code": None}, "authorization_response_incomplete"),
    ],
)
def test_answers_that_break_the_profile(bench: Bench, changes: dict[str, Any], code: str) -> None:
    """[F19] [F26] A wrong or missing iss or state, or tokens in the browser: nothing else is called."""
    assert bench.refused(**changes) == code


def test_an_answer_without_iss_is_refused_also_where_it_was_not_announced(perform: Performer) -> None:
    """[F26] iss is demanded by the profile, not by what the provider says about itself."""
    bench = Bench(perform, fapi=signing_client(), op=Op(authorization_response_iss_parameter_supported=None))
    assert bench.refused(iss=None) == "claim_missing"


@pytest.mark.parametrize("alg", ["RS256", "ES384", "PS384", "HS256"])
def test_id_tokens_by_other_algorithms_are_refused(bench: Bench, alg: str) -> None:
    """[F35] An ID token that is signed with another algorithm than the profile allows logs nobody in."""
    bench.op.id_token_key = SigningKey.generate(alg, kid="op")
    assert bench.login().error_code == "alg_not_allowed"


def test_the_signature_of_id_tokens_is_verified(bench: Bench) -> None:
    """[M5] [F36] Also from the token endpoint, over TLS, an ID token counts only with the provider's signature."""
    bench.op.id_token_key = SigningKey.generate("PS256", kid="op")
    assert bench.login().error_code == "signature_invalid"
    bench.op.tokens = {"id_token": "eyJhbGciOiJub25lIn0.e30."}
    assert not bench.login().is_successful


@pytest.mark.parametrize(("ahead", "accepted"), [(0, True), (10, True), (61, False)])
def test_clocks_may_differ_a_little(bench: Bench, ahead: int, accepted: bool) -> None:
    """[F42] iat and nbf up to 10 s ahead are taken, more than 60 s ahead are refused."""
    bench.op.id_token = {"iat": NOW + ahead, "nbf": NOW + ahead}
    assert bench.login().is_successful is accepted


def test_a_bearer_answer_is_refused(bench: Bench) -> None:
    """[F8] Tokens that are not bound, though they were asked for so, are not handed out."""
    bench.op.tokens = {"token_type": "Bearer"}
    response = bench.login()
    assert (response.is_successful, response.error_code) == (False, "dpop_token_expected")


def test_refresh_tokens_rotate(bench: Bench) -> None:
    """[F13] A refresh token brings tokens and the next refresh token, with proof and assertion made anew."""
    first = bench.login()
    seen = {first.refresh_token}
    for _ in range(2):
        flow = refresh_login(bench.client, first.refresh_token, first.claims, None, bench.services)
        again = bench.perform.run(flow, bench.op)
        assert again.is_successful, again.error
        seen.add(again.refresh_token)
    assert len(seen) == 3


def test_certificates_go_to_the_aliases(perform: Performer) -> None:
    """[F7] [F14] A client with a certificate is sent to the aliases that the metadata names."""
    aliases = {name: f"https://mtls.example.com/{name}" for name in ("pushed_authorization_request_endpoint",)}
    bench = Bench(perform, Op(mtls_endpoint_aliases=aliases), client(mtls=CERTIFICATE, dpop_key=None))
    bench.begin()
    posted = [r for r in bench.op.requests if r.method == "POST"]
    assert [r.url for r in posted] == [aliases["pushed_authorization_request_endpoint"]]
    assert posted[0].certificate is not None


def test_no_more_is_asked_for_than_was_said(bench: Bench) -> None:
    """[F20] The scope is openid alone, unless the application says more."""
    bench.begin()
    assert bench.op.pushed[-1]["scope"] == "openid"
    bench.begin(scope="openid accounts")
    assert bench.op.pushed[-1]["scope"] == "openid accounts"


def test_the_browser_is_sent_to_the_provider_only(bench: Bench) -> None:
    """[F11] [S1] Neither a page to return to nor a redirect address of the request decides where the browser goes.

    (O5, O6)
    """
    start = bench.begin(data={"return_to": "https://evil.example"})
    assert start.url.startswith(METADATA["authorization_endpoint"] + "&")
    assert bench.begin(extra={"redirect_uri": "https://evil.example"}).error_code == "parameter_reserved"


def test_the_date_of_a_reply_moves_no_clock(bench: Bench) -> None:
    """[F21] The note is not taken up: a provider's Date header cannot make assertions last longer."""
    reply = bench.op.reply
    bench.op.reply = lambda members, status=200, *headers: reply(  # type: ignore[method-assign]
        members, status, ("date", "Wed, 01 Jan 2070 00:00:00 GMT"), *headers
    )
    assert bench.login().is_successful  # the provider's checks compare every iat and exp with the true time


# ---- message signing


def test_a_login_with_message_signing_keeps_every_line(perform: Performer) -> None:
    """[M1] [M2] [M3] Requests are signed and pushed, responses come in a JWT that is verified."""
    bench = Bench(perform, fapi=signing_client())
    response = bench.login()
    assert response.is_successful, response.error
    assert bench.op.pushed[-1]["response_mode"] == "jwt"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": None}, "claim_missing"),
        ({"iss": "https://evil.example"}, "issuer_mismatch"),
        ({"aud": None}, "claim_missing"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"exp": None}, "claim_missing"),
        ({"exp": NOW - 1}, "token_expired"),
    ],
)
def test_responses_in_a_jwt_that_break_the_profile(perform: Performer, changes: dict[str, Any], code: str) -> None:
    """[M3] iss, aud and exp of the response are required and verified."""
    assert Bench(perform, fapi=signing_client()).refused(**changes) == code


def test_a_plain_response_is_refused_where_a_jwt_was_asked_for(perform: Performer) -> None:
    """[M2] [M3] Parameters that nobody signed are not taken in place of the JWT, nor beside it."""
    bench = Bench(perform, fapi=signing_client())
    start = bench.begin()
    asked = bench.op.pushed[-1]
    plain = BACK + "?" + urlencode({"code": "c", "state": asked["state"], "iss": ISSUER})
    assert bench.complete(plain, start.transaction).error_code == "response_mode_mismatch"
    both = bench.op.authorize(start.url) + "&code=evil"
    assert bench.complete(both, start.transaction).error_code == "authorization_response_ambiguous"


@pytest.mark.parametrize("key", ["none", "stranger"])
def test_a_response_that_the_provider_did_not_sign(perform: Performer, key: str) -> None:
    """[M3] [F36] alg none and another client's signature are refused."""
    bench = Bench(perform, fapi=signing_client())
    start = bench.begin()
    answer = bench.op.authorize(start.url)
    token = dict(parse_qsl(urlsplit(answer).query))["response"]
    if key == "none":
        forged = "eyJhbGciOiJub25lIn0." + token.split(".")[1] + "."
    else:
        forged = sign_compact(claims_of(token), SigningKey.generate("PS256", kid="op"))
    response = bench.complete(f"{BACK}?response={forged}", start.transaction)
    assert response.error_code == ("alg_not_allowed" if key == "none" else "signature_invalid")


def test_signed_requests_without_the_profile(perform: Performer) -> None:
    """[M1] A plain login client can sign its requests too: in the URL, what stands outside says the same."""
    plain = LoginClient(
        issuer=ISSUER, client_id="app", redirect_uri=BACK, request_signing=RequestSigning(REQUEST_KEY), pushed=False
    )
    bench = Bench(perform, Op(id_token_signing_alg_values_supported=["RS256"]), plain)  # type: ignore[arg-type]
    sent = dict(parse_qsl(urlsplit(bench.begin().url).query))
    assert sent.keys() == {"tenant", "client_id", "response_type", "scope", "request"}
    inside = verified(sent.pop("request"), REQUEST_KEY.public_jwk)
    sent.pop("tenant")
    assert {name: inside[name] for name in sent} == sent
    assert {"state", "nonce", "code_challenge", "redirect_uri"} <= inside.keys()


# ---- a client's settings


RS256 = SigningKey.generate("RS256")
ED448 = SigningKey.generate("Ed448")


@pytest.mark.parametrize(
    ("changes", "rule", "claim"),
    [
        ({"issuer": "http://127.0.0.1"}, "F1", "issuer"),
        ({"redirect_uri": "http://localhost/cb"}, "F1", "redirect_uri"),
        ({"allow_insecure_http": True}, "F1", "allow_insecure_http"),
        ({"discovery_address": "http://127.0.0.1/x"}, "F1", "discovery_address"),
        ({"dpop_key": None}, "F8", "dpop_key"),
        ({"private_key_jwt": None}, "F9", "auth_method"),
        ({"client_secret": "canary"}, "F9", "client_secret"),
        ({"attestation": lambda audience: ("a", "b")}, "F9", "attestation"),
        ({"auth_method": "client_secret_post"}, "F9", "auth_method"),
        ({"client_secret_jwt_algorithm": "HS512"}, "F9", "client_secret_jwt_algorithm"),
        ({"private_key_jwt": PrivateKeyJwt(CLIENT_KEY, audience=ISSUER + "/token")}, "F12", "private_key_jwt.audience"),
        ({"discovery_policy": DiscoveryPolicy(validate_issuer=False)}, "F18", "discovery_policy"),
        ({"discovery_policy": DiscoveryPolicy(require_https=False)}, "F18", "discovery_policy"),
        ({"response_type": "code id_token"}, "F22", "response_type"),
        ({"pushed": False}, "F23", "pushed"),
        ({"pushed": None}, "F23", "pushed"),
        ({"require_iss": False}, "F26", "require_iss"),
        ({"private_key_jwt": PrivateKeyJwt(RS256)}, "F35", "private_key_jwt"),
        ({"private_key_jwt": PrivateKeyJwt(ED448)}, "F35", "private_key_jwt"),
        ({"dpop_key": DPoPKey("ES384")}, "F35", "dpop_key"),
        ({"id_token_signed_response_alg": "RS256"}, "F35", "id_token_signed_response_alg"),
        ({"authorization_signed_response_alg": "ES512"}, "F35", "authorization_signed_response_alg"),
        ({"request_signing": RequestSigning(RS256)}, "F35", "request_signing"),
        ({"id_token_signed_response_alg": "none"}, "F36", "id_token_signed_response_alg"),
        ({"leeway": 0}, "F42", "leeway"),
        ({"leeway": 61}, "F42", "leeway"),
        ({"dpop_key": DPoPKey.from_signing_key(CLIENT_KEY)}, "F45", "dpop_key"),
    ],
)
def test_settings_that_break_the_profile(changes: dict[str, Any], rule: str, claim: str) -> None:
    """[F1] [F8] [F9] [F12] [F17] [F18] [F22] [F23] [F26] [F35] [F36] [F42] [F45] Each is refused when it is built."""
    found = broken(client, **changes)
    assert claim in found[rule]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"redirect_uri": "http://127.0.0.1:8400/cb"},
        {"redirect_uri": "com.example.app:/cb"},
        {"private_key_jwt": PrivateKeyJwt(CLIENT_KEY, audience=ISSUER)},
        {"private_key_jwt": PrivateKeyJwt(SigningKey.generate("Ed25519"))},
        {"private_key_jwt": PrivateKeyJwt(SigningKey.generate("EdDSA"))},
        {"private_key_jwt": None, "mtls": CERTIFICATE},
        {"private_key_jwt": None, "mtls": CERTIFICATE, "dpop_key": None},
        {"auth_method": "private_key_jwt"},
        {"leeway": 30},
        {"id_token_signed_response_alg": "ES256"},
    ],
)
def test_settings_that_keep_it(changes: dict[str, Any]) -> None:
    """[F9] [F35] Keys, certificates, native apps on the loopback interface: what the profile allows is allowed."""
    assert client(**changes).profile == FAPI2Profile()


@pytest.mark.parametrize(
    ("changes", "rule", "claim"),
    [
        ({"request_signing": None}, "M1", "request_signing"),
        ({"response_mode": "query"}, "M2", "response_mode"),
        ({"response_mode": "form_post"}, "M2", "response_mode"),
    ],
)
def test_settings_that_break_message_signing(changes: dict[str, Any], rule: str, claim: str) -> None:
    """[M1] [M2] A client that does not sign, or wants plain responses, is refused where the profile demands it."""
    assert claim in broken(signing_client, **changes)[rule]
    assert signing_client().response_mode == "jwt"
    assert signing_client(response_mode="form_post.jwt").response_mode == "form_post.jwt"


def test_a_method_that_is_added_is_refused_until_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile lists what is allowed: a credential of a method it has never heard of breaks F9."""
    added = client_auth.METHODS[0]._replace(name="new_method", needs="scope", usable=lambda request: True)
    monkeypatch.setattr(client_auth, "METHODS", (*client_auth.METHODS, added))
    assert broken(client) == {"F9": {"scope"}}


def test_no_two_providers_see_one_key() -> None:
    """[F43] A DPoP key or certificate that is in use with one provider is refused for another, under one profile."""
    profile, key = FAPI2Profile(), DPoPKey()
    for _ in range(2):
        client(profile, dpop_key=key, mtls=CERTIFICATE)
    found = broken(client, profile, dpop_key=key, mtls=CERTIFICATE, issuer="https://other.example")
    assert found == {"F43": {"dpop_key", "mtls"}}
    ring = DPoPKeyring()
    for issuer in (ISSUER, "https://other.example"):
        client(profile, dpop_key=ring.key(issuer, "app"), issuer=issuer)


def test_a_client_that_is_refused_takes_no_key() -> None:
    """[F43] A key counts as in use only with a client that was accepted."""
    profile, key = FAPI2Profile(), DPoPKey()
    broken(client, profile, dpop_key=key, pushed=False, issuer="https://other.example")
    client(profile, dpop_key=key)


def test_no_two_keys_have_one_name() -> None:
    """[F40] Two keys of a client under one kid are refused; one key for both purposes is one name."""
    twin = SigningKey.generate("PS256", kid=CLIENT_KEY.kid)
    assert broken(signing_client, request_signing=RequestSigning(twin)) == {"F40": {"request_signing"}}
    assert signing_client(request_signing=RequestSigning(CLIENT_KEY)).request_signing is not None


def test_a_profile_is_needed() -> None:
    """Nothing that is no profile switches the rules off."""
    for profile in (None, True, "fapi2"):
        with pytest.raises(ConfigurationException):
            FAPI2LoginClient(profile=profile, issuer=ISSUER, client_id="app", redirect_uri=BACK)  # type: ignore[arg-type]


def test_keys_must_be_long_enough() -> None:
    """[F37] [F38] RSA keys under 2048 bits, curves under 224 bits and other Edwards curves are refused."""
    small = {"kty": "RSA", "n": "w" * 171, "e": "AQAB"}
    assert [v.rule for v in key_size("x", small)] == ["F37"]
    assert [v.rule for v in key_size("x", {"kty": "EC", "crv": "P-192", "x": "AA", "y": "AA"})] == ["F38"]
    assert [v.rule for v in signing_key("x", ED448)] == ["F35", "F35"]
    assert not list(signing_key("x", OP_KEY))
    assert not list(signing_key("x", CLIENT_KEY))
    remote = SigningKey.from_callable(CLIENT_KEY.sign, "ES256")
    assert not list(signing_key("x", remote))
    with pytest.raises(ConfigurationException):
        SigningKey.generate("PS256", bits=1024)


# ---- a provider's metadata


def document(**changes: Any) -> DiscoveryDocumentResponse:
    members = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
    return DiscoveryDocumentResponse(True, **members)


@pytest.mark.parametrize(
    ("changes", "rule", "claim"),
    [
        ({"token_endpoint": "http://127.0.0.1/token"}, "F1", "token_endpoint"),
        (
            {"mtls_endpoint_aliases": {"token_endpoint": "http://x.example"}},
            "F1",
            "mtls_endpoint_aliases.token_endpoint",
        ),
        ({"dpop_signing_alg_values_supported": None}, "F8", "dpop_signing_alg_values_supported"),
        ({"dpop_signing_alg_values_supported": ["RS256"]}, "F8", "dpop_signing_alg_values_supported"),
        ({"token_endpoint_auth_methods_supported": None}, "F9", "token_endpoint_auth_methods_supported"),
        ({"token_endpoint_auth_methods_supported": ["none"]}, "F9", "token_endpoint_auth_methods_supported"),
        ({"issuer": "https://other.example"}, "F18", "issuer"),
        ({"response_types_supported": ["id_token"]}, "F22", "response_types_supported"),
        ({"pushed_authorization_request_endpoint": None}, "F23", "pushed_authorization_request_endpoint"),
        ({"code_challenge_methods_supported": None}, "F24", "code_challenge_methods_supported"),
        ({"code_challenge_methods_supported": ["plain"]}, "F24", "code_challenge_methods_supported"),
        (
            {"authorization_response_iss_parameter_supported": None},
            "F26",
            "authorization_response_iss_parameter_supported",
        ),
        ({"id_token_signing_alg_values_supported": ["RS256"]}, "F35", "id_token_signing_alg_values_supported"),
        (
            {"token_endpoint_auth_signing_alg_values_supported": ["PS256"]},
            "F35",
            "token_endpoint_auth_signing_alg_values_supported",
        ),
        ({"jwks_uri": "http://127.0.0.1/jwks"}, "F40", "jwks_uri"),
    ],
)
def test_metadata_that_breaks_the_profile(changes: dict[str, Any], rule: str, claim: str) -> None:
    """[F1] [F8] [F9] [F18] [F22] [F23] [F24] [F26] [F35] [F40] A provider that lacks it is refused by name."""
    FAPI2Profile().check_provider(document(), client())
    assert claim in broken(FAPI2Profile().check_provider, document(**changes), client())[rule]


@pytest.mark.parametrize(
    ("changes", "rule", "claim"),
    [
        ({"request_object_signing_alg_values_supported": None}, "M1", "request_object_signing_alg_values_supported"),
        ({"response_modes_supported": ["query"]}, "M2", "response_modes_supported"),
        ({"authorization_signing_alg_values_supported": ["RS256"]}, "M3", "authorization_signing_alg_values_supported"),
        ({"introspection_signing_alg_values_supported": None}, "M4", "introspection_signing_alg_values_supported"),
    ],
)
def test_metadata_that_breaks_message_signing(changes: dict[str, Any], rule: str, claim: str) -> None:
    """[M1] [M2] [M3] [M4] A provider that cannot sign is refused where the profile demands it, and only there."""
    FAPI2Profile().check_provider(document(**changes))
    assert broken(FAPI2Profile.message_signing().check_provider, document(**changes)) == {rule: {claim}}


OAUTH_ONLY = {
    **dict.fromkeys(("pushed_authorization_request_endpoint", "response_types_supported")),
    **dict.fromkeys(("code_challenge_methods_supported", "authorization_response_iss_parameter_supported")),
    **dict.fromkeys(("id_token_signing_alg_values_supported", "request_object_signing_alg_values_supported")),
    **dict.fromkeys(("response_modes_supported", "authorization_signing_alg_values_supported")),
    "introspection_signing_alg_values_supported": None,
}


def test_a_provider_is_asked_for_what_it_is_used_for() -> None:
    """[F9] A server that only does client credentials keeps the profile without anything that logins need."""
    profile, plain = FAPI2Profile.message_signing(), document(**OAUTH_ONLY)
    profile.check_provider(plain, uses="client_credentials")
    assert broken(profile.check_provider, plain)["F23"] == {"pushed_authorization_request_endpoint"}
    for rule, changes in (
        ("F9", {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}),
        ("F1", {"token_endpoint": "http://id.example.com/token"}),
        ("F8", {"dpop_signing_alg_values_supported": None, "tls_client_certificate_bound_access_tokens": None}),
    ):
        with pytest.raises(ConfigurationException) as caught:
            profile.check_provider(document(**OAUTH_ONLY, **changes), uses=["client_credentials"])
        assert set(violations(caught.value)) == {rule}
    with pytest.raises(ConfigurationException) as caught:
        profile.check_provider(plain, uses=("client_credentials", "introspection"))
    assert violations(caught.value) == {"M4": {"introspection_signing_alg_values_supported"}}
    for nothing in ((), "payments", ["login", "else"]):
        with pytest.raises(ConfigurationException) as caught:
            profile.check_provider(plain, uses=nothing)
        assert caught.value.code == "policy_invalid"


def test_a_login_needs_nothing_of_introspection() -> None:
    """[M4] Under message signing a login needs no signed introspection, and no endpoint that it does not use."""
    signing = client(
        profile=FAPI2Profile.message_signing(), request_signing=RequestSigning(REQUEST_KEY), response_mode="jwt"
    )
    for unused in ("introspection_endpoint", "registration_endpoint", "revocation_endpoint", "end_session_endpoint"):
        changes = {"introspection_signing_alg_values_supported": None, unused: "http://127.0.0.1/x"}
        signing.profile.check_provider(document(**changes), signing)


def test_a_certificate_needs_a_provider_that_binds_to_it() -> None:
    """[F8] Without DPoP the metadata must say that tokens are bound to certificates."""
    bound = client(mtls=CERTIFICATE, dpop_key=None)
    FAPI2Profile().check_provider(document(dpop_signing_alg_values_supported=None), bound)
    lacking = document(tls_client_certificate_bound_access_tokens=None)
    found = broken(FAPI2Profile().check_provider, lacking, bound)
    assert found == {"F8": {"tls_client_certificate_bound_access_tokens"}}
    assert "F8" in broken(FAPI2Profile().check_provider, replace(lacking, dpop_signing_alg_values_supported=["RS256"]))


def test_metadata_is_checked_before_anything_is_sent(perform: Performer) -> None:
    """[F23] [F24] A provider that breaks the profile sees no request of a login."""
    bench = Bench(perform, Op(dpop_signing_alg_values_supported=["RS256"]))
    start = bench.begin()
    assert (start.is_successful, start.error_code) == (False, "fapi_violation")
    assert [r.url for r in bench.op.requests] == [ISSUER + "/.well-known/openid-configuration"]


def test_no_metadata_is_no_verdict() -> None:
    """What discovery failed with is raised as it is."""
    failed = DiscoveryDocumentResponse.failed(NetworkException("no answer"))
    with pytest.raises(NetworkException):
        FAPI2Profile().check_provider(failed)
    assert validate_fapi_discovery(failed).violations == ["there is no metadata: no answer"]


# ---- single requests


CREDENTIALS: dict[str, Any] = {"private_key_jwt": PrivateKeyJwt(CLIENT_KEY), "issuer": ISSUER}


def token_request(**changes: Any) -> ClientCredentialsTokenRequest:
    return ClientCredentialsTokenRequest(ISSUER + "/token", "app", **{**CREDENTIALS, "dpop_key": DPoPKey(), **changes})


@pytest.mark.parametrize(
    ("changes", "rule", "claim"),
    [
        ({"address": "http://127.0.0.1/token"}, "F1", "address"),
        ({"allow_insecure_http": True}, "F1", "allow_insecure_http"),
        ({"dpop_key": None}, "F8", "dpop_key"),
        ({"client_secret": "canary"}, "F9", "client_secret"),
        ({"private_key_jwt": None}, "F9", "auth_method"),
        ({"issuer": None}, "F12", "issuer"),
        (
            {"private_key_jwt": PrivateKeyJwt(CLIENT_KEY, audience="https://x.example")},
            "F12",
            "private_key_jwt.audience",
        ),
        ({"private_key_jwt": PrivateKeyJwt(RS256)}, "F35", "private_key_jwt"),
        ({"dpop_key": DPoPKey("RS256")}, "F35", "dpop_key"),
    ],
)
def test_token_requests_that_break_the_profile(changes: dict[str, Any], rule: str, claim: str) -> None:
    """[F1] [F8] [F9] [F12] [F35] They are refused before they are sent; a good one is returned as it is."""
    good = token_request()
    assert FAPI2Profile().check_request(good) is good
    assert claim in broken(FAPI2Profile().check_request, replace(good, **changes))[rule]


def test_codes_are_exchanged_with_their_verifier() -> None:
    """[F1] [F24] A code without its verifier, or for an address in the clear, is not sent; a refresh token may be."""
    fields: dict[str, Any] = {**CREDENTIALS, "dpop_key": DPoPKey()}
    request = AuthorizationCodeTokenRequest(ISSUER + "/token", "app", "code", BACK, code_verifier="v" * 43, **fields)
    FAPI2Profile().check_request(request)
    FAPI2Profile().check_request(RefreshTokenRequest(ISSUER + "/token", "app", "refresh", **fields))
    assert broken(FAPI2Profile().check_request, replace(request, code_verifier=None)) == {"F24": {"code_verifier"}}
    plain = replace(request, redirect_uri="http://app.example.com/cb")
    assert broken(FAPI2Profile().check_request, plain) == {"F1": {"redirect_uri"}}


def pushed(**changes: Any) -> PushedAuthorizationRequest:
    fields: dict[str, Any] = {
        "state": STATE,
        "nonce": "n" * 43,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **CREDENTIALS,
        **changes,
    }
    return PushedAuthorizationRequest(ISSUER + "/par", "app", BACK, **fields)


@pytest.mark.parametrize(
    ("changes", "rule", "claim"),
    [
        ({"redirect_uri": "http://app.example.com/cb"}, "F1", "redirect_uri"),
        ({"allow_redirect_uri_over_insecure_http": True}, "F1", "allow_redirect_uri_over_insecure_http"),
        ({"state": None}, "F19", "state"),
        ({"scope": "accounts", "claims": {"userinfo": {}}}, "F20", "claims"),
        ({"response_type": "code id_token"}, "F22", "response_type"),
        ({"code_challenge": None}, "F24", "code_challenge"),
        ({"code_challenge_method": "plain"}, "F24", "code_challenge_method"),
        ({"allow_challenge_that_shows_the_verifier": True}, "F24", "allow_challenge_that_shows_the_verifier"),
        ({"nonce": "n" * 65}, "F28", "nonce"),
        ({"dpop_key": DPoPKey("PS384")}, "F35", "dpop_key"),
        ({"state": "short"}, "F39", "state"),
        ({"nonce": "short"}, "F39", "nonce"),
        ({"code_challenge": "short"}, "F39", "code_challenge"),
    ],
)
def test_authorization_requests_that_break_the_profile(changes: dict[str, Any], rule: str, claim: str) -> None:
    """[F1] [F19] [F20] [F22] [F24] [F28] [F35] [F39] They are refused before they are pushed."""
    FAPI2Profile().check_request(pushed())
    FAPI2Profile().check_request(pushed(code_challenge_method=None))  # S256 is what is sent then
    fields = {"redirect_uri": BACK, **changes}
    assert claim in broken(FAPI2Profile().check_request, replace(pushed(), **fields))[rule]


def request_token(wall: float = NOW, lifetime: int = 300, **changes: Any) -> str:
    """Sign a request object, changed; None takes a claim away."""
    asked = {"client_id": "app", "response_type": "code", "redirect_uri": BACK, "scope": "openid", "state": STATE}
    asked |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "response_mode": "jwt"}
    good = build_request_object(asked.items(), RequestSigning(REQUEST_KEY, lifetime=lifetime), ISSUER, wall)
    kept = {name: value for name, value in {**claims_of(good), **changes}.items() if value is not None}
    return sign_compact(kept, REQUEST_KEY, typ=changes.get("typ", "oauth-authz-req+jwt"))


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"typ": "JWT"}, "request.typ"),
        ({"iss": "other"}, "request.iss"),
        ({"client_id": "other"}, "request.client_id"),
        ({"aud": [ISSUER]}, "request.aud"),
        ({"aud": ISSUER + "/"}, "request.aud"),
        ({"nbf": None}, "request.exp"),
        ({"exp": None}, "request.exp"),
        ({"exp": True}, "request.exp"),
        ({"exp": NOW + 3601}, "request.exp"),
        ({"exp": NOW}, "request.exp"),
        ({"nbf": NOW - 3700, "exp": NOW - 200}, "request.nbf"),
        ({"nbf": NOW + 60, "exp": NOW + 90}, "request.nbf"),
        ({"sub": "app"}, "request.sub"),
        ({"request": "x"}, "request.request"),
        ({"request_uri": "urn:x"}, "request.request_uri"),
    ],
)
def test_request_objects_that_break_message_signing(changes: dict[str, Any], claim: str) -> None:
    """[M1] type, issuer, audience as one string, times within the hour, no sub, no request inside."""
    profile = FAPI2Profile.message_signing()
    profile.check_request(pushed(request_object=request_token()), wall=NOW)
    found = broken(profile.check_request, pushed(request_object=request_token(**changes)), wall=NOW)
    assert found == {"M1": {claim}}


def test_what_a_request_object_asks_for_counts() -> None:
    """[M1] [M2] [F24] The parameters inside are checked, not those beside; without one, and unsigned, it is refused."""
    profile = FAPI2Profile.message_signing()
    inside = request_token(code_challenge_method="plain", response_mode=None)
    found = broken(profile.check_request, pushed(request_object=inside))
    assert found == {"F24": {"code_challenge_method"}, "M2": {"response_mode"}}
    found = broken(profile.check_request, pushed(response_mode="jwt"))
    assert found == {"M1": {"request_object"}}
    weak = list(
        request_object({"alg": "RS256", "typ": "oauth-authz-req+jwt"}, claims_of(request_token()), "app", ISSUER, NOW)
    )
    assert [violation.rule for violation in weak] == ["F35"]


def test_an_encrypted_request_object_is_for_the_provider_to_read() -> None:
    """[M1] What is encrypted cannot be checked once more, and need not be."""
    FAPI2Profile.message_signing().check_request(pushed(request_object="a.b.c.d.e"))


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("?client_id=app&request_uri=urn:x", True),
        ("?tenant=1&client_id=app&request_uri=urn:x", True),
        ("?client_id=app&request_uri=urn:x&state=s", False),
        ("?client_id=app&request=eyJ", False),
        ("?client_id=app&client_id=b&request_uri=urn:x", False),
        ("?request_uri=urn:x", False),
        ("", False),
    ],
)
def test_what_the_browser_carries(url: str, accepted: bool) -> None:
    """[F27] client_id and request_uri at the authorization endpoint, each once, and nothing else."""
    endpoint = ISSUER + "/authorize?tenant=1"
    checked = FAPI2Profile().check_authorization_url
    if accepted:
        assert checked(ISSUER + "/authorize" + url, endpoint).endswith(url)
    else:
        assert "F27" in broken(checked, ISSUER + "/authorize" + url, endpoint)


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (Request("GET", "https://api.example.com/", (("Authorization", "DPoP abc"),)), None),
        (Request("GET", "https://api.example.com/", (("authorization", "Bearer abc"),)), None),
        (Request("GET", "http://127.0.0.1/", (("Authorization", "DPoP abc"),)), "F1"),
        (Request("GET", "https://api.example.com/?access_token=abc", (("Authorization", "DPoP abc"),)), "F10"),
        (Request("POST", "https://api.example.com/", (("Authorization", "DPoP abc"),), b"access_token=abc"), "F10"),
        (Request("GET", "https://api.example.com/"), "F10"),
        (Request("GET", "https://api.example.com/", (("Authorization", "Basic abc"),)), "F10"),
    ],
)
def test_where_a_client_puts_its_token(request_: Request, rule: str | None) -> None:
    """[F10] In one header Authorization, with the scheme Bearer or DPoP; never in query or body (O14)."""
    if rule is None:
        assert FAPI2Profile().check_resource_request(request_) is request_
    else:
        assert rule in broken(FAPI2Profile().check_resource_request, request_)


def introspection(policy: SignedResponsePolicy | None = None, **changes: Any) -> TokenIntrospectionRequest:
    fields: dict[str, Any] = {**CREDENTIALS, "signed_response": policy, **changes}
    return TokenIntrospectionRequest(ISSUER + "/introspect", "token", "api", **fields)


def validation(**changes: Any) -> TokenValidationConfig:
    return TokenValidationConfig(**{"perform_disco": True, "audience": "api", "algorithms": ["PS256"], **changes})


def test_introspection_answers_are_signed() -> None:
    """[M4] A signed answer is demanded, by an allowed algorithm; only message signing makes it a must."""
    profile = FAPI2Profile.message_signing()
    profile.check_request(introspection(SignedResponsePolicy(validation(), ISSUER)))
    profile.check_request(
        introspection(SignedResponsePolicy(validation(), ISSUER), private_key_jwt=None, authorization="t")
    )
    FAPI2Profile().check_request(introspection())
    assert broken(profile.check_request, introspection()) == {"M4": {"signed_response"}}
    weak = SignedResponsePolicy(validation(algorithms=["RS256"]), ISSUER)
    assert broken(profile.check_request, introspection(weak)) == {"F35": {"algorithms"}}


@pytest.mark.parametrize(
    ("changes", "rule", "claim"),
    [
        ({"require_https": False}, "F1", "require_https"),
        ({"options": {"verify_aud": False}}, "F31", "verify_aud"),
        ({"options": {"verify_iss": False}}, "F31", "verify_iss"),
        ({"algorithms": None}, "F35", "algorithms"),
        ({"algorithms": ["ES256", "RS256"]}, "F35", "algorithms"),
        ({"algorithms": ["none"]}, "F36", "algorithms"),
        ({"leeway": 600}, "F42", "leeway"),
    ],
)
def test_validation_that_breaks_the_profile(changes: dict[str, Any], rule: str, claim: str) -> None:
    """[F1] [F31] [F34] [F35] [F36] [F42] A resource that would take more than the profile allows is refused."""
    good = validation(leeway=30)
    assert FAPI2Profile().check_validation(good) is good
    assert broken(FAPI2Profile().check_validation, validation(**changes)) == {rule: {claim}}


# ---- single responses


def test_pushed_requests_are_short_lived() -> None:
    """[F23] The name of a pushed request that is good for ten minutes or more is told of; it is the provider's duty."""
    profile, seen = FAPI2Profile(), []
    add_observer(seen.append)
    try:
        for lifetime in (599, 600):
            profile.check_pushed_response(PushedAuthorizationResponse(True, request_uri="urn:x", expires_in=lifetime))
    finally:
        remove_observer(seen.append)
    assert [(event.name, event.facts) for event in seen] == [("fapi_pushed_request_long_lived", {"expires_in": 600})]
    with pytest.raises(TokenRequestException):
        profile.check_pushed_response(PushedAuthorizationResponse.failed(TokenRequestException("no")))


def callback(**values: str) -> AuthorizeCallbackResponse:
    return parse_authorize_callback_response(BACK + "?" + urlencode({"state": "s", **values}))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"code": "c"}, "F26"),
        ({"code": "c", "iss": ISSUER + "/"}, "F26"),
        ({"error": "access_denied"}, "F26"),
        ({"code": "c", "iss": ISSUER, "id_token": "a.b.c"}, "F22"),
    ],
)
def test_single_callbacks_that_break_the_profile(values: dict[str, str], rule: str) -> None:
    """[F22] [F26] An answer or an error without the right issuer, or with tokens, is refused."""
    profile = FAPI2Profile()
    profile.check_callback(callback(code="c", iss=ISSUER), ISSUER)
    with pytest.raises(AuthorizeCallbackException) as caught:
        profile.check_callback(callback(**values), ISSUER)
    assert rule in violations(caught.value)


def test_a_single_plain_callback_breaks_message_signing() -> None:
    """[M3] With signed responses, one that did not come in a JWT is refused."""
    profile, plain = FAPI2Profile.message_signing(), callback(code="c", iss=ISSUER)
    assert broken(profile.check_callback, plain, ISSUER) == {"M3": {"response"}}
    profile.check_callback(replace(plain, response_mode="jwt"), ISSUER)


def test_single_token_responses_are_bound() -> None:
    """[F8] Bearer tokens are refused where a DPoP key was shown."""
    profile, request = FAPI2Profile(), token_request()
    bound = ClientCredentialsTokenResponse(True, token_type="dPoP")
    profile.check_token_response(request, bound)
    profile.check_token_response(token_request(dpop_key=None, mtls=CERTIFICATE), replace(bound, token_type="Bearer"))
    assert broken(profile.check_token_response, request, replace(bound, token_type="Bearer")) == {"F8": {"token_type"}}


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"cnf": {"jkt": "x"}}, True),
        ({"cnf": {"x5t#S256": "x"}}, True),
        ({"cnf": {"kid": "x"}}, False),
        ({"cnf": {"jkt": ""}}, False),
        ({"cnf": "jkt"}, False),
        ({}, False),
    ],
)
def test_a_resource_takes_bound_tokens_only(claims: dict[str, Any], accepted: bool) -> None:
    """[F33] A token without cnf is refused, also as a claims validator."""
    if accepted:
        FAPI2Profile().check_access_token(claims)
        return
    with pytest.raises(TokenValidationException) as caught:
        FAPI2Profile().check_access_token(claims)
    assert violations(caught.value) == {"F33": {"cnf"}}


# ---- keys and transport


def test_keys_of_one_name_are_told_apart_by_what_they_are() -> None:
    """[F41] Where a set has a kid twice, key type, use, algorithm and curve select."""
    rsa, other = {**(OP_KEY.public_jwk or {}), "kid": "k"}, {**(CLIENT_KEY.public_jwk or {}), "kid": "k"}
    keys = KeySet.from_keys({"keys": [rsa, other, {**(ED448.public_jwk or {}), "kid": "k"}]})
    for alg, kty in (("PS256", "RSA"), ("ES256", "EC")):
        found = keys.candidates({"alg": alg, "kid": "k"}, ("PS256", "ES256")).keys
        assert [key.key.kty for key in found] == [kty]


def test_tls_is_that_of_bcp_195() -> None:
    """[F2] [F3] [F5] [F6] TLS 1.2 with the recommended suites or TLS 1.3; certificates and host names are verified."""
    context = fapi_tls_context(True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    older = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert sorted(older) == sorted(BCP195_CIPHERS.split(":"))
    assert all(name.startswith("ECDHE-") and "-GCM-" in name for name in older)
    assert fapi_tls_context(True) is context


# ---- the published helpers


def test_the_published_constants() -> None:
    """They are as published."""
    assert {"private_key_jwt", "self_signed_tls_client_auth", "tls_client_auth"} == FAPI2_ALLOWED_AUTH_METHODS
    assert {"ES256", "PS256"} == FAPI2_ALLOWED_SIGNING_ALGORITHMS
    assert (FAPI2_REQUIRED_PKCE_METHOD, FAPI2_REQUIRED_RESPONSE_TYPE) == ("S256", "code")


def test_a_result_tells_whether_it_is_compliant() -> None:
    """is_compliant follows from the violations and cannot be given."""
    assert FAPIValidationResult().is_compliant
    assert not FAPIValidationResult(["x"]).is_compliant
    with pytest.raises(TypeError):
        FAPIValidationResult([], is_compliant=True)  # type: ignore[call-arg]


def good_request() -> dict[str, Any]:
    return {
        "response_type": "code",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "redirect_uri": BACK,
        "use_par": True,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"response_type": "code id_token"},
        {"code_challenge": None},
        {"code_challenge": ""},
        {"code_challenge": " \t"},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"redirect_uri": "http://app.example.com/cb"},
        *({"redirect_uri": uri} for uri in ("https:", "https:///cb", "https://:8443/cb", "https:app.example.com/cb")),
        *(
            {"redirect_uri": uri}
            for uri in ("javascript:alert(1)", "data:,x", "myapp:/cb", "//app.example.com/cb", " ")
        ),
        {"redirect_uri": ""},
        {"redirect_uri": "http://[::1"},
        {"use_par": False},
        {"algorithm": "RS256"},
        {"algorithm": "none"},
    ],
)
def test_the_published_check_of_a_request(changes: dict[str, Any]) -> None:
    """[F22] [F23] [F24] [F35] Each broken rule is one violation, in words; nothing is raised."""
    assert validate_fapi_authorization_request(**good_request()).is_compliant
    assert validate_fapi_authorization_request(**good_request(), algorithm="ES256").is_compliant
    result = validate_fapi_authorization_request(**{**good_request(), **changes})
    assert (result.is_compliant, len(result.violations)) == (False, 1)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"auth_method": "private_key_jwt", "use_dpop": True}, 0),
        ({"auth_method": "tls_client_auth", "use_mtls": True}, 0),
        ({"auth_method": "private_key_jwt"}, 1),
        ({"auth_method": "client_secret_basic", "use_dpop": True}, 1),
        ({"auth_method": None}, 2),
    ],
)
def test_the_published_check_of_a_client(settings: dict[str, Any], count: int) -> None:
    """[F8] [F9] Method and binding are judged."""
    assert len(validate_fapi_client_config(**settings).violations) == count


def test_the_published_check_of_metadata() -> None:
    """[F23] Good metadata has no violation; each that is missing is one."""
    assert validate_fapi_discovery(document()).is_compliant
    assert len(validate_fapi_discovery(document(pushed_authorization_request_endpoint=None)).violations) == 1
    assert len(validate_fapi_discovery(DiscoveryDocumentResponse(True)).violations) == 6


def test_nothing_secret_shows() -> None:
    """Neither secrets nor tokens nor keys are in the text or the facts of a violation."""
    found: list[str] = []
    for attempt in _attempts():
        with pytest.raises(PyIdentityModelException) as caught:
            attempt()
        found += [str(caught.value), repr(vars(caught.value))]
    assert len(found) == 6
    assert not [text for text in found if "canary" in text]


def _attempts() -> Iterator[Any]:
    yield lambda: client(client_secret="canary-secret")
    yield lambda: FAPI2Profile().check_request(pushed(state="canary", nonce="canary-nonce"))
    yield lambda: FAPI2Profile().check_callback(callback(code="canary-code"), ISSUER)


def test_every_request_kind_is_judged() -> None:
    """A request of any kind that authenticates a client goes through the same checks."""
    request: ClientRequest = introspection(client_secret="s")
    assert broken(FAPI2Profile().check_request, request) == {"F9": {"client_secret"}}
