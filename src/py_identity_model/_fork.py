"""What happens in a child process right after a fork; nothing on systems that do not fork."""

from __future__ import annotations

import os
from collections.abc import Callable

from ._core.base import fork_lock


def register_after_fork(callback: Callable[[], None]) -> None:
    """Call *callback* in every child process right after a fork, on systems that fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=callback)


# The core knows what it has to forget, and leaves the asking to others.
register_after_fork(fork_lock.after_fork)


__all__ = ["register_after_fork"]
