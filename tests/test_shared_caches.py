"""Who shares what was fetched: those who trust the same servers by the same rules, and nobody else."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref
from typing import Any

import httpx
import httpx2
import pytest

from apis import NOW, Api, Provider
from py_identity_model import aio, sync
from py_identity_model._core.discovery.metadata import DiscoveryDocumentRequest, DiscoveryPolicy
from py_identity_model._core.discovery.trust import Stores, cache_key
from py_identity_model._core.jose.jwks import JwksRequest
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation import config as configurations
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._http_client import carrier_of
from py_identity_model.exceptions import SignatureVerificationException
from py_identity_model.settings import Settings


@pytest.fixture(autouse=True)
def frozen(clock: Any) -> Any:
    """The time at which all tokens here are good."""
    clock.wall = NOW
    return clock


def forger() -> Provider:
    """A provider of the same name with keys of its own, as a transport that verifies nothing would reach it."""
    return Provider(k1=SigningKey.generate("ES256", kid="k1"))


def test_what_another_transport_fetched_is_not_served(api: Api) -> None:
    """[A14] A validator with a transport of its own does not put its keys into the hands of a strict one."""
    stores, honest, forged = Stores(api.name, Settings()), Provider(), forger()
    lax = api.validator(honest.issuer, "api", http_client=forged, stores=stores)
    strict = api.validator(honest.issuer, "api", http_client=honest, stores=stores)
    api.call(lax.validate, forged.token())
    with pytest.raises(SignatureVerificationException):
        api.call(strict.validate, forged.token())
    assert api.call(strict.validate, honest.token())["sub"] == "ada"
    assert (honest.count("/jwks") >= 1, forged.count("/jwks")) == (True, 1)


def test_equal_trust_shares(api: Api) -> None:
    """[A14] Validators with the same transport and rules fetch once, however many there are."""
    stores, provider = Stores(api.name, Settings()), Provider()
    for audience in ("api", ["api", "other"]):
        validator = api.validator(provider.issuer, audience, http_client=provider, stores=stores)
        api.call(validator.validate, provider.token())
    assert len(provider.requests) == 2


def test_functions_keep_to_their_transport_too(api: Api) -> None:
    """[A14] ``validate_token`` with one configuration and two transports keeps their keys apart, warm or cold."""
    honest, forged = Provider(), forger()
    config = TokenValidationConfig(perform_disco=True, audience="api")
    for _ in range(2):
        assert api.call(api.module.validate_token, forged.token(), config, honest.issuer, forged)["sub"] == "ada"
        assert api.call(api.module.validate_token, honest.token(), config, honest.issuer, honest)["sub"] == "ada"
        with pytest.raises(SignatureVerificationException):
            api.call(api.module.validate_token, forged.token(), config, honest.issuer, honest)


@pytest.mark.parametrize("name", ["get_discovery_document", "get_jwks"])
def test_documents_are_kept_apart(api: Api, name: str) -> None:
    """[A14] What one transport was told about an address is not what another one is answered with."""
    honest, forged = Provider(), forger()
    forged.metadata = {**forged.metadata, "token_endpoint": "https://evil.example.com/token"}
    request = DiscoveryDocumentRequest(honest.issuer) if "disc" in name else JwksRequest(honest.issuer + "/jwks")
    first = api.call(getattr(api.discovery, name), request, forged)
    second = api.call(getattr(api.discovery, name), request, honest)
    assert first.is_successful
    assert second.is_successful
    assert first != second
    assert api.call(getattr(api.discovery, name), request, forged) == first
    assert (len(honest.requests), len(forged.requests)) == (1, 1)


def test_rules_about_addresses_belong_to_the_key(api: Api) -> None:
    """[A14] Keys that one validator took over plain http are not served to one that wants https."""
    provider = Provider("http://id.example.com")
    address = JwksRequest("http://id.example.com/jwks", policy=DiscoveryPolicy(require_https=False))
    assert api.call(api.discovery.get_jwks, address, provider).is_successful
    response = api.call(api.discovery.get_jwks, JwksRequest("http://id.example.com/jwks"), provider)
    assert response.error_code == "https_required"


def test_a_transport_for_each_call_piles_nothing_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration keeps a bounded number of compiled validators, and no client alive."""
    provider = Provider()
    config = TokenValidationConfig(perform_disco=True, audience="api")
    gone = []
    monkeypatch.setattr(configurations, "_MOST_COMPILED", 8)
    for _ in range(20):

        class Client:
            def __call__(self, request: Any) -> Any:
                return provider(request)

        client = Client()
        gone.append(weakref.ref(client))
        api.call(api.module.validate_token, provider.token(), config, provider.issuer, client)
        del client
    gc.collect()
    assert len(config._compiled) <= 8  # type: ignore[attr-defined]
    assert [ref for ref in gone if ref() is not None] == []


