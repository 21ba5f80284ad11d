"""The route of a proxy in Django: every path below its prefix, by every method, as the page sent it."""

from __future__ import annotations

import re
from typing import Any

from ._blocking_bodies import Awaited
from ._django_login import bare_request
from ._packages import framework_missing
from ._web_proxy_blocking import BlockingProxy, Forwarded, reader_of

try:
    from django.core.handlers.asgi import ASGIRequest
    from django.http import HttpRequest, StreamingHttpResponse
    from django.urls import URLPattern, re_path
except ImportError:
    raise framework_missing("Django", "django") from None


def proxy_pattern(proxy: BlockingProxy) -> URLPattern:
    """Return the route of a proxy.

    Args:
        proxy: The proxy.
    """

    def forward(request: HttpRequest) -> StreamingHttpResponse:
        environ = getattr(request, "environ", {})
        return _response(request, proxy.forward(bare_request(request), reader_of(environ, request.read)))

    view: Any = forward
    view.csrf_exempt = True  # the proxy demands its header
    view.login_required = False  # of LoginRequiredMiddleware: the proxy asks itself
    made: Any = re_path(rf"^{re.escape(proxy.proxy.prefix[1:])}(?:/[\s\S]*)?\Z", view)
    pattern: URLPattern = made
    return pattern


def _response(request: HttpRequest, made: Forwarded) -> StreamingHttpResponse:
    body: Any = Awaited(made.body) if isinstance(request, ASGIRequest) else made.body
    response = StreamingHttpResponse(body, status=made.status)
    del response["content-type"]
    for name, value in made.headers:
        response[name] = f"{response[name]}, {value}" if name in response else value
    return response


__all__ = ["proxy_pattern"]
