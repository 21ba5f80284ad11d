"""A fleet on one machine: real processes that share a store, through a rotation, an outage and a revocation.

Usage: python tools/fleet_processes.py [--processes 16] [--issuers 8] [--store sqlite|redis] [--url URL] [--json]

Embedded providers listen on loopback ports. Each process validates tokens of every issuer: at the start, after a
rotation without notice, while the providers answer 503 (also in a process that starts only then), and all the time
while one of them revokes a user. What must hold, or the exit code is 1: every good token is accepted; each provider is
asked as often as by one process alone; every process refuses the revoked tokens within two seconds.

For ``redis`` a server is started on a loopback port, unless ``--url`` names one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import fleet_plots

from py_identity_model import TokenValidator
from py_identity_model.exceptions import PyIdentityModelException
from py_identity_model.stores import EncryptedStore, RedisStore, SqliteStore, Store
from py_identity_model.testing import EmbeddedProvider

KEY = bytes(range(32))
#: Seconds within which a revocation is seen everywhere, and for which processes look.
SEEN_WITHIN, WATCHED = 2.0, 4.0
#: Seconds that a process may take for one round.
PATIENCE = 120.0


def open_store(kind: str, where: str) -> Store:
    """Open the store that all processes share: a file, or what has a prefix at a server."""
    if kind == "redis":
        url, _, prefix = where.partition(" ")
        return EncryptedStore(RedisStore(url, prefix=prefix, timeout=10), KEY)
    return SqliteStore(where, encryption_key=KEY, timeout=20)


# ---- one process


def work(given: dict[str, Any]) -> None:
    """Do what is asked on standard input, a line each; answer with a line."""
    importlib.import_module("httpx2")  # what is imported on first use takes seconds where all processes start at once
    store = open_store(given["store"], given["where"])
    validator = TokenValidator(given["issuers"], "api", store=store, revocations_silent_for=600)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "validate":
            answer: Any = [code_of(validator, token) for token in asked["tokens"]]
        elif asked["do"] == "revoke":
            validator.revoke(sub=asked["sub"], lifetime=600)
            answer = time.monotonic()
        else:
            answer = watch(validator, asked["token"], time.monotonic() + asked["seconds"])
        print(json.dumps(answer), flush=True)
    store.close()


def code_of(validator: TokenValidator[Any], token: str) -> str | None:
    """Return the code by which a token is refused; None if it is accepted."""
    try:
        validator.validate(token)
    except PyIdentityModelException as error:
        return error.code
    return None


def watch(validator: TokenValidator[Any], token: str, end: float) -> float | None:
    """Validate a token again and again until it is refused; return when, by the clock that all processes share."""
    while time.monotonic() < end:
        if code_of(validator, token) == "token_revoked":
            return time.monotonic()
        time.sleep(0.005)
    return None


class Process:
    """A process of the fleet."""

    def __init__(self, given: dict[str, Any]) -> None:
        command = [sys.executable, __file__, "--work", json.dumps(given)]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **asked: Any) -> None:
        """Tell it what to do."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(asked) + "\n")
        self._popen.stdin.flush()

    def answer(self) -> Any:
        """Wait for what it says."""
        assert self._popen.stdout is not None
        return json.loads(self._popen.stdout.readline())

    def end(self) -> None:
        """Let it go."""
        self._popen.communicate(timeout=PATIENCE)


# ---- all of them


class Fleet:
    """Providers, a store, and processes."""

    def __init__(self, processes: int, providers: list[EmbeddedProvider], store: str, where: str) -> None:
        self.providers = providers
        self.given = {"issuers": [one.issuer for one in providers], "store": store, "where": where}
        self.processes: list[Process] = []
        self.refused: list[Any] = []
        for _ in range(processes):
            self.add()

    def add(self) -> None:
        """Start a process."""
        self.processes.append(Process(self.given))

    def tokens(self) -> list[str]:
        """Mint a token of each issuer."""
        return [one.mint(audience="api", subject="ada") for one in self.providers]

    def all_accept(self, tokens: list[str]) -> None:
        """Have every process validate, all at once."""
        for one in self.processes:
            one.ask(do="validate", tokens=tokens)
        for one in self.processes:
            self.refused += [code for code in one.answer() if code is not None]

    def asked(self) -> list[int]:
        """Return how often each provider was asked."""
        return [one.count() for one in self.providers]


