"""Work in parts over a few threads, which end no later than the call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any


def spread(work: Callable[[Any], Any], parts: Sequence[Any], threads: int) -> list[Any]:
    """Return what *work* makes of each part, done by this thread and up to ``threads - 1`` others.

    The others end no later than this call does. What *work* raises is raised here.
    """
    results: list[Any] = [None] * len(parts)
    waiting = deque(enumerate(parts))
    raised: list[BaseException] = []

    def labour() -> None:
        while waiting:
            try:
                at, part = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                results[at] = work(part)
            except BaseException as error:  # whatever it is, it is raised where the others are waited for
                raised.append(error)
                waiting.clear()

    helpers = [threading.Thread(target=labour, daemon=True) for _ in range(min(threads, len(parts)) - 1)]
    for helper in helpers:
        helper.start()
    try:
        labour()
    finally:
        waiting.clear()  # an interrupt of this thread ends the others' work too
        for helper in helpers:
            helper.join()
    if raised:
        raise raised[0]
    return results


__all__ = ["spread"]
