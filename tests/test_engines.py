"""Both engines give the verdicts of a slow, obvious reference, with the same codes, on a hostile corpus."""

from __future__ import annotations

import base64
import functools
import importlib.util
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apis import ISSUER, NOW
from parts import ENGINES
from py_identity_model import TokenValidator, TrustedIssuer
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import PyIdentityModelException
from reference_validator import judge

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", "ML-DSA-65", "HS256")
#: The algorithms that the hostile payloads are signed with: one per shape of signature.
SHAPES = ("RS256", "ES256", "ES512", "Ed25519", "Ed448", "HS256")
SECRET = bytes(range(32))
NATIVE = importlib.util.find_spec("py_identity_model_native") is not None


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def signing_key(alg: str) -> SigningKey:
    return SigningKey.from_secret(SECRET, alg, "k1") if alg == "HS256" else SigningKey.generate(alg, "k1")


def signed(alg: str, payload: bytes, header: bytes | None = None) -> str:
    """Sign any octets under any header."""
    if header is None:
        header = json.dumps({"alg": alg, "kid": "k1"}).encode()
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(signing_key(alg).sign(signing_input.encode()))}"


def claims(**changes: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 600, **changes}


def payload(**changes: Any) -> bytes:
    return json.dumps(claims(**changes), separators=(",", ":")).encode()


def with_text(text: str) -> bytes:
    """Return a good payload with *text* as further members."""
    return payload()[:-1] + b"," + text.encode("utf-8", "surrogatepass") + b"}"


@functools.cache
def validator(engine: str, alg: str) -> TokenValidator:
    key = signing_key(alg)
    secret = {"kty": "oct", "k": b64(SECRET), "kid": "k1", "alg": alg}
    jwk = secret if key.public_jwk is None else {**key.public_jwk, "kid": "k1", "alg": alg}
    return TokenValidator(ISSUER, "api", keys={"keys": [jwk]}, algorithms=[alg], engine=engine)


def verdict(engine: str, alg: str, token: Any) -> tuple[str, Any]:
    return judged(validator(engine, alg), token)


def hold(engine: str, alg: str, name: str, token: Any) -> tuple[str, Any]:
    """Hold an engine against the reference, on the careful path and, if there is a way there, on the warm one."""
    key = SECRET if alg == "HS256" else signing_key(alg)._private.public_key()
    expected = judge(token, key, alg, issuer=ISSUER, audience="api", now=NOW)
    for time in ("first", "second"):
        assert verdict(engine, alg, token) == expected, f"{name}, the {time} time"
    return expected


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, clock: Any) -> str:
    return str(request.param)


# ---- tokens that were changed on their way


def spoiled(token: str) -> Iterator[tuple[str, str]]:
    """Change the text of a good token in every way that parsers are known to overlook."""
    header, body, signature = token.split(".")
    for end in (0, 1, len(header), len(header) + 1, len(header) + 1 + len(body), len(token) - 1, len(token) - 2):
        yield f"cut at {end}", token[:end]
    for extra in ("=", "==", "A", ".", ".A", "..", " ", "\n", "\0", "\u00e9", "\ud800", "+", "/", '"', "\\", "\\u0041"):
        yield f"{extra!r} at the end", token + extra
        yield f"{extra!r} in front", extra + token
        yield f"{extra!r} after the header", f"{header}{extra}.{body}.{signature}"
        yield f"{extra!r} after the payload", f"{header}.{body}{extra}.{signature}"
        yield f"{extra!r} in the payload", f"{header}.{body[:8]}{extra}{body[8:]}.{signature}"
        yield f"{extra!r} in the signature", f"{header}.{body}.{signature[:8]}{extra}{signature[8:]}"
    for name, segments in (
        ("no header", ("", body, signature)),
        ("no payload", (header, "", signature)),
        ("no signature", (header, body, "")),
        ("segments swapped", (header, signature, body)),
        ("header twice", (header, header, body, signature)),
        ("five segments", (header, "", body, signature, "")),
    ):
        yield name, ".".join(segments)
    for part, place in ((header, 0), (body, 1), (signature, 2)):
        segments = [header, body, signature]
        for other in "ABQgw9-_":
            segments[place] = part[:-1] + other
            yield f"segment {place} ends in {other}", ".".join(segments)
        segments[place] = part.replace("-", "+").replace("_", "/")
        yield f"segment {place} in the other alphabet", ".".join(segments)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_changed_token_meets_the_same_fate_everywhere(engine: str, alg: str) -> None:
    """Cuts, additions, other spellings of the same octets: refused alike, before and after the header is known."""
    token = signed(alg, payload())
    assert hold(engine, alg, "good", token)[0] == "claims"
    accepted = [name for name, text in spoiled(token) if text != token and hold(engine, alg, name, text)[0] == "claims"]
    assert accepted == []


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_random_changes_meet_the_same_fate_everywhere(engine: str, alg: str) -> None:
    """Any character, anywhere, becomes another: the verdict is the reference's."""
    token, dice = signed(alg, payload(jti="x")), random.Random(alg)
    characters = 'ABab01-_.=+/ "\\\u00e9'
    for number in range(60):
        place = dice.randrange(len(token))
        text = token[:place] + dice.choice(characters) + token[place + dice.randrange(2) :]
        hold(engine, alg, f"change {number} at {place}", text)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "ES256K"])
