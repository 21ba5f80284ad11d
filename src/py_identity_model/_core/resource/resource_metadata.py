"""What a protected resource publishes about itself: build, serve, find, fetch, verify (RFC 9728)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import bounded, must_be
from ...exceptions import ConfigurationException, DiscoveryException, PyIdentityModelException, printable
from ...settings import Settings
from ..base.addresses import check_public_url
from ..base.documents import PublishedJson
from ..base.exchanges import persistently
from ..base.flow import Flow, get
from ..base.response import GUARDED, BaseRequest, BaseResponse, answered, by_backchannel
from ..base.shapes import SomeTexts, Text, Texts
from ..base.transport import bare
from ..base.urls import is_local, is_this_machine, origin, parse_url
from ..binding.challenges import Challenge
from ..discovery.metadata import MemberFault
from ..validation.claim_checks import names

WELL_KNOWN = "oauth-protected-resource"
#: Bytes of a metadata document at most.
MAX_DOCUMENT = 262144
_DOCUMENT = PublishedJson("the metadata of a protected resource", MAX_DOCUMENT, "resource_metadata", DiscoveryException)
#: Claims of a signed document that are about the JWT itself (RFC 9728 2.2).
_JWT_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "signed_metadata"})


def _member(kind: str) -> Any:
    return field(default=None, metadata={"kind": kind})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProtectedResourceMetadata:
    """The metadata of a protected resource (RFC 9728 2). Members that are None are not said.

    What was read is judged when it is used: reading a member that is not what it must be raises
    :class:`DiscoveryException` and names it. Nobody is kept from the others.

    Attributes:
        resource: The resource identifier, an https URL without fragment.
        authorization_servers: Issuers whose tokens it takes.
        jwks_uri: Where its own keys are.
        scopes_supported: Scopes that requests to it use.
        bearer_methods_supported: How it takes tokens: ``header``, ``body``, ``query``; empty for not at all.
        resource_signing_alg_values_supported: Algorithms of its signed responses.
        resource_name: Its name for people.
        resource_documentation: A page for developers.
        resource_policy_uri: A page about its policy.
        resource_tos_uri: A page with its terms.
        tls_client_certificate_bound_access_tokens: Whether it takes certificate-bound tokens.
        authorization_details_types_supported: Types of RFC 9396 that it understands.
        dpop_signing_alg_values_supported: Algorithms of DPoP proofs that it takes.
        dpop_bound_access_tokens_required: Whether it takes DPoP-bound tokens only.
        signed_metadata: The same as a JWT.
        extra: Further members, names with language tags among them.
        faults: What is wrong with members that were read and cannot be used, by their names.

    Raises:
        ConfigurationException: A member is not what it must be; the ``code`` is ``resource_metadata_invalid``.
    """

    resource: str = field(metadata={"kind": "url"})
    authorization_servers: tuple[str, ...] | None = _member("issuers")
    jwks_uri: str | None = _member("url")
    scopes_supported: tuple[str, ...] | None = _member("texts")
    bearer_methods_supported: tuple[str, ...] | None = _member("texts_or_none")
    resource_signing_alg_values_supported: tuple[str, ...] | None = _member("algorithms")
    resource_name: str | None = _member("text")
    resource_documentation: str | None = _member("page")
    resource_policy_uri: str | None = _member("page")
    resource_tos_uri: str | None = _member("page")
    tls_client_certificate_bound_access_tokens: bool | None = _member("flag")
    authorization_details_types_supported: tuple[str, ...] | None = _member("texts")
    dpop_signing_alg_values_supported: tuple[str, ...] | None = _member("texts")
    dpop_bound_access_tokens_required: bool | None = _member("flag")
    signed_metadata: str | None = _member("text")
    extra: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, MemberFault] = field(default_factory=dict, compare=False)

    @checks_arguments
    def __post_init__(self) -> None:
        for member in _MEMBERS:
            value = object.__getattribute__(self, member.name)
            if value is not None:
                object.__setattr__(self, member.name, _checked(member.name, member.metadata["kind"], value))
        known = _NAMES & self.extra.keys()
        if known:  # it would be published without having been checked
            raise _invalid(min(known), "given by its own name, not in extra")

    if not TYPE_CHECKING:  # or a type checker would take any name for an attribute

        def __getattribute__(self, name: str) -> Any:
            value = object.__getattribute__(self, name)
            if value is None and name in _NAMES:
                fault = object.__getattribute__(self, "faults").get(name)
                if fault is not None:
                    raise fault.error()
            return value

    def _values(self) -> list[Any]:
        return [object.__getattribute__(self, one.name) for one in fields(self)]

    # Not __getstate__: before Python 3.11.3 a dataclass with slots puts its own in that place, which asks for members.
    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (type(self),), self._values()

    def __eq__(self, other: object) -> bool:
        if type(other) is not ProtectedResourceMetadata:
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self.resource)

    def __repr__(self) -> str:
        values = {one.name: object.__getattribute__(self, one.name) for one in fields(self)}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value not in (None, {}))
        return f"ProtectedResourceMetadata({shown})"

    def document(self) -> dict[str, Any]:
        """Return the metadata as the JSON object that is published."""
        said = {member.name: getattr(self, member.name) for member in _MEMBERS}
        return {**self.extra, **{name: _plain(value) for name, value in said.items() if value is not None}}


_MEMBERS = tuple(one for one in fields(ProtectedResourceMetadata) if one.name not in ("extra", "faults"))
_NAMES = frozenset(member.name for member in _MEMBERS)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


#: Types of members, and how errors call them.
_SHAPES: dict[str, tuple[Any, str]] = {
    # RFC 9728 3.2: parameters with zero elements are left out.
    "texts": (SomeTexts, "a list of strings that is not empty"),
    "texts_or_none": (Texts, "a list of strings"),
    "text": (Text, "a string"),
    "flag": (bool, "true or false"),
}


def _shaped(kind: str, name: str, value: Any) -> Any:
    shape, expected = _SHAPES[kind]
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        raise _invalid(name, expected) from None


def _url(name: str, value: Any, **rules: bool) -> str:
    try:
        parse_url(value, name, **rules)
    except PyIdentityModelException:
        raise _invalid(name, "an https URL without fragment") from None
    return str(value)


def _issuers(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_url(name, issuer, allow_query=False) for issuer in _shaped("texts", name, value))


def _algorithms(name: str, value: Any) -> Any:
    shaped = _shaped("texts", name, value)
    if "none" in shaped:
        # RFC 9728 2: the value none must not be used.
        raise _invalid(name, "without none")
    return shaped


_KINDS: dict[str, Callable[[str, Any], Any]] = {
    "url": _url,
    "issuers": _issuers,
    "algorithms": _algorithms,
    **{kind: partial(_shaped, kind) for kind in _SHAPES},
    "page": lambda name, value: _url(name, value.partition("#")[0] if isinstance(value, str) else value) and value,
}


def _checked(name: str, kind: str, value: Any) -> Any:
    return _KINDS[kind](name, value)


_invalid = partial(must_be, code="resource_metadata_invalid")


def well_known_url(identifier: str, suffix: str = WELL_KNOWN) -> str:
    """Return where the metadata of a resource, or of an issuer, is: the well-known path goes before its own path.

    Args:
        identifier: The resource identifier (RFC 9728 3.1) or the issuer (RFC 8414 3.1).
        suffix: ``oauth-protected-resource``, ``oauth-authorization-server`` or another registered suffix.

    Returns:
        The URL.

    Raises:
        ConfigurationException: *identifier* is no https URL.

    >>> well_known_url("https://api.example.com/orders?v=2")
    'https://api.example.com/.well-known/oauth-protected-resource/orders?v=2'
    """
    parts = parse_url(identifier, "identifier")
    # RFC 9728 3.1: a slash right after the host goes.
    path = "" if parts.path == "/" else parts.path
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/.well-known/{suffix}{path}{query}"


def _identifier_of(metadata_url: str) -> str | None:
    parts = parse_url(metadata_url, "address")
    before, found, path = parts.path.partition(f"/.well-known/{WELL_KNOWN}")
    if not found or before or path[:1] not in ("", "/"):
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{path}{query}"


@dataclass(frozen=True, slots=True)
class ServedMetadata:
    """The metadata of a resource as an HTTP response, with the path that it belongs to."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@explains_arguments
