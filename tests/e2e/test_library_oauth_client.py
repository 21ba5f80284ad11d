"""The client whose tokens are simply there, against the real provider, which rotates refresh tokens."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from e2e import driver
from e2e.clients import JWT_RESOURCES, REDIRECT_URI
from e2e.library import Library, signing_key
from py_identity_model import (
    FileToken,
    HTTPClient,
    LoginRequest,
    LoginRequired,
    OAuthClient,
    PyIdentityModelException,
    RefreshTokenRequest,
    WorkloadIdentity,
    refresh_token,
)
from py_identity_model._core.client.assertions import build_client_assertion
from py_identity_model.stores import MemoryStore, SqliteStore

RESOURCE = next(iter(JWT_RESOURCES.values()))
ASKED = LoginRequest(prompt="consent")


@pytest.fixture(params=["sync", "asyncio", "trio"])
def library(request: pytest.FixtureRequest, provider: driver.Provider) -> Library:
    """The library in each of its ways."""
    return Library(request.param, provider)


class User:
    """A client of the library in each of its ways, with an HTTP client that trusts the provider."""

    def __init__(self, library: Library, name: str, store: Any = None, **options: Any) -> None:
        self.library = library
        registered = library.provider.clients[name]
        self.known = library.login_client(registered, scope="openid profile offline_access", **options)
        self.store = store or MemoryStore()

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Call a verb and wait for its result."""
        door: Any = blocking if self.library.way == "sync" else awaitable

        def ask(*, http_client: Any) -> Any:
            client = door.OAuthClient(self.known, store=self.store, http_client=http_client)
            return getattr(client, verb)(*args, **kwargs)

        async def ask_and_wait(*, http_client: Any) -> Any:
            return await ask(http_client=http_client)

        return self.library.drive(ask if self.library.way == "sync" else ask_and_wait)

    def log_in(self) -> Any:
        """Log in, the user clicking through."""
        start = self.call("begin_login", ASKED)
        start.raise_for_error()
        returned = self.library.provider.follow_login(start.url, REDIRECT_URI)
        login = self.call("complete_login", returned.url, start.transaction)
        login.raise_for_error()
        return login


@pytest.mark.parametrize(
    "name",
    ["secret-basic", "public", "private-key-jwt", "par", "jar", "dpop", "dpop-public", "tls-bound", "fapi2-dpop"],
)
def test_a_login_and_what_comes_of_it(library: Library, name: str) -> None:
    """Whatever the client is registered for: it logs in, its tokens are kept, renewed, used and revoked."""
    user = User(library, name)
    login = user.log_in()
    subject = login.claims["sub"]
    token = user.call("token", subject=subject)
    assert token.access_token == login.access_token
    assert (token.token_type == "DPoP") == (user.known.dpop_key is not None)
    again = user.call("refresh", subject=subject)
    assert again.access_token != token.access_token
    assert user.call("userinfo", subject).claims["name"] == "Alice Liddell"
    assert user.call("revoke", subject=subject).is_successful
    with pytest.raises(LoginRequired):
        user.call("token", subject=subject)


def test_tokens_in_the_clients_own_name(library: Library) -> None:
    """One for each resource, kept for the next call."""
    user = User(library, "client-credentials" if "client-credentials" in library.provider.clients else "secret-basic")
    first = user.call("token", scope="api:read", resource=RESOURCE)
    assert first.scope == "api:read"
    assert user.call("token", scope="api:read", resource=RESOURCE) == first
    assert user.call("token", scope="api:write", resource=RESOURCE) != first


def test_threads_and_processes_never_lose_a_rotating_login(provider: driver.Provider, tmp_path: Path) -> None:
    """Several clients on one store, many threads each, all of which want new tokens at once: the provider, which ends a
    login whose refresh token comes twice, never sees that.
    """
    library = Library("sync", provider)
    path = str(tmp_path / "tokens.db")
    user = User(library, "public", SqliteStore(path))
    subject = user.log_in().claims["sub"]
    failures: list[BaseException] = []

    def work(client: OAuthClient) -> None:
        try:
            for _ in range(3):
                client.refresh(subject=subject)
        except BaseException as error:  # told below
            failures.append(error)

    with HTTPClient(verify=str(provider.ca_file)) as http_client:
        clients = [OAuthClient(user.known, store=SqliteStore(path), http_client=http_client) for _ in range(3)]
        threads = [threading.Thread(target=work, args=(client,)) for client in clients for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert clients[0].refresh(subject=subject).access_token


def test_a_refresh_token_that_was_stolen_ends_the_login(library: Library) -> None:
    """A refresh token that somebody else has used is no longer good for us: the user has to log in, and can."""
    user = User(library, "public")
    login = user.log_in()
    subject = login.claims["sub"]
    endpoint = library.endpoint("token_endpoint", library.provider.clients["public"])
    request = RefreshTokenRequest(endpoint, user.known.client_id, login.refresh_token)
    with HTTPClient(verify=str(library.provider.ca_file)) as http_client:
        assert refresh_token(request, http_client).is_successful
    with pytest.raises(LoginRequired) as error:
        user.call("refresh", subject=subject)
    assert error.value.code == "login_ended"
    user.log_in()
    assert user.call("refresh", subject=subject).access_token


@pytest.mark.parametrize("kind", ["file", "function", "text"])
def test_a_token_that_somebody_else_keeps_authenticates_a_client(library: Library, tmp_path: Path, kind: str) -> None:
    """The provider takes each assertion once, so every request has to bring the newest one of its source."""
    registered = library.provider.clients["private-key-jwt"]
    key, path = signing_key(registered, "RS256"), tmp_path / "token"

    def renew() -> str:
        made = build_client_assertion(key, registered.client_id, library.issuer_of(registered), time.time(), typ="JWT")
        path.write_text(made, encoding="utf-8")
        path.chmod(0o600)
        return made

    async def waiting() -> str:
        return renew()

    function: Any = renew if library.way == "sync" else waiting
    source: Any = {"file": FileToken(path), "function": function, "text": renew()}[kind]
    user = User(library, "private-key-jwt", private_key_jwt=None, client_assertion=source)
    first = user.call("client_credentials")
    if kind == "text":
        with pytest.raises(PyIdentityModelException):  # it was used up
            user.call("client_credentials", scope="api:read", resource=RESOURCE)
        return
    renew()
    assert user.call("client_credentials", scope="api:read", resource=RESOURCE).access_token != first.access_token


@pytest.mark.parametrize("grant", ["jwt_bearer", "token_exchange"])
def test_a_platforms_token_is_a_grant_or_is_exchanged(library: Library, tmp_path: Path, grant: Any) -> None:
    """The provider takes each once; who renews the file gets a token for it, and who does not is told."""
    registered = library.provider.clients["platform"]
    key, path = signing_key(registered, "RS256"), tmp_path / "token"

    def renew(audience: str) -> None:
        made = build_client_assertion(key, "the platform", audience, time.time(), typ="JWT")
        path.write_text(made, encoding="utf-8")
        path.chmod(0o600)

    user = User(library, "platform")
    identity, issuer = WorkloadIdentity(FileToken(path), grant), library.issuer_of(registered)
    tokens = set()
    for _ in range(2):
        renew(issuer)
        tokens.add(user.call("token", identity=identity).access_token)
    assert len(tokens) == 2
    for audience in (None, "https://other.example.com"):
        if audience is not None:
            renew(audience)
        with pytest.raises(PyIdentityModelException) as error:
            user.call("token", identity=identity)
        assert "invalid_grant" in str(error.value.__cause__ or error.value)
