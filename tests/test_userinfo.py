"""UserInfo, by each driver: the request, answers plain, signed and encrypted, and what other providers say."""

from __future__ import annotations

import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import py_identity_model._core.client.external_claims as external
import py_identity_model._core.client.userinfo as flows
import py_identity_model.aio._userinfo as aio_api
import py_identity_model.sync._userinfo as sync_api
from apis import ISSUER, NOW
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.binding.dpop_client import DPoPKey, compute_ath
from py_identity_model._core.client.client_auth import MtlsClientAuth
from py_identity_model._core.client.external_claims import ClaimsProvider
from py_identity_model._core.client.userinfo import UserInfoRequest
from py_identity_model._core.jose.jwe import Decryption, encrypt_compact
from py_identity_model._core.jose.jws import parse_compact, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._core.validation.signed_response import SignedResponsePolicy
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    NetworkException,
    TransportException,
    UserInfoException,
)
from py_identity_model.observability import add_observer
from py_identity_model.settings import Settings
from py_identity_model.sync._driver import run
from py_identity_model.sync._validation import validators

ENDPOINT = "https://id.example.com/userinfo"
SETTINGS = Settings()
KEY = SigningKey.generate("ES256", kid="k1")
LOST = TransportException("connection lost", code="connection_lost")
JANE = {"sub": "248289761001", "name": "Jane Doe", "email": "janedoe@example.com"}


def answer(members=JANE, status=200, *headers, media_type="application/json"):
    return Reply(status, (("content-type", media_type), *headers), json.dumps(members).encode(), ENDPOINT)


def jwt(token, media_type="application/jwt"):
    return Reply(200, (("content-type", media_type),), token.encode(), ENDPOINT)


def userinfo(token="canary-token", **fields):
    fields = {"expected_sub": "248289761001", **fields}
    return flows.get_userinfo(UserInfoRequest(ENDPOINT, token, **fields), SETTINGS, validators)


# ---- the request


def test_the_example_of_openid_connect_core(perform):
    """[F10] [S21] [B1] The request of OpenID Connect Core 5.3.1: the token stands in the header and nowhere else."""
    response, [sent] = perform(userinfo("SlAV32hkKG"), answer())
    assert (sent.method, sent.url, sent.body) == ("GET", ENDPOINT, b"")
    assert dict(sent.headers) == {"Authorization": "Bearer SlAV32hkKG", "Accept": "application/json"}
    assert (response.claims, response.error) == (JANE, None)
    assert json.loads(response.raw) == JANE


def test_bound_to_a_dpop_key(perform):
    """[D16] [S11] A DPoP-bound token goes with a proof, and once more with the nonce if one is asked for."""
    key = DPoPKey()
    wanted = Reply(401, (("www-authenticate", 'DPoP error="use_dpop_nonce"'), ("dpop-nonce", "n-1")), b"", ENDPOINT)
    response, sent = perform(userinfo("bound", dpop_key=key), wanted, answer())
    assert response.is_successful
    proofs = [json.loads(parse_compact(dict(r.headers)["DPoP"]).payload) for r in sent]
    assert [dict(r.headers)["Authorization"] for r in sent] == ["DPoP bound"] * 2
    assert [p.get("nonce") for p in proofs] == [None, "n-1"]
    assert {p["ath"] for p in proofs} == {compute_ath("bound")}
    assert {(p["htm"], p["htu"]) for p in proofs} == {("GET", ENDPOINT)}
    assert proofs[0]["jti"] != proofs[1]["jti"]


def test_bound_to_a_certificate(perform):
    """[S11] A certificate-bound token goes over mutual TLS."""
    _, [sent] = perform(userinfo(mtls=MtlsClientAuth("cert.pem", "key.pem")), answer())
    assert (sent.certificate.certificate, sent.certificate.private_key) == ("cert.pem", "key.pem")


