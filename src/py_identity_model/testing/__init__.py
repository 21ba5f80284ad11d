"""An OpenID provider for tests: in the process, as an ASGI application, or on a loopback port."""

from __future__ import annotations

from .endpoints import Client
from .faults import FAULTS, Answer, Fault, deliver
from .provider import EmbeddedProvider, Playing, Received, transport_of
from .tokens import FORGERIES, TOKENS, Forgery

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
