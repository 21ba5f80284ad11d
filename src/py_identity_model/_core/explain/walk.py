"""The flow of an explanation: the validator's own verdict first, then every check by itself.

The verdict is never computed here: the token is validated as ever, and what follows only tells of it. Checks that ask
somebody (revocations, status lists, the application) are made for tokens whose signature is good, as at a validation.
Keys are looked for where the validator has them, or would fetch them first; nothing is fetched anew for an explanation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ...exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    TokenValidationException,
)
from ..base.budget import within_budget
from ..base.flow import Clock, Flow, now
from ..jose.jws import CompactJws, parse_compact
from ..resource.principal import AuthenticatedPrincipal
from ..resource.requirement import Requirement, meet
from ..validation.claim_checks import CHECKS, ClaimPolicy, Claims
from ..validation.hints import Cause
from ..validation.id_token import IdTokenExpectation, check_id_token
from ..validation.issuer_trust import IssuerTrust, TrustSnapshot
from ..validation.payload import payload_claims
from ..validation.refused_keys import foreign_key, no_key
from ..validation.signatures import Presented, candidates, check_alg, check_issuer
from ..validation.token_kinds import ID_TOKEN, check_typ
from ..validation.validator import Validator
from .causes import Facts, cause_of, duration
from .explanation import CheckVerdict, ExplainedCheck, Explanation, Remedy, differing, shown
from .shapes import Shape, meant, unreadable_cause

#: How the rows of the table of claim checks are called here.
_ROWS: Final = {
    "iss": "issuer",
    "kind": "kind",
    "aud": "audience",
    "required": "presence",
    "exp": "expiry",
    "nbf": "not before",
    "iat": "issued at",
    "sub": "subject",
    "jti": "identifier",
}
#: The checks that come before those of the claims.
_FIRST: Final = ("form", "type", "payload", "issuer", "algorithm", "key", "signature")
#: Causes that are a matter of spelling: what is to be written here can be told before the signature is verified.
_SPELLINGS: Final = frozenset(
    {"issuer_trailing_slash", "issuer_is_metadata_address", "issuer_case", "issuer_without_scheme", "issuer_scheme"}
)


@dataclass
class Walk:
    """One explanation under way."""

    validator: Validator
    expectation: IdTokenExpectation
    requirement: Requirement | None
    checks: list[ExplainedCheck] = field(default_factory=list)
    #: The refusals, with the check each of them is of.
    refusals: list[tuple[str, PyIdentityModelException, Cause | None]] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    claims: Claims = field(default_factory=dict)
    trusted: IssuerTrust | None = None
    snapshot: TrustSnapshot | None = None
    signed: bool = False

    def passed(self, name: str, actual: object = None) -> None:
        """Note a check that holds."""
        self.checks.append(ExplainedCheck(name, "passed", actual=shown(actual)))

    def failed(self, name: str, error: PyIdentityModelException, cause: Cause | None = None) -> None:
        """Note a check that does not hold, or cannot be made now."""
        verdict: CheckVerdict = "unknown" if isinstance(error, NetworkException) else "refused"
        expected, actual = shown(error.expected), shown(error.actual)
        place = None
        if isinstance(error.expected, str) and expected and actual and error.code in _COMPARED:
            place = differing(expected, actual)
        self.checks.append(ExplainedCheck(name, verdict, error.code, expected, actual, error.message, place))
        self.refusals.append((name, error, cause))

    def attempt(self, name: str, check: Callable[[], object], actual: object = None) -> bool:
        """Make one check; say whether it holds."""
        try:
            check()
        except (TokenValidationException, NetworkException) as error:
            self.failed(name, error)
            return False
        self.passed(name, actual)
        return True

    def left_out(self, *names: str) -> None:
        """Note checks that cannot be made."""
        self.checks.extend(ExplainedCheck(name, "not reached") for name in names)

    @property
    def policy(self) -> ClaimPolicy:
        """What the claims must be, as far as it is known whose they are."""
        known = self.trusted or next(iter(self.validator.static_issuers()), None)
        return ClaimPolicy(self.validator.options.kind, frozenset()) if known is None else known.policy


#: Codes whose expected and actual values are single texts that are compared character by character.
_COMPARED: Final = frozenset({"issuer_mismatch", "audience_mismatch", "subject_mismatch", "alg_not_allowed"})


def explained(
    validator: Validator,
    token: str,
    expectation: IdTokenExpectation,
    requirement: Requirement | None = None,
    *,
    show_claims: bool = False,
) -> Flow[Explanation]:
    """Explain why *token* is accepted or refused.

    Args:
        validator: Who is asked.
        token: What came.
        expectation: What one login expects of its ID token.
        requirement: What a request must bring besides.
        show_claims: Whether the claims are part of it.

    Raises:
        ConfigurationException: The validator cannot be used as it is.
    """
    walk = Walk(validator, expectation, requirement)
    error, claims = yield from _verdict(validator, token, expectation)
    jws = _read(walk, token)
    clock = yield from now()
    if jws is not None:
        yield from _identified(walk, jws, clock)
        if walk.trusted is not None:
            yield from _signed(walk, walk.trusted, jws, clock)
        _claims_checked(walk, clock)
        yield from _asked(walk, clock)
    if claims is not None and requirement is not None:
        error = yield from _required(walk, requirement, claims)
    else:
        walk.left_out(*(["requirement"] if requirement is not None else []))
    shown_claims = (claims or walk.claims) if show_claims else None
    return Explanation(error is None, error, tuple(walk.checks), _remedies(walk, clock), shown_claims)


def _verdict(
    validator: Validator, token: str, expectation: IdTokenExpectation
) -> Flow[tuple[PyIdentityModelException | None, Claims | None]]:
    """Validate the token as ever."""
    try:
        claims = yield from validator.examine(token, expectation)
    except ConfigurationException:
        raise
    except PyIdentityModelException as error:
        return error, None
    return None, claims


# ---------------------------------------------------------------------------------------------------------------------
# What can be read


def _read(walk: Walk, given: str) -> CompactJws | None:
    """Take the token apart; where something stands around it, what it was meant to be."""
    largest = walk.validator.options.max_token
    jws: CompactJws | None
    try:
        jws = parse_compact(given, max_token=largest)
        walk.passed("form", "three segments of base64url")
    except TokenValidationException as error:
        shape = meant(given) if isinstance(given, str) else Shape("")
        jws = None if shape.cause is None else _parsed(shape.token, largest)
        cause = shape.cause if jws is not None or shape.tells else None
        cause = cause or unreadable_cause(shape.token, error)
        walk.failed("form", error, cause)
    if jws is None:
        walk.left_out(*dict.fromkeys((*_FIRST[1:], *_ROWS.values())))
        return None
    walk.header = header = jws.header
    walk.attempt("type", lambda: check_typ(walk.validator.options.kind, header.get("typ")), header.get("typ"))
    try:
        walk.claims = payload_claims(jws)
    except TokenValidationException as error:
        walk.failed("payload", error)
        walk.left_out(*dict.fromkeys((*_FIRST[3:], *_ROWS.values())))
        return None
    walk.passed("payload", f"{len(walk.claims)} claims")
    return jws


def _parsed(token: str, largest: int) -> CompactJws | None:
    try:
        return parse_compact(token, max_token=largest)
    except TokenValidationException:
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Who made it


def _identified(walk: Walk, jws: CompactJws, clock: Clock) -> Flow[None]:
    """Find out whose keys verify the token."""
    try:
        walk.trusted = yield from walk.validator.trust_of(walk.claims, clock)
    except (TokenValidationException, NetworkException) as error:
        walk.failed("issuer", error)
        walk.left_out("algorithm", "key", "signature")


def _signed(walk: Walk, trusted: IssuerTrust, jws: CompactJws, clock: Clock) -> Flow[None]:
    presented = Presented(jws, walk.claims, clock, id_token=walk.validator.options.kind is ID_TOKEN)
    named = trusted.issuers
    if named is not None:
        walk.attempt("issuer", lambda: check_issuer(named, walk.claims), walk.claims.get("iss"))
    if not walk.attempt("algorithm", lambda: check_alg(trusted, presented), jws.header.get("alg")):
        walk.left_out("key", "signature")
        return
    try:
        key = yield from within_budget(_under_keys(walk, trusted, presented), clock.steady)
    except (TokenValidationException, NetworkException) as error:
        if named is None and walk.checks[-1].name != "issuer":
            walk.left_out("issuer")
        walk.failed("key" if error.code != "signature_invalid" else "signature", error)
        walk.left_out(*(["signature"] if error.code != "signature_invalid" else []))
        return
    walk.passed("key", jws.header.get("kid") or "the one that fits")
    walk.passed("signature", key)
    walk.signed = True


def _under_keys(walk: Walk, trusted: IssuerTrust, presented: Presented) -> Flow[str]:
    """Return by which algorithm the signature is good, under the keys that the validator has.

    Raises:
        TokenValidationException: It is good under none of them.
        NetworkException: There are none now.
    """
    refusal: PyIdentityModelException | None = None
    for one in trusted.sets:
        try:
            return (yield from _under_one_set(walk, one, presented))
        except (TokenValidationException, NetworkException) as error:
            refusal = refusal or error
    assert refusal is not None  # an issuer has one set of keys at least
    raise refusal


def _under_one_set(walk: Walk, trusted: IssuerTrust, presented: Presented) -> Flow[str]:
    trust = trusted.source.ready(presented.clock.steady)
    if trust is None:
        if trusted.trials is not None:
            trusted.trials.admit(walk.claims["iss"], presented.clock.steady)
        trust = yield from trusted.source.current()
    snapshot = walk.snapshot = trusted.take(trust)
    if trusted.issuers is None and not any(check.name == "issuer" for check in walk.checks):
        walk.attempt("issuer", lambda: check_issuer(snapshot.issuers, walk.claims), walk.claims.get("iss"))
    found = candidates(trusted, snapshot, presented)
    if found.foreign and not found.keys:
        raise foreign_key(found.foreign, walk.claims)
    for key in found.keys:
        # Not by `signer`, which has the warm path know the header: this token may be refused for its header.
        if key.verify(presented.jws.signing_input, presented.jws.signature):
            return key.alg
    raise no_key(found, trusted.source, trust, presented.jws, presented.clock)


# ---------------------------------------------------------------------------------------------------------------------
# What it says


def _claims_checked(walk: Walk, clock: Clock) -> None:
    """Make every check of the claims, each by itself."""
    policy, told = walk.policy, {check.name for check in walk.checks}
    for row in CHECKS:
        name = _ROWS.get(row.claim, row.claim)
        if name == "issuer" and name in told:
            continue
        name = "age" if name in told else name
        told.add(name)

        def check(run: Callable[[ClaimPolicy, Claims, float], None] = row.run) -> None:
            run(policy, walk.claims, clock.wall)

        walk.attempt(name, check, _shown_claim(walk.claims, name, clock.wall))
    if walk.validator.options.kind is ID_TOKEN and not walk.refusals:
        walk.attempt("login", lambda: _login_checked(walk, policy, clock))


def _shown_claim(claims: Claims, name: str, wall: float) -> object:
    """Return what is said of a claim that is accepted: nothing personal."""
    if name == "audience":
        return claims.get("aud")
    claim = {"expiry": "exp", "not before": "nbf", "issued at": "iat"}.get(name, "")
    value = claims.get(claim)
    if not isinstance(value, int | float):
        return None
    apart = value - wall
    return f"{value}, {'in ' if apart >= 0 else ''}{duration(abs(apart))}{'' if apart >= 0 else ' ago'}"


def _login_checked(walk: Walk, policy: ClaimPolicy, clock: Clock) -> None:
    options = walk.validator.options
    check_id_token(
        walk.claims,
        str(walk.header.get("alg")),
        None,
        client_ids=policy.audiences or frozenset(),
        trusted_audiences=options.trusted_audiences,
        authorized_parties=options.authorized_parties,
        expectation=walk.expectation,
        leeway=policy.leeway,
        now=clock.wall,
    )


def _asked(walk: Walk, clock: Clock) -> Flow[None]:
    """Make the checks that ask somebody, for a token that nothing else speaks against."""
    validator, trusted = walk.validator, walk.trusted
    revocations, statuses = validator.revocations, validator.statuses
    asks = validator.options.claims_validator is not None
    if walk.refusals or trusted is None:
        names = ("revocation", revocations), ("status", statuses), ("application", asks or None)
        walk.left_out(*(name for name, there in names if there is not None))
        return
    if revocations is not None:
        walk.attempt("revocation", lambda: revocations.check(walk.claims, clock.wall))
    if statuses is not None:
        yield from _attempted(walk, "status", statuses.check(walk.claims, trusted))
    if asks:
        yield from _attempted(walk, "application", validator.approve(walk.claims))


def _attempted(walk: Walk, name: str, flow: Flow[None]) -> Flow[bool]:
    try:
        yield from flow
    except (TokenValidationException, NetworkException) as error:
        walk.failed(name, error)
        return False
    walk.passed(name)
    return True


def _required(walk: Walk, requirement: Requirement, claims: Claims) -> Flow[PyIdentityModelException | None]:
    """Hold the claims against what a request must bring."""
    try:
        yield from meet(requirement, AuthenticatedPrincipal(claims), leeway=walk.policy.leeway)
    except PyIdentityModelException as error:
        walk.failed("requirement", error)
        return error
    walk.passed("requirement")
    return None


# ---------------------------------------------------------------------------------------------------------------------
# What would help


def _remedies(walk: Walk, clock: Clock) -> tuple[Remedy, ...]:
    issuers = walk.trusted.issuers if walk.trusted is not None and walk.trusted.issuers is not None else None
    accepted = issuers or (walk.snapshot.issuers if walk.snapshot is not None else None)
    known = tuple(sorted(accepted or walk.validator.by_issuer))
    kids = walk.snapshot.trust.key_set.kids if walk.snapshot is not None else ()
    told = [one for one in walk.refusals if not isinstance(one[1], NetworkException)]
    found = []
    for name, error, cause in told or walk.refusals:
        facts = Facts(error, walk.header, walk.claims, walk.policy, known, kids, clock.wall)
        matter = cause or cause_of(facts)
        setting = matter.setting if walk.signed or matter.name in _SPELLINGS else None
        alone = len(told) == 1 and (walk.signed or (setting is not None and name == "issuer"))
        found.append(Remedy(name, matter.name, matter.text, setting, suffices=alone))
    return tuple(found)


__all__ = ["explained"]
