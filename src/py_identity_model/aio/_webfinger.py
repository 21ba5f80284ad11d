"""WebFinger: from what a person types to the provider to ask, awaited."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.registration import webfinger as flows
from .._core.registration.webfinger import WebFingerRequest, WebFingerResponse
from ..settings import get_settings
from ._clients import Transport
from ._driver import run


@explains_arguments
async def discover_issuer(
    request: WebFingerRequest,
    http_client: Transport | None = None,
) -> WebFingerResponse:
    """Find the issuer that answers for a person or a site (OpenID Connect Discovery 2, RFC 7033).

    Only https is fetched, from hosts that are public by their spelling, and redirects stay on their host and port.
    Whether to trust the issuer is the application's decision; its metadata must name exactly this issuer.

    Args:
        request: What the person typed.
        http_client: The transport; by default the event loop's own client.

    Returns:
        The issuer, to be given to ``get_discovery_document``. Nothing that the other side or the network does is
        raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return await run(flows.discover_issuer(request, get_settings()), http_client)


__all__ = ["discover_issuer"]
