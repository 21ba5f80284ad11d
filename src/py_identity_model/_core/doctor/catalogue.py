"""Every check there is, in the order in which they are made."""

from __future__ import annotations

from typing import Final

from . import active, api, connection, issuer, keys, known, mcp, metadata, offers
from .findings import Check

#: By what is examined.
CATALOGUE: Final[dict[str, tuple[Check, ...]]] = {
    "The connection": connection.CHECKS,
    "Metadata of a provider": (*metadata.CHECKS, *issuer.CHECKS, *known.CHECKS),
    "Keys of a provider": keys.CHECKS,
    "What a provider offers": offers.CHECKS,
    "An API": api.CHECKS,
    "An MCP server": mcp.CHECKS,
    "Only with --active": active.CHECKS,
}

__all__ = ["CATALOGUE"]
