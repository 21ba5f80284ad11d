"""OpenID Connect Core, Config, Dynamic, Refresh and third-party login: a test for each module of the suite."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from conformance.double import (
    CLIENT_ID,
    CLIENT_SECRET,
    ISSUER,
    REDIRECT_URI,
    Op,
    Wrong,
    changed,
    corrupt,
    resigned,
    signing_key,
)
from conformance.rp import FLOWS, FRONT_CODE, FRONT_TOKEN, Rp
from py_identity_model._core.jose.jws import parse_compact, sign_compact

each_flow = pytest.mark.parametrize("flow", FLOWS)
TOKEN_FLOWS = [flow for flow in FLOWS if "code" in flow]


def both(change):
    """Do the same wrong to the ID tokens of both channels."""
    return Wrong(id_token=change, front_id_token=change)


@pytest.fixture(autouse=True)
def _now(clock):
    """The provider's time is the client's."""
    assert clock.wall == Op().now


@each_flow
def test_oidcc_client_test(api, flow):
    """[F22] The whole flow works: authorization, tokens, UserInfo."""
    rp = Rp(api, Op(), flow)
    login = rp.login(scope="openid profile")
    assert login.is_successful
    assert login.claims["sub"] == "user-1"
    if login.access_token:
        assert rp.userinfo(login).claims["name"] == "Ada"


@each_flow
def test_oidcc_client_test_invalid_iss(api, flow):
    """[O2] An ID token of another issuer is refused."""
    Rp(api, Op(wrong=both(changed(iss="https://evil.example.com"))), flow).refused("issuer_mismatch")


@each_flow
def test_oidcc_client_test_missing_sub(api, flow):
    """An ID token about nobody is refused (C10)."""
    Rp(api, Op(wrong=both(changed(sub=None))), flow).refused("claim_missing")


@each_flow
def test_oidcc_client_test_invalid_aud(api, flow):
    """[O3] An ID token for another client is refused."""
    Rp(api, Op(wrong=both(changed(aud="another"))), flow).refused("audience_mismatch")


@each_flow
def test_oidcc_client_test_missing_aud(api, flow):
    """[O3] An ID token for nobody is refused."""
    Rp(api, Op(wrong=both(changed(aud=None))), flow).refused("claim_missing")


@each_flow
def test_oidcc_client_test_missing_iat(api, flow):
    """An ID token that does not say when it was made is refused."""
    Rp(api, Op(wrong=both(changed(iat=None))), flow).refused("claim_missing")


@each_flow
def test_oidcc_client_test_kid_absent_single_jwks(api, flow):
    """Without kid the one key that fits is used."""
    assert Rp(api, Op(kid=None), flow).login().is_successful


@each_flow
def test_oidcc_client_test_kid_absent_multiple_jwks(api, flow):
    """Without kid the few keys that fit are tried."""
    op = Op()
    op.keys = [signing_key("RS256", "op-3"), op.key, signing_key("RS256", "op-4")]
    op.key = signing_key("RS256", None)
    op.keys[1] = op.key
    op.wrong.jwks = lambda jwks: {"keys": [{**key, "kid": f"k{i}"} for i, key in enumerate(jwks["keys"])]}
    assert Rp(api, op, flow).login().is_successful


@each_flow
def test_oidcc_client_test_idtoken_sig_rs256(api, flow):
    """[O6] [M5] RS256 is verified."""
    assert Rp(api, Op("RS256"), flow).login().is_successful


@each_flow
def test_oidcc_client_test_idtoken_sig_none(api, flow):
    """[J6] An unsigned ID token is refused, in the code flow as well; the suite allows that."""
    op = Op(wrong=Wrong(signed_id_token=resigned("none")))
    Rp(api, op, flow).refused("alg_not_allowed")


@each_flow
def test_oidcc_client_test_invalid_sig_rs256(api, flow):
    """[O6] A corrupt RS256 signature is refused."""
    Rp(api, Op(wrong=Wrong(signed_id_token=corrupt)), flow).refused("signature_invalid")


@each_flow
def test_oidcc_client_test_invalid_sig_hs256(api, flow):
    """[O8] A corrupt HS256 signature is refused, where the client is registered for HS256."""

    def wrong(token):
        return corrupt(resigned("HS256")(token))

    op = Op(wrong=Wrong(signed_id_token=wrong), more={"id_token_signing_alg_values_supported": ["HS256", "RS256"]})
    Rp(api, op, flow, id_token_signed_response_alg="HS256").refused("signature_invalid")


@each_flow
def test_oidcc_client_test_invalid_sig_es256(api, flow):
    """A corrupt ES256 signature is refused."""
    Rp(api, Op("ES256", wrong=Wrong(signed_id_token=corrupt)), flow).refused("signature_invalid")


@pytest.mark.parametrize("flow", ["code", "id_token token", "code token"])
def test_oidcc_client_test_userinfo_bearer_header(api, flow):
    """[F10] [S21] The access token goes to UserInfo in the Authorization header, and nowhere else."""
    rp = Rp(api, Op(), flow)
    login = rp.login()
    assert rp.userinfo(login).claims["sub"] == "user-1"
    request = rp.op.requests[-1]
    assert ("authorization", f"Bearer {login.access_token}") in [(k.lower(), v) for k, v in request.headers]
    assert login.access_token not in request.url
    assert login.access_token.encode() not in request.body


@pytest.mark.parametrize("flow", ["code", "id_token token", "code token"])
def test_oidcc_client_test_userinfo_invalid_sub(api, flow):
    """UserInfo about another user is refused (C10)."""
    rp = Rp(api, Op(wrong=Wrong(userinfo=changed(sub="user-2"))), flow)
    response = rp.userinfo(rp.login())
    assert response.error_code == "subject_mismatch"


def signed_userinfo(**changes):
    """Return a change that signs UserInfo as a token for this client."""

    def sign(claims):
        return sign_compact({**claims, "iss": ISSUER, "aud": CLIENT_ID, **changes}, signing_key("RS256", "op-1"))

    return sign


@pytest.mark.parametrize(
    ("changes", "error"),
    [({}, None), ({"iss": "https://evil.example.com"}, "issuer_mismatch"), ({"aud": "another"}, "audience_mismatch")],
)
def test_oidcc_client_test_userinfo_signed(api, changes, error):
    """[O13] The signature, issuer and audience of signed UserInfo are verified."""
    rp = Rp(api, Op(wrong=Wrong(userinfo=signed_userinfo(**changes))))
    config = rp.door.TokenValidationConfig(perform_disco=True, audience=CLIENT_ID, algorithms=["RS256"])
    policy = rp.door.SignedResponsePolicy(config, ISSUER)
    response = rp.userinfo(rp.login(), signed_response=policy)
    assert response.error_code == error
    assert response.is_successful == (error is None)


@each_flow
def test_oidcc_client_test_nonce_invalid(api, flow):
    """[O11] [S9] A nonce that was not sent is refused, in the ID token of either channel."""
    wrong = Wrong(id_token=changed(nonce="another"))
    Rp(api, Op(wrong=both(changed(nonce="another"))), flow).refused("nonce_mismatch")
    if "code" in flow:
        Rp(api, Op(wrong=wrong), flow).refused("nonce_mismatch")


@pytest.mark.parametrize("flow", FLOWS)
def test_oidcc_client_test_nonce_unless_code_flow(api, flow):
    """A nonce is sent, another one each time, of no more than 64 characters. [F28] [F39]"""
    rp = Rp(api, Op(), flow)
    nonces = [parse_qs(urlsplit(rp.begin()).query)["nonce"][0] for _ in range(2)]
    assert len(set(nonces)) == 2
    assert all(22 <= len(nonce) <= 64 for nonce in nonces)


@each_flow
def test_oidcc_client_test_scope_userinfo_claims(api, flow):
    """The scopes asked for are sent, and the claims they bring are read: from UserInfo, or from the ID token."""
    rp = Rp(api, Op(wrong=both(changed(email="ada@example.com"))), flow)
    url = rp.begin(scope="openid profile email phone address")
    assert parse_qs(urlsplit(url).query)["scope"] == ["openid profile email phone address"]
    login = rp.end(rp.op.authorize(url))
    claims = rp.userinfo(login).claims if login.access_token else login.claims
    assert claims["email"] == "ada@example.com"


@pytest.mark.parametrize("flow", TOKEN_FLOWS)
def test_oidcc_client_test_client_secret_basic(api, flow):
    """Where the provider takes nothing else, HTTP Basic is used."""
    rp = Rp(api, Op(auth_method="client_secret_basic"), flow)
    assert rp.login().is_successful
    assert CLIENT_SECRET.encode() not in b"".join(request.body for request in rp.op.requests)


@pytest.mark.parametrize("flow", FRONT_TOKEN)
def test_oidcc_client_test_invalid_athash(api, flow):
    """[S22] [O13] An access token from the browser that is not the ID token's is refused."""
    Rp(api, Op(wrong=Wrong(front_id_token=changed(at_hash="AAAAAAAAAAAAAAAAAAAAAA"))), flow).refused("hash_mismatch")


