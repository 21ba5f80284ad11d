"""Cross-app access, the receiving side: identity assertions (ID-JAG) that an authorization server takes as grants.

draft-ietf-oauth-identity-assertion-authz-grant 4.4.1. The server authenticates the client first, has the assertion
judged here, and then decides what the user's account and its own policy grant of the scope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from ..._refusals import bounded, must_be, refused
from ...exceptions import TokenValidationException
from ..base.flow import Flow, now
from ..base.header_lists import words
from ..base.scopes import is_scope
from ..base.secret import same_text
from ..base.store import AnyStore, digest_of
from ..binding.replay import UsedValues, first_use
from ..jose.algorithms import AsymmetricAlgorithm
from ..jose.key_set import KeysOrFile
from ..validation.claim_checks import Claims, names
from ..validation.issuers import Issuers
from ..validation.token_kinds import MARKS, SAID, Kind
from .client_assertion import MAX_JTI, Examiner

#: Seconds that an assertion may be valid for, from now on, unless told otherwise.
MAX_LIFETIME = 600.0
#: Resources that an assertion may name, at most.
MAX_RESOURCES = 16

#: Draft 3.1: iss, sub, aud, client_id, jti, exp, iat.
ID_JAG = Kind(
    "identity assertion (ID-JAG)",
    frozenset({"oauth-id-jag+jwt"}),
    frozenset({"sub", "client_id", "jti", "iat"}),
    frozenset(MARKS),
    foreign=frozenset(what for words in SAID.values() for what in words.values()),
)
#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


@dataclass(frozen=True, slots=True)
class IdJag:
    """What an identity assertion grants to a client.

    Attributes:
        issuer: Who vouches for the user.
        subject: The user, as that issuer knows them; the two together name an account.
        client_id: The client that may act.
        scope: The scopes that the issuer allows, each once; your own policy may allow fewer.
        resource: Where the access token may be used; empty if nothing is said.
        claims: Everything it says.
    """

    issuer: str
    subject: str
    client_id: str
    scope: tuple[str, ...]
    resource: tuple[str, ...]
    claims: Claims = field(repr=False)


class IdJagValidatorBase(Generic[Transport]):
    """The part of an ``IdJagValidator`` that waits for nothing."""

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
        resources: str | Sequence[str] | None = None,
        store: AnyStore | None = None,
        http_client: Transport | None = None,
    ) -> None:
        """Accept the assertions of identity providers; each once.

        Args:
            issuer: Whose assertions: an issuer, or several, each as text or as a :class:`TrustedIssuer`.
            audience: The issuer identifier of this authorization server; an assertion is for it alone.
            keys: The keys of the one issuer: JWK, JWK Set or PEM.
            jwks_uri: Where the keys of the one issuer are.
            algorithms: Accepted signature algorithms; by default the asymmetric ones that fit the key.
            leeway: Seconds of clock difference; by default 0 for ``exp`` and 10 for the others.
            max_lifetime: Seconds that an assertion may be valid for, from now on.
            resources: The resources that this server issues tokens for; others are refused. By default any.
            store: Where used assertions are remembered; by default in this process. Workers need a shared one.
            http_client: The transport, should keys have to be fetched.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        self._http_client = http_client
        if not isinstance(audience, str) or not audience:
            raise must_be("audience", "the issuer identifier of this server", type(audience).__name__)
        self._audience = audience
        self._max_lifetime = bounded(max_lifetime, "max_lifetime", float, 1, 86400, unit="seconds")
        self._leeway = leeway or 0.0
        self._resources = None if resources is None else frozenset(names(resources, "resources"))
        self._used: AnyStore | UsedValues = store if store is not None else UsedValues()
        options = {"keys": keys, "jwks_uri": jwks_uri, "algorithms": algorithms, "leeway": leeway}
        self._validator = self._examiner(issuer, audience, options)

    def _validating(self, assertion: str, client_id: str, jkt: str | None) -> Flow[IdJag]:
        """Return the flow of ``validate``."""
        if not isinstance(client_id, str) or not client_id:
            raise must_be("client_id", "the client that was authenticated", type(client_id).__name__)
        claims = yield from self._validator.examine(assertion)
        wall = (yield from now()).wall
        self._check(claims, client_id, jkt, wall)
        granted = self._granted(claims)
        lifetime = max(0.0, claims["exp"] - wall) + self._leeway + 1.0
        key = digest_of("id-jag", claims["iss"], claims["jti"])
        if not (yield from first_use(self._used, key, lifetime, claims["iat"] + 1.0)):
            raise _refused("assertion_replayed", "The assertion was used before", "jti")
        return granted

    def _check(self, claims: Claims, client_id: str, jkt: str | None, wall: float) -> None:
        if claims["iss"] == self._audience:
            # Draft 7.3: who issues an assertion must not issue access tokens for it.
            raise _refused("assertion_self_issued", "This server issued the assertion itself", "iss")
        if isinstance(claims["aud"], list) and len(claims["aud"]) != 1:
            raise _refused("assertion_audience_ambiguous", "The assertion is for others too", "aud")
        named = claims["client_id"]
        if not isinstance(named, str) or not same_text(named, client_id):  # RFC 7523 3, draft 4.4.1
            raise _refused("client_mismatch", "The assertion is for another client", "client_id", client_id, named)
        for name in ("sub", "jti"):
            if not claims[name] or len(claims[name]) > MAX_JTI:
                raise _refused("claim_type_invalid", f"{name} must be text", name)
        if claims["exp"] - wall > self._max_lifetime + self._leeway:
            expected = f"at most {self._max_lifetime:g} s from now"
            message = "The assertion is valid for too long"
            raise _refused("assertion_lifetime_excessive", message, "exp", expected, claims["exp"] - wall)
        self._check_key(claims, jkt)

    @staticmethod
    def _check_key(claims: Claims, jkt: str | None) -> None:
        bound = claims.get("cnf")
        if bound is None:
            return
        thumbprint = bound.get("jkt") if isinstance(bound, dict) and set(bound) == {"jkt"} else None
        if not isinstance(thumbprint, str) or jkt is None or not same_text(thumbprint, jkt):
            raise _refused("assertion_key_mismatch", "The assertion is bound to another key", "cnf", "jkt of the proof")

    def _granted(self, claims: Claims) -> IdJag:
        scope = claims.get("scope", "")
        listed = tuple(dict.fromkeys(words(scope))) if isinstance(scope, str) else None
        if listed is None or not all(is_scope(one) for one in listed):  # RFC 6749 3.3
            raise _refused("claim_type_invalid", "scope must be scopes, separated by spaces", "scope")
        return IdJag(claims["iss"], claims["sub"], claims["client_id"], listed, self._resources_of(claims), claims)

    def _resources_of(self, claims: Claims) -> tuple[str, ...]:
        given = claims.get("resource", [])
        listed = [given] if isinstance(given, str) else given
        if not isinstance(listed, list) or len(listed) > MAX_RESOURCES:
            raise _refused("claim_type_invalid", "resource must be a URI, or a list of them", "resource")
        ours = self._resources
        for one in listed:
            if not isinstance(one, str) or ":" not in one or (ours is not None and one not in ours):
                expected = " or ".join(sorted(ours or ())[:5]) or "absolute URIs"
                raise _refused("resource_refused", "There is no such resource here", "resource", expected, one)
        return tuple(dict.fromkeys(listed))


_refused = partial(refused, TokenValidationException, token_part="payload")

__all__ = ["ID_JAG", "MAX_LIFETIME", "IdJag", "IdJagValidatorBase"]