def test_carriers() -> None:
    """Transports are told apart by what they trust: their CA bundle, or who they are; never by an address of memory."""
    provider = Provider()

    class Bound:
        def send(self, request: Any) -> Any:
            return provider(request)

    bound = Bound()
    for module, plain in ((sync, httpx2.Client()), (aio, httpx2.AsyncClient())):
        assert carrier_of(module.HTTPClient()) is carrier_of(module.HTTPClient(timeout=3)) is carrier_of(None) is None
        assert carrier_of(module.HTTPClient(verify="/a")) == carrier_of(module.HTTPClient(verify="/a")) is not None
        assert carrier_of(module.HTTPClient(verify="/a")) != carrier_of(module.HTTPClient(verify="/b"))
        assert carrier_of(module.HTTPClient(plain)) == carrier_of(plain)
    assert carrier_of(httpx.Client()) != carrier_of(httpx.Client())
    assert carrier_of(bound.send) == carrier_of(bound.send)
    assert carrier_of(bound.send) != carrier_of(Bound().send)
    assert carrier_of(provider) == carrier_of(provider)
    mine = carrier_of(first := Bound())
    assert {mine: 1}[carrier_of(first)] == 1
    del first
    gc.collect()
    assert mine not in [carrier_of(Bound()) for _ in range(50)]


class Slotted:
    """A transport that leaves no room for weak references."""

    __slots__ = ()

    def __call__(self, request: Any) -> Any:
        raise AssertionError


def test_carriers_without_weak_references() -> None:
    """A transport that cannot be referred to weakly is told apart as well."""
    client = Slotted()
    assert carrier_of(client) == carrier_of(client) != carrier_of(pickle.loads(pickle.dumps(client)))


class Counted:
    """A part of a key that counts how often it is hashed."""

    hashed = 0

    def __hash__(self) -> int:
        type(self).hashed += 1
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counted)


def test_equal_parts_have_one_key() -> None:
    """What is cached under a key is found by whoever builds it anew, and the warm path hashes none of its parts."""
    key = cache_key("https://a.example.com", (Counted(),), Counted())
    assert cache_key("https://a.example.com", (Counted(),), Counted()) is key
    assert pickle.loads(pickle.dumps(key.fetched_by(None))) is key.fetched_by(None)
    others = {key.fetched_by(None), cache_key("https://b.example.com", (Counted(),), Counted())}
    kept = {key: 1}
    Counted.hashed = 0
    assert kept[key] == 1
    assert others.isdisjoint(kept)
    assert Counted.hashed == 0


def test_threads_agree_on_a_key() -> None:
    """Threads that build one key at once build one: two would be two fetches."""
    together, found = threading.Barrier(8), list[Any]()

    def build() -> None:
        together.wait(10)
        found.extend([cache_key(f"https://{n}.example.com", ("rule",)) for n in range(200)])

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8 * 200
    assert len(set(found)) == 200


def test_a_key_that_nobody_uses_is_forgotten() -> None:
    """A flood of forged tenants leaves no keys behind."""
    gone = weakref.ref(cache_key("https://forged.example.com", ("rule",)))
    gc.collect()
    assert gone() is None
