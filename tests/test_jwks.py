"""Key sets, read and asked: what is taken from a provider, what from the caller, and which key may have signed."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from py_identity_model import DiscoveryPolicy, JsonWebKey, Secret, add_observer, remove_observer
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.urls import AddressRules
from py_identity_model._core.cache.entry import Entry
from py_identity_model._core.jose.jwks import JwksResponse, fetch_key_set, jwks_response, parse_jwks
from py_identity_model._core.jose.key_set import MAX_CANDIDATES, MAX_NAMED, KeySet, holds_secret
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key
from py_identity_model.exceptions import ConfigurationException, JwksException, TransportException
from py_identity_model.observability import Event
from test_discovery import NO_REPEATS, run

ADDRESS = "https://id.example.com/keys"
EC, RSA = SigningKey.generate("ES256", kid="k1"), SigningKey.generate("RS256", kid="k2")
EC_JWK: dict[str, Any] = dict(EC.public_jwk or {})
RSA_JWK: dict[str, Any] = dict(RSA.public_jwk or {})
OCT = {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}
JSON = (("content-type", "application/json"),)


def parsed(*members: Any, **bounds: Any) -> KeySet:
    """Read a provider's set of these members."""
    return parse_jwks(json.dumps({"keys": members}).encode(), **{"max_keys": 9, "max_size": 9999, **bounds})


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """Collect events."""
    seen: list[Event] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


# ---- what the caller gives


PRIVATE_PEM = EC.private_pem


@pytest.mark.parametrize(
    ("given", "secret"),
    [
        (Secret("s" * 32), True),
        (JsonWebKey(**{name: EC_JWK[name] for name in ("kty", "crv", "x", "y")}), False),
        (import_key(EC_JWK), False),
        (import_key(OCT), True),
        (KeySet.from_keys(EC_JWK), False),
        (KeySet.from_keys(OCT), True),
        (EC_JWK, False),
        (OCT, True),
        ({**EC_JWK, "d": "x"}, True),
        ({"keys": [EC_JWK]}, False),
        ({"keys": [EC_JWK, OCT]}, True),
        ({"keys": [EC_JWK], "k": "x"}, True),
        ([EC_JWK, (RSA_JWK,)], False),
        ([EC_JWK, (OCT,)], True),
        (json.dumps(EC_JWK), False),
        (json.dumps(OCT), True),
        (json.dumps(OCT).encode(), True),
        (PRIVATE_PEM, True),
        (PRIVATE_PEM.encode(), True),
        ("-----BEGIN PUBLIC KEY-----", False),
        ("\ud800", False),
        (None, False),
        (7, False),
    ],
)
def test_what_holds_a_secret(given: Any, secret: bool) -> None:
    """A private or a symmetric key is found in whatever form it is given, at any depth; a public one is none."""
    assert holds_secret(given) is secret


def test_secrets_and_public_keys_do_not_mix() -> None:
    """RFC 8725 3.1: a set that the caller gives has secrets or public keys, never both."""
    assert KeySet.from_keys(OCT).symmetric
    assert KeySet.from_keys({**OCT, "kid": "a"}, {**OCT, "kid": "b"}).symmetric
    assert not KeySet.from_keys(EC_JWK, RSA_JWK).symmetric
    with pytest.raises(ConfigurationException) as caught:
        KeySet.from_keys(EC_JWK, OCT)
    assert caught.value.code == "keys_mixed"


def test_secrets_have_names_of_their_own() -> None:
    """Two shared secrets of one name are ambiguous; of public keys several may have one (RFC 7517 4.5)."""
    with pytest.raises(ConfigurationException) as caught:
        KeySet.from_keys({**OCT, "kid": "a"}, {**OCT, "kid": "a"})
    assert caught.value.code == "kid_ambiguous"
    assert KeySet.from_keys({**EC_JWK, "kid": "a"}, {**RSA_JWK, "kid": "a"}).kids == ("a", "a")


def test_public_keys_can_be_pickled() -> None:
    """A set of public keys comes back as it was, marks included; a set of secrets is not given away."""
    keys = parsed({**EC_JWK, "key_ops": ["verify"], "issuer": "https://a.example"}, 7, RSA_JWK)
    again = pickle.loads(pickle.dumps(keys))
    assert (again, again.document, again.kid_selects) == (keys, keys.document, True)
    assert again.keys[0].key_ops == ("verify",)
    with pytest.raises(ConfigurationException) as caught:
        pickle.dumps(KeySet.from_keys(OCT))
    assert caught.value.code == "secret_not_picklable"


