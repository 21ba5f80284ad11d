"""What comes back to the client's redirect address, before anything is believed.

RFC 6749 4.1.2 and 4.2.2 (query, fragment), OAuth 2.0 Form Post Response Mode, RFC 9207 (``iss``). A response in a JWT
(JARM) is taken out of it elsewhere; its parameters then come to :func:`parse_callback_values` like any others.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ..._arguments import explains_arguments
from ..._refusals import refused
from ...exceptions import AuthorizeCallbackException, ConfigurationException, PyIdentityModelException, printable
from ..base.provider_words import provider_words
from ..base.response import BaseResponse

QUERY = "query"
FRAGMENT = "fragment"
FORM_POST = "form_post"

#: What a callback may come as: a URL, a query string, a form body, or its parameters.
CallbackInput = str | bytes | Mapping[str, str] | Iterable[tuple[str, str]]

#: Characters of a whole callback, parameters in it, and characters of one value at most.
MAX_CALLBACK = 128 * 1024
MAX_PARAMETERS = 64
MAX_VALUE = 64 * 1024
_LONGEST = {"state": 8192, "code": 8192, "iss": 2048, "error": 256, "error_uri": 2048, "error_description": 4096}

# RFC 6749 A.7, A.11 to A.14 and A.17: visible ASCII, so that a value can be sent on as it came.
_VISIBLE = re.compile(r"[\x20-\x7e]+\Z")
_VISIBLE_PARAMETERS = ("code", "access_token", "id_token", "refresh_token", "token_type", "scope", "iss", "error")

#: Parameters by which an authorization response is known.
_TELLTALE = frozenset({"code", "access_token", "id_token", "error", "response", "state"})
_GRANTS = frozenset({"code", "access_token", "id_token"})


@dataclass(repr=False, init=False)
class AuthorizeCallbackResponse(BaseResponse):
    """An authorization response, taken apart; nothing in it is verified yet.

    Attributes:
        raw: The callback as it came.
        values: Its parameters, those that were empty left out.
        code: The authorization code.
        access_token: An access token from the front channel.
        identity_token: An ID token from the front channel, not yet validated.
        token_type: How to use the access token.
        expires_in: Seconds until the access token expires.
        scope: The scope granted.
        refresh_token: A refresh token, which no provider should send this way.
        state: The ``state`` that was sent, so the provider says.
        session_state: What OpenID Connect Session Management calls so.
        issuer: Who answered, so the response says (RFC 9207).
        error: The provider's ``error``.
        error_description: The provider's explanation, made safe to print.
        response_mode: How it came: ``query``, ``fragment``, ``form_post``, ``jwt``; None if that is not known.
        address: The address it came to, without parameters, if that was told.
    """

    # Of which __init__ says the positions.
    raw: str = field(kw_only=True)
    values: dict[str, str] = field(kw_only=True)
    code: str | None = None
    access_token: str | None = None
    identity_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None
    scope: str | None = None
    refresh_token: str | None = None
    state: str | None = None
    session_state: str | None = None
    issuer: str | None = None
    response_mode: str | None = field(default=None, kw_only=True)
    address: str | None = field(default=None, kw_only=True)

    # As published, which is not as in the base.
    __match_args__ = (  # pyright: ignore[reportAssignmentType] # see above
        *("is_successful", "raw", "values", "code", "access_token", "identity_token", "token_type", "expires_in"),
        *("scope", "refresh_token", "state", "session_state", "issuer", "error", "error_description"),
    )

    _guarded: ClassVar[frozenset[str]] = frozenset(
        {"access_token", "code", "expires_in", "identity_token", "issuer"}
        | {"refresh_token", "scope", "session_state", "token_type"}
    )
    _redacted: ClassVar[frozenset[str]] = frozenset(
        {"raw", "values", "code", "access_token", "identity_token", "refresh_token", "state"}
    )

    def __init__(
        self,
        is_successful: bool,
        raw: str,
        values: dict[str, str],
        code: str | None = None,
        access_token: str | None = None,
        identity_token: str | None = None,
        token_type: str | None = None,
        expires_in: int | None = None,
        scope: str | None = None,
        refresh_token: str | None = None,
        state: str | None = None,
        session_state: str | None = None,
        issuer: str | None = None,
        error: str | None = None,
        error_description: str | None = None,  # elsewhere by name only, published here by position
        *,
        error_code: str | None = None,
        error_uri: str | None = None,
        status_code: int | None = None,
        exception: PyIdentityModelException | None = None,
        response_mode: str | None = None,
        address: str | None = None,
    ) -> None:
        super().__init__(
            is_successful,
            error,
            error_code=error_code,
            error_description=error_description,
            error_uri=error_uri,
            status_code=status_code,
            exception=exception,
        )
        self.raw, self.values, self.state, self.session_state = raw, values, state, session_state
        self.code, self.access_token, self.identity_token = code, access_token, identity_token
        self.token_type, self.expires_in, self.scope, self.refresh_token = token_type, expires_in, scope, refresh_token
        self.issuer, self.response_mode, self.address = issuer, response_mode, address


class Callback(NamedTuple):
    """The parameters of a callback and how they came. Each stands once."""

    values: dict[str, str]
    response_mode: str | None
    raw: str
    #: The address without parameters, if a URL was given.
    address: str | None = None

    def __repr__(self) -> str:
        return f"Callback({sorted(self.values)}, {self.response_mode})"


# ---------------------------------------------------------------------------------------------------------------------
# What came in


def read_callback(callback: CallbackInput, *, response_mode: str | None = None) -> Callback:
    """Take a callback apart without judging what it says.

    Args:
        callback: The URL that was called (absolute, or from its path or ``?`` on), a query string, a form body as
            bytes, or parameters as a mapping or pairs. Give pairs where the framework can: a mapping cannot tell that
            a parameter came twice.
        response_mode: How parameters came: ``query``, ``fragment`` or ``form_post``. A URL tells by itself.

    Raises:
        AuthorizeCallbackException: It is no authorization response, too long, or ambiguous.
        ConfigurationException: *callback* is of no such type.
    """
    if isinstance(callback, bytes):
        return Callback(_parse(_decoded(callback)), response_mode or FORM_POST, "")
    if isinstance(callback, str):
        return _read_text(callback, response_mode)
    pairs = callback.items() if isinstance(callback, Mapping) else callback
    return Callback(_unique(_checked_pairs(pairs)), response_mode, "")


def _read_text(text: str, response_mode: str | None) -> Callback:
    if not text or text.isspace():
        raise _refused("authorization_response_empty", "The callback is empty")
    if len(text) > MAX_CALLBACK:
        raise _too_long("the callback", MAX_CALLBACK)
    if "?" not in text and "#" not in text:
        if "://" in text:
            raise _nothing()
        return Callback(_parse(text), response_mode or QUERY, text)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _refused("authorization_response_malformed", "The callback is no URL") from None
    mode, values = _choose(parts.query, parts.fragment)
    address = text.partition("#")[0].partition("?")[0] if parts.scheme else None
    return Callback(values, mode, text, address)


def _choose(query: str, fragment: str) -> tuple[str, dict[str, str]]:
    """Return the part of a URL that holds the response: the redirect address may have a query of its own."""
    # Some providers append a fragment that says nothing, such as #_=_.
    candidates = [(mode, text) for mode, text in ((FRAGMENT, fragment), (QUERY, query)) if _is_response(text)]
    if len(candidates) > 1:
        raise _refused(
            "authorization_response_ambiguous", "Query and fragment both hold an authorization response", claim="code"
        )
    mode, text = candidates[0] if candidates else (QUERY, query)
    if not text:
        raise _nothing()
    return mode, _parse(text)


def _is_response(text: str) -> bool:
    return any(part.partition("=")[0] in _TELLTALE for part in text.split("&", MAX_PARAMETERS))


def _parse(text: str) -> dict[str, str]:
    if len(text) > MAX_CALLBACK:
        raise _too_long("the callback", MAX_CALLBACK)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:  # too many fields, or no UTF-8
        pairs = None
    if pairs is None:
        raise _refused("authorization_response_malformed", "The parameters of the callback cannot be read")
    return _unique(pairs)


def _decoded(body: bytes) -> str:
    if len(body) > MAX_CALLBACK:
        raise _too_long("the callback", MAX_CALLBACK)
    return body.decode("latin-1")  # a form body is ASCII; anything else is refused as a value


def _checked_pairs(pairs: Any) -> list[tuple[str, str]]:
    listed: list[tuple[Any, Any]] = [(None, None)]
    with contextlib.suppress(TypeError, ValueError):  # then they are no pairs
        listed = [(name, value) for name, value in pairs]
    # A framework's list of values per name would hide duplicates.
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in listed):
        raise ConfigurationException(
            "A callback is a URL, a query string, a form body in bytes, or pairs of text",
            code="callback_type_invalid",
            claim="callback",
            hint="give the pairs of a multi-dict, with every value of a name",
        )
    if len(listed) > MAX_PARAMETERS:
        raise _refused("authorization_response_malformed", "The parameters of the callback cannot be read")
    return listed


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    seen: dict[str, str] = {}
    for name, value in pairs:
        # RFC 6749 3.1: response parameters MUST NOT be included more than once.
        if name in seen:
            raise _refused("authorization_response_duplicate", f"{printable(name, 40)} came more than once", claim=name)
        if len(value) > (longest := _LONGEST.get(name, MAX_VALUE)):
            raise _too_long(printable(name, 40), longest)
        seen[name] = value
    # RFC 6749 3.1: parameters sent without a value MUST be treated as if they were omitted.
    return {name: value for name, value in seen.items() if value}


def parse_callback_values(callback: Callback) -> AuthorizeCallbackResponse:
    """Make the response out of parameters, from wherever they came.

    Returns:
        The response; a failed one where the provider says that it refused.

    Raises:
        AuthorizeCallbackException: The parameters contradict each other, or one is malformed.
    """
    values = callback.values
    if not values:
        raise _nothing()
    for name in _VISIBLE_PARAMETERS:
        if name in values and not _VISIBLE.match(values[name]):
            raise _refused("authorization_response_malformed", f"{name} is not visible ASCII", claim=name)
    if "response" in values:
        others = sorted(_GRANTS & values.keys() | {"error"} & values.keys())
        raise _refused(
            "authorization_response_ambiguous" if others else "jarm_response_unverified",
            f"The response is a JWT, yet {others[0]} stands beside it" if others else "The response is a JWT",
            claim="response",
            hint=None if others else "process_jarm_response verifies it",
        )
    if "error" in values and _GRANTS & values.keys():
        raise _refused(
            "authorization_response_ambiguous", "The response says that it failed and brings a grant", claim="error"
        )
    common = {"raw": callback.raw, "response_mode": callback.response_mode, "address": callback.address}
    if "error" in values:
        return _failed(values, common)
    return AuthorizeCallbackResponse(
        True,
        values=dict(values),
        code=values.get("code"),
        access_token=values.get("access_token"),
        identity_token=values.get("id_token"),
        token_type=values.get("token_type"),
        expires_in=_seconds(values.get("expires_in")),
        scope=values.get("scope"),
        refresh_token=values.get("refresh_token"),
        state=values.get("state"),
        session_state=values.get("session_state"),
        issuer=values.get("iss"),
        **common,  # type: ignore[arg-type] # all of them text or None
    )


def _failed(values: dict[str, str], common: dict[str, Any]) -> AuthorizeCallbackResponse:
    error, description = printable(values["error"]), provider_words(values.get("error_description"))
    return AuthorizeCallbackResponse(
        False,
        values=dict(values),
        state=values.get("state"),
        error=error,
        error_code=error,
        error_description=description,
        error_uri=provider_words(values.get("error_uri")),
        exception=AuthorizeCallbackException(
            f"The provider refused: {error}" + (f" ({description})" if description else ""),
            code="authorization_refused",
            claim="error",
            actual=error,
            hint=_HINTS.get(error),
        ),
        **common,
    )


#: What most likely went wrong, by error (RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6).
_HINTS = {
    "login_required": "prompt=none needs a session at the provider: send the user there without it",
    "interaction_required": "prompt=none cannot ask the user anything: send the user there without it",
    "consent_required": "prompt=none cannot ask for consent: send the user there without it",
    "unauthorized_client": "the client is not registered for this response_type",
    "unsupported_response_type": "the provider does not offer this response_type",
    "invalid_scope": "the scope is unknown, malformed or not granted to this client",
}


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise _refused("authorization_response_malformed", "expires_in is no number of seconds", claim="expires_in")
    return int(text)


@explains_arguments
def parse_authorize_callback_response(redirect_uri: str) -> AuthorizeCallbackResponse:
    """Take the URL apart that the provider sent the user back to (RFC 6749 4.1.2, 4.2.2).

    The parameters are taken from the fragment if the response is there, and from the query otherwise. Nothing is
    verified: check ``state`` and ``iss`` next, or leave all of it to ``complete_login``.

    Args:
        redirect_uri: The URL that was called.

    Returns:
        The response; a failed one, with ``error`` and ``error_description``, where the provider refused.

    Raises:
        AuthorizeCallbackException: It is no authorization response: a parameter came twice or is too long, a code
            came together with an error, there is nothing in it.

    >>> parse_authorize_callback_response("https://app.example.com/cb?code=SplxlOBe&state=af0ifjsl").state
    'af0ifjsl'
    """
    if not isinstance(redirect_uri, str):
        raise _refused("authorization_response_malformed", "The callback is no text", claim="redirect_uri")
    return parse_callback_values(read_callback(redirect_uri))


_refused = partial(refused, AuthorizeCallbackException)


def _nothing() -> AuthorizeCallbackException:
    return _refused(
        "authorization_response_empty",
        "The callback has no parameters",
        hint="a response in the fragment stays in the browser: ask for response_mode=form_post",
    )


def _too_long(what: str, limit: int) -> AuthorizeCallbackException:
    return _refused(
        "authorization_response_too_long", f"{what} is longer than {limit} characters", expected=f"at most {limit}"
    )


__all__ = [
    "FORM_POST",
    "FRAGMENT",
    "QUERY",
    "AuthorizeCallbackResponse",
    "Callback",
    "CallbackInput",
    "parse_authorize_callback_response",
    "parse_callback_values",
    "read_callback",
]
