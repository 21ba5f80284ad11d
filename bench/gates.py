"""Protected APIs end to end, beside the same API protected by others: on real servers, in turns, in good times and bad.

Ours are the programs of ``examples/``, as they are; the others are in ``bench/apps``, each the smallest that gives the
same verdicts as far as it can. What it cannot is found out before anything is timed, and told.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from py_identity_model import TokenValidator
from py_identity_model.exceptions import PyIdentityModelException

from .cases import AUDIENCE, Case, make_case
from .load import Answers, hammer
from .provider import Provider
from .servers import CONNECTIONS, _free_port, _wait_for

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "bench" / "apps"
#: Candidates take so many turns in each phase; the first one warms up and does not count.
TURNS = 12
#: Different tokens that are sent one after the other.
TOKENS = 32
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
#: PyJWT and FastMCP look for new keys once in 30 seconds: whoever rotates sooner after they did measures only that.
RARELY = 31.0
OURS = "py-identity-model"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}


@dataclass(frozen=True)
class Program:
    """Who protects, and the program: a folder and what it is called there."""

    name: str
    folder: Path
    app: str


@dataclass(frozen=True)
class Setting:
    """A framework on a server, and who protects an API in it."""

    name: str
    server: str
    example: str
    peers: Mapping[str, str]
    app: str = "app:app"

    @property
    def programs(self) -> list[Program]:
        """Ours first."""
        ours = Program(OURS, ROOT / "examples" / self.example, self.app)
        return [ours, *(Program(name, APPS, f"{module}:app") for name, module in self.peers.items())]

    @property
    def mcp(self) -> bool:
        """Whether it is a server for agents."""
        return self.example == "fastmcp"


UVICORN = "uvicorn --log-level error --no-access-log --port {port} {app}"
WAITRESS = "waitress --threads=8 --listen=127.0.0.1:{port} {app}"
SETTINGS = [
    Setting("FastAPI", UVICORN, "fastapi", {"fastapi-azure-auth": "azure_auth"}),
    Setting("Flask", WAITRESS, "flask", {"Authlib": "authlib_flask", "flask-jwt-extended": "jwt_extended"}),
    Setting("Django", WAITRESS, "django", {"Authlib": "authlib_django"}, "app:wsgi"),
    Setting("Django REST framework", WAITRESS, "django_rest", {"mozilla-django-oidc": "mozilla_oidc"}),
    Setting("FastMCP", UVICORN, "fastmcp", {"FastMCP's JWTVerifier": "fastmcp_jwt"}),
]


def measure(*, seconds: float, quick: bool = False) -> list[dict[str, Any]]:
    """Ask, load, rotate and fail: a figure for each candidate and phase."""
    figures: list[dict[str, Any]] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as loader:
        for setting in SETTINGS[:1] if quick else SETTINGS:
            print(f"bench: gates: {setting.name}", file=sys.stderr)
            figures += compare(setting, loader, max(seconds, 0.5))
    return figures


def compare(
    setting: Setting, loader: ProcessPoolExecutor, seconds: float, wait: float = RARELY
) -> list[dict[str, Any]]:
    """Measure the candidates of one framework; keys rotate when *wait* seconds have passed."""
    with Provider() as provider, ExitStack() as running:
        case = replace(make_case("RS256-2048", provider.issuer("op")), typ="at+jwt")
        provider.keys["op"] = [case.jwk]
        provider.userinfo = userinfo(case.issuer)
        servers = {one.name: running.enter_context(serving(setting, one, case.issuer)) for one in setting.programs}
        new = replace(make_case("RS256-2048", case.issuer), kid="key-2", typ="at+jwt")
        found, warmed = {}, [0.0]
        for phase, used, change in (
            ("steady", case, lambda: warmed.append(time.monotonic())),
            ("rotation", new, lambda: rotate(provider, [case.jwk, new.jwk], warmed[-1] + wait)),
            ("outage", new, lambda: setattr(provider, "failing", 503)),
        ):
            requests = [request(setting, used.token(**ALLOWED)) for _ in range(TOKENS)]
            found[phase] = in_turns(servers, loader, requests, seconds, change, warm=phase == "steady")
        provider.failing = None
        # Last, for an unknown key makes some of them look for new ones, and then not again for a while.
        asked = {name: verdicts(setting, case, port) for name, (port, _) in servers.items()}
        return list(rows(setting, asked, found))


def rotate(provider: Provider, keys: list[dict[str, str]], earliest: float) -> None:
    """Publish other keys, as soon as it is time."""
    time.sleep(max(0.0, earliest - time.monotonic()))
    provider.keys["op"] = keys


#: What a token has that may do anything here.
ALLOWED: dict[str, Any] = {
    "scope": "orders.read orders.write pay",
    "scp": "orders.read orders.write pay",  # where fastapi-azure-auth looks
    "roles": ["auditor"],
    "ver": "2.0",  # as it wants
}


def userinfo(issuer: str) -> Callable[[str], dict[str, Any] | None]:
    """Return a provider's UserInfo endpoint: it knows its own tokens, whomever they are for."""
    validator = TokenValidator(issuer, AUDIENCE)

    def answer(token: str) -> dict[str, Any] | None:
        try:
            return {"sub": validator.validate(token)["sub"], "email": "ada@example.org"}
        except PyIdentityModelException as error:
            return {"sub": "of another API"} if error.code == "audience_mismatch" else None

    return answer


