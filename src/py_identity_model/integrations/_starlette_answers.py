"""What both doors of Starlette share: endpoints called as Starlette calls them, and answers as its responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any

from .._core.web_login.messages import WebAnswer
from ._packages import framework_missing
from ._requests import pairs
from .routes import Answer

try:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
except ImportError:
    raise framework_missing("Starlette", "starlette") from None


async def called(endpoint: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call an endpoint: one that blocks in a thread; whatever it returns is awaited if it can be."""
    awaits = iscoroutinefunction(endpoint)
    made = endpoint(*args, **kwargs) if awaits else await run_in_threadpool(endpoint, *args, **kwargs)
    return await made if hasattr(made, "__await__") else made


def response_of(made: Answer | WebAnswer) -> Response:
    """Return an answer as a response of Starlette."""
    response = Response(made.body, made.status)
    response.raw_headers += pairs(made.headers)
    return response


__all__ = ["called", "response_of"]
