"""Authorization responses in a JWT: only what the provider signed for this client, now, is ever acted upon."""

from __future__ import annotations

import json
import pickle
import traceback
from typing import Any
from urllib.parse import quote

import pytest

import py_identity_model.aio._jarm as awaitable
import py_identity_model.sync._jarm as blocking
from apis import ISSUER, NOW, Api, Provider
from conftest import FrozenClock
from py_identity_model._core.base.base64url import b64url_decode, b64url_encode
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.jwk import JsonWebKey
from py_identity_model._core.jose.jwks import JwksResponse
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.callback import AuthorizeCallbackResponse
from py_identity_model._core.login.jarm import extract_jarm_response_jwt, is_jarm_response
from py_identity_model.exceptions import (
    AuthorizeCallbackException,
    ConfigurationException,
    JarmValidationException,
    NetworkException,
)

CALLBACK = "https://app.example.com/cb"
APP = {"client_id": "app", "disco_doc_address": ISSUER}


@pytest.fixture(autouse=True)
def _at_that_time(clock: FrozenClock) -> None:
    """The clock stands still."""


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


def response(provider: Provider, *, key: SigningKey | None = None, typ: str | None = None, **changes: Any) -> str:
    """Sign an authorization response; None takes a claim away."""
    claims: dict[str, Any] = {"iss": ISSUER, "aud": "app", "exp": NOW + 600, "code": "canary-code", "state": "s-1"}
    kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return sign_compact(kept, key or provider.keys["k1"], typ=typ)


def url(token: str, joint: str = "?") -> str:
    return f"{CALLBACK}{joint}response={token}"


def process(api: Api, provider: Any, callback: str, **changes: Any) -> AuthorizeCallbackResponse:
    module = blocking if api.name == "sync" else awaitable
    arguments = {**APP, "http_client": provider, **changes}
    answer: AuthorizeCallbackResponse = api.call(module.process_jarm_response, callback, **arguments)
    return answer


def refused(api: Api, provider: Any, callback: str, **changes: Any) -> AuthorizeCallbackException:
    with pytest.raises(AuthorizeCallbackException) as caught:
        process(api, provider, callback, **changes)
    return caught.value


# ---- what is accepted


@pytest.mark.parametrize("joint", ["?", "#", "?tab=1&"])
def test_a_good_response_is_taken_apart(api: Api, provider: Provider, joint: str) -> None:
    """[M2] [M3] What comes in query or fragment is verified, and its parameters are those of any response."""
    answer = process(api, provider, url(response(provider), joint))
    assert (answer.code, answer.state, answer.issuer) == ("canary-code", "s-1", ISSUER)
    assert (answer.is_successful, answer.response_mode, answer.address) == (True, "jwt", CALLBACK)
    assert answer.values == {"iss": ISSUER, "code": "canary-code", "state": "s-1"}


def test_the_jwt_itself_is_taken_where_that_is_said(api: Api, provider: Provider) -> None:
    """response_mode=form_post.jwt brings the JWT without a URL around it."""
    answer = process(api, provider, response(provider), is_jwt=True)
    assert (answer.code, answer.address) == ("canary-code", None)


@pytest.mark.parametrize("typ", [None, "JWT", "oauth-authz-resp+jwt"])
@pytest.mark.parametrize("aud", ["app", ["app"]])
def test_types_and_audiences_in_their_usual_forms(api: Api, provider: Provider, typ: str | None, aud: Any) -> None:
    """typ may be missing or JWT, aud may be an array of one."""
    assert process(api, provider, url(response(provider, typ=typ, aud=aud))).code == "canary-code"


def test_an_error_in_the_jwt_is_a_failed_response(api: Api, provider: Provider) -> None:
    """A signed refusal is the provider's answer, not an attack: it comes as a failed response."""
    token = response(provider, code=None, error="access_denied", error_description="no")
    answer = process(api, provider, url(token))
    assert (answer.is_successful, answer.error, answer.state) == (False, "access_denied", "s-1")
    assert answer.values["iss"] == ISSUER


