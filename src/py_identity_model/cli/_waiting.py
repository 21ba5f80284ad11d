"""A word to somebody who waits: what takes long says that it goes on, to a terminal and to nobody else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

#: Seconds before the first word, and between two further ones.
FIRST, AGAIN = 2.0, 10.0
#: Set while it is the user who is waited for.
_held = threading.Event()


@contextmanager
def held() -> Iterator[None]:
    """Say nothing while the user is asked for something."""
    _held.set()
    try:
        yield
    finally:
        _held.clear()


@contextmanager
def waiting(wanted: bool = True) -> Iterator[None]:
    """Say on standard error that an answer is waited for, while it is.

    Args:
        wanted: Whether this is about a command that waits for others.
    """
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_speak, args=(done,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _speak(done: threading.Event) -> None:
    waited, pause = 0.0, FIRST
    while not done.wait(pause):
        if _held.is_set():
            continue
        waited += pause
        typer.echo(f"waiting for an answer, {waited:.0f} s; Ctrl-C gives up", err=True)
        pause = AGAIN
