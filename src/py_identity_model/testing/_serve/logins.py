"""Logins at a served issuer: those that tests queue, and the sessions of people who used the page."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..._core.base.header_lists import words
from .._grants import Bounded, Login, Refusal

#: Logins that wait, and sessions that are remembered, at most.
MOST_QUEUED, MOST_SESSIONS = 1000, 1000

#: Parameters that hold several words; a pattern has to fit one of them.
_LISTS = frozenset({"scope", "acr_values", "prompt", "ui_locales", "response_type"})


def fits(when: Mapping[str, str], parameters: Mapping[str, str]) -> bool:
    """Tell whether a request has these parameters; ``*`` in a value stands for anything.

    >>> fits({"scope": "orders.*"}, {"scope": "openid orders.read"}), fits({"client_id": "shop"}, {})
    (True, False)
    """
    return all(name in parameters and _fits(name, value, parameters[name]) for name, value in when.items())


def _fits(name: str, pattern: str, value: str) -> bool:
    return any(fnmatchcase(each, pattern) for each in ((value, *words(value)) if name in _LISTS else (value,)))


@dataclass(slots=True)
class NextLogin:
    """A login that is decided before its request comes."""

    subject: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    acr: str | None = None
    amr: tuple[str, ...] = ()
    auth_time: int | None = None
    error: str | None = None
    error_description: str | None = None
    times: int | None = 1
    when: Mapping[str, str] = field(default_factory=dict)

    def decided(self, usual: str) -> Login:
        """Return the login; *usual* is who logs in where nobody is named.

        Raises:
            Refusal: It ends with an error.
        """
        if self.error is not None:
            raise Refusal(self.error, self.error_description or "a test asked for this error")
        return Login(self.subject or usual, self.claims, self.auth_time, self.acr, self.amr)


class LoginQueue:
    """Logins that wait for their requests, each for the first one that fits. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[NextLogin] = []

    def add(self, login: NextLogin) -> int:
        """Queue one; return how many wait, or -1 if the queue is full."""
        with self._lock:
            if len(self._waiting) >= MOST_QUEUED:
                return -1
            self._waiting.append(login)
            return len(self._waiting)

    def take(self, parameters: Mapping[str, str]) -> NextLogin | None:
        """Return the first one that fits the request, and count it as used."""
        with self._lock:
            for login in self._waiting:
                if fits(login.when, parameters):
                    login.times = None if login.times is None else login.times - 1
                    if login.times == 0:
                        self._waiting.remove(login)
                    return login
        return None

    def all(self) -> list[NextLogin]:
        """Return those that wait."""
        with self._lock:
            return list(self._waiting)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._waiting.clear()


class Sessions:
    """Who is logged in with which cookie. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logins: Bounded[Login] = Bounded(MOST_SESSIONS)

    def begin(self, login: Login) -> str:
        """Begin a session; return its id."""
        session = secrets.token_urlsafe(24)
        with self._lock:
            self._logins[session] = login
        return session

    def of(self, session: str | None) -> Login | None:
        """Return who is logged in with that session."""
        with self._lock:
            return self._logins.get(session or "")

    def end(self, session: str | None) -> None:
        """End a session."""
        with self._lock:
            self._logins.pop(session or "", None)

    def clear(self) -> None:
        """End all."""
        with self._lock:
            self._logins.clear()


__all__ = ["MOST_QUEUED", "MOST_SESSIONS", "LoginQueue", "NextLogin", "Sessions", "fits"]
