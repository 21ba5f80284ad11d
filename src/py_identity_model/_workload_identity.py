"""Where platforms put the tokens of their workloads: files that are renewed, variables, and GitHub's own endpoint.

Nothing is remembered: a file is read, and GitHub is asked, for each request that needs a token, so that one which was
renewed is used at once and an old one never again.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl, urlencode

from ._arguments import checks_arguments
from ._core.base.budget import within_budget
from ._core.base.exchanges import persistently
from ._core.base.flow import Flow, Reply, Request, call, now
from ._core.base.secret import Secret
from ._core.base.strict_json import StrictJSONError, loads_object
from ._core.base.urls import parse_url
from ._core.client.client_auth import ClientAuthMethod
from ._core.client.identity_tokens import (
    MAX_IDENTITY_TOKEN,
    Demand,
    IdentityTokenSource,
    audiences_of,
    checked_token,
    claims_of,
    invalid,
)
from ._core.client.token_errors import TokenUnavailable
from ._refusals import must_be
from .exceptions import ConfigurationException, NetworkException, printable
from .settings import Settings

#: Where Kubernetes puts the token of a pod's service account, unless told otherwise.
KUBERNETES_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
#: What the audiences of a cluster's own API server begin with.
_API_SERVER = "https://kubernetes.default.svc"
#: Read without waiting, as for a pipe that nobody writes to; without a change of line ends; not by a child.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_BINARY", "O_CLOEXEC", "O_NOCTTY"))
#: Requests to GitHub's endpoint at most, for one token.
GITHUB_ATTEMPTS = 3


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise must_be(name, "text that is not empty", type(value).__name__)
    return value


class _Fault(NamedTuple):
    """Why a file is not to be used."""

    reason: str
    hint: str
    code: str


class FileToken(IdentityTokenSource):
    """A token in a file that a platform or an agent renews; read for each request.

    Links are followed, so that a file which is replaced as Kubernetes does it is read whole, old or new. A file that
    anybody may write to is refused, and so is whatever is no file.

    Args:
        path: The file.

    Raises:
        ConfigurationException: *path* is no path.

    >>> FileToken("/run/identity/token")
    FileToken('/run/identity/token')
    """

    __slots__ = ("_path",)
    _remedy = "whatever renews the file does not: look at its log"
    _missing = "does the platform put it there, and is this the path?"
    _is_jwt = False

    @checks_arguments
    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or not os.fspath(path):
            raise must_be("path", "the path of a file", type(path).__name__)
        self._path = os.fspath(path)

    @property
    def _where(self) -> str:
        return f"the file {printable(self._path)!r}"

    def _fetch(self) -> Flow[Secret]:
        text = yield from call(self._read)
        return (yield from checked_token(text, Demand(self._where, self._remedy, is_jwt=self._is_jwt)))

    def _read(self) -> str:
        text, fault = "", None
        try:
            text, fault = self._opened()
        except FileNotFoundError:
            fault = _Fault("it is not there", self._missing, code="identity_token_missing")
        except (OSError, ValueError) as error:
            fault = _Fault(type(error).__name__, "may this process read it?", code="identity_token_unreadable")
        if fault is not None:  # raised here, not in the context of an error that holds what could not be decoded
            self._refuse(fault)
        return text

    def _opened(self) -> tuple[str, _Fault | None]:
        """Return what the file says; or why that is not to be used, with a code and a hint."""
        descriptor = os.open(self._path, _FLAGS)
        with open(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                return "", _Fault("it is no regular file", self._missing, code="identity_token_unreadable")
            if os.name == "posix" and facts.st_mode & stat.S_IWOTH:
                # Whoever can write it decides who this workload is.
                hint = "take away the right: chmod o-w"
                return "", _Fault("every user may write to it", hint, code="identity_token_unsafe")
            data = file.read(MAX_IDENTITY_TOKEN + 1)
        text = data.decode().strip()
        if text and len(data) <= MAX_IDENTITY_TOKEN:
            return text, None
        reason = "it is too large" if text else "it is empty"
        return "", _Fault(reason, self._missing, code="identity_token_unreadable")

    def _refuse(self, fault: _Fault) -> NoReturn:
        raise ConfigurationException(
            f"The token in {self._where} cannot be read: {fault.reason}",
            code=fault.code,
            claim="path",
            actual=fault.reason,
            hint=fault.hint,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r})"


class KubernetesToken(FileToken):
    """The token of a pod's service account, from a projected volume that the kubelet renews; read for each request.

    Args:
        path: The file. Mount a token for the audience that your provider wants: the one at the default path is, unless
            the cluster says otherwise, for the cluster's own API server, and is not sent to anybody else.
        audience: Who the token must be for; by default anybody but that API server.

    Raises:
        ConfigurationException: An argument cannot be used.

    >>> KubernetesToken("/var/run/secrets/tokens/provider", audience="https://id.example.com")
    KubernetesToken('/var/run/secrets/tokens/provider', audience='https://id.example.com')
    """

    __slots__ = ("_audience",)
    _remedy = "the kubelet renews it at 80 % of its life: is the node's kubelet alive, and the clock right?"
    _missing = "mount it: volumes, projected, serviceAccountToken with path, audience and expirationSeconds"

    @checks_arguments
    def __init__(self, path: str | os.PathLike[str] = KUBERNETES_TOKEN, *, audience: str | None = None) -> None:
        super().__init__(path)
        self._audience = None if audience is None else _text("audience", audience)

    def _fetch(self) -> Flow[Secret]:
        text = yield from call(self._read)
        token = yield from checked_token(text, Demand(self._where, self._remedy, self._audience))
        audiences = audiences_of(claims_of(token) or {})
        if self._audience is None and audiences and all(one.startswith(_API_SERVER) for one in audiences):
            # Whoever gets it could act in the cluster as this pod.
            raise ConfigurationException(
                f"The token in {self._where} is for the cluster's own API server, and is not sent elsewhere",
                code="identity_token_audience",
                claim="aud",
                expected="the audience that the provider wants",
                actual=printable(" ".join(audiences), 200),
                hint="mount one for the provider: projected, serviceAccountToken, audience; or name this audience",
            )
        return token

    def __repr__(self) -> str:
        said = "" if self._audience is None else f", audience={self._audience!r}"
        return f"KubernetesToken({self._path!r}{said})"


class SpiffeJwt(FileToken):
    """A JWT-SVID in a file that an agent renews, such as SPIFFE's helper; read for each request.

    As ``client_assertion`` it is shown as what it is (draft-ietf-oauth-spiffe-client-auth 3.1); with
    ``auth_method="private_key_jwt"`` as any JWT.

    Args:
        path: The file.

    Raises:
        ConfigurationException: *path* is no path.

    >>> SpiffeJwt("/run/spiffe/provider.jwt")
    SpiffeJwt('/run/spiffe/provider.jwt')
    """

    __slots__ = ()
    _auth_method = ClientAuthMethod.SPIFFE_JWT
    _remedy = "the agent does not renew it: is it running, and is the workload registered?"
    _missing = "does the agent write it there, for the audience of the provider?"
    _is_jwt = True

    def _fetch(self) -> Flow[Secret]:
        token = yield from super()._fetch()
        subject = (claims_of(token) or {}).get("sub")
        if not isinstance(subject, str) or not subject.startswith("spiffe://"):  # JWT-SVID 3.1
            raise invalid(self._where, "its sub is no SPIFFE ID")
        return token


class EnvironmentToken(IdentityTokenSource):
    """A token in an environment variable; read for each request.

    Args:
        name: The variable.

    Raises:
        ConfigurationException: *name* is no name.

    >>> EnvironmentToken("ID_TOKEN")
    EnvironmentToken('ID_TOKEN')
    """

    __slots__ = ("_name",)
    _remedy = "start the program with a new one: a variable of a running program is not renewed"
    _missing = "is it handed to this program?"
    _is_jwt = False

    @checks_arguments
    def __init__(self, name: str) -> None:
        if "=" in _text("name", name) or "\0" in name:
            raise must_be("name", "the name of an environment variable", name)
        self._name = name

    def _fetch(self) -> Flow[Secret]:
        where = f"the variable {printable(self._name)}"
        text = _variable(self._name, self._missing)
        return (yield from checked_token(text, Demand(where, self._remedy, is_jwt=self._is_jwt)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"


class GitLab(EnvironmentToken):
    """The ID token of a GitLab job, in the variable that the job names under ``id_tokens``; read for each request.

    Args:
        env: The variable.

    Raises:
        ConfigurationException: *env* is no name.

    >>> GitLab("PROVIDER_TOKEN")
    GitLab('PROVIDER_TOKEN')
    """

    __slots__ = ()
    _remedy = "a job gets one token, which lives as long as the job's timeout: ask for access tokens while it is good"
    _missing = "name it in .gitlab-ci.yml, under id_tokens, with the aud that the provider wants"
    _is_jwt = True

    @checks_arguments
    def __init__(self, env: str) -> None:
        super().__init__(_text("env", env))


def _variable(name: str, hint: str) -> str:
    text = os.environ.get(name, "").strip()
    if not text:
        raise ConfigurationException(
            f"The variable {printable(name)} is not set", code="identity_token_missing", claim=name, hint=hint
        )
    return text


class GitHubActions(IdentityTokenSource):
    """The ID token of a job in GitHub Actions, asked for anew for each request, at the endpoint that the job is given.

    The job needs ``permissions: id-token: write``. Asking takes at most twice as long as the transport gives one
    exchange, repeats and the pauses that GitHub asks for included.

    Args:
        audience: Who the token is for, as the provider wants it: its issuer, or ``api://AzureADTokenExchange``.

    Raises:
        ConfigurationException: *audience* is no text.

    >>> GitHubActions("https://id.example.com")
    GitHubActions('https://id.example.com')
    """

    __slots__ = ("_audience",)

    @checks_arguments
    def __init__(self, audience: str) -> None:
        self._audience = _text("audience", audience)

    def _fetch(self) -> Flow[Secret]:
        request = build_github_request(
            _variable("ACTIONS_ID_TOKEN_REQUEST_URL", _PERMISSION),
            _variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN", _PERMISSION),
            self._audience,
        )
        asking = persistently(lambda: request, Settings(), attempts=GITHUB_ATTEMPTS)
        try:
            reply = yield from within_budget(asking, (yield from now()).steady)
        except NetworkException as error:
            raise TokenUnavailable(
                "GitHub's endpoint for ID tokens does not answer", code="identity_token_unavailable"
            ) from error
        text = parse_github_reply(reply)
        return (yield from checked_token(text, Demand("the answer of GitHub", _CLOCK, self._audience)))

    def __repr__(self) -> str:
        return f"GitHubActions({self._audience!r})"


_PERMISSION = "give the job the right to ask for one: permissions: id-token: write; jobs of forks have none"
_CLOCK = "is the clock of this machine right?"


def build_github_request(url: str, token: str, audience: str) -> Request:
    """Build the request for an ID token of a job.

    Args:
        url: ``ACTIONS_ID_TOKEN_REQUEST_URL``.
        token: ``ACTIONS_ID_TOKEN_REQUEST_TOKEN``.
        audience: Who the ID token is for.

    Raises:
        ConfigurationException: The address, or the token, is not what GitHub gives a job.
    """
    parts = parse_url(url, "ACTIONS_ID_TOKEN_REQUEST_URL")
    if not token.isascii() or not token.isprintable() or " " in token or len(token) > MAX_IDENTITY_TOKEN:
        raise must_be("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "one token", code="identity_token_invalid")
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "audience"]
    asked = parts._replace(query=urlencode([*kept, ("audience", audience)])).geturl()
    headers = (("Authorization", f"Bearer {token}"), ("Accept", "application/json"))
    return Request("GET", asked, headers, limit=2 * MAX_IDENTITY_TOKEN)


def parse_github_reply(reply: Reply) -> str:
    """Return the ID token in an answer; nothing else of it is repeated.

    Raises:
        TokenUnavailable: GitHub refused, or answered something else.
    """
    if reply.status != 200:
        hint = _PERMISSION if reply.status in (401, 403) else None
        raise _unavailable(f"it answered {reply.status}", status_code=reply.status, hint=hint)
    try:
        value = loads_object(reply.body).get("value")
    except StrictJSONError:
        value = None
    if not isinstance(value, str) or not value:
        raise _unavailable("its answer holds no token", status_code=reply.status)
    return value


def _unavailable(reason: str, **facts: object) -> TokenUnavailable:
    return TokenUnavailable(
        f"GitHub's endpoint gave no ID token: {reason}",
        code="identity_token_refused",
        **facts,  # type: ignore[arg-type] # checked there
    )


__all__ = [
    "KUBERNETES_TOKEN",
    "EnvironmentToken",
    "FileToken",
    "GitHubActions",
    "GitLab",
    "KubernetesToken",
    "SpiffeJwt",
    "build_github_request",
    "parse_github_reply",
]
