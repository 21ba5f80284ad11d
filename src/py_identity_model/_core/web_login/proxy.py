"""A backend for a frontend: a page calls its own origin with its session, and the API is called with a token.

The page never has a token, the API never sees a cookie. What decides is here; bodies are streamed by the doors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin

from ..._refusals import must_be
from ...exceptions import NetworkException, PyIdentityModelException, StoreException
from ..base.flow import Flow
from ..base.scopes import Scopes, optional_scope
from ..base.urls import origin, parse_url
from ..client.grants import GrantRequest, build_grant_parameters
from ..client.token_errors import LoginRequired, StepUpRequired
from ..login.oauth_grants import Wants
from ..resource.calls import Answered, Call
from .csrf import HEADER, PROGRAM_HEADER, is_foreign, is_own
from .messages import WEBSOCKET, Headers, WebAnswer, WebRequest, json_answer
from .parts import Parts
from .records import Held
from .site import local_path
from .visits import CHALLENGE

#: Fields that belong to one connection (RFC 9110 7.6.1), beside those that ``Connection`` names.
_OF_A_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
)
#: What an API must not see of the browser: its cookies, its credentials, and where the page is.
_NOT_SENT = frozenset(
    {"host", "cookie", "cookie2", "authorization", "dpop", "origin", "referer", "forwarded", "via", "content-length"}
    | {HEADER, PROGRAM_HEADER, "x-requested-with", "proxy-authorization", "proxy-authenticate"}
)
#: What a page's origin must not take from an API: cookies, and what counts for the whole origin or for its browser.
_NOT_RETURNED = frozenset(
    {"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate", "clear-site-data", "alt-svc", "dpop-nonce"}
    | {"strict-transport-security", "service-worker-allowed", "refresh", "content-security-policy", "x-frame-options"}
    | {"public-key-pins", "authentication-info", "nel", "report-to", "reporting-endpoints", "origin-agent-cluster"}
    | {"set-login", "accept-ch", "critical-ch", "surrogate-control", "content-security-policy-report-only"}
    | {"server", "date", "age", "x-powered-by"}  # of the API's server, where this one says its own
)
#: What a server before this application, or a browser beside the page, would act on.
_ACTED_ON = (
    "access-control-",
    "x-accel-",
    "x-sendfile",
    "x-lighttpd-",
    "x-litespeed-",
    "x-reproxy-",
    "sec-",
    "secure-",
)
#: Methods that no page has: an answer to TRACE would show the token.
_NO_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: Digits of a length at most.
_LONGEST_LENGTH = 15
#: An answer that a browser is made to show as a page does nothing there: it is from elsewhere.
_HARMLESS: Headers = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ("referrer-policy", "no-referrer"),
)
_PATH = "/:@!$&'()*+,;=~-._"
#: What no path may have, once more decoded; the last one stands for octets that are no UTF-8.
_NOT_IN_PATHS = re.compile("[\x00-\x1f\x7f\\\\\ufffd]")


class Outgoing(NamedTuple):
    """A request to the API.

    Attributes:
        method: The method.
        url: The address; for a WebSocket the https address of its opening.
        headers: The header fields, with the token.
        call: What is tried after a refusal.
    """

    method: str
    url: str
    headers: Headers
    call: Call

    def __repr__(self) -> str:
        return f"Outgoing({self.method})"

    def again(self, headers: Iterable[tuple[str, str]]) -> Outgoing:
        """Return the request with other credentials."""
        given = tuple(headers)
        names = {name.lower() for name, _ in given}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return self._replace(headers=(*kept, *given))


class WebProxy:
    """Where requests of pages to an API go; :meth:`WebLogin.proxy` makes one, doors serve it.

    Args:
        parts: What it works with.
        prefix: The path below which requests are for the API.
        to: The address of the API.
        scopes: The scopes of its tokens.
        resource: What its tokens are for (RFC 8707).
        allow_insecure_http: Whether the API may be http on another machine.

    Raises:
        ConfigurationException: *prefix* is no path, or *to* no https URL without query.
    """

    def __init__(
        self,
        parts: Parts,
        prefix: str,
        to: str,
        scopes: Scopes | None,
        resource: str | Sequence[str] | None,
        *,
        allow_insecure_http: bool = False,
    ) -> None:
        if local_path(prefix) is None or prefix.endswith("/") or set("?#%") & set(prefix):
            raise must_be("prefix", "a path such as /api", prefix)
        parse_url(to, "to", require_https=not allow_insecure_http, allow_query=False)
        if not parts.sessions.shared:
            raise must_be("store", "given to the WebLogin: sessions in cookies have no tokens")
        self.prefix: str = prefix
        self._parts, self._to = parts, to.rstrip("/")
        asked = build_grant_parameters(GrantRequest("", resource=resource), None)
        self.resources: list[str] = [value for name, value in asked if name == "resource" and isinstance(value, str)]
        self._wants = Wants(scope=optional_scope(scopes), resource=resource)
        self._origins = frozenset({origin(to)})

    def __repr__(self) -> str:
        return f"WebProxy({self.prefix!r}, to={self._to!r})"

    def begin(self, request: WebRequest) -> Flow[WebAnswer | Outgoing]:
        """Return the request to the API, or what to answer instead: nothing goes there without a token.

        Args:
            request: The request of the page, without its body.
        """
        try:
            held = yield from self._parts.sessions.find(request)
        except StoreException as error:
            return self._away(error)
        if held is None:
            return self._login(request, "login_required", {}, self._parts.sessions.outlived(request))
        if not self._is_own(request, held):
            self._parts.audit.denied("csrf_token_invalid", "proxy")
            return json_answer(403, {"error": "csrf_header_missing", "hint": f"send the header {_shown()}: 1"})
        if request.method in _NO_METHODS or not _METHOD.match(request.method):
            return json_answer(405, {"error": "method_not_allowed"})
        url = self._url(request)
        if url is None:
            return json_answer(400, {"error": "path_invalid"})
        return (yield from self._with_token(request, held, url))

    def _is_own(self, request: WebRequest, held: Held) -> bool:
        # Every request, whatever its method: what it brings back is worth as much as what it changes.
        if request.method == WEBSOCKET:
            return bool(request.values("origin")) and not is_foreign(request, self._parts.site.origin)
        return is_own(request, held.id, self._parts.site.origin)

    def _url(self, request: WebRequest) -> str | None:
        """Return the address at the API; None for a path that could lead out of it."""
        rest = request.path[len(self.prefix) :]
        segments = [segment.partition(";")[0] for segment in unquote(rest).split("/")]
        if not request.path.startswith(self.prefix) or (rest and not rest.startswith("/")):
            return None
        if {".", ".."} & set(segments) or _NOT_IN_PATHS.search(unquote(rest)):
            return None
        if not request.query.isascii() or not request.query.isprintable() or set(' #"<>') & set(request.query):
            return None
        return self._to + quote(rest, safe=_PATH) + (f"?{request.query}" if request.query else "")

    def _with_token(self, request: WebRequest, held: Held, url: str) -> Flow[WebAnswer | Outgoing]:
        provider = self._parts.provider(held.record.provider) or self._parts.providers[0]
        source = provider.client._source(self._wants._replace(subject=held.record.tokens))
        method = "GET" if request.method == WEBSOCKET else request.method
        call = Call(source, self._origins, method, url)
        try:
            token = yield from call.begin()
        except PyIdentityModelException as error:
            return self.refused(request, error)
        return Outgoing(method, url, (*sent(request.headers), *token.items()), call)

    def after(self, outgoing: Outgoing, answer: Answered, *, repeatable: bool) -> Flow[Outgoing | None]:
        """Return the request to send once more; None if the answer is for the page.

        Args:
            outgoing: What was sent.
            answer: What came back.
            repeatable: Whether the body can be sent again.

        Raises:
            PyIdentityModelException: The page is to be told something else: see :meth:`refused`.
        """
        headers = yield from outgoing.call.after(answer, repeatable=repeatable)
        return None if headers is None else outgoing.again(headers.items())

    def returned(self, outgoing: Outgoing, headers: Iterable[tuple[str, str]]) -> Headers:
        """Return the header fields of an answer that the page gets; a redirect within the API is one within the prefix.

        Args:
            outgoing: What was sent.
            headers: The fields of the answer.
        """
        kept = returned(headers)
        return tuple((name, self._led(outgoing.url, value) if name == "location" else value) for name, value in kept)

    def _led(self, url: str, location: str) -> str:
        try:
            there = urljoin(url, location)
        except ValueError:
            return location
        rest = there[len(self._to) :]
        if not there.startswith(self._to) or (rest and rest[0] not in "/?#"):
            return location
        return f"{self._parts.site.prefix}{self.prefix}{rest}"

    def refused(self, request: WebRequest, error: PyIdentityModelException) -> WebAnswer:
        """Return what a page is told where there is no token, or one that is not enough.

        Args:
            request: The request of the page.
            error: Why.
        """
        self._parts.audit.failed(error, "proxy")
        if isinstance(error, LoginRequired):
            return self._login(request, "login_required", {"prompt": "login"})
        if isinstance(error, StepUpRequired) and (error.acr_values or error.max_age is not None):
            age = None if error.max_age is None else str(error.max_age)
            return self._login(request, "step_up_required", {"acr": " ".join(error.acr_values) or None, "max_age": age})
        if isinstance(error, StepUpRequired):
            return json_answer(403, {"error": "insufficient_scope", "scope": " ".join(error.scope)})
        if isinstance(error, NetworkException):
            return self._away(error)
        raise error  # a mistake of the application

    def alive(self, request: WebRequest) -> Flow[bool]:
        """Tell whether the session of a request that goes on for long is still there; also while the store is away."""
        try:
            return (yield from self._parts.sessions.find(request)) is not None
        except StoreException:
            return True

    def _login(self, request: WebRequest, code: str, asked: dict[str, str | None], headers: Headers = ()) -> WebAnswer:
        site = self._parts.site
        here = site.destination(site.path_of(request.header("referer")))
        login = self._parts.login_path(here, **asked)
        return json_answer(401, {"error": code, "login_url": login}, (CHALLENGE, *headers))

    @staticmethod
    def _away(error: NetworkException) -> WebAnswer:
        seconds = str(max(1, round(error.retry_after or 5.0)))
        return json_answer(503, {"error": "temporarily_unavailable"}, (("retry-after", seconds),))


def _shown() -> str:
    return "-".join(part.upper() if part == "csrf" else part.title() for part in PROGRAM_HEADER.split("-"))


def _connection_fields(headers: Iterable[tuple[str, str]]) -> set[str]:
    named = (value for name, value in headers if name.lower() == "connection")
    return {word.strip().lower() for value in named for word in value.split(",")}


def sent(headers: Headers) -> Headers:
    """Return the header fields of a page's request that its API gets."""
    dropped = _OF_A_CONNECTION | _NOT_SENT | _connection_fields(headers)
    plain = () if any(name.lower() == "accept-encoding" for name, _ in headers) else (("accept-encoding", "identity"),)
    return plain + tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(("x-forwarded-", "sec-", "x-real-ip", ":"))
    )


