"""Requests that a stranger caused stay on the public internet: by spelling, by name service and by connection."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from py_identity_model._core.base.addresses import check_public_peer, is_public_address, is_public_host
from py_identity_model._core.base.flow import Flow, Reply, Request, get, send
from py_identity_model._core.registration.client_metadata import (
    ClientMetadataDocumentRequest,
    fetch_client_metadata_document,
)
from py_identity_model._core.registration.webfinger import WebFingerRequest, discover_issuer
from py_identity_model._tls import tls_context
from py_identity_model.aio import _clients as aio_clients
from py_identity_model.aio import _driver as aio_driver
from py_identity_model.exceptions import TransportException
from py_identity_model.settings import Settings
from py_identity_model.sync import _clients as sync_clients
from py_identity_model.sync import _driver as sync_driver

NAME = "app.example.com"
#: Kind of client -> function of the API and the CA bundle that makes one.
CLIENTS: dict[str, Callable[[str, str], Any]] = {
    "own": lambda kind, ca: (sync_clients if kind == "sync" else aio_clients).HTTPClient(verify=ca),
    "wrapped": lambda kind, ca: (
        sync_clients.HTTPClient(httpx2.Client(verify=tls_context(ca)))
        if kind == "sync"
        else aio_clients.HTTPClient(httpx2.AsyncClient(verify=tls_context(ca)))
    ),
    "httpx2": lambda kind, ca: (httpx2.Client if kind == "sync" else httpx2.AsyncClient)(verify=tls_context(ca)),
    "httpx": lambda kind, ca: (httpx.Client if kind == "sync" else httpx.AsyncClient)(verify=tls_context(ca)),
}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, ca_file: str) -> Callable[[str], Any]:
    """Each kind of client, trusting the authority of the tests."""
    make = CLIENTS[request.param]
    return lambda kind: make(kind, ca_file)


@pytest.fixture
def server(tls_server: Any, authority: Any) -> Any:
    """A server on this machine with a certificate for a public name."""
    return tls_server(authority.issue_cert(NAME, "localhost"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name service. The answer for ``name:connect`` is what a name leads to a moment later, when it is used."""
    answers: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return real(host, port, *args, **options)
        found = answers.get(f"{name}:connect", answers[name]) if port else answers[name]
        return [_entry(address, port or 0) for address in found]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return answers


