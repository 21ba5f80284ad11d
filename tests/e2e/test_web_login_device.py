"""A session bound to a key of the browser: a page's script plays the browser's part, with a key that cannot leave it.

Debian's Chromium 156 registers no key by itself, whatever its ``--enable-features`` say: they were
``DeviceBoundSessions:ForceEnableForTesting/true`` and ``EnableBoundSessionCredentialsSoftwareKeysForManualTesting``.
What it would send, the script sends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from doors import free_port
from e2e import pages
from e2e.clients import Certificate, create_certificates
from py_identity_model.aio import OAuthClient, WebLogin
from py_identity_model.integrations.fastapi_login import FastAPILogin
from py_identity_model.stores import MemoryStore
from py_identity_model.testing import Client, EmbeddedProvider
from redis_servers import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECRET = "a secret of this test"
#: Make a key, or show the one that there is; return the status, and what the answer says.
SHOW = """async (name) => {
    const store = globalThis.keys ??= {};
    store[name] ??= await crypto.subtle.generateKey({name: 'ECDSA', namedCurve: 'P-256'}, false, ['sign']);
    const text = (bytes) => btoa(String.fromCharCode(...bytes));
    const coded = (bytes) => text(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
    const part = (value) => coded(new TextEncoder().encode(JSON.stringify(value)));
    const asked = await fetch('/session-key', {method: 'POST'});
    const challenge = asked.headers.get('secure-session-challenge').match(/^"([^"]+)"/)[1];
    const {kty, crv, x, y} = await crypto.subtle.exportKey('jwk', store[name].publicKey);
    const header = {typ: 'dbsc+jwt', alg: 'ES256', jwk: {kty, crv, x, y}};
    const signed = `${part(header)}.${part({jti: challenge, aud: location.origin + '/session-key'})}`;
    const octets = new TextEncoder().encode(signed), how = {name: 'ECDSA', hash: 'SHA-256'};
    const signature = new Uint8Array(await crypto.subtle.sign(how, store[name].privateKey, octets));
    const proof = `${signed}.${coded(signature)}`;
    const answer = await fetch('/session-key', {method: 'POST', headers: {'Secure-Session-Response': proof}});
    return [asked.status, answer.status, await answer.json()]; }"""
WHO = "async () => (await fetch('/account', {headers: {accept: '*/*'}})).status"


@contextmanager
def served(app: FastAPI, port: int, server: Certificate) -> Iterator[None]:
    """Serve an application over https, in this process."""
    files: dict[str, Any] = {"ssl_certfile": str(server.cert_file), "ssl_keyfile": str(server.key_file)}
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", **files))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    until(lambda: running.started)
    yield
    running.should_exit = True
    thread.join(10)


def application(login: WebLogin) -> FastAPI:
    """Return an application with one page."""
    door = FastAPILogin(login)
    app, known = FastAPI(), Depends(door.session)
    app.include_router(door.routes)

    @app.get("/account", response_class=HTMLResponse)
    async def account(session: Any = known) -> str:
        return f"<!doctype html><html lang=en><title>Account</title><h1>Account of {session.subject}</h1></html>"

    return app


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An application whose sessions are bound where the browser can."""
    port, certificates = free_port(), create_certificates(tmp_path_factory.mktemp("certificates"))
    base, provider = f"https://localhost:{port}", EmbeddedProvider()
    provider.add_client(Client("app", SECRET, (f"{base}/callback",), (f"{base}/logged-out",)))
    with provider.serve():
        client = OAuthClient(provider.issuer, client_id="app", client_secret=SECRET, scope="openid")
        login = WebLogin(client, store=MemoryStore(), base_url=base, bind_to_device=True)
        with served(application(login), port, certificates.server):
            yield base


def cookies(page: Page, *names: str) -> list[Any]:
    """Return cookies of the browser."""
    return [each for each in page.context.cookies() if each.get("name") in names]


def test_a_stolen_cookie_is_worth_nothing_without_the_key(browser: Browser, site: str) -> None:
    """The key is bound once and shown again; without it, or with another, the session's cookie opens nothing."""
    with pages.visitor(browser, ignore_https_errors=True, caching=True) as page:
        page.goto(f"{site}/account")
        page.get_by_role("heading", name="Account of alice").wait_for()
        assert [each.get("secure") for each in cookies(page, "__Host-session")] == [True]
        stolen = cookies(page, "__Host-session")
        asked, shown, told = page.evaluate(SHOW, "own")
        assert (asked, shown, told["refresh_url"]) == (403, 200, "/session-key")
        assert [each.get("httpOnly") for each in cookies(page, "__Host-bound")] == [True]
        assert page.evaluate(WHO) == 200
        with pages.visitor(browser, ignore_https_errors=True, caching=True) as thief:
            thief.context.add_cookies(stolen)
            thief.goto(f"{site}/openapi.json")  # a page that asks for no login
            assert thief.evaluate(WHO) == 401
            assert thief.evaluate(SHOW, "own")[:2] == [403, 403]
        page.context.clear_cookies(name="__Host-bound")
        assert page.evaluate(WHO) == 401
        assert page.evaluate(SHOW, "another")[:2] == [403, 403]
        assert page.evaluate(SHOW, "own")[:2] == [403, 200]
        assert page.evaluate(WHO) == 200
