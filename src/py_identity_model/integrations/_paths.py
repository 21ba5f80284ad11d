"""Which paths need no token."""

from __future__ import annotations

from collections.abc import Iterable

from .._refusals import must_be


class Paths:
    """Paths that need no token.

    >>> "/public/a" in Paths(["/public/*"]), "/public/../orders" in Paths(["/public/*"]), "/docs/" in Paths(["/docs"])
    (True, False, False)
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take paths, and ``/below/*`` for all paths below one."""
        listed = [patterns] if isinstance(patterns, str) else list(patterns)
        for pattern in listed:
            if not isinstance(pattern, str) or not pattern.startswith("/") or "*" in pattern.removesuffix("/*"):
                raise must_be("exclude", "paths such as /docs or /public/*", pattern)
        self._exact = frozenset(pattern for pattern in listed if not pattern.endswith("/*"))
        self._below = tuple(pattern[:-1] for pattern in listed if pattern.endswith("/*"))

    def __contains__(self, path: str) -> bool:
        if path in self._exact:
            return True
        # What the application may resolve to another path is not below this one.
        return path.startswith(self._below) and not {"..", ".", ""} & set(path.split("/")[1:-1]) and ".." not in path


__all__ = ["Paths"]