def test_odd_ecdsa_signatures_meet_the_same_fate_everywhere(engine: str, alg: str) -> None:
    """Zero, the order, numbers beyond it, DER and other lengths are no signatures (RFC 7518 3.4)."""
    token = signed(alg, payload())
    assert hold(engine, alg, "good", token)[0] == "claims"
    signing_input, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    size = len(raw) // 2
    r, s, zero, full = raw[:size], raw[size:], bytes(size), b"\xff" * size
    one = zero[:-1] + b"\1"
    odd = [zero + zero, zero + s, r + zero, full + s, r + full, one + one, raw + b"\0", b"\0" + raw, raw[:-1], r, b""]
    odd += [b"\x30\x06\x02\x01\x01\x02\x01\x01", s + r, b"\0" + r + b"\0" + s]
    for number, octets in enumerate(odd):
        assert hold(engine, alg, f"signature {number}", f"{signing_input}.{b64(octets)}")[0] == "refused"


@pytest.mark.parametrize("alg", ["RS256", "PS256", "Ed25519", "Ed448", "ML-DSA-65", "HS256"])
def test_signatures_of_another_length_meet_the_same_fate_everywhere(engine: str, alg: str) -> None:
    """A signature has exactly the octets of its algorithm and key."""
    token = signed(alg, payload())
    assert hold(engine, alg, "good", token)[0] == "claims"
    signing_input, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    odd = (raw[:-1], raw + b"\0", b"\0" + raw, b"", bytes(len(raw)), b"\xff" * len(raw), raw * 2)
    for number, octets in enumerate(odd):
        assert hold(engine, alg, f"signature {number}", f"{signing_input}.{b64(octets)}")[0] == "refused"


# ---- what an issuer signed, and should not have

