"""Which paths need no token."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._refusals import must_be

#: What an application may resolve to another path, by decoding it once more too: it is not below this one.
_MOVES = re.compile(r"//|/\./|/\.\Z|\.\.|\\|%(?:2e|2f|5c|25)|[\x00-\x1f\x7f]", re.IGNORECASE)
_ENCODED_SLASH = re.compile(r"%(?:2f|5c)", re.IGNORECASE)


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
        return path in self._exact or (path.startswith(self._below) and _MOVES.search(path) is None)

    def frees(self, path: str, sent: str) -> bool:
        """Tell whether a path needs no token, decoded as *path* and *sent* by the client in this form."""
        # An application may take an encoded slash for a part of a name, where the decoded path has it between two.
        return path in self and _ENCODED_SLASH.search(sent) is None


__all__ = ["Paths"]
