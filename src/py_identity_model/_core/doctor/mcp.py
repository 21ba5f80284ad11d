"""An MCP server: what revision 2026-07-28 asks of its authorization beyond what any API owes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .api import Published, challenges
from .findings import Check, Finding
from .metadata import Document
from .visit import Answer

REVISION: Final = "2026-07-28"

SCOPE: Final = Check(
    "mcp_scope",
    "whether the challenge names the scopes that are needed",
    "a client that is not told asks for everything that the metadata lists, or for nothing",
    'add scope="..." to the challenge of 401 and 403, with all scopes of the operation',
    "MCP 2026-07-28, Scope Selection Strategy",
)
OFFLINE: Final = Check(
    "mcp_offline_access",
    "that offline_access is not among the scopes of the server",
    "refresh tokens are a matter between client and authorization server, not a right at the resource",
    "take offline_access out of scopes_supported and out of the challenge",
    "MCP 2026-07-28, Refresh Tokens",
)
REGISTRATION: Final = Check(
    "mcp_registration",
    "how a client that nobody knows becomes known",
    "an MCP client meets servers that it has never heard of: without a way to be known, a person has to register it",
    "support client ID metadata documents at the authorization server; dynamic registration is the deprecated way",
    "MCP 2026-07-28, Client Registration",
)
CANONICAL: Final = Check(
    "mcp_canonical",
    "whether resource is written in the canonical form",
    "clients send it as the resource of token requests, and compare it",
    "write scheme and host in lower case, and no slash at the end",
    "MCP 2026-07-28, Canonical Server URI",
)
CHECKS: Final = (SCOPE, OFFLINE, REGISTRATION, CANONICAL)


def server(first: Answer, found: Published | None) -> Iterator[Finding]:
    """Judge what only MCP asks of a server."""
    scopes = [one.get("scope") for one in challenges(first) if one.get("scope")]
    if first.status == 401:
        yield SCOPE.held(bool(scopes), str(scopes[0]) if scopes else "none is named")
    if found is None:
        return
    listed = found.raw.get("scopes_supported")
    offered = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    asked = " ".join(str(one) for one in scopes).split()
    yield OFFLINE.held("offline_access" not in (*offered, *asked), "it is not", "it is")
    about = found.raw.get("resource")
    if isinstance(about, str):
        host = about.partition("://")[2].partition("/")[0]
        canonical = not about.endswith("/") and host == host.lower()
        yield CANONICAL.held(canonical, about)


def authorization_server(document: Document) -> Finding:
    """Judge how clients become known to the authorization server of a server."""
    if document.raw.get("client_id_metadata_document_supported") is True:
        return REGISTRATION.passed("by client ID metadata documents")
    if document.text("registration_endpoint"):
        return REGISTRATION.warned("by dynamic registration only, which is deprecated", "registration_only_dynamic")
    return REGISTRATION.warned("by hand only", "registration_by_hand")


__all__ = ["CHECKS", "REVISION", "authorization_server", "server"]
