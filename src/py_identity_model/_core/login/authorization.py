"""Authorization requests: what a client sends the user's browser to the provider with, and the PKCE that protects it.

RFC 6749 4.1.1, RFC 7636 (PKCE, S256 only), RFC 8707 (``resource``), RFC 9396 (``authorization_details``), RFC 9449 10
(``dpop_jkt``), OpenID Connect Core 3.1.2.1, OAuth 2.0 Multiple Response Types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..._arguments import explains_arguments
from ..._refusals import bounded, must_be
from ...exceptions import ConfigurationException, printable
from ..base.header_lists import words
from ..base.scopes import Scopes
from ..base.secret import Redacted, Secret, exposed
from ..base.strict_json import StrictJSONError, loads
from ..base.urls import is_loopback, parse_url
from ..client.grants import GrantRequest, build_grant_parameters, required
from .pkce import S256, check_challenge_method

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{1,128}\Z")

_malformed = partial(must_be, code="parameter_invalid")

# ---------------------------------------------------------------------------------------------------------------------
# Requests


@dataclass(kw_only=True, repr=False)
class AuthorizationOptions(Redacted):
    """What an authorization request may ask for beyond the necessary.

    Attributes:
        prompt: What the provider shows: ``none``, ``login``, ``consent``, ``select_account``, separated by spaces.
        max_age: Seconds since the user last authenticated; 0 asks for a new authentication.
        acr_values: Authentication contexts, the preferred one first.
        ui_locales: Languages of the provider's pages, the preferred one first.
        claims_locales: Languages of the claims.
        claims: Single claims asked for (OpenID Connect Core 5.5).
        login_hint: Who is about to log in.
        id_token_hint: An earlier ID token of the user.
        display: ``page``, ``popup``, ``touch`` or ``wap``.
        dpop_jkt: Thumbprint of the DPoP key that the code is bound to (RFC 9449 10).
    """

    prompt: str | Sequence[str] | None = None
    max_age: int | None = None
    acr_values: str | Sequence[str] | None = None
    ui_locales: str | Sequence[str] | None = None
    claims_locales: str | Sequence[str] | None = None
    claims: Mapping[str, Any] | str | None = None
    login_hint: str | None = None
    id_token_hint: str | Secret | None = None
    display: str | None = None
    dpop_jkt: str | None = None


@dataclass(kw_only=True, repr=False)
class OwnAuthorizationOptions(AuthorizationOptions):
    """The same for a request whose challenge and redirect address are the caller's; a login makes its own.

    Attributes:
        allow_challenge_that_shows_the_verifier: Take the code challenge method ``plain``.
        allow_redirect_uri_over_insecure_http: Take a redirect address on another machine that is plain http.
    """

    allow_challenge_that_shows_the_verifier: bool = False
    allow_redirect_uri_over_insecure_http: bool = False


@dataclass(kw_only=True, repr=False)
class AuthorizationRequest(OwnAuthorizationOptions):
    """An authorization request, whichever way it travels: in the URL, pushed, or signed.

    Attributes:
        client_id: The client.
        redirect_uri: Where the user comes back to, exactly as registered.
        scope: Scopes, separated by spaces.
        response_type: ``code``, or a combination of ``code``, ``id_token`` and ``token``.
        response_mode: How the response comes back; the default of the response type if None.
        state: Binds the response to this user agent.
        nonce: Binds the ID token to this request.
        code_challenge: The code challenge.
        code_challenge_method: ``S256``, also if None.
        resource: Where the tokens will be used (RFC 8707).
        authorization_details: What exactly is asked for (RFC 9396).
        extra: Further parameters; none may repeat a parameter that has a field.
    """

    client_id: str
    redirect_uri: str
    scope: Scopes | None = "openid"
    response_type: str = "code"
    response_mode: str | None = None
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    resource: str | Sequence[str] | None = None
    authorization_details: Sequence[Mapping[str, Any]] | str | None = None
    extra: Mapping[str, str] | None = None

    _redacted = frozenset({"state", "nonce", "id_token_hint", "extra"})


#: Parameters that have a field, and those that must never stand in a URL or would replace the whole request.
_OWN = frozenset(f.name for f in fields(AuthorizationRequest) if not f.name.startswith("allow_")) - {"extra"}
_NEVER = frozenset(
    {"request", "request_uri", "client_secret", "client_assertion", "client_assertion_type", "code_verifier"}
)
#: Optional fields that :func:`build_authorization_url` takes by name.
_BY_NAME = _OWN - {
    *("client_id", "redirect_uri", "scope", "response_type", "state", "nonce"),
    *("code_challenge", "code_challenge_method"),
}

#: Response types that can be asked for, each as a set (OAuth 2.0 Multiple Response Types 3 to 5).
RESPONSE_TYPES = frozenset(
    frozenset(words(text))
    for text in ("code", "none", "id_token", "id_token token", "code id_token", "code token", "code id_token token")
)


def response_type_set(response_type: object) -> frozenset[str]:
    """Return a response type as the set it is: the order of its words means nothing.

    Raises:
        ConfigurationException: It is unknown, or ``token`` alone, which nothing protects from injection.
    """
    words = response_type.split(" ") if isinstance(response_type, str) else []
    found = frozenset(words)
    if found in RESPONSE_TYPES and len(found) == len(words):
        return found
    refused = found == {"token"}
    raise ConfigurationException(
        "response_type=token must not be used (RFC 9700 2.1.2)" if refused else "The response_type is unknown",
        code="response_type_refused" if refused else "response_type_invalid",
        claim="response_type",
        expected=sorted(" ".join(sorted(r)) for r in RESPONSE_TYPES),
        actual=printable(response_type, 60),
        hint="use response_type=code",
    )


def check_redirect_uri(redirect_uri: object, *, allow_insecure_http: bool = False) -> None:
    """Refuse a redirect address that would give the response away (RFC 6749 3.1.2, RFC 9700 2.1 and 2.6, RFC 8252 7).

    Raises:
        ConfigurationException: The code is ``redirect_uri_invalid`` or ``redirect_uri_insecure``.
    """
    text = redirect_uri if isinstance(redirect_uri, str) else ""
    try:
        parts = urlsplit(text) if text.isascii() and text.isprintable() and " " not in text else None
        host = parts.hostname if parts else None
    except ValueError:
        parts = host = None
    if not parts or not parts.scheme or "#" in text or parts.scheme in _SCRIPTS or len(text) > 2048:
        raise must_be("redirect_uri", "an absolute URI without a fragment", redirect_uri, code="redirect_uri_invalid")
    web = parts.scheme in ("http", "https")
    if web and (not host or "@" in parts.netloc or "\\" in text):
        raise must_be("redirect_uri", "a URL with a plain host", redirect_uri, code="redirect_uri_invalid")
    if parts.scheme == "http" and not is_loopback(host) and not allow_insecure_http:
        raise must_be("redirect_uri", "https, or http to this very machine", redirect_uri, code="redirect_uri_insecure")


_SCRIPTS = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})


def build_authorization_parameters(request: Any, *, extra: bool = True) -> list[tuple[str, str]]:
    """Build the parameters of an authorization request, each but ``resource`` once.

    Args:
        request: An :class:`AuthorizationRequest`, or another request with its fields.
        extra: Whether ``request.extra`` is added.

    Raises:
        ConfigurationException: A parameter is not valid; ``claim`` names it.
    """
    kinds = response_type_set(request.response_type)
    check_redirect_uri(request.redirect_uri, allow_insecure_http=request.allow_redirect_uri_over_insecure_http)
    if "id_token" in kinds and not request.nonce:
        raise ConfigurationException(  # OpenID Connect Core 3.2.2.1
            "A front-channel ID token needs a nonce", code="nonce_missing", claim="nonce"
        )
    details = _json(request.authorization_details, "authorization_details", list)
    grant = GrantRequest("", resource=request.resource, authorization_details=details)
    claims = _json(request.claims, "claims", dict)
    values: list[tuple[str, str | Secret | None]] = [
        required("client_id", request.client_id),
        ("response_type", request.response_type),
        ("redirect_uri", request.redirect_uri),
        *build_grant_parameters(grant, request.scope),
        ("state", request.state),
        ("nonce", request.nonce),
        *_challenge(request),
        ("response_mode", request.response_mode),
        ("prompt", _prompt(request.prompt)),
        ("max_age", _whole_seconds(request.max_age)),
        *((name, _words(name, getattr(request, name))) for name in ("acr_values", "ui_locales", "claims_locales")),
        ("claims", None if claims is None else json.dumps(claims, separators=(",", ":"), allow_nan=False)),
        *((name, getattr(request, name)) for name in ("login_hint", "id_token_hint", "display", "dpop_jkt")),
    ]
    pairs = [(name, _text(name, value)) for name, value in values if value is not None and value != ""]
    return pairs + further_parameters(request.extra) if extra else pairs


def _challenge(request: Any) -> list[tuple[str, str | None]]:
    challenge, method = request.code_challenge, request.code_challenge_method
    if challenge is None:
        if method is not None:
            raise ConfigurationException("code_challenge is missing", code="parameter_missing", claim="code_challenge")
        return []
    # RFC 7636 4.3: left out, the method would be plain.
    method = S256 if method is None else method
    check_challenge_method(method, allow_plain=request.allow_challenge_that_shows_the_verifier)
    if not isinstance(challenge, str) or not _CHALLENGE.match(challenge):
        raise ConfigurationException(
            "code_challenge is base64url text", code="code_challenge_invalid", claim="code_challenge"
        )
    return [("code_challenge", challenge), ("code_challenge_method", method)]


def _text(name: str, value: object) -> str:
    if isinstance(value, Secret):
        return exposed(value)
    if not _is_text(value):
        raise _malformed(name, "text")
    return cast("str", value)


def _is_text(value: object) -> bool:
    """Tell whether *value* is text that has an encoding: a lone surrogate has none."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def _words(name: str, value: str | Sequence[str] | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    words = list(value) if isinstance(value, list | tuple) else []
    if not words or not all(isinstance(word, str) and word and " " not in word for word in words):
        raise _malformed(name, "text, or a list of words")
    return " ".join(words)


