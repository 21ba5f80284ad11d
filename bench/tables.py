"""``python -m bench.tables``: tokens from Parquet to Parquet, here and with other libraries in a pool of processes.

Each job reads a file with a column of RS256 tokens of twelve claims, and writes a file with the verdict, ``sub`` and
``exp`` of each, on so many cores. Starting the processes is counted. Jobs take turns; the best of several is printed,
and with ``--json`` written to a file that ``python -m bench.tables --draw`` draws.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench.many import AUDIENCE, ISSUER, load_key, tokens
from py_identity_model import TokenValidator
from py_identity_model._bulk_job import validate_file
from py_identity_model._core.jose.signing_keys import SigningKey

#: Rows that a process of a pool is sent at once.
CHUNK = 4096
#: Tokens that differ; the file repeats them, as making a million RSA signatures takes longer than all that is measured.
DISTINCT = 10_000

Decode = Callable[[str], Any]


def _pyjwt(pem: str) -> Decode:
    jwt = importlib.import_module("jwt")
    key = importlib.import_module("cryptography.hazmat.primitives.serialization").load_pem_public_key(pem.encode())
    return lambda token: jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)


def _joserfc(pem: str) -> Decode:
    jwt, jwk = importlib.import_module("joserfc.jwt"), importlib.import_module("joserfc.jwk")
    key = jwk.RSAKey.import_key(pem)
    needed = {"essential": True}
    registry = jwt.JWTClaimsRegistry(iss={**needed, "value": ISSUER}, aud={**needed, "value": AUDIENCE}, exp=needed)

    def decode(token: str) -> Any:
        claims = jwt.decode(token, key, algorithms=["RS256"]).claims
        registry.validate(claims)
        return claims

    return decode


def _ryjwt(pem: str) -> Decode:
    module = importlib.import_module("ryjwt")
    decode: Decode = module.PublicKey(pem, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER).decode
    return decode


PEERS: dict[str, Callable[[str], Decode]] = {"PyJWT": _pyjwt, "joserfc": _joserfc, "ryjwt": _ryjwt}
_decode: Decode = str


def _start(name: str, pem: str) -> None:
    global _decode
    _decode = PEERS[name](pem)


def _verdicts(part: list[str]) -> list[tuple[str, Any, Any]]:
    rows: list[tuple[str, Any, Any]] = []
    for token in part:
        try:
            claims = _decode(token)
        except Exception:  # each library has its own
            rows.append(("refused", None, None))
        else:
            rows.append(("valid", claims["sub"], claims["exp"]))
    return rows


def by_pool(name: str, pem: str, source: Path, output: Path, workers: int) -> int:
    """Do the job with another library; return how many tokens were valid."""
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    schema = arrow.schema([("verdict", arrow.string()), ("sub", arrow.string()), ("exp", arrow.int64())])
    valid = 0
    with (
        ProcessPoolExecutor(workers, initializer=_start, initargs=(name, pem)) as pool,
        parquet.ParquetWriter(output, schema, compression="zstd") as writer,
    ):
        for rows in pool.map(_verdicts, _parts(parquet.ParquetFile(source))):
            columns = [list(column) for column in zip(*rows, strict=True)]
            writer.write_table(arrow.table(columns, schema=schema))
            valid += columns[0].count("valid")
    return valid


def _parts(file: Any) -> Iterator[list[str]]:
    for batch in file.iter_batches(CHUNK, columns=["token"]):
        yield batch.column(0).to_pylist()


def write_source(path: Path, rows: int, key: SigningKey) -> None:
    """Write the file of tokens."""
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    many = tokens(key, min(rows, DISTINCT))
    schema = arrow.schema([("token", arrow.string())])
    with parquet.ParquetWriter(path, schema, use_dictionary=False, compression="snappy") as writer:
        for start in range(0, rows, len(many)):
            writer.write_table(arrow.table({"token": many[: rows - start]}, schema=schema))


def _timed(job: Callable[[], int], rows: int) -> tuple[float, float]:
    """Return the seconds a job takes, and those of processors."""
    began, before = time.perf_counter(), _processor()
    valid = job()
    if valid != rows:
        raise RuntimeError(f"{rows - valid} tokens were refused")
    return time.perf_counter() - began, _processor() - before


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(rows: int, workers: int, repeat: int, names: Iterable[str]) -> dict[str, Any]:
    """Run the jobs in turns; return tokens per second, and processor microseconds per token, of each."""
    key = SigningKey.generate("RS256", kid="k1")
    serialization = importlib.import_module("cryptography.hazmat.primitives.serialization")
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    pem = load_key(key).public_bytes(*form).decode()
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "tokens.parquet", Path(folder) / "verdicts.parquet"
        write_source(source, rows, key)
        validator = TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine="native")

        def ours() -> int:
            return validate_file(source, validator, output, claims=["sub", "exp"], workers=workers, restart=True).valid

        jobs: dict[str, Callable[[], int]] = {"py-identity-model": ours}
        for name in names:
            jobs[name] = lambda name=name: by_pool(name, pem, source, output, workers)
        for _ in range(repeat):
            for name, job in jobs.items():
                found.setdefault(name, []).append(_timed(job, rows))
    return {
        name: {"per_second": rows / min(wall for wall, _ in runs), "cpu": min(cpu for _, cpu in runs) / rows * 1e6}
        for name, runs in found.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.tables")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = measure(options.rows, options.workers, options.repeat, options.peers)
    print(f"CPython {platform.python_version()}, {options.rows:,} tokens, {options.workers} workers")
    for name, figure in figures.items():
        print(f"| {name} | {figure['per_second']:,.0f} per second | {figure['cpu']:.1f} µs of processor per token |")
    if options.json:
        options.json.write_text(json.dumps({"rows": options.rows, "workers": options.workers, "jobs": figures}))


if __name__ == "__main__":
    main()
