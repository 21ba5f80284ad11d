"""DPoP, the client's side: proof that a request comes from the holder of the key (RFC 9449).

A flow keeps the nonce that each origin gave last, and repeats a request once when an origin asks for another.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..._arguments import explains_arguments
from ..._refusals import bounded, must_be
from ...exceptions import ConfigurationException, PyIdentityModelException, printable
from ..base.base64url import b64url_encode
from ..base.exchanges import made
from ..base.flow import Flow, Reply, Request, now, send
from ..base.fork_lock import Guard
from ..base.secret import Secret, exposed
from ..base.urls import parse_url
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS, AsymmetricAlgorithm, KeyRefused
from ..jose.jws import jwk_thumbprint, sign_compact
from ..jose.signing_keys import SigningKey
from ..jose.verification_keys import export_jwk, import_key, prepare
from .offered_nonces import NonceStore, extract_dpop_nonce, offered_nonce

#: Algorithms of proofs: all that are asymmetric (RFC 9449 4.2).
DPOP_ALGORITHMS: tuple[AsymmetricAlgorithm, ...] = ASYMMETRIC_ALGORITHMS
#: The ``typ`` of a proof.
DPOP_TYP = "dpop+jwt"

# RFC 9110 9.1: a method is a token. RFC 9449 8.1: a nonce is NQCHAR; RFC 6750 2.1: a token is b64token.
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}+")
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]++=*+")
_PROOF = re.compile(r"[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++")


class DPoPKey:
    """A key that signs DPoP proofs and nothing else. Tokens bound to it die with it.

    Args:
        algorithm: One of :data:`DPOP_ALGORITHMS`.

    Raises:
        ConfigurationException: The algorithm is no such one; the ``code`` is ``dpop_algorithm_unsupported``.

    >>> DPoPKey().public_jwk["crv"]
    'P-256'
    """

    __slots__ = ("_nonces", "_public_jwk", "_signing_key", "_thumbprint")

    @explains_arguments
    def __init__(self, algorithm: AsymmetricAlgorithm = "ES256") -> None:
        _check_algorithm(algorithm)
        self._take(SigningKey.generate(algorithm), None)

    @classmethod
    @explains_arguments
    def from_pem(
        cls,
        private_key: str | bytes | Secret,
        algorithm: AsymmetricAlgorithm = "ES256",
        *,
        password: str | Secret | None = None,
    ) -> DPoPKey:
        """Load a key that was kept, so that tokens bound to it stay usable after a restart.

        Args:
            private_key: The key as PEM.
            algorithm: One of :data:`DPOP_ALGORITHMS`.
            password: What the PEM is encrypted with, if it is.

        Raises:
            ConfigurationException: The key is unreadable or does not fit the algorithm.
        """
        _check_algorithm(algorithm)
        pem = private_key if isinstance(private_key, bytes) else exposed(private_key)
        return cls.from_signing_key(SigningKey.from_pem(pem, algorithm, password=password))

    @classmethod
    @explains_arguments
    def from_signing_key(cls, key: SigningKey, *, public_jwk: Mapping[str, Any] | None = None) -> DPoPKey:
        """Use a signing key, for one that lives in a KMS or HSM together with its public half.

        Args:
            key: The key. It must serve no other purpose.
            public_jwk: The public key, where *key* cannot tell it.

        Raises:
            ConfigurationException: The key is not asymmetric, or its public half is unknown.
        """
        _check_algorithm(key.alg)
        made = cls.__new__(cls)
        made._take(key, public_jwk)
        return made

    def _take(self, key: SigningKey, public_jwk: Mapping[str, Any] | None) -> None:
        self._signing_key = replace(key, kid=None)  # the proof carries the key itself
        self._public_jwk = _public_members(public_jwk or key.public_jwk, key.alg)
        self._thumbprint = jwk_thumbprint(self._public_jwk)
        self._nonces = NonceStore()

    @property
    def algorithm(self) -> str:
        """The algorithm of the proofs."""
        return self._signing_key.alg

    @property
    def private_key_pem(self) -> bytes | None:
        """The private key as PEM, to be kept in a secret store; None for a key that cannot be exported."""
        pem = self._signing_key.private_pem
        return None if pem is None else pem.encode("ascii")

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public key as a JWK with its required members only."""
        return dict(self._public_jwk)

    @property
    def nonces(self) -> NonceStore:
        """The nonces that origins gave for proofs of this key."""
        return self._nonces

    @property
    def jwk_thumbprint(self) -> str:
        """The thumbprint of the public key: ``jkt`` of bound tokens, ``dpop_jkt`` of requests (RFC 9449 6.1, 10)."""
        return self._thumbprint

    def __repr__(self) -> str:
        return f"DPoPKey(algorithm={self.algorithm!r}, jwk_thumbprint={self._thumbprint!r})"

    def __reduce__(self) -> Any:
        raise ConfigurationException(
            "A DPoPKey cannot be pickled",
            code="dpop_key_not_picklable",
            hint="keep private_key_pem in a secret store and load it with DPoPKey.from_pem",
        )