def returned(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the header fields of an API's answer that the page gets."""
    listed = tuple((name.lower(), value) for name, value in headers)
    dropped = _OF_A_CONNECTION | _NOT_RETURNED | _connection_fields(listed)
    kept = tuple(pair for pair in listed if pair[0] not in dropped and not pair[0].startswith(_ACTED_ON))
    caching = [value for name, value in kept if name == "cache-control"]
    others = tuple(pair for pair in kept if not pair[0].endswith("cache-control"))
    unbuffered = (("x-accel-buffering", "no"),) if is_event_stream(kept) else ()
    # The token told callers apart; here the cookie does, also for the browser that the next user takes over.
    return (*others, *_HARMLESS, ("cache-control", _for_one_user(caching)), ("vary", "cookie"), *unbuffered)


def is_event_stream(headers: Iterable[tuple[str, str]]) -> bool:
    """Tell whether an answer is a stream of events, as it was written."""
    said = {name.lower(): value.strip().lower() for name, value in headers}
    kind = said.get("content-type", "").partition(";")[0].strip()
    return kind == "text/event-stream" and said.get("content-encoding", "identity") == "identity"


def _for_one_user(caching: Iterable[str]) -> str:
    """Return how an answer is kept: what an API lets all its clients share is that of one session here."""
    directives = [each.strip() for value in caching for each in value.split(",")]
    own = [each for each in directives if each and each.lower().partition("=")[0] not in ("public", "s-maxage")]
    if not directives:
        return "no-store"
    return ", ".join(own if {"private", "no-store"} & {each.lower() for each in own} else ["private", *own])


def body_length(request: WebRequest) -> int | None:
    """Return the length of a request's body; None if its end is not known, or what says its length cannot be read.

    A body with a transfer coding has no length that counts (RFC 9112 6.3).
    """
    if request.values("transfer-encoding"):
        return None
    said = [value.strip() for value in request.values("content-length") if value.strip()]
    if not said:
        return 0
    readable = len(said) == 1 and said[0].isascii() and said[0].isdigit() and len(said[0]) <= _LONGEST_LENGTH
    return int(said[0]) if readable else None


def is_answer(status: int) -> bool:
    """Tell whether a page can have an answer with *status*: one that ends the exchange (RFC 9110 15)."""
    return 200 <= status <= 599


def upstream_failed() -> WebAnswer:
    """Return the answer where the API cannot be reached."""
    return json_answer(502, {"error": "upstream_unavailable"})


def body_incomplete() -> WebAnswer:
    """Return the answer where a body ended early, or was read before the proxy could."""
    return json_answer(400, {"error": "body_incomplete"})


def length_required() -> WebAnswer:
    """Return the answer to a body whose end the server does not tell the application."""
    return json_answer(411, {"error": "length_required"})


def no_websockets() -> WebAnswer:
    """Return the answer to a WebSocket where the server has none."""
    hint = "this server has no WebSockets; serve the application, or this path, by ASGI"
    return json_answer(501, {"error": "websocket_unsupported", "hint": hint})


__all__ = [
    "Outgoing",
    "WebProxy",
    "body_incomplete",
    "body_length",
    "is_answer",
    "is_event_stream",
    "length_required",
    "no_websockets",
    "returned",
    "sent",
    "upstream_failed",
]
