"""One login of the real provider, which rotates refresh tokens and revokes a grant whose refresh token comes twice.

Processes of threads, of asyncio and of trio use it at once, over a file and over Redis, and who renews may be killed.
Set ``TOKEN_EXPIRIES=1000 TOKEN_TASKS=1000 TOKEN_RENEWAL=4`` for the long form: eight processes, as many expiries.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import token_worker
from e2e import driver
from e2e.clients import REDIRECT_URI
from py_identity_model import LoginRequest, OAuthClient
from py_identity_model.stores import EncryptedStore, RedisStore, SqliteStore
from redis_servers import Server
from token_fleet import Fleet, alike

EXPIRIES = int(os.environ.get("TOKEN_EXPIRIES", "4"))
TASKS = int(os.environ.get("TOKEN_TASKS", "6"))
#: Whole seconds that an access token lives.
LIFE = int(os.environ.get("TOKEN_LIFE", "2"))
LONG = EXPIRIES > 100
#: What may be told where no token is good, on a machine that is too slow for thousands of callers: that it takes too
#: long, or that the provider or the store did not answer in time.
TOO_SLOW = re.compile("failed (token_renewal_slow|token_unavailable|store_unavailable) over ")
#: Programs of one user, at once: three tabs, fifty threads, one program of asyncio and one of trio.
EVERYTHING = [*[("threads", 1)] * 3, ("threads", 50), ("asyncio", 50), ("trio", 50)]


class Known(NamedTuple):
    """The client, as processes know it."""

    issuer: str
    client_id: str
    client_secret: str


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[driver.Provider]:
    """A provider of its own, whose access tokens live for a moment."""
    driver.install()
    running = driver.Provider(tmp_path, access_token_ttl=LIFE)
    yield running
    running.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    server = Server(tmp_path)
    yield server.url
    server.kill()


def logged_in(provider: driver.Provider, where: str) -> Known:
    """Log the user in, and leave the tokens in the store."""
    registered = provider.clients["secret-basic"]
    known = Known(provider.issuer, registered.client_id, registered.client_secret or "")
    store: Any = EncryptedStore(RedisStore(where), [token_worker.SEAL]) if "://" in where else SqliteStore(where)
    client = OAuthClient(**known._asdict(), redirect_uri=REDIRECT_URI, scope="openid offline_access", store=store)
    start = client.begin_login(LoginRequest(login_hint=token_worker.SUBJECT, prompt="consent"))
    start.raise_for_error()
    returned = provider.follow_login(start.url, REDIRECT_URI)
    client.complete_login(returned.url, start.transaction).raise_for_error()
    store.close()
    return known


def played(provider: driver.Provider, where: str, programs: list[tuple[str, int]], **deaths: Any) -> Fleet:
    """Let the programs use one login for as long as it takes for so many tokens to expire."""
    fleet = Fleet(logged_in(provider, where), where, programs, **deaths)
    fleet.run(EXPIRIES * LIFE * (1.2 if deaths else 1))
    return fleet


def told(fleet: Fleet, provider: driver.Provider) -> dict[str, Any]:
    """Print what came of it, and return what the provider saw."""
    seen = provider.renewals()
    times = seen.pop("times")
    seen["renewals"] = len(times)
    print(
        f"{seen} calls={fleet.calls} deaths={fleet.deaths} seconds={fleet.seconds:.0f} failures={len(fleet.failures)}",
        *Counter(" ".join(told.split()[:3]) for told in fleet.failures).most_common(),
        sep="\n",
    )
    return seen


def check(fleet: Fleet, provider: driver.Provider) -> None:
    """No token was renewed twice or before its time, the login is alive, and nobody failed who had a good token. In the
    long form, with thousands of callers, some without one may hear that it takes too long.
    """
    seen = told(fleet, provider)
    assert [each for each in fleet.failures if not (LONG and TOO_SLOW.match(each))] == []
    assert (seen["refused"], seen["revoked"]) == (0, 0)


def test_three_tabs_fifty_threads_asyncio_and_trio_at_once(provider: driver.Provider, tmp_path: Path) -> None:
    """Whatever programs of a user run at once, they share one login, and each expiry costs one renewal."""
    check(played(provider, str(tmp_path / "tokens.db"), EVERYTHING), provider)
    assert len(provider.renewals()["times"]) >= EXPIRIES  # each token is renewed before it expires


def play_with_deaths(provider: driver.Provider, where: str, grave: str) -> None:
    # Processes die with the lease in hand, with the request on its way, and after the new tokens were kept. In the long
    # form one renewal of twenty is cut short: a lease lasts longer than a token lives here.
    provider.kill_clients(60 if LONG else 4, grave)
    chance = 1 / 60 if LONG else 0.2
    fleet = played(provider, where, alike(8 if LONG else 3, TASKS), step="any", chance=chance, grave=grave)
    check(fleet, provider)
    assert fleet.deaths >= 1


def test_the_death_of_who_renews_loses_no_login(provider: driver.Provider, tmp_path: Path) -> None:
    """Killed at any step but between the provider's answer and its being kept, which nothing survives: the others go on
    when the lease is over, and until then wait.
    """
    play_with_deaths(provider, str(tmp_path / "tokens.db"), str(tmp_path / "grave"))


def test_the_death_of_who_renews_loses_no_login_over_redis(
    provider: driver.Provider, redis: str, tmp_path: Path
) -> None:
    """The same over Redis."""
    play_with_deaths(provider, redis, str(tmp_path / "grave"))