def test_one_quick_repeat(perform, clock):
    """A moment's failure is repeated once, with another proof."""
    response, sent = perform(userinfo(dpop_key=DPoPKey()), LOST, answer())
    assert response.is_successful
    assert len({dict(r.headers)["DPoP"] for r in sent}) == 2


@pytest.mark.parametrize(
    ("token", "fields", "code"),
    [
        ("", {}, "parameter_invalid"),
        ("a\r\nX-Evil: 1", {}, "parameter_invalid"),
        ("\ud800", {}, "parameter_invalid"),
        ("t", {"expected_sub": ""}, "policy_invalid"),
        ("t", {"expected_sub": 7}, "policy_invalid"),
    ],
)
def test_requests_that_make_no_sense(perform, token, fields, code):
    """A request that is not valid is not sent."""
    response, sent = perform(userinfo(token, **fields))
    assert (response.error_code, sent) == (code, [])
    assert isinstance(response.exception, ConfigurationException)


def test_plain_http_is_refused(perform):
    """A token does not travel over plain http to another machine, unless that is allowed by name."""
    request = UserInfoRequest("http://id.example.com/userinfo", "t", "ada")
    response, sent = perform(flows.get_userinfo(request, SETTINGS, validators))
    assert (response.error_code, sent) == ("https_required", [])
    request.allow_insecure_http = True
    assert perform(flows.get_userinfo(request, SETTINGS, validators), answer({"sub": "ada"}))[0].is_successful


# ---- the answer


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({**JANE, "sub": "other"}, "subject_mismatch"),
        ({**JANE, "sub": "248289761001 "}, "subject_mismatch"),
        ({"name": "Jane"}, "claim_missing"),
        ({**JANE, "sub": 248289761001}, "claim_type_invalid"),
        ({**JANE, "sub": ""}, "claim_type_invalid"),
        ({**JANE, "sub": ["s"]}, "claim_type_invalid"),
        ({**JANE, "sub": None}, "claim_type_invalid"),
    ],
)
def test_the_subject_is_that_of_the_id_token(perform, members, code):
    """An answer about another user than the ID token is refused (OpenID Connect Core 5.3.2)."""
    response, _ = perform(userinfo(), answer(members))
    assert (response.is_successful, response.error_code) == (False, code)
    assert isinstance(response.exception, UserInfoException)
    for name in ("claims", "raw"):
        with pytest.raises(FailedResponseAccessError):
            getattr(response, name)


def test_oidcc_client_test_userinfo_invalid_sub(perform):
    """A UserInfo answer with another sub than the ID token is rejected."""
    assert not perform(userinfo(), answer({**JANE, "sub": "248289761001invalid"}))[0].is_successful


def test_oidcc_client_test_userinfo_bearer_header(perform):
    """The access token is sent in the Authorization header."""
    _, [sent] = perform(userinfo("t"), answer())
    assert dict(sent.headers)["Authorization"] == "Bearer t"


def test_oidcc_client_test_scope_userinfo_claims(perform):
    """The claims of the scopes profile, email, phone and address are read as they come."""
    claims = {**JANE, "phone_number": "+1", "address": {"locality": "Lyon"}}
    assert perform(userinfo(), answer(claims))[0].claims == claims


