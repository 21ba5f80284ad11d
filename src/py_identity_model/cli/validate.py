"""The command ``validate``: one token, or millions in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .._bulk_job import Progress as Reached
from .._bulk_job import Summary, validate_file
from .._core.validation.columns import VALID
from ..bulk import verdict
from ..exceptions import ConfigurationException
from ..sync._validation import TokenValidator
from ._shared import (
    INTERRUPTED,
    REFUSED,
    UNREACHABLE,
    AnyAudience,
    Audiences,
    DiscoveryAddress,
    Issuers,
    Json,
    JwksUri,
    KeyFile,
    Kind,
    Leeway,
    given_token,
    option,
    say,
    show,
    show_table,
    validator_of,
)


def validate(
    token: Annotated[
        str | None, typer.Argument(metavar="TOKEN", help="The token; - reads it from standard input.")
    ] = None,
    issuer: Issuers = None,
    audience: Audiences = None,
    accept_any_audience: AnyAudience = False,
    kind: Kind = "access_token",
    algorithm: Annotated[list[str] | None, option("algorithm", "An accepted algorithm; may be repeated.")] = None,
    keys: KeyFile = None,
    jwks_uri: JwksUri = None,
    discovery_address: DiscoveryAddress = None,
    leeway: Leeway = None,
    engine: Annotated[str | None, typer.Option(metavar="NAME", help="auto, pure or native.")] = None,
    batch: Annotated[Path | None, typer.Option(metavar="FILE", help="A file with many tokens instead of one.")] = None,
    column: Annotated[str, typer.Option(metavar="NAME", help="The column or member that holds the token.")] = "token",
    form: Annotated[str | None, typer.Option("--format", metavar="NAME", help="jsonl, csv, parquet or lines.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Results: JSON Lines, or .parquet.")] = None,
    claims: Annotated[bool, typer.Option("--claims", help="Write the claims of valid tokens there too.")] = False,
    claim: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this claim of valid tokens; may be repeated.")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="NUMBER", help="Processes; by default one per core.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin an interrupted job anew.")] = False,
    as_json: Json = False,
) -> None:
    """Validate one token, or every token of a file."""
    if (token is None) is (batch is None):
        raise ConfigurationException("Give one token, or a file with --batch", code="policy_invalid")
    rules: dict[str, Any] = {"kind": kind, "algorithms": algorithm, "keys": keys, "jwks_uri": jwks_uri}
    rules["discovery_address"] = discovery_address
    rules |= {"leeway": leeway, "engine": engine, "accept_any_audience": accept_any_audience}
    validator = validator_of(issuer, audience, **rules)
    if batch is None:
        _validate_one(validator, token or "", as_json)
        return
    job: dict[str, Any] = {"form": form, "column": column, "claims": claim or claims}
    job |= {"workers": workers, "restart": restart}
    _validate_all(validator, batch, output, job, as_json)


def _validate_one(validator: TokenValidator, token: str, as_json: bool) -> None:
    claims = validator.validate(given_token(token))
    show(verdict(claims) if as_json else claims, as_json)
    if not as_json:
        say("valid")


def _validate_all(
    validator: TokenValidator, batch: Path, output: Path | None, job: dict[str, Any], as_json: bool
) -> None:
    try:
        with _progress() as progress:
            summary = validate_file(batch, validator, output, progress=progress, **job)
    except KeyboardInterrupt:
        say("interrupted; the same call goes on from here")
        raise typer.Exit(INTERRUPTED) from None
    _show_summary(summary, as_json)
    if summary.unverified:
        raise typer.Exit(UNREACHABLE)
    if summary.refused:
        raise typer.Exit(REFUSED)


def _show_summary(summary: Summary, as_json: bool) -> None:
    if as_json:
        show(summary.as_dict())
        return
    rows = [(VALID, "", f"{summary.valid:,}")]
    for kind, codes in (("refused", summary.refused), ("unverified", summary.unverified)):
        rows += [(kind, code, f"{n:,}") for code, n in sorted(codes.items(), key=lambda item: -item[1])]
    show_table(("verdict", "code", "rows"), rows)
    typer.echo(f"{summary.rows:,} rows, {summary.rate:,.0f} per second")


@contextmanager
def _progress() -> Iterator[Callable[[Reached], None]]:
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f} per second"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, rows=0, rate=0.0)
        begun: int | None = None

        def reached(now: Reached) -> None:
            nonlocal begun
            begun = now.rows if begun is None else begun
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = (now.rows - begun) / elapsed if elapsed else 0.0
            bar.update(task, completed=now.read, total=now.total, rows=now.rows, rate=rate)

        yield reached
