"""How a client gets each kind of token it keeps: in its own name, by a refresh token, in exchange for another token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from ..._refusals import must_be
from ...exceptions import ConfigurationException, NetworkException
from ...observability import emit
from ...settings import Settings
from ..base.flow import Flow, now, sleep
from ..base.scopes import Scopes
from ..base.secret import Secret, exposed
from ..base.store import digest_of
from ..client.grants import (
    ClientCredentialsTokenRequest,
    RefreshTokenRequest,
    refresh_token,
    request_client_credentials_token,
)
from ..client.held_tokens import CLIENT_CREDENTIALS, LOGIN, Asking, Held, kept, wanted
from ..client.token_errors import TokenUnavailable
from ..client.token_renewal import Granted, jittered
from ..client.token_response import TokenResponse
from ..client.workload_identity import WorkloadIdentity
from ..validation.id_token import REFRESH_LEEWAY, IdTokenExpectation, check_refreshed_id_token
from .client import LoginClient, LoginServices, endpoint_of, hint_of, provider_metadata
from .response import validated

R = TypeVar("R", bound=TokenResponse)

EXCHANGE = "on_behalf_of"
WORKLOAD = "workload"
#: Seconds before the one repeat of a request that is safe to repeat.
QUICK_PAUSE = 0.25

Ask = Callable[[Held | None], Flow[Granted]]


class Wants(NamedTuple):
    """What a token is asked for, as the caller says it."""

    scope: Scopes | None = None
    resource: str | Sequence[str] | None = None
    audience: str | Sequence[str] | None = None
    authorization_details: Sequence[Mapping[str, Any]] | None = None
    #: Whose token; None for the client itself, or the one user of a client without credentials.
    subject: str | None = None
    #: The token to exchange.
    on_behalf_of: str | Secret | None = None
    #: The workload that asks, with a token of its platform.
    identity: WorkloadIdentity | None = None

    def __repr__(self) -> str:
        return f"Wants(scope={self.scope!r}, resource={self.resource!r})"


def has_credential(client: LoginClient) -> bool:
    """Tell whether a client can prove who it is."""
    return any((client.client_secret, client.private_key_jwt, client.mtls, client.attestation, client.client_assertion))


def asking_of(client: LoginClient, wants: Wants, exchange: str | None = None) -> Asking:
    """Return every parameter of the token request.

    Args:
        client: The client.
        wants: What is asked for.
        exchange: The grant that a token which came in is exchanged by; None for what the provider offers.

    Raises:
        ConfigurationException: One of them cannot be sent, or two contradict each other.
    """
    grant, subject = CLIENT_CREDENTIALS, ""
    if wants.identity is not None:
        if wants.subject is not None or wants.on_behalf_of is not None:
            raise must_be("identity", "left out beside subject and on_behalf_of")
        grant, subject = WORKLOAD, wants.identity._key
    elif wants.on_behalf_of is not None:
        if wants.subject is not None:
            raise must_be("subject", "left out beside on_behalf_of")
        grant, subject = exchange or EXCHANGE, digest_of("subject token", exposed(wants.on_behalf_of))
    elif wants.subject is not None or not has_credential(client):
        if wants.audience is not None:
            raise must_be("audience", "left out: a refresh token is used with resource")
        grant, subject = LOGIN, login_name(wants.subject)
    return Asking(
        client.issuer,
        client.client_id,
        _credential(client),
        grant,
        subject,
        jkt=client.dpop_key.jwk_thumbprint if client.dpop_key else "",
        **wanted(wants.scope, wants.resource, wants.audience, wants.authorization_details),
    )


def login_name(subject: str | None) -> str:
    """Return what the login of *subject* is kept under; None is the one user of a client without credentials.

    Raises:
        ConfigurationException: It is no text, or empty.
    """
    if subject is not None and (not isinstance(subject, str) or not subject):
        raise must_be("subject", "text that is not empty", type(subject).__name__)
    return "" if subject is None else f"of {subject}"


def _credential(client: LoginClient) -> str:
    """Return what tells one credential from another, without showing it.

    A certificate is told by itself, as tokens are bound to it (RFC 8705 3); a key by its name; a secret is one of many
    that follow each other.
    """
    key = client.private_key_jwt
    given = {
        "method": None if client.auth_method is None else str(client.auth_method),
        "secret": client.client_secret is not None,
        "key": None if key is None else (key.kid or "a key"),
        "certificate": None if client.mtls is None else client.mtls.certificate,
        "attestation": client.attestation is not None,
        "assertion": client.client_assertion is not None,
    }
    return digest_of(*(f"{name} {value}" for name, value in given.items() if value))


# ---------------------------------------------------------------------------------------------------------------------
# Asking the provider


def by_client_credentials(client: LoginClient, wants: Wants, services: LoginServices, settings: Settings) -> Ask:
    """Return what fetches a token in the client's own name."""

    def ask(held: Held | None) -> Flow[Granted]:
        metadata = yield from provider_metadata(client, services)
        wall = (yield from now()).wall
        request = ClientCredentialsTokenRequest(
            endpoint_of(client, metadata, "token_endpoint"),
            scope=wants.scope,
            resource=wants.resource,
            authorization_details=wants.authorization_details,
            extra=named_audience(wants),
            dpop_key=client.dpop_key,
            **client._credentials_for(metadata, "client_credentials"),
        )
        response = yield from request_client_credentials_token(request, once)
        if _may_pass(response):
            yield from sleep(jittered(QUICK_PAUSE))
            response = yield from request_client_credentials_token(request, once)
        return granted(response, wall)

    # The pauses between attempts are the manager's: nobody who has a good token waits for them.
    once = replace(settings, http_retry_max_attempts=0)
    return ask


