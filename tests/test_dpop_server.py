"""DPoP, the server's side: twelve checks, nonces, replay, bound tokens (RFC 9449 4.3, 7, 8, 9, 11.1)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import pytest

from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import now
from py_identity_model._core.binding.dpop_client import DPOP_ALGORITHMS, DPoPKey, build_dpop_proof, compute_ath
from py_identity_model._core.binding.dpop_nonces import DPoPNonces
from py_identity_model._core.binding.dpop_server import (
    DPoPValidator,
    bound_jkt,
    check_dpop_binding,
    normalize_htu,
    refuse_bearer_downgrade,
)
from py_identity_model._core.binding.inbound_request import InboundRequest, ProxyPolicy
from py_identity_model._core.binding.replay import CLOCKS
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.aio._dpop import validate_dpop_proof as validate_dpop_proof_async
from py_identity_model.exceptions import (
    ConfigurationException,
    DPoPValidationException,
    NetworkException,
    TokenValidationException,
)
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.sync._dpop import validate_dpop_proof

NOW = 1_700_000_000.0
URL = "https://api.example.com/orders"
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
KEY = DPoPKey()
CLAIMS = {"sub": "ada", "cnf": {"jkt": KEY.jwk_thumbprint}}
VALIDATOR = DPoPValidator()

#: RFC 9449 4.2, 5 and 7.1: the three proofs of the examples, with what they are for.
RFC_JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
_RFC_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo"
    "RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19."
)
RFC_PROOFS = [
    (
        _RFC_HEADER + "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29t"
        "L3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nf"
        "bV37xRZT3Lg",
        "POST",
        "https://server.example.com/token",
        1562262616,
        None,
    ),
    (
        _RFC_HEADER + "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29t"
        "L3Rva2VuIiwiaWF0IjoxNTYyMjY1Mjk2fQ.pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk"
        "41mSRroapUA",
        "POST",
        "https://server.example.com/token",
        1562265296,
        None,
    ),
    (
        _RFC_HEADER + "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9y"
        "Zy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcW"
        "tzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
        "GET",
        "https://resource.example.org/protectedresource",
        1562262618,
        TOKEN,
    ),
]


def request(*proofs, method="GET", url=URL, **facts):
    return InboundRequest(method, url, tuple(("DPoP", proof) for proof in proofs), **facts)


def proof(method="GET", url=URL, *, key=KEY, wall=NOW, token=TOKEN, nonce=None):
    return build_dpop_proof(key, method, url, wall=wall, access_token=token, nonce=nonce)


def forged(*, claims=None, typ="dpop+jwt", jwk=None, without=(), signer=None, payload=None):
    """Sign a proof with something wrong about it, the signature itself being good."""
    signer = signer or SigningKey.from_pem(KEY.private_key_pem, "ES256")
    said = {"jti": "1", "htm": "GET", "htu": URL, "iat": NOW, "ath": compute_ath(TOKEN), **(claims or {})}
    said = {name: value for name, value in said.items() if name not in without}
    headers = {} if jwk == "absent" else {"jwk": jwk or KEY.public_jwk}
    return sign_compact(payload or said, signer, typ=typ, headers=headers)


def check(*proofs, validator=VALIDATOR, wall=NOW, token=TOKEN, claims=CLAIMS, **facts):
    return validator.check(request(*proofs, **facts), wall=wall, access_token=token, claims=claims)


def code_of(*proofs, **facts):
    with pytest.raises(DPoPValidationException) as refused:
        check(*proofs, **facts)
    assert KEY.public_jwk["x"] not in str(refused.value)
    return refused.value.code


@pytest.mark.parametrize(("text", "method", "url", "iat", "token"), RFC_PROOFS)
def test_rfc9449_proofs(text, method, url, iat, token):
    """[D6] [D12] The proofs of RFC 9449 are accepted in their time, with the thumbprint that it names."""
    claims = {"cnf": {"jkt": RFC_JKT}} if token else None
    checked = check(text, wall=iat + 1, token=token, claims=claims, method=method, url=url)
    assert (checked.jkt, checked.algorithm, checked.iat) == (RFC_JKT, "ES256", iat)


@pytest.mark.parametrize("algorithm", DPOP_ALGORITHMS)
def test_every_algorithm(algorithm):
    """[D5] [S26] A proof of every asymmetric algorithm is accepted with a token that is bound to its key."""
    key = DPoPKey(algorithm)
    checked = check(proof(key=key), claims={"cnf": {"jkt": key.jwk_thumbprint}})
    assert (checked.jkt, checked.algorithm) == (key.jwk_thumbprint, algorithm)


def test_one_header():
    """[D1] No proof, two proofs, and two that a server joined are refused."""
    assert code_of() == "dpop_proof_missing"
    assert code_of(proof(), proof()) == "dpop_proof_duplicate"
    assert code_of(f"{proof()}, {proof()}") == "dpop_proof_duplicate"


@pytest.mark.parametrize("text", ["", "x", "a.b", "a.b.c", "a.b.c.d.e", "=.=.=", "x" * 20000, "\ud800.a.b", "é.a.b"])
def test_well_formed(text):
    """[D2] What is no single well-formed JWT is refused, and told from a token that is wrong."""
    assert code_of(text) == "dpop_proof_malformed"


@pytest.mark.parametrize(("length", "reason"), [(16384, "token_malformed"), (16385, "token_too_large")])
def test_the_longest_proof(length, reason):
    """[D2] A proof of 16 KiB is looked at, and one that is a character longer is not."""
    with pytest.raises(DPoPValidationException) as refused:
        check("x" * length)
    assert refused.value.details == {"reason": reason}


@pytest.mark.parametrize("payload", [b"[]", b'{"jti":"1","jti":"2"}', b"\xff", b'{"iat":NaN}', b'{"a":' + b"[" * 99])
def test_payload_is_strict_json(payload):
    """[D2] A payload with duplicate members, or that is no object, is refused."""
    assert code_of(forged(payload=payload)) == "dpop_claims_invalid"


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat"])
def test_required_claims(name):
    """[D3] Each required claim must be there."""
    assert code_of(forged(without=[name])) == "dpop_claim_missing"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("jti", 1, "dpop_claim_invalid"),
        ("jti", "", "dpop_claim_invalid"),
        ("jti", "x" * 513, "dpop_claim_invalid"),
        ("htm", ["GET"], "dpop_claim_invalid"),
        ("htu", None, "dpop_claim_invalid"),
        ("iat", "now", "dpop_claims_invalid"),
        ("iat", True, "dpop_claims_invalid"),
        ("iat", None, "dpop_claims_invalid"),
    ],
)
def test_claim_types(name, value, code):
    """[D3] Each required claim must have its type, and a jti a sane length."""
    assert code_of(forged(claims={name: value})) == code


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "DPOP+JWT", "application/dpop+jwt", "dpop+jwt "])
def test_typ(typ):
    """[D4] The typ is dpop+jwt, to the letter."""
    assert code_of(forged(typ=typ)) == "dpop_typ_mismatch"


def test_symmetric_proof():
    """[D5] A proof with a shared secret is refused, also if it carries that secret."""
    secret = SigningKey.from_secret(b"k" * 32, "HS256")
    jwk = {"kty": "oct", "k": b64url_encode(b"k" * 32)}
    assert code_of(forged(signer=secret, jwk=jwk)) == "dpop_alg_unsupported"


@pytest.mark.parametrize("alg", ["none", "None", "", "XX256", 1, None, ["ES256"]])
def test_alg(alg):
    """[D5] [F36] Neither none nor an unknown algorithm nor something that is no text is accepted."""
    header = b64url_encode(json.dumps({"typ": "dpop+jwt", "alg": alg, "jwk": KEY.public_jwk}).encode())
    assert code_of(f"{header}.{proof().split('.')[1]}.") in ("dpop_alg_unsupported", "dpop_proof_malformed")


def test_algorithms_of_the_server():
    """[D5] An algorithm that the server does not want is refused though the proof is good."""
    assert code_of(proof(), validator=DPoPValidator(algorithms=("PS256",))) == "dpop_alg_unsupported"


def test_signature():
    """[D6] A proof changed in a bit, or signed by another key than it carries, is refused."""
    other = DPoPKey()
    assert code_of(forged(jwk=other.public_jwk), claims={"cnf": {"jkt": other.jwk_thumbprint}}) == (
        "dpop_signature_invalid"
    )
    head, body, signature = proof().split(".")
    changed = b64url_encode(json.dumps({**json.loads(_decode(body)), "jti": "other"}).encode())
    assert code_of(f"{head}.{changed}.{signature}") == "dpop_signature_invalid"
    assert code_of(f"{head}.{body}.") == "dpop_signature_invalid"


def _decode(segment):
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
def test_no_private_key(member):
    """[D7] A proof that gives a private member away is refused, whatever that member holds."""
    assert code_of(forged(jwk={**KEY.public_jwk, member: "AQAB"})) == "dpop_key_private"


@pytest.mark.parametrize("jwk", ["absent", "text", ["x"], 1])
def test_key_is_missing(jwk):
    """[D6] A proof without a key, or with one that is no object, is refused."""
    assert code_of(forged(jwk=jwk)) == "dpop_key_missing"


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "RSA"},
        {"kty": ["EC"]},
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"y": None},
        {"use": "enc"},
        {"alg": "ES384"},
        {"key_ops": ["encrypt"]},
    ],
)
def test_unusable_key(changes):
    """[D5] A key of another kind, off its curve, or for another purpose is refused."""
    assert code_of(forged(jwk={**KEY.public_jwk, **changes})) == "dpop_key_unusable"


@pytest.mark.parametrize("method", ["POST", "get", "HEAD"])
def test_htm(method):
    """[D8] A proof is for one method, to the letter."""
    assert code_of(proof(), method=method) == "dpop_htm_mismatch"


@pytest.mark.parametrize(
    "htu",
    [
        "https://api.example.com/orders/1",
        "https://api.example.com/Orders",
        "https://api.example.com/orders/",
        "https://api.example.com:8443/orders",
        "https://evil.example/orders",
        "http://api.example.com/orders",
        "https://api.example.com@evil.example/orders",
        "https://user@api.example.com/orders",
        "https://api.example.com/orders%2F",
        "https://[::1/orders",
        "https://api.example.com:99999/orders",
        "/orders",
        "orders",
    ],
)
def test_htu(htu):
    """[D9] A proof is for one URL."""
    assert code_of(forged(claims={"htu": htu})) == "dpop_htu_mismatch"


@pytest.mark.parametrize(
    ("htu", "url"),
    [
        (URL, URL + "?page=2"),
        (URL + "?page=1#top", URL),
        ("HTTPS://API.Example.com:443/orders", URL),
        ("https://api.example.com/%6frders", URL),
        ("https://api.example.com/a/../orders", URL),
        ("https://api.example.com/%c3%a9", "https://api.example.com/%C3%A9"),
        ("https://api.example.com", "https://api.example.com/"),
        ("https://api.example.com/a/.", "https://api.example.com/a/"),
        ("https://api.example.com/..", "https://api.example.com/"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]:443/x"),
    ],
)
def test_htu_is_normalized(htu, url):
    """[D9] Query, fragment, default port, case and escapes make no difference."""
    assert check(forged(claims={"htu": htu}), url=url).htu == htu


def test_normalization_takes_no_time():
    """[D9] The longest paths are normalized at once."""
    for path in ("/.." * 50_000, "/./" * 50_000, "%41" * 50_000, "/" * 150_000):
        assert normalize_htu("https://a.example" + path)


def test_htu_behind_a_fixed_url():
    """[D9] Behind a proxy, the URL that clients use counts, and the server's own does not."""
    validator = DPoPValidator(proxies=ProxyPolicy(external_url="https://api.example.com/v1/"))
    inner = "http://10.0.0.7:8000/orders"
    assert check(proof(url="https://api.example.com/v1/orders"), validator=validator, url=inner)
    assert code_of(proof(url=inner), validator=validator, url=inner) == "dpop_htu_mismatch"