def test_numbers_become_text_and_strange_members_are_left_aside(api: Api, provider: Provider) -> None:
    """Response parameters are text; claims of the JWT and members nobody knows are none."""
    token = response(provider, expires_in=60, iat=NOW, nbf=NOW, jti="j", sub="ada", strange={"a": 1}, flag=True)
    assert process(api, provider, url(token)).values == {
        "iss": ISSUER,
        "code": "canary-code",
        "state": "s-1",
        "expires_in": "60",
    }


def test_given_keys_are_used_without_a_fetch(api: Api, provider: Provider) -> None:
    """With keys and issuer given nothing is fetched at all."""
    jwks = JwksResponse(True, keys=[JsonWebKey(**key) for key in provider.jwks()["keys"]])
    answer = process(api, _nobody, url(response(provider)), disco_doc_address=None, issuer=ISSUER, jwks=jwks)
    assert answer.code == "canary-code"


def test_given_keys_and_a_discovered_issuer(api: Api, provider: Provider) -> None:
    """Where the keys are given but not the issuer, the metadata names it; the key set is not fetched."""
    jwks = JwksResponse(True, keys=[JsonWebKey(**key) for key in provider.jwks()["keys"]])
    asked = Provider(k1=provider.keys["k1"])
    assert process(api, asked, url(response(provider)), jwks=jwks).code == "canary-code"
    assert asked.count("/jwks") == 0
    assert refused(api, asked, url(response(provider, iss="https://evil.example")), jwks=jwks).code == "issuer_mismatch"


def _nobody(request: Any) -> Reply:
    raise AssertionError(f"unexpected request: {request!r}")


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "code", "claim"),
    [
        ({"iss": None}, "claim_missing", "iss"),
        ({"iss": "https://evil.example"}, "issuer_mismatch", "iss"),
        ({"iss": ISSUER + "/"}, "issuer_mismatch", "iss"),
        ({"iss": [ISSUER]}, "claim_type_invalid", "iss"),
        ({"aud": None}, "claim_missing", "aud"),
        ({"aud": "other"}, "audience_mismatch", "aud"),
        ({"aud": []}, "claim_type_invalid", "aud"),
        ({"exp": None}, "claim_missing", "exp"),
        ({"exp": NOW}, "token_expired", "exp"),
        ({"exp": str(NOW + 60)}, "claim_type_invalid", "exp"),
        ({"nbf": NOW + 61}, "token_not_yet_valid", "nbf"),
        ({"nonce": "n"}, "kind_mismatch", "nonce"),
        ({"typ": "at+jwt"}, "typ_mismatch", "typ"),
        ({"typ": "logout+jwt"}, "typ_mismatch", "typ"),
    ],
)
def test_claims_that_are_not_as_they_must_be(
    api: Api, provider: Provider, changes: dict[str, Any], code: str, claim: str
) -> None:
    """[M3] iss, aud and exp are required and must hold; other kinds of token are never taken for a response."""
    error = refused(api, provider, url(response(provider, **changes)))
    assert (type(error), error.code, error.claim) == (JarmValidationException, code, claim)


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    payload = b64url_encode(json.dumps({"iss": ISSUER, "aud": "app", "exp": NOW + 60, "code": "evil"}).encode())
    return f"{head}.{payload}.{signature}"


def unsecured(token: str, alg: Any = "none", signature: str = "") -> str:
    return b64url_encode(json.dumps({"alg": alg}).encode()) + "." + token.split(".")[1] + "." + signature


def test_a_wrong_signature_is_refused(api: Api, provider: Provider) -> None:
    """[M3] A payload that was changed, or a JWT signed by another issuer, is refused."""
    good = response(provider)
    assert refused(api, provider, url(tampered(good))).code == "signature_invalid"
    stranger = SigningKey.generate("ES256", kid="k1")
    assert refused(api, provider, url(response(provider, key=stranger))).code == "signature_invalid"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", ["none"], None])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_an_unsecured_response_is_refused(api: Api, provider: Provider, alg: Any, signature: str) -> None:
    """[M3] [F36] alg=none is refused in every spelling."""
    error = refused(api, provider, url(unsecured(response(provider), alg, signature)))
    assert error.code in ("alg_not_allowed", "alg_invalid")


