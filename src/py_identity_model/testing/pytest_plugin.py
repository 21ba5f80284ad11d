"""Fixtures for pytest, there as soon as the package is installed; nothing is loaded before a test uses one.

``pytest -p no:py_identity_model.testing.pytest_plugin`` does without. Fixtures of your own ``conftest.py`` of the same
names take their place, so ``identity_provider_options`` says what the provider is made with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # whoever uses none of it does not wait for it
    from ._attack_tokens import AttackToken
    from ._clock import FrozenClock
    from ._provider import EmbeddedProvider
    from ._server import Running
    from ._token_factory import TokenFactory


@pytest.fixture
def identity_provider_options() -> dict[str, Any]:
    """Arguments of ``EmbeddedProvider``, to be overridden: ``{"issuer": "https://id.test", "audience": "api"}``."""
    return {}


@pytest.fixture
def identity_provider(request: pytest.FixtureRequest, identity_provider_options: dict[str, Any]) -> EmbeddedProvider:
    """A fresh OpenID provider in the process, at https://id.example.com; no port is opened.

    Hand ``identity_provider.transport`` to whatever takes an ``http_client``. In a test with ``frozen_clock`` that is
    its clock.
    """
    from ._provider import EmbeddedProvider

    told = dict(identity_provider_options)
    if "frozen_clock" in request.fixturenames:
        told.setdefault("clock", request.getfixturevalue("frozen_clock"))
    return EmbeddedProvider(**told)


@pytest.fixture
def identity_provider_server(identity_provider: EmbeddedProvider) -> Iterator[EmbeddedProvider]:
    """The provider of ``identity_provider``, listening on 127.0.0.1: its ``issuer`` is where, and it mints as ever."""
    with identity_provider.serve():
        yield identity_provider


@pytest.fixture
def mint_token(identity_provider: EmbeddedProvider) -> TokenFactory:
    """A function that mints tokens of ``identity_provider``: ``mint_token(subject="ada", scopes=["orders.read"])``."""
    from ._token_factory import TokenFactory

    return TokenFactory(identity_provider)


@pytest.fixture
def frozen_clock() -> Iterator[FrozenClock]:
    """A clock that this library reads, and that stands still until ``frozen_clock.advance(seconds)``."""
    from ._clock import FrozenClock

    with FrozenClock() as clock:
        yield clock


@pytest.fixture
def attack_tokens(request: pytest.FixtureRequest, identity_provider: EmbeddedProvider) -> AttackToken:
    """A token that every API must refuse; the test runs once for each of them, under its name."""
    from ._attack_tokens import AttackToken

    return AttackToken.of(identity_provider, request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that wants ``attack_tokens`` once for each."""
    if "attack_tokens" in metafunc.fixturenames and _is_ours(metafunc) and not _is_given(metafunc):
        from ._forgeries import FORGERIES

        metafunc.parametrize("attack_tokens", list(FORGERIES), indirect=True)


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    """Tell whether the fixture is the one above: a ``conftest.py`` may have another of that name."""
    defined = getattr(metafunc, "_arg2fixturedefs", {}).get("attack_tokens")
    return not defined or getattr(defined[-1].func, "__module__", __name__) == __name__


def _is_given(metafunc: pytest.Metafunc) -> bool:
    """Tell whether a test says itself which ones it wants: ``parametrize("attack_tokens", [...], indirect=True)``."""
    marks = metafunc.definition.iter_markers("parametrize")
    return any("attack_tokens" in str(mark.args[0] if mark.args else mark.kwargs.get("argnames")) for mark in marks)


# Names of earlier versions.


@pytest.fixture
def embedded_provider() -> EmbeddedProvider:
    """A fresh provider in the process, at https://id.example.com; no port is opened."""
    from ._provider import EmbeddedProvider

    return EmbeddedProvider()


@pytest.fixture
def embedded_provider_server(embedded_provider: EmbeddedProvider) -> Iterator[Running]:
    """The provider of ``embedded_provider``, listening on 127.0.0.1; ``.issuer`` says where."""
    with embedded_provider.serve() as running:
        yield running


__all__ = [
    "attack_tokens",
    "embedded_provider",
    "embedded_provider_server",
    "frozen_clock",
    "identity_provider",
    "identity_provider_options",
    "identity_provider_server",
    "mint_token",
]
