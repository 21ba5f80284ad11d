"""Both doors on real sockets: deadlines, caps, TLS, clients and their ends, threads, loops, forks and exits."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trio
import trustme

from py_identity_model import observability
from py_identity_model._core.base.flow import (
    IMPATIENT,
    ClientCertificate,
    ExchangeTimeout,
    Flow,
    Reply,
    Request,
    background,
    get,
    now,
    resolve,
    send,
    sleep,
    wait,
)
from py_identity_model._fapi import fapi_tls_context
from py_identity_model._tls import tls_context
from py_identity_model.aio import _clients as aio_clients
from py_identity_model.aio import _driver as aio_driver
from py_identity_model.exceptions import ConfigurationException, TransportException
from py_identity_model.sync import _clients as sync_clients
from py_identity_model.sync import _driver as sync_driver

#: A deadline long enough for a busy machine to connect, short enough to wait for.
SHORT = 0.2
#: What a deadline may be overshot by on a busy machine.
SLACK = 1.5

CLIENTS = {
    "own": lambda kind: None,
    "httpx2": lambda kind: (httpx2.Client if kind == "sync" else httpx2.AsyncClient)(verify=tls_context()),
    "httpx": lambda kind: (httpx.Client if kind == "sync" else httpx.AsyncClient)(verify=tls_context()),
}


def wrapped(kind: str) -> Any:
    """Return an ``HTTPClient``."""
    return (sync_clients if kind == "sync" else aio_clients).HTTPClient()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust and proxies as on a machine where nobody set a variable."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def perform_with(driver: Any, flow: Flow[Any], make: Callable[[str], Any] = CLIENTS["own"]) -> Any:
    """Run a flow with a client made for the occasion, and close that client."""
    if driver.kind == "sync":
        client = make("sync")
        try:
            return sync_driver.run(flow, client)
        finally:
            if client is not None:
                client.close()

    async def in_loop() -> Any:
        client = make(driver.kind)
        try:
            return await aio_driver.run(flow, client)
        finally:
            if client is not None:
                await client.aclose()

    return driver.loop(in_loop)


def fetch(driver: Any, request: Request, make: Callable[[str], Any] = CLIENTS["own"]) -> Reply:
    """Send one request."""
    reply: Reply = perform_with(driver, send(request), make)
    return reply


def in_a_row(*urls: str) -> Flow[Reply]:
    """Fetch one after another."""
    for url in urls[:-1]:
        yield from send(get(url))
    return (yield from send(get(urls[-1])))


def refusal(driver: Any, request: Request, make: Callable[[str], Any] = CLIENTS["own"]) -> TransportException:
    """Return what sending raises."""
    with pytest.raises(TransportException) as refused:
        fetch(driver, request, make)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    return refused.value


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Each kind of client that can be a transport."""
    return CLIENTS[request.param]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short total deadline."""
    monkeypatch.setenv("HTTP_TIMEOUT", str(SHORT))


# ---- one exchange


def test_an_exchange(driver: Any, client: Any, fault_server: Any) -> None:
    """Method, query, headers and body go out; status, headers and body come back; nothing is left open."""
    request = Request("POST", fault_server.url("echo?a=b%20c"), (("X-Twice", "1"), ("X-Twice", "2")), b"grant=x")
    reply = fetch(driver, request, client)
    assert json.loads(reply.body) == {"method": "POST", "target": "/echo?a=b%20c", "body": "grant=x"}
    assert (reply.status, reply.header("content-type"), reply.url) == (200, "application/json", request.url)
    seen = fault_server.requests[0]
    assert seen.header("x-twice") == ["1", "2"]
    assert seen.header("accept-encoding") == ["identity"]
    assert fault_server.wait_until(lambda: fault_server.opened == fault_server.closed or client is CLIENTS["own"])


def test_connections_are_reused(driver: Any, client: Any, fault_server: Any) -> None:
    """Two requests in a row share a connection."""
    perform_with(driver, in_a_row(fault_server.url("ok"), fault_server.url("ok")), client)
    assert (fault_server.opened, len(fault_server.requests)) == (1, 2)


def test_redirects_are_never_followed_by_a_client(driver: Any, fault_server: Any) -> None:
    """[K12] A client told to follow redirects does not: that decision belongs to the flow."""

    def eager(kind: str) -> Any:
        return (httpx2.Client if kind == "sync" else httpx2.AsyncClient)(follow_redirects=True)

    reply = fetch(driver, get(fault_server.url("redirect/3")), eager)
    assert (reply.status, len(fault_server.requests)) == (302, 1)


def test_cookies_are_neither_kept_nor_sent(driver: Any, client: Any, fault_server: Any) -> None:
    """A cookie that a provider sets never comes back to it."""
    perform_with(driver, in_a_row(fault_server.url("cookie"), fault_server.url("ok")), client)
    assert fault_server.requests[1].header("cookie") == []


def test_a_foreign_client_adds_no_cookies_and_nothing_to_our_own_credentials(driver: Any, fault_server: Any) -> None:
    """[T5] Cookies of an injected client stay out, credentials where a request has its own; its headers go along."""

    def decorated(kind: str) -> Any:
        kinds: dict[str, Any] = {"params": {"x": "1"}, "auth": ("user", "pass"), "cookies": {"a": "b"}}
        return (httpx.Client if kind == "sync" else httpx.AsyncClient)(headers={"X-Gateway": "7"}, **kinds)

    fetch(driver, get(fault_server.url("ok?q=1"), {"Authorization": "Bearer own"}), decorated)
    seen = fault_server.requests[0]
    assert seen.target == "/ok?q=1"
    assert (seen.header("authorization"), seen.header("cookie")) == (["Bearer own"], [])
    assert seen.header("x-gateway") == ["7"]


def test_netrc_is_never_read(driver: Any, fault_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[T5] Credentials in a netrc file go nowhere."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    fetch(driver, get(fault_server.url("ok")))
    assert fault_server.requests[0].header("authorization") == []


def test_proxies_of_the_environment_are_used(driver: Any, fault_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[T5] A proxy that the environment names gets the request, and its credentials go to it alone."""
    monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{fault_server.port}")
    reply = fetch(driver, get("http://id.example.com/ok"), wrapped)
    assert reply.status == 200
    seen = fault_server.requests[0]
    assert seen.target == "http://id.example.com/ok"
    assert len(seen.header("proxy-authorization")) == 1
    assert seen.header("authorization") == []


