"""The performance guide that users' programs were written after: its blocks run as written and do what they show."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import certifi
import fastapi
import flask
import httpx
import prometheus_client
import pytest
from fastapi.security import OAuth2PasswordBearer
from fastapi.testclient import TestClient

import py_identity_model
import snippets
from parts import GUIDE
from py_identity_model import aio
from py_identity_model._core.base.flow import Request
from py_identity_model.aio._clients import close_async_http_client
from py_identity_model.sync import _discovery as blocking
from py_identity_model.sync._clients import close_http_client

#: What the guide leaves open, and what stands there in these tests.
ELLIPSIS, ISSUER = "https://...", "https://id.example.com"

#: Words of the guide's own thread-local client.
THREAD_LOCAL = "# Thread-local storage for sync HTTP client"

#: Framework hooks of the guide that newer versions took away, by the words of the block that uses them.
GONE = {
    "@app.before_first_request": (
        not hasattr(flask.Flask, "before_first_request"),
        "Flask 2.3 removed before_first_request",
    ),
    "@app.on_event": (not hasattr(fastapi.FastAPI, "on_event"), "this FastAPI has no on_event any more"),
}

needs_guide = pytest.mark.needs("published guide")
BLOCKS = snippets.python_blocks(GUIDE) if GUIDE.exists() else []
#: What newer versions of a framework took away is no part that could be got; test_every_block_runs_as_written names it.
has_on_event = pytest.mark.skipif(GONE["@app.on_event"][0], reason=GONE["@app.on_event"][1])


def gone(block: snippets.Block) -> str | None:
    """Return why a block cannot run with the installed frameworks, if it cannot."""
    return next((reason for words, (is_gone, reason) in GONE.items() if words in block.code and is_gone), None)


def block_with(words: str) -> snippets.Block:
    """Return the block of the guide that holds *words*."""
    return next(block for block in BLOCKS if words in block.code)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[snippets.World]:
    """Providers behind the addresses of the guide; what a block changes in the process is undone."""
    monkeypatch.delenv("HTTP_TIMEOUT", raising=False)
    for variable in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(prometheus_client.registry.REGISTRY, "_collector_to_names", {})
    monkeypatch.setattr(prometheus_client.registry.REGISTRY, "_names_to_collectors", {})
    world = snippets.World(monkeypatch, ISSUER)
    yield world
    os.environ.pop("HTTP_TIMEOUT", None)  # a block sets it; monkeypatch would bring that value back
    world.forget()


def names(world: snippets.World) -> dict[str, Any]:
    """Return the names the guide takes for granted."""
    tokens = [world.provider.mint(audience="api") for _ in range(5)]
    exported = {name: getattr(py_identity_model, name) for name in py_identity_model.__all__}
    return {
        **exported,
        **{f"token{number}": token for number, token in enumerate(tokens, 1)},
        "DISCO_ADDRESS": ISSUER,
        "app": fastapi.FastAPI(),
        "asyncio": asyncio,
        "config": py_identity_model.TokenValidationConfig(perform_disco=True, audience="api"),
        "disco_address": ISSUER,
        "get_ssl_verify": py_identity_model.ssl_config.get_ssl_verify,
        "httpx": httpx,
        "oauth2_scheme": OAuth2PasswordBearer(tokenUrl="token"),
        "threading": threading,
        "timeout": 30.0,
        "token": tokens[0],
        "tokens": tokens,
        "validate_token": snippets.validate_token,
    }


def run(world: snippets.World, block: snippets.Block, **more: Any) -> dict[str, Any]:
    """Run a block with the names of the guide."""
    return world.run(block, {**names(world), **more})


def awaited(call: Callable[[], Any]) -> Any:
    """Run a coroutine of a block in a loop of its own."""

    async def body() -> Any:
        try:
            return await call()
        finally:
            await close_async_http_client()

    return asyncio.run(body())


@needs_guide
@pytest.mark.filterwarnings(r"ignore:\s*on_event is deprecated:DeprecationWarning")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.label)
def test_every_block_runs_as_written(block: snippets.Block, world: snippets.World) -> None:
    """A block of the guide runs with the names it takes for granted, or uses a framework hook that was removed."""
    if reason := gone(block):
        with pytest.raises(AttributeError):
            run(world, block)
        assert reason
        return
    # The guide speaks to a program at work: its statistics divide by what was looked up before.
    given = names(world)
    py_identity_model.validate_token(given["token"], given["config"], ISSUER)
    run(world, block)


@needs_guide
def test_only_removed_hooks_are_excused() -> None:
    """At most the three blocks with framework hooks are excused, and none of them for another reason."""
    excused = [block for block in BLOCKS if gone(block)]
    assert len(BLOCKS) == 22
    assert all("@app.before_first_request" in block.code or "@app.on_event" in block.code for block in excused)
    assert len(excused) <= 3


# ---- and does what it shows


@needs_guide
def test_separate_caches(world: snippets.World, capsys: pytest.CaptureFixture[str]) -> None:
    """The second call answers from the cache, the async side fetches once for itself, and the statistics say so."""
    sync, side = blocking._get_disco_response, aio._discovery._get_disco_response
    before, before_side = sync.cache_info(), side.cache_info()
    block = block_with("# Async call - fetches from network again")
    space = run(world, replace(block, code=block.code.replace(ELLIPSIS, ISSUER)))
    assert space["disco"].is_successful
    after, after_side = sync.cache_info(), side.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 1)
    assert (after_side.hits - before_side.hits, after_side.misses - before_side.misses) == (1, 1)
    run(world, block_with("# Get cache statistics"))
    assert f"Hits: {after.hits}" in capsys.readouterr().out
    run(world, block_with("# Clear discovery document cache"))
    assert sync.cache_info().currsize == 0
    run(world, block_with("# Clear async discovery document cache"))
    assert side.cache_info().currsize == 0


@needs_guide
def test_concurrent_validations(world: snippets.World) -> None:
    """Five tokens validate one after the other and gathered, and all give their claims."""
    space = run(world, block_with("# Sequential sync validation"))
    assert [claims["sub"] for claims in space["results"]] == [space["claims"]["sub"]] * 5
    assert len(run(world, block_with("return_exceptions=True  # Don't fail"))["results"]) == 5
    assert len(run(world, block_with("results.append(claims)"), results=[])["results"]) == 5


@needs_guide
def test_validators_of_requests(world: snippets.World) -> None:
    """The "good" and the "best" request validators of the guide return claims."""
    good = run(world, block_with("# Uses cached discovery"))
    assert good["validate_every_request"](good["token"])["aud"] == "api"
    best = run(world, block_with("# This handles all caching automatically"))
    assert best["validate_request"](best["token"])["aud"] == "api"
    bad = run(world, block_with("# This fetches discovery doc every time!"))
    assert bad["validate_every_request"](bad["token"]) is None


@needs_guide
def test_client_recipes(world: snippets.World) -> None:
    """The guide's own clients work, and so does a discovery response fetched with one of them."""
    with run(world, block_with(THREAD_LOCAL))["get_http_client"]() as client:
        assert isinstance(client, httpx.Client)
    custom = run(world, block_with("custom_discovery_fetch"))["custom_discovery_fetch"]
    response = asyncio.run(custom(f"{ISSUER}/.well-known/openid-configuration"))
    assert response.is_successful
    assert response.issuer == ISSUER


