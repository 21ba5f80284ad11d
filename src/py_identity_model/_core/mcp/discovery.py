"""From a challenge to the metadata of the server, and on to that of its authorization server.

MCP 2026-07-28, Authorization Server Discovery; RFC 9728 3 and 5, RFC 8414 3 and 5. What the revision of 2025-03-26 had
in place of the first step is used where a server has no metadata at all, and says of none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..._refusals import refused
from ...exceptions import ConfigurationException, DiscoveryException, printable
from ...settings import Settings
from ..base.documents import PublishedJson
from ..base.exchanges import follow_redirects, persistently
from ..base.flow import Flow, get
from ..base.transport import bare
from ..base.urls import is_below, origin, parse_url
from ..binding.challenges import Challenge
from ..discovery.metadata import DiscoveryDocumentResponse, DiscoveryPolicy
from ..login.client import LoginClient, LoginServices, provider_metadata
from ..login.pkce import S256, check_pkce_support
from ..resource.resource_metadata import (
    MAX_DOCUMENT,
    WELL_KNOWN,
    ProtectedResourceMetadata,
    parse_resource_metadata,
    resource_metadata_url,
    well_known_url,
)

_DOCUMENT = PublishedJson("the metadata of an MCP server", MAX_DOCUMENT, "resource_metadata", DiscoveryException)
#: What says that there is no document at an address: its absence, or a web page in its place.
_ABSENT = frozenset({"discovery_not_found", "discovery_content_type_invalid"})
#: Statuses that say: not now.
_LATER = frozenset({408, 425, 429})
#: Nobody validates tokens of a server for it: its keys are needed where an ID token comes along, and then demanded.
POLICY = DiscoveryPolicy(require_key_set=False)


class Place(NamedTuple):
    """An address where the metadata of a server may be, and what it may be about."""

    url: str
    resources: tuple[str, ...]


def metadata_places(server: str, challenges: Iterable[Challenge]) -> tuple[Place, ...]:
    """Return where the metadata of a server is looked for: as its challenge says, at its path, at the root.

    A document may be about the server. One at the well-known address of what the server lies below may be about that:
    who serves it speaks for the whole of it.

    >>> [place.url for place in metadata_places("https://a.example/mcp", ())]
    ['https://a.example/.well-known/oauth-protected-resource/mcp', \
'https://a.example/.well-known/oauth-protected-resource']
    """
    named = resource_metadata_url(challenges)
    root = origin(server)
    urls = [*([] if named is None else [named]), well_known_url(server), f"{root}/.well-known/{WELL_KNOWN}"]
    return tuple(Place(url, _resources(url, server)) for url in dict.fromkeys(urls))


def _resources(url: str, server: str) -> tuple[str, ...]:
    before, found, path = url.partition(f"/.well-known/{WELL_KNOWN}")
    about = before + path if found and before == origin(server) else server
    # With and without a slash at the end: the specification takes both for the server.
    known = (server, about) if is_below(server, about) else (server,)
    return tuple(dict.fromkeys(form for each in known for form in (each, each.rstrip("/"), each.rstrip("/") + "/")))


def find_resource(
    server: str, challenges: Sequence[Challenge], settings: Settings
) -> Flow[ProtectedResourceMetadata | None]:
    """Return the metadata of a server; None if it has none and says of none.

    Raises:
        DiscoveryException: Its metadata is about something else, or it says of metadata that is not there.
        NetworkException: It cannot be fetched right now.
    """
    for place in metadata_places(server, challenges):
        request = get(place.url, {"Accept": "application/json"}, limit=MAX_DOCUMENT)
        reply = yield from persistently(lambda request=request: request, settings, follow_redirects)  # type: ignore[misc]
        if 400 <= reply.status < 500 and reply.status not in _LATER:
            continue
        if reply.status == 200 and reply.media_type == "text/html":
            continue
        document = _DOCUMENT.read(reply, printable(bare(place.url)))
        about = document.get("resource")
        return parse_resource_metadata(document, about if about in place.resources else server)
    if resource_metadata_url(challenges) is not None:
        raise refused(
            DiscoveryException,
            "resource_metadata_missing",
            "The server names metadata of its own that is not there",
            "resource_metadata",
        )
    return None


# ---------------------------------------------------------------------------------------------------------------------
# The authorization server


class Found(NamedTuple):
    """A server, and the authorization server that its tokens come from."""

    resource: str
    issuer: str
    #: Where the metadata of the authorization server is; None if it has none.
    address: str | None
    metadata: DiscoveryDocumentResponse
    #: The ``scopes_supported`` of the server.
    scopes: tuple[str, ...] | None = None
    #: Whether the server takes tokens bound by DPoP only.
    bound: bool = False


def issuer_metadata_urls(issuer: str) -> Iterator[str]:
    """Yield where the metadata of an authorization server is looked for, in the order of the specification.

    >>> list(issuer_metadata_urls("https://id.example/t"))[0]
    'https://id.example/.well-known/oauth-authorization-server/t'
    """
    parts = parse_url(issuer, "issuer", allow_query=False)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    yield f"{host}/.well-known/oauth-authorization-server{path}"
    yield f"{host}/.well-known/openid-configuration{path}"
    if path:
        yield f"{host}{path}/.well-known/openid-configuration"


def find_issuer(issuer: str, services: LoginServices) -> Flow[tuple[str, DiscoveryDocumentResponse] | None]:
    """Return where the metadata of an authorization server is, and the metadata; None if there is none.

    Raises:
        NetworkException: It cannot be fetched, or is not this issuer's.
        ConfigurationException: It names another form of the issuer.
    """
    for address in issuer_metadata_urls(issuer):
        asked = LoginClient(issuer=issuer, client_id="-", discovery_address=address, discovery_policy=POLICY)
        try:
            return address, (yield from provider_metadata(asked, services))
        except DiscoveryException as error:
            if error.code not in _ABSENT:
                raise
    return None


def find(
    server: str, challenges: Sequence[Challenge], known: Sequence[str], services: LoginServices, settings: Settings
) -> Flow[Found]:
    """Return where the tokens for a server come from.

    Args:
        server: Its address.
        challenges: What it answered with.
        known: Issuers that the application has a client at; none if any will do.
        services: What discovery needs of the API at hand.
        settings: Repeats.

    Raises:
        DiscoveryException: There is no metadata that can be used, or none of these issuers is the server's.
        ConfigurationException: The authorization server does not say that it supports PKCE with S256.
    """
    resource = yield from find_resource(server, challenges, settings)
    if resource is None:
        return (yield from _without_metadata(server, known, services))
    issuer = _chosen(resource.authorization_servers or (), known)
    there = yield from find_issuer(issuer, services)
    if there is None:
        raise DiscoveryException(
            f"The authorization server {printable(issuer)} has no metadata",
            printable(issuer),
            code="discovery_not_found",
            hint="the server names it in authorization_servers",
        )
    return _usable(
        Found(
            resource.resource,
            issuer,
            *there,
            resource.scopes_supported,
            resource.dpop_bound_access_tokens_required is True,
        )
    )


def _chosen(servers: Sequence[str], known: Sequence[str]) -> str:
    fitting = [issuer for issuer in servers if not known or issuer in known]
    if fitting:
        return fitting[0]
    raise refused(
        DiscoveryException,
        "authorization_server_untrusted",
        "The server names no authorization server that the client is registered with"
        if servers
        else "The server names no authorization server",
        "authorization_servers",
        sorted(known) or "at least one",
        ", ".join(servers[:4]) or None,
    )


def _usable(found: Found) -> Found:
    methods = found.metadata.code_challenge_methods_supported
    # MCP: where it is left out the server does not support PKCE, and the client must not go on.
    check_pkce_support(methods or [])
    return found


def _without_metadata(server: str, known: Sequence[str], services: LoginServices) -> Flow[Found]:
    """Do as of 2025-03-26: the server's own origin is the authorization server."""
    issuer = _chosen([origin(server)], known)
    there = yield from find_issuer(issuer, services)
    if there is not None:
        return _usable(Found(canonical(server), issuer, *there))
    return Found(canonical(server), issuer, None, EndpointsClient(issuer=issuer, client_id="-")._given_metadata)


