"""What the site is made with: docstrings, written for terminals, as Markdown; and the API page, by rooms."""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from typing import Any

import griffe

# A doctest: from its first prompt to the next blank line.
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).+)*", re.MULTILINE)
# :class:`~a.b.Name` and its like.
_ROLE = re.compile(r":(?:class|func|meth|mod|data|exc):`~?([^`]+)`")
#: Where the API page has its list of all public names.
PLACE = "<!-- every public name -->"
#: Rooms whose names belong beside those of another.
BESIDE = dict.fromkeys(
    ("validator_setup", "validation_config", "key_sources", "cache", "cache_views"), "token_validation"
)
#: Topics that a newcomer wants first; the others follow by title.
FIRST = ("token_validation", "issuers", "claims_validators", "exceptions")
#: The arguments of a validator stand in the class that both APIs share.
SHOWN_BY = {"TokenValidator": "\n    options:\n      inherited_members: [__init__]"}


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


def title(room: str) -> str:
    """Return what a room is about: its docstring up to the first colon, bracket or full stop."""
    first = (importlib.import_module(room).__doc__ or room).splitlines()[0]
    return re.split(r"[:(.]", first.replace(", blocking", ""))[0].strip().replace("``", "`")


def reference() -> str:
    """Return a section for every room that exports something, with all that it exports."""
    doors = [importlib.import_module(f"py_identity_model.{door}") for door in ("shared", "sync")]
    listing: dict[str, str] = {room: names for door in doors for room, names in door.ROOMS.items()}
    topics: dict[str, list[str]] = defaultdict(list)
    for room in listing:
        topic = room.rpartition(".")[2]
        topics[BESIDE.get(topic, topic)].append(room)
    titles = {
        topic: title(f"py_identity_model.{next(room for room in rooms if room.endswith(topic))}")
        for topic, rooms in topics.items()
    }
    order = {topic: place for place, topic in enumerate(FIRST)}
    sections = []
    for topic in sorted(topics, key=lambda topic: (order.get(topic, len(order)), titles[topic])):
        listed = [(name, room) for room in topics[topic] for name in listing[room].split()]
        names = sorted(listed, key=lambda entry: (not entry[1].endswith(topic), entry[0]))
        entries = [f"::: py_identity_model.{room}.{name}{SHOWN_BY.get(name, '')}" for name, room in names]
        sections.append("\n\n".join([f"## {titles[topic]}", *entries]))
    return "\n\n".join(sections)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill the place in the API page; mkdocs calls this for every page."""
    return markdown.replace(PLACE, reference()) if PLACE in markdown else markdown
