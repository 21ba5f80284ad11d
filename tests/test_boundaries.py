"""Where limits lie, to the last: what decides is asked one below, at, and one above each of them."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.jose import verification_keys
from py_identity_model._core.jose.algorithms import (
    ALGORITHMS,
    EC_CURVES,
    EDDSA_SIGNATURE_LENGTHS,
    KeyRefused,
    _der_encoder,
)
from py_identity_model._core.jose.jws import half_hash
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import (
    _roca_residues,
    check_secret,
    import_key,
    names_issuer,
    prepare,
)
from py_identity_model._core.validation.claim_checks import ClaimPolicy, check_claims, everyday, window
from py_identity_model._core.validation.id_token import (
    ExpectedIdToken,
    IdTokenExpectation,
    check_id_token,
    check_refreshed_id_token,
)
from py_identity_model._core.validation.token_kinds import ACCESS_TOKEN, ID_TOKEN
from py_identity_model.exceptions import ConfigurationException, TokenValidationException

# ---- algorithms


class Willing:
    """A key that verifies anything, so that what is refused was refused before it."""

    def __init__(self, key_size: int = 0) -> None:
        self.key_size = key_size

    def verify(self, *given: Any) -> None:
        """Accept."""

    def recover_data_from_signature(self, *given: Any) -> bytes:
        """Recover nothing, so that it is asked to verify."""
        raise UnsupportedAlgorithm("nothing is recovered here")


CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1(), "ES256K": ec.SECP256K1()}


@pytest.mark.parametrize("alg", CURVES)
def test_both_numbers_of_a_signature_are_in_range(alg: str) -> None:
    """FIPS 186-5 6.4.2: r and s are from 1 to n-1; whatever the backend thinks of others, they do not reach it."""
    size, order = (CURVES[alg].key_size + 7) // 8, CURVES[alg].group_order
    verify = ALGORITHMS[alg].verifier(Willing())
    numbers = {0: False, 1: True, order - 1: True, order: False, order + 1: False}
    for r, r_fits in numbers.items():
        for s, s_fits in numbers.items():
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
            assert verify(b"x", signature) is (r_fits and s_fits), (r, s)


@pytest.mark.parametrize("alg", CURVES)
def test_a_signature_has_exactly_its_octets(alg: str) -> None:
    """RFC 7518 3.4: an octet more or less is another signature, even if its numbers are the same."""
    size = (CURVES[alg].key_size + 7) // 8
    one = (1).to_bytes(size, "big")
    verify = ALGORITHMS[alg].verifier(Willing())
    assert verify(b"x", one + one)
    for other in (one + b"\0" + one, b"\0" + one + one, one + one + b"\0", one + one[1:], one[1:] + one, one, b""):
        assert not verify(b"x", other)


@pytest.mark.parametrize("alg", ["RS256", "PS512"])
@pytest.mark.parametrize(("bits", "octets"), [(2048, 256), (2049, 257), (2055, 257), (2056, 257), (2057, 258)])
def test_a_signature_is_as_long_as_the_modulus(alg: str, bits: int, octets: int) -> None:
    """RFC 8017 8.1.2, 8.2.2: as many octets as the modulus has, also where its bits do not fill them."""
    verify = ALGORITHMS[alg].verifier(Willing(bits))
    assert [length for length in range(octets - 2, octets + 3) if verify(b"x", bytes(length))] == [octets]


@pytest.mark.parametrize("alg", CURVES)
def test_signing_is_deterministic(alg: str) -> None:
    """RFC 6979: the same key signs the same text alike, so that no bad random number gives the key away."""
    key = SigningKey.generate(alg)
    assert key.sign(b"text") == key.sign(b"text")


@pytest.mark.parametrize("size", [*range(2, 10), 32, 48, 59, 60, 61, 62, 66, 80])
def test_signatures_are_written_as_der(size: int) -> None:
    """RFC 3279 2.2.3: by template up to 60 octets, whose length has one octet, the same as in general."""
    encode = _der_encoder(size)
    assert encode.__name__ == ("templated" if size <= 60 else "plain")
    octets = [bytes((first,)) + b"\x80" * (size - 1) for first in (0, 1, 0x7F, 0x80, 0xFF)]
    for r in octets:
        for s in octets:
            assert encode(r, s) == encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


LENGTHS = {"ES256": 64, "ES384": 96, "ES512": 132, "ES256K": 64, "Ed25519": 64, "Ed448": 114, "EdDSA": None}
LENGTHS |= {"HS256": 32, "HS384": 48, "HS512": 64, "ML-DSA-44": 2420, "ML-DSA-65": 3309, "ML-DSA-87": 4627}


def test_lengths_of_signatures() -> None:
    """RFC 7518 3, RFC 8032 5, FIPS 204 4: octets of a signature; of RSA the key decides, of EdDSA its curve."""
    assert {alg: row.signature_length for alg, row in ALGORITHMS.items()} == {
        **LENGTHS,
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    }
    assert EDDSA_SIGNATURE_LENGTHS == {"Ed25519": 64, "Ed448": 114}


def test_rows_do_not_change() -> None:
    """The tables of algorithms and curves are the same for everyone, for ever."""
    for row, name in ((ALGORITHMS["ES256"], "kty"), (EC_CURVES["P-256"], "order")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(row, name, None)
        assert not hasattr(row, "__dict__")
    with pytest.raises(TypeError):
        ALGORITHMS["none"] = ALGORITHMS["HS256"]  # type: ignore[index]


# ---- keys


def rsa_jwk(bits: int, e: int = 65537, zeros: int = 0, **marks: Any) -> dict[str, Any]:
    """Return an RSA key whose modulus has so many bits, with some zero octets before it."""
    n = (1 << (bits - 1)) | 0x1234567B
    octets = bytes(zeros) + n.to_bytes((bits + 7) // 8, "big")
    return {"kty": "RSA", "n": b64url_encode(octets), "e": b64url_encode(e.to_bytes(5, "big").lstrip(b"\0")), **marks}


def refusal(jwk: dict[str, Any]) -> str:
    """Return why a key is refused, "" if it is not."""
    try:
        import_key(jwk)
    except KeyRefused as error:
        return error.reason if hasattr(error, "reason") else str(error.args[0])
    return ""


@pytest.mark.parametrize(
    ("bits", "reason"), [(2047, "rsa_key_too_small"), (2048, ""), (8192, ""), (8193, "rsa_key_too_large")]
)
def test_sizes_of_rsa_keys(bits: int, reason: str) -> None:
    """RFC 7518 3.3: 2048 bits at least; and at most 8192, for verifying takes time."""
    assert refusal(rsa_jwk(bits)) == reason


@pytest.mark.parametrize(
    ("e", "good"),
    [(1, False), (2, False), (3, True), (4, False), (2**32 - 1, True), (2**32, False), (2**32 + 1, False)],
)
def test_exponents_of_rsa_keys(e: int, good: bool) -> None:
    """An exponent is odd, from 3, and below 2**32."""
    assert (refusal(rsa_jwk(2048, e)) == "") is good


#: The odd primes up to 167: the largest that the moduli of CVE-2017-15361 are made by (Nemec et al., 2017).
PRIMES = "3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59 61 67 71 73 79 83 89 97 101 103 107 109 113 127 131 137 139 149"


def test_residues_of_weak_moduli() -> None:
    """CVE-2017-15361: a modulus that is a power of 65537 modulo every odd prime up to 167, and no other, is weak."""
    residues = dict(_roca_residues())
    assert list(residues) == [*map(int, PRIMES.split()), 151, 157, 163, 167]
    for prime, found in residues.items():
        power, powers = 1, set()
        while power not in powers:
            powers.add(power)
            power = power * 65537 % prime
        assert found == powers, prime


def test_what_the_backend_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that only cryptography finds fault with is refused like any other."""

    class Unfit:
        def __init__(self, e: int = 0, n: int = 0) -> None:
            self.e, self.n = e, n

        def public_key(self) -> None:
            raise ValueError("unfit")

        @staticmethod
        def from_public_bytes(octets: bytes) -> None:
            raise ValueError("unfit")

    monkeypatch.setitem(verification_keys._OKP_CLASSES, "Ed25519", (Unfit, Unfit, 32))
    assert refusal({"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(bytes(32))}) == "key_invalid"
    monkeypatch.setattr(verification_keys, "rsa", SimpleNamespace(RSAPublicNumbers=Unfit))
    assert refusal(rsa_jwk(2048)) == "rsa_key_invalid"


@pytest.mark.parametrize(("bits", "octets"), [(2048, 256), (2049, 257), (2056, 257), (2057, 258)])
def test_a_key_tells_how_long_its_signatures_are(bits: int, octets: int) -> None:
    """As many octets as its modulus has."""
    assert prepare(import_key(rsa_jwk(bits)), "PS256").signature_length == octets


@pytest.mark.parametrize(("alg", "octets"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_the_hash(alg: str, octets: int) -> None:
    """RFC 7518 3.2: as many octets as the hash has, or more."""
    check_secret(bytes(octets), alg)
    with pytest.raises(KeyRefused) as caught:
        check_secret(bytes(octets - 1), alg)
    assert caught.value.reason == "secret_too_short"


@pytest.mark.parametrize(
    ("named", "issuer", "signs"),
    [
        (None, "https://a.example", True),
        (None, None, True),
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", None, False),
        ("https://a.example", 7, False),
    ],
)
def test_a_key_signs_for_the_issuer_it_names(named: str | None, issuer: object, signs: bool) -> None:
    """One that names none signs for all; one that does, for that one, and for nothing that is no text."""
    assert import_key(rsa_jwk(2048, **({"issuer": named} if named else {}))).signs_for(issuer) is signs


def test_lengths_of_members() -> None:
    """A member of a key has at most 4096 characters; zero octets before a modulus count, and change nothing."""
    padded = rsa_jwk(2048, zeros=3072 - 256)
    assert len(padded["n"]) == 4096
    assert refusal(padded) == ""
    assert refusal(rsa_jwk(2048, zeros=3073 - 256)) == "jwk_member_too_long"


def test_lengths_of_names() -> None:
    """A key has a name of at most 256 characters."""
    assert refusal(rsa_jwk(2048, kid="k" * 256)) == ""
    assert refusal(rsa_jwk(2048, kid="k" * 257)) == "kid_invalid"


V1, V2 = "https://sts.windows.net/contoso/", "https://login.microsoftonline.com/contoso/v2.0"
ANY = "https://login.microsoftonline.com/{tenantid}/v2.0"


@pytest.mark.parametrize(
    ("named", "issuer", "fits"),
    [
        (V2, V2, True),
        (V2, V2 + "/", False),
        (V2, V2.replace("contoso", "fabrikam"), False),
        (ANY, V2, True),
        (ANY, ANY, False),
        (ANY, "https://login.microsoftonline.com//v2.0", False),
        (ANY, "https://login.microsoftonline.com/../v2.0", False),
        (ANY, "https://login.microsoftonline.com/a/b/v2.0", False),
        (ANY, "https://evil.example/contoso/v2.0", False),
        (ANY, V2 + "/x", False),
        ("https://a.example/{x}/{y}", "https://a.example/b/c", False),
        (V2, V1, True),
        (V2, V1.removesuffix("/"), True),
        (ANY, V1, True),
        (V2, V1.replace("contoso", "fabrikam"), False),
        (V1, V2, False),
        (V2, "https://sts.chinacloudapi.cn/contoso/", False),
        ("https://login.partner.microsoftonline.cn/contoso/v2.0", "https://sts.chinacloudapi.cn/contoso/", True),
    ],
)
def test_whose_tokens_a_key_signs(named: str, issuer: str, fits: bool) -> None:
    """A key of a shared set signs for the issuer that it names, by one placeholder, and for Entra's v1 name of it."""
    assert names_issuer(named, issuer) is fits


def test_keys_are_values() -> None:
    """Keys in use change for nobody, and show neither what they verify with nor the secret that they may be."""
    key = import_key({"kty": "oct", "k": b64url_encode(b"canary" * 8), "kid": "k"})
    prepared = prepare(key, "HS256")
    for value, name in ((key, "material"), (prepared, "verify")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
        assert not hasattr(value, "__dict__")
        assert not any(part in repr(value) for part in ("canary", "verify", "spki", "material"))


# ---- claims

NOW = 1_800_000_000.0
WHEN = int(NOW)
MOST = 10**12
POLICY = ClaimPolicy(ACCESS_TOKEN, frozenset({"api"}), leeway=5.0, ahead=10.0)
GOOD = {"iss": "https://id.example.com", "aud": "api", "sub": "ada", "iat": WHEN, "exp": WHEN + 60, "jti": "1"}


def said(policy: ClaimPolicy, claims: dict[str, Any]) -> str:
    """Return the code of the refusal, "" if there is none."""
    try:
        check_claims(policy, claims, NOW)
    except TokenValidationException as error:
        return error.code
    return ""


#: What changes, the code of the refusal, and whether the shortcut may say yes.
CASES: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "", True),
    ({"exp": WHEN - 4}, "", True),
    ({"exp": WHEN - 5}, "token_expired", False),
    ({"exp": WHEN - 6}, "token_expired", False),
    ({"exp": MOST}, "", True),
    ({"exp": MOST + 1}, "claim_type_invalid", False),
    ({"nbf": WHEN + 10}, "", True),
    ({"nbf": WHEN + 11}, "token_not_yet_valid", False),
    ({"nbf": -MOST}, "", True),
    ({"nbf": -MOST - 1}, "claim_type_invalid", False),
    ({"iat": WHEN + 10}, "", True),
    ({"iat": WHEN + 11}, "token_not_yet_valid", False),
    ({"iat": -MOST}, "", True),
    ({"iat": -MOST - 1}, "claim_type_invalid", False),
    ({"exp": WHEN + 60.5}, "", False),
    ({"exp": True}, "claim_type_invalid", False),
    ({"sub": "s" * 255}, "", True),
    ({"sub": "s" * 256}, "", False),
    ({"sub": "s"}, "", True),
    ({"sub": ""}, "", False),
    ({"sub": 7}, "claim_type_invalid", False),
    ({"jti": 7}, "claim_type_invalid", False),
    ({"aud": ["api"]}, "", True),
    ({"aud": ["api", "other"]}, "", False),
    ({"aud": ["other"]}, "audience_mismatch", False),
    ({"aud": []}, "claim_type_invalid", False),
    ({"aud": ["api", ""]}, "claim_type_invalid", False),
    ({"aud": ""}, "claim_type_invalid", False),
    ({"aud": None}, "claim_type_invalid", False),
    ({"iss": ""}, "claim_type_invalid", False),
    ({"iss": 7}, "claim_type_invalid", False),
]


@pytest.mark.parametrize(("changes", "code", "at_once"), CASES)
def test_claims(changes: dict[str, Any], code: str, at_once: bool) -> None:
    """The table refuses from the first wrong value on; the shortcut says yes to what is common, and never else."""
    claims = {**GOOD, **changes}
    assert said(POLICY, claims) == code
    holds = everyday(POLICY, frozenset({GOOD["iss"]}))  # type: ignore[arg-type]
    assert holds(claims, NOW) is at_once
    begins, ends = window(POLICY, claims) if not code else (NOW, NOW)
    assert begins <= NOW <= ends


def test_claims_are_good_between_two_moments() -> None:
    """The window of a token begins as early as nbf and iat allow, and ends with exp or its greatest age."""
    claims = {**GOOD, "nbf": WHEN - 30}
    assert window(POLICY, claims) == (WHEN - 10, WHEN + 65)
    assert window(POLICY, {**claims, "nbf": WHEN + 3}) == (WHEN - 7, WHEN + 65)
    assert window(dataclasses.replace(POLICY, max_age=20.0), claims) == (WHEN - 10, WHEN + 25)
    assert window(dataclasses.replace(POLICY, max_age=90.0), claims) == (WHEN - 10, WHEN + 65)


@pytest.mark.parametrize(
    ("sub", "code", "actual"),
    [
        ("s", "", ""),
        ("s" * 255, "", ""),
        ("s" * 256, "claim_type_invalid", "256 characters"),
        ("", "claim_type_invalid", "0 characters"),
        (7, "claim_type_invalid", "int"),
    ],
)
def test_the_subject_of_an_id_token(sub: Any, code: str, actual: str) -> None:
    """OpenID Connect Core 2: from 1 to 255 characters; the refusal says what came."""
    policy = dataclasses.replace(POLICY, kind=ID_TOKEN)
    assert said(policy, {**GOOD, "sub": sub}) == code
    if code:
        with pytest.raises(TokenValidationException) as caught:
            check_claims(policy, {**GOOD, "sub": sub}, NOW)
        assert caught.value.actual == actual


@pytest.mark.parametrize(("age", "code"), [(25, ""), (26, "token_too_old")])
def test_the_age_of_a_token(age: int, code: str) -> None:
    """The greatest age is exceeded by the first second after it and the leeway."""
    policy = dataclasses.replace(POLICY, max_age=20.0)
    assert said(policy, {**GOOD, "iat": WHEN - age}) == code


@pytest.mark.parametrize(("late", "hint"), [(5, True), (120, True), (121, False)])
def test_a_clock_may_be_wrong(late: int, hint: bool) -> None:
    """A token that expired up to two minutes ago may be a matter of clocks, which the error says."""
    with pytest.raises(TokenValidationException) as caught:
        check_claims(POLICY, {**GOOD, "exp": WHEN - late}, NOW)
    assert (caught.value.hint is not None) is hint


@pytest.mark.parametrize(("count", "more"), [(5, False), (6, True)])
def test_long_lists_are_cut(count: int, more: bool) -> None:
    """An error names five audiences, and says that there are more."""
    with pytest.raises(TokenValidationException) as caught:
        check_claims(POLICY, {**GOOD, "aud": [f"other-{at}" for at in range(count)]}, NOW)
    assert str(caught.value.actual).endswith(" ...") is more
    assert str(caught.value.actual).count("other-") == 5


# ---- ID tokens


def test_whatever_a_login_expects_may_be_left_out() -> None:
    """Each expectation is a keyword of its own; type checkers demand none of them."""
    assert ExpectedIdToken.__required_keys__ == frozenset()


def id_token_said(expectation: IdTokenExpectation, leeway: float = 0.0, **changes: Any) -> str:
    """Return the code with which an ID token is refused, "" if it is not."""
    claims = {**GOOD, "nonce": "n", "auth_time": WHEN, **changes}
    try:
        check_id_token(claims, "RS256", None, client_ids=["api"], expectation=expectation, leeway=leeway, now=NOW)
    except TokenValidationException as error:
        return error.code
    return ""


@pytest.mark.parametrize(("before", "code"), [(0, ""), (307, ""), (308, "token_too_old")])
def test_an_id_token_of_before_the_login(before: int, code: str) -> None:
    """The provider's clock may be five minutes behind, and the leeway; what is older answers another login."""
    assert id_token_said(IdTokenExpectation(asked_at=NOW), leeway=7.0, iat=WHEN - before) == code


@pytest.mark.parametrize(("ago", "code"), [(0, ""), (117, ""), (118, "authentication_too_old")])
def test_a_login_of_long_ago(ago: int, code: str) -> None:
    """The user may have logged in as long ago as was asked for, with ten seconds of tolerance and the leeway."""
    assert id_token_said(IdTokenExpectation(max_age=100.0), leeway=7.0, auth_time=WHEN - ago) == code


@pytest.mark.parametrize(("nonce", "came"), [(None, "absent"), ("other", "another value")])
def test_a_nonce_of_another_login(nonce: str | None, came: str) -> None:
    """The refusal tells a nonce that is absent from one that is another, and says no more of it."""
    claims = {name: value for name, value in {**GOOD, "nonce": nonce}.items() if value is not None}
    with pytest.raises(TokenValidationException) as caught:
        check_id_token(claims, "RS256", None, client_ids=["api"], expectation=IdTokenExpectation(nonce="mine"), now=NOW)
    assert (caught.value.code, caught.value.actual) == ("nonce_mismatch", came)
    assert str(caught.value).count("different") == (nonce is not None)


@pytest.mark.parametrize("hashes", [["at_hash"], ["at_hash", "c_hash"], ["at_hash", "c_hash", "s_hash"]])
def test_all_hashes_may_be_required(hashes: list[str]) -> None:
    """Any of the three, and all of them, may be required; another name may not."""
    assert IdTokenExpectation(hashes_required=frozenset(hashes)).hashes_required == frozenset(hashes)
    assert id_token_said(IdTokenExpectation(hashes_required=frozenset(hashes))) == "hash_missing"
    with pytest.raises(ConfigurationException):
        IdTokenExpectation(hashes_required=frozenset([*hashes, "x_hash"]))


@pytest.mark.parametrize(
    ("expected", "claims", "code"),
    [
        ("n", {"scope": "a"}, ""),
        ("n", {"client_id": "api"}, ""),
        (None, {}, ""),
        (None, {"scope": "a"}, "kind_mismatch"),
        (None, {"scp": ["a"]}, "kind_mismatch"),
        (None, {"client_id": "api"}, ""),
        (None, {"scope": "a", "at_hash": "x"}, ""),
        (None, {"nonce": None, "client_id": "api"}, "kind_mismatch"),
        (None, {"nonce": None}, ""),
    ],
)
def test_what_only_an_access_token_says(expected: str | None, claims: dict[str, Any], code: str) -> None:
    """Where no nonce was expected, scope marks an access token, and client_id does where no nonce is there at all."""
    changed = {name: value for name, value in {**GOOD, "nonce": "n", **claims}.items() if value is not None}
    said = ""
    try:
        check_id_token(
            changed, "RS256", None, client_ids=["api"], expectation=IdTokenExpectation(nonce=expected), now=NOW
        )
    except TokenValidationException as error:
        said = error.code
    assert said == code


def test_how_old_an_id_token_is_told() -> None:
    """The refusals of what is too old say by how much, and from when on it would be good."""
    with pytest.raises(TokenValidationException, match="400 s before the login") as caught:
        check_id_token(
            {**GOOD, "iat": WHEN - 400},
            "RS256",
            None,
            client_ids=["api"],
            expectation=IdTokenExpectation(asked_at=NOW),
            now=NOW,
        )
    assert caught.value.expected == f"at least {WHEN - 300}"
    claims = {**GOOD, "auth_time": WHEN - 500}
    with pytest.raises(TokenValidationException, match="500 s ago") as caught:
        check_id_token(claims, "RS256", None, client_ids=["api"], expectation=IdTokenExpectation(max_age=60.0), now=NOW)
    assert caught.value.expected == f"at least {WHEN - 60}"


@pytest.mark.parametrize(("years", "more", "good"), [(10, 0, True), (10, 1, False)])
def test_how_long_ago_a_login_may_be(years: int, more: int, good: bool) -> None:
    """At most ten years of 365 days may be asked for."""
    asked = years * 365 * 24 * 60 * 60 + more
    if good:
        assert IdTokenExpectation(max_age=asked).max_age == asked
        return
    with pytest.raises(ConfigurationException):
        IdTokenExpectation(max_age=asked)


@pytest.mark.parametrize(("asked", "good"), [(0, True), (0.5, True), (2**40, True), (-0.5, False), (2**40 + 1, False)])
def test_when_a_login_may_have_begun(asked: float, good: bool) -> None:
    """In seconds since 1970, from then on and for a long time."""
    if good:
        assert IdTokenExpectation(asked_at=asked).asked_at == asked
        return
    with pytest.raises(ConfigurationException):
        IdTokenExpectation(asked_at=asked)


@pytest.mark.parametrize("name", ["nonce", "access_token", "code", "state"])
@pytest.mark.parametrize("value", ["", 7, b"n"])
def test_what_is_expected_is_text(name: str, value: Any) -> None:
    """An expectation that is empty, or no text, would be none; it is refused when it is made."""
    with pytest.raises(ConfigurationException) as caught:
        IdTokenExpectation(**{name: value})
    assert caught.value.claim == name


@pytest.mark.parametrize(
    ("azp", "code"),
    [("api", ""), ("partner", ""), ("other", "authorized_party_mismatch"), (7, "authorized_party_mismatch")],
)
def test_who_asked_for_an_id_token(azp: Any, code: str) -> None:
    """OpenID Connect Core 3.1.3.7-5: the client itself, or a party that is named; nobody else."""
    said = ""
    try:
        check_id_token({**GOOD, "azp": azp}, "RS256", None, client_ids=["api"], authorized_parties=["partner"], now=NOW)
    except TokenValidationException as error:
        said = error.code
    assert said == code


@pytest.mark.parametrize(
    ("at_hash", "code"), [(half_hash("RS256", "t"), ""), ("other", "hash_mismatch"), (7, "hash_mismatch")]
)
def test_the_access_token_that_came_along(at_hash: Any, code: str) -> None:
    """OpenID Connect Core 3.2.2.9: at_hash is that token's, or the ID token is refused."""
    assert id_token_said(IdTokenExpectation(access_token="t"), at_hash=at_hash) == code


def test_a_stranger_in_the_audience_is_named() -> None:
    """OpenID Connect Core 3.1.3.7-3: of several audiences that are not trusted the first one is told."""
    claims = {**GOOD, "aud": ["api", "eve", "mallory"]}
    with pytest.raises(TokenValidationException, match="'eve'") as caught:
        check_id_token(claims, "RS256", None, client_ids=["api"], now=NOW)
    assert (caught.value.code, caught.value.actual) == ("audience_untrusted", "eve")


def test_each_hash_is_compared() -> None:
    """A hash of what did not come along is passed over, and the next one is compared all the same."""
    assert id_token_said(IdTokenExpectation(code="c"), at_hash="x", c_hash="wrong") == "hash_mismatch"
    assert id_token_said(IdTokenExpectation(code="c"), c_hash="wrong") == "hash_mismatch"
    assert id_token_said(IdTokenExpectation(state="s"), at_hash="x", c_hash="y", s_hash="wrong") == "hash_mismatch"


def test_an_expectation_does_not_change() -> None:
    """What a login expects is named, and stays as it was."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        IdTokenExpectation().nonce = "n"  # type: ignore[misc]
    assert not hasattr(IdTokenExpectation(), "__dict__")
    assert "canary" not in repr(
        IdTokenExpectation(nonce="canary", access_token="canary", code="canary", state="canary")
    )
    with pytest.raises(TypeError):
        IdTokenExpectation("n")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("first", "refreshed", "good"),
    [
        ({}, {}, True),
        ({"aud": ["api"]}, {"aud": "api"}, True),
        ({"aud": ["api", "other"]}, {"aud": ["other", "api"]}, True),
        ({"aud": ["api", "other"]}, {"aud": "api"}, True),
        ({"aud": "api"}, {"aud": ["api", "other"]}, False),
        ({"aud": "api"}, {"aud": "apis"}, False),
        ({"aud": "ab"}, {"aud": "a"}, False),
        ({}, {"aud": []}, False),
        ({}, {"aud": None}, False),
        ({}, {"iat": WHEN - 10}, True),
        ({}, {"iat": WHEN - 11}, False),
        ({}, {"sub": "mallory"}, False),
        ({}, {"iss": "https://other.example.com"}, False),
        ({"azp": "api"}, {}, True),
        ({"azp": "api"}, {"azp": "other"}, False),
        ({}, {"azp": "api"}, False),
        ({"auth_time": 1}, {}, True),
        ({}, {"auth_time": 1}, True),
        ({"auth_time": 1}, {"auth_time": 2}, False),
        ({"nonce": "n"}, {}, True),
        ({"nonce": "n"}, {"nonce": "n"}, True),
        ({"nonce": "n"}, {"nonce": "m"}, False),
        ({}, {"nonce": "n"}, False),
    ],
)
def test_a_refreshed_id_token(first: dict[str, Any], refreshed: dict[str, Any], good: bool) -> None:
    """OpenID Connect Core 12.2: the same issuer, user, audience and login as before, and not from an earlier time."""
    before, after = {**GOOD, **first}, {**GOOD, **refreshed}
    if good:
        check_refreshed_id_token(before, after)
        return
    with pytest.raises(TokenValidationException) as caught:
        check_refreshed_id_token(before, after)
    assert caught.value.code == "refresh_mismatch"
