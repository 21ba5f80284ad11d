"""Which scopes are asked for (MCP 2026-07-28, Scope Selection Strategy, Step-Up Authorization Flow, Refresh Tokens)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..base.header_lists import words
from ..base.scopes import is_scope
from ..binding.challenges import Challenge

OFFLINE = "offline_access"

Words = tuple[str, ...]


def challenged(challenges: Iterable[Challenge]) -> Words:
    """Return the scopes that a server names in its challenges, each once."""
    return once(word for challenge in challenges for word in words(challenge.get("scope") or ""))


def once(scopes: Iterable[str]) -> Words:
    """Return what is a scope, each one once, in order."""
    return tuple(dict.fromkeys(filter(is_scope, scopes)))


def scopes_to_ask_for(
    demanded: Sequence[str], before: Sequence[str], published: Sequence[str] | None, offered: Collection[str] | None
) -> Words:
    """Return the scopes of an authorization request; none leaves the parameter out.

    Args:
        demanded: Those of the challenge.
        before: Those that were asked for before: none of them is lost at a step-up.
        published: The ``scopes_supported`` of the server, for where neither tells.
        offered: The ``scopes_supported`` of the authorization server.

    >>> scopes_to_ask_for(["a"], [], ["a", "b"], ["a", "offline_access"])
    ('a', 'offline_access')
    >>> scopes_to_ask_for(["b"], ["a"], ["c"], None)
    ('a', 'b')
    >>> scopes_to_ask_for([], [], None, ["offline_access"])
    ()
    """
    wanted = once((*before, *demanded)) or once(published or ())
    plain = tuple(word for word in wanted if word != OFFLINE)
    # A refresh token is nothing that a resource asks for: it is asked for where the authorization server offers it.
    return (*plain, OFFLINE) if plain and OFFLINE in (offered or ()) else plain


__all__ = ["OFFLINE", "Words", "challenged", "once", "scopes_to_ask_for"]
