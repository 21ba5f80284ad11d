"""The end-to-end suite: the library against npm oidc-provider, started once for the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e import driver, pages
from parts import leave_out

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of this directory."""
    config.addinivalue_line("markers", "e2e: runs against a real OpenID provider; needs node and npm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory, and what wants the real provider."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            fixtures = getattr(item, "fixturenames", ())
            if "provider" in fixtures:
                item.add_marker(pytest.mark.needs("Node provider"))
            if "browser" in fixtures:
                item.add_marker(pytest.mark.needs("Chromium", "Playwright"))


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[driver.Provider]:
    """Start the real provider for the session."""
    try:
        driver.install()
        running = driver.Provider(tmp_path_factory.mktemp("provider"))
    except driver.ProviderUnavailableError as reason:
        leave_out("Node provider", str(reason))
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run a real browser for the tests of one module."""
    with pages.chromium() as running:
        yield running
