"""The command ``serve``: an OpenID provider for a developer's machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..testing._serve.issuer import SiteOptions
from ..testing._serve.rules import SettingsFile
from ..testing._serve.running import Listening, opened, serve_until_stopped
from ..testing._serve.site import ProviderSite, check_base
from ._shared import Json, say, show


def serve(
    port: Annotated[int, typer.Option(help="The port; 0 lets the system choose.")] = 8080,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    base_url: Annotated[
        str | None, typer.Option(help="The address that issuers have, as in http://oidc:8080 for Compose.")
    ] = None,
    browser_url: Annotated[
        str | None, typer.Option(help="Where browsers reach it, if not at the address of its issuers.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(help="A TOML or JSON file with users, clients and rules; read again on change.")
    ] = None,
    audience: Annotated[str, typer.Option(help="The aud of access tokens.")] = "api",
    subject: Annotated[str, typer.Option(help="Who logs in where nobody is named.")] = "alice",
    algorithm: Annotated[list[str] | None, typer.Option(help="A signature algorithm; may be repeated.")] = None,
    lifetime: Annotated[float, typer.Option(help="Seconds that access tokens live.")] = 300,
    automatic: Annotated[bool, typer.Option("--automatic-login", help="Log everybody in without a page.")] = False,
    registered_only: Annotated[
        bool, typer.Option("--registered-clients-only", help="Take only clients of the file or the control API.")
    ] = False,
    trailing_slash: Annotated[bool, typer.Option("--trailing-slash", help="End issuers with a slash.")] = False,
    tls: Annotated[bool, typer.Option("--tls", help="Serve https, with a certificate made now.")] = False,
    ca_file: Annotated[
        Path | None, typer.Option(help="Where the certificate of the authority goes, for clients to trust.")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="One more name it answers to; may be repeated.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="One more origin whose scripts may ask; may be repeated.")
    ] = None,
    beyond: Annotated[
        bool,
        typer.Option("--listen-beyond-this-machine", help="Let other machines reach it: anybody can be anybody there."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an OpenID provider for developers and tests."""
    options: dict[str, Any] = {"algorithms": tuple(algorithm)} if algorithm else {}
    site = ProviderSite(
        options=SiteOptions(
            audience=audience,
            subject=subject,
            pages=not automatic,
            open_clients=not registered_only,
            access_token_lifetime=lifetime,
            browser_url=check_base(browser_url, "browser_url") if browser_url else None,
            trailing_slash=trailing_slash,
            file=SettingsFile(claims),
            **options,
        ),
        allowed_hosts=allow_host or (),
        allowed_origins=allow_origin or (),
    )
    site.named().held_keys()  # a wrong algorithm is told now
    running = opened(site, Listening(host, port, base_url, beyond, tls, ca_file))
    _announce(site, running.port, as_json, beyond)
    serve_until_stopped(running)
    say("stopped")


def _announce(site: ProviderSite, port: int, as_json: bool, beyond: bool) -> None:
    root = site.named()
    if as_json:
        show({"issuer": root.issuer, "port": port, "control": f"{root.issuer.rstrip('/')}/_control"})
    say(f"issuer {root.issuer}, and one below it for every name: {root.issuer.rstrip('/')}/NAME")
    say(f"open {root.browser_issuer} in a browser; Ctrl-C stops")
    if beyond:
        say("other machines can reach this provider, log in as anybody and change everything")


__all__ = ["serve"]