def serve_resource_metadata(metadata: ProtectedResourceMetadata, *, max_age: int = 3600) -> ServedMetadata:
    """Make the response that publishes *metadata* (RFC 9728 3.2).

    Args:
        metadata: What to publish.
        max_age: Seconds for which clients may keep it.

    Returns:
        Path, headers and body of a 200 response to GET.

    Raises:
        ConfigurationException: ``max_age`` is no whole number of seconds.
    """
    bounded(max_age, "max_age", int, 0, 2**31, unit="seconds")
    headers = (
        ("content-type", "application/json"),
        ("cache-control", f"public, max-age={max_age}"),
        # Public by nature; browser-based clients must be able to read it.
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
    )
    path = parse_url(well_known_url(metadata.resource), "resource").path
    return ServedMetadata(path, headers, msgspec.json.encode(metadata.document()))


@explains_arguments
def resource_metadata_url(challenges: Iterable[Challenge]) -> str | None:
    """Return where a resource's challenges say its metadata is (RFC 9728 5.1).

    Args:
        challenges: From :func:`.challenges.parse_challenges`.

    Returns:
        The first ``resource_metadata`` that is an https URL; None if there is none.
    """
    for challenge in challenges:
        url = challenge.get("resource_metadata")
        try:
            if url is not None:
                parse_url(url, "resource_metadata")
                return url
        except PyIdentityModelException:
            continue
    return None


