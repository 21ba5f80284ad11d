"""DPoP, the client's side: proofs, nonces per origin, one retry, one key per provider and client (RFC 9449)."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.binding.dpop_client import (
    DPOP_ALGORITHMS,
    DPoPKey,
    DPoPKeyring,
    build_dpop_headers,
    build_dpop_proof,
    compute_ath,
    generate_dpop_key,
    send_with_dpop,
)
from py_identity_model._core.binding.offered_nonces import (
    NonceStore,
    extract_dpop_nonce,
    offered_nonce,
    wants_dpop_nonce,
)
from py_identity_model._core.jose.jws import jwk_thumbprint, parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model._dpop import create_dpop_proof
from py_identity_model.exceptions import ConfigurationException

TOKEN_URL = "https://server.example.com/token"
NONCE = "eyJ7S_zG.eyJH0-Z.HX4w-7v"
#: RFC 9449 7.1: the access token of the example, its hash, and the thumbprint of the key.
RFC_TOKEN, RFC_ATH = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
RFC_JWK = {
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}
RFC_JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

AS_WANTS_NONCE = Reply(400, (("dpop-nonce", NONCE),), b'{"error":"use_dpop_nonce"}')
RS_WANTS_NONCE = Reply(401, (("www-authenticate", 'dPoP error="use_dpop_nonce"'), ("dpop-nonce", NONCE)))
KEY = DPoPKey()


def claims_of(proof):
    return json.loads(parse_compact(proof).payload)


def proof_in(request):
    return claims_of(dict(request.headers)["DPoP"])


def post(proof):
    return Request("POST", TOKEN_URL, (("Accept", "application/json"), ("dpop", proof)), b"grant_type=x")


@pytest.mark.parametrize("algorithm", DPOP_ALGORITHMS)
def test_proof_verifies_with_its_own_key(algorithm):
    """[D2] [D3] [D4] [D6] A proof of every algorithm has the required header and claims and verifies with its key."""
    key = generate_dpop_key(algorithm)
    proof = build_dpop_proof(key, "post", TOKEN_URL + "?a=1#b", wall=1562262616.9)
    jws = parse_compact(proof)
    assert set(jws.header) == {"typ", "alg", "jwk"}
    assert (jws.header["typ"], jws.header["alg"]) == ("dpop+jwt", algorithm)
    assert prepare(import_key(jws.header["jwk"]), algorithm).verify(jws.signing_input, jws.signature)
    claims = claims_of(proof)
    assert set(claims) == {"jti", "htm", "htu", "iat"}
    assert (claims["htm"], claims["htu"], claims["iat"]) == ("POST", TOKEN_URL, 1562262616)


def test_all_families_are_there():
    """ECDSA, RSA, PSS, EdDSA and ML-DSA sign proofs; shared secrets and none do not."""
    assert {"ES256", "ES384", "RS256", "PS256", "EdDSA", "Ed25519", "ML-DSA-44"} <= set(DPOP_ALGORITHMS)
    for algorithm in ("HS256", "none", "", None):
        with pytest.raises(ConfigurationException) as refused:
            DPoPKey(algorithm)
        assert refused.value.code == "dpop_algorithm_unsupported"


def test_public_key_only():
    """[D7] The key in a proof has its public members and nothing else, whatever the private key knows of itself."""
    signing = SigningKey.generate("RS256", kid="mine")
    key = DPoPKey.from_signing_key(signing)
    assert set(key.public_jwk) == {"kty", "n", "e"}
    assert "kid" not in parse_compact(build_dpop_proof(key, "GET", TOKEN_URL, wall=0)).header
    assert key.jwk_thumbprint == jwk_thumbprint(signing.public_jwk)


def test_jti_is_never_repeated():
    """[F39] [D17] Each proof has its own jti of at least 128 bits."""
    seen = {claims_of(build_dpop_proof(KEY, "GET", TOKEN_URL, wall=0))["jti"] for _ in range(200)}
    assert len(seen) == 200
    assert all(len(jti) >= 22 for jti in seen)


def test_token_and_nonce_in_proof():
    """[D12] [D10] A proof for a resource hashes the token; a nonce is repeated as it was given."""
    claims = claims_of(build_dpop_proof(KEY, "GET", TOKEN_URL, wall=0, access_token=RFC_TOKEN, nonce=NONCE))
    assert (claims["ath"], claims["nonce"]) == (RFC_ATH, NONCE)


def test_rfc9449_values():
    """[D12] Token hash and key thumbprint are those of RFC 9449 7.1."""
    assert compute_ath(RFC_TOKEN) == RFC_ATH
    assert jwk_thumbprint(RFC_JWK) == RFC_JKT


def test_published_door_reads_the_clock(monkeypatch):
    """create_dpop_proof takes the time from the system and the arguments in the published order."""
    monkeypatch.setattr("time.time", lambda: 1562262616.0)
    claims = claims_of(create_dpop_proof(KEY, "GET", TOKEN_URL, RFC_TOKEN, NONCE))
    assert (claims["iat"], claims["ath"], claims["nonce"]) == (1562262616, RFC_ATH, NONCE)


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        *(({"method": value}, "method") for value in ("", " ", "GET POST", "GE\nT", None, 5)),
        *(({"uri": value}, "uri") for value in ("", " ", "/token", "id.example.com/token", "https:///token", "https:")),
        *(({"uri": value}, "uri") for value in ("//id.example.com/token", "file:///etc/passwd", "?a=1", "#x", None, 5)),
        *(({"uri": value}, "uri") for value in ("https://u:p@id.example.com/token", "mailto:a@example.com")),
        *(({"access_token": value}, "access_token") for value in ("", " ", "\n", "tok\u00e9n", 5)),
        *(({"nonce": value}, "nonce") for value in ("", " ", "\t", 5)),
    ],
)
def test_a_proof_of_nothing_is_refused(changed, claim):
    """A proof names a method and an absolute address; what there is none of is None, never an empty text."""
    arguments = {"method": "POST", "uri": TOKEN_URL, "access_token": RFC_TOKEN, "nonce": NONCE, **changed}
    with pytest.raises(ConfigurationException) as caught:
        create_dpop_proof(KEY, **arguments)
    assert (caught.value.code, caught.value.claim) == (
        "url_invalid" if claim == "uri" else "dpop_argument_invalid",
        claim,
    )


@pytest.mark.parametrize(
    "uri", ["http://localhost:8080/x?y=1#z", "https://id.example.com", "HTTPS://ID.example.com/T?"]
)
def test_any_absolute_address_has_a_proof(uri):
    """Query and fragment are left out of the proof, and nothing else is changed."""
    assert claims_of(create_dpop_proof(KEY, "get", uri))["htu"] == uri.split("#")[0].split("?")[0]


def test_the_key_is_exported_as_bytes():
    """The private key comes as PEM in bytes, as a file or another library takes it."""
    assert isinstance(KEY.private_key_pem, bytes)
    assert load_pem_private_key(KEY.private_key_pem, password=None).public_key()


def test_key_survives_a_restart():
    """A key loaded from its own PEM is the same key, also out of a Secret, an encrypted PEM and bytes."""
    key = DPoPKey("ES384")
    for pem in (key.private_key_pem, Secret(key.private_key_pem.decode()), key.private_key_pem.decode()):
        assert DPoPKey.from_pem(pem, "ES384").jwk_thumbprint == key.jwk_thumbprint
    with pytest.raises(ConfigurationException):
        DPoPKey.from_pem(key.private_key_pem, "ES256")
    with pytest.raises(ConfigurationException):
        DPoPKey.from_pem("garbage", "ES256")
    with pytest.raises(ConfigurationException):
        DPoPKey.from_pem(key.private_key_pem, "HS256")


def test_key_in_a_kms():
    """A key that lives elsewhere signs through a callable, its public half given beside it."""
    inner = SigningKey.generate("ES256")
    remote = SigningKey.from_callable(inner.sign, "ES256")
    with pytest.raises(ConfigurationException) as refused:
        DPoPKey.from_signing_key(remote)
    assert refused.value.code == "dpop_public_key_unusable"
    with pytest.raises(ConfigurationException):
        DPoPKey.from_signing_key(remote, public_jwk=SigningKey.generate("ES384").public_jwk)
    key = DPoPKey.from_signing_key(remote, public_jwk=inner.public_jwk)
    jws = parse_compact(build_dpop_proof(key, "GET", TOKEN_URL, wall=0))
    assert prepare(import_key(inner.public_jwk), "ES256").verify(jws.signing_input, jws.signature)
    assert key.private_key_pem is None
    with pytest.raises(ConfigurationException):
        DPoPKey.from_signing_key(SigningKey.from_secret(b"k" * 32, "HS256"))


@pytest.mark.parametrize("error", [OSError("canary-secret"), ConfigurationException("own", code="own")])
def test_failing_kms(error):
    """What a signing callable raises becomes one error that repeats nothing; the library's own passes."""

    def sign(_):
        raise error

    key = DPoPKey.from_signing_key(SigningKey.from_callable(sign, "ES256"), public_jwk=RFC_JWK)
    with pytest.raises(ConfigurationException) as refused:
        build_dpop_proof(key, "GET", TOKEN_URL, wall=0)
    assert refused.value.code in ("signing_failed", "own")
    assert "canary" not in str(refused.value)