@pytest.mark.parametrize("flow", FRONT_TOKEN)
def test_oidcc_client_test_missing_athash(api, flow):
    """[S22] An access token from the browser that no at_hash speaks for is refused."""
    Rp(api, Op(wrong=Wrong(front_id_token=changed(at_hash=None))), flow).refused("hash_missing")


@pytest.mark.parametrize("flow", FRONT_CODE)
def test_oidcc_client_test_invalid_chash(api, flow):
    """[O13] A code from the browser that is not the ID token's is refused before it is exchanged."""
    rp = Rp(api, Op(wrong=Wrong(front_id_token=changed(c_hash="AAAAAAAAAAAAAAAAAAAAAA"))), flow)
    rp.refused("hash_mismatch")
    assert "token" not in rp.op.asked


@pytest.mark.parametrize("flow", FRONT_CODE)
def test_oidcc_client_test_missing_chash(api, flow):
    """[O13] A code from the browser that no c_hash speaks for is refused before it is exchanged."""
    rp = Rp(api, Op(wrong=Wrong(front_id_token=changed(c_hash=None))), flow)
    rp.refused("hash_missing")
    assert "token" not in rp.op.asked


@each_flow
def test_oidcc_client_test_form_post_error(api, flow):
    """An error that comes by form post is told, in the provider's words."""
    rp = Rp(api, Op(), flow, response_mode="form_post")
    url = rp.begin(prompt="none", max_age=0)
    response = rp.end(rp.op.refuse(url, "login_required", error_description="nobody is here"))
    assert response.error_code == "login_required"
    assert response.error_description == "nobody is here"
    assert "token" not in rp.op.asked


