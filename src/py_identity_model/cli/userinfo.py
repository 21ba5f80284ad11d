"""The command ``userinfo``: what the provider says about the user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._core.client.userinfo import UserInfoRequest
from ..sync._userinfo import get_userinfo
from ._client import ClientOptions, raised
from ._endpoints import endpoint
from ._secrets import read_secret
from ._shared import Json, show


def userinfo(
    client: ClientOptions,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An access token, in place of the login's; - reads standard input."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the provider says about the user of a login."""
    if token_file is None:
        answer = client.built().userinfo(client.name)
    else:
        token = read_secret(token_file, "access token", "--token-file")
        insecure = client.allow_insecure_http
        request = UserInfoRequest(endpoint(client, "userinfo_endpoint"), token, allow_insecure_http=insecure)
        answer = get_userinfo(request)
    show(raised(answer).claims, as_json)
