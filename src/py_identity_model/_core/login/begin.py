"""Logging a user in: from the redirect to the provider to the validated ID token (OpenID Connect Core 3.1 to 3.3, 12).

RFC 9700 2.1 and 4.4 (state, nonce, PKCE, issuer), RFC 9207, RFC 9126, JARM. Nothing of a response is believed, and no
token is handed out, before everything about it was checked.

A login under way is a transaction. The caller keeps it (in the user's session, in an encrypted cookie), or a store:

========  ===============================  =================  ==========
state     event                            kept by a caller   in a store
========  ===============================  =================  ==========
none      a login begins                   begun              begun
begun     a response with another state    begun              begun
begun     a response to another browser    begun              over
begun     its time is over                 over               over
begun     a response that is refused       over               over
begun     the user said no                 over               over
begun     a good response                  over               over
over      a good response                  over               over
========  ===============================  =================  ==========

What always holds: one response at most completes a login; a code is sent to the provider once at most, and only where
state, issuer and form of the response are those that were asked for (see :mod:`.complete`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from ..._refusals import bounded, must_be
from ...exceptions import NetworkException, PyIdentityModelException
from ..base.flow import Flow, now, resolve
from ..base.header_lists import words
from ..base.response import GUARDED, BaseResponse, answered
from ..base.scopes import Scopes, scope_text
from ..base.secret import Secret
from ..base.store import AnyStore
from ..client.grants import several
from ..discovery.metadata import DiscoveryDocumentResponse
from .authorization import (
    AuthorizationOptions,
    AuthorizationRequest,
    add_to_endpoint,
    build_authorization_parameters,
    response_type_set,
)
from .client import (
    LoginClient,
    LoginServices,
    effective_response_mode,
    endpoint_of,
    hint_of,
    provider_metadata,
    unsupported,
)
from .jar import build_request_object, build_signed_parameters, check_published_uri
from .par import (
    PushedAuthorizationRequest,
    build_par_authorization_url,
    push_authorization_request,
)
from .pkce import S256, check_pkce_support, generate_pkce_pair
from .transaction import LoginTransaction, binding_digest, keep

#: Seconds that a user may take at the provider, unless told otherwise, and at most.
DEFAULT_LIFETIME = 600.0
LONGEST_LIFETIME = 86400.0
#: Characters of what the application keeps with a login at most.
MAX_DATA = 8192


@dataclass(kw_only=True, repr=False)
class LoginRequest(AuthorizationOptions):
    """What is special about one login.

    Attributes:
        scope: Scopes in place of the client's.
        resource: Where the tokens will be used (RFC 8707).
        authorization_details: What exactly is asked for (RFC 9396).
        extra: Further parameters of the authorization request.
        binding: A value that only this user's browser brings back, such as a cookie's; required with a store.
        expected_sub: The user that has to come back: for logging in again, or stepping up.
        accept_other_authentication_contexts: Take an ID token whose ``acr`` is none of ``acr_values``.
        lifetime: Seconds that the user may take.
        data: What the application wants to know afterwards, such as the page to return to: JSON values.
    """

    scope: Scopes | None = None
    resource: str | Sequence[str] | None = None
    authorization_details: Sequence[Mapping[str, Any]] | None = None
    extra: Mapping[str, str] | None = None
    binding: str | Secret | None = None
    expected_sub: str | None = None
    accept_other_authentication_contexts: bool = False
    lifetime: float = DEFAULT_LIFETIME
    data: Mapping[str, Any] | None = None

    _redacted = frozenset({"id_token_hint", "extra", "binding", "data"})


@dataclass(repr=False)
class LoginStart(BaseResponse):
    """Where to send the user, and what to remember meanwhile.

    Attributes:
        url: The URL to redirect the browser to.
        transaction: What to remember; None if a store has it.
        expires_at: When the login ends, in seconds since 1970.
    """

    url: str = GUARDED
    transaction: LoginTransaction | None = None
    expires_at: float = GUARDED

    _guarded: ClassVar[frozenset[str]] = frozenset({"url", "transaction", "expires_at"})
    _redacted: ClassVar[frozenset[str]] = frozenset({"url"})


# ---------------------------------------------------------------------------------------------------------------------
# Begin


def begin_login(
    client: LoginClient, request: LoginRequest, store: AnyStore | None, services: LoginServices
) -> Flow[LoginStart]:
    """Make everything that is new for each login, push the request if need be, and return where to send the user."""
    return (yield from answered(LoginStart, lambda: _begin(client, request, store, services)))


def _begin(
    client: LoginClient, request: LoginRequest, store: AnyStore | None, services: LoginServices
) -> Flow[LoginStart]:
    if store is not None and request.binding is None:
        # A store that everybody's browser leads to would let one user complete the login of another.
        raise must_be("binding", "given: a value that only this user's browser brings back", None)
    if client.redirect_uri is None:
        raise must_be("redirect_uri", "given: the browser has to come back", None)
    metadata = yield from provider_metadata(client, services)
    wall = (yield from now()).wall
    verifier, challenge = generate_pkce_pair(verifier_length=64)
    asked = _parameters(client, request, challenge)
    parameters = build_authorization_parameters(AuthorizationRequest(**asked))
    transaction = _new_transaction(client, request, asked, verifier, wall)
    # RFC 9207 2.4: remembered, so that a response without its issuer is refused.
    announced = metadata.authorization_response_iss_parameter_supported is True
    transaction = replace(transaction, iss_required=client.require_iss or announced)
    _check_support(client, transaction, metadata)
    if _is_pushed(client, metadata):
        url = yield from _pushed_url(client, metadata, asked, parameters, wall)
    elif client.publish_request is not None:
        url = yield from _published_url(client, client.publish_request, metadata, parameters, wall)
    else:
        if client.request_signing is not None:
            parameters = build_signed_parameters(parameters, client.request_signing, client.issuer, wall)
        endpoint = metadata.authorization_endpoint or ""
        url = add_to_endpoint(endpoint, parameters, allow_insecure_http=client.allow_insecure_http)
    if store is not None:
        yield from keep(store, transaction, wall)
    kept = transaction if store is None else None
    return LoginStart(True, url=url, transaction=kept, expires_at=transaction.expires_at)


def _new_transaction(
    client: LoginClient, request: LoginRequest, asked: Mapping[str, Any], verifier: str, wall: float
) -> LoginTransaction:
    kinds = response_type_set(client.response_type)
    return LoginTransaction(
        issuer=client.issuer,
        client_id=client.client_id,
        redirect_uri=asked["redirect_uri"],
        response_type=client.response_type,
        response_mode=effective_response_mode(kinds, client.response_mode),
        scope=asked["scope"],
        state=asked["state"],
        nonce=asked["nonce"],
        code_verifier=verifier if "code" in kinds else None,
        created_at=wall,
        expires_at=wall + bounded(request.lifetime, "lifetime", float, 1, LONGEST_LIFETIME, unit="seconds"),
        max_age=None if request.max_age is None else int(request.max_age),
        acr_values=None if request.accept_other_authentication_contexts else _contexts(request),
        expected_sub=_expected_sub(request, asked["nonce"]),
        resource=tuple(several("resource", request.resource)),
        dpop_jkt=asked["dpop_jkt"],
        binding=None if request.binding is None else binding_digest(request.binding),
        data=_data(request.data),
    )


def _expected_sub(request: LoginRequest, nonce: str | None) -> str | None:
    sub = request.expected_sub
    if sub is None or (isinstance(sub, str) and sub and nonce is not None):
        return sub
    raise must_be("expected_sub", "text, with the scope openid", type(sub).__name__)


def _contexts(request: LoginRequest) -> tuple[str, ...] | None:
    """Return the authentication contexts that were asked for, by ``acr_values`` or as an essential claim."""
    values = request.acr_values
    contexts = tuple(words(values) if isinstance(values, str) else values or ())
    claims = request.claims if isinstance(request.claims, Mapping) else {}
    asked = (claims.get("id_token") or {}).get("acr") if isinstance(claims.get("id_token"), Mapping) else None
    if isinstance(asked, Mapping) and asked.get("essential") is True:  # OpenID Connect Core 5.5.1.1
        listed = asked.get("values") or [asked.get("value")]
        contexts += tuple(value for value in listed if isinstance(value, str) and value)
    return contexts or None


def _data(data: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        text = json.dumps(dict(data or {}), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None or len(text) > MAX_DATA:
        raise must_be("data", f"JSON values of at most {MAX_DATA} characters", type(data).__name__)
    kept: dict[str, Any] = json.loads(text)
    return kept


def _parameters(client: LoginClient, request: LoginRequest, challenge: str) -> dict[str, Any]:
    """Return the fields of the authorization request, pushed or not."""
    scope = scope_text(client.scope if request.scope is None else request.scope)
    client.check_scope(scope)
    kinds = response_type_set(client.response_type)
    openid = "openid" in words(scope)
    if "id_token" in kinds and not openid:
        raise must_be("scope", "one with openid: an ID token is asked for", scope)
    jkt = client.dpop_key.jwk_thumbprint if client.dpop_key else None
    if request.dpop_jkt not in (None, jkt):
        raise must_be("dpop_jkt", "that of the client's dpop_key", request.dpop_jkt)
    pkce = {"code_challenge": challenge, "code_challenge_method": S256} if "code" in kinds else {}
    return {
        **{f.name: getattr(request, f.name) for f in fields(AuthorizationOptions)},
        "id_token_hint": None if request.id_token_hint is None else hint_of(client, request.id_token_hint),
        **pkce,
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": scope,
        "response_type": client.response_type,
        "response_mode": client.response_mode,
        # FAPI 2.0 5.3.3.2: at most 64 characters; 43 hold 256 bits.
        "state": secrets.token_urlsafe(32),
        "nonce": secrets.token_urlsafe(32) if openid else None,
        "resource": request.resource,
        "authorization_details": request.authorization_details,
        "extra": _further(client, request),
        "dpop_jkt": jkt,
        "allow_redirect_uri_over_insecure_http": client.allow_insecure_http,
        "allow_challenge_that_shows_the_verifier": False,
    }


def _further(client: LoginClient, request: LoginRequest) -> Mapping[str, str] | None:
    always = client.authorization_parameters
    if not always or not isinstance(request.extra, Mapping | None):
        return request.extra
    return {**always, **(request.extra or {})}


def _check_support(client: LoginClient, transaction: LoginTransaction, metadata: DiscoveryDocumentResponse) -> None:
    """Refuse what the provider says it cannot do, before the user is sent there in vain."""
    kinds = response_type_set(client.response_type)
    if not metadata.authorization_endpoint:
        raise unsupported("authorization_endpoint", "an authorization endpoint", None)
    if "code" in kinds:
        check_pkce_support(metadata.code_challenge_methods_supported)
        if not metadata.token_endpoint:
            raise unsupported("token_endpoint", "a token endpoint", None)
    types = metadata.response_types_supported
    if types and not any(frozenset(words(text)) == kinds for text in types):
        raise unsupported("response_types_supported", client.response_type, types)
    modes = metadata.response_modes_supported
    if client.response_mode is not None and modes and not {client.response_mode, transaction.response_mode} & {*modes}:
        raise unsupported("response_modes_supported", client.response_mode, modes)
    algs, alg = metadata.id_token_signing_alg_values_supported, client.id_token_signed_response_alg
    if transaction.nonce is not None and algs and alg not in algs:
        raise unsupported(
            "id_token_signing_alg_values_supported",
            alg,
            algs,
            hint="set id_token_signed_response_alg to what the client is registered with",
        )


def _published_url(
    client: LoginClient,
    publish: Callable[[str], Any],
    metadata: DiscoveryDocumentResponse,
    parameters: list[tuple[str, str]],
    wall: float,
) -> Flow[str]:
    """Have the application publish the signed request, and return the URL that names it (OpenID Connect Core 6.2)."""
    if metadata.request_uri_parameter_supported is False:
        raise unsupported("request_uri_parameter_supported", "requests by reference (request_uri)", False)
    assert client.request_signing is not None
    signed = build_request_object(parameters, client.request_signing, client.issuer, wall)
    try:
        request_uri = yield from resolve(publish(signed))
    except PyIdentityModelException:
        raise
    except Exception as error:  # foreign code, and its error may hold what it was to publish
        failure = type(error).__name__
    else:
        # OpenID Connect Core 6.2: response_type and scope outside as well, as OAuth 2.0 wants them.
        pairs = [(name, value) for name, value in parameters if name in ("client_id", "response_type", "scope")]
        pairs.append(("request_uri", check_published_uri(request_uri)))
        endpoint = metadata.authorization_endpoint or ""
        return add_to_endpoint(endpoint, pairs, allow_insecure_http=client.allow_insecure_http)
    raise NetworkException(f"The request could not be published: {failure}", code="request_publication_failed")


def _is_pushed(client: LoginClient, metadata: DiscoveryDocumentResponse) -> bool:
    if client.pushed is None:
        return metadata.require_pushed_authorization_requests is True
    return client.pushed


def _pushed_url(
    client: LoginClient,
    metadata: DiscoveryDocumentResponse,
    asked: dict[str, Any],
    parameters: list[tuple[str, str]],
    wall: float,
) -> Flow[str]:
    address = endpoint_of(client, metadata, "pushed_authorization_request_endpoint")
    fields_of = {**client.credentials(metadata), **asked, "dpop_key": client.dpop_key}
    if client.request_signing is not None:
        # RFC 9126 3: every parameter is in the request object, none beside it.
        signed = build_request_object(parameters, client.request_signing, client.issuer, wall)
        fields_of |= {"request_object": signed, "extra": None}
    response = yield from push_authorization_request(PushedAuthorizationRequest(address, **fields_of))
    client.check_pushed_response(response)
    return build_par_authorization_url(
        metadata.authorization_endpoint or "",
        client.client_id,
        response.request_uri or "",
        allow_insecure_http=client.allow_insecure_http,
    )


__all__ = ["DEFAULT_LIFETIME", "LoginRequest", "LoginStart", "begin_login"]