@each_flow
def test_form_post(api, flow):
    """The whole flow works by form post as well."""
    assert Rp(api, Op(), flow, response_mode="form_post").login().is_successful


def test_oidcc_client_test_mtls_endpoint_aliases(api):
    """[F7] [F14] A client with a certificate uses the aliases that the provider has for it."""
    import trustme

    certificate = trustme.CA().issue_cert("rp.example.com")
    aliases = {"token_endpoint": "https://mtls.op.example.com/token"}
    op = Op(auth_method="tls_client_auth", more={"mtls_endpoint_aliases": aliases})
    from py_identity_model import MtlsClientAuth

    mtls = MtlsClientAuth(certificate.cert_chain_pems[0].bytes().decode(), certificate.private_key_pem.bytes().decode())
    rp = Rp(api, op, client_secret=None, mtls=mtls)
    assert rp.login().is_successful
    assert [request.url for request in op.requests if request.url.endswith("/token")] == [aliases["token_endpoint"]]


@each_flow
def test_oidcc_client_test_discovery_openid_config(api, flow):
    """[S17] [F16] Whatever the client needs, it reads from the provider's metadata."""
    op = Op(more={"authorization_endpoint": "https://login.example.com/start?tenant=1"})
    url = Rp(api, op, flow).begin()
    assert url.startswith("https://login.example.com/start?tenant=1&")


