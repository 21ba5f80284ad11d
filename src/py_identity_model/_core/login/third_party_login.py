"""Login that another site starts: a provider or a portal sends the browser here first (OpenID Connect Core 4).

Nothing in such a request is authentic. It may only choose among issuers that are trusted already, and among places of
the application that it may be sent back to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ...exceptions import ConfigurationException, InvalidRequestException, PyIdentityModelException, printable
from ..base.urls import MAX_URL, origin, parse_url
from ..validation.claim_checks import names

#: Characters of the whole query or form at most, and of ``login_hint``.
MAX_INITIATE_LOGIN = 16384
MAX_LOGIN_HINT = 1024

_KNOWN = ("iss", "login_hint", "target_link_uri")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/|\?")
_VISIBLE = re.compile(r"[^\x00-\x1f\x7f]*\Z")


@dataclass(frozen=True, slots=True)
class ThirdPartyLogin:
    """A login that may be started.

    Attributes:
        issuer: The issuer to authenticate at; one of those that are trusted.
        login_hint: What to pass on as ``login_hint`` of the authorization request.
        target_link_uri: Where to send the browser after the login; one of the places that are allowed.
    """

    issuer: str
    login_hint: str | None = None
    target_link_uri: str | None = None


@explains_arguments
def parse_initiate_login(
    parameters: str | Mapping[str, str] | Iterable[tuple[str, str]],
    trusted_issuers: str | Collection[str],
    *,
    allowed_targets: str | Collection[str] = (),
) -> ThirdPartyLogin:
    """Read a request at the client's ``initiate_login_uri``, by GET or POST (OpenID Connect Core 4).

    Args:
        parameters: The query or form: as text, as the whole URL, as a mapping or as pairs.
        trusted_issuers: Issuers at which a login may be started, one or several; or a mapping with issuers as its keys.
        allowed_targets: URLs under which ``target_link_uri`` may lie: the same origin, and the same path or one below
            it. Without any, a request with a ``target_link_uri`` is refused.

    Returns:
        What to start. State, nonce and PKCE of the login are made anew, as for any other login.

    Raises:
        InvalidRequestException: A parameter is missing, malformed or there twice (``initiate_login_invalid``), the
            issuer is not trusted (``issuer_untrusted``), or the target is not allowed (``target_link_uri_refused``).
        ConfigurationException: No issuer is trusted, or an allowed target is no URL.

    >>> parse_initiate_login("iss=https%3A%2F%2Fid.example.com", {"https://id.example.com"}).issuer
    'https://id.example.com'
    """
    # Clients by issuer are what an application has at hand: a mapping counts as its keys.
    listed = list(trusted_issuers) if isinstance(trusted_issuers, Mapping) else trusted_issuers
    trusted = names(listed, "trusted_issuers")
    prefixes = [_prefix(target) for target in (names(allowed_targets, "allowed_targets") if allowed_targets else ())]
    given = _single(_pairs(parameters))
    issuer = given.get("iss")
    if not issuer:
        raise _invalid("iss", "present")
    if issuer not in trusted:
        # RFC 3986 6.2.1: issuers are compared as they are written. A trusted one is never guessed from another.
        raise InvalidRequestException(
            "A login at this issuer must not be started",
            code="issuer_untrusted",
            claim="iss",
            expected=sorted(trusted)[:8],
            actual=printable(issuer),
        )
    return ThirdPartyLogin(issuer, _login_hint(given.get("login_hint")), _target(given, prefixes))


def _pairs(parameters: str | Mapping[str, str] | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    if isinstance(parameters, str):
        if len(parameters) > MAX_INITIATE_LOGIN:
            raise _invalid("query", f"at most {MAX_INITIATE_LOGIN} characters")
        query = parameters.partition("#")[0]
        # RFC 3986 3.4: a query may hold a question mark itself, so that only a URL is cut at one.
        query = query.partition("?")[2] if _URL.match(query) else query
        try:
            return parse_qsl(query, keep_blank_values=True, max_num_fields=64, errors="strict")
        except ValueError:
            raise _invalid("query", "a form") from None
    pairs: Any = parameters.items() if isinstance(parameters, Mapping) else parameters
    return list(pairs)


def _single(pairs: list[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        # OpenID Connect Core 4: other parameters, if there are any, are ignored.
        if name not in _KNOWN:
            continue
        # RFC 6749 3.1: parameters must not be included more than once.
        if name in given or not isinstance(value, str) or not _VISIBLE.match(value):
            raise _invalid(name, "there once, as text")
        given[name] = value
    return given


_invalid = partial(must_be, code="initiate_login_invalid", kind=InvalidRequestException)


def _login_hint(hint: str | None) -> str | None:
    if hint and len(hint) > MAX_LOGIN_HINT:
        raise _invalid("login_hint", f"at most {MAX_LOGIN_HINT} characters")
    return hint or None


def _target(given: Mapping[str, str], prefixes: list[tuple[str, str]]) -> str | None:
    target = given.get("target_link_uri")
    if not target:
        return None
    where = _place(target)
    # OpenID Connect Core 4: the value MUST be verified, so that this is no open redirector.
    if where is None or not any(where[0] == site and _below(where[1], path) for site, path in prefixes):
        raise InvalidRequestException(
            "The target of the login is not allowed",
            code="target_link_uri_refused",
            claim="target_link_uri",
            expected="a URL under one of allowed_targets",
            actual=printable(target),
        )
    return target


def _place(target: str) -> tuple[str, str] | None:
    """Return origin and path of a URL that every reader takes for the same, None of any other."""
    if len(target) > MAX_URL or not target.isascii():
        return None
    try:
        parts = parse_url(target.partition("#")[0], "target_link_uri")
    except PyIdentityModelException:
        return None
    path = unquote(parts.path)
    # A dot segment (with parameters, as some servers take one), or a slash or backslash that is encoded, once or
    # twice, could lead out of the allowed path again.
    dots = any(segment.partition(";")[0] in (".", "..") for segment in path.split("/"))
    if dots or "%2f" in parts.path.lower() or "//" in path or not path.isprintable() or set("\\%") & set(path):
        return None
    return origin(target), path


def _below(path: str, allowed: str) -> bool:
    return path == allowed or path.startswith(allowed.rstrip("/") + "/") or (allowed == "/" and path == "")


def _prefix(target: str) -> tuple[str, str]:
    place = _place(target)
    if place is None or "?" in target or "#" in target:
        raise ConfigurationException(
            "allowed_targets must be https URLs without query, fragment and dot segments",
            code="allowed_targets_invalid",
            claim="allowed_targets",
            actual=printable(target),
        )
    site, path = place
    return site, path or "/"


__all__ = ["MAX_INITIATE_LOGIN", "MAX_LOGIN_HINT", "ThirdPartyLogin", "parse_initiate_login"]
