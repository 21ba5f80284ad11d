"""Rules of ID tokens that access tokens do not have (OpenID Connect Core 3.1.3.7, 3.2.2.9, 3.3.2.10, 12.2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict

from ..._arguments import explains_arguments
from ..._refusals import bounded, refused
from ...exceptions import ConfigurationException, IdTokenValidationException, printable
from ..base.secret import same_text
from ..jose.jws import half_hash
from .claim_checks import Claims, names, numeric_date, seconds

#: Seconds by which ``iat`` of a refreshed ID token may go back, unless told otherwise.
REFRESH_LEEWAY = 10.0
#: The claim that binds a value, by the name the expectation has here.
_HASHES = {"access_token": "at_hash", "code": "c_hash", "state": "s_hash"}
#: These no access token has.
_HASHED = frozenset(_HASHES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class IdTokenExpectation:
    """What one login expects of its ID token.

    Attributes:
        nonce: The ``nonce`` sent in the authorization request; None if none was sent.
        access_token: The access token that came along, to be compared with ``at_hash``.
        code: The authorization code that came along, to be compared with ``c_hash``.
        state: The ``state`` of the response, to be compared with ``s_hash``.
        hashes_required: Which of ``at_hash``, ``c_hash``, ``s_hash`` must be present: those of the front channel.
        max_age: Seconds since the user was last authenticated, as requested; 0 is a value like any other.
        acr_values: Acceptable authentication contexts; None if none was requested.
        asked_at: When the login began, in seconds since 1970: an ID token that is clearly older is not its answer.
    """

    nonce: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    state: str | None = field(default=None, repr=False)
    hashes_required: frozenset[str] = frozenset()
    max_age: float | None = None
    acr_values: tuple[str, ...] | None = None
    asked_at: float | None = None

    def __post_init__(self) -> None:
        for name in ("nonce", "access_token", "code", "state"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ConfigurationException(
                    f"{name} must be a string that is not empty, or None", code="policy_invalid", claim=name
                )
        if self.max_age is not None:
            seconds(self.max_age, "max_age", most=10 * 365 * 86400)
        if self.acr_values is not None:
            # A tuple, also where one value was given: nothing that is a mere part of it is one of them.
            object.__setattr__(self, "acr_values", names(self.acr_values, "acr_values"))
        if self.asked_at is not None:
            bounded(self.asked_at, "asked_at", float, 0, 2**40, unit="seconds")
        if self.hashes_required or not isinstance(self.hashes_required, Collection):
            object.__setattr__(self, "hashes_required", _hashes_named(self.hashes_required))


def _hashes_named(required: object) -> frozenset[str]:
    # One name is one hash, not its letters; a name that no token carries would turn the check off.
    hashes = frozenset(names(required, "hashes_required"))
    if not hashes <= set(_HASHES.values()):
        raise ConfigurationException(
            f"hashes_required names a claim that is no hash: {printable(min(hashes - set(_HASHES.values())))!r}",
            code="policy_invalid",
            claim="hashes_required",
            expected=tuple(_HASHES.values()),
        )
    return hashes


class ExpectedIdToken(TypedDict, total=False):
    """What one login expects of its ID token, as keyword arguments of ``validate``; None stands for nothing.

    Attributes:
        nonce: The ``nonce`` of the authorization request.
        access_token: The access token that came along, compared with ``at_hash``.
        code: The authorization code that came along, compared with ``c_hash``.
        state: The ``state`` of the response, compared with ``s_hash``.
        max_age: The ``max_age`` of the authorization request, in seconds.
        acr_values: Authentication contexts that are good enough.
        hashes_required: Which of ``at_hash``, ``c_hash``, ``s_hash`` must be present.
        asked_at: When the login began, in seconds since 1970: an older ID token is not its answer.
    """

    nonce: str | None
    access_token: str | None
    code: str | None
    state: str | None
    max_age: float | None
    acr_values: str | Sequence[str] | None
    hashes_required: str | Collection[str] | None
    asked_at: float | None


NOTHING_EXPECTED = IdTokenExpectation()


def check_id_token(
    claims: Claims,
    alg: str,
    crv: str | None,
    *,
    client_ids: Collection[str],
    trusted_audiences: Collection[str] = (),
    authorized_parties: Collection[str] = (),
    expectation: IdTokenExpectation = NOTHING_EXPECTED,
    leeway: float = 0.0,
    now: float,
) -> None:
    """Refuse a verified ID token that breaks a rule of its own.

    Args:
        claims: Its claims, issuer, audience and times already checked.
        alg: The algorithm of its signature, whose hash the ``*_hash`` claims use.
        crv: The curve of its key, where the algorithm leaves it open.
        client_ids: Ourselves.
        trusted_audiences: Others that may stand beside us in ``aud``.
        authorized_parties: Others that may have asked for the token (``azp``).
        expectation: What this login expects.
        leeway: Seconds of clock difference.
        now: Seconds since 1970.

    Raises:
        IdTokenValidationException: A rule is broken; ``code`` and ``claim`` say which.
    """
    _check_parties(claims, client_ids, trusted_audiences, authorized_parties)
    _check_kind(claims, expectation)
    _check_nonce(claims, expectation.nonce)
    _check_hashes(claims, alg, crv, expectation)
    _check_issued(claims, expectation, leeway)
    _check_authentication(claims, expectation, leeway, now)


_refused = partial(refused, IdTokenValidationException, token_part="payload")


def _check_parties(
    claims: Claims, client_ids: Collection[str], trusted: Collection[str], parties: Collection[str]
) -> None:
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    # OpenID Connect Core 3.1.3.7-3: rejected if it contains additional audiences not trusted by the client.
    strangers = [a for a in audience if a not in client_ids and a not in trusted]
    if strangers:
        raise _refused(
            "audience_untrusted",
            f"The ID token is also for {printable(strangers[0])!r}, which is not trusted",
            "aud",
            "no audience but the client and trusted ones",
            printable(strangers[0]),
        )
    party = claims.get("azp")
    if "azp" in claims and not (isinstance(party, str) and party in {*client_ids, *parties}):
        raise _refused(
            "authorized_party_mismatch",
            f"The ID token was issued to {printable(party)!r}",
            "azp",
            " or ".join(sorted({*client_ids, *parties})),
            printable(party),
        )


def _check_kind(claims: Claims, expectation: IdTokenExpectation) -> None:
    """Refuse what only an access token says, where no login's nonce tells it from one."""
    if expectation.nonce is not None or not _HASHED.isdisjoint(claims):
        return
    # RFC 9068 2.2: client_id, and scope (scp at Okta, Entra and Hydra). An ID token names its client in azp, if at all.
    marks = ("scope", "scp") if "nonce" in claims else ("scope", "scp", "client_id")
    found = next((name for name in marks if name in claims), None)
    if found is not None:
        raise _refused(
            "kind_mismatch",
            f"The claim {found!r} marks an access token, not an ID token",
            found,
            "ID token",
            "an access token",
            hint="an access token is for an API; where its nonce is expected too, an ID token may have this claim",
        )


