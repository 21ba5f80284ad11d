"""What an auditor wants to know of logins, as events. Nothing in them says who somebody is, unless that is asked for.

A session is named by the beginning of a digest, under which its tokens are: enough to see which events belong together.
"""

from __future__ import annotations

import logging
from typing import Any

from ...exceptions import PyIdentityModelException, printable
from ...observability import emit
from .records import Record

#: Characters of a session's handle in an event.
_SHOWN = 12


class Audit:
    """Tells what happens to logins and sessions.

    Args:
        with_subjects: Whether users are named by their ``sub``.
    """

    def __init__(self, *, with_subjects: bool = False) -> None:
        self._with_subjects = with_subjects

    def _about(self, record: Record, handle: str) -> dict[str, Any]:
        facts: dict[str, Any] = {"issuer": printable(record.issuer), "session": handle[:_SHOWN]}
        return {**facts, "subject": printable(record.subject)} if self._with_subjects else facts

    def logged_in(self, record: Record, handle: str) -> None:
        """Tell of a login."""
        emit("web_login", acr=printable(record.claims.get("acr")), **self._about(record, handle))

    def linked(self, record: Record, handle: str, issuer: str) -> None:
        """Tell that a second identity was added to a session."""
        emit("web_identity_linked", linked=printable(issuer), **self._about(record, handle))

    def denied(self, reason: str, stage: str, **facts: Any) -> None:
        """Tell that something was refused, and why."""
        emit("web_login_refused", logging.WARNING, reason=printable(reason, 60), stage=stage, **facts)

    def failed(self, error: PyIdentityModelException, stage: str) -> None:
        """Tell that something was refused because of *error*."""
        self.denied(error.code, stage)

    def logged_out(self, record: Record, handle: str, how: str) -> None:
        """Tell that a user logged out."""
        emit("web_logout", how=how, **self._about(record, handle))

    def ended(self, issuer: str, handles: list[str], how: str) -> None:
        """Tell that sessions were ended by somebody else than their browser."""
        for handle in handles:
            emit("web_logout", how=how, issuer=printable(issuer), session=handle[:_SHOWN])

    def renewed(self, issuer: str, handle: str) -> None:
        """Tell that a session got a new token."""
        emit("web_session_renewed", issuer=printable(issuer), session=handle[:_SHOWN])

    def theft_suspected(self, reason: str, **facts: Any) -> None:
        """Tell that something came back that only a thief would have."""
        emit("web_session_theft_suspected", logging.WARNING, reason=reason, **facts)


__all__ = ["Audit"]
