"""DPoP, the server's side: the twelve checks of RFC 9449 4.3, stateless nonces, replay memory, bound tokens.

:meth:`DPoPValidator.check` is pure; :meth:`DPoPValidator.validate` also remembers the proof, so that it serves once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ..._arguments import explains_arguments
from ..._refusals import must_be, refused
from ...exceptions import ConfigurationException, DPoPValidationException, TokenValidationException, printable
from ..base.flow import Flow, now
from ..base.secret import same_text
from ..base.store import AnyStore, digest_of
from ..base.strict_json import StrictJSONError, loads_object
from ..base.urls import origin
from ..jose.algorithms import AsymmetricAlgorithm, KeyRefused
from ..jose.jws import CompactJws, jwk_thumbprint, parse_compact
from ..jose.verification_keys import PRIVATE_MEMBERS, import_key, prepare
from ..validation.claim_checks import names, numeric_date, seconds
from .dpop_client import DPOP_ALGORITHMS, DPOP_TYP, compute_ath
from .dpop_nonces import DPoPNonces
from .dpop_recovery import first_use_since, window_part
from .inbound_request import InboundRequest, ProxyPolicy
from .replay import CLOCKS, UsedValues, first_use

#: Characters of a proof at most; the largest post-quantum proofs fit.
MAX_PROOF = 16384
MAX_JTI = 512
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class DPoPProof:
    """A proof that was checked.

    Attributes:
        jkt: The thumbprint of its key, what tokens are bound to.
        algorithm: How it was signed.
        jti: Its identifier.
        htm: The method it is for.
        htu: The URL it is for.
        iat: When it was made, in seconds since 1970.
        next_nonce: What to answer with in ``DPoP-Nonce``: the client's nonce runs out soon.
        nonce: The nonce that it has, if it has one.
    """

    jkt: str
    algorithm: str
    jti: str
    htm: str
    htu: str
    iat: float
    next_nonce: str | None = None
    nonce: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DPoPValidator:
    """What a server demands of DPoP proofs. Build it once and share it.

    Attributes:
        algorithms: How proofs may be signed; asymmetric ones only.
        max_age: Seconds for which a proof is accepted.
        max_ahead: Seconds by which the client's clock may run ahead.
        nonces: The server's nonces; None if it demands none.
        store: Where proofs that were used are remembered; workers and pods share one. By default this process does.
        proxies: How requests reach this server, which decides what ``htu`` must be.

    Raises:
        ConfigurationException: One of them is empty or out of range.
    """

    algorithms: tuple[AsymmetricAlgorithm, ...] = DPOP_ALGORITHMS
    max_age: float = 60.0
    max_ahead: float = 10.0
    nonces: DPoPNonces | None = None
    store: AnyStore | None = None
    proxies: ProxyPolicy = field(default_factory=ProxyPolicy)
    _used: UsedValues = field(default_factory=UsedValues, init=False, repr=False, compare=False)

    @explains_arguments
    def __post_init__(self) -> None:
        unknown = set(names(self.algorithms, "algorithms")) - set(DPOP_ALGORITHMS)
        if unknown:
            raise ConfigurationException(
                f"DPoP proofs cannot be signed with {printable(min(unknown), 40)!r}",
                code="dpop_algorithm_unsupported",
                claim="algorithms",
                expected=DPOP_ALGORITHMS,
                actual=printable(min(unknown), 40),
            )
        if not seconds(self.max_age, "max_age", 600.0):
            raise ConfigurationException(
                "max_age must be more than 0 seconds", code="policy_invalid", claim="max_age", expected="up to 600"
            )
        seconds(self.max_ahead, "max_ahead", 60.0)

    @explains_arguments
    def behind(self, proxies: ProxyPolicy) -> DPoPValidator:
        """Return this validator for requests that come by way of *proxies*; used proofs are remembered together."""
        other = replace(self, proxies=proxies)
        object.__setattr__(other, "_used", self._used)
        return other

    @explains_arguments
    def check(
        self,
        request: InboundRequest,
        *,
        wall: float,
        access_token: str | None = None,
        claims: Mapping[str, Any] | None = None,
        expected_jkt: str | None = None,
    ) -> DPoPProof:
        """Check the proof of a request, all but its being used for the first time.

        Args:
            request: The request.
            wall: The time in seconds since 1970.
            access_token: The token that came with it, at a resource.
            claims: That token's validated claims.
            expected_jkt: The key it must be made with, at an authorization server: ``dpop_jkt`` of the
                authorization request, or what the refresh token is bound to.

        Returns:
            What the proof says.

        Raises:
            DPoPValidationException: A check of RFC 9449 4.3 failed.
            ConfigurationException: A token came without its claims, or claims without their token.
        """
        if (access_token is None) != (claims is None):
            raise ConfigurationException(
                "A DPoP proof is checked against an access token and its claims together",
                code="dpop_token_incomplete",
            )
        jws = _parse_proof(_only_proof(request))
        alg, jwk = self._check_header(jws.header)
        said = _read_claims(jws.payload)
        _check_target(said, request.method, self.proxies.external(request))
        self._check_time(said["iat"], wall)
        jkt = _check_signature(jws, jwk, alg)
        nonce = said.get("nonce")
        next_nonce = self._check_nonce(nonce, wall)
        if access_token is not None and claims is not None:
            _check_ath(said.get("ath"), access_token)
            check_dpop_binding(claims, jkt)
        if expected_jkt is not None:
            _check_key(jkt, expected_jkt)
        shown = nonce if isinstance(nonce, str) else None
        return DPoPProof(jkt, alg, said["jti"], said["htm"], said["htu"], said["iat"], next_nonce, shown)

    def validate(
        self,
        request: InboundRequest,
        *,
        access_token: str | None = None,
        claims: Mapping[str, Any] | None = None,
        expected_jkt: str | None = None,
    ) -> Flow[DPoPProof]:
        """Check the proof of a request and remember it, so that it serves once (RFC 9449 4.3, 11.1).

        The arguments are those of :meth:`check`.

        Returns:
            What the proof says.

        Raises:
            DPoPValidationException: A check failed, or the proof was used before (``dpop_replayed``). Shortly after the
                store lost its memory a proof must show that it was made since (``dpop_nonce_required``): answer with
                the exception's ``nonce`` in the header ``DPoP-Nonce``.
            NetworkException: The replay memory cannot answer.
        """
        clock = yield from now()
        proof = self.check(
            request, wall=clock.wall, access_token=access_token, claims=claims, expected_jkt=expected_jkt
        )
        # Last, so that only who holds the key can fill the memory. A second more than the proof is accepted for.
        lifetime = proof.iat + self.max_age - clock.wall + 1.0
        key = digest_of("dpop", proof.jkt, proof.jti)
        if not (yield from self._first_use(proof, key, lifetime, clock.wall)):
            raise _refused("dpop_replayed", "The DPoP proof was used before", "jti")
        return proof

    def _first_use(self, proof: DPoPProof, key: str, lifetime: float, wall: float) -> Flow[bool]:
        if self.store is None:
            return (yield from first_use(self._used, key, lifetime))
        # By a client's clock that runs ahead it may say that it was made later than it was used.
        used_at = proof.iat - self.max_ahead - CLOCKS
        nonce = self.challenge_nonce(wall)
        return (yield from first_use_since(self.store, key, lifetime, used_at, proof.nonce, nonce))

    @explains_arguments
    def challenge_nonce(self, wall: float) -> str | None:
        """Return the nonce that goes into ``DPoP-Nonce`` of a refusal; None if this server demands none."""
        return self.nonces.current(wall) if self.nonces else None

    def _check_header(self, header: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        if header.get("typ") != DPOP_TYP:
            raise _refused("dpop_typ_mismatch", "A DPoP proof has the typ dpop+jwt", "typ", DPOP_TYP, header.get("typ"))
        alg = header.get("alg")
        if not isinstance(alg, str) or alg not in self.algorithms:
            raise _refused("dpop_alg_unsupported", "The DPoP proof is signed otherwise", "alg", self.algorithms, alg)
        jwk = header.get("jwk")
        if not isinstance(jwk, dict):
            raise _refused(
                "dpop_key_missing", "A DPoP proof carries its public key", "jwk", "a JWK", type(jwk).__name__
            )
        if PRIVATE_MEMBERS & jwk.keys():
            raise _refused("dpop_key_private", "The DPoP proof gives a private key away", "jwk", "a public key")
        return alg, jwk

    def _check_time(self, iat: float, wall: float) -> None:
        if iat < wall - self.max_age:
            raise _refused(
                "dpop_proof_expired", "The DPoP proof is too old", "iat", f"{self.max_age:g} s", f"{wall - iat:g} s"
            )
        if iat > wall + self.max_ahead:
            raise _refused(
                "dpop_proof_in_future",
                "The DPoP proof was made in the future",
                "iat",
                f"{self.max_ahead:g} s",
                f"{iat - wall:g} s",
                hint="the clocks of client and server differ",
            )

    def _check_nonce(self, nonce: object, wall: float) -> str | None:
        if self.nonces is None:
            return None
        if nonce is None:
            raise _refused("dpop_nonce_required", "The DPoP proof must have this server's nonce", "nonce")
        if not isinstance(nonce, str) or not self._accepts(nonce, wall):
            raise _refused("dpop_nonce_invalid", "The DPoP proof has another nonce than this server's", "nonce")
        current = self.nonces.current(wall)
        return None if any(same_text(one, current) for one in (nonce, window_part(nonce))) else current

    def _accepts(self, nonce: str, wall: float) -> bool:
        return self.nonces is None or any(self.nonces.accepts(one, wall) for one in {nonce, window_part(nonce)})


def _only_proof(request: InboundRequest) -> str:
    values = request.header_values("dpop")
    if not values:
        raise _refused("dpop_proof_missing", "The request has no DPoP proof", "DPoP", "one DPoP header")
    # RFC 9110 5.3: servers join repeated headers with a comma, which no proof has.
    if len(values) > 1 or "," in values[0]:
        raise _refused("dpop_proof_duplicate", "The request has several DPoP proofs", "DPoP", "one DPoP header")
    return values[0]


def _parse_proof(proof: str) -> CompactJws:
    try:
        return parse_compact(proof, max_token=MAX_PROOF, max_header=MAX_PROOF // 2)
    except TokenValidationException as error:
        raise _refused(
            "dpop_proof_malformed",
            "The DPoP proof is no well-formed JWT",
            error.claim,
            error.expected,
            details={"reason": error.code},
        ) from None


def _read_claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = loads_object(payload)
        iat = numeric_date(claims, "iat")
    except (StrictJSONError, TokenValidationException) as error:
        reason = error.reason if isinstance(error, StrictJSONError) else error.code
        raise _refused(
            "dpop_claims_invalid", "The claims of the DPoP proof are unusable", details={"reason": reason}
        ) from None
    for name in ("jti", "htm", "htu", "iat"):
        if name not in claims:
            raise _refused("dpop_claim_missing", f"The DPoP proof has no {name}", name, "present", "absent")
    for name in ("jti", "htm", "htu"):
        if not isinstance(claims[name], str) or not claims[name]:
            raise _refused("dpop_claim_invalid", f"{name} of the DPoP proof must be a string", name, "a string")
    if len(claims["jti"]) > MAX_JTI:
        raise _refused("dpop_claim_invalid", "jti of the DPoP proof is too long", "jti", f"{MAX_JTI} characters")
    return {**claims, "iat": iat}


def _check_target(said: Mapping[str, Any], method: str, url: str) -> None:
    if said["htm"] != method:
        raise _refused("dpop_htm_mismatch", "The DPoP proof is for another method", "htm", method, said["htm"])
    expected = normalize_htu(url)
    if expected is None or normalize_htu(said["htu"]) != expected:
        raise _refused(
            "dpop_htu_mismatch",
            "The DPoP proof is for another URL",
            "htu",
            expected,
            said["htu"].partition("?")[0],
            hint="behind a proxy, ProxyPolicy tells the URL that clients use",
        )


@explains_arguments
def normalize_htu(url: str) -> str | None:
    """Return a URL as ``htu`` is compared, None if it is none.

    RFC 9449 4.3: without query and fragment, after the syntax-based and scheme-based normalization of RFC 3986 6.2.2
    and 6.2.3.

    >>> normalize_htu("HTTPS://API.example.com:443/a/./b/../%7euser?x=1")
    'https://api.example.com/a/~user'
    """
    try:
        parts = urlsplit(url.partition("#")[0])
        place = origin(url)
    except (ValueError, ConfigurationException):
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    return place + _without_dots(_PERCENT.sub(_one_spelling, parts.path) or "/")


def _one_spelling(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _without_dots(path: str) -> str:
    # RFC 3986 5.2.4.
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _check_signature(jws: CompactJws, jwk: Mapping[str, Any], alg: str) -> str:
    try:
        key = prepare(import_key(jwk), alg)
        jkt = jwk_thumbprint(jwk)
    except KeyRefused as error:
        raise _refused(
            "dpop_key_unusable", "The key of the DPoP proof is unusable", "jwk", f"a public key for {alg}", error.reason
        ) from None
    if not key.verify(jws.signing_input, jws.signature):
        raise _refused("dpop_signature_invalid", "The signature of the DPoP proof does not fit its key", "signature")
    return jkt


def _check_ath(ath: object, access_token: str) -> None:
    if ath is None:
        raise _refused("dpop_ath_missing", "The DPoP proof does not name the access token", "ath", "present", "absent")
    if not isinstance(ath, str) or not same_text(ath, compute_ath(access_token)):
        raise _refused("dpop_ath_mismatch", "The DPoP proof was made for another access token", "ath")


def bound_jkt(claims: Mapping[str, Any]) -> str | None:
    """Return the thumbprint of the key that a token is bound to, None if it is bound to none (RFC 9449 6.1).

    Raises:
        TokenValidationException: ``cnf`` is not what it should be; the ``code`` is ``cnf_invalid``.
    """
    cnf = confirmation(claims)
    if "jkt" not in cnf:
        return None
    jkt = cnf["jkt"]
    # Null is not absent: read as absent, it would make a bearer token of one that is meant to be bound.
    if not isinstance(jkt, str) or not jkt:
        raise _unusable_cnf("cnf.jkt", "a thumbprint")
    return jkt


def confirmation(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``cnf`` of a token, empty if it has none (RFC 7800 3.1).

    Raises:
        TokenValidationException: It is no object; the ``code`` is ``cnf_invalid``.
    """
    cnf = claims.get("cnf", {})
    if not isinstance(cnf, Mapping):
        raise _unusable_cnf("cnf", "a JSON object")
    return cnf


