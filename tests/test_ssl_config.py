"""Which CA bundle is trusted."""

from __future__ import annotations

import os

import pytest

from py_identity_model.ssl_config import get_ssl_verify

ORDER = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _no_bundles(monkeypatch):
    for name in ORDER:
        monkeypatch.delenv(name, raising=False)


def test_system_store():
    """Without a variable the system's trust store is used."""
    assert get_ssl_verify() is True


@pytest.mark.parametrize("first", range(3))
def test_precedence(monkeypatch, first):
    """SSL_CERT_FILE goes before CURL_CA_BUNDLE, that before REQUESTS_CA_BUNDLE."""
    for name in ORDER[first:]:
        monkeypatch.setenv(name, f"/{name}.pem")
    assert get_ssl_verify() == f"/{ORDER[first]}.pem"


@pytest.mark.parametrize("empty", ["", "  "])
def test_empty_variables_do_not_count(monkeypatch, empty):
    """An empty variable gives way to the next one, and to the system's store at last."""
    monkeypatch.setenv("SSL_CERT_FILE", empty)
    assert get_ssl_verify() is True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ca.pem")
    assert get_ssl_verify() == "/ca.pem"


@pytest.mark.parametrize("word", ["0", "false", "False", "no", "off"])
@pytest.mark.parametrize("name", ORDER)
def test_nothing_turns_verification_off(monkeypatch, name, word):
    """A word that means no is a path that does not exist, never the end of verification."""
    monkeypatch.setenv(name, word)
    assert get_ssl_verify() == word
    assert get_ssl_verify() is not False


def test_environment_stays_as_it_is(monkeypatch):
    """Looking changes no variable."""
    monkeypatch.setenv("CURL_CA_BUNDLE", "/ca.pem")
    before = dict(os.environ)
    get_ssl_verify()
    assert dict(os.environ) == before


def test_there_is_nothing_to_clear(monkeypatch):
    """``cache_clear`` of earlier versions can be called; a change of the environment shows with and without it."""
    assert get_ssl_verify() is True
    monkeypatch.setenv("SSL_CERT_FILE", "/one.pem")
    assert get_ssl_verify() == "/one.pem"
    monkeypatch.setenv("SSL_CERT_FILE", "/two.pem")
    get_ssl_verify.cache_clear()
    assert get_ssl_verify() == "/two.pem"
