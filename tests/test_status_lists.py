"""Token Status Lists: the status of a token is asked for on every path; what nobody knows is not accepted."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import StatusListPolicy, add_observer, remove_observer
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.store import digest_of, pack
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.status_list import StatusList, inflate
from py_identity_model.exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    StoreException,
)
from py_identity_model.stores import EncryptedStore, MemoryStore

KEY = SigningKey.generate("ES256", kid="k1")
OTHER = SigningKey.generate("ES256", kid="k2")
URI = ISSUER + "/statuslists/1"


def packed(*statuses: int, bits: int = 1) -> str:
    """Compress statuses, the first in the least significant bits."""
    per_byte = 8 // bits
    data = bytearray(-(-len(statuses) // per_byte))
    for at, status in enumerate(statuses):
        data[at // per_byte] |= status << (at % per_byte) * bits
    return b64url_encode(zlib.compress(bytes(data), 9))


class Lists(Provider):
    """A provider with status lists."""

    def __init__(self) -> None:
        super().__init__(k1=KEY)
        self.claims_of_list: dict[str, Any] = {}
        self.header: dict[str, Any] = {"typ": "statuslist+jwt"}
        self.signer = KEY
        self.statuses: tuple[int, ...] = (0, 1, 2, 3, 0, 0, 0, 0)
        self.bits = 2
        self.answer: Reply | None = None
        self.accepts: list[str] = []

    def __call__(self, request: Request) -> Reply:
        if "/statuslists/" not in request.url:
            return super().__call__(request)
        self.requests.append(request.url)
        self.accepts.append(dict(request.headers)["Accept"])
        if self.answer is not None:
            return self.answer
        return Reply(200, (("content-type", "application/statuslist+jwt"),), self.list_at(request.url).encode())

    def list_at(self, url: str) -> str:
        """Return the token of a list."""
        claims = {
            "iss": ISSUER,
            "sub": url,
            "iat": NOW,
            "ttl": 600,
            "status_list": {"bits": self.bits, "lst": packed(*self.statuses, bits=self.bits)},
            **self.claims_of_list,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        return sign_compact(said, self.signer, typ=self.header["typ"])

    def at(self, idx: Any, uri: Any = URI, **claims: Any) -> str:
        """Mint a token whose status is there."""
        return self.token(status={"status_list": {"idx": idx, "uri": uri}}, **claims)


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def events() -> Iterator[list[Any]]:
    seen: list[Any] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


def build(api: Api, lists: Lists, engine: str = "pure", cache_tokens: int | None = None, **policy: Any) -> Any:
    given = StatusListPolicy(**policy)
    return api.validator(ISSUER, "api", http_client=lists, engine=engine, cache_tokens=cache_tokens, status_lists=given)


def code_of(api: Api, validator: Any, token: str) -> str | None:
    try:
        api.call(validator.validate, token)
    except PyIdentityModelException as error:
        return error.code
    return None


CODES = [None, "token_revoked", "token_suspended", "token_status_unaccepted"]


@pytest.mark.parametrize("cached", [None, 16])
def test_the_status_counts_on_every_path(api: Api, lists: Lists, clock: Any, engine: str, cached: int | None) -> None:
    """Cold, warm, remembered and in a batch, in both engines, a token is as good as its status."""
    validator = build(api, lists, engine, cached)
    tokens = [lists.at(idx) for idx in range(4)]
    assert code_of(api, validator, tokens[1]) == "token_revoked"  # cold
    for _ in range(3):
        assert [code_of(api, validator, token) for token in tokens] == CODES
        outcomes = api.call(validator.validate_many, tokens)
        assert [getattr(outcome, "code", None) for outcome in outcomes] == CODES
    assert lists.count("/statuslists/1") == 1
    assert lists.accepts == ["application/statuslist+jwt"]


@pytest.mark.parametrize("cached", [None, 16])
def test_a_change_is_seen_after_the_ttl(api: Api, lists: Lists, clock: Any, engine: str, cached: int | None) -> None:
    """A token that was good, and is remembered as such, is refused as soon as a new list says so."""
    lists.claims_of_list["ttl"] = 60
    validator = build(api, lists, engine, cached)
    token = lists.at(0, exp=NOW + 6000)
    for _ in range(3):
        assert code_of(api, validator, token) is None
    assert cached is None or validator.cache_info().hits > 0
    lists.statuses = (1,)
    clock.advance(61)
    assert code_of(api, validator, token) == "token_revoked"
    outcomes = api.call(validator.validate_many, [token])
    assert outcomes[0].code == "token_revoked"


def test_nobody_looks_unless_asked(api: Api, lists: Lists, clock: Any) -> None:
    """Without a policy the claim is one of many, and nothing is fetched for it; tokens without it need none."""
    assert code_of(api, api.validator(ISSUER, "api", http_client=lists), lists.at(1)) is None
    validator = build(api, lists)
    assert code_of(api, validator, lists.token()) is None
    assert lists.count("/statuslists/1") == 0
    demanding = api.validator(
        ISSUER, "api", http_client=lists, status_lists=StatusListPolicy(), required_claims=["status"]
    )
    assert code_of(api, demanding, lists.token()) == "claim_missing"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (None, None),
        ("x", "status_invalid"),
        ([], "status_invalid"),
        ({}, "status_unsupported"),
        ({"other": 1}, "status_unsupported"),
        ({"status_list": None}, "status_invalid"),
        ({"status_list": []}, "status_invalid"),
        ({"status_list": {"idx": 0}}, "status_invalid"),
        ({"status_list": {"uri": URI}}, "status_invalid"),
        ({"status_list": {"idx": "0", "uri": URI}}, "status_invalid"),
        ({"status_list": {"idx": True, "uri": URI}}, "status_invalid"),
        ({"status_list": {"idx": -1, "uri": URI}}, "status_invalid"),
        ({"status_list": {"idx": 0.0, "uri": URI}}, "status_invalid"),
        ({"status_list": {"idx": 0, "uri": ""}}, "status_invalid"),
        ({"status_list": {"idx": 8, "uri": URI}}, "status_index_invalid"),
        ({"status_list": {"idx": 10**30, "uri": URI}}, "status_index_invalid"),
    ],
)
def test_a_reference_is_read_strictly(api: Api, lists: Lists, clock: Any, engine: str, status: Any, code: Any) -> None:
    """What is no reference, or leads out of the list, is refused, cold and with the list at hand."""
    validator = build(api, lists, engine)
    token = lists.token(**({"status": status} if status is not None else {}))
    assert code_of(api, validator, token) == code
    assert code_of(api, validator, lists.at(0)) is None
    assert code_of(api, validator, token) == code


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example.com/statuslists/1",
        "http://id.example.com/statuslists/1",
        "https://id.example.com:8443/statuslists/1",
        "https://id.example.com@evil.example.com/statuslists/1",
        "https://169.254.169.254/statuslists/1",
        "file:///etc/passwd",
        "//id.example.com/statuslists/1",
        "https://id.example.com\n.evil/statuslists/1",
        "x",
    ],
)
def test_lists_are_fetched_from_their_place_only(api: Api, lists: Lists, clock: Any, uri: str) -> None:
    """A token cannot send us anywhere but to its issuer, and origins that were named (C16)."""
    validator = build(api, lists)
    assert code_of(api, validator, lists.at(0, uri)) == "status_uri_refused"
    assert not lists.count("/statuslists/1")


def test_another_origin_can_be_allowed(api: Api, lists: Lists, clock: Any) -> None:
    """Lists may be at a server of their own, signed with keys of their own."""
    uri = "https://status.example.com/statuslists/1"
    lists.signer = OTHER
    lists.claims_of_list["iss"] = "https://status.example.com"
    own = {"keys": [{**(OTHER.public_jwk or {}), "kid": "k2"}]}
    assert code_of(api, build(api, lists, allowed_origins="https://status.example.com"), lists.at(0, uri)) == (
        "status_list_invalid"
    )
    validator = build(api, lists, allowed_origins=("https://status.example.com/",), keys=own)
    assert code_of(api, validator, lists.at(0, uri)) is None
    assert code_of(api, validator, lists.at(1, uri)) == "token_revoked"


def bomb(size: int) -> str:
    return b64url_encode(zlib.compress(bytes(size), 9))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sub": ISSUER + "/statuslists/2"}, "status_list_invalid"),
        ({"sub": None}, "status_list_invalid"),
        ({"iat": None}, "status_list_invalid"),
        ({"iat": NOW + 3600}, "status_list_invalid"),
        ({"iss": "https://evil.example.com"}, "status_list_invalid"),
        ({"exp": NOW - 1}, "status_list_invalid"),
        ({"ttl": 0}, "status_list_invalid"),
        ({"ttl": -5}, "status_list_invalid"),
        ({"ttl": True}, "status_list_invalid"),
        ({"ttl": "600"}, "status_list_invalid"),
        ({"status_list": None}, "status_list_invalid"),
        ({"status_list": []}, "status_list_invalid"),
        ({"status_list": {"bits": 3, "lst": bomb(8)}}, "status_list_invalid"),
        ({"status_list": {"bits": True, "lst": bomb(8)}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": 7}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": ""}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": "****"}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": b64url_encode(b"not zlib")}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": b64url_encode(zlib.compress(bytes(99))[:-5])}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": b64url_encode(zlib.compress(b"\0") + b"more")}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": b64url_encode(zlib.compress(b""))}}, "status_list_invalid"),
        ({"status_list": {"bits": 1, "lst": bomb(2 * 1024 * 1024 + 1)}}, "status_list_too_large"),
        ({"status_list": {"bits": 8, "lst": bomb(50_000_000)}}, "status_list_too_large"),
        ({"nonce": "n"}, "status_list_invalid"),
        ({"events": {}}, "status_list_invalid"),
    ],
)
def test_a_list_that_is_none_makes_nothing_good(
    api: Api, lists: Lists, clock: Any, changes: dict[str, Any], code: str
) -> None:
    """A list about another address, malformed, expired or made to burst (C16, P14) says nothing: 503."""
    lists.claims_of_list = changes
    validator = build(api, lists)
    with pytest.raises(NetworkException) as caught:
        api.call(validator.validate, lists.at(0))
    assert caught.value.code == code
    assert caught.value.client_error.status == 503
    assert api.call(validator.validate_many, [lists.at(0)])[0].code == code


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "secevent+jwt", "statuslist+cwt", ""])
def test_another_token_is_no_list(api: Api, lists: Lists, clock: Any, typ: str | None) -> None:
    """Another kind of token by the same issuer is no list, and a list is no access token (C16)."""
    lists.header["typ"] = typ
    validator = build(api, lists)
    assert code_of(api, validator, lists.at(0)) == "status_list_invalid"
    lists.header["typ"] = "statuslist+jwt"
    assert code_of(api, validator, lists.list_at(URI)) == "typ_mismatch"
    lists.header["typ"], lists.claims_of_list = None, {"aud": "api", "sub": "ada", "exp": NOW + 60}
    assert code_of(api, validator, lists.list_at(URI)) == "kind_mismatch"


def test_a_forged_list_makes_nothing_good(api: Api, lists: Lists, clock: Any) -> None:
    """A list that the issuer did not sign is none, under its key id or another (C16)."""
    for signer in (OTHER, SigningKey.generate("ES256", kid="k1")):
        lists.signer = signer
        assert code_of(api, build(api, lists), lists.at(0)) == "status_list_invalid"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(404),
        Reply(200, (("content-type", "application/json"),), b"{}"),
        Reply(200, (("content-type", "application/statuslist+jwt"),), b"\xff"),
        Reply(200, (("content-type", "application/statuslist+jwt"),), b"a.b"),
        Reply(302, (("location", "https://evil.example.com/"),)),
    ],
)
def test_a_list_that_cannot_be_had(api: Api, lists: Lists, clock: Any, reply: Reply, events: list[Any]) -> None:
    """503 by default, without a request for each token; accepted by a long name, with an event, and then as it says."""
    lists.answer = reply
    strict = build(api, lists)
    for _ in range(3):
        with pytest.raises(NetworkException) as caught:
            api.call(strict.validate, lists.at(0))
        assert caught.value.client_error.status == 503
        assert caught.value.retry_after is not None
    assert lists.count("/statuslists/1") <= 2
    loose = build(api, lists, accept_tokens_while_status_is_unknown=True)
    assert code_of(api, loose, lists.at(1)) is None
    assert "token_status_unknown" in {event.name for event in events}
    assert code_of(api, loose, lists.at(1, "https://evil.example.com/statuslists/1")) == "status_uri_refused"
    lists.answer = None
    clock.advance(120)
    assert code_of(api, loose, lists.at(1)) == "token_revoked"


@pytest.mark.parametrize("stale_for", [0, 300])
def test_an_old_list_is_used_as_long_as_the_policy_says(api: Api, lists: Lists, clock: Any, stale_for: int) -> None:
    """While it cannot be renewed a list counts for its ttl and ``stale_for``, and never past its ``exp``."""
    lists.claims_of_list["exp"] = NOW + 700
    validator = build(api, lists, stale_for=stale_for)
    token = lists.at(0, exp=NOW + 6000)
    assert code_of(api, validator, token) is None
    lists.answer = Reply(503)
    clock.advance(601)
    assert code_of(api, validator, token) == (None if stale_for else "status_list_unavailable")
    clock.advance(100)
    assert code_of(api, validator, token) == "status_list_unavailable"


def test_a_list_from_before_does_not_replace_a_newer_one(api: Api, lists: Lists, clock: Any) -> None:
    """A copy of an older list, which somebody kept, does not make a revoked token good again."""
    validator = build(api, lists)
    lists.claims_of_list["iat"] = NOW - 5
    lists.statuses = (1,)
    token = lists.at(0, exp=NOW + 6000)
    assert code_of(api, validator, token) == "token_revoked"
    lists.claims_of_list["iat"], lists.statuses = NOW - 100, (0,)
    clock.advance(601)
    assert code_of(api, validator, token) == "token_revoked"
    assert lists.count("/statuslists/1") == 2


def test_lists_without_ttl_and_with_a_long_one(api: Api, lists: Lists, clock: Any) -> None:
    """Without ``ttl`` the policy says how long; a longer one than ``max_age`` is cut, a tiny one floods nobody."""
    token = lists.at(0, exp=NOW + 60000)
    for ttl, policy, fetched in ((None, {"fresh_for": 50}, 50), (99999, {"max_age": 50}, 50), (0.001, {}, 1)):
        clock.wall, lists.claims_of_list["ttl"] = NOW, ttl
        lists.requests.clear()
        validator = build(api, lists, **policy)
        for _ in range(3):
            assert code_of(api, validator, token) is None
        assert lists.count("/statuslists/1") == 1
        clock.advance(fetched)
        assert code_of(api, validator, token) is None
        assert lists.count("/statuslists/1") == 2


def test_statuses_of_ones_own(api: Api, lists: Lists, clock: Any) -> None:
    """A status with a meaning of the application's own is accepted if the policy says so."""
    validator = build(api, lists, accepted_statuses={0, 3})
    assert [code_of(api, validator, lists.at(idx)) for idx in range(4)] == [None, CODES[1], CODES[2], None]


