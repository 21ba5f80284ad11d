"""Settings do something: what each of them changes, where it was once read and then left unused."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import httpx2
import pytest

from apis import NOW, Api, Provider
from py_identity_model import aio, sync
from py_identity_model._core.base.flow import Flow, Reply, Request, get, send
from py_identity_model.aio import _driver as aio_driver
from py_identity_model.exceptions import (
    ConfigurationException,
    DiscoveryHTTPSRequiredError,
    DPoPValidationException,
    InvalidAudienceException,
)
from py_identity_model.sync import _driver as sync_driver


def door(api: Api) -> Any:
    """Return the public module of an API."""
    return sync if api.name == "sync" else aio


# ---- https for a key set's own address


def test_plain_http_for_a_key_set(api: Api, clock: Any) -> None:
    """``DiscoveryPolicy(require_https=False)`` holds for a ``jwks_uri`` too, on the validator and on the issuer."""
    clock.wall = NOW
    provider, loose = Provider("https://id.example.com"), sync.DiscoveryPolicy(require_https=False)
    uri = "http://keys.example.com/jwks"
    for validator in (
        api.validator(provider.issuer, "api", jwks_uri=uri, discovery_policy=loose, http_client=provider),
        api.validator(
            sync.TrustedIssuer(provider.issuer, jwks_uri=uri, discovery_policy=loose), "api", http_client=provider
        ),
        api.validator(
            sync.TrustedIssuer(provider.issuer, jwks_uri=uri), "api", discovery_policy=loose, http_client=provider
        ),
    ):
        assert api.call(validator.validate, provider.token())["sub"] == "ada"
    with pytest.raises(DiscoveryHTTPSRequiredError):
        api.validator(provider.issuer, "api", jwks_uri=uri)
    with pytest.raises(DiscoveryHTTPSRequiredError):
        api.validator(sync.TrustedIssuer(provider.issuer, jwks_uri=uri), "api")


# ---- a client of one's own


def sent_through(driver: Any, client: Any, request: Request) -> None:
    """Send one request through a client, and close that."""

    def flow() -> Flow[Reply]:
        return (yield from send(request))

    if driver.kind == "sync":
        with client:
            sync_driver.run(flow(), client)
        return

    async def in_loop() -> None:
        async with client:
            await aio_driver.run(flow(), client)

    driver.loop(in_loop)


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("request_of", "carried"),
    [
        (lambda url: get(url), True),
        (lambda url: get(url, {"Authorization": "Bearer own"}), False),
        (lambda url: get(url, {"DPoP": "proof"}), False),
        (lambda url: Request("POST", url, body=b"a=b"), False),
    ],
)
def test_credentials_of_a_client(driver: Any, fault_server: Any, library: Any, request_of: Any, carried: bool) -> None:
    """``auth=`` and ``params=`` of a client go with documents, as Kubernetes wants; never beside ours."""
    kind = library.Client if driver.kind == "sync" else library.AsyncClient
    client = kind(auth=("user", "pass"), params={"x": "1"})
    sent_through(driver, client, request_of(fault_server.url("ok?q=1")))
    [seen] = fault_server.requests
    basic = [value for value in seen.header("authorization") if value.startswith("Basic ")]
    assert (len(basic), seen.target) == ((1, "/ok?q=1&x=1") if carried else (0, "/ok?q=1"))


# ---- audiences of introspection


def answer(**claims: Any) -> Any:
    """Return a provider whose every answer is this one."""
    body = json.dumps({"active": True, "sub": "ada", **claims}).encode()
    return lambda request: Reply(200, (("content-type", "application/json"),), body, request.url)


def test_a_missing_audience_beside_an_introspector(api: Api) -> None:
    """Said to one of two checks of the same audience it would do nothing: then it is refused, and names the other."""
    module = door(api)

    def introspector(**options: Any) -> Any:
        address = "https://id.example.com/introspect"
        return module.TokenIntrospector(
            address, "api", client_secret="s" * 32, expected_audience="api", http_client=answer(), **options
        )

    def authenticate(introspect: Any, **options: Any) -> Any:
        return api.call(module.authenticate_token, "opaque", None, introspect, audience="api", **options)

    with pytest.raises(ConfigurationException) as refused:
        authenticate(introspector(), allow_missing_audience=True)
    assert refused.value.claim == "allow_missing_audience"
    lax = introspector(allow_missing_audience=True)
    assert authenticate(lax, allow_missing_audience=True)["sub"] == "ada"
    with pytest.raises(InvalidAudienceException):
        authenticate(lax)
    request = module.TokenIntrospectionRequest(
        "https://id.example.com/introspect",
        "opaque",
        "api",
        client_secret="s" * 32,
        expected_audience="api",
        allow_missing_audience=True,
    )
    assert api.call(module.introspect_token, request, answer()).is_successful
    assert not api.call(module.introspect_token, request, answer(aud="other")).is_successful


# ---- proxies in front of a resource


def test_proxies_count_for_proofs(api: Api, clock: Any) -> None:
    """``check_sender(proxies=...)`` decides what ``htu`` must be, unless the validator of proofs says so itself."""
    clock.wall = time.time()  # by which proofs are made
    module = door(api)
    key = module.generate_dpop_key()
    public, proxies = "https://api.example.com/orders", module.ProxyPolicy(external_url="https://api.example.com")

    validator = module.DPoPValidator()

    def checked(dpop: Any, **options: Any) -> Any:
        proof = module.create_dpop_proof(key, "GET", public, access_token="token")
        inside = module.InboundRequest(
            "GET", "http://10.0.0.7:8000/orders", (("Authorization", "DPoP token"), ("DPoP", proof))
        )
        bound = {"cnf": {"jkt": key.jwk_thumbprint}}
        return api.call(module.check_sender, inside, module.read_token(inside), bound, dpop=dpop, **options)

    assert checked(validator, proxies=proxies).htu == public
    with pytest.raises(DPoPValidationException) as refused:
        checked(validator)
    assert refused.value.code == "dpop_htu_mismatch"
    own = module.DPoPValidator(proxies=module.ProxyPolicy(external_url="https://other.example.com"))
    with pytest.raises(DPoPValidationException):
        checked(own, proxies=proxies)
    assert checked(module.DPoPValidator(proxies=proxies), proxies=module.ProxyPolicy()).htu == public


def test_a_proof_is_used_once_behind_proxies(api: Api, clock: Any) -> None:
    """Used proofs are remembered by the validator, whatever proxies a request came through."""
    clock.wall = time.time()
    module = door(api)
    key, dpop = module.generate_dpop_key(), module.DPoPValidator()
    proxies = module.ProxyPolicy(external_url="https://api.example.com")
    proof = module.create_dpop_proof(key, "GET", "https://api.example.com/orders", access_token="token")
    headers = (("Authorization", "DPoP token"), ("DPoP", proof))
    inside = module.InboundRequest("GET", "http://10.0.0.7:8000/orders", headers)
    bound = {"cnf": {"jkt": key.jwk_thumbprint}}

    def check() -> Any:
        return api.call(module.check_sender, inside, module.read_token(inside), bound, dpop=dpop, proxies=proxies)

    check()
    with pytest.raises(DPoPValidationException) as refused:
        check()
    assert refused.value.code == "dpop_replayed"
