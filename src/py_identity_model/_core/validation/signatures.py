"""Which key made a token's signature: keys at hand, newer ones, and those that moved elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...exceptions import TokenValidationException, printable
from ..base.flow import Clock, Flow
from ..discovery.trust import Trust
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS
from ..jose.jws import CompactJws
from ..jose.key_set import Candidates
from ..jose.verification_keys import PreparedKey
from .claim_checks import Claims, check_claims, claimed_issuer, issuer_mismatch
from .issuer_trust import IssuerTrust, TrustSnapshot
from .refused_keys import foreign_key, no_key


class Presented(NamedTuple):
    """A token that is looked at."""

    jws: CompactJws
    claims: Claims
    clock: Clock
    #: Whether it belongs to a login, which waits longer for keys.
    login: bool = False
    #: Whether one of the issuer's key sets has the token's ``kid``.
    named: bool = False
    #: Whether it is to be an ID token.
    id_token: bool = False
    #: Tells whether its key was found meanwhile, in another of the issuer's key sets.
    is_settled: Callable[[], bool] = lambda: False


def verified(trusted: IssuerTrust, token: Presented) -> Flow[PreparedKey]:
    """Return the key that made the signature, after at most one refresh of the keys.

    Raises:
        TokenValidationException: None of the issuer's keys did.
        NetworkException: The keys cannot be had right now.
    """
    check_alg(trusted, token)
    snapshot, key = yield from tried(trusted, token)
    if key is None:
        key = yield from verified_by_newer(trusted, snapshot, token)
    trusted.source.vouch()
    return key


def tried(trusted: IssuerTrust, token: Presented) -> Flow[tuple[TrustSnapshot, PreparedKey | None]]:
    """Return the issuer's keys, and the one of them that made the signature, if any did."""
    trust = trusted.source.ready(token.clock.steady)
    if trust is None:
        # Nothing is fetched for a token that could be refused without.
        check_beforehand(trusted, token)
        trust = yield from trusted.source.current()
    return _tried_under(trusted, trust, token)


def check_beforehand(trusted: IssuerTrust, token: Presented) -> None:
    """Refuse what can be refused without its key, so that nothing is fetched for it.

    Raises:
        TokenValidationException: Issuer or claims are not what they must be.
        NetworkException: Too many issuers were looked up that never made a good signature.
    """
    if trusted.issuers is not None:
        check_issuer(trusted.issuers, token.claims)
    check_claims(trusted.policy, token.claims, token.clock.wall)
    if trusted.trials is not None:
        trusted.trials.admit(token.claims["iss"], token.clock.steady)


def verified_by_newer(trusted: IssuerTrust, snapshot: TrustSnapshot, token: Presented) -> Flow[PreparedKey]:
    """Return the key that made the signature, which is none of those in *snapshot*.

    Raises:
        TokenValidationException: None of the issuer's keys did.
        NetworkException: Newer keys cannot be had right now, and the one that the token names is not there.
    """
    _refuse_foreign(candidates(trusted, snapshot, token), token)
    key = None
    if trusted.source.refreshable:
        check_claims(trusted.policy, token.claims, token.clock.wall)
        patient = not (token.named or candidates(trusted, snapshot, token).keys)
        # A refresh that was under way when the token came may have read the set before its key was published.
        for _ in range(2):
            newer = None
            if not token.is_settled():
                newer = yield from trusted.source.newer(snapshot.trust, patient=patient, login=token.login)
            if newer is None:
                break
            snapshot, key = _tried_under(trusted, newer, token)
            if key is not None or newer.started_at > token.clock.steady:
                break
        if key is None and not candidates(trusted, snapshot, token).keys and not token.is_settled():
            moved = yield from trusted.source.moved()
            if moved is not None:
                snapshot, key = _tried_under(trusted, moved, token)
    if key is None:
        found = candidates(trusted, snapshot, token)
        raise no_key(found, trusted.source, snapshot.trust, token.jws, token.clock)
    return key


def _tried_under(trusted: IssuerTrust, trust: Trust, token: Presented) -> tuple[TrustSnapshot, PreparedKey | None]:
    snapshot = trusted.take(trust)
    check_issuer(snapshot.issuers, token.claims)
    return snapshot, _try_keys(trusted, snapshot, token)


def check_alg(trusted: IssuerTrust, token: Presented) -> None:
    """Refuse an algorithm that is not allowed.

    Raises:
        TokenValidationException: So it is.
    """
    alg = token.jws.header["alg"]
    allowed = trusted.algorithms if trusted.algorithms is not None else trusted.source.default_algorithms
    # RFC 8725 3.1: the algorithm is one the caller allows, compared exactly, before any key is looked at.
    if alg not in allowed:
        raise TokenValidationException(
            f"The algorithm {printable(alg)!r} is not allowed",
            "header",
            code="alg_not_allowed",
            claim="alg",
            expected=" ".join(allowed),
            actual=printable(alg),
            hint=_alg_hint(alg, token),
        )


def _alg_hint(alg: object, token: Presented) -> str | None:
    if alg in SYMMETRIC_ALGORITHMS:
        return "symmetric algorithms need an explicit secret"
    if alg not in ASYMMETRIC_ALGORITHMS:
        return None
    at_login = f", LoginClient(id_token_signed_response_alg={alg!r})" if token.id_token else ""
    return f"if the provider is to sign with it: algorithms=[{alg!r}]{at_login}"


def candidates(trusted: IssuerTrust, snapshot: TrustSnapshot, token: Presented) -> Candidates:
    """Return the keys of one set that may have made the signature."""
    allowed = trusted.algorithms if trusted.algorithms is not None else trusted.source.default_algorithms
    found = snapshot.trust.key_set.candidates(token.jws.header, allowed, token.claims.get("iss"))
    # As within one set: keys without a name do not count where another key has the token's.
    return Candidates() if token.named and not found.named else found


def _try_keys(trusted: IssuerTrust, snapshot: TrustSnapshot, token: Presented) -> PreparedKey | None:
    found = candidates(trusted, snapshot, token)
    _refuse_foreign(found, token)
    return signer(trusted, snapshot, found, token)


def signer(trusted: IssuerTrust, snapshot: TrustSnapshot, found: Candidates, token: Presented) -> PreparedKey | None:
    """Return the one of *found* that made the signature, and remember the token's header."""
    for key in found.keys:
        if key.verify(token.jws.signing_input, token.jws.signature):
            trusted.remember(snapshot, token.jws.header_segment, key)
            return key
    return None


def _refuse_foreign(found: Candidates, token: Presented) -> None:
    if found.foreign and not found.keys:  # no refresh makes it the issuer's
        raise foreign_key(found.foreign, token.claims)


def check_issuer(issuers: frozenset[str] | None, claims: Claims) -> None:
    """Refuse a token of an issuer that is not accepted.

    Raises:
        InvalidIssuerException: So it is.
    """
    if issuers is not None and claimed_issuer(claims) not in issuers:
        raise issuer_mismatch(issuers, claims["iss"])


__all__ = [
    "Presented",
    "candidates",
    "check_alg",
    "check_beforehand",
    "check_issuer",
    "signer",
    "tried",
    "verified",
    "verified_by_newer",
]
