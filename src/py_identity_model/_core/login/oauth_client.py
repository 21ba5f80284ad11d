"""A client whose tokens are simply there: what both APIs share of it.

Everything here is a flow or waits for nothing. Tokens are kept and renewed by :mod:`..client.token_manager`; logins end
with their tokens in the store, where the manager finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Generic, Literal, TypeVar

from ..._arguments import checks_arguments
from ..._refusals import bounded, must_be
from ...exceptions import ConfigurationException, StoreException
from ...settings import Settings
from ..base.codec import Codec
from ..base.flow import Clock, Flow, now
from ..base.header_lists import words
from ..base.scopes import Scopes, optional_scope, scope_text
from ..base.secret import CurrentSecret, Unpicklable
from ..base.store import MAX_LIFETIME, AnyStore, ask, digest_of, pack
from ..binding.dpop_client import DPOP_ALGORITHMS, DPoPKey
from ..client.client_auth import ClientAttestation, MtlsClientAuth, PrivateKeyJwt
from ..client.held_tokens import (
    CLIENT_CREDENTIALS,
    ENTRIES,
    LOGIN,
    TOPIC,
    AccessToken,
    Asking,
    Held,
    kept,
    kept_claims,
)
from ..client.identity_tokens import CurrentToken, IdentityTokenSource
from ..client.token_errors import TokenUnavailable
from ..client.token_manager import AtHand, Slot, TokenManager, token_from
from ..client.token_renewal import Renewal, login_required
from ..client.workload_identity import WorkloadIdentity, as_identity
from ..discovery.metadata import DiscoveryPolicy
from ..resource.calls import permitted_origins
from .client import LoginClient, LoginServices, provider_metadata
from .fapi import FAPI2LoginClient, FAPI2Profile
from .oauth_exchange import by_exchange, checked_grant
from .oauth_grants import (
    WORKLOAD,
    Wants,
    asking_of,
    by_client_credentials,
    by_refresh_token,
    has_credential,
    login_name,
)
from .oauth_identity import NamelessClient, by_identity
from .response import LoginResponse

Transport = TypeVar("Transport")

#: Seconds that a renewal may take, unless told otherwise.
RENEWAL_SECONDS = 10.0
#: Times that one auth object asks for more scope of its own accord.
MAX_STEP_UPS = 8
_FAPI2 = "fapi2"
#: A DPoP key: its algorithm, and itself.
_KEYS = Codec(tuple[str, str], TOPIC)


class TokenSource:
    """Tokens for one purpose. Threads and tasks may share it."""

    def __init__(self, client: OAuthClientBase[Any], wants: Wants) -> None:
        self._client = client
        self._wants = wants
        self._place: tuple[Slot, Renewal] | None = None
        self._step_ups = 0
        self.dpop_key: DPoPKey | None = None
        self.verb: str = client.login_verb

    def __repr__(self) -> str:
        return f"TokenSource({self._wants!r})"

    def current(self, clock: Clock) -> AccessToken | None:
        """Return the token if it is in memory and needs no renewal: without a lock, a flow or a wait."""
        place = self._place
        have: AtHand | None = None if place is None else place[0].at_hand
        return have.token if have is not None and have.is_fresh(clock) else None

    def token(self, refused: str | None = None) -> Flow[AccessToken]:
        """Return a token; another one than *refused*.

        Raises:
            LoginRequired: There is no login, or it is over.
            TokenUnavailable: The provider, or the store, is away.
            PyIdentityModelException: Whatever else the provider refused the request for.
        """
        slot, renewal = self._place or (yield from self._found())
        return (yield from token_from(self._client._manager, slot, renewal, refused))

    def _found(self) -> Flow[tuple[Slot, Renewal]]:
        client = yield from self._client._prepared()
        asking = self._client._asking(client, self._wants)
        self.dpop_key = client.dpop_key
        self._place = self._client._manager.slot(asking), self._client._renewal(client, asking, self._wants)
        return self._place

    def widen(self, scope: tuple[str, ...]) -> Flow[bool]:
        """Ask for *scope* from now on, if the grant allows that at once: its own, or a login that grants it."""
        place = self._place
        if place is None or self._step_ups >= MAX_STEP_UPS or set(scope) <= set(self._asked()):
            return False
        asking = place[0].asking
        if asking.grant == LOGIN and not set(scope) <= (yield from self._granted(asking)):
            return False
        if self._wants.on_behalf_of is not None:
            return False
        self._step_ups += 1
        self._wants = self._wants._replace(scope=" ".join(scope))
        yield from self._found()
        return True

    def _asked(self) -> list[str]:
        text = optional_scope(self._wants.scope)
        return [] if text is None else list(words(text))

    def _granted(self, asking: Asking) -> Flow[set[str]]:
        held = yield from self._client._held(asking)
        return set(words((held.scope if held else None) or ""))


class OAuthClientBase(Unpicklable, Generic[Transport]):
    """The part of an ``OAuthClient`` that waits for nothing, and its flows."""

    #: The client with its DPoP key, once that is known.
    _ready: LoginClient | None = None

    def _services(self) -> LoginServices:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    @staticmethod
    def _settings() -> Settings:
        raise NotImplementedError  # as above

    @staticmethod
    def _own_store() -> AnyStore:
        raise NotImplementedError  # as above

    @checks_arguments
    def __init__(
        self,
        issuer: str | LoginClient,
        *,
        client_id: str | None = None,
        client_secret: CurrentSecret | None = None,
        private_key_jwt: PrivateKeyJwt | None = None,
        mtls: MtlsClientAuth | None = None,
        client_assertion: CurrentToken | None = None,
        identity: WorkloadIdentity | IdentityTokenSource | None = None,
        attestation: ClientAttestation | None = None,
        redirect_uri: str | None = None,
        scope: Scopes = "openid",
        dpop: bool | DPoPKey = False,
        profile: str | FAPI2Profile | None = None,
        backchannel: str | None = None,
        store: AnyStore | None = None,
        http_client: Transport | None = None,
        renewal_timeout: float = RENEWAL_SECONDS,
        max_tokens: int = 4096,
        on_behalf_of_grant: Literal["token_exchange", "jwt_bearer"] | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        """Describe a client once; its tokens are then there, renewed and kept.

        Args:
            issuer: The provider's issuer identifier; or a :class:`LoginClient`, where something is special about the
                client. Then nothing but ``dpop``, ``store``, ``http_client`` and the limits is given here.
            client_id: The client.
            client_secret: Its secret, or a function that returns it.
            private_key_jwt: Its private key.
            mtls: Its certificate.
            client_assertion: A ready-made JWT that authenticates it, or what gives one: a source such as
                :class:`KubernetesToken`, or a function.
            identity: What tokens are asked for with, where a platform says who this workload is: a source such as
                :class:`GitHubActions`, or how it is used. Without a *client_id* no client is named.
            attestation: Makes its attestation and the proof.
            redirect_uri: Where users come back to; a loopback login needs none.
            scope: The scopes of a login.
            dpop: Whether tokens are bound to a key (RFC 9449), which is then made and kept in the store; or that key.
            profile: ``"fapi2"``, or a :class:`FAPI2Profile`: the rules that are enforced.
            backchannel: Where the provider is reached from here, if not at its public addresses.
            store: Where tokens are kept, and shared by processes; by default the memory of this client.
            http_client: The transport to the provider; by default the client of this API.
            renewal_timeout: Seconds that one renewal may take.
            max_tokens: Tokens in memory at most; the others wait in the store.
            on_behalf_of_grant: How a token that came in becomes one of this client's own: ``"token_exchange"``
                (RFC 8693), or ``"jwt_bearer"`` (RFC 7523 2.1), as with Microsoft Entra; by default what the provider's
                metadata offers, and where it does not tell, token exchange.
            allow_insecure_http: Whether secrets and tokens may travel over plain http to another machine: whether
                *issuer* and *backchannel* may be http.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        options: dict[str, Any] = {
            "client_id": client_id,
            "client_secret": client_secret,
            "private_key_jwt": private_key_jwt,
            "mtls": mtls,
            "client_assertion": client_assertion,
            "attestation": attestation,
            "redirect_uri": redirect_uri,
            "scope": scope_text(scope),
            "backchannel": backchannel,
            "allow_insecure_http": allow_insecure_http,
        }
        self._wants_key, self._http_client, self._identity = dpop is True, http_client, as_identity(identity)
        nameless = self._identity is not None and client_id is None and isinstance(issuer, str)
        self._client = (_nameless if nameless else _described)(issuer, options, dpop, profile)
        self._exchange_by = checked_grant(on_behalf_of_grant)
        self._set_up(store, renewal_timeout, max_tokens)

    def _set_up(self, store: AnyStore | None, seconds: float, max_tokens: int) -> None:
        self._store: AnyStore = self._own_store() if store is None else store
        self._seconds: float = bounded(seconds, "renewal_timeout", float, 0.1, 300, unit="seconds")
        self._manager = TokenManager(bounded(max_tokens, "max_tokens", int, 1))
        # Two pods may see one path and be different workloads: what came of a platform's token is not shared.
        self._of_this_workload: AnyStore = self._own_store()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.issuer!r}, client_id={self._client.client_id!r})"

    @property
    def login_verb(self) -> str:
        """The verb that brings a login, as far as it is known."""
        return "begin_login" if self._client.redirect_uri is not None else "loopback_login"

    # ---- what comes before everything else

    def _prepared(self) -> Flow[LoginClient]:
        """Return the client with its DPoP key.

        Raises:
            ConfigurationException: The store takes no tokens as they are.
            TokenUnavailable: The key lies in the store, which is away.
        """
        if self._ready is not None:
            return self._ready
        yield from self._probe()
        client = self._client
        if self._wants_key:
            try:
                client = replace(client, dpop_key=(yield from self._key()))
            except StoreException as error:
                raise TokenUnavailable(
                    "The DPoP key cannot be read: the store is away", code=error.code, retry_after=error.retry_after
                ) from error
        self._ready = client
        return client

    def _probe(self) -> Flow[None]:
        """Have a store that would not keep tokens say so before there are any."""
        try:
            yield from ask(self._store, lambda store: store.put(TOPIC, digest_of("probe"), pack(b""), 1.0))
        except StoreException:
            pass  # that it is away is told where it matters

    def _key(self) -> Flow[DPoPKey]:
        """Return the key that all processes of this client share."""
        name = digest_of("dpop key", self._client.issuer, self._client.client_id)
        found = yield from self._kept_key(name)
        if found is not None:
            return found
        made = DPoPKey((yield from self._key_algorithm()))  # type: ignore[arg-type] # one of DPOP_ALGORITHMS
        pem = (made.private_key_pem or b"").decode()
        value = _KEYS.encoded((made.algorithm, pem))
        yield from ask(self._store, lambda store: store.add(TOPIC, name, value, MAX_LIFETIME))
        return (yield from self._kept_key(name)) or made  # of several processes, one made it

    def _kept_key(self, name: str) -> Flow[DPoPKey | None]:
        kept = _KEYS.decoded((yield from ask(self._store, lambda store: store.get(TOPIC, name))))
        if kept is None:
            return None
        algorithm, pem = kept
        return DPoPKey.from_pem(pem, algorithm)  # type: ignore[arg-type] # one of DPOP_ALGORITHMS

    def _key_algorithm(self) -> Flow[str]:
        metadata = yield from provider_metadata(self._client, self._services())
        offered = metadata.dpop_signing_alg_values_supported
        preferred = ("ES256", *DPOP_ALGORITHMS)
        return next((alg for alg in preferred if offered is None or alg in offered), "ES256")

    # ---- tokens

    def _defaulted(self, wants: Wants) -> Wants:
        """Return *wants*, of this workload if they are of nobody else."""
        nobody = wants.subject is None and wants.on_behalf_of is None and wants.identity is None
        return wants._replace(identity=self._identity) if nobody else wants

    def _source(self, wants: Wants) -> TokenSource:
        """Return the tokens for one purpose.

        Raises:
            ConfigurationException: What is asked for cannot be sent.
        """
        self._asking(self._client, wants)  # refused now, not at the first request
        return TokenSource(self, wants)

    def _asking(self, client: LoginClient, wants: Wants) -> Asking:
        return asking_of(client, wants, self._exchange_by)

    def _permitted(self, wants: Wants, origins: Sequence[str] | None) -> frozenset[str]:
        """Return the origins that tokens for *wants* may be sent to.

        Raises:
            ConfigurationException: None is known.
        """
        resource = [wants.resource] if isinstance(wants.resource, str) else list(wants.resource or ())
        return permitted_origins(resource, origins, allow_insecure_http=self._client.allow_insecure_http)

    def _renewal(self, client: LoginClient, asking: Asking, wants: Wants) -> Renewal:
        """Return how a token is renewed."""
        services = self._services()
        if asking.grant == CLIENT_CREDENTIALS:
            how = by_client_credentials(client, wants, services, self._settings())
        elif asking.grant == LOGIN:
            how = by_refresh_token(client, wants, services)
        elif asking.grant == WORKLOAD:
            how = by_identity(client, wants, services)
        else:
            how = by_exchange(client, wants, services, self._exchange_by)

        def prepare() -> Flow[object]:
            if wants.identity is not None and wants.identity.token_endpoint is not None:
                return None
            return (yield from provider_metadata(client, services))

        return Renewal(
            self._store_of(asking), asking, how, prepare, self._seconds, self._manager.unsaved, self.login_verb
        )

    def _held(self, asking: Asking) -> Flow[Held | None]:
        """Return what the store has.

        Raises:
            StoreException: The store is away.
        """
        return ENTRIES.decoded((yield from ask(self._store_of(asking), lambda store: store.get(TOPIC, asking.entry))))

    def _store_of(self, asking: Asking) -> AnyStore:
        return self._of_this_workload if asking.grant == WORKLOAD else self._store

    # ---- logins

    def _subject_asking(self, client: LoginClient, subject: str | None, resource: Any = None) -> Asking:
        asking = self._asking(client, Wants(resource=resource or None, subject=subject))
        if asking.grant != LOGIN:
            raise must_be("subject", "given: a client with credentials may have many users", None)
        return asking

    def _keep_login(
        self, client: LoginClient, login: LoginResponse, subject: str | None, resource: Any, verb: str
    ) -> Flow[LoginResponse]:
        """Keep the tokens of a login under its subject, for all processes.

        Raises:
            StoreException: They cannot be kept.
        """
        if not login.is_successful or login.access_token is None:
            return login
        asking = self._subject_asking(client, subject, resource)
        clock = yield from now()
        token = kept(login, clock.wall)
        held = Held(
            {asking.token: token},
            login.refresh_token,
            kept_claims(login.claims),
            login.id_token_hint,
            login.scope,
            verb,
        )
        value, lifetime = ENTRIES.encoded(held), held.lifetime(clock.wall)
        yield from ask(self._store_of(asking), lambda store: store.put(TOPIC, asking.entry, value, lifetime))
        self._manager.forget(asking.entry)
        self._manager.put(self._manager.slot(asking), token, clock)
        return login

    def _named(self, login: LoginResponse, subject: str | None, *, alone: bool = False) -> str | None:
        """Return whose login it was: as the caller says, else the ``sub``; None where a client has one user only."""
        if subject is not None or (alone and not has_credential(self._client)):
            return subject
        found = (login.claims or {}).get("sub") if login.is_successful else None
        return found if isinstance(found, str) else None

    def _check_credential(self) -> None:
        """Refuse to act in the client's own name where it cannot prove who it is (RFC 6749 4.4).

        Raises:
            ConfigurationException: It has no credential.
        """
        if not has_credential(self._client):
            raise must_be(
                "client_secret", "given, or another credential: a public client has no tokens of its own", None
            )

    def _check_named(self, subject: str | None, scope: Scopes | None, *, alone: bool = False) -> None:
        """Refuse a login that could not be kept under a name, before anything is sent.

        Raises:
            ConfigurationException: Neither *subject* nor an ID token would tell whose login it is.
        """
        login_name(subject)
        if isinstance(self._client, NamelessClient):
            raise must_be("client_id", "given: users log in to a client", None)
        asked = scope_text(self._client.scope if scope is None else scope)
        nameless = subject is None and "openid" not in words(asked)
        if nameless and not (alone and not has_credential(self._client)):
            raise must_be("subject", "given: without openid nothing tells whose login it is", None)

    def _forget(self, asking: Asking) -> Flow[Held | None]:
        """Take a login out of the store and out of memory; return what it was."""
        held = yield from self._held(asking)
        yield from ask(self._store, lambda store: store.delete(TOPIC, asking.entry))
        self._manager.forget(asking.entry)
        return held

    def _session(self, client: LoginClient, subject: str | None) -> Flow[Held]:
        """Return the login of *subject*.

        Raises:
            LoginRequired: There is none.
        """
        held = yield from self._held(self._subject_asking(client, subject))
        if held is None:
            raise login_required(None, self.login_verb)
        return held


