"""Examinations: what is found at providers, APIs and MCP servers, and that examining is safe."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apis import ISSUER, Api
from doctor_world import API, KEY, RSA, Site, provider, reply, resource
from misconfigured_servers import MCP, SERVERS, Server, by_token, mcp
from odd_servers import ODD, Odd
from published_metadata import PUBLISHED
from py_identity_model import Examination
from py_identity_model._core.doctor import connection, findings, keys, metadata, mistaken
from py_identity_model._core.doctor.catalogue import CATALOGUE
from py_identity_model._core.doctor.known import HABITS


def examine(api: Api, url: str, site: Any, **options: Any) -> Examination:
    """Examine by the API at hand."""
    module = importlib.import_module("py_identity_model" if api.name == "sync" else "py_identity_model.aio")
    found: Examination = api.call(module.examine, url, http_client=site, **options)
    return found


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("url", "site", "kind"),
    [(ISSUER, provider(), "provider"), (API, resource(), "api")],
    ids=["provider", "api"],
)
def test_a_good_server_passes(api: Api, url: str, site: Site, kind: str) -> None:
    """A server that is as it should be is told what it is, and nothing of it fails or is to be looked at."""
    found = examine(api, url, site)
    assert found.kind == kind
    assert found.of("fail", "warn") == (), str(found)
    assert found.verdict == "pass"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_names_cause_and_remedy_of_what_people_report(api: Api, server: Server) -> None:
    """Each server that people report is told by name what is wrong with it, with what to do."""
    found = examine(api, server.url, server.site(), **server.options)
    assert (found.kind or "") == server.kind
    named = [one for one in found.findings if server.cause in (one.cause, one.code)]
    assert named, str(found)
    assert any(server.words in one.remedy + one.seen for one in named), str(named)


def test_there_are_forty_servers_at_least() -> None:
    """The corpus holds forty misconfigured servers and more, each under a name of its own."""
    assert len({server.name for server in SERVERS}) == len(SERVERS) >= 40


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_names_a_fault(odd: Odd) -> None:
    """Each fault is named, with what mends it, why it matters, and the section that says so."""
    found = examine(Api("sync"), odd.url, odd.site(), **odd.options)
    named = [one for one in found.of("fail", "warn") if odd.cause in (one.cause, one.code)]
    assert named, str(found)
    assert all(one.remedy and one.why and one.reference and one.link.startswith("https://") for one in named)


@pytest.mark.usefixtures("clock")
def test_every_check_speaks() -> None:
    """Each check fails or warns for one of the servers, or only tells what is offered."""
    spoken: set[str] = set()
    for server in (*SERVERS, *ODD):
        found = examine(Api("sync"), server.url, server.site(), **server.options)
        spoken |= {one.code for one in found.of("fail", "warn")}
    every = {check.name for checks in CATALOGUE.values() for check in checks}
    offered = {"client_authentication", "introspection", "revocation", "mtls", "logout", "registration"}
    assert every - spoken == offered | {"client_id_documents", "tls_version", "tls_certificate"}


@pytest.mark.usefixtures("clock")
def test_an_api_that_refuses_everything_with_403_believed_no_forgery(api: Api) -> None:
    """403 for a forged token counts as believed only where whatever is wrong gets another answer."""
    found = examine(api, API, resource(API, by_token(403)), active=True)
    assert [one.verdict for one in found.findings if one.code == "forged_tokens"] == ["pass"]


KINDS = [
    (ISSUER, provider(), "provider"),
    (ISSUER + "/.well-known/oauth-authorization-server", provider(), "provider"),
    (API, resource(), "api"),
    ("https://api.example.com/.well-known/oauth-protected-resource/orders", resource(), "api"),
    ("https://api.example.com/orders?limit=1", resource(), "api"),
    (MCP, mcp()(), "mcp"),
    ("https://x.example.com/rpc", Site({"https://x.example.com/rpc": reply({"jsonrpc": "2.0"}, 405)}), "mcp"),
]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("url", "site", "kind"), KINDS, ids=[url for url, _, _ in KINDS])
def test_tells_what_an_address_is(api: Api, url: str, site: Site, kind: str) -> None:
    """Issuers, metadata, APIs and MCP servers are told apart; what is said goes before."""
    assert examine(api, url, site).kind == kind
    assert examine(api, url, site, kind="api").kind == "api"


@pytest.mark.usefixtures("clock")
def test_a_provider_of_a_resource_is_examined_too(api: Api) -> None:
    """What is wrong with the authorization server of an API is told, under its own address."""
    site = resource()
    site.pages[f"{ISSUER}/jwks"] = {"keys": [{**KEY, "d": "A" * 43}]}
    found = examine(api, API, site)
    assert [one.subject for one in found.of("fail")] == [ISSUER]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_nothing_fails_at_what_large_providers_publish(api: Api, name: str) -> None:
    """Providers that millions use are told what they might do better, and nothing of them is called broken."""
    issuer, document = PUBLISHED[name]
    found = examine(api, issuer, provider(issuer, RSA, {**RSA, "kid": "r2"}, document=document))
    assert found.of("fail") == (), str(found)
    assert next(one.cause for one in found.findings if one.code == "provider").startswith(name)


@pytest.mark.usefixtures("clock")
def test_a_provider_that_keeps_fapi_passes(api: Api) -> None:
    """What FAPI 2.0 asks of metadata passes where it is asked for; what is missing is named by its rule."""
    keeps = {
        "pushed_authorization_request_endpoint": f"{ISSUER}/par",
        "dpop_signing_alg_values_supported": ["ES256"],
    }
    found = examine(api, ISSUER, provider(**keeps), fapi=True)
    assert found.of("fail", "warn") == (), str(found)
    gaps = next(one for one in examine(api, ISSUER, provider(), fapi=True).findings if one.code == "fapi2")
    assert (gaps.verdict, "F23" in gaps.seen, "F8" in gaps.seen) == ("fail", True, True)


@pytest.mark.usefixtures("clock")
def test_a_host_that_is_not_there_is_asked_once(api: Api) -> None:
    """Where the network is the reason, no other address of the same host is tried."""
    site = Site({"https://other.example.net/": reply("")})
    assert not examine(api, ISSUER, site).answered
    assert len(site.requests) == 2
    assert not examine(api, ISSUER, site, kind="provider").answered
    assert len(site.requests) == 3


# ---------------------------------------------------------------------------------------------------------------------
# The page


PAGE = Path(__file__).parent.parent / "docs" / "doctor.md"


def test_the_page_has_every_check() -> None:
    """The tables of the page are those of the catalogue (python tools/doctor_page.py writes them)."""
    spec = importlib.util.spec_from_file_location("doctor_page", PAGE.parent.parent / "tools" / "doctor_page.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = PAGE.read_text(encoding="utf-8")
    assert tool.written(page) == page
    assert tool.written(page.replace("`key_private_members`", "")) == page


def test_the_page_has_every_cause() -> None:
    """Each cause that a check can name stands on the page."""
    page = PAGE.read_text(encoding="utf-8")
    assert [cause for cause in sorted(causes()) if f"`{cause}`" not in page] == []


def causes() -> set[str]:
    """Return every cause that stands in the code: what findings are made with, and the tables of causes."""
    found = set(HABITS) | {cause for _, cause, _ in mistaken._NO_ISSUERS} | set(metadata._STRANGE) | set(keys._WEAK)
    for path in sorted(Path(findings.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found |= set(_named(node))
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                found |= set(_words(node.value))
            if isinstance(node, ast.Assign) and "cause" in ast.unparse(node.targets[0]):
                found |= set(_words(node.value))
    return found | {cause for _, cause, _ in connection._REFUSED}


def _named(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    at = {"failed": 1, "warned": 1, "Cause": 0}.get(name)
    if at is not None and len(call.args) > at:
        yield from _words(call.args[at])


def _words(tree: ast.AST) -> Iterator[str]:
    for one in ast.walk(tree):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and re.fullmatch(r"[a-z0-9_]+", one.value):
            yield one.value


@pytest.mark.usefixtures("clock")
def test_the_page_shows_what_is_printed() -> None:
    """The example of the page is what the command prints for such a provider."""
    found = examine(Api("sync"), "https://sso.example.com/realms/shop", next(iter(SERVERS)).site())
    assert "\n".join(found._lines(brief=True)) in PAGE.read_text(encoding="utf-8")
