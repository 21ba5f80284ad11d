"""Discovery: find a provider's metadata, hold it against the issuer asked for, and take nothing else from it.

OpenID Connect Discovery 1.0 (4), RFC 8414 (3), with the well-known forms of both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from ..._arguments import explains_arguments
from ...exceptions import (
    ConfigurationException,
    DiscoveryException,
    PyIdentityModelException,
    TransportException,
    printable,
)
from ...observability import emit
from ...settings import Settings
from ..base.addresses import check_public_url
from ..base.exchanges import follow_redirects, once_more, retry_after, unless_unchanged
from ..base.flow import Flow, Reply, get, now
from ..base.header_fields import entity_tag
from ..base.response import HTTPResponse
from ..base.transport import bare
from ..base.urls import origin, parse_url
from ..cache.entry import Entry, Fetched
from ..cache.freshness import freshness
from .checks import MAX_METADATA, Lookup, parse_metadata
from .metadata import (
    ENDPOINTS,
    DiscoveryDocumentResponse,
    DiscoveryEndpoint,
    DiscoveryPolicy,
)

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
#: SSF 1.0 7.2: of transmitters of security events, and the name that the first of them have.
SSF_CONFIGURATION = "/.well-known/ssf-configuration"
RISC_CONFIGURATION = "/.well-known/risc-configuration"
#: How an address that is no well-known one ends, if it is a document's.
_DOCUMENT = re.compile(r"openid[-_]configuration|oauth[-_]authorization[-_]server|.+\.json")

# ---------------------------------------------------------------------------------------------------------------------
# Where to look


@explains_arguments
def parse_discovery_url(url: str) -> DiscoveryEndpoint:
    """Tell the address of the metadata and the issuer it must name.

    Args:
        url: An issuer, or the address of its metadata: a well-known URL, of OpenID or RFC 8414, at the end or inserted
            before the path; or one whose last segment says so, as ``.../openid_configuration`` and ``.../any.json`` do.

    Raises:
        ConfigurationException: It is no absolute http(s) URL, or an issuer with a query or fragment.

    >>> parse_discovery_url("https://id.example.com/tenant").url
    'https://id.example.com/tenant/.well-known/openid-configuration'
    >>> parse_discovery_url("https://id.example.com/.well-known/oauth-authorization-server/tenant").issuer
    'https://id.example.com/tenant'
    >>> parse_discovery_url("https://id.example.com/tenant").authority
    'https://id.example.com'
    """
    issuers = _issuers_of(url)
    parts = parse_url(url, "address", require_https=False, allow_query=bool(issuers))
    authority = f"{parts.scheme}://{parts.netloc}"
    if issuers:
        return DiscoveryEndpoint(url if "?" in url else url.rstrip("/"), authority, issuer=issuers[0])
    # Discovery 4.1: a terminating slash is removed before the suffix is appended.
    return DiscoveryEndpoint(url.rstrip("/") + OPENID, authority, issuer=url)


def _issuers_of(url: object) -> tuple[str, ...]:
    """Return the issuers that the document at *url* may name, the likeliest first; none if *url* is no document's."""
    if not isinstance(url, str):
        return ()
    path = url.partition("?")[0]
    for suffix in (OPENID, OAUTH, SSF_CONFIGURATION, RISC_CONFIGURATION):
        before, found, after = path.partition(suffix)
        inserted = after.startswith("/") and before.count("/") == 2
        if found and (not after or inserted):
            # RFC 8414 3.3: the issuer must be the one into which the suffix was inserted; with and without a
            # terminating slash it makes the same URL (Discovery 4.1), so where only the URL is given either is it.
            issuer = before + after.rstrip("/")
            return issuer, issuer + "/"
    path = path.rstrip("/")
    return tuple(_above(path)) if _DOCUMENT.fullmatch(path.rpartition("/")[2].lower()) else ()


def _above(path: str) -> Iterator[str]:
    """Yield the addresses that *path* lies below, the closest first: a document speaks for no other issuer."""
    while path.count("/") > 2:
        path = path.rpartition("/")[0]
        yield path
        yield path + "/"


def build_lookup(address: str, policy: DiscoveryPolicy, issuers: tuple[str, ...] = ()) -> Lookup:
    """Return where the metadata of *address* is looked for and which issuer it must name.

    Args:
        address: The issuer, or the full well-known URL.
        policy: What the metadata must be like; its ``authority`` is the issuer, if it has one.
        issuers: The issuers to expect, where they are not those that the address stands for.

    Raises:
        ConfigurationException: The address or the policy cannot be used safely.
        DiscoveryHTTPSRequiredError: The address is plain http and the policy does not allow it.
    """
    policy.check()
    endpoint = parse_discovery_url(address)
    policy.parse_url(address, "address")
    given = _issuers_of(address)
    urls = (endpoint.url,) if given else (endpoint.url, *_inserted(address))
    return Lookup(urls, _expected(policy.authority, endpoint, issuers or given or (endpoint.issuer,)), address)