def test_htu_behind_trusted_proxies():
    """[D9] [S29] Forwarded headers count from a trusted proxy only."""
    validator = DPoPValidator(proxies=ProxyPolicy(trusted_proxies=("10.0.0.0/8",)))
    headers = (("DPoP", proof()), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example.com"))
    inner = "http://127.0.0.1:8000/orders"
    trusted = InboundRequest("GET", inner, headers, peer="10.1.2.3")
    stranger = InboundRequest("GET", inner, headers, peer="203.0.113.9")
    assert validator.check(trusted, wall=NOW, access_token=TOKEN, claims=CLAIMS)
    with pytest.raises(DPoPValidationException) as refused:
        validator.check(stranger, wall=NOW, access_token=TOKEN, claims=CLAIMS)
    assert refused.value.code == "dpop_htu_mismatch"


@pytest.mark.parametrize(("age", "good"), [(0, 1), (60, 1), (60.5, 0), (3600, 0), (-10, 1), (-10.5, 0), (-61, 0)])
def test_iat_window(age, good):
    """[D11] [F42] A proof is accepted for 60 seconds, and from clocks up to 10 seconds ahead."""
    text = forged(claims={"iat": NOW - age})
    if good:
        assert check(text).iat == NOW - age
    else:
        assert code_of(text) == ("dpop_proof_expired" if age > 0 else "dpop_proof_in_future")


def test_iat_window_is_a_policy():
    """[D11] The window can be set, and a window of nothing cannot."""
    validator = DPoPValidator(max_age=5, max_ahead=0)
    assert code_of(proof(wall=NOW - 6), validator=validator) == "dpop_proof_expired"
    assert code_of(proof(wall=NOW + 1), validator=validator) == "dpop_proof_in_future"


@pytest.mark.parametrize(
    "policy",
    [
        {"algorithms": ()},
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"max_age": 0},
        {"max_age": 601},
        {"max_age": None},
        {"max_ahead": -1},
        {"max_ahead": 61},
    ],
)
def test_no_check_is_turned_off(policy):
    """[D5] [D11] Empty, absurd and symmetric policies are configuration errors."""
    with pytest.raises(ConfigurationException):
        DPoPValidator(**policy)


