"""What is done wrong with each provider of ``docs/providers``, by the name that ``explain`` has for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Mistake:
    """One mistake: in the token that came, or in what was written here.

    Attributes:
        cause: What must be named.
        words: Words of the remedy.
        title: The token of the page that comes; by default its first.
        claims: What its claims are in place of what the page shows; None for those that are not there.
        header: The same of its header.
        edit: What stands in the page's settings, and what was written in its place.
        shape: What is sent, where it is not the token alone.
        foreign: Whether it is signed by a stranger.
        block: The settings that it comes to, by their number on the page.
    """

    cause: str
    words: str
    title: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    edit: tuple[str, str] | None = None
    shape: str = "{}"
    foreign: bool = False
    block: int = 0


MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "keycloak": (
        Mistake("keycloak_audience_account", "audience mapper", claims={"aud": "account"}),
        Mistake("keycloak_without_audience", "audience mapper", claims={"aud": None}),
        Mistake("issuer_trailing_slash", "trailing slash", edit=("/realms/shop", "/realms/shop/")),
        Mistake("issuer_internal_host", "backchannel", edit=("//sso.example.com/realms", "//keycloak:8443/realms")),
        Mistake("id_token_sent", "ID token", title="ID token"),
        Mistake("keycloak_nonce", "mapper", claims={"nonce": "n"}),
    ),
}

__all__ = ["MISTAKES", "Mistake"]