@needs_guide
def test_client_recipe_with_a_bundle(world: snippets.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a CA bundle in the environment the guide's client trusts that one; httpx says that paths are out of fashion.

    Our own recipe hands over an SSL context and hears nothing of the kind.
    """
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    block = block_with(THREAD_LOCAL)
    with pytest.warns(DeprecationWarning, match="verify=<str>"):
        client = run(world, block)["get_http_client"]()
    client.close()
    world.run(page_block("verify=ssl.create_default_context", "performance.md"))


@needs_guide
def test_batches(world: snippets.World) -> None:
    """A batch gives one result per token, exceptions in place of claims for the bad ones."""
    space = run(world, block_with("validate_tokens_batched"), validate_token=aio.validate_token)
    results = awaited(lambda: space["validate_tokens_batched"]([*space["tokens"], "not.a.token"], batch_size=50))
    assert [isinstance(each, dict) for each in results] == [True] * 5 + [False]


@needs_guide
@has_on_event
def test_warm_up(world: snippets.World, capsys: pytest.CaptureFixture[str]) -> None:
    """The guide's warm-up really warms: a validation afterwards sends no second discovery request."""
    block = block_with("async def warmup_cache")
    with pytest.warns(DeprecationWarning, match="on_event"):
        space = run(world, block)
    awaited(space["warmup_cache"])
    assert "Cache warmed up" in capsys.readouterr().out
    misses = aio._discovery._get_disco_response.cache_info().misses
    awaited(lambda: aio.validate_token(space["token"], space["config"], ISSUER))
    assert aio._discovery._get_disco_response.cache_info().misses == misses


@needs_guide
@has_on_event
def test_fastapi_application(world: snippets.World) -> None:
    """The guide's FastAPI application serves a good token and refuses a bad one."""
    block = block_with("from fastapi import FastAPI, Depends, HTTPException")
    with pytest.warns(DeprecationWarning, match="on_event"):
        space = run(world, block)
    with TestClient(space["app"]) as client:
        good = client.get("/api/data", headers={"Authorization": f"Bearer {space['token']}"})
        bad = client.get("/api/data", headers={"Authorization": "Bearer not.a.token"})
    assert (good.status_code, bad.status_code) == (200, 401)
    assert good.json()["data"] == "protected"


@needs_guide
def test_logged_statistics(world: snippets.World, caplog: pytest.LogCaptureFixture) -> None:
    """The guide's log line shows the counters of the discovery cache."""
    space = run(world, block_with("def log_cache_stats"))
    with caplog.at_level(logging.INFO):
        space["log_cache_stats"]()
    assert "Discovery cache:" in caplog.text
    assert "/128 entries" in caplog.text


@needs_guide
def test_prometheus_metrics(world: snippets.World) -> None:
    """The guide's metrics count successes, expired tokens and other refusals apart."""
    space = run(world, block_with("async def validate_with_metrics"), validate_token=aio.validate_token)
    validate = space["validate_with_metrics"]
    awaited(lambda: validate(space["token"]))
    with pytest.raises(py_identity_model.TokenExpiredException):
        awaited(lambda: validate(world.provider.mint(audience="api", expires_in=-60)))
    with pytest.raises(py_identity_model.TokenValidationException):
        awaited(lambda: validate("not.a.token"))
    counted = {
        s.labels["result"]: s.value
        for m in space["validation_total"].collect()
        for s in m.samples
        if s.name.endswith("_total")
    }
    assert counted == {"success": 1, "expired": 1, "error": 1}


# ---- today's form of the removed hooks


def page_block(words: str, name: str) -> snippets.Block:
    """Return the block of a page of ours that holds *words*."""
    page = snippets.ROOT / "docs" / name
    return next(block for block in snippets.python_blocks(page) if words in block.code)


def test_login_today(world: snippets.World) -> None:
    """The login of our page brings the user back signed in, once, and to the browser that began it alone."""
    app = world.run(page_block("complete_login(", "login.md"))["app"]
    browser, other = app.test_client(), app.test_client()

    def to_the_provider_and_back() -> str:
        answer = world.provider.handle(Request("GET", browser.get("/login").location))
        back = urlsplit(answer.header("location") or "")
        return f"{back.path}?{back.query}"

    assert other.get(to_the_provider_and_back()).status_code == 400
    path = to_the_provider_and_back()
    assert browser.get(path).location == "/account"
    with browser.session_transaction() as session:
        assert session["user"] == [ISSUER, world.provider.subject]
    assert browser.get(path).status_code == 400
    close_http_client()
