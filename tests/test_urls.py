"""Addresses: which are taken, which are refused, and what counts as this machine."""

from __future__ import annotations

import pytest

from py_identity_model._core.base.urls import MAX_URL, is_local, is_loopback, origin, parse_url
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
        ("https://" + "a" * 63 + ".example/" + "x" * (MAX_URL - 80), "a" * 63 + ".example", None),
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
        "https://a.example/" + "x" * MAX_URL,
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
