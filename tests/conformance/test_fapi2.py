"""FAPI 2.0 Security Profile and Message Signing: a test for each module of the suite, under the enforcing profile."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from conformance.double import CLIENT_ID, ISSUER, REDIRECT_URI, Op, Wrong, changed, corrupt, resigned
from conformance.rp import Rp
from py_identity_model import DPoPKey, FAPI2LoginClient, FAPI2Profile, PrivateKeyJwt, RequestSigning
from py_identity_model._core.jose.signing_keys import SigningKey

CLIENT_KEY = SigningKey.generate("ES256", kid="rp-1")
METADATA = {
    "authorization_response_iss_parameter_supported": True,
    "require_pushed_authorization_requests": True,
    "token_endpoint_auth_signing_alg_values_supported": ["ES256", "PS256"],
    "request_object_signing_alg_values_supported": ["ES256", "PS256"],
    "grant_types_supported": ["authorization_code", "refresh_token"],
    "tls_client_certificate_bound_access_tokens": False,
    "id_token_signing_alg_values_supported": ["PS256", "ES256"],
}


@pytest.fixture(autouse=True)
def _now(clock):
    """The provider's time is the client's."""
    assert clock.wall == Op().now


def rp_of(api, profile=None, *, nonces=True, more=(), **wrong):
    """Return a client under the profile, and a provider that does this wrong."""
    op = Op(
        "PS256",
        wrong=Wrong(**wrong),
        auth_method="private_key_jwt",
        dpop=True,
        nonces=nonces,
        more={**METADATA, **dict(more)},
    )
    rp = Rp(api, op)
    profile = profile or FAPI2Profile()
    signing = RequestSigning(SigningKey.generate("PS256", kid="rp-2")) if profile.signed_requests else None
    rp.client = FAPI2LoginClient(
        profile=profile,
        issuer=ISSUER,
        client_id=CLIENT_ID,
        redirect_uri=REDIRECT_URI,
        private_key_jwt=PrivateKeyJwt(CLIENT_KEY),
        dpop_key=DPoPKey(),
        request_signing=signing,
    )
    return rp


def resource(rp, login):
    """Call the API with the access token, as a client with a DPoP key does."""
    return rp.userinfo(login, dpop_key=rp.client.dpop_key)


def test_fapi2_security_profile_final_client_test_happy_path(api):
    """[F8] [F9] [F15] [F23] [F27] Pushed request, bound code, bound tokens, with nonces everywhere."""
    rp = rp_of(api)
    url = rp.begin()
    assert {name for name, _ in parse_qsl(urlsplit(url).query)} == {"client_id", "request_uri"}
    login = rp.end(rp.op.authorize(url))
    assert login.is_successful, login.error
    assert resource(rp, login).is_successful
    # One refusal without a nonce, at the first endpoint: from then on the nonce is known.
    assert rp.op.asked.count("par") == 2
    assert rp.op.asked.count("token") == rp.op.asked.count("userinfo") == 1


def test_fapi2_security_profile_final_client_test_happy_path_no_dpop_nonce(api):
    """The same, of a provider that has no nonces."""
    rp = rp_of(api, nonces=False)
    assert resource(rp, rp.login()).is_successful


def test_fapi2_security_profile_final_client_test_discovery_issuer_mismatch(api):
    """[F18] Metadata of another issuer is refused."""
    rp = rp_of(api, more={"issuer": "https://evil.example.com"})
    start = rp.api.call(rp.door.begin_login, rp.client, http_client=rp.op)
    assert start.error_code == "discovery_issuer_mismatch"
    assert "par" not in rp.op.asked


def test_fapi2_security_profile_final_client_test_invalid_iss(api):
    """Another issuer's ID token is refused."""
    rp_of(api, id_token=changed(iss="https://evil.example.com")).refused("issuer_mismatch")


def test_fapi2_security_profile_final_client_test_missing_iss(api):
    """An ID token of nobody is refused."""
    rp_of(api, id_token=changed(iss=None)).refused("claim_missing")


def test_fapi2_security_profile_final_client_test_invalid_aud(api):
    """An ID token for another client is refused."""
    rp_of(api, id_token=changed(aud="another")).refused("audience_mismatch")


