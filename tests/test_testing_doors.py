"""The embedded provider's doors: httpx and httpx2 transports, ASGI, the loopback server, the pytest plugin."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import anyio
import httpx
import httpx2
import pytest
import trustme

from py_identity_model import aio
from py_identity_model._core.base.flow import Request
from py_identity_model.exceptions import ConfigurationException, TransportException
from py_identity_model.sync._clients import HTTPClient
from py_identity_model.sync._validation import TokenValidator
from py_identity_model.testing import EmbeddedProvider

pytest_plugins = ["py_identity_model.testing.pytest_plugin"]

WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def provider():
    return EmbeddedProvider(algorithms=["ES256"])


# ---- httpx and httpx2


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_sync_client_of_either_library_reaches_the_provider(library, provider):
    """The response is one of the library that asked, and failures are its exceptions."""
    with library.Client(transport=provider.httpx_transport()) as client:
        reply = client.post(provider.url("token"), data={"grant_type": "x"}, auth=("embedded-client", "wrong"))
        assert isinstance(reply, library.Response)
        assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")
        with provider.fault("outage"), pytest.raises(library.ConnectError):
            client.get(provider.url("jwks"))
        with provider.fault("truncated"), pytest.raises(library.RemoteProtocolError):
            client.get(provider.url("jwks"))
    assert provider.requests[0].request.body == b"grant_type=x"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_an_async_client_of_either_library_reaches_the_provider(library, backend, provider):
    """The same transport serves async clients on both kinds of event loop."""

    async def ask():
        async with library.AsyncClient(transport=provider.httpx_transport()) as client:
            return await client.get(provider.issuer + WELL_KNOWN)

    reply = anyio.run(ask, backend=backend)
    assert isinstance(reply, library.Response)
    assert reply.json()["issuer"] == provider.issuer


def test_the_library_validates_through_an_injected_client(provider):
    """A client with the provider's transport is a transport of the library."""
    with httpx2.Client(transport=provider.httpx_transport()) as client:
        validator = TokenValidator(provider.issuer, audience=provider.audience, http_client=client)
        assert validator.validate(provider.mint())["sub"] == "alice"
    assert (provider.count("discovery"), provider.count("jwks")) == (1, 1)


# ---- ASGI


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_provider_is_an_asgi_application(backend, provider):
    """Requests arrive whole, replies leave whole, delays and drips included."""

    async def ask():
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=provider.asgi)) as client:
            refused = await client.post(provider.url("token") + "?a=b", data={"client_id": "nobody"})
            with provider.fault("drip", seconds=0.02):
                found = await client.get(provider.url("jwks"))
            return refused, found

    refused, found = anyio.run(ask, backend=backend)
    assert refused.status_code == 401
    assert provider.requests[0].request.url == "https://id.example.com/token?a=b"
    assert found.json() == provider.key_set()


@pytest.mark.parametrize("fault", ["outage", "truncated"])
def test_a_broken_connection_ends_an_asgi_request(fault, provider):
    """The application breaks off, so that the server drops the connection."""

    async def ask():
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=provider.asgi)) as client:
            await client.get(provider.url("jwks"))

    with provider.fault(fault), pytest.raises(ConnectionResetError):
        anyio.run(ask)


