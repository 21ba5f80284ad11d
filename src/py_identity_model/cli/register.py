"""The command ``register``: a new client at a provider that takes registrations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .._core.base.strict_json import StrictJSONError, loads_object
from .._core.registration.registration import ClientRegistrationRequest
from ..exceptions import ConfigurationException
from ..sync._registration import register_client
from ._client import ClientOptions, raised
from ._endpoints import endpoint
from ._secrets import DASH, read_secret, write_private
from ._shared import Force, Issuer, Json, Output, Scopes, needed, read_bytes, say, show, words


@dataclass(frozen=True)
class _Metadata:
    """What is said about the client."""

    redirect_uri: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Where users come back to; may be repeated.")
    ] = None
    client_name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What users see.")] = None
    scope: Scopes = None
    grant_type: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="authorization_code, ...; may be repeated.")
    ] = None
    auth_method: Annotated[
        str | None, typer.Option(metavar="NAME", help="none, client_secret_basic, private_key_jwt, ...")
    ] = None
    application_type: Annotated[str | None, typer.Option(metavar="NAME", help="web or native.")] = None
    jwks_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The client's public keys: a JWK Set, or one JWK.")
    ] = None
    metadata_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Further metadata, a JSON object.")] = None

    def request(self, address: str, **more: Any) -> ClientRegistrationRequest:
        """Return the request."""
        extra = None if self.metadata_file is None else _json_file(self.metadata_file, "metadata file")
        return ClientRegistrationRequest(
            address,
            self.redirect_uri or [],
            client_name=self.client_name,
            scope=words(self.scope),
            grant_types=self.grant_type,
            token_endpoint_auth_method=self.auth_method,
            application_type=self.application_type,
            jwks=_key_set(self.jwks_file),
            extra_metadata=extra,
            **more,
        )


def register(
    output: Output,
    metadata: _Metadata,
    issuer: Issuer = None,
    initial_access_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What entitles to register; - reads standard input.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Register a client (RFC 7591).

    The answer may hold a secret and a token to manage the client with: it goes to a file for its owner only.
    """
    _check_free(output, force)
    made = ClientOptions(issuer=needed(issuer, "issuer"))
    entitled = _initial(initial_access_token_file)
    request = metadata.request(endpoint(made, "registration_endpoint"), initial_access_token=entitled)
    answer = raised(register_client(request))
    write_private(output, json.dumps(answer.metadata, indent=2) + "\n", force)
    if output != DASH:
        _tell(answer, output, as_json)


def _tell(answer: Any, output: Path, as_json: bool) -> None:
    if as_json:
        changes = {name: list(pair) for name, pair in answer.changes.items()}
        show({"client_id": answer.client_id, "changes": changes})
    else:
        typer.echo(answer.client_id)
    say(f"{output} holds the registration")
    for name, (asked, registered) in answer.changes.items():
        say(f"note: {name} was asked for as {asked!r}, and registered as {registered!r}")


def _check_free(output: Path, force: bool) -> None:
    """Refuse a file that is there before a client is registered whose secret would be lost."""
    if output != DASH and not force and output.exists():
        raise ConfigurationException(
            f"{output} cannot be written: it exists already",
            code="output_exists",
            claim="output",
            hint="--force replaces it",
        )


def _initial(path: Path | None) -> Any:
    return None if path is None else read_secret(path, "initial access token", "--initial-access-token-file")


def _key_set(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    found = _json_file(path, "key file")
    return found if "keys" in found else {"keys": [found]}


def _json_file(path: Path, what: str) -> dict[str, Any]:
    try:
        return loads_object(read_bytes(path, what))
    except StrictJSONError as error:
        reason = error.reason
    raise ConfigurationException(f"The {what} cannot be read: {reason}", code="file_unreadable", claim=what)