@each_flow
def test_oidcc_client_test_discovery_jwks_uri_keys(api, flow):
    """Keys are fetched from wherever the metadata says this time."""
    op = Op(more={"jwks_uri": f"{ISSUER}/jwks-of-this-run"})
    assert Rp(api, op, flow).login().is_successful
    assert "jwks" not in op.asked


@each_flow
def test_oidcc_client_test_discovery_issuer_mismatch(api, flow):
    """[F18] [S4] Metadata of another issuer is refused, and nobody is sent anywhere."""
    rp = Rp(api, Op(more={"issuer": "https://evil.example.com"}), flow)
    start = rp.api.call(rp.door.begin_login, rp.client, http_client=rp.op)
    assert start.error_code == "discovery_issuer_mismatch"
    assert set(rp.op.asked) <= {".well-known/openid-configuration", ".well-known/oauth-authorization-server"}


@each_flow
def test_oidcc_client_test_signing_key_rotation(api, flow, clock):
    """A rotation seconds after the first login: the second login works at once, with one look at the keys."""
    rp = Rp(api, Op(), flow)
    assert rp.login().is_successful
    clock.advance(3)
    rp.op.now += 3
    rp.op.rotate("op-2")
    assert rp.login().is_successful
    assert rp.op.count("jwks") == 2


@each_flow
def test_oidcc_client_test_signing_key_rotation_just_before_signing(api, flow):
    """New keys right before each signature: keys that were kept do not stand in the way."""
    rp = Rp(api, Op(), flow)
    assert rp.login().is_successful
    for kid in ("op-5", "op-6"):
        url = rp.begin()
        rp.op.rotate(kid)
        assert rp.end(rp.op.authorize(url)).is_successful


@pytest.mark.parametrize("flow", TOKEN_FLOWS)
def test_oidcc_client_test_refresh_token(api, flow):
    """[F13] [S12] A refresh brings new tokens, and the new refresh token the next ones."""
    rp = Rp(api, Op(), flow)
    first = rp.login()
    second = rp.refresh(first)
    third = rp.refresh(second)
    assert len({login.access_token for login in (first, second, third)}) == 3
    assert len({login.refresh_token for login in (first, second, third)}) == 3


@pytest.mark.parametrize("flow", TOKEN_FLOWS)
@pytest.mark.parametrize("claims", [{"iss": "https://evil.example.com"}])
def test_oidcc_client_test_refresh_token_invalid_issuer(api, flow, claims):
    """[O13] A refreshed ID token of another issuer is refused."""
    rp = Rp(api, Op(), flow)
    login = rp.login()
    rp.op.wrong.id_token = changed(**claims)
    assert rp.refresh(login).error_code == "issuer_mismatch"


@pytest.mark.parametrize("flow", TOKEN_FLOWS)
def test_oidcc_client_test_refresh_token_invalid_sub(api, flow):
    """[O13] A refreshed ID token about another user is refused (C10)."""
    rp = Rp(api, Op(), flow)
    login = rp.login()
    rp.op.wrong.id_token = changed(sub="user-2")
    response = rp.refresh(login)
    assert not response.is_successful
    assert response.exception.claim == "sub"


def test_oidcc_client_test_request_uri_signed_rs256():
    """A signed request object is hosted, and its address sent in place of the parameters."""
    from py_identity_model import build_request_uri_url, create_request_object

    key = signing_key("RS256", "rp-3")
    hosted = {
        "https://rp.example.com/request.jwt": create_request_object(
            key.private_pem, "RS256", CLIENT_ID, ISSUER, REDIRECT_URI, state="s-1", nonce="n-1"
        )
    }
    url = build_request_uri_url(f"{ISSUER}/authorize", CLIENT_ID, next(iter(hosted)))
    given = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert given["client_id"] == CLIENT_ID
    asked = parse_compact(hosted[given["request_uri"]])
    claims = json.loads(asked.payload)
    assert (asked.header["alg"], asked.header["typ"]) == ("RS256", "oauth-authz-req+jwt")
    assert (claims["iss"], claims["aud"], claims["redirect_uri"]) == (CLIENT_ID, ISSUER, REDIRECT_URI)
