"""Several embedded providers behind one transport."""

from __future__ import annotations

from collections.abc import Callable

from .._core.base.flow import Reply, Request
from .._core.base.transport import failure
from .._core.base.urls import origin
from ._provider import EmbeddedProvider


def transport_of(*providers: EmbeddedProvider) -> Callable[[Request], Reply]:
    """Return one transport for several providers, each reached at its own issuer's host.

    Raises:
        TransportException: By the transport: a request is for none of them.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> one, two = (EmbeddedProvider(f"https://{name}.example.com", algorithms=["ES256"]) for name in ("one", "two"))
    >>> transport_of(one, two)(Request("GET", two.url("jwks"))).status, one.count(), two.count()
    (200, 0, 1)
    """

    def transport(request: Request) -> Reply:
        for provider in providers:
            if origin(request.url) == origin(provider.issuer):
                return provider.transport(request)
        raise failure("dns_failed", "no provider is there", request)

    return transport


__all__ = ["transport_of"]
