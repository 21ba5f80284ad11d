"""A web login, as both APIs share it: its routes, its sessions, and what the application asks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import bounded, must_be
from ...exceptions import ConfigurationException, StoreException
from ..base.flow import Flow, now
from ..base.header_lists import words
from ..base.scopes import Scopes, scope_text
from ..base.store import AnyStore
from ..login.authorization import response_type_set
from ..login.begin import LONGEST_LIFETIME
from ..login.callback import FRAGMENT
from ..login.client import LoginClient, effective_response_mode
from ..login.oauth_client import OAuthClientBase
from .audit import Audit
from .bound_sessions import BoundSessions
from .cookies import Cookies, cookies_for
from .index import of_user
from .logging_in import LoggingIn
from .logging_out import LoggingOut
from .logins import SealedLogins, StoredLogins
from .messages import WebAnswer, WebRequest, json_answer
from .parts import OnLink, OnLogin, Parts, Provider, WebLoginPaths, callback_of
from .proxy import WebProxy
from .records import Held, Lifetimes, SessionInfo, new_id
from .sealed_sessions import SealedSessions
from .sealing import CookieSealer, Seal
from .session import SessionBase
from .session_tokens import SessionTokens
from .site import Site, site_of
from .stored_sessions import StoredSessions
from .visits import Demand, Visits

S = TypeVar("S", bound=SessionBase)
#: What ``http_client`` may be; each API has its own.
Transport = TypeVar("Transport")
#: The client of one provider, or those of several by the names that the application gives them.
WebLoginClients: TypeAlias = "LoginClient | OAuthClientBase[Any] | Mapping[str, LoginClient | OAuthClientBase[Any]]"

#: Seconds that a session lives without a request, and at most; and that a login may take.
IDLE_LIFETIME, ABSOLUTE_LIFETIME, LOGIN_LIFETIME = 2 * 3600.0, 12 * 3600.0, 600.0

_Route: TypeAlias = Callable[[WebRequest], Flow[WebAnswer]]


class WebLoginBase(Generic[S, Transport]):
    """The part of a ``WebLogin`` that waits for nothing, and its flows."""

    #: Whether a request is answered without an event loop.
    blocking: bool

    def _client_of(self, client: LoginClient | OAuthClientBase[Any], store: AnyStore | None) -> SessionTokens[Any]:
        raise NotImplementedError  # each API has its own, and nobody builds this part alone

    def _session_of(self, parts: Parts, held: Held) -> S:
        raise NotImplementedError  # as above

    #: Seals what a store keeps, each value under a key of its own, for so many seconds at most.
    _seal: Callable[[float], Seal]
    #: Seals what cookies keep.
    _sealer: Callable[[Any], CookieSealer]

    @checks_arguments
    def __init__(
        self,
        client: WebLoginClients,
        *,
        store: AnyStore | None = None,
        base_url: str,
        encryption_key: bytes | Sequence[bytes] | None = None,
        idle_lifetime: float = IDLE_LIFETIME,
        absolute_lifetime: float = ABSOLUTE_LIFETIME,
        login_lifetime: float = LOGIN_LIFETIME,
        paths: WebLoginPaths | None = None,
        home: str | None = None,
        titles: Mapping[str, str] | None = None,
        claims: Iterable[str] | None = None,
        on_login: OnLogin | None = None,
        on_link: OnLink | None = None,
        logout_by_form: bool = False,
        accept_logout_tokens_without_exp: bool = False,
        audit_subjects: bool = False,
        bind_to_device: bool = False,
        allow_insecure_http: bool = False,
        http_client: Transport | None = None,
    ) -> None:
        """Log people in.

        Args:
            client: The client of the provider; of several providers a mapping of names to clients. Where users come
                back to is said here, by *base_url*: ``{base_url}/callback``, with several
                ``{base_url}/callback/{name}``.
            store: Where sessions are, shared by all processes. Everything is sealed there, under keys that only
                browsers bring. None keeps sessions in sealed cookies: without tokens, and nobody but the browser ends
                them.
            base_url: Where browsers find the application: scheme, host, and the path below which it is mounted.
            encryption_key: 32 bytes, or several such keys, the newest first, for sessions in cookies.
            idle_lifetime: Seconds that a session lives without a request.
            absolute_lifetime: Seconds that it lives in any case.
            login_lifetime: Seconds that a login may take.
            paths: Where the routes are.
            home: The path that users come to where nothing better is known; by default that of *base_url*.
            titles: What users call the providers, by name.
            claims: The claims of the ID token that sessions keep; None for all. Those of the session itself stay.
            on_login: Called with the claims of each login; returns what the application calls the user, as JSON, or
                None to refuse. Find users by ``iss`` and ``sub``.
            on_link: Called with the claims of who is logged in, and of an identity at another provider that they have
                proven as well; returns what the application calls the user then, or None to refuse. A form with
                ``csrf_token`` and ``link``, the name of the provider, posted to the login, asks for it.
            logout_by_form: Whether a logout is posted to the provider, so that the ID token shows in no address.
            accept_logout_tokens_without_exp: Whether logout tokens of the provider may lack ``exp``, as those of Hydra
                do.
            audit_subjects: Whether events name users by their ``sub``.
            bind_to_device: Whether sessions are bound to a key of the browser where it has one (Device Bound Session
                Credentials): experimental, as the draft may change.
            allow_insecure_http: Whether *base_url* may be http on another machine than this one; the client has to
                allow it as well.
            http_client: The transport to the providers; by default that of the clients, which have to share one.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        lifetimes = _lifetimes(idle_lifetime, absolute_lifetime)
        taking = bounded(login_lifetime, "login_lifetime", float, 1, LONGEST_LIFETIME, unit="seconds")
        places = _places(paths or WebLoginPaths(), store)
        names = list(client) if isinstance(client, Mapping) else []
        site = _site(base_url, home, places, names, allow_insecure_http=allow_insecure_http)
        audit = Audit(with_subjects=audit_subjects)
        providers = tuple(self._providers(client, store, site, places, titles or {}, audit, lifetimes))
        self._http_client = _shared_transport(http_client, providers)
        cookies = cookies_for(base_url)
        sessions, logins = self._keeping(store, encryption_key, cookies, lifetimes, taking, providers)
        if bind_to_device:
            sessions = self._bound(store, cookies, lifetimes, audit, site, places)
        kept = None if claims is None else frozenset(claims) | _OWN_CLAIMS
        said = (on_login, on_link, kept, logout_by_form, accept_logout_tokens_without_exp)
        self._parts = Parts(site, places, cookies, sessions, logins, audit, providers, *said)
        self._visits, self._out = Visits(self._parts), LoggingOut(self._parts)
        self._routes: dict[str, tuple[tuple[str, ...], _Route]] = self._routed(LoggingIn(self._parts))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[one.issuer for one in self._parts.providers]})"

    # ---- how it is put together

    def _providers(
        self,
        client: WebLoginClients,
        store: AnyStore | None,
        site: Site,
        paths: WebLoginPaths,
        titles: Mapping[str, str],
        audit: Audit,
        lifetimes: Lifetimes,
    ) -> Iterable[Provider]:
        several = isinstance(client, Mapping)
        named = dict(client) if isinstance(client, Mapping) else {"": client}
        if not named or not all(_is_name(name) for name in named if several):
            raise must_be("client", "a client, or clients by short names such as 'google'", list(named))
        for name, given in named.items():
            back = callback_of(paths, name) if several else paths.callback
            made = self._client_of(given, store)
            made._client = _with_redirect(made._client, site.url(back))
            made.seal = None if store is None else self._seal(lifetimes.absolute)
            made.on_renewal = lambda entry, issuer=made._client.issuer: audit.renewed(issuer, entry)
            yield Provider(name, titles.get(name, name), made, back)

    def _keeping(
        self,
        store: AnyStore | None,
        key: bytes | Sequence[bytes] | None,
        cookies: Cookies,
        lifetimes: Lifetimes,
        taking: float,
        providers: tuple[Provider, ...],
    ) -> tuple[StoredSessions | SealedSessions, StoredLogins | SealedLogins]:
        site = "None" if any(one.posts for one in providers) else "Lax"
        if store is not None:
            if key is not None:
                raise must_be("encryption_key", "left out beside a store: each session is sealed under its own")
            seal = self._seal(lifetimes.absolute)
            return StoredSessions(store, seal, cookies, lifetimes), StoredLogins(store, seal, cookies, taking, site)
        if key is None:
            raise ConfigurationException(
                "Nobody says where sessions are kept",
                code="store_missing",
                claim="store",
                expected="a store, or an encryption_key for sessions in cookies",
                hint='store=SqliteStore("sessions.db")',
            )
        sealer = self._sealer(key)
        return SealedSessions(sealer, cookies, lifetimes), SealedLogins(sealer, cookies, taking, site)

    def _bound(
        self,
        store: AnyStore | None,
        cookies: Cookies,
        lifetimes: Lifetimes,
        audit: Audit,
        site: Site,
        paths: WebLoginPaths,
    ) -> BoundSessions:
        if store is None or not cookies.secure:
            raise must_be("bind_to_device", "left out without a store, and without https")
        path, seal = site.login(paths.session_key), self._seal(lifetimes.absolute)
        return BoundSessions(store, seal, cookies, lifetimes, audit, path, site.origin)

    def _routed(self, coming: LoggingIn) -> dict[str, tuple[tuple[str, ...], _Route]]:
        paths, out = self._parts.paths, self._out
        links = self._parts.on_link is not None
        begins = ("GET", "HEAD", "POST") if links else ("GET", "HEAD")
        found: dict[str | None, tuple[tuple[str, ...], _Route]] = {
            paths.login: (begins, lambda one: coming.link(one) if one.method == "POST" else coming.begin(one)),
            paths.logout: (("GET", "HEAD", "POST"), out.logout),
            paths.logged_out: (("GET", "HEAD"), out.returned),
            paths.backchannel_logout: (("POST",), out.backchannel),
            paths.frontchannel_logout: (("GET",), out.frontchannel),
            paths.me: (("GET", "HEAD"), self._me),
        }
        for one in self._parts.providers:
            methods = ("POST",) if one.posts else ("GET",)  # whoever only looks must not use up a login
            found[one.callback] = (methods, lambda request, one=one: coming.callback(request, one))  # type: ignore[misc] # mypy cannot see the default's type
        sessions = self._parts.sessions
        if isinstance(sessions, BoundSessions):
            found[paths.session_key] = (("POST",), sessions.prove)
        return {path: route for path, route in found.items() if path is not None}

    # ---- what doors ask

    @property
    def routes(self) -> dict[str, tuple[str, ...]]:
        """The paths of the login's own routes, below the point where the application is mounted, and their methods."""
        return {path: methods for path, (methods, _) in self._routes.items()}

    def _answer(self, request: WebRequest) -> Flow[WebAnswer]:
        """Answer a request to a route of the login."""
        methods, route = self._routes.get(request.path, ((), None))
        if route is None:
            return WebAnswer(404)
        if request.method not in methods:
            return WebAnswer(405, (("allow", ", ".join(methods)),))
        try:
            answer = yield from route(request)
        except StoreException as error:
            self._parts.audit.failed(error, "store")
            answer = self._parts.away(request, error)
        return _without_body(request, answer)

    def _decide(self, request: WebRequest, wanted: Demand) -> Flow[S | WebAnswer]:
        """Return the session of a request to a page of the application, or the answer without one that is enough."""
        try:
            found = yield from self._visits.decide(request, wanted)
        except StoreException as error:
            self._parts.audit.failed(error, "store")
            found = self._parts.away(request, error)
        return _without_body(request, found) if isinstance(found, WebAnswer) else self._session_of(self._parts, found)

    def _find(self, request: WebRequest) -> Flow[S | None]:
        """Return the session of a request, whatever is demanded.

        Raises:
            StoreException: The store cannot answer.
        """
        held = yield from self._parts.sessions.find(request)
        return None if held is None else self._session_of(self._parts, held)

    def _me(self, request: WebRequest) -> Flow[WebAnswer]:
        found = yield from self._decide(request, Demand())
        if isinstance(found, WebAnswer):
            return found
        parts = self._parts
        facts = {
            "issuer": found.issuer,
            "subject": found.subject,
            "claims": dict(found.claims),
            "user": found.user,
            "age": round(found.age),
            "expires_in": round(found.expires_in),
            "csrf_token": found.csrf_token,
            "logout_url": parts.site.login(parts.paths.logout),
        }
        return json_answer(200, facts, found.headers)

    # ---- what applications ask

    @explains_arguments
    def _proxy(
        self,
        prefix: str,
        *,
        to: str,
        scopes: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        allow_insecure_http: bool = False,
    ) -> WebProxy:
        """Let pages call an API through this origin: with their session here, and with a token there.

        Doors serve it: ``FastAPILogin(login).proxy(...)``. Every request must bring the header ``X-CSRF``.

        Args:
            prefix: The path below which requests are for the API: ``/api``.
            to: The address of the API; what follows *prefix* is added to it.
            scopes: The scopes of its tokens; those of the login if None.
            resource: What its tokens are for (RFC 8707); logins ask for it too.
            allow_insecure_http: Whether the API may be http on another machine than this one.

        Raises:
            ConfigurationException: The arguments cannot be used safely, or sessions are kept in cookies.
        """
        made = WebProxy(self._parts, prefix, to, scopes, resource, allow_insecure_http=allow_insecure_http)
        self._parts.resources.extend(one for one in made.resources if one not in self._parts.resources)
        return made

    def _listed(self, issuer: str, subject: str) -> Flow[list[SessionInfo]]:
        return (yield from self._parts.sessions.listed(of_user(issuer, subject)))

    def _end_all(self, issuer: str, subject: str) -> Flow[int]:
        before = (yield from now()).wall
        provider = self._parts.provider_of(issuer)
        return (yield from self._out.end_all(provider, of_user(issuer, subject), "everywhere", before))

    def _rotated(self, session: SessionBase) -> Flow[S]:
        """Give a session a new id, as its rights change."""
        parts, held = self._parts, session._held
        entry = yield from session._provider().client.entry_of(held.record.tokens)
        record = held.record.seen(held.at)
        if not parts.sessions.shared:  # its id is in the record
            record = msgspec.structs.replace(record, tokens=new_id())
        made, _ = yield from parts.sessions.create(record, record.created_at, entry)
        yield from parts.sessions.end(held)
        return self._session_of(parts, made)


