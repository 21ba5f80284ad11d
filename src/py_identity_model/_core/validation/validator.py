"""Token validation: a policy compiled once, a warm path without a lock, and a careful path that explains.

The warm path (:meth:`Validator.warm`) knows the headers that verified before, under the keys of the current snapshot.
It answers with claims, or with None for whatever it does not know or does not find good. The careful path
(:meth:`Validator.examine`) is a flow: it parses, fetches keys, follows rotations, and gives the reason of a refusal.

What a validator knows of a header (which key it names, and how):

========  ==================================  ========
state     event                               becomes
========  ==================================  ========
unknown   a good signature                    known
unknown   a bad signature                     unknown
known     a good signature                    known
known     a bad signature                     known
known     a bad one has the keys looked at    unknown
known     a claim is refused                  known
known     the keys are replaced               unknown
known     the keys must be looked at          unknown
========  ==================================  ========

What always holds: a header is known under one snapshot of keys only, which is given up whole; only a signature that was
good makes it known; what the warm path leaves out is declared in :mod:`.claim_checks`; its every no is judged again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...exceptions import (
    ClaimsValidationError,
    ConfigurationException,
    InvalidIssuerException,
    NetworkException,
    PyIdentityModelException,
    TokenValidationException,
    printable,
)
from ...observability import WARNING, emit
from ..base.budget import within_budget
from ..base.flow import Clock, Flow, now, resolve
from ..base.strict_json import StrictJSONError, loads_claims
from ..jose.jws import parse_compact
from ..jose.verification_keys import PreparedKey
from .claim_checks import Claims, check_claims, claimed_issuer, issuer_mismatch
from .engine import Engine
from .id_token import NOTHING_EXPECTED, IdTokenExpectation, check_id_token
from .issuer_trust import IssuerTrust
from .issuers import IssuerResolver, IssuerTemplate, TrustedIssuer
from .payload import payload_claims
from .signatures import Presented, check_issuer, verified
from .token_kinds import ID_TOKEN, check_typ
from .trials import MAX_OF_A_RESOLVER, Trials
from .validator_options import Options

if TYPE_CHECKING:
    from .meter import Meter
    from .revocations import Revocations
    from .status_lists import StatusLists

#: Issuers that a resolver or a template has brought, kept at once.
MAX_ISSUERS = 10_000
#: Seconds after which the application is asked again about an issuer it brought; and where it cannot answer.
ISSUER_TRUSTED_FOR = 300.0
ISSUER_ASKED_AGAIN = 30.0


class Validator:
    """The one engine behind ``validate_token`` and both ``TokenValidator`` classes."""

    def __init__(self, options: Options, engine: Engine) -> None:
        self.options = options
        self.engine = engine
        self.by_issuer: dict[str, IssuerTrust] = {}
        self._templates: tuple[tuple[IssuerTemplate, Trials], ...] = ()
        self._resolved = Trials(MAX_OF_A_RESOLVER)
        self._resolver: IssuerResolver | None = None
        self._build: Callable[[TrustedIssuer], IssuerTrust] | None = None
        #: The issuer of every token, where there can be no other.
        self.only: IssuerTrust | None = None
        #: Issuers that were brought, the oldest first. Those known by name never make room for them.
        self._brought: OrderedDict[str, None] = OrderedDict()
        #: Whether the warm path suffices: rules of ID tokens depend on the login and on the algorithm.
        self.plain: bool = options.kind is not ID_TOKEN
        #: Whether the application is to be asked after the warm path.
        self.asks: bool = options.claims_validator is not None
        self._max_token = options.max_token
        #: What was revoked; None where nobody can say.
        self.revocations: Revocations | None = None
        #: What counts validations; None while nobody wants to know.
        self.meter: Meter | None = None
        #: What status lists say; None where nobody looks.
        self.statuses: StatusLists | None = None

    # ---- construction

    @classmethod
    def of_issuer(cls, options: Options, engine: Engine, trusted: IssuerTrust) -> Validator:
        """Return a validator whose one issuer, or key, is *trusted*."""
        validator = cls(options, engine)
        validator.only = trusted
        return validator

    def add_issuers(
        self,
        trusted: Iterable[str | TrustedIssuer | IssuerTemplate],
        resolver: IssuerResolver | None,
        build: Callable[[TrustedIssuer], IssuerTrust],
    ) -> None:
        """Trust these issuers; *build* makes the trust of one."""
        self._build, self._resolver = build, resolver
        templates = []
        for one in trusted:
            if isinstance(one, IssuerTemplate):
                templates.append((one, Trials(one.max_unverified)))
                continue
            issuer = one if isinstance(one, TrustedIssuer) else TrustedIssuer(one)
            if issuer.issuer in self.by_issuer:
                raise ConfigurationException(
                    f"The issuer {printable(issuer.issuer)!r} is given twice", code="policy_invalid", claim="issuer"
                )
            self.by_issuer[issuer.issuer] = build(issuer)
        self._templates = tuple(templates)
        if not (self.by_issuer or self._templates or resolver):
            raise ConfigurationException(
                "A validator needs an issuer to trust", code="policy_invalid", claim="issuer", expected="an issuer"
            )
        if len(self.by_issuer) == 1 and not self._templates and resolver is None:
            self.only = next(iter(self.by_issuer.values()))

    def count(self, meter: Meter) -> None:
        """Have *meter* count the validations of this one, for callers who take both paths by themselves."""
        self.meter = meter
        # In the place of the method, so that a validator that nobody watches pays nothing.
        self.__dict__["warm"] = meter.counted(self.warm, None, asks=self.asks)

    def static_issuers(self) -> list[IssuerTrust]:
        """Return the issuers that are known by name."""
        return [self.only] if self.only is not None else list(self.by_issuer.values())

    # ---- the warm path

    def warm(self, token: str, wall: float, steady: float, under: IssuerTrust | None = None) -> Claims | None:
        """Return the claims of a token whose like was seen before; None sends it down the careful path.

        With *under*, only the one key set of the issuer counts that this is the trust in.

        Raises:
            TokenValidationException: The signature is good, a claim is not.
        """
        if type(token) is not str or len(token) > self._max_token:
            return None
        revocations = self.revocations
        if revocations is not None and steady >= revocations.due:
            return None
        trusted, payload = under or self.only, None
        if trusted is None:
            issuer, payload = self.engine.peek(token)
            trusted = self.by_issuer.get(issuer) if issuer is not None else None
            if trusted is None or steady >= trusted.until:
                return None
        snapshot = trusted.snapshot
        if snapshot is None or trusted.peek(steady) is not snapshot.entry:
            return None if under or not trusted.others else self._warm_under_others(trusted, token, wall, steady)
        claims: Any = snapshot.read(token, wall) if payload is None else snapshot.read(token, wall, payload)
        if claims is None:
            return None if under or not trusted.others else self._warm_under_others(trusted, token, wall, steady)
        if type(claims) is bytes:
            try:
                claims = loads_claims(claims)
            except StrictJSONError:
                return None
            if not snapshot.holds(claims, wall):
                if snapshot.issuers is not None:
                    check_issuer(snapshot.issuers, claims)
                check_claims(trusted.policy, claims, wall)
        # An engine in another language looks at whether a claim is there, not at what it is.
        elif snapshot.nullable and any(claims[name] is None for name in snapshot.nullable):
            check_claims(trusted.policy, claims, wall)
        if trusted.template is not None:
            _check_template_claim(trusted.template, claims)
        if revocations is not None:
            revocations.check(claims, wall)
        statuses = self.statuses
        if statuses is not None and not statuses.knows(claims, steady):
            return None
        return claims  # type: ignore[no-any-return] # a dict by now

    def _warm_under_others(self, trusted: IssuerTrust, token: str, wall: float, steady: float) -> Claims | None:
        found = (self.warm(token, wall, steady, one) for one in trusted.others)
        return next((claims for claims in found if claims is not None), None)

    # ---- the careful path

    def examine(
        self, token: str, expectation: IdTokenExpectation = NOTHING_EXPECTED, *, login: bool = False
    ) -> Flow[Claims]:
        """Validate a token from its first character on.

        Args:
            token: The token.
            expectation: What one login expects of its ID token.
            login: Whether the application has begun what this token answers, which bounds the number of such tokens.

        Raises:
            TokenValidationException: It is refused.
            NetworkException: It cannot be verified right now.
        """
        flow = self._examined(token, expectation, login)
        return flow if self.meter is None else self.meter.examined(flow, token)

    def _examined(self, token: str, expectation: IdTokenExpectation, login: bool) -> Flow[Claims]:
        if self.revocations is not None:
            yield from self.revocations.refresh()
        jws = parse_compact(token, max_token=self._max_token)
        check_typ(self.options.kind, jws.header.get("typ"))
        claims = payload_claims(jws)
        clock = yield from now()
        trusted = yield from self.trust_of(claims, clock)
        # A login, as its nonce shows, was begun by the application: it waits where forged tokens may not.
        login = login or expectation.nonce is not None
        presented = Presented(jws, claims, clock, login, id_token=self.options.kind is ID_TOKEN)
        if trusted.others:  # each of its key sets has that budget
            from .several_key_sets import verified_by_any  # few issuers have several

            key = yield from verified_by_any(trusted, presented)
        else:
            key = yield from within_budget(verified(trusted, presented), clock.steady)
        if self.only is None:
            self._keep(claims["iss"], trusted)
        return (yield from self.accept(claims, key, clock.wall, trusted, expectation))

    def accept(
        self, claims: Claims, key: PreparedKey, wall: float, trusted: IssuerTrust, expectation: IdTokenExpectation
    ) -> Flow[Claims]:
        """Apply what comes after the signature: the claims, the rules of ID tokens, the application's own."""
        check_claims(trusted.policy, claims, wall)
        if self.revocations is not None:
            self.revocations.check(claims, wall)
        if self.statuses is not None:
            yield from self.statuses.check(claims, trusted)
        if self.options.kind is ID_TOKEN:
            check_id_token(
                claims,
                key.alg,
                key.crv,
                client_ids=trusted.policy.audiences or frozenset(),
                trusted_audiences=self.options.trusted_audiences,
                authorized_parties=self.options.authorized_parties,
                expectation=expectation,
                leeway=trusted.policy.leeway,
                now=wall,
            )
        yield from self._approved(claims)
        return claims

    def approve(self, claims: Claims) -> Flow[None]:
        """Ask the application's own validator, if there is one, about claims from the warm path."""
        flow = self._approved(claims)
        return flow if self.meter is None else self.meter.approved(flow, claims)

    def _approved(self, claims: Claims) -> Flow[None]:
        validator = self.options.claims_validator
        if validator is None:
            return
        try:
            yield from resolve(validator(claims))
        except TokenValidationException:
            raise
        except PyIdentityModelException as error:
            if error.code == "awaitable_refused":  # by the driver: it is no verdict of the validator
                raise
            raise ClaimsValidationError.because(error) from error
        except Exception as error:  # a claims validator is foreign code; whatever it raises is its refusal
            raise ClaimsValidationError(f"The claims validator refused the token: {type(error).__name__}") from error

    def trust_of(self, claims: Claims, clock: Clock) -> Flow[IssuerTrust]:
        """Return the trust in the issuer that claims name, which the application may bring.

        Raises:
            InvalidIssuerException: It is none that is trusted.
            NetworkException: Whether it is trusted cannot be told now.
        """
        if self.only is not None:
            return self.only
        issuer = claimed_issuer(claims)
        trusted = self.by_issuer.get(issuer)
        if trusted is None or clock.steady >= trusted.until:
            trusted = yield from self._bring(issuer, trusted, clock)
        if trusted.template is not None:
            _check_template_claim(trusted.template, claims)
        return trusted

    def _bring(self, issuer: str, known: IssuerTrust | None, clock: Clock) -> Flow[IssuerTrust]:
        """Ask the application about *issuer*, for the first time or again."""
        try:
            trusted, template, trials = yield from self._find_issuer(issuer)
        except NetworkException as error:
            if known is None:
                raise
            emit("issuer_recheck_failed", WARNING, issuer=printable(issuer), code=error.code)
            known.until = clock.steady + ISSUER_ASKED_AGAIN
            return known
        except InvalidIssuerException:
            self._brought.pop(issuer, None)
            self.by_issuer.pop(issuer, None)
            raise
        if known is None or known.trusted != trusted:
            known = self._built(trusted, template)
            known.trusted = trusted
            for one in known.sets:
                one.template = template
            if issuer in self._brought:
                self.by_issuer[issuer] = known
            else:
                known.trials = trials
        known.until = clock.steady + ISSUER_TRUSTED_FOR
        return known

    def _built(self, trusted: TrustedIssuer, template: IssuerTemplate | None) -> IssuerTrust:
        assert self._build is not None
        try:
            return self._build(trusted)
        except ConfigurationException as error:
            # The address is made of what the token says: one that cannot be fetched is the token's fault.
            derived = any(
                one.keys is one.jwks_uri is None and (template or one.discovery_address is None)
                for one in trusted.each()
            )
            if not derived or error.code not in ("url_invalid", "https_required")[: 1 if template else 2]:
                raise
        raise issuer_mismatch(list(self.by_issuer)[:5], trusted.issuer)

    def _keep(self, issuer: str, trusted: IssuerTrust) -> None:
        """Keep the trust of an issuer that was brought. A signature of it came first: forged names push nobody out."""
        if trusted.trials is not None:
            trusted.trials.passed(issuer)
            trusted.trials = None
        if issuer in self.by_issuer:
            return
        while len(self._brought) >= MAX_ISSUERS:
            self.by_issuer.pop(self._brought.popitem(last=False)[0], None)
        if self.by_issuer.setdefault(issuer, trusted) is trusted:
            self._brought[issuer] = None

    def _find_issuer(self, issuer: str) -> Flow[tuple[TrustedIssuer, IssuerTemplate | None, Trials]]:
        for template, trials in self._templates:
            try:
                trusted = template.trust(issuer)
            except Exception as error:  # `allowed` is foreign code: whatever it raises says neither yes nor no
                raise _undecided(error) from error
            if trusted is not None:
                return trusted, template, trials
        if self._resolver is not None:
            try:
                answer = yield from resolve(self._resolver(issuer))
            except PyIdentityModelException:
                raise
            except Exception as error:  # foreign code: whatever it raises says neither yes nor no
                raise _undecided(error) from error
            trusted = TrustedIssuer(answer) if isinstance(answer, str) else answer
            # A resolver that answers with another issuer must not lend that issuer's keys to this one.
            if isinstance(trusted, TrustedIssuer) and trusted.issuer == issuer:
                return trusted, None, self._resolved
        raise issuer_mismatch(list(self.by_issuer)[:5], issuer)


def _undecided(error: Exception) -> PyIdentityModelException:
    """Return the exception for an application that could not say whether it trusts an issuer."""
    if isinstance(error, PyIdentityModelException):
        return error
    return NetworkException(
        f"Whether the issuer is trusted cannot be told: the application raised {type(error).__name__}",
        code="issuer_undecided",
        hint="answer None, or False, for an issuer that is not trusted",
    )


def _check_template_claim(template: IssuerTemplate, claims: Claims) -> None:
    if template.claim is None or template.claim not in claims:
        return
    expected = template.value(claims["iss"])
    if claims[template.claim] != expected:
        raise TokenValidationException(
            f"{template.claim} does not repeat the issuer's {expected}",
            "payload",
            code="issuer_claim_mismatch",
            claim=template.claim,
            expected=expected,
            actual=printable(claims[template.claim]),
        )


__all__ = ["Validator"]