def test_the_asgi_application_lives_and_dies_with_its_server(provider):
    """Startup and shutdown are acknowledged, and other protocols refused."""
    sent, events = [], iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(events)

    async def send(message):
        sent.append(message["type"])

    anyio.run(provider.asgi, {"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(NotImplementedError):
        anyio.run(provider.asgi, {"type": "websocket"}, receive, send)


# ---- the loopback server


def test_the_issuer_is_the_server_s_address_while_it_runs():
    """The issuer moves to the loopback address, path included, and back."""
    provider = EmbeddedProvider("https://id.example.com/tenant", algorithms=["ES256"])
    with provider.serve() as running, httpx2.Client() as client:
        assert running.issuer == provider.issuer == f"http://127.0.0.1:{running.port}/tenant"
        assert client.get(running.issuer + WELL_KNOWN).json()["issuer"] == running.issuer
        with pytest.raises(ConfigurationException):
            running.start()
    running.close()
    assert provider.issuer == "https://id.example.com/tenant"
    with pytest.raises(ConfigurationException):
        _ = running.port


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_server_is_an_async_context_manager_too(backend, provider):
    """Validation through a real socket works inside ``async with`` on both kinds of event loop."""

    async def ask():
        async with (
            provider.serve() as running,
            aio.HTTPClient() as client,
            aio.TokenValidator(running.issuer, audience=provider.audience, http_client=client) as validator,
        ):
            return await validator.validate(provider.mint(subject="ada"))

    assert anyio.run(ask, backend=backend)["sub"] == "ada"


def test_a_closed_server_refuses_connections(provider):
    """After close() nobody listens, and start() listens again."""
    running = provider.serve().start()
    address = ("127.0.0.1", running.port)
    running.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address).close()
    with running.start(), httpx2.Client() as client:
        assert client.get(provider.url("jwks")).status_code == 200


def test_connections_are_kept_alive_and_bodies_are_read(provider):
    """One connection carries several requests, also after a POST and a 304."""
    with provider.serve() as running, httpx2.Client() as client:
        first = client.get(provider.url("jwks"))
        assert client.get(provider.url("jwks"), headers={"If-None-Match": first.headers["etag"]}).status_code == 304
        assert client.head(provider.url("jwks")).headers["content-length"] == first.headers["content-length"]
        token = client.post(
            provider.url("token"),
            data={"grant_type": "client_credentials"},
            auth=(provider.client_id, provider.client_secret),
        )
        assert token.json()["token_type"] == "Bearer"
        with socket.create_connection(("127.0.0.1", running.port)) as raw:
            raw.sendall(b"GET /jwks HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            received = b""
            while received.count(b"HTTP/1.1 200") < 2:
                received += raw.recv(65536)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("outage", "connection_lost"),
        ("truncated", "protocol_error"),
        ("huge", "response_too_large"),
        ("gzip_bomb", "encoding_refused"),
    ],
)
def test_faults_of_the_wire_are_real_on_a_socket(name, code, provider):
    """The library's own client meets the fault on the socket and names it."""
    with provider.serve(), HTTPClient() as client, provider.fault(name), pytest.raises(TransportException) as failure:
        client._exchange(Request("GET", provider.url("jwks")))
    assert failure.value.code in (code, "protocol_error")


def test_slowness_on_a_socket_ends_with_the_client_s_patience(provider):
    """A client that does not wait gets its timeout; closing the server does not wait for the sleeper."""
    begin = time.monotonic()
    with provider.serve(), HTTPClient(timeout=0.1) as client:
        for fault in ("slow", "drip"):
            with provider.fault(fault, seconds=30), pytest.raises(TransportException) as failure:
                client._exchange(Request("GET", provider.url("jwks")))
            assert failure.value.code == "timeout"
    assert time.monotonic() - begin < 10


def test_the_server_speaks_tls(provider):
    """With an ssl context the issuer is https, and who does not trust the certificate is left alone."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with provider.serve(host="localhost", ssl_context=context) as running:
        assert running.issuer == f"https://localhost:{running.port}"
        with httpx2.Client(verify=trusting) as client:
            assert client.get(running.issuer + WELL_KNOWN).json()["jwks_uri"] == f"{running.issuer}/jwks"
        with httpx2.Client() as stranger, pytest.raises(httpx2.ConnectError):
            stranger.get(provider.url("jwks"))
        socket.create_connection(("127.0.0.1", running.port)).close()


def test_many_clients_at_once_are_all_answered(provider):
    """A hundred threads with a connection each get their answer."""
    statuses = []

    def ask():
        with httpx2.Client(timeout=30) as client:
            statuses.append(client.get(provider.url("jwks")).status_code)

    with provider.serve():
        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 40
    assert provider.count("jwks") == 40


def test_a_bug_in_the_provider_is_shown(provider, capfd):
    """An error that is no broken connection is printed, not swallowed."""
    with provider.serve(), httpx2.Client() as client:
        provider.key_set = None
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(provider.url("jwks"))
    assert "TypeError" in capfd.readouterr().err


# ---- the plugin


def test_the_plugin_brings_a_provider(embedded_provider):
    """embedded_provider signs and answers without a port."""
    assert embedded_provider.handle(Request("GET", embedded_provider.url("jwks"))).status == 200


def test_the_plugin_brings_a_server(embedded_provider, embedded_provider_server):
    """embedded_provider_server is the same provider, listening."""
    assert embedded_provider_server.issuer == embedded_provider.issuer
    with httpx2.Client() as client:
        assert client.get(embedded_provider.url("jwks")).status_code == 200