def test_an_unchecked_subject_is_told(perform):
    """Without expected_sub the answer is taken, its sub is required, and an event tells that nobody compared it."""
    events = []
    add_observer(events.append)
    response, _ = perform(userinfo(expected_sub=None), answer())
    assert response.claims["sub"] == "248289761001"
    assert [(e.name, e.level, e.facts) for e in events] == [
        ("userinfo_subject_unchecked", logging.WARNING, {"endpoint": "https://id.example.com"})
    ]
    assert perform(userinfo(expected_sub=None), answer({"name": "Jane"}))[0].error_code == "claim_missing"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(media_type="text/html"), "content_type_invalid"),
        (answer(media_type="text/plain"), "content_type_invalid"),
        (answer(media_type=""), "content_type_invalid"),
        (answer(media_type="application/jwt"), "content_type_invalid"),
        (Reply(200, (), b'{"sub": "248289761001"}', ENDPOINT), "content_type_invalid"),
        (Reply(200, (("content-type", "application/json"),), b"{", ENDPOINT), "response_unparsable"),
        (Reply(200, (("content-type", "application/json"),), b"[]", ENDPOINT), "response_unparsable"),
        (
            Reply(200, (("content-type", "application/json"),), b'{"sub": "a", "sub": "248289761001"}', ENDPOINT),
            "response_unparsable",
        ),
        (answer({}, 204), "userinfo_failed"),
        (answer({}, 404), "userinfo_failed"),
        (Reply(302, (("location", "https://evil.example.com/"),), b"", ENDPOINT), "redirect_refused"),
        (answer({}, 500), "userinfo_failed"),
    ],
)
def test_answers_that_are_none(perform, reply, code):
    """Only a JSON object of the right media type is an answer; redirects are not followed with the token."""
    response, sent = perform(userinfo(), *[reply] * 2)
    assert (response.is_successful, response.error_code) == (False, code)
    assert isinstance(response.exception, UserInfoException)
    assert len(sent) == (2 if reply.status == 500 else 1)


def test_content_types_may_have_parameters(perform):
    """A charset does not matter, and media types have no case."""
    assert perform(userinfo(), answer(media_type="Application/JSON; charset=UTF-8"))[0].is_successful


@pytest.mark.parametrize(
    "reply",
    [
        Reply(
            401,
            (("www-authenticate", 'Bearer realm="x", error="invalid_token", error_description="expired"'),),
            b"",
            ENDPOINT,
        ),
        answer({"error": "invalid_token", "error_description": "expired"}, 401),
    ],
)
def test_a_refused_token(perform, reply):
    """The provider's reason is found in the challenge or in the body (RFC 6750 3, OpenID Connect Core 5.3.3)."""
    response, _ = perform(userinfo(), reply)
    assert (response.error_code, response.error_description, response.status_code) == ("invalid_token", "expired", 401)
    assert response.exception.code == "request_refused"
    assert "revoked" in response.exception.hint


def test_a_challenge_of_another_scheme(perform):
    """What another scheme says is not the reason of the refusal."""
    reply = Reply(401, (("www-authenticate", 'Basic realm="x", Bearer, DPoP error="invalid_token"'),), b"", ENDPOINT)
    assert perform(userinfo(), reply)[0].error_code == "invalid_token"
    other = Reply(401, (("www-authenticate", 'Other error="mine"'),), b"", ENDPOINT)
    assert perform(userinfo(), other)[0].error_code == "userinfo_failed"


def test_a_busy_provider(perform, clock):
    """A provider that asks for a pause is not asked again."""
    response, sent = perform(userinfo(), answer({}, 503, ("retry-after", "9")))
    assert (len(sent), response.exception.retry_after) == (1, 9.0)


# ---- signed and encrypted


def policy(decryption=None, **changes):
    fields = {"perform_disco": False, "key": KEY.public_jwk, "issuer": ISSUER, "audience": "app", **changes}
    return SignedResponsePolicy(TokenValidationConfig(**fields), decryption=decryption)


def signed(*, key=KEY, typ=None, **changes):
    claims = {"iss": ISSUER, "aud": "app", **JANE, **changes}
    return sign_compact({name: value for name, value in claims.items() if value is not None}, key, typ=typ)


