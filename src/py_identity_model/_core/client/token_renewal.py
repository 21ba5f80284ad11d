"""Renewing a token so that any number of processes can share it: one of them asks the provider, all others adopt.

==========  =======================================================================  ==================================
step        what happens                                                             if it fails
==========  =======================================================================  ==================================
prepare     the provider's metadata is fetched, if it is not at hand                 nothing else is done
lease       the right to renew this entry is taken, for a bounded time               another process has it: look, wait
read        what the store has now is read; a newer token there ends it              see *store away*
ask         the provider is asked, once                                              the entry stays as it is
keep        the new tokens take the place of what was read, as one step              another wrote: see *overtaken*
release     the lease is given back; one whose holder was killed ends by itself
==========  =======================================================================  ==================================

*Refused.* A refresh token that the provider calls dead may have been used by a process that was slow to write: the
store is looked at a few times more. Only if nothing changed there the login is over, and the entry says so to all.

*Overtaken.* Nobody but the holder of a lease renews; a login or a logout writes without. A new login is adopted, a
logout ends it. The new tokens are kept also by one who lost the lease meanwhile: they are the only ones still good.

*Store away.* Without the store no refresh token is used: another process might use it at the same time. A token of the
client's own is fetched all the same. What came for a refresh token and cannot be kept is not used; it is remembered and
kept as soon as the store is back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from ...exceptions import PyIdentityModelException, StoreException
from ...observability import emit
from ..base.budget import within_budget
from ..base.flow import Flow, now, sleep
from ..base.store import AnyStore, Lease, ask
from .held_tokens import ENTRIES, LOGIN, TOPIC, Asking, Held, Kept
from .token_errors import LoginRequired, TokenUnavailable

#: Seconds between two looks whether another process has renewed, on the average.
LOOK_EVERY: Final = 0.1
#: Looks for what a slow process may still write before a login counts as lost.
LAST_LOOKS: Final = 20
#: Pauses between attempts to keep new tokens, in seconds.
KEEP_PAUSES: Final = (0.05, 0.25, 1.0)
#: Seconds that a lease is longer than three times what a renewal may take.
MARGIN: Final = 2.0
#: How often one renewal begins anew because another process wrote.
TURNS: Final = 3


class Granted(NamedTuple):
    """What the provider gave."""

    token: Kept
    refresh_token: str | None = None
    claims: dict[str, Any] | None = None
    id_token_hint: str | None = None

    def __repr__(self) -> str:
        return "Granted()"


class Renewal(NamedTuple):
    """How one token is renewed."""

    store: AnyStore
    asking: Asking
    #: Asks the provider, given what is kept.
    ask: Callable[[Held | None], Flow[Granted]]
    #: Fetches what asking needs, before the lease is taken: the provider's metadata.
    prepare: Callable[[], Flow[object]]
    #: Seconds that asking may take.
    seconds: float
    #: What could not be kept: by entry, what was to be replaced and what by.
    unsaved: dict[str, tuple[bytes | None, bytes]]
    #: The verb that brings a new login.
    verb: str = "begin_login"

    def __repr__(self) -> str:  # what could not be kept are tokens
        return f"Renewal({self.asking!r})"

    @property
    def asked_for(self) -> float:
        """Seconds that the provider may take to answer.

        With a refresh token they are twice as many: an answer that nobody waits for any more may hold the only refresh
        token that is still good.
        """
        return 2 * self.seconds if self.of_a_login else self.seconds

    @property
    def lease_for(self) -> float:
        """Seconds that the right to renew lasts, unless it is given back.

        A process that was held up with the answer in hand has time to write it down before another one uses the same
        refresh token.
        """
        return 3 * self.seconds + MARGIN

    @property
    def longest(self) -> float:
        """Seconds that a caller waits at most: until the lease of a process that died is over, and the provider's
        answer to the next one may have come.
        """
        return self.lease_for + self.asked_for

    @property
    def of_a_login(self) -> bool:
        """Whether it uses a refresh token."""
        return self.asking.grant == LOGIN


class Have(NamedTuple):
    """What this process has, and wants something better than."""

    kept: Kept | None = None
    #: The token that a resource refused.
    refused: str | None = None

    def __repr__(self) -> str:
        return f"Have({self.kept is not None})"


def look(renewal: Renewal, have: Have) -> Flow[Kept | None]:
    """Return what another process put into the store, if it is better than what this one has.

    Raises:
        LoginRequired: There is no login, and no token at hand.
    """
    try:
        held = ENTRIES.decoded((yield from _read(renewal)))
    except StoreException:
        return None
    found = better(held, renewal.asking, have, (yield from now()).wall)
    if found is None and renewal.of_a_login and (held is None or held.refresh_token is None):
        raise login_required(held, renewal.verb)
    return found


def renewed(renewal: Renewal, have: Have, *, patient: bool) -> Flow[Kept | None]:
    """Return a new token; None if another process is about to bring it and the caller need not wait.

    Raises:
        LoginRequired: The login is over.
        TokenUnavailable: The store is away, or another process takes too long.
        PyIdentityModelException: Whatever the provider answered.
    """
    yield from within_budget(renewal.prepare(), (yield from now()).steady, renewal.seconds)
    lease, leased_at = yield from _leased(renewal, have, patient)
    if not isinstance(lease, Lease):
        return lease if lease is not _ALONE else (yield from _turns(renewal, have, leased_at))
    try:
        token = yield from _turns(renewal, have, leased_at)
    except Exception:  # whatever it was, the lease is given back
        yield from _released(renewal, lease)
        raise
    # Who is cancelled releases nothing: a lease ends by itself.
    yield from _released(renewal, lease)
    return token


#: In place of a lease: the store is away, and no other process can be disturbed.
_ALONE: Any = object()


def _leased(renewal: Renewal, have: Have, patient: bool) -> Flow[tuple[Lease | Kept | None, float]]:
    """Return the lease, or what another process brought meanwhile, and since when; None where it is not waited for."""
    entry, seconds = renewal.asking.entry, renewal.lease_for
    until = (yield from now()).steady + renewal.longest
    while True:
        at = (yield from now()).steady
        try:
            lease: Lease | None = yield from ask(renewal.store, lambda store: store.lease(TOPIC, entry, seconds))
        except StoreException as error:
            if renewal.of_a_login:
                raise _store_away(error) from error
            return _ALONE, at
        if lease is not None or not patient:
            return lease, at
        yield from sleep(jittered(LOOK_EVERY))
        found = yield from look(renewal, have)
        if found is not None:
            return found, at
        if (yield from now()).steady >= until:
            raise TokenUnavailable("Another process takes too long to renew the token", retry_after=1.0)


def _released(renewal: Renewal, lease: Lease) -> Flow[None]:
    try:
        yield from ask(renewal.store, lambda store: store.release(lease))
    except StoreException:
        pass  # it ends by itself


def _read(renewal: Renewal) -> Flow[bytes | None]:
    data: bytes | None = yield from ask(renewal.store, lambda store: store.get(TOPIC, renewal.asking.entry))
    return data


def _turns(renewal: Renewal, have: Have, leased_at: float) -> Flow[Kept]:
    for _ in range(TURNS):
        token = yield from _turn(renewal, have, leased_at)
        if token is not None:
            return token
    raise TokenUnavailable("Other processes keep changing the login", retry_after=1.0)


def _turn(renewal: Renewal, have: Have, leased_at: float) -> Flow[Kept | None]:
    """Read, ask, keep. None: another process wrote, and not what is wanted."""
    try:
        raw = yield from _read(renewal)
        raw = yield from _caught_up(renewal, raw)
    except StoreException as error:
        if renewal.of_a_login:
            raise _store_away(error) from error
        raw = None
    held = ENTRIES.decoded(raw)
    found = better(held, renewal.asking, have, (yield from now()).wall)
    if found is not None:
        return found
    if renewal.of_a_login and (held is None or held.refresh_token is None):
        raise login_required(held, renewal.verb)
    try:
        # Counted from when the lease was taken: who was held up since sends nothing any more.
        granted = yield from within_budget(renewal.ask(held), leased_at, renewal.asked_for)
    except PyIdentityModelException as error:
        if not (renewal.of_a_login and error.needs_new_login):
            raise
        return (yield from _refused(renewal, raw, held, error))
    return (yield from _kept(renewal, raw, _merged(held, renewal.asking, granted), granted.token))


def _merged(held: Held | None, asking: Asking, granted: Granted) -> Held:
    old = held or Held()
    changes: dict[str, Any] = {}
    if asking.grant == LOGIN:
        changes["refresh_token"] = granted.refresh_token or old.refresh_token
        changes["id_token_hint"] = granted.id_token_hint or old.id_token_hint
    return old.with_token(asking.token, granted.token, **changes)


# ---------------------------------------------------------------------------------------------------------------------
# Keep


def _kept(renewal: Renewal, raw: bytes | None, held: Held, token: Kept) -> Flow[Kept | None]:
    """Put *held* in the place of *raw*, and only then hand out the token."""
    data = ENTRIES.encoded(held)
    try:
        kept = yield from _swapped(renewal, raw, data, held)
        current = data if kept else (yield from _read(renewal))
    except StoreException as error:
        if not renewal.of_a_login:
            return token  # it can be fetched again; the store told of its failure
        renewal.unsaved[renewal.asking.entry] = (raw, data)
        emit("tokens_not_kept", 40, code=error.code)
        raise TokenUnavailable("The new tokens cannot be kept", code="tokens_not_kept", retry_after=1.0) from error
    if current == data or not renewal.of_a_login:
        return token
    return (yield from _overtaken(renewal, current, data, token))


def _swapped(renewal: Renewal, raw: bytes | None, data: bytes, held: Held) -> Flow[bool]:
    lifetime = held.lifetime((yield from now()).wall)
    entry = renewal.asking.entry
    for pause in (*KEEP_PAUSES, None):
        try:
            # Not fenced by the lease: what was read is still there, so these are the newest tokens there are.
            return bool((yield from ask(renewal.store, lambda store: store.swap(TOPIC, entry, raw, data, lifetime))))
        except StoreException:
            if pause is None:
                raise
        yield from sleep(pause)
    raise AssertionError  # the last attempt returns or raises


def _overtaken(renewal: Renewal, current: bytes | None, data: bytes, token: Kept) -> Flow[Kept | None]:
    held, mine = ENTRIES.decoded(current), ENTRIES.decoded(data)
    if held is None:
        raise login_required(None, renewal.verb)
    if held.lost is None or mine is None:
        return None
    # Another process found the refresh token used, by us, before this could be kept.
    done = yield from _swapped(renewal, current, data, mine)
    return token if done else None


def _caught_up(renewal: Renewal, raw: bytes | None) -> Flow[bytes | None]:
    """Keep what could not be kept before; return what the store has then."""
    entry = renewal.asking.entry
    before, data = renewal.unsaved.get(entry, (None, None))
    if data is None:
        return raw
    mine = ENTRIES.decoded(data)
    if raw == before and mine is not None and (yield from _swapped(renewal, raw, data, mine)):
        raw = data
    renewal.unsaved.pop(entry, None)
    return raw


# ---------------------------------------------------------------------------------------------------------------------
# Refused


def _refused(
    renewal: Renewal, raw: bytes | None, held: Held | None, error: PyIdentityModelException
) -> Flow[Kept | None]:
    """Find out whether the login is over, or another process was quicker."""
    entry = renewal.asking.entry
    try:
        for _ in range(LAST_LOOKS):
            if (yield from _read(renewal)) != raw:
                return None
            yield from sleep(jittered(LOOK_EVERY))
        reason = getattr(error, "error", None) or error.code
        over = msgspec.structs.replace(held or Held(), refresh_token=None, lost=reason)
        if not (yield from _swapped(renewal, raw, ENTRIES.encoded(over), over)):
            return None
    except StoreException as away:
        raise _store_away(away) from away
    emit("login_lost", 30, reason=reason, entry=entry[:12])
    raise login_required(over, renewal.verb) from error


def login_required(held: Held | None, verb: str) -> LoginRequired:
    """Return the exception for a login that is not there, or over."""
    if held is None:
        return LoginRequired("Nobody has logged in", verb, code="login_missing")
    verb = held.verb or verb
    if held.lost is not None:
        return LoginRequired(f"The provider ended the login: {held.lost}", verb, code="login_ended")
    return LoginRequired(
        "The login brought no refresh token, and has no token that is still good for this",
        verb,
        code="refresh_token_missing",
        hint=f"call {verb}(), with the scope offline_access where the provider wants it",
    )


def _store_away(error: StoreException) -> TokenUnavailable:
    return TokenUnavailable(
        "The store is away, and no refresh token is used without it", code=error.code, retry_after=error.retry_after
    )


# ---------------------------------------------------------------------------------------------------------------------
# What is better


def better(held: Held | None, asking: Asking, have: Have, wall: float) -> Kept | None:
    """Return the token of an entry if it is alive, and newer than what this process has."""
    found = None if held is None else held.tokens.get(asking.token)
    if found is None or (found.expires_at is not None and wall >= found.expires_at):
        return None
    known = () if have.kept is None else (have.kept.access_token,)
    if found.access_token in (have.refused, *known):
        return None
    return found if have.kept is None or found.obtained_at >= have.kept.obtained_at else None


def jittered(seconds: float, spread: float = 0.5) -> float:
    """Return *seconds*, give or take *spread* of them at random, so that many do not act at once."""
    return seconds * (1 - spread + 2 * spread * secrets.randbelow(1001) / 1000)


__all__ = [
    "Granted",
    "Have",
    "Renewal",
    "better",
    "jittered",
    "login_required",
    "look",
    "renewed",
]
