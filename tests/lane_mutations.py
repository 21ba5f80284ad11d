"""``python tests/lane_mutations.py --count 10000000``: eight signatures at once say what two other verifiers say.

Signatures, keys and messages are mutated, and put into the lanes eight at a time, good ones beside bad ones. Each lane
that gives a verdict must give that of AWS-LC, alone, and that of ``cryptography``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import py_identity_model_native._native as native
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import edwards

HASHES: dict[str, Any] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES: dict[str, tuple[ec.EllipticCurve, int, int]] = {
    "ES256": (ec.SECP256R1(), 32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    "ES384": (
        ec.SECP384R1(),
        48,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    ),
    "ES512": (
        ec.SECP521R1(),
        66,
        0x1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    ),
}


class Case(NamedTuple):
    """One signature to judge."""

    key: Signer
    message: bytes
    signature: bytes


class Signer:
    """A key pair for one algorithm, as each of the three verifiers has it."""

    def __init__(self, alg: str, private: Any) -> None:
        self.alg, self.private, self.public = alg, private, private.public_key()
        self.native = native.Key(alg, self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, message: bytes) -> bytes:
        """Sign, in the form JWS has."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        algorithm = HASHES[self.alg[2:]]
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            width = CURVES[self.alg][1]
            pair = decode_dss_signature(self.private.sign(message, ec.ECDSA(algorithm)))
            return b"".join(number.to_bytes(width, "big") for number in pair)
        signature: bytes = self.private.sign(message, rsa_padding(self.alg), algorithm)
        return signature

    def accepts(self, message: bytes, signature: bytes) -> bool:
        """Ask ``cryptography``."""
        try:
            if isinstance(self.public, ed25519.Ed25519PublicKey):
                self.public.verify(signature, message)
            elif isinstance(self.public, ec.EllipticCurvePublicKey):
                width = CURVES[self.alg][1]
                r, s = (int.from_bytes(part, "big") for part in (signature[:width], signature[width:]))
                self.public.verify(encode_dss_signature(r, s), message, ec.ECDSA(HASHES[self.alg[2:]]))
            else:
                self.public.verify(signature, message, rsa_padding(self.alg), HASHES[self.alg[2:]])
        except InvalidSignature:
            return False
        return True


class GivenKey(Signer):
    """A public Ed25519 key of any encoding."""

    def __init__(self, octets: bytes) -> None:
        self.alg, self.public = "Ed25519", ed25519.Ed25519PublicKey.from_public_bytes(octets)
        self.native = native.Key("Ed25519", bytes.fromhex("302a300506032b6570032100") + octets)


def rsa_padding(alg: str) -> Any:
    """Return the padding of RFC 7518 3.3 or 3.5."""
    algorithm = HASHES[alg[2:]]
    if alg.startswith("PS"):
        return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    return padding.PKCS1v15()


# ---- what is done to a good signature

Mutation = Callable[[Case, random.Random], Case]


def leave(case: Case, rng: random.Random) -> Case:
    """Change nothing."""
    return case