def test_oidcc_client_test_userinfo_signed(perform):
    """[O6] A signed answer is asked for, and its signature, issuer and audience are verified; it needs no exp."""
    response, [sent] = perform(userinfo(signed_response=policy()), jwt(signed()))
    assert dict(sent.headers)["Accept"] == "application/jwt"
    assert response.claims == {"iss": ISSUER, "aud": "app", **JANE}
    assert response.raw.count(".") == 2


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(), "content_type_invalid"),
        (jwt(signed(), "application/json"), "content_type_invalid"),
        (jwt(signed(key=SigningKey.generate("ES256", kid="k1"))), "signature_invalid"),
        (jwt(signed(iss="https://evil.example.com")), "issuer_mismatch"),
        (jwt(signed(iss=None)), "claim_missing"),
        (jwt(signed(aud="other")), "audience_mismatch"),
        (jwt(signed(aud=None)), "claim_missing"),
        (jwt(signed(sub="other")), "subject_mismatch"),
        (jwt(signed(sub=None)), "claim_missing"),
        (jwt(signed(exp=NOW - 1)), "token_expired"),
        (jwt(signed(nbf=NOW + 60)), "token_not_yet_valid"),
        (jwt(signed(typ="at+jwt")), "typ_mismatch"),
        (jwt(signed(typ="logout+jwt")), "typ_mismatch"),
        (jwt(signed(events={})), "kind_mismatch"),
        (jwt("e30.e30."), "alg_invalid"),
        (jwt("a.b.c.d.e"), "token_encrypted"),
        (jwt("\x00"), "token_malformed"),
    ],
)
def test_signed_answers_that_must_not_be_used(perform, reply, code):
    """An answer that is not signed, or not by whom and for whom it must be, is refused (OpenID Connect Core 5.3.2)."""
    response, _ = perform(userinfo(signed_response=policy()), reply)
    assert (response.is_successful, response.error_code) == (False, code)
    assert isinstance(response.exception, UserInfoException)


def test_the_registered_algorithm(perform):
    """[O7] An answer that is signed with another algorithm than the registered one is refused."""
    response, _ = perform(userinfo(signed_response=policy(algorithms=["RS256"])), jwt(signed()))
    assert response.error_code == "alg_not_allowed"


def test_encrypted_answer(perform):
    """[O1] An answer that must be encrypted is decrypted, then verified; one that is merely signed is refused."""
    recipient = SigningKey.generate("ES256").private_pem
    demand = policy(Decryption(recipient))
    token = encrypt_compact(signed(), recipient, alg="ECDH-ES", enc="A256GCM", cty="JWT")
    response, _ = perform(userinfo(signed_response=demand), jwt(token))
    assert response.claims["name"] == "Jane Doe"
    assert response.raw == token
    forged = encrypt_compact(
        signed(key=SigningKey.generate("ES256", kid="k1")), recipient, alg="ECDH-ES", enc="A256GCM", cty="JWT"
    )
    for refused in (signed(), forged, encrypt_compact(json.dumps(JANE), recipient, alg="ECDH-ES", enc="A256GCM")):
        response, _ = perform(userinfo(signed_response=demand), jwt(refused))
        assert isinstance(response.exception, UserInfoException)


# ---- what others say

BANK = "https://bank.example.com"
CREDIT = "https://credit.example.com"
BANK_KEY, CREDIT_KEY = SigningKey.generate("ES256", kid="b1"), SigningKey.generate("ES256", kid="c1")
WHERE = "https://credit.example.com/claims"


def provider(issuer, key, endpoints=(), **fields):
    config = TokenValidationConfig(False, key.public_jwk, issuer=issuer, options={"verify_aud": False})
    return ClaimsProvider(issuer, config, endpoints, **fields)


TRUSTED = [provider(BANK, BANK_KEY), provider(CREDIT, CREDIT_KEY, (WHERE,))]
AGGREGATED = sign_compact({"iss": BANK, "address": {"locality": "Lyon"}, "phone_number": "+1", "email": "x"}, BANK_KEY)
DISTRIBUTED = sign_compact({"iss": CREDIT, "credit_score": 650, "payment_info": "a"}, CREDIT_KEY)


def sourced(names, **sources):
    return {**JANE, "_claim_names": names, "_claim_sources": sources}


BOTH = sourced(
    {"address": "src1", "phone_number": "src1", "credit_score": "src2"},
    src1={"JWT": AGGREGATED},
    src2={"endpoint": WHERE, "access_token": "ksj3n283dke"},
)


