"""FAPI 1.0 Advanced: code and ID token through the browser, PS256, s_hash; a test for each module of the suite."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from conformance.double import CLIENT_ID, ISSUER, NOW, Op, Wrong, changed, corrupt, resigned
from conformance.rp import Rp
from py_identity_model import Decryption, PrivateKeyJwt
from py_identity_model._core.base.base64url import b64url_decode, b64url_encode
from py_identity_model._core.jose.jwe import encrypt_compact
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey

WEEK = 7 * 86_400
_RSA = rsa.generate_private_key(65537, 2048)
PUBLIC = _RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DECRYPTION = Decryption(_RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
SETTINGS = {
    "client_secret": None,
    "private_key_jwt": PrivateKeyJwt(SigningKey.generate("ES256", kid="rp-1")),
    "require_s_hash": True,
}


@pytest.fixture(autouse=True)
def _now(clock):
    """The provider's time is the client's."""
    assert clock.wall == Op().now


def rp_of(api, **wrong):
    """Return a client of FAPI 1.0 Advanced, and a provider that does this wrong."""
    op = Op("PS256", wrong=Wrong(**wrong), auth_method="private_key_jwt", more={"s_hash": True})
    return Rp(api, op, "code id_token", **SETTINGS)


def front(change):
    """Do this wrong to the ID token from the browser."""
    return {"front_id_token": change}


def test_fapi1_advanced_final_client_test(api):
    """The whole flow works."""
    rp = rp_of(api)
    login = rp.login()
    assert login.is_successful
    assert rp.userinfo(login).is_successful


def encrypted(alg, key):
    """Return a change that encrypts an ID token for the client."""

    def change(token):
        return encrypt_compact(token.encode(), key, alg=alg, enc="A256GCM", cty="JWT")

    return change


def test_fapi1_advanced_final_client_test_encrypted_idtoken(api):
    """[O1] An ID token that is encrypted to the client is opened, and verified like any other."""
    rp = rp_of(api, signed_id_token=encrypted("RSA-OAEP", PUBLIC))
    rp = Rp(api, rp.op, "code id_token", **{**SETTINGS, "id_token_decryption": DECRYPTION})
    assert rp.login().is_successful
    rp.op.wrong.front_id_token = changed(nonce="another")
    rp.refused("nonce_mismatch")


def test_fapi1_advanced_final_client_test_encrypted_idtoken_usingrsa15(api):
    """[J7] An ID token that is encrypted with RSA1_5 is refused."""

    def rsa15(token):
        head, *rest = encrypted("RSA-OAEP", PUBLIC)(token).split(".")
        members = {**json.loads(b64url_decode(head)), "alg": "RSA1_5"}
        return ".".join([b64url_encode(json.dumps(members).encode()), *rest])

    op = Op("PS256", wrong=Wrong(signed_id_token=rsa15), auth_method="private_key_jwt", more={"s_hash": True})
    Rp(api, op, "code id_token", **{**SETTINGS, "id_token_decryption": DECRYPTION}).refused("alg_not_allowed")


def test_fapi1_advanced_final_client_test_discovery_issuer_mismatch(api):
    """[F18] Metadata of another issuer is refused."""
    rp = rp_of(api)
    rp.op.more["issuer"] = "https://evil.example.com"
    start = rp.api.call(rp.door.begin_login, rp.client, http_client=rp.op)
    assert start.error_code == "discovery_issuer_mismatch"


def test_fapi1_advanced_final_client_test_invalid_shash(api):
    """[O13] A state that is not the ID token's is refused."""
    rp_of(api, **front(changed(s_hash="AAAAAAAAAAAAAAAAAAAAAA"))).refused("hash_mismatch")


def test_fapi1_advanced_final_client_test_missing_shash(api):
    """A state that no s_hash speaks for is refused."""
    rp_of(api, **front(changed(s_hash=None))).refused("hash_missing")


def test_fapi1_advanced_final_client_test_invalid_chash(api):
    """A code that is not the ID token's is refused."""
    rp_of(api, **front(changed(c_hash="AAAAAAAAAAAAAAAAAAAAAA"))).refused("hash_mismatch")


