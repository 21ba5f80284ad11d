"""Examinations: what is found at providers, APIs and MCP servers, and that examining is safe."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from apis import ISSUER, Api
from doctor_world import API, Site, provider, resource
from misconfigured_servers import SERVERS, Server
from odd_servers import ODD, Odd
from py_identity_model import Examination
from py_identity_model._core.doctor.catalogue import CATALOGUE


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
def test_names_a_fault(api: Api, odd: Odd) -> None:
    """Each fault is named, with what mends it, why it matters, and the section that says so."""
    found = examine(api, odd.url, odd.site(), **odd.options)
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
    every = {check.code for checks in CATALOGUE.values() for check in checks}
    offered = {"client_authentication", "introspection", "revocation", "mtls", "logout", "registration"}
    assert every - spoken == offered | {"client_id_documents", "tls_version", "tls_certificate"}