def test_nonce_is_demanded():
    """[D10] With nonces on, a proof without one, or with a wrong one, is asked for the current one."""
    validator = DPoPValidator(nonces=DPoPNonces())
    for text, code in (
        (proof(), "dpop_nonce_required"),
        (proof(nonce="guess"), "dpop_nonce_invalid"),
        (forged(claims={"nonce": 7}), "dpop_nonce_invalid"),
    ):
        with pytest.raises(DPoPValidationException) as refused:
            check(text, validator=validator)
        assert refused.value.code == code
        assert refused.value.client_error.error == "use_dpop_nonce"
    nonce = validator.challenge_nonce(NOW)
    assert check(proof(nonce=nonce), validator=validator).next_nonce is None
    assert VALIDATOR.challenge_nonce(NOW) is None


def test_nonce_is_not_demanded():
    """[D10] A server without nonces ignores the claim."""
    assert check(proof(nonce="of another server")).next_nonce is None


@pytest.mark.parametrize(("nonce", "shown"), [("n", "n"), (7, None), (None, None)])
def test_what_a_proof_has_for_a_nonce(nonce, shown):
    """[D10] A nonce is text; anything else is none, where the server demands none."""
    assert check(forged(claims={} if nonce is None else {"nonce": nonce})).nonce == shown


