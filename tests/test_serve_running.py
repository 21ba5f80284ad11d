"""The command ``serve`` as a process: start, TLS, signals, and what a raw socket may send."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from py_identity_model import OAuthClient
from py_identity_model.cli.app import app
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.sync._validation import TokenValidator
from py_identity_model.testing._serve.issuer import SiteOptions
from py_identity_model.testing._serve.running import Listening, opened
from py_identity_model.testing._serve.site import ProviderSite
from test_serve_control import site_of


class Process:
    """The command, running."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-W", "error", "-m", "py_identity_model", "serve", "--port", "0", "--json"]
        source = str(Path(__file__).resolve().parent.parent / "src")
        self.child = subprocess.Popen(
            [*command, *arguments],
            env={**os.environ, "PYTHONPATH": source},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.child.stdout is not None
        ready, _, _ = select.select([self.child.stdout], [], [], 60)
        told = self.child.stdout.readline() if ready else ""
        assert told, self.child.communicate()[1]
        self.told = json.loads(told)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and what was said."""
        self.child.send_signal(number)
        said = self.child.communicate(timeout=30)[1]
        return self.child.returncode, said


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One process for the module, with TLS."""
    ca = tmp_path_factory.mktemp("tls") / "ca.pem"
    running = Process("--tls", "--ca-file", str(ca), "--algorithm", "ES256", "--automatic-login")
    running.told["ca"] = str(ca)
    yield running
    if running.child.poll() is None:
        running.end()


def test_our_own_clients_use_it_over_tls(process):
    """A client that trusts the authority of the file gets a token, and an API accepts it."""
    told = process.told
    context = ssl.create_default_context(cafile=told["ca"])
    assert told["issuer"] == f"https://localhost:{told['port']}"
    with httpx2.Client(verify=context) as http:
        client = OAuthClient(f"{told['issuer']}/team", client_id="shop", client_secret="any", http_client=http)
        token = client.client_credentials(scope="orders.read").access_token
        claims = TokenValidator(f"{told['issuer']}/team", audience="api", http_client=http).validate(token)
        assert (claims["client_id"], claims["scope"]) == ("shop", "orders.read")
        assert http.get(f"{told['issuer']}/isalive").text == "alive\n"
        assert http.get(f"https://127.0.0.1:{told['port']}/isalive").status_code == 200
    with httpx2.Client() as http, pytest.raises(httpx2.ConnectError):
        http.get(f"{told['issuer']}/isalive")


def test_a_signal_ends_it_in_order(process):
    """SIGTERM lets the request at work end, then the process ends with 0; new connections are refused."""
    told = process.told
    context = ssl.create_default_context(cafile=told["ca"])
    with httpx2.Client(verify=context, base_url=told["issuer"]) as http:
        headers = {"content-type": "application/json"}
        fault = {"fault": "slow", "on": "jwks", "options": {"seconds": 1.0}}
        assert http.post("/_control/faults", content=json.dumps(fault), headers=headers).status_code == 201
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(http.get("/jwks").status_code))
        asking.start()
        time.sleep(0.3)  # the request is under way; a second of it is left
        code, said = process.end()
        asking.join(10)
    assert (code, answers) == (0, [200])
    assert said.endswith("stopped\n")
    assert "Traceback" not in said


# ---- in this process


@pytest.fixture(scope="module")
def site() -> Iterator[ProviderSite]:
    """A site that listens in this process."""
    made = site_of()
    with made.serve():
        yield made


def port_of(site: ProviderSite) -> int:
    return int(site.issuer.rpartition(":")[2])


def told(site: ProviderSite, sent: bytes) -> bytes:
    """Send octets; return all that comes back before the connection is closed."""
    with socket.create_connection(("127.0.0.1", port_of(site)), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("line", "more", "status"),
    [
        ("POST /token", "content-length: 99999999", 413),
        ("POST /token", "content-length: 9999999999999999999999", 411),
        ("POST /token", "content-length: -1", 411),
        ("POST /token", "content-length: ²", 411),
        ("POST /token", "transfer-encoding: chunked", 411),
        ("GET http://evil.example.com/jwks", "x: y", 400),
        ("GET [", "x: y", 400),
        ("GET /[", "x: y", 404),
        ("GET //[::1", "x: y", 404),
        ("BREW /pot", "x: y", 501),
        ("GET /jwks", "host: evil.example.com", 421),
        ("GET /jwks", "host: [", 421),
        ("GET /jwks", "host: localhost\r\nhost: evil.example.com", 421),
        ("GET /jwks", "host: localhost@evil.example.com", 421),
        ("GET /jwks", "x: y", 200),
        ("GET /..%2f..%2fetc/passwd", "x: y", 404),
        ("OPTIONS /token", "origin: http://localhost:3000", 204),
    ],
)
def test_odd_requests_on_the_socket(site, line, more, status):
    """Each is answered with a status, at once, and the server goes on."""
    host = "" if more.startswith("host:") else "host: localhost\r\n"
    reply = told(site, f"{line} HTTP/1.1\r\n{host}{more}\r\nconnection: close\r\n\r\n".encode("latin-1"))
    assert reply.split(b" ", 2)[1].decode() == str(status)
    assert b"200" in told(site, b"GET /isalive HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")


