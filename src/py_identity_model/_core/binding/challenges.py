"""HTTP authentication challenges: what a protected resource says when it refuses (RFC 9110 11.6.1, RFC 6750 3).

The parser is linear and bounded; the builder cannot be made to write anything but one challenge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ...exceptions import (
    ClaimsValidationError,
    DPoPValidationException,
    InsufficientScopeException,
    InsufficientUserAuthenticationException,
    PyIdentityModelException,
)
from ..base.flow import Reply
from ..base.header_lists import PARAMETER, TOKEN, unescaped

#: Characters of all ``WWW-Authenticate`` headers of a response that are read; a response with more has no challenge.
MAX_CHALLENGES_SIZE = 16384

_SCHEME = re.compile(TOKEN)
_SPACE_OR_COMMA = re.compile(r"[ \t,]*+")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]++=*+(?=[ \t]*+(?:,|\Z))")
_PRINTABLE = re.compile(r"[\x20-\x7e]*+")
# RFC 6750 3: what the values of these may hold besides spaces.
#: Seconds after which to ask again, where the cause names none.
_RETRY_AFTER = 5
_NO_QUOTES = frozenset({"scope", "error", "error_description", "error_uri"})


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a ``WWW-Authenticate`` header.

    Attributes:
        scheme: As it was sent; schemes are compared without regard to case.
        parameters: Names in lower case with their values, in order.
        token68: What some schemes send in place of parameters.
    """

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()
    token68: str | None = None

    @explains_arguments
    def has_scheme(self, scheme: str) -> bool:
        """Tell whether this is a challenge of *scheme*."""
        return self.scheme.lower() == scheme.lower()

    @explains_arguments
    def get(self, name: str) -> str | None:
        """Return the value of the parameter *name* (lower case), None if there is none."""
        return dict(self.parameters).get(name)


@dataclass(frozen=True, slots=True)
class ChallengePolicy:
    """What the challenges of a protected resource say besides the error.

    Attributes:
        schemes: The schemes it accepts, ``Bearer`` or ``DPoP``, the preferred one first.
        realm: The realm, if it has one.
        resource_metadata: Where its metadata is (RFC 9728 5.1).
        dpop_algorithms: Algorithms of DPoP proofs that it accepts (RFC 9449 7.1).

    Raises:
        ConfigurationException: There is no scheme, or an unknown one, or DPoP without algorithms.
    """

    schemes: tuple[str, ...] = ("Bearer",)
    realm: str | None = None
    resource_metadata: str | None = None
    dpop_algorithms: tuple[str, ...] = ()

    @explains_arguments
    def __post_init__(self) -> None:
        if not self.schemes or not set(self.schemes) <= {"Bearer", "DPoP"}:
            raise _unfit("schemes", "Bearer, DPoP or both")
        if "DPoP" in self.schemes and not self.dpop_algorithms:
            raise _unfit("dpop_algorithms", "at least one algorithm where DPoP is accepted")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The HTTP response that tells a client of a refusal; it is the same for every cause of the same class."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@explains_arguments
def build_challenge(scheme: str, parameters: Mapping[str, str | int | None]) -> str:
    """Write one challenge.

    Args:
        scheme: The authentication scheme.
        parameters: Names and values; None leaves one out.

    Returns:
        A value of ``WWW-Authenticate``.

    Raises:
        ConfigurationException: A name or value cannot be written; the ``code`` is ``challenge_invalid``.

    >>> build_challenge("Bearer", {"realm": 'the "shop"', "error": "invalid_token"})
    'Bearer realm="the \\\\"shop\\\\"", error="invalid_token"'
    """
    if not _SCHEME.fullmatch(scheme):
        raise _unfit("scheme", "an HTTP token")
    written = [_written(name, value) for name, value in parameters.items() if value is not None]
    return f"{scheme} {', '.join(written)}" if written else scheme


def _written(name: str, value: str | int) -> str:
    text = str(value)
    if not _SCHEME.fullmatch(name):
        raise _unfit("parameter name", "an HTTP token")
    if not _PRINTABLE.fullmatch(text):
        raise _unfit(name, "printable ASCII on one line")
    if name in _NO_QUOTES and ('"' in text or "\\" in text):
        raise _unfit(name, "printable ASCII without quotes and backslashes (RFC 6750 3)")
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{quoted}"'