def test_nonces_rotate():
    """[D10] [D16] A nonce is good in its window and the next; in the next the client is given another."""
    nonces = DPoPNonces(window=60)
    validator = DPoPValidator(nonces=nonces)
    start = NOW - NOW % 60
    old = nonces.current(start)
    checked = check(proof(nonce=old, wall=start + 61), validator=validator, wall=start + 61)
    assert checked.next_nonce == nonces.current(start + 61) != old
    assert not nonces.accepts(old, start + 121)
    assert not nonces.accepts(nonces.current(start + 121), start)


def test_nonce_secret_rotates():
    """[D10] After a rotation of the secret nonces of the one before stay good; after two they do not."""
    nonces = DPoPNonces(b"a" * 32)
    old = nonces.current(NOW)
    nonces.rotate()
    assert nonces.accepts(old, NOW)
    assert nonces.current(NOW) != old
    nonces.rotate(b"c" * 32)
    assert not nonces.accepts(old, NOW)


def test_nonces_are_shared_by_secret():
    """[D10] Workers with one secret accept each other's nonces; those with another do not."""
    assert DPoPNonces(b"s" * 32).accepts(DPoPNonces(b"s" * 32).current(NOW), NOW)
    assert not DPoPNonces().accepts(DPoPNonces().current(NOW), NOW)
    assert not DPoPNonces().accepts("\ud800", NOW)
    for bad in ({"secret": b"short"}, {"secret": "s" * 32}, {"window": 0}, {"window": -1}, {"window": None}):
        with pytest.raises(ConfigurationException):
            DPoPNonces(**bad)


