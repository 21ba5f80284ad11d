"""Key sets: of a provider or given by the caller, and which of their keys may have made a signature (RFC 7517 5)."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

from ..._arguments import explains_arguments
from ..._refusals import refused
from ...exceptions import ConfigurationException, JwksException, TransportException, printable
from ...observability import emit
from ...settings import Settings
from ..base.addresses import check_public_url
from ..base.exchanges import once_more, retry_after, unless_unchanged
from ..base.flow import Flow, Reply, get, now
from ..base.header_fields import entity_tag
from ..base.response import GUARDED, BaseRequest, BaseResponse
from ..base.secret import Secret
from ..base.strict_json import StrictJSONError, loads_object
from ..base.transport import bare
from ..base.urls import parse_url
from ..cache.entry import Entry, Fetched
from ..cache.freshness import freshness
from .algorithms import ALGORITHMS, KeyRefused
from .jwk import JsonWebKey, jwks_from_dict
from .key_material import VerificationKeys, check_names, import_verifying, read_key_material
from .verification_keys import PRIVATE_MEMBERS, PreparedKey, PublicKey, export_jwk, import_key, prepare

_config = partial(refused, ConfigurationException)

#: Keys that are tried at most where a token fits several: all of a usual set, at a bounded cost.
MAX_CANDIDATES = 16
#: Where the token names one by ``kid``, and several have that name (RFC 7517 4.5 says they should not).
MAX_NAMED = 4
_ACCEPT = "application/json, application/jwk-set+json"
#: RFC 8259 11 and RFC 6839 3.1; ``text/json`` is what some servers have always said.
_JSON_TYPE = re.compile(r"(?:application|text)/(?:[a-z0-9!#$&^_.+-]{1,80}\+)?json")


class AddressPolicy(Protocol):
    """What a discovery policy says about addresses."""

    require_https: bool
    allow_http_on_loopback: bool
    require_public_addresses: bool
    backchannel: str | None


class AddressRules(NamedTuple):
    """Which addresses may be fetched, and by what way; see ``DiscoveryPolicy``."""

    require_https: bool = True
    allow_http_on_loopback: bool = True
    require_public_addresses: bool = False
    backchannel: str | None = None

    @classmethod
    def of(cls, policy: AddressPolicy | None) -> AddressRules:
        """Return what *policy* says about addresses; the strict rules for None."""
        return STRICT_ADDRESSES if policy is None else cls(*(getattr(policy, name) for name in cls._fields))


#: What holds where nothing else is said.
STRICT_ADDRESSES = AddressRules()


@dataclass(repr=False)
class JwksRequest(BaseRequest):
    """A request for a provider's key set.

    Attributes:
        address: The ``jwks_uri``.
        policy: Which addresses may be fetched; https, and http on loopback, if it is None.
    """

    policy: AddressPolicy | None = None


@dataclass(repr=False)
class JwksResponse(BaseResponse):
    """A provider's key set.

    Attributes:
        keys: Its keys, without symmetric keys and private members.
        cache_control: The ``Cache-Control`` header field it came with.
    """

    keys: list[JsonWebKey] = GUARDED
    cache_control: str | None = None

    _guarded: ClassVar[frozenset[str]] = frozenset({"keys"})


class Skipped(NamedTuple):
    """A member of a set that is not used: its ``kid``, if it has one, and a stable name of the cause."""

    kid: str | None
    reason: str


class Candidates(NamedTuple):
    """The keys that may have signed a token.

    Attributes:
        keys: Those to be tried, each bound to its algorithm.
        fitting: How many there are, with those that are too many to be tried.
        foreign: Whose the others are that would fit, but sign for another issuer.
        named: Whether the token's ``kid`` chose them.
    """

    keys: tuple[PreparedKey, ...] = ()
    fitting: int = 0
    foreign: tuple[str, ...] = ()
    named: bool = False


def holds_secret(given: object) -> bool:
    """Tell whether key material that a caller gave has a private key or a shared secret in it."""
    if isinstance(given, Secret):
        return True
    if isinstance(given, JsonWebKey):
        return given.has_private_key
    if isinstance(given, PublicKey):
        return given.kty == "oct"
    if isinstance(given, KeySet):
        return given.symmetric
    if isinstance(given, Mapping):
        return not PRIVATE_MEMBERS.isdisjoint(given) or holds_secret(given.get("keys"))
    if isinstance(given, list | tuple):
        return any(map(holds_secret, given))
    if isinstance(given, str | bytes):
        text = given if isinstance(given, bytes) else given.encode("utf-8", "replace")
        return b"PRIVATE KEY" in text or any(b'"%s"' % name.encode() in text for name in PRIVATE_MEMBERS)
    return False


class FilePath(Protocol):
    """The path of a file, such as ``pathlib.Path``."""

    def __fspath__(self) -> str:
        """Return it as text."""
        ...


@dataclass(frozen=True, slots=True)
class KeySet:
    """An immutable set of keys that can verify signatures."""

    keys: tuple[PublicKey, ...]
    skipped: tuple[Skipped, ...] = ()
    #: The set as JSON, without symmetric keys and private members. It is shared: leave it as it is.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    cache_control: str | None = field(default=None, repr=False, compare=False)
    #: Whether a ``kid`` in a token selects: not where the caller gave exactly one key.
    kid_selects: bool = True
    _prepared: dict[str, tuple[PreparedKey, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    @explains_arguments
    def from_keys(cls, *keys: VerificationKeys) -> KeySet:
        """Make a set of keys that the caller trusts.

        Args:
            keys: JWKs or key sets as dict, :class:`JsonWebKey` or JSON text; public keys or certificates in PEM; shared
                secrets as :class:`Secret` or JWK of type ``oct``; or lists of these.

        Raises:
            ConfigurationException: There is none, one cannot be used, or secrets and public keys are mixed.

        >>> KeySet.from_keys({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}).kids
        (None,)
        """
        read = tuple(key for given in keys for key in read_key_material(given))
        if not read:
            raise _config("keys_missing", "At least one key is needed")
        secrets = [key for key in read if key.kty == "oct"]
        if secrets and len(secrets) != len(read):
            # RFC 8725 3.1: a public key must never come near an HMAC, so no policy can hold both.
            raise _config("keys_mixed", "Shared secrets and public keys cannot stand in one set")
        check_names(key.kid for key in secrets)
        return cls(read, kid_selects=len(read) > 1)

    @property
    def symmetric(self) -> bool:
        """Whether the keys are shared secrets."""
        return self.keys[0].kty == "oct"

    @property
    def kids(self) -> tuple[str | None, ...]:
        """The names of the keys, in order."""
        return tuple(key.kid for key in self.keys)

    @property
    def web_keys(self) -> list[JsonWebKey]:
        """The keys of :attr:`document` as values, those for encryption included."""
        return list(_web_keys(self.document.get("keys", ())))

    def candidates(self, header: Mapping[str, Any], algorithms: Collection[str], issuer: object = None) -> Candidates:
        """Return the keys that may have signed a token with *header*, at most :data:`MAX_CANDIDATES` to be tried.

        Args:
            header: ``alg`` and, if the token has one, ``kid``.
            algorithms: The algorithms that the caller allows.
            issuer: The token's ``iss``: a key that names its issuer signs for no other.
        """
        alg = header.get("alg")
        if not isinstance(alg, str) or alg not in algorithms or alg not in ALGORITHMS:
            return Candidates()
        fitting = self._fitting(alg)
        kid, most = header.get("kid"), MAX_CANDIDATES
        if kid is not None and self.kid_selects:
            # RFC 7515 4.1.4: kid is a hint. Keys without a name are those it can say nothing about.
            named = tuple(key for key in fitting if key.key.kid == kid)
            fitting = named or tuple(key for key in fitting if key.key.kid is None)
            most = MAX_NAMED if named else MAX_CANDIDATES
        ours = tuple(key for key in fitting if key.key.signs_for(issuer))
        foreign = tuple(str(key.key.issuer) for key in fitting if not key.key.signs_for(issuer))
        return Candidates(ours[:most], len(ours), foreign, most == MAX_NAMED)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.symmetric:
            raise ConfigurationException(
                "A shared secret is not pickled", code="secret_not_picklable", claim="keys", expected="public keys"
            )
        jwks = tuple(_jwk_of(key) for key in self.keys)
        return _restored, (jwks, self.skipped, self.document, self.cache_control, self.kid_selects)

    def _fitting(self, alg: str) -> tuple[PreparedKey, ...]:
        fitting = self._prepared.get(alg)
        if fitting is None:
            fitting = self._prepared[alg] = tuple(_prepare_all(self.keys, alg))
        return fitting


def _jwk_of(key: PublicKey) -> dict[str, Any]:
    marks = {"kid": key.kid, "alg": key.alg, "use": key.use, "issuer": key.issuer}
    marks["key_ops"] = key.key_ops and list(key.key_ops)  # type: ignore[assignment]
    return {**export_jwk(key.material), **{name: value for name, value in marks.items() if value is not None}}


def _restored(jwks: tuple[dict[str, Any], ...], *facts: Any) -> KeySet:
    """Return the key set that was pickled."""
    return KeySet(tuple(import_key(jwk) for jwk in jwks), *facts)


def parse_jwks(
    data: bytes, *, max_keys: int, max_size: int, address: str | None = None, cache_control: str | None = None
) -> KeySet:
    """Read a provider's key set. A key that cannot be used is skipped, with the reason kept, and harms no other.

    Args:
        data: The body of the response.
        max_keys: Members of the set at most.
        max_size: Bytes of the body at most.
        address: Where it came from, for events and errors.
        cache_control: The header field it came with.

    Raises:
        JwksException: It is no key set, too large, or has no usable key (which is a fault, never a rotation).
    """
    refused = _Refusals(address)
    if len(data) > max_size:
        raise refused("jwks_too_large", f"is larger than {max_size} bytes", expected=max_size)
    try:
        members = loads_object(data).get("keys")
    except StrictJSONError as error:
        raise refused("jwks_unparsable", f"is no key set: {error.reason}") from None
    if not isinstance(members, list):
        raise refused("jwks_unparsable", "is no key set: it has no list of keys", claim="keys")
    if len(members) > max_keys:
        raise refused("jwks_too_many_keys", f"has more than {max_keys} keys", expected=max_keys, actual=len(members))
    if not members:
        raise refused("jwks_empty", "has no keys", claim="keys")
    return _build_set(members, refused, cache_control)


def fetch_key_set(
    address: str,
    settings: Settings,
    previous: Entry[KeySet] | None = None,
    rules: AddressRules = STRICT_ADDRESSES,
) -> Flow[Fetched[KeySet]]:
    """Fetch a key set, or learn that *previous* is still the newest.

    Args:
        address: The ``jwks_uri``. Redirects are not followed.
        settings: Limits, the freshness where the response does not say, and whether a first fetch is repeated.
        previous: What is held already; its ``etag`` makes the request conditional.
        rules: Which addresses may be fetched, and by what way.

    Raises:
        ConfigurationException: The address must not be fetched.
        JwksException: No usable set came.
    """
    https = {"require_https": rules.require_https, "allow_http_on_loopback": rules.allow_http_on_loopback}
    parse_url(address, "jwks_uri", **https)
    refused = _Refusals(address)
    public_only = rules.require_public_addresses and rules.backchannel is None
    facts = {"limit": settings.max_jwks_size, "public_only": public_only, "backchannel": rules.backchannel}
    request = get(address, {"Accept": _ACCEPT}, **facts)
    try:
        if public_only:
            check_public_url(address, "jwks_uri")
        # A quick repeat helps those who wait for their first keys. Others have some, and forged tokens, which can make
        # us ask, must not have the provider asked twice.
        if previous is None:
            reply = yield from once_more(lambda: request, settings)
        else:
            reply = yield from unless_unchanged(request, previous.etag)
    except TransportException as error:
        code = "jwks_too_large" if error.code == "response_too_large" else error.code
        raise refused(
            code, "cannot be fetched: " + error.message, status_code=error.status_code, retry_after=error.retry_after
        ) from None
    wall = (yield from now()).wall
    etag = entity_tag(reply)
    if reply.status == 304 and previous is not None:
        key_set, etag = previous.value, etag or previous.etag
    else:
        _check_reply(reply, refused, wall)
        key_set = parse_jwks(
            reply.body,
            max_keys=settings.max_jwks_keys,
            max_size=settings.max_jwks_size,
            address=address,
            cache_control=reply.header("cache-control"),
        )
    return Fetched(key_set, *freshness(reply, wall, settings.jwks_cache_ttl, settings.max_stale), etag=etag)


def jwks_response(key_set: KeySet) -> JwksResponse:
    """Return the successful response that shows *key_set*."""
    return JwksResponse(True, keys=key_set.web_keys, cache_control=key_set.cache_control)


class _Refusals:
    """Makes the errors about the set of one address."""

    def __init__(self, address: str | None) -> None:
        self.url = printable(bare(address)) if address else None

    def __call__(self, code: str, what: str, **facts: Any) -> JwksException:
        subject = f"The key set of {self.url}" if self.url else "The key set"
        return JwksException(f"{subject} {what}", self.url, code=code, **facts)


def _check_reply(reply: Reply, refused: _Refusals, wall: float) -> None:
    facts: dict[str, Any] = {"status_code": reply.status, "retry_after": retry_after(reply, wall)}
    if 300 <= reply.status < 400:
        hint = "give the address it redirects to as jwks_uri"
        raise refused("jwks_redirected", "redirects, which is not followed", hint=hint, **facts)
    if reply.status != 200:
        raise refused("jwks_failed", f"answered with HTTP status {reply.status}", expected=200, **facts)
    media_type = reply.media_type
    if media_type and not _JSON_TYPE.fullmatch(media_type):
        shown = printable(media_type, 60)
        raise refused("jwks_content_type", f"is of type {shown}", expected=_ACCEPT, actual=shown, **facts)


def _build_set(members: list[Any], refused: _Refusals, cache_control: str | None) -> KeySet:
    keys: list[PublicKey] = []
    skipped: list[Skipped] = []
    document: list[dict[str, Any]] = []
    for member in members:
        kid = _kid(member)
        try:
            jwk = _public_members(member, kid, refused.url)
            document.append(jwk)
            keys.append(import_verifying(jwk))
        except KeyRefused as error:
            skipped.append(Skipped(kid, error.reason))
    if not keys:
        reasons = ", ".join(sorted({reason for _, reason in skipped}))
        raise refused("jwks_unusable", f"has no usable key: {reasons}", actual=reasons)
    return KeySet(tuple(keys), tuple(skipped), {"keys": document}, cache_control)


def _kid(member: Any) -> str | None:
    kid = member.get("kid") if isinstance(member, dict) else None
    return printable(kid) if isinstance(kid, str) else None


def _public_members(member: Any, kid: str | None, address: str | None) -> dict[str, Any]:
    """Return what may be kept of a member of a remote set."""
    if not isinstance(member, dict):
        raise KeyRefused("jwk_not_an_object")
    if member.get("kty") == "oct":
        # A secret that everybody can fetch is none, and HMAC keys come from the caller alone.
        emit("jwks_symmetric_key_ignored", logging.WARNING, address=address, kid=kid)
        raise KeyRefused("symmetric_key_in_remote_set")
    private = sorted(PRIVATE_MEMBERS & member.keys())
    if private:
        emit("jwks_private_members_dropped", logging.WARNING, address=address, kid=kid, members=private)
    return {name: value for name, value in member.items() if name not in PRIVATE_MEMBERS}


def _prepare_all(keys: tuple[PublicKey, ...], alg: str) -> Iterator[PreparedKey]:
    for key in keys:
        try:
            yield prepare(key, alg)
        except KeyRefused:  # made for another algorithm
            continue


def _web_keys(members: Collection[Mapping[str, Any]]) -> Iterator[JsonWebKey]:
    for member in members:
        try:
            # RFC 7517 4.3 lets `use` and `key_ops` stand together if they agree; JsonWebKey does not.
            both = "use" in member and "key_ops" in member
            yield jwks_from_dict({name: value for name, value in member.items() if not (both and name == "key_ops")})
        except ConfigurationException:  # skipped in the set as well, with a reason
            continue


#: Static keys as a caller can give them, or the path of a file that has them.
KeysOrFile: TypeAlias = VerificationKeys | KeySet | FilePath

__all__ = [
    "MAX_CANDIDATES",
    "MAX_NAMED",
    "STRICT_ADDRESSES",
    "AddressPolicy",
    "AddressRules",
    "Candidates",
    "FilePath",
    "JwksRequest",
    "JwksResponse",
    "KeySet",
    "KeysOrFile",
    "Skipped",
    "fetch_key_set",
    "holds_secret",
    "jwks_response",
    "parse_jwks",
]
