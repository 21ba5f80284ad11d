"""Redis and Valkey as fleets have them: with TLS, behind sentinels, as a cluster, slow; and what a failover forgets."""

from __future__ import annotations

import gc
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from py_identity_model.exceptions import ConfigurationException, StoreException
from py_identity_model.stores import AsyncRedisStore, RedisStore
from py_identity_model.testing.store_contract import CONTRACT, Subject
from redis_servers import Server, Slow, behind, code_of, free_port, until

# ---- addresses


@pytest.mark.parametrize(
    ("url", "options", "claim"),
    [
        ("", {}, "url"),
        ("https://redis.example.com", {}, "url"),
        ("redis.example.com:6379", {}, "url"),
        (7, {}, "url"),
        ("redis://a:6379,b:6379/0", {}, "url"),
        ("redis://a:port/0", {}, "url"),
        ("redis://user:canary@a:99999/0", {}, "url"),
        ("redis://a/0?socket_timeout=canary", {}, "url"),
        ("redis+sentinel://a:26379,b:26379", {}, "url"),
        ("redis+sentinel://a:26379,b:26379/", {}, "url"),
        ("redis+sentinel://a:26379,b:canary/name", {}, "url"),
        ("unix:///run/redis.sock", {"cluster": True}, "url"),
        ("rediss://a?ssl_cert_reqs=none", {}, "ssl_cert_reqs"),
        ("rediss://a", {"ssl_cert_reqs": "optional"}, "ssl_cert_reqs"),
        ("rediss://a", {"ssl_cert_reqs": None}, "ssl_cert_reqs"),
        ("rediss+sentinel://a/name?ssl_check_hostname=no", {}, "ssl_check_hostname"),
        ("rediss://a", {"ssl_check_hostname": False, "cluster": True}, "ssl_check_hostname"),
        ("redis://a", {"decode_responses": True}, "decode_responses"),
        ("redis://a?decode_responses=True", {}, "decode_responses"),
    ],
)
@pytest.mark.parametrize("make", [RedisStore, AsyncRedisStore])
def test_an_address_that_is_none(make: Any, url: Any, options: Any, claim: str) -> None:
    """What is no address of a store, or turns a check off, is refused by name, and nothing of a password is shown."""
    with pytest.raises(ConfigurationException) as caught:
        make(url, **options)
    assert (caught.value.code, caught.value.claim) == ("store_argument_invalid", claim)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_cluster_that_is_away_is_so_when_it_is_used(away: Any) -> None:
    """To build a store connects to nothing; to use one whose servers are away is an error of the store."""
    nowhere = f"127.0.0.1:{free_port()}"
    for url, options in (
        (f"redis://{nowhere}", {"cluster": True}),
        (f"redis+sentinel://{nowhere}/name", {}),
        (f"rediss://{nowhere}", {}),
        ("unix:///nowhere/redis.sock", {}),
    ):
        store = away(url, timeout=0.3, **options)
        for _ in range(2):
            assert code_of(lambda store=store: store.get("test", "a")) == "store_unavailable"


def test_a_socket_of_the_machine(tmp_path: Path, program: str, away: Any) -> None:
    """A server on the same machine is reached by a socket file."""
    server = Server(tmp_path, "--unixsocket", str(tmp_path / "redis.sock"), program=program)
    store = away(f"unix://{tmp_path}/redis.sock?db=1")
    assert store.add("test", "a", b"x", 60)
    assert store.get("test", "a") == b"x"
    server.kill()


# ---- TLS


@pytest.fixture
def certified(tmp_path: Path, authority: trustme.CA) -> Callable[..., list[str]]:
    """Return the options of a server whose certificate is for some names."""

    def options(*names: str) -> list[str]:
        issued = authority.issue_cert(*names)
        certificate, key, ca = (tmp_path / name for name in ("cert.pem", "key.pem", "authority.pem"))
        certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        ca.write_bytes(authority.cert_pem.bytes())
        files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca]
        return [*map(str, files), "--tls-auth-clients", "no"]

    return options


def test_a_server_with_tls(tmp_path: Path, program: str, certified: Any, ca_file: str, away: Any) -> None:
    """With the CA given every operation works; without it, or with another, the handshake is told of by its code."""
    server = Server(tmp_path, *certified("127.0.0.1"), program=program, scheme="rediss")
    try:
        store = away(server.url, ssl_ca_certs=ca_file)
        for check in CONTRACT:
            check(Subject(store, store, time.sleep, prefix="k" + secrets.token_hex(8)))
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        for options in ({}, {"ssl_ca_certs": str(other)}):
            stranger = away(server.url, **options)
            for _ in range(2):  # the second is refused without asking, for the same reason
                with pytest.raises(StoreException) as caught:
                    stranger.get("test", "a")
                assert caught.value.code == "store_tls_failed"
                assert "ssl_ca_certs" in (caught.value.hint or "")
        plain = away(server.url.replace("rediss", "redis"), timeout=0.5)
        assert code_of(lambda: plain.get("test", "a")) == "store_unavailable"
    finally:
        server.kill()


