"""The client that a command speaks for: its options, its credentials, and where its logins are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .._core.base.secret import Secret
from ..exceptions import ConfigurationException
from ._profile import folder
from ._secrets import ask, read_secret
from ._shared import needed, option

SECRET_VARIABLE = "PY_IDENTITY_MODEL_CLIENT_SECRET"
#: The name of this program in a keyring, and of the login of those who say no other.
SERVICE, USER = "py-identity-model", "default"


@dataclass(frozen=True)
class ClientOptions:
    """Who asks, and whom. A command that has a parameter of this type has all these options."""

    issuer: Annotated[str | None, option("issuer", "The provider's issuer identifier.")] = None
    client_id: Annotated[str | None, option("client_id", "The client.")] = None
    client_secret_file: Annotated[
        Path | None, option("client_secret_file", "A file with the client's secret; - reads standard input.")
    ] = None
    ask_secret: Annotated[bool, typer.Option("--ask-secret", help="Ask for the client's secret.")] = False
    private_key_file: Annotated[
        Path | None, option("private_key_file", "A file with the client's private key: PEM, or a JWK.")
    ] = None
    key_algorithm: Annotated[
        str | None, option("key_algorithm", "The algorithm of that key; PS256 for PEM unless given.")
    ] = None
    key_id: Annotated[str | None, option("key_id", "The kid of that key.")] = None
    certificate_file: Annotated[
        Path | None, option("certificate_file", "The client's certificate, where it authenticates with one (mTLS).")
    ] = None
    store: Annotated[str | None, option("store", "Where logins are kept: file (unless given), keyring, or a path.")] = (
        None
    )
    user: Annotated[str | None, option("user", "A name for the login, where there are several.")] = None
    allow_insecure_http: Annotated[
        bool, typer.Option("--allow-insecure-http", help="Let secrets travel over plain http to another machine.")
    ] = False

    @property
    def name(self) -> str:
        """What the login is kept under."""
        return self.user or USER

    @property
    def is_confidential(self) -> bool:
        """Whether the client can prove who it is."""
        given = (self.client_secret_file, self.private_key_file, self.certificate_file)
        return any(given) or self.ask_secret or bool(os.environ.get(SECRET_VARIABLE))

    def credentials(self) -> dict[str, Any]:
        """Return what the client proves itself by.

        Raises:
            ConfigurationException: It cannot be read, or there are two of a kind.
        """
        if self.certificate_file is not None:
            return {"mtls": _certificate(self.certificate_file, self.private_key_file)}
        if self.private_key_file is not None:
            return {"private_key_jwt": _private_key(self.private_key_file, self.key_algorithm, self.key_id)}
        secret = self._secret()
        return {} if secret is None else {"client_secret": secret}

    def _secret(self) -> Secret | None:
        if self.client_secret_file is not None:
            return read_secret(self.client_secret_file, "client secret", "--client-secret-file")
        if self.ask_secret:
            return ask("client secret")
        named = os.environ.get(SECRET_VARIABLE)
        return Secret(named) if named else None

    def built(self, *, kept: bool = True, **more: Any) -> Any:
        """Return the :class:`OAuthClient`.

        Args:
            kept: Whether its logins are kept in the store; else in memory, for this call.
            more: Further arguments of it.

        Raises:
            ConfigurationException: Something is missing, or cannot be used.
        """
        from ..sync._oauth_client import OAuthClient

        issuer = needed(self.issuer, "issuer")
        client_id = self.client_id if more.get("identity") else needed(self.client_id, "client_id")
        given = {"client_id": client_id, **self.credentials(), **more}
        store = opened(self.store) if kept else None
        return OAuthClient(issuer, store=store, allow_insecure_http=self.allow_insecure_http, **given)


def opened(where: str | None) -> Any:
    """Return the store that logins are kept in.

    Args:
        where: ``file``, ``keyring``, or the path of a file.

    Raises:
        ConfigurationException: It cannot be used, or there is no such keyring.
    """
    from ..stores import KeyringStore, SqliteStore

    if where in (None, "", "file", "keyring"):
        path = state_folder() / ("logins.keyring.db" if where == "keyring" else "logins.db")
    else:
        path = Path(where or "").expanduser()
    return KeyringStore(path, SERVICE) if where == "keyring" else SqliteStore(path)


def state_folder() -> Path:
    """Return the folder for what is kept, readable by its owner only.

    Raises:
        ConfigurationException: There is none, and it cannot be made.
    """
    path = folder("XDG_STATE_HOME", ".local/state")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path
    except OSError as error:
        reason = type(error).__name__
    raise ConfigurationException(
        f"{path} cannot be made: {reason}",
        code="output_unwritable",
        claim="store",
        hint="name another place with --store, or with XDG_STATE_HOME",
    )


def _text_of(path: Path, what: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = type(error).__name__
    raise ConfigurationException(f"The {what} cannot be read: {reason}", code="secret_file_unreadable", claim=what)


def _certificate(certificate: Path, key: Path | None) -> Any:
    from .._core.client.client_auth import MtlsClientAuth

    if key is None:
        raise ConfigurationException(
            "A certificate needs its private key", code="parameter_missing", hint="--private-key-file names it"
        )
    return MtlsClientAuth(str(certificate), str(key))


def _private_key(path: Path, algorithm: str | None, kid: str | None) -> Any:
    from .._core.client.client_auth import PrivateKeyJwt
    from .._core.jose.signing_keys import SigningKey

    text = _text_of(path, "private key")
    if not text.lstrip().startswith("{"):
        return PrivateKeyJwt(SigningKey.from_pem(text, algorithm or "PS256", kid))  # type: ignore[arg-type]
    return PrivateKeyJwt(SigningKey.from_jwk(read_jwk(text), algorithm))  # type: ignore[arg-type] # checked there


def read_jwk(text: str) -> dict[str, Any]:
    """Return the JWK in a text.

    Raises:
        ConfigurationException: It is none.
    """
    from .._core.base.strict_json import StrictJSONError, loads_object

    try:
        return loads_object(text)
    except StrictJSONError as error:
        reason = error.reason
    raise ConfigurationException(f"The JWK cannot be read: {reason}", code="jwk_invalid")


def identity_of(text: str) -> Any:
    """Return the source of a platform's tokens that ``--identity`` names.

    Raises:
        ConfigurationException: There is no such source.
    """
    from .. import _workload_identity as sources

    kind, _, rest = text.partition(":")
    makers: dict[str, Any] = {
        "github": sources.GitHubActions,
        "gitlab": sources.GitLab,
        "kubernetes": partial(_kubernetes, sources),
        "file": sources.FileToken,
        "env": sources.EnvironmentToken,
        "spiffe": sources.SpiffeJwt,
    }
    if kind not in makers or not (rest or kind == "kubernetes"):
        raise ConfigurationException(
            f"--identity cannot be {text!r}",
            code="argument_invalid",
            claim="identity",
            expected="github:AUDIENCE, gitlab:VARIABLE, kubernetes[:FILE], file:FILE, env:VARIABLE or spiffe:FILE",
            hint="github:AUDIENCE, gitlab:VARIABLE, kubernetes[:FILE], file:FILE, env:VARIABLE or spiffe:FILE",
        )
    return makers[kind](rest)


def _kubernetes(sources: Any, path: str) -> Any:
    return sources.KubernetesToken(path) if path else sources.KubernetesToken()


def raised(response: Any) -> Any:
    """Return a response that succeeded.

    Raises:
        PyIdentityModelException: It failed.
    """
    response.raise_for_error()
    return response