def test_a_body_that_is_refused_is_no_request(site):
    """What follows a refused body is not read as the next request."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
    head = f"POST /token HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{len(smuggled):x}\r\n"
    reply = told(site, head.encode() + smuggled + b"\r\n0\r\n\r\n")
    assert reply.count(b"HTTP/1.1") == 1


def test_waiting_connections_do_not_keep_it_open():
    """Idle and half-sent connections end when it is closed."""
    made = site_of()
    running = made.serve().start()
    with socket.create_connection(("127.0.0.1", running.port)) as idle:
        idle.sendall(b"GET /jwks HTTP/1.1\r\n")
        began = time.monotonic()
        running.close(0.2)
    assert time.monotonic() - began < 5


# ---- where it listens


@pytest.mark.parametrize(
    ("listening", "code"),
    [
        (Listening(host="0.0.0.0"), "host_not_loopback"),
        (Listening(host="192.168.1.7"), "host_not_loopback"),
        (Listening(host="oidc"), "host_not_loopback"),
        (Listening(port=-1), "policy_invalid"),
        (Listening(port=65536), "policy_invalid"),
        (Listening(base_url="oidc:8080"), "url_invalid"),
        (Listening(base_url="http://oidc:8080/path"), "policy_invalid"),
        (Listening(base_url="https://oidc:8080"), "policy_invalid"),
        (Listening(ca_file=Path("ca.pem")), "policy_invalid"),
        (Listening(tls=True, ca_file=Path("/nowhere/ca.pem")), "file_unwritable"),
    ],
)
def test_parts_that_do_not_fit_are_refused(listening, code):
    """Before anything listens: other machines, names and files that cannot be."""
    with pytest.raises(ConfigurationException) as refusal:
        opened(site_of(), listening)
    assert refusal.value.code == code


def test_a_port_that_is_taken_is_told(site):
    """With the port and the reason."""
    with pytest.raises(ConfigurationException) as refusal:
        opened(site_of(), Listening(port=port_of(site)))
    assert refusal.value.code == "port_unavailable"


def test_it_keeps_the_name_it_is_given():
    """In Compose the issuer is what others call it, wherever it listens; it answers to no other name."""
    made = ProviderSite(options=SiteOptions(algorithms=("ES256",)), allowed_hosts=["other"])
    with opened(made, Listening(port=0, base_url="http://oidc:8080/")) as running:
        url = f"http://127.0.0.1:{running.port}/shop/.well-known/openid-configuration"
        found = {host: httpx2.get(url, headers={"host": host}) for host in ("oidc:8080", "other:1", "evil.example.com")}
    assert found["oidc:8080"].json()["issuer"] == "http://oidc:8080/shop"
    assert [reply.status_code for reply in found.values()] == [200, 200, 421]


def test_certificates_are_for_every_name(tmp_path):
    """Of this machine and of the base address; the authority's file holds a certificate and no key."""
    ca = tmp_path / "ca.pem"
    made = site_of()
    with opened(made, Listening(port=0, base_url="https://oidc.test:8443", tls=True, ca_file=ca)) as running:
        for name in ("localhost", "127.0.0.1", "oidc.test"):
            context = ssl.create_default_context(cafile=str(ca))
            with (
                socket.create_connection(("127.0.0.1", running.port)) as plain,
                context.wrap_socket(plain, server_hostname=name) as secure,
            ):
                assert secure.version() in ("TLSv1.2", "TLSv1.3")
    assert ca.read_text().count("BEGIN") == ca.read_text().count("BEGIN CERTIFICATE") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--listen-beyond-this-machine"),
        (["--algorithm", "HS256"], "algorithm must be one of"),
        (["--claims", "missing.toml"], "claims_file_invalid"),
        (["--base-url", "ftp://oidc"], "url_invalid"),
        (["--browser-url", "http://localhost/path"], "without a path"),
        (["--allow-origin", "localhost"], "allowed_origins"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, said):
    """Exit code 2 and words on standard error, before anything listens."""
    done = CliRunner().invoke(app, ["serve", *arguments])
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