def collect(claims, trusted=TRUSTED):
    return external.get_external_claims(claims, trusted, SETTINGS, validators)


def test_oidcc_client_test_aggregated_claims(perform):
    """Aggregated claims are verified, and only those that are named for the source are taken."""
    claims = sourced({"address": "src1", "phone_number": "src1"}, src1={"JWT": AGGREGATED})
    response, sent = perform(collect(claims))
    assert (response.claims, sent) == ({"address": {"locality": "Lyon"}, "phone_number": "+1"}, [])
    assert response.failures == {}


def test_oidcc_client_test_distributed_claims(perform):
    """Distributed claims are fetched with the token of the source, verified, and taken as named."""
    claims = sourced({"credit_score": "src2"}, src2={"endpoint": WHERE, "access_token": "ksj3n283dke"})
    response, [sent] = perform(collect(claims), jwt(DISTRIBUTED))
    assert response.claims == {"credit_score": 650}
    assert (sent.method, sent.url) == ("GET", WHERE)
    assert dict(sent.headers)["Authorization"] == "Bearer ksj3n283dke"


def test_claims_that_name_no_issuer(perform):
    """OpenID Connect Core 5.6.2: iss should be there. Without it, endpoint and key tell whose claims they are."""
    claims = sourced({"credit_score": "s"}, s={"endpoint": WHERE})
    unnamed = sign_compact({"credit_score": 650}, CREDIT_KEY)
    assert perform(collect(claims), jwt(unnamed))[0].claims == {"credit_score": 650}
    forged = sign_compact({"credit_score": 850}, BANK_KEY)
    response, _ = perform(collect(claims), jwt(forged))
    assert (response.claims, response.failures["s"].code) == ({}, "signature_invalid")
    expired = sign_compact({"credit_score": 850, "exp": NOW - 1}, CREDIT_KEY)
    assert perform(collect(claims), jwt(expired))[0].failures["s"].code == "token_expired"
    empty = sign_compact({"credit_score": 850, "iss": ""}, CREDIT_KEY)
    assert perform(collect(claims), jwt(empty))[0].claims == {}


def test_aggregated_claims_that_name_no_issuer(perform):
    """Without iss they are believed where one provider alone could have signed them, and where that one did."""
    unnamed = sign_compact({"address": "a"}, BANK_KEY)
    claims = sourced({"address": "s"}, s={"JWT": unnamed})
    assert perform(collect(claims))[0].failures["s"].code == "issuer_mismatch"
    assert perform(collect(claims, [provider(BANK, BANK_KEY)]))[0].claims == {"address": "a"}
    assert perform(collect(claims, [provider(CREDIT, CREDIT_KEY)]))[0].claims == {}


def test_nothing_happens_by_itself(perform):
    """UserInfo leaves sources alone, and without trusted providers nothing is fetched or believed."""
    response, sent = perform(userinfo(), answer(BOTH))
    assert (response.claims, len(sent)) == (BOTH, 1)
    response, sent = perform(collect(BOTH, []))
    assert (response.claims, sent, set(response.failures)) == ({}, [], {"src1", "src2"})


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500, (), b"", WHERE),
        Reply(403, (), b"", WHERE),
        jwt(DISTRIBUTED, "application/json"),
        jwt(sign_compact({"iss": CREDIT, "credit_score": 850}, BANK_KEY)),
        jwt(sign_compact({"iss": BANK, "credit_score": 850}, CREDIT_KEY)),
        jwt(sign_compact({"iss": CREDIT, "credit_score": 850, "exp": NOW - 1}, CREDIT_KEY)),
        jwt(sign_compact({"iss": CREDIT, "credit_score": 850}, CREDIT_KEY, typ="at+jwt")),
        LOST,
    ],
)
def test_one_failure_spoils_no_other(perform, reply):
    """A source that fails, or whose word does not verify, is told of; the others bring their claims."""
    response, _ = perform(collect(BOTH), *[reply] * 2)
    assert response.is_successful
    assert set(response.claims) == {"address", "phone_number"}
    assert set(response.failures) == {"src2"}