@dataclass(repr=False)
class ProtectedResourceMetadataRequest(BaseRequest):
    """Ask for the metadata of a protected resource.

    Attributes:
        address: The resource identifier; with *resource*, the URL of the metadata, out of a challenge, which is fetched
            as it stands (RFC 9728 5).
        resource: The resource that the metadata must be about: the URL of the request that was refused (RFC 9728 3.3).
            None takes it from *address*: a resource identifier, or a URL with the well-known path in it.
        require_signed_metadata: Whether metadata that is not signed is refused.
        allow_private_addresses: Whether a challenge may lead to addresses that are not public, for networks of one's
            own. An address at the host of *resource* may be private in any case: the application named it.
    """

    resource: str | None = field(default=None, kw_only=True)
    require_signed_metadata: bool = field(default=False, kw_only=True)
    allow_private_addresses: bool = field(default=False, kw_only=True)


@dataclass(repr=False)
class ProtectedResourceMetadataResponse(BaseResponse):
    """The metadata of a protected resource, verified to be about the resource that was asked for."""

    metadata: ProtectedResourceMetadata = GUARDED
    _guarded: ClassVar[frozenset[str]] = frozenset({"metadata"})


def parse_resource_metadata(document: Mapping[str, Any], resource: str) -> ProtectedResourceMetadata:
    """Read the metadata of *resource*.

    Args:
        document: The JSON object.
        resource: The resource that it must be about.

    Returns:
        The metadata. A member that is not what it must be raises when it is read.

    Raises:
        DiscoveryException: It is about another resource (``resource_mismatch``), or about none.
    """
    if document.get("resource") != resource:
        # RFC 9728 3.3: the values are identical, or the metadata is not used.
        raise DiscoveryException(
            "The metadata is about another resource",
            code="resource_mismatch",
            claim="resource",
            expected=resource,
            actual=printable(document.get("resource", "absent")),
        )
    members, faults = _judged(document)
    if "resource" in faults:
        raise faults["resource"].error()
    extra = {name: value for name, value in document.items() if name not in _NAMES}
    return ProtectedResourceMetadata(**members, extra=extra, faults=faults)


def _judged(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, MemberFault]]:
    """Return the members that can be used, and what is wrong with the others."""
    members: dict[str, Any] = {}
    faults: dict[str, MemberFault] = {}
    for member in _MEMBERS:
        value = document.get(member.name)
        try:
            members[member.name] = None if value is None else _checked(member.name, member.metadata["kind"], value)
        except ConfigurationException as error:
            refusal = DiscoveryException(
                error.message, code="resource_metadata_invalid", claim=error.claim, expected=error.expected
            )
            faults[member.name] = MemberFault.of(refusal)
    return members, faults


def fetch_resource_metadata(
    request: ProtectedResourceMetadataRequest,
    settings: Settings,
    verify_signed: Callable[[str], Flow[Mapping[str, Any]]] | None = None,
) -> Flow[ProtectedResourceMetadataResponse]:
    """Fetch the metadata of a protected resource and verify whose it is (RFC 9728 3).

    Args:
        request: Which resource.
        settings: How often a failed request is repeated.
        verify_signed: Verifies ``signed_metadata`` and returns its claims, which go before the plain members; None
            leaves a signed form unused.

    Returns:
        The metadata, or what went wrong.
    """
    return answered(ProtectedResourceMetadataResponse, lambda: _fetch(request, settings, verify_signed))