# ---- servers


@contextmanager
def serving(setting: Setting, program: Program, issuer: str) -> Iterator[tuple[int, int]]:
    """Run a program: its port, and its process."""
    port = _free_port()
    environment = {
        **os.environ,
        "OIDC_ISSUER": issuer,
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_RESOURCE": AUDIENCE,
        "FASTMCP_STATELESS_HTTP": "true",
        "FASTMCP_JSON_RESPONSE": "true",
        "FASTMCP_LOG_LEVEL": "ERROR",
    }
    command = setting.server.format(port=port, app=program.app).split()
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=program.folder, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def status(port: int, method: str, path: str, token: str | None, body: bytes = b"") -> int:
    """Send one request and return the status."""
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


# ---- verdicts


def verdicts(setting: Setting, case: Case, port: int) -> str:
    """Return where a program decides otherwise than it should: what was sent, and the status; "" if nowhere."""
    told = []
    for name, method, path, token, expected in asked_of(setting, case):
        found = status(port, method, path, token, json.dumps(CALL).encode() if setting.mcp else b"")
        told += [] if found == expected else [f"{name}: {found} for {expected}"]
    return "; ".join(told)


def asked_of(setting: Setting, case: Case) -> list[tuple[str, str, str, str | None, int]]:
    """Return requests: a name, method, path, token, and the status of the right answer."""
    now, good = int(time.time()), case.token(**ALLOWED)
    foreign = replace(make_case(case.name, case.issuer), typ=case.typ)
    method, path = ("POST", "/mcp") if setting.mcp else ("GET", "/orders")
    common: list[tuple[str, str | None, int]] = [
        ("good", good, 200),
        ("no token", None, 401),
        ("no JWT", "nothing.of.it", 401),
        ("expired", case.token(**ALLOWED, exp=now - 3600), 401),
        ("early", case.token(**ALLOWED, nbf=now + 3600), 401),
        ("foreign key", foreign.token(**ALLOWED), 401),
        ("unknown key", replace(foreign, kid="nobody's").token(**ALLOWED), 401),
        ("other issuer", case.token(**ALLOWED, iss="https://another.example"), 401),
        ("other audience", case.token(**ALLOWED, aud="https://another.example"), 401),
        ("ID token", replace(case, typ="JWT").token(**ALLOWED, nonce="n", at_hash="h"), 401),
        ("missing scope", case.token(scope="profile", scp="profile"), 403),
    ]
    rows: list[tuple[str, str, str, str | None, int]] = [
        (name, method, path, token, expected) for name, token, expected in common
    ]
    if setting.mcp:
        return rows
    reading = {"scope": "orders.read", "scp": "orders.read"}
    aged = {**ALLOWED, "acr": "phr"}
    return [
        *rows,
        ("writing", "POST", "/orders", good, 200),
        ("writing without its scope", "POST", "/orders", case.token(**reading), 403),
        ("optional, no token", "GET", "/whoami", None, 200),
        ("optional, expired", "GET", "/whoami", case.token(exp=now - 3600), 401),
        ("role", "GET", "/reports", good, 200),
        ("missing role", "GET", "/reports", case.token(**{**ALLOWED, "roles": ["clerk"]}), 403),
        ("step-up", "POST", "/payments", case.token(**aged, auth_time=now - 10), 200),
        ("step-up, login too old", "POST", "/payments", case.token(**aged, auth_time=now - 3600), 401),
        ("step-up, no acr", "POST", "/payments", good, 401),
    ]


