"""The status lists of a validator: fetched once for all callers, verified, kept as long as they say, and asked.

A list is renewed in the background before its ``ttl`` is over. One that cannot be renewed is used for ``stale_for``
seconds more, never past its ``exp``; after that nobody knows the status of its tokens: 503, unless the policy says
otherwise by a long name. A list that is older than the one at hand does not take its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from ...exceptions import NetworkException, TokenValidationException, TransportException, printable
from ...observability import emit
from ...settings import Settings
from ..base.addresses import check_public_url
from ..base.budget import FACTOR
from ..base.exchanges import follow_redirects, once_more, retry_after
from ..base.flow import Flow, Reply, Request, get, now
from ..base.store import AnyStore
from ..base.urls import STRICT_ADDRESSES, origin, parse_url
from ..cache.cache import LEASE_MARGIN, Cache
from ..cache.entry import Entry, Fetched
from ..cache.single_flight import cached
from ..discovery.trust import StaticKeys
from ..jose.algorithms import ASYMMETRIC_ALGORITHMS
from .claim_checks import Claims
from .issuer_trust import IssuerTrust
from .shared_lists import Heard, Sharing, shared_list
from .status_list import (
    MEDIA_TYPE,
    STATUS_LIST,
    StatusList,
    StatusListPolicy,
    check_place,
    judge,
    key_set,
    parse_reference,
    read_list,
    unusable,
)
from .validator_options import Options

#: Verifies the token of a list: what it must be, whose keys may have signed it, and the token itself.
Verify = Callable[[Options, IssuerTrust, str], Flow[Claims]]
#: Seconds for which a list is used at least, however short its ``ttl`` is, so that it is not fetched for each token.
LEAST = 1.0
#: Characters of a list's token beside the list.
_AROUND = 65536


class _Key(NamedTuple):
    """Whose list it is, and where: what one issuer signed says nothing of another's tokens."""

    issuer: str
    uri: str

    def __repr__(self) -> str:  # as events name it
        return self.uri