def test_key_shows_nothing():
    """A key's repr holds no private part, and it is not pickled."""
    assert "PRIVATE" not in repr(KEY)
    assert KEY.public_jwk["x"] not in repr(KEY)
    with pytest.raises(ConfigurationException) as refused:
        pickle.dumps(KEY)
    assert refused.value.code == "dpop_key_not_picklable"


def test_headers():
    """[F10] The token goes into the Authorization header with the scheme DPoP."""
    assert build_dpop_headers("a.b.c") == {"DPoP": "a.b.c"}
    assert build_dpop_headers("a.b.c", "t~1+/=") == {"DPoP": "a.b.c", "Authorization": "DPoP t~1+/="}


@pytest.mark.parametrize(
    ("proof", "token"),
    [("a.b.c\r\nX: y", None), ("", None), ("a.b", None), ("a.b.c", "t\r\nX: y"), ("a.b.c", ""), ("a.b.c", "a b")],
)
def test_headers_cannot_be_split(proof, token):
    """Neither proof nor token can bring another header along."""
    with pytest.raises(ConfigurationException) as refused:
        build_dpop_headers(proof, token)
    assert refused.value.code == "dpop_argument_invalid"


def test_token_must_be_ascii():
    """A token that is not ASCII is the caller's mistake."""
    with pytest.raises(ConfigurationException):
        compute_ath("tökén")


