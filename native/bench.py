"""Measure the native engine against the bare `cryptography` verify of the same signature.

All candidates take turns in one process, so that only the ratios mean anything. Run it where the wheel, `cryptography`
and `msgspec` are installed; `ryjwt` joins in when it is there.

    python bench.py [--quick] [--batch 1000] [ALGORITHM ...]
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable

import msgspec
import py_identity_model_native as native
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

try:
    import ryjwt
except ImportError:
    ryjwt = None

NOW = int(time.time())
CLAIMS = {
    "iss": "https://issuer.example",
    "aud": "api://orders",
    "sub": "248289761001",
    "exp": NOW + 3600,
    "nbf": NOW - 10,
    "iat": NOW - 10,
    "jti": "0f4b2c0e-5d0e-4f4e-9d53-6d6b0a0f7a11",
    "scope": "orders.read orders.write profile",
    "client_id": "web-shop",
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "auth_time": NOW - 20,
}
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], None]


def _rsa(bits: int, pad: padding.AsymmetricPadding) -> tuple[object, Sign, Callable[[object], Verify]]:
    key = rsa.generate_private_key(65537, bits)
    return (
        key,
        lambda message: key.sign(message, pad, hashes.SHA256()),
        lambda public: lambda signature, message: public.verify(signature, message, pad, hashes.SHA256()),
    )


def _ecdsa(curve: ec.EllipticCurve, digest: hashes.HashAlgorithm) -> tuple[object, Sign, Callable[[object], Verify]]:
    key = ec.generate_private_key(curve)
    width = (curve.key_size + 7) // 8

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")

    scheme = ec.ECDSA(digest)
    return key, sign, lambda public: lambda signature, message: public.verify(signature, message, scheme)


def _plain(key: object) -> tuple[object, Sign, Callable[[object], Verify]]:
    return key, key.sign, lambda public: public.verify


CASES = {
    "RS256": lambda: _rsa(2048, padding.PKCS1v15()),
    "RS256-4096": lambda: _rsa(4096, padding.PKCS1v15()),
    "PS256": lambda: _rsa(2048, PSS),
    "ES256": lambda: _ecdsa(ec.SECP256R1(), hashes.SHA256()),
    "ES384": lambda: _ecdsa(ec.SECP384R1(), hashes.SHA384()),
    "EdDSA": lambda: _plain(ed25519.Ed25519PrivateKey.generate()),
    "ML-DSA-65": lambda: _plain(mldsa.MLDSA65PrivateKey.generate()),
}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Case:
    """One algorithm: a token, its parts, and the keys of every candidate."""

    def __init__(self, name: str, claims: dict[str, object]) -> None:
        self.alg = name.removesuffix("-4096")
        private, self.sign, floor = CASES[name]()
        public = private.public_key()
        self.header = b64(json.dumps({"alg": self.alg, "kid": "k1", "typ": "JWT"}).encode())
        self.claims = claims
        self.token = self.make(claims)
        signing_input, _, signature = self.token.rpartition(".")
        self.signing_input = signing_input.encode()
        self.signature = base64.urlsafe_b64decode(signature + "==")
        self.floor_signature = self.signature
        if self.alg.startswith("ES"):
            half = len(self.signature) // 2
            r, s = (int.from_bytes(part, "big") for part in (self.signature[:half], self.signature[half:]))
            self.floor_signature = encode_dss_signature(r, s)
        self.floor = floor(public)
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key = native.Key(self.alg, spki)
        self.peer = self._peer()

    def make(self, claims: dict[str, object]) -> str:
        signing_input = f"{self.header}.{b64(json.dumps(claims).encode())}"
        return f"{signing_input}.{b64(self.sign(signing_input.encode()))}"

    def _peer(self) -> object | None:
        if ryjwt is None:
            return None
        try:
            return ryjwt.PublicKey(
                self.pem.decode(), algorithms=[self.alg], audience=CLAIMS["aud"], issuer=CLAIMS["iss"]
            )
        except Exception as error:  # whatever the peer raises for an algorithm it lacks, it is left out
            print(f"ryjwt left out of {self.alg}: {error}", file=sys.stderr)
            return None


def check(claims: dict[str, object]) -> dict[str, object]:
    """The claim checks that both sides make, in the plainest Python."""
    now = time.time()
    if claims["iss"] != "https://issuer.example" or claims["aud"] != "api://orders":
        raise ValueError("iss or aud")
    if not claims["nbf"] <= now < claims["exp"]:
        raise ValueError("nbf or exp")
    return claims


def candidates(case: Case) -> dict[str, Callable[[], object]]:
    floor, floor_signature, signing_input = case.floor, case.floor_signature, case.signing_input
    key, token, signature = case.key, case.token, case.signature
    headers, decode = {case.header: key}, msgspec.json.Decoder(dict[str, object]).decode
    opener = native.Opener(headers)
    found = {
        "floor": lambda: floor(floor_signature, signing_input),
        "verify": lambda: key.verify(signing_input, signature),
        "open": lambda: key.open(token),
        "Opener": lambda: opener.open(token),
        "whole, dict": lambda: check(decode(headers[token.partition(".")[0]].open(token))),
        "whole, Opener": lambda: check(decode(opener.open(token))),
    }
    if case.peer is not None:
        peer = case.peer.decode
        found["ryjwt"] = lambda: peer(token)
    for name, candidate in found.items():
        if candidate() is False:
            raise SystemExit(f"{name} refuses a good {case.alg} token")
    return found


def take_turns(found: dict[str, Callable[[], object]], rounds: int, calls: int) -> dict[str, list[float]]:
    """Nanoseconds per call of each candidate, a block of calls at a time, round-robin."""
    times: dict[str, list[float]] = {name: [] for name in found}
    gc.disable()
    for _ in range(rounds):
        for name, candidate in found.items():
            start = time.perf_counter_ns()
            for _ in range(calls):
                candidate()
            times[name].append((time.perf_counter_ns() - start) / calls)
        gc.collect()
    gc.enable()
    return times


def show(title: str, times: dict[str, list[float]], base: str) -> None:
    low, mid = min(times[base]), statistics.median(times[base])
    print(f"{title:<12}" + "".join(f"{name:>16}" for name in times))
    print(f"{'µs, min':<12}" + "".join(f"{min(values) / 1000:>16.2f}" for values in times.values()))
    print(f"{'ratio, min':<12}" + "".join(f"{min(values) / low:>16.3f}" for values in times.values()))
    print(f"{'ratio, mid':<12}" + "".join(f"{statistics.median(values) / mid:>16.3f}" for values in times.values()))
    print()


def batch(case: Case, size: int) -> dict[str, Callable[[], object]]:
    tokens = [case.make({**case.claims, "jti": str(number)}) for number in range(size)]
    opener = native.Opener({case.header: case.key})
    keys, decode = [case.key] * size, msgspec.json.Decoder(dict[str, object]).decode
    found = {
        "one by one": lambda: [check(decode(case.key.open(token))) for token in tokens],
        "open_many, 1": lambda: [check(decode(payload)) for payload in native.open_many(keys, tokens, 1)],
        "open_many": lambda: [check(decode(payload)) for payload in native.open_many(keys, tokens)],
        "then": lambda: opener.open_many(tokens, then=lambda _, payload: check(decode(payload))),
        "open_many only": lambda: native.open_many(keys, tokens),
    }
    if case.peer is not None:
        peer = case.peer.decode
        found["ryjwt"] = lambda: [peer(token) for token in tokens]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithms", nargs="*", metavar="ALGORITHM", help=f"of {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--batch", type=int, default=0, metavar="N", help="batches of N tokens instead of single ones")
    parser.add_argument("--groups", type=int, default=0, metavar="N", help="a claim with N groups (60 make about 4 KB)")
    options = parser.parse_args()
    rounds = 30 if options.quick else 150
    claims = CLAIMS | ({"groups": [f"group-{number:056d}" for number in range(options.groups)]} if options.groups else {})
    print(f"CPython {sys.version.split()[0]}, {'all' if options.batch else 'each'} in one process, taking turns\n")
    for name in options.algorithms or CASES:
        case = Case(name, claims)
        if options.batch:
            found = batch(case, options.batch)
            show(name, take_turns(found, max(rounds // 10, 5), 1), "ryjwt" if "ryjwt" in found else "one by one")
        else:
            show(name, take_turns(candidates(case), rounds, 100), "floor")


if __name__ == "__main__":
    main()