# ---- which key may have signed


def test_a_name_selects_among_several_keys() -> None:
    """The one key given is tried whatever the token calls it; of several, and of a provider's one, the name counts."""
    header = {"alg": "ES256", "kid": "another"}
    assert KeySet.from_keys(EC_JWK).candidates(header, ["ES256"]).fitting == 1
    assert KeySet.from_keys(EC_JWK, RSA_JWK).candidates(header, ["ES256"]).fitting == 0
    assert parsed(EC_JWK).candidates(header, ["ES256"]).fitting == 0
    assert parsed(EC_JWK).candidates({**header, "kid": "k1"}, ["ES256"]).named


@pytest.mark.parametrize("alg", ["RS256", "none", "HS256", "", None, 7, ["ES256"], {"ES256": 1}])
def test_an_algorithm_that_was_not_allowed_has_no_key(alg: Any) -> None:
    """RFC 8725 3.1: the caller's algorithms are the only ones, whatever keys are there."""
    found = KeySet.from_keys(EC_JWK, RSA_JWK).candidates({"alg": alg}, ["ES256"])
    assert (found.keys, found.fitting, found.foreign, found.named) == ((), 0, (), False)
    assert KeySet.from_keys(EC_JWK).candidates({"alg": "none"}, ["none", "ES256"]).keys == ()


def test_keys_of_other_issuers_are_told() -> None:
    """Those that would fit but sign for another issuer are named, each, and tried never."""
    whose = ["https://a.example", "https://b.example", None]
    keys = parsed(*({**EC_JWK, **({"issuer": issuer} if issuer else {})} for issuer in whose))
    found = keys.candidates({"alg": "ES256"}, ["ES256"], "https://a.example")
    assert [key.key.issuer for key in found.keys] == ["https://a.example", None]
    assert (found.fitting, found.foreign) == (2, ("https://b.example",))
    assert keys.candidates({"alg": "ES256"}, ["ES256"]).foreign == ("https://a.example", "https://b.example")
    assert parsed(EC_JWK).candidates({"alg": "ES256"}, ["ES256"], "https://a.example").foreign == ()


def test_how_many_keys_are_tried() -> None:
    """Of unnamed keys 16 at most, of one name 4; how many would fit is counted all the same."""
    keys = parsed(*[{**EC_JWK, "kid": "k1"}] * 20, *[{**EC_JWK, "kid": "k2"}] * 20, max_keys=40, max_size=99999)
    assert (MAX_CANDIDATES, MAX_NAMED) == (16, 4)
    for header, tried, fitting in (({}, 16, 40), ({"kid": "k1"}, 4, 20)):
        found = keys.candidates({"alg": "ES256", **header}, ["ES256"])
        assert (len(found.keys), found.fitting, found.named) == (tried, fitting, bool(header))


def test_a_key_for_another_algorithm_hides_none_after_it() -> None:
    """A set may hold keys for several algorithms, in any order."""
    for keys in (parsed(EC_JWK, RSA_JWK), parsed(RSA_JWK, EC_JWK)):
        for alg, name in (("ES256", "k1"), ("RS256", "k2")):
            assert [key.key.kid for key in keys.candidates({"alg": alg}, [alg]).keys] == [name]


# ---- what a provider gives


@pytest.mark.parametrize(
    ("body", "claim"),
    [(b"<html>", None), (b"[]", None), (b'{"keys": 1, "keys": []}', None), (b"{}", "keys"), (b'{"keys": {}}', "keys")],
)
def test_a_body_that_is_no_set(body: bytes, claim: str | None) -> None:
    """It is refused, and the refusal says why."""
    with pytest.raises(JwksException, match="is no key set") as caught:
        parse_jwks(body, max_keys=9, max_size=9999)
    assert (caught.value.code, caught.value.claim) == ("jwks_unparsable", claim)