def test_two_issuers_do_not_share_a_list(api: Api, clock: Any) -> None:
    """A list that one issuer signed says nothing of the tokens of another that names it."""
    lists, other = Lists(), Provider("https://other.example.com", k2=OTHER)

    def transport(request: Request) -> Reply:
        return lists(request) if request.url.startswith(ISSUER) else other(request)

    validator = api.validator(
        [ISSUER, other.issuer],
        "api",
        http_client=transport,
        status_lists=StatusListPolicy(allowed_origins=(ISSUER,)),
    )
    assert code_of(api, validator, lists.at(0)) is None
    stranger = other.token(status={"status_list": {"idx": 0, "uri": URI}})
    assert code_of(api, validator, stranger) == "status_list_invalid"
    assert code_of(api, validator, lists.at(0)) is None


def test_the_examples_of_the_draft() -> None:
    """The lists of sections 4.1 and 4.2 read as the draft says."""
    one = StatusList(1, inflate("eNrbuRgAAhcBXQ", URI, 100))
    assert [one.status(idx) for idx in range(16)] == [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    two = StatusList(2, inflate("eNo76fITAAPfAgc", URI, 100))
    assert [two.status(idx) for idx in range(12)] == [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_every_width_is_read(api: Api, lists: Lists, clock: Any, bits: int) -> None:
    """One, two, four or eight bits per status, the first in the least significant ones."""
    lists.bits, lists.statuses = bits, (0, 1, 0, 1, 0, 0, 1, 1, 0)
    validator = build(api, lists)
    codes = [code_of(api, validator, lists.at(idx)) for idx in range(9)]
    assert codes == ["token_revoked" if status else None for status in lists.statuses]


def test_a_list_may_be_so_large_and_no_larger(api: Api, lists: Lists, clock: Any) -> None:
    """The bound counts bytes after decompression."""
    lists.claims_of_list["status_list"] = {"bits": 1, "lst": bomb(100)}
    assert code_of(api, build(api, lists, max_list_size=100), lists.at(0)) is None
    assert code_of(api, build(api, lists, max_list_size=99), lists.at(0)) == "status_list_too_large"


def test_so_many_lists_are_kept_and_no_more(api: Api, lists: Lists, clock: Any) -> None:
    """Beyond the bound the list that was used longest ago is fetched again."""
    for most, fetched in ((2, 2), (1, 3)):
        validator = build(api, lists, max_lists=most)
        lists.requests.clear()
        for name in ("1", "2", "1"):
            assert code_of(api, validator, lists.at(0, f"{ISSUER}/statuslists/{name}")) is None
        assert sum("/statuslists/" in url for url in lists.requests) == fetched


@pytest.mark.parametrize(
    "wrong",
    [
        {"allowed_origins": ("ftp://x",)},
        {"allowed_origins": ("http://status.example.com",)},
        {"accepted_statuses": set()},
        {"accepted_statuses": {256}},
        {"accepted_statuses": {True}},
        {"accepted_statuses": 0},
        {"fresh_for": 0},
        {"max_age": float("inf")},
        {"stale_for": -1},
        {"max_list_size": 10**12},
        {"max_lists": 0},
        {"accept_tokens_while_status_is_unknown": "no"},
        {"keys": {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}},
    ],
)
def test_a_policy_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    """No check is turned off by an empty value, and no bound by a wild one."""
    with pytest.raises(ConfigurationException):
        StatusListPolicy(**wrong)


def test_the_policy_is_a_policy(api: Api) -> None:
    """Something else in its place is refused when the validator is built."""
    with pytest.raises(ConfigurationException):
        api.validator(ISSUER, "api", status_lists=True)


# ---- shared by processes


def fleet(api: Api, lists: Lists, store: Any, pods: int = 4, **policy: Any) -> list[Any]:
    """Build the validators of several processes that share a store."""
    given = StatusListPolicy(**policy)
    return [api.validator(ISSUER, "api", http_client=lists, status_lists=given, store=store) for _ in range(pods)]


def fetched(lists: Lists) -> int:
    return sum("/statuslists/" in url for url in lists.requests)


def token_at(lists: Lists, idx: int) -> str:
    return lists.token(status={"status_list": {"idx": idx, "uri": URI}})


@pytest.fixture(params=["memory", "sealed"])
def store(request: pytest.FixtureRequest, clock: Any) -> Any:
    memory = MemoryStore(clock=lambda: clock.wall)
    return memory if request.param == "memory" else EncryptedStore(memory, b"s" * 32)


def test_processes_fetch_a_list_once(api: Api, lists: Lists, clock: Any, store: Any) -> None:
    """Of several processes one fetches per ttl; all see a change as soon as one does; each judges for itself."""
    lists.claims_of_list = {"ttl": 100}
    pods = fleet(api, lists, store)
    for pod in pods:
        assert [code_of(api, pod, token_at(lists, idx)) for idx in range(4)] == CODES
    assert fetched(lists) == 1
    lists.statuses = (1, 0, 0, 0, 0, 0, 0, 0)
    lists.claims_of_list = {"ttl": 100, "iat": NOW + 1}
    clock.advance(60)
    late = fleet(api, lists, store, 1)[0]  # what it takes from the store is as old as it is
    assert code_of(api, late, token_at(lists, 0)) is None
    clock.advance(41)
    for pod in (late, *pods):
        assert [code_of(api, pod, token_at(lists, idx)) for idx in (0, 1)] == ["token_revoked", None]
    assert fetched(lists) == 2


def test_a_list_in_the_store_is_verified_by_each_process(api: Api, lists: Lists, clock: Any, store: Any) -> None:
    """What one process takes for a list need be none for another; what is torn or from later is fetched again."""
    first = fleet(api, lists, store, 1)[0]
    assert code_of(api, first, token_at(lists, 1)) == "token_revoked"
    strict = fleet(api, lists, store, 1, keys=OTHER.public_jwk)[0]
    assert code_of(api, strict, token_at(lists, 0)) == "status_list_invalid"
    small = fleet(api, lists, store, 1, max_list_size=1)[0]
    assert code_of(api, small, token_at(lists, 0)) == "status_list_too_large"
    key = digest_of("status list", ISSUER, URI)
    future = struct.pack(">d", clock.wall + 60) + zlib.compress(lists.list_at(URI).encode())
    for at, value in enumerate((b"", b"torn", pack(b"short"), pack(bytes(8) + b"no zlib"), pack(future))):
        store.put("status-lists", key, value, 60)
        before = fetched(lists)
        pod = fleet(api, lists, store, 1)[0]
        assert [code_of(api, pod, token_at(lists, idx)) for idx in range(4)] == CODES, at
        assert fetched(lists) == before + 1, at


def test_a_bomb_in_the_store_is_not_unpacked(api: Api, lists: Lists, clock: Any, store: Any) -> None:
    """A value that would unpack to more than a list may have is a miss."""
    value = pack(struct.pack(">d", clock.wall) + zlib.compress(b"A" * 50_000_000))
    store.put("status-lists", digest_of("status list", ISSUER, URI), value, 60)
    assert code_of(api, fleet(api, lists, store, 1)[0], token_at(lists, 1)) == "token_revoked"


def test_a_list_that_no_store_takes_is_fetched_by_each(
    api: Api, lists: Lists, clock: Any, store: Any, events: list[Any]
) -> None:
    """A list that is too large for a value is fetched by each process, and told of as an event."""
    lists.bits, lists.statuses = 8, tuple(random.Random(1).randbytes(1_100_000))
    at = lists.statuses.index(1)
    for pod in fleet(api, lists, store, 2):
        assert code_of(api, pod, token_at(lists, at)) == "token_revoked"
    assert fetched(lists) == 2
    assert [event.name for event in events].count("status_list_not_shared") == 2


def test_lists_without_the_store(api: Api, lists: Lists, clock: Any, store: Any) -> None:
    """A store that is away costs fetches and nothing else; a process that died with the lease keeps nobody for long."""
    key = digest_of("status list", ISSUER, URI)
    store.lease("status-lists", key, 600)
    assert code_of(api, fleet(api, lists, store, 1)[0], token_at(lists, 1)) == "token_revoked"
    assert sum(clock.slept) <= 2.5

    def away(*args: Any, **more: Any) -> Any:
        if args[0] == "status-lists":
            raise StoreException("away", code="store_unavailable")
        return None

    for name in ("get", "put", "lease"):
        setattr(store, name, away)
    before = fetched(lists)
    for pod in fleet(api, lists, store, 2):
        assert code_of(api, pod, token_at(lists, 1)) == "token_revoked"
    assert fetched(lists) == before + 2