def _check_nonce(claims: Claims, expected: str | None) -> None:
    if expected is None:
        return
    actual = claims.get("nonce")
    if not isinstance(actual, str) or not same_text(actual, expected):
        raise _refused(
            "nonce_mismatch",
            "The ID token answers another login: its nonce is " + ("absent" if actual is None else "different"),
            "nonce",
            "the nonce of the authorization request",
            "absent" if actual is None else "another value",
        )


def _check_hashes(claims: Claims, alg: str, crv: str | None, expectation: IdTokenExpectation) -> None:
    for source, claim in _HASHES.items():
        value, actual = getattr(expectation, source), claims.get(claim)
        if claim not in claims:
            if claim in expectation.hashes_required:
                raise _refused("hash_missing", f"The ID token lacks {claim}", claim, "present", "absent")
            continue
        if value is None:
            continue
        expected = half_hash(alg, value, crv)
        if not isinstance(actual, str) or not same_text(actual, expected):
            raise _refused(
                "hash_mismatch",
                f"{claim} does not fit the {source.replace('_', ' ')} that came with the ID token",
                claim,
                f"the hash of the {source.replace('_', ' ')}",
                "another value",
            )


def _check_issued(claims: Claims, expectation: IdTokenExpectation, leeway: float) -> None:
    # OpenID Connect Core 3.1.3.7: iat too far from the current time; here, from the request that asked for the token.
    issued = numeric_date(claims, "iat")
    if expectation.asked_at is None or issued is None:
        return
    earliest = expectation.asked_at - MOST_CLOCK_DIFFERENCE - leeway
    if issued < earliest:
        raise _refused(
            "token_too_old",
            f"The ID token was made {expectation.asked_at - issued:.0f} s before the login began",
            "iat",
            f"at least {earliest:.0f}",
            issued,
            hint="it is another login's, or the provider's clock is far behind",
        )