PAYLOADS: dict[str, bytes] = {
    "a member twice": with_text('"a":1,"a":1'),
    "a member twice, other value": with_text('"sub":"eve"'),
    "a member twice, escaped": with_text('"\\u0073ub":"eve"'),
    "a member twice, quotes balanced": with_text('"b":"\\u0022\\u0022","a":1,"a":2'),
    "a member twice inside": with_text('"a":{"b":[{"c":1,"c":1}]}'),
    "a member twice in an array": with_text('"a":[[{"":"","":""}]]'),
    "the same name in two objects": with_text('"a":{"b":1},"c":{"b":1},"b":1'),
    "escapes": with_text('"a":"\\u00e9\\n\\/\\"\\\\"'),
    "a pair of surrogates": with_text('"a":"\\ud83d\\ude00"'),
    "a lone surrogate": with_text('"a":"\\ud83d"'),
    "a lone low surrogate": with_text('"a":"\\ude00\\ud83d"'),
    "surrogates in UTF-8": with_text('"a":"\ud83d"'),
    "a lone surrogate as a name": with_text('"\\ud83d":1'),
    "non-ASCII": with_text('"name":"Ad\u00e9le \u4e2d \U0001f600"'),
    "overlong UTF-8": payload()[:-1] + b',"a":"\xc0\xaf"}',
    "cut UTF-8": payload()[:-1] + b',"a":"\xc3"}',
    "latin-1": payload()[:-1] + b',"a":"\xe9"}',
    "a byte order mark": b"\xef\xbb\xbf" + payload(),
    "UTF-16": payload().decode().encode("utf-16"),
    "white space": b" \t\r\n" + json.dumps(claims(), indent=1).encode() + b"\n ",
    "a form feed": b"\x0c" + payload(),
    "a control character": with_text('"a":"\x01"'),
    "a tab in a string": with_text('"a":"\t"'),
    "NUL": with_text('"a":"\0"'),
    "DEL": with_text('"a":"\x7f"'),
    "NaN": with_text('"a":NaN'),
    "infinity": with_text('"a":-Infinity'),
    "1e400": with_text('"a":1e400'),
    "-1e400": with_text('"a":-1e400'),
    "1e-400": with_text('"a":1e-400'),
    "a long integer": with_text('"a":' + "9" * 40),
    "a longer integer": with_text('"a":' + "9" * 400),
    "an integer too long": with_text('"a":' + "9" * 401),
    "2**63": with_text('"a":9223372036854775808'),
    "2**64": with_text('"a":18446744073709551616'),
    "-2**63-1": with_text('"a":-9223372036854775809'),
    "a leading zero": with_text('"a":01'),
    "minus zero": with_text('"a":-0'),
    "minus zero point": with_text('"a":-0.0'),
    "minus alone": with_text('"a":-'),
    "a plus": with_text('"a":+1'),
    "a bare point": with_text('"a":.5'),
    "a point at the end": with_text('"a":5.'),
    "an exponent": with_text('"a":5E+2'),
    "hexadecimal": with_text('"a":0x10'),
    "a comma too many": payload()[:-1] + b",}",
    "a comma too many in an array": with_text('"a":[1,]'),
    "single quotes": with_text("'a':1"),
    "a comment": with_text('"a":1/**/'),
    "True": with_text('"a":True'),
    "something after it": payload() + b"x",
    "another object after it": payload() + b"{}",
    "an array": b"[" + payload() + b"]",
    "a string": b'"x"',
    "null": b"null",
    "nothing": b" ",
    "an empty object": b"{}",
    "an empty name": with_text('"":1'),
    "a long name": with_text('"' + "n" * 5000 + '":1'),
    "brackets in strings": with_text('"a":"' + "[{" * 40 + '"'),
    **{f"arrays, {n} deep": with_text('"a":' + "[" * n + "]" * n) for n in (6, 7, 8, 31, 32, 33, 500)},
    **{f"objects, {n} deep": with_text('"a":' + '{"a":' * n + "1" + "}" * n) for n in (6, 7, 8, 31, 32, 33, 500)},
    "siblings": with_text('"a":[' + ",".join(["{}", "[]"] * 40) + "]"),
    "many members": with_text(",".join(f'"c{number}":{number}' for number in range(300))),
    "many members, one twice": with_text(",".join(f'"c{number}":{number}' for number in [*range(300), 150])),
}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, "", "api", "x", [], {}, ["api"], ["x", "api"], ["x"], ["api", 1], ["api", ""]),
    *([["api"]], {"api": 1}, ISSUER, [ISSUER], ISSUER + "/", ISSUER.upper(), "s" * 255, "s" * 256, "\u00e9" * 255),
    *(NOW - 1, NOW, NOW + 1, NOW + 10, NOW + 11, NOW + 0.5, NOW + 10.5, -NOW, 10**12, 10**12 + 1, -(10**12) - 1),
    *(10**30, 1e15, str(NOW + 60), [NOW + 60]),
]
NAMES = ("iss", "aud", "exp", "nbf", "iat", "sub", "jti", "nonce", "events", "scope")


@pytest.mark.parametrize("alg", SHAPES)
def test_what_an_issuer_signs_is_read_the_same_everywhere(engine: str, alg: str) -> None:
    """Duplicate members, odd numbers, encodings and depths: the reference's verdict, and its very claims."""
    hold(engine, alg, "good", signed(alg, payload()))
    for name, data in PAYLOADS.items():
        hold(engine, alg, name, signed(alg, data))