def _check_algorithm(algorithm: object) -> None:
    if algorithm not in DPOP_ALGORITHMS:
        raise ConfigurationException(
            f"DPoP proofs cannot be signed with {printable(algorithm, 40)!r}",
            code="dpop_algorithm_unsupported",
            claim="algorithm",
            expected=DPOP_ALGORITHMS,
            actual=printable(algorithm, 40),
        )


def _public_members(jwk: Mapping[str, Any] | None, alg: str) -> dict[str, str]:
    try:
        key = import_key(jwk or {})
        prepare(key, alg)
    except KeyRefused as error:
        raise ConfigurationException(
            "The public half of a DPoP key must be known",
            code="dpop_public_key_unusable",
            claim="public_jwk",
            expected=f"a public JWK for {alg}",
            actual=error.reason,
            hint="pass public_jwk beside a key that lives in a KMS or HSM",
        ) from None
    return export_jwk(key.material)


@explains_arguments
def generate_dpop_key(algorithm: AsymmetricAlgorithm = "ES256") -> DPoPKey:
    """Make a new DPoP key.

    Args:
        algorithm: One of :data:`DPOP_ALGORITHMS`.

    Returns:
        The key.

    Raises:
        ConfigurationException: The algorithm is no such one.

    >>> generate_dpop_key("Ed25519").algorithm
    'Ed25519'
    """
    return DPoPKey(algorithm)


@explains_arguments
def compute_ath(access_token: str) -> str:
    """Hash an access token for the proof that goes with it (``ath``, RFC 9449 4.2).

    Args:
        access_token: The token.

    Returns:
        The SHA-256 of the token in base64url.

    Raises:
        ConfigurationException: The token is not ASCII, or empty.

    >>> compute_ath("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")
    'fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo'
    """
    if not isinstance(access_token, str) or not access_token.isascii() or not access_token.strip():
        raise _unfit("access_token", "ASCII, and not empty")
    return b64url_encode(hashlib.sha256(access_token.encode("ascii")).digest())


def build_dpop_proof(
    key: DPoPKey, method: str, uri: str, *, wall: float, access_token: str | None = None, nonce: str | None = None
) -> str:
    """Sign a proof for one request (RFC 9449 4.2). Each call makes another one.

    Args:
        key: The key that the token is, or will be, bound to.
        method: The HTTP method of the request.
        uri: The URL of the request, absolute; query and fragment are left out.
        wall: The time in seconds since 1970.
        access_token: The token that the request carries.
        nonce: The nonce that the server gave last.

    Returns:
        The proof as a compact JWS.

    Raises:
        ConfigurationException: Method, token or nonce are none that a request can have (``dpop_argument_invalid``),
            *uri* is no absolute http(s) URL (``url_invalid``), or the key does not sign (``signing_failed``).
    """
    claims = _proof_claims(method, uri, wall)
    if access_token is not None:
        claims["ath"] = compute_ath(access_token)
    if nonce is not None:
        if not isinstance(nonce, str) or not nonce.strip():
            raise _unfit("nonce", "the nonce of a server, or None")
        claims["nonce"] = nonce
    try:
        return sign_compact(claims, key._signing_key, typ=DPOP_TYP, headers={"jwk": key.public_jwk})
    except PyIdentityModelException:
        raise
    except Exception:  # a KMS or HSM callable is foreign code, and its error may hold what it was given
        raise ConfigurationException("The DPoP key did not sign", code="signing_failed", claim="dpop_key") from None


def _proof_claims(method: str, uri: str, wall: float) -> dict[str, Any]:
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise _unfit("method", "an HTTP method")
    # RFC 9449 4.2: without query and fragment.
    htu = uri.partition("#")[0].partition("?")[0] if isinstance(uri, str) else uri
    parse_url(htu, "uri", require_https=False)
    return {"jti": secrets.token_urlsafe(24), "htm": method.upper(), "htu": htu, "iat": int(wall)}


@explains_arguments
def build_dpop_headers(proof: str, access_token: str | None = None) -> dict[str, str]:
    """Build the headers of a request with a proof.

    Args:
        proof: From :func:`create_dpop_proof`.
        access_token: The token, for a request to a resource (RFC 9449 7.1).

    Returns:
        ``DPoP``, and ``Authorization`` if there is a token.

    Raises:
        ConfigurationException: One of them cannot stand in a header.

    >>> build_dpop_headers("a.b.c", "token")
    {'DPoP': 'a.b.c', 'Authorization': 'DPoP token'}
    """
    if not _PROOF.fullmatch(proof):
        raise _unfit("proof", "a compact JWS")
    if access_token is None:
        return {"DPoP": proof}
    if not _TOKEN.fullmatch(access_token):
        raise _unfit("access_token", "a token of RFC 6750 2.1")
    return {"DPoP": proof, "Authorization": f"DPoP {access_token}"}


