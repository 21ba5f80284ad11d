"""Which event loop runs here: one of asyncio, or a run of trio."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .._core.base import transport
from .._offload import of_loaded


def running_trio() -> Any:
    """Return the module trio if the caller runs in it."""
    in_trio_run = of_loaded("trio.lowlevel", "in_trio_run")
    return sys.modules["trio"] if in_trio_run is not None and in_trio_run() else None


def running_loop() -> Any:
    """Return what stands for the running loop: an asyncio loop, or the token of a trio run."""
    trio = running_trio()
    if trio:
        return trio.lowlevel.current_trio_token()
    import asyncio  # not at the top: it loads ssl

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise transport.loopless() from None


def call_into_loop() -> Callable[[Callable[[], None]], object]:
    """Return a function that has another function called in this loop, from any thread."""
    loop = running_loop()
    call: Callable[[Callable[[], None]], object] = getattr(loop, "run_sync_soon", None) or loop.call_soon_threadsafe
    return call


__all__ = ["call_into_loop", "running_loop", "running_trio"]
