"""Many tokens at once: each is judged as it would be alone, and a refusal is a value in its place.

Tokens whose like was seen before are verified over several cores: by one call of the native engine, or in chunks over
threads where signatures take so long that these win more than they lose by sharing the GIL. The others take the careful
path one by one; as soon as one of them has brought the key that its like need, they are verified over all cores as
well. So a key set that went stale costs one refresh, not one per token.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, TypeVar

from ..._refusals import bounded
from ...exceptions import ConfigurationException, PyIdentityModelException
from ..base.flow import Clock, Flow, now, resolve, sleep
from ..base.strict_json import loads_claims
from .claim_checks import Claims
from .claim_types import converter, payload_reader
from .defaults import WINDOW
from .engine import GOOD, Answer, Engine, PureEngine
from .issuer_trust import IssuerTrust, TrustSnapshot
from .payload import peek_issuer
from .spread import spread
from .token_cache import fresh_claims
from .validator import Validator

T = TypeVar("T")
#: Claims, or the exception that :meth:`TokenValidator.validate` would have raised.
Outcome: TypeAlias = T | PyIdentityModelException
#: Calls a function where it may take its time, in a worker thread.
Offload: TypeAlias = Callable[[Callable[[], Any]], Any]

#: Tokens that a thread takes at once: more chunks than threads even out who got the GIL less.
CHUNK = 64
#: Tokens that are no work for more than the calling thread: it would wait longer for others than it wins by them.
FEW = 16
#: Tokens for which eight signatures at once take less time than one after the other.
LANES_PAY = 5
#: Threads that a GIL can still feed.
MOST_THREADS = 8
#: Characters, with the dot, of signatures that are verified in less time than threads lose by fighting for the GIL:
#: HMAC up to SHA-384, and RSA of 2,048 to 3,072 bits. All others take 60 microseconds and more, without the GIL.
_LONGEST_HMAC, _RSA_4096 = 65, 684
_QUICK = frozenset((*range(1, _LONGEST_HMAC + 1), *range(343, 514)))
#: One token in so many tells whether a window has any that takes longer.
_SAMPLED = 16


class Threads(NamedTuple):
    """How many threads a batch is worth, the calling one included: for signatures that take long, and for others."""

    for_slow: int
    for_quick: int


class Batch:
    """Judges tokens, each once, however often and in however many parts it comes.

    Args:
        validator: Whose policy it is.
        offload: Where work for the processor goes while others go on; None where nobody waits but the caller.
        threads: Threads that may be used.
        kind: What claims are returned as: None for a dict, or a type that claims can have.
    """

    def __init__(self, validator: Validator, offload: Offload | None, threads: Threads, kind: Any = None) -> None:
        self._validator = validator
        self._offload = offload
        self._threads = Threads(*(max(1, min(each, MOST_THREADS)) for each in threads))
        self._into = None if kind is None else converter(kind)
        self._read = None if kind is None else payload_reader(kind)
        self._begun = False
        #: What was given out already.
        self._known: dict[str, Outcome[Any]] = {}

    def judge(
        self, tokens: Sequence[Any], seen: Sequence[Outcome[Any] | None] | None = None
    ) -> Flow[list[Outcome[Any]]]:
        """Return an outcome for each of *tokens*, in their order; *seen* is what :func:`few` said of them before."""
        if self._begun:
            yield from sleep(0)  # however little there may be to do, others get their turn between two windows
        self._begun = True
        if seen is None and len(tokens) <= FEW and not self._known:
            seen = few(self._validator, tokens, *(yield from now()))
        if seen is not None and None not in seen:
            return [self._shown(outcome, again=False) for outcome in seen]
        fresh = self._unknown(tokens)
        rest = fresh if seen is None else self._taken(tokens, seen, fresh)
        for alike in self._by_header((yield from self._rest(rest))):
            yield from self._careful(alike)
        if self._into is None and len(fresh) == len(tokens):
            return [self._known[token] for token in fresh]
        return (yield from self._in_place(tokens, set(fresh)))

    def _taken(self, tokens: Sequence[Any], seen: Sequence[Outcome[Any] | None], fresh: list[str]) -> list[str]:
        """Take over the outcomes that are known already; return the tokens that have none."""
        for token, outcome in zip(tokens, seen, strict=True):
            if outcome is not None:
                self._known[token] = outcome
        _count(self._validator, self._known.keys(), self._known.values())
        return [token for token in fresh if token not in self._known]

    def _in_place(self, tokens: Sequence[Any], first: set[str]) -> Flow[list[Outcome[Any]]]:
        """Return what is known of each of *tokens*; what others were given already, beside the *first*, as a copy."""
        outcomes = []
        for token in tokens:
            if type(token) is str:
                outcomes.append(self._shown(self._known[token], again=token not in first))
                first.discard(token)
            else:
                outcomes.append((yield from self._examined(token)))
        return outcomes

    def forget(self) -> None:
        """Let go of all outcomes."""
        self._known.clear()

    def _unknown(self, tokens: Sequence[Any]) -> list[str]:
        """Return each token once that has no outcome yet."""
        known = self._known
        texts = tokens if set(map(type, tokens)) == {str} else [token for token in tokens if type(token) is str]
        return [token for token in dict.fromkeys(texts) if token not in known] if known else list(dict.fromkeys(texts))

    def _warm(self, tokens: list[str]) -> Flow[list[Outcome[Any] | None]]:
        """Judge the tokens whose like was seen before; None for the others."""
        if not self._validator.plain or not tokens:
            return [None] * len(tokens)
        clock = yield from now()
        # Whoever else wants to know of a token wants its claims.
        payloads = self._read is not None and self._validator.meter is None and not self._validator.asks
        work = partial(warm_many, self._validator, tokens, clock, self._threads, payloads=payloads)
        found: list[Outcome[Any] | None]
        if self._offload is None:
            found = work()
        elif self._pays(tokens):
            found = yield from resolve(self._offload(work))
        else:
            found = yield from self._in_turns(tokens, clock, payloads)
        if self._validator.asks:
            yield from self._ask_about(found)
        elif not payloads:
            _count(self._validator, tokens, found)
        return found

    def _pays(self, tokens: list[str]) -> bool:
        """Tell whether other threads win more time by *tokens* than it takes to hand these over and wait."""
        if isinstance(self._validator.engine, PureEngine):
            return len(tokens) > 2 * CHUNK and bool(_shared(tokens, self._threads))
        if self._threads.for_slow == 1 or not (_has_lanes(tokens[0]) or _is_slow(tokens[0])):
            return False
        # With lanes this thread alone is as fast as several are without.
        return len(tokens) > (4 if self._validator.engine.multibuffer else 1) * CHUNK

    def _in_turns(self, tokens: list[str], clock: Clock, payloads: bool) -> Flow[list[Outcome[Any] | None]]:
        found: list[Outcome[Any] | None] = []
        size = _a_turn(tokens)
        for start in range(0, len(tokens), size):
            if start:
                yield from sleep(0)
            some = tokens[start : start + size]
            found += warm_many(self._validator, some, clock, Threads(1, 1), payloads=payloads)
        return found

    def _ask_about(self, found: list[Outcome[Any] | None]) -> Flow[None]:
        """Have the application judge what was found good, in its place."""
        for at, outcome in enumerate(found):
            if outcome is not None and not isinstance(outcome, Exception):
                found[at] = yield from _caught(_approved(self._validator, outcome))
            if at % CHUNK == 0:
                yield from sleep(0)

    def _careful(self, tokens: list[str]) -> Flow[None]:
        """Judge tokens with one header of one issuer, one by one until the key that they need is known."""
        rest = deque(tokens)
        warmed = False
        while rest:
            token = rest.popleft()
            self._known[token] = yield from self._examined(token)
            yield from sleep(0)
            if not warmed and self._knows(token):
                warmed = True
                rest = deque((yield from self._rest(list(rest))))

    def _rest(self, tokens: list[str]) -> Flow[list[str]]:
        """Judge the tokens whose like was seen before; return the others."""
        found = yield from self._warm(tokens)
        self._known.update(zip(tokens, found, strict=True))
        if None not in found:
            return []
        rest = [token for token, outcome in zip(tokens, found, strict=True) if outcome is None]
        for token in rest:
            del self._known[token]
        return rest

    def _examined(self, token: Any) -> Flow[Outcome[Any]]:
        return (yield from _caught(self._validator.examine(token)))

    def _by_header(self, tokens: Iterable[str]) -> list[list[str]]:
        groups: dict[tuple[str, str | None], list[str]] = {}
        for token in tokens:
            groups.setdefault((token.partition(".")[0], peek_issuer(token)), []).append(token)
        return list(groups.values())

    def _knows(self, token: str) -> bool:
        trusted = self._validator.by_issuer.get(peek_issuer(token) or "")
        return trusted is not None and any(_reads(one, token) for one in trusted.sets)

    def _shown(self, outcome: Outcome[Any], *, again: bool) -> Outcome[Any]:
        if isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, bytes):
            made = None if self._read is None else self._read(outcome)
            if made is not None:
                return made
            outcome, again = loads_claims(outcome), False
        claims = fresh_claims(outcome) if again else outcome
        if self._into is None:
            return claims
        try:
            return self._into(claims)
        except ConfigurationException:
            raise  # about the type, not about a token
        except PyIdentityModelException as error:
            return error


def _caught(flow: Flow[Outcome[Any]]) -> Flow[Outcome[Any]]:
    try:
        return (yield from flow)
    except PyIdentityModelException as error:
        return error


def _approved(validator: Validator, claims: Claims) -> Flow[Claims]:
    yield from validator.approve(claims)
    return claims


def few(
    validator: Validator, tokens: object, wall: float, steady: float, threads: Callable[[], Threads] | None = None
) -> list[Outcome[Claims] | None] | None:
    """Judge a few tokens here and now, as a loop would; None for those that need the careful path.

    None for all of them where they are no list, where lanes or more than one thread pay, or where the application is
    asked about each. Without *threads*, which are asked for when needed, others wait for this thread: then it is a turn
    of tokens at most.
    """
    if not isinstance(tokens, list | tuple) or not validator.plain or validator.asks:
        return None
    if len(tokens) >= LANES_PAY and not _is_for_a_loop(validator.engine, tokens, threads):
        return None
    found = _one_by_one(validator, wall, steady, tokens)
    if None not in found:
        _count(validator, tokens, found)
    return found


def _is_for_a_loop(engine: Engine, tokens: Sequence[Any], threads: Callable[[], Threads] | None) -> bool:
    """Tell whether so many tokens are judged fastest one by one."""
    if engine.multibuffer and _has_lanes(tokens[0]):
        return False
    if len(tokens) <= FEW:
        return True
    if len(tokens) > WINDOW or set(map(type, tokens)) != {str} or len(set(tokens)) < len(tokens):
        return False
    if threads is None:
        return len(tokens) <= _a_turn(tokens)
    if isinstance(engine, PureEngine):
        return not _shared(tokens, threads())
    return len(tokens[0]) - tokens[0].rfind(".") <= _LONGEST_HMAC or threads().for_slow == 1


def _has_lanes(token: Any) -> bool:
    """Tell by the length of its signature whether there may be lanes for it; a wrong guess costs time, nothing else."""
    return type(token) is str and _LONGEST_HMAC < len(token) - token.rfind(".") <= _RSA_4096


def _a_turn(tokens: Sequence[str]) -> int:
    """Return how many of *tokens* are judged on an event loop before others get their turn: some two milliseconds."""
    if _is_slow(tokens[0]):
        return CHUNK // 2
    return CHUNK if _has_lanes(tokens[0]) else 4 * CHUNK


def _count(validator: Validator, tokens: Iterable[str], found: Iterable[Outcome[Claims] | None]) -> None:
    if validator.meter is not None:
        for token, outcome in dict(zip(tokens, found, strict=True)).items():
            if outcome is not None:
                validator.meter.judged(token, outcome)


def warm_many(
    validator: Validator, tokens: Sequence[str], clock: Clock, threads: Threads, *, payloads: bool = False
) -> list[Outcome[Any] | None]:
    """Take the warm path with all of *tokens* over several cores; None for those that it is not for.

    With *payloads* the outcome of a good token may be its payload: plain JSON in which no member comes twice.
    """
    if isinstance(validator.engine, PureEngine):
        return _pure_many(validator, tokens, clock, threads)
    outcomes: list[Outcome[Any] | None] = [None] * len(tokens)
    for trusted, snapshot, places in _by_snapshot(validator, tokens, clock.steady):
        alike = tokens if len(places) == len(tokens) else [tokens[at] for at in places]
        final = nothing_follows(validator, trusted, snapshot, clock.steady)
        answers, done = _answers(snapshot, alike, clock.wall, 0 if threads.for_slow > 1 else 1, final, payloads)
        opened = _opened(validator, trusted, snapshot, alike, answers)
        for at, token, answer, is_done in zip(places, alike, answers, done, strict=True):
            outcomes[at] = answer if is_done else _warm_one(opened, token, clock)
    return outcomes


def _answers(
    snapshot: TrustSnapshot, tokens: Sequence[str], wall: float, threads: int, final: bool, payloads: bool
) -> tuple[Sequence[Any], Iterable[bool]]:
    """Return what the engine says of *tokens*, and of each answer whether it is the outcome."""
    if final and payloads and snapshot.judge is not None:
        said, found = snapshot.judge.payloads_many(tokens, wall, threads)
        return found, (word == GOOD for word in said)
    answers = snapshot.read_many(tokens, wall, threads)
    return answers, (final and type(one) is dict and None not in one.values() for one in answers)


def judged_of(
    validator: Validator,
    trusted: IssuerTrust,
    snapshot: TrustSnapshot,
    tokens: Sequence[str],
    payloads: Sequence[bytes],
    clock: Clock,
) -> list[Outcome[Claims] | None]:
    """Return what the warm path says of tokens whose signatures are good and whose payloads are these."""
    return _one_by_one(_opened(validator, trusted, snapshot, tokens, payloads), clock.wall, clock.steady, tokens)


def _pure_many(
    validator: Validator, tokens: Sequence[str], clock: Clock, threads: Threads
) -> list[Outcome[Any] | None]:
    judged = partial(_one_by_one, validator, clock.wall, clock.steady)
    shared = _shared(tokens, threads)
    if not shared:
        return judged(tokens)
    chunks = [shared[start : start + CHUNK] for start in range(0, len(shared), CHUNK)]
    found = [outcome for part in spread(judged, chunks, threads.for_slow) for outcome in part]
    if len(shared) == len(tokens):
        return found
    by_token = dict(zip(shared, found, strict=True))
    return [by_token[token] if token in by_token else _warm_one(validator, token, clock) for token in tokens]


def _shared(tokens: Sequence[str], threads: Threads) -> Sequence[str]:
    """Return the tokens that are worth more than one thread of the pure engine."""
    if threads.for_slow == 1 or len(tokens) <= CHUNK:
        return ()
    if threads.for_quick > 1:
        return tokens
    slow = list(filter(_is_slow, tokens)) if any(map(_is_slow, tokens[::_SAMPLED])) else ()
    return slow if len(slow) > CHUNK else ()


def _is_slow(token: str) -> bool:
    """Tell by the length of its signature whether it takes long; a wrong guess costs time, nothing else."""
    return len(token) - token.rfind(".") not in _QUICK


def _one_by_one(
    validator: Validator, wall: float, steady: float, tokens: Iterable[Any]
) -> list[Outcome[Claims] | None]:
    warm = validator.warm
    outcomes: list[Outcome[Claims] | None] = []
    for token in tokens:
        try:
            outcomes.append(warm(token, wall, steady))
        except PyIdentityModelException as error:
            outcomes.append(error)
    return outcomes


def _warm_one(validator: Validator, token: str, clock: Clock) -> Outcome[Any] | None:
    return _one_by_one(validator, clock.wall, clock.steady, (token,))[0]


def nothing_follows(validator: Validator, trusted: IssuerTrust, snapshot: TrustSnapshot, steady: float) -> bool:
    """Tell whether claims that the engine found good need no other look, nor the trust in its keys."""
    later = (validator.revocations, validator.statuses, trusted.template)
    return later == (None, None, None) and trusted.peek(steady) is snapshot.entry


def _by_snapshot(
    validator: Validator, tokens: Sequence[str], steady: float
) -> list[tuple[IssuerTrust, TrustSnapshot, list[int]]]:
    groups: dict[int, tuple[IssuerTrust, TrustSnapshot, list[int]]] = {}
    longest, peek = validator.options.max_token, validator.engine.peek
    only = validator.only
    if only is not None and not only.others and only.snapshot is not None and max(map(len, tokens)) <= longest:
        return [(only, only.snapshot, list(range(len(tokens))))]
    for at, token in enumerate(tokens):
        if len(token) > longest:
            continue
        trusted = validator.only or validator.by_issuer.get(peek(token)[0] or "")
        if trusted is None or steady >= trusted.until:
            continue
        if trusted.others:
            trusted = next((one for one in trusted.sets if _reads(one, token)), trusted)
        if trusted.snapshot is None:
            continue
        found = groups.get(id(trusted))
        if found is None:
            found = groups[id(trusted)] = (trusted, trusted.snapshot, [])
        found[2].append(at)
    return list(groups.values())


def _reads(trusted: IssuerTrust, token: str) -> bool:
    snapshot = trusted.snapshot
    return snapshot is not None and token.partition(".")[0] in snapshot.table


def _opened(
    validator: Validator,
    trusted: IssuerTrust,
    snapshot: TrustSnapshot,
    tokens: Sequence[str],
    answers: Sequence[Answer],
) -> Validator:
    """Return a validator for tokens that are open already, so that what comes after is the warm path itself."""
    by_token = dict(zip(tokens, answers, strict=True))
    snapshot, trusted = copy.copy(snapshot), copy.copy(trusted)
    snapshot.read = lambda token, now: by_token[token]
    trusted.snapshot = snapshot
    opened = Validator.of_issuer(validator.options, validator.engine, trusted)
    opened.revocations, opened.statuses = validator.revocations, validator.statuses
    return opened


def windows(tokens: Iterable[Any], size: int = WINDOW) -> Iterator[list[Any]]:
    """Yield *tokens* in lists of *size*, asking for no more than are worked on.

    Raises:
        ConfigurationException: It is one token instead of many, or no iterable; or the size is out of bounds.
    """
    check_window(tokens, size, Iterable)
    source = iter(tokens)
    while window := list(islice(source, size)):
        yield window


def check_window(tokens: object, size: object, *kinds: Any) -> None:
    """Refuse what is no iterable of tokens, of one of *kinds*, and a window that nothing fits in.

    Raises:
        ConfigurationException: So it is.
    """
    if isinstance(tokens, str | bytes) or not isinstance(tokens, kinds):
        raise ConfigurationException(
            f"Expected an iterable of tokens, got {type(tokens).__name__}",
            code="policy_invalid",
            claim="tokens",
            expected="an iterable of tokens",
            actual=type(tokens).__name__,
        )
    bounded(size, "window", int, 1, unit="tokens")


__all__ = [
    "CHUNK",
    "FEW",
    "MOST_THREADS",
    "Batch",
    "Offload",
    "Outcome",
    "Threads",
    "check_window",
    "few",
    "judged_of",
    "nothing_follows",
    "warm_many",
    "windows",
]
