"""DPoP after a store lost its memory: no proof is used twice, and no client is kept out for long (RFC 9449 8, 11.1)."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from py_identity_model._core.base.base64url import b64url_decode, b64url_encode
from py_identity_model._core.binding.challenges import ChallengePolicy, build_refusal
from py_identity_model._core.binding.dpop_client import DPoPKey, build_dpop_proof
from py_identity_model._core.binding.dpop_nonces import DPoPNonces
from py_identity_model._core.binding.dpop_server import DPoPValidator
from py_identity_model._core.binding.inbound_request import InboundRequest
from py_identity_model._core.binding.replay import CLOCKS
from py_identity_model.exceptions import DPoPValidationException, StoreException
from py_identity_model.stores import EncryptedStore, MemoryStore, SqliteStore

URL, TOKEN, KEY = "https://api.example.com/orders", "an.access.token", DPoPKey()
CLAIMS = {"sub": "ada", "cnf": {"jkt": KEY.jwk_thumbprint}}
WINDOWS = pytest.mark.parametrize("nonces", [None, DPoPNonces(b"k" * 32)], ids=["no nonces", "nonces"])


def proof(wall: float, nonce: str | None = None) -> str:
    return build_dpop_proof(KEY, "GET", URL, wall=wall, access_token=TOKEN, nonce=nonce)


class Resource:
    """A protected resource of a test: it validates proofs, and tells what became of them."""

    def __init__(self, perform: Any, store: Any, nonces: DPoPNonces | None = None, **settings: Any) -> None:
        self.perform = perform
        self.validator = DPoPValidator(store=store, nonces=nonces, **settings)

    def take(self, text: str) -> str:
        """Return ``""`` for a proof that is accepted, the nonce that is wanted, or why it is refused."""
        request = InboundRequest("GET", URL, (("DPoP", text),))
        try:
            self.perform(self.validator.validate(request, access_token=TOKEN, claims=CLAIMS))
        except DPoPValidationException as error:
            return error.nonce or error.code
        except StoreException as error:
            return error.code
        return ""

    def retried(self, wall: float, nonce: str | None = None) -> tuple[str, str]:
        """Ask as a client does that repeats a request with the nonce it is given; return the outcome, and the nonce."""
        first = self.take(proof(wall, nonce))
        return (self.take(proof(wall, first)), first) if first else ("", nonce or "")


@pytest.fixture(params=["memory", "sqlite", "sealed"])
def losing(request: pytest.FixtureRequest, tmp_path: Path, clock: Any) -> Callable[[], Any]:
    """A function that returns a store without memory: a process began anew, a file was deleted."""

    def made() -> Any:
        if request.param == "sqlite":
            for each in tmp_path.glob("store.db*"):
                each.unlink()
            store = SqliteStore(tmp_path / "store.db", clock=lambda: clock.wall)
            store.epoch()  # a file begins when it is first used
            return store
        memory = MemoryStore(clock=lambda: clock.wall)
        return memory if request.param == "memory" else EncryptedStore(memory, b"s" * 32)

    return made


def settle(clock: Any, resource: Resource) -> None:
    """Let the store's memory be old enough for everybody."""
    clock.advance(resource.validator.max_ahead + CLOCKS + 2)


@pytest.mark.parametrize("ahead", [0, 5, 10])
@WINDOWS
def test_a_clock_that_runs_ahead_has_no_proof_used_twice(
    perform: Any, clock: Any, losing: Any, nonces: Any, ahead: int
) -> None:
    """Whatever a client's clock says, a proof from before the loss is not accepted after it; a new one is, at once."""
    resource = Resource(perform, losing(), nonces)
    settle(clock, resource)
    window = nonces and nonces.current(clock.wall)
    used = proof(clock.wall + ahead, window)
    assert resource.take(used) == ""
    assert resource.take(used) == "dpop_replayed"
    resource = Resource(perform, losing(), nonces)
    for _ in range(12):
        assert resource.take(used) not in ("", "dpop_replayed")
        assert resource.retried(clock.wall + ahead, window)[0] == ""
        clock.advance(1.6)
    assert resource.take(proof(clock.wall + ahead, window)) == ""  # and nobody is asked any more


@WINDOWS
def test_one_nonce_serves_until_it_is_no_longer_needed(perform: Any, clock: Any, losing: Any, nonces: Any) -> None:
    """A client that keeps the nonce of its last answer is asked once, by any of the processes that share the store."""
    store = losing()
    one, other = Resource(perform, store, nonces), Resource(perform, store, nonces)
    outcome, nonce = one.retried(clock.wall, nonces and nonces.current(clock.wall))
    assert outcome == ""
    for _ in range(20):
        assert [each.take(proof(clock.wall, nonce)) for each in (one, other)] == ["", ""]
        clock.advance(1)
    again = proof(clock.wall, nonce)
    assert [one.take(again), other.take(again)] == ["", "dpop_replayed"]


def test_a_nonce_of_another_memory_is_worth_nothing(perform: Any, clock: Any, losing: Any) -> None:
    """What was handed out before a second loss shows nothing after it, nor does a nonce that somebody made up."""
    resource = Resource(perform, losing())
    _, nonce = resource.retried(clock.wall)
    used = proof(clock.wall + 10, nonce)
    assert resource.take(used) == ""
    clock.advance(0.001)
    resource = Resource(perform, losing())
    for text in (used, *(proof(clock.wall, one) for one in (nonce, "made.up", "A" * 43, nonce[:-1], "\u00e9"))):
        wanted = resource.take(text)
        assert wanted not in ("", "dpop_replayed", nonce)
        assert resource.take(proof(clock.wall, wanted)) == ""


