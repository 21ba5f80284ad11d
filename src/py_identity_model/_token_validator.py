"""What both ``TokenValidator`` classes have in common: how one is built, and how it tells of itself."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

from ._arguments import explains_arguments
from ._core.base.flow import Flow, now
from ._core.base.fork_lock import Guard
from ._core.discovery.trust import IssuerHealth, Stores
from ._core.jose.algorithms import SignatureAlgorithm
from ._core.jose.jws import MAX_TOKEN
from ._core.jose.key_set import KeySet, KeysOrFile
from ._core.validation.claim_checks import MAX_LEEWAY, Claims
from ._core.validation.defaults import CACHED_FOR, SILENT_FOR
from ._core.validation.engine import Engine, select_engine
from ._core.validation.id_token import NOTHING_EXPECTED, ExpectedIdToken, IdTokenExpectation
from ._core.validation.issuer_trust import IssuerTrust
from ._core.validation.issuers import IssuerResolver, Issuers, TrustedIssuer
from ._core.validation.key_sets import IssuerKeySet, checked_key_sets
from ._core.validation.token_kinds import ID_TOKEN, Kind, KindName
from ._core.validation.validator import Validator
from ._core.validation.validator_options import Options
from ._http_client import carrier_of
from ._issuer_trusts import Trusting
from ._offload import threads
from ._refusals import bounded, must_be
from ._validator_arguments import (
    Addresses,
    Demands,
    Limits,
    Means,
    Sources,
    arguments,
    build_options,
    issuers_of,
    key_set_of,
    settled,
    several,
)
from .exceptions import ConfigurationException, NetworkException, TokenValidationException, printable
from .settings import EngineName, get_settings

if TYPE_CHECKING:
    from ._core.base.store import AnyStore
    from ._core.base.store_records import StoreHealth
    from ._core.discovery.key_sources import Carried, RemoteKeys
    from ._core.discovery.metadata import DiscoveryPolicy
    from ._core.validation.application_rules import ClaimsValidator
    from ._core.validation.batch import Batch, Offload
    from ._core.validation.meter import Meter, Warm
    from ._core.validation.revocations import Marks, Revocations, Revoked
    from ._core.validation.status_list import StatusListPolicy
    from ._core.validation.status_lists import StatusLists
    from ._core.validation.token_cache import TokenCache, TokenCacheInfo
    from ._validator_health import ValidatorHealth

_engine = functools.cache(select_engine)
_metering = Guard()


def default_engine() -> Engine:
    """Return the engine that the settings name."""
    settings = get_settings()
    return _engine(settings.engine, settings.multibuffer)


def _engine_of(name: EngineName | None) -> Engine:
    return default_engine() if name is None else select_engine(name, get_settings().multibuffer)


#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")


class TokenValidatorBase(Generic[Transport]):
    """The part of a ``TokenValidator`` that waits for nothing."""

    @staticmethod
    def _default_stores() -> Stores:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    @explains_arguments
    def __init__(
        self,
        issuer: Issuers | None = None,
        audience: str | Sequence[str] | None = None,
        *,
        algorithms: Sequence[SignatureAlgorithm] | None = None,
        kind: KindName | Kind = "access_token",
        keys: KeysOrFile | None = None,
        jwks_uri: str | None = None,
        discovery_address: str | None = None,
        metadata_issuer: str | None = None,
        discovery_policy: DiscoveryPolicy | None = None,
        backchannel: str | None = None,
        key_sets: Sequence[IssuerKeySet] | None = None,
        issuer_resolver: IssuerResolver | None = None,
        leeway: float | None = None,
        subject: str | None = None,
        required_claims: Iterable[str] = (),
        max_token_age: float | None = None,
        claims_validator: ClaimsValidator | None = None,
        trusted_audiences: Iterable[str] = (),
        authorized_parties: Iterable[str] = (),
        accept_any_audience: bool = False,
        max_token_size: int = MAX_TOKEN,
        cache_tokens: int | None = None,
        cache_tokens_max_age: float = CACHED_FOR,
        engine: EngineName | None = None,
        http_client: Transport | None = None,
        store: AnyStore | None = None,
        revocations_silent_for: float = SILENT_FOR,
        status_lists: StatusListPolicy | None = None,
        stores: Stores | None = None,
    ) -> None:
        """Trust an issuer, or several.

        Args:
            issuer: The issuer, exactly as ``iss`` carries it, or several: strings, :class:`TrustedIssuer`,
                :class:`IssuerTemplate`.
            audience: Who we are: ``aud`` must name it, or one of several.
            algorithms: Accepted signature algorithms; by default the asymmetric ones that fit the key.
            kind: ``access_token``, ``rfc9068_access_token`` (RFC 9068 to the letter), ``id_token`` (the audience is the
                ``client_id``) or ``access_or_id_token``; tokens of every other kind are refused.
            keys: Static keys instead of discovery: a JWK, a JWK Set, a :class:`JsonWebKey`, PEM text, or the path of a
                file of those.
            jwks_uri: Where the key set is, if the issuer has no metadata.
            discovery_address: Where the metadata is, if not below the issuer. It must name the issuer all the same.
            metadata_issuer: The issuer that the metadata names, where the tokens carry another: AD FS, whose access
                tokens carry the metadata's ``access_token_issuer``.
            discovery_policy: What the metadata may look like.
            backchannel: Where the provider is reached from here, if not at its public addresses:
                ``http://keycloak:8080``. Plain http needs ``DiscoveryPolicy(require_https=False)``.
            key_sets: Several sources of keys for the one issuer, as during a migration; see :class:`IssuerKeySet`.
            issuer_resolver: Asked for an ``iss`` that is not known by name: answers with that issuer, as a string or
                a :class:`TrustedIssuer`, or with None for no. May be async in ``aio``.
            leeway: Seconds of clock difference for ``exp``, ``nbf`` and ``iat``; by default 0 for ``exp``, 10 for the
                others.
            subject: The one accepted ``sub``.
            required_claims: Further claims that must be present.
            max_token_age: Seconds since ``iat`` after which a token is refused whatever its ``exp`` says.
            claims_validator: Called with the claims of a valid token; raises to refuse. May be async in ``aio``.
            trusted_audiences: Others that may stand beside the client in an ID token's ``aud``.
            authorized_parties: Others that may have asked for an ID token for us: accepted values of ``azp`` beside the
                audience, as of a mobile app whose tokens are for its server.
            accept_any_audience: Give up the check of ``aud``. Tokens made for any other API will be accepted.
            max_token_size: Characters of a token at most.
            cache_tokens: Remember up to so many verified tokens, so that one that comes again costs a digest and the
                checks of its claims; by default none is. Not for ID tokens. A revoked token must be told of with
                :meth:`invalidate`, and then refused by *claims_validator* or introspection: its signature stays good.
            cache_tokens_max_age: Seconds after which a remembered token is verified anew.
            engine: ``auto``, ``pure`` or ``native``; by default what the settings say.
            http_client: The transport, should something have to be fetched; what it fetches is for those who use it.
            store: A store through which processes share metadata and keys, so that one of them fetches for all, and
                tell each other what was revoked. It must authenticate what it gives out: sealed, or of this process
                alone.
            revocations_silent_for: Seconds that the store may be away before no token is accepted any more, since
                nobody knows what was revoked.
            status_lists: Look at the status of tokens that have one, in signed lists that are fetched and kept; by
                default nobody looks. ``required_claims=["status"]`` refuses tokens without.
            stores: The caches; by default those that everything in this API shares.

        Raises:
            ConfigurationException: The arguments cannot be used safely. Nothing is fetched yet.
        """
        required, trusted, parties = map(several, (required_claims, trusted_audiences, authorized_parties))
        addresses = Addresses(jwks_uri, discovery_address, metadata_issuer, backchannel, checked_key_sets(key_sets))
        sources = self._own(Sources(settled(issuer), keys, addresses, discovery_policy, issuer_resolver))
        demands = Demands(settled(audience), accept_any_audience, subject, required, trusted, parties, claims_validator)
        limits = Limits(kind, settled(algorithms), leeway, max_token_age, max_token_size)
        means = Means(engine, cache_tokens, cache_tokens_max_age, http_client, status_lists)
        self._build(sources, demands, limits, means, self._caches(stores, store), _marks(store, revocations_silent_for))

    def _own(self, given: Sources) -> Sources:
        keys = given.keys
        #: Where the keys of the one issuer are, if that is a file.
        self._key_file: os.PathLike[str] | None = keys if isinstance(keys, os.PathLike) else None
        # What the caller changes later changes nothing here: not the policy, nor what another process builds from it.
        policy = None if given.discovery_policy is None else replace(given.discovery_policy)
        self._keys: KeySet | None = None if keys is None else key_set_of(keys)
        return given._replace(keys=self._keys, discovery_policy=policy)

    def _status_lists(self, policy: StatusListPolicy | None) -> StatusLists | None:
        if policy is None:
            return None
        from ._core.validation.status_list import StatusListPolicy
        from ._core.validation.status_lists import StatusLists

        if not isinstance(policy, StatusListPolicy):
            raise must_be("status_lists", "a StatusListPolicy", type(policy).__name__)
        stores = self._stores
        return StatusLists(policy, _verify_list, stores.settings, stores.name, stores.shared)

    def _caches(self, stores: Stores | None, store: AnyStore | None) -> Stores:
        caches = stores if stores is not None else self._default_stores()
        return caches if store is None else Stores(caches.name, caches.settings, store)

    def _build(
        self,
        sources: Sources,
        demands: Demands,
        limits: Limits,
        means: Means,
        stores: Stores,
        revocations: Revocations | None,
    ) -> None:
        #: What another process needs to build the same validator.
        self._given: dict[str, Any] = arguments(sources, demands, limits, means)
        self._stores = stores.carried_by(carrier_of(means.http_client)).own()
        self._http_client: Transport | None = means.http_client
        self._engine = _engine_of(means.engine)
        self._options = build_options(demands, limits, symmetric=sources.symmetric)
        self._validator = Validator(self._options, self._engine)
        build = Trusting(
            self._options,
            self._engine,
            self._stores,
            demands.accept_any_audience,
            sources.discovery_policy,
            self._keys,
            self._key_file,
        )
        self._validator.add_issuers(sources.issuers(), sources.issuer_resolver, build)
        self._validator.statuses = self._status_lists(means.status_lists)
        self._validator.revocations = revocations
        self._cache = self._token_cache(means.cache_tokens, means.cache_tokens_max_age)
        self._warm: Warm = self._validator.warm if self._cache is None else self._cache.warm

    def _token_cache(self, size: int | None, max_age: float) -> TokenCache | None:
        if size is None:
            return None
        from ._core.validation.token_cache import build_token_cache

        return build_token_cache(self._validator, size, max_age)

    def _metered(self) -> Meter:
        """Return what counts validations; before the first call nothing does, and nothing is paid for it."""
        from ._core.validation.meter import Meter

        core = self._validator
        with _metering:
            if core.meter is None:
                core.meter = Meter(core.by_issuer, core.options.max_token, perf_counter)
                only = next(iter(core.by_issuer)) if core.only is not None else None
                self._warm = core.meter.counted(self._warm, only, asks=core.asks)
            return core.meter

    def cache_info(self) -> TokenCacheInfo:
        """Return how often the token cache knew a token, and how many it holds; all zero without ``cache_tokens``."""
        from ._core.validation.token_cache import TokenCacheInfo

        return TokenCacheInfo() if self._cache is None else self._cache.info()

    def cache_clear(self) -> None:
        """Forget all remembered tokens. The keys stay."""
        if self._cache is not None:
            self._cache.clear()

    @explains_arguments
    def invalidate(
        self,
        token: str | None = None,
        *,
        iss: str | None = None,
        sub: str | None = None,
        sid: str | None = None,
        jti: str | None = None,
    ) -> int:
        """Forget a remembered token, or all that have these claims: after a revocation or a logout (RFC 7009).

        The next time it is verified from its first character on. That alone does not refuse it, as its signature stays
        good until it expires: :meth:`revoke` does that, or a ``claims_validator``, or introspection.

        Args:
            token: The token.
            iss: The issuer of the tokens.
            sub: The user whose tokens they are.
            sid: The session they belong to (OpenID Connect Back-Channel Logout 2.4).
            jti: The identifier of the token.

        Returns:
            How many were forgotten; 0 without ``cache_tokens``.

        Raises:
            ConfigurationException: Neither a token nor a claim is given, or both are.
        """
        from ._core.validation.token_cache import TokenCache

        cache = self._cache if self._cache is not None else TokenCache(self._validator, 1)
        return cache.invalidate(token, iss=iss, sub=sub, sid=sid, jti=jti)

    def revoking(self, what: Revoked, lifetime: float) -> Flow[None]:
        """Return the flow of :meth:`revoke`, for those that learn of revocations from others."""
        from ._core.validation.revocations import Revocations

        if self._validator.revocations is None:
            self._validator.revocations = Revocations(None)
        return self._validator.revocations.revoke(what, lifetime)

    def refusing_revoked(self, claims: Mapping[str, Any]) -> Flow[None]:
        """Return the flow that refuses claims which a mark matches, for those that learn of tokens in other ways."""
        revocations = self._validator.revocations
        if revocations is not None:
            yield from revocations.refresh()
            revocations.check(claims, (yield from now()).wall)

    def _revoking(
        self,
        token: str | None,
        jti: str | None,
        sid: str | None,
        sub: str | None,
        iss: str | None,
        before: float | None,
        lifetime: float,
    ) -> Flow[None]:
        from ._core.base.store import MAX_LIFETIME
        from ._core.validation.revocations import revoked, revoked_token

        seconds = bounded(lifetime, "lifetime", float, 1, MAX_LIFETIME, unit="seconds")
        if token is None:
            yield from self.revoking(revoked(jti, sid, sub, iss, before), seconds)
            return
        if any(value is not None for value in (jti, sid, sub, iss, before)):
            raise must_be("token", "given alone: it has the claims")
        try:
            claims = yield from self._validator.examine(token)
        except TokenValidationException as error:
            if error.code in ("token_expired", "token_revoked"):
                return  # it is refused already
            raise
        yield from self.revoking(revoked_token(claims), max(1.0, claims["exp"] - (yield from now()).wall + MAX_LEEWAY))

    def _at_once(self, token: str) -> Claims | None:
        """Return the claims of a token whose like was seen before; None sends it through ``validate``.

        Raises:
            TokenValidationException: The signature is good, a claim is not.
        """
        validator = self._validator
        return self._warm(token, time(), monotonic()) if validator.plain and not validator.asks else None

    def _batch(self, offload: Offload | None, kind: Any, most: int | None = None) -> Batch:
        from ._core.validation.batch import Batch

        return Batch(self._validator, offload, threads(most), kind)

    def _expectation(self, **expected: Unpack[ExpectedIdToken]) -> IdTokenExpectation:
        return expectation_of(self._options, expected)

    def _warming(self) -> Flow[None]:
        failed: NetworkException | None = None
        for trusted in (one for issuer in self._validator.static_issuers() for one in issuer.sets):
            try:
                trusted.take((yield from trusted.source.current()))
            except NetworkException as error:  # the others are fetched all the same
                failed = failed or error
        if failed is not None:
            raise failed

    def _exporting(self, key: bytes | Sequence[bytes]) -> Flow[bytes]:
        from ._core.discovery.key_snapshot import Document, Snapshot, check_keys, seal_snapshot

        check_keys(key)
        documents: list[Document] = []
        for source in self._remote_keys():
            documents += yield from source.ask_anew()
        return seal_snapshot(Snapshot((yield from now()).wall, documents), key)

    def _remote_keys(self) -> list[RemoteKeys]:
        from ._core.discovery.key_sources import RemoteKeys

        sources = [one.source for trusted in list(self._validator.by_issuer.values()) for one in trusted.sets]
        return [source for source in sources if isinstance(source, RemoteKeys)]

    def _importing(self, data: bytes, key: bytes | Sequence[bytes], max_age: float) -> Flow[int]:
        from ._core.discovery.key_snapshot import open_snapshot

        longest = bounded(max_age, "max_age", float, 0, 366 * 86400, unit="seconds")
        found = open_snapshot(data, key).usable((yield from now()).wall, longest)
        self._stores.snapshot = {**self._stores.snapshot, **found}
        return len(found)

    def _health(self, steady: float) -> ValidatorHealth:
        from ._validator_health import ValidatorHealth

        issuers = dict(self._validator.by_issuer)
        reports = (_report(issuer, one, steady) for issuer, trusted in issuers.items() for one in trusted.sets)
        revocations, store = self._validator.revocations, self._stores.shared
        return ValidatorHealth(
            self._engine.name,
            tuple(reports),
            None if store is None else self._store_health(store, steady),
            None if revocations is None else revocations.health(steady),
            self._engine.multibuffer,
        )

    def _store_health(self, store: AnyStore, steady: float) -> StoreHealth:
        from ._core.base.store_records import circuit_of, record_of

        revocations = self._validator.revocations
        refuses_in = None if revocations is None else revocations.refuses_in(steady)
        return record_of(store).health(steady, circuit_of(store), refuses_in)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the configuration, and the keys while they are fresh: the copy has nothing to fetch.

        Static keys are carried without their private members; a validator with a shared secret is not pickled. Caches
        and the store are not carried; what is revoked is, as of now. The ``claims_validator``, resolver and
        ``http_client`` have to be such that can be pickled.
        """
        given = dict(self._given)
        if not isinstance(given["issuer"], str | None):
            given["issuer"] = [_without_secrets(one) for one in issuers_of(given["issuer"])]
        steady = monotonic()
        if given["key_sets"] is not None:
            given["key_sets"] = [_without_secrets(one) for one in given["key_sets"]]
        carried = [source.carried(steady) for source in self._remote_keys()]
        revocations = self._validator.revocations
        marks = () if revocations is None else revocations.marks()
        return _restored, (type(self), given, [one for one in carried if one is not None], time(), marks)

    def __repr__(self) -> str:
        issuers = ", ".join(printable(issuer) for issuer in list(self._validator.by_issuer)[:3])
        return f"{type(self).__name__}({issuers}, kind={self._options.kind.name!r}, engine={self._engine.name!r})"


