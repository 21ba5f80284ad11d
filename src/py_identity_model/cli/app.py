"""The command line: one token, a file of tokens, and a look at a provider.

Results go to standard output, words to standard error; no token is ever shown. The exit code is 0 if all is valid, 1 if
something was refused, 2 if the call or a file is not valid, 3 if a provider could not be asked, 130 if interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from .._bulk_job import Progress as Reached
from .._bulk_job import Summary, validate_file
from .._core.discovery.metadata import DiscoveryDocumentRequest
from .._core.jose.jwks import JwksRequest
from .._core.resource.requirement import Requirement
from ..bulk import VALID, verdict
from ..exceptions import ConfigurationException, NetworkException, PyIdentityModelException, ValidationException
from ..sync._explain import explain as explain_token
from ..sync._validation import TokenValidator, get_discovery_document, get_jwks

REFUSED, MISTAKEN, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

app: typer.Typer = typer.Typer(
    help="Validate tokens of OpenID Connect and OAuth 2, and look at providers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and so tokens
)

Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


def _words() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


@app.command()
def validate(
    token: Annotated[str | None, typer.Argument(help="The token; - reads it from standard input.")] = None,
    issuer: Annotated[list[str] | None, typer.Option(help="The issuer to trust; may be repeated.")] = None,
    audience: Annotated[list[str] | None, typer.Option(help="Who the token must be for; may be repeated.")] = None,
    accept_any_audience: Annotated[bool, typer.Option("--accept-any-audience", help="Give up that check.")] = False,
    kind: Annotated[
        str, typer.Option(help="access_token, rfc9068_access_token, id_token or access_or_id_token.")
    ] = "access_token",
    algorithm: Annotated[list[str] | None, typer.Option(help="An accepted algorithm; may be repeated.")] = None,
    keys: Annotated[Path | None, typer.Option(help="A file with the keys, instead of asking the issuer.")] = None,
    jwks_uri: Annotated[str | None, typer.Option(help="Where the keys are, if the issuer has no metadata.")] = None,
    leeway: Annotated[float | None, typer.Option(help="Seconds that clocks may differ.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, pure or native.")] = None,
    batch: Annotated[Path | None, typer.Option(help="A file with many tokens instead of one.")] = None,
    column: Annotated[str, typer.Option(help="The column or member that holds the token.")] = "token",
    form: Annotated[str | None, typer.Option("--format", help="jsonl, csv, parquet or lines.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where results go, as JSON Lines.")] = None,
    claims: Annotated[bool, typer.Option("--claims", help="Write the claims of valid tokens there too.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin an interrupted job anew.")] = False,
    as_json: Json = False,
) -> None:
    """Validate one token, or every token of a file."""
    with _told(as_json):
        if (token is None) is (batch is None):
            raise ConfigurationException("Give one token, or a file with --batch", code="policy_invalid")
        trusted = issuer[0] if issuer and len(issuer) == 1 else issuer
        rules: dict[str, Any] = {"kind": kind, "algorithms": algorithm, "keys": keys, "jwks_uri": jwks_uri}
        rules |= {"leeway": leeway, "engine": engine, "accept_any_audience": accept_any_audience}
        validator = TokenValidator(trusted, audience, **rules)
        if batch is None:
            _validate_one(validator, token or "", as_json)
            return
        job: dict[str, Any] = {"form": form, "column": column, "claims": claims, "workers": workers, "restart": restart}
        with _progress() as progress:
            summary = validate_file(batch, validator, output, progress=progress, **job)
        _show_summary(summary, as_json)
        if summary.unverified:
            raise typer.Exit(UNREACHABLE)
        if summary.refused:
            raise typer.Exit(REFUSED)


def _validate_one(validator: TokenValidator, token: str, as_json: bool) -> None:
    if token == "-":
        token = sys.stdin.read().strip()
    claims = validator.validate(token)
    typer.echo(json.dumps(verdict(claims) if as_json else claims, indent=None if as_json else 2))
    if not as_json:
        _words().print("valid")


def _show_summary(summary: Summary, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary.as_dict()))
        return
    table = Table("verdict", "code", "rows", box=None)
    table.add_row(VALID, "", f"{summary.valid:,}")
    for kind, codes in (("refused", summary.refused), ("unverified", summary.unverified)):
        for code, count in sorted(codes.items(), key=lambda item: -item[1]):
            table.add_row(kind, code, f"{count:,}")
    words = Console(highlight=False)
    words.print(table)
    words.print(f"{summary.rows:,} rows, {summary.rate:,.0f} per second")


@contextmanager
def _progress() -> Iterator[Callable[[Reached], None]]:
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f} per second"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_words(), transient=True) as bar:
        task = bar.add_task("", total=None, rows=0, rate=0.0)
        begun: int | None = None

        def reached(now: Reached) -> None:
            nonlocal begun
            begun = now.rows if begun is None else begun
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = (now.rows - begun) / elapsed if elapsed else 0.0
            bar.update(task, completed=now.read, total=now.total, rows=now.rows, rate=rate)

        yield reached


@app.command()
def explain(
    token: Annotated[str, typer.Argument(help="The token; - reads it from standard input.")] = "-",
    issuer: Annotated[list[str] | None, typer.Option(help="The issuer to trust; may be repeated.")] = None,
    audience: Annotated[list[str] | None, typer.Option(help="Who the token must be for; may be repeated.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope that is needed; may be repeated.")] = None,
    accept_any_audience: Annotated[bool, typer.Option("--accept-any-audience", help="Give up that check.")] = False,
    kind: Annotated[
        str, typer.Option(help="access_token, rfc9068_access_token, id_token or access_or_id_token.")
    ] = "access_token",
    keys: Annotated[Path | None, typer.Option(help="A file with the keys, instead of asking the issuer.")] = None,
    jwks_uri: Annotated[str | None, typer.Option(help="Where the keys are, if the issuer has no metadata.")] = None,
    leeway: Annotated[float | None, typer.Option(help="Seconds that clocks may differ.")] = None,
    claims: Annotated[bool, typer.Option("--claims", help="Show the claims as well, verified or not.")] = False,
    as_json: Json = False,
) -> None:
    """Say why a token is refused: each check, what was expected, what came, and what would help."""
    with _told(as_json):
        trusted = issuer[0] if issuer and len(issuer) == 1 else issuer
        rules: dict[str, Any] = {"kind": kind, "keys": keys, "jwks_uri": jwks_uri, "leeway": leeway}
        validator = TokenValidator(trusted, audience, accept_any_audience=accept_any_audience, **rules)
        given = sys.stdin.read().removesuffix("\n") if token == "-" else token
        needed = Requirement(scopes=scope) if scope else None
        found = explain_token(given, validator, requirement=needed, show_claims=claims)
        typer.echo(json.dumps(found.as_dict()) if as_json else found)
        if claims and not as_json:
            typer.echo(json.dumps(found.claims or {}, indent=2))
        if not found.accepted:
            raise typer.Exit(UNREACHABLE if isinstance(found.error, NetworkException) else REFUSED)


@app.command()
def discover(
    issuer: Annotated[str, typer.Argument(help="The issuer, or the URL of its metadata.")], as_json: Json = False
) -> None:
    """Show a provider's metadata."""
    with _told(as_json):
        response = get_discovery_document(DiscoveryDocumentRequest(address=issuer))
        response.raise_for_error()
        typer.echo(json.dumps(_members(response), indent=None if as_json else 2))