def _prompt(value: str | Sequence[str] | None) -> str | None:
    text = _words("prompt", value)
    # OpenID Connect Core 3.1.2.1: `none` with any other value is an error.
    if text is not None and "none" in words(text) and text != "none":
        raise _malformed("prompt", "none alone, or other values")
    return text


def _whole_seconds(value: Any) -> str | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if value is None:
        return None
    return str(bounded(value, "max_age", int, 0, 10**10, unit="seconds", code="parameter_invalid"))


def _json(value: Any, name: str, kind: type) -> Any:
    """Return a parameter that is JSON as the value it is, be it given as one or as text."""
    if isinstance(value, str):
        try:
            value = loads(value)
        except StrictJSONError:
            raise _malformed(name, "JSON") from None
    if value is None:
        return None
    if kind is dict:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or not value:
            raise _malformed(name, "a JSON object")
    return value


def further_parameters(extra: Mapping[str, str] | None, field: str = "extra") -> list[tuple[str, str]]:
    """Return parameters beyond those that have a field, as they are sent.

    Raises:
        ConfigurationException: They are no text, or one of them has a field of its own.
    """
    if extra is not None and not isinstance(extra, Mapping):
        raise _malformed(field, "a mapping of text")
    for name, value in (extra or {}).items():
        # RFC 6749 3.1: parameters must not be included more than once. One that has a field is set there or nowhere.
        if name in _OWN or name in _NEVER:
            raise ConfigurationException(
                f"{field} must not set {printable(name, 60)}", code="parameter_reserved", claim=printable(name, 60)
            )
        if not name or not _is_text(name) or not _is_text(value):
            raise _malformed(printable(name, 60), "text")
    return list((extra or {}).items())


