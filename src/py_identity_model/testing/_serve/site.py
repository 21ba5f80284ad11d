"""Several issuers behind one address: which is asked, from where, and by whom; protocol, control and pages."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from ..._core.base.flow import Reply, Request
from ..._core.base.urls import parse_url
from ..._refusals import must_be, refused
from ...exceptions import ConfigurationException
from .._documents import DOCUMENTS, NOWHERE
from .._endpoints import ENDPOINTS
from .._faults import Answer
from .._server import Running
from .control import control
from .issuer import ServedIssuer, SiteOptions
from .messages import header
from .neighbours import host_in, host_of, is_near, needs_no_dns, origin_of

if TYPE_CHECKING:
    from .pages import SitePages

#: Issuers at most; each has keys and a memory of its own.
MOST_ISSUERS = 64
#: What browser applications ask for with a script; the rest is for navigations and for programs.
_FOR_SCRIPTS = frozenset({*DOCUMENTS, *ENDPOINTS, NOWHERE} - {"authorize", "end_session"})
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,62}[A-Za-z0-9])?")
_HEADERS = re.compile(r"[A-Za-z0-9, _-]{1,500}")


class ProviderSite:
    """Issuers by first path segment, made when they are first asked for, and one at the root.

    Args:
        base_url: Where the site is; a server that moves it sets :attr:`issuer`.
        options: What all issuers have in common.
        allowed_hosts: More names under which the site may be asked.
        allowed_origins: More origins whose scripts may ask.

    Raises:
        ConfigurationException: An address or origin is none.

    >>> from py_identity_model._core.base.flow import Request
    >>> site = ProviderSite("http://localhost:8080", options=SiteOptions(algorithms=("ES256",)))
    >>> site.handle(Request("GET", "http://localhost:8080/orders/.well-known/openid-configuration")).status
    200
    >>> site.named("orders").issuer
    'http://localhost:8080/orders'
    """

    def __init__(
        self,
        base_url: str = "http://localhost",
        *,
        options: SiteOptions | None = None,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
    ) -> None:
        self.options = options or SiteOptions()
        self._base = check_base(base_url, "base_url")
        self._hosts = {host.lower() for host in allowed_hosts}
        self._origins = {_checked_origin(origin) for origin in allowed_origins}
        self._lock = threading.Lock()
        self._issuers: dict[str, ServedIssuer] = {}
        self._pages = self._make_pages()

    def _make_pages(self) -> SitePages | None:
        if not self.options.pages:
            return None
        from .pages import SitePages

        return SitePages(self.issuers)

    @property
    def issuer(self) -> str:
        """The address of the site, which is that of the issuer at its root."""
        return self._base

    @issuer.setter
    def issuer(self, base_url: str) -> None:
        with self._lock:
            self._base = base_url.rstrip("/")
            for issuer in self._issuers.values():
                issuer.move(self._base)
                self._set_up(issuer)

    def named(self, name: str = "") -> ServedIssuer:
        """Return the issuer of that name, and make it if there is none.

        Args:
            name: Its path segment; empty for the issuer at the root.

        Raises:
            ConfigurationException: No issuer can have that name, or there are too many.
        """
        with self._lock:
            if name not in self._issuers:
                if name and (not _NAME.fullmatch(name) or name in _RESERVED):
                    raise must_be("issuer", "letters, digits and - . _ ~, and not the name of an endpoint", name)
                if len(self._issuers) >= MOST_ISSUERS:
                    told = f"There are {MOST_ISSUERS} issuers already"
                    raise refused(ConfigurationException, "too_many", told, "issuer")
                self._issuers[name] = ServedIssuer(name, self._base, self.options)
                self._set_up(self._issuers[name])
            return self._issuers[name]

    def _set_up(self, issuer: ServedIssuer) -> None:
        if self._pages is not None:
            self._pages.set_up(issuer)

    def issuers(self) -> list[ServedIssuer]:
        """Return the issuers that there are, the one at the root first."""
        with self._lock:
            return [self._issuers[name] for name in sorted(self._issuers)]

    def serve(
        self,
        *,
        host: str = "localhost",
        port: int = 0,
        bind: str = "127.0.0.1",
        issuer: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> Running:
        """Return a server of the site; its address becomes that of the site as long as it runs.

        Args:
            host: The name in the address.
            port: The port; 0 lets the system choose.
            bind: The address to listen on.
            issuer: The address of the site, where it is reached by another than the server's own.
            ssl_context: Serve https with it.
        """
        return Running(self, host=host, port=port, ssl_context=ssl_context, bind=bind, issuer=issuer)

    # ---- requests

    def handle(self, request: Request) -> Reply:
        """Answer one request, whatever becomes of it on its way."""
        return self.answer(request).reply

    def answer(self, request: Request) -> Answer:
        """Decide what happens to one request."""
        host = _host_asked(request)
        if not self._may_be_called(host):
            told = f"This provider is not known as {host[:100]!r}. Start it with --base-url or --allow-host.\n"
            return Answer(_text(421, told))
        path = urlsplit(request.url).path
        if path == "/isalive":
            return Answer(_text(200, "alive\n"))
        name, rest = self._split(path)
        try:
            issuer = self.named(name) if name in self._issuers or self._makes(name, rest) else None
        except ConfigurationException as error:
            return Answer(_text(404, f"{error.message}\n"))
        if issuer is None:
            return Answer(_text(404, "There is no issuer of that name yet: its metadata has to be asked for first.\n"))
        return self._answered(issuer, request, rest)

    def _answered(self, issuer: ServedIssuer, request: Request, rest: str) -> Answer:
        if rest == "/_control" or rest.startswith("/_control/"):
            return Answer(control(issuer, request, rest.removeprefix("/_control")))
        page = self._pages.show(issuer, request, rest) if self._pages is not None else None
        if page is not None:
            return Answer(page)
        parts = urlsplit(request.url)
        base = urlsplit(self._base)
        at_home = urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))
        endpoint = issuer.endpoint_of(Request(request.method, at_home))
        allowed = self._allowed_origin(request) if endpoint in _FOR_SCRIPTS else None
        if request.method == "OPTIONS":
            return Answer(_preflight(request, allowed))
        answer = issuer.answer(replace(request, url=at_home))
        if endpoint == "authorize" and self._pages is not None:
            return replace(answer, reply=self._pages.explained(issuer, request, answer.reply))
        return replace(answer, reply=_shared(answer.reply, allowed)) if endpoint in _FOR_SCRIPTS else answer

    def _split(self, path: str) -> tuple[str, str]:
        """Return which issuer a path is for, and what of it comes after the issuer."""
        first, _, rest = path.removeprefix("/").partition("/")
        if first == ".well-known":  # RFC 8414 3.1 puts the issuer's path behind
            return rest.partition("/")[2].partition("/")[0], path
        return ("", path) if not first or first in _RESERVED else (first, path.removeprefix(f"/{first}"))

    def _makes(self, name: str, rest: str) -> bool:
        """Tell whether asking for that path makes an issuer: not by a typing error, nor for an icon."""
        return not name or rest.removeprefix("/").partition("/")[0] in _RESERVED

    def _may_be_called(self, host: str) -> bool:
        browser = host_of(self.options.browser_url or "")
        return needs_no_dns(host) or host in {host_of(self._base), browser} or host in self._hosts

    def _allowed_origin(self, request: Request) -> str | None:
        origin = header(request, "origin")
        return origin if origin and (origin in self._origins or is_near(host_of(origin))) else None


#: First segments that are no issuers: what the issuer at the root has below it.
_RESERVED = frozenset(
    {*ENDPOINTS, "jwks", "device", "login", "logout", "flow", "console", "try", "_control", "isalive", ".well-known"}
)


def _host_asked(request: Request) -> str:
    """Return the host that a request names, in one ``Host`` or, in this process, in its URL; empty for none."""
    named = [value for name, value in request.headers if name == "host"]
    if not named:
        return host_of(request.url) or ""
    return host_in(named[0]) or "" if len(named) == 1 else ""


def check_base(url: str, what: str) -> str:
    """Return an address of a site without the slash at its end.

    Raises:
        ConfigurationException: It is no http or https address, or has a path.
    """
    parts = parse_url(url, what, require_https=False, allow_query=False)
    if parts.path not in ("", "/"):
        raise must_be(what, "an address without a path: paths name the issuers", url)
    return url.rstrip("/")


def _checked_origin(origin: str) -> str:
    if origin_of(origin) != origin:
        raise must_be("allowed_origins", "scheme, host and port, as in http://app.example.com:3000", origin)
    return origin


def _text(status: int, words: str) -> Reply:
    headers = (("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff"))
    return Reply(status, (*headers, ("cache-control", "no-store")), words.encode())


def _shared(reply: Reply, origin: str | None) -> Reply:
    """Let scripts of an origin read the reply; caches are told that others may not."""
    headers: tuple[tuple[str, str], ...] = (("vary", "Origin"),)
    if origin is not None:
        headers += (("access-control-allow-origin", origin),)
        headers += (("access-control-expose-headers", "WWW-Authenticate, DPoP-Nonce, Retry-After, ETag"),)
    return replace(reply, headers=(*reply.headers, *headers))


def _preflight(request: Request, origin: str | None) -> Reply:
    if origin is None:
        return Reply(403, (("vary", "Origin"),))
    wanted = header(request, "access-control-request-headers")
    headers = [("access-control-allow-methods", "GET, POST, OPTIONS"), ("access-control-max-age", "600")]
    if _HEADERS.fullmatch(wanted):
        headers.append(("access-control-allow-headers", wanted))
    if header(request, "access-control-request-private-network") == "true":
        headers.append(("access-control-allow-private-network", "true"))
    return _shared(Reply(204, tuple(headers)), origin)


__all__ = ["MOST_ISSUERS", "ProviderSite", "check_base"]
