"""A whole OpenID provider inside the process: pure request-in, reply-out, for tests, demos and offline work.

It publishes metadata and keys, signs tokens of every kind and algorithm, rotates, forges and misbehaves on command. It
approves everybody: never put it where real users can reach it.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._core.base.base64url import b64url_decode
from .._core.base.flow import Reply, Request
from .._core.base.urls import origin, parse_url
from .._core.jose.algorithms import SYMMETRIC_ALGORITHMS, SignatureAlgorithm
from .._core.jose.signing_keys import SigningKey
from .._refusals import must_be
from ._documents import (
    DOCUMENTS,
    ELSEWHERE,
    EVERYWHERE,
    NOWHERE,
    build_configuration,
    build_routes,
    check_endpoint,
    conditional,
    document_reply,
)
from ._endpoints import ENDPOINTS, Endpoints
from ._faults import Answer, Fault, build_fault, deliver, total_delay
from ._forgeries import forgery
from ._grants import Client
from ._keys import KeyRing
from ._records import FaultsAtPlay, Playing, Received, RequestLog
from ._tokens import Facts, Workbench, build_claims, sign_token, token_row, without_hashed

if TYPE_CHECKING:
    import ssl

    from ._server import Running
    from .asgi import Receive, Scope, Send
    from .httpx_transport import EmbeddedTransport

_ALICE = {"name": "Alice Liddell", "preferred_username": "alice", "email": "alice@example.com"}


class EmbeddedProvider:
    """An OpenID provider without a network.

    Args:
        issuer: The issuer identifier, an https URL; a path is kept in every address.
        clock: Returns the time in seconds since 1970.
        algorithms: Algorithms whose keys are published from the start. Others get a key when they are first used.
        jwks_path: Where the key set is, relative to the issuer.
        audience: The ``aud`` of access tokens.
        subject: The ``sub`` of tokens, and who is signed in at the authorization endpoint.
        client_id: A confidential client that is registered from the start, see ``client_secret``.
        client_secret: Its secret, which also is the key of tokens signed with HS256, HS384 and HS512.
        redirect_uris: Its redirect addresses.
        cache_control: ``Cache-Control`` of metadata and key sets; None sends none.
        latency: Seconds that every answer takes.
        access_token_lifetime: Seconds that access tokens live; None says nothing of it to the client.
        refresh_token_overlap: Seconds for which a refresh token that was used is taken once more. Later it is taken for
            stolen, and all tokens of its login die (RFC 9700 4.14.2).
        metadata: Members to add to the metadata, or to change; None takes one out.

    Raises:
        ConfigurationException: The issuer is no address an issuer can have.

    Hand it to any operation as its transport; nothing touches the network:

    >>> provider = EmbeddedProvider(algorithms=["ES256"])
    >>> token = provider.mint(subject="ada")
    >>> reply = provider.handle(Request("GET", "https://id.example.com/.well-known/openid-configuration"))
    >>> reply.status, provider.count("discovery"), token.count(".")
    (200, 1, 2)
    """

    def __init__(
        self,
        issuer: str = "https://id.example.com",
        *,
        clock: Callable[[], float] = time.time,
        algorithms: Sequence[SignatureAlgorithm] = ("RS256",),
        jwks_path: str = "/jwks",
        audience: str = "https://api.example.com",
        subject: str = "alice",
        client_id: str = "embedded-client",
        client_secret: str = "embedded-secret-" + "0123456789abcdef" * 4,
        redirect_uris: Sequence[str] = ("https://client.example.com/callback",),
        cache_control: str | None = "public, max-age=300",
        latency: float = 0.0,
        access_token_lifetime: float | None = 300,
        refresh_token_overlap: float = 0.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        parse_url(issuer, "issuer", allow_query=False)
        if isinstance(algorithms, str) or not algorithms:
            raise must_be("algorithms", "a list of at least one algorithm")
        self.issuer = issuer
        self.algorithms: tuple[SignatureAlgorithm, ...] = tuple(algorithms)
        self.audience = audience
        self.subject = subject
        self.client_id = client_id
        self.client_secret = client_secret
        self.cache_control = cache_control
        self.latency = latency
        self.access_token_lifetime = access_token_lifetime
        self.refresh_token_overlap = refresh_token_overlap
        self.metadata: dict[str, Any] = dict(metadata or {})
        #: UserInfo claims by ``sub``.
        self.accounts: dict[str, dict[str, Any]] = {subject: dict(_ALICE)}
        self._clock = clock
        self._paths = {"jwks": jwks_path} | {name: f"/{name}" for name in ENDPOINTS}
        self._ring = KeyRing(issuer, self.algorithms)
        self._log = RequestLog()
        self._faults = FaultsAtPlay()
        self._endpoints = Endpoints(self)
        self.add_client(Client(client_id, client_secret, tuple(redirect_uris)))

    def now(self) -> float:
        """Return the provider's time in seconds since 1970."""
        return self._clock()

    # ---- requests in, replies out

    def handle(self, request: Request) -> Reply:
        """Answer one request, at once.

        Raises:
            TransportException: A fault is played in which no usable reply arrives.
        """
        return deliver(self.answer(request), request)

    def transport(self, request: Request) -> Reply:
        """Answer one request like the network would, delays included: pass this method as ``http_client``.

        Raises:
            TransportException: The request is for another host, or a fault is played.
        """
        answer = self.answer(request)
        time.sleep(total_delay(answer))
        return deliver(answer, request)

    async def async_transport(self, request: Request) -> Reply:
        """Do the same as :meth:`transport`, as the ``http_client`` of ``py_identity_model.aio``.

        Raises:
            TransportException: The request is for another host, or a fault is played.
        """
        import anyio  # asyncio and trio alike; httpx2 brings it

        answer = self.answer(request)
        await anyio.sleep(total_delay(answer))
        return deliver(answer, request)

    def httpx_transport(self) -> EmbeddedTransport:
        """Return a transport for ``Client`` and ``AsyncClient`` of httpx2 and httpx.

        >>> import httpx2
        >>> provider = EmbeddedProvider(algorithms=["ES256"])
        >>> with httpx2.Client(transport=provider.httpx_transport()) as client:
        ...     client.get("https://id.example.com/jwks").json()["keys"][0]["kty"]
        'EC'
        """
        from .httpx_transport import EmbeddedTransport

        return EmbeddedTransport(self.answer)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application: hand this method to a server, or mount it."""
        from .asgi import respond

        await respond(self._answer_anywhere, scope, receive, send)

    def serve(self, *, host: str = "127.0.0.1", port: int = 0, ssl_context: ssl.SSLContext | None = None) -> Running:
        """Return a server on 127.0.0.1; the issuer becomes its address as long as it runs.

        Args:
            host: The name in the issuer, ``127.0.0.1`` or ``localhost``.
            port: The port; 0 lets the system choose.
            ssl_context: Serve https with it.

        >>> import httpx2
        >>> with EmbeddedProvider(algorithms=["ES256"]).serve() as running:
        ...     found = httpx2.get(f"{running.issuer}/.well-known/openid-configuration").json()
        ...     found["issuer"] == running.issuer
        True
        """
        from ._server import Running

        return Running(self, host=host, port=port, ssl_context=ssl_context)

    def answer(self, request: Request) -> Answer:
        """Decide what happens to one request, for doors of your own; :func:`deliver` makes a reply of it."""
        if origin(request.url) != origin(self.issuer):
            self._log.add(ELSEWHERE, request)
            return Answer(Reply(502), disconnect=True)
        return self._answer_anywhere(request)

    def _answer_anywhere(self, request: Request) -> Answer:
        endpoint = build_routes(self.issuer, self._paths).get(urlsplit(request.url).path, NOWHERE)
        self._log.add(endpoint, request)
        answer = Answer(self._reply(endpoint, request), delay=self.latency)
        answer = functools.reduce(lambda each, fault: fault.change(each), self._faults.striking(endpoint), answer)
        return replace(answer, reply=conditional(request, answer.reply)) if endpoint in DOCUMENTS else answer

    def _reply(self, endpoint: str, request: Request) -> Reply:
        if endpoint == NOWHERE:
            return Reply(404, (("content-type", "text/plain"),), b"There is nothing here.")
        if endpoint in ENDPOINTS:
            return self._endpoints.answer(endpoint, request)
        read = self.key_set if endpoint == "jwks" else self.configuration
        return document_reply(request, endpoint, read(), self.cache_control)

    # ---- what it saw

    @property
    def requests(self) -> tuple[Received, ...]:
        """The last ten thousand requests, the oldest first."""
        return self._log.all()

    def count(self, endpoint: str | None = None) -> int:
        """Return how many requests came, to one endpoint or altogether.

        Args:
            endpoint: ``discovery``, ``oauth_metadata``, ``jwks``, ``token`` and so on, ``nowhere`` for unknown paths
                and ``elsewhere`` for other hosts.

        Raises:
            ConfigurationException: There is no endpoint of that name.
        """
        if endpoint is not None:
            check_endpoint(endpoint, (*EVERYWHERE, ELSEWHERE))
        return self._log.count(endpoint)

    def forget_requests(self) -> None:
        """Set every counter to zero."""
        self._log.clear()

    # ---- documents

    def url(self, endpoint: str) -> str:
        """Return the address of an endpoint: ``jwks``, ``token``, ``authorize`` and so on.

        Raises:
            ConfigurationException: There is no endpoint of that name.
        """
        if endpoint == "discovery":
            return f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        check_endpoint(endpoint, ("discovery", *self._paths))
        return self.issuer.rstrip("/") + self._paths[endpoint]

    def configuration(self) -> dict[str, Any]:
        """Return the metadata (OpenID Connect Discovery 3, RFC 8414 2)."""
        return build_configuration(self.issuer, self.url, self.algorithms, self.metadata)

    def key_set(self) -> dict[str, Any]:
        """Return the key set as it is published (RFC 7517 5)."""
        return self._ring.document()

    # ---- keys

    def signing_key(self, alg: SignatureAlgorithm | None = None) -> SigningKey:
        """Return the key that signs with *alg*, by default the first of ``algorithms``; it is made if need be.

        Raises:
            ConfigurationException: There is no such algorithm.
        """
        alg = alg or self.algorithms[0]
        if alg in SYMMETRIC_ALGORITHMS:
            return SigningKey.from_secret(self.client_secret, alg)
        return self._ring.current(alg)

    def add_key(
        self,
        key: SigningKey | SignatureAlgorithm = "RS256",
        *,
        kid: str | None = None,
        publish: bool = True,
        jwk: Mapping[str, Any] | None = None,
    ) -> SigningKey:
        """Add a key, which signs from now on; an algorithm's name makes a new one.

        Args:
            key: A key, or the algorithm for one.
            kid: Another key ID than its own.
            publish: Whether the key set shows it; :meth:`publish` makes up for it later.
            jwk: Members to change in its published form; None takes one out, as in ``{"alg": None}``.

        Raises:
            ConfigurationException: There is no such algorithm.
        """
        return self._ring.add(key, kid, publish, jwk)

    def rotate(
        self, alg: SignatureAlgorithm | None = None, *, keep_previous: bool = True, publish: bool = True
    ) -> SigningKey:
        """Make a new key and sign with it from now on; return it.

        Args:
            alg: Rotate this algorithm's key only; by default those of all algorithms in use.
            keep_previous: Whether the key set goes on showing the old keys.
            publish: False signs before the key is published, as careless providers do.

        Raises:
            ConfigurationException: There is no such algorithm.

        >>> provider = EmbeddedProvider(algorithms=["ES256"])
        >>> provider.rotate().kid, [key["kid"] for key in provider.key_set()["keys"]]
        ('es256-2', ['es256-1', 'es256-2'])
        """
        return self._ring.rotate(alg, keep_previous, publish)

    def publish(self) -> None:
        """Show every key that was held back."""
        self._ring.publish()

    def remove_key(self, kid: str) -> None:
        """Revoke a key: the key set no longer shows it, and it signs no more.

        Raises:
            ConfigurationException: There is no key of that name.
        """
        self._ring.remove(kid)

    # ---- tokens

    def mint(
        self,
        kind: str = "access_token",
        *,
        alg: SignatureAlgorithm | None = None,
        audience: str | list[str] | None = None,
        subject: str | None = None,
        client_id: str | None = None,
        expires_in: float = 300,
        headers: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        **claims: object,
    ) -> str:
        """Sign a token with all the claims its kind needs.

        Args:
            kind: ``access_token`` (RFC 9068), ``id_token``, ``logout_token``, ``userinfo``, ``introspection`` or
                ``authorization_response``.
            alg: The algorithm, by default the first of ``algorithms``.
            audience: The ``aud``; by default the provider's audience, or the client for what is made for clients.
            subject: The ``sub``.
            client_id: The client it is issued to.
            expires_in: Seconds until ``exp``, negative for a token that has expired.
            headers: Header parameters to add or change; None takes one out.
            key: Sign with this key instead of the provider's own.
            claims: Claims to add or change; None takes one out. In an ID token ``access_token``, ``code`` and ``state``
                become ``at_hash``, ``c_hash`` and ``s_hash``.

        Raises:
            ConfigurationException: There is no such kind of token, or no such algorithm.

        >>> provider = EmbeddedProvider(algorithms=["ES256"])
        >>> provider.claims_of(provider.mint("id_token", subject="ada", nonce="n-1"))["nonce"]
        'n-1'
        """
        rest, hashed = without_hashed(kind, claims)
        sign = functools.partial(self.mint_claims, kind, rest, hashed=hashed, headers=headers, key=key)
        return sign(alg=alg, audience=audience, subject=subject, client_id=client_id, expires_in=expires_in)

    def mint_claims(
        self,
        kind: str,
        claims: Mapping[str, Any],
        *,
        alg: SignatureAlgorithm | None = None,
        audience: str | list[str] | None = None,
        subject: str | None = None,
        client_id: str | None = None,
        expires_in: float = 300,
        headers: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        hashed: Mapping[str, str] | None = None,
    ) -> str:
        """Sign a token as :meth:`mint` does, with claims whatever their names are, and *hashed* apart from them.

        Raises:
            ConfigurationException: There is no such kind of token, or no such algorithm.

        >>> provider = EmbeddedProvider(algorithms=["ES256"])
        >>> provider.claims_of(provider.mint_claims("access_token", {"key": "C major"}))["key"]
        'C major'
        """
        row = token_row(kind)
        key = key or self.signing_key(alg)
        client_id = client_id or self.client_id
        facts = Facts(
            issuer=self.issuer,
            subject=subject or self.subject,
            audience=audience or (client_id if row.for_client else self.audience),
            client_id=client_id,
            now=int(self.now()),
            expires_in=expires_in,
        )
        header = {"alg": key.alg, "typ": row.typ, "kid": key.kid, **(headers or {})}
        return sign_token(header, build_claims(kind, facts, key, claims, hashed or {}), key)

    def forge(self, name: str, *, alg: SignatureAlgorithm | None = None, **options: object) -> str:
        """Make a token that no validator may accept; :data:`FORGERIES` lists them and how each is refused.

        Args:
            name: A key of :data:`FORGERIES`.
            alg: The algorithm of the token that is forged.
            options: Arguments of :meth:`mint` for the good token behind it.

        Raises:
            ConfigurationException: There is no forgery of that name.

        >>> EmbeddedProvider(algorithms=["ES256"]).forge("alg_none").endswith(".")
        True
        """
        row = forgery(name)
        good: dict[str, Any] = {"audience": self.audience, "key": (key := self.signing_key(alg or row.alg)), **options}
        return row.build(Workbench(functools.partial(self.mint, **good), key, self.issuer, self.now()))

    @staticmethod
    def claims_of(token: str) -> dict[str, Any]:
        """Return what a token says, its signature not looked at."""
        return dict(json.loads(b64url_decode(token.split(".")[1])))

    # ---- faults

    @contextmanager
    def fault(self, fault: str | int | Fault, *, on: str | None = None, **options: object) -> Iterator[Playing]:
        """Misbehave for the length of a ``with`` block.

        Args:
            fault: A key of :data:`FAULTS`, or a :class:`Fault` made by hand.
            on: The one endpoint to misbehave at; by default every endpoint the fault makes sense for.
            options: The fault's own, for example ``seconds`` of ``slow``.

        Raises:
            ConfigurationException: There is no such fault, or no such option of it.

        >>> provider = EmbeddedProvider(algorithms=["ES256"])
        >>> with provider.fault("503", retry_after=7, on="jwks"):
        ...     provider.handle(Request("GET", provider.url("jwks"))).header("retry-after")
        '7'
        """
        playing = self.play(fault, times=None, on=on, **options)
        try:
            yield playing
        finally:
            self._faults.stop(playing)

    def play(
        self, fault: str | int | Fault, *, times: int | None = 1, on: str | None = None, **options: object
    ) -> Playing:
        """Misbehave at the next *times* requests concerned, None meaning until :meth:`recover`.

        Raises:
            ConfigurationException: There is no such fault, or no such option of it.
        """
        if on is not None:
            check_endpoint(on, EVERYWHERE)
        playing = Playing(build_fault(fault, frozenset({on}) if on else None, **options), times)
        self._faults.start(playing)
        return playing

    def recover(self) -> None:
        """Stop every fault."""
        self._faults.clear()

    # ---- the authorization server

    def add_client(self, client: Client) -> None:
        """Register a client, or replace the one of the same name."""
        self._endpoints.clients[client.client_id] = client

    def approve_device(self, user_code: str, *, subject: str | None = None) -> None:
        """Let the user of a device say yes (RFC 8628 3.3).

        Raises:
            ConfigurationException: No device waits with this code.
        """
        self._endpoints.decide_device(user_code, "approved", subject)

    def deny_device(self, user_code: str) -> None:
        """Let the user of a device say no.

        Raises:
            ConfigurationException: No device waits with this code.
        """
        self._endpoints.decide_device(user_code, "denied")


__all__ = ["EmbeddedProvider"]
