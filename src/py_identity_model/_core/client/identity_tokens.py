"""Tokens that a platform gives its workloads: where they come from, and what one must be before it is sent anywhere.

Kubernetes, GitHub, GitLab, SPIFFE and clouds give a workload a token that says who it is. It authenticates a client
(RFC 7523 2.2), or is what an access token is asked for with (RFC 7523 2.1, RFC 8693). Nothing of it is remembered here:
each request asks for the token as it is then. Reading files and the environment is not done here either.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from ..._refusals import is_number
from ...exceptions import ConfigurationException, PyIdentityModelException, TokenValidationException, printable
from ..base.flow import Flow, now, resolve
from ..base.secret import Secret, credential_unavailable, exposed, is_secret
from ..base.strict_json import StrictJSONError, loads_claims
from ..jose.jws import parse_compact
from .token_errors import TokenUnavailable

#: Characters of a token at most.
MAX_IDENTITY_TOKEN = 65536
#: One token: visible ASCII, nothing between.
_ONE_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


class IdentityTokenSource:
    """Where a workload's own token comes from: base of :class:`KubernetesToken`, :class:`GitHubActions` and the others.

    It is asked for each request, so that a token which was renewed meanwhile is used at once.
    """

    __slots__ = ()
    #: How a client authenticates with it, where that is not ``private_key_jwt`` (RFC 7523 2.2).
    _auth_method: str | None = None
    #: The grant that asks for an access token with it, unless told otherwise.
    _grant: Literal["token_exchange", "jwt_bearer"] = "token_exchange"

    def _fetch(self) -> Flow[Secret]:
        """Return the token as it is now.

        Raises:
            ConfigurationException: It is not where it should be, or cannot be used.
            TokenUnavailable: It has expired, or whoever gives it out is away.
        """
        raise NotImplementedError  # each kind has its own, and this class alone is none

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))


#: A token, or what gives it: a source of the platform's tokens, or a function, asked anew for each request; one that
#: waits may be async where the API awaits.
CurrentToken: TypeAlias = "str | Secret | IdentityTokenSource | Callable[[], str | Secret | Awaitable[str | Secret]]"


def current_token(value: CurrentToken | None, name: str) -> Flow[str | Secret | None]:
    """Return a token as of now; nothing that a foreign function raises is let out, as it may hold what it reads.

    Raises:
        ConfigurationException: The function raised (``credential_unavailable``) or returned something else.
        TokenUnavailable: The source has no token that can be used now.
    """
    if isinstance(value, IdentityTokenSource):
        return (yield from value._fetch())
    if not callable(value):
        return value
    try:
        found: Any = value()
        if inspect.isawaitable(found):
            found = yield from resolve(found)
    except PyIdentityModelException:
        raise
    except Exception as error:  # foreign code: whatever it is
        reason = type(error).__name__
    else:
        if is_secret(found):
            return found  # type: ignore[no-any-return] # which was just found out
        reason = f"it returned {type(found).__name__}"
    raise credential_unavailable(name, reason)


class Demand(NamedTuple):
    """What a token must be.

    Attributes:
        where: Where it came from, for messages.
        remedy: What helps if it has expired.
        audience: Who it must be for.
        is_jwt: Whether anything but a JWT is refused.
    """

    where: str
    remedy: str
    audience: str | None = None
    is_jwt: bool = True


def checked_token(text: str, demand: Demand) -> Flow[Secret]:
    """Return a platform's token if it can be sent: one token, not expired, for the audience it is meant for.

    Its signature is for those to judge who get it.

    Raises:
        ConfigurationException: It is something else (``identity_token_invalid``), or for somebody else
            (``identity_token_audience``).
        TokenUnavailable: It has expired (``identity_token_expired``).
    """
    claims = claims_of(text)
    if not _ONE_TOKEN.match(text) or len(text) > MAX_IDENTITY_TOKEN or (claims is None and demand.is_jwt):
        raise invalid(demand.where, "it is no signed JWT" if demand.is_jwt else "it is no token")
    expires, wall = (claims or {}).get("exp"), (yield from now()).wall
    if is_number(expires, float) and wall >= expires:
        raise TokenUnavailable(
            f"The token in {demand.where} expired {wall - expires:.0f} s ago",
            code="identity_token_expired",
            claim="exp",
            hint=demand.remedy,
        )
    if demand.audience is not None and demand.audience not in audiences_of(claims or {}):
        raise ConfigurationException(
            f"The token in {demand.where} is for another audience",
            code="identity_token_audience",
            claim="aud",
            expected=demand.audience,
            actual=printable(" ".join(audiences_of(claims or {})), 200) or "none",
        )
    return Secret(text)


def invalid(where: str, reason: str) -> ConfigurationException:
    """Return the exception for something that is no token that could be sent."""
    return ConfigurationException(f"The token in {where} cannot be used: {reason}", code="identity_token_invalid")


def claims_of(token: str | Secret) -> dict[str, Any] | None:
    """Return what a JWT says, its signature unverified; None if it is none."""
    found = taken_apart(token)
    return None if found is None else found[1]


def taken_apart(token: str | Secret) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return header and claims of a JWT, its signature unverified; None if it is none."""
    try:
        jws = parse_compact(exposed(token))
        return jws.header, loads_claims(jws.payload)
    except (TokenValidationException, StrictJSONError):
        return None


def audiences_of(claims: dict[str, Any]) -> list[str]:
    """Return the texts in ``aud``, of which there may be one or a list (RFC 7519 4.1.3)."""
    given = claims.get("aud")
    listed = given if isinstance(given, list) else [given]
    return [one for one in listed if isinstance(one, str)]


__all__ = [
    "MAX_IDENTITY_TOKEN",
    "CurrentToken",
    "Demand",
    "IdentityTokenSource",
    "audiences_of",
    "checked_token",
    "claims_of",
    "current_token",
    "invalid",
    "taken_apart",
]