def test_ath():
    """[D12] The proof names the token that it came with."""
    assert code_of(proof(token=None)) == "dpop_ath_missing"
    assert code_of(proof(token="another")) == "dpop_ath_mismatch"
    assert code_of(forged(claims={"ath": 1})) == "dpop_ath_mismatch"
    assert code_of(forged(claims={"ath": "\u00e9"})) == "dpop_ath_mismatch"


def test_key_is_the_tokens():
    """[D12] [F33] A token bound to another key, or to none, is refused."""
    assert code_of(proof(key=DPoPKey())) == "dpop_key_mismatch"
    assert code_of(proof(), claims={"sub": "ada"}) == "dpop_token_unbound"
    assert code_of(proof(), claims={"cnf": {"x5t#S256": "x"}}) == "dpop_token_unbound"


@pytest.mark.parametrize("cnf", ["jkt", ["jkt"], None, {"jkt": ""}, {"jkt": 1}, {"jkt": ["x"]}])
def test_malformed_cnf(cnf):
    """[D12] A cnf that is not what it should be is refused, never taken for none."""
    for read in (bound_jkt, refuse_bearer_downgrade, lambda claims: check_dpop_binding(claims, "x")):
        with pytest.raises(TokenValidationException) as refused:
            read({"cnf": cnf})
        assert refused.value.code == "cnf_invalid"


def test_bearer_downgrade():
    """[D14] A bound token without a proof is refused; one that is bound to nothing may be a bearer token (O9)."""
    with pytest.raises(DPoPValidationException) as refused:
        refuse_bearer_downgrade(CLAIMS)
    assert refused.value.code == "dpop_token_as_bearer"
    assert refused.value.client_error.error == "invalid_token"
    refuse_bearer_downgrade({"sub": "ada"})


def test_authorization_server_side():
    """[D12] At a token endpoint the proof may be demanded of a certain key."""
    text = proof("POST", "https://id.example.com/token", token=None)
    inbound = request(text, method="POST", url="https://id.example.com/token")
    assert VALIDATOR.check(inbound, wall=NOW, expected_jkt=KEY.jwk_thumbprint).jkt == KEY.jwk_thumbprint
    with pytest.raises(DPoPValidationException) as refused:
        VALIDATOR.check(inbound, wall=NOW, expected_jkt="other")
    assert refused.value.code == "dpop_key_mismatch"


@pytest.mark.parametrize("half", [{"access_token": TOKEN}, {"claims": CLAIMS}])
def test_token_without_claims(half):
    """[D12] A token without its claims cannot be checked, and that is not passed over."""
    with pytest.raises(ConfigurationException) as refused:
        VALIDATOR.check(request(proof()), wall=NOW, **half)
    assert refused.value.code == "dpop_token_incomplete"


def test_error_classes():
    """[D13] [T7] Faults of the proof and faults of the token are different errors to the client."""
    told = DPoPValidationException("x", code="dpop_htu_mismatch").client_error
    assert (told.status, told.error) == (401, "invalid_dpop_proof")
    told = DPoPValidationException("x", code="dpop_key_mismatch").client_error
    assert (told.status, told.error) == (401, "invalid_token")


def flow(validator, text, **facts):
    return validator.validate(request(text, **facts), access_token=TOKEN, claims=CLAIMS)


def test_replay(perform):
    """[D17] [S26] A proof serves once; another key's proof with the same jti is another proof (C14)."""
    validator = DPoPValidator(store=MemoryStore())
    wall = _now(perform)
    text = proof(wall=wall)
    assert perform(flow(validator, text))[0].jkt == KEY.jwk_thumbprint
    with pytest.raises(DPoPValidationException) as refused:
        perform(flow(validator, text))
    assert refused.value.code == "dpop_replayed"
    other = DPoPKey()
    again = forged(
        claims={"jti": "1", "iat": wall},
        jwk=other.public_jwk,
        signer=SigningKey.from_pem(other.private_key_pem, "ES256"),
    )
    mine = forged(claims={"jti": "1", "iat": wall})
    assert perform(flow(validator, mine))[0].jti == "1"
    bound = {"cnf": {"jkt": other.jwk_thumbprint}}
    assert perform(validator.validate(request(again), access_token=TOKEN, claims=bound))[0].jti == "1"


