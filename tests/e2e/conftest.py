"""The end-to-end suite: the library against npm oidc-provider, started once for the session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import driver

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of this directory."""
    config.addinivalue_line("markers", "e2e: runs against a real OpenID provider; needs node and npm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[driver.Provider]:
    """Start the real provider for the session; in CI its absence fails, elsewhere it skips."""
    try:
        driver.install()
        running = driver.Provider(tmp_path_factory.mktemp("provider"))
    except driver.ProviderUnavailableError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the end-to-end suite cannot run: {reason}", pytrace=False)
        pytest.skip(f"the end-to-end suite cannot run: {reason}")
    try:
        yield running
    finally:
        running.close()