@pytest.mark.parametrize("alg", ["ES256", "HS256"])
def test_every_claim_is_judged_the_same_everywhere(engine: str, alg: str) -> None:
    """Each registered claim with each odd value, and without it."""
    hold(engine, alg, "good", signed(alg, payload()))
    for name in NAMES:
        without = {key: value for key, value in claims().items() if key != name}
        hold(engine, alg, f"no {name}", signed(alg, json.dumps(without).encode()))
        for value in ODD:
            hold(engine, alg, f"{name}={value!r:.40}", signed(alg, payload(**{name: value})))


HEADERS: dict[str, Any] = {
    "no kid": {},
    "another kid": {"kid": "k2"},
    "an empty kid": {"kid": ""},
    "a number as kid": {"kid": 1},
    "a long kid": {"kid": "k" * 1025},
    "typ JWT": {"kid": "k1", "typ": "JWT"},
    "typ at+jwt": {"kid": "k1", "typ": "application/at+jwt"},
    "typ of another kind": {"kid": "k1", "typ": "logout+jwt"},
    "an empty typ": {"kid": "k1", "typ": ""},
    "typ null": {"kid": "k1", "typ": None},
    "crit": {"kid": "k1", "crit": ["exp"]},
    "an empty crit": {"kid": "k1", "crit": []},
    "b64": {"kid": "k1", "b64": True},
    "cty JWT": {"kid": "k1", "cty": "JWT"},
    "cty": {"kid": "k1", "cty": "json"},
    "alg none": {"alg": "none"},
    "alg in lower case": {"alg": "es256"},
    "another alg": {"alg": "RS512", "kid": "k1"},
    "alg null": {"alg": None},
    "alg a list": {"alg": ["ES256"]},
    "a key of its own": {"kid": "k1", "jwk": {"kty": "oct", "k": "AAAA"}},
    "an address": {"kid": "k1", "jku": "https://evil.example", "x5u": "https://evil.example"},
}
RAW_HEADERS = (
    b'{"alg":"%b","alg":"%b"}',
    b'{"alg":"%b","kid":"k1","kid":"k%b"}',
    b'[{"alg":"%b%b"}]',
    b'{"alg":"%b%b"',
)


@pytest.mark.parametrize("alg", SHAPES)
def test_every_header_is_judged_the_same_everywhere(engine: str, alg: str) -> None:
    """Headers decide nothing that they should not, before and after a good one is remembered."""
    hold(engine, alg, "good", signed(alg, payload()))
    for name, changes in HEADERS.items():
        header = {"alg": alg, **changes}
        if header["alg"] is None:
            del header["alg"]
        hold(engine, alg, name, signed(alg, payload(), json.dumps(header).encode()))
    for raw in RAW_HEADERS:
        hold(engine, alg, repr(raw), signed(alg, payload(), raw % (alg.encode(), b"1")))


def test_what_is_no_text_is_refused_the_same_everywhere(engine: str) -> None:
    """A token is a str; bytes, None and numbers are malformed."""
    for token in (None, b"a.b.c", 1, 1.5, ["a.b.c"], object()):
        hold(engine, "ES256", repr(token), token)