def test_window_and_memory_are_both_shown(perform: Any, clock: Any, losing: Any) -> None:
    """Where nonces are demanded, what shows the memory stands behind one: neither part serves without the other."""
    nonces = DPoPNonces(b"k" * 32)
    resource = Resource(perform, losing(), nonces)
    _, nonce = resource.retried(clock.wall, nonces.current(clock.wall))
    window, _, mark = nonce.rpartition(".")
    assert resource.take(proof(clock.wall, mark)) == "dpop_nonce_invalid"
    assert resource.take(proof(clock.wall, f"{'x' * 32}.{mark}")) == "dpop_nonce_invalid"
    assert resource.take(proof(clock.wall, window)).startswith(window + ".")
    request = InboundRequest("GET", URL, (("DPoP", proof(clock.wall, nonce)),))
    found, _ = perform(resource.validator.validate(request, access_token=TOKEN, claims=CLAIMS))
    assert (found.nonce, found.next_nonce) == (nonce, None)
    clock.advance(nonces.window)
    request = InboundRequest("GET", URL, (("DPoP", proof(clock.wall, nonce)),))
    found, _ = perform(resource.validator.validate(request, access_token=TOKEN, claims=CLAIMS))
    assert found.next_nonce == nonces.current(clock.wall)


def test_a_memory_that_nobody_vouches_for_is_none(perform: Any, clock: Any) -> None:
    """A nonce whose time is another one, or whose code was cut or made longer, shows nothing."""
    resource = Resource(perform, MemoryStore(clock=lambda: clock.wall))
    told = b64url_decode(resource.take(proof(clock.wall)))
    assert len(told) == 32
    later, code = struct.pack(">d", clock.wall + 3600), told[8:]
    forged = [later + code, later + bytes(24), later + code[:-1], later + code + b"x", later, told + b"x", told[:-1]]
    for each in forged:
        assert resource.take(proof(clock.wall, b64url_encode(each))) == b64url_encode(told)
    assert resource.take(proof(clock.wall, b64url_encode(told))) == ""


class Shards(MemoryStore):
    """A store of several memories, the youngest of which is not the one that nonces tell of."""

    refusals: Iterator[str] = iter(())

    def add(self, *args: Any, **kwargs: Any) -> bool:
        """Refuse as long as there are refusals."""
        for code in self.refusals:
            raise StoreException("The memory of this shard began later", code=code)
        return super().add(*args, **kwargs)


def test_a_shard_that_lost_its_memory_later(perform: Any, clock: Any) -> None:
    """A nonce that one shard is content with is answered with a nonce by another; an outage is an outage."""
    store = Shards(clock=lambda: clock.wall)
    resource = Resource(perform, store)
    nonce = resource.take(proof(clock.wall))
    store.refusals = iter(["store_memory_lost", "store_memory_lost"])
    assert resource.take(proof(clock.wall, nonce)) == nonce
    for refusals in (["store_unavailable"], ["store_memory_lost", "store_unavailable"]):
        store.refusals = iter(refusals)
        assert resource.take(proof(clock.wall, nonce)) == "store_unavailable"
    assert resource.take(proof(clock.wall, nonce)) == ""


def test_the_refusal_carries_the_nonce(perform: Any, clock: Any) -> None:
    """The answer is the one that clients know: 401, use_dpop_nonce, and the nonce in its header."""
    resource = Resource(perform, MemoryStore(clock=lambda: clock.wall))
    request = InboundRequest("GET", URL, (("DPoP", proof(clock.wall)),))
    with pytest.raises(DPoPValidationException) as refused:
        perform(resource.validator.validate(request, access_token=TOKEN, claims=CLAIMS))
    policy = ChallengePolicy(("DPoP",), dpop_algorithms=("ES256",))
    answer = build_refusal(refused.value, policy, dpop_nonce="of the window")
    assert answer.status == 401
    assert ("dpop-nonce", refused.value.nonce) in answer.headers
    assert 'error="use_dpop_nonce"' in dict(answer.headers)["www-authenticate"]


def test_how_long_a_proof_is_in_doubt(perform: Any, clock: Any) -> None:
    """As long as clocks may be ahead, of clients and of servers, and not a moment longer."""
    resource = Resource(perform, MemoryStore(clock=lambda: clock.wall), max_ahead=3)
    clock.advance(3 + CLOCKS - 1)
    assert resource.take(proof(clock.wall)) != ""
    clock.advance(1)
    assert resource.take(proof(clock.wall)) == ""


def test_a_secret_that_was_torn_is_made_anew(perform: Any, clock: Any) -> None:
    """What shows the memory does not hang on one value of the store: a torn one is replaced."""
    store = MemoryStore(clock=lambda: clock.wall)
    store.put("replay", "dpop-nonces", b"torn", 60)
    assert Resource(perform, store).retried(clock.wall)[0] == ""


def test_over_a_redis_that_was_killed(driver: Any, own_redis: Any, away: Any) -> None:
    """A Redis that was killed and started again: the same, with real clocks, by both of its stores."""
    resource = Resource(driver, away(own_redis.url, timeout=5), max_ahead=60)
    outcome, nonce = resource.retried(time.time())
    assert outcome == ""
    used = proof(time.time() + 60, nonce)
    assert (resource.take(used), resource.take(used)) == ("", "dpop_replayed")
    own_redis.kill()
    own_redis.start()
    resource = Resource(driver, away(own_redis.url, timeout=5), max_ahead=60)
    assert resource.take(used) not in ("", "dpop_replayed", nonce)
    assert resource.retried(time.time() + 60, nonce)[0] == ""