def drive(processes: int, providers: list[EmbeddedProvider], store: str, where: str) -> dict[str, Any]:
    """Lead the fleet through its life; return what happened."""
    fleet = Fleet(processes, providers, store, where)
    for one in fleet.processes:
        assert one.answer() == "ready"
    fleet.all_accept(fleet.tokens())
    for provider in providers:
        provider.rotate(keep_previous=False)
    fresh = fleet.tokens()
    fleet.all_accept(fresh)
    for provider in providers:
        provider.play("503", times=None)
    fleet.add()
    assert fleet.processes[-1].answer() == "ready"
    fleet.all_accept(fresh)
    for provider in providers:
        provider.recover()
    requests = fleet.asked()
    for one in fleet.processes[1:]:
        one.ask(do="watch", token=fresh[0], seconds=WATCHED + 1)
    time.sleep(1.0)  # every process validates by now
    fleet.processes[0].ask(do="revoke", sub="ada")
    told_at = fleet.processes[0].answer()
    seen = [one.answer() for one in fleet.processes[1:]]
    for one in fleet.processes:
        one.end()
    late = sorted(max(0.0, when - told_at) if when is not None else WATCHED for when in seen)
    return {"requests": requests, "refused": fleet.refused, "seen": [round(one, 3) for one in late]}


@contextmanager
def server_at(url: str | None, folder: str) -> Iterator[str]:
    """Return the URL of a Redis, started here if none is given."""
    if url is not None:
        yield url
        return
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        sys.exit("fleet: no redis-server is installed; name one with --url, or take --store sqlite")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _until(attempt: Callable[[], bool]) -> None:
    for _ in range(200):
        try:
            if attempt():
                return
        except OSError:
            time.sleep(0.05)  # nothing tells when the server listens
    raise TimeoutError("the server does not start")


def run(processes: int, issuers: int, store: str, url: str | None = None) -> dict[str, Any]:
    """Drive a fleet, and before it one process alone; compare."""
    told: dict[str, Any] = {"processes": processes, "issuers": issuers, "store": store}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        where = stack.enter_context(server_at(url, folder)) if store == "redis" else ""
        for name, count in (("alone", 1), ("fleet", processes)):
            providers = [EmbeddedProvider(algorithms=["ES256"]) for _ in range(issuers)]
            place = f"{where} {name}" if where else str(Path(folder) / f"{name}.db")
            with ExitStack() as listening:
                for provider in providers:
                    listening.enter_context(provider.serve())
                told[name] = drive(count, providers, store, place)
    told["holds"] = (
        told["fleet"]["requests"] == told["alone"]["requests"]
        and not told["fleet"]["refused"]
        and not told["alone"]["refused"]
        and max(told["fleet"]["seen"]) <= SEEN_WITHIN
    )
    return told


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description="A fleet on one machine.")
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--issuers", type=int, default=8)
    parser.add_argument("--store", choices=["sqlite", "redis"], help="by default both")
    parser.add_argument("--url")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--draw", type=Path, help="a folder for the plots")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        work(json.loads(given.work))
        return 0
    stores = [given.store] if given.store else ["sqlite", "redis"]
    every = [run(given.processes, given.issuers, store, given.url) for store in stores]
    if given.draw is not None:
        fleet_plots.write(given.draw, fleet_plots.PROCESSES, every)
    if given.json:
        print(json.dumps(every))
    else:
        for told in every:
            show(told)
    return 0 if all(told["holds"] for told in every) else 1


def show(told: dict[str, Any]) -> None:
    """Print what happened."""
    print(f"{told['processes']} processes, {told['issuers']} issuers, {told['store']}")
    for name in ("alone", "fleet"):
        found = told[name]
        print(f"  {name:<6} requests per issuer {found['requests']}, good tokens refused {found['refused']}")
    seen = told["fleet"]["seen"]
    print(f"  a revocation was seen by {len(seen)} processes after {seen[0]:.2f} to {seen[-1]:.2f} s")


if __name__ == "__main__":
    sys.exit(main())
