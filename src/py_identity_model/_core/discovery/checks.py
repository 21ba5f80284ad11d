"""What a provider's metadata must be before anything in it is used: whole, of the right types, its own, and harmless.

OpenID Connect Discovery 1.0 (3, 4.3), RFC 8414 (2, 3.3, 6).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from ...exceptions import (
    ConfigurationException,
    DiscoveryException,
    DiscoveryHTTPSRequiredError,
    DiscoveryMissingFieldsError,
    DiscoveryParseError,
    printable,
)
from ...observability import emit
from ..base.addresses import is_inside, is_public_host
from ..base.flow import Reply
from ..base.strict_json import StrictJSONError, loads_object
from ..base.transport import bare
from ..base.urls import is_below, is_local, is_loopback, is_this_machine, origin, parse_url
from .metadata import (
    ALIASES,
    ENDPOINTS,
    MEMBERS,
    DiscoveryDocumentResponse,
    DiscoveryPolicy,
    MemberFault,
    alias_place,
)

#: Bytes of a document that are read at most.
MAX_METADATA = 512 * 1024


class Lookup(NamedTuple):
    """Where metadata is looked for, and what it must say."""

    #: Addresses, in the order in which they are tried.
    urls: tuple[str, ...]
    #: Issuers it may name; the first is the one to speak of.
    issuers: tuple[str, ...]
    #: An address at the provider, to which its endpoints are compared.
    home: str


def parse_metadata(reply: Reply, lookup: Lookup, policy: DiscoveryPolicy) -> DiscoveryDocumentResponse:
    """Read the metadata in *reply*, refusing a document that is not the provider's own or names unusable endpoints.

    Raises:
        DiscoveryException: The document is not usable; ``code`` and ``claim`` say why.
    """
    url = printable(bare(reply.url or lookup.home))
    document = _parse_document(reply, url)
    _check_present(document, policy, url)
    _check_issuer(document["issuer"], lookup, policy, url)
    members, faults = _judged(document, lookup, policy, url)
    for name in _required(policy):
        if name in faults:
            raise faults[name].error()
    return DiscoveryDocumentResponse(
        True,
        **members,
        faults=faults,
        cache_control=reply.header("cache-control"),
        status_code=reply.status,
        metadata_url=reply.url or None,
        raw=document,
    )


def _parse_document(reply: Reply, url: str) -> dict[str, Any]:
    if reply.status != 200:
        raise DiscoveryException(
            f"Expected status 200 from {url}, got {reply.status}",
            url,
            reply.status,
            code="discovery_status_unexpected",
            expected=200,
            actual=reply.status,
        )
    _check_content_type(reply, url)
    if len(reply.body) > MAX_METADATA:
        raise DiscoveryException(
            f"The metadata at {url} is larger than {MAX_METADATA} bytes",
            url,
            reply.status,
            code="response_too_large",
            expected=MAX_METADATA,
            actual=len(reply.body),
        )
    try:
        return loads_object(reply.body)
    except StrictJSONError as error:
        raise DiscoveryParseError(
            f"The metadata at {url} is refused: {error.reason}", url, reply.status, code="discovery_json_invalid"
        ) from None


def _check_content_type(reply: Reply, url: str) -> None:
    # Discovery 4.2, RFC 8414 3.2: the response uses the application/json content type.
    kind = reply.media_type
    if kind == "application/json":
        return
    raise DiscoveryParseError(
        f"The metadata at {url} is {printable(kind, 60) or 'of no content type'}, not application/json",
        url,
        reply.status,
        code="discovery_content_type_invalid",
        claim="content-type",
        expected="application/json",
        actual=printable(kind, 60) or None,
        hint="a web page: the address is probably not the provider's" if kind == "text/html" else None,
    )


def _required(policy: DiscoveryPolicy) -> tuple[str, ...]:
    """Return the members that are used in any case: to tell whose the document is, and to verify tokens."""
    return ("issuer", "jwks_uri") if policy.require_key_set else ("issuer",)


def _check_present(document: Mapping[str, Any], policy: DiscoveryPolicy, url: str) -> None:
    # A caller that uses another member finds its field to be None: RFC 8414 documents lack what OpenID requires.
    required = _required(policy)
    missing = [name for name in required if document.get(name) is None]
    if missing:
        raise DiscoveryMissingFieldsError(
            f"The metadata at {url} lacks {' and '.join(missing)}",
            missing,
            url=url,
            status_code=200,
            claim=missing[0],
            expected=", ".join(required),
        )


def _judged(
    document: Mapping[str, Any], lookup: Lookup, policy: DiscoveryPolicy, url: str
) -> tuple[dict[str, Any], dict[str, MemberFault]]:
    """Return the members that can be used, the others as None, and what is wrong with those."""
    members: dict[str, Any] = {}
    faults: dict[str, MemberFault] = {}
    for name, kind in MEMBERS.items():
        try:
            members[name] = _member(document, name, kind, url)
            if name == ALIASES and members[name] is not None:
                members[name], spoiled = _usable_aliases(members[name], lookup, policy, url)
                faults |= spoiled
                continue
            for place, endpoint in _endpoints(name, members[name]):
                _check_endpoint(place, endpoint, lookup, policy, url)
        except DiscoveryException as error:
            members[name], faults[name] = None, MemberFault.of(error)
    if not policy.validate_endpoints:
        emit("endpoint_checks_disabled", logging.WARNING, url=url)
    if faults:
        emit("metadata_members_unusable", logging.INFO, url=url, members=sorted(faults))
    used = [found for name, value in members.items() for found in _endpoints(name, value)]
    _tell_insecure([("address", lookup.home), *used])
    return members, faults


def _usable_aliases(
    aliases: Mapping[str, Any], lookup: Lookup, policy: DiscoveryPolicy, url: str
) -> tuple[dict[str, str], dict[str, MemberFault]]:
    """Return the aliases that can be used, and what is wrong with the others: one does not spoil the rest."""
    usable: dict[str, str] = {}
    faults: dict[str, MemberFault] = {}
    for endpoint, given in aliases.items():
        place = alias_place(printable(endpoint, 60))
        try:
            address = _member({place: given}, place, "str", url)
            if address is not None:
                _check_endpoint(place, address, lookup, policy, url)
                usable[endpoint] = address
        except DiscoveryException as error:
            faults[place] = MemberFault.of(error)
    return usable, faults


def _member(document: Mapping[str, Any], name: str, kind: str, url: str) -> Any:
    # null is no value of any member; providers write it for "not supported".
    value = document.get(name)
    if value is None:
        return None
    with suppress(msgspec.ValidationError):
        return msgspec.convert(value, _KINDS[kind])
    raise DiscoveryParseError(
        f"{name} in the metadata at {url} must be {kind}, got {type(value).__name__}",
        url,
        200,
        code="discovery_member_invalid",
        claim=name,
        expected=kind,
        actual=type(value).__name__,
    )


_KINDS: Mapping[str, Any] = {"str": str, "bool": bool, "list[str]": list[str], "dict[str, str]": dict[str, Any]}

# ---------------------------------------------------------------------------------------------------------------------
# Whose it is, and where it leads


def _check_issuer(issuer: object, lookup: Lookup, policy: DiscoveryPolicy, url: str) -> None:
    if not policy.validate_issuer:
        emit("issuer_check_disabled", logging.WARNING, url=url)
        return
    # Discovery 4.3, RFC 8414 3.3: identical, compared as code points.
    if any(same_issuer(issuer, one) for one in lookup.issuers):
        return
    expected, actual = lookup.issuers[0], printable(issuer)
    raise DiscoveryException(
        f"Expected the issuer {printable(expected)!r} in the metadata at {url}, got {actual!r}",
        url,
        200,
        code="discovery_issuer_mismatch",
        claim="issuer",
        expected=expected,
        actual=actual,
        hint=_issuer_hint(expected, issuer),
    )


def same_issuer(issuer: object, expected: str) -> bool:
    """Tell whether metadata that names *issuer* is that of *expected*: the same text, or the same template."""
    if issuer == expected:
        return True
    # Metadata that tenants share names a template; what its placeholder is called is the provider's own business.
    return isinstance(issuer, str) and "{" in expected and "{" in issuer and _open(issuer) == _open(expected)


def _open(template: str) -> tuple[str, str, str]:
    before, _, rest = template.partition("{")
    _, closing, after = rest.partition("}")
    return before, closing, after


def _issuer_hint(expected: str, issuer: object) -> str | None:
    if not isinstance(issuer, str):
        return None
    actual = printable(issuer)
    if issuer.rstrip("/") == expected.rstrip("/"):
        return f"the issuers differ only by a trailing slash; ask for {actual!r}"
    if "{" in issuer:
        return (
            f"the provider serves many tenants and names a template; ask for one tenant's issuer, or give a "
            f"TokenValidator IssuerTemplate({actual!r}, allowed=...); elsewhere accept the template with "
            f"DiscoveryPolicy(authority={actual!r}) and check each token's issuer against it"
        )
    if issuer.lower() == expected.lower():
        return f"the issuers differ only by case; ask for {actual!r}"
    asked = printable(expected)
    return (
        f"if that is the issuer you mean, ask for it; if tokens carry {asked!r} all the same, as AD FS's do, say "
        f"TokenValidator({asked!r}, metadata_issuer={actual!r}), or elsewhere DiscoveryPolicy(authority={actual!r})"
    )


def _endpoints(name: str, value: Any) -> list[tuple[str, str]]:
    """Return the addresses that a member holds, each under its name."""
    if value is None:
        return []
    if name == ALIASES:
        return [(alias_place(printable(endpoint, 60)), address) for endpoint, address in value.items()]
    return [(name, value)] if name in ENDPOINTS else []


def _check_endpoint(name: str, endpoint: str, lookup: Lookup, policy: DiscoveryPolicy, url: str) -> None:
    host = _endpoint_host(name, endpoint, policy, url)
    if policy.validate_endpoints:
        _check_host(name, endpoint, host, lookup, policy, url)


def _endpoint_host(name: str, endpoint: str, policy: DiscoveryPolicy, url: str) -> str:
    try:
        # RFC 6749 3.1, 3.2: an endpoint may have a query, not a fragment.
        return policy.parse_url(endpoint, name)
    except ConfigurationException as error:
        insecure = isinstance(error, DiscoveryHTTPSRequiredError)
        raise _endpoint_refusal(
            "discovery_endpoint_insecure" if insecure else "discovery_endpoint_refused",
            f"{error.message}, in the metadata at {url}",
            name,
            url,
            expected=error.expected,
            actual=error.actual,
        ) from None


def _check_host(name: str, endpoint: str, host: str, lookup: Lookup, policy: DiscoveryPolicy, url: str) -> None:
    shown = printable(bare(endpoint))
    if policy.backchannel is not None and is_below(endpoint, policy.backchannel):
        return
    if _leads_inside(host, lookup, policy) and not _is_named(endpoint, policy):
        raise _endpoint_refusal(
            "discovery_endpoint_loopback",
            f"{name} leads to this machine or its network ({shown}), though the provider is elsewhere ({url})",
            name,
            url,
            expected="an endpoint of the provider",
            actual=shown,
            hint="DiscoveryPolicy(allow_loopback_endpoints=True) accepts it, for development"
            if is_this_machine(host)
            else "name it in additional_endpoint_base_addresses if it is the provider's",
        )
    restricted = policy.require_same_host_endpoints or policy.additional_endpoint_base_addresses
    if restricted and not _at_home(endpoint, lookup, policy):
        home = origin(policy.authority or lookup.home)
        raise _endpoint_refusal(
            "discovery_endpoint_foreign",
            f"{name} leads to {shown}, which is not at {home}",
            name,
            url,
            expected=home,
            actual=shown,
            hint="name the host in additional_endpoint_base_addresses if it is the provider's",
        )


def parse_host(url: str) -> str | None:
    """Return the host of an address that was accepted before."""
    return parse_url(url, "address", require_https=False).hostname


def _at_home(endpoint: str, lookup: Lookup, policy: DiscoveryPolicy) -> bool:
    if origin(endpoint) == origin(policy.authority or lookup.home):
        return True
    return _is_named(endpoint, policy)


def _is_named(endpoint: str, policy: DiscoveryPolicy) -> bool:
    return any(is_below(endpoint, base) for base in policy.additional_endpoint_base_addresses)


def _leads_inside(host: str, lookup: Lookup, policy: DiscoveryPolicy) -> bool:
    """Tell whether a provider that is elsewhere sends us to this machine, its link, or where clouds keep secrets."""
    if is_this_machine(host):
        return not policy.allow_loopback_endpoints and not is_local(parse_host(lookup.home))
    home = parse_host(lookup.home)
    return not is_local(home) if is_local(host) else is_inside(host) and is_public_host(home)


def _endpoint_refusal(code: str, message: str, name: str, url: str, **facts: Any) -> DiscoveryException:
    return DiscoveryException(message, url, 200, code=code, claim=name, **facts)


def _tell_insecure(addresses: list[tuple[str, str]]) -> None:
    insecure = [name for name, url in addresses if url.startswith("http:") and not is_loopback(parse_host(url))]
    if insecure:
        emit("insecure_http_allowed", logging.WARNING, url=printable(bare(addresses[0][1])), members=insecure)


__all__ = ["MAX_METADATA", "Lookup", "parse_metadata", "same_issuer"]