def test_bounds_of_a_set() -> None:
    """So many bytes and so many keys are accepted, and not one more; the refusal says how many."""
    size = len(json.dumps({"keys": [EC_JWK, RSA_JWK]}))
    assert parsed(EC_JWK, RSA_JWK, max_keys=2, max_size=size).kids == ("k1", "k2")
    for bounds, code, expected, actual in (
        ({"max_keys": 1}, "jwks_too_many_keys", 1, 2),
        ({"max_size": size - 1}, "jwks_too_large", size - 1, None),
    ):
        with pytest.raises(JwksException) as caught:
            parsed(EC_JWK, RSA_JWK, **bounds)
        assert (caught.value.code, caught.value.expected, caught.value.actual) == (code, expected, actual)


def test_a_refusal_names_the_set() -> None:
    """With its address where that is known, which is told without its query."""
    for address, url, words in ((None, None, "The key set has no keys"), (f"{ADDRESS}?t=x", ADDRESS, ADDRESS)):
        with pytest.raises(JwksException, match=words) as caught:
            parsed(address=address)
        assert (caught.value.code, caught.value.url) == ("jwks_empty", url)


def test_what_is_left_out_of_a_set(events: list[Event]) -> None:
    """Secrets are not taken, private members dropped, with an event each; what is no key is skipped with its reason."""
    keys = parsed({**EC_JWK, "d": "x"}, {**OCT, "kid": "s"}, 7, {"kty": "new", "kid": 7}, RSA_JWK)
    assert keys.kids == ("k1", "k2")
    assert keys.skipped == (
        ("s", "symmetric_key_in_remote_set"),
        (None, "jwk_not_an_object"),
        (None, "kty_unsupported"),
    )
    assert all("d" not in member and "k" not in member for member in keys.document["keys"])
    assert [(event.name, event.facts["kid"]) for event in events] == [
        ("jwks_private_members_dropped", "k1"),
        ("jwks_symmetric_key_ignored", "s"),
    ]


def test_a_set_shows_its_keys_as_values() -> None:
    """Also where a key has both use and key_ops; what is no key is left out, and those after it are not."""
    both = {**EC_JWK, "use": "sig", "key_ops": ["verify"]}
    only = {name: value for name, value in RSA_JWK.items() if name != "use"} | {"key_ops": ["verify"]}
    shown = parsed({"kty": 7}, both, only).web_keys
    assert [(key.kid, key.use, key.key_ops) for key in shown] == [("k1", "sig", None), ("k2", None, ["verify"])]


# ---- the fetch


def fetched(*answers: Any, previous: Any = None, **rules: Any) -> tuple[Any, list[Request]]:
    """Fetch the set of an address; return what the cache would get, and the requests."""
    address = rules.pop("address", ADDRESS)
    return run(fetch_key_set(address, NO_REPEATS, previous, AddressRules(**rules)), *answers)


def answer(*members: Any, headers: Any = JSON) -> Reply:
    return Reply(200, headers, json.dumps({"keys": members}).encode())


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (299, "jwks_failed", 200),
        (300, "jwks_redirected", None),
        (399, "jwks_redirected", None),
        (400, "jwks_failed", 200),
        (201, "jwks_failed", 200),
        (304, "jwks_redirected", None),
    ],
)
def test_a_status_that_is_not_200(status: int, code: str, expected: int | None) -> None:
    """Redirects are not followed, also those that nobody asked for; any other status says that there is no set."""
    with pytest.raises(JwksException) as caught:
        fetched(Reply(status, JSON, answer(EC_JWK).body))
    assert (caught.value.code, caught.value.expected, caught.value.status_code) == (code, expected, status)
    assert bool(caught.value.hint) == (code == "jwks_redirected")


@pytest.mark.parametrize(
    ("content_type", "good"),
    [
        ("application/json", True),
        ("application/jwk-set+json", True),
        ("text/json; charset=utf-8", True),
        ("", True),
        ("text/html", False),
        ("application/" + "x" * 90, False),
    ],
)
def test_the_type_of_a_set(content_type: str, good: bool) -> None:
    """It is JSON, or the server does not say; the refusal shows at most 60 characters of another."""
    reply = answer(EC_JWK, headers=(("content-type", content_type),))
    if good:
        assert fetched(reply)[0].value.kids == ("k1",)
        return
    with pytest.raises(JwksException) as caught:
        fetched(reply)
    assert caught.value.code == "jwks_content_type"
    shown = content_type if len(content_type) <= 60 else content_type[:60] + "..."
    assert caught.value.actual == shown