DEMAND = {"content": b'{"error":"use_dpop_nonce"}'}
CHALLENGE = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_nonce_of_a_client_response(library):
    """[D16] The nonce is found in responses of either HTTP client that demand one; two nonces are none."""
    assert extract_dpop_nonce(library.Response(400, headers={"DPoP-Nonce": NONCE}, **DEMAND)) == NONCE
    assert extract_dpop_nonce(library.Response(401, headers={"DPoP-Nonce": NONCE, **CHALLENGE})) == NONCE
    assert extract_dpop_nonce(library.Response(400, **DEMAND)) is None
    twice = [("DPoP-Nonce", "a"), ("DPoP-Nonce", "b")]
    assert extract_dpop_nonce(library.Response(400, headers=twice, **DEMAND)) is None
    unread = library.Response(401, headers={"DPoP-Nonce": NONCE, **CHALLENGE}, stream=library.ByteStream(b"{}"))
    assert extract_dpop_nonce(unread) == NONCE


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {}, b"{}"),
        (200, CHALLENGE, DEMAND["content"]),
        (400, {}, b'{"error":"invalid_dpop_proof"}'),
        (400, {}, b"use_dpop_nonce"),
        (401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, b""),
        (403, CHALLENGE, DEMAND["content"]),
        (500, {}, DEMAND["content"]),
    ],
)
def test_a_request_that_demands_no_nonce_is_not_repeated(library, status, headers, body):
    """A nonce that comes along with a success, or with another refusal, is no reason to send a request again."""
    response = library.Response(status, headers={"DPoP-Nonce": NONCE, **headers}, content=body)
    assert extract_dpop_nonce(response) is None


