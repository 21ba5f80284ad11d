"""The forgeries of a provider as tokens that say what they are, for tests that send each to an API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from ._forgeries import FORGERIES, Severity
from ._provider import EmbeddedProvider


class AttackToken(str):
    """A token that every API must refuse; it is the text of the token itself.

    Attributes:
        name: Its row of :data:`FORGERIES`.
        summary: What was done, in words.
        severity: ``high`` where somebody gets in who must not, ``low`` where a good token is spelled in another way.
    """

    __slots__ = ("name", "severity", "summary")
    name: str
    summary: str
    severity: Severity

    @classmethod
    def of(cls, provider: EmbeddedProvider, name: str) -> Self:
        """Forge one.

        Args:
            provider: Whose tokens the API under test takes.
            name: A key of :data:`FORGERIES`.

        Raises:
            ConfigurationException: There is no forgery of that name.

        >>> token = AttackToken.of(EmbeddedProvider(algorithms=["ES256"]), "expired")
        >>> token.summary, token.headers["Authorization"].startswith("Bearer ey")
        ('ended a minute ago', True)
        """
        made = cls(provider.forge(name))
        made.name, made.summary, made.severity = name, FORGERIES[name].summary, FORGERIES[name].severity
        return made

    @property
    def headers(self) -> Mapping[str, str]:
        """The header of a request that brings it."""
        return {"Authorization": f"Bearer {self}"}

    def __repr__(self) -> str:
        return f"AttackToken({self.name!r})"


def attack_tokens(provider: EmbeddedProvider, *, severity: Severity | None = None) -> list[AttackToken]:
    """Forge every token that an API must refuse.

    Args:
        provider: Whose tokens the API under test takes.
        severity: Only those of this severity.

    >>> len(attack_tokens(EmbeddedProvider(algorithms=["ES256"]), severity="high")) > 90
    True
    """
    names = (name for name, row in FORGERIES.items() if severity in (None, row.severity))
    return [AttackToken.of(provider, name) for name in names]


__all__ = ["AttackToken", "attack_tokens"]