def _check_authentication(claims: Claims, expectation: IdTokenExpectation, leeway: float, now: float) -> None:
    authenticated = numeric_date(claims, "auth_time")
    if expectation.max_age is not None:
        if authenticated is None:
            raise _refused(
                "claim_missing", "max_age was requested, auth_time is absent", "auth_time", "present", "absent"
            )
        age = now - authenticated
        if age > expectation.max_age + leeway + _TOLERANCE:
            raise _refused(
                "authentication_too_old",
                f"The user was authenticated {age:.0f} s ago, at most {expectation.max_age:g} s were requested",
                "auth_time",
                f"at least {now - expectation.max_age:.0f}",
                authenticated,
                hint="send the user to the provider again with max_age or prompt=login",
            )
    if expectation.acr_values is not None and claims.get("acr") not in expectation.acr_values:
        raise _refused(
            "acr_mismatch",
            f"The authentication context is {printable(claims.get('acr'))!r}",
            "acr",
            " or ".join(expectation.acr_values),
            printable(claims.get("acr")),
        )


#: Seconds that the provider's clock may be behind ours before its new ID tokens count as old ones.
MOST_CLOCK_DIFFERENCE = 300.0

#: auth_time is a whole second and the way back to the client takes time: with max_age=0 these seconds are granted.
_TOLERANCE = 10.0


@explains_arguments
def check_refreshed_id_token(first: Claims, refreshed: Claims, *, leeway: float = REFRESH_LEEWAY) -> None:
    """Refuse an ID token from a refresh that does not continue the first one (OpenID Connect Core 12.2).

    Args:
        first: The validated claims of the ID token from the login.
        refreshed: The validated claims of the new one.
        leeway: Seconds by which ``iat`` may go back: a provider's machines have clocks of their own.

    Raises:
        IdTokenValidationException: ``iss``, ``sub``, ``aud``, ``azp`` or ``auth_time`` changed, ``iat`` went back, or a
            new ``nonce`` appeared. An ``auth_time`` that only the new one has is no change.
        ConfigurationException: *leeway* is no number of seconds that makes sense.
    """
    seconds(leeway, "leeway")
    for claim in ("iss", "sub", "azp", "auth_time"):
        optional = claim in ("azp", "auth_time") and claim not in refreshed
        optional = optional or (claim == "auth_time" and claim not in first)
        if not optional and first.get(claim) != refreshed.get(claim):
            raise _refused(
                "refresh_mismatch", f"{claim} changed at the refresh", claim, "as in the first ID token", "another"
            )
    if not _audiences(first) & _audiences(refreshed) or not _audiences(refreshed) <= _audiences(first):
        raise _refused("refresh_mismatch", "aud changed at the refresh", "aud", "as in the first ID token", "another")
    if "nonce" in refreshed and refreshed["nonce"] != first.get("nonce"):
        raise _refused(
            "refresh_mismatch", "A new nonce appeared at the refresh", "nonce", "absent or the first", "another"
        )
    issued, before = numeric_date(refreshed, "iat"), numeric_date(first, "iat")
    earliest = None if before is None else before - leeway
    if issued is not None and earliest is not None and issued < earliest:
        raise _refused("refresh_mismatch", "iat went back at the refresh", "iat", f"at least {earliest:.0f}", issued)


def _audiences(claims: Claims) -> set[str]:
    audience = claims.get("aud")
    return set(audience) if isinstance(audience, list) else {audience} if isinstance(audience, str) else set()


__all__ = [
    "NOTHING_EXPECTED",
    "REFRESH_LEEWAY",
    "ExpectedIdToken",
    "IdTokenExpectation",
    "check_id_token",
    "check_refreshed_id_token",
]
