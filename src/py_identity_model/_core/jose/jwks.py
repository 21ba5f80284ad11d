"""Key sets of providers: how they are fetched, read and shown (RFC 7517 5)."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ...exceptions import JwksException, TransportException, printable
from ...observability import emit
from ...settings import Settings
from ..base.addresses import check_public_url
from ..base.exchanges import once_more, retry_after, unless_unchanged
from ..base.flow import Flow, Reply, get, now
from ..base.header_fields import entity_tag
from ..base.response import GUARDED, BaseRequest, BaseResponse
from ..base.strict_json import StrictJSONError, loads_object
from ..base.transport import bare
from ..base.urls import STRICT_ADDRESSES, AddressPolicy, AddressRules, parse_url
from ..cache.entry import Entry, Fetched
from ..cache.freshness import freshness
from .algorithms import KeyRefused
from .jwk import JsonWebKey
from .key_material import import_verifying
from .key_set import KeySet, Skipped
from .verification_keys import PRIVATE_MEMBERS, PublicKey

_ACCEPT = "application/json, application/jwk-set+json"
#: RFC 8259 11 and RFC 6839 3.1; ``text/json`` is what some servers have always said.
_JSON_TYPE = re.compile(r"(?:application|text)/(?:[a-z0-9!#$&^_.+-]{1,80}\+)?json")


@dataclass(repr=False)
class JwksRequest(BaseRequest):
    """A request for a provider's key set.

    Attributes:
        address: The ``jwks_uri``.
        policy: Which addresses may be fetched; https, and http on loopback, if it is None.
    """

    policy: AddressPolicy | None = None


@dataclass(repr=False)
class JwksResponse(BaseResponse):
    """A provider's key set.

    Attributes:
        keys: Its keys, without symmetric keys and private members.
        cache_control: The ``Cache-Control`` header field it came with.
    """

    keys: list[JsonWebKey] = GUARDED
    cache_control: str | None = None

    _guarded: ClassVar[frozenset[str]] = frozenset({"keys"})


def parse_jwks(
    data: bytes, *, max_keys: int, max_size: int, address: str | None = None, cache_control: str | None = None
) -> KeySet:
    """Read a provider's key set. A key that cannot be used is skipped, with the reason kept, and harms no other.

    Args:
        data: The body of the response.
        max_keys: Members of the set at most.
        max_size: Bytes of the body at most.
        address: Where it came from, for events and errors.
        cache_control: The header field it came with.

    Raises:
        JwksException: It is no key set, too large, or has no usable key (which is a fault, never a rotation).
    """
    refused = _Refusals(address)
    if len(data) > max_size:
        raise refused("jwks_too_large", f"is larger than {max_size} bytes", expected=max_size)
    try:
        members = loads_object(data).get("keys")
    except StrictJSONError as error:
        raise refused("jwks_unparsable", f"is no key set: {error.reason}") from None
    if not isinstance(members, list):
        raise refused("jwks_unparsable", "is no key set: it has no list of keys", claim="keys")
    if len(members) > max_keys:
        raise refused("jwks_too_many_keys", f"has more than {max_keys} keys", expected=max_keys, actual=len(members))
    if not members:
        raise refused("jwks_empty", "has no keys", claim="keys")
    return _build_set(members, refused, cache_control)


def fetch_key_set(
    address: str,
    settings: Settings,
    previous: Entry[KeySet] | None = None,
    rules: AddressRules = STRICT_ADDRESSES,
) -> Flow[Fetched[KeySet]]:
    """Fetch a key set, or learn that *previous* is still the newest.

    Args:
        address: The ``jwks_uri``. Redirects are not followed.
        settings: Limits, the freshness where the response does not say, and whether a first fetch is repeated.
        previous: What is held already; its ``etag`` makes the request conditional.
        rules: Which addresses may be fetched, and by what way.

    Raises:
        ConfigurationException: The address must not be fetched.
        JwksException: No usable set came.
    """
    https = {"require_https": rules.require_https, "allow_http_on_loopback": rules.allow_http_on_loopback}
    parse_url(address, "jwks_uri", **https)
    refused = _Refusals(address)
    public_only = rules.require_public_addresses and rules.backchannel is None
    facts = {"limit": settings.max_jwks_size, "public_only": public_only, "backchannel": rules.backchannel}
    request = get(address, {"Accept": _ACCEPT}, **facts)
    try:
        if public_only:
            check_public_url(address, "jwks_uri")
        # A quick repeat helps those who wait for their first keys. Others have some, and forged tokens, which can make
        # us ask, must not have the provider asked twice.
        if previous is None:
            reply = yield from once_more(lambda: request, settings)
        else:
            reply = yield from unless_unchanged(request, previous.etag)
    except TransportException as error:
        code = "jwks_too_large" if error.code == "response_too_large" else error.code
        raise refused(
            code, "cannot be fetched: " + error.message, status_code=error.status_code, retry_after=error.retry_after
        ) from None
    wall = (yield from now()).wall
    etag = entity_tag(reply)
    if reply.status == 304 and previous is not None:
        key_set, etag = previous.value, etag or previous.etag
    else:
        _check_reply(reply, refused, wall)
        key_set = parse_jwks(
            reply.body,
            max_keys=settings.max_jwks_keys,
            max_size=settings.max_jwks_size,
            address=address,
            cache_control=reply.header("cache-control"),
        )
    return Fetched(key_set, *freshness(reply, wall, settings.jwks_cache_ttl, settings.max_stale), etag=etag)


def jwks_response(key_set: KeySet) -> JwksResponse:
    """Return the successful response that shows *key_set*."""
    return JwksResponse(True, keys=key_set.web_keys, cache_control=key_set.cache_control)


class _Refusals:
    """Makes the errors about the set of one address."""

    def __init__(self, address: str | None) -> None:
        self.url = printable(bare(address)) if address else None

    def __call__(self, code: str, what: str, **facts: Any) -> JwksException:
        subject = f"The key set of {self.url}" if self.url else "The key set"
        return JwksException(f"{subject} {what}", self.url, code=code, **facts)


def _check_reply(reply: Reply, refused: _Refusals, wall: float) -> None:
    facts: dict[str, Any] = {"status_code": reply.status, "retry_after": retry_after(reply, wall)}
    if 300 <= reply.status < 400:
        hint = "give the address it redirects to as jwks_uri"
        raise refused("jwks_redirected", "redirects, which is not followed", hint=hint, **facts)
    if reply.status != 200:
        raise refused("jwks_failed", f"answered with HTTP status {reply.status}", expected=200, **facts)
    media_type = reply.media_type
    if media_type and not _JSON_TYPE.fullmatch(media_type):
        shown = printable(media_type, 60)
        raise refused("jwks_content_type", f"is of type {shown}", expected=_ACCEPT, actual=shown, **facts)


def _build_set(members: list[Any], refused: _Refusals, cache_control: str | None) -> KeySet:
    keys: list[PublicKey] = []
    skipped: list[Skipped] = []
    document: list[dict[str, Any]] = []
    for member in members:
        kid = _kid(member)
        try:
            jwk = _public_members(member, kid, refused.url)
            document.append(jwk)
            keys.append(import_verifying(jwk))
        except KeyRefused as error:
            skipped.append(Skipped(kid, error.reason))
    if not keys:
        reasons = ", ".join(sorted({reason for _, reason in skipped}))
        raise refused("jwks_unusable", f"has no usable key: {reasons}", actual=reasons)
    return KeySet(tuple(keys), tuple(skipped), {"keys": document}, cache_control)


def _kid(member: Any) -> str | None:
    kid = member.get("kid") if isinstance(member, dict) else None
    return printable(kid) if isinstance(kid, str) else None


def _public_members(member: Any, kid: str | None, address: str | None) -> dict[str, Any]:
    """Return what may be kept of a member of a remote set."""
    if not isinstance(member, dict):
        raise KeyRefused("jwk_not_an_object")
    if member.get("kty") == "oct":
        # A secret that everybody can fetch is none, and HMAC keys come from the caller alone.
        emit("jwks_symmetric_key_ignored", logging.WARNING, address=address, kid=kid)
        raise KeyRefused("symmetric_key_in_remote_set")
    private = sorted(PRIVATE_MEMBERS & member.keys())
    if private:
        emit("jwks_private_members_dropped", logging.WARNING, address=address, kid=kid, members=private)
    return {name: value for name, value in member.items() if name not in PRIVATE_MEMBERS}


__all__ = ["JwksRequest", "JwksResponse", "fetch_key_set", "jwks_response", "parse_jwks"]
