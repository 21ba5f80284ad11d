"""Eight signatures at once say what one alone says, in every lane, beside good neighbours and bad ones.

More of it by the environment: LANE_MUTATIONS, the number of mutated signatures; the programs ``lane_mutations.py`` and
``lane_vectors.py`` beside this file go on for as long as asked, and take the signatures of Wycheproof.
"""

from __future__ import annotations

import base64
import functools
import importlib
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apis import ISSUER, NOW
from py_identity_model import TokenValidator
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model._core.validation.engine import NativeEngine, select_engine
from py_identity_model.settings import reset_settings

MUTATIONS = int(os.environ.get("LANE_MUTATIONS", "6000"))
#: Kinds whose keys are made quickly; the long form has those of RSA-3072 and RSA-4096 as well.
QUICK = ("rsa-2048", "p-256", "p-384", "p-521", "ed25519") if MUTATIONS < 100_000 else ()
ALGORITHMS = ("RS256", "PS256", "RS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
needs_lanes = pytest.mark.needs("eight lanes")


def native() -> Any:
    return importlib.import_module("py_identity_model_native._native")


@functools.cache
def keyed(alg: str, number: int) -> tuple[Any, Any]:
    """Return a pair of keys: the private one, and the native engine's."""
    private = SigningKey.generate(alg, kid=f"{alg}-{number}")
    public = prepare(import_key(private.public_jwk or {}), alg)
    return private, native().Key(alg, public.spki)


def token(alg: str, number: int, *, good: bool = True) -> tuple[Any, str]:
    """Return a key and a token; a bad one has another token's signature."""
    private, key = keyed(alg, number % 2)
    text = sign_compact({"iss": ISSUER, "jti": number}, private)
    other = text if good else sign_compact({"iss": ISSUER, "jti": -1}, private)
    return key, f"{text.rpartition('.')[0]}.{other.rpartition('.')[2]}"


def opened(jobs: list[tuple[Any, str]], *, multibuffer: bool, threads: int = 1) -> list[bool]:
    """Open tokens as a batch, and say which were good."""
    keys, tokens = zip(*jobs, strict=True)
    answers = native().open_many(keys, tokens, threads, multibuffer=multibuffer)
    return [answer is not None for answer in answers]


# ---- what the lanes say


@needs_lanes
def test_mutations() -> None:
    """Mutated signatures, keys and messages: a lane says what AWS-LC says alone, and what ``cryptography`` says."""
    program = importlib.import_module("lane_mutations")
    tally = program.run(MUTATIONS, seed=random.SystemRandom().getrandbits(32), only=QUICK, keys=1)
    judged = {name: tally[f"{name} True"] and tally[f"{name} False"] for name in QUICK or program.KINDS}
    assert all(judged.values()), "no verdicts, so nothing was compared"


@needs_lanes
def test_vectors_in_every_lane(vectors: Path) -> None:
    """Wycheproof's tokens, each in every lane, beside good ones and bad ones."""
    programs = importlib.import_module("lane_vectors")
    cases, judged = list(programs.cases_of_tokens(vectors / "wycheproof/json_web_signature_test.json")), 0
    for case in cases:
        alike = [each for each in cases if each.key.alg == case.key.alg and len(each.signature) == len(case.signature)]
        verdict, _ = programs.in_every_lane(case, alike)
        judged += verdict is not None
    assert judged > 200


@needs_lanes
@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_good_signatures_are_judged_in_lanes(alg: str) -> None:
    """Every lane finds a good signature good, and one bit of it or of the message makes that lane bad and no other."""
    jobs = []
    for number in range(8):
        key, text = token(alg, number)
        head, _, tail = text.rpartition(".")
        jobs.append((key, head.encode(), base64.urlsafe_b64decode(tail + "==")))
    assert native().judge(jobs) == [True] * 8
    for lane, (key, message, signature) in enumerate(jobs):
        expected = [other != lane for other in range(8)]
        # The last octet of R, S, r and s is low enough in all of them for the numbers to stay in their ranges.
        flipped = bytearray(signature)
        flipped[len(signature) // 2 - 1] ^= 1
        for changed in ((key, message, bytes(flipped)), (key, message + b"x", signature)):
            assert native().judge([*jobs[:lane], changed, *jobs[lane + 1 :]]) == expected


@needs_lanes
def test_the_edges_of_ed25519() -> None:
    """S that is not less than L, and keys of small order or in another encoding, are AWS-LC's to judge."""
    edwards, mutations = (importlib.import_module(name) for name in ("edwards", "lane_mutations"))
    signer = mutations.Signer("Ed25519", mutations.private_key("Ed25519", 0))
    signature = signer.sign(b"message")
    s = int.from_bytes(signature[32:], "little")
    good = (signer.native, b"message", signature)
    for times in range(1, 16):
        more = (s + times * edwards.ORDER).to_bytes(32, "little")
        assert native().judge([good, (signer.native, b"message", signature[:32] + more), good]) == [True, None, True]
        assert not signer.native.verify(b"message", signature[:32] + more)
    assert len(edwards.SMALL_ENCODINGS) == 14
    for octets in edwards.SMALL_ENCODINGS:
        key = mutations.GivenKey(octets).native
        for point in edwards.SMALL_ENCODINGS:
            assert native().judge([(key, b"message", point + bytes(32)), good]) == [None, True]
            assert native().judge([(signer.native, b"message", point + signature[32:]), good]) == [False, True]


@needs_lanes
def test_keys_of_a_group_are_of_one_kind() -> None:
    """Nine jobs, or keys of two kinds, are no group; a signature of another length is not judged."""
    (rsa, _), (ec, _) = (token(alg, 0) for alg in ("RS256", "ES256"))
    for jobs in ([(ec, b"", bytes(64))] * 9, [(ec, b"", bytes(64)), (rsa, b"", bytes(256))]):
        with pytest.raises(ValueError, match="of one kind and size"):
            native().judge(jobs)
    assert native().judge([(ec, b"", bytes(63)), (rsa, b"", bytes(255))]) == [None, None]
    assert native().judge([]) == []


@pytest.mark.needs("native engine")
def test_points_off_the_curve_are_no_keys() -> None:
    """What the lanes take for granted, AWS-LC sees to: a point lies on its curve, in its one encoding."""
    for alg in ("ES256", "ES384", "ES512"):
        spki = prepare(import_key(keyed(alg, 0)[0].public_jwk or {}), alg).spki
        for changed in (spki[:-1] + bytes([spki[-1] ^ 1]), spki[:-2] + bytes(2)):
            with pytest.raises(ValueError, match="another key"):
                native().Key(alg, changed)


# ---- batches


@needs_lanes
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_of_every_mixture(threads: int) -> None:
    """Whatever algorithms, keys and sizes are mixed, verdicts stand at their tokens' places."""
    dice = random.Random(threads)
    jobs, expected = [], []
    for number in range(150):
        good = dice.random() < 0.7
        jobs.append(token(dice.choice(ALGORITHMS), number, good=good))
        expected.append(good)
    for size in (*range(1, 28), 64, 150):
        start = dice.randrange(150 - size + 1)
        part, wanted = jobs[start : start + size], expected[start : start + size]
        assert opened(part, multibuffer=True, threads=threads) == wanted
        assert opened(part[:12], multibuffer=False, threads=threads) == wanted[:12]


@needs_lanes
def test_large_rsa_keys_and_other_exponents() -> None:
    """Moduli of 3,072 and 4,096 bits have lanes; 2,056 bits and e = 3 do not, and are judged all the same."""
    mutations = importlib.import_module("lane_mutations")
    rsa = importlib.import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    for bits, exponent, lanes in ((3072, 65537, True), (4096, 65537, True), (2056, 65537, False), (2048, 3, False)):
        signer = mutations.Signer("RS256", rsa.generate_private_key(exponent, bits))
        good = (signer.native, b"message", signer.sign(b"message"))
        bad = (signer.native, b"other", good[2])
        assert native().judge([good, bad] * 4) == ([True, False] if lanes else [None, None]) * 4
        assert signer.native.verify(*good[1:])


# ---- the switch


@pytest.mark.parametrize("told", ["auto", "off"])
def test_the_switch(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """PY_IDENTITY_MODEL_MULTIBUFFER=off has signatures verified one by one, and ``health`` says so."""
    monkeypatch.setitem(sys.modules, "py_identity_model_native", SimpleNamespace(MULTIBUFFER=True))
    monkeypatch.setenv("PY_IDENTITY_MODEL_MULTIBUFFER", told)
    reset_settings()
    key = keyed_by_python()
    assert TokenValidator(ISSUER, "api", keys=key, engine="native").health().multibuffer is (told == "auto")
    assert TokenValidator(ISSUER, "api", keys=key, engine="pure").health().multibuffer is False


@functools.cache
def keyed_by_python() -> dict[str, Any]:
    return dict(SigningKey.generate("ES256", kid="k1").public_jwk or {})


def test_a_processor_without_lanes() -> None:
    """Where the native engine has no lanes none are used, whatever the switch says."""
    assert not NativeEngine(SimpleNamespace(MULTIBUFFER=False)).multibuffer
    assert not NativeEngine(SimpleNamespace(MULTIBUFFER=True), multibuffer=False).multibuffer
    assert not select_engine("pure").multibuffer


@needs_lanes
@pytest.mark.parametrize("multibuffer", ["auto", "off"])
def test_validate_many_gives_the_same_either_way(monkeypatch: pytest.MonkeyPatch, clock: Any, multibuffer: str) -> None:
    """A batch with bad signatures in it comes out the same with lanes and without."""
    monkeypatch.setenv("PY_IDENTITY_MODEL_MULTIBUFFER", multibuffer)
    reset_settings()
    private = keyed("ES256", 0)[0]
    claims = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 600}
    tokens = [sign_compact({**claims, "jti": str(number)}, private) for number in range(40)]
    tokens[9] = tokens[9].rpartition(".")[0] + "." + tokens[8].rpartition(".")[2]
    validator = TokenValidator(ISSUER, "api", keys=private.public_jwk, engine="native")
    assert validator.health().multibuffer is (multibuffer == "auto")
    outcomes = validator.validate_many(tokens)
    assert [getattr(outcome, "code", "") for outcome in outcomes] == [""] * 9 + ["signature_invalid"] + [""] * 30


@needs_lanes
def test_a_few_tokens(clock: Any) -> None:
    """A few tokens are judged as each would be alone, whatever is among them."""
    private = keyed("ES256", 0)[0]
    claims = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 600}
    tokens: list[Any] = [sign_compact({**claims, "jti": str(number)}, private) for number in range(16)]
    validator = TokenValidator(ISSUER, "api", keys=private.public_jwk, engine="native")
    assert validator.validate_many(tokens) == [validator.validate(token) for token in tokens]
    for size in range(1, 16):
        assert validator.validate_many(tokens[:size]) == [validator.validate(token) for token in tokens[:size]]
    tokens[3], tokens[5], tokens[9] = None, tokens[4], "no.token.either"
    outcomes = validator.validate_many(tokens)
    assert [at for at, outcome in enumerate(outcomes) if not isinstance(outcome, dict)] == [3, 9]
