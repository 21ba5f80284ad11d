"""Client metadata: what it may say (RFC 7591 2), and documents of it whose URL is the ``client_id``.

The latter are draft-ietf-oauth-client-id-metadata-document: a client publishes a document, and an authorization server
that has never heard of it fetches the document in place of a registration.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from ..._arguments import explains_arguments
from ..._refusals import bounded, must_be
from ...exceptions import (
    ConfigurationException,
    InvalidRequestException,
    NetworkException,
    PyIdentityModelException,
    printable,
)
from ...settings import Settings
from ..base.addresses import check_public_host
from ..base.documents import PublishedJson
from ..base.exchanges import persistently
from ..base.flow import Flow, get, now
from ..base.response import GUARDED, BaseRequest, BaseResponse, answered, by_backchannel
from ..base.scopes import scope_text
from ..base.secret import Secret, exposed
from ..base.urls import is_loopback, parse_url
from ..cache.freshness import freshness
from ..client.grants import several
from ..jose.verification_keys import PRIVATE_MEMBERS
from ..resource.resource_metadata import ServedMetadata

#: Bytes of a metadata document at most: the draft's 5 kilobytes.
MAX_CLIENT_METADATA = 5120
_DOCUMENT = PublishedJson(
    "the metadata document of a client", MAX_CLIENT_METADATA, "client_metadata", NetworkException, any_json=True
)
#: Seconds for which a document without caching headers may be used.
DEFAULT_TTL = 3600.0

#: Schemes that run or show something in place of sending a response to the client.
_NO_REDIRECT = frozenset({"javascript", "data", "vbscript", "file", "blob", "about", "view-source"})
#: Grants that send the browser back to the client.
_REDIRECTING = frozenset({"authorization_code", "implicit"})
#: Methods that need a secret which a public document cannot hold.
_SHARED_SECRET = frozenset({"client_secret_basic", "client_secret_post", "client_secret_jwt"})


# ---------------------------------------------------------------------------------------------------------------------
# What metadata may say


def check_client_metadata(members: Mapping[str, Any], unchecked: Collection[str] = ()) -> dict[str, Any]:
    """Check the members of client metadata that are known here (RFC 7591 2), and return all of them as JSON values.

    Args:
        members: The members.
        unchecked: Names of those that the caller vouches for, or leaves out on purpose.

    Raises:
        ConfigurationException: A member is not valid; ``code`` and ``claim`` tell which.
    """
    checks = {name: check for name, check in _CHECKS.items() if name not in unchecked}
    said = {name: checks[name](name, value) if name in checks else value for name, value in members.items()}
    grants = said.get("grant_types") or ["authorization_code"]
    # RFC 7591 2: clients of redirect-based flows MUST register their redirect URIs.
    needed = "redirect_uris" not in {*said, *unchecked}
    if needed and (_REDIRECTING & set(grants) or "response_types" in said):
        raise member_invalid("redirect_uris", "a list that is not empty")
    if "jwks" in said and "jwks_uri" in said:  # RFC 7591 2: they MUST NOT both be present.
        raise member_invalid("jwks", "absent where there is a jwks_uri")
    if "password" in grants:
        raise ConfigurationException(
            "A client must not be registered for the password grant (RFC 9700 2.4)",
            code="grant_type_refused",
            claim="grant_types",
            actual="password",
            hint="use the authorization code grant",
        )
    return said


def text_member(name: str, value: Any) -> str:
    """Return a member that is text and not empty.

    Raises:
        ConfigurationException: It is something else.
    """
    if isinstance(value, str | Secret) and exposed(value):
        return exposed(value)
    raise member_invalid(name, "text")


def _texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        raise member_invalid(name, "a list of texts")
    return several(name, value)


def _redirect_uris(name: str, value: Any) -> list[str]:
    uris = _texts(name, value)
    for uri in uris:
        if not _may_be_redirected_to(uri):
            raise member_invalid(name, "https, or http on this machine, or a scheme of the app; no fragment", uri)
    return uris


def _may_be_redirected_to(uri: str) -> bool:
    """Tell whether *uri* may receive authorization responses (RFC 6749 3.1.2, RFC 8252 7, RFC 9700 2.6)."""
    if "#" in uri or not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri:
        return False
    try:
        parts = urlsplit(uri)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return bool(host) and "@" not in parts.netloc and (parts.scheme == "https" or is_loopback(host))
    return bool(parts.scheme) and parts.scheme not in _NO_REDIRECT


def _scope(name: str, value: Any) -> str:
    try:
        return text_member(name, value if isinstance(value, Secret) else scope_text(value))
    except ConfigurationException:
        raise member_invalid(name, "text, or a list of scopes") from None


def _page(name: str, value: Any) -> str:
    text = text_member(name, value)
    try:
        parse_url(text.partition("#")[0], name, require_https=False)
    except PyIdentityModelException:
        raise member_invalid(name, "the URL of a page", text) from None
    return text


def _jwks_uri(name: str, value: Any) -> str:
    parse_url(value, name)  # FAPI 2.0 5.4.2: over TLS
    return str(value)


def _jwks(name: str, value: Any) -> dict[str, Any]:
    keys = value.get("keys") if isinstance(value, Mapping) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, Mapping) for key in keys):
        raise member_invalid(name, "a JWK Set that is not empty")
    if any(PRIVATE_MEMBERS & key.keys() for key in keys):
        raise ConfigurationException(
            "jwks holds a private or symmetric key, which must never leave the client",
            code="jwks_private",
            claim=name,
            expected="public keys",
        )
    return dict(value)


_CHECKS = {
    "redirect_uris": _redirect_uris,
    **dict.fromkeys(("response_types", "grant_types", "contacts"), _texts),
    **dict.fromkeys(("logo_uri", "client_uri", "policy_uri", "tos_uri"), _page),
    **dict.fromkeys(("application_type", "client_name", "token_endpoint_auth_method"), text_member),
    "scope": _scope,
    **dict.fromkeys(("software_id", "software_version", "software_statement"), text_member),
    "jwks_uri": _jwks_uri,
    "jwks": _jwks,
}


#: Makes the exception for a member of client metadata that is not valid.
member_invalid = partial(must_be, code="client_metadata_invalid")


# ---------------------------------------------------------------------------------------------------------------------
# The URL


@explains_arguments
def validate_client_id_url(client_id: str) -> SplitResult:
    """Refuse a ``client_id`` that is not the URL of a metadata document (section 3 of the draft).

    Args:
        client_id: What an authorization request named.

    Returns:
        The URL taken apart.

    Raises:
        InvalidRequestException: It is no https URL with a path, or has a fragment, user information or dot segments;
            the ``code`` is ``client_id_url_invalid``.

    >>> validate_client_id_url("https://app.example.com/oauth-client").netloc
    'app.example.com'
    """
    try:
        parts = parse_url(client_id, "client_id", allow_http_on_loopback=False)
    except PyIdentityModelException as error:
        raise _no_client_id_url(str(error.expected)) from None
    if not parts.path:
        raise _no_client_id_url("a URL with a path")
    if any(unquote(segment) in (".", "..") for segment in parts.path.split("/")):
        raise _no_client_id_url("a URL without dot segments")
    return parts


_no_client_id_url = partial(must_be, "client_id", code="client_id_url_invalid", kind=InvalidRequestException)


# ---------------------------------------------------------------------------------------------------------------------
# The document


@explains_arguments
def build_client_metadata_document(client_id: str, **members: object) -> dict[str, Any]:
    """Build the document that a client publishes at its ``client_id`` (section 4 of the draft).

    Args:
        client_id: The URL that the document will have.
        members: Client metadata (RFC 7591 2), ``redirect_uris`` above all; None leaves one out.

    Returns:
        The JSON object.

    Raises:
        ConfigurationException: The URL or a member is not valid, or a secret would be published.

    >>> build_client_metadata_document("https://app.example.com/client", redirect_uris=["https://app.example.com/cb"])
    {'client_id': 'https://app.example.com/client', 'redirect_uris': ['https://app.example.com/cb']}
    """
    try:
        validate_client_id_url(client_id)
    except InvalidRequestException as error:
        raise ConfigurationException(
            error.message, code=error.code, claim=error.claim, expected=error.expected
        ) from None
    given = {name: value for name, value in members.items() if value is not None}
    return {"client_id": client_id, **_checked(given)}


def _checked(members: Mapping[str, Any]) -> dict[str, Any]:
    said = check_client_metadata(members)
    method = said.get("token_endpoint_auth_method")
    for name in ("client_secret", "client_secret_expires_at"):
        if name in said:
            raise member_invalid(name, "absent from a document that everyone can read")
    if method in _SHARED_SECRET:
        raise member_invalid("token_endpoint_auth_method", "one without a shared secret", method)
    if method == "private_key_jwt" and not {"jwks", "jwks_uri"} & said.keys():
        raise member_invalid("jwks_uri", "present, or jwks, with private_key_jwt")
    return said


@explains_arguments
def serve_client_metadata_document(document: Mapping[str, Any], *, max_age: int = 3600) -> ServedMetadata:
    """Make the response that publishes *document*, of :func:`build_client_metadata_document`.

    Args:
        document: What to publish.
        max_age: Seconds for which servers may keep it.

    Returns:
        Path, headers and body of a 200 response to GET.

    Raises:
        ConfigurationException: The document is none, or is larger than servers read.
    """
    bounded(max_age, "max_age", int, 0, 2**31, unit="seconds")
    members = {name: value for name, value in document.items() if name != "client_id"}
    try:
        body = msgspec.json.encode(build_client_metadata_document(document.get("client_id", ""), **members))
    except (TypeError, ValueError, RecursionError):
        raise member_invalid("document", "JSON") from None
    if len(body) > MAX_CLIENT_METADATA:
        raise member_invalid("document", f"at most {MAX_CLIENT_METADATA} bytes", len(body))
    headers = (
        ("content-type", "application/json"),
        ("cache-control", f"public, max-age={max_age}"),
        ("x-content-type-options", "nosniff"),
    )
    return ServedMetadata(urlsplit(document["client_id"]).path, headers, body)


@dataclass(repr=False)
class ClientMetadataDocumentRequest(BaseRequest):
    """Ask for the metadata document of a client. ``address`` is the ``client_id``.

    Attributes:
        allow_private_addresses: Whether addresses that are not public may be fetched, for networks of one's own.
    """

    allow_private_addresses: bool = field(default=False, kw_only=True)


@dataclass(repr=False)
class ClientMetadataDocumentResponse(BaseResponse):
    """The metadata of a client, verified to be about the ``client_id`` that was asked for.

    Attributes:
        metadata: The JSON object, unknown members included.
        fresh_for: Seconds for which it may be used before it is fetched again.
    """

    metadata: dict[str, Any] = GUARDED
    fresh_for: float = GUARDED

    _guarded: ClassVar[frozenset[str]] = frozenset({"metadata", "fresh_for"})


def parse_client_metadata_document(document: Mapping[str, Any], client_id: str) -> dict[str, Any]:
    """Read the metadata document of *client_id*.

    Raises:
        InvalidRequestException: It is about another client (``client_id_mismatch``), holds what a public document must
            not (``client_metadata_invalid``, ``jwks_private``), or a member is not what it must be.
    """
    if document.get("client_id") != client_id:
        # Section 4.1 of the draft: simple string comparison (RFC 3986 6.2.1).
        raise InvalidRequestException(
            "The metadata document is about another client",
            code="client_id_mismatch",
            claim="client_id",
            expected=printable(client_id),
            actual=printable(document.get("client_id", "absent")),
        )
    try:
        return _checked(document)
    except ConfigurationException as error:
        raise InvalidRequestException(
            error.message, code=error.code, claim=error.claim, expected=error.expected, actual=error.actual
        ) from None


def fetch_client_metadata_document(
    request: ClientMetadataDocumentRequest, settings: Settings
) -> Flow[ClientMetadataDocumentResponse]:
    """Fetch the metadata document of a client and verify whose it is. Redirects are not followed."""
    return (yield from answered(ClientMetadataDocumentResponse, lambda: _fetch(request, settings)))


def _fetch(request: ClientMetadataDocumentRequest, settings: Settings) -> Flow[ClientMetadataDocumentResponse]:
    url = request.address
    parts = validate_client_id_url(url)
    if not request.allow_private_addresses:
        # Section 6.5 of the draft: the sender of a client_id must not choose what this server reaches inside.
        check_public_host(parts.hostname, "client_id")
    public_only = not request.allow_private_addresses
    asked = get(url, {"Accept": "application/json"}, limit=MAX_CLIENT_METADATA, public_only=public_only)
    asked = by_backchannel(asked, request)
    reply = yield from persistently(lambda: asked, settings)
    metadata = parse_client_metadata_document(_DOCUMENT.read(reply, url), url)
    wall = (yield from now()).wall
    fresh_for = freshness(reply, wall, DEFAULT_TTL, 0.0).fresh_for
    return ClientMetadataDocumentResponse(True, metadata=metadata, fresh_for=fresh_for, status_code=reply.status)


__all__ = [
    "DEFAULT_TTL",
    "MAX_CLIENT_METADATA",
    "ClientMetadataDocumentRequest",
    "ClientMetadataDocumentResponse",
    "build_client_metadata_document",
    "check_client_metadata",
    "fetch_client_metadata_document",
    "member_invalid",
    "parse_client_metadata_document",
    "serve_client_metadata_document",
    "text_member",
    "validate_client_id_url",
]
