"""FAPI-CIBA: what a provider may do wrong with the ID token that polling brings; a test for each module of the suite.

The modules about the requests themselves and about polling stand in ``tests/test_ciba.py``.
"""

from __future__ import annotations

import importlib

import pytest

from conformance.double import CLIENT_ID, ISSUER, Op, Wrong, changed, corrupt, resigned
from py_identity_model import CibaTokenRequest, PrivateKeyJwt
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import TokenValidationException

KEY = PrivateKeyJwt(SigningKey.generate("ES256", kid="rp-1"))


@pytest.fixture(autouse=True)
def _now(clock):
    """The provider's time is the client's."""
    assert clock.wall == Op().now


def polled(api, **wrong):
    """Poll until there are tokens; return them, and the claims of the validated ID token."""
    op = Op("PS256", wrong=Wrong(**wrong), auth_method="private_key_jwt")
    door = importlib.import_module(f"py_identity_model.{'sync' if api.name == 'sync' else 'aio'}")

    def tokens(request):
        from conformance.double import json_reply

        members = {"access_token": "at", "token_type": "Bearer", "expires_in": 300}
        members["id_token"] = op.id_token({}, op.wrong.id_token, at_hash="at")
        return json_reply(op.wrong.tokens(members), request)

    op.answers["/token"] = tokens
    request = CibaTokenRequest(f"{ISSUER}/token", CLIENT_ID, "req-1", private_key_jwt=KEY, issuer=ISSUER)
    answer = api.call(door.poll_ciba_token, request, http_client=op)
    answer.raise_for_error()
    validator = api.validator(
        ISSUER, audience=CLIENT_ID, algorithms=["PS256"], kind="id_token", http_client=op, leeway=0
    )
    return api.call(validator.validate, answer.id_token, access_token=answer.access_token, asked_at=op.now)


def refused(api, code, **wrong):
    """Expect that the ID token is refused for that reason."""
    with pytest.raises(TokenValidationException) as error:
        polled(api, **wrong)
    assert error.value.code in ({code} if isinstance(code, str) else code)


def test_fapi_ciba_id1_client_valid_aud_as_array_test(api):
    """An ID token for the client alone, in an array, is accepted."""
    assert polled(api, id_token=changed(aud=[CLIENT_ID]))["sub"] == "user-1"


def test_fapi_ciba_id1_client_invalid_iss_test(api):
    """Another issuer's ID token is refused."""
    refused(api, "issuer_mismatch", id_token=changed(iss="https://evil.example.com"))


def test_fapi_ciba_id1_client_invalid_missing_iss_test(api):
    """An ID token of nobody is refused."""
    refused(api, "claim_missing", id_token=changed(iss=None))


def test_fapi_ciba_id1_client_invalid_aud_test(api):
    """An ID token for another client is refused."""
    refused(api, "audience_mismatch", id_token=changed(aud="another"))


def test_fapi_ciba_id1_client_invalid_missing_aud_test(api):
    """An ID token for nobody is refused."""
    refused(api, "claim_missing", id_token=changed(aud=None))


def test_fapi_ciba_id1_client_invalid_secondary_aud_test(api):
    """An ID token that is for an untrusted party as well is refused."""
    refused(api, "audience_untrusted", id_token=changed(aud=[CLIENT_ID, "another"]))


def test_fapi_ciba_id1_client_invalid_signature_test(api):
    """A corrupt signature is refused."""
    refused(api, "signature_invalid", signed_id_token=corrupt)


def test_fapi_ciba_id1_client_invalid_null_alg_test(api):
    """No signature is refused."""
    refused(api, "alg_not_allowed", signed_id_token=resigned("none"))


def test_fapi_ciba_id1_client_invalid_alternate_alg_test(api):
    """RS256 is refused."""
    refused(api, "alg_not_allowed", signed_id_token=resigned("RS256"))


def test_fapi_ciba_id1_client_invalid_expired_exp_test(api):
    """An ID token that has expired is refused."""
    refused(api, "token_expired", id_token=changed(exp=Op().now - 3600))


def test_fapi_ciba_id1_client_invalid_missing_exp_test(api):
    """An ID token that does not say when it expires is refused."""
    refused(api, "claim_missing", id_token=changed(exp=None))


def test_fapi_ciba_id1_client_invalid_iat_is_week_in_past_test(api):
    """[O10] An ID token that was made a week before it was asked for is refused (C2)."""
    refused(api, "token_too_old", id_token=changed(iat=Op().now - 7 * 86_400))


def test_fapi_ciba_id1_client_refresh_token_test(api):
    """A 401 of the API is answered with a refresh; the refreshed ID token must continue the first."""
    from py_identity_model import RefreshTokenRequest, check_refreshed_id_token

    first = polled(api)
    op = Op("PS256", auth_method="private_key_jwt")
    op.refresh_tokens["rt-1"] = {"scope": "openid"}
    door = importlib.import_module(f"py_identity_model.{'sync' if api.name == 'sync' else 'aio'}")
    request = RefreshTokenRequest(f"{ISSUER}/token", CLIENT_ID, "rt-1", private_key_jwt=KEY, issuer=ISSUER)
    answer = api.call(door.refresh_token, request, http_client=op)
    validator = api.validator(ISSUER, audience=CLIENT_ID, algorithms=["PS256"], kind="id_token", http_client=op)
    check_refreshed_id_token(first, api.call(validator.validate, answer.id_token))
    assert answer.refresh_token != "rt-1"