#: Claims that a session needs itself.
_OWN_CLAIMS = frozenset({"auth_time", "acr", "amr"})


def _without_body(request: WebRequest, answer: WebAnswer) -> WebAnswer:
    """Return an answer; to HEAD without a body, as not every server sees to that."""
    return replace(answer, body=b"") if request.method == "HEAD" else answer


def _lifetimes(idle: float, absolute: float) -> Lifetimes:
    longest = bounded(absolute, "absolute_lifetime", float, 1, 400 * 86400, unit="seconds")
    return Lifetimes(bounded(idle, "idle_lifetime", float, 1, longest, unit="seconds"), longest)


def _places(paths: WebLoginPaths, store: AnyStore | None) -> WebLoginPaths:
    """Return where the routes are; nobody but the browser ends a session that is in its cookie."""
    return paths if store is not None else replace(paths, backchannel_logout=None)


def _site(
    base_url: str, home: str | None, paths: WebLoginPaths, names: Iterable[str], *, allow_insecure_http: bool
) -> Site:
    if home is None:
        root = site_of(base_url, "/", (), allow_insecure_http=allow_insecure_http)
        home = f"{root.prefix}/"
    own = [*paths.listed(), *(callback_of(paths, name) for name in names)]
    return site_of(base_url, home, own, allow_insecure_http=allow_insecure_http)


