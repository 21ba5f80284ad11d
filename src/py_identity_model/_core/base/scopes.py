"""Scopes as an application may write them: words parted by spaces, or a list of words (RFC 6749 3.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from ...exceptions import ConfigurationException

#: What a request takes as its scope.
Scopes: TypeAlias = str | Sequence[str]

# RFC 6749 3.3: 1*( %x21 / %x23-5B / %x5D-7E )
_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")


def is_scope(word: object) -> bool:
    """Tell whether *word* is one scope."""
    return isinstance(word, str) and _WORD.match(word) is not None


def scope_text(scope: Scopes) -> str:
    """Return scopes as one text; text stays as it is.

    Raises:
        ConfigurationException: A list is empty, or one of its members is no scope; the code is ``parameter_invalid``.

    >>> scope_text(["openid", "email"])
    'openid email'
    """
    if isinstance(scope, str):
        return scope
    words = list(scope) if isinstance(scope, Iterable) and not isinstance(scope, bytes | dict) else []
    if not words or not all(map(is_scope, words)):
        raise ConfigurationException(
            "scope must be text, or a list of scopes without spaces that is not empty",
            code="parameter_invalid",
            claim="scope",
            expected="'openid email' or ['openid', 'email']",
        )
    return " ".join(sorted(words) if isinstance(scope, set | frozenset) else words)


def optional_scope(scope: Scopes | None) -> str | None:
    """Do the same for a scope that need not be there."""
    return None if scope is None else scope_text(scope)


__all__ = ["Scopes", "is_scope", "optional_scope", "scope_text"]
