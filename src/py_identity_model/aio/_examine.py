"""What is wrong with a provider, an API or an MCP server, to be awaited."""

from __future__ import annotations

from functools import partial

from .._arguments import explains_arguments
from .._core.doctor.examine import SECONDS, TlsProbe, Wish, examined
from .._core.doctor.findings import Examination, ServerKind
from ..settings import get_settings
from ._clients import HTTPClient, Transport
from ._driver import run


@explains_arguments
async def examine(
    url: str,
    *,
    kind: ServerKind | None = None,
    active: bool = False,
    fapi: bool = False,
    seconds: float = SECONDS,
    allow_private_addresses: bool = False,
    http_client: Transport | None = None,
) -> Examination:
    """Examine a provider, an API or an MCP server: what is wrong, why it matters, and how it is mended.

    Public documents are fetched, and a request without a token, one with a token that is none and a preflight are sent.
    Nothing carries a credential. Whatever fails, the rest is examined all the same.

    Args:
        url: An issuer, the address of its metadata, a protected address of an API, or an MCP server.
        kind: What it is: ``provider``, ``api`` or ``mcp``; None finds out.
        active: Whether that is tried, too, which leaves a trace: forged tokens at an API or MCP server; at a provider
            a client that registers (and is deleted again), and requests in the name of a client that does not exist.
        fapi: Whether gaps for FAPI 2.0 are faults.
        seconds: Seconds that all of it may take, 1 to 600.
        allow_private_addresses: Whether what the server names may lead into networks of your own. The host of *url*
            may be anywhere, and what is on this machine may lead to this machine.
        http_client: The transport. With a client of your own TLS is not looked at.

    Returns:
        The findings, in order. Nothing that is wrong with the server, or with the network, is raised.

    Raises:
        ConfigurationException: *url* is no http(s) URL, or an argument cannot be used.

    >>> import asyncio
    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider(algorithms=["ES256"])
    >>> examination = asyncio.run(examine(provider.issuer, http_client=provider.transport))
    >>> examination.kind, [finding.code for finding in examination.of("fail")]
    ('provider', [])
    """
    wish = Wish(url, kind, active, fapi, seconds, allow_private_addresses)
    return await run(examined(wish, get_settings(), _probe(http_client)), http_client)


def _probe(http_client: Transport | None) -> TlsProbe | None:
    if http_client is not None and not (isinstance(http_client, HTTPClient) and http_client._given is None):
        return None
    from .._tls_facts import look_at_tls  # not before it is needed: it loads ssl

    return look_at_tls if http_client is None else partial(look_at_tls, verify=http_client._verify)


__all__ = ["examine"]
