"""Many tokens at once, through both APIs and both engines: order, refusals as values, threads, and who waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict

import anyio
import pytest
import trio

from apis import ISSUER, NOW, Api, Provider
from parts import ENGINES
from py_identity_model import _offload
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation import batch as batch_module
from py_identity_model._core.validation.batch import CHUNK
from py_identity_model._core.validation.defaults import WINDOW
from py_identity_model._core.validation.issuers import IssuerTemplate
from py_identity_model._core.validation.spread import spread
from py_identity_model._core.validation.validator import Validator
from py_identity_model.aio import _driver as driver
from py_identity_model.exceptions import (
    ClaimsValidationError,
    ConfigurationException,
    InvalidAudienceException,
    NetworkException,
    PyIdentityModelException,
    SignatureVerificationException,
    TokenExpiredException,
    TokenValidationException,
    UnknownKeyException,
)

KEY = SigningKey.generate("ES256", kid="k1")
SECOND = SigningKey.generate("RS256", kid="k2")
FORGER = SigningKey.generate("ES256", kid="k1")


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def build(api: Api, provider: Provider, engine: str, clock: Any) -> Any:
    """Build a validator of this API and engine."""

    def make(*args: Any, **options: Any) -> Any:
        options = {"http_client": provider, "engine": engine, **options}
        return api.validator(*(args or (ISSUER, "api")), **options)

    return make


@pytest.fixture
def pause(build: Any, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let flows of aio really give way to others, frozen as the clock may be."""
    monkeypatch.setattr(driver, "pause", trio.sleep if api.name == "trio" else asyncio.sleep)


def collect(api: Api, stream: Any) -> list[Any]:
    """Return all that a stream of either kind yields."""
    if api.name == "sync":
        return list(stream)

    async def main() -> list[Any]:
        return [one async for one in stream]

    return api.call(main)


def told(outcome: Any) -> Any:
    """Return an outcome as something to compare."""
    if isinstance(outcome, PyIdentityModelException):
        return type(outcome).__name__, outcome.code, outcome.claim, outcome.message
    return outcome


def hostile(provider: Provider) -> list[Any]:
    """Return tokens of every fate, and things that are none."""
    good = provider.token(jti="good", groups=["a"])
    header, payload, signature = good.split(".")
    return [
        good,
        provider.token(aud="other"),
        provider.token(exp=NOW - 1),
        provider.token(nbf=NOW + 60),
        provider.token(iss="https://evil.example.com"),
        provider.token(key=FORGER),
        provider.token(typ="id_token+jwt"),
        provider.token(sub=5),
        f"{header}.{payload}.{signature[:-2]}AA",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.x",
        f"{header}.{payload}.{signature}=",
        f"{header}..{signature}",
        good + " ",
        "\ud800" + good,
        "",
        "é.é.é",
        "a" * 70_000,
        None,
        5,
        b"a.b.c",
        ["list"],
        provider.token(jti="another"),
        good,
    ]


def test_each_token_is_judged_as_it_would_be_alone(api: Api, build: Any, provider: Provider) -> None:
    """A batch gives, in order, what validate returns or raises for each token, from its first character on."""
    tokens = hostile(provider)
    alone = []
    one = build()
    for token in tokens:
        try:
            alone.append(api.call(one.validate, token))
        except PyIdentityModelException as error:
            alone.append(error)
    many = build()
    for _ in range(2):
        outcomes = api.call(many.validate_many, tokens)
        assert [told(outcome) for outcome in outcomes] == [told(outcome) for outcome in alone]
    assert outcomes[0]["jti"] == "good"
    assert isinstance(outcomes[1], InvalidAudienceException)
    assert isinstance(outcomes[2], TokenExpiredException)


def test_a_stream_gives_what_a_batch_gives(api: Api, build: Any, provider: Provider) -> None:
    """Cut into windows of any size, the outcomes and their order are the same."""
    tokens = hostile(provider)
    validator = build()
    whole = [told(outcome) for outcome in api.call(validator.validate_many, tokens)]
    for window in (1, 3, 100):
        assert [told(one) for one in collect(api, validator.validate_stream(iter(tokens), window=window))] == whole


