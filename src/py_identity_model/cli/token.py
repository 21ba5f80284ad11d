"""The command ``token``: an access token, by whichever grant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .._core.base.secret import exposed
from .._core.client.grants import RefreshTokenRequest
from .._core.client.token_exchange import ExchangeTokenType
from .._core.client.workload_identity import WorkloadIdentity
from .._core.login.device_login import DeviceLoginRequest
from ..exceptions import ConfigurationException
from ..sync._grants import refresh_token
from ._client import ClientOptions, identity_of, raised
from ._endpoints import client_fields, endpoint
from ._secrets import DASH, read_secret, write_private
from ._shared import Json, Resources, Scopes, option, say, words
from ._tokens import Header, show_device, show_token

_TYPES = {
    "access_token": ExchangeTokenType.ACCESS_TOKEN,
    "refresh_token": ExchangeTokenType.REFRESH_TOKEN,
    "id_token": ExchangeTokenType.ID_TOKEN,
    "jwt": ExchangeTokenType.JWT,
}
#: Scopes that say something about a login, not about an API (OpenID Connect Core 5.4, 11).
_OF_LOGINS = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})


@dataclass(frozen=True)
class _Wanted:
    """What the token is for."""

    scope: Scopes = None
    resource: Resources = None
    audience: Annotated[list[str] | None, option("audience", "The same by name; may be repeated.")] = None


@dataclass(frozen=True)
class _Given:
    """What is given for it, beside the client's own credentials."""

    grant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="client-credentials, login, refresh, device, exchange or workload; by default what is given decides.",
        ),
    ] = None
    subject_token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="exchange: the token to exchange (RFC 8693); - reads standard input."),
    ] = None
    subject_token_type: Annotated[
        str, typer.Option(metavar="NAME", help="exchange: access_token, refresh_token, id_token, jwt, or a URI.")
    ] = "access_token"
    actor_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="exchange: the token of who acts for the subject.")
    ] = None
    requested_token_type: Annotated[
        str | None, typer.Option(metavar="NAME", help="exchange: what is to be issued.")
    ] = None
    refresh_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="refresh: a refresh token; without it, the login's is used.")
    ] = None
    identity: Annotated[
        str | None,
        option("identity", "workload: github:AUDIENCE, gitlab:VARIABLE, kubernetes[:FILE], file:FILE, env:VARIABLE."),
    ] = None
    identity_grant: Annotated[
        str | None, typer.Option(metavar="NAME", help="workload: token_exchange or jwt_bearer.")
    ] = None

    @property
    def named(self) -> str | None:
        """The grant that is asked for, or follows from what is given."""
        if self.grant is not None:
            return self.grant.replace("_", "-")
        for name, value in (
            ("exchange", self.subject_token_file),
            ("refresh", self.refresh_token_file),
            ("workload", self.identity),
        ):
            if value is not None:
                return name
        return None


def token(
    client: ClientOptions,
    wanted: _Wanted,
    given: _Given,
    header: Header = False,
    as_json: Json = False,
) -> None:
    """Get an access token, and print it.

    A client with credentials asks in its own name; one without uses the login that "login" left, and renews it. Nothing
    else is kept, so that a token is asked for anew each time.

    curl -H @<(py-identity-model token --header) https://api.example.com/orders
    """
    named = given.named
    usual = "client-credentials" if client.is_confidential else "login"
    name = usual if named is None else named
    grant = _GRANTS.get(name)
    if grant is None:
        known = ", ".join(_GRANTS)
        raise ConfigurationException(
            f"--grant cannot be {name!r}", code="argument_invalid", claim="grant", expected=known, hint=f"it is {known}"
        )
    show_token(grant(client, wanted, given), header=header, as_json=as_json)


def _client_credentials(client: ClientOptions, wanted: _Wanted, given: _Given) -> Any:
    audience = wanted.audience[0] if wanted.audience and len(wanted.audience) == 1 else wanted.audience
    built = client.built(kept=False)
    return built.client_credentials(scope=words(wanted.scope), resource=wanted.resource, audience=audience)


def _login(client: ClientOptions, wanted: _Wanted, given: _Given) -> Any:
    # What a profile says of scopes is what logins ask for: a token of the login has these anyway.
    scope = [one for one in words(wanted.scope) or () if one not in _OF_LOGINS]
    return client.built().token(scope=scope or None, resource=wanted.resource, subject=client.name)


def _refresh(client: ClientOptions, wanted: _Wanted, given: _Given) -> Any:
    if given.refresh_token_file is None:
        return client.built().refresh(scope=words(wanted.scope), resource=wanted.resource, subject=client.name)
    return _refreshed(client, wanted, given.refresh_token_file)


def _refreshed(client: ClientOptions, wanted: _Wanted, path: Path) -> Any:
    """Use a refresh token that the user brings along; where the provider rotates it, the file gets the new one."""
    told = read_secret(path, "refresh token", "--refresh-token-file")
    request = RefreshTokenRequest(
        endpoint(client, "token_endpoint"),
        refresh_token=told,
        scope=words(wanted.scope),
        resource=wanted.resource,
        **client_fields(client),
    )
    answer = raised(refresh_token(request))
    if answer.refresh_token not in (None, exposed(told)) and path != DASH:
        write_private(path, answer.refresh_token, force=True)
        say(f"{path} holds the new refresh token")
    return answer


def _device(client: ClientOptions, wanted: _Wanted, given: _Given) -> Any:
    request = DeviceLoginRequest(resource=wanted.resource, scope=words(wanted.scope))
    return raised(client.built(kept=False).device_login(show_device, request=request, subject=client.name))


def _exchange(client: ClientOptions, wanted: _Wanted, given: _Given) -> Any:
    subject = read_secret(given.subject_token_file, "subject token", "--subject-token-file")
    options: dict[str, Any] = {"subject_token_type": _type(given.subject_token_type)}
    options |= {"scope": words(wanted.scope), "resource": wanted.resource, "audience": wanted.audience}
    if given.actor_token_file is not None:
        options["actor_token"] = exposed(read_secret(given.actor_token_file, "actor token", "--actor-token-file"))
        options["actor_token_type"] = ExchangeTokenType.ACCESS_TOKEN
    if given.requested_token_type is not None:
        options["requested_token_type"] = _type(given.requested_token_type)
    return raised(client.built(kept=False).exchange(subject, **options))


def _type(name: str) -> str:
    return _TYPES.get(name, name)


def _workload(client: ClientOptions, wanted: _Wanted, given: _Given) -> Any:
    source = identity_of(given.identity or "")
    identity = WorkloadIdentity(source, grant=given.identity_grant)  # type: ignore[arg-type] # checked there
    built = client.built(kept=False, identity=identity)
    return built.token(scope=words(wanted.scope), resource=wanted.resource, audience=wanted.audience)


_GRANTS: dict[str, Callable[[ClientOptions, _Wanted, _Given], Any]] = {
    "client-credentials": _client_credentials,
    "login": _login,
    "refresh": _refresh,
    "device": _device,
    "exchange": _exchange,
    "workload": _workload,
}
