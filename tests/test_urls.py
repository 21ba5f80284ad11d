"""Addresses: which are taken, which are refused, and what counts as this machine."""

from __future__ import annotations

import ipaddress

import pytest

from py_identity_model._core.base.urls import (
    backchannel_url,
    ipv4_within,
    is_below,
    is_local,
    is_loopback,
    is_this_machine,
    origin,
    parse_url,
)
from py_identity_model.exceptions import ConfigurationException, DiscoveryHTTPSRequiredError


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://id.example.com", "id.example.com", None),
        ("HTTPS://ID.Example.com:8443/a?b=c", "id.example.com", 8443),
        ("https://my_idp/jwks", "my_idp", None),
        ("https://a-b.c1.example/", "a-b.c1.example", None),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("https://10.0.0.1/", "10.0.0.1", None),
        ("https://[2001:db8::1]:8443/", "2001:db8::1", 8443),
        ("http://localhost:8080", "localhost", 8080),
        ("http://127.0.0.1", "127.0.0.1", None),
        ("http://[::1]:1", "::1", 1),
        ("https://login.microsoftonline.com/{tenantid}/v2.0", "login.microsoftonline.com", None),
        ("https://" + "a" * 63 + ".example/" + "x" * (2048 - 80), "a" * 63 + ".example", None),
    ],
)
def test_good_addresses(url, host, port):
    """Absolute https URLs are taken, and http ones to this very machine."""
    parts = parse_url(url)
    assert (parts.hostname, parts.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        *(None, 7, b"https://a.example", "", " ", "a.example", "//a.example", "https:/a.example", "https:a.example"),
        *("ftp://a.example", "file:///x", "data:,x", "javascript:x", "https://", "https:///x", "https://?x"),
        *("https://a.example#", "https://a.example/#x", "https://u@a.example", "https://u:p@a.example", "https://@a"),
        *("https://a.example:0", "https://a.example:65536", "https://a.example:x", "https://a.example:"),
        *("https://a.example/ b", "https://a.example/\n", "\thttps://a.example", "https://a\x00.example"),
        *("https://a.example\\b", "https://ä.example", "https://a.example/ä", "https://a%2eexample"),
        *("https://a..example", "https://.a.example", "https://a.example.", "https://-a.example", "https://a-.example"),
        *("https://1", "https://1.2.3", "https://1.2.3.4.5", "https://256.1.1.1", "https://01.2.3.4", "https://0x1"),
        *("https://a.0x7f", "https://[1.2.3.4]", "https://[::1%25lo]", "https://[::g]", "https://[x]", "https://[]"),
        *("https://a$b.example", "https://a,b", "https://a;b", "https://*.example", "https://a'b", "https://a`b"),
        "https://a.example/" + "x" * 2048,
        "https://" + "a" * 64 + ".example",
        "https://" + "a" * 64,
        "https://" + "a." * 124 + "example",
    ],
)
def test_refused_addresses(url):
    """Whatever readers of URLs disagree about is refused as the caller's mistake, in one printable line."""
    with pytest.raises(ConfigurationException) as caught:
        parse_url(url, "jwks_uri")
    assert (caught.value.code, caught.value.claim) == ("url_invalid", "jwks_uri")
    assert str(caught.value).isprintable()


def test_user_information_is_not_repeated():
    """A password in an address does not get into the error."""
    with pytest.raises(ConfigurationException) as caught:
        parse_url("https://ada:s3cr3t@a.example/")
    assert "s3cr3t" not in f"{caught.value} {vars(caught.value)}"


@pytest.mark.parametrize(
    "url", ["http://a.example", "http://localhost.a.example", "http://[::ffff:127.0.0.1]", "HTTP://A"]
)
def test_plain_http(url):
    """Plain http is refused, and accepted only by name."""
    with pytest.raises(DiscoveryHTTPSRequiredError) as caught:
        parse_url(url)
    assert caught.value.code == "https_required"
    assert parse_url(url, require_https=False).scheme == "http"


def test_plain_http_on_this_machine():
    """Plain http to this machine can be refused too."""
    assert parse_url("http://localhost").scheme == "http"
    with pytest.raises(DiscoveryHTTPSRequiredError):
        parse_url("http://localhost", allow_http_on_loopback=False)


def test_query():
    """A query is refused where an issuer is meant, even an empty one."""
    assert parse_url("https://a.example/?b").query == "b"
    for url in ("https://a.example/?b", "https://a.example?"):
        with pytest.raises(ConfigurationException):
            parse_url(url, allow_query=False)


