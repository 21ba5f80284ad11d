"""WebFinger: from what a person types to the issuer that answers for them (RFC 7033, OpenID Connect Discovery 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, urlsplit

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ...exceptions import DiscoveryException, InvalidRequestException, PyIdentityModelException, printable
from ...settings import Settings
from ..base.addresses import check_public_host
from ..base.exchanges import follow_redirects, persistently
from ..base.flow import Flow, Reply, get
from ..base.response import GUARDED, BaseResponse, answered
from ..base.secret import Redacted
from ..base.strict_json import StrictJSONError, loads_object
from ..base.urls import MAX_URL, parse_url

#: OpenID Connect Discovery 2: the relation whose target is an issuer.
ISSUER_REL = "http://openid.net/specs/connect/1.0/issuer"
#: Bytes of a JSON Resource Descriptor at most.
MAX_DESCRIPTOR = 65536

_WELL_KNOWN = "/.well-known/webfinger"
#: XRI Global Context Symbols: reserved for identifiers that this library does not resolve (Discovery 2.1.2).
_XRI = re.compile(r"(xri://|[=@+$(!])", re.IGNORECASE)
_HIERARCHICAL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_ACCT = re.compile(r"acct:", re.IGNORECASE)
# RFC 7565 7: userpart "@" host; RFC 3986 3.2.1: an "@" inside is percent-encoded.
_USERPART = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+\Z")
_BARE_ACCOUNT = re.compile(r"[^/?#:]+@[^/?#:@]+\Z")


class WebFingerTarget(NamedTuple):
    """What to ask about, and whom."""

    resource: str
    host: str


@dataclass(repr=False)
class WebFingerRequest(Redacted):
    """Find the issuer for an identifier (OpenID Connect Discovery 2.2).

    Attributes:
        identifier: What the person typed: ``joe@example.com``, ``example.com``, ``https://example.com/joe``.
        allow_private_addresses: Whether addresses that are not public may be asked, for networks of one's own.
    """

    identifier: str
    allow_private_addresses: bool = field(default=False, kw_only=True)


@dataclass(repr=False)
class WebFingerResponse(BaseResponse):
    """The issuer for an identifier.

    Attributes:
        issuer: The issuer, an https URL. Its metadata must name exactly this issuer (Discovery 4.3).
        resource: What was asked about: the identifier, normalized.
        subject: Whom the answer is about, in the words of the other side.
        descriptor: The JSON Resource Descriptor as it came (RFC 7033 4.4).
    """

    issuer: str = GUARDED
    resource: str = GUARDED
    subject: str | None = None
    descriptor: dict[str, Any] = GUARDED

    _guarded: ClassVar[frozenset[str]] = frozenset({"issuer", "resource", "subject", "descriptor"})


@explains_arguments
def normalize_identifier(identifier: str) -> WebFingerTarget:
    """Make the WebFinger resource and host of what a person typed (OpenID Connect Discovery 2.1.2).

    Args:
        identifier: An e-mail address, a host with or without port, a URL or an ``acct`` URI.

    Returns:
        The resource, and the host to ask with its port if it has one.

    Raises:
        InvalidRequestException: It is none of these; the ``code`` is ``identifier_invalid``.

    >>> normalize_identifier("joe@example.com")
    WebFingerTarget(resource='acct:joe@example.com', host='example.com')
    >>> normalize_identifier("example.com:8080")
    WebFingerTarget(resource='https://example.com:8080', host='example.com:8080')
    """
    if not isinstance(identifier, str):
        raise _invalid_identifier("text")
    text = identifier.strip()
    if not text or len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _invalid_identifier(f"ASCII of at most {MAX_URL} characters without spaces")
    if _XRI.match(text):
        raise _invalid_identifier("no XRI")
    if _ACCT.match(text):
        return _account(text.partition("#")[0])
    if scheme := _HIERARCHICAL.match(text):
        if scheme[1].lower() not in ("https", "http"):
            raise _invalid_identifier("an https URL or an acct URI")
        return _site(text)
    # Discovery 2.1.2: user and host alone are an account; whatever else has no scheme is https.
    return _account("acct:" + text) if _BARE_ACCOUNT.match(text) else _site("https://" + text)


def _account(resource: str) -> WebFingerTarget:
    userpart, _, host = resource.partition(":")[2].rpartition("@")
    # Discovery 2.1.2: an at-sign in the userinfo is percent-encoded, as in joe%40example.com@example.org.
    encoded = userpart.replace("@", "%40")
    # RFC 7565 7: an account is at a host, which has no port.
    if not _USERPART.match(encoded) or _authority(host) != host or urlsplit(f"//{host}").port is not None:
        raise _invalid_identifier("user@host")
    return WebFingerTarget(f"acct:{encoded}@{host}", host)


def _site(resource: str) -> WebFingerTarget:
    # Discovery 2.1.2: a fragment MUST be stripped off.
    resource = resource.partition("#")[0]
    netloc = _HIERARCHICAL.sub("", resource, count=1).partition("/")[0].partition("?")[0]
    userinfo, at, host = netloc.rpartition("@")
    if at and (not _USERPART.match(userinfo) or "%40" in userinfo.lower()):
        raise _invalid_identifier("a URL with at most a user before its host")
    return WebFingerTarget(resource, _authority(host))


def _authority(host: str) -> str:
    try:
        return parse_url(f"https://{host}", "identifier").netloc
    except PyIdentityModelException:
        raise _invalid_identifier("one with a host name or IP address") from None


#: What a person typed is not repeated: it may be anything, a password included.
_invalid_identifier = partial(must_be, "identifier", code="identifier_invalid", kind=InvalidRequestException)


def build_webfinger_url(target: WebFingerTarget, rel: str = ISSUER_REL) -> str:
    """Build the URL that asks about *target* (RFC 7033 4.1).

    >>> build_webfinger_url(WebFingerTarget("acct:a@example.com", "example.com"), "x")
    'https://example.com/.well-known/webfinger?resource=acct%3Aa%40example.com&rel=x'
    """
    return f"https://{target.host}{_WELL_KNOWN}?resource={quote(target.resource, safe='')}&rel={quote(rel, safe='')}"


def parse_webfinger(reply: Reply, target: WebFingerTarget) -> WebFingerResponse:
    """Read the answer about *target*: the first issuer that it links to (RFC 7033 4.4, Discovery 2).

    Raises:
        DiscoveryException: There is no descriptor (``webfinger_missing``), it cannot be read
            (``webfinger_unparsable``), it names no issuer (``webfinger_issuer_missing``), or one that is no https URL
            (``webfinger_issuer_invalid``).
    """
    descriptor = _read_descriptor(reply)
    issuer = _issuer_of(descriptor)
    try:
        # Discovery 2: an issuer is an https URL without query and fragment.
        parse_url(issuer, "issuer", allow_http_on_loopback=False, allow_query=False)
    except PyIdentityModelException:
        raise _failed(
            reply, "webfinger_issuer_invalid", "its issuer is no https URL without query and fragment", actual=issuer
        ) from None
    subject = descriptor.get("subject")
    return WebFingerResponse(
        True,
        status_code=reply.status,
        issuer=str(issuer),
        resource=target.resource,
        subject=subject if isinstance(subject, str) else None,
        descriptor=descriptor,
    )


def _read_descriptor(reply: Reply) -> dict[str, Any]:
    media_type = reply.media_type
    # RFC 7033 4.2: application/jrd+json; some servers say plain JSON.
    if reply.status != 200 or media_type not in ("application/jrd+json", "application/json"):
        raise _failed(reply, "webfinger_missing", f"status {reply.status}", actual=media_type or "no content type")
    try:
        return loads_object(reply.body, max_size=MAX_DESCRIPTOR)
    except StrictJSONError as error:
        raise _failed(reply, "webfinger_unparsable", error.reason) from None


def _issuer_of(descriptor: Mapping[str, Any]) -> object:
    links = descriptor.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, Mapping) and link.get("rel") == ISSUER_REL:
            return link.get("href")
    raise DiscoveryException(
        "The WebFinger answer links to no issuer", code="webfinger_issuer_missing", claim="links", expected=ISSUER_REL
    )


def _failed(reply: Reply, code: str, reason: str, actual: object = None) -> DiscoveryException:
    shown = None if actual is None else printable(actual)
    url = urlsplit(reply.url).netloc or None
    return DiscoveryException(
        f"The WebFinger answer cannot be used: {reason}", url, reply.status, code=code, actual=shown
    )


def discover_issuer(request: WebFingerRequest, settings: Settings) -> Flow[WebFingerResponse]:
    """Find the issuer for an identifier. Repeated where the network or the other side falters."""
    return (yield from answered(WebFingerResponse, lambda: _discover(request, settings)))


def _discover(request: WebFingerRequest, settings: Settings) -> Flow[WebFingerResponse]:
    target = normalize_identifier(request.identifier)
    if not request.allow_private_addresses:
        # The user who types an identifier must not choose what this server reaches inside.
        check_public_host(urlsplit(f"https://{target.host}").hostname, "identifier")
    url = build_webfinger_url(target)
    if len(url) > MAX_URL:
        raise _invalid_identifier("shorter")
    public_only = not request.allow_private_addresses
    asked = get(url, {"Accept": "application/jrd+json"}, limit=MAX_DESCRIPTOR, public_only=public_only)
    reply = yield from persistently(lambda: asked, settings, follow_redirects)
    response = parse_webfinger(reply, target)
    if not request.allow_private_addresses:
        check_public_host(urlsplit(response.issuer or "").hostname, "issuer")
    return response


__all__ = [
    "ISSUER_REL",
    "MAX_DESCRIPTOR",
    "WebFingerRequest",
    "WebFingerResponse",
    "WebFingerTarget",
    "build_webfinger_url",
    "discover_issuer",
    "normalize_identifier",
    "parse_webfinger",
]
