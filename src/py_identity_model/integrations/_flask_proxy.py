"""The routes of a proxy in Flask: every path below its prefix, by every method, as the page sent it."""

from __future__ import annotations

import re
from typing import Any

from .._refusals import must_be
from ._packages import framework_missing
from ._web_login import request_of_environ
from ._web_proxy_blocking import BlockingProxy, Forwarded, reader_of

try:
    from flask import Blueprint, Response, request
    from flask.blueprints import BlueprintSetupState
    from werkzeug.routing import BaseConverter
except ImportError:
    raise framework_missing("Flask", "flask") from None

_CONVERTER = "py_identity_model_rest"


class _Rest(BaseConverter):
    """The rest of a path, whatever it is: slashes at its beginning, two in a row."""

    regex = r"(?:/[\s\S]*)?"
    part_isolating = False
    weight = 200


def proxy_blueprint(proxy: BlockingProxy) -> Blueprint:
    """Return the routes of a proxy.

    Args:
        proxy: The proxy.
    """
    prefix = proxy.proxy.prefix
    name = re.sub(r"\W", lambda found: f"_{ord(found[0]):x}_", prefix.strip("/"))  # one for each prefix
    blueprint = Blueprint(f"login_proxy_{name}", __name__)

    def add(state: BlueprintSetupState) -> None:
        if state.url_prefix:
            raise must_be("url_prefix", f"left out: the proxy is at {prefix}", state.url_prefix)
        endpoint = f"{state.name_prefix}.{state.name}.forward".lstrip(".")
        state.app.url_map.converters[_CONVERTER] = _Rest
        state.app.view_functions[endpoint] = lambda rest: _response(_forwarded(proxy))
        options: dict[str, Any] = {"endpoint": endpoint, "merge_slashes": False, "strict_slashes": True}
        for websocket in (False, True):  # else WebSockets would be answered with 400 before anybody is asked
            rule = state.app.url_rule_class(f"{prefix}<{_CONVERTER}:rest>", websocket=websocket, **options)
            state.app.url_map.add(rule)

    blueprint.record(add)
    return blueprint


def _forwarded(proxy: BlockingProxy) -> Forwarded:
    # The stream keeps to the limit of the application, MAX_CONTENT_LENGTH.
    return proxy.forward(request_of_environ(request.environ), reader_of(request.environ, request.stream.read))


def _response(made: Forwarded) -> Response:
    response = Response(made.body, made.status, direct_passthrough=True)
    del response.headers["content-type"]
    for name, value in made.headers:
        response.headers.add(name, value)
    return response


__all__ = ["proxy_blueprint"]
