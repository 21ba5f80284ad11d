"""What a provider offers: PKCE, ``iss``, sender constraints, logout, registration; and what it had better not offer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ...exceptions import PyIdentityModelException, printable
from ..login.fapi_checks import AUTH_METHODS, USES, Wanted
from ..login.fapi_checks import metadata as fapi_metadata
from .findings import Check, Finding
from .metadata import Document, judged
from .visit import host_of

PKCE: Final = Check(
    "pkce",
    "PKCE with S256",
    "without it a stolen authorization code is enough to log in as somebody else; MCP clients refuse to begin",
    'support S256 and say so: "code_challenge_methods_supported": ["S256"]',
    "RFC 9700 2.1.1",
)
RESPONSE_ISS: Final = Check(
    "response_iss",
    "whether authorization responses name their issuer",
    "a client of several providers cannot tell whose answer it holds, and sends a code to the wrong one (mix-up)",
    "send iss with each response, and say authorization_response_iss_parameter_supported: true",
    "RFC 9207 3",
)
ALGORITHMS: Final = Check(
    "signing_algorithms",
    "algorithms that are announced and protect nothing",
    "none is no signature; with HS256 the client's secret signs, so that each holder of it makes tokens",
    "take none and HS* out of the list, and let clients register RS256, PS256 or ES256",
    "RFC 8725 3.2",
)
RESPONSE_TYPES: Final = Check(
    "response_types",
    "the implicit grant",
    "tokens in addresses end up in histories, logs and Referer headers, and nothing binds them to the client",
    "take response types with token out; clients use code with PKCE",
    "RFC 9700 2.1.2",
)
GRANTS: Final = Check(
    "grant_types",
    "the password grant",
    "passwords pass through every client, and second factors cannot be asked for",
    "take password out of grant_types_supported; devices use the device grant",
    "RFC 9700 2.4",
)
SCOPES: Final = Check(
    "scopes",
    "whether the scope openid is offered",
    "a login without openid brings no ID token, so that nobody knows who logged in",
    "list openid in scopes_supported",
    "OpenID Connect Discovery 3",
)
CLIENT_AUTH: Final = Check(
    "client_authentication",
    "how clients authenticate",
    "a secret that is sent can be stolen on its way and from logs; a key never leaves the client",
    "offer private_key_jwt or tls_client_auth",
    "RFC 9700 2.5",
)
ENDPOINT_AUTH: Final = Check(
    "endpoint_auth",
    "who may introspect and revoke tokens",
    "an introspection endpoint that anybody may ask tells whether a guessed or stolen token is good, and whose",
    "demand client authentication there",
    "RFC 7662 2.1",
)
INTROSPECTION: Final = Check(
    "introspection",
    "whether tokens can be introspected",
    "without it an API learns nothing of opaque tokens, nor that a token was revoked",
    "offer an introspection endpoint",
    "RFC 7662 2",
)
REVOCATION: Final = Check(
    "revocation",
    "whether tokens can be revoked",
    "without it a client that logs out cannot end its refresh token",
    "offer a revocation endpoint",
    "RFC 7009 2",
)
PAR: Final = Check(
    "par",
    "pushed authorization requests",
    "requests through the browser can be read and changed by whoever sits there",
    "offer pushed_authorization_request_endpoint",
    "RFC 9126 5",
)
DPOP: Final = Check(
    "dpop",
    "tokens bound to a key (DPoP)",
    "a bearer token is good for whoever has it",
    "offer dpop_signing_alg_values_supported with ES256 or EdDSA, never none or HS*",
    "RFC 9449 5.1",
)
MTLS: Final = Check(
    "mtls",
    "client certificates, and aliases for their endpoints",
    "a server that asks every browser for a certificate shows people a dialogue; aliases keep that apart",
    "name endpoints for clients with certificates in mtls_endpoint_aliases, and bind tokens to them",
    "RFC 8705 5",
)
LOGOUT: Final = Check(
    "logout",
    "how a login ends: at the provider, and at the other applications",
    "without it people stay logged in elsewhere after they logged out here",
    "offer end_session_endpoint and back-channel logout, with sid",
    "OpenID Connect RP-Initiated Logout 2.1",
)
REGISTRATION: Final = Check(
    "registration",
    "dynamic client registration",
    "clients that nobody knows beforehand (MCP) need a way to be known",
    "offer registration_endpoint, or client ID metadata documents",
    "RFC 7591 3",
)
CIMD: Final = Check(
    "client_id_documents",
    "client ID metadata documents",
    "with them a client is known by its address, and nobody has to register",
    'support them, and say "client_id_metadata_document_supported": true',
    "Client ID Metadata Document 5",
)
FAPI: Final = Check(
    "fapi2",
    "what is missing for FAPI 2.0",
    "banks and health services demand it; each gap is a known attack that stays open",
    "close the gaps that are named, or do without the profile",
    "FAPI 2.0 5.3.2",
)
CHECKS: Final = (
    PKCE,
    RESPONSE_ISS,
    ALGORITHMS,
    RESPONSE_TYPES,
    GRANTS,
    SCOPES,
    CLIENT_AUTH,
    ENDPOINT_AUTH,
    INTROSPECTION,
    REVOCATION,
    PAR,
    DPOP,
    MTLS,
    LOGOUT,
    REGISTRATION,
    CIMD,
    FAPI,
)


def offers(document: Document, *, for_mcp: bool = False, fapi: bool = False) -> Iterator[Finding]:
    """Judge what metadata announces.

    Args:
        document: The metadata.
        for_mcp: Whether MCP clients are to use it, which refuse to begin without S256.
        fapi: Whether gaps for FAPI 2.0 are faults.
    """
    logs_in = document.raw.get("authorization_endpoint") is not None
    if logs_in:
        yield _pkce(document, for_mcp)
        yield _response_iss(document)
        yield _response_types(document)
    yield _algorithms(document)
    if document.raw.get("token_endpoint") is not None:
        yield _grants(document)
        yield _client_auth(document)
    if logs_in and document.is_openid:
        yield _scopes(document)
    if document.raw.get("token_endpoint") is None:
        return
    yield from _endpoints(document)
    yield _par(document)
    yield _dpop(document)
    yield _mtls(document)
    if logs_in:
        yield _logout(document)
    yield from _registering(document)
    yield _fapi(document, fapi)


# ---------------------------------------------------------------------------------------------------------------------
# A login


def _pkce(document: Document, for_mcp: bool) -> Finding:
    methods = document.texts("code_challenge_methods_supported")
    if methods is None:
        silent = host_of(document.issuer).startswith(("login.microsoftonline.", "cognito-idp."))
        text = (
            "the provider supports S256 without saying so: others take its word, MCP clients may not"
            if silent
            else None
        )
        seen = "it does not say whether it supports PKCE"
        return PKCE.failed(seen, "pkce_unsaid", text) if for_mcp else PKCE.warned(seen, "pkce_unsaid", text)
    if "S256" not in methods:
        return PKCE.failed(f"only {', '.join(methods) or 'nothing'}", "pkce_without_s256")
    if "plain" in methods:
        return PKCE.warned("S256, and plain, which protects nothing", "pkce_plain", "take plain out of the list")
    return PKCE.passed("S256")


def _response_iss(document: Document) -> Finding:
    said = document.raw.get("authorization_response_iss_parameter_supported")
    return RESPONSE_ISS.held(said is True, "iss is sent" if said is True else "it does not say so")


def _response_types(document: Document) -> Finding:
    types = document.texts("response_types_supported") or ()
    implicit = [one for one in types if "token" in one.split()]
    return RESPONSE_TYPES.held(not implicit, ", ".join(implicit or types) or "none are named")


def _scopes(document: Document) -> Finding:
    scopes = document.texts("scopes_supported")
    if scopes is None:
        return SCOPES.passed("not listed, as is allowed")
    return SCOPES.held("openid" in scopes, "openid", f"{', '.join(scopes[:6])}, without openid")


def _algorithms(document: Document) -> Finding:
    weak = {name: [alg for alg in document.texts(name) or () if _protects_nothing(alg)] for name in _SIGNED}
    shown = "; ".join(f"{name}: {', '.join(found)}" for name, found in weak.items() if found)
    if shown:
        unsigned = any(alg.lower() == "none" for found in weak.values() for alg in found)
        return ALGORITHMS.warned(shown, "alg_none" if unsigned else "alg_by_secret")
    said = document.texts("id_token_signing_alg_values_supported")
    return ALGORITHMS.passed(", ".join(said)) if said else ALGORITHMS.skipped("none are named")


def _protects_nothing(alg: str) -> bool:
    return alg.lower() == "none" or alg.startswith("HS")


_SIGNED: Final = (
    "id_token_signing_alg_values_supported",
    "authorization_signing_alg_values_supported",
    "introspection_signing_alg_values_supported",
    "backchannel_authentication_request_signing_alg_values_supported",
)


def _logout(document: Document) -> Finding:
    ways = [
        words
        for words, there in (
            ("at the provider", document.text("end_session_endpoint") is not None),
            ("back-channel", document.raw.get("backchannel_logout_supported") is True),
            ("front-channel", document.raw.get("frontchannel_logout_supported") is True),
        )
        if there
    ]
    if not ways:
        return LOGOUT.skipped("not offered")
    without_sid = (
        document.raw.get("backchannel_logout_supported") is True
        and document.raw.get("backchannel_logout_session_supported") is not True
    )
    return LOGOUT.passed(", ".join(ways) + (" (without sid: it ends all sessions of the user)" if without_sid else ""))


# ---------------------------------------------------------------------------------------------------------------------
# Clients and endpoints


def _grants(document: Document) -> Finding:
    grants = document.texts("grant_types_supported")
    if grants is None:
        return GRANTS.passed("not listed: authorization_code and implicit are meant")
    return GRANTS.held("password" not in grants, ", ".join(one.rpartition(":")[2] for one in grants))


def _client_auth(document: Document) -> Finding:
    methods = document.texts("token_endpoint_auth_methods_supported") or ("client_secret_basic",)
    strong = [one for one in methods if one in AUTH_METHODS]
    if strong:
        return CLIENT_AUTH.passed(", ".join(strong))
    return CLIENT_AUTH.skipped(f"by secrets only: {', '.join(methods)}")


def _endpoints(document: Document) -> Iterator[Finding]:
    open_ones = [
        name
        for name in ("introspection", "revocation")
        if "none" in (document.texts(f"{name}_endpoint_auth_methods_supported") or ())
    ]
    if "introspection" in open_ones:
        yield ENDPOINT_AUTH.warned("introspection without authentication is announced", "introspection_open")
    elif document.text("introspection_endpoint"):
        yield ENDPOINT_AUTH.passed("clients authenticate")
    for check, name in ((INTROSPECTION, "introspection_endpoint"), (REVOCATION, "revocation_endpoint")):
        url = document.text(name)
        yield check.passed(url) if url else check.skipped("not offered")


def _par(document: Document) -> Finding:
    url = document.text("pushed_authorization_request_endpoint")
    required = document.raw.get("require_pushed_authorization_requests") is True
    if required and not url:
        return PAR.failed("required, without an endpoint", "par_without_endpoint", "name the endpoint")
    if not url:
        return PAR.skipped("not offered")
    return PAR.passed("required" if required else "offered")


def _dpop(document: Document) -> Finding:
    algorithms = document.texts("dpop_signing_alg_values_supported")
    if not algorithms:
        return DPOP.skipped("not offered")
    weak = [one for one in algorithms if _protects_nothing(one)]
    # RFC 9449 4.2: asymmetric, never none.
    return DPOP.held(not weak, ", ".join(weak or algorithms), fails=True)


def _mtls(document: Document) -> Finding:
    aliases: Any = document.raw.get("mtls_endpoint_aliases")
    methods = document.texts("token_endpoint_auth_methods_supported") or ()
    offered = [one for one in methods if "tls_client_auth" in one]
    bound = document.raw.get("tls_client_certificate_bound_access_tokens") is True
    if not offered and not bound and not aliases:
        return MTLS.skipped("not offered")
    words = ", ".join(offered) or "tokens are bound to certificates"
    if not isinstance(aliases, dict) or not aliases:
        return MTLS.passed(f"{words}; without aliases, at the endpoints themselves")
    hosts = sorted({host_of(one) for one in aliases.values() if isinstance(one, str)})
    return MTLS.passed(f"{words}; aliases at {', '.join(hosts)}")


def _registering(document: Document) -> Iterator[Finding]:
    url = document.text("registration_endpoint")
    yield REGISTRATION.passed(url) if url else REGISTRATION.skipped("not offered")
    documents = document.raw.get("client_id_metadata_document_supported") is True
    yield CIMD.passed("supported") if documents else CIMD.skipped("not offered")


def _fapi(document: Document, wanted: bool) -> Finding:
    known = judged(document)
    if known is None:
        return FAPI.skipped("the document is refused as a whole")
    try:
        gaps = list(fapi_metadata(known, Wanted(uses=frozenset(USES) - {"introspection"})))
    except PyIdentityModelException as error:  # a member that cannot be used, and would have to be
        gaps = []
        broken = error.claim or error.code
        return FAPI.failed(f"{broken} cannot be used") if wanted else FAPI.skipped(f"gaps: {broken} cannot be used")
    if not gaps:
        return FAPI.passed("no gap in the metadata")
    words = "; ".join(f"{gap.rule} {printable(gap.claim, 60)}" for gap in gaps)
    return FAPI.failed(f"gaps: {words}") if wanted else FAPI.skipped(f"gaps: {words}")


__all__ = ["CHECKS", "PKCE", "offers"]
