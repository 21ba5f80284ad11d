"""Many people at once, whose tokens expire all the time: several server processes, one store, the real provider.

Ten requests of each session arrive together, spread over all processes, again and again, and nearly each time the token
has expired. Set ``LOGIN_SESSIONS=1000 LOGIN_SECONDS=120 LOGIN_LIFE=5 LOGIN_WORKERS=4`` for the long form.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark import ParameterSet

from doors import free_port, running
from e2e import driver
from py_identity_model import ClientRegistrationRequest, register_client
from redis_servers import Server
from test_login_doors import Visitor

SESSIONS = int(os.environ.get("LOGIN_SESSIONS", "8"))
SECONDS = float(os.environ.get("LOGIN_SECONDS", "2.5"))
#: More sessions than a few need users of their own: an application ends the oldest ones of a user who has too many.
LONG = SESSIONS > 50
USERS = [f"user{number}" for number in range(SESSIONS)] if LONG else ["alice", "bob"]
#: Whole seconds that an access token lives.
LIFE = int(os.environ.get("LOGIN_LIFE", "2"))
WORKERS = int(os.environ.get("LOGIN_WORKERS", "2"))
#: Requests of one session at the same moment, sessions that send at the same moment, and seconds until the next ones.
TOGETHER, AT_ONCE, PAUSE = 10, int(os.environ.get("LOGIN_AT_ONCE", "8" if LONG else "3")), 0 if LONG else 0.05
#: Where in its life a token may be renewed at the earliest: the first window begins at 72 %, as test_token_manager.py
#: proves with a clock that stands still, counted from when the client began to ask, which is before the provider
#: answers by as long as that takes. That is the safe side: no token is used longer than the provider means it. The
#: rest, down to half a life, is for the answers of a busy machine.
EARLIEST = 0.5
HERE = Path(__file__).parent
SERVERS = {
    "asyncio": "uvicorn --log-level warning --timeout-keep-alive 600 --port {} busy_shop:app",
    "threads": "waitress --threads=12 --channel-timeout=600 --listen=127.0.0.1:{} busy_shop_blocking:app",
}
pytestmark = pytest.mark.needs("Node provider")


class Asked(NamedTuple):
    """What the processes answered."""

    statuses: Counter[int]
    #: The tokens that each session used, as digests.
    tokens: dict[str, list[str]]
    #: Seconds that each request took.
    took: list[float]


class Wire:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, cookie: str) -> tuple[int, bytes]:
        """Send a request; return the status and the body."""
        reader, writer = self._link = self._link or await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\ncookie: session={cookie}\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)

    def close(self) -> None:
        """Close it."""
        if self._link is not None:
            self._link[1].close()


class Busy(NamedTuple):
    """The processes, and the provider's side of it."""

    ports: list[int]
    base: str
    provider: driver.Provider

    def log_in(self, user: str) -> str:
        """Log a user in, without a browser; return the session."""
        with self.provider.browser() as browser:
            return self.log_in_with(browser, user)

    def log_in_with(self, browser: driver.Browser, user: str) -> str:
        """Log a user in with what the provider knows a browser by; return the session here."""
        visitor = Visitor(self.base)
        begun = visitor.send("GET", f"/login?next=/token&login_hint={user}").header("location")
        back = browser.authorize(begun, f"{self.base}/callback").url
        assert visitor.send("GET", back).status == 303
        return visitor.cookies["session"]

    def statuses(self, session: str) -> list[int]:
        """Return what each process answers to a session."""
        found = []
        for port in self.ports:
            visitor = Visitor(f"http://127.0.0.1:{port}")
            visitor.cookies["session"] = session
            found.append(visitor.send("GET", "/token", accept="*/*").status)
        return found

    async def ask(self, sessions: dict[str, str], seconds: float) -> Asked:
        """Have all sessions send what they send, for so many seconds, and each once more after them."""
        asked = Asked(Counter(), {session: [] for session in sessions}, [])
        end, those = time.monotonic() + seconds, itertools.cycle(sessions.items())
        late = iter(sessions)

        async def visits() -> None:
            wires = [Wire(self.ports[each % len(self.ports)]) for each in range(TOGETHER)]
            while time.monotonic() < end or next(late, None) is not None:
                session, user = next(those)
                await asyncio.gather(*(self._one(wire, user, session, asked) for wire in wires))
                await asyncio.sleep(PAUSE)
            for wire in wires:
                wire.close()

        await asyncio.gather(*(visits() for _ in range(AT_ONCE)))
        return asked

    @staticmethod
    async def _one(wire: Wire, user: str, session: str, asked: Asked) -> None:
        began = time.perf_counter()
        status, body = await wire.get("/token", session)
        asked.took.append(time.perf_counter() - began)
        asked.statuses[status] += 1
        if status == 200:
            answer = json.loads(body)
            assert answer["subject"] == user
            if answer["token"] not in asked.tokens[session]:
                asked.tokens[session].append(answer["token"])


