"""Claims that an AWS Application Load Balancer signs itself: the header ``x-amzn-oidc-data``.

They look like a JWT and are none: base64url with padding, what must be checked (``signer``, ``client``, ``iss`` and
``exp``) in the header, and each key as PEM at an address of its own. So they have a validator of their own.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ..._refusals import bounded, must_be, refused
from ...exceptions import (
    InvalidIssuerException,
    JwksException,
    NetworkException,
    SignatureVerificationException,
    TokenExpiredException,
    TokenValidationException,
    TransportException,
    UnknownKeyException,
    printable,
)
from ...settings import Settings
from ..base.budget import FACTOR
from ..base.exchanges import once_more, retry_after
from ..base.flow import Flow, Reply, get, now
from ..base.strict_json import StrictJSONError, loads_claims
from ..base.urls import parse_url
from ..cache.cache import LEASE_MARGIN, Cache
from ..cache.entry import Entry, Fetched
from ..cache.freshness import freshness
from ..cache.single_flight import cached
from ..jose.algorithms import KeyRefused
from ..jose.jws import CompactJws, parse_compact
from ..jose.verification_keys import PreparedKey, import_pem, prepare
from .claim_checks import Claims, names, numeric_date
from .trials import Trials

#: Characters of a header: load balancers send at most 11 KB of claims.
MAX_DATA: Final = 32768
#: Keys that are kept, and keys that never verified anything which may be looked up in a minute.
MAX_KEYS, MAX_UNVERIFIED = 64, 16
#: Bytes of a key in PEM.
_MAX_PEM = 4096
_ARN = re.compile(
    r"arn:(aws[a-z-]{0,16}):elasticloadbalancing:([a-z]{2,8}(?:-[a-z]{1,12}){1,3}-\d{1,2}):\d{12}"
    r":loadbalancer/app/[A-Za-z0-9-]{1,32}/[0-9a-f]{1,32}\Z"
)
# An ID of a key is a part of an address: whatever could mean more than a name there is refused.
_KID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_KEYS = {
    "aws": "https://public-keys.auth.elb.{region}.amazonaws.com/",
    "aws-us-gov": "https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}/",
}

#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


class _Expected(NamedTuple):
    #: Where the keys are, by the ARN of the load balancer that signs.
    places: dict[str, str]
    clients: tuple[str, ...] | None
    issuers: tuple[str, ...] | None
    leeway: float


class AlbDataValidatorBase(Generic[Transport]):
    """The part of an ``AlbDataValidator`` that waits for nothing."""

    _api = ""

    @staticmethod
    def _settings() -> Settings:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    def __init__(
        self,
        signer: str | Sequence[str],
        *,
        client: str | Sequence[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        leeway: float = 0.0,
        keys_url: str | None = None,
        http_client: Transport | None = None,
    ) -> None:
        """Accept what one load balancer signs, or several.

        Args:
            signer: The ARN of the load balancer, or several. Nothing else tells it from those of strangers, whose keys
                are at the same place.
            client: The client at the provider, or several, that the listener's rule logs people in with; any if None.
            issuer: The provider, or several, that may have logged people in; any that the load balancer uses if None.
            leeway: Seconds of clock difference for the expiry.
            keys_url: Where the keys are, in place of the region's own address: for a partition that this library does
                not know, or a mirror. Plain http is for loopback addresses only.
            http_client: The transport that fetches keys; by default the client of this API.

        Raises:
            ConfigurationException: An ARN is none of a load balancer for HTTP, or an argument cannot be used safely.
        """
        leeway = bounded(leeway, "leeway", float, 0, 300, unit="seconds")
        places = {arn: _keys_of(arn, keys_url) for arn in names(signer, "signer")}
        clients = None if client is None else names(client, "client")
        self._expected = _Expected(places, clients, None if issuer is None else names(issuer, "issuer"), leeway)
        self._http_client = http_client
        settings = self._known = self._settings()
        self._trials = Trials(MAX_UNVERIFIED)
        self._keys: Cache[PreparedKey] = Cache(
            f"{self._api} load balancer keys",
            maxsize=MAX_KEYS,
            lease_for=FACTOR * settings.http_timeout + LEASE_MARGIN,
            bounds_followers=self._api == "sync",
        )

    def _validating(self, data: str) -> Flow[Claims]:
        """Return the flow of ``validate``."""
        jws, signed = _taken_apart(data)
        address = _check_header(jws.header, self._expected)
        _check_expiry(jws.header, (yield from now()).wall, self._expected.leeway)
        key = yield from self._key(address, jws.header["kid"])
        if len(jws.signature) != key.signature_length or not key.verify(signed, jws.signature):
            raise SignatureVerificationException("The signature does not fit the load balancer's key")
        self._trials.passed(address)
        self._keys.vouch(address)
        claims = _claims_of(jws)
        _check_expiry(claims, (yield from now()).wall, self._expected.leeway)
        if claims.get("iss", jws.header.get("iss")) != jws.header.get("iss"):
            raise InvalidIssuerException("The claims name another issuer than the header", claim="iss")
        return claims

    def _key(self, address: str, kid: str) -> Flow[PreparedKey]:
        steady = (yield from now()).steady
        entry = self._keys.peek(address, steady)
        if entry is None:
            try:
                self._trials.admit(address, steady)
            except NetworkException as error:
                raise _too_many(error) from None
            try:
                entry = yield from cached(self._keys, address, partial(self._fetch, address), vouched=False)
            except JwksException as error:
                if error.code != "load_balancer_key_unknown":
                    raise
                raise UnknownKeyException("There is no such key", claim="kid", actual=printable(kid)) from None
        return entry.value

    def _fetch(self, address: str, _: Entry[PreparedKey] | None) -> Flow[Fetched[PreparedKey]]:
        try:
            reply = yield from once_more(lambda: get(address, limit=_MAX_PEM), self._known)
        except TransportException as error:
            raise JwksException(
                f"The key of the load balancer cannot be fetched: {error.message}", address, code=error.code
            ) from None
        wall = (yield from now()).wall
        key = _read_key(reply, address, wall)
        return Fetched(key, *freshness(reply, wall, self._known.jwks_cache_ttl, self._known.max_stale))


def _keys_of(arn: str, keys_url: str | None) -> str:
    found = _ARN.match(arn)
    if found is None:
        raise must_be("signer", "the ARN of an Application Load Balancer", printable(arn, 120))
    if keys_url is not None:
        parse_url(keys_url, "keys_url", allow_query=False)
        return keys_url.rstrip("/") + "/"
    partition, region = found.groups()
    if partition not in _KEYS:
        raise must_be("keys_url", f"given for the partition {partition}")
    return _KEYS[partition].format(region=region)


def _taken_apart(data: str) -> tuple[CompactJws, bytes]:
    """Return what was signed beside the parts: the signature is over the text as it came, padding included."""
    if not isinstance(data, str):
        raise must_be("data", "text", type(data).__name__)
    if len(data) > MAX_DATA:
        raise _refused("token_too_large", "The data is too large", expected=f"at most {MAX_DATA} characters")
    segments = data.split(".")
    # RFC 4648 3.2: padded, all of it, or not at all, so that there are no further spellings of the same.
    if "=" in data and any(len(each) % 4 for each in segments):
        raise _refused("token_malformed", "The padding is not that of base64url", expected="whole groups of four")
    # What is left of more than two is no digit of base64url.
    jws = parse_compact(".".join(each.removesuffix("=").removesuffix("=") for each in segments), max_token=MAX_DATA)
    return jws, data.rpartition(".")[0].encode("ascii")


def _check_header(header: dict[str, Any], expected: _Expected) -> str:
    """Return where the key is: at the place of a signer that is expected, whatever else the header says."""
    if header["alg"] != "ES256":
        raise _refused("alg_not_allowed", "Load balancers sign with ES256", claim="alg", expected="ES256")
    place = expected.places.get(header["signer"]) if isinstance(header.get("signer"), str) else None
    if place is None:
        raise _refused("load_balancer_mismatch", "Another load balancer signed this, or none", claim="signer")
    kid = header.get("kid")
    if not isinstance(kid, str) or not _KID.match(kid):
        raise _refused("header_invalid", "kid is malformed", claim="kid", expected="letters, digits and hyphens")
    if expected.clients is not None and header.get("client") not in expected.clients:
        raise _refused("load_balancer_mismatch", "People were logged in for another client", claim="client")
    issuer = header.get("iss")
    if expected.issuers is not None and issuer not in expected.issuers:
        listed = list(expected.issuers)
        raise InvalidIssuerException(
            "Another provider logged in", claim="iss", expected=listed, actual=printable(issuer)
        )
    if numeric_date(header, "exp") is None:
        raise _refused("claim_missing", "The header has no end", claim="exp")
    return place + kid


def _check_expiry(members: dict[str, Any], wall: float, leeway: float) -> None:
    expires = numeric_date(members, "exp")
    if expires is not None and wall >= expires + leeway:
        raise TokenExpiredException(f"The data expired {wall - expires:.0f} s ago", claim="exp", actual=expires)


def _claims_of(jws: CompactJws) -> Claims:
    try:
        claims = loads_claims(jws.payload)
    except StrictJSONError as error:
        raise _refused("payload_invalid", f"The claims cannot be read: {error.reason}") from None
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise _refused("claim_missing", "The claims name no subject", claim="sub")
    return claims


def _read_key(reply: Reply, address: str, wall: float) -> PreparedKey:
    facts: dict[str, Any] = {"status_code": reply.status, "retry_after": retry_after(reply, wall)}
    if reply.status in (403, 404):  # S3 answers 403 for what is not there
        raise JwksException("There is no such key", address, code="load_balancer_key_unknown", **facts)
    if reply.status != 200:
        text = f"The load balancer's key cannot be fetched: HTTP status {reply.status}"
        raise JwksException(text, address, code="jwks_failed", expected=200, **facts)
    try:
        return prepare(import_pem(reply.body), "ES256")
    except KeyRefused as error:
        text = "The load balancer's key cannot be used"
        raise JwksException(text, address, code="jwks_unusable", actual=error.reason, **facts) from None


def _too_many(error: NetworkException) -> JwksException:
    return JwksException(
        "Too many keys that verified nothing were looked up within a minute",
        code="load_balancer_trials_exhausted",
        claim="kid",
        expected=f"at most {MAX_UNVERIFIED}",
        retry_after=error.retry_after,
    )


_refused = partial(refused, TokenValidationException)

__all__ = ["AlbDataValidatorBase"]
