"""What every service publishes beside its API: metadata, health, readiness, metrics. The same in every framework."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import msgspec

from .._arguments import checks_arguments
from .._core.binding.challenges import Refusal
from .._core.registration.client_metadata import serve_client_metadata_document
from .._core.resource.resource_metadata import WELL_KNOWN, serve_resource_metadata
from .._refusals import must_be
from .._resource_server import AnyResourceServer
from ._guard import warm_up

#: What these routes are asked by; other methods are answered 405.
METHODS: tuple[Literal["GET", "HEAD", "OPTIONS"], ...] = ("GET", "HEAD", "OPTIONS")
_PUBLISHED = "serves_a_route_of_the_service"
_JSON = ("content-type", "application/json")
#: Seconds between two attempts to become ready.
_RETRY = 5
_PLAIN = (("cache-control", "no-store"), _JSON)
#: Browsers ask first where a client of the page sends a header of its own (Fetch 3.3.6).
_PREFLIGHT = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET"),
    ("access-control-allow-headers", "*"),
    ("access-control-max-age", "3600"),
)


class Published(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ServiceRoute(NamedTuple):
    """One route, for frameworks that serve each by a handler of its own: under a prefix too.

    Attributes:
        path: Its path.
        name: A name for it, of letters, digits and underscores.
        answer: Returns the answer to a request by its method.
    """

    path: str
    name: str
    answer: Callable[[str], Published]


class ServiceRoutes:
    """The routes that a service wants beside its own; none of them asks for a token.

    Attributes:
        paths: Their paths, in order.
    """

    @checks_arguments
    def __init__(
        self,
        api: AnyResourceServer,
        *,
        health: str | None = "/healthz",
        readiness: str | None = "/readyz",
        metrics: str | None = None,
        client_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Publish what *api* says of itself.

        Args:
            api: The resource server; with ``resource`` its metadata is published (RFC 9728).
            health: The path that answers as long as the process does; None for none.
            readiness: The path that answers 200 once tokens of every issuer can be verified, and 503 before and when
                they no longer can. Asking has the keys fetched, since a service that is not ready gets no tokens.
            metrics: The path of Prometheus' metrics; None for none. Keep it from the public.
            client_metadata: A client ID metadata document, published at the path of its ``client_id``.

        Raises:
            ConfigurationException: A path does not begin with a slash, or a document is unusable.
        """
        self._api = api
        self._routes: dict[str, Callable[[], Published]] = {}
        for path, answer in ((health, _alive), (readiness, self._ready), (metrics, _metrics)):
            if path is not None:
                self._add(path, answer)
        self._public: set[str] = set()
        self._fetching_since = float("-inf")
        if api.metadata is not None:
            served = serve_resource_metadata(api.metadata)
            # RFC 9728 3.1: the path first; clients that only try the root find it there (MCP).
            self._publish(served.path, served.headers, served.body)
            self._publish(f"/.well-known/{WELL_KNOWN}", served.headers, served.body)
        if client_metadata is not None:
            document = serve_client_metadata_document(client_metadata)
            self._publish(document.path, document.headers, document.body)
        self.paths: tuple[str, ...] = tuple(self._routes)

    def _add(self, path: str, answer: Callable[[], Published]) -> None:
        if not path.startswith("/"):
            raise must_be("path", "a path that begins with a slash", path)
        self._routes[path] = answer

    def _publish(self, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        published = Published(200, headers, body)
        self._add(path, lambda: published)
        self._public.add(path)

    def answer(self, method: str, path: str) -> Published | None:
        """Return the answer to a request, None if it is for somebody else."""
        return self._answer(path, method) if path in self._routes else None

    def __iter__(self) -> Iterator[ServiceRoute]:
        for path in self.paths:
            name = "py_identity_model" + re.sub(r"\W", "_", path)
            yield ServiceRoute(path, name, partial(self._answer, path))

    def _answer(self, path: str, method: str) -> Published:
        if method == "OPTIONS" and path in self._public:
            return Published(204, _PREFLIGHT, b"")
        if method not in ("GET", "HEAD"):
            return Published(405, (("allow", "GET, HEAD"),), b"")
        found = self._routes[path]()
        return found if method == "GET" else found._replace(body=b"")

    def _ready(self) -> Published:
        health = getattr(self._api.validator, "health", None)
        if health is None or health().usable:
            return _status(200, "ready")
        self._fetch()
        return _status(503, "not ready", ("retry-after", str(_RETRY)))

    def _fetch(self) -> None:
        at = time.monotonic()
        if at - self._fetching_since >= _RETRY:  # anybody may ask, as often as they like
            self._fetching_since = at
            warm_up(self._api)


def _status(status: int, word: str, *headers: tuple[str, str]) -> Published:
    return Published(status, (*_PLAIN, *headers), msgspec.json.encode({"status": word}))


def _alive() -> Published:
    return _status(200, "ok")


def _metrics() -> Published:
    from ._packages import package

    client = package("prometheus_client", "prometheus")
    return Published(200, (("content-type", client.CONTENT_TYPE_LATEST),), client.generate_latest())


H = TypeVar("H", bound=Callable[..., object])


def as_published(handler: H) -> H:
    """Mark a handler that serves one of these routes, so that no guard of a whole application asks it for a token."""
    setattr(handler, _PUBLISHED, True)
    return handler


def is_published(handler: object) -> bool:
    """Tell whether a handler serves one of these routes."""
    return getattr(handler, _PUBLISHED, False) is True


#: An answer, whichever made it.
Answer = Refusal | Published


def joined(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return headers with one value for each name (RFC 9110 5.3)."""
    names = dict.fromkeys(name for name, _ in headers)
    return {name: ", ".join(value for key, value in headers if key == name) for name in names}


__all__ = ["METHODS", "Answer", "Published", "ServiceRoute", "ServiceRoutes", "as_published", "is_published", "joined"]
