"""Claim checks: one table of rows, and a predicate that answers the everyday case without walking it.

The predicate may only say yes where the table would; whatever it does not understand goes through the table, which
alone explains refusals. It declares what it understands (:data:`_UNDERSTOOD`): the rows of the table, and the fields of
a policy and of its kind. A row or a field that is not declared takes the predicate out of use, for a field unless it
has its default value. So a check that is added is slow until the predicate learns it, and never skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, NamedTuple

from ..._refusals import bounded, must_be
from ...exceptions import (
    InvalidAudienceException,
    InvalidIssuerException,
    TokenExpiredException,
    TokenNotYetValidException,
    TokenValidationException,
    printable,
)
from .hints import audience_hint, issuer_hint, missing_audience_hint
from .token_kinds import ID_TOKEN, Kind, check_marks, check_one_of

Claims = dict[str, Any]

#: FAPI 2.0 5.3.2.1-14: clocks differ; ``iat`` and ``nbf`` up to this many seconds ahead are accepted.
CLOCK_SKEW = 10.0
MAX_LEEWAY = 3600.0
#: Seconds since 1970 beyond which a NumericDate is no date.
MAX_DATE = 10**12
#: OpenID Connect Core 2: ``sub`` must not exceed 255 ASCII characters.
MAX_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """What the claims of a token must be.

    Attributes:
        kind: The kind of token.
        audiences: Names of ourselves, one of which ``aud`` must hold; None where the caller gave up the check by name.
        leeway: Seconds that ``exp`` may have passed.
        ahead: Seconds that ``nbf`` and ``iat`` may lie in the future.
        subject: The one ``sub`` accepted, or None for any.
        required: Further claims that must be present.
        max_age: Seconds since ``iat`` after which a token is refused however long its ``exp`` says, or None.
        check_issuer: Whether ``iss`` must be there.
        one_audience: Whether ``aud`` must be one string, no list.
    """

    kind: Kind
    audiences: frozenset[str] | None
    leeway: float = 0.0
    ahead: float = CLOCK_SKEW
    subject: str | None = None
    required: frozenset[str] = frozenset()
    max_age: float | None = None
    check_issuer: bool = field(default=True, kw_only=True)
    one_audience: bool = field(default=False, kw_only=True)


class Check(NamedTuple):
    """A row of the table: the claim, and the function that raises if it is not as it must be."""

    claim: str
    run: Callable[[ClaimPolicy, Claims, float], None]


def check_claims(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    """Refuse *claims* that break *policy* at the time *now* (seconds since 1970).

    Raises:
        TokenValidationException: Of the class and ``code`` that belong to the first row that does not hold.
    """
    for row in CHECKS:
        row.run(policy, claims, now)


class Terms(NamedTuple):
    """What everyday claims are, as data: the part of a policy that an engine may apply by itself."""

    issuers: frozenset[str]
    audiences: frozenset[str]
    forbidden: frozenset[str]
    required: tuple[str, ...]
    leeway: float
    ahead: float
    #: What ``typ`` and ``token_use`` may say; the native engine finds each of these by its name.
    types: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


def everyday_terms(policy: ClaimPolicy, issuers: frozenset[str] | None) -> Terms | None:
    """Return what :func:`everyday` asks of claims as data; None where it always says no."""
    if policy.audiences is None or issuers is None or not understands(_UNDERSTOOD, policy):
        return None
    required = tuple(sorted(policy.kind.required | policy.required))
    kind = policy.kind
    if kind.one_of and "sub" not in kind.one_of:  # everyday's claims have a subject, which then says too little
        return None
    said = kind.words("typ"), kind.words("token_use")
    return Terms(issuers, policy.audiences, kind.forbidden, required, policy.leeway, policy.ahead, *said)


def everyday(policy: ClaimPolicy, issuers: frozenset[str] | None) -> Callable[[Claims, float], bool]:
    """Return a predicate that is true only for claims by *issuers* that :func:`check_claims` accepts.

    False means: ask there. No *issuers* means that the check was given up.
    """
    terms = everyday_terms(policy, issuers)
    if terms is None:
        return lambda claims, now: False
    accepted, audiences, forbidden, required, leeway, ahead = terms[:6]
    types, uses = (None, *terms.types), (None, *terms.uses)
    has_none_of = forbidden.isdisjoint

    def holds(claims: Claims, now: float) -> bool:
        try:
            issuer, audience, expires = claims["iss"], claims["aud"], claims["exp"]
            issued, subject = claims["iat"], claims["sub"]
        except KeyError:
            return False
        if type(audience) is list and len(audience) == 1:
            audience = audience[0]
        latest = now + ahead
        # No type but int passes here: a float or a bool is for the table to judge.
        return (
            type(issuer) is str
            and type(audience) is str
            and type(expires) is int
            and type(issued) is int
            and type(subject) is str
            and issuer in accepted
            and audience in audiences
            and now - leeway < expires <= MAX_DATE
            and -MAX_DATE <= issued <= latest
            and 0 < len(subject) <= MAX_SUBJECT
            and issuer != subject
            and ("nbf" not in claims or (type(claims["nbf"]) is int and -MAX_DATE <= claims["nbf"] <= latest))
            and ("jti" not in claims or type(claims["jti"]) is str)
            and ("typ" not in claims or claims["typ"] in types)
            and ("token_use" not in claims or claims["token_use"] in uses)
            and has_none_of(claims)
            and (not required or not any(lacks(claims, name) for name in required))
        )

    return holds


class Understood(NamedTuple):
    """What a shortcut declares to know of the table: rows, fields of the policy, fields of the kind of token."""

    rows: frozenset[Callable[[ClaimPolicy, Claims, float], None]]
    policy: frozenset[str]
    kind: frozenset[str]


def understands(shortcut: Understood, policy: ClaimPolicy) -> bool:
    """Tell whether a shortcut knows all that the table looks at under *policy*."""
    return (
        shortcut.rows.issuperset(row.run for row in CHECKS)
        and _at_defaults(policy, but=shortcut.policy)
        and _at_defaults(policy.kind, but=shortcut.kind)
    )


def _at_defaults(value: Any, but: frozenset[str]) -> bool:
    """Tell whether every field has its default value; one without a default never has it."""
    return all(getattr(value, one.name) == one.default for one in fields(value) if one.name not in but)


def window(policy: ClaimPolicy, claims: Claims) -> tuple[float, float]:
    """Return from when to when, in seconds since 1970, claims that *policy* accepted once are accepted for certain.

    The rows that look at the time are declared too (:data:`_TIMED`): with any other the window is empty.
    """
    if not understands(_TIMED, policy):
        return inf, -inf
    begins = max(claims.get("nbf", -inf), claims.get("iat", -inf)) - policy.ahead
    ends = claims.get("exp", inf)
    if policy.max_age is not None:
        ends = min(ends, claims["iat"] + policy.max_age)
    return begins, ends + policy.leeway


def lacks(claims: Claims, name: str) -> bool:
    """Tell whether a claim is absent, or null, which says as little; those with a type have a check of their own."""
    return name not in claims or (claims[name] is None and name not in _TYPED)


_TYPED = frozenset(("exp", "nbf", "iat", "sub", "jti"))


def _marks(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    check_marks(policy.kind, claims)


def _required(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    wanted = ["exp"] if policy.kind.expires else []
    wanted += sorted(policy.kind.required | policy.required)
    missing = [name for name in wanted if lacks(claims, name)]
    if missing:
        raise TokenValidationException(
            f"The {policy.kind.name} lacks the claim {missing[0]!r}",
            "payload",
            {"missing": missing},
            code="claim_missing",
            claim=missing[0],
            expected="present",
            actual="absent",
        )
    check_one_of(policy.kind, claims)


def _audience(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    if "aud" not in claims:
        if policy.audiences is None:
            return
        raise InvalidAudienceException(
            "The token names no audience",
            code="claim_missing",
            claim="aud",
            expected=_named(policy.audiences),
            actual="absent",
            hint=missing_audience_hint(claims),
        )
    audience = claims["aud"]
    listed = [audience] if isinstance(audience, str) else audience
    if policy.one_audience and not isinstance(audience, str):
        raise InvalidAudienceException(
            "aud must be one string",
            code="claim_type_invalid",
            claim="aud",
            expected="a string",
            actual=type(audience).__name__,
        )
    # An empty list names nobody, which is what one has to expect where any audience is accepted.
    empty = listed == [] and policy.audiences is not None
    if not isinstance(listed, list) or empty or not all(isinstance(a, str) and a for a in listed):
        raise InvalidAudienceException(
            "aud must be a string or a list of strings",
            code="claim_type_invalid",
            claim="aud",
            expected="a string or a non-empty list of strings",
            actual=type(audience).__name__,
            hint=audience_hint(policy.audiences or (), (), claims) if empty else None,
        )
    # RFC 7519 4.1.3: the principal MUST identify itself with a value in the audience claim; compared as they are.
    if policy.audiences is not None and policy.audiences.isdisjoint(listed):
        raise InvalidAudienceException(
            f"The token is for {_named(listed)}, expected {_named(policy.audiences)}",
            claim="aud",
            expected=_named(policy.audiences),
            actual=_named(listed),
            hint=audience_hint(policy.audiences, listed, claims, id_token=policy.kind is ID_TOKEN),
        )


def _named(values: Any) -> str:
    shown = [printable(v) for v in sorted(values)[:5]]
    return " or ".join(shown) + (" ..." if len(values) > 5 else "")


def issuer_mismatch(expected: Any, actual: object) -> InvalidIssuerException:
    """Build the refusal of a token by another issuer."""
    wanted = [expected] if isinstance(expected, str) else list(expected)
    return InvalidIssuerException(
        f"The token is from {printable(actual)!r}, expected {_named(wanted) or 'an issuer that is trusted'}",
        claim="iss",
        expected=_named(wanted),
        actual=printable(actual),
        hint=issuer_hint(wanted, actual),
    )


def claimed_issuer(claims: Mapping[str, Any]) -> str:
    """Return ``iss``.

    Raises:
        InvalidIssuerException: It is absent or no string.
    """
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        absent = "iss" not in claims
        raise InvalidIssuerException(
            "The token names no issuer" if absent else "iss must be a string that is not empty",
            code="claim_missing" if absent else "claim_type_invalid",
            claim="iss",
            expected="a string",
            actual="absent" if absent else type(issuer).__name__,
        )
    return issuer


def numeric_date(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate claim (RFC 7519 2), None where it is absent.

    Raises:
        TokenValidationException: It is no finite number.
    """
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) <= MAX_DATE  # which NaN is not either; math.isfinite trips over integers that no float holds
    ):
        raise TokenValidationException(
            f"{name} must be a number of seconds since 1970",
            "payload",
            code="claim_type_invalid",
            claim=name,
            expected="a finite JSON number",
            actual=type(value).__name__,
        )
    return value


