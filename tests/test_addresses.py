"""Requests that a stranger caused stay on the public internet: by spelling, by name service and by connection."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from apis import NOW, Api, Provider
from py_identity_model._core.base.addresses import check_public_peer, is_public_address, is_public_host
from py_identity_model._core.base.flow import Flow, Reply, Request, get, send
from py_identity_model._core.discovery.fetch import fetch_metadata
from py_identity_model._core.discovery.metadata import DiscoveryPolicy
from py_identity_model._core.registration.client_metadata import (
    ClientMetadataDocumentRequest,
    fetch_client_metadata_document,
)
from py_identity_model._core.registration.webfinger import WebFingerRequest, discover_issuer
from py_identity_model._core.resource.resource_metadata import ProtectedResourceMetadataRequest, fetch_resource_metadata
from py_identity_model._core.validation.issuers import IssuerTemplate
from py_identity_model._tls import tls_context
from py_identity_model.aio import _clients as aio_clients
from py_identity_model.aio import _driver as aio_driver
from py_identity_model.exceptions import DiscoveryException, NetworkException, TransportException
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


# ---- who names an address


RESOURCE = "https://api.example.com/orders"
ELSEWHERE = "https://meta.example.net/.well-known/oauth-protected-resource/orders"


@pytest.mark.parametrize(
    ("fields", "checked"),
    [
        ({"address": ELSEWHERE, "resource": RESOURCE}, True),
        ({"address": ELSEWHERE}, True),
        ({"address": ELSEWHERE, "resource": RESOURCE, "allow_private_addresses": True}, False),
        ({"address": "https://api.example.com/any/where", "resource": RESOURCE}, False),
        ({"address": RESOURCE}, False),
        ({"address": "https://10.0.0.1/orders"}, False),
    ],
)
def test_metadata_out_of_a_challenge(perform: Any, fields: dict[str, Any], checked: bool) -> None:
    """[J20] What a challenge names is fetched from outside; at the resource's own host the application named it."""
    request = ProtectedResourceMetadataRequest(**fields)
    _, [sent] = perform(fetch_resource_metadata(request, Settings()), Reply(404))
    assert sent.public_only is checked


@pytest.mark.parametrize("host", ["10.0.0.1", "vault.internal", "kubernetes.default.svc", "[fd00:ec2::254]"])
def test_challenges_lead_nowhere_inside(perform: Any, host: str) -> None:
    """[J20] An address that is private by its spelling is not even asked for."""
    address = f"https://{host}/.well-known/oauth-protected-resource"
    for resource in (None, RESOURCE):
        request = ProtectedResourceMetadataRequest(address, resource=resource)
        response, sent = perform(fetch_resource_metadata(request, Settings()))
        assert (response.error_code, sent) == ("address_not_public", [])


@pytest.mark.parametrize(
    ("template", "options", "checked"),
    [
        ("https://{tenant}.example.com", {}, True),
        ("https://{tenant}.example.com", {"allow_private_addresses": True}, False),
        ("https://{tenant}.example.com", {"jwks_uri": "https://keys.corp/jwks"}, False),
        ("https://login.corp/{tenant}", {}, False),
        ("https://login.example.org/{tenant}", {"discovery_address": "https://{tenant}.example.com/x"}, True),
    ],
)
def test_issuers_that_tokens_choose(
    api: Api, clock: Any, template: str, options: dict[str, Any], checked: bool
) -> None:
    """[J20] Where a token decides which host is asked, metadata and keys come from outside; else you named the host."""
    clock.wall = NOW
    issuer = template.replace("{tenant}", "contoso")
    provider, asked = Provider(issuer), []

    def transport(request: Request) -> Reply:
        asked.append(request.public_only)
        return provider(request)

    trusted = IssuerTemplate(template, trust_every_value_of_the_template=True, **options)
    validator = api.validator(trusted, "api", http_client=transport)
    assert api.call(validator.validate, provider.token())["sub"] == "ada"
    assert set(asked) == {checked}