# ---- load


def request(setting: Setting, token: str) -> bytes:
    """Return a request as it goes over the wire."""
    body = json.dumps(CALL).encode() if setting.mcp else b""
    lines = [
        "POST /mcp HTTP/1.1" if setting.mcp else "GET /orders HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: application/json, text/event-stream",
        "User-Agent: bench",
        f"Authorization: Bearer {token}",
        *(["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Found:
    """What one candidate did in one phase, turn by turn."""

    turns: list[Answers] = field(default_factory=list)
    #: Seconds of processor time that its process took.
    processor: float = 0.0

    def of_turns(self, figure: Callable[[Answers], float | None]) -> list[float | None]:
        """Return a figure of each turn."""
        return [figure(turn) for turn in self.turns]


def in_turns(
    servers: Mapping[str, tuple[int, int]],
    loader: ProcessPoolExecutor,
    requests: Sequence[bytes],
    seconds: float,
    change: Callable[[], object],
    *,
    warm: bool,
) -> dict[str, Found]:
    """Load the servers one after the other, in an order that turns; *change* happens before the first turn."""
    found = {name: Found() for name in servers}
    names = list(servers)
    if warm:
        for port, _ in servers.values():
            loader.submit(hammer, port, requests, seconds / TURNS, CONNECTIONS).result()
    change()
    for turn in range(TURNS):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            port, process = servers[name]
            before = processor_time(process)
            found[name].turns.append(loader.submit(hammer, port, requests, seconds / TURNS, CONNECTIONS).result())
            found[name].processor += processor_time(process) - before
    return found


def processor_time(process: int) -> float:
    """Return the seconds that a process has computed; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


# ---- figures


def rows(
    setting: Setting, asked: Mapping[str, str], found: Mapping[str, Mapping[str, Found]]
) -> Iterator[dict[str, Any]]:
    """Return what is told of each candidate and phase, with ours as the measure."""
    for phase, candidates in found.items():
        ours = candidates[OURS]
        for name, one in candidates.items():
            yield {
                "framework": setting.name,
                "candidate": name,
                "phase": phase,
                **figures(one),
                "ours_times_requests": ratio(ours, one, per_second),
                "ours_times_p99": ratio(ours, one, p99),
                "ours_times_cpu": ratio_of(processor(ours), processor(one)),
                "other_verdicts": asked[name] if phase == "steady" else "",
            }


def figures(one: Found) -> dict[str, Any]:
    """Return what one candidate did in one phase: medians of its turns, its worst answer, and what it refused."""
    times = [taken for turn in one.turns for taken in turn.times]
    statuses = sum((turn.statuses for turn in one.turns), Counter[int]())
    refused = sum(statuses.values()) - statuses[200]
    return {
        "requests_per_s": round(_median(one.of_turns(per_second)) or 0),
        "p99_ms": _ms(_median(one.of_turns(p99))),
        "worst_ms": _ms(max(times, default=None)),
        "cpu_us": None if not times else round(processor(one) * 1e6),
        "refused": f"{refused} of {sum(statuses.values())}" if refused else "",
    }


def per_second(turn: Answers) -> float | None:
    """Return the good answers per second of one turn; None where there were none."""
    return len(turn.times) / turn.seconds if turn.times else None


def p99(turn: Answers) -> float | None:
    """Return the seconds in which 99 of 100 good answers of one turn came."""
    return sorted(turn.times)[len(turn.times) * 99 // 100] if turn.times else None


def processor(one: Found) -> float:
    """Return the seconds of processor time for each good answer."""
    return one.processor / max(1, sum(len(turn.times) for turn in one.turns))


def ratio(ours: Found, other: Found, figure: Callable[[Answers], float | None]) -> float | None:
    """Return ours as a multiple of the other's: the median over the turns, in which both had the same machine."""
    pairs = zip(ours.of_turns(figure), other.of_turns(figure), strict=True)
    return _rounded(_median([mine / theirs for mine, theirs in pairs if mine and theirs]))


def ratio_of(ours: float, other: float) -> float | None:
    """Return one figure as a multiple of another."""
    return round(ours / other, 2) if ours and other else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