def add_to_endpoint(
    authorization_endpoint: str, parameters: Iterable[tuple[str, str]], *, allow_insecure_http: bool = False
) -> str:
    """Add parameters to the address of an authorization endpoint, whose own query is kept (RFC 6749 3.1).

    Raises:
        ConfigurationException: The address is no https URL without a fragment, or already has such a parameter.
    """
    pairs = list(parameters)
    parts = parse_url(authorization_endpoint, "authorization_endpoint", require_https=not allow_insecure_http)
    taken = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    for name, _ in pairs:
        if name in taken:
            raise ConfigurationException(
                f"The authorization endpoint's own query already sets {printable(name, 60)}",
                code="parameter_reserved",
                claim=printable(name, 60),
            )
    joint = "&" if parts.query else "" if authorization_endpoint.endswith("?") else "?"
    return authorization_endpoint + joint + urlencode(pairs)


@explains_arguments
def build_authorization_url(
    authorization_endpoint: str,
    client_id: str,
    redirect_uri: str,
    scope: Scopes = "openid",
    response_type: str = "code",
    state: str | None = None,
    nonce: str | None = None,
    code_challenge: str | None = None,
    code_challenge_method: str | None = None,
    **extra_params: str,
) -> str:
    """Build the URL that the user's browser is sent to (RFC 6749 4.1.1, OpenID Connect Core 3.1.2.1).

    ``begin_login`` does this and everything around it: state, nonce, PKCE, what the provider supports.

    Args:
        authorization_endpoint: The provider's endpoint; a query of its own is kept.
        client_id: The client.
        redirect_uri: Where the user comes back to, exactly as registered.
        scope: Scopes, separated by spaces.
        response_type: ``code``, or a combination of ``code``, ``id_token`` and ``token``.
        state: Binds the response to this user agent; make a new one for each request.
        nonce: Binds the ID token to this request; required for ID tokens in the front channel.
        code_challenge: The challenge, see :func:`generate_pkce_pair`.
        code_challenge_method: ``S256``, also if None.
        extra_params: Further parameters: ``prompt``, ``max_age``, ``login_hint``, ``resource``, any other.

    Returns:
        The URL, in which no parameter but ``resource`` stands twice.

    Raises:
        ConfigurationException: A parameter cannot be used safely; ``claim`` names it.

    >>> url = build_authorization_url("https://id.example.com/authorize", "app", "https://app.example.com/cb")
    >>> url.partition("redirect_uri=")[2]
    'https%3A%2F%2Fapp.example.com%2Fcb&scope=openid'
    """
    by_name: dict[str, Any] = {name: value for name, value in extra_params.items() if name in _BY_NAME}
    request = AuthorizationRequest(
        client_id=client_id,
        redirect_uri=redirect_uri,
        scope=scope,
        response_type=response_type,
        state=state,
        nonce=nonce,
        code_challenge=code_challenge,
        code_challenge_method=code_challenge_method,
        extra={name: value for name, value in extra_params.items() if name not in by_name},
        **by_name,
    )
    return add_to_endpoint(authorization_endpoint, build_authorization_parameters(request))


__all__ = [
    "RESPONSE_TYPES",
    "AuthorizationOptions",
    "AuthorizationRequest",
    "OwnAuthorizationOptions",
    "add_to_endpoint",
    "build_authorization_parameters",
    "build_authorization_url",
    "check_redirect_uri",
    "further_parameters",
    "response_type_set",
]