def _described(
    issuer: str | LoginClient, options: Mapping[str, Any], dpop: bool | DPoPKey, profile: str | FAPI2Profile | None
) -> LoginClient:
    key = dpop if isinstance(dpop, DPoPKey) else None
    if not isinstance(dpop, bool | DPoPKey):
        raise must_be("dpop", "True, False or a DPoPKey", type(dpop).__name__)
    if isinstance(issuer, LoginClient):
        return _given(issuer, options, dpop, profile)
    if profile is None:
        loose = DiscoveryPolicy(require_https=False) if options["allow_insecure_http"] else None
        return LoginClient(issuer=issuer, dpop_key=key, discovery_policy=loose, **options)
    if profile != _FAPI2 and not isinstance(profile, FAPI2Profile):
        raise must_be("profile", "'fapi2' or a FAPI2Profile", profile)
    rules = FAPI2Profile() if isinstance(profile, str) else profile
    # A key that is made later is of the same kind: the rules are held against this one.
    checked = key or (DPoPKey() if dpop else None)
    return FAPI2LoginClient(profile=rules, issuer=issuer, dpop_key=checked, **options)


def _nameless(
    issuer: str | LoginClient, options: Mapping[str, Any], dpop: bool | DPoPKey, profile: str | FAPI2Profile | None
) -> LoginClient:
    """Return no client: what only a client has is refused."""
    extra = {name: value for name, value in options.items() if value is not None} if profile is None else {"profile": 1}
    for name in extra.keys() - {"scope", "backchannel", "allow_insecure_http"}:
        raise must_be("client_id", f"given beside {name}", None)
    made = _described(issuer, {**options, "client_id": "-"}, dpop, None)
    return NamelessClient(**{f.name: getattr(made, f.name) for f in fields(made) if f.init})


def _given(
    client: LoginClient, options: Mapping[str, Any], dpop: bool | DPoPKey, profile: str | FAPI2Profile | None
) -> LoginClient:
    twice = [
        name for name, value in options.items() if value not in (None, False) and (name, value) != ("scope", "openid")
    ]
    if profile is not None:
        twice.append("profile")
    if twice:
        raise ConfigurationException(
            f"{twice[0]} is said by the LoginClient already", code="policy_invalid", claim=twice[0]
        )
    if dpop is not False and client.dpop_key is not None:
        raise must_be("dpop", "left out: the LoginClient has a key")
    return replace(client, dpop_key=dpop) if isinstance(dpop, DPoPKey) else client


__all__ = ["MAX_STEP_UPS", "RENEWAL_SECONDS", "OAuthClientBase", "TokenSource"]