@app.command()
def keys(
    issuer: Annotated[str, typer.Argument(help="The issuer, or the URL of its metadata.")], as_json: Json = False
) -> None:
    """Show a provider's keys."""
    with _told(as_json):
        document = get_discovery_document(DiscoveryDocumentRequest(address=issuer))
        document.raise_for_error()
        response = get_jwks(JwksRequest(address=document.jwks_uri or ""))
        response.raise_for_error()
        found = response.keys or []
        if as_json:
            typer.echo(json.dumps({"keys": [key.as_dict() for key in found]}))
            return
        table = Table("kid", "kty", "crv", "alg", "use", "bits", box=None)
        for key in found:
            facts = (key.kid, key.kty, key.crv, key.alg, key.use, key.key_size)
            table.add_row(*("" if fact is None else escape(str(fact)) for fact in facts))
        Console(highlight=False).print(table)


@app.command()
def export_keys(
    issuer: Annotated[list[str], typer.Argument(help="The issuers to ask.")],
    key_file: Annotated[Path, typer.Option(help="A file with the key that authenticates it: 32 random bytes or more.")],
    output: Annotated[Path, typer.Option(help="Where the snapshot goes.")],
    as_json: Json = False,
) -> None:
    """Write what providers say of their keys to a file, for validators that start without a network."""
    with _told(as_json):
        validator = TokenValidator(issuer, accept_any_audience=True)
        output.write_bytes(validator.export_keys(_contents(key_file)))
        _words().print(f"{escape(str(output))} holds the keys of {len(issuer)} issuers")


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = type(error).__name__
    raise ConfigurationException(f"The key cannot be read: {reason}", code="secret_file_unreadable", claim="key_file")


def _members(response: Any) -> dict[str, Any]:
    hidden = ("is_successful", "error", "cache_control")
    known = {name: value for name, value in vars(response).items() if not name.startswith("_") and name not in hidden}
    faults = {name: fault.message for name, fault in known.pop("faults", {}).items()}
    return {name: value for name, value in {**known, "faults": faults or None}.items() if _is_json(value)}


def _is_json(value: Any) -> bool:
    return isinstance(value, str | bool | int | list | dict) and value != []


@contextmanager
def _told(as_json: bool) -> Iterator[None]:
    """Turn whatever is raised into words and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        _words().print("interrupted; the same call goes on from here")
        raise typer.Exit(INTERRUPTED) from None
    except PyIdentityModelException as error:
        _fail(error, as_json)


def _fail(error: PyIdentityModelException, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({**verdict(error), **({"hint": error.hint} if error.hint else {})}))
    told = "refused" if isinstance(error, ValidationException) else "error"
    words = _words()
    words.print(f"{told}: {escape(error.message)} ({escape(error.code)})")
    if error.hint:
        words.print(f"hint: {escape(error.hint)}")
    if isinstance(error, ValidationException):
        raise typer.Exit(REFUSED)
    raise typer.Exit(UNREACHABLE if isinstance(error, NetworkException) else MISTAKEN)


__all__ = ["app"]