def test_a_certificate_for_another_name(tmp_path: Path, program: str, certified: Any, ca_file: str, away: Any) -> None:
    """A certificate that the CA issued to somebody else is refused."""
    server = Server(tmp_path, *certified("redis.example.com"), program=program, scheme="rediss")
    try:
        store = away(server.url, ssl_ca_certs=ca_file)
        assert code_of(lambda: store.get("test", "a")) == "store_tls_failed"
    finally:
        server.kill()


# ---- failover


def test_a_server_that_was_started_again_has_another_memory(tmp_path: Path, program: str, away: Any) -> None:
    """Even a server that kept a file may have lost its last marks: proofs made before it started are refused."""
    server = Server(tmp_path, "--appendonly", "yes", program=program)
    try:
        store = away(server.url)
        before, made_at = store.epoch(), time.time() + 0.001
        assert store.add("replay", "a", b"", 600, made_at=made_at)
        store.publish("marks", b"1", 600)
        cursor = store.changes("marks").cursor
        server.kill()
        server.start()
        again = until(lambda: _answering(server, away))
        assert again.get("replay", "a") == b""
        assert again.epoch().name != before.name
        assert code_of(lambda: again.add("replay", "b", b"", 600, made_at=made_at)) == "store_memory_lost"
        assert again.add("replay", "b", b"", 600, made_at=time.time() + 1)
        assert [mark.value for mark in again.changes("marks", cursor).marks] == [b"1"]
    finally:
        server.kill()


def _answering(server: Server, away: Any) -> Any:
    """Return a new store once the server has read its file."""
    store = away(server.url)
    return store if code_of(lambda: store.get("test", "a")) is None else None


class Watched:
    """A master, its replica, and a sentinel that makes the replica the master when the master is gone."""

    def __init__(self, folder: Path, program: str) -> None:
        for name in ("master", "replica", "sentinel"):
            (folder / name).mkdir()
        self.master = Server(folder / "master", program=program)
        follow = ("--replicaof", f"127.0.0.1 {self.master.port}", "--repl-diskless-sync-delay", "0")
        self.replica = Server(folder / "replica", *follow, program=program)
        until(lambda: b"connected_slaves:1" in self.info(self.master))
        config, port = folder / "sentinel" / "sentinel.conf", free_port()
        config.write_text(
            f"port {port}\nbind 127.0.0.1\n"
            f"sentinel monitor orders 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds orders 300\nsentinel failover-timeout orders 2000\n"
        )
        self.sentinel = _Sentinel(config, program, port)
        self.url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/orders/0"
        until(lambda: b"num-slaves" in str(self.sentinel.tell("SENTINEL", "MASTER", "orders")).encode())
        until(lambda: self.sentinel.tell("SENTINEL", "REPLICAS", "orders"))

    @staticmethod
    def info(server: Server) -> bytes:
        with redis.Redis(port=server.port) as client:
            return str(client.info("replication")).replace("'", "").replace(": ", ":").encode()

    def close(self) -> None:
        for each in (self.sentinel, self.replica, self.master):
            each.kill()


class _Sentinel(Server):
    """A sentinel: the same program, told by a file that it writes to itself."""

    def __init__(self, config: Path, program: str, port: int) -> None:
        super().__init__(config.parent, program=program, port=port)
        self.kill()
        self._command = [self._command[0], str(config), "--sentinel"]
        self.start()


@pytest.fixture
def watched(tmp_path: Path, program: str) -> Iterator[Watched]:
    group = Watched(tmp_path, program)
    yield group
    group.close()


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what is left while the test's own warnings count."""
    yield
    gc.collect()


@pytest.mark.usefixtures("collected")
def test_a_failover_during_use(watched: Watched, away: Any) -> None:
    """When the master is gone its replica takes over: the store goes on, and accepts no proof from before."""
    store = away(watched.url, timeout=0.5)
    before, made_at = store.epoch(), time.time() + 0.001
    assert store.add("replay", "a", b"", 600, made_at=made_at)
    fence = store.lease("tokens", "k", 600)
    store.publish("marks", b"1", 600)
    cursor = store.changes("marks").cursor
    until(lambda: watched.info(watched.replica).count(b"master_link_status:up"))
    watched.master.kill()
    assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    new = until(lambda: _taken_over(store))
    assert code_of(lambda: store.add("replay", "late", b"", 600, made_at=made_at)) == "store_memory_lost"
    assert not store.add("replay", "a", b"", 600, made_at=time.time() + 1)
    assert store.add("replay", "b", b"", 600, made_at=time.time() + 1)
    assert new.since > before.since
    assert [mark.value for mark in store.changes("marks", cursor).marks] == [b"1"]
    assert store.lease("tokens", "k", 600) is None
    assert store.release(fence)


