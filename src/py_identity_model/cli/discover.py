"""The command ``discover``: a provider's metadata."""

from __future__ import annotations

from typing import Any

from .._core.discovery.metadata import DiscoveryDocumentRequest
from ..sync._discovery import get_discovery_document
from ._shared import Issuer, Json, needed, show


def discover(issuer: Issuer = None, as_json: Json = False) -> None:
    """Show a provider's metadata."""
    response = get_discovery_document(DiscoveryDocumentRequest(address=needed(issuer, "issuer")))
    response.raise_for_error()
    show(_members(response), as_json)


def _members(response: Any) -> dict[str, Any]:
    hidden = ("is_successful", "error", "cache_control")
    known = {name: value for name, value in vars(response).items() if not name.startswith("_") and name not in hidden}
    faults = {name: fault.message for name, fault in known.pop("faults", {}).items()}
    return {name: value for name, value in {**known, "faults": faults or None}.items() if _is_json(value)}


def _is_json(value: Any) -> bool:
    return isinstance(value, str | bool | int | list | dict) and value != []