def test_fapi2_security_profile_final_client_test_missing_aud(api):
    """An ID token for nobody is refused."""
    rp_of(api, id_token=changed(aud=None)).refused("claim_missing")


def test_fapi2_security_profile_final_client_test_invalid_secondary_aud(api):
    """An ID token that is for an untrusted party as well is refused."""
    rp_of(api, id_token=changed(aud=[CLIENT_ID, "another"])).refused("audience_untrusted")


def test_fapi2_security_profile_final_client_test_valid_aud_as_array(api):
    """An ID token for the client alone, in an array, is accepted."""
    assert rp_of(api, id_token=changed(aud=[CLIENT_ID])).login().is_successful


def test_fapi2_security_profile_final_client_test_invalid_null_alg(api):
    """[F36] An unsigned ID token is refused."""
    rp_of(api, signed_id_token=resigned("none")).refused("alg_not_allowed")


def test_fapi2_security_profile_final_client_test_invalid_alternate_alg(api):
    """[F35] RS256 is refused."""
    rp_of(api, signed_id_token=resigned("RS256")).refused("alg_not_allowed")


def test_fapi2_security_profile_final_client_test_invalid_expired_exp(api):
    """An ID token that has expired is refused."""
    rp_of(api, id_token=changed(exp=Op().now - 3600)).refused("token_expired")


def test_fapi2_security_profile_final_client_test_missing_exp(api):
    """An ID token that does not say when it expires is refused."""
    rp_of(api, id_token=changed(exp=None)).refused("claim_missing")


def test_fapi2_security_profile_final_client_test_invalid_nonce(api):
    """A nonce that was not sent is refused."""
    rp_of(api, id_token=changed(nonce="another")).refused("nonce_mismatch")


def test_fapi2_security_profile_final_client_test_missing_nonce(api):
    """A nonce that was sent and does not come back is missed."""
    rp_of(api, id_token=changed(nonce=None)).refused("nonce_mismatch")


def test_fapi2_security_profile_final_client_test_invalid_authorization_response_iss(api):
    """[F26] [I2] A response of another issuer is refused, and its code goes nowhere."""
    rp = rp_of(api, callback=changed(iss="https://evil.example.com"))
    rp.refused("authorization_issuer_mismatch")
    assert "token" not in rp.op.asked


def test_fapi2_security_profile_final_client_test_remove_authorization_response_iss(api):
    """[I4] A response that does not name its issuer is refused."""
    rp = rp_of(api, callback=changed(iss=None))
    rp.refused("authorization_issuer_missing")
    assert "token" not in rp.op.asked


def test_fapi2_security_profile_final_client_test_ensure_authorization_response_with_invalid_state_fails(api):
    """Another state than was sent is refused."""
    rp = rp_of(api, callback=changed(state="another"))
    rp.refused("state_mismatch")
    assert "token" not in rp.op.asked


def test_fapi2_security_profile_final_client_test_ensure_authorization_response_with_invalid_missing_state_fails(api):
    """A response without state is refused."""
    rp = rp_of(api, callback=changed(state=None))
    rp.refused("state_missing")
    assert "token" not in rp.op.asked


def test_fapi2_security_profile_final_client_test_token_endpoint_response_without_expires_in(api):
    """An answer that does not say when the token expires is accepted."""
    login = rp_of(api, tokens=changed(expires_in=None)).login()
    assert login.is_successful
    assert login.expires_at is None


def test_fapi2_security_profile_final_client_test_token_type_case_insensitivity(api):
    """token_type is compared without regard to case."""
    rp = rp_of(api, tokens=changed(token_type="dPOp"))
    assert resource(rp, rp.login()).is_successful


def test_fapi2_security_profile_final_client_test_rs_dpop_auth_scheme_case_insensitivity(api):
    """The scheme of a challenge is compared without regard to case: the request is repeated with the nonce."""
    rp = rp_of(api, more={"challenge": 'dPoP error="use_dpop_nonce"'})
    login = rp.login()
    rp.op.nonce = "nonce-2"
    assert resource(rp, login).is_successful
    assert rp.op.asked.count("userinfo") == 2


