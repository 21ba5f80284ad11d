"""The command ``keygen``: a new signing key, or another form of one that there is."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from .._core.base.secret import exposed
from .._core.jose.algorithms import ALGORITHMS
from .._core.jose.jws import jwk_thumbprint
from .._core.jose.signing_keys import SigningKey
from ..exceptions import ConfigurationException
from ._client import read_jwk
from ._secrets import DASH, read_secret, write_private
from ._shared import Force, Json, say, show

FORMS = ("jwk", "jwks", "pem", "thumbprint")


def keygen(
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where the private key goes; - is standard output."),
    ] = None,
    alg: Annotated[
        str | None, typer.Option("--algorithm", metavar="NAME", help=f"ES256 unless given; or {', '.join(ALGORITHMS)}.")
    ] = None,
    kid: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its name; the thumbprint (RFC 7638) unless given.")
    ] = None,
    bits: Annotated[int, typer.Option(metavar="NUMBER", help="The size of an RSA key.")] = 3072,
    form: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="How it is written: pem, unless jwk is given.")
    ] = None,
    public: Annotated[
        str, typer.Option(metavar="NAME", help=f"The public key on standard output: {', '.join(FORMS)}.")
    ] = "jwk",
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A private key to read; - is standard input.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a signing key: the private half in a file, the public half on standard output.

    The file is readable by its owner only, and a file that is there is not overwritten. With --from a key is read
    instead of made: to show its public half, or to write it in another form.
    """
    _check("--format", form, ("pem", "jwk", None))
    _check("--public", public, FORMS)
    if output is None and source is None:
        raise ConfigurationException("--output is missing", code="parameter_missing", hint="--output FILE, or -")
    key = _named(_generated(alg or "ES256", bits) if source is None else _read(source, alg), kid)
    if output is not None:
        write_private(output, _private_text(key, form), force)
    if output == DASH:
        return
    if output is not None:
        say(f"{output} holds the private key: {key.alg}, kid {key.kid}")
    _show_public(key, public, as_json)


def _check(option: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        names = ", ".join(str(one) for one in known if one)
        raise ConfigurationException(
            f"{option} cannot be {value!r}",
            code="argument_invalid",
            claim=option,
            expected=names,
            hint=f"it is {names}",
        )


def _generated(alg: Any, bits: int) -> SigningKey:
    return SigningKey.generate(alg, bits=bits)


def _read(path: Path, alg: Any) -> SigningKey:
    text = exposed(read_secret(path, "private key", "--from"))
    if text.startswith("{"):
        return SigningKey.from_jwk(read_jwk(text), alg)
    if alg is not None:
        return SigningKey.from_pem(text, alg)
    return _guessed(text, ["PS256", *ALGORITHMS])


def _guessed(text: str, algs: list[Any]) -> SigningKey:
    """Read PEM with the first algorithm that its key fits."""
    try:
        return SigningKey.from_pem(text, algs[0])
    except ConfigurationException as error:
        if error.code != "signing_key_mismatch" or len(algs) == 1:
            raise
    return _guessed(text, algs[1:])


def _named(key: SigningKey, kid: str | None) -> SigningKey:
    """Return the key with a name: the one that is given, its own, or its thumbprint."""
    name = kid or key.kid
    if key.private_pem is None:
        octets = key._private
        return SigningKey.from_secret(octets, key.alg, name or secrets.token_hex(8))
    return SigningKey.from_pem(key.private_pem, key.alg, name or jwk_thumbprint(key.public_jwk or {}))


def _private_text(key: SigningKey, form: str | None) -> str:
    if form != "jwk" and key.private_pem is not None:
        return key.private_pem
    if form == "pem":
        raise ConfigurationException(
            f"A key of {key.alg} is a shared secret: there is no PEM of it",
            code="argument_invalid",
            claim="--format",
            hint="--format jwk",
        )
    return json.dumps(key.private_jwk, indent=2) + "\n"


def _show_public(key: SigningKey, form: str, as_json: bool) -> None:
    if key.public_jwk is None:
        say("a shared secret has no public half")
        return
    found: dict[str, Any] = {
        "jwk": key.public_jwk,
        "jwks": {"keys": [key.public_jwk]},
        "pem": key.public_pem,
        "thumbprint": jwk_thumbprint(key.public_jwk),
    }
    if as_json or not isinstance(found[form], str):
        show(found[form], as_json)
    else:
        typer.echo(found[form].rstrip("\n"))