def _taken_over(store: Any) -> Any:
    """Return the memory of the new master, once there is one."""
    behind(store)._breakers.of(None, "")._closed_until = 0.0
    code = code_of(lambda: store.put("test", "now", b"", 600))
    assert code in (None, "store_unavailable", "store_read_only")
    return store.epoch() if code is None else None


# ---- clusters

#: redis-py drops connections of nodes that it looks at anew, and leaves it to the garbage collector to close them.
dropped = pytest.mark.filterwarnings(
    "ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning"
)


@contextmanager
def cluster_of(folder: Path, program: str, nodes: int) -> Iterator[list[Server]]:
    """Run a cluster on loopback; one that is killed keeps only its own keys from being used."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
    servers = []
    try:
        for number in range(nodes):
            (folder / str(number)).mkdir()
            bus = ("--cluster-port", str(free_port()))
            servers.append(Server(folder / str(number), *options, *bus, program=program))
        for number, server in enumerate(servers):
            first, last = 16384 * number // nodes, 16384 * (number + 1) // nodes - 1
            server.tell("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            server.tell("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            # a bus port that is not the usual one has to be told
            if number:
                at = servers[0]
                bus_port = at._command[at._command.index("--cluster-port") + 1]
                server.tell("CLUSTER", "MEET", "127.0.0.1", str(at.port), bus_port)
        for server in servers:
            until(lambda server=server: _joined(server, nodes))
        yield servers
    finally:
        for server in servers:
            server.kill()


def _joined(server: Server, nodes: int) -> bool:
    told = str(server.tell("CLUSTER", "INFO"))
    whole = "cluster_state:ok" in told and "cluster_slots_ok:16384" in told
    return whole and f"cluster_known_nodes:{nodes}" in told


@dropped
@pytest.mark.usefixtures("collected")
def test_a_cluster(tmp_path: Path, program: str, away: Any) -> None:
    """In a cluster every operation touches one slot, whichever node it is at."""
    with cluster_of(tmp_path, program, 3) as servers:
        gone = f"127.0.0.1:{free_port()}"
        several = f"redis://{gone},127.0.0.1:{servers[1].port},127.0.0.1:{servers[2].port}"
        stores = [away(url, cluster=True) for url in (servers[0].url, several)]
        for check in CONTRACT:
            check(Subject(*stores, time.sleep, prefix="k" + secrets.token_hex(8)))
        for number in range(64):
            assert stores[0].add("replay", str(number), b"", 600, made_at=time.time() + 1)
        assert all(int(server.tell("DBSIZE")) > 3 for server in servers)
        for store in stores:
            store.close()


@dropped
@pytest.mark.usefixtures("collected")
def test_a_dead_node_keeps_nobody_from_the_others(tmp_path: Path, program: str, away: Any) -> None:
    """What the other nodes hold can be used, by new processes too; what the dead one held is away."""
    with cluster_of(tmp_path, program, 3) as servers:
        store = away(servers[0].url, cluster=True, timeout=0.5)
        assert all(store.put("test", str(number), b"x", 600) for number in range(30))
        servers[2].kill()
        for one in (store, away(servers[0].url, cluster=True, timeout=0.5)):
            began = time.monotonic()
            codes = [code_of(lambda one=one, number=number: one.get("test", str(number))) for number in range(30)]
            assert set(codes) == {None, "store_unavailable"}
            assert codes.count(None) >= 10
            assert time.monotonic() - began < 10
            one.close()


# ---- slow servers


def test_a_server_that_became_slow_is_asked_once_per_pause(slow: Slow, away: Any) -> None:
    """Callers of a server that does not answer in time wait once for all of them, and not once each."""
    store = away(slow.url, timeout=0.3)
    assert store.put("test", "a", b"x", 600)
    slow.deaf = True
    waits = []
    for _ in range(50):
        began = time.monotonic()
        assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
        waits.append(time.monotonic() - began)
    assert max(waits) < 3.0
    assert sum(wait >= 0.3 for wait in waits) <= 1 + sum(waits) // 1.0
    slow.deaf = False
    behind(store)._breakers.of(None, "")._closed_until = 0.0
    assert store.get("test", "a") == b"x"


def test_what_takes_longer_than_it_may_is_a_failure(slow: Slow, away: Any) -> None:
    """A server each of whose answers is just in time, and all of them together are not, is left alone for a while."""
    store = away(slow.url, timeout=0.3)
    slow.delay = 0.25  # opening a connection takes several answers
    assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    began = time.monotonic()
    for _ in range(50):
        assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    assert time.monotonic() - began < 0.3
    slow.delay = 0.0
    behind(store)._breakers.of(None, "")._closed_until = 0.0
    assert store.get("test", "a") is None
