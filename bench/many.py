"""``python -m bench.many``: batches, the token cache, and files over several processes, as tables in Markdown.

All candidates of a table take turns. Without Rust the native engine is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from py_identity_model import TokenValidator, aio
from py_identity_model._bulk_job import validate_file
from py_identity_model._core.base.base64url import b64url_decode
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key
from py_identity_model._core.validation.engine import select_engine
from py_identity_model.exceptions import ConfigurationException

ISSUER, AUDIENCE = "https://id.example.com", "api"
BATCH = 1000
ALGORITHMS = ("RS256", "ES256", "EdDSA")


def engines() -> list[str]:
    """Return the engines that are installed."""
    try:
        select_engine("native")
    except ConfigurationException:
        return ["pure"]
    return ["pure", "native"]


def tokens(key: SigningKey, count: int) -> list[str]:
    """Mint tokens of twelve claims, no two the same."""
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "248289761001", "client_id": "client-1", "iat": now, "nbf": now,
        "exp": now + 36000, "scope": "openid profile email", "name": "Ada Lovelace", "email": "ada@example.com",
        "roles": ["reader", "writer"],
    }  # fmt: skip
    return [sign_compact({**claims, "jti": f"{number:022}"}, key, typ="at+jwt") for number in range(count)]


def best(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least seconds that each took, taking turns: what else the machine does only ever adds."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, function in candidates.items():
            time.sleep(0.05)
            start = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in taken.items()}


def batches(rounds: int) -> None:
    """A batch, token by token, at once, and through an event loop."""
    print(f"\n| batch of {BATCH:,} | engine | one by one | `validate_many` | gain | `gather` | aio `validate_many` |")
    print("|---|---|---|---|---|---|---|")
    for alg in ALGORITHMS:
        key = SigningKey.generate(alg, kid="k1")
        many = tokens(key, BATCH)
        for engine in engines():
            validator = TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine=engine)
            awaited = aio.TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine=engine)
            found = best(
                {
                    "one": lambda v=validator, m=many: [v.validate(token) for token in m],
                    "many": lambda v=validator, m=many: v.validate_many(m),
                    "gather": lambda v=awaited, m=many: asyncio.run(_gather(v, m)),
                    "amany": lambda v=awaited, m=many: asyncio.run(v.validate_many(m)),
                },
                rounds,
            )
            cells = [f"{found[name] / BATCH * 1e6:.1f} µs" for name in ("one", "many", "gather", "amany")]
            gain = found["one"] / found["many"]
            print(f"| {alg} | {engine} | {cells[0]} | {cells[1]} | {gain:.2f} | {cells[2]} | {cells[3]} |")


def ryjwt(rounds: int) -> None:
    """A batch at once against the fastest other library, which goes token by token; Python 3.12 and newer."""
    try:
        module = importlib.import_module("ryjwt")
    except ImportError:
        print("\nryjwt is not installed here")
        return
    print(f"\n| batch of {BATCH:,} | ryjwt, one by one | engine | `validate_many` | times faster |")
    print("|---|---|---|---|---|")
    for alg in ALGORITHMS:
        key = SigningKey.generate(alg, kid="k1")
        many = tokens(key, BATCH)
        decode = ryjwt_decoder(module, key, alg)
        work: dict[str, Callable[[], object]] = {"ryjwt": lambda d=decode, m=many: [d(token) for token in m]}
        for engine in engines():
            validator = TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine=engine)
            work[engine] = lambda v=validator, m=many: v.validate_many(m)
        found = best(work, rounds)
        for engine in engines():
            cells = [f"{found[name] / BATCH * 1e6:.1f} µs" for name in ("ryjwt", engine)]
            print(f"| {alg} | {cells[0]} | {engine} | {cells[1]} | {found['ryjwt'] / found[engine]:.2f} |")


def forms(rounds: int) -> None:
    """What a batch of the native engine is returned as, against the fastest other library, token by token."""
    try:
        module = importlib.import_module("ryjwt")
        importlib.import_module("pyarrow")
    except ImportError:
        print("\nryjwt or pyarrow is not installed here")
        return
    print(f"\n| batch of {BATCH:,} | ryjwt, one by one | dicts | Struct | columns of two claims |")
    print("|---|---|---|---|---|")
    for alg in ALGORITHMS:
        key = SigningKey.generate(alg, kid="k1")
        many = tokens(key, BATCH)
        decode = ryjwt_decoder(module, key, alg)
        validator = TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine="native")
        work: dict[str, Callable[[], object]] = {
            "ryjwt": lambda d=decode, m=many: [d(token) for token in m],
            "dicts": lambda v=validator, m=many: v.validate_many(m),
            "Struct": lambda v=validator, m=many: v.validate_many(m, Claims),
            "columns": lambda v=validator, m=many: v.validate_columns(m, ["sub", "exp"]),
        }
        found = best(work, rounds)
        cells = [f"{taken / BATCH * 1e6:.1f} µs ({found['ryjwt'] / taken:.2f})" for taken in found.values()]
        print(f"| {alg} | {' | '.join(cells)} |")


class Claims(msgspec.Struct):
    """What an application may want of a token."""

    iss: str
    sub: str
    exp: int
    scope: str
    roles: list[str]


def ryjwt_decoder(module: Any, key: SigningKey, alg: str) -> Callable[[str], object]:
    """Return what makes claims of a token there, with the checks that ours make."""
    pem = load_key(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    decode: Callable[[str], object] = module.PublicKey(pem, algorithms=[alg], audience=AUDIENCE, issuer=ISSUER).decode
    return decode


def load_key(key: SigningKey) -> Any:
    """Return the public key of *key* as ``cryptography`` has it."""
    return import_key(key.public_jwk or {}).material


async def _gather(validator: Any, many: list[str]) -> list[Any]:
    return await asyncio.gather(*(validator.validate(token) for token in many))


def lag() -> None:
    """How long an event loop waits beside a batch of twenty thousand tokens."""
    key = SigningKey.generate("RS256", kid="k1")
    many = tokens(key, BATCH) * 20
    print("\n| event loop beside 20,000 RS256 tokens | engine | longest wait | 99 % under |")
    print("|---|---|---|---|")
    for engine in engines():
        validator = aio.TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine=engine)

        async def one_by_one(validator: Any = validator) -> None:
            for start in range(0, len(many), BATCH):
                await _gather(validator, many[start : start + BATCH])

        async def at_once(validator: Any = validator) -> None:
            async for _ in validator.validate_stream(many):
                pass

        for name, work in (("`gather` of 1,000", one_by_one), ("`validate_stream`", at_once)):
            waits = sorted(asyncio.run(_waits(work)))
            print(f"| {name} | {engine} | {waits[-1] * 1e3:.1f} ms | {waits[int(len(waits) * 0.99)] * 1e3:.1f} ms |")


async def _waits(work: Callable[[], Any]) -> list[float]:
    waits: list[float] = []
    task = asyncio.ensure_future(work())
    while not task.done():
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        waits.append(max(0.0, time.perf_counter() - start - 0.001))
    await task
    return waits


def cache(rounds: int) -> None:
    """A hit of the token cache against the bare signature."""
    key = SigningKey.generate("RS256", kid="k1")
    token = tokens(key, 1)[0]
    signing_input, _, signature = token.rpartition(".")
    public = KeySet.from_keys(key.public_jwk or {}).keys[0].material
    facts = (b64url_decode(signature), signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    candidates: dict[str, Callable[[], object]] = {"bare RS256 verify": _often(lambda: public.verify(*facts))}
    for engine in engines():
        validator = TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine=engine, cache_tokens=10_000)
        for _ in range(3):
            validator.validate(token)
        candidates[f"hit, {engine} engine"] = _often(lambda v=validator: v.validate(token))
    found = best(candidates, rounds * 4)
    floor = found["bare RS256 verify"]
    print("\n| token cache, 12 claims | µs | times faster |")
    print("|---|---|---|")
    for name, taken in found.items():
        print(f"| {name} | {taken / 500 * 1e6:.2f} | {floor / taken:.1f} |")


def _often(function: Callable[[], object]) -> Callable[[], object]:
    def often() -> None:
        for _ in range(500):
            function()

    return often


def files(rows: int, algorithms: Sequence[str], rounds: int) -> None:
    """A file over one process and several; what it takes to start them is counted."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"\n| file of {rows:,} rows | engine | 1 process | {cores} processes | gain |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for alg in algorithms:
            key = SigningKey.generate(alg, kid="k1")
            path = Path(folder) / f"{alg}.jsonl"
            many = tokens(key, 5000)
            with path.open("w", encoding="utf-8") as file:
                for at in range(rows):
                    file.write(json.dumps({"id": at, "token": many[at % len(many)]}) + "\n")
            for engine in engines():
                validator = TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine=engine)
                output = Path(folder) / "out.jsonl"
                rates = [
                    validate_file(path, validator, output, workers=workers, restart=True).rate for workers in (1, cores)
                ]
                print(f"| {alg} | {engine} | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s | {rates[1] / rates[0]:.2f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.many")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--rows", type=int, default=200_000, help="of the file")
    parser.add_argument("--repeat", type=int, default=3, help="the job over the file")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, choices=ALGORITHMS, help="of the file")
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores")
    for name, part in PARTS.items():
        if name in options.only:
            part(options)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "batches": lambda options: batches(options.rounds),
    "ryjwt": lambda options: ryjwt(options.rounds),
    "forms": lambda options: forms(options.rounds),
    "lag": lambda options: lag(),
    "cache": lambda options: cache(options.rounds),
    "files": lambda options: files(options.rows, options.algorithms, options.repeat),
}


if __name__ == "__main__":
    main()