def test_a_set_that_cannot_be_fetched() -> None:
    """A reply that is too long is a set that is too large; every other trouble of the transport keeps its own name."""
    for came, code in (("response_too_large", "jwks_too_large"), ("connect_failed", "connect_failed")):
        with pytest.raises(JwksException, match="cannot be fetched: gone") as caught:
            fetched(TransportException("gone", code=came, status_code=503, retry_after=7.0))
        assert (caught.value.code, caught.value.status_code, caught.value.retry_after) == (code, 503, 7.0)


def test_a_set_that_did_not_change() -> None:
    """What is held is asked after by its tag, and renewed by 304 and the tag that came with it, or its own."""
    held, _ = fetched(answer(EC_JWK, headers=(*JSON, ("etag", '"1"'))))
    previous = Entry(held.value, 1, 0, 0, 0, 0, 0, 0, held.etag)
    for headers, etag in (((), '"1"'), ((("etag", '"2"'),), '"2"')):
        again, (request,) = fetched(Reply(304, headers), previous=previous)
        assert dict(request.headers)["If-None-Match"] == '"1"'
        assert again.value is held.value
        assert again.etag == etag
    changed, _ = fetched(answer(RSA_JWK), previous=previous)
    assert (changed.value.kids, changed.etag) == (("k2",), None)


@pytest.mark.parametrize("status", [303, 305])
def test_only_304_renews(status: int) -> None:
    """Another status of the same family renews nothing."""
    previous = Entry(parsed(EC_JWK), 1, 0, 0, 0, 0, 0, 0, '"1"')
    with pytest.raises(JwksException, match="redirects"):
        fetched(Reply(status), previous=previous)


def test_a_strangers_address_is_a_public_one() -> None:
    """Where only public addresses are allowed the request says so, and a private one is not even asked."""
    _, (request,) = fetched(answer(EC_JWK), require_public_addresses=True)
    assert request.public_only
    _, (request,) = fetched(answer(EC_JWK))
    assert not request.public_only
    fetched(answer(EC_JWK), address="https://10.0.0.1/keys")
    with pytest.raises(JwksException, match="not public"):
        fetched(address="https://10.0.0.1/keys", require_public_addresses=True)


def test_a_backchannel_is_private() -> None:
    """The way that the application names itself may lead to a private address."""
    way = {"require_public_addresses": True, "backchannel": "https://10.0.0.1"}
    _, (request,) = fetched(answer(EC_JWK), address="https://10.0.0.1/keys", **way)
    assert not request.public_only


# ---- values


def test_a_set_is_a_value() -> None:
    """It does not change, equals a set of the same keys, and shows neither the document nor how it came."""
    keys = parsed(EC_JWK, cache_control="max-age=5")
    again = parsed({**EC_JWK, "more": "canary"}, cache_control="max-age=6")
    again.candidates({"alg": "ES256"}, ["ES256"])
    assert keys == again
    for shown in (repr(keys), repr(again)):
        assert not any(word in shown for word in ("canary", "max-age", "document", "prepared"))
    with pytest.raises(FrozenInstanceError):
        keys.keys = ()  # type: ignore[misc]
    assert not hasattr(keys, "__dict__")
    with pytest.raises(TypeError):
        KeySet((), _prepared={})  # type: ignore[call-arg]


def test_the_strict_rules_are_the_ones_without_a_policy() -> None:
    """https, http on loopback, any address, no backchannel."""
    assert AddressRules.of(None) == AddressRules() == (True, True, False, None)
    assert AddressRules.of(DiscoveryPolicy(require_https=False)).require_https is False


def test_a_response_shows_the_set() -> None:
    """Its keys as values, and how long the provider wants them kept."""
    shown = jwks_response(parsed(EC_JWK, cache_control="max-age=60"))
    assert shown.is_successful
    assert ([key.kid for key in shown.keys], shown.cache_control) == (["k1"], "max-age=60")


def test_a_failed_response_can_be_shown() -> None:
    """Showing it asks for no key, which it does not have."""
    failed = JwksResponse.failed(JwksException("no", code="jwks_failed"))
    assert "jwks_failed" in repr(failed)
