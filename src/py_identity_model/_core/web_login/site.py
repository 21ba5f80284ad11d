"""Where the application is, and where in it a browser may be sent. Nothing of it is read from a request's Host."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from ..._refusals import must_be
from ..base.urls import MAX_URL, origin, parse_url
from .messages import WebRequest

_VISIBLE = re.compile(r"[\x21-\x7e]+\Z")
#: Characters of a path that stay as they are (RFC 3986 3.3).
_PATH = "/:@!$&'()*+,;=~-._"
#: Some host: where a path leads is the same for all.
_ANYWHERE = "https://app.example.com"


def local_path(target: object) -> str | None:
    """Return *target* if it is a path of this origin, in a spelling that every reader takes for the same; else None.

    Args:
        target: A path, with or without a query and a fragment.

    >>> local_path("/orders?page=2"), local_path("//evil.example"), local_path("/\\\\evil.example")
    ('/orders?page=2', None, None)
    """
    if not isinstance(target, str) or len(target) > MAX_URL or not _VISIBLE.match(target) or "\\" in target:
        return None
    path = target.partition("#")[0].partition("?")[0]
    # What is decoded once more by whatever reads it next must not become another place.
    decoded = unquote(unquote(path))
    segments = [segment.partition(";")[0] for segment in decoded.split("/")]
    if not path.startswith("/") or "//" in decoded or "\\" in decoded or {".", ".."} & set(segments):
        return None
    if not decoded.isprintable():
        return None
    try:
        parts, there = urlsplit(target), urljoin(_ANYWHERE, target)
    except ValueError:  # it looks like a host with a bad address
        return None
    return target if not parts.scheme and not parts.netloc and origin(there) == _ANYWHERE else None


@dataclass(frozen=True, slots=True)
class Site:
    """The place of an application.

    Attributes:
        origin: Scheme, host and port, as browsers name it.
        prefix: The path below which the application is, without a slash at its end; empty for the root.
        home: The path that the user is sent to where nothing better is known.
        own: Public paths of the login itself, which nobody is sent back to.
    """

    origin: str
    prefix: str
    home: str
    own: frozenset[str] = frozenset()

    def url(self, path: str) -> str:
        """Return the address of a path of the application."""
        return f"{self.origin}{self.prefix}{path}"

    def public(self, request: WebRequest) -> str:
        """Return path and query of a request as the browser sees them."""
        path = self.prefix + quote(request.path, safe=_PATH)
        return f"{path}?{request.query}" if request.query else path

    def destination(self, target: object) -> str:
        """Return where the user is sent in the end: *target* if that is a path of this origin, else home."""
        path = local_path(target)
        return self.home if path is None or path.partition("?")[0].partition("#")[0] in self.own else path

    def path_of(self, url: str | None) -> str | None:
        """Return path and query of an address of this origin, such as a ``Referer``; None for another."""
        if url is None or not url.startswith(self.origin + "/"):
            return None
        return local_path(url[len(self.origin) :])

    def login(self, path: str, **parameters: str | None) -> str:
        """Return the public path of a route with parameters."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return f"{self.prefix}{path}" + (f"?{urlencode(given)}" if given else "")


def site_of(base_url: str, home: str, own: Collection[str], *, allow_insecure_http: bool = False) -> Site:
    """Return the place of the application at *base_url*.

    Raises:
        ConfigurationException: It is no https URL without query, or *home* no path of its origin.
    """
    parts = parse_url(base_url, "base_url", require_https=not allow_insecure_http, allow_query=False)
    prefix = parts.path.rstrip("/")
    if prefix and local_path(prefix) is None:
        raise must_be("base_url", "a URL whose path has neither empty nor dot segments", base_url)
    if local_path(home) is None:
        raise must_be("home", "a path of this origin, such as /", home)
    return Site(origin(base_url), prefix, home, frozenset(prefix + path for path in own))


__all__ = ["Site", "local_path", "site_of"]
