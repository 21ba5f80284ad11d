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


__all__ = ["package"]
