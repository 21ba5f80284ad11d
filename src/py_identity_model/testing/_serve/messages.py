"""HTTP as the site's own pages and its control API speak it: who asks from where, forms, and JSON answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..._core.base.flow import Reply, Request, media_type_of
from .neighbours import origin_of

JSON_HEADERS = (
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
)


def header(request: Request, name: str) -> str:
    """Return the header *name* (lower case) of a request; empty if it was not sent."""
    return next((value for key, value in request.headers if key == name), "")


def query_of(request: Request) -> dict[str, str]:
    """Return the parameters of the address; of those that stand twice, the last."""
    return dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))


def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; empty for other bodies."""
    if media_type_of(header(request, "content-type")) != "application/x-www-form-urlencoded":
        return {}
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def from_here(request: Request, origins: Iterable[str | None]) -> bool:
    """Tell whether no other site's page sent the request: what browsers say of its origin is ours, or nothing."""
    origin, site = header(request, "origin"), header(request, "sec-fetch-site")
    return (not origin or origin in set(origins)) and site in ("", "same-origin", "none")


def form_is_ours(request: Request, origins: Iterable[str | None]) -> bool:
    """Tell whether one of our own pages posted the form: browsers always say from where a form comes."""
    return header(request, "origin") in set(origins) - {None} and from_here(request, origins)


def own_origins(request: Request, origins: Iterable[str | None]) -> set[str | None]:
    """Return the origins of our pages: the known ones, and the name that the request, once let in, used for us."""
    return {*origins, origin_of(f"{urlsplit(request.url).scheme}://{header(request, 'host')}")}


def json_answer(body: Any, status: int = 200) -> Reply:
    """Return a JSON reply that other sites cannot read."""
    return Reply(status, JSON_HEADERS, json.dumps(body).encode())


def page_headers(policy: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of a page with that content security policy."""
    return (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    )


__all__ = [
    "form_is_ours",
    "form_of",
    "from_here",
    "header",
    "json_answer",
    "own_origins",
    "page_headers",
    "query_of",
]
