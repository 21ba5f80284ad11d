"""The command ``explain``: why a token is refused."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from .._core.resource.requirement import Requirement
from ..exceptions import NetworkException
from ..sync._explain import explain as explain_token
from ._shared import (
    REFUSED,
    UNREACHABLE,
    AnyAudience,
    Audiences,
    Issuers,
    Json,
    JwksUri,
    KeyFile,
    Kind,
    Leeway,
    Token,
    read_stdin,
    validator_of,
)


def explain(
    token: Token = "-",
    issuer: Issuers = None,
    audience: Audiences = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope that is needed; may be repeated.")] = None,
    accept_any_audience: AnyAudience = False,
    kind: Kind = "access_token",
    keys: KeyFile = None,
    jwks_uri: JwksUri = None,
    leeway: Leeway = None,
    claims: Annotated[bool, typer.Option("--claims", help="Show the claims as well, verified or not.")] = False,
    as_json: Json = False,
) -> None:
    """Say why a token is refused, check by check, and what would help.

    Each check is shown with what was expected and what came.
    """
    rules: dict[str, Any] = {"kind": kind, "keys": keys, "jwks_uri": jwks_uri, "leeway": leeway}
    validator = validator_of(issuer, audience, accept_any_audience=accept_any_audience, **rules)
    given = read_stdin("token").removesuffix("\n") if token == "-" else token
    needed = Requirement(scopes=scope) if scope else None
    found = explain_token(given, validator, requirement=needed, show_claims=claims)
    typer.echo(json.dumps(found.as_dict()) if as_json else found)
    if claims and not as_json:
        typer.echo(json.dumps(found.claims or {}, indent=2))
    if not found.accepted:
        raise typer.Exit(UNREACHABLE if isinstance(found.error, NetworkException) else REFUSED)
