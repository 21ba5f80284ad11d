"""The command ``explain``: why a token is refused."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .._core.explain.explanation import Explanation
from .._core.resource.requirement import Requirement
from ..exceptions import NetworkException, printable
from ..sync._explain import explain as explain_token
from ._hints import in_options, option_names
from ._shared import (
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
    Token,
    read_stdin,
    show,
    validator_of,
)


def explain(
    ctx: typer.Context,
    token: Token = "-",
    issuer: Issuers = None,
    audience: Audiences = None,
    needed_scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="TEXT", help="A scope that is needed; may be repeated.")
    ] = None,
    accept_any_audience: AnyAudience = False,
    kind: Kind = "access_token",
    keys: KeyFile = None,
    jwks_uri: JwksUri = None,
    discovery_address: DiscoveryAddress = None,
    leeway: Leeway = None,
    claims: Annotated[bool, typer.Option("--claims", help="Show the claims as well, verified or not.")] = False,
    as_json: Json = False,
) -> None:
    """Say why a token is refused, check by check, and what would help.

    Each check is shown with what was expected and what came.
    """
    rules: dict[str, Any] = {"kind": kind, "keys": keys, "jwks_uri": jwks_uri, "leeway": leeway}
    rules["discovery_address"] = discovery_address
    validator = validator_of(issuer, audience, accept_any_audience=accept_any_audience, **rules)
    given = read_stdin("token").removesuffix("\n") if token == "-" else token
    needed = Requirement(scopes=needed_scope) if needed_scope else None
    found = explain_token(given, validator, requirement=needed, show_claims=claims)
    names = option_names(ctx.command)
    if as_json:
        show(_as_json(found, names))
    else:
        typer.echo("\n".join(printable(line, 2_000) for line in in_options(str(found), names).split("\n")))
    if claims and not as_json:
        show(dict(found.claims or {}), as_json=False)
    if not found.accepted:
        raise typer.Exit(UNREACHABLE if isinstance(found.error, NetworkException) else REFUSED)


def _as_json(found: Explanation, names: frozenset[str]) -> dict[str, Any]:
    """Return the explanation as JSON, with the option that each setting is here."""
    said = found.as_dict()
    for remedy in said["remedies"]:
        written = in_options(remedy.get("setting", ""), names)
        if written != remedy.get("setting", ""):
            remedy["option"] = written
    return said
