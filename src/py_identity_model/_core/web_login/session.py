"""Who is logged in, as the application sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ..base.secret import Unpicklable
from .csrf import csrf_token
from .parts import Parts, Provider
from .records import Held, Record
from .sealed_sessions import store_missing


class SessionBase(Unpicklable):
    """The part of a ``Session`` that waits for nothing.

    Identify users by :attr:`issuer` and :attr:`subject` together, by nothing else.
    """

    _parts: Parts
    _held: Held

    @classmethod
    def _of(cls, parts: Parts, held: Held) -> Self:
        """Return the session of a request; applications get theirs from a ``WebLogin``."""
        made = cls()
        made._parts, made._held = parts, held
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.issuer!r})"

    @property
    def _record(self) -> Record:
        return self._held.record

    def _tokens(self) -> str:
        """Return the name of the tokens.

        Raises:
            ConfigurationException: Sessions are kept in cookies, without tokens; ``store_missing``.
        """
        if not self._parts.sessions.shared:
            raise store_missing("token of a session")
        return self._record.tokens

    def _provider(self) -> Provider:
        return self._parts.provider(self._record.provider) or self._parts.providers[0]

    @property
    def issuer(self) -> str:
        """The issuer of the ID token."""
        return self._record.issuer

    @property
    def subject(self) -> str:
        """The user at that issuer."""
        return self._record.subject

    @property
    def sid(self) -> str | None:
        """The session at the provider; None if it does not tell."""
        return self._record.sid

    @property
    def provider(self) -> str:
        """What the application calls the provider; empty where there is only one."""
        return self._record.provider

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """Issuer and subject of each identity that was proven in this session, the first one first."""
        return ((self.issuer, self.subject), *self._record.linked)

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims of the ID token, as far as they are kept."""
        return self._record.claims

    @property
    def user(self) -> Any:
        """What ``on_login`` returned; None without one."""
        return self._record.user

    @property
    def created_at(self) -> float:
        """When the user logged in here, in seconds since 1970."""
        return self._record.created_at

    @property
    def age(self) -> float:
        """Seconds since then, as of the request."""
        return max(0.0, self._held.at - self._record.created_at)

    @property
    def expires_in(self) -> float:
        """Seconds until it is over if no further request comes."""
        return max(0.0, self._record.ends_in(self._held.at, self._parts.sessions.lifetimes))

    @property
    def authenticated_at(self) -> float | None:
        """When the provider last saw the user authenticate, in seconds since 1970; None if it does not tell."""
        at = self._record.claims.get("auth_time")
        return float(at) if isinstance(at, int | float) and not isinstance(at, bool) else None

    @property
    def acr(self) -> str | None:
        """How the user authenticated; None if the provider does not tell."""
        acr = self._record.claims.get("acr")
        return acr if isinstance(acr, str) else None

    @property
    def handle(self) -> str:
        """A name of the session for lists and logs, which opens nothing."""
        return self._parts.sessions.handle(self._held.id)

    @property
    def csrf_token(self) -> str:
        """A token for a form, in a field ``csrf_token``, or the header ``X-CSRF-Token``; another spelling each time."""
        return csrf_token(self._held.id)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers for the response: a cookie that lasts longer, where sessions are in cookies."""
        return self._held.headers


__all__ = ["SessionBase"]
