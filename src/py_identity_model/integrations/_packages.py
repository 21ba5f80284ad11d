"""Packages that only one integration wants: imported when it is used, and named if they are not there."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..exceptions import ConfigurationException


def package(name: str, extra: str) -> ModuleType:
    """Return the module *name* of an optional package.

    Args:
        name: The module.
        extra: The extra of this library that brings it.

    Raises:
        ConfigurationException: It is not installed; the code is ``extra_missing``, and the hint the line to type.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigurationException(
            f"The integration needs {name.partition('.')[0]}",
            code="extra_missing",
            expected=name.partition(".")[0],
            hint=f"pip install 'py-identity-model[{extra}]'",
        ) from None


class FrameworkMissingError(ConfigurationException, ImportError):
    """A module of this package was imported, and the framework that it is for is not installed."""

    code = "extra_missing"


def framework_missing(name: str, install: str) -> FrameworkMissingError:
    """Return what the import of a door raises where its framework is not installed.

    Args:
        name: The framework.
        install: What to type after ``pip install``.
    """
    return FrameworkMissingError(
        f"This module is for {name}, which is not installed", expected=name, hint=f"pip install {install}"
    )


__all__ = ["FrameworkMissingError", "framework_missing", "package"]
