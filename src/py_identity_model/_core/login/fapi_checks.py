"""The rules of FAPI 2.0, each where what it is about can be seen.

FAPI 2.0 Security Profile 5, FAPI 2.0 Message Signing 5. A check yields a :class:`Violation` for each rule that is
broken; :mod:`.fapi` decides what becomes of it. The numbers are those of the page *The rules*.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ..._refusals import is_number
from ...exceptions import PyIdentityModelException, TokenValidationException, printable
from ..base.flow import Request
from ..base.header_lists import words
from ..base.scopes import optional_scope
from ..base.strict_json import StrictJSONError, loads_object
from ..base.urls import parse_url
from ..binding.dpop_client import DPoPKey
from ..client.client_auth import ClientAuthMethod, PrivateKeyJwt, methods_given
from ..discovery.metadata import DiscoveryDocumentResponse, alias_place, check_alias
from ..jose.algorithms import KeyRefused
from ..jose.jws import jwk_thumbprint, parse_compact
from ..jose.signing_keys import SigningKey
from ..jose.verification_keys import import_key
from ..validation.token_kinds import media_type
from .jar import REQUEST_OBJECT_TYPE
from .jarm import JARM_RESPONSE_MODES

#: Security Profile 5.4.1 and RFC 9864: ``EdDSA`` is Ed25519.
SIGNING_ALGORITHMS = ("PS256", "ES256", "EdDSA", "Ed25519")
AUTH_METHODS = tuple(
    method.value
    for method in (
        ClientAuthMethod.PRIVATE_KEY_JWT,
        ClientAuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH,
        ClientAuthMethod.TLS_CLIENT_AUTH,
    )
)
#: Message Signing 5.3.1: seconds that a request object may live, and be old.
MAX_REQUEST_OBJECT_LIFETIME = 3600
#: Security Profile 5.3.2.2: seconds that a pushed request may be kept, at most.
MAX_REQUEST_URI_LIFETIME = 600
#: Security Profile 5.3.3.2: characters of a nonce that every provider takes.
MAX_NONCE = 64

# 128 bits take 22 characters of base64url (RFC 6749 10.10, Security Profile 5.4.1).
_LEAST_CREDENTIAL = 22
_S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")


class Violation(NamedTuple):
    """A rule that is broken: its number, what breaks it, and how."""

    rule: str
    claim: str
    message: str


# ---------------------------------------------------------------------------------------------------------------------
# Addresses, algorithms, keys


def address(claim: str, url: object, rule: str = "F1") -> Iterator[Violation]:
    """5.2.1: TLS only, also to this very machine."""
    try:
        parse_url(url, claim, allow_http_on_loopback=False)
    except PyIdentityModelException:
        yield Violation(rule, claim, f"{claim} must be an https URL")


def redirect_address(redirect_uri: object) -> Iterator[Violation]:
    """5.3.2.2: responses over TLS, or to a native app on the loopback interface (RFC 8252 7.3) or by its scheme."""
    text = redirect_uri if isinstance(redirect_uri, str) else ""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    # RFC 8252 7.1: the scheme of a native app is a domain name turned round, so that it has a period.
    native = _is_loopback_address(host) if parts.scheme == "http" else "." in parts.scheme
    if not (native or (parts.scheme == "https" and host)):
        yield Violation(
            "F1", "redirect_uri", "redirect_uri must be https with a host, or http to a loopback IP address"
        )


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # RFC 8252 8.3: a name, also localhost, may lead elsewhere
        return False


def algorithm(claim: str, alg: object) -> Iterator[Violation]:
    """5.4.1: PS256, ES256 or EdDSA with Ed25519; never ``none``."""
    if alg not in SIGNING_ALGORITHMS:
        rule = "F36" if isinstance(alg, str) and alg.strip().lower() == "none" else "F35"
        yield Violation(rule, claim, f"{claim} must be one of {' '.join(SIGNING_ALGORITHMS)}, not {printable(alg, 40)}")


def signing_key(claim: str, key: SigningKey) -> Iterator[Violation]:
    """5.4.1: an allowed algorithm, and a key that is long enough."""
    yield from algorithm(claim, key.alg)
    if key.public_jwk is not None:
        yield from key_size(claim, key.public_jwk)


def key_size(claim: str, jwk: Mapping[str, Any]) -> Iterator[Violation]:
    """5.4.1: RSA with 2048 bits, elliptic curves with 224, and Ed25519 among the Edwards curves."""
    try:
        key = import_key(jwk)  # which takes RSA from 2048 bits on, and no curve under 256
    except KeyRefused as error:
        rule = "F37" if jwk.get("kty") == "RSA" else "F38"
        yield Violation(rule, claim, f"the key of {claim} cannot be used: {error.reason}")
        return
    if key.kty == "OKP" and key.crv != "Ed25519":
        yield Violation("F35", claim, f"the key of {claim} must be on Ed25519, not {key.crv}")


def single_purpose(keys: Iterable[tuple[str, Mapping[str, Any] | None]]) -> Iterator[Violation]:
    """6: a key serves one purpose."""
    seen: dict[str, str] = {}
    for claim, jwk in keys:
        if jwk is None:
            continue
        other = seen.setdefault(jwk_thumbprint(jwk), claim)
        if other != claim:
            yield Violation("F45", claim, f"{claim} and {other} are one key, which must have one purpose")


def distinct_kids(keys: Iterable[tuple[str, SigningKey]]) -> Iterator[Violation]:
    """5.4.2: no two keys of a client have one name."""
    seen: dict[str, SigningKey] = {}
    for claim, key in keys:
        if key.kid is not None and seen.setdefault(key.kid, key).public_jwk != key.public_jwk:
            yield Violation("F40", claim, f"the kid of {claim} names another key as well")


def distinct_keys(seen: Mapping[str, str], issuer: str, keys: Iterable[tuple[str, str]]) -> Iterator[Violation]:
    """6 (cuckoo tokens): no provider sees the key that another provider's tokens are bound to."""
    for claim, key in keys:
        if seen.get(key, issuer) != issuer:
            yield Violation("F43", claim, f"{claim} is in use with another provider")