@pytest.mark.parametrize("value", ["", "a b", 'a"b', "a\\b", "a\r\nb", "é", "x" * 1025])
def test_what_is_no_nonce(value):
    """A nonce of characters that RFC 9449 8.1 excludes, or of absurd length, is ignored."""
    assert offered_nonce(Reply(200, (("dpop-nonce", value),))) is None
    assert extract_dpop_nonce(Reply(400, (("dpop-nonce", value),), DEMAND["content"])) is None


def test_two_nonces_in_a_reply_are_none():
    """A response with two nonces gives none."""
    assert offered_nonce(Reply(200, (("dpop-nonce", "a"), ("dpop-nonce", "b")))) is None
    assert offered_nonce(Reply(200, (("dpop-nonce", "a"),))) == "a"


def test_success_at_once(perform):
    """Without a nonce request there is one attempt; builder headers stay, the proof is put in place of an empty one."""
    reply, requests = perform(send_with_dpop(post, KEY, NonceStore()), Reply(200, body=b"{}"))
    assert reply.status == 200
    assert [name for name, _ in requests[0].headers] == ["Accept", "DPoP"]
    assert "nonce" not in proof_in(requests[0])


@pytest.mark.parametrize("challenge", [AS_WANTS_NONCE, RS_WANTS_NONCE])
def test_nonce_retry(perform, challenge):
    """[F15] [D10] A request for a nonce, by token endpoint or resource, is met once, with a new proof."""
    nonces = NonceStore()
    flow = send_with_dpop(post, KEY, nonces, access_token=RFC_TOKEN)
    reply, requests = perform(flow, challenge, Reply(200))
    first, second = map(proof_in, requests)
    assert reply.status == 200
    assert "nonce" not in first
    assert second["nonce"] == NONCE
    assert first["jti"] != second["jti"]
    assert dict(requests[1].headers)["Authorization"] == f"DPoP {RFC_TOKEN}"
    assert nonces.get(TOKEN_URL) == NONCE


def test_no_nonce_loop(perform):
    """A server that never is content gets two attempts and no more (O8)."""
    reply, requests = perform(send_with_dpop(post, KEY, NonceStore()), AS_WANTS_NONCE, AS_WANTS_NONCE, Reply(200))
    assert reply.status == 400
    assert len(requests) == 2


def test_no_retry_without_a_nonce(perform):
    """A request for a nonce that gives none is not met."""
    refusal = Reply(400, body=b'{"error":"use_dpop_nonce"}')
    _, requests = perform(send_with_dpop(post, KEY, NonceStore()), refusal)
    assert len(requests) == 1


def test_builder_makes_each_attempt_afresh(perform):
    """A client assertion in the request is another one at the second attempt."""
    made = []

    def build(proof):
        made.append(proof)
        return Request("POST", TOKEN_URL, body=b"%d" % len(made))

    _, requests = perform(send_with_dpop(build, KEY, NonceStore()), AS_WANTS_NONCE, Reply(200))
    assert [request.body for request in requests] == [b"1", b"2"]


