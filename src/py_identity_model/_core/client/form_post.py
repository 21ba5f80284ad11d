"""The form that a client posts: parameters, what authenticates the client, and what the caller adds (RFC 6749 3.2).

Whatever posts a form to a provider goes through :func:`build_client_request`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from ...exceptions import ConfigurationException, printable
from ..base.flow import Flow, Request
from ..base.header_fields import with_fields
from ..base.response import by_backchannel
from ..base.secret import Secret, current, exposed
from ..base.urls import origin, parse_url
from .client_auth import ClientRequest, Pairs, authenticate, check_text
from .identity_tokens import CurrentToken, IdentityTokenSource, current_token

R = TypeVar("R", bound=ClientRequest)

#: Credentials that may be functions.
_CREDENTIALS = ("client_secret", "client_assertion")
#: Parameters that ``extra`` must not bring: who asks, and for what grant.
_RESERVED = frozenset({"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"})


def build_client_request(
    request: ClientRequest,
    parameters: Iterable[tuple[str, str | Secret | None]],
    wall: float,
    *,
    headers: Pairs = (),
    accept: str = "application/json",
) -> Request:
    """Build the form post that carries *parameters* and the client's authentication.

    Args:
        request: Address, credentials and extra parameters.
        parameters: The form, in order; those that are None are left out.
        wall: The time, in seconds since 1970.
        headers: Further headers.
        accept: The media type asked for.

    Raises:
        ConfigurationException: The request cannot be sent as it is.
    """
    parse_url(request.address, "address", require_https=not request.allow_insecure_http)
    request = _as_of_now(request)
    proof = authenticate(request, request.address, request.issuer, wall)
    form = [*((name, exposed(value)) for name, value in parameters if value is not None), *proof.form]
    form += _extra(request.extra, {name for name, _ in form})
    for name, value in form:
        check_text(name, value)
    built = Request(
        "POST",
        request.address,
        (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept", accept),
            *proof.headers,
            *headers,
        ),
        urlencode(form).encode(),
        certificate=proof.certificate,
    )
    # What is posted to is at another host than the issuer, if at all, because it is not what the backchannel leads to.
    elsewhere = request.issuer is not None and origin(request.issuer) != origin(request.address)
    if not elsewhere:
        built = by_backchannel(built, request, require_https=not request.allow_insecure_http)
    return with_fields(built, request.headers)


def ready(request: R, names: Sequence[str] = _CREDENTIALS) -> Flow[R]:
    """Return *request* with its credentials as of now; the original remembers what was sent.

    It is called for each request that is sent, so that no assertion is sent twice where its source has a new one.

    Args:
        request: The request.
        names: Which of its fields are asked for.

    Raises:
        ConfigurationException: A credential is not to be had, or cannot be used.
        TokenUnavailable: A platform has no token that can be used now.
    """
    made: dict[str, Any] = {}
    for name in names:
        given: CurrentToken | None = getattr(request, name)
        if isinstance(given, IdentityTokenSource) or callable(given):
            made[name] = yield from current_token(given, name)
    if not made:
        return request
    object.__setattr__(request, "_sent", tuple(exposed(value) for value in made.values()))
    if request.auth_method is None and "client_assertion" in made:  # its source says how, which the text no longer does
        made["auth_method"] = getattr(request.client_assertion, "_auth_method", None)
    return replace(request, **made)


def sent_ready(request: R, build: Callable[[R], Request]) -> Flow[Request]:
    """Return what *build* makes of *request* with its credentials as of now."""
    return build((yield from ready(request)))


def _as_of_now(request: ClientRequest) -> ClientRequest:
    """Return *request* with what functions return as its credentials; the original remembers what was sent."""
    called: dict[str, Any] = {n: current(getattr(request, n), n) for n in _CREDENTIALS if callable(getattr(request, n))}
    if not called:
        return request
    object.__setattr__(request, "_sent", tuple(exposed(value) for value in called.values() if value is not None))
    return replace(request, **called)


def _extra(extra: Mapping[str, str] | None, taken: set[str]) -> list[tuple[str, str]]:
    for name, value in (extra or {}).items():
        # RFC 6749 3.2: parameters must not be included more than once.
        if name in taken or name in _RESERVED:
            raise ConfigurationException(
                f"extra must not set {printable(name)}", code="parameter_reserved", claim=printable(name)
            )
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigurationException(
                "extra maps names to text", code="parameter_invalid", claim=printable(name), actual=type(value).__name__
            )
    return list((extra or {}).items())


__all__ = ["build_client_request", "ready", "sent_ready"]
