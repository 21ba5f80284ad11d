"""OpenID Connect and OAuth 2 for Python: token validation at the speed of the cryptography, sync and async.

The names here are those of :mod:`py_identity_model.sync`; :mod:`py_identity_model.aio` has the same, to be awaited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy

if TYPE_CHECKING:
    from .sync import *  # noqa: F403

if not TYPE_CHECKING:  # a type checker would take any name for there
    __all__, __getattr__, __dir__ = lazy(globals())
