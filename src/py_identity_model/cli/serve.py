"""The command ``serve``: an OpenID provider for a developer's machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._core.jose.algorithms import ASYMMETRIC_ALGORITHMS, SignatureAlgorithm
from .._refusals import must_be
from ..testing._serve.issuer import SiteOptions
from ..testing._serve.rules import SettingsFile
from ..testing._serve.running import Listening, opened, serve_until_stopped
from ..testing._serve.site import ProviderSite, check_base
from ._shared import Json, say, show

Port = Annotated[int, typer.Option(help="The port; 0 lets the system choose.")]
Host = Annotated[str, typer.Option(help="The address to listen on.")]
BaseUrl = Annotated[str | None, typer.Option(help="The address that issuers have, as in http://oidc:8080 for Compose.")]
BrowserUrl = Annotated[str | None, typer.Option(help="Where browsers reach it, if not at the address of its issuers.")]
Claims = Annotated[
    Path | None, typer.Option(help="A TOML or JSON file with users, clients and rules; read again on change.")
]
Audience = Annotated[str, typer.Option(help="The aud of access tokens.")]
Subject = Annotated[str, typer.Option(help="Who logs in where nobody is named.")]
Algorithm = Annotated[list[str] | None, typer.Option(help="A signature algorithm; may be repeated.")]
Lifetime = Annotated[float, typer.Option(help="Seconds that access tokens live.")]
Automatic = Annotated[bool, typer.Option("--automatic-login", help="Log everybody in without a page.")]
Registered = Annotated[
    bool, typer.Option("--registered-clients-only", help="Take only clients of the file or the control API.")
]
Slash = Annotated[bool, typer.Option("--trailing-slash", help="End issuers with a slash.")]
Tls = Annotated[bool, typer.Option("--tls", help="Serve https, with a certificate made now.")]
CaFile = Annotated[Path | None, typer.Option(help="Where the certificate of the authority goes, for clients to trust.")]
AllowHost = Annotated[list[str] | None, typer.Option(help="One more name it answers to; may be repeated.")]
AllowOrigin = Annotated[list[str] | None, typer.Option(help="One more origin whose scripts may ask; may be repeated.")]
Beyond = Annotated[
    bool,
    typer.Option("--listen-beyond-this-machine", help="Let other machines reach it: anybody can be anybody there."),
]


def serve(
    port: Port = 8080,
    host: Host = "127.0.0.1",
    base_url: BaseUrl = None,
    browser_url: BrowserUrl = None,
    claims: Claims = None,
    audience: Audience = "api",
    subject: Subject = "alice",
    algorithm: Algorithm = None,
    lifetime: Lifetime = 300,
    automatic: Automatic = False,
    registered_only: Registered = False,
    trailing_slash: Slash = False,
    tls: Tls = False,
    ca_file: CaFile = None,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    beyond: Beyond = False,
    as_json: Json = False,
) -> None:
    """Run an OpenID provider for developers and tests."""
    settings = SiteOptions(
        audience=audience,
        subject=subject,
        algorithms=_algorithms(algorithm or ["RS256"]),
        pages=not automatic,
        open_clients=not registered_only,
        access_token_lifetime=lifetime,
        browser_url=check_base(browser_url, "browser_url") if browser_url else None,
        trailing_slash=trailing_slash,
        file=SettingsFile(claims),
    )
    site = ProviderSite(options=settings, allowed_hosts=allow_host or (), allowed_origins=allow_origin or ())
    running = opened(site, Listening(host, port, base_url, beyond, tls, ca_file))
    _announce(site, running.port, as_json, beyond)
    serve_until_stopped(running)
    say("stopped")


def _algorithms(given: list[str]) -> tuple[SignatureAlgorithm, ...]:
    by_name: dict[str, SignatureAlgorithm] = {alg: alg for alg in ASYMMETRIC_ALGORITHMS}
    if not by_name.keys() >= set(given):
        raise must_be("algorithm", f"one of {', '.join(ASYMMETRIC_ALGORITHMS)}", ", ".join(given))
    return tuple(by_name[name] for name in given)


def _announce(site: ProviderSite, port: int, as_json: bool, beyond: bool) -> None:
    root = site.named()
    if as_json:
        show({"issuer": root.issuer, "port": port, "control": f"{root.issuer.rstrip('/')}/_control"})
    say(f"issuer {root.issuer}, and one below it for every name: {root.issuer.rstrip('/')}/NAME")
    say(f"open {root.browser_issuer} in a browser; Ctrl-C stops")
    if beyond:
        say("other machines can reach this provider, log in as anybody and change everything")


__all__ = ["serve"]