def _may_pass(response: TokenResponse) -> bool:
    """Tell whether a second attempt at once may go better."""
    error = response.exception
    if isinstance(error, TokenUnavailable):  # the platform's token, whose source has repeated what may help
        return False
    if not isinstance(error, NetworkException) or error.code == "timeout" or error.retry_after is not None:
        return False
    return error.status_code is None or error.status_code >= 500


def named_audience(wants: Wants) -> dict[str, str] | None:
    """Return the parameter of an audience by name.

    Raises:
        ConfigurationException: There are several.
    """
    if wants.audience is None:
        return None
    if not isinstance(wants.audience, str):
        raise must_be("audience", "one name, except for a token exchange", type(wants.audience).__name__)
    return {"audience": wants.audience}


def by_refresh_token(client: LoginClient, wants: Wants, services: LoginServices) -> Ask:
    """Return what uses the refresh token of a login."""

    def ask(held: Held | None) -> Flow[Granted]:
        if held is None or held.refresh_token is None:
            raise ConfigurationException("There is no refresh token", code="refresh_token_missing")
        metadata = yield from provider_metadata(client, services)
        wall = (yield from now()).wall
        request = RefreshTokenRequest(
            endpoint_of(client, metadata, "token_endpoint"),
            refresh_token=held.refresh_token,
            scope=wants.scope,
            resource=wants.resource,
            authorization_details=wants.authorization_details,
            dpop_key=client.dpop_key,
            **client.credentials(metadata),
        )
        tokens = yield from refresh_token(request)
        found = granted(tokens, wall)
        hint = yield from _continued(client, held, tokens, services)
        return found._replace(refresh_token=tokens.refresh_token, id_token_hint=hint)

    return ask


def _continued(client: LoginClient, held: Held, tokens: TokenResponse, services: LoginServices) -> Flow[str | None]:
    """Return the ID token that came along, as a hint; it must continue the login's (OpenID Connect Core 12.2).

    Raises:
        TokenValidationException: It is another user's, or not valid.
    """
    if tokens.id_token is None or held.claims is None:
        return None
    try:
        expectation = IdTokenExpectation(access_token=tokens.access_token)
        claims = yield from validated(client, tokens.id_token, expectation, services)
    except NetworkException as error:
        # The refresh token is used up: what came for it must not be lost because keys cannot be fetched right now.
        emit("refreshed_id_token_unverified", 30, code=error.code)
        return None
    check_refreshed_id_token(dict(held.claims), claims, leeway=max(REFRESH_LEEWAY, client.leeway or 0.0))
    return hint_of(client, tokens.id_token)


def granted(response: TokenResponse, wall: float) -> Granted:
    """Return what a response brought.

    Raises:
        PyIdentityModelException: It failed.
    """
    response.raise_for_error()
    return Granted(kept(response, wall))


__all__ = [
    "EXCHANGE",
    "WORKLOAD",
    "Ask",
    "Wants",
    "asking_of",
    "by_client_credentials",
    "by_refresh_token",
    "granted",
    "has_credential",
    "login_name",
    "named_audience",
]
