"""What the site is made with: docstrings, written for terminals, as Markdown; and the API page, by modules."""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from typing import Any

import griffe

from py_identity_model._lazy import homes_of

# A doctest: from its first prompt to the next blank line.
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).+)*", re.MULTILINE)
# :class:`~a.b.Name` and its like.
_ROLE = re.compile(r":(?:class|func|meth|mod|data|exc):`~?([^`]+)`")
#: Where the API page has its list of all public names.
PLACE = "<!-- every public name -->"
#: Modules whose names belong beside those of another.
BESIDE = dict.fromkeys(("_token_validator", "config", "key_sources", "single_flight", "_cache_info"), "_validation")
#: Topics that a newcomer wants first; the others follow by title.
FIRST = ("_validation", "issuers", "application_rules", "exceptions")
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


def title(module: str) -> str:
    """Return what a module is about: its docstring up to the first colon, bracket or full stop."""
    first = (importlib.import_module(module).__doc__ or module).splitlines()[0]
    return re.split(r"[:(.]", first.replace(", blocking", ""))[0].strip().replace("``", "`")


def reference() -> str:
    """Return a section for every module that defines public names, with all of them."""
    listing: dict[str, list[str]] = defaultdict(list)
    for name, home in homes_of("py_identity_model"):
        listing[home].append(name)
    topics: dict[str, list[str]] = defaultdict(list)
    for module in listing:
        topic = module.rpartition(".")[2]
        topics[BESIDE.get(topic, topic)].append(module)
    titles = {
        topic: title(next(module for module in modules if module.endswith(topic))) for topic, modules in topics.items()
    }
    order = {topic: place for place, topic in enumerate(FIRST)}
    sections = []
    for topic in sorted(topics, key=lambda topic: (order.get(topic, len(order)), titles[topic])):
        listed = [(name, module) for module in topics[topic] for name in listing[module]]
        names = sorted(listed, key=lambda entry: (not entry[1].endswith(topic), entry[0]))
        entries = [f"::: {module}.{name}{SHOWN_BY.get(name, '')}" for name, module in names]
        sections.append("\n\n".join([f"## {titles[topic]}", *entries]))
    return "\n\n".join(sections)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill the place in the API page; mkdocs calls this for every page."""
    return markdown.replace(PLACE, reference()) if PLACE in markdown else markdown
