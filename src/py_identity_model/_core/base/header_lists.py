"""Lists as HTTP and OAuth write them: commas outside of quoted strings, or spaces and no other white space."""

from __future__ import annotations

import re

#: RFC 9110 5.6.2.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# RFC 9110 5.6.4. Runs of characters are possessive, so that no text is visited twice by backtracking; groups are not:
# CPython before 3.11.5 goes on from the wrong place where a possessive group fails half-way.
_PLAIN = r"[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]*+"
_QUOTED = rf'"({_PLAIN}(?:\\[\t \x21-\x7e\x80-\xff]{_PLAIN})*)"'
#: ``name=value``, whose value is a token or a quoted string.
PARAMETER = re.compile(rf"({TOKEN})[ \t]*+=[ \t]*+(?:({TOKEN})|{_QUOTED})")
_QUOTED_PAIR = re.compile(r"\\(.)")
# A string that is not closed runs to the end: whatever is in it is no member of its own.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*("|\\?\Z)'
_MEMBERS = {one: re.compile(rf'(?:[^"{one}]++|{_STRING})+', re.DOTALL) for one in ",;"}
_STRINGS = re.compile(_STRING, re.DOTALL)


def members(text: str, separator: str = ",") -> list[str]:
    """Return the members of a list, without the empty ones; what stands between quotes separates nothing.

    >>> members('no-cache="a, max-age=9", max-age=60')
    ['no-cache="a, max-age=9"', 'max-age=60']
    """
    found = (member[0].strip(" \t") for member in _MEMBERS[separator].finditer(text))
    return [member for member in found if member]


def is_closed(text: str) -> bool:
    """Tell whether every quoted string in *text* ends there."""
    return all(string[1] == '"' for string in _STRINGS.finditer(text))


def named_value(member: str) -> tuple[str, str]:
    """Return the name of a member in lower case and its value, whose quotes are taken off; "" where it has none.

    >>> named_value('Max-Age="60"')
    ('max-age', '60')
    """
    name, _, value = member.partition("=")
    value = value.strip(" \t")
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = unescaped(value[1:-1])
    return name.strip(" \t").lower(), value


def unescaped(text: str) -> str:
    """Return what stands between the quotes of a quoted string."""
    return _QUOTED_PAIR.sub(r"\1", text) if "\\" in text else text


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list that spaces divide, as scopes are (RFC 6749 3.3): no other white space does.

    >>> words("openid  orders.read"), words("a\\tb")
    (('openid', 'orders.read'), ('a\\tb',))
    """
    return tuple(word for word in text.split(" ") if word)


__all__ = ["PARAMETER", "TOKEN", "is_closed", "members", "named_value", "unescaped", "words"]