def _expires(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    expires = numeric_date(claims, "exp")
    if expires is not None and now >= expires + policy.leeway:
        late = now - expires
        raise TokenExpiredException(
            f"The token expired {late:.0f} s ago",
            claim="exp",
            expected=f"later than {now:.0f}",
            actual=expires,
            hint=f"is a clock wrong? they would differ by {late:.0f} s" if late <= 120 else None,
        )


def _not_yet(name: str) -> Callable[[ClaimPolicy, Claims, float], None]:
    def check(policy: ClaimPolicy, claims: Claims, now: float) -> None:
        value = numeric_date(claims, name)
        if value is not None and value > now + policy.ahead:
            early = value - now
            raise TokenNotYetValidException(
                f"{name} lies {early:.0f} s in the future, {policy.ahead:g} s are accepted",
                claim=name,
                expected=f"at most {now + policy.ahead:.0f}",
                actual=value,
                hint=f"the clocks of issuer and verifier differ by {early:.0f} s",
            )

    return check


def _age(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    issued = numeric_date(claims, "iat")
    if policy.max_age is None:
        return
    if issued is None or now - issued > policy.max_age + policy.leeway:
        raise TokenExpiredException(
            f"The token is older than the {policy.max_age:g} s that are accepted",
            code="token_too_old",
            claim="iat",
            expected=f"at least {now - policy.max_age:.0f}",
            actual=issued if issued is not None else "absent",
        )


def _subject(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    subject = claims.get("sub")
    length = len(subject) if isinstance(subject, str) else -1
    # RFC 7519 4.1.2 wants text, and no more: tokens for machines have long subjects (GitHub) or "" (Cloudflare).
    fits = 0 < length <= MAX_SUBJECT if policy.kind.short_subject else length >= 0
    if "sub" in claims and not fits:
        expected = f"a string of 1 to {MAX_SUBJECT} characters" if policy.kind.short_subject else "a string"
        raise TokenValidationException(
            f"sub must be {expected}",
            "payload",
            code="claim_type_invalid",
            claim="sub",
            expected=expected,
            actual=type(subject).__name__ if length < 0 else f"{length} characters",
        )
    if policy.subject is not None and subject != policy.subject:
        raise TokenValidationException(
            f"The token is about {printable(subject)!r}, expected {printable(policy.subject)!r}",
            "payload",
            code="subject_mismatch",
            claim="sub",
            expected=printable(policy.subject),
            actual=printable(subject),
        )


def _identifier(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    if "jti" in claims and not isinstance(claims["jti"], str):
        raise TokenValidationException(
            "jti must be a string",
            "payload",
            code="claim_type_invalid",
            claim="jti",
            expected="a string",
            actual=type(claims["jti"]).__name__,
        )


def _issuer(policy: ClaimPolicy, claims: Claims, now: float) -> None:
    if policy.check_issuer or "iss" in claims:
        claimed_issuer(claims)


_begun, _issued = _not_yet("nbf"), _not_yet("iat")

CHECKS = (
    Check("iss", _issuer),
    Check("kind", _marks),
    Check("aud", _audience),
    Check("required", _required),
    Check("exp", _expires),
    Check("nbf", _begun),
    Check("iat", _issued),
    Check("iat", _age),
    Check("sub", _subject),
    Check("jti", _identifier),
)


#: What :func:`everyday` understands. ``subject`` and ``max_age`` are not among the fields: with them it is not used.
_UNDERSTOOD = Understood(
    frozenset({_issuer, _marks, _audience, _required, _expires, _begun, _issued, _age, _subject, _identifier}),
    frozenset({"kind", "audiences", "leeway", "ahead", "required", "check_issuer"}),
    frozenset({"name", "types", "required", "forbidden", "expires"})
    # Claims about itself, without a party or an overlong one, are none of everyday's.
    | {"one_of", "foreign", "bare", "about_itself", "short_subject"},
)
#: What :func:`window` understands: beside that, how old a token may be, and whom it is about, which no time changes.
_TIMED = _UNDERSTOOD._replace(policy=_UNDERSTOOD.policy | {"subject", "max_age"})


def audience_policy(audience: object, *, what: str = "audience") -> frozenset[str]:
    """Return the configured audiences as a set.

    Raises:
        ConfigurationException: There is none, or one is no string: no check is ever turned off by an empty value.
    """
    return frozenset(names(audience, what))


def names(value: object, what: str) -> tuple[str, ...]:
    """Return a setting that is one string or several as a tuple.

    Raises:
        ConfigurationException: It is empty, or holds something else than non-empty strings.
    """
    listed = (value,) if isinstance(value, str) else value
    if (
        not isinstance(listed, list | tuple | set | frozenset)
        or not listed
        or not all(isinstance(v, str) and v for v in listed)
    ):
        raise must_be(what, "a string or a list of strings, none of them empty", value)
    return tuple(listed)


def seconds(value: object, what: str, most: float = MAX_LEEWAY) -> float:
    """Return a configured duration.

    Raises:
        ConfigurationException: It is no finite number from 0 to *most*.
    """
    return float(bounded(value, what, float, 0, most, unit="seconds"))


__all__ = [
    "CHECKS",
    "CLOCK_SKEW",
    "Check",
    "ClaimPolicy",
    "Claims",
    "Terms",
    "audience_policy",
    "check_claims",
    "claimed_issuer",
    "everyday",
    "everyday_terms",
    "issuer_mismatch",
    "lacks",
    "names",
    "numeric_date",
    "seconds",
    "window",
]
