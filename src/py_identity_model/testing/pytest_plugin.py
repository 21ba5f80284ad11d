"""Fixtures for pytest.

Switch them on in ``conftest.py``: ``pytest_plugins = ["py_identity_model.testing.pytest_plugin"]``. They are no entry
point on purpose: installing a library should not change a test run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ._provider import EmbeddedProvider
from ._server import Running


@pytest.fixture
def embedded_provider() -> EmbeddedProvider:
    """A fresh provider in the process, at https://id.example.com; no port is opened."""
    return EmbeddedProvider()


@pytest.fixture
def embedded_provider_server(embedded_provider: EmbeddedProvider) -> Iterator[Running]:
    """The provider of ``embedded_provider``, listening on 127.0.0.1; ``.issuer`` says where."""
    with embedded_provider.serve() as running:
        yield running


__all__ = ["embedded_provider", "embedded_provider_server"]
