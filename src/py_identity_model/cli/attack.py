"""The command ``attack``: whether an API under test lets in what it must refuse."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from .._core.jose.algorithms import SignatureAlgorithm
from .._core.jose.signing_keys import SigningKey
from .._refusals import because, must_be
from ..exceptions import ConfigurationException, printable
from ..testing._attack.attack import RATE, attack_api
from ..testing._attack.protocols import AttackProtocol
from ..testing._attack.report import AttackReport, AttackResult
from ..testing._provider import EmbeddedProvider
from ..testing._server import Running
from ._secrets import read_secret
from ._shared import REFUSED, Audiences, Json, Scopes, read_bytes, say, show, words

#: The exit code where a good token was refused too, so that nothing is proven.
NOTHING_PROVEN = 4
_FAIL_ON = ("high", "low", "fault")


@dataclass
class Issuing:
    """Whose tokens the API takes."""

    serve: Annotated[bool, typer.Option("--serve", help="Run a provider here, for the API to trust.")] = False
    port: Annotated[int, typer.Option(help="The port of that provider.")] = 8080
    as_issuer: Annotated[
        str | None, typer.Option("--as-issuer", help="Instead: sign as this issuer, which the API trusts.")
    ] = None
    issuer_key_file: Annotated[
        Path | None, typer.Option("--issuer-key-file", help="Its private key, as a JWK or PEM; - is stdin.")
    ] = None
    issuer_key_alg: Annotated[str, typer.Option("--issuer-key-alg", help="The algorithm of a key in PEM.")] = "RS256"
    issuer_key_id: Annotated[str | None, typer.Option("--issuer-key-id", help="The key ID of a key in PEM.")] = None
    audience: Audiences = None


@dataclass
class Asking:
    """What a good request to the API has."""

    scope: Scopes = None
    claim: Annotated[
        list[str] | None, typer.Option("--claim", help="A claim, NAME=VALUE, JSON or a text; may be repeated.")
    ] = None
    header: Annotated[list[str] | None, typer.Option("--header", help="A header, 'Name: value'; may be repeated.")] = (
        None
    )
    protocol: Annotated[str, typer.Option(help="What the API speaks: http, mcp or grpc.")] = "http"
    method: Annotated[str | None, typer.Option(help="The method: GET, or POST with --body-file.")] = None
    body_file: Annotated[Path | None, typer.Option("--body-file", help="What each request sends, as JSON.")] = None


def attack(
    url: Annotated[str, typer.Argument(help="A protected address of your API.")],
    issuing: Issuing,
    asking: Asking,
    wait: Annotated[
        float | None, typer.Option(help="Seconds to wait until a good token is let in; 60 with --serve.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests in a second at most.")] = RATE,
    seconds: Annotated[float, typer.Option(help="Seconds that an answer may take.")] = 10.0,
    trust: Annotated[Path | None, typer.Option("--trust", help="Certificates to trust, for https, as PEM.")] = None,
    i_own_this: Annotated[bool, typer.Option("--i-own-this", help="Attack another machine, which is yours.")] = False,
    fail_on: Annotated[str, typer.Option(help="What makes the exit code 1: high, low or fault.")] = "high",
    as_json: Json = False,
) -> None:
    """Send an API every token that it must refuse, and say which were let in.

    A good token is sent first: unless that is let in, nothing is proven, and the exit code is 4. It is 1 where
    something got in, 3 where nothing answered. Only this machine is attacked.
    """
    if fail_on not in _FAIL_ON:
        raise must_be("--fail-on", "high, low or fault", fail_on, code="argument_invalid")
    if asking.protocol not in get_args(AttackProtocol):
        raise must_be("--protocol", "http, mcp or grpc", asking.protocol, code="argument_invalid")
    with _provider(issuing) as provider:
        report = attack_api(
            url,
            provider,
            scopes=words(asking.scope) or (),
            claims=dict(_claim(each) for each in asking.claim or ()),
            headers=_headers(asking),
            protocol=cast("AttackProtocol", asking.protocol),
            method=asking.method or ("GET" if asking.body_file is None else "POST"),
            body=b"" if asking.body_file is None else read_bytes(asking.body_file, "body"),
            wait=wait if wait is not None else 60.0 if issuing.serve else 0.0,
            rate=rate,
            seconds=seconds,
            ssl_context=None if trust is None else _trusting(trust),
            i_own_this=i_own_this,
            progress=_progress if sys.stderr is not None and sys.stderr.isatty() else None,
        )
    _print(report, as_json)
    if report.verdict == "nothing_proven":
        raise typer.Exit(NOTHING_PROVEN)
    if report.fails(cast("Any", fail_on)):
        raise typer.Exit(REFUSED)


@contextmanager
def _provider(issuing: Issuing) -> Iterator[EmbeddedProvider]:
    if issuing.serve == (issuing.as_issuer is not None):
        raise ConfigurationException(
            "Whose tokens the API takes is said by --serve, or by --as-issuer",
            code="parameter_missing",
            claim="serve",
            hint="--serve runs a provider for it; --as-issuer and --issuer-key-file stand in for one that it trusts",
        )
    audience, *more = issuing.audience or ["api"]
    if more:
        raise must_be("audience", "one name, that of the API", more[0], code="argument_invalid")
    if issuing.as_issuer is not None:
        key = _key(issuing)
        made = EmbeddedProvider(issuing.as_issuer, audience=audience, algorithms=(key.alg,))
        made.add_key(key)
        yield made
        return
    provider = EmbeddedProvider(audience=audience, algorithms=("RS256", "ES256"))
    with _started(provider, issuing.port):
        say(f"the API must trust: OIDC_ISSUER={provider.issuer} OIDC_AUDIENCE={audience}")
        yield provider


def _started(provider: EmbeddedProvider, port: int) -> Running:
    try:
        return provider.serve(port=port).start()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
    raise because(ConfigurationException, "port_unavailable", f"Port {port} cannot be opened", reason, "port")


def _key(issuing: Issuing) -> SigningKey:
    text = read_secret(issuing.issuer_key_file, "key of the issuer", "--issuer-key-file").expose()
    if not text.lstrip().startswith("{"):
        return SigningKey.from_pem(text, cast("SignatureAlgorithm", issuing.issuer_key_alg), issuing.issuer_key_id)
    try:
        jwk = json.loads(text)
    except ValueError:
        jwk = None
    if not isinstance(jwk, dict):
        raise must_be("issuer_key_file", "a JWK or PEM", code="signing_key_unreadable")
    return SigningKey.from_jwk(jwk)


def _claim(text: str) -> tuple[str, object]:
    name, given, value = text.partition("=")
    if not name or not given:
        raise must_be("claim", "NAME=VALUE", text)
    try:
        return name, json.loads(value)
    except ValueError:  # a text needs no quotes
        return name, value


def _header(text: str) -> tuple[str, str]:
    name, given, value = text.partition(":")
    if not name.strip() or not given:
        raise must_be("header", "Name: value", text)
    return name.strip(), value.strip()


def _headers(asking: Asking) -> dict[str, str]:
    kind = {} if asking.body_file is None else {"Content-Type": "application/json"}
    return kind | dict(_header(each) for each in asking.header or ())


def _trusting(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(path))
    except OSError as error:  # ssl.SSLError is one
        reason = type(error).__name__
    raise because(ConfigurationException, "certificate_file_unreadable", f"{path} cannot be read", reason, "trust")


def _progress(result: AttackResult) -> None:
    typer.echo(f"\r\033[K{printable(result.name, 60)}", err=True, nl=False)


def _print(report: AttackReport, as_json: bool) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        typer.echo("\r\033[K", err=True, nl=False)
    if as_json:
        show(report.as_dict())
        return
    for line in report.lines():
        typer.echo(printable(line.strip("\n"), 4_000))


__all__ = ["attack"]