# ---------------------------------------------------------------------------------------------------------------------
# What a client sends


def client_authentication(client: Any) -> Iterator[Violation]:
    """5.3.3.1: private_key_jwt for the issuer alone, or mutual TLS. *client* is a request or a login client."""
    given = {method.name: method.needs for method in methods_given(client)}
    # What is allowed is listed, not what is forbidden: a method that is added is refused until it stands in the list.
    for credential in dict.fromkeys(needs for name, needs in given.items() if name not in AUTH_METHODS):
        yield Violation("F9", credential, f"{credential} authenticates by a method that is not allowed")
    if given.keys().isdisjoint(AUTH_METHODS):
        yield Violation("F9", "auth_method", "private_key_jwt or mtls is needed")
    method = client.auth_method
    if method is not None and method not in AUTH_METHODS:
        yield Violation("F9", "auth_method", f"auth_method must be one of {' '.join(AUTH_METHODS)}")
    if client.private_key_jwt is not None:
        yield from _assertion(client.private_key_jwt, client.issuer)
    if client.allow_insecure_http:
        yield Violation("F1", "allow_insecure_http", "allow_insecure_http must stay off")


def _assertion(key: PrivateKeyJwt, issuer: str | None) -> Iterator[Violation]:
    yield from signing_key("private_key_jwt", key.signing_key())
    if not issuer:
        yield Violation("F12", "issuer", "the issuer, which assertions are made for, must be given")
    elif key.audience not in (None, issuer):
        yield Violation("F12", "private_key_jwt.audience", "the audience of assertions must be the issuer")


def sender_constraint(client: Any) -> Iterator[Violation]:
    """5.3.3.1: tokens bound to a DPoP key or to a certificate."""
    if client.dpop_key is None and client.mtls is None:
        yield Violation("F8", "dpop_key", "tokens must be bound: dpop_key or mtls is needed")
    if client.dpop_key is not None:
        yield from dpop_key(client.dpop_key)


def dpop_key(key: DPoPKey) -> Iterator[Violation]:
    """5.4.1, for the key of DPoP proofs."""
    yield from algorithm("dpop_key", key.algorithm)
    yield from key_size("dpop_key", key.public_jwk)


def authorization(asked: Mapping[str, Any]) -> Iterator[Violation]:
    """5.3.3.2: code, PKCE with S256, a response over TLS, values nobody guesses. *asked* are the parameters."""
    if asked.get("response_type") != "code":
        yield Violation("F22", "response_type", "response_type must be code")
    yield from pkce(asked.get("code_challenge"), asked.get("code_challenge_method"))
    yield from redirect_address(asked.get("redirect_uri"))
    state, nonce = asked.get("state"), asked.get("nonce")
    if not state:
        yield Violation("F19", "state", "state must tie the response to this user agent")
    for name, value in (("state", state), ("nonce", nonce)):
        if value and len(str(value)) < _LEAST_CREDENTIAL:
            yield Violation("F39", name, f"{name} must have 128 bits of entropy, {_LEAST_CREDENTIAL} characters")
    if nonce and len(str(nonce)) > MAX_NONCE:
        yield Violation("F28", "nonce", f"nonce must not be longer than {MAX_NONCE} characters")
    if asked.get("claims") and "openid" not in words(optional_scope(asked.get("scope")) or ""):
        yield Violation("F20", "claims", "claims are asked for without openid")