def test_fapi2_security_profile_final_client_refresh_token_test(api):
    """[F13] Refresh tokens are used, and rotate."""
    rp = rp_of(api)
    login = rp.login()
    for _ in range(2):
        refreshed = rp.refresh(login)
        assert refreshed.is_successful, refreshed.error
        assert refreshed.refresh_token != login.refresh_token
        login = refreshed
    assert resource(rp, login).is_successful


def test_a_pushed_request_that_lives_too_long(api):
    """[F23] The suite remembers a pushed request for ten minutes: that is its duty, and the login goes on."""
    rp = rp_of(api, pushed=changed(expires_in=600))
    assert resource(rp, rp.login()).is_successful


# ---- message signing


def signing(api, **wrong):
    """Return a client that signs its requests and wants signed responses."""
    more = {"response_modes_supported": ["jwt", "query.jwt"], "introspection_signing_alg_values_supported": ["PS256"]}
    return rp_of(api, FAPI2Profile(signed_requests=True, signed_responses=True), more=more, **wrong)


def test_signed_request_and_response(api):
    """[M1] [M2] [M3] [M5] A signed request is pushed, a signed response comes back, and the login works."""
    rp = signing(api)
    login = rp.login()
    assert login.is_successful, login.error
    form = dict(parse_qsl(next(r for r in rp.op.requests if r.url.endswith("/par")).body.decode()))
    assert "request" in form
    assert not set(form) & {"redirect_uri", "state", "nonce", "code_challenge", "scope"}


def test_an_unsigned_response_is_refused(api):
    """[M3] Parameters are taken out of the JWT only: plain ones in its place are refused."""
    rp = signing(api)
    url = rp.begin()
    given = next(iter(rp.op.pushed.values()))
    answer = {"code": "stolen", "state": given["state"], "iss": ISSUER}
    response = rp.end(f"{REDIRECT_URI}?{urlencode(answer)}")
    assert url
    assert response.error_code == "response_mode_mismatch"
    assert "token" not in rp.op.asked


def refused_jarm(api, code, **wrong):
    """Log in and expect that the response is refused before its code is used."""
    rp = signing(api, **wrong)
    rp.refused(code)
    assert "token" not in rp.op.asked


def test_fapi2_security_profile_final_client_ensure_jarm_without_iss_fails(api):
    """[M3] A response in a JWT of nobody is refused."""
    refused_jarm(api, "claim_missing", jarm=changed(iss=None))


def test_fapi2_security_profile_final_client_ensure_jarm_with_invalid_iss_fails(api):
    """[M3] A response in a JWT of another issuer is refused."""
    refused_jarm(api, "issuer_mismatch", jarm=changed(iss="https://evil.example.com"))


def test_fapi2_security_profile_final_client_ensure_jarm_without_aud_fails(api):
    """[M3] A response in a JWT for nobody is refused."""
    refused_jarm(api, "claim_missing", jarm=changed(aud=None))


def test_fapi2_security_profile_final_client_ensure_jarm_with_invalid_aud_fails(api):
    """[M3] A response in a JWT for another client is refused."""
    refused_jarm(api, "audience_mismatch", jarm=changed(aud="another"))


def test_fapi2_security_profile_final_client_ensure_jarm_without_exp_fails(api):
    """[M3] A response in a JWT that does not expire is refused."""
    refused_jarm(api, "claim_missing", jarm=changed(exp=None))


def test_fapi2_security_profile_final_client_ensure_jarm_with_expired_exp_fails(api):
    """[M3] A response in a JWT that has expired is refused."""
    refused_jarm(api, "token_expired", jarm=changed(exp=Op().now - 3600))


def test_fapi2_security_profile_final_client_ensure_jarm_with_invalid_sig_fails(api):
    """[M3] A response in a JWT with a corrupt signature is refused."""
    refused_jarm(api, "signature_invalid", signed_jarm=corrupt)


def test_fapi2_security_profile_final_client_ensure_jarm_signature_is_not_none(api):
    """[M3] A response in an unsigned JWT is refused."""
    refused_jarm(api, "alg_not_allowed", signed_jarm=resigned("none"))
