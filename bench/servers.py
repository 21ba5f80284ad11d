"""FastAPI and Flask under load, with and without validation: requests per second, p50 and p99."""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

from . import ours
from .cases import AUDIENCE, Case, make_case
from .provider import Provider

CONNECTIONS = 16
#: With and without validation take turns.
TURNS = 8
FASTAPI = """
import sys
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from py_identity_model.aio import TokenValidator
from py_identity_model.exceptions import PyIdentityModelException

issuer, audience, engine, port = sys.argv[1:]
app = FastAPI()
validator = TokenValidator(issuer, audience, engine=engine)

async def claims(request: Request) -> dict:
    try:
        return await validator.validate(request.headers["authorization"].removeprefix("Bearer "))
    except PyIdentityModelException:
        raise HTTPException(401) from None

@app.get("/open")
async def free() -> dict:
    return {"sub": "nobody"}

@app.get("/closed")
async def closed(claims: dict = Depends(claims)) -> dict:
    return {"sub": claims["sub"]}

uvicorn.run(app, port=int(port), log_level="warning", access_log=False)
"""
FLASK = """
import logging
import sys
from flask import Flask, abort, jsonify, request
from py_identity_model import TokenValidator
from py_identity_model.exceptions import PyIdentityModelException
from waitress import serve

issuer, audience, engine, port = sys.argv[1:]
app = Flask("bench")
validator = TokenValidator(issuer, audience, engine=engine)

@app.get("/open")
def free():
    return jsonify(sub="nobody")

@app.get("/closed")
def closed():
    try:
        claims = validator.validate(request.headers["authorization"].removeprefix("Bearer "))
    except PyIdentityModelException:
        abort(401)
    return jsonify(sub=claims["sub"])

logging.getLogger("waitress.queue").setLevel(logging.ERROR)
serve(app, port=int(port), threads=8, host="127.0.0.1", _quiet=True)
"""


def measure(*, seconds: float) -> list[dict[str, Any]]:
    """Load both frameworks, on each engine."""
    figures = []
    with Provider() as provider:
        case = make_case("RS256-2048", provider.issuer("web"))
        provider.keys["web"] = [case.jwk]
        for framework, source in (("FastAPI on uvicorn", FASTAPI), ("Flask on waitress, 8 threads", FLASK)):
            for engine in ours.engines():
                figures += _load(framework, source, engine, case, max(seconds, 0.5))
    return figures


def _load(framework: str, source: str, engine: str, case: Case, seconds: float) -> list[dict[str, Any]]:
    port = _free_port()
    server = subprocess.Popen([sys.executable, "-c", source, case.issuer, AUDIENCE, engine, str(port)])
    try:
        _wait_for(port)
        requests = {
            name: f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {case.token()}\r\n\r\n".encode()
            for path, name in (("/open", "without"), ("/closed", "with"))
        }
        times: dict[str, list[float]] = {name: [] for name in requests}
        for turn in range(TURNS + 1):
            for name, request in requests.items():
                found = asyncio.run(_hammer(port, request, seconds / TURNS))
                times[name] += found if turn else []  # the first turn warms up
        return [
            {
                "server": framework,
                "engine": engine,
                "validation": name,
                "requests_per_s": round(len(found) / seconds),
                "p50_ms": round(statistics.median(found) * 1000, 2),
                "p99_ms": round(sorted(found)[len(found) * 99 // 100] * 1000, 2),
            }
            for name, found in times.items()
        ]
    finally:
        server.terminate()
        server.wait()


async def _hammer(port: int, request: bytes, seconds: float) -> list[float]:
    end, times = time.perf_counter() + seconds, []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            start = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"the server answered {head[:40]!r}")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            times.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return times


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server does not start")