def test_only_the_allowed_algorithms_count(api: Api, provider: Provider) -> None:
    """A good signature by an algorithm that is not allowed is refused; symmetric ones and none cannot be allowed."""
    assert refused(api, provider, url(response(provider)), algorithms=["PS256"]).code == "alg_not_allowed"
    for alg in ("none", "HS256", "ES999"):
        with pytest.raises(ConfigurationException) as caught:
            process(api, provider, url(response(provider)), algorithms=[alg])
        assert caught.value.code == "algorithm_unsupported"


@pytest.mark.parametrize("name", ["code", "access_token", "id_token", "error", "state"])
def test_parameters_beside_the_jwt_are_refused(api: Api, provider: Provider, name: str) -> None:
    """[M3] The parameters come from the JWT alone; what stands beside it, nobody signed."""
    error = refused(api, _nobody, url(response(provider)) + f"&{name}=x")
    assert (error.code, error.claim) == ("authorization_response_ambiguous", name)


def test_two_responses_are_refused(api: Api, provider: Provider) -> None:
    """The parameter twice, or in query and fragment, is refused."""
    token = response(provider)
    twice = refused(api, _nobody, url(token) + f"&response={token}")
    assert twice.code == "authorization_response_duplicate"
    both = refused(api, _nobody, url(token) + f"#response={token}")
    assert both.code == "authorization_response_ambiguous"


def test_a_jwt_with_code_and_error_is_refused(api: Api, provider: Provider) -> None:
    """The parameters inside are read as strictly as any."""
    error = refused(api, provider, url(response(provider, error="access_denied")))
    assert error.code == "authorization_response_ambiguous"
    assert refused(api, provider, url(response(provider, response="eyJ"))).claim == "response"


@pytest.mark.parametrize("changes", [{"code": ["a", "b"]}, {"state": {"a": 1}}, {"code": True}, {"error": 1.5}])
def test_parameters_of_another_type_are_refused(api: Api, provider: Provider, changes: dict[str, Any]) -> None:
    """A known parameter that is no text is refused, never turned into one."""
    error = refused(api, provider, url(response(provider, **changes)))
    assert (error.code, error.claim) == ("jarm_parameter_invalid", next(iter(changes)))


@pytest.mark.parametrize(
    ("callback", "code"),
    [
        (CALLBACK, "authorization_response_empty"),
        ("", "authorization_response_empty"),
        (CALLBACK + "?code=x&state=y", "jarm_response_missing"),
        (CALLBACK + "?response=", "jarm_response_missing"),
        (url("not-a-jwt"), "token_malformed"),
        (url("a.b.c.d.e"), "token_encrypted"),
        (url(quote('{"iss": "x"}')), "token_malformed"),
    ],
)
def test_what_is_no_response_is_refused(api: Api, callback: str, code: str) -> None:
    """Nothing is fetched for what is no JWT."""
    assert refused(api, _nobody, callback).code == code


def test_a_provider_that_cannot_be_reached_is_no_verdict(api: Api, provider: Provider) -> None:
    """That the keys cannot be fetched says nothing about the response."""
    asked = Provider()
    asked.fail = lambda request: Reply(503, (), b"", request.url)
    with pytest.raises(NetworkException):
        process(api, asked, url(response(provider)))


@pytest.mark.parametrize(
    "changes",
    [
        {"disco_doc_address": None},
        {"client_id": ""},
        {"disco_doc_address": "http://id.example.com"},
        {"leeway": -1},
        {"algorithms": []},
    ],
)
def test_arguments_that_make_no_sense(api: Api, provider: Provider, changes: dict[str, Any]) -> None:
    """Nothing empty turns a check off."""
    with pytest.raises(ConfigurationException):
        process(api, provider, url(response(provider)), **changes)