def flip_signature(case: Case, rng: random.Random) -> Case:
    """Flip one bit of the signature."""
    at = rng.randrange(8 * len(case.signature))
    changed = bytearray(case.signature)
    changed[at // 8] ^= 1 << at % 8
    return case._replace(signature=bytes(changed))


def flip_message(case: Case, rng: random.Random) -> Case:
    """Flip one bit of the message."""
    at = rng.randrange(8 * len(case.message))
    changed = bytearray(case.message)
    changed[at // 8] ^= 1 << at % 8
    return case._replace(message=bytes(changed))


def replace_signature(case: Case, rng: random.Random) -> Case:
    """Put chance in the signature's place, or in that of its beginning or end."""
    chance, at = rng.randbytes(len(case.signature)), rng.randrange(len(case.signature))
    mixed = (chance, case.signature[:at] + chance[at:], chance[:at] + case.signature[at:])
    return case._replace(signature=rng.choice(mixed))


def extend_message(case: Case, rng: random.Random) -> Case:
    """Lengthen or shorten the message."""
    longer = case.message + rng.randbytes(rng.randrange(1, 300))
    return case._replace(message=rng.choice((longer, case.message[:-1], b"")))


def edge_of_rsa(case: Case, rng: random.Random) -> Case:
    """Put a number at the edge of the range in the signature's place."""
    width, n = len(case.signature), case.key.public.public_numbers().n
    s = int.from_bytes(case.signature, "big")
    number = rng.choice((0, 1, n - 1, n, n + 1, n - s, s + n, (1 << 8 * width) - 1, s + 1))
    return case._replace(signature=(number % (1 << 8 * width)).to_bytes(width, "big"))


def edge_of_ecdsa(case: Case, rng: random.Random) -> Case:
    """Put numbers at the edge of the range in the places of r and s; n - s makes a good signature."""
    _, width, n = CURVES[case.key.alg]
    r, s = (int.from_bytes(part, "big") for part in (case.signature[:width], case.signature[width:]))
    edges = (0, 1, n - 1, n, n + 1, n - r, n - s, r + n, s + n, (1 << 8 * width) - 1, r, s)
    pair = rng.choice(((r, n - s), (rng.choice(edges), s), (r, rng.choice(edges)), (rng.choice(edges), s + n)))
    octets = b"".join((number % (1 << 8 * width)).to_bytes(width, "big") for number in pair)
    return case._replace(signature=octets)


def edge_of_ed25519(case: Case, rng: random.Random) -> Case:
    """Add the order to S, or put a point of small order, in one of its encodings, in the place of R."""
    r, s = case.signature[:32], int.from_bytes(case.signature[32:], "little")
    order = edwards.ORDER
    numbers = (s + order * rng.randrange(1, 16), 0, order - 1, order, order + 1, order - s, 2**252, 2**256 - 1)
    if rng.random() < 0.3:
        r = rng.choice(edwards.SMALL_ENCODINGS)
    return case._replace(signature=r + (rng.choice(numbers) % 2**256).to_bytes(32, "little"))


ANY = (leave, leave, leave, flip_signature, flip_message, replace_signature, extend_message)


# ---- signatures that only the owner of a key can make


def odd_paddings(signer: Signer, message: bytes) -> Iterator[bytes]:
    """Sign blocks that are nearly what RFC 8017 9 asks for."""
    numbers = signer.private.private_numbers()
    n, p, q = numbers.public_numbers.n, numbers.p, numbers.q
    width = (n.bit_length() + 7) // 8
    algorithm = "sha" + signer.alg[2:]
    of = pss_blocks if signer.alg.startswith("PS") else pkcs1_blocks
    for block in of(message, algorithm, width):
        number = int.from_bytes(block, "big")
        if number < n:
            low = pow(number, numbers.dmq1, q)
            high = (pow(number, numbers.dmp1, p) - low) * numbers.iqmp % p
            yield (low + q * high).to_bytes(width, "big")


def pkcs1_blocks(message: bytes, algorithm: str, width: int) -> Iterator[bytes]:
    """Yield the good block first."""
    digest = hashlib.new(algorithm, message).digest()
    last = {"sha256": 1, "sha384": 2, "sha512": 3}[algorithm]
    oid = bytes.fromhex("0609608648016503040200")[:-1] + bytes([last])

    def info(parameters: bytes, size: int = len(digest), tail: bytes = b"") -> bytes:
        identifier = bytes([0x30, len(oid + parameters)]) + oid + parameters
        body = identifier + bytes([4, size]) + digest + tail
        return bytes([0x30, len(body)]) + body

    good = info(b"\x05\x00")
    for what in (good, info(b""), info(b"\x05\x00", tail=b"\x00"), info(b"\x05\x81\x00"), good[:-1], digest):
        yield b"\x00\x01" + b"\xff" * (width - len(what) - 3) + b"\x00" + what
    fill = b"\xff" * (width - len(good) - 3)
    for start in (b"\x00\x02", b"\x00\x00", b"\x01\x01", b"\x00\x01\x00"):
        yield (start + fill + b"\x00")[: width - len(good)] + good
    yield b"\x00\x01" + fill[:-1] + b"\xfe\x00" + good
    yield b"\x00\x01" + fill[:8] + b"\x00" + good + b"\x00" * (len(fill) - 8)
    yield b"\x00\x01" + fill + b"\x00" + good[:-32] + bytes(32)


def pss_blocks(message: bytes, algorithm: str, width: int) -> Iterator[bytes]:
    """Yield the good block first."""
    digest = hashlib.new(algorithm, message).digest()
    size = len(digest)

    def block(salt: bytes, zeros: bytes | None = None, mark: bytes = b"\x01", hashed: bytes = digest) -> bytearray:
        seed = hashlib.new(algorithm, bytes(8) + hashed + salt).digest()
        room = width - size - 1
        plain = (bytes(room - len(salt) - 1) if zeros is None else zeros) + mark + salt
        count = -(-room // size)
        mask = b"".join(hashlib.new(algorithm, seed + i.to_bytes(4, "big")).digest() for i in range(count))
        masked = bytearray(a ^ b for a, b in zip(plain, mask, strict=False))
        masked[0] &= 0x7F
        return masked + seed + b"\xbc"

    yield bytes(block(os.urandom(size)))
    for length in (0, 1, size - 1, size + 1, 20, width - size - 2):
        yield bytes(block(os.urandom(length)))
    room = width - 2 * size - 2
    for zeros in (b"\x00" * (room - 1) + b"\x01", b"\x40" + bytes(room - 1), b"\x80" + bytes(room - 1)):
        yield bytes(block(os.urandom(size), zeros))
    for mark in (b"\x00", b"\x02", b"\x81"):
        yield bytes(block(os.urandom(size), mark=mark))
    good = block(os.urandom(size))
    for at, octet in ((-1, 0xBD), (-1, 0xCC), (-2, good[-2] ^ 1), (0, good[0] | 0x40)):
        changed = bytearray(good)
        changed[at] = octet
        yield bytes(changed)
    yield bytes(block(os.urandom(size), hashed=digest[:-1] + bytes([digest[-1] ^ 1])))


def torsion_cases(rng: random.Random, rounds: int) -> Iterator[Case]:
    """Yield Ed25519 signatures whose key, R or both have a component of small order, and keys in odd encodings."""
    for _ in range(rounds):
        a, r = (rng.randrange(1, edwards.ORDER) for _ in range(2))
        for key_part, r_part in ((rng.randrange(8), rng.randrange(8)), (rng.randrange(1, 8), 0), (0, 0)):
            key = edwards.encode(edwards.add(edwards.multiply(a, edwards.BASE), edwards.TORSION[key_part]))
            point = edwards.encode(edwards.add(edwards.multiply(r, edwards.BASE), edwards.TORSION[r_part]))
            signer = GivenKey(key)
            for number in range(6):  # cofactorless, one in eight of them is good by chance
                message = b"torsion %d" % number + rng.randbytes(4)
                yield Case(signer, message, point + edwards.scalar(key, point, message, a, r))
    for octets in edwards.SMALL_ENCODINGS:
        for point in edwards.SMALL_ENCODINGS:
            yield Case(GivenKey(octets), rng.randbytes(8), point + bytes(32))
            message = b"small order"
            yield Case(GivenKey(octets), message, point + edwards.scalar(octets, point, message, 0, 0))


# ---- the pool, and the run


def private_key(alg: str, bits: int) -> Any:
    """Generate a key for the algorithm."""
    if alg == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if alg.startswith("ES"):
        return ec.generate_private_key(CURVES[alg][0])
    return rsa.generate_private_key(65537, bits)


class Pool:
    """Signatures that may share lanes, and what may be done to each."""

    def __init__(self, algorithms: Sequence[str], bits: int, keys: int, rng: random.Random) -> None:
        self.cases: list[Case] = []
        self.odd: list[Case] = []
        privates = [private_key(algorithms[0], bits) for _ in range(keys if bits <= 2048 else 2)]
        for private in privates:
            for alg in algorithms:
                signer = Signer(alg, private)
                messages = [rng.randbytes(rng.randrange(1, 700)) for _ in range(12)]
                self.cases += [Case(signer, message, signer.sign(message)) for message in messages]
                if bits:
                    self.odd += [Case(signer, messages[0], odd) for odd in odd_paddings(signer, messages[0])]
        if algorithms[0] == "Ed25519":
            self.odd += torsion_cases(rng, 4 * keys)
        edge: Mutation = edge_of_rsa if bits else edge_of_ecdsa if algorithms[0].startswith("ES") else edge_of_ed25519
        self.mutations: tuple[Mutation, ...] = (*ANY, edge, edge)

    def draw(self, rng: random.Random) -> Case:
        """Return a case that may be good or bad."""
        if self.odd and rng.random() < 0.1:
            return rng.choice(self.odd)
        case = rng.choice(self.cases)
        if rng.random() < 0.05:
            return case._replace(key=rng.choice(self.cases).key)
        return rng.choice(self.mutations)(case, rng)


#: Which algorithms may share lanes, the bits of a modulus, and how many of a hundred groups are of this kind.
KINDS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "rsa-2048": (("RS256", "PS256", "RS384", "PS384", "RS512", "PS512"), 2048, 38),
    "rsa-3072": (("RS256", "PS256", "RS512", "PS512"), 3072, 4),
    "rsa-4096": (("RS256", "PS256", "RS384", "PS384"), 4096, 3),
    "p-256": (("ES256",), 0, 22),
    "p-384": (("ES384",), 0, 2),
    "p-521": (("ES512",), 0, 1),
    "ed25519": (("Ed25519",), 0, 30),
}


class Wrong(AssertionError):
    """A lane says other than one of the others."""


def check(cases: Sequence[Case], tally: Counter[str], kind: str) -> None:
    """Judge cases in lanes, alone and with ``cryptography``."""
    found = native.judge([(case.key.native, case.message, case.signature) for case in cases])
    for lane, (case, verdict) in enumerate(zip(cases, found, strict=True)):
        alone = case.key.native.verify(case.message, case.signature)
        if verdict is not None and not (verdict == alone == case.key.accepts(case.message, case.signature)):
            facts = (case.key.alg, lane, verdict, alone, case.message.hex(), case.signature.hex())
            raise Wrong(*facts, case.key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex())
        tally[f"{kind} {verdict}"] += 1


def run(count: int, seed: int, only: Sequence[str] = (), *, keys: int = 6, told: bool = False) -> Counter[str]:
    """Check *count* cases at least; return how many of each kind the lanes found good, bad, or not theirs to judge."""
    rng = random.Random(seed)
    kinds = {name: kind for name, kind in KINDS.items() if not only or name in only}
    pools = {name: Pool(algorithms, bits, keys, rng) for name, (algorithms, bits, _) in kinds.items()}
    weights = [share for *_, share in kinds.values()]
    tally: Counter[str] = Counter()
    start = time.monotonic()
    for group in itertools.count(1):
        name = rng.choices(list(pools), weights)[0]
        size = rng.choice((8, 8, 8, rng.randrange(1, 8)))
        check([pools[name].draw(rng) for _ in range(size)], tally, name)
        if told and group % 12500 == 0:
            print(f"{tally.total():,} in {time.monotonic() - start:,.0f} s: {dict(sorted(tally.items()))}", flush=True)
        if tally.total() >= count:
            break
    return tally


def main() -> None:
    """Run as long as asked for, and print what was found."""
    parser = argparse.ArgumentParser(prog="lane_mutations.py")
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--only", nargs="+", default=(), choices=KINDS)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    tally = partial(run, told=True)(options.count, options.seed, options.only)
    print(f"{tally.total():,} cases, no lane said other than the others: {dict(sorted(tally.items()))}")


if __name__ == "__main__":
    main()