def pkce(challenge: object, method: object) -> Iterator[Violation]:
    """5.3.3.2: PKCE, with S256."""
    if not challenge or not str(challenge).strip():
        yield Violation("F24", "code_challenge", "PKCE is required: code_challenge is missing")
    elif method != "S256":
        yield Violation("F24", "code_challenge_method", "code_challenge_method must be S256")
    elif not isinstance(challenge, str) or not _S256_CHALLENGE.match(challenge):
        yield Violation("F39", "code_challenge", "code_challenge is not the SHA-256 of a verifier")


def authorization_url(url: str, authorization_endpoint: str) -> Iterator[Violation]:
    """5.3.3.2: ``client_id`` and ``request_uri`` at the authorization endpoint, nothing else."""
    yield from address("authorization_endpoint", url)
    own = {name for name, _ in _query(authorization_endpoint)}
    names = sorted(name for name, _ in _query(url) if name not in own)
    if names != ["client_id", "request_uri"]:
        shown = ", ".join(printable(name, 40) for name in names)
        yield Violation("F27", "request_uri", f"only client_id and request_uri may be sent, not {shown or 'nothing'}")


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        return []


def request_object_claims(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return header and claims of a request object; None if it is encrypted, or cannot be read."""
    try:
        jws = parse_compact(token)
        return jws.header, loads_object(jws.payload)
    except (TokenValidationException, StrictJSONError):
        return None


def request_object(
    header: Mapping[str, Any], claims: Mapping[str, Any], client_id: str, issuer: str | None, wall: float | None
) -> Iterator[Violation]:
    """Message Signing 5.3: what a signed request says about itself (RFC 9101 4 and 10.8)."""
    yield from algorithm("request.alg", header.get("alg"))
    if media_type(header.get("typ")) != REQUEST_OBJECT_TYPE:
        yield Violation("M1", "request.typ", f"the type of a request object is {REQUEST_OBJECT_TYPE}")
    # One string: a list would let several providers use it.
    for name, expected in (("iss", client_id), ("client_id", client_id), ("aud", issuer)):
        if not expected or claims.get(name) != expected:
            yield Violation("M1", f"request.{name}", f"{name} of the request object must be {printable(expected)}")
    for name in ("sub", "request", "request_uri"):
        if name in claims:
            yield Violation("M1", f"request.{name}", f"a request object must not have {name}")
    yield from _request_object_times(claims, wall)


def _request_object_times(claims: Mapping[str, Any], wall: float | None) -> Iterator[Violation]:
    nbf, exp = _date(claims.get("nbf")), _date(claims.get("exp"))
    if nbf is None or exp is None:
        yield Violation("M1", "request.exp", "a request object must have nbf and exp")
    elif not 0 < exp - nbf <= MAX_REQUEST_OBJECT_LIFETIME:
        yield Violation("M1", "request.exp", "a request object must expire within an hour of its nbf")
    elif wall is not None and not wall - MAX_REQUEST_OBJECT_LIFETIME <= nbf <= wall + 10:
        yield Violation("M1", "request.nbf", "nbf of a request object must not be older than an hour, or ahead")


def _date(value: object) -> float | None:
    return float(value) if is_number(value, float) else None


def response_mode(mode: object) -> Iterator[Violation]:
    """Message Signing 5.4.2: the response in a JWT."""
    if mode not in JARM_RESPONSE_MODES:
        yield Violation("M2", "response_mode", "response_mode must be jwt, or one that ends in .jwt")


def resource_request(request: Request) -> Iterator[Violation]:
    """5.3.3.1: the token in the header, nowhere else."""
    yield from address("url", request.url)
    for part, text in (("query", urlsplit(request.url).query), ("body", request.body.decode("latin-1"))):
        if any(name == "access_token" for name, _ in parse_qsl(text, keep_blank_values=True)):
            yield Violation("F10", "access_token", f"the access token must not be in the {part}")
    values = [value for name, value in request.headers if name.lower() == "authorization"]
    if len(values) != 1 or values[0].partition(" ")[0].lower() not in ("bearer", "dpop"):
        yield Violation("F10", "Authorization", "the access token must be in one header Authorization")


# ---------------------------------------------------------------------------------------------------------------------
# What a provider says about itself


class Wanted(NamedTuple):
    """What a client needs of a provider beyond the security profile."""

    signed_requests: bool = False
    signed_responses: bool = False
    signed_introspection: bool = False
    #: The algorithm of DPoP proofs, if tokens are bound by them.
    dpop_alg: str | None = None
    #: Whether tokens are bound to a certificate only.
    certificate_bound: bool = False
    #: The algorithm of client assertions, if there are any.
    assertion_alg: str | None = None
    #: What the provider is used for: some of :data:`USES`.
    uses: frozenset[str] = frozenset({"login"})


#: What a provider may be used for, and the endpoints that this takes beside the token endpoint.
USES = {
    "login": ("authorization_endpoint", "pushed_authorization_request_endpoint", "userinfo_endpoint"),
    "client_credentials": (),
    "introspection": ("introspection_endpoint",),
}
_ALWAYS_USED = ("issuer", "jwks_uri", "token_endpoint")


def metadata(document: DiscoveryDocumentResponse, wanted: Wanted) -> Iterator[Violation]:
    """5.2.1, 5.3.2: what a provider must offer so that a client can keep the profile, in what it does."""
    yield from _addresses(document, wanted.uses)
    yield from _offers("F9", document, "token_endpoint_auth_methods_supported", AUTH_METHODS)
    assertion_algs = SIGNING_ALGORITHMS if wanted.assertion_alg is None else (wanted.assertion_alg,)
    name = "token_endpoint_auth_signing_alg_values_supported"
    yield from _offers("F35", document, name, assertion_algs, optional=True)
    yield from _binding(document, wanted)
    if "login" in wanted.uses:
        yield from _login(document, wanted)
    if "introspection" in wanted.uses and wanted.signed_introspection:
        yield from _offers("M4", document, "introspection_signing_alg_values_supported", SIGNING_ALGORITHMS)


def _login(document: DiscoveryDocumentResponse, wanted: Wanted) -> Iterator[Violation]:
    if not document.pushed_authorization_request_endpoint:
        name = "pushed_authorization_request_endpoint"
        yield Violation("F23", name, "the provider must take pushed authorization requests")
    yield from _offers("F22", document, "response_types_supported", ("code",))
    yield from _offers("F24", document, "code_challenge_methods_supported", ("S256",))
    if not wanted.signed_responses and document.authorization_response_iss_parameter_supported is not True:
        name = "authorization_response_iss_parameter_supported"
        yield Violation("F26", name, "the provider must name itself in its responses (RFC 9207)")
    yield from _offers("F35", document, "id_token_signing_alg_values_supported", SIGNING_ALGORITHMS, optional=True)
    if wanted.signed_requests:
        yield from _offers("M1", document, "request_object_signing_alg_values_supported", SIGNING_ALGORITHMS)
    if wanted.signed_responses:
        yield from _offers("M2", document, "response_modes_supported", JARM_RESPONSE_MODES)
        yield from _offers("M3", document, "authorization_signing_alg_values_supported", SIGNING_ALGORITHMS)


def _addresses(document: DiscoveryDocumentResponse, uses: Iterable[str]) -> Iterator[Violation]:
    used = (*_ALWAYS_USED, *(name for use in USES if use in uses for name in USES[use]))
    aliases = document.mtls_endpoint_aliases or {}
    for name in used:
        if getattr(document, name) is not None:
            yield from address(name, getattr(document, name), "F40" if name == "jwks_uri" else "F1")
        check_alias(document, name)
        if name in aliases:
            yield from address(alias_place(name), aliases[name])


def _binding(document: DiscoveryDocumentResponse, wanted: Wanted) -> Iterator[Violation]:
    by_certificate = document.tls_client_certificate_bound_access_tokens is True
    name = "dpop_signing_alg_values_supported"
    if wanted.dpop_alg is not None:
        yield from _offers("F8", document, name, (wanted.dpop_alg,))
    elif wanted.certificate_bound and not by_certificate:
        name = "tls_client_certificate_bound_access_tokens"
        yield Violation("F8", name, "the provider does not bind tokens to certificates")
    elif not by_certificate:
        yield from _offers("F8", document, name, SIGNING_ALGORITHMS)


def _offers(
    rule: str, document: DiscoveryDocumentResponse, name: str, wanted: Iterable[str], *, optional: bool = False
) -> Iterator[Violation]:
    offered = getattr(document, name)
    if offered is None and optional:
        return
    if not set(wanted) & set(offered or ()):
        yield Violation(rule, name, f"the provider's {name} must have one of {' '.join(sorted(wanted))}")


__all__ = [
    "AUTH_METHODS",
    "MAX_REQUEST_URI_LIFETIME",
    "SIGNING_ALGORITHMS",
    "USES",
    "Violation",
    "Wanted",
    "address",
    "algorithm",
    "authorization",
    "authorization_url",
    "client_authentication",
    "distinct_keys",
    "distinct_kids",
    "dpop_key",
    "key_size",
    "metadata",
    "pkce",
    "redirect_address",
    "request_object",
    "request_object_claims",
    "resource_request",
    "response_mode",
    "sender_constraint",
    "signing_key",
    "single_purpose",
]
