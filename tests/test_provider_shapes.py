"""The pages of ``docs/providers``: their settings accept the tokens that they show, and mistakes are named."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

import py_identity_model
import snippets
from provider_shapes import FOR_OTHER_SETTINGS, PAGES, SITES, Mistake, Token, login_token, mistakes_of, tokens_of
from py_identity_model import InboundRequest, WebRequest, aio, explain
from py_identity_model.exceptions import PyIdentityModelException

NAMES = sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "index")
SYNC, AIO = "from py_identity_model import", "from py_identity_model.aio import"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[snippets.World]:
    """The providers of all pages behind their addresses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("pages"))
        world = snippets.World(patch, "https://id.example.com")
        yield world
        world.forget()


def blocks(page: str, word: str) -> list[snippets.Block]:
    """Return the blocks of a page that hold a word."""
    return [block for block in snippets.python_blocks(PAGES / f"{page}.md") if word in block.code]


def settings(page: str) -> list[snippets.Block]:
    """Return the blocks that show the settings of an API."""
    return blocks(page, "ResourceServer(")


def id_tokens(page: str) -> list[Token]:
    """Return the ID tokens that a page shows."""
    return [token for token in tokens_of(page) if token.is_id_token]


def is_for_an_api(token: Token) -> bool:
    """Tell whether a token of a page is for its API: an access token, or an ID token where there is nothing else."""
    return not token.is_id_token or (
        not token.is_of_a_login and any('kind="id_token"' in block.code for block in settings(token.page))
    )


ACCESS = [token for page in NAMES for token in tokens_of(page) if is_for_an_api(token)]
PAIRS = [(page, mistake) for page in NAMES for mistake in mistakes_of(page)]


def named(page: str, mistake: Mistake) -> str:
    """Return how a mistake is called in a report."""
    return f"{page}-{mistake.cause}"


def request_with(token: str, api: Any) -> InboundRequest:
    """Return a request to the API, with the token where it is looked for."""
    name = api.gate.token_header
    header = ("authorization", f"Bearer {token}") if name is None else (name, token)
    return InboundRequest("GET", "https://api.example.com/orders", (header,))


@pytest.mark.parametrize("door", ["sync", "aio"])
@pytest.mark.parametrize("token", ACCESS, ids=lambda token: f"{token.page}-{token.title}")
def test_the_settings_of_a_page_accept_its_tokens(world: snippets.World, token: Token, door: str) -> None:
    """A token of the shape that a page shows is let in by the settings that the page shows, over either API."""
    block = settings(token.page)[FOR_OTHER_SETTINGS.get((token.page, token.title), 0)]
    code = block.code.replace(SYNC, AIO) if door == "aio" else block.code
    space = world.run(replace(block, code=code))
    decided = space["api"].decide(request_with(token.signed(), space["api"]), space["requirement"])
    principal = asyncio.run(closing(decided)) if door == "aio" else decided
    assert isinstance(principal, py_identity_model.AuthenticatedPrincipal), principal
    assert principal.claims["iss"] == token.payload["iss"]


async def closing(decided: Any) -> Any:
    """Wait for a decision, and close the client of this loop."""
    try:
        return await decided
    finally:
        await aio.close_async_http_client()


@pytest.mark.parametrize(("page", "mistake"), PAIRS, ids=[named(*pair) for pair in PAIRS])
def test_a_mistake_is_refused_and_its_remedy_named(world: snippets.World, page: str, mistake: Mistake) -> None:
    """What is usually done wrong with a provider is refused, and explain names what it is and what to do."""
    block = settings(page)[mistake.block]
    if mistake.edit is not None:
        assert mistake.edit[0] in block.code
        block = replace(block, code=block.code.replace(*mistake.edit))
    space = world.run(block)
    tokens = {token.title: token for token in tokens_of(page)}
    token = tokens[mistake.title] if mistake.title else tokens_of(page)[0]
    claims = dict(mistake.claims)
    if mistake.late is not None:
        claims["exp"] = int(time.time()) - mistake.late
        claims["iat"] = claims["exp"] - 3600
    sent = mistake.shape.format(token.signed(claims, mistake.header, foreign=mistake.foreign))
    found = explain(sent, space["validator"], requirement=space["requirement"])
    assert not found.accepted
    remedies = {remedy.cause: remedy.text for remedy in found.remedies}
    assert mistake.cause in remedies, str(found)
    assert mistake.words in remedies[mistake.cause]