def _shared_transport(given: Any, providers: tuple[Provider, ...]) -> Any:
    first = providers[0].client._http_client
    if given is None and any(one.client._http_client != first for one in providers):
        raise must_be("http_client", "one for all providers: their clients have different ones")
    return first if given is None else given


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 40 and name.isascii() and name.replace("-", "").isalnum()


def _with_redirect(client: LoginClient, redirect_uri: str) -> LoginClient:
    """Return a client whose users come back to *redirect_uri*.

    Raises:
        ConfigurationException: It says another address itself, or its responses do not reach a server.
    """
    if client.redirect_uri not in (None, redirect_uri):
        raise must_be("redirect_uri", f"left out of the client, or {redirect_uri}", client.redirect_uri)
    if "openid" not in words(scope_text(client.scope)):
        raise must_be("scope", "one with openid: an ID token tells who logged in", scope_text(client.scope))
    mode = effective_response_mode(response_type_set(client.response_type), client.response_mode)
    if mode.startswith(FRAGMENT):
        raise must_be("response_mode", "query or form_post: a server does not see fragments", mode)
    return replace(client, redirect_uri=redirect_uri)


__all__ = [
    "ABSOLUTE_LIFETIME",
    "IDLE_LIFETIME",
    "LOGIN_LIFETIME",
    "WebLoginBase",
    "WebLoginClients",
]
