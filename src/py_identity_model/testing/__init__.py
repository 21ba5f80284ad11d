"""An OpenID provider for tests: in the process, as an ASGI application, or on a loopback port."""

from __future__ import annotations

from ._endpoints import Client
from ._faults import FAULTS, Answer, Fault, deliver
from ._provider import EmbeddedProvider, Playing, Received, transport_of
from ._tokens import FORGERIES, TOKENS, Forgery

__all__ = [
    "FAULTS",
    "FORGERIES",
    "TOKENS",
    "Answer",
    "Client",
    "EmbeddedProvider",
    "Fault",
    "Forgery",
    "Playing",
    "Received",
    "deliver",
    "transport_of",
]