def test_failed_keys_are_told_as_they_failed(api: Api, provider: Provider) -> None:
    """A key set that could not be fetched raises what it failed with."""
    failed = JwksResponse.failed(NetworkException("no answer", code="jwks_failed"))
    with pytest.raises(NetworkException) as caught:
        process(api, _nobody, url(response(provider)), jwks=failed, issuer=ISSUER)
    assert caught.value.code == "jwks_failed"


# ---- encrypted


def test_signed_and_encrypted(api: Api, provider: Provider) -> None:
    """JARM 2.2: a nested JWT is opened and then verified; in the clear, or unsecured inside, it is refused."""
    from py_identity_model._core.jose.jwe import Decryption, encrypt_compact
    from py_identity_model._core.jose.jwe_keys import EncryptionKey

    key = EncryptionKey.from_secret(bytes(range(32)))
    decryption = Decryption(key)

    def sealed(inner: str) -> str:
        return url(encrypt_compact(inner, key, alg="A256KW", enc="A256GCM", cty="JWT", headers={"iss": ISSUER}))

    good = response(provider)
    assert process(api, provider, sealed(good), decryption=decryption).code == "canary-code"
    assert refused(api, provider, url(good), decryption=decryption).code == "token_not_encrypted"
    assert refused(api, provider, sealed(unsecured(good)), decryption=decryption).code == "nested_not_signed"
    assert refused(api, provider, sealed(tampered(good)), decryption=decryption).code == "signature_invalid"
    broken = sealed(good)[:-4] + "AAAA"
    assert refused(api, provider, broken, decryption=decryption).code == "decryption_failed"
    assert "decryption" in str(refused(api, provider, sealed(good)).hint)


# ---- helpers


def test_a_response_in_a_jwt_is_known_by_its_parameter() -> None:
    """The parameter decides, in query and fragment; whatever cannot be read is none."""
    token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"
    assert is_jarm_response(url(token))
    assert is_jarm_response(url(token, "#"))
    assert extract_jarm_response_jwt(url(token)) == token
    for other in (CALLBACK, "", CALLBACK + "?code=x", url(token) + "&response=x", "::"):
        assert not is_jarm_response(other)
        with pytest.raises(AuthorizeCallbackException):
            extract_jarm_response_jwt(other)


def test_nothing_secret_shows(provider: Provider) -> None:
    """Codes and JWTs are in no repr, message, traceback or pickle of an error."""
    seen = []
    for token in (tampered(response(provider)), response(provider, aud="x"), response(provider, code=["canary-code"])):
        try:
            process(Api("sync"), provider, url(token))
        except AuthorizeCallbackException as error:
            seen += [repr(error), str(error), traceback.format_exc(), repr(vars(error)), str(pickle.dumps(error))]
            assert token.split(".")[1] not in "".join(seen)
    seen.append(repr(process(Api("sync"), provider, url(response(provider)))))
    assert len(seen) == 16
    assert "canary" not in "".join(seen)
    assert b"canary" in b64url_decode(response(provider).split(".")[1])


@pytest.mark.parametrize(
    ("came", "code"), [("another", "state_mismatch"), (None, "state_missing"), (7, "state_mismatch")]
)
def test_what_answers_another_request_costs_nothing(api: Api, provider: Provider, came: Any, code: str) -> None:
    """[K5] Where the state is told, a response with another one is refused before any document is fetched for it."""
    fresh = Provider(k1=provider.keys["k1"])
    error = refused(api, fresh, url(response(provider, state=came)), state="s-1")
    assert (type(error), error.code, error.claim) == (JarmValidationException, code, "state")
    assert fresh.requests == []
    assert process(api, fresh, url(response(provider)), state="s-1").state == "s-1"


def test_an_empty_state_turns_no_check_off(api: Api, provider: Provider) -> None:
    """A program that has lost its state is told so, instead of accepting a response without any."""
    with pytest.raises(ConfigurationException) as caught:
        process(api, provider, url(response(provider, state=None)), state="")
    assert (caught.value.code, caught.value.claim) == ("policy_invalid", "state")
