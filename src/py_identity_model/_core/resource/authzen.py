"""A decision point asked about each request (OpenID AuthZEN Authorization API 1.0, 4 and 6): a check of a requirement.

What the point answers is believed for as long as it says itself (``Cache-Control``), and not at all without. Where it
cannot be asked nobody is let in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..._arguments import explains_arguments
from ..._refusals import bounded, must_be
from ...exceptions import NetworkException, printable
from ..base.exchanges import retry_after
from ..base.flow import Flow, Reply, Request, Send, now
from ..base.secret import CurrentSecret, current, exposed
from ..base.urls import parse_url
from ..cache.cache import Cache
from ..cache.entry import Entry, Fetched
from ..cache.freshness import told_lifetime
from ..cache.single_flight import cached
from .principal import AuthenticatedPrincipal

#: Bytes of an answer, and seconds for which one is believed, at most.
MAX_ANSWER, MAX_AGE = 65536, 300.0

#: An object of the request, or what makes one of the principal.
Entity = Mapping[str, Any] | Callable[[AuthenticatedPrincipal], Mapping[str, Any]]


class _Decision(msgspec.Struct):
    """The answer (6.2); its context is the application's business, and not read."""

    decision: bool


_decode = msgspec.json.Decoder(_Decision).decode


def subject_of(principal: AuthenticatedPrincipal) -> dict[str, Any]:
    """Return the subject of a principal: a user, or a client that speaks for itself.

    >>> subject_of(AuthenticatedPrincipal({"iss": "https://id.example.com", "sub": "ada", "client_id": "app"}))
    {'type': 'user', 'id': 'ada', 'properties': {'iss': 'https://id.example.com', 'client_id': 'app'}}
    """
    kind = "client" if principal.is_machine else "user"
    named = principal.subject if principal.subject is not None else principal.client_id
    facts = {"iss": principal.issuer, "client_id": principal.client_id}
    return {"type": kind, "id": named or "", "properties": {name: value for name, value in facts.items() if value}}


class AccessEvaluation:
    """Asks a decision point: ``Requirement(check=AccessEvaluation(...))``.

    Any thread or task may ask at a time; those that ask the same share one request.
    """

    @explains_arguments
    def __init__(
        self,
        endpoint: str,
        *,
        action: Entity,
        resource: Entity,
        subject: Entity = subject_of,
        context: Entity | None = None,
        bearer_token: CurrentSecret | None = None,
        timeout: float = 2.0,
        max_entries: int = 10_000,
        allow_insecure_http: bool = False,
    ) -> None:
        """Ask a decision point.

        Args:
            endpoint: The address of its access evaluation: ``https://pdp.example.com/access/v1/evaluation``.
            action: What is done: ``{"name": "read"}``.
            resource: What it is done to: ``{"type": "order", "id": "17"}``, or a function of the principal.
            subject: Who does it; by default the subject of the token, or its client.
            context: What else matters.
            bearer_token: Presented to the decision point.
            timeout: Seconds for one answer.
            max_entries: Answers remembered at most.
            allow_insecure_http: Whether the address may be plain http elsewhere than on this machine.

        Raises:
            ConfigurationException: An argument is unusable.
        """
        parse_url(endpoint, "endpoint", require_https=not allow_insecure_http)
        for name, entity in (("action", action), ("resource", resource), ("subject", subject), ("context", context)):
            if entity is not None and not callable(entity) and not isinstance(entity, Mapping):
                raise must_be(name, "an object, or a function of the principal", type(entity).__name__)
        self._endpoint = endpoint
        self._entities: dict[str, Entity | None] = {
            "subject": subject,
            "action": action,
            "resource": resource,
            "context": context,
        }
        self._token = bearer_token
        self._timeout = bounded(timeout, "timeout", float, 0.001, 60, unit="seconds")
        self._cache: Cache[bool] = Cache("authzen", maxsize=bounded(max_entries, "max_entries", int, 1))

    def __call__(self, principal: AuthenticatedPrincipal) -> bool:
        """Only the gate asks, by a flow, as it knows how to wait."""
        raise NotImplementedError  # a check has to be callable

    def _flow(self, principal: AuthenticatedPrincipal) -> Flow[bool]:
        """Return whether the principal may.

        Raises:
            NetworkException: The decision point cannot be asked, or answers in another way; ``authzen_failed``.
        """
        made = {
            name: entity(principal) if callable(entity) else entity
            for name, entity in self._entities.items()
            if entity is not None
        }
        try:
            body = msgspec.json.encode(made, order="deterministic")
        except (TypeError, ValueError, RecursionError):
            raise must_be("evaluation", "of what JSON can hold", code="argument_invalid") from None
        entry = yield from cached(self._cache, hashlib.sha256(body).hexdigest(), self._asking(body))
        return entry.value

    def _asking(self, body: bytes) -> Callable[[Entry[bool] | None], Flow[Fetched[bool]]]:
        def ask(_: Entry[bool] | None) -> Flow[Fetched[bool]]:
            reply: Reply = yield Send(self._request(body), self._timeout)
            wall = (yield from now()).wall
            decision = self._read(reply, wall)
            return Fetched(decision, min(MAX_AGE, told_lifetime(reply, wall)))

        return ask

    def _request(self, body: bytes) -> Request:
        headers = [("content-type", "application/json"), ("accept", "application/json")]
        token = current(self._token, "bearer_token")
        if token is not None:
            headers.append(("authorization", f"Bearer {exposed(token)}"))
        return Request("POST", self._endpoint, tuple(headers), body, limit=MAX_ANSWER)

    def _read(self, reply: Reply, wall: float) -> bool:
        if reply.status == 200:
            try:
                return _decode(reply.body).decision
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        raise NetworkException(
            f"The decision point gave no decision, but status {reply.status}",
            self._endpoint,
            reply.status,
            code="authzen_failed",
            expected="status 200 and a decision",
            retry_after=retry_after(reply, wall),
        )

    def __repr__(self) -> str:
        return f"AccessEvaluation({printable(self._endpoint)})"


__all__ = ["MAX_AGE", "AccessEvaluation", "Entity", "subject_of"]