def _verify_list(options: Options, signer: IssuerTrust, token: str) -> Flow[dict[str, Any]]:
    return (yield from Validator.of_issuer(options, signer.engine, signer).examine(token))


def _restored(
    kind: Callable[..., TokenValidatorBase[Any]],
    given: dict[str, Any],
    carried: Iterable[Carried],
    pickled_at: float,
    marks: Marks = (),
) -> TokenValidatorBase[Any]:
    """Return the validator that was pickled, its keys as old as they have become."""
    from ._core.discovery.key_sources import receive
    from ._core.validation.revocations import Revocations

    validator = kind(**given)
    if marks:
        validator._validator.revocations = Revocations(None, marks=marks)
    for one in carried:
        receive(validator._stores, one, time() - pickled_at, monotonic())
    return validator


def expectation_of(options: Options, expected: ExpectedIdToken) -> IdTokenExpectation:
    """Return what is expected of an ID token.

    Raises:
        ConfigurationException: Tokens of another kind are validated.
    """
    given: dict[str, Any] = {name: value for name, value in expected.items() if value is not None}
    if not given:
        return NOTHING_EXPECTED
    if options.kind is not ID_TOKEN:
        raise ConfigurationException(
            f"{next(iter(given))} belongs to ID tokens, this validator takes another kind",
            code="policy_invalid",
            claim=next(iter(given)),
            hint='TokenValidator(..., kind="id_token")',
        )
    return IdTokenExpectation(**given)


def _marks(store: AnyStore | None, silent_for: float) -> Revocations | None:
    longest = bounded(silent_for, "revocations_silent_for", float, 0, 86400, unit="seconds")
    if store is None:
        return None
    from ._core.validation.revocations import Revocations

    return Revocations(store, longest)


def _report(issuer: str, trusted: IssuerTrust, steady: float) -> IssuerHealth:
    return replace(trusted.source.health(issuer, steady), key_set=trusted.name)


def _without_secrets(source: Any) -> Any:
    """Return an issuer, or one of its key sets, with nothing but public keys."""
    if isinstance(source, TrustedIssuer) and source.key_sets is not None:
        return replace(source, key_sets=[_without_secrets(one) for one in source.key_sets])
    if isinstance(source, TrustedIssuer | IssuerKeySet) and source.keys is not None:
        return replace(source, keys=key_set_of(source.keys))
    return source


__all__ = ["TokenValidatorBase", "default_engine", "expectation_of"]