class StatusLists:
    """The lists of one validator.

    Args:
        policy: What is looked at, and how.
        verify: Verifies the token of a list.
        settings: How often a failed request is repeated, and how long one may take.
        api: ``sync`` or ``aio``.
        store: Through which several processes fetch a list once; it authenticates what it gives out.

    Any thread may call any method.
    """

    def __init__(
        self, policy: StatusListPolicy, verify: Verify, settings: Settings, api: str, store: AnyStore | None = None
    ) -> None:
        self._policy, self._store = policy, store
        self._verify = verify
        self._settings = settings
        self._longest = policy.max_list_size * 16 // 9 + _AROUND  # base64 twice, and what stands around it
        self._own_keys = None if policy.keys is None else StaticKeys(key_set(policy.keys), ASYMMETRIC_ALGORITHMS)
        lease_for = FACTOR * settings.http_timeout + LEASE_MARGIN
        self._lists: Cache[StatusList] = Cache(
            f"{api} status lists", maxsize=policy.max_lists, lease_for=lease_for, bounds_followers=api == "sync"
        )

    def knows(self, claims: Claims, steady: float) -> bool:
        """Tell whether the status of a token is known to be good; False: ask :meth:`check`. Nothing is fetched.

        Raises:
            TokenValidationException: It is known not to be.
        """
        if "status" not in claims:
            return True
        reference = parse_reference(claims)
        entry = self._lists.peek(_Key(claims["iss"], reference.uri), steady)
        if entry is None:
            return False
        judge(entry.value, reference, self._policy)
        return True

    def check(self, claims: Claims, trusted: IssuerTrust) -> Flow[None]:
        """Refuse a token whose status is not good.

        Args:
            claims: The claims of a token that is valid otherwise.
            trusted: Its issuer.

        Raises:
            TokenValidationException: Its status says so, or tells nothing that is understood.
            NetworkException: Nobody knows its status right now.
        """
        if "status" not in claims:
            return
        reference = parse_reference(claims)
        issuer: str = claims["iss"]
        check_place(reference, issuer, self._policy)
        key = _Key(issuer, reference.uri)
        try:
            entry = yield from cached(self._lists, key, lambda previous: self._fetch(key, trusted, previous))
        except NetworkException as error:
            if not self._policy.accept_tokens_while_status_is_unknown:
                raise
            emit("token_status_unknown", logging.WARNING, uri=printable(reference.uri), code=error.code)
            return
        judge(entry.value, reference, self._policy)

    def _fetch(self, key: _Key, trusted: IssuerTrust, previous: Entry[StatusList] | None) -> Flow[Fetched[StatusList]]:
        def asks() -> Flow[Heard]:
            began = (yield from now()).wall
            return Heard((yield from self._ask(key, trusted)), began)

        def reads(heard: Heard) -> Flow[Fetched[StatusList]]:
            return (yield from self._taken(key, trusted, previous, heard))

        if self._store is None:
            return (yield from reads((yield from asks())))
        known = -1.0 if previous is None or previous.said_at is None else previous.said_at
        sharing = Sharing(self._store, key.issuer, key.uri, self._longest)
        return (yield from shared_list(sharing, known, asks, reads))

    def _taken(
        self, key: _Key, trusted: IssuerTrust, previous: Entry[StatusList] | None, heard: Heard
    ) -> Flow[Fetched[StatusList]]:
        found = yield from self._read(key, trusted, heard.token)
        if previous is not None and previous.value.issued > found.issued:
            found = previous.value  # a copy from before, of a cache on the way or of somebody who keeps one
        wall = (yield from now()).wall
        left = found.expires - wall
        if left <= 0:
            raise unusable(key.uri, "it has expired", code="status_list_expired")
        ttl = self._policy.fresh_for if found.ttl is None else found.ttl
        # It is as old as it is, whoever asked for it.
        age = 0.0 if self._store is None else max(0.0, wall - heard.began)
        fresh_for = max(0.0, min(min(max(ttl, LEAST), self._policy.max_age) - age, left))
        stale = min(self._policy.stale_for, left - fresh_for)
        return Fetched(found, fresh_for, stale_if_error=stale, age=age, said_at=heard.began)

    def _ask(self, key: _Key, trusted: IssuerTrust) -> Flow[str]:
        request = self._request(key, trusted)
        try:
            if request.public_only:
                check_public_url(key.uri, "uri")
            reply = yield from once_more(lambda: request, self._settings, follow_redirects)
        except TransportException as error:
            facts = {"status_code": error.status_code, "retry_after": error.retry_after}
            raise unusable(key.uri, error.message, code="status_list_unavailable", **facts) from None
        return _token_of(reply, key.uri, (yield from now()).wall)

    def _request(self, key: _Key, trusted: IssuerTrust) -> Request:
        # What holds for the issuer's keys holds for lists that are at the same place.
        home = origin(key.uri) == origin(key.issuer)
        rules = trusted.source.address_rules if home else STRICT_ADDRESSES
        https = {"require_https": rules.require_https, "allow_http_on_loopback": rules.allow_http_on_loopback}
        parse_url(key.uri, "uri", **https)
        public_only = rules.require_public_addresses and rules.backchannel is None
        facts = {"limit": self._longest, "public_only": public_only, "backchannel": rules.backchannel}
        return get(key.uri, {"Accept": MEDIA_TYPE}, **facts)

    def _read(self, key: _Key, trusted: IssuerTrust, token: str) -> Flow[StatusList]:
        leeway = trusted.policy.leeway
        options = Options(kind=STATUS_LIST, audience=None, leeway=leeway, check_issuer=False, max_token=self._longest)
        signer = trusted.signing(options.policy(None))
        if self._own_keys is not None:
            signer = IssuerTrust(self._own_keys, options.policy(None), None, trusted.engine, None)
        try:
            claims = yield from self._verify(options, signer, token)
        except TokenValidationException as error:
            raise unusable(key.uri, error.message, claim=error.claim, details={"reason": error.code}) from None
        if self._own_keys is None and claims.get("iss", key.issuer) != key.issuer:
            raise unusable(key.uri, "it is by another issuer", claim="iss")
        return read_list(claims, key.uri, self._policy)


def _token_of(reply: Reply, uri: str, wall: float) -> str:
    """Return the token in the reply of a server of lists.

    Raises:
        StatusListException: There is none.
    """
    if reply.status != 200:
        raise unusable(
            uri,
            f"the answer has status {reply.status}",
            code="status_list_unavailable",
            status_code=reply.status,
            retry_after=retry_after(reply, wall),
        )
    if reply.media_type != MEDIA_TYPE:
        kind = printable(reply.media_type, 60)
        raise unusable(uri, "it is of another content type", claim="content-type", expected=MEDIA_TYPE, actual=kind)
    try:
        return reply.body.decode("ascii").strip()
    except UnicodeDecodeError:
        raise unusable(uri, "it is no JWT") from None


__all__ = ["LEAST", "StatusLists", "Verify"]