def test_a_token_may_be_so_large_and_no_larger(engine: str) -> None:
    """65,536 characters pass, one more does not."""
    fill = 65536
    while len(token := signed("Ed25519", payload(x="y" * fill))) > 65536:
        fill -= max((len(token) - 65536) * 3 // 4, 1)
    assert hold(engine, "Ed25519", "large", token)[0] == "claims"
    assert hold(engine, "Ed25519", "too large", token + "A" * (65537 - len(token)))[1] == "token_too_large"


def test_keys_are_not_confused(engine: str) -> None:
    """A good signature by another algorithm's or another issuer's key opens nothing."""
    for alg in SHAPES:
        hold(engine, alg, "good", signed(alg, payload()))
        for other in SHAPES:
            if other != alg:
                forged = signed(other, payload(), json.dumps({"alg": alg, "kid": "k1"}).encode())
                assert hold(engine, alg, f"signed by the key of {other}", forged) == ("refused", "signature_invalid")


# ---- several issuers, whose keys have the same name, under the same header

OTHER = "https://other.example.com"


@functools.cache
def another_key(alg: str) -> SigningKey:
    return SigningKey.generate(alg, "k1")


def crowd(engine: str, alg: str) -> TokenValidator:
    """Return a validator of two issuers that has seen no token yet."""
    keys = {ISSUER: signing_key(alg), OTHER: another_key(alg)}
    trusted = [TrustedIssuer(name, keys={**(key.public_jwk or {}), "alg": alg}) for name, key in keys.items()]
    return TokenValidator(trusted, "api", algorithms=[alg], engine=engine)


def by(key: SigningKey, alg: str, body: str) -> str:
    """Sign what is written as the payload's segment."""
    signing_input = f"{b64(json.dumps({'alg': alg, 'kid': 'k1'}).encode())}.{body}"
    return f"{signing_input}.{b64(key.sign(signing_input.encode()))}"


def hostile_among_issuers(alg: str) -> Iterator[tuple[str, str]]:
    yield from spoiled(signed(alg, payload()))
    yield from ((name, signed(alg, data)) for name, data in PAYLOADS.items())
    body, others = b64(payload()), b64(payload(iss=OTHER))
    for name, segment in (("own", body), ("another's", others)):
        for signer in (signing_key(alg), another_key(alg)):
            yield (
                f"{name} payload, by {'own' if signer is signing_key(alg) else 'another'} key",
                by(signer, alg, segment),
            )
    for segment in (
        f"{body}.",
        f".{body}",
        f"{body}.{others}",
        f"{others}.{body}",
        body + "=",
        f"{body[:9]}.{body[9:]}",
    ):
        yield f"signed as {segment[:12]}", by(signing_key(alg), alg, segment)
    for twice in ((ISSUER, OTHER), (OTHER, ISSUER)):
        data = payload(iss=twice[0])[:-1] + f',"iss":"{twice[1]}"}}'.encode()
        yield f"named twice, {twice[0]} first", by(signing_key(alg), alg, b64(data))


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_token_of_one_of_several_issuers_meets_the_fate_it_had_at_first(engine: str, alg: str) -> None:
    """The issuer it names chooses the keys and nothing else, and what was decoded to find it is what was signed."""
    known = crowd(engine, alg)
    for key, name in ((signing_key(alg), ISSUER), (another_key(alg), OTHER)):
        for _ in range(2):
            assert known.validate(by(key, alg, b64(payload(iss=name))))["iss"] == name
    accepted = set()
    for name, token in hostile_among_issuers(alg):
        found = judged(known, token)
        assert found == judged(crowd(engine, alg), token), name
        accepted |= {name} if found[0] == "claims" else set()
    assert {name for name in accepted if "payload, by" in name} == {
        "own payload, by own key",
        "another's payload, by another key",
    }
    assert not any("named twice" in name or "signed as" in name for name in accepted)


def judged(validator: TokenValidator, token: str) -> tuple[str, Any]:
    try:
        return "claims", validator.validate(token)
    except PyIdentityModelException as error:
        return "refused", error.code


# ---- payloads that nobody thought of

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([NOW, NOW - 1, NOW + 1, NOW + 10, NOW + 11, 10**12, 10**12 + 1, 10**17, 10**18, 10**19, 0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["api", ISSUER, "ada"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(NAMES) | st.text(max_size=4)
layouts = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])


@given(st.lists(st.tuples(names, values), max_size=5), st.booleans(), layouts, st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_payload_is_read_the_same_everywhere(
    clock: Any, members: list[tuple[str, Any]], ascii_only: bool, layout: tuple[str, str], twice: bool
) -> None:
    """Whatever JSON an issuer writes, however it is laid out, both engines say what the reference says."""
    comma, colon = layout
    # Written member by member, so that names may come twice; without it, the last one stays.
    pairs = [*claims().items(), *members] if twice else list({**claims(), **dict(members)}.items())
    texts = [
        json.dumps(name, ensure_ascii=ascii_only)
        + colon
        + json.dumps(value, ensure_ascii=ascii_only, separators=layout)
        for name, value in pairs
    ]
    token = signed("HS256", ("{" + comma.join(texts) + "}").encode("utf-8", "surrogatepass"))
    for engine in ("pure", "native") if NATIVE else ("pure",):
        hold(engine, "HS256", "good", signed("HS256", payload()))
        hold(engine, "HS256", "any", token)