def test_large_batches_are_cut_into_windows_and_chunks(api: Api, build: Any, provider: Provider) -> None:
    """More tokens than a window and many chunks hold come back complete and in order."""
    tokens = [provider.token(jti=str(number)) for number in range(CHUNK * 3 + 5)]
    many = (tokens * (WINDOW // len(tokens) + 2))[: WINDOW + 7]
    validator = build()
    outcomes = api.call(validator.validate_many, many)
    assert [outcome["jti"] for outcome in outcomes] == [str(at % len(tokens)) for at in range(len(many))]


def test_an_empty_batch_is_an_empty_list(api: Api, build: Any, provider: Provider) -> None:
    """No tokens, no outcomes, no requests."""
    assert api.call(build().validate_many, []) == []
    assert collect(api, build().validate_stream([])) == []
    assert provider.requests == []


def test_identical_tokens_are_verified_once(
    api: Api, build: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each distinct token is worked on once per batch, wherever it stands; each place has claims of its own."""
    validator = build()
    token = provider.token(groups=["a"])
    api.call(validator.validate, token)
    worked: list[str] = []
    inner = batch_module.warm_many

    def counting(validator: Any, tokens: Any, *rest: Any, **options: Any) -> Any:
        worked.extend(tokens)
        return inner(validator, tokens, *rest, **options)

    monkeypatch.setattr(batch_module, "warm_many", counting)
    outcomes = api.call(validator.validate_many, [token] * (WINDOW + 3))
    assert worked == [token]
    assert len(outcomes) == WINDOW + 3
    outcomes[0]["groups"].append("admin")
    outcomes[-1]["sub"] = "eve"
    assert outcomes[1]["groups"] == ["a"]
    assert outcomes[WINDOW + 1] == {**outcomes[1]}


def test_a_cold_batch_fetches_once(api: Api, build: Any, provider: Provider) -> None:
    """A validator that knows nothing yet fetches metadata and keys once for a whole batch."""
    outcomes = api.call(build().validate_many, [provider.token(jti=str(number)) for number in range(200)])
    assert all(isinstance(outcome, dict) for outcome in outcomes)
    assert len(provider.requests) == 2


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tokens that take the careful path."""
    seen: list[Any] = []
    inner = Validator.examine

    def examine(self: Validator, token: Any, *rest: Any) -> Any:
        seen.append(token)
        return inner(self, token, *rest)

    monkeypatch.setattr(Validator, "examine", examine)
    return seen


def test_one_token_finds_the_key_for_all_its_like(
    api: Api, build: Any, provider: Provider, examined: list[Any]
) -> None:
    """Of many tokens with a new header one takes the careful path, for each issuer that there is."""
    other = Provider("https://b.example.com", k1=FORGER)
    validator = build(
        [ISSUER, other.issuer], "api", http_client=lambda r: (other if r.url.startswith(other.issuer) else provider)(r)
    )
    tokens = [one.token(jti=str(at)) for at in range(20) for one in (provider, other)]
    outcomes = api.call(validator.validate_many, tokens)
    assert all(isinstance(outcome, dict) for outcome in outcomes)
    assert examined == tokens[:2]
    expired = [provider.token(jti=str(at), exp=NOW - 1, typ="JWT") for at in range(20)]
    outcomes = api.call(validator.validate_many, expired)
    assert all(isinstance(outcome, TokenExpiredException) for outcome in outcomes)
    assert examined[2:] == expired[:1]


@pytest.mark.parametrize("engine", [ENGINES[1]])
def test_the_native_engine_opens_all_in_one_call(
    api: Api, build: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the native engine no token is opened alone, and none that is too long is opened at all."""
    validator = build()
    api.call(validator.validate, provider.token())
    calls: list[list[str]] = []
    snapshot = validator._validator.by_issuer[ISSUER].snapshot
    inner = snapshot.read_many

    def counting(tokens: Any, now: float, threads: int) -> Any:
        calls.append(list(tokens))
        return inner(tokens, now, threads)

    monkeypatch.setattr(batch_module.Batch, "_pays", lambda *_: True)
    monkeypatch.setattr(snapshot, "read_many", counting)
    monkeypatch.setattr(snapshot, "read", lambda *_: pytest.fail("opened alone"))
    tokens = [provider.token(jti=str(at)) for at in range(100)]
    outcomes = api.call(validator.validate_many, [*tokens, tokens[0] + "A" * 70_000])
    assert all(isinstance(outcome, dict) for outcome in outcomes[:-1])
    assert isinstance(outcomes[-1], TokenValidationException)
    assert calls == [tokens]


def test_a_stale_key_set_is_refreshed_once(api: Api, build: Any, provider: Provider) -> None:
    """After a rotation a batch by the new key is accepted whole, for one request."""
    validator = build()
    api.call(validator.validate_many, [provider.token()])
    provider.keys = {"k1": KEY, "k2": SECOND}
    tokens = [provider.token(key=SECOND, jti=str(number)) for number in range(150)]
    tokens[::10] = [provider.token(jti=str(number)) for number in range(15)]
    before = provider.count("/jwks")
    outcomes = api.call(validator.validate_many, tokens)
    assert all(isinstance(outcome, dict) for outcome in outcomes)
    assert provider.count("/jwks") == before + 1


def test_forged_keys_cost_two_requests(api: Api, build: Any, provider: Provider, clock: Any) -> None:
    """A batch of tokens that all name other unknown keys is refused whole, for two requests and without waiting."""
    validator = build()
    api.call(validator.validate_many, [provider.token()])
    forged = [provider.token(key=SigningKey.generate("ES256", kid=f"f{number}")) for number in range(40)]
    before = provider.count("/jwks")
    outcomes = api.call(validator.validate_many, [*forged, provider.token(jti="good")])
    assert all(isinstance(outcome, UnknownKeyException) for outcome in outcomes[:-1])
    assert outcomes[-1]["jti"] == "good"
    assert provider.count("/jwks") <= before + 2
    assert sum(clock.slept) <= 2


def test_forged_signatures_are_values(api: Api, build: Any, provider: Provider) -> None:
    """A flood of forged signatures under a known key stops no good token and fetches little."""
    validator = build()
    api.call(validator.validate_many, [provider.token()])
    tokens = [provider.token(key=FORGER, jti=str(number)) for number in range(60)]
    tokens[30] = provider.token(jti="good")
    outcomes = api.call(validator.validate_many, tokens)
    assert outcomes.pop(30)["jti"] == "good"
    assert all(isinstance(outcome, SignatureVerificationException) for outcome in outcomes)
    assert provider.count("/jwks") <= 3


def test_an_unreachable_provider_is_a_value_too(api: Api, build: Any, provider: Provider) -> None:
    """Tokens that cannot be verified now say so, each, and the provider is not asked once per token."""
    provider.fail = lambda request: Reply(404)
    outcomes = api.call(build().validate_many, [provider.token(jti=str(number)) for number in range(50)])
    assert all(isinstance(outcome, NetworkException) for outcome in outcomes)
    assert len(provider.requests) <= 2


def test_several_issuers_in_one_batch(api: Api, build: Any, provider: Provider) -> None:
    """Tokens of issuers known by name, by template and not at all may be mixed, though their kid is the same."""
    other = Provider("https://b.example.com", k1=FORGER)
    third = Provider("https://t1.tenant.example.com", k1=KEY)

    def both(request: Any) -> Any:
        for one in (other, third):
            if request.url.startswith(one.issuer):
                return one(request)
        return provider(request)

    template = IssuerTemplate("https://{name}.tenant.example.com", allowed={"t1"})
    validator = build([ISSUER, other.issuer, template], "api", http_client=both)
    tokens = [one.token(jti=str(at)) for at in range(20) for one in (provider, other, third)]
    tokens.append(Provider("https://t2.tenant.example.com", k1=KEY).token())
    tokens.append(Provider(ISSUER, k1=FORGER).token())
    for _ in range(2):
        outcomes = api.call(validator.validate_many, tokens)
        assert [one["iss"] for one in outcomes[:3]] == [ISSUER, other.issuer, third.issuer]
        assert all(isinstance(one, dict) for one in outcomes[:-2])
        assert outcomes[-2].code == "issuer_mismatch"
        assert isinstance(outcomes[-1], SignatureVerificationException)


def test_the_claims_validator_is_asked(api: Api, build: Any, provider: Provider) -> None:
    """The application's own rules are asked for every valid token, and their refusal is the token's outcome."""
    asked: list[str] = []

    def check(claims: dict[str, Any]) -> None:
        asked.append(claims["jti"])
        if claims["jti"] == "2":
            raise ValueError

    validator = build(ISSUER, "api", claims_validator=check)
    tokens = [provider.token(jti=str(number)) for number in range(5)] + [provider.token(aud="other")]
    for _ in range(2):
        outcomes = api.call(validator.validate_many, tokens)
        assert isinstance(outcomes[2], ClaimsValidationError)
        assert [one["jti"] for at, one in enumerate(outcomes[:5]) if at != 2] == ["0", "1", "3", "4"]
    assert asked == list("01234") * 2


def test_id_tokens_can_come_in_batches(api: Api, build: Any, provider: Provider) -> None:
    """Kinds that have no warm path are judged one by one, with the same outcomes."""
    validator = build(ISSUER, "client", kind="id_token")
    tokens = [provider.token(typ="JWT", aud="client", jti=str(at)) for at in range(3)] + [provider.token(aud="client")]
    outcomes = api.call(validator.validate_many, tokens)
    assert [one["jti"] for one in outcomes[:3]] == ["0", "1", "2"]
    assert isinstance(outcomes[3], TokenValidationException)


class Typed(TypedDict):
    """Claims as a type."""

    sub: str
    jti: str


def test_claims_come_as_a_type(api: Api, build: Any, provider: Provider) -> None:
    """With a type each outcome is of it, or says that the claims do not fit."""
    token, other = provider.token(jti="a"), provider.token()
    outcomes = api.call(build().validate_many, [token, other, token], Typed)
    assert outcomes[0] == outcomes[2] == {"sub": "ada", "jti": "a"}
    assert isinstance(outcomes[1], ClaimsValidationError)
    with pytest.raises(ConfigurationException):
        api.call(build().validate_many, [token], 5)


@pytest.mark.parametrize("tokens", ["a.b.c", b"a.b.c", None, 5])
def test_one_token_is_not_many(api: Api, build: Any, tokens: Any) -> None:
    """What is no iterable of tokens is the caller's mistake, a single token above all."""
    with pytest.raises(ConfigurationException) as caught:
        api.call(build().validate_many, tokens)
    assert caught.value.claim == "tokens"
    with pytest.raises(ConfigurationException):
        collect(api, build().validate_stream(tokens))


@pytest.mark.parametrize("window", [0, -1, True, 1.5, None])
def test_a_window_that_makes_no_sense_is_refused(api: Api, build: Any, window: Any) -> None:
    """A window holds one token at least."""
    with pytest.raises(ConfigurationException) as caught:
        collect(api, build().validate_stream([], window=window))
    assert caught.value.claim == "window"


def test_a_stream_takes_no_more_than_it_works_on(build: Any, provider: Provider, api: Api) -> None:
    """The source is asked for the next window only when the outcomes of the last have been taken."""
    taken: list[int] = []

    def source() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield provider.token(jti=str(number))

    stream = build().validate_stream(source(), window=4)
    if api.name == "sync":
        for at in range(9):
            assert next(stream)["jti"] == str(at)
            assert len(taken) == (at // 4 + 1) * 4
        stream.close()
        return

    async def main() -> None:
        for at in range(9):
            assert (await anext(stream))["jti"] == str(at)
            assert len(taken) == (at // 4 + 1) * 4
        await stream.aclose()

    api.call(main)


def test_an_asynchronous_source_is_read_as_it_comes(build: Any, provider: Provider, api: Api) -> None:
    """In aio tokens may come from an asynchronous iterable; the blocking API refuses one."""

    async def source() -> AsyncIterator[str]:
        for number in range(5):
            await anyio.sleep(0)
            yield provider.token(jti=str(number))

    if api.name == "sync":
        with pytest.raises(ConfigurationException):
            build().validate_many(source())
        with pytest.raises(ConfigurationException):
            list(build().validate_stream(source()))
        return
    assert [one["jti"] for one in collect(api, build().validate_stream(source(), window=2))] == list("01234")
    assert [one["jti"] for one in api.call(build().validate_many, source())] == list("01234")


@pytest.mark.parametrize("api", ["asyncio", "trio"], indirect=True)
def test_the_event_loop_goes_on(build: Any, provider: Provider, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is verified, other tasks run: the work is in another thread."""
    validator = build()
    token = provider.token()
    where: list[threading.Thread] = []
    release = threading.Event()
    inner = batch_module.warm_many

    def slow(*args: Any, **options: Any) -> Any:
        where.append(threading.current_thread())
        release.wait(10)
        return inner(*args, **options)

    async def main() -> None:
        await validator.validate(token)
        monkeypatch.setattr(batch_module, "warm_many", slow)
        monkeypatch.setattr(batch_module, "LANES_PAY", 0)
        monkeypatch.setattr(batch_module, "_is_for_a_loop", lambda *_: False)
        monkeypatch.setattr(batch_module.Batch, "_pays", lambda *_: True)

        async def other() -> None:
            with anyio.move_on_after(10):
                while not where:
                    await anyio.sleep(0.001)
            release.set()

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            assert [one["sub"] for one in await validator.validate_many([token])] == ["ada"]

    api.call(main)
    assert where[0] is not threading.main_thread()


@pytest.mark.parametrize("api", ["asyncio", "trio"], indirect=True)
@pytest.mark.usefixtures("pause")
def test_a_batch_can_be_cancelled(build: Any, provider: Provider, api: Api) -> None:
    """A cancelled batch ends with the window it is at, leaves no thread behind, and the validator is as good as new."""
    validator = build()
    tokens = [provider.token(jti=str(number)) for number in range(8)]
    asked = []

    async def main() -> None:
        def endless() -> Iterator[str]:
            while True:
                asked.append(1)
                yield tokens[len(asked) % 8]

        with anyio.move_on_after(0.05) as scope:
            await validator.validate_many(endless())
        assert scope.cancelled_caught
        before = len(asked)
        assert (await validator.validate_many(tokens))[0]["jti"] == "0"
        assert len(asked) == before

    before = threading.active_count()
    api.call(main)
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize("api", ["asyncio", "trio"], indirect=True)
@pytest.mark.usefixtures("pause")
def test_a_batch_of_garbage_lets_others_run(build: Any, provider: Provider, api: Api) -> None:
    """Tokens that have to be looked at one by one, on the loop, leave others their turn after each."""
    turns = 0
    seen = []

    async def main() -> None:
        nonlocal turns

        async def other() -> None:
            nonlocal turns
            while not seen:
                turns += 1
                await anyio.sleep(0)

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            seen.extend(await build().validate_many([f"garbage {number}" for number in range(50)]))

    api.call(main)
    assert len(seen) == 50
    assert turns >= 49  # between each and the next


def test_batches_leave_the_token_cache_alone(api: Api, build: Any, provider: Provider) -> None:
    """A batch of tokens that come once does not push out those in use."""
    validator = build(ISSUER, "api", cache_tokens=2)
    api.call(validator.validate_many, [provider.token(jti=str(number)) for number in range(10)])
    assert validator.cache_info()[:3] == (0, 0, 0)


def test_parts_are_spread_over_threads() -> None:
    """Every thread takes the next part that waits, and results keep the order of the parts."""
    both = threading.Barrier(2, timeout=10)

    def work(part: int) -> int:
        if part < 2:
            both.wait()  # only two threads at a time get past this
        return part * 10

    assert spread(work, list(range(6)), 2) == [0, 10, 20, 30, 40, 50]


def test_one_thread_is_the_calling_one() -> None:
    """With one thread, or one part, nothing is started."""
    here = threading.current_thread()
    assert spread(lambda part: threading.current_thread() is here, [1, 2, 3], 1) == [True] * 3
    assert spread(lambda part: threading.current_thread() is here, [1], 8) == [True]
    assert spread(str, [], 8) == []


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, IndexError])
def test_what_a_thread_raises_is_raised(error: type[BaseException]) -> None:
    """A fault in the work ends the work of all threads and reaches the caller, whatever it is."""
    done: list[int] = []

    def work(part: int) -> None:
        if part == 3:
            raise error
        done.append(part)

    with pytest.raises(error):
        spread(work, list(range(1000)), 3)
    assert threading.active_count() < 50
    assert len(done) < 1000


def test_threads_follow_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a GIL there is one thread more than cores; alone on a core, or without a GIL, as many."""
    monkeypatch.setattr(_offload, "cores", lambda: 4)
    monkeypatch.setattr(_offload.sys, "_is_gil_enabled", lambda: True, raising=False)
    assert _offload.threads().for_slow == 5
    monkeypatch.setattr(_offload.sys, "_is_gil_enabled", lambda: False, raising=False)
    assert _offload.threads().for_slow == 4
    monkeypatch.setattr(_offload, "cores", lambda: 1)
    assert _offload.threads().for_slow == 1


@pytest.mark.parametrize("gil", [True, False])
@pytest.mark.parametrize(("alg", "quick"), [("RS256", True), ("HS256", True), ("ES256", False), ("EdDSA", False)])
def test_threads_are_for_signatures_that_take_long(
    api: Api, build: Any, gil: bool, alg: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where threads share a GIL a quick signature is verified in the calling one; mixed batches keep their order."""
    key, spread_over = SigningKey.generate(alg, kid="k2"), []
    inner = batch_module.spread
    monkeypatch.setattr(batch_module, "spread", lambda *args: spread_over.append(args[2]) or inner(*args))
    monkeypatch.setattr(_offload, "cores", lambda: 2)
    monkeypatch.setattr(_offload.sys, "_is_gil_enabled", lambda: gil, raising=False)
    allowed = {"algorithms": ["HS256"]} if alg == "HS256" else {}
    keys = {"keys": [key.private_jwk if alg == "HS256" else key.public_jwk]}
    validator = build(ISSUER, "api", keys=keys, engine="pure", http_client=None, **allowed)
    provider = Provider(ISSUER, k2=key)
    count = 300 if alg == "HS256" else 130  # enough that a worker thread is worth it
    tokens = [provider.token(key=key, jti=str(at)) for at in range(count)]
    api.call(validator.validate, tokens[0])
    outcomes = api.call(validator.validate_many, tokens)
    assert [outcome["jti"] for outcome in outcomes] == [str(at) for at in range(count)]
    assert spread_over == ([] if quick and gil else [3 if gil else 2])


@pytest.mark.parametrize("seen", [True, False])
def test_a_few_tokens_are_no_work_for_others(api: Api, build: Any, provider: Provider, seen: bool) -> None:
    """Up to sixteen are judged where they are asked for; each identical one has claims of its own."""
    validator = build()
    good, late = provider.token(jti="1"), provider.token(exp=NOW - 1)
    if seen:
        api.call(validator.validate, good)
    outcomes = api.call(validator.validate_many, [good, late, good, None, "x.y.z"])
    assert [getattr(one, "code", "valid") for one in outcomes] == [
        *("valid", "token_expired", "valid", "token_malformed", "token_malformed")
    ]
    outcomes[0]["jti"] = "2"
    assert outcomes[2]["jti"] == "1"
    assert outcomes[0] is not api.call(validator.validate_many, [good])[0]


def test_a_machine_that_tells_nothing_has_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say which cores a process may use, all count; where it says nothing, one."""
    monkeypatch.delattr(_offload.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(_offload.os, "cpu_count", lambda: 6)
    assert _offload.cores() == 6
    monkeypatch.setattr(_offload.os, "cpu_count", lambda: None)
    assert _offload.cores() == 1