@pytest.mark.parametrize(
    ("host", "loopback", "local"),
    [
        ("localhost", True, True),
        ("LOCALHOST", True, True),
        ("127.0.0.1", True, True),
        ("127.255.255.254", True, True),
        ("::1", True, True),
        ("0:0:0:0:0:0:0:1", True, True),
        ("localhost.", False, True),
        ("app.localhost", False, True),
        ("localhost.localdomain", False, True),
        ("ip6-localhost", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:7f00:1", False, True),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("169.254.169.254", False, True),
        ("fe80::1", False, True),
        ("localhost.example.com", False, False),
        ("mylocalhost", False, False),
        ("127.0.0.1.example.com", False, False),
        ("10.0.0.1", False, False),
        ("192.168.1.1", False, False),
        ("::ffff:10.0.0.1", False, False),
        ("2001:db8::1", False, False),
        ("id.example.com", False, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_this_machine(host, loopback, local):
    """Plain http needs certainty that a host is this machine; a stranger's pointer here is refused on suspicion."""
    assert (is_loopback(host), is_local(host)) == (loopback, local)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.example:443/x?y", "https://a.example"),
        ("https://a.example:8443/", "https://a.example:8443"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
    ],
)
def test_origin(url, expected):
    """The origin is scheme, host and port in one form."""
    assert origin(url) == expected


@pytest.mark.parametrize("url", ["https://a.example:99999", "https://a.example:x", "https://[::1", None, 7])
def test_what_has_no_origin(url):
    """What cannot be read as a URL, its port included, is refused."""
    with pytest.raises(ConfigurationException) as caught:
        origin(url)
    assert caught.value.expected == "a URL"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (None, False),
        ("", False),
        ("id.example.com", False),
        ("app.localhost", True),
        ("127.8.9.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("64:ff9b::7f00:1", True),
        ("2002:7f00:1::", True),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
        ("64:ff9b::808:808", False),
        # The link is not this machine, whatever it is written as.
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
    ],
)
def test_is_this_machine(host, expected):
    """This very machine is told from its link and from the rest of the world, under every form of its addresses."""
    assert is_this_machine(host) is expected


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("::", None),
        ("::1", None),
        ("::2", "0.0.0.2"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("64:ff9b::a00:7", "10.0.0.7"),
        ("2002:a00:7::1", "10.0.0.7"),
        ("2001:db8::a00:7", None),
    ],
)
def test_an_address_within_another(address, inner):
    """An IPv6 address that is made of an IPv4 one is read to the last bit; ``::`` and ``::1`` are themselves."""
    found = ipv4_within(ipaddress.IPv6Address(address))
    assert (found and str(found)) == inner


def test_lengths():
    """A name has at most 253 characters, a URL at most 2048: the longest are accepted, one more is refused."""
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(host) == 253
    assert parse_url(f"https://{host}").hostname == host
    with pytest.raises(ConfigurationException):
        parse_url(f"https://{host}d")
    url = "https://id.example.com/".ljust(2048, "x")
    assert parse_url(url).path == "/" + "x" * (2048 - len("https://id.example.com/"))
    with pytest.raises(ConfigurationException):
        parse_url(url + "x")


@pytest.mark.parametrize(
    ("url", "base", "below"),
    [
        ("https://a.example/x", "https://a.example/x", True),
        ("https://a.example/x/", "https://a.example/x", True),
        ("https://a.example/x/y", "https://a.example/x/", True),
        ("https://a.example", "https://a.example", True),
        ("https://a.example:443/x/y", "https://A.example/x", True),
        ("https://a.example/xy", "https://a.example/x", False),
        ("https://a.example/y", "https://a.example/x", False),
        ("https://a.example/", "https://a.example/x", False),
        ("https://b.example/x/y", "https://a.example/x", False),
        ("http://a.example/x/y", "https://a.example/x", False),
        ("https://a.example:8443/x/y", "https://a.example/x", False),
        ("https://a.example/x/../y", "https://a.example/x", False),
        ("https://a.example/x/./y", "https://a.example/x", False),
        ("https://a.example/x/%2E%2e/y", "https://a.example/x", False),
        ("https://a.example/x/.%2e", "https://a.example/x", False),
    ],
)
def test_is_below(url, base, below):
    """Below an address is its path and what follows a slash, of the same origin, and nothing that climbs."""
    assert is_below(url, base) is below


@pytest.mark.parametrize(
    ("url", "backchannel", "reached"),
    [
        ("https://id.example.com/a/token?x=1", "http://idp:8080", "http://idp:8080/a/token?x=1"),
        ("https://id.example.com/a/token", "http://idp:8080/", "http://idp:8080/a/token"),
        ("https://id.example.com", "http://idp:8080", "http://idp:8080"),
        ("http://idp:8080/a/token?x=1", "http://idp:8080", "http://idp:8080/a/token?x=1"),
        ("http://idp:8080/pre/a", "http://idp:8080/pre", "http://idp:8080/pre/a"),
        ("https://id.example.com/a", "http://idp:8080/pre", "http://idp:8080/pre/a"),
    ],
)
def test_backchannel_url(url, backchannel, reached):
    """An address keeps its path and query on the way through the backchannel; one that is there already stays."""
    assert backchannel_url(url, backchannel) == reached
