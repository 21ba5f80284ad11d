"""Requests behind proxies: whose headers count, and which URL the client used."""

from __future__ import annotations

import pytest

from py_identity_model._core.binding.inbound_request import UNIX_SOCKET, InboundRequest, ProxyPolicy
from py_identity_model.exceptions import ConfigurationException, InvalidRequestException

INNER = "http://127.0.0.1:8000/orders?page=2"
POLICY = ProxyPolicy(trusted_proxies=("10.0.0.0/8", "2001:db8::/32"))
RFC7239 = ProxyPolicy(trusted_proxies=("10.0.0.0/8",), forwarded="forwarded")


def request(*headers, url=INNER, peer="10.1.2.3"):
    return InboundRequest("GET", url, headers, peer=peer)


def test_headers():
    """Headers are found in any case, from a mapping or pairs; the repr shows none of them, nor the query."""
    for headers in ({"DPoP": "a"}, (("dpop", "a"),), [("DPOP", "a")]):
        built = InboundRequest.build("GET", "https://a.example/?token=canary", headers, peer="::1", certificate=b"x")
        assert built.header_values("dpop") == ["a"]
        assert repr(built) == "InboundRequest(GET https://a.example/)"


@pytest.mark.parametrize("peer", ["10.0.0.1", "10.255.255.255", "2001:db8::7", "::ffff:10.0.0.1"])
def test_trusted_peers(peer):
    """[S29] A peer in a named network is trusted, also as an IPv4-mapped address."""
    assert POLICY.trusts(peer)


@pytest.mark.parametrize("peer", ["11.0.0.1", "2001:db9::1", "", None, "unix", "10.0.0.1:80", "localhost", "10.0.0"])
def test_strangers(peer):
    """[S29] No other peer is trusted, and none is by default."""
    assert not POLICY.trusts(peer)
    assert not ProxyPolicy().trusts(peer)


def test_unix_socket():
    """[S29] A peer without an address is trusted only if that is said."""
    policy = ProxyPolicy(trusted_proxies=(UNIX_SOCKET,))
    assert policy.trusts(None)
    assert not policy.trusts("10.0.0.1")


@pytest.mark.parametrize(
    ("policy", "headers", "expected"),
    [
        (POLICY, (), "http://127.0.0.1:8000/orders"),
        (POLICY, (("X-Forwarded-Proto", "https"),), "https://127.0.0.1:8000/orders"),
        (POLICY, (("X-Forwarded-Host", "evil.example, api.example"),), "http://api.example/orders"),
        (
            POLICY,
            (("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "api.example"), ("X-Forwarded-Proto", "https")),
            "https://api.example/orders",
        ),
        (POLICY, (("Forwarded", "proto=https;host=api.example"),), "http://127.0.0.1:8000/orders"),
        (RFC7239, (("X-Forwarded-Host", "evil.example"),), "http://127.0.0.1:8000/orders"),
        (
            RFC7239,
            (("Forwarded", 'host=evil.example, for=192.0.2.1;Proto=https; host="api.example:8443"'),),
            "https://api.example:8443/orders",
        ),
        (RFC7239, (("Forwarded", "for=192.0.2.1"),), "http://127.0.0.1:8000/orders"),
    ],
)
def test_external_url(policy, headers, expected):
    """[S29] [D9] Of a trusted proxy's headers the last value of the chosen family counts."""
    assert policy.external(request(*headers)) == expected


def test_strangers_headers_are_ignored():
    """[S29] Forwarded headers of any other peer change nothing."""
    headers = (("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example"))
    assert POLICY.external(request(*headers, peer="192.0.2.1")) == "http://127.0.0.1:8000/orders"


def test_fixed_url():
    """[D9] A fixed external URL goes before everything else."""
    policy = ProxyPolicy(external_url="https://api.example/v1/", trusted_proxies=("10.0.0.1",))
    assert policy.external(request(("X-Forwarded-Host", "evil.example"))) == "https://api.example/v1/orders"
    assert policy.external(request(url="http://10.0.0.1")) == "https://api.example/v1/"


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://[::1/x", ()),
        ("/orders", ()),
        ("ftp://a.example/", ()),
        (INNER, (("X-Forwarded-Host", "api.example@evil.example"),)),
        (INNER, (("X-Forwarded-Host", "api.example\\evil"),)),
        (INNER, (("X-Forwarded-Proto", "javascript"),)),
    ],
)
def test_no_url(url, headers):
    """[B1] A request whose address makes no URL is a bad request."""
    with pytest.raises(InvalidRequestException) as refused:
        POLICY.external(request(*headers, url=url))
    assert refused.value.code == "request_url_invalid"


@pytest.mark.parametrize(
    "policy",
    [
        {"external_url": "http://api.example"},
        {"external_url": "https://api.example/?a=1"},
        {"trusted_proxies": "10.0.0.1"},
        {"trusted_proxies": ("everybody",)},
        {"trusted_proxies": (None,)},
        {"trusted_proxies": ("10.0.0.1/8",)},
        {"forwarded": "both"},
    ],
)
def test_unusable_policies(policy):
    """[S29] A policy that cannot be used is a configuration error."""
    with pytest.raises(ConfigurationException):
        ProxyPolicy(**policy)
