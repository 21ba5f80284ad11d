"""The end of a login: what came back is checked, the code exchanged, the ID token validated; and later refreshes.

The order of the checks is theirs who wrote the norms: whose response it is (state, RFC 9207), whether it has the form
that was asked for, then what it says (OpenID Connect Core 3.1.2.7, 3.2.2.8, 3.3.2.8, 3.1.3.7, 12.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from ..._refusals import refused
from ...exceptions import AuthorizeCallbackException, ConfigurationException, IdTokenValidationException, printable
from ..base.flow import Flow, now
from ..base.header_lists import words
from ..base.response import answered
from ..base.scopes import Scopes, scope_text
from ..base.secret import Secret, exposed, same_text
from ..base.store import AnyStore
from ..client.grants import (
    AuthorizationCodeTokenRequest,
    RefreshTokenRequest,
    refresh_token,
    request_authorization_code_token,
    required,
)
from ..client.token_response import BEARER, TokenResponse
from ..validation.claim_checks import Claims
from ..validation.id_token import REFRESH_LEEWAY, IdTokenExpectation, check_refreshed_id_token
from .authorization import response_type_set
from .callback import (
    FORM_POST,
    FRAGMENT,
    QUERY,
    AuthorizeCallbackResponse,
    CallbackInput,
    parse_callback_values,
    read_callback,
)
from .callback_checks import AuthorizeCallbackValidationResult, validate_authorize_callback_issuer
from .client import LoginClient, LoginServices, endpoint_of, hint_of, provider_metadata
from .jarm import SignedCallback, open_jarm, verify_jarm
from .response import LoginResponse, check_user, made_of, validated
from .transaction import LoginTransaction, binding_digest, take, use_once

_JWT = "jwt"


class Returned(NamedTuple):
    """What came back, and where the login is remembered: by the caller, or in a store."""

    callback: CallbackInput | AuthorizeCallbackResponse
    transaction: LoginTransaction | str | None = None
    store: AnyStore | None = None
    binding: str | Secret | None = None
    response_mode: str | None = None

    def __repr__(self) -> str:
        return f"Returned({self.response_mode})"


def complete_login(client: LoginClient, returned: Returned, services: LoginServices) -> Flow[LoginResponse]:
    """Check what came back, exchange the code, validate the ID token."""
    response = yield from answered(LoginResponse, lambda: _complete(client, returned, services))
    if response.exception is not None and not isinstance(response.exception, ConfigurationException):
        response.exception.needs_new_login = True  # state and code are good for one attempt
    return response


def _complete(client: LoginClient, returned: Returned, services: LoginServices) -> Flow[LoginResponse]:
    arrived = _arrived(client, returned)
    transaction = yield from _redeemed(client, returned, arrived.state, services)
    _check_way(arrived, transaction)
    response = yield from _verified(client, arrived, services)
    # RFC 9207 1: an ID token that comes along names the issuer as well, and more safely. Some providers that announce
    # iss leave it out beside one.
    vouched = response.is_successful and response.identity_token is not None and not client.require_iss
    required = transaction.iss_required and not vouched
    verdict = validate_authorize_callback_issuer(
        response, _expected_issuer(client, response, transaction), require=required
    )
    if response.exception is not None and _counts(verdict.result, client):
        return LoginResponse.failed(
            response.exception,
            error_code=response.error_code,
            error_description=response.error_description,
            error_uri=response.error_uri,
        )
    verdict.raise_for_error()
    kinds = response_type_set(transaction.response_type)
    _check_parameters(response, kinds)
    front = yield from _front_channel_claims(client, response, transaction, services)
    if "code" in kinds:
        return (yield from _exchanged(client, response, transaction, front, services))
    check_user(transaction.expected_sub, front)
    return (yield from _implicit(client, response, transaction, front))


def _expected_issuer(client: LoginClient, response: AuthorizeCallbackResponse, transaction: LoginTransaction) -> str:
    """Return the issuer that the response may name: the one that was asked, or one tenant of it.

    Which tenant, and whether it may sign in, the ID token says; both must name the same.
    """
    named = response.values.get("iss")
    template = client.issuer_template
    return named if named and template is not None and template.value(named) is not None else transaction.issuer


def _counts(result: AuthorizeCallbackValidationResult, client: LoginClient) -> bool:
    """Tell whether an error response is told as what it is.

    One without the issuer that was announced is told, too: it ends this login and brings nothing, and
    an application that asked with ``prompt=none`` has to see ``login_required``. One that names another issuer is not.
    """
    missing = result is AuthorizeCallbackValidationResult.MISSING_ISSUER and not client.require_iss
    return missing or result is AuthorizeCallbackValidationResult.ERROR_RESPONSE


# ---------------------------------------------------------------------------------------------------------------------
# Whose response it is


class _Arrived(NamedTuple):
    """A response before it is believed: which login it names, and how it came."""

    what: AuthorizeCallbackResponse | SignedCallback
    state: str | None
    way: str | None
    address: str | None

    def __repr__(self) -> str:
        return f"_Arrived({self.way})"


def _arrived(client: LoginClient, returned: Returned) -> _Arrived:
    """Return what came back; one in a JWT opened, not yet verified."""
    response = returned.callback
    if not isinstance(response, AuthorizeCallbackResponse):
        callback = read_callback(response, response_mode=returned.response_mode)
        if "response" in callback.values:
            opened = open_jarm(callback, client.authorization_decryption)
            way = f"{callback.response_mode}.{_JWT}" if callback.response_mode else _JWT
            return _Arrived(opened, opened.state, way, callback.address)
        response = parse_callback_values(callback)
    return _Arrived(response, response.state, response.response_mode, response.address)


def state_of(client: LoginClient, callback: CallbackInput, response_mode: str | None = None) -> str | None:
    """Return the state that a response names, before anything of it is believed; None if it names none.

    Raises:
        AuthorizeCallbackException: It is no authorization response, too long, or ambiguous.
    """
    return _arrived(client, Returned(callback, response_mode=response_mode)).state


def _verified(client: LoginClient, arrived: _Arrived, services: LoginServices) -> Flow[AuthorizeCallbackResponse]:
    """Return the response; one in a JWT verified and taken out of it.

    Its login has ended by now, whatever comes out. So it may wait for a new key as an ID token does, while a response
    that belongs to no login under way has been refused before anything was fetched for it.
    """
    if isinstance(arrived.what, AuthorizeCallbackResponse):
        return arrived.what
    config = client.validation_config(client.authorization_signed_response_alg or client.id_token_signed_response_alg)
    verified = yield from verify_jarm(arrived.what, config, client.address, services.validators, login=True)
    return parse_callback_values(verified._replace(response_mode=arrived.way))


def _redeemed(
    client: LoginClient, returned: Returned, state: str | None, services: LoginServices
) -> Flow[LoginTransaction]:
    """Return the transaction that the response belongs to; from here on it counts as used."""
    if (returned.transaction is None) == (returned.store is None):
        raise ConfigurationException(
            "Either the transaction or the store that has it is needed", code="transaction_missing", claim="transaction"
        )
    if not state:
        raise _refused("state_missing", "The response has no state", "state")
    if returned.store is not None:
        transaction = yield from take(returned.store, state)
    else:
        transaction = _given(returned.transaction)
    wall = (yield from now()).wall
    if not same_text(state, transaction.state):
        raise _refused("state_mismatch", "The state is not the one that was sent", "state")
    _check_binding(returned, transaction)
    if wall >= transaction.expires_at:
        raise _refused("transaction_expired", "The login took too long", "state", hint="begin a new login")
    if returned.store is None:
        yield from use_once(services.used, transaction, wall)
    _check_client(client, transaction)
    return transaction


def _given(transaction: object) -> LoginTransaction:
    if isinstance(transaction, LoginTransaction):
        return transaction
    if isinstance(transaction, str):
        return LoginTransaction.from_string(transaction)
    raise ConfigurationException(
        "transaction must be a LoginTransaction or its text",
        code="policy_invalid",
        claim="transaction",
        actual=type(transaction).__name__,
    )


def _check_binding(returned: Returned, transaction: LoginTransaction) -> None:
    if returned.binding is None and transaction.binding is None:
        if returned.store is None:
            return
        raise _refused("binding_missing", "The login is bound to no user agent", "binding")
    shown = "" if returned.binding is None else binding_digest(returned.binding)
    if not same_text(shown, transaction.binding or ""):
        raise _refused(
            "binding_mismatch",
            "The login was begun by another user agent",
            "binding",
            hint="the cookie must come back with the response: SameSite=None for form_post",
        )


def _check_client(client: LoginClient, transaction: LoginTransaction) -> None:
    # RFC 9700 4.4.2: the issuer that was asked is remembered with the request.
    for name in ("issuer", "client_id"):
        if getattr(transaction, name) != getattr(client, name):
            raise _refused(
                "transaction_mismatch",
                f"The login was begun with another {name}",
                name,
                expected=printable(getattr(transaction, name)),
                actual=printable(getattr(client, name)),
            )
    jkt = client.dpop_key.jwk_thumbprint if client.dpop_key else None
    if transaction.dpop_jkt != jkt:
        raise ConfigurationException(
            "The code is bound to another DPoP key than the client has now",
            code="dpop_key_changed",
            claim="dpop_key",
            hint="keep the key: DPoPKey.from_pem",
        )


# ---------------------------------------------------------------------------------------------------------------------
# Whether it has the form that was asked for


def _check_way(arrived: _Arrived, transaction: LoginTransaction) -> None:
    expected, way = transaction.response_mode, arrived.way
    transport, jwt = expected.partition(".")[0], expected.endswith(_JWT)
    came = way.partition(".")[0] if way else None
    in_jwt = way is not None and way.endswith(_JWT)
    if in_jwt != jwt or (came in (QUERY, FRAGMENT, FORM_POST) and came != transport):
        raise _refused(
            "response_mode_mismatch",
            f"The response came as {way or 'plain parameters'}, not as {expected}",
            "response_mode",
            expected=expected,
            actual=way,
            hint="say how parameters came with response_mode" if way == QUERY else None,
        )
    # RFC 9700 4.4.2.2: the redirect address may be what tells providers apart.
    address = transaction.redirect_uri.partition("?")[0]
    if arrived.address is not None and arrived.address != address:
        raise _refused(
            "redirect_uri_mismatch",
            "The response came to another address than the redirect_uri",
            "redirect_uri",
            expected=printable(address),
            actual=printable(arrived.address),
            hint="behind a proxy, pass the query alone: '?' and what follows",
        )


#: Response type -> parameter of the response, and its field.
_BRINGS = {"code": ("code", "code"), "id_token": ("id_token", "identity_token"), "token": ("access_token",) * 2}


def _check_parameters(response: AuthorizeCallbackResponse, kinds: frozenset[str]) -> None:
    for kind, (name, attribute) in _BRINGS.items():
        value = getattr(response, attribute)
        if kind in kinds and not value:
            raise _refused("authorization_response_incomplete", f"The response has no {name}", name)
        if kind not in kinds and value:
            raise _refused("authorization_response_unexpected", f"The response has {name}, unasked", name)
    if response.refresh_token:
        raise _refused("authorization_response_unexpected", "The response has refresh_token", "refresh_token")
    if "token" in kinds and (response.token_type or "").lower() != BEARER:
        raise _refused(
            "token_type_unsupported",
            "The token type is not Bearer",
            "token_type",
            expected=BEARER,
            actual=printable(response.token_type, 40),
        )


# ---------------------------------------------------------------------------------------------------------------------
# What it says


def _front_channel_claims(
    client: LoginClient, response: AuthorizeCallbackResponse, transaction: LoginTransaction, services: LoginServices
) -> Flow[Claims | None]:
    if response.identity_token is None:
        return None
    # OpenID Connect Core 3.2.2.9, 3.3.2.10: what comes through the browser must be bound to the ID token.
    hashes = {"c_hash": response.code, "at_hash": response.access_token, "s_hash": client.require_s_hash or None}
    alone = response.code is None
    expectation = IdTokenExpectation(
        nonce=transaction.nonce,
        code=response.code,
        access_token=response.access_token,
        state=transaction.state,
        hashes_required=frozenset(name for name, value in hashes.items() if value is not None),
        max_age=transaction.max_age if alone else None,
        acr_values=transaction.acr_values if alone else None,
        asked_at=transaction.created_at,
    )
    claims = yield from validated(client, response.identity_token, expectation, services)
    _check_same_issuer(response, claims)
    return claims


def _exchanged(
    client: LoginClient,
    response: AuthorizeCallbackResponse,
    transaction: LoginTransaction,
    front: Claims | None,
    services: LoginServices,
) -> Flow[LoginResponse]:
    metadata = yield from provider_metadata(client, services)
    request = AuthorizationCodeTokenRequest(
        endpoint_of(client, metadata, "token_endpoint"),
        code=response.code or "",
        redirect_uri=transaction.redirect_uri,
        code_verifier=transaction.code_verifier,
        dpop_key=client.dpop_key,
        resource=transaction.resource or None,
        **client.credentials(metadata),
    )
    tokens = yield from request_authorization_code_token(request)
    tokens.raise_for_error()
    claims = yield from _identified(client, response.code, tokens, transaction, services)
    _check_same_issuer(response, claims)
    _check_same_user(front, claims)
    check_user(transaction.expected_sub, claims)
    more = {"data": transaction.data, "session_state": response.session_state, "resource": transaction.resource}
    return made_of(client, tokens, claims, transaction.scope, **more)


def _identified(
    client: LoginClient,
    code: str | None,
    tokens: TokenResponse,
    transaction: LoginTransaction,
    services: LoginServices,
) -> Flow[Claims | None]:
    """Return the validated claims of the ID token that came with the tokens; None if none was asked for."""
    if transaction.nonce is None:
        return None
    # RFC 9700 4.5.3.2: also after a front-channel ID token, and before any token is used.
    expectation = IdTokenExpectation(
        nonce=transaction.nonce,
        access_token=tokens.access_token,
        code=code,
        max_age=transaction.max_age,
        acr_values=transaction.acr_values,
        asked_at=transaction.created_at,
    )
    return (yield from validated(client, tokens.id_token, expectation, services))


def _check_same_issuer(response: AuthorizeCallbackResponse, claims: Claims | None) -> None:
    # RFC 9207 2.4: where an ID token comes as well, both name one issuer.
    named = response.values.get("iss")
    if named is not None and claims is not None and claims["iss"] != named:
        raise _refused(
            "authorization_issuer_mismatch",
            "The response and the ID token name different issuers",
            "iss",
            expected=printable(claims["iss"]),
            actual=printable(named),
        )


def _check_same_user(front: Claims | None, back: Claims | None) -> None:
    # OpenID Connect Core 3.3.3.6: iss and sub MUST be identical in both ID tokens.
    for claim in ("iss", "sub"):
        if front is not None and back is not None and front.get(claim) != back.get(claim):
            raise IdTokenValidationException(
                f"The two ID tokens of this login differ in {claim}",
                "payload",
                code="id_token_mismatch",
                claim=claim,
                expected="as in the front channel",
                actual="another",
            )


def _implicit(
    client: LoginClient, response: AuthorizeCallbackResponse, transaction: LoginTransaction, claims: Claims | None
) -> Flow[LoginResponse]:
    wall = (yield from now()).wall
    return LoginResponse(
        True,
        id_token=response.identity_token,
        id_token_hint=None if response.identity_token is None else hint_of(client, response.identity_token),
        access_token=response.access_token,
        token_type=response.token_type,
        expires_at=None if response.expires_in is None else wall + response.expires_in,
        scope=response.scope or transaction.scope,
        claims=claims,
        data=transaction.data,
        session_state=response.session_state,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Refresh


def refresh_login(
    client: LoginClient,
    token: str | Secret,
    first: Mapping[str, Any] | None,
    scope: Scopes | None,
    services: LoginServices,
) -> Flow[LoginResponse]:
    """Exchange a refresh token; an ID token that comes along must continue the first one."""
    return (yield from answered(LoginResponse, lambda: _refreshed(client, token, first, scope, services)))


def _refreshed(
    client: LoginClient,
    token: str | Secret,
    first: Mapping[str, Any] | None,
    scope: Scopes | None,
    services: LoginServices,
) -> Flow[LoginResponse]:
    required("refresh_token", token)
    if first is None and "openid" in words(scope_text(client.scope)):
        # Said before the refresh token is used up.
        raise ConfigurationException(
            "The claims of the login are needed, to compare a new ID token with", code="policy_invalid", claim="claims"
        )
    metadata = yield from provider_metadata(client, services)
    request = RefreshTokenRequest(
        endpoint_of(client, metadata, "token_endpoint"),
        refresh_token=exposed(token),
        scope=scope,
        dpop_key=client.dpop_key,
        **client.credentials(metadata),
    )
    tokens = yield from refresh_token(request)
    tokens.raise_for_error()
    if tokens.id_token is None or first is None:
        return made_of(client, tokens, None, None)
    # OpenID Connect Core 12.2: validated like the first, and compared with it.
    expectation = IdTokenExpectation(access_token=tokens.access_token)
    claims = yield from validated(client, tokens.id_token, expectation, services)
    check_refreshed_id_token(dict(first), claims, leeway=max(REFRESH_LEEWAY, client.leeway or 0.0))
    return made_of(client, tokens, claims, None)


_refused = partial(refused, AuthorizeCallbackException)


__all__ = ["Returned", "complete_login", "refresh_login", "state_of"]