def over_redis(server: str) -> ParameterSet:
    """Return the parameter for a server whose sessions are in Redis."""
    return pytest.param((server, "redis"), id=f"redis-{server}", marks=pytest.mark.needs("Redis"))


BOTH = [pytest.param(("asyncio", "sqlite"), id="sqlite-asyncio"), over_redis("threads")]
REST = [pytest.param(("threads", "sqlite"), id="sqlite-threads"), over_redis("asyncio")]


@pytest.fixture(scope="module", params=[*BOTH, *(REST if LONG else ())])
def busy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """The processes over a file, and over Redis."""
    tmp_path = tmp_path_factory.mktemp("busy")
    ports = [free_port() for _ in range(WORKERS)]
    base = f"http://127.0.0.1:{ports[0]}"
    with ExitStack() as ends:
        provider = driver.Provider(tmp_path, accounts=USERS) if LONG else request.getfixturevalue("provider")
        if LONG:
            ends.callback(provider.close)
        client = register_client(
            ClientRegistrationRequest(
                f"{provider.issuer}/reg",
                [f"{base}/callback"],
                grant_types=["authorization_code", "refresh_token"],
                extra_metadata={
                    "backchannel_logout_uri": f"{base}/backchannel-logout",
                    "backchannel_logout_session_required": True,
                },
            )
        )
        client.raise_for_error()
        provider.let_tokens_live(client.client_id or "", LIFE)
        where = str(tmp_path / "sessions.db")
        server, kind = request.param
        if kind == "redis":
            redis = Server(tmp_path)
            ends.callback(redis.kill)
            where = redis.url
        told = {
            "OIDC_ISSUER": provider.issuer,
            "OIDC_CLIENT_ID": client.client_id or "",
            "OIDC_CLIENT_SECRET": client.client_secret or "",
            "BASE_URL": base,
            "SESSIONS": where,
        }
        for port in ports:
            ends.enter_context(running(SERVERS[server].format(port).split(), HERE, port, **told))
        yield Busy(ports, base, provider)


def test_a_logout_at_the_provider_is_seen_by_every_process(busy: Busy) -> None:
    """The provider tells one of them; the other sessions of the user, at the provider too, go on."""
    with busy.provider.browser() as browser:
        session, other = busy.log_in_with(browser, "alice"), busy.log_in("alice")
        assert (busy.statuses(session), busy.statuses(other)) == ([200] * WORKERS, [200] * WORKERS)
        browser.logout(f"{busy.provider.issuer}/session/end")
    assert (busy.statuses(session), busy.statuses(other)) == ([401] * WORKERS, [200] * WORKERS)


def test_each_expiry_makes_one_renewal(busy: Busy) -> None:
    """Nobody is refused, and each session renews once for each token that expires, whichever process is asked."""
    users = [USERS[number % len(USERS)] for number in range(SESSIONS)]
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        sessions = dict(zip(pool.map(busy.log_in, users), users, strict=True))
    logged_in = time.monotonic() - began
    before = busy.provider.renewals()
    asked = asyncio.run(busy.ask(sessions, SECONDS))
    renewals = busy.provider.renewals()
    renewals["grants"] = {name: each for name, each in renewals["grants"].items() if name not in before["grants"]}
    renewals |= {
        "times": renewals["times"][len(before["times"]) :],
        **{each: renewals[each] - before[each] for each in ("refused", "revoked")},
    }
    tell(asked, renewals, logged_in, time.monotonic() - began - logged_in)
    assert set(asked.statuses) == {200}, asked.statuses
    assert (renewals["refused"], renewals["revoked"]) == (0, 0)
    used = sum(len(each) for each in asked.tokens.values())
    assert len(renewals["times"]) >= SESSIONS
    assert 0 <= len(renewals["times"]) + len(sessions) - used <= len(sessions)  # the first one may expire unused
    gaps = [b - a for times in renewals["grants"].values() for a, b in itertools.pairwise(times)]
    assert min(gaps, default=LIFE) >= LIFE * EARLIEST


def tell(asked: Asked, renewals: dict[str, list[float]], logged_in: float, seconds: float) -> None:
    """Print the figures."""
    took = sorted(asked.took)
    p50, p99, longest = (1000 * took[math.ceil(len(took) * part) - 1] for part in (0.5, 0.99, 1))
    print(
        f"\n{SESSIONS} sessions logged in over {logged_in:.0f} s; {len(took)} requests in {seconds:.0f} s by {WORKERS}",
        f"processes: {dict(asked.statuses)}; {len(renewals['times'])} renewals, {renewals['refused']} refused,",
        f"{renewals['revoked']} revoked; p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms",
    )