@explains_arguments
def build_refusal(
    error: PyIdentityModelException,
    policy: ChallengePolicy | None = None,
    *,
    scheme: str | None = None,
    dpop_nonce: str | None = None,
    scope: Iterable[str] = (),
) -> Refusal:
    """Write the response that refuses a request because of *error*.

    Args:
        error: Why; only its class shows.
        policy: What the resource accepts; Bearer tokens if it is None.
        scheme: The scheme that the client used, which is the one that carries the error.
        dpop_nonce: A nonce for the client's next DPoP proof; one that *error* has goes before it.
        scope: The scopes that the request needs, told where *error* names none itself (RFC 6750 3).

    Returns:
        Status, headers and a JSON body, 401 and 403 with challenges (RFC 6750 3, RFC 9449 7.1, RFC 9470 3).

    Raises:
        ConfigurationException: Something of *policy* cannot be written.
    """
    policy = policy or ChallengePolicy()
    told = error.client_error
    headers = [("cache-control", "no-store")]
    if told.status < 500:
        headers += [("www-authenticate", text) for text in _challenges(error, policy, scheme, " ".join(scope))]
    if told.status == 503 or told.retry_after is not None:
        headers.append(("retry-after", str(max(1, round(told.retry_after or _RETRY_AFTER)))))
    nonce = error.nonce if isinstance(error, DPoPValidationException) and error.nonce else dpop_nonce
    if nonce is not None:
        headers.append(("dpop-nonce", nonce))
    body = b""
    if told.error:
        headers.append(("content-type", "application/json"))
        body = msgspec.json.encode({"error": told.error, "error_description": told.error_description})
    return Refusal(told.status, tuple(headers), body)


def _challenges(error: PyIdentityModelException, policy: ChallengePolicy, scheme: str | None, scope: str) -> list[str]:
    told = error.client_error
    if told.error in ("use_dpop_nonce", "invalid_dpop_proof"):
        scheme = "DPoP"
    used = next((s for s in policy.schemes if scheme and s.lower() == scheme.lower()), policy.schemes[0])
    needs = _needs(error)
    about = {"error": told.error or None, "error_description": told.error_description or None, **needs}
    common = {"realm": policy.realm, "resource_metadata": policy.resource_metadata}
    if not needs and told.status in (401, 403):
        common["scope"] = scope or None
    written = []
    for name in policy.schemes:
        algorithms = " ".join(policy.dpop_algorithms) if name == "DPoP" else None
        written.append(build_challenge(name, {**common, **(about if name == used else {}), "algs": algorithms}))
    return written


def _needs(error: PyIdentityModelException) -> dict[str, str | int | None]:
    if isinstance(error, ClaimsValidationError) and error.raised is not None:
        error = error.raised
    if isinstance(error, InsufficientScopeException):
        return {"scope": " ".join(error.scope) or None}
    if isinstance(error, InsufficientUserAuthenticationException):
        scope = " ".join(error.scope) or None
        return {"acr_values": " ".join(error.acr_values) or None, "max_age": error.max_age, "scope": scope}
    return {}


@explains_arguments
def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read the values of ``WWW-Authenticate``.

    Args:
        values: The header's values, each possibly with several challenges.

    Returns:
        The challenges in order. A value that cannot be read counts as absent.

    >>> [c.scheme for c in parse_challenges(['Bearer, DPoP algs="ES256 PS256", error="use_dpop_nonce"'])]
    ['Bearer', 'DPoP']
    """
    values = list(values)
    if sum(map(len, values)) > MAX_CHALLENGES_SIZE:
        return ()
    return tuple(challenge for value in values for challenge in _read(value))


def challenges_of(reply: Reply) -> tuple[Challenge, ...]:
    """Return the challenges of *reply*."""
    return parse_challenges(reply.header_values("www-authenticate"))


def _read(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = _skip(text, 0)
    while at < len(text):
        scheme = _SCHEME.match(text, at)
        if scheme is None:
            return []
        challenge, at = _read_one(text, scheme)
        if challenge is None:
            return []
        found.append(challenge)
    return found


def _read_one(text: str, scheme: re.Match[str]) -> tuple[Challenge | None, int]:
    at = _skip(text, scheme.end())
    if at > scheme.end() and "," not in text[scheme.end() : at] and (token := _TOKEN68.match(text, at)):
        return Challenge(scheme[0], token68=token[0]), _skip(text, token.end())
    parameters: dict[str, str] = {}
    while parameter := PARAMETER.match(text, at):
        name = parameter[1].lower()
        if name in parameters:  # RFC 9110 11.2: a parameter occurs once per challenge.
            return None, at
        value = parameter[2]
        parameters[name] = value if value is not None else unescaped(parameter[3])
        at = _skip(text, parameter.end())
    return Challenge(scheme[0], tuple(parameters.items())), at


def _skip(text: str, at: int) -> int:
    blank = _SPACE_OR_COMMA.match(text, at)
    return blank.end() if blank else at


_unfit = partial(must_be, code="challenge_invalid")


__all__ = [
    "MAX_CHALLENGES_SIZE",
    "Challenge",
    "ChallengePolicy",
    "Refusal",
    "build_challenge",
    "build_refusal",
    "challenges_of",
    "parse_challenges",
]