def test_endpoints_are_those_that_the_caller_allows(perform):
    """An address that the provider made up is not fetched, be it ever so similar."""
    for endpoint in (WHERE + "/", WHERE + "?x", "http://169.254.169.254/", "file:///etc/passwd", 7):
        response, sent = perform(collect(sourced({"credit_score": "s"}, s={"endpoint": endpoint})))
        assert (response.claims, sent, set(response.failures)) == ({}, [], {"s"})
    with pytest.raises(ConfigurationException):
        provider(CREDIT, CREDIT_KEY, ("http://credit.example.com/claims",))
    with pytest.raises(ConfigurationException):
        provider(CREDIT, CREDIT_KEY, WHERE)


def test_a_token_of_our_own(perform):
    """Where the source brings no token, the caller's own is used, or none."""
    claims = sourced({"credit_score": "s"}, s={"endpoint": WHERE})
    ours = [provider(CREDIT, CREDIT_KEY, (WHERE,), access_token=Secret("agreed-token"))]
    _, [sent] = perform(collect(claims, ours), jwt(DISTRIBUTED))
    assert dict(sent.headers)["Authorization"] == "Bearer agreed-token"
    assert "agreed-token" not in repr(ours)
    _, [sent] = perform(collect(claims), jwt(DISTRIBUTED))
    assert "Authorization" not in dict(sent.headers)


def test_claims_that_no_other_provider_may_make(perform):
    """Another provider says nothing about who the user is here, nor about the login."""
    token = sign_compact({"iss": BANK, "sub": "admin", "acr": "high", "address": "a"}, BANK_KEY)
    response, _ = perform(collect(sourced({"sub": "s", "acr": "s", "address": "s"}, s={"JWT": token})))
    assert response.claims == {"address": "a"}


@pytest.mark.parametrize(
    "source", [None, 7, {}, {"JWT": 7}, {"JWT": "no.jwt"}, {"JWT": AGGREGATED, "endpoint": WHERE}, {"endpoint": None}]
)
def test_sources_of_no_use(perform, source):
    """A source that is neither aggregated nor distributed fails alone."""
    response, sent = perform(
        collect(sourced({"address": "s", "phone_number": "src1"}, s=source, src1={"JWT": AGGREGATED}))
    )
    assert (response.claims, sent, set(response.failures)) == ({"phone_number": "+1"}, [], {"s"})


def test_a_token_of_no_use(perform):
    """A token that could not stand in a header is not sent."""
    for token in ("", "a\r\nb", 7, {"a": 1}):
        claims = sourced({"credit_score": "s"}, s={"endpoint": WHERE, "access_token": token})
        response, sent = perform(collect(claims))
        assert (sent, response.failures["s"].code) == ([], "claim_source_invalid")


@pytest.mark.parametrize(
    "claims",
    [
        {"_claim_names": [], "_claim_sources": {}},
        {"_claim_names": {"a": "s"}, "_claim_sources": []},
        {"_claim_names": {"a": "missing"}, "_claim_sources": {}},
        {"_claim_names": {"a": 1}, "_claim_sources": {}},
        {"_claim_names": {"a": ["s"]}, "_claim_sources": {"s": {}}},
        {"_claim_names": {}, "_claim_sources": {str(n): {} for n in range(17)}},
    ],
)
def test_sources_that_are_malformed(perform, claims):
    """Names that lead nowhere, or sources without number, are refused as a whole."""
    response, sent = perform(collect(claims))
    assert (response.error_code, sent) == ("claim_sources_invalid", [])