def test_next_nonce_from_a_success(perform):
    """[D16] A nonce that comes with a success is used for the next request."""
    nonces = NonceStore()
    perform(send_with_dpop(post, KEY, nonces), Reply(200, (("dpop-nonce", "next"),)))
    _, requests = perform(send_with_dpop(post, KEY, nonces), Reply(200))
    assert proof_in(requests[0])["nonce"] == "next"


def test_nonces_stay_with_their_origin(perform):
    """[D16] The nonce of one origin is never sent to another; paths of an origin share it (O8)."""
    nonces = NonceStore()
    nonces.remember("https://server.example.com:443/other", "mine")
    assert nonces.get(TOKEN_URL) == "mine"
    for other in ("https://server.example.com:8443/token", "http://server.example.com/token", "https://evil.example/"):
        assert nonces.get(other) is None


def test_nonce_store_is_bounded():
    """The origin used longest ago is forgotten first."""
    nonces = NonceStore(max_origins=2)
    for host in ("a", "b"):
        nonces.remember(f"https://{host}.example/", host)
    assert nonces.get("https://a.example/") == "a"
    nonces.remember("https://c.example/", "c")
    assert len(nonces) == 2
    assert nonces.get("https://b.example/") is None
    assert nonces.get("https://a.example/") == "a"
    for size in (0, True, "9"):
        with pytest.raises(ConfigurationException):
            NonceStore(size)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, body=b'{"error":"use_dpop_nonce"}'),
        Reply(400, body=b'{"error":"invalid_dpop_proof"}'),
        Reply(400, body=b"<html>use_dpop_nonce"),
        Reply(400, body=b'["use_dpop_nonce"]'),
        Reply(401, (("www-authenticate", 'Bearer error="use_dpop_nonce"'),)),
        Reply(401, (("www-authenticate", 'DPoP error="invalid_token", error_description="use_dpop_nonce"'),)),
        Reply(403, (("www-authenticate", 'DPoP error="use_dpop_nonce"'),)),
    ],
)
def test_what_asks_for_no_nonce(reply):
    """Only the error use_dpop_nonce, where RFC 9449 8 and 9 put it, asks for a nonce."""
    assert not wants_dpop_nonce(reply)


def test_key_per_provider_and_client():
    """[F43] [F45] Each provider and each client has a key of its own, made once, also under a race."""
    ring = DPoPKeyring()
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: ring.key("https://a.example", "app"), range(32)))
    assert len(keys) == 1
    others = {ring.key("https://b.example", "app"), ring.key("https://a.example", "other")}
    assert len({key.jwk_thumbprint for key in keys | others}) == 3


def test_key_is_not_shared():
    """[F43] A kept key is refused for a second provider, and a second key for the same pair (O8)."""
    ring = DPoPKeyring()
    ring.add("https://a.example", "app", KEY)
    ring.add("https://a.example", "app", DPoPKey.from_pem(KEY.private_key_pem))
    assert ring.key("https://a.example", "app") is KEY
    with pytest.raises(ConfigurationException) as refused:
        ring.add("https://b.example", "app", KEY)
    assert refused.value.code == "dpop_key_shared"
    with pytest.raises(ConfigurationException) as refused:
        ring.add("https://a.example", "app", DPoPKey())
    assert refused.value.code == "dpop_key_present"


def test_keyring_is_bounded():
    """A full ring refuses, rather than drop a key that tokens are bound to."""
    ring = DPoPKeyring(max_keys=1)
    ring.key("https://a.example", "app")
    with pytest.raises(ConfigurationException) as refused:
        ring.key("https://b.example", "app")
    assert refused.value.code == "dpop_keyring_full"
    assert len(ring) == 1
    with pytest.raises(ConfigurationException):
        DPoPKeyring("HS256")


def test_each_key_has_its_nonces():
    """[F43] Nonces given for proofs of one key are not used with another."""
    key = DPoPKey()
    key.nonces.remember(TOKEN_URL, NONCE)
    assert key.nonces.get(TOKEN_URL) == NONCE
    assert DPoPKey().nonces.get(TOKEN_URL) is None
