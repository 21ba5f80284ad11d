"""Security events, awaited (SSF 1.0, RFC 8935, RFC 8936)."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.base.store import AnyStore
from .._core.discovery.trust import Stores
from .._core.signals.poll import PolledEvents, Poller, PollRequest
from .._core.signals.receiver import ReceivedEvents, SecurityEventReceiverBase
from .._core.signals.transmitter import Transmitter, validator_of
from .._core.validation.validator import Validator
from .._http_client import carrier_of
from .._token_validator import default_engine
from ..stores._memory import MemoryStore
from ._clients import Transport
from ._driver import run
from ._validation import default_stores


class SecurityEventReceiver(SecurityEventReceiverBase[Transport]):
    """Receives the security events of one transmitter, and has the tokens refused that they end. Tasks may share it."""

    _default_stores = staticmethod(default_stores)

    def _built(self, transmitter: Transmitter, stores: Stores) -> Validator:
        return validator_of(transmitter, stores.carried_by(carrier_of(self._http_client)), default_engine())

    def _memory(self) -> AnyStore:
        return MemoryStore()

    @explains_arguments
    async def receive(
        self, body: bytes | str, content_type: str | None, authorization: str | None = None
    ) -> ReceivedEvents:
        """Judge a token that was pushed, and do what it says (RFC 8935 2).

        Args:
            body: The body of the POST request.
            content_type: Its header ``Content-Type``.
            authorization: Its header ``Authorization``.

        Returns:
            The events, and what to answer with. Nothing is raised for what came in.
        """
        return await run(self._pushed(body, content_type, authorization), self._http_client)

    @explains_arguments
    async def poll(self, request: PollRequest) -> PolledEvents:
        """Ask the transmitter for events, take them, and acknowledge those that were taken (RFC 8936).

        What is acknowledged was stored before. Tokens that are refused are told to the transmitter by their code.

        Args:
            request: The poll endpoint, the token for it, and how much to ask for.

        Returns:
            What came. Nothing that the transmitter or the network does is raised: see ``is_successful`` and
            ``raise_for_error()``; what came before a failure counts and is there.
        """
        poller = Poller(request, self._taken, self._store, self._transmitter.max_age, self._stores.settings)
        return await run(poller.run(), self._http_client)


__all__ = ["SecurityEventReceiver"]