_unusable_cnf = partial(must_be, code="cnf_invalid", kind=TokenValidationException, token_part="payload")


def check_dpop_binding(claims: Mapping[str, Any], jkt: str) -> None:
    """Refuse a token that is not bound to the key of the proof it came with (RFC 9449 4.3 check 12, 7.1).

    Args:
        claims: The token's validated claims.
        jkt: The thumbprint of the proof's key.

    Raises:
        DPoPValidationException: It is bound to another key (``dpop_key_mismatch``) or none (``dpop_token_unbound``).
    """
    bound = bound_jkt(claims)
    if bound is None:
        raise _refused("dpop_token_unbound", "The access token is not bound to a DPoP key", "cnf.jkt", "present")
    _check_key(jkt, bound)


def refuse_bearer_downgrade(claims: Mapping[str, Any]) -> None:
    """Refuse a DPoP-bound token that came as a plain bearer token (RFC 9449 7.2).

    Raises:
        DPoPValidationException: It did; the ``code`` is ``dpop_token_as_bearer``.
    """
    if bound_jkt(claims) is not None:
        raise _refused(
            "dpop_token_as_bearer",
            "The access token is bound to a DPoP key and must come with a proof",
            "cnf.jkt",
            "the Authorization scheme DPoP",
            "Bearer",
        )


def _check_key(jkt: str, expected: str) -> None:
    if not same_text(jkt, expected):
        raise _refused("dpop_key_mismatch", "The DPoP proof was made with another key", "cnf.jkt", expected, jkt)


_refused = partial(refused, DPoPValidationException)


__all__ = [
    "MAX_JTI",
    "MAX_PROOF",
    "DPoPProof",
    "DPoPValidator",
    "bound_jkt",
    "check_dpop_binding",
    "confirmation",
    "normalize_htu",
    "refuse_bearer_downgrade",
]
