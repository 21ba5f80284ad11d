"""The pages of a site: which path shows which, and what is done when a form of theirs is posted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.base.flow import Reply, Request
from .issuer import ServedIssuer

if TYPE_CHECKING:
    from .site import Pages, ProviderSite


def pages_of(site: ProviderSite) -> Pages:
    """Return what answers requests for pages of *site*."""

    def page(issuer: ServedIssuer, request: Request, path: str) -> Reply | None:
        return None

    return page


__all__ = ["pages_of"]
