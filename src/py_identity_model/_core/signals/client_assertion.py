"""Signed assertions that others authenticate with here: ``private_key_jwt``, each used once (RFC 7523 3).

A resource takes them where a caller has no access token for it: a client at an endpoint of its own, or an identity
provider at the endpoint of Global Token Revocation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ..._refusals import bounded, refused
from ...exceptions import TokenValidationException
from ..base.flow import Flow, now
from ..base.store import AnyStore, digest_of
from ..binding.replay import CLOCKS, UsedValues, first_use
from ..jose.algorithms import AsymmetricAlgorithm
from ..jose.key_set import KeysOrFile
from ..validation.claim_checks import CLOCK_SKEW, Claims, names
from ..validation.issuers import Issuers
from ..validation.token_kinds import MARKS, SAID, Kind

#: Seconds that an assertion may be valid for, from now on, unless told otherwise.
MAX_LIFETIME = 600.0
#: Characters of a ``jti``, at most.
MAX_JTI = 2048

#: RFC 7523 3: iss, sub, aud and exp; jti, so that it can be used once.
CLIENT_ASSERTION = Kind(
    "client assertion",
    frozenset({"", "jwt", "client-authentication+jwt"}),
    frozenset({"sub", "jti"}),
    frozenset(MARKS),
    foreign=frozenset(what for words in SAID.values() for what in words.values()),
    about_itself=True,
)
_OF_TOKENS = ("scope", "scp", "client_id", "azp", "auth_time", "acr", "sid", "cnf")
#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


class Examiner(Protocol):
    """Verifies a token: signature, issuer, audience and times."""

    def examine(self, token: str) -> Flow[Claims]:
        """Return the claims of a token that is good."""
        ...


class ClientAssertionValidatorBase(Generic[Transport]):
    """The part of a ``ClientAssertionValidator`` that waits for nothing."""

    def _examiner(self, issuer: Issuers, audience: str, options: Mapping[str, Any]) -> Examiner:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    def __init__(
        self,
        issuer: Issuers,
        audience: str,
        *,
        keys: KeysOrFile | None = None,
        jwks_uri: str | None = None,
        algorithms: Sequence[AsymmetricAlgorithm] | None = None,
        leeway: float | None = None,
        max_lifetime: float = MAX_LIFETIME,
        subjects: str | Sequence[str] | None = None,
        store: AnyStore | None = None,
        http_client: Transport | None = None,
    ) -> None:
        """Accept the assertions of a client, or of several; each once.

        Args:
            issuer: Whose assertions: a ``client_id``, or the issuer of an identity provider, or several, each as a
                :class:`TrustedIssuer` with its keys. An issuer without keys is looked up by its metadata.
            audience: What ``aud`` must be, alone: the URL of the endpoint, exactly.
            keys: The keys of the one issuer: JWK, JWK Set or PEM.
            jwks_uri: Where the keys of the one issuer are.
            algorithms: Accepted signature algorithms; by default the asymmetric ones that fit the key.
            leeway: Seconds of clock difference; by default 0 for ``exp`` and 10 for the others.
            max_lifetime: Seconds that an assertion may be valid for, from now on.
            subjects: What ``sub`` may be, where an identity provider names the caller within it. By default it is the
                same as ``iss``: a client names itself in both (RFC 7523 3).
            store: Where used assertions are remembered; by default in this process. Workers need a shared one.
            http_client: The transport, should keys have to be fetched.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        self._http_client = http_client
        self._max_lifetime = bounded(max_lifetime, "max_lifetime", float, 1, 86400, unit="seconds")
        self._leeway = leeway or 0.0
        self._ahead = CLOCK_SKEW if leeway is None else leeway
        self._subjects = None if subjects is None else names(subjects, "subjects")
        self._used: AnyStore | UsedValues = store if store is not None else UsedValues()
        options = {"keys": keys, "jwks_uri": jwks_uri, "algorithms": algorithms, "leeway": leeway}
        self._validator = self._examiner(issuer, audience, options)

    def validating(self, assertion: str) -> Flow[Claims]:
        """Return the flow of ``validate``, for those that authenticate others with it."""
        claims = yield from self._validator.examine(assertion)
        wall = (yield from now()).wall
        self._check(claims, wall)
        lifetime = max(0.0, claims["exp"] - wall) + self._leeway + 1.0
        key = digest_of("client assertion", claims["iss"], claims["jti"])
        if not (yield from first_use(self._used, key, lifetime, self._used_at(claims))):
            raise _refused("assertion_replayed", "The assertion was used before", "jti")
        return claims

    def _used_at(self, claims: Claims) -> float:
        """Return when at the earliest an assertion was accepted, by a clock that runs ahead as far as it may."""
        by_end: float = claims["exp"] - self._max_lifetime - self._leeway
        return max(claims["iat"] - self._ahead, by_end) - CLOCKS if "iat" in claims else by_end - CLOCKS

    def _check(self, claims: Claims, wall: float) -> None:
        if not claims["jti"] or len(claims["jti"]) > MAX_JTI:
            raise _refused("claim_type_invalid", "jti must be text", "jti")
        accepted = (claims["iss"],) if self._subjects is None else self._subjects
        if claims["sub"] not in accepted:
            expected = " or ".join(accepted[:5])
            raise _refused("assertion_subject_mismatch", "sub is nobody who may", "sub", expected, claims["sub"])
        # Signed by the same keys, and perhaps for the same audience: what only tokens for users have.
        for name in _OF_TOKENS:
            if name in claims:
                raise _refused("kind_mismatch", f"The claim {name!r} marks no client assertion", name)
        # An assertion for several would be good at each of them.
        if isinstance(claims["aud"], list) and len(claims["aud"]) != 1:
            raise _refused("assertion_audience_ambiguous", "The assertion is for others too", "aud")
        if claims["exp"] - wall > self._max_lifetime + self._leeway:
            raise _refused(
                "assertion_lifetime_excessive",
                "The assertion is valid for too long",
                "exp",
                f"at most {self._max_lifetime:g} s from now",
                claims["exp"] - wall,
            )


_refused = partial(refused, TokenValidationException, token_part="payload")

__all__ = ["CLIENT_ASSERTION", "MAX_LIFETIME", "ClientAssertionValidatorBase", "Examiner"]
