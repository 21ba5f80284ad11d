"""Examinations: what is found at providers, APIs and MCP servers, and that examining is safe."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from apis import ISSUER, Api
from doctor_world import API, Site, provider, resource
from misconfigured_servers import SERVERS, Server
from py_identity_model import Examination


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
