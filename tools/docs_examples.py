"""An extension of griffe: docstrings are written for terminals, and the site shows them as Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

# A doctest: from its first prompt to the next blank line.
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).+)*", re.MULTILINE)
# :class:`~a.b.Name` and its like.
_ROLE = re.compile(r":(?:class|func|meth|mod|data|exc):`~?([^`]+)`")


def to_markdown(text: str) -> str:
    """Fence the examples of a docstring, and show roles as plain code."""
    fenced = _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
    return _ROLE.sub(r"`\1`", fenced)


class Examples(griffe.Extension):
    """Apply :func:`to_markdown` to every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