class DPoPKeyring:
    """One key for each provider and client, so that no provider can use a token of another's (FAPI 2.0 6).

    Args:
        algorithm: The algorithm of keys that are made.
        max_keys: Pairs at most. Nothing is dropped to make room: tokens bound to a dropped key would be lost.

    Raises:
        ConfigurationException: The algorithm or *max_keys* is unusable.

    >>> ring = DPoPKeyring()
    >>> ring.key("https://a.example", "app") is ring.key("https://a.example", "app")
    True
    >>> ring.key("https://a.example", "app") is ring.key("https://b.example", "app")
    False
    """

    @explains_arguments
    def __init__(self, algorithm: AsymmetricAlgorithm = "ES256", max_keys: int = 1024) -> None:
        _check_algorithm(algorithm)
        bounded(max_keys, "max_keys", int, 1, code="dpop_size_invalid")
        self._algorithm: AsymmetricAlgorithm = algorithm
        self._max_keys = max_keys
        self._lock = Guard()
        self._keys: dict[tuple[str, str], DPoPKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @explains_arguments
    def key(self, provider: str, client_id: str) -> DPoPKey:
        """Return the key of a client at a provider, made if there is none.

        Args:
            provider: The issuer.
            client_id: The client there.

        Raises:
            ConfigurationException: The ring is full; the ``code`` is ``dpop_keyring_full``.
        """
        return self._keys.get((provider, client_id)) or self._put(provider, client_id, DPoPKey(self._algorithm))

    @explains_arguments
    def add(self, provider: str, client_id: str, key: DPoPKey) -> None:
        """Use a key that was kept for a client at a provider.

        Raises:
            ConfigurationException: The pair has another key (``dpop_key_present``), or another pair has this one
                (``dpop_key_shared``).
        """
        if self._put(provider, client_id, key).jwk_thumbprint != key.jwk_thumbprint:
            raise ConfigurationException(
                "This client has another DPoP key at this provider already", code="dpop_key_present"
            )

    def _put(self, provider: str, client_id: str, key: DPoPKey) -> DPoPKey:
        with self._lock:
            present = self._keys.get((provider, client_id))
            if present is not None:
                return present
            if len(self._keys) >= self._max_keys:
                raise ConfigurationException("The DPoP keyring is full", code="dpop_keyring_full", claim="max_keys")
            if any(other.jwk_thumbprint == key.jwk_thumbprint for other in self._keys.values()):
                raise ConfigurationException(
                    "A DPoP key must not serve two providers or clients",
                    code="dpop_key_shared",
                    hint="make a key for each provider and client",
                )
            self._keys[provider, client_id] = key
            return key


def send_with_dpop(
    build_request: Callable[[str], Request | Flow[Request]],
    key: DPoPKey,
    nonces: NonceStore,
    *,
    access_token: str | None = None,
) -> Flow[Reply]:
    """Send a request with a proof; once more with the server's nonce if it asks for one (RFC 9449 8, 9).

    Args:
        build_request: Makes the request, afresh for each attempt so that client assertions are new as well. It is
            called with an empty proof; the headers ``DPoP`` and, with a token, ``Authorization`` are set here.
        key: The key.
        nonces: Where nonces are remembered.
        access_token: The token, for a request to a resource.

    Returns:
        The last reply.
    """
    reply = yield from _attempt((yield from made(build_request(""))), key, nonces, access_token)
    if extract_dpop_nonce(reply):
        reply = yield from _attempt((yield from made(build_request(""))), key, nonces, access_token)
    return reply


def _attempt(request: Request, key: DPoPKey, nonces: NonceStore, access_token: str | None) -> Flow[Reply]:
    clock = yield from now()
    nonce = nonces.get(request.url)
    proof = build_dpop_proof(key, request.method, request.url, wall=clock.wall, access_token=access_token, nonce=nonce)
    reply = yield from send(_with_headers(request, build_dpop_headers(proof, access_token)))
    # RFC 9449 8.2: a new nonce may come with any response, also a successful one.
    if fresh := offered_nonce(reply):
        nonces.remember(request.url, fresh)
    return reply


def _with_headers(request: Request, headers: Mapping[str, str]) -> Request:
    taken = {name.lower() for name in headers}
    kept = tuple((name, value) for name, value in request.headers if name.lower() not in taken)
    return replace(request, headers=(*kept, *headers.items()))


_unfit = partial(must_be, code="dpop_argument_invalid")


__all__ = [
    "DPOP_ALGORITHMS",
    "DPOP_TYP",
    "DPoPKey",
    "DPoPKeyring",
    "build_dpop_headers",
    "build_dpop_proof",
    "compute_ath",
    "generate_dpop_key",
    "send_with_dpop",
]
