"""Values of any kind as text, even those that Python itself does not write."""

from __future__ import annotations


def written(value: object) -> str:
    """Return the ``repr`` of *value*, or its type where there is none.

    >>> written(10**5000)
    '<int that cannot be shown>'
    """
    try:
        return repr(value)
    except Exception:  # a number of thousands of digits, a list deeper than the stack, a repr that is the caller's own
        return f"<{type(value).__name__} that cannot be shown>"


__all__ = ["written"]
