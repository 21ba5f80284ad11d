"""The command ``attack``: a provider for the API, its verdicts, its exit codes, and what it will not attack."""

from __future__ import annotations

import http.server
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import wrong_apis
from doors import free_port
from py_identity_model import InboundRequest, Requirement, ResourceServer, SigningKey, TokenValidator
from py_identity_model.cli.app import app
from py_identity_model.testing import Answered, EmbeddedProvider, Shot
from test_attack_api import serving


def call(*arguments: str) -> Any:
    """Run the command."""
    return CliRunner().invoke(app, ["attack", *arguments])


@contextmanager
def listening(api: Callable[[Shot], Answered]) -> Iterator[str]:
    """Serve an API; yield the address of its route."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        made = api(Shot(handler.command, handler.path, tuple(handler.headers.items())))
        handler.send_response(made.status)
        for name, value in (*made.headers, ("content-length", str(len(made.body)))):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b"" if handler.command == "HEAD" else made.body)

    with serving(answer) as base:
        yield f"{base}/orders"


def guarded(issuer: str) -> Callable[[Shot], Answered]:
    """Return an API of this library that trusts *issuer*."""
    api = ResourceServer(TokenValidator(issuer, audience=wrong_apis.AUDIENCE))
    reads = Requirement(scopes=["orders.read"], claims={"tenant": "t1"})

    def answer(shot: Shot) -> Answered:
        if shot.path.partition("?")[0] != "/orders":
            return Answered(404)
        decision: Any = api.decide(InboundRequest(shot.method, f"http://127.0.0.1{shot.path}", shot.headers), reads)
        return Answered(getattr(decision, "status", 200), getattr(decision, "headers", ()))

    return answer


GOOD = ("--audience", wrong_apis.AUDIENCE, "--scope", "orders.read", "--claim", "tenant=t1", "--rate", "1000")


def test_an_api_that_trusts_the_served_provider_holds() -> None:
    """The command says what the API must be told, sends a good token, and then the rest; 0 where nothing got in."""
    port = free_port()
    with listening(guarded(f"http://127.0.0.1:{port}")) as url:
        result = call(url, "--serve", "--port", str(port), *GOOD)
        assert (result.exit_code, "held" in result.stdout) == (0, True), result.output
        assert f"OIDC_ISSUER=http://127.0.0.1:{port} OIDC_AUDIENCE={wrong_apis.AUDIENCE}" in result.stderr
        refused = call(url, "--serve", "--port", str(port), "--wait", "0", "--rate", "1000", "--json")
    assert refused.exit_code == 4
    assert json.loads(refused.stdout)["verdict"] == "nothing_proven"


@pytest.mark.parametrize("form", ["jwk", "pem"])
def test_the_key_of_an_issuer_stands_in_for_a_provider(form: str, tmp_path: Path) -> None:
    """An API that trusts another issuer is attacked with that one's key; what gets in is named, and the code is 1."""
    provider = EmbeddedProvider("https://id.example.com", algorithms=["ES256"])
    key = SigningKey.generate("ES256", kid="mine")
    provider.add_key(key)
    file = tmp_path / "key"
    file.write_text(json.dumps(key.private_jwk) if form == "jwk" else str(key.private_pem))
    told = () if form == "jwk" else ("--issuer-key-alg", "ES256", "--issuer-key-id", "mine")
    api = wrong_apis.WrongAPI(wrong_apis.takes_id_tokens(provider))
    with listening(api) as url:
        result = call(url, "--as-issuer", provider.issuer, "--issuer-key-file", str(file), *told, *GOOD)
    assert result.exit_code == 1, result.output
    assert "Tokens of another kind are accepted" in result.stdout
    assert "id_token: an ID token in place of an access token" in result.stdout


def test_what_makes_the_code_1_can_be_said(tmp_path: Path) -> None:
    """A strict reading of tokens is asked for with low, and answers of 500 with fault."""
    provider = EmbeddedProvider("https://id.example.com")
    key = provider.signing_key()
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key.private_jwk))
    made = ("--as-issuer", provider.issuer, "--issuer-key-file", str(file), *GOOD)
    with listening(wrong_apis.WrongAPI(wrong_apis.breaks(provider))) as url:
        codes = [call(url, *made, "--fail-on", what).exit_code for what in ("high", "low", "fault")]
    assert codes == [0, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("http://10.0.0.1/",), 2, "parameter_missing"),
        (("http://10.0.0.1/", "--serve", "--as-issuer", "https://id.example.com"), 2, "parameter_missing"),
        (("http://10.0.0.1/", "--serve", "--port", "0"), 2, "target_not_loopback"),
        (("http://0.0.0.0/", "--serve", "--port", "0"), 2, "--i-own-this where the API is yours"),
        (("ftp://localhost/", "--serve", "--port", "0"), 2, "url_invalid"),
        (("http://localhost/", "--serve", "--port", "70000"), 2, "port_unavailable"),
        (("http://localhost/", "--serve", "--port", "0", "--fail-on", "all"), 2, "high, low or fault"),
        (("http://localhost/", "--serve", "--port", "0", "--protocol", "ftp"), 2, "http, mcp or grpc"),
        (("http://localhost/", "--serve", "--port", "0", "--claim", "tenant"), 2, "NAME=VALUE"),
        (("http://localhost/", "--serve", "--port", "0", "--header", "tenant"), 2, "Name: value"),
        (("http://localhost/", "--serve", "--port", "0", "--trust", "/nowhere"), 2, "certificate_file_unreadable"),
        (("http://localhost/", "--serve", "--audience", "a", "--audience", "b"), 2, "one name"),
    ],
)
def test_wrong_calls_are_told(arguments: tuple[str, ...], code: int, said: str) -> None:
    """Nothing is sent before all is in order."""
    result = call(*arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_what_does_not_answer_is_3() -> None:
    """An API that is not there is no API that holds."""
    result = call(f"http://127.0.0.1:{free_port()}/", "--serve", "--port", "0", "--wait", "0")
    assert (result.exit_code, "ConnectionRefusedError" in result.stderr) == (3, True), result.output


def test_a_key_that_is_none_is_told(tmp_path: Path) -> None:
    """Neither JWK nor PEM."""
    for text in ("{", "[]", "no key", "{}"):
        file = tmp_path / "key"
        file.write_text(text)
        result = call("http://localhost/", "--as-issuer", "https://id.example.com", "--issuer-key-file", str(file))
        assert result.exit_code == 2, result.output