def _fetch(
    request: ProtectedResourceMetadataRequest,
    settings: Settings,
    verify_signed: Callable[[str], Flow[Mapping[str, Any]]] | None,
) -> Flow[ProtectedResourceMetadataResponse]:
    url, resource = _place(request)
    _check_place(url, resource)
    public_only = _is_of_a_stranger(request, url)
    if public_only:
        check_public_url(url, "resource_metadata")
    asked = get(url, {"Accept": "application/json"}, limit=MAX_DOCUMENT, public_only=public_only)
    asked = by_backchannel(asked, request)
    reply = yield from persistently(lambda: asked, settings)
    document = _DOCUMENT.read(reply, url)
    signed = document.get("signed_metadata")
    if isinstance(signed, str) and verify_signed is not None:
        claims = yield from verify_signed(signed)
        document = _merged(document, claims)
    elif request.require_signed_metadata:
        raise DiscoveryException(
            "The metadata is not signed, or nobody is configured who could verify it",
            url,
            code="resource_metadata_unsigned",
            claim="signed_metadata",
        )
    metadata = parse_resource_metadata(document, resource)
    return ProtectedResourceMetadataResponse(True, metadata=metadata, status_code=reply.status)


def _place(request: ProtectedResourceMetadataRequest) -> tuple[str, str]:
    """Return where the metadata is, and which resource it must be about."""
    identifier = _identifier_of(request.address)
    if request.resource is None and identifier is not None:
        return request.address, identifier
    if request.resource is None or request.resource == request.address:
        return well_known_url(request.address), request.address
    # RFC 9728 5: what the challenge names is the URL of the metadata, wherever it is.
    return request.address, request.resource


def _is_of_a_stranger(request: ProtectedResourceMetadataRequest, url: str) -> bool:
    """Tell whether *url* came out of a challenge, as far as can be known, and may lead anywhere."""
    if request.allow_private_addresses or request.backchannel is not None:
        return False
    if request.resource is None:
        return url == request.address
    if is_this_machine(urlsplit(request.resource).hostname) and is_this_machine(urlsplit(url).hostname):
        return False  # who named a resource on this machine may be led to this machine
    return origin(url) != origin(request.resource)


def _check_place(url: str, resource: str) -> None:
    """Let no resource that is elsewhere have something fetched from this machine or its link."""
    if is_local(urlsplit(url).hostname) and not is_local(urlsplit(resource).hostname):
        raise DiscoveryException(
            "The metadata of a resource that is elsewhere is not fetched from this machine",
            code="resource_metadata_local",
            claim="resource_metadata",
            expected="an address of the resource",
            actual=printable(bare(url)),
        )


def _merged(document: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
    # RFC 9728 2.2: iss is required, signed_metadata must not be in there, and signed values go before plain ones.
    if not isinstance(claims, Mapping) or not isinstance(claims.get("iss"), str) or "signed_metadata" in claims:
        raise DiscoveryException(
            "The signed metadata names no issuer, or holds signed metadata",
            code="resource_metadata_signature_invalid",
            claim="iss",
        )
    return {**document, **{name: value for name, value in claims.items() if name not in _JWT_CLAIMS}}


@explains_arguments
def choose_authorization_server(metadata: ProtectedResourceMetadata, trusted: str | Collection[str]) -> str:
    """Return the authorization server to ask for a token: the resource's first one that the client trusts.

    Args:
        metadata: The resource's metadata; it alone is no reason to trust a server (RFC 9728 7.6).
        trusted: Issuers that the client trusts.

    Returns:
        The issuer.

    Raises:
        DiscoveryException: The resource names none of them; the ``code`` is ``authorization_server_untrusted``. Or what
            it names is no list of issuers.
        ConfigurationException: No issuer is trusted.

    >>> choose_authorization_server(
    ...     ProtectedResourceMetadata(resource="https://api.example", authorization_servers=("https://id.example",)),
    ...     {"https://id.example"},
    ... )
    'https://id.example'
    """
    # One string is one issuer: looked for inside it, a part of its name would be trusted as well.
    known = names(trusted, "trusted")
    for issuer in metadata.authorization_servers or ():
        if issuer in known:
            return issuer
    raise DiscoveryException(
        "The resource names no authorization server that is trusted",
        code="authorization_server_untrusted",
        claim="authorization_servers",
        expected=sorted(known)[:8],
        actual=[printable(issuer) for issuer in (metadata.authorization_servers or ())[:8]],
    )


__all__ = [
    "MAX_DOCUMENT",
    "WELL_KNOWN",
    "ProtectedResourceMetadata",
    "ProtectedResourceMetadataRequest",
    "ProtectedResourceMetadataResponse",
    "ServedMetadata",
    "choose_authorization_server",
    "fetch_resource_metadata",
    "parse_resource_metadata",
    "resource_metadata_url",
    "serve_resource_metadata",
    "well_known_url",
]