def canonical(server: str) -> str:
    """Return the canonical URI of a server that publishes none (MCP, Canonical Server URI).

    >>> canonical("HTTPS://MCP.example.com/")
    'https://mcp.example.com'
    """
    parts = parse_url(server, "server")
    query = f"?{parts.query}" if parts.query else ""
    return origin(server) + ("" if parts.path == "/" else parts.path) + query


@dataclass(frozen=True, kw_only=True, repr=False)
class EndpointsClient(LoginClient):
    """A client of an authorization server without metadata, whose endpoints are where they were put in 2025-03-26."""

    @property
    def _given_metadata(self) -> DiscoveryDocumentResponse:
        return DiscoveryDocumentResponse(
            True,
            issuer=self.issuer,
            authorization_endpoint=f"{self.issuer}/authorize",
            token_endpoint=f"{self.issuer}/token",
            registration_endpoint=f"{self.issuer}/register",
            code_challenge_methods_supported=[S256],
        )


def check_server(server: str) -> None:
    """Refuse an address that no MCP server can have.

    Raises:
        ConfigurationException: It is no https URL, nor one of this machine.
    """
    if not isinstance(server, str):
        raise ConfigurationException(
            "server is the address of an MCP server", code="url_invalid", claim="server", actual=type(server).__name__
        )
    parse_url(server, "server")


__all__ = [
    "POLICY",
    "EndpointsClient",
    "Found",
    "Place",
    "canonical",
    "check_server",
    "find",
    "find_issuer",
    "find_resource",
    "issuer_metadata_urls",
    "metadata_places",
]
