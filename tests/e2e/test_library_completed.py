"""The library against the real provider: logins that end on another device, and hints of encrypted ID tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from e2e import driver
from e2e.library import Library
from py_identity_model._core.client.ciba import generate_client_notification_token
from py_identity_model._core.client.ciba_notification import parse_ciba_notification
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.ciba_login import CibaLoginRequest
from py_identity_model._core.login.jar import RequestSigning


@pytest.fixture(params=["sync", "asyncio", "trio"])
def library(request: pytest.FixtureRequest, provider: driver.Provider) -> Library:
    """The library in each of its ways."""
    return Library(request.param, provider)


@pytest.mark.parametrize("name", ["id-token-encrypted", "id-token-encrypted-ecdh"])
def test_an_encrypted_id_token_as_a_hint(library: Library, name: str) -> None:
    """[O1] The provider takes the decrypted ID token for a hint, and ends the session; UserInfo is the user's."""
    client = library.login_client(library.provider.clients[name], scope="openid profile")
    with library.provider.browser() as browser:
        login = library.log_in(client, browser=browser)
        assert login.is_successful, login.error
        assert (login.id_token.count("."), login.id_token_hint.count(".")) == (4, 2)
        about = library.call("login_client.get_login_userinfo", client, login)
        assert about.claims["name"] == "Alice Liddell"
        logout = library.call("login_client.begin_logout", client, login)
        assert logout.is_successful, logout.error
        assert "/session/end" in browser.logout(logout.url)


@pytest.mark.parametrize("approve", [True, False])
def test_a_device_login_is_completed(library: Library, approve: bool) -> None:
    """A device ends with validated claims of the user, or hears that she refused."""
    client = library.login_client(library.provider.clients["device"], redirect_uri=None)
    started = library.call("login_client.begin_device_login", client)
    assert started.is_successful, started.error
    library.provider.confirm_device(started.verification_uri, started.user_code, approve=approve)
    login = library.call("login_client.complete_device_login", client, started)
    assert login.error_code == (None if approve else "access_denied")
    if approve:
        assert (login.claims["sub"], login.claims["aud"]) == ("alice", client.client_id)
        late = replace(started, asked_at=started.asked_at + 3600)
        stale = library.call("login_client.complete_device_login", client, late, login)
        assert stale.error_code == "token_too_old"


@pytest.mark.parametrize("name", ["ciba-poll", "ciba-ping", "ciba-signed"])
def test_a_ciba_login_is_completed(library: Library, name: str) -> None:
    """CIBA ends with validated claims in its poll and ping modes, its request signed where that is registered."""
    registered, expected = library.provider.clients[name], generate_client_notification_token()
    signing = RequestSigning(SigningKey.from_jwk(registered.keys["ES256"], "ES256")) if "signed" in name else None
    client = library.login_client(registered, redirect_uri=None, request_signing=signing)
    ping = name != "ciba-poll"
    request = CibaLoginRequest(login_hint="bob", client_notification_token=expected if ping else None)
    started = library.call("login_client.begin_ciba", client, request)
    assert started.is_successful, started.error
    library.provider.decide_ciba(started.auth_req_id)
    came = None
    if ping:
        call = library.provider.take_call("/ciba/ping")
        came = parse_ciba_notification(call.headers, call.body.encode(), expected)
    login = library.call("login_client.complete_ciba", client, started, came)
    assert login.is_successful, login.error
    assert login.claims["sub"] == "bob"
