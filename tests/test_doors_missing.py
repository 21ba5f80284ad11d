"""A door whose framework is not installed says what to type."""

from __future__ import annotations

import importlib
import sys

import pytest

from py_identity_model.exceptions import ConfigurationException

DOORS = [
    ("starlette", "starlette.authentication", "starlette"),
    ("litestar", "litestar", "litestar"),
    ("quart", "quart", "quart"),
    ("aiohttp", "aiohttp", "aiohttp"),
    ("grpc", "grpc", "grpcio"),
    ("flask_login", "flask", "flask"),
    ("django_login", "django.urls", "django"),
]


@pytest.mark.parametrize(("door", "module", "install"), DOORS)
def test_a_missing_framework_gives_its_install_line(
    door: str, module: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an ImportError too, so that programs that try it go on."""
    name = f"py_identity_model.integrations.{door}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as failed:
        importlib.import_module(name)
    assert isinstance(failed.value, ConfigurationException)
    assert (failed.value.code, failed.value.hint) == ("extra_missing", f"pip install {install}")