@pytest.mark.parametrize("channel", ["front_id_token", "id_token"])
class TestEitherChannel:
    """What is wrong with the ID token from the browser, or with the one from the token endpoint."""

    def test_fapi1_advanced_final_client_test_invalid_nonce(self, api, channel):
        """A nonce that was not sent is refused."""
        rp_of(api, **{channel: changed(nonce="another")}).refused("nonce_mismatch")

    def test_fapi1_advanced_final_client_test_missing_nonce(self, api, channel):
        """A nonce that was sent and does not come back is missed."""
        rp_of(api, **{channel: changed(nonce=None)}).refused("nonce_mismatch")

    def test_fapi1_advanced_final_client_test_invalid_iss(self, api, channel):
        """Another issuer's is refused."""
        rp_of(api, **{channel: changed(iss="https://evil.example.com")}).refused("issuer_mismatch")

    def test_fapi1_advanced_final_client_test_missing_iss(self, api, channel):
        """Nobody's is refused."""
        rp_of(api, **{channel: changed(iss=None)}).refused("claim_missing")

    def test_fapi1_advanced_final_client_test_invalid_aud(self, api, channel):
        """One for another client is refused."""
        rp_of(api, **{channel: changed(aud="another")}).refused("audience_mismatch")

    def test_fapi1_advanced_final_client_test_missing_aud(self, api, channel):
        """One for nobody is refused."""
        rp_of(api, **{channel: changed(aud=None)}).refused("claim_missing")

    def test_fapi1_advanced_final_client_test_invalid_secondary_aud(self, api, channel):
        """[O4] One that is for an untrusted party as well is refused."""
        rp_of(api, **{channel: changed(aud=[CLIENT_ID, "another"])}).refused("audience_untrusted")

    def test_fapi1_advanced_final_client_test_valid_aud_as_array(self, api, channel):
        """One for the client alone, in an array, is accepted."""
        assert rp_of(api, **{channel: changed(aud=[CLIENT_ID])}).login().is_successful

    def test_fapi1_advanced_final_client_test_invalid_expired_exp(self, api, channel):
        """[O9] One that has expired is refused."""
        rp_of(api, **{channel: changed(exp=Op().now - 3600)}).refused("token_expired")

    def test_fapi1_advanced_final_client_test_missing_exp(self, api, channel):
        """One that does not say when it expires is refused."""
        rp_of(api, **{channel: changed(exp=None)}).refused("claim_missing")

    def test_fapi1_advanced_final_client_test_iat_is_week_in_past(self, api, channel):
        """[O10] One that was made a week before the login is refused."""
        rp_of(api, **{channel: changed(iat=Op().now - WEEK)}).refused("token_too_old")


def test_fapi1_advanced_final_client_test_invalid_signature(api):
    """A corrupt signature is refused."""
    rp_of(api, signed_id_token=corrupt).refused("signature_invalid")


def test_fapi1_advanced_final_client_test_invalid_null_alg(api):
    """No signature is refused."""
    rp_of(api, signed_id_token=resigned("none")).refused("alg_not_allowed")


def test_fapi1_advanced_final_client_test_invalid_alternate_alg(api):
    """[O7] RS256 in place of PS256, which the client is registered for, is refused."""
    rp_of(api, signed_id_token=resigned("RS256")).refused("alg_not_allowed")


def test_fapi1_advanced_final_client_test_no_scope_in_token_endpoint_response(api):
    """Neither scope nor expires_in in the answer: the scope is the one asked for."""
    login = rp_of(api, tokens=changed(scope=None, expires_in=None)).login(scope="openid accounts")
    assert login.is_successful
    assert login.scope == "openid accounts"


def test_fapi1_advanced_final_client_test_missing_athash(api):
    """No at_hash where no access token came through the browser is accepted."""
    assert rp_of(api, id_token=changed(at_hash=None)).login().is_successful


def test_fapi1_advanced_final_client_refresh_token_test(api):
    """A 401 from the resource is answered with a refresh, twice, with the refresh token of the time."""
    rp = rp_of(api)
    login = rp.login()
    for _ in range(2):
        refreshed = rp.refresh(login)
        assert refreshed.access_token != login.access_token
        login = refreshed
    assert rp.userinfo(login).is_successful


def test_fapi1_advanced_final_client_payment_consent_response_valid_aud_as_array(api):
    """[O3] A signed answer of an API whose aud is an array of one, the client, is accepted."""
    rp = rp_of(api)
    config = rp.door.TokenValidationConfig(perform_disco=True, audience=CLIENT_ID, algorithms=["PS256"])
    answer = sign_compact({"iss": ISSUER, "aud": [CLIENT_ID], "iat": NOW, "exp": NOW + 60, "jti": "1"}, rp.op.key)
    claims = rp.api.call(rp.door.validate_token, answer, config, ISSUER, rp.op)
    assert claims["aud"] == [CLIENT_ID]