@pytest.mark.parametrize("page", NAMES)
def test_a_page_tells_the_mistakes(page: str) -> None:
    """The table of mistakes on a page has those that are tested, three at least, and no other."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    table = text.partition("## What goes wrong")[2]
    told = re.findall(r"^\|.*?\| `([a-z0-9_]+)` \|", table, re.MULTILINE)
    assert sorted(set(told)) == sorted({mistake.cause for mistake in mistakes_of(page)})
    assert len(told) >= 3


@pytest.mark.parametrize("page", NAMES)
def test_a_page_says_what_was_run(page: str) -> None:
    """Each page says whether it was run against the real program, and the overview has a row for it."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\*\*(Run against|Not run against) ", text, re.MULTILINE)) == 1
    assert f"({page}.md)" in (PAGES / "index.md").read_text(encoding="utf-8")


LOGINS = [page for page in NAMES if blocks(page, "WebLogin(")]
MACHINES = [page for page in NAMES if blocks(page, ".auth(")]


def test_every_login_shows_its_id_token() -> None:
    """A page that logs people in shows the ID token that comes."""
    assert [page for page in LOGINS if not id_tokens(page)] == []


@pytest.mark.parametrize("page", LOGINS)
def test_the_login_of_a_page_leads_to_a_session(world: snippets.World, page: str) -> None:
    """From the login of a page to the provider and back, with an ID token of its shape, into a session."""
    site = next(site for site in SITES if site.page == page)
    login = world.run(blocks(page, "WebLogin(")[0])["login"]
    begun = login.answer(WebRequest("GET", "/login", headers=(("accept", "text/html"),)))
    assert begun.location is not None, begun.body
    assert begun.location.startswith(f"{site.authorize}?")
    sent = {name: values[0] for name, values in parse_qs(urlsplit(begun.location).query).items()}
    world.everyone.nonce = sent["nonce"]
    done = login.answer(came_back(sent, begun, next(iter(site.issuers.values()))))
    assert (done.status, done.location) == (303, "/"), done.body
    session = login.session(WebRequest("GET", "/", headers=(("cookie", cookies(done)),)))
    payload = login_token(page).payload
    assert (session.issuer, session.subject) == (payload["iss"], payload["sub"])


def came_back(sent: dict[str, str], begun: Any, metadata: Any) -> WebRequest:
    """Return the request with which the browser comes back from the provider."""
    answer = {"code": "a-code", "state": sent["state"]}
    if metadata.get("authorization_response_iss_parameter_supported"):
        answer["iss"] = metadata["issuer"]
    cookie = ("cookie", cookies(begun))
    path = urlsplit(sent["redirect_uri"]).path
    if sent.get("response_mode") != "form_post":
        return WebRequest("GET", path, urlencode(answer), (cookie,))
    form = ("content-type", "application/x-www-form-urlencoded")
    return WebRequest("POST", path, "", (cookie, form), urlencode(answer).encode())


def cookies(answer: Any) -> str:
    """Return the cookies that an answer sets, as the browser sends them."""
    return "; ".join(value.partition(";")[0] for name, value in answer.headers if name == "set-cookie")


@pytest.mark.parametrize("page", MACHINES)
def test_the_service_of_a_page_gets_its_token(world: snippets.World, page: str) -> None:
    """The program for a service gets a token of its own, and the API is asked with it."""
    world.everyone.asked.clear()
    space = world.run(blocks(page, ".auth(")[0])
    assert space["answer"].status_code == 200
    assert [form["grant_type"] for form in world.everyone.asked] == ["client_credentials"]


def test_a_shape_that_is_not_the_pages_is_seen(world: snippets.World) -> None:
    """These tests can fail: a token for another API is refused by the settings of a page."""
    space = world.run(settings("keycloak")[0])
    token = next(token for token in ACCESS if token.page == "keycloak")
    with pytest.raises(PyIdentityModelException, match="another-api"):
        space["validator"].validate(token.signed({"aud": "another-api"}))


def test_every_site_has_a_page() -> None:
    """No provider is served that has no page."""
    assert {site.page for site in SITES} <= set(NAMES)
    assert Path(PAGES / "index.md").exists()