def _now(perform):
    return perform(now())[0].wall


def test_replay_memory_outlives_the_proof(perform):
    """[D17] A proof is remembered for as long as it would be accepted, also one of a clock that runs ahead."""
    seen = []

    class Store:
        def add(self, topic, key, value, lifetime, *, made_at):
            seen.append((topic, value, lifetime, made_at))
            return True

    wall = _now(perform)
    validator = DPoPValidator(store=Store())
    for age in (-10, 0, 59):
        perform(flow(validator, proof(wall=wall - age)))
    for (topic, value, lifetime, made_at), age in zip(seen, (-10, 0, 59), strict=True):
        assert (topic, value, made_at) == ("replay", b"", int(wall - age) - 10.0 - CLOCKS)
        assert 60 - age <= lifetime <= 62 - age


def test_bad_proofs_fill_no_memory(perform):
    """[D17] A proof that is refused leaves nothing behind in the replay memory."""
    validator = DPoPValidator()
    for text in (proof(key=DPoPKey(), wall=_now(perform)), "a.b.c"):
        with pytest.raises(DPoPValidationException):
            perform(flow(validator, text))
    assert len(validator._used) == 0


def test_full_memory_is_no_verdict(perform):
    """[D17] When the memory is full the proof cannot be checked now: 503, not 401."""
    store = MemoryStore(1)
    store.add("replay", "x", b"", 1e6)
    with pytest.raises(NetworkException) as refused:
        perform(flow(DPoPValidator(store=store), proof(wall=_now(perform))))
    assert refused.value.client_error.status == 503


def test_one_winner():
    """[D17] Of many threads with one proof exactly one is let in."""
    validator = DPoPValidator()
    inbound = request(proof(wall=time.time()))

    def enter(_):
        try:
            return validate_dpop_proof(validator, inbound, access_token=TOKEN, claims=CLAIMS).jkt
        except DPoPValidationException as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(enter, range(16)))
    assert sorted(outcomes) == sorted([KEY.jwk_thumbprint] + ["dpop_replayed"] * 15)


def test_shared_store_may_be_awaited():
    """[D17] The async API awaits a shared store; the sync one refuses it, and does not pass it over."""

    class Shared:
        def __init__(self):
            self.keys = set()

        async def add(self, topic, key, value, lifetime, *, made_at):
            if key in self.keys:
                return False
            self.keys.add(key)
            return True

    validator = DPoPValidator(store=Shared())
    inbound = request(proof(wall=time.time()))

    async def twice():
        checked = await validate_dpop_proof_async(validator, inbound, access_token=TOKEN, claims=CLAIMS)
        with pytest.raises(DPoPValidationException) as refused:
            await validate_dpop_proof_async(validator, inbound, access_token=TOKEN, claims=CLAIMS)
        return checked.jkt, refused.value.code

    assert asyncio.run(twice()) == (KEY.jwk_thumbprint, "dpop_replayed")
    with pytest.raises(ConfigurationException):
        validate_dpop_proof(validator, inbound, access_token=TOKEN, claims=CLAIMS)


# ---- limits, to the last


@pytest.mark.parametrize(
    ("late", "ahead", "code"),
    [(60, 0, ""), (61, 0, "dpop_proof_expired"), (0, 10, ""), (0, 11, "dpop_proof_in_future")],
)
def test_the_times_of_a_proof(late, ahead, code):
    """A proof is good for a minute and may come ten seconds early; a refusal says by how much it missed."""
    text = proof(wall=NOW - late + ahead)
    if not code:
        assert check(text).iat == NOW - late + ahead
        return
    with pytest.raises(DPoPValidationException) as refused:
        check(text)
    assert (refused.value.code, refused.value.actual) == (code, f"{late + ahead} s")


def test_the_length_of_an_identifier():
    """A jti has at most 512 characters."""
    assert len(check(forged(claims={"jti": "j" * 512})).jti) == 512
    assert code_of(forged(claims={"jti": "j" * 513}))


@pytest.mark.parametrize(("window", "good"), [(0, False), (0.999, False), (1, True), (86400, True), (86401, False)])
def test_the_window_of_nonces(window, good):
    """Nonces change every second at most, and every day at least."""
    if good:
        assert DPoPNonces(window=window).window == window
        return
    with pytest.raises(ConfigurationException) as refused:
        DPoPNonces(window=window)
    assert refused.value.claim == "window"