def test_an_unusable_proxy_is_a_configuration_error(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of an unknown scheme is reported without its credentials."""
    monkeypatch.setenv("http_proxy", "gopher://user:canary@127.0.0.1:1")
    with pytest.raises(ConfigurationException) as refused:
        fetch(driver, get("http://id.example.com/ok"), wrapped)
    assert refused.value.code == "proxy_invalid"
    assert "canary" not in "".join(traceback.format_exception(refused.value))


# ---- faults


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("truncated", "protocol_error"),
        ("reset", "connection_lost"),
        ("garbage", "protocol_error"),
        ("huge", "response_too_large"),
        ("endless", "response_too_large"),
        ("unsized", "response_too_large"),
        ("boastful", "response_too_large"),
        ("bomb", "encoding_refused"),
    ],
)
def test_bad_replies_have_names(driver: Any, client: Any, fault_server: Any, path: str, code: str) -> None:
    """[T1] [T2] Truncated, reset, garbled, oversized and compressed replies are told apart by code."""
    assert refusal(driver, get(fault_server.url(path + "?code=canary")), client).code == code


@pytest.mark.parametrize("path", ["ok", "identity", "modest"])
def test_good_replies_pass(driver: Any, client: Any, fault_server: Any, path: str) -> None:
    """An identity coding is none; bytes beyond a declared length are never taken for body."""
    reply = fetch(driver, get(fault_server.url(path), limit=12), client)
    assert reply.body == (b'{"ok' if path == "modest" else b'{"ok": true}')


@pytest.mark.parametrize("path", ["huge", "endless", "unsized"])
def test_memory_stays_small(driver: Any, fault_server: Any, path: str) -> None:
    """[T2] Reading stops at the cap: neither the memory nor the network carries the rest."""
    fetch(driver, get(fault_server.url("ok")))
    tracemalloc.start()
    try:
        refusal(driver, get(fault_server.url(path), limit=100_000))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert fault_server.wait_until(lambda: fault_server.closed >= 1)
    assert fault_server.sent < 32 * 1024 * 1024


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("path", ["delay", "drip", "drip-head"])
def test_the_deadline_is_total(driver: Any, fault_server: Any, path: str) -> None:
    """Silence, and bytes that drip into the body or the head, end at the one deadline of the exchange (T3)."""
    start = time.monotonic()
    assert refusal(driver, get(fault_server.url(path))).code == "timeout"
    assert time.monotonic() - start < SHORT + SLACK


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("path", ["drip", "drip-head"])
def test_the_deadline_holds_on_a_connection_used_before(driver: Any, client: Any, fault_server: Any, path: str) -> None:
    """A kept connection whose second reply drips is bound as the first was, with any client (T3)."""
    start = time.monotonic()
    with pytest.raises(TransportException) as refused:
        perform_with(driver, in_a_row(fault_server.url("ok"), fault_server.url(path)), client)
    assert refused.value.code == "timeout"
    assert time.monotonic() - start < SHORT + SLACK
    assert fault_server.opened == 1


@pytest.mark.usefixtures("short")
def test_the_deadline_covers_the_handshake(driver: Any, fault_server: Any) -> None:
    """[T3] A server that accepts and says nothing to a TLS hello is left at the deadline."""
    start = time.monotonic()
    assert refusal(driver, get(fault_server.url("ok").replace("http:", "https:"))).code == "timeout"
    assert time.monotonic() - start < SHORT + SLACK


@pytest.mark.usefixtures("short")
def test_the_deadline_covers_the_look_up(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[T3] A resolver that never answers is left at the deadline."""
    release = threading.Event()

    def look_up(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
        if not flags & socket.AI_NUMERICHOST:  # which takes no look-up
            release.wait(5)
        raise socket.gaierror(socket.EAI_NONAME, "no name")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    timer = threading.Timer(SHORT + 0.2, release.set)
    timer.start()
    start = time.monotonic()
    try:
        assert refusal(driver, get("https://id.example.com/")).code == "timeout"
        assert time.monotonic() - start < SHORT + SLACK
    finally:
        release.set()
        timer.join()


def test_addresses_share_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """[T3] A host with four silent addresses costs one deadline, not four."""
    from py_identity_model import _deadline as deadline

    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: [None] * 4)
    with deadline.within(8.0):
        assert deadline.Timeouts({}, "id.example.com").get("connect") == pytest.approx(2.0, abs=0.2)
        assert deadline.Timeouts({}, "127.0.0.1").get("connect") == pytest.approx(8.0, abs=0.2)
        assert deadline.Timeouts({}, "localhost").get("connect") == pytest.approx(8.0, abs=0.2)
        assert deadline.Timeouts({"read": 0.1}, "id.example.com").get("read") == 0.1
        assert deadline.Timeouts({}).get("connect") == pytest.approx(8.0, abs=0.2)
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
        assert deadline.Timeouts({}, "id.example.com").get("connect") == pytest.approx(8.0, abs=0.2)
    assert deadline.remaining(3.0) == 3.0


def test_an_injected_client_keeps_its_own_timeouts(driver: Any, fault_server: Any) -> None:
    """A client's shorter timeout applies as well."""

    def hasty(kind: str) -> Any:
        return (httpx.Client if kind == "sync" else httpx.AsyncClient)(timeout=0.1)

    start = time.monotonic()
    assert refusal(driver, get(fault_server.url("delay")), hasty).code == "timeout"
    assert time.monotonic() - start < SLACK


def test_an_http_client_has_its_own_deadline(driver: Any, fault_server: Any) -> None:
    """``HTTPClient(timeout=...)`` is a total deadline too."""

    def hasty(kind: str) -> Any:
        return (sync_clients if kind == "sync" else aio_clients).HTTPClient(timeout=0.2)

    assert refusal(driver, get(fault_server.url("drip")), hasty).code == "timeout"


def test_the_deadline_of_an_http_client_is_what_an_operation_reckons_with(driver: Any) -> None:
    """``HTTPClient(timeout=...)`` says how long an exchange may take, in place of ``HTTP_TIMEOUT``."""

    def asked() -> Flow[float]:
        seconds: float = yield ExchangeTimeout()
        return seconds

    module = sync_clients if driver.kind == "sync" else aio_clients
    clients = module.HTTPClient(timeout=7.5), module.HTTPClient(), None
    assert [driver.run(asked(), each) for each in clients] == [7.5, 30.0, 30.0]


def test_nobody_home(driver: Any, client: Any) -> None:
    """A refused connection and a name that does not exist are two things."""
    assert refusal(driver, get("http://127.0.0.1:1/"), client).code == "connect_failed"
    assert refusal(driver, get("https://nobody.invalid/"), client).code == "dns_failed"


@pytest.mark.parametrize("path", ["truncated", "reset", "bomb", "huge"])
def test_no_fault_tells_a_secret(driver: Any, client: Any, fault_server: Any, path: str) -> None:
    """Tokens in the query, a header or the body are in no message, traceback, pickle or attribute (T6)."""
    request = Request(
        "POST", fault_server.url(path) + "?token=canary", (("Authorization", "Bearer canary"),), b"secret=canary"
    )
    error = refusal(driver, request, client)
    shown = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    assert not [text for text in shown if "canary" in text]
    assert b"canary" not in pickle.dumps(error)


# ---- TLS


def test_tls(driver: Any, tls_server: Any, ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[K14] A certificate of a trusted authority for the right name is accepted, by environment or by argument."""
    server = tls_server()
    assert refusal(driver, get(server.url("ok"))).code == "tls_failed"

    def trusting(kind: str) -> Any:
        return (sync_clients if kind == "sync" else aio_clients).HTTPClient(verify=ca_file)

    assert fetch(driver, get(server.url("ok", "localhost")), trusting).status == 200
    sync_clients.close_http_client()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
    assert fetch(driver, get(server.url("ok", "localhost"))).status == 200


TLS_CLIENTS: dict[str, Callable[[str, str], Any]] = {
    "HTTPClient": lambda kind, ca: (sync_clients if kind == "sync" else aio_clients).HTTPClient(verify=ca),
    "fapi": lambda kind, ca: (httpx2.Client if kind == "sync" else httpx2.AsyncClient)(verify=fapi_tls_context(ca)),
}


@pytest.mark.parametrize("client", TLS_CLIENTS)
@pytest.mark.parametrize("other_name", [None, "other.example.com"])
def test_a_name_counts_only_as_an_alternative_name(
    driver: Any, tls_server: Any, authority: trustme.CA, ca_file: str, client: str, other_name: str | None
) -> None:
    """[K14] A certificate whose subject alone bears the host's name is refused by every client (RFC 9525 2)."""
    server = tls_server(authority.issue_cert(*([other_name] if other_name else []), common_name="localhost"))
    refused = refusal(driver, get(server.url("ok", "localhost")), lambda kind: TLS_CLIENTS[client](kind, ca_file))
    assert refused.code == "tls_failed"
    assert server.requests == []


def old_protocol(context: Any) -> None:
    """Let a server speak nothing newer than TLS 1.1."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    import ssl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1


@pytest.mark.parametrize("case", ["expired", "not yet", "wrong host", "wrong authority", "old protocol"])
def test_bad_tls_is_refused(
    driver: Any, tls_server: Any, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """[K14] Expired, early, foreign and self-made certificates and old protocols are refused in any environment."""
    for name in ("PYTHONHTTPSVERIFY", "SSL_VERIFY", "HTTPX_VERIFY"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    day = [datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 1, 2, tzinfo=UTC)]
    late = [datetime(2101, 1, 1, tzinfo=UTC), datetime(2101, 1, 2, tzinfo=UTC)]
    certificates: dict[str, Callable[[], trustme.LeafCert]] = {
        "expired": lambda: authority.issue_cert("localhost", not_before=day[0], not_after=day[1]),
        "not yet": lambda: authority.issue_cert("localhost", not_before=late[0], not_after=late[1]),
        "wrong host": lambda: authority.issue_cert("id.example.com"),
        "wrong authority": lambda: trustme.CA().issue_cert("localhost"),
        "old protocol": lambda: authority.issue_cert("localhost"),
    }
    server = tls_server(certificates[case](), old_protocol if case == "old protocol" else bool)
    assert refusal(driver, get(server.url("ok", "localhost"))).code == "tls_failed"
    assert server.requests == []


@pytest.fixture
def mtls_server(tls_server: Any, authority: trustme.CA) -> Any:
    """A server that demands a certificate of the authority."""
    import ssl

    def demand(context: ssl.SSLContext) -> None:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    return tls_server(None, demand)


def identity(authority: trustme.CA, name: str) -> ClientCertificate:
    """Return a client certificate as PEM texts."""
    issued = authority.issue_cert(f"{name}@example.com", common_name=name)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode()
    return ClientCertificate(chain, issued.private_key_pem.bytes().decode())


def test_client_certificates(
    driver: Any, mtls_server: Any, authority: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request shows the certificate it names, on a connection of its own, from PEM text or from files."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    ada, bob = identity(authority, "ada"), identity(authority, "bob")
    (tmp_path / "bob.pem").write_text(bob.certificate)
    (tmp_path / "bob.key").write_text(bob.private_key)
    files = ClientCertificate(str(tmp_path / "bob.pem"), str(tmp_path / "bob.key"))
    url = mtls_server.url("ok", "localhost")

    def all_of_them() -> Flow[None]:
        for certificate in (ada, files, ada):
            yield from send(get(url, certificate=certificate))

    driver.run(all_of_them())
    shown = [dict(pair[0] for pair in seen.peer_certificate["subject"]) for seen in mtls_server.requests]
    assert [subject["commonName"] for subject in shown] == ["ada", "bob", "ada"]
    assert mtls_server.opened == 2
    assert refusal(driver, get(url)).code in ("tls_failed", "connection_lost", "protocol_error")


def test_a_renewed_certificate_file_is_read_again(
    driver: Any, mtls_server: Any, authority: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that is replaced on disk is shown from the next request on."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    path = tmp_path / "both.pem"
    url = mtls_server.url("ok", "localhost")

    def renewed() -> Flow[None]:
        for name in ("ada", "grace"):
            fresh = identity(authority, name)
            path.write_text(fresh.certificate + fresh.private_key)
            yield from send(get(url, certificate=ClientCertificate(str(path), str(path))))

    driver.run(renewed())
    shown = [dict(pair[0] for pair in seen.peer_certificate["subject"]) for seen in mtls_server.requests]
    assert [subject["commonName"] for subject in shown] == ["ada", "grace"]


def encrypted(authority: trustme.CA, password: str) -> ClientCertificate:
    """Return a client certificate with an encrypted key and *password* beside it."""
    from cryptography.hazmat.primitives import serialization

    plain = identity(authority, "ada")
    key = serialization.load_pem_private_key(plain.private_key.encode(), None)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    ).decode()
    return ClientCertificate(plain.certificate, text, password or None)


def test_an_encrypted_key_opens_with_its_password(authority: trustme.CA) -> None:
    """A wrong or missing password is a configuration error that shows neither password nor key, and never a prompt."""
    good = encrypted(authority, "open sesame")
    tls_context(None, good.certificate, good.private_key, good.password)
    for password in ("canary", ""):
        bad = encrypted(authority, password)
        with pytest.raises(ConfigurationException) as refused:
            tls_context(None, bad.certificate, bad.private_key, bad.password)
        assert refused.value.code == "client_certificate_invalid"
        assert "canary" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("part", ["certificate", "key", "other key"])
def test_unusable_certificates_are_configuration_errors(driver: Any, authority: trustme.CA, part: str) -> None:
    """A broken certificate or key, and a key of another certificate, are refused before anything is sent."""
    good = identity(authority, "ada")
    pem = "-----BEGIN CANARY-----\nx\n-----END CANARY-----\n"
    bad = {
        "certificate": ClientCertificate(pem, good.private_key),
        "key": ClientCertificate(good.certificate, pem),
        "other key": ClientCertificate(good.certificate, identity(authority, "bob").private_key),
    }[part]
    with pytest.raises(ConfigurationException) as refused:
        fetch(driver, get("https://127.0.0.1:1/", certificate=bad))
    assert refused.value.code == "client_certificate_invalid"


@pytest.mark.parametrize("path", ["missing.pem", "nonsense.pem", "."])
def test_an_unusable_ca_bundle_is_a_configuration_error(tmp_path: Path, path: str) -> None:
    """A CA bundle that is missing or not PEM is refused by its path; an empty directory trusts nobody."""
    (tmp_path / "nonsense.pem").write_text("nonsense")
    if path == ".":
        assert tls_context(str(tmp_path)).get_ca_certs() == []
        return
    with pytest.raises(ConfigurationException) as refused:
        tls_context(str(tmp_path / path))
    assert refused.value.code == "ca_bundle_invalid"


def test_contexts_are_built_once(ca_file: str) -> None:
    """The same files give the same context, a changed file another one."""
    first = tls_context(ca_file)
    assert tls_context(ca_file) is first
    assert tls_context() is tls_context(True)
    os.utime(ca_file, (1, 1))
    assert tls_context(ca_file) is not first


# ---- whose client


def test_the_wrong_kind_of_client_is_named(driver: Any) -> None:
    """An async client for the sync API and the reverse, coroutine functions and other things are refused by name."""

    async def coroutine(request: Request) -> Reply:
        return Reply(200)

    with httpx.Client() as blocking:
        other = aio_clients.HTTPClient() if driver.kind == "sync" else sync_clients.HTTPClient()
        wrong: list[Any] = [other, "https://id.example.com", 7]
        wrong += [httpx.AsyncClient(), httpx2.AsyncClient(), coroutine] if driver.kind == "sync" else [blocking]
        for client in wrong:
            with pytest.raises(ConfigurationException) as refused:
                driver.run(send(get("https://127.0.0.1:1/")), client)
            assert refused.value.code == "http_client_invalid"
            assert type(client).__qualname__ in str(refused.value)
            assert refused.value.hint


def test_http_client_refuses_the_wrong_client() -> None:
    """``HTTPClient`` wraps the kind of client its API can use, and nothing else."""
    with httpx.Client() as blocking, pytest.raises(ConfigurationException):
        aio_clients.HTTPClient(blocking)  # type: ignore[arg-type] # the mistake under test
    for wrong in (httpx.AsyncClient(), lambda request: Reply(200), 7):
        with pytest.raises(ConfigurationException):
            sync_clients.HTTPClient(wrong)  # type: ignore[arg-type] # the mistake under test


def test_functions_are_transports(driver: Any) -> None:
    """A function from request to reply is a transport, an async one too where one can be awaited."""

    async def later(request: Request) -> Reply:
        await anyio.sleep(0)
        return Reply(202)

    assert driver.run(send(get("https://id.example.com/")), lambda request: Reply(201)).status == 201
    if driver.kind != "sync":
        assert driver.run(send(get("https://id.example.com/")), later).status == 202
        assert driver.run(send(get("https://id.example.com/")), lambda request: later(request)).status == 202
    else:
        with pytest.raises(ConfigurationException) as refused:
            driver.run(send(get("https://id.example.com/")), lambda request: later(request))
        assert refused.value.code == "awaitable_refused"


def test_failures_of_a_function_are_translated(driver: Any) -> None:
    """What a function raises is named like any transport's failure; bugs stay bugs."""

    def raising(error: Exception) -> Callable[[Request], Reply]:
        def function(request: Request) -> Reply:
            raise error

        return function

    with pytest.raises(TransportException) as refused:
        driver.run(send(get("https://id.example.com/")), raising(ConnectionRefusedError("canary")))
    assert refused.value.code == "connect_failed"
    with pytest.raises(ZeroDivisionError):
        driver.run(send(get("https://id.example.com/")), raising(ZeroDivisionError()))


@pytest.mark.usefixtures("short")
def test_a_slow_function_is_left_at_the_deadline() -> None:
    """The deadline holds for coroutine functions."""

    async def slow(request: Request) -> Reply:
        await anyio.sleep(20)
        return Reply(200)

    for runner in (asyncio.run, lambda coroutine: trio.run(lambda: coroutine)):
        with pytest.raises(TransportException) as refused:
            runner(aio_driver.run(send(get("https://id.example.com/")), slow))
        assert refused.value.code == "timeout"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_mocked_transports(driver: Any, library: Any) -> None:
    """A client with a mocked transport works as in its library's own tests, and is held to the cap."""

    def mocked(kind: str) -> Any:
        handler = library.MockTransport(lambda request: library.Response(200, json={"path": request.url.path}))
        return (library.Client if kind == "sync" else library.AsyncClient)(transport=handler)

    assert json.loads(fetch(driver, get("https://id.example.com/a"), mocked).body) == {"path": "/a"}
    assert refusal(driver, get("https://id.example.com/a", limit=3), mocked).code == "response_too_large"


def test_closed_clients_are_refused(driver: Any) -> None:
    """A client that was closed is a mistake of the caller, not a failure of the network."""

    def closed(make: Any) -> None:
        client = make()
        if driver.kind == "sync":
            client.close()
            with pytest.raises(ConfigurationException) as refused:
                sync_driver.run(send(get("http://127.0.0.1:1/")), client)
        else:

            async def in_loop() -> None:
                await client.aclose()
                await aio_driver.run(send(get("http://127.0.0.1:1/")), client)

            with pytest.raises(ConfigurationException) as refused:
                driver.loop(in_loop)
        assert refused.value.code == "http_client_closed"

    sync = driver.kind == "sync"
    closed(httpx.Client if sync else httpx.AsyncClient)
    closed(sync_clients.HTTPClient if sync else aio_clients.HTTPClient)


def test_http_client_closes_only_what_it_made() -> None:
    """A client that was passed in stays open; one that was made here is closed with it."""
    with httpx2.Client() as given:
        with sync_clients.HTTPClient(given) as door:
            assert door.client is given
        assert not given.is_closed
    with sync_clients.HTTPClient() as door:
        made = door.client
        assert door.client is made
    assert made.is_closed
    with pytest.raises(ConfigurationException):
        _ = door.client
    door.close()


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_http_client_closes_only_what_it_made_in_loops(kind: str) -> None:
    """The same in a loop, by ``async with``, ``aclose`` and ``close``."""

    async def main() -> None:
        async with httpx2.AsyncClient() as given:
            async with aio_clients.HTTPClient(given) as door:
                assert door.client is given
            assert not given.is_closed
        async with aio_clients.HTTPClient() as door:
            made = door.client
        assert made.is_closed
        door = aio_clients.HTTPClient()
        made = door.client
        await door.close()
        assert made.is_closed

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)


# ---- the effects


def test_effects(perform: Any, clock: Any) -> None:
    """Each effect answers: clocks, sleep, plain values."""

    def flow() -> Flow[Any]:
        before = yield from now()
        yield from sleep(5)
        after = yield from now()
        return before, after, (yield from resolve("plain"))

    (before, after, value), _ = perform(flow)
    assert (after.wall - before.wall, after.steady - before.steady, value) == (5, 5, "plain")
    assert clock.slept == [5]


def test_the_real_clocks(driver: Any) -> None:
    """Without a frozen clock, the system's clocks are read and time passes."""

    def flow() -> Flow[Any]:
        before = yield from now()
        yield from sleep(0.01)
        return before, (yield from now())

    before, after = driver.run(flow())
    assert abs(before.wall - time.time()) < 10
    assert after.steady - before.steady >= 0.009


def test_awaitables(perform: Any) -> None:
    """A callback's awaitable is awaited where that can be done, and refused, without a warning, where not."""

    async def answer() -> int:
        await anyio.sleep(0)
        return 42

    if perform.kind == "sync":
        with pytest.raises(ConfigurationException) as refused:
            perform(resolve(answer()))
        assert refused.value.code == "awaitable_refused"
        future: Any = asyncio.Future(loop=(loop := asyncio.new_event_loop()))
        loop.close()
        with pytest.raises(ConfigurationException):
            perform(resolve(future))
    else:
        assert perform(lambda: resolve(answer()))[0] == 42


def test_errors_reach_the_flow(perform: Any) -> None:
    """An effect that fails raises inside the flow, which may go on."""

    def flow() -> Flow[int]:
        try:
            yield from send(get("https://id.example.com/"))
        except TransportException:
            reply = yield from send(get("https://id.example.com/2"))
            return reply.status
        return 0

    error = TransportException("down", code="connect_failed")
    result, requests = perform(flow, error, Reply(200))
    assert (result, len(requests)) == (200, 2)


def test_waiting_for_a_future(driver: Any) -> None:
    """A waiter gets the value, the error as its own copy, or runs out of patience."""
    done: Future[int] = Future()
    threading.Timer(0.02, done.set_result, (7,)).start()
    assert driver.run(wait(done, 5)) == 7
    failed: Future[int] = Future()
    failed.set_exception(ConfigurationException("no"))
    with pytest.raises(ConfigurationException):
        driver.run(wait(failed, 5))
    never: Future[int] = Future()
    assert driver.run(wait(never, 0.01)) is IMPATIENT
    never.set_result(1)  # the loop that waited is over: nothing happens, and nothing is logged


def test_a_blocking_wait_never_blocks_a_loop() -> None:
    """A sync call on a thread that runs a loop answers at once: the leader may be a task of that loop."""

    done: Future[int] = Future()
    done.set_result(7)

    async def main() -> Any:
        return sync_driver.run(wait(Future(), 10)), sync_driver.run(wait(done, 10))

    start = time.monotonic()
    assert asyncio.run(main()) == (IMPATIENT, 7)
    assert trio.run(main) == (IMPATIENT, 7)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_a_cancelled_waiter_harms_nobody(kind: str) -> None:
    """Cancelling one who waits leaves the future, and everybody else who waits for it, alone."""
    shared: Future[int] = Future()
    results = []

    async def other() -> None:
        results.append(await aio_driver.run(wait(shared, 5)))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(other)
            with anyio.move_on_after(0.01):
                await aio_driver.run(wait(shared, 5))
            assert not shared.cancelled()
            shared.set_result(7)

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert results == [7]


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_cancellation_closes_the_flow(kind: str) -> None:
    """A cancelled operation runs the ``finally`` of its flow, at whichever effect it was."""
    closed = []

    def flow(effect: Callable[[], Flow[Any]]) -> Flow[None]:
        try:
            yield from effect()
        finally:
            closed.append(effect)

    async def hang(request: Request) -> Reply:
        await anyio.sleep(20)
        return Reply(200)

    effects: list[Callable[[], Flow[Any]]] = [
        lambda: send(get("https://id.example.com/")),
        lambda: sleep(20),
        lambda: wait(Future(), 20),
        lambda: resolve(anyio.sleep(20)),
    ]

    async def main() -> None:
        for effect in effects:
            with anyio.move_on_after(0.01):
                await aio_driver.run(flow(effect), hang)

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert closed == effects


# ---- in the background


def test_background_work_runs(driver: Any) -> None:
    """Background work starts, uses the same transport, and is not waited for."""
    done: Future[int] = Future()

    def work() -> Flow[None]:
        reply = yield from send(get("https://id.example.com/"))
        done.set_result(reply.status)

    driver.run(background(work), lambda request: Reply(299))
    assert done.result(5) == 299


def test_failing_background_work_is_an_event(driver: Any) -> None:
    """An error that nobody waits for is told to observers, and breaks no loop."""
    seen: list[Any] = []
    observability.add_observer(seen.append)

    def work() -> Flow[None]:
        yield from sleep(0)
        raise ConfigurationException("no", code="special")

    driver.run(background(work))
    assert [(event.name, event.facts["error"]) for event in seen] == [("background_failed", "special")]


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_background_work_outlives_its_cancelled_caller(kind: str) -> None:
    """The caller that started a refresh may be cancelled: the refresh goes on."""
    done = []

    def work() -> Flow[None]:
        yield from sleep(0.02)
        done.append(1)

    def caller() -> Flow[None]:
        yield from background(work)
        yield from sleep(20)

    async def main() -> None:
        with anyio.move_on_after(0.005):
            await aio_driver.run(caller())
        while not done:
            gc.collect()
            await anyio.sleep(0.005)

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert done == [1]


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_background_work_hands_over_when_its_loop_ends(kind: str) -> None:
    """A loop that ends closes the flows that still ran in it."""
    closed = []

    def work() -> Flow[None]:
        try:
            yield from sleep(20)
        finally:
            closed.append(1)

    async def main() -> None:
        await aio_driver.run(background(work))
        await anyio.sleep(0.01)

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert closed == [1]
    assert aio_driver._background == set()


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_background_work_hands_over_when_its_loop_ends_at_once(kind: str) -> None:
    """Work that a loop has no time left to begin is entered and closed all the same."""
    closed = []

    def work() -> Flow[None]:
        try:
            yield from sleep(20)
        finally:
            closed.append(1)

    async def main() -> None:
        await aio_driver.run(background(work))

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert closed == [1]
    assert aio_driver._background == set()


def test_background_work_without_a_thread_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, the flow is entered and closed, so that another caller may lead."""
    closed = []

    def work() -> Flow[None]:
        try:
            yield from sleep(20)
        finally:
            closed.append(1)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    sync_driver.run(background(work))
    assert closed == [1]
    assert sync_driver._background == set()


# ---- clients of threads


def test_a_client_for_each_thread(fault_server: Any) -> None:
    """Each thread has its own client, which ends with the thread and leaves no connection."""

    def work() -> int:
        sync_driver.run(send(get(fault_server.url("ok"))))
        return id(sync_clients.get_http_client())

    ids = []
    threads = [threading.Thread(target=lambda: ids.append(work())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert fault_server.wait_until(lambda: fault_server.closed == 4)
    mine = sync_clients.get_http_client()
    assert mine is sync_clients.get_http_client()
    sync_clients.close_http_client()
    assert mine.is_closed
    assert sync_clients.get_http_client() is not mine
    sync_clients.close_http_client()
    sync_clients.close_http_client()


def test_one_http_client_for_many_threads(fault_server: Any) -> None:
    """An ``HTTPClient`` may be shared; it makes one client, however many come at once."""
    with sync_clients.HTTPClient() as door, ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: door.client, range(64)))
        assert len(set(map(id, clients))) == 1
        replies = list(pool.map(lambda _: sync_driver.run(send(get(fault_server.url("ok"))), door), range(32)))
    assert {reply.status for reply in replies} == {200}
    assert fault_server.wait_until(lambda: fault_server.closed == fault_server.opened)


def test_a_forgotten_http_client_is_closed(fault_server: Any) -> None:
    """An ``HTTPClient`` that goes out of use closes its connections without a warning."""
    door = sync_clients.HTTPClient()
    sync_driver.run(send(get(fault_server.url("ok"))), door)
    del door
    gc.collect()
    assert fault_server.wait_until(lambda: fault_server.closed == 1)


def test_clients_for_certificates_are_bounded() -> None:
    """Old clients are closed when too many certificates come along."""
    made, idle = sync_clients._Made(), httpx2.MockTransport(lambda request: httpx2.Response(200))
    clients = [made.get(n, lambda: httpx2.Client(transport=idle)) for n in range(made.LIMIT + 3)]
    assert [client.is_closed for client in clients] == [True] * 3 + [False] * made.LIMIT
    made.close()
    assert all(client.is_closed for client in clients)


def test_clients_are_taken_out_one_by_one_to_be_closed() -> None:
    """Closing takes each client out under the lock, so that threads that close at once do not fight over the last."""
    made, idle, held = sync_clients._Made(), httpx2.MockTransport(lambda request: httpx2.Response(200)), []

    class Watched(dict[Any, Any]):
        def popitem(self) -> tuple[Any, Any]:
            held.append(made.lock.locked())
            return super().popitem()

    client = httpx2.Client(transport=idle)
    made.clients = Watched({None: client})
    made.close()
    assert held == [True]
    assert client.is_closed


# ---- clients of loops


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_a_client_for_each_loop(kind: str, fault_server: Any) -> None:
    """Loops that come and go have one client each, closed with the loop, also if not asked to."""
    clients: list[Any] = []

    async def main() -> None:
        first = await aio_clients.get_async_http_client()
        await aio_driver.run(send(get(fault_server.url("ok"))))
        assert await aio_clients.get_async_http_client() is first
        clients.append(first)

    for _ in range(3):
        asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert all(client.is_closed for client in clients)
    assert len({id(client) for client in clients}) == 3
    assert fault_server.wait_until(lambda: fault_server.closed == 3)
    del clients[:]
    gc.collect()
    assert len(aio_clients._own._made) == 0


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_the_client_of_a_loop_without_await(kind: str, fault_server: Any) -> None:
    """The plain call and the awaited one give the same client, and the plain one is closed with the loop as well."""
    clients: list[Any] = []

    async def main() -> None:
        client = aio_clients.get_async_http_client()
        assert isinstance(client, httpx2.AsyncClient)
        assert (await client.get(fault_server.url("ok"))).status_code == 200
        assert await aio_clients.get_async_http_client() is client is await client
        clients.append(client)

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert clients[0].is_closed
    assert fault_server.wait_until(lambda: fault_server.closed == 1)


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_client_is_closed_with_its_loop(kind: str, awaited: bool, fault_server: Any) -> None:
    """One that was only used, and one that was only awaited, are closed when the loop ends, though nobody asks."""
    clients: list[Any] = []

    async def main() -> None:
        client = aio_clients.get_async_http_client()
        clients.append(client)
        if awaited:
            await client
        else:
            assert (await client.get(fault_server.url("ok"))).status_code == 200
        assert not client.is_closed

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert clients[0].is_closed


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_a_client_asked_for_before_a_loop_runs(kind: str, fault_server: Any) -> None:
    """A client made outside any loop sends through the client of whichever loop it is used in, one after the other."""
    client = aio_clients.get_async_http_client()
    assert client is aio_clients.get_async_http_client()

    async def main() -> None:
        assert (await (await client).get(fault_server.url("ok"))).read()
        assert await aio_clients.get_async_http_client() is not client
        await aio_clients.close_async_http_client()

    for _ in range(2):
        asyncio.run(main()) if kind == "asyncio" else trio.run(main)
    assert not client.is_closed
    asyncio.run(client.aclose())
    assert aio_clients.get_async_http_client() is not client


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_closing_the_client_of_a_loop(kind: str) -> None:
    """``close_async_http_client`` closes it, twice if need be; the next use makes a new one."""

    async def main() -> None:
        first = await aio_clients.get_async_http_client()
        await aio_clients.close_async_http_client()
        await aio_clients.close_async_http_client()
        assert first.is_closed
        second = await aio_clients.get_async_http_client()
        assert second is not first
        assert not second.is_closed

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_clients_of_a_loop_are_bounded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old clients are closed when too many certificates come along, in a loop as well."""
    door = aio_clients.HTTPClient()
    idle = httpx2.MockTransport(lambda request: httpx2.Response(200))
    monkeypatch.setattr(door, "_make", lambda certificate: httpx2.AsyncClient(transport=idle))

    async def main() -> None:
        certificates = [ClientCertificate(f"-----BEGIN {n}", "-----BEGIN") for n in range(aio_clients._Made.LIMIT + 2)]
        clients = [await door._ready(certificate) for certificate in certificates]
        assert [client.is_closed for client in clients] == [True] * 2 + [False] * aio_clients._Made.LIMIT
        await door.aclose()
        assert all(client.is_closed for client in clients)

    asyncio.run(main()) if kind == "asyncio" else trio.run(main)


def test_an_async_client_needs_a_loop() -> None:
    """Asked for outside of any loop, an async client is refused with a word about the sync API."""
    with pytest.raises(ConfigurationException) as refused:
        _ = aio_clients.HTTPClient().client
    assert refused.value.code == "event_loop_missing"


def test_a_loop_that_was_cut_off(fault_server: Any) -> None:
    """A loop closed without its generators being let finish costs no connection longer than to the next loop."""
    door = aio_clients.HTTPClient()

    def cut_off(client: Any) -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(aio_driver.run(send(get(fault_server.url("ok"))), client))
        loop.close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's own word about what such a loop leaves behind
        for _ in range(3):
            cut_off(door)
            gc.collect()
        assert len(door._made) == 1
        assert fault_server.wait_until(lambda: fault_server.closed == 2)
        del door
        gc.collect()


def test_a_loop_closed_by_hand(fault_server: Any) -> None:
    """Loops that are closed the way asyncio's own runner does it close their client."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(aio_driver.run(send(get(fault_server.url("ok")))))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    assert fault_server.wait_until(lambda: fault_server.closed == 1)


def test_threads_and_loops_together(fault_server: Any) -> None:
    """Threads, asyncio loops and trio loops fetch at the same time, each through its own client."""
    statuses: list[int] = []

    async def tasks() -> None:
        async def one() -> None:
            statuses.append((await aio_driver.run(send(get(fault_server.url("ok"))))).status)

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(one)

    def blocking() -> None:
        statuses.extend(sync_driver.run(send(get(fault_server.url("ok")))).status for _ in range(10))

    jobs = [lambda: asyncio.run(tasks()), lambda: trio.run(tasks), blocking] * 3
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 90
    assert fault_server.wait_until(lambda: fault_server.closed == fault_server.opened)


def test_an_http_client_used_in_several_loops(fault_server: Any) -> None:
    """An ``HTTPClient`` may be kept across loops: it makes a client in each."""
    door = aio_clients.HTTPClient()
    for _ in range(2):
        assert asyncio.run(aio_driver.run(send(get(fault_server.url("ok"))), door)).status == 200
    assert trio.run(lambda: aio_driver.run(send(get(fault_server.url("ok"))), door)).status == 200
    assert fault_server.wait_until(lambda: fault_server.closed == 3)


# ---- processes


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with every warning an error and development mode on."""
    # In development mode asyncio logs every step that is slow, as importing a package is.
    quiet = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", quiet + textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_importing_loads_no_http_client() -> None:
    """An HTTP client, TLS and event loops are loaded when something is fetched, not before."""
    done = python(
        """
        import sys
        import py_identity_model, py_identity_model.sync._driver, py_identity_model.aio._driver
        unwanted = {"httpx", "httpx2", "httpcore2", "anyio", "trio", "asyncio", "ssl"} & set(sys.modules)
        sys.exit(repr(unwanted) if unwanted else 0)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_left_open_at_exit(fault_server: Any) -> None:
    """A program that never closes anything ends without a word, threads, loops and stuck refreshes included."""
    start = time.monotonic()
    done = python(
        """
        import asyncio, sys, threading
        from py_identity_model.aio import _driver as aio
        from py_identity_model._core.base.flow import background, get, send
        from py_identity_model.sync import HTTPClient
        from py_identity_model.sync import _driver as sync

        url = sys.argv[1]
        sync.run(send(get(url + "/ok")))
        asyncio.run(aio.run(send(get(url + "/ok"))))
        door = HTTPClient()
        sync.run(send(get(url + "/ok")), door)
        parked = threading.Event()
        idle = lambda: (sync.run(send(get(url + "/ok"))), parked.set(), threading.Event().wait())
        busy = lambda: sync.run(send(get(url + "/delay")))
        for target in (idle, busy):
            threading.Thread(target=target, daemon=True).start()
        parked.wait()
        sync.run(background(lambda: send(get(url + "/delay"))))
        print("done")
        """,
        fault_server.url("")[:-1],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert time.monotonic() - start < 20


def test_background_work_is_awaited_briefly_at_exit(fault_server: Any) -> None:
    """A refresh that is nearly done when the program ends is let finish."""
    done = python(
        """
        import sys
        from py_identity_model._core.base.flow import background, get, send, sleep
        from py_identity_model.sync import HTTPClient
        from py_identity_model.sync import _driver as sync

        def work():
            yield from sleep(0.05)
            reply = yield from send(get(sys.argv[1]))
            print(reply.status)

        sync._EXIT_PATIENCE = 20  # seconds: a machine under load is slow
        sync.run(send(get(sys.argv[1])))  # what it takes to import a client is no part of the wait
        sync.run(background(work))
        """,
        fault_server.url("ok"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "200\n", "")


@pytest.mark.needs("fork")
def test_fork_after_warm_up(fault_server: Any) -> None:
    """A forked child gets clients of its own, and the parent's connections go on working."""
    done = python(
        """
        import asyncio, multiprocessing, sys, threading, warnings
        from py_identity_model import _fork
        from py_identity_model.aio import _driver as aio
        from py_identity_model._core.base.flow import get, send
        from py_identity_model.sync import HTTPClient
        from py_identity_model.sync import _driver as sync

        url = sys.argv[1]
        called = []
        _fork.register_after_fork(lambda: called.append(1))

        def fetch():
            assert sync.run(send(get(url))).status == 200

        def child():
            assert called == [1]
            fetch()
            with door:
                assert sync.run(send(get(url)), door).status == 200
            assert asyncio.run(aio.run(send(get(url)))).status == 200
            print("child")

        door = HTTPClient()
        sync.run(send(get(url)), door)
        parked, release = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (fetch(), parked.set(), release.wait(), fetch()))
        thread.start()
        parked.wait()

        async def main():
            await aio.run(send(get(url)))
            fetch()
            warnings.filterwarnings("ignore", category=DeprecationWarning)  # 3.12: forking with threads
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join()
            assert process.exitcode == 0
            fetch()
            assert (await aio.run(send(get(url)))).status == 200

        asyncio.run(main())
        release.set()
        thread.join()
        sync.run(send(get(url)), door)
        print("parent")
        """,
        fault_server.url("ok"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "child\nparent\n", "")
    # Four of the parent's, each used before and after the fork; three of the child's.
    assert (fault_server.opened, len(fault_server.requests)) == (7, 11)
