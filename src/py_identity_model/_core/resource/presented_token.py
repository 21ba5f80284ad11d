"""The access token of a request: which header carries it, in which scheme, and that there is only one.

RFC 6750 2, RFC 9449 7.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ...exceptions import InvalidRequestException, MissingCredentialsException, printable
from ..base.base64url import Base64Error, b64url_decode
from ..base.header_lists import TOKEN, members
from ..binding.inbound_request import InboundRequest

#: Characters of an access token at most.
MAX_ACCESS_TOKEN = 65536

# RFC 6750 2.1: b64token, but for the = at its end.
_TOKEN_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
# RFC 9110 11.4: a scheme, and perhaps spaces with a token or the first parameter; all parameters have a =.
_CREDENTIALS = re.compile(rf"{TOKEN}(?: ++[^ =]|\Z)")
_SCHEMES = {"bearer": "Bearer", "dpop": "DPoP"}


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """The access token of a request, and the scheme it came with."""

    scheme: Literal["Bearer", "DPoP"]
    token: str = field(repr=False)


@explains_arguments
def read_token(request: InboundRequest, *, form: Iterable[str] = ()) -> PresentedToken:
    """Take the access token out of a request.

    Only the header ``Authorization`` may carry one (RFC 6750 2.1, RFC 9449 7.1, FAPI 2.0 5.3.4).

    Args:
        request: The request.
        form: The names of the fields of a form in its body, if it has one.

    Returns:
        The token and its scheme.

    Raises:
        MissingCredentialsException: There is none.
        InvalidRequestException: There are several (``credentials_ambiguous``), one is in the query
            (``token_in_query``) or the body (``token_in_body``), or it is malformed (``credentials_malformed``).

    >>> read_token(InboundRequest("GET", "https://api.example.com/", (("Authorization", "bearer abc"),))).scheme
    'Bearer'
    """
    return present(request, form)


def present(request: InboundRequest, form: Iterable[str] = ()) -> PresentedToken:
    """Do the same for a caller that needs no explanation of arguments."""
    # RFC 9700 4.3.2, RFC 6750 2: neither query nor body, and never two ways at once.
    url = request.url
    if ("?" in url or "[" in url) and ("access_token" in url or "%" in url or "[" in url) and _query_has_token(url):
        raise _bad_request("token_in_query", "An access token must not be in the query")
    if form and "access_token" in form:
        raise _bad_request("token_in_body", "An access token must not be in the body")
    values = request.header_values("authorization")
    if not values:
        raise MissingCredentialsException("The request has no access token")
    if len(values) > 1:
        raise _bad_request("credentials_ambiguous", "The request has several Authorization headers")
    return _read_authorization(values[0])


def present_in(header: str, request: InboundRequest) -> PresentedToken:
    """Take the token out of a header of its own, into which what stands in front of the application puts it.

    Raises:
        MissingCredentialsException: There is none.
        InvalidRequestException: There are several, or one is malformed.
    """
    values = request.header_values(header)
    if not values or not values[0]:
        raise MissingCredentialsException("The request has no access token", expected=header)
    if len(values) > 1:
        raise _bad_request("credentials_ambiguous", f"The request has several headers {header}")
    return PresentedToken("Bearer", _read_token(values[0].strip(" \t")))


def header_name(name: object) -> str:
    """Return the name of a header, as headers are looked up by it.

    Raises:
        ConfigurationException: It is none, or Authorization, which has a scheme beside the token.
    """
    if not isinstance(name, str) or not re.fullmatch(TOKEN, name) or name.lower() == "authorization":
        raise must_be("token_header", "the name of a header other than Authorization", name)
    return name.lower()


def _query_has_token(url: str) -> bool:
    try:
        return "access_token" in (name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))
    except ValueError:
        raise _bad_request("request_url_invalid", "The address of the request makes no URL") from None


def _read_authorization(value: str) -> PresentedToken:
    word, _, rest = value.strip(" \t").partition(" ")
    scheme: Any = _SCHEMES.get(word.lower())  # RFC 9110 11.1: schemes have no case.
    if scheme is None:
        if "," in value and _is_joined(value):
            raise _bad_request("credentials_ambiguous", "The request has several Authorization headers")
        # RFC 6750 3.1: an unsupported method of authentication is treated as none.
        raise MissingCredentialsException("The request has no access token", actual=printable(word, 20))
    return PresentedToken(scheme, _read_token(rest.strip(" ")))


def _read_token(token: str) -> str:
    if len(token) > MAX_ACCESS_TOKEN:
        raise _bad_request("token_too_large", "The access token is too large")
    text = token.rstrip("=")
    if not text or not text.isascii() or text.encode().translate(None, _TOKEN_BYTES):
        # RFC 9110 5.3: servers join repeated headers with a comma, which no token has.
        code = "credentials_ambiguous" if "," in token else "credentials_malformed"
        raise _bad_request(code, "The header holds no single access token")
    return token


def _is_joined(value: str) -> bool:
    """Tell whether a server joined several headers (RFC 9110 5.3): what begins with a scheme is no parameter."""
    return any(_CREDENTIALS.match(member) for member in members(value)[0 if value.startswith(",") else 1 :])


def _bad_request(code: str, message: str) -> InvalidRequestException:
    return InvalidRequestException(
        message, code=code, claim="access_token", expected="one Authorization header with the scheme Bearer or DPoP"
    )


def classify_token(token: str) -> Literal["jwt", "opaque"]:
    """Tell by its shape alone whether a token is a JWT or opaque. It says nothing about validity.

    >>> classify_token("eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), classify_token("2YotnFZFEjr1zCsicMWpAA")
    ('jwt', 'opaque')
    """
    # RFC 7515 7.1, RFC 7516 7.1: three or five segments, the first of which is a JSON object.
    segments = token.split(".", 5)
    if len(segments) not in (3, 5):
        return "opaque"
    try:
        header = b64url_decode(segments[0]).strip()
    except Base64Error:
        return "opaque"
    return "jwt" if header[:1] == b"{" and header[-1:] == b"}" else "opaque"


__all__ = ["MAX_ACCESS_TOKEN", "PresentedToken", "classify_token", "header_name", "present", "present_in", "read_token"]