def test_what_a_server_demands_does_not_change():
    """Demands are named, cannot be changed afterwards, and take no memory from the caller but the store."""
    for value, name in ((DPoPValidator(), "max_age"), (check(proof()), "jkt")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
        assert not hasattr(value, "__dict__")
    with pytest.raises(TypeError):
        DPoPValidator(DPOP_ALGORITHMS)
    with pytest.raises(TypeError):
        DPoPValidator(_used=None)


def test_what_was_used_is_no_part_of_the_demands():
    """Servers that demand the same are equal, and show none of the proofs that they have seen."""
    assert DPoPValidator() == DPoPValidator()
    assert "used" not in repr(DPoPValidator())


@pytest.mark.parametrize(("name", "most"), [("max_age", 600), ("max_ahead", 60)])
def test_how_generous_a_server_may_be(name, most):
    """A proof is accepted for ten minutes at most, and from clocks a minute ahead."""
    assert getattr(DPoPValidator(**{name: most}), name) == most
    with pytest.raises(ConfigurationException) as refused:
        DPoPValidator(**{name: most + 1})
    assert refused.value.claim == name


@pytest.mark.parametrize(("length", "shown"), [(40, "x" * 40), (41, "x" * 40 + "...")])
def test_an_algorithm_that_cannot_sign_proofs_is_named(length, shown):
    """The refusal of the configuration shows at most 40 characters of it."""
    with pytest.raises(ConfigurationException) as refused:
        DPoPValidator(algorithms=("ES256", "x" * length))
    assert (refused.value.code, refused.value.actual) == ("dpop_algorithm_unsupported", shown)
    assert repr(shown) in str(refused.value)


def test_a_proof_is_remembered_a_second_longer_than_it_counts(perform):
    """A store is told for how long: until the proof is too old, and a second; and when it was used at the earliest."""
    told = []

    class Store:
        def add(self, topic, key, value, lifetime, *, made_at=None):
            told.append((lifetime, made_at))
            return True

    wall = _now(perform)
    for late in (0, 45):
        perform(flow(DPoPValidator(store=Store()), proof(wall=wall - late)))
    assert told == [(61.0, wall - 15.0), (16.0, wall - 60.0)]


@pytest.mark.parametrize(("octets", "good"), [(8190, True), (8196, False)])
def test_the_header_of_a_proof_is_half_of_it_at_most(octets, good):
    """Of 16384 characters the header may take 8192 octets: the key is in it, and nothing else that is long."""
    bare = forged(jwk={**KEY.public_jwk, "pad": ""}).partition(".")[0]
    text = forged(jwk={**KEY.public_jwk, "pad": "x" * (octets - len(bare) * 3 // 4)})
    if good:
        assert check(text).jkt == KEY.jwk_thumbprint
        return
    with pytest.raises(DPoPValidationException) as refused:
        check(text)
    assert refused.value.details["reason"] == "header_too_large"


def test_another_url_is_told_without_its_query():
    """The refusal says which URL the proof was for, and shows nothing of its query."""
    with pytest.raises(DPoPValidationException) as refused:
        check(forged(claims={"htu": "https://other.example/x?secret=1"}))
    assert (refused.value.code, refused.value.expected) == ("dpop_htu_mismatch", URL)
    assert refused.value.actual == "https://other.example/x"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://a.example/a/b/../c", "https://a.example/a/c"),
        ("https://a.example/a/b/../../c", "https://a.example/c"),
        ("https://a.example/../a", "https://a.example/a"),
        ("https://a.example/a/.", "https://a.example/a/"),
        ("https://a.example/a/..", "https://a.example/"),
        ("https://a.example/%2fa%7e%7E", "https://a.example/%2Fa~~"),
        ("https://a.example", "https://a.example/"),
        ("ftp://a.example/a", None),
        ("https:///a", None),
        ("https://user@a.example/a", None),
        ("https://a.example:port/a", None),
        ("https://a.example:99999/a", None),
        ("https://[::1/a", None),
    ],
)
def test_the_normal_form_of_a_url(url, normal):
    """RFC 3986 5.2.4, 6.2.2: dots go, unreserved characters are written as they are, other escapes in capitals."""
    assert normalize_htu(url) == normal