VALUE = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([AGGREGATED, DISTRIBUTED, WHERE, "s"])
MEMBERS = st.sampled_from(["JWT", "endpoint", "access_token", "address", "credit_score", "sub", "s"])
ANYTHING = st.recursive(VALUE, lambda inner: st.lists(inner) | st.dictionaries(MEMBERS, inner), max_leaves=8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(ANYTHING, ANYTHING)
def test_any_sources(names, sources):
    """Whatever a provider writes about sources, only trusted claims come out, and only trusted endpoints are asked."""

    def endpoint(request):
        assert request.url == WHERE
        return jwt(DISTRIBUTED)

    response = run(collect({"_claim_names": names, "_claim_sources": sources}), endpoint)
    if response.is_successful:
        assert set(response.claims) <= {"address", "credit_score"}
    else:
        assert response.error_code == "claim_sources_invalid"


def test_trust_is_given_once(perform):
    """A provider that is trusted twice is a mistake of the caller."""
    response, _ = perform(collect(BOTH, [TRUSTED[0], TRUSTED[0]]))
    assert isinstance(response.exception, ConfigurationException)
    with pytest.raises(ConfigurationException):
        provider("", BANK_KEY)


def test_an_issuer_speaks_for_itself(perform):
    """A provider's key makes no claims of another issuer, whatever its configuration accepts."""
    both = TokenValidationConfig(False, CREDIT_KEY.public_jwk, issuer=[CREDIT, BANK], options={"verify_aud": False})
    claims = sourced({"credit_score": "s"}, s={"endpoint": WHERE})
    reply = jwt(sign_compact({"iss": BANK, "credit_score": 850}, CREDIT_KEY))
    response, _ = perform(collect(claims, [ClaimsProvider(CREDIT, both, (WHERE,))]), reply)
    assert response.failures["s"].code == "issuer_mismatch"


# ---- both


def test_both_apis(api):
    """Both APIs ask."""
    module = sync_api if api.name == "sync" else aio_api
    request = UserInfoRequest(ENDPOINT, Secret("t"), "248289761001")
    assert api.call(module.get_userinfo, request, lambda request: answer()).claims == JANE
    assert api.call(module.get_external_claims, BOTH, TRUSTED, lambda request: jwt(DISTRIBUTED)).claims["credit_score"]


REPEATED = "you sent canary-token"


@pytest.mark.parametrize(
    "reply",
    [
        answer({"error": "invalid_token", "error_description": REPEATED}, 401),
        Reply(
            401, (("www-authenticate", f'Bearer error="invalid_token", error_description="{REPEATED}"'),), b"", ENDPOINT
        ),
        Reply(500, (), REPEATED.encode(), ENDPOINT),
        answer({"sub": "other", "echo": REPEATED}),
        LOST,
    ],
)
@pytest.mark.parametrize("key", [None, DPoPKey()])
def test_secrets_stay_secret(perform, caplog, reply, key):
    """[S25] The token shows on no error path, not even if the provider repeats it."""
    caplog.set_level(logging.DEBUG)
    request = UserInfoRequest(ENDPOINT, "canary-token", "ada", dpop_key=key)
    response, _ = perform(flows.get_userinfo(request, SETTINGS, validators), *[reply] * 2)
    assert isinstance(response.exception, NetworkException)
    shown = [
        repr(request),
        repr(response),
        str(response.error),
        "".join(traceback.format_exception(response.exception)),
    ]
    shown += [caplog.text, repr(pickle.loads(pickle.dumps(response)))]
    assert not [text for text in shown if "canary" in text]


def test_tokens_of_sources_stay_secret(perform, caplog):
    """[S25] The token of a source shows in no failure."""
    caplog.set_level(logging.DEBUG)
    claims = sourced({"credit_score": "s"}, s={"endpoint": WHERE, "access_token": "canary-token"})
    for reply in (answer({"error": "x", "error_description": REPEATED}, 400), Reply(500, (), REPEATED.encode(), WHERE)):
        response, _ = perform(collect(claims), *[reply] * 2)
        trace = "".join(traceback.format_exception(response.failures["s"]))
        assert "canary" not in repr(response) + trace + caplog.text