def test_private_keys_of_issuers_that_tokens_choose(api: Api, clock: Any) -> None:
    """[J20] Metadata of an issuer that a token chose does not lead to a key set inside."""
    clock.wall = NOW
    provider = Provider("https://contoso.example.com")
    provider.metadata["jwks_uri"] = "https://10.0.0.1/jwks"
    trusted = IssuerTemplate("https://{tenant}.example.com", trust_every_value_of_the_template=True)
    with pytest.raises(NetworkException) as refused:
        api.call(api.validator(trusted, "api", http_client=provider).validate, provider.token())
    assert (refused.value.code, provider.count("/jwks")) == ("address_not_public", 0)


INSIDE = ["169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "100.100.100.200", "[::ffff:169.254.169.254]"]


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("loopback", [False, True])
def test_metadata_leads_to_no_cloud_secrets(perform: Any, host: str, loopback: bool) -> None:
    """[K7] Endpoints on this machine can be allowed; a link and the metadata service of a cloud stay closed."""
    document = {"issuer": "https://id.example.com", "jwks_uri": f"https://{host}/latest/meta-data"}
    reply = Reply(200, (("content-type", "application/json"),), json.dumps(document).encode())
    policy = DiscoveryPolicy(allow_loopback_endpoints=loopback)
    with pytest.raises(DiscoveryException) as refused:
        perform(fetch_metadata("https://id.example.com", policy, Settings()), reply)
    assert refused.value.code == "discovery_endpoint_loopback"
    named = DiscoveryPolicy(additional_endpoint_base_addresses=[f"https://{host}/latest"])
    fetched, _ = perform(fetch_metadata("https://id.example.com", named, Settings()), reply)
    assert fetched.value.jwks_uri == document["jwks_uri"]


def test_a_provider_inside_may_stay_inside(perform: Any) -> None:
    """A cluster's own issuer has its keys at private addresses."""
    issuer = "https://kubernetes.default.svc.cluster.local"
    document = {"issuer": issuer, "jwks_uri": "https://[fd00::1]:6443/openid/v1/jwks"}
    reply = Reply(200, (("content-type", "application/json"),), json.dumps(document).encode())
    fetched, _ = perform(fetch_metadata(issuer, None, Settings()), reply)
    assert fetched.value.jwks_uri == document["jwks_uri"]


#: What Google publishes: endpoints on four hosts, none of which is the issuer's.
GOOGLE = {
    "issuer": "https://accounts.google.com",
    "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
    "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
}
BASES = ["https://oauth2.googleapis.com", "https://openidconnect.googleapis.com", "https://www.googleapis.com/oauth2"]


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({}, None),
        ({"additional_endpoint_base_addresses": BASES}, None),
        ({"additional_endpoint_base_addresses": BASES[:2]}, "jwks_uri"),
        ({"additional_endpoint_base_addresses": ["https://www.googleapis.com/oauth3", *BASES[:2]]}, "jwks_uri"),
        ({"additional_endpoint_base_addresses": [], "require_same_host_endpoints": True}, "jwks_uri"),
    ],
)
def test_an_allowlist_counts_when_it_is_given(perform: Any, options: dict[str, Any], refused: str | None) -> None:
    """[K7] Endpoints on other hosts are accepted as big providers have them; a list of hosts leaves no other."""
    reply = Reply(200, (("content-type", "application/json"),), json.dumps(GOOGLE).encode())
    flow = fetch_metadata(GOOGLE["issuer"], DiscoveryPolicy(**options), Settings())
    if refused is None:
        assert perform(flow, reply)[0].value.jwks_uri == GOOGLE["jwks_uri"]
        return
    with pytest.raises(DiscoveryException) as error:
        perform(flow, reply)
    assert (error.value.code, error.value.claim) == ("discovery_endpoint_foreign", refused)