def _entry(address: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that lets nothing pass: its address, and what it was asked."""
    asked_for: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener.accept()[0] as connection:
            asked_for.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked_for
    thread.join(5)
    listener.close()


def run(driver: Any, flow: Flow[Any], make: Callable[[str], Any]) -> Any:
    """Run a flow with a client made for the occasion, and close that client."""
    if driver.kind == "sync":
        client = make("sync")
        try:
            return sync_driver.run(flow, client)
        finally:
            client.close()
            if isinstance(client, sync_clients.HTTPClient) and client._given is not None:
                client._given.close()

    async def in_loop() -> Any:
        client = make(driver.kind)
        try:
            return await aio_driver.run(flow, client)
        finally:
            await client.aclose()
            if isinstance(client, aio_clients.HTTPClient) and client._given is not None:
                await client._given.aclose()

    return driver.loop(in_loop)


def asked(*requests: Request) -> Callable[[], Flow[Reply]]:
    """Return a flow that sends one after another."""

    def flow() -> Flow[Reply]:
        reply = None
        for request in requests:
            reply = yield from send(request)
        assert reply is not None
        return reply

    return flow


def refusal(driver: Any, make: Callable[[str], Any], *requests: Request) -> TransportException:
    """Return what sending raises."""
    with pytest.raises(TransportException) as refused:
        run(driver, asked(*requests)(), make)
    assert refused.value.__context__ is None
    return refused.value


@pytest.mark.parametrize(
    "answer", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["fd00:ec2::254"], ["::ffff:169.254.169.254"]]
)
def test_a_name_that_leads_inside_is_not_connected_to(
    driver: Any, client: Any, server: Any, names: Any, answer: list[str]
) -> None:
    """[J20] A public name one of whose addresses is not public is refused before any connection is made."""
    names[NAME] = answer
    refused = refusal(driver, client, get(server.url("ok", NAME), public_only=True))
    assert refused.code == "address_not_public"
    assert (server.opened, server.requests) == (0, [])


def test_a_name_that_changes_its_mind_is_found_out(driver: Any, client: Any, server: Any, names: Any) -> None:
    """[J20] DNS rebinding: public when looked at, private when connected to; not a byte of a request is sent."""
    names[NAME], names[f"{NAME}:connect"] = ["8.8.8.8"], ["127.0.0.1"]
    code = refusal(driver, client, get(server.url("ok", NAME), public_only=True)).code
    assert (code, server.requests) == ("address_not_public", [])


def test_a_connection_made_before_is_no_way_in(driver: Any, client: Any, server: Any, names: Any) -> None:
    """[J20] The connection of a request whose address the application named carries no request of a stranger's."""
    names[NAME] = ["127.0.0.1"]
    url = server.url("ok", NAME)
    assert refusal(driver, client, get(url), get(url, public_only=True)).code == "address_not_public"
    assert len(server.requests) == 1


def test_other_requests_go_where_they_like(driver: Any, client: Any, server: Any, names: Any) -> None:
    """An address that the application named may be private."""
    names[NAME] = ["127.0.0.1"]
    assert run(driver, asked(get(server.url("ok", NAME)))(), client).status == 200


def test_a_proxy_is_where_the_operator_put_it(
    driver: Any, proxy: Any, names: Any, monkeypatch: pytest.MonkeyPatch, ca_file: str
) -> None:
    """A proxy may be on a private address; what a name leads to from there is the proxy's business."""
    monkeypatch.setenv("https_proxy", proxy[0])
    names[NAME] = ["10.0.0.1"]
    request = get(f"https://{NAME}/", public_only=True)
    assert refusal(driver, lambda kind: CLIENTS["own"](kind, ca_file), request).code == "proxy_failed"
    assert proxy[1][0].startswith(b"CONNECT app.example.com:443")


@pytest.mark.parametrize(
    ("allowed", "outcome"), [(False, ("address_not_public", 0)), (True, ("client_metadata_unparsable", 1))]
)
def test_documents_of_strangers_are_fetched_from_outside(
    driver: Any, client: Any, server: Any, names: Any, allowed: bool, outcome: tuple[str, int]
) -> None:
    """[J20] A client's document and WebFinger go through the check, until the loud name allows private addresses."""
    names[NAME] = ["127.0.0.1"]
    settings = Settings(http_retry_max_attempts=0)
    request = ClientMetadataDocumentRequest(server.url("ok", NAME), allow_private_addresses=allowed)
    response = run(driver, fetch_client_metadata_document(request, settings), client)
    assert response.error_code == ("client_id_mismatch" if allowed else "address_not_public")
    identifier = f"joe@{NAME}"
    names[NAME] = ["127.0.0.1"]
    response = run(
        driver, discover_issuer(WebFingerRequest(identifier, allow_private_addresses=allowed), settings), client
    )
    assert response.error_code == ("connect_failed" if allowed else "address_not_public")
    assert len(server.requests) == outcome[1]


SPECIAL = (
    *("0.0.0.0", "0.1.2.3", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1"),
    *("192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::10.0.0.1"),
    *("64:ff9b::a00:1", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:2::1"),
    *("2001:20::1", "2001:db8::1", "2002:a00:1::", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "2a00:1450::5efe:10.0.0.1"),
    *("2a00:1450::200:5efe:169.254.169.254", "4000::1"),
)
PUBLIC = (
    *("8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1"),
    *("223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::", "2001:4860:4860::8888"),
    *("2606:4700::1111", "2a00:1450:4001::5efe", "2a00:1450::5efe:8.8.8.8"),
)


def test_addresses() -> None:
    """[J20] No address of a special registry is public, whatever it is wrapped in; all others are."""
    assert [a for a in SPECIAL if is_public_address(ipaddress.ip_address(a))] == []
    assert [a for a in PUBLIC if not is_public_address(ipaddress.ip_address(a))] == []


@pytest.mark.parametrize(
    "host",
    [
        *("kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "a.lan", "A.LAN", "dc1.corp", "x.internal"),
        *("router.home.arpa", "router.home.arpa.", "fritz.box.localdomain", "wiki.intranet", "kubernetes", "a.local."),
        *("localhost", "x.localhost", "home.arpa", "db.home", "vault.private", "1.0.0.127.in-addr.arpa", "x.test"),
    ],
)
def test_names_of_networks_of_ones_own(host: str) -> None:
    """[J20] Names that mean something else in every network are not public."""
    assert not is_public_host(host)


@pytest.mark.parametrize(
    "host", ["app.example.com", "local.example.com", "corp.example.com", "svc.example.org", "a.lan.de"]
)
def test_names_of_the_public(host: str) -> None:
    """What counts is how a name ends."""
    assert is_public_host(host)


@pytest.mark.parametrize(
    "peer", [None, (), "", "/run/socket", ("fe80::1%eth0", 443, 0, 2), ("127.0.0.1", 443), b"8.8.8.8"]
)
def test_what_cannot_be_told_is_refused(peer: Any) -> None:
    """A connection that does not say where it leads does not count as public."""
    with pytest.raises(TransportException) as refused:
        check_public_peer(peer, "a.example.com", "https://a.example.com/")
    assert refused.value.code == "address_not_public"
    check_public_peer(("2001:4860:4860::8888", 443, 0, 0), "a.example.com", "https://a.example.com/")
