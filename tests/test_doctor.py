"""Examinations: what is found at providers, APIs and MCP servers, and that examining is safe."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from apis import ISSUER, Api
from doctor_world import API, Site, provider, resource
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
