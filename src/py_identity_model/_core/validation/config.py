"""The published configuration of ``validate_token``, and how it is compiled: once, and again when it was changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ...exceptions import ConfigurationException
from ...observability import emit
from ..base.fork_lock import Guard
from ..base.secret import refuse_to_pickle
from ..discovery.trust import KeySource, StaticKeys, Stores
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS, SignatureAlgorithm
from ..jose.jwk import JsonWebKey
from ..jose.jws import MAX_TOKEN
from ..jose.key_set import KeySet, holds_secret
from .claim_checks import audience_policy, names, seconds
from .engine import Engine
from .issuer_trust import IssuerTrust
from .issuers import IssuerTemplate
from .options import PublishedOptions, read_options
from .token_kinds import Kind
from .validator import Validator
from .validator_options import Options, algorithm_policy

if TYPE_CHECKING:
    from ..discovery.metadata import DiscoveryPolicy
    from .application_rules import ClaimsValidator
    from .meter import Meter


@dataclass
class TokenValidationConfig:
    """What ``validate_token`` checks. Build it once; it is compiled at its first use and may be shared by threads.

    Attributes:
        perform_disco: Fetch the issuer's metadata and keys (True), or use ``key`` (False).
        key: A JWK, as a dict or a :class:`JsonWebKey`; required without discovery.
        audience: Who we are: ``aud`` must name it. A list accepts any of its members.
        algorithms: Accepted signature algorithms; by default the asymmetric ones that fit the key.
        issuer: The accepted ``iss``, or several; by default the issuer that the metadata names.
        subject: The one accepted ``sub``.
        options: ``verify_aud`` and ``verify_iss`` may be False; ``require`` lists claims that must be present, as does
            ``require_<claim>``; ``strict_aud`` demands an ``aud`` that is no list; ``leeway`` as below.
        claims_validator: Called with the claims of a valid token; raises to refuse. May be async in ``aio``.
        require_https: Refuse plain http; loopback addresses are always accepted.
        leeway: Seconds of clock difference for all times; by default 0 for ``exp``, 10 for ``nbf`` and ``iat``.
        allowed_issuers: A further bound on the issuers.
        discovery_policy: What the metadata may look like.
        backchannel: Where the provider is reached from here, if not at its public addresses: ``http://keycloak:8080``.
        issuer_template: The accepted issuers in place of ``issuer``, where tenants of a provider share metadata that
            names a template, as Microsoft Entra's do. Only the template itself, what is ``allowed``, and ``claim``.

    >>> TokenValidationConfig(perform_disco=True, audience="api").audience
    'api'
    """

    perform_disco: bool
    key: dict[str, Any] | JsonWebKey | None = field(default=None, repr=False)
    audience: str | Sequence[str] | None = None
    algorithms: Sequence[SignatureAlgorithm] | None = None
    issuer: str | list[str] | None = None
    subject: str | None = None
    options: dict[str, Any] | None = None
    claims_validator: ClaimsValidator | Callable[[dict[str, Any]], object] | None = None
    require_https: bool = True
    leeway: float | None = None
    allowed_issuers: list[str] | None = None
    discovery_policy: DiscoveryPolicy | None = None
    backchannel: str | None = field(default=None, kw_only=True)
    issuer_template: IssuerTemplate | None = field(default=None, kw_only=True)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        object.__setattr__(self, "_compiled", {})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_compiled", "_meter")}

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if holds_secret(self.key):
            refuse_to_pickle(self, "key")
        return super().__reduce_ex__(protocol)

    def __copy__(self) -> TokenValidationConfig:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenValidationConfig:
        return replace(self, **{f.name: deepcopy(getattr(self, f.name), memo) for f in fields(self)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _compiled={})


#: Returns the validator of one API for a configuration, the issuer's address and a kind of token.
Validators = Callable[[TokenValidationConfig, str | None, Kind], Validator]

#: A validator, and the mutable values it was compiled from beside copies of what they were before.
_Compiled = tuple[Validator, tuple[tuple[Any, Any], ...]]
#: Validators kept for one configuration: addresses may come from requests.
_MOST_COMPILED = 1024
_metering = Guard()


def validator_for(
    config: TokenValidationConfig,
    address: str | None,
    kind: Kind,
    stores: Callable[[], Stores],
    engine: Callable[[], Engine],
    api: str,
    carrier: Hashable = None,
) -> Validator:
    """Return the validator for *config* and *address*, compiled the first time and whenever a value was changed.

    Raises:
        ConfigurationException: The configuration cannot be used safely.
    """
    try:
        compiled: dict[Any, _Compiled] = config._compiled  # type: ignore[attr-defined]
    except AttributeError:
        raise ConfigurationException(
            f"Expected a TokenValidationConfig, got {type(config).__name__}", code="policy_invalid", claim="config"
        ) from None
    if address is not None and not isinstance(address, str):
        raise must_be("disco_doc_address", "the issuer URL or its /.well-known/... URL", address)
    key = (api, address, kind.name, carrier)
    found = compiled.get(key)
    if found is not None:
        validator, watched = found
        if validator.options.kind is kind and (not watched or all(live == before for live, before in watched)):
            return validator
    made = _compiled_anew(config, address, kind, stores().carried_by(carrier), engine())
    meter = config.__dict__.get("_meter")
    if meter is not None:
        made[0].count(meter)
    if len(compiled) >= _MOST_COMPILED:
        compiled.clear()
    # Into the dict that was there at the start: an assignment since then has put another in its place, and this one,
    # compiled from values that are no longer those of the configuration, is nobody's any more.
    compiled[key] = made
    return made[0]


@explains_arguments
def _compiled_anew(
    config: TokenValidationConfig, address: str | None, kind: Kind, stores: Stores, engine: Engine
) -> _Compiled:
    # Copied before they are read: what changes meanwhile differs from its copy the next time.
    watched = _watched(config)
    return _compile(config, address, kind, stores, engine), watched


def metered(config: TokenValidationConfig, clock: Callable[[], float]) -> Meter:
    """Return what counts the validations under *config*; before the first call nothing does.

    A copy of the configuration is counted on its own, if anybody asks.
    """
    from .meter import Meter  # nothing counts before it is asked for

    with _metering:
        meter: Meter | None = config.__dict__.get("_meter")
        if meter is None:
            meter = Meter(_Accepted(config), MAX_TOKEN, clock)
            config.__dict__["_meter"] = meter
            object.__setattr__(config, "_compiled", {})  # what was compiled before counts nothing
        return meter


class _Accepted:
    """The issuers that a configuration names."""

    def __init__(self, config: TokenValidationConfig) -> None:
        self._config = config

    def __contains__(self, issuer: object) -> bool:
        named = (self._config.issuer, self._config.allowed_issuers)
        return any(issuer == one if isinstance(one, str) else issuer in (one or ()) for one in named)


def _watched(config: TokenValidationConfig) -> tuple[tuple[Any, Any], ...]:
    """Return the values that can change in place, each beside a copy."""
    values = (
        config.key,
        config.audience,
        config.algorithms,
        config.issuer,
        config.options,
        config.allowed_issuers,
        config.discovery_policy,
    )
    mutable = (list, dict, set, JsonWebKey, type(config.discovery_policy))
    # The outer container first, in one step, so that a thread that changes it does not disturb the deep copy.
    return tuple((value, deepcopy(copy(value))) for value in values if isinstance(value, mutable))


def _compile(
    config: TokenValidationConfig, address: str | None, kind: Kind, stores: Stores, engine: Engine
) -> Validator:
    said = read_options(config.options)
    leeway = said.leeway if config.leeway is None else seconds(config.leeway, "leeway")
    template = _template(config, said)
    symmetric, source = _source(config, address, stores)
    options = Options(
        kind=kind,
        audience=_audience(config, said),
        algorithms=algorithm_policy(config.algorithms, symmetric=symmetric),
        leeway=leeway,
        subject=None if config.subject is None else names(config.subject, "subject")[0],
        required=said.required,
        check_issuer=said.check_issuer,
        one_audience=said.one_audience,
        claims_validator=_callable(config.claims_validator),
    )

    def trust(issuers: frozenset[str] | None) -> IssuerTrust:
        return IssuerTrust(source, options.policy(None), options.algorithms, engine, issuers)

    if template is None:
        return Validator.of_issuer(options, engine, trust(_issuers(config, said)))
    validator = Validator(options, engine)
    validator.add_issuers([template], None, lambda tenant: trust(frozenset((tenant.issuer,))))
    return validator


def _template(config: TokenValidationConfig, said: PublishedOptions) -> IssuerTemplate | None:
    template = config.issuer_template
    if template is None:
        return None
    if not isinstance(template, IssuerTemplate):
        raise must_be("issuer_template", "an IssuerTemplate", type(template).__name__)
    template.check_alone()
    for name in ("issuer", "allowed_issuers"):
        if getattr(config, name) is not None:
            raise must_be(name, "left out: issuer_template says which issuers are accepted", "given")
    if not said.check_issuer:
        raise must_be("verify_iss", "True: issuer_template says which issuers are accepted", False)
    return template


def _source(config: TokenValidationConfig, address: str | None, stores: Stores) -> tuple[bool, KeySource]:
    if not isinstance(config.perform_disco, bool):
        raise must_be("perform_disco", "True or False", config.perform_disco)
    if config.perform_disco:
        if not isinstance(address, str) or not address:
            raise ConfigurationException(
                "perform_disco=True needs the issuer's address",
                code="policy_invalid",
                claim="disco_doc_address",
                expected="the issuer URL or its /.well-known/... URL",
            )
        from ..discovery.fetch import issuers_of  # given keys need none of it
        from ..discovery.key_sources import Address, RemoteKeys

        policy = discovery_policy(config)
        # The application named both: the address, and the issuer whose metadata it expects there.
        issuer = config.issuer if config.issuer_template is None else config.issuer_template.template
        named = () if issuer is None else (*issuers_of(address), *names(issuer, "issuer"))
        return False, RemoteKeys(stores, Address(discovery=address, policy=policy, issuers=named))
    if not config.key:
        raise ConfigurationException(
            "perform_disco=False needs a key", code="policy_invalid", claim="key", expected="a JWK"
        )
    key_set = KeySet.from_keys(config.key)
    symmetric = key_set.symmetric
    return symmetric, StaticKeys(key_set, SYMMETRIC_ALGORITHMS if symmetric else ASYMMETRIC_ALGORITHMS)


def discovery_policy(config: TokenValidationConfig) -> DiscoveryPolicy:
    """Return the discovery policy of a configuration; plain http is told of as an event."""
    from ..discovery.metadata import DiscoveryPolicy, with_backchannel  # given keys have none

    policy = replace(config.discovery_policy) if config.discovery_policy is not None else DiscoveryPolicy()
    if config.require_https:
        return with_backchannel(policy, config.backchannel)
    emit("insecure_http_allowed", 30, setting="require_https")
    return with_backchannel(replace(policy, require_https=False), config.backchannel)


def _audience(config: TokenValidationConfig, said: PublishedOptions) -> frozenset[str] | None:
    if not said.check_audience:
        return None
    if config.audience is None:
        raise ConfigurationException(
            "An audience is needed: tokens made for others must be refused",
            code="policy_invalid",
            claim="audience",
            expected="the name of this API or client",
            hint='options={"verify_aud": False} gives the check up by name',
        )
    return audience_policy(config.audience)


def _issuers(config: TokenValidationConfig, said: PublishedOptions) -> frozenset[str] | None:
    bounds = [
        frozenset(names(value, name))
        for name, value in (("issuer", config.issuer), ("allowed_issuers", config.allowed_issuers))
        if value is not None
    ]
    if not bounds:
        if not config.perform_disco and said.check_issuer:
            raise ConfigurationException(
                "An issuer is needed where there is no discovery",
                code="policy_invalid",
                claim="issuer",
                expected="the value of iss",
                hint='options={"verify_iss": False} gives the check up by name',
            )
        return None
    accepted = frozenset.intersection(*bounds)
    if not accepted:
        raise ConfigurationException(
            "issuer and allowed_issuers have no member in common", code="policy_invalid", claim="allowed_issuers"
        )
    return accepted


def _callable(validator: Any) -> ClaimsValidator | None:
    if validator is not None and not callable(validator):
        raise must_be("claims_validator", "a callable", validator)
    return cast("ClaimsValidator | None", validator)


__all__ = ["TokenValidationConfig", "Validators", "discovery_policy", "metered", "validator_for"]