def issuers_of(address: str) -> tuple[str, ...]:
    """Return the issuers whose metadata is at *address*.

    Raises:
        ConfigurationException: It is no absolute http(s) URL, or an issuer with a query or fragment.
    """
    endpoint = parse_discovery_url(address)
    return _issuers_of(address) or (endpoint.issuer,)


def _expected(authority: str | None, endpoint: DiscoveryEndpoint, issuers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the issuers that the metadata may name: the policy's, where it has one."""
    if authority is None:
        return issuers
    # Earlier versions took scheme and host for the authority: it then bounds the issuer that the address names.
    bare_host = origin(authority) in (authority, authority.rstrip("/")) and origin(authority) == origin(endpoint.url)
    return (authority, *issuers) if bare_host else (authority,)


def _inserted(issuer: str) -> Iterator[str]:
    # RFC 8414 3.1: inserted between host and path, a terminating slash removed.
    parts = parse_url(issuer, "address", require_https=False)
    path = parts.path.rstrip("/")
    host = f"{parts.scheme}://{parts.netloc}"
    yield host + OAUTH + path
    if path:
        yield host + OPENID + path


def metadata_key(address: str, policy: DiscoveryPolicy | None, issuers: tuple[str, ...] = ()) -> tuple[object, ...]:
    """Return what a cache knows the metadata of *address* under *policy* by, and of those *issuers* if there are any.

    Raises:
        ConfigurationException: The address or the policy cannot be used safely.
    """
    policy = DiscoveryPolicy() if policy is None else policy
    build_lookup(address, policy, issuers)
    return (address, policy.fingerprint, issuers) if issuers else (address, policy.fingerprint)


# ---------------------------------------------------------------------------------------------------------------------
# Responses that the application fetched


def process_discovery_response(
    response: Reply | HTTPResponse, policy: DiscoveryPolicy | None = None
) -> DiscoveryDocumentResponse:
    """Read metadata that was fetched with a client of one's own.

    Args:
        response: A response of ``httpx`` or ``httpx2``, read whole, or a :class:`Reply`.
        policy: What the metadata must be like; the strict defaults if None. ``authority`` names the issuer where the
            response does not know the address it came from.

    Returns:
        The metadata, or a failed response that says what is wrong with it; never raises.
    """
    try:
        policy = DiscoveryPolicy() if policy is None else policy
        reply, address = _reply_of(response)
        return parse_metadata(reply, _lookup_of(address, policy), policy)
    except PyIdentityModelException as error:
        return DiscoveryDocumentResponse.failed(error)
    except Exception as error:  # a foreign object: reading it may raise anything, such as httpx.ResponseNotRead
        name = type(error).__name__
        unreadable = DiscoveryException(
            f"The response cannot be read: {name}", code="discovery_unexpected", actual=name
        )
        return DiscoveryDocumentResponse.failed(unreadable)


def _reply_of(response: Any) -> tuple[Reply, str]:
    if isinstance(response, Reply):
        return response, response.url
    headers = tuple((str(k).lower(), str(v)) for k, v in response.headers.multi_items())
    url, address = _urls_of(response)
    return Reply(response.status_code, headers, response.content, url), address


def _urls_of(response: Any) -> tuple[str, str]:
    """Return the address a response came from, and the one that was asked for."""
    try:
        urls = [str(r.url) for r in (*response.history, response)]
    except RuntimeError:  # both libraries: the response belongs to no request
        return "", ""
    strayed = next((u for u in urls if origin(u) != origin(urls[0])), None)
    if strayed is not None:
        raise DiscoveryException(
            f"{printable(bare(urls[0]))} was redirected to another host",
            printable(bare(urls[0])),
            response.status_code,
            code="redirect_cross_host",
            expected=printable(origin(urls[0])),
            actual=printable(origin(strayed)),
        )
    return urls[-1], urls[0]


def _lookup_of(address: str, policy: DiscoveryPolicy) -> Lookup:
    known = address or policy.authority
    if not known:
        raise ConfigurationException(
            "The response does not know the address it came from, so there is no issuer to compare with",
            code="discovery_address_unknown",
            claim="authority",
            hint="name the issuer with DiscoveryPolicy(authority=...)",
        )
    return build_lookup(known, policy)


# ---------------------------------------------------------------------------------------------------------------------
# The flow

Document: TypeAlias = DiscoveryDocumentResponse
Previous: TypeAlias = Entry[Document] | None


def fetch_metadata(
    address: str,
    policy: DiscoveryPolicy | None,
    settings: Settings,
    previous: Previous = None,
    issuers: tuple[str, ...] = (),
) -> Flow[Fetched[DiscoveryDocumentResponse]]:
    """Fetch a provider's metadata: the OpenID document, else the one of RFC 8414, else OpenID's with inserted path.

    Args:
        address: The issuer, or the full well-known URL, which is then the only one tried.
        policy: What the metadata must be like; the strict defaults if None.
        settings: Repeats and times of freshness.
        previous: What the cache holds; it is asked for a change only, and told of one.
        issuers: The issuers to expect, where they are not those that the address stands for.

    Raises:
        ConfigurationException: The address or the policy cannot be used safely.
        DiscoveryException: There is no usable document; the message names every address tried.
    """
    policy = DiscoveryPolicy() if policy is None else policy
    lookup = build_lookup(address, policy, issuers)
    tried: list[str] = []
    status = None
    for url in _in_order(lookup.urls, previous):
        held = _held(url, previous)
        reply = yield from _fetch(url, held.etag if held else None, policy, settings, tried)
        wall = (yield from now()).wall
        if not _is_absent(reply.status):
            etag = entity_tag(reply)
            if held and reply.status == 304:
                value, etag = held.value, etag or held.etag
            else:
                value = _read(reply, lookup, policy, wall, tried)
            _tell_change(previous, value)
            times = freshness(reply, wall, settings.disco_cache_ttl, settings.max_stale)
            return Fetched(value, *times, etag=etag)
        status = reply.status
        tried.append(f"{printable(bare(url))}: {status}")
    raise DiscoveryException(
        f"No metadata for {printable(bare(address))}; tried {', '.join(tried)}",
        printable(bare(address)),
        status,
        {"attempts": tried},
        code="discovery_not_found",
        hint="the address must be the issuer or the full well-known URL",
    )


def _in_order(urls: tuple[str, ...], previous: Previous) -> list[str]:
    found = previous.value.metadata_url if previous is not None else None
    return sorted(urls, key=lambda url: url != found)


def _held(url: str, previous: Previous) -> Previous:
    """Return the entry if it came from this very address and can be asked after by its tag."""
    return previous if previous is not None and previous.etag and previous.value.metadata_url == url else None


def _is_absent(status: int) -> bool:
    # 4xx says that nothing is here; these three say: not now.
    return 400 <= status < 500 and status not in (408, 425, 429)


def _fetch(url: str, etag: str | None, policy: DiscoveryPolicy, settings: Settings, tried: list[str]) -> Flow[Reply]:
    public_only = policy.require_public_addresses and policy.backchannel is None
    facts = {"limit": MAX_METADATA, "public_only": public_only, "backchannel": policy.backchannel}
    request = get(url, {"Accept": "application/json"}, **facts)
    try:
        if public_only:
            check_public_url(url, "address")
        if etag is None:
            reply = yield from once_more(lambda: request, settings, follow_redirects)
        else:
            reply = yield from unless_unchanged(request, etag, follow_redirects)
    except TransportException as error:
        raise DiscoveryException(
            error.message + _after(tried),
            error.url,
            error.status_code,
            {"attempts": [*tried, f"{printable(bare(url))}: {error.code}"]},
            code=error.code,
            expected=error.expected,
            actual=error.actual,
            hint=error.hint,
            retry_after=error.retry_after,
        ) from error
    return replace(reply, url=url)  # what was asked for; redirects stay on the host


def _read(reply: Reply, lookup: Lookup, policy: DiscoveryPolicy, wall: float, tried: list[str]) -> Document:
    try:
        return parse_metadata(reply, lookup, policy)
    except DiscoveryException as error:
        error.retry_after = retry_after(reply, wall)
        error.details["attempts"] = [*tried, f"{printable(bare(reply.url))}: {error.code}"]
        error.message += _after(tried)
        raise


def _after(tried: list[str]) -> str:
    return f" (tried before: {', '.join(tried)})" if tried else ""


def _tell_change(previous: Previous, value: Document) -> None:
    if previous is None:
        return
    changed = [name for name in ENDPOINTS if previous.value.raw.get(name) != value.raw.get(name)]
    if changed:
        emit("metadata_changed", logging.WARNING, issuer=printable(value.issuer), members=changed)


__all__ = ["fetch_metadata", "issuers_of", "metadata_key", "parse_discovery_url", "process_discovery_response"]
