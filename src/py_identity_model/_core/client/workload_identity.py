"""A workload that asks for access tokens with a token of its platform, as the grant says, with or without a client."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..._arguments import checks_arguments
from ..._refusals import must_be
from ..base.flow import Flow, resolve
from ..base.secret import Redacted, Secret
from ..base.store import digest_of
from .identity_tokens import CurrentToken, IdentityTokenSource
from .token_exchange import ExchangeTokenType

#: What a platform's token is exchanged by.
IdentityGrant: TypeAlias = Literal["token_exchange", "jwt_bearer"]
_GRANTS = ("token_exchange", "jwt_bearer")


@dataclass(frozen=True, repr=False)
class WorkloadIdentity(Redacted):
    """How a token that says who a workload is becomes an access token. Make it once for all requests.

    Where the token authenticates a registered client, give it as ``client_assertion`` instead.

    Args:
        token: A source such as :class:`KubernetesToken`, a function, or the token itself.
        grant: ``token_exchange`` (RFC 8693) or ``jwt_bearer`` (RFC 7523 2.1); by default what fits the source.
        subject_token_type: What the token is, for a token exchange.
        requested_token_type: What is to be issued by a token exchange; None to leave that to the provider.
        token_endpoint: Where tokens are asked for, at a provider without metadata.

    Raises:
        ConfigurationException: A value cannot be used.

    >>> from py_identity_model import FileToken
    >>> WorkloadIdentity(FileToken("/run/identity/token")).grant
    'token_exchange'
    """

    token: CurrentToken
    grant: IdentityGrant | None = None
    subject_token_type: str = ExchangeTokenType.JWT
    requested_token_type: str | None = ExchangeTokenType.ACCESS_TOKEN
    token_endpoint: str | None = None
    _key: str = field(init=False, repr=False, compare=False, default="")

    _redacted = frozenset({"token"})

    @checks_arguments
    def __post_init__(self) -> None:
        source = self.token if isinstance(self.token, IdentityTokenSource) else None
        if self.grant is None:
            object.__setattr__(self, "grant", "token_exchange" if source is None else source._grant)
        if self.grant not in _GRANTS:
            raise must_be("grant", " or ".join(_GRANTS), self.grant)
        if not self.subject_token_type:
            raise must_be("subject_token_type", "text that is not empty")
        # Two functions may look alike and give tokens of two workloads; a source says what it reads.
        told = secrets.token_hex(16) if source is None else f"{type(source).__qualname__} {source!r}"
        how = (self.grant, self.subject_token_type, self.requested_token_type, self.token_endpoint)
        object.__setattr__(self, "_key", digest_of("workload", told, *map(str, how)))


class IdentityAssertion(IdentityTokenSource):
    """Where an identity assertion for another authorization server comes from (ID-JAG): ``client.cross_app()``.

    It is asked for anew whenever a token is asked for with it: an assertion is good once, and for minutes.
    """

    __slots__ = ("_ask", "_key")
    _grant: IdentityGrant = "jwt_bearer"

    def __init__(self, ask: Callable[[], str | Awaitable[str]], key: str) -> None:
        self._ask = ask
        self._key = key

    def _fetch(self) -> Flow[Secret]:
        found = yield from resolve(self._ask())
        return Secret(found)

    def __repr__(self) -> str:
        return f"IdentityAssertion({self._key[:12]!r})"


def as_identity(given: WorkloadIdentity | IdentityTokenSource | None) -> WorkloadIdentity | None:
    """Return how a source is used, unless it is said already.

    Raises:
        ConfigurationException: It is something else.
    """
    if given is None or isinstance(given, WorkloadIdentity):
        return given
    if not isinstance(given, IdentityTokenSource):
        raise must_be("identity", "a WorkloadIdentity or a source of tokens", type(given).__name__)
    return WorkloadIdentity(given)


__all__ = ["IdentityAssertion", "IdentityGrant", "WorkloadIdentity", "as_identity"]
